"""``minitorch recommend --items FILE --clicks FILE --model FOLDER``: five recommenders on one split, and each user's next items.

Read before: clicks.py, recommenders.py, measuring.py.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import replacing, write_text

from ..bert.model import BertModel
from ..bert.use import embed, load
from ..checkpoints.files import PRETRAINED
from ..errors import BadInput, count
from ..text.labelled import as_json
from ..training.loop import prepare_kernels
from ..training.runs import complete, new_folder
from ..training.settings import add_options, check_limits, given, option, usable_device
from .clicks import Clicks, imports_as_clicks, read_clicks
from .measuring import blocks, first_items, only, quality
from .recommenders import Described, Factors, Joined, Neighbours, Popularity

NEXT = "recommendations.jsonl"
WEIGHTS = (0.2, 0.4, 0.6, 0.8)
LARGEST = 20_000  # items: a table of all pairs has 1.6 GB then


@dataclass
class Settings:
    """Every choice; each is an option of ``minitorch recommend`` and a key of its TOML file."""

    items: str = option("", "table of items and their descriptions", "modules of this Python installation")
    clicks: str = option("", "table of users, items and times", "imports in this Python installation")
    model: str = option(PRETRAINED, "folder of a BERT that reads the descriptions; none: clicks alone")
    output: str = option("runs/recommend", "folder for the report and the recommendations")
    top: int = option(10, "how many items to recommend, and to judge")
    size: int = option(32, "factors per user and item")
    epochs: int = option(30, "how often the factors read the clicks")
    lr: float = option(0.02, "learning rate of the factors")
    seed: int = option(0, "seed of every random choice")
    device: str = option("cpu", "cpu, cuda or cuda:N: where the BERT reads")

    def check(self) -> None:
        """BadInput for settings that cannot work."""
        check_limits(self, {"top": (1, 1000), "size": (1, 1024), "epochs": (1, 10_000), "lr": (1e-12, 10), "seed": (0, math.inf)})
        if bool(self.items) != bool(self.clicks):
            raise BadInput("--items and --clicks belong together: give both, or none for a trial on Python's own modules")
        if not self.output:
            raise BadInput("--output is empty: name a folder")
        self.device = usable_device(self.device)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: one a setting."""
    add_options(parser, Settings)


def run(args: argparse.Namespace) -> int:
    """``minitorch recommend``"""
    if args.resume:
        raise BadInput("--resume: this takes seconds, so the same command starts again")
    s = Settings(**given(args, Settings))
    s.check()
    try:
        reader = None if s.model == "none" else load(s.model, BertModel, s.device, add_pooling_layer=False)
        prepare_kernels("cpu")
        with contextlib.ExitStack() as until:
            kept = ("report.json", NEXT)
            folder = new_folder(Path(s.output), kept, args.overwrite, until, cure="use --overwrite or another --output")
            clicks = read_clicks(*((s.items, s.clicks) if s.items else imports_as_clicks(folder)))
            if len(clicks.items) > LARGEST:
                raise BadInput(
                    f"{s.items}: {count(len(clicks.items), 'item')}; the neighbours of more than {LARGEST:,} do not fit"
                )
            work(s, clicks, reader, folder)
            complete(folder, Path(s.output))
    except (ValueError, RuntimeError) as error:
        raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
    print(f"{s.output}/: {NEXT}, report.txt, report.json, report.png")
    return 0


def work(s: Settings, clicks: Clicks, reader: Any, folder: Path) -> None:
    """Choose on the clicks after the first 80 %, judge on the last 10 %, then recommend with all clicks."""
    n = len(clicks.user)
    train, valid, test, early = (clicks.table(slice(*part)) for part in ((0, n * 8 // 10), (n * 8 // 10, n * 9 // 10),
                                 (n * 9 // 10, n), (0, n * 9 // 10)))  # fmt: skip
    print(f"{count(len(clicks.users), 'user')}, {count(len(clicks.items), 'item')}, {count(n, 'click')}: the first 80 % to learn "
          "from, 10 % to choose with, the last 10 % to judge")  # fmt: skip
    if not quality(Popularity().fit(early), early, test, 1)["users"]:
        raise BadInput("no user has clicks both before and in the last tenth of the time, so nothing can be judged")
    makers: dict[str, Any] = {"popularity": Popularity, "neighbours": Neighbours,
                              "factors": lambda: Factors(s.size, s.epochs, s.lr, seed=s.seed)}  # fmt: skip
    if reader is not None:
        vectors = embed(reader[1], reader[0], clicks.texts)
        collaborative, weight = chosen(s, makers, vectors, train, valid)
        makers["descriptions"] = lambda: Described(vectors)
        makers[f"{collaborative} and descriptions"] = lambda: Joined(makers[collaborative](), Described(vectors), weight)
    cold = np.asarray(early.sum(0)).ravel() == 0
    rows = {}
    for name, make in makers.items():
        began = time.process_time()
        recommender = make().fit(early)
        parts = {"all": test, "cold": only(test, cold)}
        rows[name] = {part: quality(recommender, early, wanted, s.top) for part, wanted in parts.items()}
        rows[name]["seconds"] = round(time.process_time() - began, 3)
    best = max(rows, key=lambda name: rows[name]["all"]["ndcg"])
    report = {"top": s.top, "best": best, "methods": rows, "cold_items": int(cold.sum())}
    print(f"\n{as_text(report)}\n")
    everything = clicks.table(slice(n))
    write_text(folder / NEXT, "".join(recommendations(clicks, makers[best]().fit(everything), everything, s.top)))
    draw(report, folder / "report.png")
    write_text(folder / "report.txt", as_text(report) + "\n")
    write_text(folder / "report.json", as_json(report, 1) + "\n")


def chosen(s: Settings, makers: dict[str, Any], vectors: Any, train: Any, valid: Any) -> tuple[str, float]:
    """Which of the two that read clicks joins the descriptions, and with what weight: the best NDCG on the second part."""
    tried = {}
    for name in ("neighbours", "factors"):
        joined = Joined(makers[name](), Described(vectors)).fit(train)
        for joined.weight in WEIGHTS:
            tried[name, joined.weight] = quality(joined, train, valid, s.top).get("ndcg", 0.0)
    return max(tried, key=lambda key: tried[key])


def recommendations(clicks: Clicks, recommender: Any, seen: Any, k: int) -> list[str]:
    """One JSON line per user."""
    lines = []
    for u in blocks(np.arange(len(clicks.users))):
        for user, best in zip(u, first_items(recommender, seen, u, k), strict=True):
            lines.append(as_json({"user": clicks.users[user], "items": [clicks.items[i] for i in best]}) + "\n")
    return lines


def as_text(report: dict[str, Any]) -> str:
    """The table for a terminal."""
    k = report["top"]
    lines = [f"{'':30}{f'recall@{k}':>11}{f'NDCG@{k}':>9}{'cold: recall':>14}{'NDCG':>7}{'CPU s':>8}"]
    for name, row in report["methods"].items():
        cells = [f"{row[part][key]:.3f}" if row[part]["users"] else "-" for part in ("all", "cold") for key in ("recall", "ndcg")]
        shown = f"{name} *" if name == report["best"] else name
        lines.append(f"{shown:30}{cells[0]:>11}{cells[1]:>9}{cells[2]:>14}{cells[3]:>7}{row['seconds']:>8.1f}")
    first = next(iter(report["methods"].values()))
    users, cold = (count(first[part]["users"], "user") for part in ("all", "cold"))
    lines += ["", f"judged on {users}; * writes the recommendations"]
    lines += [f"cold: the same for the {count(report['cold_items'], 'item')} that nobody had clicked before, {cold}"]
    return "\n".join(lines)


def draw(report: dict[str, Any], path: Path) -> None:
    """NDCG of every method, for all items and for cold ones."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1 + 0.5 * len(report["methods"])), layout="constrained")
    axes = figure.subplots()
    for shift, part, label, colour in (
        (-0.2, "all", "all items", "#4c72b0"),
        (0.2, "cold", "items nobody had clicked", "#dd8452"),
    ):
        values = [row[part].get("ndcg", 0.0) for row in report["methods"].values()]
        places = np.arange(len(values)) + shift
        axes.barh(places, values, 0.4, label=label, color=colour)
        for place, value in zip(places, values, strict=True):
            axes.annotate(f"{value:.3f}", (value, place), (3, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(report["methods"])), list(report["methods"]))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(xlabel=f"NDCG@{report['top']}", title="what users clicked later, among the first items")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
