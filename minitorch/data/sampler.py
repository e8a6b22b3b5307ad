"""Samplers: the order of a dataset's samples, and which of them share a batch.

A random sampler has state_dict() and load_state_dict() for the position of its random stream. With them a loader can stop and
resume. Read before: dataset.py. Read next: loader.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

from ..random import Generator, default_generator

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Base of all samplers: a subclass defines ``__iter__()``, which yields indices, and ``__len__()``."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__(), which yields indices")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class _Random(Sampler[int]):
    """The base of random samplers: the stream they draw from.

    Without ``generator`` the sampler has its own stream, seeded from the thread's at first use and after each manual_seed().
    So the order of the data does not depend on how many dropout masks were drawn in between.
    """

    def __init__(self, generator: Generator | None) -> None:
        self.generator = generator
        self._own: Generator | None = None
        self._seeded_by: Generator | None = None  # None after load_state_dict: keep the restored order

    def stream(self) -> Generator:
        """The generator of the next order."""
        if self.generator is not None:
            return self.generator
        thread = default_generator()
        if self._own is None or self._seeded_by not in (None, thread):
            self._own = Generator(seed=int(thread.numpy.integers(2**63)))
            self._seeded_by = thread
        return self._own

    def state_dict(self) -> dict[str, Any]:
        """The position of the random stream."""
        return {"generator": self.stream().get_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Draw the next order from the position that state_dict() returned."""
        if self.generator is None:
            self._own, self._seeded_by = Generator(seed=0), None
        (self.generator or self._own).set_state(state_dict["generator"])  # type: ignore[union-attr]


class RandomSampler(_Random):
    """All samples in a new random order each time; with ``replacement``: ``num_samples`` independent draws."""

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(generator)
        self.data_source, self.replacement, self._num_samples = data_source, replacement, num_samples
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            empty = " (the dataset is empty)" if num_samples is None else ""
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={self.num_samples}{empty}")

    @property
    def num_samples(self) -> int:
        """The number of samples per epoch; the dataset may grow."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, stream = len(self.data_source), self.stream().numpy
        if self.replacement:
            yield from stream.integers(n, size=self.num_samples).tolist()
            return
        for start in range(0, self.num_samples, n):  # more draws than samples: several rounds
            yield from stream.permutation(n).tolist()[: self.num_samples - start]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_Random):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        super().__init__(generator)
        self.indices = indices

    def __iter__(self) -> Iterator[int]:
        for i in self.stream().numpy.permutation(len(self.indices)).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class BatchSampler(Sampler[list[int]]):
    """Lists of ``batch_size`` indices of another sampler; the last one may be shorter; ``drop_last`` leaves it out."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def state_dict(self) -> Any:
        """The position of the sampler's random stream; None if its order is not random."""
        return state_of(self.sampler)

    def load_state_dict(self, state_dict: Any) -> None:
        """Draw the next order from the position that state_dict() returned."""
        restore(self.sampler, state_dict)


def state_of(sampler: Any) -> Any:
    """sampler.state_dict(), or None if there is none: such a sampler can resume only if its order is always the same."""
    return sampler.state_dict() if hasattr(sampler, "state_dict") else None


def restore(sampler: Any, state: Any) -> None:
    """Undo state_of."""
    if state is not None:
        sampler.load_state_dict(state)
