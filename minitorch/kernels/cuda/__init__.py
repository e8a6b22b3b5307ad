"""CUDA kernels for CuPy arrays: the results of the definitions, each in as few passes over memory as possible.

launch.py       the common C code, compiling and launching
elementwise.py  GELU with bias, dropout
rows.py         softmax, layer norm with residual and dropout, cross entropy, sums of rows
attention.py    attention in one pass
lists.py        Adam, norm and scaling of all parameters at once
embedding.py    the gradient of an embedding
float32, float16 and bfloat16 arrays, arithmetic in float32. For arrays that a kernel does not support (float64, other axes,
empty arrays, masks that are arrays) it returns NotImplemented, and dispatch.py runs the definition.
Read before: dispatch.py. Read next: launch.py.
"""

from ..cublas import matmul
from .attention import attention, attention_backward
from .elementwise import bias_gelu, bias_gelu_backward, drop, gelu, gelu_tanh, keep_mask
from .embedding import add_rows
from .lists import adam, adam_all, norm_all, scale_all
from .rows import (
    add_norm,
    add_norm_backward,
    cross_entropy,
    cross_entropy_backward,
    layer_norm,
    layer_norm_backward,
    linear,
    softmax,
    softmax_backward,
    sum_rows,
)
