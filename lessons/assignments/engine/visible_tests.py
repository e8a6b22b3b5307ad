"""The visible tests of assignment 3. Each runs with your module m; below it stands what should come out.

They are here to be read: `minitorch course check` runs the original ones, whatever is written here.
"""

import itertools

import numpy as np

from models.course.testing import close, exact, raises, task
from models.course.tiny_bert import losses_with_engine, losses_with_schedule


@task("3.1", points=2)
def one_array_in_two_hands(m):
    """x + y hands one array to both; then x gets a second contribution. y's must not change with it."""
    g, pending = np.array([1.0, 2.0]), {}
    m.accumulate(pending, "x", g)
    m.accumulate(pending, "y", g)
    m.accumulate(pending, "x", np.array([10.0, 20.0]))
    return {"dx: g + more": pending["x"], "dy: g": pending["y"], "g afterwards": g}


@one_array_in_two_hands.expects
def _():
    return {"dx: g + more": np.array([11.0, 22.0]), "dy: g": np.array([1.0, 2.0]), "g afterwards": exact([1.0, 2.0])}


class Node:
    """A node of a graph; each is younger than those made before it."""

    clock = itertools.count()

    def __init__(self, *parents, pullbacks=()):
        self.time, self.parents, self.pullbacks = next(self.clock), parents, tuple(pullbacks)


def same(g):
    """The pullback of a sum."""
    return g


@task("3.2", points=2)
def a_diamond(m):
    """r = h + h·u with h = x·1, u = 5, h = 2: dx = 1 + u, du = h."""
    x, u = Node(), Node()
    h = Node(x, pullbacks=[same])
    hu = Node(h, u, pullbacks=[lambda g: g * 5, lambda g: g * 2])
    r = Node(h, hu, pullbacks=[same, same])
    found = m.backward(r, np.ones(2))
    return {"dx = 1 + u": found[x], "du = h": found[u], "how many leaves": len(found)}


@a_diamond.expects
def _():
    return {"dx = 1 + u": np.full(2, 6.0), "du = h": np.full(2, 2.0), "how many leaves": 2}


@task("3.2", points=1)
def a_second_walk_is_refused(m):
    """The graph is freed by the first walk, unless retain_graph."""
    x = Node()
    r = Node(x, pullbacks=[lambda g: g * 3])
    first = m.backward(r, np.ones(1), retain_graph=True)[x]
    second = m.backward(r, np.ones(1))[x]
    return {"first": first, "second": second, "freed": r.pullbacks is None, "third": raises(m.backward, r, np.ones(1))}


@a_second_walk_is_refused.expects
def _():
    return {"first": [3.0], "second": [3.0], "freed": True, "third": "RuntimeError"}


@task("3.3", points=1)
def recording_stops_and_goes_on(m):
    """False within the block, True before and after."""
    before = m.mode.recording
    with m.no_grad():
        within = m.mode.recording
    return {"before": before, "within": within, "after": m.mode.recording}


@recording_stops_and_goes_on.expects
def _():
    return {"before": True, "within": False, "after": True}


@task("3.4", points=1)
def plain_descent(m):
    """p - lr·g, in place; g stays."""
    p, g = np.array([1.0, 2.0]), np.array([10.0, -10.0])
    m.sgd_step(p, g, {}, 0.1)
    return {"p - lr·g": p, "g afterwards": g}


@plain_descent.expects
def _():
    return {"p - lr·g": np.array([0.0, 3.0]), "g afterwards": exact([10.0, -10.0])}


@task("3.4", points=1)
def momentum_remembers(m):
    """Two steps with μ = 0.5: the velocities are g₁ and 0.5 g₁ + g₂."""
    p, state = np.array([0.0]), {}
    m.sgd_step(p, np.array([1.0]), state, 0.1, momentum=0.5)
    first = p.copy()
    m.sgd_step(p, np.array([2.0]), state, 0.1, momentum=0.5)
    return {"after one step: -lr·g₁": first, "after two: -lr·(g₁ + 0.5 g₁ + g₂)": p}


@momentum_remembers.expects
def _():
    return {"after one step: -lr·g₁": [-0.1], "after two: -lr·(g₁ + 0.5 g₁ + g₂)": [-0.35]}


@task("3.5", points=2)
def the_first_step_of_adam(m):
    """Corrected, the first step is lr·sign(g), whatever the size of g."""
    p, g = np.array([1.0, 1.0]), np.array([1e-3, -50.0])
    m.adamw_step(p, g, {}, 0.1, weight_decay=0.0)
    return {"p - lr·g/(|g| + eps)": p, "g afterwards": g}


@the_first_step_of_adam.expects
def _():
    return {"p - lr·g/(|g| + eps)": close([0.9, 1.1], 1e-5), "g afterwards": exact([1e-3, -50.0])}


@task("3.6", points=1)
def one_norm_for_all(m):
    """Two arrays with the norms 3 and 4: together 5, and both are scaled by the same factor."""
    gradients = [np.array([3.0, 0.0]), np.array([[4.0]])]
    norm = m.clip_gradients(gradients, 1.0)
    return {"norm": norm, "first": gradients[0], "second": gradients[1]}


@one_norm_for_all.expects
def _():
    return {"norm": close(5.0, 1e-5), "first": close([0.6, 0.0], 1e-5), "second": close([[0.8]], 1e-5)}


@task("3.7", points=1)
def up_and_down(m):
    """warmup 2, total 6."""
    return {"steps 0 to 6": [m.warmup_linear(step, 2, 6) for step in range(7)]}


@up_and_down.expects
def _():
    return {"steps 0 to 6": [0, 0.5, 1, 0.75, 0.5, 0.25, 0]}


@task("3.7", points=2)
def bert_trains_on_your_engine(m):
    """A small BERT: your accumulate adds up its gradients; your AdamW, clipping and schedule use them."""
    m.warmup_linear(0, 1, 2)
    return {"the losses of 6 steps": losses_with_engine(m)}


@bert_trains_on_your_engine.expects
def _():
    return {"the losses of 6 steps": close(losses_with_schedule(), 1e-3)}
