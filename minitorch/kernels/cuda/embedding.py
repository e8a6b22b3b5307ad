"""The gradient of an embedding on the GPU: many rows are added to a few.

Two tokens of a batch may be the same word, and their threads would add to the same row at the same time. Atomic addition is
quick, but the order of the sums, and so their last digits, changes from run to run. Otherwise the rows are sorted by word
first, and one block adds the rows of each word in order.
Read before: lists.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...devices import Array, cupy
from .. import deterministic
from .launch import THREADS, compact, compiled, ctype, groups, launch, one_type

SOURCE = r"""
extern "C" __global__ void add_rows(const T* g, const long long* index, float* total, int rows, int n, int count) {
    Place at = place(rows, n);
    if (!at.inside) return;
    float v[4];
    long long row = index[at.row];
    row += row < 0 ? count : 0;
    load4(v, g + at.row * n, at.c, n);
    for (int k = 0; k < 4; k++) if (at.c + k < n) atomicAdd(total + row * n + at.c + k, v[k]);
}

// index[order[i]] grows with i: of equal numbers, the block of the first adds all their rows
extern "C" __global__ void add_sorted_rows(
    const T* g, const long long* index, const long long* order, float* total, int rows, int n
) {
    int first = blockIdx.x;
    long long row = index[order[first]];
    if (first > 0 && index[order[first - 1]] == row) return;
    for (int c = threadIdx.x * 4; c < n; c += blockDim.x * 4) {
        float sum[4] = {0, 0, 0, 0}, v[4];
        for (int i = first; i < rows && index[order[i]] == row; i++) {
            load4(v, g + order[i] * n, c, n);
            for (int k = 0; k < 4; k++) sum[k] += v[k];
        }
        store4(sum, total + row * n, c, n);
    }
}
"""


def add_rows(g: Array, index: Array, count: int) -> Any:
    """Sums in float32, atomic unless ``use_deterministic_algorithms`` asks for one order."""
    if not index.size or not g.size or g.ndim == index.ndim or not one_type(g):
        return NotImplemented
    rows, tail = index.size, g.shape[index.ndim :]
    g, index, n = compact(g), cupy().ascontiguousarray(index, np.int64).reshape(-1), g.size // rows
    total = cupy().zeros((count, n), np.float32)
    if deterministic.enabled:
        index = index % count  # -1 and count - 1 are one row
        kernel, threads = compiled(SOURCE, "add_sorted_rows", T=ctype(g)), min(THREADS, 32 * -(-n // 128))
        launch(kernel, rows, threads, g, index, cupy().argsort(index), total, rows, n)
    else:
        launch(compiled(SOURCE, "add_rows", T=ctype(g)), groups(rows, n), THREADS, g, index, total, rows, n, count)
    return total.reshape(count, *tail).astype(g.dtype, copy=False)
