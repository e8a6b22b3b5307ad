# %% [markdown]
# # 5. Numbers that misbehave: log-sum-exp, LayerNorm, GELU, float32
#
# A formula can be right on paper and wrong on a computer. Networks are trained in float32, which has about seven digits and
# ends at 3·10³⁸. This lesson shows four places where that bites, and how each formula is rewritten so that it does not.

# %%
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, show

import minitorch
import minitorch.nn.functional as F
from minitorch.kernels import cpu, reference

# %% [markdown]
# ## Something goes wrong
#
# The softmax turns scores into probabilities, e^xᵢ / Σ e^xⱼ, and the loss is -log of the probability of the right class. Here
# is that sentence as code. Scores of 2, 1 and 0 are fine. Scores of 200, 100 and 0 are not.


# %%
def naive_loss(scores, right):
    with np.errstate(all="ignore"):  # NumPy would warn; deep in a training run nobody reads warnings
        e = np.exp(scores)
        p = e / e.sum()
        return -np.log(p[right])


for scale in (1, 10, 40, 100):
    scores = np.array([2, 1, 0], dtype=np.float32) * scale
    losses = [f"{naive_loss(scores, right):8.3f}" for right in range(3)]
    print(f"scores {scores}: loss if the right class is 0, 1, 2:", *losses)

# %% [markdown]
# In the last line the loss of the third class is `inf`, because its probability was rounded to 0, and the other two are `nan`,
# because they are ∞/∞: e⁸⁹ is already too large for float32. In a training run one such number poisons every weight in the
# next step.
#
# ## log-sum-exp
#
# Work it out on paper first: -log(e^xᵣ / Σ e^xⱼ) = log Σ e^xⱼ - xᵣ. No division is left, only the log-sum-exp. And that can
# be shifted: log Σ e^xⱼ = m + log Σ e^(xⱼ - m) for any m. With m = max x the largest exponent is 0. Nothing can overflow, and
# at least one term of the sum is 1, so the logarithm is of something sane.
#
# ### Exercise: log-sum-exp
#
# For a line of numbers. The check has large ones, small ones, and the limits.


# %%
def log_sum_exp(x):
    """log Σ e^xᵢ of a one-dimensional array, without overflow."""
    raise NotImplementedError


# %%
check(
    log_sum_exp,
    case("harmless numbers", np.array([0.5, -1.0, 2.0]), math.log(math.exp(0.5) + math.exp(-1) + math.exp(2))),
    case("large ones", np.array([1000.0, 1000.0]), 1000 + math.log(2)),
    case("very small ones", np.array([-1000.0, -1001.0]), -1000 + math.log(1 + math.exp(-1))),
    case("a class that is ruled out", np.array([0.0, -np.inf]), 0.0),
    case("all are ruled out", np.array([-np.inf, -np.inf]), -np.inf),
    hints=[
        "m = x.max(), then m + log of the sum of e^(x - m).",
        "If everything is -∞, x - m is ∞ - ∞. Use m = 0 where m is not finite: np.isfinite(m).",
    ],
)

# %%
scores = minitorch.tensor([[200.0, 100.0, 0.0]], requires_grad=True)
for right in range(3):
    loss = F.cross_entropy(scores, minitorch.tensor([right]))
    (slope,) = minitorch.autograd.grad(loss, scores)
    print(f"the library, right class {right}: loss {loss.item():5.1f}, gradient {slope.tolist()}")

# %% [markdown]
# Look at the gradient: it is the probabilities, minus 1 at the right class. Always between -1 and 1, however wrong the model
# is. That simplicity is why softmax and logarithm belong in *one* operation.
#
# ### Exercise: the gradient of cross entropy
#
# For n rows of scores and their right classes, the loss being the mean over the rows.


# %%
def cross_entropy_gradient(scores, right):
    """The gradient of the mean loss with respect to ``scores`` (n, classes); ``right``: (n,) class numbers."""
    raise NotImplementedError


# %%
random = np.random.default_rng(0)
some_scores, some_classes = random.standard_normal((4, 3)) * 3, np.array([0, 2, 1, 1])


def library_gradient(scores, right):
    x = minitorch.tensor(scores, requires_grad=True)
    F.cross_entropy(x, minitorch.tensor(right)).backward()
    return x.grad


check(
    cross_entropy_gradient,
    case("one row, equal scores", (np.zeros((1, 2)), np.array([1])), np.array([[0.5, -0.5]])),
    case("four rows", (some_scores, some_classes), library_gradient(some_scores, some_classes)),
    case("huge scores", (some_scores * 500, some_classes), library_gradient(some_scores * 500, some_classes)),
    hints=[
        "For one row: softmax(scores), minus 1 at the right class.",
        "p[np.arange(n), right] picks one number a row.",
        "The loss is a mean over n rows: divide by n.",
        "Subtract the maximum of each row (axis=1, keepdims=True) before exp.",
    ],
)

# %% [markdown]
# ## float32 has seven digits
#
# Between 16,777,216 and the next float32 lies a gap of 2. So adding 1 does nothing. A sum of many small numbers stops growing
# when it is large enough.

# %%
print("float32: 16777216 + 1 =", np.float32(16777216) + np.float32(1))
total = np.float32(0)
for _ in range(300_000):
    total += np.float32(0.1)
print(f"0.1 added 300,000 times, in float32: {total:.1f}; NumPy's sum:", np.full(300_000, 0.1, np.float32).sum())

# %% [markdown]
# NumPy adds in blocks and then adds the blocks (pairwise summation), so no number is ever added to a much larger one. A
# running sum, one number after the other, is off by a quarter of a percent.
#
# ## LayerNorm, and a variance that turns negative
#
# LayerNorm brings every vector to mean 0 and variance 1: x̂ = (x - mean) / √(var + ε). There is a popular shortcut for the
# variance that needs one pass over the data: mean(x²) - mean(x)².


# %%
def variance_one_pass(x):
    return (x * x).mean() - x.mean() ** 2


def variance_two_passes(x):
    return ((x - x.mean()) ** 2).mean()


noise = random.standard_normal(1000)
for offset in (0, 100, 1000, 10_000):
    x = (noise + offset).astype(np.float32)
    print(f"offset {offset:6d}: one pass {variance_one_pass(x):9.4f}   two passes {variance_two_passes(x):.4f}")

# %% [markdown]
# The true value is the same in all rows. At an offset of 10,000 both terms are 10⁸, seven digits are gone before the
# subtraction, and what remains is noise; it can even be negative, and its root a NaN. The cure costs a second pass: subtract
# the mean first. Subtracting nearly equal numbers is the enemy; subtract *early*, while the digits are still there.
#
# ### Exercise: LayerNorm, forward
#
# Over the last axis, for x of shape (n, d), with weight and bias of shape (d,).


# %%
def layer_norm(x, weight, bias, eps=1e-5):
    """(x - mean) / √(var + eps) · weight + bias, over the last axis."""
    raise NotImplementedError


# %%
x, w, b = random.standard_normal((3, 8)), random.uniform(0.5, 2, 8), random.standard_normal(8)
far = (x + 3000).astype(np.float32)
w32, b32 = w.astype(np.float32), b.astype(np.float32)
check(
    layer_norm,
    case("three rows", (x, w, b), F.layer_norm(minitorch.tensor(x), (8,), minitorch.tensor(w), minitorch.tensor(b))),
    case("all numbers equal: ε saves us", (np.ones((1, 4)), np.ones(4), np.zeros(4)), np.zeros((1, 4))),
    case(
        "float32, far from 0",
        (far, w32, b32),
        F.layer_norm(minitorch.tensor(far), (8,), minitorch.tensor(w32), minitorch.tensor(b32)),
        tolerance=1e-3,
    ),
    hints=[
        "mean and variance along axis=-1, with keepdims=True.",
        "The variance divides by d, not by d - 1.",
        "eps stands under the root. Subtract the mean before you square.",
    ],
)

# %% [markdown]
# ### Exercise: LayerNorm, backward
#
# The part that people get wrong. Moving one xᵢ moves the mean and the variance, and so every output. With x̂ the normalised
# vector and h = g·weight, the chain rule gives, after some algebra,
#
#     dL/dx = (h - mean(h) - x̂ · mean(h·x̂)) / √(var + ε)
#
# Read it as geometry: LayerNorm cannot see a shift of x nor a stretch, so the gradient has no part in these two directions;
# the two means take them out. Return the gradients of x, weight and bias.


# %%
def layer_norm_backward(g, x, weight, eps=1e-5):
    """From g, the gradient of the output (n, d): the gradients of x (n, d), weight (d,) and bias (d,)."""
    raise NotImplementedError


# %%
g = random.standard_normal((3, 8))
leaves = [minitorch.tensor(a, requires_grad=True) for a in (x, w, b)]
F.layer_norm(leaves[0], (8,), leaves[1], leaves[2]).backward(minitorch.tensor(g))
check(
    layer_norm_backward,
    case("three rows", (g, x, w), tuple(leaf.grad.numpy() for leaf in leaves), parts=("dL/dx", "dL/dweight", "dL/dbias")),
    hints=[
        "bias was repeated n times: sum g over axis 0. weight likewise: sum g·x̂.",
        "For dL/dx use the equation above; the means run over the last axis, with keepdims=True.",
    ],
)

# %% [markdown]
# ## GELU: one activation, two formulas
#
# GELU is x·Φ(x), with Φ the normal distribution's probability of less than x. Φ needs the error function, which NumPy does not
# have, so many models use a tanh in its place. The two differ, and a checkpoint trained with one should be run with that one.
# minitorch's fast float32 kernel goes a third way: a polynomial inside a tanh, with the digits that float32 has.

# %%
x = np.linspace(-6, 6, 100_001)
exact = reference.gelu(x)[0]
tanh_form = reference.gelu_tanh(x)[0]
fast = cpu.gelu(x.astype(np.float32))[0]
in_float32 = reference.gelu(x.astype(np.float32))[0]
print(f"tanh form against exact : {np.abs(tanh_form - exact).max():.1e}")
print(f"fast kernel, float32    : {np.abs(fast - exact).max():.1e}")
print(f"definition, float32     : {np.abs(in_float32 - exact).max():.1e}")

# %% [markdown]
# Speed is the reason to bother. One million numbers, value and derivative:

# %%
million = random.standard_normal(1 << 20).astype(np.float32)


def best_ms(f):
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        f(million)
        times.append(time.perf_counter() - begin)
    return min(times) * 1e3


slow_ms, fast_ms = best_ms(reference.gelu), best_ms(cpu.gelu)
print(f"definition {slow_ms:.1f} ms, fast kernel {fast_ms:.1f} ms: {slow_ms / fast_ms:.1f} times faster")

# %% [markdown]
# ## When a NaN does come
#
# Ask the library where it was born. `detect_anomaly` stops at the first operation that makes one, and names your line.

# %%
try:
    with minitorch.detect_anomaly():
        p = minitorch.tensor([0.3, 0.0], requires_grad=True)
        entropy = -(p * p.log()).sum()
        entropy.backward()
except RuntimeError as error:
    print(error)

# %% [markdown]
# 0·log 0 should be 0, but the computer sees 0·(-∞). `minitorch.xlogy(p, p)` knows.
#
# ## The picture
#
# Left: the error of the two variances as the data moves away from 0. Right: how far the cheap GELUs are from the exact one.

# %%
figure, (left, right) = plt.subplots(1, 2)
offsets = 10.0 ** np.arange(0, 6.1, 0.25)
truth = noise.var()
for rule, colour, name in ((variance_one_pass, ORANGE, "mean(x²) - mean(x)²"), (variance_two_passes, BLUE, "mean((x - mean)²)")):
    errors = [abs(float(rule((noise + o).astype(np.float32))) - truth) / truth for o in offsets]
    left.loglog(offsets, np.maximum(errors, 1e-9), color=colour, label=name)
left.axhline(1, color=GREY, linestyle=":", label="100 % wrong")
left.set(xlabel="offset of the data", ylabel="relative error", title="Variance in float32")
left.legend(fontsize=8)
middles = x[:-1].reshape(200, 500).mean(axis=1)
for values, colour, name in (
    (tanh_form, ORANGE, "tanh form"),
    (in_float32, GREY, "definition in float32"),
    (fast, GREEN, f"fast kernel, {slow_ms / fast_ms:.0f} times faster"),
):
    largest = np.abs(values - exact)[:-1].reshape(200, 500).max(axis=1)  # of 500 neighbours
    right.semilogy(middles, largest, color=colour, label=name)
right.set(xlabel="x", ylabel="error", title="GELU", ylim=(1e-9, 1e-1))
right.legend(fontsize=8, loc="upper right")
show(figure, "05_numbers")

# %% [markdown]
# ## Read next
#
# - `minitorch/kernels/reference.py`: `softmax`, `cross_entropy` and `layer_norm` are your exercises.
# - `minitorch/ops/reductions.py`, `_logsumexp`: with the case that everything is -∞.
# - `minitorch/kernels/reference.py`, then `minitorch/kernels/cpu.py`: definition and fast hand, side by side.
# - `minitorch/debug.py`: how `detect_anomaly` finds the line.
# - Then lesson 6, `06_training.py`.
