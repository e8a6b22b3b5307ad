# %% [markdown]
# # 5. Numbers that misbehave: log-sum-exp, LayerNorm, GELU, float32
#
# A formula can be right on paper and wrong on a computer. Networks are trained in float32, which has about seven digits and
# ends at 3·10³⁸. This lesson shows four places where that hurts, and how to rewrite each formula. The
# [glossary](../docs/glossary.md) explains terms such as logits and gradient.

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
# The softmax turns scores (*logits*) into probabilities, e^xᵢ / Σ e^xⱼ, and the loss is -log of the probability of the right
# class. Here is that sentence as code. Scores of 2, 1 and 0 are fine. Scores of 200, 100 and 0 are not.


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
# because they are ∞/∞: e⁸⁹ is already too large for float32. One such number ruins a training run. It makes every gradient a
# NaN, and after the next step every weight.
#
# ## log-sum-exp
#
# Simplify on paper before you compute:
#
#     -log(e^xᵣ / Σ e^xⱼ)  =  log Σ e^xⱼ - xᵣ
#
# No division is left, only the logarithm of a sum of exponentials, the *log-sum-exp*. From that sum we may take out any factor
# e^m:
#
#     log Σ e^xⱼ  =  m + log Σ e^(xⱼ - m)
#
# With m = max x the largest exponent is 0. Nothing can overflow. And at least one term of the sum is 1, so the logarithm never
# sees a sum that was rounded to 0.
#
# ### Exercise: log-sum-exp
#
# For a one-dimensional array. The check has large numbers, small ones, and the limits: a score of -∞ means "this class is
# ruled out".


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
    case("far apart", np.array([0.0, 0.0, -3000.0]), math.log(2)),
    case("a class that is ruled out", np.array([0.0, -np.inf]), 0.0),
    case("all are ruled out", np.array([-np.inf, -np.inf]), -np.inf),
)

# %%
scores = minitorch.tensor([[200.0, 100.0, 0.0]], requires_grad=True)
for right in range(3):
    loss = F.cross_entropy(scores, minitorch.tensor([right]))
    (slope,) = minitorch.autograd.grad(loss, scores)
    print(f"the library, right class {right}: loss {loss.item():5.1f}, gradient {slope.tolist()}")

# %% [markdown]
# The library's losses are finite. Look at the gradients, too: they are the probabilities, minus 1 at the right class. (The tiny
# number is e⁻¹⁰⁰, as close as float32 can get.) So they lie between -1 and 1, however wrong the model is. The logarithm alone
# has the gradient 1/p, which can be huge. Softmax and logarithm together have a harmless one. That is why the two belong in
# *one* operation.
#
# ### Exercise: the gradient of cross entropy
#
# There are n rows of scores and their right classes. The loss is the mean over the rows.


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
)

# %% [markdown]
# ## float32 has seven digits
#
# float32 also runs out of digits. It keeps 24 binary ones. Above 2²⁴ = 16,777,216 the gap from one number to the next is 2, so
# adding 1 does nothing. Long before that, each addition of a small number to a large sum loses digits:

# %%
print("float32: 16777216 + 1 =", np.float32(16777216) + np.float32(1))
total = np.float32(0)
for _ in range(300_000):
    total += np.float32(0.1)
print(f"0.1 added 300,000 times, in float32: {total:.1f}; NumPy's sum:", np.full(300_000, 0.1, np.float32).sum())

# %% [markdown]
# The running sum is off by a quarter of a percent. NumPy adds in blocks and then adds the sums of the blocks (pairwise
# summation), so it never adds a number to a much larger one.
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
# Shifting data does not change its variance, so all rows should be the same. At an offset of 10,000 both terms are about 10⁸.
# Their seven digits end near 10, and the difference we want is near 1: only noise remains. It can even be negative, and then
# its root is a NaN. The cure costs a second pass: subtract the mean first. As in lesson 1, subtracting nearly equal numbers
# leaves only their unreliable digits. So subtract *early*, while the digits are still there.
#
# ### Exercise: LayerNorm, forward
#
# Over the last axis, for x of shape (n, d). At the end, LayerNorm multiplies by a weight and adds a bias, both of shape (d,). If
# float32 comes in, float32 must come out.


# %%
def layer_norm(x, weight, bias, eps=1e-5):
    """(x - mean) / √(var + eps) · weight + bias, over the last axis."""
    raise NotImplementedError


# %%
x, w, b = random.standard_normal((3, 8)), random.uniform(0.5, 2, 8), random.standard_normal(8)
in_float32 = [a.astype(np.float32) for a in (x + 3000, w, b)]


def library_norm(x, w, b, eps=1e-5):
    return F.layer_norm(minitorch.tensor(x), (8,), minitorch.tensor(w), minitorch.tensor(b), eps=eps)


s = x.std(axis=-1, keepdims=True)
usual_slips = {
    "with eps outside of the root": library_norm(x, w, 0 * b, 0).numpy() * s / (s + 0.5) + b,
    "when the variance divides by d - 1": library_norm(x, math.sqrt(7 / 8) * w, b, 0.5 * 7 / 8),
}
check(
    layer_norm,
    case("three rows", (x, w, b), library_norm(x, w, b)),
    case("a large ε", (x, w, b, 0.5), library_norm(x, w, b, 0.5), slips=usual_slips),
    case("all numbers equal: ε saves us", (np.ones((1, 4)), np.ones(4), np.zeros(4)), np.zeros((1, 4))),
    case("float32, far from 0", tuple(in_float32), library_norm(*in_float32), tolerance=1e-3),
)

# %% [markdown]
# ### Exercise: LayerNorm, backward
#
# This is the part that people get wrong. Moving one xᵢ moves the mean and the variance, and so every output. Let r = 1/√(var +
# ε), let x̂ = (x - mean)·r be the normalised vector, and let h = g·weight be the gradient of x̂. Then
#
#     ∂x̂ᵢ/∂xⱼ = r · (δᵢⱼ - 1/d - x̂ᵢx̂ⱼ/d)        δᵢⱼ is 1 for i = j, else 0
#
# (the 1/d comes from the mean, the last term from r). The chain rule sums h over all outputs i:
#
#     dL/dx = (h - mean(h) - x̂ · mean(h·x̂)) · r
#
# You can read this as geometry. Shifting x does not change the output, and apart from ε neither does scaling it. So the
# gradient must have no component in these two directions, and the two subtracted terms remove them. Return the gradients of x,
# weight and bias.


# %%
def layer_norm_backward(g, x, weight, eps=1e-5):
    """From g, the gradient of the output (n, d): the gradients of x (n, d), weight (d,) and bias (d,)."""
    raise NotImplementedError


# %%
g, parts = random.standard_normal((3, 8)), ("dL/dx", "dL/dweight", "dL/dbias")


def library_backward(eps):
    leaves = [minitorch.tensor(a, requires_grad=True) for a in (x, w, b)]
    F.layer_norm(leaves[0], (8,), leaves[1], leaves[2], eps=eps).backward(minitorch.tensor(g))
    return tuple(leaf.grad.numpy() for leaf in leaves)


check(
    layer_norm_backward,
    case("three rows", (g, x, w), library_backward(1e-5), parts=parts),
    case("a large ε", (g, x, w, 0.5), library_backward(0.5), parts=parts),
)

# %% [markdown]
# ## GELU: one activation, two formulas
#
# BERT's activation is GELU, x·Φ(x), a smooth ReLU. Φ(x) is the probability that a normal random number is below x. It needs the
# error function, which is slow and missing from NumPy. So some models use a formula with tanh instead. The two differ a little,
# and a checkpoint trained with one should be run with the same one. Here we keep the exact formula and compute it fast:
# minitorch's float32 kernel fits a polynomial P so that tanh(x·P(x²)) equals the error function to float32 precision.

# %%
x = np.linspace(-6, 6, 100_001)
exact = reference.gelu(x)[0]
tanh_form = reference.gelu_tanh(x)[0]
fast = cpu.gelu(x.astype(np.float32))[0]
definition = reference.gelu(x.astype(np.float32))[0]
print(f"tanh form against exact : {np.abs(tanh_form - exact).max():.1e}")
print(f"fast kernel, float32    : {np.abs(fast - exact).max():.1e}")
print(f"definition, float32     : {np.abs(definition - exact).max():.1e}")

# %% [markdown]
# The tanh form is off in the fourth digit; the kernel is as good as the definition in float32. Was it worth the trouble? One
# million numbers, value and derivative:

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
# ## When you do get a NaN
#
# When a loss becomes NaN, the cause may lie far back. Ask the library where it began: `detect_anomaly` stops at the first
# operation that makes a NaN or an infinity, and names your line.

# %%
try:
    with minitorch.detect_anomaly():
        p = minitorch.tensor([0.3, 0.0], requires_grad=True)
        entropy = -(p * p.log()).sum()
        entropy.backward()
except RuntimeError as error:
    print(error)

# %% [markdown]
# The entropy's term 0·log 0 should be 0, but the computer sees 0·(-∞). `minitorch.xlogy(p, p)` is p·log p with the right
# value there.
#
# ## The picture
#
# Left: the error of the two variances as the data moves away from 0. Right: the errors of three ways to compute GELU.

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
    (definition, GREY, "definition in float32"),
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
# - `minitorch/ops/reductions.py`, `_logsumexp`: your first exercise, including rows where everything is -∞.
# - `minitorch/ops/losses.py`, `cross_entropy_kernel`, and `minitorch/ops/normalization.py`, `layer_norm_kernel`: the others, as
#   definitions.
# - `minitorch/kernels/loops/rows.py`: the same functions as compiled loops. `minitorch/kernels/cpu.py` has GELU in NumPy, made
#   fast: compare it with the definition in `minitorch/ops/activations.py`.
# - `minitorch/tools/anomaly.py`: how `detect_anomaly` finds the line.
# - Then lesson 6, `06_training.py`.
