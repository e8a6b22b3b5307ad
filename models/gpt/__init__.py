"""GPT-2: the model and its weights on disk.

Read config, model, weights.
"""

from .config import GPT2Config
from .model import GPT2LMHeadModel, GPT2Model
