"""The visible tests of assignment 1. Each runs with your module m; below it stands what should come out.

They are here to be read: `minitorch course check` runs the original ones, whatever is written here.
"""

import math

import numpy as np

from models.course.testing import SHARED, close, exact, task, twice
from models.course.tiny_bert import alike, training, training_with_scalar_engine


@task("1.1", points=1)
def slope_of_a_square(m):
    """The slope of x² at 3 is 6, and at -1 it is -2."""
    slopes = {x: m.central_difference(lambda x: x * x, [x], 0) for x in (3.0, -1.0)}
    return {f"central_difference(x², {x:g})": slope for x, slope in slopes.items()}


@slope_of_a_square.expects
def _():
    found = {}
    for x, slope in ((3, 6.0), (-1, -2.0)):
        slips = {"dividing by eps instead of 2 eps": 2 * slope, "a difference to one side only": slope + 1e-5}
        slips |= {"f(x - eps) - f(x + eps)": -slope, "/ 2 * eps without brackets": slope * 1e-10}
        found[f"central_difference(x², {x})"] = close(slope, 1e-6, slips=slips)
    return found


@task("1.1", points=1)
def slope_along_the_second_argument(m):
    """f = x²y: along y the slope is x², and the list of values is not changed."""
    values = [3.0, 5.0]
    slope = m.central_difference(lambda x, y: x * x * y, values, 1)
    return {"∂(x²y)/∂y = x²": slope, "the values afterwards": list(values)}


@slope_along_the_second_argument.expects
def _():
    return {"∂(x²y)/∂y = x²": close(9.0, 1e-6), "the values afterwards": exact([3.0, 5.0])}


@task("1.2", points=1)
def the_rule_of_add(m):
    """x + y passes g on to both."""
    value, (dx, dy) = twice(m.add, 2.0, 3.0)
    return {"2 + 3": value, "dx: g": dx(7.0), "dy: g": dy(7.0)}


@the_rule_of_add.expects
def _():
    slips = {"1 in place of g": 1.0}
    return {"2 + 3": 5.0, "dx: g": close(7.0, slips=slips), "dy: g": close(7.0, slips=slips)}


@task("1.2", points=1)
def the_rule_of_mul(m):
    """The product rule."""
    value, (dx, dy) = twice(m.mul, 3.0, 5.0)
    return {"3 · 5": value, "dx: g·y": dx(2.0), "dy: g·x": dy(2.0)}


@the_rule_of_mul.expects
def _():
    return {
        "3 · 5": 15.0,
        "dx: g·y": close(10.0, slips={SHARED: 15.0, "forgetting g": 5.0, "x and y exchanged": 6.0}),
        "dy: g·x": close(6.0, slips={SHARED: 9.0, "forgetting g": 3.0, "x and y exchanged": 10.0}),
    }


@task("1.2", points=1)
def the_rule_of_tanh(m):
    """tanh' = 1 - tanh²."""
    value, dx = twice(m.tanh, 0.5)
    return {"tanh 0.5": value, "dx: g·(1 - tanh²)": dx(2.0)}


@the_rule_of_tanh.expects
def _():
    t = math.tanh(0.5)
    slips = {SHARED: 2 * (1 - math.tanh(0.75) ** 2), "forgetting g": 1 - t * t, "1 - tanh without the square": 2 * (1 - t)}
    slips |= {"1 - x² in place of 1 - tanh² x": 1.5}
    return {"tanh 0.5": t, "dx: g·(1 - tanh²)": close(2 * (1 - t * t), slips=slips)}


@task("1.2", points=1)
def the_rules_of_exp_and_log(m):
    """exp is its own derivative; that of log is 1/x."""
    e, de = twice(m.exp, 1.5)
    l, dl = twice(m.log, 2.5)
    return {"e^1.5": e, "dx of exp: g·eˣ": de(3.0), "ln 2.5": l, "dx of log: g/x": dl(3.0)}


@the_rules_of_exp_and_log.expects
def _():
    return {
        "e^1.5": math.exp(1.5),
        "dx of exp: g·eˣ": close(3 * math.exp(1.5), slips={SHARED: 3 * math.exp(2.25), "forgetting g": math.exp(1.5)}),
        "ln 2.5": close(math.log(2.5), slips={"the logarithm to the base 10": math.log10(2.5)}),
        "dx of log: g/x": close(1.2, slips={SHARED: 0.8, "forgetting g": 0.4, "g·x in place of g/x": 7.5}),
    }


@task("1.2", points=1)
def the_rules_of_power_and_relu(m):
    """(xⁿ)' = n xⁿ⁻¹, also for n = 0; relu passes g on where x > 0, and nothing elsewhere."""
    cube, dc = twice(m.power, 2.0, 3)
    one, d1 = m.power(0.0, 0)
    up, du = m.relu(1.5)
    down, dd = m.relu(-1.5)
    flat, df = m.relu(0.0)
    found = {"2³": cube, "dx: g·3·2²": dc(0.5), "0⁰": one, "dx of 0⁰": d1(0.5), "relu(1.5)": up, "dx of relu(1.5): g": du(0.5)}
    return found | {"relu(-1.5)": down, "dx of relu(-1.5)": dd(0.5), "relu(0)": flat, "dx of relu(0)": df(0.5)}


@the_rules_of_power_and_relu.expects
def _():
    slips = {SHARED: 0.0, "forgetting g": 12.0, "forgetting n": 2.0, "n xⁿ in place of n xⁿ⁻¹": 12.0}
    return {
        "2³": 8.0,
        "dx: g·3·2²": close(6.0, slips=slips),
        "0⁰": 1.0,
        "dx of 0⁰": 0.0,
        "relu(1.5)": 1.5,
        "dx of relu(1.5): g": close(0.5, slips={SHARED: 0.0, "forgetting g": 1.0, "g·x": 0.75}),
        "relu(-1.5)": 0.0,
        "dx of relu(-1.5)": 0.0,
        "relu(0)": 0.0,
        "dx of relu(0)": close(0.0, slips={"the slope 1 at 0": 0.5}),
    }


class Node:
    """Something with parents, as topological_order asks for."""

    def __init__(self, *parents, pullbacks=()):
        self.parents, self.pullbacks, self.grad = parents, pullbacks, 0.0


def places(order, nodes):
    """Where each node comes in the order: an index, -1 if it is missing."""
    where = {id(node): i for i, node in enumerate(order)}
    return [where.get(id(node), -1) for node in nodes] + [len(order)]


@task("1.3", points=2)
def order_of_a_diamond(m):
    """a feeds b and c, both feed d: a first, d last, each once."""
    a = Node()
    b, c = Node(a), Node(a)
    d = Node(b, c)
    return {"places of a, b, c, d, and the length": places(list(m.topological_order(d)), [a, b, c, d])}


def true_order(*pairs):
    """A check: every first of a pair before its second; all there; nothing twice."""

    def check(got):
        *where, length = got
        if -1 in where:
            return f"a node is missing: the places are {where}"
        if length != len(where):
            return f"the order has {length} entries, there are {len(where)} nodes: each must come once"
        wrong = [f"node {child} comes before its parent {parent}" for parent, child in pairs if where[parent] > where[child]]
        return wrong[0] if wrong else None

    return check


@order_of_a_diamond.expects
def _():
    return {"places of a, b, c, d, and the length": true_order((0, 1), (0, 2), (1, 3), (2, 3))}


@task("1.3", points=1)
def order_of_a_long_chain(m):
    """3,000 nodes in a row: deeper than Python's recursion goes."""
    nodes = [Node()]
    for _ in range(2_999):
        nodes.append(Node(nodes[-1]))
    return {"the places, and the length": places(m.topological_order(nodes[-1]), nodes)}


@order_of_a_long_chain.expects
def _():
    return {"the places, and the length": true_order(*((i, i + 1) for i in range(2_999)))}


@task("1.4", points=2)
def a_value_used_twice(m):
    """r = h + h with h = 3x: the slope along x is 6; a second walk doubles it, but not the slopes of h and r."""
    x = Node()
    h = Node(x, pullbacks=(lambda g: 3 * g,))
    r = Node(h, h, pullbacks=(lambda g: g, lambda g: g))
    m.backward(r)
    found = {"dr/dr": r.grad, "dr/dh: 1 + 1": h.grad, "dr/dx: 2·3": x.grad}
    m.backward(r)
    return found | {"dr/dh after a second walk": h.grad, "dr/dx after a second walk: 6 + 6": x.grad}


@a_value_used_twice.expects
def _():
    over = "= where + is needed, so that the second use overwrites the first"
    return {
        "dr/dr": close(1.0, slips={"forgetting that the root's own slope is 1": 0.0}),
        "dr/dh: 1 + 1": close(2.0, slips={over: 1.0}),
        "dr/dx: 2·3": close(6.0, slips={over: 3.0}),
        "dr/dh after a second walk": close(2.0, slips={"slopes of the first walk that are still in h": 4.0}),
        "dr/dx after a second walk: 6 + 6": close(12.0, slips={"setting the leaves to 0, too": 6.0}),
    }


@task("1.4", points=2)
def a_residual(m):
    """r = h + h·u with h = x·1 (x = 2, u = 5): along x 1 + u = 6, along u h = 2."""
    x, u = Node(), Node()
    h = Node(x, pullbacks=(lambda g: g,))
    hu = Node(h, u, pullbacks=(lambda g: 5 * g, lambda g: 2 * g))
    r = Node(h, hu, pullbacks=(lambda g: g, lambda g: g))
    m.backward(r)
    return {"dr/dx = 1 + u": x.grad, "dr/du = h": u.grad}


@a_residual.expects
def _():
    slips = {"handling h before all of its children have passed on": 1.0, "overwriting h's first contribution": 5.0}
    return {"dr/dx = 1 + u": close(6.0, slips=slips), "dr/du = h": 2.0}


@task("1.4", points=1)
def an_array_in_two_hands(m):
    """One array is handed to x and to y, then x gets more; and somebody holds x's grad while a second walk adds to it."""
    shared = np.array([1.0, 2.0])
    x, y = Node(), Node()
    r = Node(x, y, x, pullbacks=(lambda g: shared, lambda g: shared, lambda g: np.array([10.0, 20.0])))
    m.backward(r)
    held = x.grad
    found = {"dx: shared + more": np.array(x.grad), "dy: shared": np.array(y.grad), "the shared array": np.array(shared)}
    m.backward(r)
    return found | {"dx, twice": x.grad, "the grad that somebody holds": held}


@an_array_in_two_hands.expects
def _():
    more, shared = np.array([11.0, 22.0]), np.array([1.0, 2.0])
    return {
        "dx: shared + more": more,
        "dy: shared": close(shared, slips={"+=, which changes the array that both hold": more}),
        "the shared array": exact(shared, "it belongs to the pullback: + makes a new array, += changes this one"),
        "dx, twice": 2 * more,
        "the grad that somebody holds": exact(more, "+ makes a new array, += changes the one that others hold"),
    }


@task("1.5", points=2)
def descend_a_parabola(m):
    """(p - 3)² from p = 0 with lr 0.25: every step halves the distance."""
    p = m.Value(0.0)
    losses = m.descend(lambda: (p - 3.0) ** 2, [p], 0.25, 3)
    return {"losses": losses, "p afterwards": p.value}


@descend_a_parabola.expects
def _():
    added = {"adding the grads of the steps before to the new ones": 5.625}
    slips = {"losses computed after their steps": [2.25, 0.5625, 0.140625], "steps uphill": [9.0, 20.25, 45.5625]}
    slips |= {"computing the loss once for all steps": [9.0, 9.0, 9.0]}
    return {"losses": close([9.0, 2.25, 0.5625], slips=slips), "p afterwards": close(2.625, slips=added)}


@task("1.5", points=2)
def bert_trains_on_your_backward(m):
    """A small BERT, with your topological_order and backward as the engine's walk: losses and gradients as with the library's."""
    m.descend(lambda: m.Value(0.0), [], 0.1, 1)
    return training_with_scalar_engine(m)


@bert_trains_on_your_backward.expects
def _():
    return alike(training())
