"""Assignment 7 against the `tokenizers` library: merges, ties, ids and text of any input."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tokenizers", reason="the library's merges and ids are the right answers")

from models.course.assignments import find, reference
from models.course.subject import load
from models.course.tiny_tokens import (
    LINES,
    VOCABULARY,
    letters,
    library_ids,
    library_merges,
    library_tokenizer,
    losses_on,
    same_ids,
)

few = st.text("ab c'é.\n", max_size=40)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.fixture(scope="module")
def tokens():
    assignment = find("tokens")
    return load(reference(assignment.source), str(assignment.folder / assignment.file))


@settings(deadline=None, max_examples=40)
@given(st.lists(few, max_size=4), st.integers(250, 280))
def test_merges_and_ties_are_the_librarys(tokens, texts, vocab_size):
    assert tokens.train(texts, vocab_size) == library_merges(texts, vocab_size)


@settings(deadline=None, max_examples=40)
@given(few, few)
def test_ids_are_those_of_the_gpt_tokenizer(tokens, learned, text):
    merges = tokens.train([learned, learned], 280)
    assert tokens.encode(text, merges) == library_ids(merges)(text)


@settings(deadline=None, max_examples=40)
@given(any_text)
def test_every_text_comes_back(tokens, text):
    merges = tokens.train([text], 300)
    assert tokens.decode(tokens.encode(text, merges), merges) == text
    assert "".join(tokens.split_words(text)) == text


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 300), max_size=20))
def test_any_ids_are_decoded_as_the_library_does(tokens, ids):
    merges = library_merges(LINES, 301)
    assert tokens.decode(ids, merges) == library_tokenizer(merges).decode(ids)


def test_the_letters_are_gpts():
    from tokenizers import pre_tokenizers

    assert sorted(letters()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert letters()[ord(" ")] == "Ġ"
    assert letters()[ord("\n")] == "Ċ"


def test_bert_learns_and_notices_another_token():
    """The loss falls; one id of the text that differs shows in it."""
    encode = library_ids(library_merges(LINES, VOCABULARY))
    lines = [encode(line) for line in LINES]
    losses = losses_on(lines)
    assert losses[-1] < losses[0]
    other = [list(line) for line in lines]
    other[0][3] += 1
    assert abs(losses_on(other) - losses).max() > 1e-2


def test_complaints_name_the_place_and_the_slip():
    right = list(range(40))
    assert same_ids(right)(right) is None
    assert same_ids([])([]) is None
    text = same_ids(right, {"one id too many": [*right, 7]})([*right, 7])
    assert "they part at [40]; one id too many gives exactly this" in text
    assert "(41 in all)" in text
    assert "no list of ids" in same_ids(right)([1.5])
    assert "no list of pairs" in same_ids([(1, 2)])([1, 2])
    assert same_ids([(1, 2), (3, 4)])([(1, 2), (4, 3)]) == "yours is [[1, 2], [4, 3]], it should be [[1, 2], [3, 4]]"
