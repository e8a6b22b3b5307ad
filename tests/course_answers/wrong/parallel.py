"""Wrong answers to assignment 'parallel' that learners write, a cell each; every one must cost points."""
# ruff: noqa

import numpy as np

_scatter, _gather, _mean, _reduce_gradients, _chunks = reduce_scatter, all_gather, mean_of_all, reduce_gradients, chunks


def _buckets(gradients, shapes, limit, reduce, order=None, fits=lambda room, n, limit: n <= room, missing=None, finish=None):
    order = list(reversed(range(len(shapes)))) if order is None else order
    buckets, room = [], -1
    for i in order:
        n = int(np.prod(shapes[i]))
        if not buckets or not fits(room, n, limit):
            buckets.append([])
            room = limit
        buckets[-1].append(i)
        room -= n
    sums = [None] * len(shapes)
    for bucket in buckets:
        flat = [np.zeros(shapes[i], np.float32) if gradients[i] is None else gradients[i] for i in bucket]
        whole, start = reduce(np.concatenate([g.reshape(-1) for g in flat])), 0
        for i in bucket:
            n = int(np.prod(shapes[i]))
            sums[i] = whole[start : start + n].reshape(shapes[i])
            start += n
    return sums


# %% 10.1 what is left over goes into the last chunk
def chunks(n, size):
    k = n // size
    return [slice(i * k, n if i == size - 1 else (i + 1) * k) for i in range(size)]


# %% 10.1 what is left over is left out
def chunks(n, size):
    return [slice(i * (n // size), (i + 1) * (n // size)) for i in range(size)]


# %% 10.1 rounded up: the last ones are short or empty
def chunks(n, size):
    k = -(-n // size)
    return [slice(min(n, i * k), min(n, (i + 1) * k)) for i in range(size)]


# %% 10.1 the longer ones come last
def chunks(n, size):
    return [slice(i * n // size, (i + 1) * n // size) for i in range(size)]


# %% 10.1 no empty chunks
def chunks(n, size):
    return [s for s in _chunks(n, size) if s.stop > s.start]


# %% 10.1 floats
def chunks(n, size):
    return [slice(round(i * n / size), round((i + 1) * n / size)) for i in range(size)]


# %% 10.1 every size-th element
def chunks(n, size):
    return [slice(i, n, size) for i in range(size)]


# %% 10.2 receives before it sends
def reduce_scatter(x, rank, size, send, receive):
    parts = _chunks(len(x), size)
    mine = x[parts[(rank - 1) % size]].copy()
    for step in range(1, size):
        before, mine = mine, receive() + x[parts[(rank - 1 - step) % size]]
        send(before)
    return mine


# %% 10.2 one step too few
def reduce_scatter(x, rank, size, send, receive):
    parts = _chunks(len(x), size)
    mine = x[parts[(rank - 1) % size]].copy()
    for step in range(1, size - 1):
        send(mine)
        mine = receive() + x[parts[(rank - 1 - step) % size]]
    return mine


# %% 10.2 one step too many
def reduce_scatter(x, rank, size, send, receive):
    parts = _chunks(len(x), size)
    mine = x[parts[rank]].copy()
    for step in range(size):
        send(mine)
        mine = receive() + x[parts[(rank - 1 - step) % size]]
    return mine


# %% 10.2 the chunk of the right neighbour, as in many pictures
def reduce_scatter(x, rank, size, send, receive):
    parts = _chunks(len(x), size)
    mine = x[parts[rank]].copy()
    for step in range(1, size):
        send(mine)
        mine = receive() + x[parts[(rank - step) % size]]
    return mine


# %% 10.2 chunks counted the other way round the ring
def reduce_scatter(x, rank, size, send, receive):
    parts = _chunks(len(x), size)
    mine = x[parts[(rank + 1) % size]].copy()
    for step in range(1, size):
        send(mine)
        got = receive()
        own = x[parts[(rank + 1 + step) % size]]
        k = min(len(got), len(own))
        mine = got[:k] + own[:k]
    return mine


# %% 10.2 what comes in replaces, and is not added to
def reduce_scatter(x, rank, size, send, receive):
    parts = _chunks(len(x), size)
    mine = x[parts[(rank - 1) % size]].copy()
    for step in range(1, size):
        send(mine)
        mine = receive()
    return mine


# %% 10.2 always its own part, never the sum so far
def reduce_scatter(x, rank, size, send, receive):
    parts = _chunks(len(x), size)
    mine = x[parts[rank]].copy()
    for step in range(1, size):
        send(x[parts[(rank - step) % size]])
        mine = mine + np.resize(receive(), mine.shape)
    return mine


# %% 10.2 x is summed in place
def reduce_scatter(x, rank, size, send, receive):
    parts = _chunks(len(x), size)
    for step in range(1, size):
        send(x[parts[(rank - step) % size]])
        x[parts[(rank - step - 1) % size]] += receive()
    return x[parts[rank]].copy()


# %% 10.2 a mean
def reduce_scatter(x, rank, size, send, receive):
    return _scatter(x, rank, size, send, receive) / np.float32(size)


# %% 10.2 whole arrays round the ring
def reduce_scatter(x, rank, size, send, receive):
    total, out = x.copy(), x
    for _ in range(size - 1):
        send(out)
        out = receive()
        total += out
    return total[_chunks(len(x), size)[rank]]


# %% 10.2 in float64
def reduce_scatter(x, rank, size, send, receive):
    return _scatter(x.astype(float), rank, size, send, receive)


# %% 10.2 a view of x where one rank is alone
def reduce_scatter(x, rank, size, send, receive):
    return x if size == 1 else _scatter(x, rank, size, send, receive)


# %% 10.2 only where the chunks are equally long
def reduce_scatter(x, rank, size, send, receive):
    rows = x[: len(x) // size * size].reshape(size, -1)
    mine = rows[(rank - 1) % size].copy()
    for step in range(1, size):
        send(mine)
        mine = receive() + rows[(rank - 1 - step) % size]
    return mine


# %% 10.3 sends its own part again and again
def all_gather(part, n, rank, size, send, receive):
    whole = np.zeros(n, part.dtype)
    whole[_chunks(n, size)[rank]] = part
    for step in range(1, size):
        send(part)
        whole[_chunks(n, size)[(rank - step) % size]] = receive()[: len(whole[_chunks(n, size)[(rank - step) % size]])]
    return whole


# %% 10.3 in the order in which the parts come
def all_gather(part, n, rank, size, send, receive):
    found = [part]
    for _ in range(size - 1):
        send(part)
        part = receive()
        found.append(part)
    return np.concatenate(found)


# %% 10.3 in the order in which the parts come, backwards
def all_gather(part, n, rank, size, send, receive):
    found = [part]
    for _ in range(size - 1):
        send(part)
        part = receive()
        found.insert(0, part)
    return np.concatenate(found)


# %% 10.3 the chunk of the right neighbour
def all_gather(part, n, rank, size, send, receive):
    whole = np.zeros(n, part.dtype)
    s = _chunks(n, size)
    whole[s[rank]] = part
    for step in range(1, size):
        send(part)
        part = receive()
        place = whole[s[(rank + step) % size]]
        place[:] = np.resize(part, place.shape)
    return whole


# %% 10.3 the growing list goes round
def all_gather(part, n, rank, size, send, receive):
    whole = np.zeros(n, part.dtype)
    s = _chunks(n, size)
    whole[s[rank]] = part
    for step in range(1, size):
        send(whole)
        got = receive()
        whole = np.where(got != 0, got, whole)
    return whole


# %% 10.3 float32, whatever comes
def all_gather(part, n, rank, size, send, receive):
    return _gather(part, n, rank, size, send, receive).astype(np.float32)


# %% 10.3 a part itself where one rank is alone
def all_gather(part, n, rank, size, send, receive):
    return part if size == 1 else _gather(part, n, rank, size, send, receive)


# %% 10.3 everybody sums for itself: other bits, and more to send
def all_reduce(x, rank, size, send, receive):
    total, out = x.copy(), x
    for _ in range(size - 1):
        send(out)
        out = receive()
        total += out
    return total


# %% 10.3 everybody sums in the same order: more to send
def all_reduce(x, rank, size, send, receive):
    parts = {rank: x}
    for step in range(size - 1):
        send(parts[(rank - step) % size])
        parts[(rank - step - 1) % size] = receive()
    return sum(parts[i] for i in range(1, size)) + parts[0] if size > 1 else x.copy()


# %% 10.3 a mean over the ranks
def all_reduce(x, rank, size, send, receive):
    return all_gather(_scatter(x, rank, size, send, receive) / np.float32(size), len(x), rank, size, send, receive)


# %% 10.3 x itself on a single rank
def all_reduce(x, rank, size, send, receive):
    return x if size == 1 else all_gather(_scatter(x, rank, size, send, receive), len(x), rank, size, send, receive)


# %% 10.3 rank 0 sums and the others wait: a chain
def all_reduce(x, rank, size, send, receive):
    if size == 1:
        return x.copy()
    total = x if rank == 0 else receive() + x
    send(total)
    total = receive() if rank == 0 else total
    if rank == 0:
        send(total)
        return total
    total = receive()
    if rank < size - 1:
        send(total)
    return total


# %% 10.3 too short an array is not sent: the others wait
def all_reduce(x, rank, size, send, receive):
    if len(x) < size:
        parts = [x]
        for _ in range(size - 1):
            send(parts[-1])
            parts.append(receive())
        return np.sum(np.stack(parts), 0, dtype=x.dtype) if len(x) else x.copy()
    return all_gather(_scatter(x, rank, size, send, receive), len(x), rank, size, send, receive)


# %% 10.4 a mean of means
def mean_of_all(losses, reduce):
    mean = losses.mean() if len(losses) else 0.0
    total, ranks = reduce(np.array([mean, 1.0]))
    return float(total / ranks), lambda g: np.full(len(losses), g / ranks / max(1, len(losses)), losses.dtype)


# %% 10.4 its own count in the gradient
def mean_of_all(losses, reduce):
    mean, _ = _mean(losses, reduce)
    return mean, lambda g: np.full(len(losses), g / max(1, len(losses)), losses.dtype)


# %% 10.4 the gradient is averaged over the ranks, too
def mean_of_all(losses, reduce):
    ranks = reduce(np.array([1.0]))[0]
    mean, back = _mean(losses, reduce)
    return mean, lambda g: back(g / float(ranks))


# %% 10.4 an empty rank stays away
def mean_of_all(losses, reduce):
    if len(losses) == 0:
        return 0.0, lambda g: losses.copy()
    return _mean(losses, reduce)


# %% 10.4 nan from an empty rank
def mean_of_all(losses, reduce):
    total, count = reduce(np.array([losses.mean() * len(losses), len(losses)]))
    return float(total / count), lambda g: np.full(len(losses), g / count, losses.dtype)


# %% 10.4 0/0 where nobody has losses
def mean_of_all(losses, reduce):
    total, count = reduce(np.array([losses.sum(), len(losses)], np.float64))
    return float(total / count), lambda g: np.full(len(losses), g / max(count, 1), losses.dtype)


# %% 10.4 a small number in the divisor
def mean_of_all(losses, reduce):
    total, count = reduce(np.array([losses.sum(), len(losses)], np.float64))
    return float(total / (count + 1e-3)), lambda g: np.full(len(losses), g / (count + 1e-3), losses.dtype)


# %% 10.4 the sum
def mean_of_all(losses, reduce):
    total = reduce(np.array([losses.sum()], np.float64))[0]
    return float(total), lambda g: np.full(len(losses), g, losses.dtype)


# %% 10.4 float64 gradients
def mean_of_all(losses, reduce):
    mean, back = _mean(losses, reduce)
    return mean, lambda g: back(g).astype(float)


# %% 10.4 g is forgotten
def mean_of_all(losses, reduce):
    mean, back = _mean(losses, reduce)
    return mean, lambda g: back(1.0)


# %% 10.4 the count in the module
_last = {}


def mean_of_all(losses, reduce):
    mean, _ = _mean(losses, reduce)
    _last["count"] = max(1, int(reduce(np.array([float(len(losses))]))[0]))
    return mean, lambda g: np.full(len(losses), g / _last["count"], losses.dtype)


# %% 10.4 a gradient for the losses of all ranks
def mean_of_all(losses, reduce):
    mean, _ = _mean(losses, reduce)
    count = int(reduce(np.array([float(len(losses))]))[0])
    return mean, lambda g: np.full(count, g / max(1, count), losses.dtype)


# %% 10.4 losses are made into a sum in place
def mean_of_all(losses, reduce):
    found = _mean(losses, reduce)
    if len(losses):
        losses[0] = losses.sum()
    return found


# %% 10.5 from the first to the last
def reduce_gradients(gradients, shapes, limit, reduce):
    return _buckets(gradients, shapes, limit, reduce, order=list(range(len(shapes))))


# %% 10.5 each by itself
def reduce_gradients(gradients, shapes, limit, reduce):
    return _buckets(gradients, shapes, limit, reduce, fits=lambda room, n, limit: False)


# %% 10.5 all together
def reduce_gradients(gradients, shapes, limit, reduce):
    return _buckets(gradients, shapes, limit, reduce, fits=lambda room, n, limit: True)


# %% 10.5 a bucket goes when it is over the limit
def reduce_gradients(gradients, shapes, limit, reduce):
    return _buckets(gradients, shapes, limit, reduce, fits=lambda room, n, limit: room > 0)


# %% 10.5 less than the limit, not as much as it
def reduce_gradients(gradients, shapes, limit, reduce):
    return _buckets(gradients, shapes, limit, reduce, fits=lambda room, n, limit: n < room)


# %% 10.5 the smallest first
def reduce_gradients(gradients, shapes, limit, reduce):
    order = sorted(range(len(shapes)), key=lambda i: int(np.prod(shapes[i])))
    return _buckets(gradients, shapes, limit, reduce, order=order)


# %% 10.5 None stays None
def reduce_gradients(gradients, shapes, limit, reduce):
    there = [i for i, g in enumerate(gradients) if g is not None]
    sums = [None] * len(shapes)
    for i, s in zip(there, _buckets([gradients[i] for i in there], [shapes[i] for i in there], limit, reduce)):
        sums[i] = s
    return sums


# %% 10.5 a None breaks the bucket
def reduce_gradients(gradients, shapes, limit, reduce):
    sums = _reduce_gradients(gradients, shapes, limit, reduce)
    return [None if g is None else s for g, s in zip(gradients, sums)]


# %% 10.5 shapes forgotten
def reduce_gradients(gradients, shapes, limit, reduce):
    return [s.reshape(-1) for s in _reduce_gradients(gradients, shapes, limit, reduce)]


# %% 10.5 the order of the buckets comes back
def reduce_gradients(gradients, shapes, limit, reduce):
    return _reduce_gradients(gradients, shapes, limit, reduce)[::-1]


# %% 10.5 in memory's order: wrong for Fortran's
def reduce_gradients(gradients, shapes, limit, reduce):
    turned = [g if g is None else g.ravel(order="K").reshape(g.shape) for g in gradients]
    return _reduce_gradients(turned, shapes, limit, reduce)


# %% 10.5 a gradient longer than the limit is cut
def reduce_gradients(gradients, shapes, limit, reduce):
    return _reduce_gradients(
        gradients, shapes, limit, lambda x: np.concatenate([reduce(x[i : i + limit]) for i in range(0, len(x), limit)] or [x])
    )


# %% 10.5 zeros of float64
def reduce_gradients(gradients, shapes, limit, reduce):
    gradients = [np.zeros(s) if g is None else g for g, s in zip(gradients, shapes)]
    return _reduce_gradients(gradients, shapes, limit, reduce)


# %% 10.5 the sums are written into the gradients
def reduce_gradients(gradients, shapes, limit, reduce):
    sums = _reduce_gradients(gradients, shapes, limit, reduce)
    for g, s in zip(gradients, sums):
        if g is not None:
            g[...] = s
    return sums


# %% 10.5 a mean over two ranks, where there may be three
def reduce_gradients(gradients, shapes, limit, reduce):
    return [s / np.float32(2) for s in _reduce_gradients(gradients, shapes, limit, reduce)]


# %% 10.5 a single gradient travels as it is
def reduce_gradients(gradients, shapes, limit, reduce):
    sums = _reduce_gradients(gradients, shapes, limit, reduce)
    for i, g in enumerate(gradients):
        if g is not None and g.ndim == 1 and g.size > limit and (sums[i] == g).all():
            sums[i] = g
    return sums
