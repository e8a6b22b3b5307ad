"""How well texts were written: BLEU, chrF, ROUGE and exact match, by the field's libraries.

BLEU (Papineni et al., 2002) and chrF (Popović, 2015) by sacrebleu, over all texts at once; ROUGE-1, -2 and -L (Lin, 2004) by
rouge-score, averaged over texts. A text may have several references; then its best counts for ROUGE and exact match.
Read before: pairs.py. Read next: report.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

METRICS = ("bleu", "chrf", "rouge1", "rouge2", "rougeL", "exact_match")
TOKENIZERS = ("13a", "intl", "char", "zh", "none")  # of sacrebleu's BLEU; those that need no further package


class Words:
    """rouge-score's tokenizer for any alphabet; its own keeps the letters a to z alone."""

    def tokenize(self, text: str) -> list[str]:
        """Lower-case words and numbers."""
        return re.findall(r"\w+", text.lower())


def scores(predictions: Sequence[str], answers: Sequence[Sequence[str]], tokenize: str = "13a") -> dict[str, float]:
    """METRICS, each from 0 to 100, of predictions and the right answers of each."""
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU, CHRF

    most = max(map(len, answers))
    streams = [[row[i] if i < len(row) else None for row in answers] for i in range(most)]  # as sacrebleu wants them
    rouge = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Words())
    each = [rouge.score_multi(row, text) for row, text in zip(answers, predictions, strict=True)]
    result = {"bleu": BLEU(tokenize=tokenize).corpus_score(list(predictions), streams).score}
    result["chrf"] = CHRF().corpus_score(list(predictions), streams).score
    result |= {name: 100 * sum(row[name].fmeasure for row in each) / len(each) for name in ("rouge1", "rouge2", "rougeL")}
    result["exact_match"] = 100 * sum(text in row for row, text in zip(answers, predictions, strict=True)) / len(each)
    return {name: float(value) for name, value in result.items()}


def signature(tokenize: str = "13a") -> str:
    """How these were computed, to be quoted with them."""
    import sacrebleu

    return f"BLEU and chrF by sacrebleu {sacrebleu.__version__} (BLEU: tokenizer {tokenize}, cased), ROUGE F1 by rouge-score"


def check_libraries() -> None:
    """ModuleNotFoundError before a run that could not be scored at its end."""
    import rouge_score  # noqa: F401
    import sacrebleu  # noqa: F401
