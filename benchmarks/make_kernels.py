"""Store PyTorch's outputs for the small cases of kernel_cases.py: python -m benchmarks.make_kernels"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .kernel_cases import CASES, torch_outputs

STORED = Path(__file__).parent / "stored_kernels.npz"


def main() -> None:
    """Write the file; in float64, so that what differs is ours."""
    import torch

    numbers: dict[str, np.ndarray] = {"torch": np.array(torch.__version__), "numpy": np.array(np.__version__)}
    for case in CASES:
        arrays, constants = case.arrays(case.small)
        double = [torch.tensor(x.astype(np.float64)) for x in arrays]
        fixed = [torch.tensor(x.astype(np.float64) if x.dtype == np.float32 else x) for x in constants]
        for i, y in enumerate(torch_outputs(torch, case, double, fixed)):
            numbers[f"{case.name}.{i}"] = y.numpy()
    np.savez_compressed(STORED, **numbers)
    print(f"{STORED.name}: {len(CASES)} kernels, {STORED.stat().st_size:,} bytes, from PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
