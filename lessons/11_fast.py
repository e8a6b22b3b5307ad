# %% [markdown]
# # 11. Making it fast: blocking, in-place, threads, the roofline
#
# The formulas are right. Why do they take so long? This lesson measures first, finds out what a machine *can* do, and then
# brings one operation close to that. The rule of the whole lesson: a fast result is checked before it is timed.

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
    """The shortest of several runs: other programs can only make it longer."""
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
# An elementwise formula, 0.5x + 0.4x² - 0.1x³, on two million numbers, and a matrix product with sixteen times as many
# operations. Guess first: how much longer does the product take?

# %%
random = np.random.default_rng(0)
x = random.standard_normal(1 << 21).astype(np.float32)
a = random.standard_normal((512, 512)).astype(np.float32)


def cubic(x):
    return 0.5 * x + 0.4 * x * x - 0.1 * x * x * x  # 8 operations a number


elementwise, product = best_time(lambda: cubic(x)), best_time(lambda: a @ a)
for name, operations, seconds in (("elementwise", 8 * x.size, elementwise), ("product", 2 * 512**3, product)):
    rate = operations / seconds / 1e9
    print(f"{name:12s} {operations / 1e6:5.0f} million operations in {seconds * 1e3:6.2f} ms: {rate:6.2f} a nanosecond")

# %% [markdown]
# Far from sixteen times as long. In each nanosecond the product does many times more. The processor is not slow at adding: it
# *waits for memory*. The elementwise formula runs over 8 MB seven times or more, for each of NumPy's steps reads whole arrays
# and writes a whole array. The product uses each number that it has loaded 512 times.
#
# ## The roofline
#
# Two limits, then: how many operations a second the arithmetic can do (the peak), and how many bytes a second memory delivers
# (the bandwidth). An operation with I operations a byte cannot run faster than
#
#     min(peak, bandwidth · I)
#
# That is the roofline (Williams, Waterman and Patterson, 2009). Both limits are easily measured.

# %%
big, target = np.ones(1 << 24, np.float32), np.empty(1 << 24, np.float32)
bandwidth = 2 * big.nbytes / best_time(lambda: np.copyto(target, big), repeats=5)
m = random.standard_normal((1024, 1024)).astype(np.float32)
peak = 2 * 1024**3 / best_time(lambda: m @ m, repeats=4)
print(f"bandwidth {bandwidth / 1e9:.1f} GB/s, peak {peak / 1e9:.0f} billion operations a second")
print(f"memory is the limit below {peak / bandwidth:.1f} operations a byte")


# %% [markdown]
# ### Exercise: the roof
#
# Operations and bytes of an operation, and the machine's two numbers: what is the shortest possible time?


# %%
def shortest_time(operations, bytes_moved, peak, bandwidth):
    """Seconds below which this machine cannot do it."""
    raise NotImplementedError


# %%
check(
    shortest_time,
    case("memory is the limit", (1e6, 8e6, 1e11, 1e10), 8e-4),
    case("arithmetic is the limit", (1e10, 8e6, 1e11, 1e10), 0.1),
    hints=["Each limit alone gives a time. Both must be kept.", "operations / peak, bytes / bandwidth; the longer one counts."],
)

# %% [markdown]
# ## In place, and in blocks
#
# Two cures for the elementwise formula. *In place*: `np.multiply(x, x, out=s)` writes into memory that is there, instead of
# asking the system for a new array each time. *Blocked*: do the whole formula for a block that fits into the cache, then the next
# block. Only the first read and the last write go to main memory.
#
# ### Exercise: the formula, blocked
#
# 0.5x + 0.4x² - 0.1x³ = x·(0.5 + x·(0.4 - 0.1x)). Write it into `y` in blocks, with no whole-array temporaries. x must stay as it
# is. The check asks for the values; time it yourself with `best_time`.


# %%
def cubic_blocked(x, block):
    """A new array 0.5x + 0.4x² - 0.1x³ for the one-dimensional x, computed ``block`` elements at a time."""
    raise NotImplementedError


# %%
some = random.standard_normal(1000).astype(np.float32)
check(
    cubic_blocked,
    case("blocks that fit", (some, 250), cubic(some)),
    case("a last block that is shorter", (some, 300), cubic(some)),
    case("one block", (some[:7], 100), cubic(some[:7])),
    hints=[
        "y = np.empty_like(x); for i in range(0, len(x), block): work on x[i : i + block] and y[i : i + block], which are views.",
        "np.multiply(part, -0.1, out=out); out += 0.4; out *= part; out += 0.5; out *= part.",
    ],
)

# %% [markdown]
# The library's GELU is made so. The same operation from `minitorch/kernels/reference.py`, which is the definition, and from
# `minitorch/kernels/cpu.py`, which is blocked, in place, and has a polynomial for the error function. Checked, then timed:

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
# ## Where is the time in a real step?
#
# Do not guess. `minitorch.profile()` counts calls, time and memory by operation.

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
# You make one operation s times faster, and it takes a share f of the time. How much faster is the whole? (This is why one
# profiles first.)


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
    hints=[
        "The new time: what is untouched, 1 - share, and the rest divided by the factor.",
        "Old time / new time, with old time 1.",
    ],
)

# %% [markdown]
# ## Threads
#
# NumPy lets go of Python's lock while it computes. So two halves of a batch can run on two cores at once, and their gradients be
# added: gradients are sums over the batch. BLAS has threads of its own; two levels of threads fight, so the library holds BLAS
# to one. Does it help here? It depends on your cores; measure.

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
# Left: the roofline of this machine, and where the two operations of the beginning stand. Right: nanoseconds a number, by the
# size of the array: the definition gets slower once its temporaries leave the cache.

# %%
figure, (left, right) = plt.subplots(1, 2)
intensity = np.logspace(-2, 3, 100)
left.loglog(intensity, np.minimum(peak, bandwidth * intensity) / 1e9, color=GREY, label="roof")
left.plot(8 / 8, 8 * x.size / elementwise / 1e9, "o", color=ORANGE, label="cubic, step by step (could read once, write once)")
left.plot(2 * 512 / 12, 2 * 512**3 / product / 1e9, "o", color=BLUE, label="matrix product, 512")
left.set(xlabel="operations a byte", ylabel="billion operations a second", title="The roofline of this machine")
left.legend(fontsize=8)
right.loglog(sizes, times["definition"], "o-", color=RED, label="definition")
right.loglog(sizes, times["blocked"], "o-", color=GREEN, label="blocked, in place")
right.set(xlabel="numbers", ylabel="ns a number", title=f"GELU and its derivative: {gain:.0f} times faster")
right.legend(fontsize=8)
show(figure, "11_fast")

# %% [markdown]
# ## Read next
#
# - `minitorch/kernels/cpu.py`: each fast version with its reason and its measured gain; `minitorch/kernels/reference.py`: what
#   it must agree with.
# - `minitorch/debug.py`: the profiler. `minitorch/parallel.py`: threads, in 50 lines.
# - `benchmarks/README.md`: how the project measures itself.
# - Then lesson 12, `12_gpu.py`.
