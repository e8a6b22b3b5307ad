"""Where NumPy's integers have 32 bits by default, minitorch's still have 64: emulated (narrow_integers.py)."""

from __future__ import annotations

import numpy as np
import pytest

import minitorch
from minitorch import nn
from minitorch.data import DataLoader, default_collate
from minitorch.nn import functional as F
from models.bert import data as bert_data

from .narrow_integers import Narrow, emulated


def x() -> minitorch.Tensor:
    return minitorch.Tensor(np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]], np.float32).view(Narrow))


INT64 = {
    "tensor": lambda: minitorch.tensor([0, 1]),
    "a nested list": lambda: minitorch.tensor([[0, 1], [2, 3]]),
    "a number": lambda: minitorch.tensor(5),
    "as_tensor": lambda: minitorch.as_tensor([1, 2]),
    "arange": lambda: minitorch.arange(3),
    "full": lambda: minitorch.full((2,), 7),
    "randint": lambda: minitorch.randint(5, (3,)),
    "randperm": lambda: minitorch.randperm(4),
    "multinomial": lambda: minitorch.multinomial(x().abs() + 1, 2),
    "multinomial with replacement": lambda: minitorch.multinomial(x() + 1, 2, replacement=True),
    "argmax": lambda: x().argmax(),
    "argmax of rows": lambda: x().argmax(1),
    "argmin": lambda: x().argmin(-1, keepdim=True),
    "max": lambda: x().max(1).indices,
    "min": lambda: x().min(0).indices,
    "sort": lambda: x().sort(1).indices,
    "argsort": lambda: x().argsort(descending=True),
    "topk": lambda: x().topk(2).indices,
    "nonzero": lambda: x().nonzero(),
    "nonzero as a tuple": lambda: minitorch.nonzero(x(), as_tuple=True)[0],
    "where": lambda: minitorch.where(x() > 1)[1],
    "argwhere": lambda: minitorch.argwhere(x()),
    "a sum of bools": lambda: (x() > 1).sum(),
    "count_nonzero": lambda: x().count_nonzero(),
    "cumsum": lambda: (x() > 1).cumsum(1),
    "prod": lambda: minitorch.tensor([2, 3]).prod(),
    "cast": lambda: x().long(),
    "one_hot": lambda: F.one_hot(minitorch.tensor([0, 2])),
    "bools and a number": lambda: (x() > 1) * 2,
    "a batch of numbers": lambda: default_collate([1, 2, 3]),
    "a batch": lambda: next(iter(DataLoader([(0.5, 1), (1.5, 0)], batch_size=2)))[1],
}


@pytest.mark.parametrize("name", INT64)
def test_these_are_int64(name):
    with emulated():
        y = INT64[name]()
    assert y.dtype == minitorch.int64
    with emulated():  # the numbers are right, too
        assert np.asarray([1]).dtype == np.int32


def test_floats_stay():
    with emulated():
        assert minitorch.tensor([0.5, 1]).dtype == minitorch.float32
        assert minitorch.tensor([np.int32(1)]).dtype == minitorch.int32
        assert minitorch.tensor(np.arange(3, dtype=np.int16)).dtype == minitorch.int16
        assert minitorch.tensor([]).dtype == minitorch.float32


def test_exclusive_or():
    """The README's first example."""
    with emulated():
        minitorch.manual_seed(0)
        inputs = minitorch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        targets = minitorch.tensor([0, 1, 1, 0])
        model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
        optimizer = minitorch.optim.AdamW(model.parameters(), lr=0.05)
        for _ in range(60):
            loss = F.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert model(inputs).argmax(-1).tolist() == [0, 1, 1, 0]


def test_positions_that_numpy_takes():
    """take, repeat and bincount refuse int64 positions there."""
    with emulated():
        index = minitorch.tensor([2, 0, 2])
        w = minitorch.Tensor(np.arange(6.0).reshape(3, 2).view(Narrow)).requires_grad_()
        assert w[index].tolist() == [[4, 5], [0, 1], [4, 5]]
        assert w.index_select(0, index).tolist() == w[index].tolist()
        assert minitorch.take(w, index).tolist() == [2, 0, 2]
        assert w.gather(0, index[:, None]).tolist() == [[4], [0], [4]]
        assert w.repeat_interleave(minitorch.tensor([0, 1, 2]), 0).tolist() == [[2, 3], [4, 5], [4, 5]]
        F.embedding(index, w, scale_grad_by_freq=True).sum().backward()
        assert w.grad.tolist() == [[1, 1], [0, 0], [1, 1]]
        assert minitorch.zeros(3, 2).index_add(0, index, minitorch.ones(3, 2)).tolist() == [[1, 1], [0, 0], [2, 2]]
        assert F.pad(w[None], (1, 1), mode="replicate").shape == (1, 3, 4)


def test_masking_for_bert():
    class Tokenizer:
        pad_id, mask_id = 0, 1

        def __len__(self):
            return 10

    with emulated():
        ids = np.arange(2, 10, dtype=np.int64).reshape(2, 4)
        masked, labels = bert_data.mask_tokens(ids, ids > 0, Tokenizer(), np.random.default_rng(0), max_predictions=2)
    assert (masked.dtype, labels.dtype) == (np.int64, np.int64)
