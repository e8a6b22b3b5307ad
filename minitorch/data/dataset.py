"""Datasets: anything with ``len(dataset)`` and ``dataset[i]``, or, as a stream, with ``iter(dataset)``.

Read before: tensor.py. Read next: sampler.py.
"""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from ..random import Generator, randperm
from ..tensor import Tensor

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Samples by number: a subclass defines ``__getitem__(i)`` and ``__len__()``. ``a + b`` puts one after the other."""

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(i), the sample number i")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Samples as a stream, for data without numbers or without end: a subclass defines ``__iter__()``."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__(), which yields the samples")


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Sample i is (x[i], y[i], ...) of tensors that agree in their first dimension."""

    def __init__(self, *tensors: Tensor) -> None:
        sizes = [t.shape[0] if t.ndim else None for t in tensors]
        if not sizes or None in sizes or len(set(sizes)) > 1:
            raise AssertionError(f"Size mismatch between tensors: the first dimensions must agree, got {sizes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].shape[0]


class Subset(Dataset[Any]):
    """The samples of ``dataset`` at ``indices``, in that order."""

    def __init__(self, dataset: Dataset[Any], indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset[Any]):
    """Datasets one after the other."""

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable: there is nothing to concatenate")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset: a stream has no length; use itertools.chain")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Any:
        n = len(self)
        if index < -n:
            raise ValueError(f"absolute value of index should not exceed dataset length: {index} for {n} samples")
        if index >= n:
            raise IndexError(f"index {index} is out of range for {n} samples")
        i = index % n
        which = bisect.bisect_right(self.cumulative_sizes, i)
        return self.datasets[which][i - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


def random_split(dataset: Dataset[Any], lengths: Sequence[float], generator: Generator | None = None) -> list[Subset]:
    """Split the samples at random into subsets of the given lengths, or of the given fractions, which sum to 1.

    With fractions each part gets ⌊fraction · n⌋ samples, and the rest goes to the first parts, one sample each.
    Fractions are floats, so their sum is 1 up to rounding: .8 + .05 + .05 + .1 is 1.0000000000000002.
    """
    n = len(dataset)  # type: ignore[arg-type]
    if math.isclose(sum(lengths), 1):
        lengths = _lengths_from(lengths, n)
    if sum(lengths) != n:
        raise ValueError(
            "Sum of input lengths does not equal the length of the input dataset: "
            f"{' + '.join(map(str, lengths))} = {sum(lengths)}, but there are {n} samples"
        )
    order = randperm(n, generator=generator).tolist()
    ends = itertools.accumulate(int(length) for length in lengths)
    return [Subset(dataset, order[end - int(length) : end]) for end, length in zip(ends, lengths, strict=True)]


def _lengths_from(fractions: Sequence[float], n: int) -> list[int]:
    for i, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"Fraction at index {i} is not between 0 and 1: {fraction}")
    lengths = [math.floor(n * fraction) for fraction in fractions]
    for i in range(n - sum(lengths)):
        lengths[i % len(lengths)] += 1
    for i, length in enumerate(lengths):
        if length == 0:
            warnings.warn(f"Length of split at index {i} is 0: {n} samples are too few for it", stacklevel=3)
    return lengths
