"""Tagging with a conditional random field on hand-made features: what named entities were found with before neural networks.

p(tags | words) ∝ exp Σᵢ (Σₖ λₖ fₖ(words, i, tagᵢ) + μ(tagᵢ₋₁, tagᵢ)): the features of tagging.py, and a weight for each pair of
tags, which a classifier of single words lacks. Lafferty, McCallum and Pereira (2001). Okazaki's CRFsuite does the work (extra
``crf``).
Read before: tagging.py.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from .baselines import Baseline
from .tagging import word_features


class HandMadeCRF(Baseline):
    """CRFsuite with L-BFGS, at most 50 steps, and the penalty c‖λ‖²."""

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty

    def fit(self, examples: list[Any]) -> Baseline:
        try:
            import pycrfsuite
        except ModuleNotFoundError:
            raise RuntimeError("python-crfsuite is not installed: pip install -e '.[crf]'") from None
        trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
        trainer.set_params({"c1": 0.0, "c2": self.penalty, "max_iterations": 50, "feature.possible_transitions": True})
        for s in examples:
            trainer.append([list(f) for f in word_features(s.words)], s.tags)
        self.tagger = pycrfsuite.Tagger()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.crfsuite"
            trainer.train(str(path))
            self.size = path.stat().st_size
            self.tagger.open(str(path))  # reads all of it; open_inmemory would leave a pointer into bytes that Python frees
        self.info = self.tagger.info()
        self.parameters = len(self.info.state_features) + len(self.info.transitions)
        return self

    def predict(self, examples: list[Any]) -> list[list[str]]:
        return [self.tagger.tag([list(f) for f in word_features(s.words)]) for s in examples]

    def weights_of_words(self, most: int = 10) -> list[str]:
        """The heaviest features, and pairs of tags."""
        heavy = sorted(self.info.state_features.items(), key=lambda item: -abs(item[1]))[:most]
        pairs = sorted(self.info.transitions.items(), key=lambda item: -abs(item[1]))[: most // 2]
        features = ", ".join(f"{name} for {tag} {weight:+.2f}" for (name, tag), weight in heavy)
        return [f"heaviest features: {features}", "pairs of tags: " + ", ".join(f"{a} {b} {w:+.2f}" for (a, b), w in pairs)]
