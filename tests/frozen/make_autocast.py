"""Write autocast.json: the dtype of PyTorch's result for every expression of test_autocast.py under autocast.

python -m tests.frozen.make_autocast      (needs PyTorch; "cuda" is asked of its dispatcher with fake tensors, without a card)
"""

import contextlib
import json
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ..test_autocast import outcomes

results = {}
for device in ("cpu", "cuda"):
    with FakeTensorMode() if device == "cuda" else contextlib.nullcontext():
        for half in (torch.bfloat16, torch.float16):
            x, b, u = (torch.ones(shape, device=device) for shape in ((4, 4), (1, 4, 4), (4,)))
            i = torch.zeros(4, dtype=torch.int64, device=device)
            torch.set_autocast_dtype(device, half)
            torch.set_autocast_enabled(device, True)
            results[f"{device} {str(half).removeprefix('torch.')}"] = outcomes(torch, x, half, i, b, u)
            torch.set_autocast_enabled(device, False)
target = Path(__file__).with_name("autocast.json")
target.write_text(json.dumps({"torch": torch.__version__, "results": results}, indent=0) + "\n")
print(f"{target.name}: {sum(map(len, results.values()))} results, {target.stat().st_size} bytes")
