"""Wrong answers to assignment 'scalar' that are easily overlooked, a cell each; every one must cost points."""
# ruff: noqa

import math
import numpy as np

_order = topological_order


# %% 1.1 int arrays
def central_difference(f, values, i, eps=1e-5):
    up = np.array(values)
    down = np.array(values)
    up[i] = up[i] + eps
    down[i] = down[i] - eps
    return (f(*up) - f(*down)) / (2 * eps)


# %% 1.1 restores inexactly
def central_difference(f, values, i, eps=1e-5):
    values = values if isinstance(values, list) else list(values)
    values[i] += eps
    u = f(*values)
    values[i] -= 2 * eps
    d = f(*values)
    values[i] += eps
    return (u - d) / (2 * eps)


# %% 1.1 own eps
def central_difference(f, values, i, eps=1e-5):
    eps = 1e-5
    up = list(values)
    down = list(values)
    up[i] += eps
    down[i] -= eps
    return (f(*up) - f(*down)) / (2 * eps)


# %% 1.2 pullback once only
def mul(x, y):
    it = iter([1])
    jt = iter([1])
    return x * y, (lambda g: next(it, 0) * g * y, lambda g: next(jt, 0) * g * x)


# %% 1.2 pullback accumulates
def exp(x):
    y = math.exp(x)
    total = [0.0]

    def pb(g):
        total[0] += g * y
        return total[0]

    return y, pb


# %% 1.2 late binding by globals
def mul(x, y):
    global X, Y
    X, Y = x, y
    return x * y, (lambda g: g * Y, lambda g: g * X)


# %% 1.2 power via y/x
def power(x, n):
    y = x**n
    return y, lambda g: g * n * y / x if n else 0.0


# %% 1.2 relu by sign of g
def relu(x):
    return max(x, 0.0), lambda g: max(g, 0.0) if x > 0 else 0.0


# %% 1.3 reversed BFS
def topological_order(root):
    order, seen, queue = [], {id(root)}, [root]
    for n in queue:
        order.append(n)
        for p in n.parents:
            if id(p) not in seen:
                seen.add(id(p))
                queue.append(p)
    return order[::-1]


# %% 1.3 seen default argument
def topological_order(root, seen=set()):
    order, stack = [], [(root, False)]
    while stack:
        n, d = stack.pop()
        if d:
            order.append(n)
        elif id(n) not in seen:
            seen.add(id(n))
            stack.append((n, True))
            stack.extend((p, False) for p in n.parents)
    return order


# %% 1.4 in place
def backward(root):
    order = topological_order(root)
    for n in order:
        if n.parents:
            n.grad = 0.0
    root.grad = 1.0
    for n in reversed(order):
        for p, f in zip(n.parents, n.pullbacks):
            p.grad += f(n.grad)


# %% 1.4 resets leaves
def backward(root):
    order = topological_order(root)
    for n in order:
        n.grad = 0.0
    root.grad = 1.0
    for n in reversed(order):
        for p, f in zip(n.parents, n.pullbacks):
            p.grad = p.grad + f(n.grad)


# %% 1.5 clears the grads too late
def descend(loss_of, parameters, lr, steps):
    losses = []
    for _ in range(steps):
        l = loss_of()
        backward(l)
        for p in parameters:
            p.value = p.value - lr * p.grad
            p.grad = 0.0
        losses.append(l.value)
    return losses


# %% 1.5 early stop
def descend(loss_of, parameters, lr, steps):
    losses = []
    for _ in range(steps):
        for p in parameters:
            p.grad = 0.0
        l = loss_of()
        backward(l)
        for p in parameters:
            p.value = p.value - lr * p.grad
        losses.append(l.value)
        if l.value < 1.0:
            break
    return losses


# %% 1.1 the place found by its value
def central_difference(f, values, i, eps=1e-5):
    x = values[i]
    k = list(values).index(x)
    u = list(values)
    d = list(values)
    u[k] += eps
    d[k] -= eps
    return (f(*u) - f(*d)) / (2 * eps)


# %% 1.1 remembers slopes by place, whatever the function
_c = {}


def central_difference(f, values, i, eps=1e-5):
    k = (tuple(values), i)
    if k not in _c:
        u = list(values)
        d = list(values)
        u[i] += eps
        d[i] -= eps
        _c[k] = (f(*u) - f(*d)) / (2 * eps)
    return _c[k]


# %% 1.1 None for a slope of 0
def central_difference(f, values, i, eps=1e-5):
    u = list(values)
    d = list(values)
    u[i] += eps
    d[i] -= eps
    r = (f(*u) - f(*d)) / (2 * eps)
    return r or None


# %% 1.3 marks nodes, and takes the marks off
def topological_order(root):
    out, st = [], [(root, False)]
    while st:
        n, d = st.pop()
        if d:
            out.append(n)
        elif not getattr(n, "visited", False):
            n.visited = True
            st.append((n, True))
            st.extend((p, False) for p in n.parents)
    for n in out:
        n.visited = False
    return out


# %% 1.3 one leaf only
def topological_order(root):
    o = _order(root)
    return [n for n in o if n.parents or n is o[0] or n is root]


# %% 1.3 parents become lists
def topological_order(root):
    o = _order(root)
    for n in o:
        n.parents = list(n.parents)
    return o


# %% 1.3 remembered by id
_k = {}


def topological_order(root):
    if id(root) not in _k:
        _k[id(root)] = _order(root)
    return _k[id(root)]


# %% 1.3 the remembered list is handed out
_w = {}


def topological_order(root):
    if root not in _w:
        _w[root] = _order(root)
    return _w[root]


# %% 1.4 stops at a slope of 0
def backward(root):
    o = topological_order(root)
    for n in o:
        if n.parents:
            n.grad = 0.0
    root.grad = 1.0
    for n in reversed(o):
        if not np.any(n.grad):
            break
        for p, f in zip(n.parents, n.pullbacks):
            p.grad = p.grad + f(n.grad)


# %% 1.4 a number in a leaf gives way to an array
def backward(root):
    o = topological_order(root)
    for n in o:
        if n.parents:
            n.grad = 0.0
    root.grad = 1.0
    for n in reversed(o):
        for p, f in zip(n.parents, n.pullbacks):
            c = f(n.grad)
            p.grad = c if np.isscalar(p.grad) and np.ndim(c) else p.grad + c


# %% 1.5 computes the loss twice a step
def descend(loss_of, parameters, lr, steps):
    L = []
    for _ in range(steps):
        for p in parameters:
            p.grad = 0.0
        L.append(loss_of().value)
        backward(loss_of())
        for p in parameters:
            p.value -= lr * p.grad
    return L


# %% 1.5 stops when the loss grows
def descend(loss_of, parameters, lr, steps):
    L = []
    for _ in range(steps):
        for p in parameters:
            p.grad = 0.0
        l = loss_of()
        backward(l)
        L.append(l.value)
        if len(L) > 1 and L[-1] >= L[-2]:
            break
        for p in parameters:
            p.value -= lr * p.grad
    return L
