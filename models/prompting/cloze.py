"""Template and words as a task: examples become cloze questions, the answer at [MASK] becomes class probabilities.

Fine-tuning it trains the whole masked LM by cross entropy over the class scores (Gao et al., 2021, equation 1). It starts from
what pretraining taught, where a new head starts at random.
Read before: template.py, verbalizer.py, models/finetuning/classify.py. Read next: use.py.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor

from ..bert.model import BertForMaskedLM
from ..checkpoints.files import PRETRAINED
from ..errors import BadInput, listing
from ..finetuning import tasks
from ..finetuning.classify import Classify, Example
from ..finetuning.tasks import Feature, Task
from ..text.tokenizer import Tokenizer
from ..training.settings import flag, option
from .calibration import CALIBRATIONS
from .template import Template
from .verbalizer import EXAMPLE, RULES, Verbalizer, find_words, parse_words

METRICS = ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "matthews")
AUTO = re.compile(r"auto(?::([1-9]\d?))?")
MISSING = f"--words is missing: a word for each class, as --words {EXAMPLE}"
OPTIONS = (  # of the command: a prompt's own settings, and those of fine-tuning that apply
    "template", "words", "rule", "calibrate", "demonstrations", "steps", "curve", "sizes", "draws", "model", "train", "test",
    "output", "text", "pair", "label", "columns", "delimiter", "encoding", "length", "truncate", "lr", "warmup", "metric",
    "batch_size", "weight_decay", "clip", "dropout", "threads", "seed", "device", "precision",
)  # fmt: skip


@dataclass
class Settings(tasks.Settings):
    """Every choice of a prompt; each is an option of ``minitorch prompt`` and a key of its TOML file."""

    model: str = option(PRETRAINED, "folder of a masked LM, or one that this command wrote, to be used as it is")
    template: str = option("{text} It was [MASK].", "frame around a text with one [MASK]; {pair}: the second text of a pair")
    words: str = option("", f"words for the classes, as {EXAMPLE}; auto or auto:N finds N for each class from --train (auto: 3)")
    train: str = option("", "few-shot: file with the examples to learn from")
    test: str = option("", "file with examples to score on")
    rule: str = option("mean", "score of a class with several words: mean of their logits, or sum of their probabilities")
    calibrate: str = option("none", "take out the model's leaning to a word: contextual, pmi or none")
    demonstrations: int = option(0, "sets of training examples, one of each class, to show after a text; answers are averaged")
    steps: int = option(100, "training steps; 0: none, --train serves for words and demonstrations alone")
    curve: bool = option(False, "score against the number of training examples, next to other methods (table, picture, JSON)")
    sizes: str = option("0,4,16,64,256", "curve: numbers of training examples")
    draws: int = option(5, "curve: how many times the examples are drawn; the table has mean and deviation")
    metric: str = option("accuracy", f"curve: the score, of {', '.join(METRICS)}")
    output: str = option("runs/prompt", "folder for the trained model, or the curve")
    batch_size: int = option(16, "examples per step")
    lr: float = option(None, "highest learning rate", "of three, the best on half of the training examples")
    # not options: a cloze answers with classes, and one example of a class is enough
    task: str = option("classify", "")
    targets: str = option("classes", "")
    min_examples: int = option(1, "")

    def check(self) -> None:
        """Raise BadInput for settings that cannot work, before anything is read."""
        lr = self.lr
        super().check()
        self.check_values(steps=(0, np.inf), demonstrations=(0, 64), draws=(1, 1000))
        self.lr = lr  # if there is none, it is chosen later
        for name, allowed in (("rule", RULES), ("calibrate", ("none", *CALIBRATIONS)), ("metric", METRICS)):
            if getattr(self, name) not in allowed:
                raise BadInput(f"{flag(name)} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")
        if self.demonstrations and not self.train:
            raise BadInput("--demonstrations come from labelled examples: give --train FILE")
        if self.finds and not self.train:
            raise BadInput("--words auto finds the words from labelled examples: give --train FILE")

    @property
    def finds(self) -> int:
        """How many words per class are to be found; 0: they are given."""
        found = AUTO.fullmatch(self.words)
        return int(found[1] or 3) if found else 0


class Cloze(Classify):
    """One class for a text or a pair, by the word at the mask."""

    name = "cloze"
    kind = BertForMaskedLM

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        if not settings.words:
            raise BadInput(MISSING)
        self.label_words = {} if settings.finds else parse_words(settings.words)
        self.labels = list(self.label_words)
        self.pool: list[Example] = []  # labelled examples, for demonstrations and to find words from

    # ---- examples

    def learn(self, examples: list[Example]) -> None:
        """The labels are those of the words; without words, those of the examples."""
        if not self.label_words:
            super().learn(examples)
            return
        self.check(examples)
        there = {self.names(e)[0] for e in examples}
        for label, words in self.label_words.items():
            if label not in there:
                raise BadInput(f"{self.s.train}: no example has the label {label!r}, for which --words has {words[0]!r}")

    def check(self, examples: list[Example]) -> None:
        """Every label needs a word."""
        if self.s.finds:
            super().check(examples)
            return
        for e in examples:
            if (label := self.names(e)[0]) not in self.labels:
                words = [word for some in self.label_words.values() for word in some]
                hint = "; the word comes first: word:label" if label in words else ""
                raise BadInput(
                    f"{e.where}: --words has no word for the label {label!r}; it names {listing(self.labels, 8)}{hint}"
                )

    def facts(self) -> dict[str, Any]:
        pool = [[e.text, e.pair, self.names(e)[0]] for e in self.pool] if self.s.demonstrations else []
        if not self.columns:  # no file was read: texts are typed
            self.columns = {"text": "text", "pair": "pair" if "{pair}" in self.s.template else "", "label": "label"}
        return {**super().facts(), "words": self.label_words, "pool": pool}

    def remember(self, facts: dict[str, Any]) -> None:
        super().remember(facts)
        self.label_words = {label: [str(word) for word in words] for label, words in facts["words"].items()}
        self.pool = [e if isinstance(e, Example) else Example(*e, where="") for e in facts["pool"]]
        if self.label_words and list(self.label_words) != self.labels:
            raise ValueError("its words are not of its labels")

    # ---- the model

    def config(self) -> dict[str, Any]:
        return {}

    def extend(self, tokenizer: Tokenizer, model: Any) -> list[str]:
        """The template and the words in this vocabulary; words that are not given are found from the pool."""
        self.template = Template(self.s.template, tokenizer)
        if self.columns and bool(self.columns["pair"]) != self.template.takes_pair:
            lacking = "--template has {pair}, but the file has no second text (--pair NAME says which column it is)"
            more = f'the file has a second text, "{self.columns["pair"]}": write {{pair}} into --template where it is to stand'
            raise BadInput(lacking if self.template.takes_pair else more)
        self.s.length = self.s.length or min(128, model.config.max_position_embeddings)
        if self.s.length > model.config.max_position_embeddings:
            raise BadInput(f"--length {self.s.length}: the model reads at most {model.config.max_position_embeddings} pieces")
        if not self.label_words:
            self.label_words = find_words(self.mean_log_p(tokenizer, model), self.labels, tokenizer, self.s.finds)
        self.verbalizer = Verbalizer(self.label_words, tokenizer, self.s.rule)
        return []

    def mean_log_p(self, tokenizer: Tokenizer, model: Any) -> Any:
        """(C, V): the mean over each class's examples of log p(word at the mask)."""
        features = self.features(self.pool, tokenizer, shown=False)
        sums = np.zeros((len(self.labels), len(tokenizer)))
        for i in range(0, len(features), 32):
            batch = self.batch(features[i : i + 32], tokenizer)
            targets = batch.pop("labels").numpy()
            with minitorch.no_grad():
                log_p = F.log_softmax(model(**batch).logits[:, 0], -1).numpy()  # (B, V)
            np.add.at(sums, targets, log_p[:, : len(tokenizer)])
        return sums / np.bincount([f.target for f in features], minlength=len(self.labels))[:, None]

    def features(self, examples: list[Example], tokenizer: Tokenizer, shown: bool = True, free: bool = False) -> list[Feature]:
        """For each example a question, or with demonstrations one for each set. ``free``: texts that may be empty."""
        sets = self.s.demonstrations if shown else 0
        asked, pool = self.encoded(examples, tokenizer, free), self.encoded(self.pool, tokenizer) if sets else []
        members = [[j for j, e in enumerate(self.pool) if self.target(e) == c] for c in range(len(self.labels))] if sets else []
        features = []
        for i, (e, texts) in enumerate(zip(examples, asked, strict=True)):
            if not all(texts) and not free:
                raise BadInput(f"{e.where}: the text is empty: it holds nothing but characters that the tokenizer leaves out")
            for k in range(max(1, sets)):
                chosen = [(j, c) for c, some in enumerate(members) for j in self.chosen(e, k, c, some)]
                demonstrations = [(pool[j], self.verbalizer.ids[self.labels[c]][0]) for j, c in chosen]
                ids, at = self.template.ask(texts, self.s.length, self.s.truncate, demonstrations)
                features.append(Feature(i, ids, [0] * len(ids), None if e.target is None else self.target(e), at))
        return features

    def encoded(self, examples: list[Example], tokenizer: Tokenizer, special: bool = False) -> list[list[list[int]]]:
        """Of each example the ids of its text, or of both of a pair."""
        parts = [[e.text for e in examples], *([[e.pair or "" for e in examples]] if self.template.takes_pair else [])]
        return [list(texts) for texts in zip(*(tokenizer.encode_lines(part, special) for part in parts), strict=True)]

    def chosen(self, e: Example, k: int, c: int, members: list[int]) -> list[int]:
        """Which of the class's members is shown in set k: drawn for each text, but never that text itself."""
        others = [j for j in members if (self.pool[j].text, self.pool[j].pair) != (e.text, e.pair)]
        rng = np.random.default_rng([self.s.seed, k, c, zlib.crc32(f"{e.text}\t{e.pair}".encode())])
        return [others[int(rng.integers(len(others)))]] if others else []

    def batch(self, features: Sequence[Feature], tokenizer: Tokenizer) -> dict[str, Tensor]:
        """The last layer is computed at the mask alone."""
        return {**Task.batch(self, features, tokenizer), "rows": minitorch.tensor([[f.extra] for f in features])}  # (B, 1)

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Any]:
        output = model(**{name: value for name, value in batch.items() if name != "labels"})
        return F.cross_entropy(self.verbalizer(output.logits[:, 0]), batch["labels"]), output

    def rows(self, output: Any, features: Sequence[Feature]) -> list[Any]:
        with minitorch.no_grad():
            return list(self.verbalizer(output.logits[:, 0]).cpu().numpy())

    def predictions(self, examples: list[Example], features: Sequence[Feature], rows: Sequence[Any]) -> list[Any]:
        """Class probabilities, averaged over the sets of demonstrations."""
        p = np.stack(super().predictions(examples, features, rows))
        return list(p.reshape(len(examples), -1, p.shape[1]).mean(1))
