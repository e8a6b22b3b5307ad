# %% [markdown]
# # 2. Arrays, broadcasting, strides
#
# Lesson 1 ended with arrays, which are far faster than single numbers. They also bring a new kind of bug: code that runs,
# raises no error, and computes the wrong thing. This lesson shows the most common case, then the two ideas behind it:
# *broadcasting* (how shapes are made to fit) and *strides* (how an array lies in memory). Technical terms are in the
# [glossary](../docs/glossary.md).

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREY, ORANGE, show

import minitorch
from minitorch.graph import undo_broadcast as library_undo_broadcast

# %% [markdown]
# ## Something goes wrong
#
# A hundred points on the line y = 3x. We fit the slope w by gradient descent. There is no noise: the cost must go to 0.

# %%
random = np.random.default_rng(0)
x = minitorch.tensor(random.uniform(-1, 1, (100, 1)), dtype=minitorch.float32)  # one column, as for any table of data
y = minitorch.tensor(3 * x.numpy()[:, 0])


def fit(cost, steps=50):
    w = minitorch.tensor([[0.0]], requires_grad=True)
    costs = []
    for _ in range(steps):
        w.grad = None
        loss = cost(x @ w)
        loss.backward()
        w = (w.detach() - 0.5 * w.grad).requires_grad_()
        costs.append(loss.item())
    return w.item(), costs


w, wrong_costs = fit(lambda prediction: ((prediction - y) ** 2).mean())
print(f"w = {w:.3f} instead of 3; cost {wrong_costs[0]:.3f} -> {wrong_costs[-1]:.3f}")

# %% [markdown]
# The cost is flat and w stays near 0. No error, no warning. When numbers are strange, print the shapes:

# %%
prediction = x @ minitorch.tensor([[0.0]])
print("prediction", prediction.shape, "  y", y.shape, "  prediction - y", (prediction - y).shape)

# %% [markdown]
# A column minus a row is a whole 100 × 100 table: *every* prediction minus *every* target. Against all targets at once, the
# best prediction is their mean. So w is pulled to where all predictions are alike. The repair is to make the two shapes equal:

# %%
w, right_costs = fit(lambda prediction: ((prediction[:, 0] - y) ** 2).mean())
print(f"w = {w:.3f}; cost {right_costs[0]:.3f} -> {right_costs[-1]:.1e}")

# %% [markdown]
# ## The rule of broadcasting
#
# Nobody wants to write a loop to add a bias to every row. So array libraries repeat the smaller operand for you, by this rule.
# Write the two shapes one above the other, **aligned at the right**. In each column the sizes must be equal, or one of them
# must be 1 or missing; that operand is then repeated to the size of the other.
#
# ```
# prediction  (100, 1)        images  (64, 28, 28)        a  (3, 4)
# y                (100)      mask         (28, 28)       b     (3)
# result      (100, 100)      result  (64, 28, 28)        does not fit: 4 and 3
# ```

# %%
column, row = np.arange(3).reshape(3, 1), np.array([10, 20])
print(column + row)
try:
    minitorch.ones(3, 4) + minitorch.ones(3)
except RuntimeError as error:
    print("RuntimeError:", error)

# %% [markdown]
# ### Exercise: the rule as code
#
# From two shapes, compute the shape of the result. For shapes that do not fit, raise a ValueError. (NumPy has a function for
# this; do without it.)


# %%
def broadcast_shape(a, b):
    """The shape of x + y for x of shape ``a`` and y of shape ``b`` (tuples of sizes)."""
    raise NotImplementedError


# %%
check(
    broadcast_shape,
    case("a column and a row", ((100, 1), (100,)), (100, 100)),
    case("the same shape", ((2, 3), (2, 3)), (2, 3)),
    case("one is missing two dimensions", ((5,), (2, 3, 5)), (2, 3, 5)),
    case("a size of 0 wins over 1", ((0, 3), (1, 3)), (0, 3)),
    case("every axis counts, not just the last", ((4, 1, 3), (5, 3)), (4, 5, 3)),
    case("these do not fit", ((3, 4), (3,)), raises=ValueError),
    case("nor do these: look at the first axis", ((2, 3), (4, 3)), raises=ValueError),
)

# %% [markdown]
# ## The way back: repeated values, summed gradients
#
# What does broadcasting mean for gradients? It uses one value in several places. Lesson 1 said: a number that is used several
# times gets the **sum** of all contributions. So the gradient of a broadcast operand is the gradient of the result, summed over
# the axes along which the operand was repeated. Like every gradient, it has the shape of its operand.

# %%
b = minitorch.tensor([1.0, 2.0], requires_grad=True)
table = minitorch.ones(5, 2) * b  # b is used in each of five rows
table.sum().backward()
print("b.grad =", b.grad.tolist(), " five times 1")

# %% [markdown]
# ### Exercise: undo it
#
# `g` is the gradient of the result. Return the gradient of an operand of the given shape. minitorch does this in one place,
# for all operations at once; the check compares you with it.


# %%
def undo_broadcast(g, shape):
    """Sum the array ``g`` over the axes along which an array of ``shape`` was repeated; the result has that shape."""
    raise NotImplementedError


# %%
def question(what, g_shape, shape):
    g = random.standard_normal(g_shape)
    return case(what, (g, shape), library_undo_broadcast(g, shape))


check(
    undo_broadcast,
    question("nothing was repeated", (2, 3), (2, 3)),
    question("a row, repeated downwards", (4, 3), (3,)),
    question("a column, repeated to the right", (4, 3), (4, 1)),
    question("both at once", (5, 4, 3), (1, 3)),
    question("a single number", (4, 3), ()),
)

# %% [markdown]
# ## Strides: one line of memory, many shapes
#
# How can repeating cost nothing? Look at how an array lies in memory. Memory has no rows and columns; it is one long line. An
# array is that line plus two notes: its shape, and its *strides*. A stride says how far to go in memory for one step along a
# dimension. Element (i, j) lies at i·stride₀ + j·stride₁.

# %%
a = minitorch.arange(6).reshape(2, 3)
print(a.tolist(), "  shape", a.shape, " strides", a.stride())
print(a.T.tolist(), "  shape", a.T.shape, " strides", a.T.stride())
print("a row repeated 4 times:", minitorch.arange(3).expand(4, 3).stride(), "strides; no copy was made")

# %% [markdown]
# Transposing swaps two notes and moves no number. Broadcasting is stride 0: the same row is read over and over. Neither makes a
# copy. The results are *views*: they share their memory with the original, so writing into one changes the other.

# %%
original = np.zeros((2, 3))
view = original.T
view[0, 1] = 7.0
print("changed through the view:\n", original)
print("do they share memory?", np.shares_memory(original, view))

# %% [markdown]
# ### Exercise: strides of a fresh array
#
# A fresh array lies in *row-major* order: row after row. So neighbours along the last dimension lie side by side, and its
# stride is 1. What are the others?


# %%
def row_major_strides(shape):
    """The strides, counted in elements, of a freshly made array of this shape; a tuple."""
    raise NotImplementedError


# %%
check(
    row_major_strides,
    case("a line", ((7,),), minitorch.zeros(7).stride()),
    case("a table", ((2, 3),), minitorch.zeros(2, 3).stride()),
    case("a batch of images", ((64, 28, 20),), minitorch.zeros(64, 28, 20).stride()),
    case("four dimensions", ((2, 3, 4, 5),), minitorch.zeros(2, 3, 4, 5).stride()),
)

# %% [markdown]
# ## Why it matters: the CPU reads lines, not numbers
#
# The CPU reads memory in lines, of 64 bytes on most machines: sixteen float32 at once. Walk along a row and you use all
# sixteen. Walk down a column of a wide table and you use one, and throw fifteen away. The same number of sums, twice:

# %%
big = np.ones((4096, 4096), dtype=np.float32)


def best_time(f, repeats=5):
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        f()
        times.append(time.perf_counter() - begin)
    return min(times)


along = best_time(lambda: [float(big[i].sum()) for i in range(0, 4096, 16)])
down = best_time(lambda: [float(big[:, i].sum()) for i in range(0, 4096, 16)])
print(f"256 rows: {along * 1e3:.2f} ms   256 columns, as many numbers: {down * 1e3:.2f} ms   {down / along:.0f} times slower")

# %% [markdown]
# And all this replaces a loop in Python:

# %%
numbers = big[:64].reshape(-1)
loop = best_time(lambda: sum(numbers.tolist()), repeats=2)
whole = best_time(lambda: [float(numbers.sum()) for _ in range(50)]) / 50  # one sum is too short for some clocks
print(f"a sum of {numbers.size:,} numbers: {loop * 1e3:.1f} ms in Python, {whole * 1e3:.3f} ms in NumPy:", end=" ")
print(f"{loop / whole:.0f} times faster")

# %% [markdown]
# ## The picture
#
# Left: the table that the wrong cost averages; only its diagonal was meant. Right: the two costs.

# %%
figure, (left, right) = plt.subplots(1, 2)
order = np.argsort(y.numpy())
table = (3 * x.numpy()[order] - y.numpy()[order]) ** 2
image = left.imshow(table, cmap="Blues")
left.set(title="(prediction - y)² for the perfect w", xlabel="target", ylabel="prediction")
left.grid(visible=False)
figure.colorbar(image, ax=left)
right.semilogy(wrong_costs, color=ORANGE, label="(100, 1) - (100,)")
right.semilogy(right_costs, color=BLUE, label="(100,) - (100,)")
right.axhline(float(np.var(y.numpy())), color=GREY, linestyle=":", label="variance of y")
right.set(xlabel="step", ylabel="cost", title="A flat loss that raises no error")
right.legend()
show(figure, "02_arrays")

# %% [markdown]
# The wrong cost stays close to the variance of y (its mean squared distance from its mean): the cost of always predicting the
# mean. Such *[baselines](../docs/glossary.md)* will come back in this course. A loss that stays at a baseline tells you what
# your model has not learnt.
#
# ## Read next
#
# - `minitorch/graph.py`, `undo_broadcast`: your exercise, in six lines.
# - `minitorch/ops/shaping.py`: reshape, permute, expand; which of them copy?
# - `minitorch/errors.py`: where the message about shapes comes from.
# - Then lesson 3, `03_engine.py`.
