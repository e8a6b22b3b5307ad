# %% [markdown]
# # 12. The same on a GPU: kernels, CuPy, launch cost
#
# A GPU runs thousands of threads at once. That changes what is cheap, and it brings a new kind of bug. This lesson runs on any
# computer: without a GPU it simulates the threads, one after the other. It has three kinds of numbers, and marks each:
#
# - *measured*: on your machine, just now (on your GPU, if CuPy finds one);
# - *data sheet*: peaks published by the GPU's maker, and results computed from them. Real programs stay below them;
# - *recorded*: measured by this project on a GPU. This lesson has none yet.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show

import minitorch
import minitorch.nn.functional as F
from minitorch import nn

GPU = minitorch.cuda_is_available()
print("a GPU that CuPy can use:", GPU, "" if GPU else "(simulating)")

# %% [markdown]
# ## Something goes wrong
#
# A program for a GPU is called a *[kernel](../docs/glossary.md)*. It says what *one* thread does, given its number i. We start
# as many threads as there are elements, and all of them run at once, in no particular order. Here is a simulation: first all
# threads read, then all write. A real GPU may choose this order.


# %%
def launch(thread, n, memory):
    """Run n threads 'at once': all reads happen before all writes. A thread returns its write: (array, index, value)."""
    writes = [thread(i, memory) for i in range(n)]
    for write in writes:
        if write is not None:
            name, index, value = write
            memory[name][index] = value


def square(i, m):
    return "y", i, m["x"][i] ** 2


memory = {"x": np.arange(5.0), "y": np.zeros(5)}
launch(square, 5, memory)
print("squares:", memory["y"])


# %% [markdown]
# So far, so good. Now count how often each word occurs: each thread takes one word and adds 1 to its counter. (The gradient of
# an embedding has this form: lesson 7.)


# %%
def count_word(i, m):
    word = m["ids"][i]
    return "counts", word, m["counts"][word] + 1


ids = np.array([2, 5, 2, 2, 5, 0])
memory = {"ids": ids, "counts": np.zeros(6, dtype=int)}
launch(count_word, 6, memory)
print("counted:", memory["counts"], "  right:", np.bincount(ids, minlength=6))

# %% [markdown]
# Word 2 occurs three times and is counted once. Three threads read 0, and three threads write 1. That is a *race*: no formula
# is wrong, and on a real GPU the result may differ from run to run.
#
# There are two cures. An *atomic* addition lets only one thread at a time change a counter. Then the counts are right. But
# floats are then added in random order, so the last digits vary (lesson 5). Or *sort* the words first, so that equal ones are
# neighbours, and let one thread add up each group: that gives the same result every time.

# %%
order = np.argsort(ids, kind="stable")
starts = np.flatnonzero(np.diff(ids[order], prepend=-1))
sums = np.add.reduceat(np.ones(6, dtype=int), starts)  # one thread per group
print("sorted words:", ids[order], "  groups start at", starts)
print("counts:", dict(zip(ids[order][starts].tolist(), sums.tolist())))

# %% [markdown]
# ## Blocks and threads
#
# Threads are started in blocks of, say, 256; all blocks together are the *grid*. Thread t of block b works on element b·256 +
# t. The number of elements is rarely a multiple of 256, so the last block has extra threads, and those must do nothing. A
# kernel that does not check this writes into memory that is not its own.
#
# ### Exercise: the grid


# %%
def grid(n, block_size):
    """(how many blocks are needed for n elements, how many threads of the last block must do nothing)."""
    raise NotImplementedError


# %%
parts = ("blocks", "idle threads")
check(
    grid,
    case("a last block that is not full", (1000, 256), (4, 24), parts=parts),
    case("just full", (512, 256), (2, 0), parts=parts),
    case("one element", (1, 256), (1, 255), parts=parts),
)

# %% [markdown]
# ## Neighbours should read neighbours
#
# The threads of a block run in groups of 32, called *warps*. When a warp reads, the memory answers in pieces of, say, 128
# bytes, which is 32 float32. If thread t reads element t, one piece serves the whole warp. If it reads element 1000·t, each
# thread needs a piece of its own, and 31/32 of the data delivered is thrown away. It is lesson 2's row and column again. The
# first kind of access is called *coalesced*.
#
# ### Exercise: how many pieces?
#
# Thread t of a warp of 32 reads the float32 (4 bytes) with index first + stride·t. How many different pieces of 128 bytes does
# the warp read?


# %%
def pieces_read(first, stride):
    """How many pieces hold the elements first + stride·t for t = 0 ... 31; piece k holds the bytes 128k to 128k + 127."""
    raise NotImplementedError


# %%
check(
    pieces_read,
    case("neighbours", (0, 1), 1),
    case("neighbours, but not from the start of a piece", (7, 1), 2),
    case("every second element", (0, 2), 2),
    case("a column of a table 1000 wide", (0, 1000), 32),
    case("all read the same number", (5, 0), 1),
)

# %% [markdown]
# ## A sum by many threads
#
# A sum seems to need one addition after the other. But pairs can be added at once: with n numbers, n/2 threads each add two;
# then n/4 threads; and after about log₂ n rounds one number is left. The threads of a block pass numbers to each other through
# a small, fast shared memory, and wait for each other after each round. This also keeps the digits (lesson 5): each addition
# takes two sums of equally many terms, so no large number meets a small one.
#
# ### Exercise: rounds of pairs


# %%
def tree_sum(x):
    """(the sum of the array, the number of rounds): each round adds the second half to the first; an odd one out waits."""
    raise NotImplementedError


# %%
parts = ("sum", "rounds")
tenths = np.full(4096, 0.1, dtype=np.float32)
check(
    tree_sum,
    case("eight numbers", np.arange(8.0), (28.0, 3), parts=parts),
    case("five numbers", np.arange(5.0), (10.0, 3), parts=parts),
    case("one number", np.array([7.0]), (7.0, 0), parts=parts),
    case("4096 tenths in float32", tenths, (409.6, 12), parts=parts, tolerance=1e-6),
)

# %% [markdown]
# ## A whole kernel: the softmax of a row
#
# Now we can read a real kernel. One block computes the softmax of one row. Each thread takes every 32nd element, so that
# neighbouring threads read neighbours. Below, each line of NumPy is one step of all 32 threads; `.max()` and `.sum()` over the
# threads are trees. (Here the row's length is a multiple of 32.)

# %%
THREADS = 32


def softmax_kernel(row):
    """The work of one block on one row."""
    mine = row.reshape(-1, THREADS).copy()  # column t: the elements of thread t, read once, kept in its registers
    largest = mine.max(axis=0)  # each thread by itself
    m = largest.max()  # a tree, in shared memory
    mine = np.exp(mine - m)
    s = mine.sum(axis=0).sum()  # each thread by itself, then a tree
    return (mine / s).reshape(-1)  # written once


table = np.random.default_rng(0).standard_normal((8, 128)).astype(np.float32) * 10
by_kernel = np.stack([softmax_kernel(row) for row in table])  # on a GPU all rows at once, one block per row
by_library = F.softmax(minitorch.tensor(table), dim=-1).numpy()
print(f"largest difference to the library: {np.abs(by_kernel - by_library).max():.1e}")
assert np.abs(by_kernel - by_library).max() < 1e-6

# %% [markdown]
# The kernel reads each number once and writes it once: 8 bytes per number. As five kernels (maximum, subtract, exp, sum,
# divide) that each read and write whole arrays, it moves 4 + 8 + 8 + 4 + 8 = 32 bytes per number, and needs five launches
# instead of one. What does a launch cost?
# ## The cost of a launch
#
# Launching a kernel takes a fixed time, and then every byte takes a little. So t = launch + bytes / bandwidth. A NumPy call has
# the same form. We measure it on your device:

# %%
device = "cuda" if GPU else "cpu"


def seconds(f, repeats=9):
    """The best of several runs. Python does not wait for the GPU, so we must wait before we look at the clock."""
    wait = minitorch.devices.cupy().cuda.get_current_stream().synchronize if GPU else lambda: None
    f()
    wait()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        f()
        wait()
        times.append(time.perf_counter() - begin)
    return min(times)


sizes = [1 << k for k in range(4, 23)]
measured = []
for n in sizes:
    z = minitorch.ones(n, device=device)
    measured.append(seconds(lambda z=z: z + 1.0))
launch_cost = min(measured)
bandwidth = 8 * sizes[-1] / measured[-1]  # read 4 bytes, write 4
equal = launch_cost * bandwidth / 8
print(f"measured on {device}: {launch_cost * 1e6:.1f} µs to launch, {bandwidth / 1e9:.1f} GB/s")
print(f"below {equal:,.0f} numbers the launch costs more than the work")

# %% [markdown]
# Note where `seconds` waits. The GPU computes while Python goes ahead. Forgetting the wait is the classic mistake of GPU
# timing: you then measure how fast Python can *ask*.
#
# Now the same for large GPUs. Their bandwidths are known from data sheets. A launch takes some microseconds; let us assume 5.

# %%
DATA_SHEET = {  # float32 operations per second (without tensor cores), bytes per second: peaks as published by NVIDIA
    "A100 SXM 80 GB": (19.5e12, 2.039e12),  # NVIDIA A100 Tensor Core GPU, data sheet
    "H100 SXM": (67e12, 3.35e12),  # NVIDIA H100 Tensor Core GPU, data sheet
}
ASSUMED_LAUNCH = 5e-6
for name, (_, speed) in DATA_SHEET.items():
    print(f"{name}, by its data sheet: below {ASSUMED_LAUNCH * speed / 8:,.0f} numbers the launch costs more than the work")

# %% [markdown]
# A GPU has so much bandwidth that an operation on fewer than a million numbers ends before the next kernel can be launched. A
# step of a small model consists of hundreds of such operations. There are only two ways out: larger batches, or fewer and
# larger kernels.
#
# ### Exercise: is it worth fusing?
#
# k elementwise steps in a row read and write everything k times and launch k kernels. One *fused* kernel does all k steps while
# it holds a number: one read, one write, one launch. How many times faster is it, by the model above?


# %%
def gain_of_fusing(k, n, launch, bandwidth):
    """Time of k steps on n float32 numbers divided by the time of one fused step; a step moves 8 bytes per number."""
    raise NotImplementedError


# %%
check(
    gain_of_fusing,
    case("five steps, a small array", (5, 1000, 5e-6, 1e12), 5.0),
    case("three steps, a large array", (3, 10**9, 5e-6, 1e12), 3.0),
    case("nothing to fuse", (1, 10, 5e-6, 1e12), 1.0),
)

# %% [markdown]
# Fusing pays at every size: for small arrays it saves launches, for large ones bytes. That is why softmax, LayerNorm, GELU and
# the other hot operations are single operations in minitorch, not chains of small ones.
#
# ## The same code
#
# In minitorch the device is a property of the array. The formulas ask `array_module(x)` (lesson 3): for an array on a GPU the
# answer is CuPy, a library with NumPy's functions whose arrays lie on the GPU. So to move a model, move its parameters. Asking
# for a GPU where there is none, or mixing devices, is an error that says what to do.

# %%
minitorch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 1))
x = minitorch.randn(256, 64)
on_cpu = model(x).detach().numpy().copy()
if GPU:
    there = model.to("cuda")(x.to("cuda")).cpu().detach().numpy()
    print("largest difference between the devices:", np.abs(there - on_cpu).max())
    model.to("cpu")
else:
    try:
        model.to("cuda")
    except RuntimeError as error:
        print("RuntimeError:", error)

# %% [markdown]
# And here is a kernel of our own, in CUDA C: the `square` from the beginning, for 1000 numbers in 4 blocks of 256. The line
# with `if (i < n)` stops the idle threads from your exercise. CuPy compiles the kernel at its first call.

# %%
SOURCE = r"""
extern "C" __global__ void square(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * x[i];
}
"""
if GPU:
    cupy = minitorch.devices.cupy()
    kernel, v = cupy.RawKernel(SOURCE, "square"), cupy.arange(1000, dtype=cupy.float32)
    w = cupy.empty_like(v)
    kernel((4,), (256,), (v, w, np.int32(1000)))
    print("the kernel is right:", bool((w == v * v).all()))
else:
    print("no GPU here: the kernel was not run")

# %% [markdown]
# ## The picture
#
# Left: time against size. It is flat as long as the launch dominates, then a straight line. Right: lesson 11's roofline, for
# this machine and two GPUs. The dots mark two operations: GELU does some 15 operations per number of 8 bytes; a product of two
# 1024 × 1024 matrices does 2·1024³ operations and moves 12 bytes per entry.

# %%
square_matrix = minitorch.randn(1024, 1024, device=device)
peak = 2 * 1024**3 / seconds(lambda: square_matrix @ square_matrix, repeats=4)
roofs = {f"this machine ({device}), measured": (peak, bandwidth)} | {f"{k}, data sheet": v for k, v in DATA_SHEET.items()}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
left.loglog(sizes, [t * 1e6 for t in measured], "o", color=BLUE, markersize=4, label=f"x + 1, measured on {device}")
left.loglog(sizes, [(launch_cost + 8 * n / bandwidth) * 1e6 for n in sizes], color=GREY, label="launch + bytes / bandwidth")
h100 = [(ASSUMED_LAUNCH + 8 * n / DATA_SHEET["H100 SXM"][1]) * 1e6 for n in sizes]
left.loglog(sizes, h100, color=GREEN, linestyle=":", label="H100: data sheet, 5 µs per launch assumed")
left.axvline(equal, color=ORANGE, linestyle=":", label=f"launch = work: {equal:,.0f} numbers")
left.set(xlabel="numbers", ylabel="µs", title="A launch costs the same for few numbers as for many")
left.legend(fontsize=8)
intensity = np.logspace(-1, 3, 100)
for (name, (operations, speed)), colour in zip(roofs.items(), (BLUE, ORANGE, RED), strict=True):
    right.loglog(intensity, np.minimum(operations, speed * intensity) / 1e9, color=colour, label=name)
    for x_, mark in ((15 / 8, "o"), (2 * 1024 / 12, "s")):
        right.plot(x_, min(operations, speed * x_) / 1e9, mark, color=colour, markersize=5)
right.set(xlabel="operations per byte", ylabel="billion operations per second", title="Roofs: circle GELU, square matrix product")
right.legend(fontsize=8)
show(figure, "12_gpu")

# %%
print(f"measured on {device}: {bandwidth / 1e9:.0f} GB/s, {peak / 1e9:,.0f} billion operations per second in a matrix product")
for name, (operations, speed) in DATA_SHEET.items():
    print(f"{name}, by its data sheet: {speed / bandwidth:.0f} times the bandwidth, {operations / peak:.0f} times the operations")

# %% [markdown]
# ## Read next
#
# - `minitorch/devices.py`: all the engine knows about devices, in one short file.
# - `minitorch/kernels/cuda/launch.py`: how kernels in CUDA C are compiled and started. Then `minitorch/kernels/cuda/rows.py`:
#   the softmax and LayerNorm of rows, with threads, trees and shared memory as in this lesson.
# - `minitorch/ops/`: the definitions (`@kernel`) that every kernel, on any device, must agree with.
# - `minitorch/ops/nn.py`: where the kernels are called. `benchmarks/gpu.py` checks every kernel on a GPU, then times it.
#
# You have now met every idea in the engine. To read the engine itself, begin with `minitorch/__init__.py`, which gives the
# order. The lessons go on with models: lesson 13, `13_sequences.py`.
