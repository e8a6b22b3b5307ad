"""``minitorch prompt --template "{text} It was [MASK]." --words great:positive,terrible:negative ...``

Zero-shot; with --train on few examples; with --curve against other methods. Read before: use.py, curve.py.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_text

from ..bert.use import refuse_without_head
from ..checkpoints.files import MODEL_FILES, PRETRAINED
from ..classical.baselines import Linear, linear_models
from ..errors import BadInput, count
from ..finetuning import metrics
from ..finetuning.predict_command import readable
from ..finetuning.report import class_table, confusion_text
from ..text.labelled import as_json
from ..training.runs import STATE, complete, new_folder
from ..training.settings import add_options, flag, given
from .cloze import OPTIONS, Cloze, Settings
from .curve import CURVE, draw_curve
from .use import LEAST, PROMPT, Prompt, load, read

KEPT = (PROMPT, CURVE, STATE, *MODEL_FILES)  # an output folder that has one of these is not overwritten


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: one a setting."""
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="texts to classify, or - for the lines of standard input; a tab "
                        "stands between the two of a pair")  # fmt: skip
    add_options(parser, Settings, skip=[f.name for f in dataclasses.fields(Settings) if f.name not in OPTIONS])
    parser.add_argument("--json", action="store_true", help="print one JSON object per text")


def run(args: argparse.Namespace) -> int:
    """``minitorch prompt``"""
    chosen = given(args, Settings)
    if args.resume and not chosen.get("curve"):
        raise BadInput("--resume goes on with a --curve; training on a few examples starts again")
    with contextlib.ExitStack() as until_the_end:
        try:
            if chosen.get("curve"):
                if args.texts:
                    raise BadInput("--curve answers no texts: leave them out")
                s = Settings(**chosen)
                s.check()
                draw_curve(s, chosen, args.resume, args.overwrite, KEPT)
            else:
                answer(args, chosen, until_the_end)
        except (ValueError, RuntimeError) as error:
            raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
    return 0


def answer(args: argparse.Namespace, chosen: dict[str, Any], until_the_end: contextlib.ExitStack) -> None:
    """Train if there are examples, score a test file, answer texts."""
    texts = [line.rstrip("\r\n") for line in sys.stdin or () if line.strip()] if args.texts == ["-"] else args.texts
    if args.texts and not texts:
        raise BadInput("standard input holds no text")
    if not texts and not (chosen.get("test") or chosen.get("train")):
        raise BadInput("nothing to do: give texts, --test FILE to score on, or --train FILE to learn from")
    say = (lambda text: print(text, file=sys.stderr)) if args.json else print
    prompt, train, test = from_folder(chosen) if is_ready(chosen) else made(args, chosen, until_the_end, say)
    if test:
        report = judged(prompt, train, test)
        say(as_text(report))
        if train and prompt.task.s.steps:
            folder = Path(prompt.task.s.output)
            write_text(folder / "predictions.jsonl", "".join(as_json(record) + "\n" for record in report.pop("predictions")))
            write_text(folder / "report.json", as_json(report, 1) + "\n")
            write_text(folder / "report.txt", as_text(report) + "\n")
    for record in prompt(texts):
        print(as_json(record) if args.json else readable(record))


def is_ready(chosen: dict[str, Any]) -> bool:
    """Is --model a folder of this command, to be used as it is?"""
    return (Path(chosen.get("model", PRETRAINED)) / PROMPT).is_file() and not {"train", "words", "template"} & chosen.keys()


def from_folder(chosen: dict[str, Any]) -> tuple[Prompt, list[Any], list[Any]]:
    """The prompt of a folder, and the examples to score."""
    free = ("model", "test", "device", "calibrate", "columns", "delimiter", "encoding", "threads", "output")
    model = chosen.get("model", PRETRAINED)
    if fixed := [name for name in chosen if name not in free]:
        raise BadInput(f"{flag(fixed[0])} was settled when {model} was trained: leave it out")
    changes = {name: value for name, value in chosen.items() if name in free[3:-1]}
    prompt = load(model, chosen.get("device", "cpu"), **changes)
    test = prompt.task.read(chosen["test"]) if "test" in chosen else []
    prompt.task.check(test)
    return prompt, [], test


def made(
    args: argparse.Namespace, chosen: dict[str, Any], until: contextlib.ExitStack, say: Callable[[str], None]
) -> tuple[Prompt, list[Any], list[Any]]:
    """A prompt from settings, trained and saved if there are examples; and the examples to learn from and to score."""
    s = Settings(**chosen)
    if not {"words", "template"} & chosen.keys():  # maybe the folder is taken for one of this command
        refuse_without_head(s.model)
    s.check()
    reader = Cloze(s)
    train, test = read(s, reader, say)
    prompt = Prompt.untrained(s, reader, train)  # first, so that errors of template and words come before the training
    if s.finds:
        say("words found: " + "; ".join(f"{label}: {', '.join(words)}" for label, words in prompt.task.label_words.items()))
    if not train or not s.steps:
        return prompt, train, test
    if Path(s.output).resolve() == Path(s.model).resolve():
        raise BadInput(f"--output {s.output} is the checkpoint that the training starts from; give another folder")
    folder = new_folder(Path(s.output), KEPT, args.overwrite, until, say, cure="use --overwrite or another --output")
    trials = "; before it three rates are tried on half of them" if s.lr is None and len(train) >= LEAST else ""
    say(f"learning from {count(len(train), 'example')}, {count(s.steps, 'step')} of up to {s.batch_size}{trials}")
    try:
        prompt = Prompt.trained(s, prompt.task, train)
    except KeyboardInterrupt:
        say("\nstopped; nothing is saved, so the same command starts again")
        raise
    prompt.save(folder)
    complete(folder, Path(s.output))
    say(f"{s.output}/: model.safetensors, config.json, tokenizer.json, {PROMPT} (rate {prompt.trainer.s.lr:.2g})")
    say(f"use it: minitorch prompt --model {s.output} 'a text'\n")
    return prompt, train, test


def judged(prompt: Prompt, train: list[Any], test: list[Any]) -> dict[str, Any]:
    """Scores on the test examples, next to the most frequent class and a linear model that learnt from the same examples."""
    task = prompt.task
    gold = np.array([task.target(e) for e in test])
    p = prompt.probabilities(test)
    usual = int(np.bincount(gold).argmax())
    report = {
        "scores": metrics.classes(gold.tolist(), p.argmax(-1).tolist(), task.labels),
        "most_frequent": {"label": task.labels[usual], "accuracy": float((gold == usual).mean())},
        "leaning": dict(zip(task.labels, prompt.leaning().mean(0).tolist(), strict=True)),
        "examples": {"train": len(train), "test": len(test)},
        "predictions": [{**task.shown(e, row), "gold": task.gold(e)} for e, row in zip(test, p, strict=True)],
    }
    if train:
        name, make = next(iter(linear_models(task).items()))
        right = np.array(Linear(make, task).fit(train).predict(test)).argmax(-1) == gold
        report["linear"] = {"name": f"TF-IDF + {name}", "accuracy": float(right.mean())}
    return report


def as_text(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    scores, usual, linear, n = report["scores"], report["most_frequent"], report.get("linear"), report["examples"]
    lines = [f"{count(n['test'], 'test example')}: accuracy {scores['accuracy']:.4f}, macro F1 {scores['macro_f1']:.4f}"]
    lines += [f"always {usual['label']}, the most frequent class: accuracy {usual['accuracy']:.4f}"]
    if linear:
        lines += [f"{linear['name']} on the same {count(n['train'], 'example')}: accuracy {linear['accuracy']:.4f}"]
    lines += ["without a text the model says " + ", ".join(f"{label} {p:.1%}" for label, p in report["leaning"].items())]
    return "\n".join([*lines, "", class_table(scores["classes"]), "", confusion_text(scores["confusion"], scores["labels"])])
