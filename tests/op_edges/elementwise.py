"""Elementwise operations: 0-d, empty, NaN and infinity, kinks, integers and booleans, mixed dtypes, numbers, refusals."""

import numpy as np

from ..op_table import Call, call, refused
from . import EMPTY, INF, NAN, numbers, positive, truths, whole, with_dtypes

SPECIAL = np.array([NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.5, 30.0, -30.0, 800.0, -800.0, 1e-9])
POINT = np.array(1.5)


def unary(make=numbers, dtypes="float16 float32 int64 int32 uint8 bool") -> list[Call]:
    """What every op of one operand must bear."""
    transposed = make(3, 2).T
    return [
        call(np.asarray(make(1)[0])),
        call(EMPTY),
        call(np.zeros((2, 0), "float32")),
        call(transposed),
        call(make(4, 4)[::2, 1::2]),
        call(np.broadcast_to(make(3), (2, 3))),
        call(SPECIAL).upto(1),
        call(SPECIAL.astype("float32")).upto(1),
        *with_dtypes(make, dtypes),
    ]


def binary(other=numbers, dtypes="float16 float32 int64 int32 uint8 bool") -> list[Call]:
    """What every op of two operands must bear: broadcasting, emptiness, numbers on either side, mixed dtypes."""
    x, y = numbers(2, 3), other(2, 3, phase=0.7)
    chosen = [(a, b) for i, a in enumerate(dtypes.split()) for b in dtypes.split()[i:]]
    mixed = []
    for a, b in chosen:
        p = (np.abs(x) if a == "uint8" else x).astype(a)
        q = (np.abs(y) + 1 if b in ("uint8", "int32", "int64") else y if b != "bool" else np.ones_like(y)).astype(b)
        mixed += [call(p, q).upto(1), call(q, p + (p == 0).astype(a)).upto(1), call(p, np.asarray(q[0, 0])).upto(1)]
    return [
        call(POINT, np.array(0.7)),
        call(x, np.array(0.7)),
        call(np.array(0.7), y),
        call(x, other(3, phase=0.7)),
        call(numbers(2, 1), other(1, 3, phase=0.7)),
        call(numbers(2, 1, 3), other(4, 1, phase=0.7)),
        call(EMPTY, other(3, phase=0.7)),
        call(EMPTY, other(1, 1, phase=0.7)),
        call(EMPTY, np.array(2.0)),
        call(numbers(1, 3), np.zeros((0, 3))),
        call(numbers(3, 2).T, y),
        refused(RuntimeError, numbers(2, 3), numbers(2, 4)),
        refused(RuntimeError, EMPTY, numbers(2, 3)),
        *mixed,
    ]


def with_numbers(dtypes="float16 float32 float64 int64 uint8") -> list[Call]:
    """A Python number as the second operand: weak, it never widens the tensor's dtype."""
    return [
        call((np.abs(numbers(2, 3)) + 1).astype(dtype), number).upto(1)
        for dtype in dtypes.split()
        for number in (2, 2.5, True, -1.5)
    ]


def pairs(*values: float) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of the values, as two arrays."""
    grid = np.meshgrid(values, values, indexing="ij")
    return grid[0].copy(), grid[1].copy()


A, B = pairs(NAN, INF, -INF, 0.0, -0.0, 1.0, -2.5, 3.0)
TIES = (np.array([1.0, 2.0, 2.0, -1.0]), np.array([1.0, 1.0, 2.0, 3.0]))
INTS = (np.array([7, -7, 7, -7, 0]), np.array([2, 2, -2, -2, 5]))
MASK = truths(2, 3)

EDGES: dict[str, list[Call]] = {
    **{name: unary() for name in ("exp", "expm1", "tanh", "sigmoid", "sin", "cos", "erf")},
    **{name: unary(positive) for name in ("log", "log1p", "sqrt", "rsqrt", "reciprocal")},
    **{name: unary(dtypes="float16 float32 int64 int32 uint8") for name in ("neg", "abs", "square")},
    **{name: unary() for name in ("sign", "isnan", "isinf", "isfinite", "logical_not")},
    "add": [
        *binary(),
        *with_numbers(),
        call(numbers(2, 3), numbers(3), alpha=2.5),
        call(numbers(2, 3), 2, alpha=3),
        call(whole(3), whole(3, step=5), alpha=2),
        call(TIES[0], TIES[0]),
        call(A, B).upto(1),
    ],
    "sub": [
        *binary(dtypes="float16 float32 int64 int32 uint8"),
        call(numbers(2, 3), 2.5),
        call(whole(3), 2),
        call(numbers(2, 3), numbers(3), alpha=2.5),
        call(TIES[0], TIES[0]),
        refused(RuntimeError, MASK, MASK),
    ],
    "mul": [*binary(), *with_numbers(), call(TIES[0], TIES[0]), call(A, B).upto(1)],
    "div": [
        *binary(positive, dtypes="float16 float32 int64 int32 uint8 bool"),
        *with_numbers(),
        call(TIES[0], TIES[0]),
        call(A, B).upto(1),
        call(*INTS),
        call(whole(3), np.zeros(3, "int64")),
        *[call(*INTS, rounding_mode=mode) for mode in ("floor", "trunc")],
        *[call(numbers(2, 3), positive(3), rounding_mode=mode) for mode in ("floor", "trunc")],
        *[call(numbers(2, 3), -1.3, rounding_mode=mode) for mode in ("floor", "trunc")],
        *[call(numbers(2, 3), whole(3, low=1), rounding_mode=mode) for mode in ("floor", "trunc")],
        *[refused(RuntimeError, whole(3), np.zeros(3, "int64"), rounding_mode=mode) for mode in ("floor", "trunc")],
        refused(RuntimeError, numbers(2), numbers(2), rounding_mode="up"),
    ],
    "pow": [
        call(positive(2, 3), numbers(2, 3)),
        call(positive(2, 1), numbers(3)),
        call(positive(2, 3), np.array(2.0)),
        call(np.array(2.0), numbers(3)),
        call(EMPTY, numbers(3)),
        call(TIES[0] + 2, TIES[0]),
        *[call(numbers(2, 3), n) for n in (0, 1, 2, 3, -1, -2, 2.0, 3.0, 0.0)],
        *[call(positive(2, 3), n) for n in (0.5, -0.5, 2.5, 1.0)],
        *[call(np.array([0.0, 1.0, -2.0]), n).upto(1) for n in (0, 1, 2, 3, 0.5, -1)],
        call(np.array([0.0, 0.0, 1.0, 2.0]), np.array([0.0, 2.0, 0.0, 3.0])).upto(1),
        call(2, numbers(3)),
        call(2.5, numbers(3)),
        call(0.0, positive(3)).upto(1),
        call(whole(4), 2),
        call(whole(4), 0.5).upto(0),
        call(whole(4), whole(4, low=0, high=4)),
        call(whole(4, low=0, high=4, dtype="uint8"), 2),
        call(positive(3, dtype="float32"), numbers(3)),
        call(positive(3, dtype="float16"), 2).upto(1),
        call(whole(3, low=1), numbers(3)),
        call(positive(3), whole(3)),
        call(2, whole(3, low=0)),
        refused(RuntimeError, whole(4), -1),
        refused(RuntimeError, whole(3, dtype="int8"), 300),
    ],
    **{
        name: [
            *binary(),
            call(*TIES),
            call(TIES[0], TIES[0]),
            call(A, B).upto(1),
            call(*INTS),
            call(MASK, truths(3, step=4)),
        ]
        for name in ("maximum", "minimum")
    },
    **{
        name: [
            *binary(dtypes="float16 float32 int64 uint8 bool"),
            *with_numbers(),
            call(*TIES),
            call(A, B),
            call(MASK, MASK),
            call(whole(3, low=0, dtype="uint8"), -1),
            call(whole(3), 0.5),
        ]
        for name in ("eq", "ne", "lt", "le", "gt", "ge")
    },
    **{
        name: [
            call(*TIES),
            call(A, B),
            call(MASK, truths(3, step=4)),
            call(whole(2, 3), numbers(3)),
            call(EMPTY, EMPTY),
            call(POINT, POINT),
        ]
        for name in ("logical_and", "logical_or", "logical_xor")
    },
    "xlogy": [
        call(np.array([0.0, 0.0, 0.0, 0.0, 1.0, 2.0, -1.0]), np.array([0.0, -1.0, 1.0, 2.0, 0.0, -1.0, 3.0])).upto(1),
        call(numbers(2, 1), positive(3)),
        call(np.array([0.0, 1.0, NAN]), np.array([NAN, NAN, 1.0])).upto(1),
        *with_numbers(),
        call(2.5, positive(3, dtype="float32")).upto(1),
        call(2, whole(3, low=1)),
    ],
    "clamp": [
        call(numbers(2, 3), -1.0, 1.5),
        call(numbers(2, 3), min=-1.0),
        call(numbers(2, 3), max=1),
        call(numbers(2, 3), min=2.0, max=-2.0),
        call(np.array([-1.0, 0.0, 1.0, NAN]), -1.0, 1.0).upto(1),
        call(numbers(2, 3), min=numbers(3, phase=0.9)),
        call(numbers(2, 3), max=numbers(2, 1, phase=0.9)),
        call(numbers(2, 3), numbers(3, phase=2.0), numbers(2, 1, phase=1.1) + 1),
        call(np.array([-1.0, 0.0, 1.0]), np.array([-1.0, 0.5, -2.0]), np.array([1.0, 1.0, 1.0])).upto(1),
        call(whole(5), -2, 2),
        call(whole(5), min=0.5),
        call(whole(5, low=0, dtype="uint8"), max=2),
        call(whole(5), min=whole(5, step=5)),
        call(numbers(3, dtype="float32"), -0.5, 0.5),
        call(numbers(3, dtype="float32"), min=numbers(3)),
        call(numbers(3, dtype="float16"), max=0.5).upto(1),
        call(np.array(3.0), 0, 1),
        call(EMPTY, 0.0, 1.0),
        refused(RuntimeError, numbers(3)),
        call(MASK, truths(3)),
        call(MASK, None, truths(3)),
        refused(NotImplementedError, MASK, False),
    ],
    "lerp": [
        call(numbers(2, 3, dtype="float32"), numbers(3, dtype="float32"), np.array(0.5)).upto(1),
        call(numbers(2, 3), numbers(3), 2),
        refused(NotImplementedError, whole(3), whole(3), 0.5),
        refused(RuntimeError, numbers(3), numbers(3, dtype="float32"), 0.5),
        refused(RuntimeError, numbers(3), numbers(3), numbers(3, dtype="float32")),
    ],
    "addcmul": [
        call(whole(3), whole(3), whole(3), value=2),
        call(whole(3), whole(3), whole(3), value=1.5),
        refused(NotImplementedError, truths(3), truths(3), truths(3)),
    ],
    "addcdiv": [
        call(whole(3), whole(3), positive(3, dtype="float32")),
        refused(RuntimeError, numbers(3), whole(3), whole(3, low=1)),
    ],
    "round": [call(numbers(3), decimals=1), call(whole(3)), refused(NotImplementedError, whole(3), decimals=1)],
    "isclose": [refused(TypeError, numbers(3), 2.0)],
    "where": [
        call(MASK, numbers(2, 3), numbers(2, 3, phase=1)),
        call(MASK, numbers(3), numbers(2, 1)),
        call(truths(2, 1), numbers(3), numbers(4, 1, 1)),
        call(MASK, numbers(2, 3), 0.0),
        call(MASK, 1.5, numbers(2, 3)),
        call(MASK, 1, 0),
        call(MASK, 1.0, 0),
        call(MASK, numbers(2, 3, dtype="float32"), numbers(2, 3)),
        call(MASK, numbers(2, 3, dtype="float32"), np.array(1.5)),
        call(MASK, whole(2, 3), numbers(3, dtype="float32")),
        call(MASK, whole(2, 3), 2.5),
        call(MASK, MASK, whole(2, 3, low=0, dtype="uint8")),
        call(np.array(True), numbers(3), numbers(3, phase=1)),
        call(np.zeros((0, 3), bool), numbers(3), EMPTY),
        call(MASK, TIES[0][:3], TIES[0][:3]),
        call(np.array([True, False]), np.array([NAN, INF]), np.array([1.0, 2.0])).upto(1),
        call(MASK),
    ],
    "masked_fill": [
        call(numbers(2, 3), MASK, -INF).upto(1),
        call(numbers(2, 3), MASK, 2),
        call(numbers(2, 3), MASK, np.array(1.5)),
        call(numbers(2, 3), truths(3), 0.0),
        call(numbers(3), MASK, 0.0),
        call(numbers(2, 1), truths(1, 3), 0.0),
        call(numbers(2, 3, dtype="float32"), MASK, 0.1),
        call(whole(2, 3), MASK, 9),
        call(MASK, MASK, False),
        call(EMPTY, np.zeros((0, 1), bool), 1.0),
        call(np.array(2.0), np.array(True), 1.0),
        refused(RuntimeError, numbers(2, 3), MASK, numbers(3)),
        refused(RuntimeError, numbers(2, 3), whole(2, 3, low=0, high=2), 1.0),
        call(whole(2, 3, low=0, dtype="uint8"), MASK, -1),
        refused(RuntimeError, whole(2, 3, low=0, dtype="uint8"), MASK, -0.5),
        refused(RuntimeError, whole(2, 3, dtype="int8"), MASK, 128),
        refused(RuntimeError, whole(2, 3), MASK, NAN),
    ],
    "operator.add": [call(2, numbers(3)), call(whole(3), 2.5), call(MASK, 1), call(MASK, 1.5), call(MASK, MASK)],
    "operator.sub": [call(2, numbers(3)), call(2.5, whole(3)), call(1, whole(3, low=0, dtype="uint8"))],
    "operator.mul": [call(2, numbers(3)), call(True, whole(3)), call(2.0, numbers(3, dtype="float16")).upto(1)],
    "operator.truediv": [call(2, positive(3)), call(1, whole(3, low=1)), call(whole(3), 2)],
    "operator.floordiv": [
        call(7, whole(3, low=1)),
        call(numbers(3), 2).upto(0),
        call(whole(3), 2),
        call(numbers(3), positive(3)).upto(0),
    ],
    "operator.mod": [call(numbers(3), 2), call(whole(3), 3), call(whole(3), -3), call(numbers(3), -positive(3))],
    "operator.pow": [call(2, numbers(3)), call(numbers(3), 2), call(whole(3), 2), call(positive(3), 0.5)],
    "operator.neg": [call(numbers(3)), call(whole(3)), call(whole(3, low=0, dtype="uint8")), refused(RuntimeError, MASK)],
    "operator.invert": [call(MASK), call(whole(3)), refused(TypeError, numbers(3))],
    "operator.and_": [call(MASK, truths(3)), call(whole(3), whole(3, step=5))],
    "operator.or_": [call(MASK, truths(3)), call(whole(3), whole(3, step=5))],
    "operator.xor": [call(MASK, truths(3)), call(whole(3), whole(3, step=5))],
}
