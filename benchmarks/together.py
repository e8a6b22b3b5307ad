"""The results of all CPUs in one table: python -m benchmarks.together [FOLDER]

Each folder of benchmarks/results that holds a steps.json is one CPU's complete run. A row is a contest, a column a CPU. An entry
has our time over PyTorch's, as pip installs it and with its AVX-512 kernels; below 1 this engine is faster.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def runs(folder: Path) -> dict[str, dict[str, Any]]:
    """A CPU's short name -> its steps.json."""
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/steps.json"))}


def entry(contest: dict[str, Any] | None) -> str:
    """The ratios of the first contestant to PyTorch on the same job, in both forms where both ran."""
    if contest is None:
        return "–"
    ours, job = contest["rows"][0], contest["rows"][0]["name"].removeprefix("minitorch")  # ", mixed"
    ratios = [ratio for name, ratio in ours["ratio_to"].items() if name.startswith(f"PyTorch{job}")]
    return ", ".join(f"{ratio:.2f}" for ratio in ratios) or "–"


def table(found: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    contests = {cpu: {c["title"]: c for c in run["results"]} for cpu, run in found.items()}
    titles = list(dict.fromkeys(title for by_title in contests.values() for title in by_title))
    lines = [f"| contest | {' | '.join(found)} |", f"| --- |{' --- |' * len(found)}"]
    lines += [f"| {title} | {' | '.join(entry(c.get(title)) for c in contests.values())} |" for title in titles]
    lines += ["", *(f"{cpu}: {run['machine']['processor']}, {run['threads']} threads.  " for cpu, run in found.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=RESULTS)
    found = runs(parser.parse_args().folder)
    print(table(found) if found else "there are no results yet: python -m benchmarks", end="")


if __name__ == "__main__":
    main()
