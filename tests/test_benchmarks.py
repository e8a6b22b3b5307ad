"""The benchmarks measure what they say: all kernels, checked first, and the same work in every contestant."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import benchmarks.__main__ as everything
from benchmarks import contest, machine, pictures, scaling, steps, together
from benchmarks import kernels as kernel_benchmark
from benchmarks.bert_job import Job
from benchmarks.gpt_job import GPTJob
from benchmarks.kernel_cases import CASES, wide
from benchmarks.make_kernels import STORED, numbers_of
from minitorch import kernels
from minitorch.kernels import reference

quiet = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # inf - inf in rows that see nothing
SMALL = [dataclasses.replace(case, large=case.small) for case in CASES]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(kernel_benchmark, "CASES", SMALL)
    monkeypatch.setattr(kernel_benchmark, "limits", lambda tries: {"bytes_per_s": 1e10, "operations_per_s": 1e11})


@quiet
def test_every_kernel_has_a_case():
    called = set()

    class Recording(kernel_benchmark.Engine):
        def __getattr__(self, name):
            called.add(name)
            return super().__getattr__(name)

    for case in SMALL:
        arrays, constants = case.arrays(case.small)
        case.outputs(Recording(), *arrays, *constants)
    assert called == set(kernels.KERNELS)


@quiet
@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_the_engine_passes_the_check_of_its_kernels(case):
    errors = kernel_benchmark.check(case)
    assert set(errors) == {"definition, small", "definition, large", "PyTorch, stored"}
    assert max(errors.values()) < case.tolerance


def slightly_wrong(name):
    def kernel(*arguments, **named):
        found = getattr(reference, name)(*arguments, **named)
        if found is None:  # it works in place
            changed = arguments[0][0] if isinstance(arguments[0], list) else arguments[0]
            changed += np.float32(0.01)
            return None
        several = isinstance(found, tuple)
        first = found[0] if several else found
        first = ~first if first.dtype == bool else first + np.float32(0.01)
        return (first, *found[1:]) if several else first

    return kernel


@quiet
@pytest.mark.parametrize("name", kernels.KERNELS)
def test_a_wrong_kernel_is_found(name):
    with kernels.use(**{name: slightly_wrong(name)}):
        assert any(not max(kernel_benchmark.check(case).values()) < case.tolerance for case in SMALL)


def test_a_wrong_kernel_gets_no_time_and_fails_the_run(small, capsys, tmp_path):
    written = tmp_path / "kernels.json"
    arguments = ["--quick", "--only", "gelu", "softmax", "--json", str(written)]
    with kernels.use(gelu=slightly_wrong("gelu")):
        assert kernel_benchmark.main(arguments) == 1
    out = capsys.readouterr()
    (line,) = [line for line in out.out.splitlines() if line.startswith("gelu")]
    assert "WRONG" in line
    assert line.endswith("not timed")
    assert "gelu" in out.err
    assert not written.exists()
    assert kernel_benchmark.main(arguments) == 0
    found = json.loads(written.read_text())["kernels"]
    assert found.keys() == {"gelu", "softmax"}
    assert found["gelu"]["seconds"]["ours"] > 0


def test_a_result_that_is_not_a_number_or_of_another_shape_is_no_match():
    assert kernel_benchmark.distance([np.array([1.0, np.nan])], [np.array([1.0, 1.0])]) == math.inf
    assert kernel_benchmark.distance([np.ones(2)], [np.ones(3)]) == math.inf
    assert kernel_benchmark.distance([np.ones(2)], [np.ones(2), np.ones(2)]) == math.inf


def test_the_stored_file_names_versions_and_tolerances():
    with np.load(STORED) as stored:
        assert str(stored["torch"])
        assert str(stored["numpy"])
        assert json.loads(str(stored["tolerances"])) == {case.name: case.tolerance for case in CASES}
    assert STORED.stat().st_size < 100_000


@quiet
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_stored_outputs_are_those_of_pytorch(case):
    pytest.importorskip("torch")
    with np.load(STORED) as stored:
        for label, part in zip(("in", "constant", "out"), numbers_of(case), strict=True):
            for i, x in enumerate(part):
                np.testing.assert_allclose(
                    stored[f"{case.name}.{label}{i}"], wide(x), rtol=1e-9, atol=max(1e-12, case.tolerance / 9)
                )


# ------------------------------------------------------------------------------------------------- whole steps

JOBS = [
    Job(batch=4, length=16, vocabulary=50),
    Job(batch=4, length=16, vocabulary=50, asked_only=False),
    Job(batch=4, length=16, vocabulary=50, layers=3, pieces=2),
    Job("finetune", batch=4, length=16, vocabulary=50),
    Job("finetune", batch=4, length=16, vocabulary=50, asked_only=False),
    Job("finetune", batch=4, length=32, vocabulary=50, lengths="mixed"),
    Job("finetune", batch=4, length=32, vocabulary=50, lengths="grouped"),
    Job("infer", batch=1, length=16, vocabulary=50),
]


@pytest.mark.parametrize("job", JOBS, ids=str)
def test_both_programs_do_the_same(job):
    torch = pytest.importorskip("torch")
    from benchmarks import bert_minitorch, bert_pytorch

    threads = torch.get_num_threads()
    with threadpool_limits():  # a program for one sentence chooses its threads; the tests after it have theirs back
        ours, theirs = bert_minitorch.Program(job, 2), bert_pytorch.Program(job, 1)
        np.testing.assert_allclose(ours.answers(), theirs.answers(), rtol=1e-4, atol=1e-5)
        ours.step()
        theirs.step()
    torch.set_num_threads(threads)
    assert np.float32(1e-30) * np.float32(1e-10) > 0  # subnormal numbers are as they were


@pytest.mark.parametrize("threads", [1, 2])
def test_both_programs_train_the_same_gpt(threads):
    torch = pytest.importorskip("torch")
    from benchmarks import gpt_minitorch, gpt_pytorch

    job, before = GPTJob(layers=2, heads=2, hidden=32, batch=4, length=12, vocabulary=50, dropout=0.1), torch.get_num_threads()
    with threadpool_limits():
        ours, theirs = gpt_minitorch.Program(job, threads), gpt_pytorch.Program(job, 1)
        found = ours.answers()
        np.testing.assert_allclose(found, theirs.answers(), rtol=1e-4, atol=1e-5)
        assert found[-1] < found[0]
        ours.step()
        theirs.step()
    torch.set_num_threads(before)


def test_operations_of_a_gpt_step_counted_by_hand():
    job = GPTJob(layers=1, heads=1, hidden=2, batch=1, length=3, vocabulary=5)
    layer = 3 * (2 * 6 + 2 * 2 + 2 * 8 + 8 * 2) + 2 * 3 * 3 * 2  # products with weights; scores and their use
    assert job.operations() == 6 * (layer + 3 * 2 * 5)


def test_recomputing_and_masked_words_alone_change_no_loss():
    from benchmarks import bert_minitorch

    first = bert_minitorch.Program(JOBS[0], 1).answers()
    assert first[0] > first[-1]  # it learns
    for changes in ({"pieces": 2}, {"pieces": 1}, {"asked_only": False}):
        other = bert_minitorch.Program(dataclasses.replace(JOBS[0], **changes), 2).answers()
        np.testing.assert_allclose(other, first, rtol=1e-5)


def test_grouped_sentences_are_the_same_with_less_padding():
    mixed, grouped = (Job("finetune", lengths=x) for x in ("mixed", "grouped"))
    sizes = [sorted(int(n) for b in job.batches() for n in b["mask"].sum(1)) for job in (mixed, grouped)]
    assert sizes[0] == sizes[1]
    assert mixed.tokens() == grouped.tokens()
    assert mixed.operations() == grouped.operations()
    assert sum(b["ids"].size for b in grouped.batches()) < 0.7 * sum(b["ids"].size for b in mixed.batches())


def test_operations_of_a_step_counted_by_hand():
    H, layers, S = 128, 2, 3
    job = Job("finetune", "tiny", batch=1, length=S, vocabulary=10, asked_only=False)
    layer = 4 * S * H * H + 2 * S * 4 * H * H + 2 * S * S * H  # Q, K, V, output; feed-forward; scores and their use
    last = (2 * S + 2) * H * H + 2 * 4 * H * H + 2 * S * H  # K and V of all tokens, all else of [CLS]
    head = H * H + 2 * H
    assert job.operations() == 6 * (layers * layer + head)
    assert dataclasses.replace(job, task="infer").operations() == 2 * (layers * layer + head)
    assert dataclasses.replace(job, asked_only=True).operations() == 6 * (layer + last + head)


def test_contestants_that_disagree_end_the_run():
    class Player:
        def __init__(self, name):
            self.name, self.job, self.kind = name, JOBS[0], "minitorch"

    field = [Player(name) for name in ("gemm", "a", "b")]
    contest.check(field, {"gemm": [], "a": [1.0, 2.0], "b": [1.0, 2.0001]})
    for wrong in (2.1, math.nan):
        with pytest.raises(SystemExit, match="nothing is timed"):
            contest.check(field, {"gemm": [], "a": [1.0, 2.0], "b": [1.0, wrong]})


def test_a_contest_of_processes():
    """Two of ours, and the matrix products: the real thing, once."""
    found = contest.play(contest.line_up({"": JOBS[0]}, 1, None)[:2], 0, 1, 1)
    (row,) = found["rows"]
    assert row["ratio_to"] == {"minitorch": 1.0}
    assert row["median_s"] > 0
    assert row["peak_mib"] >= row["imports_mib"]
    assert found["gemm_gflops"] > 0


def test_the_plan_covers_all_tasks_sizes_and_vocabularies():
    plan = steps.contests(steps.TASKS, ["tiny", "mini", "small"], quick=False)
    jobs = [job for _, named, _ in plan for job in named.values()]
    seen = {(j.task, j.size, j.vocabulary) for j in jobs if (j.batch, j.length, j.lengths) == (32, 128, "full")}
    assert seen == {(t, s, v) for t in ("pretrain", "finetune") for s in ("tiny", "mini", "small") for v in (8192, 30522)}
    assert {(j.task, j.length) for j in jobs if j.batch == 1} == {("infer", 24), ("infer", 128)}
    assert {j.lengths for j in jobs} == {"full", "mixed", "grouped"}


def test_slope_of_a_power():
    assert scaling.slope([1, 2, 4], [3, 12, 48]) == pytest.approx(2)


def test_a_part_that_fails_ends_the_whole(monkeypatch, tmp_path, capsys):
    ran = []
    monkeypatch.setattr(everything, "run", lambda part, *_: ran.append(part) or 1)
    monkeypatch.setattr("sys.argv", ["benchmarks", "--quick", "--output", str(tmp_path)])
    assert everything.main() == 1
    assert ran == ["kernels"]
    assert "not measured" in (tmp_path / "report.txt").read_text()


def test_pictures_are_drawn_of_what_is_there(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    point = {"value": 2, "minitorch": {"s": 0.1, "mib": 10.0}}
    grown = {"points": [{**point, "value": n} for n in (1, 2, 4)], "exponents": {"minitorch": {"s": 1.0, "mib": 1.0}}}
    base = dataclasses.asdict(JOBS[0])
    (tmp_path / "scaling.json").write_text(json.dumps({"base": base, "factors": {"batch": grown}}))
    rows = [
        {"name": name, "kind": kind, "ratio_to": {"minitorch": 1.0, "PyTorch": 0.5}}
        for name, kind in (("minitorch", "minitorch"), ("PyTorch", "pytorch"))
    ]
    machine = {"processor": "some"}
    report = {"machine": machine, "threads": 2, "results": [{"title": "pretraining", "rows": rows}]}
    (tmp_path / "steps.json").write_text(json.dumps(report))
    kernel = {"seconds": {"ours": 1e-3, "PyTorch": 2e-3}, "bytes": 1e6, "operations": 1e7}
    limits = {"bytes_per_s": 1e10, "operations_per_s": 1e11}
    (tmp_path / "kernels.json").write_text(
        json.dumps({"machine": machine, "limits": limits, "kernels": {"a": kernel, "b": kernel}})
    )
    monkeypatch.setattr("sys.argv", ["pictures", str(tmp_path)])
    pictures.main()
    assert {path.name for path in tmp_path.glob("*.png")} == {"roofline.png", "ratios.png", "scaling.png"}


def test_the_results_of_two_cpus_in_one_table(tmp_path):
    def run(cpu, *contests):
        rows = [(title, [{"name": f"minitorch{job}", "ratio_to": ratios}]) for title, job, ratios in contests]
        (tmp_path / cpu).mkdir()
        results = [{"title": title, "rows": r} for title, r in rows]
        report = {"machine": {"processor": f"the {cpu}"}, "threads": 2, "results": results}
        (tmp_path / cpu / "steps.json").write_text(json.dumps(report))

    run("a-1", ("tiny", "", {"minitorch": 1, "PyTorch": 0.5, "PyTorch, AVX-512": 0.75}))
    run("b-2", ("tiny", "", {"PyTorch": 0.8}), ("words", ", mixed", {"PyTorch, mixed": 1.2, "PyTorch, grouped": 9}))
    (tmp_path / "no run").mkdir()
    lines = together.table(together.runs(tmp_path)).splitlines()
    assert lines[:4] == ["| contest | a-1 | b-2 |", "| --- | --- | --- |", "| tiny | 0.50, 0.75 | 0.80 |", "| words | – | 1.20 |"]
    assert lines[5] == "a-1: the a-1, 2 threads.  "


@pytest.mark.parametrize(("info", "name"), [
    ("vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 167\nmodel name\t: Intel(R) Xeon(R)\n", "intel-6-167"),
    ("vendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n", "amd-26-2"),
])  # fmt: skip
def test_the_short_name_of_a_cpu(info, name, monkeypatch):
    monkeypatch.setattr(machine.startup, "cpu_info", lambda: info)
    assert machine.short_name() == name
    monkeypatch.setattr(machine.startup, "cpu_info", lambda: "")
    monkeypatch.setattr(machine.platform, "processor", lambda: "Apple M4 (arm)")
    assert machine.short_name() == "apple-m4--arm"


def test_the_model_of_a_distributed_step():
    """By hand: the largest of two draws from (1, 3) is 3 in three cases of four; messages go in pieces."""
    from benchmarks import distributed

    assert distributed.slowest([3.0, 1.0], 1) == 2.0
    assert distributed.slowest([3.0, 1.0], 2) == 2.5
    assert distributed.slowest([1.0, 3.0, 2.0], 10**6) == pytest.approx(3.0)
    points = [(256, 0.001, 0.0), (1000, 0.002, 0.001), (3000, 0.006, 0.003)]
    assert distributed.between(points, 2500, 1000) == pytest.approx(2 * 0.002 + np.interp(500, (256, 1000), (0.001, 0.002)))
    assert distributed.fit(points, 2) == pytest.approx({"latency": 0.0005, "per_byte": 0.005 / 3000, "work": 1e-6})
    one = {"gradient": 1000, "times": [3.0, 1.0]}
    assert distributed.predict(one, 2, 0.5, 1e-4, hidden=0.0) == pytest.approx(2.5 + 0.1 + 0.4)
    assert distributed.predict(one, 2, 0.5, 1e-4, hidden=0.1) == pytest.approx(2.5 + 0.1 + 0.2)
    assert distributed.predict(one, 2, 0.5, 1e-4) == pytest.approx(2.5 + 0.1)
