"""Differentiable operations, one family a file. Read elementwise first.

elementwise, reductions, shaping, indexing, linalg    the operations of arrays
nn, activations, attention, normalization, losses     those of neural networks
"""

from . import activations, attention, elementwise, indexing, linalg, losses, nn, normalization, reductions, shaping
from ._arguments import may_read as may_read
from ._arguments import raw as raw
from ._arguments import shape_of as shape_of
from ._arguments import sizes_by_name as sizes_by_name
from ._promotion import astype as astype
from .activations import *
from .attention import *
from .elementwise import *
from .indexing import *
from .linalg import *
from .losses import *
from .normalization import *
from .reductions import *
from .shaping import *

__all__ = ["astype", "raw"]  # without it `import *` would take the file ops/nn.py for the package nn
__all__ += activations.__all__
__all__ += attention.__all__
__all__ += elementwise.__all__
__all__ += indexing.__all__
__all__ += linalg.__all__
__all__ += losses.__all__
__all__ += normalization.__all__
__all__ += reductions.__all__
__all__ += shaping.__all__
