"""How the lessons show their pictures: in a notebook below the cell, from a script as a file in runs/lessons/."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from minitorch.files import replacing

plt.rcParams.update(
    {
        "figure.figsize": (9, 3.6),
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "axes.axisbelow": True,
        "lines.linewidth": 1.8,
        "legend.frameon": False,
        "font.size": 10,
    }
)
BLUE, ORANGE, GREEN, RED, GREY = "#2563eb", "#ea580c", "#15803d", "#b91c1c", "#6b7280"


def show(picture: Any, name: str) -> None:
    """Show a figure or a drawing of a graph, or write it to runs/lessons/NAME.png (.svg) and say so."""
    drawing = hasattr(picture, "_repr_svg_")
    if "ipykernel" in sys.modules:
        from IPython.display import display

        display(picture)
    else:
        path = Path("runs/lessons") / f"{name}.{'svg' if drawing else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if drawing:
            picture.save(path)
        else:
            with replacing(path) as temporary:
                picture.savefig(temporary, dpi=110)
        print(f"picture: {path}")
    if not drawing:
        plt.close(picture)
