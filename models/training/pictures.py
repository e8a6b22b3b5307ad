"""The picture that a language model's training leaves: its loss, drawn against its baselines. Read before: loop.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minitorch.files import replacing


def save_curve(metrics: list[dict[str, Any]], path: Path, title: str, unit: str, baselines: dict[str, str]) -> None:
    """Loss per step on the training and the held-out text, with the baselines as lines. unit: what is predicted.

    baselines: name, as in the metrics' ``name_baseline``, and what a model of that loss knows.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps = [line["step"] for line in metrics]
    figure, axes = pyplot.subplots(figsize=(8, 4.5), dpi=120)
    axes.plot(steps, [line["loss"] for line in metrics], color="#4c72b0", alpha=0.7, label="training text")
    axes.plot(steps, [line["valid_loss"] for line in metrics], "o-", color="#c44e52", markersize=3, label="held-out text")
    for name, text in baselines.items():
        level = metrics[-1][f"{name}_baseline"]
        axes.axhline(level, color="#555555", linestyle="--", linewidth=1)
        axes.annotate(
            f"{text}{': ln V' if name == 'uniform' else ''} = {level:.2f}",
            (0.99, level),
            (0, 4),
            ("axes fraction", "data"),
            "offset points",
            ha="right",
        )
    last = metrics[-1]
    axes.annotate(
        f"{last['valid_loss']:.2f}", (last["step"], last["valid_loss"]), (4, 0), textcoords="offset points", va="center"
    )
    axes.set(xlabel="step", ylabel=f"nats per {unit}")
    axes.set_title(title, loc="left")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlim(0, last["step"] * 1.04)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)  # above: below, a line may cross it
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary)
    pyplot.close(figure)
