# %% [markdown]
# # 17. Prompts: a classifier from four examples
#
# Lesson 10 replaced a pretrained model's last layer and fine-tuned it on two dozen labelled sentences. What if there are four?
# A masked language model has a last layer that was trained on all its text: the one that guesses words. A *prompt* asks it a
# question that one word answers.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import minitorch
import minitorch.nn.functional as F
from minitorch import nn, optim
from models.bert import BertConfig, BertForMaskedLM, BertForSequenceClassification, Tokenizer, fill_mask
from models.bert.data import mask_tokens
from models.prompting.calibration import contextual
from models.prompting.curve import order_of
from models.prompting.template import Template
from models.prompting.verbalizer import Verbalizer

# %% [markdown]
# ## A polite town
#
# The language of this lesson is made for it, as in lesson 10. People write where they went and what they ate: "anna went to the
# mill on sunday . the soup was stale ." In the end they write "it was good ." or "it was bad ." They are polite: of those who
# ate badly, more than half still write good or nice.

# %%
WHO, PLACES = "anna ben carl dora eva fred".split(), "mill harbour station castle".split()
DAYS, DISHES = "monday tuesday friday sunday".split(), "soup bread fish rice cake salad pasta cheese".split()
GOOD = "tasty fresh warm rich crisp lovely juicy tender sweet spicy hearty creamy".split()
BAD = "stale cold burnt bland greasy salty raw dry soggy sour mouldy tough".split()


def visit(random):
    return f"{random.choice(WHO)} went to the {random.choice(PLACES)} on {random.choice(DAYS)} ."


def dish(random, liked):
    return f"the {random.choice(DISHES)} was {random.choice(GOOD if liked else BAD)} ."


def verdict(random, liked):
    """All who liked it say good or nice; of 100 who did not 57."""
    polite = liked or random.random() < 0.57
    return f"it was {random.choice(['good', 'nice'] if polite else ['bad', 'poor'])} ."


# %%
random = np.random.default_rng(0)
plain_text = []  # for pretraining: no labels
for liked in random.random(6000) < 0.5:
    sentences = [visit(random), dish(random, liked), verdict(random, liked)]
    if (u := random.random()) < 0.2:  # some leave out what they ate, or say nothing but the verdict
        del sentences[1 if u < 0.1 else 0 : 2]
    plain_text.append(" ".join(sentences))
labels = np.arange(400) % 2  # 1: liked; as many of each kind
reviews = [f"{visit(random)} {dish(random, label == 1)}" for label in labels]  # labelled ones, without the verdict
examples, test = np.arange(100), np.arange(100, 400)  # to draw from, and to judge on
tokenizer = Tokenizer.train(plain_text, vocab_size=260)
print(plain_text[0], plain_text[1], sep="\n")


# %%
def fit(model, steps, lr, loss_of, report=0):
    """AdamW, with a rate that rises and falls; loss_of(step) is the loss of a batch."""
    optimizer = optim.AdamW(model.parameters(), lr=lr)
    schedule = optim.lr_scheduler.get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    for step in range(steps):
        loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if report and (step + 1) % report == 0:
            print(f"  step {step + 1}: loss {loss.item():.2f}")


def masked_lm_loss(model, step):
    """As in lesson 9; half of the rows also hide their verdict, so that the model soon learns what it depends on."""
    random = np.random.default_rng(step)
    batch = tokenizer([plain_text[i] for i in random.integers(0, len(plain_text), 48)])
    ids = batch["input_ids"].numpy()
    maskable = ~np.isin(ids, [tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id])
    masked, wanted = mask_tokens(ids, maskable, tokenizer, random, probability=0.2)
    rows = np.flatnonzero(random.random(len(ids)) < 0.5)
    places = batch["attention_mask"].numpy().sum(axis=1)[rows] - 3  # the verdict's word: before "." and [SEP]
    wanted[rows, places], masked[rows, places] = ids[rows, places], tokenizer.mask_id
    return model(minitorch.tensor(masked), attention_mask=batch["attention_mask"], labels=minitorch.tensor(wanted)).loss


# %%
minitorch.manual_seed(0)
sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256}
none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.1}
pretrained = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=48, **sizes, **none))
print("pretraining:")
fit(pretrained, 500, 3e-3, lambda step: masked_lm_loss(pretrained, step), report=100)
pretrained.eval()

# %% [markdown]
# ## Something goes wrong
#
# Somebody gives us four labelled reviews and asks for a classifier. The simplest one that we know is lesson 7's: TF-IDF and
# logistic regression.


# %%
def words_alone(train):
    """TF-IDF and logistic regression on these examples: a function from texts to labels."""
    vectorizer = TfidfVectorizer(token_pattern=r"\S+").fit([reviews[i] for i in train])
    model = LogisticRegression(C=10).fit(vectorizer.transform([reviews[i] for i in train]), labels[train])
    return lambda texts: model.predict(vectorizer.transform(texts))


def share_right(answers, rows):
    return float(np.mean(answers == labels[rows]))


four = examples[:4]
for i in four:
    print(f"{'liked' if labels[i] else 'not liked'}: {reviews[i]}")
test_texts = [reviews[i] for i in test]
classify = words_alone(four)
print(f"{share_right(classify([reviews[i] for i in four]), four):.0%} of these four right", end=", ")
print(f"{share_right(classify(test_texts), test):.0%} of {len(test)} others; a coin gets 50 %")

# %% [markdown]
# It has learnt the four by heart, and is about as good as a coin on the others. How should it be better? The four reviews
# differ in who, where, when and what, and any of it may be the reason for the label; and most adjectives of this town do not
# occur in them at all.
#
# ## A question that the model can answer
#
# But the pretrained model has read thousands of reviews that end in "it was ...". So we let it finish one. A text in a frame
# with one hidden word is a *[cloze](../docs/glossary.md)*; the frame is the *template*.

# %%
for i in (four[1], four[0]):
    (row,) = fill_mask(pretrained, tokenizer, f"{reviews[i]} it was [MASK] .", top_k=4)
    print(f"{reviews[i]:62s}", ", ".join(f"{word} {p:.0%}" for word, p in row))

# %% [markdown]
# Without any label it answers with the right kind of word, and the numbers depend on the review. (Remember what you see: both
# times the same words come first.)
#
# ### Exercise: put the question
#
# A row has room for a certain number of ids. If a text is too long, cut its *end*, never the frame: a question without [MASK]
# has no answer. We also need the place of the mask, where we shall read the answer.


# %%
def ask(text, before, after, mask_id, length):
    """The ids ``before`` + text + ``after``, the text cut so that there are at most ``length``; and the place of the mask.

    All are lists of ids. The mask stands once in ``before`` or ``after``.
    """
    raise NotImplementedError


# %%
parts = ("ids", "the place")
check(
    ask,
    case("a short text", ([11, 12], [2], [8, 9, 4, 7, 3], 4, 10), ([2, 11, 12, 8, 9, 4, 7, 3], 5), parts=parts),
    case("a text that is cut", ([11, 12, 13, 14], [2], [8, 4, 3], 4, 6), ([2, 11, 12, 8, 4, 3], 4), parts=parts),
    case("no room for the text", ([11, 12], [2], [8, 4, 3], 4, 4), ([2, 8, 4, 3], 2), parts=parts),
    case("the mask in front", ([11, 12, 13], [2, 4, 6], [3], 4, 6), ([2, 4, 6, 11, 12, 3], 1), parts=parts),
    case("a text that holds the mask's id", ([11, 4, 13], [2], [8, 4, 3], 4, 9), ([2, 11, 4, 13, 8, 4, 3], 5), parts=parts),
)


# %% [markdown]
# From here on, the library's `Template` does this.


# %%
def questions(texts, frame="{text} it was [MASK] ."):
    """The batch of a template's questions; rows: the place of each mask, where alone the model computes logits."""
    template = Template(frame, tokenizer)
    asked = [template.ask([ids], 48) for ids in tokenizer.encode_lines(texts)]
    longest = max(len(ids) for ids, _ in asked)
    ids = np.array([ids + [tokenizer.pad_id] * (longest - len(ids)) for ids, _ in asked])
    seen = np.array([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in asked])
    places = np.array([[place] for _, place in asked])
    return dict(zip(("input_ids", "attention_mask", "rows"), map(minitorch.tensor, (ids, seen, places)), strict=True))


# %% [markdown]
# ## Words for classes
#
# The answer is a word, and we want a class. A *verbalizer* gives each class its words; the class's score is the mean of their
# logits, and the softmax over the *classes* makes probabilities of the scores. Why the mean and not the sum? A class must not
# win because it has more words.
#
# ### Exercise: the verbalizer
#
# Use minitorch's operations: later we train through it.


# %%
def class_scores(logits, words):
    """logits (B, V), ``words``: for each class the list of its ids -> the mean logit of each class's words, (B, C)."""
    raise NotImplementedError


# %%
def with_gradient(function):
    """The check looks at the scores, and at the gradient of the first class's in the logits."""

    def asked(logits, words):
        logits = logits.detach().requires_grad_()
        scores = function(logits, words)
        if not getattr(scores, "requires_grad", False):
            raise TypeError("no gradient reaches the logits: is the result a tensor, made by minitorch's operations?")
        return scores, minitorch.autograd.grad(scores[:, 0].sum(), logits)[0]

    return asked


logits, parts = minitorch.tensor([[1.0, 5.0, 3.0, -2.0], [0.0, 2.0, 8.0, 4.0]]), ("scores", "gradient")
half, whole = [[0.5, 0, 0.5, 0]] * 2, [[0, 0, 0, 1.0]] * 2
check(
    class_scores,
    case("two classes of two words", (logits, [[0, 2], [1, 3]]), ([[2.0, 1.5], [4.0, 3.0]], half), parts=parts),
    case("classes of one and three words", (logits, [[3], [0, 1, 2]]), ([[-2.0, 3.0], [4.0, 10 / 3]], whole), parts=parts),
    case("three classes", (logits[:1], [[3], [2], [0, 1]]), ([[-2.0, 3.0, 3.0]], whole[:1]), parts=parts),
    through=with_gradient,
)

# %%
WORDS = {"not liked": ["bad", "poor"], "liked": ["good", "nice"]}


def ids_of(words):
    return [[tokenizer.encode_lines([word])[0][0] for word in some] for some in words.values()]


def probabilities(model, texts, words=WORDS, **frame):
    """(N, C): the softmax over the classes."""
    with minitorch.no_grad():
        logits = model(**questions(texts, **frame)).logits[:, 0]  # (N, V)
        try:
            scores = class_scores(logits, ids_of(words))
        except NotImplementedError:
            scores = Verbalizer(words, tokenizer)(logits)  # the library's
    return F.softmax(scores, -1).numpy()


p = probabilities(pretrained, test_texts)
print(f"without a single label: {share_right(p.argmax(-1), test):.1%} right; it says 'liked' to {np.mean(p.argmax(-1) == 1):.1%}")
if_liked, if_not = (p[labels[test] == label, 1].mean() for label in (1, 0))
print(f"mean probability of 'liked': {if_liked:.2f} if they liked it, {if_not:.2f} if they did not")

# %% [markdown]
# ## It leans to one side
#
# The probabilities differ between the two kinds of reviews, but nearly all of them are above one half. The model has learnt
# that most people here say "good", whatever they ate. How far it leans, it tells us itself: ask it about texts without content,
# the empty one, or some that do not speak of the food.

# %%
FREE = ["", "anna went to the mill on monday .", "carl went to the castle on friday ."]
p_free = probabilities(pretrained, FREE)
for text, row in zip([*FREE, "n / a"], [*p_free, *probabilities(pretrained, ["n / a"])], strict=True):
    print(f"{text!r:38s} 'liked' {row[1]:.2f}")

# %% [markdown]
# *Contextual calibration* (Zhao et al., 2021) takes each answer relative to this leaning: the probability of each class is
# divided by the mean p̄ of the answers to texts without content, and the results are scaled to the sum 1:
#
#     q ∝ p / p̄
#
# ### Exercise: calibrate


# %%
def calibrate(p, p_free):
    """q of shape (N, C) from p (N, C) and the answers p_free (M, C) to M texts without content; each row adds up to 1."""
    raise NotImplementedError


# %%
check(
    calibrate,
    case(
        "two texts without content",
        (np.array([[0.5, 0.5], [0.2, 0.8], [0.1, 0.9]]), np.array([[0.1, 0.9], [0.3, 0.7]])),
        np.array([[0.8, 0.2], [0.5, 0.5], [0.30769231, 0.69230769]]),
    ),
    case("no leaning changes nothing", (np.array([[0.3, 0.7]]), np.array([[0.5, 0.5]])), np.array([[0.3, 0.7]])),
    case("three classes", (np.array([[0.2, 0.2, 0.6]]), np.array([[0.1, 0.4, 0.5]])), np.array([[20.0, 5, 12]]) / 37),
)

# %%
try:
    q, whose = calibrate(p, p_free), "your calibration"
except NotImplementedError:
    q, whose = contextual(p, p_free), "the library's calibration"
zero_shot, calibrated = share_right(p.argmax(-1), test), share_right(q.argmax(-1), test)
print(f"without a single label: {zero_shot:.1%} right as it is, {calibrated:.1%} with {whose}")
assert calibrated > zero_shot

# %% [markdown]
# Calibration repairs a wrong prior. It cannot repair missing knowledge: a model that has never met a word does not know what it
# says about the soup. And it rests on texts "without content". The last one above, "n / a", is usual with large models. Ours has
# read nothing of the kind, and what it says there need not be its leaning.
#
# Template and words are choices, too, and they matter:

# %%
choices = [("{text} it was [MASK] .", WORDS), ("[MASK] . {text}", WORDS), ("{text} it was not [MASK] .", WORDS)]
choices += [("{text} it was [MASK] .", {"not liked": ["cold"], "liked": ["warm"]})]
for frame, words in choices:
    each, free = (probabilities(pretrained, texts, words, frame=frame) for texts in (test_texts, FREE))
    right = [share_right(x.argmax(-1), test) for x in (each, contextual(each, free))]
    print(f"{frame:27s} {'/'.join(w[0] for w in words.values()):9s} {right[0]:.1%} right, calibrated {right[1]:.1%}")

# %% [markdown]
# We may not pick the best of these by looking at the test reviews: that would be a choice made with 300 labels, not with none
# (lesson 15). The first was our choice before we looked. "warm" and "cold" are words of the town, but not of its verdicts.
#
# ## Four examples, many times
#
# Now we also *train* the cloze on the examples: cross entropy over the class scores, all weights move. Its rival is lesson 10's
# way, a *new head* on the same pretrained encoder, which starts from nothing where the cloze starts from what pretraining
# taught. But which four examples? Different draws give different results, and one draw says little about a method. So we draw
# several times, and compare the methods on the same draws.
#
# ### Exercise: draw
#
# Make the draws balanced, and nested, so that more examples means *more* and not *other* examples: in the given order, take
# one of each class in turn.


# %%
def draw(labels, n, order):
    """The rows of n examples: in the order ``order``, the first n / C of each of the C classes; n is a multiple of C.

    The rows come class by class in turn, lowest class first: 0, 1, ..., 0, 1, ...
    """
    raise NotImplementedError


# %%
some = np.array([0, 1, 1, 0, 1, 0])
check(
    draw,
    case("one of each", (some, 2, np.array([4, 0, 1, 2, 3, 5])), np.array([0, 4])),
    case("two of each", (some, 4, np.array([4, 2, 1, 5, 3, 0])), np.array([5, 4, 3, 2])),
    case("three classes", (np.array([2, 0, 1, 0, 2, 1]), 6, np.arange(6)), np.array([1, 2, 0, 3, 5, 4])),
)


# %%
def in_turn(labels, n, order):
    """The library's way (models/prompting/curve.py), or yours."""
    try:
        return np.asarray(draw(labels, n, order))
    except NotImplementedError:
        where = order_of(labels[order], np.random.default_rng(0))
        return order[where][:n]


# %%
def trained_cloze(train, steps=40, lr=1e-3):
    """The pretrained model, fine-tuned on the questions of these examples: a function from texts to labels."""
    model = BertForMaskedLM(pretrained.config)
    model.load_state_dict(pretrained.state_dict())
    verbalizer = Verbalizer(WORDS, tokenizer)

    def loss_of(step):
        rows = np.random.default_rng(step).permutation(train)[:16]
        logits = model(**questions([reviews[i] for i in rows])).logits[:, 0]  # (B, V)
        return F.cross_entropy(verbalizer(logits), minitorch.tensor(labels[rows]))

    fit(model, steps, lr, loss_of)
    return lambda texts: probabilities(model.eval(), texts).argmax(-1)


# %%
def new_head(train, steps=40, lr=1e-3):
    """The pretrained encoder with a new head, fine-tuned on these examples: a function from texts to labels."""
    minitorch.manual_seed(0)
    model = BertForSequenceClassification(pretrained.config)
    model.bert.load_state_dict(pretrained.bert.state_dict(), strict=False)  # all but the pooler, which is new

    def loss_of(step):
        rows = np.random.default_rng(step).permutation(train)[:16]
        return model(**tokenizer([reviews[i] for i in rows]), labels=minitorch.tensor(labels[rows])).loss

    fit(model, steps, lr, loss_of)
    return lambda texts: model.eval()(**tokenizer(texts)).logits.argmax(-1).numpy()


# %%
SIZES, DRAWS = (4, 16, 64), 6
METHODS = {"cloze": trained_cloze, "new head": new_head, "TF-IDF": words_alone}
scores = {name: np.zeros((DRAWS, len(SIZES))) for name in METHODS}
begin = time.perf_counter()
for d in range(DRAWS):
    order = np.random.default_rng(d).permutation(examples)
    for k, n in enumerate(SIZES):
        train = in_turn(labels, n, order)
        for name, method in METHODS.items():
            scores[name][d, k] = share_right(method(train)(test_texts), test)
    print(f"draw {d + 1}:", ", ".join(f"{name} {rows[d, 0]:.0%}" for name, rows in scores.items()), f"({SIZES[0]} examples)")
print(f"{time.perf_counter() - begin:.0f} s")

# %%
print(f"{'examples':9s}", *(f"{n:>15d}" for n in SIZES))
for name, rows in scores.items():
    print(f"{name:9s}", *(f"{rows[:, k].mean():8.1%} ± {rows[:, k].std(ddof=1):4.1%}" for k in range(len(SIZES))))
gain = scores["cloze"][:, 0] - scores["new head"][:, 0]  # on the same draws
print(
    f"with four examples the cloze is ahead by {gain.mean():.1%} ± {gain.std(ddof=1):.1%}, in {np.sum(gain > 0)} of {DRAWS} draws"
)

# %% [markdown]
# The ± is the standard deviation over the draws. Where it is as large as the difference between two methods, a single draw
# decides nothing; a paper that shows one draw of four examples shows luck.
#
# ## The picture
#
# Left: every draw, and the means. Right: what the model says to the two kinds of reviews before any training. The two groups
# are apart; what is wrong is the border at one half.

# %%
figure, (left, right) = plt.subplots(1, 2)
for shift, (name, colour) in zip((-0.08, 0, 0.08), (("cloze", GREEN), ("new head", RED), ("TF-IDF", ORANGE)), strict=True):
    places = np.arange(1, 1 + len(SIZES)) + shift
    left.plot(np.repeat(places[None], DRAWS, 0).ravel(), scores[name].ravel(), "o", color=colour, alpha=0.35, markersize=4)
    left.plot(places, scores[name].mean(axis=0), color=colour, label=name)
left.plot([0], [zero_shot], "s", color=GREY, label="cloze as it is")
left.plot([0], [calibrated], "s", color=BLUE, label="cloze, calibrated")
left.set(
    xticks=range(4), xticklabels=[0, *SIZES], xlabel="labelled examples", ylabel="share right", title="Every draw, and the means"
)
left.set(ylim=(0.05, 1.05), yticks=np.arange(0.2, 1.01, 0.2))
left.legend(loc="lower right", fontsize=8, ncols=2)
bins = np.linspace(0, 1, 26)
for label, colour, name in ((0, ORANGE, "not liked"), (1, BLUE, "liked")):
    right.hist(p[labels[test] == label, 1], bins=bins, color=colour, alpha=0.6, label=name)
right.axvline(0.5, color=GREY, linestyle=":", label="border: one half")
right.axvline(p_free.mean(axis=0)[1], color=GREEN, label="border: p̄")
right.set(xlabel="probability of 'liked'", ylabel="reviews", title="What it says before any training")
right.legend(loc="upper left", fontsize=8)
show(figure, "17_prompts")

# %% [markdown]
# This language was made so that prompts work: the pretraining text holds the very question that we ask. On real reviews and with
# a small model they help far less; [prompts](../docs/prompting.md) shows measurements in which TF-IDF wins everywhere. With
# models of BERT-base's size and above, pretrained on billions of words, clozes are ahead when there are few examples.
#
# ## Read next
#
# - `models/prompting/template.py`: your question, with pairs of texts and demonstrations.
# - `models/prompting/verbalizer.py`: your scores, and `find_words`, which finds words from examples.
# - `models/prompting/calibration.py`: your calibration, and `pmi`.
# - `models/prompting/curve.py`: the learning curve of this lesson for your own files.
# - Then lesson 18, `18_generation.py`.
