"""Adapters on GPT-2: PEFT's values and files, whose weights are transposed there; text that goes on with a cache."""

from __future__ import annotations

import numpy as np
import pytest

import minitorch
from minitorch import tensor
from models.adapting import (
    AdaLoraConfig,
    BitFitConfig,
    BottleneckConfig,
    IA3Config,
    LoraConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    get_peft_model,
)
from models.errors import BadInput

from .gpt_cases import make

IDS = tensor([[3, 7, 1, 9, 4], [6, 2, 8, 5, 0]])
METHODS = {
    "lora": LoraConfig(r=2, lora_alpha=4),
    "lora, everywhere": LoraConfig(r=2, target_modules="all-linear"),
    "dora": LoraConfig(r=2, use_dora=True),
    "adalora": AdaLoraConfig(init_r=3, target_r=2, total_step=9),
    "ia3": IA3Config(),
    "bitfit": BitFitConfig(),
    "prompt": PromptTuningConfig(num_virtual_tokens=3),
    "prefix": PrefixTuningConfig(num_virtual_tokens=3),
}
each = pytest.mark.parametrize("method", METHODS)


def moved(model, seed=5):
    """The adapter's parameters as training might leave them."""
    minitorch.manual_seed(seed)
    with minitorch.no_grad():
        for p in model.own["default"].values():
            p.copy_(p + 0.3 * minitorch.randn(*p.shape))
    return model.eval()


def adapted(method):
    return moved(get_peft_model(make(), METHODS[method]))


def logits(model, ids=IDS, **options):
    return model(ids, **options).logits.detach().numpy()


@each
def test_only_the_adapter_learns_and_the_base_comes_back(method):
    model = make()
    before, answer = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}, logits(model)
    peft = moved(get_peft_model(model, METHODS[method]))
    assert peft.heads["default"] == {}  # the table of words is no task's own
    peft.train()(IDS, labels=IDS).loss.backward()
    assert {n for n, p in peft.named_parameters() if p.grad is not None} == {
        n for n, p in peft.named_parameters() if p.requires_grad
    }
    assert np.abs(logits(peft.eval()) - answer).max() > 1e-3
    back = peft.unload()
    np.testing.assert_array_equal(logits(back), answer)
    assert all((p.detach().numpy() == before[n]).all() for n, p in back.named_parameters())


@pytest.mark.parametrize("method", ["lora", "lora, everywhere", "dora", "adalora", "ia3", "bitfit"])
def test_merged_is_unmerged(method, tmp_path):
    model = adapted(method)
    right = logits(model)
    model.merge_and_unload().save_pretrained(tmp_path)
    np.testing.assert_allclose(logits(type(make()).from_pretrained(tmp_path).eval()), right, atol=2e-5)


@each
def test_text_goes_on_as_without_a_cache(method):
    """Virtual tokens stand in front once: in the cache; with padding on the left, and without."""
    model = adapted(method)
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    for ids, mask in ((IDS, None), (tensor([[0, 0, 4, 9], [5, 1, 2, 3]]), tensor([[0, 0, 1, 1], [1, 1, 1, 1]]))):
        cached, plain = (model.generate(ids, attention_mask=mask, use_cache=use, **options).tolist() for use in (True, False))
        assert cached == plain
    alone = model.generate(tensor([[4, 9]]), **options).tolist()[0]
    assert cached[0][2:] == alone
    whole = logits(model, tensor([alone[:-1]]))[0, 1:].argmax(-1)
    assert whole.tolist() == alone[2:]


def test_what_does_not_fit_is_named():
    with pytest.raises(BadInput, match="no layer is called"):
        get_peft_model(make(), BottleneckConfig())
    with pytest.raises(BadInput, match="computes with transformer"):
        get_peft_model(make(), LoraConfig(trainable_token_indices=[3]))


@pytest.mark.parametrize("method", ["lora", "lora, everywhere", "dora", "ia3", "prompt", "prefix"])
def test_folders_pass_both_ways(method, tmp_path):
    """Ours in PEFT: the same logits and gradients; PEFT's own, with other weights, here. Its Conv1D holds weights transposed."""
    peft, torch = pytest.importorskip("peft"), pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    make().save_pretrained(tmp_path / "base")

    def theirs():
        return transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "base", attn_implementation="eager").eval()

    ids, virtual = torch.tensor(IDS.tolist()), getattr(METHODS[method], "num_virtual_tokens", 0)
    ours = adapted(method)
    ours.save_pretrained(tmp_path / "ours")
    other = peft.PeftModel.from_pretrained(theirs(), str(tmp_path / "ours"), is_trainable=not virtual).eval()
    rows = 3 if method == "prompt" else 0  # PEFT answers for virtual tokens, too
    np.testing.assert_allclose(logits(ours), other(ids).logits.detach().numpy()[:, rows:], atol=2e-5)
    if not virtual:
        other(ids, labels=ids).loss.backward()
        ours(IDS, labels=IDS).loss.backward()
        right = {n.replace("base_model.model.", "").replace(".default", ""): p for n, p in other.named_parameters()}
        for name, p in ours.own["default"].items():
            grad = right.get(name, right.get(f"{name}.weight")).grad.numpy()
            np.testing.assert_allclose(p.grad.numpy(), grad, atol=2e-5, err_msg=name)
    config = {
        k: v for k, v in METHODS[method].to_dict().items() if k in ("r", "use_dora", "num_virtual_tokens", "target_modules")
    }
    kind = getattr(peft, type(METHODS[method]).__name__)
    torch.manual_seed(1)
    made = peft.get_peft_model(theirs(), kind(task_type="CAUSAL_LM", **config)).eval()
    with torch.no_grad():
        for p in made.parameters():
            if p.requires_grad:
                p += 0.1 * torch.randn_like(p)
    made.save_pretrained(str(tmp_path / "theirs"))
    read = PeftModel.from_pretrained(make(), tmp_path / "theirs")
    np.testing.assert_allclose(logits(read), made(ids).logits.detach().numpy()[:, rows:], atol=2e-5)
