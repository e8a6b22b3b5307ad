"""How `predict` reads a file: by the settings of the run that trained the model. And files that another task reads."""

import json

import pytest

from models.cli import main
from models.errors import BadInput
from models.finetuning.choice import Choose
from models.finetuning.classify import Classify
from models.finetuning.predictor import Predictor
from models.finetuning.qa import Answer
from models.finetuning.tag import Tag
from models.finetuning.tasks import Settings
from models.text.kinds import kind_of_file
from models.text.labelled import read_conll, read_rows
from tests import finetune_cases as cases

LINES = "not good , but great fun\nbad , and awful film\n"


def put(path, content):
    """Write a file."""
    path.write_text(content)
    return str(path)


# --------------------------------------------------------------------------------------------- a table without a header


@pytest.fixture(scope="module", params=["\t", ",", " "], ids=["tab", "comma", "space"])
def trained(request, tmp_path_factory):
    """(the separator of a training file without a header, the folder of its model)"""
    folder = tmp_path_factory.mktemp("run")
    cut = request.param
    rows = cases.classify_rows(32)
    train = put(folder / "train.txt", "".join(f"{y} {x}\n" if cut == " " else f"{x}{cut}{y}\n" for x, y in rows))
    named = {"columns": "label,text", "delimiter": "space"} if cut == " " else {"columns": "text,label"}
    cases.run("classify", folder, train=train, dev=train, epochs=1, **named).train()
    return cut, folder / "out"


def texts(folder, path, **reading):
    """What the model is asked."""
    return [record["text"] for record in Predictor(folder, **reading).file(str(path))]


def test_plain_lines_are_whole(trained, tmp_path):
    """A comma in a text is no separator unless the run says so; and if it does, a text is no label."""
    cut, folder = trained
    path = put(tmp_path / "lines.txt", LINES)
    if cut == "\t":
        assert texts(folder, path) == LINES.splitlines()
    else:
        with pytest.raises(BadInput, match=r"lines.txt:1: \".*\" stands in the place of the label .* --columns text"):
            texts(folder, path)
    assert texts(folder, path, columns="text") == LINES.splitlines()
    odd = put(tmp_path / "odd.txt", 'text\none\nand , two , commas\n"quoted, so"\n')
    assert texts(folder, odd, columns="text") == ["one", "and , two , commas", "quoted, so"]


def test_labels_may_be_left_out(trained, tmp_path):
    """Or be there, or stand under a header that repeats the names."""
    cut, folder = trained
    if cut == " ":
        assert texts(folder, put(tmp_path / "a", "pos a b\nneg c d\n")) == ["a b", "c d"]
        return
    assert texts(folder, put(tmp_path / "a", "a b\nc d\n")) == ["a b", "c d"]
    assert texts(folder, put(tmp_path / "b", f"a b{cut}pos\nc d{cut}neg\n")) == ["a b", "c d"]
    assert texts(folder, put(tmp_path / "c", f"Text{cut}label\na b{cut}pos\nc d{cut}\n")) == ["a b", "c d"]
    other, called = (",", "comma") if cut == "\t" else ("\t", "tab")
    path = put(tmp_path / "d", f"a b{other}pos\nc d{other}neg\ne{other}neg\n")
    with pytest.raises(BadInput, match=f"most lines have one of neg, pos at an end, after or before a {called}; .*--delimiter"):
        texts(folder, path)
    assert texts(folder, path, delimiter=called) == ["a b", "c d", "e"]


def test_predict_says_how_files_are_read(trained, tmp_path, capsys):
    """From the command."""
    _, folder = trained
    path = put(tmp_path / "lines.txt", LINES)
    assert main(["predict", "--model", str(folder), "--json", "--file", path, "--columns", "text"]) == 0
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == LINES.splitlines()
    for argv, says in (
        (["--columns", "text", "a text"], "--columns says how a file is read: give --file FILE"),
        ([path], f"{path} is a file; its lines as texts: minitorch predict - < {path}"),
        (["--file", path, "--columns", "words"], f"{path}: --columns words lacks text, which the model reads"),
    ):
        assert main(["predict", "--model", str(folder), *argv]) == 2
        assert says in capsys.readouterr().err


def test_pairs_without_labels(tmp_path):
    """Of three columns two are left."""
    task = Classify(Settings(task="classify", columns="label,text,text2"))
    train = put(tmp_path / "train.csv", "1,a,b\n0,c,d\n" * 2)
    task.learn(task.read(train))
    both = [("a", "b, c"), ("d", "e")]
    assert [(e.text, e.pair) for e in task.read(put(tmp_path / "x.csv", 'a,"b, c"\nd,e\n'), labelled=False)] == both
    assert [(e.text, e.pair) for e in task.read(put(tmp_path / "y.csv", '1,a,"b, c"\n0,d,e\n'), labelled=False)] == both
    assert [(e.text, e.pair) for e in task.read(put(tmp_path / "y.csv", '-1,a,"b, c"\n-1,d,e\n'), labelled=False)] == both
    with pytest.raises(BadInput, match=r'z.csv:1: "x" stands in the place of the label'):
        task.read(put(tmp_path / "z.csv", "x,a,b\ny,d,e\n"), labelled=False)
    with pytest.raises(
        BadInput, match=r':2: 2 fields, but --columns names 3 columns \(cut at ","; --delimiter says otherwise\); if'
    ):
        task.read(put(tmp_path / "z.csv", "1,a,b\nd,e\n"), labelled=False)


def test_the_delimiter_of_a_table_with_a_header_binds_no_other(tmp_path):
    """Train on a TSV, predict a CSV, with a header or with --columns."""
    job = cases.run("classify", tmp_path, n=16, epochs=1)
    job.train()
    assert texts(tmp_path / "out", put(tmp_path / "a.csv", "label,text\npos,a b\nneg,c d\n")) == ["a b", "c d"]
    assert texts(tmp_path / "out", put(tmp_path / "b.csv", "pos,a b\nneg,c d\n"), columns="label,text") == ["a b", "c d"]
    for columns in ("text,label", "text", ""):
        with pytest.raises(BadInput, match=r"c.csv: the file has a header and no rows"):
            texts(tmp_path / "out", put(tmp_path / "c.csv", "text\n"), columns=columns)


def test_a_file_without_the_header_that_others_have(tmp_path):
    """Its first row is not listed as columns; plain lines are read by -."""
    task = Classify(Settings(task="classify"))
    task.learn(task.read(cases.write_classify(tmp_path / "train.tsv", 20)))
    path = put(tmp_path / "dev.tsv", "a good film\tpos\na bad film\tneg\n")
    with pytest.raises(
        BadInput, match=r'dev.tsv:1: the first line, "a good film \| pos", names no column text, label; the training'
    ):
        task.read(path)
    path = put(tmp_path / "lines.txt", LINES)
    with pytest.raises(
        BadInput, match=r"lines.txt:1: the first line, .*, names no column text; plain texts.* predict - < .*lines.txt"
    ):
        task.read(path, labelled=False)


# ----------------------------------------------------------------------------------------------------------------- tag


@pytest.fixture
def tagger(tmp_path):
    """A task that has read and learnt files of so many columns."""

    def make(line="{}\t{}\n", **settings):
        task = Tag(Settings(task="tag", **settings))
        words = [("Anna", "B-PER"), ("went", "O"), ("to", "O"), ("New", "B-LOC"), ("York", "I-LOC")]
        task.learn(task.read(put(tmp_path / "train.conll", "".join(line.format(*w) for w in words))))
        return task

    return make


def test_what_may_be_left_out_of_conll(tagger, tmp_path):
    """The tags, or all but the words; a file of sentences is none of these."""
    for task, rows in ((tagger(), ["a\nb\n", "a\tB-PER\nb\tI-PER\n", "a\tU-LOC\nb\tPER-B\n", "a\t_\nb\t_\n"]),
                       (tagger("{} x y {}\n"), ["a\nb\n", "a x y\nb x y\n", "a x y O\nb x y B-LOC\n"])):  # fmt: skip
        for content in rows:
            (sentence,) = task.read(put(tmp_path / "x.conll", content), labelled=False)
            assert (sentence.words, sentence.tags) == (["a", "b"], ["", ""])
    for task, content, says in (
        (tagger(), "hello world\nbye world\n", ":1: 'world' is no tag that this model knows; plain sentences, one per"),
        (tagger(), "one two three\nfour five six\n", ":1: 3 columns, the training file has 2: .*; plain sentences, one per line"),
        (tagger(), "one two three\nfour five\n", ":2: 2 columns, the lines before it have 3; plain sentences, .* predict - < "),
        (tagger("{} x y {}\n"), "a x\nb x\n", ":1: 2 columns, the training file has 4: all of them are needed, or all but the"),
    ):
        with pytest.raises(BadInput, match=says):
            task.read(put(tmp_path / "x.conll", content), labelled=False)


def test_one_tab_among_spaces(tmp_path):
    """Its line is named, not the first."""
    good = "EU NNP B-ORG\nrejects VBZ O\n\nPeter NNP B-PER\n"
    with pytest.raises(BadInput, match=r"t.conll:2: a tab; most lines have spaces between their columns"):
        read_conll(put(tmp_path / "t.conll", good.replace("rejects ", "rejects\t")))
    with pytest.raises(BadInput, match=r"t.conll:1: 4 columns, most lines have 3"):
        read_conll(put(tmp_path / "t.conll", "x " + good))
    with pytest.raises(BadInput, match=r"t.conll:2: 1 column, the lines before it have 3; it has spaces, most lines have tabs"):
        read_conll(put(tmp_path / "t.conll", "EU\tNNP\tB-ORG\nrejects VBZ O\nPeter\tNNP\tB-PER\n"))
    tabs = "-DOCSTART- -X- O\n" + good.replace(" ", "\t")
    assert [s.words for s in read_conll(put(tmp_path / "t.conll", tabs))] == [["EU", "rejects"], ["Peter"]]


@pytest.mark.parametrize("between", [" ", "\t"])
@pytest.mark.parametrize("numbers", ["121", "123", "010", "012"])
@pytest.mark.parametrize("header", ["", "ID FORM POS TAG\n"])
def test_numbered_words(tmp_path, between, numbers, header):
    """By sentence or by file, from 0 or 1, whatever stands between the columns."""
    rows = ["{} EU NNP B-ORG\n", "{} rejects VBZ O\n\n", "{} Peter NNP B-PER\n"]
    text = (header + "".join(row.format(n) for row, n in zip(rows, numbers, strict=True))).replace(" ", between)
    path = put(tmp_path / "t.conll", text)
    with pytest.raises(BadInput, match=r"t.conll:1: column 1 numbers the words; say with --word-column and --tag-column"):
        read_conll(path)
    assert [s.words for s in read_conll(path, word_column=2)] == [["EU", "rejects"], ["Peter"]]


def test_suffixed_tags(tmp_path):
    """PER-B is B-PER; of tags that are like entities and are none, a note says so."""
    content = "anna\tPER-B\nlee\tPER-I\nwent\tO\nrome\tLOC_B\n"
    task = Tag(Settings(task="tag"))
    examples = task.read(put(tmp_path / "t.conll", content))
    task.learn(examples)
    assert (examples[0].tags, task.metric) == (["B-PER", "I-PER", "O", "B-LOC"], "f1")
    assert task.notes == [f"{tmp_path}/t.conll: tags such as PER-I are read as I-PER"]
    for tags in (("PER", "O", "LOC"), ("B-PER", "0", "0"), ("b-per", "i-per", "o"), ("PER:B", "O", "PER:I")):
        task = Tag(Settings(task="tag"))
        task.learn(task.read(put(tmp_path / "t.conll", "".join(f"w\t{tag}\n" for tag in tags))))
        assert task.metric == "accuracy"
        assert task.notes[-1].startswith("tags are taken word by word, not as entities: '")
    task = Tag(Settings(task="tag"))
    task.learn(task.read(put(tmp_path / "t.conll", "a\tDT\nb\tNN\n")))
    assert task.notes == []


# ------------------------------------------------------------------------------------------------- files of another task

FILES = {
    "classify": ["text\tlabel\nA good film\tpos\n", "text,label\nA good film,pos\n", "a good film\tpos\na bad film\tneg\n",
                 '{"text": "a", "label": "b"}\n', '"Sentence";"Class"\n"a";"b"\n'],
    "tag": ["anna B-PER\nwent O\n", "anna\tNNP\tB-PER\n\nwent\tVB\tO\n", "-DOCSTART- O\n\na U_X\nb O\n", "anna\tPER-B\nto\tO\n"],
    "qa": ['{"version": "1", "data": [{"paragraphs": []}]}', '[{"answers": {"text": ["a"], "answer_start": [0]}}]'],
    "choice": ['{"question": "a", "choices": ["b", "c"], "label": 0}\n', '{"sent1": "a", "ending0": "b", "ending1": "c"}'],
    "": ["good films\n", "a\tDT\nb\tNN\n", '{"tokens": []}', "", "It was O . K .\n"],
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_what_a_file_seems_to_be(kind):
    """The task that reads it."""
    assert [kind_of_file(text) for text in FILES[kind]] == [kind] * len(FILES[kind])


@pytest.mark.parametrize(("task", "others"), [(Tag, "classify qa choice"), (Answer, "classify tag choice"),
                                             (Classify, "tag qa"), (Choose, "tag qa")])  # fmt: skip
def test_the_file_of_another_task(tmp_path, task, others):
    """It is said which task reads it."""
    for other in others.split():
        for content in FILES[other]:
            with pytest.raises(BadInput, match=rf"t.txt:1: this seems to be .* `minitorch finetune {other}` reads"):
                task(Settings(task=task.name)).read(put(tmp_path / "t.txt", content))


def test_a_single_sentence_cannot_be_held_out(tmp_path):
    """Where the blank lines are missing."""
    path = put(tmp_path / "t.conll", "anna\tB-PER\nwent\tO\n")
    with pytest.raises(BadInput, match=r"t.conll: no blank line ends a sentence: it is a single one, of 2 words"):
        Tag(Settings(task="tag", train=path)).read(path)
    assert len(Tag(Settings(task="tag", train=path, dev=path)).read(path)) == 1


def test_plain_lines_for_questions(tmp_path):
    """To predict; they are read by -."""
    path = put(tmp_path / "lines.txt", LINES)
    with pytest.raises(BadInput, match=r"lines.txt:1: not JSON .* are read by: minitorch predict - < "):
        Answer(Settings(task="qa")).read(path, labelled=False)


# ------------------------------------------------------------------------------------------------------ numeric targets


def numbers(path, content, **settings):
    """The targets of a table to learn from."""
    task = Classify(Settings(task="classify", **settings))
    examples = task.read(put(path, content))
    task.learn(examples)
    return [task.number(e) for e in examples]


def test_decimal_marks_of_targets(tmp_path):
    """As in tables of numbers."""
    path = tmp_path / "t.csv"
    german = "text;score\na;2.155\nb;19,47\nc;\u22126,5\n"
    assert numbers(path, german, targets="numbers") == [2155, 19.47, -6.5]
    assert numbers(path, german, decimal="comma") == [2155, 19.47, -6.5]
    assert numbers(path, "text\tscore\na\t2.500\nb\t5.000\n") == [2.5, 5]
    assert numbers(path, "text;score\na;2.500\nb;5.000\n", decimal="comma") == [2500, 5000]
    assert numbers(path, "text;score\na;2,5\nb;5,5\n") == [2.5, 5.5]
    for content, says in (
        ("text;score\na;2.500\nb;5.000\n", r't.csv:2: "score": "2.500" may be 2.5 or 2500, .* --decimal comma'),
        ("text;score\na;2.5\nb;3.5\nc;1.5\nd;2.5\ne;2.5\nf;5 %\n", r"t.csv:7: the target '5 %' is not a number"),
        (
            "text;score\na;2.5\nb;3,5\nc;1.5\nd;2.5\ne;2.5\nf;2.5\n",
            r't.csv:3: "score": "3,5" has a decimal comma, but .*:2: .*"2.5"',
        ),
    ):
        with pytest.raises(BadInput, match=says):
            numbers(path, content)


def test_one_column_of_text(tmp_path):
    """Every line is a cell; only open quotes make a cell of several."""
    path = str(tmp_path / "t.csv")
    for content, right in (
        ('text\na, b\n"c, d"\n', ["a, b", "c, d"]),
        ('text\n"a\nb"\nc\n', ["a\nb", "c"]),
        ('text\n"Good" film, so\nc\n', ['"Good" film, so', "c"]),
    ):
        put(tmp_path / "t.csv", content)
        for columns in ("", "text"):
            rows = read_rows(path, columns=columns)
            assert [record["text"] for record in rows.records] == right
            assert rows.lines[0] == 2
