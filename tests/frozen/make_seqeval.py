"""Write seqeval.json: what seqeval says of random tag sequences, sensible or not. Run where seqeval is installed:

python -m tests.frozen.make_seqeval
"""

import json
import warnings
from pathlib import Path

import numpy as np


def cases():
    """(gold, predicted), three quarters of the words right; with types that hold signs."""
    rng = np.random.default_rng(7)
    for types in (["a", "b", "c"], ["a"], ["x-y", "x"], ["PER", "a_b"]) * 10:
        tags = ["O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in types)]
        often = rng.dirichlet(np.ones(len(tags)))
        gold = [rng.choice(tags, int(rng.integers(1, 10)), p=often).tolist() for _ in range(int(rng.integers(1, 5)))]
        yield gold, [[tag if rng.random() < 0.7 else str(rng.choice(tags)) for tag in sentence] for sentence in gold]


def judged(gold, predicted, **options):
    """Rows by name: precision, recall, F1, support; None where seqeval finds no entity to report on."""
    from seqeval.metrics import classification_report

    try:
        report = classification_report(gold, predicted, output_dict=True, zero_division=0, **options)
    except ValueError:
        return None
    values = {name: [float(row[k]) for k in ("precision", "recall", "f1-score", "support")] for name, row in report.items()}
    return {name: [0.0 if np.isnan(x) else x for x in row] for name, row in values.items()}


def main():
    """All cases, as conlleval counts and in strict IOB2."""
    from seqeval.scheme import IOB2

    warnings.simplefilter("ignore")
    rows = []
    for gold, predicted in cases():
        strict = judged(gold, predicted, mode="strict", scheme=IOB2)
        rows.append({"gold": gold, "predicted": predicted, "lenient": judged(gold, predicted), "strict": strict})
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    (Path(__file__).parent / "seqeval.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
