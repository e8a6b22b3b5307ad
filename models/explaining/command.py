"""``minitorch explain TEXT --model FOLDER``: why a model answers as it does; with --swap, how the answer moves with a word.

Read before: explain.py, page.py.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_bytes, write_text

from ..errors import BadInput, count, short
from ..finetuning.report import in_columns
from ..training.loop import progress
from ..training.runs import make_folder, refuse_overwriting, remove_if_empty
from ..training.settings import usable_device
from . import attention, page, pictures, swaps
from .checks import Curves, random_curves
from .explain import METHODS, Explained, Options, explain
from .gradients import RULES
from .lens import NEEDS_WORDS, logit_lens
from .probes import probe
from .sources import open_source
from .subject import Subject

PAGE, PICTURE = "explanation.html", "explanation.png"
MORE = ("lens", "probes")
SHOWN = 3  # texts of a file that are shown word by word


OPTIONS: dict[str, dict[str, Any]] = {
    "--model": {"default": "runs/finetune", "help": "folder of finetune or pretrain, or a checkpoint"},
    "--file": {"help": f"many texts in the format of the training file (masked LM, GPT: one per line): the mean checks, and "
               f"the first {SHOWN} texts"},
    "--examples": {"type": int, "default": 50, "help": "of --file, without --swap: how many"},
    "--columns": {"help": "of --file: its column names, joined by commas, if they differ from the training's"},
    "--delimiter": {"help": "of --file: separator of its columns, if it differs from the training file's"},
    "--encoding": {"help": "of --file, if it differs from the training file's"},
    "--method": {"default": "", "metavar": "NAME,...", "help": f"{', '.join(METHODS)}; lens (of words); probes (labelled --file)"
                 " (default: all that apply)"},
    "--label": {"default": "", "help": "explain this label, choice, part of the context or token, not the answer"},
    "--word": {"type": int, "default": 0, "help": "the word whose tag, or the [MASK], that is explained, counted from 1"},
    "--layer": {"type": int, "default": 0, "help": "with --head: draw this head's attention map, counted from 1"},
    "--head": {"type": int, "default": 0, "help": "with --layer"},
    "--remove": {"choices": ("mask", "delete"), "default": "mask", "help": "how a word goes: [MASK] in its place (GPT: "
                 "its end of text), or nothing"},
    "--steps": {"type": int, "default": Options.steps, "help": "of integrated gradients"},
    "--rule": {"choices": RULES, "default": Options.rule, "help": "of integrated gradients: where the steps lie"},
    "--baseline": {"choices": ("pad", "mask", "zero"), "default": Options.baseline, "help": "of integrated gradients: what "
                   "stands in place of words"},
    "--samples": {"type": int, "default": Options.samples, "help": "of LIME: variants of the text"},
    "--seed": {"type": int, "default": Options.seed, "help": "of LIME and the random orders"},
    "--swap": {"action": "append", "default": [], "metavar": "A=B", "help": "instead: exchange words, in both directions, and "
               "measure how the answer moves; may be given several times"},
    "--base": {"default": "", "help": "of an adapter: its checkpoint, if that is no longer where it was"},
    "--output": {"default": "runs/explain", "help": f"folder for {PAGE} and {PICTURE}"},
    "--overwrite": {"action": "store_true", "help": "replace an explanation in --output"},
    "--device": {"default": "cpu", "help": "cpu or cuda"},
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    text = "texts as `minitorch predict` takes them; for a masked LM with a [MASK], for a GPT the beginning of a text"
    parser.add_argument("text", nargs="*", help=text)
    for name, how in OPTIONS.items():
        shown = " (default: %(default)s)" if how.get("default") not in (None, "", [], 0) else ""
        parser.add_argument(name, **{**how, "help": how["help"] + shown})


def run(args: argparse.Namespace) -> int:
    """Write the page and the picture, and print the main table."""
    check(args)
    output = Path(args.output)
    refuse_overwriting(output, (PAGE, PICTURE), args.overwrite, cure="use --overwrite or another --output")
    with contextlib.ExitStack() as at_the_end:
        if not output.exists():
            at_the_end.callback(remove_if_empty, output)
        try:
            work(args, output)
        except (ValueError, RuntimeError) as error:
            raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
    print(f"\n{output / PAGE}\n{output / PICTURE}")
    return 0


def work(args: argparse.Namespace, output: Path) -> None:
    """Read all that is needed, then explain or exchange."""
    reading = {name: value for name in ("columns", "delimiter", "encoding") if (value := getattr(args, name)) is not None}
    if reading and not args.file:
        raise BadInput(f"--{next(iter(reading))} says how a file is read: give --file FILE")
    pairs = swaps.parse_swaps(args.swap)
    source = open_source(args.model, usable_device(args.device), args.base, **reading)
    methods = chosen_methods(args, source)
    examples = read(args, source, methods)
    make_folder(output)
    if pairs:
        swap_page(args, source, examples, pairs, output)
    else:
        explain_page(args, source, examples, methods, output)


def check(args: argparse.Namespace) -> None:
    """Refuse options that cannot be."""
    if bool(args.text) == bool(args.file):
        raise BadInput("give texts, or --file FILE" + (", not both" if args.text else ""))
    if len(args.text) == 1 and os.path.isfile(args.text[0]):
        raise BadInput(f"{args.text[0]} is a file; its examples: --file {args.text[0]}")
    limits = {"steps": (2, 10_000), "samples": (20, 100_000), "examples": (1, 100_000), "seed": (0, 2**32 - 1)}
    for name, (least, most) in limits.items():
        if not least <= getattr(args, name) <= most:
            raise BadInput(f"--{name} must be from {least:,} to {most:,}, not {getattr(args, name):,}")
    if bool(args.layer) != bool(args.head):
        raise BadInput("--layer and --head name one head together: give both, counted from 1")
    if args.swap and (args.method or args.layer):
        raise BadInput("--swap measures answers and explains none: leave out --method, --layer and --head")


def chosen_methods(args: argparse.Namespace, source: Any) -> list[str]:
    """--method, or all that apply."""
    asked = [name.strip() for name in args.method.split(",") if name.strip()]
    if unknown := [name for name in asked if name not in (*METHODS, *MORE)]:
        raise BadInput(f"--method: there is no {unknown[0]!r}; there are {', '.join((*METHODS, *MORE))}")
    if "probes" in asked and not args.file:
        raise BadInput("--method probes learns from many labelled texts: give --file FILE")
    if "lens" in asked and source.task is not None:
        raise BadInput(NEEDS_WORDS)
    layers = attention.shape(source.model)
    if args.layer and not 1 <= args.layer <= len(layers):
        raise BadInput(f"--layer must be from 1 to {len(layers)}, not {args.layer}")
    if args.head and not 1 <= args.head <= layers[args.layer - 1]:
        raise BadInput(f"--head must be from 1 to {layers[args.layer - 1]} in layer {args.layer}, not {args.head}")
    return list(dict.fromkeys(asked)) or [*METHODS, *(["lens"] if source.task is None else [])]


def read(args: argparse.Namespace, source: Any, methods: list[str]) -> list[Any]:
    """The texts or the file's examples."""
    if args.file:
        probes = "probes" in methods
        examples = source.file(args.file, labelled=probes)
        return list(examples if args.swap or probes else examples[: args.examples])
    texts = [line.rstrip("\r\n") for line in sys.stdin or () if line.strip()] if args.text == ["-"] else args.text
    if not texts:
        raise BadInput("standard input holds no text")
    return list(source.examples(texts))


# ------------------------------------------------------------------------------------------------------ explanations


def explain_page(args: argparse.Namespace, source: Any, examples: list[Any], methods: list[str], output: Path) -> None:
    """Each text with every method; of a file the mean checks. Ctrl-C leaves the page of the texts that are done."""
    names = [name for name in methods if name in METHODS]
    parts: list[str] = []
    if "probes" in methods:
        parts += probe_parts(source, examples, output / PICTURE)
        examples = examples[: args.examples] if len(methods) > 1 else []
    done: list[tuple[list[Explained], Curves, Any]] = []
    sections: list[str] = []
    stopped = False
    try:
        for i, (subject, *results) in enumerate(explained(args, source, examples, names)):
            done.append((results[0], results[1], results[2]))
            target = output / (PICTURE if i == 0 else f"explanation-{i + 1}.png")
            if not args.file:
                draw_and_say(target, subject, results[0], results[1])
            if i < SHOWN or not args.file:
                sections += [f"<h2>Text {i + 1}</h2>", *section(args, source, subject, results[0], results[1], methods, target)]
    except KeyboardInterrupt:
        stopped = True
    if args.file and names and done:
        parts += means(args, done, output / PICTURE)
    heads = [page.paragraph(f"Model: {args.model}. {page.HOW_TO_READ}", "note")]
    if parts or sections:
        write_text(output / PAGE, page.page("Why this answer", [*heads, *parts, *sections]))
    if stopped:
        raise KeyboardInterrupt


def explained(args: argparse.Namespace, source: Any, examples: list[Any], names: list[str]) -> Iterator[Any]:
    """Of each example the subject, what the methods say, the curves of random orders, and the heads' importance."""
    o, random = Options(args.steps, args.rule, args.baseline, args.samples, args.seed), source.random()
    with progress(len(examples), 0, "text", shown=len(examples) > 1) as bar:
        for example in examples:
            subject = source.subject(example, args.label, args.word, args.remove)
            heads = attention.importance(subject) if "heads" in names else []
            yield subject, list(explain(subject, random, names, o)), random_curves(subject, o.seed), heads
            bar.update()


def probe_parts(source: Any, examples: list[Any], target: Path) -> list[str]:
    """The probes' part of the page."""
    found = probe(source, examples)
    print(in_columns(page.probe_rows(found)))
    drawn = pictures.by_layer({"this model": found.scores, "random weights": found.random}, found.metric, found.baseline)
    write_bytes(target, drawn)
    return ["<h2>Linear probes by layer</h2>", page.html_table(page.probe_rows(found)), page.picture(drawn, "the same numbers")]


def means(args: argparse.Namespace, done: list[tuple[list[Explained], Curves, Any]], target: Path) -> list[str]:
    """The mean checks of many texts, and the mean importance of the heads (Michel et al.'s expectation)."""
    found, random, heads = zip(*done, strict=True)
    rows, curves, base = averaged(found, random)
    print(in_columns(page.checks_rows(rows, base)))
    pictures.draw_file(target, curves, base)
    title = f"<h2>{count(len(done), 'text')} of {page.safe(args.file)}: means</h2>"
    table = [page.importance_table([np.mean(layer, 0) for layer in zip(*heads, strict=True)])] if heads[0] else []
    return [title, page.checks_table(rows, base), *table]


def section(
    args: argparse.Namespace,
    source: Any,
    subject: Subject,
    found: list[Explained],
    curves: Curves,
    methods: list[str],
    target: Path,
) -> list[str]:
    """A text's part of the page."""
    parts = page.of_text(subject, found, curves)
    if "lens" in methods:
        layers = logit_lens(subject, source.tokenizer)
        drawn = pictures.by_layer({subject.answer: [layer.probability for layer in layers]}, "probability")
        rows = page.lens_rows(layers, subject.answer)
        parts += ["<h3>Logit lens</h3>", page.html_table(rows), page.picture(drawn, "the answer's probability by layer")]
        if not found:
            print(in_columns(rows))
            write_bytes(target, drawn)
    if {"attention", "rollout", "heads"} & set(methods):
        tables = attention.maps(subject)
        parts += ["<h3>Attention maps</h3>", page.picture(pictures.attention_grid(tables), "attention by layer and head")]
        parts += [page.importance_table(attention.importance(subject))]
        if args.layer:
            title = f"layer {args.layer}, head {args.head}: rows look at columns"
            parts.append(page.picture(pictures.one_map(subject, tables[args.layer - 1][args.head - 1], title), title))
    return parts


def draw_and_say(target: Path, subject: Subject, found: list[Explained], curves: Curves) -> None:
    """The picture of a text, and its lines in the terminal."""
    print(f"answer: {short(subject.answer)}")
    if subject.note:
        print(subject.note)
    for e in found:
        order = np.argsort(-np.abs(e.values), kind="stable")[:6]
        print(f"{e.title:28} " + ", ".join(f"{short(subject.words[w].text, 20)} {e.values[w]:+.3g}" for w in order))
        if e.note:
            print(f"{'':28} {e.note}")
    if found:
        print("\n" + in_columns(page.checks_rows([(e.title, page.checks_of(e)) for e in found], curves)))
        pictures.draw_text(target, subject, found, curves)


def averaged(found: Sequence[list[Explained]], random: Sequence[Curves]) -> Any:
    """Rows of mean checks, mean curves by title, and the random order's mean curves."""
    rows = [
        (some[0].title, [mean(column) for column in zip(*(page.checks_of(e) for e in some), strict=True)])
        for some in zip(*found, strict=True)
    ]
    lines = {some[0].title: on_one_grid([e.curves for e in some if e.curves]) for some in zip(*found, strict=True)}
    return rows, lines, on_one_grid(random)


def mean(values: Sequence[float]) -> float:
    """Of those that are numbers."""
    known = [x for x in values if not np.isnan(x)]
    return float(np.mean(known)) if known else float("nan")


def on_one_grid(curves: Sequence[Curves]) -> Curves:
    """The mean of curves over 0, 0.05, ..., 1."""
    grid = np.linspace(0, 1, 21)
    return Curves(grid, *(np.mean([np.interp(grid, c.share, c[side]) for c in curves], 0) for side in (1, 2)))


# ------------------------------------------------------------------------------------------------------------- swaps


def swap_page(args: argparse.Namespace, source: Any, examples: list[Any], pairs: list[tuple[str, str]], output: Path) -> None:
    """--swap: the table, the picture, and the texts that moved most."""
    rows = swaps.swap(source, examples, pairs, args.label)
    measure = swaps.measured(source, args.label)
    print(f"change of {measure}, {count(len(examples), 'text')}")
    print(in_columns(page.swap_rows(rows)))
    pictures.draw_swaps(output / PICTURE, rows, measure)
    parts = page.swap_parts(rows, measure, (output / PICTURE).read_bytes())
    write_text(output / PAGE, page.page("How the answer moves", [page.paragraph(f"Model: {args.model}.", "note"), *parts]))
