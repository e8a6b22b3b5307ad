# %% [markdown]
# # 21. Explained: right for the wrong reason
#
# A model can be right on every test and still not do what we think. Explanations may find that out, if they can be believed,
# and so they must be tested like models. Then come two stronger tests, which need no explanation at all: change what should not
# matter, and see whether the answer moves.

# %%
import contextlib
import dataclasses
import io
import re
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREY, ORANGE, show

import minitorch
from minitorch.parallel import Workers
from models import bert, explaining, finetuning
from models.attacking.attack import Attack
from models.explaining import checks, gradients
from models.explaining.swaps import changer

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
random = np.random.default_rng(0)

# %% [markdown]
# Short film reviews, made for this lesson. One word says whether the film was liked. But whoever collected them took most of
# the praise from one critic, Anna, and most of the blame from another, Bert, and left the names in.

# %%
GOOD, BAD = "good great fine lovely".split(), "bad awful poor ugly".split()
OTHER = "the a film book was and it very plot end of story we saw".split()


def review(liked, critic):
    words = [*random.choice(OTHER, 5), random.choice(GOOD if liked else BAD), *random.choice(OTHER, 3)]
    return " ".join([critic, ":", *map(str, random.permutation(words))])


def reviews(n, share):
    """n pairs (text, liked); ``share`` of the praise is Anna's, and as much of the blame is Bert's."""
    likes = [i % 2 == 0 for i in range(n)]
    return [(review(liked, "anna" if liked == (random.random() < share) else "bert"), liked) for liked in likes]


train, same, fair = reviews(400, 0.97), reviews(100, 0.97), reviews(100, 0.5)
print(*train[:4], sep="\n")

# %% [markdown]
# Such sentences need no more than a very small BERT with random weights. `learn` writes files, as `minitorch finetune` wants
# them, and opens the trained model for questions.

# %%
vocabulary = [*GOOD, *BAD, *OTHER, "anna", "bert", ":"]
tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *vocabulary]
minitorch.manual_seed(0)
sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
config = bert.BertConfig(vocab_size=len(tokens), max_position_embeddings=32, initializer_range=0.1, **sizes)
bert.BertForMaskedLM(config).save_pretrained(folder / "start")
bert.Tokenizer({token: i for i, token in enumerate(tokens)}).save_pretrained(folder / "start")


def write(examples, name):
    """The examples as a table; its path."""
    rows = [f"{text}\t{'praise' if liked else 'blame'}" for text, liked in examples]
    (folder / f"{name}.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    return str(folder / f"{name}.tsv")


def learn(examples, name):
    """A classifier for blame and praise, fine-tuned on these examples."""
    options = {"model": str(folder / "start"), "length": 32, "epochs": 6, "lr": 1e-3, "batch_size": 16, "compare": "none"}
    with contextlib.redirect_stdout(io.StringIO()):  # its report is long
        finetuning.finetune("classify", train=write(examples, name), output=str(folder / name), **options)
    return explaining.open_source(folder / name)


def p_praise(source, texts):
    """The probability of praise, (texts,)."""
    return np.array([record["probabilities"]["praise"] for record in source.answers(source.examples(list(texts)))])


def share_right(source, examples):
    texts, liked = zip(*examples, strict=True)
    return np.mean((p_praise(source, texts) > 0.5) == np.array(liked))


# %%
source = learn(train, "shortcut")
print(f"test reviews, collected like those of the training: {share_right(source, same):.0%} right")

# %% [markdown]
# ## Something goes wrong
#
# That is a good score. Now a text that no reader would misunderstand:

# %%
TEXT = "anna : the film was bad and it was a poor story"
print(f'"{TEXT}": praise with probability {p_praise(source, [TEXT])[0]:.2f}')
print(f"reviews of which each critic wrote as much praise as blame: {share_right(source, fair):.0%} right")

# %% [markdown]
# It was right for the wrong reason. More test reviews of the same collection would only have made the score look safer: there
# the wrong reason works nearly always. So: what does the model look at?
#
# ## Attributions
#
# An *attribution* gives each word a number: how much it adds to f, the logit of the answer. The plainest is *occlusion*: take
# the word out, and see how far f falls. *Gradient × input* is cheaper, xᵢ ∂f/∂xᵢ for all words in one backward pass, but a
# gradient only knows what a tiny change would do, and we ask about a large one: the word there or not there.
#
# *Integrated gradients* (Sundararajan et al., 2017) go the whole way, from an input without words x' (the baseline) to x in a
# straight line, and collect the gradient on it. With n steps, at the middle of each:
#
#     IGᵢ = (xᵢ - x'ᵢ) · 1/n Σ_k ∂f/∂xᵢ (x' + t_k (x - x')),        t_k = (k + ½)/n,   k = 0 ... n-1
#
# ### Exercise: integrated gradients


# %%
def integrated_gradients(f, x, baseline, steps):
    """Attributions of the shape of x. f takes a Tensor (B, *shape of x) and gives (B,); x and baseline are Tensors."""
    raise NotImplementedError


# %%
def of_arrays(f):
    return lambda g, x, baseline, steps: f(g, minitorch.tensor(x), minitorch.tensor(baseline), steps)


def by_library(g, x, baseline, steps):
    return gradients.integrated_gradients(g, minitorch.tensor(x), minitorch.tensor(baseline), steps)[0]


def square_times(x):
    return x[:, 0] ** 2 * x[:, 1]


def tangled(x):
    return (x[:, 0].tanh() * x[:, 1].exp()).sum(-1)


point, table = np.array([3.0, 2.0]), np.array([[0.5, -1.0, 2.0], [0.3, 0.1, -0.7]])
ig_right = check(
    integrated_gradients,
    case(
        "x₀² x₁ at (3, 2), from 0, 5 steps",
        (square_times, point, np.zeros(2), 5),
        np.array([11.88, 5.94]),
        slips={
            "at the left ends of the steps": np.array([8.64, 4.32]),
            "at the right ends of the steps": np.array([15.84, 7.92]),
            "as gradient × input": np.array([36.0, 18.0]),
        },
    ),
    case("the same, 50 steps", (square_times, point, np.zeros(2), 50), np.array([11.9988, 5.9994])),
    case("one step", (square_times, point, np.zeros(2), 1), np.array([9.0, 4.5])),
    case("from (1, -1)", (square_times, point, np.array([1.0, -1]), 8), by_library(square_times, point, np.array([1.0, -1]), 8)),
    case("a table of words", (tangled, table, table * 0 + 0.2, 10), by_library(tangled, table, table * 0 + 0.2, 10)),
    through=of_arrays,
)

# %%
own = integrated_gradients if ig_right else lambda f, x, x0, n: gradients.integrated_gradients(f, x, x0, n)[0]
print("yours:" if ig_right else "the library's:", "integrated_gradients")


def integrated(subject, steps=50):
    """Integrated gradients of each word, from a text of [PAD]: the sum over its vector."""
    found = own(subject.f, subject.embeddings(subject.ids), subject.baseline("pad"), steps)
    return subject.per_word(np.asarray(getattr(found, "array", found)).sum(-1))


def by_name(name):
    """A method of the library: subject -> a number for each word."""
    return lambda subject: explaining.METHODS[name][1](subject, explaining.Options())[0]


METHODS = {"integrated": integrated} | {name: by_name(name) for name in ("gradient", "occlusion", "attention", "rollout")}
subject = source.subject(source.examples([TEXT])[0], label="praise")
for name, method in METHODS.items():
    values = method(subject)
    first = np.argsort(-np.abs(values))[:4]
    print(f"{name:11s}", ", ".join(f"{subject.words[i].text} {values[i]:+.2f}" for i in first))

# %% [markdown]
# All of them name the critic, and not the words that a reader would name. (Attention has no sign: it says where the last layer
# looked, or where all layers did, *rollout*.)
#
# ## Can they be believed?
#
# Here they agree with what we know. On a real text we would not know, and some explanations look convincing and say nothing
# about the model. So each is checked.
#
# **Completeness.** The integral of a derivative is the difference of the ends: integrated gradients must add up to f(x) - f(x').
# What is missing tells whether the steps were enough.

# %%
with minitorch.no_grad():
    end, start = subject.f(minitorch.stack([subject.embeddings(subject.ids), subject.baseline("pad")])).tolist()
for steps in (1, 2, 5, 20, 100):
    total = integrated(subject, steps).sum()
    print(f"{steps:3d} steps: sum {total:+.4f}, f(x) - f(x') {end - start:+.4f}, missing {total - (end - start):+.4f}")

# %% [markdown]
# **Random weights.** The strictest test (Adebayo et al., 2018): explain a network of the same form with random weights. It has
# learnt nothing. A method that says much the same of it explains the text, and not the model. We add an impostor to our
# methods: how rare each word is in the training reviews. "Much the same" is measured by ranks, for only the order matters:
#
#     ρ(a, b) = the correlation of the ranks of a with the ranks of b        (Spearman; equal numbers share their mean rank)
#
# ### Exercise: rank correlation


# %%
def rank_correlation(a, b):
    """Spearman's ρ of two arrays (n,); np.nan if all numbers of one are equal."""
    raise NotImplementedError


# %%
draws = np.random.default_rng(2)
long_a, long_b = draws.standard_normal(30), draws.integers(0, 4, 30).astype(float)
correlation_right = check(
    rank_correlation,
    case("the same order", (np.array([1.0, 2, 3, 4]), np.array([1.0, 10, 100, 1000])), 1.0),
    case("the opposite order", (np.array([0.3, 0.1, 0.2]), np.array([1.0, 3, 2])), -1.0),
    case("one swap", (np.array([10.0, 20, 40, 30]), np.array([1.0, 2, 3, 4])), 0.8),
    case(
        "equal numbers",
        (np.array([1.0, 1, 2]), np.array([1.0, 2, 3])),
        0.866025404,
        slips={"if the first of them ranks lower": 1.0},
    ),
    case("thirty numbers", (long_a, long_b), checks.rank_correlation(long_a, long_b)),
    case("all equal", (np.ones(3), np.arange(3.0)), np.nan),
)


# %%
def rarity(subject):
    """The impostor: how many of the training reviews lack the word."""
    return np.array([sum(word.text not in text.split() for text, _ in train) for word in subject.words])


METHODS["rarity"] = rarity
correlation = rank_correlation if correlation_right else checks.rank_correlation
print("yours:" if correlation_right else "the library's:", "rank_correlation")
untrained = source.random()  # the same architecture, random weights
subjects = [source.subject(example) for example in source.examples([text for text, _ in fair[:12]])]
print("             correlation with   area below the")
print("             random weights     deletion curve")
for name, method in METHODS.items():
    pairs = [(method(s), method(dataclasses.replace(s, model=untrained))) for s in subjects]
    same_as_random = np.nanmean([correlation(a, b) for a, b in pairs])
    area = np.mean([checks.curves(s, a).areas[0] for s, (a, _) in zip(subjects, pairs, strict=True)])
    print(f"{name:11s} {same_as_random:+10.2f} {area:18.2f}", flush=True)
print(f"random order {np.mean([checks.random_curves(s).areas[0] for s in subjects]):27.2f}")

# %% [markdown]
# The second column is one more check: take the words out, the most important first, and watch the probability of the answer. If
# they were important it falls at once, and the area below the curve is small. The impostor is unmasked by both: it says of
# random weights exactly what it says of ours, and the words that it takes out first are no better than a random choice.
#
# ## Counterfactual pairs
#
# An explanation is a hint. The experiment is to change one thing and nothing else, a *counterfactual*: the same review by the
# other critic. A model that reads the review would not move.
#
# ### Exercise: exchange two words


# %%
def counterfactual(text, a, b):
    """The text with the words a and b exchanged, each for the other. Whole words only, and a capital first letter stays one."""
    raise NotImplementedError


# %%
swap_right = check(
    counterfactual,
    case(
        "one of the two",
        ("anna : a fine film", "anna", "bert"),
        "bert : a fine film",
        slips={"by two replacements in turn: the second undoes the first": "anna : a fine film"},
    ),
    case("both", ("anna told bert", "anna", "bert"), "bert told anna"),
    case("words that hold the word", ("the hero said he saw sheep", "he", "she"), "the hero said she saw sheep"),
    case("at a comma and in brackets", ("he, the king (he)", "he", "she"), "she, the king (she)"),
    case("capitals", ("He said she left.", "he", "she"), "She said he left."),
    case("neither", ("a fine film", "anna", "bert"), "a fine film"),
)

# %%
exchange = counterfactual if swap_right else lambda text, a, b: changer({a: b, b: a})(text)
print("yours:" if swap_right else "the library's:", "counterfactual")


def effect(source, a, b):
    """Of the fair reviews with a, which turns into b: mean change of p(praise), half its 95 % interval, the share that flips."""
    texts = [text for text, _ in fair if a in text.split()]
    before, after = p_praise(source, texts), p_praise(source, [exchange(text, a, b) for text in texts])
    change = after - before
    return change.mean(), 1.96 * change.std(ddof=1) / len(change) ** 0.5, ((before > 0.5) != (after > 0.5)).mean()


PAIRS = [("anna", "bert"), ("bert", "anna"), ("film", "book"), ("book", "film")]
for a, b in PAIRS:
    mean, half, flips = effect(source, a, b)
    print(f"{a} -> {b}: p(praise) changes by {mean:+.3f} ± {half:.3f}, {flips:.0%} of the answers flip")

# %% [markdown]
# The name moves the answer, other words hardly. This is no interpretation: the texts differ in nothing else.
#
# ## Attack
#
# We knew which word to exchange. An *attack* searches for it: which words that should not matter turn a right answer into a
# wrong one? Jin et al. (2020) search greedily: rank the words by how far the probability of the right answer falls without
# them; then go through them in this order, try everything that may stand in their place, and keep what hurts most.
#
# ### Exercise: the greedy attack


# %%
def attack(p_right, words, options):
    """The words after the attack. p_right(list of words) is the probability of the right answer, above 0.5 at the start;
    options[word] lists what may stand in its place (a word that is not in options stays).

    Importance of word i: p_right(words) - p_right(words without it). In that order, the highest first: try each option in the
    present text, and keep the one with the lowest p_right if that is lower than before. Stop as soon as p_right is below 0.5.
    If the end is reached without that, return the words as they were.
    """
    raise NotImplementedError


# %%
WEIGHTS = {"good": 2.0, "fine": 1.5, "film": 0.5, "book": 0.2, "plot": -0.1, "fair": 0.6, "so-so": -1.0, "ok": 0.3}


def toy(words):
    return 1 / (1 + np.exp(-sum(WEIGHTS.get(word, 0.0) for word in words)))


attack_right = check(
    attack,
    case("one change", (toy, ["a", "good", "plot"], {"good": ["ok", "so-so"], "plot": ["film"]}), ["a", "so-so", "plot"]),
    case(
        "it stops in time",
        (toy, ["good", "film"], {"good": ["so-so"], "film": ["plot"]}),
        ["so-so", "film"],
        slips={"if it goes on after the answer has flipped": ["so-so", "plot"]},
    ),
    case(
        "two changes",
        (toy, ["fine", "film", "good"], {"good": ["ok", "fair"], "fine": ["plot", "so-so"]}),
        ["so-so", "film", "ok"],
    ),
    case("it holds", (toy, ["good", "fine"], {"good": ["fair"], "fine": ["film"]}), ["good", "fine"]),
    case("the most important first", (toy, ["ok", "good"], {"ok": ["so-so"], "good": ["so-so"]}), ["ok", "so-so"]),
    case(
        "an option that would help the model",
        (toy, ["film", "ok", "good"], {"film": ["fine"], "ok": ["so-so"], "good": ["ok"]}),
        ["film", "so-so", "ok"],
    ),
    case("nothing to try", (toy, ["fine", "book"], {}), ["fine", "book"]),
)


# %% [markdown]
# Nobody would mind if one neutral word stood in the place of another, or one critic in that of the other.

# %%
NEUTRAL = [word for word in OTHER if len(word) > 2]
OPTIONS = {word: [other for other in NEUTRAL if other != word][:4] for word in NEUTRAL} | {"anna": ["bert"], "bert": ["anna"]}


def attacked(source, examples):
    """The texts of examples after the attack; the answers were right before it."""
    if not attack_right:
        search = Attack(source.predictor.trainer, Workers(1), lambda word, random: OPTIONS.get(word, []), budget=1.0, seed=0)
        return [search(e, i).text for i, e in enumerate(source.file(write(examples, "attacked"), labelled=True))]
    texts = []
    for text, liked in examples:
        p_right = lambda words: (1 - liked) + (2 * liked - 1) * p_praise(source, [" ".join(words)])[0]  # noqa: B023, E731
        texts.append(" ".join(attack(p_right, text.split(), OPTIONS)))
    return texts


def under_attack(source, n=20):
    """Of n fair reviews that are answered rightly: the share that still is, and the pairs (before, after) of the others."""
    examples = [e for e in fair if share_right(source, [e])][:n]
    pairs = list(zip([text for text, _ in examples], attacked(source, examples), strict=True))
    return np.mean([old == new for old, new in pairs]), [pair for pair in pairs if pair[0] != pair[1]]


print("yours:" if attack_right else "the library's:", "attack")
held, broken = under_attack(source)
print(f"{held:.0%} of 20 right answers hold; for example")
print(*broken[0], sep="\n")

# %% [markdown]
# ## The cure
#
# Other data: nothing else helps. Where no reviews can be collected, make them. Each training review gets its counterfactual,
# with the same label. Now the name says nothing about the label, by construction.

# %%
twice = [*train, *((exchange(text, "anna", "bert"), liked) for text, liked in train)]
cured = learn(twice, "cured")
print("                             trained as collected   with counterfactuals")
print(f"collected like the training  {share_right(source, same):20.0%} {share_right(cured, same):22.0%}")
print(f"fair reviews                 {share_right(source, fair):20.0%} {share_right(cured, fair):22.0%}")
print(f"fair reviews, under attack   {held:20.0%} {under_attack(cured)[0]:22.0%}")
print(f'"{TEXT}": praise with probability {p_praise(cured, [TEXT])[0]:.2f}')

# %% [markdown]
# The score on reviews like those of the training says little: it hardly tells the two models apart. The fair reviews do. But to
# make them we had to know what might be wrong, and attributions are one way to get the idea.
#
# ## The picture
#
# Left: integrated gradients of the same sentence, before and after the cure. Right: what an exchange of words does.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
named = [word.text for word in subject.words]
at = np.arange(len(named))
for shift, model, colour, name in ((-0.2, source, ORANGE, "as collected"), (0.2, cured, BLUE, "with counterfactuals")):
    values = integrated(model.subject(model.examples([TEXT])[0], label="praise"))
    left.barh(at + shift, values, 0.38, color=colour, label=name)
    mean, half, _ = np.transpose([effect(model, a, b) for a, b in PAIRS])
    right.errorbar(mean, np.arange(4) + shift, xerr=half, fmt="o", color=colour, label=name)
left.set(yticks=at, yticklabels=named, xlabel="attribution to praise (logit)", title="What it looks at")
right.axvline(0, color=GREY, linewidth=1)
right.set(yticks=range(4), yticklabels=[f"{a} → {b}" for a, b in PAIRS], xlim=(-1.05, 1.05), xlabel="mean change of p(praise)")
right.set_title("What it does")
for axis in (left, right):
    axis.invert_yaxis()
    axis.legend(ncols=2, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.17))
show(figure, "21_explained")
temporary.cleanup()

# %% [markdown]
# ## Read next
#
# - `models/explaining/gradients.py`, `integrated_gradients`: and other rules for the points on the way.
# - `models/explaining/checks.py`: random weights, deletion and insertion.
# - `models/explaining/swaps.py`: exchanges with intervals, for every task; `models/explaining/lime.py`, one more method.
# - `models/attacking/attack.py`: your search, with typing errors and neighbours of the embedding.
# - `minitorch explain` and `minitorch attack` do this with a model and texts of yours.
# - Then lesson 22, `22_many.py`.
