"""torch.utils' names: utils.data (minitorch.data) and utils.checkpoint (less memory for more time)."""

from . import checkpoint, data

__all__ = ["checkpoint", "data"]
