"""models/text/words.py: typed text split into words as CoNLL files have them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.finetuning.tag import Tag
from models.finetuning.tasks import Settings
from models.text.words import split_words

SPLIT = {  # text: its words, with | between them
    "Merkel's party met the U.N. envoy.": "Merkel|'s|party|met|the|U.N.|envoy|.",
    "Merkel’s players' coach": "Merkel|’s|players|'|coach",
    "I don't, can't, won't; they're DON'T couldn't've": "I|do|n't|,|ca|n't|,|wo|n't|;|they|'re|DO|N'T|could|n't|'ve",
    'He said: "It\'s $1,000.50 (5%)..."': 'He|said|:|"|It|\'s|$|1,000.50|(|5|%|)|...|"',
    "Mr. Smith of Acme Inc. left Washington D.C.": "Mr.|Smith|of|Acme|Inc.|left|Washington|D.C.",
    "John F. Kennedy's plan. So do I.": "John|F.|Kennedy|'s|plan|.|So|do|I|.",
    "U.S.-led, Franco-German and/or AT&T, non- and e.g. No. 5": "U.S.-led|,|Franco-German|and/or|AT&T|,|non-|and|e.g.|No.|5",
    "well--known word—word 1990–95 3-2 -5 .5 10:30 10.": "well|--|known|word|—|word|1990–95|3-2|-5|.5|10:30|10|.",
    "See https://a.org/x?y=1, www.b.de. Or me@x.co.uk, @paul #ner :-)": (
        "See|https://a.org/x?y=1|,|www.b.de|.|Or|me@x.co.uk|,|@paul|#ner|:-)"
    ),
    "the '90s, rock 'em, o'clock O'Brien's 'quoted'": "the|'90s|,|rock|'em|,|o'clock|O'Brien|'s|'|quoted|'",
    "Merkel 's party do n't": "Merkel|'s|party|do|n't",
    "é e\u0301te\u0301 क्या 东京。大阪": "é|e\u0301te\u0301|क्या|东京|。|大阪",
    "👍🏽👍 🇩🇪 a\u200bb &amp; US$5 €5m": "👍🏽|👍|🇩🇪|a|b|&amp;|US$|5|€|5m",
}


@pytest.mark.parametrize("text", SPLIT)
def test_words(text):
    """By the rules of the Penn Treebank; `predict` of a model that tags words splits so."""
    assert split_words(text) == SPLIT[text].split("|")
    assert Tag(Settings(task="tag")).typed(text) == SPLIT[text].split("|")


@given(st.text())
def test_nothing_is_lost(text):
    """The words are the text without what is not seen."""
    kept = "".join(split_words(text))
    rest = iter(text)
    assert all(c in rest for c in kept)
    assert all(not c.isalnum() for c in text if c not in kept)


@given(st.text(alphabet="abX.,'-$%! 1"))
def test_words_are_words(text):
    """None is empty, none has a space."""
    assert all(word and not any(c.isspace() for c in word) for word in split_words(text))
