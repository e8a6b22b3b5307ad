"""minitorch explain as its users meet it: the page, the picture, swaps, probes, adapters, and mistakes."""

from __future__ import annotations

import os
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import cli, explaining
from models.errors import BadInput
from models.explaining import attention, page, swaps
from models.explaining.probes import probe
from models.finetuning.classify import Example
from models.finetuning.qa import Question
from models.text.labelled import Sentence
from models.text.marked import Marked

from . import finetune_cases
from .test_explaining import TYPED, opened, whole
from .test_explaining import folders as folders  # the fixture

SIGNATURE = b"\x89PNG"


def command(*arguments):
    return cli.main(["explain", *map(str, arguments)])


def refusal(capsys, *arguments):
    assert command(*arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error.removeprefix("minitorch explain: error: ").rstrip("\n")


class Page(HTMLParser):
    """Which tags are open, what they ask for, and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.asked, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.asked += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        assert tag not in ("script", "link", "iframe", "object", "svg", "form")
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


# ------------------------------------------------------------------------------------------------------------ pages


def test_a_text_gives_a_page_and_a_picture(folders, tmp_path, capsys):
    text = "the film was <script>alert(1)</script> & lovely \u202e \x07 good"
    model = folders / "classify/out"
    assert command(text, "--model", model, "--output", tmp_path / "out", "--samples", 40, "--layer", 2, "--head", 1) == 0
    out = capsys.readouterr().out
    assert "integrated gradients" in out
    assert "random order" in out
    html = (tmp_path / "out/explanation.html").read_text(encoding="utf-8")
    read = Page(html)
    assert "alert" in read.text
    assert "\u202e" not in html
    assert "\x07" not in html
    assert all(value.startswith("data:image/png;base64,") for value in read.asked)
    assert len(read.asked) == 2  # all heads, and the one that was asked for
    assert "http:" not in html
    assert "https:" not in html
    assert len(html) < 100_000
    for title, _ in explaining.METHODS.values():
        assert title in read.text
    assert (tmp_path / "out/explanation.png").read_bytes()[:4] == SIGNATURE
    assert "holds a run already" in refusal(capsys, text, "--model", model, "--output", tmp_path / "out")
    assert command("good", "bad", "--model", model, "--output", tmp_path / "out", "--method", "occlusion", "--overwrite") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"explanation.html", "explanation.png", "explanation-2.png"}


def test_the_same_seed_gives_the_same_page(folders, tmp_path):
    for name in ("a", "b"):
        options = ("--method", "lime", "--samples", 40, "--seed", 3, "--output", tmp_path / name)
        command("a lovely film", "--model", folders / "classify/out", *options)
    pages = [(tmp_path / name / "explanation.html").read_text(encoding="utf-8") for name in ("a", "b")]
    a, b = (re.sub(r"<td>[\d,]+</td></tr>", "", text) for text in pages)  # milliseconds
    assert a == b


def test_signs_are_legible_without_colour(folders):
    source = opened(folders, "classify")
    subject = source.subject(source.examples(["good bad film"])[0])
    html = page.words(subject, np.array([1.0, -0.5, 0.01]))
    assert re.findall(r"(solid|dashed) #333\">(\w+)<rt>([+-]\d+)", html) == [("solid", "good", "+100"), ("dashed", "bad", "-50")]
    assert html.endswith(" film</p>")
    assert "<rt>100<" in page.words(subject, np.array([1.0, 0.5, 0.0]), signed=False)


def test_a_file_gives_means(folders, tmp_path, capsys):
    model = folders / "tag/out"
    file = folders / "tag/dev.conll"
    options = ("--method", "occlusion,rollout", "--examples", 5, "--output", tmp_path / "out")
    assert command("--file", file, "--model", model, *options) == 0
    out = capsys.readouterr().out
    assert re.search(r"occlusion +[+-]\d\.\d\d +\d\.\d{3}", out)
    text = Page((tmp_path / "out/explanation.html").read_text(encoding="utf-8")).text
    assert "5 texts" in text
    assert "Text 3" in text
    assert "Text 4" not in text


def test_words_of_a_masked_lm_and_a_gpt(folders, tmp_path, capsys):
    assert (
        command("the [MASK] was [MASK]", "--model", folders / "mlm", "--word", 2, "--label", "good", "--output", tmp_path / "a")
        == 0
    )
    assert "answer: good" in capsys.readouterr().out
    assert command("we see a ", "--model", folders / "gpt", "--method", "lens", "--output", tmp_path / "b") == 0
    assert re.search(r"embeddings +[\d.]+%", capsys.readouterr().out)
    assert (tmp_path / "b/explanation.png").read_bytes()[:4] == SIGNATURE


def test_probes_learn_from_each_layer(folders, tmp_path, capsys):
    for task in ("classify", "tag", "relation"):
        source = opened(folders, task)
        file = next((folders / task).glob("train.*"))
        found = probe(source, source.file(str(file), labelled=True))
        assert len(found.scores) == len(found.random) == 3
        assert 0 < found.baseline < 1
        assert task != "classify" or found.scores[-1] > found.baseline + 0.1
    options = ("--method", "probes", "--output", tmp_path / "out")
    assert command("--file", folders / "classify/train.tsv", "--model", folders / "classify/out", *options) == 0
    assert "most frequent class" in capsys.readouterr().out
    dev = folders / "classify/dev.tsv"
    assert "20 labelled examples" in refusal(capsys, "--file", dev, "--model", folders / "classify/out", *options, "--overwrite")


@pytest.mark.parametrize("method", ["lora", "pfeiffer", "prompt", "prefix"])
def test_an_adapted_model_is_explained(tmp_path, method):
    run = finetune_cases.run("classify", tmp_path, n=16, epochs=1, adapt=method, lr=1e-2)
    run.folder.mkdir(exist_ok=True)
    run.train()
    source = explaining.open_source(run.folder)
    (example,) = source.examples(["a lovely film"])
    subject = source.subject(example)
    assert whole(subject)[1] == pytest.approx(source.answers([example])[0]["probability"], abs=2e-6)
    found = list(explaining.explain(subject, source.random(), options=explaining.Options(samples=40)))
    assert next(e for e in found if e.name == "integrated").delta < 0.01
    assert attention.maps(subject)[0].shape[1:] == (5, 5)  # virtual tokens left out


# ------------------------------------------------------------------------------------------------------------ swaps


def test_whole_words_change_and_keep_their_capitals():
    change = swaps.changer({"he": "she", "New York": "Rome", "i": "we"})
    assert change("He said: HE, he and the hero's he-man.") == "She said: SHE, she and the hero's she-man."
    assert change("new york, NEW YORK; I") == "Rome, ROME; We"
    assert swaps.changer({"he": "she", "she": "he"})("he she") == "she he"


@given(st.text(st.sampled_from("he sHE,.\n-"), max_size=30))
def test_a_swap_and_its_reverse_give_the_text_back(text):
    there, back = (swaps.changer({a: b}) for a, b in (("he", "zu"), ("zu", "he")))
    regular = not re.search(r"(?<!\w)(hE)(?!\w)", text)  # of the four ways to write it, one has no name
    assert not regular or back(there(text)) == text


def test_every_kind_of_example_is_exchanged():
    change = swaps.changer({"he": "she", "big": "very small"})
    assert swaps.exchanged("he", change) == "she"
    assert swaps.exchanged(Example("he", None, "he", "x"), change) == Example("she", None, "he", "x")
    assert swaps.exchanged(Sentence(["he", "ran"], ["O", "O"], []), change).words == ["she", "ran"]
    asked = swaps.exchanged(Question("1", "is he big ?", "he", [], "x"), change)
    assert (asked.question, asked.context) == ("is she very small ?", "she")
    marked = swaps.exchanged(Marked("big anna saw bert", (4, 8), (13, 17), "", "x"), change)
    assert [marked.text[slice(*span)] for span in (marked.e1, marked.e2)] == ["anna", "bert"]


def test_both_directions_and_all_at_once():
    assert list(swaps.directions([("he", "she")])) == ["he → she", "she → he"]
    ways = swaps.directions([("his", "her"), ("him", "her")])
    assert ways["all, left → right"]("his him") == "her her"
    assert ways["all, right → left"]("her") == "his"  # the first of two


def test_a_swap_is_measured_by_what_predict_says(folders, tmp_path, capsys):
    source = opened(folders, "classify")
    texts = ["a good film", "a bad film", "a Good book", "we saw it"]
    rows = swaps.swap(source, source.examples(texts), [("good", "bad")])
    assert [(row.name, len(row.changes), row.label) for row in rows] == [("good → bad", 2, "pos"), ("bad → good", 1, "pos")]
    p = [r["probabilities"]["pos"] for r in source.answers(source.examples(["a good film", "a bad film"]))]
    assert rows[0].changes[0] == pytest.approx(p[1] - p[0], abs=2e-6)
    assert rows[1].changes[0] == pytest.approx(p[0] - p[1], abs=2e-6)
    assert rows[0].pairs[1][2] == "a Bad book"
    options = ("--swap", "good=bad", "--swap", "zebra=lion", "--output", tmp_path / "out")
    assert command("--file", folders / "classify/train.tsv", "--model", folders / "classify/out", *options) == 0
    out = capsys.readouterr().out
    assert re.search(r"good → bad +\d+ +[+-]0\.\d{4}", out)
    assert re.search(r"zebra → lion +0 +the word is in no text", out)
    assert "moved most" in Page((tmp_path / "out/explanation.html").read_text(encoding="utf-8")).text
    assert (tmp_path / "out/explanation.png").read_bytes()[:4] == SIGNATURE


@pytest.mark.parametrize("task", ["tag", "qa", "choice", "relation", "mlm", "gpt"])
def test_every_kind_of_model_is_swapped(folders, task):
    source = opened(folders, task)
    words = {"mlm": ("anna [MASK]", "anna", "bert"), "gpt": ("we see a ", "a", "on"), "choice": (TYPED["choice"], "the", "a")}
    text, *pair = words.get(task, (TYPED.get(task), "anna", "carla"))
    rows = swaps.swap(source, source.examples([text]), [tuple(pair)])
    assert len(rows[0].changes) == 1
    assert np.isfinite(rows[0].changes).all()
    assert swaps.measured(source, "").startswith("the ")


# --------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give texts, or --file FILE"),
        ([""], "text 1: is empty"),
        (["a", "--label", "great"], "there is no label 'great'; there are neg, pos"),
        (["a", "--layer", "3", "--head", "1"], "--layer must be from 1 to 2, not 3"),
        (["a", "--layer", "1", "--head", "9"], "--head must be from 1 to 2 in layer 1, not 9"),
        (["a", "--head", "1"], "give both"),
        (["a", "--method", "saliency"], "there is no 'saliency'; there are gradient, integrated"),
        (["a", "--method", "lens"], "needs a masked LM or a GPT"),
        (["a", "--method", "probes"], "give --file FILE"),
        (["a", "--steps", "1"], "--steps must be from 2 to 10,000, not 1"),
        (["a", "--samples", "3"], "--samples must be from 20"),
        (["a", "--word", "1"], "--word is for tags"),
        (["a", "--swap", "he"], "give two words with = between them, as in --swap he=she"),
        (["a", "--swap", "he=HE"], "the two words are the same"),
        (["a", "--swap", "=she"], "give two words"),
        (["a", "--swap", "he=she"], "none of the texts holds one of the words he, she"),
        (["a", "--swap", "he=she", "--method", "lime"], "leave out --method"),
        (["a", "--columns", "text"], "give --file FILE"),
        (["--file", "nowhere.tsv"], "nowhere.tsv: no such file"),
    ],
)
def test_mistakes_are_one_line(folders, tmp_path, capsys, arguments, said):
    output = tmp_path / "out"
    assert said in refusal(capsys, *arguments, "--model", folders / "classify/out", "--output", output)
    assert not output.exists()


def test_a_folder_of_another_kind_is_named_with_its_command(folders, tmp_path, capsys):
    assert "no such folder" in refusal(capsys, "a", "--model", tmp_path / "nowhere")
    (tmp_path / "prompt").mkdir()
    (tmp_path / "prompt/prompt.json").write_text("{}")
    assert "minitorch prompt --model" in refusal(capsys, "a", "--model", tmp_path / "prompt")
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs/seq2seq.json").write_text("{}")
    assert "minitorch predict --model" in refusal(capsys, "a", "--model", tmp_path / "pairs")
    shutil.copytree(folders / "classify/out", tmp_path / "headless")
    (tmp_path / "headless/finetune.json").unlink()
    assert "has no head" in refusal(capsys, "a", "--model", tmp_path / "headless")
    assert "write [MASK] in place of a word" in refusal(capsys, "a film", "--model", folders / "mlm")
    assert "--word must be from 1 to 1" in refusal(capsys, "a [MASK]", "--word", 2, "--model", folders / "mlm")
    assert "no single token" in refusal(capsys, "a [MASK]", "--label", "filmlovely", "--model", folders / "mlm")
    assert "the model reads up to 24" in refusal(capsys, "a" * 99, "--model", folders / "gpt")
    assert "a GPT always continues" in refusal(capsys, "a", "--remove", "delete", "--model", folders / "gpt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(folders, tmp_path, capsys):
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "cannot write there" in refusal(capsys, "a", "--model", folders / "gpt", "--output", tmp_path / "closed/out")


def test_an_output_that_is_a_file(folders, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert "is a file; give a folder" in refusal(capsys, "we", "--model", folders / "gpt", "--output", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_tags_want_single_words(folders):
    source = opened(folders, "tag")
    with pytest.raises(BadInput, match="both sides must be one word"):
        swaps.swap(source, source.examples(["anna went"]), [("anna", "new rome")])
