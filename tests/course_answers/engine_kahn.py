"""Kahn's order without a look at the times, means that move by a share, a stack of modes, one long vector."""

import numpy as np


def accumulate(pending, node, g):
    pending[node] = pending.get(node, 0) + g


class FreedGraphError(RuntimeError):
    pass


def backward(root, g, retain_graph=False):
    waiting, todo = {root: 0}, [root]
    while todo:
        n = todo.pop()
        if n.pullbacks is None:
            raise FreedGraphError
        for p in n.parents:
            if p is None:
                continue
            if p not in waiting:
                waiting[p] = 0
                todo.append(p)
            waiting[p] += 1
    ready, contributions, out = [root], {root: [np.asarray(g)]}, {}
    walked = []
    while ready:
        n = ready.pop()
        parts = contributions.pop(n)
        total = sum(parts[1:], start=parts[0])
        if not n.parents:
            out[n] = np.copy(total)
        for p, f in zip(n.parents, n.pullbacks):
            if p is None:
                continue
            contributions.setdefault(p, []).append(f(total))
            waiting[p] -= 1
            if waiting[p] == 0:
                ready.append(p)
        walked.append(n)
    if not retain_graph:
        for n in walked:
            if n.parents:
                n.pullbacks = None
    return out


modes = []


class no_grad:
    def __enter__(self):
        modes.append(mode.recording)
        mode.recording = False
        return self

    def __exit__(self, *args):
        mode.recording = modes.pop()
        return False


def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    d = g if not weight_decay else g + weight_decay * p
    if momentum:
        if "velocity" in state:
            state["velocity"] *= momentum
            state["velocity"] += d
        else:
            state["velocity"] = np.array(d)
        d = state["velocity"]
    np.subtract(p, lr * d, out=p)


def adamw_step(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    m, v, c1, c2 = state.get("all", (0, 0, 1.0, 1.0))
    b1, b2 = betas
    m, v, c1, c2 = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2, c1 * b1, c2 * b2
    state["all"] = m, v, c1, c2
    step = lr * m / (1 - c1) / ((v / (1 - c2)) ** 0.5 + eps)
    p -= step + lr * weight_decay * p


def clip_gradients(gradients, max_norm):
    flat = np.concatenate([np.ravel(g) for g in gradients]) if gradients else np.zeros(0)
    norm = float(np.linalg.norm(flat))
    f = min(1.0, max_norm / (norm + 1e-6))
    for g in gradients:
        np.multiply(g, f, out=g)
    return norm


def warmup_linear(step, warmup, total):
    return np.interp(step, [0, warmup, total], [0, 1, 0]) if warmup else np.interp(step, [0, total], [1, 0])
