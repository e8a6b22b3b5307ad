"""``minitorch predict [TEXT...] --model FOLDER``: use what ``minitorch finetune`` or ``seq2seq`` trained.

Read before: predictor.py, models/seq2seq/predictor.py.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from minitorch.files import write_text

from ..errors import BadInput, count
from ..generation.settings import GenerationConfig
from ..seq2seq.run import FACTS
from ..text.labelled import as_json
from ..training.settings import as_options, usable_device
from .predictor import Predictor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument(
        "text",
        nargs="*",
        help="texts, or - to read them from standard input, one per line; a tab separates the two texts of a pair, "
        "a question and its context, or a text and its choices",
    )
    parser.add_argument("--file", help="examples in the format of the training file, read as that was; labels are optional")
    parser.add_argument("--columns", help="of --file: its column names, joined by commas, if they differ from the training's")
    parser.add_argument("--delimiter", help="of --file: separator of its columns, if it differs from the training file's")
    parser.add_argument("--encoding", help="of --file, if it differs from the training file's")
    parser.add_argument("--model", default="runs/finetune", help="folder that finetune or seq2seq wrote (default: %(default)s)")
    parser.add_argument("--base", default="", help="of an adapter: its checkpoint, if that is no longer where it was")
    parser.add_argument("--num-beams", type=int, help="of seq2seq: width of the beam search (default: 1, greedy)")
    parser.add_argument("--output", metavar="FILE.jsonl", help="write one JSON object per example to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object an example")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print the answers."""
    if bool(args.text) == bool(args.file):
        raise BadInput("give texts, or --file FILE" + (", not both" if args.text else ""))
    reading = {name: value for name in ("columns", "delimiter", "encoding") if (value := getattr(args, name)) is not None}
    if reading and not args.file:
        raise BadInput(f"--{next(iter(reading))} says how a file is read: give --file FILE")
    if len(args.text) == 1 and os.path.isfile(args.text[0]):
        how = f"its lines as texts: minitorch predict - < {args.text[0]}; examples as in training: --file {args.text[0]}"
        raise BadInput(f"{args.text[0]} is a file; {how}")
    if args.file and args.output and os.path.realpath(args.file) == os.path.realpath(args.output):
        raise BadInput(f"--output {args.output} is also the input; give another file")
    try:
        predictor, options = load(args, reading)
        texts = [line.rstrip("\r\n") for line in sys.stdin or () if line.strip()] if args.text == ["-"] else args.text
        if not texts and not args.file:
            raise BadInput("standard input holds no text")
        records = predictor.file(args.file, **options) if args.file else predictor(texts, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
    lines = [as_json(record) for record in records]
    if args.output:
        write_text(args.output, "\n".join(lines) + "\n")
        print(f"{args.output}: {count(len(lines), 'prediction')}")
        return 0
    for record, line in zip(records, lines, strict=True):
        print(line if args.json else readable(record))
    return 0


def load(args: argparse.Namespace, reading: dict[str, str]) -> tuple[Any, dict[str, int]]:
    """The predictor of the folder, whichever command wrote it, and the options of its answers."""
    device = usable_device(args.device)
    if not (Path(args.model) / FACTS).is_file():
        predictor = Predictor(args.model, device, args.base, **reading)
        if args.num_beams is not None:
            raise BadInput("--num-beams is for models that write texts (minitorch seq2seq); this one does not")
        return predictor, {}
    if args.base:
        raise BadInput("--base is for adapters of minitorch finetune; this model is whole")
    from ..seq2seq import Predictor as Writer

    options = {} if args.num_beams is None else {"num_beams": args.num_beams}
    try:
        GenerationConfig.of(options)
    except BadInput as error:
        raise BadInput(as_options(str(error), options)) from None
    return Writer(args.model, device, lambda text: print(text, file=sys.stderr), **reading), options


def readable(record: dict[str, Any]) -> str:
    """One line for people."""
    if set(record) == {"text", "prediction"}:
        return " ".join(record["prediction"].splitlines())
    if "tags" in record:
        return "\n".join(f"{word}\t{tag}" for word, tag in zip(record["words"], record["tags"], strict=True)) + "\n"
    if "n_best" in record:
        return f"{record['prediction'] or '(no answer)'}\t{record['question']}"
    if "choice" in record:
        return f"{record['prediction']}\t{record['choice']}\t{record['text']}"
    answer = record["prediction"]
    shown = ", ".join(answer) or "(none)" if isinstance(answer, list) else answer
    sure = f" {record['probability']:.1%}" if "probability" in record else ""
    text = record["text"] + (f"\t{record['pair']}" if "pair" in record else "")
    return f"{shown}{sure}\t{text}"
