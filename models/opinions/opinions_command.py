"""``minitorch opinions STREAM --sentiment FOLDER``: what a stream of dated texts says, and an alarm when bad ones surge.

Read before: surge.py, stream.py. Read next: page.py.
"""

from __future__ import annotations

import argparse
import itertools
import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from ..errors import BadInput, count, listing, short
from ..finetuning.predictor import Predictor
from ..reading import parse_json, read_text
from ..text.labelled import as_json
from ..training.loop import prepare_kernels, progress
from ..training.runs import alone_in, make_folder, refuse_overwriting
from ..training.settings import add_options, check_limits, given, option, usable_device
from .documentation import MODEL, documentation_stream
from .page import write_page
from .stream import Text, read_stream
from .surge import Cusum, wilson

ANSWERS, STREAM = "opinions.jsonl", "stream.tsv"
BATCH = 32
PERIODS = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "week": "%G week %V", "month": "%Y-%m"}
SAFE = 1.28  # standard errors: the usual share is below the end of this interval in nine of ten streams


@dataclass
class Settings:
    """Every choice; each is an option of ``minitorch opinions`` and a key of its TOML file."""

    sentiment: str = option("runs/finetune", "folder of `minitorch finetune classify`: is a text good or bad?",
                            f"runs/finetune, without STREAM {MODEL}")  # fmt: skip
    bad: str = option("", "the label that is bad", "the one that sounds so, as negative, neg or 0")
    topic: str = option("", "folder of another classifier: what is a text about?")
    output: str = option("runs/opinions", "folder for answers and page")
    every: str = option("day", "what the curve counts by: hour, day, week or month")
    usual: int = option(200, "the first so many texts say which share of bad ones is usual")
    rise: float = option(2.0, "the alarm waits for odds of bad texts so many times the usual ones")
    false_alarm: int = option(5000, "texts, on average, from one false alarm to the next, at least")
    device: str = option("cpu", "cpu, cuda or cuda:N")

    def check(self) -> None:
        """BadInput for settings that cannot work."""
        limits = {"usual": (20, math.inf), "rise": (1.1, 100), "false_alarm": (100, 1_000_000)}
        check_limits(self, limits)  # type: ignore[arg-type]
        if self.every not in PERIODS:
            raise BadInput(f"--every must be one of {', '.join(PERIODS)}, not {self.every!r}")
        if not self.output:
            raise BadInput("--output is empty: name a folder")
        self.device = usable_device(self.device)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("stream", nargs="?", metavar="STREAM", help="a table with a date and a text per row, a folder of such "
                        "tables, or - for standard input: date, tab, text (default: Python's documentation)")  # fmt: skip
    parser.add_argument("--follow", action="store_true", help="wait for new files in the folder, until Ctrl-C")
    add_options(parser, Settings)


def run(args: argparse.Namespace) -> int:
    """``minitorch opinions``"""
    chosen = given(args, Settings)
    s = Settings(**chosen if args.stream else {"sentiment": MODEL, **chosen})
    s.check()
    folder = Path(s.output)
    if not Path(s.sentiment).exists():
        maker = "" if s.sentiment == MODEL else " classify --train reviews.tsv"
        raise BadInput(f"--sentiment {s.sentiment}: no such folder; `minitorch finetune{maker}` makes one")
    if args.resume and not (folder / ANSWERS).is_file():
        raise BadInput(f"{folder / ANSWERS}: nothing to resume")
    if not args.resume:
        refuse_overwriting(folder, [ANSWERS], args.overwrite)
    try:
        models = [Predictor(name, s.device) for name in filter(None, (s.sentiment, s.topic))]
        prepare_kernels(s.device)
        make_folder(folder)
        args.stream = args.stream or without_a_file(s, models[0])
        watch = Watch(s, bad_label(s, models[0]))
        done = resumed(watch, folder / ANSWERS) if args.resume else 0
        stream = begun(itertools.islice(read_stream(args.stream, args.follow), done, None), args)
        with alone_in(folder), (folder / ANSWERS).open("a" if args.resume else "w", encoding="utf-8") as file:
            try:
                read(stream, 1 if args.stream == "-" or args.follow else BATCH, models, watch, file)
            except KeyboardInterrupt:
                again = f"minitorch opinions {shlex.quote(args.stream)} --resume --output {shlex.quote(s.output)}"
                print(f"\nstopped after {count(len(watch.records), 'text')}; {again} goes on")
                raise
            finally:
                if watch.records:
                    write_page(watch, folder)
    except (ValueError, RuntimeError) as error:
        raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
    print(f"\n{watch.summary()}\n{s.output}/: report.html, report.png, {ANSWERS}")
    return 0


def begun(stream: Iterator[Text], args: argparse.Namespace) -> Iterator[Text]:
    """The same texts, of which there is one: a stream that cannot be read leaves no file, and an old run as it was."""
    if args.resume:
        return stream
    first = next(stream, None)
    if first is None:
        raise BadInput(f"{args.stream}: no text")
    return itertools.chain([first], stream)


def without_a_file(s: Settings, model: Predictor) -> str:
    """A table of Python's documentation, the same every time; the library that surges in it is --bad."""
    path = Path(s.output) / STREAM
    surging = documentation_stream(path, [str(label) for label in getattr(model.task, "labels", [])])
    s.bad = s.bad or surging
    return str(path)


def bad_label(s: Settings, model: Predictor) -> str:
    """--bad, or the label that is usual for it."""
    labels = [str(label) for label in getattr(model.task, "labels", [])]
    if len(labels) < 2 or getattr(model.task, "targets", "") != "classes":
        raise BadInput(
            f"{s.sentiment}: this model does not choose one of several classes; `minitorch finetune classify` makes one that does"
        )
    found = [s.bad] if s.bad else [label for label in labels if label.casefold() in ("negative", "neg", "bad", "0", "-1")]
    if len(found) != 1 or found[0] not in labels:
        raise BadInput(f"--bad LABEL: say which label of {s.sentiment} is bad: {listing(labels)}")
    return found[0]


def read(stream: Any, size: int, models: list[Predictor], watch: Watch, file: TextIO) -> None:
    """Answer the texts, in batches; every answer is written at once."""
    with progress(0, len(watch.records), "text") as bar:
        bar.total = None
        while batch := list(itertools.islice(stream, size)):
            answers = [model([text.text.replace("\t", " ") for text in batch]) for model in models]
            for text, *records in zip(batch, *answers, strict=True):
                record = watch.add(text, *records)
                file.write(as_json(record) + "\n")
                if record["alarm"]:
                    bar.write(watch.alarm_text(record))
            file.flush()
            bar.update(len(batch))


def resumed(watch: Watch, path: Path) -> int:
    """Tell the watch what an earlier run answered; how many texts that were."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            record = parse_json(line)
            text = Text(datetime.fromisoformat(record["when"]), record["text"])
            watch.add(
                text, {"prediction": record["sentiment"], "probability": record["probability"]}, {"prediction": record["topic"]}
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path}:{number}: not a line of minitorch opinions") from error
    return len(watch.records)


class Watch:
    """All that was read, and the sum that raises the alarm."""

    def __init__(self, s: Settings, bad: str) -> None:
        self.s, self.bad = s, bad
        self.records: list[dict[str, Any]] = []
        self.cusum: Cusum | None = None

    def add(self, text: Text, sentiment: dict[str, Any], topic: dict[str, Any] | None = None) -> dict[str, Any]:
        """One text and its answers; the record says whether it raises an alarm."""
        is_bad = str(sentiment["prediction"]) == self.bad
        alarm = self.cusum.add(is_bad) if self.cusum else False
        record = {"when": text.when.isoformat(), "text": text.text, "sentiment": sentiment["prediction"],
                  "probability": sentiment["probability"], "topic": topic["prediction"] if topic else None, "bad": is_bad,
                  "alarm": alarm}  # fmt: skip
        self.records.append(record)
        if len(self.records) == self.s.usual:
            share = wilson(sum(r["bad"] for r in self.records), self.s.usual, SAFE)[1]
            self.cusum = Cusum(share, self.s.rise, self.s.false_alarm)
        return record

    def periods(self) -> dict[str, list[dict[str, Any]]]:
        """The records of every hour, day, week or month."""
        found: dict[str, list[dict[str, Any]]] = {}
        for record in self.records:
            found.setdefault(datetime.fromisoformat(record["when"]).strftime(PERIODS[self.s.every]), []).append(record)
        return dict(sorted(found.items()))

    def alarm_text(self, record: dict[str, Any]) -> str:
        """One line for the terminal."""
        last = self.records[-50:]
        bad = sum(r["bad"] for r in last)
        usual = f"at most {self.cusum.usual:.0%} is usual" if self.cusum else ""
        return f"ALARM at {record['when']}: {bad} of the last {len(last)} texts are {short(self.bad)}; {usual}"

    def summary(self) -> str:
        """What was read."""
        bad, alarms = sum(r["bad"] for r in self.records), sum(r["alarm"] for r in self.records)
        few = "" if self.cusum else f"; no alarm before {self.s.usual} texts have shown what is usual"
        return (
            f"{count(len(self.records), 'text')}, {bad / len(self.records):.1%} {short(self.bad)}, {count(alarms, 'alarm')}{few}"
        )
