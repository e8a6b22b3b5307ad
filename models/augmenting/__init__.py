"""Augmentation: changed copies of the training examples, from which a model learns, too.

synonyms.py      words that may stand for a word: a user's list, or neighbours that fit the label
eda.py           easy data augmentation: replace, insert, swap, delete words
word_dropout.py  words hidden behind [MASK]
masked_lm.py     words that a masked language model would put there
choosing.py      the methods by name, and the copies of each epoch
Read next: synonyms.py, eda.py.
"""

from .choosing import METHODS, Augmenter

__all__ = ["METHODS", "Augmenter"]
