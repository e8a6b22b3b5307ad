"""The visible tests of assignment 5. Each runs with your module m; below it stands what should come out.

They are here to be read: `minitorch course check` runs the original ones, whatever is written here.
"""

import math

import numpy as np

from models.course.testing import SHARED, close, exact, others, task, twice
from models.course.tiny_bert import alike, training, training_with_head


def sentences():
    """100 rows of 40 tokens between 10 and 99, of which 38 may be masked, 28 in the second half of the rows."""
    ids = np.random.default_rng(0).integers(10, 100, (100, 40))
    maskable = np.ones(ids.shape, bool)
    maskable[:, [0, -1]] = False
    maskable[50:, 29:] = False
    return ids, maskable


@task("5.1", points=2)
def which_places_are_asked(m):
    """round(38 · 0.15) = round(5.7) = 6 in half of the rows, round(4.2) = 4 in the others; labels, and the rest untouched."""
    ids, maskable = sentences()
    masked, labels = m.mask_tokens(ids, maskable, 3, 100, np.random.default_rng(1))
    return {"labels": labels, "masked ids": np.where(labels == -100, masked, -1), "ids afterwards": ids}


def true_labels(got):
    ids, maskable = sentences()
    asked = got != -100
    if got.shape != ids.shape:
        return f"labels have shape {got.shape}, they should have {ids.shape}"
    if (asked & ~maskable).any():
        return f"{int((asked & ~maskable).sum())} places are asked that are not maskable"
    if (got[asked] != ids[asked]).any():
        return "a label is not the original token"
    for rows, right in ((asked[:50], "round(5.7) = 6"), (asked[50:], "round(4.2) = 4")):
        counts = rows.sum(1)
        if (counts != int(right[-1])).any():
            few, many = counts.min(), counts.max()
            found = f"{few} places" if few == many else f"{few} to {many} places"
            return f"rows of {38 if right[-1] == '6' else 28} maskable places have {found} asked, they should have {right}"
    return None


def true_rest(got):
    ids, _ = sentences()
    if got.shape != ids.shape:
        return f"masked ids have shape {got.shape}, they should have {ids.shape}"
    wrong = (got != -1) & (got != ids)
    return f"{int(wrong.sum())} tokens were changed at places that are not asked" if wrong.any() else None


@which_places_are_asked.expects
def _():
    return {"labels": true_labels, "masked ids": true_rest, "ids afterwards": exact(sentences()[0])}


@task("5.1", points=2)
def what_stands_there(m):
    """Of 20,000 chosen positions 80 % are [MASK], 10 % random and 10 % unchanged."""
    ids = np.full((200, 200), 50)
    masked, labels = m.mask_tokens(ids, np.ones(ids.shape, bool), 3, 1000, np.random.default_rng(2), 0.5)
    there = masked[labels != -100]
    return {"[MASK]": float((there == 3).mean()), "as it was": float((there == 50).mean()), "asked": len(there)}


@what_stands_there.expects
def _():
    slips = {"a tenth of the rest, not of all": 0.18}
    slips |= {"no place that stays as it was": 0.0}
    return {
        "[MASK]": close(0.8, 0, 0.02, slips={"[MASK] everywhere": 1.0}),
        "as it was": close(0.1, 0, 0.02, slips=slips),
        "asked": 20_000,
    }


@task("5.2", points=1)
def hidden_padding(m):
    """The second sentence has two tokens of padding; float32 unless another dtype is asked for."""
    given = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    mask, double = m.padding_mask(given), m.padding_mask(given, np.float64)
    found = {"shape: B, 1, 1, S": list(mask.shape), "hidden": mask < -1e8, "finite": bool(np.isfinite(mask).all())}
    return found | {"shown": np.abs(mask[mask > -1e8]), "dtypes": f"{mask.dtype} {double.dtype}"}


@hidden_padding.expects
def _():
    hidden = np.array([[[[False] * 4]], [[[False, False, True, True]]]])
    return {
        "shape: B, 1, 1, S": [2, 1, 1, 4],
        "hidden": close(
            hidden, slips={"hiding the words and showing the padding": ~hidden, "a mask of the wrong sign": 0 * hidden}
        ),
        "finite": True,
        "shown": np.zeros(6),
        "dtypes": "float32 float64",
    }


@task("5.3", points=1)
def a_loss_by_hand(m):
    """Probabilities 1/4 and 3/4; the second position does not count. Scores of 1000, and no position that counts."""
    logits = np.log(np.array([[1.0, 3.0], [1.0, 1.0]]))
    loss, _ = m.mlm_loss(logits, np.array([1, -100]))
    large, _ = m.mlm_loss(np.array([[1000.0, 0.0]]), np.array([1]))
    none, _ = m.mlm_loss(np.zeros((1, 2)), np.array([-100]))
    return {"-ln ¾": loss, "scores of 1000 and 0": large, "no position that counts": none}


@a_loss_by_hand.expects
def _():
    slips = {"a mean over all positions": math.log(4 / 3) / 2, "counting the position that nobody asks for": math.log(8 / 3) / 2}
    slips |= {"a logarithm to the base 2": math.log2(4 / 3), "forgetting the minus": -math.log(4 / 3)}
    of_large = {"the logarithm of 1e-12, added against ln 0": -math.log(1e-12)}
    return {
        "-ln ¾": close(math.log(4 / 3), slips=slips),
        "scores of 1000 and 0": close(1000.0, slips=of_large),
        "no position that counts": 0.0,
    }


@task("5.3", points=2)
def a_gradient_by_hand(m):
    """(softmax - onehot) / 2 at two positions of three."""
    logits = np.log(np.array([[1.0, 3.0], [1.0, 1.0], [4.0, 1.0]]))
    _, pullback = twice(m.mlm_loss, logits, np.array([1, -100, 0]))
    return {"dlogits: g (softmax - onehot) / places": pullback(2.0)}


@a_gradient_by_hand.expects
def _():
    dx = np.array([[0.25, -0.25], [0, 0], [-0.2, 0.2]])
    slips = {"forgetting g": dx / 2, "a mean over all positions": dx * 2 / 3, "a sum in place of a mean": dx * 2}
    slips |= {
        "onehot - softmax": -dx,
        "counting the position that nobody asks for": np.array([[0.25, -0.25], [0.5, 0.5], [-0.2, 0.2]]),
    }
    slips |= {"softmax without the onehot": np.array([[0.25, 0.75], [0, 0], [0.8, 0.2]])}
    p = np.exp(others(np.log(np.array([[1.0, 3.0], [1.0, 1.0], [4.0, 1.0]])))[0])
    p /= p.sum(1, keepdims=True)
    slips |= {SHARED: np.array([p[0] - [0, 1], [0, 0], p[2] - [1, 0]])}
    return {"dlogits: g (softmax - onehot) / places": close(dx, slips=slips)}


@task("5.4", points=2)
def scores_and_their_gradients(m):
    """Two tokens, three words."""
    h, E, b = np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]), np.array([0.0, 10.0, 20.0])
    y, pullback = twice(m.mlm_head, h, E, b)
    dh, dE, db = pullback(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]]))
    return {"h Eᵀ + b": y, "dh: g E": dh, "dE: gᵀ h": dE, "db: Σ g": db}


@scores_and_their_gradients.expects
def _():
    of_mean = {"a mean over the tokens": np.array([[0.5, 1], [0, 0], [0, -1]])}
    of_mean |= {"the transpose, hᵀ g": np.array([[1.0, 0, 0], [2, 0, -2]])}
    return {
        "h Eᵀ + b": close(np.array([[1.0, 12, 26], [0, 9, 18]]), slips={"no bias": np.array([[1.0, 2, 6], [0, -1, -2]])}),
        "dh: g E": close(np.array([[1.0, 0], [4, 4]]), slips={SHARED: np.array([[3.0, 3], [0, 3]])}),
        "dE: gᵀ h": close(np.array([[1.0, 2], [0, 0], [0, -2]]), slips=of_mean | {SHARED: np.array([[-1.5, 0], [0, 0], [6, 3]])}),
        "db: Σ g": close(np.array([1.0, 0, 2]), slips={"a mean over the tokens": np.array([0.5, 0, 1])}),
    }


@task("5.5", points=1)
def floors_of_a_few_words(m):
    """A fair coin costs ln 2 either way; 3 : 1, and a third word that never occurs, cost ln 3 and less than ln 2."""
    found = {"a fair coin: uniform, unigram": list(map(float, m.floors(np.array([5, 5]))))}
    return found | {"3, 1 and 0: uniform, unigram": list(map(float, m.floors(np.array([3, 1, 0]))))}


@floors_of_a_few_words.expects
def _():
    entropy = math.log(4) - 0.75 * math.log(3)
    slips = {"a logarithm to the base 2": [math.log2(3), entropy / math.log(2)]}
    slips |= {"not counting the third word": [math.log(2), entropy]}
    return {
        "a fair coin: uniform, unigram": [math.log(2), math.log(2)],
        "3, 1 and 0: uniform, unigram": close([math.log(3), entropy], slips=slips),
    }


@task("5.5", points=2)
def bert_trains_on_your_head(m):
    """A small BERT with your padding mask, head and loss in it: losses and gradients as with the library's."""
    m.floors(np.array([1, 1]))
    return training_with_head(m)


@bert_trains_on_your_head.expects
def _():
    return alike(training())
