"""A linear-chain conditional random field (Lafferty, McCallum and Pereira 2001), as Lample et al. (2016, arXiv 1603.01360,
section 2.2) put it on top of a network: whole sequences of tags are judged, not each tag alone.

    s(x, y) = Σₜ e[t, yₜ] + A[start, y₁] + Σₜ A[yₜ₋₁, yₜ] + A[y_T, end],      p(y | x) = exp s(x, y) / Z,  Z = Σ_y' exp s(x, y')

e are the network's scores of each word's tags, A is learnt. Z sums over Kᵀ sequences in T steps (forward algorithm). Its
gradient by e are the tags' marginal probabilities: backpropagation is the backward algorithm. The best sequence is Viterbi's.
Read before: minitorch/nn/module.py. Read next: lstm_crf.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import minitorch
from minitorch import nn

FORBIDDEN = -10_000.0  # exp of it is 0
ENTITY = re.compile(r"O|[BIESLUM]([-_].+)?")


class CRF(nn.Module):
    """Scores of transitions between K tags. ``allowed``: bools (start (K,), between (K, K), end (K,)); None allows all."""

    def __init__(self, tags: int, allowed: tuple[Any, Any, Any] | None = None) -> None:
        super().__init__()
        self.tags = tags
        for i, (name, shape) in enumerate((("start", (tags,)), ("between", (tags, tags)), ("end", (tags,)))):
            setattr(self, name, nn.Parameter(minitorch.zeros(*shape)))
            closed = np.zeros(shape) if allowed is None else np.where(allowed[i], 0, FORBIDDEN)
            self.register_buffer(f"closed_{name}", minitorch.tensor(closed, dtype=minitorch.float32), persistent=False)

    def transitions(self) -> tuple[Any, Any, Any]:
        """A for the start, between two tags, for the end; what is not allowed is out of reach."""
        return self.start + self.closed_start, self.between + self.closed_between, self.end + self.closed_end

    def log_partition(self, e: Any, lengths: np.ndarray) -> Any:
        """ln Z of each sequence: e (B, T, K) -> (B,).  αₜ[j] = e[t, j] + ln Σᵢ exp(αₜ₋₁[i] + A[i, j])"""
        start, between, end = self.transitions()
        steps = minitorch.unbind(e, 1)
        alpha = start + steps[0]  # (B, K)
        for t in range(1, len(steps)):
            new = minitorch.logsumexp(alpha.unsqueeze(2) + between, 1) + steps[t]  # (B, K, K) -> (B, K)
            going_on = minitorch.tensor(lengths > t).unsqueeze(1)
            alpha = new if (lengths > t).all() else minitorch.where(going_on, new, alpha)
        return minitorch.logsumexp(alpha + end, 1)

    def path_score(self, e: Any, tags: np.ndarray, lengths: np.ndarray) -> Any:
        """s(x, y) of given tags (B, T): (B,)"""
        start, between, end = self.transitions()
        rows, T = np.arange(len(tags)), tags.shape[1]
        inside = minitorch.tensor((np.arange(T) < lengths[:, None]).astype(np.float32)).to(e.dtype)  # (B, T)
        emitted = e[rows[:, None], np.arange(T), tags] * inside
        moves = between[tags[:, :-1], tags[:, 1:]] * inside[:, 1:]
        return emitted.sum(1) + start[tags[:, 0]] + moves.sum(1) + end[tags[rows, lengths - 1]]

    def log_likelihood(self, e: Any, tags: np.ndarray, lengths: np.ndarray) -> Any:
        """ln p(y | x) of each sequence: (B,)"""
        return self.path_score(e, tags, lengths) - self.log_partition(e, lengths)

    def marginals(self, e: Any, lengths: np.ndarray) -> np.ndarray:
        """p(yₜ = k | x) = ∂ ln Z / ∂ e[t, k]: (B, T, K), 0 behind the end."""
        with minitorch.enable_grad():
            scores = e.detach().requires_grad_()
            (p,) = minitorch.autograd.grad(self.log_partition(scores, lengths).sum(), [scores])
        return p.numpy()  # type: ignore[no-any-return]

    def decode(self, e: Any, lengths: np.ndarray) -> list[list[int]]:
        """The most probable tags of each sequence (Viterbi 1967): the forward algorithm with max in place of ln Σ exp."""
        start, between, end = (x.detach().numpy() for x in self.transitions())
        scores = e.detach().numpy()
        best = start + scores[:, 0]  # (B, K): of the best sequences that end with each tag
        before = np.zeros(scores.shape, int)  # and the tag before that one
        for t in range(1, scores.shape[1]):
            reached = best[:, :, None] + between  # (B, from, to)
            before[:, t] = reached.argmax(1)
            best = np.where((lengths > t)[:, None], reached.max(1) + scores[:, t], best)
        paths = []
        for i, n in enumerate(lengths):
            path = [int((best[i] + end).argmax())]
            for t in range(n - 1, 0, -1):
                path.append(int(before[i, t, path[-1]]))
            paths.append(path[::-1])
        return paths


def legal(labels: Sequence[str], sequences: Iterable[Sequence[str]] = ()) -> tuple[Any, Any, Any]:
    """Which tags may stand first, after each other, and last, by the rules of IOB2, IOBES and BILOU: for CRF.

    I-x, M-x, E-x and L-x continue an entity of type x. Where entities are closed (E, L, S or U occurs), an open one must be. What
    the training ``sequences`` do all the same is allowed, and so is everything where the tags mark no entities.
    """
    entities = all(ENTITY.fullmatch(tag) for tag in labels) and any(tag != "O" for tag in labels)
    closed = entities and any(tag[0] in "ESLU" for tag in labels)

    def goes_on(tag: str) -> bool:
        return tag[0] in "IMEL"

    def stays_open(tag: str) -> bool:
        return closed and tag[0] in "BIM"

    def fits(a: str, b: str) -> bool:
        if goes_on(b):
            return a[0] in "BIM" and a[1:] == b[1:]
        return not stays_open(a)

    start = np.array([not (entities and goes_on(b)) for b in labels])
    between = np.array([[not entities or fits(a, b) for b in labels] for a in labels])
    end = np.array([not (entities and stays_open(a)) for a in labels])
    index = {label: i for i, label in enumerate(labels)}
    for tags in sequences:
        ids = [index[tag] for tag in tags]
        start[ids[0]] = end[ids[-1]] = True
        between[ids[:-1], ids[1:]] = True
    return start, between, end
