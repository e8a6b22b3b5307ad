# %% [markdown]
# # 4. Linear regression three ways, and optimisers
#
# The simplest model is a weighted sum. Its best weights can be computed exactly. That makes it a good place to study
# [gradient](../docs/glossary.md) descent, the method behind every large model: here we can see how far it is from the best
# answer, and why.
#
# The data: 442 people with diabetes. From age, sex, body mass, blood pressure and six blood values, predict how far the disease
# has progressed a year later.

# %%
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

import minitorch
from minitorch import optim
from models.classical import linear_regression as lr

# %%
people = load_diabetes(scaled=False)
X_raw, y = people.data.astype(np.float64), people.target.astype(np.float64)
print(X_raw.shape, people.feature_names)
print("means ", np.round(X_raw.mean(axis=0), 1))
print("spread", np.round(X_raw.std(axis=0), 1))

# %% [markdown]
# ## Something goes wrong
#
# Gradient descent, by the book: cost, gradient, a small step downhill.


# %%
def descend(X, y, lr, steps):
    """Gradient descent on the mean square error; the costs and the weights."""
    X, y = minitorch.tensor(X), minitorch.tensor(y)
    w = minitorch.zeros(X.shape[1], dtype=minitorch.float64, requires_grad=True)
    b = minitorch.zeros((), dtype=minitorch.float64, requires_grad=True)
    costs = []
    for _ in range(steps):
        loss = ((X @ w + b - y) ** 2).mean()
        loss.backward()
        with minitorch.no_grad():
            for p in (w, b):
                p -= lr * p.grad
                p.grad = None
        costs.append(loss.item())
    return costs, w.detach().numpy(), b.item()


exploding, _, _ = descend(X_raw, y, lr=0.01, steps=8)
print("cost:", " ".join(f"{c:.1e}" for c in exploding))

# %% [markdown]
# It explodes: each step makes the cost larger. With a step ten times smaller it still explodes. With a step a thousand times
# smaller it does not, but it crawls:

# %%
crawling, _, _ = descend(X_raw, y, lr=1e-5, steps=2000)
best = LinearRegression().fit(X_raw, y)
optimum = np.mean((best.predict(X_raw) - y) ** 2)
print(f"after 2000 small steps {crawling[-1]:.0f}, the best possible is {optimum:.0f}, the mean alone gives {y.var():.0f}")

# %% [markdown]
# ## Why: the valley
#
# Along any direction the cost is a parabola, but not the same one. The column s1 holds numbers near 190, so a small change of
# its weight changes every prediction a lot; s4 holds numbers near 4. The cost is a valley: steep across it, almost flat along
# it.
#
# Take a parabola of curvature λ, ½λe², where e is our distance from its bottom. Its slope is λe, so one step of gradient
# descent turns e into e - lr·λe = (1 - lr·λ)·e. Two things follow:
#
# - If lr·λ > 2, the factor is below -1: each step overshoots and ends farther away. So the *steepest* direction limits lr: lr <
#   2/λ_max.
# - In the *flattest* direction the factor is then at best 1 - 2·λ_min/λ_max, which is close to 1. It takes about λ_max/λ_min
#   steps to get anywhere.
#
# That ratio λ_max/λ_min is the *condition number*. The curvatures are the eigenvalues of the cost's second derivative.


# %%
def curvatures(X):
    """The eigenvalues of 2/n AᵀA, the second derivative of the cost; A is X with a column of ones for b."""
    A = np.column_stack([X, np.ones(len(X))])
    return np.linalg.eigvalsh(2 / len(A) * A.T @ A)


c = curvatures(X_raw)
print(f"curvatures from {c[0]:.1e} to {c[-1]:.1e}: condition number {c[-1] / c[0]:.0e}, largest step {2 / c[-1]:.1e}")

# %% [markdown]
# ### Exercise: how many steps?
#
# Given the curvatures and a learning rate, how many steps does it take until the error has shrunk to the fraction `share` of
# its initial size along *every* direction? If it never does, the answer is math.inf.


# %%
def steps_needed(curvatures, lr, share):
    """The smallest whole number n with |1 - lr·λ|ⁿ ≤ share for every λ of the array; share is between 0 and 1."""
    raise NotImplementedError


# %%
check(
    steps_needed,
    case("one direction: 0.9ⁿ", (np.array([1.0]), 0.1, 0.01), 44),
    case("the flattest is the slowest", (np.array([0.1, 1.0, 5.0]), 0.3, 0.001), 227),
    case("the steepest is the slowest", (np.array([0.5, 1.0, 6.5]), 0.3, 0.001), 135),
    case("it explodes", (np.array([0.1, 7.0]), 0.3, 0.001), math.inf),
    case("exactly there after two steps", (np.array([1.0]), 0.5, 0.25), 2),
    case("at the bottom after one step", (np.array([2.0, 2.0]), 0.5, 0.001), 1),
)

# %% [markdown]
# ## The repair: one scale for all
#
# Shift each column to mean 0 and scale it to standard deviation 1. The model can still express the same predictions, but now
# the valley is much rounder.
#
# ### Exercise: standardise
#
# Take mean and deviation from the *training* rows. Shift and scale new rows by the same numbers, not by their own: the weights
# were learnt for that scale, and a single new row has no deviation at all.


# %%
def standardise(train, new):
    """Return both arrays with each column shifted and scaled by the mean and the standard deviation of ``train``."""
    raise NotImplementedError


# %%
t, n = np.array([[1.0, 10.0], [3.0, 30.0]]), np.array([[2.0, 40.0]])
eight = np.array([[2.0], [4.0], [4.0], [4.0], [5.0], [5.0], [7.0], [9.0]])
check(
    standardise,
    case("two rows", (t, n), (np.array([[-1.0, -1.0], [1.0, 1.0]]), np.array([[0.0, 2.0]])), parts=("train", "new")),
    case("eight rows", (eight, eight[:1]), (StandardScaler().fit_transform(eight), np.array([[-1.5]])), parts=("train", "new")),
)

# %%
X = StandardScaler().fit_transform(X_raw)
c = curvatures(X)
print(f"condition number {c[-1] / c[0]:.0f}, largest step {2 / c[-1]:.2f}")
good, w, b = descend(X, y, lr=0.1, steps=2000)
print(f"after 2000 steps {good[-1]:.2f}; the best possible is {optimum:.2f}")

# %% [markdown]
# ## Three ways to the bottom
#
# 1. **Normal equations**: at the bottom the gradient is 0, so XᵀXw = Xᵀy. That is one linear system. But its condition number
#    is the square of X's, so it can lose twice as many digits.
# 2. **Least squares by an orthogonal method** works on X itself and avoids that.
# 3. **Gradient descent** is the slowest here. But it needs only gradients, so it works for every model.
#
# `models/classical/linear_regression.py` has all three. Compare them with our loop and with scikit-learn, on the same data:

# %%
fits = {"normal equations": lr.fit_normal_equations, "least squares": lr.fit_least_squares}
fits["gradient descent"] = lr.fit_gradient_descent
for name, fit in fits.items():
    begin = time.perf_counter()
    model = fit(X, y)
    ms = (time.perf_counter() - begin) * 1e3
    print(f"{name:17s} R² {lr.r_squared(y, model.predict(X)):.6f}   {ms:8.2f} ms   first weight {model.weight[0]:.5f}")
print(f"{'ours':17s} R² {lr.r_squared(y, X @ w + b):.6f}   {'':8s}      first weight {w[0]:.5f}")
print(f"{'scikit-learn':17s} R² {LinearRegression().fit(X, y).score(X, y):.6f}")
assert abs(lr.r_squared(y, X @ w + b) - best.score(X_raw, y)) < 1e-4

# %% [markdown]
# ## Optimisers: better steps from the same gradients
#
# Even the scaled valley is long, because some columns nearly repeat each other. Two ideas help.
#
# *Momentum* lets the gradients build up a velocity: v ← μ·v + g, and the step is lr·v. Along the valley all gradients point
# the same way, and speed builds up. Across it they alternate, and cancel.
#
# *Adam* gives every coordinate its own step: a running mean of its gradients, divided by the root of a running mean of their
# squares. So a coordinate with small gradients moves as far as one with large gradients.
#
# ### Exercise: momentum
#
# One step. Return the new parameter and the new velocity; leave the old ones as they are.


# %%
def momentum_step(p, g, velocity, lr, mu):
    """velocity ← mu·velocity + g, then p ← p - lr·velocity. Return (p, velocity)."""
    raise NotImplementedError


# %%
check(
    momentum_step,
    case("from rest", (1.0, 2.0, 0.0, 0.1, 0.9), (0.8, 2.0), parts=("p", "velocity")),
    case("moving", (np.array([1.0]), np.array([2.0]), np.array([5.0]), 0.1, 0.9), ([0.35], [6.5]), parts=("p", "velocity")),
    case("lr = 0.5, mu = 0.25", (1.0, 2.0, 4.0, 0.5, 0.25), (-0.5, 3.0), parts=("p", "velocity")),
)

# %% [markdown]
# ### Exercise: Adam
#
# m and v are running means of g and g². They start at 0 and are therefore too small at first: after one step m is only (1 -
# β₁)·g. Dividing by 1 - β₁ᵗ (and v by 1 - β₂ᵗ) corrects exactly that. Then p moves by lr times m̂/(√v̂ + eps), where the hats
# are the corrected means. This is algorithm 1 of Kingma and Ba (2015). The check compares you with `minitorch.optim.Adam`.


# %%
def adam_step(p, g, m, v, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):
    """One step of Adam, number t (from 1). Return (p, m, v)."""
    raise NotImplementedError


# %%
def library_adam(p, gradients, lr=0.1, betas=(0.9, 0.999), eps=1e-8):
    """p, m and v after the library's steps with these gradients."""
    parameter = minitorch.tensor(p, requires_grad=True)
    adam = optim.Adam([parameter], lr=lr, betas=betas, eps=eps)
    for g in gradients:
        parameter.grad = minitorch.tensor(g)
        adam.step()
    state = adam.state[parameter]
    return parameter.detach().numpy().copy(), state["exp_avg"].numpy().copy(), state["exp_avg_sq"].numpy().copy()


p0, gs = np.array([1.0, -2.0]), [np.array([0.5, 30.0]), np.array([-0.2, 10.0])]
one, two, other = library_adam(p0, gs[:1]), library_adam(p0, gs), library_adam(p0, gs[:1], 0.3, (0.5, 0.8), 0.5)
usual_slips = {
    "with eps inside the root": (p0 - 0.3 * gs[0] / np.sqrt(gs[0] ** 2 + 0.5), *other[1:]),
    "without dividing m and v by 1 - βᵗ": (p0 - 0.3 * other[1] / (np.sqrt(other[2]) + 0.5), *other[1:]),
}
check(
    adam_step,
    case("step 1", (p0, gs[0], np.zeros(2), np.zeros(2), 1), one, parts=("p", "m", "v")),
    case("step 2", (one[0], gs[1], one[1], one[2], 2), two, parts=("p", "m", "v")),
    case(
        "other numbers, a large eps",
        (p0, gs[0], np.zeros(2), np.zeros(2), 1, 0.3, 0.5, 0.8, 0.5),
        other,
        parts=("p", "m", "v"),
        slips=usual_slips,
    ),
)


# %% [markdown]
# Now the library's optimisers on our data, each with a learning rate that suits it. We know the lowest possible cost, so we can
# print how far above it each one ends.


# %%
def race(make, steps=400):
    A, target = minitorch.tensor(X), minitorch.tensor(y)
    w = minitorch.zeros(10, dtype=minitorch.float64, requires_grad=True)
    b = minitorch.zeros((), dtype=minitorch.float64, requires_grad=True)
    optimizer, costs = make([w, b]), []
    for _ in range(steps):
        loss = ((A @ w + b - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        costs.append(loss.item() - optimum)
    return costs


runs = {
    "SGD": race(lambda p: optim.SGD(p, lr=0.2)),
    "SGD with momentum": race(lambda p: optim.SGD(p, lr=0.2, momentum=0.9)),
    "Adam": race(lambda p: optim.Adam(p, lr=5.0)),
}
for name, costs in runs.items():
    print(f"{name:18s} {costs[-1]:10.4f} above the best after 400 steps")

# %% [markdown]
# ## The picture
#
# Left: two columns alone, body mass and blood pressure, unscaled. The valley is narrow, and with a step near the largest
# possible the path jumps from side to side. Middle: the same two, scaled, with a moderate step. Right: the race of the
# optimisers.

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 3.6))
for axis, A, share, title in ((axes[0], X_raw, 0.95, "unscaled"), (axes[1], X, 0.3, "scaled")):
    A = A[:, [2, 3]] - A[:, [2, 3]].mean(axis=0)
    H, target = 2 / len(A) * A.T @ A, np.linalg.lstsq(A, y - y.mean(), rcond=None)[0]
    step = share * 2 / np.linalg.eigvalsh(H)[-1]
    path = [target + np.array([1.0, 0.1]) * np.abs(target).max()]
    for _ in range(15):
        path.append(path[-1] - step * H @ (path[-1] - target))
    path, reach = np.array(path), 1.6 * np.abs(target).max()
    u, v = np.meshgrid(np.linspace(-reach, reach, 80) + target[0], np.linspace(-reach, reach, 80) + target[1])
    d = np.stack([u - target[0], v - target[1]])
    axis.contour(u, v, np.einsum("iab,ij,jab->ab", d, H, d), levels=12, colors=GREY, linewidths=0.7)
    axis.plot(*path.T, "o-", color=RED if title == "unscaled" else BLUE, markersize=3)
    axis.set(title=title, xlabel="weight of body mass", ylabel="weight of blood pressure")
for (name, costs), colour in zip(runs.items(), (GREY, ORANGE, GREEN), strict=True):
    axes[2].semilogy(costs, color=colour, label=name)
axes[2].set(xlabel="step", title="Cost above the best possible")
axes[2].legend(fontsize=8)
show(figure, "04_linear_regression")

# %% [markdown]
# ## Read next
#
# - `models/classical/linear_regression.py`, from `objective` to `fit_gradient_descent`: three fits in one file, and how its
#   gradient descent chooses a step.
# - `minitorch/optim/sgd.py`, then `minitorch/optim/adam.py`: your two exercises, in place and without temporaries.
# - On your own table: `minitorch linear-regression --csv FILE --target COLUMN`.
# - Then lesson 5, `05_numbers.py`.
