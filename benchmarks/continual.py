"""What becomes of earlier tasks on real texts: the sentiment of one domain after another; then their topics, two by two.

    python -m benchmarks.continual --model FOLDER --data FOLDER [--output FOLDER] [options of minitorch continual]

--data has a folder for each domain with train.tsv and dev.tsv: a text and a label. The first part learns the labels of one domain
after another (--setting domain), in the order of their names. For the second (--setting class) the labels are the domains
themselves, two of which make a task. Both parts are `minitorch continual`, which gets all further options; the same command goes
on where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models import startup

if __name__ == "__main__":
    startup.prepare()  # before NumPy is imported

from minitorch.files import write_all
from models import cli
from models.errors import BadInput
from models.finetuning.classify import Classify
from models.finetuning.tasks import Settings
from models.training.runs import STATE

PARTS = {"train": "", "dev": "-test"}


def main(argv: Sequence[str] | None = None) -> int:
    """Both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of the checkpoint to start from")
    parser.add_argument("--data", required=True, type=Path, help="folder with a folder for each domain")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/continual"), help="(default: %(default)s)")
    parser.add_argument("--part", choices=["domain", "class"], help="one of the two alone")
    args, options = parser.parse_known_args(argv)
    domains = sorted(path.parent for path in args.data.glob("*/train.tsv") if (path.parent / "dev.tsv").is_file())
    if len(domains) < 4:
        parser.error(f"--data {args.data}: needs four folders or more with train.tsv and dev.tsv, there are {len(domains)}")
    for part in [args.part] if args.part else ["domain", "class"]:
        try:
            tasks, tests = of_domains(domains) if part == "domain" else of_topics(domains, args.output / "topics")
        except BadInput as error:
            parser.error(str(error))
        words = ["continual", "--setting", part, "--output", str(args.output / part), "--model", args.model]
        words += ["--resume"] if (args.output / part / STATE).is_file() else []
        if status := cli.main([*words, "--tasks", *tasks, "--test", *tests, *options]):
            return status
    return 0


def of_domains(domains: Sequence[Path]) -> tuple[list[str], list[str]]:
    """The files as they are."""
    return [str(folder / "train.tsv") for folder in domains], [str(folder / "dev.tsv") for folder in domains]


def of_topics(domains: Sequence[Path], folder: Path) -> tuple[list[str], list[str]]:
    """Files of two domains each, in which the label is the domain; the last of an odd number is left out."""
    pairs = list(zip(domains[::2], domains[1::2], strict=False))
    files: dict[Path, str | bytes] = {}
    for kind, end in PARTS.items():
        for pair in pairs:
            rows = [(e.text, d.name) for d in pair for e in Classify(Settings(task="classify")).read(str(d / f"{kind}.tsv"))]
            lines = (f"{' '.join(text.split())}\t{name}" for text, name in rows)
            files[folder / f"{'-'.join(d.name for d in pair)}{end}.tsv"] = "text\tlabel\n" + "\n".join(lines) + "\n"
    write_all(files)
    names = list(map(str, files))
    return names[: len(pairs)], names[len(pairs) :]


if __name__ == "__main__":
    sys.exit(main())
