"""gradcheck itself is checked: it passes what is right, and finds and names what is wrong."""

import numpy as np
import pytest

import minitorch as mt
from minitorch.autograd import gradcheck, gradgradcheck, op
from minitorch.tools.gradcheck import GradcheckError


def leaf(*shape, seed=0, dtype=np.float64):
    return mt.tensor(np.random.default_rng(seed).normal(size=shape).astype(dtype), requires_grad=True)


@op
def wrong_square(x):
    """x² with the gradient of x² only where x is not its first element."""

    def pullback(g):
        factor = 2 * np.ones(x.shape)
        factor.reshape(-1)[0] = 3
        return g * x * factor

    return x * x, pullback


@op
def square_right_once(x):
    """The gradient is right, the gradient of the gradient is not: it forgets that x varies."""
    held = getattr(x, "array", x)
    return x * x, lambda g: g * (2 * held)


def test_passes_what_is_right():
    assert gradcheck(lambda a, b: (a * b).sin() + b, (leaf(2, 3), leaf(3, seed=1)))
    assert gradgradcheck(lambda a, b: (a * b).sin() + b, (leaf(2, 3), leaf(3, seed=1)))


def test_a_bare_tensor_other_arguments_and_several_outputs():
    x = leaf(4)
    assert gradcheck(mt.tanh, x)
    assert gradcheck(lambda x, n, name, c: (x * n, x.exp() + c), (x, 3, "unused", mt.tensor([1.0])))
    assert gradgradcheck(lambda x: (x * x, x.exp(), mt.tensor([1, 2])), x)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_finds_what_is_wrong(fast_mode):
    assert not gradcheck(wrong_square, leaf(3), raise_exception=False, fast_mode=fast_mode)
    with pytest.raises(GradcheckError):
        gradcheck(wrong_square, leaf(3), fast_mode=fast_mode)


def test_the_message_names_the_place():
    x = mt.tensor([[1.0, 2.0]], dtype=mt.float64, requires_grad=True)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda c, x: (x + 1, wrong_square(x)), (mt.tensor(1.0), x))
    assert str(caught.value) == (
        "gradcheck: output 1 (shape (1, 2)), input 1 (shape (1, 2)): 1 of 4 derivatives are wrong\n"
        "the largest error is in ∂ output[0, 0] / ∂ input[0, 0]: analytic 3, numeric 2, error 1"
    )


def test_a_wrong_second_derivative_is_found():
    assert gradcheck(square_right_once, leaf(3))
    with pytest.raises(GradcheckError, match="derivatives are wrong"):
        gradgradcheck(square_right_once, leaf(3))


@pytest.mark.parametrize("make", [lambda a: a.T, lambda a: a[::-1, ::2], lambda a: np.broadcast_to(a[:1], (3, 4))])
def test_non_contiguous_inputs_stay_as_they_are(make):
    x = mt.Tensor(make(leaf(3, 4).array)).requires_grad_()
    array, before = x.array, x.array.copy()
    assert gradcheck(lambda x: x * x + x.exp(), x)
    assert gradgradcheck(lambda x: x * x + x.exp(), x)
    assert x.array is array
    assert np.array_equal(x.array, before)
    assert x.grad is None


def test_inputs_are_restored_when_the_function_fails():
    x = leaf(3)
    before, calls = x.array.copy(), []

    def fails_late(x):
        calls.append(1)
        if len(calls) == 4:
            raise KeyError("late")
        return x * 2

    with pytest.raises(KeyError):
        gradcheck(fails_late, x)
    assert np.array_equal(x.array, before)


def test_an_input_that_is_not_used():
    assert gradcheck(lambda a, b: a * 2, (leaf(2), leaf(3)))
    assert gradgradcheck(lambda a, b: a * a, (leaf(2), leaf(3)))
    assert gradcheck(lambda a: mt.tensor([1.0, 2.0], dtype=mt.float64), leaf(2))  # nothing depends on anything


def test_a_dependence_that_the_graph_misses():
    with pytest.raises(GradcheckError, match=r"analytic 0, numeric 2"):
        gradcheck(lambda x: x.detach() * 2, leaf(2))


def test_0_d_empty_and_the_same_tensor_twice():
    x = leaf()
    assert gradcheck(mt.sin, x)
    assert gradgradcheck(mt.sin, x)
    assert gradcheck(mt.sin, leaf(0, 3))
    assert gradgradcheck(mt.sin, leaf(0, 3))
    assert gradcheck(lambda a, b: a * b, (x, x))
    assert gradcheck(lambda x: x, x)


def test_parameters_that_the_function_holds_itself():
    w = leaf(3)
    assert gradcheck(lambda _: (w * w).exp(), w)


def test_an_inner_tensor_as_input():
    x = leaf(3)
    h = x * 2
    assert gradcheck(mt.exp, h)
    assert x.grad is None


def test_float32_is_warned_about():
    with pytest.warns(UserWarning, match=r"input 0 is float32, too coarse .* pass x.double"):
        gradcheck(mt.sin, leaf(2, dtype=np.float32), raise_exception=False)
    with pytest.warns(UserWarning, match="float32"):
        assert gradcheck(mt.sin, leaf(2, dtype=np.float32), eps=1e-2, atol=1e-2)


def test_nothing_to_check():
    with pytest.raises(ValueError, match="no input requires grad"):
        gradcheck(mt.sin, mt.tensor([1.0]))


def test_randomness_is_named():
    calls = iter(range(100))
    with pytest.raises(GradcheckError, match="two calls with the same inputs differ by 1; take randomness out"):
        gradcheck(lambda x: x * 0 + next(calls), leaf(2))


def test_a_chosen_grad_output():
    x = leaf(3)
    g = mt.tensor([1.0, 0.0, 2.0], dtype=mt.float64, requires_grad=True)
    assert gradgradcheck(lambda x: x * x * x, x, g)
    assert gradgradcheck(lambda x: x * x * x, (x,), (g,), fast_mode=True)


def test_nan_is_wrong():
    with pytest.raises(GradcheckError, match="nan"):
        gradcheck(mt.log, mt.tensor([-1.0], dtype=mt.float64, requires_grad=True))
