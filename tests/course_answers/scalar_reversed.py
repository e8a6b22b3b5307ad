"""A depth-first walk that visits parents from the right, with a dict of states; NumPy scalars come out of some rules."""

import math

import numpy as np


def central_difference(f, values, i, eps=1e-5):
    moved = list(values)
    moved[i] = values[i] + eps
    high = f(*moved)
    moved[i] = values[i] - eps
    return (high - f(*moved)) / eps / 2


def add(x, y):
    return np.float64(x) + y, (lambda g: g, lambda g: +g)


def mul(x, y):
    return np.multiply(x, y), (lambda g: np.multiply(g, y), lambda g: np.multiply(g, x))


def power(x, n):
    return x**n, lambda g: 0.0 if n == 0 else g * (n * x ** (n - 1))


def exp(x):
    return math.exp(x), lambda g: math.exp(x) * g


def log(x):
    return math.log(x), lambda g: g * x / (x * x)


def tanh(x):
    y = math.tanh(x)
    return y, lambda g: (1.0 - y**2) * g


def relu(x):
    return (x + abs(x)) / 2, lambda g: g if x > 0 else 0.0 * g


def topological_order(root):
    state, stack, order = {}, [root], []
    while stack:
        node = stack[-1]
        if state.get(id(node)) is None:
            state[id(node)] = "open"
            stack.extend(p for p in reversed(node.parents) if id(p) not in state)
        else:
            stack.pop()
            if state[id(node)] == "open":
                state[id(node)] = "done"
                order.append(node)
    return order


def backward(root):
    order = topological_order(root)
    fresh = {id(n): None for n in order}
    fresh[id(root)] = 1.0
    for node in reversed(order):
        total = fresh[id(node)]
        for parent, pullback in zip(node.parents, node.pullbacks):
            part = pullback(total)
            before = fresh[id(parent)]
            fresh[id(parent)] = part if before is None else before + part
    for node in order:
        if node is root:
            node.grad = 1.0
        elif node.parents:
            node.grad = fresh[id(node)]
        else:
            node.grad = node.grad + fresh[id(node)]


def descend(loss_of, parameters, lr, steps):
    losses = []
    for _ in range(steps):
        for p in parameters:
            p.grad = 0.0
        loss = loss_of()
        backward(loss)
        losses.append(float(loss.value))
        for p in parameters:
            p.value = p.value + (-lr) * p.grad
    return losses
