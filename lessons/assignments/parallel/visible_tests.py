"""The visible tests of assignment 10. Each runs with your module m; below it stands what should come out.

``together(m, size, work)`` runs work(m, rank, send, receive) for all ranks at once, each with your module in a process of
its own. It returns their results, and a ring that knows how many elements each message had.
They are here to be read: `minitorch course check` runs the original ones, whatever is written here.
"""

import numpy as np

from models.course.ranks import together
from models.course.testing import SHARED, close, exact, single, task
from models.course.tiny_parallel import right, shared


@task("10.1", points=1)
def ten_elements_for_four_ranks(m):
    """3, 3, 2 and 2 of them; and two elements for three ranks: the last one has none."""
    return {"begins and ends of 10 in 4": ends(m.chunks(10, 4)), "of 2 in 3": ends(m.chunks(2, 3))}


def ends(slices):
    """Where each slice begins and ends."""
    return [[s.start, s.stop] for s in slices]


@ten_elements_for_four_ranks.expects
def _():
    slips = {
        "putting all that is left over into the last chunk": [[0, 2], [2, 4], [4, 6], [6, 10]],
        "leaving out what is left over": [[0, 2], [2, 4], [4, 6], [6, 8]],
        "chunks of ⌈n / size⌉, of which the last is short": [[0, 3], [3, 6], [6, 9], [9, 10]],
        "putting the longer ones last": [[0, 2], [2, 4], [4, 7], [7, 10]],
        "rounding i · n / size down": [[0, 2], [2, 5], [5, 7], [7, 10]],
    }
    ten = close([[0, 3], [3, 6], [6, 8], [8, 10]], slips=slips)
    return {"begins and ends of 10 in 4": ten, "of 2 in 3": [[0, 1], [1, 2], [2, 2]]}


def numbers(size, n, seed=0):
    """A row for each rank, of float32."""
    return np.random.default_rng(seed).normal(size=(size, n)).astype(np.float32)


@task("10.2", points=3)
def each_rank_owns_a_chunk_of_the_sum(m):
    """Three ranks, six elements: rank 0 gets the sums of the first two, rank 1 of the next two, rank 2 of the last two."""
    x = numbers(3, 6)
    found, ring = together(m, 3, lambda m, rank, send, receive: m.reduce_scatter(x[rank], rank, 3, send, receive))
    return {
        "rank 0": found[0],
        "rank 1": found[1],
        "rank 2": found[2],
        "messages of a rank: size - 1": [len(sent) for sent in ring.sent],
        "the longest message: a chunk": max(max(sent) for sent in ring.sent),
        "messages that nobody took": ring.unread,
    }


@each_rank_owns_a_chunk_of_the_sum.expects
def _():
    x = numbers(3, 6)
    chunks, own = x.sum(0).reshape(3, 2), x.reshape(3, 3, 2)
    messages = {"messages of a rank: size - 1": [2, 2, 2], "the longest message: a chunk": 2, "messages that nobody took": 0}
    right = {}
    for rank in range(3):
        slips = {f"chunk {other} in place of chunk {rank}": chunks[other] for other in range(3) if other != rank}
        slips |= {f"leaving out rank {other}'s part": chunks[rank] - own[other, rank] for other in range(3)}
        slips |= {f"rank {other}'s part alone": own[other, rank] for other in range(3)}
        slips |= {f"adding rank {other}'s part twice": chunks[rank] + own[other, rank] for other in range(3)}
        slips |= {"a mean over the ranks": chunks[rank] / 3}
        right[f"rank {rank}"] = single(chunks[rank], slips=slips)
    return right | messages


@task("10.3", points=2)
def each_rank_learns_all_chunks(m):
    """Rank i brings chunk i of five elements, (0, 1), (2, 3) and (4,): all know 0, 1, 2, 3, 4 afterwards."""
    parts = [np.array([0.0, 1.0]), np.array([2.0, 3.0]), np.array([4.0])]
    found, ring = together(m, 3, lambda m, rank, send, receive: m.all_gather(parts[rank], 5, rank, 3, send, receive))
    return {
        "rank 0": found[0],
        "rank 1": found[1],
        "rank 2": found[2],
        "messages of a rank: size - 1": [len(sent) for sent in ring.sent],
        "the longest message: a chunk": max(max(sent) for sent in ring.sent),
    }


@each_rank_learns_all_chunks.expects
def _():
    right = {f"rank {rank}": np.arange(5.0) for rank in range(3)}
    return right | {"messages of a rank: size - 1": [2, 2, 2], "the longest message: a chunk": 2}


@task("10.3", points=2)
def the_sum_on_all_ranks(m):
    """Three ranks and seven elements; and a single rank, which has nobody to send to."""
    x = numbers(3, 7)
    held = x.copy()
    found, ring = together(m, 3, lambda m, rank, send, receive: m.all_reduce(x[rank], rank, 3, send, receive))
    one, quiet = together(m, 1, lambda m, rank, send, receive: m.all_reduce(x[0], 0, 1, send, receive))
    return {
        "rank 0": found[0],
        "rank 1": found[1],
        "rank 2": found[2],
        "they are equal to the last bit": bool((found[0] == found[1]).all() and (found[0] == found[2]).all()),
        "elements sent by all ranks: 2 (size - 1) n": sum(map(sum, ring.sent)),
        "a single rank": one[0],
        "a single rank's messages": len(quiet.sent[0]),
        "x is as before": bool((x == held).all()),
    }


@the_sum_on_all_ranks.expects
def _():
    x = numbers(3, 7)
    slips = {"a mean over the ranks": x.mean(0), "this rank's x": x[0]}
    return {
        "rank 0": single(x.sum(0), slips=slips),
        "rank 1": single(x.sum(0)),
        "rank 2": single(x.sum(0)),
        "they are equal to the last bit": True,
        "elements sent by all ranks: 2 (size - 1) n": close(28, slips={"sending whole arrays round the ring": 42}),
        "a single rank": single(x[0]),
        "a single rank's messages": 0,
        "x is as before": True,
    }


def total(x, rank, size, send, receive):
    """The tests' own reduce: all arrays go round the ring."""
    parts = {rank: x}
    for step in range(size - 1):
        send(parts[(rank - step) % size])
        parts[(rank - step - 1) % size] = receive()
    return sum(parts[i] for i in range(size))


def means(m, losses, g=1.0):
    """mean_of_all on ranks with these losses: the means, and the slopes of each rank; before the pullback it is called again."""

    def work(m, rank, send, receive):
        mean, pullback = m.mean_of_all(losses[rank], lambda x: total(x, rank, len(losses), send, receive))
        m.mean_of_all(np.ones(2 + rank, np.float32), lambda x: total(x, rank, len(losses), send, receive))
        return mean, pullback(g)

    found, _ = together(m, len(losses), work)
    return [mean for mean, _ in found], [slope for _, slope in found]


@task("10.4", points=3)
def three_sentences_and_one(m):
    """Losses 1, 2, 3 on rank 0 and 6 on rank 1: the mean is 3, that of the ranks' own means would be 4."""
    losses = [np.array([1.0, 2.0, 3.0], np.float32), np.array([6.0], np.float32)]
    mean, slopes = means(m, losses, 4.0)
    return {"means": mean, "dlosses of rank 0, for g = 4": slopes[0], "dlosses of rank 1": slopes[1]}


@three_sentences_and_one.expects
def _():
    own = "dividing by this rank's own count"
    of_0 = {own: [4 / 3] * 3, "forgetting g": [0.25] * 3, "dividing by the number of ranks, too,": [0.5] * 3, SHARED: [0.8] * 3}
    of_1 = {own: [4.0], "forgetting g": [0.25], "dividing by the number of ranks, too,": [0.5], SHARED: [0.8]}
    slips = {"a mean of means": [4.0, 4.0], "a sum without the counts": [12.0, 12.0], "each rank's own mean": [2.0, 6.0]}
    return {
        "means": close([3.0, 3.0], 1e-5, slips=slips | {"dividing by the number of ranks": [6.0, 6.0]}),
        "dlosses of rank 0, for g = 4": single([1.0] * 3, slips=of_0),
        "dlosses of rank 1": single([1.0], slips=of_1),
    }


@task("10.4", points=2)
def a_rank_without_losses(m):
    """Rank 1 has nothing to learn from, and takes part: no nan, and nobody waits for it."""
    mean, slopes = means(m, [np.array([1.0, 3.0], np.float32), np.zeros(0, np.float32)])
    return {"means": mean, "dlosses of rank 0": slopes[0], "dlosses of rank 1": slopes[1]}


@a_rank_without_losses.expects
def _():
    return {
        "means": close([2.0, 2.0], 1e-5, slips={"a mean of means, with 0 for the empty one": [1.0, 1.0]}),
        "dlosses of rank 0": single([0.5, 0.5]),
        "dlosses of rank 1": single(np.zeros(0)),
    }


@task("10.5", points=3)
def four_gradients_in_three_buckets(m):
    """Of 4, 7, 3 and 2 elements with room for 6: first the last two together, then the one that is too long, then the first."""
    shapes, lengths = [(2, 2), (7,), (3, 1), (2,)], []
    gradients = [np.arange(4.0).reshape(2, 2), np.ones(7), None, np.array([5.0, 6.0])]
    gradients = [g if g is None else g.astype(np.float32) for g in gradients]

    def reduce(x):
        lengths.append(x.size)
        return 2 * x  # as if another rank had the same gradients

    sums = m.reduce_gradients(gradients, shapes, 6, reduce)
    found = {f"sum {i}": g for i, g in enumerate(sums)}
    return found | {"lengths of the buckets": lengths, "gradient 0 afterwards": gradients[0]}


@four_gradients_in_three_buckets.expects
def _():
    slips = {"filling buckets from the first gradient on": [4, 7, 5], "a bucket for each gradient": [2, 3, 7, 4]}
    slips |= {"one bucket for all": [16], "leaving out a gradient that is None": [2, 7, 4]}
    slips |= {"closing a bucket once it is over the limit": [12, 4]}
    first = np.arange(4.0).reshape(2, 2)
    return {
        "sum 0": single(2 * first, slips={"a mean over the ranks": first}),
        "sum 1": single(np.full(7, 2.0)),
        "sum 2": single(np.zeros((3, 1))),
        "sum 3": single([10.0, 12.0]),
        "lengths of the buckets": close([5, 7, 4], slips=slips),
        "gradient 0 afterwards": exact(first),
    }


@task("10.5", points=3)
def bert_is_fine_tuned_by_two_processes(m):
    """Two ranks with 3 and 1, 1 and 3, 4 and 0, 2 and 2 sentences, with all your functions: losses and weights of one process."""
    m.reduce_gradients([], [], 1, lambda x: x)
    return shared(m)


@bert_is_fine_tuned_by_two_processes.expects
def _():
    return right()
