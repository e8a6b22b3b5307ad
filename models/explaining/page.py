"""The page: one HTML file that asks for nothing, neither network nor library. Colour only repeats what is said without it.

A word's share of the largest attribution stands above it as a number; a solid line below says that it speaks for the answer, a
dashed one against, the thicker the stronger. All that comes from a text, a label or a model is escaped.
Read before: explain.py, pictures.py. Read next: command.py.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import numpy as np

from .checks import Curves
from .explain import Explained
from .lens import Layer
from .probes import Probed
from .subject import Array, Subject
from .swaps import Row

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #111; background: #fff }
h3 { margin: 1.2em 0 .2em; font-size: 16px } p, td, li { overflow-wrap: anywhere } img { max-width: 100% }
.text { line-height: 2.4; white-space: pre-wrap }
ruby { white-space: nowrap; overflow-wrap: normal } rt { font-size: 10px; color: #333 }
.note, summary { color: #444; font-size: 14px }
table { border-collapse: collapse; font-size: 14px } .wide { overflow-x: auto }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #ccc; vertical-align: top }
th:first-child, td:first-child, .left th, .left td { text-align: left }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
COLUMNS = {"δ": ".2%", "random weights": "+.2f", "occlusion": "+.2f", "deletion": ".3f", "insertion": ".3f", "ms": ",.0f"}
LEAST = 5  # per cent: smaller numbers are left out
HOW_TO_READ = (
    "The number above a word is its share, in per cent, of the largest attribution. A solid line below it: the word speaks for "
    "the answer; a dashed one: against it. Words in brackets are not read by the model. Attention and rollout say where the "
    "model looked; they have no sign."
)
CHECKS = (
    "δ: the share of f(x) - f(x') that integrated gradients miss (completeness). Random weights: rank correlation with what the "
    "method says of the same architecture with random weights; near 0 is good, near 1 means that it says the same whatever the "
    "model has learnt. Occlusion: rank correlation with occlusion (of attention, which has no sign, with its size). Deletion: "
    "area below the answer's probability while words are taken out, the highest first (small is good); insertion: while they are "
    "put in (large is good). A method that does no better than the random order names no words that matter to the model."
)


def page(title: str, parts: Sequence[str]) -> str:
    """The whole file."""
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += f'<meta name="viewport" content="width=device-width"><title>{safe(title)}</title><style>{STYLE}</style>'
    body = "\n".join([f"<h1>{safe(title)}</h1>", *parts])
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def safe(text: object) -> str:
    """Escaped; a character that cannot be seen, or that turns the direction of writing, is shown as �."""
    return escape("".join(c if c.isprintable() or c in " \n\t" else "�" for c in str(text)))


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph."""
    return f'<p class="{kind}">{safe(text)}</p>' if kind else f"<p>{safe(text)}</p>"


def picture(data: bytes, text: str) -> str:
    """A PNG inside of the page."""
    return f'<p><img alt="{safe(text)}" src="data:image/png;base64,{base64.b64encode(data).decode()}"></p>'


def words(subject: Subject, values: Array, signed: bool = True) -> str:
    """The text with each word's number and line."""
    largest = max(float(np.abs(values).max(initial=0)), 1e-30)
    parts = []
    for word, value, read in zip(subject.words, values, subject.is_read, strict=True):
        share = 100 * float(value) / largest
        text = safe(word.text)
        if not read:
            text = f"[{text}]" if subject.note else f"<b>{text}</b>"  # [MASK]
        elif abs(share) >= LEAST:
            colour, line = ("217,95,2", "solid") if share > 0 else ("55,90,200", "dashed")
            look = f"background:rgba({colour},{abs(share) / 200:.2f});border-bottom:{1 + abs(share) / 33:.0f}px {line} #333"
            text = f'<ruby style="{look}">{text}<rt>{share:{"+" if signed else ""}.0f}</rt></ruby>'
        parts.append(safe(word.before) + text)
    return f'<p class="text">{"".join(parts)}</p>'


def of_text(subject: Subject, found: Sequence[Explained], random: Curves) -> list[str]:
    """A text as each method sees it, and the methods' checks."""
    sure = "" if subject.link == "none" else f", probability {random.deletion[0]:.1%}"
    parts = [paragraph(f"Answer: {subject.answer}{sure}")]
    parts += [paragraph(subject.note, "note")] if subject.note else []
    if not found:
        return parts
    for e in found:
        parts += [f"<h3>{safe(e.title)}</h3>", words(subject, e.values, e.signed)]
        parts += [paragraph(e.note, "note")] if e.note else []
        if e.random is not None:
            parts.append(f"<details><summary>of random weights</summary>{words(subject, e.random, e.signed)}</details>")
    return [*parts, checks_table([(e.title, checks_of(e)) for e in found], random)]


def checks_of(e: Explained) -> list[float]:
    """A method's numbers, in the order of COLUMNS."""
    areas = e.curves.areas if e.curves else (np.nan, np.nan)
    return [e.delta, e.sanity, e.agreement, *areas, 1000 * e.seconds]


def checks_rows(rows: Sequence[tuple[str, Sequence[float]]], random: Curves) -> list[list[str]]:
    """The table of the checks: of each method its title and numbers."""
    base = ["random order", "", "", "", *(f"{area:.3f}" for area in random.areas), ""]
    lines = [[title, *(said(x, how) for x, how in zip(numbers, COLUMNS.values(), strict=True))] for title, numbers in rows]
    return [["", *COLUMNS], *lines, base]


def checks_table(rows: Sequence[tuple[str, Sequence[float]]], random: Curves) -> str:
    """The same as HTML, explained."""
    return f"<h3>What each is worth</h3>{html_table(checks_rows(rows, random))}{paragraph(CHECKS, 'note')}"


def said(x: float, how: str) -> str:
    """A number, or nothing."""
    return "" if np.isnan(x) else f"{x:{how}}"


def html_table(rows: Sequence[Sequence[str]], kind: str = "numbers") -> str:
    """A table whose first row is its head; ``left``: its cells are texts."""
    head = "".join(f"<th>{safe(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{safe(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f'<div class="wide"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def importance_table(layers: Sequence[Array]) -> str:
    """Heads by layer: |∂f/∂ξ|."""
    layers = [layer / max(float(np.linalg.norm(layer)), 1e-30) for layer in layers]
    most = max(map(len, layers))
    rows = [["layer", *(f"head {h + 1}" for h in range(most))]]
    rows += [[str(i), *(f"{x:.2f}" for x in layer), *[""] * (most - len(layer))] for i, layer in enumerate(layers, 1)]
    note = "|∂f/∂ξ| of each head, ξ a factor of all that it gives on; each layer divided by its norm."
    return f"<h3>Importance of the heads</h3>{html_table(rows)}{paragraph(note, 'note')}"


def lens_rows(layers: Sequence[Layer], answer: str) -> list[list[str]]:
    """The logit lens."""
    rows = [["layer", f"p({answer.strip()})", "rank", "best tokens"]]
    for i, layer in enumerate(layers):
        best = ", ".join(f"{token.strip()} {p:.1%}" for token, p in layer.best)
        rows.append([str(i) if i else "embeddings", f"{layer.probability:.2%}", f"{layer.rank:,}", best])
    return rows


def probe_rows(found: Probed) -> list[list[str]]:
    """Probes by layer."""
    rows = [["layer", f"{found.metric}, this model", f"{found.metric}, random weights"]]
    for i, (a, b) in enumerate(zip(found.scores, found.random, strict=True)):
        rows.append([str(i) if i else "embeddings", f"{a:.3f}", f"{b:.3f}"])
    return [*rows, ["most frequent class" if found.metric == "accuracy" else "mean", f"{found.baseline:.3f}", ""]]


def swap_rows(rows: Sequence[Row]) -> list[list[str]]:
    """The table of swaps."""
    several = len({row.label for row in rows}) > 1
    table = [["swap", *(["label"] if several else []), "texts", "mean change", "95 %", "deviation", "answers that flip"]]
    for row in rows:
        name, n = [row.name, *([row.label] if several else [])], len(row.changes)
        if not n:
            table.append([*name, "0", "the word is in no text", "", "", ""])
            continue
        low, high = row.mean - row.interval, row.mean + row.interval
        interval = f"{low:+.4f} to {high:+.4f}" if n > 1 else ""
        flips = f"{sum(row.flips)} ({np.mean(row.flips):.0%})" if row.flips else ""
        table.append([*name, f"{n:,}", f"{row.mean:+.4f}", interval, said(row.spread, ".4f"), flips])
    return table


def swap_parts(rows: Sequence[Row], measure: str, data: bytes, examples: int = 3) -> list[str]:
    """The page of swaps: table, picture, and the texts that moved most."""
    parts = [paragraph(f"Change of {measure} when a word is exchanged."), html_table(swap_rows(rows))]
    parts += [picture(data, "the changes of all texts"), "<h2>The texts that moved most</h2>"]
    for row in rows:
        order = np.argsort(-np.abs(row.changes), kind="stable")[:examples]
        if len(order):
            parts.append(f"<h3>{safe(row.name)} {safe(row.label)}</h3>")
            table = [["change", "answer", "text"]]
            for i in order:
                before, old, after, new = row.pairs[i]
                table += [["", old, before], [f"{row.changes[i]:+.4f}", new, after]]
            parts.append(html_table(table, "left"))
    return parts
