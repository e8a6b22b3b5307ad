"""DistributedDataParallel: a model whose gradients are the mean over all ranks (torch.nn.parallel).

    model = nn.parallel.DistributedDataParallel(model)      # after distributed.init_process_group()

The rest of the program stays as it is: each rank runs it on examples of its own (data.DistributedSampler).
Read before: minitorch/distributed/buckets.py.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from .. import distributed
from ..distributed.buckets import Buckets
from ..grad_mode import is_grad_enabled
from ..graph import Leaf, Node
from ..tensor import Tensor
from .module import Module

__all__ = ["DistributedDataParallel"]


class DistributedDataParallel(Module):
    """``module``, the same on all ranks: its parameters and buffers are rank 0's, its gradients are averaged during backward().

    A mean of the ranks' mean losses is the mean over all examples only where ranks have equally many: weigh them otherwise.
    find_unused_parameters: look in each forward pass which parameters it used; without it all must be used. no_sync() leaves
    gradients as they are, for accumulation. device_ids, output_device, dim and gradient_as_bucket_view are PyTorch's and do
    nothing here. One forward pass, then one backward pass.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        bucket_cap_mb: float = 25,
        find_unused_parameters: bool = False,
        gradient_as_bucket_view: bool = False,
    ) -> None:
        super().__init__()
        if not distributed.is_initialized():
            raise ValueError("DistributedDataParallel: call distributed.init_process_group() first")
        self.module = module
        self.broadcast_buffers, self.find_unused_parameters = broadcast_buffers, find_unused_parameters
        self._learnt = [p for p in module.parameters() if p.requires_grad]
        if not self._learnt:
            raise RuntimeError("DistributedDataParallel is not needed when a module has no parameter that requires a gradient")
        for tensor in (*module.parameters(), *module.buffers()):
            distributed.broadcast(tensor.detach(), 0)
        group = distributed.current()
        self._buckets = None if group is None else Buckets(self._learnt, group, size=int(bucket_cap_mb * 2**20))
        self._synchronise, self._left = True, 0  # gradients that this backward pass still lacks; 0: none is awaited
        self._awaited: set[int] = set()  # whose
        for k, p in enumerate(self._learnt) if self._buckets else ():
            p.register_hook(functools.partial(self._arrived, k))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's output."""
        if self._buckets is None:
            return self.module(*args, **kwargs)
        if self.broadcast_buffers and self.training and self._synchronise:
            for buffer in self.module.buffers():
                distributed.broadcast(buffer, 0)
        output = self.module(*args, **kwargs)
        if is_grad_enabled() and self.training and self._synchronise:
            self._expect(output)
        return output

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """A block in which gradients stay this rank's own: they add up in ``.grad`` until a backward pass outside of it."""
        before, self._synchronise = self._synchronise, False
        try:
            yield
        finally:
            self._synchronise = before

    def _expect(self, output: Any) -> None:
        """Begin to wait for the gradients of this forward pass."""
        if self._left:
            missing = [name for name, p in self.module.named_parameters() if any(p is self._learnt[k] for k in self._awaited)]
            raise RuntimeError(
                "Expected to have finished reduction in the prior iteration before starting a new one: the loss did not use "
                f"{', '.join(missing[:5])}; pass find_unused_parameters=True to DistributedDataParallel"
            )
        assert self._buckets is not None
        self._buckets.begin(1)
        self._awaited = set(range(len(self._learnt)))
        if self.find_unused_parameters:
            used = _leaves(output)
            for k in [k for k, p in enumerate(self._learnt) if p.node not in used]:
                self._awaited.discard(k)
                self._buckets.bring(0, k, self._learnt[k].grad)
        self._left = len(self._awaited)
        if not self._left:
            self._finish(-1)

    def _arrived(self, k: int, g: Tensor) -> Tensor | None:
        """A hook of parameter k. Its gradient goes into a bucket; ``.grad`` gets the mean at the end, and nothing until then."""
        if not self._left or k not in self._awaited or not self._synchronise:
            return None
        held = self._learnt[k].grad
        self._buckets.bring(0, k, g if held is None else g + held.detach())  # type: ignore[union-attr]
        self._awaited.discard(k)
        self._left -= 1
        return self._finish(k) if not self._left else None

    def _finish(self, last: int) -> Tensor | None:
        """All gradients are there: the means become ``.grad``; that of parameter ``last``, on its way, is returned."""
        buckets, result = self._buckets, None
        assert buckets is not None
        self._left = 0
        buckets.wait()
        for k, p in enumerate(self._learnt):
            if buckets.used[k]:
                mean = Tensor(buckets.view(k) / distributed.get_world_size())
                p.grad, result = (None, mean) if k == last else (mean, result)
        return result


def _leaves(output: Any) -> set[Any]:
    """The leaves of the graph behind a module's output: a tensor, or tensors in lists, tuples, dicts or an object's fields."""
    stack: list[Any] = [output]
    seen: set[Any] = set()
    leaves = set()
    while stack:
        x = stack.pop()
        if isinstance(x, Tensor):
            x = x.node
        if isinstance(x, dict):
            stack += x.values()
        elif isinstance(x, list | tuple):
            stack += x
        elif isinstance(x, Node) and x not in seen:
            seen.add(x)
            stack += x.parents
            if type(x) is Leaf:
                leaves.add(x)
        elif hasattr(x, "__dict__") and id(x) not in seen:
            seen.add(id(x))
            stack += vars(x).values()
    return leaves
