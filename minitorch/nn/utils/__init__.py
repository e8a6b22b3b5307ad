"""Around the layers: all parameters at once (parameters.py), sequences of different lengths (rnn.py)."""

from . import rnn
from .parameters import clip_grad_norm_, clip_grad_value_, parameters_to_vector, vector_to_parameters

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "rnn", "vector_to_parameters"]
