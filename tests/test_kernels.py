"""The fast kernels against their definitions in float64, and a reader's own kernel in the place of one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitorch
from minitorch import kernels
from minitorch.kernels import cpu, reference

quiet = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # inf - inf: the engine silences it around every op
each_gelu = pytest.mark.parametrize("name", ["gelu", "gelu_tanh"])


@quiet
@each_gelu
@given(
    shape=st.lists(st.sampled_from([0, 1, 2, 7, 130]), max_size=3),
    scale=st.sampled_from([1e-30, 0.1, 1.0, 4.0, 30.0, 1e4]),
    strided=st.booleans(),
    seed=st.integers(0, 99),
)
def test_value_and_slope(name, shape, scale, strided, seed):
    x = (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)
    x = x.T if strided else x
    before = x.copy()
    got = getattr(cpu, name)(x)
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
    np.testing.assert_allclose(getattr(cpu, name)(x)[0], getattr(reference, name)(x.astype(np.float64))[0], atol=2e-6)
    special = np.array([np.inf, np.nan, 0.0, -0.0, 1e-40], np.float32)
    np.testing.assert_array_equal(getattr(cpu, name)(special)[0], np.array([np.inf, np.nan, 0.0, -0.0, 5e-41], np.float32))


def test_a_kernel_of_ones_own_runs_inside_the_block_only():
    calls = []

    def my_gelu(x):
        calls.append(x.shape)
        return reference.gelu(x)

    x = minitorch.randn(2, 3, requires_grad=True)
    expected = minitorch.nn.functional.gelu(x).detach().numpy()
    with kernels.use(gelu=my_gelu):
        y = minitorch.nn.functional.gelu(x)
        y.sum().backward()
    minitorch.nn.functional.gelu(x)
    assert calls == [(2, 3)]
    np.testing.assert_allclose(y.detach().numpy(), expected, atol=2e-6)


def test_an_unknown_kernel_is_refused():
    with pytest.raises(TypeError, match="there is no kernel called 'gleu'; there are gelu"), kernels.use(gleu=abs):
        pass


def test_the_old_kernels_come_back_after_an_error():
    x = minitorch.ones(2)
    with pytest.raises(ZeroDivisionError), kernels.use(gelu=lambda x: 1 / 0):
        minitorch.nn.functional.gelu(x)
    assert np.isfinite(minitorch.nn.functional.gelu(x).numpy()).all()
