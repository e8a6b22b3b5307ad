# %% [markdown]
# # 13. Sequences: what a network forgets, and how gates, convolutions and attention remember
#
# A text is a sequence. Before attention, networks read it as we do, from left to right, with a memory of fixed size: these are
# *[recurrent networks](../docs/glossary.md)*. This lesson measures how far such a memory reaches. It shows why the plain one
# forgets, what gates and convolutions do about it, and what is left for attention to solve.

# %%
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show

import minitorch
import minitorch.nn.functional as F
from minitorch import nn, optim

# %% [markdown]
# ## Something goes wrong
#
# Four brackets open, in any order. Some letters follow, then a "?". Which bracket must be closed first? It is the one that was
# opened last: "{ ( < [ k a ... d ?" → "]". Every text holds the same four brackets, so counting words tells nothing: whoever
# ignores the order pays ln 4 = 1.39 nats, and is right one time in four.

# %%
OPEN, LETTERS = "([{<", "abcdefgh"
SYMBOLS = OPEN + LETTERS + "?"
GUESSING = math.log(len(OPEN))


def texts(random, n, distance):
    """Ids (n, distance + 4) whose last bracket stands ``distance`` places before the final "?"; and which it is, (n,)."""
    brackets = random.permuted(np.tile(np.arange(4), (n, 1)), axis=1)  # (n, 4), each row in its own order
    letters = random.integers(4, 4 + len(LETTERS), (n, distance - 1))
    ids = np.concatenate([brackets, letters, np.full((n, 1), SYMBOLS.index("?"))], axis=1)
    return minitorch.tensor(ids), minitorch.tensor(brackets[:, 3])


some, answers = texts(np.random.default_rng(0), 3, distance=8)
for ids, answer in zip(some.tolist(), answers.tolist(), strict=True):
    print(" ".join(SYMBOLS[i] for i in ids), " →  close", OPEN[answer])

# %% [markdown]
# A recurrent network has a *state* h, a vector. At each place it computes a new state from the symbol there and the old state,
# always with the same weights:
#
#     hₜ = tanh(W xₜ + U hₜ₋₁ + b)          h₀ = 0
#
# The last state is all that it knows about the text, and a linear layer reads the answer from it.
#
# ### Exercise: a recurrent layer
#
# Use minitorch's operations, so that the gradients come for free. The check compares you with `nn.RNN`.


# %%
def rnn(x, W, U, b):
    """All states (B, T, H) for x (B, T, d), by the equation above; W: (H, d), U: (H, H), b: (H,). The first hₜ₋₁ is zeros."""
    raise NotImplementedError


# %%
minitorch.manual_seed(0)


def rnn_case(what, B, T, d, H):
    layer, other, x = nn.RNN(d, H, batch_first=True), nn.RNN(d, H, batch_first=True), minitorch.randn(B, T, d)
    other.load_state_dict({**layer.state_dict(), "weight_hh_l0": layer.weight_hh_l0.detach().T.clone()})
    bias = layer.bias_ih_l0 + layer.bias_hh_l0  # PyTorch's layer has two, which only ever occur as their sum
    W, U, b, states = (p.detach() for p in (layer.weight_ih_l0, layer.weight_hh_l0, bias, layer(x)[0]))
    return case(what, (x, W, U, b), states, slips={"with Uᵀ in place of U": other(x)[0].detach()})


check(
    rnn,
    rnn_case("one place", 2, 1, 3, 4),
    rnn_case("several places", 2, 6, 3, 4),
    rnn_case("as many numbers in as out", 3, 5, 4, 4),
)


# %% [markdown]
# Now the network, with the library's layer, which does the same. `read` turns the vectors of the symbols into one state; the
# later networks of this lesson replace that method alone.


# %%
class Reader(nn.Module):
    """Which bracket to close: (B, T) ids -> (B, 4) scores. ``read``: (B, T, H) -> (B, H)."""

    def __init__(self, H=32):
        super().__init__()
        self.words = nn.Embedding(len(SYMBOLS), H)
        self.head = nn.Linear(H, len(OPEN))
        self.build(H)

    def build(self, H):
        self.chain = nn.RNN(H, H, batch_first=True)

    def read(self, x):
        return self.chain(x)[0][:, -1]

    def forward(self, ids):
        return self.head(self.read(self.words(ids)))


# %%
def train(model, distance, steps=300, lr=3e-3, batch=64):
    """The losses; and the share of fresh texts that it answers rightly."""
    random = np.random.default_rng(0)
    optimizer = optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        ids, answers = texts(random, batch, distance)
        loss = F.cross_entropy(model(ids), answers)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    ids, answers = texts(np.random.default_rng(99), 1000, distance)
    with minitorch.no_grad():
        return losses, (model(ids).argmax(-1) == answers).float().mean().item()


# %%
for distance in (2, 5, 10, 30):
    minitorch.manual_seed(0)
    plain = Reader()
    plain_losses, right = train(plain, distance)
    said = f"loss {np.mean(plain_losses[-30:]):.2f} (guessing {GUESSING:.2f}), {right:.0%} right"
    print(f"{distance:2d} places back: {said}", flush=True)

# %% [markdown]
# Nothing changed except the distance. Near brackets are easy, and at 30 places the network does not get away from guessing. Is
# the memory too small? One bracket of four is two bits, and the state has 32 numbers. There is room enough. So look at what
# training sees: the gradient of the loss at each place of the text, in a fresh network.


# %%
def gradient_by_distance(model, distance=30, n=200):
    """The mean length of dL/dxₜ for the vector xₜ of the symbol 0, 1, 2, ... places before the end."""
    ids, answers = texts(np.random.default_rng(5), n, distance)
    x = model.words(ids).detach().requires_grad_()  # (n, T, H)
    (gradient,) = minitorch.autograd.grad(F.cross_entropy(model.head(model.read(x)), answers), x)
    return n * np.linalg.norm(gradient.numpy(), axis=-1).mean(0)[::-1]  # times n: the loss is a mean over the texts


minitorch.manual_seed(0)
left_plain = gradient_by_distance(Reader())
for d in (0, 1, 2, 5, 10, 20, 30):
    print(f"{d:2d} places back: {left_plain[d]:.1e}")
print(f"from one place to the next, on average: times {(left_plain[30] / left_plain[0]) ** (1 / 30):.2f}")

# %% [markdown]
# The gradient falls by about the same factor at each place. At 30 places it is so small that the letters in between, each with
# its own random gradient, drown it. The weights hear nothing of the bracket.
#
# ## Vanishing products
#
# Why a factor per place? By the chain rule the influence of an early state on the last one is a product, with one matrix per
# step:
#
#     ∂h_T/∂hₜ = Jₜ · ... · Jₜ₊₂ Jₜ₊₁,   with the last factor J_T on the left          Jₛ = ∂hₛ/∂hₛ₋₁ = diag(1 - hₛ²) U
#
# because tanh' = 1 - tanh². A product of 30 matrices behaves like the 30th power of a number: below 1 it vanishes, above 1 it
# explodes. 0.8³⁰ = 0.001, and 1.2³⁰ = 237. (Hochreiter, 1991; Bengio, Simard and Frasconi, 1994.)
#
# ### Exercise: how much is left
#
# Compute the products for one text, in NumPy, and measure each by its largest singular value, `np.linalg.norm(J, 2)`: the most
# that a small change of hₜ can be stretched on its way to h_T. Each product follows from the one before it.


# %%
def left_over(U, h):
    """From U (H, H) and the states h (T, H), in order: the T numbers ‖∂h_T/∂hₜ‖₂ for t = 1 ... T. The last is 1."""
    raise NotImplementedError


# %%
def by_autograd(U, x):
    """The states for inputs x, (T, H); and what ``left_over`` should be, by a backward pass for each number of the last state."""
    U, h, states = minitorch.tensor(U), minitorch.zeros(len(U), dtype=minitorch.float64, requires_grad=True), []
    for row in minitorch.tensor(x):
        h = minitorch.tanh(row + U @ h)
        states.append(h)
    rows = [minitorch.autograd.grad(h[i], states, retain_graph=True) for i in range(len(U))]
    products = [np.stack([row[t].numpy() for row in rows]) for t in range(len(x))]  # T times (H, H)
    return np.stack([s.detach().numpy() for s in states]), np.array([np.linalg.norm(J, 2) for J in products])


random = np.random.default_rng(3)
cases = []
for what, H, T, size in (("one number, three steps", 1, 3, 0.5), ("small weights", 4, 6, 0.3), ("large weights", 5, 9, 1.0)):
    U, x = size * random.standard_normal((H, H)), random.standard_normal((T, H))
    h, expected = by_autograd(U, x)
    powers = [np.linalg.norm(np.linalg.matrix_power(U, T - 1 - t), 2) for t in range(T)]
    cases.append(case(what, (U, h), expected, slips={"without 1 - h²": powers}))
check(
    left_over,
    *cases,
)

# %% [markdown]
# Could we simply choose weights whose factor is 1? We scale the matrix U of a fresh network and look at both ends:


# %%
def with_larger_U(scale, seed=0):
    minitorch.manual_seed(seed)
    model = Reader()
    with minitorch.no_grad():
        model.chain.weight_hh_l0 *= scale
    return model


for scale in (1.0, 2.0, 3.0, 4.0):
    left = gradient_by_distance(with_larger_U(scale))
    print(f"U times {scale:g}: gradient at 0 places {left[0]:.1e}, at 10 {left[10]:.1e}, at 30 {left[30]:.1e}")
for seed in (0, 1):
    losses, share = train(with_larger_U(3.0, seed), 30)
    print(f"trained with U times 3, seed {seed}: loss {np.mean(losses[-30:]):.2f}, {share:.0%} right", flush=True)

# %% [markdown]
# A larger U keeps more of the gradient, and a still larger one makes it grow with the distance. In between lies a knife's edge:
# there training may get through to the bracket or not, and the seed decides. Even with a factor near 1 every letter moves the
# state as much as the bracket did, and every training step changes U. Clipping (`clip_grad_norm_` in `train`) tames
# explosions only: it can shrink a gradient but not bring one back.
#
# ## Gates
#
# Where does the product come from? The state is *recomputed* at each step. The repair is to leave it alone unless there is a
# reason: next to h, keep a cell state c that is only multiplied by a number f between 0 and 1, and added to. The network
# computes f, the *gate*, at each place (Hochreiter and Schmidhuber, 1997; the forget gate is of Gers et al., 2000):
#
#     i = σ(...)   f = σ(...)   g = tanh(...)   o = σ(...)          each ... is its own part of  W xₜ + U hₜ₋₁ + b
#     cₜ = f ⊙ cₜ₋₁ + i ⊙ g          keep some of the old, add some of the new
#     hₜ = o ⊙ tanh(cₜ)              show some of it
#
# Along c the factor per step is f itself, without a matrix and without tanh'. With f = 1 nothing is lost. This is the LSTM.
#
# ### Exercise: a step of the LSTM
#
# W, U and b hold the rows of the four parts below each other, in the order i, f, g, o. `.chunk(4, -1)` cuts the last axis into
# four; `.sigmoid()` and `.tanh()` are methods of a Tensor.


# %%
def lstm_step(x, h, c, W, U, b):
    """(the new h, the new c), both (B, H), for x (B, d), h and c (B, H); W: (4H, d), U: (4H, H), b: (4H,)."""
    raise NotImplementedError


# %%
def lstm_case(what, B, d, H, size=1.0):
    cell, x, h, c = nn.LSTMCell(d, H), size * minitorch.randn(B, d), minitorch.randn(B, H), size * minitorch.randn(B, H)
    W, U, b = cell.weight_ih.detach(), cell.weight_hh.detach(), (cell.bias_ih + cell.bias_hh).detach()
    results = [tuple(s.detach() for s in cell(x, (h, c)))]
    for order in ((1, 0, 2, 3), (0, 1, 3, 2)):
        state = {name: minitorch.cat([p.chunk(4)[k] for k in order]) for name, p in cell.state_dict().items()}
        cell.load_state_dict(state)
        results.append(tuple(s.detach() for s in cell(x, (h, c))))
        cell.load_state_dict({name: minitorch.cat([p.chunk(4)[k] for k in order]) for name, p in state.items()})  # back again
    slips = {"with the parts in the order f, i, g, o": results[1], "with the parts in the order i, f, o, g": results[2]}
    return case(what, (x, h, c, W, U, b), results[0], parts=("h", "c"), slips=slips)


step_is_right = check(
    lstm_step,
    lstm_case("three texts", 3, 3, 4),
    lstm_case("one number", 1, 1, 1),
    lstm_case("large numbers, gates that are open or shut", 4, 5, 6, size=20.0),
)


# %% [markdown]
# How open is the forget gate at the beginning? Its bias starts near 0, so f is about σ(0) = ½, and 0.5³⁰ is a billionth. A
# gate that starts half open forgets, too. So its bias should start higher (Gers et al., 2000; Jozefowicz et al., 2015).
#
# ### Exercise: a bias that remembers
#
# For which bias b is a share `kept` of the cell state left after `distance` steps, if b is all that the gate sees?


# %%
def forget_bias(distance, kept):
    """The b with σ(b)^distance = kept."""
    raise NotImplementedError


# %%
bias_is_right = check(
    forget_bias,
    case("one step, half", (1, 0.5), 0.0),
    case("one step, nine tenths", (1, 0.9), math.log(9), slips={"with f and 1 - f swapped": -math.log(9)}),
    case("30 steps, half", (30, 0.5), 3.7561356, slips={"for one step": 0.0, "if it returns the gate": 0.5 ** (1 / 30)}),
    case("1000 steps, a tenth", (1000, 0.1), 6.0725713),
)


# %%
class Gated(Reader):
    """An LSTM whose forget gates start at σ(bias); with your own step, if the check found it right."""

    def __init__(self, bias, own=False):
        self.bias, self.own = bias, own
        super().__init__()

    def build(self, H):
        self.chain = nn.LSTM(H, H, batch_first=True)
        with minitorch.no_grad():
            self.chain.bias_hh_l0[H : 2 * H] = 0.0  # the library's two biases add up
            self.chain.bias_ih_l0[H : 2 * H] = self.bias

    def read(self, x):
        if not self.own:
            return super().read(x)
        layer, (B, T, H) = self.chain, x.shape
        h = c = minitorch.zeros(B, H)
        for t in range(T):
            h, c = lstm_step(x[:, t], h, c, layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0 + layer.bias_hh_l0)
        return h


# %%
REMEMBERING = float(forget_bias(30, 0.5)) if bias_is_right else 3.756
minitorch.manual_seed(0)
half_open = Gated(bias=0.0)
minitorch.manual_seed(0)
gated = Gated(bias=REMEMBERING, own=step_is_right)
left_half, left_gated = gradient_by_distance(half_open), gradient_by_distance(gated)
print(f"gradient 30 places back: plain {left_plain[30]:.1e}, half open {left_half[30]:.1e}, remembering {left_gated[30]:.1e}")
half_losses, half_right = train(half_open, 30)
print(f"LSTM, gates half open:      loss {np.mean(half_losses[-30:]):.2f}, {half_right:.0%} right", flush=True)
gated_losses, gated_right = train(gated, 30)
whose = "your step" if step_is_right else "the library's step"
print(f"LSTM, gates that remember:  loss {np.mean(gated_losses[-30:]):.2f}, {gated_right:.0%} right ({whose})")

# %% [markdown]
# One number per gate makes the difference. The GRU (Cho et al., 2014) is the same idea with a gate less: hₜ = (1 - z) ⊙ n + z ⊙
# hₜ₋₁, where n is the new and z keeps the old.
#
# Two limits remain. A state of fixed size must hold *everything* that may be asked later. And the steps wait for each other: a
# text of a thousand words takes a thousand steps, one after the other, however many cores there are.
#
# ## Convolutions
#
# A convolution computes all places at once. Each output sees a window of k neighbours, and layers on top of each other see
# further. With windows of 2 each layer adds one place, so a distance of 30 takes 30 layers. Unless the windows have gaps:
# with *dilation* d a window sees the places t, t - d, t - 2d, ... Doubling d from layer to layer, 1, 2, 4, ..., makes the
# *[receptive field](../docs/glossary.md)* grow like a power of 2 (van den Oord et al., 2016).
#
# ### Exercise: how far does it see?


# %%
def receptive_field(kernel, dilations):
    """How many places of the text one output of the last layer depends on; one layer for each number in ``dilations``."""
    raise NotImplementedError


# %%
def counted(kernel, dilations):
    """The same, by experiment: the places of a long text whose gradient is not 0."""
    x = minitorch.zeros(1, 1, 400, requires_grad=True)
    y = x
    for d in dilations:
        layer = nn.Conv1d(1, 1, kernel, dilation=d)
        layer.weight.data.fill_(1.0)
        y = layer(y)
    y[0, 0, -1].backward()
    return int((x.grad.numpy() != 0).sum())


check(
    receptive_field,
    case("windows of 3", (3, [1]), counted(3, [1]), slips={"without the place itself": 2}),
    case(
        "five layers", (2, [1] * 5), counted(2, [1] * 5), slips={"if windows did not overlap": 10, "if each layer multiplied": 32}
    ),
    case("dilated ones", (2, [1, 2, 4, 8, 16]), counted(2, [1, 2, 4, 8, 16]), slips={"without the dilations": 6}),
    case("wider and dilated ones", (3, [1, 3, 9]), counted(3, [1, 3, 9])),
    case("no layer at all", (5, []), 1),
)


# %% [markdown]
# For 30 places back and the place itself we need 31. Windows of 2 with the dilations 1, 2, 4, 8, 16 are enough; without
# dilation the same five layers see only their neighbours. Each layer is *causal* (padded on the left alone, so that no place
# sees the future) and residual, as in lesson 8:


# %%
class Convolutions(Reader):
    def __init__(self, dilations):
        self.dilations = dilations
        super().__init__()

    def build(self, H):
        self.layers = nn.ModuleList(nn.Conv1d(H, H, 2, dilation=d) for d in self.dilations)

    def read(self, x):
        x = x.transpose(1, 2)  # (B, H, T)
        for layer, d in zip(self.layers, self.dilations, strict=True):
            x = x + F.relu(layer(F.pad(x, (d, 0))))
        return x[:, :, -1]


# %% [markdown]
# ## And attention
#
# Lesson 8's attention needs no path at all. The "?" asks, every place answers, and the bracket is one step away, wherever it
# stands. A learnt vector per position tells the places apart:


# %%
class Attention(Reader):
    def build(self, H):
        self.places = nn.Parameter(0.5 * minitorch.randn(34, H))
        self.attention = nn.MultiheadAttention(H, 2, batch_first=True)

    def read(self, x):
        x = x + self.places[: x.shape[1]]  # (B, T, H)
        last = x[:, -1:]
        return (last + self.attention(last, x, x)[0])[:, 0]


# %%
DILATED = [1, 2, 4, 8, 16]
makers = {"near convolutions": lambda: Convolutions([1] * 5), "dilated convolutions": lambda: Convolutions(DILATED)}
makers |= {"attention": Attention}
reach = {"plain": left_plain, "LSTM, half open": left_half, "LSTM, remembering": left_gated}
curves = {"plain": plain_losses, "LSTM, half open": half_losses, "LSTM, remembering": gated_losses}
scores = {"plain": right, "LSTM, half open": half_right, "LSTM, remembering": gated_right}
for name, make in makers.items():
    minitorch.manual_seed(0)
    model = make()
    reach[name] = gradient_by_distance(model)
    curves[name], scores[name] = train(model, 30)
    print(f"{name:22s} loss {np.mean(curves[name][-30:]):.2f}, {scores[name]:.0%} right", flush=True)

# %% [markdown]
# What does each cost for a text of n places and vectors of H numbers?
#
# | | operations, about | steps that wait for each other | steps from the "?" to a bracket d places back |
# | --- | --- | --- | --- |
# | recurrent | n H² | n | d |
# | convolution, dilated | n H² log n | log n | log d |
# | attention | n² H | 1 | 1 |
#
# (Vaswani et al., 2017, table 1.) Attention pays with n²: each place looks at each other. That is cheap while n is below H, and
# dear for long texts. And its steps do not wait for each other, so all cores have work. A forward pass of both layers, for
# longer and longer texts:


# %%
def milliseconds(layer, n, H=64, repeats=3):
    x, best = minitorch.randn(8, n, H), math.inf
    with minitorch.no_grad():
        for _ in range(repeats):
            begin = time.perf_counter()
            layer(x)
            best = min(best, time.perf_counter() - begin)
    return 1e3 * best


recurrent, self_attention = nn.LSTM(64, 64, batch_first=True), nn.MultiheadAttention(64, 2, batch_first=True)
for n in (32, 128, 512):
    looks = milliseconds(lambda x: self_attention(x, x, x), n)
    print(f"{n:4d} places: LSTM {milliseconds(recurrent, n):6.1f} ms, attention {looks:6.1f} ms")

# %% [markdown]
# ## The picture
#
# Left: how much gradient is left at each distance before training, in fresh networks. Right: what becomes of it.

# %%
colours = {"plain": RED, "LSTM, half open": ORANGE, "LSTM, remembering": GREEN, "dilated convolutions": GREY, "attention": BLUE}
figure, (left, right_side) = plt.subplots(1, 2, figsize=(10, 4))
for name, colour in colours.items():
    marks = reach[name][:31] > 0
    left.semilogy(np.flatnonzero(marks), reach[name][:31][marks], color=colour, label=name)
    right_side.plot(np.convolve(curves[name], np.ones(10) / 10, "valid"), color=colour)
left.set(xlabel="places before the end", ylabel="length of the gradient", title="Before training")
right_side.axhline(GUESSING, color="black", linestyle=":")
right_side.set(xlabel="step", ylabel="loss (nats)", title="A bracket 30 places back; dotted: guessing", ylim=(0, None))
figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=9)
show(figure, "13_sequences")
for name, share in scores.items():
    print(f"{name:22s} {share:6.1%} right at 30 places; gradient there {reach[name][30]:.0e}")

# %% [markdown]
# ## Read next
#
# - `minitorch/ops/recurrent.py`: a step of the LSTM and of the GRU, each one operation with its backward pass.
# - `minitorch/nn/rnn.py`: layers, directions, texts of different lengths.
# - `minitorch/nn/conv.py` and `models/classical/convolution.py`: a convolutional network that classifies sentences.
# - `models/classical/lstm.py`, and `models/comparison/networks.py`: both against BERT, on your own files.
# - Then lesson 14, `14_pieces.py`.
