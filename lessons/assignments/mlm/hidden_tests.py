"""The hidden tests of assignment 5."""

import math

import numpy as np

from models.course.testing import close, exact, single, task, twice

LENGTHS = (1, 2, 3, 7, 17, 31, 61, 0, 99)


def rows_of_many_lengths():
    """Row i has LENGTHS[i] maskable places, here and there."""
    rng = np.random.default_rng(3)
    ids = rng.integers(200, 300, (len(LENGTHS), 120))
    maskable = np.zeros(ids.shape, bool)
    for row, n in enumerate(LENGTHS):
        maskable[row, rng.permutation(120)[:n]] = True
    return ids, maskable


@task("5.1", points=2)
def how_many_places(m):
    """Rows of 0 to 100 maskable places, with 15 % and with 40 %."""
    ids, maskable = rows_of_many_lengths()
    found = {}
    for share in (0.15, 0.4):
        masked, labels = m.mask_tokens(ids, maskable, 3, 1000, np.random.default_rng(4), share)
        asked = np.asarray(labels) != -100
        found |= {
            f"places a row, {share}": asked.sum(1),
            f"labels, {share}": np.where(asked, labels - ids, 0),
            f"elsewhere, {share}": np.where(asked, 0, masked - ids),
            f"asked and not maskable, {share}": int((asked & ~maskable).sum()),
        }
    default = m.mask_tokens(ids, maskable, 3, 1000, np.random.default_rng(4))[1]
    return found | {"the default is 15 %": (default != -100).sum(1), "whole numbers": labels.dtype.kind + masked.dtype.kind}


@how_many_places.expects
def _():
    few = np.array([max(1, round(n * 0.15)) if n else 0 for n in LENGTHS])
    many = np.array([max(1, round(n * 0.4)) if n else 0 for n in LENGTHS])
    found = {"the default is 15 %": few, "whole numbers": "ii"}
    for share, counts in ((0.15, few), (0.4, many)):
        found |= {
            f"places a row, {share}": counts,
            f"labels, {share}": np.zeros((len(LENGTHS), 120)),
            f"elsewhere, {share}": np.zeros((len(LENGTHS), 120)),
            f"asked and not maskable, {share}": 0,
        }
    return found


@task("5.1", points=1)
def shares_are_fair(m):
    """Over 60,000 places: 80 / 10 / 10, random tokens from the whole vocabulary, every place as often as any other."""
    ids = np.full((1000, 120), 60)
    masked, labels = m.mask_tokens(ids, np.ones(ids.shape, bool), 77, 50, np.random.default_rng(5), 0.5)
    asked = labels != -100
    there = masked[asked]
    random = there[(there != 77) & (there != 60)]
    alike = [row[:-1] == row[1:] for row in (r[a & (r != 77) & (r != 60)] for r, a in zip(masked, asked))]
    return {
        "neighbours that are both asked": float((asked[:, 1:] & asked[:, :-1]).mean()),
        "the spread of the number of [MASK] in a row": float((masked == 77).sum(1).std()),
        "random words in a row that are like the one before": float(np.concatenate(alike).mean()),
        "[MASK]": float((there == 77).mean()),
        "as it was": float((there == 60).mean()),
        "random": float((random < 50).mean()),
        "random share": len(random) / len(there),
        "how often each word is drawn": np.bincount(random, minlength=50)[:50] / len(random),
        "how often each place is asked": asked.mean(0),
        "[MASK] at each place": (masked == 77).mean(0),
        "[MASK] in each row": (masked == 77).mean(1),
    }


@shares_are_fair.expects
def _():
    n = 120
    return {
        "neighbours that are both asked": close(0.5 * (n / 2 - 1) / (n - 1), 0, 0.01),
        "the spread of the number of [MASK] in a row": close(
            math.sqrt(60 * 0.8 * 0.2), 0.25, because="each place is drawn for itself, so rows differ: a row has not exactly 80 %"
        ),
        "random words in a row that are like the one before": close(0.02, 0, 0.02),
        "[MASK]": close(0.8, 0, 0.01),
        "as it was": close(0.1, 0, 0.008),
        "random": 1.0,
        "random share": close(0.1, 0, 0.008),
        "how often each word is drawn": close(np.full(50, 0.02), 0, 0.011),
        "how often each place is asked": close(np.full(120, 0.5), 0, 0.085),
        "[MASK] at each place": close(np.full(120, 0.4), 0, 0.085),
        "[MASK] in each row": close(np.full(1000, 0.4), 0, 0.14),
    }


@task("5.1", points=1)
def randomness_is_the_generators(m):
    """The same seed gives the same, another seed something else, a second call with one generator too."""
    ids = np.arange(100, 400).reshape(3, 100)
    all_of_it = np.ones(ids.shape, bool)
    one, two, three = (np.random.default_rng(seed) for seed in (6, 6, 7))
    a, b, c = (m.mask_tokens(ids, all_of_it, 3, 1000, rng) for rng in (one, two, three))
    d = m.mask_tokens(ids, all_of_it, 3, 1000, one)
    return {
        "same seed": bool((a[0] == b[0]).all() and (a[1] == b[1]).all()),
        "other seed": bool((a[1] == c[1]).all()),
        "second call": bool((a[1] == d[1]).all()),
        "rows alike": bool(((a[1][0] != -100) == (a[1][1] != -100)).all()),
        "ids afterwards": ids,
        "maskable afterwards": bool(all_of_it.all()),
    }


@randomness_is_the_generators.expects
def _():
    return {
        "same seed": True,
        "other seed": False,
        "second call": False,
        "rows alike": False,
        "ids afterwards": exact(np.arange(100, 400).reshape(3, 100)),
        "maskable afterwards": True,
    }


@task("5.2", points=2)
def masks_of_other_dtypes(m):
    """float64 on demand, float32 by default, added to scores, a row in which all is hidden; the input stays."""
    given = np.array([[1, 0, 1], [0, 0, 0]])
    single_mask, double_mask = m.padding_mask(given), m.padding_mask(given, np.float64)
    scores = np.zeros((2, 2, 3, 3), np.float32) + single_mask
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return {
        "dtypes": f"{single_mask.dtype} {double_mask.dtype}",
        "shape": list(single_mask.shape),
        "weights": e / e.sum(-1, keepdims=True),
        "hidden": double_mask <= -1e9,
        "finite": bool(np.isfinite(double_mask).all() and np.isfinite(single_mask).all()),
        "given": given,
        "shown": double_mask[0, 0, 0, ::2],
        "of floats": m.padding_mask(given.astype(np.float32)) <= -1e9,
    }


@masks_of_other_dtypes.expects
def _():
    weights = np.empty((2, 2, 3, 3))
    weights[0], weights[1] = [0.5, 0, 0.5], 1 / 3
    hidden = np.array([[[[False, True, False]]], [[[True, True, True]]]])
    return {
        "dtypes": "float32 float64",
        "shape": [2, 1, 1, 3],
        "weights": close(weights, 1e-6),
        "hidden": hidden,
        "finite": True,
        "given": exact([[1, 0, 1], [0, 0, 0]]),
        "shown": [0.0, 0.0],
        "of floats": hidden,
    }


def batches():
    """logits, labels, g."""
    rng = np.random.default_rng(8)
    for shape, scale in (((4, 7), 1.0), ((2, 5, 6), 3.0), ((3, 2), 1.0), ((1, 1, 9), 2.0)):
        labels = rng.integers(0, shape[-1], shape[:-1])
        labels = np.where(rng.random(labels.shape) < 0.4, -100, labels)
        labels.reshape(-1)[0] = shape[-1] - 1
        yield str(shape), rng.normal(size=shape) * scale, labels, float(rng.normal())


@task("5.3", points=3)
def losses_of_batches(m):
    """Two and three axes, places that are not asked, other g; the pullback twice, nothing changed."""
    found = {}
    for label, logits, labels, g in batches():
        loss, pullback = twice(m.mlm_loss, logits, labels)
        pullback(g)
        found |= {f"loss {label}": loss, f"dlogits {label}": pullback(g), f"logits {label}": logits, f"labels {label}": labels}
    return found


def true_loss(logits, labels, g):
    """One place after the other."""
    total, n, gradient = 0.0, 0, np.zeros(logits.shape)
    for at in np.ndindex(labels.shape):
        if labels[at] >= 0:
            p = np.exp(logits[at]) / np.exp(logits[at]).sum()
            total, n = total - math.log(p[labels[at]]), n + 1
            gradient[at] = p
            gradient[at][labels[at]] -= 1
    return total / n, g * gradient / n


@losses_of_batches.expects
def _():
    found = {}
    for label, logits, labels, g in batches():
        loss, gradient = true_loss(logits, labels, g)
        found |= {f"loss {label}": loss, f"dlogits {label}": gradient}
        found |= {f"logits {label}": exact(logits), f"labels {label}": exact(labels)}
    return found


@task("5.3", points=2)
def losses_at_the_edges(m):
    """Huge scores, nothing asked, another number for "ignored", float32."""
    huge, pullback = m.mlm_loss(np.array([[1000.0, -1000.0], [-5000.0, 0.0]]), np.array([1, 1]))
    empty, nothing = m.mlm_loss(np.ones((2, 3)), np.array([-100, -100]))
    other, gradient = m.mlm_loss(np.log(np.array([[1.0, 1.0, 2.0], [1.0, 1.0, 1.0]])), np.array([2, 1]), ignored=1)
    x = np.array([[0.5, -0.5, 0.25]], np.float32)
    small, dx = m.mlm_loss(x, np.array([0]))
    return {
        "huge scores": huge,
        "gradient of huge scores": pullback(1.0),
        "nothing asked": float(empty),
        "its gradient": nothing(1.0),
        "another ignored": other,
        "gradient, another ignored": gradient(2.0),
        "float32": float(small),
        "gradient in float32": dx(1.0),
    }


@losses_at_the_edges.expects
def _():
    x = np.array([0.5, -0.5, 0.25])
    p = np.exp(x) / np.exp(x).sum()
    return {
        "huge scores": 1000.0,
        "gradient of huge scores": np.array([[0.5, -0.5], [0, 0]]),
        "nothing asked": 0.0,
        "its gradient": np.zeros((2, 3)),
        "another ignored": math.log(2),
        "gradient, another ignored": np.array([[0.5, 0.5, -1], [0, 0, 0]]),
        "float32": close(-math.log(p[0]), 1e-5),
        "gradient in float32": single((p - [1, 0, 0])[None]),
    }


@task("5.4", points=2)
def heads_of_batches(m):
    """One, two and three axes; float32 stays; nothing is changed."""
    found = {}
    rng = np.random.default_rng(9)
    for shape, dtype in (
        ((2, 3, 4), np.float64),
        ((5, 4), np.float64),
        ((2, 4), np.float32),
        ((4,), np.float64),
        ((2, 2, 3, 4), np.float64),
    ):
        h, E, b = rng.normal(size=shape).astype(dtype), rng.normal(size=(6, 4)).astype(dtype), rng.normal(size=6).astype(dtype)
        g = rng.normal(size=(*shape[:-1], 6)).astype(dtype)
        y, pullback = twice(m.mlm_head, h, E, b)
        held = np.array(y)
        pullback(g)
        dh, dE, db = pullback(g)
        found |= {f"y {shape}": held, f"dh {shape}": dh, f"dE {shape}": dE, f"db {shape}": db, f"h {shape}": h, f"E {shape}": E}
        found |= {f"b {shape}": b, f"g {shape}": g}
    return found


@heads_of_batches.expects
def _():
    found = {}
    rng = np.random.default_rng(9)
    for shape, dtype in (
        ((2, 3, 4), np.float64),
        ((5, 4), np.float64),
        ((2, 4), np.float32),
        ((4,), np.float64),
        ((2, 2, 3, 4), np.float64),
    ):
        h, E, b = rng.normal(size=shape).astype(dtype), rng.normal(size=(6, 4)).astype(dtype), rng.normal(size=6).astype(dtype)
        g = rng.normal(size=(*shape[:-1], 6)).astype(dtype)
        exact = (lambda x: single(x)) if dtype == np.float32 else (lambda x: x)
        rows, states = g.reshape(-1, 6).astype(np.float64), h.reshape(-1, 4).astype(np.float64)
        found |= {
            f"y {shape}": exact(np.einsum("...h,vh->...v", h, E) + b),
            f"dh {shape}": exact(np.einsum("...v,vh->...h", g, E)),
            f"dE {shape}": exact(np.einsum("nv,nh->vh", rows, states)),
            f"db {shape}": exact(np.einsum("nv->v", rows)),
            f"h {shape}": exact(h),
            f"E {shape}": exact(E),
            f"b {shape}": exact(b),
            f"g {shape}": exact(g),
        }
    return found


@task("5.5", points=1)
def floors_with_words_that_never_occur(m):
    """ln V counts them, the entropy does not."""
    counts = np.array([6, 0, 3, 1, 0, 2])
    found = [float(x) for x in m.floors(counts)]
    return {"uniform, unigram": found, "one word": [float(x) for x in m.floors(np.array([7]))], "counts afterwards": counts}


@floors_with_words_that_never_occur.expects
def _():
    unigram = -sum(n / 12 * math.log(n / 12) for n in (6, 3, 1, 2))
    return {"uniform, unigram": [math.log(6), unigram], "one word": [0.0, 0.0], "counts afterwards": exact([6, 0, 3, 1, 0, 2])}
