"""The visible tests of assignment 2. Each runs with your module m; below it stands what should come out.

They are here to be read: `minitorch course check` runs the original ones, whatever is written here.
"""

import numpy as np

from models.course.testing import SHARED, close, exact, raises, single, task, twice
from models.course.tiny_bert import alike, training, training_with_tensor_operations


@task("2.1", points=1)
def strides_of_a_box(m):
    """(2, 3, 4): neighbours along the axes lie 12, 4 and 1 elements apart."""
    found = {"strides": list(m.row_major_strides((2, 3, 4))), "offset of [1, 2, 3]": m.offset((1, 2, 3), (2, 3, 4), (12, 4, 1))}
    found |= {"of [0, -1, 3], from the end": m.offset((0, -1, 3), (2, 3, 4), (12, 4, 1))}
    return found | {"of [0, 3, 0], which is not there": raises(m.offset, (0, 3, 0), (2, 3, 4), (12, 4, 1))}


@strides_of_a_box.expects
def _():
    return {
        "strides": close(
            [12, 4, 1],
            slips={"the first axis as the fastest": [1, 2, 6], "bytes": [96, 32, 8], "the axis's own size": [24, 12, 4]},
        ),
        "offset of [1, 2, 3]": 23,
        "of [0, -1, 3], from the end": close(11, slips={"taking a negative index as it is": -1}),
        "of [0, 3, 0], which is not there": "IndexError",
    }


@task("2.2", points=1)
def shapes_that_fit(m):
    """(2, 1, 4) and (3, 1) broadcast to (2, 3, 4); three shapes, too."""
    return {"together": list(m.broadcast_shape((2, 1, 4), (3, 1))), "three": list(m.broadcast_shape((1, 4), (5, 1, 1), (3, 1)))}


@shapes_that_fit.expects
def _():
    return {"together": close([2, 3, 4], slips={"aligning at the front": [6, 1, 4]}), "three": [5, 3, 4]}


@task("2.2", points=1)
def shapes_that_do_not_fit(m):
    """(2, 3) and (2,) are an error: 3 and 2 meet. So are (2, 3) and (4, 3), although their last axes fit."""
    found = {"(2, 3) with (2,)": raises(m.broadcast_shape, (2, 3), (2,))}
    return found | {"(2, 3) with (4, 3)": raises(m.broadcast_shape, (2, 3), (4, 3))}


@shapes_that_do_not_fit.expects
def _():
    return {
        "(2, 3) with (2,)": "ValueError",
        "(2, 3) with (4, 3)": close("ValueError", because="each axis is compared, not the last"),
    }


@task("2.3", points=2)
def a_bias_collects_the_rows(m):
    """A bias (3,) that was added to (4, 3): its gradient is the sum over the rows."""
    g = np.arange(12.0).reshape(4, 3)
    return {"db: Σ over rows of g": m.undo_broadcast(g, (3,)), "g afterwards": g}


@a_bias_collects_the_rows.expects
def _():
    return {"db: Σ over rows of g": np.array([18.0, 22.0, 26.0]), "g afterwards": exact(np.arange(12.0).reshape(4, 3))}


@task("2.3", points=1)
def an_axis_of_one_is_kept(m):
    """A column (4, 1) that was added to (2, 4, 3): its gradient has the shape (4, 1) again."""
    g = np.arange(24.0).reshape(2, 4, 3)
    return {"Σ over the first and the last axis": m.undo_broadcast(g, (4, 1))}


@an_axis_of_one_is_kept.expects
def _():
    total = np.array([[42.0], [60.0], [78.0], [96.0]])
    slips = {"a sum that drops the axis of size 1": total[:, 0], "a mean instead of a sum": total / 6}
    slips |= {"leaving the axis of size 1 out": np.arange(24.0).reshape(2, 4, 3).sum(0)}
    return {"Σ over the first and the last axis": close(total, slips=slips)}


@task("2.4", points=2)
def a_sum_over_columns(m):
    """Σ along axis 1, and g spread back."""
    x = np.arange(6.0).reshape(2, 3)
    y, pullback = twice(m.sum_axis, x, axis=1)
    kept, back = twice(m.sum_axis, x, axis=1, keepdims=True)
    found = {"y": y, "dx: g for every summand": pullback(np.array([1.0, 10.0]))}
    return found | {"y, keepdims": kept, "dx, keepdims": back(np.array([[1.0], [10.0]]))}


@a_sum_over_columns.expects
def _():
    dx, slips = np.array([[1.0, 1, 1], [10, 10, 10]]), {"forgetting g": np.ones((2, 3))}
    found = {"y": np.array([3.0, 12.0]), "dx: g for every summand": close(dx, slips=slips)}
    return found | {"y, keepdims": np.array([[3.0], [12.0]]), "dx, keepdims": close(dx, slips=slips)}


@task("2.4", points=1)
def means_of_a_matrix(m):
    """The mean of all, and of the columns of float32: g / n for each, n the number of summands."""
    x = np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 1.0]])
    y, pullback = twice(m.mean_axis, x)
    z, back = twice(m.mean_axis, x.astype(np.float32), axis=0)
    found = {"y": y, "dx: g/6": pullback(np.array(12.0)), "of columns": z}
    return found | {"dx of columns: g/3": back(np.array([3.0, 6.0], np.float32))}


@means_of_a_matrix.expects
def _():
    of_sum = "the gradient of the sum"
    rows = np.array([[1.0, 2.0]] * 3)
    of_six = {name: np.full((3, 2), g) for name, g in ((of_sum, 12.0), ("dividing twice", 1 / 3), ("the size of one axis", 4.0))}
    return {
        "y": 3.0,
        "dx: g/6": close(np.full((3, 2), 2.0), slips=of_six),
        "of columns": single([3.0, 3.0]),
        "dx of columns: g/3": single(rows, slips={of_sum: 3 * rows, "dividing by the number of all elements": rows / 2}),
    }


@task("2.5", points=2)
def a_product_of_matrices(m):
    """(2, 3) times (3, 4)."""
    rng = np.random.default_rng(0)
    a, b, g = rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    y, (da, db) = twice(m.matmul, a, b)
    return {"y": y, "da: g bᵀ": da(g), "db: aᵀ g": db(g)}


@a_product_of_matrices.expects
def _():
    rng = np.random.default_rng(0)
    a, b, g = rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    a2, b2 = 1.5 * a[::-1, ::-1], 1.5 * b[::-1, ::-1]
    da, db = close(g.dot(b.T), slips={SHARED: g.dot(b2.T)}), close(a.T.dot(g), slips={SHARED: a2.T.dot(g)})
    return {"y": a.dot(b), "da: g bᵀ": da, "db: aᵀ g": db}


@task("2.6", points=2)
def rows_taken_twice(m):
    """Rows 0, 2, 2 of a table: row 2 collects two gradients, row 1 none."""
    table = np.arange(6.0).reshape(3, 2)
    y, pullback = twice(m.take_rows, table, np.array([0, 2, 2]))
    return {"rows": y, "dtable": pullback(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))}


@rows_taken_twice.expects
def _():
    slips = {"+= at an index, which counts a repeated row once": np.array([[1.0, 2.0], [0, 0], [5, 6]])}
    slips |= {"a mean over the uses of a row": np.array([[1.0, 2.0], [0, 0], [4, 5]])}
    slips |= {SHARED: np.array([[5.0, 6.0], [0, 0], [4, 6]])}
    dtable = close(np.array([[1.0, 2.0], [0, 0], [8, 10]]), slips=slips)
    return {"rows": np.array([[0.0, 1.0], [4, 5], [4, 5]]), "dtable": dtable}


@task("2.6", points=2)
def bert_trains_on_your_operations(m):
    """A small BERT with your undo_broadcast, matmul and take_rows in it: losses and gradients as with the library's."""
    m.take_rows(np.zeros((2, 1)), np.array([0]))
    return training_with_tensor_operations(m)


@bert_trains_on_your_operations.expects
def _():
    return alike(training())
