"""tag: a label for every word of a sentence, from CoNLL files. Named entities, parts of speech.

The sub-word policy: a word's first piece carries its label, the others -100, which the loss ignores; the word's prediction
is read at its first piece. Input and output are words; pieces never show.
A sentence longer than the model's window is read in overlapping windows, cut between words. A word is learnt and answered only in
the window where it has the most context on its shorter side.
Read before: tasks.py. Read next: relation.py.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor

from ..bert.model import BertForTokenClassification
from ..classical import tagging
from ..errors import BadInput, count, listing
from ..text.labelled import UNKNOWN, Sentence, plain_sentences, read_conll
from ..text.tokenizer import Tokenizer
from ..text.words import split_words
from . import metrics
from .tasks import IGNORED, Feature, Task

ENTITY = re.compile(r"O|[BIESLUM]([-_].+)?$")
SUFFIXED = re.compile(r"O|(.+)([-_])([BIESLUM])")  # PER-B
IOB2 = {"S": "B", "U": "B", "E": "I", "L": "I", "M": "I"}  # what IOBES, BILOU and BMES add: single, unit; end, last; middle


def are_entities(tags: Iterable[str]) -> bool:
    """Do the tags mark entities: B-x, I-x and O, or a scheme with more letters? (Parts of speech, for example, do not.)"""
    tags = set(tags)
    typed = any(len(tag) > 2 for tag in tags)
    return all(ENTITY.fullmatch(tag) for tag in tags) and (typed or (len(tags) > 1 and "O" in tags))


def turned(tag: str) -> str:
    """PER-B as B-PER."""
    return SUFFIXED.sub(r"\3\2\1", tag) if tag != "O" else tag


class Tag(Task):
    """One label per word."""

    name = "tag"
    usage = "'a text'"
    kind = BertForTokenClassification

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.width = 0  # columns of the training file

    @property
    def metric(self) -> str:  # type: ignore[override]
        """Span F1 for entities, accuracy for all other tags."""
        return "f1" if self.entities else "accuracy"

    @property
    def entities(self) -> bool:
        """Do the labels mark entities, which may have several words?"""
        return are_entities(self.labels)

    # ---- examples

    def read(self, path: str, labelled: bool = True) -> list[Sentence]:
        columns = self.s.word_column, self.s.tag_column
        sentences = read_conll(path, self.s.encoding, *columns, labelled, self.width)
        self.width = self.width or sentences[0].width
        if not labelled:
            self.expect_tags(path, sentences)
            return [Sentence(s.words, [""] * len(s.words), s.where) for s in sentences]
        if len(sentences) == 1 and path == self.s.train and not self.s.dev and self.s.validation:
            n = count(len(sentences[0].words), "word")
            raise BadInput(f"{path}: no blank line ends a sentence: it is a single one, of {n}, and none can be held out for dev")
        tags = {tag for s in sentences for tag in s.tags}
        suffixed = all(SUFFIXED.fullmatch(tag) for tag in tags) and ("O" in tags or self.entities)
        if suffixed and not are_entities(tags) and tags != {"O"}:
            sentences = [Sentence(s.words, [turned(tag) for tag in s.tags], s.where) for s in sentences]
            self.notes.append(f"{path}: tags such as {max(tags - {'O'})} are read as {turned(max(tags - {'O'}))}")
        if suffixed or are_entities(tags):
            sentences = [Sentence(s.words, self.iob2(s), s.where) for s in sentences]
        return sentences

    def expect_tags(self, path: str, sentences: list[Sentence]) -> None:
        """Where a file to predict has a column of tags, they must be such; else it may be one of plain sentences."""
        given = [(tag, where) for s in sentences for tag, where in zip(s.tags, s.where, strict=True) if tag not in UNKNOWN]
        strange = [(tag, where) for tag, where in given if not self.is_known(tag)]
        if 2 * len(strange) > len(given):
            raise BadInput(f"{strange[0][1]}: {strange[0][0]!r} is no tag that this model knows; {plain_sentences(path)}")

    def is_known(self, tag: str) -> bool:
        """Is it a tag of the training file, in whatever scheme?"""
        kinds = [t[2:] for t in (tag, turned(tag)) if self.entities and ENTITY.fullmatch(t)]
        return tag in self.labels or any(f"B-{kind}" in self.labels for kind in kinds)

    def iob2(self, sentence: Sentence) -> list[str]:
        """The tags in IOB2, where an entity starts with B- and continues with I-. An I- that continues nothing is an error,
        unless the files are IOB1."""
        tags: list[str] = []
        open_kind: str | None = None  # of the entity that may go on here
        for tag, where in zip(sentence.tags, sentence.where, strict=True):
            kind, prefix = tag[2:], IOB2.get(tag[0], tag[0])
            if prefix == "I" and open_kind != kind:
                if not self.s.iob1:
                    before = sentence.tags[len(tags) - 1] if tags else "the start of the sentence"
                    raise BadInput(
                        f"{where}: {tag} continues no entity: the tag before it is {before}; an entity begins with "
                        f"B{tag[1:]} (--iob1 reads files in which it may begin with {tag[:2]})"
                    )
                prefix = "B"
            tags.append("O" if prefix == "O" else f"{prefix}-{kind}" if kind else prefix)
            open_kind = None if tag[0] in "OESLU" else kind
        return tags

    def typed(self, text: str | Sequence[str]) -> list[str]:
        """The words: given one by one, or those of a text, split as in CoNLL files."""
        return split_words(text) if isinstance(text, str) else list(text)

    def from_text(self, texts: Sequence[Any]) -> list[Sentence]:
        """Of lists of words."""
        sentences = []
        for i, words in enumerate(texts, 1):
            if not words or not all(word.strip() for word in words):
                raise BadInput(f"text {i}: is empty")
            sentences.append(Sentence(words, [""] * len(words), [f"text {i}"] * len(words)))
        return sentences

    def learn(self, examples: list[Sentence]) -> None:
        counts = Counter(tag for s in examples for tag in s.tags)
        self.labels = sorted(counts, key=lambda tag: (tag != "O", tag.partition("-")[2], tag))
        if self.entities:  # an entity of one word in training may have two elsewhere
            kinds = dict.fromkeys(label.partition("-")[2] for label in self.labels if label != "O")
            self.labels = ["O", *(f"{p}-{kind}" if kind else p for kind in kinds for p in "BI")]
            small = Counter(kind.casefold() for kind in kinds)
            if twins := [kind for kind in kinds if small[kind.casefold()] > 1]:
                self.notes.append(f"{', '.join(twins)} differ in capitals alone and are taken as {len(twins)} types of entities")
        self.refuse_mixture(examples)
        if len(self.labels) < 2:
            raise BadInput(
                f"all words of the training file have the tag {self.labels[0]!r}; is --tag-column the right one? "
                f"(CoNLL-U has words in column 2, parts of speech in column 4)"
            )
        odd = [tag for tag in self.labels if not ENTITY.fullmatch(tag)]
        if odd and any(ENTITY.fullmatch(tag.upper()) for tag in self.labels):
            self.notes.append(f"tags are taken word by word, not as entities: {odd[0]!r} is not O, nor B- or I- and a type")
        self.set_class_weights([counts[label] for label in self.labels])

    def kinds(self, example: Sentence) -> list[str]:
        return list(example.tags)

    def refuse_mixture(self, examples: list[Sentence]) -> None:
        """Refuse a slip (b-x, B-) among B-x, I-x and O, which would turn all of them into plain tags."""
        odd = {tag for tag in self.labels if not ENTITY.fullmatch(tag)}
        typed = any(len(tag) > 2 for tag in set(self.labels) - odd)
        if not odd or not typed or "O" not in self.labels:
            return
        tag, where = next((t, w) for s in examples for t, w in zip(s.tags, s.where, strict=True) if t in odd)
        raise BadInput(f"{where}: the tag {tag!r} is neither O nor B-, I- and a type, as others are")

    def check(self, examples: list[Sentence]) -> None:
        known = set(self.labels)
        for s in examples:
            for tag, where in zip(s.tags, s.where, strict=True):
                if tag not in known:
                    there = listing(self.labels, 8)
                    raise BadInput(f"{where}: the tag {tag!r} is not among those of the training file: {there}")

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "width": self.width}

    def remember(self, facts: dict[str, Any]) -> None:
        super().remember(facts)
        self.width = int(facts.get("width", 0))

    # ---- the model

    def features(self, examples: list[Sentence], tokenizer: Tokenizer) -> list[Feature]:
        """One feature per window; extra: (place, word) of the first piece of each word that this window answers."""
        number = {label: i for i, label in enumerate(self.labels)}
        room = self.s.length - 2
        features = []
        for i, sentence in enumerate(examples):
            pieces = [ids[:room] or [tokenizer.unk_id] for ids in tokenizer.encode_lines(sentence.words, special=False)]
            lengths = [len(p) for p in pieces]
            parts = windows(lengths, room, min(self.s.stride, max(1, room // 2)))
            for words, own in owned(lengths, parts):
                edge = list(accumulate((lengths[w] for w in words), initial=1))  # 1: [CLS] comes first
                firsts = [(edge[w - words.start], w) for w in own]
                target = [IGNORED] * (edge[-1] + 1)
                for place, w in firsts:
                    target[place] = number[sentence.tags[w]] if sentence.tags[w] else IGNORED
                ids, types = tokenizer.join([piece for w in words for piece in pieces[w]])
                features.append(Feature(i, ids, types, target if sentence.tags[0] else None, firsts))
        return features

    def label_tensor(self, features: Sequence[Feature], S: int) -> Tensor:
        labels = np.full((len(features), S), IGNORED, dtype=np.int64)
        for row, f in zip(labels, features, strict=True):
            row[: len(f.target)] = f.target
        return minitorch.tensor(labels)

    # ---- answers

    def logits(self, output: Any, batch: dict[str, Tensor]) -> Tensor:
        """Those of the words' first pieces."""
        return output.logits[batch["labels"] != IGNORED]

    def predictions(self, examples: list[Sentence], features: Sequence[Feature], rows: Sequence[Any]) -> list[list[str]]:
        """The tags of each sentence's words."""
        tags: list[list[str]] = [["O"] * len(s.words) for s in examples]
        for f, row in zip(features, rows, strict=True):
            best = row.argmax(-1)
            for place, word in f.extra:
                tags[f.example][word] = self.labels[best[place]]
        return tags

    def score(self, examples: list[Sentence], predictions: list[list[str]]) -> dict[str, Any]:
        """Span F1 (and its strict IOB2 reading) for entities; for all tags what scikit-learn says of the words."""
        gold = [tag for s in examples for tag in s.tags]
        guess = [tag for tags in predictions for tag in tags]
        there = set(gold) | set(guess)  # as in scikit-learn, a label on neither side has no part in the averages
        labels = [label for label in self.labels if label in there]
        number = {label: i for i, label in enumerate(labels)}
        words = metrics.classes([number[tag] for tag in gold], [number[tag] for tag in guess], labels)
        if not self.entities:
            return words
        found = metrics.span_scores([s.tags for s in examples], predictions)
        strict = metrics.span_scores([s.tags for s in examples], predictions, strict=True)
        return {**found, "strict_f1": strict["f1"], "accuracy": words["accuracy"], "words": words}

    def shown(self, example: Sentence, prediction: list[str]) -> dict[str, Any]:
        record: dict[str, Any] = {"words": example.words, "tags": prediction}
        if self.entities:
            spans = metrics.spans(prediction)
            record["entities"] = [
                {"type": kind, "text": " ".join(example.words[a : b + 1]), "first": a, "last": b} for kind, a, b in spans
            ]
        return record

    def gold(self, example: Sentence) -> list[str]:
        return example.tags

    def baselines(self) -> dict[str, Any]:
        return tagging.for_tag(self)


def windows(lengths: Sequence[int], room: int, stride: int) -> list[range]:
    """Overlapping ranges of words whose pieces fit into ``room``. Each begins about ``stride`` pieces after the one before it;
    the last is as long as fits."""
    edge = list(accumulate(lengths, initial=0))  # pieces before each word
    parts: list[range] = []
    first = 0
    while edge[-1] - edge[first] > room:
        parts.append(range(first, bisect_right(edge, edge[first] + room) - 1))
        first = max(first + 1, bisect_right(edge, edge[first] + stride) - 1)
    return [*parts, range(bisect_left(edge, edge[-1] - room), len(lengths))]


def owned(lengths: Sequence[int], parts: Sequence[range]) -> list[tuple[range, list[int]]]:
    """Each window with the words that it answers: those whose shorter side has more context here than in any other window."""
    edge = list(accumulate(lengths, initial=0))
    best: dict[int, tuple[int, int]] = {}  # word -> (pieces on its shorter side, -window)
    for number, words in enumerate(parts):
        for w in words:
            context = min(edge[w] - edge[words.start], edge[words.stop] - edge[w + 1])
            best[w] = max(best.get(w, (-1, 0)), (context, -number))  # of two alike the first
    own = [[w for w in words if best[w][1] == -number] for number, words in enumerate(parts)]
    return [(words, some) for words, some in zip(parts, own, strict=True) if some]
