"""Answers to the exercises of lessons 19 to 22, in the form of lesson_answers.py."""

ANSWERS: dict[str, dict[str, tuple[list[str], list[tuple[str, str]]]]] = {}

ANSWERS["19_forgetting"] = {
    "may_answer": (
        [
            """
def may_answer(setting, own, task, seen):
    if setting == "task":
        return own[task]
    return np.tile(own[:seen].any(axis=0), (len(task), 1))
""",
            """
def may_answer(setting, own, task, seen):
    rows = []
    for t in task:
        tasks = [t] if setting == "task" else range(seen)
        rows.append([any(own[k][j] for k in tasks) for j in range(own.shape[1])])
    return rows
""",
            """
def may_answer(setting, own, task, seen):
    if setting == "domain":
        return np.ones((len(task), own.shape[1]), dtype=bool)
    if setting == "class":
        open_ = np.zeros(own.shape[1], dtype=bool)
        for t in range(seen):
            open_ |= own[t]
        return open_ & np.ones((len(task), 1), dtype=bool)
    return np.take(own, task, axis=0)
""",
        ],
        [
            ("def may_answer(setting, own, task, seen): return own[task]", "what you get if the task is told"),
            (
                "def may_answer(setting, own, task, seen):\n    if setting == 'task': return own[task]\n"
                "    return np.tile(own.any(axis=0), (len(task), 1))",
                "tasks that have not been learnt may answer, too",
            ),
            (
                "def may_answer(setting, own, task, seen):\n    if setting == 'task': return own[task]\n"
                "    return np.tile(own[: seen + 1].any(axis=0), (len(task), 1))",
                "class, after two of three tasks",
            ),
            (
                "def may_answer(setting, own, task, seen):\n    if setting == 'task': return own[task]\n"
                "    return np.tile(own[seen - 1], (len(task), 1))",
                "only the newest task may answer",
            ),
            (
                "def may_answer(setting, own, task, seen):\n    if setting == 'task': return own[task]\n    return own[:seen].any(axis=0)",
                "has shape (6,), it should have (2, 6)",
            ),
            (
                "def may_answer(setting, own, task, seen):\n    if setting == 'task': return own[task] & (task < seen)[:, None]\n"
                "    return np.tile(own[:seen].any(axis=0), (len(task), 1))",
                "one that has not been learnt",
            ),
        ],
    ),
    "fisher_diagonal": (
        [
            """
def fisher_diagonal(log_p, xs, parameters):
    total = [np.zeros(p.shape) for p in parameters]
    for x in xs:
        log = log_p(x)
        for y in range(len(log)):
            weight = log[y].exp().item()
            for i, g in enumerate(minitorch.autograd.grad(log[y], parameters, retain_graph=True)):
                total[i] += weight * g.numpy() ** 2
    return [F_i / len(xs) for F_i in total]
""",
            """
def fisher_diagonal(log_p, xs, parameters):
    found = []
    for p in parameters:
        F_p = 0
        for x in xs:
            for y in range(log_p(x).shape[0]):
                log = log_p(x)[y]
                (g,) = minitorch.autograd.grad(log, [p])
                F_p = F_p + g * g * log.detach().exp() / len(xs)
        found.append(F_p)
    return found
""",
            """
def fisher_diagonal(log_p, xs, parameters):
    def one(x):
        log = log_p(x)
        p = np.exp(log.detach().numpy())
        rows = [minitorch.autograd.grad(log[y], parameters, retain_graph=True) for y in range(len(p))]
        return [sum(p[y] * row[i].numpy() ** 2 for y, row in enumerate(rows)) for i in range(len(parameters))]
    each = [one(x) for x in xs]
    return [np.mean([e[i] for e in each], axis=0) for i in range(len(parameters))]
""",
        ],
        [
            (  # the mean of the gradient, squared: Σ p ∂ log p is 0
                """
def fisher_diagonal(log_p, xs, parameters):
    total = [np.zeros(p.shape) for p in parameters]
    for x in xs:
        log = log_p(x)
        for y in range(len(log)):
            for i, g in enumerate(minitorch.autograd.grad(log[y], parameters, retain_graph=True)):
                total[i] += log[y].exp().item() * g.numpy()
    return [(F_i / len(xs)) ** 2 for F_i in total]
""",
                "if the mean gradient is squared",
            ),
            (  # the most probable answer alone
                """
def fisher_diagonal(log_p, xs, parameters):
    total = [np.zeros(p.shape) for p in parameters]
    for x in xs:
        log = log_p(x)
        for i, g in enumerate(minitorch.autograd.grad(log[log.argmax().item()], parameters)):
            total[i] += g.numpy() ** 2
    return [F_i / len(xs) for F_i in total]
""",
                "two points",
            ),
            (  # no weights
                """
def fisher_diagonal(log_p, xs, parameters):
    total = [np.zeros(p.shape) for p in parameters]
    for x in xs:
        log = log_p(x)
        for y in range(len(log)):
            for i, g in enumerate(minitorch.autograd.grad(log[y], parameters, retain_graph=True)):
                total[i] += g.numpy() ** 2
    return [F_i / len(xs) for F_i in total]
""",
                "if the answers are not weighed",
            ),
            (  # a sum where a mean should be
                """
def fisher_diagonal(log_p, xs, parameters):
    total = [np.zeros(p.shape) for p in parameters]
    for x in xs:
        log = log_p(x)
        for y in range(len(log)):
            for i, g in enumerate(minitorch.autograd.grad(log[y], parameters, retain_graph=True)):
                total[i] += log[y].exp().item() * g.numpy() ** 2
    return total
""",
                "2 times what they should be",
            ),
            (  # the graph is gone after the first answer
                """
def fisher_diagonal(log_p, xs, parameters):
    total = [np.zeros(p.shape) for p in parameters]
    for x in xs:
        log = log_p(x)
        for y in range(len(log)):
            for i, g in enumerate(minitorch.autograd.grad(log[y], parameters)):
                total[i] += log[y].exp().item() * g.numpy() ** 2 / len(xs)
    return total
""",
                "RuntimeError",
            ),
        ],
    ),
    "ewc_penalty": (
        [
            """
def ewc_penalty(θ, terms, λ):
    total = 0.0
    for F_t, θ_t in terms:
        for p, F_i, star in zip(θ, F_t, θ_t):
            total = total + (F_i * (p - star) ** 2).sum()
    return λ / 2 * total
""",
            "def ewc_penalty(θ, terms, λ): return sum((f * (p - s) * (p - s)).sum() for fs, ss in terms for p, f, s in zip(θ, fs, ss)) * (0.5 * λ)",
        ],
        [
            (
                "def ewc_penalty(θ, terms, λ): return λ * sum((f * (p - s) ** 2).sum() for fs, ss in terms for p, f, s in zip(θ, fs, ss))",
                "That is 2 times",
            ),
            (
                "def ewc_penalty(θ, terms, λ):\n    fs, ss = terms[-1]\n"
                "    return λ / 2 * sum((f * (p - s) ** 2).sum() for p, f, s in zip(θ, fs, ss))",
                "from the last task alone",
            ),
            (
                "def ewc_penalty(θ, terms, λ):\n    fs, ss = terms[0]\n"
                "    return λ / 2 * sum((f * (p - s) ** 2).sum() for p, f, s in zip(θ, fs, ss))",
                "from the first task alone",
            ),
            (
                "def ewc_penalty(θ, terms, λ): return λ / 2 * sum((f * (p - s).abs()).sum() for fs, ss in terms for p, f, s in zip(θ, fs, ss))",
                "the penalty",
            ),
            (
                "def ewc_penalty(θ, terms, λ): return λ / 2 * sum((f * (p - s) ** 2).mean() for fs, ss in terms for p, f, s in zip(θ, fs, ss))",
                "the penalty",
            ),
            (
                "def ewc_penalty(θ, terms, λ): return λ / 2 * sum((f * (p - s) ** 2).sum() for fs, ss in terms for p, f, s in zip(θ, fs, ss)).item()",
                "Error",
            ),
            (
                "def ewc_penalty(θ, terms, λ): return λ / 2 * sum(((f * (p - s)) ** 2).sum() for fs, ss in terms for p, f, s in zip(θ, fs, ss))",
                "if F is squared, too",
            ),
        ],
    ),
    "place_for": (
        [
            """
def place_for(n, size, random):
    if n <= size:
        return n - 1
    place = random.integers(n)
    return place if place < size else None
""",
            """
def place_for(n, size, random):
    if n <= size:
        return n - 1
    if random.random() < size / n:
        return int(random.integers(0, size))
    return None
""",
            "def place_for(n, size, random): return n - 1 if n <= size else dict(enumerate(range(size))).get(int(random.random() * n))",
        ],
        [
            ("def place_for(n, size, random): return (n - 1) % size", "the fourth example"),
            (
                "def place_for(n, size, random): return n - 1 if n <= size else int(random.integers(size))",
                "if every new example is kept",
            ),
            ("def place_for(n, size, random): return n - 1 if n <= size else None", "the fourth example"),
            (
                "def place_for(n, size, random):\n    if n <= size: return n - 1\n    place = random.integers(n + 1)\n"
                "    return place if place < size else None",
                "with a probability of size/(n + 1)",
            ),
            (
                "def place_for(n, size, random):\n    if n < size: return n - 1\n    place = random.integers(n)\n"
                "    return place if place < size else None",
                "the third example",
            ),
            ("def place_for(n, size, random): return n if n <= size else None", "the second example"),
            (
                "def place_for(n, size, random):\n    place = random.integers(n)\n    return place if place < size else None",
                "the second example",
            ),
            ("def place_for(n, size, random): return int(random.integers(n))", "the second example"),
            (
                "def place_for(n, size, random):\n    if n <= size: return n - 1\n    return int(random.integers(n))",
                "there is no place",
            ),
            (
                "def place_for(n, size, random):\n    if n <= size: return n - 1\n"
                "    return (n - 1) % size if random.random() < size / n else None",
                "the fourth example",
            ),
        ],
    ),
}

ANSWERS["20_small"] = {
    "quantize_rows": (
        [
            """
def quantize_rows(W):
    largest = np.abs(W).max(axis=1)
    scales = (np.where(largest > 0, largest, 1) / 127).astype(np.float32)
    return np.rint(W / scales[:, None]).astype(np.int8), scales
""",
            """
def quantize_rows(W):
    W_q, scales = np.empty(W.shape, np.int8), np.empty(len(W), np.float32)
    for i, row in enumerate(W):
        scales[i] = (max(abs(row)) or 1) / 127
        for j, w in enumerate(row):
            W_q[i, j] = round(float(w / scales[i]))
    return W_q, scales
""",
            """
def quantize_rows(W):
    scales = np.max(np.abs(W), axis=-1, keepdims=True) / np.float32(127)
    scales[scales == 0] = np.float32(1 / 127)
    return np.clip(np.round(W / scales), -127, 127).astype("int8"), scales.squeeze(-1)
""",
        ],
        [
            ("def quantize_rows(W): return quantized(W, rows=False)", "with one scale for the whole matrix"),
            (
                "def quantize_rows(W):\n    s = np.abs(W).max(axis=1) / 127\n    return np.rint(W / s[:, None]).astype(np.int8), s",
                "a row of zeros",
            ),
            (
                "def quantize_rows(W):\n    m = np.abs(W).max(axis=1)\n    s = (np.where(m > 0, m, 1) / 127).astype(np.float32)\n"
                "    return (W / s[:, None]).astype(np.int8), s",
                "if fractions are cut off",
            ),
            (
                "def quantize_rows(W):\n    m = np.abs(W).max(axis=1)\n    s = (np.where(m > 0, m, 1) / 127).astype(np.float32)\n"
                "    return np.rint(W / s[:, None]), s",
                "it should be 'int8'",
            ),
            (
                "def quantize_rows(W):\n    m = W.max(axis=1)\n    s = (np.where(m > 0, m, 1) / 127).astype(np.float32)\n"
                "    return np.rint(W / s[:, None]).astype(np.int8), s",
                "two rows",
            ),
            (
                "def quantize_rows(W):\n    m = np.abs(W).max(axis=1)\n    s = (np.where(m > 0, m, 1) / 128).astype(np.float32)\n"
                "    return np.rint(W / s[:, None]).astype(np.int8), s",
                "two rows",
            ),
            (
                "def quantize_rows(W):\n    m = np.abs(W).max(axis=1)\n    s = np.where(m > 0, m, 1) / 127\n"
                "    return np.rint(W / s[:, None]).astype(np.int8), s.astype(np.float64)",
                "float32 should come back",
            ),
            (
                "def quantize_rows(W):\n    m = np.abs(W).max(axis=0)\n    s = (np.where(m > 0, m, 1) / 127).astype(np.float32)\n"
                "    return np.rint(W / s).astype(np.int8), s",
                "the scales has shape (3,)",
            ),
        ],
    ),
    "linear_int8": (
        [
            """
def linear_int8(x, W_q, scales, b):
    low, high = np.minimum(x.min(axis=1, keepdims=True), 0), np.maximum(x.max(axis=1, keepdims=True), 0)
    s = np.where(high > low, (high - low) / 255, 1).astype(np.float32)
    z = np.rint(-low / s)
    x_q = np.clip(np.rint(x / s) + z, 0, 255)
    return (x_q - z).astype(np.float32) @ W_q.astype(np.float32).T * (s * scales) + b
""",
            """
def linear_int8(x, W_q, scales, b):
    rows = []
    for row in x:
        low, high = min(float(row.min()), 0.0), max(float(row.max()), 0.0)
        s = (high - low) / 255 or 1.0
        z = round(-low / s)
        x_q = np.clip(np.round(row / s).astype(np.int64) + z, 0, 255)
        sums = W_q.astype(np.int64) @ x_q - z * W_q.sum(axis=1, dtype=np.int64)
        rows.append(s * scales * sums + b)
    return np.array(rows, np.float32)
""",
        ],
        [
            (  # one range for all rows
                """
def linear_int8(x, W_q, scales, b):
    low, high = min(x.min(), 0), max(x.max(), 0)
    s = np.float32((high - low) / 255) if high > low else np.float32(1)
    z = np.rint(-low / s)
    x_q = np.clip(np.rint(x / s) + z, 0, 255)
    return (x_q - z).astype(np.float32) @ W_q.astype(np.float32).T * (s * scales) + b
""",
                "200 columns",
            ),
            (  # sums of int8
                """
def linear_int8(x, W_q, scales, b):
    low, high = min(x.min(), 0), max(x.max(), 0)
    s = np.float32((high - low) / 255) if high > low else np.float32(1)
    z = np.rint(-low / s)
    whole = np.clip(np.rint(x / s) + z, 0, 255).astype(np.uint8).astype(np.int8)
    return ((whole - np.int8(z)) @ W_q.T * (s * scales) + b).astype(np.float32)
""",
                "one input",
            ),
            (  # sums of int16
                """
def linear_int8(x, W_q, scales, b):
    low, high = min(x.min(), 0), max(x.max(), 0)
    s = np.float32((high - low) / 255) if high > low else np.float32(1)
    z = np.rint(-low / s)
    whole = (np.clip(np.rint(x / s) + z, 0, 255) - z).astype(np.int16)
    return (whole @ W_q.astype(np.int16).T * (s * scales) + b).astype(np.float32)
""",
                "yours is",
            ),
            (  # the zero point stays in
                """
def linear_int8(x, W_q, scales, b):
    low, high = min(x.min(), 0), max(x.max(), 0)
    s = np.float32((high - low) / 255) if high > low else np.float32(1)
    x_q = np.clip(np.rint(x / s) + np.rint(-low / s), 0, 255)
    return (x_q @ W_q.astype(np.float32).T * (s * scales) + b).astype(np.float32)
""",
                "if z stays in the product",
            ),
            (  # 0 is not in the range
                """
def linear_int8(x, W_q, scales, b):
    s = np.float32((x.max() - x.min()) / 255) or np.float32(1)
    z = np.rint(-x.min() / s)
    x_q = np.clip(np.rint(x / s) + z, 0, 255)
    return ((x_q - z) @ W_q.astype(np.float32).T * (s * scales) + b).astype(np.float32)
""",
                "nothing negative",
            ),
            (  # division by 0
                """
def linear_int8(x, W_q, scales, b):
    low, high = min(x.min(), 0), max(x.max(), 0)
    s = np.float32((high - low) / 255)
    z = np.rint(-low / s)
    x_q = np.clip(np.rint(x / s) + z, 0, 255)
    return ((x_q - z) @ W_q.astype(np.float32).T * (s * scales) + b).astype(np.float32)
""",
                "all zeros",
            ),
            ("def linear_int8(x, W_q, scales, b): return x @ (W_q * scales[:, None]).T + b", "nothing negative"),
        ],
    ),
    "prune_mask": (
        [
            """
def prune_mask(W, share):
    order = np.argsort(np.abs(W).reshape(-1))
    mask = np.ones(W.size)
    mask[order[: round(share * W.size)]] = 0
    return mask.reshape(W.shape)
""",
            """
def prune_mask(W, share):
    ranks = np.abs(W).ravel().argsort().argsort().reshape(W.shape)
    return (ranks >= round(share * W.size)).astype(float)
""",
            "def prune_mask(W, share):\n    n = round(share * W.size)\n    edge = np.sort(np.abs(W), axis=None)[n - 1] if n else -1\n    return (np.abs(W) > edge) * 1.0",
        ],
        [
            (
                "def prune_mask(W, share):\n    mask = np.ones(W.size)\n    mask[np.argsort(W.reshape(-1))[: round(share * W.size)]] = 0\n"
                "    return mask.reshape(W.shape)",
                "with signs: -0.6",
            ),
            (
                "def prune_mask(W, share):\n    mask = np.zeros(W.size)\n    mask[np.argsort(np.abs(W).reshape(-1))[: round(share * W.size)]] = 1\n"
                "    return mask.reshape(W.shape)",
                "half of six",
            ),
            (
                "def prune_mask(W, share):\n    mask = np.ones(W.size)\n    mask[np.argsort(np.abs(W).reshape(-1))[: round(share * W.size)]] = 0\n"
                "    return mask",
                "only the shape is not",
            ),
            ("def prune_mask(W, share): return (np.abs(W) > share).astype(float)", "half of six"),
            ("def prune_mask(W, share): return (np.abs(W) > np.quantile(np.abs(W), share)).astype(float)", "nothing"),
            (
                "def prune_mask(W, share):\n    mask = np.ones(W.size)\n    mask[np.argsort(np.abs(W).reshape(-1))[-round((1 - share) * W.size):]] = 0\n"
                "    return mask.reshape(W.shape)",
                "half of six",
            ),
            (
                "def prune_mask(W, share):\n    mask = np.ones(W.size)\n    mask[np.argsort(np.abs(W).reshape(-1))[: round(share * len(W))]] = 0\n"
                "    return mask.reshape(W.shape)",
                "a matrix",
            ),
            ("def prune_mask(W, share):\n    W[np.abs(W) < 0.25] = 0\n    return (W != 0) * 1.0", "in place"),
        ],
    ),
    "soft_loss": (
        [
            """
def soft_loss(z_s, z_t, T):
    log_p, log_q = F.log_softmax(z_t / T, dim=-1), F.log_softmax(z_s / T, dim=-1)
    return T**2 * (log_p.exp() * (log_p - log_q)).sum(-1).mean()
""",
            """
def soft_loss(z_s, z_t, T):
    p = (z_t / T).softmax(-1)
    entropy = -(p * F.log_softmax(z_t / T, dim=-1)).sum()
    cross = -(p * F.log_softmax(z_s / T, dim=-1)).sum()
    return (cross - entropy) * T * T / z_s.shape[0]
""",
        ],
        [
            (
                "def soft_loss(z_s, z_t, T):\n    p, q = F.log_softmax(z_t / T, dim=-1), F.log_softmax(z_s / T, dim=-1)\n"
                "    return (p.exp() * (p - q)).sum(-1).mean()",
                "what you get without T²",
            ),
            (
                "def soft_loss(z_s, z_t, T):\n    p, q = F.log_softmax(z_t / T, dim=-1), F.log_softmax(z_s / T, dim=-1)\n"
                "    return T**2 * (p.exp() * (p - q)).mean()",
                "with a mean over the classes, too",
            ),
            (
                "def soft_loss(z_s, z_t, T):\n    p, q = F.log_softmax(z_t / T, dim=-1), F.log_softmax(z_s / T, dim=-1)\n"
                "    return T**2 * (q.exp() * (q - p)).sum(-1).mean()",
                "two examples",
            ),
            (
                "def soft_loss(z_s, z_t, T):\n    p, q = F.log_softmax(z_t, dim=-1), F.log_softmax(z_s / T, dim=-1)\n"
                "    return T**2 * (p.exp() * (p - q)).sum(-1).mean()",
                "two examples",
            ),
            (
                "def soft_loss(z_s, z_t, T):\n    p, q = F.log_softmax(z_t / T, dim=-1), F.log_softmax(z_s / T, dim=-1)\n"
                "    return -T**2 * (p.exp() * q).sum(-1).mean()",
                "as a cross entropy",
            ),
            (
                "def soft_loss(z_s, z_t, T):\n    p, q = (z_t / T).softmax(-1), (z_s / T).softmax(-1)\n"
                "    return T**2 * (p * (p.log() - q.log())).sum(-1).mean()",
                "huge logits",
            ),
            (
                "def soft_loss(z_s, z_t, T):\n    p, q = F.log_softmax(z_t / T, dim=0), F.log_softmax(z_s / T, dim=0)\n"
                "    return T**2 * (p.exp() * (p - q)).sum(-1).mean()",
                "two examples",
            ),
        ],
    ),
}

ANSWERS["21_explained"] = {
    "integrated_gradients": (
        [
            """
def integrated_gradients(f, x, baseline, steps):
    total = 0
    for k in range(steps):
        point = (baseline + (k + 0.5) / steps * (x - baseline)).detach().requires_grad_()
        (g,) = minitorch.autograd.grad(f(point[None]).sum(), point)
        total = total + g
    return (x - baseline) * total / steps
""",
            """
def integrated_gradients(f, x, baseline, steps):
    x, x0 = x.detach().numpy(), baseline.detach().numpy()
    t = ((np.arange(steps) + 0.5) / steps).reshape(-1, *[1] * x.ndim).astype(x.dtype)
    points = minitorch.tensor(x0 + t * (x - x0), requires_grad=True)
    f(points).sum().backward()
    return (x - x0) * points.grad.numpy().mean(axis=0)
""",
        ],
        [
            (  # left ends
                """
def integrated_gradients(f, x, baseline, steps):
    total = 0
    for k in range(steps):
        point = (baseline + k / steps * (x - baseline)).detach().requires_grad_()
        total = total + minitorch.autograd.grad(f(point[None]).sum(), point)[0]
    return (x - baseline) * total / steps
""",
                "at the left ends of the steps",
            ),
            (  # right ends
                """
def integrated_gradients(f, x, baseline, steps):
    total = 0
    for k in range(1, steps + 1):
        point = (baseline + k / steps * (x - baseline)).detach().requires_grad_()
        total = total + minitorch.autograd.grad(f(point[None]).sum(), point)[0]
    return (x - baseline) * total / steps
""",
                "at the right ends of the steps",
            ),
            (  # x in place of x - x'
                """
def integrated_gradients(f, x, baseline, steps):
    total = 0
    for k in range(steps):
        point = (baseline + (k + 0.5) / steps * (x - baseline)).detach().requires_grad_()
        total = total + minitorch.autograd.grad(f(point[None]).sum(), point)[0]
    return x * total / steps
""",
                "from (1, -1)",
            ),
            (  # the way forgets the baseline
                """
def integrated_gradients(f, x, baseline, steps):
    total = 0
    for k in range(steps):
        point = ((k + 0.5) / steps * x).detach().requires_grad_()
        total = total + minitorch.autograd.grad(f(point[None]).sum(), point)[0]
    return (x - baseline) * total / steps
""",
                "from (1, -1)",
            ),
            (  # gradient × input
                """
def integrated_gradients(f, x, baseline, steps):
    point = x.detach().requires_grad_()
    return (x - baseline) * minitorch.autograd.grad(f(point[None]).sum(), point)[0]
""",
                "yours is 36, it should be 11.88",
            ),
            (  # no mean
                """
def integrated_gradients(f, x, baseline, steps):
    total = 0
    for k in range(steps):
        point = (baseline + (k + 0.5) / steps * (x - baseline)).detach().requires_grad_()
        total = total + minitorch.autograd.grad(f(point[None]).sum(), point)[0]
    return (x - baseline) * total
""",
                "5 times what they should be",
            ),
            (  # no difference in front
                """
def integrated_gradients(f, x, baseline, steps):
    total = 0
    for k in range(steps):
        point = (baseline + (k + 0.5) / steps * (x - baseline)).detach().requires_grad_()
        total = total + minitorch.autograd.grad(f(point[None]).sum(), point)[0]
    return total / steps
""",
                "5 steps",
            ),
        ],
    ),
    "rank_correlation": (
        [
            """
def rank_correlation(a, b):
    def ranks(x):
        return (x[:, None] > x).sum(1) + (x[:, None] == x).sum(1) / 2
    r, s = ranks(a), ranks(b)
    if np.ptp(r) == 0 or np.ptp(s) == 0:
        return np.nan
    return np.corrcoef(r, s)[0, 1]
""",
            """
def rank_correlation(a, b):
    from scipy.stats import rankdata
    r, s = (rankdata(x) - (len(x) + 1) / 2 for x in (a, b))
    size = ((r @ r) * (s @ s)) ** 0.5
    return float(r @ s / size) if size else float("nan")
""",
        ],
        [
            ("def rank_correlation(a, b): return np.corrcoef(a, b)[0, 1]", "the same order"),
            ("def rank_correlation(a, b): return np.corrcoef(np.argsort(a), np.argsort(b))[0, 1]", "the opposite order"),
            (
                "def rank_correlation(a, b): return np.corrcoef(np.argsort(np.argsort(a)), np.argsort(np.argsort(b)))[0, 1]",
                "if the first of them ranks lower",
            ),
            (
                "def rank_correlation(a, b):\n    r, s = ((x[:, None] > x).sum(1) for x in (a, b))\n    return np.corrcoef(r, s)[0, 1]",
                "thirty numbers",
            ),
            (
                "def rank_correlation(a, b):\n    d = np.argsort(np.argsort(a)) - np.argsort(np.argsort(b))\n    n = len(a)\n"
                "    return 1 - 6 * (d * d).sum() / (n * (n * n - 1))",
                "equal numbers",
            ),
            (
                "def rank_correlation(a, b):\n    r, s = ((x[:, None] > x).sum(1) + (x[:, None] == x).sum(1) / 2 for x in (a, b))\n"
                "    r, s = r - r.mean(), s - s.mean()\n    return (r * s).sum() / max((r * r).sum() ** 0.5 * (s * s).sum() ** 0.5, 1e-9)",
                "all equal",
            ),
        ],
    ),
    "counterfactual": (
        [
            r"""
def counterfactual(text, a, b):
    table = {a: b, b: a}
    def other(found):
        new = table[found[0].lower()]
        return new.capitalize() if found[0][0].isupper() else new
    return re.sub(rf"\b({a}|{b})\b", other, text, flags=re.IGNORECASE)
""",
            r"""
def counterfactual(text, a, b):
    parts = re.split(r"(\W+)", text)
    for i, part in enumerate(parts):
        for old, new in ((a, b), (b, a)):
            if part.lower() == old:
                parts[i] = new[0].upper() + new[1:] if part[0].isupper() else new
                break
    return "".join(parts)
""",
        ],
        [
            ("def counterfactual(text, a, b): return text.replace(a, b)", "both"),
            ("def counterfactual(text, a, b): return text.replace(a, b).replace(b, a)", "by two replacements in turn"),
            (
                "def counterfactual(text, a, b): return text.replace(a, '~').replace(b, a).replace('~', b)",
                "words that hold the word",
            ),
            (
                "def counterfactual(text, a, b): return ' '.join({a: b, b: a}.get(word, word) for word in text.split())",
                "at a comma and in brackets",
            ),
            (
                r"def counterfactual(text, a, b): return re.sub(rf'\b({a}|{b})\b', lambda m: b if m[0] == a else a, text)",
                "capitals",
            ),
            (
                "def counterfactual(text, a, b):\n"
                r"    return re.sub(rf'\b({a}|{b})\b', lambda m: {a: b, b: a}[m[0].lower()], text, flags=re.IGNORECASE)",
                "capitals",
            ),
            (
                r"def counterfactual(text, a, b): return re.sub(rf'\b{b}\b', a, re.sub(rf'\b{a}\b', b, text))",
                "one of the two",
            ),
        ],
    ),
    "attack": (
        [
            """
def attack(p_right, words, options):
    before = p_right(words)
    falls = [before - p_right(words[:i] + words[i + 1:]) for i in range(len(words))]
    new, p = list(words), before
    for i in np.argsort(falls)[::-1]:
        tried = [(p_right(new[:i] + [option] + new[i + 1:]), option) for option in options.get(words[i], [])]
        if tried and min(tried)[0] < p:
            p, new[i] = min(tried)
        if p < 0.5:
            return new
    return words
""",
            """
def attack(p_right, words, options):
    def without(i):
        return p_right([word for k, word in enumerate(words) if k != i])
    present, p = words[:], p_right(words)
    for i in sorted(range(len(words)), key=without):
        for option in options.get(words[i], ()):
            trial = present[:]
            trial[i] = option
            q = p_right(trial)
            if q < p:
                present, p = trial, q
        if p < 0.5:
            return present
    return list(words)
""",
        ],
        [
            (  # goes on after the flip
                """
def attack(p_right, words, options):
    falls = [-p_right(words[:i] + words[i + 1:]) for i in range(len(words))]
    new, p = list(words), p_right(words)
    for i in np.argsort(falls)[::-1]:
        for option in options.get(words[i], []):
            q = p_right(new[:i] + [option] + new[i + 1:])
            if q < p:
                p, new[i] = q, option
    return new if p < 0.5 else words
""",
                "if it goes on after the answer has flipped",
            ),
            (  # from left to right
                """
def attack(p_right, words, options):
    new, p = list(words), p_right(words)
    for i in range(len(words)):
        for option in options.get(words[i], []):
            q = p_right(new[:i] + [option] + new[i + 1:])
            if q < p:
                p, new[i] = q, option
        if p < 0.5:
            return new
    return words
""",
                "the most important first",
            ),
            (  # keeps what it tried last
                """
def attack(p_right, words, options):
    falls = [-p_right(words[:i] + words[i + 1:]) for i in range(len(words))]
    new = list(words)
    for i in np.argsort(falls)[::-1]:
        tried = [(p_right(new[:i] + [option] + new[i + 1:]), option) for option in options.get(words[i], [])]
        if tried:
            new[i] = min(tried)[1]
        if p_right(new) < 0.5:
            return new
    return words
""",
                "an option that would help the model",
            ),
            (  # does not give the words back
                """
def attack(p_right, words, options):
    falls = [-p_right(words[:i] + words[i + 1:]) for i in range(len(words))]
    new, p = list(words), p_right(words)
    for i in np.argsort(falls)[::-1]:
        tried = [(p_right(new[:i] + [option] + new[i + 1:]), option) for option in options.get(words[i], [])]
        if tried and min(tried)[0] < p:
            p, new[i] = min(tried)
        if p < 0.5:
            break
    return new
""",
                "it holds",
            ),
            (  # each option in the text as it was
                """
def attack(p_right, words, options):
    falls = [-p_right(words[:i] + words[i + 1:]) for i in range(len(words))]
    for i in np.argsort(falls)[::-1]:
        tried = [(p_right(words[:i] + [option] + words[i + 1:]), option) for option in options.get(words[i], [])]
        if tried and min(tried)[0] < 0.5:
            return words[:i] + [min(tried)[1]] + words[i + 1:]
    return words
""",
                "two changes",
            ),
            (  # changes the caller's list
                """
def attack(p_right, words, options):
    falls = [-p_right(words[:i] + words[i + 1:]) for i in range(len(words))]
    p = p_right(words)
    for i in np.argsort(falls)[::-1]:
        for option in options.get(words[i], []):
            old, words[i] = words[i], option
            if p_right(words) < p:
                p = p_right(words)
            else:
                words[i] = old
        if p < 0.5:
            return words
    return words
""",
                "Make a new list",
            ),
            (  # the least important first
                """
def attack(p_right, words, options):
    falls = [p_right(words[:i] + words[i + 1:]) for i in range(len(words))]
    new, p = list(words), p_right(words)
    for i in np.argsort(falls)[::-1]:
        tried = [(p_right(new[:i] + [option] + new[i + 1:]), option) for option in options.get(words[i], [])]
        if tried and min(tried)[0] < p:
            p, new[i] = min(tried)
        if p < 0.5:
            return new
    return words
""",
                "it stops in time",
            ),
            (  # the first option, whatever the others do
                """
def attack(p_right, words, options):
    falls = [-p_right(words[:i] + words[i + 1:]) for i in range(len(words))]
    new, p = list(words), p_right(words)
    for i in np.argsort(falls)[::-1]:
        for option in options.get(words[i], [])[:1]:
            q = p_right(new[:i] + [option] + new[i + 1:])
            if q < p:
                p, new[i] = q, option
        if p < 0.5:
            return new
    return words
""",
                "one change",
            ),
        ],
    ),
}

ANSWERS["22_many"] = {
    "mean_gradient": (
        [
            "def mean_gradient(total, n, all_reduce): return all_reduce(total) / all_reduce(n)",
            """
def mean_gradient(total, n, all_reduce):
    both = all_reduce(np.concatenate([total, [n]]))
    return both[:-1] / both[-1]
""",
            """
def mean_gradient(total, n, all_reduce):
    everybody = all_reduce(np.array([float(n)]))[0]
    return all_reduce(total / everybody)
""",
        ],
        [
            ("def mean_gradient(total, n, all_reduce): return all_reduce(total / n) / all_reduce(1)", "as a mean of means"),
            ("def mean_gradient(total, n, all_reduce): return all_reduce(total) / n", "if each divides by its own n"),
            ("def mean_gradient(total, n, all_reduce): return all_reduce(total) / all_reduce(1)", "three rows and one"),
            ("def mean_gradient(total, n, all_reduce): return all_reduce(total)", "three rows and one"),
            ("def mean_gradient(total, n, all_reduce): return total / n", "three rows and one"),
            (
                "def mean_gradient(total, n, all_reduce):\n    N = all_reduce(n)\n    return all_reduce(total / n * (n / N))",
                "There is a NaN",
            ),
            (
                "def mean_gradient(total, n, all_reduce):\n    if n == 0:\n        return total\n    return all_reduce(total) / all_reduce(n)",
                "Stuck: nothing is on its way: rank 0 waits for rank 1",
            ),
        ],
    ),
    "ring_all_reduce": (
        [
            """
def ring_all_reduce(x, me):
    n, r = me.size, me.rank
    chunks = np.array_split(x.copy(), n)
    for k in range(n - 1):
        me.send((r + 1) % n, chunks[(r - k) % n])
        chunks[(r - k - 1) % n] += me.receive((r - 1) % n)
    for k in range(n - 1):
        me.send((r + 1) % n, chunks[(r + 1 - k) % n])
        chunks[(r - k) % n][...] = me.receive((r - 1) % n)
    return np.concatenate(chunks)
""",
            """
def ring_all_reduce(x, me):
    n, total = me.size, np.array(x)
    edges = [len(x) * i // n for i in range(n + 1)]
    part = lambda i: slice(edges[i % n], edges[i % n + 1])
    for step in range(2 * n - 2):
        i = me.rank - step if step < n - 1 else me.rank - step + n
        me.send((me.rank + 1) % n, total[part(i)])
        got = me.receive((me.rank + n - 1) % n)
        total[part(i - 1)] = total[part(i - 1)] + got if step < n - 1 else got
    return total
""",
        ],
        [
            ("def ring_all_reduce(x, me): return through_rank_0(x, me)", "numbers that the busiest rank sends"),
            (  # the whole array goes round
                """
def ring_all_reduce(x, me):
    total, moving = x, x
    for _ in range(me.size - 1):
        me.send((me.rank + 1) % me.size, moving)
        moving = me.receive((me.rank - 1) % me.size)
        total = total + moving
    return total
""",
                "numbers that the busiest rank sends: yours is 12, it should be 8",
            ),
            (  # no second round
                """
def ring_all_reduce(x, me):
    n, r = me.size, me.rank
    chunks = np.array_split(x.copy(), n)
    for k in range(n - 1):
        me.send((r + 1) % n, chunks[(r - k) % n])
        chunks[(r - k - 1) % n] += me.receive((r - 1) % n)
    return np.concatenate(chunks)
""",
                "the sums",
            ),
            (  # all receive first
                """
def ring_all_reduce(x, me):
    n, r = me.size, me.rank
    chunks = np.array_split(x.copy(), n)
    for k in range(n - 1):
        chunks[(r - k - 1) % n] += me.receive((r - 1) % n)
        me.send((r + 1) % n, chunks[(r - k) % n])
    return np.concatenate(chunks)
""",
                "Stuck: nothing is on its way",
            ),
            (  # the second round adds, too
                """
def ring_all_reduce(x, me):
    n, r = me.size, me.rank
    chunks = np.array_split(x.copy(), n)
    for k in range(2 * (n - 1)):
        me.send((r + 1) % n, chunks[(r - k) % n])
        chunks[(r - k - 1) % n] += me.receive((r - 1) % n)
    return np.concatenate(chunks)
""",
                "the sums",
            ),
            (  # the second round starts from the wrong chunk
                """
def ring_all_reduce(x, me):
    n, r = me.size, me.rank
    chunks = np.array_split(x.copy(), n)
    for k in range(n - 1):
        me.send((r + 1) % n, chunks[(r - k) % n])
        chunks[(r - k - 1) % n] += me.receive((r - 1) % n)
    for k in range(n - 1):
        me.send((r + 1) % n, chunks[(r - k) % n])
        chunks[(r - k - 1) % n] = me.receive((r - 1) % n)
    return np.concatenate(chunks)
""",
                "the sums",
            ),
            (  # chunks of n // size
                """
def ring_all_reduce(x, me):
    n, r, step = me.size, me.rank, len(x) // me.size
    x = x.copy()
    part = lambda i: slice((i % n) * step, (i % n + 1) * step)
    for k in range(n - 1):
        me.send((r + 1) % n, x[part(r - k)])
        x[part(r - k - 1)] += me.receive((r - 1) % n)
    for k in range(n - 1):
        me.send((r + 1) % n, x[part(r + 1 - k)])
        x[part(r - k)] = me.receive((r - 1) % n)
    return x
""",
                "four ranks, ten numbers",
            ),
            (  # the last rank has no neighbour
                """
def ring_all_reduce(x, me):
    me.send(me.rank + 1, x)
    return x + me.receive(me.rank - 1)
""",
                "there are only the ranks 0 to 1",
            ),
        ],
    ),
    "ring_seconds": (
        [
            "def ring_seconds(n, size, latency, bandwidth): return 2 * (n - 1) * latency + 2 * (n - 1) / n * size / bandwidth",
            """
def ring_seconds(n, size, latency, bandwidth):
    total = 0.0
    for _ in range(2):
        for _ in range(n - 1):
            total += latency + size / (n * bandwidth)
    return total
""",
        ],
        [
            (
                "def ring_seconds(n, size, latency, bandwidth): return 2 * (n - 1) * (latency + size / bandwidth)",
                "if each message is the whole array",
            ),
            ("def ring_seconds(n, size, latency, bandwidth): return (n - 1) * (latency + size / n / bandwidth)", "0.5 times"),
            ("def ring_seconds(n, size, latency, bandwidth): return 2 * n * (latency + size / n / bandwidth)", "four ranks"),
            (
                "def ring_seconds(n, size, latency, bandwidth): return 2 * (n - 1) * (latency + size / n * bandwidth)",
                "four ranks",
            ),
            ("def ring_seconds(n, size, latency, bandwidth): return latency + 2 * (n - 1) * size / n / bandwidth", "four ranks"),
        ],
    ),
    "last_arrival": (
        [
            """
def last_arrival(ready, seconds):
    t = 0
    for r, s in zip(ready, seconds):
        t = max(t, r) + s
    return t
""",
            "def last_arrival(ready, seconds): return max(ready[k] + sum(seconds[k:]) for k in range(len(ready)))",
            """
def last_arrival(ready, seconds):
    if not len(ready):
        return 0.0
    before = last_arrival(ready[:-1], seconds[:-1])
    return (before if before > ready[-1] else ready[-1]) + seconds[-1]
""",
        ],
        [
            ("def last_arrival(ready, seconds): return ready[-1] + sum(seconds)", "without overlap"),
            ("def last_arrival(ready, seconds): return ready[-1] + seconds[-1]", "a slow network"),
            (
                "def last_arrival(ready, seconds): return max(r + s for r, s in zip(ready, seconds))",
                "if buckets do not wait for each other",
            ),
            ("def last_arrival(ready, seconds): return ready[0] + sum(seconds)", "a fast network"),
            ("def last_arrival(ready, seconds): return max(ready[-1], sum(seconds))", "no overlap"),
        ],
    ),
}
