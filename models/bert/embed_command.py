"""``minitorch embed TEXT... --model FOLDER``. Read before: use.py."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import numpy as np

import minitorch
from minitorch.files import write_bytes

from ..checkpoints.files import PRETRAINED
from ..errors import BadInput, short
from ..text.corpus import read_lines
from ..training.settings import usable_device
from .model import BertModel
from .use import embed, floats, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("text", nargs="*", help="the texts")
    parser.add_argument("--file", help="a file with one text per line")
    parser.add_argument("--model", default=PRETRAINED, help="folder of a checkpoint (default: %(default)s)")
    parser.add_argument("--output", help="write the vectors to this .npy file")
    parser.add_argument("--json", action="store_true", help="print the vectors as JSON instead of the similarities")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print the texts' cosine similarities (for many texts each one's nearest), or print or save the vectors."""
    try:
        texts = [*args.text, *((line for line in read_lines(Path(args.file), longest=-1) if line) if args.file else ())]
        if not args.file:
            minitorch.kernels.prepare("numpy")  # for a few texts; loading compiled loops would take longer than all else
        device = usable_device(args.device)
        if not texts:
            raise BadInput("no text: give some, or --file FILE with one per line")
        tokenizer, model = load(args.model, BertModel, device, add_pooling_layer=False)
        vectors = embed(model, tokenizer, texts)
        if args.output:
            content = io.BytesIO()  # into an open file, np.save would lose the error of a full disk
            np.save(content, vectors, allow_pickle=False)
            write_bytes(args.output, content.getvalue())
    except (ValueError, RuntimeError) as error:
        raise BadInput(str(error)) from error
    if args.json:
        print(json.dumps([floats(vector) for vector in vectors]))
    elif args.output:
        print(f"{args.output}: {vectors.shape[0]} vectors of {vectors.shape[1]} numbers")
    elif len(texts) == 1:
        print(" ".join(f"{x:.6f}" for x in vectors[0]))
    elif len(texts) <= 12:
        for text, row in zip(texts, vectors @ vectors.T, strict=True):
            print(" ".join(f"{x:6.3f}" for x in row), " ", short(text, 200))
    else:  # a table of all pairs would be too wide
        for i, text in enumerate(texts):
            cosines = vectors @ vectors[i]
            cosines[i] = -2
            print(f"{cosines.max():6.3f}  {short(text)}  |  {short(texts[int(cosines.argmax())])}")
    return 0
