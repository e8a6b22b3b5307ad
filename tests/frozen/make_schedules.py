"""Write schedules.json: the rates of PyTorch's OneCycleLR and ReduceLROnPlateau in the cases of test_schedules.py.

python -m tests.frozen.make_schedules      (needs PyTorch; run it when the cases change)
"""

from __future__ import annotations

import json

import torch

from ..test_schedules import CASES, FROZEN


def main() -> None:
    """Write the file."""
    lines = [f'"{run.__name__}, {name}": {json.dumps(run(torch, name))}' for run, name in CASES]
    FROZEN.write_text("{\n" + ",\n".join([f'"torch": "{torch.__version__}"', *lines]) + "\n}\n")


if __name__ == "__main__":
    main()
