"""The report of all runs: means and deviations over seeds and orders, the accuracy matrix, what each strategy cost and kept.

As text (report.txt), JSON (report.json) and pictures (matrix.png, curves.png). Read before: metrics.py, run.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import replacing, write_text

from ..errors import count
from ..finetuning.report import size_text
from ..text.labelled import as_json
from .metrics import NAMES
from .settings import STRATEGIES

COLOURS = dict(zip(STRATEGIES, ("#cc4400", "#204a87", "#729fcf", "#2e7d32", "#7b3f9e", "#f0a000", "#555555"), strict=True))
FILE = "report.json"


def write(report: dict[str, Any], folder: Path) -> str:
    """All files; the text."""
    report["strategies"] = summary(report["runs"].values())
    write_text(folder / FILE, as_json(report, 1) + "\n")
    text = as_text(report)
    write_text(folder / "report.txt", text + "\n")
    draw_matrices(report, folder / "matrix.png")
    draw_curves(report, folder / "curves.png")
    return text


def summary(records: Any) -> dict[str, dict[str, Any]]:
    """Of each strategy the mean of all its runs, the deviation of its metrics, and its mean R."""
    found = {}
    for name in STRATEGIES:
        if runs := [r for r in records if r["strategy"] == name]:
            row: dict[str, Any] = {"runs": len(runs), "R": np.mean([r["R"] for r in runs], 0).tolist()}
            for key in (*NAMES, "seconds", "cpu_seconds", "bytes"):
                if key in runs[0]:
                    values = [r[key] for r in runs]
                    row[key] = float(np.mean(values))
                    row[f"{key}_deviation"] = float(np.std(values, ddof=1)) if len(runs) > 1 else 0.0
            found[name] = row
    return found


def as_text(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    rows, s = report["strategies"], report["settings"]
    n = round(float(np.mean(report["examples"]["test"])))
    width = max(map(len, rows)) + 2
    heads = "".join(f"{head:>20}" for head in NAMES.values()) + f"{'kept':>11}{'train time':>12}{'train CPU':>12}{'runs':>6}"
    lines = [f"{'':{width}}{heads}"]
    for name, row in rows.items():
        cells = "".join(f"{cell(row, key):>20}" for key in NAMES)
        cost = f"{size_text(row['bytes']):>11}{row['seconds']:>10.0f} s{row['cpu_seconds']:>10.0f} s{row['runs']:>6}"
        lines.append(f"{name:{width}}{cells}{cost}")
    about = f"{s['setting']}-incremental: {' -> '.join(report['names'])}, about {count(n, 'test example')} each"
    return "\n\n".join([about, "\n".join(lines), *matrices(report), *notes(report, n)])


def cell(row: dict[str, Any], key: str) -> str:
    """Mean and deviation of a metric."""
    if key not in row:
        return "-"
    sign = "" if key == "accuracy" else "+"
    return f"{round(row[key], 3) + 0.0:{sign}.3f}" + (f" ± {row[key + '_deviation']:.3f}" if row["runs"] > 1 else "")


def columns_of(report: dict[str, Any]) -> list[str]:
    """The tasks' names; or where they stand, if there are several orders."""
    several = len({tuple(r["order"]) for r in report["runs"].values()}) > 1
    return [f"task {i}" for i in range(1, len(report["names"]) + 1)] if several else report["names"]


def matrices(report: dict[str, Any]) -> list[str]:
    """R of each strategy: a line for each task learnt, with the accuracy on every task then."""
    heads, found = columns_of(report), []
    width = max(5, *map(len, heads)) + 2
    for name, row in report["strategies"].items():
        after = heads if len(row["R"]) == len(heads) else ["all"]
        lines = [f"{name + ', after':{max(24, width)}}" + "".join(f"{head:>{width}}" for head in heads)]
        for learnt, scores in zip(after, row["R"], strict=True):
            lines.append(f"{learnt:{max(24, width)}}" + "".join(f"{score:>{width}.3f}" for score in scores))
        found.append("\n".join(lines))
    return found


def notes(report: dict[str, Any], n: int) -> list[str]:
    """What a reader must know to read the table."""
    rows, setting = report["strategies"], report["settings"]["setting"]
    p = float(np.mean([row["accuracy"] for row in rows.values()]))
    error = (p * (1 - p) / max(1, n * len(report["names"]))) ** 0.5
    found = [f"By the number of test examples alone an average accuracy has a standard error of {error:.3f}."]
    lost = rows.get("sequential", {}).get("forgetting")
    if lost is not None and lost < max(0.02, 2 * error):
        found.append(f"Plain fine-tuning forgot hardly anything ({lost:+.3f}): there is nothing for the others to save.")
    if setting == "class":
        found.append("Forward transfer is 0 by construction: a class cannot be the answer before it was seen.")
    if "adapters" in rows and setting != "task":
        found.append("adapters: which one answers is guessed from the text, as the setting does not tell the task.")
    return ["\n".join(found)]


def draw_matrices(report: dict[str, Any], path: Path) -> None:
    """A map of R for each strategy."""
    from matplotlib.figure import Figure

    rows, heads = report["strategies"], columns_of(report)
    across = min(4, len(rows))
    down = -(-len(rows) // across)
    figure = Figure(figsize=(1.2 + 3.1 * across, 0.6 + 2.9 * down), layout="constrained")
    places = np.array(figure.subplots(down, across, squeeze=False)).ravel()
    for axes, (name, row) in zip(places, rows.items()):
        R = np.array(row["R"])
        after = heads if len(R) == len(heads) else ["all"]
        axes.imshow(R, vmin=0, vmax=1, cmap="Blues")
        for i, j in np.ndindex(R.shape):
            axes.text(j, i, f"{R[i, j]:.2f}", ha="center", va="center", fontsize=8, color="white" if R[i, j] > 0.6 else "black")
        axes.set_xticks(range(len(heads)), heads, rotation=45, ha="right", fontsize=8, parse_math=False)
        axes.set_yticks(range(len(after)), after, fontsize=8, parse_math=False)
        axes.set_title(name, fontsize=10, fontweight="bold")
        axes.set_ylabel("after learning", fontsize=8)
    for axes in places[len(rows) :]:
        axes.axis("off")
    figure.suptitle("Accuracy on each task (column) after each task learnt (row)", fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def draw_curves(report: dict[str, Any], path: Path) -> None:
    """Left: the mean accuracy on the tasks seen so far. Right: the accuracy on the first task. Joint training is a line."""
    from matplotlib.figure import Figure

    T, heads = len(report["names"]), columns_of(report)
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for k, (name, row) in enumerate(report["strategies"].items()):
        R, colour, at = np.array(row["R"]), COLOURS[name], np.arange(T) + 0.02 * k  # side by side, or lines would hide each other
        if len(R) < T:
            left.axhline(R[0].mean(), color=colour, linestyle="--", label=f"{name}: all tasks")
            right.axhline(R[0, 0], color=colour, linestyle="--", label=name)
            continue
        left.plot(at, [R[i, : i + 1].mean() for i in range(T)], "o-", color=colour, markersize=4, label=name)
        right.plot(at, R[:, 0], "o-", color=colour, markersize=4, label=name)
    for axes, title in ((left, "Tasks seen so far, their mean"), (right, "The first task")):
        axes.set_xticks(range(T), heads, parse_math=False)
        axes.set(title=title, xlabel="after learning", ylim=(0, 1.02))
        axes.grid(axis="y", color="#dddddd")
        axes.spines[["top", "right"]].set_visible(False)
    left.set_ylabel("accuracy")
    left.legend(frameon=False, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)
