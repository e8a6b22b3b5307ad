"""A run's report: its scores, and those of the alternatives on the same examples by the same metric, with their costs.

As text (report.txt), as JSON (report.json) and as a picture (report.png); the predictions go to predictions.jsonl.
Read before: run.py, models/classical/baselines.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch.files import replacing, write_text
from minitorch.parallel import one_blas_thread

from ..bert.model import BertModel
from ..bert.use import embed, load
from ..classical.baselines import Fused, Linear, linear_models
from ..errors import count
from ..text.labelled import as_json
from ..training.loop import clocks, progress
from ..training.trainer import Trainer
from . import calibration
from .metrics import AVERAGES
from .run import Run
from .tasks import Task
from .trainer import random_model

HEADLINES = (
    "accuracy", "f1", "relation_f1", "strict_f1", "exact_match", "macro_f1", "micro_f1", "weighted_f1", "undirected_f1",
    "matthews", "pearson", "spearman", "r2", "rmse", "mae", "hamming_loss", "precision", "recall", "loss",
)  # fmt: skip
SHORT = 48  # characters of a label in a table
MOST = 24  # labels of a confusion matrix


def finish(run: Run) -> dict[str, Any]:
    """Judge the model and its alternatives; write report.txt, .json, .png and predictions.jsonl."""
    name, examples = run.judged
    predictions, scores, answering = run.trainer.report_on(examples, f"answering {name}")
    records = [{**run.task.shown(e, p), "gold": run.task.gold(e)} for e, p in zip(examples, predictions, strict=True)]
    write_text(run.folder / "predictions.jsonl", "\n".join(map(as_json, records)) + "\n")
    metric = run.trainer.metric
    rows = [row_of("this BERT, fine-tuned", scores, *cost_of(run.trainer, answering, len(examples)))]
    rows += alternatives(run, examples)
    run.report = {
        "task": run.task.name,
        "judged_on": name,
        "examples": {"train": len(run.data.train), "dev": len(run.data.dev), "test": len(run.data.test)},
        "metric": metric,
        "scores": scores,
        "alternatives": rows,
        "training": run.trainer.metrics,
        "settings": dataclasses.asdict(run.s),
        "sha256": run.data.sha256,
        "minitorch": minitorch.__version__,
    }
    if answers := run.task.confidences(examples, predictions):
        held = ("dev" if run.data.dev else "", len(run.data.dev))
        run.report["calibration"] = calibration.judge(answers, run.task.temperature, held)
    write_text(run.folder / "report.json", as_json(run.report, 1) + "\n")
    text = as_text(run.report)
    write_text(run.folder / "report.txt", text + "\n")
    draw(run.report, run.folder / "report.png")
    run.say(text)
    return run.report


def row_of(name: str, scores: dict[str, Any], training: Any, answering: Any, parameters: int, size: int) -> dict[str, Any]:
    """One line of the comparison; the cost of training, and of answering one example, in (seconds, CPU seconds)."""
    plain = {key: scores[key] for key in HEADLINES if isinstance(scores.get(key), float)}
    cost = {"train_seconds": float(training[0]), "train_processor_seconds": float(training[1])}
    cost |= {"ms_per_example": 1000 * float(answering[0]), "processor_ms_per_example": 1000 * float(answering[1])}
    return {"name": name, **plain, **cost, "parameters": int(parameters), "bytes": int(size)}


def cost_of(trainer: Trainer, answering: Any, n: int) -> tuple[Any, Any, int, int]:
    """A BERT's cost to train and per example, its parameters and its bytes."""
    parameters = trainer.model.num_parameters()
    return (trainer.seconds, trainer.processor_seconds), answering / n, parameters, 4 * parameters


def alternatives(run: Run, examples: list[Any]) -> list[dict[str, Any]]:
    """The alternatives, trained on the same examples and scored by the same metrics."""
    train, task = run.data.train, run.task
    rows = []
    makers: dict[str, Callable[[], Any]] = {} if run.s.compare == "none" else dict(task.baselines())
    if run.s.fuse:
        makers |= fused(run)
    with progress(len(makers), 0, "model") as bar:
        for name, make in makers.items():
            bar.set_description_str(f"alternatives: {name}")
            try:
                predictions, cost = measured(make, train, examples)
            except ValueError as error:  # scikit-learn cannot learn from one class, or from texts without words
                reason = str(error).partition("\n")[0]
                run.say(f"{name}: left out, because it cannot be trained on these examples ({reason})")
                continue
            rows.append(row_of(name, task.score(examples, predictions), *cost))
            bar.update()
    if run.s.compare == "all":
        rows.append(from_scratch(run, examples))
    return rows


def measured(make: Callable[[], Any], train: list[Any], examples: list[Any]) -> tuple[list[Any], Any]:
    """The predictions of an alternative, and its cost to train and per example, its parameters and its bytes."""
    with one_blas_thread(), warnings.catch_warnings():  # their tables are sparse: more threads only wait for each other
        warnings.filterwarnings("ignore", "Label .* is present in all training examples")
        warm_up(make, train, examples)
        started = clocks()
        baseline = make().fit(train)
        fitted = clocks()
        predictions = baseline.predict(examples)
        done = clocks()
    return predictions, (fitted - started, (done - fitted) / len(examples), baseline.parameters, baseline.size)


def warm_up(make: Callable[[], Any], train: list[Any], examples: list[Any], few: int = 30) -> None:
    """Load what the alternative imports, and run it once on a few examples, so that the clock does not count that."""
    spread = train[:: max(1, len(train) // few)]
    with contextlib.suppress(ValueError):  # that these cannot be learnt from does not matter: all examples decide
        make().fit(spread).predict(examples[:few])


def from_scratch(run: Run, examples: list[Any]) -> dict[str, Any]:
    """The same BERT trained from random weights, which shows how much pretraining helps."""
    model = random_model(run.s, run.model)
    trainer = run.make_trainer(model)
    trainer.train("the same from random weights")
    model.load_state_dict(trainer.weights)
    _, scores, answering = trainer.report_on(examples, "answering from random weights")
    return row_of("the same BERT from random weights", scores, *cost_of(trainer, answering, len(examples)))


def fused(run: Run) -> dict[str, Callable[[], Any]]:
    """A linear model on TF-IDF and the BERT's mean hidden state together, as it was before fine-tuning.

    Not after it: the fine-tuned model has seen the training labels, so its features of these examples are better than
    any it will give later, and the linear model would trust them too much.
    """
    task: Any = run.task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about heads that the checkpoint has
        tokenizer, model = load(run.s.model, BertModel, run.s.device, add_pooling_layer=False)

    def vectors(examples: list[Any]) -> Any:
        parts = []
        for i in range(0, len(examples), 32):
            texts = [f"{e.text} {e.pair}" if e.pair else e.text for e in examples[i : i + 32]]
            room = min(run.s.length, model.config.max_position_embeddings) - 2
            short = [
                tokenizer.decode(ids[:room]) if len(ids) > room else t for t, ids in zip(texts, tokenizer.encode_lines(texts))
            ]
            parts.append(embed(model, tokenizer, short))
        return np.concatenate(parts)

    name, make = next(iter(linear_models(task).items()))
    features = Fused(vectors, model.num_parameters())
    return {f"TF-IDF + BERT features, {name}": lambda: Linear(make, task, features)}


# ------------------------------------------------------------------------------------------------------------ text


def as_text(report: dict[str, Any]) -> str:
    """The whole report for a terminal."""
    scores, n = report["scores"], report["examples"]
    judged = report["judged_on"]
    parts = [f"{report['task']}: judged on {count(n[judged], judged + ' example')}, trained on {n['train']:,}"]
    if judged == "dev" and not report["settings"]["test"]:
        parts[0] += "\n(these also chose the best checkpoint, so the score is a little high; --test gives an unbiased one)"
    parts.append("  ".join(f"{name} {scores[name]:.4g}" for name in HEADLINES if isinstance(scores.get(name), float)))
    parts += [f"{title}\n{class_table(table)}" if title else class_table(table) for title, table in tables(report)]
    if "directions" in scores:
        parts.append(directions_text(scores["directions"]))
    table = scores.get("confusion")
    if table and np.ndim(table) == 2:
        parts.append(confusion_text(table, scores["labels"]))
    if "calibration" in report:
        parts.append(calibration.as_text(report["calibration"], judged))
    if report["alternatives"]:
        parts.append(comparison(report["alternatives"], report["metric"]))
    return "\n\n".join(parts)


def shortened(label: str) -> str:
    """At most SHORT characters."""
    return label if len(label) <= SHORT else label[: SHORT - 3] + "..."


def tables(report: dict[str, Any]) -> list[tuple[str, dict[str, dict[str, float]]]]:
    """(title, rows) of each table of classes. Entities have two: of whole spans, and of the single words' tags; relations with a
    direction too: without it, and with it."""
    scores = report["scores"]
    if "classes" not in scores:
        return []
    if "words" in scores:
        return [("entities, right in both ends and in type", scores["classes"]), ("tags of words", scores["words"]["classes"])]
    if "left_out" not in scores:
        return [("", scores["classes"])]
    without = f"; the averages leave {', '.join(scores['left_out'])} out" if scores["left_out"] else ""
    if "directed" not in scores:
        return [(f"relations{without}", scores["classes"])]
    return [
        (f"relations, right in their direction too{without}", scores["classes"]),
        (f"labels, each direction for itself{without}", scores["directed"]),
    ]


def class_table(classes: dict[str, dict[str, float]], most: int = 60) -> str:
    """Precision, recall, F1 and support, one line per class."""
    names = list(classes)
    averages = [name for name in names if name in AVERAGES]
    shown = [name for name in names if name not in averages][:most]
    width = max(14, *(len(shortened(name)) for name in shown), 0) if shown else 14
    lines = [f"{'':{width}}  precision  recall      F1  support"]
    for name in [*shown, *averages]:
        r = classes[name]
        lines.append(f"{shortened(name):{width}}  {r['precision']:9.3f}  {r['recall']:6.3f}  {r['f1']:6.3f}  {r['support']:7,}")
    left_out = len(names) - len(shown) - len(averages)
    return "\n".join(lines) + (f"\n({left_out} more in report.json)" if left_out else "")


def column_heads(labels: list[str], cell: int) -> tuple[list[str], list[str]]:
    """Names of a confusion matrix's rows and heads of its columns. Where a label is wider than ``cell``, both are numbered and
    the heads are the numbers."""
    names = [shortened(label) for label in labels]
    if all(len(name) <= cell for name in names):
        return names, names
    wide = len(str(len(names)))
    return [f"{i:{wide}} {name}" for i, name in enumerate(names, 1)], [str(i) for i in range(1, len(names) + 1)]


def confusion_text(table: list[list[int]], labels: list[str]) -> str:
    """The confusion matrix: rows are gold labels, columns predictions. Of more than MOST labels, the commonest confusions."""
    if len(labels) > MOST:
        return common_confusions(table, labels)
    numbers = max(len(f"{x:,}") for row in table for x in row)
    names, heads = column_heads(labels, max(numbers, 10 if len(labels) <= 6 else 4))
    cell = max(5, numbers + 2, *(len(head) + 2 for head in heads))
    width = max(len(name) for name in [*names, "right, given"])
    rows = [f"{name:{width}}" + "".join(f"{x:{cell},}" for x in row) for name, row in zip(names, table, strict=True)]
    return "\n".join([f"{'right, given':{width}}" + "".join(f"{head:>{cell}}" for head in heads), *rows])


def common_confusions(table: list[list[int]], labels: list[str], most: int = 20) -> str:
    """The labels that were most often taken for others: how often, out of how many, and for which."""
    wrong = np.array(table)
    asked = wrong.sum(1)
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [divmod(int(i), len(labels)) for i in order]
    width = max(len(shortened(label)) for label in labels)
    lines = [
        f"{shortened(labels[i]):{width}}  {shortened(labels[j]):{width}}  {wrong[i, j]:5,} of {asked[i]:,}"
        for i, j in pairs
        if wrong[i, j]
    ]
    if not lines:
        return "no label was taken for another"
    return "\n".join([f"{'right':{width}}  {'given':{width}}  commonest confusions (all: report.json)", *lines])


def directions_text(directions: dict[str, dict[str, int]]) -> str:
    """How often a relation was found and its direction was right, or turned round."""
    width = max(len(shortened(label)) for label in [*directions, "relation, right"])
    lines = [f"{'directions':{width}}    right   turned  another answer"]
    for label, n in directions.items():
        lines.append(f"{shortened(label):{width}}  {n['right']:7,}  {n['turned']:7,}  {n['another']:14,}")
    return "\n".join(lines)


def comparison(rows: list[dict[str, Any]], metric: str) -> str:
    """Per model: score, training cost, size and speed; the best is marked."""
    metric = metric if all(metric in row for row in rows) else next(name for name in HEADLINES if name in rows[-1])
    second = next((n for n in ("macro_f1", "exact_match", "accuracy", "spearman", "rmse") if n != metric and n in rows[-1]), None)
    width = max(len(row["name"]) for row in rows) + 2
    heads = ("train time", "train CPU", "parameters", "size", "time/example", "CPU/example")
    lines = [f"{'':{width}}{metric:>12}{second or '':>12}" + "".join(f"{head:>13}" for head in heads)]
    for row, mark in zip(rows, marks(rows, metric, second), strict=True):
        quality = f"{row[metric]:12.4f}" + (f"{row[second]:12.4f}" if second else " " * 12)
        cost = "".join(f"{row[key]:11.1f} s" for key in ("train_seconds", "train_processor_seconds"))
        cost += f"{row['parameters']:13,}{size_text(row['bytes']):>13}"
        cost += "".join(f"{row[key]:10.2f} ms" for key in ("ms_per_example", "processor_ms_per_example"))
        lines.append(f"{row['name']:{width}}{quality}{cost}{mark}")
    return "\n".join(lines)


def marks(rows: list[dict[str, Any]], metric: str, second: str | None) -> list[str]:
    """ "<- best" for the row that alone has the best score, as printed; with the metric's name if the second one disagrees."""

    def best(name: str) -> list[int]:
        sign = -1 if name in Task.smaller_is_better else 1
        values = [sign * round(row[name], 4) for row in rows]
        return [i for i, value in enumerate(values) if value == max(values)]

    first, found = best(metric), [""] * len(rows)
    if len(rows) > 1 and len(first) == 1:
        agreed = second is None or first[0] in best(second)
        found[first[0]] = "  <- best" if agreed else f"  <- best {metric}"
    return found


def in_columns(rows: list[list[str]]) -> str:
    """A table in plain text; a row with fewer cells ends in a sentence that needs no column."""
    full = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(len(row[i]) for row in full) for i in range(len(rows[0]))]
    widths[0] = max(len(row[0]) for row in rows)

    def line(row: list[str]) -> str:
        cells = row if len(row) == len(rows[0]) else row[:2]
        said = [f"{cell:<{w}}" if i == 0 else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(cells, widths, strict=False))]
        return "  ".join([*said, *row[len(cells) :]]).rstrip()

    return "\n".join(map(line, rows))


def size_text(n: float) -> str:
    """Bytes in the unit that fits."""
    for unit in ("B", "kB"):
        if n < 1000:
            return f"{n:.0f} {unit}"
        n /= 1000
    return f"{n:.1f} MB"


# --------------------------------------------------------------------------------------------------------- picture


def draw(report: dict[str, Any], path: Path) -> None:
    """All models compared, the model's errors, and whether its confidence is right."""
    from matplotlib.figure import Figure

    scores, panels = report["scores"], 3 if "calibration" in report else 2
    figure = Figure(figsize=(5.5 * panels, 4.8), layout="constrained")
    left, right, *last = figure.subplots(1, panels)
    rows = report["alternatives"] or [{"name": "this BERT", **{k: v for k, v in scores.items() if isinstance(v, float)}}]
    metric = report["metric"] if all(report["metric"] in row for row in rows) else next(n for n in HEADLINES if n in rows[-1])
    values = [row[metric] for row in rows]
    bars = left.barh([row["name"] for row in rows], values, color=["#2f6690", *["#9db4c8"] * (len(rows) - 1)])
    left.bar_label(bars, [f"{v:.3f}" for v in values], padding=3)
    left.invert_yaxis()
    left.margins(x=0.15)
    left.set(xlabel=f"{metric} on {report['judged_on']}", title="Compared with the alternatives")
    draw_errors(right, scores)
    for axes in last:
        calibration.draw(axes, report["calibration"])
    for axes in (left, right, *last):
        axes.title.set_fontweight("bold")
        axes.spines[["top", "right"]].set_visible(False)
        for text in [axes.title, *axes.get_xticklabels(), *axes.get_yticklabels()]:
            text.set_parse_math(False)  # a label may hold a $
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a label in a script that the font lacks
        figure.savefig(temporary, dpi=130)


def draw_errors(axes: Any, scores: dict[str, Any]) -> None:
    """A confusion matrix, a scatter of numbers, the F1 of each class, or bars of the scores."""
    table = scores.get("confusion")
    if "points" in scores:
        gold, guess = np.array(scores["points"]).T
        axes.scatter(gold, guess, s=9, alpha=0.6, color="#2f6690", linewidths=0)
        axes.axline((gold.mean(), gold.mean()), slope=1, color="black", linewidth=0.8, linestyle="--")
        axes.set(xlabel="right", ylabel="predicted", title="Predicted against right")
    elif table and np.ndim(table) == 2 and len(table) <= MOST:
        counts = np.array(table, dtype=float)
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        names, heads = column_heads(scores["labels"], 16 if len(table) <= 3 else 6)
        axes.set_xticks(range(len(heads)), heads)
        axes.set_yticks(range(len(names)), names)
        if len(names) <= 12:
            for i, j in np.ndindex(counts.shape):
                axes.text(j, i, f"{counts[i, j]:.0f}", ha="center", va="center", color="white" if share[i, j] > 0.5 else "black")
        axes.set(xlabel="predicted", ylabel="right", title="Confusion (rows sum to 1)")
    else:
        classes = {k: v["f1"] for k, v in scores.get("classes", {}).items() if k not in AVERAGES}
        classes = classes or {k: v for k, v in scores.items() if isinstance(v, float) and k != "loss"}
        names = sorted(classes, key=lambda name: -classes[name])[:25]
        axes.barh(range(len(names)), [classes[name] for name in names], color="#2f6690")
        axes.set_yticks(range(len(names)), [shortened(name) for name in names])  # a label is no number or date to matplotlib
        axes.invert_yaxis()
        axes.set(title="F1 of each class" if "classes" in scores else "Scores")
