"""A small BERT that is adapted, rounded and taught with the learner's functions (assignment 9).

Each function takes the learner's module, or None: then the library's own code runs, and the numbers must be the same.
Read before: tiny_bert.py, models/adapting/lora.py. Read next: lessons/assignments/adapt/.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor, graph, nn, optim
from minitorch.nn import functional as F

from .testing import close
from .tiny_bert import BATCH, DEVIATION, GRADIENT, LENGTH, VOCABULARY, Watched, alike, replaced

STEPS, LABELS = 4, 3
RANK, ALPHA = 3, 5.0
TEMPERATURE, SHARE = 2.5, 0.7


def classifier(layers: int = 2) -> Any:
    """A small BERT that chooses one of three labels, the same every time."""
    from models.bert.config import BertConfig
    from models.bert.model import BertForSequenceClassification

    minitorch.manual_seed(layers)
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=LENGTH, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=LABELS,
        initializer_range=DEVIATION,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def batch() -> dict[str, Tensor]:
    """A few "sentences", one of them shorter, and their labels."""
    rng = np.random.default_rng(1)
    seen = np.ones((BATCH, LENGTH), np.int64)
    seen[0, 8:] = 0
    ids = rng.integers(3, VOCABULARY, seen.shape)
    return {"input_ids": Tensor(ids), "attention_mask": Tensor(seen), "labels": Tensor(rng.integers(0, LABELS, BATCH))}


def trained(model: Any, loss_of: Any) -> dict[str, np.ndarray]:
    """The loss before each of a few AdamW steps, and the gradients at the first: AdamW hides their factors."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    step, history, gradients = optim.AdamW(parameters.values(), lr=1e-2), [], {}
    for _ in range(STEPS):
        loss = loss_of(model)
        step.zero_grad()
        loss.backward()
        if not history:
            gradients = {f"{GRADIENT}{n}": p.grad.array.copy() for n, p in parameters.items() if p.grad is not None}
        step.step()
        history.append(loss.item())
    return {f"the losses of {STEPS} steps": np.array(history)} | gradients


def just_so(found: dict[str, np.ndarray]) -> dict[str, close]:
    """What must come out with the learner's functions, too: the numbers, but for rounding."""
    logits = {name: close(x, 1e-3, 2e-2 if "int8" in name else 1e-3) for name, x in found.items() if "logits" in name}
    return alike({name: x for name, x in found.items() if name not in logits}) | logits


# -------------------------------------------------------------------------------------------------------- 9.2: LoRA


def fine_tuned(m: Any = None) -> dict[str, np.ndarray]:
    """BERT fine-tuned with LoRA; then its logits once the change is merged into the weights."""
    from models.adapting.lora import Lora, LoraConfig
    from models.adapting.peft_model import PeftModel

    def run() -> dict[str, np.ndarray]:
        base, inputs = classifier(), batch()
        # init_lora_weights=False: B is not 0, so that every gradient of the first step says something
        chosen = ["query", "value", "intermediate.dense"]
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, init_lora_weights=False, target_modules=chosen)
        model = PeftModel(base, config)
        found = trained(model, lambda model: model(**inputs).loss)
        model.eval()
        found["the logits with the adapter"] = model(**inputs).logits.array
        return found | {"the logits with merged weights": model.merge_and_unload()(**inputs).logits.array}

    if m is None:
        return run()
    m = Watched(m)
    change = graph.op(lambda x, A, B, *, weight, bias: m.lora_linear(x, weight, bias, A, B, ALPHA))

    def forward(lora: Any, layer: Any, x: Tensor) -> Tensor:
        return change(x, lora.lora_A, lora.lora_B, weight=layer.weight.array, bias=layer.bias.array)

    def merged(lora: Any, weight: Tensor) -> Tensor:
        return Tensor(m.merge(weight.array, lora.lora_A.array, lora.lora_B.array, ALPHA))

    with replaced((Lora, "forward", forward), (Lora, "merged", merged)):
        return run()


# -------------------------------------------------------------------------------------------------------- 9.4: int8


def in_int8(m: Any = None) -> dict[str, np.ndarray]:
    """The logits of BERT when every layer computes in whole numbers of eight bits."""
    from models.checkpoints.int8 import product, quantized

    def library(x: Any, q: Any, scale: Any, bias: Any) -> Any:
        x_q, s_x = quantized(x.reshape(-1, x.shape[-1]))
        y = product(x_q.astype(np.float32), q) * s_x[:, None] * scale
        return y.reshape(*x.shape[:-1], len(q)) + bias

    learner = Watched(m)
    rounded, linear = (quantized, library) if m is None else (learner.quantize_rows, learner.int8_linear)

    def answer(layer: Any, x: Tensor) -> Tensor:
        return Tensor(linear(x.array, *rounded(layer.weight.array), layer.bias.array))

    model, inputs = classifier(), batch()
    with minitorch.no_grad(), replaced((nn.Linear, "forward", answer)):
        return {"the logits in int8": model(**inputs).logits.array}


# ------------------------------------------------------------------------------------------------ 9.5: distillation


def taught(m: Any = None) -> dict[str, np.ndarray]:
    """A BERT of one layer learns from one of two layers, and from the labels."""
    from models.compressing.distilling import soft_targets

    inputs = batch()
    labels = inputs.pop("labels")
    teacher = classifier(layers=2)(**inputs).logits.detach()

    def library(z: Tensor) -> Tensor:
        return (1 - SHARE) * F.cross_entropy(z, labels) + SHARE * soft_targets(z, teacher, TEMPERATURE)

    def formula(z: Any) -> Any:
        loss, pullback = Watched(m).distillation_loss(z, teacher.array, labels.array, TEMPERATURE, SHARE)
        return np.asarray(loss, z.dtype), lambda g: pullback(float(g))

    loss = library if m is None else graph.op(formula)
    return trained(classifier(layers=1), lambda model: loss(model(**inputs).logits))
