"""Compression: pruned heads, layers and weights, int8, and students; the folders that `minitorch compress` writes."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitorch
from models import bert, cli
from models.bert.model import BertForMaskedLM, BertForSequenceClassification, BertModel
from models.compressing import heads
from models.compressing.subject import Subject
from models.errors import BadInput
from models.finetuning.predictor import Predictor
from models.finetuning.run import Run
from models.finetuning.tasks import Settings
from models.reading import read_json

from .finetune_cases import checkpoint, write_classify


def ids(B=3, S=7, V=20, seed=0):
    """Token ids."""
    return minitorch.tensor(np.random.default_rng(seed).integers(5, V, (B, S)))


def small(kind=BertForSequenceClassification, **changes):
    """A BERT of random weights that matter."""
    shape = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20, "vocab_size": 20}
    minitorch.manual_seed(3)
    model = kind(bert.BertConfig(**{**shape, "max_position_embeddings": 16, "initializer_range": 0.4, **changes}))
    model.eval()
    return model


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a checkpoint (base), a fine-tuned model (tuned), and the files of its task and a text."""
    folder = tmp_path_factory.mktemp("compressing")
    checkpoint(folder / "base")
    train, test = write_classify(folder / "train.tsv", 120), write_classify(folder / "test.tsv", 40, seed=1)
    (folder / "text.txt").write_text(
        "".join(line.split("\t")[0] + "\n" for line in (folder / "train.tsv").read_text().splitlines()[1:])
    )
    s = Settings(task="classify", model=str(folder / "base"), train=train, test=test, output=str(folder / "tuned"))
    s.epochs, s.lr, s.threads, s.compare = 8, 1e-2, 1, "none"
    s.check()
    Run(s, say=lambda text: None).train()
    return folder


def compress(place, output, *options, model="tuned"):
    """The command; returns the folder it wrote."""
    shutil.rmtree(place / output, ignore_errors=True)
    given = [f"--{name}={place / file}" for name, file in (("model", model), ("output", output)) if file]
    assert cli.main(["compress", *given, *map(str, options)]) == 0
    return place / output


def refused(place, capsys, text, *options, model="tuned"):
    """The command ends with status 2 and one line, and writes nothing."""
    given = [f"--model={place / model}"] if model else []
    capsys.readouterr()
    try:
        status = cli.main(["compress", *given, f"--output={place / 'refused'}", *map(str, options)])
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status == 2
    assert error.startswith("minitorch compress: error: ")
    assert error.count("\n") == 1, error
    assert text in error, error
    assert not (place / "refused").exists()


# ---------------------------------------------------------------------------------------------------------- heads


def test_the_gradient_of_a_gate():
    ctx, W = np.array([[1.0, 2, 3, 4]]), np.array([[1, -1, 0.5, 2], [0, 1, 1, -1]])
    grad = (W @ ctx[0])[None] @ W  # of L = ½‖W ctx‖²
    np.testing.assert_allclose(heads.gate_gradients(ctx, grad, 2), [[-6.5, 79.75]])


def test_importance_is_the_mean_absolute_gradient_of_the_gates_of_single_examples():
    model, x, y = small().double(), ids(), minitorch.tensor([0, 1, 1])
    mask = minitorch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 7])

    def loss(row=slice(None)):
        return model(x[row], mask[row], labels=y[row]).loss

    found = heads.importance(model, [(loss, np.full(3, 3.0))])
    expected = np.zeros((2, 3))
    for i in range(3):
        for layer in range(2):
            for head in range(3):
                weight = model.bert.encoder.layer[layer].attention.output.dense.weight
                kept, columns = weight.array.copy(), slice(4 * head, 4 * head + 4)
                values = []
                for gate in (1 + 1e-5, 1 - 1e-5):  # on the context, or on the columns that read it
                    weight.array[:, columns] = kept[:, columns] * gate
                    values.append(loss(slice(i, i + 1)).item())
                weight.array[...] = kept
                expected[layer, head] += abs(values[0] - values[1]) / 2e-5
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_model_without_heads_is_one_whose_heads_say_nothing(data):
    model, A = small(), 3
    gone = data.draw(st.lists(st.tuples(st.integers(0, 1), st.integers(0, A - 1)), unique=True, max_size=4))
    if any(len([1 for i, _ in gone if i == layer]) == A for layer in range(2)):
        with pytest.raises(BadInput, match="takes all 3 heads of layer"):
            heads.prune(model, gone)
        return
    silent = small()
    silent.load_state_dict(model.state_dict())
    for layer, head in gone:
        silent.bert.encoder.layer[layer].attention.output.dense.weight.array[:, 4 * head : 4 * head + 4] = 0
    for one in gone:  # one after the other, with numbers of the original
        heads.prune(model, [one])
    with minitorch.no_grad():
        np.testing.assert_allclose(model(ids()).logits.numpy(), silent(ids()).logits.numpy(), atol=2e-6)
        full = silent(ids(), output_attentions=True)
        shapes = [a.shape[1] for a in model(ids(), output_attentions=True).attentions]
    assert shapes == [A - sum(i == layer for i, _ in gone) for layer in range(2)]
    assert [a.shape[1] for a in full.attentions] == [A, A]


def test_a_pruned_checkpoint_is_read_and_written(tmp_path):
    model = small(BertForMaskedLM)
    size = model.num_parameters()
    heads.prune(model, [(0, 2), (1, 0), (1, 1)])
    assert size - model.num_parameters() == 3 * (4 * 12 * 4 + 3 * 4)  # rows and biases of q, k, v; columns of the output
    model.save_pretrained(tmp_path)
    assert read_json(tmp_path / "config.json")["pruned_heads"] == {"0": [2], "1": [0, 1]}  # as Hugging Face writes it
    again = BertForMaskedLM.from_pretrained(tmp_path)
    with minitorch.no_grad():
        np.testing.assert_array_equal(again(ids()).logits.numpy(), model(ids()).logits.numpy())
    assert BertModel.from_pretrained(tmp_path, add_pooling_layer=False).config.pruned_heads == {0: [2], 1: [0, 1]}


def test_heads_from_the_command_line(place, capsys):
    folder = compress(place, "heads", "--heads=0.5", f"--data={place / 'train.tsv'}", f"--test={place / 'test.tsv'}")
    record = read_json(folder / "compress.json")
    assert record["after"]["bytes"] < record["before"]["bytes"] == (place / "tuned" / "model.safetensors").stat().st_size
    assert record["after"]["bytes"] == (folder / "model.safetensors").stat().st_size
    assert record["memory"]["after"]["peak_mib"] > 10
    assert record["ms"]["after"] > 0
    assert sum(map(len, read_json(folder / "config.json")["pruned_heads"].values())) == 2
    shown = capsys.readouterr().out
    assert "2 heads pruned" in shown
    assert "peak memory" in shown
    right = [record["prediction"] for record in Predictor(folder).file(str(place / "test.tsv"))]
    gold = [line.split("\t")[1] for line in (place / "test.tsv").read_text().splitlines()[1:]]
    assert np.mean([a == b for a, b in zip(right, gold, strict=True)]) == pytest.approx(record["after"]["score"])
    again = compress(place, "again", "--heads=0:0", model="base")
    assert bert.load(again)[1].config.pruned_heads == {0: [0]}
    refused(place, capsys, "layer 0 has 1", "--heads=0:0", model="again")


def test_heads_that_cannot_go(place, capsys):
    data = f"--data={place / 'train.tsv'}"
    refused(place, capsys, "there is no such head; layers are 0 to 1, heads 0 to 1", "--heads=0:2")
    refused(place, capsys, "these are all heads of layer 1; a layer needs one", "--heads=1:0,1:1")
    refused(place, capsys, "each layer keeps one, so at most 2 can", "--heads=.9", data)
    refused(place, capsys, "--heads must be a share above 0 and below 1", "--heads=1.5", data)
    refused(place, capsys, "give a share, such as 0.3, or heads as LAYER:HEAD", "--heads=some", data)
    refused(place, capsys, "--data FILE is missing: the examples to measure the heads' importance on", "--heads=.5")
    refused(place, capsys, "give one of --heads, --weights", data)
    refused(place, capsys, "--by must be one of importance, random", "--heads=.5", "--by=magnitude", data)
    refused(place, capsys, "no such folder", "--heads=.5", data, model="nowhere")


@pytest.fixture
def quick(monkeypatch):
    """No processes whose memory is measured."""
    monkeypatch.setattr("models.compressing.command.memory_of", lambda *where, **reading: {"peak_mib": 1.0, "imports_mib": 1.0})


@pytest.mark.usefixtures("quick")
def test_a_pretrained_model_is_measured_by_masked_words(place):
    folder = compress(place, "words", "--heads=0.3", f"--data={place / 'text.txt'}", f"--test={place / 'text.txt'}", model="base")
    tokenizer, model = bert.load(folder)
    assert len(bert.fill_mask(model, tokenizer, "a [MASK] film")[0]) == 5
    assert read_json(folder / "compress.json")["after"]["metric"] == "accuracy"
    assert Subject(folder).task.name == "mlm"


def test_the_ladder(place, capsys, monkeypatch):
    """Table, numbers and picture; a stopped one goes on."""
    monkeypatch.setattr("models.compressing.ladder.memory_of", lambda *where, **reading: {"peak_mib": 1.0})
    options = ["--ladder", f"--data={place / 'train.tsv'}", f"--test={place / 'test.tsv'}"]
    refused(place, capsys, "--ladder needs --data", "--ladder")
    monkeypatch.setattr("models.compressing.ladder.SHARES", [0.5])
    folder = compress(place, "ladder", *options)
    rows = {row["name"]: row for row in read_json(folder / "ladder.json")["rows"]}
    assert {"as it is", "heads, 50% gone", "weights, 50% zero", "layers 0", "int8 static + embeddings"} < set(rows)
    assert {"majority class", "TF-IDF + linear SVM"} < set(rows)
    assert rows["heads, 50% gone"]["bytes"] < rows["as it is"]["bytes"] == rows["weights, 50% zero"]["bytes"]
    assert rows["weights, 50% zero"]["gzip_bytes"] < rows["as it is"]["gzip_bytes"]
    assert (folder / "ladder.png").read_bytes()[:4] == b"\x89PNG"
    assert not (folder / ".rung").exists()
    table = (folder / "ladder.txt").read_text()
    (folder / "ladder.json").write_text((folder / "ladder.json").read_text().replace("weights, 50% zero", "lost"))
    assert cli.main(["compress", f"--model={place / 'tuned'}", f"--output={folder}", "--resume", *options]) == 0
    assert "weights, 50% zero" in (folder / "ladder.txt").read_text() != table
