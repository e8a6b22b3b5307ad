"""minitorch pretrain --model gpt: its text, its batches, that it learns, that it resumes, that mistakes are one line."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitorch
from models import cli, pretrain_command
from models.gpt.data import Stretches
from models.gpt.pretraining import Run, Settings
from models.text import bigrams, corpus, stream
from models.text.bigrams import bigram_entropy
from models.text.bpe import BPETokenizer
from models.text.characters import CharacterTokenizer
from models.text.loading import load_tokenizer
from models.text.prepared import prepare
from models.text.tokenizer import Tokenizer
from models.training.loop import decay_groups
from models.training.runs import STATE

ROOT = Path(__file__).parents[1]
SMALL = {
    "tokenizer": "characters", "layers": 1, "hidden": 32, "heads": 2, "length": 16, "batch_size": 16, "steps": 30, "warmup": 5,
    "lr": 0.01, "eval_every": 10, "save_every": 10, "threads": 1,
}  # fmt: skip


@pytest.fixture
def text(tmp_path):
    """Three letters. The next is that before the last, nine times in ten; the last one hardly tells it."""
    rng, found = np.random.default_rng(0), [0, 1]
    for _ in range(6000):
        found.append(found[-2] if rng.random() < 0.9 else int(rng.integers(3)))
    letters = "".join("abc"[i] for i in found)
    (tmp_path / "text.txt").write_text("\n".join(letters[i : i + 60] for i in range(0, 6000, 60)) + "\n")
    return tmp_path / "text.txt"


def arguments(text, output, **changes):
    options = {"model": "gpt", "corpus": text, "output": output, **SMALL, **changes}
    flat = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        flat += [] if value is None else [flag] if value is True else [flag, str(value)]
    return ["pretrain", *flat]


def pretrain(text, output, **changes):
    return cli.main(arguments(text, output, **changes))


def metrics(output):
    lines = [json.loads(line) for line in (Path(output) / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "tokens_per_second"} for line in lines]


def same_runs(a, b):
    x, y = (minitorch.load(folder / "model.safetensors") for folder in (a, b))
    assert x.keys() == y.keys()
    assert [name for name in x if x[name].array.tobytes() != y[name].array.tobytes()] == []
    assert metrics(a) == metrics(b)


def one_line(capsys, *parts):
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("minitorch pretrain: error: ")
    for part in parts:
        assert part in error, error


def prepared(tmp_path, share=0.25, **changes):
    chosen = {"corpus": [], "tokenizer": "characters", "vocab_size": 300, "validation": share, "seed": 0, **changes}
    return prepare(types.SimpleNamespace(output=str(tmp_path / "run"), **chosen), lambda _: None, kind=stream.Stream)


# ---------------------------------------------------------------------------------------------------------- the text


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["a", "It's", " ", "  ", "\n", "\t", "\u3000", "\x1c", "\x85", "12", "é", "!", "\r\n", "x" * 9])))
def test_a_text_in_pieces_has_the_ids_of_the_whole(tmp_path_factory, parts):
    whole = "".join(parts)
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(whole.encode())
    whole = whole.replace("\r\n", "\n")
    pieces = list(stream.pieces(path))
    assert "".join(pieces) == whole
    bpe = made()
    assert [i for piece in pieces for i in bpe.encode(piece)] == bpe.encode(whole)


def made(held=[]):  # noqa: B006
    held or held.append(BPETokenizer.train(["It's a 12\n\n\n  \n   a\u3000\u3000\n 12é !\x1c !\x85\x85 a"] * 9, 280))
    return held[0]


def test_long_lines_and_long_space_come_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "LONGEST_LINE", 20)
    monkeypatch.setattr(corpus.read_parts, "__defaults__", (20,))
    whole = "word " * 30 + "\n" + " " * 100 + "\nend"
    (tmp_path / "a.txt").write_text(whole)
    pieces = list(stream.pieces(tmp_path / "a.txt"))
    assert "".join(pieces) == whole
    assert max(map(len, pieces)) < 80
    assert pieces[1].startswith(" word")


def test_the_end_of_a_text_is_held_out_to_the_character(tmp_path):
    (tmp_path / "a.txt").write_bytes("One\r\n\r\ntwo  thrée\n".encode())
    text = prepared(tmp_path, corpus=[str(tmp_path / "a.txt")])
    assert text.tokenizer.decode(text.train.ids) == "One\n\ntwo  th"
    assert text.tokenizer.decode(text.valid.ids) == "rée\n"
    two = prepared(tmp_path, corpus=[str(tmp_path / "a.txt")] * 2, tokenizer="bpe", vocab_size=260)
    assert two.tokenizer.decode(two.valid.ids, skip_special_tokens=False) == "rée\n<|endoftext|>" * 2


def test_of_many_documents_whole_ones_are_held_out(tmp_path):
    for i in range(40):
        (tmp_path / f"{i}.txt").write_text(f"{i:02} and again {i:02}\n")
    text = prepared(tmp_path, corpus=[str(tmp_path / f"{i}.txt") for i in range(40)])
    train, valid = (text.tokenizer.decode(part.ids).splitlines() for part in (text.train, text.valid))
    assert (len(train), len(valid)) == (30, 10)
    assert sorted(train + valid) == [f"{i:02} and again {i:02}" for i in range(40)]


def test_pythons_documentation_keeps_its_lines():
    assert list(stream.lines(["One.", "Two."])) == ["One.", "\nTwo.", "\n\n"]


def test_the_text_of_another_model_in_that_folder_is_not_taken(tmp_path):
    (tmp_path / "a.txt").write_text("one two three\nfour\n")
    prepared(tmp_path, corpus=[str(tmp_path / "a.txt")])
    record = json.loads((tmp_path / "run/data/text.json").read_text())
    assert record["settings"]["way"] == "stream"


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(0, 2**32), st.integers(2, 60))
def test_the_bigram_model_is_a_distribution_and_its_entropy_is_the_mean(V, seed, n):
    rng = np.random.default_rng(seed)
    reference, ids = rng.integers(0, V, n) % rng.integers(1, V + 1), rng.integers(0, V, 20)
    P = np.array([[np.exp(-bigram_entropy([a, b], reference, V)) for b in range(V)] for a in range(V)])
    np.testing.assert_allclose(P.sum(1), 1, rtol=1e-12)
    expected = -np.mean([np.log(P[a, b]) for a, b in itertools.pairwise(ids)])
    assert bigram_entropy(ids, reference, V) == pytest.approx(expected, rel=1e-12)


def test_bigrams_by_hand(monkeypatch):
    """aab: once aa, once ab. D = 3/4, Q(a) = Q(b) = 2/4."""
    P = {(0, 0): 0.25 / 2 + 0.75 * 2 / 2 * 0.5, (1, 0): 0.5}
    for pair, p in P.items():
        assert bigram_entropy(pair, [0, 0, 1], 2) == pytest.approx(-np.log(p))
    ids = np.random.default_rng(0).integers(0, 9, 500)
    whole = bigram_entropy(ids[:200], ids, 9)
    monkeypatch.setattr(bigrams, "PORTION", 7)
    assert bigram_entropy(ids[:200], ids, 9) == whole


def test_batches_are_stretches_of_the_text():
    ids = np.arange(100, 150, dtype=np.int32)
    data = Stretches(ids, 8, 4, 0)
    for step in (0, 7):
        batch = data.batch(step)
        assert tuple(batch["input_ids"].shape) == (4, 8)
        assert (batch["targets"].array == batch["input_ids"].array + 1).all()
        assert (data.batch(step)["input_ids"].array == batch["input_ids"].array).all()
    assert (data.batch(0)["input_ids"].array != data.batch(7)["input_ids"].array).any()
    held = Stretches(ids, 8, 4, 0, at_random=False)
    rows = np.concatenate([held.batch(step)["input_ids"].array for step in range(2)])
    assert sorted(rows[:, 0]) == list(range(100, 148, 8))  # each stretch once
    assert Stretches(ids[:3], 8, 4, 0).batch(0)["input_ids"].shape == (4, 2)


# -------------------------------------------------------------------------------------------------------------- a run


def test_it_learns_more_than_which_token_follows_which(text, tmp_path, capsys):
    assert pretrain(text, tmp_path / "run", steps=150, eval_every=50) == 0
    first, *_, last = metrics(tmp_path / "run")
    assert first["valid_loss"] == pytest.approx(first["uniform_baseline"], abs=0.3)
    assert last["uniform_baseline"] == pytest.approx(np.log(4))  # abc and the line's end
    assert max(last["bigram_baseline"], last["unigram_baseline"]) < last["uniform_baseline"]
    assert last["valid_loss"] < last["bigram_baseline"] - 0.3
    out = capsys.readouterr().out
    assert "nats below the bigram baseline" in out
    for name in ("config.json", "model.safetensors", "tokenizer.json", "run.json", "metrics.jsonl", "curve.png"):
        assert name in out
        assert (tmp_path / "run" / name).stat().st_size > 0
    assert load_tokenizer(tmp_path / "run").tokens == ["\n", "a", "b", "c"]
    written = out.partition("it writes:\n")[2].partition("\n\n")[0].split()
    assert 100 < sum(map(len, written)) <= 400
    assert set("".join(written)) == set("abc")
    assert re.search(r"let it write more:  minitorch generate [abc]+ --model ", out)


def test_above_a_baseline_it_is_said_which_and_a_complete_run_says_so(text, tmp_path, capsys):
    assert pretrain(text, tmp_path / "run", steps=1, lr=1e-6) == 0
    assert "nats above the bigram baseline: the model has not even learnt token frequencies; give" in capsys.readouterr().out
    assert cli.main(["pretrain", "--resume", "--output", str(tmp_path / "run")]) == 0
    assert "this run has made all of its 1 step: nothing is left to train" in capsys.readouterr().out
    levels = {"bigram": 1.0, "unigram": 2.0, "uniform": 3.0}
    for loss, says in (
        (0.9, "0.10 nats below the bigram baseline"),
        (1.5, "0.50 nats above the bigram baseline: the model knows less than which token follows which; give it more --steps"),
        (9.0, "8.00 nats above the bigram baseline: the model has not even learnt token frequencies; give it more --steps"),
    ):
        job = types.SimpleNamespace(metrics=[{"valid_loss": loss}], levels=levels, lacking=Run.lacking)
        assert pretrain_command.standing(job) == says


def test_transformers_takes_it_over(text, tmp_path):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    assert pretrain(text, tmp_path / "run", tokenizer="bpe", vocab_size=270, threads=2) == 0
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "run").eval()
    tokenizer = transformers.GPT2TokenizerFast.from_pretrained(tmp_path / "run")
    assert theirs.config.eos_token_id == tokenizer.eos_token_id == 0
    held = text.read_text()
    ids = torch.tensor([*tokenizer(held[int(len(held) * 0.95) :]).input_ids, 0])
    n = (len(ids) - 1) // 16 * 16
    with torch.no_grad():
        logits = theirs(ids[:n].reshape(-1, 16)).logits
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 270), ids[1 : n + 1])
    assert metrics(tmp_path / "run")[-1]["valid_loss"] == pytest.approx(loss.item(), abs=1e-4)  # the whole of it, each token once


def test_a_killed_run_goes_on_bit_equal_and_knows_its_model(text, tmp_path, capsys):
    program = """if True:
        import os, signal, sys
        from models import cli
        from models.gpt.pretraining import Run

        save = Run.save_state

        def save_and_be_killed(self):
            save(self)
            os.kill(os.getpid(), signal.SIGKILL)

        Run.save_state = save_and_be_killed
        cli.main(sys.argv[1:])
    """
    argv = arguments(text, tmp_path / "stopped", dropout=0.1, threads=2, accumulate=2)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    assert pretrain(text, tmp_path / "whole", dropout=0.1, threads=2, accumulate=2) == 0
    stopped = subprocess.run([sys.executable, "-c", program, *argv], cwd=ROOT, env=env, capture_output=True, check=False)
    assert stopped.returncode == -signal.SIGKILL, stopped.stderr
    assert Run.read_state(tmp_path / "stopped" / STATE)["step"] == 10
    text.unlink()  # the prepared text is in the run's folder
    again = [sys.executable, "-m", "models.cli", "pretrain", "--resume", "--output", str(tmp_path / "stopped")]
    done = subprocess.run(again, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "continuing at step 10 of 30" in done.stdout
    same_runs(tmp_path / "whole", tmp_path / "stopped")
    assert cli.main(["pretrain", "--resume", "--output", str(tmp_path / "stopped"), "--model", "bert"]) == 2
    one_line(capsys, "that run trains a GPT; --resume keeps it: leave out --model bert")


def test_the_same_settings_give_the_same_bits(text, tmp_path):
    for name in ("a", "b"):
        assert pretrain(text, tmp_path / name, dropout=0.1, threads=2) == 0
    same_runs(tmp_path / "a", tmp_path / "b")


def test_micro_batches_give_the_same_numbers(text, tmp_path):
    changes = [{}, {"accumulate": 4}, {"threads": 2, "accumulate": 2}]
    for i, change in enumerate(changes):
        assert pretrain(text, tmp_path / str(i), **change) == 0
        last, whole = metrics(tmp_path / str(i))[-1], metrics(tmp_path / "0")[-1]
        assert last["valid_loss"] == pytest.approx(whole["valid_loss"], abs=1e-3)


def test_a_tokenizer_that_is_there_is_used(text, tmp_path, capsys):
    made().save_pretrained(tmp_path / "bpe")
    assert pretrain(text, tmp_path / "run", tokenizer=tmp_path / "bpe", steps=2) == 0
    assert load_tokenizer(tmp_path / "run").tokens == made().tokens
    CharacterTokenizer("ab\n").save_pretrained(tmp_path / "ab")
    assert pretrain(text, tmp_path / "none", tokenizer=tmp_path / "ab") == 2
    one_line(capsys, "text.txt: the text holds 'c', which is not among the 3 characters that this tokenizer knows")
    Tokenizer.train(["a b c"] * 9, 11).save_pretrained(tmp_path / "bert")
    assert pretrain(text, tmp_path / "none", tokenizer=tmp_path / "bert") == 2
    one_line(capsys, "WordPiece, BERT's; a GPT needs characters or bpe")


def test_layer_norm_and_biases_do_not_decay(text, tmp_path):
    run = Run(Settings(**{**SMALL, "corpus": [str(text)], "output": str(tmp_path / "run")}), lambda _: None)
    decayed, exempt = decay_groups(run.model, 0.1)
    names = {id(p): name for name, p in run.model.named_parameters()}
    assert all(names[id(p)].endswith("bias") or ".ln_" in names[id(p)] for p in exempt["params"])
    assert not any(names[id(p)].endswith("bias") or ".ln_" in names[id(p)] for p in decayed["params"])


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine(text, tmp_path):
    """nanoGPT's get_lr: min + ½ (1 + cos πt) (max - min)."""
    chosen = {**SMALL, "steps": 20, "warmup": 4, "lr": 0.5, "min_lr": 0.1}
    run = Run(Settings(**chosen, corpus=[str(text)], output=str(tmp_path / "run")), lambda _: None)
    rates = []
    for _ in range(21):
        rates.append(run.schedule.get_last_lr()[0])
        run.optimizer.step()
        run.schedule.step()
    falling = [0.05 + 0.5 * (1 + np.cos(np.pi * t / 16)) * 0.45 for t in range(17)]
    assert rates == pytest.approx([0, 0.125, 0.25, 0.375, *falling])


# ------------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nsp": True}, "--nsp is an option of --model bert; --model gpt has no use for it"),
        ({"long_length": 64}, "--long-length is an option of --model bert"),
        ({"model": "bert"}, "--heads is an option of --model gpt; --model bert has no use for it"),
        ({"size": "tiny"}, "--size must be one of nano, mini, medium, small, not 'tiny'"),
        ({"heads": 3}, "--hidden, --heads: "),
        ({"min_lr": 1.5}, "--min-lr must be from 0 to 1, not 1.5"),
        ({"heads": -1}, "--heads must be at least 0, not -1"),
        ({"length": 0}, "--length must be at least 1, not 0"),
        ({"validation": 1.5}, "--validation must be"),
        ({"tokenizer": "absent"}, "absent"),
        ({"tokenizer": "bpe", "vocab_size": 256}, "a vocabulary of 256 is too small: the 256 bytes and <|endoftext|> need 257"),
        ({"tokenizer": "bpe", "vocab_size": 5000}, "the text supports a vocabulary of"),
        ({"cuda_graph": True}, "--cuda-graph needs a GPU and a --precision other than fp16"),
        ({"lr": 1e9, "clip": 1e9, "warmup": 0}, "is too high here; try --lr"),
    ],
)
def test_a_bad_setting_is_one_line_and_status_2(changes, message, text, tmp_path, capsys):
    assert pretrain(text, tmp_path / "run", **changes) == 2
    one_line(capsys, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "text.txt: 0 characters of text; pretraining needs at least two"),
        (b"x", "text.txt: 1 character of text"),
        (b"ab", "text.txt: the training documents contain fewer than two tokens"),
        (b"one\n\x00\n", "text.txt:2: holds a zero byte"),
        (b"one\ntwo \xe9\n", "text.txt:2: not UTF-8"),
        (None, "text.txt: no such file"),
    ],
)
def test_a_bad_text_is_one_line_and_status_2(content, message, tmp_path, capsys):
    if content is not None:
        (tmp_path / "text.txt").write_bytes(content)
    assert pretrain(tmp_path / "text.txt", tmp_path / "run") == 2
    one_line(capsys, message)
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_a_file_of_settings_may_name_the_model(text, tmp_path, capsys):
    file = tmp_path / "run.toml"
    file.write_text(
        f'model = "gpt"\ncorpus = "{text}"\ntokenizer = "characters"\nhidden = 16\nheads = 1\nlayers = 1\nsteps = 2\n'
    )
    assert cli.main(["pretrain", "--config", str(file), "--output", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run/config.json").read_text())["model_type"] == "gpt2"
    file.write_text('model = "lstm"\n')
    assert cli.main(["pretrain", "--config", str(file)]) == 2
    one_line(capsys, "run.toml: model must be one of bert, gpt, not 'lstm'")
    file.write_text('model = "gpt"\nwhole-word = true\n')
    assert cli.main(["pretrain", "--config", str(file)]) == 2
    one_line(capsys, "--whole-word is an option of --model bert")


def test_a_damaged_state_is_named(text, tmp_path, capsys):
    assert pretrain(text, tmp_path / "run") == 0
    state = tmp_path / "run" / STATE
    state.write_bytes(state.read_bytes()[:-50])
    assert cli.main(["pretrain", "--resume", "--output", str(tmp_path / "run")]) == 2
    one_line(capsys, str(state), "truncated")
    minitorch.save({"settings": {"steps": 3}}, state)
    assert cli.main(["pretrain", "--resume", "--output", str(tmp_path / "run")]) == 2
    one_line(capsys, f"{state}: not the state of a pretraining run")


def test_some_rows_of_a_batch_are_those_of_the_whole():
    """What ranks share a batch by; also none of its rows."""
    data = Stretches(np.arange(100) % 7, 6, 5, seed=1)
    whole = data.batch(3)
    for first, stop in ((0, 2), (2, 5), (0, 0)):
        for name, value in data.batch(3, (first, stop)).items():
            np.testing.assert_array_equal(value.numpy(), whole[name][first:stop].numpy())
