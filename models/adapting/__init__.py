"""Adapting a pretrained model by training few parameters next to it. The base stays as it is, bit for bit.

base.py         what the methods share: a layer with adapters in it, and names that choose layers
lora.py         a low-rank change of a weight matrix; rank-stabilised, and DoRA
adalora.py      the same with a budget of ranks that goes where it counts
ia3.py          factors for keys, values and inner activations
bottleneck.py   two small layers after a block: Houlsby, Pfeiffer
bitfit.py       biases alone
tokens.py       embeddings of new words, which any of these may bring along
prompt.py       trained vectors in front of the text: prompt tuning, P-tuning
prefix.py       trained keys and values in every layer: prefix-tuning, P-tuning v2
peft_model.py   a base model with adapters by name: get_peft_model, PeftModel
files.py        an adapter's folder, as PEFT writes it
adapterhub.py   the same as AdapterHub writes it, for bottleneck adapters
Read next: base.py, lora.py, peft_model.py.
"""

from .adalora import AdaLoraConfig
from .bitfit import BitFitConfig
from .bottleneck import BottleneckConfig
from .ia3 import IA3Config
from .lora import LoraConfig
from .peft_model import PeftModel, get_peft_model
from .prefix import PrefixTuningConfig
from .prompt import PromptEncoderConfig, PromptTuningConfig

__all__ = [
    "AdaLoraConfig",
    "BitFitConfig",
    "BottleneckConfig",
    "IA3Config",
    "LoraConfig",
    "PeftModel",
    "PrefixTuningConfig",
    "PromptEncoderConfig",
    "PromptTuningConfig",
    "get_peft_model",
]
