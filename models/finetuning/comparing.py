"""``minitorch finetune TASK ... --adapt all``: every way of adapting a model, on one task, from one start, in one table.

Each way is a run of its own in OUTPUT/NAME, with the learning rate that suits it (or --lr for all); "full" trains everything
and "frozen" the upper half of the layers. --resume takes finished runs as they are and continues the others.
The table says what each costs and brings; the alternatives without a neural network stand below it.
Read before: command.py, models/adapting/choosing.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minitorch.files import replacing, write_text

from ..adapting.choosing import METHODS, OPTIONS
from ..errors import BadInput
from ..reading import read_bytes, read_json
from ..text.labelled import as_json
from ..training.settings import flag
from .report import HEADLINES, size_text
from .run import Run

WAYS = ("full", "frozen", *METHODS)
COST = "cost.json"  # in a way's folder once it is finished
SETTINGS = "comparison.json"  # what is compared, so that a resumed comparison is of the same


def settings_of(way: str, chosen: dict[str, Any], layers: int) -> dict[str, Any]:
    """The settings of one way: those of other methods are left out, and so is --freeze."""
    own = {name: value for name, value in chosen.items() if name not in OPTIONS or way in OPTIONS[name]}
    own |= {"adapt": way if way in METHODS else "", "output": str(Path(chosen["output"]) / way), "freeze": 0}
    own |= {"freeze": max(1, layers // 2)} if way == "frozen" else {}
    return own | {"compare": "classical" if way == "full" and chosen.get("compare") != "none" else "none"}


def compare_ways(chosen: dict[str, Any], layers: int, train: Callable[[dict[str, Any]], Run], resume: bool) -> None:
    """Run all ways that are not finished, one after the other; then the table, as text, JSON and picture."""
    base = Path(chosen["output"])
    rows, others = [], []
    begin(base, chosen, resume)
    for i, way in enumerate(WAYS, 1):
        folder = base / way
        if resume and (folder / COST).is_file():
            print(f"{way} ({i} of {len(WAYS)}): finished before")
        else:
            print(f"\n{way} ({i} of {len(WAYS)})")
            try:
                run = train(settings_of(way, chosen, layers))
            except KeyboardInterrupt:
                print(f"the comparison goes on with the same command and --resume: {i - 1} of {len(WAYS)} ways are finished")
                raise
            write_text(folder / COST, as_json(cost_of(run, folder), 1) + "\n")
        rows.append({"name": way, **read_json(folder / COST)})
        others = read_json(folder / "report.json")["alternatives"][1:] if way == "full" else others
        write_text(base / "ways.json", as_json({"ways": rows, "alternatives": others}, 1) + "\n")
    text = as_text(rows, others)
    write_text(base / "ways.txt", text + "\n")
    draw(rows, others, base / "ways.png")
    print(f"\n{text}\n\n{base}/: ways.txt, .json, .png, and a folder for each way: minitorch predict --model {base / 'lora'} ...")


def begin(base: Path, chosen: dict[str, Any], resume: bool) -> None:
    """Note what is compared; BadInput where --resume meets a comparison of other files or with other settings."""
    digest = hashlib.sha256()
    for name in ("train", "dev", "test"):
        if chosen.get(name):
            digest.update(read_bytes(chosen[name], largest=None))
    now = {**{k: v for k, v in sorted(chosen.items()) if k != "output"}, "sha256": digest.hexdigest()}
    path = base / SETTINGS
    if resume and path.is_file():
        before = read_json(path)
        odd = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if odd:
            what = "other files" if odd == ["sha256"] else f"another {flag(odd[0])} ({before.get(odd[0], 'none')})"
            raise BadInput(f"{base}: that comparison has {what}; --resume goes on with the same command alone")
    else:
        base.mkdir(parents=True, exist_ok=True)
        write_text(path, as_json(now, 1) + "\n")


def cost_of(run: Run, folder: Path) -> dict[str, Any]:
    """What a finished run cost, and what it brought."""
    t = run.trainer
    trained = sum(p.numel() for group in t.optimizer.param_groups for p in group["params"])
    weights = ("adapter_model.safetensors", "model.safetensors")
    metric, scores = t.metric, run.report["scores"]
    return {
        "metric": metric,
        **{name: scores[name] for name in dict.fromkeys((metric, *HEADLINES)) if isinstance(scores.get(name), float)},
        "lr": run.s.lr,
        "trained": trained,
        "file_bytes": next((folder / name).stat().st_size for name in weights if (folder / name).is_file()),
        "training_bytes": 12 * trained,  # gradient and Adam's two moments, 4 bytes each
        "ms_per_step": 1000 * t.seconds / max(1, t.step),
        "cpu_ms_per_step": 1000 * t.processor_seconds / max(1, t.step),
        "steps": t.step,
    }


def as_text(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> str:
    """The table: score, then costs."""
    metric = rows[0]["metric"]
    width = max(len(row["name"]) for row in [*rows, *others]) + 2
    heads = ("trained", "file", "gradient+Adam", "time/step", "CPU/step", "rate")
    lines = [f"{'':{width}}{metric:>12}" + "".join(f"{head:>15}" for head in heads)]
    for row in rows:
        cells = (f"{row['trained']:,}", size_text(row["file_bytes"]), size_text(row["training_bytes"]))
        cells += (f"{row['ms_per_step']:.0f} ms", f"{row['cpu_ms_per_step']:.0f} ms", f"{row['lr']:g}")
        lines.append(f"{row['name']:{width}}{row[metric]:12.4f}" + "".join(f"{cell:>15}" for cell in cells))
    for row in others:
        if metric in row:
            cells = (f"{row['parameters']:,}", size_text(row["bytes"]))
            lines.append(f"{row['name']:{width}}{row[metric]:12.4f}" + "".join(f"{cell:>15}" for cell in cells))
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], others: list[dict[str, Any]], path: Path) -> None:
    """Left: score against trained parameters, with the best alternative as a line. Right: the time of a step."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    metric = rows[0]["metric"]
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for row in rows:
        left.plot(row["trained"], row[metric], "o", color="#204a87" if row["name"] in METHODS else "#cc4400")
    for i, group in enumerate(close_together(rows, metric)):
        names = ", ".join(row["name"] for row in group)
        at, above = (group[-1]["trained"], group[-1][metric]), i % 2 == 0
        left.annotate(names, at, textcoords="offset points", xytext=(5, 4 if above else -11), fontsize=8)
    if scores := {row["name"]: row[metric] for row in others if metric in row}:
        best = max(scores, key=lambda name: scores[name])
        left.axhline(scores[best], color="#888888", linestyle="--", linewidth=1)
        left.annotate(best, (0.01, scores[best]), xycoords=("axes fraction", "data"), fontsize=8, va="bottom", color="#555555")
    left.set(xscale="log", xlabel="trained parameters", ylabel=metric, title="what each way brings")
    left.xaxis.set_minor_formatter(NullFormatter())
    names = [row["name"] for row in reversed(rows)]
    right.barh(names, [row["ms_per_step"] for row in reversed(rows)], color="#729fcf")
    right.set(xlabel="ms per step, evaluations included", title="what it costs")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def close_together(rows: list[dict[str, Any]], metric: str) -> list[list[dict[str, Any]]]:
    """The points of the picture, those that would hide each other's name in one group."""
    groups: list[list[dict[str, Any]]] = []
    for row in sorted(rows, key=lambda row: (row[metric], row["trained"])):
        last = groups[-1][-1] if groups else None
        if last and row[metric] - last[metric] < 0.01 and row["trained"] < 1.5 * last["trained"]:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def check(chosen: dict[str, Any]) -> None:
    """BadInput where the comparison makes no sense."""
    if not chosen.get("task"):
        raise BadInput("--adapt all compares on one task with files: classify, tag, relation, qa or choice, and --train FILE")
    if chosen.get("freeze"):
        raise BadInput("--adapt all has a way with frozen layers of its own: leave out --freeze")
