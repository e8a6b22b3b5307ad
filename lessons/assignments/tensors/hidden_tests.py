"""The hidden tests of assignment 2."""

import numpy as np

from models.course.testing import exact, raises, single, task, twice


@task("2.1", points=1)
def strides_of_other_shapes(m):
    """One axis, none, sizes of 1, an empty axis in front; whole numbers."""
    shapes = ((5,), (), (3, 1, 2), (1, 4), (2, 2, 2, 3), (0, 3))
    found = {str(shape): list(m.row_major_strides(shape)) for shape in shapes}
    return found | {"whole numbers": all(isinstance(n, (int, np.integer)) for strides in found.values() for n in strides)}


@strides_of_other_shapes.expects
def _():
    found = {"(5,)": [1], "()": [], "(3, 1, 2)": [2, 2, 1], "(1, 4)": [4, 1], "(2, 2, 2, 3)": [12, 6, 3, 1], "(0, 3)": [3, 1]}
    return found | {"whole numbers": True}


@task("2.1", points=1)
def offsets_of_views(m):
    """Strides that belong to a transpose, an index from the end, an index that does not exist."""
    return {
        "transposed": m.offset((3, 1), (4, 2), (1, 4)),
        "from the end": m.offset((-1, -2), (3, 4), (4, 1)),
        "the first": m.offset((-3, 0), (3, 4), (4, 1)),
        "no axes": m.offset((), (), ()),
        "a broadcast axis": m.offset((2, 3), (3, 4), (0, 1)),
        "beyond the end": raises(m.offset, (0, 4), (3, 4), (4, 1)),
        "before the start": raises(m.offset, (-4, 0), (3, 4), (4, 1)),
        "in an empty axis": raises(m.offset, (0,), (0,), (1,)),
    }


@offsets_of_views.expects
def _():
    return {
        "transposed": 7,
        "from the end": 10,
        "the first": 0,
        "no axes": 0,
        "a broadcast axis": 3,
        "beyond the end": "IndexError",
        "before the start": "IndexError",
        "in an empty axis": "IndexError",
    }


GOOD = [
    ((3,), (3,)),
    ((), (2, 3)),
    ((1,), (0,)),
    ((0, 1), (1, 5)),
    ((4, 1), (1, 5)),
    ((2,), (3, 1), (1, 1, 1)),
    ((5,),),
    ((1, 1), (1,)),
    ((2, 3, 4), (4,), (3, 1)),
    ((), ()),
]
BAD = [((2,), (3,)), ((2, 1), (8, 4, 3)), ((0,), (2,)), ((2, 3), (1, 3), (3, 3)), ((4, 2), (2, 4))]


@task("2.2", points=2)
def many_shapes(m):
    """Against NumPy's own rule: scalars, empty arrays, three shapes, one; and more axes than NumPy's function can take."""
    found = {str(shapes): list(m.broadcast_shape(*shapes)) for shapes in GOOD}
    found["70 axes and 1: the rule itself, not np.broadcast_shapes"] = list(m.broadcast_shape((2, *[1] * 69), (3,)))
    return found | {str(shapes): raises(m.broadcast_shape, *shapes) for shapes in BAD}


@many_shapes.expects
def _():
    found = {str(shapes): list(np.broadcast_shapes(*shapes)) for shapes in GOOD} | {str(shapes): "ValueError" for shapes in BAD}
    return found | {"70 axes and 1: the rule itself, not np.broadcast_shapes": [2, *[1] * 68, 3]}


CASES = [
    ((2, 3), (2, 3)),
    ((2, 3), (1, 3)),
    ((2, 3), (2, 1)),
    ((2, 3), ()),
    ((4, 2, 3), (2, 1)),
    ((4, 2, 3), (1, 2, 3)),
    ((4, 2, 3), (4, 1, 1)),
    ((2, 2), (2,)),
    ((3, 1), (1,)),
    ((2, 0), (2, 1)),
    ((2, 0), (1, 0)),
    ((), ()),
    ((4, 3, 1), (3, 1)),
    ((5, 2, 2, 2), (2, 1, 2)),
]


@task("2.3", points=3)
def many_repetitions(m):
    """Extra axes, axes of 1, both, all, empty ones."""
    rng = np.random.default_rng(1)
    found = {}
    for size, shape in CASES:
        g = np.asarray(rng.normal(size=size))
        found[f"{size} back to {shape}"] = np.array(m.undo_broadcast(g, shape))
        found[f"g afterwards, {size} back to {shape}"] = g
    return found


def true_adjoint(g, shape):
    """Each element of g is added to where it came from: spelt out by indices."""
    result = np.zeros(shape)
    where = np.broadcast_to(np.arange(result.size).reshape(shape), g.shape)
    np.add.at(result.reshape(-1), where.reshape(-1), g.reshape(-1))
    return result


@many_repetitions.expects
def _():
    rng = np.random.default_rng(1)
    found = {}
    for size, shape in CASES:
        g = np.asarray(rng.normal(size=size))
        found[f"{size} back to {shape}"] = true_adjoint(g, shape)
        found[f"g afterwards, {size} back to {shape}"] = exact(g)
    return found


@task("2.3", points=1)
def the_dtype_of_a_gradient_stays(m):
    """float32 stays float32."""
    g = np.ones((4, 3), np.float32)
    return {f"float32, back to {shape}": m.undo_broadcast(g, shape) for shape in ((1, 3), (3,), ())}


@the_dtype_of_a_gradient_stays.expects
def _():
    sums = {(1, 3): np.full((1, 3), 4.0), (3,): np.full(3, 4.0), (): 12.0}
    return {f"float32, back to {shape}": single(total) for shape, total in sums.items()}


REDUCTIONS = [
    ((2, 3, 4), 0, False),
    ((2, 3, 4), 1, True),
    ((2, 3, 4), -1, False),
    ((2, 3, 4), -2, False),
    ((3, 3), 0, False),
    ((3, 3), 1, False),
    ((2, 3), None, False),
    ((2, 3), None, True),
    ((5,), 0, False),
    ((4,), -1, True),
    ((2, 1), 1, False),
]
EMPTY = [((0, 3), 0, False), ((2, 0), 1, True), ((0, 3), None, False)]


def reductions(functions, cases=REDUCTIONS):
    found = {}
    rng = np.random.default_rng(2)
    for shape, axis, keepdims in cases:
        x = rng.normal(size=shape)
        g = rng.normal(size=x.sum(axis=axis, keepdims=keepdims).shape)
        for name, function in functions.items():
            y, pullback = twice(function, x, axis, keepdims)
            label = f"{name} of {shape}, axis {axis}, keepdims {keepdims}"
            found |= {label: y, f"dx of the {label}": np.array(pullback(np.asarray(g)))}
            found |= {f"twice dx of the {label}": pullback(2 * np.asarray(g)), f"g of the {label}": g}
        found |= {f"x afterwards {shape}, {axis}, {keepdims}": x}
    return found


@task("2.4", points=3)
def many_sums(m):
    """Every axis, with and without keepdims; empty arrays; the pullback twice."""
    return reductions({"sum": m.sum_axis}, REDUCTIONS + EMPTY)


@task("2.4", points=2)
def many_means(m):
    """Every axis, with and without keepdims; the pullback twice."""
    return reductions({"mean": m.mean_axis})


def true_reduction(kind):
    """Σ as a product with ones, by einsum; the mean is it over n."""

    def function(x, axis, keepdims):
        axes = tuple(range(x.ndim)) if axis is None else (axis % x.ndim,)
        n = 1
        for a in axes:
            n *= x.shape[a]
        share = 1 / n if kind == "mean" else 1.0
        letters = "abcd"[: x.ndim]
        kept = "".join(c for i, c in enumerate(letters) if i not in axes)
        y = np.einsum(f"{letters}->{kept}", x) * share
        full = [1 if i in axes else size for i, size in enumerate(x.shape)]
        shape = full if keepdims else y.shape
        return y.reshape(shape), lambda g: g.reshape(full) * share * np.ones(x.shape)

    return function


@many_sums.expects
def _():
    return reductions({"sum": true_reduction("sum")}, REDUCTIONS + EMPTY)


@many_means.expects
def _():
    return reductions({"mean": true_reduction("mean")})


@task("2.4", points=1)
def reductions_keep_float32(m):
    """A float32 array has a float32 sum, mean and gradient."""
    x = np.array([[1.0, 2.0], [3.0, 5.0]], np.float32)
    y, dy = m.sum_axis(x, 0)
    z, dz = m.mean_axis(x, 1)
    s, ds = m.sum_axis(x)
    a, da = m.mean_axis(x)
    g, one = np.ones(2, np.float32), np.array(1, np.float32)
    found = {"sum": y, "its gradient": dy(g), "mean": z, "its gradient too": dz(g)}
    return found | {"sum of all": s, "gradient of that": ds(one), "mean of all": a, "gradient of that too": da(one)}


@reductions_keep_float32.expects
def _():
    return {
        "sum": single([4.0, 7.0]),
        "its gradient": single(np.ones((2, 2))),
        "mean": single([1.5, 4.0]),
        "its gradient too": single(np.full((2, 2), 0.5)),
        "sum of all": single(11.0),
        "gradient of that": single(np.ones((2, 2))),
        "mean of all": single(2.75),
        "gradient of that too": single(np.full((2, 2), 0.25)),
    }


PRODUCTS = (
    ((5, 2, 3), (5, 3, 4)),
    ((2, 3, 4, 5), (2, 3, 5, 2)),
    ((5, 2, 3), (3, 4)),
    ((2, 2), (2, 2)),
    ((3, 3), (4, 3, 3)),
    ((1, 2, 3), (5, 3, 4)),
    ((4, 1, 2, 3), (5, 3, 2)),
    ((1, 1), (1, 1)),
)


@task("2.5", points=3)
def batches_of_products(m):
    """Three and four axes, and a matrix that is the same for the whole batch (its gradient, summed, is right)."""
    rng = np.random.default_rng(3)
    found = {}
    for one, two in PRODUCTS:
        a, b = rng.normal(size=one), rng.normal(size=two)
        y, (da, db) = twice(m.matmul, a, b)
        g = rng.normal(size=np.shape(y))
        da(2 * g), db(2 * g)
        label = f"{one} @ {two}"
        found |= {
            label: y,
            f"da, {label}": summed(da(g), one),
            f"db, {label}": summed(db(g), two),
            f"a, {label}": a,
            f"b, {label}": b,
        }
    return found


def summed(g, shape):
    """Extra axes in front added up, and those that the shape has at size 1."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


@batches_of_products.expects
def _():
    rng = np.random.default_rng(3)
    found = {}
    for one, two in PRODUCTS:
        a, b = rng.normal(size=one), rng.normal(size=two)
        y = np.einsum("...ik,...kj->...ij", a, b)
        g = rng.normal(size=y.shape)
        label = f"{one} @ {two}"
        found |= {
            label: y,
            f"da, {label}": summed(np.einsum("...ij,...kj->...ik", g, b), one),
            f"db, {label}": summed(np.einsum("...ik,...ij->...kj", a, g), two),
            f"a, {label}": exact(a),
            f"b, {label}": exact(b),
        }
    return found


@task("2.5", points=1)
def products_keep_float32(m):
    """float32 matrices have a float32 product and float32 gradients."""
    a, b = np.array([[1.0, 2.0]], np.float32), np.array([[3.0], [4.0]], np.float32)
    y, (da, db) = m.matmul(a, b)
    g = np.array([[0.5]], np.float32)
    return {"y": y, "da": da(g), "db": db(g)}


@products_keep_float32.expects
def _():
    return {"y": single([[11.0]]), "da": single([[1.5, 2.0]]), "db": single([[0.5], [1.0]])}


@task("2.6", points=2)
def rows_by_a_table_of_indices(m):
    """An index of two axes, a table of three; one row taken often, float32, nothing changed."""
    rng = np.random.default_rng(4)
    table, index = rng.normal(size=(5, 2, 3)).astype(np.float32), np.array([[4, 4, 0], [4, 1, 1]])
    g = rng.normal(size=(2, 3, 2, 3)).astype(np.float32)
    y, pullback = twice(m.take_rows, table, index)
    first = np.array(pullback(g))
    return {
        "rows": y,
        "dtable": first,
        "dtable, asked again": pullback(g),
        "the table afterwards": table,
        "g afterwards": g,
        "one index": m.take_rows(table, np.array(3))[0],
    }


@rows_by_a_table_of_indices.expects
def _():
    rng = np.random.default_rng(4)
    table, index = rng.normal(size=(5, 2, 3)).astype(np.float32), np.array([[4, 4, 0], [4, 1, 1]])
    g = rng.normal(size=(2, 3, 2, 3)).astype(np.float32)
    onehot = (index.reshape(-1, 1) == np.arange(5)).astype(np.float64)
    grad = np.einsum("nr,nij->rij", onehot, g.reshape(6, 2, 3).astype(np.float64))
    return {
        "rows": single(np.stack([np.stack([table[i] for i in row]) for row in index])),
        "dtable": single(grad),
        "dtable, asked again": single(grad),
        "the table afterwards": exact(table),
        "g afterwards": exact(g),
        "one index": table[3],
    }


@task("2.6", points=1)
def rows_at_the_edges(m):
    """One index without an axis, a table with one axis, a table of one row."""
    table = np.arange(6.0).reshape(3, 2)
    line, single_row = np.array([5.0, 6.0, 7.0]), np.array([[1.0, 2.0]])
    found = {}
    for name, rows, index in (
        ("one index", table, np.array(1)),
        ("a line", line, np.array([2, 2, 0])),
        ("one row", single_row, np.array([[0, 0]])),
    ):
        y, pullback = m.take_rows(rows, index)
        found |= {f"rows, {name}": np.array(y), f"dtable, {name}": pullback(np.ones(index.shape + rows.shape[1:]))}
    _, pullback = m.take_rows(table, np.array([1, 1]))
    return found | {"dtable has g's dtype, and not the table's": pullback(np.ones((2, 2), np.float32))}


@rows_at_the_edges.expects
def _():
    return {
        "rows, one index": np.array([2.0, 3.0]),
        "dtable, one index": np.array([[0.0, 0], [1, 1], [0, 0]]),
        "rows, a line": np.array([7.0, 7.0, 5.0]),
        "dtable, a line": np.array([1.0, 0, 2]),
        "rows, one row": np.array([[[1.0, 2.0], [1.0, 2.0]]]),
        "dtable, one row": np.array([[2.0, 2.0]]),
        "dtable has g's dtype, and not the table's": single([[0.0, 0], [2, 2], [0, 0]]),
    }
