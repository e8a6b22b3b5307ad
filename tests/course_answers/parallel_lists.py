"""The chunks as a list of arrays, added to in place; sum and count reduced one after the other; buckets closed with a flush."""

import numpy as np


def chunks(n, size):
    base, extra = divmod(n, size)
    found, start = [], 0
    for i in range(size):
        stop = start + base + (1 if i < extra else 0)
        found.append(slice(start, stop))
        start = stop
    return found


def reduce_scatter(x, rank, size, send, receive):
    parts = [np.array(x[s]) for s in chunks(x.size, size)]
    for step in range(size - 1):
        out = (rank - step - 1) % size
        come = (rank - step - 2) % size
        send(parts[out])
        parts[come] += receive()
    return parts[rank]


def all_gather(part, n, rank, size, send, receive):
    parts = [None] * size
    parts[rank] = part
    for step in range(size - 1):
        send(parts[(rank - step) % size])
        parts[(rank - step - 1) % size] = receive()
    return np.concatenate(parts)


def all_reduce(x, rank, size, send, receive):
    return all_gather(reduce_scatter(x, rank, size, send, receive), x.shape[0], rank, size, send, receive)


def mean_of_all(losses, reduce):
    total = reduce(np.array([np.sum(losses)], dtype=np.float64))[0]
    count = reduce(np.array([losses.shape[0]], dtype=np.float64))[0]
    if count == 0:
        return 0.0, lambda g: np.zeros_like(losses)
    return total / count, lambda g: np.ones_like(losses) * float(g / count)


def reduce_gradients(gradients, shapes, limit, reduce):
    sums = [None] * len(shapes)
    waiting, filled = [], 0

    def flush():
        nonlocal waiting, filled
        if waiting:
            whole = reduce(np.hstack([array.ravel() for _, array in waiting]))
            at = 0
            for i, array in waiting:
                sums[i] = np.array(whole[at : at + array.size]).reshape(shapes[i])
                at += array.size
        waiting, filled = [], 0

    for i in range(len(shapes) - 1, -1, -1):
        g = gradients[i] if gradients[i] is not None else np.zeros(shapes[i], "f4")
        if waiting and filled + g.size > limit:
            flush()
        waiting.append((i, g))
        filled += g.size
    flush()
    return sums
