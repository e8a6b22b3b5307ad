"""Several processes: what the ranks compute together is what one process computes. Real MPI processes, skipped without MPI."""

import json
import os
import re

import numpy as np
import pytest

import minitorch
from minitorch import distributed
from minitorch.parallel import cut
from tests import mpi

OPERATIONS = """
import numpy as np
import minitorch
from minitorch import distributed as dist

dist.init_process_group()
r, n = dist.get_rank(), dist.get_world_size()
for dtype in ("float32", "float64", "int64", "float16", "uint8"):
    x = minitorch.tensor(np.arange(6, dtype=dtype).reshape(2, 3) + r)
    dist.all_reduce(x)
    assert x.tolist() == (np.arange(6).reshape(2, 3) * n + n * (n - 1) // 2).tolist(), (dtype, x)
x = minitorch.tensor([float(r), -float(r)])
for op, expected in (("max", [n - 1, 0]), ("min", [0, 1 - n]), ("avg", [(n - 1) / 2, -(n - 1) / 2])):
    y = x.clone()
    dist.all_reduce(y, op)
    assert y.tolist() == expected, (op, y)
rows = minitorch.full((3, 4), float(r))[:, 1:]  # not contiguous
dist.broadcast(rows, src=n - 1)
assert rows.tolist() == [[n - 1] * 3] * 3
parts = [minitorch.zeros(2) for _ in range(n)]
dist.all_gather(parts, minitorch.tensor([r, r + 0.5]))
assert [p.tolist() for p in parts] == [[i, i + 0.5] for i in range(n)]
objects = [None] * n
dist.all_gather_object(objects, {"rank": r, "text": "ä" * r})
assert objects == [{"rank": i, "text": "ä" * i} for i in range(n)]
for wire, error in (("float16", 2e-3), ("bfloat16", 2e-2)):  # as the gradients of a bucket travel
    exact, x = [np.random.default_rng(i).standard_normal(1001).astype(np.float32) for i in range(n)], None
    x = exact[r].copy()
    dist.current().reduce(x, wire=wire)
    assert abs(x - sum(exact)).max() < error * n
    copies = [minitorch.zeros(1001) for _ in range(n)]
    dist.all_gather(copies, minitorch.tensor(x))
    assert all(c.tolist() == x.tolist() for c in copies)  # the same bits on all ranks
with dist.alone():
    assert (dist.get_rank(), dist.get_world_size()) == (0, 1)
dist.barrier()
print(f"{dist.get_node_local_rank()} {dist.get_backend()}\\n", end="")  # in one piece, or those of two ranks mix
dist.destroy_process_group()
"""


@pytest.mark.parametrize("n", [2, 4])
def test_operations(n, tmp_path):
    said = mpi.script(n, tmp_path, OPERATIONS)
    assert sorted(re.findall(r"\d mpi", said)) == [f"{i} mpi" for i in range(n)]  # lines of two ranks may run into each other


def test_ranks_of_a_machine_share_its_cores(tmp_path):
    """Each rank's BLAS takes its part of them; a number that the user chose stays."""
    lines = ("from minitorch import blas, distributed", "distributed.init_process_group()")
    program = "\n".join((*lines, "print(f'{blas.get_num_threads()}\\n', end='')", "distributed.destroy_process_group()"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = mpi.script(2, tmp_path, program, OPENBLAS_NUM_THREADS="").split()
    assert all(int(n) <= max(1, cores // 2) for n in found), found
    assert mpi.script(2, tmp_path, program, OPENBLAS_NUM_THREADS=str(min(cores, 2))).split() == [str(min(cores, 2))] * 2


def test_without_a_launcher_there_is_one_process():
    assert (distributed.get_rank(), distributed.get_world_size(), distributed.is_initialized()) == (0, 1, False)
    with pytest.raises(ValueError, match=r"all_reduce: call init_process_group\(\) first"):
        distributed.all_reduce(minitorch.ones(1))
    distributed.init_process_group()
    try:
        x, parts = minitorch.ones(2), [minitorch.zeros(2)]
        distributed.all_reduce(x)
        distributed.all_gather(parts, x)
        assert x.tolist() == parts[0].tolist() == [1, 1]
        with pytest.raises(ValueError, match="there is no rank 1 among 1"):
            distributed.broadcast(x, src=1)
        with pytest.raises(ValueError, match="op must be one of sum"):
            distributed.all_reduce(x, "mean")
        with pytest.raises(RuntimeError, match="called before"):
            distributed.init_process_group()
    finally:
        distributed.destroy_process_group()
    with pytest.raises(ValueError, match='must be "mpi" or "nccl"'):
        distributed.init_process_group("gloo")


@pytest.mark.parametrize(("n", "parts"), [(12, 4), (13, 4), (3, 4), (0, 2), (7, 1)])
def test_parts_of_a_batch_are_numpys(n, parts):
    expected = [(part[0], part[-1] + 1) if len(part) else None for part in np.array_split(np.arange(n), parts)]
    assert [part if part[0] < part[1] else None for part in cut(n, parts)] == expected


# ------------------------------------------------------------------------------------------------- whole runs

WORDS = ["the", "a", "one", "this", "cat", "dog", "bird", "fish", "tree", "sat", "ran", "saw", "met", "by", "near", "red", "old"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("text") / "corpus.txt"
    documents = [[" ".join(rng.choice(WORDS, rng.integers(4, 9))) for _ in range(6)] for _ in range(40)]
    path.write_text("\n\n".join("\n".join(lines) for lines in documents))
    return path


def pretrain(n, output, corpus, *options, steps=50, batch=12):
    """Losses of the steps at which a run on n ranks evaluates."""
    small = "--vocab-size 45 --layers 1 --hidden 32 --length 12 --dropout 0.1 --eval-every 1"
    if "--model" not in options:
        small += " --long-every 5 --long-length 20"
    sizes = ["--steps", str(steps), "--batch-size", str(batch), "--output", str(output)]
    done = mpi.command(n, "pretrain", "--corpus", str(corpus), *small.split(), *sizes, *map(str, options))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return done, np.array([[line[name] for name in ("loss", "valid_loss", "accuracy")] for line in lines])


def test_two_ranks_learn_as_one_does(corpus, tmp_path):
    """With dropout, long sequences, and a batch that they cannot halve; one of them prints."""
    _, one = pretrain(1, tmp_path / "one", corpus, "--threads", 1, steps=12, batch=9)
    done, two = pretrain(2, tmp_path / "two", corpus, "--threads", 1, steps=12, batch=9)
    np.testing.assert_allclose(two, one, rtol=2e-6)
    assert done.stdout.count("parameters;") == 1


OTHERS = [("--nsp",), ("--whole-word",), ("--model", "gpt", "--tokenizer", "characters")]


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), *OTHERS], ids=" ".join)
def test_any_number_of_ranks_and_threads_learns_the_same(corpus, tmp_path, options):
    """50 steps: 1 rank, 1 x 2 threads, 2 ranks, 2 x 2, 3 (which do not divide the batch), 4; twice the same bits."""
    losses = {}
    for n, threads in ((1, 1), (2, 2), (3, 1)) if options else ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (4, 1), (4, 1)):
        _, found = pretrain(n, tmp_path / f"{n}x{threads}_{len(losses)}", corpus, "--threads", threads, *options, batch=8)
        if (n, threads) in losses:
            np.testing.assert_array_equal(found, losses[n, threads])
        losses[n, threads] = found
        np.testing.assert_allclose(found, losses[1, 1], rtol=2e-5)
