"""Files that lie: whatever is wrong with them, a command names the file in one or two lines and returns 2."""

from __future__ import annotations

import json
import os
import shutil
import struct

import numpy as np
import pytest

import minitorch
from models import bert
from models.checkpoints import config as bert_config
from models.errors import BadInput, quoted, short
from models.reading import read_bytes, read_json, read_tensors, read_toml
from models.training.runs import STATE

from . import damage

FIRST, LAST = slice(1), slice(-1, None)  # of a folder's commands: what uses its model, what resumes its run
NESTED = {"lists": "[" * 100_000, "objects": '{"a":' * 100_000}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Where the folders of damage.py lie."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def whole(base):
    """A checkpoint, a pretraining run and a fine-tuning run: they are copied, not changed."""
    return damage.make_folders(base)


@pytest.fixture
def copy(whole, tmp_path):
    """A function: a copy of one of them."""

    def make(name):
        return shutil.copytree(whole[name], tmp_path / name)

    return make


def refused(folder, base, *says, commands=slice(None)):
    """The commands that read the folder name it, say this, and return 2."""
    for argv in damage.readers(folder, base)[commands]:
        status, out, err = damage.command(argv)
        assert status == 2, (status, out, err)
        line = err.replace("\r", "\n").strip().splitlines()[-1]
        assert str(folder) in line
        for text in says:
            assert text in line
        assert len(line) < 700


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


# ------------------------------------------------------------------------------------------------------ many files


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_three_hundred_damaged_files(whole, base, part):
    found = [fault for seed in range(30 * part, 30 * part + 30) for fault in damage.try_one(whole, base, seed)]
    assert not found, "\n\n".join(found)


def test_folders_that_are_not_damaged_are_read(copy, base):
    """So that the test above means something."""
    for name in ("bert", "pretrained", "tuned"):
        for argv in damage.readers(copy(name), base):
            status, out, err = damage.command(argv)
            assert status == 0, (argv, status, err)
            assert not damage.NO_NUMBER.search(out)


# -------------------------------------------------------------------------------------------------- configurations


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("num_hidden_layers", 10_000_000, "config.json says 10000000 layers, the weights have 1"),
        ("vocab_size", 50_000_000, "config.json says 50000000 for vocab_size, the weights have"),
        ("hidden_size", 2**20, "config.json says 1048576 for hidden_size, the weights have 16"),
        ("max_position_embeddings", 10**8, "for max_position_embeddings, the weights have 64"),
        ("type_vocab_size", 10**9, "for type_vocab_size, the weights have 2"),
        ("intermediate_size", 10**9, "for intermediate_size, the weights have 24"),
        ("num_labels", 10**9, "num_labels must be a whole number from 0 to 100,000"),
        ("vocab_size", 10**99, "vocab_size must be a whole number below 2³¹, not 1000"),
        ("vocab_size", True, "vocab_size must be a whole number of at least 1, not True"),
        ("layer_norm_eps", 1e300, "layer_norm_eps must be a number from 0 to a million"),
        ("hidden_act", ["gelu"], "hidden_act must be a text, not ['gelu']"),
        ("tie_word_embeddings", "no", "tie_word_embeddings must be true or false, not 'no'"),
        ("problem_type", "guessing", "problem_type 'guessing' is unknown"),
        ("id2label", {"0": "a", "5": "b"}, "id2label must name the labels 0, 1, 2"),
        ("id2label", ["a", "b"], "id2label must map the numbers of labels to their names"),
    ],
)
def test_a_configuration_is_compared_with_the_weights_first(field, value, says, copy, base, monkeypatch):
    folder = copy("bert")
    change(folder / "config.json", **{field: value})
    monkeypatch.setattr(bert.BertModel, "initialize", lambda self: pytest.fail("an array was made"))
    refused(folder, base, "config.json", says)


def test_sizes_that_no_machine_holds_are_refused_before_memory_is_taken(monkeypatch):
    monkeypatch.setattr(bert_config, "memory", lambda: 8 << 30)
    for field in ("vocab_size", "num_hidden_layers", "max_position_embeddings", "intermediate_size"):
        with pytest.raises(ValueError, match=rf"needs [\d,]+ GB, this machine has 8: .*{field} 50,000,000"):
            bert.BertModel(bert.BertConfig(**{field: 50_000_000}))
    assert bert_config.memory() == 8 << 30
    monkeypatch.undo()
    assert bert_config.memory() > 1 << 28


def test_a_size_that_the_caller_asks_for_is_the_callers(copy):
    folder = copy("bert")
    with pytest.raises(ValueError, match="bert: asked for 9 for vocab_size, the weights have"):
        bert.BertModel.from_pretrained(folder, vocab_size=9)


# ---------------------------------------------------------------------------------------------------- JSON and TOML


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "finetune.json", "data/text.json", "data/tokenizer.json"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (NESTED["lists"], "nested too deep"),
        (NESTED["objects"], "nested too deep"),
        ('{"vocab_size": ' + "1" * 5001 + "}", "a number with hundreds of digits"),
        ('{"hidden_dropout_prob": NaN}', "NaN is no number of JSON"),
        ('{"hidden_dropout_prob": 1e999}', "1e999 is no number of JSON"),
        ("[]", ""),
        ("", "line 1 column 1"),
    ],
)
def test_json_that_cannot_be_read(name, text, says, copy, base):
    folder = copy({"finetune.json": "tuned", "data": "pretrained"}.get(name.split("/")[0], "bert"))
    (folder / name).write_text(text)
    refused(folder, base, f"{folder / name}: ", says, commands={"tuned": FIRST, "pretrained": LAST}.get(folder.name, slice(None)))


def test_toml_that_cannot_be_read(tmp_path):
    path = tmp_path / "run.toml"
    for text, says in [
        ("lr = " + "[" * 100_000, "nested too deep"),
        ("lr = " + "{a=" * 50_000, "nested too deep"),
        (".".join(["a"] * 20_000) + " = 1", "nested too deep"),
        ("[" + ".".join(["a"] * 20_000) + "]", "nested too deep"),
        ("steps = " + "1" * 5001, "a number with thousands of digits"),
        ("steps = 0x" + "f" * 5001, "steps must be of type int, not a number with thousands of digits"),
        ("lr = nan", "lr must be of type float, not nan"),
        ("lr = inf", "lr must be of type float, not inf"),
        ('"' + "k" * 100_000 + '" = 1', "no setting is called 'kkk"),
        ("steps = ", "Invalid value (at end of document)"),
        ("#" * (1 << 18) + "\n", "larger than 256 kB"),
    ]:
        path.write_text(text)
        status, _, err = damage.command(["pretrain", "--config", path, "--output", tmp_path / "run"])
        assert (status, err.count("\n")) == (2, 1), err
        assert f"{path}: " in err
        assert says in err
        assert len(err) < 300
    path.write_text("lr = [0.1, 0.2]\nx.y = 1\n")
    assert read_toml(path) == {"lr": [0.1, 0.2], "x": {"y": 1}}


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    (tmp_path / "link.json").symlink_to(tmp_path / "link.json")
    with open(tmp_path / "large.json", "wb") as file:
        file.truncate(9 << 20)
    for name, says in [
        (tmp_path / "pipe", "a pipe without content"),
        (tmp_path, "this is a folder; give a file"),
        (tmp_path / "absent", "no such file"),
        (tmp_path / "nul\0", "cannot be read: embedded null byte"),
        ("/dev/zero", "not an ordinary file; save its content to one"),
        (tmp_path / "latin.json", "not a UTF-8 text (invalid continuation byte at byte 7)"),
        (tmp_path / "link.json", "cannot be read: Too many levels of symbolic links"),
        (tmp_path / "large.json", "larger than 8 MB"),
    ]:
        with pytest.raises(BadInput) as raised:
            read_json(name)
        assert str(raised.value).startswith(f"{name}: {says}".replace("\0", "\\x00"))


def test_a_pipe_with_content_is_read():
    receiving, sending = os.pipe()
    os.write(sending, b"abc")
    os.close(sending)
    try:
        assert read_bytes(f"/dev/fd/{receiving}") == b"abc"
    finally:
        os.close(receiving)


def test_messages_quote_little():
    assert len(short("a\nb " * 100, 20)) < 30
    assert quoted(10**5000) == "a number with thousands of digits"
    assert len(quoted("x" * 1000)) <= 80


# ---------------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("half", [False, True])
def test_weights_that_are_not_finite_are_named(value, half, copy, base):
    for name, file in (("bert", "model.safetensors"), ("tuned", "model.safetensors"), ("pretrained", STATE), ("tuned", STATE)):
        folder = copy(name)
        state = minitorch.load(folder / file)
        weights = state["model"] if file == STATE else state
        key = next(key for key in weights if "intermediate.dense.weight" in key)
        weights[key].array[0, 0] = value
        if half:
            weights[key] = weights[key].half()
        minitorch.save(state, folder / file)
        says = rf"{folder / file}: (model\.)?{key} holds NaN or infinity \(1 of [\d,]+ numbers\)"
        with pytest.raises(BadInput, match=says):
            read_tensors(folder / file)
        refused(folder, base, f"{key} holds NaN or infinity", commands=LAST if file == STATE else FIRST)
        shutil.rmtree(folder)


def test_finite_weights_whose_products_are_not(copy, base):
    folder = copy("bert")
    weights = minitorch.load(folder / "model.safetensors")
    dense = weights["bert.encoder.layer.0.output.dense.weight"].array
    dense[0, 0] = 3e38
    minitorch.save(weights, folder / "model.safetensors")
    refused(folder, base, "layer.0.output.dense.weight holds numbers beyond 1e+18 (1 of 384 numbers)")
    dense[0, 0] = 0
    for name in ("embeddings.word_embeddings", "encoder.layer.0.attention.self.query", "encoder.layer.0.attention.self.key"):
        weights[f"bert.{name}.weight"].array[:] *= 1e18
    weights["bert.embeddings.LayerNorm.weight"].array[:] *= 1e18
    minitorch.save(weights, folder / "model.safetensors")
    refused(folder, base, "damaged")


def test_weights_are_floating_point_numbers(copy, base):
    folder = copy("bert")
    weights = minitorch.load(folder / "model.safetensors")
    weights["cls.predictions.bias"] = minitorch.tensor(weights["cls.predictions.bias"].array.view(np.int32))
    minitorch.save(weights, folder / "model.safetensors")
    refused(folder, base, "model.safetensors: cls.predictions.bias is of type int32; weights are floating-point numbers")


@pytest.mark.parametrize(
    ("weight_map", "says"),
    [
        ({"a": 1}, "a must be in a file, not in 1"),
        ({"a": None}, "a must be in a file, not in None"),
        ({"a": ["x"]}, "a must be in a file, not in ['x']"),
        ({"a": "x\0"}, "a must be in a file"),
        ({"a": "../secret"}, "../secret is not a name inside the folder"),
        ({"a": "x/../../secret"}, "x/../../secret is not a name inside the folder"),
        ({"a": "..\\secret"}, "..\\secret is not a name inside the folder"),
        ({"a": "/etc/passwd"}, "/etc/passwd is not a name inside the folder"),
        ({"a": "C:\\secret"}, "C:\\secret is not a name inside the folder"),
        ({"a": "y" * 5000}, "which is not here"),
        ({"a": "model-1.safetensors"}, "says that a is in model-1.safetensors, which holds no tensor of that name"),
        ({}, "it names no weights"),
        (7, "not an index of weights"),
    ],
)
def test_an_index_names_files_in_its_folder(weight_map, says, copy, base):
    folder = copy("bert")
    (folder.parent / "secret").write_text("a secret of another")
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    refused(folder, base, "model.safetensors.index.json", says)
    assert "another" not in damage.command(damage.readers(folder, base)[0])[2]


def test_shards_may_be_links(copy, tmp_path):
    """As in the cache of huggingface_hub."""
    folder = copy("bert")
    (folder / "model.safetensors").rename(tmp_path / "blob")
    (folder / "model-1.safetensors").symlink_to(tmp_path / "blob")
    names = minitorch.load(tmp_path / "blob")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(names, "model-1.safetensors")}))
    assert damage.command(["fill-mask", "--model", folder, "the [MASK]"])[0] == 0


def test_a_header_beyond_the_formats_limit_is_not_read(tmp_path):
    path = tmp_path / "x.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 3 << 30) + b"{")
        file.truncate((3 << 30) + 100)
    with pytest.raises(ValueError, match="damaged header: 3,221,225,472 bytes, the format allows 100,000,000"):
        minitorch.load(path)


# ----------------------------------------------------------------------------------------------------------- states


def change_state(path, at, value):
    """Another value at one place of a state."""
    state = minitorch.load(path)
    holder = state
    for key in at[:-1]:
        holder = holder[key]
    holder[at[-1]] = value(holder[at[-1]]) if callable(value) else value
    minitorch.save(state, path)


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (("step",), "2", "step is '2', where this run has a int"),
        (("step",), -1, "its step is -1"),
        (("step",), 10**9, "step 1,000,000,000"),
        (("metrics",), {}, "its metrics is {}"),
        (("recent",), [[]], "recent"),
        (("settings",), [], "its settings is []"),
        (("settings",), lambda settings: {**settings, "more": 1}, "with other settings"),
        (("settings", "lr"), "fast", "lr must be of type float, not 'fast'"),
        (("settings", "batch_size"), 0, "--batch-size must be at least 1, not 0"),
        (("sha256",), 5, "its sha256 is 5"),
        (("model",), lambda model: {**model, "more": minitorch.ones(1)}, "model is a dict, where this run has a dict of"),
        (("model", "bert.embeddings.LayerNorm.bias"), minitorch.zeros(17), "is a tensor of float32 (17,), where this run has"),
        (("optimizer", "state", 0, "exp_avg"), minitorch.zeros(3), "exp_avg of parameter 0 has shape (3,) in the state"),
        (("optimizer", "state", 0, "exp_avg"), 1.0, "exp_avg of parameter 0 is a float in the state, not a tensor"),
        (("optimizer", "state", 0, "step"), "x", "step of parameter 0 is 'x' in the state; it must be a count of steps"),
        (("optimizer", "state", 0, "exp_avg"), lambda m: m + 1.1, "though gradients are clipped to 1.0"),
        (("optimizer", "state", 0, "exp_avg_sq"), lambda v: v - 0.01, "though gradients are clipped to 1.0"),
        (("optimizer", "state", 0), {"step": 1}, "the state of parameter 0 has no exp_avg, exp_avg_sq"),
        (("optimizer", "state"), [], "'state' must be a dict"),
        (("optimizer", "param_groups", 0, "betas"), (2.0, 0.5), "betas is (2.0, 0.5), the run's settings make it"),
        (("optimizer", "param_groups", 0, "lr"), 1.0, "its learning rates"),
        (("optimizer", "param_groups"), 5, "optimizer.param_groups is 5, where this run has a list of 2 items"),
        (("schedule", "base_lrs"), ["x"], "schedule.base_lrs is a list, where this run has a list of 2 items"),
        (("schedule", "last_epoch"), 1, "last_epoch is 1, the run's settings make it 2"),
        (("scaler",), {"scale": 1.0}, "scaler is a dict, where this run has a dict of"),
        (("rng", "state"), "x", "training.safetensors"),
    ],
)
def test_a_state_that_does_not_fit_its_run(at, value, says, copy, base):
    for name in ("pretrained", "tuned"):
        folder = copy(name)
        change_state(folder / STATE, at, value)
        refused(folder, base, f"{folder / STATE}: ", says, commands=LAST)


def test_a_prepared_text_that_is_damaged(copy, base):
    def rewrite(path, **arrays):
        with np.load(path) as stored:
            np.savez(path, **{**stored, **arrays})

    def set_id(data, value):
        ids = np.fromfile(data / "train.ids", np.int32)
        ids[3] = value
        ids.tofile(data / "train.ids")

    for damage_it, says in [
        (lambda data: (data / "train.npz").write_bytes(b""), "train.npz: no index of a prepared text (File is not a zip file)"),
        (lambda data: (data / "train.npz").write_bytes(b"PK\x03\x04 nonsense"), "train.npz: no index of a prepared text"),
        (lambda data: rewrite(data / "valid.npz", sentences=np.zeros(0, np.int64)), "valid.npz: no index of a prepared text"),
        (lambda data: rewrite(data / "valid.npz", documents=np.array([0, 5, 2])), "its numbers do not rise from 0"),
        (lambda data: rewrite(data / "valid.npz", documents=np.array([0.5])), "its numbers do not rise from 0"),
        (lambda data: rewrite(data / "valid.npz", documents=np.arange(10**4)), "its documents have 9999 sentences"),
        (lambda data: np.savez_compressed(data / "train.npz", sentences=np.zeros(10**6)), "larger than the file"),
        (lambda data: set_id(data, 10**6), "train.ids: holds the id 1000000, the vocabulary has 0 to"),
        (lambda data: set_id(data, -1), "train.ids: holds the id -1"),
        (lambda data: (data / "text.json").write_text("{}"), "text.json: not the record of a prepared text, it lacks settings"),
        (lambda data: change(data / "text.json", sha256=None), "not the record of a prepared text, it lacks sha256"),
    ]:
        folder = copy("pretrained")
        damage_it(folder / "data")
        refused(folder, base, str(folder / "data"), says, "delete its folder to prepare it again", commands=LAST)
        shutil.rmtree(folder)
    folder = copy("pretrained")
    shutil.rmtree(folder / "data")  # the cure
    assert damage.command(["pretrain", "--resume", "--output", folder])[0] == 0


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("task", "guess", "not the record of a fine-tuning run"),
        ("facts", {"labels": [1, 2]}, "its labels are no list of names"),
        ("facts", {"labels": ["neg", "pos"], "targets": "classes", "columns": {"text": 5, "pair": "", "label": "x"}}, "columns"),
        ("facts", {"labels": ["x"], "targets": "classes", "columns": {"text": "a", "pair": "", "label": "x"}}, "1 label, but"),
        ("settings", {"length": 10**6}, "its texts have up to 1000000 pieces; the model reads from 5 to 64"),
        ("settings", {"lr": "x"}, "lr must be of type float, not 'x'"),
        ("settings", 5, "not the record of a fine-tuning run"),
    ],
)
def test_a_record_of_a_run_that_cannot_be_used(name, value, says, copy, base):
    folder = copy("tuned")
    path = folder / "finetune.json"
    saved = json.loads(path.read_text())
    change(path, **{name: {**saved[name], **value} if name == "settings" and isinstance(value, dict) else value})
    refused(folder, base, f"{path}: ", says, commands=FIRST)


def test_the_best_checkpoint_of_a_resumed_run_is_looked_at(copy):
    folder = copy("tuned")
    assert damage.command(["finetune", "--resume", "--output", folder])[0] == 0
    weights = minitorch.load(folder / "model.safetensors")
    weights["classifier.bias"].array[0] = np.nan
    minitorch.save(weights, folder / "model.safetensors")
    status, _, err = damage.command(["finetune", "--resume", "--output", folder])
    assert status == 2
    assert "train again (--overwrite)" in err
    assert f"{folder}/model.safetensors: classifier.bias holds NaN or infinity (1 of 2 numbers)" in err


# ------------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize(
    ("task", "record"),
    [
        ("classify", '{"text": "a good film", "label": %s}'),
        ("choice", '{"question": "who", "choices": ["anna", "bert"], "label": %s}'),
        ("qa", '{"data": [{"paragraphs": [{"context": "anna", "qas": [{"id": "1", "question": "who", "answers": %s}]}]}]}'),
    ],
)
@pytest.mark.parametrize("value", ["1" * 301, "1" * 5001, "[" * 100_000, '{"a":' * 100_000, '"\\ud800'])
def test_examples_with_a_monstrous_value(task, record, value, whole, tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(record % value + "\n")
    status, _, err = damage.command(["finetune", task, "--train", path, "--model", whole["bert"], "--output", tmp_path / "out"])
    assert status == 2, err
    assert f"{path}:1: not " in err
    assert err.count("\n") == 1
    assert len(err) < 400
