"""Write cupy_names.json: the public names of CuPy, so that the check of what formulas use also runs without it.

python -m tests.frozen.make_cupy_names      (needs CuPy; no GPU)
"""

import json
from pathlib import Path

import cupy

names = [name for name in dir(cupy) if not name.startswith("_")]
for room in ("linalg", "random", "ndarray", "add", "maximum", "minimum"):  # the last three for their methods: add.at
    names += [f"{room}.{name}" for name in dir(getattr(cupy, room)) if not name.startswith("_")]
target = Path(__file__).with_name("cupy_names.json")
target.write_text(json.dumps({"cupy": cupy.__version__, "names": sorted(names)}, separators=(",", ":")) + "\n")
print(f"{target.name}: {len(names)} names, {target.stat().st_size} bytes")
