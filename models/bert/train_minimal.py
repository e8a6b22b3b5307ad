"""BERT's training at its smallest: data, model, loop, loss.

    python -m models.bert.train_minimal [--steps 300]

The text is sixty sentences of Python's own documentation, few enough to be learnt by heart in seconds. A loss below the second
baseline shows that the model uses the words around a mask: counting words alone cannot get there.
Read before: model.py. Read next: data.py, pretraining.py.
"""

from __future__ import annotations

import argparse
import itertools
import math

import numpy as np

import minitorch
from minitorch import Tensor, nn, optim

from ..text.python_docs import python_documentation
from ..text.tokenizer import Tokenizer
from .config import BertConfig
from .model import BertForMaskedLM

V, S, B = 512, 16, 64  # pieces in the vocabulary, tokens per sequence, sequences per batch


def read_ids(sentences: int) -> tuple[Tokenizer, np.ndarray]:
    """A vocabulary learnt from the text, and the text as one row of ids."""
    lines = list(itertools.islice((line for _, document in python_documentation(()) for line in document), sentences))
    tokenizer = Tokenizer.train(lines, V)
    return tokenizer, np.concatenate([np.array(ids, np.int64) for ids in tokenizer.encode_lines(lines, special=False)])


def batch(ids: np.ndarray, tokenizer: Tokenizer, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Stretches of the text with one token in five behind [MASK]; labels: those tokens, and -100 elsewhere. Both (B, S)."""
    starts = rng.integers(0, len(ids) - S, B)
    x = ids[starts[:, None] + np.arange(S)]
    masked = rng.random((B, S)) < 0.2
    masked[:, 0] |= ~masked.any(1)  # at least one per sequence
    labels = np.where(masked, x, -100)
    return minitorch.tensor(np.where(masked, tokenizer.mask_id, x)), minitorch.tensor(labels)


def train(steps: int = 300, sentences: int = 60, every: int = 50) -> tuple[float, float]:
    """Print the loss and its two baselines; return the last loss and the baseline of word frequencies."""
    minitorch.manual_seed(0)
    rng = np.random.default_rng(0)
    tokenizer, ids = read_ids(sentences)
    p = np.bincount(ids.astype(np.intp), minlength=V) / len(ids)
    frequencies = -(p[p > 0] * np.log(p[p > 0])).sum()
    print(f"baselines: uniform {math.log(V):.2f}, word frequencies {frequencies:.2f} nats per word")

    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256}
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    # A model this narrow starts faster from larger weights than BERT's 0.02.
    config = BertConfig(vocab_size=V, max_position_embeddings=S, initializer_range=0.1, **sizes, **no_dropout)
    model = BertForMaskedLM(config)
    optimizer = optim.AdamW(model.parameters(), lr=5e-3, betas=(0.9, 0.98))
    losses = []
    for step in range(1, steps + 1):
        x, labels = batch(ids, tokenizer, rng)
        loss = model(x, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % every == 0 or step == steps:
            print(f"step {step:5}  loss {np.mean(losses[-every:]):.3f}")
    return float(np.mean(losses[-every:])), float(frequencies)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m models.bert.train_minimal", description="BERT's training at its smallest.")
    parser.add_argument("--steps", type=int, default=300, help="training steps (default: %(default)s)")
    steps = parser.parse_args().steps
    if steps < 1:
        parser.error(f"--steps must be at least 1, not {steps}")
    train(steps)
