# %% [markdown]
# # 3. The engine: order, reuse, aliasing, no_grad, gradients of gradients
#
# Lesson 1 built an autograd for numbers. An engine for arrays needs the same idea, and care in a few places. The bugs in this
# lesson are real: engines have shipped them. You will see each one at work first, and then the repair, as
# `minitorch/graph.py` has it.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show

import minitorch
from minitorch.autograd import op
from minitorch.devices import array_module

# %% [markdown]
# ## Something goes wrong
#
# Here is lesson 1's engine, on arrays. Each result keeps its parents, the arrays it was made from, and a
# *[pullback](../docs/glossary.md)*: a function that turns the gradient of the result into the gradients of the parents. For a
# sum this is simple: each operand gets the incoming gradient g unchanged. Where several contributions arrive, the first is
# stored and later ones are added with `+=`. It looks right.


# %%
class Array:
    """An array, its parents, and the function that turns its gradient into theirs."""

    count = 0

    def __init__(self, data, parents=(), pullback=None):
        self.data, self.parents, self.pullback, self.grad = data, parents, pullback, None
        Array.count += 1
        self.time = Array.count

    def __add__(self, other):
        return Array(self.data + other.data, (self, other), lambda g: (g, g))

    def __mul__(self, other):
        a, b = self.data, other.data
        return Array(a * b, (self, other), lambda g: (g * b, g * a))


# %%
def store(node, g):
    """Add a contribution to the node's gradient."""
    if node.grad is None:
        node.grad = g
    else:
        node.grad += g


def backward(y, add=store):
    y.grad = np.ones_like(y.data)
    waiting = {y}
    while waiting:
        node = max(waiting, key=lambda n: n.time)  # the youngest: its gradient is complete
        waiting.remove(node)
        for parent, g in zip(node.parents, node.pullback(node.grad) if node.pullback else (), strict=True):
            add(parent, g)
            waiting.add(parent)


# %% [markdown]
# Now (x + y) + 3y. By hand: ∂/∂x = 1 and ∂/∂y = 1 + 3 = 4. Then the same sum the other way round.


# %%
def both_ways(add):
    for swapped in (False, True):
        x, y, three = Array(np.array([2.0])), Array(np.array([3.0])), Array(np.array([3.0]))
        backward(y * three + (x + y) if swapped else (x + y) + y * three, add)
        print("3y + (x + y):" if swapped else "(x + y) + 3y:", " dx =", x.grad, " dy =", y.grad)


both_ways(store)

# %% [markdown]
# The second time dx is 4 instead of 1, although only the order of a sum has changed. Each formula is right, and so is the walk.
# The culprit is **aliasing**. `lambda g: (g, g)` gives *one* array to two owners. x stores it, y stores it, and then y's second
# contribution is added in place, into the array that is also x's gradient. (In the other order y had an array of its own by
# then. Such bugs sleep until somebody swaps two operands.)
#
# The quick repair is never to add in place:


# %%
def store_safely(node, g):
    node.grad = g if node.grad is None else node.grad + g


both_ways(store_safely)

# %% [markdown]
# That is safe but wasteful: a value used a hundred times makes ninety-nine arrays, each as large as the value. The better
# repair is a rule of ownership:
#
# 1. the first contribution is *borrowed*: keep it, but do not change it;
# 2. the second one makes a *new* array, the sum, which is ours;
# 3. from the third on, add in place to our array.
#
# ### Exercise: borrow, allocate, own
#
# `contributions` is a list of arrays, in order of arrival. Return their sum by the three rules, and how many new arrays you
# made. The check fails if a contribution has changed.


# %%
def accumulate(contributions):
    """Return (sum, number of arrays made): 0 for one contribution, 1 for two or more."""
    raise NotImplementedError


# %%
def arrivals(n):
    return [np.full(3, float(k + 1)) for k in range(n)]


shared = np.array([1.0, 2.0])
check(
    accumulate,
    case("one contribution: borrowed", (arrivals(1),), (np.full(3, 1.0), 0), parts=("sum", "arrays made")),
    case("two: a new array", (arrivals(2),), (np.full(3, 3.0), 1), parts=("sum", "arrays made")),
    case("five: still one new array", (arrivals(5),), (np.full(3, 15.0), 1), parts=("sum", "arrays made")),
    case("the same array three times", ([shared] * 3,), (3 * shared, 1), parts=("sum", "arrays made")),
)


# %% [markdown]
# The library does this in a function of the same name, and keeps a set of the nodes whose gradient it owns. When minitorch was
# designed, expressions like these were tried on eight other small engines. Three gave wrong numbers. Here are the library's:

# %%
probes = {
    "(x+y) + 3y": (lambda x, y: (x + y) + y * 3, 1, 4),
    "3y + (x+y)": (lambda x, y: y * 3 + (x + y), 1, 4),
    "(x+y)·2 + 3y": (lambda x, y: (x + y) * 2 + y * 3, 2, 5),
    "x·y": (lambda x, y: x * y, 3, 2),
    "sum x + sum x": (lambda x, y: x.sum() + x.sum() + 0 * y, 2, 0),
}
for name, (f, dx, dy) in probes.items():
    x = minitorch.tensor([2.0], requires_grad=True)
    y = minitorch.tensor([3.0], requires_grad=True)
    f(x, y).backward()
    print(f"{name:14s} dx = {x.grad.item():.0f} (should be {dx})   dy = {y.grad.item():.0f} (should be {dy})")
    assert (x.grad.item(), y.grad.item()) == (dx, dy)

# %% [markdown]
# ## Order
#
# The second place that needs care is the order of the walk. This is the graph of 3y + (x + y), drawn by the library. Two lines
# leave y, so its gradient is complete only when both have been followed.

# %%
x = minitorch.tensor([2.0], requires_grad=True)
y = minitorch.tensor([3.0], requires_grad=True)
show(minitorch.draw_graph(y * 3 + (x + y), names={"x": x, "y": y}), "03_graph")

# %% [markdown]
# "The youngest first" visits every node once, when its gradient is complete. A recursion that follows every *path* and adds up
# is right, too. But h = h + h, done n times, has 2ⁿ paths. Count the visits:


# %%
def visits_by_paths(n):
    return 1 if n == 0 else 1 + 2 * visits_by_paths(n - 1)


for n in (5, 10, 15):
    print(f"depth {n:2d}: {visits_by_paths(n):6d} visits by paths, {n + 1:2d} by nodes")

h = x = minitorch.tensor(1.0, dtype=minitorch.float64, requires_grad=True)
for _ in range(1000):
    h = h + h
begin = time.perf_counter()
h.backward()
print(f"the library, depth 1000: {(time.perf_counter() - begin) * 1e3:.1f} ms, gradient 2¹⁰⁰⁰ = {x.grad.item():.3e}")
assert x.grad.item() == 2.0**1000

# %% [markdown]
# ## Reuse: gradients add up, until you say stop
#
# Contributions add up within one backward pass. They also add up from one pass to the next: `.grad` is a sum over *all* passes
# since it was last cleared. That is useful, because it lets us process a large batch in small parts. It is also the source of a
# classic bug: a training loop without `zero_grad`. (The graph itself can be walked only once. The engine frees it as it goes,
# to save memory.)

# %%
w = minitorch.tensor(2.0, requires_grad=True)
for _ in range(3):
    (w * w).backward()
    print("slope of w² at 2:", w.grad.item())

y = w * w
y.backward()
try:
    y.backward()
except RuntimeError as error:
    print("RuntimeError:", error)

# %% [markdown]
# ## no_grad: keeping less alive
#
# To walk back, the engine keeps the results of all layers, because the pullbacks need them. If you only want the final result,
# that memory is wasted. Watch the peak memory while 50 layers of tanh run. Then watch what happens if you collect losses for a
# plot, and forget that a loss is a Tensor with a graph behind it.

# %%
data = minitorch.randn(200_000)
weight = minitorch.ones(200_000, requires_grad=True)


def fifty_layers():
    h = data
    for _ in range(50):
        h = (h * weight).tanh()
    return h.sum()


with minitorch.profile() as recorded:
    fifty_layers()
with minitorch.no_grad(), minitorch.profile() as unrecorded:
    fifty_layers()
print(f"with a graph {recorded.peak / 2**20:.0f} MiB, under no_grad {unrecorded.peak / 2**20:.0f} MiB")

# %%
with minitorch.profile() as p:
    kept = [fifty_layers() for _ in range(3)]  # Tensors: each holds its whole graph
    tensors = p.live
    kept = [loss.item() for loss in kept]  # numbers hold nothing
    numbers = p.live
print(f"three losses as tensors: {tensors / 2**20:.0f} MiB; as numbers: {numbers / 2**20:.0f} MiB")

# %% [markdown]
# Because pullbacks use these values, minitorch refuses to change a tensor in place while it is part of a graph. Below, the
# gradient of h·h needs the h that was multiplied, not a later one. An engine that allows the change silently computes a wrong
# gradient.

# %%
x = minitorch.tensor([1.0, 2.0], requires_grad=True)
h = x * 1.0
y = h * h
try:
    h += 1
except RuntimeError as error:
    print("RuntimeError:", error)

# %% [markdown]
# ## An operation of your own
#
# In minitorch an operation is a function of arrays that returns its result and its pullback. Below is x³, right and with a
# wrong gradient. `gradcheck` compares both with lesson 1's differences.


# %%
@op
def cube(x):
    """x³, whose derivative is 3x²."""
    return x * x * x, lambda g: g * (3 * x * x)


@op
def wrong_cube(x):
    return x * x * x, lambda g: g * (2 * x * x)


x = minitorch.tensor([0.5, 2.0], dtype=minitorch.float64, requires_grad=True)
print("cube is right:", minitorch.autograd.gradcheck(cube, x))
try:
    minitorch.autograd.gradcheck(wrong_cube, x)
except RuntimeError as error:
    print(error)

# %% [markdown]
# ### Exercise: softplus
#
# softplus(x) = log(1 + eˣ) is a smooth version of max(0, x). Write it in the form of `cube`: return the result and the pullback.
# The check wraps it in `op`, and compares the value, the gradient and the second derivative.
#
# Use `xp = array_module(x)`, and then `xp.exp` and `xp.log`. It is NumPy for NumPy arrays and CuPy for arrays on a GPU. And it is
# minitorch itself for Tensors. Why would a Tensor enter your formula? Because of the *second* derivative: to get it, the backward
# pass is itself recorded, so your pullback is called with Tensors, and its operations must be minitorch's. One formula works for
# all three.


# %%
def softplus(x):
    """Return (y, pullback) with y = log(1 + e^x); use xp = array_module(x) and xp.exp, xp.log."""
    raise NotImplementedError


# %%
def as_operation(formula):
    """Value, first and second derivative of the operation's results, each times a weight (so that g is not just 1)."""

    def ask(values):
        x = minitorch.tensor(values, dtype=minitorch.float64, requires_grad=True)
        formula(x.array)  # a formula that is not written yet says so here
        y = op(formula)(x)
        (first,) = minitorch.autograd.grad((y * minitorch.tensor(weights, dtype=y.dtype)).sum(), x, create_graph=True)
        second = minitorch.zeros_like(x)
        if first.requires_grad:  # else the pullback does not depend on x
            (second,) = minitorch.autograd.grad(first.sum(), x)
        return y.detach(), first.detach(), second

    return ask


places, weights = [-2.0, 0.0, 1.5], np.array([1.0, -2.0, 0.5])
s = 1 / (1 + np.exp(-np.array(places)))
expected = (np.log1p(np.exp(places)), weights * s, weights * s * (1 - s))
check(
    softplus,
    case("x = -2, 0, 1.5, with g = 1, -2, 0.5", (places,), expected, parts=("value", "gradient", "second")),
    through=as_operation,
)

# %% [markdown]
# ## Gradients of gradients
#
# A pullback consists of operations, so it can be recorded like any other code: `create_graph=True`. Then a gradient is an
# ordinary Tensor, and has a gradient of its own.

# %%
x = minitorch.linspace(-3, 3, 121, dtype=minitorch.float64).requires_grad_()
derivatives = [x.tanh()]
for _ in range(3):
    (d,) = minitorch.autograd.grad(derivatives[-1].sum(), x, create_graph=True)
    derivatives.append(d)
at_half = minitorch.tensor(0.5, dtype=minitorch.float64).tanh().item()
print("tanh'' at 0.5:", np.interp(0.5, x.detach().numpy(), derivatives[2].detach().numpy()), " by formula:", end=" ")
print(-2 * at_half * (1 - at_half**2))

# %% [markdown]
# What is this good for? One use is Newton's method. Near a minimum, f looks like a parabola, and for a parabola f' / f'' is
# exactly the distance to the bottom.
#
# ### Exercise: one step of Newton's method
#
# `f` takes a Tensor that holds one number and returns one. Return the number x - f'(x) / f''(x).


# %%
def newton_step(f, x):
    """From the number x, the number x - f'(x)/f''(x); derivatives by minitorch.autograd.grad."""
    raise NotImplementedError


# %%
check(
    newton_step,
    case("a parabola: one step reaches the bottom", (lambda x: (x - 3) ** 2, 10.0), 3.0),
    case("x⁴ at 1", (lambda x: x**4, 1.0), 1 - 4 / 12),
    case("eˣ - 2x at 0", (lambda x: x.exp() - 2 * x, 0.0), 1.0),
)

# %% [markdown]
# ## The picture, and a measured number
#
# Left: tanh and three of its derivatives, all from one formula. Right: the cost of the engine itself. A chain of n additions of
# single numbers does almost no arithmetic, so nearly all its time is the engine's.

# %%
sizes, seconds = [100, 1000, 10_000, 100_000], []
for n in sizes:
    h = minitorch.tensor(0.0, requires_grad=True)
    begin = time.perf_counter()
    for _ in range(n):
        h = h + 1.0
    h.backward()
    seconds.append(time.perf_counter() - begin)
per_node = seconds[-1] / sizes[-1] * 1e6
print(f"{per_node:.1f} µs per node, forward and backward; a chain of 100,000 takes {seconds[-1]:.2f} s and needs no recursion")

# %%
figure, (left, right) = plt.subplots(1, 2)
names = ("tanh", "first derivative", "second", "third")
for d, name, colour in zip(derivatives, names, (GREY, BLUE, ORANGE, GREEN), strict=True):
    left.plot(x.detach().numpy(), d.detach().numpy(), color=colour, label=name)
left.set(xlabel="x", ylabel="value", title="One formula, derivatives of every order")
left.legend(fontsize=8, loc="lower left")
right.loglog(sizes, seconds, "o-", color=BLUE, label="measured")
right.loglog(sizes, [per_node * 1e-6 * n for n in sizes], color=RED, linestyle=":", label="proportional to n")
right.set(xlabel="nodes in the graph", ylabel="seconds", title="Time grows with the number of nodes")
right.legend()
show(figure, "03_engine")

# %% [markdown]
# ## Read next
#
# - `minitorch/graph.py`, all of it. You now know every idea in it: `op`, `record`, `backward`, `youngest_first`,
#   `pull_back` (where `create_graph` evaluates the formula on Tensors), `accumulate`, `undo_broadcast`.
# - `minitorch/changes.py`: how an in-place change is detected.
# - `minitorch/ops/elementwise.py`: forty operations in the form of your softplus.
# - Then lesson 4, `04_linear_regression.py`.
