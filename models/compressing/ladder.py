"""``minitorch compress --ladder``: what each technique costs and keeps, rung by rung, in one table and one picture.

Score against size on disk and against time per text, all measured on the same test examples, next to the models without a neural
network, which are trained on --data. Nothing is trained after pruning; students, or models that were, come in by --also.
Read before: command.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import replacing, write_text

from ..finetuning.report import measured as fitted
from ..finetuning.report import size_text
from ..reading import read_json
from . import heads, int8, layers, weights
from .measuring import memory_of, sizes
from .settings import INT8, Settings
from .subject import Subject, evenly

SHARES = [i / 10 for i in range(1, 10)]
RECORD = "ladder.json"
PRUNED = ("as it is", "heads", "weights", "layers")
MARKS = {"heads": "o-", "weights": "s--", "layers": "^-.", "int8": "D", "as it is": "P", "other": "X", "classical": "*"}


def ladder(s: Settings, resume: bool) -> list[dict[str, Any]]:
    """All rungs that are not measured yet; table, numbers and picture in the output folder."""
    base = Path(s.output)
    rows: list[dict[str, Any]] = read_json(base / RECORD)["rows"] if resume and (base / RECORD).is_file() else []
    known = {row["name"] for row in rows}
    scratch = base / ".rung"
    try:
        for kind, name, share, make in rungs(s):
            if name in known:
                continue
            subject = make()
            subject.save(scratch)
            rows.append({"kind": kind, "name": name, "share": share, **measured(subject, scratch, s)})
            print(line_of(rows[-1]), flush=True)
            write_text(base / RECORD, json.dumps({"of": s.model, "rows": rows}, indent=1) + "\n")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    rows = [row for row in rows if row["kind"] != "classical"] + classical(s)
    write_text(base / RECORD, json.dumps({"of": s.model, "rows": rows}, indent=1) + "\n")
    write_text(base / "ladder.txt", as_text(rows) + "\n")
    draw(rows, base / "ladder.png")
    return rows


def fresh(s: Settings, folder: str = "") -> Subject:
    """The model as it is, on one thread."""
    return Subject(folder or s.model, s.device, s.batch_size, threads=1, **s.reading)


def rungs(s: Settings) -> Iterator[tuple[str, str, float, Any]]:
    """(technique, name, share that is gone, a function that makes the model)."""
    yield "as it is", "as it is", 0.0, lambda: fresh(s)
    subject = fresh(s)
    subject.refuse_int8()
    L, some = subject.model.config.num_hidden_layers, evenly(subject.read(s.data), s.examples)
    counts = [subject.model.config.heads_of(i) for i in range(L)]
    for share in SHARES:
        if round(share * sum(counts)) <= sum(counts) - L:
            yield "heads", f"heads, {share:.0%} gone", share, lambda share=share: without_heads(subject, some, share, sum(counts))
    for share in SHARES:
        yield "weights", f"weights, {share:.0%} zero", share, lambda share=share: with_zeros(fresh(s), share, s)
    for k in range(L - 1, 0, -1):
        kept = sorted({round(i) for i in np.linspace(0, L - 1, k)}) if k > 1 else [0]
        yield "layers", f"layers {','.join(map(str, kept))}", 1 - k / L, lambda kept=kept: with_layers(fresh(s), kept)
    for scheme in INT8:
        for embeddings in (False, True):
            name = f"int8 {scheme}{' + embeddings' if embeddings else ''}"
            yield "int8", name, 0.0, lambda a=scheme, b=embeddings: quantised(fresh(s), some, a, b)
    for folder in s.also:
        yield "other", str(folder), 0.0, lambda folder=folder: fresh(s, folder)


def without_heads(subject: Subject, some: list[Any], share: float, n: int) -> Subject:
    """Fewer heads than the rung before had, up to the share of n."""
    model = subject.model
    while (gone := n - sum(layer.attention.self.heads for layer in heads.model_layers(model))) < round(share * n):
        step = min(round(share * n) - gone, max(1, round(heads.STEP * n)))
        least = heads.least(heads.importance(model, subject.losses(some)), step)
        heads.prune(model, [(i, heads.standing(model.config, i)[place]) for i, place in least])
    return subject


def with_zeros(subject: Subject, share: float, s: Settings) -> Subject:
    """By magnitude."""
    weights.Pruner(subject.model, "magnitude", share, s.scope).prune(share)
    return subject


def with_layers(subject: Subject, kept: list[int]) -> Subject:
    """These layers alone."""
    layers.keep(subject.model, kept)
    return subject


def quantised(subject: Subject, some: list[Any], scheme: str, embeddings: bool) -> Subject:
    """Of int8."""
    features = subject.task.features(some, subject.tokenizer)
    int8.quantize(subject.model, scheme, embeddings, (lambda: subject.trainer.answer(features)) if scheme == "static" else None)
    return subject


def measured(subject: Subject, folder: Path, s: Settings) -> dict[str, Any]:
    """Score, CPU time per text on one thread, bytes and peak memory."""
    test = subject.read(s.test)
    subject.trainer.answer(subject.task.features(test[:4], subject.tokenizer))  # what is loaded and allocated once
    _, scores, spent = subject.trainer.report_on(test, "answering")
    metric = subject.trainer.metric
    found = {"metric": metric, "score": float(scores[metric]), "ms": 1000 * float(spent[1]) / len(test), **sizes(folder)}
    return found | {"peak_mib": memory_of(folder, s.test, 32, **s.reading)["peak_mib"]}


def classical(s: Settings) -> list[dict[str, Any]]:
    """The models without a neural network; none for a pretrained model."""
    subject = fresh(s)
    train, test, rows = subject.read(s.data), subject.read(s.test), []
    for name, make in subject.task.baselines().items():
        try:
            predictions, (_, answering, _, size) = fitted(make, train, test)
        except ValueError:  # scikit-learn cannot learn from these
            continue
        metric = subject.trainer.metric
        score = float(subject.task.score(test, predictions)[metric])
        found = {"metric": metric, "score": score, "ms": 1000 * float(answering[1]), "bytes": size}
        rows.append({"kind": "classical", "name": name, "share": 0.0, **found})
    return rows


# ------------------------------------------------------------------------------------------------ table and picture


def line_of(row: dict[str, Any]) -> str:
    """A line of the table."""
    zipped = size_text(row["gzip_bytes"]) if "gzip_bytes" in row else ""
    memory = f"{row['peak_mib']:.0f} MiB" if "peak_mib" in row else ""
    return f"{row['name']:36}{row['score']:>9.4f}{size_text(row['bytes']):>12}{zipped:>12}{row['ms']:>9.2f} ms{memory:>12}"


def as_text(rows: list[dict[str, Any]]) -> str:
    """The table."""
    heads_of_columns = f"{'':36}{rows[0]['metric']:>9}{'on disk':>12}{'gzip':>12}{'per text':>12}{'peak memory':>12}"
    return "\n".join([heads_of_columns, *map(line_of, rows)])


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Score against the share that is gone, the size, and the time; techniques differ by their marks too."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(14, 4.8), layout="constrained")
    parts = figure.subplots(1, 3, sharey=True)
    words = sorted((row for row in rows if row["kind"] == "classical"), key=lambda row: row["score"])[-1:]  # the best of them
    shown = [row for row in rows if row["kind"] != "classical"] + words
    columns = (("share", "share that is gone", 1), ("bytes", "MB on disk", 1e-6), ("ms", "ms of CPU per text", 1))
    for axes, (key, label, factor) in zip(parts, columns, strict=True):
        for kind, mark in MARKS.items():
            own = [row for row in shown if row["kind"] == kind and (key != "share" or kind in PRUNED)]
            x, y = [factor * row[key] for row in own], [row["score"] for row in own]
            axes.plot(x, y, mark, label=kind, markersize=11 if kind in ("classical", "as it is") else 6, alpha=0.85)
            for row, there in zip(own, x, strict=True):
                if kind in ("other", "classical"):
                    name = Path(row["name"]).name
                    axes.annotate(name, (there, row["score"]), (0, 7), textcoords="offset points", fontsize=7, ha="center")
        for row in words:
            axes.axhline(row["score"], color="#888888", linestyle=":", linewidth=1)
        axes.set(xlabel=label, xscale="linear" if key == "share" else "log")
        axes.margins(x=0.12)
        if key != "share":
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(color="#dddddd")
    parts[0].set(ylabel=rows[0]["metric"], title="".join(f"dotted: {row['name']}" for row in words))
    parts[0].legend(frameon=False, fontsize=8, loc="lower left")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
