"""Perplexity: windows that cover a text once, GPT's by the definition, BERT's by masking one token after the other."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitorch
from models import bert, gpt
from models.cli import main
from models.evaluating.perplexity import windows
from models.evaluating.pseudo import pseudo
from models.evaluating.sliding import sliding

from .bert_cases import make as make_bert
from .gpt_cases import checkpoint
from .test_gpt_use import TEXT


@given(st.integers(1, 60), st.integers(2, 20), st.integers(1, 19), st.booleans())
def test_windows_guess_every_token_once(n, length, stride, middle):
    stride = min(stride, length - 1)
    guessed = []
    for begin, end, first, last in windows(n, length, stride, middle):
        assert 0 <= begin <= first < last <= end <= n
        assert end - begin <= length
        assert middle or first == 0 or first - begin >= length - stride
        assert not middle or last - first <= stride
        guessed += range(first, last)
    assert guessed == list(range(n))


def log_p(logits):
    """The logarithms of the probabilities, in float64."""
    x = logits.detach().numpy().astype(np.float64)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.fixture(scope="module")
def gpt_folder(tmp_path_factory):
    """A GPT of characters."""
    return checkpoint(tmp_path_factory.mktemp("gpt"), TEXT)


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory):
    """A BERT with its head."""
    where = tmp_path_factory.mktemp("bert")
    tokenizer = bert.Tokenizer.train(TEXT.splitlines(), 120)
    make_bert("BertForMaskedLM", vocab_size=len(tokenizer)).eval().save_pretrained(where)
    tokenizer.save_pretrained(where)
    return where


@pytest.mark.parametrize(("length", "stride"), [(24, 12), (24, 1), (24, 23), (7, 3)])
def test_gpt_by_its_definition(gpt_folder, length, stride):
    tokenizer, model = gpt.load(gpt_folder)
    text = TEXT[:83]
    ids = tokenizer.encode(text)
    expected = 0.0
    for t in range(1, len(ids)):  # the window in which token t is guessed: the first that reaches it
        begin = max(0, -((length - 1 - t) // stride) * stride)
        end = min(begin + length, len(ids))
        expected -= log_p(model(minitorch.tensor([ids[begin:end]])).logits)[0, t - 1 - begin, ids[t]]
    found = sliding(model, tokenizer, text, length, stride)
    assert found.nats == pytest.approx(expected, rel=1e-5)
    assert (found.tokens, found.characters, found.bytes) == (len(text) - 1, len(text) - 1, len(text.encode()) - 1)
    assert found.perplexity("tokens") == pytest.approx(math.exp(expected / (len(text) - 1)), rel=1e-4)


def test_gpt_as_hugging_face_computes_a_window(gpt_folder):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizer, model = gpt.load(gpt_folder)
    reference = transformers.GPT2LMHeadModel.from_pretrained(gpt_folder).eval()
    ids, nats, before = torch.tensor([tokenizer.encode(TEXT[:83])]), 0.0, 0
    for begin in range(0, ids.shape[1], 12):  # https://huggingface.co/docs/transformers/perplexity, with exact sums
        end = min(begin + 24, ids.shape[1])
        labels = ids[:, begin:end].clone()
        labels[:, : -(end - before)] = -100
        with torch.no_grad():
            loss = reference(ids[:, begin:end], labels=labels).loss.item()
        nats += loss * int((labels[:, 1:] != -100).sum())
        before = end
        if end == ids.shape[1]:
            break
    assert sliding(model, tokenizer, TEXT[:83], 24, 12).nats == pytest.approx(nats, rel=1e-5)


def test_bert_by_its_definition(bert_folder):
    tokenizer, model = bert.load(bert_folder)
    text = TEXT[:200]
    ids = tokenizer.encode_lines([text])[0]
    expected, room, stride = 0.0, 10, 4
    for t in range(len(ids)):
        begin = max(0, min(t // stride * stride - (room - stride) // 2, len(ids) - room))
        row = [tokenizer.cls_id, *ids[begin : begin + room], tokenizer.sep_id]
        row[1 + t - begin] = tokenizer.mask_id
        expected -= log_p(model(minitorch.tensor([row])).logits)[0, 1 + t - begin, ids[t]]
    found = pseudo(model, tokenizer, text, room + 2, stride)
    assert found.nats == pytest.approx(expected, rel=1e-5)
    assert (found.tokens, found.characters, found.bytes) == (len(ids), len(text), len(text.encode()))


def test_the_command_compares_models(gpt_folder, bert_folder, tmp_path, capsys, monkeypatch):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    folders = [str(gpt_folder), str(bert_folder)]
    assert main(["evaluate", str(tmp_path / "text.txt"), "--model", *folders, "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["model"] for record in records] == folders
    for record in records:
        assert record["perplexity_per_byte"] == pytest.approx(math.exp(record["nats_per_byte"]))
        assert record["nats_per_token"] * record["tokens"] == pytest.approx(record["nats_per_byte"] * record["bytes"])
    assert "pseudo-perplexity" in records[1]["method"]
    monkeypatch.setattr("sys.stdin", io.StringIO(TEXT))
    assert main(["evaluate", "-", "--model", *folders]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:5] == ["perplexity", "per", "token", "per", "character"]
    assert len(table) == 5


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", [], "text.txt: holds no text"),
        (b" \n\n", [], "text.txt: holds no text"),
        (b"a\0b", [], "holds a zero byte, so this is a binary file"),
        (b"\xff\xfe", [], "text.txt: not a UTF-8 text"),
        (b"T", [], "perplexity needs two tokens, of which the first is given; this text has 1"),
        ("Ж".encode(), [], "which is not among the"),
        (b"The", ["--length", "25"], "--length must be from 2 to the model's 24 positions, not 25"),
        (b"The", ["--stride", "24"], "--stride must be from 1 to 23, not 24"),
        (b"The", ["--stride", "0"], "--stride must be from 1 to 23, not 0"),
        (b"The", ["--model", "/nowhere"], "/nowhere: no such folder"),
    ],
)
def test_wrong_input_is_one_line(gpt_folder, content, options, message, tmp_path, capsys):
    (tmp_path / "text.txt").write_bytes(content)
    model = [] if "--model" in options else ["--model", str(gpt_folder)]
    assert main(["evaluate", str(tmp_path / "text.txt"), *model, *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_text_that_is_too_short_or_foreign_is_named_with_the_model(gpt_folder, tmp_path, capsys):
    file = tmp_path / "short.txt"
    for content, says in (("T", "perplexity needs two tokens"), ("Th☃", "the text holds '☃'")):
        file.write_text(content)
        assert main(["evaluate", str(file), "--model", str(gpt_folder)]) == 2
        assert f"error: {file}, under {gpt_folder}: {says}" in capsys.readouterr().err


def test_a_bert_without_its_head_and_other_models_are_refused(bert_folder, tmp_path, capsys):
    _, model = bert.load(bert_folder)
    model.bert.save_pretrained(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    assert main(["evaluate", str(tmp_path / "text.txt"), "--model", str(tmp_path)]) == 2
    assert "its file has no cls.predictions, the head that guesses masked words" in capsys.readouterr().err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "training.safetensors").touch()
    for command in (["evaluate", str(tmp_path / "text.txt")], ["generate", "The"]):
        assert main([*command, "--model", str(tmp_path / "run")]) == 2
        assert "this run is not finished; continue it with minitorch pretrain --resume --output" in capsys.readouterr().err
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    assert main(["evaluate", str(tmp_path / "text.txt"), "--model", str(tmp_path)]) == 2
    assert 'model_type is "t5"; a text\'s perplexity is defined here for gpt2 and bert' in capsys.readouterr().err
