"""minitorch.data under PyTorch's name, torch.utils.data.  Read minitorch/data/ instead."""

from ..data import *  # noqa: F403  # what it offers is listed there
from ..data import __all__ as __all__
