"""One generator of what comes round the ring serves both halves; float32 sums; buckets are planned first."""

import numpy as np


def chunks(n, size):
    return [slice((n // size) * i + min(n % size, i), (n // size) * (i + 1) + min(n % size, i + 1)) for i in range(size)]


def _round_the_ring(first, size, send, receive):
    """Send, receive, hand over; what is handed back is sent next."""
    out = first
    for _ in range(size - 1):
        send(out)
        out = yield receive()


def reduce_scatter(x, rank, size, send, receive):
    numbers = [(rank - k) % size for k in range(1, size + 1)]
    own = [x[chunks(len(x), size)[i]] for i in numbers]
    ring, total = _round_the_ring(own[0], size, send, receive), own[0]
    try:
        incoming = next(ring)
        for part in own[1:]:
            total = incoming + part
            incoming = ring.send(total)
    except StopIteration:
        pass
    return np.array(total)


def all_gather(part, n, rank, size, send, receive):
    found = {rank: part}
    ring, i = _round_the_ring(part, size, send, receive), rank
    try:
        incoming = next(ring)
        while True:
            i = (i - 1) % size
            found[i] = incoming
            incoming = ring.send(incoming)
    except StopIteration:
        pass
    return np.concatenate([found[k] for k in sorted(found)])


def all_reduce(x, rank, size, send, receive):
    return all_gather(reduce_scatter(x, rank, size, send, receive), len(x), rank, size, send, receive)


def mean_of_all(losses, reduce):
    both = reduce(np.array([losses.sum(), losses.size], losses.dtype))
    count = max(float(both[1]), 1.0)

    def pullback(g):
        return np.repeat(np.asarray(g / count, losses.dtype), losses.size)

    return float(both[0]) / count, pullback


def reduce_gradients(gradients, shapes, limit, reduce):
    lengths = [int(np.prod(shape)) for shape in shapes]
    plan = []
    for i in range(len(lengths))[::-1]:
        if plan and sum(lengths[j] for j in plan[-1]) + lengths[i] <= limit:
            plan[-1].append(i)
        else:
            plan.append([i])
    found = {}
    for bucket in plan:
        flat = np.empty(sum(lengths[i] for i in bucket), np.float32)
        ends = np.cumsum([lengths[i] for i in bucket])
        for i, end in zip(bucket, ends):
            flat[end - lengths[i] : end] = 0 if gradients[i] is None else gradients[i].flatten()
        pieces = np.split(reduce(flat), ends[:-1])
        found.update({i: piece.reshape(shapes[i]).copy() for i, piece in zip(bucket, pieces)})
    return [found[i] for i in range(len(shapes))]
