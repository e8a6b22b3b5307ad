"""A convolutional network for sentences (Kim 2014, arXiv 1408.5882): which groups of words are in the text, wherever they are?

A feature is one kernel over 3, 4 or 5 neighbouring words; of each feature the largest value of the text counts (max over time).
Read before: neural.py. Read next: lstm.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import minitorch
from minitorch import nn
from minitorch.nn import functional as F

from .neural import PADDING, TextClassifier


class TextCNN(nn.Module):
    """x (T, d) -> for each width k: max over t of relu(w · x[t : t + k] + b), 100 times -> dropout -> scores (equations 2-4)."""

    def __init__(self, table: Any, classes: int, widths: tuple[int, ...], maps: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(table, freeze=False, padding_idx=PADDING)
        self.convolutions = nn.ModuleList([nn.Conv1d(table.shape[1], maps, k) for k in widths])
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(maps * len(widths), classes)

    def forward(self, ids: Any, lengths: np.ndarray) -> Any:
        widest = max(c.kernel_size[0] for c in self.convolutions)
        ids = F.pad(ids, (0, max(0, widest - ids.shape[1])), value=PADDING)
        x = self.embedding(ids).transpose(1, 2)  # (B, d, T)
        features = []
        for convolution in self.convolutions:
            y = F.relu(convolution(x))  # (B, maps, T - k + 1)
            last = np.maximum(lengths - convolution.kernel_size[0], 0)  # windows that lie in the text, one at least
            outside = minitorch.tensor(np.arange(y.shape[2]) > last[:, None]).unsqueeze(1)
            features.append(y.masked_fill(outside, -math.inf).max(2).values)  # (B, maps)
        return self.output(self.dropout(minitorch.cat(features, 1)))


class ConvolutionalClassifier(TextClassifier):
    """Kim's network, trained from scratch or (``vectors``) from word vectors, which are trained on ("non-static")."""

    widths, maps, dropout = (3, 4, 5), 100, 0.5

    def network(self, table: Any, classes: int) -> nn.Module:
        return TextCNN(table, classes, self.widths, self.maps, self.dropout)
