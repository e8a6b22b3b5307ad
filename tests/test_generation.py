"""Writing text: filters, greedy, samples and beams against Hugging Face's; rows that do not depend on each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitorch
from models.errors import BadInput
from models.generation import filters
from models.generation.cache import Cache
from models.generation.decoder import filtered
from models.generation.generate import Draws, generate
from models.generation.settings import GenerationConfig
from models.gpt.decoding import GPTDecoder

from .gpt_cases import by_formula, make, theirs

P = np.array([[0.5, 0.3, 0.15, 0.05]])
X = np.log(P)


def kept(logits):
    """How many tokens may come."""
    return int(np.isfinite(logits).sum())


# ------------------------------------------------------------------------------------------------------- filters


def test_filters_by_hand():
    assert [kept(filters.top_p(X, p)) for p in (0.5, 0.6, 0.85, 1.0, 0.0)] == [1, 2, 3, 4, 1]
    half = filters.temperature(X, 0.5)
    np.testing.assert_allclose(filters.softmax(half), [[0.684932, 0.246575, 0.061644, 0.006849]], atol=1e-6)
    assert kept(filters.top_p(half, 0.8)) == 2
    assert kept(filters.temperature(filters.top_p(X, 0.8001), 0.5)) == 3  # the order matters
    assert kept(filters.top_k(np.array([[1.0, 1.0, 1.0, 0.0]]), 2)) == 3  # ties
    penalised = filters.repetition_penalty(np.array([[2.0, 1.0, -1.0, -2.0]]), [[0, 3, 3]], 2.0)
    np.testing.assert_array_equal(penalised, [[1.0, 1.0, -1.0, -4.0]])
    assert [kept(filters.min_p(X, p)) for p in (0.0, 0.2, 0.5, 1.0)] == [4, 3, 2, 1]
    none = GenerationConfig(do_sample=True, temperature=None, top_k=None, top_p=None)
    np.testing.assert_allclose(filters.softmax(filtered(X, [[]], none)), P)


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0}, {"temperature": 1e-320}, {"top_p": 0}, {"top_k": 1}, {"min_p": 1.0}, {"temperature": 0, "top_p": 0}],
)
def test_the_ends_of_every_scale_leave_the_most_probable_token(options):
    logits = np.array([[0.0, 3.0, 1.0], [2.0, -1.0, 1.9]], np.float32)
    p = filters.softmax(filtered(logits, [[], []], GenerationConfig(do_sample=True, **options)))
    np.testing.assert_array_equal(p, [[0, 1, 0], [1, 0, 0]])


@given(
    st.integers(0, 10**6),
    st.sampled_from([0.3, 0.7, 1.0, 1.9]),
    st.sampled_from([0, 1, 4, 50]),
    st.sampled_from([0.0, 0.31, 0.77, 0.9999, 1.0]),
    st.sampled_from([None, 0.0, 0.13, 1.0]),
    st.sampled_from([1.0, 0.5, 1.3]),
)
@settings(max_examples=40, deadline=None)
def test_filtered_probabilities_are_those_of_transformers(seed, T, k, p, least, penalty):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    logits, seen = 2 * rng.standard_normal((3, 23)), rng.integers(0, 23, (3, 5))
    chain = [transformers.RepetitionPenaltyLogitsProcessor(penalty), transformers.TemperatureLogitsWarper(T)]
    chain += [transformers.TopKLogitsWarper(k)] if k else []
    chain += [transformers.TopPLogitsWarper(p)] if p < 1 else []
    chain += [] if least is None else [transformers.MinPLogitsWarper(least)]
    expected = transformers.LogitsProcessorList(chain)(torch.tensor(seen), torch.tensor(logits)).softmax(-1).numpy()
    config = GenerationConfig(do_sample=True, temperature=T, top_k=k, top_p=p, min_p=least, repetition_penalty=penalty)
    np.testing.assert_allclose(filters.softmax(filtered(logits, seen, config)), expected, atol=1e-9)


# ------------------------------------------------------------------------------------------------- greedy, beams


def new(model, prompts, **options):
    """What follows each prompt: lists of tokens."""
    table = model.generate(minitorch.tensor(prompts), **options).numpy()
    return table[:, len(prompts[0]) :].tolist()


def test_equals_numbers_that_were_computed_elsewhere(device):
    model = by_formula().to(device)
    options = {"max_new_tokens": 6, "eos_token_id": None}
    prompt = minitorch.tensor([[1, 2, 3, 4]]).to(device)
    assert model.generate(prompt, **options).cpu().numpy().tolist() == [[1, 2, 3, 4, 3, 3, 3, 3, 12, 12]]
    ids, mask = (t.to(device) for t in left_padded([[1, 2, 3, 4], [2]]))
    assert model.generate(ids, mask, num_beams=2, **options).shape == (2, 10)
    for penalty, score in ((0.0, -10.568636), (1.0, -1.761439), (2.0, -0.293573)):
        found = model.generate(prompt, num_beams=3, length_penalty=penalty, return_dict_in_generate=True, **options)
        assert found["sequences"].cpu().numpy().tolist() == [[1, 2, 3, 4, 3, 3, 3, 3, 3, 12]]
        assert found.sequences_scores.item() == pytest.approx(score, abs=1e-5)


GRID = [
    {"num_beams": b, "length_penalty": lp, "early_stopping": es, "num_return_sequences": k, "repetition_penalty": rp}
    for b, lp, es, k, rp in itertools.product([2, 4], [0.0, 1.0, -1.0, 2.0], [True, False, "never"], [1, 2], [1.0, 1.7])
] + [{"num_beams": 1, "repetition_penalty": rp} for rp in (1.0, 1.7)]


def equals_transformers(size, seed, grid, ends, folder):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = make(size, seed=seed)
    reference = theirs(model, folder)
    reference.generation_config = transformers.GenerationConfig()
    ids = np.random.default_rng(seed).integers(1, model.config.vocab_size, (2, 4))
    for options, end in itertools.product(grid, ends):
        common = {"eos_token_id": end, "pad_token_id": 1, "max_new_tokens": 12, **options}
        got = model.generate(minitorch.tensor(ids), **common).numpy()
        expected = reference.generate(torch.tensor(ids), attention_mask=torch.ones(2, 4), do_sample=False, **common).numpy()
        np.testing.assert_array_equal(got, expected[:, : got.shape[1]], err_msg=str(common))


def test_greedy_and_beams_equal_transformers(tmp_path):
    equals_transformers("small", 1, [*GRID[1::11], *GRID[-2:]], [3], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "seed"), [("small", 1), ("wider", 2)])
def test_every_setting_of_greedy_and_beams_equals_transformers(size, seed, tmp_path):
    equals_transformers(size, seed, GRID[:: 1 if size == "small" else 3], [3, [3, 7], None], tmp_path)


def test_the_score_of_a_beam_is_the_models_own():
    model = make()
    prompt = [5, 9, 2]
    scores = {}
    for beams in (1, 2, 4):
        tokens = new(model, [prompt], num_beams=beams, max_new_tokens=8, eos_token_id=None)[0]
        with minitorch.no_grad():
            log_p = minitorch.log_softmax(model(minitorch.tensor([prompt + tokens])).logits[0], dim=-1).numpy()
        scores[beams] = sum(log_p[len(prompt) - 1 + i, token] for i, token in enumerate(tokens)) / 8
    options = {"max_new_tokens": 8, "eos_token_id": None, "num_beams": 4, "num_return_sequences": 3}
    found = model.generate(minitorch.tensor([prompt]), return_dict_in_generate=True, **options)
    beams = found.sequences_scores.tolist()
    assert beams[0] == pytest.approx(scores[4], abs=1e-5)
    assert beams == sorted(beams, reverse=True)
    assert scores[1] <= scores[2] + 1e-6 <= scores[4] + 2e-6


@pytest.mark.parametrize("options", [{"length_penalty": 0.0}, {"early_stopping": True}, {"num_return_sequences": 2}])
def test_beams_that_keep_the_greedy_text_never_score_below_it(options):
    model, rng, lower, common = make(seed=3), np.random.default_rng(0), 0, {"max_new_tokens": 12, "eos_token_id": 3}
    prompts = rng.integers(1, 50, (60, 3))
    penalty = options.get("length_penalty", 1.0)
    greedy = generate(GPTDecoder(model, prompts.tolist()), prompts, GenerationConfig(**common))
    for keep in (True, False):
        config = GenerationConfig(num_beams=2, keep_greedy=keep, **common, **options)
        found = generate(GPTDecoder(model, prompts.tolist()), prompts, config)[:: config.num_return_sequences]
        for prompt, one, best in zip(prompts.tolist(), greedy, found, strict=True):
            with minitorch.no_grad():
                log_p = filters.log_softmax(model(minitorch.tensor([prompt + one.tokens])).logits[0].numpy().astype(np.float64))
            total = sum(log_p[len(prompt) - 1 + i, token] for i, token in enumerate(one.tokens))
            below = total / len(one.tokens) ** penalty > best.score + 1e-5
            assert not (keep and below)
            lower += below
    assert lower > 0  # Hugging Face's rules do let it go


def test_more_beams_than_tokens_and_nothing_to_write():
    model = make(vocab_size=3)
    assert len(new(model, [[1, 2]], num_beams=7, num_return_sequences=7, max_new_tokens=2, eos_token_id=None)) == 7
    assert len(new(model, [[1, 2]], num_beams=7, num_return_sequences=7, max_new_tokens=1, eos_token_id=None)) == 3
    for options in ({}, {"num_beams": 2}, {"do_sample": True, "seed": 1}):
        assert new(model, [[1, 2]], max_new_tokens=0, **options) == [[]]


# ----------------------------------------------------------------------------- rows do not depend on each other

WAYS = {
    "greedy": {},
    "sampled": {"do_sample": True, "seed": 7, "num_return_sequences": 3, "top_k": 0},
    "penalised": {"do_sample": True, "seed": 8, "temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.4},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
}


def left_padded(prompts):
    """Ids and mask of prompts of different lengths."""
    S = max(map(len, prompts))
    ids = [[0] * (S - len(p)) + p for p in prompts]
    return minitorch.tensor(ids), minitorch.tensor([[0] * (S - len(p)) + [1] * len(p) for p in prompts])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("most", [8, 40])  # 40: past the 24 positions of the model
def test_a_batch_gives_what_each_prompt_gives_alone_with_and_without_a_cache(way, most):
    model, options = make(), {**WAYS[way], "eos_token_id": 3, "pad_token_id": 1, "max_new_tokens": most}
    prompts = [[5, 9, 2], [11], [4, 8, 15, 16, 23, 42, 5], [7, 7]]
    ids, mask = left_padded(prompts)
    k = options.get("num_return_sequences", 1)
    together = model.generate(ids, mask, **options).numpy()[:, ids.shape[1] :]
    uncached = model.generate(ids, mask, use_cache=False, **options).numpy()[:, ids.shape[1] :]
    np.testing.assert_array_equal(together, uncached)
    for i, prompt in enumerate(prompts):
        alone = np.array(new(model, [prompt], **options))
        np.testing.assert_array_equal(together[i * k : (i + 1) * k, : alone.shape[1]], alone)
        assert (together[i * k : (i + 1) * k, alone.shape[1] :] == 1).all()  # nothing but padding after the end


def test_dropout_changes_no_text_and_is_on_again_afterwards():
    model = make(resid_pdrop=0.5, attn_pdrop=0.5, embd_pdrop=0.5)
    quiet = new(model, [[5, 9]], eos_token_id=None)
    model.train()
    assert new(model, [[5, 9]], eos_token_id=None) == quiet
    assert model.training
    assert model.transformer.drop.training


def test_threads_change_no_sample():
    model, found = make("wider", n_positions=200), []
    before = minitorch.get_num_threads()
    for threads in (1, 2):
        minitorch.set_num_threads(threads)
        found.append(new(model, [[5, 9, 2]] * 3, do_sample=True, seed=4, max_new_tokens=60, eos_token_id=None))
    minitorch.set_num_threads(before)
    assert found[0] == found[1]
    assert found[0][0] == found[0][1] == found[0][2]  # the same text, seed and weights


def test_a_seed_decides_and_without_one_the_global_stream():
    model, options = make(), {"do_sample": True, "max_new_tokens": 10, "eos_token_id": None, "top_k": 0}
    first = new(model, [[5, 9]], seed=1, **options)
    assert first == new(model, [[5, 9]], seed=1, **options) != new(model, [[5, 9]], seed=2, **options)
    several = new(model, [[5, 9]], seed=1, num_return_sequences=4, **options)
    assert several[0] == first[0]
    assert len({tuple(row) for row in several}) == 4
    minitorch.manual_seed(3)
    free = new(model, [[5, 9]], **options), new(model, [[5, 9]], **options)
    minitorch.manual_seed(3)
    assert free == (new(model, [[5, 9]], **options), new(model, [[5, 9]], **options))
    assert free[0] != free[1]


def test_draws_follow_the_distribution():
    n = 20_000
    draws = Draws(5, [[1, 2]], n)
    found = draws(np.repeat(X, n, 0), np.arange(n), [0] * n)
    np.testing.assert_allclose(np.bincount(found, minlength=4) / n, P[0], atol=0.01)  # three deviations of the rarest: 0.005
    later = draws(np.repeat(X, n, 0), np.arange(n), [1] * n)
    both = np.bincount(4 * found + later, minlength=16).reshape(4, 4) / n
    np.testing.assert_allclose(both, P.T * P, atol=0.01)  # places are independent
    only = np.full((n, 4), -np.inf)
    only[:, 2] = 0
    assert (draws(only, np.arange(n), [2] * n) == 2).all()


# ----------------------------------------------------------------------------------------- ends, stops, streams


class Letters:
    """A tokenizer for tests: token i is the i-th letter."""

    @staticmethod
    def decode(ids):
        """Text."""
        return "".join(chr(97 + i % 26) for i in ids)


def test_text_ends_at_an_end_token_and_never_at_padding():
    model = make()
    free = new(model, [[5, 9, 2]], max_new_tokens=12, eos_token_id=None)[0]
    end = free[4]
    stopped = new(model, [[5, 9, 2]], max_new_tokens=12, eos_token_id=end, pad_token_id=free[0])[0]
    assert stopped == free[: free.index(end) + 1]
    assert new(model, [[5, 9, 2]], max_new_tokens=12, eos_token_id=[49, end])[0] == stopped


def test_text_ends_after_a_stop_string():
    model = make()
    free = new(model, [[5, 9, 2]], max_new_tokens=12, eos_token_id=None)[0]
    stop = Letters.decode(free)[3:6]
    options = {"max_new_tokens": 12, "eos_token_id": None, "tokenizer": Letters}
    stopped = new(model, [[5, 9, 2]], stop_strings=["never", stop], **options)[0]
    assert stopped == free[: Letters.decode(free).index(stop) + 3]
    for string in (stop, [stop]):
        assert new(model, [[5, 9, 2]], stop_strings=string, num_beams=1, **options)[0] == stopped
    with pytest.raises(BadInput, match="stop strings need a tokenizer"):
        new(model, [[5, 9, 2]], stop_strings="x")


def test_tokens_are_heard_of_as_they_come():
    model, heard = make(), []
    ids, mask = left_padded([[5, 9, 2], [11]])
    table = model.generate(ids, mask, max_new_tokens=4, eos_token_id=None, streamer=lambda i, token: heard.append((i, token)))
    assert [i for i, _ in heard] == [0, 1] * 5
    for i in (0, 1):
        assert [token for j, token in heard if j == i] == [*table[i, 3:].numpy().tolist(), None]


def test_lengths():
    model = make()
    assert len(new(model, [[5, 9]], eos_token_id=None)[0]) == 20
    assert len(new(model, [[5, 9]], eos_token_id=None, max_length=7)[0]) == 5
    assert len(new(model, [[5, 9]], eos_token_id=None, max_length=7, max_new_tokens=6)[0]) == 6


def test_with_the_cache_a_new_token_passes_through_the_model_alone():
    model, widths = make(), []
    model.transformer.register_forward_hook(lambda _, inputs, output: widths.append(inputs[0].shape))
    prompts = minitorch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    for options in ({}, {"num_beams": 3}):
        widths.clear()
        model.generate(prompts, max_new_tokens=6, eos_token_id=None, **options)
        assert [n for _, n in widths] == [4, 1, 1, 1, 1, 1]


def test_a_closure_is_model_enough():
    class Counting:
        """The next token is the last plus the row's own step."""

        def __init__(self, steps):
            self.steps = np.array(steps)

        def __call__(self, ids):
            return np.eye(10)[(ids[:, -1] + self.steps) % 10] * 9.0

        def reorder(self, rows):
            self.steps = self.steps[rows]

    prompts = np.array([[0], [0], [0]])
    for options in ({}, {"num_beams": 2, "length_penalty": 0.0}):
        results = generate(Counting([1, 2, 3]), prompts, GenerationConfig(max_new_tokens=6, eos_token_id=6, **options))
        assert [r.tokens for r in results] == [[1, 2, 3, 4, 5, 6], [2, 4, 6], [3, 6]]
    sources = [[1], [2], [2]]
    config = GenerationConfig(max_new_tokens=9, do_sample=True, temperature=30.0, seed=3)
    a, b, c = (r.tokens for r in generate(Counting([1, 1, 1]), prompts, config, sources=sources))
    assert a != b == c


def test_a_cache_grows_and_takes_other_rows():
    rng = np.random.default_rng(0)
    parts = [minitorch.tensor(rng.standard_normal((2, 3, n, 4)).astype(np.float32)) for n in (5, 1, 1, 7, 30)]
    cache, whole = Cache(), minitorch.cat(parts, dim=2)
    for part in parts:
        k, v = cache.update(part, 2 * part, 0)
        assert k.shape == v.shape
    assert len(cache) == 44
    np.testing.assert_array_equal(cache[0][1].numpy(), 2 * whole.numpy())
    cache.reorder(np.array([1, 1, 0]))
    np.testing.assert_array_equal(cache[0][0].numpy(), whole.numpy()[[1, 1, 0]])
    assert cache.update(parts[1][[1, 1, 0]], parts[1][[1, 1, 0]], 0)[0].shape == (3, 3, 45, 4)


# ----------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature is a number from 0, not -1.0"),
        ({"temperature": float("nan")}, "temperature is a number from 0"),
        ({"top_p": 1.5}, "top_p is a number from 0 to 1, not 1.5"),
        ({"min_p": "x"}, "min_p is a number from 0 to 1, not 'x'"),
        ({"top_k": -1}, "top_k is a whole number of at least 0, not -1"),
        ({"top_k": 2.5}, "top_k is a whole number"),
        ({"repetition_penalty": 0}, "repetition_penalty is a number from 0.001 to 1,000"),
        ({"eos_token_id": "end"}, "eos_token_id is the id of a token, a list of some or None, not 'end'"),
        ({"eos_token_id": [3, -1]}, "eos_token_id is the id of a token"),
        ({"num_beams": 0}, "num_beams is a whole number of at least 1"),
        ({"num_beams": None}, "num_beams is a whole number of at least 1"),
        ({"num_return_sequences": 10**12, "do_sample": True}, "num_return_sequences is at most 10,000"),
        ({"max_new_tokens": -1}, "max_new_tokens is a whole number of at least 0"),
        ({"max_length": 2}, "the prompt has 2 tokens, max_length, which counts them, is 2: give max_new_tokens"),
        ({"early_stopping": "always"}, 'early_stopping is True, False or "never"'),
        ({"length_penalty": None}, "length_penalty is a number"),
        ({"num_return_sequences": 2}, "2 sequences need as many beams; greedy text is one: give num_beams or do_sample"),
        ({"num_return_sequences": 3, "num_beams": 2}, "3 sequences need as many beams; num_beams is 2"),
        ({"num_beams": 2, "do_sample": True}, "beams and sampling exclude each other"),
        ({"stop_strings": [""]}, "a stop string is a text of at least one character"),
        ({"seed": 1.5}, "the seed is a whole number"),
    ],
)
def test_wrong_settings_are_said(options, message):
    with pytest.raises(BadInput, match=message.replace("(", r"\(")):
        new(make(), [[5, 9]], **options)


def test_wrong_calls_are_said():
    model = make()
    with pytest.raises(TypeError, match="generate has no argument 'temprature'; the nearest is 'temperature'"):
        new(model, [[5]], temprature=1.0)
    with pytest.raises(BadInput, match="a prompt without a token"):
        model.generate(minitorch.tensor([[5], [0]]), minitorch.tensor([[1], [0]]))
    with pytest.raises(BadInput, match="attention_mask must have the shape"):
        model.generate(minitorch.tensor([[5]]), minitorch.tensor([[1, 1]]))
    with pytest.raises(ValueError, match="the vocabulary has 50 entries"):
        new(model, [[50]])
    for empty in ([[]], []):
        with pytest.raises(ValueError, match=r"prompt|shape"):
            model.generate(minitorch.tensor(np.zeros((len(empty), 0), np.int64)))
    with minitorch.no_grad():
        model.transformer.ln_f.weight[0] = float("nan")
    for options in ({}, {"num_beams": 2}, {"do_sample": True}):
        with pytest.raises(BadInput, match="its weights are damaged"):
            new(model, [[5]], **options)
