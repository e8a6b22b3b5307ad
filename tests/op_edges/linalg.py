"""Products: every pair of ranks, broadcasting batches, empty sums, transposed operands, integers, refusals; einsum's notation."""

import numpy as np

from ..op_table import Call, call, refused
from . import numbers, truths, whole

A, B = numbers(3, 4), numbers(4, 2, phase=1)
V, W = numbers(4), numbers(3)
BATCH, OTHER = numbers(2, 3, 4), numbers(2, 4, 5, phase=1)

EDGES: dict[str, list[Call]] = {
    **{
        name: [
            call(A, B), call(V, V), call(V, numbers(4, phase=1)), call(A, V), call(V, B), call(BATCH, OTHER), call(BATCH, B), call(A, OTHER), call(BATCH, V),
            call(V, OTHER), call(numbers(5, 1, 3, 4), OTHER), call(numbers(1, 3, 4), numbers(5, 4, 2)), call(numbers(2, 1, 3, 4), numbers(3, 4, 2)),
            call(numbers(4, 3).T, numbers(2, 4).T), call(numbers(3, 3), numbers(3, 3).T), call(BATCH.transpose(0, 2, 1), BATCH), call(A, A.T),
            call(np.zeros((0, 4)), B), call(A, np.zeros((4, 0))), call(np.zeros((3, 0)), np.zeros((0, 2))), call(np.zeros(0), np.zeros(0)),
            call(np.zeros((0, 3, 4)), B), call(numbers(3, 0), np.zeros(0)), call(np.zeros((2, 3, 0)), np.zeros((2, 0, 5))),
            call(whole(2, 3), whole(3, 2)), call(whole(3), whole(3)), call(whole(2, 3, low=0, dtype="uint8"), whole(3, 2, low=0, dtype="uint8")),
            call(A.astype("float32"), B.astype("float32")), call(A.astype("float16"), B.astype("float16")).upto(1),
            call(numbers(1, 1), numbers(1, 1)), call(np.broadcast_to(W, (3, 3)), numbers(3, 2)), call(BATCH[:, ::2], OTHER[:, :, ::-2].copy()),
            refused(RuntimeError, A, A), refused(RuntimeError, V, W), refused(RuntimeError, np.array(2.0), A), refused(RuntimeError, A, np.array(2.0)),
            refused(RuntimeError, BATCH, numbers(3, 4, 5)), refused(RuntimeError, A, B.astype("float32")), refused(RuntimeError, A, whole(4, 2)),
        ]
        for name in ("matmul", "operator.matmul")
    },
    "mm": [
        call(A, B), call(A, A.T), call(np.zeros((0, 4)), B), call(np.zeros((3, 0)), np.zeros((0, 2))), refused(RuntimeError, A, V), refused(RuntimeError, BATCH, B),
        refused(RuntimeError, A, A), call(whole(2, 3), whole(3, 2)),
    ],
    "mv": [call(A, V), call(np.zeros((0, 4)), V), call(np.zeros((3, 0)), np.zeros(0)), refused(RuntimeError, A, W), refused(RuntimeError, A, B)],
    "bmm": [
        call(BATCH, OTHER), call(np.zeros((0, 3, 4)), np.zeros((0, 4, 2))), call(np.zeros((2, 3, 0)), np.zeros((2, 0, 5))), refused(RuntimeError, BATCH, B),
        refused(RuntimeError, BATCH, BATCH), refused(RuntimeError, BATCH, numbers(1, 4, 5)),
    ],
    "dot": [
        call(V, V), call(V, numbers(4, phase=1)), call(np.zeros(0), np.zeros(0)), call(whole(3), whole(3)), refused(RuntimeError, V, W), refused(RuntimeError, A, V),
        refused(RuntimeError, V, V.astype("float32")),
    ],
    "outer": [call(V, W), call(V, V), call(np.zeros(0), W), call(whole(3), whole(2)), call(V, whole(2)), refused(RuntimeError, A, V)],
    "einsum": [
        call("ij,jk->ik", A, B), call("ij,jk", A, B), call("ij->ji", A), call("ij", A), call("ji", A), call("ij->", A), call("ij->j", A), call("ii->i", numbers(3, 3)),
        call("ii", numbers(3, 3)), call("i,i->", V, V), call("i,i", V, V), call("i,j->ij", V, W), call("bij,bjk->bik", BATCH, OTHER), call("...ij,...jk->...ik", BATCH, OTHER),
        call("...ij,jk->...ik", BATCH, B), call("...ij->...ji", BATCH), call("i...->...", BATCH), call("bij,bjk->ik", BATCH, OTHER), call("ij,ij->ij", A, A),
        call("ij,i,j->", A, W, V), call("ij,jk,kl->il", A, B, numbers(2, 3)), call("bhqd,bhkd->bhqk", numbers(1, 2, 3, 2), numbers(1, 2, 4, 2)), call("i->", V),
        call(" i j , j k -> i k ", A, B), call("aB,Bc->ac", A, B), call("iij->j", numbers(2, 2, 3)), call("ij,jj->i", A, numbers(4, 4)), call("...,...->...", A, V),
        call("ij,jk->ik", np.zeros((0, 4)), B), call("ij,kj->ik", A, A), call("i,j->j", V, W), call("ij,kl->", A, B), call("ij,jk->ik", whole(2, 3), whole(3, 2)),
        call("ij,jk->ik", [A, B]), call("...a->...", np.array([1.0, 2.0])), call(",->", np.array(2.0), np.array(3.0)), call("ij,jk->ik", numbers(3, 1), B),
        refused(RuntimeError, "ij,jk->ik", A, A), refused(RuntimeError, "ij,jk->il", A, B), refused(RuntimeError, "ijk->i", A), refused((RuntimeError, ValueError), "ij,jk->ik", A),
        refused(RuntimeError, "ij->ii", A),
    ],
    "addmm": [call(numbers(3, 2), A, B), call(numbers(2), A, B, beta=0.5, alpha=2.0)],
    "baddbmm": [
        call(numbers(2, 3, 5), BATCH, OTHER), call(numbers(5), BATCH, OTHER, alpha=0.5),
        call(whole(2, 3, 5), whole(2, 3, 4), whole(2, 4, 5), beta=2.5, alpha=1.9),
    ],
    "addmv": [call(whole(2), whole(2, 3), whole(3), beta=0.2, alpha=2)],
    "tensordot": [
        call(numbers(1, 3, 2), numbers(4, 3, 5), dims=([0, 1], [0, 1])), call(numbers(2, 3), numbers(1, 5), dims=([0], [0])),
        call(numbers(2, 1), numbers(3, 5), dims=([1], [0])), refused(RuntimeError, A, A, dims=([0], [1])),
        refused(RuntimeError, A, B, dims=([0, 1], [0])), refused(RuntimeError, A, np.array(1.0), dims=1), refused(RuntimeError, A, A, dims=([0, 0], [0, 1])),
    ],
    "trace": [call(whole(3, 2)), refused(NotImplementedError, truths(2, 2))],
}  # fmt: skip
