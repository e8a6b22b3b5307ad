# %% [markdown]
# # 8. Attention and the encoder
#
# Lesson 7 gave each word one vector, whatever its context. Attention lets the words of a sentence look at each other. It is one
# line of algebra, and a few details that are easy to get wrong without noticing: the scale, the mask, the order, the
# [heads](../docs/glossary.md).

# %%
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREY, ORANGE, RED, show

import minitorch
import minitorch.nn.functional as F
from minitorch import nn, optim

# %% [markdown]
# ## Something goes wrong
#
# Take sentences of six words, drawn from twelve names. One word is "?", and the answer is the name right after it: "Ann Bob ?
# Eve Dan Ann" → Eve. A child can do it. Our first attempt is lesson 7's: average the word vectors and put a network on top.

# %%
NAMES, LENGTH, MARK = 12, 6, 12


def sentences(random, n):
    """Ids (n, LENGTH) with one MARK among the first five places, and the name after it."""
    ids = random.integers(0, NAMES, (n, LENGTH))
    place = random.integers(0, LENGTH - 1, n)
    ids[np.arange(n), place] = MARK
    return minitorch.tensor(ids), minitorch.tensor(ids[np.arange(n), place + 1])


class Average(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.words = nn.Embedding(NAMES + 1, d)
        self.head = nn.Sequential(nn.Linear(d, 128), nn.ReLU(), nn.Linear(128, NAMES))

    def forward(self, ids):
        return self.head(self.words(ids).mean(1))


# %%
def train(model, steps, lr=3e-3, batch=128):
    random = np.random.default_rng(0)
    optimizer = optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        ids, answers = sentences(random, batch)
        loss = F.cross_entropy(model(ids), answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def share_right(model, n=2000):
    ids, answers = sentences(np.random.default_rng(99), n)
    with minitorch.no_grad():
        return (model(ids).argmax(-1) == answers).float().mean().item()


minitorch.manual_seed(0)
average = Average(32)
flat = train(average, 800, lr=1e-2)
print(f"loss {flat[0]:.2f} -> {np.mean(flat[-50:]):.2f}, {share_right(average):.0%} right")

# %% [markdown]
# It gets stuck, and it must: the mean of the vectors does not change when the words change places. "Ann Bob ? Eve" and "Eve ?
# Ann Bob" are the *same* input with different answers. It can only learn which five names occur, and guess among them. The best
# such guess costs the entropy of the five names: a little under ln 5 = 1.61, because a name may occur twice.

# %%
bags = np.random.default_rng(1).integers(0, NAMES, (5000, LENGTH - 1))
shares = np.stack([(bags == name).mean(axis=1) for name in range(NAMES)])
baseline = -float(np.where(shares > 0, shares * np.log(np.maximum(shares, 1e-9)), 0).sum(axis=0).mean())
print(f"the best any model can do without word order: {baseline:.2f}")

# %% [markdown]
# This is a limit of the architecture: no amount of training gets below it. It is our baseline.
#
# ## Attention
#
# The plain mean gives every word the same weight. Better: let each word decide how much it takes from every other word. Each
# word has three vectors: a *query*, the question it asks; a *key*, the label of its answer; and a *value*, the answer itself.
# The dot product q·k is large where question and label match. The softmax turns one word's scores into weights, and the result
# is the weighted mean of the values:
#
#     attention(Q, K, V) = softmax(Q Kᵀ / √d) V          Q: (L, d), K: (S, d), V: (S, d_v)
#
# L words ask and S words answer; here both are the words of one sentence. Where does √d come from? A dot product of d random
# terms has variance d. Without the root, a large d makes large scores, and the softmax puts all weight on one word. The
# derivative of a weight p with respect to its score is p(1 - p), which is 0 for p = 0 and for p = 1. So the gradient vanishes,
# and the choice of word is frozen:

# %%
random = np.random.default_rng(0)
for d in (4, 64, 1024):
    scores = minitorch.tensor(random.standard_normal((200, d)) @ random.standard_normal((d, 10)))
    for name, s in (("plain", scores), ("by √d", scores / math.sqrt(d))):
        p = s.softmax(-1)
        print(f"d = {d:4d}, {name}: largest weight {p.amax(-1).mean().item():.3f}, p(1 - p) {(p * (1 - p)).mean().item():.4f}")

# %% [markdown]
# ### Exercise: attention
#
# Use minitorch's operations, so that you get the gradients for free. `mask` is None or bool (L, S): True where a query may
# look. The check compares you with the library.


# %%
def attention(q, k, v, mask=None):
    """softmax(q kᵀ/√d) v; scores where ``mask`` is False become -∞ before the softmax. Any number of leading axes."""
    raise NotImplementedError


# %%
def normal(*shape):
    return minitorch.tensor(random.standard_normal(shape))


q, k, v = normal(2, 4, 8), normal(2, 5, 8), normal(2, 5, 3)
mask = minitorch.tensor(np.tril(np.ones((4, 5), dtype=bool)))
library = F.scaled_dot_product_attention
and_slope = ("the result", "the gradient of q")


def with_slope(attention):
    """The function's result, and the gradient of q that comes back through it."""

    def ask(q, *others):
        q = q.detach().requires_grad_()
        y = attention(q, *others)
        if not isinstance(y, minitorch.Tensor) or not y.requires_grad:
            return y, "none: NumPy records nothing, use minitorch's operations"
        return y.detach(), minitorch.autograd.grad((y * v[..., :1, :]).sum(), q)[0]

    return ask


def question(what, *arguments):
    return case(what, arguments, with_slope(lambda q, k, v, mask=None: library(q, k, v, attn_mask=mask))(*arguments), and_slope)


# %%
check(
    attention,
    question("two sequences", q, k, v),
    question("with a mask", q, k, v, mask),
    question("large numbers", q * 1e3, k, v),
    through=with_slope,
)

# %% [markdown]
# ## Padding, a silent bug
#
# What is the mask for? Sentences of different lengths go through the network in one array, so the shorter ones are padded.
# Without a mask the padding takes part in the mean. Nothing crashes, but a sentence gets different results when it shares a
# batch with a longer one:

# %%
x = normal(1, 3, 8)
padded = minitorch.cat([x, minitorch.zeros(1, 4, 8, dtype=x.dtype)], dim=1)
seen = minitorch.tensor([True] * 3 + [False] * 4)
alone = library(x, x, x)
careless = library(padded, padded, padded)[:, :3]
careful = library(padded, padded, padded, attn_mask=seen.reshape(1, 1, 7))[:, :3]
print(f"padding changes the result by {(careless - alone).abs().max().item():.2f}", end="; ")
print(f"with a mask by {(careful - alone).abs().max().item():.0e}")

# %% [markdown]
# ## Order
#
# Does attention solve our problem? Not by itself. It is a weighted mean: shuffle the words, and the results are the same, only
# shuffled. So each position gets a vector too, which is added to the vector of the word there. BERT learns these vectors. The
# first Transformer (Vaswani et al., 2017) used waves of many lengths:
#
#     P[t, 2i] = sin(t / 10000^(2i/d))        P[t, 2i + 1] = cos(t / 10000^(2i/d))
#
# Each pair of columns is a clock hand that turns at its own speed. A shift by three positions turns each hand by a fixed angle,
# wherever it starts. That makes "the word before me" easy to learn.
#
# ### Exercise: positions as waves


# %%
def positions(length, d):
    """The table P above as an array of shape (length, d); d is even."""
    raise NotImplementedError


# %%
check(
    positions,
    case("one pair", (3, 2), np.array([[0, 1], [0.841470985, 0.540302306], [0.909297427, -0.416146837]])),
    case(
        "two pairs",
        (3, 4),
        np.array([[0, 1, 0, 1], [0.84147, 0.5403, 0.01, 0.99995], [0.9093, -0.41615, 0.02, 0.9998]]),
        tolerance=1e-4,
    ),
)

# %% [markdown]
# ## Several heads
#
# One softmax makes one choice of where to look. A word may need several: its subject, its verb, its neighbour. So the vectors
# are cut into parts, the *heads*. Each head attends on its own, and the results are concatenated. Here it is by hand, with a
# loop over the heads and the weights of the library's layer:


# %%
def attention_by_hand(layer, x, heads):
    """The same as layer(x, x, x)[0], for x of shape (B, L, E)."""
    q, k, v = (x @ layer.in_proj_weight.T + layer.in_proj_bias).chunk(3, -1)  # each (B, L, E)
    d = x.shape[-1] // heads
    parts = []
    for h in range(heads):
        own = slice(h * d, (h + 1) * d)  # this head's numbers
        parts.append(library(q[..., own], k[..., own], v[..., own]))  # (B, L, d)
    return layer.out_proj(minitorch.cat(parts, dim=-1))


layer, x = nn.MultiheadAttention(12, 3, batch_first=True), minitorch.randn(2, 5, 12)
difference = (attention_by_hand(layer, x, 3) - layer(x, x, x)[0]).abs().max().item()
print(f"largest difference between our heads and the library's: {difference:.1e}")
assert difference < 1e-5

# %% [markdown]
# The loop is easy to read but slow: it starts many small operations. If the heads are an axis of the array, one operation does
# them all: (B, L, E) → (B, heads, L, E/heads).
#
# ### Exercise: split the heads
#
# Do it without a loop. The usual mistake has the right shape but mixes up positions and heads: think about which axis a reshape
# cuts.


# %%
def split_heads(x, heads):
    """(B, L, E) -> (B, heads, L, E/heads); head 0 holds the first E/heads numbers of every position."""
    raise NotImplementedError


# %%
x = minitorch.arange(2 * 3 * 8).reshape(2, 3, 8).float()
heads = minitorch.stack([x[:, :, :4], x[:, :, 4:]], dim=1)
check(
    split_heads,
    case("two heads of four", (x, 2), heads, slips={"by a reshape alone: it mixes positions and heads": x.reshape(2, 2, 3, 4)}),
    case("one head", (x, 1), x.unsqueeze(1)),
)


# %% [markdown]
# ## The encoder layer
#
# A layer of the encoder has two steps. Attention mixes the positions; then a small network works on each position by itself.
# Each step is a *residual*, x + f(x): it only adds to x, so the gradient has a direct path back. A LayerNorm after each step
# keeps the size of the numbers (lesson 5). That is all. By hand, with the library's parts:


# %%
class EncoderLayer(nn.Module):
    """x ← norm1(x + attention(x)),  x ← norm2(x + W₂ relu(W₁ x)); x: (B, L, E)."""

    def __init__(self, E, heads, inner):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(E, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(E, inner), nn.Linear(inner, E)
        self.norm1, self.norm2 = nn.LayerNorm(E), nn.LayerNorm(E)
        self.seen = None  # the weights of the last call, to look at: (B, L, L)

    def forward(self, x):
        attended, self.seen = self.self_attn(x, x, x)
        x = self.norm1(x + attended)
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


# %% [markdown]
# The names are PyTorch's, so we can load the weights of the library's layer; the results must agree.

# %%
ours, theirs = EncoderLayer(32, 4, 64), nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
ours.load_state_dict(theirs.state_dict())
x = minitorch.randn(2, 7, 32)
difference = (ours(x) - theirs(x)).abs().max().item()
print(f"largest difference between our layer and the library's: {difference:.1e}")
assert difference < 1e-5


# %% [markdown]
# ## Repaired
#
# Words plus positions, then two encoder layers: the first can tell each word which word precedes it, and the second can find
# the word after "?". Then the mean and the head as before. To test our claim, a second encoder gets no positions.


# %%
class Encoder(nn.Module):
    def __init__(self, d, heads=4, layers=2, places=True):
        super().__init__()
        self.words = nn.Embedding(NAMES + 1, d)
        self.places = nn.Parameter(0.5 * minitorch.randn(LENGTH, d)) if places else None
        self.layers = nn.ModuleList(EncoderLayer(d, heads, 2 * d) for _ in range(layers))
        self.head = nn.Linear(d, NAMES)

    def forward(self, ids):
        x = self.words(ids)  # (B, L, d)
        x = x if self.places is None else x + self.places
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))


# %%
minitorch.manual_seed(0)
encoder, blind = Encoder(32), Encoder(32, places=False)
begin = time.perf_counter()
solved = train(encoder, 600)
seconds = time.perf_counter() - begin
no_places = train(blind, 800)
print(f"mean of vectors      loss {np.mean(flat[-50:]):.3f}   {share_right(average):.1%} right")
print(f"without positions    loss {np.mean(no_places[-50:]):.3f}   {share_right(blind):.1%} right")
print(f"with positions       loss {np.mean(solved[-50:]):.3f}   {share_right(encoder):.1%} right")
print(f"{seconds:.1f} s for 600 steps of 128 sentences, {seconds / 600 * 1e3:.1f} ms per step")

# %% [markdown]
# Without positions, attention cannot get below the baseline either. With them it can.
#
# ## The picture
#
# Left: three losses and the baseline. Right: which word looks at which in the second layer, for the sentence "A B ? E D A" (the
# mean over the heads). Each row is a word that looks, and its weights add up to 1.

# %%
figure, (left, right) = plt.subplots(1, 2)
for losses, colour, name in (
    (flat, GREY, "mean"),
    (no_places, ORANGE, "encoder without positions"),
    (solved, BLUE, "encoder with positions"),
):
    left.plot(np.convolve(losses, np.ones(10) / 10, "valid"), color=colour, label=name)
left.axhline(baseline, color=RED, linestyle=":", label="baseline without order")
left.set(xlabel="step", ylabel="loss", title="Order needs positions")
left.legend(fontsize=8)
sentence = minitorch.tensor([[0, 1, MARK, 4, 3, 0]])
guess = encoder(sentence).argmax(-1).item()
words = [*"ABCDEFGHIJKL", "?"]
labels = [words[i] for i in sentence.tolist()[0]]
image = right.imshow(encoder.layers[1].seen[0].detach().numpy(), cmap="Blues", vmin=0)
right.set(xticks=range(LENGTH), yticks=range(LENGTH), xticklabels=labels, yticklabels=labels)
right.set(xlabel="is looked at", ylabel="looks", title="Where the second layer looks")
right.grid(visible=False)
figure.colorbar(image, ax=right)
show(figure, "08_attention")

# %% [markdown]
# ## Read next
#
# - `minitorch/nn/functional.py`, `scaled_dot_product_attention`: your exercise, including a query that may see nothing.
# - `minitorch/nn/attention.py`: the heads, and both kinds of masks.
# - `minitorch/nn/transformer.py`: `TransformerEncoderLayer`, also with the norm inside the residual.
# - `models/bert/model.py`: the same layer under Hugging Face's names. That is lesson 9, `09_bert.py`.
