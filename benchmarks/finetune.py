"""Does a pretrained BERT, fine-tuned by this engine, beat classical methods? Reviews, named entities, questions.

    python -m benchmarks.finetune --model FOLDER --data FOLDER [--output runs/benchmarks] [--json FILE] [NAME ...]

The model's FOLDER holds all-MiniLM-L6-v2 in Hugging Face's layout (22.7 million weights). The data's FOLDER holds
reviews/<domain>/{train,dev}.tsv (Blitzer et al. 2007, and airline), ner/{train,dev,test}.conll (WNUT-17) and qa/xquad.en.json.
- Reviews: trained on train.tsv for a fixed number of steps, no checkpoint chosen, judged once on dev.tsv.
- WNUT-17, and XQuAD (its 48 articles split at random into 36, 6 and 6): the epoch is chosen on dev, judged on test.
An interrupted run continues; a finished one is read from its report.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import sys
from pathlib import Path
from typing import Any

from models import startup

if __name__ == "__main__":
    startup.prepare()  # before NumPy is imported

from minitorch.files import write_text
from models.finetuning.report import finish
from models.finetuning.run import STATE, Run, read_state
from models.finetuning.tasks import Settings

from .machine import describe

DOMAINS = ("airline", "books", "dvd", "electronics", "kitchen")
REVIEWS: dict[str, Any] = {"task": "classify", "length": 96, "truncate": "middle", "batch_size": 16, "lr": 1e-4, "epochs": 2}
REVIEWS |= {"freeze": 2, "validation": 0.0, "compare": "all", "fuse": True}
ENTITIES: dict[str, Any] = {"task": "tag", "length": 64, "batch_size": 32, "lr": 2e-4, "epochs": 3, "compare": "all"}

QUESTIONS: dict[str, Any] = {"task": "qa", "length": 192, "stride": 64, "batch_size": 16, "lr": 2e-4, "epochs": 3}
QUESTIONS |= {"compare": "classical"}
ALL = (*DOMAINS, "wnut17", "xquad")


def main() -> int:
    """Run the data sets that are asked for, and collect the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)} (default: all)")
    parser.add_argument("--model", required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--data", required=True, type=Path, help="folder with reviews/, ner/ and qa/")
    parser.add_argument("--output", default=Path("runs/benchmarks"), type=Path, help="for checkpoints (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="add the figures to this file")
    args = parser.parse_args()
    for name in args.names or ALL:
        report = one(name, args)
        record = {"machine": describe(), "command": command(report["settings"]), **summary(report)}
        if args.json:
            known = json.loads(args.json.read_text(encoding="utf-8")) if args.json.exists() else {}
            write_text(args.json, json.dumps({**known, name: record}, indent=1) + "\n")
    return 0


def one(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """The report of one data set: read, continued or made."""
    folder = args.output / name
    if (folder / "report.json").exists():
        found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        return found
    usual = {"model": args.model, "output": str(folder)}
    if name == "wnut17":
        data = args.data / "ner"
        files = {part: str(data / f"{part}.conll") for part in ("train", "dev", "test")}
        settings = Settings(**ENTITIES, **usual, **files)
    elif name == "xquad":
        settings = Settings(**QUESTIONS, **usual, **by_article(args.data / "qa" / "xquad.en.json", folder / "data"))
    else:
        data = args.data / "reviews" / name
        settings = Settings(**REVIEWS, **usual, train=str(data / "train.tsv"), test=str(data / "dev.tsv"))
    going_on = (folder / STATE).is_file()
    if going_on:
        settings = Settings(**{**read_state(folder / STATE)["settings"], "output": str(folder)})
    run = Run(settings)
    if going_on:
        run.load_state()
    run.train()
    return finish(run)


def by_article(path: Path, folder: Path) -> dict[str, str]:
    """Split a SQuAD file in three; no article is in two of them."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    random.Random(0).shuffle(articles)
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for part, chosen in (("train", articles[:36]), ("dev", articles[36:42]), ("test", articles[42:])):
        files[part] = str(folder / f"{part}.json")
        write_text(files[part], json.dumps({"version": "1.1", "data": chosen}, ensure_ascii=False))
    return files


def command(settings: dict[str, Any]) -> str:
    """The command that makes the same run."""
    usual = {f.name: f.default for f in dataclasses.fields(Settings)}
    options = []
    for name, value in settings.items():
        if name in ("task", "threads") or value == usual[name]:
            continue
        shown = {"model": "MODEL", "output": "OUTPUT"}.get(
            name, "/".join(Path(value).parts[-3:]) if name in ("train", "dev", "test") else value
        )
        options.append(f"--{name.replace('_', '-')}" + ("" if value is True else f" {shown}"))
    return f"minitorch finetune {settings['task']} {' '.join(options)}"


def summary(report: dict[str, Any]) -> dict[str, Any]:
    """The part of a report that is kept."""
    return {key: report[key] for key in ("judged_on", "examples", "metric", "alternatives", "sha256")}


if __name__ == "__main__":
    sys.exit(main())
