"""Contributions gathered in lists and added at the end; gradients kept on the side; int flags."""

import numpy as np


def accumulate(pending, node, g):
    pending[node] = sum([pending[node], g]) if node in pending else g + 0


def backward(root, g, retain_graph=False):
    nodes = {root}
    frontier = [root]
    while frontier:
        new = []
        for node in frontier:
            if node.parents != () and node.pullbacks is None:
                raise RuntimeError("freed")
            for parent in node.parents:
                if parent is not None and parent not in nodes:
                    nodes.add(parent)
                    new.append(parent)
        frontier = new
    pending = {root: np.copy(g)}
    ordered = sorted(nodes, key=lambda n: n.time, reverse=True)
    for node in ordered:
        for parent, pullback in zip(node.parents, node.pullbacks or ()):
            if parent is not None:
                accumulate(pending, parent, pullback(pending[node]))
    if not retain_graph:
        for node in ordered:
            if node.parents:
                node.pullbacks = None
    return {node: np.array(pending[node], copy=True) for node in ordered if not node.parents}


class no_grad:
    stack: list = []  # noqa: RUF012

    def __enter__(self):
        no_grad.stack.append(mode.recording)
        mode.recording = False
        return self

    def __exit__(self, *details):
        mode.recording = no_grad.stack.pop()
        return False


def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    g = g + p * weight_decay
    b = state.get("b")
    b = g.copy() if b is None else b * momentum + g
    state["b"] = b
    p += -lr * b


def adamw_step(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    b1, b2 = betas
    state.setdefault("t", 0)
    state["t"] += 1
    state["m"] = (1 - b1) * g + b1 * state.get("m", np.zeros_like(g))
    state["v"] = (1 - b2) * np.square(g) + b2 * state.get("v", np.zeros_like(g))
    corrected = state["m"] / (1 - b1 ** state["t"])
    scale = np.sqrt(state["v"] / (1 - b2 ** state["t"])) + eps
    p[...] = p * (1 - lr * weight_decay) - lr * corrected / scale


def clip_gradients(gradients, max_norm):
    total = np.sqrt(sum(np.vdot(g, g) for g in gradients))
    factor = max_norm / max(total, max_norm)
    for g in gradients:
        g[...] = g * factor
    return float(total)


def warmup_linear(step, warmup, total):
    if step >= total:
        return 0.0
    return (total - step) / (total - warmup) if step >= warmup else step * (1 / warmup)
