"""Reductions: dim=None, tuples, negative dims, keepdim, empty and 0-d tensors, ties, integers and booleans, refusals."""

import numpy as np

from ..op_table import Call, call, refused
from . import EMPTY, INF, NAN, numbers, truths, whole, with_dtypes

X = numbers(2, 3, 4)
POINT = np.array(1.5)
TIED = np.array([[2.0, 1.0, 2.0], [3.0, 3.0, 3.0]])
WITH_NAN = np.array([[1.0, NAN, 2.0], [3.0, 1.0, -1.0]])
WITH_INF = np.array([[1.0, INF, 2.0], [-INF, 1.0, -INF], [-INF, -INF, -INF]])
FLOATS = "float16 float32"
ALL = "float16 float32 int64 int32 uint8 bool"


def over(tuples: bool = True, none: bool = True, x: np.ndarray = X) -> list[Call]:
    """All ways to say over which dimensions."""
    one = [
        call(x, dim=1),
        call(x, dim=-1),
        call(x, dim=0, keepdim=True),
        call(x, dim=-2, keepdim=True),
        call(x.transpose(2, 0, 1), dim=1),
    ]
    many = [call(x, dim=(0, 2)), call(x, dim=(-1, 0), keepdim=True), call(x, dim=(0, 1, 2)), call(x, dim=(1,))] if tuples else []
    every = [call(x), call(x.T)] if none else []
    points = [call(POINT, dim=0), call(POINT, dim=-1, keepdim=True)]
    bad = [refused(IndexError, x, dim=3), refused(IndexError, x, dim=-4), refused(IndexError, POINT, dim=1)]
    twice = [refused(RuntimeError, x, dim=(0, 0))] if tuples else []
    return one + many + every + points + bad + twice + ([call(POINT)] if none else [])


def empty(tuples: bool = True) -> list[Call]:
    """Over and beside a dimension of size 0."""
    return [call(EMPTY), call(EMPTY, dim=0), call(EMPTY, dim=1), call(EMPTY, dim=1, keepdim=True)] + (
        [call(EMPTY, dim=(0, 1))] if tuples else []
    )


def var_edges() -> list[Call]:
    """correction and unbiased, degrees of freedom that run out."""
    return [
        *[c.upto(1) if c.args[0] is POINT and c.error is None else c for c in over()],
        call(X, dim=1, unbiased=False),
        call(X, unbiased=False),
        call(X, dim=1, correction=0),
        call(X, dim=(0, 2), correction=2, keepdim=True),
        call(X, correction=0),
        call(EMPTY).upto(1),
        call(EMPTY, dim=0).upto(1),
        call(EMPTY, dim=1),
        call(numbers(3, 1), dim=1).upto(1),
        call(numbers(3, 1), dim=1, correction=0).upto(1),
        *with_dtypes(numbers, FLOATS),
        refused(RuntimeError, whole(3)),
    ]


def norm_edges() -> list[Call]:
    """The orders, also at a zero vector."""
    return [
        *over(),
        *[call(X, p, dim=1) for p in (0, 1, 2, 3, 0.5, INF, -INF, -1, 2.0)],
        *[call(X, p) for p in (1, 3, INF)],
        *[call(X, p, dim=(0, -1), keepdim=True) for p in (1, 2, INF)],
        *[call(np.zeros((2, 3)), p, dim=1).upto(1) for p in (1, 2, 3, INF)],
        call(np.array([[3.0, -4.0], [0.0, 0.0]]), 2, dim=1).upto(1),
        call(TIED, INF, dim=1).upto(1),
        call(EMPTY),
        call(EMPTY, dim=1),
        call(EMPTY, dim=0).upto(1),
        *with_dtypes(numbers, FLOATS),
    ]


def any_all() -> list[Call]:
    """Logical reductions keep uint8 as uint8."""
    return [
        *over(),
        *empty(),
        *with_dtypes(numbers, ALL),
        call(truths(2, 3), dim=0),
        call(truths(2, 3), dim=(0, 1)),
        call(WITH_NAN, dim=1),
        call(np.zeros((2, 3)), dim=1),
    ]


def extreme() -> list[Call]:
    """max and min: values and indices, the gradient to the first or shared among ties."""
    return [
        *over(tuples=False),
        call(X, 1),
        call(X, 1, True),
        call(TIED).upto(1),
        call(TIED, dim=1).upto(1),
        call(WITH_NAN).upto(1),
        call(WITH_NAN, dim=1).upto(1),
        call(EMPTY, dim=1),
        refused(RuntimeError, EMPTY),
        refused(IndexError, EMPTY, dim=0),
        *with_dtypes(numbers, "float16 float32 int64 int32 uint8"),
        call(X, numbers(4, phase=0.9)),
        call(truths(2, 3), dim=1),
    ]


EDGES: dict[str, list[Call]] = {
    "sum": [
        *over(), *empty(), *with_dtypes(numbers, ALL),
        call(X, dim=()), call(X, dim=None), call(X, dim=None, keepdim=True), call(POINT, dim=()),
        call(whole(2, 3), dim=1), call(truths(2, 3), dim=0), call(whole(2, 3, low=0, dtype="uint8")),
        call(X, dtype=np.dtype("float32")), call(whole(2, 3), dtype=np.dtype("float64")), call(whole(2, 3), dim=1, dtype=np.dtype("float32")),
        call(numbers(3, dtype="float32"), dim=0, dtype=np.dtype("float64")), call(WITH_NAN, dim=1), call(X, (0, 1), True),
        call(np.broadcast_to(numbers(3), (4, 3)), dim=0),
    ],
    "mean": [
        *over(), *with_dtypes(numbers, FLOATS), call(EMPTY).upto(1), call(EMPTY, dim=0).upto(1), call(EMPTY, dim=1),
        call(X, dim=()), call(X, dim=None, keepdim=True), call(whole(2, 3), dtype=np.dtype("float32")),
        call(numbers(3, dtype="float32"), dtype=np.dtype("float64")), refused(RuntimeError, whole(2, 3)), refused(RuntimeError, truths(3)),
    ],
    "var": var_edges(), "std": [*var_edges(), call(np.ones((2, 3)), dim=1).upto(1)], "var_mean": var_edges(),
    "prod": [
        *over(tuples=False), *empty(tuples=False), *with_dtypes(numbers, ALL),
        call(np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0], [1.0, 2.0, 3.0]]), dim=1), call(np.array([1.0, 0.0, 2.0])),
        call(np.array([0.0, 0.0, 2.0])), call(np.array([1.0, 0.0, 2.0, 0.0])), call(np.array(0.0)), call(np.array([0.0, 0.0, 0.0])),
        call(whole(2, 3, low=1), dtype=np.dtype("float32")),
    ],
    **{
        name: [
            *over(), call(TIED), call(TIED, dim=1), call(TIED, dim=(0, 1)), call(WITH_NAN, dim=1).upto(0), call(X, dim=()),
            call(EMPTY, dim=1), refused(IndexError, EMPTY, dim=0), refused(RuntimeError, EMPTY), *with_dtypes(numbers, ALL),
        ]
        for name in ("amax", "amin")
    },
    "max": extreme(), "min": extreme(),
    **{
        name: [
            call(X), call(X, dim=1), call(X, dim=-1, keepdim=True), call(X, dim=0), call(POINT), call(POINT, dim=0), call(TIED, dim=0),
            call(WITH_NAN), call(WITH_NAN, dim=1), call(EMPTY, dim=1), refused(IndexError, EMPTY, dim=0), refused(IndexError, EMPTY),
            refused(IndexError, X, dim=3), *with_dtypes(numbers, "float16 float32 int64 uint8"),
            call(np.array([2.0, 2.0, 2.0])), call(X.transpose(2, 0, 1)), call(X, keepdim=True),
        ]
        for name in ("argmax", "argmin")
    },
    "logsumexp": [
        *over(none=False), call(WITH_INF, dim=1).upto(1), call(1000 * X, dim=1), call(EMPTY, dim=1), call(EMPTY, dim=0),
        call(EMPTY, dim=(0, 1)), call(numbers(2, 3, dtype="float32"), dim=1), call(whole(2, 3), dim=1), call(truths(2, 3), dim=0),
        call(numbers(2, 3, dtype="float16"), dim=1).upto(1),
    ],
    "norm": [
        *[c for c in over() if c.kwargs.get("dim") != (0, 1, 2)], *[call(X, p) for p in (1, 2, 3, INF, 0)], *[call(X, p, dim=1) for p in (1, 2, 3, INF, -INF)],
        call(X, "fro"), call(X, "fro", dim=(0, 1)), call(X, 2, dim=(0, 1), keepdim=True), call(np.zeros((2, 3)), dim=1).upto(1),
        call(EMPTY), call(numbers(3, dtype="float32"), dtype=np.dtype("float64")),
    ],
    "linalg.vector_norm": [*norm_edges(), call(np.zeros((0, 3, 0)), INF, dim=1), refused(RuntimeError, np.zeros((0, 3, 0)), INF, dim=0)],
    "Tensor.sum_to_size": [
        call(X, (3, 1)), call(truths(2, 3), (1, 3)), call(truths(2, 3), (2, 3)), call(whole(2, 3, dtype="int32"), (3,)), call(X, (2, 3, 4)),
        call(numbers(2, 3, dtype="float16"), (1, 1)).upto(1), call(whole(1, dtype="int8"), ()),
    ],
    "cumsum": [
        *[call(X, dim) for dim in (0, 1, 2, -1, -3)], call(X, dim=1), call(POINT, 0), call(EMPTY, 0), call(EMPTY, 1),
        call(whole(2, 3), 1), call(truths(2, 3), 1), call(whole(3, low=0, dtype="uint8"), 0), call(numbers(3, dtype="float32"), 0),
        call(whole(3), 0, dtype=np.dtype("float32")), call(numbers(3, dtype="float16"), 0).upto(1), call(X.T, 1), refused(IndexError, X, 3),
    ],
    "cumprod": [
        *[call(X, dim) for dim in (0, 1, -1)], call(POINT, 0), call(EMPTY, 1), call(np.array([1.0, 0.0, 2.0, 0.0, 3.0]), 0),
        call(np.array([2.0, 3.0, 0.0]), 0), call(whole(2, 3), 1), call(truths(3), 0),
    ],
    "any": any_all(), "all": any_all(),
    "topk": [
        call(X, 2), call(X, 2, dim=0), call(X, 3, dim=1), call(X, 1, -2, False), call(X, 2, largest=False), call(X, 0),
        call(POINT, 1), call(EMPTY, 2), call(EMPTY, 0, dim=0), call(whole(7), 3), call(numbers(3, dtype="float32"), 2),
        refused(RuntimeError, X, 5), refused(RuntimeError, X, -1), refused(IndexError, X, 1, 3), call(numbers(4, 3).T, 2),
        refused(RuntimeError, truths(3), 1),
    ],
    "sort": [
        call(X), call(X, dim=0), call(X, dim=-2, descending=True), call(X, 1, True), call(POINT), call(EMPTY), call(EMPTY, dim=0),
        call(whole(7)), call(TIED, stable=True), call(TIED, stable=True, dim=1, descending=True), call(WITH_NAN).upto(1),
        call(truths(5), stable=True), call(numbers(3, dtype="float32")), refused(IndexError, X, dim=3),
    ],
    "argsort": [call(X), call(X, dim=0), call(X, -2, True), call(POINT), call(EMPTY), call(TIED, stable=True), call(whole(7))],
    "count_nonzero": [call(X), call(truths(2, 3), dim=1), call(whole(2, 3), dim=(0, 1)), call(POINT), call(EMPTY)],
}  # fmt: skip
