"""The visible tests of assignment 3. Each runs with your module m; below it stands what should come out.

They are here to be read: `minitorch course check` runs the original ones, whatever is written here.
"""

import itertools

import numpy as np

from models.course.testing import close, exact, raises, task
from models.course.tiny_bert import alike, training_with_engine, training_with_schedule


@task("3.1", points=2)
def one_array_in_two_hands(m):
    """x + y hands one array to both; then x gets a second contribution. y's must not change with it."""
    g, pending = np.array([1.0, 2.0]), {}
    m.accumulate(pending, "x", g)
    m.accumulate(pending, "y", g)
    more = np.array([10.0, 20.0])
    m.accumulate(pending, "x", more)
    return {"dx: g + more": pending["x"], "dy: g": pending["y"], "g afterwards": g, "more afterwards": more}


@one_array_in_two_hands.expects
def _():
    slips = {"keeping the last contribution alone": np.array([10.0, 20.0])}
    slips |= {"keeping the first contribution alone": np.array([1.0, 2.0])}
    dy = close(np.array([1.0, 2.0]), slips={"+=, which changes the array that both hold": np.array([11.0, 22.0])})
    return {
        "dx: g + more": close(np.array([11.0, 22.0]), slips=slips),
        "dy: g": dy,
        "g afterwards": exact([1.0, 2.0]),
        "more afterwards": exact([10.0, 20.0]),
    }


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
    g = np.ones(2)
    found = m.backward(r, g)
    sum_of_two = m.backward(Node(x, u, pullbacks=[same, same]), g)
    shared = np.shares_memory(sum_of_two[x], sum_of_two[u]) or np.shares_memory(sum_of_two[x], g)
    return {"dx = 1 + u": found[x], "du = h": found[u], "how many leaves": len(found), "x + u: memory is shared": bool(shared)}


@a_diamond.expects
def _():
    own = {"x + u: memory is shared": close(False, because="each leaf's gradient belongs to the caller alone: copy it")}
    slips = {"handling h before all of its children have passed on": np.ones(2), "overwriting a contribution": np.full(2, 5.0)}
    return {"dx = 1 + u": close(np.full(2, 6.0), slips=slips), "du = h": np.full(2, 2.0), "how many leaves": 2} | own


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


@task("3.3", points=1)
def blocks_restore_what_they_found(m):
    """A block in a block leaves the mode off; after an exception it is restored, and the exception goes on."""
    with m.no_grad():
        with m.no_grad():
            pass
        outer = m.mode.recording
    arrived = False
    try:
        with m.no_grad():
            raise KeyError("on purpose")
    except KeyError:
        arrived = True
    return {"after the inner block": outer, "the exception goes on": arrived, "after the exception": m.mode.recording}


@blocks_restore_what_they_found.expects
def _():
    on = "leaving a block restores the mode that it found, which need not be True"
    swallowed = "__exit__ must not return True: that swallows the exception"
    return {
        "after the inner block": close(False, because=on),
        "the exception goes on": close(True, because=swallowed),
        "after the exception": True,
    }


@task("3.4", points=1)
def plain_descent(m):
    """p - lr·g, in place; g stays."""
    p, g = np.array([1.0, 2.0]), np.array([10.0, -10.0])
    m.sgd_step(p, g, {}, 0.1)
    return {"p - lr·g": p, "g afterwards": g}


@plain_descent.expects
def _():
    slips = {"a new array in place of p's own": [1.0, 2.0], "a step uphill": [2.0, 1.0], "forgetting lr": [-9.0, 12.0]}
    return {"p - lr·g": close([0.0, 3.0], slips=slips), "g afterwards": exact([10.0, -10.0])}


@task("3.4", points=1)
def momentum_remembers(m):
    """Two steps with μ = 0.5: the velocities are g₁ and 0.5 g₁ + g₂. Between them another parameter takes a step."""
    p, state = np.array([0.0]), {}
    m.sgd_step(p, np.array([1.0]), state, 0.1, momentum=0.5)
    first = p.copy()
    m.sgd_step(np.array([0.0]), np.array([8.0]), {}, 0.1, momentum=0.5)
    m.sgd_step(p, np.array([2.0]), state, 0.1, momentum=0.5)
    return {"after one step: -lr·g₁": first, "after two: -lr·(g₁ + 0.5 g₁ + g₂)": p}


@momentum_remembers.expects
def _():
    slips = {"a velocity that is kept outside of state": [-0.725], "no memory at all": [-0.3]}
    return {"after one step: -lr·g₁": [-0.1], "after two: -lr·(g₁ + 0.5 g₁ + g₂)": close([-0.35], slips=slips)}


@task("3.4", points=1)
def decay_before_momentum(m):
    """g + λp goes into the velocity; g itself stays."""
    p, g, state = np.array([2.0]), np.array([1.0]), {}
    for _ in range(2):
        m.sgd_step(p, g, state, 0.5, momentum=0.5, weight_decay=0.5)
    return {"p after two steps": p, "g afterwards": g}


@decay_before_momentum.expects
def _():
    slips = {"a decay of the wrong sign": [2.0], "a decay past the momentum": [0.0], "no decay": [0.75]}
    return {"p after two steps": close([-0.25], slips=slips), "g afterwards": exact([1.0])}


@task("3.5", points=2)
def the_first_step_of_adam(m):
    """Corrected, the first step is lr·sign(g), whatever the size of g."""
    p, g = np.array([1.0, 1.0]), np.array([1e-3, -50.0])
    m.adamw_step(p, g, {}, 0.1, weight_decay=0.0)
    return {"p - lr·g/(|g| + eps)": p, "g afterwards": g}


@the_first_step_of_adam.expects
def _():
    sign, g = np.array([1.0, -1.0]), np.array([1e-3, -50.0])
    slips = {
        "a mean m that is not corrected for t": 1 - 0.01 * sign,
        "a mean v that is not corrected for t": 1 - 0.1 * sign / 0.001**0.5,
        "means that are not corrected for t": 1 - 0.01 * sign / 0.001**0.5,
        "eps inside of the root": 1 - 0.1 * g / np.sqrt(g * g + 1e-8),
        "t = 2 at the first step": 1 - 0.1 * sign * (0.1 / 0.19) / (0.001 / (1 - 0.999**2)) ** 0.5,
        "|g| in place of g²": 1 - 0.1 * sign * np.sqrt(np.abs(g)),
        "a step uphill": 1 + 0.1 * sign,
        "a new array in place of p's own": [1.0, 1.0],
    }
    return {"p - lr·g/(|g| + eps)": close([0.9, 1.1], 1e-5, slips=slips), "g afterwards": exact([1e-3, -50.0])}


@task("3.5", points=1)
def the_decay_is_apart(m):
    """With a gradient of 0 all that is left is the decay: p shrinks by the factor 1 - lr·λ."""
    p = np.array([1.0, -3.0])
    m.adamw_step(p, np.zeros(2), {}, 0.1, weight_decay=0.5)
    return {"(1 - lr·λ) p": p}


@the_decay_is_apart.expects
def _():
    p = np.array([1.0, -3.0])
    slips = {"a decay of the wrong sign": 1.05 * p, "no decay": p, "a decay without lr": 0.5 * p}
    slips |= {"a decay that is added to the gradient and goes through the means": p - 0.1 * np.sign(p)}
    slips |= {"lr·λ subtracted, not lr·λ·p": p - 0.05}
    return {"(1 - lr·λ) p": close(0.95 * p, slips=slips)}


@task("3.6", points=1)
def one_norm_for_all(m):
    """Two arrays with the norms 3 and 4: together 5, and both are scaled by the same factor."""
    gradients = [np.array([3.0, 0.0]), np.array([[4.0]])]
    norm = m.clip_gradients(gradients, 1.0)
    return {"norm": norm, "first": gradients[0], "second": gradients[1]}


@one_norm_for_all.expects
def _():
    apart = "a norm of its own for each array"
    return {
        "norm": close(
            5.0, 1e-5, slips={"a sum of the norms": 7.0, "the square of the norm": 25.0, "the norm after clipping": 1.0}
        ),
        "first": close([0.6, 0.0], 1e-5, slips={apart: [1.0, 0.0], "new arrays in place of the given ones": [3.0, 0.0]}),
        "second": close([[0.8]], 1e-5, slips={apart: [[1.0]]}),
    }


@task("3.6", points=1)
def short_and_long_gradients(m):
    """A norm below the limit changes nothing; the norm of float64 is that of float64; and 100,000 numbers of float32."""
    short, long = [np.array([0.3, 0.1]), np.array([-0.7])], [np.full(100_000, 0.1, np.float32)]
    norm, large = m.clip_gradients(short, 10.0), m.clip_gradients(long, 1.0)
    return {"norm": norm, "below the limit": np.concatenate(short), "norm of the long one": large, "its first number": long[0][0]}


@short_and_long_gradients.expects
def _():
    x = np.array([0.3, 0.1, -0.7])
    norm, root = np.sqrt((x * x).sum()), np.sqrt(100_000)
    slips = {"a factor that is used even when the norm is below the limit": x * 10 / norm}
    in_float32 = "summed in float32, one after the other, small numbers get lost in the large sum"
    return {
        "norm": close(norm, 1e-9, because="the sum keeps the precision of float64"),
        "below the limit": close(x, 0.0, 0.0, slips=slips),
        "norm of the long one": close(0.1 * root, 1e-5, because=in_float32),
        "its first number": close(1 / root, 1e-5, dtype=np.float32),
    }


@task("3.7", points=1)
def up_and_down(m):
    """warmup 2, total 6; no warm-up, and steps beyond the end."""
    found = {"steps 0 to 6": [m.warmup_linear(step, 2, 6) for step in range(7)]}
    return found | {"warmup 0, total 2, steps 0 to 3": [m.warmup_linear(step, 0, 2) for step in range(4)]}


@up_and_down.expects
def _():
    slips = {"counting the first step as 1": [0.5, 1, 0.75, 0.5, 0.25, 0, 0]}
    slips |= {"a warm-up that starts with step + 1": [0.5, 1, 1, 0.75, 0.5, 0.25, 0]}
    slips |= {"no descent": [0, 0.5, 1, 1, 1, 1, 0]}
    slips |= {"a descent that is measured from 0": [0, 0.5, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0]}
    short = close([1, 0.5, 0, 0], slips={"a factor that falls below 0": [1, 0.5, 0, -0.5]})
    return {"steps 0 to 6": close([0, 0.5, 1, 0.75, 0.5, 0.25, 0], slips=slips), "warmup 0, total 2, steps 0 to 3": short}


@task("3.7", points=2)
def bert_trains_on_your_engine(m):
    """A small BERT: your accumulate adds up its gradients; your AdamW, clipping and schedule use them."""
    m.warmup_linear(0, 1, 2)
    return training_with_engine(m)


@bert_trains_on_your_engine.expects
def _():
    return alike(training_with_schedule())
