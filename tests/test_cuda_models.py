"""Models on the device "cuda", on a card or emulated: the same numbers as on the processor, dropout's masks included."""

from __future__ import annotations

import numpy as np
import pytest

import minitorch
import minitorch.nn.functional as F
from minitorch import kernels, nn, optim
from minitorch.kernels import reference
from models import adapting
from tests import emulated_cupy
from tests.bert_cases import inputs, make, ours, scalar

SIZES = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 48}  # heads of 32, which the tiles' kernels know


@pytest.fixture(scope="module", autouse=True)
def cupy():
    """CuPy on a card, or the stand-in for the tests of this file."""
    with emulated_cupy.card() as library:
        yield library


def train(device, head="BertForPreTraining", steps=2, **changes):
    """Losses, gradients of the first step, and weights after a few steps of AdamW with clipping."""
    model = make(head, **SIZES, **changes).to(device).train()
    optimizer = optim.AdamW(model.parameters(), lr=1e-2, eps=1e-3)  # a small eps makes rounding large where g is 0
    batch, labels = (ours(x) for x in inputs(head, np.random.default_rng(0)))
    batch = {name: x.to(device) for name, x in (batch | labels).items()}
    losses, gradients = [], None
    minitorch.manual_seed(5)  # and with it the masks of dropout, the same on both devices
    for _ in range(steps):
        optimizer.zero_grad()
        loss = scalar(model(**batch))
        loss.backward()
        if gradients is None:
            gradients = {name: p.grad.clone().cpu().numpy() for name, p in model.named_parameters() if p.grad is not None}
        losses.append([loss.item(), nn.utils.clip_grad_norm_(model.parameters(), 0.5).item()])
        optimizer.step()
    return np.array(losses), gradients, {name: p.detach().cpu().numpy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("head", ["BertForPreTraining", "BertModel", "BertForMultipleChoice"])
@pytest.mark.parametrize("act", ["gelu", "gelu_new"])
def test_bert_trains_as_on_the_processor(head, act):
    options = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3, "hidden_act": act}
    cpu, card = train("cpu", head, **options), train("cuda", head, **options)
    np.testing.assert_allclose(card[0], cpu[0], rtol=1e-3)
    for ours_, theirs in zip(card[1:], cpu[1:], strict=True):
        assert ours_.keys() == theirs.keys()
        for name, x in ours_.items():
            size = max(1, np.abs(theirs[name]).max())
            np.testing.assert_allclose(x, theirs[name], rtol=2e-3, atol=2e-4 * size, err_msg=name)


def test_bert_with_heads_that_take_three_steps():
    options = {"num_attention_heads": 4, "hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3}
    sizes = {**SIZES, **options}
    found = []
    for device in ("cpu", "cuda"):
        model = make("BertForMaskedLM", **sizes).to(device).train()
        batch, labels = (ours(x) for x in inputs("BertForMaskedLM", np.random.default_rng(0)))
        minitorch.manual_seed(5)
        loss = model(**{name: x.to(device) for name, x in (batch | labels).items()}).loss
        loss.backward()
        found.append([loss.item(), *[p.grad.cpu().numpy() for p in model.parameters() if p.grad is not None]])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * max(1, np.abs(a).max()))


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_bert_in_half_precision_is_near_to_float32(kind):
    if kind == "bfloat16" and not hasattr(minitorch, "bfloat16"):
        pytest.skip("no bfloat16 outside of the kernels")
    batch, labels = (ours(x) for x in inputs("BertForMaskedLM", np.random.default_rng(0)))
    batch = {name: x.to("cuda") for name, x in (batch | labels).items()}
    found = []
    for dtype in ("float32", kind):
        model = make("BertForMaskedLM", **SIZES, initializer_range=0.1).to("cuda").to(np.dtype(dtype)).eval()
        loss = model(**batch).loss
        loss.backward()
        gradients = [p.grad.cpu().numpy() for p in model.parameters() if p.grad is not None]
        found.append([loss.item(), *[np.asarray(g, np.float32) for g in gradients]])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=0.1, atol=(0.02 if kind == "float16" else 0.1) * max(0.1, np.abs(a).max()))


def test_gradients_of_gradients_see_the_same_masks():
    found = []
    for device in ("cpu", "cuda"):
        minitorch.manual_seed(0)
        x = minitorch.randn(2, 2, 5, 32).to(device).requires_grad_()
        w = minitorch.randn(32).to(device).requires_grad_()
        minitorch.manual_seed(5)
        h = F.scaled_dot_product_attention(x, x, x * 0.5, dropout_p=0.3)
        h = F.dropout_add_layer_norm(h, x, w, None, 0.3)
        loss = F.cross_entropy(F.dropout(F.gelu(h), 0.5).reshape(-1, 32), minitorch.arange(20).to(device))
        first = minitorch.autograd.grad(loss, (x, w), create_graph=True)
        second = minitorch.autograd.grad(sum((g * g).sum() for g in first), (x, w))
        found.append([g.detach().cpu().numpy() for g in (*first, *second)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * max(1, np.abs(a).max()))


def test_a_kernel_of_ones_own_runs_on_the_card_and_in_the_place_of_a_part():
    calls = []

    def my_gelu(x):
        calls.append(type(x).__module__)
        return reference.gelu(x)

    def my_drop(x, keep, share):
        calls.append(keep.dtype.name)
        return reference.drop(x, keep, share)

    x, w = minitorch.randn(3, 8).to("cuda"), minitorch.randn(8, 8).to("cuda")
    expected = F.linear_gelu(x, w, w[0]).cpu().numpy()
    with kernels.use(gelu=my_gelu, drop=my_drop):
        np.testing.assert_allclose(F.linear_gelu(x, w, w[0]).cpu().numpy(), expected, rtol=1e-5, atol=1e-5)
        F.dropout_add_layer_norm(x, x, None, None, 0.5)
    assert calls == ["cupy", "bool"]


def test_an_activation_with_hooks_before_it_is_not_fused():
    model = make("BertModel", **SIZES)
    seen = []
    model.encoder.layer[0].intermediate.dense.register_forward_hook(lambda module, args, y: seen.append(y.shape))
    batch, _ = inputs("BertModel", np.random.default_rng(0))
    model.eval()(**ours(batch))
    assert seen == [(3, 9, 48)]


def test_masks_go_on_where_a_saved_stream_was():
    generator = minitorch.manual_seed(3)
    x = minitorch.ones(50).to("cuda")
    F.dropout(x, 0.5)
    state = minitorch.get_rng_state()
    expected = F.dropout(x, 0.5).cpu().numpy()
    F.dropout(x, 0.5)
    minitorch.set_rng_state(state)
    np.testing.assert_array_equal(F.dropout(x, 0.5).cpu().numpy(), expected)
    assert generator.get_state()["masks"][1] == 2


def test_embedding_gradients_in_one_order():
    table = minitorch.randn(50, 8).to("cuda").requires_grad_()
    index = minitorch.randint(0, 5, (40,)).to("cuda")
    found = []
    for mode in (False, True):
        minitorch.use_deterministic_algorithms(mode)
        assert minitorch.are_deterministic_algorithms_enabled() is mode
        table.grad = None
        (F.embedding(index, table) ** 2).sum().backward()
        found.append(table.grad.cpu().numpy())
    minitorch.use_deterministic_algorithms(False)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_what_is_asked_for_on_a_card_makes_it_the_one_to_work_on(monkeypatch):
    """CuPy computes on the current card, wherever the operands lie: so tensors of another card would wander."""
    with emulated_cupy.card() as cupy:
        if minitorch.cuda_is_available() and not hasattr(cupy, "_prefix"):
            pytest.skip("this counts calls to the stand-in")
        used: list[int] = []
        monkeypatch.setattr(emulated_cupy.Device, "use", lambda self: used.append(self.id))
        minitorch.ones(2, device="cuda:0")
        minitorch.ones(2).to("cuda:0")
        minitorch.rand(2, device="cuda:0")
        assert used == [0, 0, 0]


ADAPTERS = {
    "lora": adapting.LoraConfig(r=4, use_dora=True),
    "words": adapting.LoraConfig(r=4, bias="all", trainable_token_indices=[1, 3]),
    "adalora": adapting.AdaLoraConfig(init_r=4, target_r=2, total_step=4),
    "ia3": adapting.IA3Config(),
    "houlsby": adapting.BottleneckConfig(style="houlsby"),
    "pfeiffer": adapting.BottleneckConfig(),
    "prompt": adapting.PromptTuningConfig(num_virtual_tokens=3),
    "prefix": adapting.PrefixTuningConfig(num_virtual_tokens=3, prefix_projection=True),
}


@pytest.mark.parametrize("method", ADAPTERS)
def test_adapters_train_as_on_the_processor(method, tmp_path):
    """And their folders, written by either, hold the same numbers and belong to the same base."""
    found = {}
    for device in ("cpu", "cuda"):
        base = make("BertForSequenceClassification", **SIZES)
        minitorch.manual_seed(3)
        model = adapting.get_peft_model(base, ADAPTERS[method]).to(device).train()
        optimizer = optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, eps=1e-3)
        batch, labels = (ours(x) for x in inputs("BertForSequenceClassification", np.random.default_rng(0)))
        batch = {name: x.to(device) for name, x in (batch | labels).items()}
        for step in range(1, 5):
            optimizer.zero_grad()
            loss = scalar(model(**batch))
            loss.backward()
            optimizer.step()
            model.update_and_allocate(step)
        model.save_pretrained(tmp_path / device)
        again = adapting.PeftModel.from_pretrained(make("BertForSequenceClassification", **SIZES), tmp_path / device)
        found[device] = loss.item(), {name: p.detach().numpy() for name, p in again.trained().items()}
    assert found["cuda"][0] == pytest.approx(found["cpu"][0], rel=1e-3)
    for name, values in found["cpu"][1].items():
        np.testing.assert_allclose(found["cuda"][1][name], values, rtol=2e-3, atol=5e-4, err_msg=name)
