"""Write promotion.json: the dtype that PyTorch gives for every pair of dtypes, as tensors, 0-d tensors and numbers.

python -m tests.frozen.make_promotion      (needs PyTorch)
"""

import json
import warnings
from pathlib import Path

import torch

from ..test_promotion import CODES, OPS, keys, outcome

warnings.simplefilter("ignore")
results = {name: "".join(CODES[outcome(torch, key)] for key in keys(name)) for name in OPS}
target = Path(__file__).with_name("promotion.json")
target.write_text(json.dumps({"torch": torch.__version__, "results": results}, indent=1) + "\n")
print(f"{target.name}: {sum(map(len, results.values()))} pairs, {target.stat().st_size} bytes")
