"""Every command with a folder of every kind: it works, or one line says what the folder holds and which command takes it."""

from __future__ import annotations

import json

import pytest

from models.checkpoints.kinds import holding
from models.cli import main
from models.training.runs import STATE

from .kinds_cases import make_all

pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")

HOLDS = {  # and how the folder is used
    "bert": ("a BERT", "fill-mask"),
    "gpt": ("a GPT", "generate"),
    "finetune": ("a fine-tuned model", "predict"),
    "adapter": ("a fine-tuned model", "predict"),
    "prompt": ("a trained prompt", "prompt"),
    "seq2seq": ("a sequence-to-sequence model", "predict"),
    "vectors": ("word vectors", "vectors"),
    "half-finetune": ("this run is not finished", "finetune --resume"),
    "half-seq2seq": ("this run is not finished", "seq2seq --resume"),
    "half-vectors": ("this run is not finished", "vectors --resume"),
}
NOTHING = {"empty": "here", "file": "a file", "missing": "no such folder"}
ENCODERS = ("bert", "finetune", "prompt")
OPENS = {  # each command with a folder, and the kinds that it can use
    "generate": (["the", "--max-new-tokens", "2", "--model"], ("gpt",)),
    "fill-mask": (["the [MASK]", "--model"], ("bert", "prompt")),
    "embed": (["the", "--model"], ENCODERS),
    "evaluate": (["TEXT", "--model"], ("bert", "gpt", "prompt")),
    "predict": (["a film", "--model"], ("finetune", "adapter", "seq2seq")),
    "prompt": (["a film", "--model"], ("prompt",)),
    "adapt": (["merge"], ("adapter",)),
    "vectors": (["--nearest", "cat", "--vectors"], ("vectors",)),
    "finetune": (["--output", "OUT", "--model"], ()),  # with a BERT it would train
    "seq2seq": (["--train", "PAIRS", "--output", "OUT", "--init-encoder"], ()),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Of every kind."""
    root = tmp_path_factory.mktemp("kinds")
    (root / "text.txt").write_text("the list")
    return {"root": root, **make_all(root)}


@pytest.mark.parametrize("kind", [*HOLDS, *NOTHING])
@pytest.mark.parametrize("job", OPENS)
def test_a_command_says_what_the_folder_holds(folders, capsys, job, kind):
    words, fits = OPENS[job]
    if not fits and kind in ENCODERS:
        pytest.skip("this one trains")
    root, folder = folders["root"], folders[kind]
    places = {"TEXT": "text.txt", "PAIRS": "train.tsv", "OUT": "out"}
    words = [str(root / places[word]) if word in places else word for word in words]
    status = main([job, *words, str(folder), *([str(root / f"merged-{kind}")] if job == "adapt" else [])])
    said = capsys.readouterr().err
    if kind in fits:
        assert status == 0, said
        return
    assert status == 2
    assert said.count("\n") == 1
    if (job, kind) == ("prompt", "bert"):  # which it can use, but not alone
        assert "--words is missing" in said
        return
    assert str(folder) in said
    if job == "vectors" and kind in ("file", "missing"):  # a file is what it takes
        assert "no such file" in said or "expected 1 number after the word" in said
    elif kind in NOTHING:
        assert NOTHING[kind] in said
    else:
        thing, command = HOLDS[kind]
        assert thing in said
        assert f"minitorch {command}" in said


@pytest.mark.parametrize("kind", ["finetune", "seq2seq", "vectors", "half-seq2seq"])
@pytest.mark.parametrize("job", ["finetune", "seq2seq", "vectors", "pretrain"])
def test_resume_names_the_command_that_began_the_run(folders, capsys, job, kind):
    owner = kind.removeprefix("half-")
    if job == owner:
        pytest.skip("this one goes on")
    assert main([job, "--resume", "--output", str(folders[kind])]) == 2
    said = capsys.readouterr().err
    state = folders[kind] / STATE
    assert f"{state}: not the state of minitorch {job}, but of minitorch {owner}; continue it with" in said
    assert f"minitorch {owner} --resume --output {folders[kind]}" in said


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        ("bert", "gpt", "characters; a BERT needs WordPiece"),
        ("gpt", "bert", "WordPiece, BERT's; a GPT needs characters or bpe"),
        ("bert", "missing", "no such file or folder; a BERT needs WordPiece"),
        ("gpt", "missing", "no such file or folder; a GPT needs characters or bpe, or the file or folder of a tokenizer"),
    ],
)
def test_a_tokenizer_of_another_model(folders, capsys, tmp_path, model, kind, message):
    words = ["--corpus", str(folders["root"] / "words.txt"), "--tokenizer", str(folders[kind]), "--output", str(tmp_path / "out")]
    assert main(["pretrain", "--model", model, *words]) == 2
    shown = capsys.readouterr()
    assert f"--tokenizer {folders[kind]}: {message}" in shown.err
    assert "sha256" not in shown.out  # before the text is read


def test_every_training_leaves_curves_for_tensorboard(folders, capsys):
    assert main(["tensorboard", str(folders["root"])]) == 0
    shown = capsys.readouterr().out
    for kind in ("finetune", "adapter", "seq2seq", "vectors"):  # pretraining: tests/test_pretraining.py writes the same file
        assert f"{folders[kind] / 'events.out.tfevents.minitorch'}: " in shown


def test_beams_of_a_model_that_writes_nothing(folders, capsys):
    assert main(["predict", "a film", "--num-beams", "2", "--model", str(folders["finetune"])]) == 2
    assert "--num-beams is for models that write texts" in capsys.readouterr().err


def test_a_damaged_configuration_and_an_unknown_model(tmp_path):
    (tmp_path / "config.json").write_text("{")
    assert holding(tmp_path) == ""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    (tmp_path / "finetune.json").write_text("{}")
    assert holding(tmp_path) == ""


def test_a_bert_without_its_head_makes_vectors(folders, capsys, tmp_path):
    """It cannot guess words: nobody is sent to a command that refuses it."""
    from models.bert import BertModel

    BertModel.from_pretrained(folders["bert"]).save_pretrained(tmp_path)
    for file in folders["bert"].glob("*token*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert main(["generate", "the", "--model", str(tmp_path)]) == 2
    assert f'this folder holds a BERT; use it: minitorch embed "a text" --model {tmp_path}' in capsys.readouterr().err
    assert main(["embed", "a text", "--model", str(tmp_path)]) == 0
