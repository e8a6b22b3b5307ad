"""The debugging blocks: anomalies name their birthplace, the profile adds up, and nothing is left behind."""

import gc
import re
import sys
import threading
import warnings

import numpy as np
import pytest

import minitorch as mt
from minitorch.autograd import op
from minitorch.grad_mode import mode

INF = float("inf")


def here():
    """file:line of the caller's next line."""
    frame = sys._getframe(1)
    return f"{__file__}:{frame.f_lineno + 1}, in {frame.f_code.co_name}: "


def leaf(values, dtype=mt.float32):
    return mt.tensor(values, dtype=dtype, requires_grad=True)


@op
def break_backward(x):
    """Its result is right, its gradient fails."""

    def pullback(g):
        raise ValueError("no way back")

    return x + 0, pullback


# ------------------------------------------------------------------------------------------------ detect_anomaly


def anomaly(function):
    """The message that ``function`` raises when it is watched."""
    with pytest.raises(RuntimeError) as caught, mt.detect_anomaly():
        function()
    return str(caught.value)


def test_forward_names_op_shapes_and_the_users_line():
    x, places = leaf([[1.0, -2.0], [0.0, -4.0]]), []

    def user():
        places.append(here())
        y = x.log()  # the logarithm of a negative number
        y.sum()

    assert anomaly(user) == (
        "detect_anomaly: log gave 2 NaN and 1 Inf (of 4 elements)\n"
        f"  called at {places[0]}y = x.log()  # the logarithm of a negative number\n"
        "  on (2, 2) float32, from -4 to 1; output (2, 2) float32"
    )


@pytest.mark.parametrize("create_graph", [False, True])
def test_backward_names_the_line_of_the_forward_call(create_graph):
    x, places = leaf([4.0, 0.0]), []

    def user():
        places.append(here())
        y = x.sqrt()
        y.backward(mt.ones(2), create_graph=create_graph)

    assert anomaly(user) == (
        "detect_anomaly: the backward of sqrt gave 1 Inf (of 2 elements) in the gradient of input 0\n"
        f"  called at {places[0]}y = x.sqrt()\n  on (2,) float32, from 0 to 4; output (2,) float32"
    )


def test_a_second_derivative_points_at_the_forward_line_too():
    x = leaf([0.0])

    def user():
        y = x**1.5
        (g,) = mt.autograd.grad(y, x, mt.ones(1), create_graph=True)
        g.backward(mt.ones(1))

    assert re.search(r"the backward of .* gave 1 (NaN|Inf).*\n.*y = x\*\*1\.5", anomaly(user))


def test_a_forward_pass_outside_is_said_to_be_unknown():
    y = leaf([0.0]).sqrt()
    with pytest.raises(RuntimeError, match=r"run the forward pass inside detect_anomaly\(\) too"), mt.detect_anomaly():
        y.backward(mt.ones(1))


def test_the_second_of_two_inputs_is_blamed():
    a, b = leaf([1.0]), leaf([1e-30])
    message = anomaly(lambda: (a / b).backward(mt.ones(1)))
    assert re.search(r"backward of \w+ gave 1 Inf .* in the gradient of input 1", message)


def test_overflow_of_a_cast():
    with pytest.raises(RuntimeError, match=r"cast gave 1 Inf .of 2 elements.\n(.|\n)*from 1 to 1e\+06"), mt.detect_anomaly():
        leaf([1.0, 1e6]).half()


def test_an_infinite_operand_or_setting_is_not_a_birth():
    scores, mask = leaf([[1.0, 2.0]]), mt.tensor([[False, True]])
    with mt.detect_anomaly():
        for masked in (scores + mt.tensor([0.0, -INF]), scores.masked_fill(mask, -INF), mt.where(mask, -INF, scores),
                       mt.where(mask, mt.tensor(-INF), scores), mt.maximum(scores, mt.tensor(INF)), scores + INF):  # fmt: skip
            assert np.isinf(masked.array).any()
            masked.exp().backward(mt.ones(1, 2))


def test_attention_masks_are_legal_and_a_row_that_is_all_masked_is_not():
    scores = leaf([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    mask = mt.tensor([[False, True, True], [False, False, True]])
    with mt.detect_anomaly():
        p = mt.softmax(scores.masked_fill(mask, -INF), dim=-1)
        p.backward(mt.ones(2, 3) * mt.tensor([1.0, 2.0, 3.0]))
    assert np.isfinite(scores.grad.array).all()
    mask = mt.tensor([[True, True, True], [False, False, True]])
    message = anomaly(lambda: mt.softmax(scores.masked_fill(mask, -INF), dim=-1))
    assert "gave 3 NaN (of 6 elements)" in message
    assert "message = anomaly(lambda: mt.softmax" in message


def test_nan_in_the_data_is_not_blamed_on_an_operation_but_told_once():
    x = leaf([1.0, float("nan")])
    with pytest.warns(UserWarning, match="mul received a NaN that no watched operation made") as told, mt.detect_anomaly():
        (x * 2).exp().backward(mt.ones(2))
    assert len(told) == 1


def test_healthy_numbers_pass_unchanged():
    def gradients():
        x = leaf([[0.5, 2.0]])
        y = (x.exp() * x).log() / x
        y.backward(mt.ones(1, 2))
        return y.array, x.grad.array

    plain = gradients()
    with warnings.catch_warnings(), mt.detect_anomaly():
        warnings.simplefilter("error")
        watched = gradients()
    assert all(np.array_equal(a, b) for a, b in zip(plain, watched, strict=True))


def test_a_failing_backward_gets_the_line_of_its_forward_call():
    with mt.detect_anomaly(check_nan=False):
        y = break_backward(leaf([1.0])) * mt.tensor(INF)
        with pytest.raises(ValueError, match="no way back") as caught:
            y.backward(mt.ones(1))
    assert re.search(r"in the backward of break_backward\n.*y = break_backward\(leaf", "".join(caught.value.__notes__))


def test_without_gradients_too():
    with pytest.raises(RuntimeError, match="log gave 1 Inf"), mt.no_grad(), mt.detect_anomaly():
        mt.tensor([0.0]).log()


def test_several_outputs_and_integers():
    with mt.detect_anomaly():
        parts = leaf([1.0, 2.0]).unbind(0)
        (parts[0] * parts[1]).backward()
        mt.tensor([1, 2]) + 1


# -------------------------------------------------------------------------------------------------------- blocks


def test_blocks_end_also_after_errors():
    with pytest.raises(RuntimeError), mt.profile(), mt.detect_anomaly():
        mt.tensor([0.0]).log()
    assert mode.observer is None


@pytest.mark.parametrize("first", ["profile", "anomaly"])
def test_blocks_nest_in_any_order(first):
    p, d = mt.profile(), mt.detect_anomaly()
    outer, inner = (p, d) if first == "profile" else (d, p)
    with outer, inner:
        y = leaf([4.0, 1.0]).sqrt()
        y.backward(mt.ones(2))
        assert "y = leaf" in str(y.node.where)
        with pytest.raises(RuntimeError, match="log gave 1 Inf"):
            mt.tensor([0.0]).log()
    rows = {row["op"]: row for row in p.rows}
    assert rows["sqrt"]["calls"] == 1
    assert rows["sqrt"]["backward"] > 0


def test_one_block_cannot_be_entered_twice_at_once():
    p = mt.profile()
    with p, pytest.raises(RuntimeError, match="already open; make a second one"), p:
        pass
    with p:  # one after the other is fine, and adds up
        mt.tensor([1.0]).exp()


def test_other_threads_are_not_watched():
    with mt.detect_anomaly():
        thread = threading.Thread(target=lambda: mt.tensor([0.0]).log())
        thread.start()
        thread.join()
        assert mode.observer is not None


# -------------------------------------------------------------------------------------------------------- profile


def test_profile_counts_and_adds_up():
    w = leaf(np.ones((64, 64)))
    with mt.profile() as p:
        for _ in range(3):
            h = (w * w).exp()
            h.backward(mt.ones(64, 64))
    rows = {row["op"]: row for row in p.rows}
    assert rows["mul"]["calls"] == rows["exp"]["calls"] == 3
    assert all(row["forward"] > 0 and row["backward"] > 0 for row in (rows["mul"], rows["exp"]))
    assert sum(row["share"] for row in p.rows) == pytest.approx(1)
    assert [row["share"] for row in p.rows] == sorted((row["share"] for row in p.rows), reverse=True)
    assert sum(row["forward"] + row["backward"] for row in p.rows) <= p.wall
    lines = str(p).splitlines()
    assert lines[0].split() == ["op", "calls", "forward", "backward", "share", "peak", "memory"]
    assert lines[-2].split()[:2] == ["all", "6"]
    assert "of it in operations" in lines[-1]
    assert repr(p) == str(p)


def test_profile_of_nothing():
    with mt.profile() as p:
        pass
    assert p.rows == []
    assert p.peak == 0
    assert str(p)


def test_memory_is_what_is_alive_at_once():
    size = 1000 * 4
    x = mt.tensor(np.ones(1000, dtype=np.float32))
    with mt.profile() as p:
        a = x.exp()
        b = a.exp()
        assert p.live == 2 * size
        del a, b
        assert p.live == 0
        y = x.exp()
        assert y.reshape(10, 100).array.base is not None
    assert p.peak == 2 * size
    assert {row["op"]: row["memory"] for row in p.rows} == {"exp": 2 * size, "reshape": 0}  # a view costs nothing


def test_memory_that_only_the_graph_keeps_and_that_of_gradients():
    x = leaf(np.ones(1000))
    with mt.profile() as p:
        y = x.exp().exp()
        assert p.live == 2 * 4000
        y.backward(mt.ones(1000))
        assert p.peak == 4 * 4000  # two results, two gradients
        del y
        gc.collect()
        assert p.live == 4000  # x.grad


def test_time_inside_create_graph_is_not_counted_twice():
    x = leaf(np.ones(10000))
    with mt.profile() as p:
        mt.autograd.grad(x.exp(), x, mt.ones(10000), create_graph=True)
    assert sum(row["forward"] + row["backward"] for row in p.rows) <= p.wall


def test_profile_changes_no_result():
    def run():
        x = leaf([[0.5, 2.0]])
        ((x @ x.mT).exp() * x).sum().backward()
        return x.grad.array

    with mt.profile():
        watched = run()
    assert np.array_equal(watched, run())


# ---------------------------------------------------------------------------------------------------- live tensors


def test_live_tensors():
    before = {(row["kind"], row["shape"]): row["count"] for row in mt.live_tensors()}
    assert ("parameter", (123, 7)) not in before
    w = leaf(np.ones((123, 7)))
    view, y = w.detach(), w.exp()
    y.backward(mt.ones(123, 7))
    rows = {(row["kind"], row["shape"]): row for row in mt.live_tensors()}
    assert rows["parameter", (123, 7)]["bytes"] == 123 * 7 * 4
    assert rows["gradient", (123, 7)]["count"] == 1
    assert rows["exp", (123, 7)]["dtype"] == "float32"
    assert rows["data", (123, 7)]["bytes"] == 0  # the view shows w's memory
    assert "(123, 7)" in str(mt.live_tensors())
    del w, view, y
    assert ("parameter", (123, 7)) not in {(row["kind"], row["shape"]) for row in mt.live_tensors()}


def test_parts_of_a_result_are_no_operations():
    with mt.profile() as p:
        a, b = leaf([1.0, 2.0]).unbind(0)
        (a * b).backward()
    assert "part" not in {row["op"] for row in p.rows}
