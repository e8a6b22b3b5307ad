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
            ("def may_answer(setting, own, task, seen): return own[task]", "class, after two of three tasks"),
            (
                "def may_answer(setting, own, task, seen):\n    if setting == 'task': return own[task]\n"
                "    return np.tile(own.any(axis=0), (len(task), 1))",
                "class, after two of three tasks",
            ),
            (
                "def may_answer(setting, own, task, seen):\n    if setting == 'task': return own[task]\n"
                "    return np.tile(own[: seen + 1].any(axis=0), (len(task), 1))",
                "class, after two of three tasks",
            ),
            (
                "def may_answer(setting, own, task, seen):\n    if setting == 'task': return own[task]\n"
                "    return np.tile(own[seen - 1], (len(task), 1))",
                "class, after two of three tasks",
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
                "two points",
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
                "two points",
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
                "two old tasks",
            ),
            (
                "def ewc_penalty(θ, terms, λ):\n    fs, ss = terms[0]\n"
                "    return λ / 2 * sum((f * (p - s) ** 2).sum() for p, f, s in zip(θ, fs, ss))",
                "two old tasks",
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
                "the penalty",
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
            ("def place_for(n, size, random): return n - 1 if n <= size else int(random.integers(size))", "the fourth example"),
            ("def place_for(n, size, random): return n - 1 if n <= size else None", "the fourth example"),
            (
                "def place_for(n, size, random):\n    if n <= size: return n - 1\n    place = random.integers(n + 1)\n"
                "    return place if place < size else None",
                "the fourth example",
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
