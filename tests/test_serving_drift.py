"""Drift: the index against its definition, alarms where there is a shift and seldom where there is none; minitorch watch."""

import http.server
import json
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import finetuning
from models.cli import main
from models.serving import drift
from models.serving.answerers import Labels
from models.serving.log import Log, summary
from tests import serving_cases as cases


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A classifier with its report."""
    return cases.reported(tmp_path_factory.mktemp("drift"), n=120)


def lines(n, seed=0, model="reviews", labels=("neg", "pos"), p=(0.5, 0.5), confidence=(8, 2), length=20):
    """A log of n answers."""
    rng = np.random.default_rng(seed)
    rows = zip(rng.choice(labels, n, p=p), rng.beta(*confidence, n), rng.poisson(length, n), strict=True)
    usual = {"model": model, "version": "0", "seconds": 0.01, "unknown": 0.0}
    return [{**usual, "time": i, "label": str(a), "confidence": float(b), "length": int(c)} for i, (a, b, c) in enumerate(rows)]


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@given(st.lists(st.integers(0, 500), min_size=2, max_size=12), st.integers(0, 2**32 - 1))
def test_the_index_is_its_definition(p, seed):
    """Σ (q - p) ln(q / p): 0 for equal shares, positive and symmetric otherwise, finite with empty cells."""
    q = np.random.default_rng(seed).permutation(p).tolist()
    a, b = (np.array(x) + 0.5 for x in (p, q))
    a, b = a / a.sum(), b / b.sum()
    assert drift.psi(p, q) == pytest.approx(float(np.sum((b - a) * np.log(b / a))), abs=1e-12)
    assert drift.psi(p, p) == 0
    assert drift.psi(p, q) == pytest.approx(drift.psi(q, p))
    assert drift.psi(p, q) >= 0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), st.lists(st.integers(-3, 9), min_size=1, max_size=200))
def test_every_number_is_in_one_bin(a, b):
    """Also where most of them are equal, and where the latest lie outside."""
    p, q = drift.binned(a, b)
    assert (p.sum(), q.sum(), len(p)) == (len(a), len(b), len(q))


def test_a_number_that_most_have_does_not_hide_a_shift():
    """Texts are cut at --length, so that most of the reference may be as long; shorter ones are not in their bin."""
    assert drift.psi(*drift.binned([24] * 95 + [20] * 5, [5] * 50)) > 1
    assert drift.psi(*drift.binned([24] * 100, [5] * 50)) > 1
    assert drift.psi(*drift.binned([24] * 100, [24] * 50)) < 0.01


def test_alarms_are_seldom_without_a_shift():
    """80 pairs of windows of the same stream: labels, confidence and length together raise hardly one."""
    alarms = 0
    for seed in range(80):
        both = (drift.seen_in("", lines(n, seed=[seed, n])) for n in (400, 100))
        alarms += bool(drift.compared(*both)["alarms"])
    assert alarms <= 1


@pytest.mark.parametrize(
    ("changed", "what"),
    [({"p": (0.9, 0.1)}, "labels"), ({"confidence": (5, 4)}, "confidence"), ({"length": 30}, "length")],
)
def test_a_shift_is_an_alarm_about_itself(changed, what):
    found = [
        drift.compared(drift.seen_in("", lines(400, seed=seed)), drift.seen_in("", lines(200, seed=seed + 99, **changed)))
        for seed in range(10)
    ]
    assert all(report["alarms"] == [what] for report in found)
    assert found[0]["found"][what]["p"] < 1e-4


def test_too_little_to_compare():
    report = drift.compared(drift.seen_in("", lines(29)), drift.seen_in("", lines(500, p=(1, 0))))
    assert (report["found"], report["alarms"]) == ({}, [])


@pytest.mark.parametrize(
    ("record", "kept"),
    [
        ({"prediction": "a", "probability": 0.7, "probabilities": {}}, {"label": "a", "confidence": 0.7}),
        ({"prediction": ["a"], "probabilities": {"a": 0.9, "b": 0.2}}, {"label": ["a"], "confidence": 0.85}),
        ({"prediction": 2.5, "text": "x"}, {"value": 2.5}),
        ({"words": ["x"], "tags": ["B-A"], "entities": [{"type": "A"}, {"type": "A"}]}, {"label": ["A"]}),
        ({"prediction": "", "n_best": [{"probability": 0.4}]}, {"label": "no answer", "confidence": 0.4}),
        ({"prediction": 1, "choice": "x", "probabilities": [0.2, 0.8]}, {"label": "1", "confidence": 0.8}),
        ([[["word", 0.25], ["other", 0.1]]], {"label": "word", "confidence": 0.25}),
        ({"text": "x", "prediction": "y"}, {}),
        (np.zeros(3), {}),
    ],
)
def test_what_is_kept_of_an_answer(record, kept):
    assert summary(record) == kept


def test_the_reference_is_the_report_of_finetune(folder):
    """Its labels and confidence, and the lengths that the server would log."""
    answers = Labels(finetuning.Predictor(folder))
    reference = drift.reference_of(folder, answers)
    records = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert reference.count == len(records) == 120
    assert reference.labels["pos"] == sum(record["prediction"] == "pos" for record in records)
    assert reference.numbers["confidence"] == [record["probability"] for record in records]
    assert reference.numbers["length"][0] == len(records[0]["text"].split()) + 2


def test_the_log_of_a_server_and_its_watch(folder, tmp_path, capsys):
    """A log without the texts; no alarm while texts are like those of the test, one when all become alike; the page has both."""
    pytest.importorskip("starlette")
    texts = [json.loads(line)["text"] for line in (folder / "predictions.jsonl").read_text().splitlines()]
    log = tmp_path / "log.jsonl"
    with cases.Server("--model", f"reviews={folder}", "--log", log) as server:
        assert server.post("/predict", {"inputs": texts})[0] == 200
        assert main(["watch", str(log), "--model", f"reviews={folder}"]) == 0
        said = capsys.readouterr().out
        assert ("the latest 120 answers next to 120 of" in said, "ALARM" in said) == (True, False)
        report = json.loads(server.get("/drift")[1])["reviews"]
        assert (report["alarms"], report["found"]["length"]["psi"]) == ([], 0)
        log.rename(tmp_path / "log.1")  # as logrotate does
        assert server.post("/predict", {"inputs": ["bad"] * 200})[0] == 200
    kept = [json.loads(line) for line in (tmp_path / "log.1").read_text().splitlines()]
    assert len(kept) == 120
    assert set(kept[0]) == {"time", "model", "version", "seconds", "length", "unknown", "label", "confidence"}
    assert main(["watch", str(log), "--model", f"reviews={folder}", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)["reviews"]
    assert "length" in report["alarms"]
    assert report["found"]["length"]["mean"][1] == 3


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what is sent."""

    def do_POST(self):
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_alarms_go_to_a_file_and_an_address(tmp_path, capsys):
    """Without a reference the log's own beginning is one."""
    log = write(tmp_path / "log.jsonl", lines(500) + lines(500, seed=1, p=(0.9, 0.1)))
    with http.server.HTTPServer(("127.0.0.1", 0), Hook) as hook:
        hook.heard = []
        threading.Thread(target=hook.serve_forever, daemon=True).start()
        where = ["--alarms", str(tmp_path / "alarms"), "--webhook", f"http://127.0.0.1:{hook.server_port}/hook"]
        assert main(["watch", log, *where]) == 1
        hook.shutdown()
    said = capsys.readouterr()
    assert "reviews: the latest 500 answers next to 500 of the first 500 answers of the log" in said.out
    assert said.err == ""
    written = json.loads((tmp_path / "alarms").read_text())
    assert (written["model"], written["alarms"], hook.heard[0]["text"]) == ("reviews", ["labels"], "reviews: labels drifted")
    assert main(["watch", log, "--webhook", f"http://127.0.0.1:{hook.server_port}/"]) == 1
    assert "--webhook: <urlopen error" in capsys.readouterr().err
    earlier = write(tmp_path / "earlier.jsonl", lines(300, seed=5, p=(0.9, 0.1)))
    assert main(["watch", log, "--reference", earlier]) == 0


def test_what_watch_refuses(tmp_path, folder, capsys):
    good = write(tmp_path / "good.jsonl", lines(50))
    (tmp_path / "bad.jsonl").write_text('{"model": "a"}\n{"mod\n')
    (tmp_path / "other.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "nul.jsonl").write_bytes(b"\0\xff\n")
    for arguments, text in [
        ([f"{tmp_path}/absent"], "No such file"),
        ([f"{tmp_path}"], "Is a directory"),
        ([f"{tmp_path}/bad.jsonl"], "bad.jsonl:2: not a line of JSON"),
        ([f"{tmp_path}/nul.jsonl"], "nul.jsonl:1: not a line of JSON"),
        ([f"{tmp_path}/other.jsonl"], 'other.jsonl:1: no "model" here'),
        ([f"{tmp_path}/empty.jsonl"], "holds no answer yet"),
        ([good, "--window", "3"], "--window must be at least 30"),
        ([good, "--alpha", "2"], "--alpha must lie between 0 and 1"),
        ([good, "--webhook", "ftp://x"], "begins with http://"),
        ([good, "--model", str(folder), "--reference", good], "give one of them"),
        ([good, "--model", f"other={folder}"], "is of reviews, not of other"),
        ([good, "--model", f"{folder}/../start"], "no predictions.jsonl here"),
    ]:
        assert main(["watch", *arguments]) == 2
        said = capsys.readouterr().err
        assert (text in said, said.count("\n")) == (True, 1), said
    assert main(["watch", good]) == 0
    assert "too few answers" in capsys.readouterr().out


def test_a_full_disk_stops_no_answer(capsys):
    """The log says so once."""
    log = Log("/dev/full")

    class Asked:
        texts, lengths, unknown = ["a"], [3], [0.0]

    class Served:
        name, version = "m", "0"

    for _ in range(3):
        log.write(Served, Asked, [{}], 0.1)
    assert capsys.readouterr().err == "minitorch serve: --log /dev/full: cannot be written (No space left on device)\n"
    assert len(log.latest["m"]) == 3
