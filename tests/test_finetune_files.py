"""Bad input to fine-tuning: one line that names file and line, nothing trained is lost. And what is read without complaint."""

import gzip
import json
from pathlib import Path

import pytest

import minitorch
from models.cli import main
from models.errors import BadInput
from models.text import labelled as files
from models.training.runs import alone_in
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
    (GOOD_TSV.encode() + b"caf\xe9\tpos\n", GOOD_TSV, "train.tsv:10: the text is not utf-8; try --encoding latin-1"),
    (GOOD_TSV.encode("utf-16"), GOOD_TSV, "train.tsv:1: the text is not utf-8; try --encoding utf-16"),
    ("text\tlabel\n", GOOD_TSV, "train.tsv: the file has a header and no rows"),
    (gzip.compress(GOOD_TSV.encode()), GOOD_TSV, "train.tsv: compressed by gzip; unpack it first"),
    (GOOD_TSV, GOOD_TSV.encode("utf-16-le"), "dev.tsv:1: a NUL byte, which no text file holds; try --enc"),
    (b"\x7fELF\0\xff\n\0", GOOD_TSV, "train.tsv:1: this is a binary file (or UTF-16), not utf-8 text"),
    (GOOD_TSV + "a\0b\tpos\n", GOOD_TSV, "train.tsv:10: a NUL byte, which no text file holds; is it a text file?"),
    ('text,label\nb,neg\n"a,pos\nb,neg\n', GOOD_TSV, "train.tsv:3: a quote is opened and never closed"),
    ('text,label\nb,neg\n"a" b,pos\nb,neg\n', GOOD_TSV, "train.tsv:3: a field goes on after its closing quote"),
    ("text\tscore\na\t1.5\nb\t1e300\nc\t2.5\n", None, "train.tsv:3: the target 1e300 is too large for the model's numbers"),
    ("text\tscore\na\t1e-200\nb\t2e-200\nc\t3e-200\n", None, "train.tsv:2: the targets, about 2e-200, differ by no more"),
    ("text\tscore\na\t1e9\nb\t1000000000.5\nc\t1e9\n", None, "train.tsv:2: the targets, about 1e+09, differ by no more than 0.5"),
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
    (GOOD_CONLL + "anna\tb-PER\n", "train.conll:7: the tag 'b-PER' is neither O nor B-, I- and a type"),
    (GOOD_CONLL + "anna\tB-\n", "train.conll:7: the tag 'B-' is neither O nor B-, I- and a type"),
    ("1\tanna\tB-PER\n2\twent\tO\n", "train.conll:1: column 1 numbers the words; say with --word-column"),
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
    (squad("anna went", FINE, {"id": "bad", "question": "who ?"}), ": question bad: not a SQuAD file (there is no 'answers')"),
    (squad("anna went", FINE, {"question": "who ?"}), ":9: after question fine: not a SQuAD file (there is no 'id')"),
    (squad("anna went", {**FINE, "is_impossible": True}), "question fine: is marked is_impossible and has an answer, 'anna'"),
    (squad("anna went", {**FINE, "is_impossible": "no"}), "question fine: is_impossible must be true or false, not 'no'"),
    (squad("anna went", {**FINE, "question": "\ud83d who"}), "question fine: \\ud83d is half of a surrogate pair"),
    (squad("anna went", {**FINE, "answers": [{"text": "anna", "answer_start": 10**200}]}), "answer_start must be the number of"),
    (squad("anna went", {**FINE, "answers": [{"text": "anna", "answer_start": 10**400}]}), "a number with hundreds of digits"),
    (squad("anna went", {**FINE, "answers": {"text": ["anna", "x"], "answer_start": [0]}}), "a list of texts and one of as many"),
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
        assert "`minitorch pretrain` makes one" in complaint(capsys, *argv)
    for task in ("qa", "classify", "tag"):  # a task that is named is the user's own: it is not trained on other files
        assert complaint(capsys, task, "--model", model, "--output", tmp_path / "out").startswith("--train FILE is missing")
    assert not (tmp_path / "out").exists()
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


# -------------------------------------------------------------------------------------------- nothing trained is lost


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors.index.json", "pytorch_model.bin"])
def test_a_folder_with_any_model_is_not_written_to(tmp_path, capsys, model, name):
    """Also one in several files, or of another library."""
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    argv = ["classify", "--model", model, "--train", cases.write_classify(tmp_path / "train.tsv", 20), "--output", out]
    assert "holds a run already" in complaint(capsys, *argv)
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_text() == "mine"


def test_two_runs_do_not_write_to_one_folder(tmp_path, capsys, model):
    """The second is refused, new or resumed; what holds it off ends with the first."""
    out = tmp_path / "out"
    usual = ["classify", "--model", model, "--train", cases.write_classify(tmp_path / "train.tsv", 40), "--output", out]
    usual += ["--compare", "none", "--epochs", 1, "--length", 32]
    out.mkdir()
    with alone_in(out):
        assert "another run is writing there" in complaint(capsys, *usual)
        assert list(out.iterdir()) == []
    assert main(["finetune", *map(str, usual)]) == 0
    capsys.readouterr()
    held = {path.name: path.read_bytes() for path in out.iterdir()}
    with alone_in(out):
        for way in ("--resume", "--overwrite"):
            assert "another run is writing there" in complaint(capsys, *usual, way)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == held
    (out / "model.safetensors").write_bytes(held["model.safetensors"][:-9])
    assert main(["finetune", *map(str, usual), "--resume"]) == 2
    assert "the best checkpoint so far cannot be read" in capsys.readouterr().err


def test_what_cannot_be_predicted(tmp_path, capsys, model):
    """Bytes that are no text, a record that somebody changed, an output that is the input: one line, no file changed."""
    out, train = tmp_path / "out", cases.write_classify(tmp_path / "train.tsv", 40)
    usual = ["classify", "--model", model, "--train", train, "--dev", train, "--output", out, "--epochs", 1, "--length", 32]
    assert main(["finetune", *map(str, usual), "--compare", "none"]) == 0
    assert f"--dev {train} is the same as --train" in capsys.readouterr().out
    before, record = Path(train).read_bytes(), (out / "finetune.json").read_text()

    def refuses(says, *argv):
        assert main(["predict", "--model", str(out), *map(str, argv)]) == 2
        err = capsys.readouterr().err
        assert says in err
        assert err.count("\n") == 1

    refuses("text 2: \\udcff is half of a surrogate pair", "a film", "a \udcff film")
    refuses("is also the input", "--file", train, "--output", train)
    assert Path(train).read_bytes() == before
    changes = {
        '"length": 32': '"length": "x"',
        '"neg",': '"neg", "x",',
        '"text": "text"': '"tex": "text"',
        '"labels": [': '"l": [',
    }
    for old, new in changes.items():
        (out / "finetune.json").write_text(record.replace(old, new))
        refuses("finetune.json: ", "a film")


@pytest.mark.parametrize(
    ("task", "train", "dev"),
    [
        ("classify", "text\tlabel\n...\tpos\n!\tneg\n,\tpos\n?\tneg\n", "text\tlabel\n...\tpos\n"),
        ("classify", "text\tlabels\na\tx|y\nb\tx\nc\tx|y\n", "text\tlabels\na\tx\n"),
        ("classify", "text\tlabel\na\t日本\nb\t語\na\t日本\nb\t語\n", None),
        ("tag", "anna\tB-PER\n\nbert\tB-PER\n", None),
        ("choice", '{"question": ".", "choices": ["!", "?"], "label": 0}\n' * 4, None),
    ],
)
def test_an_alternative_that_cannot_be_trained_is_left_out(tmp_path, capsys, model, task, train, dev):
    """All examples are of one class, or there is no word to count: the report is written all the same."""
    out = tmp_path / "out"
    argv = ["finetune", task, "--model", model, "--train", put(tmp_path / "train.txt", train), "--output", out, "--length", 32]
    argv += ["--dev", put(tmp_path / "dev.txt", dev)] if dev else []
    assert main([*map(str, argv), "--min-examples", "1", "--epochs", "1", "--compare", "classical"]) == 0
    assert len(json.loads((out / "report.json").read_text())["alternatives"]) >= 2
    assert "Warning" not in capsys.readouterr().err


def test_names_in_another_encoding(tmp_path, capsys, model):
    """A folder whose name is no UTF-8: trained, resumed, used."""
    folder = tmp_path / "caf\udce9"
    try:
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system has UTF-8 names alone")
    argv = ["classify", "--model", model, "--train", cases.write_classify(folder / "train.tsv", 40), "--output", folder / "out"]
    argv = ["finetune", *map(str, argv), "--compare", "none", "--epochs", "1", "--length", "32"]
    assert main(argv) == 0
    assert main([*argv, "--resume"]) == 0
    assert main(["predict", "--model", str(folder / "out"), "a good film"]) == 0


def test_no_standard_input(capsys, monkeypatch, tmp_path):
    """Empty or closed; and a closed output is no error."""
    job = cases.run("classify", tmp_path, n=16, epochs=1)
    job.train()
    for stdin in (iter(["\n"]), None):
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["predict", "--model", str(tmp_path / "out"), "-"]) == 2
        assert "standard input holds no text" in capsys.readouterr().err
    with monkeypatch.context() as closed:
        closed.setattr("sys.stdout", None)
        assert main(["predict", "--model", str(tmp_path / "out"), "a good film"]) == 0


def test_a_model_that_gives_no_loss_is_never_the_best(tmp_path):
    """The step after which its weights are NaN may be the last before an evaluation."""
    job = cases.run("classify", tmp_path, n=16, metric="loss")
    with minitorch.no_grad():
        job.model.classifier.weight.fill_(float("nan"))
    job.trainer.recent, job.trainer.step = [0.5], 1
    with pytest.raises(BadInput, match=r"the loss became nan at step 1: the rate 0.002 is too high"):
        job.trainer.evaluate()
    assert list((tmp_path / "out").iterdir()) == []
