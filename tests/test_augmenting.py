"""Augmentation: EDA's edits, word dropout, a masked LM's words; what they depend on; resume; mistakes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitorch
from models import bert, cli
from models.augmenting import eda
from models.augmenting.masked_lm import Guesses
from models.augmenting.synonyms import Fitting
from models.augmenting.word_dropout import hidden
from models.bert.neighbours import Neighbours
from models.errors import BadInput
from models.finetuning.run import Run
from models.text.typos import like
from models.text.wordlist import Wordlist
from tests import finetune_cases as cases

texts = st.lists(
    st.sampled_from(["Film,", "a", "the", "it's", "2nd", "(good)", "film", "!", "bad"]), min_size=1, max_size=30
).map(" ".join)
GROUPS = {"film": ["movie", "picture"], "good": ["fine"], "bad": ["poor"], "a": ["one"]}


def synonyms(word):
    """Of a small list, in the case of the word."""
    return [like(word, other) for other in GROUPS.get(word.lower(), [])]


def test_how_many_words_and_which_edits():
    """α = .1 of 3, 12, 25 words: 1, 1, 2. Nine copies are cut from three of each of the four edits."""
    assert [eda.edits(n, 0.1) for n in (3, 12, 25)] == [1, 1, 2]
    kinds = eda.kinds_of(9, np.random.default_rng(0))
    assert len(kinds) == 9
    assert all(kinds.count(kind) <= 3 for kind in eda.KINDS)
    assert {len(eda.kinds_of(n, np.random.default_rng(n))) for n in (1, 4, 16)} == {1, 4, 16}
    every = [kind for seed in range(40) for kind in eda.kinds_of(1, np.random.default_rng(seed))]
    assert set(every) == set(eda.KINDS)


@given(texts, st.sampled_from(eda.KINDS), st.integers(0, 1000), st.floats(0.05, 0.9))
def test_edits_keep_their_promises(text, kind, seed, α):
    """Never empty; swaps keep the words, deletions their order; nothing is stripped; the same seed gives the same."""
    words = text.split()
    copy = eda.edited(text, kind, synonyms, np.random.default_rng(seed), α)
    new = copy.split()
    assert copy == eda.edited(text, kind, synonyms, np.random.default_rng(seed), α)
    n = eda.edits(len(words), α)
    if kind == "RS":
        assert sorted(new) == sorted(words)
        assert n > 1 or len(set(words)) == 1 or new != words
    if kind == "RD":
        rest = iter(words)
        assert new
        assert all(word in rest for word in new)
    if kind == "SR":
        changed = {a: b for a, b in zip(words, new, strict=True) if a != b}
        assert len({eda.core(word) for word in changed}) <= n
        assert all(new[i] == changed[word] for i, word in enumerate(words) if word in changed), "every occurrence"
    if kind == "RI":
        added = len(new) - len(words)
        assert added == (n if any(eda.core(w).lower() in ("film", "good", "bad") for w in words) else 0)


def test_stop_words_stay_and_punctuation_goes_along():
    """a is in the list, but says nothing; the comma and the capital stay."""
    rng = np.random.default_rng(0)
    copy = eda.edited("A Film, a film", "SR", synonyms, rng, 0.9)
    assert copy in {f"A {x}, a {y}" for x in ("Movie", "Picture") for y in ("movie", "picture")}
    assert eda.edited("a the it's", "SR", synonyms, rng) == "a the it's"


def test_words_that_fit_a_label():
    """Seen as often in the label's texts as in others; unseen ones fit; without classes all fit."""
    fitting = Fitting(lambda word: ["good", "bad", "new"], ["good film", "good", "bad plot", "Bad good"], ["p", "p", "n", "n"])
    assert fitting("fine", "p") == ["good", "new"]
    assert fitting("fine", "n") == ["bad", "new"]
    assert fitting("fine", None) == ["good", "bad", "new"]


def test_neighbours_by_the_cosine(tmp_path):
    """Whole words alone, the nearest first, in the word's case."""
    tokenizer, model = bert.load(cases.checkpoint(tmp_path))
    with minitorch.no_grad():
        table = model.bert.embeddings.word_embeddings.weight
        for word, mixed in (("great", 0.1), ("fine", 0.3)):
            table[tokenizer.vocabulary[word]] = table[tokenizer.vocabulary["good"]] + mixed * table[tokenizer.vocabulary["sad"]]
    near = Neighbours(model, tokenizer, least=0.7)
    assert near("Good")[:2] == ["Great", "Fine"]
    assert near("GOOD")[0] == "GREAT"
    assert near("goodish") == []
    assert all(len(word) > 2 and "#" not in word for word in near("film"))


def test_a_wordlist(tmp_path):
    """Tabs, commas, semicolons, or spaces; groups of a word add up; comments; capitals; a byte-order mark."""
    path = tmp_path / "words.txt"
    path.write_bytes("\ufefffilm, motion picture\r\n# big, small\nfilm\tmovie\n\nbig large huge\nalone\n".encode())
    words = Wordlist(path)
    assert words("Film") == ["Motion picture", "Movie"]
    assert words("huge") == ["big", "large"]
    assert words("alone") == words("small") == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "a wordlist has lines of two or more words"),
        (b"alone\n# film, movie\n", "a wordlist has lines of two or more words"),
        ("größer, weiter\n".encode("latin-1"), "not a UTF-8 text"),
        ("film, movie\n".encode("utf-16"), "not a UTF-8 text"),
        (b"film, movie\nbig,\0\n", "words.txt:2: a NUL byte"),
        (None, "no such file"),
    ],
)
def test_bad_wordlists_are_one_line(tmp_path, capsys, content, says):
    """Before anything is trained or written."""
    s, path = cases.settings("classify", tmp_path), tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    out = tmp_path / "new"
    arguments = ["--train", s.train, "--model", s.model, "--output", str(out), "--augment", "eda", "--wordlist", str(path)]
    assert cli.main(["finetune", "classify", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_word_dropout_hides_whole_words(tmp_path):
    """All pieces of a word or none; special tokens and marks stay; about α of the words."""
    tokenizer, _ = bert.load(cases.checkpoint(tmp_path))
    (ids,) = tokenizer.encode_lines(["good xyz film " * 500])
    ids = [tokenizer.cls_id, *ids, tokenizer.sep_id]
    keep = {tokenizer.cls_id, tokenizer.sep_id, tokenizer.vocabulary["film"]}
    new = hidden(ids, tokenizer, keep, np.random.default_rng(0), 0.3)
    assert len(new) == len(ids)
    assert (new[0], new[-1]) == (ids[0], ids[-1])
    words = [tuple(new[k : k + 5]) for k in range(1, len(new) - 1, 5)]
    mask = tokenizer.mask_id
    assert {word[-1] for word in words} == {tokenizer.vocabulary["film"]}
    assert {sum(i == mask for i in word[1:4]) for word in words} == {0, 3}
    assert 0.25 < np.mean([word[0] == mask for word in words]) < 0.35


def test_a_masked_lms_words(tmp_path):
    """Drawn from what the model puts there; whole words that fit the label; a synonym or nothing where it has none."""
    folder = cases.checkpoint(tmp_path)
    tokenizer, model = bert.load(folder)
    with minitorch.no_grad():  # it puts "film" and "good" everywhere, with 3 : 1
        bias = model.cls.predictions.decoder.bias
        bias.fill_(-20.0)
        bias[tokenizer.vocabulary["film"]], bias[tokenizer.vocabulary["good"]] = float(np.log(3)), 0.0
        bias[tokenizer.vocabulary["##x"]] = 5.0
    model.save_pretrained(tmp_path / "sure")
    tokenizer.save_pretrained(tmp_path / "sure")
    fitting = Fitting(lambda word: ["poor"] if word == "bad" else [], ["a film", "good film", "bad film"], ["n", "p", "n"])
    guesses = Guesses(str(tmp_path / "sure"), fitting, share=0.99)
    rng = np.random.default_rng(0)
    copies = [guesses("Sad, it's sad .", "p", rng) for _ in range(200)]
    assert {copy[:4].lower() for copy in copies} <= {"film", "good", "sad,"}
    assert all(copy.count(",") == 1 and copy.endswith(" .") for copy in copies)
    drawn = np.mean([copy.startswith("Film") for copy in copies if not copy.startswith("Sad")])
    p = guesses.guess(*[guesses.tokenizer.encode_lines(["sad"], special=False)], [0], 62)[0]
    film, good = (p[tokenizer.vocabulary[word]] for word in ("film", "good"))
    assert abs(drawn - film / (film + good)) < 0.12
    assert "good" not in " ".join(guesses("sad sad sad", "n", rng) for _ in range(20)), "which speaks for p"
    fitting.fits = lambda word, label: False
    fitting.source = lambda word: []
    assert guesses("film good", "p", rng) in ("", "film", "good")


def copies(job, epoch, workers=None):
    """The ids of an epoch's features, the examples themselves first."""
    return [f.ids for f in job.trainer.augment(job.trainer.features, epoch)]


@pytest.mark.parametrize("method", ["eda", "dropout", "mlm"])
def test_copies_depend_on_seed_and_epoch_alone(tmp_path, method):
    """Not on batches or order; the examples themselves stay; another epoch has other copies."""
    options = {"augment": method, "augment_copies": 3, "augment_rate": 0.4}
    job = cases.run("classify", tmp_path, n=12, **options)
    n, whole = len(job.data.train), copies(job, 0)
    assert len(whole) == 4 * n
    assert whole[:n] == [f.ids for f in job.trainer.features[:n]]
    assert sum(a != b for a, b in zip(whole[n:], whole[:n] * 3, strict=True)) > 2 * n
    assert whole != copies(job, 1)
    backwards = [job.trainer.augment([f], 0)[0].ids for f in reversed(job.trainer.features)]
    assert backwards[::-1] == whole
    assert copies(cases.run("classify", tmp_path, n=12, batch_size=3, threads=2, **options), 0) == whole
    assert copies(cases.run("classify", tmp_path, n=12, seed=1, **options), 0) != whole


@pytest.mark.parametrize("method", ["eda", "mlm"])
def test_a_resumed_run_is_bit_equal(tmp_path, method):
    """Stopped in the middle of the second epoch."""
    whole = cases.run("classify", tmp_path, n=16, augment=method, augment_copies=2, save_every=1, dropout=0.1, threads=2)
    whole.train()
    s = cases.settings("classify", tmp_path, n=16, augment=method, augment_copies=2, save_every=1, dropout=0.1, threads=2)
    s.output = str(tmp_path / "half")
    cases.stop_at(Run(s, say=lambda text: None), 9)
    half = Run(s, say=lambda text: None)
    half.load_state()
    half.train()
    assert half.trainer.metrics == whole.trainer.metrics
    for name, value in whole.model.state_dict().items():
        assert (half.model.state_dict()[name].numpy() == value.numpy()).all(), name


@pytest.mark.parametrize("task", ["tag", "qa", "choice", "relation"])
def test_word_dropout_suits_every_task_and_the_others_say_why_not(tmp_path, task):
    """Labels stay where they are, because no piece comes or goes."""
    job = cases.run(task, tmp_path, n=16, augment="dropout", augment_rate=0.5, epochs=1)
    before, after = job.trainer.features, job.trainer.augment(job.trainer.features, 0)
    n = len(before) // 2
    assert [f.size for f in after] == [f.size for f in before]
    assert [f.target for f in after] == [f.target for f in before]
    shown = [f.extra if task == "choice" else f.ids for f in after]
    assert shown[n:] != shown[:n]
    job.train()
    for method in ("eda", "mlm"):
        with pytest.raises(BadInput, match=f"--augment {method} changes words, and with them the right answers of {task}"):
            cases.run(task, tmp_path, n=16, augment=method)


def test_pairs_and_checkpoints_without_a_head_are_refused(tmp_path):
    """The label of a pair is about both texts; a random head would guess at random."""
    path = tmp_path / "pairs.tsv"
    path.write_text("text\ttext2\tlabel\n" + "a film\tthe film\tyes\na film\tthe end\tno\n" * 4)
    with pytest.raises(BadInput, match="the right answers of pairs of texts"):
        cases.run("classify", tmp_path, train=str(path), dev=str(path), augment="eda")
    tokenizer, model = bert.load(cases.checkpoint(tmp_path / "whole"))
    bert.BertModel(model.config).save_pretrained(tmp_path / "headless")
    tokenizer.save_pretrained(tmp_path / "headless")
    with pytest.raises(BadInput, match="holds no masked-LM head"):
        cases.run("classify", tmp_path, model=str(tmp_path / "headless"), augment="mlm")
    cases.run("classify", tmp_path, model=str(tmp_path / "headless"), augment="eda")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--augment", "edda"], "no such method; did you mean eda?"),
        (["--augment", "eda", "--augment-copies", "0"], "--augment-copies must be from 1 to 1000, not 0"),
        (["--augment", "eda", "--augment-rate", "1.5"], "--augment-rate, a share of the words, must be between 0 and 1, not 1.5"),
        (["--augment", "dropout", "--wordlist", "x"], "--augment dropout only hides words"),
        (["--wordlist", "x"], "--wordlist is a setting of --augment METHOD, which is not given"),
        (["--augment-copies", "3"], "--augment-copies is a setting of --augment METHOD"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, options, says):
    """Status 2."""
    s = cases.settings("classify", tmp_path)
    assert (
        cli.main(["finetune", "classify", "--train", s.train, "--model", s.model, "--output", str(tmp_path / "new"), *options])
        == 2
    )
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
