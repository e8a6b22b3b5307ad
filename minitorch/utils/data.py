"""minitorch.data under PyTorch's name, torch.utils.data.  Read minitorch/data/ instead."""

from ..data import *  # noqa: F403  # its __all__ lists the names
from ..data import __all__ as __all__
