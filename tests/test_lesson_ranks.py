"""The ranks of lesson 22: messages between threads, and the all-reduce in a ring."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .test_lessons import LESSONS

sys.path.insert(0, str(LESSONS))
import ranks


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 20))
def test_a_ring_adds_up_and_sends_no_more_than_it_must(n: int, length: int) -> None:
    """Chunks of unequal lengths, empty ones, one rank."""
    arrays = np.random.default_rng(length).integers(-9, 9, (n, length)).astype(np.float32)
    results, sent = ranks.run(n, lambda me: ranks.ring_all_reduce(arrays[me.rank], me))
    assert all(np.array_equal(result, arrays.sum(0)) and result.dtype == np.float32 for result in results)
    assert max(sent) <= 2 * (n - 1) * -(-length // n)
    through, _ = ranks.run(n, lambda me: ranks.through_rank_0(arrays[me.rank], me))
    assert np.array_equal(through, results)


def test_a_message_is_a_copy() -> None:
    """What the sender does with its array afterwards does not reach the receiver."""

    def program(me: ranks.Rank) -> float:
        if me.rank == 1:
            return float(me.receive(0)[0])
        x = np.ones(1)
        me.send(1, x)
        x[0] = 2
        return 0.0

    assert ranks.run(2, program)[0] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("program", "error", "says"),
    [
        (lambda me: me.receive(1 - me.rank), ranks.Stuck, "rank 0 waits for rank 1, rank 1 waits for rank 0"),
        (lambda me: me.receive(0) if me.rank else None, ranks.Stuck, "nothing is on its way: rank 1 waits for rank 0$"),
        (lambda me: me.receive(0) if me.rank else 1 / 0, ZeroDivisionError, "division by zero"),
        (lambda me: me.send(2, 1.0), ValueError, "there are only the ranks 0 to 1"),
    ],
)
def test_a_program_that_cannot_end_ends(program: object, error: type[Exception], says: str) -> None:
    """With the reason; an error of one rank goes before the waiting of the others."""
    with pytest.raises(error, match=says):
        ranks.run(2, program)  # type: ignore[arg-type]


def test_the_formulas() -> None:
    """An empty list of buckets is there at once."""
    assert ranks.ring_seconds(4, 1e6, 1e-3, 1e8) == pytest.approx(0.021)
    assert ranks.last_arrival([2.0, 4.0, 6.0], [5.0, 5.0, 5.0]) == 17
    assert ranks.last_arrival([], []) == 0
