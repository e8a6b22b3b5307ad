"""Store PyTorch's outputs and gradients for the cases of tests/module_cases.py in nn.npz.

    python -m tests.frozen.make_nn

Run it again when a case is added or changed; needs PyTorch.
"""

import numpy as np
import torch

from tests.module_cases import FROZEN, all_cases, flat, run_torch


def main() -> None:
    """Write the file."""
    torch.set_num_threads(1)
    numbers = {name: flat(run_torch(case)) for name, case in all_cases()}
    np.savez_compressed(FROZEN, **numbers)
    print(f"{len(numbers)} cases, {FROZEN.stat().st_size:,} bytes, from PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
