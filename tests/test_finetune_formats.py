"""The formats in which labelled data is published: what is plain is read, what may mean two things is refused."""

import json

import pytest

from models.cli import main
from models.errors import BadInput
from models.finetuning.choice import Choose
from models.finetuning.classify import Classify
from models.finetuning.qa import Answer
from models.finetuning.tag import Tag
from models.finetuning.tasks import Settings
from tests import finetune_cases as cases


def read(kind, path, content, **settings):
    """The task that has read and learnt a training file, and the file's examples."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    task = kind(Settings(task=kind.name, **settings))
    examples = task.read(str(path))
    task.learn(examples)
    task.check(examples)
    return task, examples


def lines(*records):
    """JSONL."""
    return "".join(json.dumps(record) + "\n" for record in records)


# ------------------------------------------------------------------------------------------------------------ classify

CLASSIFY = {  # name: (file name, content, settings, (text, pair, label), targets, labels)
    "MRPC": ("t.tsv", "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n" + "1\t8\t9\ta\tb\n0\t8\t9\tc\td\n" * 2,
             {}, ("#1 String", "#2 String", "Quality"), "classes", ["0", "1"]),
    "AG News with a header": ("t.csv", 'Class Index,Title,Description\n' + '"1","T","a, ""b"""\n"2","T","c"\n' * 2, {},
                              ("Description", "", "Class Index"), "classes", ["1", "2"]),
    "AG News without": ("t.csv", '"1","T","a, ""b"""\n"2","T","c"\n' * 2, {"columns": "label,text,text2"},
                        ("text", "text2", "label"), "classes", ["1", "2"]),
    "SST sentences without a header": ("t.tsv", 'a "b c\t1\nd\t0\n' * 2, {"columns": "text,label"},
                                       ("text", "", "label"), "classes", ["0", "1"]),
    "TREC": ("t.txt", "LOC:city where is it ?\nNUM:count how many , then ?\n" * 2,
             {"columns": "label,text", "delimiter": "space"}, ("text", "", "label"), "classes", ["LOC:city", "NUM:count"]),
    "Excel": ("t.csv", "\ufeffText;Label\r\n\"a; b\";1\r\nc, d;0\r\n\"e\r\nf\";0\r\ng;1\r\n", {},
              ("Text", "", "Label"), "classes", ["0", "1"]),
    "STS-B": ("t.tsv", "index\tsentence1\tsentence2\tscore\n1\ta\tb\t2.500\n2\tc\td\t5.000\n", {},
              ("sentence1", "sentence2", "score"), "numbers", ["score"]),
    "SNLI": ("t.jsonl", lines(*({"gold_label": mark, "sentence1": "a", "sentence2": "b"} for mark in "x-x-yy")),
             {}, ("sentence1", "sentence2", "gold_label"), "classes", ["x", "y"]),
    "a JSON list": ("t.json", json.dumps([{"text": "a", "label": i % 2 == 0} for i in range(4)], indent=1), {},
                    ("text", "", "label"), "classes", ["False", "True"]),
    "floats in JSON": ("t.jsonl", lines(*({"text": "a", "label": float(i % 2)} for i in range(4))), {},
                       ("text", "", "label"), "classes", ["0", "1"]),
    "labels with a separator": ("t.csv", "text,labels\n" + "a,x|y\nb,\nc,y\nd,x\n", {},
                                ("text", "", "labels"), "several", ["x", "y"]),
    "labels with a comma": ("t.tsv", "text\tlabels\n" + 'a\t"0,3"\nb\t3\nc\t0\n', {"targets": "several", "separator": ","},
                            ("text", "", "labels"), "several", ["0", "3"]),
    "lists as pandas writes them": ("t.csv", "text,labels\n" + "a,\"['x', 'y']\"\nb,[]\nc,\"['y', 'x']\"\n", {},
                                    ("text", "", "labels"), "several", ["x", "y"]),
    "a 1 at each label's place": ("t.jsonl", lines(*({"text": "a", "labels": [i % 2, 1, 1]} for i in range(4))), {},
                                  ("text", "", "labels"), "several", ["0", "1", "2"]),
    "a column a label": ("t.csv", "id,comment_text,toxic,insult\n1,a,1,0\n2,b,1,1\n3,c,0,1\n4,d,0,0\n", {"label": "toxic,insult"},
                         ("comment_text", "", "toxic,insult"), "several", ["insult", "toxic"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSIFY)
def test_classify(tmp_path, name):
    """Columns, kind of target and labels are what a person would say."""
    file, content, settings, columns, targets, labels = CLASSIFY[name]
    task, examples = read(Classify, tmp_path / file, content, **settings)
    assert (task.columns, task.targets, task.labels) == (
        dict(zip(("text", "pair", "label"), columns, strict=True)),
        targets,
        labels,
    )
    assert all(e.text for e in examples)
    assert f'reading the text from "{columns[0]}"' in task.notes[0]


def test_what_the_cells_hold(tmp_path):
    """Quotes, rests of lines, places of ones, rows left out."""
    _, sst = read(Classify, tmp_path / "a.tsv", *CLASSIFY["SST sentences without a header"][1:2], columns="text,label")
    assert (sst[0].text, sst[0].where) == ('a "b c', f"{tmp_path}/a.tsv:1")
    _, trec = read(Classify, tmp_path / "a.txt", CLASSIFY["TREC"][1], columns="label,text", delimiter="space")
    assert trec[1].text == "how many , then ?"
    task, ones = read(Classify, tmp_path / "a.jsonl", CLASSIFY["a 1 at each label's place"][1])
    assert [task.target(e) for e in ones[:2]] == [[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    task, columns = read(Classify, tmp_path / "a.csv", CLASSIFY["a column a label"][1], label="toxic,insult")
    assert [task.names(e) for e in columns] == [["toxic"], ["toxic", "insult"], ["insult"], []]
    task, snli = read(Classify, tmp_path / "b.jsonl", CLASSIFY["SNLI"][1])
    assert (len(snli), task.notes[1]) == (4, f"{tmp_path}/b.jsonl: 2 pairs without a gold label (-) are left out")
    _, items = read(Classify, tmp_path / "a.json", CLASSIFY["a JSON list"][1])
    assert [e.where for e in items] == [f"{tmp_path}/a.json:{line}" for line in (2, 6, 10, 14)]


def test_places_of_ones_are_as_many_everywhere(tmp_path):
    """Another number of them in dev, or a 7, is an error."""
    record = {"text": "a", "labels": [0, 1, 1]}
    task, _ = read(Classify, tmp_path / "t.jsonl", lines(record, record, *[{**record, "labels": [1, 1, 0]}] * 2))
    for given in ([0, 1], [0, 1, 1, 0], [0, 1, 7]):
        (tmp_path / "dev.jsonl").write_text(lines(record, {**record, "labels": given}))
        with pytest.raises(BadInput, match=r"dev.jsonl:2: the label must be 3 numbers, each 0 or 1"):
            task.check(task.read(str(tmp_path / "dev.jsonl")))


@pytest.mark.parametrize("encoding", ["utf-8", "UTF_8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path, encoding, end):
    """Also with a byte-order mark; of every task's text files."""
    mark = "" if encoding == "latin-1" else "\ufeff"
    table = (mark + end.join(["text\tlabel", *["é b\t1", "c\t0"] * 2, ""])).encode(encoding)
    task, examples = read(Classify, tmp_path / "t.tsv", table, encoding=encoding)
    assert ([e.text for e in examples[:2]], task.labels) == (["é b", "c"], ["0", "1"])
    words = (mark + end.join(["é\tB-X", "c\tO", "", "d\tO", ""])).encode(encoding)
    _, sentences = read(Tag, tmp_path / "t.conll", words, encoding=encoding)
    assert [s.words for s in sentences] == [["é", "c"], ["d"]]
    rows = (mark + end.join(json.dumps({"text": "é", "label": i % 2}, ensure_ascii=False) for i in range(4))).encode(encoding)
    assert len(read(Classify, tmp_path / "t.jsonl", rows, encoding=encoding)[1]) == 4


def test_labels_that_look_alike_may_be_two(tmp_path):
    """If it is said."""
    table = "text\tlabel\n" + "a\tpos\nb\tPos\n" * 2
    assert read(Classify, tmp_path / "t.tsv", table, targets="classes")[0].labels == ["Pos", "pos"]
    table = "text\tlabel\n" + "a\t10\nb\tnan\nc\t9\nd\tb\n" * 2
    assert read(Classify, tmp_path / "t.tsv", table)[0].labels == ["9", "10", "b", "nan"]


def test_the_encoding_that_it_may_be(tmp_path):
    """Said where another was asked for."""
    with pytest.raises(BadInput, match=r"t.tsv:2: the text is not ascii; try --encoding utf-8"):
        read(Classify, tmp_path / "t.tsv", "text\tlabel\né\t1\n", encoding="ascii")


def test_a_field_may_be_a_whole_document(tmp_path):
    """Longer than the csv module takes by itself."""
    _, examples = read(Classify, tmp_path / "t.csv", f'text,label\n"{"good film, " * 30_000}",1\nb,0\nc,1\nd,0\n')
    assert len(examples[0].text) > 300_000


def test_texts_alone(tmp_path):
    """A header and a text a line, to predict: a comma in a text does not matter; quotes do where a line begins with one."""
    task = Classify(Settings(task="classify"))
    task.columns = {"text": "text", "pair": "", "label": "label"}
    for content, texts in (("text\na, b\n\nc\n", ["a, b", "c"]), ('text\n"a\nb"\nc\n', ["a\nb", "c"])):
        (tmp_path / "t.csv").write_text(content)
        assert [e.text for e in task.read(str(tmp_path / "t.csv"), labelled=False)] == texts


REFUSED = [
    ("t.tsv", "text\tlabel\n" + "a\tpos\nb\tneg\n" * 2 + "c\tPos\n" * 2, {}, ":6: the label 'Pos' is hardly another than 'pos'"),
    ("t.tsv", "text\tlabel\n" + "a\t1\nb\t0\n" * 2 + "c\t1.0\n" * 2, {}, ":6: the label '1.0' is hardly another than '1'"),
    ("t.tsv", "text\tlabel\n" + "a\t\u00e9\nb\te\u0301\n" * 2, {}, ":3: the label .* is hardly another than"),
    ("t.tsv", "text\tlabels\n" + "a\tx|y\nb\ty|X \n" * 2, {}, ":3: the label 'X' is hardly .* or give --targets several"),
    ("t.jsonl", lines({"text": "a", "label": {"x": 1}}), {"targets": "several"}, ":1: the label {'x': 1} is neither a name nor"),
    ("t.tsv", "text\tscore\na\t1_000\nb\t2\n", {"targets": "numbers"}, ":2: the target '1_000' is not a number"),
    ("t.jsonl", lines({"text": "a", "label": "x"}, {"text": "\ud83d", "label": "y"}), {}, r":2: \\ud83d is half of a surrogate"),
    ("t.jsonl", lines(*({"text": "a", "label": x} for x in (0, 1, float("nan"), 1))), {}, ':3: the label in "label" is empty'),
    ("t.jsonl", lines(*({"text": "a", "label": x} for x in (["x"], ["y", None]))), {}, ":2: None in the list of labels is not"),
    ("t.jsonl", lines(*({"text": "a", "label": x} for x in (["x"], ["y", {"z": 1}]))), {}, ":2: {'z': 1} in the list of labels"),
    ("t.tsv", "a\t1\n", {"columns": "text,text"}, "--columns names text more than once"),
    ("t.tsv", "good film\t1\nbad film\t0\n", {}, "if that line is no header, name the columns with --columns"),
    ("t.csv", 'text,score\na,"0,5"\nb,"1,5"\n', {}, ":2: what is the label '0,5'. Write decimals with a point"),
    ("t.tsv", "text\tscore\na\t0,5\nb\t1\n", {}, ":2: what is the label '0,5'. Write decimals with a point"),
    ("t.csv", "text;score\na;0,5\nb;1,5\nc;1,2,3\n", {}, ":2: what is the label '0,5'. Write decimals with a point"),
    ("t.csv", "text,score\na,0.5\nb,1.5\nc,2.5\nd,3.5\ne,high\nf,4.5\n", {}, ":6: the target 'high' is not a number"),
    ("t.csv", "text,score\na,1\nb,2\n", {}, ":2: the label '1' occurs once .* or --targets numbers if it is a quantity"),
    ("t.csv", "text,x,y\na,1,0\nb,2,0\n", {"label": "x,y"}, ':3: "x" must be 0 or 1'),
    ("t.jsonl", lines({"text": "a", "label": ["x"]}, {"text": "b", "label": "x"}), {}, "'x' is the only label"),
    ("t.json", '[{"text": "a", "label": 1},\n{"text": "b", "la', {}, ":2: not JSON"),
    ("t.txt", "a b\nc\n", {"columns": "label,text", "delimiter": "space"}, ":2: 1 field, but --columns names 2 columns"),
    ("t.csv", "a,b,c\n", {"columns": "label,text"}, ":1: 3 fields, but --columns names 2 columns"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "content", "settings", "says"), REFUSED, ids=[case[3][:40] for case in REFUSED])
def test_classify_refuses(tmp_path, file, content, settings, says):
    """With the cure."""
    with pytest.raises(BadInput, match=says):
        read(Classify, tmp_path / file, content, **settings)


@pytest.mark.parametrize("content", ["text;score\na;0,5\nb;-1,5\nc;2\n", "text\tscore\na\t0,5\nb\t-1,5\nc\t2,0\n"])
def test_labels_with_decimal_commas_are_numbers_where_no_comma_cuts_the_file(tmp_path, content):
    task, examples = read(Classify, tmp_path / "t.csv", content)
    assert task.targets == "numbers"
    assert [task.number(e) for e in examples] == [0.5, -1.5, 2]


# ----------------------------------------------------------------------------------------------------------------- tag

SCHEMES = {
    "BILOU": "a\tU-X\nb\tB-Y\nc\tI-Y\nd\tL-Y\ne\tO\n",
    "IOBES": "a\tS-X\nb\tB-Y\nc\tI-Y\nd\tE-Y\ne\tO\n",
    "BMES": "a\tS-X\nb\tB-Y\nc\tM-Y\nd\tE-Y\ne\tO\n",
    "underscores": "a\tB_X\nb\tB_Y\nc\tI_Y\nd\tI_Y\ne\tO\n",
    "a header": "Token\tNER_tag\na\tB-X\nb\tB-Y\nc\tI-Y\nd\tI-Y\ne\tO\n",
    "comments with as many columns": "# id=5 domain=en\na B-X\nb B-Y\nc I-Y\nd I-Y\ne O\n".replace("id=5 ", "id=5,"),
    "four columns and such comments": "# id 5 domain=en\na _ _ B-X\nb _ _ B-Y\nc _ _ I-Y\nd _ _ I-Y\ne _ _ O\n",
}


@pytest.mark.parametrize("name", SCHEMES)
def test_tag_schemes(tmp_path, name):
    """All become IOB2."""
    task, (sentence,) = read(Tag, tmp_path / "t.conll", SCHEMES[name])
    assert (sentence.words, sentence.tags) == (list("abcde"), ["B-X", "B-Y", "I-Y", "I-Y", "O"])
    assert task.labels == ["O", "B-X", "I-X", "B-Y", "I-Y"]


def test_tag_details(tmp_path):
    """CoNLL-U's lines that are no words, a word "#", words alone to predict, an entity that goes on from nothing."""
    row = "{}\t{}\tl\t{}\tx\t_\t0\troot\t_\t_\n"
    text = "# text = a b\n" + "".join(
        row.format(*r) for r in (("1-2", "ab", "_"), ("1", "a", "DET"), ("2", "b", "NOUN"), ("2.1", "c", "V"))
    )
    task, (sentence,) = read(Tag, tmp_path / "t.conllu", text, word_column=2, tag_column=4)
    assert (sentence.words, sentence.tags, task.metric) == (["a", "b"], ["DET", "NOUN"], "accuracy")
    assert read(Tag, tmp_path / "t.conllu", text)[1][0].tags == ["DET", "NOUN"]  # of CoNLL-U these columns are the usual ones
    _, (sentence,) = read(Tag, tmp_path / "t.conll", "10\u00a0000 O\na\u3000b  B-X\n\x0c\u2028c O \n")
    assert sentence.words == ["10\u00a0000", "a\u3000b", "c"]
    _, (sentence,) = read(Tag, tmp_path / "t.conll", "# id\t1\na\tB-X\nb\tO\n")
    assert sentence.words == ["a", "b"]
    _, (sentence,) = read(Tag, tmp_path / "t.conll", "# O\n#x B-X\na B-X\nb O\n")
    assert sentence.words == ["#", "#x", "a", "b"]
    (tmp_path / "words.txt").write_text("token\ndoes\n\nwell\n")
    assert [s.words for s in Tag(Settings(task="tag")).read(str(tmp_path / "words.txt"), labelled=False)] == [
        ["token", "does"],
        ["well"],
    ]
    task, _ = read(Tag, tmp_path / "t.conll", "a\tB-PER\nb\tO\nc\tB-per\n")
    assert task.notes == ["PER, per differ in capitals alone and are taken as 2 types of entities"]
    for tags, says in (
        (("B-X", "I-Y"), "2: I-Y continues no entity: the tag before it is B-X"),
        (("S-X", "E-X", "O"), "2: E-X contin"),
    ):
        with pytest.raises(BadInput, match=says):
            read(Tag, tmp_path / "t.conll", "".join(f"w\t{tag}\n" for tag in tags))
    with pytest.raises(BadInput, match=r"t.conll:1: this is JSON; tag reads CoNLL"):
        read(Tag, tmp_path / "t.conll", '{"tokens": ["a"], "tags": ["O"]}')


# ---------------------------------------------------------------------------------------------------------- qa, choice

FLAT = {"context": "anna went", "question": "who?", "answers": {"text": ["anna"], "answer_start": [0]}}


@pytest.mark.parametrize("write", [lambda r: json.dumps({"data": r}), json.dumps, lambda r: lines(*r)])
def test_flat_questions(tmp_path, write):
    """As Hugging Face's datasets have them: a list, under "data", or one a line; no answers are no answer."""
    records = [{**FLAT, "id": "a"}, {**FLAT, "id": "b", "answers": {"text": [], "answer_start": []}}]
    task, (first, second) = read(Answer, tmp_path / "t.json", write(records))
    assert (first.answers, second.answers, task.may_be_none) == ([("anna", 0)], [], True)


def test_one_flat_question(tmp_path):
    """The only line of a file."""
    assert len(read(Answer, tmp_path / "t.jsonl", lines({**FLAT, "id": "a"}))[1]) == 1


QUESTIONS = [
    ({"question": None}, ":4: question x: the question must be a text, not None"),
    ({"context": " "}, ":4: question x: the context is empty"),
    ({"answers": [{"text": "anna", "answer_start": None}]}, ":4: question x: answer_start must be the number"),
    ({"answers": [{"text": "anna", "answer_start": 0.5}]}, ":4: question x: answer_start must be the number"),
    ({"answers": [{"text": 5, "answer_start": 0}]}, ":4: question x: an answer must be a text, not 5"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "says"), QUESTIONS)
def test_bad_questions(tmp_path, changes, says):
    """The line is that of the question's id, also where earlier questions hold the same text."""
    content = (
        "["
        + ",\n".join(json.dumps({**FLAT, "id": key}) for key in "abc")
        + ",\n"
        + json.dumps({**FLAT, "id": "x", **changes})
        + "]"
    )
    with pytest.raises(BadInput, match=says):
        read(Answer, tmp_path / "t.json", content)


CHOICES = {  # the records of two examples, the wholes and targets they mean
    "COPA": ({"premise": "it fell", "question": "cause", "choice1": "a", "choice2": "b", "label": 1}, "it fell cause", 1),
    "SWAG": ({"sent1": "He is", "sent2": "The man", "ending0": "a", "ending1": "b", "label": 0}, "He is The man", 0),
    "HellaSwag": ({"ctx_a": "A", "ctx_b": "", "ctx": "A man", "endings": ["a", "b"], "label": "1"}, "A man", 1),
    "RACE": ({"article": "Long.", "question": "What?", "options": ["a", "b", "c"], "answer": "C"}, "Long. What?", 2),
    "CommonsenseQA": ({"question": {"stem": "where?", "choices": [{"label": "A", "text": "a"}, {"label": "B", "text": "b"}]},
                       "answerKey": "B"}, "where?", 1),
    "ARC": ({"question": "where?", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "2"}, "where?", 1),
    "WinoGrande": ({"sentence": "The _ is", "option1": "a", "option2": "b", "answer": "2"}, "The _ is", 1),
    "MMLU": ({"question": "q", "A": "a", "B": "b", "C": "c", "answer": "B"}, "q", 1),
    "a float": ({"question": "q", "choices": ["a", "b"], "label": 1.0}, "q", 1),
    "no labels of their own": ({"question": "q", "choices": {"text": ["a", "b"], "label": None}, "label": 1}, "q", 1),
    "the answer's text": ({"question": "q", "choices": ["red", "blue"], "answer": "blue"}, "q", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_choice(tmp_path, name):
    """Text, lead and target."""
    record, whole, target = CHOICES[name]
    _, examples = read(Choose, tmp_path / "t.jsonl", lines(record, record))
    assert [(e.whole, e.target) for e in examples] == [(whole, target)] * 2


def test_each_choice_has_its_label_or_none_has(tmp_path):
    """Else it is not known whose they are."""
    for choices in ({"text": ["a", "b", "c"], "label": ["B", "C"]}, [{"text": "a", "label": "B"}, {"text": "b"}]):
        with pytest.raises(BadInput, match=r"t.jsonl:1: \d choices, but their labels are"):
            read(Choose, tmp_path / "t.jsonl", lines({"question": "q", "choices": choices, "answer": "B"}))


def test_choices_count_from_0_or_1(tmp_path):
    """The training file says which; dev is read in the same way."""
    record = {"question": "q", "choices": ["a", "b", "c"]}
    task, examples = read(Choose, tmp_path / "t.jsonl", lines(*({**record, "label": i} for i in (1, 2, 3))))
    assert [e.target for e in examples] == [0, 1, 2]
    (tmp_path / "dev.jsonl").write_text(lines({**record, "label": 1}, {**record, "label": 0}))
    with pytest.raises(BadInput, match=r"dev.jsonl:2: the label 0 is none of the choices: a, b, c \(numbers count from 1\)"):
        task.read(str(tmp_path / "dev.jsonl"))


# ----------------------------------------------------------------------------------------------------- from the command


@pytest.mark.parametrize(("task", "typed"), [("qa", "who ?\tanna went to rome ."), ("choice", "it was\tgood film\tbad film")])
def test_predict_from_standard_input(tmp_path, capsys, monkeypatch, task, typed):
    """A question and its context, a text and its choices, with tabs between them."""
    job = cases.run(task, tmp_path, epochs=1, n=16)
    job.train()
    monkeypatch.setattr("sys.stdin", iter([typed + "\n", "\n", typed + "\n"]))
    assert main(["predict", "--model", str(tmp_path / "out"), "--json", "-"]) == 0
    assert len([json.loads(line)["prediction"] for line in capsys.readouterr().out.splitlines()]) == 2
    assert main(["predict", "--model", str(tmp_path / "out"), "no tab"]) == 2
    assert "text 1: give the" in capsys.readouterr().err


def test_where_a_run_cannot_write(tmp_path):
    """It is said before anything is trained; and the checkpoint that it starts from is never overwritten."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="file/out: cannot write there: Not a directory"):
        cases.run("classify", tmp_path, output=str(tmp_path / "file" / "out"))
    with pytest.raises(BadInput, match="is the checkpoint that the run starts from"):
        cases.run("classify", tmp_path, output=str(tmp_path / "start"))
    with pytest.raises(BadInput, match="--class-weights: 'pos=-1': a weight must be a number from 1e-6 to 1e6"):
        cases.run("classify", tmp_path, class_weights="pos=-1")
