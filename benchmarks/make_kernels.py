"""Store the small cases of kernel_cases.py with PyTorch's outputs: python -m benchmarks.make_kernels

For each case the file holds its arguments (in, constant), PyTorch's results and gradients in float64 (out), and the number of
each (counts); once for all, the versions they were made with and the tolerances of the check.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .kernel_cases import CASES, Case, torch_outputs, wide

STORED = Path(__file__).parent / "stored_kernels.npz"


def numbers_of(case: Case) -> tuple[list[Any], list[Any], list[Any]]:
    """Arguments and PyTorch's outputs; these in float64, so that any difference is our rounding."""
    import torch

    arrays, constants = case.arrays(case.small)
    torch.manual_seed(0)
    outputs = torch_outputs(torch, case, [torch.tensor(wide(x)) for x in arrays], [torch.tensor(wide(x)) for x in constants])
    return arrays, constants, [y.numpy() for y in outputs]


def main() -> None:
    """Write the file."""
    import torch

    tolerances = {case.name: case.tolerance for case in CASES}
    numbers = {name: np.array(x) for name, x in (("torch", torch.__version__), ("numpy", np.__version__))}
    numbers["tolerances"] = np.array(json.dumps(tolerances))
    for case in CASES:
        parts = numbers_of(case)
        numbers[f"{case.name}.counts"] = np.array([len(part) for part in parts])
        for label, part in zip(("in", "constant", "out"), parts, strict=True):
            numbers |= {f"{case.name}.{label}{i}": x for i, x in enumerate(part)}
    np.savez_compressed(STORED, **numbers)
    print(f"{STORED.name}: {len(CASES)} cases, {STORED.stat().st_size:,} bytes, from PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
