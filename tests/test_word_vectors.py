"""Word vectors: gradients against finite differences, what is learnt, the file format, the command with Ctrl-C and --resume."""

from __future__ import annotations

import itertools
import os
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitorch
from models import cli
from models.classical.word2vec import Text, Word2Vec, gradients, words_of
from models.classical.word_vectors import WordVectors
from models.errors import BadInput

# ------------------------------------------------------------------------------------------------------ training


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), cbow=st.booleans())
def test_gradients_equal_finite_differences(seed, cbow):
    """Of skip-gram and of CBOW, by every row that is read, told or drawn; rows that occur twice get both."""
    rng = np.random.default_rng(seed)
    v, u = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    read = np.array([[0, 2, -1], [1, -1, -1]]) if cbow else rng.integers(0, 5, (4, 1))
    told, noise = rng.integers(0, 5, len(read)), rng.integers(0, 5, 6)

    def loss():
        return gradients(v, u, read, told, noise, 0.5)[0]

    _, dv, du, dnoise = gradients(v, u, read, told, noise, 0.5)
    whole = [np.zeros_like(v), np.zeros_like(u)]
    for table, index, g in ((0, read.reshape(-1), dv), (1, told, du), (1, noise, dnoise)):
        np.add.at(whole[table], index[index >= 0], g[index >= 0])
    for table, g in zip((v, u), whole, strict=True):
        for i in itertools.product(range(5), range(3)):
            kept, step = table[i], 1e-5
            table[i] = kept + step
            above = loss()
            table[i] = kept - step
            below = loss()
            table[i] = kept
            assert g[i] == pytest.approx((above - below) / (2 * step), abs=1e-7)


def test_the_loss_is_equation_4():
    """One pair and its noise words, one of which is the true word and does not count."""
    rng = np.random.default_rng(0)
    v, u = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    loss = gradients(v, u, np.array([[2]]), np.array([1]), np.array([0, 1, 3]), 1.0)[0]

    def log_sigmoid(x):
        return -np.log1p(np.exp(-x))

    assert loss == pytest.approx(-log_sigmoid(u[1] @ v[2]) - log_sigmoid(-u[0] @ v[2]) - log_sigmoid(-u[3] @ v[2]))


def two_worlds(n=400, seed=0):
    """Sentences about animals and sentences about numbers, with words in common."""
    rng = np.random.default_rng(seed)
    worlds = ["cat dog horse cow sheep".split(), "one two three four five".split()]  # noqa: SIM905
    return [[" ".join(rng.choice([*worlds[i % 2], "the", "and"], 8)) for i in range(n)]]


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_neighbours_come_from_the_same_world(model):
    text = Text.read(two_worlds(200), 5)
    training = Word2Vec(text, size=10, model=model, epochs=4, batch_size=64, sample=0.1)
    losses = [training.one_step()[0] for _ in range(training.steps)]
    assert losses[-1] < losses[0]
    vectors = WordVectors(text.words, training.v)
    animals = {"dog", "horse", "cow", "sheep"}
    assert {word for word, _ in vectors.nearest("cat", 4)} == animals
    assert vectors.analogy("one", "two", "cat", 1)[0][0] in animals


def test_pairs_lie_in_the_window_and_in_the_sentence():
    text = Text.read([["a b c d e f", "g h"]], 1)
    training = Word2Vec(text, window=2, sample=0, batch_size=3)
    found = set()
    for seed in range(20):
        for read, told in training.batches(text.ids, text.sentence, np.random.default_rng(seed)):
            assert len(told) <= 3
            found |= {(text.words[i], text.words[j]) for i, j in zip(read[:, 0], told, strict=True)}
    line = "abcdef"
    assert found == {(a, b) for a in line for b in line if 0 < abs(ord(a) - ord(b)) <= 2} | {("g", "h"), ("h", "g")}
    cbow = Word2Vec(text, model="cbow", window=2, sample=0)
    for read, told in cbow.batches(text.ids, text.sentence, np.random.default_rng(0)):
        assert sorted(text.words[i] for i in told) == list("abcdefgh")
        assert read.shape == (8, 4)


def test_frequent_words_are_skipped():
    text = Text.read([["the " * 900 + "cat dog " * 50]], 1)
    kept = Word2Vec(text, sample=0.01).kept
    assert kept[0] == pytest.approx(np.sqrt(0.01 / 0.9) + 0.01 / 0.9)
    assert Word2Vec(text, sample=0).kept.min() == 1
    assert words_of("The Cat's 3 U.N. lists, -- e.g. x_1!") == ["the", "cat", "'s", "u.n.", "lists", "e.g.", "x_1"]


def test_a_seed_gives_one_table():
    def trained(seed):
        training = Word2Vec(Text.read(two_worlds(40), 1), size=4, epochs=2, seed=seed)
        while training.step < training.steps:
            training.one_step()
        return training.v

    np.testing.assert_array_equal(trained(1), trained(1))
    assert np.abs(trained(1) - trained(2)).max() > 0


# --------------------------------------------------------------------------------------------------------- files


def test_files_go_there_and_back(tmp_path):
    rng = np.random.default_rng(0)
    vectors = WordVectors(["the", "naïve", "New York"], rng.standard_normal((3, 4)))
    vectors.save(tmp_path / "v.txt")
    assert (tmp_path / "v.txt").read_text(encoding="utf-8").startswith("3 4\nthe ")
    again = WordVectors.load(tmp_path / "v.txt")
    assert again.words == vectors.words
    np.testing.assert_allclose(again.table, vectors.table, rtol=1e-5)
    (tmp_path / "glove.txt").write_text("the 1 2\ncat 3 4e-1\nthe 5 6\n")
    glove = WordVectors.load(tmp_path / "glove.txt")
    assert glove.words == ["the", "cat"]
    assert glove["The"].tolist() == [1, 2]
    assert len(glove) == 2
    assert glove.nearest("cat", 5)[0][0] == "the"


BROKEN = {
    "2 3\nthe 1 2 3\n": "1 word with a vector; its first line promises 2: the file is cut off",
    "the 1 2\ncat 1\n": ":2: expected a word and 2 numbers, got cat, 1",
    "the 1 2\ncat 1 x\n": ":2: expected 2 numbers after the word, got 1, x",
    "the 1 nan\n": ":1: holds NaN or infinity",
    "": "0 words with a vector; one line per word is expected",
    "the\n": ":1: expected a word and its numbers, got the",
    "a\0b 1 2\n": "zero byte",
}


@pytest.mark.parametrize("content", BROKEN)
def test_broken_files(content, tmp_path):
    (tmp_path / "v.txt").write_text(content)
    with pytest.raises(BadInput, match=BROKEN[content]):
        WordVectors.load(tmp_path / "v.txt")


def test_unknown_words_get_a_hint():
    vectors = WordVectors(["house", "tree"], np.eye(2))
    with pytest.raises(BadInput, match=r"'hause' is not among the 2 words with a vector; did you mean house\?"):
        vectors.nearest("hause")


# ------------------------------------------------------------------------------------------------------- command


def test_the_command_trains_and_answers(tmp_path, capsys):
    (tmp_path / "c.txt").write_text("\n".join(two_worlds(200)[0]))
    folder = str(tmp_path / "run")
    train = ["vectors", "--corpus", str(tmp_path / "c.txt"), "--output", folder, "--size", "8", "--epochs", "1"]
    assert cli.main(train) == 0
    out = capsys.readouterr().out
    assert "skipgram, 12 words x 8 numbers, twice" in out
    assert "loss of a model that knows nothing: 4.159" in out
    files = ["metrics.jsonl", "neighbours.png", "training.safetensors", "vectors.txt"]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == files
    picture = str(tmp_path / "n.png")
    assert cli.main(["vectors", "--vectors", folder, "--nearest", "cat", "two", "--number", "3", "--picture", picture]) == 0
    assert capsys.readouterr().out.startswith("cat: ")
    assert (tmp_path / "n.png").read_bytes()[:4] == b"\x89PNG"
    assert cli.main(["vectors", "--vectors", f"{folder}/vectors.txt", "--analogy", "one", "two", "cat"]) == 0
    assert "one is to two as cat is to" in capsys.readouterr().out
    assert cli.main(train) == 2
    assert "holds a run already: use --resume, --overwrite or another --output" in capsys.readouterr().err
    before = (tmp_path / "run" / "vectors.txt").read_bytes()
    assert cli.main([*train, "--overwrite"]) == 0
    assert (tmp_path / "run" / "vectors.txt").read_bytes() == before


MISTAKES = {
    "--vectors nowhere.txt --nearest cat": "nowhere.txt: no such file",
    "--picture a.png": "--picture goes with --nearest WORD",
    "--model glove --output x": "--model must be skipgram or cbow, not 'glove'",
    "--window 0 --output x": "--window must be from 1 to 100000, not 0",
    "--lr -1 --output x": "--lr must be from 1e-12 to 10",
    "--corpus nowhere.txt --output x": "nowhere.txt: no such file",
    "--corpus empty.txt --output x": "empty.txt: no two words occur 5 times; give more text or --min-count 1",
    "--resume --output x": "nothing to resume",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_one_line(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n")
    assert cli.main(["vectors", *words.split()]) == 2
    assert MISTAKES[words] in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_ctrl_c_and_resume_give_the_same_vectors(tmp_path, monkeypatch, capsys):
    """A real signal in the middle; the run goes on bit for bit."""
    (tmp_path / "c.txt").write_text("\n".join(two_worlds(3000)[0]))
    train = ["vectors", "--corpus", str(tmp_path / "c.txt"), "--size", "8", "--epochs", "4", "--batch-size", "64", "--output"]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert cli.main([*train, str(whole)]) == 0
    step = Word2Vec.one_step

    def one_step(self):
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    monkeypatch.setattr(Word2Vec, "one_step", one_step)
    assert cli.main([*train, str(halves)]) == 130
    assert f"stopped at 50%; minitorch vectors --resume --output {halves} continues from there" in capsys.readouterr().out
    assert not (halves / "vectors.txt").exists()
    resume = ["vectors", "--resume", "--output", str(halves)]
    assert cli.main([*resume, "--size", "9"]) == 2
    assert "that run has --size 8" in capsys.readouterr().err
    text = (tmp_path / "c.txt").read_text()
    (tmp_path / "c.txt").write_text(text + "more\n")
    assert cli.main(resume) == 2
    assert "that run learnt from another text" in capsys.readouterr().err
    (tmp_path / "c.txt").write_text(text)
    assert cli.main(resume) == 0
    assert "continuing at 50%" in capsys.readouterr().out
    assert (halves / "vectors.txt").read_bytes() == (whole / "vectors.txt").read_bytes()


def test_a_damaged_state_is_refused(tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "training.safetensors").write_bytes(b"\x00" * 100)
    assert cli.main(["vectors", "--resume", "--output", str(folder)]) == 2
    minitorch.save({"step": 1}, folder / "training.safetensors")
    assert cli.main(["vectors", "--resume", "--output", str(folder)]) == 2
    assert "not the state of a run of minitorch vectors" in capsys.readouterr().err
