"""The page's pictures. Each rung has a number, that of its row in the table, and each kind of rung a shape: colour is not needed.

Read before: conclusions.py. Read next: page.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import replacing

from .conclusions import conditions, curve_means, finished
from .rungs import KINDS

LOOKS = {
    "rules": ("s", "#777777", ":"),
    "words": ("o", "#2f6690", "--"),
    "BERT": ("^", "#b5460f", "-"),
    "neural": ("D", "#3a7d44", "-."),
}
MOST_LINES = 7  # of the learning curves: the best of each kind, then the best of all


def draw_all(state: dict[str, Any], folder: Path) -> dict[str, str]:
    """Draw what there are numbers for: file name -> what it shows."""
    done = finished(state)
    if not done:
        return {}
    metric = next(iter(done.values()))["metric"]
    drawn = {}
    for name, (title, draw) in PICTURES.items():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9.5, 4.6), layout="constrained")
        if not draw(figure.subplots(), state, done, metric):
            (folder / name).unlink(missing_ok=True)
            continue
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.25)
        with replacing(folder / name) as temporary:
            figure.savefig(temporary, dpi=110)
        drawn[name] = title
    return drawn


def scatter(x_of: Callable[[dict[str, Any]], float], label: str) -> Callable[..., bool]:
    """Score against a cost, on a logarithmic axis; bars are the 95 % intervals."""

    def draw(axes: Any, state: dict[str, Any], done: dict[str, Any], metric: str) -> bool:
        intervals = state["tests"]["intervals"]
        for i, (name, r) in enumerate(done.items(), 1):
            shape, colour, _ = LOOKS[r["kind"]]
            low, high = intervals[name]
            x = max(x_of(r), 1e-4)
            axes.errorbar(
                x, r["score"], [[max(0.0, r["score"] - low)], [max(0.0, high - r["score"])]], fmt="none", ecolor="#bbbbbb", lw=1
            )
            axes.plot(x, r["score"], shape, color=colour, markersize=7, label=f"{i}  {name}")
        axes.set(xscale="log", xlabel=label, ylabel=metric)
        plain_ticks(axes)
        number(axes, {str(i): (max(x_of(r), 1e-4), r["score"]) for i, r in enumerate(done.values(), 1)})
        beside(axes)
        return True

    return draw


def number(axes: Any, points: dict[str, tuple[float, float]]) -> None:
    """Each point's number beside it; points that lie on each other share a label: "2, 5"."""
    groups: list[tuple[Any, list[str]]] = []
    for name, point in points.items():
        place = axes.transLimits.transform(axes.transScale.transform(point))  # in shares of the axes' width and height
        near = (names for other, names in groups if (np.abs(other - place) < (0.03, 0.04)).all())
        names = next(near, [])
        if not names:
            groups.append((place, names))
        names.append(name)
    for _, names in groups:
        axes.annotate(", ".join(sorted(names, key=int)), points[names[0]], (6, 3), textcoords="offset points", fontsize=9)


def plain_ticks(axes: Any, at: Sequence[float] = ()) -> None:
    """A logarithmic axis with numbers as people write them: these, or else as few as 1, 2, 5, 10, 20, ... or 1, 10, 100, ..."""
    from matplotlib.ticker import AutoLocator, FixedLocator, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    steps = LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,))
    axes.xaxis.set_major_locator(FixedLocator(at) if at else AutoLocator() if high < 8 * low else steps)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def spread_of(scores: list[float]) -> float:
    """The deviation of the draws; a single one has none, and no bar."""
    return float(np.std(scores)) if len(scores) > 1 else float("nan")


def learning(axes: Any, state: dict[str, Any], done: dict[str, Any], metric: str) -> bool:
    """Mean and spread (one deviation) of the draws; the last point is all examples."""
    curve = curve_means(state)
    names = chosen(state, done, curve)
    if not curve or not names:
        return False
    order, all_of_them, ends = list(done), state["examples"]["train"], {}
    for name in names:
        points = [(n, scores[name]) for n, scores in curve.items() if name in scores]
        points += [(all_of_them, [done[name]["score"]])] if name in done else []
        x = [n for n, _ in points]
        mean, spread = (np.array([f(s) for _, s in points]) for f in (np.mean, spread_of))
        shape, colour, line = LOOKS[state["rungs"][name]["kind"]]
        place = f"{order.index(name) + 1}" if name in done else ""
        label = f"{place}  {name}" + (", one draw" if max(len(s) for _, s in points) == 1 else "")
        axes.errorbar(x, mean, spread, fmt=shape, linestyle=line, color=colour, capsize=3, markersize=5, lw=1.2, label=label)
        if place:
            ends[place] = (x[-1], float(mean[-1]))
    axes.set(xscale="log", xlabel="training examples", ylabel=metric)
    axes.margins(x=0.1)  # for the numbers
    plain_ticks(axes, [*(n for n in curve if n < all_of_them / 1.7), all_of_them])
    lowest = min(np.mean(scores[name]) for scores in curve.values() for name in names if name in scores)
    axes.set_ylim(bottom=max(lowest - 0.05, -0.5))
    number(axes, ends)
    beside(axes)
    return True


def chosen(state: dict[str, Any], done: dict[str, Any], curve: dict[int, dict[str, Any]]) -> list[str]:
    """The rungs whose curves are drawn: the two best of each kind, then the best of all, at most MOST_LINES."""
    there = {name for scores in curve.values() for name in scores}
    order = [*(name for name in done if name in there), *(name for name in state["order"] if name in there and name not in done)]
    firsts = [
        name
        for kind in KINDS
        for name in [n for n in order if state["rungs"].get(n, {}).get("kind") == kind][: 1 + (kind in ("words", "BERT"))]
    ]
    return list(dict.fromkeys([*firsts, *(n for n in order if n in state["rungs"])]))[:MOST_LINES]


def robustness(axes: Any, state: dict[str, Any], done: dict[str, Any], metric: str) -> bool:
    """A row a rung: the score on the test examples, with typing errors, in the other domain."""
    columns = {"test": [r["score"] for r in done.values()], **conditions(done)}
    if len(columns) == 1:
        return False
    heights = np.arange(len(done))
    apart = np.linspace(-0.3, 0.3, len(columns))  # what is equal stays to be seen
    for (label, values), mark, higher in zip(columns.items(), "o<vx", apart, strict=False):
        xs = np.array([np.nan if v is None or not np.isfinite(v) else v for v in values], dtype=float)
        axes.plot(
            xs, heights + higher, mark, color="black", fillstyle="full" if mark == "o" else "none", markersize=5, label=label
        )
    axes.set_yticks(heights, [f"{i}  {name}" for i, name in enumerate(done, 1)])
    axes.invert_yaxis()
    axes.set(xlabel=metric)
    beside(axes)
    return True


def beside(axes: Any) -> None:
    """The legend, to the right of the picture."""
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)


PICTURES: dict[str, tuple[str, Callable[..., bool]]] = {
    "cost.png": (
        "Score against training cost (tuning included)",
        scatter(lambda r: r["train_cpu_seconds"], "CPU seconds to tune and train"),
    ),
    "examples.png": ("Score against number of training examples", learning),
    "speed.png": ("Score against time per answer", scatter(lambda r: r["cpu_ms_per_answer"], "CPU milliseconds per answer")),
    "size.png": ("Score against size", scatter(lambda r: r["bytes"] / 1e6, "megabytes")),
    "robustness.png": ("Typing errors, and another domain", robustness),
}
