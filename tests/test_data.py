"""Datasets, samplers, loader: PyTorch's behaviour, seeded orders, and an epoch that can be stopped and resumed anywhere."""

import json
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitorch
from minitorch.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
    default_convert,
    random_split,
)

Point = namedtuple("Point", ["x", "y"])


def lists(batches):
    return [batch.tolist() for batch in batches]


class Squares(Dataset[int]):
    def __init__(self, n):
        self.n = n

    def __getitem__(self, index):
        return index**2

    def __len__(self):
        return self.n


class Stream(IterableDataset[int]):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        yield from range(self.n)

    def __len__(self):
        return self.n


# --------------------------------------------------------------------------------------------------------- datasets


def test_tensor_dataset(device):
    x, y = minitorch.arange(6, device=device).reshape(3, 2), minitorch.arange(3, device=device)
    dataset = TensorDataset(x, y)
    assert len(dataset) == 3
    assert [part.tolist() for part in dataset[1]] == [[2, 3], 1]
    assert all(part.device == x.device for part in next(iter(DataLoader(dataset, 2))))
    with pytest.raises(AssertionError, match=r"Size mismatch between tensors: .* got \[3, 2\]"):
        TensorDataset(x, y[:2])


def test_concat_and_subset():
    both = Squares(3) + Squares(2)
    assert isinstance(both, ConcatDataset)
    assert [both[i] for i in range(5)] == [0, 1, 4, 0, 1]
    assert [both[-1], both[-5]] == [1, 0]
    assert len(both) == 5
    with pytest.raises(IndexError, match="index 5 is out of range for 5 samples"):
        both[5]
    with pytest.raises(ValueError, match="absolute value of index should not exceed dataset length"):
        both[-6]
    with pytest.raises(AssertionError, match="should not be an empty iterable"):
        ConcatDataset([])
    with pytest.raises(AssertionError, match="does not support IterableDataset"):
        ConcatDataset([Stream(3)])
    assert ConcatDataset([Squares(0), Squares(2), Squares(0), Squares(1)])[2] == 0
    subset = Subset(both, [4, 2])
    assert [subset[i] for i in range(len(subset))] == [1, 4]


def test_base_classes_say_what_is_missing():
    with pytest.raises(NotImplementedError, match="Dataset must define __getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match="IterableDataset must define __iter__"):
        iter(IterableDataset())
    with pytest.raises(NotImplementedError, match="Sampler must define __iter__"):
        iter(Sampler())


@pytest.mark.parametrize("lengths", [[7, 3], [10], [0.5, 0.5], [0.3, 0.3, 0.4], [0.33, 0.33, 0.34], [1, 2, 3, 4], [1.0]])
def test_random_split(lengths):
    parts = random_split(Squares(10), lengths, generator=minitorch.Generator(seed=0))
    assert sorted(i for part in parts for i in part.indices) == list(range(10))
    again = random_split(Squares(10), lengths, generator=minitorch.Generator(seed=0))
    assert [part.indices for part in parts] == [part.indices for part in again]
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    theirs = torch.utils.data.random_split(range(10), lengths)
    assert [len(part) for part in parts] == [len(part) for part in theirs]


@pytest.mark.parametrize(
    ("fractions", "right"),
    [([0.8, 0.05, 0.05, 0.1], [80, 5, 5, 10]), ([0.05] * 20, [5] * 20), ([0.1] * 10, [10] * 10), ([1 / 3] * 3, [34, 33, 33])],
)
def test_fractions_add_up_to_1_up_to_rounding(fractions, right):
    parts = random_split(range(100), fractions)
    assert [len(part) for part in parts] == right
    assert sorted(i for part in parts for i in part.indices) == list(range(100))


def test_random_split_errors():
    for fractions in ([0.5, 0.6], [0.5, 0.4]):
        with pytest.raises(ValueError, match="does not equal the length of the input dataset"):
            random_split(Squares(10), fractions)
    with pytest.raises(ValueError, match=r"does not equal the length of the input dataset: 7 \+ 2 = 9, but there are 10"):
        random_split(Squares(10), [7, 2])
    with pytest.raises(ValueError, match="Fraction at index 0 is not between 0 and 1"):
        random_split(Squares(10), [1.5, -0.5])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        random_split(Squares(3), [0.9, 0.1])


# --------------------------------------------------------------------------------------------------------- samplers


def test_samplers():
    assert list(SequentialSampler("abc")) == [0, 1, 2]
    assert sorted(RandomSampler(range(10))) == list(range(10))
    assert sorted(SubsetRandomSampler([3, 5, 7])) == [3, 5, 7]
    assert list(RandomSampler(range(4), num_samples=10)).count(0) in (2, 3)
    assert len(list(RandomSampler(range(4), num_samples=10))) == len(RandomSampler(range(4), num_samples=10)) == 10
    assert len(set(RandomSampler(range(4), num_samples=3))) == 3
    drawn = list(RandomSampler(range(3), replacement=True, num_samples=50))
    assert len(drawn) == 50
    assert set(drawn) == {0, 1, 2}
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert [len(BatchSampler(range(n), 2, drop)) for n in (4, 5) for drop in (True, False)] == [2, 2, 2, 3]


def test_sampler_errors():
    with pytest.raises(TypeError, match="replacement should be a boolean value"):
        RandomSampler([1], replacement=1)
    with pytest.raises(ValueError, match=r"should be a positive integer value, but got num_samples=0 \(the dataset is empty\)"):
        RandomSampler([])
    with pytest.raises(ValueError, match="batch_size should be a positive integer value, but got batch_size=0"):
        BatchSampler(range(3), 0, False)
    with pytest.raises(ValueError, match="drop_last should be a boolean value"):
        BatchSampler(range(3), 1, 1)


def test_a_random_order_does_not_depend_on_other_random_numbers():
    def orders(disturbed):
        minitorch.manual_seed(3)
        sampler = RandomSampler(range(8))
        result = [list(sampler)]
        minitorch.randn(100 if disturbed else 1)
        return [*result, list(sampler)]

    assert orders(True) == orders(False)
    assert orders(True)[0] != orders(True)[1]


# ----------------------------------------------------------------------------------------------------------- loader


def test_batches():
    x = minitorch.arange(7)
    assert lists(DataLoader(x)) == [[i] for i in range(7)]
    assert lists(DataLoader(x, 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert lists(DataLoader(x, 3, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]
    assert lists(DataLoader(x, 3, sampler=[5, 1, 1, 0])) == [[5, 1, 1], [0]]
    assert lists(DataLoader(x, batch_sampler=[[1, 2], [3]])) == [[1, 2], [3]]
    assert lists(DataLoader(Stream(5), 2)) == [[0, 1], [2, 3], [4]]
    assert lists(DataLoader(Stream(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert list(DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]
    assert list(DataLoader(["a", "b"], batch_size=None)) == ["a", "b"]
    assert list(DataLoader([1, 2, 3], 2, collate_fn=sum)) == [3, 3]
    for loader in (DataLoader(x, 3), DataLoader(x, 3, drop_last=True), DataLoader(Stream(7), 3), DataLoader(Stream(6), None)):
        assert len(loader) == len(list(loader))


def test_shuffling_is_seeded_and_differs_between_epochs():
    x = minitorch.arange(20)

    def epochs(**options):
        loader = DataLoader(x, 6, shuffle=True, **options)
        return [lists(loader), lists(loader)]

    for seeded in (lambda s: minitorch.manual_seed(s) and {}, lambda s: {"generator": minitorch.Generator(seed=s)}):
        first, again, other = (epochs(**seeded(s)) for s in (1, 1, 2))
        assert first == again != other
        assert first[0] != first[1]
        assert sorted(i for batch in first[0] for i in batch) == list(range(20))

    loader = DataLoader(x, 6, shuffle=True)  # one loader, seeded anew: the same order again
    orders = []
    for _ in range(2):
        minitorch.manual_seed(5)
        orders.append(lists(loader))
    assert orders[0] == orders[1]


def loaders(kind, n, size, drop_last):
    """Makes equal loaders again and again."""
    if kind == "stream":
        return lambda: DataLoader(Stream(n), size, drop_last=drop_last)
    if kind == "single":
        return lambda: DataLoader(minitorch.arange(n), None, shuffle=True)
    options = {
        "sequential": dict,
        "shuffled": lambda: {"shuffle": True},
        "generator": lambda: {"shuffle": True, "generator": minitorch.Generator(seed=7)},
        "replacement": lambda: {"sampler": RandomSampler(range(n), replacement=True, num_samples=2 * n)},
        "subset": lambda: {"sampler": SubsetRandomSampler(range(0, n, 2))},
    }[kind]
    return lambda: DataLoader(minitorch.arange(n), size, drop_last=drop_last, **options())


@pytest.mark.parametrize("kind", ["sequential", "shuffled", "generator", "replacement", "subset", "stream", "single"])
@given(st.data())
def test_a_resumed_loader_goes_on_as_if_never_interrupted(kind, data):
    n, size, drop_last = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 5)), data.draw(st.booleans())
    make = loaders(kind, n, size, drop_last)
    minitorch.manual_seed(1)
    first = make()
    epochs = data.draw(st.integers(0, 2))
    for _ in range(epochs):
        list(first)
    position = data.draw(st.integers(0, len(first)))
    iterator = iter(first)
    for _ in range(position):
        next(iterator)
    state = json.loads(json.dumps(first.state_dict()))
    assert json.loads(json.dumps(first.state_dict())) == state  # looking changes nothing
    minitorch.randn(3)  # what the training draws meanwhile changes nothing
    expected = [lists(iterator), lists(first), lists(first)]

    minitorch.manual_seed(999)
    second = make()
    if data.draw(st.booleans()):
        list(second)  # it may have been used before
    second.load_state_dict(state)
    assert second.state_dict() == state
    if position or kind in ("sequential", "stream"):
        assert [lists(second), lists(second), lists(second)] == expected
    else:  # the epoch had not begun, and begins with the load
        assert lists(second) == expected[0]


def test_resuming_twice_in_one_epoch():
    first = DataLoader(range(10), 2, shuffle=True)
    whole = iter(first)
    next(whole)
    second = DataLoader(range(10), 2, shuffle=True)
    second.load_state_dict(first.state_dict())
    part = iter(second)
    head = [next(part).tolist()]
    third = DataLoader(range(10), 2, shuffle=True)
    third.load_state_dict(second.state_dict())
    assert head + lists(third) == lists(whole)
    assert lists(third) == lists(first)


def test_skipped_samples_are_not_fetched():
    class Counting(Squares):
        fetched = 0

        def __getitem__(self, index):
            self.fetched += 1
            return index

    first, dataset = DataLoader(Counting(10), 2), Counting(10)
    iterator = iter(first)
    for _ in range(4):
        next(iterator)
    second = DataLoader(dataset, 2)
    second.load_state_dict(first.state_dict())
    assert lists(second) == [[8, 9]]
    assert dataset.fetched == 2


def test_the_state_is_that_of_the_epoch_begun_last():
    loader = DataLoader(range(6), 2)
    first, second = iter(loader), iter(loader)
    next(first)
    next(second)
    next(first)
    assert loader.state_dict()["batches"] == 1
    list(first)
    assert loader.state_dict()["batches"] == 1
    list(second)
    assert loader.state_dict()["batches"] == 0


def test_loader_errors():
    loader = DataLoader(range(6), 2)
    others = [(DataLoader(range(5), 2), "saved with samples 5, this loader has 6"), (DataLoader(range(6), 3), "batch_size 3")]
    for other, text in others:
        with pytest.raises(ValueError, match=text):
            loader.load_state_dict(other.state_dict())
    cases = [
        ({"num_workers": 2}, "num_workers must be 0, got 2: workers are processes, which would pickle the dataset"),
        ({"batch_size": 0}, "batch_size should be a positive integer value"),
        ({"shuffle": True, "sampler": [1]}, "sampler option is mutually exclusive with shuffle"),
        ({"batch_sampler": [[1]], "batch_size": 2}, "batch_sampler option is mutually exclusive with batch_size, shuffle"),
        ({"batch_size": None, "drop_last": True}, "batch_size=None option disables auto-batching"),
    ]
    for options, text in cases:
        with pytest.raises(ValueError, match=text):
            DataLoader([1, 2], **options)
    for options in ({"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}):
        with pytest.raises(ValueError, match=f"expected unspecified {next(iter(options))} option"):
            DataLoader(Stream(3), **options)
    assert lists(DataLoader(Stream(2), shuffle=False)) == [[0], [1]]


# ---------------------------------------------------------------------------------------------------------- collate

SAMPLES = {
    "tensors": lambda tensor: [tensor([[1.0, 2.0]]), tensor([[3.0, 4.0]])],
    "0-d": lambda tensor: [tensor(1), tensor(2)],
    "arrays": lambda tensor: [np.ones((2, 3)), np.zeros((2, 3))],
    "float32 arrays": lambda tensor: [np.ones(2, dtype="float32")] * 3,
    "scalars": lambda tensor: [np.float32(1.5), np.float32(2.5)],
    "float64 scalars": lambda tensor: [np.float64(1.5), np.float64(2.5)],
    "bool scalars": lambda tensor: [np.bool_(True), np.bool_(False)],
    "floats": lambda tensor: [1.5, 2],
    "ints": lambda tensor: [1, 2, 3],
    "ints and floats": lambda tensor: [1, 2.5],
    "bools": lambda tensor: [True, False],
    "strings": lambda tensor: ["a", "bc"],
    "bytes": lambda tensor: [b"a", b"bc"],
    "dicts": lambda tensor: [{"a": 1, "b": [1.0, "x"]}, {"b": [2.0, "y"], "a": 2}],
    "ordered dicts": lambda tensor: [OrderedDict(a=1), OrderedDict(a=2)],
    "tuples": lambda tensor: [(1, "a", tensor([1.0])), (2, "b", tensor([2.0]))],
    "lists": lambda tensor: [[1, 2], [3, 4]],
    "namedtuples": lambda tensor: [Point(1, [2.0]), Point(3, [4.0])],
    "ranges": lambda tensor: [range(2), range(1, 3)],
}


def same(ours, theirs):
    if isinstance(ours, minitorch.Tensor):
        assert str(theirs.dtype) == f"torch.{ours.dtype}"
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    elif isinstance(ours, dict):
        assert list(ours) == list(theirs)
        for key in ours:
            same(ours[key], theirs[key])
    elif isinstance(ours, list | tuple):
        assert isinstance(theirs, list | tuple)
        assert isinstance(ours, tuple) == isinstance(theirs, tuple)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", SAMPLES)
def test_collate_is_torchs(name):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    ours, theirs = SAMPLES[name](minitorch.tensor), SAMPLES[name](torch.tensor)
    same(default_collate(ours), torch.utils.data.default_collate(theirs))
    same(default_convert(ours), torch.utils.data.default_convert(theirs))


def test_collate():
    one, two = ({"ids": np.array([i, i + 1]), "label": i / 2, "text": "ab"[i == 3]} for i in (1, 3))
    batch = default_collate([one, two])
    assert batch["ids"].tolist() == [[1, 2], [3, 4]]
    assert batch["ids"].dtype == minitorch.int64
    assert batch["label"].dtype == minitorch.float64
    assert batch["text"] == ["a", "b"]
    assert default_collate([Point(1, 2), Point(3, 4)]).y.tolist() == [2, 4]


def test_collated_tensors_stay_where_they_are(device):
    x = minitorch.ones(2, device=device, requires_grad=True)
    batch = default_collate([x, x * 2])
    assert batch.device == x.device
    batch.sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_collate_errors_name_the_sample():
    ones = minitorch.ones
    cases = [
        ([ones(2), ones(2), ones(3)], RuntimeError, r"sample 2 has shape \(3,\), sample 0 has \(2,\); only equal shapes stack"),
        ([{"a": (ones(2),)}, {"a": (ones(3),)}], RuntimeError, r"sample 1\['a'\]\[0\] has shape \(3,\)"),
        ([ones(2), 3], TypeError, "sample 1 is int, while sample 0 is Tensor: all must be tensors or numpy arrays"),
        ([1, None], TypeError, "sample 1 is NoneType, while sample 0 is int: all must be numbers"),
        ([None, None], TypeError, "batch must contain tensors, numpy arrays, numbers, dicts or lists; sample 0 is NoneType"),
        ([{"a": 1}, {"b": 1}], KeyError, "sample 1 has no 'a', while sample 0 has"),
        ([{"a": 1}, 2], TypeError, "all must be dicts"),
        ([[1, 2], [1]], RuntimeError, "should be of equal size: sample 1 has 1 elements, sample 0 has 2"),
        ([np.array(["a"])], TypeError, "sample 0 is a numpy array of <U1, which no tensor can hold"),
    ]
    for batch, error, text in cases:
        with pytest.raises(error, match=text):
            default_collate(batch)


def test_torchs_place():
    """``from torch.utils.data import ...`` with minitorch for torch gives the same objects."""
    import minitorch.utils.data
    from minitorch.utils.data import DataLoader as Loader
    from minitorch.utils.data import TensorDataset as Set

    place = minitorch.utils.data
    assert place.__all__ == minitorch.data.__all__
    assert all(getattr(place, name) is getattr(minitorch.data, name) for name in place.__all__)
    assert [x.tolist() for (x,) in Loader(Set(minitorch.arange(3)), batch_size=2)] == [[0, 1], [2]]


def test_torchs_names():
    data = pytest.importorskip("torch.utils.data", reason="PyTorch, the oracle, is not installed")
    assert all(hasattr(data, name) for name in minitorch.data.__all__)
