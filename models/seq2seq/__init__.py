"""Sequence to sequence: an encoder-decoder Transformer for any task that is pairs of texts.

Read model.py, then pairs, vocabulary, task, run; writing, scores, baselines, report; predictor, summaries, command.
"""

from .model import Seq2SeqConfig, Seq2SeqTransformer
from .predictor import Predictor, load
