# %% [markdown]
# # 16. Adapting: twelve tasks and one model
#
# Fine-tuning (lesson 10) gives every task a copy of the whole model. The models that people adapt today have billions of
# weights. LoRA, *low-rank adaptation*, leaves the model as it is and trains a small addition. This lesson takes it from its
# equation to a merged checkpoint.

# %%
import errno
import shutil
import tempfile
import time
from pathlib import Path
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show

import minitorch
from minitorch import nn, optim
from models.adapting import LoraConfig, PeftModel, get_peft_model
from models.adapting.base import HeadConfig
from models.adapting.lora import Lora
from models.bert import BertConfig, BertForMaskedLM, BertForSequenceClassification, Tokenizer
from models.bert.data import mask_tokens

# %% [markdown]
# ## One model, twelve customers
#
# The model is a small BERT, pretrained on sentences of a small language as in lesson 10. The twelve tasks belong to twelve
# customers. Each customer collects the sentences in which one of *their* five nouns acts: "the cat near two dogs sees many
# birds ." is for those who collect cats, not for those who collect dogs or birds.

# %%
NOUNS = "cat dog bird horse child king queen robot tree bear".split()
VERBS = "see hear like follow find help want know".split()


def noun_phrase(random, several):
    determiner = random.choice(["the", "two", "many"] if several else ["the", "a", "one"])
    noun = str(random.choice(NOUNS))
    return f"{determiner} {noun}{'s' * several}", noun


def sentence(random):
    """A sentence, and the noun that acts in it."""
    several = bool(random.integers(2))
    subject, noun = noun_phrase(random, several)
    near, thing = (noun_phrase(random, bool(random.integers(2)))[0] for _ in range(2))
    return f"{subject} near {near} {random.choice(VERBS)}{'' if several else 's'} {thing} .", noun


# %%
random = np.random.default_rng(0)
plain_text = [sentence(random)[0] for _ in range(3000)]
examples, test = [sentence(random) for _ in range(200)], [sentence(random) for _ in range(300)]
customers = [set(random.permutation(NOUNS)[:5].tolist()) for _ in range(12)]
tokenizer = Tokenizer.train(plain_text, vocab_size=120)


def batch_of(rows):
    return tokenizer([text for text, _ in rows])


def labels_of(rows, wanted):
    return minitorch.tensor([int(noun in wanted) for _, noun in rows])


print(f"{examples[0]}; customer 1 collects {sorted(customers[0])}")


# %%
def fit(parameters, steps, lr, loss_of, report=0):
    """AdamW, with a rate that rises and falls; loss_of(step) is the loss of a random batch."""
    optimizer = optim.AdamW(parameters, lr=lr)
    schedule = optim.lr_scheduler.get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    for step in range(steps):
        loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if report and (step + 1) % report == 0:
            print(f"  step {step + 1}: loss {loss.item():.2f}")


def masked_lm_loss(model, step):
    rows = np.random.default_rng(step).integers(0, len(plain_text), 48)
    batch = tokenizer([plain_text[i] for i in rows])
    ids = batch["input_ids"].numpy()
    maskable = ~np.isin(ids, [tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id])
    masked, labels = mask_tokens(ids, maskable, tokenizer, np.random.default_rng(step), probability=0.2)
    return model(minitorch.tensor(masked), attention_mask=batch["attention_mask"], labels=minitorch.tensor(labels)).loss


# %%
minitorch.manual_seed(0)
sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256}
none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.1}
pretrained = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **sizes, **none))
print("pretraining:")
fit(pretrained.parameters(), 300, 3e-3, lambda step: masked_lm_loss(pretrained, step), report=100)

folder = Path(tempfile.mkdtemp())
classifier = BertForSequenceClassification(pretrained.config)
classifier.bert.load_state_dict(pretrained.bert.state_dict(), strict=False)  # all but the pooler, which is new
classifier.save_pretrained(folder / "base")
print(f"{classifier.num_parameters():,} weights")

# %% [markdown]
# ## Something goes wrong
#
# We fine-tune one copy per customer and save it. We cannot fill your disk for a lesson, so a folder with a limit of 4 MiB plays
# the disk: if a copy does not fit, saving ends as on a full disk.

# %%
DISK = 4 * 2**20


def used(where):
    return sum(path.stat().st_size for path in where.rglob("*") if path.is_file())


def save(model, where):
    """save_pretrained on a disk of DISK bytes."""
    model.save_pretrained(where)
    if used(where.parent) > DISK:
        shutil.rmtree(where)
        raise OSError(errno.ENOSPC, "No space left on device", str(where.name))


# %%
def train_for(wanted, model, lr, steps=100):
    """Fine-tune what is not frozen on one customer's labels; the share of right answers on the test sentences."""

    def loss_of(step):
        rows = [examples[i] for i in np.random.default_rng(step).integers(0, len(examples), 16)]
        return model(**batch_of(rows), labels=labels_of(rows, wanted)).loss

    fit([p for p in model.parameters() if p.requires_grad], steps, lr, loss_of)
    model.eval()
    with minitorch.no_grad():
        answers = model(**batch_of(test)).logits.argmax(-1)
    return (answers == labels_of(test, wanted)).float().mean().item()


def fresh_copy():
    return BertForSequenceClassification.from_pretrained(folder / "base")


# %%
full_scores, saved = [], [0]
for number, wanted in enumerate(customers, 1):
    model = fresh_copy()
    full_scores.append(train_for(wanted, model, lr=2e-3))
    try:
        save(model, folder / "copies" / f"customer{number}")
    except OSError as error:
        print(f"customer {number}: {error}")
        break
    saved.append(used(folder / "copies"))
    print(f"customer {number}: {full_scores[-1]:.1%} right, {saved[-1] / 2**20:.1f} MiB on the disk")

# %% [markdown]
# The models are good; there is no room for them. Is that a problem of a toy disk? Let us compute it for real ones. A weight in
# float32 has 4 bytes, in a 16-bit dtype 2. Training with Adam needs three more numbers per weight while it runs: the gradient
# and two running means (lesson 4).

# %%
free = shutil.disk_usage(".").free
for name, weights, bytes_each in (("BERT-base", 110e6, 4), ("a model of 7 billion", 7e9, 2), ("a model of 70 billion", 70e9, 2)):
    copy = weights * bytes_each
    print(f"{name:21s} a copy {copy / 1e9:5.1f} GB, twelve {12 * copy / 1e9:6.1f} GB,", end=" ")
    print(f"your disk has room for {int(free // copy)}; in training {12 * weights / 1e9:5.1f} GB more memory")

# %% [markdown]
# ## How large is the change?
#
# A copy stores every weight, but how much did fine-tuning *change*? We take the difference ΔW between a fine-tuned weight
# matrix and the pretrained one. The singular values of ΔW tell in how many directions it differs: a matrix of *rank* r has
# only r singular values that are not 0. For comparison, a random matrix of the same shape:

# %%
model = fresh_copy()
train_for(customers[0], model, lr=2e-3)
before, after = (m.bert.encoder.layer[1].attention.self.value.weight.detach().numpy() for m in (fresh_copy(), model))
change = after - before
chance = np.random.default_rng(0).standard_normal(change.shape)
singular = {name: np.linalg.svd(matrix, compute_uv=False) for name, matrix in (("ΔW", change), ("random", chance))}
for name, values in singular.items():
    shares = np.cumsum(values**2) / (values**2).sum()
    held = ", ".join(f"{shares[r - 1]:.0%}" for r in (1, 2, 4, 8))
    print(f"{name:6s}: of {len(values)} directions the first 1, 2, 4, 8 hold {held} of the change")

# %% [markdown]
# A few directions hold most of the change. So we need not store all of it. A matrix of rank r is a product B A of two thin
# ones, and that is LoRA (Hu et al., 2021):
#
#     y = W x + b + s B A x          W: (out, in), A: (r, in), B: (out, r), s = α/r
#
# W and b are frozen; A and B are trained. The factor s is a constant: with it, the same learning rate suits different r.
#
# ### Exercise: the forward pass
#
# A batch holds its vectors as rows, so W x becomes x Wᵀ. Use minitorch's operations: A and B need gradients.


# %%
def lora_forward(x, W, b, A, B, alpha):
    """x (..., in) -> W x + b + (alpha / r) B A x, (..., out), for each vector of x; r is the number of rows of A."""
    raise NotImplementedError


# %%
def with_gradients(forward):
    """The check looks at y, and at the gradients of its sum that arrive in A and B."""

    def asked(x, W, b, A, B, alpha):
        A, B = A.detach().requires_grad_(), B.detach().requires_grad_()
        y = forward(x, W, b, A, B, alpha)
        if not getattr(y, "requires_grad", False):
            raise TypeError("no gradient reaches A and B: is the result a tensor, made by minitorch's operations?")
        return y, *minitorch.autograd.grad(y.sum(), (A, B))

    return asked


def tensors(*arrays):
    return tuple(minitorch.tensor(np.array(a, dtype=np.float64)) for a in arrays)


# %%
W, b, A, B, x = tensors([[1, 2, 3], [4, 5, 6]], [0.5, -0.5], [[1, 0, -1], [2, 1, 0]], [[0.5, 1], [-1, 2]], [[1, -1, 2]])
grads = tensors([[-1, 1, -2], [6, -6, 12]], [[-2, 2], [-2, 2]])
check(
    lora_forward,
    case("one vector, r = 2, α = 4", (x, W, b, A, B, 4), (tensors([[6.5, 16.5]])[0], *grads), parts=("y", "dA", "dB")),
    case("at the start, B = 0", (x, W, b, A, B * 0, 4), (tensors([[5.5, 10.5]])[0], A * 0, grads[1]), parts=("y", "dA", "dB")),
    case(
        "two vectors of a sentence, r = 1, α = 3",
        (*tensors([[[1, -1, 0, 0], [0, 0, 0, 0]]], [[1, 2, 3, 4], [0, 0, 0, 1]], [1, 0], [[-1, 1, 1, 1]], [[0.5], [-1]]), 3),
        tensors([[[-3, 6], [1, 0]]], [[-1.5, 1.5, 0, 0]], [[-6], [-6]]),
        parts=("y", "dA", "dB"),
    ),
    through=with_gradients,
)

# %% [markdown]
# ## Where to start
#
# Before training, the adapted model should answer exactly like the pretrained one, so B A must be 0. Here are two ways to
# get that, and one that does not. (The library adapts queries and values unless told otherwise. Our model is so narrow that we
# take all its linear layers.)

# %%
CONFIG = LoraConfig(r=2, lora_alpha=4, target_modules="all-linear")


def lora_model(start_A=None, start_B=None):
    """A fresh model with LoRA; A and B random with the given deviations, or as the library starts them."""
    minitorch.manual_seed(0)
    model = get_peft_model(fresh_copy(), CONFIG)
    with minitorch.no_grad():
        for part in (m for m in model.modules() if isinstance(m, Lora)):
            for matrix, deviation in ((part.lora_A, start_A), (part.lora_B, start_B)):
                if deviation is not None:
                    matrix.copy_(minitorch.randn(*matrix.shape) * deviation)
    return model


def change_at_the_start(model):
    """How far the logits are from those of the model without the adapter."""
    batch = batch_of(test[:50])
    with minitorch.no_grad():
        adapted = model.eval()(**batch).logits
        with model.disable_adapter():
            return (model(**batch).logits - adapted).abs().max().item()


def largest_gradient(model, matrix):
    return max(p.grad.abs().max().item() for name, p in model.named_parameters() if name.endswith(matrix))


# %%
for name, first_A, first_B in (("A = 0 and B = 0", 0, 0), ("both random", 1, 1), ("A random, B = 0", None, None)):
    model = lora_model(first_A, first_B)
    shift = change_at_the_start(model)
    model.train()(**batch_of(examples), labels=labels_of(examples, customers[0])).loss.backward()
    in_A, in_B = (largest_gradient(model, matrix) for matrix in ("lora_A", "lora_B"))
    print(f"{name:16s} before training: logits moved by {shift:.2f}; largest gradient of A {in_A:.0e}, of B {in_B:.0e}")

# %% [markdown]
# With two zeros both gradients are 0: A and B never move. With two random matrices the model starts as a damaged one. With
# B = 0 alone it starts as the pretrained model, and B has a gradient from the first step on; A's is 0 at that step, and no
# longer once B has moved. All this stands in the formulas of the gradients.
#
# ### Exercise: the gradients
#
# x: (n, in) and the gradient g: (n, out) of y are NumPy arrays of n vectors. The rule for y = x Wᵀ gave dW = gᵀ x in lesson 3;
# use it twice.


# %%
def lora_gradients(x, g, A, B, s):
    """(dL/dA, dL/dB) of y = x Wᵀ + b + s x Aᵀ Bᵀ, with g = dL/dy; the shapes are those of A and B."""
    raise NotImplementedError


# %%
x, g = np.array([[1.0, -1, 2], [0, 3, 1]]), np.array([[1.0, 0], [2, -1]])
A, B = np.array([[1.0, 0, -1], [2, 1, 0]]), np.array([[0.5, 1], [-1, 2]])
both = np.array([[0.25, 2.75, 1.5], [0.5, -0.5, 1]]), np.array([[-1.5, 3.5], [0.5, -1.5]])
parts = ("dA", "dB")
check(
    lora_gradients,
    case("one vector", (x[:1], np.ones((1, 2)), A, B, 2.0), ([[-1, 1, -2], [6, -6, 12]], [[-2, 2], [-2, 2]]), parts=parts),
    case("two vectors, s = 0.5", (x, g, A, B, 0.5), both, parts=parts),
    case("at the start, B = 0", (x, g, A, B * 0, 0.5), (A * 0, both[1]), parts=parts),
)

# %% [markdown]
# ## Twelve adapters
#
# Now the same twelve customers with LoRA. The learning rate is larger than before: few weights have to make the whole change.
# Next to it, for three of them, the cheapest addition of all: nothing but a new head on the frozen model.

# %%
scores, adapted = {"LoRA": [], "head": []}, [0]
begin = time.perf_counter()
for number, wanted in enumerate(customers, 1):
    model = lora_model()
    scores["LoRA"].append(train_for(wanted, model, lr=1e-2, steps=150))
    model.save_pretrained(folder / "adapters" / f"customer{number}")
    adapted.append(used(folder / "adapters"))
    if number % 4 == 0:
        scores["head"].append(train_for(wanted, get_peft_model(fresh_copy(), HeadConfig()), lr=2e-2))
        print(f"customers 1 to {number}: {np.mean(scores['LoRA']):.1%} right, all adapters {adapted[-1] / 1024:.0f} KiB")
print(f"{time.perf_counter() - begin:.0f} s; an adapter is {sorted(p.name for p in (folder / 'adapters/customer1').iterdir())}")

# %%
trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
always_no = np.mean([noun not in wanted for wanted in customers for _, noun in test])
print(f"all weights trained: {np.mean(full_scores):.1%} right, {saved[1] / 1024:.0f} KiB per customer")
print(f"LoRA, r = 2:         {np.mean(scores['LoRA']):.1%} right, {adapted[1] / 1024:.0f} KiB, {trained:,} weights trained")
print(f"only a new head:     {np.mean(scores['head']):.1%} right; always 'no' is {always_no:.1%} right")
assert np.mean(scores["LoRA"]) > np.mean(scores["head"])

# %% [markdown]
# If you have written `lora_forward`, the same training runs with your code in the place of the library's:


# %%
def with_yours(self, layer, x):
    """Lora.forward of the library, handed over to you; self.scaling is α/r."""
    return lora_forward(x, layer.weight, layer.bias, self.lora_A, self.lora_B, self.scaling * self.lora_A.shape[0])


try:
    with mock.patch.object(Lora, "forward", with_yours):
        yours = train_for(customers[0], lora_model(), lr=1e-2, steps=150)
    print(f"customer 1 with your forward pass: {yours:.1%} right; with the library's: {scores['LoRA'][0]:.1%}")
except NotImplementedError:
    print("lora_forward is not written yet")

# %% [markdown]
# The adapters share one model in memory, too. One batch may even hold the sentences of several customers: `adapter_names` says
# for each row which adapter it uses.

# %%
many = PeftModel.from_pretrained(fresh_copy(), folder / "adapters/customer1", "customer1")
for number in range(2, 13):
    many.load_adapter(folder / f"adapters/customer{number}", f"customer{number}")
names = [f"customer{1 + i % 12}" for i in range(len(test))]
with minitorch.no_grad():
    answers = many(**batch_of(test), adapter_names=names).logits.argmax(-1).numpy()
right = np.mean([a == (noun in customers[i % 12]) for i, (a, (_, noun)) in enumerate(zip(answers, test, strict=True))])
print(f"one model, one batch, twelve customers: {right:.1%} right")

# %% [markdown]
# ### Exercise: how many weights?
#
# How large is an adapter of a *large* model? Count the weights of A and B of all adapted layers.


# %%
def lora_weights(shapes, r):
    """The number of weights that LoRA of rank r trains; ``shapes`` lists the (out, in) of each adapted layer."""
    raise NotImplementedError


# %%
check(
    lora_weights,
    case("one layer", ([(4, 3)], 2), 14),
    case("two layers of different shapes", ([(4, 3), (6, 5)], 1), 18),
    case("queries and values of 32 layers of width 4096, r = 8", ([(4096, 4096)] * 64, 8), 4_194_304),
    case("no layer", ([], 8), 0),
)

# %% [markdown]
# The third case is a model of 7 billion weights. The twelve adapters together take 200 MB in float32, where twelve copies take
# 168 GB; and training needs a gradient and Adam's means for 4 million weights instead of 7 billion. What LoRA does not save is
# the forward pass, and most of the backward pass: the gradient still runs through all layers down to the lowest adapter.
#
# ## Merging
#
# The addition costs two more products per layer. When a customer needs speed, or a program that knows nothing of LoRA, the
# change goes into the weight itself, once and for all.
#
# ### Exercise: merge


# %%
def merge(W, A, B, alpha):
    """The weight, (out, in), of a plain linear layer that answers like W with its adapter."""
    raise NotImplementedError


# %%
W, A, B = np.array([[1.0, 2, 3], [4, 5, 6]]), np.array([[1.0, 0, -1], [2, 1, 0]]), np.array([[0.5, 1], [-1, 2]])
square = np.array([[0.0, 1], [1, 0]]), np.array([[1.0, 2], [0, 1]]), np.array([[1.0, 0], [3, 1]])
thin = np.array([[1.0, 2, 3, 4], [0, 0, 0, 1]]), np.array([[-1.0, 1, 1, 1]]), np.array([[0.5], [-1]])
check(
    merge,
    case("r = 2, α = 4", (W, A, B, 4), np.array([[6.0, 4, 2], [10, 9, 8]])),
    case("a square weight, r = 2, α = 2", (*square, 2), np.array([[1.0, 3], [4, 7]])),
    case("r = 1, α = 3", (*thin, 3), np.array([[-0.5, 3.5, 4.5, 5.5], [3, -3, -3, -2]])),
    case("B = 0 changes nothing", (W, A, B * 0, 16), W),
)

# %% [markdown]
# The library does it for a whole model. The merged checkpoint is an ordinary one: no adapter is left in it, and any program
# that reads BERT reads it. Its outputs must equal the adapted model's.

# %%
model = PeftModel.from_pretrained(fresh_copy(), folder / "adapters/customer1").eval()
layer = model.base_model.bert.encoder.layer[1].attention.self.value
pair, W = layer.adapters["default"], layer.base_layer.weight.detach().numpy().copy()
A, B = pair.lora_A.detach().numpy(), pair.lora_B.detach().numpy()
with minitorch.no_grad():
    adapted_logits = model(**batch_of(test)).logits
model.merge_and_unload().save_pretrained(folder / "merged")

merged = BertForSequenceClassification.from_pretrained(folder / "merged").eval()
with minitorch.no_grad():
    merged_logits = merged(**batch_of(test)).logits
difference = (merged_logits - adapted_logits).abs().max().item()
largest = adapted_logits.abs().max().item()
print(f"adapted and merged logits differ by at most {difference:.0e}; the largest logit is {largest:.1f}")
assert difference < 1e-4 * largest

# %%
stored = merged.bert.encoder.layer[1].attention.self.value.weight.detach().numpy()
try:
    print(f"your merged weight and the checkpoint's differ by at most {np.abs(merge(W, A, B, 4) - stored).max():.0e}")
except NotImplementedError:
    print("merge is not written yet")

# %% [markdown]
# Merging has a price: the customer's model is a full copy again, and a merged change cannot be exchanged for another. So keep
# the adapter's file. (Merging into 16-bit weights also rounds the change away where it is small; keep the original weight
# instead of subtracting the change from the merged one.)
#
# ## The picture
#
# Left: what the disk holds after each customer. Right: the singular values of the change that full fine-tuning made.

# %%
figure, (left, right) = plt.subplots(1, 2)
left.plot(range(len(saved)), np.array(saved) / 2**20, "o-", color=RED, label="copies")
left.plot(range(13), (np.array(adapted) + used(folder / "base")) / 2**20, "o-", color=GREEN, label="one model and adapters")
left.axhline(DISK / 2**20, color=GREY, linestyle=":", label="the disk")
left.set(xlabel="customers", ylabel="MiB", title="What the disk holds", ylim=(0, 1.6 * DISK / 2**20))
left.legend(loc="upper left", fontsize=9)
for name, colour, label in (("ΔW", BLUE, "the change ΔW"), ("random", GREY, "a random matrix")):
    right.plot(range(1, 65), singular[name] / singular[name][0], color=colour, label=label)
right.set(xlabel="direction", ylabel="singular value / the largest", title="In how many directions the weights changed")
right.legend(fontsize=9)
show(figure, "16_adapting")
print(f"twelve customers: {adapted[-1] / 1024:.0f} KiB of adapters; as copies {12 * saved[1] / 1024:,.0f} KiB")
shutil.rmtree(folder)

# %% [markdown]
# ## Read next
#
# - `models/adapting/lora.py`: your forward pass and merge, with rsLoRA and DoRA.
# - `models/adapting/base.py`: how a layer of a finished model gets an adapter, `Adapted` and `put`.
# - `models/adapting/peft_model.py`, `PeftModel`: adapters by name; merging; the files are PEFT's.
# - [Adapting](../docs/adapting.md): eleven other methods, and what each costs and brings on real reviews.
# - Then lesson 17, `17_prompts.py`.
