"""A small BERT that pretrains on tokens that the learner's byte-pair encoding has learned and cut (assignment 7).

    lines -> merges -> ids of each line -> rows of ids, 15 % of them masked -> the loss of each step

``library_merges`` and ``library_ids`` are the `tokenizers` library's own: merges, ids and losses must be the same.
Read before: tiny_bert.py, models/text/bpe.py. Read next: lessons/assignments/tokens/.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor, optim

from .testing import GIVES

STEPS, BATCH, LENGTH = 6, 8, 16
BYTES, VOCABULARY = 256, 320
SHORT = 10  # a list of so many ids is printed in whole
LINES = """
A network reads numbers, so a text has to become numbers before a network can read it.
Words are too many: every language has names, and every day somebody invents another word.
Characters are too few: a text of characters is long, and a network that reads them has to learn to spell first.
Pieces of words lie in between. A common word is one piece, and a rare word is a few pieces.
The pieces are learned from a text. At the beginning every byte is a piece of its own.
The two pieces that stand together most often become one piece, and this is done again and again.
In the end the most common words are single pieces: the, and, that, this. Rare words are cut: "tokenizer" is token and izer.
A byte is a number from 0 to 255. The letter é is two bytes, the sign € is three, and the smile 🙂 is four.
Grüße aus Köln! Die Größe der Wörter ist nicht die Größe der Stücke, und die Stücke sind nicht die Silben.
これは文です。これも文です。文は文字から、文字はバイトから。
for i in range(10): print(i, i * i); for word in words: print(word, len(word))
def read(path): return open(path).read(); def words(text): return text.split()
The same text gives the same pieces, on every day and on every machine, because ties are broken by a rule.
That's it: it's simple, it's fast, and it isn't magic. They've used it since 2016, and we'll use it, too.
""".strip().split("\n")


def losses_on(lines: Sequence[Sequence[int]]) -> np.ndarray:
    """The loss before each of a few AdamW steps of a small masked language model on these lines of ids."""
    from models.bert.config import BertConfig
    from models.bert.model import BertForMaskedLM

    minitorch.manual_seed(0)
    mask = VOCABULARY  # the id after the last
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=VOCABULARY + 1, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=LENGTH, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.5,
        )
    )  # fmt: skip
    step, rng, history = optim.AdamW(model.parameters(), lr=1e-2), np.random.default_rng(0), []
    stream = np.concatenate([np.asarray(ids, np.int64).reshape(-1) for ids in lines])
    for ids in np.resize(stream, (STEPS, BATCH, LENGTH)):
        chosen = rng.random(ids.shape) < 0.15
        chosen[0, 0] = True
        masked, labels = np.where(chosen, mask, ids), np.where(chosen, ids, -100)
        loss = model(input_ids=Tensor(masked), labels=Tensor(labels)).loss
        step.zero_grad()
        loss.backward()
        step.step()
        history.append(loss.item())
    return np.array(history)


def library_merges(texts: Sequence[str], vocab_size: int) -> list[tuple[int, int]]:
    """The merges that the `tokenizers` library learns where, as in the assignment, the ids of the bytes are the bytes.

    It takes characters for its alphabet and numbers them by their code points: a byte goes in as the character of that number.
    """
    import tokenizers
    from tokenizers import models, pre_tokenizers, trainers

    byte_of = {letter: byte for byte, letter in enumerate(letters())}
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = [word for text in texts for word, _ in splitter.pre_tokenize_str(text)]
    backend = tokenizers.Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=2, initial_alphabet=[chr(b) for b in range(BYTES)], show_progress=False
    )
    backend.train_from_iterator(["".join(chr(byte_of[letter]) for letter in word) for word in words], trainer)
    model = json.loads(backend.to_str())["model"]
    return [(model["vocab"][left], model["vocab"][right]) for left, right in model["merges"]]


def library_tokenizer(merges: Sequence[tuple[int, int]]) -> Any:
    """models/text/bpe.py's tokenizer of these merges."""
    from models.text.bpe import BPETokenizer

    tokens, named = letters(), []
    for left, right in merges:
        named.append((tokens[left], tokens[right]))
        tokens.append(tokens[left] + tokens[right])
    return BPETokenizer({token: i for i, token in enumerate(tokens)}, [list(pair) for pair in named])


def library_ids(merges: Sequence[tuple[int, int]]) -> Callable[[str], list[int]]:
    """A function from a text to its ids by that tokenizer."""
    tokenizer = library_tokenizer(merges)
    return lambda text: tokenizer.encode_lines([text])[0]


def letters() -> list[str]:
    """GPT-2's letter for each byte: itself where it is seen in print, else one from 256 on."""
    seen = [chr(byte).isprintable() and byte != ord(" ") for byte in range(BYTES)]
    return [chr(byte) if seen[byte] else chr(BYTES + byte - sum(seen[:byte])) for byte in range(BYTES)]


def same_ids(right: Sequence[Any], slips: Mapping[str, Sequence[Any]] | None = None) -> Callable[[Any], str | None]:
    """An expected list of ids, or of pairs. Of another one: where the two part, and which of the known slips gives it."""
    ours = np.asarray(right, np.int64).tolist()

    def complain(got: Any) -> str | None:
        found = np.asarray(got)
        if got is None:
            return f"yours is None, it should be {around(ours, 0)}"
        if found.size and (found.dtype.kind not in "iu" or found.ndim != max(1, np.ndim(ours))):
            return f"yours is no list of {'pairs of ids' if np.ndim(ours) == 2 else 'ids'} (shape {found.shape}, {found.dtype})"
        mine = found.tolist() if found.size else []
        if mine == ours:
            return None
        at = next((i for i, (a, b) in enumerate(zip(mine, ours, strict=False)) if a != b), min(len(mine), len(ours)))
        part = f": they part at [{at}]" if max(len(mine), len(ours)) > SHORT else ""
        known = [name for name, wrong in (slips or {}).items() if mine == np.asarray(wrong, np.int64).tolist()]
        slip = f"; {known[0]}{GIVES}" if known else ""
        return f"yours is {around(mine, at)}, it should be {around(ours, at)}{part}{slip}"

    return complain


def around(ids: list[Any], at: int) -> str:
    """A list in print; of a long one the part around a place, and how long it is."""
    if len(ids) <= SHORT:
        return str(ids)
    first = max(0, at - 3)
    part = ", ".join(map(str, ids[first : first + 8]))
    return f"[{'..., ' * (first > 0)}{part}{', ...' * (first + 8 < len(ids))}] ({len(ids)} in all)"
