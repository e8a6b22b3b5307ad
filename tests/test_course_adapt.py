"""Assignment 9 against PyTorch: LoRA's gradients, int8 products and the distillation loss of any shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tokenizers", reason="the assignments train a BERT, whose package needs tokenizers")

from models.course.assignments import find, reference
from models.course.subject import load
from models.course.testing import complaint
from models.course.tiny_adapt import fine_tuned, in_int8, just_so, taught

sizes = st.integers(1, 6)


@pytest.fixture(scope="module")
def adapt():
    assignment = find("adapt")
    return load(reference(assignment.source), str(assignment.folder / assignment.file))


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, 3), max_size=2), sizes, sizes, sizes, st.booleans(), st.integers(0, 99))
def test_lora_is_pytorchs(adapt, front, inputs, outputs, r, biased, seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    shapes = ((*front, inputs), (outputs, inputs), (outputs,), (r, inputs), (outputs, r))
    x, W, b, A, B = (torch.tensor(rng.normal(size=shape), requires_grad=True) for shape in shapes)
    bias = b if biased else None
    right = torch.nn.functional.linear(x, W, bias) + 5 / r * torch.nn.functional.linear(x @ A.T, B)
    g = rng.normal(size=right.shape)
    right.backward(torch.tensor(g))
    arrays = [v.detach().numpy() for v in (x, W, b, A, B)]
    y, pullback = adapt.lora_linear(*arrays[:2], arrays[2] if biased else None, *arrays[3:], 5)
    found = (y, *pullback(g))
    for mine, wanted in zip(found, (right.detach(), x.grad, A.grad, B.grad), strict=True):
        np.testing.assert_allclose(mine, wanted.numpy(), rtol=1e-9, atol=1e-9)
    merged = adapt.merge(arrays[1], *arrays[3:], 5)
    np.testing.assert_allclose(arrays[0] @ merged.T + (arrays[2] if biased else 0), y, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(adapt.unmerge(merged, *arrays[3:], 5), arrays[1], rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=15)
@given(sizes, sizes, st.floats(0.25, 8), st.floats(0, 1), st.integers(0, 99))
def test_distillation_is_pytorchs(adapt, N, C, T, share, seed):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    rng = np.random.default_rng(seed)
    student, teacher, labels = 5 * rng.normal(size=(N, C)), 5 * rng.normal(size=(N, C)), rng.integers(0, C, N)
    z = torch.tensor(student, requires_grad=True)
    log_q, log_p = F.log_softmax(z / T, -1), F.log_softmax(torch.tensor(teacher) / T, -1)
    soft = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    right = share * T * T * soft + (1 - share) * F.cross_entropy(z, torch.tensor(labels))
    right.backward()
    loss, pullback = adapt.distillation_loss(student, teacher, labels, T, share)
    np.testing.assert_allclose(loss, right.item(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(pullback(1.0), z.grad.numpy(), rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(sizes, st.integers(1, 300), sizes, st.integers(-20, 20), st.integers(0, 99))
def test_eight_bits_are_as_near_as_they_can_be(adapt, n, inputs, outputs, exponent, seed):
    rng = np.random.default_rng(seed)
    W = (rng.normal(size=(outputs, inputs)) * 10.0**exponent).astype(np.float32)
    W[rng.random(outputs) < 0.2] = 0
    q, scale = adapt.quantize_rows(W)
    assert q.dtype == np.int8
    assert scale.dtype == np.float32
    assert (np.abs(W - adapt.dequantize_rows(q, scale)) <= 0.50001 * scale[:, None]).all()
    x = rng.integers(-127, 128, (n, inputs)).astype(np.int8)
    np.testing.assert_array_equal(adapt.int8_product(x, q), x.astype(object) @ q.T.astype(object))


def test_bert_learns_and_notices_a_mistake(adapt):
    """The losses fall; a scale that is 1 % off, or a merge without scale, shows."""
    right = fine_tuned()
    losses = right["the losses of 4 steps"]
    assert losses[-1] < losses[0]

    class Off:
        merge = staticmethod(lambda W, A, B, alpha: adapt.merge(W, A, B, 1.01 * alpha))
        lora_linear = staticmethod(adapt.lora_linear)

    expected, found = just_so(right), fine_tuned(Off)
    assert [name for name, x in found.items() if complaint(x, expected[name])] == ["the logits with merged weights"]
    Off.lora_linear = staticmethod(lambda x, W, b, A, B, alpha: adapt.lora_linear(x, W, b, A, B, 1.01 * alpha))
    wrong = [name for name, x in fine_tuned(Off).items() if complaint(x, expected[name])]
    assert len(wrong) == len(expected)


def test_bert_in_int8_is_nearly_bert(adapt):
    """Rounding moves the logits, and by little."""
    from models.course.tiny_adapt import batch, classifier

    exact = classifier()(**batch()).logits.array
    rounded = in_int8(adapt)["the logits in int8"]
    assert 0 < np.abs(exact - rounded).max() < 0.1 * np.abs(exact).max()


def test_the_small_bert_learns_from_the_large_one(adapt):
    losses = taught(adapt)["the losses of 4 steps"]
    assert losses[-1] < losses[0]
