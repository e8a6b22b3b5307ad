"""CUDA kernels that work along rows: softmax, layer norm, cross entropy, and sums of rows.

A block of threads has one row, which it reads once into registers: each thread ITEMS times four neighbours, adjacent threads
adjacent groups, so that a warp reads 512 bytes at once. over_block (launch.py) computes sums and maxima over the row.
Rows are at most 8192 long; longer ones run the definition (except cross entropy, which needs no registers for its row).
Read before: elementwise.py. Read next: attention.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...devices import Array, cupy
from ..cublas import matmul
from ..philox import Key
from .launch import THREADS, compact, compiled, ctype, dropout, groups, launch, one_type

LONGEST = 4 * 8 * THREADS


def _team(n: int) -> tuple[int, int]:
    """For rows of n: groups of four per thread, and threads per block."""
    items = next(i for i in (1, 2, 4, 8) if n <= 4 * i * THREADS)
    return items, 32 * -(-n // (4 * items * 32))


SOFTMAX = r"""
#define EACH for (int e = 0; e < ITEMS; e++)  // this thread's groups of four: from column COLUMN on
#define FOUR for (int k = 0; k < 4; k++)
#define COLUMN ((e * (int)blockDim.x + (int)threadIdx.x) * 4)

// y = softmax(x·scale + mask); with dropout also `dropped`, y after it.  A row r of x is (b, h, i), r = (b A + h) L + i.
extern "C" __global__ void __launch_bounds__(256) softmax(
    const T* x, T* y, T* dropped, const Mask mask, const Dropout random, int A, int L, int n, float scale, int empty
) {
    long long row = blockIdx.x;
    float v[ITEMS][4], peak = -INF, total = 0;
    EACH {
        load4(v[e], x + row * n, COLUMN, n);
        FOUR v[e][k] *= scale;
        add_mask(v[e], mask, row / L / A, row / L % A, row % L, COLUMN, n);
        FOUR peak = fmaxf(peak, v[e][k]);
    }
    peak = max_over_block(peak);
    if (empty && peak == -INF) peak = 0;
    EACH FOUR total += v[e][k] = expf(v[e][k] - peak);
    total = sum_over_block(total);
    if (empty && total == 0) total = 1;
    EACH {
        FOUR v[e][k] /= total;
        store4(v[e], y + row * n, COLUMN, n);
        if (dropped) {
            drop4(v[e], random, row, COLUMN, n);
            store4(v[e], dropped + row * n, COLUMN, n);
        }
    }
}

// dx = scale · y (g - Σ g y), where g has first passed through the backward of y's dropout
extern "C" __global__ void __launch_bounds__(256) softmax_backward(
    const T* g, const T* y, T* dx, const Dropout random, int n, float scale
) {
    long long row = blockIdx.x;
    float d[ITEMS][4], v[ITEMS][4], along = 0;
    EACH {
        load4(d[e], g + row * n, COLUMN, n);
        load4(v[e], y + row * n, COLUMN, n);
        drop4(d[e], random, row, COLUMN, n);
        FOUR along += d[e][k] * v[e][k];
    }
    along = sum_over_block(along);
    EACH {
        FOUR d[e][k] = scale * v[e][k] * (d[e][k] - along);
        store4(d[e], dx + row * n, COLUMN, n);
    }
}
"""

MASK = np.dtype([("at", "u8"), *((axis, "i8") for axis in "bhij")])


def softmax(x: Array, axis: tuple[int, ...], empty: bool = False) -> Any:
    """softmax over the last axis: reads x once and writes y."""
    if axis != (x.ndim - 1,) or not one_type(x) or not x.size or x.shape[-1] > LONGEST:
        return NotImplemented
    return masked_softmax(x, None, None, 1.0, 1.0, empty)[0]


def softmax_backward(g: Array, y: Array, axis: tuple[int, ...]) -> Any:
    """softmax_backward over the last axis: two arrays read, one written."""
    if axis != (y.ndim - 1,) or not one_type(y, g) or not y.size or y.shape[-1] > LONGEST or g.shape != y.shape:
        return NotImplemented
    return masked_softmax_backward(g, y, None, 1.0, 1.0)


def masked_softmax(
    x: Array, mask: Array | None, keep: Key | None, scale: float, keep_prob: float, empty: bool
) -> tuple[Any, Any]:
    """Attention's weights from its scores x (..., L, S) in one pass, and the weights after dropout (the same, without it)."""
    x = compact(x)
    y, n = cupy().empty_like(x), x.shape[-1]
    dropped = None if keep is None else cupy().empty_like(x)
    heads, queries = (x.shape[-3] if x.ndim > 2 else 1), (x.shape[-2] if x.ndim > 1 else 1)
    items, threads = _team(n)
    kernel = compiled(SOFTMAX, "softmax", T=ctype(x), ITEMS=items)
    place, random = mask_argument(mask, x.shape), dropout(keep, keep_prob)
    launch(kernel, x.size // n, threads, x, y, dropped, place, random, heads, queries, n, float(scale), int(empty))
    return y, y if dropped is None else dropped


def masked_softmax_backward(g: Array, y: Array, keep: Key | None, scale: float, keep_prob: float) -> Any:
    """From the gradient of the weights y after dropout to that of the scores before the multiplication by scale."""
    g, y = compact(g), compact(y)
    dx, n = cupy().empty_like(y), y.shape[-1]
    items, threads = _team(n)
    kernel = compiled(SOFTMAX, "softmax_backward", T=ctype(y), ITEMS=items)
    launch(kernel, y.size // n, threads, g, y, dx, dropout(keep, keep_prob), n, float(scale))
    return dx


def mask_argument(mask: Array | None, table: tuple[int, ...]) -> Any:
    """The argument ``const Mask``: address and strides of a float32 array that broadcasts to the table (..., A, L, S)."""
    if mask is None:
        return np.zeros((), MASK)
    strides = cupy().broadcast_to(mask, table).strides
    return np.array((mask.data.ptr, *(0,) * (4 - len(strides)), *(s // 4 for s in strides)), MASK)


NORM = r"""
#define EACH for (int e = 0; e < ITEMS; e++)
#define FOUR for (int k = 0; k < 4; k++)
#define COLUMN ((e * (int)blockDim.x + (int)threadIdx.x) * 4)

// z = residual + drop(x), y = ẑ w + b with ẑ = (z - mean) r, r = 1/√(var + eps).  Null arrays are absent or not needed.
extern "C" __global__ void __launch_bounds__(256) layer_norm(
    const T* x, const T* residual, const Dropout random, const W* weight, const W* bias,
    T* y, T* unit, float* means, float* rs, int n, float eps
) {
    long long row = blockIdx.x;
    float z[ITEMS][4], total = 0, squares = 0;
    EACH {
        load4(z[e], x + row * n, COLUMN, n);
        if (residual) {
            float other[4];
            load4(other, residual + row * n, COLUMN, n);
            drop4(z[e], random, row, COLUMN, n);
            FOUR z[e][k] += other[k];
        }
        FOUR total += z[e][k];
    }
    float mean = sum_over_block(total) / n;
    EACH FOUR {
        z[e][k] -= mean;
        if (COLUMN + k < n) squares += z[e][k] * z[e][k];
    }
    float r = 1 / sqrtf(sum_over_block(squares) / n + eps);
    EACH {
        float w[4] = {1, 1, 1, 1}, b[4] = {0, 0, 0, 0};
        FOUR z[e][k] *= r;
        if (unit) store4(z[e], unit + row * n, COLUMN, n);
        if (weight) load4(w, weight, COLUMN, n);
        if (bias) load4(b, bias, COLUMN, n);
        FOUR z[e][k] = z[e][k] * w[k] + b[k];
        store4(z[e], y + row * n, COLUMN, n);
    }
    if (threadIdx.x == 0) {
        if (means) means[row] = mean;
        rs[row] = r;
    }
}

// With h = g w:  dz = r (h - mean h - ẑ mean(h ẑ)),  dx = drop(dz).  Without means x is ẑ itself.  A block has several rows, and
// sums their g ẑ and g in registers (a thread has the same columns in each): its row of the tables dw and db.
extern "C" __global__ void __launch_bounds__(256) layer_norm_backward(
    const T* g, const T* x, const float* means, const float* rs, const W* weight, const Dropout random,
    T* dz, T* dx, float* dw, float* db, int rows, int n
) {
    float w[ITEMS][4], sum_w[ITEMS][4] = {}, sum_b[ITEMS][4] = {};
    EACH FOUR w[e][k] = 1;
    if (weight) EACH load4(w[e], weight, COLUMN, n);
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        float h[ITEMS][4], unit[ITEMS][4], r = rs[row], sum = 0, along = 0;
        EACH {
            load4(h[e], g + row * n, COLUMN, n);
            load4(unit[e], x + row * n, COLUMN, n);
            FOUR {
                if (means) unit[e][k] = (unit[e][k] - means[row]) * r;
                sum_b[e][k] += h[e][k];
                sum_w[e][k] += h[e][k] * unit[e][k];
                h[e][k] *= w[e][k];
                sum += h[e][k];
                along += h[e][k] * unit[e][k];
            }
        }
        sum = sum_over_block(sum) / n;
        along = sum_over_block(along) / n;
        EACH {
            FOUR h[e][k] = r * (h[e][k] - sum - unit[e][k] * along);
            store4(h[e], dz + row * n, COLUMN, n);
            if (dx) {
                drop4(h[e], random, row, COLUMN, n);
                store4(h[e], dx + row * n, COLUMN, n);
            }
        }
    }
    EACH {
        store4(sum_w[e], dw + (long long)blockIdx.x * n, COLUMN, n);
        store4(sum_b[e], db + (long long)blockIdx.x * n, COLUMN, n);
    }
}
"""


def layer_norm(x: Array, weight: Array, bias: Array, axis: tuple[int, ...], eps: float) -> Any:
    """Reads x once and writes y; mean and r, one number each per row, are float32."""
    n = math.prod(x.shape[axis[0] :])
    if not _normable(x, n, weight, bias):
        return NotImplemented
    few = x.shape[: axis[0]] + (1,) * len(axis)
    mean, r = cupy().empty(few, np.float32), cupy().empty(few, np.float32)
    return _norm(x, None, None, 1.0, weight, bias, None, mean, r, n, eps), mean, r


def layer_norm_backward(g: Array, x: Array, weight: Array, mean: Array, r: Array, axis: tuple[int, ...]) -> Any:
    """Reads g and x once, writes dx once; a second, small launch sums dw and db."""
    n = math.prod(x.shape[axis[0] :])
    if not _normable(x, n, weight) or not one_type(x, g) or not _float32(mean, r) or g.shape != x.shape:
        return NotImplemented
    dx, _, dw, db = _norm_backward(g, x, mean, r, weight, None, 1.0, n)
    return dx, None if weight is None else dw.reshape(weight.shape), db.reshape(x.shape[axis[0] :])


def add_norm(x: Array, residual: Array, weight: Array, bias: Array, keep: Any, keep_prob: float, eps: float) -> Any:
    """Reads x and residual, writes y and ẑ; mask and sum are never in memory."""
    known = keep is None or type(keep) is Key
    if not known or x.shape != residual.shape or not one_type(x, residual) or not _normable(x, x.shape[-1], weight, bias):
        return NotImplemented
    unit, r = cupy().empty(x.shape, x.dtype), cupy().empty((*x.shape[:-1], 1), np.float32)
    return _norm(x, residual, keep, keep_prob, weight, bias, unit, None, r, x.shape[-1], eps), unit, r


def add_norm_backward(g: Array, unit: Array, weight: Array, r: Array, keep: Any, keep_prob: float) -> Any:
    """Reads g and ẑ once, writes the gradients of x and of the residual in the same pass."""
    known = (keep is None or type(keep) is Key) and type(r) is type(g)
    if not known or not one_type(unit, g) or not _normable(unit, unit.shape[-1], weight) or not _float32(r):
        return NotImplemented
    dz, dx, dw, db = _norm_backward(g, unit, None, r, weight, keep, keep_prob, unit.shape[-1])
    return dx, dz, None if weight is None else dw, db


def _normable(x: Array, n: int, *weights: Array | None) -> bool:
    """Does the kernel support this case?  The weights may be wider than x: under autocast they stay float32."""
    kinds = {ctype(w) for w in weights if w is not None}
    return bool(x.size) and ctype(x) is not None and n <= LONGEST and len(kinds) <= 1 and None not in kinds


def _float32(*arrays: Array) -> bool:
    return all(getattr(x, "dtype", None) == np.float32 for x in arrays)


def _norm(
    x: Array,
    residual: Any,
    keep: Any,
    keep_prob: float,
    weight: Any,
    bias: Any,
    unit: Any,
    mean: Any,
    r: Array,
    n: int,
    eps: float,
) -> Any:
    x, residual, weight, bias = (None if a is None else compact(a) for a in (x, residual, weight, bias))
    y, (items, threads) = cupy().empty(x.shape, x.dtype), _team(n)
    kernel = compiled(NORM, "layer_norm", T=ctype(x), W=_weight_type(x, weight, bias), ITEMS=items)
    random = dropout(keep, keep_prob)
    launch(kernel, x.size // n, threads, x, residual, random, weight, bias, y, unit, mean, r, n, float(eps))
    return y


def _norm_backward(g: Array, x: Array, mean: Any, r: Array, weight: Any, keep: Any, keep_prob: float, n: int) -> Any:
    g, x, mean, r, weight = (None if a is None else compact(a) for a in (g, x, mean, r, weight))
    rows, (items, threads) = x.size // n, _team(n)
    blocks = min(rows, 4 * cupy().cuda.Device().attributes["MultiProcessorCount"])
    dz, sums = cupy().empty(x.shape, x.dtype), cupy().empty((2, blocks, n), np.float32)
    dx = None if keep is None else cupy().empty(x.shape, x.dtype)
    kernel = compiled(NORM, "layer_norm_backward", T=ctype(x), W=_weight_type(x, weight), ITEMS=items)
    launch(kernel, blocks, threads, g, x, mean, r, weight, dropout(keep, keep_prob), dz, dx, sums[0], sums[1], rows, n)
    kind = x.dtype if weight is None else weight.dtype
    dw, db = (sum_rows(s).astype(kind, copy=False) for s in sums)
    return dz, dz if dx is None else dx, dw, db


def _weight_type(x: Array, *weights: Array | None) -> str | None:
    return ctype(next((w for w in weights if w is not None), x))


CROSS_ENTROPY = r"""
// loss = ln Σ eˣ - x_t with the largest x (peak) subtracted; a larger value corrects peak and sum, so that the row is read once,
// however long (Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867).
extern "C" __global__ void cross_entropy(
    const T* x, const long long* target, T* loss, float* peaks, float* sums, int n
) {
    long long row = blockIdx.x;
    float peak = -INF, sum = 0;
    for (int c = threadIdx.x * 4; c < n; c += blockDim.x * 4) {
        float v[4];
        load4(v, x + row * n, c, n, -INF);
        float higher = fmaxf(peak, fmaxf(fmaxf(v[0], v[1]), fmaxf(v[2], v[3])));
        float shift = higher == -INF ? 0 : higher;
        sum *= expf(peak - shift);
        for (int k = 0; k < 4; k++) sum += expf(v[k] - shift);
        peak = higher;
    }
    float highest = max_over_block(peak), shift = highest == -INF ? 0 : highest;
    sum = sum_over_block(sum * expf(peak - shift));
    if (threadIdx.x == 0) {
        long long t = target[row];
        narrow(logf(sum) - (wide(x[row * n + t]) - highest), loss[row]);
        peaks[row] = highest;
        sums[row] = sum;
    }
}

extern "C" __global__ void cross_entropy_backward(
    const T* g, const T* x, const long long* target, const float* peaks, const float* sums, T* dx, int rows, int n
) {
    Place at = place(rows, n);
    if (!at.inside) return;
    float v[4], gradient = wide(g[at.row]), peak = peaks[at.row], factor = gradient / sums[at.row];
    load4(v, x + at.row * n, at.c, n);
    for (int k = 0; k < 4; k++) {
        v[k] = expf(v[k] - peak) * factor;
        if (at.c + k == target[at.row]) v[k] -= gradient;
    }
    store4(v, dx + at.row * n, at.c, n);
}
"""


def cross_entropy(x: Array, target: Array, axis: int) -> Any:
    """cross_entropy for scores (N, C): reads x once, writes nothing of its size."""
    if x.ndim != 2 or axis != 1 or not one_type(x) or not x.size:
        return NotImplemented
    rows, n = x.shape
    x, target = compact(x), cupy().ascontiguousarray(target, np.int64)
    loss, peak, s = cupy().empty(rows, x.dtype), cupy().empty((rows, 1), np.float32), cupy().empty((rows, 1), np.float32)
    threads = min(1024, 32 * -(-n // 128))
    launch(compiled(CROSS_ENTROPY, "cross_entropy", T=ctype(x)), rows, threads, x, target, loss, peak, s, n)
    return loss, peak, s


def cross_entropy_backward(g: Array, x: Array, target: Array, axis: int, peak: Array, s: Array) -> Any:
    """One read, one write."""
    if x.ndim != 2 or axis != 1 or not one_type(x, g) or not x.size or not _float32(peak, s):
        return NotImplemented
    rows, n = x.shape
    g, x, target = compact(g), compact(x), cupy().ascontiguousarray(target, np.int64)
    dx, kernel = cupy().empty(x.shape, x.dtype), compiled(CROSS_ENTROPY, "cross_entropy_backward", T=ctype(x))
    launch(kernel, groups(rows, n), THREADS, g, x, target, peak, s, dx, rows, n)
    return dx


SUM_ROWS = r"""
// A block has 32 columns (a warp reads 32 neighbours of a row) and the rows from blockIdx.y · count on; its 8 warps take every
// eighth of them, and their sums meet in shared memory. R is the type of the result: float for sums of parts.
extern "C" __global__ void sum_rows(const T* x, R* total, int rows, int n, int count) {
    __shared__ float of_warp[8][32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, c = blockIdx.x * 32 + lane;
    int first = blockIdx.y * count, end = min(rows, first + count);
    float sum = 0;
    if (c < n) {
        #pragma unroll 4
        for (long long row = first + warp; row < end; row += 8) sum += wide(x[row * n + c]);
    }
    of_warp[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && c < n) {
        for (int w = 1; w < 8; w++) sum += of_warp[w][lane];
        narrow(sum, total[(long long)blockIdx.y * n + c]);
    }
}
"""


def sum_rows(g: Array) -> Any:
    """The sum over all but the last axis, a bias's gradient: parts of the rows, then their sum, always in one order."""
    if g.ndim < 2 or not g.size or not one_type(g):
        return g
    n = g.shape[-1]
    x, rows, columns = compact(g), g.size // n, -(-n // 32)
    parts = max(1, min(-(-rows // 64), 1024 // columns))
    for kind, count in ((np.dtype(np.float32), -(-rows // parts)), (g.dtype, parts)) if parts > 1 else ((g.dtype, rows),):
        total = cupy().empty((-(-rows // count), n), kind)
        kernel = compiled(SUM_ROWS, "sum_rows", T=ctype(x), R=ctype(total))
        launch(kernel, (columns, len(total)), THREADS, x, total, rows, n, count)
        x, rows = total, len(total)
    return total[0]


def linear(x: Array, weight: Array, bias: Array) -> Any:
    """The product is cuBLAS's; the bias is added in place."""
    if x.dtype != weight.dtype:
        return NotImplemented
    y = matmul(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), weight.T)
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], len(weight))
