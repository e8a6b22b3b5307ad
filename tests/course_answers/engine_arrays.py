"""One pass that counts users and handles a node when the last of them has spoken; numpy calls everywhere."""

import numpy as np


def accumulate(pending, node, g):
    try:
        before = pending[node]
    except KeyError:
        pending[node] = g
        return
    out = np.empty(np.broadcast(before, g).shape, np.result_type(before, g))
    pending[node] = np.add(before, g, out=out)


def backward(root, g, retain_graph=False):
    users, stack = {root: 0}, [root]
    while stack:
        node = stack.pop()
        if node.parents and not node.pullbacks:
            raise RuntimeError("no pullbacks")
        for parent in node.parents:
            if parent is None:
                continue
            if parent not in users:
                users[parent] = 0
                stack.append(parent)
            users[parent] += 1
    pending, ready, result = {root: g}, [root], {}
    while ready:
        node = ready.pop()
        g = pending.pop(node)
        if not node.parents:
            result[node] = np.array(g)
        for k, parent in enumerate(node.parents):
            if parent is not None:
                accumulate(pending, parent, node.pullbacks[k](g))
                users[parent] -= 1
                if not users[parent]:
                    ready.append(parent)
        if node.parents and not retain_graph:
            node.pullbacks = None
    return result


class no_grad:
    def __enter__(self):
        self.held = getattr(self, "held", []) + [mode.recording]
        mode.recording = False

    def __exit__(self, kind, error, traceback):
        mode.recording = self.held.pop()


def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    update = np.multiply(p, weight_decay) + g
    if state:
        update = update + momentum * state["previous"]
    state["previous"] = update
    p[:] = p - lr * update


def adamw_step(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    t, m, v = state.get("all", (0, np.zeros(p.shape, p.dtype), np.zeros(p.shape, p.dtype)))
    t += 1
    m = m + (1 - betas[0]) * (g - m)
    v = v + (1 - betas[1]) * (g * g - v)
    state["all"] = t, m, v
    p -= lr * (m / (1 - betas[0] ** t) / (eps + (v / (1 - betas[1] ** t)) ** 0.5) + weight_decay * p)


def clip_gradients(gradients, max_norm):
    flat = np.concatenate([np.ravel(g) for g in gradients] + [np.zeros(1)])
    norm = float(np.sqrt(flat @ flat))
    if norm <= max_norm:
        return norm
    for g in gradients:
        g /= norm / max_norm
    return norm


def warmup_linear(step, warmup, total):
    import numpy

    return float(numpy.interp(step, [0, warmup, total], [0 if warmup else 1, 1, 0]))
