"""More answers to the lessons' exercises, in the form of lesson_answers.py: other styles of right ones, other slips."""

MORE: dict[str, dict[str, tuple[list[str], list[tuple[str, str]]]]] = {}

MORE["01_slopes"] = {
    "quotient": (
        [
            "def quotient(a, b):\n    return np.array([a / b, 1 / b, -a * b**-2])".replace("np.", "__import__('numpy')."),
            """
def quotient(a, b):
    value = math.exp(math.log(abs(a)) - math.log(abs(b))) * math.copysign(1, a * b)
    return value, central_difference(lambda t: t / b, a), central_difference(lambda t: a / t, b)
""",
            """
def quotient(a, b):
    a, inverse = Value(a), Value(1 / b)
    y = a * inverse
    backward(y)
    return y.value, a.grad, inverse.grad * -1 / b**2
""",
        ],
        [
            ("def quotient(a, b): return a / b, 1 / b, -a / b", "slope of b"),
            ("def quotient(a, b): return a / b, -a / b**2, 1 / b", "slope of a"),
            ("def quotient(a, b): return a // b, 1 / b, -a / b**2", "a/b: yours is -1"),
            ("def quotient(a, b): print(a / b, 1 / b, -a / b**2)", "is a `return` missing?"),
            ("def quotient(a, b): return {'y': a / b, 'a': 1 / b, 'b': -a / b**2}", "3 things should come back"),
        ],
    ),
    "sigmoid": (
        [
            "def sigmoid(x):\n    e = math.exp(x)\n    return [e / (1 + e), e / (1 + e) ** 2]",
            "def sigmoid(x):\n    t = math.tanh(x / 2)\n    return (1 + t) / 2, (1 - t * t) / 4",
        ],
        [
            ("def sigmoid(x):\n    s = 1 / (1 + math.exp(x))\n    return s, s * (1 - s)", "s: yours is 0.119203"),
            ("def sigmoid(x):\n    s = 1 / (1 + math.exp(-x))\n    return s, 1 - s * s", "slope: yours is 0.75"),
            ("def sigmoid(x): return 1 / (1 + math.exp(-x))", "2 things should come back"),
            ("def sigmoid(x):\n    s = 1 / (1 + math.e ^ -x)\n    return s, s * (1 - s)", "TypeError"),
        ],
    ),
    "neuron_loss": (
        [
            """
def neuron_loss(w, b, x, target):
    def loss(w, b):
        return (math.tanh(w * x + b) - target) ** 2
    return loss(w, b), central_difference(lambda t: loss(t, b), w), central_difference(lambda t: loss(w, t), b)
""",
            """
def neuron_loss(w, b, x, target):
    w, b = (minitorch.tensor(v, dtype=minitorch.float64, requires_grad=True) for v in (w, b))
    L = ((w * x + b).tanh() - target) ** 2
    return L.item(), *minitorch.autograd.grad(L, (w, b))
""",
        ],
        [
            (
                "def neuron_loss(w, b, x, target):\n    y = math.tanh(w * x + b)\n    d = 2 * (y - target)\n"
                "    return (y - target) ** 2, d * x, d",
                "dL/dw: yours is -1.58253",
            ),
            (
                "def neuron_loss(w, b, x, target):\n    y = math.tanh(w * x + b)\n    d = 2 * (y - target) * (1 - y * y)\n"
                "    return (y - target) ** 2, d, d",
                "(L, dL/db: right)",
            ),
            (
                "def neuron_loss(w, b, x, target):\n    y = math.tanh(w * x + b)\n    d = 2 * (target - y) * (1 - y * y)\n"
                "    return (y - target) ** 2, d * x, d",
                "wrong sign",
            ),
        ],
    ),
}

MORE["02_arrays"] = {
    "broadcast_shape": (
        [
            """
def broadcast_shape(a, b):
    return (np.empty(a) + np.empty(b)).shape
""",
            """
def broadcast_shape(a, b):
    a, b, shape = list(a), list(b), []
    while a or b:
        i, j = a.pop() if a else 1, b.pop() if b else 1
        if i == 1:
            shape.insert(0, j)
        elif j in (1, i):
            shape.insert(0, i)
        else:
            raise ValueError(f'{i} and {j} do not fit')
    return shape
""",
        ],
        [
            (
                "def broadcast_shape(a, b):\n    n = max(len(a), len(b))\n    a, b = a + (1,) * (n - len(a)), b + (1,) * (n - len(b))\n"
                "    return tuple(j if i == 1 else i for i, j in zip(a, b))",
                "a column and a row",
            ),
            ("def broadcast_shape(a, b): return (minitorch.zeros(*a) + minitorch.zeros(*b)).shape", "RuntimeError"),
            ("def broadcast_shape(a, b): return a if len(a) > len(b) else b", "it should be 100"),
        ],
    ),
    "undo_broadcast": (
        [
            """
def undo_broadcast(g, shape):
    front = g.ndim - len(shape)
    axes = [*range(front), *(front + i for i, n in enumerate(shape) if n == 1)]
    return g.sum(axis=tuple(axes)).reshape(shape)
""",
            """
def undo_broadcast(g, shape):
    x = minitorch.zeros(*shape, dtype=minitorch.float64) if shape else minitorch.tensor(0.0, dtype=minitorch.float64)
    x.requires_grad_()
    (x + minitorch.zeros(*g.shape, dtype=minitorch.float64)).backward(minitorch.tensor(g))
    return x.grad
""",
        ],
        [
            (
                "def undo_broadcast(g, shape):\n    while g.ndim > len(shape):\n        g = g.mean(axis=0)\n"
                "    for i, n in enumerate(shape):\n        if n == 1:\n            g = g.mean(axis=i, keepdims=True)\n    return g",
                "0.25 times what they should be",
            ),
            (
                "def undo_broadcast(g, shape):\n    while g.ndim > len(shape):\n        g = g.sum(axis=-1)\n    return g",
                "has shape (4,), it should have (3,)",
            ),
            (
                "def undo_broadcast(g, shape):\n    while g.ndim > len(shape):\n        g = g.sum(axis=0)\n"
                "    for i, n in enumerate(shape):\n        if n == 1:\n            g = g.sum(axis=i)\n    return g",
                "only the shape is not",
            ),
            ("def undo_broadcast(g, shape): return np.resize(g, shape)", "a row, repeated downwards"),
        ],
    ),
    "row_major_strides": (
        [
            "def row_major_strides(shape): return np.array(np.empty(shape, dtype=np.int8).strides)",
            "def row_major_strides(shape): return [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]",
            "def row_major_strides(shape):\n    return np.append(np.cumprod(shape[:0:-1])[::-1], 1).astype(int)",
        ],
        [
            ("def row_major_strides(shape): return np.empty(shape).strides", "8"),
            (
                "def row_major_strides(shape):\n    s = [1]\n    for n in shape[:0:-1]:\n        s.append(s[-1] * n)\n    return tuple(s)",
                "in reverse order",
            ),
            ("def row_major_strides(shape): return tuple(shape[i] for i in range(len(shape)))", "a line"),
        ],
    ),
}

MORE["03_engine"] = {
    "accumulate": (
        [
            """
def accumulate(contributions):
    first, *others = contributions
    if not others:
        return first, 0
    total = first + others[0]
    for g in others[1:]:
        np.add(total, g, out=total)
    return total, 1
""",
            """
def accumulate(contributions):
    total, ours, made = contributions[0], False, 0
    for g in contributions[1:]:
        if ours:
            total += g
        else:
            total = total.copy()
            total += g
            ours, made = True, made + 1
    return [total, made]
""",
        ],
        [
            (
                "def accumulate(contributions):\n    total = contributions[0].copy()\n    for g in contributions[1:]:\n"
                "        total += g\n    return total, 1",
                "arrays made: yours is 1, it should be 0",
            ),
            ("def accumulate(contributions): return np.sum(contributions), 1", "sum has shape ()"),
            ("def accumulate(contributions): return sum(contributions[1:], contributions[0])", "2 things should come back"),
            (
                "def accumulate(contributions):\n    total = contributions.pop(0)\n    made = 0\n    for g in contributions:\n"
                "        total, made = total + g, 1\n    return total, made",
                "Make a new list",
            ),
        ],
    ),
    "softplus": (
        [
            """
def softplus(x):
    xp = array_module(x)
    s = 1 / (1 + xp.exp(-x))
    return -xp.log(1 - s), lambda g: s * g
""",
            """
def softplus(x):
    xp = array_module(x)
    e = xp.exp(-x)

    def pullback(g):
        return g / (e + 1)

    return x + xp.log(1 + e), pullback
""",
        ],
        [
            (
                "def softplus(x):\n    xp = array_module(x)\n    return xp.log(1 + xp.exp(x)), lambda g: 1 / (1 + xp.exp(-x))",
                "gradient at",
            ),
            (
                "def softplus(x):\n    xp = array_module(x)\n    return xp.log(1 + xp.exp(x)), lambda g: g * xp.exp(x) / 1 + xp.exp(x)",
                "gradient",
            ),
            ("def softplus(x):\n    xp = array_module(x)\n    return xp.log(1 + xp.exp(x))", "Error"),
            (
                "def softplus(x):\n    xp = array_module(x)\n    values = getattr(x, 'array', x)\n"
                "    return xp.log(1 + xp.exp(x)), lambda g: g * (1 / (1 + np.exp(-values)))",
                "(value, gradient: right)",
            ),
        ],
    ),
    "newton_step": (
        [
            """
def newton_step(f, x):
    t = minitorch.tensor(float(x), dtype=minitorch.float64).requires_grad_()
    first = minitorch.autograd.grad(f(t), t, create_graph=True)[0]
    second = minitorch.autograd.grad(first, t)[0]
    return t - first / second
""",
            """
def newton_step(f, x):
    t = minitorch.tensor(x, dtype=minitorch.float64, requires_grad=True)
    f(t).backward(create_graph=True)
    first = t.grad
    t.grad = None
    first.backward()
    return x - first.item() / t.grad.item()
""",
        ],
        [
            (
                "def newton_step(f, x):\n    t = minitorch.tensor(x, dtype=minitorch.float64, requires_grad=True)\n"
                "    (g,) = minitorch.autograd.grad(f(t), t)\n    return x - f(t).item() / g.item()",
                "yours is 6.5, it should be 3",
            ),
            (
                "def newton_step(f, x):\n    t = minitorch.tensor(x, dtype=minitorch.float64, requires_grad=True)\n"
                "    (g,) = minitorch.autograd.grad(f(t), t, create_graph=True)\n    (h,) = minitorch.autograd.grad(g, t)\n"
                "    return x - (h / g).item()",
                "a parabola",
            ),
        ],
    ),
}

MORE["04_linear_regression"] = {
    "steps_needed": (
        [
            """
def steps_needed(curvatures, lr, share):
    factor = np.abs(1 - lr * curvatures).max()
    if factor >= 1:
        return math.inf
    n, left = 0, 1.0
    while left > share:
        n, left = n + 1, left * factor
    return n
""",
            """
def steps_needed(curvatures, lr, share):
    f = max(abs(1 - lr * float(c)) for c in curvatures)
    return math.inf if f >= 1 else 1 if f == 0 else math.ceil(math.log(share) / math.log(f))
""",
            """
def steps_needed(curvatures, lr, share):
    f = np.maximum(np.abs(1 - lr * curvatures), 1e-300)
    return np.where(f < 1, np.ceil(np.log(share) / np.log(np.minimum(f, 0.9999999))), np.inf).max()
""",
        ],
        [
            (
                "def steps_needed(curvatures, lr, share):\n    f = np.abs(1 - lr * curvatures).min()\n"
                "    return math.ceil(math.log(share) / math.log(f))",
                "the flattest is the slowest",
            ),
            (
                "def steps_needed(curvatures, lr, share):\n    f = np.abs(1 - lr * curvatures).max()\n"
                "    return math.inf if f >= 1 else int(math.log(share) / math.log(f))",
                "yours is 43, it should be 44, off by 1",
            ),
            (
                "def steps_needed(curvatures, lr, share):\n    f = (1 - lr * curvatures).max()\n"
                "    return math.ceil(math.log(share) / math.log(f))",
                "the steepest is the slowest",
            ),
            (
                "def steps_needed(curvatures, lr, share):\n    f = np.abs(1 - lr * curvatures).max()\n"
                "    return math.ceil(math.log(share) / math.log(f))",
                "it explodes",
            ),
            (
                "def steps_needed(curvatures, lr, share):\n    f = np.abs(1 - lr * curvatures).max()\n"
                "    return math.inf if f >= 1 else math.ceil(math.log(share) / math.log(f))",
                "at the bottom after one step",
            ),
        ],
    ),
    "standardise": (
        [
            """
def standardise(train, new):
    scaler = StandardScaler().fit(train)
    return [scaler.transform(train), scaler.transform(new)]
""",
            """
def standardise(train, new):
    n = len(train)
    mean = train.sum(axis=0) / n
    deviation = np.sqrt(((train - mean) ** 2).sum(axis=0) / n)
    return tuple((x - mean) / deviation for x in (train, new))
""",
        ],
        [
            (
                "def standardise(train, new):\n    m, s = train.mean(axis=0), train.std(axis=0, ddof=1)\n    return (train - m) / s, (new - m) / s",
                "0.707107 times",
            ),
            (
                "def standardise(train, new):\n    m, s = train.mean(axis=0), (train.max(axis=0) - train.min(axis=0)) / 2\n"
                "    return (train - m) / s, (new - m) / s",
                "eight rows",
            ),
            (
                "def standardise(train, new):\n    m, s = np.median(train, axis=0), train.std(axis=0)\n"
                "    return (train - m) / s, (new - m) / s",
                "eight rows",
            ),
            (
                "def standardise(train, new):\n    m, s = train.mean(axis=1), train.std(axis=1)\n    return (train - m) / s, (new - m) / s",
                "train at [",
            ),
            (
                "def standardise(train, new):\n    m, s = train.mean(axis=0), train.std(axis=0)\n    train -= m\n    train /= s\n"
                "    return train, (new - m) / s",
                "in place",
            ),
            (
                "def standardise(train, new):\n    m, s = train.mean(axis=0), train.var(axis=0)\n    return (train - m) / s, (new - m) / s",
                "train at [",
            ),
        ],
    ),
    "momentum_step": (
        ["def momentum_step(p, g, velocity, lr, mu):\n    v = g + mu * velocity\n    p = p - lr * v\n    return [p, v]"],
        [
            (
                "def momentum_step(p, g, velocity, lr, mu):\n    v = 0.9 * velocity + g\n    return p - lr * v, v",
                "lr = 0.5, mu = 0.25",
            ),
            (
                "def momentum_step(p, g, velocity, lr, mu):\n    v = mu * velocity + g\n    return p - (1 - mu) * v, v",
                "lr = 0.5, mu = 0.25",
            ),
            (
                "def momentum_step(p, g, velocity, lr, mu):\n    v = mu * velocity + (1 - mu) * g\n    return p - lr * v, v",
                "0.1 times",
            ),
            (
                "def momentum_step(p, g, velocity, lr, mu):\n    v = mu * velocity + g\n    return p + lr * v, v",
                "(velocity: right)",
            ),
            (
                "def momentum_step(p, g, velocity, lr, mu):\n    v = mu * velocity + g\n    return p - lr * v",
                "2 things should come back",
            ),
            (
                "def momentum_step(p, g, velocity, lr, mu):\n    v = mu * velocity + g\n    p -= lr * v\n    return p, v",
                "in place",
            ),
        ],
    ),
    "adam_step": (
        [
            """
def adam_step(p, g, m, v, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):
    m, v = m + (1 - beta1) * (g - m), v + (1 - beta2) * (g**2 - v)
    size = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    return p - size * m / (np.sqrt(v) + eps * np.sqrt(1 - beta2**t)), m, v
""",
        ],
        [
            (
                "def adam_step(p, g, m, v, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):\n    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g\n"
                "    return p - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + eps), m, v",
                "other numbers",
            ),
            (
                "def adam_step(p, g, m, v, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):\n    m = beta1 * m + (1 - beta1) * g\n"
                "    v = beta2 * v + (1 - beta2) * g * g\n"
                "    return p - lr * (m / (1 - beta1**t)) / np.sqrt(v / (1 - beta2**t) + eps), m, v",
                "a large eps",
            ),
            (
                "def adam_step(p, g, m, v, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):\n    m = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t)\n"
                "    v = (beta2 * v + (1 - beta2) * g * g) / (1 - beta2**t)\n    return p - lr * m / (np.sqrt(v) + eps), m, v",
                "times what they should be",
            ),
            (
                "def adam_step(p, g, m, v, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):\n    m *= beta1\n    m += (1 - beta1) * g\n"
                "    v = beta2 * v + (1 - beta2) * g * g\n"
                "    return p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v",
                "in place",
            ),
            (
                "def adam_step(p, g, m, v, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):\n    m = beta1 * m + (1 - beta1) * g\n"
                "    v = beta2 * v + (1 - beta2) * g * g\n"
                "    return p - lr * (m / (1 - beta1)) / (np.sqrt(v / (1 - beta2)) + eps), m, v",
                "step 2",
            ),
        ],
    ),
}

MORE["05_numbers"] = {
    "log_sum_exp": (
        [
            "def log_sum_exp(x): return minitorch.tensor(x).logsumexp(0)",
            """
def log_sum_exp(x):
    total = -np.inf
    for value in x:
        total = np.logaddexp(total, value)
    return total
""",
            """
def log_sum_exp(x):
    m = np.max(x)
    if m == -np.inf:
        return m
    return m + math.log(sum(math.exp(v - m) for v in x))
""",
        ],
        [
            ("def log_sum_exp(x):\n    m = x.max()\n    return np.log(np.exp(x - m).sum())", "harmless numbers"),
            (
                "def log_sum_exp(x):\n    m = x.max(keepdims=True)\n    return m + np.log(np.exp(x - m).sum(keepdims=True))",
                "only the shape is not",
            ),
            ("def log_sum_exp(x):\n    x -= x.max()\n    return np.log(np.exp(x).sum())", "in place"),
            ("def log_sum_exp(x):\n    m = x.max()\n    return m + np.log10(np.exp(x - m).sum())", "harmless numbers"),
            ("def log_sum_exp(x):\n    return max(x) + math.log(sum(math.exp(v - max(x)) for v in x))", "all are ruled out"),
        ],
    ),
    "cross_entropy_gradient": (
        [
            """
def cross_entropy_gradient(scores, right):
    n, classes = scores.shape
    shifted = scores - scores.max(axis=1)[:, None]
    p = np.exp(shifted - np.log(np.exp(shifted).sum(axis=1))[:, None])
    return (p - np.eye(classes)[right]) / n
""",
            """
def cross_entropy_gradient(scores, right):
    rows = []
    for x, r in zip(scores, right):
        p = np.exp(x - max(x))
        p = p / sum(p)
        p[r] -= 1
        rows.append(p / len(scores))
    return rows
""",
        ],
        [
            (
                "def cross_entropy_gradient(scores, right):\n    e = np.exp(scores - scores.max(axis=1, keepdims=True))\n"
                "    p = e / e.sum(axis=1, keepdims=True)\n    return (np.eye(scores.shape[1])[right] - p) / len(p)",
                "wrong sign",
            ),
            (
                "def cross_entropy_gradient(scores, right):\n    e = np.exp(scores - scores.max(axis=0))\n    p = e / e.sum(axis=0)\n"
                "    p[np.arange(len(p)), right] -= 1\n    return p / len(p)",
                "off",
            ),
            (
                "def cross_entropy_gradient(scores, right):\n    e = np.exp(scores - scores.max(axis=1, keepdims=True))\n"
                "    p = e / e.sum(axis=1, keepdims=True)\n    p[:, right] -= 1\n    return p / len(p)",
                "four rows",
            ),
            (
                "def cross_entropy_gradient(scores, right):\n    scores -= scores.max(axis=1, keepdims=True)\n    e = np.exp(scores)\n"
                "    p = e / e.sum(axis=1, keepdims=True)\n    p[np.arange(len(p)), right] -= 1\n    return p / len(p)",
                "in place",
            ),
        ],
    ),
    "layer_norm": (
        [
            """
def layer_norm(x, weight, bias, eps=1e-5):
    mean = x.mean(-1, keepdims=True)
    return weight * (x - mean) / np.sqrt(x.var(-1, keepdims=True) + eps) + bias
""",
            """
def layer_norm(x, weight, bias, eps=1e-5):
    y = np.empty_like(x)
    for i, row in enumerate(x):
        c = row - row.mean()
        y[i] = c / math.sqrt((c @ c) / len(c) + eps) * weight + bias
    return y
""",
        ],
        [
            (
                "def layer_norm(x, weight, bias, eps=1e-5):\n    c = x - x.mean(axis=-1, keepdims=True)\n"
                "    return c / (x.std(axis=-1, keepdims=True) + eps) * weight + bias",
                "a large ε",
            ),
            (
                "def layer_norm(x, weight, bias, eps=1e-5):\n    c = x - x.mean(axis=-1, keepdims=True)\n"
                "    return c / np.sqrt(x.var(axis=-1, keepdims=True) + np.float64(eps)) * weight + bias",
                "float32 came in, so float32 should come back",
            ),
            (
                "def layer_norm(x, weight, bias, eps=1e-5):\n    c = x - x.mean(axis=-1, keepdims=True)\n"
                "    return c / np.sqrt(x.var(axis=-1, keepdims=True) + eps) + bias",
                "three rows",
            ),
            (
                "def layer_norm(x, weight, bias, eps=1e-5):\n    x -= x.mean(axis=-1, keepdims=True)\n"
                "    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * weight + bias",
                "in place",
            ),
            (
                "def layer_norm(x, weight, bias, eps=1e-5):\n    c = x - x.mean(axis=-1)\n    return c / np.sqrt(x.var(axis=-1) + eps) * weight + bias",
                "ValueError",
            ),
        ],
    ),
    "layer_norm_backward": (
        [
            """
def layer_norm_backward(g, x, weight, eps=1e-5):
    d = x.shape[-1]
    dx = np.empty_like(x)
    for i in range(len(x)):
        r = 1 / np.sqrt(x[i].var() + eps)
        n = (x[i] - x[i].mean()) * r
        jacobian = r * (np.eye(d) - 1 / d - np.outer(n, n) / d)
        dx[i] = (g[i] * weight) @ jacobian
    n = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return dx, np.einsum('nd,nd->d', g, n), g.sum(0)
""",
        ],
        [
            (
                "def layer_norm_backward(g, x, weight, eps=1e-5):\n    r = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + eps)\n"
                "    n = (x - x.mean(axis=-1, keepdims=True)) * r\n"
                "    dx = (g - g.mean(axis=-1, keepdims=True) - n * (g * n).mean(axis=-1, keepdims=True)) * r\n"
                "    return dx, (g * n).sum(axis=0), g.sum(axis=0)",
                "(dL/dweight, dL/dbias: right)",
            ),
            (
                "def layer_norm_backward(g, x, weight, eps=1e-5):\n    r = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + eps)\n"
                "    n, h = (x - x.mean(axis=-1, keepdims=True)) * r, g * weight\n"
                "    dx = (h - h.mean(axis=-1, keepdims=True)) * r\n    return dx, (g * n).sum(axis=0), g.sum(axis=0)",
                "(dL/dweight, dL/dbias: right)",
            ),
            (
                "def layer_norm_backward(g, x, weight, eps=1e-5):\n    r = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + eps)\n"
                "    n, h = (x - x.mean(axis=-1, keepdims=True)) * r, g * weight\n"
                "    dx = (h - h.mean(axis=-1, keepdims=True) - n * (h * n).mean(axis=-1, keepdims=True)) * r\n"
                "    return dx, (h * n).sum(axis=0), h.sum(axis=0)",
                "(dL/dx: right)",
            ),
            (
                "def layer_norm_backward(g, x, weight, eps=1e-5):\n    s = x.std(axis=-1, keepdims=True)\n"
                "    n, h = (x - x.mean(axis=-1, keepdims=True)) / s, g * weight\n"
                "    dx = (h - h.mean(axis=-1, keepdims=True) - n * (h * n).mean(axis=-1, keepdims=True)) / s\n"
                "    return dx, (g * n).sum(axis=0), g.sum(axis=0)",
                "three rows",
            ),
        ],
    ),
}

MORE["06_training"] = {
    "initial_weight": (
        [
            "def initial_weight(random, inputs, outputs): return random.normal(0.0, (2 / inputs) ** 0.5, (outputs, inputs))",
            "def initial_weight(random, inputs, outputs):\n    w = random.standard_normal((outputs, inputs))\n    w *= np.sqrt(2.0 / inputs)\n"
            "    return minitorch.tensor(w)",
        ],
        [
            ("def initial_weight(random, inputs, outputs): return random.standard_normal((outputs, inputs))", "yours is 0.99"),
            (
                "def initial_weight(random, inputs, outputs):\n"
                "    return math.sqrt(6 / inputs) * random.uniform(-1, 1, (outputs, inputs))",
                "share within one deviation of 0: yours is 0.57",
            ),
            (
                "def initial_weight(random, inputs, outputs):\n"
                "    return 1 + math.sqrt(2 / inputs) * random.standard_normal((outputs, inputs))",
                "share within one deviation of 0: yours is 0",
            ),
            (
                "def initial_weight(random, inputs, outputs): return random.standard_normal((outputs, inputs)) / math.sqrt(inputs)",
                "0.176",
            ),
        ],
    ),
    "confusion": (
        [
            "def confusion(scores, labels, classes):\n    table = np.zeros((classes, classes))\n"
            "    np.add.at(table, (labels, scores.argmax(axis=1)), 1)\n    return table",
            "def confusion(scores, labels, classes):\n    table = [[0] * classes for _ in range(classes)]\n"
            "    for row, label in zip(scores, labels):\n        table[label][row.argmax()] += 1\n    return table",
            "def confusion(scores, labels, classes):\n    cells = labels * classes + np.argmax(scores, axis=-1)\n"
            "    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)",
            "def confusion(scores, labels, classes):\n    one = np.eye(classes)\n    return one[labels].T @ one[scores.argmax(1)]",
        ],
        [
            (
                "def confusion(scores, labels, classes):\n    table = np.zeros((classes, classes), dtype=int)\n"
                "    table[labels, scores.argmax(axis=1)] += 1\n    return table",
                "all read as 1",
            ),
            (
                "def confusion(scores, labels, classes):\n    table = np.zeros((classes, classes))\n"
                "    np.add.at(table, (scores.argmax(axis=1), labels), 1)\n    return table",
                "It is transposed",
            ),
            (
                "def confusion(scores, labels, classes):\n    table = np.zeros((classes, classes))\n"
                "    np.add.at(table, (labels, scores.argmax(axis=1)), 1)\n    return table / table.sum()",
                "0.333333 times",
            ),
            ("def confusion(scores, labels, classes): return (scores.argmax(axis=1) == labels).mean()", "has shape ()"),
        ],
    ),
    "clip": (
        [
            """
def clip(gradients, longest):
    line = np.concatenate([g.ravel() for g in gradients])
    norm = np.sqrt(line @ line)
    if norm <= longest:
        return gradients
    return tuple(g * (longest / norm) for g in gradients)
""",
            """
def clip(gradients, longest):
    norm = np.linalg.norm([np.linalg.norm(g) for g in gradients])
    factor = longest / max(norm, longest)
    return (np.multiply(g, factor) for g in gradients)
""",
        ],
        [
            (
                "def clip(gradients, longest):\n    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))\n    for g in gradients:\n"
                "        g *= min(1.0, longest / norm)\n    return gradients",
                "in place",
            ),
            (
                "def clip(gradients, longest):\n    norm = sum(float((g * g).sum()) for g in gradients)\n"
                "    return [g * min(1.0, longest / (norm + 1e-12)) for g in gradients]",
                "0.2 times",
            ),
            (
                "def clip(gradients, longest):\n    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))\n"
                "    return [g * min(1.0, longest / norm) for g in gradients]",
                "ZeroDivisionError",
            ),
        ],
    ),
}

MORE["07_words"] = {
    "wordpiece": (
        [
            """
def wordpiece(word, vocabulary):
    rest, pieces, prefix = word, [], ''
    while rest:
        fits = [n for n in range(1, len(rest) + 1) if prefix + rest[:n] in vocabulary]
        if not fits:
            return ('[UNK]',)
        pieces.append(prefix + rest[: fits[-1]])
        rest, prefix = rest[fits[-1] :], '##'
    return tuple(pieces)
""",
            """
def wordpiece(word, vocabulary):
    def cut(rest, prefix):
        for end in range(len(rest), 0, -1):
            if prefix + rest[:end] in vocabulary:
                tail = cut(rest[end:], '##') if rest[end:] else []
                return None if tail is None else [prefix + rest[:end], *tail]
        return None

    return cut(word, '') or ['[UNK]']
""",
        ],
        [
            (
                "def wordpiece(word, vocabulary):\n    pieces, start = [], 0\n    while start < len(word):\n"
                "        for end in range(len(word), start, -1):\n            if word[start:end] in vocabulary:\n"
                "                pieces.append(word[start:end])\n                start = end\n                break\n"
                "        else:\n            return ['[UNK]']\n    return pieces",
                "longest first",
            ),
            ("def wordpiece(word, vocabulary): return [word] if word in vocabulary else ['[UNK]']", "longest first"),
            ("def wordpiece(word, vocabulary):\n    vocabulary.add(word)\n    return [word]", "Make a new set"),
            ("def wordpiece(word, vocabulary): return word", "yours is 'want', it should be ['want']"),
        ],
    ),
    "tf_idf": (
        [
            """
def tf_idf(counts):
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer().fit_transform(counts).toarray()
""",
            """
def tf_idf(counts):
    n, V = counts.shape
    rows = []
    for row in counts:
        weighted = [c * (math.log((1 + n) / (1 + np.count_nonzero(counts[:, j]))) + 1) for j, c in enumerate(row)]
        length = math.sqrt(sum(w * w for w in weighted))
        rows.append([w / length for w in weighted])
    return rows
""",
        ],
        [
            (
                "def tf_idf(counts):\n    n = len(counts)\n    x = counts * (np.log((1 + n) / (1 + counts.sum(axis=0))) + 1)\n"
                "    return x / np.sqrt((x * x).sum(axis=1, keepdims=True))",
                "a word that occurs twice",
            ),
            (
                "def tf_idf(counts):\n    n = len(counts)\n    x = counts * (np.log((1 + n) / (1 + (counts > 0).sum(axis=0))) + 1)\n"
                "    return x / x.sum(axis=1, keepdims=True)",
                "off by",
            ),
            (
                "def tf_idf(counts):\n    n = len(counts)\n    x = counts * (np.log((1 + n) / (1 + (counts > 0).sum(axis=0))) + 1)\n"
                "    return x / np.sqrt((x * x).sum(axis=0))",
                "off by",
            ),
            (
                "def tf_idf(counts):\n    n = len(counts)\n    counts *= np.log((1 + n) / (1 + (counts > 0).sum(axis=0))) + 1\n"
                "    return counts / np.sqrt((counts**2).sum(axis=1, keepdims=True))",
                "in place",
            ),
        ],
    ),
    "embedding_gradient": (
        [
            """
def embedding_gradient(g, ids, size):
    table = np.zeros((size, g.shape[1]))
    for row, i in zip(g, ids):
        table[i] += row
    return table
""",
            """
def embedding_gradient(g, ids, size):
    return [[sum(g[k, j] for k in range(len(ids)) if ids[k] == i) for j in range(g.shape[1])] for i in range(size)]
""",
        ],
        [
            (
                "def embedding_gradient(g, ids, size):\n    table = np.zeros((size, g.shape[1]))\n    np.add.at(table, ids, 1)\n    return table",
                "a row used twice",
            ),
            (
                "def embedding_gradient(g, ids, size):\n    table = np.zeros_like(g)\n    np.add.at(table, ids, g)\n    return table",
                "IndexError",
            ),
            (
                "def embedding_gradient(g, ids, size):\n    table = np.zeros((size, g.shape[1]))\n    np.add.at(table, ids, g)\n"
                "    return table / np.maximum(1, np.bincount(ids, minlength=size))[:, None]",
                "a row used twice",
            ),
        ],
    ),
}

MORE["08_attention"] = {
    "attention": (
        [
            "def attention(q, k, v, mask=None): return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)",
            """
def attention(q, k, v, mask=None):
    scores = (q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores + minitorch.where(mask, 0.0, -math.inf)
    return (scores - scores.logsumexp(-1, keepdim=True)).exp() @ v
""",
            """
def attention(q, k, v, mask=None):
    rows = []
    for i in range(q.shape[-2]):
        s = (k * q[..., i : i + 1, :]).sum(-1) / math.sqrt(k.shape[-1])
        if mask is not None:
            s = s.masked_fill(mask[i].logical_not(), -math.inf)
        rows.append((s.softmax(-1).unsqueeze(-1) * v).sum(-2))
    return minitorch.stack(rows, dim=-2)
""",
        ],
        [
            ("def attention(q, k, v, mask=None): return (q @ k.mT / q.shape[-1]).softmax(-1) @ v", "two sequences"),
            ("def attention(q, k, v, mask=None): return (q @ k.mT / math.sqrt(k.shape[-2])).softmax(-1) @ v", "two sequences"),
            ("def attention(q, k, v, mask=None): return (q @ k / math.sqrt(q.shape[-1])).softmax(-1) @ v", "RuntimeError"),
            (
                "def attention(q, k, v, mask=None):\n    s = q @ k.mT / math.sqrt(q.shape[-1])\n"
                "    s = s if mask is None else minitorch.where(mask, -math.inf, s)\n    return s.softmax(-1) @ v",
                "with a mask",
            ),
            (
                "def attention(q, k, v, mask=None):\n    s = q @ k.mT / math.sqrt(q.shape[-1])\n"
                "    s = s if mask is None else minitorch.where(mask, s, 0.0)\n    return s.softmax(-1) @ v",
                "with a mask",
            ),
        ],
    ),
    "positions": (
        [
            """
def positions(length, d):
    table = np.zeros((length, d))
    for t in range(length):
        for i in range(d // 2):
            angle = t / 10000 ** (2 * i / d)
            table[t, 2 * i], table[t, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return table
""",
            """
def positions(length, d):
    speed = np.exp(-math.log(10000) * np.arange(0, d, 2) / d)
    return [[f(t * s) for s in speed for f in (math.sin, math.cos)] for t in range(length)]
""",
        ],
        [
            (
                "def positions(length, d):\n    a = np.arange(length)[:, None] / 10000 ** (2 * np.arange(d // 2) / d)\n"
                "    return np.stack([np.cos(a), np.sin(a)], axis=-1).reshape(length, d)",
                "one pair",
            ),
            (
                "def positions(length, d):\n    a = np.arange(1, length + 1)[:, None] / 10000 ** (2 * np.arange(d // 2) / d)\n"
                "    return np.stack([np.sin(a), np.cos(a)], axis=-1).reshape(length, d)",
                "one pair",
            ),
            (
                "def positions(length, d):\n    a = np.arange(length)[:, None] / 10000 ** (2 * np.arange(d) / d)\n"
                "    return np.where(np.arange(d) % 2, np.cos(a), np.sin(a))",
                "off by",
            ),
            (
                "def positions(length, d):\n    a = np.arange(length)[:, None] / 10000 ** (2 * np.arange(d // 2) / d)\n"
                "    return np.stack([np.sin(a), np.cos(a)], axis=-1).reshape(length, d).T",
                "The numbers are right, but transposed",
            ),
        ],
    ),
    "split_heads": (
        [
            """
def split_heads(x, heads):
    d = x.shape[-1] // heads
    return minitorch.stack([x[:, :, h * d : (h + 1) * d] for h in range(heads)], dim=1)
""",
            "def split_heads(x, heads): return x.reshape(*x.shape[:2], heads, -1).permute(0, 2, 1, 3)",
            "def split_heads(x, heads): return x.numpy().reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)",
        ],
        [
            (
                "def split_heads(x, heads):\n    B, L, E = x.shape\n    return x.transpose(1, 2).reshape(B, heads, L, E // heads)",
                "numbers are off",
            ),
            (
                "def split_heads(x, heads):\n    B, L, E = x.shape\n    return x.reshape(B, L, E // heads, heads).permute(0, 3, 1, 2)",
                "numbers are off",
            ),
            ("def split_heads(x, heads): return x.chunk(heads, -1)", "two heads of four"),
        ],
    ),
}

MORE["09_bert"] = {
    "unigram_cost": (
        [
            """
def unigram_cost(train_ids, fresh_ids, V):
    counts = [1] * V
    for i in train_ids:
        counts[i] += 1
    total = sum(counts)
    return sum(math.log(total / counts[i]) for i in fresh_ids) / len(fresh_ids)
""",
            """
def unigram_cost(train_ids, fresh_ids, V):
    q = (np.bincount(train_ids, minlength=V) + 1) / (len(train_ids) + V)
    p = np.bincount(fresh_ids, minlength=V) / len(fresh_ids)
    return -(p * np.log(q)).sum()
""",
        ],
        [
            (
                "def unigram_cost(train_ids, fresh_ids, V):\n    q = (np.bincount(train_ids, minlength=V) + 1) / (len(train_ids) + V)\n"
                "    return -np.log2(q[fresh_ids]).mean()",
                "1.4427 times",
            ),
            (
                "def unigram_cost(train_ids, fresh_ids, V):\n    q = (np.bincount(train_ids, minlength=V) + 1) / (len(train_ids) + V)\n"
                "    return -np.log(q[fresh_ids]).sum()",
                "2 times",
            ),
            (
                "def unigram_cost(train_ids, fresh_ids, V):\n    q = (np.bincount(train_ids, minlength=V) + 1) / (len(train_ids) + V)\n"
                "    return -(q * np.log(q)).sum()",
                "three pieces",
            ),
            (
                "def unigram_cost(train_ids, fresh_ids, V):\n    q = (np.bincount(train_ids) + 1) / (len(train_ids) + V)\n"
                "    return -np.log(q[fresh_ids]).mean()",
                "IndexError",
            ),
            (
                "def unigram_cost(train_ids, fresh_ids, V):\n    q = (np.bincount(train_ids, minlength=V) + 1) / len(train_ids)\n"
                "    return -np.log(q[fresh_ids]).mean()",
                "three pieces",
            ),
        ],
    ),
    "mask_pieces": (
        [
            """
def mask_pieces(ids, chosen, u, other, mask_id):
    seen, labels = ids.copy(), np.full_like(ids, -100)
    labels[chosen] = ids[chosen]
    seen[chosen & (u < 0.8)] = mask_id
    swap = chosen & (u >= 0.8) & (u < 0.9)
    seen[swap] = other[swap]
    return seen, labels
""",
            """
def mask_pieces(ids, chosen, u, other, mask_id):
    seen, labels = [], []
    for i, c, r, o in zip(ids, chosen, u, other):
        labels.append(int(i) if c else -100)
        seen.append(mask_id if c and r < 0.8 else int(o) if c and r < 0.9 else int(i))
    return seen, labels
""",
        ],
        [
            (
                "def mask_pieces(ids, chosen, u, other, mask_id):\n    seen = np.where(u < 0.8, mask_id, np.where(u < 0.9, other, ids))\n"
                "    return seen, np.where(chosen, ids, -100)",
                "what it sees at [3]",
            ),
            (
                "def mask_pieces(ids, chosen, u, other, mask_id):\n    seen = np.where(chosen & (u < 0.8), mask_id, ids)\n"
                "    seen = np.where(chosen & (u >= 0.8) & (u < 0.9), other, seen)\n    return seen, np.where(chosen, seen, -100)",
                "labels at [0]",
            ),
            (
                "def mask_pieces(ids, chosen, u, other, mask_id):\n    seen = np.where(chosen & (u < 0.8), mask_id, ids)\n"
                "    seen = np.where(chosen & (u >= 0.8) & (u < 0.9), other, seen)\n    return seen, np.where(chosen, ids, 0)",
                "labels at [3]: yours is 0, it should be -100",
            ),
            (
                "def mask_pieces(ids, chosen, u, other, mask_id):\n    labels = ids\n    labels[~chosen] = -100\n"
                "    return np.where(chosen, mask_id, ids), labels",
                "in place",
            ),
            (
                "def mask_pieces(ids, chosen, u, other, mask_id):\n    seen = np.where(chosen & (u < 0.8), float(mask_id), ids)\n"
                "    seen = np.where(chosen & (u >= 0.8) & (u < 0.9), other, seen)\n    return seen, np.where(chosen, ids, -100)",
                "they should be integers",
            ),
        ],
    ),
    "masked_loss": (
        [
            """
def masked_loss(logits, labels):
    total, n = 0.0, 0
    for x, label in zip(logits, labels):
        if label != -100:
            m = x.max()
            total += m + math.log(np.exp(x - m).sum()) - x[label]
            n += 1
    return total / n
""",
            """
def masked_loss(logits, labels):
    asked = np.flatnonzero(labels >= 0)
    lse = np.logaddexp.reduce(logits[asked], axis=1)
    return float(np.mean(lse - logits[asked, labels[asked]]))
""",
            "def masked_loss(logits, labels): return nn.functional.cross_entropy(minitorch.tensor(logits), minitorch.tensor(labels))",
        ],
        [
            (
                "def masked_loss(logits, labels):\n    lse = np.logaddexp.reduce(logits, axis=1)\n"
                "    return np.mean(lse - logits[np.arange(len(labels)), np.maximum(labels, 0)])",
                "three of six positions",
            ),
            (
                "def masked_loss(logits, labels):\n    lse = np.logaddexp.reduce(logits, axis=1)\n"
                "    return np.mean(lse - logits[np.arange(len(labels)), labels])",
                "IndexError",
            ),
            (
                "def masked_loss(logits, labels):\n    asked = labels != -100\n    x = logits[asked]\n    lse = np.logaddexp.reduce(x, axis=1)\n"
                "    return (lse - x[np.arange(len(x)), labels[asked]]).sum()",
                "3 times",
            ),
            (
                "def masked_loss(logits, labels):\n    asked = labels != -100\n    x = logits[asked]\n    lse = np.logaddexp.reduce(x, axis=1)\n"
                "    return (x[np.arange(len(x)), labels[asked]] - lse).mean()",
                "wrong sign",
            ),
        ],
    ),
}

MORE["10_finetuning"] = {
    "pad_batch": (
        [
            """
def pad_batch(rows, cls_id, sep_id, pad_id):
    full = [[cls_id, *row, sep_id] for row in rows]
    longest = max(len(row) for row in full)
    ids = [row + [pad_id] * (longest - len(row)) for row in full]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in full]
    return np.array(ids), np.array(mask)
""",
            """
def pad_batch(rows, cls_id, sep_id, pad_id):
    lengths = np.array([len(row) + 2 for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad_id)
    ids[mask] = np.concatenate([[cls_id, *row, sep_id] for row in rows])
    return minitorch.tensor(ids), mask
""",
        ],
        [
            (
                "def pad_batch(rows, cls_id, sep_id, pad_id):\n    n = max(map(len, rows)) + 2\n    ids = np.full((len(rows), n), pad_id)\n"
                "    for i, row in enumerate(rows):\n        ids[i, : len(row) + 2] = [cls_id, *row, sep_id]\n    return ids, (ids != pad_id).astype(int)",
                "a text that holds the id of padding",
            ),
            (
                "def pad_batch(rows, cls_id, sep_id, pad_id):\n    n = max(map(len, rows)) + 2\n    ids = np.zeros((len(rows), n))\n"
                "    mask = np.zeros((len(rows), n))\n    for i, row in enumerate(rows):\n        ids[i, : len(row) + 2] = [cls_id, *row, sep_id]\n"
                "        mask[i, : len(row) + 2] = 1\n    return ids, mask",
                "they should be integers",
            ),
            (
                "def pad_batch(rows, cls_id, sep_id, pad_id):\n    n = max(map(len, rows))\n    for row in rows:\n"
                "        row.insert(0, cls_id)\n        row.append(sep_id)\n        row.extend([pad_id] * (n + 2 - len(row)))\n"
                "    return np.array(rows), np.ones((len(rows), n + 2), dtype=int)",
                "in place",
            ),
            (
                "def pad_batch(rows, cls_id, sep_id, pad_id):\n    n = max(map(len, rows)) + 2\n    ids = np.full((len(rows), n), pad_id)\n"
                "    mask = np.zeros((len(rows), n), dtype=int)\n    for i, row in enumerate(rows):\n        full = [cls_id, *row, sep_id]\n"
                "        ids[i, n - len(full) :] = full\n        mask[i, n - len(full) :] = 1\n    return ids, mask",
                "two rows",
            ),
        ],
    ),
    "compare_names": (
        [
            """
def compare_names(wanted, given):
    loaded, missing = [], []
    for name, shape in wanted.items():
        (loaded if name in given and given[name] == shape else missing).append(name)
    unexpected = [name for name in given if name not in loaded]
    return tuple(sorted(loaded)), tuple(sorted(missing)), tuple(sorted(unexpected))
""",
            """
def compare_names(wanted, given):
    a, b = set(wanted.items()), set(given.items())
    return [sorted(name for name, _ in part) for part in (a & b, a - b, b - a)]
""",
        ],
        [
            (
                "def compare_names(wanted, given):\n    loaded = sorted(n for n in wanted if given.get(n) == wanted[n])\n"
                "    for n in loaded:\n        del wanted[n], given[n]\n    return loaded, sorted(wanted), sorted(given)",
                "Make a new dict",
            ),
            (
                "def compare_names(wanted, given):\n    a, b = set(wanted.items()), set(given.items())\n    return sorted(a & b), sorted(a - b), sorted(b - a)",
                "loaded: yours is",
            ),
            (
                "def compare_names(wanted, given):\n    loaded = {n for n in wanted if given.get(n) == wanted[n]}\n"
                "    return loaded, set(wanted) - loaded, set(given) - loaded",
                "loaded: yours is {'a'}, it should be ['a']",
            ),
        ],
    ),
    "read_tensor": (
        [
            """
def read_tensor(data, name):
    import struct

    (n,) = struct.unpack('<Q', data[:8])
    about = json.loads(data[8 : 8 + n].decode())[name]
    begin, end = about['data_offsets']
    count = (end - begin) // 4
    return np.frombuffer(data, dtype='<f4', count=count, offset=8 + n + begin).reshape(about['shape']).copy()
""",
            "def read_tensor(data, name):\n    from safetensors.numpy import load\n\n    return load(data)[name]",
        ],
        [
            (
                "def read_tensor(data, name):\n    n = int.from_bytes(data[:8], 'little')\n    entry = json.loads(data[8 : 8 + n])[name]\n"
                "    begin, end = entry['data_offsets']\n    return np.frombuffer(data[8 + n + begin : 8 + n + end], dtype=np.float32)",
                "only the shape is not",
            ),
            (
                "def read_tensor(data, name):\n    n = int.from_bytes(data[:8], 'little')\n    entry = json.loads(data[8 : 8 + n])[name]\n"
                "    begin, end = entry['data_offsets']\n    return np.frombuffer(data[8 + n + begin : 8 + n + end]).reshape(entry['shape'])",
                "ValueError",
            ),
            (
                "def read_tensor(data, name):\n    n = int.from_bytes(data[:8], 'little')\n    entry = json.loads(data[8 : 8 + n])[name]\n"
                "    begin, end = entry['data_offsets']\n"
                "    return np.frombuffer(data[n + begin : n + end], dtype=np.float32).reshape(entry['shape'])",
                "numbers are off",
            ),
        ],
    ),
}

MORE["11_fast"] = {
    "shortest_time": (
        [
            "def shortest_time(operations, bytes_moved, peak, bandwidth):\n    intensity = operations / bytes_moved\n"
            "    return operations / min(peak, bandwidth * intensity)",
            "def shortest_time(operations, bytes_moved, peak, bandwidth): return np.maximum(operations / peak, bytes_moved / bandwidth)",
        ],
        [
            (
                "def shortest_time(operations, bytes_moved, peak, bandwidth): return min(operations / peak, bytes_moved / bandwidth)",
                "memory is the limit",
            ),
            (
                "def shortest_time(operations, bytes_moved, peak, bandwidth): return max(peak / operations, bandwidth / bytes_moved)",
                "memory is the limit",
            ),
        ],
    ),
    "cubic_blocked": (
        [
            """
def cubic_blocked(x, block):
    y = np.empty_like(x)
    for i in range(0, len(x), block):
        part = x[i : i + block]
        y[i : i + block] = part * (0.5 + part * (0.4 - 0.1 * part))
    return y
""",
            """
def cubic_blocked(x, block):
    return np.concatenate([cubic(x[i : i + block]) for i in range(0, len(x), block)])
""",
        ],
        [
            (
                "def cubic_blocked(x, block):\n    y = np.empty(len(x))\n    for i in range(0, len(x), block):\n"
                "        p = x[i : i + block]\n        y[i : i + block] = p * (0.5 + p * (0.4 - 0.1 * p))\n    return y",
                "float32 came in",
            ),
            (
                "def cubic_blocked(x, block):\n    y = x\n    for i in range(0, len(x), block):\n        y[i : i + block] = cubic(x[i : i + block])\n"
                "    return y",
                "in place",
            ),
            (
                "def cubic_blocked(x, block):\n    y = np.zeros_like(x)\n    for i in range(len(x) // block):\n"
                "        y[i * block : (i + 1) * block] = cubic(x[i * block : (i + 1) * block])\n    return y",
                "a shorter last block",
            ),
            (
                "def cubic_blocked(x, block):\n    y = np.empty_like(x)\n    for i in range(0, len(x), block):\n        p = x[i : i + block]\n"
                "        y[i : i + block] = p * (0.5 + p * (0.4 + 0.1 * p))\n    return y",
                "blocks that fit",
            ),
        ],
    ),
    "speedup": (
        [
            "def speedup(share, factor):\n    old, new = 1.0, (1.0 - share) + share / factor\n    return old / new",
            "def speedup(share, factor): return 1 / (1 - share * (1 - 1 / factor))",
        ],
        [
            ("def speedup(share, factor): return 1 / (1 - share)", "half of it"),
            ("def speedup(share, factor): return (1 - share) + share * factor", "half of it"),
            ("def speedup(share, factor): return factor / ((1 - share) * factor + share)", "There is a NaN"),
        ],
    ),
}

MORE["12_gpu"] = {
    "grid": (
        [
            "def grid(n, block_size):\n    import math\n\n    blocks = math.ceil(n / block_size)\n    return [blocks, blocks * block_size - n]",
            "def grid(n, block_size):\n    blocks, rest = divmod(n + block_size - 1, block_size)\n    return blocks, block_size - 1 - rest",
            "def grid(n, block_size): return np.array([(n + block_size - 1) // block_size, -n % block_size])",
        ],
        [
            ("def grid(n, block_size):\n    b = -(-n // block_size)\n    return b, n % block_size", "(blocks: right)"),
            ("def grid(n, block_size): return n / block_size, 0", "blocks: yours is 3.90625"),
        ],
    ),
    "pieces_read": (
        [
            "def pieces_read(first, stride): return len({4 * (first + stride * t) // 128 for t in range(32)})",
            "def pieces_read(first, stride): return np.unique((first + stride * np.arange(32)) // 32).size",
        ],
        [
            (
                "def pieces_read(first, stride): return len({(first + stride * t) // 128 for t in range(32)})",
                "not from the start",
            ),
            ("def pieces_read(first, stride): return stride", "neighbours, but not from the start"),
            ("def pieces_read(first, stride): return len({4 * stride * t // 128 for t in range(32)})", "not from the start"),
            (
                "def pieces_read(first, stride): return 4 * (first + 31 * stride) // 128 - 4 * first // 128 + 1",
                "yours is 969, it should be 32",
            ),
        ],
    ),
    "tree_sum": (
        [
            """
def tree_sum(x):
    if len(x) == 1:
        return x[0], 0
    half = (len(x) + 1) // 2
    padded = np.zeros(2 * half, dtype=x.dtype)
    padded[: len(x)] = x
    total, rounds = tree_sum(padded[:half] + padded[half:])
    return total, rounds + 1
""",
            """
def tree_sum(x):
    values, rounds = list(x), 0
    while len(values) > 1:
        half = (len(values) + 1) // 2
        values = [a + b for a, b in zip(values, values[half:])] + values[len(values) - half : half]
        rounds += 1
    return values[0], rounds
""",
        ],
        [
            ("def tree_sum(x): return x.sum(), len(x) - 1", "(sum: right)"),
            ("def tree_sum(x): return x.sum(), int(np.log2(len(x)))", "five numbers"),
            (
                "def tree_sum(x):\n    rounds = 0\n    while len(x) > 1:\n        half = (len(x) + 1) // 2\n"
                "        x, rounds = x[:half] + x[half:], rounds + 1\n    return x[0], rounds",
                "five numbers",
            ),
        ],
    ),
    "gain_of_fusing": (
        [
            "def gain_of_fusing(k, n, launch, bandwidth): return float(k)",
            "def gain_of_fusing(k, n, launch, bandwidth):\n    one = launch + n * 8 / bandwidth\n    return sum(one for _ in range(k)) / one",
        ],
        [
            (
                "def gain_of_fusing(k, n, launch, bandwidth): return (k * launch + 8 * n / bandwidth) / (launch + 8 * n / bandwidth)",
                "off by",
            ),
            (
                "def gain_of_fusing(k, n, launch, bandwidth): return (k * launch + k * 8 * n / bandwidth) / (launch + k * 8 * n / bandwidth)",
                "five steps, a small array",
            ),
        ],
    ),
}

# What the checks once let through, or did not name.
SUBTLE = [
    (
        "02_arrays",
        "broadcast_shape",
        """
def broadcast_shape(a, b):
    if a[-1] != b[-1] and 1 not in (a[-1], b[-1]):
        raise ValueError
    n = max(len(a), len(b))
    return tuple(j if i == 1 else i for i, j in zip((1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b))
""",
        "nor do these",
    ),
    (
        "04_linear_regression",
        "steps_needed",
        """
def steps_needed(curvatures, lr, share):
    f = np.abs(1 - lr * curvatures).max()
    return math.inf if f >= 1 else 1 if f == 0 else math.floor(math.log(share) / math.log(f)) + 1
""",
        "exactly there after two steps",
    ),
    (
        "04_linear_regression",
        "adam_step",
        """
def adam_step(p, g, m, v, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return p - lr * (m / (1 - beta1**t)) / np.sqrt(v / (1 - beta2**t) + eps), m, v
""",
        "what you get with eps inside the root",
    ),
    (
        "05_numbers",
        "log_sum_exp",
        """
def log_sum_exp(x):
    m = x[np.isfinite(x)].mean() if np.isfinite(x).any() else 0.0
    with np.errstate(all="ignore"):
        return m + np.log(np.exp(x - m).sum())
""",
        "far apart",
    ),
    (
        "05_numbers",
        "layer_norm",
        """
def layer_norm(x, weight, bias, eps=1e-5):
    return (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + eps) * weight + bias
""",
        "what you get with eps outside of the root",
    ),
    (
        "07_words",
        "wordpiece",
        """
def wordpiece(word, vocabulary):
    def cut(start):
        if start == len(word):
            return []
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary and (rest := cut(end)) is not None:
                return [piece, *rest]
        return None

    return cut(0) or ["[UNK]"]
""",
        "greedy",
    ),
    (
        "08_attention",
        "attention",
        """
def attention(q, k, v, mask=None):
    s = q.detach().numpy() @ k.numpy().swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    s = s if mask is None else np.where(mask.numpy(), s, -math.inf)
    e = np.exp(s - s.max(-1, keepdims=True))
    return minitorch.tensor(e / e.sum(-1, keepdims=True) @ v.numpy())
""",
        "none: NumPy records nothing",
    ),
    (
        "08_attention",
        "split_heads",
        """
def split_heads(x, heads):
    return x.reshape(x.shape[0], heads, x.shape[1], -1)
""",
        "a reshape alone: it mixes positions and heads",
    ),
    (
        "09_bert",
        "mask_pieces",
        """
def mask_pieces(ids, chosen, u, other, mask_id):
    seen = np.where(chosen & (u <= 0.8), mask_id, np.where(chosen & (u <= 0.9), other, ids))
    return seen, np.where(chosen, ids, -100)
""",
        "u at the bounds",
    ),
    (
        "10_finetuning",
        "compare_names",
        """
def compare_names(wanted, given):
    loaded = [n for n in wanted if given.get(n) == wanted[n]]
    return loaded, [n for n in wanted if n not in loaded], [n for n in given if n not in loaded]
""",
        "in any order",
    ),
    (
        "11_fast",
        "cubic_blocked",
        "def cubic_blocked(x, block): return x * (0.5 + x * (0.4 - 0.1 * x))",
        "numbers beyond a block in one step",
    ),
]
for lesson, name, text, says in SUBTLE:
    MORE[lesson][name][1].append((text, says))
