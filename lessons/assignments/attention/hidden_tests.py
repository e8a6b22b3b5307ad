"""The hidden tests of assignment 4."""

import numpy as np

from models.course.testing import close, exact, single, task, twice


@task("4.1", points=2)
def softmax_along_any_axis(m):
    """Axes of three-dimensional scores, counted from either end; a second use of the pullback; nothing changed."""
    rng = np.random.default_rng(2)
    found = {}
    for axis in (0, 1, 2, -1, -2, -3):
        x, g = 3 * rng.normal(size=(3, 3, 4)), rng.normal(size=(3, 3, 4))
        y, pullback = twice(m.softmax, x, axis)
        found |= {f"y, axis {axis}": y, f"dx, axis {axis}": pullback(g), f"dx again, axis {axis}": pullback(g)}
        found |= {f"x afterwards, {axis}": x, f"g afterwards, {axis}": g, f"y afterwards, {axis}": y}
    return found


def true_softmax(x, axis, g):
    """The whole Jacobian, row by row: dyᵢ/dxⱼ = yᵢ(δᵢⱼ - yⱼ)."""
    x, g = np.moveaxis(x, axis, -1), np.moveaxis(g, axis, -1)
    e = np.exp(x)
    y = e / e.sum(-1, keepdims=True)
    jacobian = np.einsum("...i,ij->...ij", y, np.eye(x.shape[-1])) - np.einsum("...i,...j->...ij", y, y)
    return np.moveaxis(y, -1, axis), np.moveaxis(np.einsum("...i,...ij->...j", g, jacobian), -1, axis)


@softmax_along_any_axis.expects
def _():
    rng = np.random.default_rng(2)
    found = {}
    for axis in (0, 1, 2, -1, -2, -3):
        x, g = 3 * rng.normal(size=(3, 3, 4)), rng.normal(size=(3, 3, 4))
        y, dx = true_softmax(x, axis, g)
        found |= {f"y, axis {axis}": y, f"dx, axis {axis}": dx, f"dx again, axis {axis}": dx}
        found |= {f"x afterwards, {axis}": exact(x), f"g afterwards, {axis}": exact(g), f"y afterwards, {axis}": y}
    return found


@task("4.1", points=1)
def softmax_with_hidden_scores(m):
    """-inf and very negative rows, in float32, which stays float32."""
    x = np.array([[-np.inf, 0.0, -np.inf], [-2e3, -2e3, -2e3], [700.0, 710.0, -700.0]], np.float32)
    y, pullback = m.softmax(x)
    return {"y": y, "dx": pullback(np.array([[1.0, 2.0, 3.0]] * 3, np.float32))}


@softmax_with_hidden_scores.expects
def _():
    a = 1 / (1 + np.exp(10.0))
    y = np.array([[0, 1, 0], [1 / 3] * 3, [a, 1 - a, 0]])
    g = np.array([1.0, 2.0, 3.0])
    return {"y": single(y, 1e-3), "dx": single(y * (g - (g * y).sum(-1, keepdims=True)), 1e-3, 1e-4)}


SHAPES = ((5,), (1, 6), (4, 3), (2, 3, 4), (2, 1, 2, 3))


def norms(function, same=lambda x: x):
    rng = np.random.default_rng(3)
    found = {}
    for shape, eps in zip(SHAPES, (1e-5, 0.1, 1e-12, 0.5, 1e-3), strict=True):
        x, g = rng.normal(2.0, 3.0, size=shape), rng.normal(size=shape)
        w, b = rng.normal(size=shape[-1]), rng.normal(size=shape[-1])
        w[-1] = 0.0  # a weight may be 0: then x̂ is not to be had from y
        y, (dx, dw, db) = function(x, w, b, eps, g)
        label = f"{shape}, eps {eps}"
        found |= {f"y {label}": y, f"dx {label}": dx, f"dw {label}": dw, f"db {label}": db}
        found |= {
            f"x afterwards {label}": same(x),
            f"g afterwards {label}": same(g),
            f"weight afterwards {label}": same(w),
            f"bias afterwards {label}": same(b),
        }
    return found


@task("4.2", points=3)
def layer_norm_of_many_shapes(m):
    """One to four axes, small and large eps; the pullback is called twice and nothing is changed."""

    def function(x, w, b, eps, g):
        y, pullback = twice(m.layer_norm, x, w, b, eps)
        held = np.array(y)
        pullback(g)
        gradients = pullback(g)
        return y + 0 * held, gradients

    return norms(function)


def true_norm(x, w, b, eps, g):
    """By the Jacobian of each row."""
    H = x.shape[-1]
    c = x - x.sum(-1, keepdims=True) / H
    s = 1 / np.sqrt((c**2).sum(-1, keepdims=True) / H + eps)
    centre = np.eye(H) - 1 / H
    inner = s[..., None] * (np.eye(H) - np.einsum("...i,...j->...ij", c * s, c * s) / H)
    jacobian = np.einsum("...ij,jk->...ik", inner, centre)
    dx = np.einsum("...i,...ij->...j", g * w, jacobian)
    flat = (g * c * s).reshape(-1, H), g.reshape(-1, H)
    return c * s * w + b, (dx, flat[0].sum(0), flat[1].sum(0))


@layer_norm_of_many_shapes.expects
def _():
    return norms(true_norm, exact)


@task("4.2", points=1)
def layer_norm_in_float32(m):
    """float32 stays float32; rows far from zero, and a row of equal numbers."""
    x = np.array([[1000.0, 1001.0, 1002.0, 1003.0], [1.5, 1.5, 1.5, 1.5]], np.float32)
    one, zero = np.ones(4, np.float32), np.zeros(4, np.float32)
    y, pullback = m.layer_norm(x, one, zero)
    dx, dw, db = pullback(np.array([[1.0, 0.0, 0.0, 0.0]] * 2, np.float32))
    far, _ = m.layer_norm(FAR, one, zero)
    return {"y": y, "dx": dx, "dw": dw, "db": db, "y of a row far from zero": far}


FAR = np.array([[1000.3, 1000.1, 999.6, 1000.7], [-2000.7, -2001.1, -1999.3, -2000.9]], np.float32)


@layer_norm_in_float32.expects
def _():
    g = np.array([[1.0, 0, 0, 0]] * 2)
    one, zero = np.ones(4), np.zeros(4)
    y, (dx, dw, db) = true_norm(np.array([[0.0, 1, 2, 3], [0, 0, 0, 0]]), one, zero, 1e-5, g)
    far = close(true_norm(FAR.astype(np.float64), one, zero, 1e-5, g)[0], 3e-3, 1e-3, np.float32)
    return {"y": single(y), "dx": single(dx), "dw": single(dw), "db": single(db), "y of a row far from zero": far}


@task("4.3", points=1)
def heads_of_other_sizes(m):
    """One head, as many heads as columns, three heads; and both ways together."""
    x = np.arange(2 * 5 * 6.0).reshape(2, 5, 6)
    found = {f"{heads} heads": m.split_heads(x, heads) for heads in (1, 2, 3, 6)}
    found |= {f"there and back, {heads}": m.merge_heads(m.split_heads(x, heads)) for heads in (1, 2, 3, 6)}
    return found | {"x afterwards": x}


@heads_of_other_sizes.expects
def _():
    x = np.arange(2 * 5 * 6.0).reshape(2, 5, 6)
    found = {f"{n} heads": np.stack([x[:, :, a * 6 // n : (a + 1) * 6 // n] for a in range(n)], axis=1) for n in (1, 2, 3, 6)}
    return found | {f"there and back, {n}": x for n in (1, 2, 3, 6)} | {"x afterwards": x}


@task("4.3", points=1)
def heads_put_side_by_side(m):
    """merge_heads alone, of (2, 3, 4, 5)."""
    x = np.arange(120.0).reshape(2, 3, 4, 5)
    return {"merged": m.merge_heads(x)}


@heads_put_side_by_side.expects
def _():
    x = np.arange(120.0).reshape(2, 3, 4, 5)
    return {"merged": np.concatenate([x[:, a] for a in range(3)], axis=-1)}


CASES = (
    ((2, 3), 4, 2, None),
    ((2, 2, 3, 4), 5, 4, "padding"),
    ((3, 3, 3), 3, 3, "causal"),
    ((1, 1, 1), 1, 1, None),
    ((2, 4, 6), 2, 3, "full"),
)


def cases():
    """q, k, v, mask, g for each case."""
    rng = np.random.default_rng(4)
    for (*front, L, d), S, e, kind in CASES:
        q, k, v = rng.normal(size=(*front, L, d)), rng.normal(size=(*front, S, d)), rng.normal(size=(*front, S, e))
        mask = None
        if kind == "padding":
            mask = np.zeros((2, 1, 1, S))
            mask[0, ..., 3:] = -1e9
        elif kind == "causal":
            mask = np.where(np.tri(L, S) > 0, 0.0, -np.inf)
        elif kind == "full":
            mask = np.where(rng.random((*front, L, S)) < 0.4, -1e9, 0.0)  # a query of its own sees its own keys,
            mask[..., 0] = 0.0  # and at least one
        yield f"{(*front, L, d)}, {kind} mask", q, k, v, mask, rng.normal(size=(*front, L, e))


@task("4.4", points=3)
def attention_of_many_shapes(m):
    """Batches and heads, every kind of mask, other sizes of the values; the pullback twice; nothing is changed."""
    found = {}
    for label, q, k, v, mask, g in cases():
        y, pullback = twice(m.attention, q, k, v, mask)
        pullback(g)
        dq, dk, dv = pullback(g)
        found |= {f"y, {label}": y, f"dq, {label}": dq, f"dk, {label}": dk, f"dv, {label}": dv}
        found |= {f"q afterwards, {label}": q, f"k, {label}": k, f"v, {label}": v, f"g, {label}": g}
        found |= {} if mask is None else {f"mask, {label}": mask}
    return found


def true_attention(q, k, v, mask, g):
    """One query at a time, with softmax's Jacobian."""
    y, dq, dk, dv = np.zeros(g.shape), np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
    root = q.shape[-1] ** 0.5
    full = np.zeros((*q.shape[:-1], k.shape[-2]))
    full = full if mask is None else full + mask
    for at in np.ndindex(q.shape[:-1]):
        front = at[:-1]
        scores = k[front] @ q[at] / root + full[at]
        w = np.exp(scores - scores.max())
        w /= w.sum()
        y[at] = w @ v[front]
        dw = v[front] @ g[at]
        ds = (np.diag(w) - np.outer(w, w)) @ dw / root
        dq[at] = ds @ k[front]
        dk[front] += np.outer(ds, q[at])
        dv[front] += np.outer(w, g[at])
    return y, dq, dk, dv


@attention_of_many_shapes.expects
def _():
    found = {}
    for label, q, k, v, mask, g in cases():
        y, dq, dk, dv = true_attention(q, k, v, mask, g)
        found |= {f"y, {label}": y, f"dq, {label}": dq, f"dk, {label}": dk, f"dv, {label}": dv}
        found |= {f"q afterwards, {label}": exact(q), f"k, {label}": exact(k), f"v, {label}": exact(v), f"g, {label}": exact(g)}
        found |= {} if mask is None else {f"mask, {label}": exact(mask)}
    return found


@task("4.4", points=1)
def attention_in_float32(m):
    """float32 stays float32, and scores of thousands overflow nothing."""
    rng = np.random.default_rng(5)
    q, k, v = (rng.normal(size=(2, 3, 4)).astype(np.float32) for _ in range(3))
    y, _ = m.attention(q * 100, k * 100, v)
    small, again = m.attention(q, k, v)
    dq, dk, dv = again(np.ones((2, 3, 4), np.float32))
    masked, back = m.attention(q, k, v, np.array([0.0, 0.0, -1e9], np.float32))
    found = {"y of large scores": y, "y": small, "dq": dq, "dk": dk, "dv": dv, "y with a mask": masked}
    return found | {f"{name} with a mask": x for name, x in zip(("dq", "dk", "dv"), back(np.ones((2, 3, 4), np.float32)))}


@attention_in_float32.expects
def _():
    rng = np.random.default_rng(5)
    q, k, v = (rng.normal(size=(2, 3, 4)).astype(np.float32) for _ in range(3))
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    g = np.ones((2, 3, 4))
    large = close(true_attention(q * 100, k * 100, v, None, g)[0], 1e-3, 1e-4, np.float32)
    y, dq, dk, dv = (single(x, atol=1e-5) for x in true_attention(q, k, v, None, g))
    found = {"y of large scores": large, "y": y, "dq": dq, "dk": dk, "dv": dv}
    names, masked = ("y", "dq", "dk", "dv"), true_attention(q, k, v, np.array([0.0, 0.0, -1e9]), g)
    return found | {f"{name} with a mask": single(x, atol=1e-5) for name, x in zip(names, masked, strict=True)}
