"""A generator of parents on the stack; slopes are taken at once, not when they are asked for; tuples instead of lists."""

import math


def central_difference(f, values, i, eps=1e-5):
    def at(shift):
        return f(*(v + shift if j == i else v for j, v in enumerate(values)))

    return at(eps) / (2 * eps) - at(-eps) / (2 * eps)


def add(x, y):
    def same(g):
        return g

    return x + y, (same, same)


def mul(x, y):
    return x * y, (y.__rmul__ if isinstance(y, float) else lambda g: g * y, lambda g: x * g)


def power(x, n):
    slope = n * math.pow(x, n - 1) if n != 0 else 0.0
    return math.pow(x, n), lambda g: slope * g


def exp(x):
    slope = math.e**x
    return math.exp(x), lambda g: g * slope


def log(x):
    return math.log(x), lambda g: g * (1 / x)


def tanh(x):
    t = math.tanh(x)
    return t, lambda g: g - g * t**2


def relu(x):
    slope = 1.0 if x > 0 else 0.0
    return x * slope, lambda g: g * slope


def topological_order(root):
    order, done, path = [], {id(root)}, [(root, iter(root.parents))]
    while path:
        node, rest = path[-1]
        for parent in rest:
            if id(parent) not in done:
                done.add(id(parent))
                path.append((parent, iter(parent.parents)))
                break
        else:
            order.append(node)
            path.pop()
    return tuple(order)


def backward(root):
    nodes = list(topological_order(root))
    for node in nodes:
        node.grad = node.grad * 0 if node.parents else node.grad
    root.grad = 1
    while nodes:
        node = nodes.pop()
        for i in range(len(node.parents)):
            node.parents[i].grad = node.parents[i].grad + node.pullbacks[i](node.grad)


def descend(loss_of, parameters, lr, steps):
    def once():
        loss = loss_of()
        for p in parameters:
            p.grad = 0
        backward(loss)
        for p in parameters:
            p.value -= p.grad * lr
        return loss.value

    return [once() for _ in range(steps)]
