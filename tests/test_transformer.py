"""Attention and transformer layers against PyTorch: values, all gradients, masks; and what holds without PyTorch."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minitorch
from minitorch import nn

from .module_cases import TRANSFORMERS, assert_same, causal, frozen, normal, run_minitorch, run_torch, weights


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_equal_torch(name, device):
    pytest.importorskip("torch", reason="PyTorch is not installed; test_transformers_equal_frozen_numbers stands in")
    assert_same(run_minitorch(TRANSFORMERS[name], device), run_torch(TRANSFORMERS[name]))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_equal_frozen_numbers(name, device):
    ours = run_minitorch(TRANSFORMERS[name], device)
    assert_same(ours, frozen(name, ours), tolerance=1e-7)


@pytest.mark.parametrize("name", ["attention to itself", "attention kdim vdim", "attention added keys", "encoder", "decoder"])
def test_state_dicts_pass_both_ways_with_torch(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ours, theirs = TRANSFORMERS[name].build(nn), TRANSFORMERS[name].build(torch.nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict({key: torch.from_numpy(value.numpy()) for key, value in ours.state_dict().items()})


def second_gradients(library, layer, x, mask):
    """The gradient of Σ(dL/dx)² with respect to x and all parameters."""
    parameters = list(layer.parameters())
    y = layer(x, src_mask=mask)
    (g,) = library.autograd.grad((y * y * y).sum(), [x], create_graph=True)
    return library.autograd.grad((g * g).sum(), [x, *parameters], allow_unused=True)


@pytest.mark.parametrize("norm_first", [False, True])
def test_second_gradients_equal_torch(norm_first):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("torch.nn.attention")
    results = []
    for library, make in ((minitorch, minitorch.tensor), (torch, lambda x: torch.from_numpy(x.copy()))):
        layer = library.nn.TransformerEncoderLayer(4, 2, 6, 0.0, "gelu", norm_first=norm_first).double()
        state = weights({name: tuple(p.shape) for name, p in layer.named_parameters()})
        layer.load_state_dict({name: make(x) for name, x in state.items()})
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):  # the others have no second gradient
            gradients = second_gradients(library, layer, make(normal(3, 2, 4)).requires_grad_(), make(causal(3)))
        results.append([None if g is None else np.asarray(g.detach()) for g in gradients])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours if ours is not None else 0, theirs if theirs is not None else 0, rtol=1e-9, atol=1e-9)


# ------------------------------------------------------------------------------------------------------ attention


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_a_query_that_sees_nothing_gets_zero_and_no_nan(need_weights, kind, device):
    attention = nn.MultiheadAttention(8, 2, bias=False, device=device)
    x = minitorch.randn(5, 3, 8, device=device, requires_grad=True)
    hidden = np.zeros((3, 5), dtype=bool)
    hidden[1] = True  # the second sequence is all padding
    mask = minitorch.tensor(hidden if kind == "bool" else np.where(hidden, -np.inf, 0).astype(np.float32), device=device)
    output, attention_weights = attention(x, x, x, key_padding_mask=mask, need_weights=need_weights)
    (output * output).sum().backward()
    assert not output.detach().cpu().numpy()[:, 1].any()
    for values in (output.detach(), x.grad, attention.in_proj_weight.grad, attention.out_proj.weight.grad):
        assert np.isfinite(values.cpu().numpy()).all()
    assert x.grad.cpu().numpy()[:, [0, 2]].any()
    if need_weights:
        sums = attention_weights.detach().cpu().numpy().sum(-1)
        np.testing.assert_allclose(sums, [[1] * 5, [0] * 5, [1] * 5], rtol=1e-5)


def test_the_table_of_fully_masked_rows():
    """The four answers at the head of nn/attention.py."""
    F, seen = nn.functional, minitorch.tensor([[True, True], [False, False]])
    x = minitorch.tensor(normal(1, 2, 4), dtype=minitorch.float32, requires_grad=True)
    scores = F.softmax(x @ x.mT + minitorch.where(seen, 0.0, -np.inf), dim=-1)
    assert np.isnan(scores[0, 1].detach().numpy()).all()
    assert np.isnan(F.log_softmax(minitorch.full((3,), -np.inf), dim=-1).numpy()).all()

    fixed = x.detach()
    attended = F.scaled_dot_product_attention(x, fixed, fixed, seen)
    assert attended[0, 1].tolist() == [0.0] * 4
    attended.sum().backward()
    assert x.grad[0, 1].tolist() == [0.0] * 4

    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    attention.out_proj.bias.data = minitorch.tensor([1.0, 2.0, 3.0, 4.0])
    output, weights_of_keys = attention(fixed, fixed, fixed, attn_mask=~seen)
    assert weights_of_keys[0, 1].tolist() == [0.0, 0.0]
    assert output[0, 1].tolist() == [1.0, 2.0, 3.0, 4.0]

    bert = minitorch.where(seen, 0.0, minitorch.finfo(minitorch.float32).min)  # as BERT adds it (test_bert_model.py)
    uniform = F.softmax(x @ x.mT + bert, dim=-1)[0, 1]
    assert uniform.tolist() == [0.5, 0.5]
    mean = fixed[0].numpy().mean(axis=0)
    np.testing.assert_allclose(F.scaled_dot_product_attention(x, fixed, fixed, bert)[0, 1].detach().numpy(), mean, rtol=1e-6)


def test_weights_and_no_weights_agree(device):
    attention = nn.MultiheadAttention(8, 4, batch_first=True, device=device).eval()
    x, y = minitorch.randn(2, 5, 8, device=device), minitorch.randn(2, 3, 8, device=device)
    with_weights, attention_weights = attention(x, y, y)
    without, nothing = attention(x, y, y, need_weights=False)
    assert nothing is None
    assert attention_weights.shape == (2, 5, 3)
    np.testing.assert_allclose(with_weights.detach().cpu().numpy(), without.detach().cpu().numpy(), atol=1e-6)


def test_gradient_reaches_a_float_mask():
    attention = nn.MultiheadAttention(8, 2)
    x = minitorch.randn(5, 3, 8)
    bias = minitorch.zeros(5, 5, requires_grad=True)
    for need_weights in (True, False):
        bias.grad = None
        (attention(x, x, x, attn_mask=bias, need_weights=need_weights)[0] ** 2).sum().backward()
        assert bias.grad.numpy().any()


def test_attention_dropout_acts_in_training_only():
    attention = nn.MultiheadAttention(8, 2, dropout=0.5)
    x = minitorch.randn(20, 3, 8)
    _, dropped = attention(x, x, x, average_attn_weights=False)
    assert 0.4 < (dropped.detach().numpy() == 0).mean() < 0.6
    first, second = (attention(x, x, x, need_weights=False)[0].detach().numpy() for _ in range(2))
    assert (first != second).any()
    attention.eval()
    _, kept = attention(x, x, x)
    np.testing.assert_allclose(kept.detach().numpy().sum(-1), 1, rtol=1e-5)


def test_attention_errors():
    with pytest.raises(AssertionError, match="embed_dim must be divisible by num_heads"):
        nn.MultiheadAttention(7, 2)
    with pytest.raises(ValueError, match="must be greater than 0"):
        nn.MultiheadAttention(0, 2)
    attention = nn.MultiheadAttention(8, 2)
    x = minitorch.randn(5, 3, 8)
    with pytest.raises(RuntimeError, match="is_causal is a hint about attn_mask"):
        attention(x, x, x, is_causal=True)
    with pytest.raises(RuntimeError, match=r"attn_mask has shape \(5, 4\), but should have \(5, 5\) or \(6, 5, 5\)"):
        attention(x, x, x, attn_mask=minitorch.zeros(5, 4))
    with pytest.raises(AssertionError, match=r"key_padding_mask has shape \(5, 3\), but should have \(3, 5\)"):
        attention(x, x, x, key_padding_mask=minitorch.zeros(5, 3))
    with pytest.raises(AssertionError, match="attn_mask must be bool or floating, got int64"):
        attention(x, x, x, attn_mask=minitorch.zeros(5, 5, dtype=minitorch.int64))
    with pytest.raises(AssertionError, match=r"last size of key must be 8, got shape \(5, 3, 4\)"):
        attention(x, x[..., :4], x)
    with pytest.raises(AssertionError, match="must all have 3 dimensions"):
        attention(x, x[0], x)
    with pytest.raises(AssertionError, match="may differ in their last size only"):
        attention(x, x, x[:4])
    with pytest.raises(RuntimeError, match="must have the same batch size, at dimension 1"):
        attention(x, x[:, :1], x[:, :1])


# ---------------------------------------------------------------------------------------------- transformer layers


def test_causal_encoder_does_not_see_the_future(device):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, device=device).eval()
    x = minitorch.randn(1, 6, 8, device=device)
    mask = minitorch.tensor(causal(6), device=device)
    changed = x.clone()
    changed[0, 4:] = 7.0
    before, after = layer(x, src_mask=mask, is_causal=True), layer(changed, src_mask=mask)
    difference = np.abs((before - after).detach().cpu().numpy()[0]).max(-1)
    assert (difference[:4] < 1e-6).all()
    assert (difference[4:] > 1e-3).all()


def test_padding_does_not_change_what_is_real(device):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, device=device).eval()
    x = minitorch.randn(1, 6, 8, device=device)
    padding = minitorch.tensor([[False] * 4 + [True] * 2], device=device)
    short, padded = layer(x[:, :4]), layer(x, src_key_padding_mask=padding)
    np.testing.assert_allclose(short.detach().cpu().numpy(), padded.detach().cpu().numpy()[:, :4], atol=1e-5)


def test_dropout_in_every_place():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.3)
    assert layer.self_attn.dropout == layer.dropout.p == layer.dropout1.p == layer.dropout2.p == 0.3
    x = minitorch.randn(4, 2, 8)
    assert (layer(x).detach().numpy() != layer(x).detach().numpy()).any()
    layer.eval()
    assert (layer(x).detach().numpy() == layer(x).detach().numpy()).all()


def test_encoder_copies_its_layer():
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    encoder = nn.TransformerEncoder(layer, 2)
    assert len({id(p) for p in encoder.parameters()}) == 2 * len(list(layer.parameters()))
    assert (encoder.layers[0].linear1.weight == encoder.layers[1].linear1.weight).all()
    assert encoder.layers[0].linear1.weight is not layer.linear1.weight
    assert "(0-1): 2 × TransformerEncoderLayer(" in repr(encoder)
    twin = copy.deepcopy(encoder).eval()
    x = minitorch.randn(4, 2, 8)
    assert (twin(x) == encoder.eval()(x)).all()


def test_unknown_activation():
    with pytest.raises(RuntimeError, match="activation should be relu/gelu or a function, not 'selu'"):
        nn.TransformerEncoderLayer(8, 2, activation="selu")


@pytest.mark.parametrize("norm_first", [False, True])
def test_an_encoder_learns_to_copy_the_first_token(norm_first, device):
    minitorch.manual_seed(1)
    words = minitorch.randint(0, 4, (16, 5), device=device)
    embed = nn.Embedding(4, 16, device=device)
    place = nn.Parameter(minitorch.randn(5, 16, device=device))
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=norm_first, device=device)
    head = nn.Linear(16, 4, device=device)
    parameters = [place, *(p for module in (embed, layer, head) for p in module.parameters())]
    losses = []
    for _ in range(60):
        scores = head(layer(embed(words) + place)[:, -1])
        loss = nn.functional.cross_entropy(scores, words[:, 0])
        for p in parameters:
            p.grad = None
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        losses.append(loss.item())
        with minitorch.no_grad():
            for p in parameters:
                p -= p.grad * 0.3
    assert losses[-1] < losses[0] / 5
