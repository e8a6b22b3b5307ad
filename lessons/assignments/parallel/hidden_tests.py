"""The hidden tests of assignment 10."""

import itertools

import numpy as np

from models.course.ranks import together
from models.course.testing import close, exact, single, task
from models.course.tiny_parallel import right, shared

LENGTHS, SIZES = (0, 1, 2, 3, 5, 8, 13, 100), (1, 2, 3, 4, 7)


@task("10.1", points=2)
def chunks_of_all_kinds(m):
    """Any number of elements in any number of chunks."""
    return {f"{n} in {size}": cut(m.chunks(n, size)) for n in LENGTHS for size in SIZES}


def cut(slices):
    """Begins and ends."""
    return np.array([[s.start, s.stop] for s in slices], np.int64)


@chunks_of_all_kinds.expects
def _():
    found = {}
    for n in LENGTHS:
        for size in SIZES:
            lengths = [sum(1 for j in range(n) if j % size == i) for i in range(size)]
            stops = np.cumsum(lengths)
            found[f"{n} in {size}"] = np.stack([stops - lengths, stops], 1)
    return found


CASES = ((1, 5), (2, 4), (2, 7), (3, 1), (3, 8), (4, 2), (4, 0), (4, 41))


def inputs(size, n, dtype=np.float32):
    """An array of n elements for each rank; their sizes differ by a lot, so that the order of a sum shows in its last bits."""
    rng = np.random.default_rng(100 * size + n)
    return [(rng.normal(size=n) * 10.0 ** rng.integers(-3, 4, n)).astype(dtype) for _ in range(size)]


def shares(n, size):
    """The chunks."""
    stops = np.cumsum([0] + [len(part) for part in np.array_split(range(n), size)])
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(stops)]


def most(n, size):
    """The length of the longest chunk."""
    return -(-n // size)


def traffic(ring):
    """What a rank may send."""
    return {
        "messages of a rank": max(map(len, ring.sent)),
        "the longest": max((n for sent in ring.sent for n in sent), default=0),
        "all elements": sum(map(sum, ring.sent)),
        "left over": ring.unread,
    }


def at_most(limit, what):
    """An expected value: not more than this."""

    def complaint(got):
        return None if got <= limit else f"{got} {what}, where {limit} are enough"

    return complaint


def true_traffic(n, size, rounds):
    """What two rounds, or one, of the ring need."""
    return {
        "messages of a rank": at_most(rounds * (size - 1), "messages"),
        "the longest": at_most(most(n, size), "elements"),
        "all elements": at_most(rounds * (size - 1) * n, "elements sent by all ranks"),
        "left over": 0,
    }


@task("10.2", points=3)
def chunks_of_sums(m):
    """One to four ranks, lengths that they do not divide, fewer elements than ranks, none; x is not changed."""
    found = {}
    for size, n in CASES:
        x = inputs(size, n)
        held = [a.copy() for a in x]
        parts, ring = together(m, size, lambda m, rank, send, receive: m.reduce_scatter(x[rank], rank, size, send, receive))
        label = f"{n} elements on {size} ranks"
        found |= {f"rank {rank}, {label}": part for rank, part in enumerate(parts)}
        found |= {f"{name}, {label}": count for name, count in traffic(ring).items()}
        found[f"x is as before, {label}"] = all((a == b).all() for a, b in zip(x, held))
        found[f"a chunk shares memory with x, {label}"] = any(np.shares_memory(a, b) for a in x for b in parts)
    return found


@chunks_of_sums.expects
def _():
    found = {}
    for size, n in CASES:
        label, whole = f"{n} elements on {size} ranks", sum(a.astype(np.float64) for a in inputs(size, n))
        largest = np.abs(whole).max(initial=1)
        for rank, part in enumerate(shares(n, size)):
            found[f"rank {rank}, {label}"] = single(whole[part], 1e-5, 1e-6 * largest)
        found |= {f"{name}, {label}": count for name, count in true_traffic(n, size, 1).items()}
        found |= {f"x is as before, {label}": True, f"a chunk shares memory with x, {label}": False}
    return found


@task("10.3", points=2)
def gathered_from_all(m):
    """The same ranks and lengths; in float64 and with whole numbers, too; the parts are not changed."""
    found = {}
    for (size, n), dtype in zip(CASES, ("f4", "f8", "f4", "i8", "f4", "f4", "f4", "f8")):
        x = (100 + np.arange(n)).astype(dtype)
        parts = [x[part].copy() for part in shares(n, size)]
        wholes, ring = together(m, size, lambda m, rank, send, receive: m.all_gather(parts[rank], n, rank, size, send, receive))
        label = f"{n} elements on {size} ranks, {dtype}"
        found |= {f"rank {rank}, {label}": whole for rank, whole in enumerate(wholes)}
        found |= {f"{name}, {label}": count for name, count in traffic(ring).items()}
        found[f"the parts are as before, {label}"] = all((x[s] == p).all() for s, p in zip(shares(n, size), parts))
        found[f"a result shares memory with a part, {label}"] = any(np.shares_memory(a, b) for a in parts for b in wholes)
    return found


@gathered_from_all.expects
def _():
    found = {}
    for (size, n), dtype in zip(CASES, ("f4", "f8", "f4", "i8", "f4", "f4", "f4", "f8")):
        label = f"{n} elements on {size} ranks, {dtype}"
        found |= {f"rank {rank}, {label}": close(100 + np.arange(n), 0, 0, dtype) for rank in range(size)}
        found |= {f"{name}, {label}": count for name, count in true_traffic(n, size, 1).items()}
        found |= {f"the parts are as before, {label}": True, f"a result shares memory with a part, {label}": False}
    return found


@task("10.3", points=3)
def sums_with_the_same_bits(m):
    """all_reduce on the same ranks: close to the sum, equal to the last bit on all ranks; a second one right after the first."""
    found = {}
    for size, n in CASES:
        x = inputs(size, n)
        held = [a.copy() for a in x]

        def work(m, rank, send, receive):
            first = m.all_reduce(x[rank], rank, size, send, receive)
            return first, m.all_reduce(np.ones(3), rank, size, send, receive)

        sums, ring = together(m, size, work)
        label = f"{n} elements on {size} ranks"
        found |= {f"sum, {label}": sums[0][0], f"bits differ, {label}": any((a != sums[0][0]).any() for a, _ in sums)}
        found |= {f"ones, {label}, rank {rank}": ones for rank, (_, ones) in enumerate(sums)}
        found |= {f"{name}, {label}": count for name, count in traffic(ring).items()}
        found[f"x is as before, {label}"] = all((a == b).all() for a, b in zip(x, held))
        found[f"a sum shares memory with x, {label}"] = any(np.shares_memory(a, b) for a in x for b, _ in sums)
    return found


@sums_with_the_same_bits.expects
def _():
    found = {}
    for size, n in CASES:
        label, whole = f"{n} elements on {size} ranks", sum(a.astype(np.float64) for a in inputs(size, n))
        found |= {f"sum, {label}": single(whole, 1e-5, 1e-6 * np.abs(whole).max(initial=1)), f"bits differ, {label}": False}
        found |= {f"ones, {label}, rank {rank}": close([size] * 3, dtype=np.float64) for rank in range(size)}
        counts = true_traffic(n + 3, size, 2) | {
            "messages of a rank": at_most(4 * (size - 1), "messages"),
            "the longest": at_most(max(most(n, size), most(3, size)), "elements"),
        }
        found |= {f"{name}, {label}": count for name, count in counts.items()}
        found |= {f"x is as before, {label}": True, f"a sum shares memory with x, {label}": False}
    return found


COUNTS = ((4,), (3, 5), (0, 2), (2, 0, 1), (1, 1, 1, 6), (0, 1), (0, 0), (0,))


def losses(counts):
    """This many losses for each rank."""
    rng = np.random.default_rng(sum(counts) + len(counts))
    return [rng.gamma(2, size=k).astype(np.float32) for k in counts]


def gathered(x, rank, size, send, receive):
    """The tests' own reduce."""
    parts = {rank: x}
    for step in range(size - 1):
        send(parts[(rank - step) % size])
        parts[(rank - step - 1) % size] = receive()
    return sum(parts[i] for i in range(size))


@task("10.4", points=3)
def means_of_all_kinds(m):
    """One to four ranks, some without losses, all without; the pullback twice; nothing is changed."""
    found = {}
    for counts in COUNTS:
        own = losses(counts)

        def work(m, rank, send, receive):
            mean, pullback = m.mean_of_all(own[rank], lambda x: gathered(x, rank, len(counts), send, receive))
            m.mean_of_all(np.ones(3 + rank, np.float32), lambda x: gathered(x, rank, len(counts), send, receive))
            pullback(3.0)
            return mean, pullback(0.5)

        for rank, (mean, slope) in enumerate(together(m, len(counts), work)[0]):
            found |= {f"mean, {counts}, rank {rank}": mean, f"dlosses, {counts}, rank {rank}": slope}
            found |= {f"losses, {counts}, rank {rank}": own[rank]}
    return found


@means_of_all_kinds.expects
def _():
    found = {}
    for counts in COUNTS:
        own = losses(counts)
        values = [float(v) for array in own for v in array]
        mean = sum(values) / len(values) if values else 0.0
        for rank, array in enumerate(own):
            slope = np.full(len(array), 0.5 / max(1, len(values)))
            found |= {f"mean, {counts}, rank {rank}": close(mean, 1e-5), f"dlosses, {counts}, rank {rank}": single(slope)}
            found |= {f"losses, {counts}, rank {rank}": exact(array)}
    return found


BUCKETS = (
    ([(3,), (5,), (2,), (9,), (4,)], 8),
    ([(2, 2), (4,), (4,)], 4),
    ([(2, 2), (4,), (4,)], 8),
    ([(2, 2), (4,), (4,)], 3),
    ([(7,)], 100),
    ([(), (2, 3, 2), (), (1,)], 2),
    ([(1,)] * 7, 3),
    ([(2,), (0,)], 3),
    ([(1, 2), (2, 0), (3,)], 4),
    ([], 5),
)


def pieces(shapes, seed):
    """Gradients of these shapes, each third of them None; in Fortran's order."""
    rng = np.random.default_rng(seed)
    found = [None if (i + seed) % 3 == 2 else rng.normal(size=shape).astype(np.float32) for i, shape in enumerate(shapes)]
    return [None if g is None else g.copy(order="F") for g in found]


@task("10.5", points=3)
def buckets_of_all_kinds(m):
    """Too long, just as long, one only, none, arrays without axes, transposes; the shapes come back; nothing is changed."""
    found = {}
    for case, (shapes, limit) in enumerate(BUCKETS):
        gradients, lengths = pieces(shapes, case), []
        held = [None if g is None else g.copy() for g in gradients]

        def reduce(x):
            lengths.append([x.size, x.ndim])
            return 3 * x

        sums = m.reduce_gradients(gradients, shapes, limit, reduce)
        label = f"{shapes}, limit {limit}"
        found |= {f"sum {i}, {label}": g for i, g in enumerate(sums)}
        found |= {f"length and axes of each bucket, {label}": np.array(lengths).reshape(-1, 2)}
        same = [a is None if b is None else bool((a == b).all()) for a, b in zip(gradients, held)]
        found |= {f"gradients are as before, {label}": all(same) and len(gradients) == len(held)}
    return found


def true_buckets(lengths, limit):
    """The lengths of buckets that are filled from the end."""
    found = []
    for n in reversed(lengths):
        if found and found[-1] + n <= limit:
            found[-1] += n
        else:
            found.append(n)
    return found


@buckets_of_all_kinds.expects
def _():
    found = {}
    for case, (shapes, limit) in enumerate(BUCKETS):
        label, gradients = f"{shapes}, limit {limit}", pieces(shapes, case)
        for i, (g, shape) in enumerate(zip(gradients, shapes)):
            found[f"sum {i}, {label}"] = single(np.zeros(shape) if g is None else 3 * g.astype(np.float64))
        lengths = [[n, 1] for n in true_buckets([int(np.prod(s)) for s in shapes], limit)]
        found[f"length and axes of each bucket, {label}"] = np.array(lengths).reshape(-1, 2)
        found[f"gradients are as before, {label}"] = True
    return found


@task("10.5", points=1)
def a_reduce_that_works_in_place(m):
    """Where one rank is alone, reduce may hand back its own argument: the sums must still be new arrays."""
    gradients = [np.arange(3, dtype=np.float32), np.ones((2, 2), np.float32)]
    for limit in (2, 4, 100):
        sums = m.reduce_gradients(gradients, [(3,), (2, 2)], limit, lambda x: x)
        for g in sums:
            g += 1
    return {"gradient 0": gradients[0], "gradient 1": gradients[1], "sum 0": sums[0], "sum 1": sums[1]}


@a_reduce_that_works_in_place.expects
def _():
    gradients = {"gradient 0": exact(np.arange(3.0)), "gradient 1": exact(np.ones((2, 2)))}
    return gradients | {"sum 0": single(np.arange(1.0, 4)), "sum 1": single(np.full((2, 2), 2.0))}


THREE = ((2, 1, 1), (1, 0, 3), (0, 4, 0))


@task("10.5", points=2)
def bert_is_fine_tuned_by_three_ranks(m):
    """Three ranks, of which some have no sentence in a step."""
    m.reduce_gradients([], [], 1, lambda x: x)
    return shared(m, THREE)


@bert_is_fine_tuned_by_three_ranks.expects
def _():
    return right(len(THREE))
