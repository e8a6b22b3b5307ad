"""What a pretraining run leaves to look at: the curve between its two floors, and five masks filled in.

Read before: pretraining.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minitorch.files import replacing

from .use import fill_mask


def save_curve(metrics: list[dict[str, Any]], path: Path, title: str) -> None:
    """Loss on the training and the held-out text against the steps, with ln V and the unigram entropy as lines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps = [line["step"] for line in metrics]
    figure, axes = pyplot.subplots(figsize=(8, 4.5), dpi=120)
    axes.plot(steps, [line["loss"] for line in metrics], color="#4c72b0", alpha=0.7, label="training text")
    axes.plot(steps, [line["valid_loss"] for line in metrics], "o-", color="#c44e52", markersize=3, label="held-out text")
    for name, text in (("uniform_floor", "guessing: ln V"), ("unigram_floor", "word frequencies alone")):
        floor = metrics[-1][name]
        axes.axhline(floor, color="#555555", linestyle="--", linewidth=1)
        axes.annotate(f"{text} = {floor:.2f}", (0.99, floor), (0, 4), ("axes fraction", "data"), "offset points", ha="right")
    last = metrics[-1]
    axes.annotate(
        f"{last['valid_loss']:.2f}", (last["step"], last["valid_loss"]), (4, 0), textcoords="offset points", va="center"
    )
    axes.set(xlabel="step", ylabel="nats a masked word", title=title)
    axes.set_xlim(0, last["step"] * 1.04)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left")
    figure.tight_layout()
    with replacing(path) as beside:
        figure.savefig(beside)
    pyplot.close(figure)


def filled_masks(model: Any, text: Any, count: int = 5) -> list[str]:
    """Sentences of the held-out text with one word masked, and the model's three best guesses."""
    tokenizer, corpus = text.tokenizer, text.valid
    lines: dict[str, None] = {}  # each once, in order
    for i, ids in suitable(corpus):
        tokens = [tokenizer.tokens[t] for t in ids]
        # Whole words: no piece of one, and none follows. Long ones first: they say more than "the".
        words = [k for k, token in enumerate(tokens) if token.isalnum() and not "".join(tokens[k + 1 : k + 2]).startswith("##")]
        words = [k for k in words if len(tokens[k]) > 3] or words
        if not words:
            continue
        place = words[i % len(words)]
        masked = f"{tokenizer.decode(ids[:place])} [MASK] {tokenizer.decode(ids[place + 1 :])}".strip()
        guesses = ", ".join(f"{token} {p:.0%}" for token, p in fill_mask(model, tokenizer, masked, 3)[0])
        lines[f"  {masked}\n      {guesses}   (the text has: {tokens[place]})"] = None
        if len(lines) == count:
            break
    return list(lines)


def suitable(corpus: Any) -> Iterator[tuple[int, list[int]]]:
    """Sentences of a length that is good to look at, from all over the text; if there are none, others."""
    lengths = corpus.sentences[1:] - corpus.sentences[:-1]
    good, other = (lengths >= 10) & (lengths <= 24), (lengths < 10) & (lengths > 1)
    for choice in (good.nonzero()[0], other.nonzero()[0]):
        for i in choice[:: max(1, len(choice) // 20)].tolist():
            yield i, corpus.ids[corpus.sentences[i] : corpus.sentences[i + 1]].tolist()
