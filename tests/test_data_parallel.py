"""DistributedDataParallel and DistributedSampler: PyTorch's names, and the gradient of all examples. Real MPI processes."""

import itertools

import pytest

import minitorch
from minitorch import distributed, nn
from minitorch.data import DistributedSampler
from tests import mpi

PROGRAM = """
import numpy as np
import minitorch
import minitorch.nn.functional as F
from minitorch import distributed as dist, nn
from minitorch.nn.parallel import DistributedDataParallel

dist.init_process_group()
r, n = dist.get_rank(), dist.get_world_size()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.left, self.right, self.idle = (nn.Linear(4, 4) for _ in range(4))
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x, which):
        x = self.norm(F.relu(self.first(x)))
        return {"y": [(self.left if which == 0 else self.right)(x)]}

def fresh(seed):
    minitorch.manual_seed(seed)
    return Net()

def grads(net):
    return {name: p.grad for name, p in net.named_parameters()}

x = minitorch.tensor(np.random.default_rng(0).standard_normal((n, 6, 4)).astype(np.float32))
alone = [fresh(0) for _ in range(n)]
for i, net in enumerate(alone):
    (net(x[i], i % 2)["y"][0] ** 2).mean().backward()

ddp = DistributedDataParallel(fresh(r), find_unused_parameters=True, bucket_cap_mb=1e-4)  # other weights on each rank, until now
assert [name for name, _ in ddp.named_parameters()] == ["module." + name for name, _ in alone[0].named_parameters()]

def check(times=1):
    for name, g in grads(ddp.module).items():
        found = [grads(net)[name] for net in alone]
        if all(f is None for f in found):
            assert g is None, name
        else:
            mean = sum(0 if f is None else f.numpy() for f in found) / n
            np.testing.assert_allclose(g.numpy(), times * mean, atol=1e-6, err_msg=name)

def backward():
    (ddp(x[r], r % 2)["y"][0] ** 2).mean().backward()

backward()
check()
backward()  # adds to what is there
check(2)
ddp.zero_grad()
with ddp.no_sync():
    backward()
backward()
check(2)
ddp.norm_mean = ddp.module.norm.running_mean.clone()
ddp.zero_grad()
backward()
means = [minitorch.zeros(4) for _ in range(n)]
dist.all_gather(means, ddp.norm_mean)

strict = DistributedDataParallel(fresh(0))
(strict(x[r], 0)["y"][0] ** 2).mean().backward()
try:
    strict(x[r], 0)
except RuntimeError as error:
    assert "find_unused_parameters=True" in str(error) and "right.weight" in str(error), error
else:
    raise AssertionError("parameters that were not used went unnoticed")
dist.destroy_process_group()
print("done")
"""


def test_gradients_are_the_mean_over_the_ranks(tmp_path):
    """Also of parameters that some ranks or none used, added to others, and after no_sync."""
    assert mpi.script(2, tmp_path, PROGRAM).count("done") == 2


def test_one_process_needs_no_reduction():
    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="init_process_group"):
        nn.parallel.DistributedDataParallel(layer)
    distributed.init_process_group()
    try:
        model = nn.parallel.DistributedDataParallel(layer, device_ids=[0])
        model(minitorch.ones(1, 2)).sum().backward()
        assert layer.bias.grad.tolist() == [1, 1]
        with pytest.raises(RuntimeError, match="not needed"):
            nn.parallel.DistributedDataParallel(nn.Identity())
    finally:
        distributed.destroy_process_group()


CASES = list(itertools.product([12, 13, 3, 1], [1, 3, 4], [False, True], [False, True]))


@pytest.mark.parametrize(("n", "ranks", "drop_last", "shuffle"), CASES)
def test_samplers_share_a_dataset_as_pytorchs_do(n, ranks, drop_last, shuffle):
    torch = pytest.importorskip("torch")
    samplers = [DistributedSampler(range(n), ranks, r, shuffle, seed=3, drop_last=drop_last) for r in range(ranks)]
    theirs = [torch.utils.data.DistributedSampler(range(n), ranks, r, shuffle, 3, drop_last) for r in range(ranks)]
    if n >= ranks or not drop_last:
        assert [len(s) for s in samplers] == [len(list(t)) for t in theirs]
    orders = [list(s) for s in samplers]
    if not shuffle:
        assert orders == [list(t) for t in theirs]
    seen = [i for order in orders for i in order]
    assert len(set(seen)) == min(n, len(seen))  # none twice, unless there are too few
    for s in samplers:
        s.set_epoch(1)
    assert not shuffle or n < 12 or [list(s) for s in samplers] != orders


def test_a_sampler_of_a_rank_that_does_not_exist():
    with pytest.raises(ValueError, match=r"rank should be in the interval \[0, 1\]"):
        DistributedSampler(range(4), 2, 2)


ON_GPUS = """
import sys
import numpy as np
import minitorch
import minitorch.nn.functional as F
from minitorch import distributed as dist, nn
from minitorch.parallel import Workers, cut
from tests import emulated_cupy, emulated_nccl

if not minitorch.cuda_is_available():
    emulated_cupy.install()
    emulated_nccl.install(sys.modules["cupy"])
dist.init_process_group("nccl")
r, n = dist.get_rank(), dist.get_world_size()
device = f"cuda:{r if minitorch.cuda.device_count() > 1 else 0}"
x = minitorch.arange(6, dtype=minitorch.float32).reshape(2, 3).to(device) + r
dist.all_reduce(x)
assert x.tolist() == (n * np.arange(6.0).reshape(2, 3) + n * (n - 1) // 2).tolist()
y = minitorch.full((3,), float(r)).to(device)
dist.broadcast(y, 1)
dist.all_reduce(y, "max")
assert y.tolist() == [1.0] * 3

def gradients(device, ranks, wire="float32"):
    minitorch.manual_seed(0)
    weights = [minitorch.randn(4, 4).to(device).requires_grad_() for _ in range(3)]
    x = minitorch.randn(5, 4).to(device)
    rows = [cut(5, n)[r]] if ranks else [(0, 5)]
    parts = [lambda a=a, b=b: ((x[a:b] * weights[0].sum() * weights[1 + (a == 0)].sum()).sum(), None) for a, b in rows]
    buckets = dist.Buckets(weights, dist.current(), wire, size=64).watch() if ranks else None
    with Workers(1) as workers:
        workers.backward(weights, parts, (1,), rows, buckets)
    return [w.grad.cpu().numpy() for w in weights]

def whole():
    minitorch.manual_seed(0)
    weights = [minitorch.randn(4, 4).requires_grad_() for _ in range(3)]
    x = minitorch.randn(5, 4)
    loss = sum((x[a:b] * weights[0].sum() * weights[1 + (a == 0)].sum()).sum() for a, b in cut(5, n))
    loss.backward()
    return [w.grad.numpy() for w in weights]

for wire, error in (("float32", 1e-5), ("float16", 1e-2)):
    for g, expected in zip(gradients(device, True, wire), whole(), strict=True):
        np.testing.assert_allclose(g, expected, rtol=error, atol=error)
print("done")
dist.destroy_process_group()
"""


def test_gradients_on_gpus(tmp_path):
    """NCCL on two GPUs, or the stand-in of CuPy with NCCL's calls made by MPI; parameters that one rank alone used."""
    if minitorch.cuda_is_available() and minitorch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs, or none and the stand-in")
    assert mpi.script(2, tmp_path, ON_GPUS).count("done") == 2
