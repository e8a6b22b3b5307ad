"""GPT-2: the model, its weights on disk, its pretraining, and the text that it writes.

Read config, model, weights, decoding, use; data, pretraining.
"""

from ..generation.settings import GenerationConfig
from ..text.bpe import BPETokenizer
from ..text.characters import CharacterTokenizer
from ..text.loading import load_tokenizer
from .config import GPT2Config
from .model import GPT2LMHeadModel, GPT2Model
from .use import load, write
