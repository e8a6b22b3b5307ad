"""Optimisers: they turn gradients into better parameters.  Read optimizer.py, then sgd.py, adam.py, lr_scheduler.py."""

from . import lr_scheduler
from .adam import Adam, AdamW
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
