"""Answers to the exercises of lesson 16, in the form of lesson_answers.py."""

LESSON_16 = {
    "lora_forward": (
        [
            "def lora_forward(x, W, b, A, B, alpha):\n    s = alpha / A.shape[0]\n    return x @ W.T + b + s * (x @ A.T @ B.T)",
            "def lora_forward(x, W, b, A, B, alpha):\n    return F_.linear(x, W, b) + F_.linear(F_.linear(x, A), B) * (alpha / len(A))".replace(
                "F_", "nn.functional"
            ),
            "def lora_forward(x, W, b, A, B, alpha): return x @ (W + alpha / A.shape[0] * (B @ A)).mT + b",
            """
def lora_forward(x, W, b, A, B, alpha):
    h = minitorch.einsum("...i,ri->...r", x, A)
    y = minitorch.einsum("...r,or->...o", h, B)
    return x.matmul(W.transpose(0, 1)).add(b).add(y.mul(alpha / B.shape[1]))
""",
        ],
        [
            ("def lora_forward(x, W, b, A, B, alpha): return x @ W.T + b + x @ A.T @ B.T", "y at"),
            ("def lora_forward(x, W, b, A, B, alpha): return x @ W.T + b + alpha * (x @ A.T @ B.T)", "y at"),
            ("def lora_forward(x, W, b, A, B, alpha): return x @ W.T + b + alpha / A.shape[1] * (x @ A.T @ B.T)", "y at"),
            ("def lora_forward(x, W, b, A, B, alpha): return x @ W.T + b + alpha / A.shape[0] ** 0.5 * (x @ A.T @ B.T)", "y at"),
            ("def lora_forward(x, W, b, A, B, alpha): return x @ W.T + alpha / A.shape[0] * (x @ A.T @ B.T)", "off by 0.5"),
            ("def lora_forward(x, W, b, A, B, alpha): return alpha / A.shape[0] * (x @ W.T + b + x @ A.T @ B.T)", "y at"),
            ("def lora_forward(x, W, b, A, B, alpha): return x @ W.T + b + alpha / A.shape[0] * (x @ A.T @ B.T + b)", "y at"),
            ("def lora_forward(x, W, b, A, B, alpha): return alpha / A.shape[0] * (x @ A.T @ B.T) + b", "y at"),
            ("def lora_forward(x, W, b, A, B, alpha): return x @ W.T + b + alpha / A.shape[0] * (x @ A.T @ B)", "y at"),
            ("def lora_forward(x, W, b, A, B, alpha): return x @ W.T + b + alpha / 2 * (x @ A.T @ B.T)", "r = 1"),
            ("def lora_forward(x, W, b, A, B, alpha): return W @ x + b", "stops with"),
            (
                "def lora_forward(x, W, b, A, B, alpha):\n    x, W, b, A, B = (t.detach().numpy() for t in (x, W, b, A, B))\n"
                "    return minitorch.tensor(x @ W.T + b + alpha / A.shape[0] * (x @ A.T @ B.T))",
                "no gradient reaches A and B",
            ),
            (
                "def lora_forward(x, W, b, A, B, alpha):\n    return x @ W.T + b + alpha / A.shape[0] * (x @ A.detach().T @ B.T)",
                "stops with",
            ),
        ],
    ),
    "lora_gradients": (
        [
            "def lora_gradients(x, g, A, B, s):\n    h = x @ A.T\n    dh = s * g @ B\n    return dh.T @ x, s * g.T @ h",
            "def lora_gradients(x, g, A, B, s):\n    dW = g.T @ x  # of the product\n    return s * B.T @ dW, s * dW @ A.T",
            """
def lora_gradients(x, g, A, B, s):
    dA, dB = np.zeros_like(A), np.zeros_like(B)
    for xi, gi in zip(x, g):
        dA += s * np.outer(B.T @ gi, xi)
        dB += s * np.outer(gi, A @ xi)
    return [dA, dB]
""",
            """
def lora_gradients(x, g, A, B, s):
    x, g = minitorch.tensor(x), minitorch.tensor(g)
    A, B = minitorch.tensor(A, requires_grad=True), minitorch.tensor(B, requires_grad=True)
    return minitorch.autograd.grad((s * (x @ A.mT @ B.mT) * g).sum(), (A, B))
""",
        ],
        [
            ("def lora_gradients(x, g, A, B, s): return (g @ B).T @ x, g.T @ (x @ A.T)", "0.5 times what they should be"),
            ("def lora_gradients(x, g, A, B, s): return s * s * (g @ B).T @ x, s * g.T @ (x @ A.T)", "dA"),
            ("def lora_gradients(x, g, A, B, s): return s * (g @ B).T @ x, g.T @ (x @ A.T)", "dB"),
            ("def lora_gradients(x, g, A, B, s): return s * g.T @ (x @ A.T), s * (g @ B).T @ x", "dA has shape"),
            ("def lora_gradients(x, g, A, B, s): return s * x.T @ (g @ B), s * (x @ A.T).T @ g", "transposed"),
            ("def lora_gradients(x, g, A, B, s): return s * (g @ B).T @ x / len(x), s * g.T @ (x @ A.T) / len(x)", "two vectors"),
            ("def lora_gradients(x, g, A, B, s): return s * (g @ B.T).T @ x, s * g.T @ (x @ A.T)", "dA"),
            ("def lora_gradients(x, g, A, B, s): return s * (g @ B).T @ x, s * g.T @ (x @ A.T @ B.T)", "dB"),
            ("def lora_gradients(x, g, A, B, s):\n    g *= s\n    return (g @ B).T @ x, g.T @ (x @ A.T)", "in place"),
            ("def lora_gradients(x, g, A, B, s): return s * (g @ B).T @ x", "dA has shape (3,)"),
        ],
    ),
    "lora_weights": (
        [
            "def lora_weights(shapes, r): return sum(r * (o + i) for o, i in shapes)",
            "def lora_weights(shapes, r): return r * sum(map(sum, shapes))",
            "def lora_weights(shapes, r):\n    n = 0\n    for shape in shapes:\n        n += np.zeros((r, shape[1])).size + np.zeros((shape[0], r)).size\n    return n",
        ],
        [
            ("def lora_weights(shapes, r): return sum(o * i for o, i in shapes)", "yours is 12"),
            ("def lora_weights(shapes, r): return sum(r * o * i for o, i in shapes)", "yours is 24"),
            ("def lora_weights(shapes, r): return sum(2 * r * i for o, i in shapes)", "yours is 12"),
            ("def lora_weights(shapes, r): return sum(r * (o + i) + o for o, i in shapes)", "yours is 18"),
            (
                "def lora_weights(shapes, r): return r * (shapes[0][0] + shapes[0][1]) * len(shapes)",
                "two layers of different shapes",
            ),
            ("def lora_weights(shapes, r): return r * sum(shapes[0])", "two layers of different shapes"),
        ],
    ),
    "merge": (
        [
            "def merge(W, A, B, alpha): return W + alpha / len(A) * B @ A",
            "def merge(W, A, B, alpha):\n    merged = W.copy()\n    merged += (alpha / B.shape[1]) * np.einsum('or,ri->oi', B, A)\n    return merged",
            "def merge(W, A, B, alpha): return (W.T + alpha / A.shape[0] * (A.T @ B.T)).T",
            """
def merge(W, A, B, alpha):
    columns = np.eye(W.shape[1])
    return (columns @ W.T + alpha / len(A) * columns @ A.T @ B.T).T
""",
        ],
        [
            ("def merge(W, A, B, alpha): return W + B @ A", "r = 2, α = 4"),
            ("def merge(W, A, B, alpha): return W + alpha * B @ A", "r = 2, α = 4"),
            ("def merge(W, A, B, alpha): return W + alpha / 2 * B @ A", "r = 1, α = 3"),
            ("def merge(W, A, B, alpha): return alpha / len(A) * B @ A", "r = 2, α = 4"),
            ("def merge(W, A, B, alpha): return W + alpha / len(A) * A @ B", "stops with"),
            (
                "def merge(W, A, B, alpha):\n    change = A @ B if A.shape == B.shape else B @ A\n    return W + alpha / len(A) * change",
                "a square weight",
            ),
            ("def merge(W, A, B, alpha): return W.T + alpha / len(A) * (B @ A).T", "transposed"),
            ("def merge(W, A, B, alpha):\n    W += alpha / len(A) * B @ A\n    return W", "in place"),
            ("def merge(W, A, B, alpha): return alpha / len(A) * (W + B @ A)", "r = 2, α = 4"),
            ("def merge(W, A, B, alpha): W + alpha / len(A) * B @ A", "returns None"),
        ],
    ),
}
