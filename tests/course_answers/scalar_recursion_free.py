"""Kahn's algorithm, a dict of slopes, numpy for the functions."""

import numpy as np


def central_difference(f, values, i, eps=1e-5):
    x = np.array(values, dtype=float)
    step = np.zeros(len(x))
    step[i] = eps
    return (f(*(x + step)) - f(*(x - step))) / (2 * eps)


def add(x, y):
    return x + y, (lambda g: 1.0 * g, lambda g: 1.0 * g)


def mul(x, y):
    return y * x, tuple(lambda g, other=other: other * g for other in (y, x))


def power(x, n):
    if n == 0:
        return 1.0, lambda g: 0.0 * g
    return float(x) ** n, lambda g: n * float(x) ** (n - 1) * g


def exp(x):
    return np.exp(x), lambda g: np.exp(x) * g


def log(x):
    return np.log(x), lambda g: x**-1.0 * g


def tanh(x):
    return np.tanh(x), lambda g: (1 + np.tanh(x)) * (1 - np.tanh(x)) * g


def relu(x):
    return max(x, 0.0), lambda g: g * float(x > 0)


def topological_order(root):
    nodes, users = {id(root): root}, {id(root): 0}
    queue = [root]
    for node in queue:
        for parent in node.parents:
            if id(parent) not in nodes:
                nodes[id(parent)], users[id(parent)] = parent, 0
                queue.append(parent)
            users[id(parent)] += 1
    order, ready = [], [root]
    while ready:
        node = ready.pop(0)
        order.append(node)
        for parent in node.parents:
            users[id(parent)] -= 1
            if users[id(parent)] == 0:
                ready.append(parent)
    return order[::-1]


def backward(root):
    order = topological_order(root)
    slopes = {id(node): 0.0 for node in order}
    slopes[id(root)] = 1.0
    for node in order[::-1]:
        g = slopes[id(node)]
        for parent, pullback in zip(node.parents, node.pullbacks):
            slopes[id(parent)] = pullback(g) + slopes[id(parent)]
        node.grad = g if node.parents or node is root else node.grad + g


def descend(loss_of, parameters, lr, steps):
    history = []
    while len(history) < steps:
        loss = loss_of()
        for p in parameters:
            p.grad = 0.0
        backward(loss)
        for p in parameters:
            p.value += -lr * p.grad
        history += [loss.value]
    return history
