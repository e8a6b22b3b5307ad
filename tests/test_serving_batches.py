"""Which texts share a batch: the queue's choice. No server, no clock."""

import asyncio
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("starlette")

from models.serving.batching import Batcher


class Answers:
    """An answerer without a model."""

    group = staticmethod(lambda feature: 0)

    def __init__(self, batch_tokens):
        self.batch_tokens = batch_tokens

    def size(self, feature):
        return feature


def chosen(sizes, answerer, idle=0, batch_tokens=None):
    """The sizes that a worker takes, with so many others idle."""

    async def choose():
        batcher = Batcher(2, batch_tokens, 100)
        batcher.submit(answerer, sizes)
        batcher.idle = idle
        return [item.size for item in batcher.choose()]

    return asyncio.run(choose())


def test_a_batch_is_as_large_as_it_may_be():
    sizes = [30, 63, 10, 29, 31, 8]
    assert chosen(sizes, Answers(1024)) == [30, 29, 31, 10, 8, 63]
    assert chosen(sizes, Answers(96)) == [30, 29, 31]  # 93 tokens, and a fourth would make 124
    assert chosen(sizes, Answers(60)) == [30, 29]
    assert chosen([63, 60], Answers(60)) == [63]  # a text alone is always taken
    assert chosen(sizes, Answers(60), batch_tokens=1024) == [30, 29, 31, 10, 8, 63]  # who names a number gets it
    assert chosen(sizes, Answers(1024), idle=1) == [30, 29, 31]  # the other worker takes the rest


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=30), st.integers(1, 400), st.integers(0, 3))
def test_the_oldest_is_in_and_padding_counts(sizes, most, idle):
    found = chosen(sizes, Answers(most), idle)
    assert found[0] == sizes[0]
    assert len(found) <= math.ceil(len(sizes) / (idle + 1))
    assert len(found) == 1 or len(found) * max(found) <= most
