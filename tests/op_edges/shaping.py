"""Moving elements: 0-d and empty tensors, -1, negative dims, sizes that do not fit, promotion in cat and stack, refusals."""

import numpy as np

from ..op_table import Call, call, refused
from . import EMPTY, numbers, truths, whole

X = numbers(2, 3, 4)
ROW = numbers(3)
POINT = np.array(1.5)
NOTHING = np.zeros(0)
MIXED = [
    (numbers(2, 3), numbers(1, 3, dtype="float32")),
    (whole(2, 3), numbers(1, 3, dtype="float32")),
    (truths(2, 3), whole(1, 3)),
]
MIXED += [(whole(2, 3, dtype="int32"), whole(1, 3)), (whole(2, 3, low=0, dtype="uint8"), whole(1, 3, dtype="int32"))]


def reshape_edges() -> list[Call]:
    """What fits, what a -1 may stand for, what does not fit."""
    good = [call(X, s) for s in [(-1,), (24,), (2, -1), (-1, 1, 12), (4, 3, 2), (1, 2, 3, 4)]]
    good += [call(X.transpose(2, 0, 1), (6, 4)), call(POINT, (-1,)), call(POINT, ()), call(POINT, (1, 1)), call(ROW[:1], ())]
    good += [call(EMPTY, (-1,)), call(EMPTY, (3, 0)), call(EMPTY, (0, 5)), call(EMPTY, (2, -1)), call(whole(6), (2, 3))]
    bad = [(5,), (-1, -1), (-2, 12), (5, -1), (0,), ()]
    return (
        good
        + [refused(RuntimeError, X, s) for s in bad]
        + [refused(RuntimeError, EMPTY, (0, -1)), refused(RuntimeError, POINT, (2,))]
    )


def dims_edges(x: np.ndarray = X, extra: int = 0) -> list[Call]:
    """f(x, dim) for each dim, and one too many at both ends."""
    n = x.ndim + extra
    return [
        *[call(x, d) for d in range(-n, n)],
        call(x.T, -1),
        call(EMPTY, 0),
        call(EMPTY, -1),
        refused(IndexError, x, n),
        refused(IndexError, x, -n - 1),
    ]


def cutting(name: str) -> list[Call]:
    """split and chunk along empty and exact dimensions, and what cannot be cut."""
    sizes = [1, 2, 3, 4, 7]
    edges = [call(X, k, d) for k in sizes for d in (0, -1)] + [call(EMPTY, 2), call(EMPTY, 2, 1), call(whole(5), 2), call(X, 2)]
    edges += [
        refused(RuntimeError, POINT, 1),
        refused(RuntimeError, X, 0),
        refused(RuntimeError, X, -1),
        refused(IndexError, X, 2, 3),
    ]
    if name == "split":
        edges += [call(X, [1, 2, 1], -1), call(X, [0, 4, 0], 2), call(X, (3,), dim=1), call(EMPTY, 0), call(EMPTY, [0, 0])]
        edges += [refused(RuntimeError, X, [1, 2], -1), refused(RuntimeError, X, [5, -1], -1), refused(RuntimeError, X, [], 0)]
    return edges


EDGES = {
    "reshape": reshape_edges(),
    "Tensor.view": [
        call(X, 6, 4),
        call(X, -1),
        call(X.transpose(1, 0, 2), 3, 2, 2, 2),
        call(X[:, :, ::2], 6, 2),
        call(EMPTY.T, 0),
        call(POINT, 1),
        refused(RuntimeError, X, 5),
    ],
    "unsqueeze": [*dims_edges(extra=1), call(POINT, 0), call(POINT, -1), refused(IndexError, POINT, 1), call(X, dim=1)],
    "squeeze": [
        *[call(numbers(1, 3, 1), d) for d in (0, 1, 2, -1, (0, 2), (0, 1), (), (-1, -3))],
        call(numbers(1, 3, 1)),
        call(numbers(1, 1)),
        call(POINT),
        call(POINT, 0),
        call(POINT, -1),
        call(np.zeros((1, 0))),
        refused(IndexError, ROW, 1),
        refused(RuntimeError, X, (0, 0)),
    ],
    "flatten": [
        *[call(X, a, b) for a, b in [(0, -1), (0, 1), (1, 2), (-2, -1), (1, 1)]],
        call(X.T),
        call(POINT),
        call(POINT, 0, 0),
        call(EMPTY),
        call(np.zeros((2, 0, 3)), 1),
        refused(RuntimeError, X, 2, 0),
        refused(IndexError, X, 0, 3),
    ],
    "unflatten": [
        *[call(numbers(2, 12), 1, s) for s in [(3, 4), (-1, 2), (2, -1, 3), (12,), (1, 12)]],
        call(numbers(2, 12), -1, (4, -1)),
        call(EMPTY, 0, (0, 2)),
        refused(RuntimeError, X, 2, (3, -1)),
        refused(RuntimeError, X, 2, (3, 2)),
        refused(RuntimeError, X, 2, ()),
        refused(IndexError, X, 3, (2, 2)),
    ],
    "permute": [
        *[call(X, d) for d in [(0, 1, 2), (2, 0, 1), (-1, 0, -2)]],
        call(POINT, ()),
        call(EMPTY, (1, 0)),
        refused(RuntimeError, X, (0, 1)),
        refused(RuntimeError, X, (0, 0, 1)),
        refused(RuntimeError, X, (0, -3, 1)),
        refused(IndexError, X, (0, 1, 3)),
    ],
    "transpose": [
        *[call(X, a, b) for a, b in [(0, 1), (-1, 0), (2, 2), (-3, -1)]],
        call(POINT, 0, -1),
        refused(IndexError, X, 0, 3),
        refused(IndexError, POINT, 0, 1),
    ],
    "movedim": [
        *[call(X, a, b) for a, b in [(0, 2), (-1, 0), ((0, 1), (-1, 0)), ((2, 0), (0, 1)), ((), ())]],
        call(POINT, 0, -1),
        refused(RuntimeError, X, (0, 1), (0,)),
        refused(RuntimeError, X, (0, 0), (0, 1)),
        refused(RuntimeError, X, (0, 1), (2, -1)),
        refused(IndexError, X, 3, 0),
    ],
    "t": [call(X[0]), call(ROW), call(POINT), call(EMPTY), refused(RuntimeError, X)],
    "Tensor.expand": [
        *[call(ROW, s) for s in [(3,), (2, 3), (2, -1), (0, 3), (4, 1, 3)]],
        call(numbers(2, 1), (-1, 4)),
        call(numbers(2, 1), (3, 2, 0)),
        call(POINT, (2, 3)),
        call(POINT, ()),
        call(EMPTY, (2, 0, 3)),
        call(numbers(1), (0,)),
        refused(RuntimeError, ROW, (4,)),
        refused(RuntimeError, X, (3, 4)),
        refused(RuntimeError, ROW, (-1, 3)),
        refused(RuntimeError, ROW, (3, 0)),
        refused(RuntimeError, X[0], (-1, 3, 5)),
    ],
    "broadcast_tensors": [
        call(X, ROW[:1], POINT),
        call(numbers(2, 1), numbers(1, 3)),
        call(EMPTY, POINT),
        call(X, X),
        call(X[0], whole(1)),
        refused(RuntimeError, X, ROW),
    ],
    "Tensor.repeat": [
        *[call(ROW, s) for s in [(2,), (2, 3), (0,), (1, 1, 1), (2, 0)]],
        call(X.T, (2, 1, 3)),
        call(POINT, (3,)),
        call(POINT, (2, 2)),
        call(EMPTY, (2, 2)),
        refused(RuntimeError, X, (2,)),
        refused(RuntimeError, ROW, (-1,)),
    ],
    "tile": [*[call(X, s) for s in [(), (2,), (2, 1), (1, 2, 1), (2, 1, 1, 2)]], call(POINT, ()), call(POINT, (2,))],
    "flip": [
        *[call(X, d) for d in [(), (0,), (-1, 0), (0, 1, 2)]],
        call(POINT, (0,)),
        call(EMPTY, (0,)),
        call(truths(2, 3), (1,)),
        refused(RuntimeError, X, (0, 0)),
        refused(IndexError, X, (3,)),
    ],
    "roll": [
        *[call(X, s, d) for s, d in [(1, 0), (-1, -1), (7, 2), ((1, 2), (0, 1)), ((1, -1), (1, 1)), (0, 0)]],
        call(X, 5),
        call(X.T, 5),
        call(X, (5,)),
        call(POINT, 3),
        call(EMPTY, 2),
        call(EMPTY, 1, 1),
        refused(RuntimeError, X, (1, 2), (0,)),
        refused(RuntimeError, X, (1, 2)),
        refused(IndexError, X, 1, 3),
        refused(IndexError, POINT, 1, 0),
    ],
    "cat": [
        *[call([X, X[:, :, :1]], -1), call([X]), call([X, X, X], 1), call((X, X.transpose(0, 1, 2)), dim=-3)],
        *[call(list(pair)) for pair in MIXED],
        call([NOTHING, X], 1),
        call([X, NOTHING, X], -1),
        call([NOTHING, NOTHING]),
        call([EMPTY, numbers(2, 3)]),
        call([NOTHING.astype("float32"), whole(2, 3)]).upto(1),
        refused(RuntimeError, [X, ROW]),
        refused(RuntimeError, [X, X[:, :2]], 0),
        refused(RuntimeError, [X, X[0]], 0),
        refused(RuntimeError, [POINT, POINT]),
        refused(IndexError, [X, X], 3),
        refused(ValueError, []),
        refused(TypeError, [X, 1.0]),
    ],
    "stack": [
        *[call([X, X[::-1].copy()], d) for d in (0, 1, 3, -1, -4)],
        *[call([a[:1], b]) for a, b in MIXED],
        call([POINT, np.array(2, "int64")]),
        call([EMPTY, EMPTY], 1),
        refused(RuntimeError, [X, X[0]]),
        refused(IndexError, [X, X], 4),
        refused(RuntimeError, []),
    ],
    "split": cutting("split"),
    "chunk": cutting("chunk"),
    "tensor_split": [
        *[call(X, k, d) for k in (1, 2, 3, 5) for d in (0, -1)],
        *[call(X, k, 2) for k in [(1, 3), (), (3, 1), (-1,), (0, 9), (2, 2)]],
        call(EMPTY, 2),
        refused(RuntimeError, X, 0),
        refused(RuntimeError, POINT, 1),
    ],
    "unbind": [*dims_edges(), call(whole(2, 3), 1), refused(IndexError, POINT)],
    **{
        name: [
            *[call(X, k) for k in (0, 1, -1, 3, -3, 9, -9)],
            call(X.T, 1),
            call(EMPTY),
            call(truths(3, 3), 1),
            call(whole(3, 2), diagonal=-1),
            refused(RuntimeError, ROW),
            refused(RuntimeError, POINT),
        ]
        for name in ("tril", "triu")
    },
    "diagonal": [
        *[call(X, k, a, b) for k, a, b in [(0, 0, 1), (1, 0, 2), (-1, -1, 1), (0, 2, 0), (5, 0, 1), (-5, 1, 2)]],
        call(X[0]),
        call(EMPTY),
        call(whole(3, 3), 1),
        refused(RuntimeError, X, 0, 1, -2),
        refused(IndexError, X, 0, 0, 3),
        refused(IndexError, ROW),
    ],
    "diag": [
        *[call(x, k) for x in (ROW, X[0], EMPTY, NOTHING) for k in (0, 1, -2)],
        refused(RuntimeError, X),
        refused(RuntimeError, POINT),
    ],
    "diag_embed": [
        *[call(X[0], k, a, b) for k, a, b in [(0, -2, -1), (1, 0, 1), (-1, 0, 2), (0, 2, 0), (2, -1, 1)]],
        call(ROW),
        call(NOTHING),
        call(whole(3), 1),
        refused(RuntimeError, ROW, 0, 1, 1),
        refused(IndexError, ROW, 0, 0, 2),
    ],
}
