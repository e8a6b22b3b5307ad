"""Masked words as a task: how a pretrained model without a task is measured and taught. Read before: finetuning/tasks.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor

from ..bert.data import IGNORED, mask_tokens
from ..bert.model import BertForMaskedLM
from ..errors import BadInput
from ..finetuning.tasks import Feature, Task, cut
from ..text.corpus import read_lines
from ..text.tokenizer import Tokenizer


class MaskedWords(Task):
    """A text a line; of its pieces 15 % are to be guessed, always the same ones."""

    name, kind, metric = "mlm", BertForMaskedLM, "accuracy"

    def read(self, path: str, labelled: bool = True) -> list[str]:
        """The lines that hold something."""
        lines = [line for line in read_lines(Path(path), longest=-1) if line.strip()]
        if not lines:
            raise BadInput(f"{path}: holds no text; give one text per line")
        return lines

    def config(self) -> dict[str, Any]:
        return {}

    def features(self, examples: list[str], tokenizer: Tokenizer) -> list[Feature]:
        found = []
        for i, pieces in enumerate(tokenizer.encode_lines(examples, special=False)):
            ids, types = tokenizer.join(cut(pieces, self.s.length - 2, "end"), None, self.s.length)
            row = np.array([ids])
            maskable = ~np.isin(row, [tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id])
            masked, labels = mask_tokens(row, maskable, tokenizer, np.random.default_rng([self.s.seed, 7, i]), 0.15)
            if (labels != IGNORED).any():
                found.append(Feature(i, masked[0].tolist(), types, labels[0].tolist()))
        return found

    def label_tensor(self, features: Sequence[Feature], S: int) -> Tensor:
        """(B, S): the words behind the masks, -100 elsewhere."""
        return minitorch.tensor(np.array([[*f.target, *[IGNORED] * (S - len(f.target))] for f in features], dtype=np.int64))

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Any]:
        output = model(**batch)
        return output.mlm_loss, output

    def rows(self, output: Any, features: Sequence[Feature]) -> list[Any]:
        """The best guess at each masked word."""
        ends = np.cumsum([sum(t != IGNORED for t in f.target) for f in features])
        return np.split(output.masked_logits.cpu().numpy().argmax(-1), ends[:-1])

    def predictions(self, examples: list[str], features: Sequence[Feature], rows: Sequence[Any]) -> list[Any]:
        """Which guesses are right; of a text without a word none."""
        right = {f.example: row == np.array([t for t in f.target if t != IGNORED]) for f, row in zip(features, rows, strict=True)}
        return [right.get(i, np.zeros(0, bool)) for i in range(len(examples))]

    def score(self, examples: list[str], predictions: list[Any]) -> dict[str, Any]:
        return {"accuracy": float(np.concatenate(predictions).mean())}

    def shown(self, example: str, prediction: Any) -> dict[str, Any]:
        return {"text": example, "prediction": f"{int(prediction.sum())} of {len(prediction)}"}

    def gold(self, example: str) -> Any:
        return ""
