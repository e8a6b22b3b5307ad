"""Kahn's order in a deque, lists of pullbacks that are objects, a backward that keeps its slopes in a dict."""

import math
from collections import deque

import numpy as np


def central_difference(f, values, i, eps=1e-5):
    def at(d):
        args = [v + d if j == i else v for j, v in enumerate(values)]
        return f(*args)

    return (at(eps) - at(-eps)) / (eps + eps)


class Scale:
    def __init__(self, k):
        self.k = k

    def __call__(self, g):
        return self.k * g


def add(x, y):
    return x + y, (Scale(1.0), Scale(1.0))


def mul(x, y):
    return x * y, (Scale(y), Scale(x))


def power(x, n):
    return x**n, Scale(n * x ** (n - 1) if n != 0 else 0.0)


def exp(x):
    return math.exp(x), Scale(math.exp(x))


def log(x):
    return math.log(x), Scale(1 / x)


def tanh(x):
    return math.tanh(x), Scale(1 - math.tanh(x) ** 2)


def relu(x):
    return max(x, 0), Scale(float(x > 0))


def topological_order(root):
    children, seen, stack = {id(root): 0}, {id(root): root}, [root]
    while stack:
        n = stack.pop()
        for p in n.parents:
            children[id(p)] = children.get(id(p), 0) + 1
            if id(p) not in seen:
                seen[id(p)] = p
                stack.append(p)
    order, queue = deque(), deque([root])
    while queue:
        n = queue.popleft()
        order.appendleft(n)
        for p in n.parents:
            children[id(p)] -= 1
            if not children[id(p)]:
                queue.append(p)
    return list(order)


def backward(root):
    order = topological_order(root)
    grads = {id(root): 1.0}
    for n in reversed(order):
        g = grads.get(id(n), 0.0)
        for p, f in zip(n.parents, n.pullbacks):
            c = f(g)
            grads[id(p)] = grads[id(p)] + c if id(p) in grads else c
    for n in order:
        n.grad = grads[id(n)] if n.parents or n is root else n.grad + grads[id(n)]


def descend(loss_of, parameters, lr, steps):
    out = np.zeros(steps)
    for t in range(steps):
        for p in parameters:
            p.grad = 0
        l = loss_of()
        backward(l)
        out[t] = l.value
        for p in parameters:
            p.value -= lr * p.grad
    return out
