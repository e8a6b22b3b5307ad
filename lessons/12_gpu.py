# %% [markdown]
# # 12. The same on a GPU: what a kernel is, CuPy, launch cost
#
# A GPU runs thousands of threads at once. That changes what is cheap and what is wrong. This lesson runs on any computer: without
# a GPU the threads are simulated and the cells for the real one say so. No figures from a GPU have been recorded for this lesson
# yet, so none are shown: what you see was measured on your machine, just now.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from exercises import case, check, hint
from pictures import BLUE, GREEN, GREY, ORANGE, RED, show

import minitorch
from minitorch import nn

GPU = minitorch.cuda_is_available()
print("a GPU that CuPy can use:", GPU, "" if GPU else "(simulating)")

# %% [markdown]
# ## Something goes wrong
#
# On a GPU one writes what *one* thread does, with its number i, and starts as many as there are elements. All of them run at
# once, in no particular order. Here is a simulation of that, in which all threads first read and then all write: one order that
# a real GPU may choose.


# %%
def launch(thread, n, memory):
    """Run n threads 'at once': all reads happen before all writes. A thread returns what it writes: (array, index, value)."""
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
# So far, so good. Now count how often each word occurs: each thread takes one word and adds 1 to its counter. (The gradient of an
# embedding has this form, lesson 7.)


# %%
def count_word(i, m):
    word = m["ids"][i]
    return "counts", word, m["counts"][word] + 1


memory = {"ids": np.array([2, 5, 2, 2, 5, 0]), "counts": np.zeros(6, dtype=int)}
launch(count_word, 6, memory)
print("counted:", memory["counts"], "  right:", np.bincount(memory["ids"], minlength=6))

# %% [markdown]
# Word 2 occurs three times and is counted once. Three threads read 0, three threads write 1. That is a *race*. No formula is
# wrong, and on a real GPU the result may differ from run to run.
#
# Two cures. An *atomic* addition lets one thread at a time at a counter: right, but the order of a floating-point sum is left to
# chance, and with it the last digits. Or *sort* the words first, so that equal ones are neighbours and one thread sums each
# group: always the same result.

# %%
ids = np.array([2, 5, 2, 2, 5, 0])
order = np.argsort(ids, kind="stable")
starts = np.flatnonzero(np.diff(ids[order], prepend=-1))
sums = np.add.reduceat(np.ones(6, dtype=int), starts)  # one group, one thread
print("sorted words:", ids[order], " groups start at", starts, " counts", dict(zip(ids[order][starts].tolist(), sums.tolist())))

# %% [markdown]
# ## Blocks and threads
#
# Threads come in blocks of, say, 256. Thread t of block b works on element b·256 + t. The number of elements is rarely a
# multiple of 256, so the last block has threads too many, and those must do nothing. Forgetting that writes into foreign memory.
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
    hints=["Round up: -(-n // block_size).", "Threads started: blocks · block_size. Idle: those beyond n."],
)

# %% [markdown]
# ## A sum by many threads
#
# A sum looks like the thing that cannot be done at once. But pairs can: with n numbers, n/2 threads each add two; then n/4; after
# log₂ n rounds one number is left. That is also what keeps float32 exact (lesson 5): no large number meets a small one.
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
    hints=[
        "While more than one is left: half = (n + 1) // 2; the new array is x[:half], to whose front x[half:] is added.",
        "Copy before you add: x[:half] is a view of your argument.",
    ],
)

# %% [markdown]
# ## What a launch costs
#
# Starting a kernel takes time, whatever it does, and then every byte takes a little. So t = launch + bytes / bandwidth. A NumPy
# call has the same form. Fit the line on whatever we have here:

# %%
device = "cuda" if GPU else "cpu"


def seconds(f, repeats=9):
    """The best of several; a GPU works on while Python goes ahead, so we must wait for it before we look at the clock."""
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
print(f"on {device}: {launch_cost * 1e6:.1f} µs to start, {bandwidth / 1e9:.1f} GB/s; both cost the same at {equal:,.0f} numbers")

# %% [markdown]
# (Most of the start-up cost here is the engine's own bookkeeping: lesson 3 measured it.) Forgetting the wait is the classic
# mistake of GPU timing: one measures how fast Python can *ask*.
#
# ### Exercise: is it worth fusing?
#
# k elementwise steps one after the other read and write everything k times and start k kernels. One fused kernel reads once,
# writes once, starts once. How many times faster is it, by the model above?


# %%
def gain_of_fusing(k, n, launch, bandwidth):
    """Time of k steps on n float32 numbers divided by the time of one fused step; a step moves 8 bytes a number."""
    raise NotImplementedError


# %%
check(
    gain_of_fusing,
    case("by this model always k", (5, 1000, 5e-6, 1e12), 5.0),
    case("nothing to fuse", (1, 10, 5e-6, 1e12), 1.0),
    hints=["Write both times down: k·(launch + 8n/bandwidth), and the same with k = 1. What cancels?"],
)

# %% [markdown]
# It is k, whatever the size: for small arrays launches are saved, for large ones bytes. That is why the hot operations have one
# kernel each.
#
# ## The same code
#
# In minitorch the device is a property of the array. The formulas ask `array_module(x)` (lesson 3), so a model moves by moving
# its parameters. Mixing devices is refused, with the cure in the message.

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
# And a kernel of one's own, in CUDA's C: the `square` of the beginning. `if (i < n)` is your exercise.

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
    kernel(((1000 + 255) // 256,), (256,), (v, w, np.int32(1000)))
    print("the kernel is right:", bool((w == v * v).all()))
else:
    print("no GPU here: the kernel was not run")

# %% [markdown]
# ## The picture
#
# Time against size: flat as long as the start dominates, then a straight line. Right: the counters of the race, and the right
# ones.

# %%
figure, (left, right) = plt.subplots(1, 2)
left.loglog(sizes, [t * 1e6 for t in measured], "o", color=BLUE, markersize=4, label=f"x + 1, measured on {device}")
left.loglog(sizes, [(launch_cost + 8 * n / bandwidth) * 1e6 for n in sizes], color=GREY, label="launch + bytes / bandwidth")
left.axvline(launch_cost * bandwidth / 8, color=ORANGE, linestyle=":", label="both equal")
left.set(xlabel="numbers", ylabel="µs", title=f"{launch_cost * 1e6:.1f} µs to start, {bandwidth / 1e9:.0f} GB/s")
left.legend(fontsize=8)
places = np.arange(6)
right.bar(places - 0.2, memory["counts"], 0.4, color=RED, label="race")
right.bar(places + 0.2, np.bincount(ids, minlength=6), 0.4, color=GREEN, label="sorted first")
right.set(xlabel="word", ylabel="count", title="Three threads, one counter")
right.legend()
show(figure, "12_gpu")

# %% [markdown]
# ## Read next
#
# - `minitorch/devices.py`: all that the engine knows about devices, in one short file.
# - `minitorch/kernels/reference.py`: what any kernel, on any device, must agree with.
# - `minitorch/ops/nn.py`: where the kernels are called.
#
# This was the last lesson. You have now met every idea in the library; the rest is reading.
