"""Pictures of the results: python -m benchmarks.pictures FOLDER

roofline.png from kernels.json, ratios.png from steps.json, scaling.png from scaling.json; missing files are skipped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .scaling import slope

OURS, THEIRS, UNLOCKED = "#1f6fb4", "#d9772b", "#8a8a8a"


def roofline(report: dict[str, Any], path: Path) -> None:
    """Operations per second of each kernel over its operations per byte, below the limits of copying and multiplying."""
    from matplotlib import pyplot as plt

    figure, (axes, legend) = plt.subplots(1, 2, figsize=(11, 6), width_ratios=[3, 1.25], layout="constrained")
    most, kernels = report["limits"], report["kernels"]
    dots = [(row["operations"] / row["bytes"], row) for row in kernels.values()]
    low, high = min(x for x, _ in dots) / 2, max(x for x, _ in dots) * 2
    knee = most["operations_per_s"] / most["bytes_per_s"]
    axes.plot(
        [low, knee, max(high, 2 * knee)], [low * most["bytes_per_s"] / 1e9, *[most["operations_per_s"] / 1e9] * 2], "k-", lw=1
    )
    points = []
    for x, row in dots:
        y = row["operations"] / row["seconds"]["ours"] / 1e9
        if "PyTorch" in row["seconds"]:
            other = row["operations"] / row["seconds"]["PyTorch"] / 1e9
            axes.plot([x, x], [y, other], color="#cccccc", lw=1, zorder=1)
            axes.plot(x, other, "o", ms=5, color=THEIRS, zorder=2)
        axes.plot(x, y, "o", ms=6, color=OURS, zorder=3)
        points.append((x, y))
    axes.set(xscale="log", yscale="log", xlabel="operations per byte of memory traffic", ylabel="GFLOP/s of one thread")
    top = f"matrix product {most['operations_per_s'] / 1e9:.0f} GFLOP/s, copy {most['bytes_per_s'] / 1e9:.0f} GB/s"
    axes.set_title(f"Kernels with their gradients, below the roof\n{report['machine']['processor']}: {top}", fontsize=10)
    axes.grid(alpha=0.2)
    figure.canvas.draw()  # from here on the axes know a point's place on paper
    number(axes, points)
    names = "\n".join(f"{i:2}  {name}" for i, name in enumerate(kernels, 1))
    marks = "blue, numbered: minitorch\norange: PyTorch, the same work\nblack: the roof\n\n"
    legend.text(0, 1, marks + names, va="top", fontsize=10, linespacing=1.35)
    legend.axis("off")
    figure.savefig(path, dpi=110)


def number(axes: Any, points: list[tuple[float, float]]) -> None:
    """1, 2, ... next to the points, each at the nearest place that is free of other points and numbers."""
    taken = [axes.transData.transform(p) for p in points]
    scale = axes.figure.dpi / 72
    for i, (x, y) in enumerate(points, 1):
        here = taken[i - 1]
        places = [(r * dx * scale, r * dy * scale) for r in (10, 18, 26, 34) for dx, dy in ((1, 0), (-1, 0), (0, -1), (0, 1))]
        free = lambda d: all(abs(here[0] + d[0] - t[0]) + abs(here[1] + d[1] - t[1]) > 9 * scale for t in taken)  # noqa: B023, E731
        dx, dy = next(filter(free, places), places[0])
        taken.append((here[0] + dx, here[1] + dy))
        where = {"xytext": (dx / scale, dy / scale), "textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 8}
        axes.annotate(str(i), (x, y), color=OURS, zorder=4, **where)


def ratios(report: dict[str, Any], path: Path) -> None:
    """Bars: the time of our step over PyTorch's, for every contest."""
    from matplotlib import pyplot as plt

    bars = []
    for result in report["results"]:
        names = [row["name"] for row in result["rows"]]
        for row in result["rows"]:
            label = row["name"].removeprefix("minitorch")
            if row["kind"] == "minitorch" and f"PyTorch{label}" in names:
                against = [row["ratio_to"].get(f"PyTorch{label}{x}") for x in ("", ", AVX-512")]
                title = result["title"].replace(", 4 batches of mixed lengths", "") + label.replace("mixed", "mixed lengths")
                bars.append((title.replace("grouped", "grouped by length"), against))
    if not bars:
        return
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(bars) + 1.6), layout="constrained")
    for i, (_, against) in enumerate(bars):
        for j, (value, color) in enumerate(zip(against, (THEIRS, UNLOCKED), strict=True)):
            if value is not None:
                y = i + 0.4 * j - 0.2
                axes.barh(y, value, 0.38, color=color)
                paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # over the line at 1
                axes.text(value + 0.015, y, f"{value:.2f}", va="center", fontsize=7, bbox=paper)
    axes.axvline(1, color="black", lw=0.8)
    axes.set_yticks(range(len(bars)), [title for title, _ in bars], fontsize=8)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, max(1.1, 1.1 * max(x for _, against in bars for x in against if x is not None)))
    axes.set_xlabel("time of our step / time of PyTorch's: below 1 is faster")
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in (THEIRS, UNLOCKED)]
    figure.legend(
        handles, ["PyTorch as installed", "PyTorch with its AVX-512 path"], ncols=2, loc="outside upper right", fontsize=8
    )
    figure.suptitle(f"BERT, {report['threads']} threads, {report['machine']['processor']}", x=0.01, ha="left", fontsize=9)
    figure.savefig(path, dpi=120)


def scaling(report: dict[str, Any], path: Path) -> None:
    """Time and memory against each factor, on logarithmic axes."""
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator

    factors = report["factors"]
    figure, table = plt.subplots(
        2, len(factors), figsize=(3.2 * len(factors), 6), sharey="row", layout="constrained", squeeze=False
    )
    for column, (name, found) in enumerate(factors.items()):
        x = [p["value"] for p in found["points"]]
        for axes, what, unit in ((table[0][column], "s", 1e3), (table[1][column], "mib", 1.0)):
            for who, color in zip(found["exponents"], (OURS, THEIRS), strict=False):
                y = [p[who][what] * unit for p in found["points"]]
                axes.plot(x, y, "o-", ms=4, color=color, label=f"{who}: exponent {slope(x[-3:], y[-3:]):.2f}")
            axes.set(xscale="log", yscale="log")
            axes.set_xticks(x, [f"{v // 1024}k" if v >= 4096 else str(v) for v in x])
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}" if v >= 1 else f"{v:g}"))
            axes.minorticks_off()
            axes.grid(alpha=0.2)
            axes.legend(fontsize=7, loc="upper left")
            axes.margins(y=0.25)
        table[1][column].set_xlabel(name)
    table[0][0].set_ylabel("ms per step")
    table[1][0].set_ylabel("peak MiB, imports not counted")
    base = report["base"]
    shown = f"BERT {base['size']}, batch {base['batch']}, length {base['length']}, {base['vocabulary']:,} words"
    figure.suptitle(f"A training step from the base {shown}, one factor at a time", fontsize=10)
    figure.savefig(path, dpi=110)


DRAWN = {"kernels.json": roofline, "steps.json": ratios, "scaling.json": scaling}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    for name, draw in DRAWN.items():
        if (args.folder / name).exists():
            picture = args.folder / f"{draw.__name__}.png"
            draw(json.loads((args.folder / name).read_text()), picture)
            print(picture)


if __name__ == "__main__":
    main()
