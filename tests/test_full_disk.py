"""A really full disk: no command leaves a short file, and none of an old run's files goes before the new run is complete.

The disk is a tmpfs of two megabytes; where the system does not let us mount one (tests of a user who is not root), these are
skipped, and tests/test_files.py limits the size of files instead.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from models import cli

SMALL = "--vocab-size 40 --layers 1 --hidden 32 --length 18 --batch-size 16 --steps 6 --eval-every 3 --save-every 3 --threads 1"


class Disk:
    """A small disk; ``leave(n)`` fills it, except for n bytes."""

    def __init__(self, folder):
        self.folder = folder

    def leave(self, size):
        ballast = self.folder / "ballast"
        ballast.unlink(missing_ok=True)
        found = os.statvfs(self.folder)
        ballast.write_bytes(bytes(max(0, found.f_bavail * found.f_frsize - size)))

    def holds(self, folder=None):
        """Every file of a folder with its content."""
        folder = folder or self.folder
        found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return {name: content for name, content in found.items() if name != "ballast"}

    def empty(self):
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", folder], check=False)  # a text's ids may still be mapped


@pytest.fixture
def text(tmp_path):
    lines = [line for kind in "pqrs" * 20 for line in (" ".join(role + kind for role in "abcde"),) * 3 + ("",)]
    (tmp_path / "corpus.txt").write_text("\n".join(lines))
    return tmp_path / "corpus.txt"


@pytest.fixture
def pretrained(text, tmp_path):
    assert run("pretrain", "--corpus", text, "--output", tmp_path / "pretrained", *SMALL.split()) == 0
    return tmp_path / "pretrained"


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def one_line(capsys, folder):
    """The error: one line, with the name of a file in the folder."""
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(lines) == 1
    assert f"error: could not write {folder}" in lines[0]
    assert "(No space left on device)" in lines[0]


@pytest.mark.parametrize("job", ["pretrain", "finetune"])
def test_a_run_that_overwrites_leaves_the_old_one_usable(job, disk, text, pretrained, tmp_path, capsys):
    out = disk.folder / "run"
    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "".join(f"a{k} b{k}\t{k}\n" for k in "pq" * 20))
    fits = ["finetune", "classify", "--train", tmp_path / "train.tsv", "--model", pretrained, "--epochs", 1, "--compare", "none"]
    command = ["pretrain", "--corpus", text, *SMALL.split()] if job == "pretrain" else [*fits, "--threads", 1]
    command += ["--output", out]
    use = ["fill-mask", "ap bp [MASK]"] if job == "pretrain" else ["predict", "ap bp"]
    assert run(*command) == 0
    old = disk.holds(out)
    ends = set()
    for size in range(0, 700_000, 60_000):
        disk.leave(size)
        capsys.readouterr()
        status = run(*command, "--seed", 1, "--overwrite")
        ends.add(status)
        if status == 0:
            break
        one_line(capsys, out / ".new")
        now = disk.holds(out)
        assert {name: content for name, content in now.items() if not name.startswith(".new")} == old
        assert not [name for name in now if "minitorch" in name]
        assert run(*use, "--model", out) == 0
    assert ends == {0, 2}
    (disk.folder / "ballast").unlink()
    assert not (out / ".new").exists()
    assert disk.holds(out)["model.safetensors"] != old["model.safetensors"]
    assert run(*use, "--model", out) == 0
    assert run(job, "--resume", "--output", out) == 0


@pytest.mark.parametrize("name", ["e.npy", "p.jsonl", "hand", "hand.zip", "a/b/scalar", "nb"])
def test_what_does_not_fit_is_not_there(name, disk, pretrained, tmp_path, capsys):
    target = disk.folder / name
    (tmp_path / "texts.tsv").write_text("text\tlabel\n" + "".join(f"a{k} b{k}\t{k}\n" for k in "pq" * 30))
    if name == "p.jsonl":
        fits = ["--train", tmp_path / "texts.tsv", "--model", pretrained, "--epochs", 1, "--compare", "none"]
        assert run("finetune", "classify", *fits, "--output", tmp_path / "tuned") == 0
    command = {
        "e.npy": ["embed", "--file", tmp_path / "texts.tsv", "--model", pretrained, "--output", target],
        "p.jsonl": ["predict", "--file", tmp_path / "texts.tsv", "--model", tmp_path / "tuned", "--output", target],
        "hand": ["course", "release", target],
        "hand.zip": ["course", "release", target],
        "a/b/scalar": ["course", "start", "scalar", target],
        "nb": ["course", "export-nbgrader", target],
    }[name]
    assert run(*command) == 0
    whole = disk.holds()
    for share in (0, 0.5, 0.9):
        disk.empty()
        disk.leave(int(share * sum(map(len, whole.values()))) // 4096 * 4096)
        capsys.readouterr()
        assert run(*command) == 2
        one_line(capsys, target)
        assert [path.name for path in disk.folder.iterdir()] == ["ballast"]
    disk.empty()
    assert run(*command) == 0
    assert disk.holds() == whole


def test_a_picture_that_does_not_fit_is_not_there(disk, capsys):
    disk.leave(8192)
    assert run("linear-regression", "--output", disk.folder / "fit") == 2
    one_line(capsys, disk.folder / "fit" / "fit.png")
    assert disk.holds() == {}


def test_text_that_cannot_be_printed_is_one_line(capsys):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full")
    code = "import sys; from models import cli; sys.exit(cli.main(['course', 'list']))"
    with full.open("w") as out:
        done = subprocess.run([shutil.which("python") or "python", "-c", code], stdout=out, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "minitorch course: error: cannot print: No space left on device\n")
