"""The hidden tests of assignment 1."""

import math

import numpy as np

from models.course.testing import close, exact, task, twice


@task("1.1", points=1)
def slopes_are_accurate_to_second_order(m):
    """eˣ at 1: a one-sided difference would be off by 1e-5; and eps is used."""
    return {
        "central_difference(eˣ, 1)": m.central_difference(math.exp, (1.0,), 0),
        "x³ at 2 with eps = 0.5: 12 + eps²": m.central_difference(lambda x: x**3, (2.0,), 0, eps=0.5),
        "along the first of three": m.central_difference(lambda x, y, z: x * y + z, [1.0, 7.0, 2.0], 0, 1e-3),
        "along the last of three": m.central_difference(lambda x, y, z: x * y + 4 * z, [1.0, 7.0, 2.0], 2, 1e-3),
        "along the middle of three": m.central_difference(lambda x, y, z: x * y + 4 * z, [3.0, 7.0, 2.0], 1, 1e-3),
        "at whole numbers, x²y at (3, 2)": m.central_difference(lambda x, y: x * x * y, [3, 2], 0),
        "along the second of two equal numbers": m.central_difference(lambda x, y: x * x * y, [3.0, 3.0], 1),
        "of another function at the same place": m.central_difference(lambda x, y: x - 2 * y, [3.0, 3.0], 1),
        "of a constant": m.central_difference(lambda x: 4.0, [3.0], 0),
    }


@slopes_are_accurate_to_second_order.expects
def _():
    return {
        "central_difference(eˣ, 1)": close(math.e, 1e-8),
        "x³ at 2 with eps = 0.5: 12 + eps²": close(12.25, 1e-9),
        "along the first of three": close(7.0, 1e-8),
        "along the last of three": close(4.0, 1e-8),
        "along the middle of three": close(3.0, 1e-8),
        "at whole numbers, x²y at (3, 2)": close(12.0, 1e-7),
        "along the second of two equal numbers": close(9.0, 1e-7),
        "of another function at the same place": close(-2.0, 1e-7),
        "of a constant": 0.0,
    }


@task("1.2", points=1)
def rules_at_other_places(m):
    """Every rule at a second place, with another g."""
    s, (sx, sy) = twice(m.add, -1.5, 4.0)
    p, (px, py) = twice(m.mul, -2.0, 0.25)
    e, de = twice(m.exp, -0.75)
    l, dl = twice(m.log, 0.2)
    t, dt = twice(m.tanh, -1.25)
    return {
        "-1.5 + 4": s,
        "dx of add": sx(-3.0),
        "dy of add": sy(0.5),
        "-2 · 0.25": p,
        "dx of mul": px(-3.0),
        "dy of mul": py(-3.0),
        "exp": e,
        "dx of exp": de(-2.0),
        "log": l,
        "dx of log": dl(-2.0),
        "tanh": t,
        "dx of tanh": dt(-2.0),
    } | {f"dx of {name}, asked a second time": dx(0.5) for name, dx in (("mul", px), ("exp", de), ("log", dl), ("tanh", dt))}


@rules_at_other_places.expects
def _():
    return {
        "-1.5 + 4": 2.5,
        "dx of add": -3.0,
        "dy of add": 0.5,
        "-2 · 0.25": -0.5,
        "dx of mul": -0.75,
        "dy of mul": 6.0,
        "exp": math.exp(-0.75),
        "dx of exp": -2 * math.exp(-0.75),
        "log": math.log(0.2),
        "dx of log": -10.0,
        "tanh": math.tanh(-1.25),
        "dx of tanh": -2 / math.cosh(1.25) ** 2,
        "dx of mul, asked a second time": 0.125,
        "dx of exp, asked a second time": 0.5 * math.exp(-0.75),
        "dx of log, asked a second time": 2.5,
        "dx of tanh, asked a second time": 0.5 / math.cosh(1.25) ** 2,
    }


@task("1.2", points=1)
def the_rule_of_power(m):
    """(xⁿ)' = n xⁿ⁻¹, for whole, negative and fractional n, and x⁰."""
    found = {}
    for x, n in ((3.0, 2), (2.0, -1.0), (4.0, 0.5), (-2.0, 3), (0.0, 0), (1.7, 0), (0.0, 1), (0.0, 2)):
        value, dx = twice(m.power, x, n)
        found |= {f"{x}^{n}": value, f"dx of {x}^{n}": dx(2.0)}
    return found


@the_rule_of_power.expects
def _():
    found = {}
    for x, n, y, slope in (
        (3.0, 2, 9.0, 6.0),
        (2.0, -1.0, 0.5, -0.25),
        (4.0, 0.5, 2.0, 0.25),
        (-2.0, 3, -8.0, 12.0),
        (0.0, 0, 1.0, 0.0),
        (1.7, 0, 1.0, 0.0),
        (0.0, 1, 0.0, 1.0),
        (0.0, 2, 0.0, 0.0),
    ):
        found |= {f"{x}^{n}": y, f"dx of {x}^{n}": 2 * slope}
    return found


@task("1.2", points=1)
def the_rule_of_relu(m):
    """1 above 0, else 0; at 0 itself 0."""
    found = {}
    for x in (2.5, 0.25, -1.5, 0.0):
        value, dx = m.relu(x)
        m.relu(-x)
        found |= {f"relu({x})": value, f"dx of relu({x})": dx(3.0), f"dx of relu({x}), g negative": dx(-3.0)}
    return found


@the_rule_of_relu.expects
def _():
    found = {}
    for x, y, slope in ((2.5, 2.5, 1), (0.25, 0.25, 1), (-1.5, 0.0, 0), (0.0, 0.0, 0)):
        found |= {f"relu({x})": y, f"dx of relu({x})": 3.0 * slope, f"dx of relu({x}), g negative": -3.0 * slope}
    return found


@task("1.2", points=1)
def tanh_of_large_numbers(m):
    """tanh 1000 is 1, with slope 0: no overflow on the way."""
    up, du = m.tanh(1000.0)
    down, dd = m.tanh(-1000.0)
    return {"tanh 1000": up, "slope there": du(1.0), "tanh -1000": down, "slope at -1000": dd(1.0)}


@tanh_of_large_numbers.expects
def _():
    return {"tanh 1000": 1.0, "slope there": 0.0, "tanh -1000": -1.0, "slope at -1000": 0.0}


class Node:
    """Something with parents and pullbacks."""

    def __init__(self, *parents, pullbacks=()):
        self.parents, self.pullbacks, self.grad = parents, pullbacks, 0.0


def edges_in_order(order):
    """How many edges point forward, how many do not; how many nodes, how many different ones."""
    where = {id(node): i for i, node in enumerate(order)}
    good = sum(where.get(id(p), math.inf) < i for i, node in enumerate(order) for p in node.parents)
    every = sum(len(node.parents) for node in order)
    return [good, every - good, len(order), len(where)]


@task("1.3", points=1)
def a_root_alone(m):
    """A node without parents is its own order; each of many graphs has an order of its own."""
    node = Node()
    order = list(m.topological_order(node))
    own = 0
    for _ in range(50):  # memory that one graph has left is given to the next one
        root = Node(Node(), Node())
        own += {id(n) for n in m.topological_order(root)} == {id(n) for n in (root, *root.parents)}
    return {"length": len(order), "it is the node": order[0] is node, "graphs with their own nodes": own}


@a_root_alone.expects
def _():
    return {"length": 1, "it is the node": True, "graphs with their own nodes": 50}


@task("1.3", points=1)
def a_skip_edge(m):
    """a feeds b, c and d; b feeds c, c feeds d: breadth-first would visit a too early. In both orders of the parents."""
    found = {}
    for turn in (1, -1):
        a = Node()
        b = Node(a)
        c = Node(*(a, b)[::turn])
        d = Node(*(a, c)[::turn])
        order = list(m.topological_order(d))
        found[f"edges forward, backward, nodes, different ({turn})"] = edges_in_order(order)
        found[f"the root is last ({turn})"] = order[-1] is d
        found[f"the start is first ({turn})"] = order[0] is a
        left = [vars(node) == {"parents": node.parents, "pullbacks": (), "grad": 0.0} for node in (a, b, c, d)]
        found[f"nodes that are as they were ({turn})"] = sum(left) if type(d.parents) is tuple else 0
        first = m.topological_order(d)
        if isinstance(first, list):
            first.clear()  # the list belongs to the caller
        found[f"asked again ({turn})"] = edges_in_order(list(m.topological_order(d)))
    return found


@a_skip_edge.expects
def _():
    found = {}
    for turn in (1, -1):
        found[f"edges forward, backward, nodes, different ({turn})"] = [5, 0, 4, 4]
        found[f"the root is last ({turn})"] = found[f"the start is first ({turn})"] = True
        found[f"nodes that are as they were ({turn})"] = 4
        found[f"asked again ({turn})"] = [5, 0, 4, 4]
    return found


@task("1.3", points=1)
def a_long_chain(m):
    """100,000 nodes in a row."""
    node = Node()
    for _ in range(99_999):
        node = Node(node)
    return {"edges forward, backward, nodes, different": edges_in_order(list(m.topological_order(node)))}


@a_long_chain.expects
def _():
    return {"edges forward, backward, nodes, different": [99_999, 0, 100_000, 100_000]}


@task("1.3", points=1)
def a_ladder_of_diamonds(m):
    """h = h + h, 2,000 times: 2^2000 paths, and 2,001 nodes."""
    node = Node()
    for _ in range(2000):
        node = Node(node, node)
    return {"edges forward, backward, nodes, different": edges_in_order(list(m.topological_order(node)))}


@a_ladder_of_diamonds.expects
def _():
    return {"edges forward, backward, nodes, different": [4000, 0, 2001, 2001]}


@task("1.4", points=1)
def the_walk_needs_an_order(m):
    """h = x·1, r = h + h·u, s = r + h: dx 7, du 2 (x 2, u 5), whichever parent comes first."""
    found = {}
    for turn in (1, -1):
        x, u = Node(), Node()
        h = Node(x, pullbacks=(lambda g: g,))
        hu = Node(h, u, pullbacks=(lambda g: 5 * g, lambda g: 2 * g))
        r = Node(*(h, hu)[::turn], pullbacks=(lambda g: g, lambda g: g))
        s = Node(*(r, h)[::turn], pullbacks=(lambda g: g, lambda g: g))
        m.backward(s)
        found |= {f"dx: 1 + u + 1 ({turn})": x.grad, f"du: h ({turn})": u.grad}
    return found


@the_walk_needs_an_order.expects
def _():
    return {"dx: 1 + u + 1 (1)": 7.0, "du: h (1)": 2.0, "dx: 1 + u + 1 (-1)": 7.0, "du: h (-1)": 2.0}


@task("1.4", points=1)
def a_second_backward_adds_up_in_the_leaves(m):
    """Leaves add to what they have, also where a slope on the way is 0; the nodes between are set anew by a second walk."""
    x = Node()
    h = Node(x, pullbacks=(lambda g: 3 * g,))
    r = Node(h, pullbacks=(lambda g: 2 * g,))
    m.backward(r)
    m.backward(r)
    found = {"dr/dx, twice": x.grad, "dr/dh": h.grad, "dr/dr": r.grad}
    two = np.array([1.0, 2.0])
    for turn in (1, -1):
        y, z, w = Node(), Node(), Node()
        y.grad, z.grad, w.grad = 10.0, np.array([1.0, -1.0]), 5.0
        dead = Node(Node(w, pullbacks=(lambda g: 3 * g,)), pullbacks=(lambda g: 0.0 * g,))
        alive = Node(y, z, pullbacks=(lambda g: two * g, lambda g: two * g))
        parts = [(dead, lambda g: g), (alive, lambda g: 3 * g)][::turn]
        m.backward(Node(*(node for node, _ in parts), pullbacks=[back for _, back in parts]))
        found |= {f"10 + (3, 6) ({turn})": y.grad, f"(1, -1) + (3, 6) ({turn})": z.grad, f"5 + 0 ({turn})": w.grad}
    return found


@a_second_backward_adds_up_in_the_leaves.expects
def _():
    found = {"dr/dx, twice": 12.0, "dr/dh": 2.0, "dr/dr": 1.0}
    for turn in (1, -1):
        found |= {
            f"10 + (3, 6) ({turn})": np.array([13.0, 16.0]),
            f"(1, -1) + (3, 6) ({turn})": np.array([4.0, 5.0]),
            f"5 + 0 ({turn})": 5.0,
        }
    return found


@task("1.4", points=1)
def a_walk_of_great_length(m):
    """A chain of 20,000 and a ladder of 60 diamonds: 2^60."""
    x = Node()
    node = x
    for _ in range(20_000):
        node = Node(node, pullbacks=(lambda g: g,))
    m.backward(node)
    y = Node()
    ladder = y
    for _ in range(60):
        ladder = Node(ladder, ladder, pullbacks=(lambda g: g, lambda g: g))
    m.backward(ladder)
    return {"the chain": x.grad, "the ladder: 2^60": y.grad}


@a_walk_of_great_length.expects
def _():
    return {"the chain": 1.0, "the ladder: 2^60": 2.0**60}


def expression(a, b, c):
    """Something with every operation in it, values used several times."""
    d = (a * b + c).tanh()
    e = (d + 2.0).log() + (a - b).exp() * d
    return (e / (c**2 + 1.0)).relu() + e * e


@task("1.4", points=2)
def gradients_of_an_expression(m):
    """All operations together, against measured slopes."""
    m.backward(m.Value(0.0))
    leaves = [m.Value(0.7), m.Value(-0.4), m.Value(1.3)]
    root = expression(*leaves)
    m.backward(root)
    return {"value": root.value, "gradient": [leaf.grad for leaf in leaves]}


def true_expression(a, b, c):
    d = math.tanh(a * b + c)
    e = math.log(d + 2) + math.exp(a - b) * d
    return max(e / (c * c + 1), 0) + e * e


@gradients_of_an_expression.expects
def _():
    at, eps = [0.7, -0.4, 1.3], 1e-5
    slopes = []
    for i in range(3):
        up, down = list(at), list(at)
        up[i] += eps
        down[i] -= eps
        slopes.append((true_expression(*up) - true_expression(*down)) / (2 * eps))
    return {"value": true_expression(*at), "gradient": close(slopes, 1e-6)}


@task("1.4", points=1)
def slopes_that_are_arrays(m):
    """A pullback hands one array to two parents, and somebody holds the grad of an earlier walk: neither is changed."""
    shared = np.array([1.0, 2.0])
    x, y = Node(), Node()
    h = Node(x, y, pullbacks=(lambda g: g * shared, lambda g: g * shared))
    k = Node(h, x, pullbacks=(lambda g: g, lambda g: shared))
    m.backward(k)
    before = x.grad
    m.backward(k)
    return {"held from the first walk": before, "dk/dx, twice": x.grad, "dk/dy, twice": y.grad, "the pullback's array": shared}


@slopes_that_are_arrays.expects
def _():
    return {
        "held from the first walk": exact(np.array([2.0, 4.0])),
        "dk/dx, twice": np.array([4.0, 8.0]),
        "dk/dy, twice": np.array([2.0, 4.0]),
        "the pullback's array": exact(np.array([1.0, 2.0])),
    }


@task("1.4", points=1)
def a_root_that_is_a_leaf(m):
    """dx/dx = 1, and backward returns nothing."""
    x = Node()
    result = m.backward(x)
    return {"x.grad": x.grad, "the result": result}


@a_root_that_is_a_leaf.expects
def _():
    return {"x.grad": 1.0, "the result": None}


@task("1.5", points=2)
def a_neuron_learns_or(m):
    """Two weights and a bias learn "or" by 30 steps; stale grads do not count, and each step computes the loss once."""
    w, v, b = m.Value(0.1), m.Value(-0.2), m.Value(0.0)
    unused = m.Value(4.0)
    w.grad = v.grad = b.grad = unused.grad = 100.0
    calls = []

    def loss_of():
        calls.append(1)
        total = m.Value(0.0)
        for x, y, target in ((0, 0, -1), (0, 1, 1), (1, 0, 1), (1, 1, 1)):
            total = total + ((w * x + v * y + b).tanh() - target) ** 2
        return total

    losses = m.descend(loss_of, [w, v, b, unused], 0.1, 30)
    weights = [w.value, v.value, b.value]
    found = {"losses": losses, "weights": weights, "how many": len(losses), "a parameter that is not used": unused.value}
    return found | {"how often the loss was computed": len(calls)}


@a_neuron_learns_or.expects
def _():
    w, history = [0.1, -0.2, 0.0], []
    for _ in range(30):
        total, slope = 0.0, [0.0, 0.0, 0.0]
        for x, y, target in ((0, 0, -1), (0, 1, 1), (1, 0, 1), (1, 1, 1)):
            t = math.tanh(w[0] * x + w[1] * y + w[2])
            total += (t - target) ** 2
            for i, factor in enumerate((x, y, 1)):
                slope[i] += 2 * (t - target) * (1 - t * t) * factor
        history.append(total)
        w = [p - 0.1 * s for p, s in zip(w, slope, strict=True)]
    found = {"losses": history, "weights": w, "how many": 30, "a parameter that is not used": 4.0}
    return found | {"how often the loss was computed": 30}


@task("1.5", points=1)
def no_steps(m):
    """No step: no loss, no change. And with a rate that is too large the loss grows, step for step."""
    p, q = m.Value(2.0), m.Value(1.0)
    losses = m.descend(lambda: p * p, [p], 0.1, 0)
    growing = m.descend(lambda: q * q, [q], 1.25, 4)
    return {"how many": len(losses), "p": p.value, "a rate that is too large": growing, "q": q.value}


@no_steps.expects
def _():
    return {"how many": 0, "p": 2.0, "a rate that is too large": [1.0, 2.25, 2.25**2, 2.25**3], "q": 1.5**4}
