"""Students, weights and layers: the equations against the reference's vectors, and runs that train."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitorch
from models import bert, cli
from models.bert.model import BertForMaskedLM, BertForSequenceClassification
from models.compressing import distilling, layers, weights
from models.compressing.command import compress as compressed
from models.compressing.settings import Settings
from models.errors import BadInput
from models.finetuning.predictor import Predictor
from models.reading import read_json

from .test_compressing import compress, ids, place, quick, refused, small  # noqa: F401

Z_S, Z_T = np.array([[1.0, 2, 0], [0, 0, 1]]), np.array([[2.0, 1, 0], [1, 0, 1]])


# ------------------------------------------------------------------------------------------------------ the equations


def test_soft_targets():
    z = minitorch.tensor(Z_S, requires_grad=True)
    loss = distilling.soft_targets(z, minitorch.tensor(Z_T), 2.0)
    loss.backward()
    assert loss.item() == pytest.approx(0.2556496, abs=1e-6)
    assert loss.item() / 4 == pytest.approx(0.0639124, abs=1e-6)
    expected = [[-0.199285, 0.199285, 0], [-0.109583, 0.041372, 0.068211]]
    np.testing.assert_allclose(z.grad.numpy(), expected, atol=2e-6)
    assert loss.item() / 4 / 3 == pytest.approx(0.0213041, abs=1e-6)  # the usual bug: a mean over classes too
    p = np.exp(Z_T / 2) / np.exp(Z_T / 2).sum(1, keepdims=True)
    entropy = -(p * np.log(p)).sum(1).mean()
    assert entropy + loss.item() / 4 == pytest.approx(1.1111922, abs=1e-6)  # the soft cross entropy


def test_cosine_and_squares_leave_padding_out():
    a, b = minitorch.tensor([[[1.0, 0, 2], [9, 9, 9]]]), minitorch.tensor([[[2.0, 1, 2], [0, 1, 0]]])
    keep = minitorch.tensor([[1.0, 0]])
    assert distilling.cosine(a, b, keep).item() == pytest.approx(0.1055728, abs=1e-6)
    assert distilling.squares(a, b, keep).item() == pytest.approx(2 / 3, abs=1e-6)


def test_attention_scores_are_those_of_the_model():
    model, x = small(), ids()
    keep = minitorch.tensor(np.array([[1.0] * 7, [1] * 5 + [0] * 2, [1] * 7], np.float32))
    with minitorch.no_grad():
        out = model(x, keep, output_hidden_states=True, output_attentions=True)
        scores = distilling.attention_scores(model.bert.encoder.layer[1], out.hidden_states[1], keep).numpy()
    assert (scores[1, :, :, 5:] == 0).all()
    e = np.exp(scores) * keep.numpy()[:, None, None]
    np.testing.assert_allclose(e / e.sum(-1, keepdims=True), out.attentions[1].numpy(), atol=1e-6)


def test_a_model_has_no_distance_from_itself():
    model, x = small(), ids()
    keep = minitorch.ones(3, 7)
    with minitorch.no_grad():
        h = model(x, output_hidden_states=True).hidden_states[1]
        own = distilling.relations(model.bert.encoder.layer[1], h, keep, 4)
    assert [r.shape for r in own] == [(3, 4, 7, 7)] * 3
    assert sum(distilling.divergence(r, r, keep).item() for r in own) == 0
    np.testing.assert_allclose(np.exp(own[0].numpy()).sum(-1), 1, atol=1e-5)


def test_which_layer_of_the_teacher():
    assert [distilling.partner(m, 4, 12) for m in range(1, 5)] == [3, 6, 9, 12]
    assert [distilling.partner(m, 2, 6) for m in (1, 2)] == [3, 6]
    assert [distilling.partner(m, 4, 6) for m in range(1, 5)] == [1, 3, 4, 6]


def test_a_student_starts_from_its_teacher():
    teacher = small(BertForMaskedLM, num_hidden_layers=4)
    shape = {**teacher.config.to_dict(), "num_hidden_layers": 2}
    equal = BertForMaskedLM(bert.BertConfig.from_dict(shape))
    distilling.start_from(equal, teacher)
    mine, theirs = equal.state_dict(), teacher.state_dict()
    for name, w in mine.items():
        there = name.replace("layer.1.", "layer.3.").replace("layer.0.", "layer.1.")
        np.testing.assert_array_equal(w.numpy(), theirs[there].numpy(), err_msg=name)
    narrow = BertForMaskedLM(bert.BertConfig.from_dict({**shape, "hidden_size": 6}))
    distilling.start_from(narrow, teacher)
    E, e = (m.bert.embeddings.word_embeddings.weight.array for m in (teacher, narrow))
    best = np.linalg.svd(E)[1][:6]
    np.testing.assert_allclose(np.linalg.svd(e)[1], best, rtol=1e-4)  # no 6 axes keep more
    assert narrow.cls.predictions.decoder.weight is narrow.bert.embeddings.word_embeddings.weight


def test_masks():
    w, g = np.array([0.1, -0.6, 0.3, -0.05, 0.9, 0.2]), np.array([1, 0.5, -2, 3, 0.1, -1])
    np.testing.assert_array_equal(weights.mask_of(np.abs(w), 0.5), [0, 1, 1, 0, 1, 0])
    np.testing.assert_allclose(-w * g, [-0.1, 0.3, 0.6, 0.15, -0.09, 0.2])
    np.testing.assert_array_equal(weights.mask_of(-w * g, 0.5), [0, 1, 1, 0, 0, 1])
    two = weights.kept({"a": w[:3], "b": w[3:] + 1}, 0.5, "model")
    np.testing.assert_array_equal(np.concatenate(list(two.values())), [0, 0, 0, 1, 1, 1])


def test_the_cubic_schedule():
    np.testing.assert_allclose([weights.cubic(t, 4, 0.9) for t in (0, 1, 2, 4, 9)], [0, 0.520313, 0.7875, 0.9, 0.9], atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.floats(0, 0.99), st.integers(0, 99))
def test_as_many_zeros_as_asked_for(n, share, seed):
    scores = np.random.default_rng(seed).integers(0, 4, n).astype(float)  # with ties
    mask = weights.mask_of(scores, share)
    assert (mask == 0).sum() == round(share * n)
    assert not (mask == 1).any() or not (mask == 0).any() or scores[mask == 0].max() <= scores[mask == 1].min()


def test_movement_goes_straight_through_the_mask():
    model = small()
    pruner = weights.Pruner(model, "movement", 0.5, "matrix")
    name = "layer.0.output.dense.weight"
    p, dense = pruner.weights[name], pruner.dense[name].copy()
    pruner.masks[name][0] = 0
    pruner.put({name: dense * pruner.masks[name]})
    g = np.random.default_rng(0).normal(size=p.shape).astype(np.float32)
    p.grad = minitorch.tensor(g)
    pruner.before_update()
    np.testing.assert_allclose(pruner.scores[name], -dense * g)  # also behind the mask
    assert (p.grad.numpy()[0] == 0).all()
    np.testing.assert_array_equal(p.grad.numpy()[1:], g[1:])
    np.testing.assert_array_equal(p.array, dense)
    p.array[...] += 1  # the optimiser, whose momentum also moves what is masked
    pruner.after_update(0.5)
    assert (p.array == 0).sum() == round(0.5 * p.array.size)
    np.testing.assert_array_equal(p.array, (dense + 1) * pruner.masks[name])


def test_layers_that_stay():
    model, whole = small(num_hidden_layers=4), small(num_hidden_layers=4)
    layers.keep(model, [0, 3])
    whole.bert.encoder.layer = minitorch.nn.ModuleList([whole.bert.encoder.layer[i] for i in (0, 3)])
    with minitorch.no_grad():
        np.testing.assert_array_equal(model(ids()).logits.numpy(), whole(ids()).logits.numpy())
    assert model.config.num_hidden_layers == model.bert.config.num_hidden_layers == 2
    for text, reason in (
        ("0,9", "there is no layer 9; there are layers 0 to 3"),
        ("1,0", "in their order"),
        ("x", "numbers of the"),
    ):
        with pytest.raises(BadInput, match=reason):
            layers.chosen_layers(text, 4)


# ------------------------------------------------------------------------------------------------------------ runs


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--student=1x8", "--distil=soft", "--extra=EXTRA"], 1),
        (["--student=1x16", "--distil=distilbert"], 1),
        (["--student=1x8", "--distil=tinybert"], 1),
        (["--student=1x8", "--distil=minilm"], 1),
    ],
)
def test_students_from_the_command_line(place, options, parts):  # noqa: F811
    extra = place / "extra.tsv"
    extra.write_text("text\tlabel\na good film\t?\nthe bad plot\t?\n")
    given = [option.replace("EXTRA", str(extra)) for option in options]
    data = (f"--teacher={place / 'tuned'}", f"--data={place / 'train.tsv'}", "--epochs=2", "--threads=1")
    folder = compress(place, "student", *given, *data, model="")
    assert Predictor(folder)(["a good film"])[0]["prediction"] in ("neg", "pos")
    config = read_json(folder / "config.json")
    assert (config["num_hidden_layers"], config["id2label"]) == (parts, {"0": "neg", "1": "pos"})
    assert not any("fit_dense" in name for name in minitorch.load(folder / "model.safetensors"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("distil", ["soft", "distilbert", "tinybert", "minilm"])
def test_a_pretrained_teacher(place, distil):  # noqa: F811
    folder = compress(
        place, "words", f"--teacher={place / 'base'}", "--student=1x16", f"--distil={distil}", f"--data={place / 'text.txt'}",
        "--epochs=1", "--threads=1", model="",
    )  # fmt: skip
    tokenizer, model = bert.load(folder)
    assert model.config.num_hidden_layers == 1
    assert len(bert.fill_mask(model, tokenizer, "a [MASK] film")[0]) == 5
    assert not (folder / "finetune.json").exists()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "options", [["--weights=.5"], ["--weights=.5", "--epochs=2"], ["--weights=.5", "--by=movement", "--scope=model"]]
)
def test_weights_from_the_command_line(place, options):  # noqa: F811
    folder = compress(place, "zeros", "--weights=.5", *options, f"--data={place / 'train.tsv'}", "--threads=1")
    model = BertForSequenceClassification.from_pretrained(folder)
    found = [p.array for p in weights.matrices(model).values()]
    assert sum((w == 0).sum() for w in found) == pytest.approx(0.5 * sum(w.size for w in found), abs=len(found))
    after, before = read_json(folder / "compress.json")["after"], read_json(folder / "compress.json")["before"]
    assert after["bytes"] == before["bytes"]
    assert after["gzip_bytes"] < before["gzip_bytes"]


@pytest.mark.usefixtures("quick")
def test_a_stopped_run_goes_on_with_the_same_numbers(place, monkeypatch):  # noqa: F811
    options = {"model": str(place / "tuned"), "data": str(place / "train.tsv"), "weights": 0.5, "by": "movement", "threads": 1}
    for name in ("whole", "stopped"):
        shutil.rmtree(place / name, ignore_errors=True)
    s = Settings(**options, output=str(place / "whole"), epochs=2)
    s.check()
    compressed(s)
    usual = weights.Gradual.one_step

    def stop(self, features, workers):
        if self.step == 5:
            raise KeyboardInterrupt
        return usual(self, features, workers)

    monkeypatch.setattr(weights.Gradual, "one_step", stop)
    with pytest.raises(KeyboardInterrupt):
        compressed(dataclasses.replace(s, output=str(place / "stopped")))
    monkeypatch.setattr(weights.Gradual, "one_step", usual)
    given = [f"--{k}={v}" for k, v in options.items()]
    assert cli.main(["compress", *given, "--epochs=2", f"--output={place / 'stopped'}", "--resume"]) == 0
    runs = [minitorch.load(place / name / "model.safetensors") for name in ("whole", "stopped")]
    for name, w in runs[0].items():
        np.testing.assert_array_equal(w.numpy(), runs[1][name].numpy(), err_msg=name)


def test_what_cannot_be_distilled(place, capsys):  # noqa: F811
    teacher, data = f"--teacher={place / 'tuned'}", f"--data={place / 'train.tsv'}"
    refused(place, capsys, "a student is smaller", teacher, data, "--student=2x32", model="")
    refused(place, capsys, "--student must be tiny, mini", teacher, data, "--student=huge", model="")
    refused(place, capsys, "--teacher FOLDER and --student SIZE belong together", data, "--student=1x8")
    refused(place, capsys, "--data FILE is missing: the examples to train on", teacher, "--student=1x8", model="")
    refused(place, capsys, "give --student LAYERSx16", teacher, data, "--student=1x8", "--distil=distilbert", model="")
    (place / "student.json").write_text('{"model_type": "bert", "vocab_size": 40, "hidden_size": 8, "num_attention_heads": 2}')
    refused(place, capsys, "a student reads with its teacher's", teacher, data, f"--student={place / 'student.json'}", model="")
    (place / "three.tsv").write_text("text\tlabel\n" + "a film\tx\nthe film\ty\nthe plot\tz\n" * 4)
    refused(
        place,
        capsys,
        "is not among those of the training examples: neg, pos",
        teacher,
        f"--data={place / 'three.tsv'}",
        "--student=1x8",
        model="",
    )
    refused(place, capsys, "--weights must be from 0 to 0.999, not 1.5", "--weights=1.5")
    refused(place, capsys, "there is no layer 5", "--layers=0,5")
