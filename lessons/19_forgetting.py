# %% [markdown]
# # 19. Forgetting: one task after another
#
# A person who learns French does not unlearn English. A network does, as soon as the English lessons end. This lesson shows
# where the old knowledge goes, which weights held it, and three ways to keep it. Its question in between: *what is the network
# told when it is tested?* Figures mean nothing without the answer.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import minitorch
import minitorch.nn.functional as F
from minitorch import nn, optim
from models.continual.ewc import penalty
from models.continual.fisher import fisher
from models.continual.metrics import transfer
from models.continual.replay import reservoir

# %% [markdown]
# The digits of lesson 6, read by three scanners. The second and the third have their 64 wires in another order, so to us their
# pictures look like noise; a network never knew which pixel lies where, and learns from one scanner as easily as from another.

# %%
digits = load_digits()
pixels = (digits.data / 16).astype(np.float32)  # 0 to 1
X, X_test, Y, Y_test = train_test_split(pixels, digits.target, test_size=0.25, random_state=0, stratify=digits.target)
T = 3  # tasks: one for each scanner
WIRES = [np.arange(64), *(np.random.default_rng(t).permutation(64) for t in range(1, T))]


def seen_by(x, task):
    """Rows of pixels (n, 64) as the scanner ``task`` delivers them, a Tensor; task may be a number or (n,) numbers."""
    return minitorch.tensor(np.take_along_axis(x, np.broadcast_to(np.array(WIRES)[task], x.shape), axis=1))


class Network(nn.Module):
    def __init__(self, outputs=10):
        super().__init__()
        self.hidden, self.head = nn.Linear(64, 64), nn.Linear(64, outputs)

    def forward(self, x):
        return self.head(F.relu(self.hidden(x)))  # (B, 64) -> (B, outputs)


# %% [markdown]
# ## Something goes wrong
#
# Learn the digits of scanner A. Then the scanner is exchanged: go on with the same network and scanner B, then with C. The
# question stays the same: which digit?


# %%
def train(model, tasks, steps=200, seed=0):
    random, optimizer = np.random.default_rng(seed), optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(steps):
        rows, task = random.integers(0, len(X), 32), random.choice(tasks, 32)
        loss = F.cross_entropy(model(seen_by(X[rows], task)), minitorch.tensor(Y[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def right(model):
    """The share of right test digits of each scanner."""
    with minitorch.no_grad():
        return [float((model(seen_by(X_test, t)).argmax(-1).numpy() == Y_test).mean()) for t in range(T)]


minitorch.manual_seed(0)
network, together = Network(), Network()
for task, name in enumerate("ABC"):
    train(network, [task])
    print(f"after scanner {name}: right on A {right(network)[0]:.0%}, B {right(network)[1]:.0%}, C {right(network)[2]:.0%}")
train(together, [0, 1, 2], steps=600)
print(f"all in one mix:  right on A {right(together)[0]:.0%}, B {right(together)[1]:.0%}, C {right(together)[2]:.0%}")

# %% [markdown]
# Each new scanner erases more of those before it. It is not a lack of room: the same network learns all three scanners if their
# digits come mixed. But while only B was shown, nothing in the loss spoke for A, and the weights went where B wanted them.
#
# ## Three settings
#
# What was the network told when it was tested? Only the picture, not the scanner. There are three settings, and figures of one
# say nothing about another (van de Ven and Tolias, 2019):
#
# - *domain*: nothing is told, and all tasks share their labels, and so their outputs: "which digit?" has ten of them;
# - *task*: the scanner is told, and each has ten outputs of its own, of which only those may answer;
# - *class*: nothing is told, and the network must say which digit of which scanner: thirty outputs, of which all those may
#   answer that belong to scanners learnt so far.
#
# ### Exercise: which outputs may answer?
#
# `own` is a table (tasks, outputs) of bools: the outputs that task t uses. `task` holds the number of each example's task, and
# `seen` says how many tasks have been learnt: those with the numbers 0 to seen - 1.


# %%
def may_answer(setting, own, task, seen):
    """bool (examples, outputs): which outputs may answer each example, in the setting "task", "domain" or "class"."""
    raise NotImplementedError


# %%
pairs = np.repeat(np.eye(3, dtype=bool), 2, axis=1)  # three tasks of two outputs
T0, F0 = [True] * 2, [False] * 2
answers_right = check(
    may_answer,
    case("task: each its own", ("task", pairs, np.array([2, 0]), 3), np.array([F0 + F0 + T0, T0 + F0 + F0])),
    case(
        "class, after two of three tasks",
        ("class", pairs, np.array([1, 0]), 2),
        np.array([T0 + T0 + F0] * 2),
        slips={
            "if tasks that have not been learnt may answer, too": np.ones((2, 6), bool),
            "if only the newest task may answer": np.array([F0 + T0 + F0] * 2),
            "if the task is told: that is another setting": np.array([F0 + T0 + F0, T0 + F0 + F0]),
        },
    ),
    case("class, after the first", ("class", pairs, np.array([0]), 1), np.array([T0 + F0 + F0])),
    case("domain: both outputs belong to all", ("domain", np.ones((3, 2), bool), np.array([2, 1]), 1), np.ones((2, 2), bool)),
    case("task: one that has not been learnt", ("task", pairs, np.array([2]), 1), np.array([F0 + F0 + T0])),
)

# %% [markdown]
# ## Which weights mattered?
#
# The network has 4,810 weights, and the first task does not need all of them equally. Let θ* be the weights after the first
# task. Move them a little, by δ, and see how far the answers p(y|x) move from what they were (the Kullback-Leibler divergence).
# At δ = 0 it is 0, its smallest value, so its slope is 0 too, and what counts is the curvature:
#
#     KL(p_θ* ‖ p_θ*+δ) ≈ ½ Σ_ij δ_i F_ij δ_j,      F = mean over x of Σ_y p(y|x) (∂ log p(y|x)/∂θ) (∂ log p(y|x)/∂θ)ᵀ
#
# F is the *Fisher information*. It has a row and a column for each weight, too large to keep, so only its diagonal is used: one
# number per weight. Large: the answers hang on this weight. 0: nobody would notice a change.
#
# Note that y runs over *all* answers, each weighed by the probability that the model gives it. The labels do not occur.
#
# ### Exercise: the diagonal


# %%
def fisher_diagonal(log_p, xs, parameters):
    """For each parameter the mean over xs of Σ_y p(y|x) (∂ log p(y|x)/∂θ)², in a list of arrays of the parameters' shapes.

    log_p(x) is a Tensor (classes,) of log-probabilities; minitorch.autograd.grad gives the gradients of one of its elements.
    """
    raise NotImplementedError


# %% [markdown]
# The check asks for a logistic regression of two weights, and for a softmax with three classes, weights and a bias.


# %%
def of_models(f):
    def asked(w, points):
        w = minitorch.tensor(w, requires_grad=True)
        if w.ndim == 1:  # σ(w·x) and 1 - σ(w·x)
            parameters = [w]
            log_p = lambda x: F.log_softmax(minitorch.stack([(w * x).sum(), (w * x).sum() * 0]), dim=-1)  # noqa: E731
        else:  # softmax(w x + b), with b = 0
            parameters = [w, minitorch.zeros(len(w), dtype=w.dtype, requires_grad=True)]
            log_p = lambda x: F.log_softmax(w @ x + parameters[1], dim=-1)  # noqa: E731
        found = f(log_p, [minitorch.tensor(x) for x in points], parameters)
        return np.concatenate([np.asarray(getattr(F_i, "array", F_i)).ravel() for F_i in found])

    return asked


def exact(log_p, xs, parameters):
    named = dict(enumerate(parameters))
    return list(fisher(lambda x: log_p(x)[None], ((x, [0]) for x in xs), named, "exact", None).values())


points, three = np.array([[1.0, 2.0], [-1.0, 0.5]]), np.array([[0.4, 0.1], [-0.3, 0.8], [0.0, -0.6]])
fisher_right = check(
    fisher_diagonal,
    case(
        "two points",
        (np.array([0.5, -0.25]), points),
        np.array([0.238546, 0.528386]),
        slips={
            "if the mean gradient is squared: over all answers it is 0": np.zeros(2),
            "if the answers are not weighed by their probabilities": np.array([0.522908, 1.068227]),
        },
    ),
    case("one point, unsure", (np.zeros(2), points[:1]), np.array([0.25, 1.0])),
    case("one point, nearly sure", (np.array([4.0, 2.0]), points[:1]), np.array([0.000335, 0.001341]), tolerance=1e-6),
    case("three classes, weights and a bias", (three, points), of_models(exact)(three, points)),
    through=of_models,
)

# %% [markdown]
# Look at the cases "unsure" and "nearly sure". A model that is nearly sure of its answers has a tiny Fisher information: small
# changes of the weights hardly move a probability of nearly 1. We shall meet this again.
#
# ## Elastic weight consolidation
#
# Now tie each weight to its old value with a spring, as stiff as its Fisher information (Kirkpatrick et al., 2017):
#
#     L(θ) = the new task's loss + λ/2 Σ_t Σ_i F_t,i (θ_i - θ*_t,i)²
#
# The sum has a term for each old task t, with its own F and θ*. Weights that did not matter are free to learn the new task.
#
# ### Exercise: the penalty
#
# It is a part of the loss, so use Tensor operations: the check asks for the gradient, too.


# %%
def ewc_penalty(θ, terms, λ):
    """λ/2 Σ_t Σ_i F_t,i (θ_i - θ*_t,i)², a Tensor. θ: list of Tensors; terms: for each task a pair of lists (F, θ*)."""
    raise NotImplementedError


# %%
def with_gradient(f):
    def asked(values, terms, λ):
        θ = [minitorch.tensor(v, requires_grad=True) for v in values]
        value = f(θ, [tuple([minitorch.tensor(a) for a in part] for part in term) for term in terms], λ)
        gradients = minitorch.autograd.grad(value, θ)
        return value.item(), np.concatenate([g.numpy().ravel() for g in gradients])

    return asked


now = [np.array([[1.2, -0.5]]), np.array([5.0])]
terms = [([np.array([[0.5, 2.0]]), np.zeros(1)], [np.array([[1.0, -1.0]]), np.full(1, 2.0)])]
later = [([np.array([[1.0, 0.0]]), np.full(1, 0.25)], [np.array([[1.1, -0.8]]), np.ones(1)])]
both = ("the penalty", "its gradient")
penalty_right = check(
    ewc_penalty,
    case(
        "one old task",
        (now, terms, 10.0),
        (2.6, np.array([1.0, 10.0, 0.0])),
        parts=both,
        slips={"without the ½": (5.2, np.array([2.0, 20, 0])), "if F is squared, too": (5.05, np.array([0.5, 20, 0]))},
    ),
    case(
        "two old tasks",
        (now, terms + later, 2.0),
        (4.53, np.array([0.4, 2.0, 2.0])),
        parts=both,
        slips={
            "from the last task alone": (4.01, np.array([0.2, 0, 2])),
            "from the first task alone": (0.52, np.array([0.2, 2, 0])),
        },
    ),
    through=with_gradient,
)

# %% [markdown]
# ## Replay
#
# The simplest cure: keep a few old examples, and mix them into each batch. Which ones, if the examples pass one by one and
# nobody knows how many will come? A *reservoir* of M places (Vitter, 1985): the n-th example takes a free place if there is
# one. After that it is kept with probability M/n, in a place chosen at random, whose example goes. Then each of the n examples
# seen so far is in the memory with the same probability, M/n.
#
# ### Exercise: a place in the reservoir


# %%
def place_for(n, size, random):
    """The place (0 to size - 1) in a reservoir of ``size`` that the n-th example (n = 1, 2, ...) takes; None: it is not kept.

    ``random`` is a np.random.Generator. Free places are taken in their order.
    """
    raise NotImplementedError


# %%
def shares(f):
    def asked(n, size, draws=4000):
        random, counts = np.random.default_rng(0), np.zeros(size + 1)
        for _ in range(draws):
            place = f(n, size, random)
            if place is not None and not 0 <= place < size:
                raise ValueError(f"there is no place {place} in a memory of {size}")
            counts[-1 if place is None else int(place)] += 1
        return counts / draws

    return asked


place_right = check(
    place_for,
    case("the second example, three places: shares of the places 0, 1, 2 and of None", (2, 3), np.array([0, 1.0, 0, 0])),
    case("the third example, three places", (3, 3), np.array([0, 0, 1.0, 0])),
    case(
        "the fourth example, three places",
        (4, 3),
        np.full(4, 0.25),
        tolerance=0.03,
        slips={
            "if every new example is kept": np.array([1, 1, 1, 0]) / 3,
            "if a full memory stays as it is": np.array([0.0, 0, 0, 1]),
            "with a probability of size/(n + 1)": np.array([0.2, 0.2, 0.2, 0.4]),
        },
    ),
    case("the second example, one place", (2, 1), np.array([0.5, 0.5]), tolerance=0.03),
    case("the twentieth example, four places", (20, 4), np.array([0.05] * 4 + [0.8]), tolerance=0.02),
    through=shares,
)

# %% [markdown]
# ## All of it, in all settings
#
# Your functions are used from here on where the checks found them right, and the library's where not. An example is a pair: the
# number of a digit, and the task it belongs to.


# %%
def shut(setting, task, seen):
    """What is added to the logits: 0 where an output may answer, else a large negative number; (examples, outputs)."""
    outputs, task = np.arange(10 if setting == "domain" else 10 * T), np.asarray(task)
    if answers_right:
        own = np.ones((T, 10), bool) if setting == "domain" else np.arange(T)[:, None] == outputs // 10
        may = np.asarray(may_answer(setting, own, task, seen))
    else:
        first = 10 * task[:, None] if setting == "task" else 0 * task[:, None]
        end = first + {"task": 10, "domain": 10, "class": 10 * seen}[setting]
        may = (first <= outputs) & (outputs < end)
    return minitorch.tensor(np.where(may, 0, -1e9).astype(np.float32))


def label(setting, row_y, task):
    return minitorch.tensor(row_y + (0 if setting == "domain" else 10 * np.asarray(task)))


# %%
def learn(model, setting, examples, memory=(), tied=None, steps=200, seed=0):
    """Adam on pairs (row, task), half of each batch from the memory if there is one; ``tied``: the penalty of EWC."""
    random, examples, memory = np.random.default_rng(seed), np.array(examples), np.array(memory)
    optimizer = optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(steps):
        some = random.choice(examples, 32)
        if len(memory):
            some = np.concatenate([some, random.choice(memory, 32)])
        rows, task = some.T
        logits = model(seen_by(X[rows], task)) + shut(setting, task, examples[:, 1].max() + 1)
        loss = F.cross_entropy(logits, label(setting, Y[rows], task))
        loss = loss if tied is None else loss + tied()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def scores(model, setting, seen):
    """The share of right answers on each task's test digits."""
    found = []
    with minitorch.no_grad():
        for task in range(T):
            logits = model(seen_by(X_test, task)) + shut(setting, np.full(len(X_test), task), seen)
            found.append(float((logits.argmax(-1).numpy() == label(setting, Y_test, task).numpy()).mean()))
    return found


# %%
def importance(model, setting, examples):
    """(F, θ*) of the model, from the first 40 examples."""
    parameters = list(model.parameters())

    def log_p(example):
        row, task = example
        return F.log_softmax(model(seen_by(X[[row]], task)) + shut(setting, [task], task + 1), dim=-1)  # (1, outputs)

    if fisher_right:
        found = fisher_diagonal(lambda example: log_p(example)[0], examples[:40], parameters)
        found = [minitorch.tensor(getattr(F_i, "array", F_i)).float() for F_i in found]
    else:
        named = dict(model.named_parameters())
        found = list(fisher(log_p, ((example, [0]) for example in examples[:40]), named, "exact", None).values())
    return found, [p.detach().clone() for p in parameters]


def spring(model, terms, λ):
    """The penalty of EWC."""
    if penalty_right:
        return ewc_penalty(list(model.parameters()), terms, λ)
    named = [{"F": dict(enumerate(F_t)), "θ": dict(enumerate(θ_t))} for F_t, θ_t in terms]
    return penalty(dict(enumerate(model.parameters())), named, λ)


# %%
def remember(memory, passed, examples, size, random):
    """Let the examples pass the reservoir; how many have passed in all."""
    if not place_right:
        return reservoir(memory, passed, examples, size, random)
    for example in examples:
        passed += 1
        place = place_for(passed, size, random)
        if place is not None:
            memory[place : place + 1] = [example]  # at the end of the list this appends
    return passed


def sequence(strategy, setting, seed=0, λ=10.0, size=60):
    """R[i][j]: the score on task j after task i was learnt."""
    minitorch.manual_seed(seed)
    random, model = np.random.default_rng(seed), Network(10 if setting == "domain" else 10 * T)
    terms, memory, passed, R = [], [], 0, []
    for task in range(T):
        examples = [(row, task) for row in random.permutation(len(X)).tolist()]
        learn(model, setting, examples, memory, (lambda: spring(model, terms, λ)) if terms else None, seed=seed)
        if strategy == "ewc":
            terms.append(importance(model, setting, examples))
        if strategy == "replay":
            passed = remember(memory, passed, examples, size, random)
        R.append(scores(model, setting, task + 1))
    return np.array(R)


# %% [markdown]
# And the third cure: leave the network alone. After the first task it is frozen, and each later task gets an *adapter* of its
# own, a product of two thin matrices as in lesson 16, and a head. Nothing that was learnt is touched again, so nothing is
# forgotten. What remains is to choose the adapter. In the setting *task* we are told. In the others we must guess; we take the
# task whose mean picture is nearest.


# %%
class Adapted(Network):
    """The frozen hidden layer of a network, plus B A x, with a new head."""

    def __init__(self, base, rank=8):
        super().__init__()
        self.hidden = base.hidden
        for p in self.hidden.parameters():
            p.requires_grad_(False)
        self.A = nn.Parameter(minitorch.randn(rank, 64) / 8)
        self.B = nn.Parameter(minitorch.zeros(64, rank))

    def forward(self, x):
        return self.head(F.relu(self.hidden(x) + x @ self.A.T @ self.B.T))


# %%
MEANS = np.stack([seen_by(X, t).numpy().mean(axis=0) for t in range(T)])  # (T, 64)


def nearest(x):
    """Of each row of a scanner's pixels the task with the nearest mean picture."""
    return ((x.numpy()[:, None] - MEANS) ** 2).sum(-1).argmin(1)


share = np.mean([(nearest(seen_by(X_test, t)) == t).mean() for t in range(T)])
print(f"the nearest mean picture is the right scanner's for {share:.0%} of the test digits")


# %%
def adapters(setting, seed=0):
    """The scores of all tasks in the end, by one frozen network, two adapters and three heads."""
    minitorch.manual_seed(seed)
    models, found = [Network()], []
    for task in range(T):
        models += [Adapted(models[0])] if task else []
        learn(models[-1], "domain", [(row, task) for row in range(len(X))], seed=seed)
    with minitorch.no_grad():
        for task in range(T):
            x = seen_by(X_test, task)
            chosen = np.full(len(X_test), task) if setting == "task" else nearest(x)
            answers = np.stack([model(x).argmax(-1).numpy() for model in models])[chosen, np.arange(len(x))]
            good = (answers == Y_test) & ((chosen == task) | (setting == "domain"))  # class: the scanner must be right, too
            found.append(float(good.mean()))
    return found


def joint(setting, seed=0):
    minitorch.manual_seed(seed)
    model = Network(10 if setting == "domain" else 10 * T)
    learn(model, setting, [(row, task) for row in range(len(X)) for task in range(T)], steps=T * 200, seed=seed)
    return scores(model, setting, T)


# %%
SETTINGS, SEEDS = ("task", "domain", "class"), (0, 1)
STRATEGIES = {
    "sequential": lambda setting, seed: sequence("sequential", setting, seed)[-1],
    "EWC": lambda setting, seed: sequence("ewc", setting, seed)[-1],
    "replay": lambda setting, seed: sequence("replay", setting, seed)[-1],
    "adapters": adapters,
    "joint": joint,
}
yours = {"may_answer": answers_right, "fisher_diagonal": fisher_right, "ewc_penalty": penalty_right, "place_for": place_right}
for name, verdict in yours.items():
    print("yours:" if verdict else "the library's:", name)
found, begin = {}, time.perf_counter()
for setting in SETTINGS:
    for name, strategy in STRATEGIES.items():
        found[setting, name] = float(np.mean([strategy(setting, seed) for seed in SEEDS]))
    line = ", ".join(f"{name} {found[setting, name]:.0%}" for name in STRATEGIES)
    print(f"{setting:7s} {line}   ({time.perf_counter() - begin:.0f} s)", flush=True)

# %% [markdown]
# Mean accuracy over the three scanners in the end, and over two seeds. Read it by rows. Plain training forgets little if the
# task is told, because then the heads cannot be mixed up; more if it is not; and in the setting *class* nearly all of the old
# tasks, because the newest outputs win everywhere. EWC keeps much of what is lost in *domain*, and leaves most of it lost in
# *class*: its penalty holds the old weights in place, but the network never sees an old and a new digit side by side, so
# nothing teaches it to tell them apart. Replay does, with a few digits. The adapters forget nothing, and here the scanner is
# easy to guess; where tasks look alike, a wrong guess is a wrong answer.
#
# What does each cure keep?

# %%
bytes_per = {"EWC": 2 * (T - 1) * sum(p.numel() for p in Network().parameters()) * 4}
bytes_per["replay"] = 60 * (64 * 4 + 2)  # 60 digits with their labels and tasks
bytes_per["adapters"] = (T - 1) * sum(p.numel() for p in Adapted(Network()).parameters() if p.requires_grad) * 4
for name, kept in bytes_per.items():
    print(f"{name:9s} keeps {kept / 1000:5.1f} kB besides the network")

# %% [markdown]
# ## How stiff should the springs be?
#
# λ has no natural size, since F has none: remember how tiny it is for a model that is sure of its answers. So it must be
# searched, over powers of ten. We look at the first and the last scanner separately.

# %%
LAMBDAS = [0.1, 1, 10, 100, 1000, 10000]
ends = []
for λ in LAMBDAS:
    R = sequence("ewc", "domain", λ=λ)
    ends.append(R[-1])
    each = ", ".join(f"{name} {share:.0%}" for name, share in zip("ABC", R[-1], strict=True))
    print(f"λ = {λ:7g}: {each}, forgetting {transfer(R, [0.1] * T)['forgetting']:.2f}", flush=True)

# %% [markdown]
# Small λ: the old task is lost. Large λ: the old task stays, and the new one cannot be learnt. Forgetting alone, the fall from
# a task's best score, would praise the largest λ: always look at the average accuracy, too.
#
# ## The picture
#
# Left: the three settings. Right: one setting, and what λ trades.

# %%
figure, (left, right_axis) = plt.subplots(1, 2, figsize=(10, 3.8))
for k, (name, colour) in enumerate(zip(STRATEGIES, (RED, ORANGE, BLUE, GREEN, GREY), strict=True)):
    left.bar(np.arange(3) + 0.16 * (k - 2), [found[setting, name] for setting in SETTINGS], 0.15, color=colour, label=name)
left.set(xticks=range(3), xticklabels=SETTINGS, xlabel="setting", ylabel="mean accuracy in the end", ylim=(0, 1))
left.set_title("Settings are not comparable")
left.legend(ncols=5, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), columnspacing=0.8, handlelength=1)
for t, (name, colour) in enumerate(zip("ABC", (RED, GREY, BLUE), strict=True)):
    right_axis.semilogx(LAMBDAS, [row[t] for row in ends], "o-", color=colour, label=f"scanner {name}")
right_axis.set(xlabel="λ", ylabel="accuracy in the end", ylim=(0, 1), title="EWC: old tasks against new ones")
right_axis.legend(ncols=3, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18))
show(figure, "19_forgetting")

# %% [markdown]
# ## Read next
#
# - `models/continual/fisher.py`: your diagonal, and three cheaper estimates of it, one of them much too small.
# - `models/continual/ewc.py`, `penalty`: with online EWC, which keeps one term for all tasks.
# - `models/continual/replay.py`, `reservoir`; and `models/continual/adapters.py`, with a BERT.
# - `models/continual/metrics.py`, `transfer`: forgetting, backward and forward transfer from the table R.
# - `minitorch continual --setting class --strategy all` does all this with a BERT and texts, orders and seeds of your choice.
# - Then lesson 20, `20_small.py`.
