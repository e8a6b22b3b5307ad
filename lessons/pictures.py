"""How the lessons show their pictures: in a notebook below the cell, from a script as a file in runs/lessons/."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

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


def show(figure: Any, name: str) -> None:
    """Show the figure, or write it to runs/lessons/NAME.png and say so."""
    if "ipykernel" in sys.modules:
        from IPython.display import display

        display(figure)
    else:
        path = Path("runs/lessons") / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
        print(f"picture: {path}")
    plt.close(figure)
