"""Differentiable operations, one family a file: elementwise, reductions, shaping, indexing, linalg, nn."""

from . import elementwise, indexing, linalg, nn, reductions, shaping
from ._arguments import may_read as may_read
from ._arguments import raw as raw
from ._promotion import astype as astype
from .elementwise import *
from .indexing import *
from .linalg import *
from .nn import *
from .reductions import *
from .shaping import *

__all__ = ["astype", "raw"]  # without it `import *` would take the file ops/nn.py for the package nn
__all__ += elementwise.__all__
__all__ += indexing.__all__
__all__ += linalg.__all__
__all__ += nn.__all__
__all__ += reductions.__all__
__all__ += shaping.__all__
