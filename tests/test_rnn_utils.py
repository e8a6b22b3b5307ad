"""nn.utils.rnn: padding and its undoing, against PyTorch's results (written down here, and checked where it is installed)."""

import pytest

import minitorch
from minitorch.nn.utils import clip_grad_norm_
from minitorch.nn.utils.rnn import pad_sequence, unpad_sequence


def ids(lib):
    return [lib.tensor(x) for x in ([1, 2, 3], [4], [5, 6])]


def rows(lib):
    return [lib.tensor([[1.0, 2.0]]), lib.tensor([[3.0, 4.0], [5.0, 6.0]])]


def mixed(lib):
    return lib.tensor([1, 2]), lib.tensor([3.7])


CASES = {  # sequences, options: the result
    "ids": (ids, {}, [[1, 4, 5], [2, 0, 6], [3, 0, 0]]),
    "batch first": (ids, {"batch_first": True}, [[1, 2, 3], [4, 0, 0], [5, 6, 0]]),
    "labels": (ids, {"batch_first": True, "padding_value": -100}, [[1, 2, 3], [4, -100, -100], [5, 6, -100]]),
    "left": (ids, {"batch_first": True, "padding_side": "left"}, [[1, 2, 3], [0, 0, 4], [0, 5, 6]]),
    "rows": (rows, {}, [[[1, 2], [3, 4]], [[0, 0], [5, 6]]]),
    "rows, left": (rows, {"padding_side": "left", "padding_value": 0.5}, [[[0.5, 0.5], [3, 4]], [[1, 2], [5, 6]]]),
    "the first one's dtype": (mixed, {"batch_first": True}, [[1, 2], [3, 0]]),
    "a generator": (lambda lib: (lib.ones(i) for i in range(3)), {"batch_first": True}, [[0, 0], [1, 0], [1, 1]]),
    "the rows of a tensor": (lambda lib: lib.ones(2, 3), {"batch_first": True}, [[1, 1, 1], [1, 1, 1]]),
    "none but empty ones": (lambda lib: [lib.ones(0), lib.ones(0)], {"batch_first": True}, [[], []]),
}


@pytest.mark.parametrize("case", CASES)
def test_padded(case):
    make, options, expected = CASES[case]
    result = pad_sequence(make(minitorch), **options)
    assert result.tolist() == expected
    assert result.dtype == next(iter(make(minitorch))).dtype


@pytest.mark.parametrize("case", CASES)
def test_the_cases_are_torchs(case):
    rnn = pytest.importorskip("torch.nn.utils.rnn", reason="PyTorch, the oracle, is not installed")
    make, options, expected = CASES[case]
    assert rnn.pad_sequence(make(pytest.importorskip("torch")), **options).tolist() == expected


@pytest.mark.parametrize("batch_first", [True, False])
def test_there_and_back(batch_first, device):
    sequences = [x.to(device) for x in ids(minitorch)]
    padded = pad_sequence(sequences, batch_first)
    assert padded.device == sequences[0].device
    for lengths in (minitorch.tensor([3, 1, 2], device=device), [3, 1, 2]):
        back = unpad_sequence(padded, lengths, batch_first=batch_first)
        assert [x.tolist() for x in back] == [[1, 2, 3], [4], [5, 6]]
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    theirs = torch.nn.utils.rnn.unpad_sequence(torch.tensor(padded.tolist()), torch.tensor([3, 1, 2]), batch_first)
    assert [x.tolist() for x in theirs] == [[1, 2, 3], [4], [5, 6]]


def test_gradients_pass_to_the_sequences():
    one, two = (minitorch.ones(n, 2, requires_grad=True) for n in (1, 3))
    weights = minitorch.arange(12.0).reshape(3, 2, 2)
    (pad_sequence([one, two]) * weights).sum().backward()
    assert one.grad.tolist() == weights[:1, 0].tolist()
    assert two.grad.tolist() == weights[:, 1].tolist()
    clip_grad_norm_([one, two], 1.0)  # the package's other names are where they were


ERRORS = {
    "empty": (lambda lib: [], RuntimeError, "empty list"),
    "a number": (lambda lib: 5, RuntimeError, "expected a list of tensors, got int"),
    "lists": (lambda lib: [[1, 2]], TypeError, r"expected a Tensor at index 0, got list; wrap it: minitorch.tensor\(x\)"),
    "scalars": (lambda lib: [lib.tensor(1.0)], RuntimeError, "differ in their first dimension only"),
    "widths": (lambda lib: [lib.ones(2, 3), lib.ones(1, 2)], RuntimeError, r"number 1 has shape \(1, 2\) and the first \(2, 3\)"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_teach(case):
    make, kind, text = ERRORS[case]
    with pytest.raises(kind, match=text):
        pad_sequence(make(minitorch))
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    with pytest.raises(kind):
        torch.nn.utils.rnn.pad_sequence(make(torch))


def test_wrong_options():
    with pytest.raises(RuntimeError, match='padding_side must be "left" or "right", got \'top\''):
        pad_sequence(ids(minitorch), padding_side="top")
    with pytest.raises(ValueError, match="2 lengths for a batch of 3 sequences"):
        unpad_sequence(pad_sequence(ids(minitorch)), [3, 1])
