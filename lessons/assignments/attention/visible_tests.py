"""The visible tests of assignment 4. Each runs with your module m; below it stands what should come out.

They are here to be read: `minitorch course check` runs the original ones, whatever is written here.
"""

import numpy as np

from models.course.testing import close, task
from models.course.tiny_bert import losses, losses_with_attention


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
    _, pullback = m.softmax(np.log(np.array([1.0, 2.0, 5.0])))
    return {"dx: y (g - Σ g y)": pullback(np.array([8.0, 0.0, 0.0]))}


@gradient_of_softmax.expects
def _():
    return {"dx: y (g - Σ g y)": np.array([1, 2, 5]) / 8 * (np.array([8.0, 0, 0]) - 1)}


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
    return {"x̂ · weight + bias": np.array([[8.0, 23.0]])}


@task("4.2", points=2)
def gradients_of_layer_norm(m):
    """Against measured slopes."""
    rng = np.random.default_rng(0)
    x, w, b, g = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=4), rng.normal(size=(3, 4))
    y, pullback = m.layer_norm(x, w, b)
    dx, dw, db = pullback(g)
    return {"y": y, "dx: (h - mean h - x̂ mean(h x̂)) / √(var + eps)": dx, "dw: Σ g x̂": dw, "db: Σ g": db}


def true_norm(x, w, b, eps=1e-5):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * w + b


def true_slopes(f, arrays, g, eps=1e-5):
    """The slopes of Σ g f(arrays) along every element of every array, measured."""
    slopes = []
    for a in arrays:
        slope = np.empty(a.shape)
        for i in np.ndindex(a.shape):
            held = a[i]
            a[i] = held + eps
            up = (g * f(*arrays)).sum()
            a[i] = held - eps
            down = (g * f(*arrays)).sum()
            a[i] = held
            slope[i] = (up - down) / (2 * eps)
        slopes.append(slope)
    return slopes


@gradients_of_layer_norm.expects
def _():
    rng = np.random.default_rng(0)
    x, w, b, g = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=4), rng.normal(size=(3, 4))
    dx, dw, db = (close(s, 1e-5, 1e-7) for s in true_slopes(true_norm, [x, w, b], g))
    return {"y": true_norm(x, w, b), "dx: (h - mean h - x̂ mean(h x̂)) / √(var + eps)": dx, "dw: Σ g x̂": dw, "db: Σ g": db}


@task("4.3", points=1)
def two_heads(m):
    """Two tokens of four columns: head 0 gets columns 0 and 1, head 1 columns 2 and 3."""
    x = np.arange(8.0).reshape(1, 2, 4)
    heads = m.split_heads(x, 2)
    return {"heads": heads, "merged again": m.merge_heads(np.array([[[[0.0, 1], [4, 5]], [[2, 3], [6, 7]]]]))}


@two_heads.expects
def _():
    return {"heads": np.array([[[[0.0, 1], [4, 5]], [[2, 3], [6, 7]]]]), "merged again": np.arange(8.0).reshape(1, 2, 4)}


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
    return {"softmax(q kᵀ/√d + mask) v": np.array([[(w[0] + 3 * w[1]) / w.sum()]])}


@task("4.4", points=3)
def gradients_of_attention(m):
    """Against measured slopes."""
    rng = np.random.default_rng(1)
    q, k, v, g = rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), rng.normal(size=(2, 2))
    y, pullback = m.attention(q, k, v)
    dq, dk, dv = pullback(g)
    return {"y": y, "dq: dscores k/√d": dq, "dk: dscoresᵀ q/√d": dk, "dv: weightsᵀ g": dv}


def true_attention(q, k, v):
    scores = np.einsum("...ld,...sd->...ls", q, k) / np.sqrt(q.shape[-1])
    e = np.exp(scores)
    return np.einsum("...ls,...se->...le", e / e.sum(-1, keepdims=True), v)


@gradients_of_attention.expects
def _():
    rng = np.random.default_rng(1)
    q, k, v, g = rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), rng.normal(size=(2, 2))
    dq, dk, dv = (close(s, 1e-5, 1e-7) for s in true_slopes(true_attention, [q, k, v], g))
    return {"y": true_attention(q, k, v), "dq: dscores k/√d": dq, "dk: dscoresᵀ q/√d": dk, "dv: weightsᵀ g": dv}


@task("4.4", points=2)
def bert_trains_on_your_attention(m):
    """A small BERT with your heads, attention, softmax and LayerNorm in it: the same losses as with the library's own."""
    m.attention(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)))
    return {"the losses of 6 steps": losses_with_attention(m)}


@bert_trains_on_your_attention.expects
def _():
    return {"the losses of 6 steps": close(losses(), 1e-3)}
