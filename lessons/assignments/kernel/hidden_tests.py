"""The hidden tests of assignment 6."""

import math

import numpy as np

from models.course.testing import close, exact, new_memory, single, task


def true_gelu(x):
    """GELU, and its slope as the measured one of y."""
    c = math.sqrt(2 / math.pi)

    def f(z):
        return 0.5 * z * (1 + np.tanh(c * (z + 0.044715 * z**3)))

    x = np.asarray(x, np.float64)
    return f(x), (f(x + 1e-5) - f(x - 1e-5)) / 2e-5


@task("6.1", points=2)
def gelu_of_other_arrays(m):
    """Shapes, dtypes, large numbers; x is not changed."""
    rng = np.random.default_rng(1)
    x, single_x = rng.normal(size=(2, 3, 4)), rng.normal(size=5).astype(np.float32)
    y, slope = m.gelu(x)
    z, dz = m.gelu(single_x)
    far, flat = m.gelu(np.array([-50.0, 0.0, 50.0]))
    return {"y": y, "slope": slope, "float32": z, "slope, float32": dz, "far out": far, "slope far out": flat, "x afterwards": x}


@gelu_of_other_arrays.expects
def _():
    rng = np.random.default_rng(1)
    x, single_x = rng.normal(size=(2, 3, 4)), rng.normal(size=5).astype(np.float32)
    y, slope = true_gelu(x)
    z, dz = true_gelu(single_x)
    return {
        "y": y,
        "slope": close(slope, 1e-6, 1e-8),
        "float32": single(z),
        "slope, float32": single(dz),
        "far out": np.array([0.0, 0, 50]),
        "slope far out": close(np.array([0.0, 0.5, 1]), 1e-6),
        "x afterwards": exact(x),
    }


CUTS = [(0, 4), (1, 4), (4, 4), (8, 4), (5, 1), (3, 100), (7, 3)]


@task("6.2", points=1)
def other_cuts(m):
    """Nothing, exactly full, larger than all; each element in one block."""
    found = {}
    for n, size in CUTS:
        parts = list(m.blocks(n, size))
        found[f"{n} in blocks of {size}"] = [end for part in parts for end in (part.start, part.stop)]
        found[f"elements, {n} and {size}"] = [i for part in parts for i in range(n)[part]]
    return found


@other_cuts.expects
def _():
    ends = {
        (0, 4): [],
        (1, 4): [0, 1],
        (4, 4): [0, 4],
        (8, 4): [0, 4, 4, 8],
        (5, 1): [0, 1, 1, 2, 2, 3, 3, 4, 4, 5],
        (3, 100): [0, 3],
        (7, 3): [0, 3, 3, 6, 6, 7],
    }
    found = {}
    for n, size in CUTS:
        found |= {f"{n} in blocks of {size}": ends[n, size], f"elements, {n} and {size}": list(range(n))}
    return found


@task("6.3", points=3)
def fast_gelu_of_awkward_arrays(m):
    """Empty, no axes, a transpose, every second element, float64, larger than any block and no multiple of one."""
    rng = np.random.default_rng(2)
    base = rng.normal(size=(40, 6)).astype(np.float32)
    cases = {
        "empty": np.empty((0, 3), np.float32),
        "no axes": np.array(0.5, np.float32),
        "transposed": base.T,
        "every second": base[::2, ::3],
        "float64": rng.normal(size=9),
        "large": rng.normal(size=200_003).astype(np.float32),
        "far out": np.array([[-60.0, -9.0, 0.0], [9.0, 60.0, 1e4]], np.float32),
    }
    found = {}
    for name, x in cases.items():
        before = x.copy()
        y, slope = m.fast_gelu(x)
        found |= {f"y, {name}": y, f"slope, {name}": slope, f"x is as it was, {name}": bool((x == before).all())}
    x = np.array([1.0, 2.0], np.float32)
    y, slope = m.fast_gelu(x)
    again, _ = m.fast_gelu(x + 1)
    other, _ = m.fast_gelu(np.array([1.0, -3.0], np.float32))
    shared = np.shares_memory(y, slope) or np.shares_memory(y, x) or np.shares_memory(slope, x) or np.shares_memory(y, again)
    return found | {"results share memory": bool(shared), "y after another call": y, "another array that begins alike": other}


@fast_gelu_of_awkward_arrays.expects
def _():
    rng = np.random.default_rng(2)
    base = rng.normal(size=(40, 6)).astype(np.float32)
    cases = {
        "empty": np.empty((0, 3), np.float32),
        "no axes": np.array(0.5, np.float32),
        "transposed": base.T,
        "every second": base[::2, ::3],
        "float64": rng.normal(size=9),
        "large": rng.normal(size=200_003).astype(np.float32),
        "far out": np.array([[-60.0, -9.0, 0.0], [9.0, 60.0, 1e4]], np.float32),
    }
    found = {}
    for name, x in cases.items():
        y, slope = true_gelu(x)
        double = name == "float64"
        found |= {
            f"y, {name}": close(y, 1e-9, 1e-12, x.dtype) if double else single(y),
            f"slope, {name}": close(slope, 1e-6, 1e-8, x.dtype) if double else single(slope),
            f"x is as it was, {name}": True,
        }
    found |= {"results share memory": False, "y after another call": single(true_gelu([1.0, 2.0])[0])}
    return found | {"another array that begins alike": single(true_gelu([1.0, -3.0])[0])}


def plain_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    """The formula in plain array code; returns the new p, m, v."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v


def arrays(shape, dtype):
    rng = np.random.default_rng(3)
    return [rng.normal(size=shape).astype(dtype) for _ in range(3)] + [rng.random(shape).astype(dtype)]


SETTINGS = (
    ((3, 4), 1, 0.1, 0.9, 0.999, 1e-8),
    ((50_001,), 3, 0.01, 0.8, 0.9, 1e-3),
    ((1,), 7, 0.5, 0.0, 0.5, 0.5),
    ((2, 5, 3), 2, 1.0, 0.5, 0.99, 0.1),
    ((0, 4), 1, 0.1, 0.9, 0.999, 1e-8),
)


@task("6.4", points=2)
def adam_from_any_state(m):
    """Any t, eps large and small, more elements than a block, float64 and float32."""
    found = {}
    for dtype in (np.float64, np.float32):
        for shape, *numbers in SETTINGS:
            p, g, mean, square = arrays(shape, dtype)
            result = m.fast_adam(p, g, mean, square, *numbers)
            label = f"{shape}, {np.dtype(dtype)}"
            found |= {f"p {label}": p, f"m {label}": mean, f"v {label}": square, f"g {label}": g, f"result {label}": result}
    return found


@adam_from_any_state.expects
def _():
    found = {}
    for dtype in (np.float64, np.float32):
        for shape, *numbers in SETTINGS:
            p, g, mean, square = arrays(shape, dtype)
            label = f"{shape}, {np.dtype(dtype)}"
            new = plain_adam(*(x.astype(np.float64) for x in (p, g, mean, square)), *numbers)
            near = (lambda x: close(x, 1e-8)) if dtype == np.float64 else (lambda x: single(x, 1e-4, 1e-5))
            found |= {f"{name} {label}": near(x) for name, x in zip("pmv", new, strict=True)}
            found |= {f"g {label}": exact(g), f"result {label}": None}
    return found


@task("6.4", points=2)
def adam_needs_little_memory(m):
    """For four million float32: the most that is held in new arrays at a time, in units of p's own size."""
    state = arrays(4_000_000, np.float32)
    m.fast_adam(*state, 9, 1e-3, 0.9, 0.999, 1e-8)
    return {"new memory, as a multiple of p": new_memory(m, m.fast_adam, *state, 10, 1e-3, 0.9, 0.999, 1e-8) / state[0].nbytes}


@adam_needs_little_memory.expects
def _():
    def check(got):
        return None if got <= 1.6 else f"yours holds {float(got):.1f} times the size of p in new arrays, it should be at most 1.5"

    return {"new memory, as a multiple of p": check}
