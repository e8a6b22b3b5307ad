"""GPT-2 against Hugging Face's: values, gradients, the cache, padding, checkpoints in both directions."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minitorch
from models import gpt

from .gpt_cases import PLAIN, SIZES, by_formula, make, theirs
from .test_bert_model import gradients_agree

TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def ids_of(model, shape, seed=0):
    """Random ids that the model knows."""
    return np.random.default_rng(seed).integers(1, model.config.vocab_size, shape)


def test_equals_numbers_that_were_computed_elsewhere(device):
    ids = minitorch.tensor([[1, 2, 3, 4]]).to(device)
    output = by_formula().to(device)(ids, labels=ids)
    expected = [-1.313389, -0.000156, 1.313147, 2.037020, 1.846540, 0.827206]
    np.testing.assert_allclose(output.logits[0, -1, :6].detach().cpu().numpy(), expected, atol=1e-5)
    assert output.loss.item() == pytest.approx(2.002759, abs=1e-5)


def test_padding_in_front_gives_no_nan_in_float64():
    """The mask's lowest number has to be one of the model's own dtype: float64's is infinite in float32."""
    model, ids = by_formula().double(), minitorch.tensor([[0, 0, 1, 2]])
    logits = model(ids, attention_mask=minitorch.tensor([[0, 0, 1, 1]])).logits.detach().numpy()
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits[:, 2:], model(ids[:, 2:]).logits.detach().numpy())


@pytest.mark.parametrize("size", SIZES)
def test_equals_hugging_face_through_a_checkpoint(size, tmp_path):
    pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = make(size)
    reference = theirs(model, tmp_path / "ours")
    ids = ids_of(model, (3, 11))
    labels = np.where(np.random.default_rng(1).random(ids.shape) < 0.2, -100, ids)
    options = {"output_hidden_states": True, "output_attentions": True}
    expected = reference(torch.tensor(ids), labels=torch.tensor(labels), **options)
    got = model(minitorch.tensor(ids), labels=minitorch.tensor(labels), **options)
    assert list(got) == ["loss", "logits", "past_key_values", "hidden_states", "attentions"]
    for name in ("loss", "logits"):
        np.testing.assert_allclose(got[name].detach().numpy(), expected[name].detach().numpy(), rtol=2e-5, atol=2e-5)
    for name in ("hidden_states", "attentions"):
        for a, b in zip(got[name], expected[name], strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-5, atol=2e-5)

    expected.loss.backward()
    model(minitorch.tensor(ids), labels=minitorch.tensor(labels)).loss.backward()  # the path without attention tables
    gradients = {name: p.grad.numpy() for name, p in reference.named_parameters()}
    gradients_agree(model, {name: g.T if name.endswith(TRANSPOSED) else g for name, g in gradients.items()})

    reference.save_pretrained(tmp_path / "theirs")  # and back
    back, info = gpt.GPT2LMHeadModel.from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    for (name, p), q in zip(model.named_parameters(), back.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy(), err_msg=name)


def saved_as(folder, model, change):
    """A checkpoint whose tensors went through ``change``."""
    model.save_pretrained(folder)
    file = folder / "model.safetensors"
    minitorch.save(change(minitorch.load(file)), file)
    return folder


@pytest.mark.parametrize(
    "change",
    [
        lambda w: {name.removeprefix("transformer."): value for name, value in w.items()},
        lambda w: {**w, "lm_head.weight": w["transformer.wte.weight"].clone()},
        lambda w: {**w, "transformer.h.0.attn.bias": minitorch.ones(1, 1, 24, 24).bool()},
        lambda w: {**w, "transformer.h.0.attn.bias": minitorch.ones(1, 1, 24, 24).tril()},
        lambda w: {**w, "transformer.h.1.attn.masked_bias": minitorch.tensor(-1e4)},
    ],
    ids=["no prefix", "with the head", "bool mask", "float mask", "masked bias"],
)
@pytest.mark.parametrize("kind", [gpt.GPT2Model, gpt.GPT2LMHeadModel])
def test_every_form_of_a_checkpoint_loads(change, kind, tmp_path):
    model = make()
    back, info = kind.from_pretrained(saved_as(tmp_path, model, change), output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    for p, q in zip(model.parameters(), back.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_a_head_of_its_own_passes_too(tmp_path):
    model = make(tie_word_embeddings=False)
    assert model.lm_head.weight is not model.transformer.wte.weight
    model.save_pretrained(tmp_path)
    back = gpt.GPT2LMHeadModel.from_pretrained(tmp_path)
    np.testing.assert_array_equal(model.lm_head.weight.detach().numpy(), back.lm_head.weight.detach().numpy())


def test_what_a_checkpoint_lacks_or_contradicts_is_said(tmp_path):
    model = make()
    folder = saved_as(tmp_path, model, lambda w: {name: value for name, value in w.items() if "h.1.ln_2" not in name})
    with pytest.raises(ValueError, match=r"2 weights of the model are missing, such as transformer\.h\.1\.ln_2\.weight"):
        gpt.GPT2LMHeadModel.from_pretrained(folder)
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    for field, value, message in [
        ("n_layer", 3, r"says 3 layers, the weights have 2: 12 weights of the model are missing, such as h\.2\."),
        ("n_inner", 64, r"says 64 for n_inner, the weights have 128"),
        ("n_positions", 25, r"says 25 for n_positions, the weights have 24"),
        ("vocab_size", 51, r"says 51 for vocab_size, the weights have 50"),
        ("model_type", "bert", r'model_type is "bert", not "gpt2"'),
        ("n_head", 5, r"n_embd 32 must be a multiple of n_head 5"),
        ("activation_function", "mish", r'activation_function "mish" is unknown'),
        ("scale_attn_by_inverse_layer_idx", True, r"scale_attn_by_inverse_layer_idx must be false"),
        ("eos_token_id", "end", r"eos_token_id must be the number of a token"),
        ("n_layer", 10**8, r"says 100000000 layers, the weights have 2"),
    ]:
        (folder / "config.json").write_text(json.dumps({**config, field: value}))
        with pytest.raises(ValueError, match=message):
            gpt.GPT2LMHeadModel.from_pretrained(folder)


def test_sizes():
    config = gpt.GPT2Config.preset("nano", vocab_size=65)
    assert gpt.GPT2LMHeadModel(config).num_parameters() == 65 * 128 + 256 * 128 + 4 * (12 * 128**2 + 13 * 128) + 2 * 128
    assert (config.hidden_size, config.num_hidden_layers, config.max_position_embeddings) == (128, 4, 256)
    assert gpt.GPT2Config(hidden_size=64, num_attention_heads=4).n_embd == 64
    with pytest.raises(ValueError, match="no GPT of size"):
        gpt.GPT2Config.preset("huge")


@pytest.mark.slow
def test_the_published_number_of_weights():
    assert gpt.GPT2LMHeadModel(gpt.GPT2Config.preset("small")).num_parameters() == 124_439_808


def test_initial_weights():
    minitorch.manual_seed(0)
    model = gpt.GPT2LMHeadModel(gpt.GPT2Config.preset("nano", vocab_size=300, **{**PLAIN, "eos_token_id": None}))
    assert model.config.eos_token_ids == []
    deviations = {name: float(p.std().item()) for name, p in model.named_parameters() if p.ndim == 2}
    for name, deviation in deviations.items():
        expected = 0.02 / 8**0.5 if name.endswith("c_proj.weight") else 0.02
        assert deviation == pytest.approx(expected, rel=0.05), name
    assert gpt.GPT2Config(eos_token_id=[3, 4]).eos_token_ids == [3, 4]
    ids = minitorch.tensor(ids_of(model, (4, 32)))
    assert model(ids, labels=ids).loss.item() == pytest.approx(np.log(300), rel=0.02)  # that of guessing


# ------------------------------------------------------------------------------------------------ cache, padding


@pytest.mark.parametrize("size", SIZES)
def test_cached_steps_equal_one_pass(size):
    model = make(size)
    ids = minitorch.tensor(ids_of(model, (2, 12)))
    with minitorch.no_grad():
        whole = model(ids).logits.numpy()
        cache = None
        for start, end in ((0, 5), (5, 6), (6, 9), (9, 12)):
            output = model(ids[:, start:end], past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            np.testing.assert_allclose(output.logits.numpy(), whole[:, start:end], rtol=1e-5, atol=1e-5)
    assert len(cache) == cache.get_seq_length() == 12
    assert model(ids, use_cache=False).past_key_values is None


def test_gradients_flow_through_a_cache():
    model = make()
    ids = minitorch.tensor(ids_of(model, (2, 6)))
    model(ids).logits[:, 3:].sum().backward()
    expected = {name: p.grad.numpy().copy() for name, p in model.named_parameters()}
    model.zero_grad()
    past = model(ids[:, :3]).past_key_values
    model(ids[:, 3:], past_key_values=[past[i] for i in range(2)]).logits.sum().backward()
    gradients_agree(model, expected)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_gives_what_each_text_gives_alone(side):
    model = make()
    rows = [ids_of(model, n, seed=n) for n in (3, 7, 1)]
    ids, mask = np.zeros((3, 7), np.int64), np.zeros((3, 7), np.int64)
    for i, row in enumerate(rows):
        at = slice(7 - len(row), 7) if side == "left" else slice(0, len(row))
        ids[i, at], mask[i, at] = row, 1
    with minitorch.no_grad():
        output = model(minitorch.tensor(ids), attention_mask=minitorch.tensor(mask))
        for i, row in enumerate(rows):
            alone = model(minitorch.tensor(row[None]))
            np.testing.assert_allclose(output.logits.numpy()[i][mask[i] == 1], alone.logits.numpy()[0], rtol=1e-5, atol=1e-5)
        if side == "right":
            return
        new, wider = ids_of(model, (3, 1)), np.concatenate([mask, np.ones((3, 1), np.int64)], 1)
        after = model(minitorch.tensor(new), output.past_key_values, minitorch.tensor(wider)).logits.numpy()
        for i, row in enumerate(rows):
            alone = model(minitorch.tensor(np.concatenate([row, new[i]])[None])).logits.numpy()
            np.testing.assert_allclose(after[i, 0], alone[0, -1], rtol=1e-5, atol=1e-5)


def test_position_ids_and_embeddings_may_be_given():
    model = make()
    ids = minitorch.tensor(ids_of(model, (1, 4)))
    shifted = model(ids, position_ids=minitorch.tensor([[3, 4, 5, 6]])).logits.detach().numpy()
    assert abs(shifted - model(ids).logits.detach().numpy()).max() > 0.01
    embedded = model(inputs_embeds=model.transformer.wte(ids)).logits.detach().numpy()
    np.testing.assert_array_equal(embedded, model(ids).logits.detach().numpy())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(minitorch.tensor([[1, 50]])), "the vocabulary has 50 entries"),
        (lambda m: m(minitorch.zeros(1, 25).long()), "25 tokens is longer than the 24 positions of this model; truncate it"),
        (lambda m: m(minitorch.tensor([1, 2])), "input_ids must have the shape"),
        (lambda m: m(), "give either input_ids or inputs_embeds"),
        (
            lambda m: m(minitorch.tensor([[1]]), m(minitorch.tensor([[1, 2]])).past_key_values, minitorch.tensor([[1]])),
            r"attention_mask must be \(batch, tokens\) = \(1, 3\), got \(1, 1\); it also covers the 2 tokens of the cache",
        ),
    ],
)
def test_wrong_input_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call(make())
