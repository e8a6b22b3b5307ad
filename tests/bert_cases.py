"""Every BERT head with small weights and inputs, for comparisons with Hugging Face's: live, and frozen in frozen/bert.npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import minitorch
from models import bert

FROZEN = Path(__file__).parent / "frozen" / "bert.npz"
SMALL = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
SMALLER = {**SMALL, "vocab_size": 31, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 11, "num_labels": 3}
HEADS = [
    "BertModel",
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
    "BertForMultipleChoice",
]


def make(head, seed=0, **changes):
    """A model with weights large enough to make every part matter."""
    minitorch.manual_seed(seed)
    model = getattr(bert, head)(bert.BertConfig(**{**SMALL, "num_labels": 3, "initializer_range": 0.2, **changes}))
    with minitorch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("bias"):
                minitorch.nn.init.normal_(p, std=0.1)
    return model


def inputs(head, rng, B=3, S=9, vocabulary=99):
    """Arrays by Hugging Face's argument names: inputs, labels."""
    shape = (B, 4, S) if head == "BertForMultipleChoice" else (B, S)
    mask = np.ones(shape, np.int64)
    mask[..., 1:, S - 3 :] = 0
    batch = {
        "input_ids": rng.integers(1, vocabulary, shape),
        "attention_mask": mask,
        "token_type_ids": np.cumsum(rng.random(shape) < 0.2, -1).clip(0, 1),
    }
    masked = np.where(rng.random(shape) < 0.4, batch["input_ids"], -100)
    masked[0, 1] = 7
    labels = {
        "BertForPreTraining": {"labels": masked, "next_sentence_label": rng.integers(0, 2, B)},
        "BertForMaskedLM": {"labels": masked},
        "BertForNextSentencePrediction": {"labels": rng.integers(0, 2, B)},
        "BertForSequenceClassification": {"labels": rng.integers(0, 3, B)},
        "BertForTokenClassification": {"labels": np.where(mask == 1, rng.integers(0, 3, shape), -100)},
        "BertForQuestionAnswering": {"start_positions": np.array([1, 2, S + 5]), "end_positions": np.array([2, 4, S + 5])},
        "BertForMultipleChoice": {"labels": rng.integers(0, 4, B)},
    }
    return batch, labels.get(head, {})


def ours(values):
    """Tensors of arrays."""
    return {name: minitorch.tensor(value) for name, value in values.items()}


def scalar(output):
    """What is differentiated: the loss, or for the bare model a function of both of its outputs."""
    return output.loss if "loss" in output else (output.last_hidden_state**2).sum() + output.pooler_output.sum()
