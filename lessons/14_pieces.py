# %% [markdown]
# # 14. Pieces: learning a tokenizer, and a unit that compares two of them
#
# Lesson 7 cut words into pieces, and left the learning of a real vocabulary to the library. Here you write the learner: GPT's
# *[byte-level BPE](../docs/glossary.md)* and BERT's WordPiece, until they choose the same pieces as the library. And then the
# question that decides everything: which of two tokenizers is better? Their losses per piece cannot tell.

# %%
import ast
import itertools
import json
import math
import time
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, show

from models.evaluating.perplexity import Perplexity
from models.text.bigrams import bigram_entropy
from models.text.bpe import LEAST, BPETokenizer
from models.text.python_docs import python_documentation, sources
from models.text.tokenizer import Tokenizer

# %% [markdown]
# Two kinds of text lie on your disk: English, the documentation of Python and NumPy; and code, the programs of Python's
# standard library, without comments and documentation. One file in five of each is held out. (Other versions of Python have
# other text, so your numbers will differ a little from other people's.)


# %%
def code_of(source):
    """The program alone: no comments, no docstrings; nothing where it cannot be read."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ""
    for node in ast.walk(tree):
        first = node.body[0] if isinstance(getattr(node, "body", None), list) and node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


def halves(documents, n, random):
    """n documents in random order, four fifths to learn from and the rest to test on."""
    chosen = [documents[i] for i in random.permutation(len(documents))[:n]]
    return chosen[n // 5 :], chosen[: n // 5]


# %%
random = np.random.default_rng(0)
english = ["\n".join(lines) + "\n" for _, lines in python_documentation(["numpy"])]
programs = [source for library, _, source in sources([]) if 2_000 < len(source) < 40_000]
programs = [code_of(programs[i]) for i in random.permutation(len(programs))[:100]]
english, fresh_english = halves(english, 200, random)
code, fresh_code = halves(programs, 100, random)
for name, texts in (("English", english), ("code", code), ("fresh English", fresh_english), ("fresh code", fresh_code)):
    print(f"{name:14s} {len(texts):4d} files, {sum(len(t.encode()) for t in texts) / 1e3:7,.0f} kB")

# %% [markdown]
# ## Something goes wrong
#
# We train a tokenizer of 1,500 pieces on the English, and give it a sentence and two lines of code:

# %%
V = 1500
of_english = BPETokenizer.train(english, vocab_size=V)
SENTENCE = "Return the number of elements in the list, if there are any.\n"
LINES = "        if not isinstance(self.encoding, str):\n            raise TypeError('encoding must be str')\n"


def pieces_of(tokenizer, text):
    """The pieces as one can read them: · is a space, ↵ the end of a line."""
    names = [tokenizer.tokens[i] for i in tokenizer.encode_lines([text])[0]]
    return [name.replace("Ġ", "·").replace("Ċ", "↵") for name in names]


for text in (SENTENCE, LINES):
    found = pieces_of(of_english, text)
    print(f"{len(text.encode())} bytes, {len(found)} pieces:", " ".join(found))

# %% [markdown]
# The sentence comes out in words. The code falls into fragments and single letters, and its indentation into a handful of spaces.
# Not one rule of the tokenizer is broken: *every* text can be written with its pieces, only not in few of them. Over whole
# files:


# %%
def bytes_per_piece(tokenizer, texts):
    return sum(len(t.encode()) for t in texts) / sum(map(len, tokenizer.encode_lines(texts)))


on_english, on_code = bytes_per_piece(of_english, fresh_english), bytes_per_piece(of_english, fresh_code)
print(f"a piece holds {on_english:.2f} bytes of fresh English, {on_code:.2f} bytes of fresh code")
print(f"the same text length takes {on_english / on_code:.1f} times as many pieces of code")
print(f"and attention, which grows with the square (lesson 13), costs {(on_english / on_code) ** 2:.1f} times as much")

# %% [markdown]
# To see why, build the learner.
#
# ## Learning BPE
#
# First the text is cut into *words*: letters, digits, signs or spaces that stand together, each with the one space before it.
# Pieces never cross the border of a word. Then each word is written in bytes, which the library shows as characters: "Ġ" is the
# space. From there on, the most frequent pair of neighbours is joined, again and again (Sennrich et al., 2016).

# %%
splitter = of_english.backend.pre_tokenizer
print([word for word, _ in splitter.pre_tokenize_str("if not isinstance(x, str):\n    pass")])


def words_of(texts):
    """How often each word occurs; a word is a tuple of its bytes."""
    return dict(Counter(tuple(word) for text in texts for word, _ in splitter.pre_tokenize_str(text)))


# %% [markdown]
# ### Exercise: count the pairs
#
# A word that occurs 7 times counts 7 times for each of its pairs.


# %%
def count_pairs(words):
    """From {word (a tuple of pieces): how often it occurs}: {(piece, next piece): how often}, over all words."""
    raise NotImplementedError


# %%
def as_dict(function):
    """Any kind of dictionary will do."""

    def asked(words):
        found = function(words)
        return dict(found) if isinstance(found, dict) else found

    return asked


toy = {("h", "u", "g"): 10, ("p", "u", "g"): 5, ("h", "u", "g", "s"): 5, ("b",): 3}
once = {("h", "u"): 2, ("u", "g"): 3, ("p", "u"): 1, ("g", "s"): 1}
counted = check(
    count_pairs,
    case(
        "four words",
        (toy,),
        {("h", "u"): 15, ("u", "g"): 20, ("p", "u"): 5, ("g", "s"): 5},
        slips={"if each word counts once, however often it occurs": once},
    ),
    case("a pair twice in a word", ({("n", "a", "n", "a"): 2},), {("n", "a"): 4, ("a", "n"): 2}),
    case("pieces of several letters", ({("th", "e"): 3, ("th", "e", "n"): 1},), {("th", "e"): 4, ("e", "n"): 1}),
    case("no pair at all", ({("a",): 4, ("b",): 1},), {}),
    through=as_dict,
)

# %% [markdown]
# ### Exercise: join a pair
#
# From left to right; what has been joined is not joined again. (If it could, three equal letters would raise the question which
# two belong together.)


# %%
def join(pieces, pair, new):
    """The list of pieces with ``new`` in place of each occurrence of the two pieces of ``pair``, one after the other."""
    raise NotImplementedError


# %%
joined = check(
    join,
    case("once", (["t", "h", "e"], ("t", "h"), "th"), ["th", "e"]),
    case("at the end, and twice", (["n", "a", "n", "a"], ("n", "a"), "na"), ["na", "na"]),
    case("three equal ones", (["a", "a", "a"], ("a", "a"), "aa"), ["aa", "a"]),
    case("four equal ones", (["a", "a", "a", "a"], ("a", "a"), "aa"), ["aa", "aa"]),
    case("the same letters, but other pieces", (["ab", "c", "a", "bc"], ("b", "c"), "bc"), ["ab", "c", "a", "bc"]),
    case("two ways to spell it", (["a", "bc", "ab", "c"], ("ab", "c"), "abc"), ["a", "bc", "abc"]),
    case("WordPiece's marks", (["u", "##n", "##n"], ("u", "##n"), "un"), ["un", "##n"]),
    case("nothing to read", ([], ("a", "b"), "ab"), []),
)


# %% [markdown]
# With these two functions the whole learner is a short loop. Ties have to be broken somehow, and the library's rule is: the pair
# whose pieces are older wins.


# %%
def learn(words, pieces, joins, new_piece=lambda a, b: a + b, choose=None):
    """The pairs that are joined, in order. ``pieces``: those to begin with, the oldest first."""
    age, order = {piece: i for i, piece in enumerate(pieces)}, []
    for _ in range(joins):
        if choose is None:
            counts = count_pairs(words)
            pair = min(counts, key=lambda p: (-counts[p], age[p[0]], age[p[1]]))
        else:
            pair = choose(words)
        new = new_piece(*pair)
        age.setdefault(new, len(age))
        words = {tuple(join(list(word), pair, new)): n for word, n in words.items()}
        order.append(pair)
    return order


def joins_of(tokenizer):
    """The library's pairs, in order."""
    found = json.loads(tokenizer.backend.to_str())["model"]["merges"]
    return [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in found]


# %%
small = code[:6]
if counted and joined:
    begin = time.perf_counter()
    yours = learn(words_of(small), of_english.tokens[:LEAST], joins=200)
    library = joins_of(BPETokenizer.train(small, vocab_size=LEAST + 200))
    same = sum(a == b for a, b in zip(yours, library, strict=False))
    print(f"your learner, from six programs, in {time.perf_counter() - begin:.1f} s: {same} of 200 joins are the library's")
    print("the first:", " ".join(a + b for a, b in yours[:20]).replace("Ġ", "·").replace("Ċ", "↵"))
else:
    print("Write the two functions and run the cells again: then your own learner runs here, beside the library's.")

# %% [markdown]
# ### Exercise: encode
#
# To cut a new word, write it in single characters. Then, among the pairs in it, join the one that was learnt *first*; and
# again, until no pair in the word was ever learnt. That differs from lesson 7's "longest piece first".


# %%
def encode(word, joins):
    """The list of pieces of ``word`` (a string); ``joins`` is the list of learnt pairs, the first learnt first."""
    raise NotImplementedError


# %%
LEARNT = joins_of(of_english)
library_model = of_english.backend.model
check(
    encode,
    case("the first learnt pair wins", ("abc", [("b", "c"), ("a", "b")]), ["a", "bc"], slips={"from left to right": ["ab", "c"]}),
    case("joins of joins", ("hugs", [("u", "g"), ("h", "ug")]), ["hug", "s"]),
    case("twice in a word", ("banana", [("a", "n"), ("b", "an")]), ["ban", "an", "a"]),
    case("nothing was learnt", ("xyz", [("a", "b")]), ["x", "y", "z"]),
    *(
        case(f"as the library cuts it: {word.replace('Ġ', '·')}", (word, LEARNT), [t.value for t in library_model.tokenize(word)])
        for word in ("Ġdocumentation", "Ġisinstance", "assertEqual", "ĠĠĠĠĠĠĠ", "Ġunbelievable")
    ),
)

# %% [markdown]
# So a tokenizer *is* a memory of its training text's frequencies. "is" + "instance" is frequent in code and rare in English, and
# so are four spaces. We train on the same amount of each, with the same number of pieces:

# %%
of_code = BPETokenizer.train(code, vocab_size=V)
of_both = BPETokenizer.train([*english, *code], vocab_size=V)
print("trained on code:", " ".join(pieces_of(of_code, LINES)))
TOKENIZERS = {"English": of_english, "code": of_code, "both": of_both}
sizes = {name: [bytes_per_piece(t, texts) for texts in (fresh_english, fresh_code)] for name, t in TOKENIZERS.items()}
for name, (a, b) in sizes.items():
    print(f"trained on {name:8s} {a:.2f} bytes of English per piece, {b:.2f} bytes of code")

# %% [markdown]
# ## WordPiece: another pair
#
# WordPiece begins with letters instead of bytes, marks pieces inside of a word with ##, and cuts by "longest piece first". As
# Google described it, it also chooses its pairs in another way: not the most frequent pair, but the one whose joining makes the
# text most probable (Schuster and Nakajima, 2012). A common form of that is to compare the pair with chance:
#
#     score(a, b) = count(ab) / (count(a) · count(b))
#
# where count(a) is how often the piece a occurs in all words, alone or next to anything.
#
# ### Exercise: WordPiece's choice


# %%
def best_by_score(words):
    """The pair with the highest score; ``words`` as above. Of several with the same score, any."""
    raise NotImplementedError


# %%
frequent = {("a", "##b"): 10, ("a", "##c"): 10, ("d", "##b"): 9, ("x", "##y"): 2}
chosen_by_score = check(
    best_by_score,
    case("a rare pair that is always together", (frequent,), ("x", "##y"), slips={"by frequency": ("a", "##b")}),
    case("four words", ({("t", "##h", "##e"): 9, ("t", "##o"): 3, ("s", "##h"): 3, ("q", "##u"): 2},), ("q", "##u")),
    case("a piece alone counts, too", ({("a", "##b"): 4, ("a",): 40, ("c", "##d"): 4, ("c",): 4},), ("c", "##d")),
    case(
        "inside of a word", ({("u", "##n", "##d", "##o"): 1, ("u", "##n"): 1, ("u", "##p"): 1, ("d", "##o"): 5},), ("##n", "##d")
    ),
)

# %%
lines = [line for text in english[:25] for line in text.splitlines()]
wordpiece = Tokenizer.train(lines, vocab_size=600)
plain_words = Counter(
    word
    for line in lines
    for word, _ in wordpiece.backend.pre_tokenizer.pre_tokenize_str(wordpiece.backend.normalizer.normalize_str(line))
)
spelled = {(word[0], *("##" + c for c in word[1:])): n for word, n in plain_words.items()}


def without_mark(a, b):
    return a + b.removeprefix("##")


if counted and joined:
    start = [piece for piece in wordpiece.tokens if len(piece.removeprefix("##")) == 1 or piece.startswith("[")]
    yours = [without_mark(*pair) for pair in learn(spelled, start, joins=150, new_piece=without_mark)]
    library = wordpiece.tokens[len(start) : len(start) + 150]
    print(f"{sum(a == b for a, b in zip(yours, library, strict=False))} of 150 new pieces are the library's WordPiece's")
    print("by count:", " ".join(yours[:16]))
if counted and joined and chosen_by_score:
    by_score = learn(spelled, [], joins=16, new_piece=without_mark, choose=best_by_score)
    print("by score:", " ".join(without_mark(*pair) for pair in by_score))

# %% [markdown]
# The library (Hugging Face's) counts, for WordPiece as for BPE. The plain score prefers pairs that occur two or three times in
# all, because they are never seen apart. Is that better or worse? We need a measure.
#
# ## A unit that compares
#
# Take a tokenizer and the simplest language models: the frequency of each piece, and the piece before it (lesson 9's baselines;
# now with a better smoothing, the library's). More pieces mean longer pieces:


# %%
def ids_of(tokenizer, texts):
    return np.concatenate([np.array(ids) for ids in tokenizer.encode_lines(texts)])


def costs(tokenizer, texts, fresh):
    """Nats per piece of the fresh texts: by frequency, and by the piece before."""
    known, asked = ids_of(tokenizer, texts), ids_of(tokenizer, fresh)
    q = np.bincount(known, minlength=len(tokenizer)) + 1.0
    return -np.log(q / q.sum())[asked].mean(), bigram_entropy(asked, known, len(tokenizer))


mixed, fresh_mixed = [*english, *code], [*fresh_english, *fresh_code]
ladder = {}
for pieces in (LEAST, 400, 800, 1600, 3200):
    tokenizer = BPETokenizer.train(mixed, vocab_size=pieces)
    ladder[pieces] = (*costs(tokenizer, mixed, fresh_mixed), bytes_per_piece(tokenizer, fresh_mixed))
    unigram, bigram, size = ladder[pieces]
    print(f"{pieces:5d} pieces: {unigram:.2f} nats per piece by frequency, {bigram:.2f} by the piece before", flush=True)

# %% [markdown]
# The plain bytes have the lowest loss! By this measure nobody should learn pieces at all. But to guess one letter is easier than
# to guess a whole word, and there are more letters to guess. What the two have in common is the text. So share the cost out over
# its *bytes*.
#
# ### Exercise: nats per byte


# %%
def nats_per_byte(nats, texts):
    """Of all texts together; nats[i] is an array, with the cost of each piece of texts[i] (a string; its bytes: .encode())."""
    raise NotImplementedError


# %%
def perplexity_of(nats, texts):
    """The same in the library."""
    total = float(sum(row.sum() for row in nats))
    sizes = (sum(map(len, nats)), sum(map(len, texts)), sum(len(text.encode()) for text in texts))
    return Perplexity(total, *sizes, "").per("bytes")


plain = ([np.array([1.0, 2.0, 3.0])], ["abcdef"])
uneven = ([np.array([5.0, 1.0]), np.array([2.0, 2.0, 2.0, 2.0])], ["ab", "of many letters"])
check(
    nats_per_byte,
    case("one text", plain, 1.0, slips={"per piece": 2.0}),
    case(
        "texts of different lengths", uneven, perplexity_of(*uneven), slips={"as a mean of the texts' ratios": (3 + 8 / 15) / 2}
    ),
    case(
        "letters of several bytes",
        ([np.array([3.0, 4.0])], ["naïve 🙂"]),
        perplexity_of([np.array([7.0])], ["naïve 🙂"]),
        slips={"per character, not per byte": 1.0},
    ),
)

# %%
for pieces, (unigram, bigram, size) in ladder.items():
    said = f"{unigram / size:.3f} nats per byte by frequency, {bigram / size:.3f} by the piece before"
    print(f"{pieces:5d} pieces, {size:.2f} bytes each: {said}")

# %% [markdown]
# Now the order is turned round: larger vocabularies make the text cheaper, with the same two models. A piece of several letters
# already knows which letter comes next. (With more and more pieces each one occurs less often, and the gain ends. A network
# pays, too: with a row of weights for each piece.)
#
# Nats per byte compare *any* two models that write the text back exactly. Check that before you compare: WordPiece does not.

# %%
of_words = Tokenizer.train((line for text in mixed for line in text.splitlines()), vocab_size=V)
for name, tokenizer in (("BPE", of_both), ("WordPiece", of_words)):
    rows = [line for text in fresh_code for line in text.splitlines() if line.strip()][:2000]
    back = sum(tokenizer.decode(ids) == row for ids, row in zip(tokenizer.encode_lines(rows), rows, strict=True))
    bigram = costs(tokenizer, mixed, fresh_mixed)[1] / bytes_per_piece(tokenizer, fresh_mixed)
    print(f"{name:10s} {back / len(rows):6.1%} of the lines of code come back as they were; {bigram:.3f} nats per byte by pairs")
print(LINES.splitlines()[0], "  →  ", of_words.decode(of_words.encode_lines([LINES.splitlines()[0]])[0]))

# %% [markdown]
# WordPiece drops capitals and spaces, so it never pays for them. Its figure is for a text that is easier, and says nothing
# against BPE's.
#
# ## The picture
#
# Left: what a tokenizer has read decides what it can write in few pieces. Right: the same models, by two units.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
for i, (kind, colour) in enumerate((("English", BLUE), ("code", ORANGE))):
    heights = [size[i] for size in sizes.values()]
    bars = left.bar(np.arange(3) + 0.38 * i - 0.19, heights, 0.36, color=colour, label=f"fresh {kind}")
    left.bar_label(bars, fmt="%.2f", fontsize=9)
left.set(xticks=range(3), xticklabels=[f"trained on\n{name}" for name in sizes], ylabel="bytes per piece", title=f"{V} pieces")
left.set_ylim(0, 1.3 * max(max(pair) for pair in sizes.values()))
left.legend(ncols=2, loc="upper center")
left.grid(visible=False, axis="x")
numbers = list(ladder)
right.plot(numbers, [bigram for _, bigram, _ in ladder.values()], "o-", color=GREY, label="per piece")
right.plot(numbers, [bigram / size for _, bigram, size in ladder.values()], "o-", color=GREEN, label="per byte")
right.set(xscale="log", xticks=numbers, xticklabels=numbers, xlabel="pieces in the vocabulary", ylabel="nats, by pairs of pieces")
right.set(title="One model, two units", ylim=(0, None))
right.minorticks_off()
right.legend(loc="center right")
show(figure, "14_pieces")
more, less = sizes["both"][1] / sizes["English"][1], sizes["both"][0] / sizes["English"][0]
print(f"a piece of the tokenizer that also read code holds {more:.2f} times as much code, and {less:.2f} times as much English")

# %% [markdown]
# ## Read next
#
# - `models/text/bpe.py`: GPT-2's tokenizer, its files, and what a broken one says.
# - `models/text/tokenizer.py`: WordPiece; why the same text always gives the same ids.
# - `models/text/bigrams.py`, `bigram_entropy`: the smoothing that this lesson used.
# - `models/evaluating/perplexity.py`: nats per piece, per character and per byte, for any model: `minitorch evaluate`.
# - Then lesson 15, `15_evaluation.py`.
