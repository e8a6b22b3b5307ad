"""int8: the equations, PyTorch's own quantisation, and folders that are loaded without a flag."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitorch
from minitorch import nn
from models import bert
from models.bert.model import BertForMaskedLM, BertForQuestionAnswering, BertForSequenceClassification, BertModel
from models.checkpoints.int8 import Int8Linear, input_range, int8_of, product, quantized
from models.compressing import int8
from models.finetuning.predictor import Predictor
from models.reading import read_json

from .test_compressing import compress, ids, place, quick, refused, small  # noqa: F401

ROOT = Path(__file__).parents[1]
W = np.array([[0.25, 0.5, 0.75], [1, 1.25, 1.5]], np.float32)
B = np.array([0.5, -0.5], np.float32)
X = np.array([[1, -1, 2]], np.float32)


@pytest.mark.parametrize(
    ("rows", "most", "steps", "whole", "y"),
    [
        (False, 127, 255, [[21, 42, 64], [85, 106, 127]], [1.763780, 2.251969]),
        (True, 127, 255, [[42, 85, 127], [85, 106, 127]], [1.746063, 2.251969]),
        (False, 127.5, 127, [[21, 42, 64], [85, 106, 127]], [1.766698, 2.254887]),  # PyTorch's, whose inputs have 7 bits
    ],
)
def test_the_equation(rows, most, steps, whole, y):
    W_q, s_w = quantized(W, rows, most)
    s_x, z = input_range(X.min(), X.max(), steps)
    x_q = np.clip(np.rint(X / s_x) + z, 0, steps)
    np.testing.assert_array_equal(W_q, whole)
    if steps == 255:
        assert (float(z), x_q.tolist()) == (85, [[170, 0, 255]])
    np.testing.assert_allclose((product(x_q - z, W_q) * (s_x * s_w) + B)[0], y, atol=1e-6)


def test_a_layer_is_the_equation():
    linear = nn.Linear(3, 2)
    linear.weight.array[...], linear.bias.array[...] = W, B
    for scheme, y in (("dynamic", [1.746063, 2.251969]), ("weights", [1.751969, 2.251969])):
        layer = int8_of(linear, scheme, False)
        layer.weight, layer.weight_scale = map(minitorch.Tensor, quantized(W))
        with minitorch.no_grad():
            np.testing.assert_allclose(layer(minitorch.tensor(X)).numpy()[0], y, atol=6e-3 if scheme == "weights" else 1e-6)
    x = minitorch.tensor(X, requires_grad=True)
    layer(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy()[0], W.sum(0), atol=2e-2)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 1300), st.integers(0, 2**31))
def test_products_are_exact_whatever_their_length(n, seed):
    rng = np.random.default_rng(seed)
    x, w = rng.choice([-255, 255, 254, 0], (2, n)), rng.choice([-127, 127, 126, 1], (3, n)).astype(np.int8)
    np.testing.assert_array_equal(product(x.astype(np.float32), w), x @ w.T.astype(int))


def test_zeros_and_one_sided_inputs():
    np.testing.assert_array_equal(quantized(np.zeros((2, 3), np.float32))[0], 0)
    assert [float(v) for v in input_range(np.float32(0), np.float32(0))] == [pytest.approx(1 / 255), 0]
    assert [float(v) for v in input_range(np.float32(2), np.float32(5.1))] == [pytest.approx(0.02), 0]  # 0 is in the range
    assert float(input_range(np.float32(-5.1), np.float32(-2))[1]) == 255


@pytest.mark.parametrize("scheme", ["weights", "dynamic"])
def test_a_row_does_not_depend_on_the_others(scheme):
    rng = np.random.default_rng(0)
    layer = int8_of(nn.Linear(30, 20), scheme, False)
    layer.weight, layer.weight_scale = map(minitorch.Tensor, quantized(rng.normal(size=(20, 30)).astype(np.float32)))
    x = minitorch.tensor(rng.normal(size=(5, 30)).astype(np.float32) * np.array([[1], [1e3], [1e-3], [0], [1]], np.float32))
    with minitorch.no_grad():
        whole, alone = layer(x).numpy(), np.concatenate([layer(x[i : i + 1]).numpy() for i in range(5)])
    np.testing.assert_allclose(whole, alone, rtol=1e-4, atol=1e-5)


def test_pytorch_quantises_the_same_way():
    torch = pytest.importorskip("torch")
    import warnings

    rng = np.random.default_rng(0)
    linear = torch.nn.Linear(30, 20)
    x = rng.normal(size=(8, 30)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(linear), {torch.nn.Linear})(torch.tensor(x)).numpy()
    weight, bias = (p.detach().numpy() for p in (linear.weight, linear.bias))
    W_q, s_w = quantized(weight, False, 127.5)
    s_x, z = input_range(x.min(), x.max(), 127)
    ours = product(np.clip(np.rint(x / s_x) + z, 0, 127) - z, W_q) * (s_x * s_w) + bias
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("scheme", ["weights", "dynamic", "static"])
@pytest.mark.parametrize("embeddings", [False, True])
@pytest.mark.parametrize("kind", [BertForSequenceClassification, BertForMaskedLM])
def test_a_folder_is_loaded_as_it_was(scheme, embeddings, kind, tmp_path):
    model, x = small(kind, hidden_size=24, intermediate_size=48), ids()
    with minitorch.no_grad():
        before = model(x).logits.numpy()
        int8.quantize(model, scheme, embeddings, (lambda: model(x).logits) if scheme == "static" else None)
        after = model(x).logits.numpy()
        model.save_pretrained(tmp_path)
        again = kind.from_pretrained(tmp_path)
        np.testing.assert_array_equal(again(x).logits.numpy(), after)
    assert 0 < np.abs(after - before).max() < 0.3 * np.ptp(before)
    file = minitorch.load(tmp_path / "model.safetensors")
    stored = {name: w.dtype for name, w in file.items()}
    assert stored["bert.encoder.layer.0.attention.self.query.weight"] == minitorch.int8
    assert (stored["bert.embeddings.word_embeddings.weight"] == minitorch.int8) == embeddings
    assert ("bert.encoder.layer.1.output.dense.input_scale" in file) == (scheme == "static")
    assert isinstance(BertModel.from_pretrained(tmp_path, add_pooling_layer=False).encoder.layer[0].output.dense, Int8Linear)


@pytest.mark.parametrize("kind", [BertForSequenceClassification, BertForMaskedLM, BertModel])
def test_no_weights_are_drawn_for_what_a_file_has(kind, tmp_path, monkeypatch):
    """And what it lacks is drawn as ever: a head on another model's body, its bias included."""
    model = small(kind, hidden_size=24, intermediate_size=48)
    int8.quantize(model, "dynamic", embeddings=True)
    model.save_pretrained(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("minitorch.nn.init.randn", None)
        patch.setattr("minitorch.nn.init.rand", None)
        kind.from_pretrained(tmp_path)
    minitorch.manual_seed(0)
    with pytest.warns(UserWarning, match="start at random"):
        other = BertForQuestionAnswering.from_pretrained(tmp_path)
    assert 0 < np.abs(other.qa_outputs.weight.array).max() < 5 * model.config.initializer_range
    assert not other.qa_outputs.bias.array.any()


def test_an_int8_folder_takes_a_process_less_memory_than_float32(tmp_path):
    """Peaks of two processes that load a folder of 60 MB and do nothing else: the float32 layers are never there."""
    config = bert.BertConfig(vocab_size=50, hidden_size=512, num_hidden_layers=4, num_attention_heads=8, intermediate_size=2048)
    model = BertModel(config, add_pooling_layer=False)
    floats = 4 * model.num_parameters()
    peaks = []
    for name in ("float32", "int8"):
        model.save_pretrained(tmp_path / name)
        code = (
            "import sys; from models.bert.model import BertModel; from models.compressing.measuring import peak_mib; "
            "before = peak_mib(); BertModel.from_pretrained(sys.argv[1], add_pooling_layer=False); print(peak_mib() - before)"
        )
        done = subprocess.run([sys.executable, "-c", code, tmp_path / name], cwd=ROOT, capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout) * (1 << 20))
        int8.quantize(model, "weights")
    assert peaks[0] > floats
    assert peaks[1] < 0.7 * floats  # the file's numbers, and the layers'


def test_int8_that_is_not_understood(tmp_path):
    model = small(BertForMaskedLM)
    int8.quantize(model, "dynamic")
    model.save_pretrained(tmp_path)
    config = read_json(tmp_path / "config.json")
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(ValueError, match=r"config.json: the weights are int8, of which only this kind can be read.*gptq"):
        BertForMaskedLM.from_pretrained(tmp_path)


@pytest.mark.usefixtures("quick")
def test_int8_from_the_command_line(place, capsys):  # noqa: F811
    data = f"--data={place / 'train.tsv'}"
    folder = compress(place, "int8", "--int8=static", "--embeddings", data, f"--test={place / 'test.tsv'}")
    record = read_json(folder / "compress.json")
    assert record["after"]["bytes"] < 0.9 * record["before"]["bytes"]
    assert Predictor(folder)(["a good film"])[0]["prediction"] in ("neg", "pos")
    words = compress(place, "int8words", "--int8=dynamic", "--embeddings", model="base")
    tokenizer, model = bert.load(words)
    assert len(bert.fill_mask(model, tokenizer, "a [MASK] film")[0]) == 5
    assert bert.embed(model, tokenizer, ["a film"]).shape == (1, 16)
    refused(place, capsys, "is int8 already, its numbers are fixed", "--int8=dynamic", model="int8")
    refused(place, capsys, "--data FILE is missing: the examples whose ranges static int8 takes", "--int8=static")
    refused(place, capsys, "--int8 must be one of dynamic, static, weights, not 'half'", "--int8=half")
    (place / "empty.tsv").write_text("text\tlabel\n")
    refused(place, capsys, "empty.tsv", "--int8=static", f"--data={place / 'empty.tsv'}")
    refused(place, capsys, "--int8 trains nothing", "--int8=dynamic", "--epochs=2", data)


def test_files_may_look_otherwise_than_the_training_file(place, capsys):  # noqa: F811
    """As `finetune` and `predict` have it; in the processes that are measured, too."""
    rows = [line.split("\t") for line in (place / "test.tsv").read_text().splitlines()[1:]]
    (place / "other.csv").write_bytes("".join(f"{label};café {text}\n" for text, label in rows).encode("latin-1"))
    own = ["--int8=weights", f"--test={place / 'other.csv'}", "--columns=label,text", "--delimiter=;"]
    folder = compress(place, "int8read", *own, "--encoding=latin-1")
    assert read_json(folder / "compress.json")["memory"]["after"]["peak_mib"] > 10
    refused(place, capsys, "other.csv", *own)
    refused(place, capsys, "--columns says how labelled examples are read", *own, model="base")
