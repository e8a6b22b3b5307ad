"""Convolution, pooling, batch norm, cells and bags: strides, paddings, NaN and infinity, empty batches, integers, refusals."""

import numpy as np

from ..op_table import Call, Constant, call, refused
from . import INF, NAN, numbers, positive, whole

ROW, IMAGE = numbers(2, 3, 7), numbers(2, 4, 6, 5)  # (batch, channels, positions); images
KERNEL, WINDOW = numbers(4, 3, 3, phase=1), numbers(2, 4, 3, 2, phase=1)
BIAS = numbers(4, phase=2)
HALF = "float16"


def convolutions() -> list[Call]:
    """One dimension."""
    return [
        call(ROW, KERNEL), call(ROW, KERNEL, BIAS), call(ROW[0], KERNEL, BIAS), call(ROW, KERNEL, bias=BIAS, stride=2, padding=2),
        call(ROW, KERNEL, stride=(3,), padding=(1,), dilation=(2,)), call(ROW, KERNEL, padding="same"), call(ROW, KERNEL, padding="valid"),
        call(ROW, KERNEL, padding="same", dilation=2), call(ROW, numbers(4, 3, 2), padding="same"), call(ROW, numbers(6, 1, 3), groups=3),
        call(numbers(2, 4, 5), numbers(6, 2, 3), None, 1, 1, 1, 2), call(numbers(7, 3, 2).T, KERNEL), call(ROW, numbers(4, 3, 7)),
        call(np.zeros((0, 3, 7)), KERNEL, BIAS), call(ROW, KERNEL, padding=9),
        call(ROW.astype("float32"), KERNEL.astype("float32"), BIAS.astype("float32")).upto(1), call(ROW.astype(HALF), KERNEL.astype(HALF)).upto(1),
        call(whole(2, 3, 7), whole(4, 3, 3)), call(whole(2, 3, 7, low=0, dtype="uint8"), whole(4, 3, 3, low=0, high=3, dtype="uint8")),
        call(np.where(np.abs(ROW) > 2.8, INF, ROW), KERNEL).upto(1), refused(RuntimeError, ROW, numbers(4, 3, 8)), refused(RuntimeError, ROW, KERNEL[:, :2]),
        refused(RuntimeError, ROW, KERNEL, groups=2), refused(RuntimeError, ROW, KERNEL, groups=0), refused(RuntimeError, ROW, numbers(4, 1, 2), groups=3),
        refused(RuntimeError, ROW, KERNEL, BIAS[:3]), refused(RuntimeError, ROW, KERNEL, stride=0), refused(RuntimeError, ROW, KERNEL, dilation=0),
        refused(RuntimeError, ROW, KERNEL, padding=-1), refused(RuntimeError, ROW, KERNEL, padding="same", stride=2), refused(RuntimeError, ROW, KERNEL, padding="half"),
        refused(RuntimeError, ROW, KERNEL, stride=(1, 2)), refused(RuntimeError, ROW, KERNEL.astype("float32")), refused(RuntimeError, ROW[0, 0], KERNEL),
        refused(RuntimeError, ROW, KERNEL[0]), refused(RuntimeError, np.zeros((2, 3, 0)), KERNEL, padding=3), refused(RuntimeError, ROW, np.zeros((0, 3, 2))),
        refused(RuntimeError, ROW, np.zeros((4, 3, 0))), refused(NotImplementedError, ROW > 0, KERNEL > 0),
    ]  # fmt: skip


def images() -> list[Call]:
    """Two dimensions."""
    return [
        call(IMAGE, WINDOW), call(IMAGE[0], WINDOW, BIAS[:2]), call(IMAGE, WINDOW, stride=(2, 1), padding=(0, 1)), call(IMAGE, WINDOW, padding="same"),
        call(IMAGE, WINDOW, padding="same", dilation=(2, 1)), call(IMAGE, numbers(4, 1, 2, 2), BIAS, groups=4), call(IMAGE, numbers(4, 2, 1, 1), groups=2),
        call(IMAGE, WINDOW, stride=[2], padding=[1]), call(IMAGE.transpose(0, 1, 3, 2), WINDOW), call(np.zeros((0, 4, 6, 5)), WINDOW),
        call(IMAGE.astype("float32"), WINDOW.astype("float32")).upto(1), refused(RuntimeError, IMAGE[0, 0], WINDOW), refused(RuntimeError, IMAGE, WINDOW[..., 0]),
        refused(RuntimeError, IMAGE, numbers(2, 4, 7, 1)), refused(RuntimeError, IMAGE, WINDOW, padding=(1, 1, 1)), refused(RuntimeError, IMAGE, WINDOW, stride=[2, 1], padding="same"),
    ]  # fmt: skip


def largest(dims: int) -> list[Call]:
    """max_pool: equal elements, NaN, infinities, windows that reach over the end."""
    x = numbers(2, 3, *(6, 5)[2 - dims :])
    equal, special = np.round(x / 3), np.where(np.abs(x) > 2.9, NAN, np.where(np.abs(x) < 0.5, -INF, x))
    return [
        call(x, 2), call(x, 3, 1), call(x, 2, 1, 1), call(x, 3, stride=2, padding=1, ceil_mode=True), call(x, 2, stride=3, ceil_mode=True), call(x, 2, dilation=2, stride=1),
        call(x[0], (2,) * dims), call(equal, 2), call(equal, 3, 1, 1), call(equal, 2, return_indices=True), call(x, 3, 2, 1, return_indices=True), call(special, 2).upto(1),
        call(np.full_like(x, -INF), 2, 1, 1, return_indices=True).upto(1), call(x.astype("float32"), 2).upto(1), call(x.astype(HALF), 2).upto(1), call(np.zeros((0, *x.shape[1:])), 2),
        call(x, 2, []), call(x, 1, 2, ceil_mode=True), refused(RuntimeError, x, 2, padding=2), refused(RuntimeError, x, 9), refused(RuntimeError, x, 0), refused(RuntimeError, x, 2, stride=0),
        refused(RuntimeError, x, (2, 2, 2)), refused(RuntimeError, np.zeros((2, 0, *x.shape[2:])), 2), refused(RuntimeError, np.zeros((2, 3, *(0,) * dims)), 2), refused(RuntimeError, x[0, 0], 2),
        refused(NotImplementedError, whole(*x.shape), 2) if dims == 1 else call(whole(*x.shape), 2),
    ]  # fmt: skip


def means(dims: int) -> list[Call]:
    """avg_pool: what the padding counts."""
    x = numbers(2, 3, *(6, 5)[2 - dims :])
    both = [call(x, 3, 2, 1, ceil, count) for ceil in (False, True) for count in (False, True)]
    more = [call(x, 2, divisor_override=3), refused(RuntimeError, x, 2, divisor_override=0)] if dims == 2 else []
    return [
        *both, *more, call(x, 2), call(x[0], (3,) * dims, 1), call(x, 2, 3, 1, ceil_mode=True), call(x, 1), call(x.astype("float32"), 3, 1).upto(1),
        call(x.astype(HALF), 2).upto(1), call(whole(*x.shape), 2), call(np.zeros((0, *x.shape[1:])), 2), refused(RuntimeError, x, 2, padding=2), refused(RuntimeError, x, 9),
    ]  # fmt: skip


def adaptive(dims: int, max: bool) -> list[Call]:
    """As many windows as asked for."""
    x = numbers(2, 3, *(6, 5)[2 - dims :])
    both = [(2, None), (None, 3), (7, 1)] if dims == 2 else [(2,)]
    indices = [call(x, n, return_indices=True) for n in (1, 2, 4)] if max else []
    return [
        *[call(x, n) for n in (1, 2, 3, 5, 8, *both)], *indices, call(x[0], 2), call(x.astype("float32"), 2).upto(1), call(x.astype(HALF), 1).upto(1), call(np.round(x / 3), 2),
        call(np.zeros((0, *x.shape[1:])), 2), refused(NotImplementedError, whole(*x.shape), 2), refused(RuntimeError, x, -1), refused(RuntimeError, x, (1, 1, 1)),
    ]  # fmt: skip


def norms() -> list[Call]:
    """batch_norm."""
    x, mean, var, w, b = (
        numbers(4, 3),
        Constant(numbers(3, phase=1)),
        Constant(positive(3)),
        numbers(3, phase=2),
        numbers(3, phase=3),
    )
    batch, single = {"training": True}, "float32"
    return [
        call(x, mean, var), call(x, mean, var, w, b), call(x, mean, var, w, b, eps=0.5), call(numbers(2, 3, 4), None, None, w, b, **batch), call(x, None, None, **batch),
        call(numbers(2, 3, 2, 2), None, None, w, b, True, 0.1, 1e-2), call(numbers(1, 3, 2), None, None, **batch).upto(1), call(np.zeros((0, 3)), mean, var),
        call(x.astype(single), Constant(mean.array.astype(single)), Constant(var.array.astype(single)), w.astype(single), b.astype(single)).upto(1),
        refused(ValueError, x[:1], None, None, **batch), refused(RuntimeError, x, None, None), refused(RuntimeError, x, mean, Constant(positive(2))),
        refused(RuntimeError, x, mean, var, w[:2]), refused(RuntimeError, x[0], mean, var), refused(NotImplementedError, whole(4, 3), None, None, **batch),
    ]  # fmt: skip


def bags() -> list[Call]:
    """embedding_bag, which torch differentiates once."""
    table, index, starts = numbers(4, 3), np.array([0, 2, 1, 2, 3, 1]), np.array([0, 2, 2, 5])
    each = [call(index, table, starts, mode=m) for m in ("sum", "mean", "max")]
    each += [call(index, table, starts, mode=m, padding_idx=2) for m in ("sum", "mean", "max")]
    each += [call(index.reshape(2, 3), table, mode=m, padding_idx=-1) for m in ("sum", "mean", "max")]
    each += [call(np.zeros(0, "int64"), table, np.array([0, 0]), mode=m) for m in ("sum", "mean", "max")]
    each += [call(index, table, np.array([0, 3, 6]), mode=m, include_last_offset=True) for m in ("sum", "mean", "max")]
    each += [
        call(index, table, starts, mode="sum", per_sample_weights=numbers(6)), call(index, table, starts, mode="sum", padding_idx=2, per_sample_weights=numbers(6)),
        call(index.astype("int32"), table, starts.astype("int32")), call(index, table.astype("float32"), starts),
        call(index, table.astype(HALF), starts, mode="sum"),
    ]  # fmt: skip
    return [c.upto(1) for c in each] + [
        refused(ValueError, index, table), refused(ValueError, index.reshape(2, 3), table, starts), refused(RuntimeError, index, table, starts + 1), refused(RuntimeError, index, table, starts * 4),
        refused(ValueError, index, table, starts, mode="median"), refused(NotImplementedError, index, table, starts, per_sample_weights=numbers(6)), refused(ValueError, index, table, starts, mode="sum", per_sample_weights=numbers(5)),
        refused(ValueError, index, table, starts, mode="max", scale_grad_by_freq=True), refused(RuntimeError, index, table, starts, padding_idx=4), refused(ValueError, index.reshape(1, 2, 3), table),
        refused(RuntimeError, numbers(6), table, starts),
    ]  # fmt: skip


def cell(gates: int) -> list[Call]:
    """A step of a recurrent network."""
    x, h, c = numbers(2, 3), numbers(2, 2, phase=1), numbers(2, 2, phase=2)
    weights = (
        numbers(2 * gates, 3, phase=3),
        numbers(2 * gates, 2, phase=4),
        numbers(2 * gates, phase=5),
        numbers(2 * gates, phase=6),
    )
    state = (h, c) if gates == 4 else h
    single = tuple(a.astype("float32") for a in weights)
    small = (h.astype("float32"), c.astype("float32")) if gates == 4 else h.astype("float32")
    return [
        call(x, state, *weights), call(x, state, *weights[:2]), call(100 * x, state, *weights), call(-100 * x, state, *weights),
        call(x.astype("float32"), small, *single).upto(1), refused(RuntimeError, x[:, :2], state, *weights), refused(RuntimeError, x, state, weights[1], weights[1]),
    ]  # fmt: skip


EDGES = {
    "nn.functional.conv1d": convolutions(),
    "nn.functional.conv2d": images(),
    **{f"nn.functional.max_pool{dims}d": largest(dims) for dims in (1, 2)},
    **{f"nn.functional.avg_pool{dims}d": means(dims) for dims in (1, 2)},
    **{f"nn.functional.adaptive_avg_pool{dims}d": adaptive(dims, max=False) for dims in (1, 2)},
    **{f"nn.functional.adaptive_max_pool{dims}d": adaptive(dims, max=True) for dims in (1, 2)},
    "nn.functional.batch_norm": norms(),
    "nn.functional.embedding_bag": bags(),
    "lstm_cell": cell(4),
    "gru_cell": cell(3),
    "rnn_tanh_cell": cell(1),
    "rnn_relu_cell": cell(1),
}
