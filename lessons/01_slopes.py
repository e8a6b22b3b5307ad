# %% [markdown]
# # 1. Slopes, and an autograd in forty lines
#
# Training a model means asking one question over and over: *if I move this number a little, how much does the cost move?* The
# answer is a slope, or *[gradient](../docs/glossary.md)* where there are many numbers. In this lesson you get slopes in three
# ways. The first goes wrong at once, the second is exact but tiring, and the third lets the computer do the tiring part. That
# third way is the heart of every deep-learning library.
#
# You need Python, and to remember that the derivative of x² is 2x.

# %%
import itertools
import math
import random
import time

import matplotlib.pyplot as plt
from exercises import case, check, hint
from pictures import BLUE, GREY, ORANGE, show

import minitorch

# %% [markdown]
# ## Something goes wrong
#
# The slope of f at x is the limit of (f(x + h) - f(x)) / h as h gets small. So let us take a small h. At x = 1 the sine has
# slope cos(1) = 0.540302.


# %%
def forward_difference(f, x, h):
    return (f(x + h) - f(x)) / h


for h in (1e-1, 1e-4, 1e-8, 1e-12, 1e-15, 1e-17):
    slope = forward_difference(math.sin, 1.0, h)
    print(f"h = {h:.0e}   slope = {slope:.10f}   error = {abs(slope - math.cos(1)):.1e}")

# %% [markdown]
# It gets better, then worse, and at h = 1e-17 the sine is suddenly flat. Nothing is wrong with the mathematics. A Python
# float keeps about 16 digits, and 1 + 1e-17 needs 18: so x + h **is** x, and 0/h is 0. Before that, sin(x + h) and sin(x)
# agree in most of their digits, and the subtraction leaves only the last, unreliable ones.
#
# So there are two errors, and they pull in opposite directions:
#
# - the formula's error is of order h (the curve bends between x and x + h), and wants h small;
# - the arithmetic's error is of order 1e-16/h, and wants h large.
#
# At h = 1e-8 both are about 1e-8, and this formula does no better. A better formula looks to both sides of x. Then the bend
# cancels, the formula's error is only of order h², and h need not be so small.


# %%
def central_difference(f, x, h=1e-5):
    return (f(x + h) - f(x - h)) / (2 * h)


print("error, one side :", abs(forward_difference(math.sin, 1.0, 1e-8) - math.cos(1)))
print("error, two sides:", abs(central_difference(math.sin, 1.0) - math.cos(1)))

# %% [markdown]
# Ten or eleven good digits: fine for *checking* a slope, and we shall use it for that. For training it is hopeless. A model
# with a million parameters needs two million evaluations per step. We want all slopes for the price of a few evaluations.
#
# ## The chain rule as bookkeeping
#
# Take y = tanh(w·x + b), one neuron. It is built from three small steps, and each has a slope that fits on one line:
#
# | step | slopes |
# | --- | --- |
# | p = w·x | ∂p/∂w = x, ∂p/∂x = w |
# | s = p + b | ∂s/∂p = 1, ∂s/∂b = 1 |
# | y = tanh s | ∂y/∂s = 1 - y² |
#
# The chain rule multiplies along the way: ∂y/∂w = (1 - y²) · 1 · x. So if every number remembers *its parents* (the numbers it
# was made from) and *the slope of that step*, the computer can do the multiplying. Here is a number with a memory.


# %%
class Value:
    """A number, its parents, and the slope of that step with respect to each parent."""

    clock = itertools.count()

    def __init__(self, value, edges=()):
        self.value = value
        self.edges = edges  # pairs (parent, slope of this step with respect to the parent)
        self.grad = 0.0  # the slope of the final result with respect to this number
        self.time = next(Value.clock)

    def __add__(self, other):
        other = as_value(other)
        return Value(self.value + other.value, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        other = as_value(other)
        return Value(self.value * other.value, [(self, other.value), (other, self.value)])


def as_value(x):
    return x if isinstance(x, Value) else Value(x)


# %%
def tanh(x):
    y = math.tanh(x.value)
    return Value(y, [(x, 1 - y * y)])


w, x, b = Value(0.5), Value(2.0), Value(-0.3)
y = tanh(w * x + b)
print("y =", y.value)
print("y was made from", [(round(parent.value, 3), round(slope, 3)) for parent, slope in y.edges])

# %% [markdown]
# ## Walking back
#
# Now start at y, whose slope with respect to itself is 1, and hand slopes down the edges. The obvious way is a recursion:
# give each parent its share, then let the parent do the same.


# %%
def backward_first_try(y, g=1.0):
    y.grad = g
    for parent, slope in y.edges:
        backward_first_try(parent, g * slope)


backward_first_try(y)
print("w.grad =", w.grad, "   by differences:", central_difference(lambda w: math.tanh(w * 2.0 - 0.3), 0.5))

# %% [markdown]
# They agree. Before you celebrate, use a number twice. Take b = a + a and c = b + b. Then c = 4a, and the slope is 4.

# %%
a = Value(1.0)
b = a + a
c = b + b
backward_first_try(c)
print("a.grad =", a.grad, " but it should be 4")

# %% [markdown]
# It says 1. There are four paths from c to a, each contributes 1, and `y.grad = g` keeps only the last to arrive. Slopes along
# different paths **add up**, because moving a moves c through all of them at once. So we need `+=`.
#
# Adding on every visit of the recursion would be right, but it would walk every *path* from the result down to a, and a chain
# of 30 doublings has 2³⁰ of them. It is far better to visit every *number* once and pass on its whole slope. For that, all
# contributions must have arrived before a number's turn comes. When have they? Only numbers made later can use a number. So
# when everything younger has been visited, nothing more will arrive: we visit the youngest first.


# %%
def numbers_behind(y):
    seen, stack = {y}, [y]
    while stack:
        for parent, _ in stack.pop().edges:
            if parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=lambda v: -v.time)


def backward(y):
    y.grad = 1.0
    for v in numbers_behind(y):
        for parent, slope in v.edges:
            parent.grad += v.grad * slope


# %%
a = Value(1.0)
b = a + a
c = b + b
backward(c)
print("a.grad =", a.grad)

x = start = Value(1.0)
for _ in range(1000):
    x = x + x * 0.001
backward(x)
print("a thousand steps, 2¹⁰⁰⁰ paths:", start.grad, "   1.001¹⁰⁰⁰ =", 1.001**1000)

# %% [markdown]
# That is an autograd: `Value`, `tanh`, `numbers_behind` and `backward` are about 40 lines. A large library adds arrays in place
# of numbers, more operations, and care. `minitorch/graph.py` visits the youngest first, too.
#
# ## Exercises
#
# Each operation needs only its own slopes. Here you write some. Replace `raise NotImplementedError` with your code, run that
# cell, then run the check below it. The check tells you what is wrong and by how much. If you are stuck, make a new cell with
# `hint(quotient)`: each call gives the next hint. You may leave an exercise for later; the lesson goes on without it.


# %%
def quotient(a, b):
    """Return three numbers: a / b, its slope with respect to a, and its slope with respect to b."""
    raise NotImplementedError


# %%
check(
    quotient,
    case("a = 6, b = 3", (6.0, 3.0), (2.0, 1 / 3, -2 / 3), parts=("a/b", "slope of a", "slope of b")),
    case("a = -1, b = 4", (-1.0, 4.0), (-0.25, 0.25, 0.0625), parts=("a/b", "slope of a", "slope of b")),
)


# %%
def sigmoid(x):
    """Return two numbers: s = 1 / (1 + e^-x), and its slope ds/dx."""
    raise NotImplementedError


# %%
check(
    sigmoid,
    case("x = 0", 0.0, (0.5, 0.25), parts=("s", "slope")),
    case("x = 2", 2.0, (0.8807970779778823, 0.10499358540350662), parts=("s", "slope")),
    case("x = -3", -3.0, (0.04742587317756678, 0.045176659730912), parts=("s", "slope")),
)

# %% [markdown]
# Your functions return a result and its slopes: that is all an operation needs. Here they become operations on `Value`s, and
# `backward` goes through them.


# %%
def operation(formula):
    """An operation on Values from a function of numbers that returns its result and one slope for each of them."""

    def of_values(*inputs):
        result, *slopes = formula(*(v.value for v in inputs))
        return Value(result, list(zip(inputs, slopes, strict=True)))

    return of_values


try:
    a, b = Value(6.0), Value(3.0)
    y = operation(sigmoid)(operation(quotient)(a, b))
    backward(y)
    slope = central_difference(lambda a: sigmoid(quotient(a, 3.0)[0])[0], 6.0)
    print(f"sigmoid(a / b): slope of a {a.grad:.6f}, by differences {slope:.6f}")
except NotImplementedError:
    print("(once quotient and sigmoid are written, your own operations run here)")

# %% [markdown]
# The third one is a whole backward pass by hand. It is worth doing once in a lifetime. We call its first hint for you.


# %%
def neuron_loss(w, b, x, target):
    """L = (tanh(w·x + b) - target)². Return L, dL/dw and dL/db."""
    raise NotImplementedError


# %%
check(
    neuron_loss,
    case(
        "w = 0.5, b = -0.3, x = 2, target = 1",
        (0.5, -0.3, 2.0, 1.0),
        (0.15652485578321435, -1.0044937397460008, -0.5022468698730004),
        parts=("L", "dL/dw", "dL/db"),
    ),
    case("already right", (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0), parts=("L", "dL/dw", "dL/db")),
)
hint(neuron_loss)

# %% [markdown]
# ## Something to train
#
# Is it good for anything? Here are two half-moons, blue and orange, labelled -1 and 1. A straight line cannot separate them,
# but a weighted sum of eight of our neurons can. Together they have 33 parameters, and `backward` finds all 33 slopes.

# %%
random.seed(0)
points = []
for _ in range(40):
    t = math.pi * random.random()
    points.append((math.cos(t) + random.gauss(0, 0.1), math.sin(t) + random.gauss(0, 0.1), -1.0))
    points.append((1 - math.cos(t) + random.gauss(0, 0.1), 0.5 - math.sin(t) + random.gauss(0, 0.1), 1.0))

HIDDEN = 8
start_values = [random.gauss(0, 1) for _ in range(4 * HIDDEN + 1)]  # for each neuron w₁, w₂, b, and its weight in the result


# %%
def network(parameters, x1, x2):
    result = parameters[-1]
    for k in range(HIDDEN):
        w1, w2, b, out = parameters[4 * k : 4 * k + 4]
        result = result + tanh(w1 * x1 + w2 * x2 + b) * out
    return result


def cost(parameters):
    total = Value(0.0)
    for x1, x2, label in points:
        error = network(parameters, x1, x2) + (-label)
        total = total + error * error
    return total * (1 / len(points))


# %% [markdown]
# The cost is the mean squared error. One step of gradient descent: compute the cost, walk back, and move every parameter a
# little against its slope. Each step makes new `Value`s, so old slopes cannot leak into it.


# %%
values, costs = list(start_values), []
begin = time.perf_counter()
for _ in range(100):
    parameters = [Value(v) for v in values]
    loss = cost(parameters)
    backward(loss)
    values = [p.value - 0.2 * p.grad for p in parameters]
    costs.append(loss.value)
per_step = (time.perf_counter() - begin) / 100
print(f"cost: {costs[0]:.3f} at first, {costs[-1]:.3f} after 100 steps")

# %% [markdown]
# ## The same with the library
#
# minitorch records arrays instead of single numbers: all points and all neurons go through one operation. The slopes must be
# the same, and they are.

# %%
table = minitorch.tensor(start_values[:-1], dtype=minitorch.float64).reshape(HIDDEN, 4)
table = table.detach().requires_grad_()  # one row per neuron: w₁, w₂, b, weight in the result
last = minitorch.tensor(start_values[-1], dtype=minitorch.float64, requires_grad=True)
data = minitorch.tensor(points, dtype=minitorch.float64)
X, labels = data[:, :2], data[:, 2]


def cost_of_arrays():
    hidden = minitorch.tanh(X @ table[:, :2].T + table[:, 2])  # (80, 8)
    return ((hidden @ table[:, 3] + last - labels) ** 2).mean()


begin = time.perf_counter()
for _ in range(100):
    table.grad = last.grad = None
    cost_of_arrays().backward()
per_step_arrays = (time.perf_counter() - begin) / 100

# %%
parameters = [Value(v) for v in start_values]
backward(cost(parameters))
theirs = [*table.grad.reshape(-1).tolist(), last.grad.item()]
difference = max(abs(p.grad - g) for p, g in zip(parameters, theirs, strict=True))
print(f"largest difference between our {len(parameters)} slopes and the library's: {difference:.1e}")
assert difference < 1e-12
print(f"a step takes {per_step * 1e3:.1f} ms with single numbers, {per_step_arrays * 1e3:.2f} ms with arrays", end="")
print(f": {per_step / per_step_arrays:.0f} times faster")

# %% [markdown]
# ## The picture
#
# Left: the error of the slope by differences. Both curves are a V, because two errors pull in opposite directions. Right: the
# network trained by our 40 lines. Its result is negative in the blue region and positive in the other.

# %%
figure, (left, right) = plt.subplots(1, 2)
steps = [10 ** (-k / 4) for k in range(2, 66)]
for rule, colour, name in ((forward_difference, ORANGE, "one side"), (central_difference, BLUE, "two sides")):
    errors = [max(abs(rule(math.sin, 1.0, h) - math.cos(1)), 1e-17) for h in steps]
    left.loglog(steps, errors, color=colour, label=name)
left.set(xlabel="h", ylabel="error of the slope", title="Smaller is not better")
left.legend()

final = [Value(v) for v in values]
grid = [(-1.5 + 4 * i / 40, -1 + 2.5 * j / 40) for j in range(41) for i in range(41)]
heights = [network(final, *place).value for place in grid]
rows = [heights[41 * j : 41 * j + 41] for j in range(41)]
right.contourf(rows, levels=[-9, 0, 9], extent=(-1.5, 2.5, -1, 1.5), colors=[BLUE, ORANGE], alpha=0.2)
right.scatter([p[0] for p in points], [p[1] for p in points], c=[ORANGE if p[2] > 0 else BLUE for p in points], s=14)
right.set(title="Two half-moons, told apart by 33 parameters", xlabel="x₁", ylabel="x₂")
right.grid(color=GREY, alpha=0.1)
show(figure, "01_slopes")

# %% [markdown]
# ## Read next
#
# - `minitorch/graph.py`: find `Node` (our `Value` without the number), `youngest_first` (our `numbers_behind`) and
#   `accumulate` (our `+=`).
# - `minitorch/tools/gradcheck.py`: central differences, made into a tool.
# - Then lesson 2, `02_arrays.py`: what changes when a number becomes an array.
