"""The model of a fine-tuning run: a checkpoint's BERT with the task's head, an adapter or frozen layers.

Read before: tasks.py, models/training/trainer.py. Read next: run.py.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import minitorch

from ..adapting import PeftModel
from ..adapting.base import head_names
from ..adapting.choosing import config_for
from ..bert.config import BertConfig
from ..checkpoints.files import config_file, locate, read_all_shapes
from ..checkpoints.saved import check_sizes
from ..errors import BadInput, count
from ..text.tokenizer import Tokenizer
from .tasks import Settings, Task


def make_model(s: Settings, task: Task, say: Callable[[str], None] = print) -> tuple[Tokenizer, Any]:
    """The checkpoint's BERT with the task's head. Weights that the checkpoint lacks start at random, with a message."""
    where = locate(s.model)
    config = config_file(where)
    tokenizer = Tokenizer.from_pretrained(where)
    sizes = BertConfig.from_json_file(config)
    if sizes.extra.get("quantization_config"):
        raise BadInput(f"{where} is int8, which answers and does not learn: train the model that it was made of")
    check_sizes(sizes, read_all_shapes(where), f"{config} says")
    rates = {"hidden_dropout_prob": s.dropout, "attention_probs_dropout_prob": s.dropout, "classifier_dropout": s.dropout}
    minitorch.manual_seed(s.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # missing weights are reported below
        model, info = task.kind.from_pretrained(
            where, output_loading_info=True, ignore_mismatched_sizes=True, **task.config(), **rates
        )
    fresh = info["missing_keys"] + info["mismatched_keys"]
    foreign = [name for name in fresh if not re.match(r"classifier|qa_outputs|bert\.pooler", name)]
    if foreign:
        raise BadInput(f"{where}: the weight {foreign[0]} is missing or of another shape than config.json says")
    if len(tokenizer) > model.config.vocab_size:
        sizes = f"the tokenizer has {len(tokenizer)} tokens, the model {model.config.vocab_size}"
        raise BadInput(f"{where}: {sizes}; they do not belong together")
    new_words = task.extend(tokenizer, model)
    if fresh or new_words:
        say(f"starting at random, because the checkpoint lacks them: {', '.join([*fresh, *new_words])}")
    if s.adapt:
        model = adapted(s, model, fresh, [tokenizer.vocabulary[word] for word in task.words])
    virtual = getattr(model.peft_config["default"], "num_virtual_tokens", 0) if s.adapt else 0
    longest = model.config.max_position_embeddings - virtual
    if max(s.length, 3) > longest:  # [CLS], a piece, [SEP]
        taken = f", and --virtual-tokens takes {virtual} of them" if virtual else ""
        asked = f"--length {s.length}" if s.length else f"--virtual-tokens {virtual}"
        raise BadInput(f"{asked}: the model of {where} reads at most {longest + virtual} pieces{taken}")
    s.length = s.length or min(longest, 384 if s.task == "qa" else 128)
    freeze(model, s.freeze)
    return tokenizer, model.to(s.device)


def adapted(s: Settings, model: Any, fresh: Sequence[str], words: list[int]) -> PeftModel:
    """The model with --adapt's method. What starts at random belongs to the adapter: the checkpoint does not have it."""
    config = config_for(s)
    config.base_model_name_or_path = str(Path(s.model).resolve()) if Path(s.model).is_dir() else s.model
    config.modules_to_save = sorted({*head_names(model), *(name.rpartition(".")[0] for name in fresh)} - {"cls"})
    config.trainable_token_indices = words or None
    return PeftModel(model, config)


def random_model(s: Settings, like: Any) -> Any:
    """The same architecture with fresh weights, all trainable."""
    minitorch.manual_seed(s.seed + 1)
    kind = type(getattr(like, "base_model", like))
    return kind(BertConfig.from_dict(like.config.to_dict())).to(s.device)


def freeze(model: Any, layers: int) -> None:
    """Embeddings and the first ``layers`` layers (-1: embeddings alone) do not learn."""
    if layers == 0:
        return
    stack = model.bert.encoder.layer
    if layers > len(stack):
        raise BadInput(f"--freeze {layers}: the model has {count(len(stack), 'layer')}")
    for part in [model.bert.embeddings, *list(stack)[: max(layers, 0)]]:
        for p in part.parameters():
            p.requires_grad_(False)
