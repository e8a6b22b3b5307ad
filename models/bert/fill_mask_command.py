"""``minitorch fill-mask TEXT --model FOLDER``. Read before: use.py."""

from __future__ import annotations

import argparse
import json

import minitorch

from ..checkpoints.files import PRETRAINED
from ..errors import BadInput
from ..text.tokenizer_files import MASK
from ..training.settings import usable_device
from .use import fill_mask, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("text", help=f"a sentence with {MASK} in place of one or more words")
    parser.add_argument("--model", default=PRETRAINED, help="folder of a checkpoint (default: %(default)s)")
    parser.add_argument("--top-k", type=int, default=5, help="how many guesses for each mask (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON: for each mask a list of [token, probability]")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print the guesses, the most probable first."""
    minitorch.kernels.prepare("numpy")  # for one sentence; loading compiled loops would take longer than all else
    try:
        tokenizer, model = load(args.model, device=usable_device(args.device))
        guesses = fill_mask(model, tokenizer, args.text, args.top_k)
    except (ValueError, RuntimeError) as error:
        raise BadInput(str(error)) from error
    if args.json:
        print(json.dumps(guesses))
        return 0
    for number, row in enumerate(guesses, 1):
        if len(guesses) > 1:
            print(f"mask {number}")
        for token, p in row:
            print(f"  {p:6.1%}  {token}")
    return 0
