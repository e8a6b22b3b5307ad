"""``minitorch attack --model FOLDER --file FILE``: how few changes turn a classifier's right answers into wrong ones?

Read before: attack.py, report.py, models/finetuning/predictor.py.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_text
from minitorch.parallel import Workers

from ..errors import BadInput, count
from ..finetuning.predictor import Predictor
from ..finetuning.run import FACTS
from ..reading import read_bytes, read_json
from ..seq2seq.run import FACTS as WRITER
from ..text.labelled import as_json
from ..training.loop import progress
from ..training.runs import alone_in, make_folder, refuse_overwriting
from ..training.settings import usable_device
from .attack import Attack
from .changes import WAYS, make_change
from .report import as_text, record, summary

RECORDS, REPORT = "attack.jsonl", "attack.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("--model", default="runs/finetune", help="folder of a classifier of finetune (default: %(default)s)")
    parser.add_argument("--file", help="labelled examples in the format of the training file")
    parser.add_argument("--with", dest="way", default="typos", help="typos: misspell words; neighbours: words with a near "
                        "embedding, which may mean another thing: read the examples (default: %(default)s)")  # fmt: skip
    parser.add_argument("--wordlist", default="", help="words to put in each other's place: groups, a line each (film, movie)")
    parser.add_argument("--budget", type=float, default=0.2, help="share of a text's words that may change; one always may "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument(
        "--examples", type=int, default=100, help="attack so many, drawn at random; 0: all (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice (default: %(default)s)")
    parser.add_argument("--columns", help="of --file: its column names, joined by commas, if they differ from the training's")
    parser.add_argument("--delimiter", help="of --file: separator of its columns, if it differs from the training file's")
    parser.add_argument("--encoding", help="of --file, if it differs from the training file's")
    parser.add_argument("--base", default="", help="of an adapter: its checkpoint, if that is no longer where it was")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--output", help="folder for attack.jsonl and attack.json (default: attack, in the model's folder)")
    parser.add_argument("--resume", action="store_true", help="go on with the attack in --output")
    parser.add_argument("--overwrite", action="store_true", help="replace the attack in --output")
    parser.add_argument("--check", metavar="FILE.jsonl", help="instead of an attack: does the model answer as this file claims?")


def run(args: argparse.Namespace) -> int:
    """Attack, or check a file of attacks."""
    if bool(args.file) == bool(args.check):
        raise BadInput("give --file FILE, the examples to attack, or --check FILE.jsonl, the attacks to check")
    if args.resume and args.overwrite:
        raise BadInput("--resume continues the attack in --output and --overwrite replaces it: give one of them")
    if args.way not in WAYS or not 0 <= args.budget <= 1 or args.examples < 0 or args.seed < 0 or math.isnan(args.budget):
        refuse_values(args)
    try:
        predictor = victim(args)
        if args.check:
            return check(predictor, args.check)
        attack_file(predictor, args)
    except (OSError, ValueError, RuntimeError) as error:
        raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
    return 0


def refuse_values(args: argparse.Namespace) -> None:
    """Say which value is wrong."""
    if args.way not in WAYS:
        raise BadInput(f"--with must be one of {', '.join(WAYS)}, not {args.way!r}")
    if not 0 <= args.budget <= 1:
        raise BadInput(f"--budget is a share of a text's words, from 0 to 1, not {args.budget}")
    name = "examples" if args.examples < 0 else "seed"
    raise BadInput(f"--{name} must be at least 0, not {getattr(args, name)}")


def victim(args: argparse.Namespace) -> Predictor:
    """The model, which must give each text one class."""
    reading = {name: value for name in ("columns", "delimiter", "encoding") if (value := getattr(args, name)) is not None}
    if (Path(args.model) / WRITER).is_file():
        raise BadInput(f"{args.model} is a model of minitorch seq2seq, which writes texts; minitorch attack is for classifiers")
    predictor = Predictor(args.model, usable_device(args.device), args.base, **reading)
    task: Any = predictor.task
    kind = task.name if task.name != "classify" else f"classify, --targets {task.targets}"
    if kind != "classify, --targets classes":
        cure = "train one with: minitorch finetune classify --train FILE"
        raise BadInput(f"{args.model} holds a model for {kind}; minitorch attack is for one class a text: {cure}")
    return predictor


def attack_file(predictor: Predictor, args: argparse.Namespace) -> None:
    """Attack the examples of --file one by one; each is written as soon as it is done."""
    folder, task = Path(args.output or Path(args.model) / "attack"), predictor.task
    if not args.resume:
        refuse_overwriting(folder, (REPORT,), args.overwrite)
    elif not (folder / REPORT).is_file():
        raise BadInput(f"{folder / REPORT}: no attack to resume; start one without --resume")
    examples = task.read(args.file)
    task.check(examples)
    order = np.random.default_rng([args.seed, 23]).permutation(len(examples))[: args.examples or None].tolist()
    change = make_change(args.way, args.wordlist, predictor.trainer.model, predictor.tokenizer)
    how = f"{args.model} under attack with {args.wordlist or args.way} on {args.file}; budget {args.budget:.0%} of the words"
    make_folder(folder)
    with contextlib.ExitStack() as stack:
        stack.enter_context(alone_in(folder))
        settings = facts(args)
        done = begun(folder, settings, order) if args.resume else []
        write_text(folder / REPORT, as_json({"settings": settings}, 1) + "\n")
        write_text(folder / RECORDS, "".join(as_json(r) + "\n" for r in done))
        attack = Attack(predictor.trainer, stack.enter_context(Workers(task.s.workers)), change, args.budget, args.seed)
        try:
            attack_all(attack, [(i, examples[i]) for i in order], done, folder / RECORDS)
        except KeyboardInterrupt:
            print(f"\nstopped after {count(len(done), 'text')}; the same command with --resume goes on\n")
            print(as_text(summary(done), done, how))
            raise
        write_text(folder / REPORT, as_json({"settings": settings, "result": summary(done)}, 1) + "\n")
    print(as_text(summary(done), done, how))
    again = f"minitorch attack --model {shlex.quote(args.model)} --check {shlex.quote(str(folder / RECORDS))}"
    print(f"\n{folder / RECORDS}: every text, and what was changed; {again} asks once more")


def attack_all(attack: Attack, examples: list[tuple[int, Any]], done: list[dict[str, Any]], path: Path) -> None:
    """Attack those that are not done, and append their records to ``done`` and to the file."""
    with open(path, "a", encoding="utf-8") as file, progress(len(examples), len(done), "text") as bar:
        bar.set_description_str("attacking")
        for i, e in examples[len(done) :]:
            done.append(record(attack.task, e, attack(e, i), i))
            file.write(as_json(done[-1]) + "\n")
            file.flush()
            numbers = summary(done)
            bar.set_postfix_str(f"right {numbers['accuracy']:.1%}, under attack {numbers['accuracy_under_attack']:.1%}")
            bar.update()


def facts(args: argparse.Namespace) -> dict[str, Any]:
    """All that an attack depends on."""
    files = {"file": args.file, "wordlist": args.wordlist, "model": str(Path(args.model) / FACTS)}
    digests = {name: hashlib.sha256(read_bytes(path, None)).hexdigest() for name, path in files.items() if path}
    return {"with": args.way, "budget": args.budget, "examples": args.examples, "seed": args.seed, "sha256": digests}


def begun(folder: Path, settings: dict[str, Any], order: list[int]) -> list[dict[str, Any]]:
    """The records of an attack that was stopped; a last line that was cut off is left out."""
    before = read_json(folder / REPORT).get("settings")
    for name, value in settings.items():
        if not isinstance(before, dict) or before.get(name) != value:
            raise BadInput(f"{folder / REPORT}: that attack was of another {name}; --resume wants the same command and files")
    records = lines_of(folder / RECORDS)
    for i, r in zip(order, records, strict=False):
        if r["attack"]["number"] != i:
            raise BadInput(f"{folder / RECORDS}: its lines are not those of this attack; --overwrite starts again")
    return records[: len(order)]


def lines_of(path: str | Path) -> list[dict[str, Any]]:
    """The records of a file; lines that are none, such as a last one that was cut off, are left out."""
    records = []
    for line in read_bytes(path, None).decode(errors="replace").split("\n"):
        with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError):
            r = json.loads(line)
            if r["attack"].keys() >= {"outcome", "number", "where", "original", "changes", "words", "queries"}:
                records.append(r)
    return records


def check(predictor: Predictor, path: str) -> int:
    """Ask the model again, as predict does: 0 if every claim of the file is true, otherwise 1."""
    task: Any = predictor.task
    examples = task.read(path)
    task.check(examples)
    records = lines_of(path)
    if len(records) != len(examples):
        raise BadInput(f"{path}: not a file that minitorch attack wrote")
    originals = [
        dataclasses.replace(e, text=r["attack"]["original"]["text"], pair=r["attack"]["original"].get("pair"))
        for e, r in zip(examples, records, strict=True)
    ]
    answers = [[r["prediction"] for r in predictor.records(some)] for some in (originals, examples)]
    wrong = []
    for e, r, before, after in zip(examples, records, *answers, strict=True):
        gold, outcome = task.gold(e), r["attack"]["outcome"]
        if outcome == "flipped" and not (before == gold != after):
            wrong.append(r["attack"]["where"])
    flips = sum(r["attack"]["outcome"] == "flipped" for r in records)
    if wrong:
        print(f"{path}: {count(flips, 'flip')}, of which {len(wrong)} cannot be reproduced: {', '.join(wrong[:5])}")
        return 1
    print(f"{path}: {count(flips, 'flip')}, all reproduced: right before the change, wrong after it")
    return 0
