# %% [markdown]
# # 11. Making it fast: blocking, in-place, threads, the roofline
#
# The formulas are right. Why do they take so long? This lesson measures first, finds out what a machine *can* do, and then
# brings one operation close to that limit. One rule holds throughout: we check a fast result before we time it. All times are
# from your machine. They differ from run to run, because other programs use the CPU, too. (Terms:
# [glossary](../docs/glossary.md).)

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show

import minitorch
from minitorch import kernels, nn
from minitorch.kernels import reference
from minitorch.parallel import Workers, one_blas_thread


def best_time(f, repeats=7):
    """The shortest of several runs: other programs can only make a run longer."""
    f()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        f()
        times.append(time.perf_counter() - begin)
    return min(times)


# %% [markdown]
# ## Something goes wrong
#
# Compare an elementwise formula, 0.5x + 0.4x² - 0.1x³, on two million numbers with a matrix product of sixteen times as many
# operations. Guess first: how much longer does the product take?

# %%
random = np.random.default_rng(0)
x = random.standard_normal(1 << 21).astype(np.float32)
a = random.standard_normal((512, 512)).astype(np.float32)


def cubic(x):
    return 0.5 * x + 0.4 * x * x - 0.1 * x * x * x  # 8 operations per number


elementwise, product = best_time(lambda: cubic(x)), best_time(lambda: a @ a)
for name, operations, seconds in (("elementwise", 8 * x.size, elementwise), ("product", 2 * 512**3, product)):
    rate = operations / seconds / 1e9
    print(f"{name:12s} {operations / 1e6:5.0f} million operations in {seconds * 1e3:6.2f} ms: {rate:6.2f} per nanosecond")

# %% [markdown]
# The product has sixteen times the operations, but it does not take sixteen times as long: it does many more of them per
# nanosecond. The CPU is not slow at adding. In the elementwise formula it *waits for memory*: each of NumPy's eight steps reads
# one or two arrays of 8 MB from memory and writes another one back. The product uses each loaded number 512 times.
#
# ## The roofline
#
# So there are two limits: the operations per second that the CPU can do (the *peak*), and the bytes per second that memory
# delivers (the *bandwidth*). A computation that does I operations per byte moved can do at most this many operations per
# second:
#
#     min(peak, bandwidth · I)
#
# Drawn against I, that is the roofline (Williams, Waterman and Patterson, 2009): a slope, then a flat roof. Both limits are
# easy to measure, with a copy of a large array and with a large product.

# %%
big, target = np.ones(1 << 24, np.float32), np.empty(1 << 24, np.float32)
bandwidth = 2 * big.nbytes / best_time(lambda: np.copyto(target, big), repeats=5)
m = random.standard_normal((1024, 1024)).astype(np.float32)
peak = max(2 * 1024**3 / best_time(lambda: m @ m, repeats=4), 2 * 512**3 / product)  # the best seen
print(f"bandwidth {bandwidth / 1e9:.1f} GB/s, peak {peak / 1e9:.0f} billion operations per second")
print(f"memory is the limit below {peak / bandwidth:.1f} operations per byte")


# %% [markdown]
# ### Exercise: the roof
#
# Given the operations of a computation, the bytes it moves, and the machine's two limits: what is the shortest possible time?


# %%
def shortest_time(operations, bytes_moved, peak, bandwidth):
    """The least time, in seconds, that this machine needs."""
    raise NotImplementedError


# %%
check(
    shortest_time,
    case("memory is the limit", (1e6, 8e6, 1e11, 1e10), 8e-4),
    case("arithmetic is the limit", (1e10, 8e6, 1e11, 1e10), 0.1),
)

# %% [markdown]
# ## In place, and in blocks
#
# There are two cures for the elementwise formula. *In place*: `np.multiply(x, x, out=s)` writes into existing memory, instead
# of asking the system for a new array in each step. *Blocked*: do the whole formula for a block that fits into the cache, the
# CPU's own fast memory, and then go to the next block. Only the first read and the last write of each block go to main memory.
#
# ### Exercise: the formula, blocked
#
# 0.5x + 0.4x² - 0.1x³ = x·(0.5 + x·(0.4 - 0.1x)). Compute it in blocks into a new array y, without temporaries as long as x,
# and leave x as it is. The check compares values and dtype. When they are right, the cell below times your function.


# %%
def cubic_blocked(x, block):
    """A new array 0.5x + 0.4x² - 0.1x³ for the one-dimensional x, computed ``block`` elements at a time."""
    raise NotImplementedError


# %%
some = random.standard_normal(1000).astype(np.float32)


class Watched(np.ndarray):
    """An array that notes how long the arrays are with which it is computed."""

    longest = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        inputs = [np.asarray(a) if isinstance(a, Watched) else a for a in inputs]
        Watched.longest = max(Watched.longest, *map(np.size, inputs))
        if out:
            options["out"] = tuple(np.asarray(a) for a in out)
        result = getattr(ufunc, method)(*inputs, **options)
        return out[0] if out else result.view(Watched) if isinstance(result, np.ndarray) else result


# %%
def in_blocks(formula):
    """The function's result, and by how many numbers its longest step exceeds a block."""

    def ask(x, block):
        Watched.longest = 0
        y = np.asarray(formula(x.view(Watched), block))
        return y, max(0, Watched.longest - block)

    return ask


two = ("y", "numbers beyond a block in one step")
right = check(
    cubic_blocked,
    case("blocks that fit", (some, 250), (cubic(some), 0), two),
    case("a shorter last block", (some, 300), (cubic(some), 0), two),
    case("one block", (some[:7], 100), (cubic(some[:7]), 0), two),
    through=in_blocks,
)

# %%
if right:
    for block in (1 << 8, 1 << 14, x.size):
        ms = best_time(lambda block=block: cubic_blocked(x, block)) * 1e3
        print(f"yours, blocks of {block:7d}: {ms:6.2f} ms; step by step {elementwise * 1e3:.2f} ms")
else:
    print("(once it is right, your time appears here)")

# %% [markdown]
# The library's GELU works this way. Here is the same operation twice: the definition from `minitorch/ops/activations.py`, and
# the fast version from `minitorch/kernels/cpu.py`. That one is blocked, in place, and uses lesson 5's polynomial for the error
# function. Checked, then timed:

# %%
exact = reference.gelu(x.astype(np.float64))[0]
sizes = [1 << k for k in range(10, 22)]
times = {"definition": [], "blocked": []}
fast = kernels.cpu.gelu
assert np.abs(fast(x)[0] - exact).max() < 1e-5
for n in sizes:
    part = x[:n]
    times["definition"].append(best_time(lambda part=part: reference.gelu(part), 3) / n * 1e9)
    times["blocked"].append(best_time(lambda part=part: fast(part), 3) / n * 1e9)
gain = times["definition"][-1] / times["blocked"][-1]
definition, blocked = times["definition"][-1], times["blocked"][-1]
print(f"two million numbers: {definition:.1f} ns each by definition, {blocked:.1f} blocked: {gain:.1f} times faster")

# %% [markdown]
# ## One loop
#
# A block stays in the cache, but NumPy still reads and writes it once per operator. A compiled loop takes each number once: it
# loads x, computes all of the formula in the CPU's registers, and stores y. Python's own loops are far too slow for that, but
# numba compiles them. Lay three files side by side: the definition in `minitorch/ops/activations.py`, the loop in
# `minitorch/kernels/loops/rows.py`, and the GPU's kernel in `minitorch/kernels/cuda/elementwise.py`. It is one thought three
# times. Where numba is installed, the library runs the loop:

# %%
library = kernels.prepare()  # minitorch.kernels.loops, or without numba minitorch.kernels.cpu
looped = best_time(lambda: library.gelu(x), 3) / x.size * 1e9
print(f"{library.__name__}: {looped:.1f} ns each, {definition / looped:.1f} times faster than by definition")

# %% [markdown]
# ## Where is the time in a real step?
#
# Which operation should you make faster? Do not guess. `minitorch.profile()` counts calls, time and memory per operation. Here
# is one step of an encoder layer (lesson 8), forward and backward:

# %%
minitorch.manual_seed(0)
layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, activation="gelu", batch_first=True)
batch = minitorch.randn(16, 64, 128)


def step(rows=batch):
    loss = (layer(rows) ** 2).mean()
    loss.backward()
    layer.zero_grad()


step()
with minitorch.profile() as p:
    step()
print(p)

# %% [markdown]
# ### Exercise: Amdahl's law
#
# An operation takes a share of the total time, and you make it `factor` times faster. How many times faster is the whole? (The
# answer is the reason to profile first.)


# %%
def speedup(share, factor):
    """How many times faster the whole gets when ``share`` of its time shrinks by ``factor``."""
    raise NotImplementedError


# %%
check(
    speedup,
    case("half of it, twice as fast", (0.5, 2.0), 4 / 3),
    case("a tenth, infinitely fast", (0.1, float("inf")), 1 / 0.9),
    case("all of it", (1.0, 5.0), 5.0),
)

# %% [markdown]
# ## Threads
#
# Python runs one thread at a time, but NumPy releases Python's lock while it computes. So two halves of a batch
# (*micro-batches*) can run on two cores at once. Then we add their gradients, because a gradient is a sum over the batch
# (lesson 3). BLAS, the library behind NumPy's matrix products, has threads of its own. Two levels of threads get in each
# other's way, so minitorch limits BLAS to one. Does it help? That depends on your cores, so measure:

# %%
parameters = list(layer.parameters())


def part(rows, share):
    return lambda: ((layer(rows) ** 2).mean() * share, None)


def gradients(workers, pieces):
    layer.zero_grad()
    workers.backward(parameters, [part(rows, 1 / pieces) for rows in batch.chunk(pieces)])
    return [p.grad.numpy().copy() for p in parameters]


with one_blas_thread(), Workers(1) as alone:
    whole = gradients(alone, 1)
    seconds_alone = best_time(lambda: gradients(alone, 1), 5)
with Workers(2) as two:
    halves = gradients(two, 2)
    seconds_two = best_time(lambda: gradients(two, 2), 5)
difference = max(np.abs(g - h).max() for g, h in zip(whole, halves, strict=True))
print(f"one thread {seconds_alone * 1e3:.1f} ms, two threads {seconds_two * 1e3:.1f} ms; gradients differ by {difference:.0e}")
assert difference < 1e-5

# %% [markdown]
# ## The picture
#
# Left: the roofline of this machine, with the two computations from the beginning. Right: GELU's nanoseconds per number, by the
# size of the array. For short arrays the cost of the calls matters most; for long ones, whether the temporaries fit into the
# cache.

# %%
figure, (left, right) = plt.subplots(1, 2)
intensity = np.logspace(-2, 3, 100)
left.loglog(intensity, np.minimum(peak, bandwidth * intensity) / 1e9, color=GREY, label="roof")
left.plot(8 / 8, 8 * x.size / elementwise / 1e9, "o", color=ORANGE, label="cubic, step by step (could read once, write once)")
left.plot(2 * 512 / 12, 2 * 512**3 / product / 1e9, "o", color=BLUE, label="matrix product, 512")
left.set(xlabel="operations per byte", ylabel="billion operations per second", title="The roofline of this machine")
left.legend(fontsize=8)
right.loglog(sizes, times["definition"], "o-", color=RED, label="definition")
right.loglog(sizes, times["blocked"], "o-", color=GREEN, label="blocked, in place")
right.set(xlabel="numbers", ylabel="ns per number", title="GELU and its derivative")
right.legend(fontsize=8)
show(figure, "11_fast")

# %% [markdown]
# ## Read next
#
# - `minitorch/kernels/loops/`: the compiled loops; `minitorch/kernels/cpu.py`: what is fast without them, with its reason and its
#   measured gain; `minitorch/ops/`: the definitions that both must agree with.
# - `minitorch/tools/profiler.py`, `profile`: how the times and the memory are counted. `minitorch/parallel.py`, `Workers`:
#   the threads.
# - `benchmarks/README.md`: how the project measures itself.
# - Then lesson 12, `12_gpu.py`.
