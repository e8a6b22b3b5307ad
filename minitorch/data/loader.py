"""DataLoader: batches of a dataset, in an order that you can repeat, stop and resume.

Read before: dataset.py, sampler.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..creation import as_tensor, tensor
from ..dtypes import float64
from ..random import Generator
from ..tensor import Tensor
from .dataset import IterableDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, restore, state_of


class DataLoader:
    """Iterate over ``dataset`` in batches: ``for batch in loader`` is one epoch.

    shuffle: a new random order each epoch, from ``generator`` or, by default, from manual_seed's stream.
    sampler / batch_sampler: your own order, or your own batches. batch_size=None: single samples.
    collate_fn: makes a batch from a list of samples (default_collate). drop_last: leave out a smaller last batch.

    state_dict() in the middle of an epoch holds the number of batches so far and the start of the random order. A loader that
    loads it continues with the next batch, and its later epochs equal those of an uninterrupted loader. Your own sampler
    can be resumed too if it has state_dict and load_state_dict, or always yields the same order.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        *,
        generator: Generator | None = None,
    ) -> None:
        self._stream = isinstance(dataset, IterableDataset)
        if num_workers != 0:
            raise ValueError(
                f"num_workers must be 0, got {num_workers}: workers are processes, which would pickle the dataset and "
                "copy every batch; do slow work once, before training, or in your own thread"
            )
        _check_options(self._stream, batch_size, shuffle, sampler, batch_sampler, drop_last)
        self.dataset, self.generator, self.drop_last = dataset, generator, drop_last
        self.batch_size = batch_size if batch_sampler is None else None
        if sampler is None and not self._stream:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(() if sampler is None else sampler, batch_size, drop_last)
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self._epoch: dict[str, Any] | None = None  # the current epoch: the start of its order, the batches so far
        self._resumed: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        epoch = self._epoch = self._resumed or {"batches": 0, "order": state_of(self._order())}
        if self._resumed is not None:
            restore(self._order(), epoch["order"])
            self._resumed = None
        if self._stream:
            batches = self._stream_batches(skip=epoch["batches"])
        else:  # draws the earlier indices again and skips them, without fetching samples
            batches = (self._fetch(indices) for indices in itertools.islice(self._order(), epoch["batches"], None))
        for batch in batches:
            epoch["batches"] += 1
            yield self.collate_fn(batch)
        if self._epoch is epoch:
            self._epoch = None

    def _order(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _fetch(self, indices: Any) -> Any:
        return self.dataset[indices] if self.batch_sampler is None else [self.dataset[i] for i in indices]

    def _stream_batches(self, skip: int) -> Iterator[Any]:
        samples = iter(self.dataset)
        if self.batch_size is None:
            yield from itertools.islice(samples, skip, None)
            return
        samples = itertools.islice(samples, skip * self.batch_size, None)
        while batch := list(itertools.islice(samples, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        if not self._stream:
            return len(self._order())
        n, size = len(self.dataset), self.batch_size or 1
        return n // size if self.drop_last else -(-n // size)

    def state_dict(self) -> dict[str, Any]:
        """The position in the current epoch, or at the start of the next, as plain numbers that JSON can hold."""
        epoch = self._epoch or {"batches": 0, "order": state_of(self._order())}
        return {**epoch, **self._sizes()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Make the next ``for batch in loader`` continue at a position that state_dict() returned."""
        for name, value in self._sizes().items():
            if state_dict[name] != value:
                raise ValueError(
                    f"load_state_dict: the position was saved with {name} {state_dict[name]}, this loader has {value}; "
                    "the remaining batches would differ"
                )
        self._resumed = self._epoch = {name: state_dict[name] for name in ("batches", "order")}

    def _sizes(self) -> dict[str, Any]:
        return {"samples": len(self.dataset) if hasattr(self.dataset, "__len__") else None, "batch_size": self.batch_size}


def _check_options(stream: bool, batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: bool) -> None:
    """PyTorch's rules about options that exclude each other."""
    if stream:
        given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}: "
                    "a stream decides its own order"
                )
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle: the sampler decides the order")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ValueError(
            "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last: it decides them all"
        )
    if batch_size is None and drop_last:
        raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")


# --------------------------------------------------------------------------------------------- making a batch


def default_convert(sample: Any) -> Any:
    """A single sample from a loader with batch_size=None: NumPy arrays and scalars as tensors, also in lists and dicts."""
    if isinstance(sample, np.ndarray | np.generic) and sample.dtype.kind in "biuf":
        return as_tensor(sample)
    if isinstance(sample, Mapping):
        return {key: default_convert(value) for key, value in sample.items()}
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*map(default_convert, sample))
    if isinstance(sample, Sequence) and not isinstance(sample, str | bytes):
        return [default_convert(value) for value in sample]
    return sample


def default_collate(batch: Sequence[Any]) -> Any:
    """A list of samples as one batch: tensors stacked along a new first dimension, numbers as a tensor, strings as
    they are; a dict of batches for dicts, a list (or namedtuple) of batches for tuples and lists.
    """
    return _collate(batch, "")


def _collate(batch: Sequence[Any], where: str) -> Any:
    """``where`` names the part of the samples for errors: "" or '["input_ids"]' or '[0]'."""
    first = batch[0]
    if isinstance(first, Tensor | np.ndarray):
        return _stack(batch, where)
    if isinstance(first, np.generic) and first.dtype.kind in "biuf":
        return Tensor(np.asarray(batch))
    if isinstance(first, bool | int | float):
        _all_of(batch, (bool, int, float, np.generic), "numbers", where)
        return tensor(list(batch), dtype=float64 if isinstance(first, float) else None)
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        _all_of(batch, Mapping, "dicts", where)
        return {key: _collate(_column(batch, key, where), f"{where}[{key!r}]") for key in first}
    if isinstance(first, Sequence):
        _all_of(batch, Sequence, "lists or tuples", where)
        for i, sample in enumerate(batch):
            if len(sample) != len(first):
                raise RuntimeError(
                    "each element in list of batch should be of equal size: "
                    f"sample {i}{where} has {len(sample)} elements, sample 0{where} has {len(first)}"
                )
        columns = [_collate(column, f"{where}[{i}]") for i, column in enumerate(zip(*batch, strict=True))]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise TypeError(
        f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; sample 0{where} is "
        f"{type(first).__name__}; pass collate_fn= to make the batch yourself"
    )


def _stack(batch: Sequence[Any], where: str) -> Tensor:
    _all_of(batch, (Tensor, np.ndarray), "tensors or numpy arrays", where)
    for i, x in enumerate(batch):
        if isinstance(x, np.ndarray) and x.dtype.kind not in "biuf":
            raise TypeError(f"default_collate: sample {i}{where} is a numpy array of {x.dtype}, which no tensor can hold")
        if x.shape != batch[0].shape:
            raise RuntimeError(
                f"default_collate: sample {i}{where} has shape {tuple(x.shape)}, sample 0{where} has {tuple(batch[0].shape)}; "
                "only equal shapes stack: pad them in the dataset, or pass collate_fn="
            )
    return ops.stack([as_tensor(x) for x in batch])  # type: ignore[no-any-return]


def _all_of(batch: Sequence[Any], kinds: Any, name: str, where: str) -> None:
    for i, sample in enumerate(batch):
        if not isinstance(sample, kinds):
            raise TypeError(
                f"default_collate: sample {i}{where} is {type(sample).__name__}, while sample 0{where} is "
                f"{type(batch[0]).__name__}: all must be {name}"
            )


def _column(batch: Sequence[Any], key: Any, where: str) -> list[Any]:
    for i, sample in enumerate(batch):
        if key not in sample:
            raise KeyError(f"default_collate: sample {i}{where} has no {key!r}, while sample 0{where} has")
    return [sample[key] for sample in batch]
