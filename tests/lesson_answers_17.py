"""Answers to the exercises of lesson 17, in the form of lesson_answers.py."""

LESSON_17 = {
    "ask": (
        [
            """
def ask(text, before, after, mask_id, length):
    room = length - len(before) - len(after)
    text = text[:room]
    place = before.index(mask_id) if mask_id in before else len(before) + len(text) + after.index(mask_id)
    return before + text + after, place
""",
            """
def ask(text, before, after, mask_id, length):
    text = list(text)
    while len(before) + len(text) + len(after) > length:
        text.pop()
    ids = [*before, *text, *after]
    if mask_id in before:
        return ids, before.index(mask_id)
    return ids, len(ids) - len(after) + after.index(mask_id)
""",
            """
def ask(text, before, after, mask_id, length):
    text = np.array(text)[: max(0, length - len(before) - len(after))]
    ids = np.concatenate([before, text, after]).astype(int)
    frame = np.concatenate([np.array(before) == mask_id, np.zeros(len(text), bool), np.array(after) == mask_id])
    return ids.tolist(), int(np.flatnonzero(frame)[0])
""",
        ],
        [
            (
                "def ask(text, before, after, mask_id, length):\n    ids = (before + text + after)[:length]\n    return ids, ids.index(mask_id) if mask_id in ids else -1",
                "a text that is cut",
            ),
            (
                "def ask(text, before, after, mask_id, length):\n    text = text[:length - len(before) - len(after)]\n"
                "    ids = before + text + after\n    return ids, ids.index(mask_id)",
                "a text that holds the mask's id",
            ),
            (
                "def ask(text, before, after, mask_id, length):\n    text = text[:length - len(before) - len(after)]\n"
                "    ids = before + text + after\n    return ids, len(ids) - 1 - ids[::-1].index(mask_id) + 1",
                "the place",
            ),
            (
                "def ask(text, before, after, mask_id, length):\n    room = length - len(before) - len(after)\n"
                "    text = text[-room:]\n    ids = before + text + after\n    return ids, len(before) + len(text) + (after.index(mask_id) if mask_id in after else 0)",
                "a text that is cut",
            ),
            (
                "def ask(text, before, after, mask_id, length):\n    text = text[:length - len(before) - len(after)]\n"
                "    return before + text + after, len(before) + len(text) + after.index(mask_id)",
                "the mask in front",
            ),
            (
                "def ask(text, before, after, mask_id, length):\n    place = len(before) + len(text) + (after + [mask_id]).index(mask_id)\n"
                "    return before + text[:length - len(before) - len(after)] + after, place",
                "a text that is cut",
            ),
            (
                "def ask(text, before, after, mask_id, length):\n    text = text[:length - len(before + after)]\n    before += text\n"
                "    return before + after, len(before) + after.index(mask_id)",
                "in place",
            ),
        ],
    ),
    "class_scores": (
        [
            "def class_scores(logits, words):\n    return minitorch.stack([logits[:, ids].mean(-1) for ids in words], dim=-1)",
            """
def class_scores(logits, words):
    columns = [minitorch.index_select(logits, 1, minitorch.tensor(ids)) for ids in words]
    return minitorch.cat([c.mean(1, keepdim=True) for c in columns], dim=1)
""",
            """
def class_scores(logits, words):
    table = np.zeros((logits.shape[1], len(words)), dtype=np.float32)
    for c, ids in enumerate(words):
        table[ids, c] = 1 / len(ids)
    return logits @ minitorch.tensor(table)
""",
            "def class_scores(logits, words):\n    return minitorch.stack([sum(logits[:, i] for i in ids) / len(ids) for ids in words], 1)",
        ],
        [
            (
                "def class_scores(logits, words):\n    return minitorch.stack([logits[:, ids].sum(-1) for ids in words], dim=-1)",
                "scores",
            ),
            (
                "def class_scores(logits, words):\n    return minitorch.stack([F.softmax(logits, -1)[:, ids].mean(-1) for ids in words], dim=-1)",
                "scores",
            ),
            (
                "def class_scores(logits, words):\n    return minitorch.stack([minitorch.logsumexp(logits[:, ids], -1) for ids in words], dim=-1)",
                "scores",
            ),
            (
                "def class_scores(logits, words):\n    return minitorch.stack([logits[:, ids[0]] for ids in words], dim=-1)",
                "scores",
            ),
            (
                "def class_scores(logits, words):\n    return minitorch.stack([logits[:, ids].amax(-1) for ids in words], dim=-1)",
                "scores",
            ),
            (
                "def class_scores(logits, words):\n    return minitorch.stack([logits[:, ids].mean(-1) for ids in words])",
                "scores",
            ),
            (
                "def class_scores(logits, words):\n    return minitorch.stack([logits[:, ids].sum(-1) / 2 for ids in words], -1)",
                "one and three words",
            ),
            ("def class_scores(logits, words):\n    return logits[:, words].mean(-1)", "one and three words"),
            (
                "def class_scores(logits, words):\n    z = logits.detach().numpy()\n    return np.stack([z[:, ids].mean(-1) for ids in words], -1)",
                "no gradient reaches the logits",
            ),
        ],
    ),
    "calibrate": (
        [
            "def calibrate(p, p_free):\n    q = p / p_free.mean(axis=0)\n    return q / q.sum(axis=1, keepdims=True)",
            "def calibrate(p, p_free):\n    W = np.diag(1 / p_free.mean(0))\n    q = p @ W\n    return (q.T / q.sum(1)).T",
            """
def calibrate(p, p_free):
    logits = np.log(p) - np.log(p_free.mean(0))
    return np.exp(logits) / np.exp(logits).sum(-1)[:, None]
""",
            "def calibrate(p, p_free): return np.array([[a / b for a, b in zip(row, p_free.mean(0))] / np.sum(row / p_free.mean(0)) for row in p])",
        ],
        [
            ("def calibrate(p, p_free): return p / p_free.mean(0)", "two texts without content"),
            ("def calibrate(p, p_free):\n    q = p / p_free.mean(0)\n    return q / q.sum()", "two texts without content"),
            ("def calibrate(p, p_free):\n    q = p / p_free.mean(0)\n    return q / q.sum(0)", "two texts without content"),
            (
                "def calibrate(p, p_free):\n    q = p / p_free.mean()\n    return q / q.sum(1, keepdims=True)",
                "two texts without content",
            ),
            (
                "def calibrate(p, p_free):\n    q = p / p_free[0]\n    return q / q.sum(1, keepdims=True)",
                "two texts without content",
            ),
            (
                "def calibrate(p, p_free):\n    q = p * p_free.mean(0)\n    return q / q.sum(1, keepdims=True)",
                "two texts without content",
            ),
            (
                "def calibrate(p, p_free):\n    q = p - p_free.mean(0)\n    return q / q.sum(1, keepdims=True)",
                "two texts without content",
            ),
            (
                "def calibrate(p, p_free):\n    q = p / np.exp(np.log(p_free).mean(0))\n    return q / q.sum(1, keepdims=True)",
                "two texts",
            ),
            (
                "def calibrate(p, p_free):\n    q = np.mean([p / row for row in p_free], 0)\n    return q / q.sum(1, keepdims=True)",
                "two texts",
            ),
            (
                "def calibrate(p, p_free):\n    q = np.exp(p / p_free.mean(0))\n    return q / q.sum(1, keepdims=True)",
                "two texts",
            ),
            ("def calibrate(p, p_free):\n    p /= p_free.mean(0)\n    return p / p.sum(1, keepdims=True)", "in place"),
        ],
    ),
    "draw": (
        [
            """
def draw(labels, n, order):
    classes = np.unique(labels)
    table = np.stack([order[labels[order] == c][: n // len(classes)] for c in classes])
    return table.T.reshape(-1)
""",
            """
def draw(labels, n, order):
    C = len(set(labels.tolist()))
    queues = [[i for i in order.tolist() if labels[i] == c] for c in range(C)]
    return [queues[k % C][k // C] for k in range(n)]
""",
            """
def draw(labels, n, order):
    C, rows = labels.max() + 1, []
    left = list(order)
    while len(rows) < n:
        for c in range(C):
            i = next(i for i in left if labels[i] == c)
            left.remove(i)
            rows.append(i)
    return np.array(rows)
""",
        ],
        [
            ("def draw(labels, n, order): return order[:n]", "one of each"),
            ("def draw(labels, n, order): return np.sort(order[:n])", "two of each"),
            (
                "def draw(labels, n, order):\n    C = len(np.unique(labels))\n    return np.concatenate([order[labels[order] == c][:n // C] for c in range(C)])",
                "two of each",
            ),
            (
                "def draw(labels, n, order):\n    C = len(np.unique(labels))\n    return np.stack([np.flatnonzero(labels == c)[:n // C] for c in range(C)]).T.reshape(-1)",
                "one of each",
            ),
            (
                "def draw(labels, n, order):\n    C = 2\n    return np.stack([order[labels[order] == c][:n // C] for c in range(C)]).T.reshape(-1)",
                "three classes",
            ),
            (
                "def draw(labels, n, order):\n    C = len(np.unique(labels))\n    return np.stack([order[labels[order] == c][:n] for c in range(C)]).T.reshape(-1)",
                "has shape",
            ),
            (
                "def draw(labels, n, order):\n    C = len(np.unique(labels))\n    return np.stack([order[labels == c][:n // C] for c in range(C)]).T.reshape(-1)",
                "one of each",
            ),
        ],
    ),
}
