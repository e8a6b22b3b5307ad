"""Half precision holds numbers, not counts: 70,000 ties, positions or elements are infinite in float16, 300 is 301 in bfloat16.

Every right value is arithmetic; float64 computes those that are not written out.
"""

from __future__ import annotations

import numpy as np
import pytest

import minitorch
from minitorch import Tensor, nn
from minitorch.nn import functional as F

N = 70_000
HALVES = ["float16", "bfloat16"]


def half(values: object, dtype: str, grad: bool = True) -> Tensor:
    x = minitorch.tensor(np.asarray(values), dtype=getattr(minitorch, dtype))
    return x.requires_grad_() if grad else x


def relative(x: Tensor, right: object) -> float:
    """The largest error, as a share of the largest right number."""
    right = np.asarray(right, np.float64)
    return float(np.abs(x.detach().double().numpy() - right).max() / np.abs(right).max())


def digits(dtype: str) -> float:
    return 2e-3 if dtype == "float16" else 1e-2


TIES = {
    "max": lambda x: x.max(),
    "min": lambda x: x.min(),
    "amax": lambda x: x.amax(),
    "amin": lambda x: x.amin(0),
    "vector_norm(inf)": lambda x: minitorch.linalg.vector_norm(x, float("inf")),
    "vector_norm(-inf)": lambda x: minitorch.linalg.vector_norm(x, float("-inf")),
    "mean": lambda x: x.mean(),
    "nanmean": lambda x: minitorch.nanmean(x),
}


@pytest.mark.parametrize("name", TIES)
@pytest.mark.parametrize("dtype", HALVES)
def test_ties_share_the_gradient(name, dtype):
    x = half(np.ones(N), dtype)
    y = TIES[name](x)
    y.backward()
    assert y.item() == 1
    assert x.grad.dtype == x.dtype
    assert relative(x.grad, np.full(N, 1 / N)) < digits(dtype)


def test_the_gradient_of_65520_ties():
    x = half(np.ones(65_520), "float16")
    x.max().backward()
    assert x.grad[0].item() == pytest.approx(1.526e-5, rel=1e-3)


def test_nanmean_counts_what_is_there():
    x = half([[1.0] * N, [1.0] * (N - 1) + [np.nan]], "float16", grad=False)
    assert minitorch.nanmean(x, 1).tolist() == [1.0, 1.0]
    assert minitorch.nanmean(x, dim=1, keepdim=True).shape == (2, 1)


def losses(x: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
    ignored = target.clone()
    ignored[: N // 10] = -100
    return {
        "mean": F.cross_entropy(x, target),
        "ignore_index": F.cross_entropy(x, ignored),
        "weight": F.cross_entropy(x, target, weight),
        "weight and ignore_index": F.cross_entropy(x, ignored, weight),
        "smoothing": F.cross_entropy(x, ignored, label_smoothing=0.1),
        "nll": F.nll_loss(F.log_softmax(x, 1), ignored, weight),
        "kl": F.kl_div(x - 3, F.softmax(x.detach() * 0 + weight, 1), reduction="batchmean"),
        "mse": F.mse_loss(x, x.detach() * 0 + 1, weight=x.detach() * 0 + weight),
        "l1": F.l1_loss(x, x.detach() * 0 + 1, weight=x.detach() * 0 + weight),
        "cosine": F.cosine_embedding_loss(x, x.detach() * 2 + 0.5, target * 2 - 1),
    }


@pytest.mark.parametrize("dtype", HALVES)
def test_losses_over_many_positions(dtype):
    target = minitorch.arange(N) % 2
    weight = minitorch.tensor([0.25, 0.75])
    rows = np.linspace(-1, 1, 2 * N).reshape(N, 2)
    x, wide = half(rows, dtype), half(half(rows, dtype, grad=False).double().numpy(), "float64")
    ours, right = losses(x, target, half([0.25, 0.75], dtype, grad=False)), losses(wide, target, weight.double())
    for name, loss in ours.items():
        assert loss.dtype == x.dtype, name
        assert loss.item() == pytest.approx(right[name].item(), rel=digits(dtype)), name
        x.grad = wide.grad = None
        loss.backward()
        right[name].backward()
        assert relative(x.grad, wide.grad.numpy()) < 6 * digits(dtype), name


def test_cross_entropy_of_two_equal_scores_is_ln_2():
    loss = F.cross_entropy(half(np.ones((N, 2)), "float16"), minitorch.zeros(N, dtype=minitorch.int64), ignore_index=5)
    assert loss.item() == pytest.approx(0.693, abs=1e-3)


def test_a_number_need_not_be_one_of_half_precision():
    x = half([1000.0, 2000.0], "float16")
    (x / 70_000).sum().backward()
    assert relative(x / 70_000, [1 / 70, 1 / 35]) < 1e-3
    assert relative(x.grad, [1 / N, 1 / N]) < 2e-3
    small = half([1e-3, 2e-3], "float16", grad=False)
    for y in (small * 1e5, 1e5 * small, small * minitorch.tensor(100_000)):
        assert y.dtype == minitorch.float16
        assert relative(y, [100, 200]) < 1e-3
    assert relative(x * 1e-8, [1e-5, 2e-5]) < 1e-2  # 1e-8 is 0 in float16
    assert relative(70_000 - x * 5, [65_000, 60_000]) < 1e-3
    assert relative(x * 5 - 70_000, [-65_000, -60_000]) < 1e-3
    assert relative(x.sum() / minitorch.tensor(70_000), 3 / 70) < 1e-3
    assert relative(70_000 / x, [70, 35]) < 1e-3
    mask = minitorch.ones(N, dtype=minitorch.bool)
    assert relative(half(np.full(N, 0.5), "float16").sum() / mask.sum(), 0.5) < 1e-3


def test_the_steps_between_have_float32s_range():
    x, y = half([1000.0, 2000.0], "float16", grad=False), half([700.0, -100.0], "float16", grad=False)
    ones = half(np.full((2, 2), 100.0), "float16", grad=False)
    assert relative(minitorch.addcmul(x, x, y, value=1e-6), [1000.7, 1999.8]) < 1e-3  # x·y overflows
    assert relative(minitorch.addcdiv(x, x, y * 1e-4, value=1e-4), [1001.43, 1980.0]) < 1e-3
    assert relative(minitorch.lerp(x, y * 90, 0.5), [32_000, -3_500]) < 1e-3
    assert relative(minitorch.addmm(ones, x[None].expand(2, 2), ones, alpha=1e-3), np.full((2, 2), 400)) < 1e-3
    assert relative(F.smooth_l1_loss(x / 1e3, x * 0, beta=1e-8), 1.5) < 1e-3
    assert F.normalize(x * 0, dim=0).tolist() == [0, 0]  # eps = 1e-12 is 0 in float16
    assert F.cosine_similarity(x * 0, y, 0).item() == 0
    assert not F.dropout(x, 0.99999).isnan().any()
    assert minitorch.addcmul(x, x.float(), y, value=1e-6).dtype == minitorch.float32


SUMS = {
    "embedding": lambda w, i: F.embedding(i, w),
    "index": lambda w, i: w[i],
    "index_select": lambda w, i: w.index_select(0, i),
    "gather": lambda w, i: w.gather(0, i[:, None]),
    "repeat_interleave": lambda w, i: w[:1].repeat_interleave(len(i), 0),
    "expand": lambda w, i: w[:1].expand(len(i), 1),
}


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("dtype", HALVES)
def test_a_row_read_often_sums_its_gradients(name, dtype):
    w = half([[1.0], [2.0]], dtype)
    SUMS[name](w, minitorch.zeros(10_000, dtype=minitorch.int64)).sum().backward()
    assert relative(w.grad, [[10_000], [0]]) < digits(dtype)


@pytest.mark.parametrize("dtype", HALVES)
def test_many_values_added_to_one_place(dtype):
    i, ones, zeros = minitorch.zeros(10_000, dtype=minitorch.int64), half(np.ones(10_000), dtype), half(np.zeros(2), dtype)
    for y in (zeros.index_add(0, i, ones), zeros.scatter_add(0, i, ones), zeros.scatter(0, i, ones, reduce="add")):
        assert relative(y, [10_000, 0]) < digits(dtype)
    w = half([[1.0], [2.0]], dtype)
    F.embedding(minitorch.zeros(N, dtype=minitorch.int64), w, scale_grad_by_freq=True).sum().backward()
    assert relative(w.grad, [[1], [0]]) < digits(dtype)


def test_statistics_of_many_elements():
    values = np.tile([1.0, 3.0], N // 2)
    x = half(values, "float16")
    for y, right in ((x.mean(), 2), (x.var(), N / (N - 1)), (x.std(), 1), (x.norm(), np.sqrt(5 * N))):
        assert y.item() == pytest.approx(right, rel=1e-3)
    product = half(np.full(3000, 1.001), "float16", grad=False).cumprod(0)
    assert product[-1].item() == pytest.approx(float(np.float16(1.001)) ** 3000, rel=2e-3)


def test_a_gradient_clipped_by_a_factor_below_half_precision():
    p = nn.Parameter(half(np.ones(4), "float16", grad=False))
    p.grad = half(np.full(4, 30_000.0), "float16", grad=False)
    assert nn.utils.clip_grad_norm_([p], 1e-3).item() == pytest.approx(60_000)
    assert relative(p.grad, np.full(4, 5e-4)) < 1e-3
