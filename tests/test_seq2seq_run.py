"""minitorch seq2seq: files of pairs and their errors, vocabularies, scores, runs that resume, reports, predict."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import bert
from models.cli import main
from models.errors import BadInput
from models.seq2seq import baselines, load, report, summaries
from models.seq2seq.pairs import Pair, hold_out, look_swapped, read_pairs, references
from models.seq2seq.run import FACTS, Run
from models.seq2seq.scores import scores
from models.seq2seq.task import Settings
from models.seq2seq.vocabulary import END, OWN, PAD, UNKNOWN, Vocabulary, vocabularies
from tests import finetune_cases
from tests import seq2seq_cases as cases
from tests.finetune_cases import stop_at

pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")

# ---------------------------------------------------------------------------------------------------- files of pairs

AB = [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    ("name", "text", "options", "expected"),
    [
        ("x.tsv", "a\tb\nc\td\n", {}, AB),
        ("x.tsv", "\ufeffa\tb\r\n\r\nc\td\r\n", {}, AB),
        ("x.tsv", "source\ttarget\na\tb\nc\td\n", {}, AB),
        ("x.tsv", "Target\tSource\nb\ta\nd\tc\n", {}, AB),
        ("x.tsv", "b\ta\nd\tc\n", {"columns": "target,source"}, AB),
        ("x.tsv", "a\tb\tCC-BY\nc\td\tCC-BY\n", {"columns": "source,target,licence"}, AB),
        ("x.tsv", "id\ten\tfr\n1\ta\tb\n2\tc\td\n", {"source": "en", "target": "fr"}, AB),
        ("x.tsv", "document\tsummary\tid\na\tb\t1\nc\td\t2\n", {}, AB),
        ("x.tsv", '5" pipe\tb\n"quoted"\tsay "d"\n', {}, [('5" pipe', "b"), ("quoted", 'say "d"')]),
        ("x.tsv", '"a\nb"\tc\nd\te\n', {}, [("a\nb", "c"), ("d", "e")]),
        ("x.csv", "a,b\nc,d\n", {}, AB),
        ("x.csv", 'source,target\n"a",b\nc,d\n', {}, AB),
        ("x.txt", "a|b\nc|d\n", {"delimiter": "bar"}, AB),
        ("x.jsonl", '{"source": "a", "target": "b"}\n{"target": "d", "source": "c"}\n', {}, AB),
        ("x.jsonl", '{"translation": {"en": "a", "fr": "b"}}\n{"translation": {"en": "c", "fr": "d"}}\n', {}, AB),
        ("x.json", '[{"article": "a", "highlights": "b"}, {"article": "c", "highlights": "d"}]', {}, AB),
    ],
)
def test_files_of_pairs(tmp_path, name, text, options, expected):
    """TSV as it usually comes, with and without a header; tables and JSON with named columns."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    assert [(p.source, p.target) for p in read_pairs(str(path), Settings(**options))] == expected


@pytest.mark.parametrize(
    ("name", "text", "options", "message"),
    [
        (
            "x.tsv",
            "a\tb\nc\nd\te\n",
            {},
            "x.tsv:2: one side of the pair is missing; each line holds a source, a tab and its target",
        ),
        ("x.tsv", "a\nb\tc\n", {}, "x.tsv:1: one side of the pair is missing"),
        ("x.tsv", "a\tb\nc\t \n", {}, 'x.tsv:2: the target ("target") is empty; fill it in, or leave the pair out'),
        ("x.tsv", "a\tb\n\tc\n", {}, 'x.tsv:2: the source ("source") is empty'),
        ("x.tsv", "a\tb\nc\td\te\n", {}, "x.tsv:2: 3 columns, not 2"),
        ("x.tsv", "a\tb\tc\n", {}, "x.tsv:1: 3 columns, not source, target; name them: --columns source,target,c3"),
        ("x.tsv", "", {}, "x.tsv:1: the file is empty; each line holds a source, a tab and its target"),
        ("x.tsv", " \n\n", {}, "x.tsv:1: the file is empty"),
        ("x.tsv", "just one\ncolumn\n", {}, "x.tsv:1: 'just one' is one column; each line holds a source, a tab and its target"),
        ("x.tsv", "source\ttarget\n", {}, "x.tsv: the file has a header and no pairs"),
        ("x.tsv", "a\ta\n", {"columns": "x,x"}, "two columns have the same name"),
        ("x.tsv", "x\ty\tz\na\tb\tc\n", {"source": "y", "target": "w"}, 'there is no column "w"'),
        ("x.tsv", "a\0b\tc\n", {}, "x.tsv:1: a NUL byte"),
        ("x.csv", "source,target\na,b\nc\n", {}, "x.csv:3: 1 field"),
        ("x.jsonl", '{"source": "a", "target": "b"}\n{"source": "c"}\n', {}, 'x.jsonl:2: the target ("target") is empty'),
        ("x.jsonl", '{"a": "x", "b": ["y"]}\n', {}, "x.jsonl:1: \"b\" must be a text, not ['y']"),
        ("x.jsonl", '{"text": "a"}\n', {}, "x.jsonl:1: which columns hold source and target"),
        ("x.jsonl", "{", {}, "x.jsonl:1: not a JSON value"),
    ],
)
def test_mistakes_in_files_of_pairs(tmp_path, name, text, options, message):
    """One line that names the file and the line."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        read_pairs(str(path), Settings(**options))
    assert message in str(caught.value)


def test_all_pairs_of_a_source_stay_together():
    """Held out as a whole; every reference counts; sides that are swapped are noticed."""
    pairs = [Pair(f"go {i}", f"va {i} {j}", "") for i in range(20) for j in range(3)]
    stay, away = hold_out(pairs, 0.2, seed=1)
    assert len(away) == 12
    assert not {p.source for p in stay} & {p.source for p in away}
    assert (stay, away) == hold_out(pairs, 0.2, seed=1)
    assert references(away)[away[0].source] == [p.target for p in away[:3]]
    assert not look_swapped(stay, away)
    assert look_swapped(stay, [Pair(p.target, p.source, "") for p in away])
    same = [Pair(p.source, p.source, "") for p in pairs]
    assert not look_swapped(same, same)
    with pytest.raises(BadInput, match="one source alone"):
        hold_out(pairs[:3], 0.5, seed=0)


# ------------------------------------------------------------------------------------------ vocabularies and scores


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_bpe_gives_a_text_back(text):
    """Whatever it is, apart from the space around it."""
    vocabulary = Vocabulary.learn("bpe", ["the cat sat on the mat"] * 3, 300)
    [ids], [size] = vocabulary.encode([text], 1000)
    assert ids[-1] == END
    assert len(ids) == size
    assert min(ids[:-1], default=OWN) >= OWN
    assert vocabulary.decode(ids) == text.strip()


def test_what_a_vocabulary_cuts_and_does_not_know():
    """The end token stays; an unknown character has an id of its own; padding and what follows the end is no text."""
    vocabulary = Vocabulary.learn("characters", ["abc"], 0)
    assert len(vocabulary) == OWN + 3
    rows, sizes = vocabulary.encode(["abcabc", "axb"], 4)
    assert rows == [[OWN, OWN + 1, OWN + 2, END], [OWN, UNKNOWN, OWN + 1, END]]
    assert sizes == [7, 4]
    assert vocabulary.decode([OWN, UNKNOWN, OWN + 1, END, OWN, PAD]) == "a�b"
    ids, mask = vocabulary.batch([[5, END], [END]])
    assert ids.tolist() == [[5, END], [END, PAD]]
    assert mask.tolist() == [[1, 1], [1, 0]]


def test_a_picture_shows_every_piece():
    """Spaces and control characters have no sign of their own."""
    vocabulary = Vocabulary.learn("characters", ["a b\t\u200b$"], 0)
    [ids], _ = vocabulary.encode(["a b\t\u200b$x"], 20)
    assert vocabulary.names([*ids, PAD]) == ["a", "␣", "b", "\\t", "\\u200b", "$", "<unk>", "</s>", "<pad>"]


def test_the_vocabulary_fits_the_pairs():
    """Random words become characters, prose pieces; joint is one and the same."""
    prose = ["the cat sat on the mat", "the dog sat on the cat"] * 20
    for sources, kind in ((cases.words(50), "characters"), (prose, "bpe")):
        s = Settings(train="x")
        both = vocabularies(s, sources, sources)
        assert (s.tokenizer, both[0] is both[1]) == (kind, True)
    s = Settings(joint=False)
    both = vocabularies(s, prose, ["le chat"] * 9)
    assert len(both[0]) != len(both[1])
    assert s.vocab_size == 500


def test_scores_are_those_of_the_libraries():
    """Several references: the best counts; accents are letters to ROUGE; 0 to 100."""
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    predictions = ["the cat sat on the mat", "a dog barked at it"]
    answers = [["the cat sat on a mat", "a cat sat on the mat"], ["the dog barked at it"]]
    found = scores(predictions, answers)
    streams = [["the cat sat on a mat", "the dog barked at it"], ["a cat sat on the mat", None]]
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(predictions, streams).score)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(predictions, streams).score)
    rouge = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for name in ("rouge1", "rouge2", "rougeL"):
        each = [max(rouge.score(x, y)[name].fmeasure for x in xs) for xs, y in zip(answers, predictions, strict=True)]
        assert found[name] == pytest.approx(100 * np.mean(each))
    assert found["exact_match"] == 0
    assert scores(["été"], [["été"]])["rouge1"] == scores(["é"], [["x", "é"]])["exact_match"] == 100


def test_baselines_are_what_they_say():
    """Most frequent target, nearest source, first sentence, the source."""
    train = [Pair("red cat", "A", ""), Pair("blue dog", "B", ""), Pair("green dog", "B", "")]
    sources = ["a red cat. It sat.", "dogs"]
    answers = {name: make(train)(sources) for name, make in baselines.BASELINES.items()}
    assert list(answers.values()) == [sources, ["a red cat.", "dogs"], ["A", "B"], ["B", "B"]]


# --------------------------------------------------------------------------------------------------------- a run


def weights(job):
    """All weights by name."""
    return {name: value.numpy().copy() for name, value in job.model.state_dict().items()}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_resumed_run_is_bit_equal(tmp_path, threads):
    """Stopped in the middle of an epoch; the metrics are those of a run that never stopped, too."""
    whole, stopped = (cases.run(make(tmp_path / name), save_every=1, threads=threads) for name in ("whole", "stopped"))
    whole.trainer.train()
    stop_at(stopped, 6)
    again = Run(Settings(**vars(stopped.s)), say=lambda text: None)
    again.load_state()
    assert again.trainer.step == 6
    again.trainer.train()
    assert [line["dev_loss"] for line in again.trainer.metrics] == [line["dev_loss"] for line in whole.trainer.metrics]
    for name, value in weights(whole).items():
        assert (value == weights(again)[name]).all(), name


def make(folder):
    """The folder, made, with one for the run in it."""
    (folder / "out").mkdir(parents=True)
    return folder


def test_the_checkpoint_that_a_metric_chooses_is_kept(tmp_path):
    """exact_match: the texts of each evaluation are written; the best weights come back at the end."""
    job = cases.run(make(tmp_path), metric="exact_match", epochs=2)
    job.train()
    assert {"dev_exact_match", "dev_bleu", "dev_accuracy", "dev_loss"} <= job.trainer.metrics[-1].keys()
    saved = json.loads((tmp_path / "out" / FACTS).read_text())
    assert saved["step"] == job.trainer.last_best["step"]


def test_the_command_trains_reports_and_predicts(tmp_path, capsys):
    """Everything that the report folder should have; predict answers from a text, a file and standard input."""
    s = cases.settings(tmp_path, dev="")
    words = ["--hidden", "16", "--heads", "2", "--layers", "1", "--epochs", "2", "--batch-size", "16", "--threads", "1"]
    assert main(["seq2seq", "--train", s.train, "--output", s.output, "--num-beams", "2", *words]) == 0
    out = capsys.readouterr().out
    for text in (
        "54 training pairs, 6 held out for dev",
        "this model, greedy",
        "this model, beam 2",
        "most similar training",
        "BLEU",
    ):
        assert text in out
    assert "its first sentence" not in out  # the same as the source itself
    there = {path.name for path in Path(s.output).iterdir()}
    assert there >= {"report.txt", "report.json", "predictions.jsonl", "curve.png", "attention.png", "metrics.jsonl", FACTS}
    rows = json.loads((Path(s.output) / "report.json").read_text())["alternatives"]
    assert [row["name"] for row in rows][2:] == [name for name in baselines.BASELINES if "sentence" not in name]
    records = [json.loads(line) for line in (Path(s.output) / "predictions.jsonl").read_text().splitlines()]
    assert len(records) == 6
    assert main(["predict", "--model", s.output, "--num-beams", "2", *[r["text"] for r in records]]) == 0
    assert capsys.readouterr().out.splitlines() == [r["prediction"] for r in records]
    assert load(s.output)(["abc"], num_beams=2)[0].keys() == {"text", "prediction"}
    assert main(["predict", "--model", s.output, "--json", "--file", s.train]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 60
    assert json.loads(lines[0])["text"] == cases.words(1)[0]
    assert main(["predict", "--model", s.output, "a" * 200]) == 0
    assert "text 1: 201 pieces, the model reads 128; what is beyond is cut off" in capsys.readouterr().err
    assert main(["predict", "--model", s.output, "abc", "a!"]) == 0
    assert "text 2: holds characters that no training pair has" in capsys.readouterr().err


def test_a_bert_as_the_encoder_and_the_same_from_random_weights(tmp_path, capsys):
    """--init-encoder: its vocabulary and its weights at the start; the table has both models."""
    folder = finetune_cases.checkpoint(tmp_path / "bert")
    s = cases.settings(make(tmp_path / "run"), n=40, init_encoder=str(folder), hidden=0, tokenizer="auto", epochs=1, dropout=0.0)
    job = Run(s, say=lambda text: None)
    theirs = bert.BertModel.from_pretrained(folder, add_pooling_layer=False).state_dict()
    assert all((job.model.encoder.state_dict()[name] == value).all() for name, value in theirs.items())
    assert job.vocabularies[0].bert
    job.train()
    names = [row["name"] for row in report.finish(job)["alternatives"]]
    assert names[:4] == [
        f"{m}, {how}" for m in ("this model, begun with a BERT", "the same, all weights random") for how in ("greedy", "beam 2")
    ]
    answer = load(s.output)(["good film"])
    assert answer[0]["text"] == "good film"


def test_what_is_cut_and_what_leaks_is_said(tmp_path):
    """Sources and targets beyond their lengths; dev pairs that stand in training; swapped sides."""
    long = [("a b c d e f g h", "x y"), ("a", "x y z z z z z z"), *(("b c", "y z") for _ in range(20))]
    swapped = [("y z", "b c"), ("x y", "a")]
    files = {"train": cases.write_pairs(tmp_path / "t.tsv", long), "test": cases.write_pairs(tmp_path / "e.tsv", swapped)}
    said = []
    s = Settings(**files, dev=files["train"], length=4, target_length=4, hidden=16, heads=2, output=str(tmp_path / "out"))
    Run(s, say=said.append)
    text = "\n".join(said)
    assert "training: 1 source of 22 exceeds --length 4" in text
    assert "training: 1 target of 22 exceeds --target-length 4" in text
    assert "22 dev pairs of 22 stand in the training pairs, too" in text
    assert "test: its sources look like training targets" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--train", "nowhere.tsv"], "nowhere.tsv: no such file"),
        (["--dev", "x.tsv"], "--dev needs --train"),
        (["--train", "ok.tsv", "--tokenizer", "words"], "--tokenizer must be one of auto, bpe, characters, not 'words'"),
        (["--train", "ok.tsv", "--metric", "f1"], "--metric must be one of loss, accuracy, bleu"),
        (["--train", "ok.tsv", "--compare", "both"], "--compare must be one of all, baselines, none"),
        (["--train", "ok.tsv", "--hidden", "10", "--heads", "4"], "--hidden 10 must be a multiple of --heads 4"),
        (["--train", "ok.tsv", "--vocab-size", "100"], "--vocab-size must be at least 261"),
        (["--train", "ok.tsv", "--label-smoothing", "1.5"], "--label-smoothing must be from 0 to 0.999, not 1.5"),
        (["--train", "ok.tsv", "--num-beams", "0"], "--num-beams must be at least 1, not 0"),
        (["--train", "ok.tsv", "--length", "2"], "--length must be at least 4"),
        (["--train", "ok.tsv", "--validation", "0"], "there is nothing to report on"),
        (["--train", "ok.tsv", "--init-encoder", "nowhere"], "--init-encoder: nowhere: no such folder"),
        (["--train", "ok.tsv", "--hidden", "100000000", "--heads", "1"], "this machine has"),
        (["--resume"], "nothing to resume"),
        (["--train", "ok.tsv", "--bleu-tokenizer", "xx"], "--bleu-tokenizer must be one of 13a"),
    ],
)
def test_bad_options_are_one_line(tmp_path, monkeypatch, capsys, words, message):
    """Status 2, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    cases.write_pairs("ok.tsv", [("an old cat", "cat old an"), ("an old dog", "dog old an"), ("a cat", "cat a")])
    assert main(["seq2seq", "--output", "out", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.strip().count("\n") == 0
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (FACTS, None, "no finetune.json here"),
        (FACTS, "{}", "written by another version of minitorch"),
        (FACTS, "{", "not a JSON file"),
        ("model.safetensors", "x", "model.safetensors"),
        ("tokenizer.json", "{}", "tokenizer.json"),
        ("tokenizer.json", None, "no tokenizer here"),
        ("config.json", '{"model_type": "bert"}', 'model_type is "bert"'),
    ],
)
def test_a_damaged_folder_is_one_line(trained, tmp_path, capsys, file, content, message):
    """predict names the file."""
    for path in Path(trained).iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    assert main(["predict", "--model", str(tmp_path), "abc"]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.strip().count("\n") == 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of one epoch."""
    job = cases.run(make(tmp_path_factory.mktemp("seq2seq")), epochs=1)
    job.train()
    return job.folder


def test_predict_refuses_what_is_no_source(trained, capsys):
    """An empty text, a text in place of a list, options of other models."""
    assert main(["predict", "--model", str(trained), " "]) == 2
    assert "text 1: a source is a text of at least one letter" in capsys.readouterr().err
    assert main(["predict", "--model", str(trained), "--base", "x", "a"]) == 2
    assert "--base is for adapters" in capsys.readouterr().err
    assert main(["predict", "--model", str(trained), "--num-beams", "0", "a"]) == 2
    assert "--num-beams is a whole number of at least 1" in capsys.readouterr().err
    with pytest.raises(BadInput, match="give a list of texts"):
        load(trained)("abc")


# ------------------------------------------------------------------------------------- docstrings and their first lines

CODE = '''
def area(radius):
    """Return the area of a circle.

    It is pi times the square
    of the radius.
    """
    return 3.14 * radius * radius

def half(x):
    """Return one half of x."""
    return x / 2

def short():
    """Too short."""

class Circle:
    """represents no sentence of a kind

    That would count.
    """
'''


def test_summaries_come_from_docstrings(monkeypatch, tmp_path):
    """The body, or the signature and the code; each source once; each file in one part."""
    found = [("python", f"python/{i}.py", CODE.replace("circle", f"circle {i}")) for i in range(2)]
    monkeypatch.setattr(summaries, "sources", lambda libraries: iter(found))
    assert list(summaries.summaries()) == [
        ("python/0.py", "It is pi times the square of the radius.\tReturn the area of a circle 0.\n"),
        ("python/0.py", "def half(x): return x / 2\tReturn one half of x.\n"),
    ]
    many = [(f"lib/{i}.py", f"source {i} {j}\tTarget {j}.\n") for i in range(40) for j in range(10)]
    monkeypatch.setattr(summaries, "summaries", lambda: iter(many))
    names = summaries.make_files(tmp_path, say=lambda text: None)
    parts = {name: {p.source.split()[1] for p in read_pairs(path, Settings())} for name, path in names.items()}
    assert not parts["train"] & (parts["dev"] | parts["test"])
    assert not parts["dev"] & parts["test"]
    monkeypatch.setattr(summaries, "summaries", lambda: iter(many[:30]))
    with pytest.raises(BadInput, match="has docstrings for only"):
        summaries.make_files(tmp_path / "other", say=lambda text: None)


def test_settings_of_a_resumed_run_are_its_own(tmp_path, capsys):
    """Another --hidden is refused; --num-beams may change."""
    job = cases.run(make(tmp_path), save_every=1)
    stop_at(job, 2)
    assert main(["seq2seq", "--resume", "--output", job.s.output, "--hidden", "32"]) == 2
    assert "that run has --hidden 16; --resume keeps it" in capsys.readouterr().err
    assert main(["seq2seq", "--resume", "--output", job.s.output, "--num-beams", "1", "--compare", "none"]) == 0
    out = capsys.readouterr().out
    assert "continuing at step 2" in out
    assert "beam" not in out
    assert SimpleNamespace(**json.loads((Path(job.s.output) / "report.json").read_text())).judged_on == "dev"
