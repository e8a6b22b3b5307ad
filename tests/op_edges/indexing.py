"""Indexing: every kind of index alone and beside others, masks, repeated places, empty and 0-d, out of range."""

import numpy as np

from ..op_table import Call, call, refused
from . import EMPTY, numbers, truths, whole

X = numbers(2, 3, 4)
SQUARE = numbers(3, 3, phase=1)
ROW = numbers(4)
POINT = np.array(1.5)
TRUE, FALSE = np.array(True), np.array(False)
ALL = slice(None)


def at(*places: int, dtype: str = "int64") -> np.ndarray:
    """An index tensor."""
    return np.array(places, dtype)


COLUMN = at(0, 1, 1).reshape(3, 1)


def getitem_edges() -> list[Call]:
    """x[...]"""
    views = [
        0,
        -1,
        (0, 1),
        (1, ALL, -1),
        ...,
        (),
        None,
        (..., None),
        (None, ..., 0),
        slice(1, None),
        (ALL, slice(0, 9, 2)),
        (0, 1, 2),
    ]
    views += [(slice(2, 1),), (..., slice(None, None, 2)), (slice(-1, None), None, slice(-3, -1))]
    arrays = [
        at(0, 1, 0),
        at(-1),
        (ALL, at(2, 2)),
        (..., at(0, -1)),
        COLUMN,
        (at(0, 1), at(1, 1)),
        (COLUMN - 1, at(0, 2)),
        at(1, dtype="int32"),
        np.array(1, "int16"),
        (ALL, np.array(-1, "int8")),
    ]
    arrays += [
        (at(0, 1), ALL, at(3, 3)),
        (0, ALL, at(3, 3)),
        (at(0, 1), ALL, 2),
        (ALL, 0, at(1, 1)),
        (at(1, 1), 0),
        (None, at(1, 1), None, at(0, 2)),
    ]
    arrays += [
        (at(), ALL),
        at(),
        ([0, 1], [2, 2]),
        ([1, 0],),
        (ALL, [[0, 1], [1, 2]]),
        (ALL, []),
        np.array(1),
        (ALL, np.array(2), at(0, 0)),
    ]
    masks = [
        truths(2),
        truths(2, 3),
        truths(2, 3, 4),
        (ALL, truths(3)),
        (0, truths(3, 4)),
        (truths(2), at(0)),
        (..., truths(4)),
        np.zeros(2, bool),
    ]
    masks += [True, False, TRUE, FALSE, (TRUE, at(0, 1)), (ALL, FALSE), (ALL, TRUE, 0), [True, False]]
    points = [(), ..., None, True, False, TRUE, FALSE, (..., None)]
    empty = [(ALL, 0), at(), (ALL, at(1, 1)), np.zeros((0, 3), bool), (at(), at())]
    wrong = [
        2,
        -3,
        (0, 0, 0, 0),
        at(2),
        at(-3),
        (at(0, 1), at(0, 1, 2)),
        truths(3),
        (ALL, truths(3, 3)),
        1.5,
        numbers(2),
        at(0, dtype="int16"),
        (0, 0, 0, None, 0),
    ]
    return [
        *[call(X, i) for i in (*views, *arrays, *masks) if not isinstance(i, list)],
        *[call(X.transpose(2, 0, 1), i) for i in (at(0, 3, 3), (ALL, at(1, 1)), (1, ALL, at(0, 2)), -1)],
        *[call(POINT, i) for i in points],
        *[call(EMPTY, i) for i in empty],
        *[refused(IndexError, X, i) for i in wrong],
        refused(IndexError, POINT, 0),
        refused(IndexError, EMPTY, 0),
        call(whole(2, 3), at(1, 1)),
        call(truths(2, 3), (ALL, at(0))),
        call(numbers(2, 3, dtype="float32"), at(1, 1, 0)),
    ]


def along_edges(name: str) -> list[Call]:
    """gather, scatter and scatter_add: index smaller than x, 0-d, empty; what does not fit."""
    i = at(2, 0, 1).reshape(1, 3)

    def made(x: np.ndarray, dim: int, index: np.ndarray) -> Call:
        return (
            call(x, dim, index) if name == "gather" else call(x, dim, index, numbers(*index.shape, dtype=x.dtype.name, phase=2))
        )

    def bad(error: type[Exception], *args: object) -> Call:
        return Call(made(*args).args, {}, error)  # type: ignore[arg-type]

    edges = [
        made(SQUARE, 0, i),
        made(SQUARE, -2, i[:, :2]),
        made(SQUARE.T, 1, i),
        made(SQUARE, 1, at(1).reshape(1, 1)),
        made(ROW, 0, at(3, 1)),
    ]
    edges += [
        made(SQUARE.astype("float32"), 0, i),
        made(whole(3, 3), 0, i),
        made(SQUARE, 0, i.astype("int32")),
        made(POINT, 0, np.array(0)),
    ]
    edges += [made(POINT, -1, at(0)), made(SQUARE, 0, np.zeros((0, 3), "int64")), made(EMPTY, 1, np.zeros((0, 2), "int64"))]
    edges += [bad(RuntimeError, SQUARE, 0, i + 1), bad(RuntimeError, SQUARE, 0, i - 1), bad(IndexError, SQUARE, 2, i)]
    edges += [
        bad(RuntimeError, SQUARE, 0, np.zeros((1, 4), "int64")),
        bad(RuntimeError, SQUARE, 0, at(0)),
        bad(RuntimeError, SQUARE, 0, i.astype("int16")),
    ]
    if name != "scatter":
        edges += [made(SQUARE, 0, np.zeros((4, 3), "int64")), made(ROW, 0, at(1, 1, 1, 0, 1, 3))]
    if name != "gather":
        edges += [
            refused(RuntimeError, SQUARE, 0, i, numbers(1, 3, dtype="float32")),
            refused(RuntimeError, SQUARE, 0, i, numbers(1, 2)),
        ]
    return edges


EDGES = {
    "operator.getitem": getitem_edges(),
    "gather": along_edges("gather"),
    "scatter_add": along_edges("scatter_add"),
    "scatter": [
        *along_edges("scatter"),
        call(SQUARE, 0, at(2, 0, 1).reshape(1, 3), 2.5),
        call(SQUARE, 1, COLUMN, value=-1),
        call(whole(3, 3), 1, COLUMN, 7),
    ],
    "select": [
        *[call(X, d, i) for d, i in [(0, 1), (1, -1), (-1, 0), (2, -4)]],
        call(ROW, 0, 2),
        refused(IndexError, X, 0, 2),
        refused(IndexError, X, 3, 0),
        refused(IndexError, POINT, 0, 0),
    ],
    "narrow": [
        *[call(X, d, s, n) for d, s, n in [(0, 0, 1), (1, 1, 2), (-1, -2, 2), (2, 0, 0), (2, 4, 0)]],
        call(X, 1, np.array(1), 2),
        refused(RuntimeError, X, 0, 1, 2),
        refused(RuntimeError, X, 0, 0, -1),
        refused(IndexError, X, 0, 3, 0),
        refused(IndexError, X, 3, 0, 1),
        refused(RuntimeError, POINT, 0, 0, 1),
    ],
    "index_select": [
        *[call(X, d, at(1, 0, 1)) for d in (0, 1, 2, -1)],
        call(X, 0, np.array(1)),
        call(X, 0, at(1, dtype="int32")),
        call(X, 1, at()),
        call(POINT, 0, at(0)),
        call(EMPTY, 1, at(2, 2)),
        call(whole(3, 2), 0, at(2, 2)),
        refused(IndexError, X, 0, at(0, 1).reshape(1, 2)),
        refused(IndexError, X, 3, at(0)),
        refused(RuntimeError, X, 0, at(0, dtype="int16")),
        refused(RuntimeError, POINT, 0, at(0, 0)),
    ],
    "index_add": [
        *[call(X, d, at(1, 0, 1), numbers(*[3 if e == d % 3 else n for e, n in enumerate(X.shape)])) for d in (0, 1, -1)],
        call(ROW, 0, at(1, 1), numbers(2), alpha=2),
        call(ROW, 0, at(), numbers(0)),
        call(POINT, 0, at(0), POINT),
        refused(RuntimeError, POINT, 0, at(0), numbers(1)),
        refused(IndexError, POINT, 0, at(0, 0), POINT),
        call(whole(4), 0, at(3, 3), whole(2)),
        refused(RuntimeError, ROW, 0, at(1), numbers(2)),
        refused(RuntimeError, ROW, 0, at(1), numbers(1, dtype="float32")),
    ],
    "take_along_dim": [
        call(X, at(3, 0).reshape(1, 1, 2), 2),
        call(X, at(1, 0, 1).reshape(3, 1, 1), 0),
        call(X[:1], at(1, 0).reshape(2, 1, 1), 1),
        call(X, at(23, 0, 23)),
        call(X, at(5, 7).reshape(1, 2)),
        call(X, at(-1, 0, -2).reshape(1, 3, 1), 1),
        refused(RuntimeError, X, at(0), 0),
        refused(IndexError, X, at(0).reshape(1, 1, 1), 3),
        refused(RuntimeError, X, at(0, dtype="int32").reshape(1, 1, 1), 0),
    ],
    "take": [
        call(X, at(0, -1, 23, 0)),
        call(X.T, at(5, 7).reshape(2, 1)),
        call(POINT, np.array(0)),
        call(X, at()),
        refused(IndexError, X, at(24)),
        refused(IndexError, X, at(-25)),
    ],
    "masked_select": [
        call(X, truths(2, 3, 4)),
        call(X, truths(4)),
        call(ROW, truths(3, 1)),
        call(POINT, TRUE),
        call(POINT, FALSE),
        call(POINT, truths(3)),
        call(EMPTY, truths(1, 3)),
        call(whole(4), truths(4)),
        refused(RuntimeError, X, truths(3)),
        refused(RuntimeError, ROW, whole(4)),
    ],
    "nonzero": [
        *[call(x) for x in (truths(2, 3), whole(3, 3), EMPTY, POINT, np.array(0.0), TRUE, np.zeros((2, 2)))],
        call(truths(2, 3), as_tuple=True),
        call(POINT, as_tuple=True),
        call(np.array(0.0), as_tuple=True),
        call(np.zeros((0, 2)), as_tuple=True),
    ],
}
