"""Activation checkpointing: the same numbers and gradients as without, for less memory."""

import tracemalloc

import numpy as np
import pytest

import minitorch
from minitorch import nn, optim
from minitorch.nn import functional as F
from minitorch.utils.checkpoint import checkpoint, checkpoint_sequential


def leaf(*shape, device="cpu"):
    return minitorch.randn(*shape, dtype=minitorch.float64, device=device, requires_grad=True)


def both_ways(make, device="cpu"):
    """What ``make(run)`` returns and the gradients it leaves, called directly and through checkpoint; must be equal."""
    results = []
    for run in (lambda f, *args, **named: f(*args, **named), checkpoint):
        minitorch.manual_seed(5)
        loss, leaves = make(run)
        loss.backward()
        results.append([loss, *(x.grad for x in leaves), minitorch.rand(3)])  # the stream went on as far, too
    for a, b in zip(*results, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().cpu().numpy(), rtol=1e-13)


def test_arguments_and_captured_parameters_get_their_gradients(device):
    def make(run):
        x, w, unused = leaf(3, 4, device=device), leaf(4, 4, device=device), leaf(2, device=device)
        y = run(lambda x: minitorch.tanh(x @ w) * x, x)
        return (y * y).sum(), [x, w, unused]

    both_ways(make)


def test_captured_computed_tensors(device):
    def make(run):
        x, w = leaf(3, 4, device=device), leaf(4, 4, device=device)
        h = w * 2  # its graph lies outside, and is walked once, by the outer walk
        y = run(lambda x: minitorch.tanh(x @ h) @ h + w.sum(), x)
        return (y * h.sum()).sum(), [x, w]

    both_ways(make)


def test_shared_results():
    def make(run):
        a, b = leaf(3), leaf(3)
        y = run(lambda a, b: a + b, a, b)  # one array is the gradient of both
        return (y * y).sum() + (a * 3).sum() + (b * a).sum() + run(lambda a: a, a).sum(), [a, b]

    both_ways(make)


def test_several_outputs_and_keywords():
    def make(run):
        x, w = leaf(3), leaf(3)
        y, n, z = run(lambda x, *, w: (x * w, 7, (x + w).exp()), x, w=w)
        assert n == 7
        (only,) = run(lambda x: [x * 2], x)
        first, _ = run(lambda x: (x.exp(), x.sin()), x)  # an output that is not used
        same, again = run(lambda x: (x * 2,) * 2, w)
        return (y * z).sum() + (only * y).sum() + first.sum() + (same * again).sum(), [x, w]

    both_ways(make)


def test_dropout_draws_the_same_mask_again(device):
    x = leaf(50, 4, device=device)
    y = checkpoint(lambda x: F.dropout(x, 0.5) + F.dropout(x, 0.5) * 3, x)
    after = minitorch.get_rng_state()
    minitorch.rand(7)
    now = minitorch.get_rng_state()
    y.sum().backward()
    np.testing.assert_allclose((y / x).detach().cpu().numpy(), x.grad.cpu().numpy(), rtol=1e-12)
    assert minitorch.get_rng_state() == now != after


def test_dropout_draws_what_it_draws_without_checkpoint():  # on the CPU; a GPU's stream starts anew at each checkpoint
    def make(run):
        x = leaf(9)
        return (run(lambda x: F.dropout(x, 0.5), x) ** 2 + F.dropout(x, 0.5)).sum(), [x]

    both_ways(make)


def test_nested_and_chained():
    def make(run):
        w, x = leaf(4, 4), leaf(2, 4)

        def inner(h):
            return minitorch.tanh(h @ w)

        def outer(h):
            return run(inner, run(inner, h) + h) * h

        return run(outer, run(outer, x)).sum(), [w, x]

    both_ways(make)


def test_grad_retain_graph_and_hooks():
    w, x = leaf(3), leaf(3)
    seen = []
    w.register_hook(lambda g: seen.append(g.tolist()))
    y = (checkpoint(lambda x: x * w * x, x) * 2 + w).sum()
    gx, gw = minitorch.autograd.grad(y, [x, w], retain_graph=True)
    np.testing.assert_allclose(gx.numpy(), (4 * x * w).detach().numpy())
    np.testing.assert_allclose(gw.numpy(), (2 * x * x + 1).detach().numpy())
    assert seen == [gw.tolist()]  # once, with the whole gradient
    y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), gw.numpy())
    with pytest.raises(RuntimeError, match="already walked and freed"):
        y.backward()


def test_nothing_to_record():
    x = leaf(3)
    with minitorch.no_grad():
        assert checkpoint(lambda x: x * 2, x).requires_grad is False
    assert checkpoint(lambda x: x * 2, x.detach()).requires_grad is False
    assert checkpoint(lambda: 5) == 5
    assert checkpoint(lambda x: x * 2, x, use_reentrant=False).requires_grad


def test_errors():
    x, w = leaf(3), leaf(3)
    y = checkpoint(lambda x: (x * w).exp(), x)
    with pytest.raises(RuntimeError, match="checkpoint: its backward pass cannot be differentiated again"):
        minitorch.autograd.grad(y.sum(), x, create_graph=True)

    w.grad = minitorch.ones(3, dtype=minitorch.float64)
    optim.SGD([w], lr=1.0).step()
    with pytest.raises(RuntimeError, match=r"checkpoint: a value of shape \(3,\) that its gradient needs was changed in place"):
        y.sum().backward()

    calls = []
    y = checkpoint(lambda x: calls.append(1) or (x * w if len(calls) == 1 else x * 2), x)
    with pytest.raises(RuntimeError, match="checkpoint: the function used other tensors when it was run again"):
        y.sum().backward()

    def fails_later(x):
        calls.append(1)
        if len(calls) % 2:
            raise ValueError("the second time")
        return x * 2

    calls[:] = [1]
    y = checkpoint(fails_later, x)
    state = minitorch.get_rng_state()
    with pytest.raises(ValueError, match="the second time"):
        y.sum().backward()
    assert minitorch.get_rng_state() == state


def test_memory_drops():
    w = minitorch.randn(64, 64, requires_grad=True)
    layers = [lambda h: minitorch.tanh(h @ w / 8)] * 36
    x = minitorch.randn(500, 64)

    def peak(run):
        tracemalloc.start()
        run(x).sum().backward()
        result = tracemalloc.get_traced_memory()[1] / x.array.nbytes
        tracemalloc.stop()
        return result

    def plain(x):
        for layer in layers:
            x = layer(x)
        return x

    without = peak(plain)
    gradient, w.grad = w.grad, None
    pieces = peak(lambda x: checkpoint_sequential(layers, 6, x))
    np.testing.assert_allclose(w.grad.numpy(), gradient.numpy(), rtol=1e-5, atol=1e-5 * float(gradient.abs().max()))
    assert without > 36  # at least one kept a layer
    assert pieces < 0.5 * without, (pieces, without)


@pytest.mark.parametrize("segments", [1, 2, 3, 5, 7])
def test_sequential_pieces(segments):
    w, x = leaf(3), leaf(3)
    layers = [lambda h, k=k: (h * w + k).sin() for k in range(5)]
    expected = x
    for layer in layers:
        expected = layer(expected)
    result = checkpoint_sequential(layers, segments, x)
    np.testing.assert_array_equal(result.detach().numpy(), expected.detach().numpy())
    assert result.requires_grad


def test_torchs_options_and_place():
    assert minitorch.utils.checkpoint.checkpoint is checkpoint
    net, x = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1)), minitorch.ones(2, 3)
    expected = net(x)
    for out in (
        checkpoint(net, x, use_reentrant=False, preserve_rng_state=True),
        checkpoint_sequential(net, 2, x, use_reentrant=False, preserve_rng_state=True),
        checkpoint_sequential(net, 2, input=x),
    ):
        assert out.requires_grad
        assert out.tolist() == expected.tolist()
