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
                "with Uᵀ in place of U",
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
                "without 1 - h²",
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
                "in the order f, i, g, o",
            ),
            (
                "def lstm_step(x, h, c, W, U, b):\n    i, f, o, g = (x @ W.T + h @ U.T + b).chunk(4, -1)\n"
                "    c = f.sigmoid() * c + i.sigmoid() * g.tanh()\n    return o.sigmoid() * c.tanh(), c",
                "in the order i, f, o, g",
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
            ("def receptive_field(kernel, dilations): return kernel * len(dilations)", "if windows did not overlap"),
            (
                "def receptive_field(kernel, dilations): return kernel ** len(dilations)",
                "if each layer multiplied",
            ),
            ("def receptive_field(kernel, dilations): return 1 + kernel * sum(dilations)", "yours is 4, it should be 3"),
            (
                "def receptive_field(kernel, dilations): return 1 + (kernel - 1) * len(dilations)",
                "without the dilations",
            ),
            ("def receptive_field(kernel, dilations): return 1 + (kernel - 1) * max(dilations)", "five layers"),
            (
                "def receptive_field(kernel, dilations):\n    n = kernel\n    for d in dilations[1:]:\n        n += (kernel - 1) * d\n"
                "    return n",
                "no layer at all",
            ),
        ],
    ),
}

SEQUENCES["14_pieces"] = {
    "count_pairs": (
        [
            """
def count_pairs(words):
    pairs = Counter()
    for word, n in words.items():
        for pair in itertools.pairwise(word):
            pairs[pair] += n
    return pairs
""",
            """
def count_pairs(words):
    pairs = {}
    for word in words:
        for i in range(len(word) - 1):
            pair = word[i], word[i + 1]
            pairs[pair] = pairs.get(pair, 0) + words[word]
    return pairs
""",
            """
def count_pairs(words):
    from collections import defaultdict

    pairs = defaultdict(int)
    for word, n in words.items():
        for a, b in zip(word, word[1:]):
            pairs[a, b] += n
    return pairs
""",
        ],
        [
            (
                "def count_pairs(words): return Counter(pair for word in words for pair in itertools.pairwise(word))",
                "if each word counts once",
            ),
            (
                "def count_pairs(words):\n    pairs = {}\n    for word, n in words.items():\n        for pair in itertools.pairwise(word):\n"
                "            pairs[pair] = n\n    return pairs",
                "four words",
            ),
            (
                "def count_pairs(words):\n    pairs = Counter()\n    for word, n in words.items():\n"
                "        for pair in set(itertools.pairwise(word)):\n            pairs[pair] += n\n    return pairs",
                "a pair twice in a word",
            ),
            (
                "def count_pairs(words):\n    pairs = Counter()\n    for word, n in words.items():\n"
                "        for a, b in itertools.pairwise(word):\n            pairs[a + b] += n\n    return pairs",
                "four words",
            ),
            (
                "def count_pairs(words):\n    pairs = Counter()\n    for word, n in words.items():\n        text = ''.join(word)\n"
                "        for pair in itertools.pairwise(text):\n            pairs[pair] += n\n    return pairs",
                "pieces of several letters",
            ),
            (
                "def count_pairs(words):\n    pairs = Counter()\n    for word, n in words.items():\n"
                "        for i in range(0, len(word) - 1, 2):\n            pairs[word[i], word[i + 1]] += n\n    return pairs",
                "four words",
            ),
            ("def count_pairs(words): return list(words)", "four words"),
        ],
    ),
    "join": (
        [
            """
def join(pieces, pair, new):
    found, i = [], 0
    while i < len(pieces):
        if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == pair:
            found.append(new)
            i += 2
        else:
            found.append(pieces[i])
            i += 1
    return found
""",
            """
def join(pieces, pair, new):
    rest = list(pieces)
    for i in range(len(pieces)):
        if tuple(rest[i : i + 2]) == tuple(pair):
            rest[i : i + 2] = [new]
    return rest
""",
            """
def join(pieces, pair, new):
    if len(pieces) < 2:
        return list(pieces)
    if tuple(pieces[:2]) == pair:
        return [new, *join(pieces[2:], pair, new)]
    return [pieces[0], *join(pieces[1:], pair, new)]
""",
        ],
        [
            (
                "def join(pieces, pair, new): return ''.join(pieces).replace(''.join(pair), new)",
                "once",
            ),
            (
                "def join(pieces, pair, new):\n    found, i = [], 0\n    while i < len(pieces):\n"
                "        if tuple(pieces[i : i + 2]) == pair:\n            found.append(new)\n        else:\n"
                "            found.append(pieces[i])\n        i += 1\n    return found",
                "once",
            ),
            (
                "def join(pieces, pair, new):\n    found, i = [], 0\n    while i < len(pieces) - 1:\n"
                "        if (pieces[i], pieces[i + 1]) == pair:\n            found.append(new)\n            i += 2\n        else:\n"
                "            found.append(pieces[i])\n            i += 1\n    return found",
                "once",
            ),
            (
                "def join(pieces, pair, new):\n    for i in range(len(pieces) - 1):\n        if (pieces[i], pieces[i + 1]) == pair:\n"
                "            return [*pieces[:i], new, *pieces[i + 2 :]]\n    return list(pieces)",
                "at the end, and twice",
            ),
            (
                "def join(pieces, pair, new):\n    i = 0\n    while i < len(pieces) - 1:\n        if (pieces[i], pieces[i + 1]) == pair:\n"
                "            pieces[i : i + 2] = [new]\n        i += 1\n    return pieces",
                "Make a new list",
            ),
            (
                "def join(pieces, pair, new):\n    found, rest = [], list(pieces)\n    while rest:\n"
                "        if tuple(rest[-2:]) == pair:\n            found.insert(0, new)\n            del rest[-2:]\n        else:\n"
                "            found.insert(0, rest.pop())\n    return found",
                "three equal ones",
            ),
            (
                "def join(pieces, pair, new):\n    out = list(pieces)\n    for i in range(len(out) - 1):\n"
                "        if (out[i], out[i + 1]) == pair:\n            out[i : i + 2] = [new]\n    return out",
                "IndexError",
            ),
            (
                "def join(pieces, pair, new):\n    text = ' '.join(pieces).replace(' '.join(pair), new)\n    return text.split(' ')",
                "the same letters, but other pieces",
            ),
            (
                "def join(pieces, pair, new):\n    found = []\n    for piece in pieces:\n        found.append(piece)\n"
                "        if ''.join(found[-2:]) == ''.join(pair):\n            found[-2:] = [new]\n    return found",
                "two ways to spell it",
            ),
        ],
    ),
    "encode": (
        [
            """
def encode(word, joins):
    rank, pieces = {pair: i for i, pair in enumerate(joins)}, list(word)
    while True:
        known = [pair for pair in itertools.pairwise(pieces) if pair in rank]
        if not known:
            return pieces
        first, i = min(known, key=rank.get), 0
        while i < len(pieces) - 1:
            if (pieces[i], pieces[i + 1]) == first:
                pieces[i : i + 2] = ["".join(first)]
            i += 1
""",
            """
def encode(word, joins):
    pieces = list(word)
    for a, b in joins:
        i = 0
        while i < len(pieces) - 1:
            if pieces[i] == a and pieces[i + 1] == b:
                pieces[i : i + 2] = [a + b]
            i += 1
    return pieces
""",
            """
def encode(word, joins):
    place, pieces = {}, list(word)
    for i, pair in enumerate(joins):
        place[pair] = i
    while len(pieces) > 1:
        ranks = [place.get((a, b), len(joins)) for a, b in zip(pieces, pieces[1:])]
        best = min(ranks)
        if best == len(joins):
            break
        at = ranks.index(best)
        pieces = pieces[:at] + [pieces[at] + pieces[at + 1]] + pieces[at + 2 :]
    return pieces
""",
        ],
        [
            (
                "def encode(word, joins):\n    known, pieces, start = {a + b for a, b in joins} | set(word), [], 0\n"
                "    while start < len(word):\n        end = next(e for e in range(len(word), start, -1) if word[start:e] in known)\n"
                "        pieces.append(word[start:end])\n        start = end\n    return pieces",
                "the first learnt pair wins",
            ),
            (
                "def encode(word, joins):\n    pieces, i = list(word), 0\n    while i < len(pieces) - 1:\n"
                "        if (pieces[i], pieces[i + 1]) in joins:\n            pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]\n"
                "            i = 0\n        else:\n            i += 1\n    return pieces",
                "from left to right",
            ),
            (
                "def encode(word, joins):\n    pieces = list(word)\n    for a, b in joins:\n        i = 0\n"
                "        while i < len(pieces) - 1:\n            if pieces[i] + pieces[i + 1] == a + b:\n"
                "                pieces[i : i + 2] = [a + b]\n            i += 1\n        break\n    return pieces",
                "joins of joins",
            ),
            ("def encode(word, joins): return word", "the first learnt pair wins"),
            (
                "def encode(word, joins):\n    pieces = list(word)\n    for a, b in reversed(joins):\n        i = 0\n"
                "        while i < len(pieces) - 1:\n            if (pieces[i], pieces[i + 1]) == (a, b):\n"
                "                pieces[i : i + 2] = [a + b]\n            i += 1\n    return pieces",
                "the first learnt pair wins",
            ),
            (
                "def encode(word, joins):\n    pieces = list(word)\n    for a, b in joins:\n        for i in range(len(pieces) - 1):\n"
                "            if (pieces[i], pieces[i + 1]) == (a, b):\n                pieces[i : i + 2] = [a + b]\n                break\n"
                "    return pieces",
                "twice in a word",
            ),
        ],
    ),
    "best_by_score": (
        [
            """
def best_by_score(words):
    pairs, single = Counter(), Counter()
    for word, n in words.items():
        for piece in word:
            single[piece] += n
        for pair in itertools.pairwise(word):
            pairs[pair] += n
    return max(pairs, key=lambda pair: pairs[pair] / (single[pair[0]] * single[pair[1]]))
""",
            """
def best_by_score(words):
    best, found = -math.inf, None
    everything = [(p, n) for word, n in words.items() for p in word]
    neighbours = [(word[i : i + 2], n) for word, n in words.items() for i in range(len(word) - 1)]
    for pair in {p for p, _ in neighbours}:
        ab, a, b = (sum(n for q, n in rows if q == p) for rows, p in ((neighbours, pair), (everything, pair[0]), (everything, pair[1])))
        score = math.log(ab) - math.log(a) - math.log(b)
        if score > best:
            best, found = score, pair
    return list(found)
""",
        ],
        [
            (
                "def best_by_score(words):\n    pairs = Counter()\n    for word, n in words.items():\n"
                "        for pair in itertools.pairwise(word):\n            pairs[pair] += n\n    return max(pairs, key=pairs.get)",
                "by frequency",
            ),
            (
                "def best_by_score(words):\n    pairs, left, right = Counter(), Counter(), Counter()\n    for word, n in words.items():\n"
                "        for a, b in itertools.pairwise(word):\n            pairs[a, b] += n\n            left[a] += n\n            right[b] += n\n"
                "    return max(pairs, key=lambda p: pairs[p] / (left[p[0]] * right[p[1]]))",
                "then: ",
            ),
            (
                "def best_by_score(words):\n    pairs, single = Counter(), Counter()\n    for word, n in words.items():\n        single.update(word)\n"
                "        for pair in itertools.pairwise(word):\n            pairs[pair] += n\n"
                "    return max(pairs, key=lambda p: pairs[p] / (single[p[0]] * single[p[1]]))",
                "a rare pair that is always together",
            ),
            (
                "def best_by_score(words):\n    pairs, single = Counter(), Counter()\n    for word, n in words.items():\n"
                "        for piece in word:\n            single[piece] += n\n        for pair in itertools.pairwise(word):\n            pairs[pair] += n\n"
                "    return max(pairs, key=lambda p: pairs[p] / (single[p[0]] + single[p[1]]))",
                "then: ",
            ),
            (
                "def best_by_score(words):\n    pairs, single = Counter(), Counter()\n    for word, n in words.items():\n"
                "        for piece in word:\n            single[piece] += n\n        for pair in itertools.pairwise(word):\n            pairs[pair] += n\n"
                "    return min(pairs, key=lambda p: pairs[p] / (single[p[0]] * single[p[1]]))",
                "a rare pair that is always together",
            ),
        ],
    ),
    "nats_per_byte": (
        [
            "def nats_per_byte(nats, texts): return sum(row.sum() for row in nats) / sum(len(text.encode()) for text in texts)",
            "def nats_per_byte(nats, texts): return np.concatenate(nats).sum() / len(''.join(texts).encode('utf-8'))",
            "def nats_per_byte(nats, texts):\n    cost = size = 0\n    for row, text in zip(nats, texts):\n        cost += float(sum(row))\n"
            "        size += len(bytes(text, 'utf-8'))\n    return cost / size",
        ],
        [
            (
                "def nats_per_byte(nats, texts): return sum(row.sum() for row in nats) / sum(map(len, texts))",
                "per character, not per byte",
            ),
            (
                "def nats_per_byte(nats, texts): return np.mean([row.sum() / len(t.encode()) for row, t in zip(nats, texts)])",
                "as a mean of the texts' ratios",
            ),
            ("def nats_per_byte(nats, texts): return np.concatenate(nats).mean()", "per piece"),
            (
                "def nats_per_byte(nats, texts): return sum(r.sum() for r in nats) / math.log(2) / sum(len(t.encode()) for t in texts)",
                "1.4427 times",
            ),
            (
                "def nats_per_byte(nats, texts): return sum(r.mean() for r in nats) / sum(len(t.encode()) for t in texts)",
                "one text",
            ),
            (
                "def nats_per_byte(nats, texts): return math.exp(sum(r.sum() for r in nats) / sum(len(t.encode()) for t in texts))",
                "one text",
            ),
            (
                "def nats_per_byte(nats, texts): return [r.sum() / len(t.encode()) for r, t in zip(nats, texts)]",
                "shape",
            ),
        ],
    ),
}

SEQUENCES["15_evaluation"] = {
    "seen_before": (
        [
            """
def seen_before(train, test):
    import re

    def form(text):
        return " ".join(re.findall(r"\\w+", text.lower()))

    known = {form(text) for text in train}
    return [form(text) in known for text in test]
""",
            """
def seen_before(train, test):
    import string

    def words(text):
        return tuple("".join(c if c.isalnum() else " " for c in text).casefold().split())

    known = set(map(words, train))
    return np.array([words(text) in known for text in test])
""",
        ],
        [
            ("def seen_before(train, test): return [text in train for text in test]", "capitals, spaces, punctuation"),
            (
                "def seen_before(train, test):\n    known = {t.lower() for t in train}\n    return [t.lower() in known for t in test]",
                "capitals, spaces, punctuation",
            ),
            (
                "def seen_before(train, test):\n    import re\n    form = lambda t: frozenset(re.findall(r'\\w+', t.lower()))\n"
                "    known = {form(t) for t in train}\n    return [form(t) in known for t in test]",
                "another order",
            ),
            (
                "def seen_before(train, test):\n    import re\n    form = lambda t: ' '.join(re.findall(r'\\w+', t.lower()))\n"
                "    return [any(form(t) in form(known) for known in train) for t in test]",
                "a part of it",
            ),
            (
                "def seen_before(train, test):\n    form = lambda t: ''.join(c for c in t.lower() if c.isalnum())\n"
                "    known = {form(t) for t in train}\n    return [form(t) in known for t in test]",
                "words, not letters",
            ),
            (
                "def seen_before(train, test):\n    import re\n    form = lambda t: ' '.join(re.findall(r'\\w+', t.lower()))\n"
                "    seen, found = {form(t) for t in train}, []\n    for t in test:\n        found.append(form(t) in seen)\n"
                "        seen.add(form(t))\n    return found",
                "copies within the test",
            ),
            (
                "def seen_before(train, test):\n    import re\n    form = lambda t: ' '.join(re.findall(r'\\w+', t.lower()))\n"
                "    return {form(t) for t in train} & {form(t) for t in test}",
                "a plain copy",
            ),
            (
                "def seen_before(train, test):\n    import re\n    form = lambda t: ' '.join(re.findall(r'\\w+', t.lower()))\n"
                "    known = {form(t) for t in test}\n    return [form(t) in known for t in train]",
                "a plain copy",
            ),
        ],
    ),
    "split_by_group": (
        [
            """
def split_by_group(groups, share, random):
    names = random.permutation(np.unique(groups))
    return np.isin(groups, names[: max(1, round(share * len(names)))])
""",
            """
def split_by_group(groups, share, random):
    names = sorted(set(groups.tolist()))
    n = max(1, int(share * len(names) + 0.5))
    chosen = set(random.choice(names, n, replace=False).tolist())
    return np.array([group in chosen for group in groups.tolist()])
""",
            """
def split_by_group(groups, share, random):
    names, number = np.unique(groups, return_inverse=True)
    for_test = np.zeros(len(names), dtype=bool)
    for_test[random.permutation(len(names))[: max(1, np.round(share * len(names)).astype(int))]] = True
    return for_test[number]
""",
        ],
        [
            (
                "def split_by_group(groups, share, random): return random.random(len(groups)) < share",
                "groups on both sides",
            ),
            (
                "def split_by_group(groups, share, random):\n    names = np.unique(groups)\n"
                "    return np.isin(groups, names[: max(1, round(share * len(names)))])",
                "without the given random",
            ),
            (
                "def split_by_group(groups, share, random):\n    names = random.permutation(np.unique(groups))\n"
                "    return ~np.isin(groups, names[: max(1, round(share * len(names)))])",
                "if True means training",
            ),
            (
                "def split_by_group(groups, share, random):\n    names = random.permutation(np.unique(groups))\n"
                "    return np.flatnonzero(np.isin(groups, names[: max(1, round(share * len(names)))]))",
                "dtype int64",
            ),
            (
                "def split_by_group(groups, share, random):\n    names = random.permutation(groups)\n"
                "    return np.isin(groups, names[: max(1, round(share * len(names)))])",
                "groups in the test",
            ),
            (
                "def split_by_group(groups, share, random):\n    names = random.permutation(np.unique(groups))\n"
                "    return np.isin(groups, names[: round(share * len(names))])",
                "a share that rounds to none",
            ),
            (
                "def split_by_group(groups, share, random):\n    random = np.random.default_rng(0)\n"
                "    names = random.permutation(np.unique(groups))\n"
                "    return np.isin(groups, names[: max(1, round(share * len(names)))])",
                "other draws, other groups",
            ),
            (
                "def split_by_group(groups, share, random):\n    mask = np.zeros(len(groups), dtype=bool)\n"
                "    start = random.integers(len(groups))\n    mask[start : start + max(1, round(share * len(groups)))] = True\n"
                "    return mask",
                "ten files",
            ),
        ],
    ),
    "wilson": (
        [
            """
def wilson(k, n, z=1.96):
    s, w = k / n, z * z / n
    root = math.sqrt(max(0.0, (2 * s + w) ** 2 - 4 * (1 + w) * s * s))
    return (2 * s + w - root) / (2 * (1 + w)), (2 * s + w + root) / (2 * (1 + w))
""",
            """
def wilson(k, n, z=1.96):
    middle = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    return np.array([middle - half, middle + half])
""",
            """
def wilson(k, n, z=1.96):
    roots = np.roots([1 + z * z / n, -2 * k / n - z * z / n, (k / n) ** 2])
    return sorted(float(np.clip(np.real(r), 0, 1)) for r in roots)
""",
        ],
        [
            (
                "def wilson(k, n, z=1.96):\n    half = z * math.sqrt(k / n * (1 - k / n) / n)\n    return k / n - half, k / n + half",
                "by the textbook's formula",
            ),
            (
                "def wilson(k, n, z=1.96):\n    half = z * math.sqrt(k / n * (1 - k / n) / n)\n"
                "    return max(0, k / n - half), min(1, k / n + half)",
                "45 of 50",
            ),
            (
                "def wilson(k, n, z=1.96):\n    p, m = (k + 2) / (n + 4), n + 4\n    half = z * math.sqrt(p * (1 - p) / m)\n"
                "    return p - half, p + half",
                "45 of 50",
            ),
            (
                "def wilson(k, n, z=1.96):\n    s, w = k / n, 1.96**2 / n\n    root = math.sqrt(max(0.0, (2 * s + w) ** 2 - 4 * (1 + w) * s * s))\n"
                "    return (2 * s + w - root) / (2 * (1 + w)), (2 * s + w + root) / (2 * (1 + w))",
                "another z",
            ),
            (
                "def wilson(k, n, z=1.96):\n    s, w = k / n, z / n\n    root = math.sqrt(max(0.0, (2 * s + w) ** 2 - 4 * (1 + w) * s * s))\n"
                "    return (2 * s + w - root) / (2 * (1 + w)), (2 * s + w + root) / (2 * (1 + w))",
                "45 of 50",
            ),
            (
                "def wilson(k, n, z=1.96):\n    s, w = k / n, z * z / n\n    root = math.sqrt((2 * s + w) ** 2 - 4 * (1 + w) * s * s)\n"
                "    return (2 * s + w + root) / (2 * (1 + w)), (2 * s + w - root) / (2 * (1 + w))",
                "low: yours is",
            ),
            ("def wilson(k, n, z=1.96): return k / n", "2 things should come back"),
        ],
    ),
    "mcnemar": (
        [
            """
def mcnemar(a, b):
    m, n = int((a & ~b).sum()), int((~a & b).sum())
    tail = sum(math.comb(m + n, k) for k in range(min(m, n) + 1)) / 2 ** (m + n)
    return min(1.0, 2 * tail)
""",
            """
def mcnemar(a, b):
    from scipy.stats import binomtest

    disagree = a != b
    n = int(np.sum(disagree))
    return binomtest(int(np.sum(a[disagree])), n).pvalue if n else 1.0
""",
            """
def mcnemar(a, b):
    only_a = sum(x and not y for x, y in zip(a.tolist(), b.tolist()))
    only_b = sum(y and not x for x, y in zip(a.tolist(), b.tolist()))
    n = only_a + only_b
    return sum(math.comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= abs(only_a - only_b)) / 2**n
""",
        ],
        [
            (
                "def mcnemar(a, b):\n    m, n = int((a & ~b).sum()), int((~a & b).sum())\n"
                "    return sum(math.comb(m + n, k) for k in range(min(m, n) + 1)) / 2 ** (m + n)",
                "to one side only",
            ),
            (
                "def mcnemar(a, b):\n    m, n = int((a & ~b).sum()), int((~a & b).sum())\n"
                "    return 2 * sum(math.comb(m + n, k) for k in range(min(m, n) + 1)) / 2 ** (m + n)",
                "A alone right on 3, B alone on 3",
            ),
            (
                "def mcnemar(a, b):\n    m, n = int((a & ~b).sum()), int((~a & b).sum())\n"
                "    return min(1.0, 2 * sum(math.comb(m + n, k) for k in range(min(m, n))) / 2 ** (m + n))",
                "A alone right on 4, B alone on 14",
            ),
            (
                "def mcnemar(a, b):\n    m, n = int((a & ~b).sum()), int((~a & b).sum())\n"
                "    return min(1.0, 2 * sum(math.comb(m + n, k) for k in range(m + 1)) / 2 ** (m + n))",
                "A alone right on 14, B alone on 4",
            ),
            (
                "def mcnemar(a, b):\n    m, n = int((a & ~b).sum()), int((~a & b).sum())\n"
                "    return math.erfc(abs(m - n) / math.sqrt(2 * (m + n)))",
                "by the χ² approximation",
            ),
            (
                "def mcnemar(a, b):\n    m, n = int(a.sum()), int(b.sum())\n"
                "    return min(1.0, 2 * sum(math.comb(m + n, k) for k in range(min(m, n) + 1)) / 2 ** (m + n))",
                "A alone right on 4, B alone on 14",
            ),
            (
                "def mcnemar(a, b):\n    m, n = int((a & ~b).sum()), int((~a & b).sum())\n"
                "    return math.comb(m + n, m) / 2 ** (m + n)",
                "A alone right on 4, B alone on 14",
            ),
            (
                "def mcnemar(a, b):\n    from scipy.stats import ttest_ind\n    return float(ttest_ind(a, b).pvalue)",
                "A alone right on 4, B alone on 14",
            ),
        ],
    ),
}
