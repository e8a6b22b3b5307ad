# %% [markdown]
# # 10. Fine-tuning, and loading a real pretrained model
#
# Nobody trains BERT for their own task from nothing. One takes weights that somebody trained for days, replaces the last layer,
# and trains a little more. That is fine-tuning. It is short, but everything depends on the weights really arriving. This lesson
# starts with weights that did not.

# %%
import json
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
from models.bert import BertConfig, BertForMaskedLM, BertForSequenceClassification, Tokenizer

# %% [markdown]
# ## A text and a task
#
# Lesson 9's kind of small language: "the cat near two dogs sees many birds ." The label: is it *one* who sees, or *several*? The
# verb is missing, so one must find the subject and know its form. Without labels there are thousands of sentences; with labels
# only two dozen, so most forms never occur among them.

# %%
NOUNS = "cat dog bird horse child king queen robot tree fish".split()
VERBS = "see hear like follow find help want know".split()


def noun_phrase(random, several, the=False):
    determiner = "the" if the else random.choice(["the", "two", "many"] if several else ["the", "a", "one"])
    return f"{determiner} {random.choice(NOUNS)}{'s' * several}"


def sentence(random, hide_verb=False):
    """A sentence, and 1 where several act, else 0."""
    several, near = bool(random.integers(2)), bool(random.integers(2))
    verb = "does what to" if hide_verb else random.choice(VERBS) + ("" if several else "s")
    subject = noun_phrase(random, several, the=hide_verb)  # "the" tells nothing: only the noun's form does
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
# Sentences become rows of ids: [CLS], the pieces, [SEP], then padding up to the longest. And the mask of lesson 8: 1 where
# there is something, 0 at padding.


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
    hints=[
        "Make np.full((len(rows), longest + 2), pad_id) and fill row by row.",
        "The mask says how much was filled. Do not compute it as ids != pad_id: a text might hold that id.",
    ],
)

# %% [markdown]
# ## Pretraining
#
# As in lesson 9: hide, guess. Masked by the library.

# %%
from models.bert.data import mask_tokens

sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256}
none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.1}
config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **sizes, **none)


def batches(texts, size, steps, seed=0):
    """Random batches: the tokenised texts and which they are."""
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
# We save the pretrained weights, and load them into a classifier "by hand", in the way that quick scripts do: what has the same
# name is copied, the rest is left alone, nobody complains (`strict=False`).

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
# Is that what pretraining is worth? There was no warning at all. What was loaded?

# %%
print(f"{len(missing)} parameters got nothing, {len(unexpected)} values found no place; for example:")
print(" ", missing[0], "\n ", unexpected[0])

# %% [markdown]
# *Nothing* was loaded: the class has its encoder under "bert.", and the tidy-up removed exactly that. The network was random.
# That is the most common bug in fine-tuning, and it hides well, because training on labels helps a little anyway.
#
# ### Exercise: what arrives?
#
# Compare names before you trust. Return three sorted lists: loaded, missing (wanted, but not in the file) and unexpected (in the
# file, but not wanted). A name whose shapes differ is both missing and unexpected.


# %%
def compare_names(wanted, given):
    """``wanted`` and ``given`` are dicts from name to shape. Return (loaded, missing, unexpected)."""
    raise NotImplementedError


# %%
parts = ("loaded", "missing", "unexpected")
check(
    compare_names,
    case("one of each", ({"a": (2,), "b": (3,)}, {"a": (2,), "c": (1,)}), (["a"], ["b"], ["c"]), parts=parts),
    case("a shape differs", ({"a": (2, 3)}, {"a": (3, 2)}), ([], ["a"], ["a"]), parts=parts),
    hints=["loaded: names in both, with equal shapes.", "missing and unexpected: what is left on either side; sorted()."],
)

# %% [markdown]
# ## The repair
#
# `from_pretrained` reads the folder, adds or drops the prefix as the class needs it, and tells what it did not find. A new head
# *must* be new, and it says so.

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
# Baselines. TF-IDF with logistic regression (lesson 7) on the same two dozen sentences; and the same network without
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
# The careless one of the beginning and the one that was never pretrained agree to the last digit. They *are* the same network.

# %% [markdown]
# ## What is in a checkpoint?
#
# A `.safetensors` file is simple enough to read by hand: eight bytes with the length n of the header, n bytes of JSON that say
# for each tensor its dtype, its shape and where its bytes lie, and then the bytes. No code is in it, unlike in a pickle,
# which can run anything when it is opened.
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
    hints=[
        "n = int.from_bytes(data[:8], 'little'); header = json.loads(data[8 : 8 + n]).",
        "header[name] has 'shape' and 'data_offsets', two numbers counted from the end of the header.",
        "np.frombuffer(data[8 + n + begin : 8 + n + end], dtype=np.float32).reshape(shape)",
    ],
)

# %% [markdown]
# ## A real one
#
# The same call loads real weights: `BertModel.from_pretrained(FOLDER)` takes any folder with config.json and model.safetensors in
# BERT's form, also those on Hugging Face's hub. If you have one, put its folder here. The lesson runs on without it.

# %%
FOLDER = None  # for example "downloads/all-MiniLM-L6-v2"
if FOLDER is not None:
    from models.bert import BertModel, embed

    real, words = BertModel.from_pretrained(FOLDER), Tokenizer.from_pretrained(FOLDER)
    vectors = embed(real, words, ["delete the file", "remove a path", "purple elephants"])
    print(np.round(vectors @ vectors.T, 2))  # lesson 7's failure, repaired?
else:
    print("no folder given: nothing loaded")

# %% [markdown]
# ## The picture

# %%
figure, (left, right) = plt.subplots(1, 2)
left.plot(losses, color=BLUE, linewidth=1)
left.set(xlabel="step", ylabel="masked-word loss", title=f"Pretraining without labels, {pretraining_seconds:.0f} s")
right.barh(list(results), list(results.values()), color=[GREY, ORANGE, ORANGE, GREEN])
for i, value in enumerate(results.values()):
    right.text(value + 0.01, i, f"{value:.0%}", va="center")
right.set(xlim=(0, 1.1), title=f"24 labels, {seconds:.1f} s of fine-tuning")
right.grid(visible=False)
show(figure, "10_finetuning")
folder.cleanup()

# %% [markdown]
# ## Read next
#
# - `models/bert/checkpoint.py`: names, prefixes, tied weights, and what is reported.
# - `minitorch/serialization.py`: how the library writes such files without ever leaving half of one.
# - `models/bert/model.py`: `BertForSequenceClassification` and the other heads.
# - Then lesson 11, `11_fast.py`.
