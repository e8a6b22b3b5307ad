"""A heap instead of a sort, lists of contributions, a contextmanager, Adam's corrections applied to numbers."""

import contextlib
import heapq
import math

import numpy as np


def accumulate(pending, node, g):
    if node in pending:
        pending[node] = np.add(pending[node], g)
    else:
        pending[node] = np.array(g)


def backward(root, g, retain_graph=False):
    count, seen, stack = 0, set(), [root]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.parents and node.pullbacks is None:
            raise RuntimeError("walked already")
        stack += [p for p in node.parents if p is not None]
    pending, leaves = {root: g}, {}
    heap, queued = [(-root.time, count, root)], {root}
    while heap:
        _, _, node = heapq.heappop(heap)
        total = pending.pop(node)
        if len(node.parents) == 0:
            leaves[node] = total.copy()
            continue
        for i, parent in enumerate(node.parents):
            if parent is None:
                continue
            accumulate(pending, parent, node.pullbacks[i](total))
            if parent not in queued:
                queued.add(parent)
                count += 1
                heapq.heappush(heap, (-parent.time, count, parent))
        if not retain_graph:
            node.pullbacks = None
    return leaves


@contextlib.contextmanager
def no_grad():
    before, mode.recording = mode.recording, False
    try:
        yield
    finally:
        mode.recording = before


def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    d = np.array(g) + weight_decay * p
    if momentum:
        if "velocity" not in state:
            state["velocity"] = np.zeros_like(p)
        state["velocity"] *= momentum
        state["velocity"] += d
        d = state["velocity"]
    np.subtract(p, lr * d, out=p)


def adamw_step(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    if not state:
        state.update(step=0, m=np.zeros_like(p), v=np.zeros_like(p))
    state["step"] += 1
    m, v, t = state["m"], state["v"], state["step"]
    m += (1 - betas[0]) * (g - m)
    v += (1 - betas[1]) * (g**2 - v)
    root = math.sqrt(1 - betas[1] ** t)
    step = (lr * root / (1 - betas[0] ** t)) * m / (np.sqrt(v) + eps * root)
    p -= lr * weight_decay * p + step


def clip_gradients(gradients, max_norm):
    norm = float(np.linalg.norm([np.linalg.norm(g) for g in gradients])) if gradients else 0.0
    factor = min(1.0, max_norm / (norm + 1e-6))
    if norm > max_norm:
        for g in gradients:
            np.multiply(g, factor, out=g)
    return norm


def warmup_linear(step, warmup, total):
    up = step / warmup if warmup else 1.0
    return max(min(up, (total - step) / (total - warmup), 1.0), 0.0)
