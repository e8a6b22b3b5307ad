"""Attention in one pass on the GPU: the table of scores (L, S) is never in memory.

The idea is FlashAttention's: a block of threads has 64 queries and reads the keys 64 at a time. For each query it tracks the
largest score so far, the sum of powers relative to it, and the weighted mean of the values; a larger score rescales both. It
saves the result and ln Σ eˢ, one number per query: from those the backward pass computes the weights of any tile again, which
is quicker than reading them. Both passes compute dropout's mask (kernels/philox.py).

Dao, Fu, Ermon, Rudra and Ré (2022), https://arxiv.org/abs/2205.14135, and for the order of loops Dao (2023),
https://arxiv.org/abs/2307.08691. This version is short enough to read: float32 arithmetic without tensor cores, no
asynchronous copies. Separate kernels for dQ and for dK, dV compute the scores twice but need no atomic addition, so the result
is the same every time.
Read before: rows.py. Read next: lists.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...devices import Array, cupy
from ..cublas import matmul
from ..philox import Key
from .elementwise import drop
from .launch import THREADS, compact, compiled, ctype, dropout, launch, one_type
from .rows import LONGEST, mask_argument, masked_softmax, masked_softmax_backward

SOURCE = r"""
// A tile is 64 rows of D numbers in shared memory, as float. 256 threads divide a table of 64 × 64 scores: thread (ty, tx) of
// 16 × 16 has queries 4ty ... 4ty+3 and keys 4tx ... 4tx+3, so each number it reads serves four products.
// Rows are PITCH apart, 4 more than D, and keys are stored in the order 0 4 8 ... 60, 1 5 9 ..., so that simultaneous reads go
// to different banks of the memory.
#define TILE 64
#define PITCH (D + 4)
#define TABLE (TILE + 4)
#define V (D / 16 < 4 ? D / 16 : 4)  // of its D/16 columns of the result a thread has V neighbours, 16·V further on V more, ...
#define COLUMN(u) ((u) / V * 16 * V + tx * V + (u) % V)
#define PLACE int ty = threadIdx.x / 16, tx = threadIdx.x % 16

// The rows first ... first+63 of one head, out of `count`; in x they are `apart` numbers from each other.
template <bool keys> __device__ inline void load_tile(float* tile, const T* x, int apart, int first, int count, float scale) {
    for (int i = threadIdx.x; i < TILE * D / 4; i += 256) {
        int row = i / (D / 4), c = i % (D / 4) * 4, slot = keys ? row % 4 * 16 + row / 4 : row;
        Quad<float> quad = {{0, 0, 0, 0}};
        if (first + row < count) load4(quad.at, x + (long long)(first + row) * apart, c, D);
        for (int k = 0; k < 4; k++) quad.at[k] *= scale;
        *(Quad<float>*)(tile + slot * PITCH + c) = quad;
    }
}

// s[i][j] = Σ_c a[query 4ty+i][c] b[key 4tx+j][c]
__device__ inline void scores(float (&s)[4][4], const float* a, const float* b) {
    PLACE;
    for (int i = 0; i < 4; i++) for (int j = 0; j < 4; j++) s[i][j] = 0;
    #pragma unroll 4
    for (int c = 0; c < D; c += 4) {
        Quad<float> as[4], bs[4];
        for (int i = 0; i < 4; i++) as[i] = *(const Quad<float>*)(a + (4 * ty + i) * PITCH + c);
        for (int j = 0; j < 4; j++) bs[j] = *(const Quad<float>*)(b + (16 * j + tx) * PITCH + c);
        for (int i = 0; i < 4; i++) for (int j = 0; j < 4; j++) for (int k = 0; k < 4; k++)
            s[i][j] += as[i].at[k] * bs[j].at[k];
    }
}

// acc[i][u] += Σ_k p[k][4ty+i] b[k][COLUMN(u)]: k runs over the rows of both, in the order of storage
__device__ inline void mix(float (&acc)[4][D / 16], const float* p, const float* b) {
    PLACE;
    #pragma unroll 4
    for (int k = 0; k < TILE; k++) {
        Quad<float> ps = *(const Quad<float>*)(p + k * TABLE + 4 * ty);
        for (int u = 0; u < D / 16; u++) {
            float value = b[k * PITCH + COLUMN(u)];
            for (int i = 0; i < 4; i++) acc[i][u] += ps.at[i] * value;
        }
    }
}

// The start of head (b, h) in an array (B, n, A, D), whose rows are A·D apart.
__device__ inline long long start(int head, int A, int n) { return ((long long)(head / A) * n * A + head % A) * D; }

__device__ inline void store_rows(const float (&acc)[4][D / 16], T* x, int A, int first, int count, float scale) {
    PLACE;
    for (int i = 0; i < 4; i++) for (int u = 0; u < D / 16; u++)
        if (first + 4 * ty + i < count) narrow(acc[i][u] * scale, x[(long long)(first + 4 * ty + i) * A * D + COLUMN(u)]);
}

extern "C" __global__ void __launch_bounds__(256) attention(
    const T* q, const T* k, const T* v, const Mask mask, const Dropout random,
    T* y, float* lse, int A, int L, int S, float scale
) {
    extern __shared__ __align__(16) float room[];
    float *queries = room, *keys = queries + TILE * PITCH, *p = keys + TILE * PITCH;  // `keys` has first K, then V
    int tiles = (L + TILE - 1) / TILE, head = blockIdx.x / tiles, first = blockIdx.x % tiles * TILE;
    float acc[4][D / 16] = {}, s[4][4], peak[4] = {-INF, -INF, -INF, -INF}, total[4] = {};
    PLACE;
    q += start(head, A, L), k += start(head, A, S), v += start(head, A, S), y += start(head, A, L);

    load_tile<false>(queries, q, A * D, first, L, scale);
    for (int from = 0; from < S; from += TILE) {
        __syncthreads();
        load_tile<true>(keys, k, A * D, from, S, 1);
        __syncthreads();
        scores(s, queries, keys);
        #pragma unroll
        for (int i = 0; i < 4; i++) {
            int query = min(first + 4 * ty + i, L - 1);  // rows beyond the last are computed and ignored
            add_mask(s[i], mask, head / A, head % A, query, from + 4 * tx, S);
            float higher = fmaxf(fmaxf(fmaxf(s[i][0], s[i][1]), fmaxf(s[i][2], s[i][3])), peak[i]);
            for (int apart = 8; apart > 0; apart /= 2) higher = fmaxf(higher, __shfl_xor_sync(0xffffffffu, higher, apart));
            float shift = higher == -INF ? 0 : higher, shrink = expf(peak[i] - shift);
            peak[i] = higher;
            total[i] *= shrink;
            for (int j = 0; j < 4; j++) total[i] += s[i][j] = expf(s[i][j] - shift);
            for (int u = 0; u < D / 16; u++) acc[i][u] *= shrink;
            drop4(s[i], random, (long long)head * L + query, from + 4 * tx, S);
        }
        __syncthreads();  // all threads have read K
        for (int j = 0; j < 4; j++)
            *(Quad<float>*)(p + (16 * j + tx) * TABLE + 4 * ty) = {{s[0][j], s[1][j], s[2][j], s[3][j]}};
        load_tile<true>(keys, v, A * D, from, S, 1);
        __syncthreads();
        mix(acc, p, keys);
    }
    #pragma unroll
    for (int i = 0; i < 4; i++) {
        for (int apart = 8; apart > 0; apart /= 2) total[i] += __shfl_xor_sync(0xffffffffu, total[i], apart);
        bool empty = total[i] == 0;  // the query may see nothing: its result is 0
        for (int u = 0; u < D / 16; u++) acc[i][u] *= empty ? 0 : 1 / total[i];
        int query = first + 4 * ty + i;
        if (tx == 0 && query < L) lse[(long long)head * L + query] = empty ? 0 : peak[i] + logf(total[i]);
    }
    store_rows(acc, y, A, first, L, 1);
}

// Σ g y of every row of (B, n, A, D), one warp per row: the softmax's derivative subtracts it, since Σ dP P = Σ g y
extern "C" __global__ void along(const T* g, const T* y, float* sums, int A, int n, long long rows) {
    long long row = (long long)blockIdx.x * 8 + threadIdx.x / 32;
    if (row >= rows) return;
    float sum = 0, a[4], b[4];
    for (int c = threadIdx.x % 32 * 4; c < D; c += 128) {
        load4(a, g + row * D, c, D);
        load4(b, y + row * D, c, D);
        for (int k = 0; k < 4; k++) sum += a[k] * b[k];
    }
    sum = over_warp<sum2>(sum);
    if (threadIdx.x % 32 == 0) sums[(row / A / n * A + row % A) * n + row / A % n] = sum;
}

// One tile recomputed: the weights p = e^(s - lse), and ds = p (dp - Σ g y) where dp is g vᵀ after dropout's backward pass.
__device__ inline void weights_again(
    float (&p)[4][4], float (&ds)[4][4], const float* queries, const float* gs, const float* keys, const float* values,
    const Mask& mask, const Dropout& random, const float* lse, const float* sums,
    int head, int A, int L, int S, int first, int from
) {
    PLACE;
    scores(p, queries, keys);
    scores(ds, gs, values);
    #pragma unroll
    for (int i = 0; i < 4; i++) {
        int query = first + 4 * ty + i;
        long long row = (long long)head * L + min(query, L - 1);
        add_mask(p[i], mask, head / A, head % A, min(query, L - 1), from + 4 * tx, S);
        drop4(ds[i], random, row, from + 4 * tx, S);
        for (int j = 0; j < 4; j++) {
            p[i][j] = query < L ? expf(p[i][j] - lse[row]) : 0;
            ds[i][j] = p[i][j] * (ds[i][j] - sums[row]);
        }
        drop4(p[i], random, row, from + 4 * tx, S);  // dV uses the weights after dropout
    }
}

extern "C" __global__ void __launch_bounds__(256) attention_dq(
    const T* g, const T* q, const T* k, const T* v, const Mask mask, const Dropout random, const float* lse, const float* sums,
    T* dq, int A, int L, int S, float scale
) {
    extern __shared__ __align__(16) float room[];
    float *queries = room, *gs = queries + TILE * PITCH, *keys = gs + TILE * PITCH, *values = keys + TILE * PITCH;
    float* table = values + TILE * PITCH;
    int tiles = (L + TILE - 1) / TILE, head = blockIdx.x / tiles, first = blockIdx.x % tiles * TILE;
    float acc[4][D / 16] = {}, p[4][4], ds[4][4];
    PLACE;
    q += start(head, A, L), g += start(head, A, L), dq += start(head, A, L), k += start(head, A, S), v += start(head, A, S);

    load_tile<false>(queries, q, A * D, first, L, scale);
    load_tile<false>(gs, g, A * D, first, L, 1);
    for (int from = 0; from < S; from += TILE) {
        __syncthreads();
        load_tile<true>(keys, k, A * D, from, S, 1);
        load_tile<true>(values, v, A * D, from, S, 1);
        __syncthreads();
        weights_again(p, ds, queries, gs, keys, values, mask, random, lse, sums, head, A, L, S, first, from);
        for (int j = 0; j < 4; j++)
            *(Quad<float>*)(table + (16 * j + tx) * TABLE + 4 * ty) = {{ds[0][j], ds[1][j], ds[2][j], ds[3][j]}};
        __syncthreads();
        mix(acc, table, keys);  // dQ = dS K
    }
    store_rows(acc, dq, A, first, L, scale);
}

extern "C" __global__ void __launch_bounds__(256) attention_dkv(
    const T* g, const T* q, const T* k, const T* v, const Mask mask, const Dropout random, const float* lse, const float* sums,
    T* dk, T* dv, int A, int L, int S, float scale
) {
    extern __shared__ __align__(16) float room[];
    float *queries = room, *gs = queries + TILE * PITCH, *keys = gs + TILE * PITCH, *values = keys + TILE * PITCH;
    float* table = values + TILE * PITCH;
    int tiles = (S + TILE - 1) / TILE, head = blockIdx.x / tiles, from = blockIdx.x % tiles * TILE;
    float acc_k[4][D / 16] = {}, acc_v[4][D / 16] = {}, p[4][4], ds[4][4];
    PLACE;
    q += start(head, A, L), g += start(head, A, L), k += start(head, A, S), v += start(head, A, S);
    dk += start(head, A, S), dv += start(head, A, S);

    load_tile<true>(keys, k, A * D, from, S, 1);
    load_tile<true>(values, v, A * D, from, S, 1);
    for (int first = 0; first < L; first += TILE) {
        __syncthreads();
        load_tile<false>(queries, q, A * D, first, L, scale);
        load_tile<false>(gs, g, A * D, first, L, 1);
        __syncthreads();
        weights_again(p, ds, queries, gs, keys, values, mask, random, lse, sums, head, A, L, S, first, from);
        for (int i = 0; i < 4; i++)
            *(Quad<float>*)(table + (4 * ty + i) * TABLE + 4 * tx) = {{p[i][0], p[i][1], p[i][2], p[i][3]}};
        __syncthreads();
        mix(acc_v, table, gs);  // dV = Pᵀ g
        __syncthreads();
        for (int i = 0; i < 4; i++)
            *(Quad<float>*)(table + (4 * ty + i) * TABLE + 4 * tx) = {{ds[i][0], ds[i][1], ds[i][2], ds[i][3]}};
        __syncthreads();
        mix(acc_k, table, queries);  // dK = dSᵀ Q, Q being scaled already
    }
    store_rows(acc_k, dk, A, from, S, 1);
    store_rows(acc_v, dv, A, from, S, 1);
}
"""

TILE = 64


def attention(q: Array, k: Array, v: Array, mask: Array, keep: Any, scale: float, keep_prob: float) -> Any:
    """Reads Q, K, V once, writes the result once; saves ln Σ eˢ (..., L) instead of the weights.

    Heads of a width other than 32, 64 or 128 take three steps: cuBLAS's product, softmax with mask and dropout in one kernel,
    cuBLAS's product; then the weights are saved.
    """
    if not _known(q, k, v, mask, keep):
        return NotImplemented
    mask = None if mask is None else mask.astype(np.float32, copy=False)
    if not _fits(q, k, v):
        if k.shape[-2] > LONGEST:
            return NotImplemented
        weights, left = masked_softmax(matmul(q, k.mT), mask, keep, scale, keep_prob, True)
        return matmul(left, v), weights
    qs, ks, vs = map(_by_position, (q, k, v))
    B, L, A, _ = qs.shape
    y, lse = cupy().empty(qs.shape, q.dtype), cupy().empty((B, A, L), np.float32)
    where = mask_argument(mask, (*q.shape[:-1], k.shape[-2]))
    _run("attention", L, 2, qs, ks, vs, where, dropout(keep, keep_prob), y, lse, A, L, ks.shape[1], float(scale))
    return _by_head(y, q), lse if q.ndim == 4 else lse[:, 0]


def attention_backward(
    g: Array, q: Array, k: Array, v: Array, mask: Array, keep: Any, scale: float, keep_prob: float, y: Array, weights: Array
) -> Any:
    """Reads and writes nothing of size (L, S) if ``weights`` is ln Σ eˢ."""
    if weights.ndim == q.ndim:
        return _backward_in_steps(g, q, k, v, mask, keep, scale, keep_prob, y, weights)
    qs, ks, vs, gs, ys = map(_by_position, (q, k, v, g.astype(q.dtype, copy=False), y))
    (B, L, A, d), S = qs.shape, ks.shape[1]
    sums, (dq, dk, dv) = cupy().empty((B, A, L), np.float32), (cupy().empty(x.shape, q.dtype) for x in (qs, ks, vs))
    launch(compiled(SOURCE, "along", T=ctype(q), D=d), -(-B * L * A // 8), THREADS, gs, ys, sums, A, L, np.int64(B * L * A))
    mask = None if mask is None else mask.astype(np.float32, copy=False)
    both = gs, qs, ks, vs, mask_argument(mask, (*q.shape[:-1], S)), dropout(keep, keep_prob), compact(weights), sums
    _run("attention_dq", L, 4, *both, dq, A, L, S, float(scale))
    _run("attention_dkv", S, 4, *both, dk, dv, A, L, S, float(scale))
    return _by_head(dq, q), _by_head(dk, k), _by_head(dv, v)


def _backward_in_steps(
    g: Array, q: Array, k: Array, v: Array, mask: Array, keep: Any, scale: float, keep_prob: float, y: Array, weights: Array
) -> Any:
    masked = keep is None or type(keep) is Key
    if not masked or not one_type(q, k, v, g, weights) or weights.shape[-1] > LONGEST or not weights.size:
        return NotImplemented
    left = weights if keep is None else drop(weights, keep, keep_prob)
    ds = masked_softmax_backward(matmul(g, v.mT), weights, keep, scale, keep_prob)
    return matmul(ds, k), matmul(ds.mT, q), matmul(left.mT, g)


def _run(name: str, count: int, tiles: int, first: Array, *arguments: Any) -> None:
    """Launch a kernel, one block per head and 64 of ``count`` rows, with memory for the tiles and a table of 64 × 64."""
    B, _, A, d = arguments[0].shape if name != "attention" else first.shape
    shared = 4 * TILE * (tiles * (d + 4) + TILE + 4)
    kernel = compiled(SOURCE, name, T=ctype(first), D=d)
    if shared > 48 << 10:  # more than CUDA gives by default
        kernel.max_dynamic_shared_size_bytes = shared
    launch(kernel, B * A * -(-count // TILE), THREADS, first, *arguments, shared=shared)


def _known(q: Array, k: Array, v: Array, mask: Any, keep: Any) -> bool:
    """Do all three have the same leading axes, at most (B, A)? Is none empty, and does the mask fit the table of scores?"""
    table = (*q.shape[:-1], k.shape[-2])
    same = q.ndim in (3, 4) and q.shape[:-2] == k.shape[:-2] == v.shape[:-2] and k.shape[-2] == v.shape[-2]
    masked = mask is None or (type(mask) is type(q) and np.broadcast_shapes(mask.shape, table) == table)
    return bool(same and masked and one_type(q, k, v) and q.size and k.size and v.size) and (
        keep is None or (type(keep) is Key and keep.shape == table)
    )


def _fits(q: Array, k: Array, v: Array) -> bool:
    """Do the tiled kernels support the width, and do its tiles fit into the GPU's shared memory?"""
    d = q.shape[-1]
    if d not in (32, 64, 128) or v.shape[-1] != d:
        return False
    room = cupy().cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]
    return bool(4 * TILE * (4 * (d + 4) + TILE + 4) <= room)


def _by_position(x: Array) -> Array:
    """(B, A, n, d) as contiguous (B, n, A, d): projections produce this layout, so a copy is rare."""
    return compact((x if x.ndim == 4 else x[:, None]).swapaxes(1, 2))


def _by_head(x: Array, like: Array) -> Array:
    """Undo the rearrangement; ``like`` has the original shape."""
    x = x.swapaxes(1, 2)
    return x if like.ndim == 4 else x[:, 0]
