"""Answers to the lessons' exercises, right ones and typical wrong ones: the checks must tell them apart.

ANSWERS[lesson][exercise] = (right answers, [(wrong answer, a part of what the check must say), ...]). Each answer is the source
of a function of the exercise's name; it runs with the names of the lesson.
"""

from . import lesson_answers_19_22
from .lesson_answers_13_to_15 import SEQUENCES
from .lesson_answers_16 import LESSON_16
from .lesson_answers_17 import LESSON_17
from .lesson_answers_18 import LESSON_18
from .lesson_answers_more import MORE

ANSWERS: dict[str, dict[str, tuple[list[str], list[tuple[str, str]]]]] = {}

ANSWERS["01_slopes"] = {
    "quotient": (
        [
            "def quotient(a, b): return a / b, 1 / b, -a / b**2",
            "def quotient(a, b):\n    y = a / b\n    return [y, y / a, -y / b]",
        ],
        [
            ("def quotient(a, b): return a / b, 1 / b, a / b**2", "slope of b: yours is 0.666667, it should be -0.666667"),
            ("def quotient(a, b): return a / b", "3 things should come back"),
            ("def quotient(a, b): pass", "returns None"),
        ],
    ),
    "sigmoid": (
        ["def sigmoid(x):\n    s = 1 / (1 + math.exp(-x))\n    return s, s * (1 - s)"],
        [("def sigmoid(x):\n    s = 1 / (1 + math.exp(-x))\n    return s, s * (s - 1)", "wrong sign")],
    ),
    "neuron_loss": (
        [
            "def neuron_loss(w, b, x, target):\n    y = math.tanh(w * x + b)\n    s = 2 * (y - target) * (1 - y * y)\n"
            "    return (y - target) ** 2, s * x, s",
            "def neuron_loss(w, b, x, target):\n    w, b = Value(w), Value(b)\n    e = tanh(w * x + b) + (-target)\n    L = e * e\n"
            "    backward(L)\n    return L.value, w.grad, b.grad",
        ],
        [
            (
                "def neuron_loss(w, b, x, target):\n    y = math.tanh(w * x + b)\n    s = (y - target) * (1 - y * y)\n"
                "    return (y - target) ** 2, s * x, s",
                "0.5 times what it should be",
            ),
            ("def neuron_loss(w, b, x, target): return 1 / 0", "ZeroDivisionError"),
        ],
    ),
}

ANSWERS["02_arrays"] = {
    "broadcast_shape": (
        [
            "def broadcast_shape(a, b):\n    n = max(len(a), len(b))\n    a, b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b\n"
            "    for i, j in zip(a, b):\n        if i != j and 1 not in (i, j):\n            raise ValueError\n"
            "    return tuple(j if i == 1 else i for i, j in zip(a, b))",
            "def broadcast_shape(a, b): return np.broadcast_shapes(a, b)",
        ],
        [
            ("def broadcast_shape(a, b): return tuple(max(i, j) for i, j in zip(a, b))", "a column and a row"),
            (
                "def broadcast_shape(a, b):\n    n = max(len(a), len(b))\n    a, b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b\n"
                "    return tuple(max(i, j) for i, j in zip(a, b))",
                "a size of 0 wins over 1",
            ),
            (
                "def broadcast_shape(a, b):\n    n = max(len(a), len(b))\n    a, b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b\n"
                "    return tuple(j if i == 1 else i for i, j in zip(a, b))",
                "it should raise a ValueError",
            ),
        ],
    ),
    "undo_broadcast": (
        [
            "def undo_broadcast(g, shape):\n    while g.ndim > len(shape):\n        g = g.sum(axis=0)\n"
            "    for i, n in enumerate(shape):\n        if n == 1 and g.shape[i] != 1:\n            g = g.sum(axis=i, keepdims=True)\n    return g"
        ],
        [
            ("def undo_broadcast(g, shape): return g", "Summed over axis 0 it would be right"),
            (
                "def undo_broadcast(g, shape):\n    while g.ndim > len(shape): g = g.sum(axis=0)\n    return g",
                "a column, repeated",
            ),
            ("def undo_broadcast(g, shape):\n    g *= 1.5\n    return g", "changes its argument in place"),
            ("def undo_broadcast(g, shape): return np.broadcast_to(g.mean(), shape)", "off by"),
        ],
    ),
    "row_major_strides": (
        [
            "def row_major_strides(shape):\n    strides, s = [], 1\n    for n in reversed(shape):\n        strides.append(s)\n        s *= n\n"
            "    return tuple(reversed(strides))",
            "def row_major_strides(shape): return tuple(math.prod(shape[i + 1:]) for i in range(len(shape)))".replace(
                "math.prod", "__import__('math').prod"
            ),
        ],
        [
            (
                "def row_major_strides(shape):\n    strides, s = [], 1\n    for n in shape:\n        strides.append(s)\n        s *= n\n"
                "    return tuple(strides)",
                "it should be 3",
            ),
            ("def row_major_strides(shape): return shape", "a line"),
        ],
    ),
}

ANSWERS["03_engine"] = {
    "accumulate": (
        [
            "def accumulate(contributions):\n    total, made = None, 0\n    for g in contributions:\n        if total is None:\n"
            "            total = g\n        elif not made:\n            total, made = total + g, 1\n        else:\n            total += g\n"
            "    return total, made"
        ],
        [
            (
                "def accumulate(contributions):\n    total = contributions[0]\n    for g in contributions[1:]:\n        total += g\n"
                "    return total, 0",
                "changes its argument in place",
            ),
            (
                "def accumulate(contributions):\n    total, made = contributions[0], 0\n    for g in contributions[1:]:\n"
                "        total, made = total + g, made + 1\n    return total, made",
                "arrays made: yours is 4, it should be 1",
            ),
        ],
    ),
    "softplus": (
        [
            "def softplus(x):\n    xp = array_module(x)\n    return xp.log(1 + xp.exp(x)), lambda g: g / (1 + xp.exp(-x))",
            "def softplus(x):\n    xp = array_module(x)\n    e = xp.exp(x)\n    return xp.log(e + 1), lambda g: g * e / (1 + e)",
        ],
        [
            ("def softplus(x):\n    xp = array_module(x)\n    return xp.log(1 + xp.exp(x)), lambda g: g * xp.exp(x)", "gradient"),
            (
                "def softplus(x):\n    xp = array_module(x)\n    return xp.log(1 + xp.exp(x)), lambda g: -g / (1 + xp.exp(-x))",
                "wrong sign",
            ),
        ],
    ),
    "newton_step": (
        [
            "def newton_step(f, x):\n    t = minitorch.tensor(x, dtype=minitorch.float64, requires_grad=True)\n"
            "    (g,) = minitorch.autograd.grad(f(t), t, create_graph=True)\n    (h,) = minitorch.autograd.grad(g, t)\n"
            "    return x - (g / h).item()"
        ],
        [
            (
                "def newton_step(f, x):\n    t = minitorch.tensor(x, dtype=minitorch.float64, requires_grad=True)\n"
                "    (g,) = minitorch.autograd.grad(f(t), t, create_graph=True)\n    (h,) = minitorch.autograd.grad(g, t)\n"
                "    return x + (g / h).item()",
                "it should be 3",
            ),
            (
                "def newton_step(f, x):\n    t = minitorch.tensor(x, dtype=minitorch.float64, requires_grad=True)\n"
                "    (g,) = minitorch.autograd.grad(f(t), t)\n    (h,) = minitorch.autograd.grad(g, t)\n    return x - (g / h).item()",
                "RuntimeError",
            ),
        ],
    ),
}

ANSWERS["04_linear_regression"] = {
    "standardise": (
        [
            "def standardise(train, new):\n    m, s = train.mean(axis=0), train.std(axis=0)\n    return (train - m) / s, (new - m) / s"
        ],
        [
            (
                "def standardise(train, new):\n    m, s = train.mean(), train.std()\n    return (train - m) / s, (new - m) / s",
                "train at [",
            ),
            (
                "def standardise(train, new):\n    m, s = train.mean(axis=0), train.std(axis=0)\n"
                "    return (train - m) / s, (new - new.mean(axis=0)) / s",
                "new at [0, 1]",
            ),
        ],
    ),
    "momentum_step": (
        ["def momentum_step(p, g, velocity, lr, mu):\n    velocity = mu * velocity + g\n    return p - lr * velocity, velocity"],
        [
            (
                "def momentum_step(p, g, velocity, lr, mu):\n    new = mu * velocity + g\n    return p - lr * velocity, new",
                "p: yours is 1, it should be 0.8",
            ),
            (
                "def momentum_step(p, g, velocity, lr, mu):\n    velocity *= mu\n    velocity += g\n    return p - lr * velocity, velocity",
                "in place",
            ),
        ],
    ),
    "adam_step": (
        [
            "def adam_step(p, g, m, v, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):\n    m = beta1 * m + (1 - beta1) * g\n"
            "    v = beta2 * v + (1 - beta2) * g * g\n"
            "    return p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v"
        ],
        [
            (
                "def adam_step(p, g, m, v, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):\n    m = beta1 * m + (1 - beta1) * g\n"
                "    v = beta2 * v + (1 - beta2) * g * g\n    return p - lr * m / (np.sqrt(v) + eps), m, v",
                "(m, v: right)",
            ),
            (
                "def adam_step(p, g, m, v, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):\n    m = beta1 * m + (1 - beta1) * g\n"
                "    v = beta2 * v + (1 - beta2) * g\n    return p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v",
                "v at [1]",
            ),
        ],
    ),
}

ANSWERS["05_numbers"] = {
    "log_sum_exp": (
        [
            "def log_sum_exp(x):\n    m = x.max()\n    m = m if np.isfinite(m) else 0.0\n    with np.errstate(divide='ignore'):\n"
            "        return m + np.log(np.exp(x - m).sum())",
            "def log_sum_exp(x): return np.logaddexp.reduce(x)",
        ],
        [
            (
                "def log_sum_exp(x):\n    with np.errstate(all='ignore'):\n        return np.log(np.exp(x).sum())",
                "There is an infinity",
            ),
            (
                "def log_sum_exp(x):\n    with np.errstate(all='ignore'):\n        return x.max() + np.log(np.exp(x - x.max()).sum())",
                "There is a NaN",
            ),
        ],
    ),
    "cross_entropy_gradient": (
        [
            "def cross_entropy_gradient(scores, right):\n    e = np.exp(scores - scores.max(axis=1, keepdims=True))\n"
            "    p = e / e.sum(axis=1, keepdims=True)\n    p[np.arange(len(p)), right] -= 1\n    return p / len(p)"
        ],
        [
            (
                "def cross_entropy_gradient(scores, right):\n    e = np.exp(scores - scores.max(axis=1, keepdims=True))\n"
                "    p = e / e.sum(axis=1, keepdims=True)\n    p[np.arange(len(p)), right] -= 1\n    return p",
                "4 times what they should be",
            ),
            (
                "def cross_entropy_gradient(scores, right):\n    e = np.exp(scores - scores.max())\n    p = e / e.sum()\n"
                "    p[np.arange(len(p)), right] -= 1\n    return p / len(p)",
                "four rows",
            ),
            (
                "def cross_entropy_gradient(scores, right):\n    with np.errstate(all='ignore'):\n        e = np.exp(scores)\n"
                "        p = e / e.sum(axis=1, keepdims=True)\n    p[np.arange(len(p)), right] -= 1\n    return p / len(p)",
                "There is a NaN",
            ),
        ],
    ),
    "layer_norm": (
        [
            "def layer_norm(x, weight, bias, eps=1e-5):\n    c = x - x.mean(axis=-1, keepdims=True)\n"
            "    return c / np.sqrt((c * c).mean(axis=-1, keepdims=True) + eps) * weight + bias"
        ],
        [
            (
                "def layer_norm(x, weight, bias, eps=1e-5):\n    c = x - x.mean(axis=-1, keepdims=True)\n"
                "    return c / np.sqrt(x.var(axis=-1, keepdims=True, ddof=1) + eps) * weight + bias",
                "three rows",
            ),
            (
                "def layer_norm(x, weight, bias, eps=1e-5):\n    c = x - x.mean(axis=0)\n    return c / np.sqrt(x.var(axis=0) + eps) * weight + bias",
                "off",
            ),
            (
                "def layer_norm(x, weight, bias, eps=1e-5):\n    m = x.mean(axis=-1, keepdims=True)\n"
                "    v = np.abs((x * x).mean(axis=-1, keepdims=True) - m * m)\n    return (x - m) / np.sqrt(v + eps) * weight + bias",
                "float32, far from 0",
            ),
        ],
    ),
    "layer_norm_backward": (
        [
            "def layer_norm_backward(g, x, weight, eps=1e-5):\n    c = x - x.mean(axis=-1, keepdims=True)\n"
            "    r = 1 / np.sqrt((c * c).mean(axis=-1, keepdims=True) + eps)\n    n, h = c * r, g * weight\n"
            "    dx = (h - h.mean(axis=-1, keepdims=True) - n * (h * n).mean(axis=-1, keepdims=True)) * r\n"
            "    return dx, (g * n).sum(axis=0), g.sum(axis=0)"
        ],
        [
            (
                "def layer_norm_backward(g, x, weight, eps=1e-5):\n    c = x - x.mean(axis=-1, keepdims=True)\n"
                "    r = 1 / np.sqrt((c * c).mean(axis=-1, keepdims=True) + eps)\n    n, h = c * r, g * weight\n"
                "    return h * r, (g * n).sum(axis=0), g.sum(axis=0)",
                "(dL/dweight, dL/dbias: right)",
            ),
            (
                "def layer_norm_backward(g, x, weight, eps=1e-5):\n    c = x - x.mean(axis=-1, keepdims=True)\n"
                "    r = 1 / np.sqrt((c * c).mean(axis=-1, keepdims=True) + eps)\n    n, h = c * r, g * weight\n"
                "    dx = (h - h.mean(axis=-1, keepdims=True) - n * (h * n).mean(axis=-1, keepdims=True)) * r\n"
                "    return dx, g * n, g",
                "a sum is missing",
            ),
        ],
    ),
}

ANSWERS["06_training"] = {
    "initial_weight": (
        ["def initial_weight(random, inputs, outputs): return random.standard_normal((outputs, inputs)) * math.sqrt(2 / inputs)"],
        [
            (
                "def initial_weight(random, inputs, outputs): return random.standard_normal((outputs, inputs)) * math.sqrt(2 / outputs)",
                "standard deviation",
            ),
            (
                "def initial_weight(random, inputs, outputs): return random.standard_normal((inputs, outputs)) * math.sqrt(2 / inputs)",
                "shape",
            ),
            (
                "def initial_weight(random, inputs, outputs): return random.standard_normal((outputs, inputs)) * 2 / inputs",
                "standard deviation",
            ),
        ],
    ),
    "clip": (
        [
            "def clip(gradients, longest):\n    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))\n"
            "    return [g * min(1.0, longest / (norm + 1e-12)) for g in gradients]"
        ],
        [
            ("def clip(gradients, longest): return [np.clip(g, -longest, longest) for g in gradients]", "off by"),
            ("def clip(gradients, longest): return [g * longest / np.linalg.norm(g) for g in gradients]", "too long"),
            (
                "def clip(gradients, longest):\n    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))\n"
                "    return [g * longest / norm for g in gradients]",
                "short enough",
            ),
        ],
    ),
}

ANSWERS["07_words"] = {
    "wordpiece": (
        [
            "def wordpiece(word, vocabulary):\n    pieces, start = [], 0\n    while start < len(word):\n"
            "        for end in range(len(word), start, -1):\n            piece = ('##' if start else '') + word[start:end]\n"
            "            if piece in vocabulary:\n                pieces.append(piece)\n                start = end\n                break\n"
            "        else:\n            return ['[UNK]']\n    return pieces"
        ],
        [
            (
                "def wordpiece(word, vocabulary):\n    pieces, start = [], 0\n    while start < len(word):\n"
                "        for end in range(start + 1, len(word) + 1):\n            piece = ('##' if start else '') + word[start:end]\n"
                "            if piece in vocabulary:\n                pieces.append(piece)\n                start = end\n"
                "                break\n        else:\n            return ['[UNK]']\n    return pieces",
                "yours is",
            ),
            (
                "def wordpiece(word, vocabulary):\n    pieces, start = [], 0\n    while start < len(word):\n"
                "        for end in range(len(word), start, -1):\n            piece = ('##' if start else '') + word[start:end]\n"
                "            if piece in vocabulary:\n                pieces.append(piece)\n                start = end\n                break\n"
                "        else:\n            return [*pieces, '[UNK]']\n    return pieces",
                "does not fit",
            ),
        ],
    ),
    "tf_idf": (
        [
            "def tf_idf(counts):\n    n = len(counts)\n    idf = np.log((1 + n) / (1 + (counts > 0).sum(axis=0))) + 1\n    x = counts * idf\n"
            "    return x / np.sqrt((x * x).sum(axis=1, keepdims=True))"
        ],
        [
            (
                "def tf_idf(counts):\n    n = len(counts)\n    idf = np.log((1 + n) / (1 + (counts > 0).sum(axis=0)))\n    x = counts * idf\n"
                "    return x / np.sqrt((x * x).sum(axis=1, keepdims=True))",
                "off by",
            ),
            (
                "def tf_idf(counts):\n    n = len(counts)\n    return counts * (np.log((1 + n) / (1 + (counts > 0).sum(axis=0))) + 1)",
                "off by",
            ),
        ],
    ),
    "embedding_gradient": (
        [
            "def embedding_gradient(g, ids, size):\n    table = np.zeros((size, g.shape[1]))\n    np.add.at(table, ids, g)\n    return table",
            "def embedding_gradient(g, ids, size): return np.eye(size)[ids].T @ g",
        ],
        [
            (
                "def embedding_gradient(g, ids, size):\n    table = np.zeros((size, g.shape[1]))\n    table[ids] += g\n    return table",
                "a row used twice",
            ),
            ("def embedding_gradient(g, ids, size): return np.eye(size)[ids] @ g", "Error"),
        ],
    ),
}

ANSWERS["08_attention"] = {
    "attention": (
        [
            "def attention(q, k, v, mask=None):\n    scores = q @ k.mT / math.sqrt(q.shape[-1])\n"
            "    if mask is not None:\n        scores = minitorch.where(mask, scores, -math.inf)\n    return scores.softmax(-1) @ v",
            "def attention(q, k, v, mask=None):\n    s = (q / q.shape[-1] ** 0.5) @ k.transpose(-1, -2)\n"
            "    s = s if mask is None else s.masked_fill(~mask, -math.inf)\n    e = (s - s.amax(-1, keepdim=True)).exp()\n"
            "    return e / e.sum(-1, keepdim=True) @ v",
        ],
        [
            ("def attention(q, k, v, mask=None): return (q @ k.mT).softmax(-1) @ v", "two sequences"),
            ("def attention(q, k, v, mask=None): return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-2) @ v", "two sequences"),
            ("def attention(q, k, v, mask=None): return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v", "with a mask"),
            (
                "def attention(q, k, v, mask=None):\n    e = (q @ k.mT / math.sqrt(q.shape[-1])).exp()\n"
                "    e = e if mask is None else e * mask\n    return e / e.sum(-1, keepdim=True) @ v",
                "large numbers",
            ),
            (
                "def attention(q, k, v, mask=None):\n    w = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)\n"
                "    return (w if mask is None else w * mask) @ v",
                "with a mask",
            ),
        ],
    ),
    "positions": (
        [
            "def positions(length, d):\n    a = np.arange(length)[:, None] / 10000 ** (2 * np.arange(d // 2) / d)\n"
            "    return np.stack([np.sin(a), np.cos(a)], axis=-1).reshape(length, d)"
        ],
        [
            (
                "def positions(length, d):\n    a = np.arange(length)[:, None] / 10000 ** (2 * np.arange(d // 2) / d)\n"
                "    return np.concatenate([np.sin(a), np.cos(a)], axis=-1)",
                "two pairs",
            ),
            (
                "def positions(length, d):\n    a = np.arange(length)[:, None] / 10000 ** (np.arange(d // 2) / d)\n"
                "    return np.stack([np.sin(a), np.cos(a)], axis=-1).reshape(length, d)",
                "two pairs",
            ),
        ],
    ),
    "split_heads": (
        [
            "def split_heads(x, heads):\n    B, L, E = x.shape\n    return x.reshape(B, L, heads, E // heads).transpose(1, 2)",
            "def split_heads(x, heads): return minitorch.stack(x.chunk(heads, -1), 1)",
        ],
        [
            (
                "def split_heads(x, heads):\n    B, L, E = x.shape\n    return x.reshape(B, heads, L, E // heads)",
                "numbers are off",
            ),
            ("def split_heads(x, heads):\n    B, L, E = x.shape\n    return x.reshape(B, L, heads, E // heads)", "has shape"),
        ],
    ),
}

ANSWERS["09_bert"] = {
    "unigram_cost": (
        [
            "def unigram_cost(train_ids, fresh_ids, V):\n    c = np.bincount(train_ids, minlength=V) + 1\n"
            "    return -np.log(c / c.sum())[fresh_ids].mean()"
        ],
        [
            (
                "def unigram_cost(train_ids, fresh_ids, V):\n    c = np.bincount(train_ids, minlength=V)\n"
                "    with np.errstate(divide='ignore'):\n        return -np.log(c / c.sum())[fresh_ids].mean()",
                "There is an infinity",
            ),
            (
                "def unigram_cost(train_ids, fresh_ids, V):\n    c = np.bincount(train_ids, minlength=V) + 1\n"
                "    return np.log(c / c.sum())[fresh_ids].mean()",
                "wrong sign",
            ),
            (
                "def unigram_cost(train_ids, fresh_ids, V):\n    c = np.bincount(fresh_ids, minlength=V) + 1\n"
                "    return -np.log(c / c.sum())[fresh_ids].mean()",
                "three pieces",
            ),
        ],
    ),
    "mask_pieces": (
        [
            "def mask_pieces(ids, chosen, u, other, mask_id):\n    seen = np.where(chosen & (u < 0.8), mask_id, ids)\n"
            "    seen = np.where(chosen & (u >= 0.8) & (u < 0.9), other, seen)\n    return seen, np.where(chosen, ids, -100)"
        ],
        [
            (
                "def mask_pieces(ids, chosen, u, other, mask_id):\n    seen = np.where(chosen & (u < 0.8), mask_id, ids)\n"
                "    seen = np.where(chosen & (u >= 0.8) & (u < 0.9), other, seen)\n    return seen, np.where(seen != ids, ids, -100)",
                "labels at [2]",
            ),
            (
                "def mask_pieces(ids, chosen, u, other, mask_id):\n    return np.where(chosen, mask_id, ids), np.where(chosen, ids, -100)",
                "what it sees at [",
            ),
            (
                "def mask_pieces(ids, chosen, u, other, mask_id):\n    ids[chosen] = mask_id\n    return ids, ids",
                "in place",
            ),
        ],
    ),
    "masked_loss": (
        [
            "def masked_loss(logits, labels):\n    asked = labels != -100\n    x = logits[asked]\n    x = x - x.max(axis=1, keepdims=True)\n"
            "    logp = x - np.log(np.exp(x).sum(axis=1, keepdims=True))\n    return -logp[np.arange(len(x)), labels[asked]].mean()"
        ],
        [
            (
                "def masked_loss(logits, labels):\n    asked = labels != -100\n    x = logits[asked]\n"
                "    x = x - x.max(axis=1, keepdims=True)\n    logp = x - np.log(np.exp(x).sum(axis=1, keepdims=True))\n"
                "    return -logp[np.arange(len(x)), labels[asked]].sum() / len(labels)",
                "0.5 times",
            ),
            (
                "def masked_loss(logits, labels):\n    asked = labels != -100\n    x = logits[asked]\n    with np.errstate(all='ignore'):\n"
                "        p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)\n"
                "        return -np.log(p[np.arange(len(x)), labels[asked]]).mean()",
                "huge logits",
            ),
        ],
    ),
}

ANSWERS["10_finetuning"] = {
    "pad_batch": (
        [
            "def pad_batch(rows, cls_id, sep_id, pad_id):\n    n = max(map(len, rows)) + 2\n    ids = np.full((len(rows), n), pad_id)\n"
            "    mask = np.zeros((len(rows), n), dtype=int)\n    for i, row in enumerate(rows):\n        ids[i, : len(row) + 2] = [cls_id, *row, sep_id]\n"
            "        mask[i, : len(row) + 2] = 1\n    return ids, mask"
        ],
        [
            (
                "def pad_batch(rows, cls_id, sep_id, pad_id):\n    n = max(map(len, rows)) + 2\n    ids = np.full((len(rows), n), pad_id)\n"
                "    for i, row in enumerate(rows):\n        ids[i, : len(row) + 2] = [cls_id, *row, sep_id]\n    return ids, np.ones_like(ids)",
                "mask at [1, 3]",
            ),
            (
                "def pad_batch(rows, cls_id, sep_id, pad_id):\n    n = max(map(len, rows))\n    ids = np.full((len(rows), n), pad_id)\n"
                "    for i, row in enumerate(rows):\n        ids[i, : len(row)] = row\n    return ids, (ids != pad_id).astype(int)",
                "has shape",
            ),
        ],
    ),
    "compare_names": (
        [
            "def compare_names(wanted, given):\n    loaded = sorted(n for n in wanted if given.get(n) == wanted[n])\n"
            "    return loaded, sorted(set(wanted) - set(loaded)), sorted(set(given) - set(loaded))"
        ],
        [
            (
                "def compare_names(wanted, given):\n    loaded = sorted(set(wanted) & set(given))\n"
                "    return loaded, sorted(set(wanted) - set(loaded)), sorted(set(given) - set(loaded))",
                "a shape differs",
            ),
            (
                "def compare_names(wanted, given):\n    loaded = sorted(n for n in wanted if given.get(n) == wanted[n])\n"
                "    return loaded, sorted(set(given) - set(loaded)), sorted(set(wanted) - set(loaded))",
                "missing: yours is ['c'], it should be ['b']",
            ),
        ],
    ),
    "read_tensor": (
        [
            "def read_tensor(data, name):\n    n = int.from_bytes(data[:8], 'little')\n    entry = json.loads(data[8 : 8 + n])[name]\n"
            "    begin, end = entry['data_offsets']\n"
            "    return np.frombuffer(data[8 + n + begin : 8 + n + end], dtype=np.float32).reshape(entry['shape'])"
        ],
        [
            (
                "def read_tensor(data, name):\n    n = int.from_bytes(data[:8], 'little')\n    entry = json.loads(data[8 : 8 + n])[name]\n"
                "    begin, end = entry['data_offsets']\n    return np.frombuffer(data[begin:end], dtype=np.float32).reshape(entry['shape'])",
                "numbers are off",
            ),
            (
                "def read_tensor(data, name):\n    n = int.from_bytes(data[:8], 'big')\n    return json.loads(data[8 : 8 + n])[name]",
                "Error",
            ),
        ],
    ),
}

ANSWERS["11_fast"] = {
    "shortest_time": (
        ["def shortest_time(operations, bytes_moved, peak, bandwidth): return max(operations / peak, bytes_moved / bandwidth)"],
        [
            (
                "def shortest_time(operations, bytes_moved, peak, bandwidth): return operations / peak + bytes_moved / bandwidth",
                "off by",
            ),
            (
                "def shortest_time(operations, bytes_moved, peak, bandwidth): return bytes_moved / bandwidth",
                "arithmetic is the limit",
            ),
        ],
    ),
    "cubic_blocked": (
        [
            "def cubic_blocked(x, block):\n    y = np.empty_like(x)\n    for i in range(0, len(x), block):\n"
            "        p, o = x[i : i + block], y[i : i + block]\n        np.multiply(p, -0.1, out=o)\n        o += 0.4\n        o *= p\n"
            "        o += 0.5\n        o *= p\n    return y"
        ],
        [
            (
                "def cubic_blocked(x, block):\n    y = np.zeros_like(x)\n    for i in range(0, len(x) - block + 1, block):\n"
                "        p = x[i : i + block]\n        y[i : i + block] = p * (0.5 + p * (0.4 - 0.1 * p))\n    return y",
                "a shorter last block",
            ),
            (
                "def cubic_blocked(x, block):\n    for i in range(0, len(x), block):\n        p = x[i : i + block]\n"
                "        p[...] = p * (0.5 + p * (0.4 - 0.1 * p))\n    return x",
                "in place",
            ),
        ],
    ),
    "speedup": (
        ["def speedup(share, factor): return 1 / (1 - share + share / factor)"],
        [
            ("def speedup(share, factor): return 1 - share + share / factor", "half of it"),
            ("def speedup(share, factor): return share * factor", "half of it"),
        ],
    ),
}

ANSWERS["12_gpu"] = {
    "grid": (
        ["def grid(n, block_size):\n    b = -(-n // block_size)\n    return b, b * block_size - n"],
        [
            ("def grid(n, block_size): return n // block_size, n % block_size", "blocks: yours is 3, it should be 4"),
            ("def grid(n, block_size):\n    b = n // block_size + 1\n    return b, b * block_size - n", "just full"),
        ],
    ),
    "tree_sum": (
        [
            "def tree_sum(x):\n    rounds = 0\n    while len(x) > 1:\n        half = (len(x) + 1) // 2\n        y = x[:half].copy()\n"
            "        y[: len(x) - half] += x[half:]\n        x, rounds = y, rounds + 1\n    return x[0], rounds"
        ],
        [
            (
                "def tree_sum(x):\n    rounds = 0\n    while len(x) > 1:\n        half = len(x) // 2\n        x, rounds = x[:half] + x[half : 2 * half], rounds + 1\n"
                "    return x[0], rounds",
                "five numbers",
            ),
            (
                "def tree_sum(x):\n    rounds = 0\n    while len(x) > 1:\n        half = (len(x) + 1) // 2\n"
                "        x[: len(x) - half] += x[half:]\n        x, rounds = x[:half], rounds + 1\n    return x[0], rounds",
                "in place",
            ),
        ],
    ),
    "gain_of_fusing": (
        ["def gain_of_fusing(k, n, launch, bandwidth): return k * (launch + 8 * n / bandwidth) / (launch + 8 * n / bandwidth)"],
        [
            (
                "def gain_of_fusing(k, n, launch, bandwidth): return (k * launch + 8 * n / bandwidth) / (launch + 8 * n / bandwidth)",
                "off by",
            ),
            ("def gain_of_fusing(k, n, launch, bandwidth): return 1 / k", "off by"),
        ],
    ),
}

for _lesson, _exercises in MORE.items():
    for _name, (_right, _wrong) in _exercises.items():
        _both = ANSWERS[_lesson].setdefault(_name, ([], []))
        _both[0].extend(_right)
        _both[1].extend(_wrong)

ANSWERS["16_adapting"] = LESSON_16
ANSWERS |= lesson_answers_19_22.ANSWERS
ANSWERS.update(SEQUENCES)
ANSWERS["17_prompts"] = LESSON_17
ANSWERS["18_generation"] = LESSON_18
