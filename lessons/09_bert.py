# %% [markdown]
# # 9. BERT and masked language modelling, with the floors that show what a loss means
#
# BERT is lesson 8's encoder, trained on a task that needs no labels: hide some words of a text and guess them from the rest. This
# is *masked language modelling*. The question of this lesson is not how good our BERT gets. It is: *how do you know that it has
# learnt anything?*
#
# We train a very small one on a very small language, made for this lesson. Real text would be nicer, but on real text a BERT
# of this size stands still for more than the minute that a lesson has, before it learns anything beyond word frequencies. At
# the end you will see that happen, in the curve of a longer run.

# %%
import json
import math
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show

import minitorch
from minitorch import nn, optim
from models.bert import BertConfig, BertForMaskedLM, Tokenizer, fill_mask
from models.bert.data import Corpus, mask_tokens

# %% [markdown]
# The language has sentences such as "the cat near two dogs sees many birds ." It has one rule of grammar: the verb agrees
# with its subject, *cat sees*, *cats see*, whatever stands between them. A child learns that; can a network?

# %%
NOUNS = "cat dog bird horse child king queen robot tree bear".split()
VERBS = "see hear like follow find help want know".split()
DETERMINERS = {False: ["the", "a", "one"], True: ["the", "two", "many"]}  # one thing, several


def noun_phrase(random):
    """Words, and whether they mean several things."""
    several = bool(random.integers(2))
    return f"{random.choice(DETERMINERS[several])} {random.choice(NOUNS)}{'s' if several else ''}", several


def sentence(random):
    subject, several = noun_phrase(random)
    between = f" near {noun_phrase(random)[0]}" if random.integers(2) else ""
    verb = random.choice(VERBS) + ("" if several else "s")
    return f"{subject}{between} {verb} {noun_phrase(random)[0]} ."


# %%
random = np.random.default_rng(0)
sentences = [sentence(random) for _ in range(5000)]
fresh, known = sentences[:500], sentences[500:]
tokenizer = Tokenizer.train(known, vocab_size=200)
folder = tempfile.TemporaryDirectory()
known_text = Corpus.write([known], tokenizer, Path(folder.name) / "known")  # the sentences as one long array of ids
fresh_text = Corpus.write([fresh], tokenizer, Path(folder.name) / "fresh")
print(known[0], "|", known[1])
print(f"{len(known_text.ids):,} pieces to learn from, {len(fresh_text.ids):,} held out, {len(tokenizer)} different ones")

# %% [markdown]
# ## Something goes wrong
#
# A BERT of two layers. The library hides a fifth of the pieces (how exactly, we shall see). And a learning rate that is bold:
# 0.05. Sixty steps:


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
    """Random sentences with hidden pieces, and labels that hold what is hidden."""
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
    for step in range(steps):
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
stuck = train(stuck_model, steps=60, lr=0.05, warmup=0)
print(f"loss {stuck[0]:.2f} -> {np.mean(stuck[20:40]):.2f} -> {np.mean(stuck[40:]):.2f}")

# %% [markdown]
# The loss fell a long way, and now it stands. Is that progress? Should one wait? Many people have asked in forums why their
# BERT is "stuck near 7". You can tell, if you know what some very simple guesses cost. The loss is the mean of
# -log(probability of the right piece), in units called *nats*. So every way of guessing has its price:
#
# 1. Any of V pieces, all alike: ln V.
# 2. Each piece by its frequency, whatever stands around it: the *unigram entropy*, -Σ p log p.
# 3. Each piece by its left neighbour, from a table of counted pairs. No network at all.
#
# We call them *floors*: a model stays above or at the floor of what it does not use.
#
# ### Exercise: the unigram entropy, held out
#
# An honest price is taken on text that was not counted: the frequencies come from the training text, the cost is -mean log
# q(piece) on the fresh text. With q = (count + 1) / (sum of all counts + V) even a piece that never occurred has a
# probability above 0. Without the 1 it would cost infinity.


# %%
def unigram_cost(train_ids, fresh_ids, V):
    """Nats a piece that the (add-one) frequencies of ``train_ids`` cost on ``fresh_ids``; both arrays of ids below V."""
    raise NotImplementedError


# %%
some = np.random.default_rng(0).zipf(1.5, 3000) % 50
check(
    unigram_cost,
    case("three pieces", (np.array([0, 0, 1]), np.array([0, 2]), 3), -(math.log(3 / 6) + math.log(1 / 6)) / 2),
    case("a piece that never occurred", (np.array([0]), np.array([4]), 5), math.log(6)),
    case("a longer text", (some[:2000], some[2000:], 50), 2.6286323),
    hints=[
        "First the counts of all V pieces in the training text, those that never occur included: np.bincount has a minlength.",
        "From the counts q, for all V pieces; its sum is 1. Then look up each fresh piece in it: q[fresh_ids].",
    ],
)

# %%
V = len(tokenizer)
unigram = fresh_text.unigram_entropy(known_text, V)
pairs = np.zeros((V, V))
np.add.at(pairs, (known_text.ids[:-1], known_text.ids[1:]), 1)
frequency = pairs.sum(axis=0) / pairs.sum()
given_left = (pairs + 20 * frequency) / (pairs.sum(axis=1, keepdims=True) + 20)  # rare left neighbours fall back on it
bigram = -float(np.log(given_left[fresh_text.ids[:-1], fresh_text.ids[1:]]).mean())
print(f"floors: all alike {math.log(V):.2f}, by frequency {unigram:.2f}, by the left neighbour {bigram:.2f}")
print(f"our network stands at {np.mean(stuck[40:]):.2f}")

# %% [markdown]
# It stands at the floor of the frequencies. So our network has learnt how frequent each piece is, and *nothing else*: it
# might as well not look at the text. For that no encoder is needed, the bias of the last layer is enough. And it does not
# look at the text, indeed. We let it guess the same place in two different sentences:


# %%
def guesses_for(model, *texts):
    for text in texts:
        (row,) = fill_mask(model, tokenizer, text, top_k=3)
        print(f"  {text:42s}", ", ".join(f"{piece} {p:.1%}" for piece, p in row))


guesses_for(stuck_model.eval(), "the [MASK] near two dogs sees a bird .", "many cats hear one [MASK] .")

# %% [markdown]
# The same answer to both questions. With steps this large the encoder was broken in the first moments.
#
# ## The task, in detail
#
# Before the repair, let us see what exactly the task is. A share of the pieces is chosen (in BERT 15 %). Of these 80 % become
# [MASK], 10 % become a random piece, and 10 % stay as they are. Why not always [MASK]? Because later, in real use, there is
# no [MASK], and a network that has only learnt to work at that sign would be of no use elsewhere. As it is, any piece may be
# asked, so it must have an opinion about each. The labels hold the original at the chosen places and -100, "do not ask",
# everywhere else.
#
# ### Exercise: apply the masking
#
# The dice are given, so that the result can be checked: `chosen` (bool), `u` (uniform numbers) and `other` (random pieces), all
# of the shape of ids. u < 0.8: [MASK]. 0.8 ≤ u < 0.9: the random piece. Otherwise: stays.


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
    case("nothing chosen", (ids, ~chosen & False, u, other, 4), (ids, np.full(5, -100)), parts=("what it sees", "labels")),
    hints=[
        "np.where(condition, a, b) takes a where the condition holds and b elsewhere, and makes a new array.",
        "What it sees: one np.where for [MASK], a second one for the random pieces. Both conditions contain `chosen`.",
        "The piece that stays must be guessed as well: the labels depend on `chosen` alone.",
    ],
)

# %% [markdown]
# ### Exercise: the loss
#
# Cross entropy at the places that are asked, and the mean over *those*. The logits have shape (n, V), the labels (n,); both
# are NumPy arrays. The check compares you with the library's `cross_entropy`, which ignores the label -100.


# %%
def masked_loss(logits, labels):
    """The mean of -log softmax(logits)[label] over the places whose label is not -100."""
    raise NotImplementedError


# %%
random = np.random.default_rng(1)
logits, labels = random.standard_normal((6, 9)) * 3, np.array([2, -100, 0, -100, -100, 8])
library_loss = nn.functional.cross_entropy(minitorch.tensor(logits), minitorch.tensor(labels))
check(
    masked_loss,
    case("three of six places", (logits, labels), library_loss),
    case(
        "huge logits",
        (logits * 400, labels),
        nn.functional.cross_entropy(minitorch.tensor(logits * 400), minitorch.tensor(labels)),
    ),
    hints=[
        "Pick the rows first: asked = labels != -100.",
        "The logarithm of the softmax, without overflow, is x - log-sum-exp(x), row by row (lesson 5).",
        "Pick the label's number in each row, as in lesson 5. The mean is over the asked places, not over n.",
    ],
)

# %% [markdown]
# ## The repair
#
# A smaller learning rate, and a *warm-up*: the rate rises from 0 over the first steps, and then falls again, slowly, to 0. At
# the start Adam's running means know nothing yet (lesson 4), so its first steps are the least trustworthy, and should be
# small. The rest of `train` stays as it was.

# %%
minitorch.manual_seed(0)
model = make_model()
begin = time.perf_counter()
STEPS = 800
losses = train(model, steps=STEPS, lr=0.003, warmup=40)
seconds = time.perf_counter() - begin

model.eval()
with minitorch.no_grad():
    final = float(np.mean([model(**masked_batch(fresh, 10**6 + k)).loss.item() for k in range(20)]))
print(f"loss {losses[0]:.2f} -> {np.mean(losses[-50:]):.2f}; on fresh text {final:.2f}")
print(f"{STEPS} steps of 64 sentences in {seconds:.0f} s, {STEPS * 64 / seconds:,.0f} sentences a second")
assert final < bigram < unigram

# %%
print(f"{unigram - final:.2f} nats under the frequencies, {bigram - final:.2f} under the left neighbour")
print(f"the right piece gets {math.exp(unigram - final):.1f} times the probability that its frequency would give it")
guesses_for(
    model, "the [MASK] near two dogs sees a bird .", "many cats hear one [MASK] .", "the cat near two dogs [MASK] a bird ."
)

# %% [markdown]
# Now the answers depend on the question. It cannot do much better than this, for the language is largely chance: nobody can
# know which noun it was. But does it know the rule? A low loss does not say so, a test does. The hard sentences have a noun
# of the *other* number between subject and verb, so that the left neighbour of the verb points to the wrong form. We hide the
# verb and compare the probability of all singular forms with that of all plural ones.


# %%
def hard_sentence(random):
    """A sentence without its verb, whose subject and whose verb's neighbour differ in number, and whether several act."""
    while True:
        (subject, several), (other, others), (object_, _) = (noun_phrase(random) for _ in range(3))
        if several != others:
            return f"{subject} near {other} [MASK] {object_} .", several


hard = [hard_sentence(random) for _ in range(200)]
batch = tokenizer([text for text, _ in hard])
with minitorch.no_grad():
    p = model(**batch).logits.softmax(-1).numpy()[batch["input_ids"].numpy() == tokenizer.mask_id]  # (200, V)
singular = p[:, [tokenizer.vocabulary[verb + "s"] for verb in VERBS]].sum(axis=1)
plural = p[:, [tokenizer.vocabulary[verb] for verb in VERBS]].sum(axis=1)
agrees = (plural > singular) == np.array([several for _, several in hard])
for (text, _), a, b in list(zip(hard, singular, plural, strict=True))[:3]:
    print(f"{text:45s} one acts {a:.0%}, several act {b:.0%}")
print(f"the verb agrees with its subject, not with its neighbour, in {agrees.mean():.0%} of {len(hard)} hard sentences")

# %% [markdown]
# ## And on real text?
#
# `minitorch pretrain` does the same on the documentation that Python carries, with 2,048 pieces and a BERT of width 128. That
# takes some minutes, so we do not run it here. If you have run it, its curve is read from `runs/pretrain`; otherwise here is
# a *recorded* one, from two cores of an AMD EPYC.

# %%
here = Path(minitorch.__file__).parents[1]
runs = [Path("runs/pretrain"), Path("../runs/pretrain"), here / "benchmarks/results/pretrain"]
source = next((run for run in runs if (run / "metrics.jsonl").is_file()), None)
real = [json.loads(line) for line in (source / "metrics.jsonl").read_text().splitlines()] if source else []
for point in real[:: max(1, len(real) // 5)]:
    print(f"step {point['step']:5d}: loss on fresh text {point['valid_loss']:.2f}, by frequency {point['unigram_floor']:.2f}")
print(f"read from {source}" if source else "no run found")

# %% [markdown]
# In the recorded run the loss lingers a little below the floor of the frequencies for a thousand steps, and only then falls:
# at last the attention has found out how to look at a neighbour. Without the floor that long flat stretch looks like the end.
# With it you know what is still missing.
#
# ## The picture
#
# A loss curve without floors is a line. With them it is a statement. Left: our language. Right: real text.

# %%
figure, (axis, right_axis) = plt.subplots(1, 2, figsize=(12, 4))
smooth = np.convolve(losses, np.ones(15) / 15, "valid")
axis.plot(np.arange(len(smooth)) + 7, smooth, color=BLUE, label="repaired, training text")
axis.plot(np.convolve(stuck, np.ones(5) / 5, "valid"), color=RED, label="too bold")
axis.plot([STEPS], [final], "o", color=GREEN, label=f"repaired, fresh text: {final:.2f}")
for value, name in ((math.log(V), "ln V"), (unigram, "by frequency"), (bigram, "by the left neighbour")):
    axis.axhline(value, color=GREY if name == "ln V" else ORANGE, linestyle=":")
    axis.text(STEPS, value + 0.03, f"{name} {value:.2f}", ha="right", fontsize=9)
axis.set(xlabel="step", ylabel="loss (nats)", title=f"{model.num_parameters():,} parameters, {seconds:.0f} s")
axis.legend(loc=(0.35, 0.56), fontsize=8)
if real:
    right_axis.plot([p["step"] for p in real], [p["valid_loss"] for p in real], "o-", color=GREEN, label="fresh text")
    for value, name in ((real[-1]["uniform_floor"], "ln V"), (real[-1]["unigram_floor"], "by frequency")):
        right_axis.axhline(value, color=GREY if name == "ln V" else ORANGE, linestyle=":")
        right_axis.text(real[-1]["step"], value + 0.03, f"{name} {value:.2f}", ha="right", fontsize=9)
    recorded = "recorded" if source == runs[2] else "your run"
    right_axis.set(xlabel="step", title=f"Python's documentation ({recorded}): {real[-1]['valid_loss']:.2f}")
show(figure, "09_bert")

# %% [markdown]
# We keep the model: lesson 10 can load it.

# %%
model.save_pretrained(Path("runs/lessons/bert"))
tokenizer.save_pretrained(Path("runs/lessons/bert"))
folder.cleanup()

# %% [markdown]
# Below the floor of the left neighbour there is only one way: to use the rest of the sentence.
#
# ## Read next
#
# - `models/bert/model.py`: the whole model, a class a box, under Hugging Face's names.
# - `models/bert/data.py`, `mask_tokens`: your masking, for a batch, with an exact number of masks a row.
# - `models/bert/pretraining.py`: the training run with warm-up, validation, and a resume that is bit-equal.
# - Then lesson 10, `10_finetuning.py`.
