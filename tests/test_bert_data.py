"""Text to batches: reading, ids on disk, masking, sentence pairs, and that a batch is a function of seed and step."""

import tracemalloc

import numpy as np
import pytest

from models.bert import Tokenizer
from models.bert.data import Blocks, Pairs, mask_tokens, sentence_pairs
from models.text import corpus, python_docs
from models.text.corpus import Corpus, read_documents, read_lines
from models.text.tokenizer import SPECIAL

WORDS = [f"w{i}" for i in range(40)]
PIECES = ["##a", "##b", "##c"]
TOKENIZER = Tokenizer({token: i for i, token in enumerate([*SPECIAL, *WORDS, *PIECES])})


def documents(rng, count=30, sentences=8):
    return [[" ".join(rng.choice(WORDS, rng.integers(3, 9))) for _ in range(sentences)] for _ in range(count)]


@pytest.fixture
def text(tmp_path):
    return Corpus.write(documents(np.random.default_rng(0)), TOKENIZER, tmp_path / "text")


# ------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("unit", ["的人", "สวัสดีครับ", "的人是\u3000", "\U0001f600", "é", "a", "word\u2003\xa0", "ab "])
@pytest.mark.parametrize("ahead", range(4))
def test_a_long_line_is_cut_between_characters(unit, ahead, tmp_path):
    """Wherever the 65,536th byte of the line falls; and at a space of any script if it has one."""
    text = ("x" * ahead + unit * (110_000 // len(unit.encode()))).strip()
    (tmp_path / "long.txt").write_text(f"first\n{text}\nlast", encoding="utf-8")
    first, *parts, last = read_lines(tmp_path / "long.txt")
    assert (first, last) == ("first", "last")
    assert len(parts) == 2
    assert "".join("".join(parts).split()) == "".join(text.split())
    if unit != unit.strip():
        assert " ".join(parts).split() == text.split()
    assert list(read_lines(tmp_path / "long.txt", longest=-1)) == ["first", text, "last"]


def test_a_fault_in_a_long_line_has_its_place_in_the_line(tmp_path):
    (tmp_path / "long.txt").write_bytes(b"first\n" + "的".encode() * 30_000 + b"\xe9 x\n")
    with pytest.raises(ValueError, match=r"long.txt:2: not UTF-8 \(invalid continuation byte at byte 90000 of the line\)"):
        list(read_lines(tmp_path / "long.txt"))


def test_lines_are_sentences_and_blank_lines_end_documents(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffÉin Satz.\r\nZwei.\n\n \t\nDrei.".encode())
    (tmp_path / "b.txt").write_text("\n\nFour.\n\n")
    assert list(read_documents([tmp_path / "a.txt", tmp_path / "b.txt"])) == [["Éin Satz.", "Zwei."], ["Drei."], ["Four."]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fine\n\x00\x01\x02\n", r"bad.txt:2: holds a zero byte, so this is a binary file"),
        ("fine\n\nna\u00efve\n".encode("latin-1"), r"bad.txt:3: not UTF-8 \(.* at byte 2 of the line\).* iconv -f LATIN1"),
        ("text\n".encode("utf-16"), r"bad.txt:1: "),
        (b"\x89PNG\r\n\x1a\n", r"bad.txt:1: not UTF-8"),
    ],
)
def test_what_is_no_utf8_text_is_named_with_its_line(content, message, tmp_path):
    (tmp_path / "bad.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(read_documents([tmp_path / "bad.txt"]))


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.txt: no such file"):
        list(read_documents([tmp_path / "absent.txt"]))
    with pytest.raises(ValueError, match="a folder, not a text file"):
        list(read_documents([tmp_path]))
    with pytest.raises(ValueError, match="/dev/null: not an ordinary file; it is read several times"):
        list(read_documents(["/dev/null"]))


def test_a_text_without_line_ends_is_cut_at_spaces(tmp_path):
    words = " ".join(["naïve"] * 40_000)
    (tmp_path / "long.txt").write_text(words, encoding="utf-8")
    found = list(read_documents([tmp_path / "long.txt"]))
    assert " ".join(line for document in found for line in document) == words
    assert len(found) > 1


def test_memory_does_not_grow_with_the_file(tmp_path):
    sentence = (" ".join(WORDS[:20]) + "\n").encode()
    peaks = []
    for times in (10, 40):  # no blank line: one document of 0.35 and 1.4 MB
        with open(tmp_path / "large.txt", "wb") as file:
            for _ in range(times):
                file.write(sentence * 500)
        tracemalloc.start()
        whole = Corpus.write(read_documents([tmp_path / "large.txt"]), TOKENIZER, tmp_path / "large")
        Blocks(whole, TOKENIZER, 64, 8, seed=0).batch(3)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(whole.ids) == times * 500 * 20
    assert peaks[1] < peaks[0] + 16 * 15_000 + 50_000  # 15,000 sentences more: their index


def test_pairs_of_an_epoch_take_less_memory_than_the_text(tmp_path):
    whole = Corpus.write(documents(np.random.default_rng(0), 300), TOKENIZER, tmp_path / "text")
    assert sentence_pairs(whole, 128, np.random.default_rng(0)).nbytes < 4 * len(whole.ids)


# ---------------------------------------------------------------------------------------------------- ids on disk


def test_ids_sentences_and_documents_come_back(tmp_path):
    written = Corpus.write([["w1 w2", "w3"], ["\x07"], ["w4 [MASK] w5", "\x07", "w6"]], TOKENIZER, tmp_path / "folder" / "x")
    again = Corpus.open(tmp_path / "folder" / "x")
    for found in (written, again):
        assert len(found) == 2  # what holds no token is left out
        rows = [[found.ids[a:b].tolist() for a, b in zip(bounds, bounds[1:])] for bounds in map(found.bounds, range(2))]  # noqa: RUF007
        unknown = TOKENIZER.unk_id
        assert rows == [[[6, 7], [8]], [[9, unknown, unknown, unknown, 10], [11]]]  # "[MASK]" in a corpus is letters


def test_an_interruption_leaves_nothing_that_is_trusted(tmp_path):
    path = tmp_path / "x"
    Corpus.write([["w1 w2"]], TOKENIZER, path)

    def interrupted():
        yield ["w3 w4 w5"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Corpus.write(interrupted(), TOKENIZER, path)
    with pytest.raises(ValueError, match=r"x\.npz: no index of a prepared text"):
        Corpus.open(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.ids"]


def test_ids_and_index_must_agree(text, tmp_path):
    (tmp_path / "text.ids").write_bytes((tmp_path / "text.ids").read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"text\.ids: holds \d+ ids, its index says \d+; delete its folder"):
        Corpus.open(tmp_path / "text")
    (tmp_path / "text.npz").write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(ValueError, match=r"text\.npz: no index of a prepared text"):
        Corpus.open(tmp_path / "text")


def test_unigram_entropy(tmp_path):
    a = Corpus.write([["w0 w0 w1 w1"]], TOKENIZER, tmp_path / "a")
    assert a.unigram_entropy() == pytest.approx(np.log(2))
    b = Corpus.write([["w0 w0 w0"]], TOKENIZER, tmp_path / "b")
    assert b.unigram_entropy(a, 7) == pytest.approx(-np.log((2 + 1) / (4 + 7)))  # counts plus one for each of the ids 0 to 6


# --------------------------------------------------------------------------------------------------------- masking


def rows(rng, B=400, S=102):
    ids = rng.integers(5, 45, (B, S))
    ids[:, 0], ids[:, -1] = TOKENIZER.cls_id, TOKENIZER.sep_id
    maskable = np.ones_like(ids, bool)
    maskable[:, [0, -1]] = False
    return ids, maskable


def test_masking_shares_are_80_10_10_and_counts_exact():
    rng = np.random.default_rng(0)
    ids, maskable = rows(rng)
    masked, labels = mask_tokens(ids, maskable, TOKENIZER, rng)
    chosen = labels != -100
    assert (chosen.sum(1) == 15).all()  # round(.15 * 102)
    assert not chosen[~maskable].any()
    assert (labels[chosen] == ids[chosen]).all()
    assert (masked[~chosen] == ids[~chosen]).all()
    as_mask = (masked == TOKENIZER.mask_id)[chosen].mean()
    kept = (masked == ids)[chosen].mean()
    n = chosen.sum()  # 6,000: three standard deviations are 1.6 and 1.2 percent
    assert abs(as_mask - 0.8 - 0.1 / len(TOKENIZER)) < 3 * (0.16 / n) ** 0.5
    assert abs(kept - 0.1 - 0.1 / len(TOKENIZER)) < 3 * (0.09 / n) ** 0.5
    random = masked[chosen & (masked != ids) & (masked != TOKENIZER.mask_id)]
    assert set(random.tolist()) == set(range(len(TOKENIZER))) - {TOKENIZER.mask_id}  # any token, special ones too
    assert abs(np.bincount(chosen.argmax(1)).argmax() - 1) < 3  # places are uniform: the first chosen one is near the start


@pytest.mark.parametrize(("n", "most", "expected"), [(3, None, 1), (10, None, 2), (20, None, 3), (30, None, 4), (102, 5, 5)])
def test_how_many_are_chosen(n, most, expected):
    rng = np.random.default_rng(0)
    ids, maskable = rows(rng, 5, n)
    _, labels = mask_tokens(ids, maskable, TOKENIZER, rng, max_predictions=most)
    assert ((labels != -100).sum(1) == expected).all()  # round(.15 n), half to even as Python does


def test_padding_is_neither_counted_nor_masked():
    rng = np.random.default_rng(0)
    ids, maskable = rows(rng, 50, 40)
    ids[:, 20:], maskable[:, 20:] = TOKENIZER.pad_id, False
    _, labels = mask_tokens(ids, maskable, TOKENIZER, rng)
    assert ((labels != -100).sum(1) == 3).all()
    assert (labels[:, 20:] == -100).all()


def test_whole_words_are_masked_together():
    rng = np.random.default_rng(0)
    a, b = TOKENIZER.vocabulary["##a"], TOKENIZER.vocabulary["##b"]
    ids = np.tile([TOKENIZER.cls_id, *[5, a, b, 6, 7, a] * 6, TOKENIZER.sep_id], (200, 1))
    _, maskable = rows(rng, 200, ids.shape[1])
    _, labels = mask_tokens(ids, maskable, TOKENIZER, rng, whole_word=True)
    chosen = labels != -100
    words = chosen[:, 1:-1].reshape(200, 6, 6)
    assert (words[..., 0] == words[..., 1]).all()
    assert (words[..., 1] == words[..., 2]).all()
    assert (words[..., 4] == words[..., 5]).all()
    assert (chosen.sum(1) <= 6).all()  # round(.15 * 38), and a word that would overshoot is skipped
    assert (chosen.sum(1) >= 5).all()
    assert words[..., 0].any()
    assert words[..., 3].any()


# -------------------------------------------------------------------------------------------------------- batches


def same(a, b):
    return all((a[name].array == b[name].array).all() if a[name].shape == b[name].shape else False for name in a)


@pytest.mark.parametrize("kind", [Blocks, Pairs])
@pytest.mark.parametrize("options", [{}, {"dynamic": False}, {"whole_word": True}])
def test_a_batch_depends_on_seed_and_step_alone(kind, options, text):
    one, two, other = (kind(text, TOKENIZER, 16, 4, seed, **options) for seed in (7, 7, 8))
    for step in (0, 1, 5, 40):
        first = one.batch(step)
        assert same(first, two.batch(step))
        assert not same(first, other.batch(step))
    assert same(one.batch(0), two.batch(0))  # after later ones


@pytest.mark.parametrize("kind", [Blocks, Pairs])
@pytest.mark.parametrize("dynamic", [True, False])
def test_static_masks_come_again_in_each_epoch_and_dynamic_ones_do_not(kind, dynamic, text):
    examples = kind(text, TOKENIZER, 16, 1, 7, dynamic=dynamic)

    def epoch(number):
        return {
            (tuple(batch["input_ids"].array[0].tolist()), tuple(batch["labels"].array[0].tolist()))
            for batch in map(examples.batch, range(number * examples.count, (number + 1) * examples.count))
        }

    first, second = epoch(0), epoch(1)
    assert len(first) == examples.count
    if dynamic:
        assert len(first & second) < 0.05 * examples.count
    else:
        assert first == second
        assert not same(examples.batch(0), examples.batch(examples.count))  # in another order


def test_blocks_are_the_text(text):
    blocks = Blocks(text, TOKENIZER, 16, 4, 0, dynamic=False)
    seen = {}
    for step in range(blocks.count):
        batch = blocks.batch(step)
        ids = np.where(batch["labels"].array == -100, batch["input_ids"].array, batch["labels"].array)
        for row in ids.tolist():
            assert (row[0], row[-1]) == (TOKENIZER.cls_id, TOKENIZER.sep_id)
            seen[tuple(row[1:-1])] = True
    assert set(seen) == {tuple(text.ids[i * 14 : (i + 1) * 14].tolist()) for i in range(len(text.ids) // 14)}


def test_a_text_shorter_than_a_block(tmp_path):
    short = Corpus.write([["w1 w2 w3"]], TOKENIZER, tmp_path / "x")
    batch = Blocks(short, TOKENIZER, 64, 2, 0).batch(0)
    assert batch["input_ids"].shape == (2, 5)
    assert ((batch["labels"].array != -100).sum(1) == 1).all()


def test_a_corpus_of_nothing(tmp_path):
    nothing = Corpus.write([["\x07"], []], TOKENIZER, tmp_path / "x")
    for kind in (Blocks, Pairs):
        with pytest.raises(ValueError, match="the corpus holds no word"):
            kind(nothing, TOKENIZER, 16, 4, 0)


# ---------------------------------------------------------------------------------------------------------- pairs


def document_of(whole, token):
    return int(np.searchsorted(whole.sentences[whole.documents], token, side="right")) - 1


def test_sentence_pairs_as_in_the_published_recipe(text):
    pairs = np.concatenate([sentence_pairs(text, 24, np.random.default_rng(seed)) for seed in range(20)])
    starts = set(text.sentences.tolist())
    follows = untouched = 0
    for a_start, a_end, b_start, b_end, is_random in pairs.tolist():
        assert a_end > a_start
        assert b_end > b_start
        assert a_end - a_start + b_end - b_start <= 21  # [CLS] A [SEP] B [SEP]
        assert document_of(text, a_start) == document_of(text, a_end - 1)
        assert (document_of(text, a_start) != document_of(text, b_start)) == is_random  # 30 documents: 10 tries always find one
        if not is_random:
            assert b_start >= a_end
            follows += b_start == a_end
        untouched += {a_start, a_end, b_start, b_end} <= starts
    label_1 = pairs[:, 4].mean()
    assert 0.5 < label_1 < 0.75  # a chunk of one sentence can have no true B
    assert follows > 0.5 * (pairs[:, 4] == 0).sum()  # all but those that were cut where A and B meet
    assert untouched > 0
    assert (pairs[:, 1] - pairs[:, 0] + pairs[:, 3] - pairs[:, 2] < 12).mean() > 0.02  # a tenth aims at a shorter length


def test_long_documents_give_labels_that_are_nearly_even(tmp_path):
    whole = Corpus.write(documents(np.random.default_rng(1), 20, 60), TOKENIZER, tmp_path / "x")
    pairs = np.concatenate([sentence_pairs(whole, 128, np.random.default_rng(seed), 0.0) for seed in range(10)])
    assert abs(pairs[:, 4].mean() - 0.5) < 0.06


def test_every_sentence_is_used_in_an_epoch(text):
    pairs = sentence_pairs(text, 512, np.random.default_rng(0), short_probability=0.0)  # long: nothing is cut
    seen = np.zeros(len(text.ids), int)
    for a_start, a_end, b_start, b_end, is_random in pairs.tolist():
        seen[a_start:a_end] += 1
        if not is_random:
            seen[b_start:b_end] += 1
    assert (seen == 1).all()  # what random B's displaced came back


def test_batches_of_pairs(text):
    batch = Pairs(text, TOKENIZER, 24, 8, 0).batch(3)
    ids = np.where(batch["labels"].array == -100, batch["input_ids"].array, batch["labels"].array)
    assert ids.shape[1] <= 24
    assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels", "next_sentence_label"}
    for row, types, mask in zip(ids, batch["token_type_ids"].array, batch["attention_mask"].array):
        n = int(mask.sum())
        first, second = np.flatnonzero(row[:n] == TOKENIZER.sep_id)
        assert row[0] == TOKENIZER.cls_id
        assert second == n - 1
        assert types.tolist() == [0] * (first + 1) + [1] * (n - first - 1) + [0] * (len(row) - n)
        assert (row[n:] == TOKENIZER.pad_id).all()
    assert set(batch["next_sentence_label"].tolist()) <= {0, 1}


@pytest.mark.parametrize("dynamic", [True, False])
def test_pairs_of_a_batch_are_about_as_long_in_every_epoch(text, dynamic):
    data = Pairs(text, TOKENIZER, 24, 4, 0, dynamic=dynamic)
    padding = mixed = 0.0
    for epoch in range(3):
        pairs = data.epoch(epoch)
        sizes = pairs[:, 1] - pairs[:, 0] + pairs[:, 3] - pairs[:, 2]
        begun = -epoch * data.count % 4
        groups = [sizes[i : i + 4] for i in range(begun, len(sizes) - 3, 4)]
        padding += sum(int((group.max() - group).sum()) for group in groups)
        shuffled = np.random.default_rng(0).permutation(sizes)
        mixed += sum(int((group.max() - group).sum()) for group in (shuffled[i : i + 4] for i in range(0, len(sizes) - 3, 4)))
    assert padding < 0.3 * mixed


def test_pairs_of_one_sentence_and_lengths_without_room(tmp_path):
    one = Corpus.write([["w1 w2 w3"]], TOKENIZER, tmp_path / "x")
    assert Pairs(one, TOKENIZER, 16, 2, 0).batch(0)["next_sentence_label"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="sentence pairs need a length of 5 at least"):
        Pairs(one, TOKENIZER, 4, 2, 0)
    assert Pairs(one, TOKENIZER, 5, 2, 0).batch(0)["input_ids"].shape == (2, 5)


# ------------------------------------------------------------------------------------- the installed documentation


def test_prose_is_what_is_kept_of_a_source_file():
    source = '''
def f(x):
    """Return the first of all the values that are given to it.

    This paragraph has two sentences in it. The second one of them
    ends on another line, and :class:`~a.Thing` is ``marked`` up.

        >>> f([1, 2, 3]) this is code and no prose at all, whatever it says.

    Too short.
    x : a parameter, which begins with a small letter and is left out here
    """
NAME = "Short strings are no documentation."
'''
    assert list(python_docs.prose(source)) == [
        "Return the first of all the values that are given to it.",
        "This paragraph has two sentences in it. The second one of them ends on another line, and a.Thing is marked up.",
    ]
    assert list(python_docs.prose("def f(:")) == []


def test_the_documentation_of_this_python(monkeypatch, tmp_path):
    folder = tmp_path / "json"
    folder.mkdir()
    text = "The same paragraph of documentation stands in two of the files. "
    text += "It is kept once, as two sentences of a file, and left out of the other."
    for name in ("a.py", "b.py", "test_c.py"):
        (folder / name).write_text(f'"""{text}"""\n')
    (folder / "broken.py").write_bytes(b"\xff\xfe")
    monkeypatch.setattr(python_docs, "source_folders", lambda _: [("python", folder)])
    found = list(python_docs.python_documentation())
    assert found == [("python/a.py", text.replace(". It", ".\nIt").split("\n"))]
    assert python_docs.fingerprint([s for _, s in found]) == python_docs.fingerprint(
        [s for _, s in python_docs.python_documentation()]
    )
    assert python_docs.fingerprint([["a", "b"]]) != python_docs.fingerprint([["a"], ["b"]])


def test_limits_are_small_enough_for_small_texts():
    assert corpus.LONGEST_LINE < corpus.LONGEST_DOCUMENT < 1 << 20


@pytest.mark.parametrize("options", [{}, {"dynamic": False}, {"whole_word": True}], ids=str)
@pytest.mark.parametrize("kind", [Blocks, Pairs])
def test_some_rows_of_a_batch_are_those_of_the_whole(text, kind, options):
    """What ranks share a batch by; also none of its rows."""
    data = kind(text, TOKENIZER, 12, 7, seed=3, probability=0.3, **options)
    for step in (0, 5):
        whole = data.batch(step)
        for first, stop in ((0, 3), (3, 7), (6, 7), (0, 0)):
            for name, value in data.batch(step, (first, stop)).items():
                np.testing.assert_array_equal(value.numpy(), whole[name][first:stop].numpy())
