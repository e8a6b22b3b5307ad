"""Where is a language model worth its cost? `minitorch compare` on reviews, named entities, questions and houses.

    python -m benchmarks.compare --model FOLDER --data FOLDER [--output runs/compare] [--json FILE] [NAME ...]

The model's FOLDER holds all-MiniLM-L6-v2 in Hugging Face's layout. The data's FOLDER holds reviews/<domain>/{train,dev}.tsv
(Blitzer et al. 2007), ner/{train,dev,test}.conll (WNUT-17), qa/xquad.en.json and housing/california_housing.csv, of which 5,000
rows take part. A comparison that is there goes on where it stopped. The figures that are kept: report.json without single
answers. docs/comparison.md says what they mean.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import sys
from pathlib import Path
from typing import Any

from models import startup

if __name__ == "__main__":
    startup.prepare()  # before NumPy is imported

from minitorch.files import write_text
from models import cli

from .machine import describe

NAMES: dict[str, str] = {
    "electronics": "--train reviews/electronics/train.tsv --test reviews/electronics/dev.tsv --also reviews/kitchen/dev.tsv "
    "--length 64 --truncate middle --epochs 2 --batch-size 16 --lr 1e-4",
    "wnut17": "--train ner/train.conll --test ner/test.conll --length 64 --epochs 3 --lr 2e-4 --examples 1000 --draws 0",
    "wnut17-whole": "--train ner/train.conll --dev ner/dev.conll --test ner/test.conll --length 64 --draws 0 --skip BERT",
    "xquad": "--train qa/xquad.en.json --length 192 --stride 64 --batch-size 16 --lr 2e-4 --epochs 2 --examples 500 --draws 0",
    "housing": "--table housing/sample.csv --target median_house_value --examples 1000 --length 96 --epochs 2 "
    "--batch-size 16 --lr 1e-4 --draws 2",
}
KEPT = ("metric", "score", "setting", "chosen", "train_cpu_seconds", "cpu_ms_per_answer", "parameters", "bytes", "typos", "also")


def main() -> int:
    """Run the comparisons that are asked for, and collect their figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--model", required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--data", required=True, type=Path, help="folder with reviews/, ner/, qa/ and housing/")
    parser.add_argument("--output", default=Path("runs/compare"), type=Path, help="for the pages (default: %(default)s)")
    parser.add_argument("--budget", default="60", help="minutes for each (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="add the figures to this file")
    args = parser.parse_args()
    for name in args.names or NAMES:
        folder = args.output / name
        begun = (folder / "report.json").exists()
        what = ["--resume"] if begun else [*options(name, args.data, args.output), "--model", args.model]
        cli.main(["compare", *what, "--output", str(folder), "--budget", args.budget])
        if args.json:
            known = json.loads(args.json.read_text(encoding="utf-8")) if args.json.exists() else {}
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            record = {"machine": describe(), "command": f"minitorch compare {NAMES[name]} --model MODEL", **summary(report)}
            write_text(args.json, json.dumps({**known, name: record}, indent=1, ensure_ascii=False) + "\n")
    return 0


def options(name: str, data: Path, output: Path) -> list[str]:
    """The options, with the files where they are."""
    if name == "housing":
        sample(data / "housing" / "california_housing.csv", output / "sample.csv")
    words = shlex.split(NAMES[name].replace("housing/sample.csv", str(output / "sample.csv")))
    return [
        str(data / word) if "/" in word and not Path(word).is_absolute() and (data / word).exists() else word for word in words
    ]


def sample(path: Path, target: Path, rows: int = 5000) -> None:
    """Some rows at random, for BERT takes a hundredth of a second for each."""
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    random.Random(0).shuffle(lines)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, "\n".join([head, *lines[:rows]]) + "\n")


def summary(report: dict[str, Any]) -> dict[str, Any]:
    """The figures, without single answers."""
    rungs = {}
    for name in report["order"]:
        r = report["rungs"].get(name, {"status": "not begun"})
        done = (
            {key: rounded(r[key]) for key in KEPT} | {"interval": rounded(report["tests"]["intervals"][name])}
            if r["status"] == "done"
            else {}
        )
        rungs[name] = done or {key: r[key] for key in ("status", "reason") if key in r}
    tests = {name: rounded(row) for name, row in report["tests"]["against_best"].items()}
    curve = {name: rounded(sizes) for name, sizes in report["curve"].items() if any(sizes.values())}
    kept = {
        "examples": report["examples"],
        "best": report["tests"]["best"],
        "rungs": rungs,
        "against_best": tests,
        "curve": curve,
    }
    return {**kept, "conclusions": report["conclusions"], "sha256": report["sha256"]}


def rounded(value: Any) -> Any:
    """Numbers to four digits after the point, in whatever nesting."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
