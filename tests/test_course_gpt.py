"""Assignment 8 against the library and PyTorch: attention, filters and beams of any input, and what the small GPT notices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tokenizers", reason="the course trains a BERT, whose package needs tokenizers")

from minitorch import Tensor
from models.course import tiny_gpt
from models.course.assignments import find, reference
from models.course.subject import load
from models.generation import filters
from models.generation.beams import Beams
from models.generation.decoder import Stopping
from models.generation.settings import GenerationConfig

few = settings(deadline=None, max_examples=40)


@pytest.fixture(scope="module")
def gpt():
    assignment = find("gpt")
    return load(reference(assignment.source), str(assignment.folder / assignment.file))


@few
@given(st.integers(1, 4), st.integers(0, 4), st.integers(0, 999), st.booleans())
def test_attention_is_pytorchs(gpt, L, n, seed, padded):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    q, k, v, g = (rng.normal(size=(2, 3, size, d)) for size, d in ((L, 4), (n + L, 4), (n + L, 5), (L, 5)))
    tokens = (rng.random((2, n + L)) < 0.6).astype(int) if padded else np.ones((2, n + L), int)
    tokens[:, 0] = 1  # PyTorch gives NaN where nothing is seen
    y, pullback = gpt.causal_attention(q, k, v, tokens if padded else None)
    inputs = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    sees = torch.ones(L, n + L, dtype=torch.bool).tril(n) & torch.tensor(tokens != 0)[:, None, None]
    theirs = torch.nn.functional.scaled_dot_product_attention(*inputs, attn_mask=sees)
    theirs.backward(torch.tensor(g))
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-9, atol=1e-12)
    for mine, x in zip(pullback(g), inputs, strict=True):
        np.testing.assert_allclose(mine, x.grad.numpy(), rtol=1e-7, atol=1e-12)


@few
@given(st.lists(st.lists(st.integers(0, 1), min_size=6, max_size=6), min_size=1, max_size=3), st.integers(1, 6))
def test_positions_are_the_models(gpt, rows, L):
    model, _ = tiny_gpt.trained()
    theirs = model.transformer.positions(Tensor(np.array(rows)), L, 6 - L).numpy()
    mine, there = gpt.positions(np.array(rows), L), np.array(rows)[:, -L:] == 1
    np.testing.assert_array_equal(mine[there], theirs[there])


rows = st.lists(st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), min_size=5, max_size=5), min_size=1, max_size=4).filter(
    lambda rows: all(max(row) > -np.inf for row in rows)
)


@few
@given(rows, st.integers(0, 8), st.sampled_from([0.0, 0.123, 0.377, 0.61, 0.93, 1.0]))
def test_filters_are_the_librarys_in_every_tie(gpt, rows, k, p):
    logits = np.array(rows)
    np.testing.assert_array_equal(gpt.top_k(logits, k), filters.top_k(logits, k))
    np.testing.assert_array_equal(gpt.top_p(logits, p), filters.top_p(logits, p))


@few
@given(
    st.integers(2, 6), st.integers(1, 5), st.integers(1, 6), st.sampled_from([None, 0, 1]), st.floats(-2, 3), st.integers(0, 999)
)
def test_beams_are_the_librarys(gpt, V, k, most, end, penalty, seed):
    rng = np.random.default_rng(seed)
    table = np.where(rng.random((most, V, V)) < 0.1, -np.inf, rng.normal(size=(most, V, V)))

    def log_p(texts):
        return np.array([table[len(text), text[-1] if text else 0] for text in texts])

    config = GenerationConfig(num_beams=k, num_return_sequences=k, eos_token_id=end, length_penalty=penalty, early_stopping=True)
    beams = Beams(config, most)
    while not beams.done:
        beams.advance(log_p(beams.tokens), Stopping(config, None))
    mine = gpt.beam_search(log_p, k, most, end, penalty)
    assert [tokens for _, tokens in mine] == [tokens for _, tokens in beams.results()]
    np.testing.assert_allclose([score for score, _ in mine], [score for score, _ in beams.results()])


def test_the_small_gpt_has_learned_to_write(gpt):
    texts = tiny_gpt.texts()
    assert tiny_gpt.texts_with(gpt) == texts
    assert len(set(texts.values())) == len(texts)
    words = " ".join(texts.values()).split()
    assert sum(word.strip(".,:") in tiny_gpt.TEXT for word in words) > len(words) / 2


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("positions", lambda right: lambda tokens, L: np.broadcast_to(np.arange(tokens.shape[1])[-L:], (len(tokens), L))),
        ("causal_attention", lambda right: lambda q, k, v, tokens=None: right(q, k, v)),
        ("top_k", lambda right: lambda x, k: right(x, k and k + 1)),
        ("top_p", lambda right: lambda x, p: right(x, p - 0.1)),
        ("beam_search", lambda right: lambda log_p, k, most, end, penalty: right(log_p, k, most, end, 0.0)),
        ("Cache", lambda right: type("Cache", (right,), {"reorder": lambda self, rows: right.reorder(self, sorted(rows))})),
        ("Cache", lambda right: type("Cache", (right,), {"update": lambda self, k, v: right.update(self, v, k)})),
    ],
)
def test_the_texts_differ_where_one_part_is_wrong(gpt, monkeypatch, name, wrong):
    monkeypatch.setattr(gpt, name, wrong(getattr(gpt, name)))
    assert tiny_gpt.texts_with(gpt) != tiny_gpt.texts()


def test_a_search_that_asks_for_a_text_from_nowhere_is_told(gpt, monkeypatch):
    def lost(log_p, k, most, end, penalty):
        log_p([[]])
        return log_p([[1, 2]])

    monkeypatch.setattr(gpt, "beam_search", lost)
    with pytest.raises(ValueError, match=r"\[1, 2\], which continues no text"):
        tiny_gpt.texts_with(gpt)
    monkeypatch.setattr(gpt, "beam_search", lambda *_: [])
    with pytest.raises(ValueError, match="gives 0 texts where 4 beams find 4"):
        tiny_gpt.texts_with(gpt)
