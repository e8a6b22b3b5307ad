"""Around the layers: all parameters at once (parameters.py), none drawn (init.py), sequences of different lengths (rnn.py)."""

from . import rnn
from .init import skip_init
from .parameters import clip_grad_norm_, clip_grad_value_, parameters_to_vector, vector_to_parameters

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "rnn", "skip_init", "vector_to_parameters"]
