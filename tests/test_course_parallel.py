"""Assignment 10: ranks in processes of their own, what is said when one fails, and sums of any length on any number of ranks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tokenizers", reason="the assignments train a BERT, whose package needs tokenizers")

from minitorch.parallel import cut
from models.course.assignments import find, reference
from models.course.grader import grade_source
from models.course.proxy import FarError
from models.course.ranks import Deadlock, Ring, together
from models.course.subject import load
from models.course.supervisor import Learner
from models.course.testing import complaint
from models.course.tiny_parallel import COUNTS, right, shared


@pytest.fixture(scope="module")
def parallel():
    assignment = find("parallel")
    return load(reference(assignment.source), str(assignment.folder / assignment.file))


def graded(change, *names):
    """The visible tests of these names on the reference with a change, through the grader's processes."""
    assignment = find("parallel")
    assignment = dataclasses.replace(assignment, seconds=1)
    source = reference(assignment.source) + "\n\n" + change
    return grade_source(assignment, source, "parallel.py", [t for t in assignment.tests if t.name in names])


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(0, 40), st.integers(0, 99))
def test_all_ranks_get_the_sum(parallel, size, n, seed):
    x = np.random.default_rng(seed).integers(-1000, 1000, (size, n)).astype(np.float64)
    sums, ring = together(parallel, size, lambda m, rank, send, receive: m.all_reduce(x[rank], rank, size, send, receive))
    for found in sums:
        np.testing.assert_array_equal(found, x.sum(0))
    assert ring.unread == 0
    assert sum(map(sum, ring.sent)) == 2 * (size - 1) * n
    assert [(s.start, s.stop) for s in parallel.chunks(n, size)] == cut(n, size)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 99))
def test_means_and_gradients_are_those_of_one_process(parallel, counts, seed):
    rng = np.random.default_rng(seed)
    losses, size = [rng.normal(size=k) for k in counts], len(counts)

    def work(m, rank, send, receive):
        mean, pullback = m.mean_of_all(losses[rank], lambda x: m.all_reduce(x, rank, size, send, receive))
        return mean, pullback(2.0)

    found, _ = together(parallel, size, work)
    everything = np.concatenate(losses)
    for mean, _ in found:
        assert mean == pytest.approx(everything.mean() if everything.size else 0.0, abs=1e-12)
    np.testing.assert_allclose(
        np.concatenate([slope for _, slope in found]), np.full(everything.size, 2 / max(1, everything.size))
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=6), st.integers(1, 30), st.integers(0, 99))
def test_buckets_bring_the_sums_back(parallel, shapes, limit, seed):
    rng, lengths = np.random.default_rng(seed), []
    gradients = [rng.normal(size=shape).astype(np.float32) for shape in shapes]

    def reduce(x):
        lengths.append(x.size)
        return 2 * x

    for g, found in zip(gradients, parallel.reduce_gradients(gradients, shapes, limit, reduce), strict=True):
        np.testing.assert_array_equal(found, 2 * g)
    assert sum(lengths) == sum(g.size for g in gradients)
    assert all(n <= limit or n in [g.size for g in gradients] for n in lengths)


# ----------------------------------------------------------------------------------------------------------- ranks


def test_each_rank_has_a_process_of_its_own(tmp_path):
    source = "kept = []\ndef f(x, send, receive):\n    kept.append(x)\n    send(x)\n    return receive(), len(kept)\n"
    source += "def g(receive):\n    return receive()\n"
    x = np.arange(6.0).reshape(3, 2)
    (tmp_path / "work").mkdir()
    learner = Learner(source, "f.py", 10, tmp_path / "work")
    try:
        learner.load()
        for round in (1, 2):
            found, ring = together(learner.fresh(), 3, lambda m, rank, send, receive: m.f(x[rank], send, receive))
            assert [received.tolist() for received, _ in found] == [[4, 5], [0, 1], [2, 3]]
            assert [calls for _, calls in found] == [round] * 3  # not 3 of one process
            assert ring.sent == [[2]] * 3
        with pytest.raises(FarError, match="waits in receive for a message that nobody will send: all ranks wait"):
            together(learner.fresh(), 2, lambda m, rank, send, receive: m.g(receive))
        pids = {learner.process.pid, *(fellow.process.pid for fellow in learner.fellows)}
        assert len(pids) == 3
    finally:
        learner.close()
    assert all(fellow.process.returncode is not None for fellow in learner.fellows)


def test_a_message_is_a_copy_and_only_numbers_travel():
    ring, x = Ring(2), np.ones(3)
    ring.send(0, x[1:])
    x[:] = 5
    np.testing.assert_array_equal(ring.receive(1), [1.0, 1.0])
    with pytest.raises(TypeError, match="send takes an array of numbers, not list"):
        ring.send(0, [1.0])
    for _ in range(4):
        ring.send(0, np.zeros(1 << 22))
    with pytest.raises(MemoryError, match="more than 128 MiB of messages are on their way"):
        ring.send(0, np.zeros(1 << 22))


def test_ranks_that_wait_for_each_other_are_told_so():
    def all_wait(m, rank, send, receive):
        return receive()

    with pytest.raises(Deadlock, match="all ranks wait, so each has to send before it receives"):
        together(None, 3, all_wait)

    def one_waits(m, rank, send, receive):
        return receive() if rank == 1 else None

    with pytest.raises(Deadlock, match="rank 1 waits in receive for a message that nobody will send: the others have ended"):
        together(None, 2, one_waits)


def test_the_error_of_a_rank_comes_before_that_of_those_who_wait_for_it():
    def work(m, rank, send, receive):
        if rank == 2:
            raise ValueError("rank 2's own")
        return receive()

    with pytest.raises(ValueError, match="rank 2's own"):
        together(None, 3, work)


LOOPS = """
def all_gather(part, n, rank, size, send, receive):
    while rank == 1:
        pass
    return receive()
"""


def test_the_grader_says_what_happened_to_a_rank():
    first, next_task = graded(LOOPS, "each_rank_learns_all_chunks", "three_sentences_and_one").verdicts
    assert first.problems == ["no result: stopped after 1 seconds: an endless loop?"]
    assert next_task.passed  # it has new processes


# ------------------------------------------------------------------------------------------------------------ BERT


def test_bert_notices_each_mistake(parallel):
    """A mean of means, a gradient too large by the number of ranks, a bucket that is lost: losses or gradients show it."""
    expected = right()

    class Off:
        all_reduce = staticmethod(parallel.all_reduce)
        mean_of_all = staticmethod(parallel.mean_of_all)
        reduce_gradients = staticmethod(parallel.reduce_gradients)

    def wrong(**changes):
        found = shared(type("Wrong", (Off,), {name: staticmethod(f) for name, f in changes.items()}))
        return [name for name in expected if complaint(found[name], expected[name])]

    def mean_of_means(losses, reduce):
        mean, ranks = reduce(np.array([losses.mean() if len(losses) else 0.0, 1.0]))
        return mean / ranks, lambda g: np.full(len(losses), g / ranks / len(losses), losses.dtype)

    def twice(gradients, shapes, limit, reduce):
        return [2 * g for g in parallel.reduce_gradients(gradients, shapes, limit, reduce)]

    assert wrong() == []
    assert f"the losses of {len(COUNTS)} steps" in wrong(mean_of_all=mean_of_means)
    assert len(wrong(reduce_gradients=twice)) > 5


@pytest.mark.slow
def test_two_processes_fine_tune_bert():
    (verdict,) = graded("", "bert_is_fine_tuned_by_two_processes").verdicts
    assert verdict.passed, verdict.problems
