"""Bad input to fine-tuning: one line that names file and line, nothing trained is lost. And what is read without complaint."""

import json

import pytest

from models.bert.finetuning import files
from models.cli import main
from models.tables import BadInput
from tests import finetune_cases as cases

GOOD_TSV = "text\tlabel\n" + "good film\tpos\nbad film\tneg\n" * 4


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A checkpoint to start from."""
    return str(cases.checkpoint(tmp_path_factory.mktemp("start")))


def complaint(capsys, *argv):
    """The command's one line of complaint."""
    assert main(["finetune", *map(str, argv)]) == 2
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line]
    assert len(lines) == 1, err
    return lines[0].removeprefix("minitorch finetune: error: ")


CLASSIFY = [  # train, dev, what is said (after the file's name)
    ("text\tclass_name\ngood\tpos\nbad\tneg\n", None, "train.tsv:1: which column holds the label? Say so with --label NAME"),
    ("words\tlabel\ngood\tpos\nbad\tneg\n", None, "train.tsv:1: which column holds the text? Say so with --text NAME"),
    (GOOD_TSV, "text\nfilm\n", 'dev.tsv: there is no column "label"'),
    (GOOD_TSV, GOOD_TSV + "a film\tneutral\n", "dev.tsv:10: the label 'neutral' is not among those of the training"),
    (GOOD_TSV + "a film\tneutral\n", GOOD_TSV, "train.tsv:10: the label 'neutral' occurs once in the training examples"),
    (GOOD_TSV + "\tpos\n", GOOD_TSV, 'train.tsv:10: the text in "text" is empty'),
    (GOOD_TSV + "\u200e\tpos\n", GOOD_TSV, "train.tsv:10: the text is empty: it holds nothing but characters"),
    (GOOD_TSV, GOOD_TSV + "good\t\n", 'dev.tsv:10: the label in "label" is empty'),
    (GOOD_TSV + "a\tb\tc\n", GOOD_TSV, "train.tsv:10: 3 fields, but the header names 2 columns"),
    ("text\tlabel\ngood\tpos\nfine\tpos\n", GOOD_TSV, "train.tsv:2: all training examples have the label 'pos'"),
    ("", GOOD_TSV, "train.tsv:1: the file is empty"),
    (GOOD_TSV, "", "dev.tsv:1: the file is empty"),
    (GOOD_TSV.encode() + b"caf\xe9\tpos\n", GOOD_TSV, "train.tsv:10: the text is not utf-8; perhaps it is --encoding latin-1"),
    (GOOD_TSV.encode("utf-16"), GOOD_TSV, "train.tsv:1: the text is not utf-8; perhaps it is --encoding utf-16"),
    ("text\tlabel\n", GOOD_TSV, "train.tsv: the file has a header and no rows"),
]  # fmt: skip


def put(path, content):
    """Write text or bytes."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(("train", "dev", "says"), CLASSIFY, ids=[case[2][:60] for case in CLASSIFY])
def test_bad_tables(tmp_path, capsys, model, train, dev, says):
    """Each is one line with file and line, and what an earlier run left is as it was."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.safetensors").write_text("of an earlier run")
    argv = ["classify", "--model", model, "--train", put(tmp_path / "train.tsv", train), "--output", out, "--overwrite"]
    argv += ["--dev", put(tmp_path / "dev.tsv", dev)] if dev is not None else []
    assert complaint(capsys, *argv).startswith(f"{tmp_path}/{says}")
    assert (out / "model.safetensors").read_text() == "of an earlier run"


GOOD_CONLL = "anna\tB-PER\nwent\tO\n\nnew\tB-LOC\nrome\tI-LOC\n\n"
TAG = [
    (GOOD_CONLL + "to\n", "train.conll:7: 1 column, the lines before it have 2"),
    (GOOD_CONLL + "to\tO\tX\n", "train.conll:7: 3 columns, the lines before it have 2"),
    (GOOD_CONLL + "rome\tI-LOC\n", "train.conll:7: I-LOC continues no entity: the tag before it is the start of the sentence"),
    (GOOD_CONLL + "anna\tB-PER\nrome\tI-LOC\n", "train.conll:8: I-LOC continues no entity: the tag before it is B-PER"),
    (GOOD_CONLL + "\tO\n", "train.conll:7: the word is empty"),
    (GOOD_CONLL + "to\t\n", "train.conll:7: the tag is empty"),
    ("", "train.conll:1: the file is empty"),
    ("anna\nwent\n", "train.conll:1: a line is a word and its tag, with a tab or a space between them"),
    ("anna\tO\nwent\tO\n", "all words of the training file have the tag 'O'"),
    (GOOD_CONLL.encode() + b"\xe9\tO\n", "train.conll:7: the text is not utf-8"),
]


@pytest.mark.parametrize(("train", "says"), TAG, ids=[case[1][:60] for case in TAG])
def test_bad_conll(tmp_path, capsys, model, train, says):
    """Ragged lines, an I- with no B-, empty words."""
    argv = ["tag", "--model", model, "--train", put(tmp_path / "train.conll", train), "--output", tmp_path / "out"]
    said = complaint(capsys, *argv, "--dev", put(tmp_path / "dev.conll", GOOD_CONLL))
    assert said.removeprefix(f"{tmp_path}/").startswith(says)
    assert not (tmp_path / "out").exists()


def test_unknown_tag_in_dev(tmp_path, capsys, model):
    """It names the line."""
    argv = ["tag", "--model", model, "--train", put(tmp_path / "train.conll", GOOD_CONLL)]
    said = complaint(capsys, *argv, "--dev", put(tmp_path / "dev.conll", GOOD_CONLL + "x\tB-ORG\n"), "--output", tmp_path / "o")
    assert said.startswith(f"{tmp_path}/dev.conll:7: the tag 'B-ORG' is not among those of the training file")


def squad(context, *qas):
    """A SQuAD file's text, a line for each thing."""
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": list(qas)}]}]}, indent=1)


FINE = {"id": "fine", "question": "who ?", "answers": [{"text": "anna", "answer_start": 0}]}
LONG = " ".join(["film"] * 60)
QA = [
    (squad("anna went", {**FINE, "id": "bad", "answers": [{"text": "anna", "answer_start": 3}]}),
     ":9: question bad: the answer 'anna' is not at answer_start 3, there is 'a we'; it stands at 0"),
    (squad("anna went", {**FINE, "answers": [{"text": "bert", "answer_start": 0}]}), "it is nowhere in the context"),
    (squad("anna went", {**FINE, "answers": []}), "question fine: has no answer; mark it with is_impossible"),
    (squad("", FINE), "question fine: the context is empty"),
    (squad("anna " + LONG, {**FINE, "question": LONG}), "the context cannot fit: the question takes 26 of --length 32 pieces"),
    ("", ":1: the file is empty"),
    ("{\n oops", ":2: not JSON"),
    ('{"data": [{"paragraphs": [{}]}]}', ":1: not a SQuAD file (there is no 'context')"),
    ("[1]", ":1: not a SQuAD file"),
    ('{"data": []}', ":1: the file holds no question"),
]  # fmt: skip


@pytest.mark.parametrize(("train", "says"), QA, ids=[case[1][:60] for case in QA])
def test_bad_squad(tmp_path, capsys, model, train, says):
    """An answer that is not at its offset, a context that cannot fit, broken JSON."""
    path = put(tmp_path / "train.json", train)
    argv = ["qa", "--model", model, "--train", path, "--dev", put(tmp_path / "dev.json", squad("anna went", FINE))]
    said = complaint(capsys, *argv, "--output", tmp_path / "out", "--length", 32, "--query-length", 26)
    assert said.startswith(f"{path}:")
    assert says in said


CHOICE = [
    (
        '{"question": "x", "choices": ["a", "b"], "label": 0}\n{"question": "x", "choices": ["a", "b"], "label": 2}',
        ":2: the label 2 is none of the choices: a, b (numbers count from 0)",
    ),
    ('{"question": "x", "choices": ["a", "b"], "label": "C"}', ":1: the label 'C' is none of the choices"),
    ('{"question": "x", "choices": ["a", ""], "label": 0}', ":1: choice 1 is empty"),
    ('{"question": "x", "choices": ["a"], "label": 0}', ":1: 1 choice; at least two are needed"),
    ('{"question": "", "choices": ["a", "b"], "label": 0}', ':1: the text in "question" is empty'),
    ('{"question": "x", "label": 0}', ":1: there are no choices"),
    ('{"question": "x", "choices": ["a", "b"], "label": 0}\n{"question"', ":2: not a JSON value"),
    ("[1]", ":1: '1' is not an object"),
]


@pytest.mark.parametrize(("train", "says"), CHOICE, ids=[case[1][:60] for case in CHOICE])
def test_bad_choices(tmp_path, capsys, model, train, says):
    """Labels that are none of the choices, empty choices, broken lines."""
    path = put(tmp_path / "train.jsonl", train + "\n")
    said = complaint(capsys, "choice", "--model", model, "--train", path, "--output", tmp_path / "out")
    assert said.startswith(f"{path}{says}")


def test_bad_options(tmp_path, capsys, model, monkeypatch):
    """Options are refused before anything is read; --overwrite is needed to overwrite, and --resume needs a run."""
    train = cases.write_classify(tmp_path / "train.tsv", 20)
    usual = ["classify", "--model", model, "--train", train, "--output", tmp_path / "out"]
    assert complaint(capsys, *usual, "--lr", 0).startswith("--lr must be from 1e-12 to 1e+12")
    assert complaint(capsys, *usual, "--compare", "some") == "--compare must be one of all, classical, none, not 'some'"
    assert complaint(capsys, *usual, "--class-weights", "pos=x").startswith("--class-weights: 'pos=x' is not label=number")
    assert complaint(capsys, *usual, "--freeze", 3) == "--freeze 3: the model has 2 layers"
    assert "reads at most 64 pieces" in complaint(capsys, *usual, "--length", 65)
    assert "nothing to resume" in complaint(capsys, *usual, "--resume")
    assert "no such folder" in complaint(capsys, *usual[:2], tmp_path / "none", *usual[3:])
    assert "finetune classify --train FILE" in complaint(capsys, *usual[1:])
    monkeypatch.chdir(tmp_path)
    for argv in ([], ["classify", "--train", train]):  # the default checkpoint, before there is one
        assert "`minitorch pretrain` makes a checkpoint there" in complaint(capsys, *argv)
    assert complaint(capsys, "qa", "--model", model, "--output", tmp_path / "out").startswith("--train FILE is missing")
    (tmp_path / "run.toml").write_text("learning-rate = 1")
    assert "no setting is called 'learning-rate'" in complaint(capsys, *usual, "--config", tmp_path / "run.toml")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------ read without complaint


def texts(path, content):
    """The first column of a table."""
    rows = files.read_rows(str(put(path, content)))
    return [record[rows.names[0]] for record in rows.records]


def test_quotes_in_tables(tmp_path):
    """A TSV may be quoted, with line ends inside, or know no quotes, as GLUE's."""
    path = tmp_path / "t.tsv"
    assert texts(path, 'text\tlabel\n"two\n\tlines ""x"""\t1\nplain\t0\n') == ['two\n\tlines "x"', "plain"]
    assert texts(path, 'text\tlabel\n"hello" he said\t1\nfive " inches\t0\n') == ['"hello" he said', 'five " inches']
    assert texts(path, 'text\tlabel\n"open\t1\nand closed"\t0\n') == ['"open', 'and closed"']
    assert texts(path, 'text\tlabel\n"all ""of"" it"\t1\n') == ['all "of" it']
    assert texts(tmp_path / "t.csv", 'text,label\n"a, b",1\r\nc,0\r\n') == ["a, b", "c"]
    assert texts(tmp_path / "t.jsonl", '\n{"text": "é", "label": 1}\n') == ["é"]


def test_conll_variants(tmp_path):
    """Spaces or tabs, four columns, comments, -DOCSTART-, Windows line ends, a word that is #."""
    path = tmp_path / "t.conll"
    four = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\r\nrejects VBZ B-VP O\r\n\r\n\nPeter NNP B-NP B-PER\n"
    sentences = files.read_conll(str(put(path, four)))
    assert [(s.words, s.tags) for s in sentences] == [(["EU", "rejects"], ["B-ORG", "O"]), (["Peter"], ["B-PER"])]
    assert sentences[1].where == [f"{path}:7"]
    assert files.read_conll(str(path), tag_column=2)[0].tags == ["NNP", "VBZ"]
    (one,) = files.read_conll(str(put(path, "# text = a b\n#\tO\na\tO\n")))
    assert one.words == ["#", "a"]
    with pytest.raises(BadInput, match="there is no column 5, the line has 2 columns"):
        files.read_conll(str(path), tag_column=5)
