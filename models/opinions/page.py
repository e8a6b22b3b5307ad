"""The page of a watch: the share of bad texts over time, the alarms, and the texts behind them. It needs no network.

Read before: opinions_command.py.
"""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_bytes, write_text

from ..errors import short
from .surge import wilson

SHOWN = 10  # texts of an alarm
STYLE = "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto}img{max-width:100%}td,th{padding:.2em .8em;text-align:left}"


def write_page(watch: Any, folder: Path) -> None:
    """report.html and report.png."""
    picture = draw(watch)
    write_bytes(folder / "report.png", picture)
    alarms = [i for i, record in enumerate(watch.records) if record["alarm"]]
    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    parts = ["<!doctype html><meta charset=utf-8><title>opinions</title>", f"<style>{STYLE}</style>"]
    parts += [f"<h1>{html.escape(watch.summary())}</h1>", f'<img alt="share of bad texts over time" src="{source}">']
    if any(record["topic"] is not None for record in watch.records):
        parts.append(by_topic(watch))
    for i in reversed(alarms):
        before = watch.records[max(0, i - 99) : i + 1]
        worst = sorted((r for r in before if r["bad"]), key=lambda r: -r["probability"])[:SHOWN]
        items = "".join(f"<li>{r['probability']:.0%} {html.escape(short(r['text'], 400))}</li>" for r in worst)
        parts.append(
            f"<h2>Alarm, {html.escape(watch.records[i]['when'])}</h2><p>The surest of the last 100 texts:<ol>{items}</ol>"
        )
    write_text(folder / "report.html", "\n".join(parts) + "\n")


def by_topic(watch: Any) -> str:
    """A table: how many texts of each topic, and which share is bad."""
    number, bad = Counter(str(r["topic"]) for r in watch.records), Counter(str(r["topic"]) for r in watch.records if r["bad"])
    rows = "".join(f"<tr><td>{html.escape(topic)}<td>{n:,}<td>{bad[topic] / n:.0%}</tr>" for topic, n in number.most_common(50))
    return f"<table><tr><th>topic<th>texts<th>{html.escape(watch.bad)}</tr>{rows}</table>"


def draw(watch: Any) -> bytes:
    """The share of each period with its 95 % interval, the usual share as a line, alarms as marks: a PNG."""
    from matplotlib.figure import Figure

    periods = watch.periods()
    names = list(periods)
    x = np.arange(len(names))
    counts = [(sum(r["bad"] for r in rows), len(rows)) for rows in periods.values()]
    low, high = np.array([wilson(*pair) for pair in counts]).T
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(x, low, high, color="#4c72b0", alpha=0.25, label="95 % interval", step="mid" if len(x) == 1 else None)
    axes.plot(x, [bad / n for bad, n in counts], "o-", color="#4c72b0", markersize=3, label="their share")
    if watch.cusum:
        axes.axhline(watch.cusum.usual, color="#555555", linestyle="--", label="usual, at most")
    struck = [i for i, rows in enumerate(periods.values()) if any(r["alarm"] for r in rows)]
    axes.plot(struck, [counts[i][0] / counts[i][1] for i in struck], "v", color="#c44e52", markersize=10, label="alarm")
    step = max(1, len(names) // 8)
    axes.set_xticks(x[::step], names[::step], rotation=20, ha="right")
    axes.set(ylim=(0, 1), ylabel="share of texts", title=f"texts with the label {short(watch.bad, 30)}, per {watch.s.every}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    content = io.BytesIO()
    figure.savefig(content, dpi=130, format="png")
    return content.getvalue()
