"""Start-up time: importing the package, and the command up to its first training step.

    python -m benchmarks.start [--quick] [--json FILE]

Each figure is the median over new processes; a first one is not counted (it compiles, and fills the system's file cache).
Aims: import in under 0.5 s, first step less than 3 s after the command's start.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .machine import describe

ROOT = Path(__file__).parents[1]
AIMS = {"import minitorch": 0.5, "minitorch pretrain to its first step, text prepared before": 3.0}
SENTENCES = "the cat sat on the mat .\nthe dog lay on the rug .\n\n" * 200

# The command itself, stopped after its first step. Both processes read the system's clock.
FIRST_STEP = """
import importlib, os, sys, time
importing = importlib.import_module
def watched(name):
    module = importing(name)
    if name == "models.pretrain_command":
        run = module.PretrainingRun
        step = run.one_step
        def first(*arguments):
            step(*arguments)
            print("first step at", time.monotonic(), flush=True)
            os._exit(0)
        run.one_step = first
    return module
importlib.import_module = watched
from models import cli
sys.exit(cli.main(sys.argv[1:]))
"""


def whole(arguments: Sequence[str]) -> float:
    """Seconds from the start of a Python process to its end."""
    start = time.monotonic()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
    return time.monotonic() - start


def to_import(module: str) -> float:
    """Seconds of an import in a new process, including NumPy's."""
    code = f"import time; start = time.monotonic(); import {module}; print(time.monotonic() - start)"
    return float(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True))


def to_first_step(arguments: Sequence[str]) -> float:
    """Seconds from the start of `minitorch pretrain` to the end of its first step."""
    start = time.monotonic()
    command = [sys.executable, "-c", FIRST_STEP, "pretrain", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("first step at")]
    if not lines:
        raise SystemExit(f"minitorch pretrain did not reach its first step:\n{done.stdout}{done.stderr}")
    return float(lines[0].split()[-1]) - start


def measure(repeats: int) -> dict[str, float]:
    """Seconds of each thing measured."""

    def median(run: object, *arguments: object) -> float:
        times = [run(*arguments) for _ in range(repeats + 1)]  # type: ignore[operator]
        return statistics.median(times[1:])

    found = {"python alone": median(whole, ["-c", "pass"])}
    found |= {f"import {module}": median(to_import, module) for module in ("numpy", "minitorch", "models.bert.model")}
    found["minitorch --help"] = median(whole, ["-m", "models.cli", "--help"])
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text(SENTENCES)
        small = ["--corpus", str(text), "--vocab-size", "40"]
        found["minitorch pretrain to its first step, a new small text"] = statistics.median(
            to_first_step([*small, "--output", f"{folder}/{i}"]) for i in range(repeats)
        )
        prepared = ["--output", f"{folder}/default"]
        found["minitorch pretrain to its first step, Python's documentation, vocabulary learnt"] = to_first_step(prepared)
        found["minitorch pretrain to its first step, text prepared before"] = median(to_first_step, prepared)
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one counted process each")
    parser.add_argument("--json", metavar="FILE", type=Path)
    args = parser.parse_args()
    found = measure(1 if args.quick else 7)
    for name, seconds in found.items():
        aim = f"   (aim: under {AIMS[name]} s)" if name in AIMS else ""
        print(f"{name:85}{seconds:6.2f} s{aim}")
    if args.json:
        args.json.write_text(json.dumps({"machine": describe(), "seconds": found, "aims": AIMS}, indent=1) + "\n")


if __name__ == "__main__":
    main()
