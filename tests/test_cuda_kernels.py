"""The CUDA kernels against their definitions in float64: on a card where there is one, else emulated (tests/emulation.h).

The emulation runs the very same sources and checks what a GPU would silently get wrong: reads and writes outside of arrays,
shared memory read before it is written, threads that wait for others which never come.
"""

from __future__ import annotations

import numpy as np
import pytest

import minitorch
import minitorch.kernels.cuda
from minitorch import kernels
from minitorch.kernels import philox, reference
from minitorch.kernels.cuda.launch import computed
from tests import emulated_cuda, emulated_cupy

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # inf - inf: the engine silences it around every op
HALVES = {"float16": 2e-3, "bfloat16": 2e-2}
each_type = pytest.mark.parametrize("kind", ["float32", *HALVES])


@pytest.fixture(scope="module", autouse=True)
def cupy():
    """CuPy on a card, or the stand-in for the tests of this file."""
    with emulated_cupy.card() as library:
        yield library


@pytest.fixture(params=["forwards", "backwards"])
def both_orders(request, monkeypatch):
    """The threads of a block take turns from the first to the last, and from the last to the first."""
    monkeypatch.setattr(emulated_cuda, "backwards", request.param == "backwards")


def numbers(seed, *shape, scale=1.0, strided=False):
    """Normal numbers in float32; strided: every second one of twice as many."""
    if strided:
        return numbers(seed, *shape[:-1], 2 * shape[-1], scale=scale)[..., ::2]
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) * scale, np.float32)


def dtype_of(kind):
    if kind != "bfloat16":
        return np.dtype(kind)
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


def on_card(x, kind="float32"):
    """The array on the card, float32 as ``kind``; strides stay."""
    cp = minitorch.devices.cupy()
    if not isinstance(x, np.ndarray):
        return x
    whole = x.base if x.base is not None and x.base.ndim == x.ndim and x.strides[-1] != x.itemsize else x
    moved = cp.asarray(whole.astype(dtype_of(kind)) if x.dtype == np.float32 else whole)
    return moved if whole is x else moved[..., ::2]


def wide(x):
    """What the definition gets: the numbers that the kernel sees, in float64; masks as arrays."""
    if type(x) is philox.Key:
        return numpy_mask(x)
    if hasattr(x, "get"):
        x = x.get()
    return x.astype(np.float64) if hasattr(x, "dtype") and x.dtype.name in ("float32", *HALVES) else x


def compare(name, *arguments, kind="float32", tolerance=2e-5, weights="same", **named):
    """The kernel and the definition in float64 agree, arguments stay as they are; returns what the kernel gave."""
    passed = [on_card(a, kind if weights == "same" or getattr(a, "ndim", 0) != 1 else weights) for a in arguments]
    before = [a.get() if hasattr(a, "get") else None for a in passed]
    got = kernels.KERNELS[name](*passed, **named)
    expected = getattr(reference, name)(*map(wide, passed), **named)
    for a, old in zip(passed, before, strict=True):
        if old is not None:
            np.testing.assert_array_equal(a.get(), old, err_msg=f"{name} changed an argument")
    pairs = zip(got, expected, strict=True) if isinstance(got, tuple) else [(got, expected)]
    for a, b in pairs:
        close(a, b, max(tolerance, HALVES.get(kind, 0)))
    return got


def close(a, b, tolerance):
    if b is None:
        assert a is None
        return
    a, b = wide(a), np.asarray(b)
    axes = tuple(range(b.ndim - a.ndim))  # a gradient that broadcasting is to be undone of may be summed already
    b = b.sum(axes) if axes else b
    assert a.shape == b.shape
    size = np.abs(b[np.isfinite(b)]).max(initial=1)
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * size)


# -------------------------------------------------------------------------------------------------------- Philox


def numpy_philox(counter, key):
    """Philox4x32-10 once more, in NumPy, from the paper: counter (..., 4), key (2,)."""
    c, (k0, k1) = [counter[..., i].astype(np.uint64) for i in range(4)], map(int, key)
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [b >> np.uint64(32) ^ c[1] ^ np.uint64(k0), b & low, a >> np.uint64(32) ^ c[3] ^ np.uint64(k1), a & low]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack(c, -1).astype(np.uint32)


def numpy_mask(key):
    """The mask that a Key stands for."""
    rows, n = key.rows
    groups = np.arange(rows * -(-n // 8), dtype=np.uint64)
    counter = np.zeros((len(groups), 4), np.uint64)
    counter[:, 0], counter[:, 1], counter[:, 2] = groups & np.uint64(0xFFFFFFFF), groups >> np.uint64(32), key.words[2]
    counter[:, 3] = 0 if key.step is None else int(key.step)
    words = numpy_philox(counter, key.words[:2])
    bits = np.stack([words & 0xFFFF, words >> 16], -1).reshape(rows, -1)[:, :n]  # eight halves of a group's four words
    return (bits >= key.threshold).reshape(key.shape)


VECTORS = """
00000000 00000000 00000000 00000000 00000000 00000000   6627e8d5 e169c58d bc57ac4c 9b00dbd8
ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff   408f276d 41c83b0e a20bc7c6 6d5451fd
243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0   d16cfe09 94fdcceb 5001e420 24126ea1
"""  # "philox4x32 10" in Random123's tests/kat_vectors: counter, key, result


def test_philox_gives_the_published_numbers(cupy):
    table = np.array([[int(word, 16) for word in line.split()] for line in VECTORS.split("\n") if line], np.uint32)
    table = np.concatenate([table, np.random.default_rng(0).integers(0, 2**32, (61, 10), dtype=np.uint32)])
    table[3:, 6:] = [numpy_philox(row[:4], row[4:6]) for row in table[3:]]
    np.testing.assert_array_equal([numpy_philox(row[:4], row[4:6]) for row in table[:3]], table[:3, 6:])
    source = """
    extern "C" __global__ void check(const unsigned* in, unsigned* out) {
        const unsigned* row = in + threadIdx.x * 10;
        unsigned c[4] = {row[0], row[1], row[2], row[3]};
        philox(c, row[4], row[5]);
        for (int k = 0; k < 4; k++) out[threadIdx.x * 4 + k] = c[k];
    }"""
    out = cupy.empty((64, 4), np.uint32)
    launch = kernels.cuda.launch
    launch.launch(launch.compiled(source, "check"), 1, 64, cupy.asarray(table), out)
    np.testing.assert_array_equal(out.get(), table[:, 6:])


@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 5), (2, 3, 8), (2, 130)])
@pytest.mark.parametrize("p", [0.1, 0.5, 1.0, 1e-9])
def test_masks_are_the_independent_implementations(shape, p):
    key = philox.Stream(seed=2**40 + 17).key(shape, p)
    mask = computed(key).get()
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, numpy_mask(key))
    assert p < 1 or not mask.any()


def test_masks_have_the_rate_and_differ_from_call_to_call(cupy):
    stream = philox.Stream(seed=3)
    first, second = (computed(stream.key((100, 1001), 0.25)).get() for _ in range(2))
    for mask in (first, second):
        assert abs(mask.mean() - 0.75) < 4 * np.sqrt(0.25 * 0.75 / mask.size)
    assert abs((first & second).mean() - 0.75**2) < 0.01
    np.testing.assert_array_equal(first, computed(philox.Stream(seed=3).key((100, 1001), 0.25)).get())
    step = cupy.zeros((), np.uint32)
    with philox.stepping(step):
        key = stream.key((100, 1001), 0.25)
    before = computed(key).get()
    step += 1  # as a replayed graph does
    after = computed(key).get()
    assert 0.5 < (before == after).mean() < 0.75
    np.testing.assert_array_equal(after, numpy_mask(key))


def key(shape, p=0.3, calls=4):
    return philox.Stream(seed=99, calls=calls).key(tuple(shape), p)


# ------------------------------------------------------------------------------------------------------ each kernel

SHAPES = [(1,), (7,), (3, 5), (4, 8), (2, 3, 64), (5, 1), (1, 130), (300, 4)]


@each_type
@pytest.mark.parametrize("name", ["gelu", "gelu_tanh"])
def test_gelu(name, kind):
    for seed, shape in enumerate(SHAPES):
        compare(name, numbers(seed, *shape, scale=(1, 4, 30)[seed % 3], strided=seed % 2 == 1), kind=kind)
    special = np.array([np.inf, np.nan, 0.0, -0.0, -np.inf], np.float32)
    np.testing.assert_array_equal(wide(kernels.KERNELS[name](on_card(special))[0]), getattr(reference, name)(special)[0])


@each_type
@pytest.mark.parametrize("tanh", [False, True])
def test_gelu_with_bias(tanh, kind):
    for seed, shape in enumerate([(3, 5), (4, 8), (2, 3, 64), (5, 1)]):
        for weights in {kind, "float32"}:
            x, bias = numbers(seed, *shape, strided=seed % 2 == 1), numbers(seed + 50, shape[-1])
            x, bias, g = on_card(x, kind), on_card(bias, weights), on_card(numbers(seed + 99, *shape), kind)
            y, kept = kernels.KERNELS["bias_gelu"](x, bias, tanh)
            expected, slope = reference.bias_gelu(wide(x), wide(bias), tanh)
            close(y, expected, HALVES.get(kind, 2e-5))
            close(kernels.KERNELS["bias_gelu_backward"](g, kept), wide(g) * slope, HALVES.get(kind, 2e-5))


@each_type
def test_drop(kind):
    for seed, shape in enumerate(SHAPES):
        x = numbers(seed, *shape, strided=seed % 2 == 1)
        compare("drop", x, key(shape, (0.3, 1.0)[seed % 2]), (0.7, 0.0)[seed % 2], kind=kind)
    compare("drop", numbers(0, 3, 5), np.random.default_rng(0).random((3, 5)) < 0.5, 0.5, kind=kind)  # a mask that is an array


@each_type
def test_softmax(kind):
    for seed, shape in enumerate([*SHAPES, (2, 1025), (1, 2500)]):
        x = numbers(seed, *shape, scale=(1, 30, 1e4)[seed % 3], strided=seed % 2 == 1)
        hidden = np.where(np.random.default_rng(seed).random(shape) < 0.3, np.float32(-np.inf), x)
        hidden.reshape(-1, shape[-1])[0] = -np.inf  # a row that sees nothing
        for scores in (x, hidden):
            for empty in (False, True):
                compare("softmax", scores, (x.ndim - 1,), empty, kind=kind)
        y = reference.softmax(x, (x.ndim - 1,)).astype(np.float32)
        compare("softmax_backward", numbers(seed + 9, *shape), y, (x.ndim - 1,), kind=kind)
    compare("softmax", numbers(0, 3, 4), (0,), kind=kind)  # another axis: the definition
    compare("softmax", numbers(0, 2, 9000), (1,), kind=kind)  # too long


def test_softmax_of_infinite_and_missing_values():
    x = np.array([[np.inf, 0], [np.nan, 0], [-np.inf, -np.inf], [3e38, -3e38]], np.float32)
    for empty in (False, True):
        found = kernels.KERNELS["softmax"](on_card(x), (1,), empty).get()
        np.testing.assert_array_equal(found, reference.softmax(x, (1,), empty))


NORMS = [((3,), (5,)), ((4,), (8,)), ((), (7,)), ((2, 3), (64,)), ((2,), (3, 5)), ((300,), (4,)), ((5,), (1,)), ((2,), (1030,))]


@each_type
@pytest.mark.parametrize("affine", ["both", "weight", "none"])
def test_layer_norm(affine, kind):
    for seed, (lead, n) in enumerate(NORMS):
        x = numbers(seed, *lead, *n, strided=seed % 2 == 1) + np.float32(3)
        weight = None if affine == "none" else numbers(seed + 1, *n)
        bias = numbers(seed + 2, *n) if affine == "both" else None
        axis = tuple(range(len(lead), x.ndim))
        wide_weights = "float32" if seed % 3 == 0 and lead else "same"
        compare("layer_norm", x, weight, bias, axis, 1e-3, kind=kind, tolerance=1e-4, weights=wide_weights)
        on = [on_card(a, kind) for a in (numbers(seed + 3, *x.shape), x, weight)]
        _, mean, r = reference.layer_norm(wide(on[1]), wide(on[2]), None, axis, 1e-3)
        saved = [on_card(np.asarray(a, np.float32)) for a in (mean, r)]
        got = kernels.KERNELS["layer_norm_backward"](*on, *saved, axis)
        expected = reference.layer_norm_backward(*map(wide, on), mean, r, axis)
        for a, b in zip(got, expected, strict=True):
            close(a, b, HALVES.get(kind, 1e-4))


@each_type
@pytest.mark.parametrize("dropout", [False, True])
def test_layer_norm_of_residual_and_dropout(dropout, kind):
    for seed, shape in enumerate([(3, 5), (4, 8), (2, 3, 64), (2, 1030), (1, 1), (300, 4)]):
        x, residual, g = (numbers(seed + i, *shape, strided=seed % 2 == 1) for i in range(3))
        weight, bias = (numbers(seed + i, shape[-1]) if seed != 1 else None for i in (4, 5))
        keep, share = (key(shape), 0.7) if dropout else (None, 1.0)
        got = compare("add_norm", x, residual, weight, bias, keep, share, 1e-3, kind=kind, tolerance=1e-4)
        on = [on_card(g, kind), got[1], on_card(weight, kind), got[2]]
        back = kernels.KERNELS["add_norm_backward"](*on, keep, share)
        expected = reference.add_norm_backward(*map(wide, on), None if keep is None else wide(keep), share)
        for a, b in zip(back, expected, strict=True):
            close(a, b, HALVES.get(kind, 1e-4))


@each_type
def test_cross_entropy(kind):
    for seed, (N, C) in enumerate([(1, 1), (3, 5), (4, 8), (7, 130), (2, 5003), (300, 4)]):
        rng = np.random.default_rng(seed)
        x, target = numbers(seed, N, C, scale=(1, 30, 1e3)[seed % 3], strided=seed % 2 == 1), rng.integers(0, C, N)
        hidden = x.copy()
        hidden[:, rng.integers(0, C)] = -np.inf
        for scores in (x, hidden)[:C]:  # a row of -inf alone has no loss
            _, peak, s = compare("cross_entropy", scores, target, 1, kind=kind, tolerance=1e-4)
            on = [on_card(numbers(seed + 5, N), kind), on_card(scores, kind), on_card(target), 1, peak, s]
            dx = reference.cross_entropy_backward(*map(wide, on))
            close(kernels.KERNELS["cross_entropy_backward"](*on), dx, HALVES.get(kind, 1e-4))
    compare("cross_entropy", numbers(0, 2, 3, 4), np.zeros((2, 4), np.int64), 1, kind=kind)  # another axis: the definition


@each_type
def test_sums_of_rows(kind):
    for seed, shape in enumerate([(3, 5), (1, 8), (700, 40), (2, 300, 33), (129, 1)]):
        x = on_card(numbers(seed, *shape, strided=seed % 2 == 1), kind)
        total = kernels.KERNELS["sum_rows"](x)
        assert total.dtype == x.dtype
        close(total, wide(x).sum(tuple(range(x.ndim - 1))), HALVES.get(kind, 1e-5))


@each_type
@pytest.mark.parametrize("deterministic", [False, True])
def test_adding_rows(deterministic, kind):
    before = minitorch.are_deterministic_algorithms_enabled()
    minitorch.use_deterministic_algorithms(deterministic)
    for seed, (shape, tail, count) in enumerate([((3,), (5,), 2), ((4, 5), (8,), 9), ((300,), (3,), 7), ((2,), (2, 3), 4)]):
        index = np.minimum(np.random.default_rng(seed).zipf(1.3, shape) - 1, count - 1)
        index.reshape(-1)[0] = -1
        compare("add_rows", numbers(seed, *shape, *tail, strided=seed % 2 == 1), index, count, kind=kind)
    minitorch.use_deterministic_algorithms(before)


def heads(seed, lead, n, d, views):
    """(B, A, n, d): side by side, or as a model has them, a view of (B, n, A, d)."""
    if views and len(lead) == 2:
        return numbers(seed, lead[0], n, lead[1], d).transpose(0, 2, 1, 3)
    return numbers(seed, *lead, n, d)


def attend(seed, lead, L, S, d, kind="float32", masked="no", share=None, views=False, e=None):
    """Attention and its gradient against the definition."""
    rng = np.random.default_rng(seed)
    q, k, v, g = (on_card(np.ascontiguousarray(heads(seed + i, lead, n, w, False)), kind) for i, (n, w) in enumerate(
        [(L, d), (S, d), (S, e or d), (L, e or d)]))  # fmt: skip
    if views and len(lead) == 2:
        q, k, v, g = (on_card(np.ascontiguousarray(x.get().swapaxes(1, 2))).astype(x.dtype).swapaxes(1, 2) for x in (q, k, v, g))
    mask = None
    if masked != "no":
        shape = (lead[0], *(1,) * (len(lead) - 1), 1, S) if masked != "table" else (L, S)
        mask = np.where(rng.random(shape) < 0.4, np.finfo(np.float32).min if masked == "finite" else -np.inf, 0.0)
        mask = (np.full_like(mask, -np.inf) if masked == "all" else mask).astype(np.float32)
    keep = None if share is None else key((*lead, L, S), 1 - share)
    scale, share = d**-0.5, 1.0 if share is None else share
    y, saved = kernels.KERNELS["attention"](q, k, v, on_card(mask), keep, scale, share)
    expected, weights = reference.attention(*map(wide, (q, k, v, mask, keep)), scale, share)
    close(y, expected, HALVES.get(kind, 1e-5))
    got = kernels.KERNELS["attention_backward"](g, q, k, v, on_card(mask), keep, scale, share, y, saved)
    wanted = reference.attention_backward(*map(wide, (g, q, k, v, mask, keep)), scale, share, expected, weights)
    for a, b in zip(got, wanted, strict=True):
        close(a, b, 2 * HALVES.get(kind, 1e-5))
    return saved, y, got


ATTENTION = [  # lead, L, S, d, mask, share kept by dropout, views
    ((1,), 1, 1, 32, "no", None, False),
    ((2, 3), 5, 5, 32, "finite", 0.9, True),
    ((1, 2), 64, 64, 64, "infinite", None, True),
    ((2, 1), 65, 70, 32, "infinite", 0.5, False),
    ((1, 1), 3, 130, 32, "table", 0.7, False),
    ((2, 2), 66, 9, 64, "all", 0.9, False),
    ((1, 1), 70, 66, 128, "no", 0.9, True),
]


@pytest.mark.parametrize("case", ATTENTION)
def test_attention(case):
    lead, L, S, d, masked, share, views = case
    saved, *_ = attend(0, lead, L, S, d, masked=masked, share=share, views=views)
    assert saved.shape == (*lead, L)  # no table was kept


@pytest.mark.parametrize("kind", list(HALVES))
def test_attention_of_halves(kind):
    attend(1, (1, 2), 66, 9, 64, kind, "finite", 0.9, True)


@each_type
def test_attention_of_other_widths_takes_three_steps(kind):
    for case in [((2, 3), 5, 7, 12), ((2,), 3, 3, 5), ((1, 1), 2, 300, 48)]:
        saved, *_ = attend(2, *case, kind, "infinite", 0.8, True)
        assert saved.shape == (*case[0], case[1], case[2])
    attend(3, (2, 2), 4, 6, 32, kind, e=20)  # values of another width than the keys


def test_attention_that_the_kernels_do_not_know():
    q = on_card(numbers(0, 2, 3, 4, 8))
    keep = on_card(np.random.default_rng(0).random((2, 3, 4, 4)) < 0.5)  # a mask that is an array
    y, weights = kernels.KERNELS["attention"](q, q, q, None, keep, 0.5, 0.5)
    close(y, reference.attention(*map(wide, (q, q, q)), None, keep.get(), 0.5, 0.5)[0], 1e-5)
    assert kernels.KERNELS["attention_backward"](y, q, q, q, None, keep, 0.5, 0.5, y, weights)[0].shape == q.shape


def test_no_result_depends_on_the_order_of_threads(both_orders):
    test_softmax("float32")
    test_layer_norm_of_residual_and_dropout(True, "float32")
    test_sums_of_rows("float32")
    attend(0, (1, 2), 66, 70, 32, masked="infinite", share=0.9)


# -------------------------------------------------------------------------------------------- all parameters at once

LISTS = [(3, 5), (1,), (70, 70), (), (4097,), (2, 0), (8, 512)]


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("correct", [False, True])
def test_adam_of_all_parameters(amsgrad, correct, monkeypatch):
    monkeypatch.setattr(kernels.cuda.lists, "MOST", 4)  # so that there are several launches
    monkeypatch.setattr(kernels.cuda.lists, "TABLES", kernels.cuda.lists.tables_of(4))
    ps, gs, ms = ([numbers(10 * j + i, *shape) for i, shape in enumerate(LISTS)] for j in range(3))
    vs, largest = [np.square(m, out=m.copy()) for m in ms], [2 * m**2 + np.zeros_like(m) for m in ms] if amsgrad else None
    lists = [ps, gs, ms, vs, largest]
    expected = [None if a is None else [np.array(x, np.float64) for x in a] for a in lists]
    card = [None if a is None else [on_card(np.asarray(x)) for x in a] for a in lists]
    for step in (1, 5):
        ts = [step + i for i in range(len(LISTS))] if correct else None
        reference.adam_all(*expected, ts, 1e-2, (0.9, 0.999), 1e-8, 0.99)
        kernels.KERNELS["adam_all"](*card, ts, 1e-2, (0.9, 0.999), 1e-8, 0.99)
    for a, b in zip(card, expected, strict=True):
        for x, y in zip(a or (), b or (), strict=True):
            np.testing.assert_allclose(x.get(), y, rtol=1e-4, atol=1e-5)


def test_the_norm_of_everything_and_clipping():
    arrays = [numbers(i, *shape, scale=3) for i, shape in enumerate(LISTS)]
    card = [on_card(a) for a in arrays]
    norm = kernels.KERNELS["norm_all"](card)
    assert norm.shape == ()
    assert type(norm) is type(card[0])
    np.testing.assert_allclose(float(norm), reference.norm_all([a.astype(np.float64) for a in arrays]), rtol=1e-5)
    for size in (1e20, 1e-25):  # squares of such numbers are no float32
        scaled = kernels.KERNELS["norm_all"]([on_card((a * np.float32(size)).astype(np.float32)) for a in arrays])
        np.testing.assert_allclose(float(scaled), float(norm) * size, rtol=1e-5)
    for factor in (1.0, 0.25):
        kernels.KERNELS["scale_all"](card, on_card(np.asarray(factor, np.float32)))
        for a, b in zip(card, arrays, strict=True):
            np.testing.assert_allclose(a.get(), b * factor, rtol=1e-6)
