"""minitorch attack: what it changes, what it counts, that its file holds what it says, resume, other models, mistakes."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitorch.parallel import Workers
from models import bert, cli
from models.attacking import attack_command
from models.attacking.attack import MARGIN, Attack, Text, lead
from models.attacking.changes import TRIES, changed, make_change, places
from models.attacking.report import marked, summary
from models.finetuning.classify import Example
from models.finetuning.command import finetune
from models.finetuning.predictor import Predictor
from tests import finetune_cases as cases

WORDS = "good great bad awful film plot it's no a 3d".split()  # noqa: SIM905


def learnt(folder, **options):
    """A small classifier that is right, its folder and its test file."""
    s = cases.settings("classify", folder, n=300)
    usual = {
        "model": s.model,
        "epochs": 8,
        "lr": 5e-3,
        "dropout": 0.0,
        "length": 32,
        "batch_size": 8,
        "threads": 1,
        "compare": "none",
    }
    usual |= {"train": s.train, "dev": s.dev, "output": str(folder / "out"), "say": lambda text: None}
    run = finetune("classify", **{**usual, **options})
    assert run.report["scores"]["accuracy"] > 0.9
    return str(folder / "out"), s.dev


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return learnt(tmp_path_factory.mktemp("model"))


def attack(*arguments):
    """The command's status."""
    return cli.main(["attack", *map(str, arguments)])


def records(folder):
    """The lines of an attack's file."""
    return [json.loads(line) for line in (folder / "attack.jsonl").read_text().splitlines()]


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.data())
def test_places_and_changes(words, data):
    """Only words of three letters without an apostrophe; everything else stays as it is."""
    text = "  ".join(words)
    spans = places(text)
    assert [text[slice(*span)] for span in spans] == [w for w in words if len(w) > 2 and w not in ("it's", "3d")]
    new = {i: data.draw(st.sampled_from(["x", "", "longer"])) for i in range(len(spans)) if data.draw(st.booleans())}
    parts, k = [], 0
    for word in words:
        able = len(word) > 2 and word not in ("it's", "3d")
        parts.append(new.get(k, word) if able else word)
        k += able
    assert changed(text, spans, new) == "  ".join(parts)


def test_two_texts_are_one_row_of_words():
    """A pair's words are numbered through."""
    text = Text(Example("Good film", "bad plot, bad", 0, "f:1"))
    assert [text.word(i) for i in range(len(text.spans))] == ["Good", "film", "bad", "plot", "bad"]
    new = text.example({0: "x", 4: "y"})
    assert (new.text, new.pair) == ("x film", "bad plot, y")


def test_typos_and_lists(tmp_path, model):
    """Each kind of change is a function of the word and the generator; words that turn the meaning stay."""
    change = make_change("typos", "", None, None)
    options = change("wonderful", np.random.default_rng(0))
    assert options == change("wonderful", np.random.default_rng(0))
    assert 1 < len(options) == len(set(options)) <= TRIES
    assert "wonderful" not in options
    assert all(o[0] == "w" and abs(len(o) - 9) <= 1 for o in options)
    (tmp_path / "list.txt").write_text("good, fine\nnot, never\n")
    words = make_change("typos", str(tmp_path / "list.txt"), None, None)
    assert [words(word, None) for word in ("Good", "plot", "not")] == [["Fine"], [], []]
    tokenizer, bare = bert.load(model[0], bert.BertForSequenceClassification)
    assert "film" not in make_change("neighbours", "", bare, tokenizer)("film", None)


def test_the_search_takes_the_most_important_word_first(model):
    """By hand: the word whose absence costs most; of all candidates the one that lowers p(right) most, or the first flip."""
    predictor = Predictor(model[0])
    examples = predictor.task.read(model[1])
    asked = []

    def change(word, rng):
        asked.append(word)
        return ["the", "bad", "awful", "good", "great"]

    with Workers(1) as workers:
        hunt = Attack(predictor.trainer, workers, change, 0.5, 0)
        for i, e in enumerate(examples[:6]):
            asked.clear()
            found, gold, words = hunt(e, i), predictor.task.target(e), e.text.split()
            (p,) = hunt.ask([e])
            able = [k for k, word in enumerate(words) if len(word) > 2]
            without = [Example(" ".join(words[:k] + words[k + 1 :]), None, e.target, "") for k in able]
            costs = [p[gold] - q[gold] for q in hunt.ask(without)]
            assert asked[0] == words[able[int(np.argmax(costs))]]
            assert found.words == len(able)
            if found.outcome == "flipped":
                (q,) = hunt.ask([Example(found.text, None, e.target, "")])
                assert lead(q, gold) < -MARGIN / 2
                assert len(found.changes) <= max(1, len(able) // 2)
                assert sum(a != b for a, b in zip(words, found.text.split(), strict=True)) == len(found.changes)


def test_what_the_file_claims_is_true(tmp_path, model, capsys):
    """predict gives the answers that the file claims; a flip was right before; an answer that was wrong before is no flip."""
    folder, file = model
    rows = [line.split("\t") for line in Path(file).read_text().splitlines()]
    rows[1:4] = [[text, {"pos": "neg", "neg": "pos"}[label]] for text, label in rows[1:4]]  # three that it gets wrong
    wrong = tmp_path / "some.tsv"
    wrong.write_text("\n".join("\t".join(row) for row in rows) + "\n")
    assert attack("--model", folder, "--file", wrong, "--output", tmp_path / "a", "--budget", 0.5, "--with", "typos") == 0
    shown = capsys.readouterr().out
    lines = records(tmp_path / "a")
    outcomes = [line["attack"]["outcome"] for line in lines]
    assert len(lines) == len(rows) - 1
    assert outcomes.count("wrong before") >= 3
    assert outcomes.count("flipped") > 2
    predictor = Predictor(folder)
    answers = predictor.file(str(tmp_path / "a" / "attack.jsonl"))
    originals = predictor([line["attack"]["original"]["text"] for line in lines])
    for line, before, after in zip(lines, originals, answers, strict=True):
        about, gold = line["attack"], line["label"]
        assert before["prediction"] == about["before"]["answer"]
        assert after["prediction"] == about["after"]["answer"]
        assert (before["prediction"] == gold) == (about["outcome"] != "wrong before")
        assert (gold == before["prediction"] != after["prediction"]) == (about["outcome"] == "flipped")
        assert (line["text"] == about["original"]["text"]) == (about["outcome"] != "flipped")
    report = json.loads((tmp_path / "a" / "attack.json").read_text())["result"]
    assert report == summary(lines)
    assert report["right_before"] == len(lines) - outcomes.count("wrong before")
    assert report["accuracy_under_attack"] == outcomes.count("held") / len(lines)
    assert f"answers flipped           {outcomes.count('flipped'):6,} of {report['right_before']:,}" in shown
    assert attack("--model", folder, "--check", tmp_path / "a" / "attack.jsonl") == 0
    assert f"{outcomes.count('flipped')} flips, all reproduced" in capsys.readouterr().out
    flip = next(line for line in lines if line["attack"]["outcome"] == "flipped")
    flip["text"] = flip["attack"]["original"]["text"]  # a claim that is not true
    (tmp_path / "lie.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert attack("--model", folder, "--check", tmp_path / "lie.jsonl") == 1
    assert "of which 1 cannot be reproduced" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_and_a_stopped_attack_goes_on(tmp_path, model, monkeypatch, capsys):
    """Ctrl-C after some texts; a line that was cut off; other settings are refused."""
    folder, file = model
    command = ["--model", folder, "--file", file, "--with", "neighbours", "--budget", 1, "--examples", 8]
    assert attack(*command, "--output", tmp_path / "a") == 0
    whole, out = (tmp_path / "a" / "attack.jsonl").read_bytes(), tmp_path / "b"
    call, calls = Attack.__call__, []

    def stop(self, e, number):
        calls.append(number)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return call(self, e, number)

    with monkeypatch.context() as patch:
        patch.setattr(Attack, "__call__", stop)
        assert attack(*command, "--output", out) == 130
    assert "stopped after 3 texts; the same command with --resume goes on" in capsys.readouterr().out
    assert whole.startswith((out / "attack.jsonl").read_bytes())
    assert attack(*command, "--output", out) == 2
    assert "use --resume, --overwrite or another --output" in capsys.readouterr().err
    with open(out / "attack.jsonl", "a") as cut_off:
        cut_off.write('{"text": "a fi')
    assert attack(*command[:-1], 9, "--output", out, "--resume") == 2
    assert "that attack was of another examples" in capsys.readouterr().err
    assert attack(*command, "--output", out, "--resume") == 0
    assert (out / "attack.jsonl").read_bytes() == whole
    assert (out / "attack.json").read_bytes() == (tmp_path / "a" / "attack.json").read_bytes()
    assert attack(*command, "--output", out, "--overwrite", "--seed", 1) == 0


def test_tables_without_a_header(tmp_path, capsys):
    """The file is read by the model's own columns."""
    rows = cases.classify_rows(300)
    train = tmp_path / "rows.csv"
    train.write_text("".join(f"{label},{text}\n" for text, label in rows))
    folder, _ = learnt(tmp_path, train=str(train), dev="", columns="label,text")
    assert attack("--model", folder, "--file", train, "--examples", 5, "--budget", 1) == 0
    assert attack("--model", folder, "--check", f"{folder}/attack/attack.jsonl") == 0
    assert "all reproduced" in capsys.readouterr().out


def test_marks_show_the_changed_words():
    """With what stands around them."""
    assert marked("a good film", "a bad film") == "a [good] film"
    text = " ".join(f"w{i}" for i in range(200))
    assert marked(text, text.replace("w100", "x")).count(" ... ") == 0
    assert marked(text, text.replace("w100", "x")).startswith("... w8")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "give --file FILE, the examples to attack, or --check"),
        (["--file", "nothing.tsv"], "nothing.tsv: no such file"),
        (["--file", "DEV", "--budget", "1.5"], "--budget is a share of a text's words, from 0 to 1, not 1.5"),
        (["--file", "DEV", "--budget", "nan"], "--budget is a share of a text's words, from 0 to 1, not nan"),
        (["--file", "DEV", "--examples", "-1"], "--examples must be at least 0, not -1"),
        (["--file", "DEV", "--with", "letters"], "--with must be one of typos, neighbours, not 'letters'"),
        (["--file", "DEV", "--resume"], "no attack to resume; start one without --resume"),
        (["--file", "BARE"], "label"),
        (["--file", "ODD"], "the label 'maybe' is not among those of the training examples"),
        (["--file", "EMPTY"], "the file is empty"),
        (["--file", "DEV", "--wordlist", "EMPTY"], "a wordlist has lines of two or more words"),
        (["--check", "DEV"], "not a file that minitorch attack wrote"),
        (["--file", "DEV", "--output", "DEV"], "is a file; give a folder"),
    ],
)
def test_mistakes_are_one_line(tmp_path, model, capsys, options, says):
    """Status 2, and no folder is left."""
    folder, dev = model
    paths = {"DEV": dev, **{name: str(tmp_path / f"{name}.tsv") for name in ("BARE", "ODD", "EMPTY")}}
    (tmp_path / "BARE.tsv").write_text("text\na good film\na bad film\n")
    (tmp_path / "ODD.tsv").write_text("text\tlabel\na good film\tpos\na film\tmaybe\n")
    (tmp_path / "EMPTY.tsv").write_text("")
    options = [paths.get(option, option) for option in options]
    output = [] if "--output" in options else ["--output", tmp_path / "out"]
    assert attack("--model", folder, *options, *output) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_models_of_another_kind_are_named(tmp_path, capsys):
    """With the command that helps."""
    job = cases.run("tag", tmp_path, epochs=1)
    job.train()
    rows = tmp_path / "rows.tsv"
    rows.write_text("text\tlabel\n" + "a film\t1\nthe book\t2\n" * 6)
    (tmp_path / "numbers").mkdir()
    numbers = cases.run("classify", tmp_path / "numbers", train=str(rows), dev=str(rows), epochs=1, targets="numbers")
    numbers.train()
    (tmp_path / "seq2seq").mkdir()
    (tmp_path / "seq2seq" / "seq2seq.json").write_text("{}")
    (tmp_path / "prompt").mkdir()
    (tmp_path / "prompt" / "prompt.json").write_text("{}")
    capsys.readouterr()
    for folder, says in (
        (tmp_path / "out", "holds a model for tag; minitorch attack is for one class a text: train one with"),
        (tmp_path / "numbers" / "out", "holds a model for classify, --targets numbers"),
        (tmp_path / "seq2seq", "is a model of minitorch seq2seq, which writes texts"),
        (tmp_path / "prompt", "minitorch prompt --model"),
        (tmp_path / "start", "no finetune.json here"),
    ):
        assert attack("--model", folder, "--file", rows) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1


def test_the_report_of_nothing():
    """No text was right, or none was asked."""
    assert summary([])["accuracy_under_attack"] == 0.0
    assert attack_command.as_text(summary([]), [], "how").startswith("how")
