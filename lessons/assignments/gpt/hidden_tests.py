"""The hidden tests of assignment 8."""

import numpy as np

from models.course.testing import close, exact, single, task, twice

INF = np.inf

# B, A, L, S, d, e and where the padding is: in front, behind, between, nowhere.
SHAPES = (
    ((1, 1, 1, 1, 1, 1), None),
    ((2, 3, 4, 4, 5, 2), None),
    ((3, 2, 1, 6, 4, 4), "front"),
    ((2, 2, 3, 5, 3, 6), "behind"),
    ((2, 1, 5, 5, 2, 3), "between"),
    ((2, 1, 4, 4, 2, 2), "all of a text"),
)


def attentions():
    """Label, q, k, v, tokens, g."""
    rng = np.random.default_rng(2)
    for (B, A, L, S, d, e), padding in SHAPES:
        q, k, v, g = (rng.normal(size=(B, A, n, size)) for n, size in ((L, d), (S, d), (S, e), (L, e)))
        tokens = np.ones((B, S), np.int64)
        if padding is not None:
            tokens[
                0, {"front": slice(2), "behind": slice(-2, None), "between": slice(1, 3), "all of a text": slice(None)}[padding]
            ] = 0
        yield f"{(B, A, L, S, d, e)}, padding {padding}", q, k, v, None if padding is None else tokens, g


@task("8.1", points=3)
def attentions_of_many_shapes(m):
    """Cached tokens, padding of every kind, other sizes of the values; the pullback twice; nothing is changed."""
    found = {}
    for label, q, k, v, tokens, g in attentions():
        y, pullback = twice(m.causal_attention, q, k, v, tokens)
        pullback(g)
        dq, dk, dv = pullback(g)
        found |= {f"y, {label}": y, f"dq, {label}": dq, f"dk, {label}": dk, f"dv, {label}": dv}
        found |= {f"q afterwards, {label}": q, f"k, {label}": k, f"v, {label}": v, f"g, {label}": g}
        found |= {} if tokens is None else {f"tokens, {label}": tokens}
    return found


def true_attention(q, k, v, tokens, g):
    """One query at a time, with softmax's Jacobian, over the keys that it sees."""
    y, dq, dk, dv = np.zeros(g.shape), np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
    L, S = q.shape[2], k.shape[2]
    for b, a, i in np.ndindex(q.shape[:3]):
        seen = [j for j in range(S - L + i + 1) if tokens is None or tokens[b, j]]
        if not seen:
            continue
        scores = k[b, a, seen] @ q[b, a, i] / q.shape[-1] ** 0.5
        w = np.exp(scores - scores.max())
        w /= w.sum()
        y[b, a, i] = w @ v[b, a, seen]
        ds = (np.diag(w) - np.outer(w, w)) @ (v[b, a, seen] @ g[b, a, i]) / q.shape[-1] ** 0.5
        dq[b, a, i] = ds @ k[b, a, seen]
        dk[b, a, seen] += np.outer(ds, q[b, a, i])
        dv[b, a, seen] += np.outer(w, g[b, a, i])
    return y, dq, dk, dv


@attentions_of_many_shapes.expects
def _():
    found = {}
    for label, q, k, v, tokens, g in attentions():
        y, dq, dk, dv = true_attention(q, k, v, tokens, g)
        found |= {f"y, {label}": y, f"dq, {label}": dq, f"dk, {label}": dk, f"dv, {label}": dv}
        found |= {f"q afterwards, {label}": exact(q), f"k, {label}": exact(k), f"v, {label}": exact(v), f"g, {label}": exact(g)}
        found |= {} if tokens is None else {f"tokens, {label}": exact(tokens)}
    return found


def float32_numbers(scale=1.0):
    rng = np.random.default_rng(3)
    q, k, v = (rng.normal(size=(1, 2, 3, 4)).astype(np.float32) for _ in range(3))
    return q * np.float32(scale), k * np.float32(scale), v


@task("8.1", points=1)
def causal_attention_in_float32(m):
    """float32 stays float32, with padding as truth values too; scores of thousands overflow nothing."""
    g = np.ones((1, 2, 3, 4), np.float32)
    found = {}
    for name, scale, tokens in (("small", 1, None), ("large", 100, None), ("padded", 1, np.array([[False, True, True]]))):
        y, pullback = m.causal_attention(*float32_numbers(scale), tokens)
        found |= {f"y, {name}": y}
        found |= {f"{name}, {part}": x for part, x in zip(("dq", "dk", "dv"), pullback(g)) if name != "large"}
    return found


@causal_attention_in_float32.expects
def _():
    found, g = {}, np.ones((1, 2, 3, 4))
    for name, scale, tokens in (("small", 1, None), ("large", 100, None), ("padded", 1, np.array([[False, True, True]]))):
        q, k, v = (x.astype(np.float64) for x in float32_numbers(scale))
        y, *gradients = true_attention(q, k, v, tokens, g)
        found |= {f"y, {name}": single(y, 1e-3, 1e-4) if name == "large" else single(y, atol=1e-5)}
        if name != "large":
            found |= {f"{name}, {part}": single(x, atol=1e-5) for part, x in zip(("dq", "dk", "dv"), gradients)}
    return found


MASKS = {
    "no padding": [[1, 1, 1, 1, 1, 1]],
    "in front": [[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]],
    "behind": [[1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0]],
    "between": [[1, 0, 0, 1, 0, 1], [0, 1, 0, 1, 1, 0]],
}


@task("8.2", points=1)
def positions_with_padding_anywhere(m):
    """In front, behind, between; all tokens and the last ones; truth values; whole numbers come out."""
    found = {}
    for name, rows in MASKS.items():
        tokens = np.array(rows)
        for L in (6, 3, 1):
            p = np.asarray(m.positions(tokens, L))
            found |= {f"{name}, {L} tokens": np.where(tokens[:, -L:] == 1, p, -1)}
            found |= {f"{name}, {L} tokens, at padding": bool(((p >= 0) & (p < 6)).all()), f"{name}, {L}: kind": p.dtype.kind}
    tokens = np.array(MASKS["in front"]) != 0
    p = np.asarray(m.positions(tokens, 2))
    return found | {"of truth values": p, "tokens afterwards": tokens}


@positions_with_padding_anywhere.expects
def _():
    found = {}
    for name, rows in MASKS.items():
        right = np.array([[sum(row[:j]) if row[j] else -1 for j in range(6)] for row in rows])
        for L in (6, 3, 1):
            bounds = close(True, because="what stands at padding must be a position, too: from 0 to S - 1")
            found |= {f"{name}, {L} tokens": right[:, -L:], f"{name}, {L} tokens, at padding": bounds, f"{name}, {L}: kind": "i"}
    return found | {"of truth values": [[1, 2], [3, 4], [4, 5]], "tokens afterwards": np.array(MASKS["in front"]) != 0}


def parts():
    """Keys and values of one, three, one, one, two tokens, of two texts."""
    rng = np.random.default_rng(4)
    for L in (1, 3, 1, 1, 2):
        yield rng.normal(size=(2, 3, L, 4)).astype(np.float32), rng.normal(size=(2, 3, L, 5)).astype(np.float32)


@task("8.2", points=2)
def a_cache_that_grows_and_is_reordered(m):
    """Parts of many sizes in float32; texts that repeat, leave, swap; what came earlier, and what was given, stays."""
    cache, found = m.Cache(), {}
    given = list(parts())
    first = None
    for i, (k, v) in enumerate(given):
        keys, values = cache.update(k, v)
        first = first or (keys, values)
        found |= {f"keys {i}": keys, f"values {i}": values, f"tokens {i}": len(cache)}
    found |= {"what came first, afterwards": first[0]}
    for rows in ([1, 0], [0, 0, 1, 0], [1, 2, 3, 0], [3, 2], [1]):
        cache.reorder(rows)
        new = np.full((len(rows), 3, 1, 4), len(rows), np.float32), np.full((len(rows), 3, 1, 5), -len(rows), np.float32)
        keys, values = cache.update(*new)
        found |= {f"keys after {rows}": keys, f"values after {rows}": values, f"tokens after {rows}": len(cache)}
    return found | {f"given {name} {i}": x for i, pair in enumerate(given) for name, x in zip("kv", pair)}


@a_cache_that_grows_and_is_reordered.expects
def _():
    found, given = {}, list(parts())
    for i in range(len(given)):
        keys, values = (np.concatenate([pair[j] for pair in given[: i + 1]], axis=2) for j in (0, 1))
        found |= {f"keys {i}": single(keys, 0, 0), f"values {i}": single(values, 0, 0), f"tokens {i}": keys.shape[2]}
    found |= {"what came first, afterwards": single(given[0][0], 0, 0)}
    for rows in ([1, 0], [0, 0, 1, 0], [1, 2, 3, 0], [3, 2], [1]):
        n = len(rows)
        keys = np.concatenate([keys[rows], np.full((n, 3, 1, 4), n)], axis=2)
        values = np.concatenate([values[rows], np.full((n, 3, 1, 5), -n)], axis=2)
        found |= {f"keys after {rows}": single(keys, 0, 0), f"values after {rows}": single(values, 0, 0)}
        found |= {f"tokens after {rows}": keys.shape[2]}
    return found | {f"given {name} {i}": exact(x) for i, pair in enumerate(given) for name, x in zip("kv", pair)}


def branches():
    """Seven tokens of three texts; after the third, texts 2, 0 and 0 go on."""
    rng = np.random.default_rng(5)
    return (
        [rng.normal(size=(3, 2, 7, n)) for n in (4, 4, 3)],
        [2, 0, 0],
        np.array([[0, 1, 1, 1, 1, 1, 1], [1] * 7, [0, 0, 1, 1, 1, 1, 1]]),
    )


@task("8.2", points=1)
def cached_branches(m):
    """Texts that branch, as beams do, with padding in front: each token one by one."""
    (q, k, v), rows, tokens = branches()
    cache, found = m.Cache(), []
    for i in range(7):
        if i == 3:
            cache.reorder(rows)
            tokens = tokens[rows]
        keys, values = cache.update(k[:, :, i : i + 1], v[:, :, i : i + 1])
        found.append(m.causal_attention(q[:, :, i : i + 1], keys, values, tokens[:, : i + 1])[0])
    return {"token by token": np.concatenate(found, axis=2)}


@cached_branches.expects
def _():
    (q, k, v), rows, tokens = branches()
    g = np.zeros((3, 2, 7, 3))
    before = true_attention(q, k, v, tokens, g)[0][:, :, :3]
    q, k, v = (np.concatenate([x[rows][:, :, :3], x[:, :, 3:]], axis=2) for x in (q, k, v))
    after = true_attention(q, k, v, tokens[rows], g)[0][:, :, 3:]
    return {"token by token": np.concatenate([before, after], axis=2)}


def rows_of_logits():
    """Label, logits."""
    rng = np.random.default_rng(6)
    yield "one row", rng.normal(size=7)
    yield "(4, 9)", 3 * rng.normal(size=(4, 9))
    yield "(2, 3, 5)", rng.normal(size=(2, 3, 5))
    yield "ties", rng.integers(0, 4, (6, 8)).astype(np.float64)
    yield "some are -inf", np.where(rng.random((4, 6)) < 0.5, -INF, rng.integers(0, 3, (4, 6))) + np.eye(4, 6) * 0
    yield "float32", rng.normal(size=(3, 6)).astype(np.float32)
    yield "large", np.array([[1000.0, 999.0, -1000.0, 998.0], [-5000.0, -5001.0, -5002.0, -9000.0]])


def logits():
    """The rows, each with at least one number."""
    for label, x in rows_of_logits():
        x = x.copy()
        x[..., 2] = np.where(np.isfinite(x).any(-1), x[..., 2], 0.0)
        yield label, x


@task("8.3", points=2)
def top_k_of_many_rows(m):
    """One, two and three axes, ties, -inf among the logits, float32, k from 1 to beyond V; nothing is changed."""
    found = {}
    for label, x in logits():
        found |= {f"k = {k}, {label}": m.top_k(x, k) for k in (0, 1, 2, 3, x.shape[-1] - 1, x.shape[-1], 10**6)}
        found |= {f"afterwards, {label}": x}
    return found


@top_k_of_many_rows.expects
def _():
    def right(row, k):
        edge = sorted(row.tolist(), reverse=True)[min(k or len(row), len(row)) - 1]
        return [x if x >= edge else -INF for x in row.tolist()]

    found = {}
    for label, x in logits():
        for k in (0, 1, 2, 3, x.shape[-1] - 1, x.shape[-1], 10**6):
            kept = np.array([right(row, k) for row in x.reshape(-1, x.shape[-1])]).reshape(x.shape)
            found |= {f"k = {k}, {label}": close(kept, 0, 0, x.dtype)}
        found |= {f"afterwards, {label}": exact(x)}
    return found


PARTS = (0.0, 1e-9, 0.137, 0.437, 0.77, 0.983, 1.0)


@task("8.3", points=3)
def top_p_of_many_rows(m):
    """The same rows, p from 0 to 1; a sum that is just p; ties at the edge; nothing is changed."""
    found = {}
    for label, x in logits():
        found |= {f"p = {p}, {label}": m.top_p(x, p) for p in PARTS} | {f"afterwards, {label}": x}
    halves = np.array([[2.0, -INF, 2.0, -INF], [7.0, 7.0, -INF, -INF]])
    return found | {"two halves, p = 0.5": m.top_p(halves, 0.5), "two halves, p = 0.51": m.top_p(halves, 0.51)}


@top_p_of_many_rows.expects
def _():
    def right(row, p):
        ids = sorted(range(len(row)), key=lambda i: (-row[i], -i))
        e = np.exp(row - row.max())
        kept, total = np.full(len(row), -INF), 0.0
        for i in ids:
            kept[i], total = row[i], total + e[i] / e.sum()
            if total >= p:
                break
        return row if p == 1 else kept

    found = {}
    for label, x in logits():
        for p in PARTS:
            kept = np.array([right(row, p) for row in x.reshape(-1, x.shape[-1]).astype(np.float64)]).reshape(x.shape)
            found |= {f"p = {p}, {label}": close(kept, 0, 0, x.dtype)}
        found |= {f"afterwards, {label}": exact(x)}
    half = close([[-INF, -INF, 2, -INF], [-INF, 7, -INF, -INF]], because="one half is p, and that is enough; the larger id first")
    return found | {"two halves, p = 0.5": half, "two halves, p = 0.51": np.array([[2.0, -INF, 2, -INF], [7, 7, -INF, -INF]])}


# V, and the options of each search.
SEARCHES = (
    (5, {"k": 1, "most": 6, "end": 2}),
    (5, {"k": 3, "most": 6, "end": 0}),
    (3, {"k": 4, "most": 5, "end": 1, "length_penalty": 0.0}),
    (6, {"k": 2, "most": 8, "end": 5, "length_penalty": -1.0}),
    (6, {"k": 4, "most": 7, "end": 3, "length_penalty": 3.0}),
    (2, {"k": 5, "most": 4, "length_penalty": 0.7}),
    (7, {"k": 3, "most": 1, "end": 0}),
    (4, {"k": 6, "most": 5, "end": 9}),
    (2, {"k": 5, "most": 2}),
)


class Model:
    """Log-probabilities by the length of a text and its last token: some are -inf; or whole numbers, many of them equal."""

    def __init__(self, V, seed, kind):
        rng = np.random.default_rng(seed)
        p = rng.random((10, V, V)) ** 3 * (rng.random((10, V, V)) > 0.15)
        p[..., 0] += p.sum(-1) == 0
        with np.errstate(divide="ignore"):
            self.table = np.log(p / p.sum(-1, keepdims=True)) if kind == "random" else -rng.integers(1, 4, p.shape).astype(float)
        self.most = 0

    def __call__(self, texts):
        self.most = max(self.most, len(texts))
        return np.array([self.table[len(text), int(text[-1]) if len(text) else 0] for text in texts])


def searches():
    """Label, V, the model's seed and kind, options. Sums of whole numbers have no rounding: equal ones are equal."""
    for i, (V, options) in enumerate(SEARCHES):
        yield f"random {i}", V, 10 * i, "random", options
        yield f"ties {i}", V, 10 * i, "ties", options | {"length_penalty": 0.0}


@task("8.4", points=4)
def searches_of_many_kinds(m):
    """Models of 2 to 7 tokens, ends that never come, all penalties, equal scores; more beams than tokens."""
    found = {}
    for label, V, seed, kind, options in searches():
        model = Model(V, seed, kind)
        best = m.beam_search(lambda texts, model=model: model(texts), **options)
        found |= {f"{label}, {options}: texts": [t for text in best for t in (*text[1], -1)]}
        found |= {f"{label}: scores": np.array([text[0] for text in best])}
        found |= {f"{label}: texts asked for at once": model.most}
    return found


def true_search(model, k, most, end=None, length_penalty=1.0):
    """The library's own hypotheses, on these log-probabilities."""
    from models.generation.beams import Beams
    from models.generation.decoder import Stopping
    from models.generation.settings import GenerationConfig

    config = GenerationConfig(
        num_beams=k, num_return_sequences=k, eos_token_id=end, length_penalty=length_penalty, early_stopping=True
    )
    beams = Beams(config, most)
    while not beams.done:
        beams.advance(model(beams.tokens), Stopping(config, None))
    return beams.results()


@searches_of_many_kinds.expects
def _():
    found = {}
    for label, V, seed, kind, options in searches():
        model = Model(V, seed, kind)
        best = true_search(model, **options)
        found |= {f"{label}, {options}: texts": [t for _, tokens in best for t in (*tokens, -1)]}
        found |= {f"{label}: scores": np.array([score for score, _ in best]), f"{label}: texts asked for at once": model.most}
    return found
