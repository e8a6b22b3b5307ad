"""The pictures: words by methods, curves of deletion and insertion, attention maps, changes by swaps. None needs colour.

Read before: explain.py, swaps.py. Read next: page.py.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import replacing

from ..errors import short
from .checks import Curves
from .explain import Explained
from .subject import Array, Subject
from .swaps import Row

LOOKS = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (7, 3)))
MARKS = "osD^vPX"
MOST = 30  # words in a picture: those with the largest values
SIDE = 48  # pixels of a small attention map


def figure_of(size: tuple[float, float]) -> Any:
    """A figure that belongs to no window."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def saved(figure: Any, target: Path | io.BytesIO, dpi: int = 110) -> None:
    """Write a picture; a text in it is letters, not mathematics, and may be in a script that the font lacks."""
    for axes in figure.axes:
        for text in [axes.title, *axes.get_xticklabels(), *axes.get_yticklabels()]:
            text.set_parse_math(False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        if isinstance(target, io.BytesIO):
            figure.savefig(target, dpi=dpi, format="png")
            return
        with replacing(target) as temporary:
            figure.savefig(temporary, dpi=dpi)


def draw_text(path: Path, subject: Subject, found: Sequence[Explained], random: Curves) -> None:
    """Words by methods, and the curves."""
    strength = np.stack([e.values / max(float(np.abs(e.values).max()), 1e-30) for e in found])  # (methods, W)
    known = np.flatnonzero(subject.is_read)
    shown = np.sort(known[np.argsort(-np.abs(strength[:, known]).max(0), kind="stable")[:MOST]])
    figure = figure_of((14.5, max(4.2, 0.26 * len(shown) + 1.6)))
    table, *axes = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    table.imshow(strength[:, shown].T, cmap="PuOr_r", vmin=-1.6, vmax=1.6, aspect="auto")
    for (i, j), value in np.ndenumerate(strength[:, shown].T):
        table.text(j, i, f"{100 * value:{'+' if found[j].signed else ''}.0f}", ha="center", va="center", fontsize=8)
    table.set_xticks(range(len(found)), [e.title.replace(" ", "\n") for e in found], fontsize=7)
    table.set_yticks(range(len(shown)), [short(subject.words[w].text, 24) for w in shown])
    table.set_title(f"for the answer {short(subject.answer, 30)}, in % of the largest", fontsize=10)
    unit = "number" if subject.link == "none" else "probability"
    draw_curves(axes, {e.title: e.curves for e in found if e.curves}, random, unit)
    saved(figure, path)


def draw_file(path: Path, curves: dict[str, Curves], random: Curves) -> None:
    """The mean curves of many texts."""
    figure = figure_of((12, 4.4))
    draw_curves(figure.subplots(1, 2), curves, random, "probability")
    saved(figure, path)


def draw_curves(axes: Sequence[Any], curves: dict[str, Curves], random: Curves, unit: str) -> None:
    """Deletion, insertion; the random order is grey and thick."""
    for side, name in enumerate(("deletion", "insertion")):
        axes[side].plot(random.share, random[side + 1], color="#bbbbbb", lw=5, label="random order")
        for i, (title, c) in enumerate(curves.items()):
            look = {"ls": LOOKS[i % 7], "marker": MARKS[i % 7], "ms": 4, "markevery": (i % 3, 3), "lw": 1.3}
            axes[side].plot(c.share, c[side + 1], label=title, **look)
        axes[side].set(xlabel=f"share of words {'out' if side == 0 else 'in'}", title=name)
        axes[side].spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(f"{unit} of the answer")
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)


def attention_grid(tables: Sequence[Array]) -> bytes:
    """All maps, a row of heads for each layer, each drawn up to its own largest weight: a PNG."""
    rows = [np.concatenate([small(head) for head in table], 1) for table in tables]
    width = max(row.shape[1] for row in rows)
    whole = np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1])), constant_values=np.nan) for row in rows])
    side = rows[0].shape[0]
    figure = figure_of((1 + width / 90, 0.8 + len(whole) / 90))
    axes = figure.subplots()
    axes.imshow(whole, cmap="gray_r", interpolation="nearest")
    axes.set_xticks(np.arange(width // side) * side + side / 2, [str(a + 1) for a in range(width // side)])
    axes.set_yticks(np.arange(len(tables)) * side + side / 2, [str(layer + 1) for layer in range(len(tables))])
    axes.set(xlabel="head", ylabel="layer")
    return png(figure)


def small(table: Array) -> Array:
    """A map (S, S) with at most SIDE rows and columns, as shades from 0 to 1, and a margin."""
    table = table.repeat(max(1, SIDE // len(table)), 0).repeat(max(1, SIDE // len(table)), 1)
    block = -(-len(table) // SIDE)
    n = -(-len(table) // block) * block
    padded = np.pad(table, (0, n - len(table)))
    shades = padded.reshape(n // block, block, n // block, block).mean((1, 3))
    return np.pad(np.sqrt(shades / max(float(shades.max()), 1e-30)), ((1, 1), (1, 1)), constant_values=0.4)


def one_map(subject: Subject, table: Array, title: str) -> bytes:
    """One head's map by words: rows look, columns are looked at."""
    known = np.flatnonzero(subject.is_read)
    pieces = subject.per_word(table)  # (S, W)
    by_word = np.stack([pieces[subject.of == w].mean(0) for w in known])[:, known]
    names = [short(subject.words[w].text, 16) for w in known]
    size = min(12.0, 2 + 0.2 * len(known))
    figure = figure_of((size + 0.8, size))
    axes = figure.subplots()
    figure.colorbar(axes.imshow(by_word, cmap="gray_r", vmin=0), shrink=0.6)
    step = -(-len(known) // 60)
    axes.set_xticks(range(0, len(known), step), names[::step], rotation=90, fontsize=7)
    axes.set_yticks(range(0, len(known), step), names[::step], fontsize=7)
    axes.set_title(title, fontsize=10)
    return png(figure)


def by_layer(values: dict[str, Sequence[float]], unit: str, baseline: float | None = None) -> bytes:
    """A number after the embeddings (0) and after each layer, as a PNG."""
    figure = figure_of((6, 3))
    axes = figure.subplots()
    for i, (name, line) in enumerate(values.items()):
        axes.plot(range(len(line)), line, ls=LOOKS[i], marker=MARKS[i], label=short(name, 30))
    if baseline is not None:
        axes.axhline(baseline, color="#888888", lw=0.8, label="without any state")
    axes.set(xlabel="layer", ylabel=unit)
    axes.set_xticks(range(len(line)))
    axes.spines[["top", "right"]].set_visible(False)
    for text in axes.legend(frameon=False, fontsize=8).get_texts():
        text.set_parse_math(False)
    return png(figure)


def draw_swaps(path: Path, rows: Sequence[Row], measure: str) -> None:
    """A dot for each text, and the mean with its 95 % interval."""
    rows = [row for row in rows if len(row.changes)]
    figure = figure_of((9, 1.6 + 0.5 * len(rows)))
    axes = figure.subplots()
    for i, row in enumerate(rows):
        spread = np.random.default_rng(i).uniform(-0.25, 0.25, len(row.changes))
        axes.plot(row.changes, i + spread, ".", color="#999999", ms=4)
        axes.errorbar(row.mean, i, xerr=row.interval, fmt="D", color="black", capsize=4, ms=5)
    axes.axvline(0, color="black", lw=0.8, ls="--")
    axes.set_yticks(range(len(rows)), [f"{short(row.name, 40)} ({len(row.changes)})" for row in rows])
    axes.invert_yaxis()
    axes.set(xlabel=f"change of {measure}: a dot per text, the mean and its 95 % interval")
    axes.spines[["top", "right"]].set_visible(False)
    saved(figure, path)


def png(figure: Any) -> bytes:
    """The bytes of a picture, in greys: a page shall be small."""
    from PIL import Image

    stream, smaller = io.BytesIO(), io.BytesIO()
    saved(figure, stream, 90)
    Image.open(stream).convert("L").save(smaller, format="PNG", optimize=True)
    return smaller.getvalue()
