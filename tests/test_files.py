"""minitorch/files.py: whole or not at all, several together, and what killed processes leave."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minitorch import files

ROOT = Path(__file__).parents[1]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_written_whole_and_named_like_the_old_one(tmp_path):
    files.write_text(tmp_path / "a.txt", "old")
    with files.replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert (temporary.suffix, (tmp_path / "a.txt").read_text()) == (".txt", "old")
    assert ((tmp_path / "a.txt").read_text(), names(tmp_path)) == ("new", ["a.txt"])


@pytest.mark.parametrize("old", ["the old file there is untouched", "nothing was left there"])
def test_what_fails_in_between_leaves_the_old_file(old, tmp_path):
    path = tmp_path / "a.txt"
    if "untouched" in old:
        path.write_text("old")
    before = names(tmp_path)

    def fail(error):
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(files.NotWritten, match=f"could not write {path} .No space left on device.; {old}"):
        fail(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())
    assert names(tmp_path) == before
    assert not before or path.read_text() == "old"


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_several_files_are_written_together_or_not(fails_at, tmp_path, monkeypatch):
    wanted = {tmp_path / "x" / name: name for name in ("a", "b/c", "b/d/e")}
    written = []

    def write(path, content):
        written.append(path)
        return no_space() if len(written) > fails_at else path.open("wb").write(content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", write)
        with pytest.raises(files.NotWritten, match=f"could not write {list(wanted)[fails_at]} .No space left on device."):
            files.write_all(wanted)
    assert names(tmp_path) == []
    files.write_all(wanted)
    assert {path: path.read_text() for path in wanted} == wanted
    assert names(tmp_path / "x" / "b") == ["c", "d"]


def test_the_file_that_is_named_is_the_one_that_failed(tmp_path, monkeypatch):
    (tmp_path / "b").write_text("old")
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: no_space() if b.name == "a" else replace(a, b))
    with pytest.raises(files.NotWritten) as caught:
        files.write_all({tmp_path / "a": "1", tmp_path / "b": "2"})
    assert str(caught.value) == f"could not write {tmp_path / 'a'} (No space left on device); nothing was left there"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_what_a_killed_process_leaves_is_swept(tmp_path):
    code = (
        "import os, signal, sys; from minitorch.files import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    for name in ("model.safetensors", "README"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], cwd=ROOT, check=False)
    own = [".gitignore", ".minitorch", ".minitorch-notes.txt", ".model.0123abcd.safetensors", "minitorch-01234567"]
    for name in own:
        (tmp_path / name).write_text("the user's own")
    assert len(names(tmp_path)) == 7
    files.sweep(tmp_path)
    files.sweep(tmp_path / "absent")
    assert names(tmp_path) == own


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE")
@pytest.mark.parametrize("what", ["corpus", "vectors"])
def test_small_pieces_do_not_lose_the_error_of_a_full_disk(what, tmp_path):
    """A file of more than 4000 bytes cannot be written; ndarray.tofile would lose that, and a short file get its name."""
    code = f"""if True:
        import resource, pathlib, sys
        from models.text.corpus import Corpus
        from models.text.tokenizer import Tokenizer
        from models import cli
        folder = pathlib.Path(sys.argv[1])
        if {what == "corpus"}:
            lines = ["ab cd ef gh"] * 1000
            tokenizer = Tokenizer.train(lines, 40)
            work = lambda: Corpus.write([lines], tokenizer, folder / "train")
        else:
            from models import bert
            tokenizer = Tokenizer.train(["ab cd ef gh"] * 9, 40)
            config = bert.BertConfig.preset("tiny", vocab_size=40, hidden_size=8, num_attention_heads=1, intermediate_size=8)
            bert.BertForMaskedLM(config).save_pretrained(folder / "model")
            tokenizer.save_pretrained(folder / "model")
            (folder / "texts").write_text("ab cd\\n" * 130)
            command = ["embed", "--file", folder / "texts", "--model", folder / "model", "--output", folder / "train.npy"]
            work = lambda: sys.exit(cli.main(list(map(str, command))))
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            work()
        except OSError as error:
            print(error, file=sys.stderr)
    """
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    name = "train.ids" if what == "corpus" else "train.npy"
    assert f"could not write {tmp_path / name} (File too large); nothing was left there\n" in done.stderr
    assert not set(names(tmp_path)) - {"model", "texts"}
