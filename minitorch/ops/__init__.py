"""Differentiable operations, one family per file. Read elementwise first.

elementwise, comparisons, reductions, shaping,
indexing, linalg                                     the operations of arrays
nn, activations, attention, normalization, losses    those of neural networks
convolution, pooling, recurrent                      those of images and sequences
extra_...                                            rarely used operations: look them up
_op, _promotion, _autocast                           @op, and the dtypes of its operands
checks, checks_indexing                              the errors for wrong arguments
"""

from . import (
    activations,
    attention,
    comparisons,
    elementwise,
    extra_activations,
    extra_einsum,
    extra_elementwise,
    extra_indexing,
    extra_linalg,
    extra_losses,
    extra_reductions,
    extra_shaping,
    indexing,
    linalg,
    normalization,
    recurrent,
    reductions,
    shaping,
)
from . import losses as losses
from . import nn as nn  # its names are in nn/functional.py
from ._arguments import may_read as may_read
from ._arguments import raw as raw
from ._arguments import shape_of as shape_of
from ._arguments import sizes_by_name as sizes_by_name
from ._promotion import astype as astype
from .activations import *
from .attention import *
from .comparisons import *
from .elementwise import *
from .extra_einsum import *
from .extra_elementwise import *
from .extra_indexing import *
from .extra_linalg import *
from .extra_losses import *
from .extra_reductions import *
from .extra_shaping import *
from .indexing import *
from .linalg import *
from .normalization import *
from .recurrent import *
from .reductions import *
from .shaping import *

__all__ = ["astype", "raw"]  # without it `import *` would take the file ops/nn.py for the package nn
__all__ += activations.__all__
__all__ += attention.__all__
__all__ += comparisons.__all__
__all__ += elementwise.__all__
__all__ += extra_einsum.__all__
__all__ += extra_elementwise.__all__
__all__ += extra_indexing.__all__
__all__ += extra_linalg.__all__
__all__ += extra_losses.__all__
__all__ += extra_reductions.__all__
__all__ += extra_shaping.__all__
__all__ += indexing.__all__
__all__ += linalg.__all__
__all__ += normalization.__all__
__all__ += recurrent.__all__
__all__ += reductions.__all__
__all__ += shaping.__all__
