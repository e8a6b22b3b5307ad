"""relation: how two entities are related that a text marks: the <e1>cause</e1> of an <e2>effect</e2>.

    [CLS] the [E1] cause [/E1] of an [E2] effect [/E2] . [SEP]
              h_i                    h_j                          p = softmax(W [h_i; h_j] + b)

Four new tokens mark where the entities begin and end, and the head reads BERT's last states at the two that begin one. Baldini
Soares, FitzGerald, Ling and Kwiatkowski (2019), "Matching the Blanks: Distributional Similarity for Relation Learning",
https://arxiv.org/abs/1906.03158, section 3: "entity markers" as input, "entity start" as output (figure 3f), the best of six.
With --head cls it reads the pooled [CLS] (figure 3d).
Read before: tasks.py, models/text/marked.py. Read next: qa.py.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor, nn

from ..bert.config import BertConfig
from ..bert.masked_rows import first_alone
from ..bert.model import BertForSequenceClassification, BertModel, PreTrained, classifier_dropout, with_logits
from ..classical import baselines
from ..errors import BadInput, listing
from ..text.marked import Marked, occurrences, read_marked, unmarked
from ..text.tokenizer import Tokenizer
from . import metrics
from .calibration import log_probabilities, softmax
from .labels import names_in, natural
from .tasks import Feature, Task

MARKERS = {"<e1>": "[E1]", "</e1>": "[/E1]", "<e2>": "[E2]", "</e2>": "[/E2]"}  # in a text, and as tokens
LEFT_OUT = ("other", "no_relation", "norelation", "no relation", "na", "none")  # names of the class that says "no such relation"


class BertForRelation(PreTrained):
    """One label for two places of a text: dropout, then a linear layer on their last hidden states, one after the other."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = classifier_dropout(config)
        self.classifier = nn.Linear(2 * config.hidden_size, config.num_labels)
        self.initialize()

    def forward(self, *inputs: Any, entities: Tensor, labels: Tensor | None = None, **options: Any) -> Any:
        """entities (B, 2): the positions of [E1] and [E2], the only rows that the last layer computes; labels (B,)."""
        return_dict = options.pop("return_dict", None)
        encoded = self.bert(*inputs, rows=entities, **options)
        states = encoded.last_hidden_state  # (B, 2, H)
        pair = states.reshape(states.shape[0], -1)  # (B, 2H): [h_i; h_j]
        logits = self.classifier(self.dropout(pair))  # (B, num_labels)
        return with_logits(logits, None if labels is None else F.cross_entropy(logits, labels), encoded, return_dict)


class Relation(Task):
    """A relation, often with a direction, of two marked entities."""

    name = "relation"
    metric = "relation_f1"
    targets = "classes"  # for the linear models
    usage = "'a text with <e1>two</e1> <e2>marks</e2>'"
    words = tuple(MARKERS.values())

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.columns: dict[str, str] = {}
        if 0 < settings.length < 8:
            raise BadInput(
                f"--length must be at least 8, room for [CLS], [SEP] and two entities with their marks, not {settings.length}"
            )

    @property
    def kind(self) -> Any:
        """The head on the entities' starts, or on [CLS]."""
        return BertForSequenceClassification if self.s.head == "cls" else BertForRelation

    # ---- examples

    def read(self, path: str, labelled: bool = True) -> list[Marked]:
        asked = {name: getattr(self.s, name) for name in ("text", "label", "e1", "e2")}
        where = (self.table, self.s.encoding, bool(self.s.columns), labelled)
        examples = read_marked(path, self.columns, asked, self.notes, *where)
        if not self.s.merge_directions:
            return examples
        return [dataclasses.replace(e, label=metrics.undirected(e.label)) for e in examples]

    def from_text(self, texts: Sequence[str]) -> list[Marked]:
        """With marks inside; or the text and the two entities, with tabs between them."""
        examples = []
        for i, line in enumerate(texts, 1):
            text, *entities = (part.strip() for part in line.split("\t"))
            places = [occurrences(words, text)[:1] for words in entities if words]
            if entities and (len(entities) != 2 or not all(places) or len(places) < 2 or places[0] == places[1]):
                raise BadInput(f"text {i}: give the text and two different parts of it, with tabs between them; or mark them")
            e1e2 = (text, places[0][0], places[1][0]) if entities else unmarked(text, f"text {i}")
            examples.append(Marked(*e1e2, "", f"text {i}"))
        return examples

    def learn(self, examples: list[Marked]) -> None:
        seen = Counter(e.label for e in examples)
        if len(seen) < 2:
            raise BadInput(f"{examples[0].where}: all training examples have the label {next(iter(seen))!r}; there must be two")
        self.labels = sorted(seen, key=natural)
        if rare := [label for label in self.labels if seen[label] == 1]:
            self.notes.append(f"of {listing(rare)} there is one training example, which is hardly enough to learn from")
        self.left_out = self.find_left_out()
        if self.left_out:
            self.notes.append(f"F1 is averaged over all relations but {', '.join(self.left_out)} (--leave-out names others)")
        self.set_class_weights([seen[label] for label in self.labels])

    def find_left_out(self) -> list[str]:
        """The classes that are in no average."""
        if self.s.leave_out == "auto":
            return [label for label in self.labels if label.casefold() in LEFT_OUT][:1]
        asked = [name for name in names_in(self.s.leave_out) if name]
        known = {metrics.undirected(label) for label in self.labels}
        if unknown := [name for name in asked if name not in known]:
            raise BadInput(f"--leave-out: there is no relation {unknown[0]!r}; there are {listing(sorted(known), 12)}")
        if len(asked) == len(known):
            raise BadInput("--leave-out names all relations: nothing would be scored")
        return asked

    def check(self, examples: list[Marked]) -> None:
        known, relations = set(self.labels), {metrics.undirected(label) for label in self.labels}
        for e in examples:
            if e.label not in known:
                there = listing(self.labels, 8)
                cure = "; --merge-directions takes both directions as one" if metrics.undirected(e.label) in relations else ""
                raise BadInput(f"{e.where}: the label {e.label!r} is not among those of the training examples: {there}{cure}")

    def group(self, example: Marked, index: int) -> Any:
        return example.text  # a sentence may ask for several pairs of entities

    def kinds(self, example: Marked) -> list[str]:
        """Its label, of which training and held-out examples get their shares."""
        return [example.label]

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "columns": self.columns, "left_out": self.left_out}

    def remember(self, facts: dict[str, Any]) -> None:
        super().remember(facts)
        self.columns, self.left_out = dict(facts["columns"]), list(facts["left_out"])
        known = not self.columns or {"text", "label", "e1", "e2"} <= self.columns.keys()
        if not known or not all(isinstance(name, str) for name in [*self.columns.values(), *self.left_out]):
            raise ValueError("its columns or the relations that are left out are unknown")

    # ---- the model

    def extend(self, tokenizer: Tokenizer, model: Any) -> list[str]:
        """The four markers become tokens, with embeddings that start at random."""
        new = tokenizer.extend(list(self.words))
        if len(tokenizer) > model.config.vocab_size:
            model.resize_token_embeddings(len(tokenizer))
        if not new:
            return []
        return [f"the embeddings of {', '.join(new)}" + (" (which --freeze keeps so)" if self.s.freeze else "")]

    def features(self, examples: list[Marked], tokenizer: Tokenizer) -> list[Feature]:
        """[CLS], the pieces and the markers, [SEP]; extra: the positions of [E1] and [E2]."""
        number = {label: i for i, label in enumerate(self.labels)}
        marks = {mark: tokenizer.vocabulary[token] for mark, token in MARKERS.items()}
        features = []
        for i, e in enumerate(examples):
            texts = e.parts
            pieces = iter(tokenizer.encode_lines([text for text in texts if text not in marks], special=False))
            parts = [[marks[text]] if text in marks else next(pieces) for text in texts]
            places = accumulate(map(len, parts[:-1]), initial=0)
            at = {text: place for text, place in zip(texts, places, strict=True) if text in marks}
            for n in "12":
                if at[f"</e{n}>"] - at[f"<e{n}>"] < 2:
                    raise BadInput(f"{e.where}: entity {n} is empty: it holds only characters that the tokenizer leaves out")
            ids = [piece for part in parts for piece in part]
            kept = nearest(len(ids), list(at.values()), self.s.length - 2)
            starts = tuple(kept.index(at[mark]) + 1 for mark in ("<e1>", "<e2>"))  # 1: [CLS] comes first
            features.append(Feature(i, *tokenizer.join([ids[k] for k in kept]), number.get(e.label), starts))
        return features

    def batch(self, features: Sequence[Feature], tokenizer: Tokenizer) -> dict[str, Tensor]:
        inputs = super().batch(features, tokenizer)
        if self.s.head == "cls":
            return {**inputs, "rows": first_alone(len(features))}
        return {**inputs, "entities": minitorch.tensor(np.array([f.extra for f in features], dtype=np.int64))}

    # ---- answers

    def target(self, e: Marked) -> int:
        """The label's number."""
        return self.labels.index(e.label)

    def predictions(self, examples: list[Marked], features: Sequence[Feature], rows: Sequence[Any]) -> list[Any]:
        """For each label its probability."""
        return softmax(rows, self.temperature)

    def score(self, examples: list[Marked], predictions: list[Any]) -> dict[str, Any]:
        given = [self.labels[int(p.argmax())] for p in predictions]
        return metrics.relations([e.label for e in examples], given, self.labels, self.left_out)

    def confidences(self, examples: list[Marked], predictions: list[Any]) -> tuple[Any, Any]:
        return log_probabilities(predictions), np.array([self.target(e) for e in examples])

    def shown(self, example: Marked, prediction: Any) -> dict[str, Any]:
        p = {label: round(float(x), 6) for label, x in zip(self.labels, prediction, strict=True)}
        best = max(p, key=lambda label: p[label])
        record = {"id": example.id} if example.id else {}
        record |= {"text": "".join(example.parts)}
        record |= {name: example.text[slice(*span)] for name, span in (("e1", example.e1), ("e2", example.e2))}
        return {**record, "prediction": best, "probability": p[best], "probabilities": p}

    def gold(self, example: Marked) -> str:
        return example.label

    def baselines(self) -> dict[str, Any]:
        return baselines.for_relation(self)


def nearest(n: int, marks: Sequence[int], room: int) -> list[int]:
    """At most ``room`` of n places, in order: of a long text those that are nearest to a mark stay."""
    if n <= room:
        return list(range(n))
    return sorted(sorted(range(n), key=lambda i: min(abs(i - mark) for mark in marks))[:room])
