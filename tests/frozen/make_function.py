"""Write function.json: what the Functions of test_function.py give in PyTorch.

python -m tests.frozen.make_function      (needs PyTorch; run it when the cases change)
"""

from __future__ import annotations

import json

import torch

from ..test_function import CASES, FROZEN, classes


def main() -> None:
    """Write the file."""
    functions = classes(torch, torch.autograd.function.once_differentiable)
    results = {case.__name__: case(torch, functions) for case in CASES}
    lines = [f'"torch": "{torch.__version__}"', *(f'"{name}": {json.dumps(value)}' for name, value in results.items())]
    FROZEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
