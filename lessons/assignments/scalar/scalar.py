"""Assignment 1: a scalar autograd engine. The handout is README.md; write only where a Task is named.

The class Value is given. You write the rest: the rules of the operations, the order, the walk back.
"""

import math


class Value:
    """A number that remembers its parents.

    parents: the Values it was computed from.  pullbacks: for each parent the function that turns the slope of the loss
    along this value into its contribution to the slope along that parent.  grad: the slope of the loss along this value.
    """

    def __init__(self, value, parents=(), pullbacks=()):
        self.value, self.parents, self.pullbacks = float(value), tuple(parents), tuple(pullbacks)
        self.grad = 0.0

    def __repr__(self):
        return f"Value({self.value:g}, grad={self.grad:g})"

    def __add__(self, other):
        return apply(add, self, other)

    def __mul__(self, other):
        return apply(mul, self, other)

    def __pow__(self, n):
        value, pullback = power(self.value, n)
        return Value(value, (self,), (pullback,))

    def exp(self):
        return apply(exp, self)

    def log(self):
        return apply(log, self)

    def tanh(self):
        return apply(tanh, self)

    def relu(self):
        return apply(relu, self)

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return -self + other

    def __truediv__(self, other):
        return self * (other**-1.0 if isinstance(other, Value) else 1.0 / other)

    __radd__, __rmul__ = __add__, __mul__


def apply(rule, *inputs):
    """Apply a rule to Values (plain numbers become Values) and keep its pullbacks. Given."""
    inputs = [x if isinstance(x, Value) else Value(x) for x in inputs]
    value, pullbacks = rule(*[x.value for x in inputs])
    return Value(value, inputs, pullbacks if isinstance(pullbacks, (tuple, list)) else (pullbacks,))


# ------------------------------------------------------------------------------------------------------- Task 1.1


def central_difference(f, values, i, eps=1e-5):
    """The slope of f(*values) along values[i], measured: (f(... + eps ...) - f(... - eps ...)) / (2 eps).

    values is a list or a tuple of numbers; do not change it.
    """
    ### BEGIN SOLUTION 1.1: central_difference, the slope measured from both sides
    values = list(values)
    up = values[:i] + [values[i] + eps] + values[i + 1 :]
    down = values[:i] + [values[i] - eps] + values[i + 1 :]
    return (f(*up) - f(*down)) / (2 * eps)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 1.2
# Each rule takes plain numbers and returns (value, pullback), with two inputs (value, (pullback, pullback)).
# A pullback is a function of g, the slope of the loss along the value.


def add(x, y):
    """x + y"""
    ### BEGIN SOLUTION 1.2: add, whose slope is 1 along both inputs
    return x + y, (lambda g: g, lambda g: g)
    ### END SOLUTION


def mul(x, y):
    """x · y"""
    ### BEGIN SOLUTION 1.2: mul, the product rule
    return x * y, (lambda g: g * y, lambda g: g * x)
    ### END SOLUTION


def power(x, n):
    """xⁿ for a fixed number n: one pullback, for x. x⁰ is 1 with slope 0, also at x = 0."""
    ### BEGIN SOLUTION 1.2: power, the power rule
    return x**n, lambda g: g * n * x ** (n - 1) if n else 0.0
    ### END SOLUTION


def exp(x):
    """eˣ"""
    ### BEGIN SOLUTION 1.2: exp, which is its own derivative
    y = math.exp(x)
    return y, lambda g: g * y
    ### END SOLUTION


def log(x):
    """ln x, the natural logarithm"""
    ### BEGIN SOLUTION 1.2: log, with the derivative 1/x
    return math.log(x), lambda g: g / x
    ### END SOLUTION


def tanh(x):
    """tanh x, also for large x"""
    ### BEGIN SOLUTION 1.2: tanh, with the derivative 1 - tanh²
    y = math.tanh(x)
    return y, lambda g: g * (1 - y * y)
    ### END SOLUTION


def relu(x):
    """max(x, 0); the slope at 0 is 0"""
    ### BEGIN SOLUTION 1.2: relu, with the slope 1 where x > 0
    return (x, lambda g: g) if x > 0 else (0.0, lambda g: 0.0)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 1.3


def topological_order(root):
    """A list of root and all its ancestors: each once, and each after all of its parents.

    A node is any object with .parents, a tuple of nodes. Do not change the nodes. Chains of 100,000 nodes and ladders of
    diamonds must work.
    """
    ### BEGIN SOLUTION 1.3: topological_order, parents before children
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents)
    return order
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 1.4


def backward(root):
    """Put the slope of root along every node into node.grad (root's own is 1); return nothing (None).

    The grads of the nodes between the leaves and root are computed afresh. For a leaf (a node without parents) add the
    new slope to its grad, so that two calls of backward add up there. Slopes may be arrays. Never change an array in place
    that is in a grad or comes from a pullback: others may share it.
    """
    ### BEGIN SOLUTION 1.4: backward, the walk from the root to the leaves
    order = topological_order(root)
    for node in order:
        if node.parents:
            node.grad = 0.0
    root.grad = 1.0
    for node in reversed(order):
        for parent, pullback in zip(node.parents, node.pullbacks):
            parent.grad = parent.grad + pullback(node.grad)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 1.5


def descend(loss_of, parameters, lr, steps):
    """Gradient descent: ``steps`` times compute loss_of(), walk back, and set p.value = p.value - lr · p.grad.

    loss_of takes no argument and computes the loss (a Value) from the parameters, afresh at each call.
    Returns the list of losses, as numbers, each computed before its step. Grads of the previous step do not count.
    """
    ### BEGIN SOLUTION 1.5: descend, the training loop
    losses = []
    for _ in range(steps):
        for p in parameters:
            p.grad = 0.0
        loss = loss_of()
        backward(loss)
        for p in parameters:
            p.value = p.value - lr * p.grad
        losses.append(loss.value)
    return losses
    ### END SOLUTION
