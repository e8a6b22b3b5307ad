"""Write functional_autograd.json: what the calls of test_functional_autograd.py give in PyTorch.

python -m tests.frozen.make_functional_autograd      (needs PyTorch; run it when the cases change)
"""

from __future__ import annotations

import json

import torch

from ..test_functional_autograd import CASES, FROZEN, plain


def main() -> None:
    """Write the file."""
    lines = [f'"{case.__name__}": {json.dumps(plain(case(torch)))}' for case in CASES]
    FROZEN.write_text("{\n" + ",\n".join([f'"torch": "{torch.__version__}"', *lines]) + "\n}\n")


if __name__ == "__main__":
    main()
