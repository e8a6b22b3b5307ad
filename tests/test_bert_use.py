"""fill-mask and embed, from Python and on the command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minitorch
from models import bert, cli
from models.text.tokenizer import SPECIAL

ROOT = Path(__file__).parents[1]
WORDS = ["the", "cat", "dog", "sat", "ran", "##s", "."]


@pytest.fixture
def folder(tmp_path):
    """A checkpoint of a tiny model, which has learnt nothing."""
    minitorch.manual_seed(0)
    tokenizer = bert.Tokenizer({token: i for i, token in enumerate([*SPECIAL, *WORDS])})
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = bert.BertConfig(vocab_size=len(tokenizer), max_position_embeddings=16, **shape)
    bert.BertForMaskedLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_three_lines_of_python(folder):
    tokenizer, model = bert.load(folder)
    guesses = bert.fill_mask(model, tokenizer, "the [MASK] sat.", top_k=3)
    vectors = bert.embed(model, tokenizer, ["the cat sat", "the dog", "the cat sat"])
    assert [len(row) for row in guesses] == [3]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert vectors.shape == (3, 16)
    assert (abs(vectors[0] - vectors[2]) < 1e-6).all()
    assert bert.embed(model, tokenizer, []).shape == (0, 16)
    with pytest.raises(ValueError, match="give a list of texts"):
        bert.embed(model, tokenizer, "the cat sat")


def test_guesses_are_the_softmax_of_the_logits(folder, device):
    tokenizer, model = bert.load(folder, device=device)
    (first, second) = bert.fill_mask(model, tokenizer, "the [MASK] [MASK].", top_k=100)
    batch = tokenizer("the [MASK] [MASK].")
    logits = model(**{name: value.to(device) for name, value in batch.items()}).logits.detach().cpu().numpy()[0, 2]
    expected = np.exp(logits) / np.exp(logits).sum()
    assert [token for token, _ in first] == [tokenizer.tokens[i] for i in np.argsort(-expected)]
    assert [p for _, p in first] == pytest.approx(sorted(expected.tolist(), reverse=True), rel=1e-4)
    assert sum(p for _, p in second) == pytest.approx(1, abs=1e-5)


def test_hugging_faces_tokenizer_serves_as_well(folder):
    """BertTokenizer has another call; fill_mask and embed take either."""
    tokenizer, model = bert.load(folder)
    theirs = bert.BertTokenizer.from_pretrained(folder)
    assert bert.fill_mask(model, theirs, "the [MASK] sat.") == bert.fill_mask(model, tokenizer, "the [MASK] sat.")
    texts = ["the cat sat", "the dogs"]
    np.testing.assert_array_equal(bert.embed(model, theirs, texts), bert.embed(model, tokenizer, texts))


def test_labels_are_named_as_in_hugging_face(folder):
    """id2label or label2id alone says how many labels there are; any field of the configuration can be overridden."""
    kind = bert.BertForTokenClassification
    for names in ({"id2label": {0: "O", 1: "B", 2: "I"}}, {"label2id": {"O": 0, "B": 1, "I": 2}}):
        model = kind.from_pretrained(folder, hidden_dropout_prob=0.0, **names)
        assert model.classifier.weight.shape == (3, 16)
        assert model.config.id2label == {0: "O", 1: "B", 2: "I"}
        assert model.config.label2id == {"O": 0, "B": 1, "I": 2}
        assert model.config.hidden_dropout_prob == 0
    with pytest.raises(ValueError, match="num_labels=2, but id2label names 3 labels"):
        kind.from_pretrained(folder, num_labels=2, id2label={0: "O", 1: "B", 2: "I"})


def test_labels_that_disagree(folder):
    kind = bert.BertForSequenceClassification
    names = {"id2label": {0: "neg", 1: "pos"}}
    assert kind.from_pretrained(folder, **names, label2id={"neg": 0, "pos": 1}).config.label2id == {"neg": 0, "pos": 1}
    assert bert.BertConfig(**names, label2id={"LABEL_0": 0, "LABEL_1": 1}).label2id == {"neg": 0, "pos": 1}  # older files
    assert bert.BertConfig(label2id={"pos": 1, "neg": 0}).id2label == {0: "neg", 1: "pos"}
    for numbers in ({"neg": 1, "pos": 0}, {"neg": 0}, {"neg": 0, "pos": 1, "neutral": 2}, {"neg": 0, "Pos": 1}):
        with pytest.raises(ValueError, match=r"id2label and label2id disagree: of '(neg|pos|neutral|Pos)' label2id says"):
            kind.from_pretrained(folder, **names, label2id=numbers)
    for wrong in (["neg"], {"neg": "x"}, {"neg": -1}):
        with pytest.raises(ValueError, match="label2id must map the names of labels to their numbers"):
            bert.BertConfig(label2id=wrong)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}}))
    with pytest.raises(ValueError, match=r"config\.json: id2label and label2id disagree"):
        kind.from_pretrained(folder)


@pytest.mark.parametrize("job", ["fill-mask", "embed"])
def test_a_byte_that_is_no_text_is_one_line(folder, capsys, job):
    """As Python gives it to a program whose command line holds one."""
    assert cli.main([job, "the \udcff [MASK]", "--model", str(folder)]) == 2
    assert capsys.readouterr().err.endswith("the text: \\udcff is half of a surrogate pair and no character; leave it out\n")


def test_keywords_of_from_pretrained(folder):
    kind = bert.BertForSequenceClassification
    wrong = {
        "num_lables": "num_labels",
        "hidden_dropout": "hidden_dropout_prob",
        "ignore_mismatched_size": "ignore_mismatched_sizes",
    }
    for name, nearest in wrong.items():
        with pytest.raises(TypeError, match=f"has no keyword '{name}'; the nearest is '{nearest}'"):
            kind.from_pretrained(folder, **{name: 3})
    model = kind.from_pretrained(folder, local_files_only=True, use_cache=False, torch_dtype="float32", return_dict=True)
    assert model.config.use_cache is False
    for name, value in (("return_dict", False), ("torch_dtype", "float16"), ("dtype", "bfloat16")):
        with pytest.raises(ValueError, match=f"{name}={value!r} is not supported by from_pretrained"):
            kind.from_pretrained(folder, **{name: value})
    with pytest.raises(TypeError, match="has no keyword 'add_pooling_layer'"):
        kind.from_pretrained(folder, add_pooling_layer=False)
    assert bert.BertModel.from_pretrained(folder, add_pooling_layer=False).pooler is None


def test_a_model_grows_with_its_tokenizer(folder, tmp_path):
    tokenizer, model = bert.load(folder)
    before = bert.embed(model, tokenizer, ["the cat"])
    n = len(tokenizer)
    tokenizer.add(["<e1>", "<e2>"], special=True)
    table = model.resize_token_embeddings(len(tokenizer))
    assert table.weight.shape == model.cls.predictions.decoder.weight.shape == (n + 2, 16)
    assert model.cls.predictions.decoder.weight is table.weight
    assert model.cls.predictions.bias is model.cls.predictions.decoder.bias
    assert 0 < np.abs(table.weight.detach().numpy()[n:]).max() < 0.2
    np.testing.assert_array_equal(bert.embed(model, tokenizer, ["the cat"]), before)
    model.save_pretrained(tmp_path / "grown")
    tokenizer.save_pretrained(tmp_path / "grown")
    again, back = bert.load(tmp_path / "grown")
    assert back.config.vocab_size == len(again) == n + 2
    vectors = [bert.embed(m, t, ["the <e1> cat"]) for m, t in ((model, tokenizer), (back, again))]
    np.testing.assert_array_equal(*vectors)
    ids = again.tensors("<e2>")["input_ids"]
    loss = back(ids, labels=ids).loss  # new rows learn
    loss.backward()
    assert back.bert.embeddings.word_embeddings.weight.grad.numpy()[n + 1].any()
    model.resize_token_embeddings(n)
    np.testing.assert_array_equal(bert.embed(model, tokenizer, ["the cat"]), before)
    with pytest.raises(ValueError, match="vocab_size must be a whole number of at least 1, not 0"):
        model.resize_token_embeddings(0)


def test_question_answering_has_two_labels(folder):
    with pytest.raises(ValueError, match="BertForQuestionAnswering always has 2 labels, not num_labels=3"):
        bert.BertForQuestionAnswering.from_pretrained(folder, num_labels=3)
    config = bert.BertConfig.preset("tiny", vocab_size=20, num_hidden_layers=1, id2label={0: "a", 1: "b", 2: "c"})
    model = bert.BertForQuestionAnswering(config)
    assert (model.config.num_labels, model.qa_outputs.weight.shape[0]) == (2, 2)
    assert config.id2label == {0: "a", 1: "b", 2: "c"}  # the user's own is left alone
    model.save_pretrained(folder)
    assert bert.BertForQuestionAnswering.from_pretrained(folder).config.num_labels == 2


def test_embeddings_do_not_depend_on_the_company(folder):
    tokenizer, model = bert.load(folder)
    alone = bert.embed(model, tokenizer, ["the cat"])
    together = bert.embed(model, tokenizer, ["the cat", "the dog sat. the cat ran."])
    np.testing.assert_allclose(alone[0], together[0], atol=1e-6)
    assert np.isfinite(bert.embed(model, tokenizer, ["", "the " * 50])).all()  # no word, and more than there are positions


def test_fill_mask_command(folder, capsys):
    assert cli.main(["fill-mask", "the [MASK] sat", "--model", str(folder), "--top-k", "2"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 2
    assert all("%" in line for line in shown)
    assert cli.main(["fill-mask", "[MASK] [MASK]", "--model", str(folder), "--top-k", "2"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("mask")] == ["mask 1", "mask 2"]
    assert cli.main(["fill-mask", "the [MASK] sat", "--model", str(folder), "--json"]) == 0
    (guesses,) = json.loads(capsys.readouterr().out)
    assert len(guesses) == 5
    assert all(isinstance(token, str) and 0 <= p <= 1 for token, p in guesses)


def test_embed_command(folder, tmp_path, capsys):
    model = ["--model", str(folder)]
    assert cli.main(["embed", "the cat", "the dog", *model]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0].startswith(" 1.000")
    assert captured.err == ""  # no warning that the pooler is missing, which is not used
    assert cli.main(["embed", "the cat", *model]) == 0
    assert len(capsys.readouterr().out.split()) == 16
    assert cli.main(["embed", "the cat", "dog", "--json", *model]) == 0
    vectors = json.loads(capsys.readouterr().out)
    (tmp_path / "texts.txt").write_text("the cat\n\ndog\n")
    assert cli.main(["embed", "--file", str(tmp_path / "texts.txt"), "--output", str(tmp_path / "v.npy"), *model]) == 0
    assert capsys.readouterr().out.endswith("v.npy: 2 vectors of 16 numbers\n")
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), vectors, atol=1e-6)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["fill-mask", "no mask"], "the text holds no [MASK]: write [MASK] where a word is to be guessed"),
        (["fill-mask", "[MASK]", "--top-k", "0"], "top_k must be at least 1, not 0"),
        (["fill-mask", "the " * 20 + "[MASK]"], "a sequence of 23 tokens is longer than the 16 positions of this model"),
        (["fill-mask", "[MASK]", "--model", "absent"], "absent: no such folder"),
        (["fill-mask", "[MASK]", "--model", "runs/pretrain"], "`minitorch pretrain` makes one"),
        (["embed", "the", "--model", "runs/mine"], "runs/mine: no such folder"),
        (["fill-mask", "[MASK]", "--device", "tpu"], "tpu"),
        (["embed"], "no text: give some, or --file FILE"),
        (["embed", "--file", "absent.txt"], "absent.txt: no such file"),
        (["embed", "the", "--output", "absent/v.npy"], "absent does not exist"),
    ],
)
def test_mistakes_are_one_line_and_status_2(command, message, folder, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    model = [] if "--model" in command else ["--model", str(folder)]
    assert cli.main([*command, *model]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"minitorch {command[0]}: error: ")
    assert message in line


def test_damaged_folders_are_one_line(folder, capsys):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-4])
    assert cli.main(["fill-mask", "[MASK]", "--model", str(folder)]) == 2
    assert "truncated" in capsys.readouterr().err
    (folder / "model.safetensors").write_bytes(content)
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *WORDS, "more"]))
    (folder / "tokenizer.json").unlink()
    assert cli.main(["embed", "the", "--model", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the tokenizer has 13 tokens, the model 12; they do not belong together" in line
    (folder / "vocab.txt").unlink()
    assert cli.main(["embed", "the", "--model", str(folder)]) == 2
    assert "no tokenizer here" in capsys.readouterr().err


def test_without_the_tokenizers_library_the_cure_is_named(folder):
    code = "import sys; sys.modules['tokenizers'] = None; from models import cli; sys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "fill-mask", "[MASK]", "--model", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "tokenizers is not installed: pip install -e '.[models]'" in done.stderr
