"""nn.functional: reductions, ignored targets, masks that hide everything, eps, smoothing, weights, 0-d and empty, refusals."""

import numpy as np

from ..op_table import Call, Constant, call, refused
from . import EMPTY, INF, NAN, numbers, positive, truths, whole
from .elementwise import SPECIAL

X = numbers(2, 3, 4)
ROWS = numbers(4, 3)
POINT = np.array(1.5)
CLASSES = np.array([2, 0, 1, 2])
SOME = np.array([2, -100, 1, -100])
PIXELS = whole(2, 4, low=0, high=3)  # for X: (batch, classes, positions)
WEIGHT = Constant(positive(3))
SOFT = np.array([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0], [0.3, 0.3, 0.4], [0.0, 0.5, 0.5]])
REDUCTIONS = ("mean", "sum", "none")


def activation(special: np.ndarray = SPECIAL, **named: object) -> list[Call]:
    """Every activation: shapes and special values (gelu: torch's float32 kernel makes inf a NaN; elu: NaN's gradient a number)."""
    xs = [X, POINT, EMPTY, numbers(3, 2).T, numbers(2, 3, dtype="float32")]
    half = [call(numbers(2, 3, dtype="float16"), **named).upto(1)]
    return [call(x, **named) for x in xs] + [
        call(special, **named).upto(1),
        call(special.astype("float32"), **named).upto(1),
        *half,
    ]


def pointwise_loss(**named: object) -> list[Call]:
    """A loss of two tensors of one shape."""
    y = numbers(4, 3, phase=0.7)
    return [
        *[call(ROWS, y, reduction=r, **named) for r in REDUCTIONS], call(ROWS, y, **named), call(ROWS, Constant(y), **named),
        call(POINT, np.array(0.3), **named), call(EMPTY, np.zeros((0, 3)), reduction="sum", **named), call(EMPTY, EMPTY, reduction="none", **named),
        call(ROWS.astype("float32"), Constant(y.astype("float32")), **named), call(ROWS, numbers(4, 3, phase=0.7, dtype="float32"), **named),
        call(ROWS.astype("float16"), Constant(y.astype("float16")), **named).upto(1), refused(ValueError, ROWS, y, reduction="total"),
        call(EMPTY, np.zeros((0, 3)), **named).upto(1), call(numbers(3, 4).T, y, **named),
    ]  # fmt: skip


def softmaxes() -> list[Call]:
    """softmax and log_softmax."""
    return [
        *[call(X, dim) for dim in (0, 1, 2, -1, -3)], call(POINT, 0), call(POINT, -1), call(EMPTY, 0), call(EMPTY, 1), call(np.zeros((3, 0)), 1),
        call(1000 * X, -1).upto(1), call(np.array([[1.0, -INF, 2.0], [-INF, -INF, 0.0]]), -1).upto(1), call(np.array([[-INF, -INF], [NAN, 1.0], [INF, 1.0]]), -1).upto(1),
        call(X.T, 1), call(X, dim=1, dtype=np.dtype("float32")), call(numbers(3, dtype="float32"), 0, dtype=np.dtype("float64")),
        call(whole(2, 3), 1, dtype=np.dtype("float32")), call(numbers(2, 3, dtype="float16"), 1).upto(1), refused(IndexError, X, 3),
    ]  # fmt: skip


def cross_entropies() -> list[Call]:
    """Class indices and probabilities, over (N, C), (C), (N, C, d…)."""
    each = [call(ROWS, CLASSES, reduction=r) for r in REDUCTIONS] + [call(ROWS, Constant(SOFT), reduction=r) for r in REDUCTIONS]
    smooth = [call(ROWS, t, label_smoothing=0.1, reduction=r) for r in REDUCTIONS for t in (CLASSES, SOME, Constant(SOFT))]
    heavy = [call(ROWS, t, weight=WEIGHT, reduction=r) for r in REDUCTIONS for t in (CLASSES, SOME, Constant(SOFT))]
    both = [
        call(ROWS, t, weight=WEIGHT, label_smoothing=0.2, reduction=r)
        for r in REDUCTIONS
        for t in (CLASSES, SOME, Constant(SOFT))
    ]
    ignore = [call(ROWS, SOME, reduction=r) for r in REDUCTIONS] + [
        call(ROWS, CLASSES, ignore_index=2),
        call(ROWS, CLASSES, ignore_index=-1),
    ]
    return [
        *each, *smooth, *heavy, *both, *ignore, call(X, PIXELS), call(X, PIXELS, weight=WEIGHT, reduction="none"), call(X, Constant(np.abs(X) / 6)),
        call(X, PIXELS, label_smoothing=0.1, ignore_index=1), call(numbers(2, 3, 2, 2), whole(2, 2, 2, low=0, high=3), reduction="sum"),
        call(numbers(3), np.array(1)), call(numbers(3), Constant(SOFT[0])), call(ROWS, np.full(4, -100)).upto(1), call(ROWS, np.full(4, -100), reduction="sum"),
        call(1000 * ROWS, CLASSES), call(ROWS.astype("float32"), CLASSES), call(ROWS.astype("float16"), CLASSES).upto(1), call(ROWS, SOFT), call(numbers(3, 4).T, CLASSES),
        call(np.zeros((0, 3)), np.zeros(0, "int64"), reduction="sum"), call(np.zeros((0, 3)), np.zeros(0, "int64"), reduction="none"),
        call(np.array([[1.0, -INF, 2.0]]), np.array([0])).upto(1), refused(IndexError, ROWS, np.array([0, 1, 3, 2])), refused(ValueError, ROWS, CLASSES[:3]),
        refused(RuntimeError, ROWS, CLASSES, label_smoothing=1.5), refused(RuntimeError, ROWS, CLASSES, weight=Constant(positive(4))),
    ]  # fmt: skip


def attention() -> list[Call]:
    """Masks of both kinds, causal, scale, more queries than keys."""
    q, k, v = numbers(2, 2, 3, 4), numbers(2, 2, 5, 4, phase=1), numbers(2, 2, 5, 4, phase=2)
    mask = truths(3, 5)
    mask[:, 0] = True
    return [
        call(q, k, v), call(q, q, q), call(q, q, v[:, :, :3], is_causal=True), call(q, k, v, is_causal=True), call(k, q, q, is_causal=True), call(q, k, v, attn_mask=mask),
        call(q, k, v, attn_mask=truths(2, 1, 3, 5) | mask), call(q, k, v, attn_mask=Constant(numbers(3, 5))), call(q, k, v, attn_mask=numbers(2, 1, 3, 5)),
        call(q, k, v, scale=0.3), call(q[0, 0], k[0, 0], v[0, 0]), call(q[0], k[0], v[0]), call(q.astype("float32"), k.astype("float32"), v.astype("float32")),
        call(numbers(1, 1, 2, 3), numbers(1, 1, 2, 3, phase=1), numbers(1, 1, 2, 5)), call(numbers(2, 1, 3, 4), k, v), call(1000 * q, k, v).upto(1),
        call(numbers(2, 3, 2, 4).transpose(0, 2, 1, 3), k, v),
    ]  # fmt: skip


EDGES: dict[str, list[Call]] = {f"nn.functional.{name}": calls for name, calls in {
    "linear": [
        refused(NotImplementedError, truths(2, 3), truths(4, 3)),
        call(ROWS, numbers(2, 3)), call(ROWS, numbers(2, 3), numbers(2)), call(X, numbers(5, 4), numbers(5)), call(numbers(3), numbers(2, 3), numbers(2)),
        call(numbers(3), numbers(3)), call(X, numbers(4)), call(np.zeros((0, 3)), numbers(2, 3), numbers(2)), call(ROWS, np.zeros((0, 3)), np.zeros(0)),
        call(numbers(2, 0), np.zeros((3, 0)), numbers(3)), call(numbers(3, 4).T, numbers(3, 2).T), call(ROWS.astype("float32"), numbers(2, 3, dtype="float32")),
        call(ROWS.astype("float16"), numbers(2, 3, dtype="float16"), numbers(2, dtype="float16")).upto(1), refused(RuntimeError, ROWS, numbers(2, 4)),
        refused(RuntimeError, ROWS, numbers(2, 3), numbers(3)), refused(RuntimeError, ROWS, numbers(2, 3, dtype="float32")), call(numbers(3, 3), numbers(3, 3)),
    ],
    "relu": [*activation(), call(whole(5)), call(whole(5, low=0, dtype="uint8"))], "gelu": [*activation(SPECIAL[3:]), *activation(SPECIAL[3:], approximate="tanh"), refused(RuntimeError, X, approximate="no")],
    "silu": activation(), "softplus": [*activation(), call(X, 2.0), call(X, 1, 1.5), call(np.array([19.0, 20.0, 21.0])).upto(1)], "sigmoid": activation(), "tanh": activation(),
    "elu": [*activation(SPECIAL[1:]), call(np.array([0.0, -0.0, 1.0]), 0.5).upto(1), call(X, 0.5)], "leaky_relu": [*activation(), call(X, 0.3)], "logsigmoid": activation(), "mish": activation(),
    "softmax": softmaxes(), "log_softmax": softmaxes(),
    "layer_norm": [
        call(X, (4,)), call(X, [4]), call(X, (3, 4)), call(X, (2, 3, 4)), call(X, (4,), numbers(4), numbers(4, phase=1)), call(X, (4,), numbers(4)), call(X, (4,), None, numbers(4)),
        call(X, (3, 4), numbers(3, 4), numbers(3, 4, phase=1), 1e-3), call(X, (4,), eps=0.1), call(numbers(2, 1), (1,)), call(np.ones((2, 3)), (3,)).upto(1), call(EMPTY, (3,)),
        call(numbers(2, 4, dtype="float32"), (4,), numbers(4, dtype="float32")), call(numbers(2, 4, dtype="float16"), (4,)).upto(1), call(X.T, (2,)), call(numbers(3), (3,)),
        refused(RuntimeError, X, (3,)), refused(RuntimeError, X, (4,), numbers(3)), call(100 + X, (4,)),
    ],
    "rms_norm": [call(X, (4,)), call(X, [4], numbers(4)), call(X, (3, 4), numbers(3, 4), 1e-3), call(X, (4,), eps=0.1), call(numbers(2, 4, dtype="float32"), (4,)), call(EMPTY, (3,))],
    "dropout": [call(X, 0.0), call(X, 0.5, False), call(X, 1.0), call(POINT, 0.3, training=False), call(EMPTY, 0.5), refused(ValueError, X, -0.1), refused(ValueError, X, 1.5)],
    "embedding": [
        call(CLASSES, ROWS), call(PIXELS, ROWS), call(np.array(1), ROWS), call(np.zeros(0, "int64"), ROWS), call(np.array([1, 1, 1]), ROWS), call(CLASSES.astype("int32"), ROWS),
        call(CLASSES, ROWS, padding_idx=2), call(CLASSES, ROWS, padding_idx=-2), call(CLASSES, ROWS.astype("float32")), call(CLASSES, numbers(3, 4).T),
        refused(IndexError, np.array([4]), ROWS), refused(IndexError, np.array([-1]), ROWS), call(CLASSES, ROWS, scale_grad_by_freq=True).upto(1),
    ],
    "cross_entropy": cross_entropies(),
    "nll_loss": [
        *[call(ROWS, t, reduction=r) for r in REDUCTIONS for t in (CLASSES, SOME)], *[call(ROWS, SOME, weight=WEIGHT, reduction=r) for r in REDUCTIONS], call(X, PIXELS),
        call(X, PIXELS, ignore_index=1, reduction="sum"), call(numbers(3), np.array(1)), call(ROWS, np.full(4, -100)).upto(1), call(numbers(2, 3, 2, 2), whole(2, 2, 2, low=0, high=3)),
    ],
    "mse_loss": pointwise_loss(), "l1_loss": [*pointwise_loss(), call(ROWS, ROWS.copy()).upto(1)],
    "huber_loss": [*pointwise_loss(), *pointwise_loss(delta=0.5), call(np.array([1.0, -1.0, 0.0]), np.zeros(3)).upto(1)],
    "smooth_l1_loss": [*pointwise_loss(), *pointwise_loss(beta=0.5)],
    "binary_cross_entropy_with_logits": [
        *[call(ROWS, Constant(SOFT), reduction=r) for r in REDUCTIONS], *[call(ROWS, Constant(SOFT), weight=Constant(positive(3)), reduction=r) for r in REDUCTIONS],
        *[call(ROWS, Constant(SOFT), pos_weight=Constant(positive(3)), reduction=r) for r in REDUCTIONS], call(ROWS, SOFT), call(1000 * ROWS, Constant(SOFT)),
        call(ROWS, Constant(SOFT), weight=Constant(positive(4, 3)), pos_weight=Constant(positive(3, phase=1))), call(POINT, Constant(np.array(1.0))), call(EMPTY, Constant(EMPTY), reduction="sum"),
        call(ROWS.astype("float32"), Constant(SOFT.astype("float32"))), call(np.array([0.0, 0.0]), Constant(np.array([0.0, 1.0]))).upto(1), refused(ValueError, ROWS, Constant(SOFT[:2])),
    ],
    "kl_div": [
        *[call(np.log(SOFT + 0.1), Constant(SOFT), reduction=r) for r in (*REDUCTIONS, "batchmean")], *[call(ROWS, np.log(SOFT + 0.1), reduction=r, log_target=True) for r in (*REDUCTIONS, "batchmean")],
        call(ROWS, positive(4, 3)), call(ROWS, positive(3), reduction="sum"), call(POINT, Constant(np.array(0.5))),
    ],
    "normalize": [
        call(X), call(X, dim=-1), call(X, 1.0, 2), call(X, p=3, dim=0), call(X, 2.0, (1, 2)), call(np.zeros((2, 3))).upto(1), call(np.array([[3.0, 4.0], [1e-13, 0.0]])).upto(1),
        call(numbers(3), dim=0), call(X, eps=10.0), call(EMPTY), call(numbers(2, 3, dtype="float32")), call(X, INF, 1),
    ],
    "cosine_similarity": [
        call(X, numbers(2, 3, 4, phase=1)), call(X, numbers(2, 3, 4, phase=1), dim=-1), call(X, numbers(4), dim=2), call(numbers(3), numbers(3, phase=1), dim=0), call(ROWS, ROWS),
        call(np.zeros((2, 3)), numbers(2, 3)).upto(1), call(ROWS.astype("float32"), numbers(4, 3, phase=1)), call(X, numbers(2, 1, 4, phase=1), dim=0), call(ROWS, numbers(4, 3, phase=1), eps=10.0).upto(1),
    ],
    "one_hot": [call(CLASSES), call(CLASSES, 5), call(PIXELS, num_classes=3), call(np.array(1), 3), call(np.zeros(0, "int64"), 3), refused(RuntimeError, CLASSES, 2), refused(RuntimeError, np.array([-1])), refused(RuntimeError, np.zeros(0, "int64"))],
    "pad": [
        call(X, (1, 2)), call(X, (1, 2, 0, 1)), call(X, (0, 0, 2, 1, 1, 0)), call(X, (1, 1), value=2.5), call(X, (-1, -1)), call(X, (1, -2, -1, 2)), call(X, (0, 0)), call(X, ()),
        call(numbers(3), (2, 0)), call(EMPTY, (1, 1)), call(EMPTY, (0, 0, 1, 2)), call(whole(3), (1, 1), value=7), call(truths(3), (1, 0), value=True), call(numbers(3, dtype="float32"), (1, 1), value=0.5),
        call(X, (1, 2), mode="reflect"), call(X, (1, 2), mode="replicate"), call(X, (1, 2), mode="circular"), refused(RuntimeError, X, (1, 2, 3)), refused(RuntimeError, numbers(3), (1, 1, 1, 1)), refused(RuntimeError, numbers(3), (-2, -2)),
    ],
    "scaled_dot_product_attention": attention(),
    "glu": [call(X), call(X, 0 - 1), call(ROWS, 0), refused(RuntimeError, ROWS, 1), refused(NotImplementedError, whole(2, 4)), call(np.array([-INF, -20.0], "float16")).upto(0)],
}.items()}  # fmt: skip
