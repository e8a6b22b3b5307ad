"""The small networks of models/classical: the CRF against enumeration of all paths, what the networks learn and promise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitorch
from minitorch.tools.gradcheck import gradcheck
from models.classical.convolution import ConvolutionalClassifier, TextCNN
from models.classical.crf import CRF, legal
from models.classical.lstm import BiLSTM, LstmClassifier
from models.classical.lstm_crf import LstmCrfTagger
from models.classical.neural import Vocabulary, padded

# ----------------------------------------------------------------------------------------------------------- CRF


def random_crf(tags, seed, allowed=None):
    crf = CRF(tags, allowed).double()
    rng = np.random.default_rng(seed)
    with minitorch.no_grad():
        for p in crf.parameters():
            p.copy_(minitorch.tensor(rng.standard_normal(p.shape)))
    return crf


def enumerated(crf, e, n):
    """(path, s(x, y)) of all Kᵀ paths of the first n words."""
    start, between, end = (x.detach().numpy() for x in crf.transitions())
    for path in itertools.product(range(crf.tags), repeat=n):
        moves = sum(between[a, b] for a, b in itertools.pairwise(path))
        yield path, start[path[0]] + sum(e[t, k] for t, k in enumerate(path)) + moves + end[path[-1]]


@settings(max_examples=25, deadline=None)
@given(tags=st.integers(1, 4), lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_the_crf_equals_enumeration(tags, lengths, seed):
    """Log-likelihood, best path and marginals, of sequences of different lengths in one batch."""
    crf, rng, lengths = random_crf(tags, seed), np.random.default_rng(seed), np.array(lengths)
    e = rng.standard_normal((len(lengths), max(lengths), tags))
    gold = rng.integers(0, tags, e.shape[:2])
    x = minitorch.tensor(e)
    likelihood = crf.log_likelihood(x, gold, lengths).detach().numpy()
    decoded, marginals = crf.decode(x, lengths), crf.marginals(x, lengths)
    for i, n in enumerate(lengths):
        paths = dict(enumerated(crf, e[i], n))
        log_z = math.log(sum(map(math.exp, paths.values())))
        assert likelihood[i] == pytest.approx(paths[tuple(gold[i, :n])] - log_z)
        assert paths[tuple(decoded[i])] == pytest.approx(max(paths.values()))
        for t, k in itertools.product(range(n), range(tags)):
            p = sum(math.exp(s - log_z) for path, s in paths.items() if path[t] == k)
            assert marginals[i, t, k] == pytest.approx(p)
        assert not marginals[i, n:].any()


def test_the_gradient_of_the_crf():
    crf = random_crf(3, 0)
    gold, lengths = np.array([[0, 2, 1, 0], [1, 1, 0, 0]]), np.array([4, 2])
    x = minitorch.randn(2, 4, 3, dtype=minitorch.float64, requires_grad=True)
    assert gradcheck(lambda x, *_: crf.log_likelihood(x, gold, lengths), (x, *crf.parameters()))


LABELS = ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]


def moves(labels, sequences=()):
    start, between, end = legal(labels, sequences)
    pairs = {(a, b) for i, a in enumerate(labels) for j, b in enumerate(labels) if not between[i, j]}
    return (
        {label for label, ok in zip(labels, start, strict=True) if not ok},
        pairs,
        {label for label, ok in zip(labels, end, strict=True) if not ok},
    )


def test_illegal_transitions():
    start, between, end = moves(LABELS)
    assert start == {"I-LOC", "I-PER"}
    assert end == set()
    assert between == {
        (a, b) for b in ("I-LOC", "I-PER") for a in LABELS if a not in (b.replace("I", "B"), b)
    }  # fmt: skip
    start, between, end = moves(["B-X", "E-X", "I-X", "O", "S-X"])
    assert start == {"E-X", "I-X"}
    assert end == {"B-X", "I-X"}
    assert ("B-X", "O") in between
    assert ("B-X", "E-X") not in between
    assert ("S-X", "I-X") in between
    assert moves(["DET", "NOUN", "VERB"]) == (set(), set(), set())
    assert moves(LABELS, [["I-LOC", "O"], ["B-PER", "I-LOC"]])[0] == {"I-PER"}  # the file does it


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), n=st.integers(1, 6))
def test_illegal_paths_are_never_chosen(seed, n):
    crf, rng = random_crf(len(LABELS), seed, legal(LABELS)), np.random.default_rng(seed)
    x = minitorch.tensor(20 * rng.standard_normal((1, n, len(LABELS))))
    path = [LABELS[k] for k in crf.decode(x, np.array([n]))[0]]
    assert all(b[0] != "I" or a[1:] == b[1:] for a, b in itertools.pairwise(["O", *path]))
    p = crf.marginals(x, np.array([n]))[0]
    np.testing.assert_allclose(p.sum(1), 1)
    assert p[0, 2] == p[0, 3] == 0


# ------------------------------------------------------------------------------------------------------ networks

GOOD, BAD = ["good", "great", "fine", "lovely"], ["bad", "awful", "poor", "broken"]


def reviews(n, seed=0):
    """Texts whose one telling word decides, with "not" in front turning it round: "it was not good"."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(n):
        good, turned = rng.random() < 0.5, rng.random() < 0.3
        word = rng.choice(GOOD if good else BAD)
        filler = rng.choice(["the", "lamp", "a", "box", "it", "was", "so", "very", "I", "think"], rng.integers(2, 9)).tolist()
        at = rng.integers(0, len(filler) + 1)
        texts.append(" ".join([*filler[:at], *(["not"] if turned else []), word, *filler[at:]]))
        labels.append("pos" if good != turned else "neg")
    return texts, labels


SMALL = {"epochs": 6, "lr": 0.01, "width": 16}
CLASSIFIERS = {
    "CNN": lambda **more: ConvolutionalClassifier(**{**SMALL, "maps": 16, **more}),
    "LSTM": lambda **more: LstmClassifier(**{**SMALL, "hidden": 16, "dropout": 0.1, "lr": 0.03, **more}),
}


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_learns_the_order_of_words(kind):
    lines = []
    model = CLASSIFIERS[kind](progress=lines.append).fit(*reviews(400))
    texts, labels = reviews(100, seed=1)
    predicted = model.predict(texts)
    assert np.mean([a == b for a, b in zip(predicted, labels, strict=True)]) > 0.9  # words alone give 0.7
    p = model.predict_proba(texts)
    assert p.shape == (100, 2)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert model.classes == ["neg", "pos"]
    assert len(lines) == 6
    assert "epoch 6 of 6" in lines[-1]
    assert model.parameters == sum(p.numel() for p in model.model.parameters())
    for odd in ("", "?", "zzz " * 1000, "\x00"):
        assert model.predict([odd])[0] in ("neg", "pos")
    assert model.predict([]) == []


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_seed_gives_one_model_and_leaves_the_stream_alone(kind):
    data = reviews(60)
    minitorch.manual_seed(5)
    before = minitorch.get_rng_state()
    first, second, other = (CLASSIFIERS[kind](epochs=2, seed=seed).fit(*data).predict_proba(data[0]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0
    assert minitorch.get_rng_state() == before


@pytest.mark.parametrize("build", [lambda table: TextCNN(table, 2, (3, 4, 5), 4, 0.0), lambda table: BiLSTM(table, 2, 3, 0.0)])
def test_a_text_has_its_scores_in_whatever_batch(build):
    minitorch.manual_seed(0)
    model = build(minitorch.randn(9, 4)).eval()
    rows = [np.array([3, 4, 5, 6, 7, 8, 2]), np.array([5]), np.array([2, 3, 4, 5])]
    together = model(*padded(rows)).detach().numpy()
    for row, scores in zip(rows, together, strict=True):
        np.testing.assert_allclose(model(*padded([row])).detach().numpy()[0], scores, rtol=1e-5, atol=1e-6)


def test_few_examples_and_one_class():
    model = CLASSIFIERS["CNN"](epochs=1, lr=None).fit(["a b", "c"], ["x", "x"])
    assert model.predict(["d"]) == ["x"]
    assert model.lr == 1e-3  # the first of its rates
    with pytest.raises(TypeError, match="has no setting 'depth'"):
        ConvolutionalClassifier(depth=3)


def test_the_epoch_that_is_best_on_other_examples_is_kept():
    lines: list[str] = []
    texts, labels = reviews(60)
    turned = [{"neg": "pos", "pos": "neg"}[label] for label in labels]  # the less it has learnt, the better it is there
    model = CLASSIFIERS["CNN"](progress=lines.append).fit(texts, labels, (texts, turned))
    scores = [float(line.rpartition(" ")[2]) for line in lines]
    assert len(scores) == 6
    right = np.mean([a == b for a, b in zip(model.predict(texts), turned, strict=True)])
    assert right == pytest.approx(max(scores), abs=1e-3)
    assert max(scores) > scores[-1]


class Vectors:
    """What models/classical/word_vectors.py gives: words with their rows."""

    def __init__(self):
        self.words, self.size = ["good", "unseen"], 3
        self.table = np.array([[1.0, 2.0, 3.0], [-1.0, 0.0, 1.0]])

    def __contains__(self, word):
        return word in self.words

    def __getitem__(self, word):
        return self.table[self.words.index(word)]


def test_words_start_from_vectors():
    vocabulary = Vocabulary([["good", "odd", "odd", "once"]], vectors=Vectors())
    assert set(vocabulary.ids) == {"good", "odd", "unseen"}
    table = vocabulary.table(100, Vectors()).numpy()
    assert table.shape == (5, 3)
    assert not table[0].any()
    good = table[vocabulary.ids["good"]]
    np.testing.assert_allclose(good / good[0], [1, 2, 3], rtol=1e-5)
    assert vocabulary.encode(["good", "once"]).tolist() == [vocabulary.ids["good"], 1]


def sentences(n, seed=0):
    """Capitalised words of two kinds, told apart by the word before: "Mr Abc Def" is a person, "in Abc" a place."""
    rng = np.random.default_rng(seed)

    def name():
        return "".join(rng.choice(list("abcdefgh"), 5)).capitalize()

    words, tags = [], []
    for _ in range(n):
        w, t = [], []
        for _ in range(rng.integers(1, 4)):
            filler = rng.choice(["the", "man", "saw", "a", "dog"], rng.integers(1, 3)).tolist()
            kind, size = ("PER", rng.integers(1, 3)) if rng.random() < 0.5 else ("LOC", 1)
            w += [*filler, "Mr" if kind == "PER" else "in", *(name() for _ in range(size))]
            t += ["O"] * (len(filler) + 1) + [f"B-{kind}"] + [f"I-{kind}"] * (size - 1)
        words.append(w)
        tags.append(t)
    return words, tags


def test_the_tagger_reads_letters_and_neighbours():
    """No name of the test was seen in training."""
    tagger = LstmCrfTagger(epochs=4, lr=0.03, width=16, hidden=16, dropout=0.1).fit(*sentences(120))
    words, tags = sentences(40, seed=1)
    predicted = tagger.predict(words)
    pairs = [(a, b) for s, p in zip(tags, predicted, strict=True) for a, b in zip(s, p, strict=True)]
    assert np.mean([a == b for a, b in pairs]) > 0.97
    assert all(b[0] != "I" or a[1:] == b[1:] for p in predicted for a, b in itertools.pairwise(["O", *p]))
    p = tagger.predict_proba(words[:2])
    assert [x.shape for x in p] == [(len(w), len(tagger.labels)) for w in words[:2]]
    np.testing.assert_allclose(p[0].sum(1), 1, rtol=1e-4)
    assert tagger.predict([[], ["\U0001f600", "x" * 500]])[0] == []
