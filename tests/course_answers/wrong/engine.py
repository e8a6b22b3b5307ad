"""Wrong answers to assignment 'engine' that are easily overlooked, a cell each; every one must cost points."""
# ruff: noqa

import math, heapq, itertools, contextlib
import numpy as np


# %% 3.1 changes what was there before
def accumulate(pending, node, g):
    if node in pending:
        pending[node] += g
    else:
        pending[node] = g.copy()


# %% 3.1 float64
def accumulate(pending, node, g):
    pending[node] = np.zeros(g.shape) + g if node not in pending else pending[node] + g


# %% 3.2 heap without tie-break
def backward(root, g, retain_graph=False):
    seen, order = {root}, [root]
    for n in order:
        if n.pullbacks is None:
            raise RuntimeError
        for p in n.parents:
            if p is not None and p not in seen:
                seen.add(p)
                order.append(p)
    pending, found = {root: g}, {}
    heap = [(-n.time, n) for n in order]
    heapq.heapify(heap)
    while heap:
        n = heapq.heappop(heap)[1]
        h = pending.pop(n)
        if not n.parents:
            found[n] = np.array(h)
            continue
        for p, f in zip(n.parents, n.pullbacks):
            if p is not None:
                accumulate(pending, p, f(h))
        if not retain_graph:
            n.pullbacks = None
    return found


# %% 3.2 dict by time
def backward(root, g, retain_graph=False):
    nodes, todo = {}, [root]
    while todo:
        n = todo.pop()
        if n.time in nodes:
            continue
        if n.pullbacks is None:
            raise RuntimeError
        nodes[n.time] = n
        todo += [p for p in n.parents if p is not None]
    pending, found = {root: g}, {}
    for t in sorted(nodes, reverse=True):
        n = nodes[t]
        h = pending.pop(n)
        if not n.parents:
            found[n] = np.array(h)
            continue
        for p, f in zip(n.parents, n.pullbacks):
            if p is not None:
                accumulate(pending, p, f(h))
        if not retain_graph:
            n.pullbacks = None
    return found


# %% 3.2 float64
def backward(root, g, retain_graph=False):
    seen, order = {root}, [root]
    for n in order:
        if n.pullbacks is None:
            raise RuntimeError
        for p in n.parents:
            if p is not None and p not in seen:
                seen.add(p)
                order.append(p)
    pending, found = {root: g}, {}
    for n in sorted(order, key=lambda n: -n.time):
        h = pending.pop(n)
        if not n.parents:
            found[n] = np.array(h, float)
            continue
        for p, f in zip(n.parents, n.pullbacks):
            if p is not None:
                accumulate(pending, p, f(h))
        if not retain_graph:
            n.pullbacks = None
    return found


# %% 3.3 swallows
class no_grad:
    def __enter__(self):
        self.b = mode.recording
        mode.recording = False

    def __exit__(self, *a):
        mode.recording = self.b
        return True


# %% 3.3 toggles
class no_grad:
    def __enter__(self):
        mode.recording = not mode.recording

    def __exit__(self, *a):
        mode.recording = not mode.recording


# %% 3.3 remembers when it is made
class no_grad:
    def __init__(self):
        self.b = mode.recording

    def __enter__(self):
        mode.recording = False

    def __exit__(self, *a):
        mode.recording = self.b


# %% 3.4 lr in velocity
def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    b = lr * (g + weight_decay * p)
    if "b" in state:
        b = momentum * state["b"] + b
    state["b"] = b
    p -= b


# %% 3.4 contiguous only
def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    b = g + weight_decay * p
    if "b" in state:
        b = momentum * state["b"] + b
    state["b"] = b
    q = p.reshape(-1)
    q -= lr * b.reshape(-1)


# %% 3.4 state by id
_v = {}


def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    b = g + weight_decay * p
    if id(p) in _v:
        b = momentum * _v[id(p)] + b
    _v[id(p)] = b
    p -= lr * b


# %% 3.4 alias of g
def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    b = g + weight_decay * p if weight_decay else g
    if "b" in state:
        b = momentum * state["b"] + b
    state["b"] = b
    p -= lr * b


# %% 3.5 coupled
def adamw_step(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    g = g + weight_decay * p
    b1, b2 = betas
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * g
    v = state["v"] = b2 * state.get("v", 0.0) + (1 - b2) * g * g
    p -= lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)


# %% 3.5 contiguous only
def adamw_step(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    b1, b2 = betas
    p, g = p.reshape(-1), g.reshape(-1)
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * g
    v = state["v"] = b2 * state.get("v", 0.0) + (1 - b2) * g * g
    p *= 1 - lr * weight_decay
    p -= lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)


# %% 3.5 eps before correction
def adamw_step(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    b1, b2 = betas
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * g
    v = state["v"] = b2 * state.get("v", 0.0) + (1 - b2) * g * g
    p *= 1 - lr * weight_decay
    p -= lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(v) + eps)


# %% 3.6 each alone
def clip_gradients(gradients, max_norm):
    n = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    for g in gradients:
        k = np.linalg.norm(g)
        if k > max_norm:
            g *= max_norm / k
    return n


# %% 3.6 contiguous only
def clip_gradients(gradients, max_norm):
    n = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    if n > max_norm:
        for g in gradients:
            v = g.reshape(-1)
            v *= max_norm / n
    return n


# %% 3.7 off by one
def warmup_linear(step, warmup, total):
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (total - step) / (total - warmup))


# %% 3.2 stops at a node whose gradient is zero
def backward(root, g, retain_graph=False):
    seen, st = {root}, [root]
    while st:
        n = st.pop()
        if n.pullbacks is None:
            raise RuntimeError
        for p in n.parents:
            if p is not None and p not in seen:
                seen.add(p)
                st.append(p)
    pend, out = {root: g}, {}
    for n in sorted(seen, key=lambda n: -n.time):
        h = pend.pop(n, None)
        if h is None or not np.any(h):
            continue
        if not n.parents:
            out[n] = np.array(h)
            continue
        for p, f in zip(n.parents, n.pullbacks):
            if p is not None:
                accumulate(pend, p, f(h))
        if not retain_graph:
            n.pullbacks = None
    return out


# %% 3.3 replaces mode
class no_grad:
    def __enter__(self):
        global mode
        self.b = mode
        mode = Mode()
        mode.recording = False

    def __exit__(self, k, e, t):
        global mode
        mode = self.b


# %% 3.3 on the class
class no_grad:
    def __enter__(self):
        self.b = Mode.recording
        Mode.recording = False

    def __exit__(self, k, e, t):
        Mode.recording = self.b
