"""The visible tests of assignment 4. Each runs with your module m; below it stands what should come out.

They are here to be read: `minitorch course check` runs the original ones, whatever is written here.
"""

import numpy as np

from models.course.testing import SHARED, close, others, task, true_slopes, twice
from models.course.tiny_bert import alike, training, training_with_attention


@task("4.1", points=1)
def softmax_of_three(m):
    """Scores ln 1, ln 2, ln 5 give the weights 1/8, 2/8, 5/8."""
    return {"y: eˣ / Σ eˣ": m.softmax(np.log(np.array([1.0, 2.0, 5.0])))[0]}


@softmax_of_three.expects
def _():
    return {"y: eˣ / Σ eˣ": np.array([1, 2, 5]) / 8}


@task("4.1", points=2)
def gradient_of_softmax(m):
    """dx = y (g - Σ g y), with y = (1, 2, 5)/8."""
    _, pullback = twice(m.softmax, np.log(np.array([1.0, 2.0, 5.0])))
    return {"dx: y (g - Σ g y)": pullback(np.array([8.0, 0.0, 0.0]))}


@gradient_of_softmax.expects
def _():
    y, g = np.array([1, 2, 5]) / 8, np.array([8.0, 0, 0])
    other = np.array([5, 2, 1]) ** 1.5 / sum(np.array([5, 2, 1]) ** 1.5)
    slips = {"y (1 - y) g, as if each weight depended on its own score alone": y * (1 - y) * g, "y g without the sum": y * g}
    slips |= {"+ in place of -": y * (g + 1), "a mean in place of the sum": y * (g - 1 / 3)}
    slips |= {"Σ g in place of Σ g y": y * (g - 8), SHARED: other * (g - (g * other).sum())}
    return {"dx: y (g - Σ g y)": close(y * (g - 1), slips=slips)}


@task("4.1", points=1)
def softmax_along_the_first_axis(m):
    """axis=0: every column adds up to 1, and its gradient is coupled within the column."""
    y, pullback = twice(m.softmax, np.log(np.array([[1.0, 3.0], [4.0, 2.0]])), axis=0)
    return {"y": y, "dx: y (g - Σ g y)": pullback(np.array([[5.0, 0.0], [0.0, 5.0]]))}


@softmax_along_the_first_axis.expects
def _():
    y = np.array([[0.2, 0.6], [0.8, 0.4]])
    rows = np.array([[0.25, 0.75], [4 / 6, 2 / 6]])
    right = close(y, slips={"a softmax along the last axis": rows, "a sum over all scores": np.array([[1, 3], [4, 2]]) / 10})
    last = y * (np.array([[5.0, 0.0], [0.0, 5.0]]) - np.array([[1.0], [2.0]]))
    dx = np.array([[0.8, -1.2], [-0.8, 1.2]])
    slips = {"a sum along the last axis": last, "a sum over everything": y * (np.array([[5.0, 0.0], [0.0, 5.0]]) - 3)}
    return {"y": right, "dx: y (g - Σ g y)": close(dx, slips=slips)}


@task("4.1", points=1)
def softmax_of_large_scores(m):
    """e¹⁰⁰⁰ overflows; softmax must not."""
    return {"y": m.softmax(np.array([[1000.0, 1000.0], [-1000.0, 0.0]]))[0]}


@softmax_of_large_scores.expects
def _():
    return {"y": np.array([[0.5, 0.5], [0.0, 1.0]])}


@task("4.2", points=1)
def a_normalised_row(m):
    """(1, 3) has mean 2 and deviation 1: x̂ = (-1, 1)."""
    y, _ = m.layer_norm(np.array([[1.0, 3.0]]), np.array([2.0, 3.0]), np.array([10.0, 20.0]), eps=0.0)
    return {"x̂ · weight + bias": y}


@a_normalised_row.expects
def _():
    slips = {"a variance over n - 1": np.array([[10 - 2 / 2**0.5, 20 + 3 / 2**0.5]])}
    return {"x̂ · weight + bias": close(np.array([[8.0, 23.0]]), slips=slips)}


@task("4.2", points=2)
def gradients_of_layer_norm(m):
    """Against measured slopes."""
    rng = np.random.default_rng(0)
    x, w, b, g = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=4), rng.normal(size=(3, 4))
    y, pullback = twice(m.layer_norm, x, w, b, 0.1)
    dx, dw, db = pullback(g)
    return {"y": y, "dx: (h - mean h - x̂ mean(h x̂)) / √(var + eps)": dx, "dw: Σ g x̂": dw, "db: Σ g": db}


def true_norm(x, w, b, eps=0.1):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * w + b


def true_norm_slips(x, w, b, g, eps=0.1):
    """What known slips give, for y, dx and dw."""
    centred = x - x.mean(-1, keepdims=True)
    outside = np.sqrt(x.var(-1, keepdims=True)) + eps
    std = np.sqrt(x.var(-1, keepdims=True) + eps)
    h, unit = g * w, centred / std
    mean, both = h.mean(-1, keepdims=True), unit * (h * unit).mean(-1, keepdims=True)
    slips_of_y = {
        "eps outside of the root": centred / outside * w + b,
        "a variance over n - 1": centred / np.sqrt(x.var(-1, ddof=1, keepdims=True) + eps) * w + b,
        "forgetting eps": centred / np.sqrt(x.var(-1, keepdims=True)) * w + b,
    }
    slips_of_dx = {
        "mean and variance taken as constants": h / std,
        "the variance taken as a constant": (h - mean) / std,
        "the mean taken as a constant": (h - both) / std,
        "sums in place of means": (h - 4 * mean - 4 * both) / std,
        "+ x̂ mean(h x̂) in place of -": (h - mean + both) / std,
        "g in place of h = g·weight": (g - g.mean(-1, keepdims=True) - unit * (g * unit).mean(-1, keepdims=True)) / std,
        "forgetting to divide by √(var + eps)": h - mean - both,
        "dividing by var + eps without the root": (h - mean - both) / std**2,
    }
    return slips_of_y, slips_of_dx, {"Σ g x in place of Σ g x̂": (g * x).sum(0), "a mean over the rows": (g * unit).mean(0)}


@gradients_of_layer_norm.expects
def _():
    rng = np.random.default_rng(0)
    x, w, b, g = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=4), rng.normal(size=(3, 4))
    of_y, of_dx, of_dw = true_norm_slips(x, w, b, g)
    of_dx |= {SHARED: true_slopes(lambda x: true_norm(x, w, b, 0.15), others(x), g)[0]}
    dx, dw, db = true_slopes(true_norm, [x, w, b], g)
    return {
        "y": close(true_norm(x, w, b), slips=of_y),
        "dx: (h - mean h - x̂ mean(h x̂)) / √(var + eps)": close(dx, 1e-5, 1e-7, slips=of_dx),
        "dw: Σ g x̂": close(dw, 1e-5, 1e-7, slips=of_dw),
        "db: Σ g": close(db, 1e-5, 1e-7, slips={"a mean over the rows": g.mean(0)}),
    }


@task("4.3", points=1)
def two_heads(m):
    """Two tokens of four columns: head 0 gets columns 0 and 1, head 1 columns 2 and 3."""
    x = np.arange(8.0).reshape(1, 2, 4)
    heads = m.split_heads(x, 2)
    return {"heads": heads, "merged again": m.merge_heads(np.array([[[[0.0, 1], [4, 5]], [[2, 3], [6, 7]]]]))}


@two_heads.expects
def _():
    x, heads = np.arange(8.0).reshape(1, 2, 4), np.array([[[[0.0, 1], [4, 5]], [[2, 3], [6, 7]]]])
    mixed = {"a reshape alone, which mixes the tokens": heads.reshape(1, 2, 4)}
    every_second = x.reshape(1, 2, 2, 2).transpose(0, 3, 1, 2)
    slips = {"a reshape alone, which mixes the tokens": x.reshape(1, 2, 2, 2), "a head of every second column": every_second}
    return {"heads": close(heads, slips=slips), "merged again": close(x, slips=mixed)}


@task("4.4", points=2)
def attention_by_hand(m):
    """One query that agrees with the first key, and a mask that hides the third."""
    q, k = np.array([[2.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]])
    v = np.array([[1.0], [3.0], [100.0]])
    y, _ = m.attention(q, k, v, np.array([0.0, 0.0, -1e9]))
    return {"softmax(q kᵀ/√d + mask) v": y}


@attention_by_hand.expects
def _():
    w = np.exp([2 / np.sqrt(2), 0.0])
    u, d = np.exp([2.0, 0.0]), np.exp([1.0, 0.0])
    slips = {
        "a mask with the wrong sign": np.array([[100.0]]),
        "no mask": np.array([[(w[0] + 3 * w[1] + 100 * np.exp(18 / np.sqrt(2))) / (w.sum() + np.exp(18 / np.sqrt(2)))]]),
        "scores without 1/√d": np.array([[(u[0] + 3 * u[1]) / u.sum()]]),
        "1/d in place of 1/√d": np.array([[(d[0] + 3 * d[1]) / d.sum()]]),
        "a mask that multiplies the scores": np.array([[2.0]]),
    }
    return {"softmax(q kᵀ/√d + mask) v": close(np.array([[(w[0] + 3 * w[1]) / w.sum()]]), slips=slips)}


@task("4.4", points=3)
def gradients_of_attention(m):
    """Against measured slopes."""
    rng = np.random.default_rng(1)
    q, k, v, g = rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), rng.normal(size=(2, 2))
    y, pullback = twice(m.attention, q, k, v)
    dq, dk, dv = pullback(g)
    return {"y": y, "dq: dscores k/√d": dq, "dk: dscoresᵀ q/√d": dk, "dv: weightsᵀ g": dv}


def true_attention(q, k, v, power=0.5, axis=-1):
    scores = np.einsum("...ld,...sd->...ls", q, k) / q.shape[-1] ** power
    e = np.exp(scores)
    return np.einsum("...ls,...se->...le", e / e.sum(axis, keepdims=True), v)


@gradients_of_attention.expects
def _():
    rng = np.random.default_rng(1)
    q, k, v, g = rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), rng.normal(size=(2, 2))
    other = true_slopes(true_attention, others(q, k, v), g)
    right = true_slopes(true_attention, [q, k, v], g)
    scale, both = "forgetting the scale on the way back", "the scale twice on the way back"
    of_y = {"scores without 1/√d": true_attention(q, k, v, 0.0), "1/d in place of 1/√d": true_attention(q, k, v, 1.0)}
    of_y |= {"a softmax over the queries": true_attention(q, k, v, 0.5, 0)}
    dq, dk = (
        close(r, 1e-5, 1e-7, slips={scale: r * 3**0.5, both: r / 3**0.5, SHARED: o})
        for r, o in zip(right[:2], other[:2], strict=True)
    )
    dv = close(right[2], 1e-5, 1e-7, slips={SHARED: other[2]})
    y = close(true_attention(q, k, v), slips=of_y)
    return {"y": y, "dq: dscores k/√d": dq, "dk: dscoresᵀ q/√d": dk, "dv: weightsᵀ g": dv}


@task("4.4", points=2)
def bert_trains_on_your_attention(m):
    """A small BERT with your heads, attention, softmax and LayerNorm in it: losses and gradients as with the library's."""
    m.attention(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)))
    return training_with_attention(m)


@bert_trains_on_your_attention.expects
def _():
    return alike(training())
