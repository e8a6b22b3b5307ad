"""Assignment 3: an engine for arrays, and what moves the weights. The handout is README.md.

A node of the graph is any object with
    time        a number: a node is younger (has a larger time) than its parents; nodes that are not related may share one
    parents     a tuple of nodes, with None for an input that needs no gradient; () for a leaf
    pullbacks   a tuple of functions, one a parent: gradient of the node -> contribution to the parent's; None once walked
"""

import math

import numpy as np

# ------------------------------------------------------------------------------------------------------- Task 3.1


def accumulate(pending, node, g):
    """Add the contribution g to pending[node], the gradient of node that is on its way; pending is a dict.

    g may be held by somebody else, and so may every array that is in pending already: none of them is changed. float32 stays.
    """
    ### BEGIN SOLUTION 3.1: accumulate, which adds contributions without changing them
    held = pending.get(node)
    pending[node] = g if held is None else held + g
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 3.2


def backward(root, g, retain_graph=False):
    """Walk back from root, whose gradient is g; return {leaf: its gradient} for all leaves that are reached.

    Every pullback is called once, with the complete gradient of its node, and not at all where the parent is None.
    The arrays returned belong to the caller: none shares memory with another, with g or with what a pullback returned.
    Afterwards .pullbacks of every node that has parents is None, so that what they hold is freed, unless retain_graph. If
    such a node is met that was freed before, RuntimeError. Chains of 100,000 nodes and ladders of diamonds must work.
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
    """``with no_grad():`` nothing is recorded within the block: mode.recording is False, and afterwards what it was before.

    Also after an exception, which goes on; also if blocks are nested.
    """

    def __enter__(self):
        ### BEGIN SOLUTION 3.3: no_grad, on the way in
        self.before = mode.recording
        mode.recording = False
        ### END SOLUTION

    def __exit__(self, kind, error, traceback):
        ### BEGIN SOLUTION 3.3: no_grad, on the way out
        mode.recording = self.before
        ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 3.4
# An optimiser's step changes the parameter's array p in place and leaves its gradient g as it is. ``state`` is a dict, empty
# at first, in which it keeps what it wants to remember of this parameter until the next step.


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

    Returns the norm before, a number: √(Σ over all elements of all arrays of g²). A norm that is not larger changes nothing.
    """
    ### BEGIN SOLUTION 3.6: clip_gradients, one factor for all
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    if norm > max_norm:
        for g in gradients:
            g *= max_norm / norm
    return norm
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 3.7


def warmup_linear(step, warmup, total):
    """The factor of the learning rate: from 0 at step 0 straight up to 1 at ``warmup``, then straight down to 0 at ``total``.

    Later it stays 0. warmup may be 0; warmup < total.
    """
    ### BEGIN SOLUTION 3.7: warmup_linear, up and then down
    if step < warmup:
        return step / warmup
    return max(0.0, (total - step) / (total - warmup))
    ### END SOLUTION
