"""``minitorch evaluate FILE --model FOLDER...``: perplexity of a text. Read before: sliding.py, pseudo.py."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from ..bert.model import BertForMaskedLM
from ..bert.use import load as load_bert
from ..checkpoints.files import PRETRAINED_GPT, config_file, locate, refuse_unfinished
from ..checkpoints.kinds import holding
from ..errors import BadInput, short
from ..gpt.use import load as load_gpt
from ..reading import read_json, read_text
from ..training.settings import usable_device
from .perplexity import Perplexity
from .pseudo import pseudo
from .sliding import sliding

UNITS = ("tokens", "characters", "bytes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("file", help="a text file (UTF-8), or - for standard input")
    parser.add_argument("--model", nargs="+", default=[PRETRAINED_GPT], help="folders of GPTs or BERTs (default: runs/gpt)")
    parser.add_argument("--length", type=int, metavar="N", help="tokens that the model sees at once (default: all that it can)")
    parser.add_argument("--stride", type=int, metavar="N", help="tokens from one window to the next (default: half of --length)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per model")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """A line for each model, and how each was measured."""
    name = "standard input" if args.file == "-" else args.file
    text = content(args.file, name)
    try:
        device = usable_device(args.device)
        results = [(folder, measured(folder, name, text, args.length, args.stride, device)) for folder in args.model]
    except (OSError, ValueError, RuntimeError) as error:
        raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
    if args.json:
        for folder, found in results:
            print(json.dumps({"model": folder, **as_dict(found)}))
        return 0
    width = max(len("perplexity"), *(len(short(folder)) for folder, _ in results)) + 2
    heads = [*(f"per {unit[:-1]}" for unit in UNITS), "bits per byte", "tokens"]
    print(f"{'perplexity':{width}}" + "".join(f"{head:>15}" for head in heads))
    for folder, found in results:
        figures = "".join(f"{readable(found.perplexity(unit)):>15}" for unit in UNITS)
        print(f"{short(folder):{width}}{figures}{found.per('bytes') / math.log(2):>15.3f}{found.tokens:>15,}")
    for folder, found in results:
        print(f"{short(folder)}: {found.method}")
    return 0


def content(file: str, name: str) -> str:
    """The text of a file, or of standard input."""
    if file == "-":
        try:
            text = sys.stdin.read() if sys.stdin is not None else ""
        except UnicodeDecodeError as error:
            raise BadInput(f"standard input: not a UTF-8 text ({error.reason} at byte {error.start})") from None
    else:
        text = read_text(file, None)
    if not text.strip():
        raise BadInput(f"{name}: holds no text")
    if "\0" in text:
        raise BadInput(f"{name}: holds a zero byte, so this is a binary file (or UTF-16), not UTF-8 text")
    return text


def measured(folder: str, name: str, text: str, length: int | None, stride: int | None, device: str) -> Perplexity:
    """Perplexity under the model of a folder, in the way of its kind. name: of the text, for errors."""
    where = locate(folder)
    refuse_unfinished(where)
    kind = read_json(config_file(where), "a configuration").get("model_type", "bert")
    how: Any = sliding if kind == "gpt2" else pseudo
    if kind not in ("gpt2", "bert"):
        held = f"; {found}" if (found := holding(where)) else ""
        raise BadInput(f'{folder}: model_type is "{short(kind)}"; a text\'s perplexity is defined here for gpt2 and bert{held}')
    tokenizer, model = load_gpt(where, device) if how is sliding else load_bert(where, BertForMaskedLM, device)
    size = window(length, stride, model.config.max_position_embeddings, 2 if how is sliding else 3)
    try:
        return how(model, tokenizer, text, *size, progress(folder))  # type: ignore[no-any-return]
    except ValueError as error:
        raise BadInput(f"{name}, under {folder}: {error}") from error


def window(length: int | None, stride: int | None, longest: int, least: int) -> tuple[int, int]:
    """--length and --stride, or their defaults for a model of so many positions."""
    if length is not None and not least <= length <= longest:
        raise BadInput(f"--length must be from {least} to the model's {longest:,} positions, not {length}")
    length = longest if length is None else length
    most = length - least + 1
    if stride is not None and not 1 <= stride <= most:
        raise BadInput(f"--stride must be from 1 to {most}, not {stride}: each token has to be in a window")
    return length, max(1, min(length // 2, most)) if stride is None else stride


def progress(folder: str) -> Any:
    """A bar over the windows, on a terminal."""
    from tqdm import tqdm

    def bar(parts: Sequence[Any]) -> Iterable[Any]:
        return tqdm(parts, desc=short(folder), unit="window", disable=None, leave=False)  # type: ignore[no-any-return]

    return bar


def as_dict(found: Perplexity) -> dict[str, Any]:
    """For JSON."""
    figures = {f"perplexity_per_{unit[:-1]}": found.perplexity(unit) for unit in UNITS}
    nats = {f"nats_per_{unit[:-1]}": found.per(unit) for unit in UNITS}
    return {**figures, **nats, **{unit: getattr(found, unit) for unit in UNITS}, "method": found.method}


def readable(x: float) -> str:
    """Three or more digits of a perplexity."""
    return f"{x:,.0f}" if x >= 1000 else f"{x:.4g}"
