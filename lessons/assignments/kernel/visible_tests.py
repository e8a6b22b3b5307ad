"""The visible tests of assignment 6. Each runs with your module m; below it stands what should come out.

They are here to be read: `minitorch course check` runs the original ones, whatever is written here.
"""

import math

import numpy as np

from minitorch.ops.activations import gelu_tanh
from models.course.testing import close, exact, race, single, task
from models.course.tiny_bert import alike, training_with_adam, training_with_kernels

MANY = 4_000_000


def true_gelu(x):
    """GELU one number at a time, and its slope, measured from both sides."""

    def f(z):
        return 0.5 * z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))

    numbers, eps = np.asarray(x, np.float64).reshape(-1).tolist(), 1e-5
    y, slope = [f(z) for z in numbers], [(f(z + eps) - f(z - eps)) / (2 * eps) for z in numbers]
    return np.array(y).reshape(x.shape), np.array(slope).reshape(x.shape)


@task("6.1", points=2)
def gelu_of_a_few_numbers(m):
    """From -3 to 3; in float32, too; x is not changed."""
    x = np.linspace(-3, 3, 7)
    y, slope = m.gelu(x)
    z, dz = m.gelu(x.astype(np.float32))
    found = {"½x(1 + tanh u)": y, "slope: ½(1 + tanh u) + ½x(1 - tanh² u)u'": slope, "x afterwards": x}
    return found | {"in float32": z, "slope in float32": dz}


@gelu_of_a_few_numbers.expects
def _():
    x = np.linspace(-3, 3, 7)
    y, slope = true_gelu(x)
    exact = 0.5 * x * (1 + np.array([math.erf(z / math.sqrt(2)) for z in x]))
    of_y = {"the exact GELU, with erf": exact, "forgetting the cube": 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * x))}
    t = 2 * y / np.where(x, x, 1) - 1 + (x == 0)
    c, cube = math.sqrt(2 / math.pi), 0.044715 * x * x
    of_slope = {
        "forgetting the second term of the product rule": 0.5 * (1 + t),
        "forgetting u'": 0.5 * (1 + t) + 0.5 * x * (1 - t * t),
        "u' without the 3 of the cube": 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + cube),
        "u' without √(2/π)": 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * (1 + 3 * cube),
        "forgetting the second ½": 0.5 * (1 + t) + x * (1 - t * t) * c * (1 + 3 * cube),
        "1 - tanh without the square": 0.5 * (1 + t) + 0.5 * x * (1 - t) * c * (1 + 3 * cube),
    }
    return {
        "½x(1 + tanh u)": close(y, slips=of_y),
        "slope: ½(1 + tanh u) + ½x(1 - tanh² u)u'": close(slope, 1e-6, 1e-8, slips=of_slope),
        "x afterwards": x,
        "in float32": single(y),
        "slope in float32": single(slope),
    }


@task("6.2", points=1)
def ten_in_blocks_of_four(m):
    """4, 4 and 2; nothing has no blocks."""
    found = {"starts and stops": [end for part in m.blocks(10, 4) for end in (part.start, part.stop)]}
    return found | {"blocks of 8 elements": len(list(m.blocks(8, 4))), "blocks of nothing": len(list(m.blocks(0, 4)))}


@ten_in_blocks_of_four.expects
def _():
    slips = {"a last block that goes beyond n": [0, 4, 4, 8, 8, 12], "leaving the rest out": [0, 4, 4, 8]}
    empty = {"an empty block at the end": 3}
    found = {"starts and stops": close([0, 4, 4, 8, 8, 10], slips=slips), "blocks of 8 elements": close(2, slips=empty)}
    return found | {"blocks of nothing": close(0, slips={"an empty block": 1})}


@task("6.3", points=2)
def fast_gelu_is_right(m):
    """A matrix of float32; x is not changed."""
    x = np.linspace(-5, 5, 60, dtype=np.float32).reshape(6, 10)
    y, slope = m.fast_gelu(x)
    return {"y": y, "slope": slope, "x afterwards": x}


@fast_gelu_is_right.expects
def _():
    x = np.linspace(-5, 5, 60, dtype=np.float32).reshape(6, 10)
    y, slope = true_gelu(x)
    return {"y": single(y), "slope": single(slope), "x afterwards": exact(x)}


@task("6.3", points=2)
def fast_gelu_is_fast(m):
    """Four million float32, against the library's definition in plain array code; and right on the way."""
    times, wrong = 0.0, 0.0
    for _ in range(3):  # a busy machine may spoil a measurement
        ratio, error = race(m, m.fast_gelu, gelu_tanh, MANY)  # the definition, without the library's fast kernel
        times, wrong = max(times, ratio), max(wrong, error)
        if times >= 1.2:
            break
    return {"times as fast as plain array code": times, "largest error": wrong}


def true_speed(least):
    """A little less passes, too: measurements vary by a few hundredths."""

    def check(got):
        return None if got >= least - 0.05 else f"yours is {float(got):.2g} times as fast, it should be at least {least} times"

    return check


@fast_gelu_is_fast.expects
def _():
    return {"times as fast as plain array code": true_speed(1.1), "largest error": close(0.0, 0, 1e-5)}


@task("6.4", points=2)
def two_steps_of_adam(m):
    """All in place; g stays. eps is 0.5, so that its place shows."""
    p, g, mean, square = np.array([1.0, -2.0]), np.array([0.5, -4.0]), np.zeros(2), np.zeros(2)
    m.fast_adam(p, g, mean, square, 1, 0.1, 0.9, 0.99, 0.5)
    first = p.copy()
    m.fast_adam(p, -g, mean, square, 2, 0.1, 0.9, 0.99, 0.5)
    return {"p after one": first, "p after two": p, "m": mean, "v": square, "g": g}


@two_steps_of_adam.expects
def _():
    p, g = np.array([1.0, -2.0]), np.array([0.5, -4.0])
    size = np.abs(g)
    first = p - 0.1 * g / (size + 0.5)
    mean, square = (0.9 * 0.1 - 0.1) * g, (0.99 * 0.01 + 0.01) * g * g
    second = first - 0.1 * (mean / (1 - 0.81)) / (np.sqrt(square / (1 - 0.99**2)) + 0.5)
    slips = {
        "means that are not corrected for t": p - 0.1 * 0.1 * g / (0.1 * size + 0.5),
        "a mean m that is not corrected for t": p - 0.1 * 0.1 * g / (size + 0.5),
        "a mean v that is not corrected for t": p - 0.1 * g / (0.1 * size + 0.5),
        "|g| in place of g²": p - 0.1 * g / (np.sqrt(size) + 0.5),
        "a new array in place of p's own": p,
        "eps inside of the root": p - 0.1 * g / np.sqrt(g * g + 0.5),
        "no eps": p - 0.1 * g / size,
        "a step uphill": p + 0.1 * g / (size + 0.5),
    }
    of_second = {"corrections as at the first step": first - 0.1 * (mean / 0.1) / (np.sqrt(square / 0.01) + 0.5)}
    return {
        "p after one": close(first, 1e-6, slips=slips),
        "p after two": close(second, 1e-6, slips=of_second),
        "m": close(mean, slips={"a new array in place of m's own": np.zeros(2)}),
        "v": close(square, slips={"a new array in place of v's own": np.zeros(2)}),
        "g": exact(g),
    }


@task("6.4", points=2)
def bert_trains_on_your_kernels(m):
    """A small BERT with your GELU (kernels.use) and your Adam: losses and gradients as with the library's."""
    zero = np.zeros(1)
    m.fast_adam(zero, zero.copy(), zero.copy(), zero.copy(), 1, 0.1, 0.9, 0.99, 1e-8)
    return training_with_kernels(m)


@bert_trains_on_your_kernels.expects
def _():
    return alike(training_with_adam())
