"""The encoder-decoder: equal to nn.Transformer, cached steps equal to uncached ones, greedy and beam search, what it learns."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitorch
from minitorch import nn
from minitorch.parallel import Workers
from models import bert
from models.seq2seq.model import Seq2SeqConfig, Seq2SeqTransformer, positions
from models.seq2seq.task import Seq2Seq, Settings
from models.seq2seq.vocabulary import END, OWN, PAD, START, UNKNOWN, padded
from models.seq2seq.writing import NEVER, write_ids
from tests import finetune_cases
from tests import seq2seq_cases as cases

FROZEN = Path(__file__).parent / "frozen" / "seq2seq.json"


def arrays(ours, src, mask, labels):
    """Logits, loss and gradients by name."""
    ours.zero_grad()
    output = ours(src, mask, labels=labels)
    output.loss.backward()
    gradients = {name: p.grad.numpy() for name, p in ours.named_parameters()}
    return output.logits.detach().numpy(), output.loss.item(), gradients


# ------------------------------------------------------------------------------------------------------- the model


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-10)])
def test_logits_loss_and_gradients_are_those_of_nn_transformer(joint, dtype, tolerance):
    """With padding on both sides; in float64 to the last digits."""
    ours = cases.model(joint=joint, vocab_size=23).to(getattr(minitorch, dtype))
    src, mask, labels = cases.batch(V=23)
    logits, loss, gradients = arrays(ours, src, mask, labels)
    their_logits, their_loss, their_gradients = cases.theirs(ours, src, mask, labels)
    np.testing.assert_allclose(logits, their_logits, atol=tolerance * 10, rtol=tolerance)
    assert loss == pytest.approx(their_loss, rel=tolerance)
    assert gradients.keys() == their_gradients.keys()
    for name, g in gradients.items():
        np.testing.assert_allclose(g, their_gradients[name], atol=tolerance, rtol=tolerance * 10, err_msg=name)


def test_numbers_of_nn_transformer_frozen():
    """The same where PyTorch is not installed: sums over its logits and gradients."""
    frozen = json.loads(FROZEN.read_text())
    logits, loss, gradients = arrays(cases.model().to(minitorch.float64), *cases.batch())
    assert loss == pytest.approx(frozen["loss"], rel=1e-9)
    assert float(np.abs(logits).sum()) == pytest.approx(frozen["logits"], rel=1e-9)
    assert {name: float(np.abs(g).sum()) for name, g in gradients.items()} == pytest.approx(frozen["gradients"], rel=1e-7)


@given(st.integers(0, 10_000), st.lists(st.integers(1, 3), min_size=1, max_size=5), st.booleans())
def test_steps_with_the_cache_give_what_all_tokens_give(seed, steps, joint):
    """Whatever the steps' lengths; float64."""
    ours = cases.model(seed % 5, joint=joint, vocab_size=23).to(minitorch.float64)
    src, mask, _ = cases.batch(seed, V=23)
    ids = minitorch.tensor(np.random.default_rng(seed).integers(OWN, 23, (4, sum(steps))))
    with minitorch.no_grad():
        whole = ours(src, mask, ids).logits.numpy()
        cache, parts, at = None, [], 0
        for n in steps:
            output = ours(src, mask, ids[:, at : at + n], past_key_values=cache, use_cache=True)
            cache, at = output.past_key_values, at + n
            parts.append(output.logits.numpy())
    assert len(cache) == sum(steps)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-12)


@given(st.integers(0, 10_000))
def test_a_pair_gives_the_same_alone_and_in_a_batch(seed):
    """Padding of the source changes nothing; nor does what follows in the target."""
    ours = cases.model().to(minitorch.float64)
    src, mask, labels = cases.batch(seed)
    with minitorch.no_grad():
        together = ours(src, mask, labels=labels).logits.numpy()
        for i in range(len(together)):
            n, m = int(mask.numpy()[i].sum()), int((labels.numpy()[i] >= 0).sum())
            alone = ours(src[i : i + 1, :n], labels=labels[i : i + 1, :m]).logits.numpy()
            np.testing.assert_allclose(alone[0], together[i, :m], atol=1e-12)


def test_attention_tables_are_distributions_over_the_source():
    """Of each layer (B, H, T, S); nothing on padding; the logits do not change."""
    ours = cases.model()
    src, mask, labels = cases.batch()
    with minitorch.no_grad():
        plain, shown = (ours(src, mask, labels=labels, output_attentions=wanted) for wanted in (False, True))
    np.testing.assert_allclose(plain.logits.numpy(), shown.logits.numpy(), atol=1e-5)
    assert len(shown.cross_attentions) == 2
    for table in shown.cross_attentions:
        assert table.shape == (*src.shape[:1], 2, labels.shape[1], src.shape[1])
        np.testing.assert_allclose(table.numpy().sum(-1), 1, rtol=1e-5)
        assert (table.numpy() * (mask.numpy() == 0)[:, None, None]).max() == 0


def test_positions_are_those_of_the_paper():
    """PE(p, 2i) = sin(p / 10000^(2i/E)), PE(p, 2i+1) = cos(the same), also for an odd size."""
    for size in (6, 7):
        table = positions(9, size)
        assert table.shape == (9, size)
        for p, j in itertools.product(range(9), range(size)):
            angle = p / 10000 ** ((j - j % 2) / size)
            assert table[p, j] == pytest.approx(np.cos(angle) if j % 2 else np.sin(angle), abs=1e-6)


def test_the_decoder_reads_the_labels_one_token_behind():
    """Start in front, -100 becomes padding."""
    shifted = cases.model().shift_right(minitorch.tensor([[7, 8, END, -100], [9, END, -100, -100]]))
    assert shifted.tolist() == [[START, 7, 8, END], [START, 9, END, PAD]]


def test_labels_are_smoothed_in_training_alone(tmp_path):
    """(1 - ε) of the loss of the target, ε of the mean loss of all entries; held-out losses are plain."""
    task = Seq2Seq(Settings(label_smoothing=0.2), (None, None))
    ours = cases.model()
    src, mask, labels = cases.batch()
    inputs = {"input_ids": src, "attention_mask": mask, "labels": labels}
    plain = ours(src, mask, labels=labels)
    assert task.loss(ours, inputs)[0].item() == pytest.approx(plain.loss.item(), rel=1e-6)
    log_p = nn.functional.log_softmax(plain.logits, dim=-1).detach().numpy()
    every = -log_p.mean(-1)[labels.numpy() >= 0].mean()
    ours.train()
    assert task.loss(ours, inputs)[0].item() == pytest.approx(0.8 * plain.loss.item() + 0.2 * every, rel=1e-5)


def test_a_saved_model_is_the_same_again(tmp_path):
    """config.json and model.safetensors; the projection to the vocabulary is stored once, as the embeddings."""
    for name, changes in {"joint": {"joint": True, "vocab_size": 23}, "separate": {}}.items():
        ours = cases.model(**changes)
        ours.save_pretrained(tmp_path / name)
        again = Seq2SeqTransformer.from_pretrained(tmp_path / name)
        src, mask, labels = cases.batch()
        with minitorch.no_grad():
            assert (ours(src, mask, labels=labels).logits == again(src, mask, labels=labels).logits).all()
        names = set(minitorch.load(tmp_path / name / "model.safetensors"))
        assert ("source_embedding.weight" in names) == (name == "separate")
        assert not any(key.startswith(("positions", "lm_head")) for key in names)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nhead": 3}, "d_model 16 must be a multiple of nhead 3"),
        ({"joint": True}, "a joint vocabulary needs vocab_size = target_vocab_size"),
        ({"d_model": 2**30, "nhead": 1}, "needs .* GB, this machine has"),
        ({"num_decoder_layers": 0}, "num_decoder_layers must be a whole number of at least 1"),
    ],
)
def test_sizes_that_cannot_be(changes, message):
    """One line each."""
    with pytest.raises(ValueError, match=message):
        cases.model(**changes)


def test_what_the_model_refuses():
    """An id outside the vocabulary, a text beyond its positions, no target."""
    ours = cases.model(max_position_embeddings=5)
    src = minitorch.tensor([[5, 6, END]])
    with pytest.raises(ValueError, match="the vocabulary has 20 entries"):
        ours(src + 15, labels=src)
    with pytest.raises(ValueError, match="a sequence of 6 tokens is longer than the 5 positions"):
        ours(minitorch.tensor([[5] * 6]), labels=src)
    with pytest.raises(ValueError, match="give decoder_input_ids, or labels"):
        ours(src)


def test_an_encoder_may_be_a_bert(tmp_path):
    """Its hidden states are the memory; its weights are under Hugging Face's names; it is saved and read with the rest."""
    other = bert.BertModel.from_pretrained(finetune_cases.checkpoint(tmp_path / "bert"), add_pooling_layer=False)
    ours = cases.model(d_model=16, encoder=other.config.to_dict(), vocab_size=other.config.vocab_size)
    ours.encoder.load_state_dict(other.state_dict())
    src, mask, labels = cases.batch()
    with minitorch.no_grad():
        memory = other(src, mask).last_hidden_state
        assert (ours.encode(src, mask) == memory).all()
    assert "encoder.encoder.layer.0.attention.self.query.weight" in ours.state_dict()
    ours.save_pretrained(tmp_path / "whole")
    again = Seq2SeqTransformer.from_pretrained(tmp_path / "whole")
    with minitorch.no_grad():
        assert (ours(src, mask, labels=labels).logits == again(src, mask, labels=labels).logits).all()
    with pytest.raises(ValueError, match="d_model 8 must be the hidden_size of the encoder, 16"):
        Seq2SeqConfig(d_model=8, nhead=2, joint=False, encoder=other.config.to_dict())


# --------------------------------------------------------------------------------------------------- writing texts


@pytest.fixture(scope="module")
def learnt():
    """A model that has begun to learn to sort letters: its texts differ, and are not yet sure."""
    rng = np.random.default_rng(0)
    sources = [rng.integers(OWN, 12, rng.integers(2, 6)).tolist() for _ in range(200)]
    pairs = [([*source, END], [*sorted(source), END]) for source in sources]
    return cases.learn(cases.model(vocab_size=12, target_vocab_size=12, joint=True), pairs, steps=60)


def questions(seed, B=6):
    """Sources of different lengths."""
    rng = np.random.default_rng(seed)
    rows = [[*rng.integers(OWN, 12, rng.integers(1, 7)).tolist(), END] for _ in range(B)]
    return minitorch.tensor(padded(rows, PAD)), minitorch.tensor(padded([[1] * len(row) for row in rows], 0))


def score(model, input_ids, attention_mask, targets, length_penalty=1.0):
    """Σ log p / length^length_penalty of the target's ids for each source: the score by which a beam search chooses."""
    labels = padded(targets, PAD)  # (B, T)
    ids = np.concatenate([np.full((len(labels), 1), START), labels[:, :-1]], axis=1)
    with minitorch.no_grad():
        logits = model(input_ids, attention_mask, minitorch.from_numpy(ids).to(input_ids.device)).logits.cpu().numpy()
    logits = logits.astype(np.float64)  # (B, T, V)
    logits[..., NEVER] = -np.inf
    log_p = np.take_along_axis(logits, labels[..., None], -1)[..., 0] - np.logaddexp.reduce(logits, axis=-1)  # (B, T)
    return [float(row[: len(ids)].sum() / len(ids) ** length_penalty) for row, ids in zip(log_p, targets, strict=True)]


@given(st.integers(0, 10_000), st.sampled_from([0.0, 1.0, 2.0]), st.integers(2, 5))
def test_a_beam_is_never_below_greedy_on_the_models_own_score(learnt, seed, length_penalty, beams):
    """Width 1 is greedy; a wider one finds a text that scores as high at least."""
    src, mask = questions(seed)
    greedy = write_ids(learnt, src, mask, max_new_tokens=8)
    assert write_ids(learnt, src, mask, max_new_tokens=8, num_beams=1) == greedy
    wide = write_ids(learnt, src, mask, max_new_tokens=8, num_beams=beams, length_penalty=length_penalty)
    low, high = (np.array(score(learnt, src, mask, texts, length_penalty)) for texts in (greedy, wide))
    assert (high >= low - 1e-5).all()


def test_greedy_steps_are_the_most_probable_tokens(learnt):
    """A plain loop without cache, batch or shared code."""
    src, mask = questions(1)
    for i, text in enumerate(write_ids(learnt, src, mask, max_new_tokens=8)):
        ids = [START]
        while len(ids) <= 8 and ids[-1] != END:
            with minitorch.no_grad():
                logits = learnt(src[i : i + 1], mask[i : i + 1], minitorch.tensor([ids])).logits.numpy()[0, -1]
            logits[[PAD, START, UNKNOWN]] = -np.inf
            ids.append(int(logits.argmax()))
        assert ids[1:] == text


def test_a_wide_beam_finds_the_best_of_all_texts(learnt):
    """Against every text of at most two letters."""
    src, mask = questions(2, B=1)
    letters = range(OWN, 12)
    ended = [[*text, END] for n in (0, 1, 2) for text in itertools.product(letters, repeat=n)]
    every = ended + [list(text) for text in itertools.product(letters, repeat=3)]  # cut off at three tokens
    for length_penalty in (0.0, 1.0):
        scores = score(learnt, src.expand(len(every), -1), mask.expand(len(every), -1), every, length_penalty)
        options = {"max_new_tokens": 3, "length_penalty": length_penalty, "early_stopping": "never"}
        assert write_ids(learnt, src, mask, num_beams=100, **options) == [every[int(np.argmax(scores))]]


def test_texts_end_at_the_end_token_and_hold_no_padding(learnt):
    """END stands at the end or, where the text was cut, nowhere; PAD, START and UNKNOWN never come."""
    for beams in (1, 3):
        for text in write_ids(learnt, *questions(3, B=30), max_new_tokens=5, num_beams=beams):
            assert 1 <= len(text) <= 5
            assert END not in text[:-1]
            assert not {PAD, START, UNKNOWN} & set(text)
            assert text[-1] == END or len(text) == 5


@given(st.integers(0, 10_000), st.sampled_from([1, 3]))
def test_a_text_depends_on_its_source_alone(learnt, seed, beams):
    """Not on the batch, the padding, the cache or threads."""
    src, mask = questions(seed)
    options = {"max_new_tokens": 8, "num_beams": beams}
    together = write_ids(learnt, src, mask, **options)
    assert write_ids(learnt, src, mask, use_cache=False, **options) == together

    def alone(i):
        n = int(mask.numpy()[i].sum())
        return write_ids(learnt, src[i : i + 1, :n], None, **options)[0]

    with Workers(2) as workers:
        assert list(workers.map(alone, range(6))) == together


def test_a_sample_depends_on_seed_and_source_alone(learnt):
    """Not on the batch; another seed gives another text."""
    src, mask = questions(4)
    options = {"max_new_tokens": 8, "do_sample": True, "temperature": 2.0}
    together = write_ids(learnt, src, mask, seed=1, **options)
    n = int(mask.numpy()[2].sum())
    assert write_ids(learnt, src[2:3, :n], None, seed=1, **options) == together[2:3]
    assert write_ids(learnt, src, mask, seed=2, **options) != together


# -------------------------------------------------------------------------------------------------- what it learns


@pytest.mark.slow
@pytest.mark.parametrize("task", ["copying", "reversing"])
def test_copying_and_reversing_are_learnt_to_the_last_letter(task):
    """Words of 3 to 8 letters that training does not have: 100 % exact match, greedily and by beam search."""
    rng = np.random.default_rng(0)
    words = {tuple(rng.integers(OWN, OWN + 10, rng.integers(3, 9)).tolist()) for _ in range(5200)}
    words = sorted(words)
    rng.shuffle(words)
    step = -1 if task == "reversing" else 1
    pairs = [([*word, END], [*word[::step], END]) for word in words]
    ours = cases.model(joint=True, vocab_size=14, target_vocab_size=14, d_model=64, nhead=4, dim_feedforward=128)
    cases.learn(ours, pairs[200:], steps={"copying": 500, "reversing": 700}[task])
    src = [source for source, _ in pairs[:200]]
    ids, mask = minitorch.tensor(padded(src, PAD)), minitorch.tensor(padded([[1] * len(row) for row in src], 0))
    for beams in (1, 4):
        assert write_ids(ours, ids, mask, max_new_tokens=12, num_beams=beams) == [list(target) for _, target in pairs[:200]]
