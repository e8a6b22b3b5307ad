"""Recurrent layers over whole batches and packed ones, convolutions as sums, batch norm's memory, bags: against PyTorch.

Single operations are in the op table (op_table/sequences.py), layers with fixed numbers in module_cases.py.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitorch
from minitorch import nn, ones
from minitorch.nn import functional as F
from minitorch.nn.utils import rnn as packing
from minitorch.tools.gradcheck import gradcheck, gradgradcheck

KINDS = {"RNN": {}, "RNN relu": {"nonlinearity": "relu"}, "GRU": {}, "LSTM": {}, "LSTM projected": {"proj_size": 2}}


def numbers(rng, *shape):
    return rng.uniform(-1, 1, shape)


def run(library, kind, layers, both, bias, first, packed, given_states, batch_first):
    """Outputs, final states, and gradients of all inputs and parameters, in either library, of the same random numbers."""
    rng, lib = np.random.default_rng(0), library.__name__
    rnn = packing if lib == "minitorch" else pytest.importorskip("torch.nn.utils.rnn")
    name = kind.split()[0]
    model = getattr(library.nn, name)(
        3, 4, layers, bias=bias, bidirectional=both, batch_first=batch_first, **KINDS[kind]
    ).double()
    with library.no_grad():
        for p in model.parameters():
            p.copy_(library.tensor(numbers(rng, *p.shape)))
    batch, chains = len(packed), layers * (1 + both)
    x = library.tensor(
        numbers(rng, batch, max(packed), 3) if batch_first else numbers(rng, max(packed), batch, 3)
    ).requires_grad_()
    sizes = [KINDS[kind].get("proj_size", 4), 4][: 1 + (name == "LSTM")]
    states = [library.tensor(numbers(rng, chains, batch, n)).requires_grad_() for n in sizes]
    hx = (tuple(states) if name == "LSTM" else states[0]) if given_states else None
    whole = first == "whole"
    inside = x if whole else rnn.pack_padded_sequence(x, packed, batch_first, enforce_sorted=first == "sorted")
    output, final = model(inside, hx)
    if not whole:
        output, lengths = rnn.pad_packed_sequence(output, batch_first, padding_value=0.5)
        assert lengths.tolist() == packed
    results = [output, *(final if isinstance(final, tuple) else (final,))]
    sum((y * library.tensor(np.cos(np.arange(y.numel())).reshape(tuple(y.shape)))).sum() for y in results).backward()
    leaves = {"input": x, **{f"state {i}": s for i, s in enumerate(states) if given_states}, **dict(model.named_parameters())}
    found = {f"result {i}": y.detach().numpy() for i, y in enumerate(results)}
    return found | {f"gradient of {n}": leaf.grad.numpy() for n, leaf in leaves.items()}


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(list(KINDS)), layers=st.integers(1, 3), both=st.booleans(), bias=st.booleans(),
    first=st.sampled_from(["whole", "sorted", "unsorted"]), lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    given_states=st.booleans(), batch_first=st.booleans(),
)  # fmt: skip
def test_recurrent_layers_equal_torch(kind, layers, both, bias, first, lengths, given_states, batch_first):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; module_cases.py has its numbers")
    lengths = sorted(lengths, reverse=True) if first == "sorted" else lengths
    arguments = kind, layers, both, bias, first, lengths, given_states, batch_first
    ours, theirs = run(minitorch, *arguments), run(torch, *arguments)
    assert list(ours) == list(theirs)
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-10, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_batch_gives_what_each_sequence_gives_alone(kind):
    minitorch.manual_seed(0)
    model = getattr(nn, kind.split()[0])(3, 4, 2, bidirectional=True, **KINDS[kind]).double()
    texts = [minitorch.randn(n, 3, dtype=minitorch.float64) for n in (2, 5, 1)]
    output, states = model(packing.pack_sequence(texts, enforce_sorted=False))
    for i, (text, rows) in enumerate(zip(texts, packing.unpack_sequence(output), strict=True)):
        alone, final = model(text)
        np.testing.assert_allclose(rows.detach().numpy(), alone.detach().numpy(), atol=1e-12)
        for together, single in zip(states, final, strict=True) if isinstance(final, tuple) else [(states, final)]:
            np.testing.assert_allclose(together[:, i].detach().numpy(), single.detach().numpy(), atol=1e-12)


def test_second_gradients_through_time():
    minitorch.manual_seed(0)
    x = minitorch.randn(3, 2, 2, dtype=minitorch.float64, requires_grad=True)
    for kind in ("LSTM", "GRU", "RNN"):
        model = getattr(nn, kind)(2, 2, bidirectional=True).double()
        assert gradgradcheck(lambda x, model=model: model(x)[0], (x,))


def test_dropout_acts_between_layers_alone():
    minitorch.manual_seed(0)
    model = nn.GRU(3, 8, 2, dropout=0.5)
    x = minitorch.randn(4, 2, 3)
    assert not np.allclose(model(x)[0].detach().numpy(), model(x)[0].detach().numpy())
    model.eval()
    np.testing.assert_array_equal(model(x)[0].detach().numpy(), model(x)[0].detach().numpy())
    with pytest.warns(UserWarning, match="dropout acts between layers, and there is one layer"):
        nn.GRU(3, 8, dropout=0.5)


def test_a_state_dict_travels_both_ways():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for build in (
        lambda nn: nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2), lambda nn: nn.GRU(3, 4, bias=False),
        lambda nn: nn.Conv2d(4, 6, 3, groups=2), lambda nn: nn.BatchNorm1d(3), lambda nn: nn.EmbeddingBag(5, 2),
        lambda nn: nn.LSTMCell(3, 4),
    ):  # fmt: skip
        ours, theirs = build(nn), build(torch.nn)
        state = theirs.state_dict()
        assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {k: tuple(v.shape) for k, v in state.items()}
        assert list(ours.state_dict()) == list(state)
        ours.load_state_dict({k: v.numpy() for k, v in state.items()})
        theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()})


def test_all_weights_start_as_torchs_do():
    minitorch.manual_seed(0)
    for model, bound in (
        (nn.LSTM(30, 25, 2), 1 / 5),
        (nn.GRUCell(30, 25), 1 / 5),
        (nn.Conv2d(8, 20, (3, 4), groups=2), 1 / 48**0.5),
    ):
        for name, p in model.named_parameters():
            x = p.detach().numpy()
            assert 0.8 * bound < np.abs(x).max() <= bound, name
            assert abs(x.mean()) < 0.3 * bound, name


# ------------------------------------------------------------------------------------------------- convolution


def test_a_convolution_is_a_sum(device):
    """The definition, element by element."""
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 4, 9)), rng.standard_normal((6, 2, 3)), rng.standard_normal(6)
    tensors = [minitorch.tensor(a, device=device) for a in (x, w, b)]
    y = F.conv1d(*tensors, stride=2, padding=1, dilation=2, groups=2).cpu().numpy()
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
    for n, o, i in itertools.product(range(2), range(6), range(y.shape[2])):
        group = slice(0, 2) if o < 3 else slice(2, 4)
        window = padded[n, group, 2 * i : 2 * i + 5 : 2]
        assert y[n, o, i] == pytest.approx((window * w[o]).sum() + b[o])


def test_results_are_contiguous_as_torchs_are():
    """So that x.view(N, -1) works behind a convolution and a pooling."""
    x = minitorch.randn(2, 3, 8, 8)
    y = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))(x)
    assert y.view(2, -1).shape == (2, 36)
    assert F.conv1d(x[0], minitorch.randn(4, 8, 3)).is_contiguous()


ERRORS = [
    (lambda: F.conv1d(ones(2, 3, 5), ones(4, 2, 2)), RuntimeError, r"expects 2 input channels, but the input \(2, 3, 5\) has 3"),
    (lambda: F.conv1d(ones(2, 3, 5), ones(4, 3, 9)), RuntimeError, r"does not fit into the padded input of \(5,\)"),
    (lambda: F.conv2d(ones(2, 3, 5), ones(4, 3, 9)), RuntimeError, "the weight must have the sizes"),
    (lambda: F.max_pool1d(ones(2, 3, 5), 2, padding=2), RuntimeError, "at most half of the kernel's size, 2; got 2"),
    (lambda: nn.Conv1d(3, 4, 2, groups=2), ValueError, "in_channels, 3, must be divisible by groups"),
    (lambda: nn.Conv1d(3, 4, 2, padding="half"), ValueError, '"same" or "valid", got \'half\''),
    (lambda: nn.LSTM(3, 4)(ones(5, 2, 4)), RuntimeError, r"must be equal to input_size 3, got shape \(5, 2, 4\)"),
    (lambda: nn.LSTM(3, 4)(ones(5, 2, 3), ones(1, 2, 4)), RuntimeError, "hx must be h_0 and c_0 with 3 dimensions"),
    (lambda: nn.GRU(3, 4)(ones(5, 2, 3), ones(1, 3, 4)), RuntimeError, r"h_0 of size \(1, 2, 4\), got \(1, 3, 4\)"),
    (lambda: nn.GRU(3, 4)(ones(5, 2, 3).double()), ValueError, "the input is float64, the weights float32"),
    (lambda: nn.GRU(3, 4)(ones(0, 2, 3)), RuntimeError, "sequence length larger than 0"),
    (lambda: nn.GRU(3, 4, proj_size=2), TypeError, "proj_size"),
    (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "proj_size must be smaller than hidden_size, 4; got 4"),
    (lambda: nn.LSTM(3, 0), ValueError, "hidden_size must be greater than zero, got 0"),
    (lambda: nn.RNN(3, 4, nonlinearity="sin"), ValueError, "'tanh' or 'relu', got 'sin'"),
    (lambda: nn.LSTMCell(3, 4)(ones(2, 3), (ones(3, 4),) * 2), RuntimeError, r"needs a state of shape \(2, 4\)"),
    (lambda: nn.BatchNorm1d(3)(ones(1, 3)), ValueError, "more than 1 value per channel when training"),
    (lambda: nn.BatchNorm2d(3)(ones(2, 3)), ValueError, "expected 4D input"),
    (lambda: packing.pack_padded_sequence(ones(3, 2, 1), [1, 3]), RuntimeError, "pass enforce_sorted=False"),
    (lambda: packing.pack_padded_sequence(ones(3, 2, 1), [3]), RuntimeError, "got 1 for a batch of 2"),
    (lambda: packing.pack_padded_sequence(ones(3, 2, 1), [4, 0]), RuntimeError, r"from 1 to 3, .* got \[4, 0\]"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_errors(case):
    wrong, kind, text = ERRORS[case]
    with pytest.raises(kind, match=text):
        wrong()


# -------------------------------------------------------------------------------------- batch norm, bags, packing


@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}, {"eps": 0.1}])
@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4), (2, 3, 4, 5)])
def test_batch_norm_remembers_what_torchs_does(shape, options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; module_cases.py has numbers of it")
    name = "BatchNorm2d" if len(shape) == 4 else "BatchNorm1d"
    ours, theirs = (getattr(lib, name)(3, **options).double() for lib in (nn, torch.nn))
    rng = np.random.default_rng(0)
    for step in range(4):
        if step == 3:
            ours.eval(), theirs.eval()
        x = rng.standard_normal(shape) * 2 + 1
        y, z = ours(minitorch.tensor(x)), theirs(torch.from_numpy(x))
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), atol=1e-12)
        for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-12, err_msg=key)


def test_bags_have_second_gradients():
    rng = np.random.default_rng(0)
    table = minitorch.tensor(rng.standard_normal((5, 2)), requires_grad=True)
    factors = minitorch.tensor(rng.standard_normal((2, 3)), requires_grad=True)
    index = minitorch.tensor([[0, 2, 1], [4, 4, 2]])
    for mode in ("sum", "mean", "max"):
        assert gradgradcheck(lambda t, mode=mode: F.embedding_bag(index, t * t, mode=mode), (table,))
    assert gradgradcheck(lambda t, f: F.embedding_bag(index, t, mode="sum", per_sample_weights=f * f), (table, factors))


def test_bags_shorten_long_rows():
    layer = nn.EmbeddingBag(3, 2, max_norm=1.0, mode="sum", _weight=minitorch.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]]))
    np.testing.assert_allclose(layer(minitorch.tensor([[0, 1]])).tolist(), [[0.9, 1.2]], rtol=1e-6)
    assert layer.weight.tolist()[2] == [6, 8]
    assert not nn.EmbeddingBag.from_pretrained(minitorch.ones(3, 2)).weight.requires_grad


def test_packing_and_back_is_differentiable():
    x = minitorch.randn(4, 3, 2, dtype=minitorch.float64, requires_grad=True)

    def there_and_back(x):
        return packing.pad_packed_sequence(packing.pack_padded_sequence(x, [2, 4, 1], enforce_sorted=False), total_length=5)[0]

    assert gradcheck(there_and_back, (x,))
    y = there_and_back(x)
    assert y.shape == (5, 3, 2)
    assert y[2:, 0].tolist() == [[0, 0]] * 3
    packed = packing.pack_sequence([minitorch.ones(2), minitorch.zeros(3)], enforce_sorted=False)
    assert [z.tolist() for z in packing.unpack_sequence(packed)] == [[1, 1], [0, 0, 0]]
    assert packed.batch_sizes.tolist() == [2, 2, 1]
    assert packed.to(minitorch.float64).data.dtype == minitorch.float64
    with pytest.raises(ValueError, match="total_length 2 is less than the longest sequence, 3"):
        packing.pad_packed_sequence(packed, total_length=2)
