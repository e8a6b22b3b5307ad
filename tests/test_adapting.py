"""Adapters: the values, counts and files of PEFT, a base that stays as it is, and errors that say what to do."""

from __future__ import annotations

import contextlib
import json
import warnings

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import minitorch
from minitorch import nn, optim, tensor

pytest.importorskip("safetensors", reason="adapters are saved as safetensors")

from models.adapting import (
    AdaLoraConfig,
    BitFitConfig,
    BottleneckConfig,
    IA3Config,
    LoraConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
)
from models.adapting.adalora import RankAllocator, Triplets
from models.adapting.base import matching
from models.adapting.ia3 import PAPER, Factors
from models.adapting.lora import Lora
from models.bert.config import BertConfig
from models.bert.model import BertForMaskedLM, BertForSequenceClassification, BertForTokenClassification, BertModel
from models.errors import BadInput

IDS, MASK = tensor([[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]]), tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
SMALL = {
    "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
    "max_position_embeddings": 16, "num_labels": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
CONFIGS = {
    "lora": lambda: LoraConfig(r=2, lora_alpha=4),
    "rslora": lambda: LoraConfig(r=2, lora_alpha=4, use_rslora=True),
    "dora": lambda: LoraConfig(r=2, lora_alpha=4, use_dora=True),
    "all linear": lambda: LoraConfig(r=2, lora_alpha=4, target_modules="all-linear"),
    "ia3": lambda: IA3Config(),
    "ia3, the paper's": lambda: IA3Config(**PAPER),
    "adalora": lambda: AdaLoraConfig(init_r=2, target_r=1, lora_alpha=4, total_step=10),
    "prompt": lambda: PromptTuningConfig(num_virtual_tokens=3, pool="first"),
    "prompt, [CLS] pooled": lambda: PromptTuningConfig(num_virtual_tokens=3, pool="cls"),
    "prompt, mean pooled": lambda: PromptTuningConfig(num_virtual_tokens=3),
    "p-tuning": lambda: PromptEncoderConfig(num_virtual_tokens=3, encoder_hidden_size=5, pool="first"),
    "prefix": lambda: PrefixTuningConfig(num_virtual_tokens=3),
    "prefix, projected": lambda: PrefixTuningConfig(num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=5),
    "pfeiffer": lambda: BottleneckConfig(style="pfeiffer", bottleneck=2),
    "houlsby": lambda: BottleneckConfig(style="houlsby", bottleneck=2),
    "bitfit": lambda: BitFitConfig(),
    "lora with biases": lambda: LoraConfig(r=2, lora_alpha=4, bias="all", lora_bias=True),
    "lora with words": lambda: LoraConfig(r=2, lora_alpha=4, trainable_token_indices=[3, 7]),
}
MERGED = ("lora", "rslora", "dora", "all linear", "ia3", "adalora", "bitfit", "lora with biases", "lora with words")
each = pytest.mark.parametrize("method", CONFIGS)


def fill(parameters, around_one=()):
    """Value i of parameter k, in the order of their names: 0.3 sin(k + 1 + 0.7 i), and 1 more where a name ends so."""
    for k, (name, p) in enumerate(sorted(parameters.items())):
        values = 0.3 * np.sin(k + 1 + 0.7 * np.arange(p.numel())).reshape(p.shape)
        with minitorch.no_grad():
            p.copy_(minitorch.Tensor(values + name.endswith(tuple(around_one))).astype(p.dtype))


def base(kind=BertForSequenceClassification, **changes):
    model = kind(BertConfig(**{**SMALL, **changes})).double()
    fill(dict(model.named_parameters()), ["LayerNorm.weight"])
    return model.eval()


def adapted(method, kind=BertForSequenceClassification):
    model = get_peft_model(base(kind), CONFIGS[method]()).eval()
    fill(model.own["default"], ["ia3_l", "magnitude_vector"])
    return model


def logits(model, **options):
    return model(IDS, attention_mask=MASK, **options).logits.detach().numpy()


# ------------------------------------------------------------------- values computed by PEFT, and by AdapterHub's adapters

VECTORS = {
    "lora": [[1.069244, 0.265098], [1.369284, 0.797330]],
    "rslora": [[1.103612, 0.314348], [1.064117, 0.348714]],
    "dora": [[1.552675, 0.892820], [1.380445, 0.714610]],
    "all linear": [[0.673902, -0.090139], [0.554415, 0.482198]],
    "ia3": [[0.759674, -0.060728], [0.874432, 0.470340]],
    "adalora": [[0.555613, -0.173655], [0.753640, 0.343690]],
    "prompt": [[1.377175, 0.934227], [-0.093978, -0.545526]],
    "prefix": [[-0.297745, -0.546287], [-0.332507, -0.238380]],
    "pfeiffer": [[-0.079098, -0.416908], [0.292107, 0.240033]],
    "houlsby": [[0.524250, -0.158111], [1.333424, 0.733263]],
}


@pytest.mark.parametrize("method", VECTORS)
def test_logits_of_a_whole_model(method):
    np.testing.assert_allclose(logits(adapted(method)), VECTORS[method], atol=2e-6)
    np.testing.assert_allclose(logits(base()), [[0.599369, -0.147837], [0.787894, 0.399445]], atol=2e-6)


def one_layer():
    linear = nn.Linear(3, 2).double()
    with minitorch.no_grad():
        linear.weight.copy_(minitorch.Tensor(np.array([[1.0, 2, 3], [4, 5, 6]])))
        linear.bias.copy_(minitorch.Tensor(np.array([0.5, -0.5])))
    return linear, minitorch.Tensor(np.array([1.0, -1.0, 2.0]))


def lora(linear, **options):
    pair = Lora(linear, 2, 4 / 2**0.5 if options.get("use_rslora") else 2.0, LoraConfig(r=2, lora_alpha=4, **options)).double()
    with minitorch.no_grad():
        pair.lora_A.copy_(minitorch.Tensor(np.array([[1.0, 0, -1], [2, 1, 0]])))
        pair.lora_B.copy_(minitorch.Tensor(np.array([[0.5, 1], [-1, 2]])))
    return pair


def test_lora_by_hand():
    linear, x = one_layer()
    pair = lora(linear)
    y = pair(linear, x)
    y.sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), [6.5, 16.5])
    np.testing.assert_allclose(pair.merged(linear.weight).numpy(), [[6, 4, 2], [10, 9, 8]])
    np.testing.assert_allclose(pair.lora_A.grad.numpy(), [[-1, 1, -2], [6, -6, 12]])
    np.testing.assert_allclose(pair.lora_B.grad.numpy(), [[-2, 2], [-2, 2]])
    np.testing.assert_allclose(lora(linear, use_rslora=True)(linear, x).detach().numpy(), [6.914214, 18.985281], atol=1e-6)


def test_dora_by_hand():
    """‖V‖ is a constant in the gradient, as in PEFT."""
    linear, x = one_layer()
    pair = lora(linear, use_dora=True)
    y = pair(linear, x)
    y.sum().backward()
    np.testing.assert_allclose(pair.magnitude.detach().numpy(), [3.741657, 8.774964], atol=1e-6)
    np.testing.assert_allclose(y.detach().numpy(), [3.5, 9.030402], atol=1e-6)
    merged = [[3, 2, 1], [5.606119, 5.045507, 4.484895]]
    np.testing.assert_allclose(pair.merged(linear.weight).numpy(), merged, atol=1e-6)
    grad = [[-0.621224, 0.621224, -1.242448], [3.242448, -3.242448, 6.484895]]
    np.testing.assert_allclose(pair.lora_A.grad.numpy(), grad, atol=1e-6)
    np.testing.assert_allclose(pair.lora_B.grad.numpy(), [[-1, 1], [-1.121224, 1.121224]], atol=1e-6)
    np.testing.assert_allclose(pair.magnitude.grad.numpy(), [0.801784, 1.086090], atol=1e-6)


def triplets(linear):
    own = Triplets(linear, 2, AdaLoraConfig(init_r=2, target_r=1, lora_alpha=4)).double()
    with minitorch.no_grad():
        own.lora_A.copy_(minitorch.Tensor(np.array([[1.0, 0, -1], [2, 1, 0]])))
        own.lora_B.copy_(minitorch.Tensor(np.array([[0.5, 1], [-1, 2]])))
        own.lora_E.copy_(minitorch.Tensor(np.array([[0.5], [-1.0]])))
    return own


def test_adalora_and_ia3_by_hand():
    linear, x = one_layer()
    own = triplets(linear)
    np.testing.assert_allclose(own(linear, x).detach().numpy(), [3.0000125, 7.5000150], atol=1e-6)
    assert minitorch.stack(own.off_orthogonal()).mean().item() == pytest.approx(4.767295, abs=1e-6)
    for of_input, l, right in ((False, [2, 0.5], [11, 5.25]), (True, [2, 0.5, -1], [-4.5, -7])):
        factors = Factors(linear, of_input).double()
        with minitorch.no_grad():
            factors.ia3_l.copy_(minitorch.Tensor(np.array(l, float).reshape(factors.ia3_l.shape)))
        np.testing.assert_allclose(factors(linear, x).detach().numpy(), right)


def test_the_mean_that_a_prompt_pools_is_of_the_text_alone():
    """Neither of virtual tokens nor of padding; also where the last layer would be computed at [CLS] alone."""
    model = adapted("prompt, mean pooled")
    hidden = model.bert(IDS, attention_mask=MASK).last_hidden_state
    by_hand = minitorch.stack([hidden[0].mean(0), hidden[1, :3].mean(0)])
    right = model.base_model.classifier(by_hand).detach().numpy()
    np.testing.assert_allclose(logits(model), right, atol=1e-12)
    np.testing.assert_allclose(logits(model, rows=tensor([[0], [0]])), right, atol=1e-12)
    whole = model(IDS[1:, :3]).logits.detach().numpy()
    np.testing.assert_allclose(whole, right[1:], atol=1e-12)


def test_adaloras_budget_falls_as_planned():
    config = AdaLoraConfig(init_r=4, target_r=2, tinit=2, tfinal=3, total_step=12)
    allocator = RankAllocator(dict.fromkeys("abcd"), config)
    assert [allocator.budget(t) for t in range(1, 13)] == [16, 16, 13, 10, 9, 8, 8, 8, 8, 8, 8, 8]


# ------------------------------------------------------------------------------------------------------------- counts

TINY = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512, "vocab_size": 30522}
COUNTS = {
    8192: LoraConfig(r=8),
    38912: LoraConfig(r=8, target_modules="all-linear"),
    8704: LoraConfig(r=8, use_dora=True),
    12336: AdaLoraConfig(total_step=10),
    4368: BottleneckConfig(style="pfeiffer", bottleneck=8),
    8736: BottleneckConfig(style="houlsby", bottleneck=8),
    3072: BitFitConfig(),
    1792: IA3Config(),
    1536: IA3Config(**PAPER),
    1280: PromptTuningConfig(num_virtual_tokens=10),
    50816: PromptEncoderConfig(num_virtual_tokens=10),
    5120: PrefixTuningConfig(num_virtual_tokens=10),
    83840: PrefixTuningConfig(num_virtual_tokens=10, prefix_projection=True),
}


@pytest.mark.parametrize("count", COUNTS)
def test_how_many_parameters_are_trained(count, capsys):
    model = get_peft_model(BertForSequenceClassification(BertConfig(**TINY)), COUNTS[count])
    trained, every = model.get_nb_trainable_parameters()
    assert trained == count + 258
    model.print_trainable_parameters()
    assert (
        capsys.readouterr().out
        == f"trainable params: {trained:,} || all params: {every:,} || trainable%: {100 * trained / every:.4f}\n"
    )


# -------------------------------------------------------------------------------------------------- the base is the base


def bits(model):
    return {name: p.detach().numpy().tobytes() for name, p in model.named_parameters()}


@each
def test_the_base_keeps_its_bits_and_comes_back(method):
    """Nothing of the base is trained; disabled it answers as before, unloaded it is what it was."""
    model = base()
    before, answer = bits(model), logits(model)
    peft = get_peft_model(model, CONFIGS[method]())
    optimizer = optim.AdamW([p for p in peft.parameters() if p.requires_grad], lr=1e-2)
    for step in range(1, 4):
        optimizer.zero_grad()
        peft.train()(IDS, attention_mask=MASK, labels=tensor([0, 1])).loss.backward()
        peft.update_and_allocate(step)
        optimizer.step()
    peft.eval()
    assert np.abs(logits(peft) - answer).max() > 1e-4
    with peft.disable_adapter():
        np.testing.assert_array_equal(logits(peft), answer)
    back = peft.unload()
    assert back is model
    assert bits(back) == before
    assert all(p.requires_grad for p in back.parameters())
    np.testing.assert_array_equal(logits(back), answer)


@each
def test_before_the_first_step_it_is_the_base(method):
    """But for virtual tokens, which stand there from the start."""
    if method.startswith(("prompt", "p-tuning", "prefix")):
        pytest.skip("virtual tokens change the answer at once")
    tolerance = 0.02 if method in ("pfeiffer", "houlsby") else 1e-12  # bottlenecks start near zero
    np.testing.assert_allclose(logits(get_peft_model(base(), CONFIGS[method]()).eval()), logits(base()), atol=tolerance)


@pytest.mark.parametrize("method", MERGED)
def test_merged_is_unmerged(method, tmp_path):
    model = adapted(method)
    right = logits(model)
    merged = model.merge_and_unload()
    assert type(merged) is BertForSequenceClassification
    np.testing.assert_allclose(logits(merged), right, atol=1e-10)
    assert bits(merged).keys() == bits(base()).keys()
    merged.float().save_pretrained(tmp_path)
    again = BertForSequenceClassification.from_pretrained(tmp_path).double()
    np.testing.assert_allclose(logits(again), right, atol=1e-5)


@pytest.mark.parametrize("method", MERGED)
def test_unmerging_restores_the_same_bits(method):
    """Merged in place the model answers as before, through the base's layers alone; whatever comes next takes the change out."""
    model = adapted(method)
    model.add_adapter("other", LoraConfig(r=1))
    right, before = logits(model), bits(model)
    with model.disable_adapter():
        base_answer = logits(model)
    for undo in (model.unmerge_adapter, model.train, lambda: model.set_adapter("default"), model.merge_adapter):
        model.merge_adapter()
        np.testing.assert_allclose(logits(model.eval()), right, atol=1e-10)
        assert bits(model) != before or method == "bitfit"
        undo()
        model.eval()
    with model.disable_adapter():
        np.testing.assert_array_equal(logits(model), base_answer)
    assert bits(model) == before
    np.testing.assert_array_equal(logits(model), right)
    model.merge_adapter()
    model.set_adapter("other")
    model.delete_adapter("default")
    assert bits(model.unload()) == bits(base())


def test_what_is_no_weight_is_not_merged():
    for method in CONFIGS.keys() - set(MERGED) - {"ia3, the paper's"}:
        model = adapted(method)
        right = logits(model)
        with pytest.raises(BadInput, match="cannot be merged"):
            model.merge_and_unload()
        np.testing.assert_array_equal(logits(model), right)


# -------------------------------------------------------------------------------------------------------------- files


@each
def test_an_adapter_comes_back_from_its_folder(method, tmp_path):
    model = adapted(method)
    fill(model.heads["default"])
    right = logits(model)
    model.save_pretrained(tmp_path / "a")
    again = PeftModel.from_pretrained(base(), tmp_path / "a")
    np.testing.assert_allclose(logits(again), right, atol=1e-12)
    assert not any(p.requires_grad for p in again.parameters())
    further = PeftModel.from_pretrained(base(), tmp_path / "a", is_trainable=True)
    np.testing.assert_allclose(logits(further), right, atol=1e-12)
    assert {n for n, p in further.trained().items() if p.requires_grad} == set(further.trained())


HUB = {  # what adapters 1.3.0 writes for seq_bn[reduction_factor=4], but for the settings of PHM layers
    "adapter_residual_before_ln": False, "cross_adapter": False, "dropout": 0.0, "init_weights": "bert", "inv_adapter": None,
    "init_weights_seed": None, "inv_adapter_reduction_factor": None, "is_parallel": False, "leave_out": [], "ln_after": False,
    "ln_before": False, "mh_adapter": False, "non_linearity": "relu", "original_ln_after": True, "original_ln_before": True,
    "output_adapter": True, "phm_layer": False, "phm_dim": 4, "shared_W_phm": False, "reduction_factor": 4, "use_gating": False,
    "residual_before_ln": True, "scaling": 1.0, "stochastic_depth": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(("method", "changes"), [
    ("pfeiffer", {}),
    ("houlsby", {"mh_adapter": True, "original_ln_before": False, "non_linearity": "swish"}),
])  # fmt: skip
def test_adapterhubs_folders_pass_both_ways(method, changes, tmp_path):
    """Its names and configs, and the logits that it computed."""
    adapted(method).save_adapter(tmp_path)
    ours = json.loads((tmp_path / "adapter_config.json").read_text())
    assert ours["config"].items() <= {**HUB, **changes}.items()
    places = ["output"] if method == "pfeiffer" else ["attention.output", "output"]
    parts = ("adapter_down.0.bias", "adapter_down.0.weight", "adapter_up.bias", "adapter_up.weight")
    names = {f"bert.encoder.layer.{i}.{place}.adapters.default.{part}" for i in (0, 1) for place in places for part in parts}
    assert set(minitorch.load(tmp_path / "adapter.safetensors")) == names
    assert set(minitorch.load(tmp_path / "model_head.safetensors")) == {"classifier.weight", "classifier.bias"}
    (tmp_path / "adapter_config.json").write_text(json.dumps({**ours, "config": {**HUB, **changes}}))
    np.testing.assert_allclose(logits(PeftModel.from_pretrained(base(), tmp_path)), VECTORS[method], atol=2e-6)


@pytest.mark.parametrize("m", [1, 3, 7, 20])
def test_adapterhub_reads_the_width_that_was_written(m, tmp_path):
    """Also where it does not divide the hidden size, and where a layer is left out."""
    model = get_peft_model(base(), BottleneckConfig(bottleneck=m, leave_out=[0]), "own").eval()
    model.save_adapter(tmp_path)
    factor = json.loads((tmp_path / "adapter_config.json").read_text())["config"]["reduction_factor"]
    assert int(8 // factor) == m
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = PeftModel.from_pretrained(base(), tmp_path, "other")
    np.testing.assert_array_equal(logits(again), logits(model))
    other = base()
    with minitorch.no_grad():
        other.bert.encoder.layer[1].output.dense.weight[0, 0] = 9.0
    with pytest.warns(UserWarning, match="another base"):
        PeftModel.from_pretrained(other, tmp_path)
    assert {key.split(".")[3] for key in again.own["other"]} == {"1"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"is_parallel": True, "scaling": 4.0}, "no support for scaling = 4.0, is_parallel = True|no support for is_parallel"),
        ({"reduction_factor": {"1": 2}}, "reduction_factor must be a number"),
        ({"output_adapter": False}, "no support for mh_adapter = False, output_adapter = False"),
        ({"non_linearity": "selu"}, 'non_linearity "selu" is unknown'),
        ({"something": 1}, "no support for something = 1"),
    ],
)
def test_other_adapters_of_adapterhub_are_refused(changes, says, tmp_path):
    adapted("pfeiffer").save_adapter(tmp_path)
    values = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**values, "config": {**HUB, **changes}}))
    with pytest.raises(BadInput, match=says):
        PeftModel.from_pretrained(base(), tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({**values, "config": {"architecture": "lora", "r": 8}}))
    with pytest.raises(BadInput, match="of AdapterHub's kind lora"):
        PeftModel.from_pretrained(base(), tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({**values, "config": HUB}))
    (tmp_path / "adapter.safetensors").rename(tmp_path / "pytorch_adapter.bin")
    with pytest.raises(BadInput, match="use_safetensors=True"):
        PeftModel.from_pretrained(base(), tmp_path)


def test_another_base_is_noticed(tmp_path):
    adapted("lora").save_pretrained(tmp_path)
    other = base()
    with minitorch.no_grad():
        other.bert.encoder.layer[1].output.dense.weight[0, 0] = 9.0
    with pytest.warns(UserWarning, match="another base"):
        PeftModel.from_pretrained(other, tmp_path)
    head = base()
    with minitorch.no_grad():
        head.classifier.weight[0, 0] = 9.0
    PeftModel.from_pretrained(head, tmp_path)  # the head is the task's own


# ------------------------------------------------------------------------------------------------- several on one base


def test_several_adapters_on_one_base(tmp_path):
    """Switched by name, and row by row within a batch."""
    right, model, held = {}, None, base()
    one_base = {id(p) for p in held.parameters()}
    for i, method in enumerate(("lora", "ia3", "houlsby", "dora")):
        one = adapted(method)
        fill({f"{i}{k}": p for k, p in one.heads["default"].items()}, ["weight"] if i % 2 else [])
        right[method] = logits(one)
        one.save_pretrained(tmp_path / method)
        if model is None:
            model = PeftModel.from_pretrained(held, tmp_path / method, method)
        else:
            model.load_adapter(tmp_path / method, method)
    assert model.active_adapter == "lora"
    own = {id(p) for method in right for p in model.trained(method).values()}
    assert {id(p) for p in model.parameters()} == one_base | own  # the base is there once
    for method, answer in right.items():
        model.set_adapter(method)
        np.testing.assert_allclose(logits(model), answer, atol=1e-12)
    mixed = model(IDS, attention_mask=MASK, adapter_names=["houlsby", "lora"]).logits.detach().numpy()
    np.testing.assert_allclose(mixed, np.stack([right["houlsby"][0], right["lora"][1]]), atol=1e-12)
    model.set_adapter("ia3")
    model.delete_adapter("lora")
    np.testing.assert_allclose(logits(model), right["ia3"], atol=1e-12)
    with pytest.raises(BadInput, match="is active"):
        model.delete_adapter("ia3")


def test_nothing_is_left_of_a_deleted_adalora():
    model = get_peft_model(base(), CONFIGS["adalora"]())
    model.add_adapter("other", LoraConfig(r=2))
    model.set_adapter("other")
    model.delete_adapter("default")
    assert model.allocators == {}
    model.add_adapter("default", LoraConfig(r=2))  # the name is free, and nothing of AdaLoRA comes back with it
    model.set_adapter("default")
    assert model.regularization() == 0.0


def test_the_optimiser_knows_what_is_trained_alone():
    model = get_peft_model(base(), LoraConfig(r=2))
    model(IDS, attention_mask=MASK, labels=tensor([0, 1])).loss.backward()
    assert {n for n, p in model.named_parameters() if p.grad is not None} == {
        n for n, p in model.named_parameters() if p.requires_grad
    }


@pytest.mark.parametrize("config", [LoraConfig(r=2, layers_to_transform=[1]), BottleneckConfig(leave_out=[0])])
def test_layers_below_the_first_adapter_need_no_gradient(config):
    """Backward ends where nothing below learns; with adapters everywhere that is at the embeddings."""
    model = get_peft_model(base(), config)
    states = model.train()(IDS, attention_mask=MASK, output_hidden_states=True).hidden_states
    assert [state.requires_grad for state in states] == [False, False, True]
    everywhere = get_peft_model(base(), LoraConfig(r=2)).train()
    assert [s.requires_grad for s in everywhere(IDS, output_hidden_states=True).hidden_states] == [False, True, True]


@pytest.mark.parametrize("kind", [BertForTokenClassification, BertForMaskedLM])
@pytest.mark.parametrize("method", ["prompt, [CLS] pooled", "prefix", "lora"])
def test_other_heads_answer_for_the_text_alone(kind, method):
    """Virtual tokens have no rows in the answer, also where the last layer is computed at masked words alone."""
    model = adapted(method, kind)
    assert model(IDS, attention_mask=MASK).logits.shape[:2] == (2, 5)
    if kind is BertForMaskedLM:
        labels = tensor([[-100, 3, -100, -100, -100], [-100, -100, 8, -100, -100]])
        whole = model(IDS, attention_mask=MASK, labels=labels).loss.item()
        assert model(IDS, attention_mask=MASK, labels=labels, masked_only=True).loss.item() == pytest.approx(whole, abs=1e-12)


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(st.data())
def test_adalora_ends_at_the_budget_it_was_given(data):
    """At every step as many triplets are left as the budget says, whatever the sizes and the phases."""
    target = data.draw(st.integers(1, 4), "target_r")
    first = data.draw(st.integers(target, 6), "init_r")
    tinit, tfinal, between = (data.draw(st.integers(least, 6), name) for name, least in (("tinit", 0), ("tfinal", 0), ("T", 1)))
    total = tinit + tfinal + between
    minitorch.manual_seed(data.draw(st.integers(0, 99), "seed"))
    every = data.draw(st.integers(1, 4), "deltaT")
    options = {"tinit": tinit, "tfinal": tfinal, "total_step": total, "deltaT": every, "lora_alpha": 4}
    config = AdaLoraConfig(init_r=first, target_r=target, **options)
    linears = {str(i): nn.Linear(7, 6) for i in range(data.draw(st.integers(1, 4), "layers"))}
    allocator = RankAllocator({name: Triplets(linear, first, config) for name, linear in linears.items()}, config)
    optimizer = optim.AdamW([p for t in allocator.triplets.values() for p in t.parameters()], lr=0.05, weight_decay=0.0)
    for step in range(1, total + 1):
        optimizer.zero_grad()
        x = minitorch.randn(5, 7)
        minitorch.stack([(allocator.triplets[name](linears[name], x) ** 2).mean() for name in linears]).sum().backward()
        optimizer.step()
        allocator.update(step)
        left = sum(int(np.count_nonzero(t.lora_E.detach().numpy())) for t in allocator.triplets.values())
        assert left == allocator.budget(step) or step % every
    assert left == target * len(linears)


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: get_peft_model(base(), LoraConfig(target_modules=["q_proj"])), "no layer is called q_proj; there are"),
        (lambda: get_peft_model(base(), LoraConfig(r=9)), "a rank of 9 is larger than its own"),
        (lambda: get_peft_model(base(), LoraConfig(layers_to_transform=[7])), r"chooses no layer; their numbers are 0, 1"),
        (lambda: get_peft_model(base(), LoraConfig(target_modules="query", layers_to_transform=[0])), "needs a list of names"),
        (lambda: get_peft_model(base(), LoraConfig(target_modules="(")), "is no regular expression"),
        (lambda: LoraConfig(bias="some"), 'there are "none", "all" and "lora_only"'),
        (lambda: LoraConfig(init_lora_weights="pissa"), "init_lora_weights is 'pissa'; there are True, False, 'gaussian'"),
        (lambda: LoraConfig(use_dora=True, lora_bias=True), "exclude each other"),
        (lambda: get_peft_model(base(), LoraConfig(trainable_token_indices=[20])), "resize_token_embeddings makes room"),
        (lambda: get_peft_model(base(BertForMaskedLM), LoraConfig(trainable_token_indices=[3])), "the head computes with"),
        (lambda: LoraConfig(r=0), "the rank r must be a whole number of at least 1"),
        (lambda: AdaLoraConfig(init_r=2, target_r=3), "target_r ≤ init_r"),
        (lambda: get_peft_model(base(), AdaLoraConfig()), "AdaLoRA needs total_step"),
        (lambda: PromptTuningConfig(num_virtual_tokens=0), "at least 1"),
        (lambda: BottleneckConfig(style="adapter"), "there are houlsby and pfeiffer"),
        (lambda: get_peft_model(base(BertModel), PromptTuningConfig()), "need a model with a head"),
        (lambda: get_peft_model(adapted("lora"), LoraConfig()), "has adapters already"),
        (lambda: adapted("lora").set_adapter("other"), "there is no adapter 'other'; there are default"),
        (lambda: adapted("prompt")(IDS, adapter_names=["default"] * 2), "cannot differ within a batch"),
    ],
)
def test_mistakes_are_named(make, says):
    with pytest.raises(BadInput, match=says):
        make()


def test_broken_folders_are_named(tmp_path):
    with pytest.raises(BadInput, match=r"no adapter_config\.json here"):
        PeftModel.from_pretrained(base(), tmp_path)
    adapted("lora").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())

    def with_config(**changes):
        (tmp_path / "adapter_config.json").write_text(json.dumps({**config, **changes}))
        return PeftModel.from_pretrained(base(), tmp_path)

    with contextlib.suppress(BadInput):
        with_config()
    for changes, says in (
        ({"peft_type": "LOHA"}, "peft_type is 'LOHA'; there are"),
        ({"layer_replication": [[0, 1]]}, "no support for layer_replication"),
        ({"target_modules": ["query", "key"]}, "has no .*key.lora_A"),
        ({"target_modules": ["query"]}, "which this model has no place for"),
        ({"r": 3}, "this model needs"),
        ({"r": "many"}, "r must be of type int, not many"),
        ({"target_modules": ["query", 3]}, "target_modules must be of type"),
        ({"rank_pattern": {"query": "two"}}, "rank_pattern must be of type"),
        ({"rank_pattern": {"query": 0}}, "the rank must be at least 1, not 0"),
        ({"alpha_pattern": {"(": 2}}, "is no regular expression"),
        ({"modules_to_save": [[1]]}, "modules_to_save must be of type"),
        ({"lora_dropout": 2}, "lora_dropout must be at least 0 and less than 1"),
    ):
        with pytest.raises(BadInput, match=says):
            with_config(**changes)
    for text in ("", "[]", "{", '{"peft_type": 3}', "[" * 100_000):
        (tmp_path / "adapter_config.json").write_text(text)
        with pytest.raises(BadInput, match="adapter_config"):
            PeftModel.from_pretrained(base(), tmp_path)


def test_names_choose_layers_as_in_peft():
    """A name matches the whole path or its end after a dot; "all-linear" takes the pooler and leaves the head."""
    model = base()
    assert len(matching(model, ["dense"])) == 2 * 3 + 1
    assert len(matching(model, ["output.dense"])) == 2 * 2
    assert len(matching(model, "all-linear")) == 2 * 6 + 1
    assert len(matching(model, "all-linear", exclude=["pooler.dense"])) == 2 * 6
    assert len(matching(model, ["dense"], exclude=r".*\.layer\.1\..*")) == 3 + 1
    found = {"bert.encoder.layer.1.attention.self.query"}
    for options in ({}, {"layers_pattern": "layer"}, {"layers_pattern": ["h", "layer"]}):
        config = LoraConfig(target_modules=["query"], layers_to_transform=1, **options)
        assert set(config.chosen(model)) == found
    assert LoraConfig(target_modules=["query", "dense"], modules_to_save=["pooler", "layer.0"]).chosen(model) == [
        "bert.encoder.layer.1.attention.self.query", "bert.encoder.layer.1.attention.output.dense",
        "bert.encoder.layer.1.intermediate.dense", "bert.encoder.layer.1.output.dense",
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- PEFT itself


def theirs(folder):
    """The same base in PyTorch."""
    transformers = pytest.importorskip("transformers")
    base().float().save_pretrained(folder)
    return transformers.BertForSequenceClassification.from_pretrained(folder).double().eval()


PEFTS = {  # method: PEFT's config, whose fields are ours
    "lora": ("LoraConfig", {"r": 2, "lora_alpha": 4}),
    "rslora": ("LoraConfig", {"r": 2, "lora_alpha": 4, "use_rslora": True}),
    "dora": ("LoraConfig", {"r": 2, "lora_alpha": 4, "use_dora": True}),
    "all linear": ("LoraConfig", {"r": 2, "lora_alpha": 4, "target_modules": "all-linear"}),
    "all biases": ("LoraConfig", {"r": 2, "lora_alpha": 4, "bias": "all"}),
    "their biases": ("LoraConfig", {"r": 2, "lora_alpha": 4, "bias": "lora_only", "lora_bias": True}),
    "words": ("LoraConfig", {"r": 2, "lora_alpha": 4, "trainable_token_indices": [3, 7]}),
    "patterns": ("LoraConfig", {"r": 2, "rank_pattern": {"value": 3}, "alpha_pattern": {r"layer\.1\..*query": 9}}),
    "one layer": (
        "LoraConfig",
        {"r": 2, "target_modules": ["query", "dense"], "layers_to_transform": [1], "exclude_modules": ["attention.output.dense"]},
    ),
    "adalora": ("AdaLoraConfig", {"init_r": 2, "target_r": 1, "lora_alpha": 4, "total_step": 10}),
    "ia3": ("IA3Config", {}),
    "ia3, keys alone": ("IA3Config", {"target_modules": ["key"], "feedforward_modules": []}),
    "prompt": ("PromptTuningConfig", {"num_virtual_tokens": 3}),
    "p-tuning": ("PromptEncoderConfig", {"num_virtual_tokens": 3, "encoder_hidden_size": 5}),
}


@pytest.mark.parametrize("method", PEFTS)
def test_folders_pass_both_ways(method, tmp_path):
    """Ours in PEFT: the same logits, loss and gradients; PEFT's own, with other weights, here."""
    peft, torch = pytest.importorskip("peft"), pytest.importorskip("torch")
    ids, mask, labels = (torch.tensor(t.tolist()) for t in (IDS, MASK, tensor([0, 1])))
    kind, options = PEFTS[method]
    more = {"pool": "first"} if method in ("prompt", "p-tuning") else {}
    ours = get_peft_model(base(), globals()[kind](**options, **more))
    fill(ours.own["default"], ["ia3_l", "magnitude_vector"])
    fill(ours.heads["default"])
    ours.save_pretrained(tmp_path / "ours")
    trainable = method not in ("prompt", "p-tuning")  # PEFT goes on with none of these
    other = (
        peft.PeftModel.from_pretrained(theirs(tmp_path / "base"), str(tmp_path / "ours"), is_trainable=trainable).double().eval()
    )
    found = other(ids, attention_mask=mask, labels=labels)
    np.testing.assert_allclose(found.logits.detach().numpy(), logits(ours), atol=1e-6)
    if trainable:
        found.loss.backward()
        ours(IDS, attention_mask=MASK, labels=tensor([0, 1])).loss.backward()
        mine = sorted(p.grad.numpy().ravel().round(6).tolist() for p in ours.own["default"].values())
        right = sorted(
            p.grad.numpy().ravel().round(6).tolist()
            for n, p in other.named_parameters()
            if p.requires_grad and "classifier" not in n and "ranknum" not in n  # how many triplets there are
        )
        np.testing.assert_allclose(np.concatenate(mine), np.concatenate(right), atol=3e-6)
    torch.manual_seed(1)
    made = peft.get_peft_model(theirs(tmp_path / "base"), getattr(peft, kind)(task_type="SEQ_CLS", **options)).double().eval()
    with torch.no_grad():
        for n, p in made.named_parameters():
            if p.requires_grad and "ranknum" not in n:
                p += 0.1 * torch.randn_like(p)
    made.save_pretrained(str(tmp_path / "theirs"))
    read = PeftModel.from_pretrained(base(), tmp_path / "theirs")
    np.testing.assert_allclose(logits(read), made(ids, attention_mask=mask).logits.detach().numpy(), atol=1e-6)


def test_batches_whose_rows_use_different_adapters_are_pefts(tmp_path):
    """Two adapters and the base in one batch, as PEFT computes it with the same folders on one base."""
    peft, torch = pytest.importorskip("peft"), pytest.importorskip("torch")
    model = None
    for i, options in enumerate(({"r": 2}, {"r": 3, "target_modules": ["key", "output.dense"]})):
        one = get_peft_model(base(), LoraConfig(lora_alpha=4, **options))
        fill(one.own["default"])
        fill({f"{i}{name}": p for name, p in one.heads["default"].items()}, ["weight"] * i)
        one.save_pretrained(tmp_path / f"a{i}")
        if model is None:
            model = PeftModel.from_pretrained(base(), tmp_path / "a0", "a0")
        else:
            model.load_adapter(tmp_path / "a1", "a1")
    other = peft.PeftModel.from_pretrained(theirs(tmp_path / "base"), str(tmp_path / "a0"), "a0").double().eval()
    other.load_adapter(str(tmp_path / "a1"), "a1")
    other.double()
    ids, mask = (torch.tensor(t.tolist() + t.tolist()) for t in (IDS, MASK))
    for names in (["a0", "a1", "__base__", "a0"], ["a1"] * 4, ["__base__", "a1", "a1", "a0"]):
        right = other(ids, attention_mask=mask, adapter_names=names).logits.detach().numpy()
        found = model(tensor(ids.tolist()), attention_mask=tensor(mask.tolist()), adapter_names=names).logits
        np.testing.assert_allclose(found.detach().numpy(), right, atol=1e-6)
