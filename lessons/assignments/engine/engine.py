"""Assignment 3: an engine for arrays, and optimisers. The handout is README.md.

A node of the graph is any object with
    time        a number: a node is younger (has a larger time) than its parents; nodes that are not related may share one
    parents     a tuple of nodes, with None for an input that needs no gradient; () for a leaf
    pullbacks   a tuple of functions, one per parent: gradient of the node -> contribution to the parent's; None once walked
"""

import math

import numpy as np

# ------------------------------------------------------------------------------------------------------- Task 3.1


def accumulate(pending, node, g):
    """Add the contribution g to pending[node], the gradient of node so far; pending is a dict.

    Others may share g and every array already in pending: change none of them. float32 stays float32.
    """
    ### BEGIN SOLUTION 3.1: accumulate, which adds contributions without changing them
    held = pending.get(node)
    pending[node] = g if held is None else held + g
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 3.2


def backward(root, g, retain_graph=False):
    """Walk back from root, whose gradient is g; return {leaf: its gradient} for all leaves reached.

    Call every pullback once, with the complete gradient of its node, and not at all if the parent is None.
    The returned arrays belong to the caller: none shares memory with another, with g or with a pullback's result.
    Unless retain_graph, set .pullbacks of every node with parents to None afterwards, which frees the arrays they hold.
    A node that was freed before is a RuntimeError. Chains of 100,000 nodes and ladders of diamonds must work.
    """
    ### BEGIN SOLUTION 3.2: backward, from the youngest node to the oldest
    seen, stack = {root}, [root]
    while stack:
        node = stack.pop()
        if node.pullbacks is None:
            raise RuntimeError("this graph was already walked and freed; pass retain_graph=True to the first walk")
        for parent in node.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    pending, found = {root: g}, {}
    for node in sorted(seen, key=lambda node: -node.time):
        g = pending.pop(node)
        if not node.parents:
            found[node] = np.array(g)
            continue
        for parent, pullback in zip(node.parents, node.pullbacks):
            if parent is not None:
                accumulate(pending, parent, pullback(g))
        if not retain_graph:
            node.pullbacks = None
    return found
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 3.3


class Mode:
    """Is a graph being recorded? Given."""

    recording = True


mode = Mode()


class no_grad:
    """Within ``with no_grad():`` nothing is recorded: mode.recording is False. Afterwards it is restored.

    This holds for nested blocks, and after an exception, which goes on.
    """

    def __enter__(self):
        ### BEGIN SOLUTION 3.3: no_grad, on the way in
        self.before = mode.recording, getattr(self, "before", None)  # one object may be nested in itself
        mode.recording = False
        ### END SOLUTION

    def __exit__(self, kind, error, traceback):
        ### BEGIN SOLUTION 3.3: no_grad, on the way out
        mode.recording, self.before = self.before
        ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 3.4
# An optimiser's step changes the parameter's array p in place and leaves its gradient g as it is. ``state`` is a dict, empty
# at first, for everything it must remember about this parameter until the next step.


def sgd_step(p, g, state, lr, momentum=0.0, weight_decay=0.0):
    """g ← g + λp;  b ← μb + g (the first b is g);  p ← p - lr·b.  λ is weight_decay, μ momentum."""
    ### BEGIN SOLUTION 3.4: sgd_step, downhill with a memory
    b = g + weight_decay * p
    if "b" in state:
        b = momentum * state["b"] + b
    state["b"] = b
    p -= lr * b
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 3.5


def adamw_step(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    """p ← (1 - lr·λ)p;  m ← β₁m + (1-β₁)g;  v ← β₂v + (1-β₂)g²;  p ← p - lr·m̂ / (√v̂ + eps).

    m̂ = m/(1 - β₁ᵗ), v̂ = v/(1 - β₂ᵗ), t = 1 at the first step; m and v start at 0.
    """
    ### BEGIN SOLUTION 3.5: adamw_step, Adam with decoupled weight decay
    beta1, beta2 = betas
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * g * g
    p *= 1 - lr * weight_decay
    p -= lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 3.6


def clip_gradients(gradients, max_norm):
    """Scale the arrays of a list in place, all by one factor, so that their joint norm is at most max_norm.

    Returns the norm before, a number: √(Σ g² over all elements of all arrays). If it is not larger, nothing changes.
    """
    ### BEGIN SOLUTION 3.6: clip_gradients, one factor for all
    norm = math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients))  # 1e25² overflows in float32
    if norm > max_norm:
        for g in gradients:
            g *= max_norm / norm
    return norm
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 3.7


def warmup_linear(step, warmup, total):
    """The learning rate's factor: linear from 0 at step 0 to 1 at ``warmup``, then linear down to 0 at ``total``.

    Later it stays 0. warmup may be 0; warmup < total.
    """
    ### BEGIN SOLUTION 3.7: warmup_linear, up and then down
    if step < warmup:
        return step / warmup
    return max(0.0, (total - step) / (total - warmup))
    ### END SOLUTION
