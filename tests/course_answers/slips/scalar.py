"""Wrong answers to assignment 'scalar' as learners write them, a cell each; each must cost points in the hidden tests."""
# ruff: noqa

import math
import numpy as np

_order, _back = topological_order, backward


def _moved(values, i, by):
    values = list(values)
    return values[:i] + [values[i] + by] + values[i + 1 :]


def _walk(reset=True, start=1.0, add=lambda old, new: old + new, order=lambda root: _order(root)):
    def backward(root):
        nodes = order(root)
        for n in nodes:
            if n.parents and reset:
                n.grad = 0.0
        root.grad = start
        for n in reversed(nodes):
            for p, f in zip(n.parents, n.pullbacks):
                p.grad = add(p.grad, f(n.grad))

    return backward


# %% 1.1 one side
def central_difference(f, values, i, eps=1e-5):
    return (f(*_moved(values, i, eps)) - f(*values)) / eps


# %% 1.1 divided by eps
def central_difference(f, values, i, eps=1e-5):
    return (f(*_moved(values, i, eps)) - f(*_moved(values, i, -eps))) / eps


# %% 1.1 half
def central_difference(f, values, i, eps=1e-5):
    return (f(*_moved(values, i, eps)) - f(*_moved(values, i, -eps))) / 2 * eps


# %% 1.1 all moved
def central_difference(f, values, i, eps=1e-5):
    return (f(*[v + eps for v in values]) - f(*[v - eps for v in values])) / (2 * eps)


# %% 1.1 always the first
def central_difference(f, values, i, eps=1e-5):
    return (f(*_moved(values, 0, eps)) - f(*_moved(values, 0, -eps))) / (2 * eps)


# %% 1.1 the list is changed
def central_difference(f, values, i, eps=1e-5):
    values[i] += eps
    up = f(*values)
    values[i] -= 2 * eps
    return (up - f(*values)) / (2 * eps)


# %% 1.1 backwards
def central_difference(f, values, i, eps=1e-5):
    return (f(*_moved(values, i, -eps)) - f(*_moved(values, i, eps))) / (2 * eps)


# %% 1.2 sum for product
def mul(x, y):
    return x * y, (lambda g: g * x, lambda g: g * y)


# %% 1.2 g forgotten in mul
def mul(x, y):
    return x * y, (lambda g: y, lambda g: x)


# %% 1.2 g forgotten in exp
def exp(x):
    y = math.exp(x)
    return y, lambda g: y


# %% 1.2 1 for g in add
def add(x, y):
    return x + y, (lambda g: 1.0, lambda g: 1.0)


# %% 1.2 one pullback for add
def add(x, y):
    return x + y, (lambda g: g, lambda g: -g)


# %% 1.2 the derivative of tanh at y for x
def tanh(x):
    y = math.tanh(x)
    return y, lambda g: g * (1 - x * x)


# %% 1.2 tanh without the square
def tanh(x):
    y = math.tanh(x)
    return y, lambda g: g * (1 - y)


# %% 1.2 tanh by exponentials, which overflow
def tanh(x):
    a, b = math.exp(x), math.exp(-x)
    y = (a - b) / (a + b)
    return y, lambda g: g * (1 - y * y)


# %% 1.2 log with x
def log(x):
    return math.log(x), lambda g: g * x


# %% 1.2 log to the base 10
def log(x):
    return math.log10(x), lambda g: g / x


# %% 1.2 the power itself
def power(x, n):
    return x**n, lambda g: g * n * x**n


# %% 1.2 no factor n
def power(x, n):
    return x**n, lambda g: g * x ** (n - 1)


# %% 1.2 x to the 0 fails at 0
def power(x, n):
    return x**n, lambda g: g * n * x ** (n - 1)


# %% 1.2 a leaky relu
def relu(x):
    return (x, lambda g: g) if x > 0 else (0.01 * x, lambda g: 0.01 * g)


# %% 1.2 relu's slope at 0
def relu(x):
    return (x, lambda g: g) if x >= 0 else (0.0, lambda g: 0.0)


# %% 1.2 relu's slope x
def relu(x):
    return (x, lambda g: g * x) if x > 0 else (0.0, lambda g: 0.0)


# %% 1.2 exp in a variable of the module
def exp(x):
    global _e
    _e = math.exp(x)
    return _e, lambda g: g * _e


# %% 1.2 tanh in an attribute of the function
def tanh(x):
    tanh.y = math.tanh(x)
    return tanh.y, lambda g: g * (1 - tanh.y**2)


# %% 1.2 log in a variable of the module
_kept = {}


def log(x):
    _kept["log"] = x
    return math.log(x), lambda g: g / _kept["log"]


# %% 1.2 power in a variable of the module
def power(x, n):
    _now["x"], _now["n"] = x, n
    return x**n, lambda g: g * _now["n"] * _now["x"] ** (_now["n"] - 1) if _now["n"] else 0.0


_now = {}


# %% 1.2 relu in a variable of the module
def relu(x):
    global _positive
    _positive = x > 0
    return max(x, 0.0), lambda g: g if _positive else 0.0


# %% 1.3 the root first
def topological_order(root):
    return _order(root)[::-1]


# %% 1.3 breadth first
def topological_order(root):
    seen, queue = {id(root)}, [root]
    for n in queue:
        for p in n.parents:
            if id(p) not in seen:
                seen.add(id(p))
                queue.append(p)
    return queue[::-1]


# %% 1.3 each use once
def topological_order(root):
    out = []

    def visit(n):
        for p in n.parents:
            visit(p)
        out.append(n)

    visit(root)
    return out


# %% 1.3 recursion
def topological_order(root):
    out, seen = [], set()

    def visit(n):
        if id(n) not in seen:
            seen.add(id(n))
            for p in n.parents:
                visit(p)
            out.append(n)

    visit(root)
    return out


# %% 1.3 a list for seen
def topological_order(root):
    out, stack = [], [root]
    while stack:
        n = stack.pop()
        if n not in out:
            out.append(n)
            stack.extend(n.parents)
    return out[::-1]


# %% 1.3 without the root
def topological_order(root):
    return _order(root)[:-1]


# %% 1.3 preorder, depth first
def topological_order(root):
    out, seen, stack = [], set(), [root]
    while stack:
        n = stack.pop()
        if id(n) not in seen:
            seen.add(id(n))
            out.append(n)
            stack.extend(n.parents)
    return out[::-1]


# %% 1.4 overwritten
backward = _walk(add=lambda old, new: new)

# %% 1.4 the root not set
backward = _walk(start=0.0)

# %% 1.4 nodes between not reset
backward = _walk(reset=False)

# %% 1.4 from the leaves
backward = _walk(order=lambda root: _order(root)[::-1])


# %% 1.4 depth first, without an order
def backward(root):
    root.grad = 1.0
    stack = [root]
    while stack:
        n = stack.pop()
        for p, f in zip(n.parents, n.pullbacks):
            p.grad = p.grad + f(n.grad)
            stack.append(p)


# %% 1.4 += in place
def backward(root):
    nodes = _order(root)
    for n in nodes:
        if n.parents:
            n.grad = 0.0
    root.grad = 1.0
    for n in reversed(nodes):
        for p, f in zip(n.parents, n.pullbacks):
            p.grad += f(n.grad)


# %% 1.4 the first is borrowed, the second added in place
def backward(root):
    nodes = _order(root)
    for n in nodes:
        if n.parents:
            n.grad = 0.0
    root.grad = 1.0
    for n in reversed(nodes):
        for p, f in zip(n.parents, n.pullbacks):
            g = f(n.grad)
            if isinstance(p.grad, float) and p.grad == 0.0:
                p.grad = g
            else:
                p.grad += g


# %% 1.4 leaves reset
def backward(root):
    for n in _order(root):
        n.grad = 0.0
    _back(root)


# %% 1.4 one parent
def backward(root):
    nodes = _order(root)
    for n in nodes:
        if n.parents:
            n.grad = 0.0
    root.grad = 1.0
    for n in reversed(nodes):
        for p, f in {id(p): (p, f) for p, f in zip(n.parents, n.pullbacks)}.values():
            p.grad = p.grad + f(n.grad)


# %% 1.4 returns the grad
def backward(root):
    _back(root)
    return root.grad


# %% 1.5 grads add up
def descend(loss_of, parameters, lr, steps):
    losses = []
    for _ in range(steps):
        loss = loss_of()
        backward(loss)
        for p in parameters:
            p.value = p.value - lr * p.grad
        losses.append(loss.value)
    return losses


# %% 1.5 uphill
def descend(loss_of, parameters, lr, steps):
    losses = []
    for _ in range(steps):
        for p in parameters:
            p.grad = 0.0
        loss = loss_of()
        backward(loss)
        for p in parameters:
            p.value = p.value + lr * p.grad
        losses.append(loss.value)
    return losses


# %% 1.5 the loss after the step
def descend(loss_of, parameters, lr, steps):
    losses = []
    for _ in range(steps):
        for p in parameters:
            p.grad = 0.0
        backward(loss_of())
        for p in parameters:
            p.value = p.value - lr * p.grad
        losses.append(loss_of().value)
    return losses


# %% 1.5 losses as Values
def descend(loss_of, parameters, lr, steps):
    losses = []
    for _ in range(steps):
        for p in parameters:
            p.grad = 0.0
        loss = loss_of()
        backward(loss)
        for p in parameters:
            p.value = p.value - lr * p.grad
        losses.append(loss)
    return losses


# %% 1.5 the loss is computed once for all steps
def descend(loss_of, parameters, lr, steps):
    losses, loss = [], loss_of()
    for _ in range(steps):
        for p in parameters:
            p.grad = 0.0
        backward(loss)
        for p in parameters:
            p.value = p.value - lr * p.grad
        losses.append(loss.value)
    return losses


# %% 1.5 one parameter after the other
def descend(loss_of, parameters, lr, steps):
    losses = []
    for _ in range(steps):
        losses.append(loss_of().value)
        for p in parameters:
            for q in parameters:
                q.grad = 0.0
            backward(loss_of())
            p.value = p.value - lr * p.grad
    return losses
