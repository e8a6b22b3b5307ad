"""The alarm against simulation, streams of every kind, and the command with a small classifier."""

import json
import os
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

from models import cli
from models.errors import BadInput
from models.opinions.stream import moment, read_stream
from models.opinions.surge import Cusum, run_length, wilson
from models.text.python_docs import deal

from . import finetune_cases as cases
from .finetune_cases import BAD, GOOD, OTHER, sentence


def test_wilsons_interval():
    """Newcombe (1998), table I: 81 of 263 gives .2553 to .3662; 0 of 20 gives 0 to .1611."""
    np.testing.assert_allclose(wilson(81, 263), (0.2553, 0.3662), atol=5e-5)
    np.testing.assert_allclose(wilson(0, 20), (0.0, 0.1611), atol=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(5, 5)[1] == 1.0


@pytest.mark.parametrize("p", [0.05, 0.3, 0.7])
def test_run_length_by_simulation(p):
    """The mean of 4,000 runs, within five standard errors."""
    up, down, limit = 5, 3, 40
    rng = np.random.default_rng(0)
    total, n, going = np.zeros(4000, int), np.zeros(4000, int), np.ones(4000, bool)
    while going.any() and n.max() < 20_000:
        total = np.maximum(0, total + np.where(rng.random(4000) < p, up, -down))
        n += going
        going &= total < limit
    runs = n if not going.any() else None
    expected = run_length(p, up, down, limit)
    if runs is None:  # so rare that the mean lies far above
        assert expected > 20_000
    else:
        assert abs(runs.mean() - expected) < 5 * runs.std() / np.sqrt(4000)


@pytest.mark.parametrize("usual", [0.0, 0.01, 0.1, 0.3, 0.5, 0.8, 1.0])
def test_false_alarms_are_as_rare_as_asked_and_a_surge_is_found(usual):
    c = Cusum(usual, rise=2.0, texts=2000)
    p1 = 2 * c.usual / (1 - c.usual + 2 * c.usual)
    assert run_length(c.usual, c.up, c.down, c.limit) >= 2000
    assert run_length(c.usual, c.up, c.down, c.limit - 1) < 2000
    assert run_length(p1, c.up, c.down, c.limit) < 600
    assert c.usual < c.down / (c.up + c.down) < 1


def test_streams_without_a_surge_raise_few_alarms():
    """The usual share is estimated from 200 texts, at its upper end: in all, no more alarms than asked for."""
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(60):
        bad = rng.random(2200) < 0.3
        c = Cusum(wilson(int(bad[:200].sum()), 200, 1.28)[1], texts=2000)
        alarms += sum(c.add(x) for x in bad[200:])
    assert alarms < 60


def test_dates_and_their_order(tmp_path):
    (tmp_path / "b.csv").write_text("text,date\nsecond,2024-05-02\nfirst,2024-05-01T10:00+02:00\n")
    (tmp_path / "c.jsonl").write_text('{"date": 1714608000, "text": "third"}\n')
    (tmp_path / "notes.md").write_text("no table")
    assert [text.text for text in read_stream(str(tmp_path))] == ["first", "second", "third"]
    assert moment("2024-05-01T10:00+02:00", "") == moment("2024-05-01T08:00", "")
    assert moment("1714608000", "") == moment("2024-05-02", "")
    assert moment("20240502", "") == moment("2024-05-02", "")
    for wrong in ("soon", "", None, "2024-13-01", "1e300"):
        with pytest.raises(BadInput, match="is no date"):
            moment(wrong, "x.tsv:2")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A classifier that tells good words from bad ones."""
    folder = tmp_path_factory.mktemp("classifier")
    cases.run("classify", folder, n=160, epochs=6, lr=5e-3).train()
    return str(folder / "out")


def write(path, days=40, surge=30, seed=0):
    """Ten texts a day, of which two are bad; from ``surge`` on eight are."""
    rng = np.random.default_rng(seed)
    rows = ["date\ttext"]
    for day in range(days):
        for i in range(10):
            kind = BAD if i < (2 if day < surge else 8) else GOOD
            rows.append(f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}\t{' '.join(sentence(rng, kind, 6))}")
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def watch(model, source, output, *options):
    return cli.main(["opinions", str(source), "--sentiment", model, "--usual", "100", "--output", str(output), *options])


def test_a_surge_is_found_and_shown(tmp_path, capsys, model):
    file = write(tmp_path / "s.tsv")
    with open(file, "a", encoding="utf-8") as more:
        more.write("2024-02-13\tawful <script>alert(1)</script> awful\n")
    assert watch(model, file, tmp_path / "out", "--topic", model) == 0
    out = capsys.readouterr().out
    assert "ALARM at 2024-02-" in out
    records = [json.loads(line) for line in (tmp_path / "out" / "opinions.jsonl").read_text().splitlines()]
    assert len(records) == 401
    first = next(i for i, r in enumerate(records) if r["alarm"])
    assert 300 <= first < 340
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script>" not in page
    assert "http" not in page
    assert "data:image/png;base64," in page
    assert "<th>topic" in page
    assert watch(model, file, tmp_path / "out") == 2
    assert "holds a run already" in capsys.readouterr().err


def test_a_stopped_watch_goes_on_where_it_was(tmp_path, capsys, model):
    file = write(tmp_path / "s.tsv")
    assert watch(model, file, tmp_path / "whole") == 0
    whole = (tmp_path / "whole" / "opinions.jsonl").read_text()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "opinions.jsonl").write_text("".join(whole.splitlines(keepends=True)[:250]))
    assert watch(model, file, tmp_path / "half", "--resume") == 0
    for line, other in zip((tmp_path / "half" / "opinions.jsonl").read_text().splitlines(), whole.splitlines(), strict=True):
        a, b = json.loads(line), json.loads(other)
        assert a.pop("probability") == pytest.approx(b.pop("probability"), abs=1e-5)  # batches end elsewhere
        assert a == b
    (tmp_path / "half" / "opinions.jsonl").write_text('{"when": 1}\n')
    assert watch(model, file, tmp_path / "half", "--resume") == 2
    assert "opinions.jsonl:1: not a line of minitorch opinions" in capsys.readouterr().err


def test_a_folder_that_grows(tmp_path, model):
    """--follow answers a file that comes later; Ctrl-C leaves the page."""
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "1.tsv", days=1)
    command = [sys.executable, "-m", "models.cli", "opinions", str(folder), "--follow", "--sentiment", model]
    from .processes import heed_ctrl_c

    process = subprocess.Popen([*command, "--output", str(tmp_path / "out")], preexec_fn=heed_ctrl_c, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})  # fmt: skip
    answers = tmp_path / "out" / "opinions.jsonl"

    def wait_for(n):
        for _ in range(1200):
            if answers.exists() and answers.read_text().count("\n") == n:
                return
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.1)
        raise AssertionError(f"{n} answers never came")

    try:
        wait_for(10)
        temporary = tmp_path / "2.tsv"
        write(temporary, days=2)
        os.replace(temporary, folder / "2.tsv")
        wait_for(30)
        process.send_signal(2)
        out = process.communicate(timeout=120)[0]
    finally:
        process.kill()
    assert process.returncode == 130
    assert "stopped after 30 texts" in out
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        ("date\ttext\nsoon\ta\n", [], "s.tsv:2: 'soon' is no date"),
        ("date\ttext\n2024-01-01\t\n", [], 's.tsv:2: the text in "text" is empty'),
        ("text\tx\na\tb\n", [], "which column holds the date?"),
        (None, ["--bad", "angry"], "--bad LABEL: say which label of"),
        (None, ["--every", "year"], "--every must be one of hour, day, week, month"),
        (None, ["--follow"], "--follow waits for new files of a folder"),
        (None, ["--resume"], "nothing to resume"),
        (None, ["--rise", "1"], "--rise must be from 1.1 to 100"),
    ],
)
def test_a_slip_is_one_line(tmp_path, capsys, model, content, options, says):
    file = tmp_path / "s.tsv"
    write(file, days=1) if content is None else file.write_text(content)
    assert watch(model, file, tmp_path / "out", *options) == 2
    err = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(err) == 1
    assert says in err[0]


def test_without_a_file_it_watches_pythons_documentation(tmp_path, capsys, model, monkeypatch):
    """Paragraphs of held-out files alone, of libraries that the model knows; one of them surges."""
    rng, words = np.random.default_rng(0), {"pos": GOOD, "neg": BAD, "other": OTHER}
    items = [(f"{label}/{i % 40}.py", f"{' '.join(sentence(rng, kind, 6))} {i}\t{label}\n") for label, kind in words.items()
             for i in range(200)]  # fmt: skip
    monkeypatch.setattr("models.opinions.documentation.which_library", lambda: iter(items))
    parts = deal(Counter(file for file, _ in items))
    assert cli.main(["opinions", "--sentiment", model, "--output", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    first = out[out.index("ALARM at ") + 9 :][:10]
    assert "2024-02-10" <= first < "2024-02-20"
    rows = [line.split("\t") for line in (tmp_path / "stream.tsv").read_text().splitlines()[1:]]
    held_out = {line.partition("\t")[0] for file, line in items if parts[file] == 2 and "other" not in file}
    assert len(rows) == 900
    assert {text for _, text in rows} <= held_out
    monkeypatch.setattr("models.opinions.documentation.which_library", lambda: iter(items[:200]))
    assert cli.main(["opinions", "--sentiment", model, "--output", str(tmp_path / "few")]) == 2
    assert "give STREAM, a table of dates and texts" in capsys.readouterr().err


@pytest.mark.parametrize("stream", [[], ["s.tsv"]])
def test_without_a_model_it_says_which_command_makes_one(tmp_path, capsys, monkeypatch, stream):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["opinions", *stream]) == 2
    wanted = "runs/finetune: no such folder; `minitorch finetune classify --train reviews.tsv` makes one"
    wanted = wanted if stream else "runs/finetune/classify: no such folder; `minitorch finetune` makes one"
    assert capsys.readouterr().err == f"minitorch opinions: error: --sentiment {wanted}\n"
    assert not any(tmp_path.iterdir())


def test_standard_input(tmp_path, capsys, model, monkeypatch):
    rng = np.random.default_rng(0)
    lines = [f"2024-01-01\t{' '.join(sentence(rng, GOOD, 4))}\n", "\n", f"2024-01-02\t{rng.choice(OTHER)} awful\n"]
    monkeypatch.setattr("sys.stdin", iter(lines))
    assert watch(model, "-", tmp_path / "out") == 0
    assert "2 texts" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", iter(["no tab\n"]))
    assert watch(model, "-", tmp_path / "other") == 2
    assert "standard input:1: write a date, a tab and a text" in capsys.readouterr().err
