"""``minitorch generate TEXT... --model FOLDER``. Read before: use.py."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import minitorch

from ..checkpoints.files import PRETRAINED_GPT
from ..errors import BadInput, count
from ..generation.settings import GenerationConfig
from ..text.corpus import read_lines
from ..training.settings import as_options, usable_device
from .decoding import seen_from
from .use import Text, load, prompt_ids, write

BATCH = 16  # prompts at once
SAMPLING = ("temperature", "top_k", "top_p", "min_p")
ESCAPES = {"\\n": "\n", "\\t": "\t"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    add = parser.add_argument
    add("text", nargs="*", help="texts to continue, or - to read them from standard input, one per line")
    add("--file", help="a file with one text per line")
    add("--model", default=PRETRAINED_GPT, help="folder of a checkpoint (default: %(default)s)")
    add("--max-new-tokens", type=int, default=100, metavar="N", help="how many tokens to write at most (default: %(default)s)")
    add("--temperature", type=float, help="below 1 safer, above 1 wilder, 0: always the most probable token (default: 0.8)")
    add("--top-k", type=int, help="choose among the k most probable tokens, 0: among all (default: 50)")
    add("--top-p", type=float, help="choose among the most probable tokens that have this share together (default: 1)")
    add("--min-p", type=float, help="leave out tokens less probable than this share of the most probable one")
    add("--repetition-penalty", type=float, default=1.0, metavar="X", help="above 1: against repeating (default: %(default)s)")
    add("--num-beams", type=int, metavar="K", help="look for the most probable text with K beams; do not sample")
    add("--length-penalty", type=float, metavar="X", help="of beams: above 0 favours long texts, below 0 short ones (default: 1)")
    add("--num-return-sequences", type=int, default=1, metavar="N", help="texts for each prompt (default: %(default)s)")
    add("--stop", action="append", default=[], metavar="TEXT", help=r"end before this text; \n is a line end; may be repeated")
    add("--seed", type=int, help="the same seed, text and model give the same result (default: a new one, which is printed)")
    add("--json", action="store_true", help="print one JSON object per text")
    add("--device", default="cpu", help="cpu or cuda (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Write as the tokens come; several texts one after the other."""
    prompts, options = prompts_of(args), options_of(args)
    try:
        GenerationConfig.of(options)  # or an error, before a model is loaded
        minitorch.kernels.prepare("numpy")  # one row at a time: compiled loops would gain nothing
        tokenizer, model = load(args.model, usable_device(args.device))
        say_what_is_cut(prompt_ids(tokenizer, prompts), model.config.n_positions, args.max_new_tokens)
        if options.get("temperature") and args.seed is None:
            print(f"(--seed {options['seed']} writes the same again)", file=sys.stderr)
        several = len(prompts) * args.num_return_sequences > 1
        for first in range(0, len(prompts), BATCH):
            part = prompts[first : first + BATCH]
            if args.json:
                for text in write(model, tokenizer, part, **options):
                    print(as_json(text))
            else:
                show = Showing(part, args.num_return_sequences, first * args.num_return_sequences if several else None)
                write(model, tokenizer, part, show, **options)
    except (ValueError, RuntimeError) as error:
        raise BadInput(as_options(str(error), options)) from error
    return 0


def prompts_of(args: argparse.Namespace) -> list[str]:
    """The texts to continue."""
    if bool(args.text) == bool(args.file):
        raise BadInput("give a text to continue, or --file FILE" + (", not both" if args.text else ""))
    try:
        if args.file:
            prompts = [line for line in read_lines(Path(args.file), longest=-1) if line]
        else:
            prompts = [line.rstrip("\r\n") for line in sys.stdin or () if line.strip()] if args.text == ["-"] else args.text
    except ValueError as error:
        raise BadInput(str(error)) from error
    if not prompts:
        raise BadInput(f"{args.file or 'standard input'} holds no text")
    return prompts


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """The command's options as generate's."""
    chosen = {name: value for name in SAMPLING if (value := getattr(args, name)) is not None}
    options: dict[str, Any] = {
        "max_new_tokens": args.max_new_tokens,
        "repetition_penalty": args.repetition_penalty,
        "num_return_sequences": args.num_return_sequences,
        "stop_strings": [unescaped(stop) for stop in args.stop],
    }
    if args.num_beams is not None:
        if chosen or args.seed is not None:
            name = next(iter(chosen), "seed").replace("_", "-")
            raise BadInput(f"--num-beams looks for the most probable text, --{name} is for one at random: give one of them")
        penalty = {} if args.length_penalty is None else {"length_penalty": args.length_penalty}
        return {**options, "num_beams": args.num_beams, "keep_greedy": True, **penalty}
    if args.length_penalty is not None:
        raise BadInput("--length-penalty is for --num-beams")
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if args.seed is None else args.seed
    return {**options, "do_sample": True, "temperature": 0.8, **chosen, "seed": seed}


def unescaped(text: str) -> str:
    """A line end and a tab as a shell's user writes them."""
    for written, meant in ESCAPES.items():
        text = text.replace(written, meant)
    return text


def say_what_is_cut(rows: list[list[int]], positions: int, new: int) -> None:
    """A note on standard error if a text does not fit into what the model sees at once."""
    for number, row in enumerate(rows, 1):
        if start := seen_from(len(row), positions):
            which = f"prompt {number}" if len(rows) > 1 else "the prompt"
            sees = f"the model sees at most {positions:,}: the first {start:,} are left out"
            print(f"note: {which} has {count(len(row), 'token')}, {sees}", file=sys.stderr)
        elif len(row) + new > positions:
            print(f"note: the model sees at most {positions:,} tokens; a longer text forgets how it began", file=sys.stderr)
            return


def as_json(text: Text) -> str:
    """One line."""
    values = dataclasses.asdict(text)
    return json.dumps({name: value for name, value in values.items() if value is not None}, ensure_ascii=False)


class Showing:
    """Prompts and what follows them on standard output, as it comes; one text after the other, though all are written at once."""

    def __init__(self, prompts: list[str], each: int, number: int | None) -> None:
        """number: of the texts shown before; None for a text that is the only one."""
        self.prompts, self.each, self.number = prompts, each, number
        self.turn, self.waiting, self.complete = 0, [""] * (len(prompts) * each), set[int]()
        self.begin()

    def __call__(self, i: int, piece: str | None) -> None:
        if piece is not None and i == self.turn:
            print(piece, end="", flush=True)
        elif piece is not None:
            self.waiting[i] += piece
        else:
            self.complete.add(i)
        while self.turn in self.complete:
            print()
            self.turn += 1
            if self.turn < len(self.waiting):
                self.begin()

    def begin(self) -> None:
        """The next text: its number, its prompt, what is there of it."""
        if self.number is not None:
            self.number += 1
            print(f"--- {self.number} ---")
        print(self.prompts[self.turn // self.each] + self.waiting[self.turn], end="", flush=True)
