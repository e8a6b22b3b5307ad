# %% [markdown]
# # 15. Evaluation: what a score is worth
#
# Every lesson so far ended with a score. This one asks what such a number means. Three things spoil it: test texts that the
# model has seen, chance, and a choice made by looking. Each has a remedy that takes a few lines. At the end all methods that you
# know, from rules to BERT, compete on one task, with their costs.

# %%
import math
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GroupShuffleSplit
from sklearn.svm import LinearSVC

import minitorch
from minitorch import nn, optim
from models.bert import BertConfig, BertForMaskedLM, Tokenizer
from models.bert.data import mask_tokens
from models.classical.convolution import ConvolutionalClassifier
from models.comparison import measuring
from models.comparison.command import compare
from models.opinions.surge import wilson as library_wilson
from models.text.python_docs import fingerprint, python_documentation

# %% [markdown]
# The text is on your disk: sentences of the documentation of Python, NumPy and scikit-learn. (Other versions have other text,
# so your numbers will differ from other people's.)

# %%
documents = list(python_documentation(["numpy", "sklearn"]))  # (file, its sentences); no paragraph occurs twice
found = [(line, file) for file, lines in documents for line in lines if 8 <= len(line.split()) <= 30]
sentences, files = np.array([line for line, _ in found]), np.array([file for _, file in found])
libraries = np.array([file.partition("/")[0] for file in files])
print(f"{len(sentences)} sentences, fingerprint {fingerprint([sentences])[:12]}")

# %% [markdown]
# ## Something goes wrong
#
# A colleague has 300 sentences with one of two labels each, and wants to know whether a model can learn the labels. As 300 are
# few, we make eight of each by leaving out a word here and there (an *augmentation*). Then the usual: shuffle, four fifths to
# learn from, one fifth to test on, and lesson 7's TF-IDF with a linear model.

# %%
random = np.random.default_rng(0)
own = random.permutation(sentences)[:300]
labels = random.integers(0, 2, 300)


def word_left_out(text):
    words = text.split()
    del words[random.integers(len(words))]
    return " ".join(words)


def right_answers(train, train_labels, test, test_labels):
    """One True or False per test text."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = LinearSVC().fit(words.fit_transform(train), train_labels)
    return model.predict(words.transform(test)) == test_labels


# %%
larger = np.array([word_left_out(text) for text in own for _ in range(8)])
larger_labels = np.repeat(labels, 8)
order = random.permutation(len(larger))
test, train = order[: len(larger) // 5], order[len(larger) // 5 :]
leaked = right_answers(larger[train], larger_labels[train], larger[test], larger_labels[test]).mean()
print(f"{leaked:.1%} of {len(test)} test texts right")

# %% [markdown]
# Nearly perfect! Now look at how the labels were made. Each is the toss of a coin. There is *nothing* to learn, and no model can
# be right in much more than half of the cases. What ours has learnt is the 300 sentences, by heart: of the eight versions of each
# one, some lie in the training data and some in the test data. The test did not test.
#
# This is *[leakage](../docs/glossary.md)*. It does not need coins, nor augmentation: a page that was crawled twice, a rare class
# that was copied "for balance", a message and its copy are enough. So look for copies first.
#
# ### Exercise: seen before?
#
# Two texts count as the same if they have the same words in the same order, whatever their capitals, spaces and punctuation.
# `re.findall(r"\w+", text)` gives the words.


# %%
def seen_before(train, test):
    """For each text of ``test``, in order: True if the same text is in ``train``, else False."""
    raise NotImplementedError


# %%
seen_is_right = check(
    seen_before,
    case("a plain copy", (["a b", "c d"], ["c d", "e f"]), [True, False]),
    case("capitals, spaces, punctuation", (["Return the  value."], ["return the value", "(Return) the value!"]), [True, True]),
    case("another order", (["one is two"], ["two is one"]), [False]),
    case("a part of it", (["the whole list"], ["the whole", "whole list", "the whole list"]), [False, False, True]),
    case("words, not letters", (["an other way"], ["another way"]), [False]),
    case("copies within the test", (["a"], ["b", "b"]), [False, False]),
    case("nothing to compare with", ([], ["x"]), [False]),
)

# %%
words = TfidfVectorizer(sublinear_tf=True)
known = words.fit_transform(larger[train])
nearest = (words.transform(larger[test]) @ known.T).max(axis=1).toarray()[:, 0]  # the cosine with the most similar text
print(f"{(nearest > 0.9).mean():.0%} of the test texts have a near copy in the training data (a cosine above 0.9)")
if seen_is_right:
    print(f"{np.mean(seen_before(list(larger[train]), list(larger[test]))):.0%} have an exact one")

# %% [markdown]
# Exact copies are only the visible part: a text with one word less is no exact copy, and gives the answer away all the same. The
# remedy is in the order of the steps. *Divide first*, and let nothing cross the border afterwards: augmentation, vocabulary,
# scaling, the choice of features, pretraining.

# %%
test, train = np.arange(60), np.arange(60, 300)  # of the 300 sentences themselves
augmented = np.array([word_left_out(own[i]) for i in train for _ in range(8)])
honest = right_answers(augmented, np.repeat(labels[train], 8), own[test], labels[test]).mean()
print(f"divided first, then augmented: {honest:.1%} right; before: {leaked:.1%}")

# %% [markdown]
# ## What belongs together
#
# Now a real task: which library does a sentence come from? There are no copies in this text. But sentences of one file resemble
# each other: they repeat its special words. If the model is to be used on *new files*, then a sentence of a file from the
# training data is too easy a question. Whole files have to go to one side or the other.
#
# ### Exercise: divide by group


# %%
def split_by_group(groups, share, random):
    """A bool array, True for the test items. ``groups``: each item's group. A random ``share`` of the groups is for the test
    (rounded, at least one), with all their items. ``random`` is NumPy's generator."""
    raise NotImplementedError


# %%
def judged(function):
    """What must hold for any draw."""

    def asked(groups, share):
        masks = [np.asarray(function(np.array(groups), share, np.random.default_rng(seed))) for seed in range(8)]
        if any(mask.shape != (len(groups),) or mask.dtype != bool for mask in masks):
            return f"an array of shape {masks[0].shape} and dtype {masks[0].dtype}"
        sides = [[set(np.array(groups)[mask]), set(np.array(groups)[~mask])] for mask in masks]
        both = max(len(test & train) for test, train in sides)
        return both, len(sides[0][0]), len({mask.tobytes() for mask in masks}) > 1

    return asked


fives = [f"file {i // 5}" for i in range(50)]
uneven = ["long"] * 30 + ["short"] * 2 + ["middle"] * 10 + ["other"] * 3 + ["last"]
divided = check(
    split_by_group,
    *(
        case(
            what,
            (groups, share),
            (0, n, True),
            parts=("groups on both sides", "groups in the test", "other draws, other groups"),
            slips={"if True means training": (0, len(set(groups)) - n, True), "without the given random": (0, n, False)},
        )
        for what, groups, share, n in (
            ("ten files, a fifth for the test", fives, 0.2, 2),
            ("ten files, nearly half", fives, 0.43, 4),
            ("files of different sizes", uneven, 0.4, 2),
            ("a group's items far apart", [0, 1, 2, 3] * 6, 0.25, 1),
            ("a share that rounds to none", fives, 0.01, 1),
        )
    ),
    through=judged,
)


# %%
def by_file(share, random):
    if divided:
        return split_by_group(files, share, random)
    mask = np.zeros(len(files), dtype=bool)
    split = GroupShuffleSplit(1, test_size=share, random_state=int(random.integers(1 << 30)))
    mask[next(split.split(files, groups=files))[1]] = True
    return mask


def score_of(mask, random, n=1200):
    """The share right, after learning from n sentences outside of the mask, on 300 inside."""
    train, test = random.permutation(np.flatnonzero(~mask))[:n], random.permutation(np.flatnonzero(mask))[:300]
    return right_answers(sentences[train], libraries[train], sentences[test], libraries[test]).mean()


draws = [np.random.default_rng(seed) for seed in range(6)]
at_random = [score_of(random.random(len(files)) < 0.2, random) for random in draws]
apart = [score_of(by_file(0.2, random), random) for random in draws]
for name, scores in (("sentences at random", at_random), ("whole files", apart)):
    print(f"{name:20s} {np.mean(scores):.1%} right (six draws: {min(scores):.0%} to {max(scores):.0%})")

# %% [markdown]
# Same texts, same method, two figures. Which is right depends on the question: new sentences of known files, or new files? The
# group may be an author, a patient, a customer, a month. Ask what will be new when the model is in use.
#
# ## Two seeds, two methods
#
# From here on, a fixed split by files. We compare two convolutional networks (lesson 13; Kim's, in the library), one with 16
# kernels per width and one with 20. Each is trained with eight seeds, and nothing else differs:

# %%
held_out = by_file(0.3, np.random.default_rng(1))
random = np.random.default_rng(2)
learn, judge = random.permutation(np.flatnonzero(~held_out))[:800], random.permutation(np.flatnonzero(held_out))[:150]
SEEDS = range(8)
answers = {}
for maps in (16, 20):
    for seed in SEEDS:
        network = ConvolutionalClassifier(1e-2, seed, maps=maps, width=32, epochs=4)
        network.fit(list(sentences[learn]), list(libraries[learn]))
        answers[maps, seed] = np.array(network.predict(list(sentences[judge]))) == libraries[judge]
    print(f"{maps} kernels:", " ".join(f"{answers[maps, seed].mean():.1%}" for seed in SEEDS), flush=True)

# %%
narrow, wide = (np.array([answers[maps, seed].mean() for seed in SEEDS]) for maps in (16, 20))
print(f"between the means of the methods:  {abs(narrow.mean() - wide.mean()):.1%}")
print(f"between two seeds of one method:   up to {max(np.ptp(narrow), np.ptp(wide)):.1%}")
wins, losses = (narrow[:, None] > wide).mean(), (narrow[:, None] < wide).mean()
print(f"of all pairs of one run each, 16 kernels win {wins:.0%} and 20 kernels win {losses:.0%}")

# %% [markdown]
# Whoever trains each once and reports the better one reports a seed. Two remedies: several seeds, with their spread; and to know
# how far a score from so few test texts can be off by chance.
#
# ## An interval
#
# Of n test texts k are right. The true share p, on infinitely many such texts, is near k/n. How near? The textbook's answer is
# k/n ± 1.96 √(k/n (1 - k/n) / n): it holds for large n, and fails exactly where good models are. With 50 of 50 right it says
# 100 % ± 0. Wilson (1927) asks the other way round: for which p would k be within 1.96 of *p's own* deviations?
#
#     |k/n - p| ≤ z √(p (1 - p) / n)      z = 1.96 for 95 %
#
# That is a quadratic equation for the two ends of p.
#
# ### Exercise: Wilson's interval


# %%
def wilson(k, n, z=1.96):
    """(low, high): the two p for which (k/n - p)² = z² p (1 - p) / n."""
    raise NotImplementedError


# %%
options = {"parts": ("low", "high"), "tolerance": 1e-6}
wilson_is_right = check(
    wilson,
    case("45 of 50", (45, 50), library_wilson(45, 50), **options, slips={"by the textbook's formula": (0.8168447, 0.9831553)}),
    *(case(f"{k} of {n}", (k, n), library_wilson(k, n), **options) for k, n in ((25, 50), (50, 50), (0, 12), (1, 1))),
    case("another z", (270, 300, 2.576), library_wilson(270, 300, 2.576), **options),
)


# %%
def textbook(k, n, z=1.96):
    half = z * math.sqrt(k / n * (1 - k / n) / n)
    return k / n - half, k / n + half


interval = wilson if wilson_is_right else library_wilson
random = np.random.default_rng(0)
for n in (20, 50, 300):
    tests = random.binomial(n, 0.95, 4000)  # 4,000 test sets of n texts, for a model whose true share is 0.95
    caught = [np.mean([low <= 0.95 <= high for low, high in (way(k, n) for k in tests)]) for way in (textbook, interval)]
    print(f"n = {n:3d}: of the textbook's intervals {caught[0]:.0%} contain the true share, of Wilson's {caught[1]:.0%}")
for n in (150, 1500, 15000):
    low, high = interval(round(0.9 * n), n)
    print(f"90 % right of {n:6,d} texts: from {low:.1%} to {high:.1%}")

# %% [markdown]
# An interval that promises 95 % and delivers much less is worse than none. And ten times the test texts make it only √10 times
# narrower. To tell 90 % from 91 % takes thousands.
#
# ## A paired test
#
# Unless both methods answer the *same* texts. Then most of the chance is common to both: the hard texts are hard for both. Take
# 300 test texts: both methods are right on 240 and both wrong on 42. B alone is right on 14, and A alone on 4:

# %%
a = np.array([True] * 240 + [False] * 42 + [False] * 14 + [True] * 4)
b = np.array([True] * 240 + [False] * 42 + [True] * 14 + [False] * 4)
for name, x in (("A", a), ("B", b)):
    low, high = interval(int(x.sum()), len(x))
    print(f"{name}: {x.mean():.1%} right, from {low:.1%} to {high:.1%}")

# %% [markdown]
# The intervals overlap nearly everywhere. But the 282 texts on which both agree say nothing about which is better. Only the 18
# others do, and if the methods were equally good, each of the 18 would be the toss of a coin. How often do 18 tosses come out as
# unevenly as 14 to 4, or more so, to either side? That is McNemar's test (1947), in its exact form.
#
# ### Exercise: McNemar's test


# %%
def mcnemar(a, b):
    """The p-value from two bool arrays, right or wrong on the same texts: the chance that as many fair tosses as the methods
    disagree come out at least as unevenly, to either side; 1 where they never disagree."""
    raise NotImplementedError


# %%
def disagreeing(only_a, only_b, both=30):
    return np.array([True] * (both + only_a) + [False] * only_b), np.array([True] * both + [False] * only_a + [True] * only_b)


def mcnemar_case(only_a, only_b):
    a, b = disagreeing(only_a, only_b)
    p, approximately = measuring.mcnemar(a * 1.0, b * 1.0), math.erfc(abs(only_a - only_b) / math.sqrt(2 * (only_a + only_b)))
    slips = {"to one side only": p / 2, "by the χ² approximation": approximately} if p < 1 else {}
    return case(f"A alone right on {only_a}, B alone on {only_b}", (a, b), p, slips=slips)


mcnemar_is_right = check(
    mcnemar,
    *(mcnemar_case(m, n) for m, n in ((4, 14), (14, 4), (1, 0), (3, 3), (0, 6), (60, 40))),
    case("they never disagree", disagreeing(0, 0), 1.0),
    case("the texts on which they agree do not matter", disagreeing(2, 9, both=1000), 0.06542969),
)

# %%
p_value = (lambda a, b: float(mcnemar(a, b))) if mcnemar_is_right else (lambda a, b: measuring.mcnemar(a * 1.0, b * 1.0))
print(f"A against B: p = {p_value(a, b):.3f}")
pairs = np.array([p_value(answers[16, i], answers[20, j]) for i in SEEDS for j in SEEDS])
print(f"16 against 20 kernels, 64 pairs of runs: p from {pairs.min():.3f} to {pairs.max():.3f}", end=", ")
print(f"{np.mean(pairs < 0.05):.0%} of them below 0.05")

# %% [markdown]
# The test tells whether these two *runs* differ; a run is a method with a seed. And can we believe the smallest of 64 p-values?
# One in twenty is below 0.05 by chance alone. To see what looking does, let 21 "methods" toss coins on 300 texts. We choose the
# best on the test set, and then compare it with the others:

# %%
random = np.random.default_rng(5)
tossed = {f"method {i}": random.random(300) < 0.5 for i in range(21)}
best = max(tossed, key=lambda name: tossed[name].sum())
rows = measuring.against(best, {name: measuring.shares(list(x * 1.0)) for name, x in tossed.items()})
small = sum(row["mcnemar_p"] < 0.05 for row in rows.values())
kept = sum(row["real"] for row in rows.values())
print(f"the best coin has {tossed[best].mean():.1%} right; on 300 fresh texts {np.mean(random.random(300) < 0.5):.1%}")
print(f"it is 'significantly better' (p < 0.05) than {small} of 20 others; after Holm's correction than {kept}")

# %% [markdown]
# The score of a winner is too good, because it won. So choices are made on *dev data*, and the test data is looked at once. And
# whoever compares many must ask for smaller p-values: Holm (1979) asks of the smallest of m that it is below 0.05/m, of the next
# that it is below 0.05/(m - 1), and so on.
#
# ## Every rung
#
# Now the whole ladder, from rules to BERT, on the question which library a sentence comes from. The library's `compare` does
# what this lesson has taught: a split by files, settings chosen on dev data, one test set for all, Wilson's intervals, McNemar's
# test, Holm's correction. First the BERT: a small one, pretrained here (lesson 9) on the sentences of the *training files*.

# %%
train_files, other = ~held_out, np.flatnonzero(held_out)
plain_text = [str(line) for line in sentences[train_files] if len(line.split()) <= 12]  # short ones, for we have little time
tokenizer = Tokenizer.train(plain_text, vocab_size=800)
shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256}
none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.1}
minitorch.manual_seed(0)
bert = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **shape, **none))


def masked_lm_loss(step, size=32, length=20):
    random = np.random.default_rng(step)
    batch = tokenizer([plain_text[i] for i in random.integers(0, len(plain_text), size)], max_length=length)
    ids = batch["input_ids"].numpy()
    maskable = ~np.isin(ids, [tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id])
    masked, labels = mask_tokens(ids, maskable, tokenizer, random, probability=0.2)
    return bert(minitorch.tensor(masked), attention_mask=batch["attention_mask"], labels=minitorch.tensor(labels)).loss


# %%
STEPS = 800
optimizer = optim.AdamW(bert.parameters(), lr=3e-3, betas=(0.9, 0.98))
schedule = optim.lr_scheduler.get_linear_schedule_with_warmup(optimizer, 40, STEPS)
begin = time.process_time()
for step in range(STEPS):
    loss = masked_lm_loss(step)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(bert.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    if step % 200 == 0 or step == STEPS - 1:
        print(f"pretraining, step {step + 1} of {STEPS}: loss {loss.item():.2f}", flush=True)
pretraining = time.process_time() - begin

# %% [markdown]
# Then the three files, and the contest. A rung that the time does not reach is left out and named.

# %%
home = Path("runs/lessons/evaluation")
home.mkdir(parents=True, exist_ok=True)
bert.save_pretrained(home / "bert")
tokenizer.save_pretrained(home / "bert")
random = np.random.default_rng(3)
dev_files = np.isin(files, random.permutation(np.unique(files[other]))[: len(np.unique(files[other])) // 3])
parts = {"train": (train_files, 600), "dev": (held_out & dev_files, 100), "test": (held_out & ~dev_files, 300)}
for name, (mask, n) in parts.items():
    rows = [f"{sentences[i]}\t{libraries[i]}" for i in random.permutation(np.flatnonzero(mask))[:n]]
    (home / f"{name}.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
settings = {name: str(home / f"{name}.tsv") for name in parts} | {"task": "classify", "model": str(home / "bert")}
settings |= {"epochs": 12, "batch_size": 16, "lr": 1e-3, "length": 40, "draws": 0, "budget": 5.0, "output": str(home)}
settings |= {"skip": "random forest; gradient boosting; LSTM; LoRA; cloze; nearest"}
ladder = compare(settings, home, {}, home, say=lambda line: print(line, flush=True) if line.startswith("[") else None)

# %%
done = {name: ladder["rungs"][name] for name in ladder["order"] if ladder["rungs"][name]["status"] == "done"}
tests = ladder["tests"]
print(f"{'':36s} right   from     to      CPU to train   per answer   difference to the best")
for name, rung in sorted(done.items(), key=lambda item: -item[1]["score"]):
    low, high = tests["intervals"][name]
    row = tests["against_best"].get(name)
    verdict = "best" if row is None else f"{-row['difference']:+.1%}, {'real' if row['real'] else 'may be chance'}"
    cost = f"{rung['train_cpu_seconds']:9.2f} s {rung['cpu_ms_per_answer']:11.3f} ms"
    print(f"{name:36s} {rung['score']:6.1%} {low:6.1%} {high:6.1%} {cost}   {verdict}")
print(f"not among them: {', '.join(name for name in ladder['order'] if name not in done) or 'none'}")
print(f"pretraining took {pretraining:.0f} CPU seconds before; the rungs that use it do not count them")

# %% [markdown]
# Read the table from the bottom: which step up is more than chance, and what does it cost? What pretraining brought is the
# difference between "BERT fine-tuned" and "the same BERT from random weights"; do their intervals overlap? (Other seeds, or fewer
# steps of pretraining, may turn it round.) With a BERT this small and 600 texts, counted words may well be the best buy. That
# is a result, too, and one that only a comparison with its costs can show. The library's page on this question, with a real
# pretrained model, is
# [comparison](../docs/comparison.md).
#
# ## The picture
#
# Left: eight seeds of each network; the bars are the means. Middle: the ladder, with 95 % intervals. Right: what each rung cost.

# %%
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 4.4), width_ratios=(1, 1.6, 1))
for i, (scores, colour) in enumerate(((narrow, BLUE), (wide, ORANGE))):
    left.plot(i + np.linspace(-0.15, 0.15, len(scores)), scores, "o", color=colour)
    left.hlines(scores.mean(), i - 0.3, i + 0.3, color=colour)
left.set(
    xticks=[0, 1], xticklabels=["16 kernels", "20 kernels"], xlim=(-0.6, 1.6), ylabel="share right", title="Eight seeds each"
)
colours = {"rules": GREY, "words": GREEN, "neural": ORANGE, "BERT": BLUE}
ranked = sorted(done, key=lambda name: done[name]["score"])
for i, name in enumerate(ranked):
    rung, (low, high) = done[name], tests["intervals"][name]
    colour, score = colours[rung["kind"]], rung["score"]
    middle.errorbar(score, i, xerr=[[score - low], [high - score]], fmt="o", color=colour, capsize=2)
    right.barh(i, max(rung["train_cpu_seconds"], 1e-3), color=colour, height=0.6)
middle.set(yticks=range(len(ranked)), yticklabels=ranked, xlabel="share right", title="Every rung: score ...")
right.set(yticks=range(len(ranked)), yticklabels=[], xscale="log", xlabel="CPU seconds to tune and train", title="... and cost")
right.set_ylim(middle.get_ylim())
show(figure, "15_evaluation")

# %%
top = tests["best"]
equal = [top, *(name for name, row in tests["against_best"].items() if not row["real"])]
cheap = min(equal, key=lambda name: done[name]["train_cpu_seconds"])
print(f"best: {top}, {done[top]['score']:.1%}, {done[top]['train_cpu_seconds']:.2f} CPU s")
print(
    f"the cheapest that cannot be told from it: {cheap}, {done[cheap]['score']:.1%}, {done[cheap]['train_cpu_seconds']:.2f} CPU s"
)
print(f"the whole report: {home / 'report.html'}")

# %% [markdown]
# ## Read next
#
# - `models/comparison/measuring.py`, `mcnemar` and `holm`: the tests, and a bootstrap for scores that are no shares.
# - `models/comparison/rungs.py`: all rungs. `minitorch compare --train FILE` puts them on your own data.
# - `models/finetuning/documentation.py`: this task as a large file, divided by source files.
# - `models/text/python_docs.py`, `deal`: how files are dealt out so that the parts are alike.
