"""Answers to the exercises of lesson 18, in the form of lesson_answers.py."""

START = "def attend(q, k, v, cache=None):\n"
KEEP = (
    START + "    K, V = (k, v) if cache is None else (minitorch.cat([cache[0], k], dim=2), minitorch.cat([cache[1], v], dim=2))\n"
)

LESSON_18 = {
    "causal_mask": (
        [
            "def causal_mask(S, n=0): return np.tril(np.ones((S, n + S), dtype=bool), k=n)",
            "def causal_mask(S, n=0): return np.arange(n, n + S)[:, None] >= np.arange(n + S)",
            "def causal_mask(S, n=0): return minitorch.tensor([[j <= n + i for j in range(n + S)] for i in range(S)])",
            "def causal_mask(S, n=0): return ~np.triu(np.ones((n + S, n + S), dtype=bool), 1)[n:]",
        ],
        [
            ("def causal_mask(S, n=0): return np.tril(np.ones((S, n + S), dtype=bool))", "two new ones after two"),
            ("def causal_mask(S, n=0): return np.triu(np.ones((S, n + S), dtype=bool))", "transposed"),
            ("def causal_mask(S, n=0): return np.tril(np.ones((S, n + S), dtype=bool), k=n - 1)", "three tokens"),
            ("def causal_mask(S, n=0): return np.tril(np.ones((S, S), dtype=bool))", "has shape"),
            ("def causal_mask(S, n=0): return np.triu(np.ones((S, n + S), dtype=bool), k=n + 1)", "three tokens"),
            ("def causal_mask(S, n=0): return np.tril(np.ones((n + S, n + S), dtype=bool))", "has shape"),
            ("def causal_mask(S, n=0): return np.ones((S, n + S), dtype=bool)", "three tokens"),
            ("def causal_mask(S, n=0): return np.where(np.tril(np.ones((S, n + S)), n) > 0, 0.0, -np.inf)", "three tokens"),
        ],
    ),
    "next_token_loss": (
        [
            "def next_token_loss(logits, ids):\n    V = logits.shape[-1]\n    return F.cross_entropy(logits[:, :-1].reshape(-1, V), ids[:, 1:].reshape(-1))",
            """
def next_token_loss(logits, ids):
    logits, ids = logits.numpy()[:, :-1], ids.numpy()[:, 1:]
    top = logits.max(-1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
    return -np.take_along_axis(log_p, ids[..., None], -1).mean()
""",
            """
def next_token_loss(logits, ids):
    total = 0.0
    for row, text in zip(logits, ids.tolist()):
        for t in range(len(text) - 1):
            total = total - F.log_softmax(row[t], dim=-1)[text[t + 1]]
    return total / (ids.shape[0] * (ids.shape[1] - 1))
""",
            "def next_token_loss(logits, ids):\n    return F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:])",
        ],
        [
            (
                "def next_token_loss(logits, ids):\n    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids.reshape(-1))",
                "yours is",
            ),
            (
                "def next_token_loss(logits, ids):\n    V = logits.shape[-1]\n    return F.cross_entropy(logits[:, 1:].reshape(-1, V), ids[:, :-1].reshape(-1))",
                "yours is",
            ),
            (
                "def next_token_loss(logits, ids):\n    V = logits.shape[-1]\n    return F.cross_entropy(logits.reshape(-1, V)[:-1], ids.reshape(-1)[1:])",
                "two texts",
            ),
            (
                "def next_token_loss(logits, ids):\n    V = logits.shape[-1]\n"
                "    return F.cross_entropy(logits[:, :-1].reshape(-1, V), ids[:, 1:].reshape(-1), reduction='sum')",
                "a text of three",
            ),
            (
                "def next_token_loss(logits, ids):\n    V = logits.shape[-1]\n"
                "    return F.cross_entropy(logits[:, :-1].reshape(-1, V), ids[:, 1:].reshape(-1), reduction='sum') / ids.numel()",
                "a text of two tokens",
            ),
            (
                "def next_token_loss(logits, ids):\n    wanted = np.roll(ids.numpy(), -1, axis=1)\n    V = logits.shape[-1]\n"
                "    return F.cross_entropy(logits.reshape(-1, V), minitorch.tensor(wanted.reshape(-1)))",
                "a text of two tokens",
            ),
            (
                "def next_token_loss(logits, ids):\n    V = logits.shape[-1]\n    return -F.cross_entropy(logits[:, :-1].reshape(-1, V), ids[:, 1:].reshape(-1))",
                "yours is -",
            ),
        ],
    ),
    "sharpen": (
        [
            "def sharpen(logits, temperature, k):\n    x = np.where(logits >= np.sort(logits)[-k], logits / temperature, -np.inf)\n"
            "    e = np.exp(x - x.max())\n    return e / e.sum()",
            """
def sharpen(logits, temperature, k):
    best = np.argsort(-logits)[:k]
    x = (logits[best] - logits[best[0]]) / temperature
    p = np.zeros(len(logits))
    p[best] = np.exp(x) / np.exp(x).sum()
    return p
""",
            "def sharpen(logits, temperature, k):\n    x = logits.copy() / temperature\n    x[np.argsort(x)[: len(x) - k]] = -np.inf\n"
            "    return F.softmax(minitorch.tensor(x), dim=-1)",
        ],
        [
            (
                "def sharpen(logits, temperature, k):\n    e = np.exp((logits - logits.max()) / temperature)\n    return e / e.sum()",
                "the two most probable",
            ),
            (
                "def sharpen(logits, temperature, k):\n    e = np.exp((logits - logits.max()) / temperature)\n    p = e / e.sum()\n"
                "    p[np.argsort(-logits)[k:]] = 0\n    return p",
                "the two most probable",
            ),
            (
                "def sharpen(logits, temperature, k):\n    x = np.where(logits >= np.sort(logits)[-k], logits * temperature, -np.inf)\n"
                "    e = np.exp(x - x.max())\n    return e / e.sum()",
                "T = 0.5",
            ),
            (
                "def sharpen(logits, temperature, k):\n    x = np.where(logits >= np.sort(logits)[-k], logits, -np.inf)\n"
                "    e = np.exp(x - x.max())\n    return e / e.sum() / temperature",
                "T = 0.5",
            ),
            (
                "def sharpen(logits, temperature, k):\n    x = np.where(logits >= np.sort(logits)[-k], logits / temperature, -np.inf)\n"
                "    e = np.exp(x)\n    return e / e.sum()",
                "There is a NaN",
            ),
            (
                "def sharpen(logits, temperature, k):\n    x = np.where(logits >= np.sort(logits)[k], logits / temperature, -np.inf)\n"
                "    e = np.exp(x - x.max())\n    return e / e.sum()",
                "stops with IndexError",
            ),
            (
                "def sharpen(logits, temperature, k):\n    x = np.where(logits >= np.sort(logits)[-k], logits / temperature, 0.0)\n"
                "    e = np.exp(x - x.max())\n    return e / e.sum()",
                "the two most probable",
            ),
            (
                "def sharpen(logits, temperature, k):\n    logits[np.argsort(-logits)[k:]] = -np.inf\n"
                "    e = np.exp((logits - logits.max()) / temperature)\n    return e / e.sum()",
                "in place",
            ),
        ],
    ),
    "top_p": (
        [
            """
def top_p(p, share):
    order = np.argsort(-p)
    n = max(1, int(np.searchsorted(np.cumsum(p[order]), share)) + 1)
    kept = np.zeros_like(p)
    kept[order[:n]] = p[order[:n]]
    return kept / kept.sum()
""",
            """
def top_p(p, share):
    order = np.argsort(-p, kind="stable")
    before = np.cumsum(p[order]) - p[order]
    keep = before < share
    keep[0] = True
    q = np.zeros(len(p))
    q[order[keep]] = p[order[keep]] / p[order[keep]].sum()
    return q
""",
            """
def top_p(p, share):
    q, left = np.zeros(len(p)), p.copy()
    while not q.any() or q.sum() < share:
        i = left.argmax()
        q[i], left[i] = p[i], -1
    return q / q.sum()
""",
        ],
        [
            (
                "def top_p(p, share):\n    order = np.argsort(-p)\n    keep = np.cumsum(p[order]) <= share\n    keep[0] = True\n    q = np.zeros(len(p))\n"
                "    q[order[keep]] = p[order[keep]]\n    return q / q.sum()",
                "0.6: two tokens",
            ),
            (
                "def top_p(p, share):\n    order = np.argsort(-p)\n    keep = np.cumsum(p[order]) - p[order] <= share\n    q = np.zeros(len(p))\n"
                "    q[order[keep]] = p[order[keep]]\n    return q / q.sum()",
                "0.75",
            ),
            (
                "def top_p(p, share):\n    order = np.argsort(-p)\n    keep = np.cumsum(p[order]) - p[order] < share\n    q = np.zeros(len(p))\n"
                "    q[order[keep]] = p[order[keep]]\n    return q / q.sum()",
                "0: one is left",
            ),
            (
                "def top_p(p, share):\n    order = np.argsort(-p)\n    keep = np.cumsum(p[order]) - p[order] < share\n    keep[0] = True\n    q = np.zeros(len(p))\n"
                "    q[order[keep]] = p[order[keep]]\n    return q",
                "0.6: two tokens",
            ),
            (
                "def top_p(p, share):\n    order = np.argsort(p)\n    keep = np.cumsum(p[order]) - p[order] < share\n    keep[0] = True\n    q = np.zeros(len(p))\n"
                "    q[order[keep]] = p[order[keep]]\n    return q / q.sum()",
                "0.6: two tokens",
            ),
            (
                "def top_p(p, share):\n    q = np.sort(p)[::-1]\n    keep = np.cumsum(q) - q < share\n    keep[0] = True\n    q = np.where(keep, q, 0)\n    return q / q.sum()",
                "0.6: two tokens",
            ),
            ("def top_p(p, share):\n    q = np.where(p >= share, p, 0)\n    return q / q.sum()", "NaN"),
            (
                "def top_p(p, share):\n    keep = np.cumsum(p) - p < share\n    keep[p.argmax()] = True\n    q = np.where(keep, p, 0)\n    return q / q.sum()",
                "0.6: two tokens",
            ),
        ],
    ),
    "attend": (
        [
            KEEP + "    return F.softmax(q @ K.mT / math.sqrt(q.shape[-1]), dim=-1) @ V, (K, V)",
            KEEP + "    return F.scaled_dot_product_attention(q, K, V), (K, V)",
            """
def attend(q, k, v, cache=None):
    if cache is not None:
        k = minitorch.cat([cache[0], k], dim=-2)
        v = minitorch.cat([cache[1], v], dim=-2)
    weights = (q * k).sum(-1, keepdim=True) / q.shape[-1] ** 0.5
    return (weights.softmax(dim=2) * v).sum(2, keepdim=True), [k, v]
""",
        ],
        [
            (START + "    return F.scaled_dot_product_attention(q, k, v), (k, v)", "two tokens"),
            (KEEP + "    return F.scaled_dot_product_attention(q, K, V, is_causal=True), (K, V)", "two tokens"),
            (KEEP + "    return F.scaled_dot_product_attention(q, K, V), (k, v)", "five tokens"),
            (KEEP + "    return F.softmax(q @ K.mT, dim=-1) @ V, (K, V)", "two tokens"),
            (KEEP + "    return F.softmax(q @ K.mT / math.sqrt(K.shape[2]), dim=-1) @ V, (K, V)", "two tokens"),
            (KEEP + "    return F.softmax(q @ K.mT / math.sqrt(q.shape[-1]), dim=2) @ V, (K, V)", "two tokens"),
            (KEEP + "    return F.scaled_dot_product_attention(q, K, V)", "has shape"),
            (
                KEEP.replace("[cache[1], v]", "[v, cache[1]]") + "    return F.scaled_dot_product_attention(q, K, V), (K, V)",
                "two tokens",
            ),
            (KEEP.replace("dim=2", "dim=1") + "    return F.scaled_dot_product_attention(q, K, V), (K, V)", "two tokens"),
            (
                START + "    K, V = (k, v) if cache is None else cache\n    return F.scaled_dot_product_attention(q, K, V), "
                "(k, v) if cache is None else (minitorch.cat([K, k], dim=2), minitorch.cat([V, v], dim=2))",
                "two tokens",
            ),
        ],
    ),
}
