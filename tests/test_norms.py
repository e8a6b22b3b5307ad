"""Norms of numbers whose squares overflow or vanish, of every kind, with their gradients; float64 has the right values."""

from __future__ import annotations

import numpy as np
import pytest

import minitorch
from minitorch import nn
from minitorch.nn import functional as F

SIZES = [1e20, 3e37, 1e-25, 1e-36]  # with squares that are no float32
ROWS = np.array([[1.0, -0.5, 1 / 3], [0.25, 1.0, -1.0]])

NORMS = {
    "norm": lambda x: x.norm(),
    "norm of rows": lambda x: x.norm(2, 1),
    "vector_norm of all dims": lambda x: minitorch.linalg.vector_norm(x, 2, (0, 1), keepdim=True),
    "the Frobenius norm": lambda x: minitorch.linalg.norm(x, "fro"),
    "p = 3": lambda x: x.norm(3, 1),
    "p = 2.5": lambda x: x.norm(2.5),
    "p = 1": lambda x: x.norm(1),
    "p = -2": lambda x: minitorch.linalg.vector_norm(x, -2),
    "p = 1000": lambda x: x.norm(1000),
    "std": lambda x: x.std(),
    "std of columns": lambda x: x.std(0, keepdim=True),
    "std_mean": lambda x: minitorch.std_mean(x, 1)[0],
}


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("size", SIZES)
def test_a_norm_scales_with_its_numbers(name, size):
    """‖s·x‖ = s‖x‖, and the gradient does not depend on s."""
    x = minitorch.tensor((ROWS * size).astype(np.float32), requires_grad=True)
    right = minitorch.tensor(x.detach().double().numpy() / size, requires_grad=True)
    y, expected = NORMS[name](x), NORMS[name](right)
    y.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(y.detach().double().numpy() / size, expected.detach().numpy(), rtol=1e-4)
    np.testing.assert_allclose(x.grad.numpy(), right.grad.numpy(), rtol=1e-3, atol=1e-5)


def test_the_norm_of_one_large_number():
    x = minitorch.full((1,), 1e20, requires_grad=True)
    x.norm().backward()
    assert x.norm().item() == pytest.approx(1e20)
    assert x.grad.tolist() == [1.0]


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_float64_overflows_too(size):
    x = minitorch.tensor([3 * size, 4 * size], dtype=minitorch.float64, requires_grad=True)
    x.norm().backward()
    assert x.norm().item() == pytest.approx(5 * size)
    np.testing.assert_allclose(x.grad.numpy(), [0.6, 0.8])


def test_norms_of_float16():
    x = minitorch.tensor([300.0, 400.0], dtype=minitorch.float16, requires_grad=True)  # 300² is infinite in float16
    x.norm().backward()
    assert x.norm().item() == 500
    np.testing.assert_allclose(x.grad.numpy(), [0.6, 0.8], rtol=1e-3)
    many = minitorch.full((70_000,), 100.0, dtype=minitorch.float16)
    assert many.norm().item() == pytest.approx(100 * 70_000**0.5, rel=1e-3)


def test_norms_of_nothing_of_zeros_and_of_infinity():
    assert minitorch.zeros(0).norm().item() == 0
    assert minitorch.zeros(3, 0).norm(2, 1).tolist() == [0, 0, 0]
    x = minitorch.zeros(2, requires_grad=True)
    x.norm().backward()
    assert x.grad.tolist() == [0, 0]
    assert minitorch.tensor([float("inf"), 1.0]).norm().item() == float("inf")
    assert minitorch.tensor([float("-inf"), 1.0]).norm(3).item() == float("inf")
    assert np.isnan(minitorch.tensor([float("nan"), 1.0]).norm().item())
    assert minitorch.tensor([0.0, 1.0]).norm(-1).item() == 0


DIRECTIONS = {
    "normalize": lambda x, y: F.normalize(x, dim=1),
    "normalize p = 3": lambda x, y: F.normalize(x, p=3.0, dim=1),
    "cosine_similarity": lambda x, y: F.cosine_similarity(x, y, dim=1),
    "CosineSimilarity": lambda x, y: nn.CosineSimilarity(dim=0)(x, y),
    "cosine_embedding_loss": lambda x, y: F.cosine_embedding_loss(x, y, minitorch.tensor([1, -1])),
}


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("size", [1.0, 1e20, 3e37])
def test_directions_do_not_depend_on_the_length(name, size):
    other = ROWS[::-1] + 0.1
    f = DIRECTIONS[name]
    x, y = (minitorch.tensor((a * size).astype(np.float32), requires_grad=True) for a in (ROWS, other))
    wide = [minitorch.tensor(a, dtype=minitorch.float64, requires_grad=True) for a in (ROWS, other)]
    ours, right = f(x, y), f(*wide)
    np.testing.assert_allclose(ours.detach().numpy(), right.detach().numpy(), rtol=1e-5, atol=1e-6)
    u = np.arange(1.0, ours.numel() + 1).reshape(ours.shape)
    (ours * minitorch.tensor(u.astype(np.float32)) * size).sum().backward()
    (right * minitorch.tensor(u)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), wide[0].grad.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_distances_of_far_points(p):
    x, y = (minitorch.tensor((a * 1e20).astype(np.float32)) for a in (ROWS, -ROWS))
    right = np.linalg.norm(2 * ROWS, p, axis=1)
    np.testing.assert_allclose(F.pairwise_distance(x, y, p).numpy() / 1e20, right, rtol=1e-5)


# ------------------------------------------------------------------------------------------------------- clipping


def with_gradients(*arrays: np.ndarray) -> list[nn.Parameter]:
    parameters = [nn.Parameter(minitorch.tensor(np.zeros_like(a))) for a in arrays]
    for p, a in zip(parameters, arrays, strict=True):
        p.grad = minitorch.tensor(a)
    return parameters


@pytest.mark.parametrize("norm_type", [2.0, 3.0, 1.0, float("inf")])
@pytest.mark.parametrize("size", [1e20, 1e30, 1e-25])
def test_clipping_gradients_of_every_size(size, norm_type):
    a, b = np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([2.0, 0.0, -1.0])
    right = np.linalg.norm(np.concatenate([a.ravel(), b]), norm_type)
    parameters = with_gradients(*((x * size).astype(np.float32) for x in (a, b)))
    limit = max(size / 2, 1.0)
    total = nn.utils.clip_grad_norm_(parameters, limit, norm_type)
    assert total.item() == pytest.approx(right * size, rel=1e-5)
    factor = min(1, limit / (right * size + 1e-6))
    np.testing.assert_allclose(parameters[0].grad.numpy() / size, a * factor, rtol=1e-5)
    np.testing.assert_allclose(parameters[1].grad.numpy() / size, b * factor, rtol=1e-5)


def test_clipping_one_large_gradient():
    (p,) = with_gradients(np.array([1e20], np.float32))
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == pytest.approx(1e20)
    assert p.grad.tolist() == [1.0]


def test_clipping_what_is_not_a_number_or_zero():
    (p,) = with_gradients(np.array([np.inf, 1], np.float32))
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == float("inf")
    (p,) = with_gradients(np.array([np.nan, 1], np.float32))
    assert np.isnan(nn.utils.clip_grad_norm_([p], 1.0).item())
    (p, q) = with_gradients(np.zeros(2, np.float32), np.zeros((0, 2), np.float32))
    assert nn.utils.clip_grad_norm_([p, q], 1.0).item() == 0
    (p,) = with_gradients(np.array([3e200, 4e200]))
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == pytest.approx(5e200)
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8])


@pytest.mark.parametrize("limit", [-1.0, float("nan")])
def test_a_negative_limit_is_refused(limit):
    (p,) = with_gradients(np.array([1.0, 2.0], np.float32))
    with pytest.raises(ValueError, match="max_norm must not be negative, got"):
        nn.utils.clip_grad_norm_([p], limit)
    with pytest.raises(ValueError, match="clip_value must not be negative, got"):
        nn.utils.clip_grad_value_([p], limit)
    with pytest.raises(ValueError, match="max_norm must not be negative, got"):
        F.embedding(minitorch.tensor([0]), minitorch.ones(1, 2), max_norm=limit)
    assert p.grad.tolist() == [1.0, 2.0]
