# %% [markdown]
# # 4. Linear regression three ways, and optimisers
#
# The oldest model there is: a weighted sum. It has an exact solution, so here we can see what gradient descent, the method
# behind every large model, does right and where it struggles. 442 people with diabetes; from age, body mass, blood pressure
# and seven blood values, predict how far the disease has gone a year later.

# %%
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
from models import linear_regression as lr

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
# It explodes. With a step a thousand times smaller it explodes more slowly; with one that does not explode, it crawls:

# %%
crawling, _, _ = descend(X_raw, y, lr=1e-5, steps=2000)
best = LinearRegression().fit(X_raw, y)
optimum = np.mean((best.predict(X_raw) - y) ** 2)
print(f"after 2000 small steps {crawling[-1]:.0f}, the best possible is {optimum:.0f}, the mean alone gives {y.var():.0f}")

# %% [markdown]
# ## Why: the valley
#
# The cost is a parabola in every direction, and the directions differ. Cholesterol is a number near 190, so its weight has an
# enormous slope; another column is near 4. Along a direction of curvature λ a step of size lr multiplies the error by
# (1 - lr·λ). If lr·λ > 2, that factor is below -1: each step overshoots by more than it came from. So the steepest direction
# dictates lr < 2/λ_max, and the flattest then needs about λ_max/λ_min steps. That ratio is the *condition number*.


# %%
def curvatures(X):
    """The eigenvalues of the cost's second derivative, 2/n AᵀA, where A is X with a column of ones for b."""
    A = np.column_stack([X, np.ones(len(X))])
    return np.linalg.eigvalsh(2 / len(A) * A.T @ A)


c = curvatures(X_raw)
print(f"curvatures from {c[0]:.1e} to {c[-1]:.1e}: condition number {c[-1] / c[0]:.0e}, largest step {2 / c[-1]:.1e}")

# %% [markdown]
# ### Exercise: the largest step
#
# For a cost mean((Xw - y)²), without b. Return the learning rate above which gradient descent explodes.


# %%
def largest_step(X):
    """2/λ_max of the second derivative of mean((Xw - y)²) with respect to w; X is an array (n, d)."""
    raise NotImplementedError


# %%
line = np.array([[1.0], [2.0], [3.0]])
plane = np.array([[1.0, 0.0], [0.0, 3.0], [2.0, 1.0], [1.0, 1.0]])
check(
    largest_step,
    case("one column", (line,), 3 / 14),
    case("two columns", (plane,), 4 / np.linalg.eigvalsh(plane.T @ plane).max()),
    hints=[
        "The second derivative of mean((Xw - y)²) is the matrix 2/n XᵀX.",
        "np.linalg.eigvalsh gives the eigenvalues of a symmetric matrix in rising order.",
    ],
)

# %% [markdown]
# ## The repair: one scale for all
#
# Shift each column to mean 0 and stretch it to standard deviation 1. The model can express the same, but the valley becomes
# rounder.
#
# ### Exercise: standardise
#
# Mean and deviation come from the *training* rows; new rows are treated with the same numbers.


# %%
def standardise(train, new):
    """Return both arrays with each column shifted and scaled by the mean and the standard deviation of ``train``."""
    raise NotImplementedError


# %%
t, n = np.array([[1.0, 10.0], [3.0, 30.0]]), np.array([[2.0, 40.0]])
check(
    standardise,
    case("two rows", (t, n), (np.array([[-1.0, -1.0], [1.0, 1.0]]), np.array([[0.0, 2.0]])), parts=("train", "new")),
    hints=["Means along the rows are .mean(axis=0).", "(x - mean) / deviation, twice, with the numbers of train."],
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
# 1. **Normal equations**: at the bottom the gradient is 0, so XᵀXw = Xᵀy. One solve. XᵀX squares the condition number.
# 2. **Least squares by an orthogonal method**: works on X itself and loses no digits.
# 3. **Gradient descent**: needs only gradients, so it works for every model. That is why it is in this course.
#
# `models/linear_regression.py` has all three. Ours and theirs, on the same data:

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
# Even the scaled valley is long: some columns nearly repeat each other. Two ideas help.
#
# *Momentum* keeps a running velocity b ← μb + g and moves by lr·b. Along the valley all gradients agree, and speed builds up.
# Across it they alternate, and cancel.
#
# *Adam* gives every coordinate its own step: the mean gradient over the root of the mean square gradient.
#
# ### Exercise: momentum
#
# One step. Return the new parameter and the new velocity.


# %%
def momentum_step(p, g, velocity, lr, mu):
    """velocity ← mu·velocity + g, then p ← p - lr·velocity. Return (p, velocity)."""
    raise NotImplementedError


# %%
check(
    momentum_step,
    case("from rest", (1.0, 2.0, 0.0, 0.1, 0.9), (0.8, 2.0), parts=("p", "velocity")),
    case("moving", (np.array([1.0]), np.array([2.0]), np.array([5.0]), 0.1, 0.9), ([0.35], [6.5]), parts=("p", "velocity")),
    hints=["First the velocity, then the parameter, with the new velocity."],
)

# %% [markdown]
# ### Exercise: Adam
#
# m and v are running means of g and g². They start at 0 and are therefore too small at first; dividing by 1 - βᵗ repairs that.
# Kingma and Ba (2015), algorithm 1. The check compares you with `minitorch.optim.Adam`.


# %%
def adam_step(p, g, m, v, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):
    """One step of Adam, number t (from 1). Return (p, m, v)."""
    raise NotImplementedError


# %%
def library_adam(p, gradients):
    """p, m and v after the library's steps with these gradients."""
    parameter = minitorch.tensor(p, requires_grad=True)
    adam = optim.Adam([parameter], lr=0.1)
    for g in gradients:
        parameter.grad = minitorch.tensor(g)
        adam.step()
    state = adam.state[parameter]
    return parameter.detach().numpy().copy(), state["exp_avg"].numpy().copy(), state["exp_avg_sq"].numpy().copy()


p0, gs = np.array([1.0, -2.0]), [np.array([0.5, 30.0]), np.array([-0.2, 10.0])]
one, two = library_adam(p0, gs[:1]), library_adam(p0, gs)
check(
    adam_step,
    case("step 1", (p0, gs[0], np.zeros(2), np.zeros(2), 1), one, parts=("p", "m", "v")),
    case("step 2", (one[0], gs[1], one[1], one[2], 2), two, parts=("p", "m", "v")),
    hints=[
        "m = β₁m + (1 - β₁)g and v = β₂v + (1 - β₂)g², as new arrays.",
        "m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ); these are used, but not returned.",
        "p = p - lr · m̂ / (√v̂ + eps). In step 1 that is lr in every coordinate, whatever the size of g.",
    ],
)


# %% [markdown]
# The library's optimisers on our data, each with a step that suits it. What counts is how far the cost is from the best.


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
# Left: two columns alone, body mass and blood pressure, unscaled: a narrow valley, and the path jumps from side to side.
# Middle: the same two, scaled. Right: the race.

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 3.6))
for axis, A, lr_, title in ((axes[0], X_raw, 2.0, "unscaled"), (axes[1], X, 0.35, "scaled")):
    A = A[:, [2, 3]] - A[:, [2, 3]].mean(axis=0)
    H, target = 2 / len(A) * A.T @ A, np.linalg.lstsq(A, y - y.mean(), rcond=None)[0]
    step = lr_ if title == "scaled" else 1.9 / np.linalg.eigvalsh(H)[-1]
    path = [target + np.array([1.0, 1.0]) * np.abs(target).max()]
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
# - `models/linear_regression.py`, from `objective` to `fit_gradient_descent`: three fits under one roof, and how its gradient
#   descent chooses a step.
# - `minitorch/optim/sgd.py`, then `minitorch/optim/adam.py`: your two exercises, in place and without temporaries.
# - On your own table: `minitorch linear-regression --csv FILE --target COLUMN`.
# - Then lesson 5, `05_numbers.py`.
