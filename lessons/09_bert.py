# %% [markdown]
# # 9. BERT and masked language modelling, with the floors that show what a loss means
#
# BERT is lesson 8's encoder, trained on a task that needs no labels: hide some words of a text and guess them from the rest.
# We train a very small one, in less than a minute, on a very small language. The question of this lesson is not how good it
# gets. It is: *how do you know that it has learnt anything?*

# %%
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
from models.bert.data import Blocks, Corpus

# %% [markdown]
# The language has sentences such as "the cat near two dogs sees many birds ." Its one rule of grammar: the verb agrees with
# its subject, *cat sees*, *cats see*, whatever stands between them. A child learns that; can a network?

# %%
NOUNS = "cat dog bird horse child king queen robot tree fish".split()
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
documents = [[sentence(random) for _ in range(20)] for _ in range(250)]
held_out, to_learn = documents[:25], documents[25:]
tokenizer = Tokenizer.train((s for d in to_learn for s in d), vocab_size=200)
folder = tempfile.TemporaryDirectory()
train_text = Corpus.write(to_learn, tokenizer, Path(folder.name) / "train")
fresh_text = Corpus.write(held_out, tokenizer, Path(folder.name) / "fresh")
print(documents[0][0], "|", documents[0][1])
print(f"{len(train_text.ids):,} pieces to learn from, {len(fresh_text.ids):,} held out, {len(tokenizer)} different ones")

# %% [markdown]
# ## Something goes wrong
#
# A small BERT and a learning rate that looks bold but reasonable. Sixty steps:

# %%
LENGTH, BATCH, STEPS = 33, 32, 1500  # 31 pieces and two special: in step with no sentence, so no place is always a noun


def make_model(width=64, layers=2, spread=0.1):
    sizes = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 32,
        "intermediate_size": 4 * width,
    }
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # so short a run cannot overfit
    return BertForMaskedLM(
        BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, initializer_range=spread, **sizes, **none)
    )


# %%
def train(model, steps, lr, warmup):
    data = Blocks(train_text, tokenizer, LENGTH, BATCH, seed=0, probability=0.2)
    optimizer = optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98))
    schedule = optim.lr_scheduler.get_linear_schedule_with_warmup(optimizer, warmup, steps)
    losses = []
    for step in range(steps):
        loss = model(**data.batch(step)).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


# %%
minitorch.manual_seed(0)
stuck = train(make_model(), steps=60, lr=0.05, warmup=0)
print(f"loss {stuck[0]:.2f} -> {np.mean(stuck[20:40]):.2f} -> {np.mean(stuck[40:]):.2f}")

# %% [markdown]
# The loss fell a long way, and now it stands. Progress? Forums are full of people whose BERT is "stuck near 7" or "stuck near
# 6", and who cannot tell whether to wait. You can tell, if you know what some very stupid guesses cost.
#
# ## Floors
#
# 1. Any of V pieces, all alike: ln V.
# 2. Each piece by its frequency, whatever stands around it: the *unigram entropy* H = -Σ p log p.
# 3. The piece by its left neighbour, from a table of counted pairs. No network at all.
#
# ### Exercise: the unigram entropy, held out
#
# The honest version takes the frequencies from the training text and asks what they cost on the fresh one: -mean log q(piece),
# where q = (count + 1) / (sum of the counts + V). The added 1 keeps a piece that never occurred from costing infinity.


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
        "np.bincount(train_ids, minlength=V) counts.",
        "q = (counts + 1) / (counts.sum() + V); the cost is the mean of -log q[fresh_ids].",
    ],
)

# %%
V = len(tokenizer)
unigram = fresh_text.unigram_entropy(train_text, V)
pairs = np.zeros((V, V))
np.add.at(pairs, (train_text.ids[:-1], train_text.ids[1:]), 1)
unigrams = (np.bincount(train_text.ids, minlength=V) + 1) / (len(train_text.ids) + V)
given_left = (pairs + 20 * unigrams) / (pairs.sum(axis=1, keepdims=True) + 20)  # pulled towards the frequencies
bigram = -float(np.log(given_left[fresh_text.ids[:-1], fresh_text.ids[1:]]).mean())
print(f"all alike {math.log(V):.2f}, by frequency {unigram:.2f}, by the left neighbour {bigram:.2f}")
print(f"our network: {np.mean(stuck[40:]):.2f}")

# %% [markdown]
# Our network has learnt how frequent each piece is, and *nothing else*: it may as well not look at the text. That takes no
# encoder, the bias of the last layer is enough. And it will not get better: with steps this large the encoder was broken in the
# first moments, and now says the same for every text.
#
# ## The task, in detail
#
# A share of the pieces is chosen (BERT: 15 %). Of these 80 % become [MASK], 10 % a random piece, and 10 % stay as they are. Why
# not always [MASK]? Because later, in real use, there is no [MASK]. The network must not think that a visible piece is always
# right. The labels hold the original at chosen places and -100, "do not ask", everywhere else.
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
        "np.where(condition, a, b) twice for what it sees, once for the labels.",
        "The piece that stays must be guessed as well: the labels depend on chosen alone.",
    ],
)

# %% [markdown]
# ### Exercise: the loss
#
# Cross entropy at the places that are asked, the mean over *those*. Use logits (n, V) and labels (n,), both NumPy.


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
        "log softmax = x - max - log Σ e^(x - max), row by row (lesson 5).",
        "Divide by the number of asked places, not by n.",
    ],
)

# %% [markdown]
# ## The repair
#
# A smaller rate, and a *warm-up*: the rate rises from 0 over the first steps. Adam's running means know nothing yet at the start,
# so its first steps are the least trustworthy. And a narrow network wants larger initial weights than BERT's 0.02, which was made
# for a width of 768: lesson 6 had 1/√n.

# %%
minitorch.manual_seed(0)
model = make_model()
begin = time.perf_counter()
losses = train(model, steps=STEPS, lr=0.003, warmup=40)
seconds = time.perf_counter() - begin


def fresh_loss(model):
    batches = Blocks(fresh_text, tokenizer, LENGTH, BATCH, seed=1, probability=0.2)
    with minitorch.no_grad():
        return float(np.mean([model(**batches.batch(step)).loss.item() for step in range(12)]))


final = fresh_loss(model.eval())
print(f"loss {losses[0]:.2f} -> {np.mean(losses[-50:]):.2f}; on fresh text {final:.2f}")
print(f"{seconds:.0f} s, {STEPS * LENGTH * BATCH / seconds:,.0f} pieces a second")

# %%
print(
    f"better than frequencies by {unigram - final:.2f} nats: "
    f"it gives the right piece {math.exp(unigram - final):.1f} times the chance"
)
(guesses,) = fill_mask(model, tokenizer, "the cat near two dogs [MASK] a bird .")
print("the cat near two dogs [MASK] a bird:", ", ".join(f"{piece} {p:.0%}" for piece, p in guesses))

# %% [markdown]
# Does it know the rule? Sentences with a noun of the *other* number between subject and verb are the hard ones: the left
# neighbour of the verb points to the wrong form. We hide the verb and ask for the probability of all singular forms against all
# plural ones.

# %%
singular = [tokenizer.vocabulary[verb + "s"] for verb in VERBS]
plural = [tokenizer.vocabulary[verb] for verb in VERBS]
right = []
for subject, between, several in (("{} cat", "two dogs", False), ("{} cats", "a dog", True), ("{} kings", "one tree", True)):
    text = f"{subject.format('the')} near {between} [MASK] many birds ."
    batch = tokenizer(
        [f"{documents[k][0]} {text} {documents[k][1]}" for k in range(25)]
    )  # between other sentences, as in training
    with minitorch.no_grad():
        p = model(**batch).logits.softmax(-1).numpy()[batch["input_ids"].numpy() == tokenizer.mask_id]
    agrees = p[:, plural].sum(axis=1) > p[:, singular].sum(axis=1)
    right += list(agrees == several)
    print(f"{text:48s} {np.mean(agrees == several):.0%} right")
print(f"the verb agrees with its subject and not with its neighbour: {np.mean(right):.0%}")

# %% [markdown]
# ## The picture
#
# A loss curve without floors is a line. With them it is a statement.

# %%
figure, axis = plt.subplots(figsize=(9, 4))
smooth = np.convolve(losses, np.ones(15) / 15, "valid")
axis.plot(np.arange(len(smooth)) + 7, smooth, color=BLUE, label="repaired, training text")
axis.plot(np.convolve(stuck, np.ones(5) / 5, "valid"), color=RED, label="too bold")
axis.plot([STEPS], [final], "o", color=GREEN, label=f"repaired, fresh text: {final:.2f}")
for value, name in ((math.log(V), "ln V"), (unigram, "by frequency"), (bigram, "by the left neighbour")):
    axis.axhline(value, color=GREY if name == "ln V" else ORANGE, linestyle=":")
    axis.text(STEPS, value + 0.03, f"{name} {value:.2f}", ha="right", fontsize=9)
axis.set(xlabel="step", ylabel="loss (nats)", title=f"{model.num_parameters():,} parameters, {seconds:.0f} s")
axis.legend(loc=(0.3, 0.62), fontsize=9)
show(figure, "09_bert")
folder.cleanup()

# %% [markdown]
# Below the floor of the left neighbour there is only one way: to use the rest of the sentence. On a real text the same picture
# takes hours instead of a minute, and the first floor is where many runs get stuck: `minitorch pretrain --help`.
#
# ## Read next
#
# - `models/bert/model.py`: the whole model, a class a box, under Hugging Face's names.
# - `models/bert/data.py`, `mask_tokens`: your masking, for a batch, with an exact number of masks a row.
# - `models/bert/pretraining.py`: the training run with warm-up, validation, and a resume that is bit-equal.
# - Then lesson 10, `10_finetuning.py`.
