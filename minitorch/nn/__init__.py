"""Layers and models: Module, what is built from it, and the functions they compute, under PyTorch's names (torch.nn).

Read in this order: parameter, module, containers, functional, layers, losses, attention, transformer; init, utils as needed.
For images and sequences: conv, batchnorm, rnn, bags.
Elsewhere: argument checks (_arguments), and what neither models nor lessons use (functional_extra, functional_bags, extra).
"""

from . import functional, init, parallel, utils
from .attention import MultiheadAttention
from .bags import EmbeddingBag
from .batchnorm import BatchNorm1d, BatchNorm2d
from .containers import ModuleList, Sequential
from .conv import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    Conv1d,
    Conv2d,
    MaxPool1d,
    MaxPool2d,
)
from .extra import (
    ELU,
    GLU,
    BCELoss,
    CosineEmbeddingLoss,
    CosineSimilarity,
    Flatten,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ModuleDict,
    NLLLoss,
    ParameterList,
    RMSNorm,
    SmoothL1Loss,
    Softplus,
)
from .layers import GELU, Dropout, Embedding, Identity, LayerNorm, Linear, ReLU, Sigmoid, SiLU, Softmax, Tanh
from .losses import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from .module import Module
from .parameter import Parameter
from .rnn import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from .transformer import TransformerDecoder, TransformerDecoderLayer, TransformerEncoder, TransformerEncoderLayer
