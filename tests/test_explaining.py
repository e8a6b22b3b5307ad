"""Explaining: test vectors of each method, words and pieces, subjects of every task, checks, and the command."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitorch
from models import explaining
from models.bert.config import BertConfig
from models.bert.model import BertForSequenceClassification
from models.explaining import attention, checks, gradients, lens, lime, sources, words
from models.explaining.occlusion import occlusion
from models.explaining.subject import Subject

from . import finetune_cases, gpt_cases


def tensor(x):
    return minitorch.tensor(x, dtype=minitorch.float64)


# ------------------------------------------------------------------------------------------------ the methods alone


def square(x):
    """f = x₀² x₁"""
    return x[:, 0] ** 2 * x[:, 1]


@pytest.mark.parametrize(
    ("rule", "steps", "expected"),
    [
        ("gauss", 2, [12, 6]),
        ("midpoint", 5, [11.88, 5.94]),
        ("midpoint", 50, [11.9988, 5.9994]),
        ("left", 50, [11.6424, 5.8212]),
        ("right", 50, [12.3624, 6.1812]),
        ("trapezoid", 5, [12.375, 6.1875]),
    ],
)
def test_integrated_gradients_of_a_polynomial(rule, steps, expected):
    x = tensor([3.0, 2.0])
    found, delta, whole = gradients.integrated_gradients(square, x, x * 0, steps, rule)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert whole == 18
    assert delta == pytest.approx(sum(expected) - 18, abs=1e-9)


def test_gradient_x_input_is_no_decomposition():
    np.testing.assert_allclose(gradients.gradient_x_input(square, tensor([3.0, 2.0])), [36, 18])


def test_integrated_gradients_of_a_sigmoid():
    x = tensor([2.0, 1.0])
    found, delta, _ = gradients.integrated_gradients(
        lambda x: minitorch.sigmoid(x @ tensor([4.0, -2.0])), x, x * 0, 50, "midpoint"
    )
    np.testing.assert_allclose(found, [0.6633698, -0.1658425], atol=2e-6)
    assert abs(delta) == pytest.approx(1.5e-6, abs=1e-7)


@given(st.sampled_from(gradients.RULES), st.integers(2, 40))
def test_the_weights_of_every_rule_sum_to_1(rule, n):
    points, weights = gradients.quadrature(rule, n)
    assert weights.sum() == pytest.approx(1)
    assert ((points >= 0) & (points <= 1)).all()


def test_rollout_multiplies_the_later_layer_from_the_left():
    first, second = np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([[0.9, 0.1], [0.4, 0.6]])
    np.testing.assert_allclose(attention.rollout([first, second]), [[0.7175, 0.2825], [0.23, 0.77]])
    np.testing.assert_allclose(attention.rollout([second, first]), [[0.7625, 0.2375], [0.275, 0.725]])


def test_the_gradient_of_a_heads_factor():
    context, W = tensor([[1.0, 2, 3, 4]]).requires_grad_(), tensor([[1.0, -1, 0.5, 2], [0, 1, 1, -1]])
    loss = ((context @ W.T) ** 2).sum() / 2
    loss.backward()
    np.testing.assert_allclose(attention.head_gradients(context.detach().numpy(), context.grad.numpy(), 2), [-6.5, 79.75])


def test_limes_kernel_is_lime_texts():
    assert lime.kernel(np.array([[True, True, True, False]]))[0] == pytest.approx(0.866240, abs=1e-6)
    assert lime.kernel(np.array([[True] * 4]))[0] == 1


@settings(max_examples=15)
@given(st.lists(st.floats(-3, 3), min_size=2, max_size=8))
def test_occlusion_and_lime_find_a_linear_function(weights):
    w = np.array(weights)
    np.testing.assert_allclose(occlusion(lambda keep: keep @ w + 1, len(w)), w, atol=1e-9)
    found, r2, spread = lime.lime(lambda keep: keep @ w + 1, len(w), 400, alpha=1e-6)
    np.testing.assert_allclose(found, w, atol=1e-4)
    assert r2 == pytest.approx(1, abs=1e-4) or np.ptp(w) < 1e-3
    assert spread < 1e-4


def test_limes_variants_keep_the_whole_text_first_and_always_lack_a_word_after_it():
    keep = lime.variants(7, 50, np.random.default_rng(0))
    assert keep[0].all()
    assert not keep[1:].all(1).any()
    assert len(set(keep.sum(1).tolist())) == 8  # from none to all
    assert (keep == lime.variants(7, 50, np.random.default_rng(0))).all()


def test_limes_spread_is_that_over_seeds():
    f = lambda keep: keep @ np.arange(6.0) - 5 * keep[:, 0] * keep[:, 5]  # noqa: E731
    runs = [lime.lime(f, 6, 200, seed) for seed in range(20)]
    deviation = np.sqrt(np.mean(np.std([values for values, _, _ in runs], 0, ddof=1) ** 2))
    assert np.mean([spread for _, _, spread in runs]) == pytest.approx(deviation, rel=0.3)


def test_rank_correlation():
    a = np.array([3.0, 1, 2, 2])
    assert checks.rank_correlation(a, a**3) == pytest.approx(1)
    assert checks.rank_correlation(a, -a) == pytest.approx(-1)
    assert np.isnan(checks.rank_correlation(a, a * 0))


# ---------------------------------------------------------------------------------------------------------- Captum


@pytest.fixture(scope="module")
def small_bert():
    """The reference's filled model: parameters in the order of their names, value i of number k = 0.3 sin(k + 1 + 0.7 i)."""
    shape = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForSequenceClassification(BertConfig(**shape, max_position_embeddings=16, num_labels=2))
    parameters = dict(model.named_parameters())
    with minitorch.no_grad():
        for k, name in enumerate(sorted(parameters)):
            p = parameters[name]
            value = 0.3 * np.sin(k + 1 + 0.7 * np.arange(p.numel())) + name.endswith("LayerNorm.weight")
            p.copy_(minitorch.tensor(value.reshape(p.shape).astype(np.float32)))
    return model.eval()


def small_subject(model):
    ids = np.array([1, 2, 3, 4, 5])
    names = [words.Word(name) for name in "abc"]
    of = np.array([-1, 0, 1, 2, -1])
    return Subject(model, sources.read_class, ids, np.zeros(5, int), names, of, np.array([0]), (0,), "a", padding=0)


def test_the_small_bert_is_the_references(small_bert):
    f, _ = small_subject(small_bert).variants(np.ones((1, 3), bool))
    assert f[0] == pytest.approx(0.599369, abs=1e-5)


# Captum 0.9.0's on the same weights in PyTorch 2.13, float64 (test_captum_says_the_same makes them).
CAPTUM = {
    "integrated": [-0.2033116, -0.12886403, -0.06871107],
    "gradient": [0.1232827, -0.01628538, 0.02087694],
}


def test_attributions_of_the_small_bert_are_captums(small_bert):
    subject = small_subject(small_bert)
    found = {e.name: e.values for e in explaining.explain(subject, names=list(CAPTUM), options=explaining.Options(rule="gauss"))}
    for name, expected in CAPTUM.items():
        np.testing.assert_allclose(found[name], expected, atol=2e-6)


@pytest.mark.slow
def test_captum_says_the_same(small_bert):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    captum = pytest.importorskip("captum.attr")
    config = transformers.BertConfig(**small_bert.config.to_dict())
    config._attn_implementation = "eager"
    theirs = transformers.BertForSequenceClassification(config).double().eval()
    theirs.load_state_dict({k: torch.tensor(v.numpy()).double() for k, v in small_bert.state_dict().items()}, strict=False)
    table = theirs.bert.embeddings.word_embeddings.weight.detach()
    x, baseline = table[torch.tensor([[1, 2, 3, 4, 5]])], table[torch.tensor([[1, 0, 0, 0, 5]])]

    def f(x):
        return theirs(inputs_embeds=x).logits[:, 0]

    integrated = captum.IntegratedGradients(f).attribute(x, baseline, n_steps=50, method="gausslegendre")
    product = captum.InputXGradient(f).attribute(x.requires_grad_())
    for name, values in (("integrated", integrated), ("gradient", product)):
        np.testing.assert_allclose(values.sum(-1)[0, 1:4].detach().numpy(), CAPTUM[name], atol=1e-6)


# ------------------------------------------------------------------------------------------------ words and pieces


@given(st.text(st.sampled_from("abc éäß.,-'’\n\t1日👍\u0301\u200b"), max_size=40))
def test_words_lie_side_by_side_and_hold_their_pieces(text):
    found, owners = words.words_of(text, [(i, i + 1) for i in range(len(text))])
    whole = "".join(word.before + word.text for word in found)
    assert text.startswith(whole)
    assert not re.search(r"\w", text[len(whole) :])
    for place, owner in enumerate(owners):
        assert (owner < 0) or text[place] in found[owner].text
    assert all(word.text for word in found)


def test_no_word_is_smaller_than_a_piece():
    found, owners = words.words_of("we [MASK] it isn't", [(0, 2), (3, 9), (10, 12), (13, 16), (16, 17), (17, 18)])
    assert [word.text for word in found] == ["we", "[MASK]", "it", "isn't"]
    assert owners == [0, 1, 2, 3, 3, 3]


# ------------------------------------------------------------------------------------------------ subjects of every task

TYPED = {
    "classify": "The film was lovely, and we saw a bad book.",
    "tag": "anna went to new rome .",
    "qa": "who went ?\tthe film anna went to paris .",
    "choice": "it was\tthe good book\tthe bad book",
    "relation": "the <e1>anna</e1> good <e2>bert</e2> a film",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A model of each task after a few steps, a masked LM and a GPT."""
    root = tmp_path_factory.getbasetemp() / "explaining"  # the other file of tests asks for them, too
    if root.exists():
        return root
    for task in TYPED:
        (root / task).mkdir(parents=True)
        n, epochs = {"classify": (100, 5), "relation": (60, 1)}.get(task, (24, 1))
        run = finetune_cases.run(task, root / task, n=n, epochs=epochs, lr=3e-3)
        run.folder = root / task / "out"
        run.folder.mkdir(exist_ok=True)
        run.train()
    finetune_cases.checkpoint(root / "mlm")
    gpt_cases.checkpoint(root / "gpt")
    return root


def opened(folders, task):
    return explaining.open_source(folders / task / "out" if task in TYPED else folders / task)


def subject_of(folders, task, text="", **asked):
    source = opened(folders, task)
    return source.subject(source.examples([text or TYPED[task]])[0], **asked)


def whole(subject):
    """f and the probability of the unchanged text."""
    f, p = subject.variants(np.ones((1, len(subject.words)), bool))
    return float(f[0]), float(p[0])


@pytest.mark.parametrize("task", ["classify", "relation"])
def test_the_probability_is_that_of_predict(folders, task):
    source = opened(folders, task)
    (example,) = source.examples([TYPED[task]])
    (record,) = source.answers([example])
    for label, p in record["probabilities"].items():
        assert whole(source.subject(example, label))[1] == pytest.approx(p, abs=2e-6)
    assert source.subject(example).answer == record["prediction"]


def test_tags_spans_and_choices_are_read_where_predict_reads_them(folders):
    tag = subject_of(folders, "tag", word=2)
    assert tag.of[tag.at[0]] == 1
    assert [word.text for word in tag.words] == TYPED["tag"].split()
    span = subject_of(folders, "qa", label="anna went")
    assert [span.words[span.of[i]].text for i in span.at] == ["anna", "went"]
    assert [word.text for word in span.words][:3] == ["who", "went", "?"]
    source = opened(folders, "choice")
    (example,) = source.examples([TYPED["choice"]])
    scores = [whole(source.subject(example, label))[0] for label in ("0", "the bad book")]
    p = np.exp(np.array(scores) / source.task.temperature)
    np.testing.assert_allclose(p / p.sum(), source.answers([example])[0]["probabilities"], atol=2e-6)


@pytest.mark.parametrize(("task", "text"), [*TYPED.items(), ("mlm", "the film [MASK] good"), ("gpt", "we see a ")])
def test_every_method_answers_for_every_kind_of_model(folders, task, text):
    source = opened(folders, task)
    subject = source.subject(source.examples([text])[0])
    options = explaining.Options(samples=60)
    for e in explaining.explain(subject, source.random(), options=options):
        assert e.values.shape == (len(subject.words),)
        assert np.isfinite(e.values).all()
        _, p = subject.variants(np.array([[True] * len(subject.words), [False] * len(subject.words)]))
        np.testing.assert_allclose(e.curves.deletion[[0, -1]], p, rtol=1e-5)
        np.testing.assert_allclose(e.curves.insertion[[-1, 0]], p, rtol=1e-5)
        if e.name == "integrated":
            assert e.delta < 0.01
            assert "complete" in e.note


def test_a_text_without_words_is_what_the_task_itself_reads(folders):
    """--remove delete: f of some words is f of the text that has only these."""
    subject = subject_of(folders, "classify", remove="delete")
    keep = np.array([word.text in ("film", "lovely", "bad") for word in subject.words])
    f, _ = subject.variants(keep[None])
    assert f[0] == pytest.approx(whole(subject_of(folders, "classify", "film lovely bad", label=subject.answer))[0], abs=1e-5)


def test_the_words_that_decide_are_found(folders):
    subject = subject_of(folders, "classify", "the film was lovely and we saw a lovely book", label="pos")
    for e in explaining.explain(subject, names=["integrated", "occlusion", "lime"]):
        order = [subject.words[i].text for i in np.argsort(-e.values)]
        assert "lovely" in order[:3]
        assert e.curves.areas[0] < checks.random_curves(subject).areas[0]


def test_what_is_not_read_is_said(folders):
    subject = subject_of(folders, "classify", " ".join(["film"] * 40))
    assert "10 words of 40 not read" in subject.note
    assert subject.is_read.sum() == 30
    (e,) = explaining.explain(subject, names=["occlusion"])
    assert (e.values[~subject.is_read] == 0).all()


def test_the_importance_of_heads_is_the_slope_of_their_factor(folders):
    subject = subject_of(folders, "classify")
    layer = subject.model.bert.encoder.layer[1].attention
    slopes = []
    for h in range(2):
        f = []
        for factor in (0.99, 1.01):
            scale = minitorch.tensor(np.where(np.arange(16) // 8 == h, factor, 1.0).astype(np.float32))
            handle = layer.output.dense.register_forward_pre_hook(lambda _, args, scale=scale: (args[0] * scale,))
            f.append(whole(subject)[0])
            handle.remove()
        slopes.append(abs(f[1] - f[0]) / 0.02)
    np.testing.assert_allclose(attention.importance(subject)[1], slopes, rtol=2e-2, atol=1e-4)


def test_attention_maps_are_the_models(folders):
    tables = attention.maps(subject_of(folders, "classify"))
    assert len(tables) == 2
    np.testing.assert_allclose(np.array(tables).sum(-1), 1, rtol=1e-5)
    assert attention.rollout([table.mean(0) for table in tables]).sum(-1) == pytest.approx(1)


@pytest.mark.parametrize(("task", "text"), [("mlm", "the film [MASK] good"), ("gpt", "we see a ")])
def test_the_last_layer_of_the_lens_is_the_answer(folders, task, text):
    source = opened(folders, task)
    subject = source.subject(source.examples([text])[0])
    layers = lens.logit_lens(subject, source.tokenizer)
    assert len(layers) == source.model.config.num_hidden_layers + 1
    assert layers[-1].probability == pytest.approx(whole(subject)[1], rel=1e-4)
    assert layers[-1].rank == 1
