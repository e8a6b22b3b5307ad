# %% [markdown]
# # 22. Many: one model, several processes
#
# When one machine is too slow, several share the work: each has a copy of the model and a part of the batch, computes its own
# gradients, and then all gradients are added up. The sum is the only thing that they must agree on. This lesson gets it wrong,
# repairs it, writes it so that no process is busier than the others, and asks how many processes are worth having.

# %%
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import ranks
from exercises import case, check, hint
from pictures import BLUE, GREY, ORANGE, RED, show
from ranks import run, through_rank_0
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import minitorch
import minitorch.nn.functional as F
from minitorch import distributed as dist
from models.bert import BertConfig, BertForMaskedLM

# %% [markdown]
# The digits of lesson 6, and the smallest model that can learn them, one layer. Its 650 weights lie in one array w. The
# function gives what each process computes on its own rows: the *sum* of their losses' gradients, and how many rows there were.

# %%
digits = load_digits()
pixels = (digits.data / 16).astype(np.float32)  # 0 to 1
X, X_test, Y, Y_test = train_test_split(pixels, digits.target, test_size=0.25, random_state=0, stratify=digits.target)


def logits(w, x):
    return minitorch.tensor(x) @ w[:640].reshape(64, 10) + w[640:]


def gradient_sum(w, rows):
    """(Σ ∂loss/∂w over these rows, their number)"""
    w = minitorch.tensor(w, requires_grad=True)
    loss = F.cross_entropy(logits(w, X[rows]), minitorch.tensor(Y[rows]), reduction="sum")
    return minitorch.autograd.grad(loss, w)[0].numpy(), len(rows)


def train(gradient, steps=200, lr=0.5):
    """Gradient descent from 0: w after each step is w - lr · gradient(w)."""
    w = np.zeros(650, np.float32)
    for _ in range(steps):
        w = w - np.float32(lr) * gradient(w)
    return w


# %%
def report(name, w):
    answers = logits(minitorch.tensor(w), X_test).argmax(-1).numpy()
    wrong, nine, nines = (answers != Y_test).sum(), (answers == 9).sum(), (Y_test == 9).sum()
    print(f"{name:28s} {wrong:3d} of {len(Y_test)} wrong; says 9 for {nine:3d} digits, of which there are {nines}")


def one_process(w):
    total, n = gradient_sum(w, np.arange(len(X)))
    return total / n


alone = train(one_process)
report("one process", alone)

# %% [markdown]
# ## Something goes wrong
#
# Two processes. The rows lie on disk sorted by digit, and the second process gets what the first has no room for: the nines.
# Each computes the mean gradient of its rows, as the loss function does by default, and then the two means are averaged.

# %%
nines = np.flatnonzero(Y == 9)
PARTS = [np.flatnonzero(Y != 9), nines]


def mean_of_means(w):
    means = [total / n for total, n in (gradient_sum(w, rows) for rows in PARTS)]
    return sum(means) / len(means)


report("two, mean of means", train(mean_of_means))

# %% [markdown]
# It sees nines in many places. No process made a mistake. But the first has about nine times as many rows, and in the mean of
# means each of them counts a ninth as much as a nine. Batches that can be cut evenly hide this; it shows as soon as the last
# batch is short, or, in a masked language model, as soon as one process happens to have more masked words than another. Nothing
# crashes, and the loss falls.
#
# ## All-reduce
#
# What we want is (sum of all sums) / (sum of all counts). So both sums must be made over all processes, and every process must
# get them: that is an *all-reduce*. In this field a process is called a *rank*, and has a number from 0.
#
# To have ranks without installing anything, we let threads play them (`ranks.py`, in this folder). They share nothing but
# messages: `me.send(to, array)` puts a copy of an array on its way, and `me.receive(source)` waits for the next one from there.
# `through_rank_0` is an all-reduce that cannot be simpler: everybody sends to rank 0, which adds, and sends the sum back.

# %%
results, sent = run(3, lambda me: through_rank_0(np.arange(4.0) * 10**me.rank, me))
print(results[2], "on each rank; numbers sent by each:", sent)

# %% [markdown]
# ### Exercise: the gradient of all rows
#
# `all_reduce(array)` gives the sum of every rank's array, on every rank. All ranks must call it in the same order, and as often
# as the others, or somebody waits forever. A rank may have no rows at all.


# %%
def mean_gradient(total, n, all_reduce):
    """The mean over all ranks' rows: ``total`` is this rank's sum of gradients, an array, and ``n`` its number of rows."""
    raise NotImplementedError


# %%
def on_ranks(f):
    def asked(totals, counts):
        return run(len(counts), lambda me: f(totals[me.rank], counts[me.rank], lambda x: through_rank_0(np.asarray(x), me)))[0]

    return asked


two = [np.array([6.0, -3.0]), np.array([1.0, 1.0])]
gradient_right = check(
    mean_gradient,
    case(
        "three rows and one",
        (two, [3, 1]),
        np.array([[1.75, -0.5]] * 2),
        slips={
            "as a mean of means": np.array([[1.5, 0.0]] * 2),
            "if each divides by its own n": np.array([[7 / 3, -2 / 3], [7, -2]]),
            "if the sum is divided by the number of ranks": np.array([[3.5, -1.0]] * 2),
        },
    ),
    case("a rank without rows", ([two[0], np.zeros(2)], [3, 0]), np.array([[2.0, -1.0]] * 2)),
    case("as many on each of three ranks", ([*two, two[1]], [2, 2, 2]), np.array([[8 / 6, -1 / 6]] * 3)),
    case("one rank", (two[:1], [3]), np.array([[2.0, -1.0]])),
    through=on_ranks,
)

# %% [markdown]
# ## The ring
#
# `through_rank_0` is right, and slow: rank 0 sends (n - 1) times the whole array and receives as much, while the others wait.
# With n = 64 ranks its line carries 63 times the gradients. A *ring* spreads the work evenly (Patarasuk and Yuan, 2009). Each
# rank sends to the next one only, rank + 1, and the last to rank 0; and the array is cut into n chunks:
#
# - In the first n - 1 steps each rank sends a chunk, receives another from the rank before it, and adds it to its own. It passes
#   on what it has just added to. At the end each rank has one chunk that is complete, the sum over all ranks.
# - In the next n - 1 steps the complete chunks go round, and each rank puts them in place of its own.
#
# So each rank sends 2 (n - 1) chunks of 1/n: about twice the array, however many ranks there are.
#
# ### Exercise: all-reduce in a ring
#
# The chunks need not be equally long, and there may be fewer numbers than ranks. The check also counts what a rank sends.


# %%
def ring_all_reduce(x, me):
    """The sum of all ranks' arrays x (numbers,), on each rank; me.send(to, array), me.receive(source), me.rank, me.size."""
    raise NotImplementedError


# %%
def in_a_ring(f):
    def asked(arrays):
        n, length = len(arrays), len(arrays[0])
        results, sent = run(n, lambda me: f(arrays[me.rank].copy(), me))
        return np.stack([np.asarray(r) for r in results]), max(*sent, 0, 2 * (n - 1) * -(-length // n))

    return asked


def ring_case(what, n, length):
    arrays = list(np.random.default_rng(n).integers(-9, 9, (n, length)).astype(np.float32))
    most = 2 * (n - 1) * -(-length // n)  # chunks of ⌈length / n⌉
    return case(what, (arrays,), (np.stack([sum(arrays)] * n), most), parts=("the sums", "numbers that the busiest rank sends"))


ring_right = check(
    ring_all_reduce,
    ring_case("two ranks, four numbers", 2, 4),
    ring_case("three ranks, six numbers", 3, 6),
    ring_case("four ranks, ten numbers", 4, 10),
    ring_case("five ranks, two numbers", 5, 2),
    ring_case("one rank", 1, 3),
    through=in_a_ring,
)

# %% [markdown]
# ## Repaired
#
# Four ranks with unequal parts train together: each with its copy of w, which stays the same on all of them, since all take the
# same step.

# %%
mean_of_all = mean_gradient if gradient_right else ranks.mean_gradient
all_reduce = ring_all_reduce if ring_right else ranks.ring_all_reduce
print("yours:" if gradient_right else "ready-made:", "mean_gradient")
print("yours:" if ring_right else "ready-made:", "ring_all_reduce")
FOUR = [*np.array_split(np.flatnonzero(Y != 9), [100, 700]), nines]


def program(me):
    def gradient(w):
        total, n = gradient_sum(w, FOUR[me.rank])
        return mean_of_all(total, n, lambda x: all_reduce(np.atleast_1d(np.asarray(x, np.float32)), me))

    return train(gradient)


begin = time.perf_counter()
weights, sent = run(4, program)
print(f"rows of each rank: {[len(rows) for rows in FOUR]}; 200 steps in {time.perf_counter() - begin:.1f} s")
report("four ranks", weights[0])
print(f"largest difference from one process: {np.abs(weights[0] - alone).max():.1e}")
print(f"the ranks differ by {max(np.abs(w - weights[0]).max() for w in weights):.1e}")
print(f"numbers sent per step: {[s // 200 for s in sent]}")

# %% [markdown]
# Four ranks learn what one process learns, up to the rounding of sums in another order. If mpi4py is installed (`pip install -e
# '.[mpi]'`), the same runs in real processes, with the library's all-reduce:

# %%
PROGRAM = """
import sys
import numpy as np
import minitorch
from minitorch import distributed as dist
import minitorch.nn.functional as F

dist.init_process_group()
data = np.load(sys.argv[1])
X, Y = (minitorch.tensor(data[f"{name}{dist.get_rank()}"]) for name in "XY")
w = minitorch.zeros(650, requires_grad=True)
for _ in range(200):
    loss = F.cross_entropy(X @ w[:640].reshape(64, 10) + w[640:], Y, reduction="sum")
    (g,) = minitorch.autograd.grad(loss, w)
    n = minitorch.tensor([float(len(Y))])
    dist.all_reduce(g)
    dist.all_reduce(n)
    with minitorch.no_grad():
        w -= 0.5 * g / n
if dist.get_rank() == 0:
    np.save(sys.argv[2], w.detach().numpy())
dist.destroy_process_group()
"""


# %%
def real_processes():
    """The weights that two real processes learn from PARTS, or None and the reason."""
    mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if not dist.is_available() or mpiexec is None:
        return None, "mpi4py is not installed"
    with tempfile.TemporaryDirectory() as folder:
        program, data, out = (str(Path(folder) / name) for name in ("program.py", "data.npz", "w.npy"))
        Path(program).write_text(PROGRAM, encoding="utf-8")
        np.savez(data, **{f"{name}{r}": array[PARTS[r]] for name, array in (("X", X), ("Y", Y)) for r in (0, 1)})
        command = [mpiexec, "-n", "2", sys.executable, program, data, out]
        try:
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=100, check=False)
        except subprocess.TimeoutExpired:
            return None, "they did not end within 100 s"
        return (None, done.stderr.strip()[-300:]) if done.returncode else (np.load(out), "")


# %%
both, reason = real_processes()
if both is None:
    print("no real processes:", reason)
else:
    report("two real processes", both)
    print(f"largest difference from one process: {np.abs(both - alone).max():.1e}")

# %% [markdown]
# ## What a message costs
#
# A message takes a *latency*, whatever its size, and then its bytes at the *bandwidth* of the line. In a ring all ranks send at
# the same time, so a round lasts as long as one message.
#
# ### Exercise: the time of a ring


# %%
def ring_seconds(n, size, latency, bandwidth):
    """Seconds for the all-reduce of ``size`` bytes on n ranks: 2 (n - 1) rounds, each with a message of 1/n of the array."""
    raise NotImplementedError


# %%
time_right = check(
    ring_seconds,
    case(
        "four ranks, 1 MB, 1 ms, 100 MB/s",
        (4, 1e6, 1e-3, 1e8),
        0.021,
        slips={"if each message is the whole array": 0.066, "with n rounds where n - 1 are enough": 0.028},
    ),
    case("no latency", (8, 8e6, 0.0, 1e9), 0.014),
    case("no bytes to speak of", (5, 0, 1e-3, 1e9), 0.008),
    case("one rank", (1, 1e6, 1e-3, 1e8), 0.0),
)

# %%
formula = ring_seconds if time_right else ranks.ring_seconds
print("yours:" if time_right else "ready-made:", "ring_seconds")
LATENCY, BANDWIDTH = 2e-3, 50e6  # an emulated network, slow enough to be measured here
for n, size in ((2, 4_000), (4, 4_000), (4, 1_000_000)):
    array = np.ones(size // 4, np.float32)
    begin = time.perf_counter()
    run(n, lambda me: all_reduce(array, me), LATENCY, BANDWIDTH)  # noqa: B023
    seconds = time.perf_counter() - begin
    print(f"{n} ranks, {size:9,} bytes: measured {seconds:.4f} s, by the formula {formula(n, size, LATENCY, BANDWIDTH):.4f} s")

# %% [markdown]
# ## Overlap
#
# While gradients travel the cores are idle, and while the cores compute the network is. But the backward pass starts at the last
# layer, and that layer's gradients are complete long before the first one's. So they are sent at once, in *buckets*: a bucket
# that is full leaves, while the next one fills. The line carries one bucket at a time, in order.
#
# ### Exercise: when is the last bucket there?


# %%
def last_arrival(ready, seconds):
    """When the last bucket is added up: bucket k is full at ready[k] (rising), and its all-reduce takes seconds[k]."""
    raise NotImplementedError


# %%
arrival_right = check(
    last_arrival,
    case("one bucket at the end: no overlap", ([10.0], [4.0]), 14.0),
    case("a fast network: only the last one is seen", ([2.0, 4.0, 6.0], [1.0, 1.0, 1.0]), 7.0, slips={"without overlap": 9.0}),
    case(
        "a slow network: a queue", ([2.0, 4.0, 6.0], [5.0, 5.0, 5.0]), 17.0, slips={"if buckets do not wait for each other": 11.0}
    ),
    case("a queue, and then none", ([1.0, 2.0, 9.0], [3.0, 3.0, 1.0]), 10.0),
)

# %% [markdown]
# To see it, we emulate a network of eight layers. Computing a layer's gradient is a sleep of 10 ms here (two ranks on this
# machine would only fight for its cores), and a second thread of each rank sends.


# %%
arrival = last_arrival if arrival_right else ranks.last_arrival
print("yours:" if arrival_right else "ready-made:", "last_arrival")
LAYERS, COMPUTE, SIZE = 8, 0.010, 200_000  # seconds and bytes per layer


def step_of(buckets):
    """A rank's step: eight layers computed one after the other, their gradients sent in so many buckets."""

    def program(me):
        full, layers_each = queue.Queue(), LAYERS // buckets

        def send():
            for _ in range(buckets):
                all_reduce(full.get(), me)

        sender = threading.Thread(target=send)
        sender.start()
        for layer in range(1, LAYERS + 1):
            time.sleep(COMPUTE)
            if layer % layers_each == 0:
                full.put(np.ones(layers_each * SIZE // 4, np.float32))
        sender.join()

    return program


# %%
for buckets in (1, 2, 4, 8):
    begin = time.perf_counter()
    run(2, step_of(buckets), LATENCY, BANDWIDTH)
    measured = time.perf_counter() - begin
    ready = [COMPUTE * LAYERS * (k + 1) / buckets for k in range(buckets)]
    predicted = arrival(ready, [formula(2, SIZE * LAYERS / buckets, LATENCY, BANDWIDTH)] * buckets)
    print(f"{buckets} buckets: measured {measured * 1e3:4.0f} ms, by the model {predicted * 1e3:4.0f} ms")
print(f"the computing alone: {COMPUTE * LAYERS * 1e3:.0f} ms")

# %% [markdown]
# Several buckets beat one. But each pays the latency again, so the gain ends somewhere: `minitorch.distributed` takes 4 MB.
#
# ## How many are worth having?
#
# Now we have a model of a step, and can ask it about machines that we do not own. What one process needs is measured: a step of
# a small BERT with 64 sequences, two thirds of it backward. Two questions, two answers:
#
# - *strong scaling*: the same 64 sequences on n ranks. The work per rank shrinks as 1/n, the gradients do not.
# - *weak scaling*: 8 sequences per rank. The work per rank stays, and so do the gradients; but the batch grows, and a larger
#   batch is not always worth its examples.

# %%
minitorch.manual_seed(0)
sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
model = BertForMaskedLM(BertConfig(vocab_size=4000, max_position_embeddings=64, **sizes))
ids = minitorch.tensor(np.random.default_rng(0).integers(5, 4000, (64, 32)))
times = []
for _ in range(3):
    begin = time.perf_counter()
    model(input_ids=ids, labels=ids).loss.backward()
    times.append(time.perf_counter() - begin)
T1, BYTES, BUCKETS = min(times), 4 * model.num_parameters(), 8
print(f"{BYTES / 1e6:.1f} MB of gradients, {T1:.3f} s for a step of one process")


def step_seconds(n, work, latency, bandwidth):
    """A step of n ranks, each with this share of the 64 sequences: forward, then backward with its buckets."""
    forward, backward = work * T1 / 3, work * T1 * 2 / 3
    ready = [forward + backward * (k + 1) / BUCKETS for k in range(BUCKETS)]
    return arrival(ready, [formula(n, BYTES / BUCKETS, latency, bandwidth)] * BUCKETS)


# %%
NETWORKS = {"1 Gbit/s, 50 µs": (50e-6, 1.25e8), "10 Gbit/s, 20 µs": (20e-6, 1.25e9), "100 Gbit/s, 3 µs": (3e-6, 1.25e10)}
RANKS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
strong, weak = {}, {}
for name, network in NETWORKS.items():
    strong[name] = [T1 / step_seconds(n, 1 / n, *network) for n in RANKS]
    weak[name] = [n * T1 / 8 / step_seconds(n, 1 / 8, *network) for n in RANKS]
    print(f"{name:17s}", ", ".join(f"{n} ranks {s:.1f}" for n, s in zip(RANKS[1::2], strong[name][1::2], strict=True)))

# %% [markdown]
# These are the speed-ups of strong scaling. Each network has a point after which more ranks help no more, and later they even
# harm: the work per rank goes to 0, and what stays is the ring, two times the gradients at the bandwidth and 2 (n - 1) latencies
# for each bucket. The model knows only this. Real runs also wait for the slowest rank, read data, and share memory.
#
# ## The picture
#
# Speed-up against the number of ranks. The dotted line is what everybody hopes for.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
titles = ("Strong scaling: 64 sequences in all", "Weak scaling: 8 sequences per rank")
for axis, found, title in zip(axes, (strong, weak), titles, strict=True):
    for (name, values), colour in zip(found.items(), (RED, ORANGE, BLUE), strict=True):
        axis.loglog(RANKS, values, "o-", color=colour, label=name, base=2)
    axis.plot(RANKS, RANKS, ":", color=GREY, label="n times as fast")
    axis.set(xlabel="ranks", title=title)
axes[0].set_ylabel("speed-up over one process")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
show(figure, "22_many")

# %% [markdown]
# ## Read next
#
# - `minitorch/parallel.py`: cuts a batch into micro-batches and adds their gradients, in turn, on threads or on ranks.
# - `minitorch/distributed/buckets.py`: the buckets, filled by hooks while the backward pass runs.
# - `minitorch/distributed/mpi.py`: the messages, and what becomes of a run in which a rank fails.
# - `minitorch/distributed/wire.py`: 16 bits per number on a slow line.
# - `mpiexec -n 4 minitorch pretrain ...`: the same for a real run; `benchmarks/distributed.py` measures it.
