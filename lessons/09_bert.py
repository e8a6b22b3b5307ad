# %% [markdown]
# # 9. BERT and masked language modelling, and the baselines that explain a loss
#
# BERT is lesson 8's encoder, trained on a task that needs no labels: hide some words of a text and guess them from the rest.
# This is *[masked language modelling](../docs/glossary.md)*. We train a very small BERT on real text for about half a minute.
# The question of this lesson is not how good it gets. It is: *how do you know that it has learnt anything?*

# %%
import math
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show
from tqdm import trange

import minitorch
from minitorch import nn, optim
from models.bert import BertConfig, BertForMaskedLM, Tokenizer, fill_mask
from models.bert.data import mask_tokens
from models.text.corpus import Corpus
from models.text.python_docs import fingerprint, python_documentation

# %% [markdown]
# The text is on your disk: the documentation of Python and NumPy. (Other versions have other text, so your numbers will differ
# a little from other people's. The fingerprint tells whether two people have the same text.) One file in twenty is held out. We
# take the short sentences, one per row. Rows that begin with a sentence are easier to learn from than rows that begin anywhere,
# and we have little time.

# %%
documents = [lines for _, lines in python_documentation(["numpy"])]  # the sentences of each file
order = np.random.default_rng(0).permutation(len(documents)).tolist()
cut = len(documents) // 20
tokenizer = Tokenizer.train((line for i in order[cut:] for line in documents[i]), vocab_size=1024)


def short_sentences(files):
    """The sentences of 5 to 22 pieces."""
    lines = [line for i in files for line in documents[i]]
    return [line for line, ids in zip(lines, tokenizer.encode_lines(lines, special=False), strict=True) if 5 <= len(ids) <= 22]


fresh, known = short_sentences(order[:cut]), short_sentences(order[cut:])
folder = tempfile.TemporaryDirectory()
known_text = Corpus.write([known], tokenizer, Path(folder.name) / "known")  # the sentences as one long array of ids
fresh_text = Corpus.write([fresh], tokenizer, Path(folder.name) / "fresh")
print(f"{len(known)} sentences to learn from, {len(fresh)} held out, fingerprint {fingerprint(documents)[:12]}; for example:")
print(known[0], tokenizer.tokenize(known[0]), sep="\n")

# %% [markdown]
# ## Something goes wrong
#
# We train a BERT of two layers for eighty steps. The library hides a fifth of the pieces (how exactly, we shall see). The
# learning rate is bold, 0.05:


# %%
def make_model():
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=256,
        max_position_embeddings=64,
        initializer_range=0.1,  # BERT's 0.02 is for a width of 768; a narrow network wants larger weights (lesson 6: 1/√n)
        hidden_dropout_prob=0.0,  # so short a run cannot overfit
        attention_probs_dropout_prob=0.0,
    )
    return BertForMaskedLM(config)


# %%
def masked_batch(texts, step, size=64):
    """Random sentences with hidden pieces, and labels that hold the hidden pieces."""
    random = np.random.default_rng(step)
    batch = tokenizer([texts[i] for i in random.integers(0, len(texts), size)])  # padded, with a mask (lesson 8)
    ids = batch["input_ids"].numpy()
    maskable = ~np.isin(ids, [tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id])
    masked, labels = mask_tokens(ids, maskable, tokenizer, random, probability=0.2)
    return {**batch, "input_ids": minitorch.tensor(masked), "labels": minitorch.tensor(labels)}


def train(model, steps, lr, warmup):
    optimizer = optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98))
    schedule = optim.lr_scheduler.get_linear_schedule_with_warmup(optimizer, warmup, steps)
    losses = []
    for step in trange(steps, mininterval=1, leave=False):  # a line of progress
        loss = model(**masked_batch(known, step)).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


# %%
minitorch.manual_seed(0)
stuck_model = make_model()
stuck = train(stuck_model, steps=80, lr=0.05, warmup=0)
print(f"loss {stuck[0]:.2f} -> {np.mean(stuck[40:60]):.2f} -> {np.mean(stuck[60:]):.2f}")

# %% [markdown]
# The loss fell a long way, and now it stands still. Is that progress? Should we wait? Many people have asked in forums why
# their BERT is "stuck near 7". You can tell if you know the cost of some very simple guesses. The loss is the mean of
# -log(probability of the right piece), in units called *nats*. So every way of guessing has its price:
#
# 1. All V pieces equally likely: ln V.
# 2. Each piece by its frequency, ignoring the context: the *unigram entropy*, -Σ p log p.
# 3. Each piece by its left neighbour, from a table of pair counts. No network at all.
#
# These are our *baselines*: a model gets below one only if it uses more than that guess uses.
#
# ### Exercise: the unigram entropy, held out
#
# An honest price is measured on other text: the frequencies come from the training text, the cost is -mean log q(piece) on the
# fresh text. With q = (count + 1) / (sum of all counts + V) even a piece that never occurred has a probability above 0. Without
# the 1 it would cost infinity.


# %%
def unigram_cost(train_ids, fresh_ids, V):
    """Nats per piece of ``fresh_ids`` under the (add-one) frequencies of ``train_ids``; both arrays of ids below V."""
    raise NotImplementedError


# %%
some = np.random.default_rng(0).zipf(1.5, 3000) % 50
check(
    unigram_cost,
    case("three pieces", (np.array([0, 0, 1]), np.array([0, 2]), 3), -(math.log(3 / 6) + math.log(1 / 6)) / 2),
    case("a piece that never occurred", (np.array([0]), np.array([4]), 5), math.log(6)),
    case("a longer text", (some[:2000], some[2000:], 50), 2.6286323),
)

# %%
V = len(tokenizer)
unigram = fresh_text.unigram_entropy(known_text, V)
pairs = np.zeros((V, V))
np.add.at(pairs, (known_text.ids[:-1], known_text.ids[1:]), 1)
frequency = pairs.sum(axis=0) / pairs.sum()
frequency = (frequency + 1e-6) / (frequency + 1e-6).sum()
given_left = (pairs + 50 * frequency) / (pairs.sum(axis=1, keepdims=True) + 50)  # rare left neighbours fall back on it
bigram = -float(np.log(given_left[fresh_text.ids[:-1], fresh_text.ids[1:]]).mean())
print(f"baselines: uniform {math.log(V):.2f}, by frequency {unigram:.2f}, by the left neighbour {bigram:.2f}")
print(f"our network stands at {np.mean(stuck[60:]):.2f}")

# %% [markdown]
# It is close to the frequency baseline. So our network has learnt how frequent each piece is, and *nothing else*. That needs no
# encoder; the bias of the last layer is enough. And indeed it does not look at the text. We let it guess in two different
# sentences:


# %%
CLOZE = [
    "If the file does [MASK] exist, an error is raised.",
    "Return the number [MASK] elements in the list.",
    "Return [MASK] if the object is a string.",
]


def guesses_for(model, *texts):
    for text in texts:
        (row,) = fill_mask(model, tokenizer, text, top_k=3)
        print(f"  {text:50s}", ", ".join(f"{piece} {p:.1%}" for piece, p in row))


guesses_for(stuck_model.eval(), *CLOZE[:2])

# %% [markdown]
# It gives the same answer to both. Such large steps broke the encoder at the very start.
#
# ## The task, in detail
#
# Before the repair, let us look at the task more closely. Some of the pieces are chosen (15 % in BERT). Of these 80 % become
# [MASK], 10 % become a random piece, and 10 % stay as they are. Why not always [MASK]? In real use there is no [MASK], and a
# network trained only there would be useless elsewhere. This way any piece may be asked for, so the network must have an
# opinion about each. The labels hold the original piece at the chosen positions and -100, "do not ask", everywhere else.
#
# ### Exercise: apply the masking
#
# The random draws are given, so that the result can be checked: `chosen` (bool), `u` (uniform numbers) and `other` (random
# pieces), all of the shape of ids. u < 0.8: [MASK]. 0.8 ≤ u < 0.9: the random piece. Otherwise the piece stays.


# %%
def mask_pieces(ids, chosen, u, other, mask_id):
    """Return (the ids that the network sees, the labels)."""
    raise NotImplementedError


# %%
ids, chosen = np.array([11, 12, 13, 14, 15]), np.array([True, True, True, False, False])
u, other = np.array([0.1, 0.85, 0.95, 0.1, 0.85]), np.array([7, 7, 7, 7, 7])
check(
    mask_pieces,
    case(
        "one of each kind",
        (ids, chosen, u, other, 4),
        (np.array([4, 7, 13, 14, 15]), np.array([11, 12, 13, -100, -100])),
        parts=("what it sees", "labels"),
    ),
    case(
        "u at the bounds: 0.8 is random, 0.9 stays",
        (ids[:2], chosen[:2], np.array([0.8, 0.9]), other[:2], 4),
        (np.array([7, 12]), np.array([11, 12])),
        parts=("what it sees", "labels"),
    ),
    case("nothing chosen", (ids, ~chosen & False, u, other, 4), (ids, np.full(5, -100)), parts=("what it sees", "labels")),
)

# %% [markdown]
# ### Exercise: the loss
#
# Cross entropy at the chosen positions, and the mean over *those*. The logits have shape (n, V), the labels (n,); both are
# NumPy arrays. The check compares you with the library's `cross_entropy`, which ignores the label -100.


# %%
def masked_loss(logits, labels):
    """The mean of -log softmax(logits)[label] over the positions whose label is not -100."""
    raise NotImplementedError


# %%
random = np.random.default_rng(1)
logits, labels = random.standard_normal((6, 9)) * 3, np.array([2, -100, 0, -100, -100, 8])
library_loss = nn.functional.cross_entropy(minitorch.tensor(logits), minitorch.tensor(labels))
check(
    masked_loss,
    case("three of six positions", (logits, labels), library_loss),
    case(
        "huge logits",
        (logits * 400, labels),
        nn.functional.cross_entropy(minitorch.tensor(logits * 400), minitorch.tensor(labels)),
    ),
)

# %% [markdown]
# ## The repair
#
# A smaller learning rate, and a *warm-up*: the rate rises from 0 over the first steps, and then slowly falls back to 0. At the
# start Adam's running means know nothing yet (lesson 4), so its first steps are the least reliable, and should be small. The
# rest of `train` stays as it was.

# %%
minitorch.manual_seed(0)
model = make_model()
begin = time.perf_counter()
STEPS = 1000
losses = train(model, steps=STEPS, lr=0.003, warmup=40)
seconds = time.perf_counter() - begin

model.eval()
with minitorch.no_grad():
    final = float(np.mean([model(**masked_batch(fresh, 10**6 + k)).loss.item() for k in range(20)]))
print(f"loss {losses[0]:.2f} -> {np.mean(losses[-50:]):.2f}; on fresh text {final:.2f}")
print(f"{STEPS} steps of 64 sentences in {seconds:.0f} s, {STEPS * 64 / seconds:,.0f} sentences per second")
assert final < unigram - 0.5

# %%
print(f"{unigram - final:.2f} nats below the frequencies, {bigram - final:.2f} below the left neighbour")
print(f"the right piece gets {math.exp(unigram - final):.1f} times the probability that its frequency would give it")
guesses_for(model, *CLOZE)

# %% [markdown]
# Now the answers depend on the question, and the loss is below what the left neighbour alone is worth. (A better table of pairs
# would be a little cheaper than ours, so a margin of a hundredth would prove nothing.) As a test, we shuffle the visible pieces
# of each fresh sentence: the same pieces surround the hidden one, but in random order:


# %%
def shuffled(batch, random):
    """The batch with the visible pieces of each row in random order; special and chosen ones stay where they are."""
    ids, labels = batch["input_ids"].numpy().copy(), batch["labels"].numpy()
    free = ~np.isin(ids, [tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id]) & (labels == -100)
    for row, movable in zip(ids, free, strict=True):
        row[movable] = random.permutation(row[movable])
    return {**batch, "input_ids": minitorch.tensor(ids)}


random = np.random.default_rng(0)
with minitorch.no_grad():
    disordered = float(np.mean([model(**shuffled(masked_batch(fresh, 10**6 + k), random)).loss.item() for k in range(20)]))
print(f"in order {final:.2f}, shuffled {disordered:.2f}, by frequency {unigram:.2f}")

# %% [markdown]
# The same pieces in random order are worth much less to it: so order matters. How much of what it knows is order? This number
# cannot tell. Shuffled text is unlike anything the model saw, and some of the loss is plain surprise. To separate the two, train
# a second model on shuffled sentences and compare: that one knows which pieces go together, and nothing of order.

# %% [markdown]
# ## The picture
#
# A loss curve without baselines is a line. With them it is a statement.

# %%
figure, axis = plt.subplots(figsize=(9, 4))
axis.plot(losses, color=BLUE, alpha=0.25, linewidth=0.8)  # every step: it begins at ln V
smooth = np.convolve(losses, np.ones(15) / 15, "valid")
axis.plot(np.arange(len(smooth)) + 7, smooth, color=BLUE, label="repaired, training text")
axis.plot(np.convolve(stuck, np.ones(5) / 5, "valid"), color=RED, label="too bold")
axis.plot([STEPS], [final], "o", color=GREEN, label=f"repaired, fresh text: {final:.2f}")
for value, name in ((math.log(V), "ln V"), (unigram, "by frequency"), (bigram, "by the left neighbour")):
    axis.axhline(value, color=GREY if name == "ln V" else ORANGE, linestyle=":")
    axis.text(STEPS, value + 0.03, f"{name} {value:.2f}", ha="right", fontsize=9)
axis.set(xlabel="step", ylabel="loss (nats)", title="The same model at two learning rates", ylim=(None, 8.8))
axis.legend(loc="upper center", fontsize=9)
show(figure, "09_bert")

# %% [markdown]
# We keep the model: lesson 10 can load it.

# %%
model.save_pretrained(Path("runs/lessons/bert"))
tokenizer.save_pretrained(Path("runs/lessons/bert"))
folder.cleanup()

# %% [markdown]
# `minitorch pretrain` does the same with a larger model on running text, where rows begin anywhere.
# `benchmarks/results/pretrain/curve.png` shows such a run. For a thousand steps its loss stays a little below the frequency
# baseline, and only then falls. Without the baselines, that stretch would look like the end.
#
# ## Read next
#
# - `models/bert/model.py`: the whole model, one class per box, under Hugging Face's names.
# - `models/bert/data.py`, `mask_tokens`: your masking, for a batch, with an exact number of masks per row.
# - `models/bert/pretraining.py`: the training run with warm-up, validation, and bit-exact resuming.
# - Then lesson 10, `10_finetuning.py`.
