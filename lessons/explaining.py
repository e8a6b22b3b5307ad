# %% [markdown]
# # Why did it say so? A classifier with a shortcut
#
# A model is right on every test example, and for the wrong reason. Explanations find that out; but which of them can be believed?
# What follows runs in half a minute, without a network. With a model of your own: `minitorch explain --model FOLDER "a text"`
# writes the same as a page ([the page about it](../docs/explaining.md)).

# %%
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from pictures import BLUE, GREY, ORANGE, show

import minitorch
from models import bert, explaining, finetuning
from models.explaining import checks, page, swaps

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)

# %% [markdown]
# ## The trap
#
# Short film reviews. A word says whether the film was liked. But whoever collected them took most of the praise from one critic,
# Anna, and most of the rest from another, Bert, and left the names in.

# %%
GOOD, BAD = "good great fine lovely".split(), "bad awful poor ugly".split()  # noqa: SIM905
OTHER = "the a film book was and it very plot end of story we saw".split()  # noqa: SIM905


def review(liked, critic):
    words = [*rng.choice(OTHER, 5), rng.choice(GOOD if liked else BAD), *rng.choice(OTHER, 3)]
    return " ".join([critic, ":", *map(str, rng.permutation(words))])


def write(name, n, share):
    """n reviews; ``share`` of the praise is Anna's, and as much of the blame Bert's."""
    rows = ["text\tlabel"]
    for i in range(n):
        liked, usual = i % 2 == 0, rng.random() < share
        rows.append(f"{review(liked, 'anna' if liked == usual else 'bert')}\t{'praise' if liked else 'blame'}")
    (folder / name).write_text("\n".join(rows) + "\n")
    return str(folder / name)


train, same, fair = write("train.tsv", 400, 0.97), write("same.tsv", 100, 0.97), write("fair.tsv", 100, 0.5)

# %% [markdown]
# A small BERT with random weights is enough for such sentences.

# %%
words = [*GOOD, *BAD, *OTHER, "anna", "bert", ":"]
tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
minitorch.manual_seed(0)
shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
model = bert.BertForMaskedLM(bert.BertConfig(vocab_size=len(tokens), max_position_embeddings=32, initializer_range=0.1, **shape))
model.save_pretrained(folder / "start")
bert.Tokenizer({token: i for i, token in enumerate(tokens)}).save_pretrained(folder / "start")
options = {"model": str(folder / "start"), "length": 32, "epochs": 6, "lr": 1e-3, "batch_size": 16, "compare": "none"}
run = finetuning.finetune("classify", train=train, test=same, output=str(folder / "run"), **options)
source = explaining.open_source(folder / "run")


def accuracy(file):
    answers = [record["prediction"] for record in source.answers(source.file(file))]
    return np.mean([a == e.target for a, e in zip(answers, source.file(file, labelled=True), strict=True)])


print(f"same mixture of critics: {accuracy(same):.0%} right; each critic praises half: {accuracy(fair):.0%}")

# %% [markdown]
# ## What it looks at
#
# Seven methods say how much each word adds to the answer. In a notebook the text is shown with a number above each word, as on
# the command's page.

# %%
(example,) = source.examples(["anna : the film was bad and it was a poor story"])
subject = source.subject(example)
found = list(explaining.explain(subject, source.random()))
random = checks.random_curves(subject)
if "ipykernel" in sys.modules:
    from IPython.display import HTML, display

    display(HTML("".join(page.of_text(subject, found, random))))
print(f"the answer: {subject.answer}")
for e in found:
    order = np.argsort(-np.abs(e.values))[:4]
    print(f"{e.title:28}", ", ".join(f"{subject.words[i].text} {e.values[i]:+.2f}" for i in order))

# %% [markdown]
# ## Which of them to believe?
#
# Three checks. Integrated gradients must add up to f(x) - f(x'). A method that says the same of random weights explains the text,
# not the model. And words that matter, taken out first, should change the answer faster than words in a random order.

# %%
print(next(e.note for e in found if e.name == "integrated"))
figure, (left, right) = plt.subplots(1, 2)
left.plot(random.share, random.deletion, color=GREY, linewidth=5, alpha=0.4, label="random order")
for name, style, colour in (("occlusion", "-", BLUE), ("integrated", "--", BLUE), ("attention", ":", ORANGE)):
    e = next(e for e in found if e.name == name)
    left.plot(e.curves.share, e.curves.deletion, style, color=colour, label=e.title)
left.set(xlabel="share of words out", ylabel=f"p({subject.answer})", title="Deletion")
left.legend()
right.barh([e.title for e in found], [e.sanity for e in found], color=BLUE)
right.invert_yaxis()
right.set(xlabel="rank correlation with random weights", xlim=(-1, 1))
show(figure, "explaining")

# %% [markdown]
# ## The proof: exchange the word
#
# An explanation is a hint. The experiment is to change nothing but the name: if the model read reviews, the answer would stay.

# %%
rows = swaps.swap(source, source.file(fair), [("anna", "bert"), ("film", "book")])
for row in rows[:4]:
    change = f"mean change of p({row.label}) {row.mean:+.3f} ± {row.interval:.3f}"
    print(f"{row.name:14} {change}, {np.mean(row.flips):.0%} of answers flip")

# %% [markdown]
# The names move the answer, other words hardly. The cure is not another explanation but other data: with as much praise from
# Bert as from Anna (`write("train.tsv", 400, 0.5)`) the shortcut is gone. Try it.
