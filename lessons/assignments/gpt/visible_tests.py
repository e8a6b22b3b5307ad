"""The visible tests of assignment 8. Each runs with your module m; below it stands what should come out.

They are here to be read: `minitorch course check` runs the original ones, whatever is written here.
"""

import numpy as np

from models.course.testing import SHARED, close, others, task, true_slopes, twice
from models.course.tiny_bert import alike
from models.course.tiny_gpt import texts, texts_with, training, training_with_causal_attention

INF = np.inf


@task("8.1", points=2)
def means_of_what_is_seen(m):
    """Equal scores give equal weights: the result is the mean of the values that a token sees. e⁹⁰⁰ overflows."""
    x, v = np.zeros((1, 1, 3, 1)), np.array([1.0, 10.0, 100.0]).reshape(1, 1, 3, 1)
    three, _ = m.causal_attention(x, x, v)
    last_two, _ = m.causal_attention(x[:, :, 1:], x, v)
    padded, _ = m.causal_attention(x, x, v, np.array([[0, 1, 1]]))
    large, _ = m.causal_attention(x + 30, x + 30, v)
    found = {"three tokens": three, "the last two of three": last_two, "0 1 1": padded, "three tokens, scores of 900": large}
    return {name: y[0, 0, :, 0] for name, y in found.items()}


@means_of_what_is_seen.expects
def _():
    three = {"a token that does not see itself": [0, 1, 5.5], "looking ahead in place of back": [37, 55, 100]}
    three |= {"attention without a mask": [37, 37, 37], "hiding weights after the softmax": [1 / 3, 11 / 3, 37]}
    two = {"counting the new tokens from 0, although cached ones stand before them": [1, 5.5]}
    padded = {"a token that sees padding": [1, 5.5, 37], "counting padding among what is seen": [0, 5, 110 / 3]}
    padded |= {
        "hiding what padding sees, not padding itself": [0, 5.5, 37],
        "the mean of all where nothing is seen": [37, 10, 55],
    }
    return {
        "three tokens": close([1, 5.5, 37], slips=three),
        "the last two of three": close([5.5, 37], slips=two),
        "0 1 1": close([0, 10, 55], because="the first is padding: it sees nothing and gives 0", slips=padded),
        "three tokens, scores of 900": [1, 5.5, 37],
    }


def numbers():
    """q, k, v of two texts, two heads, five tokens, and g; the second text has padding in front."""
    rng = np.random.default_rng(1)
    q, k, v, g = (rng.normal(size=(2, 2, 5, n)) for n in (3, 3, 2, 2))
    return q, k, v, g, np.array([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])


@task("8.1", points=3)
def gradients_of_causal_attention(m):
    """Against measured slopes: all five tokens, and the last two with three cached ones before them."""
    q, k, v, g, tokens = numbers()
    y, pullback = twice(m.causal_attention, q, k, v, tokens)
    dq, dk, dv = pullback(g)
    _, of_two = m.causal_attention(q[:, :, 3:], k, v)
    return {"y": y, "dq": dq, "dk": dk, "dv": dv, "dk of two new tokens": of_two(g[:, :, 3:])[1]}


def true_attention(q, k, v, tokens=None, power=0.5):
    L, S = q.shape[-2], k.shape[-2]
    e = np.exp(np.einsum("bald,basd->bals", q, k) / q.shape[-1] ** power) * (np.arange(S) <= np.arange(S - L, S)[:, None])
    e = e if tokens is None else e * tokens[:, None, None]
    total = e.sum(-1, keepdims=True)
    return np.einsum("bals,base->bale", e / np.where(total == 0, 1, total), v)


@gradients_of_causal_attention.expects
def _():
    q, k, v, g, tokens = numbers()
    right = true_slopes(lambda *arrays: true_attention(*arrays, tokens), [q, k, v], g)
    other = true_slopes(lambda *arrays: true_attention(*arrays, tokens), others(q, k, v), g)
    scale = {"forgetting the scale on the way back": 3**0.5}
    dq, dk, dv = (
        close(r, 1e-5, 1e-7, slips={name: r * x for name, x in (scale.items() if i < 2 else ())} | {SHARED: o})
        for i, (r, o) in enumerate(zip(right, other, strict=True))
    )
    of_y = {"scores without 1/√d": true_attention(q, k, v, tokens, 0), "1/d in place of 1/√d": true_attention(q, k, v, tokens, 1)}
    of_y |= {"a token that sees padding": true_attention(q, k, v)}
    two = true_slopes(true_attention, [q[:, :, 3:].copy(), k, v], g[:, :, 3:])[1]
    y = close(true_attention(q, k, v, tokens), slips=of_y)
    return {"y": y, "dq": dq, "dk": dk, "dv": dv, "dk of two new tokens": close(two, 1e-5, 1e-7)}


@task("8.1", points=2)
def gpt_trains_on_your_attention(m):
    """A small GPT with your attention in it: losses and gradients as with the library's."""
    m.causal_attention(*np.ones((3, 1, 1, 1, 1)))
    return training_with_causal_attention(m)


@gpt_trains_on_your_attention.expects
def _():
    return alike(training())


@task("8.2", points=1)
def positions_of_a_padded_batch(m):
    """Text 0 has four tokens, text 1 two of padding and two tokens; then the last one alone."""
    tokens = np.array([[1, 1, 1, 1], [0, 0, 1, 1]])
    both = np.asarray(m.positions(tokens, 4))
    found = {"of text 0": both[0], "of text 1, without its padding": both[1, 2:], "of the last tokens": m.positions(tokens, 1)}
    return found | {"from 0 to 3, at padding, too": bool(((both >= 0) & (both < 4)).all())}


@positions_of_a_padded_batch.expects
def _():
    text = {"counting padding": [2, 3], "counting from 1": [1, 2]}
    last = {"counting from 0 in each call, as if nothing were cached": [[0], [0]], "counting padding": [[3], [3]]}
    return {
        "of text 0": close([0, 1, 2, 3], slips={"counting from 1": [1, 2, 3, 4]}),
        "of text 1, without its padding": close([0, 1], slips=text),
        "of the last tokens": close([[3], [1]], slips=last | {"counting from 1": [[4], [2]]}),
        "from 0 to 3, at padding, too": True,
    }


@task("8.2", points=2)
def a_cache_of_two_texts(m):
    """Two tokens, then one more; another cache meanwhile; then text 1 twice and text 0, and one token more."""
    k, v = np.arange(8.0).reshape(2, 1, 4, 1), np.arange(16.0).reshape(2, 1, 4, 2)
    cache, other = m.Cache(), m.Cache()
    found = {"tokens at first": len(cache)}
    cache.update(k[:, :, :2], v[:, :, :2])
    other.update(-k, -v)
    keys, values = cache.update(k[:, :, 2:3], v[:, :, 2:3])
    found |= {"keys": keys, "values": values, "tokens": len(cache)}
    cache.reorder([1, 1, 0])
    keys, values = cache.update(np.full((3, 1, 1, 1), 9.0), np.full((3, 1, 1, 2), 9.0))
    return found | {"keys after reorder": keys[:, 0, :, 0], "values after reorder": values[:, 0, :, 0]}


@a_cache_of_two_texts.expects
def _():
    k, v = np.arange(8.0).reshape(2, 1, 4, 1), np.arange(16.0).reshape(2, 1, 4, 2)
    keys = {
        "keeping the new ones alone": k[:, :, 2:3],
        "one store for all caches": np.concatenate([k[:, :, :2], -k, k[:, :, 2:3]], 2),
    }
    kept = {"keys that were not reordered": [[0, 1, 2, 9], [4, 5, 6, 9], [4, 5, 6, 9]]}
    return {
        "tokens at first": 0,
        "keys": close(k[:, :, :3], slips=keys),
        "values": v[:, :, :3],
        "tokens": 3,
        "keys after reorder": close([[4, 5, 6, 9], [4, 5, 6, 9], [0, 1, 2, 9]], slips=kept),
        "values after reorder": [[8, 10, 12, 9], [8, 10, 12, 9], [0, 2, 4, 9]],
    }


@task("8.2", points=2)
def cached_equals_uncached(m):
    """Five tokens at once; and the same five as 2, 1 and 2 with the cache."""
    q, k, v, _, tokens = numbers()
    cache, parts = m.Cache(), []
    for first, last in ((0, 2), (2, 3), (3, 5)):
        keys, values = cache.update(k[:, :, first:last], v[:, :, first:last])
        parts.append(m.causal_attention(q[:, :, first:last], keys, values, tokens[:, :last])[0])
    return {"with the cache": np.concatenate(parts, axis=2)}


@cached_equals_uncached.expects
def _():
    q, k, v, _, tokens = numbers()
    return {"with the cache": close(true_attention(q, k, v, tokens), because="it must be what all tokens at once give")}


@task("8.3", points=2)
def the_k_largest(m):
    """A tie at the edge stays whole; 0 and more than the vocabulary are no limit; each row has its own k largest."""
    x = np.array([[3.0, 1.0, 2.0, 2.0, 0.0], [7.0, 7.0, 5.0, 4.0, 6.0]])
    return {f"k = {k}": m.top_k(x, k) for k in (1, 2, 3, 0, 9)} | {"logits afterwards": x}


@the_k_largest.expects
def _():
    x = np.array([[3.0, 1.0, 2.0, 2.0, 0.0], [7.0, 7.0, 5.0, 4.0, 6.0]])

    def kept(*rows):
        return np.where(np.array([[c == "x" for c in row] for row in rows]), x, -INF)

    two = {"k different numbers": kept("x.xx.", "xx..x"), "exactly k, although another one ties": kept("x.x..", "xx...")}
    two |= {"the k largest of all rows": kept(".....", "xx..."), "one too many": kept("x.xx.", "xx..x")}
    no_limit = close(x, because="k = 0, like k of V or more, is no limit")
    return {
        "k = 1": close(kept("x....", "xx..."), slips={"exactly k, although another one ties": kept("x....", "x....")}),
        "k = 2": close(kept("x.xx.", "xx..."), because="both 2s are as large as the second largest, so both stay", slips=two),
        "k = 3": kept("x.xx.", "xx..x"),
        "k = 0": no_limit,
        "k = 9": no_limit,
        "logits afterwards": close(x, 0, 0),
    }


@task("8.3", points=3)
def the_smallest_set(m):
    """Probabilities 0.1, 0.4, 0.3, 0.2, and four equal ones."""
    x, equal = np.log(np.array([[0.1, 0.4, 0.3, 0.2]])), np.zeros((1, 4))
    kept = {f"p = {p}, kept": np.isfinite(m.top_p(x, p)) for p in (0.0, 0.3, 0.6, 0.75, 1.0)}
    found = {"p = 0.6": m.top_p(x, 0.6), "four equal ones, p = 0.45, kept": np.isfinite(m.top_p(equal, 0.45))}
    return kept | found | {"logits afterwards": x}


@the_smallest_set.expects
def _():
    x, T, F = np.log(np.array([[0.1, 0.4, 0.3, 0.2]])), True, False
    few = {"a set whose sum stays below p: it must reach p": [[F, T, F, F]]}
    more = {"a set whose sum stays below p: it must reach p": [[F, T, T, F]]}
    return {
        "p = 0.0, kept": close([[F, T, F, F]], because="one token always stays"),
        "p = 0.3, kept": close([[F, T, F, F]], slips={"no token at all": [[F, F, F, F]]}),
        "p = 0.6, kept": close([[F, T, T, F]], slips=few),
        "p = 0.75, kept": close([[F, T, T, T]], slips=more),
        "p = 1.0, kept": close([[T, T, T, T]], because="p = 1 is no limit"),
        "p = 0.6": close(np.where([[F, T, T, F]], x, -INF), because="what stays keeps its logit"),
        "four equal ones, p = 0.45, kept": close([[F, F, T, T]], slips={"the smaller ids first": [[T, T, F, F]]}),
        "logits afterwards": close(x, 0, 0),
    }


# Three tokens: 0 ends a text. What follows the empty text, a text that ends in 1, one that ends in 2.
FIRST, AFTER_1, AFTER_2 = (0.0, 0.55, 0.45), (0.4, 0.3, 0.3), (0.9, 0.05, 0.05)


def log_p(texts):
    """The model of the handout."""
    with np.errstate(divide="ignore"):
        return np.log(np.array([(FIRST, AFTER_1, AFTER_2)[text[-1] if text else 0] for text in texts]))


@task("8.4", points=3)
def two_beams_beat_greedy(m):
    """Greedy takes 1 (0.55) and ends with 0.22; two beams find 2 0 with 0.405. Then more tokens, other penalties, no end."""
    found = {}
    for name, options in SEARCHES.items():
        best = m.beam_search(log_p, **options)
        found |= {f"{name}: the best text": list(best[0][1]), f"{name}: its score": best[0][0], f"{name}: how many": len(best)}
    return found


SEARCHES = {
    "one beam": {"k": 1, "most": 2, "end": 0},
    "one beam, 2 ends": {"k": 1, "most": 2, "end": 2},
    "one beam, long texts": {"k": 1, "most": 4, "end": 0, "length_penalty": 4.0},
    "two beams": {"k": 2, "most": 2, "end": 0},
    "no end": {"k": 2, "most": 3, "length_penalty": 0.0},
    "long texts": {"k": 3, "most": 3, "end": 0, "length_penalty": 4.0},
}


@two_beams_beat_greedy.expects
def _():
    two, long = np.log(0.45 * 0.9), np.log(0.55 * 0.3 * 0.9)
    scores = {"a sum that is not divided by n ** length_penalty": two, "a probability in place of its logarithm": 0.45 * 0.9 / 2}
    powers = {"n * length_penalty in place of n ** length_penalty": long / 12, "a length without the end": long / 2**4}
    return {
        "one beam: the best text": [1, 0],
        "one beam: its score": np.log(0.55 * 0.4) / 2,
        "one beam: how many": 1,
        "one beam, 2 ends: the best text": close([1, 0], slips={"an end that is not among the first k": [2]}),
        "one beam, 2 ends: its score": np.log(0.55 * 0.4) / 2,
        "one beam, 2 ends: how many": 1,
        "one beam, long texts: the best text": close([1, 0], because="the search is over when k texts are finished"),
        "one beam, long texts: its score": np.log(0.55 * 0.4) / 2**4,
        "one beam, long texts: how many": 1,
        "two beams: the best text": close([2, 0], slips={"the greedy text": [1, 0]}),
        "two beams: its score": close(two / 2, slips=scores),
        "two beams: how many": close(2, because="the search goes on until k texts are finished"),
        "no end: the best text": close([2, 0, 1], slips={"ending at token 0, although end is None": [2, 0]}),
        "no end: its score": np.log(0.45 * 0.9 * 0.55),
        "no end: how many": 2,
        "long texts: the best text": close([1, 2, 0], slips={"a text chosen without its length": [2, 0]}),
        "long texts: its score": close(long / 3**4, slips=powers),
        "long texts: how many": 3,
    }


@task("8.4", points=3)
def your_cache_writes_with_gpt(m):
    """A small trained GPT writes with your attention, positions, cache, filters and beams: the library's texts."""
    m.beam_search(lambda texts: np.zeros((len(texts), 2)), 1, 1)
    return texts_with(m)


@your_cache_writes_with_gpt.expects
def _():
    return texts()
