"""Steps by recursion, a copy of x that is overwritten as it goes, np.array_split for the chunks."""

import numpy as np


def chunks(n, size):
    parts = np.array_split(np.arange(n), size)
    stops = np.cumsum([len(part) for part in parts]).tolist()
    return [slice(stop - len(part), stop) for part, stop in zip(parts, stops)]


def _step(work, step, last, rank, size, add, send, receive):
    if step == last:
        return
    where = chunks(len(work), size)
    to, of = where[(rank - step) % size], where[(rank - step - 1) % size]
    send(work[to])
    incoming = receive()
    work[of] = work[of] + incoming if add else incoming
    _step(work, step + 1, last, rank, size, add, send, receive)


def reduce_scatter(x, rank, size, send, receive):
    work = x.copy()
    _step(work, 1, size, rank, size, True, send, receive)
    return work[chunks(len(x), size)[rank]]


def all_gather(part, n, rank, size, send, receive):
    work = np.zeros(n, part.dtype)
    work[chunks(n, size)[rank]] = part
    _step(work, 0, size - 1, rank, size, False, send, receive)
    return work


def all_reduce(x, rank, size, send, receive):
    work = x.copy()
    _step(work, 1, size, rank, size, True, send, receive)
    _step(work, 0, size - 1, rank, size, False, send, receive)
    return work


class _Mean:
    def __init__(self, losses, count):
        self.shape, self.dtype, self.count = losses.shape, losses.dtype, count

    def __call__(self, g):
        slope = np.zeros(self.shape, self.dtype)
        if self.count:
            slope += g / self.count
        return slope


def mean_of_all(losses, reduce):
    s = 0.0
    for loss in losses:
        s += float(loss)
    s, k = reduce(np.array([s, len(losses)]))
    return (s / k if k > 0 else 0.0), _Mean(losses, float(k))


def reduce_gradients(gradients, shapes, limit, reduce):
    if not shapes:
        return []
    sizes = [int(np.prod(shape, dtype=int)) for shape in shapes]
    first = len(sizes) - 1
    while first > 0 and sum(sizes[first - 1 :]) <= limit:
        first -= 1
    arrays = [np.zeros(s, np.float32) if g is None else g for g, s in zip(gradients[first:], shapes[first:])]
    whole = np.array(reduce(np.concatenate([a.ravel() for a in arrays])))
    sums = []
    for size, shape in zip(sizes[first:], shapes[first:]):
        sums.append(whole[:size].reshape(shape))
        whole = whole[size:]
    return reduce_gradients(gradients[:first], shapes[:first], limit, reduce) + sums
