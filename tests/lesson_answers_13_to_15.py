"""Answers to the exercises of lessons 13 to 15, in the form of lesson_answers.py."""

SEQUENCES: dict[str, dict[str, tuple[list[str], list[tuple[str, str]]]]] = {}

SEQUENCES["13_sequences"] = {
    "rnn": (
        [
            """
def rnn(x, W, U, b):
    h, states = minitorch.zeros(x.shape[0], len(U)), []
    for t in range(x.shape[1]):
        h = (x[:, t] @ W.T + h @ U.T + b).tanh()
        states.append(h)
    return minitorch.stack(states, dim=1)
""",
            """
def rnn(x, W, U, b):
    inputs = F.linear(x, W, b)
    states = [minitorch.tanh(inputs[:, 0])]
    for t in range(1, inputs.shape[1]):
        states += [minitorch.tanh(inputs[:, t] + F.linear(states[-1], U))]
    return minitorch.cat([h.unsqueeze(1) for h in states], dim=1)
""",
            """
def rnn(x, W, U, b):
    layer = nn.RNN(W.shape[1], W.shape[0], batch_first=True)
    layer.load_state_dict({"weight_ih_l0": W, "weight_hh_l0": U, "bias_ih_l0": b, "bias_hh_l0": b * 0})
    return layer(x)[0].detach()
""",
        ],
        [
            (
                "def rnn(x, W, U, b):\n    h, states = minitorch.zeros(x.shape[0], len(U)), []\n    for t in range(x.shape[1]):\n"
                "        h = (x[:, t] @ W.T + h @ U + b).tanh()\n        states.append(h)\n    return minitorch.stack(states, dim=1)",
                "several places",
            ),
            (
                "def rnn(x, W, U, b):\n    h, states = minitorch.zeros(x.shape[0], len(U)), []\n    for t in range(x.shape[1]):\n"
                "        h = (x[:, t] @ W.T + h @ U.T + b).tanh()\n        states.append(h)\n    return minitorch.stack(states)",
                "has shape",
            ),
            (
                "def rnn(x, W, U, b):\n    h, states = minitorch.zeros(x.shape[0], len(U)), []\n    for t in range(x.shape[1]):\n"
                "        states.append((x[:, t] @ W.T + h @ U.T + b).tanh())\n    return minitorch.stack(states, dim=1)",
                "several places",
            ),
            (
                "def rnn(x, W, U, b):\n    h, states = minitorch.zeros(x.shape[0], len(U)), []\n    for t in range(x.shape[1]):\n"
                "        h = x[:, t] @ W.T + h @ U.T + b\n        states.append(h)\n    return minitorch.stack(states, dim=1)",
                "one place",
            ),
            (
                "def rnn(x, W, U, b):\n    h, states = minitorch.zeros(x.shape[0], len(U)), []\n    for t in range(x.shape[1]):\n"
                "        h = (x[:, t] @ W + h @ U.T + b).tanh()\n        states.append(h)\n    return minitorch.stack(states, dim=1)",
                "it stops with",
            ),
            (
                "def rnn(x, W, U, b):\n    h = minitorch.zeros(x.shape[0], len(U))\n    for t in range(x.shape[1]):\n"
                "        h = (x[:, t] @ W.T + h @ U.T + b).tanh()\n    return h",
                "has shape",
            ),
            (
                "def rnn(x, W, U, b):\n    h, states = minitorch.zeros(x.shape[0], len(U)), []\n    for t in reversed(range(x.shape[1])):\n"
                "        h = (x[:, t] @ W.T + h @ U.T + b).tanh()\n        states.append(h)\n"
                "    return minitorch.stack(states[::-1], dim=1)",
                "several places",
            ),
        ],
    ),
    "left_over": (
        [
            """
def left_over(U, h):
    J, norms = np.eye(len(U)), [1.0]
    for state in h[:0:-1]:
        J = J @ (np.diag(1 - state**2) @ U)
        norms.append(np.linalg.norm(J, 2))
    return norms[::-1]
""",
            """
def left_over(U, h):
    T, H = h.shape
    left = np.empty(T)
    product = np.identity(H)
    for t in range(T - 1, -1, -1):
        left[t] = np.linalg.svd(product, compute_uv=False)[0]
        product = product @ ((1 - h[t][:, None] ** 2) * U)
    return left
""",
            """
def left_over(U, h):
    factors = [(1 - row**2)[:, None] * U for row in h]
    found = []
    for t in range(len(h)):
        J = np.eye(len(U))
        for factor in factors[t + 1 :]:
            J = factor @ J
        found.append(np.linalg.norm(J, 2))
    return found
""",
        ],
        [
            (
                "def left_over(U, h):\n    J, norms = np.eye(len(U)), [1.0]\n    for s in h[:0:-1]:\n        J = J @ U\n"
                "        norms.append(np.linalg.norm(J, 2))\n    return norms[::-1]",
                "one number, three steps",
            ),
            (
                "def left_over(U, h):\n    J, norms = np.eye(len(U)), [1.0]\n    for s in h[:0:-1]:\n        J = J @ (U * (1 - s**2))\n"
                "        norms.append(np.linalg.norm(J, 2))\n    return norms[::-1]",
                "small weights",
            ),
            (
                "def left_over(U, h):\n    J, norms = np.eye(len(U)), [1.0]\n    for s in h[:0:-1]:\n"
                "        J = ((1 - s**2)[:, None] * U) @ J\n        norms.append(np.linalg.norm(J, 2))\n    return norms[::-1]",
                "small weights",
            ),
            (
                "def left_over(U, h):\n    J, norms = np.eye(len(U)), [1.0]\n    for s in h[:0:-1]:\n"
                "        J = J @ ((1 - s**2)[:, None] * U)\n        norms.append(np.linalg.norm(J, 2))\n    return norms",
                "reverse order",
            ),
            (
                "def left_over(U, h):\n    J, norms = np.eye(len(U)), [1.0]\n    for s in h[-2::-1]:\n"
                "        J = J @ ((1 - s**2)[:, None] * U)\n        norms.append(np.linalg.norm(J, 2))\n    return norms[::-1]",
                "one number, three steps",
            ),
            (
                "def left_over(U, h):\n    n, norms = 1.0, [1.0]\n    for s in h[:0:-1]:\n"
                "        n *= np.linalg.norm((1 - s**2)[:, None] * U, 2)\n        norms.append(n)\n    return norms[::-1]",
                "small weights",
            ),
            (
                "def left_over(U, h):\n    J, norms = np.eye(len(U)), [1.0]\n    for s in h[:0:-1]:\n"
                "        J = J @ ((1 - s**2)[:, None] * U)\n        norms.append(np.linalg.norm(J))\n    return norms[::-1]",
                "small weights",
            ),
            (
                "def left_over(U, h):\n    J, norms = np.eye(len(U)), []\n    for s in h[::-1]:\n"
                "        J = J @ ((1 - s**2)[:, None] * U)\n        norms.append(np.linalg.norm(J, 2))\n    return norms[::-1]",
                "one number, three steps",
            ),
        ],
    ),
    "lstm_step": (
        [
            """
def lstm_step(x, h, c, W, U, b):
    i, f, g, o = (x @ W.T + h @ U.T + b).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c
""",
            """
def lstm_step(x, h, c, W, U, b):
    z, H = F.linear(x, W, b) + F.linear(h, U), h.shape[1]
    gates = minitorch.sigmoid(z)
    new = gates[:, H : 2 * H] * c + gates[:, :H] * minitorch.tanh(z[:, 2 * H : 3 * H])
    return [gates[:, 3 * H :] * minitorch.tanh(new), new]
""",
        ],
        [
            (
                "def lstm_step(x, h, c, W, U, b):\n    f, i, g, o = (x @ W.T + h @ U.T + b).chunk(4, -1)\n"
                "    c = f.sigmoid() * c + i.sigmoid() * g.tanh()\n    return o.sigmoid() * c.tanh(), c",
                "three texts",
            ),
            (
                "def lstm_step(x, h, c, W, U, b):\n    i, f, o, g = (x @ W.T + h @ U.T + b).chunk(4, -1)\n"
                "    c = f.sigmoid() * c + i.sigmoid() * g.tanh()\n    return o.sigmoid() * c.tanh(), c",
                "three texts",
            ),
            (
                "def lstm_step(x, h, c, W, U, b):\n    i, f, g, o = (x @ W.T + h @ U.T + b).chunk(4, -1)\n"
                "    new = f.sigmoid() * c + i.sigmoid() * g.tanh()\n    return o.sigmoid() * c.tanh(), new",
                "(c: right)",
            ),
            (
                "def lstm_step(x, h, c, W, U, b):\n    i, f, g, o = (x @ W.T + h @ U.T + b).sigmoid().chunk(4, -1)\n"
                "    c = f * c + i * g\n    return o * c.tanh(), c",
                "three texts",
            ),
            (
                "def lstm_step(x, h, c, W, U, b):\n    i, f, g, o = (x @ W.T + h @ U.T + b).chunk(4, -1)\n"
                "    c = f.sigmoid() * c + i.sigmoid() * g.tanh()\n    return o.sigmoid() * c, c",
                "(c: right)",
            ),
            (
                "def lstm_step(x, h, c, W, U, b):\n    i, f, g, o = (x @ W.T + h @ U.T + b).chunk(4, -1)\n"
                "    c = f.sigmoid() * c + i.sigmoid() * g.tanh()\n    return c, o.sigmoid() * c.tanh()",
                "three texts",
            ),
            (
                "def lstm_step(x, h, c, W, U, b):\n    i, f, g, o = (x @ W.T + h @ U.T + b).chunk(4, -1)\n    i = i.sigmoid()\n"
                "    c = (1 - i) * c + i * g.tanh()\n    return o.sigmoid() * c.tanh(), c",
                "three texts",
            ),
            (
                "def lstm_step(x, h, c, W, U, b):\n    i, f, g, o = (x @ W.T + h @ U.T + b).chunk(4, -1)\n"
                "    c = f.sigmoid() * c + i.sigmoid() * g.tanh()\n    return o.sigmoid() * c.tanh()",
                "2 things should come back",
            ),
            (
                "def lstm_step(x, h, c, W, U, b):\n    i, f, g, o = (x @ W.T + h @ U.T + b).chunk(4, 0)\n"
                "    c = f.sigmoid() * c + i.sigmoid() * g.tanh()\n    return o.sigmoid() * c.tanh(), c",
                "it stops with",
            ),
        ],
    ),
    "forget_bias": (
        [
            "def forget_bias(distance, kept):\n    f = kept ** (1 / distance)\n    return math.log(f / (1 - f))",
            "def forget_bias(distance, kept): return -math.log(math.exp(-math.log(kept) / distance) - 1)",
            "def forget_bias(distance, kept):\n    low, high = -50.0, 50.0\n    for _ in range(200):\n        b = (low + high) / 2\n"
            "        if (1 / (1 + math.exp(-b))) ** distance < kept:\n            low = b\n        else:\n            high = b\n"
            "    return low",
        ],
        [
            ("def forget_bias(distance, kept): return kept ** (1 / distance)", "one step, half"),
            ("def forget_bias(distance, kept): return math.log(kept / (1 - kept))", "30 steps, half"),
            ("def forget_bias(distance, kept): return math.log(kept / (1 - kept)) / distance", "30 steps, half"),
            (
                "def forget_bias(distance, kept):\n    f = kept ** (1 / distance)\n    return math.log((1 - f) / f)",
                "should be 2.19722",
            ),
            (
                "def forget_bias(distance, kept):\n    f = 1 - (1 - kept) / distance\n    return math.log(f / (1 - f))",
                "30 steps, half",
            ),
        ],
    ),
    "receptive_field": (
        [
            "def receptive_field(kernel, dilations): return 1 + (kernel - 1) * sum(dilations)",
            "def receptive_field(kernel, dilations):\n    seen = {0}\n    for d in dilations:\n"
            "        seen = {t + d * i for t in seen for i in range(kernel)}\n    return max(seen) + 1",
            "def receptive_field(kernel, dilations):\n    places = 1\n    for d in dilations:\n        places += (kernel - 1) * d\n"
            "    return places",
        ],
        [
            ("def receptive_field(kernel, dilations): return (kernel - 1) * sum(dilations)", "yours is 2, it should be 3"),
            ("def receptive_field(kernel, dilations): return kernel * len(dilations)", "windows of 2, dilations [1, 1, 1, 1, 1]"),
            (
                "def receptive_field(kernel, dilations): return kernel ** len(dilations)",
                "windows of 2, dilations [1, 1, 1, 1, 1]",
            ),
            ("def receptive_field(kernel, dilations): return 1 + kernel * sum(dilations)", "yours is 4, it should be 3"),
            (
                "def receptive_field(kernel, dilations): return 1 + (kernel - 1) * len(dilations)",
                "windows of 2, dilations [1, 2, 4, 8, 16]",
            ),
            ("def receptive_field(kernel, dilations): return 1 + (kernel - 1) * max(dilations)", "dilations [1, 1, 1, 1, 1]"),
            (
                "def receptive_field(kernel, dilations):\n    n = kernel\n    for d in dilations[1:]:\n        n += (kernel - 1) * d\n"
                "    return n",
                "no layer at all",
            ),
        ],
    ),
}
