"""CUDA kernels that take all parameters, or all gradients, in one launch: Adam, the norm of everything, scaling everything.

A model has hundreds of arrays, most of them small: one launch per array would cost more than the arithmetic. The arrays'
addresses are one argument, a structure with one entry per array, so nothing has to be copied to the GPU first. A block
has 4096 numbers of one array, which it finds by bisection.
Read before: elementwise.py. Read next: embedding.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...devices import Array, cupy
from .launch import THREADS, compiled, launch

MOST, CHUNK = 400, 4096  # arrays per launch (an argument may have 32 KB from CUDA 12.1 on), numbers per block

SOURCE = r"""
struct Tables {
    float *a[MOST], *g[MOST], *m[MOST], *v[MOST], *largest[MOST];
    long long size[MOST];
    int first[MOST + 1];  // block first[i] is the first that works on array i
    float rate[MOST], root[MOST];
};

// The array that this block works on, the start, and the `count` of its numbers (CHUNK or fewer)
__device__ inline int find(const Tables& tables, int arrays, long long& from, int& count) {
    int low = 0, high = arrays;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        (tables.first[middle] <= (int)blockIdx.x ? low : high) = middle;
    }
    from = (long long)(blockIdx.x - tables.first[low]) * CHUNK;
    count = (int)min((long long)CHUNK, tables.size[low] - from);
    return low;
}

// m += (1 - β₁)(g - m),  v = β₂ v + (1 - β₂) g²,  p = shrink · p - rate · m / (√v + root)
extern "C" __global__ void adam(
    const __grid_constant__ Tables tables, int arrays, float rest1, float beta2, float rest2, float shrink
) {
    long long from;
    int count, at = find(tables, arrays, from, count);
    float *p = tables.a[at] + from, *gs = tables.g[at] + from, *ms = tables.m[at] + from, *vs = tables.v[at] + from;
    float* most = tables.largest[at] ? tables.largest[at] + from : 0;
    for (int c = threadIdx.x * 4; c < count; c += blockDim.x * 4) {
        float x[4], g[4], m[4], v[4], top[4];
        load4(x, p, c, count);
        load4(g, gs, c, count);
        load4(m, ms, c, count);
        load4(v, vs, c, count);
        for (int k = 0; k < 4; k++) {
            m[k] += rest1 * (g[k] - m[k]);
            v[k] = beta2 * v[k] + rest2 * g[k] * g[k];
            top[k] = v[k];
        }
        if (most) {
            load4(top, most, c, count);
            for (int k = 0; k < 4; k++) top[k] = top[k] > v[k] || top[k] != top[k] ? top[k] : v[k];  // a NaN stays one
            store4(top, most, c, count);
        }
        for (int k = 0; k < 4; k++) x[k] = shrink * x[k] - tables.rate[at] * (m[k] / (sqrtf(top[k]) + tables.root[at]));
        store4(x, p, c, count);
        store4(m, ms, c, count);
        store4(v, vs, c, count);
    }
}

// Squares are doubles, and threads exchange norms, not squares: the square of 1e20 is no float.
__device__ inline float hypot2(float a, float b) { return hypotf(a, b); }

extern "C" __global__ void norms(const __grid_constant__ Tables tables, int arrays, float* parts) {
    long long from;
    int count, at = find(tables, arrays, from, count);
    double sum = 0;
    float x[4];
    for (int c = threadIdx.x * 4; c < count; c += blockDim.x * 4) {
        load4(x, tables.a[at] + from, c, count);
        for (int k = 0; k < 4; k++) sum += (double)x[k] * x[k];
    }
    float norm = over_block<hypot2>((float)sqrt(sum), 0);
    if (threadIdx.x == 0) parts[blockIdx.x] = norm;
}

extern "C" __global__ void norm_of_norms(const float* parts, float* norm, int count) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += (double)parts[i] * parts[i];
    float total = over_block<hypot2>((float)sqrt(sum), 0);
    if (threadIdx.x == 0) *norm = total;
}

extern "C" __global__ void scale(const __grid_constant__ Tables tables, int arrays, const float* factor) {
    if (*factor == 1) return;
    long long from;
    int count, at = find(tables, arrays, from, count);
    float* a = tables.a[at] + from;
    for (int c = threadIdx.x * 4; c < count; c += blockDim.x * 4) {
        float x[4];
        load4(x, a, c, count);
        for (int k = 0; k < 4; k++) x[k] *= *factor;
        store4(x, a, c, count);
    }
}
"""


def tables_of(most: int) -> Any:
    """The C structure Tables as a dtype."""
    columns = [(name, "u8", most) for name in ("a", "g", "m", "v", "largest")]
    columns += [("size", "i8", most), ("first", "i4", most + 1), ("rate", "f4", most), ("root", "f4", most)]
    return np.dtype(columns, align=True)


TABLES = tables_of(MOST)


def adam_all(
    ps: list[Array], gs: list[Array], ms: list[Array], vs: list[Array], largest: list[Array] | None,
    ts: list[int] | None, lr: float, betas: Any, eps: float, shrink: float,
) -> Any:  # fmt: skip
    """Every number is read and written once, in one launch for all parameters (400 at a time)."""
    if not _plain(ps, gs, ms, vs, largest or []):
        return NotImplemented
    beta1, beta2 = betas
    for part, tables, blocks in _tables(ps, g=gs, m=ms, v=vs, largest=largest):
        for i in range(part.start, part.stop):
            root = 1.0 if ts is None else math.sqrt(1 - beta2 ** ts[i])
            tables["rate"][i - part.start] = lr * root / (1 if ts is None else 1 - beta1 ** ts[i])
            tables["root"][i - part.start] = eps * root
        count = part.stop - part.start
        launch(_kernel("adam"), blocks, THREADS, tables, count, 1.0 - beta1, float(beta2), 1.0 - beta2, float(shrink))
    return None


def adam(p: Array, g: Array, m: Array, v: Array, largest: Array | None, t: int | None, lr: float, betas: Any, eps: float) -> Any:
    """adam_all for one."""
    if not _plain([p], [g], [m], [v], [] if largest is None else [largest]):
        return NotImplemented
    adam_all([p], [g], [m], [v], None if largest is None else [largest], None if t is None else [t], lr, betas, eps, 1.0)
    return None


def norm_all(arrays: list[Array]) -> Any:
    """Two launches, norms of 4096 numbers and their norm, always in one order; the CPU does not wait."""
    if not _plain(arrays):
        return NotImplemented
    total = sum(map(_blocks, arrays))
    parts, norm, done = cupy().zeros(total, np.float32), cupy().empty((), np.float32), 0
    for part, tables, blocks in _tables(arrays):
        launch(_kernel("norms"), blocks, THREADS, tables, part.stop - part.start, parts[done : done + blocks])
        done += blocks
    launch(_kernel("norm_of_norms"), 1, 1024, parts, norm, total)
    return norm


def scale_all(arrays: list[Array], factor: Array) -> Any:
    """scale_all in one launch, which itself checks whether the factor is 1 and there is nothing to do."""
    if not _plain(arrays) or type(factor) is not type(arrays[0]):
        return NotImplemented
    factor = factor.astype(np.float32, copy=False)
    for part, tables, blocks in _tables(arrays):
        launch(_kernel("scale"), blocks, THREADS, tables, part.stop - part.start, factor)
    return None


def _kernel(name: str) -> Any:
    return compiled(SOURCE, name, MOST=MOST, CHUNK=CHUNK)


def _plain(*lists: list[Array]) -> bool:
    """Are all float32, contiguous and on one GPU? For others (a parameter in float16) the definition runs."""
    arrays = [a for arrays in lists for a in arrays]
    kind, home = type(arrays[0]), arrays[0].device.id
    return all(
        type(a) is kind and a.dtype == np.float32 and a.flags.c_contiguous and a.device.id == home and a.data.ptr % 16 == 0
        for a in arrays
    )


def _blocks(a: Array) -> int:
    return int(-(-a.size // CHUNK))


def _tables(arrays: list[Array], **others: list[Array] | None) -> Iterator[tuple[slice, Any, int]]:
    """The structure for up to MOST arrays at a time: (which of them, structure, how many blocks)."""
    for start in range(0, len(arrays), MOST):
        part = slice(start, min(start + MOST, len(arrays)))
        tables, count = np.zeros((), TABLES), part.stop - start
        for name, list_ in {"a": arrays, **others}.items():
            if list_ is not None:
                tables[name][:count] = [a.data.ptr for a in list_[part]]
        tables["size"][:count] = [a.size for a in arrays[part]]
        np.cumsum([_blocks(a) for a in arrays[part]], out=tables["first"][1 : count + 1])
        if blocks := int(tables["first"][count]):
            yield part, tables, blocks
