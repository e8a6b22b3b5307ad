"""BertTokenizer, called as Hugging Face's: frozen examples, and theirs where transformers is installed."""

import itertools
import json
import os

import numpy as np
import pytest

import minitorch
from models.bert import BertTokenizer, BertTokenizerFast
from models.text.tokenizer import SPECIAL

PIECES = [*SPECIAL, "the", "cat", "sat", "un", "##want", "##ed", "cafe", "東", ",", "a", "##s"]
TEXTS = ["the cat sat", "unwanted café, 東 🙂", "", "a " * 30]


@pytest.fixture
def tokenizer():
    return BertTokenizer({piece: i for i, piece in enumerate(PIECES)})


def test_call(tokenizer):
    batch = tokenizer("the unwanted cat", max_length=8, padding="max_length", truncation=True, return_tensors="pt")
    assert isinstance(batch["input_ids"], minitorch.Tensor)
    assert batch.input_ids.tolist() == [[2, 5, 8, 9, 10, 6, 3, 0]]
    assert batch.attention_mask.tolist() == [[1] * 7 + [0]]
    assert batch.word_ids(0) == [None, 0, 1, 1, 1, 2, None, None]
    assert tokenizer(["the"], ["cat"])["token_type_ids"] == [[0, 0, 0, 1, 1]]
    assert tokenizer(["cats", "sat"], is_split_into_words=True).word_ids() == [None, 0, 0, 1, None]
    assert tokenizer("the cat", return_offsets_mapping=True)["offset_mapping"] == [(0, 0), (0, 3), (4, 7), (0, 0)]
    assert tokenizer.decode([2, 5, 6, 3]) == "[CLS] the cat [SEP]"
    assert tokenizer.decode([2, 5, 6, 3], skip_special_tokens=True) == "the cat"
    assert tokenizer.convert_ids_to_tokens([8, 9]) == ["un", "##want"]
    assert tokenizer.convert_tokens_to_ids(["cat", "dog"]) == [6, tokenizer.unk_token_id]
    assert tokenizer("the", "")["input_ids"] == [2, 5, 3]
    assert BertTokenizerFast is BertTokenizer


def test_refusals(tokenizer):
    with pytest.raises(ValueError, match="give padding=True"):
        tokenizer(["the", "the cat"], return_tensors="pt")
    with pytest.raises(ValueError, match='return_tensors is "pt"'):
        tokenizer("the", return_tensors="tf")
    with pytest.raises(ValueError, match="padding='longer' is unknown"):
        tokenizer("the", padding="longer")
    with pytest.raises(ValueError, match="no multiple of pad_to_multiple_of 8"):
        tokenizer("the", padding=True, truncation=True, max_length=20, pad_to_multiple_of=8)
    with pytest.raises(ValueError, match="stride 9 must be smaller"):
        tokenizer("the", truncation=True, max_length=8, stride=9)


@pytest.mark.parametrize("pairs", [False, True])
def test_as_hugging_face(tokenizer, tmp_path, pairs):
    transformers = pytest.importorskip("transformers")
    tokenizer.save_pretrained(tmp_path)
    theirs = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    options = itertools.product(
        (False, True, "longest", "max_length", "do_not_pad"),
        (None, False, True, "longest_first", "do_not_truncate"),
        (None, 12),
        (False, True),
    )
    seconds = TEXTS[::-1] if pairs else None
    for padding, truncation, most, overflow in options:
        keywords = {"padding": padding, "truncation": truncation, "max_length": most, "return_overflowing_tokens": overflow}
        keywords |= {"return_offsets_mapping": True, "return_special_tokens_mask": True}
        ours, other = (f(TEXTS, seconds, **keywords) for f in (tokenizer, theirs))
        assert dict(ours) == dict(other), keywords
        for i in range(len(ours["input_ids"])):
            assert ours.word_ids(i) == other.word_ids(i)
            assert ours.sequence_ids(i) == other.sequence_ids(i)
    a, b = (f(TEXTS, seconds, padding=True, return_tensors="np")["input_ids"] for f in (tokenizer, theirs))
    np.testing.assert_array_equal(a, b)


def test_stride_leaves_room_for_at_least_one_new_token():
    """stride < max_length less the special tokens that this call adds: 2 for a text, 3 for a pair."""
    pieces = [*SPECIAL, *"abcdefgh"]
    tokenizer = BertTokenizer({piece: i for i, piece in enumerate(pieces)})
    text = " ".join("abcdefgh")
    options = {"truncation": True, "max_length": 6, "return_overflowing_tokens": True}
    rows = tokenizer(text, stride=3, **options)["input_ids"]  # 4 tokens of text per row, one of them new
    assert [tokenizer.decode(row, skip_special_tokens=True) for row in rows[:2]] == ["a b c d", "b c d e"]
    with pytest.raises(ValueError, match="stride 4 must be smaller than max_length 6 less the 2 tokens"):
        tokenizer(text, stride=4, **options)
    with pytest.raises(ValueError, match="leave no room for new tokens"):
        tokenizer(text, text, stride=1, **{**options, "max_length": 5})
    with pytest.raises(ValueError, match="less the 3 tokens"):
        tokenizer(text, "a b", stride=3, **{**options, "truncation": "only_first"})


@pytest.fixture
def letters():
    return BertTokenizer({piece: i for i, piece in enumerate([*SPECIAL, *"abcdefgh"])})


def test_what_can_be_cut_is_cut(letters):
    """A stride matters where a text is cut, and only there."""
    options = {"truncation": True, "max_length": 6, "return_overflowing_tokens": True}
    assert letters("a b", stride=4, **options)["input_ids"] == [[2, 5, 6, 3]]  # nothing to cut
    with pytest.raises(ValueError, match="stride 5 must be smaller than max_length 6 less the 2 tokens"):
        letters("a b", stride=5, **options)
    rows = letters("a b c d e f", "g", stride=1, **options)["input_ids"]
    assert [letters.decode(row, skip_special_tokens=True) for row in rows] == ["a b g", "b c g", "c d g", "d e g", "e f g"]
    with pytest.raises(ValueError, match='"only_first" cannot shorten 1 tokens by the 4 that are too many'):
        letters("a", "a b c d e f", **{**options, "truncation": "only_first"})
    with pytest.raises(ValueError, match="needs second texts"):
        letters("a b c d e", **{**options, "truncation": "only_second"})


LONG = "a b c d e f g h"
WAYS = list(
    itertools.product(
        [("", None), ("a", None), (LONG, None), ("a", LONG), ("a b c", "a b c"), (["a b", "a"], ["a", "b c d"])],
        (None, 0, 1, 2, 3, 5, 8),
        (0, 1, 2, 3, 6),
        (True, None, "only_first", "only_second"),
        (False, "max_length"),
        (True, False),
    )
)  # fmt: skip


def test_calls_are_refused_where_hugging_face_refuses_them(letters, tmp_path):
    transformers = pytest.importorskip("transformers")
    letters.save_pretrained(tmp_path)
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    unseen = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)  # the library's Rust says there that it panics
    try:
        for (text, pair), most, stride, truncation, padding, special in WAYS:
            options = {"max_length": most, "stride": stride, "truncation": truncation, "padding": padding}
            options |= {"add_special_tokens": special, "return_overflowing_tokens": True, "return_offsets_mapping": True}
            try:
                expected = dict(theirs(text, pair, **options))
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException:  # a panic of Rust is no Exception
                with pytest.raises(ValueError):
                    letters(text, pair, **options)
            else:
                assert dict(letters(text, pair, **options)) == expected, (text, pair, options)
    finally:
        os.dup2(unseen, 2)
        os.close(unseen)


def test_pad(letters):
    rows = [letters(text, return_special_tokens_mask=True) for text in ("a b c", "d")]
    batch = letters.pad(rows)
    assert batch["input_ids"] == [[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]]
    assert batch["attention_mask"] == [[1] * 5, [1, 1, 1, 0, 0]]
    assert batch["special_tokens_mask"] == [[1, 0, 0, 0, 1], [1, 0, 1, 1, 1]]
    ids = [{"input_ids": [2, 5, 3]}, {"input_ids": np.array([2, 5, 6, 3])}]
    left = letters.pad(ids, padding_side="left", pad_to_multiple_of=3, return_tensors="pt")
    assert left["input_ids"].tolist() == [[0, 0, 0, 2, 5, 3], [0, 0, 2, 5, 6, 3]]
    assert left["attention_mask"].tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]]
    assert letters.pad({"input_ids": [2, 3]}, padding="max_length", max_length=4)["input_ids"] == [2, 3, 0, 0]
    assert letters.pad(ids, padding=False)["input_ids"] == [[2, 5, 3], [2, 5, 6, 3]]
    with pytest.raises(ValueError, match="pad needs input_ids, this has labels"):
        letters.pad([{"labels": 1}])
    with pytest.raises(ValueError, match="the list is empty"):
        letters.pad([])


def test_pad_as_hugging_face(letters, tmp_path):
    transformers = pytest.importorskip("transformers")
    letters.save_pretrained(tmp_path)
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    rows = [dict(letters(text, pair)) for text, pair in (("a b c", None), ("d", "e f g h a"), ("", None))]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for padding, most, multiple, side in itertools.product(
        (True, False, "max_length"), (None, 4, 9), (None, 4), (None, "left", "right")
    ):
        options = {"padding": padding, "max_length": most, "pad_to_multiple_of": multiple, "padding_side": side}
        for given in (rows, columns, rows[1], [{"input_ids": row["input_ids"]} for row in rows]):
            ours, other = (tokenizer.pad(json.loads(json.dumps(given)), **options) for tokenizer in (letters, theirs))
            assert dict(ours) == dict(other), (options, given)


def test_added_tokens(letters, tmp_path):
    assert letters("a <e1> b")["input_ids"] == [2, 5, 1, 1, 1, 6, 3]
    assert letters.add_tokens(["<e1>", "a"]) == 2  # "a" has an id, and is never split from now on
    assert letters.add_tokens("<e1>") == 0
    assert letters.add_special_tokens({"additional_special_tokens": ["<S>", "[MASK]"], "eos_token": "<end>"}) == 2
    assert (len(letters), letters.vocab_size, letters.eos_token_id, letters.bos_token_id) == (16, 13, 15, None)
    assert letters.additional_special_tokens == ["<S>", "[MASK]"]
    assert letters("a <E1> <S> <s>", padding="max_length", max_length=12)["input_ids"] == [2, 5, 13, 14, 1, 1, 1, 3, 0, 0, 0, 0]
    assert letters.encode_lines(["<e1> [MASK]"], special=False) == [[13, 1, 1, 5, 1, 1]]  # [ m a sk ]
    assert letters.decode([5, 13, 14, 15], skip_special_tokens=True) == "a <e1>"
    letters.save_pretrained(tmp_path)
    back = BertTokenizer.from_pretrained(tmp_path)
    assert back.get_added_vocab() == letters.get_added_vocab()
    assert back.special_tokens_map == letters.special_tokens_map
    assert back("a <e1> <S> <end>")["input_ids"] == letters("a <e1> <S> <end>")["input_ids"]
    with pytest.raises(ValueError, match="cannot set 'cls_token'; name it to from_pretrained"):
        letters.add_special_tokens({"cls_token": "<s>"})
    with pytest.raises(ValueError, match="cannot set 'entity'"):
        letters.add_special_tokens({"entity": "<s>"})
    with pytest.raises(AttributeError, match="pad_token is set by"):
        letters.pad_token = "a"
    holes = BertTokenizer({**{piece: i for i, piece in enumerate(SPECIAL)}, "a": 7})
    with pytest.raises(ValueError, match="2 ids have no token"):
        holes.add_tokens("b")


def test_settings_of_calls(letters, tmp_path):
    letters.padding_side, letters.truncation_side, letters.model_max_length = "left", "left", 5
    letters.save_pretrained(tmp_path)
    back = BertTokenizer.from_pretrained(tmp_path, clean_up_tokenization_spaces=True)
    for tokenizer in (letters, back):
        rows = tokenizer(["a b c d", "e"], padding="max_length", truncation=True)["input_ids"]
        assert rows == [[2, 6, 7, 8, 3], [0, 0, 2, 9, 3]]
        assert tokenizer.join([5, 6, 7, 8], None, 4)[0] == [2, 7, 8, 3]
        assert tokenizer.join([5, 6, 7, 8], [9, 10], 6)[0] == [2, 7, 8, 3, 10, 3]
    assert BertTokenizer({piece: i for i, piece in enumerate(SPECIAL)}).model_max_length == int(1e30)
    text = [*SPECIAL, "don", "'", "t", "do", "n't", "a", "'s"]
    tokenizer = BertTokenizer({piece: i for i, piece in enumerate(text)}, pad_token="[PAD]")
    assert tokenizer.decode([8, 9], clean_up_tokenization_spaces=True) == "don't"
    assert tokenizer.decode([[5, 6], [10, 11]]) == tokenizer.batch_decode([[5, 6], [10, 11]])
    assert tokenizer.decode(minitorch.tensor([10, 11])) == tokenizer.decode(10) + "'s"
    assert tokenizer.convert_ids_to_tokens([2, 5, 99], skip_special_tokens=True) == ["don", None]
    assert tokenizer.tokenize("a", "t", add_special_tokens=True) == ["[CLS]", "a", "[SEP]", "t", "[SEP]"]
