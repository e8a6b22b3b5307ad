"""Wrong answers to assignment 'engine' as learners write them, a cell each; each must cost points in the hidden tests."""
# ruff: noqa

import math
import numpy as np


def _walk(add=None, copy=True, order=lambda seen: sorted(seen, key=lambda n: -n.time), refuse=True, free=True, none=True):
    def backward(root, g, retain_graph=False):
        seen, stack = {root}, [root]
        while stack:
            n = stack.pop()
            if n.pullbacks is None:
                if refuse:
                    raise RuntimeError("walked already")
                continue
            for p in n.parents:
                if p is not None and p not in seen:
                    seen.add(p)
                    stack.append(p)
        pending, found = {root: g}, {}
        for n in order(seen):
            h = pending.pop(n, None)
            if h is None:
                continue
            if not n.parents:
                found[n] = np.array(h) if copy else h
                continue
            for p, f in zip(n.parents, n.pullbacks or ()):
                if p is not None:
                    (add or accumulate)(pending, p, f(h))
                elif not none:
                    f(h)
            if free and not retain_graph:
                n.pullbacks = None
        return found

    return backward


def _adam(decay=lambda p, lr, wd: p.__imul__(1 - lr * wd), m_hat=True, v_hat=True, inside=False, square=True, t0=0, swap=False):
    def adamw_step(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        b1, b2 = betas[::-1] if swap else betas
        t = state["t"] = state.get("t", t0) + 1
        m = state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * g
        v = state["v"] = b2 * state.get("v", 0.0) + (1 - b2) * (g * g if square else np.abs(g))
        decay(p, lr, weight_decay)
        m = m / (1 - b1**t) if m_hat else m
        v = v / (1 - b2**t) if v_hat else v
        p -= lr * m / (np.sqrt(v + eps) if inside else np.sqrt(v) + eps)

    return adamw_step


# %% 3.1 += on what is there
def accumulate(pending, node, g):
    if node in pending:
        pending[node] += g
    else:
        pending[node] = g


# %% 3.1 the last one wins
def accumulate(pending, node, g):
    pending[node] = g


# %% 3.1 the first one wins
def accumulate(pending, node, g):
    pending.setdefault(node, g)


# %% 3.1 adds into g
def accumulate(pending, node, g):
    if node in pending:
        g += pending[node]
    pending[node] = g


# %% 3.1 a mean
def accumulate(pending, node, g):
    pending[node] = (pending[node] + g) / 2 if node in pending else g


# %% 3.1 np.add into the old one
def accumulate(pending, node, g):
    held = pending.get(node)
    pending[node] = g if held is None else np.add(held, g, out=held)


# %% 3.1 float64 zeros to begin with
def accumulate(pending, node, g):
    pending[node] = pending.get(node, np.zeros(np.shape(g))) + g


# %% 3.2 depth first, without an order
def backward(root, g, retain_graph=False):
    found = {}
    stack = [(root, g)]
    while stack:
        n, h = stack.pop()
        if n.pullbacks is None:
            raise RuntimeError("walked already")
        if not n.parents:
            found[n] = found[n] + h if n in found else np.array(h)
        for p, f in zip(n.parents, n.pullbacks):
            if p is not None:
                stack.append((p, f(h)))
        if n.parents and not retain_graph:
            n.pullbacks = None
    return found


# %% 3.2 breadth first
def _breadth(seen):
    return sorted(seen, key=lambda n: -len(n.parents))


backward = _walk(order=_breadth)

# %% 3.2 oldest first
backward = _walk(order=lambda seen: sorted(seen, key=lambda n: n.time))

# %% 3.2 no copy
backward = _walk(copy=False)

# %% 3.2 nothing freed
backward = _walk(free=False)

# %% 3.2 a freed graph is passed over in silence
backward = _walk(refuse=False)

# %% 3.2 pullbacks of None are called
backward = _walk(none=False)


# %% 3.2 += in the walk
def _plus(pending, node, g):
    if node in pending:
        pending[node] += g
    else:
        pending[node] = g


backward = _walk(add=_plus)


# %% 3.2 recursion
def backward(root, g, retain_graph=False):
    found, order, seen = {}, [], set()

    def visit(n):
        if n in seen:
            return
        seen.add(n)
        if n.pullbacks is None:
            raise RuntimeError("walked already")
        for p in n.parents:
            if p is not None:
                visit(p)
        order.append(n)

    visit(root)
    pending = {root: g}
    for n in reversed(order):
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


# %% 3.2 gradients kept from the walk before
_pending = {}


def backward(root, g, retain_graph=False):
    seen, stack = {root}, [root]
    while stack:
        n = stack.pop()
        if n.pullbacks is None:
            raise RuntimeError("walked already")
        for p in n.parents:
            if p is not None and p not in seen:
                seen.add(p)
                stack.append(p)
    accumulate(_pending, root, g)
    found = {}
    for n in sorted(seen, key=lambda n: -n.time):
        if not n.parents:
            found[n] = np.array(_pending[n])
            continue
        h = _pending.pop(n)
        for p, f in zip(n.parents, n.pullbacks):
            if p is not None:
                accumulate(_pending, p, f(h))
        if not retain_graph:
            n.pullbacks = None
    return found


# %% 3.3 on again, whatever it was
class no_grad:
    def __enter__(self):
        mode.recording = False

    def __exit__(self, kind, error, traceback):
        mode.recording = True


# %% 3.3 the exception is swallowed
class no_grad:
    def __enter__(self):
        self.before = mode.recording
        mode.recording = False

    def __exit__(self, kind, error, traceback):
        mode.recording = self.before
        return self


# %% 3.3 not restored after an exception
class no_grad:
    def __enter__(self):
        self.before = mode.recording
        mode.recording = False

    def __exit__(self, kind, error, traceback):
        if kind is None:
            mode.recording = self.before


# %% 3.3 the mode before in a variable of the module
class no_grad:
    def __enter__(self):
        global _before
        _before = mode.recording
        mode.recording = False

    def __exit__(self, kind, error, traceback):
        mode.recording = _before


# %% 3.4 not in place
def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    b = state["b"] = momentum * state.get("b", 0.0) + g + weight_decay * p
    p = p - lr * b


# %% 3.4 uphill
def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    b = state["b"] = momentum * state.get("b", 0.0) + g + weight_decay * p
    p += lr * b


# %% 3.4 no memory
def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    p -= lr * (g + weight_decay * p)


# %% 3.4 the mean of Adam
def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    b = state["b"] = momentum * state.get("b", 0.0) + (1 - momentum) * (g + weight_decay * p)
    p -= lr * b


# %% 3.4 a decay of the wrong sign
def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    b = state["b"] = momentum * state.get("b", 0.0) + g - weight_decay * p
    p -= lr * b


# %% 3.4 g changed
def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    g += weight_decay * p
    b = state["b"] = momentum * state.get("b", 0.0) + g
    p -= lr * b


# %% 3.4 the decay past the momentum
def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    b = state["b"] = momentum * state.get("b", 0.0) + g
    p -= lr * (b + weight_decay * p)


# %% 3.4 the velocity in a variable of the module
_b = {}


def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    b = _b["b"] = (
        momentum * _b.get("b", 0.0) + g + weight_decay * p if np.shape(_b.get("b", p)) == p.shape else g + weight_decay * p
    )
    p -= lr * b


# %% 3.5 a decay of the wrong sign
adamw_step = _adam(decay=lambda p, lr, wd: p.__imul__(1 + lr * wd))

# %% 3.5 no decay
adamw_step = _adam(decay=lambda p, lr, wd: None)

# %% 3.5 a decay without lr
adamw_step = _adam(decay=lambda p, lr, wd: p.__imul__(1 - wd))

# %% 3.5 the decay subtracted as a number
adamw_step = _adam(decay=lambda p, lr, wd: p.__isub__(lr * wd))

# %% 3.5 m not corrected
adamw_step = _adam(m_hat=False)

# %% 3.5 v not corrected
adamw_step = _adam(v_hat=False)

# %% 3.5 neither corrected
adamw_step = _adam(m_hat=False, v_hat=False)

# %% 3.5 eps inside of the root
adamw_step = _adam(inside=True)

# %% 3.5 |g| for g²
adamw_step = _adam(square=False)

# %% 3.5 t from 2
adamw_step = _adam(t0=1)

# %% 3.5 betas exchanged
adamw_step = _adam(swap=True)


# %% 3.5 the decay through the means
def adamw_step(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    _adam(decay=lambda *_: None)(p, g + weight_decay * p, state, lr, betas, eps)


# %% 3.5 the decay of the gradient, and of the wrong sign
def adamw_step(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    _adam(decay=lambda *_: None)(p, g - weight_decay * p, state, lr, betas, eps)


# %% 3.5 the state in a variable of the module
_state = {}
_step = _adam()


def adamw_step(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    _step(p, g, _state.setdefault(p.shape, {}), lr, betas, eps, weight_decay)


# %% 3.5 t in a variable of the module
_t = [0]


def adamw_step(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    state["t"] = _t[0]
    _t[0] += 1
    _adam()(p, g, state, lr, betas, eps, weight_decay)


# %% 3.6 a norm for each array
def clip_gradients(gradients, max_norm):
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    for g in gradients:
        n = float(np.linalg.norm(g))
        if n > max_norm:
            g *= max_norm / n
    return norm


# %% 3.6 always scaled
def clip_gradients(gradients, max_norm):
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    for g in gradients:
        g *= max_norm / (norm + 1e-6)
    return norm


# %% 3.6 each number clipped
def clip_gradients(gradients, max_norm):
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    for g in gradients:
        np.clip(g, -max_norm, max_norm, out=g)
    return norm


# %% 3.6 a sum of norms
def clip_gradients(gradients, max_norm):
    norm = sum(float(np.linalg.norm(g)) for g in gradients)
    if norm > max_norm:
        for g in gradients:
            g *= max_norm / norm
    return norm


# %% 3.6 not in place
def clip_gradients(gradients, max_norm):
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    if norm > max_norm:
        gradients[:] = [g * (max_norm / norm) for g in gradients]
    return norm


# %% 3.6 the norm afterwards
def clip_gradients(gradients, max_norm):
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    if norm > max_norm:
        for g in gradients:
            g *= max_norm / norm
    return min(norm, max_norm)


# %% 3.6 the square of the norm
def clip_gradients(gradients, max_norm):
    norm = sum(float((g * g).sum()) for g in gradients)
    if norm > max_norm:
        for g in gradients:
            g *= max_norm / norm
    return norm


# %% 3.6 summed in float32, one after the other
def clip_gradients(gradients, max_norm):
    total = np.float32(0)
    for g in gradients:
        for x in g.reshape(-1).astype(np.float32):
            total += x * x
    norm = float(np.sqrt(total))
    if norm > max_norm:
        for g in gradients:
            g *= max_norm / norm
    return norm


# %% 3.6 the sum of each array in float32
def clip_gradients(gradients, max_norm):
    norm = float(np.sqrt(sum((np.square(g, dtype=np.float32).sum() for g in gradients), np.float32(0))))
    if norm > max_norm:
        for g in gradients:
            g *= max_norm / norm
    return norm


# %% 3.6 nothing scaled
def clip_gradients(gradients, max_norm):
    return math.sqrt(sum(float((g * g).sum()) for g in gradients))


# %% 3.7 a first step of 1/warmup
def warmup_linear(step, warmup, total):
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (total - step) / (total - warmup))


# %% 3.7 down from 1 over all steps
def warmup_linear(step, warmup, total):
    return step / warmup if step < warmup else max(0.0, (total - step) / total)


# %% 3.7 no floor
def warmup_linear(step, warmup, total):
    return step / warmup if step < warmup else (total - step) / (total - warmup)


# %% 3.7 division by zero
def warmup_linear(step, warmup, total):
    return min(step / warmup, max(0.0, (total - step) / (total - warmup)))


# %% 3.7 stays at 1
def warmup_linear(step, warmup, total):
    return step / warmup if step < warmup else 1.0 if step < total else 0.0
