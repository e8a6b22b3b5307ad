"""GradScaler against torch.amp.GradScaler: the same factors, the same skipped steps, the same complaints."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minitorch

SETTINGS = {"init_scale": 1024.0, "growth_interval": 3, "growth_factor": 4.0, "backoff_factor": 0.25}
# gradients of eight steps: what the loss's slope is multiplied by
SLOPES = [1.0, 2.0, math.inf, 0.5, 1.0, 1.0, 1.0, math.nan, 1.0]


def run(library: Any, unscale: bool) -> list[tuple[Any, ...]]:
    """Every step: the factor, the count, whether the parameter moved, and where it is; with a clip between if unscale."""
    p = library.tensor([1.0, -2.0], requires_grad=True)
    optimizer = library.optim.SGD([p], lr=0.1)
    scaler = library.amp.GradScaler("cpu", **SETTINGS)
    found = []
    for slope in SLOPES:
        optimizer.zero_grad()
        scaler.scale((p * slope).sum()).backward()
        if unscale:
            scaler.unscale_(optimizer)
            library.nn.utils.clip_grad_norm_([p], 1.0)
        before = p.tolist()
        scaler.step(optimizer)
        scaler.update()
        state = scaler.state_dict()
        found.append((state["scale"], state["_growth_tracker"], p.tolist() != before, *p.tolist()))
    return found


@pytest.mark.parametrize("unscale", [False, True])
def test_as_pytorchs(unscale: bool) -> None:
    """Factors grow and fall, infinite and NaN gradients are skipped."""
    torch = pytest.importorskip("torch")
    ours, theirs = run(minitorch, unscale), run(torch, unscale)
    np.testing.assert_allclose(np.array(ours, float), np.array(theirs, float), rtol=1e-6)
    assert [row[2] for row in ours] == [math.isfinite(slope) for slope in SLOPES]


def test_resuming_is_as_if_there_had_been_no_stop() -> None:
    """Through state_dict, before and after the first scale()."""
    whole = run(minitorch, False)
    scaler = minitorch.amp.GradScaler("cpu", **SETTINGS)
    scaler.load_state_dict({**scaler.state_dict(), "scale": whole[3][0], "_growth_tracker": whole[3][1]})
    p = minitorch.tensor(list(whole[3][3:]), requires_grad=True)
    optimizer = minitorch.optim.SGD([p], lr=0.1)
    for slope, row in zip(SLOPES[4:], whole[4:], strict=True):
        scaler.load_state_dict(scaler.state_dict())
        optimizer.zero_grad()
        scaler.scale((p * slope).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert (scaler.get_scale(), *p.tolist()) == (row[0], *row[3:])


def test_several_losses_and_optimizers() -> None:
    """A nest of losses keeps its shape; each optimiser is skipped by itself, and one overflow lowers the factor for all."""
    a, b = (minitorch.tensor(1.0, requires_grad=True) for _ in range(2))
    first, second = minitorch.optim.SGD([a], lr=1.0), minitorch.optim.SGD([b], lr=1.0)
    scaler = minitorch.amp.GradScaler("cpu", **SETTINGS)
    one, (two,) = scaler.scale((a * 1.0, [b * math.inf]))
    assert one.item() == 1024
    (one + two).backward()
    scaler.step(first)
    scaler.step(second)
    scaler.update()
    assert (a.item(), b.item(), scaler.get_scale()) == (0.0, 1.0, 256.0)
    scaler.update(2.0)
    assert scaler.get_scale() == 2


def test_not_enabled_it_does_nothing() -> None:
    """The same loop then trains in float32."""
    p = minitorch.tensor(1.0, requires_grad=True)
    scaler, optimizer = minitorch.amp.GradScaler("cpu", enabled=False), minitorch.optim.SGD([p], lr=0.5)
    loss = p * 1.0
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert (p.item(), scaler.get_scale(), scaler.state_dict(), scaler.is_enabled()) == (0.5, 1.0, {}, False)


def test_calls_in_the_wrong_order_are_refused() -> None:
    """With PyTorch's words."""
    p = minitorch.tensor(1.0, requires_grad=True)
    optimizer, scaler = minitorch.optim.SGD([p], lr=0.1), minitorch.amp.GradScaler("cpu")
    with pytest.raises(AssertionError, match=r"did not use scaler\.scale"):
        scaler.step(optimizer)
    scaler.scale(p * 1.0)
    with pytest.raises(AssertionError, match="No inf checks were recorded for this optimizer"):
        scaler.step(optimizer)
    scaler = minitorch.amp.GradScaler("cpu")
    scaler.scale(p * 1.0).backward()
    with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
        scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called on this optimizer since the last update"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="being called after step"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called"):
        scaler.step(optimizer)
    q = minitorch.tensor(1.0, dtype=minitorch.float16, requires_grad=True)
    half, scaler = minitorch.optim.SGD([q], lr=0.1), minitorch.amp.GradScaler("cpu", init_scale=2.0)
    scaler.scale(q * 1.0).backward()
    with pytest.raises(ValueError, match="unscale FP16 gradients"):
        scaler.unscale_(half)
    with pytest.raises(AssertionError, match="growth factor"):
        minitorch.amp.GradScaler("cpu", growth_factor=1.0)
    if not minitorch.cuda_is_available():
        with pytest.warns(UserWarning, match="no working GPU"):
            assert not minitorch.amp.GradScaler().is_enabled()


@pytest.mark.parametrize("value", ["1", None, -1.0, math.nan, math.inf])
def test_a_state_that_is_none_is_refused(value) -> None:
    scaler = minitorch.amp.GradScaler("cpu")
    with pytest.raises(ValueError, match=r"load_state_dict: scale is .* it must be a number that is not negative"):
        scaler.load_state_dict({**scaler.state_dict(), "scale": value})
