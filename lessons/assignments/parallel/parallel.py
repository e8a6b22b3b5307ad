"""Assignment 10: several processes learn what one learns. The handout is README.md.

A process is called a rank; ranks are numbered from 0 to size - 1 and stand in a ring. A rank has two channels:

    send(array)    puts a copy of the array on its way to the right neighbour, rank (rank + 1) % size, and does not wait
    receive()      the next array from the left neighbour, rank (rank - 1) % size; waits until it is there

The same function runs on all ranks at once. Every array here has one axis, float32 in, float32 out; change no argument.
"""

import math

import numpy as np

# ------------------------------------------------------------------------------------------------------ Task 10.1


def chunks(n, size):
    """A list of ``size`` slices that cut n elements into chunks, in order.

    Their lengths differ by at most 1, the longer ones come first; with n < size the last ones are empty.
    """
    ### BEGIN SOLUTION 10.1: chunks, as equal as they can be
    ends = [i * (n // size) + min(i, n % size) for i in range(size + 1)]
    return [slice(ends[i], ends[i + 1]) for i in range(size)]
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------ Task 10.2


def reduce_scatter(x, rank, size, send, receive):
    """Chunk number ``rank`` of the sum of all ranks' x, a new array; chunks as in ``chunks``.

    In each of size - 1 steps a rank sends one chunk and receives one. No message is longer than a chunk.
    """
    ### BEGIN SOLUTION 10.2: reduce_scatter, each chunk travels once round the ring
    parts = chunks(len(x), size)
    mine = x[parts[(rank - 1) % size]].copy()
    for step in range(1, size):
        send(mine)
        mine = receive() + x[parts[(rank - 1 - step) % size]]
    return mine
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------ Task 10.3


def all_gather(part, n, rank, size, send, receive):
    """An array of n elements whose chunk number i is rank i's ``part``: new, and equal on all ranks.

    In each of size - 1 steps a rank sends one chunk and receives one. No message is longer than a chunk.
    """
    ### BEGIN SOLUTION 10.3: all_gather, what came in goes out next
    parts, whole = chunks(n, size), np.empty(n, part.dtype)
    whole[parts[rank]] = part
    for step in range(1, size):
        send(part)
        part = receive()
        whole[parts[(rank - step) % size]] = part
    return whole
    ### END SOLUTION


def all_reduce(x, rank, size, send, receive):
    """The sum of all ranks' x, a new array, with the very same bits on all ranks: 2 (size - 1) messages from each."""
    ### BEGIN SOLUTION 10.3: all_reduce, which is both, one after the other
    part = reduce_scatter(x, rank, size, send, receive)
    return all_gather(part, len(x), rank, size, send, receive)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------ Task 10.4


def mean_of_all(losses, reduce):
    """The mean of all losses of all ranks, a number; and the pullback g -> dlosses, of this rank's losses.

    losses (k,): this rank's, one for each example or token; k differs between ranks, and may be 0. reduce(array) is the sum of
    all ranks' arrays; all ranks must call it, equally often, with arrays of equal length. g is a Python number. The
    gradients of a weight are summed over the ranks, not averaged. Where no rank has a loss, the mean is 0.
    """
    ### BEGIN SOLUTION 10.4: mean_of_all, sums and counts
    total, count = reduce(np.array([losses.sum(), len(losses)], np.float64))
    count = max(1, int(count))
    return float(total) / count, lambda g: np.full(len(losses), g / count, losses.dtype)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------ Task 10.5


def reduce_gradients(gradients, shapes, limit, reduce):
    """The sums of all ranks' gradients: a list of new arrays, in the same order and of these shapes, of float32.

    gradients: arrays of any number of axes, or None for a weight that this rank did not use, which counts as zeros. They
    travel in buckets, arrays of one axis: filled from the last gradient to the first, as a backward pass finds them; a
    bucket goes, by one call of ``reduce``, when the next gradient would make it longer than ``limit``. A gradient that
    is longer than that goes alone.
    """
    ### BEGIN SOLUTION 10.5: reduce_gradients, few long messages in place of many short ones
    buckets, room = [], -1
    for i in reversed(range(len(gradients))):
        n = math.prod(shapes[i])
        if n > room:
            buckets.append([])
            room = limit
        buckets[-1].append(i)
        room -= n
    sums = [None] * len(gradients)
    for bucket in buckets:
        flat = [np.zeros(shapes[i], np.float32) if gradients[i] is None else gradients[i] for i in bucket]
        whole, start = reduce(np.concatenate([g.reshape(-1) for g in flat])), 0
        for i in bucket:
            n = math.prod(shapes[i])
            sums[i] = whole[start : start + n].reshape(shapes[i])
            start += n
    return sums
    ### END SOLUTION
