"""``minitorch desk --faq FILE --model FOLDER`` makes a support desk and measures it; ``... TEXT --model runs/desk`` asks it.

Read before: desk.py.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import math
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_bytes, write_text

from ..checkpoints.files import MODEL_FILES, PRETRAINED
from ..errors import BadInput, count, short
from ..finetuning.predictor import Predictor
from ..text.labelled import as_json
from ..training.loop import prepare_kernels
from ..training.runs import complete, new_folder
from ..training.settings import add_options, check_limits, given, option, usable_device
from .desk import DESK, TUNED, VECTORS, Desk, embedder
from .faq import Faq, documentation_faq, held_out, read_faq
from .search import judged, of_entries, quality, rankers, ranks, threshold
from .tuning import tune

FOLDER, TABLE = "runs/desk", "faq.tsv"
FEW = 30  # questions: the standard error of a share is then up to .09
MARK = ", tuned"  # at the end of a method's name
Asked = tuple[list[str], np.ndarray]  # questions, the entry of each


@dataclass
class Settings:
    """Every choice; each is an option of ``minitorch desk`` and a key of its TOML file."""

    faq: str = option("", "table of questions and answers", "docstrings of this Python installation")
    test: str = option("", "table of other questions to judge the desk on", "half of the held-out questions")
    model: str = option(PRETRAINED, "folder of a BERT for the vectors, none for words alone, or a desk to ask",
                        f"{PRETRAINED} if it is there, else none")  # fmt: skip
    output: str = option(FOLDER, "folder for the desk")
    tune: str = option("", "train the BERT first: pairs (question and answer) or simcse (texts alone)")
    unknown: float = option(0.2, "share of questions that you expect to have no answer here; it decides where the threshold lies")
    held_out: float = option(0.2, "share of the questions that choose the threshold and judge")
    lr: float = option(5e-5, "learning rate of --tune at the start, which falls linearly to 0")
    epochs: int = option(1, "how often --tune reads the questions")
    batch_size: int = option(32, "questions per step of --tune: each has the others' answers as wrong ones")
    length: int = option(128, "longest text for --tune, in pieces")
    seed: int = option(0, "seed of every random choice")
    device: str = option("cpu", "cpu, cuda or cuda:N")

    def check(self) -> None:
        """BadInput for settings that cannot work."""
        shares = {"held_out": (0.02, 0.5), "unknown": (0, 1), "lr": (1e-12, 1)}
        check_limits(
            self, {**shares, "epochs": (1, 1000), "batch_size": (2, 4096), "length": (8, math.inf), "seed": (0, math.inf)}
        )
        if self.tune not in ("", "pairs", "simcse"):
            raise BadInput(f"--tune must be pairs or simcse, not {self.tune!r}")
        if self.tune and self.model == "none":
            raise BadInput("--tune trains a BERT: give --model FOLDER")
        if not self.output:
            raise BadInput("--output is empty: name a folder")
        self.device = usable_device(self.device)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("questions", nargs="*", metavar="TEXT", help="questions to answer, or - for the lines of standard input")
    parser.add_argument("--intents", metavar="FOLDER", help="a fine-tuned classifier: name each question's class, too")
    parser.add_argument("--json", action="store_true", help="print one JSON object per question")
    add_options(parser, Settings)


def run(args: argparse.Namespace) -> int:
    """Make a desk, or ask one."""
    if args.resume:
        raise BadInput("--resume: a desk is made in one go; the same command starts again")
    chosen = given(args, Settings)
    questions = [line.strip() for line in sys.stdin if line.strip()] if args.questions == ["-"] else args.questions
    if args.questions and not all(question.strip() for question in questions or [""]):
        raise BadInput("a question is empty")
    folder = Path(chosen.get("model", FOLDER))
    try:
        if chosen.keys() <= {"model", "device"} and (folder / DESK).is_file():
            if not questions:
                raise BadInput(f"{folder} holds a desk: ask it a question, or give --faq FILE and another --model to make one")
            desk = Desk.load(folder, chosen.get("device", "cpu"))
        elif questions and "model" in chosen and chosen.keys() <= {"model", "device"}:
            raise BadInput(f"{folder}: no {DESK} here, so it is no desk; `minitorch desk --faq FILE --model {folder}` makes one")
        else:
            desk = made(settings_of(chosen), args.overwrite)
        intents = Predictor(args.intents, chosen.get("device", "cpu")) if args.intents else None
        for record in desk(questions, intents):
            print(as_json(record) if args.json else readable(record))
    except (ValueError, RuntimeError) as error:
        raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
    return 0


def settings_of(chosen: dict[str, Any]) -> Settings:
    """The settings of a new desk; without a BERT at hand words alone, and with neither table nor BERT a trial on docstrings."""
    if "model" not in chosen and not Path(PRETRAINED).exists() and not chosen.get("tune"):
        print(f"{PRETRAINED} is not there, so this desk counts words alone; `minitorch pretrain` makes a BERT, --model names one")
        return Settings(**{**chosen, "model": "none"})
    return Settings(**chosen)


def made(s: Settings, overwrite: bool) -> Desk:
    """Choose a method and a threshold, judge them, then write the desk with all questions in it."""
    s.check()
    reader, bert, tokenizer = (None, None, None) if s.model == "none" else embedder(s.model, s.device)
    prepare_kernels(s.device)
    with contextlib.ExitStack() as until:
        kept = (DESK, *MODEL_FILES)
        folder = new_folder(Path(s.output), kept, overwrite, until, cure="use --overwrite or another --output")
        faq = read_faq(s.faq or documentation_faq(folder / TABLE))
        read, choose, judge = held_out(faq, s.held_out, s.seed)
        choosing, judging = faq.asked(choose), faq.asked(judge)
        if s.test:
            test = read_faq(s.test, faq.answers)
            choosing, judging = faq.asked(np.concatenate([choose, judge])), (test.questions, test.entry)
        parts = f"{len(choosing[0]):,} choose method and threshold, {len(judging[0]):,} judge"
        print(f"{count(len(faq.answers), 'answer')}, {count(len(read), 'question')} to read; {parts}")
        texts, entry = faq.texts(read)
        methods = compared(reader, texts, entry, choosing, judging, s.unknown)
        if s.tune:
            learn(s, bert, tokenizer, faq, read)
            tuned = compared(reader, texts, entry, choosing, judging, s.unknown)
            methods |= {name + MARK: row for name, row in tuned.items() if "vectors" in name}
        best = max(methods, key=lambda name: methods[name]["chosen by"])
        report = {"best": best, "methods": methods, "answers": len(faq.answers), "read": len(read), "judge": len(judging[0])}
        if best.endswith(MARK):
            bert.save_pretrained(folder / TUNED)
            tokenizer.save_pretrained(folder / TUNED)
        write(s, folder, faq, report)
        complete(folder, Path(s.output))
    print(f"\n{as_text(report)}\n\n{s.output}/: {DESK}, report.txt, report.json")
    if report["judge"] < FEW:
        print(f"{count(report['judge'], 'question')} judged: too few to tell methods apart; give --test, or a longer --faq")
    print(f"ask it: minitorch desk --model {shlex.quote(s.output)} 'a question'\n")
    return Desk.load(Path(s.output), s.device)


def compared(
    reader: Any, texts: list[str], entry: np.ndarray, choosing: Asked, judging: Asked, unknown: float
) -> dict[str, dict[str, Any]]:
    """Name -> how every ranker does, with a threshold from the questions that choose, on those that judge."""
    rows = {}
    once = functools.cache(lambda texts: reader(texts))  # two of the rankers read the same questions
    for name, ranker in rankers(reader and (lambda texts: once(tuple(texts)))).items():
        ranker.fit(texts)
        first, last = (of_entries(ranker.scores(questions), entry, int(entry.max()) + 1) for questions, _ in (choosing, judging))
        level = threshold(first, choosing[1], unknown)
        known = judging[1] >= 0
        if not known.any():
            raise BadInput("--test: none of its answers is one of the desk's, so nothing can be found")
        rows[name] = {
            **quality(ranks(last[known], judging[1][known])),
            "chosen by": quality(ranks(first, choosing[1]))["mrr"],
            **asdict(judged(level.value, last, judging[1])),
        }
    return rows


def learn(s: Settings, bert: Any, tokenizer: Any, faq: Faq, read: np.ndarray) -> None:
    """--tune, on the questions that the desk reads."""
    asked = [faq.questions[i] for i in read]
    replies = [faq.answers[faq.entry[i]] for i in read] if s.tune == "pairs" else asked
    if len(asked) < s.batch_size:
        raise BadInput(f"--batch-size {s.batch_size}: there are only {count(len(asked), 'question')} to learn from")
    length = min(s.length, bert.config.max_position_embeddings)
    print(f"training the BERT on {count(len(asked), 'question')}, {count(s.epochs, 'time')} ({s.tune})")
    try:
        tune(bert, tokenizer, asked, replies, faq.entry[read], s.lr, s.epochs, s.batch_size, length, s.seed)
    except KeyboardInterrupt:
        print("\nstopped; nothing is saved, so the same command starts again")
        raise


def write(s: Settings, folder: Path, faq: Faq, report: dict[str, Any]) -> None:
    """The desk, with all questions in it, and the report."""
    method, tuned = report["best"].removesuffix(MARK), report["best"].endswith(MARK)
    model = TUNED if tuned else s.model if s.model == "none" else str(Path(s.model).resolve())
    if "vectors" in method:
        texts, _ = faq.texts(np.arange(len(faq.questions)))
        content = io.BytesIO()
        np.save(content, embedder(str(folder / TUNED) if tuned else s.model, s.device)[0](texts), allow_pickle=False)
        write_bytes(folder / VECTORS, content.getvalue())
    facts = {"method": method, "threshold": report["methods"][report["best"]]["value"], "model": model, "answers": faq.answers,
             "questions": faq.questions, "entry": faq.entry.tolist()}  # fmt: skip
    write_text(folder / "report.json", as_json(report, 1) + "\n")
    write_text(folder / "report.txt", as_text(report) + "\n")
    write_text(folder / DESK, as_json(facts, 1) + "\n")


def as_text(report: dict[str, Any]) -> str:
    """The table for a terminal."""
    lines = [f"{'':28}recall@1     @3    @10    MRR  threshold  answered  refused"]
    for name, row in report["methods"].items():
        found = "".join(f"{row[key]:>7.3f}" for key in ("recall@3", "recall@10", "mrr"))
        shown = f"{name} *" if name == report["best"] else name
        lines.append(
            f"{shown:28}{row['recall@1']:>8.3f}{found}{row['value']:>11.3f}{row['answered']:>10.3f}{row['refused']:>9.3f}"
        )
    lines += ["", f"judged on {count(report['judge'], 'question')} that the desk had not read; * the best for those that chose"]
    lines += ["answered: share of questions that get their answer; refused: share that get none, if their answer is taken away"]
    return "\n".join(lines)


def readable(record: dict[str, Any]) -> str:
    """One answer for a terminal."""
    name = f" [{record['intent']}]" if "intent" in record else ""
    score, answer = record["nearest"][0]["score"], short(record["nearest"][0]["answer"], 500)
    said = f"{score:.2f}  {answer}" if record["answer"] else f"I do not know. The nearest ({score:.2f}): {answer}"
    return f"{short(record['question'], 200)}{name}\n  {said}\n"
