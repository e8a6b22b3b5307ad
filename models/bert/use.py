"""Using a BERT: fill in masked words, turn texts into vectors.

    from models import bert

    tokenizer, model = bert.load("runs/pretrain")
    print(bert.fill_mask(model, tokenizer, "The function returns a [MASK] array."))
    print(bert.embed(model, tokenizer, ["Returns an array.", "An array is returned."]))

On the command line: fill_mask_command.py, embed_command.py.
Read before: model.py, tokenizer.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor

from ..checkpoints.files import config_file, locate, read_all_shapes, refuse_unfinished
from ..checkpoints.kinds import HEAD, holding
from ..errors import BadInput
from ..text.tokenizer import Tokenizer
from .config import BertConfig
from .model import BertForMaskedLM


def load(folder: str | Path, kind: Any = BertForMaskedLM, device: str = "cpu", **options: Any) -> tuple[Tokenizer, Any]:
    """The tokenizer and the model (of the class ``kind``) of a folder; a missing or damaged file is an error that names it."""
    where = locate(folder)
    refuse_unfinished(where)
    if kind is BertForMaskedLM:
        refuse_without_head(where)
    model = kind.from_pretrained(where, **options)
    tokenizer = Tokenizer.from_pretrained(where)
    if len(tokenizer) > model.config.vocab_size:
        sizes = f"the tokenizer has {len(tokenizer)} tokens, the model {model.config.vocab_size}"
        raise ValueError(f"{where}: {sizes}; they do not belong together")
    return tokenizer, model.to(device)


def has_head(model: str | Path) -> bool:
    """Does a BERT's checkpoint hold the head that guesses masked words?"""
    where = locate(model)
    BertConfig.from_json_file(config_file(where))  # or an error that says what the folder holds
    return HEAD in read_all_shapes(where)


def refuse_without_head(model: str | Path) -> None:
    """Raise BadInput for a checkpoint that holds no masked-LM head: a head of random weights would answer at random."""
    if not has_head(model):
        held = holding(Path(model)) if (Path(model) / "finetune.json").is_file() else ""
        cure = held or "take one of `minitorch pretrain`, or a published BERT that was saved with its head"
        lacks = "its file has no cls.predictions, the head that guesses masked words"
        raise BadInput(f"{model}: this checkpoint holds no masked-LM head: {lacks}; {cure}")


def fill_mask(model: Any, tokenizer: Tokenizer, text: str, top_k: int = 5) -> list[list[tuple[str, float]]]:
    """For every [MASK] of the text its ``top_k`` most probable tokens, with probabilities."""
    batch = tokenizer.tensors(text, max_length=None)
    if tokenizer.mask_id not in batch["input_ids"].numpy():
        mask = tokenizer.names["mask_token"]
        raise ValueError(f"the text holds no {mask}: write {mask} where a word is to be guessed")
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    return guesses(model, tokenizer, batch, top_k)[0]


def guesses(model: Any, tokenizer: Tokenizer, batch: dict[str, Tensor], top_k: int) -> list[list[list[tuple[str, float]]]]:
    """For each row of a batch (B, S) what fill_mask gives for a text."""
    rows, places = (batch["input_ids"].numpy() == tokenizer.mask_id).nonzero()
    with minitorch.no_grad():
        hidden = model.bert(**to_device(batch, model)).last_hidden_state  # (B, S, H)
        B, S, H = hidden.shape
        masks = minitorch.index_select(hidden.reshape(B * S, H), 0, minitorch.tensor(rows * S + places).to(hidden.device))
        logits = model.cls.predictions(masks)  # (masks, V)
        refuse_nan(model, logits.cpu().numpy())
        p, ids = F.softmax(logits, dim=-1)[:, : len(tokenizer)].topk(min(top_k, len(tokenizer)))  # (masks, k)
    found: list[list[list[tuple[str, float]]]] = [[] for _ in range(B)]
    for row, best, values in zip(rows, ids.tolist(), p.tolist(), strict=True):
        found[row].append([(tokenizer.tokens[i], value) for i, value in zip(best, values, strict=True)])
    return found


def embed(model: Any, tokenizer: Tokenizer, texts: Sequence[str], batch_size: int = 32) -> np.ndarray[Any, Any]:
    """One vector of length 1 per text, (texts, H): the mean of its tokens' last hidden states, padding left out.

    Reimers and Gurevych (2019), "Sentence-BERT", https://arxiv.org/abs/1908.10084, section 3.
    """
    if isinstance(texts, str):
        raise ValueError(f"give a list of texts, such as [{texts[:30]!r}]; a single string would be read letter by letter")
    bert = getattr(model, "bert", model)
    longest = model.config.max_position_embeddings
    vectors = []
    for i in range(0, len(texts), batch_size):
        batch = to_device(tokenizer.tensors(list(texts[i : i + batch_size]), max_length=longest), model)
        with minitorch.no_grad():
            vectors.append(mean_pooled(bert, batch).cpu().numpy())
        refuse_nan(model, vectors[-1])
    return np.concatenate(vectors) if vectors else np.zeros((0, model.config.hidden_size), np.float32)


def mean_pooled(bert: Any, batch: dict[str, Tensor], normalize: bool = True) -> Tensor:
    """The mean of a BertModel's last hidden states without padding, at length 1 if ``normalize``: (B, S) -> (B, H)."""
    hidden = bert(**batch).last_hidden_state  # (B, S, H)
    keep = batch.get("attention_mask")  # none: no padding
    if keep is None:
        mean = hidden.mean(1)
    else:
        keep = keep.unsqueeze(-1).astype(hidden.dtype)  # (B, S, 1)
        mean = (hidden * keep).sum(1) / keep.sum(1)
    return F.normalize(mean, dim=-1) if normalize else mean


def floats(vector: np.ndarray[Any, Any]) -> list[float]:
    """As JSON has them: seven digits after the point."""
    return np.round(vector.astype(np.float64), 7).tolist()  # type: ignore[no-any-return]


def refuse_nan(model: Any, answers: np.ndarray[Any, Any]) -> None:
    """Finite weights may still be too large for their products to be finite."""
    if not np.isfinite(answers).all():
        source = getattr(model, "name_or_path", "the model")
        raise ValueError(f"{source}: its answers are NaN or infinite, so its weights are damaged")


def to_device(batch: dict[str, Any], model: Any) -> dict[str, Any]:
    """The batch on the model's device."""
    device = next(iter(model.parameters())).device
    return {name: value.to(device) for name, value in batch.items()}
