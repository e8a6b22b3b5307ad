# %% [markdown]
# # 6. Modules and a training loop
#
# 1797 handwritten digits, 8 × 8 pixels each, ten classes. We build a network out of modules, train it, and learn three habits
# that catch most mistakes: know the loss to expect before training, overfit one batch, and watch rows the model has not seen.

# %%
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split

import minitorch
import minitorch.nn.functional as F
from minitorch import nn, optim
from minitorch.data import DataLoader, TensorDataset

# %%
digits = load_digits()
pixels = (digits.data / 16).astype(np.float32)  # 0 to 1
split = train_test_split(pixels, digits.target, test_size=0.25, random_state=0, stratify=digits.target)
X_train, X_test, y_train, y_test = (minitorch.tensor(part) for part in split)
print("train", X_train.shape, " test", X_test.shape)

# %% [markdown]
# ## Something goes wrong
#
# Weights have to start somewhere. Zero looks neutral. So take two layers with a ReLU between them (which turns negative numbers
# into 0), set all weights to 0, and do fifty steps of gradient descent:


# %%
def train_from(weights, steps=50, lr=0.5):
    """Losses of a network ReLU(x A + a) B + b on all training rows."""
    A, a, B, b = (minitorch.tensor(w, dtype=minitorch.float32, requires_grad=True) for w in weights)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(F.relu(X_train @ A + a) @ B + b, y_train)
        for p in (A, a, B, b):
            p.grad = None
        loss.backward()
        with minitorch.no_grad():
            for p in (A, a, B, b):
                p -= lr * p.grad
        losses.append(loss.item())
    return losses


def layers(scale1, scale2, hidden=64):
    random = np.random.default_rng(0)
    first, second = random.standard_normal((64, hidden)), random.standard_normal((hidden, 10))
    return scale1 * first, np.zeros(hidden), scale2 * second, np.zeros(10)


flat = train_from(layers(0, 0))
print(f"loss {flat[0]:.4f} -> {flat[-1]:.4f};  ln 10 = {math.log(10):.4f}")

# %% [markdown]
# A flat loss, and a telling number: ln 10 = 2.3026 is the loss of guessing uniformly among ten classes, our
# [baseline](../docs/glossary.md), because -log(1/10) = ln 10. The network has learnt *nothing*. Why? The gradient on its way
# back to A is multiplied by B, which is 0. And the gradient of B is multiplied by the hidden numbers, which are 0 because A is.
# Only b can move, and it can only learn the frequency of each class. Equal weights other than 0 would be little better: all 64
# neurons would compute the same and get the same gradient, forever.
#
# So start at random. How large? Let us see how the size of the numbers changes in a forward pass through ten layers.

# %%
for name, scale in (("1", 1.0), ("0.01", 0.01), ("√(2/n)", math.sqrt(2 / 64))):
    h = X_train[:200]
    with minitorch.no_grad():
        for layer in range(10):
            h = F.relu(h @ (scale * minitorch.tensor(np.random.default_rng(layer).standard_normal((64, 64)).astype(np.float32))))
    print(f"weights of size {name:7s}: numbers of size {h.std().item():.1e} after ten layers")

# %% [markdown]
# Weights that are too large make the numbers explode, weights that are too small make them vanish, and in between the size
# stays. Why √(2/n)? Each number of a layer is a sum of n terms, weight times input. With weights of variance s² and inputs of
# mean square q, the sum has variance n·s²·q. The ReLU then sets the negative half to 0, which leaves the mean square n·s²·q/2.
# That is q again if s² = 2/n (He et al., 2015).
#
# ### Exercise: initial weights
#
# Return a weight of shape (out, in) as a NumPy array, drawn from `random.standard_normal`, so that a layer followed by a ReLU
# keeps the size of its inputs.


# %%
def initial_weight(random, inputs, outputs):
    """Normal numbers of the right standard deviation, shape (outputs, inputs)."""
    raise NotImplementedError


# %%
def size_of(function):
    """Shape and standard deviation of the drawn numbers, and the share less than one deviation from 0."""

    def ask(inputs, outputs):
        w = np.asarray(function(np.random.default_rng(1), inputs, outputs))
        return w.shape, float(w.std()), float((abs(w) < w.std()).mean())

    return ask


parts, normal = ("shape", "standard deviation", "share within one deviation of 0"), math.erf(math.sqrt(1 / 2))
check(
    initial_weight,
    case("64 to 400", (64, 400), ((400, 64), math.sqrt(2 / 64), normal), parts, tolerance=0.02),
    case("1000 to 20", (1000, 20), ((20, 1000), math.sqrt(2 / 1000), normal), parts, tolerance=0.02),
    through=size_of,
)

# %%
healthy = train_from(layers(math.sqrt(2 / 64), math.sqrt(1 / 64)))
print(f"loss {healthy[0]:.4f} -> {healthy[-1]:.4f}")

# %% [markdown]
# ## A module
#
# A larger model has hundreds of weights; nobody wants to list A, a, B, b everywhere. A *module* is a function that owns its
# parameters. Assigning a Parameter or another module to an attribute registers it, and `parameters()` then finds all of them,
# however deeply nested. Here is a layer by hand.


# %%
class MyLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(minitorch.rand(outputs, inputs) * 2 * bound - bound)
        self.bias = nn.Parameter(minitorch.zeros(outputs))

    def forward(self, x):  # (B, inputs) -> (B, outputs)
        return x @ self.weight.T + self.bias


minitorch.manual_seed(0)
mine = nn.Sequential(MyLinear(64, 32), nn.ReLU(), MyLinear(32, 10))
for name, p in mine.named_parameters():
    print(f"{name:10s} {p.shape}")

# %% [markdown]
# The library's `nn.Linear` uses the same names, so we can load its weights into ours. Then both must compute the same.

# %%
theirs = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
mine.load_state_dict(theirs.state_dict())
difference = (mine(X_test) - theirs(X_test)).abs().max().item()
print(f"largest difference between our layer and the library's: {difference:.1e}")
assert difference < 1e-5

# %% [markdown]
# ## The loop
#
# The inner loop of `train` below has five lines, and every training loop has them, in this order: scores, loss, zero_grad,
# backward, step. If `zero_grad` is missing, the gradients of all steps add up (lesson 3). Nothing crashes then; the model
# just learns badly.


# %%
def share_right(model, X, y):
    model.eval()  # dropout off
    with minitorch.no_grad():  # no graph
        right = (model(X).argmax(-1) == y).float().mean().item()
        loss = F.cross_entropy(model(X), y).item()
    model.train()
    return right, loss


def train(model, epochs, lr=3e-3, rows=None):
    loader = DataLoader(TensorDataset(X_train[:rows], y_train[:rows]), batch_size=64, shuffle=True)
    optimizer = optim.AdamW(model.parameters(), lr=lr)
    history = []
    for _ in range(epochs):
        for X, y in loader:
            scores = model(X)
            loss = F.cross_entropy(scores, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        history.append((share_right(model, X_train[:rows], y_train[:rows])[1], *share_right(model, X_test, y_test)))
    return history


# %% [markdown]
# **Habit one: know the first number.** An untrained network with ten classes should have a loss near ln 10. If it is much
# larger, the scores start too large; if it is smaller, the answer leaks into the input.
#
# **Habit two: overfit one batch.** A network that cannot learn 64 rows by heart has a bug, not a lack of data.

# %%
minitorch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
print(f"untrained: loss {share_right(model, X_test, y_test)[1]:.3f}, ln 10 = {math.log(10):.3f}")
history = train(model, epochs=150, rows=64)
print(f"one batch, 150 steps: loss {history[-1][0]:.4f} on it, but {history[-1][2]:.3f} on the test rows")

# %% [markdown]
# **Habit three: watch rows that it has not seen.** From 64 rows the network learnt those rows by heart, not digits: its loss on
# the test rows is far larger. So take all rows, and a larger network. We train it twice, without and with *dropout*. Dropout
# silences a random part of the neurons at every step, so that none can rely on another:

# %%
minitorch.manual_seed(0)
plain = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
minitorch.manual_seed(0)
dropped = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.4), nn.Linear(256, 10))
begin = time.perf_counter()
histories = {"plain": train(plain, epochs=30), "with dropout": train(dropped, epochs=30)}
seconds = time.perf_counter() - begin
for name, history in histories.items():
    print(
        f"{name:13s} train loss {history[-1][0]:.4f}, test loss {history[-1][2]:.4f}, {history[-1][1]:.1%} of the test rows right"
    )

# %% [markdown]
# On so small and easy a data set dropout changes little; it helps larger models. To know whether these numbers are good, we
# need a baseline: how well does a simple method do?

# %%
simple = LogisticRegression(max_iter=2000).fit(split[0], split[2])
print(f"logistic regression: {simple.score(split[1], split[3]):.1%};  both networks took {seconds:.1f} s for 60 epochs together")

# %% [markdown]
# ### Exercise: clip the gradient
#
# One strange batch can have a huge gradient and throw a model far away. The usual seat belt: if the norm (the length) of *all*
# gradients together is more than `longest`, scale them all down until it is `longest`. The direction stays. The check compares
# you with the library's `nn.utils.clip_grad_norm_`.


# %%
def clip(gradients, longest):
    """Return the list of arrays, scaled so that the norm of all of them together is at most ``longest``."""
    raise NotImplementedError


# %%
g1, g2 = np.array([3.0, 0.0]), np.array([[4.0]])
both = np.array([3.0, 0.0, 4.0])


def joined(function):
    """All returned arrays in one line."""
    return lambda gradients, longest: np.concatenate([np.ravel(g) for g in function(gradients, longest)])


def library_clip(gradients, longest):
    """The gradients of some parameters after nn.utils.clip_grad_norm_."""
    parameters = [nn.Parameter(minitorch.zeros_like(minitorch.tensor(g))) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = minitorch.tensor(g)
    nn.utils.clip_grad_norm_(parameters, longest)
    return np.concatenate([p.grad.numpy().ravel() for p in parameters])


check(
    clip,
    case("too long: 5, at most 1", ([g1, g2], 1.0), both / 5),
    case("short enough: left alone", ([g1, g2], 10.0), both),
    case("all zero", ([0 * g1], 1.0), np.zeros(2)),
    case("as the library does it", ([g1 + 7, g2 - 9], 2.5), library_clip([g1 + 7, g2 - 9], 2.5)),
    through=joined,
)

# %% [markdown]
# ### Exercise: which digit is mistaken for which?
#
# The accuracy hides what kind of mistakes a model makes. A *confusion matrix* shows them: row i, column j counts how many
# digits i were read as j.


# %%
def confusion(scores, labels, classes):
    """Counts of shape (classes, classes) as an array; scores (n, classes), labels (n,), both NumPy arrays."""
    raise NotImplementedError


# %%
dropped.eval()
test_scores = dropped(X_test).detach().numpy()
check(
    confusion,
    case("three rows", (np.array([[2.0, 1], [0, 1], [5, 1]]), np.array([0, 1, 1]), 2), np.array([[1.0, 0], [1, 1]])),
    case(
        "all read as 1", (np.array([[0.0, 1, 0]] * 4), np.array([2, 1, 2, 2]), 3), np.array([[0.0, 0, 0], [0, 1, 0], [0, 3, 0]])
    ),
    case("our network", (test_scores, y_test.numpy(), 10), confusion_matrix(y_test.numpy(), test_scores.argmax(axis=1)) * 1.0),
)

# %% [markdown]
# ## The picture
#
# Left: the flat loss from the beginning, and the healthy one. Middle: training and test loss; the gap between them shows how
# much was learnt by heart. Right: test digits that the network with dropout misreads. Would you do better?

# %%
figure = plt.figure(figsize=(12, 3.6))
left, middle, right = figure.subplots(1, 3)
left.plot(flat, color=RED, label="start at 0")
left.plot(healthy, color=BLUE, label="start at √(2/n)")
left.axhline(math.log(10), color=GREY, linestyle=":", label="ln 10: guessing")
left.set(xlabel="step", ylabel="loss", title="Fifty steps", ylim=(0, 2.6))
left.legend(fontsize=8)
for (name, history), colour in zip(histories.items(), (ORANGE, GREEN), strict=True):
    middle.semilogy([h[0] for h in history], color=colour, linestyle="--", label=f"{name}: train")
    middle.semilogy([h[2] for h in history], color=colour, label=f"{name}: test")
middle.set(xlabel="epoch", ylabel="loss", title="With dropout and without")
middle.legend(fontsize=8)

# %%
guesses = dropped(X_test).argmax(-1).numpy()
missed = np.flatnonzero(guesses != y_test.numpy())[:8]
sheet = np.zeros((2 * 9, 4 * 9))
for k, i in enumerate(missed):
    row, column = divmod(k, 4)
    sheet[row * 9 : row * 9 + 8, column * 9 : column * 9 + 8] = X_test.numpy()[i].reshape(8, 8)
    right.text(column * 9, row * 9 + 8.2, f"{y_test.numpy()[i]}, read as {guesses[i]}", fontsize=7, color=RED, va="center")
right.imshow(sheet, cmap="Greys")
right.set(title="Misread", xticks=[], yticks=[])
right.grid(visible=False)
right.spines[["left", "bottom"]].set_visible(False)
show(figure, "06_training")

# %% [markdown]
# ## Read next
#
# - `minitorch/nn/module.py`: `__setattr__` is the registration, everything else is a walk over the tree.
# - `minitorch/nn/layers.py`: `Linear` in a few lines. `minitorch/nn/init.py`: the sizes of initial weights.
# - `minitorch/data/loader.py`: where the batches come from. `minitorch/nn/utils/parameters.py`: your clipping.
# - Then lesson 7, `07_words.py`.
