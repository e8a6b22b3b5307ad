"""``python -m docs.website OUTPUT``: README, pages, glossary, lessons with their outputs and API as a static site."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lessons.browser import building, runtime
from models.errors import BadInput, count, listing, quoted

from . import checking, staging

ABOUT = "Build the site: README, pages, glossary, the lessons with their outputs, API. It is read without a network."
HERE = Path(__file__).parent


def main(argv: Sequence[str] | None = None) -> int:
    """Build the site; 2 for a user's mistake, 1 for a site with dead links."""
    parser = argparse.ArgumentParser(prog="python -m docs.website", description=ABOUT, allow_abbrev=False)
    add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        return build(args.output, chosen(args.run), args.browser)
    except KeyboardInterrupt:
        print("\nstopped; lessons that have run are kept, and the next build goes on from there", file=sys.stderr)
        return 130
    except (BadInput, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command knows."""
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="the folder to make")
    text = "the lessons whose outputs are shown: all (default), none, or numbers such as 1,2,9"
    parser.add_argument("--run", default="all", metavar="LESSONS", help=text)
    text = "with lessons that run in the browser; python -m lessons.browser fetches what they need"
    parser.add_argument("--browser", action="store_true", help=text)


def chosen(text: str) -> list[str]:
    """The names of the lessons to run."""
    names = staging.lessons()
    if text in ("all", "none"):
        return names if text == "all" else []
    numbers = {name[:2].lstrip("0"): name for name in names}
    wanted = [part.strip().lstrip("0") for part in text.split(",")]
    if unknown := [part for part in wanted if part not in numbers]:
        raise BadInput(f"--run: there is no lesson {quoted(unknown[0])}; give all, none, or numbers of {listing(numbers)}")
    return [numbers[part] for part in wanted]


def build(output: Path, run: list[str], browser: bool) -> int:
    """Stage, build, check, and only then move the site to its place."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise BadInput(f"{output} exists and is not overwritten; give another name")
    try:
        from sphinx.cmd.build import build_main
    except ImportError:
        raise BadInput("Sphinx is not installed: pip install -e '.[site]'") from None
    pyodide = staging.ROOT / "runs" / f"pyodide-{runtime.VERSION}"
    if browser and runtime.missing(pyodide):
        raise BadInput(f"{pyodide} is not complete; first: python -m lessons.browser FOLDER --download")
    os.environ["LESSONS_SKIPPED"] = " ".join(f"lessons/{name}.ipynb" for name in staging.lessons() if name not in run)
    os.environ["LESSONS_CACHE"] = str(cache())
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(staging.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )  # of the notebooks
    if run:
        print(f"{count(len(run), 'lesson')} to run, each once, up to two minutes; outputs are kept in {cache()}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as room:
        source, site = Path(room) / "source", Path(room) / "site"
        staging.stage(source, browser)
        if build_main(["-W", "--keep-going", "-c", str(HERE), "-d", f"{room}/doctrees", str(source), str(site)]):
            raise BadInput("Sphinx's messages above say what is wrong; no site was written")
        (site / ".buildinfo").unlink(missing_ok=True)
        mend_links_to_api(site)
        if browser:
            building.build(site / "browser", pyodide)
        if found := checking.problems(site):
            print(*found, f"{count(len(found), 'dead link')}; no site was written", sep="\n", file=sys.stderr)
            return 1
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(site, output, dirs_exist_ok=True)
    print(f"{output}/index.html: {count(len(list(output.rglob('*.html'))), 'page')}, all links checked")
    return 0


def mend_links_to_api(site: Path) -> None:
    """From a function in its source back to its description: Sphinx takes all of a file's functions to be of one module."""

    def mended(match: re.Match[str]) -> str:
        before, module, name = match.groups()
        text = (site / "api" / f"{module}.html").read_text(encoding="utf-8")
        parts = name.split(".")
        places = [f"{module}.{'.'.join(parts[i:])}" for i in range(1, len(parts))]
        place = next((place for place in (name, *places) if f'id="{place}"' in text), name)
        return f"{before}{module}.html#{place}"

    for path in (site / "_modules").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r'(href="[./]*api/)([\w.]+)\.html#([\w.]+)', mended, text), encoding="utf-8")


def cache() -> Path:
    """Where outputs of lessons are kept: a folder per state of the code, so that none is out of date."""
    state = hashlib.sha256()
    for folder in ("minitorch", "models"):
        for path in sorted((staging.ROOT / folder).rglob("*.py")):
            state.update(path.read_bytes())
    for path in (*sorted(staging.LESSONS.glob("[a-z]*.py")), *sorted(staging.LESSONS.glob("*.toml"))):
        state.update(path.read_bytes())
    return staging.ROOT / "runs" / "site" / state.hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
