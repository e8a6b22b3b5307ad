"""qa: find the answer to a question in a text, from SQuAD files (1.1, and 2.0 with questions that have no answer).

A long context is cut into overlapping windows, each paired with the question: [CLS] question [SEP] window [SEP]. In a window
without the whole answer, the right answer is [CLS], "none here". A span is read only in the window where its first piece
has the most context around it. Devlin et al. (2018), sections 4.2 and 4.3, and the code released with it.
Read before: tasks.py. Read next: choice.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor

from ..bert.model import BertForQuestionAnswering
from ..classical import answering
from ..errors import BadInput
from ..reading import whole
from ..text.kinds import refuse_kinds
from ..text.labelled import line_items, refuse_halves
from ..text.tables import read_text
from ..text.tokenizer import Tokenizer
from . import metrics
from .tasks import Feature, Task


@dataclass
class Question:
    """A question, the text that may answer it, and the answers (text, place); none: it has no answer."""

    id: str
    question: str
    context: str
    answers: list[tuple[str, int]]
    where: str


class Answer(Task):
    """A span of the context for a question."""

    name = "qa"
    kind = BertForQuestionAnswering
    metric = "f1"

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.labels = ["start", "end"]
        self.may_be_none = False  # were there questions without an answer in training?

    # ---- examples

    def read(self, path: str, labelled: bool = True) -> list[Question]:
        """The questions of a SQuAD file."""
        text = read_text(Path(path), self.s.encoding)
        if not text.strip():
            raise BadInput(f"{path}:1: the file is empty")
        refuse_kinds(path, text, "classify", "tag", "relation", "choice")
        try:
            content = json.loads(text, parse_int=whole)
        except (ValueError, RecursionError) as error:
            line, reason = getattr(error, "lineno", 1), getattr(error, "msg", str(error))
            if line > 1 and reason == "Extra data":
                content = [record for _, record in line_items(path, text)]  # one object per line
            else:
                lines = f"; lines with a question, a tab and its context are read by: minitorch predict - < {path}"
                raise BadInput(f"{path}:{line}: not JSON ({reason}){'' if labelled else lines}") from None
        questions = list(parse(path, text, content, labelled))
        if not questions:
            raise BadInput(f"{path}:1: the file holds no question")
        return questions

    def from_text(self, texts: Sequence[str]) -> list[Question]:
        """The question, a tab, the context."""
        questions = []
        for i, text in enumerate(texts, 1):
            question, tab, context = text.partition("\t")
            if not tab:
                raise BadInput(f"text {i}: give the question, a tab and the text that holds the answer; or --file")
            questions.append(Question(f"{i}", question, context, [], f"text {i}"))
        return questions

    def learn(self, examples: list[Question]) -> None:
        self.may_be_none = any(not q.answers for q in examples)
        if not any(q.answers for q in examples):
            raise BadInput(f"{examples[0].where}: none of the training questions has an answer")
        if self.s.class_weights != "none":
            raise BadInput("--class-weights: an answer is a span, not a class; leave the option out")

    def group(self, example: Question, index: int) -> Any:
        return example.context

    def kinds(self, example: Question) -> list[str]:
        return ["an answer" if example.answers else "no answer"]

    def facts(self) -> dict[str, Any]:
        return {"labels": self.labels, "may_be_none": self.may_be_none}

    def remember(self, facts: dict[str, Any]) -> None:
        super().remember(facts)
        self.may_be_none = facts["may_be_none"]
        if not isinstance(self.may_be_none, bool):
            raise ValueError("may_be_none must be true or false")

    # ---- the model

    def config(self) -> dict[str, Any]:
        return {}

    def features(self, examples: list[Question], tokenizer: Tokenizer) -> list[Feature]:
        """One feature per window; extra: (the context's start, the pieces' character offsets, which starts are this window's)."""
        features = []
        encoded: dict[str, Any] = {}
        for i, q in enumerate(examples):
            if q.context not in encoded:
                encoded[q.context] = tokenizer.plain.encode(q.context, add_special_tokens=False)
            ids, offsets = encoded[q.context].ids, encoded[q.context].offsets
            asked = tokenizer.encode_lines([q.question], special=False)[0][: self.s.query_length]
            if not asked or not ids:
                raise BadInput(f"{q.where}: the {'context' if asked else 'question'} is empty")
            room = self.s.length - len(asked) - 3
            if room < min(8, len(ids)):
                raise BadInput(
                    f"{q.where}: the context cannot fit: the question takes {len(asked)} of --length {self.s.length} pieces, "
                    f"and [CLS] and [SEP] 3; raise --length or lower --query-length"
                )
            starts = window_starts(len(ids), room, min(self.s.stride, (room + 1) // 2))
            owner = [best_window(t, starts, len(ids), room) for t in range(len(ids))]
            span = token_span(offsets, *q.answers[0]) if q.answers else None
            if q.answers and span is None:
                raise BadInput(f"{q.where}: the tokenizer leaves out all characters of the answer {q.answers[0][0]!r}")
            for start in starts:
                part = slice(start, start + room)
                n = len(ids[part])
                shift = len(asked) + 2 - start  # from a place in the context to one in the window
                inside = span is not None and start <= span[0] and span[1] < start + n
                target = (span[0] + shift, span[1] + shift) if span is not None and inside else (0, 0)
                extra = (len(asked) + 2, offsets[part], [w == start for w in owner[part]])
                features.append(Feature(i, *tokenizer.join(asked, ids[part]), target, extra))
        return features

    def batch(self, features: Sequence[Feature], tokenizer: Tokenizer) -> dict[str, Tensor]:
        inputs = tokenizer.batch([(f.ids, f.types) for f in features])
        for j, name in enumerate(("start_positions", "end_positions")):
            inputs[name] = minitorch.tensor(np.array([f.target[j] for f in features], dtype=np.int64))
        return inputs

    def weight(self, batch: dict[str, Tensor]) -> float:
        return float(len(batch["start_positions"]))

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """(CE of the start + CE of the end) / 2: the BERT class's own, unless it is smoothed."""
        output = model(**batch)
        if not self.s.label_smoothing:
            return output.loss, output
        mask = batch.get("attention_mask", minitorch.ones_like(batch["input_ids"]))  # not sent where it hides nothing
        terms = [
            smoothed(logits, batch[f"{name}_positions"], mask, self.s.label_smoothing)
            for name, logits in (("start", output.start_logits), ("end", output.end_logits))
        ]
        return (terms[0] + terms[1]) / 2, output

    def logits(self, output: Any, batch: dict[str, Tensor]) -> Tensor:
        """Of each window the start and the end."""
        return minitorch.cat([output.start_logits, output.end_logits])

    def rows(self, output: Any, features: Sequence[Feature]) -> list[Any]:
        """(start scores, end scores) of each window."""
        start, end = output.start_logits.cpu().numpy(), output.end_logits.cpu().numpy()
        return [(start[i, : f.size], end[i, : f.size]) for i, f in enumerate(features)]

    # ---- answers

    def predictions(self, examples: list[Question], features: Sequence[Feature], rows: Sequence[Any]) -> list[Any]:
        """For each question its n best spans, the best first: {text, start, score, probability}; no answer is the text ""."""
        found: list[list[tuple[float, int, int]]] = [[] for _ in examples]
        null = [float("inf")] * len(examples)
        for f, (start, end) in zip(features, rows, strict=True):
            found[f.example] += self.best_spans(f, start, end)
            null[f.example] = min(null[f.example], float(start[0] + end[0]))
        predictions = []
        for q, spans, none in zip(examples, found, null, strict=True):
            spans = sorted({(a, b): (s, a, b) for s, a, b in sorted(spans)}.values(), reverse=True)[: self.s.n_best]
            if self.may_be_none or not spans:
                spans.append((none - (self.s.null_threshold if spans else 0), 0, 0))
                spans.sort(reverse=True)
            scores = np.array([s for s, _, _ in spans])
            p = np.exp(scores - scores.max())
            p /= p.sum()
            predictions.append(
                [
                    {"text": q.context[a:b], "start": a, "score": float(s), "probability": float(x)}
                    for (s, a, b), x in zip(spans, p, strict=True)
                ]
            )
        return predictions

    def best_spans(self, f: Feature, start: Any, end: Any) -> list[tuple[float, int, int]]:
        """(score, first character, one past the last) of a window's n best: score = start + end, not too long."""
        first, offsets, own = f.extra
        n = len(offsets)
        s = np.where(own, start[first : first + n], -np.inf)
        e = end[first : first + n]
        scores = s[:, None] + e[None, :]  # (n, n)
        length = np.arange(n)[None, :] - np.arange(n)[:, None]
        scores = np.where((length >= 0) & (length < self.s.answer_length), scores, -np.inf)
        flat = scores.reshape(-1)
        k = min(self.s.n_best, flat.size)
        best = np.argpartition(-flat, k - 1)[:k]
        return [
            (float(flat[i]), offsets[i // n][0], offsets[i % n][1])
            for i in best.tolist()
            if np.isfinite(flat[i])
        ]  # fmt: skip

    def score(self, examples: list[Question], predictions: list[Any]) -> dict[str, Any]:
        gold = [[text for text, _ in q.answers] or [""] for q in examples]
        return metrics.answers(gold, [p[0]["text"] for p in predictions])

    def shown(self, example: Question, prediction: Any) -> dict[str, Any]:
        record = {"id": example.id, "question": example.question, "prediction": prediction[0]["text"]}
        return {
            **record,
            "n_best": [{**p, "score": round(p["score"], 4), "probability": round(p["probability"], 6)} for p in prediction],
        }

    def gold(self, example: Question) -> list[str]:
        return [text for text, _ in example.answers] or [""]

    def baselines(self) -> dict[str, Any]:
        return answering.for_qa(self)


SHAPE = "data[].paragraphs[].{context, qas[].{id, question, answers[].{text, answer_start}}}"


def parse(path: str, text: str, content: Any, labelled: bool) -> Iterator[Question]:
    """The questions of a SQuAD file's content; errors name the question and its line.

    Also of a flat list, as Hugging Face's datasets have it: {id, context, question, answers: {text: [], answer_start: []}}.
    """

    line, where = LineFinder(text), f"{path}:1"
    try:
        for context, qa, flat in records(content):
            where = f"{path}:{line.line}: after question {line.last}" if line.last else where
            where = f"{path}:{line(qa['id'])}: question {qa['id']}"
            refuse_halves(where, [context, qa])
            question = qa["question"]
            for name, value in (("question", question), ("context", context)):
                if not isinstance(value, str):
                    raise BadInput(f"{where}: the {name} must be a text, not {value!r}")
                if not value.strip():
                    raise BadInput(f"{where}: the {name} is empty")
            none = is_impossible(where, qa)
            answers = answers_of(where, qa) if labelled and (qa.get("answers") or not none) else []
            if labelled and not answers and not none and not flat:
                raise BadInput(f"{where}: has no answer; mark it with is_impossible if it has none")
            if answers and none:
                raise BadInput(f"{where}: is marked is_impossible and has an answer, {answers[0][0]!r}; take one of the two away")
            for answer, start in answers:
                check_answer(where, context, answer, start)
            yield Question(str(qa["id"]), question, context, answers, where)
    except (KeyError, TypeError, AttributeError) as error:
        missing = f"there is no {error}" if isinstance(error, KeyError) else "it nests otherwise"
        raise BadInput(f"{where}: not a SQuAD file ({missing}); it must be {SHAPE}") from None


class LineFinder:
    """The line on which a question's id stands. Ids come in the file's order: each is looked for after the one before."""

    def __init__(self, text: str) -> None:
        self.text, self.place, self.line, self.last = text, 0, 1, ""

    def __call__(self, key: Any) -> int:
        found = (self.text.find(json.dumps(key, ensure_ascii=plain), self.place) for plain in (False, True))
        place = next((p for p in found if p >= 0), self.place)
        self.line += self.text.count("\n", self.place, place)
        self.place, self.last = place, str(key)
        return self.line


def records(content: Any) -> Iterator[tuple[Any, Any, bool]]:
    """(context, question, is it of a flat list?)"""
    if isinstance(content, dict) and "data" not in content and ("context" in content or "paragraphs" in content):
        content = [content]  # the only line of a .jsonl file; an article alone
    for article in content["data"] if isinstance(content, dict) else content:
        if "paragraphs" not in article and "context" in article:
            yield article["context"], article, True
            continue
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            for qa in paragraph["qas"]:
                yield context, qa, False


def answers_of(where: str, qa: Any) -> list[tuple[str, int]]:
    """(text, first character) of each answer."""
    given = qa["answers"]
    if isinstance(given, dict):
        texts, starts = given["text"], given["answer_start"]
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise BadInput(f"{where}: answers must hold a list of texts and one of as many answer_starts")
        answers = list(zip(texts, starts, strict=True))
    else:
        answers = [(a["text"], a["answer_start"]) for a in given]
    for text, start in answers:
        if not isinstance(text, str):
            raise BadInput(f"{where}: an answer must be a text, not {text!r}")
        if not isinstance(start, int | float | str) or not re.fullmatch(r"-?\d{1,15}(\.0)?", str(start)):
            raise BadInput(f"{where}: answer_start must be the number of the answer's first character, not {str(start)[:40]}")
    return [(text, int(float(start))) for text, start in answers]


def is_impossible(where: str, qa: Any) -> bool:
    """Is it marked as having no answer?"""
    mark = qa.get("is_impossible") or False
    if mark not in (True, False, "true", "false", "True", "False"):
        raise BadInput(f"{where}: is_impossible must be true or false, not {mark!r}")
    return mark in (True, "true", "True")


def check_answer(where: str, context: str, answer: str, start: int) -> None:
    """An answer must stand in the context, where the file says."""
    if not answer.strip():
        raise BadInput(f"{where}: an answer is empty")
    if start < 0 or context[start : start + len(answer)] != answer:
        there = context[max(start, 0) : max(start, 0) + len(answer)]
        other = context.find(answer)
        hint = f"; it stands at {other}" if other >= 0 else "; it is nowhere in the context"
        raise BadInput(f"{where}: the answer {answer[:40]!r} is not at answer_start {start}, there is {there[:40]!r}{hint}")


def window_starts(n: int, room: int, stride: int) -> list[int]:
    """Where windows of ``room`` start, ``stride`` apart, until one reaches the end of n."""
    starts = [0]
    while starts[-1] + room < n:
        starts.append(starts[-1] + stride)
    return starts


def best_window(place: int, starts: Sequence[int], n: int, room: int) -> int:
    """The window in which a piece has the most context: the shorter side counts, and a little the window's length."""

    def context(start: int) -> float:
        length = min(room, n - start)
        return min(place - start, start + length - 1 - place) + 0.01 * length

    return max((s for s in starts if s <= place < min(s + room, n)), key=context)


def token_span(offsets: Sequence[tuple[int, int]], answer: str, start: int) -> tuple[int, int] | None:
    """First and last piece that touch the answer's characters."""
    touching = [t for t, (a, b) in enumerate(offsets) if a < start + len(answer) and b > start]
    return (touching[0], touching[-1]) if touching else None


def smoothed(logits: Tensor, targets: Tensor, keep: Tensor, smoothing: float) -> Tensor:
    """Cross entropy with ``smoothing`` of the target spread over the sequence's own places, not over its padding."""
    logits = minitorch.where(keep != 0, logits, minitorch.full_like(logits, -1e4))
    spread = F.log_softmax(logits, dim=-1) * keep / keep.sum(-1, keepdim=True)
    return F.cross_entropy(logits, targets) * (1 - smoothing) - spread.sum(-1).mean() * smoothing
