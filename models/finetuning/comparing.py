"""``minitorch finetune TASK ... --adapt all``: every way of adapting a model, on one task, from one start, in one table.

Each way is a run of its own in OUTPUT/NAME, with the learning rate that suits it (or --lr for all); "full" trains everything
and "frozen" the upper half of the layers. --resume takes finished runs as they are and continues the others.
The table says what each costs and brings; the alternatives without a neural network stand below it.
Read before: command.py, models/adapting/choosing.py.
"""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minitorch.files import replacing, write_text
from minitorch.parallel import Workers

from ..adapting import PeftModel
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
        **memory_of(run),
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


def memory_of(run: Run) -> dict[str, int]:
    """Bytes that training needed at its peak: weights, Adam's moments, and all arrays of a step on the longest texts."""
    t, model = run.trainer, run.model
    if run.s.device != "cpu":
        return {}
    if isinstance(model, PeftModel):  # which was read anew for answers, so nothing of it learns
        model.peft_config[model.active_adapter].inference_mode = False
        model.set_adapter(model.active_adapter)
    learning = [p for p in model.parameters() if p.requires_grad]
    longest = sorted(t.features, key=lambda feature: -feature.size)[: run.s.batch_size]
    model.train()
    tracemalloc.start()
    with Workers(run.s.workers) as workers:
        t.gradients(longest, learning, workers)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    t.optimizer.zero_grad()
    model.eval()
    weights = sum(p.array.nbytes for p in model.parameters())
    return {"peak_bytes": weights + sum(2 * p.array.nbytes for p in learning) + peak}


def as_text(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> str:
    """The table: score, then costs."""
    metric = rows[0]["metric"]
    width = max(len(row["name"]) for row in [*rows, *others]) + 2
    heads = ("trained", "file", "gradient+Adam", "peak memory", "time/step", "CPU/step", "rate")
    lines = [f"{'':{width}}{metric:>12}" + "".join(f"{head:>15}" for head in heads)]
    for row in rows:
        cells = (f"{row['trained']:,}", size_text(row["file_bytes"]), size_text(row["training_bytes"]))
        cells += (size_text(row["peak_bytes"]) if "peak_bytes" in row else "",)
        cells += (f"{row['ms_per_step']:.0f} ms", f"{row['cpu_ms_per_step']:.0f} ms", f"{row['lr']:g}")
        lines.append(f"{row['name']:{width}}{row[metric]:12.4f}" + "".join(f"{cell:>15}" for cell in cells))
    for row in others:
        if metric in row:
            cells = (f"{row['parameters']:,}", size_text(row["bytes"]))
            lines.append(f"{row['name']:{width}}{row[metric]:12.4f}" + "".join(f"{cell:>15}" for cell in cells))
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], others: list[dict[str, Any]], path: Path) -> None:
    """A line for each way: its score (with its deviation, if several seeds ran), what it trains, and the time of a step."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    metric, names = rows[0]["metric"], [row["name"] for row in rows]
    figure = Figure(figsize=(12, 1.5 + 0.3 * len(rows)), layout="constrained")
    score, trained, time = figure.subplots(1, 3, sharey=True, width_ratios=(5, 3, 2))
    colours = ["#204a87" if name in METHODS else "#cc4400" for name in names]
    for i, row in enumerate(rows):
        score.errorbar(row[metric], i, xerr=row.get("spread", 0.0), fmt="o", color=colours[i], capsize=3)
    known = sorted((row[metric], row["name"]) for row in others if metric in row)
    for value, name in known[-1:]:  # the best model without a neural network
        score.axvline(value, color="#888888", linestyle="--", linewidth=1)
        side = "right" if value > sum(score.get_xlim()) / 2 else "left"
        score.annotate(f" {name} ", (value, len(rows) - 0.35), fontsize=8, color="#555555", va="center", ha=side)
    score.set(title=f"{metric}: what it brings", yticks=range(len(rows)), yticklabels=names, ylim=(len(rows), -0.7))
    trained.barh(range(len(rows)), [row["trained"] for row in rows], color=colours)
    trained.set(xscale="log", title="trained parameters", xlim=(min(row["trained"] for row in rows) / 3, None))
    trained.xaxis.set_minor_formatter(NullFormatter())
    time.barh(range(len(rows)), [row["ms_per_step"] for row in rows], color=colours)
    time.set(title="ms per step")
    for part in (score, trained, time):
        part.grid(axis="x", color="#dddddd")
        part.set_axisbelow(True)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def check(chosen: dict[str, Any]) -> None:
    """BadInput where the comparison makes no sense."""
    if not chosen.get("task"):
        raise BadInput("--adapt all compares on one task with files: classify, tag, relation, qa or choice, and --train FILE")
    if chosen.get("freeze"):
        raise BadInput("--adapt all has a way with frozen layers of its own: leave out --freeze")
