"""All benchmarks: python -m benchmarks [--quick] [--output FOLDER] [PART ...]

Each part runs in a process of its own, prints tables and writes a JSON file. report.txt gets everything that is printed; pictures
are drawn at the end. The kernels come first: if one of them is wrong, nothing after it is timed and the status is 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

from . import together
from .machine import describe, short_name

ROOT = Path(__file__).parents[1]
PARTS = {  # minutes, and minutes with --quick, on two idle cores of a Zen 5 EPYC
    "kernels": (0.5, 0.3), "steps": (15.0, 1.0), "gpt": (1.5, 0.3), "scaling": (3.5, 1.0),
    "engine_overhead": (0.2, 0.1), "start": (0.5, 0.3),
}  # fmt: skip


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few and small: shows that all of it runs; the figures mean nothing")
    parser.add_argument(
        "--output", metavar="FOLDER", type=Path, help="default: benchmarks/results/CPU for all parts, else runs/benchmarks"
    )
    args = parser.parse_args()
    unknown = [part for part in args.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    whole = not args.quick and not args.parts  # so that a CPU's folder always holds a single run
    folder = args.output or (together.RESULTS / short_name() if whole else ROOT / "runs/benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    parts = [part for part in PARTS if not args.parts or part in args.parts]
    with open(folder / "report.txt", "w", encoding="utf-8") as report:
        say(", ".join(f"{name} {value}" for name, value in describe().items()), report)
        for i, part in enumerate(parts):
            left = sum(PARTS[p][args.quick] for p in parts[i:])
            say(
                f"\n== {i + 1}/{len(parts)} {part}: about {PARTS[part][args.quick]:g} of the {left:.1f} minutes left",
                report,
            )
            status = run(part, folder, args.quick, report)
            if status:
                say(f"{part}: a check failed, or it could not run (status {status}); the later parts are not measured", report)
                return 1
    if len(found := together.runs(together.RESULTS)) > 1:
        (together.RESULTS / "together.md").write_text(together.table(found), encoding="utf-8")
    return draw(folder)


def say(text: str, report: TextIO) -> None:
    """On the screen and in the file."""
    print(text, flush=True)
    report.write(text + "\n")
    report.flush()


def run(part: str, folder: Path, quick: bool, report: TextIO) -> int:
    """One part; its status."""
    start = time.monotonic()
    command = [sys.executable, "-u", "-m", f"benchmarks.{part}", "--json", str((folder / f"{part}.json").resolve())]
    process = subprocess.Popen(
        command + ["--quick"] * quick, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    for line in process.stdout:
        say(line.rstrip("\n"), report)
    status = process.wait()
    say(f"({part} took {time.monotonic() - start:.0f} s)", report)
    return status


def draw(folder: Path) -> int:
    """The pictures, where matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print("no pictures: matplotlib is not installed")
        return 0
    return subprocess.run([sys.executable, "-m", "benchmarks.pictures", str(folder.resolve())], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
