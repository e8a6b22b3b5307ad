"""Compiled loops for float32 on a CPU: each kernel as a textbook writes it, row after row, compiled by numba.

compiling.py   how
rows.py        softmax, GELU with bias, layer norm with residual and dropout, cross entropy, dropout
attention.py   attention, whose products are BLAS's
embedding.py   the gradient of an embedding
lists.py       Adam and the norm of all parameters at once
A loop reads and writes every array once, where NumPy makes a pass over memory for each operator of the definition; these
passes, not the arithmetic, decide the time. Lay definition (ops/), loop and CUDA kernel (cuda/) side by side: one thought.
For arrays that a kernel does not support (other dtypes or axes, empty arrays) it returns NotImplemented, and dispatch.py runs
the definition.
Read before: dispatch.py, cpu.py. Read next: compiling.py.
"""

from ..cpu import add_all, linear, scale_all  # BLAS's, or one pass over memory in NumPy too
from .attention import attention, attention_backward
from .compiling import finish
from .embedding import add_rows
from .lists import adam, adam_all, norm_all
from .rows import (
    add_norm,
    add_norm_backward,
    bias_gelu,
    bias_gelu_backward,
    cross_entropy,
    cross_entropy_backward,
    drop,
    gelu,
    gelu_tanh,
    keep_mask,
    layer_norm,
    layer_norm_backward,
    softmax,
    softmax_backward,
)

finish()
