"""``minitorch adapt merge FOLDER OUTPUT``: an adapter and its checkpoint, as one ordinary checkpoint.

``minitorch adapt export FOLDER OUTPUT``: a bottleneck adapter in AdapterHub's layout.

Read before: predictor.py, models/adapting/peft_model.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from minitorch.files import write_text

from ..adapting.choosing import OPTIONS
from ..adapting.files import CONFIG
from ..checkpoints.kinds import why_not
from ..errors import BadInput
from ..reading import read_json
from ..text.labelled import as_json
from ..training.runs import refuse_overwriting
from .predictor import Predictor
from .run import FACTS, KEPT
from .tasks import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument(
        "action",
        choices=["merge", "export"],
        help="merge: put the adapter's change into the weights; export: houlsby and pfeiffer for AdapterHub",
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="folder that `minitorch finetune --adapt` wrote")
    parser.add_argument("--base", default="", help="the adapter's checkpoint, if that is no longer where it was")
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="folder for the result")


def run(args: argparse.Namespace) -> int:
    """Merge and save, as finetune might have done without --adapt; or export."""
    if not (args.folder / CONFIG).is_file():
        raise BadInput(why_not(args.folder, CONFIG, "`minitorch finetune --adapt`"))
    refuse_overwriting(args.output, KEPT, False, cure="give another folder")
    try:
        predictor = Predictor(args.folder, base=args.base)
        if args.action == "export":
            predictor.trainer.model.save_adapter(args.output)
            print(f"{args.output}: for model.load_adapter(..., use_safetensors=True) of the package adapters")
            return 0
        merged = predictor.trainer.model.merge_and_unload()
        merged.save_pretrained(args.output)
        predictor.tokenizer.save_pretrained(args.output)
    except (OSError, ValueError, RuntimeError) as error:
        raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
    facts = read_json(args.folder / FACTS)
    plain = {name: getattr(Settings, name) for name in ("adapt", *OPTIONS)}
    write_text(args.output / FACTS, as_json({**facts, "settings": {**facts["settings"], **plain}}, 2) + "\n")
    print(f"{args.output}: {merged.num_parameters():,} parameters; use it: minitorch predict --model {args.output}")
    return 0
