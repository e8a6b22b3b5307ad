"""From texts to a model's answers in three steps, so that texts of different clients can meet in one batch.

    asked = answerer.read(texts, options)      rows of ids, and whatever is wrong with the texts      (any thread)
    rows = answerer.rows(features)             a batch of them, of any requests, through the model    (a worker)
    answerer.answers(asked, rows)              the records that the commands print with --json

What the commands answer is what is answered here: the same functions read the texts, and the same read the model's output.
Read before: models/finetuning/tasks.py. Read next: folders.py, batching.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minitorch

from ..bert.use import guesses, mean_pooled, refuse_nan, to_device
from ..errors import BadInput, count, quoted
from ..finetuning.predictor import finite
from ..finetuning.tasks import Feature
from ..generation.settings import GenerationConfig
from ..gpt.use import prompt_ids
from ..gpt.use import write as write_on
from ..prompting.calibration import CALIBRATIONS
from ..seq2seq.vocabulary import UNKNOWN
from ..seq2seq.writing import write as write_target
from ..training.loop import to_device as checked_on

# Of a batch at most. Twice as many save little time on a CPU, and everybody who comes meanwhile waits (docs/serving.md).
BATCH_TOKENS = {"cpu": 96, "cuda": 16384}
Hears = Callable[[int, int, str | None], None]  # (text, sequence of it, a new piece or None for its end)
WRITING = {  # options of texts that are written, under Hugging Face's names, and what they are called elsewhere
    "max_new_tokens": "max_tokens", "temperature": "", "top_k": "", "top_p": "", "min_p": "", "repetition_penalty": "",
    "num_beams": "", "length_penalty": "", "num_return_sequences": "n", "stop_strings": "stop", "seed": "",
}  # fmt: skip


@dataclass
class Asked:
    """The texts of a request, read."""

    texts: list[Any]
    features: list[Any]
    lengths: list[int]  # of each text: the tokens that the model reads of it
    unknown: list[float] = field(default_factory=list)  # of each text: the share of them that the vocabulary lacks
    examples: Any = None
    options: dict[str, Any] = field(default_factory=dict)


class Answerer:
    """A model at work. Subclasses say how it reads, computes and answers."""

    kind = ""
    parts = False  # does one input have several texts: a pair, a question and its context, a text and its choices?
    known: tuple[str, ...] = ()  # options

    def __init__(self, tokenizer: Any, model: Any, longest: int, device: str = "cpu") -> None:
        self.tokenizer, self.model, self.longest, self.device = tokenizer, model.eval(), longest, device
        self.batch_tokens = BATCH_TOKENS[device.partition(":")[0]]

    def read(self, texts: Sequence[Any], options: dict[str, Any]) -> Asked:
        """The request's rows; BadInput for a text that this model cannot read."""
        raise NotImplementedError

    def size(self, feature: Any) -> int:
        """The tokens of a row."""
        return int(feature.size)

    def group(self, feature: Any) -> Hashable:
        """Rows with the same may share a batch."""
        return 0

    def rows(self, features: Sequence[Any]) -> list[Any]:
        """The model's output for a batch."""
        raise NotImplementedError

    def answers(self, asked: Asked, rows: Sequence[Any]) -> list[Any]:
        """One record per text."""
        return list(rows)

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options, if all of them are known."""
        odd = [name for name in options if name not in self.known]
        if odd:
            there = f"there are {', '.join(self.known)}" if self.known else "it has none"
            raise BadInput(f"a model of this kind ({self.kind}) has no option {odd[0]!r}; {there}")
        return options

    def pieces(self, text: Any) -> int:
        """The tokens of an input, nothing cut off."""
        parts = [text] if isinstance(text, str) else list(text)
        return sum(map(len, self.tokenizer.encode_lines(parts))) + len(parts) + 1

    def asked(self, texts: Sequence[Any], features: list[Any], examples: Any, options: dict[str, Any]) -> Asked:
        """Count the tokens of each text."""
        lengths, unknown = [0] * len(texts), [0] * len(texts)
        for f in features:
            rows = [ids for ids, _ in f.extra] if self.kind == "choice" else [f.ids]
            lengths[f.example] += sum(map(len, rows))
            unknown[f.example] += sum(ids.count(self.tokenizer.unk_id) for ids in rows)
        shares = [u / max(1, n) for u, n in zip(unknown, lengths, strict=True)]
        return Asked(list(texts), features, lengths, shares, examples, options)


class Labels(Answerer):
    """What `minitorch finetune` trained: classes, tags, relations, spans, choices; also an adapter, and a prompt."""

    def __init__(self, predictor: Any, device: str = "cpu") -> None:
        self.predictor, self.task = predictor, predictor.task
        trainer = predictor.trainer
        super().__init__(trainer.tokenizer, trainer.model, trainer.s.length, device)
        self.kind = self.task.name
        self.parts = self.kind in ("qa", "choice") or bool(getattr(self.task, "columns", {}).get("pair"))

    def read(self, texts: Sequence[Any], options: dict[str, Any]) -> Asked:
        self.check(options)
        given = [text if isinstance(text, str) and (self.parts or self.kind == "tag") else as_parts(text) for text in texts]
        examples = self.task.from_text([self.task.typed(text) for text in given])
        return self.asked(texts, self.task.features(examples, self.tokenizer), examples, options)

    def size(self, feature: Any) -> int:
        return feature.size * (len(feature.extra) if self.kind == "choice" else 1)

    def group(self, feature: Any) -> Hashable:
        groups = self.task.groups([feature])
        return groups[0] if groups else 0

    def rows(self, features: Sequence[Any]) -> list[Any]:
        with minitorch.no_grad():
            output = self.model(**checked_on(self.task.batch(features, self.tokenizer), self.model, self.device))
            rows = self.task.rows(output, features)
        return finite(rows, self.predictor.trainer.s.model)

    def answers(self, asked: Asked, rows: Sequence[Any]) -> list[Any]:
        predictions = self.task.predictions(asked.examples, asked.features, rows)
        return [self.task.shown(example, p) for example, p in zip(asked.examples, predictions, strict=True)]

    def attention(self, feature: Any) -> dict[str, Any]:
        """How the tokens of a row look at each other: of each layer a table (from, to), the mean of its heads."""
        ids, types = feature.extra[0] if self.kind == "choice" else (feature.ids, feature.types)
        return attention_of(self.model, self.tokenizer, ids, types)


class Prompted(Labels):
    """What `minitorch prompt` wrote: a masked LM that classifies by the words for a gap."""

    def __init__(self, prompt: Any, device: str = "cpu") -> None:
        super().__init__(prompt, device)
        self.calibrate = prompt.task.s.calibrate
        self.leaning = None if self.calibrate == "none" else prompt.leaning(self.calibrate)
        self.model.eval()  # which asking ended

    def answers(self, asked: Asked, rows: Sequence[Any]) -> list[Any]:
        p = np.stack(self.task.predictions(asked.examples, asked.features, rows))
        if self.leaning is not None:
            p = CALIBRATIONS[self.calibrate][1](p, self.leaning)
        return [self.task.shown(example, row) for example, row in zip(asked.examples, p, strict=True)]


class Vectors(Answerer):
    """A BERT that turns texts into vectors. ``normalize``: of length 1."""

    kind, known = "embedding", ("normalize",)

    def read(self, texts: Sequence[Any], options: dict[str, Any]) -> Asked:
        self.check(options)
        joined = [self.tokenizer.join(ids, None, self.longest) for ids in self.tokenizer.encode_lines(single(texts))]
        return self.asked(texts, [Feature(i, *row) for i, row in enumerate(joined)], None, options)

    def rows(self, features: Sequence[Any]) -> list[Any]:
        batch = to_device(self.tokenizer.batch([(f.ids, f.types) for f in features]), self.model)
        with minitorch.no_grad():
            vectors = mean_pooled(getattr(self.model, "bert", self.model), batch, normalize=False).cpu().numpy()
        refuse_nan(self.model, vectors)
        return list(vectors)

    def answers(self, asked: Asked, rows: Sequence[Any]) -> list[Any]:
        if not asked.options.get("normalize", True):
            return list(rows)
        return [row / max(float(np.linalg.norm(row)), 1e-12) for row in rows]

    def attention(self, feature: Any) -> dict[str, Any]:
        """As Labels has it."""
        return attention_of(self.model, self.tokenizer, feature.ids, feature.types)


class Masks(Vectors):
    """A masked LM: for each [MASK] of a text its most probable tokens."""

    kind, known = "mask", ("top_k",)

    def read(self, texts: Sequence[Any], options: dict[str, Any]) -> Asked:
        self.check(options)
        k = options.get("top_k", 5)
        if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= 1000:
            raise BadInput(f"top_k is a whole number from 1 to 1000, not {k!r}")
        features = []
        for i, ids in enumerate(self.tokenizer.encode_lines(single(texts))):
            if self.tokenizer.mask_id not in ids:
                mask = self.tokenizer.names["mask_token"]
                raise BadInput(f"text {i + 1}: the text holds no {mask}: write {mask} where a word is to be guessed")
            if len(ids) + 2 > self.longest:
                raise BadInput(f"text {i + 1}: has {len(ids) + 2} tokens, and the model reads {self.longest}: give a shorter one")
            features.append(Feature(i, *self.tokenizer.join(ids), None, k))
        return self.asked(texts, features, None, options)

    def group(self, feature: Any) -> Hashable:
        return feature.extra

    def rows(self, features: Sequence[Any]) -> list[Any]:
        batch = self.tokenizer.batch([(f.ids, f.types) for f in features])
        return guesses(self.model, self.tokenizer, batch, features[0].extra)

    def answers(self, asked: Asked, rows: Sequence[Any]) -> list[Any]:
        return list(rows)


@dataclass
class Prompt:
    """A text that something is written to."""

    text: str
    size: int
    options: dict[str, Any]
    group: str  # of the options: with the same ones texts are written together
    hears: Callable[[int, str | None], None] | None = None  # (sequence, piece)
    wanted: Callable[[], bool] = lambda: True  # does somebody still wait?


class Abandoned(Exception):
    """Nobody waits any more for a text that is being written."""


class Writes(Answerer):
    """A GPT: what follows a text. As `minitorch generate`, it samples unless it is told otherwise."""

    kind, known = "gpt", tuple(WRITING)

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.batch_tokens = max(1024, self.batch_tokens)  # each token is a step, which costs about the same for many texts

    def read(self, texts: Sequence[Any], options: dict[str, Any]) -> Asked:
        options = self.completed(dict(self.check(options)))
        ids = prompt_ids(self.tokenizer, single(texts))
        n = options["max_new_tokens"] * options.get("num_return_sequences", 1) * options.get("num_beams", 1)
        features = [Prompt(text, len(row) + n, options, json.dumps(options)) for text, row in zip(texts, ids, strict=True)]
        return Asked(list(texts), features, [len(row) for row in ids], [0.0] * len(ids), None, options)

    def completed(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options with what they leave out, checked."""
        options = {"max_new_tokens": 100, **{name: value for name, value in options.items() if value is not None}}
        if options.get("num_beams", 1) == 1:
            options = {"do_sample": True, "temperature": 0.8, **options}
        else:
            options = {"keep_greedy": True, **options}
        return configured(options)

    def group(self, feature: Any) -> Hashable:
        return feature.group

    def pieces(self, text: Any) -> int:
        return len(self.tokenizer.encode(text))

    def rows(self, features: Sequence[Any]) -> list[Any]:
        """Of each prompt its texts. Two equal prompts without a seed are written one after the other, or they would be twins."""
        rows: list[Any] = [None] * len(features)
        options, rest = features[0].options, list(range(len(features)))
        while rest:
            seen: dict[str, int] = {}
            for i in rest:
                seen.setdefault(features[i].text, i)
            now = rest if options.get("seed") is not None or not options.get("do_sample") else list(seen.values())
            for i, found in zip(now, self.together([features[i] for i in now], options), strict=True):
                rows[i] = found
            rest = [i for i in rest if rows[i] is None]
        return rows

    def together(self, features: Sequence[Any], options: dict[str, Any]) -> list[Any]:
        """Write to all prompts at once; stop when nobody waits for any of them."""
        k = options.get("num_return_sequences", 1)

        def hear(i: int, piece: str | None) -> None:
            prompt = features[i // k]
            if prompt.hears is not None:
                prompt.hears(i % k, piece)
            if not any(f.wanted() for f in features):
                raise Abandoned

        seed = {} if options.get("seed") is not None else {"seed": int(np.random.SeedSequence().generate_state(1)[0])}
        seed = seed if options.get("do_sample") else {}
        texts = write_on(self.model, self.tokenizer, [f.text for f in features], hear, **{**options, **seed})
        return [texts[i * k : (i + 1) * k] for i in range(len(features))]

    def answers(self, asked: Asked, rows: Sequence[Any]) -> list[Any]:
        """A record, or with num_return_sequences a list of them."""
        records = [[{n: v for n, v in vars(text).items() if v is not None} for text in row] for row in rows]
        return [row[0] if len(row) == 1 else row for row in records]


class Translates(Writes):
    """An encoder-decoder of `minitorch seq2seq`: the text that belongs to a text."""

    kind = "seq2seq"

    def __init__(self, predictor: Any, device: str = "cpu") -> None:
        self.s, self.vocabularies = predictor.s, predictor.vocabularies
        super().__init__(predictor.vocabularies[0], predictor.model, predictor.s.length, device)

    def read(self, texts: Sequence[Any], options: dict[str, Any]) -> Asked:
        options = self.completed(dict(self.check(options)))
        sources = [text.strip() for text in single(texts)]
        ids, _ = self.vocabularies[0].encode(sources, self.s.length)
        n = options.get("max_new_tokens", self.s.target_length) * options.get("num_beams", 1)
        features = [Prompt(text, len(row) + n, options, json.dumps(options)) for text, row in zip(sources, ids, strict=True)]
        nameless = self.tokenizer.tokenizer.unk_id if self.tokenizer.bert else UNKNOWN
        unknown = [row.count(nameless) / max(1, len(row)) for row in ids]
        return Asked(list(texts), features, [len(row) for row in ids], unknown, None, options)

    def completed(self, options: dict[str, Any]) -> dict[str, Any]:
        options = {name: value for name, value in options.items() if value is not None}
        if any(name in options for name in ("temperature", "top_k", "top_p", "min_p")):
            options = {"do_sample": True, "seed": 0, **options}
        if options.get("num_return_sequences", 1) != 1 or "stop_strings" in options:
            raise BadInput("this model writes one text, to its end: leave out num_return_sequences and stop_strings")
        configured(options)
        if options.get("max_new_tokens", 1) > (most := self.model.config.max_position_embeddings):
            raise BadInput(f"max_new_tokens is {options['max_new_tokens']}, and the model has {most} positions: give fewer")
        return options

    def pieces(self, text: Any) -> int:
        return int(self.vocabularies[0].encode([text], self.longest)[1][0])

    def rows(self, features: Sequence[Any]) -> list[Any]:
        return write_target(self.model, [f.text for f in features], self.vocabularies, self.s, **features[0].options)

    def answers(self, asked: Asked, rows: Sequence[Any]) -> list[Any]:
        return [{"text": f.text, "prediction": text} for f, text in zip(asked.features, rows, strict=True)]


def configured(options: dict[str, Any]) -> dict[str, Any]:
    """The options, if generation can work with them."""
    stop = options.get("stop_strings")
    if stop is not None and not isinstance(stop, str | list):
        raise BadInput(f"stop_strings are a text or a list of texts, not {quoted(stop, 40)}")
    GenerationConfig.of(options)
    return options


def as_parts(text: Any) -> Any:
    """An input of a model that reads one text: a tab in it is a space, not the end of a first text."""
    return [text] if isinstance(text, str) else text


def single(texts: Sequence[Any]) -> list[str]:
    """The texts of a model that reads one at a time."""
    for i, text in enumerate(texts, 1):
        if not isinstance(text, str) and len(text) != 1:
            raise BadInput(f"text {i}: has {count(len(text), 'part')}, and this model reads one text at a time")
    return [text if isinstance(text, str) else text[0] for text in texts]


def attention_of(model: Any, tokenizer: Any, ids: list[int], types: list[int], most: int = 64) -> dict[str, Any]:
    """The tokens of a row, and of each layer how they look at each other: the mean of the heads, (from, to)."""
    bert = getattr(model, "bert", model)
    with minitorch.no_grad():
        tables = bert(**to_device(tokenizer.batch([(ids, types)]), model), output_attentions=True).attentions
    n, S = min(most, len(ids)), len(ids)  # an adapter's virtual tokens stand before the text
    layers = [table.cpu().numpy()[0, :, -S:, -S:].mean(0)[:n, :n] for table in tables]
    return {"tokens": [tokenizer.tokens[i] for i in ids[:n]], "layers": [np.round(layer, 4).tolist() for layer in layers]}
