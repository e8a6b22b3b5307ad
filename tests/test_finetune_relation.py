"""Relations of marked entities: the official scores, the files, the markers as tokens, the head, a whole run."""

import dataclasses
import json
import warnings

import numpy as np
import pytest

import minitorch
from minitorch.parallel import Workers
from models import bert, finetuning
from models.cli import main
from models.errors import BadInput
from models.finetuning import metrics
from models.finetuning.classify import Classify
from models.finetuning.relation import MARKERS, BertForRelation, Relation, nearest
from models.finetuning.run import Run
from models.finetuning.tag import Tag
from models.finetuning.tasks import Settings
from models.text.marked import Marked, unmarked
from tests import finetune_cases as cases

# A confusion matrix that the official scorer of SemEval-2010 Task 8 (version 1.2) printed (rows: right answers), and its scores.
NINE = "Cause-Effect Component-Whole Content-Container Entity-Destination Entity-Origin Instrument-Agency"
NINE = [*NINE.split(), "Member-Collection", "Message-Topic", "Product-Producer"]
LABELS = [*(f"{name}(e{a},e{3 - a})" for name in NINE for a in (1, 2)), "Other"]
CONFUSION = """
101 14 0 1 0 0 1 0 0 0 1 2 0 1 2 0 0 0 11
7 162 0 0 0 0 0 0 11 0 0 0 0 2 0 0 0 3 9
0 1 102 17 4 4 3 1 2 1 0 2 3 6 3 0 0 2 11
0 1 24 85 0 1 2 0 0 1 0 5 0 2 2 2 0 2 23
0 0 1 1 130 7 6 1 3 0 0 0 0 1 0 0 0 1 2
0 0 0 4 1 26 1 0 2 1 0 0 0 1 0 0 0 0 3
0 0 1 0 13 3 255 3 1 1 0 1 0 0 2 0 0 3 8
0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0
2 1 0 0 0 0 7 0 163 6 0 1 0 4 2 0 6 0 19
1 0 1 0 1 1 0 0 7 27 0 1 0 0 0 0 0 1 7
0 0 1 0 0 1 0 0 0 0 4 3 1 0 1 0 0 1 10
1 1 3 8 0 0 1 0 2 1 4 76 0 1 3 2 0 6 25
0 0 2 0 0 0 1 0 2 0 0 1 15 3 0 1 1 0 6
0 0 6 3 1 0 0 0 1 0 1 0 9 161 2 1 0 5 11
0 0 1 6 0 1 3 0 0 0 0 2 0 2 148 17 2 7 21
0 0 0 0 0 0 0 0 0 0 0 1 0 0 8 31 2 3 6
1 6 1 2 0 0 1 1 5 0 0 0 0 3 1 2 61 13 11
0 0 1 4 0 0 3 0 2 2 0 8 0 2 2 3 8 71 17
3 12 15 34 22 3 28 2 36 7 2 18 4 37 31 7 10 20 163
"""
OFFICIAL = {  # relation: P, R, F1 in percent
    "Cause-Effect": (83.76, 80.18, 81.93),
    "Component-Whole": (57.72, 59.94, 58.81),
    "Content-Container": (71.23, 81.25, 75.91),
    "Entity-Destination": (79.75, 87.67, 83.52),
    "Entity-Origin": (66.90, 73.64, 70.11),
    "Instrument-Agency": (60.15, 51.28, 55.36),
    "Member-Collection": (68.22, 75.54, 71.69),
    "Message-Topic": (65.57, 68.58, 67.04),
    "Product-Producer": (57.89, 57.14, 57.52),
    "Other": (44.90, 35.90, 39.90),
    "micro avg": (68.78, 71.54, 70.13),
    "macro avg": (67.91, 70.58, 69.10),
}


def answers():
    """(gold, predicted) of that matrix."""
    table = np.array([line.split() for line in CONFUSION.split("\n") if line], dtype=int)
    pairs = [(LABELS[i], LABELS[j]) for i, j in np.ndindex(table.shape) for _ in range(table[i, j])]
    return [g for g, _ in pairs], [p for _, p in pairs]


def percent(row):
    """P, R, F1 as the scorer prints them."""
    return tuple(round(100 * row[key], 2) for key in ("precision", "recall", "f1"))


# ------------------------------------------------------------------------------------------------------------ scores


def test_the_official_scores_of_semeval():
    """Every figure that the official scorer printed for this matrix: 9+1 classes with directions, without, and 2·9+1 classes."""
    gold, given = answers()
    scores = metrics.relations(gold, given, LABELS, ["Other"])
    for name, row in OFFICIAL.items():
        assert percent(scores["classes"][name]) == row
    assert round(100 * scores["relation_f1"], 2) == 69.10
    assert round(100 * scores["micro_f1"], 2) == 70.13
    assert round(100 * scores["undirected_f1"], 2) == 75.47
    assert percent(scores["directed"]["macro avg"]) == (60.36, 66.66, 61.20)
    assert percent(scores["directed"]["Entity-Destination(e2,e1)"]) == (11.11, 100.0, 20.0)
    assert round(100 * scores["accuracy"], 2) == 65.59
    assert scores["directions"]["Cause-Effect(e1,e2)"] == {"right": 101, "turned": 14, "another": 19}
    assert sum(row["turned"] for row in scores["directions"].values()) == 151  # the scorer's column xDIRx
    assert np.sum(scores["confusion"]) == 2717


def test_merged_directions_give_the_scores_without_directions():
    """As the scorer's second table."""
    gold, given = ([metrics.undirected(label) for label in labels] for labels in answers())
    scores = metrics.relations(gold, given, [*NINE, "Other"], ["Other"])
    assert round(100 * scores["relation_f1"], 2) == round(100 * scores["macro_f1"], 2) == 75.47
    assert round(100 * scores["micro_f1"], 2) == 76.67
    assert "directions" not in scores
    assert "undirected_f1" not in scores


def test_scores_by_hand():
    """A turned direction is a wrong answer; what is nobody's right answer is in no average; averages of nothing are 0."""
    gold = ["A(e1,e2)", "A(e1,e2)", "B(e1,e2)", "Other", "Other"]
    given = ["A(e1,e2)", "A(e2,e1)", "Other", "A(e1,e2)", "C(e1,e2)"]
    labels = ["A(e1,e2)", "A(e2,e1)", "B(e1,e2)", "C(e1,e2)", "Other"]
    scores = metrics.relations(gold, given, labels, ["Other"])
    assert percent(scores["classes"]["A"]) == (33.33, 50.0, 40.0)  # 1 of 3 that were given, 1 of 2 that were asked for
    assert scores["relation_f1"] == pytest.approx((0.4 + 0) / 2)
    assert scores["micro_f1"] == pytest.approx(1 / 3)  # 1 right of 3 given (C counts as Other) and 3 asked for
    assert scores["undirected_f1"] == pytest.approx((0.8 + 0) / 2)
    assert metrics.relations(gold, given, labels)["relation_f1"] == pytest.approx((0.4 + 0 + 0) / 3)
    assert metrics.relations(["Other"], ["Other"], labels, ["Other"])["relation_f1"] == 0


def test_scores_without_directions_are_scikit_learns():
    """TACRED's: micro F1 without no_relation."""
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    labels = ["no_relation", "org:founded_by", "per:title"]
    gold, given = (rng.choice(labels, 60).tolist() for _ in range(2))
    scores = metrics.relations(gold, given, labels, ["no_relation"])
    assert scores["micro_f1"] == pytest.approx(f1_score(gold, given, labels=labels[1:], average="micro"))
    assert scores["relation_f1"] == pytest.approx(f1_score(gold, given, labels=labels[1:], average="macro"))
    assert metrics.relations(gold, given, labels)["macro_f1"] == pytest.approx(f1_score(gold, given, average="macro"))


# ------------------------------------------------------------------------------------------------------------- files


def task(**settings):
    """The task, for reading files."""
    return Relation(Settings(task="relation", **settings))


def read(path, content, labelled=True, **settings):
    """(text with marks, label) of each example of a file."""
    path.write_text(content, encoding="utf-8")
    job = task(**settings)
    return [("".join(e.parts), e.label) for e in job.read(str(path), labelled)]


SEMEVAL = """1\t"The <e1>audits</e1> were about <e2>waste</e2>, and \\"more\\"."
Message-Topic(e1,e2)
Comment: Assuming an audit = an audit document.

2\t"A <e2>burst</e2> by <e1>pressure</e1>."
Cause-Effect (e1 , e2)
Comment:

10\t" the <e1> box </e1> and the <e2>lid</e2> "
Other
"""
PARSED = [
    ('The <e1>audits</e1> were about <e2>waste</e2>, and \\"more\\".', "Message-Topic(e1,e2)"),
    ("A <e2>burst</e2> by <e1>pressure</e1>.", "Cause-Effect(e1,e2)"),
    ("the  <e1>box</e1>  and the <e2>lid</e2>", "Other"),
]


def test_the_layout_of_semeval(tmp_path):
    """Numbered sentences in quotes, relations, comments of one or more lines; any line ends; without comments and blank lines."""
    assert read(tmp_path / "a.txt", SEMEVAL) == PARSED
    assert read(tmp_path / "b.txt", SEMEVAL.replace("\n", "\r\n")) == PARSED
    assert read(tmp_path / "c.txt", SEMEVAL.replace("Comment:\n", "Comment: of two\nlines\n")) == PARSED
    short = "\n".join(line for line in SEMEVAL.split("\n") if line and not line.startswith("Comment"))
    assert read(tmp_path / "d.txt", short) == PARSED
    unlabelled = "\n".join(line for line in SEMEVAL.split("\n") if line[:1].isdigit())
    assert read(tmp_path / "e.txt", unlabelled, labelled=False) == [(text, "") for text, _ in PARSED]
    assert read(tmp_path / "f.txt", SEMEVAL, labelled=False) == [(text, "") for text, _ in PARSED]
    assert read(tmp_path / "g.txt", SEMEVAL, merge_directions=True)[0][1] == "Message-Topic"
    (e, *_) = task().read(str(tmp_path / "a.txt"))
    assert (e.id, e.where) == ("1", f"{tmp_path / 'a.txt'}:1")


TEXTS = [
    ("<e1>Anna Bell</e1> leads <e2>Acme</e2> .", "Leads(e1,e2)"),
    ("<e2>Rome</e2> is where <e1>Bo</e1> lives", "Lives(e1,e2)"),
]
PLAIN = ["Anna Bell leads Acme .", "Rome is where Bo lives"]
LEADS, LIVES = (label for _, label in TEXTS)


def lines(*records):
    """JSONL."""
    return "".join(json.dumps(record) + "\n" for record in records)


TABLES = {
    "marks.tsv": "sentence\trelation\n" + "".join(f"{text}\t{label}\n" for text, label in TEXTS),
    "words.tsv": f"text\te1\te2\tlabel\n{PLAIN[0]}\tAnna Bell\tAcme\t{LEADS}\n{PLAIN[1]}\tBo\tRome\t{LIVES}\n",
    "spans.csv": f'text,e1,e2,label\n{PLAIN[0]},0:9,16:20,"{LEADS}"\n{PLAIN[1]},14-16,"[0, 4]","{LIVES}"\n',
    "ends.csv": f'text,e1_start,e1_end,e2_start,e2_end,label\n{PLAIN[0]},0,9,16,20,"{LEADS}"\n{PLAIN[1]},14,16,0,4,"{LIVES}"\n',
    "marks.jsonl": lines(*({"text": text, "label": label} for text, label in TEXTS)),
    "brackets.jsonl": lines(*({"text": t.replace("<", "[").replace(">", "]").upper(), "label": label} for t, label in TEXTS)),
    "spans.jsonl": lines(
        {"text": PLAIN[0], "head": {"start": 0, "end": 9}, "tail": [16, 20], "relation": LEADS},
        {"text": PLAIN[1], "head": [14, 16], "tail": {"start": 0, "end": 4}, "relation": LIVES},
    ),
    "wiki80.jsonl": lines(
        {"token": PLAIN[0].split(), "h": {"name": "anna bell", "pos": [0, 2]}, "t": {"pos": [3, 4]}, "relation": LEADS},
        {"token": PLAIN[1].split(), "h": {"pos": [3, 4]}, "t": {"pos": [0, 1]}, "relation": LIVES},
    ),
    "tacred.json": json.dumps(
        [
            {"token": PLAIN[0].split(), "subj_start": 0, "subj_end": 1, "obj_start": 3, "obj_end": 3, "relation": LEADS},
            {"token": PLAIN[1].split(), "subj_start": 3, "subj_end": 3, "obj_start": 0, "obj_end": 0, "relation": LIVES},
        ]
    ),
}


@pytest.mark.parametrize("name", list(TABLES))
def test_tables(tmp_path, name):
    """Marks, words, spans of characters or tokens: the same examples from all of them, with labels and without."""
    found = read(tmp_path / name, TABLES[name])
    expected = (
        [(text.upper().replace("E1>", "e1>").replace("E2>", "e2>"), label) for text, label in TEXTS] if "br" in name else TEXTS
    )
    assert found == expected
    assert read(tmp_path / f"again-{name}", TABLES[name], labelled=False) == [(text, "") for text, _ in expected]


def test_named_columns_and_headerless_tables(tmp_path):
    """--e1 and --e2 name a column, or two with the span; --columns names all where the file does not."""
    content = f"{PLAIN[0]}\tAnna Bell\tAcme\tLeads\n{PLAIN[1]}\tBo\tRome\tLives\n"
    found = read(tmp_path / "a.tsv", content, columns="what,who,whom,how", text="what", e1="who", e2="whom", label="how")
    assert [text for text, _ in found] == [text for text, _ in TEXTS]
    content = f"s,from,to,x,y,label\n{PLAIN[0]},0,9,16,20,Leads\n"
    assert read(tmp_path / "b.csv", content, text="s", e1="from,to", e2="x,y")[0][0] == TEXTS[0][0]
    content = "".join(f"{text}\t{label}\n" for text, label in TEXTS)
    assert read(tmp_path / "c.tsv", content, columns="text,label") == TEXTS


def test_predict_without_a_header_reads_as_the_run_did(tmp_path):
    """The label may be left out; a line of marked text with commas is one text."""
    content = "".join(f"{text}\t{label}\n" for text, label in TEXTS)
    job = task(columns="text,label")
    (tmp_path / "a.tsv").write_text(content)
    job.read(str(tmp_path / "a.tsv"))
    for name, lines in (("b.tsv", content), ("c.txt", f"{TEXTS[0][0]}\nso, <e1>a</e1>, and <e2>b</e2>\n")):
        (tmp_path / name).write_text(lines)
        found = ["".join(e.parts) for e in job.read(str(tmp_path / name), labelled=False)]
        assert found == [TEXTS[0][0], TEXTS[1][0] if name == "b.tsv" else "so, <e1>a</e1>, and <e2>b</e2>"]


def test_the_file_of_another_task(tmp_path):
    """Is named, there and here."""
    (tmp_path / "a.txt").write_text(SEMEVAL)
    for kind in (Classify, Tag):
        with pytest.raises(BadInput, match=r"texts that mark two entities, .* which `minitorch finetune relation` reads"):
            kind(Settings(task=kind.name)).read(str(tmp_path / "a.txt"))
    (tmp_path / "b.conll").write_text("anna\tB-PER\nwent\tO\nto\tO\nrome\tB-LOC\n")
    with pytest.raises(BadInput, match="which `minitorch finetune tag` reads"):
        task().read(str(tmp_path / "b.conll"))


def test_an_entity_that_occurs_more_than_once(tmp_path):
    """Whole words before parts of words, two places for two equal entities, no overlap if there is another place; with a note."""
    (tmp_path / "a.tsv").write_text(
        "text\te1\te2\tlabel\nannals of ann and Ann\tann\tAnn\tx\nbo met bo\tbo\tbo\ty\n"
        "new york is in york state\tyork\tnew york\tz\n"
    )
    job = task()
    marked = ["".join(e.parts) for e in job.read(str(tmp_path / "a.tsv"))]
    assert marked == [
        "annals of <e1>ann</e1> and <e2>Ann</e2>",
        "<e1>bo</e1> met <e2>bo</e2>",
        "<e2>new york</e2> is in <e1>york</e1> state",
    ]
    assert "2 texts hold an entity more than once" in job.notes[-1]


def test_entities_may_lie_in_each_other():
    """The marks nest, and read again they give the same spans."""
    for text in (
        "<e1>the <e2>bank</e2></e1> of",
        "<e1><e2>the bank</e2> of</e1>",
        "a <e2><e1>bank</e1> of</e2>",
        "<e1>a</e1><e2>b</e2>",
        "<e1>a <e2>b</e1> c</e2>",
    ):
        assert "".join(Marked(*unmarked(text, "x"), "", "x").parts) == text


GOOD = "<e1>a</e1> b <e2>c</e2>"


@pytest.mark.parametrize(
    ("content", "settings", "says"),
    [
        (f'1\t"{GOOD}"\nA\n\n2\t"a <e1>b</e1> c"\nB\n', {}, ":4: <e2> is missing; mark both entities"),
        (f'1\t"{GOOD}"\n\n2\t"{GOOD}"\nB\n', {}, ":1: sentence 1 has no relation; it stands on the line after"),
        (f'1\t"{GOOD}"\nA\nB\n', {}, ":3: 'B' is no numbered sentence, nor the relation of one, nor a comment"),
        (f"{GOOD}\nA\n", {}, ":1: a marked text, but no relation with it"),
        (f"{GOOD}\tA\n{GOOD}\tB\n", {}, ":1: which column holds the text? Say so with --text NAME"),
        ("text\tlabel\n<e1>a</e1> <e1>b</e1>\tA\n", {}, ":2: <e1> stands there twice"),
        ("text\tlabel\n<e1></e1> <e2>b</e2>\tA\n", {}, ":2: entity 1 is empty"),
        ("text\tlabel\n</e1>a<e1> <e2>b</e2>\tA\n", {}, ":2: </e1> stands before <e1>"),
        ("text\tlabel\na b\tA\n", {}, ":2: where are the two entities? Mark them in the text"),
        (f"text\tlabel\n{GOOD}\t \n", {}, ':2: the relation in "label" is empty'),
        ("text\te1\te2\tlabel\na b c\ta\tx\tA\n", {}, ":2: the entity 'x' in \"e2\" does not stand in the text 'a b c'"),
        ("text\te1\te2\tlabel\na b c\ta\t\tA\n", {}, ':2: the entity in "e2" is empty'),
        ("text\te1\te2\tlabel\na b c\ta\ta\tA\n", {}, ":2: both entities are 'a', at the same place"),
        ("text\te1\te2\tlabel\na b c\t0,1\t4,9\tA\n", {}, ':2: "e2" is the span 4 to 9, but the text has 5 characters'),
        (
            "text\te1\te2\tlabel\nanna met bert\t0,3\t9,12\tA\n",
            {},
            ":2: in most rows the entities' spans begin or end inside",
        ),
        ("text\te1\te2\tlabel\na b c\ta\tc\tA\n", {"e1": "E9"}, 'there is no column "E9"'),
        (
            '[{"token": ["a", "b"], "h": [0, 1], "t": [1, 3], "relation": "A"}]',
            {},
            ':1: "t" is the span 1 to 3, but there are 2',
        ),
        ('[{"token": ["a", ""], "h": [0, 1], "t": [1, 2], "relation": "A"}]', {}, "a list of tokens, none of them empty"),
    ],
)
def test_bad_files(tmp_path, content, settings, says):
    """One line that names the file, the line and the cure."""
    path = tmp_path / ("x.json" if content[0] == "[" else "x.txt")
    with pytest.raises(BadInput) as error:
        read(path, content, **settings)
    assert says in str(error.value)
    assert str(error.value).startswith(f"{path}")


def test_labels_and_options(tmp_path):
    """What is left out, what is refused."""
    content = "text\tlabel\n" + "".join(f"{GOOD}\t{label}\n" for label in ("A(e1,e2)", "A(e2,e1)", "no_relation", "A(e1,e2)"))
    (tmp_path / "a.tsv").write_text(content)

    def learnt(**settings):
        job = task(**settings)
        examples = job.read(str(tmp_path / "a.tsv"))
        job.learn(examples)
        job.check(examples)
        return job

    job = learnt()
    assert (job.labels, job.left_out) == (["A(e1,e2)", "A(e2,e1)", "no_relation"], ["no_relation"])
    assert any("A(e2,e1), no_relation there is one training example" in note for note in job.notes)
    assert learnt(leave_out="").left_out == []
    assert learnt(leave_out="A").left_out == ["A"]
    assert learnt(merge_directions=True).labels == ["A", "no_relation"]
    assert learnt(class_weights="A(e1,e2)=2,no_relation=0.5").class_weight.tolist() == [2, 1, 0.5]
    for settings, says in (
        ({"leave_out": "B"}, "--leave-out: there is no relation 'B'; there are A, no_relation"),
        ({"leave_out": "A(e1,e2)"}, r"--leave-out: there is no relation 'A\(e1,e2\)'; there are A, no_relation"),
        ({"leave_out": "A,no_relation"}, "--leave-out names all relations"),
        ({"length": 7}, "--length must be at least 8"),
    ):
        with pytest.raises(BadInput, match=says):
            learnt(**settings)
    with pytest.raises(BadInput, match="the label 'B' is not among those of the training examples"):
        job.check([Marked("a b", (0, 1), (2, 3), "B", "x:1")])
    with pytest.raises(BadInput, match="no_relation; --merge-directions takes both directions as one"):
        learnt(merge_directions=False).check([Marked("a b", (0, 1), (2, 3), "no_relation(e2,e1)", "x:1")])
    with pytest.raises(BadInput, match="--merge-directions is for the task relation; it does not apply to tag"):
        Settings(task="tag", merge_directions=True).check()


# ------------------------------------------------------------------------------------------------- markers, the head


def test_markers_are_tokens_that_hugging_face_reads(tmp_path):
    """The run's folder gives Hugging Face the same ids, and its BertModel with our classifier the same logits."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    job = cases.run("relation", tmp_path, epochs=1)
    job.train()
    e = job.data.dev[0]
    (feature,) = job.task.features([e], job.tokenizer)
    text = "".join(MARKERS.get(part, part) for part in e.parts)
    for theirs in (transformers.AutoTokenizer, transformers.BertTokenizerFast):
        tokenizer = theirs.from_pretrained(tmp_path / "out")
        assert tokenizer(text)["input_ids"] == feature.ids
    assert len(tokenizer) == len(job.tokenizer) == job.model.config.vocab_size
    model = transformers.BertModel.from_pretrained(tmp_path / "out", add_pooling_layer=False).eval()
    with torch.no_grad():
        hidden = model(torch.tensor([feature.ids])).last_hidden_state[0]
    pair = torch.cat([hidden[place] for place in feature.extra])
    w, b = (torch.tensor(p.detach().numpy()) for p in (job.model.classifier.weight, job.model.classifier.bias))
    rows, _ = job.trainer.answer([feature])
    np.testing.assert_allclose(rows[0], (w @ pair + b).numpy(), atol=1e-5)
    ours = bert.Tokenizer.from_pretrained(tmp_path / "out")
    assert [ours.vocabulary[token] for token in MARKERS.values()] == [job.tokenizer.vocabulary[t] for t in MARKERS.values()]


def test_training_equals_pytorch(tmp_path):
    """12 steps of the same head on Hugging Face's BertModel, from the same weights, on the same batches."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    job, start, batches, losses = cases.ours_50_steps("relation", tmp_path)
    torch.set_num_threads(1)
    config = transformers.BertConfig(**job.model.config.to_dict())
    config._attn_implementation = "eager"

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = transformers.BertModel(config, add_pooling_layer=False)
            self.classifier = torch.nn.Linear(2 * config.hidden_size, config.num_labels)

        def forward(self, entities, labels, **inputs):
            hidden = self.bert(**inputs).last_hidden_state
            pair = torch.cat([hidden[torch.arange(len(labels)), entities[:, j]] for j in (0, 1)], dim=-1)
            return torch.nn.functional.cross_entropy(self.classifier(pair), labels)

    model = Theirs()
    missing, unexpected = model.load_state_dict({name: torch.tensor(value) for name, value in start.items()}, strict=False)
    assert not unexpected
    assert all("position_ids" in name for name in missing)
    decay = [p for name, p in model.named_parameters() if not (name.endswith("bias") or "LayerNorm" in name)]
    others = [p for name, p in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    groups = [{"params": decay, "weight_decay": job.s.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=job.s.lr)
    steps = job.trainer.steps
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, int(job.s.warmup * steps), steps)
    for batch, ours in zip(batches[:12], losses, strict=False):
        loss = model(**{name: torch.tensor(value) for name, value in batch.items()})
        assert ours == pytest.approx(loss.item(), abs=1e-5)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), job.s.clip)
        optimizer.step()
        schedule.step()


def test_features(tmp_path):
    """Pieces and markers; a typed [SEP] is letters; a long text keeps the pieces that are nearest to the markers."""
    job = cases.run("relation", tmp_path, length=16)
    token = job.tokenizer.tokens
    (f,) = job.task.features([Marked(*unmarked("the <e2>film</e2> [SEP] <e1>xy</e1>!", "x"), "Other", "x")], job.tokenizer)
    shown = " ".join(token[i] for i in f.ids)
    assert shown == "[CLS] the [E2] film [/E2] [UNK] s ##e ##p [UNK] [E1] x ##y [/E1] [UNK] [SEP]"
    assert [token[f.ids[place]] for place in f.extra] == ["[E1]", "[E2]"]
    long = ["the"] * 50 + ["<e2>bert</e2>"] + ["book"] * 50 + ["<e1>anna</e1>"] + ["film"] * 50
    (f,) = job.task.features([Marked(*unmarked(" ".join(long), "x"), "Other", "x")], job.tokenizer)
    words = [token[i] for i in f.ids]
    assert len(words) == 16
    assert " ".join(words) == "[CLS] the the [E2] bert [/E2] book book book book [E1] anna [/E1] film film [SEP]"
    with pytest.raises(BadInput, match="x:7: entity 1 is empty: it holds only characters that the tokenizer leaves out"):
        job.task.features([Marked("a \u200b b", (2, 3), (4, 5), "Other", "x:7")], job.tokenizer)


def test_what_stays_of_a_long_text():
    """The marks themselves, always; of a text that fits, everything."""
    assert nearest(5, [1, 2, 3, 4], 8) == [0, 1, 2, 3, 4]
    for marks in ([0, 1, 98, 99], [40, 90, 92, 95], [0, 97, 98, 99]):
        kept = nearest(100, marks, 8)
        assert len(kept) == 8
        assert kept == sorted(kept)
        assert set(marks) <= set(kept)


def test_new_embeddings_leave_the_old_ones_alone(tmp_path):
    """Four rows more; a checkpoint that has the markers already gets none, and keeps their embeddings."""
    job = cases.run("relation", tmp_path, epochs=1)
    before = bert.BertForMaskedLM.from_pretrained(job.s.model).bert.embeddings.word_embeddings.weight.detach().numpy()
    after = job.model.bert.embeddings.word_embeddings.weight.detach().numpy()
    assert after.shape == (len(before) + 4, before.shape[1])
    np.testing.assert_array_equal(after[:-4], before)
    assert after[-4:].std() == pytest.approx(job.model.config.initializer_range, rel=0.4)
    job.train()
    said = []
    second = Run(dataclasses.replace(job.s, model=str(tmp_path / "out"), output=str(tmp_path / "second")), said.append)
    assert not any("[E1]" in text for text in said)
    assert second.model.config.vocab_size == len(before) + 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = BertForRelation.from_pretrained(tmp_path / "out").bert.embeddings.word_embeddings.weight.detach().numpy()
    np.testing.assert_array_equal(second.model.bert.embeddings.word_embeddings.weight.detach().numpy(), kept)


def test_classify_points_to_relation(tmp_path):
    """Where its texts hold marks."""
    (tmp_path / "a.tsv").write_text(f"text\tlabel\n{GOOD}\tA\n")
    job = Classify(Settings(task="classify"))
    job.read(str(tmp_path / "a.tsv"))
    assert "`finetune relation` makes tokens of the marks" in job.notes[-1]


def test_micro_batches_change_nothing(tmp_path):
    """Weighted, smoothed and accumulated: the same step."""
    results = []
    for parts in (1, 3):
        settings = {"class_weights": "Love(e1,e2)=3", "label_smoothing": 0.1}
        job = cases.run("relation", tmp_path, n=24, accumulate=parts, **settings)
        with Workers(1) as workers:
            job.model.train()
            loss = sum(part.item() for part in job.trainer.one_step(job.trainer.features[:7], workers))
        results.append((loss, {name: p.grad.numpy().copy() for name, p in job.model.named_parameters() if p.grad is not None}))
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-5)
    for name, value in results[1][1].items():
        np.testing.assert_allclose(value, results[0][1][name], atol=1e-6)


def test_padding_and_the_head_on_cls(tmp_path):
    """A text alone and in a batch; --head cls is Hugging Face's class for sequences, with markers in the text."""
    for head in ("start", "cls"):
        (tmp_path / head).mkdir()
        job = cases.run("relation", tmp_path / head, head=head)
        assert type(job.model) is (BertForRelation if head == "start" else bert.BertForSequenceClassification)
        rows, _ = job.trainer.answer(job.trainer.features)
        for i in (0, 3, 11):
            alone, _ = job.trainer.answer(job.trainer.features[i : i + 1])
            np.testing.assert_allclose(alone[0], rows[i], atol=2e-5)


# --------------------------------------------------------------------------------------------------------- whole runs


def test_relations_and_their_directions_are_learnt(tmp_path):
    """By a small BERT from random weights; the folder answers as the run did, from marks, from words, from a file."""
    job = cases.run("relation", tmp_path, n=300, epochs=20, lr=5e-3)
    job.train()
    assert job.trainer.best > 0.9
    predictor = finetuning.load(tmp_path / "out")
    records = predictor.file(job.s.dev)
    assert np.mean([r["prediction"] == e.label for r, e in zip(records, job.data.dev, strict=True)]) > 0.9
    texts = [
        "the <e1>anna</e1> good <e2>bert</e2> .",
        "the <e2>anna</e2> good <e1>bert</e1> .",
        "the [E2]anna[/E2] bad [E1]bert[/E1] .",
    ]
    marked = predictor(texts)
    assert [r["prediction"] for r in marked] == ["Love(e1,e2)", "Love(e2,e1)", "Hate(e2,e1)"]
    assert predictor([("the anna good bert .", "bert", "anna")])[0] == marked[1]
    assert (marked[0]["e1"], marked[0]["e2"]) == ("anna", "bert")
    (tmp_path / "lines.txt").write_text("\n".join(texts) + "\n")
    assert predictor.file(str(tmp_path / "lines.txt")) == marked
    for text, says in (
        ("anna good bert", "text 1: <e1> is missing"),
        (("anna good bert", "anna"), "text 1: give the text and two different parts of it"),
        (("anna good bert", "anna", "anna"), "two different parts"),
        (("anna good bert", "anna", "x"), "two different parts"),
    ):
        with pytest.raises(BadInput, match=says):
            predictor([text])


def test_the_command_its_report_and_its_resumption(tmp_path, capsys):
    """Official scores, both tables, directions and confusions in the report; alternatives of the same form; predict; --resume."""
    s = cases.settings("relation", tmp_path)
    out = str(tmp_path / "out")
    argv = ["finetune", "relation", "--model", s.model, "--train", s.train, "--test", s.dev, "--output", out, "--epochs", "2"]
    assert main([*argv, "--batch-size", "16", "--threads", "1", "--lr", "1e-3"]) == 0
    shown = capsys.readouterr().out
    for text in (
        "F1 is averaged over all relations but Other",
        "the embeddings of [E1], [/E1], [E2], [/E2]",
        "; labels Hate(e1,e2), Hate(e2,e1), Love(e1,e2), Love(e2,e1), Other",
        "relations, right in their direction too; the averages leave Other out",
        "labels, each direction for itself; the averages leave Other out",
        "another answer",
        "1 Hate(e1,e2)",
        "TF-IDF around the entities + linear SVM",
        "the same BERT from random weights",
        f"predict --model {out} 'a text with <e1>two</e1> <e2>marks</e2>'",
    ):
        assert text in shown
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["metric"] == "relation_f1"
    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    again = metrics.relations(
        [r["gold"] for r in lines], [r["prediction"] for r in lines], written["scores"]["labels"], ["Other"]
    )
    assert again["relation_f1"] == pytest.approx(written["scores"]["relation_f1"])
    assert lines[0]["id"] == "1"
    assert all(written["metric"] in row for row in written["alternatives"])
    assert main(["finetune", "--resume", "--output", out, "--compare", "none"]) == 0
    assert "nothing is left to train" in capsys.readouterr().out
    assert main(["predict", "--model", out, "the <e1>anna</e1> good <e2>bert</e2>"]) == 0
    assert capsys.readouterr().out.endswith("\tthe <e1>anna</e1> good <e2>bert</e2>\n")
    assert main(["predict", "--model", out, "--file", s.dev, "--json"]) == 0
    assert [json.loads(line)["prediction"] for line in capsys.readouterr().out.splitlines()] == [r["prediction"] for r in lines]


def test_a_damaged_record_is_one_line(tmp_path):
    """Whatever stands in the place of columns and names."""
    job = cases.run("relation", tmp_path, epochs=1)
    job.train()
    path = tmp_path / "out" / "finetune.json"
    whole = json.loads(path.read_text())
    for change in ({"left_out": [3]}, {"left_out": None}, {"columns": {"text": "x"}}, {"columns": [1]}, {"columns": {"text": 1}}):
        path.write_text(json.dumps({**whole, "facts": {**whole["facts"], **change}}))
        with pytest.raises(BadInput, match="not the record of a fine-tuning run"):
            finetuning.load(tmp_path / "out")


def test_a_resumed_run_is_bit_equal(tmp_path):
    """With dropout and threads: the new embeddings are in the state as all others are."""
    whole = cases.run("relation", tmp_path, n=40, epochs=2, dropout=0.1, threads=2, save_every=1)
    whole.train()
    again = dataclasses.replace(whole.s, output=str(tmp_path / "broken"))
    broken = Run(again, say=lambda text: None)
    cases.stop_at(broken, 7)
    going_on = Run(again, say=lambda text: None)
    going_on.load_state()
    going_on.train()
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), going_on.model.state_dict()[name].numpy())
    assert going_on.trainer.metrics == whole.trainer.metrics


def test_frozen_embeddings_are_said_to_keep_the_markers(tmp_path):
    """The embeddings of new tokens would have to learn."""
    said = []
    s = cases.settings("relation", tmp_path, freeze=-1)
    job = Run(s, said.append)
    assert any("[/E2] (which --freeze keeps so)" in text for text in said)
    assert not job.model.bert.embeddings.word_embeddings.weight.requires_grad
    assert isinstance(job.model.bert.embeddings.word_embeddings.weight, minitorch.nn.Parameter)
