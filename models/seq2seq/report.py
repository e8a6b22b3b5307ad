"""A run's report: the scores of its texts, next to those of answers that cost nothing; the curve; what the decoder looks at.

report.txt and report.json; predictions.jsonl; curve.png: the loss per step; attention.png: decoder on source.
Read before: writing.py, scores.py, baselines.py. Read next: command.py.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch.files import replacing, write_text
from minitorch.parallel import Workers, one_blas_thread

from ..errors import count, short
from ..text.labelled import as_json
from ..training.loop import clocks, progress
from ..training.pictures import save_curve
from ..training.trainer import Trainer
from .baselines import BASELINES
from .pairs import references
from .run import Run, make_model
from .scores import METRICS, scores, signature
from .writing import write

HEADS = {"bleu": "BLEU", "chrf": "chrF", "rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "exact_match": "exact"}
Answers = Sequence[Sequence[str]]  # the right texts of each source
SHOWN = 3  # examples in the report and in the picture
LONGEST = 40  # pieces of a side in the picture


def finish(run: Run) -> dict[str, Any]:
    """Judge the model and its alternatives; write the report's files."""
    s, (name, pairs) = run.s, run.judged
    answers = references(pairs)
    sources, right = list(answers), list(answers.values())
    model = "this model" + (", begun with a BERT" if s.init_encoder else "")
    texts, rows = judged_model(run, run.trainer, sources, right, model)
    records = [{"text": x, "prediction": y, "gold": z} for x, y, z in zip(sources, texts, right, strict=True)]
    write_text(run.folder / "predictions.jsonl", "\n".join(map(as_json, records)) + "\n")
    if s.init_encoder and s.compare == "all":
        rows += from_scratch(run, sources, right)
    if s.compare != "none":
        rows += free_answers(run, sources, right)
    run.report = {
        "judged_on": name,
        "pairs": {"train": len(run.data.train), "dev": len(run.data.dev), "test": len(run.data.test)},
        "sources": len(sources),
        "scores": {metric: rows[0 if s.num_beams == 1 else 1][metric] for metric in METRICS},
        "alternatives": rows,
        "computed_by": signature(s.bleu_tokenizer),
        "examples": records[:SHOWN],
        "training": run.trainer.metrics,
        "settings": dataclasses.asdict(s),
        "sha256": run.data.sha256,
        "minitorch": minitorch.__version__,
    }
    write_text(run.folder / "report.json", as_json(run.report, 1) + "\n")
    text = as_text(run.report)
    write_text(run.folder / "report.txt", text + "\n")
    draw_curve(run, run.folder / "curve.png")
    draw_attention(run, sources[:SHOWN], texts[:SHOWN], run.folder / "attention.png")
    run.say(text)
    return run.report


def judged_model(run: Run, trainer: Trainer, sources: list[str], right: Answers, name: str) -> tuple[list[str], list[Any]]:
    """The texts of the widest search, and a row of the table for each search."""
    rows, texts = [], []
    for beams in sorted({1, run.s.num_beams}):
        started = clocks()
        with Workers(run.s.workers) as workers, progress(len(sources), 0, "text") as bar:
            how = "greedy" if beams == 1 else f"beam {beams}"
            bar.set_description_str(f"writing, {how}")
            options = {"num_beams": beams, "length_penalty": run.s.length_penalty}
            texts = write(trainer.model, sources, run.vocabularies, run.s, workers, bar, **options)
        spent = clocks() - started
        cost = {"train_seconds": trainer.seconds, "parameters": trainer.model.num_parameters()}
        rows.append(row_of(f"{name}, {how}", texts, right, run.s.bleu_tokenizer, spent, **cost))
    return texts, rows


def row_of(name: str, texts: Sequence[str], right: Answers, tokenize: str, spent: Any, **cost: float) -> dict[str, Any]:
    """One line of the table."""
    return {"name": name, **scores(texts, right, tokenize), **cost, "ms_per_text": 1000 * float(spent[0]) / len(texts)}


def from_scratch(run: Run, sources: list[str], right: Answers) -> list[dict[str, Any]]:
    """The same model, its encoder from random weights too, trained alike: it shows whether the BERT helped."""
    model = make_model(run.s, run.vocabularies, run.encoder, run.s.seed + 1)
    trainer = Trainer(run.s, run.task, run.vocabularies, model, run.data.train, run.data.dev)
    trainer.train("from random weights")
    if trainer.weights:
        model.load_state_dict(trainer.weights)
    return judged_model(run, trainer, sources, right, "the same, all weights random")[1]


def free_answers(run: Run, sources: list[str], right: Answers) -> list[dict[str, Any]]:
    """The baselines; one that answers as an earlier one does is left out."""
    rows: list[dict[str, Any]] = []
    seen: list[list[str]] = []
    for name, make in BASELINES.items():
        with one_blas_thread():
            started = clocks()
            answer = make(run.data.train)
            trained = clocks()
            texts = answer(sources)
            done = clocks()
        if texts not in seen:
            rows.append(
                row_of(name, texts, right, run.s.bleu_tokenizer, done - trained, train_seconds=float((trained - started)[0]))
            )
        seen.append(texts)
    return rows


def as_text(report: dict[str, Any]) -> str:
    """The table, how it was computed, and a few examples."""
    rows = report["alternatives"]
    width = max(len(row["name"]) for row in rows) + 2
    lines = [f"{'':{width}}" + "".join(f"{head:>9}" for head in HEADS.values()) + f"{'train time':>12}{'ms/text':>10}"]
    columns = {metric: [round(row[metric], 1) for row in rows] for metric in METRICS}
    for i, row in enumerate(rows):
        cells = [f"{x[i]:.1f}" + ("*" if min(x) < x[i] == max(x) else " ") for x in columns.values()]
        cost = f"{row['train_seconds']:10.1f} s{row['ms_per_text']:10.2f}"
        lines.append(f"{row['name']:{width}}" + "".join(f"{cell:>9}" for cell in cells) + cost)
    lines.append(f"* the best of a column. Judged on {count(report['sources'], report['judged_on'] + ' source')}.")
    lines.append(f"{report['computed_by']}.")
    for record in report["examples"]:
        lines += ["", f"source:  {short(record['text'], 200)}", f"written: {short(record['prediction'], 200)}"]
        others = len(record["gold"]) - 1
        lines.append(f"right:   {short(record['gold'][0], 200)}" + f" (or {others} more)" * (others > 0))
    return "\n".join(lines)


# -------------------------------------------------------------------------------------------------------- pictures


def draw_curve(run: Run, path: Path) -> None:
    """The loss on training and dev pairs, with ln V and the loss of one who knows how frequent each piece is."""
    lines = [line for line in run.trainer.metrics if "dev_loss" in line]
    if not lines:
        return
    V = len(run.vocabularies[1])
    counts = np.ones(V)
    for feature in run.trainer.features:
        np.add.at(counts, feature.target, 1)
    held = Counter(i for feature in run.trainer.dev_features for i in feature.target)
    unigram = -sum(n * math.log(counts[i] / counts.sum()) for i, n in held.items()) / sum(held.values())
    levels = {"uniform_baseline": math.log(V), "unigram_baseline": unigram}
    lines = [{**line, "valid_loss": line["dev_loss"], **levels} for line in lines]
    known = {"uniform": "uniform guessing", "unigram": "frequencies of the pieces only"}
    save_curve(lines, path, "sequence to sequence", "target piece", known)


def draw_attention(run: Run, sources: Sequence[str], texts: Sequence[str], path: Path) -> None:
    """For each example: how much each piece of the text looks at each piece of the source, the mean of all heads and layers."""
    from matplotlib.figure import Figure

    source, target = run.vocabularies
    figure = Figure(figsize=(6 * len(sources), 6), layout="constrained")
    every = np.atleast_1d(figure.subplots(1, len(sources)))
    rows = source.encode(sources, min(LONGEST, run.s.length))[0], target.encode(texts, min(LONGEST, run.s.target_length))[0]
    tables = [attention(run, ids, labels) for ids, labels in zip(*rows, strict=True)]
    for axes, ids, labels, table in zip(every, *rows, tables, strict=True):
        picture = axes.imshow(table, cmap="Blues", aspect="auto", vmin=0, vmax=max(map(np.max, tables)))
        axes.set_xticks(range(len(ids)), source.names(ids), rotation=90, fontsize=7)
        axes.set_yticks(range(len(labels)), target.names(labels), fontsize=7)
        axes.set(xlabel="source", ylabel="text")
        for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
            label.set_parse_math(False)  # a text may hold a $
    figure.colorbar(picture, ax=every, label="share of the attention, mean of all heads and layers")
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a script that the font lacks
        figure.savefig(temporary, dpi=110)


def attention(run: Run, ids: list[int], labels: list[int]) -> Any:
    """The decoder's attention on the source, the mean of all heads and layers: (T, S), rows that sum to 1."""
    batch = {"input_ids": minitorch.tensor([ids]), "labels": minitorch.tensor([labels])}
    with minitorch.no_grad():
        tables = run.model(**{k: v.to(run.s.device) for k, v in batch.items()}, output_attentions=True).cross_attentions
    return np.mean([table.cpu().numpy()[0].mean(0) for table in tables], axis=0)
