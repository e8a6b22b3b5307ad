"""Small GPTs for tests: one with weights by formula, whose results are known, and random ones of two sizes."""

from __future__ import annotations

import numpy as np

import minitorch
from models import gpt

PLAIN = {"resid_pdrop": 0.0, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0}
SIZES = {
    "small": {"vocab_size": 50, "n_positions": 24, "n_embd": 32, "n_layer": 2, "n_head": 4},
    "wider": {"vocab_size": 83, "n_positions": 40, "n_embd": 48, "n_layer": 3, "n_head": 3, "n_inner": 100},
}


def make(size="small", seed=0, **changes):
    """A GPT with weights large enough to make every part matter."""
    minitorch.manual_seed(seed)
    model = gpt.GPT2LMHeadModel(gpt.GPT2Config(**{**PLAIN, **SIZES[size], "initializer_range": 0.2, **changes}))
    with minitorch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("bias"):
                minitorch.nn.init.normal_(p, std=0.1)
    return model.eval()


def by_formula():
    """Vocabulary 20, 16 positions, H 8, L 2, A 2: with names sorted, value i of the k-th weight is 0.3 sin(k + 1 + 0.7 i)."""
    config = gpt.GPT2Config(**{**PLAIN, "vocab_size": 20, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2})
    model = gpt.GPT2LMHeadModel(config)
    layout = model.to_file(dict(model.named_parameters()))
    weights = {}
    for k, (name, p) in enumerate(sorted(layout.items())):
        value = 0.3 * np.sin(k + 1 + 0.7 * np.arange(p.numel())).reshape(p.shape)
        plus = 1 if ".ln_" in name and name.endswith("weight") else 0
        weights[name] = minitorch.tensor((value + plus).astype(np.float32))
    model.load_weights(weights, "formula")
    return model.eval()


def theirs(model, folder):
    """Hugging Face's model with these weights."""
    import transformers

    model.save_pretrained(folder)
    return transformers.GPT2LMHeadModel.from_pretrained(folder, attn_implementation="eager").eval()


def checkpoint(folder, text="The function returns a list. A class of its own.", **changes):
    """A folder with random weights and a tokenizer of characters."""
    tokenizer = gpt.CharacterTokenizer.train([text])
    make(vocab_size=len(tokenizer), **changes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
