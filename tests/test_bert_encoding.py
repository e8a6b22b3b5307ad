"""BertTokenizer, called as Hugging Face's: frozen examples, and theirs where transformers is installed."""

import itertools

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
