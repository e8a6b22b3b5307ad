"""The fast kernels against their definitions in float64, and a reader's own kernel in the place of one.

Each test runs with NumPy's kernels and, where numba is installed, with the compiled loops.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitorch
import minitorch.nn.functional as F
from minitorch import kernels, parallel
from minitorch.kernels import cpu, cuda, dispatch, philox, reference, updates

quiet = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # inf - inf: the engine silences it around every op
each_gelu = pytest.mark.parametrize("name", ["gelu", "gelu_tanh"])
sizes = st.sampled_from([1, 2, 3, 7, 64, 65, 130])
seeds = st.integers(0, 99)
scales = st.sampled_from([1e-3, 1.0, 30.0, 1e4])
shares = st.sampled_from([None, 0.5, 0.9])


@pytest.fixture(autouse=True, scope="module", params=["numpy", "loops"])
def hand(request):
    """Both hands of the CPU, with blocks so small that small arrays, too, are computed in several, the last one shorter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "BLOCK", 300)
        chosen = cpu
        if request.param == "loops":
            pytest.importorskip("numba")
            chosen = importlib.import_module("minitorch.kernels.loops")
            patch.setattr(sys.modules[f"{chosen.__name__}.attention"], "BLOCK", 300)
        patch.setattr(dispatch, "_cpu_hand", chosen)
        yield chosen


def numbers(rng, *shape, scale=1.0, strided=False):
    """Normal numbers; strided: every second one of twice as many, so that nothing lies side by side in memory."""
    if strided:
        return numbers(rng, *shape[:-1], 2 * shape[-1], scale=scale)[..., ::2]
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def wide(x):
    return x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype == np.float32 else x


def compare(name, *arguments, rtol=2e-5, atol=2e-5, **named):
    """The fast kernel on float32 and the definition on float64 agree, and no argument was changed; returns the first's result."""
    before = [np.copy(x) if isinstance(x, np.ndarray) else x for x in arguments]
    got = kernels.KERNELS[name](*arguments, **named)
    expected = getattr(reference, name)(*map(wide, arguments), **named)
    for a, b in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(got, expected, strict=True) if isinstance(got, tuple) else [(got, expected)]:
        if b is None:
            assert a is None
            continue
        assert a.dtype == np.float32
        axes = tuple(range(b.ndim - a.ndim))  # a gradient that broadcasting is to be undone of may be summed already
        np.testing.assert_allclose(a, b.sum(axes) if axes else b, rtol=rtol, atol=atol * max(1, np.abs(finite(b)).max(initial=0)))
    return got


def finite(x):
    return x[np.isfinite(x)]


@quiet
@each_gelu
@given(
    shape=st.lists(st.sampled_from([0, 1, 2, 7, 130]), max_size=3),
    scale=st.sampled_from([1e-30, 0.1, 1.0, 4.0, 30.0, 1e4]),
    strided=st.booleans(),
    seed=seeds,
)
def test_value_and_slope(name, shape, scale, strided, seed):
    x = (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)
    x = x.T if strided else x
    before = x.copy()
    got = kernels.KERNELS[name](x)
    expected = getattr(reference, name)(x.astype(np.float64))
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == np.float32
        assert a.shape == x.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(x, before)


@quiet
@each_gelu
def test_more_than_one_block_and_special_values(name):
    x = np.linspace(-12, 12, cpu.BLOCK * 2 + 3, dtype=np.float32)
    np.testing.assert_allclose(kernels.KERNELS[name](x)[0], getattr(reference, name)(x.astype(np.float64))[0], atol=2e-6)
    special = np.array([np.inf, np.nan, 0.0, -0.0, 1e-40], np.float32)
    np.testing.assert_array_equal(kernels.KERNELS[name](special)[0], np.array([np.inf, np.nan, 0.0, -0.0, 5e-41], np.float32))


@given(
    lead=st.lists(st.sampled_from([0, 1, 5]), max_size=2), n=sizes, m=sizes, bias=st.booleans(), strided=st.booleans(), seed=seeds
)
def test_linear(lead, n, m, bias, strided, seed):
    rng = np.random.default_rng(seed)
    x, w = numbers(rng, *lead, n, strided=strided), numbers(rng, m, n, strided=strided)
    y = compare("linear", x, w, numbers(rng, m, strided=strided) if bias else None)
    compare("sum_rows", y)


@pytest.mark.parametrize("packs", [False, True])
@given(rows=st.sampled_from([2, 24, 32, 33, 48, 49]), n=st.sampled_from([0, 5, 64]), m=st.sampled_from([16, 50, 64]), seed=seeds)
def test_linear_of_a_sentence(packs, rows, n, m, seed):
    """Few rows, with a BLAS that packs the operands of small products, and with one that does not."""
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "packs_small", lambda: packs)
        compare(
            "linear", numbers(rng, 1, rows, n), numbers(rng, m, n, strided=seed % 2 == 0), numbers(rng, m) if seed % 3 else None
        )


@quiet
@given(lead=st.lists(sizes, max_size=2), n=sizes, scale=scales, strided=st.booleans(), empty=st.booleans(), seed=seeds)
def test_softmax(lead, n, scale, strided, empty, seed):
    rng = np.random.default_rng(seed)
    x = numbers(rng, *lead, n, scale=scale, strided=strided)
    hidden = np.array(x, order="C")
    hidden[rng.random(x.shape) < 0.3] = -np.inf
    hidden.reshape(-1, n)[0] = -np.inf  # a row that sees nothing
    for scores in (x, hidden):
        y = compare("softmax", scores, (x.ndim - 1,), empty)
        compare("softmax_backward", numbers(rng, *lead, n, strided=strided), np.nan_to_num(y), (x.ndim - 1,))


@quiet
def test_softmax_of_infinite_and_missing_values():
    x = np.array([[np.inf, 0], [np.nan, 0], [-np.inf, -np.inf], [3e38, -3e38]], np.float32)
    for empty in (False, True):
        np.testing.assert_array_equal(kernels.KERNELS["softmax"](x, (1,), empty), reference.softmax(x, (1,), empty))
    assert kernels.KERNELS["softmax"](x, (1,), True)[2:].tolist() == [[0, 0], [1, 0]]


@quiet
@given(
    lead=st.lists(st.sampled_from([1, 2, 5]), min_size=1, max_size=2), L=st.sampled_from([1, 2, 9, 33]),
    S=st.sampled_from([1, 3, 8, 33]), d=st.sampled_from([1, 4, 7]), e=st.sampled_from([1, 5]),
    scale=st.sampled_from([0.1, 1.0, 30.0]),
    masked=st.sampled_from(["no", "finite", "infinite", "all"]), share=shares,
    views=st.sampled_from(["no", "heads", "turned"]), seed=seeds,
)  # fmt: skip
def test_attention(lead, L, S, d, e, scale, masked, share, views, seed):
    rng = np.random.default_rng(seed)

    def heads(n, width):
        if views == "heads" and len(lead) == 2:  # (B, n, A, width) seen as (B, A, n, width), as a model has them
            return numbers(rng, lead[0], n, lead[1], width).transpose(0, 2, 1, 3)
        if views == "turned" and len(lead) == 2:
            return numbers(rng, width, lead[1], n, lead[0]).transpose(3, 1, 2, 0)
        return numbers(rng, *lead, n, width)

    q, k, v = heads(L, d), heads(S, d), heads(S, e)
    mask = None
    if masked != "no":
        mask = np.where(rng.random((lead[0], *(1,) * (len(lead) - 1), 1, S)) < 0.4, -1e30 if masked == "finite" else -np.inf, 0.0)
        mask = (np.full_like(mask, -np.inf) if masked == "all" else mask).astype(np.float32)
    keep = None if share is None else rng.random((*lead, L, S)) < share
    y, weights = compare("attention", q, k, v, mask, keep, scale, share or 1.0, atol=1e-4)
    assert np.isfinite(y).all()
    compare("attention_backward", heads(L, e), q, k, v, mask, keep, scale, share or 1.0, y, weights, atol=1e-4)


@given(
    lead=st.lists(sizes, max_size=2), n=st.sampled_from([(1,), (2,), (7,), (64,), (130,), (3, 5)]),
    offset=st.sampled_from([0.0, 100.0]),
    affine=st.sampled_from(["both", "weight", "none"]), strided=st.booleans(), seed=seeds,
)  # fmt: skip
def test_layer_norm(lead, n, offset, affine, strided, seed):
    rng = np.random.default_rng(seed)
    x = numbers(rng, *lead, *n, strided=strided) + np.float32(offset)
    weight = None if affine == "none" else numbers(rng, *n)
    axis = tuple(range(len(lead), x.ndim))
    tolerance = 1e-4 if offset == 0 else 1e-3  # x - mean loses digits of float32 x
    _, mean, r = compare("layer_norm", x, weight, numbers(rng, *n) if affine == "both" else None, axis, 1e-3, atol=tolerance)
    compare("layer_norm_backward", numbers(rng, *x.shape, strided=strided), x, weight, mean, r, axis, atol=tolerance)


@quiet
@given(N=sizes, C=sizes, scale=scales, hidden=st.booleans(), strided=st.booleans(), seed=seeds)
def test_cross_entropy(N, C, scale, hidden, strided, seed):
    rng = np.random.default_rng(seed)
    x = numbers(rng, N, C, scale=scale, strided=strided)
    target = rng.integers(0, C, N)
    if hidden:
        x[:, rng.integers(0, C)] = -np.inf
    _, peak, s = compare("cross_entropy", x, target, 1, rtol=1e-4)
    compare("cross_entropy_backward", numbers(rng, N), x, target, 1, peak, s)


@given(shape=st.lists(sizes, max_size=3), share=st.sampled_from([0.0, 0.5, 0.9]), strided=st.booleans(), seed=seeds)
def test_drop(shape, share, strided, seed):
    rng = np.random.default_rng(seed)
    x = numbers(rng, *shape, strided=strided) if shape else np.float32(rng.standard_normal()).reshape(())
    compare("drop", x, rng.random(x.shape) < share, share)


def mask_of(shape, p, seed=0):
    """The next mask of a stream, as an array."""
    like = np.empty(0, np.float32)
    keep = kernels.KERNELS["keep_mask"](like, tuple(shape), p, philox.Stream(seed))
    return kernels.as_array(keep, like)


@given(shape=st.lists(st.sampled_from([0, 1, 3, 5]), max_size=3), p=st.sampled_from([0.1, 0.5, 1.0, 1e-9]), seed=seeds)
def test_masks(shape, p, seed):
    keep = mask_of(shape, p, seed)
    assert keep.dtype == bool
    assert keep.shape == tuple(shape)
    assert p < 1 or not keep.any()
    np.testing.assert_array_equal(keep, reference.keep_mask(np.empty(0), tuple(shape), p, philox.Stream(seed)))


@pytest.mark.parametrize(
    ("shape", "p", "seed", "expected"),
    [((16, 128, 128), 0.1, 5, "50a26e3a"), ((16, 128, 128), 0.1, 2**40 + 7, "94449bf4"), ((7, 13), 0.5, 5, "393a2b86")],
)
def test_the_masks_stay_what_they_were(shape, p, seed, expected, hand):
    """Whoever resumes or repeats a training run gets its masks, to the bit; the first two take several blocks."""
    key = philox.Stream(seed).key(shape, p)
    masks = [key.computed()]
    if hand is not cpu:
        masks.append(hand.drop(np.ones(shape, np.float32), key, 1 - p) != 0)
    for keep in masks:
        assert hashlib.md5(np.packbits(keep).tobytes()).hexdigest()[:8] == expected


@pytest.mark.parametrize("p", [0.1, 0.25, 0.9])
def test_the_rate_of_masks(p):
    n = 200_000
    keep = mask_of((n,), p)
    assert abs(keep.mean() - (1 - p)) < 4 * math.sqrt(p * (1 - p) / n)
    assert abs(np.corrcoef(keep[1:], keep[:-1])[0, 1]) < 0.01


@given(
    shape=st.lists(st.sampled_from([0, 1, 3, 50]), min_size=1, max_size=2), count=st.sampled_from([1, 2, 9, 70_000]),
    width=st.sampled_from([(1,), (5,), (2, 3)]), strided=st.booleans(), seed=seeds,
)  # fmt: skip
def test_adding_rows(shape, count, width, strided, seed):
    rng = np.random.default_rng(seed)
    index = np.minimum(rng.zipf(1.3, shape) - 1, count - 1)
    compare("add_rows", numbers(rng, *shape, *width, strided=strided), index, count)


@given(
    shape=st.lists(sizes, min_size=1, max_size=2),
    amsgrad=st.booleans(),
    t=st.sampled_from([None, 1, 50]),
    strided=st.booleans(),
    seed=seeds,
)
def test_adam(shape, amsgrad, t, strided, seed):
    rng = np.random.default_rng(seed)
    p, g, m = (np.asarray(numbers(rng, *shape, 2)[..., 0] if strided else numbers(rng, *shape)) for _ in range(3))
    v, largest = m * m, m * m if amsgrad else None
    arrays = [p, g, m, v, largest]
    expected = [None if x is None else x.astype(np.float64) for x in arrays]
    updates.adam(*expected, t, 1e-2, (0.9, 0.999), 1e-8)
    kernels.KERNELS["adam"](*arrays, t, 1e-2, (0.9, 0.999), 1e-8)
    for a, b in zip(arrays, expected, strict=True):
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------- through the ops: gradients


def through_ops(x, w, table, index, keep):
    """A scalar through every kernel that has a gradient."""
    h = F.layer_norm(F.embedding(index, table) + x, (4,), w[0], w[1])
    h = F.gelu(F.linear(h, w, w[2]))
    h = minitorch.ops.attention.attention(h, h, h * 2, mask=None, keep=keep, scale=0.5, keep_prob=0.9) + F.softmax(h, dim=-1)
    h = minitorch.ops.nn.drop(h, keep=keep[..., :4], p=0.1)
    return F.cross_entropy(h.reshape(-1, 4), index.reshape(-1) % 4)


def test_first_and_second_gradients_in_float32_are_those_in_float64():
    rng = np.random.default_rng(0)
    index = minitorch.tensor(rng.integers(0, 6, (3, 5)))
    keep = rng.random((3, 5, 5)) < 0.9
    values = rng.standard_normal((3, 5, 4)), rng.standard_normal((4, 4)), rng.standard_normal((6, 4))
    found = []
    for dtype in (minitorch.float32, minitorch.float64):
        leaves = [minitorch.tensor(x, dtype=dtype, requires_grad=True) for x in values]
        first = minitorch.autograd.grad(through_ops(*leaves, index, keep), leaves, create_graph=True)
        plain = minitorch.autograd.grad(through_ops(*leaves, index, keep), leaves)
        second = minitorch.autograd.grad(sum((g * g).sum() for g in first), leaves)
        for a, b in zip(first, plain, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.numpy(), rtol=1e-4, atol=1e-5)
        found.append([g.detach().numpy() for g in (*first, *second)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


# ------------------------------------------------------------------------------------------ kernels of one's own


def test_a_kernel_of_ones_own_runs_inside_the_block_only():
    calls = []

    def my_gelu(x):
        calls.append(x.shape)
        return reference.gelu(x)

    x = minitorch.randn(2, 3, requires_grad=True)
    expected = F.gelu(x).detach().numpy()
    with kernels.use(gelu=my_gelu):
        y = F.gelu(x)
        y.sum().backward()
    F.gelu(x)
    assert calls == [(2, 3)]
    np.testing.assert_allclose(y.detach().numpy(), expected, atol=2e-6)


def test_every_fast_function_has_a_definition_with_the_same_arguments(hand):
    for name, definition in vars(reference).items():
        for module in (hand, cuda):
            fast = getattr(module, name, None)
            if fast is not None:
                assert list(inspect.signature(fast).parameters) == list(inspect.signature(definition).parameters), name


def test_an_unknown_kernel_is_refused():
    with pytest.raises(TypeError, match=r"there is no kernel called 'gleu'; there are .*gelu"), kernels.use(gleu=abs):
        pass


def test_the_old_kernels_come_back_after_an_error():
    x = minitorch.ones(2)
    with pytest.raises(ZeroDivisionError), kernels.use(gelu=lambda x: 1 / 0):
        F.gelu(x)
    assert np.isfinite(F.gelu(x).numpy()).all()


def test_a_mask_of_more_sequences_than_there_are_queries():
    rng = np.random.default_rng(0)
    q, mask = numbers(rng, 1, 2, 3, 4), numbers(rng, 5, 1, 3, 3)
    y, weights = compare("attention", q, q, q, mask, None, 1.0, 1.0)
    assert y.shape == (5, 2, 3, 4)
    compare("attention_backward", y, q, q, q, mask, None, 1.0, 1.0, y, weights)


@pytest.mark.parametrize("name", ["drop", "layer_norm", "layer_norm_backward"])
def test_a_kernel_inside_of_add_norm_can_be_ones_own(name):
    x, w, b = minitorch.randn(4, 8, requires_grad=True), minitorch.ones(8), minitorch.zeros(8)
    called = []

    def mine(*arguments):
        called.append(name)
        return getattr(reference, name)(*arguments)

    gradients = []
    for own in ({}, {name: mine}):
        minitorch.manual_seed(0)
        with kernels.use(**own):
            y = F.dropout_add_layer_norm(x, x, w, b, 0.5, 1e-12, True)
            gradients.append(minitorch.autograd.grad((y * y * y).sum(), x)[0].numpy())
    assert called
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)


# Programs a user would run, with the kernels that each of them computes: also those inside of another one.
def attend():
    """BERT's way: attention with a mask and dropout."""
    q = minitorch.randn(2, 3, 4, 8, requires_grad=True)
    mask = minitorch.zeros(2, 1, 1, 4)
    F.scaled_dot_product_attention(q, q, q, attn_mask=mask, dropout_p=0.3).sum().backward()


def add_and_normalise():
    x, w = minitorch.randn(4, 8, requires_grad=True), minitorch.ones(8, requires_grad=True)
    F.dropout_add_layer_norm(x, x, w, w, 0.5, 1e-12, True).square().sum().backward()


def feed_forward():
    x, w, b = (minitorch.randn(*shape, requires_grad=True) for shape in ((3, 8), (8, 8), (8,)))
    h = F.layer_norm(F.gelu(F.linear(x, w, b)) + F.gelu(x, approximate="tanh"), (8,), b, b)
    F.dropout(F.softmax(h, -1), 0.5).square().sum().backward()


def gelu_with_bias():
    """On a GPU linear_gelu is computed so."""
    x, b = minitorch.randn(3, 8, requires_grad=True), minitorch.randn(8, requires_grad=True)
    minitorch.ops.activations._bias_gelu(x, b, tanh=False).sum().backward()


def classify():
    table, ids = minitorch.randn(6, 4, requires_grad=True), minitorch.tensor([1, 5, 1])
    F.cross_entropy(F.embedding(ids, table), minitorch.tensor([0, 1, 2])).backward()


def train():
    layer = minitorch.nn.Linear(3, 2)
    optimizer = minitorch.optim.AdamW(layer.parameters())
    x, workers = minitorch.randn(4, 3), parallel.Workers(1)
    parts = [lambda part=part: (layer(part).square().sum(), None) for part in x.split(2)]
    workers.backward(list(layer.parameters()), parts)
    minitorch.nn.utils.clip_grad_norm_(layer.parameters(), 0.01)
    optimizer.step()


COMPUTED = {
    attend: "attention attention_backward matmul softmax softmax_backward drop keep_mask",
    add_and_normalise: "add_norm add_norm_backward layer_norm layer_norm_backward drop keep_mask",
    feed_forward: "linear matmul sum_rows gelu gelu_tanh layer_norm layer_norm_backward softmax softmax_backward drop keep_mask",
    gelu_with_bias: "bias_gelu bias_gelu_backward gelu sum_rows",
    classify: "add_rows cross_entropy cross_entropy_backward",
    train: "adam adam_all norm_all scale_all add_all linear",
}


def test_every_kernel_is_computed_by_some_program():
    assert set(" ".join(COMPUTED.values()).split()) == set(kernels.KERNELS)


@pytest.mark.parametrize(("program", "name"), [(program, name) for program, names in COMPUTED.items() for name in names.split()])
def test_a_kernel_of_ones_own_runs_wherever_it_is_computed(program, name):
    called = []

    def mine(*arguments, **named):
        called.append(name)
        return getattr(reference, name)(*arguments, **named)

    with kernels.use(**{name: mine}):
        program()
    assert called, f"{program.__name__} computes {name}, and ran another one"
