"""Small pairs and a small encoder-decoder for the tests, and PyTorch's nn.Transformer with the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minitorch
import minitorch.nn.functional as F
from minitorch import optim
from models.seq2seq.model import IGNORED, Seq2SeqConfig, Seq2SeqTransformer, positions
from models.seq2seq.run import Run
from models.seq2seq.task import Settings
from models.seq2seq.vocabulary import END, OWN, PAD, padded

LETTERS = "abcdefghij"
SMALL = {"d_model": 16, "nhead": 2, "num_encoder_layers": 2, "num_decoder_layers": 2, "dim_feedforward": 24, "dropout": 0.0}


def model(seed=0, **changes):
    """A small one with random weights, in evaluation mode."""
    minitorch.manual_seed(seed)
    values = {**SMALL, "vocab_size": 20, "target_vocab_size": 23, "joint": False, "max_position_embeddings": 40, **changes}
    return Seq2SeqTransformer(Seq2SeqConfig(**values)).eval()


def batch(seed=0, B=4, S=7, T=6, V=20, V_target=23):
    """input_ids, attention_mask, labels: rows of different lengths."""
    rng = np.random.default_rng(seed)
    sources = [[*rng.integers(OWN, V, rng.integers(2, S + 1)).tolist(), END] for _ in range(B)]
    targets = [[*rng.integers(OWN, V_target, rng.integers(1, T + 1)).tolist(), END] for _ in range(B)]
    arrays = padded(sources, PAD), padded([[1] * len(row) for row in sources], 0), padded(targets, IGNORED)
    return tuple(map(minitorch.tensor, arrays))


def theirs(ours, src, mask, labels, smoothing=0.0):
    """Logits, loss and gradients by name of PyTorch's nn.Transformer with these weights."""
    torch = pytest.importorskip("torch")
    c = ours.config
    layers = (c.num_encoder_layers, c.num_decoder_layers, c.dim_feedforward)
    body = torch.nn.Transformer(c.d_model, c.nhead, *layers, c.dropout, batch_first=True, norm_first=True)
    state = {name: torch.tensor(value.detach().numpy()) for name, value in ours.state_dict().items()}
    missing, unexpected = body.load_state_dict(state, strict=False)
    assert not missing
    assert all("embedding" in name for name in unexpected)
    body = body.to(next(iter(state.values())).dtype)
    tables = {name: state[name].clone().requires_grad_(True) for name in unexpected}
    target = tables["target_embedding.weight"]
    P = torch.tensor(positions(64, c.d_model)).to(target.dtype)
    rows = labels.numpy()
    first = np.concatenate([np.full((len(rows), 1), c.decoder_start_token_id), np.maximum(rows[:, :-1], 0)], axis=1)
    source = tables.get("source_embedding.weight", target)[torch.tensor(src.numpy())] * c.d_model**0.5 + P[: src.shape[1]]
    tgt = target[torch.tensor(first)] * c.d_model**0.5 + P[: rows.shape[1]]
    hidden = torch.tensor(mask.numpy() == 0)
    causal = torch.triu(torch.ones(rows.shape[1], rows.shape[1], dtype=torch.bool), 1)
    states = body(source, tgt, tgt_mask=causal, src_key_padding_mask=hidden, memory_key_padding_mask=hidden)
    logits = states @ target.T
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(rows).flatten(), label_smoothing=smoothing)
    loss.backward()
    gradients = {name: p.grad.numpy() for name, p in (*body.named_parameters(), *tables.items())}
    return logits.detach().numpy(), loss.item(), gradients


def words(n, seed=0, longest=6):
    """Different words."""
    rng = np.random.default_rng(seed)
    found = {}
    while len(found) < n:
        found["".join(rng.choice(list(LETTERS), rng.integers(2, longest + 1)))] = None
    return list(found)


def write_pairs(path, pairs):
    """A TSV without a header."""
    Path(path).write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf-8")
    return str(path)


def settings(folder, n=60, **changes):
    """A small run that reverses words."""
    folder = Path(folder)
    pairs = [(word, word[::-1]) for word in words(n + 12)]
    files = {"train": write_pairs(folder / "train.tsv", pairs[:n]), "dev": write_pairs(folder / "dev.tsv", pairs[n:])}
    usual = {"tokenizer": "characters", "hidden": 16, "heads": 2, "layers": 1, "epochs": 3, "batch_size": 16, "threads": 1}
    usual |= {"target_length": 12, "length": 12, "num_beams": 2}
    return Settings(**{**usual, "output": str(folder / "out"), **files, **changes})


def run(folder, **changes):
    """A run, ready to train; silent."""
    return Run(settings(folder, **changes), say=lambda text: None)


def learn(ours, pairs, steps, seed=0, lr=3e-3, batch_size=64):
    """A plain training loop on pairs of ids: AdamW, the rate falls linearly to 0."""
    rng = np.random.default_rng(seed)
    optimizer = optim.AdamW(ours.parameters(), lr=lr, weight_decay=0.0)
    ours.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1, (step + 1) / 100) * (1 - step / steps)
        chosen = [pairs[i] for i in rng.choice(len(pairs), batch_size)]
        src = [source for source, _ in chosen]
        labels = minitorch.tensor(padded([target for _, target in chosen], IGNORED))
        ids, mask = minitorch.tensor(padded(src, PAD)), minitorch.tensor(padded([[1] * len(row) for row in src], 0))
        logits = ours(ids, mask, labels=labels).logits
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return ours.eval()
