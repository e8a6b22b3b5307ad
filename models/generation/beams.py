"""Beam search: of all continuations so far only the k most probable are pursued, and the best complete one wins.

    running: k hypotheses -> k·V continuations -> the 2k best -> those that end are finished, the best k others run on

Hugging Face's rules, step by step: a finished hypothesis of n new tokens scores Σ log p / n^length_penalty, and only one among
the k best continuations may finish. A prompt is done when k hypotheses are finished and, by ``early_stopping``, no running one
can become better. Such a search may prune the greedy text and end with a worse one; with ``keep_greedy`` the greedy text runs
along and takes part in the choice, so that no result scores below it.
Read before: decoder.py. Read next: gpt/decoding.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .decoder import Decoder, Generated, Ids, Stopping, filtered
from .filters import Logits, log_softmax
from .settings import GenerationConfig


class Beams:
    """The hypotheses for one prompt."""

    def __init__(self, config: GenerationConfig, most: int) -> None:
        self.config, self.k, self.most = config, config.num_beams, most  # most: new tokens that fit
        self.tokens: list[list[int]] = [[]]  # of the running hypotheses, the best first; one, the prompt, at the start
        self.scores = np.zeros(1)  # their Σ log p
        self.greedy: int | None = 0 if config.keep_greedy else None  # which of them is the greedy text; it may be behind the k
        self.finished: list[tuple[float, list[int]]] = [] if most else [(0.0, [])]  # at most k, the best first
        self.closed = self.done = most == 0  # closed: the greedy text alone runs on

    def advance(self, log_p: Logits, stop: Stopping) -> tuple[list[int], list[int]]:
        """log_p (running, V) of the next token -> for each new hypothesis the one that it continues, and its token."""
        V = log_p.shape[-1]
        total = (self.scores[:, None] + log_p).reshape(-1)  # (running · V,)
        candidates = 0 if self.closed else max(2, 1 + len(self.config.ends)) * self.k
        best = np.argsort(-total[: self.k * V], kind="stable")[:candidates]
        best = best[total[best] > -np.inf]
        at = -1  # where among them the greedy text goes on
        if self.greedy is not None:
            follow = self.greedy * V + int(log_p[self.greedy].argmax())
            best = best if follow in best else np.append(best, follow)
            at = best.tolist().index(follow)
        parents, ids = (best // V).tolist(), (best % V).tolist()
        texts = [[*self.tokens[parent], token] for parent, token in zip(parents, ids, strict=True)]
        n = len(texts[0])
        ends = [n == self.most or stop(text) for text in texts]
        scores = (total[best] / n**self.config.length_penalty).tolist()
        new = [(scores[i], texts[i]) for i, end in enumerate(ends) if end and (i < self.k or i == at)]
        self.finished = sorted([*self.finished, *new], key=lambda found: -found[0])[: self.k]  # stable: the older first
        keep = [i for i, end in enumerate(ends) if not end][: self.k]
        full = len(self.finished) == self.k
        self.closed = self.closed or not keep or (full and not self.hopeful(float(total[best[keep[0]]]), n))
        keep = [] if self.closed else keep
        if at >= 0 and not ends[at] and at not in keep:
            keep.append(at)
        self.greedy = keep.index(at) if at in keep else None
        self.tokens, self.scores, self.done = [texts[i] for i in keep], total[best[keep]], not keep
        return [parents[i] for i in keep], [ids[i] for i in keep]

    def hopeful(self, best: float, n: int) -> bool:
        """May a running hypothesis, now Σ log p = best with n tokens, still become better than the worst finished one?

        False supposes that it ends here; "never" looks at its best case: where length is favoured, the full length at no cost.
        """
        config = self.config
        if config.early_stopping is True:
            return False
        if config.early_stopping == "never" and config.length_penalty > 0:
            n = self.most
        return best / n**config.length_penalty > self.finished[-1][0]

    def results(self) -> list[tuple[float, list[int]]]:
        """The best complete hypotheses."""
        return self.finished[: self.config.num_return_sequences]


def search(
    decoder: Decoder, prompts: Ids, texts: Sequence[list[int]], config: GenerationConfig, stop: Stopping
) -> list[Generated]:
    """The best num_return_sequences continuations of each prompt, the best first."""
    beams = [Beams(config, config.new_tokens(len(text))) for text in texts]
    running = [i for i, beam in enumerate(beams) if not beam.done]
    logits = decoder(prompts)  # (B, V)
    if len(running) < len(prompts):
        decoder.reorder(np.array(running, np.int64))
        logits = logits[running]
    while running:  # the decoder's rows: each running prompt's hypotheses
        seen = [texts[i] + tokens for i in running for tokens in beams[i].tokens]
        log_p = filtered(log_softmax(logits.astype(np.float64)), seen, config)  # (rows, V)
        first, rows, ids = 0, [], []
        for i in running:
            last = first + len(beams[i].tokens)
            parents, tokens = beams[i].advance(log_p[first:last], stop)
            if not beams[i].done:
                rows += [first + parent for parent in parents]
                ids += tokens
            first = last
        running = [i for i in running if not beams[i].done]
        if running:
            decoder.reorder(np.array(rows, np.int64))
            logits = decoder(np.array(ids, np.int64)[:, None])
    return [Generated(i, tokens, score) for i, beam in enumerate(beams) for score, tokens in beam.results()]
