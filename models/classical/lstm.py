"""A bidirectional LSTM for classes: read the text in both directions, then take each feature's largest value (Conneau et al.
2017, arXiv 1705.02364, section 3.2.2).

Read before: neural.py, minitorch/nn/rnn.py. Read next: lstm_crf.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minitorch import nn
from minitorch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .neural import PADDING, TextClassifier


class BiLSTM(nn.Module):
    """hₜ = [LSTM→ₜ, LSTM←ₜ] of the words' vectors -> max over t -> dropout -> scores"""

    def __init__(self, table: Any, classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(table, freeze=False, padding_idx=PADDING)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(table.shape[1], hidden, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * hidden, classes)

    def forward(self, ids: Any, lengths: np.ndarray) -> Any:
        x = pack_padded_sequence(self.dropout(self.embedding(ids)), lengths, batch_first=True, enforce_sorted=False)
        h, _ = pad_packed_sequence(self.lstm(x)[0], batch_first=True, padding_value=-math.inf)  # (B, T, 2 hidden)
        return self.output(self.dropout(h.max(1).values))


class LstmClassifier(TextClassifier):
    """The network above, trained from scratch or from word vectors."""

    hidden, dropout = 100, 0.5

    def network(self, table: Any, classes: int) -> nn.Module:
        return BiLSTM(table, classes, self.hidden, self.dropout)
