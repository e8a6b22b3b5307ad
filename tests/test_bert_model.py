"""The model against Hugging Face's: every head, values and gradients, checkpoints in both directions."""

from __future__ import annotations

import errno
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import minitorch
from models import bert
from models.bert.config import PRESETS

from .bert_cases import FROZEN, HEADS, SMALLER, inputs, make, ours, scalar


def frozen(head, part):
    """The arrays frozen/bert.npz holds for a head."""
    with np.load(FROZEN) as file:
        return {name.removeprefix(f"{head}/{part}/"): file[name] for name in file.files if name.startswith(f"{head}/{part}/")}


def gradients_agree(model, expected):
    """To float32's rounding: of each gradient's own scale, and of all (a key's bias has none but rounding: softmax undoes it)."""
    largest = max(abs(gradient).max() for gradient in expected.values())
    for name, p in model.named_parameters():
        assert p.grad is not None, f"{name} receives no gradient"
        atol = 3e-5 * abs(expected[name]).max() + 1e-6 * largest
        np.testing.assert_allclose(p.grad.cpu().numpy(), expected[name], rtol=1e-4, atol=atol, err_msg=name)


@pytest.mark.parametrize("head", HEADS)
def test_equals_frozen_hugging_face(head, device):
    model = getattr(bert, head)(bert.BertConfig(**SMALLER))
    with np.load(FROZEN) as file:
        weights = {name.removeprefix("weights/"): file[name] for name in file.files if name.startswith("weights/")}
    weights.update(frozen(head, "weights"))
    known = {f"bert.{name}" if head == "BertModel" else name for name in model.state_dict()}
    info = model.load_weights(ours({name: value for name, value in weights.items() if name in known}), FROZEN)
    assert info["missing_keys"] == []
    model.to(device)
    arguments = {**frozen(head, "inputs"), **frozen(head, "labels")}
    output = model(**{name: minitorch.tensor(value.astype(np.int64)).to(device) for name, value in arguments.items()})
    expected = frozen(head, "outputs")
    assert list(output) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(output[name].detach().cpu().numpy(), value, rtol=1e-5, atol=1e-5, err_msg=name)
    scalar(output).backward()
    gradients = frozen(head, "gradients")
    assert set(gradients) == {name for name, _ in model.named_parameters()}
    gradients_agree(model, gradients)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "changes"),
    [
        *((head, {}) for head in HEADS),
        ("BertForPreTraining", {"tie_word_embeddings": False}),
        ("BertModel", {"hidden_act": "gelu_new"}),
    ],
)
def test_equals_hugging_face_through_a_checkpoint(head, changes, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = make(head, **changes)
    model.save_pretrained(tmp_path / "ours")
    theirs = getattr(transformers, head).from_pretrained(tmp_path / "ours", attn_implementation="eager")
    theirs.train()
    batch, labels = inputs(head, np.random.default_rng(1))
    torch_batch = {name: torch.tensor(value) for name, value in {**batch, **labels}.items()}
    expected = theirs(**torch_batch, output_hidden_states=True, output_attentions=True)
    got = model(**ours(batch), **ours(labels), output_hidden_states=True, output_attentions=True)
    assert list(got) == [name for name in expected if name != "cross_attentions"]  # which are a decoder's
    for name in got:
        several = isinstance(expected[name], tuple)
        for a, b in zip(got[name], expected[name], strict=True) if several else [(got[name], expected[name])]:
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-5, atol=2e-5, err_msg=name)

    scalar(expected).backward()
    scalar(model(**ours(batch), **ours(labels))).backward()  # the path without attention tables
    gradients = {name: p.grad.numpy() for name, p in theirs.named_parameters() if p.grad is not None}
    if changes.get("tie_word_embeddings") is False:  # theirs has two biases then, of which it uses the second
        gradients["cls.predictions.bias"] = gradients["cls.predictions.decoder.bias"]
    gradients_agree(model, gradients)

    theirs.save_pretrained(tmp_path / "theirs")  # and back
    back, info = getattr(bert, head).from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    for (name, p), q in zip(model.named_parameters(), back.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy(), err_msg=name)


@pytest.mark.parametrize(
    ("size", "plain", "pretraining", "masked"),
    [
        ("tiny", 4_385_920, 4_433_468, 4_416_698),
        ("mini", 11_170_560, 11_267_900, 11_201_594),
        pytest.param("small", 28_763_648, 29_058_876, 28_795_194, marks=pytest.mark.slow),
        pytest.param("medium", 41_373_184, 41_668_412, 41_404_730, marks=pytest.mark.slow),
        pytest.param("base", 109_482_240, 110_106_428, 109_514_298, marks=pytest.mark.slow),
    ],
)
def test_published_parameter_counts(size, plain, pretraining, masked):
    config = bert.BertConfig.preset(size)
    assert bert.BertModel(config).num_parameters() == plain
    assert bert.BertForPreTraining(config).num_parameters() == pretraining
    assert bert.BertForMaskedLM(config).num_parameters() == masked


def test_untrained_loss_is_that_of_guessing():
    minitorch.manual_seed(0)
    model = bert.BertForPreTraining(bert.BertConfig.preset("tiny"))
    model.eval()
    ids = minitorch.randint(0, 30522, (8, 32))
    output = model(ids, labels=ids, next_sentence_label=minitorch.zeros(8, dtype=minitorch.int64))
    assert abs(output.mlm_loss.item() - np.log(30522)) < 0.05
    assert abs(output.nsp_loss.item() - np.log(2)) < 0.05


@pytest.mark.parametrize("head", ["BertModel", "BertForTokenClassification", "BertForMaskedLM"])
def test_padding_length_changes_nothing(head):
    model = make(head).eval()
    ids = np.random.default_rng(0).integers(1, 99, (2, 7))
    mask = np.ones_like(ids)

    def first_seven(extra):
        padded = ours({"input_ids": np.pad(ids, ((0, 0), (0, extra))), "attention_mask": np.pad(mask, ((0, 0), (0, extra)))})
        output = model(**padded)
        return (output.last_hidden_state if head == "BertModel" else output.logits)[:, :7].detach().numpy()

    for extra in (1, 9):
        np.testing.assert_allclose(first_seven(extra), first_seven(0), atol=2e-6)


def test_a_fully_masked_row_gives_no_nan():
    model = make("BertModel")
    batch = ours({"input_ids": np.ones((2, 5), np.int64), "attention_mask": np.array([[1] * 5, [0] * 5])})
    for wants in (False, True):
        output = model(**batch, output_attentions=wants)
        output.last_hidden_state.sum().backward()
        assert np.isfinite(output.last_hidden_state.detach().numpy()).all()
        if wants:
            assert (output.attentions[0][1].array == np.float32(1 / 5)).all()  # uniform
        assert all(np.isfinite(p.grad.numpy()).all() for p in model.parameters() if p.grad is not None)


def test_attention_mask_of_three_dimensions_hides_the_future():
    model = make("BertModel").eval()
    ids = np.random.default_rng(0).integers(1, 99, (1, 6))
    causal = minitorch.tensor(np.tril(np.ones((1, 6, 6), np.int64)))
    before = model(minitorch.tensor(ids), causal).last_hidden_state.detach().numpy()
    ids[0, 5] = 3
    after = model(minitorch.tensor(ids), causal).last_hidden_state.detach().numpy()
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert abs(before[:, 5] - after[:, 5]).max() > 1e-3


def test_attention_mask_of_four_dimensions():
    """(B, 1, from, to) and (B, A, from, to): truth values and integers as in (B, from, to), floats are added to the scores."""
    rng = np.random.default_rng(0)
    model = make("BertModel").eval()
    ids = minitorch.tensor(rng.integers(1, 99, (2, 6)))
    look = np.tril(np.ones((2, 6, 6), np.int64))
    expected = model(ids, minitorch.tensor(look)).last_hidden_state.detach().numpy()
    added = np.where(look == 1, 0.0, -1e9).astype(np.float32)[:, None]
    for mask in (look[:, None], look[:, None] == 1, np.repeat(look[:, None], 4, 1), added, np.repeat(added, 4, 1)):
        got = model(ids, minitorch.tensor(mask)).last_hidden_state.detach().numpy()
        np.testing.assert_allclose(got, expected, atol=1e-6)
    nothing_added = model(ids, minitorch.zeros(2, 1, 6, 6)).last_hidden_state.detach().numpy()
    np.testing.assert_allclose(nothing_added, model(ids).last_hidden_state.detach().numpy(), atol=1e-6)
    slope = minitorch.tensor(rng.normal(size=(2, 4, 6, 6)).astype(np.float32))
    tables = model(ids, slope, output_attentions=True)
    np.testing.assert_allclose(
        tables.last_hidden_state.detach().numpy(), model(ids, slope).last_hidden_state.detach().numpy(), atol=1e-5
    )
    with pytest.raises(ValueError, match="attention_mask must be"):
        model(ids, minitorch.ones(6))


def test_positions_and_embeddings_can_be_given(device):
    model = make("BertModel").eval().to(device)
    ids = minitorch.tensor(np.random.default_rng(0).integers(1, 99, (2, 6))).to(device)
    plain = model(ids).last_hidden_state
    positions = minitorch.arange(6).reshape(1, 6).to(device)
    vectors = model.embeddings.word_embeddings(ids)
    for other in (model(ids, position_ids=positions), model(inputs_embeds=vectors)):
        np.testing.assert_allclose(other.last_hidden_state.detach().cpu().numpy(), plain.detach().cpu().numpy(), atol=1e-6)
    choice = make("BertForMultipleChoice").eval().to(device)
    a = choice(ids.reshape(1, 2, 6)).logits
    b = choice(inputs_embeds=choice.bert.embeddings.word_embeddings(ids).reshape(1, 2, 6, -1)).logits
    np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().cpu().numpy(), atol=1e-6)


def test_dropout_acts_in_training_alone():
    model = make("BertModel", hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    ids = minitorch.ones(2, 5, dtype=minitorch.int64)
    assert (model(ids).last_hidden_state.array != model(ids).last_hidden_state.array).any()
    model.eval()
    assert (model(ids).last_hidden_state.array == model(ids).last_hidden_state.array).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "labels"), [("regression", [0.5, 2.0]), ("multi_label_classification", [[1.0, 0, 1], [0, 1, 0]])]
)
def test_other_problem_types_equal_hugging_face(kind, labels, tmp_path):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    model = make("BertForSequenceClassification", num_labels=1 if kind == "regression" else 3, problem_type=kind)
    model.save_pretrained(tmp_path)
    theirs = transformers.BertForSequenceClassification.from_pretrained(tmp_path)
    ids = np.random.default_rng(0).integers(1, 99, (2, 6))
    expected = theirs(torch.tensor(ids), labels=torch.tensor(labels))
    got = model(minitorch.tensor(ids), labels=minitorch.tensor(labels))
    np.testing.assert_allclose(got.loss.item(), expected.loss.item(), rtol=1e-5)


def test_outputs_by_name_position_and_as_tuple():
    model = make("BertForSequenceClassification")
    ids = minitorch.ones(2, 5, dtype=minitorch.int64)
    output = model(ids, labels=minitorch.tensor([0, 2]))
    assert output.loss is output["loss"] is output[0] is output.to_tuple()[0]
    assert output.logits is output[1]
    assert output.hidden_states is None
    assert "hidden_states" not in output
    assert isinstance(model(ids, return_dict=False), tuple)
    assert list(output) == ["loss", "logits"]
    assert dict(output) == {"loss": output.loss, "logits": output.logits}
    with pytest.raises(AttributeError, match="this output has no 'logit', it has loss, logits"):
        output.logit  # noqa: B018
    lazy = make("BertForMaskedLM")(ids)
    assert [type(value) for value in lazy.values()] == [minitorch.Tensor]


# ------------------------------------------------------------------------------------------------------- loading


def test_bare_and_prefixed_names_and_old_layer_norm_names(tmp_path):
    model = make("BertForMaskedLM")
    state = {name: value for name, value in model.state_dict().items() if "decoder" not in name}
    model.save_pretrained(tmp_path)
    old = {
        name.removeprefix("bert.").replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
        for name, v in state.items()
    }
    old["embeddings.position_ids"] = minitorch.arange(24).reshape(1, 24)
    minitorch.save(old, tmp_path / "model.safetensors")
    back, info = bert.BertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(back.state_dict()[name].numpy(), value.numpy(), err_msg=name)
    with pytest.warns(UserWarning, match="start at random: pooler"):
        _, info = bert.BertModel.from_pretrained(tmp_path, output_loading_info=True)
    assert info == {"missing_keys": ["pooler.dense.weight", "pooler.dense.bias"], "unexpected_keys": [], "mismatched_keys": []}


def test_sharded_checkpoints(tmp_path):
    model = make("BertModel")
    model.save_pretrained(tmp_path)
    names = list(model.state_dict())
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        minitorch.save({name: model.state_dict()[name] for name in part}, tmp_path / file)
    (tmp_path / "model.safetensors").unlink()
    index = {"weight_map": {name: file for file, part in halves.items() for name in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    back = bert.BertModel.from_pretrained(tmp_path)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(back.state_dict()[name].numpy(), value.numpy())
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"names b\.safetensors, which is not here"):
        bert.BertModel.from_pretrained(tmp_path)


def test_shards_are_written_read_and_replace_a_single_file(tmp_path):
    model = make("BertForMaskedLM")
    model.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path, max_shard_size=20_000)
    assert not (tmp_path / "model.safetensors").exists()
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) == len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert index["metadata"]["total_size"] == 4 * model.num_parameters()
    same_weights(model, bert.BertForMaskedLM.from_pretrained(tmp_path))
    make("BertForMaskedLM", seed=1).save_pretrained(tmp_path)  # and back to one file
    same_weights(make("BertForMaskedLM", seed=1), bert.BertForMaskedLM.from_pretrained(tmp_path))


def same_weights(model, other):
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].numpy(), value.numpy(), err_msg=name)


@pytest.mark.parametrize("tied", [True, False])
def test_tied_weights_are_one_tensor_and_untied_ones_two(tied, tmp_path):
    model = make("BertForPreTraining", tie_word_embeddings=tied)
    predictions, words = model.cls.predictions, model.bert.embeddings.word_embeddings
    assert (predictions.decoder.weight is words.weight) == tied
    model.save_pretrained(tmp_path)
    stored = minitorch.load(tmp_path / "model.safetensors")
    assert ("cls.predictions.decoder.weight" in stored) == ("cls.predictions.decoder.bias" in stored) == (not tied)
    same_weights(model, bert.BertForPreTraining.from_pretrained(tmp_path))
    stored["cls.predictions.decoder.bias"] = stored.pop("cls.predictions.bias")  # some files hold the other of the two names
    minitorch.save(stored, tmp_path / "model.safetensors")
    back = bert.BertForPreTraining.from_pretrained(tmp_path)
    same_weights(model, back)
    assert back.cls.predictions.bias is back.cls.predictions.decoder.bias


def test_training_never_computes_the_logits_that_nobody_reads():
    model = make("BertForMaskedLM")
    rows = []
    model.cls.predictions.transform.register_forward_hook(lambda _, inputs, output: rows.append(output.shape[0]))
    batch, labels = inputs("BertForMaskedLM", np.random.default_rng(0))
    output = model(**ours(batch), **ours(labels))
    output.loss.backward()
    assert rows == [(labels["labels"] != -100).sum()]
    assert output.logits.shape == (3, 9, 99)  # there when asked for, equal where both are
    at = minitorch.tensor((labels["labels"].reshape(-1) != -100).nonzero()[0])
    masked = output.logits.reshape(-1, 99)[at]
    np.testing.assert_allclose(masked.detach().numpy(), output.masked_logits.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", [bert.BertForMaskedLM, bert.BertForPreTraining])
@pytest.mark.parametrize("padded", [False, True])
def test_the_last_layer_at_the_masked_words_alone_gives_the_same_loss_and_gradients(kind, padded):
    minitorch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}
    model = kind(bert.BertConfig(**sizes)).double().eval()
    ids = minitorch.randint(5, 50, (4, 9))
    labels = minitorch.where(minitorch.rand(4, 9) < 0.3, ids, -100)
    labels[2] = -100  # a sequence without a masked word
    batch = {"input_ids": ids, "labels": labels}
    if padded:
        lengths = minitorch.tensor([9, 6, 3, 7])
        batch["attention_mask"] = (minitorch.arange(9)[None, :] < lengths[:, None]).long()
    if kind is bert.BertForPreTraining:
        batch["next_sentence_label"] = minitorch.tensor([0, 1, 1, 0])
    found = []
    for masked_only in (False, True):
        output = model(**batch, masked_only=masked_only)
        model.zero_grad()
        output.loss.backward()
        found.append([output.loss.detach(), output.masked_logits.detach(), *(p.grad for p in model.parameters())])
    assert "logits" not in output
    assert "prediction_logits" not in output
    for name, a, b in zip(["loss", "logits", *dict(model.named_parameters())], *found, strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", ["BertForSequenceClassification", "BertForNextSentencePrediction", "BertForMultipleChoice"])
@pytest.mark.parametrize("padded", [False, True])
def test_the_last_layer_at_cls_alone_gives_the_same_loss_and_gradients(kind, padded):
    model = make(kind).double().eval()
    batch, labels = inputs(kind, np.random.default_rng(0))
    ids = batch["input_ids"]
    batch["attention_mask"] = np.ones_like(ids)
    batch["attention_mask"][..., -3:] = not padded
    rows = minitorch.zeros(ids.size // ids.shape[-1], 1, dtype=minitorch.int64)
    found = []
    for options in ({}, {"rows": rows}):
        output = model(**ours(batch), **ours(labels), **options)
        model.zero_grad()
        output.loss.backward()
        found.append([output.loss.detach(), output.logits.detach(), *(p.grad for p in model.parameters())])
    for name, a, b in zip(["loss", "logits", *dict(model.named_parameters())], *found, strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


def test_missing_head_weights_are_reported_and_start_afresh(tmp_path):
    make("BertModel").save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"2 weights of BertForSequenceClassification .* start at random: classifier.weight"):
        _, info = bert.BertForSequenceClassification.from_pretrained(tmp_path, num_labels=5, output_loading_info=True)
    assert info["missing_keys"] == ["classifier.weight", "classifier.bias"]


def test_unknown_configuration_keys_survive(tmp_path):
    model = make("BertModel", my_own_key={"a": 1})
    model.save_pretrained(tmp_path)
    assert bert.BertModel.from_pretrained(tmp_path).config.my_own_key == {"a": 1}
    with pytest.raises(AttributeError, match="BertConfig has no 'your_key'"):
        model.config.your_key  # noqa: B018


def test_google_s_own_configuration_file(tmp_path):
    values = {"vocab_size": 99, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    (tmp_path / "bert_config.json").write_text(json.dumps(values))
    config = bert.BertConfig.from_json_file(tmp_path / "bert_config.json")
    assert (config.layer_norm_eps, config.pad_token_id, config.num_labels) == (1e-12, 0, 2)
    assert config.to_dict() == bert.BertConfig(**config.to_dict()).to_dict()
    assert bert.BertConfig(num_labels=4, label2id={"x": 0}).label2id == {f"LABEL_{i}": i for i in range(4)}


def test_fewer_layers_than_the_file_has_is_said_and_more_is_refused(tmp_path):
    make("BertModel").save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"no use for 16 weights of this checkpoint: encoder\.layer\.1\."):
        _, info = bert.BertModel.from_pretrained(tmp_path, num_hidden_layers=1, output_loading_info=True)
    assert len(info["unexpected_keys"]) == 16
    with pytest.raises(ValueError, match=r"16 weights of the encoder are missing, such as encoder\.layer\.2\."):
        bert.BertModel.from_pretrained(tmp_path, num_hidden_layers=3)
    with pytest.warns(UserWarning, match="16 weights of BertModel .* start at random"):
        bert.BertModel.from_pretrained(tmp_path, num_hidden_layers=3, ignore_mismatched_sizes=True)


def test_mismatched_sizes_start_afresh_on_request(tmp_path):
    make("BertForSequenceClassification").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"classifier.weight is \(3, 32\) in the file, \(5, 32\) here"):
        bert.BertForSequenceClassification.from_pretrained(tmp_path, num_labels=5)
    with pytest.warns(UserWarning, match="2 weights .* start at random: classifier.weight, classifier.bias"):
        model, info = bert.BertForSequenceClassification.from_pretrained(
            tmp_path, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True
        )
    assert info["mismatched_keys"] == ["classifier.weight", "classifier.bias"]
    assert not model.training


def test_a_name_on_the_hub_is_downloaded_if_the_library_is_there(tmp_path, monkeypatch):
    make("BertModel").save_pretrained(tmp_path)
    asked = []

    def snapshot_download(name, allow_patterns):
        asked.append(name)
        if name.startswith("no/"):
            raise ConnectionError("no route\nto anywhere")
        return str(tmp_path)

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=snapshot_download))
    same_weights(make("BertModel"), bert.BertModel.from_pretrained("some-org/some-name"))
    with pytest.raises(FileNotFoundError, match=r"no/where: no such folder, and the download failed: ConnectionError: no route$"):
        bert.BertModel.from_pretrained("no/where")
    with pytest.raises(FileNotFoundError, match=r"absent: no such folder$"):  # its parent is here: not a name on the hub
        bert.BertModel.from_pretrained(tmp_path / "absent")
    monkeypatch.chdir(tmp_path)
    for own in ("runs/pretrain", "runs/mine", Path("runs/pretrain")):  # where our own checkpoints are; there may be a user "runs"
        with pytest.raises(FileNotFoundError, match=f"{own}: no such folder"):
            bert.BertModel.from_pretrained(own)
    assert asked == ["some-org/some-name", "no/where"]
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match="to download a model of that name: pip install huggingface_hub"):
        bert.BertModel.from_pretrained("some-org/some-name")


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    make("BertModel").save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("minitorch.serialization._write", full)
    with pytest.raises(OSError, match=r"model\.safetensors .*No space left on device.*the old file there is untouched"):
        make("BertModel", seed=1).save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def break_config(folder, **changes):
    content = {**json.loads((folder / "config.json").read_text()), **changes}
    (folder / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "error", "text"),
    [
        (lambda f: (f / "config.json").unlink(), FileNotFoundError, "no config.json here"),
        (lambda f: (f / "config.json").write_text("{"), ValueError, r"config\.json: not a JSON file"),
        (lambda f: break_config(f, model_type="gpt2"), ValueError, 'model_type is "gpt2"'),
        (lambda f: break_config(f, num_attention_heads=5), ValueError, "must be a multiple of num_attention_heads 5"),
        (lambda f: break_config(f, vocab_size=50), ValueError, r"\(99, 32\) in the file, \(50, 32\) here; is config.json"),
        (lambda f: (f / "model.safetensors").unlink(), FileNotFoundError, "no model.safetensors here"),
        (lambda f: truncate(f / "model.safetensors"), ValueError, "truncated"),
        (lambda f: only_pickle(f), ValueError, "a pickle, which can run any code and is never read"),
        (lambda f: break_config(f, num_attention_heads=0), ValueError, "num_attention_heads must be a whole number"),
        (lambda f: break_config(f, hidden_size="32"), ValueError, "hidden_size must be a whole number of at least 1, not '32'"),
        (lambda f: break_config(f, hidden_dropout_prob=2), ValueError, "hidden_dropout_prob must be a number from 0 to 1, not 2"),
        (lambda f: break_config(f, hidden_act="mish"), ValueError, 'hidden_act "mish" is unknown; there are gelu'),
        (lambda f: break_config(f, is_decoder=True), ValueError, "this BERT is an encoder"),
        (lambda f: break_config(f, pruned_heads={"0": [1]}), ValueError, r"query.weight is .* in the file, .* here"),
        (lambda f: break_config(f, pruned_heads={"0": [9]}), ValueError, "names head 9 of layer 0; there are heads 0 to"),
        (lambda f: (f / "config.json").write_text("[]"), ValueError, "a configuration is a JSON object .* this holds list"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), ValueError, r"model\.safetensors is empty"),
        (lambda f: minitorch.save({"x": minitorch.ones(2)}, f / "model.safetensors"), ValueError, "none of its 1 weights"),
        (lambda f: minitorch.save({"x": {"y": 1}}, f / "model.safetensors"), ValueError, r"model\.safetensors: not .* weights"),
        (lambda f: only_index(f, "{}"), ValueError, r"index\.json: not an index of weights"),
        (lambda f: break_config(f, position_embedding_type="relative_key"), ValueError, "relative_key"),
    ],
)
def test_damaged_checkpoints_say_what_is_wrong(damage, error, text, tmp_path):
    make("BertModel").save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(error, match=text) as raised:
        bert.BertModel.from_pretrained(tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def only_index(folder, text):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(text)


def only_pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def test_ids_and_lengths_that_do_not_fit():
    model = make("BertModel")
    with pytest.raises(ValueError, match=r"input_ids\[1, 2\] is 99, but the vocabulary has 99 entries"):
        model(minitorch.tensor([[1, 2, 3], [4, 5, 99]]))
    with pytest.raises(ValueError, match="a sequence of 25 tokens is longer than the 24 positions"):
        model(minitorch.ones(1, 25, dtype=minitorch.int64))
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        model()


def test_presets_are_the_published_shapes():
    assert {n: (c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.intermediate_size) for n in PRESETS
            if (c := bert.BertConfig.preset(n))} == {
        "tiny": (2, 128, 2, 512), "mini": (4, 256, 4, 1024), "small": (4, 512, 8, 2048),
        "medium": (8, 512, 8, 2048), "base": (12, 768, 12, 3072),
    }  # fmt: skip
