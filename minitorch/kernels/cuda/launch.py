"""The common part of all CUDA kernels: the C code they begin with, compiling and calling.

NVRTC compiles a source string at its first call, once per element type; CuPy caches the result in memory and on disk. The
sources include nothing, not even cuda_fp16.h, which some installations lack, so the 16-bit floats are two structs.
All arithmetic is float32, whatever the element type.

Words of CUDA: a kernel runs as a grid of blocks of threads; 32 threads are a warp and run in step, and can read each other's
registers (__shfl); the threads of a block share fast memory (__shared__) and wait for each other (__syncthreads).
Read before: cuda/__init__.py, kernels/philox.py. Read next: elementwise.py, the simplest kernels.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...devices import Array, cupy
from .. import philox

PRELUDE = r"""
#define INF __int_as_float(0x7f800000)

struct float16 { unsigned short bits; };
struct bfloat16 { unsigned short bits; };  // the upper half of a float

__device__ inline float wide(float x) { return x; }
__device__ inline float wide(bfloat16 x) { return __uint_as_float((unsigned)x.bits << 16); }
__device__ inline void narrow(float x, float& y) { y = x; }
__device__ inline void narrow(float x, bfloat16& y) {  // to the nearest, ties to even; a NaN stays one
    unsigned u = __float_as_uint(x);
    y.bits = x != x ? 0x7fc0 : (u + 0x7fff + (u >> 16 & 1)) >> 16;
}
#ifndef EMULATED  // tests/emulation.h has its own two, for the CPU
__device__ inline float from_half(unsigned short x) { float y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x)); return y; }
__device__ inline unsigned short to_half(float x) {
    unsigned short y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}
#endif
__device__ inline float wide(float16 x) { return from_half(x.bits); }
__device__ inline void narrow(float x, float16& y) { y.bits = to_half(x); }

// Four neighbours of a row of n, from column c (a multiple of 4) on: in one access if all rows begin at a multiple of 4,
// else one by one; `fill` beyond the end of the row.
template <typename T> struct __align__(4 * sizeof(T)) Quad { T at[4]; };

template <typename T> __device__ inline void load4(float (&x)[4], const T* row, int c, int n, float fill = 0) {
    if (n % 4 == 0 && c < n) {
        Quad<T> quad = *(const Quad<T>*)(row + c);
        for (int k = 0; k < 4; k++) x[k] = wide(quad.at[k]);
    } else {
        for (int k = 0; k < 4; k++) x[k] = c + k < n ? wide(row[c + k]) : fill;
    }
}

template <typename T> __device__ inline void store4(const float (&x)[4], T* row, int c, int n) {
    if (n % 4 == 0 && c < n) {
        Quad<T> quad;
        for (int k = 0; k < 4; k++) narrow(x[k], quad.at[k]);
        *(Quad<T>*)(row + c) = quad;
    } else {
        for (int k = 0; k < 4; k++) if (c + k < n) narrow(x[k], row[c + k]);
    }
}

// The sum (largest) of x over all threads of the block, for each of them. Lanes of a warp exchange registers in five steps,
// the warps' results meet in shared memory.
__device__ inline float sum2(float a, float b) { return a + b; }
__device__ inline float max2(float a, float b) { return fmaxf(a, b); }

template <float (*both)(float, float)> __device__ inline float over_warp(float x) {
    for (int apart = 16; apart > 0; apart /= 2) x = both(x, __shfl_xor_sync(0xffffffffu, x, apart));
    return x;
}

template <float (*both)(float, float)> __device__ inline float over_block(float x, float neutral) {
    __shared__ float of_warp[32];
    int warps = blockDim.x / 32, lane = threadIdx.x % 32;
    x = over_warp<both>(x);
    if (warps == 1) return x;
    __syncthreads();  // no thread still reads the last call's results
    if (lane == 0) of_warp[threadIdx.x / 32] = x;
    __syncthreads();
    return over_warp<both>(lane < warps ? of_warp[lane] : neutral);
}

__device__ inline float sum_over_block(float x) { return over_block<sum2>(x, 0); }
__device__ inline float max_over_block(float x) { return over_block<max2>(x, -INF); }

// For elementwise kernels, one thread per four neighbours of a table: their row and first column.
struct Place { long long row; int c; bool inside; };

__device__ inline Place place(long long rows, int n) {
    long long group = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    int groups = (n + 3) / 4;
    return {group / groups, (int)(group % groups) * 4, group < rows * groups};
}

// Philox4x32-10: ten rounds of two multiplications, whose halves are mixed with the key (Salmon et al. 2011, section 3.3).
__device__ inline void philox(unsigned (&c)[4], unsigned k0, unsigned k1) {
    for (int round = 0; round < 10; round++) {
        unsigned high0 = __umulhi(0xD2511F53u, c[0]), low0 = 0xD2511F53u * c[0];
        unsigned high1 = __umulhi(0xCD9E8D57u, c[2]), low1 = 0xCD9E8D57u * c[2];
        c[0] = high1 ^ c[1] ^ k0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ k1;
        c[3] = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

// A dropout mask (kernels/philox.py: Key). drop4 multiplies four neighbours, from column c of a row of n, by 0 or `factor`.
struct Dropout { const unsigned* step; unsigned seed0, seed1, call, threshold; float factor; unsigned begin; };

__device__ inline void drop4(float (&x)[4], const Dropout& mask, long long row, int c, int n) {
    if (mask.call == 0) return;  // no dropout
    unsigned long long group = mask.begin + row * ((n + 7) / 8) + c / 8;
    unsigned bits[4] = {(unsigned)group, (unsigned)(group >> 32), mask.call, mask.step ? *mask.step : 0};
    philox(bits, mask.seed0, mask.seed1);
    unsigned halves[2] = {c & 4 ? bits[2] : bits[0], c & 4 ? bits[3] : bits[1]};
    for (int k = 0; k < 4; k++) x[k] *= (halves[k / 2] >> k % 2 * 16 & 0xffff) >= mask.threshold ? mask.factor : 0;
}

// The mask added to attention's scores (B, A, L, S): an array that repeats along the axes where its stride is 0.
struct Mask { const float* at; long long b, h, i, j; };

__device__ inline void add_mask(float (&s)[4], const Mask& mask, int b, int h, int i, int c, int n) {
    for (int k = 0; k < 4; k++) {
        float m = mask.at && c + k < n ? mask.at[b * mask.b + h * mask.h + i * mask.i + (c + k) * mask.j] : 0;
        s[k] = c + k < n ? s[k] + m : -INF;
    }
}
"""

OPTIONS = ("-std=c++17",)
CTYPES = {"float32": "float", "float16": "float16", "bfloat16": "bfloat16"}


@functools.cache
def compiled(source: str, name: str, **macros: Any) -> Any:
    """The kernel ``name`` of a source, in which the given macros are defined: T=float, ..."""
    return _module(source, **macros).get_function(name)


@functools.cache
def _module(source: str, **macros: Any) -> Any:
    return cupy().RawModule(code=whole(source, **macros), options=OPTIONS)


def whole(source: str, **macros: Any) -> str:
    """The text that NVRTC gets, in ASCII: CuPy writes it to a file in the locale's encoding, which may lack a comment's √."""
    defines = "".join(f"#define {key} {value}\n" for key, value in macros.items())
    return (PRELUDE + defines + source).encode("ascii", "ignore").decode()


NULL = np.uint64(0)  # CuPy passes nothing for None; the kernel reads a random address (https://github.com/cupy/cupy/issues/9046)


def launch(kernel: Any, blocks: int | tuple[int, ...], threads: int, *arguments: Any, shared: int = 0) -> None:
    """Run ``blocks`` of ``threads`` threads, each block with ``shared`` bytes of shared memory in addition to its declarations.

    Python's numbers become the C code's int and float; None is a null pointer, a NumPy array of one structure goes by value.
    """
    grid = blocks if type(blocks) is tuple else (blocks,)
    kernel(grid, (threads,), tuple([_as_c(a) for a in arguments]), shared_mem=shared)


def _as_c(a: Any) -> Any:
    if a is None:
        return NULL
    return np.int32(a) if type(a) is int else np.float32(a) if type(a) is float else a


def ctype(x: Array) -> str | None:
    """C's name of the array's element type; None for one that the kernels do not support (float64)."""
    return CTYPES.get(x.dtype.name)


def compact(x: Array) -> Array:
    """x itself if it is contiguous and starts at a multiple of 16 bytes, as the kernels require; else a copy."""
    return x if x.flags.c_contiguous and x.data.ptr % 16 == 0 else x.copy()


def one_type(first: Array, *others: Array) -> bool:
    """Are all (except None) on the GPU, and of one element type that the kernels support?"""
    kind = type(first)
    return ctype(first) is not None and all(x is None or (type(x) is kind and x.dtype == first.dtype) for x in others)


def dropout(keep: philox.Key | None, keep_prob: float) -> Any:
    """The argument ``const Dropout`` of kernels that drop."""
    return philox.NONE if keep is None else keep.as_argument(keep_prob)


def computed(keep: philox.Key) -> Any:
    """The mask as an array of bools."""
    rows, n = keep.rows
    mask = cupy().empty(keep.shape, bool)
    if mask.size:
        launch(compiled(MASK, "mask"), groups(rows, n), THREADS, mask, keep.as_argument(1.0), rows, n)
    return mask


THREADS = 256


def groups(rows: int, n: int) -> int:
    """How many blocks of THREADS threads an elementwise kernel needs: one thread per four neighbours."""
    return -(-rows * ((n + 3) // 4) // THREADS)


MASK = r"""
extern "C" __global__ void mask(bool* keep, const Dropout random, int rows, int n) {
    Place at = place(rows, n);
    if (!at.inside) return;
    float x[4] = {1, 1, 1, 1};
    drop4(x, random, at.row, at.c, n);
    for (int k = 0; k < 4; k++) if (at.c + k < n) keep[at.row * n + at.c + k] = x[k] != 0;
}
"""
