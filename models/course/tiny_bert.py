"""A small BERT, trained for a few steps with the learner's functions in place of the library's.

Each ``training_with_...`` replaces library functions with an assignment's for the length of a ``with`` block, trains, and
returns the losses and the gradients of the first step. ``training()`` replaces nothing; all must be ``alike``.
Read before: models/bert/model.py. Read next: lessons/assignments/.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

import minitorch
from minitorch import Tensor, graph, kernels, optim
from minitorch.nn import functional as F

from .testing import LEAK, close

STEPS = 6
LENGTH, BATCH, VOCABULARY, MASK = 12, 4, 40, 1
DEVIATION = 0.5  # of the first weights: with BERT's own 0.02 attention is uniform, and hardly anything in it shows


def model_and_batch() -> tuple[Any, dict[str, Tensor]]:
    """The model and one batch of "sentences": the same every time."""
    from models.bert.config import BertConfig
    from models.bert.model import BertForMaskedLM

    minitorch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=LENGTH, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, hidden_act="gelu_new",
        initializer_range=DEVIATION,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    ids = rng.integers(3, VOCABULARY, (BATCH, LENGTH))
    chosen = rng.random(ids.shape) < 0.25
    chosen[:, 1] = True
    seen = np.ones_like(ids)
    seen[0, 8:] = 0
    chosen &= seen == 1
    batch = {
        "input_ids": Tensor(np.where(chosen, MASK, ids)),
        "attention_mask": Tensor(seen),
        "labels": Tensor(np.where(chosen, ids, -100)),
    }
    return BertForMaskedLM(config), batch


def training(
    optimizer: Callable[[Any], Any] | None = None,
    before_step: Callable[[Any], None] | None = None,
    after_step: Callable[[], None] | None = None,
) -> dict[str, np.ndarray]:
    """The loss before each of a few AdamW steps on the batch, and the gradients at the first: AdamW hides their factors."""
    model, batch = model_and_batch()
    step = optimizer(model.parameters()) if optimizer else optim.AdamW(model.parameters(), lr=1e-2)
    history: list[float] = []
    gradients: dict[str, np.ndarray] = {}
    for _ in range(STEPS):
        loss = model(**batch).loss
        step.zero_grad()
        loss.backward()
        if before_step:
            before_step(model)
        if not history:
            gradients = {f"{GRADIENT}{n}": p.grad.array.copy() for n, p in model.named_parameters() if p.grad is not None}
        step.step()
        if after_step:
            after_step()
        history.append(loss.item())
    return {f"the losses of {STEPS} steps": np.array(history)} | gradients


GRADIENT = "step 1, gradient of "


def alike(trained: dict[str, np.ndarray]) -> dict[str, close]:
    """What must come out with the learner's functions, too: the numbers, but for rounding in float32."""
    largest = max((float(np.abs(g).max()) for name, g in trained.items() if name.startswith(GRADIENT)), default=0.0)
    return {name: close(x, 1e-3, 1e-5 * largest) if name.startswith(GRADIENT) else close(x, 3e-4) for name, x in trained.items()}


class DtypeError(Exception):
    """A function returned another dtype than float32, in which BERT trains."""


class Watched:
    """The learner's module, with a look at the dtype of each array that a function or its pullback returns."""

    def __init__(self, m: Any) -> None:
        self.m = m

    def __getattr__(self, name: str) -> Any:
        return watched(name, getattr(self.m, name))


def watched(name: str, function: Any) -> Any:
    """The function, or pullback, with the same look."""
    return lambda *args, **options: _looked_at(name, function(*args, **options))


def _looked_at(name: str, result: Any) -> Any:
    if isinstance(result, np.ndarray) and result.dtype.kind == "f" and result.dtype != np.float32:
        raise DtypeError(f"{name} returns {result.dtype} where all that comes in is float32; {LEAK}")
    if isinstance(result, tuple | list):
        return tuple(_looked_at(name, part) for part in result)
    return watched(f"the pullback of {name}", result) if callable(result) else result


class BorrowedError(Exception):
    """A function changed an array in place that is not its own."""


class Lent:
    """Arrays that are lent to the learner's function, and their numbers."""

    def __init__(self) -> None:
        self.arrays: list[tuple[np.ndarray, np.ndarray]] = []

    def lend(self, array: np.ndarray) -> np.ndarray:
        """The array, which is looked at again later."""
        self.arrays.append((array, array.copy()))
        return array

    def look(self, name: str) -> None:
        """BorrowedError if one of them has other numbers now."""
        changed = any(not np.array_equal(now, before, equal_nan=True) for now, before in self.arrays)
        self.arrays.clear()
        if changed:
            raise BorrowedError(f"{name} changes an array in place that others hold: a + b makes a new array, a += b changes a")


@contextlib.contextmanager
def replaced(*places: tuple[Any, str, Any]) -> Iterator[list[str]]:
    """Within the block ``place.name`` is the given function, for each triple; yields the list of names called.

    A name that is never called is an error: then what ran was the library's own.
    """
    called: list[str] = []

    def noted(name: str, function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            called.append(name)
            return function(*args, **options)

        return call

    with contextlib.ExitStack() as stack:
        for place, name, function in places:
            stack.enter_context(mock.patch.object(place, name, noted(name, function)))
        yield called
    unused = {name for _, name, _ in places} - set(called)
    if unused:
        raise RuntimeError(f"BERT ran without calling {', '.join(sorted(unused))}: this is a mistake of the course, not yours")


# ------------------------------------------------------------------------------------------- 1: scalar autograd


class _Step:
    """A node of the library's graph in the form of assignment 1: parents, pullbacks, grad."""

    def __init__(self, node: Any) -> None:
        self.node, self.parents, self.pullbacks, self.grad = node, (), (), 0.0


def training_with_scalar_engine(m: Any) -> dict[str, np.ndarray]:
    """The learner's topological_order and backward walk the graph of BERT."""
    lent = Lent()

    def backward(loss: Tensor) -> None:
        assert loss.node is not None
        steps = _steps(loss.node, lent)
        m.backward(steps[loss.node])
        lent.look("backward")
        for node, step in steps.items():
            if type(node) is graph.Leaf:
                node.receive(np.asarray(step.grad, node.dtype).reshape(node.shape), False)

    with replaced((Tensor, "backward", backward)):
        return training()


def _steps(root: Any, lent: Lent) -> dict[Any, _Step]:
    """A _Step for each ancestor of ``root``, with broadcasting undone on the way to each parent."""
    order, _ = graph.youngest_first([root], None)
    steps = {node: _Step(node) for node in order}
    for node, step in steps.items():
        edges = [(i, parent) for i, parent in enumerate(node.parents) if parent is not None]
        step.parents = tuple(steps[parent] for _, parent in edges)
        step.pullbacks = tuple(_edge(node, i, lent) for i, _ in edges)
    return steps


def _edge(node: Any, i: int, lent: Lent) -> Callable[[Any], Any]:
    parent = node.parents[i]

    def pullback(g: Any) -> Any:
        g = np.asarray(g, node.dtype)
        g = np.broadcast_to(g, node.shape) if node.shape is not None else g
        contribution = graph.pull_back(node, node.parents, g, False)[i]
        return lent.lend(graph.undo_broadcast(np.asarray(contribution), parent.shape))

    return pullback


# ------------------------------------------------------------------------------------------ 2: tensor operations


def training_with_tensor_operations(m: Any) -> dict[str, np.ndarray]:
    """The learner's undo_broadcast, matmul and take_rows inside of the engine."""
    m = Watched(m)

    def matmul(a: Any, b: Any) -> Any:
        y, pullbacks = m.matmul(a, b)
        return y, tuple(pullbacks)

    def linear(x: Any, weight: Any, bias: Any = None) -> Any:
        y = product(x, weight.mT)
        return y if bias is None else y + bias

    def embedding(input: Any, weight: Any, *_: Any) -> Any:
        return rows(weight, index=input.array)

    product = graph.op(matmul)
    rows = graph.op(lambda table, *, index: m.take_rows(table, index))
    with replaced(
        (graph, "undo_broadcast", lambda g, shape: m.undo_broadcast(g, tuple(shape))),
        (F, "linear", linear),
        (F, "embedding", embedding),
    ):
        return training()


# ------------------------------------------------------------------------------------ 3: the engine and optimisers

CLIPS, WARMUP, DECAY = (0.5, 100.0), 2, 1.0  # every second step is clipped; the decay is so large that it shows


def training_with_engine(m: Any) -> dict[str, np.ndarray]:
    """The learner's accumulate in the engine, and AdamW, clipping and schedule after it."""
    m = Watched(m)

    class Learners(optim.Optimizer):
        def update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
            t = state["steps"] = state.get("steps", -1) + 1
            lr = 1e-2 * m.warmup_linear(t, WARMUP, STEPS)
            m.adamw_step(p, g, state.setdefault("learner", {}), lr, (0.9, 0.999), 1e-8, DECAY)

    library, lent = graph.accumulate, Lent()

    def accumulate(pending: Any, owned: Any, node: Any, g: Any, **fresh: Any) -> None:
        if type(g) is dict:
            library(pending, owned, node, g, **fresh)
            return
        g = graph.undo_broadcast(g, node.shape) if g.shape != node.shape else g
        m.accumulate(pending, node, lent.lend(g.astype(node.dtype, copy=False)))
        _looked_at("accumulate", pending[node])

    clips = itertools.cycle(CLIPS)

    def clip(model: Any) -> None:
        lent.look("accumulate")
        m.clip_gradients([p.grad.array for p in dict.fromkeys(model.parameters()) if p.grad is not None], next(clips))

    with replaced((graph, "accumulate", accumulate)):
        return training(lambda parameters: Learners(parameters, {}), clip)


def training_with_schedule() -> dict[str, np.ndarray]:
    """The library's own for the same run."""
    from minitorch.optim.lr_scheduler import get_linear_schedule_with_warmup

    schedules = []

    def optimizer(parameters: Any) -> Any:
        step = optim.AdamW(parameters, lr=1e-2, weight_decay=DECAY)
        schedules.append(get_linear_schedule_with_warmup(step, WARMUP, STEPS))
        return step

    clips = itertools.cycle(CLIPS)

    def clip(model: Any) -> None:
        minitorch.nn.utils.clip_grad_norm_(model.parameters(), next(clips))

    return training(optimizer, clip, lambda: schedules[0].step())


# --------------------------------------------------------------------------- 4: softmax, LayerNorm and attention


def training_with_attention(m: Any) -> dict[str, np.ndarray]:
    """The learner's heads, attention, softmax and LayerNorm inside of the model."""
    m = Watched(m)
    from models.bert.model import BertSelfAttention

    softmax = graph.op(lambda x, *, axis: m.softmax(x, axis))
    layer_norm = graph.op(lambda x, weight, bias, *, eps: m.layer_norm(x, weight, bias, eps))
    attention = graph.op(lambda q, k, v, *, mask: m.attention(q, k, v, mask))
    split = graph.op(lambda x, *, heads: (m.split_heads(x, heads), m.merge_heads))
    merge = graph.op(lambda x: (m.merge_heads(x), lambda g: m.split_heads(g, x.shape[1])))
    found: dict[str, int] = {}

    def forward(self: Any, asking: Any, x: Any, mask: Any, output_attentions: bool, past: Any = None) -> Any:
        parts = (self.query(asking), self.key(x), self.value(x))
        q, k, v = (split(part, heads=self.heads) for part in parts)
        raw_mask = None if mask is None else mask.array
        if not found:  # the first layer's first call also shows that softmax is the one that attention is made of
            found["softmax"] = 1
            scores = q @ k.mT * (q.shape[-1] ** -0.5)
            scores = scores if mask is None else scores + mask
            return merge(softmax(scores, axis=-1) @ v), None
        return merge(attention(q, k, v, mask=raw_mask)), None

    def norm(x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
        return layer_norm(x, weight, bias, eps=eps)

    def add_norm(x: Any, residual: Any, weight: Any, bias: Any, p: float, eps: float, training: bool) -> Any:
        return layer_norm(residual + F.dropout(x, p, training), weight, bias, eps=eps)

    with replaced((BertSelfAttention, "forward", forward), (F, "layer_norm", norm), (F, "dropout_add_layer_norm", add_norm)):
        return training()


# ------------------------------------------------------------------------- 5: masking, the loss and the head of BERT


def training_with_head(m: Any) -> dict[str, np.ndarray]:
    """The learner's padding mask, head and loss inside of the model."""
    m = Watched(m)
    from models.bert import model

    head = graph.op(lambda h, embeddings, bias: m.mlm_head(h, embeddings, bias))

    def loss_formula(logits: Any, *, labels: Any) -> Any:
        loss, pullback = m.mlm_loss(logits, labels)
        return np.asarray(loss, logits.dtype), lambda g: pullback(float(g))

    loss = graph.op(loss_formula)

    def masked_lm(decoder: Any, hidden: Any, labels: Any) -> Any:
        logits = head(decoder.transform(hidden), decoder.decoder.weight, decoder.decoder.bias)  # (B, S, V)
        return loss(logits, labels=labels.array), logits

    def additive_mask(attention_mask: Any, x: Any) -> Any:
        return None if attention_mask is None else Tensor(m.padding_mask(attention_mask.array, x.dtype))

    with replaced((model, "masked_lm", masked_lm), (model, "additive_mask", additive_mask)):
        return training()


# ----------------------------------------------------------------------------------------------- 6: fast kernels


def training_with_kernels(m: Any) -> dict[str, np.ndarray]:
    """The learner's GELU as the library's kernel, and the learner's Adam as the optimiser."""
    m = Watched(m)

    class Learners(optim.Optimizer):
        def update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
            if not state:
                state.update(t=0, m=np.zeros_like(p), v=np.zeros_like(p))
            state["t"] += 1
            m.fast_adam(p, g, state["m"], state["v"], state["t"], 1e-2, 0.9, 0.999, 1e-8)

    with kernels.use(gelu_tanh=lambda x: m.fast_gelu(x)):
        return training(lambda parameters: Learners(parameters, {}))


def training_with_adam() -> dict[str, np.ndarray]:
    """The library's own for the same run."""
    return training(lambda parameters: optim.Adam(parameters, lr=1e-2))
