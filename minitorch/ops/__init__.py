"""Differentiable operations, one family a file: elementwise, reductions, shaping, indexing, linalg, nn.

Read them in that order. The files named extra_... are breadth, not needed for the rest: rarely used operations of each family.
"""

from . import (
    elementwise,
    extra_einsum,
    extra_elementwise,
    extra_indexing,
    extra_linalg,
    extra_reductions,
    extra_shaping,
    indexing,
    linalg,
    nn,
    reductions,
    shaping,
)
from ._arguments import may_read as may_read
from ._arguments import raw as raw
from ._promotion import astype as astype
from .elementwise import *
from .extra_einsum import *
from .extra_elementwise import *
from .extra_indexing import *
from .extra_linalg import *
from .extra_reductions import *
from .extra_shaping import *
from .indexing import *
from .linalg import *
from .nn import *
from .reductions import *
from .shaping import *

__all__ = ["astype", "raw"]  # without it `import *` would take the file ops/nn.py for the package nn
__all__ += elementwise.__all__
__all__ += extra_einsum.__all__
__all__ += extra_elementwise.__all__
__all__ += extra_indexing.__all__
__all__ += extra_linalg.__all__
__all__ += extra_reductions.__all__
__all__ += extra_shaping.__all__
__all__ += indexing.__all__
__all__ += linalg.__all__
__all__ += nn.__all__
__all__ += reductions.__all__
__all__ += shaping.__all__
