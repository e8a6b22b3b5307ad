"""Where subjects come from: a folder that finetune wrote, a masked LM, a GPT.

    source = open_source("runs/finetune")
    subject = source.subject(source.examples(["a text"])[0], label="positive")

Read before: subject.py, models/finetuning/predictor.py. Read next: explain.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor

from ..bert.masked_rows import rows_at
from ..bert.model import BertForMaskedLM
from ..bert.use import has_head
from ..bert.use import load as load_bert
from ..checkpoints.files import config_file
from ..checkpoints.kinds import holding
from ..errors import BadInput, count, listing, short
from ..finetuning.predictor import Predictor
from ..finetuning.run import FACTS
from ..finetuning.tasks import Feature
from ..finetuning.trainer import random_model
from ..gpt.use import load as load_gpt
from ..reading import read_json, read_text
from ..text.labelled import refuse_halves
from .subject import Subject, frozen
from .words import Tracer


def open_source(folder: str | Path, device: str = "cpu", base: str = "", **reading: str) -> Any:
    """The model of a folder, whichever command wrote it; one that cannot be explained is refused, with the right command."""
    path = Path(folder)
    if (path / FACTS).is_file() or not any((path / name).is_file() for name in ("config.json", "bert_config.json")):
        return TaskSource(Predictor(folder, device, base, **reading))
    kind = read_json(config_file(path), "a configuration").get("model_type", "bert")
    if kind not in ("bert", "gpt2") or (path / "prompt.json").is_file():
        other = holding(path) or f'its model_type is "{short(kind)}"'
        raise BadInput(f"{folder}: explained are models of `minitorch finetune`, masked LMs and GPTs; {other}")
    if kind == "gpt2":
        return WordSource(*load_gpt(path, device))
    if not has_head(path):
        raise BadInput(
            f"{folder}: has no head, neither for words (cls.predictions) nor of a task, so it gives no answer to explain; "
            f"train one: minitorch finetune classify --model {folder} --train FILE"
        )
    return WordSource(*load_bert(path, BertForMaskedLM, device))


# --------------------------------------------------------------------------------------- how each kind of answer is read


def read_class(model: Any, inputs: dict[str, Tensor], at: Tensor) -> list[Tensor]:
    """Classes of a text, by [CLS]."""
    return [model(**inputs, rows=at).logits]


def read_relation(model: Any, inputs: dict[str, Tensor], at: Tensor) -> list[Tensor]:
    """Relations, by the starts of the entities."""
    return [model(**inputs, entities=at).logits]


def read_tag(model: Any, inputs: dict[str, Tensor], at: Tensor) -> list[Tensor]:
    """Tags of one word."""
    return [model(**inputs, rows=at).logits[:, 0]]


def read_choice(model: Any, inputs: dict[str, Tensor], at: Tensor) -> list[Tensor]:
    """The score of one choice."""
    return [model(**{name: value.unsqueeze(1) for name, value in inputs.items()}, rows=at).logits]  # (B, 1)


def read_span(model: Any, inputs: dict[str, Tensor], at: Tensor) -> list[Tensor]:
    """Starts and ends of an answer."""
    output = model(**inputs)
    mask = inputs.get("attention_mask")
    hidden = 0.0 if mask is None else (1 - mask) * -1e4
    return [output.start_logits + hidden, output.end_logits + hidden]


def read_masked(model: Any, inputs: dict[str, Tensor], at: Tensor) -> list[Tensor]:
    """Words at a [MASK]."""
    return [model.cls.predictions(model.bert(**inputs, rows=at).last_hidden_state[:, 0])]


def read_next(model: Any, inputs: dict[str, Tensor], at: Tensor) -> list[Tensor]:
    """The next token."""
    return [model.lm_head(rows_at(model.transformer(**inputs, use_cache=False).last_hidden_state, at)[:, 0])]


READERS = {"classify": read_class, "relation": read_relation, "tag": read_tag, "choice": read_choice, "qa": read_span}


# --------------------------------------------------------------------------------------------------------- sources


class TaskSource:
    """A model that finetune trained."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.task, self.tokenizer = predictor, predictor.task, predictor.trainer.tokenizer
        self.model = frozen(predictor.trainer.model)
        self.settings = predictor.trainer.s

    def examples(self, texts: Sequence[str]) -> list[Any]:
        """Of texts as a user types them."""
        for i, text in enumerate(texts, 1):
            refuse_halves(f"text {i}", text)
        return self.task.from_text([self.task.typed(text) for text in texts])

    def file(self, path: str, labelled: bool = False) -> list[Any]:
        """Of a file in the format of the training file."""
        examples = self.task.read(path, labelled=labelled)
        if labelled:
            self.task.check(examples)
        return examples

    def answers(self, examples: list[Any]) -> list[dict[str, Any]]:
        """What the model says, as `minitorch predict` has it."""
        records = self.predictor.records(examples)
        self.model.eval()
        return records

    def random(self) -> Any:
        """The same architecture with random weights."""
        return frozen(random_model(self.settings, self.model))

    def subject(self, example: Any, label: str = "", word: int = 0, remove: str = "mask") -> Subject:
        """The answer to an example, or another one that ``label`` names; ``word``: of tags, at which word (from 1)."""
        task, tokenizer = self.task, self.tokenizer
        if word and task.name != "tag":
            raise BadInput(f"--word is for tags; a model of finetune {task.name} answers for the whole text")
        (record,) = self.answers([example])
        tracer = Tracer(tokenizer, one_word=task.name == "tag")
        features = task.features([example], tracer)  # type: ignore[arg-type]
        read, link = READERS[task.name], "softmax"
        if task.name == "qa":
            feature, at, answer = self.span(features, example, record, label)
            target: tuple[int, ...] | None = None
        elif task.name == "tag":
            feature, at, target, answer = self.tag(features, record, label, word)
        elif task.name == "choice":
            (feature, at, target, answer), link = self.choice(features, example, record, label), "none"
        else:
            feature, at, target, answer = features[0], (0,), *self.label(record, label)
            link = {"several": "sigmoid", "numbers": "none"}.get(getattr(task, "targets", ""), "softmax")
            if task.name == "relation" and self.settings.head != "cls":
                at = tuple(feature.extra)
            elif task.name == "relation":
                read = read_class
        ids, words, of = tracer.placed(feature.ids)
        lost = sorted(set(range(len(words))) - set(of))
        limit = f"the model was trained to read {self.settings.length} pieces at once"
        note = f"{count(len(lost), 'word')} of {len(words):,} not read, in brackets here ({limit})" if lost else ""
        rest = {"filler": tokenizer.mask_id, "padding": tokenizer.pad_id, "remove": remove, "note": note}
        arrays = (np.array(ids), np.array(feature.types), words, np.array(of), np.array(at))
        return Subject(self.model, read, *arrays, target, answer, link, temperature=task.temperature, **rest)

    def label(self, record: dict[str, Any], label: str) -> tuple[tuple[int, ...], str]:
        """The column of a class, and its name."""
        if "probabilities" not in record:
            if label:
                raise BadInput("--label: the model answers with a number, which has no labels; leave it out")
            return (0,), f"{record['prediction']:g}"
        label = label or max(record["probabilities"], key=record["probabilities"].get)
        return (self.number(label),), label

    def number(self, label: str) -> int:
        """The number of a label."""
        if label not in self.task.labels:
            raise BadInput(f"--label: there is no label {label!r}; there are {listing(self.task.labels)}")
        return self.task.labels.index(label)

    def tag(self, features: list[Feature], record: dict[str, Any], label: str, word: int) -> Any:
        """The window of a word, its place, the tag's column and the answer; without a number the first word that is not O."""
        words, tags = record["words"], record["tags"]
        if not 0 <= word <= len(words):
            raise BadInput(f"--word must be from 1 to {len(words)}, the number of words, not {word}")
        w = word - 1 if word else next((i for i, tag in enumerate(tags) if tag != "O" and label in ("", tag)), 0)
        feature, place = next((f, place) for f in features for place, own in f.extra if own == w)
        label = label or tags[w]
        return feature, (place,), (self.number(label),), f"{label} for word {w + 1}, {words[w]}"

    def choice(self, features: list[Feature], example: Any, record: dict[str, Any], label: str) -> Any:
        """A choice with its text as a feature of its own."""
        names = [str(i) for i in range(len(example.choices))]
        if label and label not in names and label not in example.choices:
            raise BadInput(f"--label: there is no choice {label!r}; there are {listing(example.choices)}, or numbers from 0")
        c = names.index(label) if label in names else example.choices.index(label) if label else record["prediction"]
        ids, types = features[0].extra[c]
        return Feature(0, ids, types), (0,), (0,), example.choices[c]

    def span(self, features: list[Feature], example: Any, record: dict[str, Any], label: str) -> Any:
        """The window of an answer, the places of its first and last piece, and the answer."""
        start = record["n_best"][0]["start"] if not label else example.context.find(label)
        text = label or record["prediction"]
        if label and start < 0:
            raise BadInput(f"--label: {short(label)!r} does not stand in the context; give a part of it, as it is written there")
        if not text:
            return features[0], (0, 0), "no answer"
        for f in features:
            first, offsets, own = f.extra
            inside = [i for i, (a, b) in enumerate(offsets) if b > start and a < start + len(text)]
            if inside and own[inside[0]] and offsets[inside[-1]][1] >= start + len(text):
                return f, (first + inside[0], first + inside[-1]), text
        raise BadInput(f"--label: {short(text)!r} does not fit into one window of the model")


class WordSource:
    """A masked LM, asked for the word at a [MASK], or a GPT, asked for the next token."""

    def __init__(self, tokenizer: Any, model: Any) -> None:
        self.tokenizer, self.model = tokenizer, frozen(model)
        self.masked = isinstance(model, BertForMaskedLM)
        self.task = None

    def examples(self, texts: Sequence[str]) -> list[str]:
        """The texts themselves."""
        for i, text in enumerate(texts, 1):
            refuse_halves(f"text {i}", text)
            if not text.strip():
                raise BadInput(f"text {i}: is empty")
        return list(texts)

    def file(self, path: str, labelled: bool = False) -> list[str]:
        """The lines of a file."""
        return self.examples([line for line in read_text(path, None).split("\n") if line.strip()])

    def random(self) -> Any:
        """The same architecture with random weights."""
        minitorch.manual_seed(1)
        kind, device = type(self.model), next(iter(self.model.parameters())).device
        return frozen(kind(self.model.config).to(device))

    def subject(self, example: str, label: str = "", word: int = 0, remove: str = "mask") -> Subject:
        """The model's best guess, or the token ``label``; ``word``: at which of several [MASK] (from 1)."""
        tokenizer, masked = self.tokenizer, self.masked
        if not masked and (word or remove == "delete"):
            option = "--word" if word else "--remove delete"
            raise BadInput(f"{option} is for models that read both sides; a GPT always continues the whole text")
        encoding = tokenizer.backend.encode(example, add_special_tokens=False) if hasattr(tokenizer, "backend") else None
        ids = tokenizer.encode_lines([example])[0] if encoding is None else encoding.ids
        offsets = [(i, i + 1) for i in range(len(ids))] if encoding is None else encoding.offsets
        tracer = Tracer(tokenizer)
        numbers = tracer.trace(example, ids, offsets)
        numbers = [tokenizer.cls_id, *numbers, tokenizer.sep_id] if masked else numbers
        found, words, of = tracer.placed(numbers)
        self.check_length(found)
        at = self.mask(found, word) if masked else len(found) - 1
        of = [-1 if masked and i == tokenizer.mask_id else w for i, w in zip(found, of, strict=True)]
        filler = tokenizer.mask_id if masked else next(filter(None, (tokenizer.eos_token_id, tokenizer.unk_token_id)), 0)
        subject = Subject(
            self.model,
            read_masked if masked else read_next,
            *(np.array(found), np.zeros(len(found), np.int64) if masked else None, words, np.array(of), np.array([at])),
            (0,),
            "",
            filler=filler,
            remove=remove,
            padding=tokenizer.pad_id if masked else None,
        )
        c = self.token(label) if label else int(np.argmax(self.logits(subject)))
        subject.target, subject.answer = (c,), tokenizer.tokens[c] if masked else tokenizer.decode([c])
        return subject

    def check_length(self, ids: list[int]) -> None:
        """Refuse a text that is too long: without its end, or its beginning, the question would be another."""
        config = self.model.config
        most = config.max_position_embeddings
        if not 0 < len(ids) <= most:
            raise BadInput(f"the text has {count(len(ids), 'piece')}, the model reads up to {most}: give a shorter text")

    def mask(self, ids: list[int], word: int) -> int:
        """The place of a [MASK]."""
        places = [i for i, token in enumerate(ids) if token == self.tokenizer.mask_id]
        name = self.tokenizer.names["mask_token"]
        if not places:
            raise BadInput(f"a masked LM answers at a {name}: write {name} in place of a word, as in 'The {name} barked.'")
        if not 0 <= word <= len(places):
            raise BadInput(f"--word must be from 1 to {len(places)}, the number of {name}, not {word}")
        return places[max(0, word - 1)]

    def token(self, label: str) -> int:
        """The id of a word that is one token; for a GPT with the space before it, if such a token is there."""
        for text in [label] if self.masked else [f" {label}", label]:
            ids = self.tokenizer.encode_lines([text])[0]
            if len(ids) == 1 and ids[0] != getattr(self.tokenizer, "unk_id", None):
                return int(ids[0])
        pieces = ", ".join(self.tokenizer.tokens[i] for i in ids)
        raise BadInput(f"--label: {short(label)!r} is no single token of this model's vocabulary (its pieces: {short(pieces)})")

    def logits(self, subject: Subject) -> Any:
        """The tokens' logits where the answer is read, (V,)."""
        device = next(iter(self.model.parameters())).device
        options = {} if subject.types is None else {"token_type_ids": minitorch.tensor(subject.types[None]).to(device)}
        with minitorch.no_grad():
            inputs = {"inputs_embeds": subject.embeddings(subject.ids[None]), **options}
            (table,) = subject.read(self.model, inputs, minitorch.tensor(subject.at[None]).to(device))
        return table.cpu().numpy()[0, : len(self.tokenizer)]
