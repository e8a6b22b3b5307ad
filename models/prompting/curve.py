"""The learning curve: score against the number of training examples, for a cloze and for what it has to be compared with.

Each number of examples is drawn several times, because single draws differ by more than the methods do (Gao et al., 2021,
section 3). A draw is as balanced as it can be, and a larger one contains the smaller. Every choice, of rates and of a
regression's C, is made on the draw itself, so that no method sees more labels than the number says (Perez et al., 2021, "True
few-shot learning with language models", https://arxiv.org/abs/2105.11447).
Read before: use.py, contrastive.py. Read next: prompt_command.py.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import replacing, write_text
from minitorch.parallel import Workers, one_blas_thread

from ..bert.use import has_head
from ..classical.baselines import Linear, TfIdf
from ..errors import BadInput, count
from ..finetuning import metrics
from ..finetuning.classify import Classify, Example
from ..finetuning.comparing import begin
from ..reading import read_json
from ..text.labelled import as_json
from ..training.loop import progress
from ..training.runs import alone_in, make_folder, refuse_overwriting
from .cloze import Cloze, Settings
from .contrastive import Contrastive, Vectors
from .use import LEAST, Prompt, fit, learnt, like, read

CURVE = "curve.json"
COLOURS = {"cloze": "#cc4400", "head and model": "#204a87", "head and LoRA": "#729fcf", "mean vector": "#888888"}
COLOURS |= {"mean vector, contrastive": "#2e7d32", "TF-IDF": "#7b3f9e"}


# ------------------------------------------------------------------------------------------------------ methods


def cloze(s: Settings, reader: Classify, train: list[Example], test: list[Example]) -> dict[str, Any]:
    """The answers of the prompt, as they are and calibrated; without examples zero-shot."""
    prompt = Prompt.trained(s, reader, train, shown=False) if train and s.steps else Prompt.untrained(s, reader, train)
    calibrate = "contextual" if s.calibrate == "none" else s.calibrate
    return {"cloze": prompt.probabilities(test, "none"), f"cloze, {calibrate}": prompt.probabilities(test, calibrate)}


def head(s: Settings, reader: Classify, train: list[Example], test: list[Example]) -> dict[str, Any]:
    """A new head on the model, all of it trained; or with --adapt lora a new head and LoRA."""
    t = learnt(s, like(Classify, reader), train, shown=False)
    features = t.task.features(test, t.tokenizer)
    with Workers(s.workers) as workers:
        rows, _ = t.answer(features, workers)
    return {"head and LoRA" if s.adapt else "head and model": t.task.predictions(test, features, rows)}


def vectors(s: Settings, reader: Classify, train: list[Example], test: list[Example]) -> dict[str, Any]:
    """A regression on the mean of the last hidden states, before and after contrastive training."""
    make = like(Contrastive, reader)
    before = Vectors(fit(dataclasses.replace(s, steps=0), make, train, 1.0, "", shown=False))
    after = Vectors(learnt(s, make, train, shown=False))
    return {"mean vector": linear(before, reader, train, test), "mean vector, contrastive": linear(after, reader, train, test)}


def words(s: Settings, reader: Classify, train: list[Example], test: list[Example]) -> dict[str, Any]:
    """No neural network."""
    return {"TF-IDF": linear(TfIdf(), reader, train, test)}


def linear(features: Any, reader: Classify, train: list[Example], test: list[Example]) -> list[Any]:
    """Logistic regression on some columns; with LEAST examples or more, C is chosen by cross-validation on them."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    least = min(n for n in np.bincount([reader.target(e) for e in train]) if n)
    plain = LogisticRegression(C=10, max_iter=1000)
    folds = StratifiedKFold(min(4, max(2, least)), shuffle=True, random_state=0)
    search = GridSearchCV(plain, {"C": [1, 10, 100]}, scoring="neg_log_loss", cv=folds)
    with one_blas_thread():
        return Linear(lambda: search if len(train) >= LEAST and least > 1 else plain, reader, features).fit(train).predict(test)


METHODS: dict[str, tuple[Callable[..., dict[str, Any]], dict[str, Any]]] = {  # a function, and settings that it has its way
    "cloze": (cloze, {}),
    "head": (head, {}),
    "LoRA": (head, {"adapt": "lora"}),
    "vectors": (vectors, {}),
    "TF-IDF": (words, {}),
}


# --------------------------------------------------------------------------------------------------------- draws


def order_of(targets: Sequence[int], rng: np.random.Generator) -> list[int]:
    """All examples in an order of which every start is as balanced as it can be: one of each class in turn."""
    classes = [rng.permutation(np.flatnonzero(np.array(targets) == c)).tolist() for c in sorted(set(targets))]
    return [i for turn in itertools.zip_longest(*classes) for i in turn if i is not None]


def sizes_of(s: Settings, n: int, classes: int) -> list[int]:
    """--sizes, those that n examples of so many classes allow."""
    try:
        sizes = sorted({int(part) for part in s.sizes.split(",")})
    except ValueError:
        raise BadInput(f"--sizes must be numbers with commas between them, as 0,4,16,64,256, not {s.sizes!r}") from None
    fitting = [size for size in sizes if size == 0 or classes <= size <= n]
    for size in [size for size in sizes if size not in fitting]:
        few = f"{s.train} has {count(n, 'example')}" if size > n else f"there are {classes} classes"
        print(f"--sizes {size}: left out, because {few}")
    if not any(fitting):
        raise BadInput(f"--sizes {s.sizes}: none is from {classes}, an example of each class, to {n}, all of {s.train}")
    return fitting


def draw_curve(s: Settings, chosen: dict[str, Any], resume: bool, overwrite: bool, kept: Sequence[str]) -> None:
    """Run every method on every draw that is not finished; table, picture and JSON in --output."""
    for name in ("train", "test"):
        if not getattr(s, name):
            raise BadInput(f"--curve needs --{name} FILE: the examples to {'draw from' if name == 'train' else 'score on'}")
    folder = Path(s.output)
    if resume and not (folder / CURVE).is_file():
        raise BadInput(f"{folder / CURVE}: nothing to resume; start without --resume")
    if not resume:
        refuse_overwriting(folder, kept, overwrite)
    guesses = has_head(s.model)
    reader = Cloze(s) if guesses else Classify(s)
    train, test = read(s, reader)
    if guesses:
        Prompt.untrained(s, reader, train)  # errors of template and words come before anything is written
    else:
        print("no cloze: this checkpoint holds no masked-LM head")
    make_folder(folder)
    with alone_in(folder):
        begin(folder, chosen, resume)
        finish(s, reader, train, test, dict(read_json(folder / CURVE).get("cells", {})) if resume else {})


def finish(s: Settings, reader: Classify, train: list[Example], test: list[Example], cells: dict[str, Any]) -> None:
    """All cells, then the results as text, JSON and picture."""
    targets = [reader.target(e) for e in train]
    sizes, gold = sizes_of(s, len(train), len(reader.labels)), [reader.target(e) for e in test]
    jobs = [(d, n, m) for d in range(s.draws) for n in sizes for m in METHODS if able(m, n, d, s, reader)]
    report = {"metric": s.metric, "sizes": sizes, "draws": s.draws, "test": len(test), "cells": cells}
    report["majority"] = metrics.classes(gold, [int(np.bincount(targets).argmax())] * len(gold), reader.labels)[s.metric]
    path = Path(s.output) / CURVE
    print(f"{count(s.draws, 'draw')} of {', '.join(map(str, sizes))} examples: {count(len(jobs), 'measurement')}; the first draw "
          "shows how long one takes")  # fmt: skip
    with progress(len(jobs), 0, "measurement") as bar:
        for draw, size, name in jobs:
            key = f"{name}, {size} examples, draw {draw + 1}"
            bar.set_description_str(key)
            if key not in cells:
                some = [train[i] for i in order_of(targets, np.random.default_rng([s.seed, draw]))[:size]]
                method, changes = METHODS[name]
                try:
                    answers = method(dataclasses.replace(s, seed=s.seed + draw, **changes), reader, some, test)
                except KeyboardInterrupt:
                    bar.close()
                    print(f"\nstopped; the same command with --resume goes on: {len(cells)} of {len(jobs)} are finished")
                    raise
                guesses = {row: np.array(p).argmax(-1).tolist() for row, p in answers.items()}
                scores = {row: metrics.classes(gold, g, reader.labels)[s.metric] for row, g in guesses.items()}
                cells[key] = {"examples": size, "scores": scores}
                write_text(path, as_json(report, 1) + "\n")
            bar.update()
    report["rows"] = rows_of(cells)
    write_text(path, as_json(report, 1) + "\n")
    write_text(path.with_suffix(".txt"), as_text(report) + "\n")
    draw_picture(report, path.with_suffix(".png"))
    print(f"\n{as_text(report)}\n\n{s.output}/: curve.txt, .json, .png")


def able(method: str, size: int, draw: int, s: Settings, reader: Classify) -> bool:
    """Zero-shot is a cloze alone, with words that are given, and the same in every draw."""
    if method == "cloze":
        return isinstance(reader, Cloze) and (size > 0 or (draw == 0 and not s.finds and not s.demonstrations))
    return size > 0


# ------------------------------------------------------------------------------------------------------- results


def rows_of(cells: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """Row -> number of examples -> the scores of all draws."""
    rows: dict[str, dict[str, list[float]]] = {}
    for cell in cells.values():
        for row, score in cell["scores"].items():
            rows.setdefault(row, {}).setdefault(str(cell["examples"]), []).append(score)
    return rows


def as_text(report: dict[str, Any]) -> str:
    """The table: mean and deviation over the draws."""
    sizes, rows = report["sizes"], report["rows"]
    width = max(len(row) for row in [*rows, "most frequent class"]) + 2
    n = report["test"]
    lines = [f"{report['metric']} on {count(n, 'test example')}: mean ± deviation of {count(report['draws'], 'draw')}"]
    lines += [f"{'training examples':{width}}" + "".join(f"{size:>14}" for size in sizes)]
    for row, scores in rows.items():
        cells = [scores.get(str(size), []) for size in sizes]
        shown = [
            "" if not c else f"{c[0]:.3f}" + " " * 7 if len(c) == 1 else f"{np.mean(c):.3f} ± {np.std(c, ddof=1):.3f}"
            for c in cells
        ]
        lines.append(f"{row:{width}}" + "".join(f"{cell:>14}" for cell in shown).rstrip())
    return "\n".join([*lines, f"{'most frequent class':{width}}{report['majority']:7.3f}"])


def draw_picture(report: dict[str, Any], path: Path) -> None:
    """A line for each row with its deviations, and the most frequent class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes, sizes = figure.subplots(), report["sizes"]
    for k, (row, scores) in enumerate(report["rows"].items()):
        there = [i for i, size in enumerate(sizes) if str(size) in scores]
        values = [scores[str(sizes[i])] for i in there]
        spread = [np.std(v, ddof=1) if len(v) > 1 else 0 for v in values]
        at = [i + 0.03 * (k - len(report["rows"]) / 2) for i in there]  # side by side, or the bars would hide each other
        axes.errorbar(
            at,
            [np.mean(v) for v in values],
            spread,
            marker="o",
            markersize=4,
            capsize=2,
            label=row,
            color=COLOURS.get(row, "#f0a000"),
        )
    axes.axhline(report["majority"], color="black", linestyle="--", linewidth=1, label="most frequent class")
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axes.set(xlabel="training examples", ylabel=f"{report['metric']} on {count(report['test'], 'test example')}")
    axes.set_title(f"Learning curve: mean and deviation of {count(report['draws'], 'draw')} of the examples")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)
