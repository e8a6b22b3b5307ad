"""What a folder weighs, how fast it answers, and what memory a process needs that does nothing else: all measured.

    python -m models.compressing.measuring FOLDER FILE N READING  # peak MiB of a process that answers N examples of FILE

Read before: subject.py.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import run
from typing import Any

from ..checkpoints.files import weight_files
from ..reading import read_bytes

ROUNDS = 3


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of the weights' files, as they are and after gzip."""
    contents = [read_bytes(path, None) for path in weight_files(folder)]
    return {"bytes": sum(map(len, contents)), "gzip_bytes": sum(len(gzip.compress(content, 1)) for content in contents)}


def milliseconds(answers: dict[str, Callable[[], Any]], n: int) -> dict[str, float]:
    """The least CPU time per example of each function, which answers ``n``, in turns; on one thread that is the time."""
    least = dict.fromkeys(answers, float("inf"))
    for i in range(ROUNDS + 1):  # the first one loads and allocates
        for name, answer in answers.items():
            started = time.process_time()
            answer()
            if i:
                least[name] = min(least[name], 1000 * (time.process_time() - started) / n)
    return least


def peak_mib() -> float:
    """The most memory that this process has had. (Not ru_maxrss, which starts from the parent's.)"""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)


def memory_of(folder: str | Path, path: str, n: int, **reading: str) -> dict[str, float]:
    """Peak MiB of a process that loads a folder and answers; and of one that stops before."""
    asked = [sys.executable, "-m", "models.compressing.measuring", *(str(Path(p).resolve()) for p in (folder, path))]
    asked += [str(n), json.dumps(reading)]
    done = run(asked, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(folder: str, path: str, n: str, reading: str) -> None:
    """The process that is measured."""
    from .subject import answering

    before = peak_mib()
    answer = answering(folder, path, int(n), **json.loads(reading))
    answer()
    print(json.dumps({"peak_mib": round(peak_mib(), 1), "imports_mib": round(before, 1)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
