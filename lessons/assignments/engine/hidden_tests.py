"""The hidden tests of assignment 3."""

import itertools

import numpy as np

from models.course.testing import close, exact, raises, task


@task("3.1", points=2)
def what_came_stays_as_it_was(m):
    """Three contributions, arrays of no axes, and the dict itself."""
    parts = [np.array([1.0, -1.0]), np.array([0.5, 0.25]), np.array([4.0, 8.0])]
    pending = {"other": np.array([7.0])}
    seen = []
    for part in parts:
        m.accumulate(pending, "x", part)
        seen.append(pending["x"])
    scalars = {}
    m.accumulate(scalars, "s", np.array(2.0))
    m.accumulate(scalars, "s", np.array(3.0))
    held = np.array([1.0, 2.0], np.float32)
    mixed = {"x": held}
    m.accumulate(mixed, "x", np.array([3.0, 4.0], np.float32))
    m.accumulate(mixed, "y", np.array([5.0], np.float32))
    return {
        "Σ": pending["x"],
        "after one": seen[0],
        "after two": seen[1],
        "first": parts[0],
        "second": parts[1],
        "third": parts[2],
        "another node": pending["other"],
        "no axes": scalars["s"],
        "entries": len(pending),
        "what was there before": held,
        "float32": mixed["x"],
        "float32, alone": mixed["y"],
    }


@what_came_stays_as_it_was.expects
def _():
    return {
        "Σ": np.array([5.5, 7.25]),
        "after one": (lambda got: None),
        "after two": (lambda got: None),
        "first": exact([1.0, -1.0]),
        "second": exact([0.5, 0.25]),
        "third": exact([4.0, 8.0]),
        "another node": exact([7.0]),
        "no axes": 5.0,
        "entries": 2,
        "what was there before": exact([1.0, 2.0]),
        "float32": close([4.0, 6.0], dtype=np.float32),
        "float32, alone": close([5.0], dtype=np.float32),
    }


class Node:
    """A node of a graph; each is younger than those made before it."""

    clock = itertools.count()

    def __init__(self, *parents, pullbacks=()):
        self.time, self.parents, self.pullbacks = next(self.clock), parents, tuple(pullbacks)


def same(g):
    return g


@task("3.2", points=2)
def the_order_of_handling(m):
    """h = x·1, r = h + h·u, s = r + h: dx 7, du 2, whichever parent comes first."""
    found = {}
    for turn in (1, -1):
        x, u = Node(), Node()
        h = Node(x, pullbacks=[same])
        hu = Node(h, u, pullbacks=[lambda g: g * 5, lambda g: g * 2])
        r = Node(*(h, hu)[::turn], pullbacks=[same, same])
        s = Node(*(r, h)[::turn], pullbacks=[same, same])
        gradients = m.backward(s, np.ones((1, 2)))
        found |= {f"dx ({turn})": gradients[x], f"du ({turn})": gradients[u]}
    return found


@the_order_of_handling.expects
def _():
    seven, two = np.full((1, 2), 7.0), np.full((1, 2), 2.0)
    return {"dx (1)": seven, "du (1)": two, "dx (-1)": seven, "du (-1)": two}


@task("3.2", points=1)
def times_of_other_kinds(m):
    """Nodes that share a time, times with a fraction and below zero; float32 stays. A gradient of 0 is a gradient."""
    x, u, v = Node(), Node(), Node()
    a = Node(x, u, pullbacks=[lambda g: g * 2, same])
    b = Node(x, v, pullbacks=[lambda g: g * 3, same])
    c = Node(a, x, pullbacks=[same, lambda g: g * 4])
    r = Node(c, b, a, pullbacks=[same, same, same])
    for node, time in ((x, -1.5), (u, -1.5), (v, -1.5), (a, 0), (b, 0), (c, 0.25), (r, 7)):
        node.time = time
    found = m.backward(r, np.ones(2, np.float32))
    y, z = Node(), Node()
    dead = Node(Node(y, pullbacks=[same]), pullbacks=[lambda g: 0 * g])
    top = Node(dead, z, pullbacks=[same, same])
    dead_end = m.backward(top, np.ones(2, np.float32))
    return {
        "dx: 2·2 + 3 + 4": found[x],
        "du": found[u],
        "dv": found[v],
        "behind a slope of 0": dead_end[y],
        "beside it": dead_end[z],
        "freed behind it": dead.parents[0].pullbacks is None,
    }


@times_of_other_kinds.expects
def _():
    numbers = {"dx: 2·2 + 3 + 4": 11.0, "du": 2.0, "dv": 1.0, "behind a slope of 0": 0.0, "beside it": 1.0}
    return {name: close(np.full(2, n), dtype=np.float32) for name, n in numbers.items()} | {"freed behind it": True}


@task("3.2", points=2)
def every_pullback_is_called_once(m):
    """Once, with the complete gradient; never for a parent that is None; a ladder of 500 diamonds."""
    calls = []

    def counted(factor):
        def pullback(g):
            calls.append(float(g[0]))
            return g * factor

        return pullback

    def forbidden(g):
        calls.append(-1.0)
        return g

    x = Node()
    a = Node(x, None, pullbacks=[counted(2.0), forbidden])
    r = Node(a, a, None, pullbacks=[counted(1.0), counted(1.0), forbidden])
    dx = m.backward(r, np.array([1.0]))[x]
    ladder = bottom = Node()
    ladder_calls = [0]

    def half(g):
        ladder_calls[0] += 1
        return g * 0.5

    for _ in range(500):
        ladder = Node(ladder, ladder, pullbacks=[half, half])
    top = m.backward(ladder, np.array([3.0]))[bottom]
    return {"dx": dx, "what the pullbacks were given": np.sort(calls), "the ladder": top, "calls in the ladder": ladder_calls[0]}


@every_pullback_is_called_once.expects
def _():
    return {"dx": [4.0], "what the pullbacks were given": [1.0, 1.0, 2.0], "the ladder": [3.0], "calls in the ladder": 1000}


@task("3.2", points=1)
def a_long_chain(m):
    """50,000 nodes in a row."""
    node = leaf = Node()
    for _ in range(50_000):
        node = Node(node, pullbacks=[same])
    return {"dx": m.backward(node, np.ones(1))[leaf]}


@a_long_chain.expects
def _():
    return {"dx": [1.0]}


@task("3.2", points=2)
def the_results_belong_to_the_caller(m):
    """No two share memory, none with g or with what a pullback keeps; nothing that came in is changed."""
    kept, g = np.array([5.0, 6.0]), np.array([1.0, 2.0])
    x, y, z = Node(), Node(), Node()
    r = Node(x, y, z, pullbacks=[same, same, lambda g: kept])
    found = m.backward(r, g)
    arrays = [found[x], found[y], found[z], g, kept]
    shared = [(i, j) for i in range(5) for j in range(i) if np.shares_memory(arrays[i], arrays[j])]
    s = Node(x, x, pullbacks=[lambda g: kept, lambda g: kept])
    twice = m.backward(s, g)[x]
    leaf = Node()
    own = m.backward(leaf, g)[leaf]
    return {
        "dx, dy, dz": np.stack(arrays[:3]),
        "pairs that share memory": len(shared),
        "dx of kept + kept": twice,
        "g": g,
        "kept": kept,
        "a root that is a leaf": own,
        "it shares memory with g": bool(np.shares_memory(own, g)),
    }


@the_results_belong_to_the_caller.expects
def _():
    g, kept = np.array([1.0, 2.0]), np.array([5.0, 6.0])
    return {
        "dx, dy, dz": np.stack([g, g, kept]),
        "pairs that share memory": 0,
        "dx of kept + kept": 2 * kept,
        "g": exact(g),
        "kept": exact(kept),
        "a root that is a leaf": g,
        "it shares memory with g": False,
    }


@task("3.2", points=1)
def what_is_freed(m):
    """Every node with parents, and no leaf; a graph that hangs on a freed one is refused; retain_graph keeps all."""
    x, y = Node(), Node()
    h = Node(x, pullbacks=[same])
    r = Node(h, y, pullbacks=[same, same])
    m.backward(r, np.ones(1), retain_graph=True)
    kept = [node.pullbacks is None for node in (h, r)]
    m.backward(r, np.ones(1))
    freed = [node.pullbacks is None for node in (h, r)]
    above = Node(h, y, pullbacks=[same, same])
    return {
        "freed with retain_graph": sum(kept),
        "freed without": sum(freed),
        "a node above a freed one": raises(m.backward, above, np.ones(1)),
        "the leaf's pullbacks": x.pullbacks == (),
    }


@what_is_freed.expects
def _():
    return {
        "freed with retain_graph": 0,
        "freed without": 2,
        "a node above a freed one": "RuntimeError",
        "the leaf's pullbacks": True,
    }


@task("3.3", points=2)
def blocks_within_blocks(m):
    """Nested, twice the same object in a row, within a mode that was off already, and after an exception that goes on."""
    seen = {"the exception goes on": False}
    block, mode = m.no_grad(), m.mode
    with block:
        seen["in a block"] = m.mode.recording
        seen["in a block, for one who holds the mode"] = mode.recording
    with m.no_grad():
        with m.no_grad():
            seen["in the inner block"] = m.mode.recording
        seen["after the inner block"] = m.mode.recording
    seen["after the outer one"] = m.mode.recording
    m.mode.recording = False
    with m.no_grad():
        seen["in a block, off before"] = m.mode.recording
    seen["it was off before"] = m.mode.recording
    m.mode.recording = True
    block = m.no_grad()  # made while the mode was on, entered while it is off
    m.mode.recording = False
    with block:
        pass
    seen["what it was on entering"] = m.mode.recording
    m.mode.recording = True
    with m.no_grad():
        seen["in a block, on before"] = m.mode.recording
    try:
        with m.no_grad():
            raise KeyError("on purpose")
    except KeyError:
        seen["the exception goes on"] = True
    seen["after an exception"] = m.mode.recording
    return seen


@blocks_within_blocks.expects
def _():
    return {
        "in a block": False,
        "in a block, for one who holds the mode": False,
        "in a block, on before": False,
        "in the inner block": False,
        "in a block, off before": False,
        "what it was on entering": False,
        "after the inner block": False,
        "after the outer one": True,
        "it was off before": False,
        "the exception goes on": True,
        "after an exception": True,
    }


def steps(function, count, shape, lr, turned=False, **options):
    """The parameter after each of a few steps, the rate falling; is g left alone? ``turned``: p is a transpose."""
    rng = np.random.default_rng(5)
    p, state, other, history, unchanged = rng.normal(size=shape), {}, {}, [], True
    p = p.T if turned else p
    for t in range(count):
        g = rng.normal(size=p.shape)
        before = g.copy()
        function(p, g, state, lr=lr / (1 + t), **options)
        function(2 * p, 3 - g, other, lr=lr, **options)  # another parameter, with a state of its own
        unchanged &= bool((g == before).all())
        history.append(p.copy())
    return {"p after each step": np.stack(history), "g is left as it was": unchanged}


SGD = [dict(lr=0.1), dict(lr=0.3, momentum=0.9), dict(lr=0.1, weight_decay=0.5), dict(lr=0.05, momentum=0.8, weight_decay=0.1)]


@task("3.4", points=2)
def several_steps_of_sgd(m):
    """Four steps with each setting, the rate falling; and with a parameter that is a transpose."""
    found = {f"{k}, {o}": v for o in SGD for k, v in steps(m.sgd_step, 4, (2, 3), **o).items()}
    return found | {f"{k}, a transpose": v for k, v in steps(m.sgd_step, 2, (2, 3), turned=True, **SGD[3]).items()}


def true_sgd():
    def function(p, g, state, lr, momentum=0.0, weight_decay=0.0):
        d = g + weight_decay * p
        state["all"] = [*state.get("all", []), d]
        t = len(state["all"])
        p -= lr * sum(momentum ** (t - 1 - i) * d for i, d in enumerate(state["all"]))

    return function


@several_steps_of_sgd.expects
def _():
    found = {f"{k}, {o}": v for o in SGD for k, v in steps(true_sgd(), 4, (2, 3), **o).items()}
    return found | {f"{k}, a transpose": v for k, v in steps(true_sgd(), 2, (2, 3), turned=True, **SGD[3]).items()}


@task("3.4", points=1)
def a_gradient_that_is_used_again(m):
    """The same array is filled with each new gradient: what is remembered must not change with it."""
    p, g, state = np.array([0.0]), np.array([1.0]), {}
    m.sgd_step(p, g, state, 1.0, momentum=0.5)
    g[:] = 2.0
    m.sgd_step(p, g, state, 1.0, momentum=0.5)
    after = p.copy()
    m.sgd_step(p, g, {}, 1.0, momentum=0.5)
    return {"p: -(1) - (0.5 + 2)": after, "p, with an empty state again: 2 less": p}


@a_gradient_that_is_used_again.expects
def _():
    return {"p: -(1) - (0.5 + 2)": [-3.5], "p, with an empty state again: 2 less": [-5.5]}


ADAM = [
    dict(lr=0.1),
    dict(lr=0.1, betas=(0.5, 0.8)),
    dict(lr=0.01, weight_decay=2.0),
    dict(lr=0.1, eps=0.5, weight_decay=0.0),
    dict(lr=0.2, betas=(0.0, 0.9), eps=1e-3, weight_decay=0.3),
]


@task("3.5", points=3)
def several_steps_of_adamw(m):
    """Five steps with each setting, the rate falling; and with a parameter that is a transpose."""
    found = {f"{k}, {o}": v for o in ADAM for k, v in steps(m.adamw_step, 5, (3, 2), **o).items()}
    return found | {f"{k}, a transpose": v for k, v in steps(m.adamw_step, 2, (2, 3), turned=True, **ADAM[4]).items()}


def true_adamw():
    """Means written out as weighted sums over all gradients so far."""

    def mean(values, beta):
        t = len(values)
        weights = [beta ** (t - 1 - i) for i in range(t)]
        return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)

    def function(p, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        past = state["all"] = [*state.get("all", []), g.copy()]
        step = mean(past, betas[0]) / (np.sqrt(mean([g * g for g in past], betas[1])) + eps)
        p[...] = p - lr * weight_decay * p - lr * step

    return function


@several_steps_of_adamw.expects
def _():
    found = {f"{k}, {o}": v for o in ADAM for k, v in steps(true_adamw(), 5, (3, 2), **o).items()}
    return found | {f"{k}, a transpose": v for k, v in steps(true_adamw(), 2, (2, 3), turned=True, **ADAM[4]).items()}


@task("3.5", points=1)
def parameters_are_apart(m):
    """Two parameters, each with a state of its own; float32 stays float32."""
    p, q = np.ones(2, np.float32), np.ones(2, np.float32)
    state_p, state_q = {}, {}
    m.adamw_step(p, np.array([1.0, -1.0], np.float32), state_p, 0.1)
    m.adamw_step(p, np.array([1.0, -1.0], np.float32), state_p, 0.1)
    m.adamw_step(q, np.array([-2.0, 3.0], np.float32), state_q, 0.1)
    after = p.copy()
    m.adamw_step(p, np.array([-1.0, -1.0], np.float32), {}, 0.1, weight_decay=0.0)
    return {"p after two steps": after, "q after one": q, "p, with an empty state again: 0.1 more": p - after}


@parameters_are_apart.expects
def _():
    p = (0.999 - np.array([0.1, -0.1])) * 0.999 - np.array([0.1, -0.1])
    return {
        "p after two steps": close(p, 1e-5, 1e-6, np.float32),
        "q after one": close([1.099, 0.899], 1e-5, 1e-6, np.float32),
        "p, with an empty state again: 0.1 more": close([0.1, 0.1], 1e-5, 1e-6, np.float32),
    }


@task("3.6", points=2)
def norms_of_all_kinds(m):
    """Larger, smaller, just as large, of one array, of none, all zero."""
    found = {}
    for name, arrays, limit in (
        ("larger", [[3.0, -4.0], [12.0, 0.0]], 6.5),
        ("smaller", [[3.0], [4.0]], 7.0),
        ("as large", [[3.0], [4.0]], 5.0),
        ("one", [[-2.0]], 1.0),
        ("none", [], 1.0),
        ("zero", [[0.0, 0.0]], 1.0),
        ("all negative", [[-6.0], [-8.0]], 2.0),
        ("of fractions", [[0.2, -0.3], [0.1]], 5.0),
    ):
        gradients = [np.array(a) for a in arrays]
        held = list(gradients)
        found[f"norm, {name}"] = m.clip_gradients(gradients, limit)
        found[f"arrays, {name}"] = np.concatenate([*held, [0.0]])
    matrix = np.array([[3.0, 0.0], [0.0, 4.0], [0.0, 12.0]]).T  # a transpose, and a single precision one
    gradients = [matrix, np.zeros((0, 2)), np.array([84.0], np.float32)]
    found["norm, of a matrix and more"] = m.clip_gradients(gradients, 8.5)
    long = m.clip_gradients([np.full((300, 300), 0.1, np.float32)], 100.0)
    return found | {"a transpose": matrix, "float32": gradients[2], "90,000 numbers of float32": long}


@norms_of_all_kinds.expects
def _():
    return {
        "norm, larger": close(13.0, 1e-9),
        "arrays, larger": close([1.5, -2.0, 6.0, 0.0, 0.0], 1e-5),
        "norm, smaller": close(5.0, 1e-5),
        "arrays, smaller": close([3.0, 4.0, 0.0], 1e-9),
        "norm, as large": close(5.0, 1e-5),
        "arrays, as large": close([3.0, 4.0, 0.0], 1e-5),
        "norm, one": close(2.0, 1e-5),
        "arrays, one": close([-1.0, 0.0], 1e-5),
        "norm, none": 0.0,
        "arrays, none": [0.0],
        "norm, zero": 0.0,
        "arrays, zero": [0.0, 0.0, 0.0],
        "norm, of a matrix and more": close(85.0, 1e-5),
        "a transpose": close([[0.3, 0.0, 0.0], [0.0, 0.4, 1.2]], 1e-5),
        "float32": close([8.4], 1e-5, dtype=np.float32),
        "90,000 numbers of float32": close(30.0, 1e-5, because="one after the other, small numbers get lost in a sum of float32"),
        "norm, of fractions": close(np.sqrt(0.14), 1e-9, because="the sum keeps the precision of float64"),
        "arrays, of fractions": close([0.2, -0.3, 0.1, 0.0], 1e-9),
        "norm, all negative": close(10.0, 1e-5),
        "arrays, all negative": close([-1.2, -1.6, 0.0], 1e-5),
    }


@task("3.7", points=1)
def other_schedules(m):
    """No warm-up, a long one, and beyond the end."""
    return {
        "warmup 0, total 4": [m.warmup_linear(s, 0, 4) for s in range(7)],
        "warmup 5, total 7": [m.warmup_linear(s, 5, 7) for s in range(9)],
        "warmup 1, total 2": [m.warmup_linear(s, 1, 2) for s in range(4)],
    }


@other_schedules.expects
def _():
    return {
        "warmup 0, total 4": [1, 0.75, 0.5, 0.25, 0, 0, 0],
        "warmup 5, total 7": [0, 0.2, 0.4, 0.6, 0.8, 1, 0.5, 0, 0],
        "warmup 1, total 2": [0, 1, 0, 0],
    }
