# %% [markdown]
# # 7. Words as vectors: WordPiece, embeddings, and the TF-IDF they replace
#
# A network computes with numbers, and a text is made of letters. Two decisions connect them: into which
# *[pieces](../docs/glossary.md)* to cut the text, and which *vector* to give each piece. The text of this lesson is on your
# disk already: it is the documentation in Python's standard library. (Other versions of Python have other text, so your numbers
# and words will differ a little from your neighbour's.)

# %%
import itertools
import math
import re
import sysconfig
import time
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREY, ORANGE, RED, show
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer

import minitorch
import minitorch.nn.functional as F
from minitorch import nn, optim
from models.text.python_docs import SENTENCE_END, prose, read_source
from models.text.tokenizer import Tokenizer

# %%
library = Path(sysconfig.get_paths()["stdlib"])
files = sorted(library.glob("*.py")) + sorted((library / "pydoc_data").glob("*.py"))
sentences = [s for f in files for paragraph in prose(read_source(f)) for s in SENTENCE_END.split(paragraph)]
order = np.random.default_rng(0).permutation(len(sentences))
cut = len(sentences) * 4 // 5
known, fresh = [sentences[i] for i in order[:cut]], [sentences[i] for i in order[cut:]]
print(f"{len(sentences)} sentences, for example: {known[0]}")


# %% [markdown]
# ## Something goes wrong
#
# The simplest way is one number per word. We collect the words of four fifths of the sentences, and then read the others.


# %%
def words_of(text):
    return re.findall(r"[a-z]+|[0-9]+|[^\sa-z0-9]", text.lower())


counts = Counter(w for s in known for w in words_of(s))
fresh_words = Counter(w for s in fresh for w in words_of(s))
unknown = [w for w in fresh_words if w not in counts]
print(f"{len(counts)} known words; of {len(fresh_words)} different words in the fresh text {len(unknown)} are unknown")
print("some of them:", ", ".join(unknown[:12]))
once = sum(n == 1 for n in counts.values())
print(f"and {once / len(counts):.0%} of the known words occur only once: nothing can be learnt about them")

# %% [markdown]
# A dictionary is never complete. An alphabet is: a few letters spell every word, but a letter means nothing. In between lie
# *pieces*: frequent words stay whole, and rare ones are cut into parts that occur elsewhere, as in un + ##want + ##ed. (##
# marks a piece that continues a word.)
#
# ## Learning pieces
#
# Start with letters. Find the most frequent pair of neighbours, and make it one piece. Repeat. That is all. (This is byte-pair
# encoding, Sennrich et al., 2016. Google's WordPiece chose the pairs by a score; the library used here counts, as we do.)


# %%
def learn_pieces(counts, merges):
    """The pieces, in the order they were learnt."""
    spelled = {w: [w[0], *("##" + c for c in w[1:])] for w in counts}
    pieces = sorted({p for pieces in spelled.values() for p in pieces})
    for _ in range(merges):
        pairs = Counter()
        for w, parts in spelled.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += counts[w]
        a, b = max(pairs, key=lambda pair: (pairs[pair], pair))
        pieces.append(a + b.removeprefix("##"))
        for parts in spelled.values():
            i = 0
            while i < len(parts) - 1:
                if parts[i] == a and parts[i + 1] == b:
                    parts[i : i + 2] = [a + b.removeprefix("##")]
                i += 1
    return pieces


# %%
frequent = dict(counts.most_common(1500))
pieces = learn_pieces(frequent, merges=150)
print("the first:", " ".join(pieces[-150:-130]))
print("the last: ", " ".join(pieces[-20:]))

# %% [markdown]
# Endings and short words come first; longer words are built from them later. A real vocabulary takes several thousand merges;
# minitorch leaves them to a fast library. Does it learn the same pieces?

# %%
tokenizer = Tokenizer.train(known, vocab_size=2000)
vocabulary = set(tokenizer.tokens)
shared = sum(piece in vocabulary for piece in pieces[-150:])
print(f"{shared} of our 150 learned pieces are among the library's {len(tokenizer)}")

# %% [markdown]
# ### Exercise: cut a word into pieces
#
# Given the pieces, WordPiece cuts greedily: take the longest piece that starts the word, then the longest that continues it,
# and so on. If none fits at some point, the whole word becomes [UNK].


# %%
def wordpiece(word, vocabulary):
    """The list of pieces of a word; ``vocabulary`` is a set, in which pieces that continue a word begin with ##."""
    raise NotImplementedError


# %%
some = {"un", "##want", "##ed", "want", "wa", "##w", "##a", "##able", "u", "##n"}
check(
    wordpiece,
    case("one piece", ("want", some), ["want"]),
    case("longest first", ("unwanted", some), ["un", "##want", "##ed"]),
    case("does not fit", ("unwantedly", some), ["[UNK]"]),
    case("greedy, even where another cut would fit", ("unable", {"un", "unab", "##able", "##a"}), ["[UNK]"]),
    *(case(f"as the library cuts it: {w}", (w, vocabulary), tokenizer.tokenize(w)) for w in ("tokenizer", "unpickling", "zebra")),
)

# %%
cuts = {w: tokenizer.tokenize(w) for w in unknown}
lost = sum("[UNK]" in parts for parts in cuts.values())
print(f"with {len(tokenizer)} pieces {lost} of the {len(unknown)} unknown words remain unknown; a few:")
for w in unknown[:6]:
    print(f"  {w:15s} {' '.join(cuts[w])}")
sizes = [len(tokenizer.encode_lines([s])[0]) / max(1, len(words_of(s))) for s in fresh[:300]]
print(f"the price: {np.mean(sizes):.2f} pieces per word")

# %% [markdown]
# ## A text as a vector: TF-IDF
#
# Now from pieces to vectors. Before neural networks, people turned a text into a vector by counting its words. Not all words
# count the same: a word that occurs in every text says nothing. So each count is multiplied by the word's *inverse document
# frequency*
#
#     idf = ln((1 + n) / (1 + df)) + 1        n texts, df of them contain the word
#
# and each vector is then scaled to length 1. How similar are two texts? The smaller the angle between their vectors, the more
# similar. The dot product of two vectors of length 1 is the cosine of that angle: 1 for the same direction, 0 for a right
# angle.
#
# ### Exercise: TF-IDF
#
# Turn a table of counts (texts, words) into the weighted, normalised table. The check compares you with scikit-learn.


# %%
def tf_idf(counts):
    """The table of counts (n, V) as TF-IDF weights; every row has length 1."""
    raise NotImplementedError


# %%
texts = ["the list is sorted", "the list is reversed in place", "open the file", "the file is closed"]
vectorizer = TfidfVectorizer()
expected = vectorizer.fit_transform(texts).toarray()
table = np.array([[t.split().count(w) for w in vectorizer.get_feature_names_out()] for t in texts], dtype=float)
check(
    tf_idf,
    case("four short texts", table, expected),
    case(
        "a word that occurs twice in a text",
        table + np.eye(*table.shape),
        TfidfTransformer().fit_transform(table + np.eye(*table.shape)).toarray(),
    ),
)

# %% [markdown]
# TF-IDF makes a fine search engine, and often a baseline that is hard to beat. But it is blind to meaning:

# %%
pairs = [
    ("delete the file", "delete the directory"),
    ("delete the file", "remove a path"),
    ("delete the file", "purple elephants"),
]
fitted = TfidfVectorizer(token_pattern=r"[a-z]+").fit(known)
for a, b in pairs:
    va, vb = fitted.transform([a, b]).toarray()
    print(f"{a!r} and {b!r}: {va @ vb:.2f}")

# %% [markdown]
# "delete the file" and "remove a path" mean nearly the same, but have no word in common. So to TF-IDF they are at right angles,
# just like purple elephants: every word is an axis of its own, and all axes are equally far apart. We want *delete* near
# *remove*.
#
# ## Embeddings: a table of vectors, learnt
#
# Give every word a vector of d numbers: a row of a table, V × d. Looking up row i is the same as multiplying a one-hot vector by
# the table, without the multiplication.

# %%
weight = minitorch.randn(6, 3, requires_grad=True)
ids = minitorch.tensor([2, 5, 2])
looked_up = F.embedding(ids, weight)
multiplied = F.one_hot(ids, 6).float() @ weight
print("the same:", bool((looked_up == multiplied).all()))

# %% [markdown]
# ### Exercise: the gradient of a lookup
#
# Row 2 was used twice: its gradient is the sum of both contributions (lesson 1 again). Unused rows get 0. The last case
# compares you with the library.


# %%
def embedding_gradient(g, ids, size):
    """From g (n, d), the gradient of the looked-up rows, the gradient of the whole table, (size, d)."""
    raise NotImplementedError


# %%
g = np.arange(9.0).reshape(3, 3)
(library_gradient,) = minitorch.autograd.grad(looked_up.sum(), weight)
check(
    embedding_gradient,
    case(
        "a row used twice",
        (g, np.array([2, 5, 2]), 6),
        np.array([[0, 0, 0], [0, 0, 0], [6, 8, 10], [0, 0, 0], [0, 0, 0], [3, 4, 5.0]]),
    ),
    case("all the same row", (g, np.array([1, 1, 1]), 2), np.array([[0, 0, 0], [9, 12, 15.0]])),
    case("as the library does it", (np.ones((3, 3)), ids.numpy(), 6), library_gradient.numpy() * np.float64(1)),
)

# %% [markdown]
# What should the vectors be? "You shall know a word by the company it keeps", wrote the linguist Firth in 1957. So we let a
# tiny network guess a word from its four neighbours: the mean of their vectors, times a second table, gives a score for each
# word. (Mikolov et al., 2013, call it CBOW.) Two words that help the same guesses end up with similar vectors.

# %%
V = 2000
names = ["?", *(w for w, _ in counts.most_common(V - 1))]
number = {w: i for i, w in enumerate(names)}
windows = []
for s in known:
    line = [number.get(w, 0) for w in words_of(s) if w.isalpha()]
    windows += [line[i - 2 : i + 3] for i in range(2, len(line) - 2)]
windows = np.array(windows)
contexts, middles = windows[:, [0, 1, 3, 4]], windows[:, 2]
print(f"{len(windows)} windows; one: {' '.join(names[i] for i in windows[1])}")

# %% [markdown]
# Before training, compute two baselines. Guessing uniformly among V words costs ln V. Guessing by word frequency costs the
# *entropy* of the frequencies, -Σ p ln p. A model whose loss is not below the second has learnt nothing from the neighbours.

# %%
frequency = np.bincount(middles, minlength=V) / len(middles)
entropy = -float((frequency[frequency > 0] * np.log(frequency[frequency > 0])).sum())
print(f"ln V = {math.log(V):.2f}, entropy of the words {entropy:.2f}")


# %%
class Company(nn.Module):
    """Scores of all words from the mean vector of the neighbours."""

    def __init__(self, words, d):
        super().__init__()
        self.vectors = nn.Embedding(words, d)
        self.scores = nn.Linear(d, words)
        nn.init.normal_(self.vectors.weight, std=0.02)  # small, so that training soon outweighs chance

    def forward(self, contexts):  # (B, 4) -> (B, V)
        return self.scores(self.vectors(contexts).mean(1))


# %%
minitorch.manual_seed(0)
random = np.random.default_rng(0)
model = Company(V, 32)
optimizer = optim.Adam(model.parameters(), lr=0.02)
losses = []
begin = time.perf_counter()
for _ in range(300):
    rows = random.integers(0, len(windows), 1024)
    loss = F.cross_entropy(model(minitorch.tensor(contexts[rows])), minitorch.tensor(middles[rows]))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
seconds = time.perf_counter() - begin
print(f"loss {losses[0]:.2f} -> {np.mean(losses[-20:]):.2f} in {seconds:.1f} s, {300 * 1024 / seconds:,.0f} windows per second")

# %% [markdown]
# The loss went well below both baselines. Which words are now near each other? We compare by cosine again, after subtracting
# the mean vector, which all words share.

# %%
vectors = model.vectors.weight.detach().numpy()
vectors = vectors - vectors[1:].mean(axis=0)
vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def nearest(word, n=6):
    similarity = vectors @ vectors[number[word]]
    return [names[i] for i in np.argsort(-similarity) if 0 < i < 700][1 : n + 1]  # among the frequent words


for word in ("can", "is", "if", "method", "returns", "true", "string"):
    print(f"{word:8s} near {', '.join(nearest(word))}")

# %% [markdown]
# No one told it what a conjunction or a verb is. It is a small model on a small text, so some neighbours are odd. And no amount
# of text would repair one flaw: a word has one vector, whatever the sentence around it. The "return" of a statement and the
# "return" of a key are the same point. The next two lessons repair that.
#
# ## The picture
#
# Left: the loss of guessing a word by its company, and the two baselines. Right: the vectors of three kinds of words, shown in
# the two of their 32 dimensions in which these words differ most.

# %%
figure, (left, right) = plt.subplots(1, 2)
left.plot(losses, color=BLUE, linewidth=1)
left.axhline(math.log(V), color=GREY, linestyle=":", label=f"ln V = {math.log(V):.2f}")
left.axhline(entropy, color=RED, linestyle=":", label=f"entropy of the words = {entropy:.2f}")
left.set(xlabel="step", ylabel="loss", title="Guessing a word by its company")
left.legend(loc="upper right")
groups = {ORANGE: "can may will must", BLUE: "is are was returns raises", GREY: "method class object module string"}
shown = [(w, c) for c, ws in groups.items() for w in ws.split() if w in number]
flat = np.array([vectors[number[w]] for w, _ in shown])
u = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
plane = u[0][:, :2] * u[1][:2]
for (word, colour), (px, py) in zip(shown, plane, strict=True):
    right.plot(px, py, "o", color=colour, markersize=4)
    right.annotate(word, (px, py), xytext=(4, -10 if len(word) % 2 else 4), textcoords="offset points", color=colour, fontsize=9)
right.margins(0.15)
right.set(title="The vectors' two main directions", xticks=[], yticks=[])
show(figure, "07_words")

# %% [markdown]
# ## Read next
#
# - `models/text/tokenizer.py`: the same pieces by a fast library, and what makes a vocabulary reproducible.
# - `models/text/python_docs.py`: how documentation becomes a text.
# - `minitorch/ops/nn.py`, `embedding`: the lookup, and the sum of rows as its gradient.
# - Then lesson 8, `08_attention.py`.
