"""On a card the host must not wait: a training step reads no number from it. tests/fake_cupy.py counts, emulated kernels compute.

And the CUDA graph around a step: what is recorded, where its memory is, what a replay gets and gives.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import minitorch
from minitorch import nn
from minitorch.parallel import Workers
from models.bert import pretraining
from models.bert.pretraining import Settings
from models.errors import BadInput
from models.finetuning.run import Run as FinetuneRun
from models.training import loop

from . import emulated_cuda, fake_cupy, finetune_cases
from .fake_cupy import Stream

pytestmark = pytest.mark.skipif(emulated_cuda.compiler() is None, reason="emulating a card needs g++")
WORDS = ["the", "cat", "sees", "a", "dog", "and", "it", "runs", "away", "from", "us", "all", "day"]


def pretraining_run(folder: Any, **changes: Any) -> Any:
    """A run on a text of a few words, not yet begun."""
    corpus = folder / "corpus.txt"
    rng = np.random.default_rng(0)
    corpus.write_text("\n\n".join(" ".join(rng.choice(WORDS, 9)) for _ in range(40)))
    small = {"layers": 1, "hidden": 16, "vocab_size": 60, "length": 8, "batch_size": 2, "long_every": 0, "steps": 4, "warmup": 1}
    usual = {**small, "dropout": 0.1, "mask_probability": 0.25, "threads": 1, "corpus": [str(corpus)]}
    return pretraining.Run(Settings(**{**usual, "output": str(folder / "run"), **changes}), say=lambda text: None)


@pytest.mark.parametrize(
    "changes", [{}, {"precision": "tf32"}, {"precision": "bf16"}, {"accumulate": 2}, {"nsp": True, "length": 16}]
)
def test_a_pretraining_step_reads_nothing_from_the_card(tmp_path, changes):
    """Embedding, attention, dropout, the masked words' loss, clipping, AdamW, the schedule."""
    if "bf16" in changes.values():
        pytest.importorskip("ml_dtypes")
    with fake_cupy.installed() as reads, Workers(1) as workers:
        run = pretraining_run(tmp_path, device="cuda", **changes)
        run.recent = [run.one_step(workers), run.one_step(workers)]
        assert reads == []
        run.step = run.unread = 2
        card = run.read().mean_loss
        assert len(reads) == 4  # loss and hits of two steps, when they are shown
        minitorch.set_float32_matmul_precision("highest")
    if "nsp" not in changes:
        assert 2 < card < 5


def test_a_step_on_the_card_is_the_step_on_the_processor(tmp_path):
    """Without dropout, the same losses."""
    found = {}
    for device in ("cpu", "cuda"):
        with fake_cupy.installed(), Workers(1) as workers:
            run = pretraining_run(tmp_path / "", device=device, dropout=0.0, output=str(tmp_path / device))
            found[device] = [run.one_step(workers).read().mean_loss for _ in range(3)]
    np.testing.assert_allclose(found["cuda"], found["cpu"], rtol=1e-5)


WEIGHTED = {"class_weights": "balanced", "label_smoothing": 0.1}


@pytest.mark.parametrize(
    ("task", "options"), [("classify", {}), ("tag", {}), ("qa", {}), ("classify", WEIGHTED), ("tag", WEIGHTED)]
)
def test_a_finetuning_step_reads_nothing_from_the_card(tmp_path, task, options):
    """Batches are checked, and labels counted, before they are sent."""
    with fake_cupy.installed() as reads, Workers(1) as workers:
        settings = finetune_cases.settings(task, tmp_path, device="cuda", batch_size=4, **options)
        job = FinetuneRun(settings, say=lambda text: None)
        reads.clear()
        t = job.trainer
        t.model.train()
        t.recent = [t.one_step(t.features[:4], workers)]
        assert reads == []
        t.step = 1
        t.read()
        assert (len(reads), type(t.recent[0])) == (1, float)


def test_what_is_checked_on_a_processor_is_checked_before_sending(tmp_path):
    """An id outside of the vocabulary still has its error."""
    with fake_cupy.installed():
        run = pretraining_run(tmp_path, device="cuda")
        batch = run.batch(0)
        batch["input_ids"].array[1, 2] = 99
        with pytest.raises(ValueError, match=r"input_ids\[1, 2\] is 99"):
            pretraining.ready(batch, run.model, "cuda")


def test_watched_code_is_checked_on_a_card_too():
    """detect_anomaly is for finding mistakes, so there a check may read."""
    with fake_cupy.installed():
        table, index = minitorch.ones(3, 2).to("cuda"), minitorch.tensor([5]).to("cuda")
        with minitorch.detect_anomaly(), pytest.raises(IndexError, match="out of range"):
            nn.functional.embedding(index, table)


def test_of_the_scaler_one_number_is_read():
    """Whether to skip the step."""
    with fake_cupy.installed() as reads:
        p = minitorch.ones(3).to("cuda").requires_grad_()
        optimizer, scaler = minitorch.optim.SGD([p], lr=0.1), minitorch.amp.GradScaler("cuda")
        scaler.scale((p * p).sum()).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_([p], 1.0)
        scaler.step(optimizer)
        scaler.update()
        assert [read.partition(" ")[0] for read in reads] == ["__bool__"]


# ------------------------------------------------------------------------------------------------- CUDA graphs


def test_a_graph_is_recorded_on_a_stream_and_in_memory_of_its_own():
    """And a replay is one launch, with another count for dropout."""
    with fake_cupy.installed():
        Stream.events.clear()
        g = minitorch.cuda.CUDAGraph()
        with pytest.raises(RuntimeError, match="nothing is recorded"):
            g.replay()
        with minitorch.cuda.graph(g):
            assert minitorch.cuda.is_current_stream_capturing()
            y = minitorch.ones(3, device="cuda") + 1
        assert not minitorch.cuda.is_current_stream_capturing()
        assert Stream.events == ["wait", "private pool", "begin capture", "end capture", "shared pool"]
        g.replay()
        g.replay()
        assert Stream.events[5:] == ["launch", "launch"]
        assert int(g._step) == 2
        with pytest.raises(RuntimeError, match="holds a recording already"), minitorch.cuda.graph(g):
            pass
        g.reset()
        assert y.tolist() == [2, 2, 2]


def test_copies_between_host_and_card_are_refused_while_recording():
    """They would be repeated from memory that is gone; after the error the stream is as it was."""
    with fake_cupy.installed():
        Stream.events.clear()
        g, x = minitorch.cuda.CUDAGraph(), minitorch.ones(2)
        with pytest.raises(RuntimeError, match="cannot be part of a CUDA graph"), minitorch.cuda.graph(g):
            x.to("cuda")
        assert "end capture" in Stream.events
        assert x.to("cuda").tolist() == [1, 1]


def test_a_graphed_step_warms_up_records_and_replays(tmp_path):
    """For each shape by itself; inputs are copied into the memory that was recorded, gradients are the graph's."""
    with fake_cupy.installed():
        Stream.events.clear()
        w = minitorch.tensor([2.0, 3.0]).to("cuda").requires_grad_()
        calls = []

        def compute(batches: list[dict[str, Any]]) -> Any:
            calls.append(batches)
            w.grad = None
            loss = sum((batch["x"] * w).sum() for batch in batches)
            loss.backward()
            return loss

        step = loop.GraphedStep(compute, [w])
        for n in range(6):
            step([{"x": minitorch.full((1, 2), float(n)).to("cuda")}])
        step([{"x": minitorch.ones(2, 2).to("cuda")}])
        assert [batches[0]["x"].shape for batches in calls] == [(1, 2)] * 4 + [(2, 2)]
        recorded = calls[3][0]["x"]
        assert recorded.tolist() == [[5.0, 5.0]]
        assert Stream.events.count("begin capture") == 1
        assert Stream.events.count("launch") == 3
        w.grad = None
        step([{"x": minitorch.full((1, 2), 7.0).to("cuda")}])
        assert w.grad is step.graphs[((1, 2),)][2][0]


def test_pretraining_with_a_graph_runs_the_optimizer_outside(tmp_path):
    """The recorded part is forward, backward and the sum of the micro-batches; rates stay Python's numbers."""
    with fake_cupy.installed() as reads, Workers(1) as workers:
        run = pretraining_run(tmp_path, device="cuda", cuda_graph=True, dropout=0.0)
        Stream.events.clear()
        for _ in range(5):
            run.one_step(workers)
        assert reads == []
        assert (Stream.events.count("begin capture"), Stream.events.count("launch")) == (1, 2)
        assert {state["step"] for state in run.optimizer.state.values()} == {5}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"precision": "tf32"}, "tensor cores"),
        ({"precision": "half"}, "float32, tf32, bf16 or fp16, not 'half'"),
        ({"cuda_graph": True}, "--cuda-graph needs a GPU"),
        ({"device": "cuda:7x"}, "unknown device"),
    ],
)
def test_what_a_processor_cannot_do_is_one_line(tmp_path, changes, words):
    """Before anything is read or computed."""
    with pytest.raises(BadInput, match=words) as error:
        pretraining_run(tmp_path, **changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_on_a_processor_trains_and_resumes(tmp_path, precision):
    """To float32's loss, within its rounding; the scaler goes on where it was."""
    pytest.importorskip("ml_dtypes")
    losses = {}
    for name in ("float32", precision):
        run = pretraining_run(tmp_path, precision=name, steps=12, lr=5e-3, dropout=0.0, output=str(tmp_path / name))
        run.train()
        losses[name] = run.metrics[-1]["valid_loss"]
    assert losses[precision] != losses["float32"]
    assert losses[precision] == pytest.approx(losses["float32"], abs=0.02)
    run.save_state()
    again = pretraining_run(tmp_path, precision=precision, steps=12, lr=5e-3, dropout=0.0, output=str(tmp_path / precision))
    again.load_state()
    assert again.precision.scaler.state_dict() == run.precision.scaler.state_dict()
    assert json.loads(json.dumps(again.metrics)) == run.metrics
