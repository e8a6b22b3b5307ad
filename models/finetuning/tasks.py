"""A task: how to read its files, turn examples into features, run the model and score its predictions.

    examples ─ features ─ batches ─ model ─ rows (a feature's logits) ─ predictions (one per example) ─ scores

An example may become several features (a long text in windows); a prediction is always of a whole example.
The five tasks: classify.py, tag.py, relation.py, qa.py, choice.py.
Read before: models/text/labelled.py, models/bert/model.py. Read next: classify.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor

from ..adapting.choosing import METHODS, OPTIONS, config_for
from ..adversarial.choosing import METHODS as ADVERSARIES
from ..adversarial.choosing import check as check_adversarial
from ..augmenting.choosing import METHODS as AUGMENTATIONS
from ..augmenting.choosing import check as check_augment
from ..checkpoints.files import PRETRAINED
from ..errors import BadInput
from ..text.labelled import Rows, read_rows
from ..text.numbers import DECIMAL_NAMES, DECIMALS
from ..text.tables import delimiter_of
from ..text.tokenizer import Tokenizer
from ..training.settings import TrainingSettings, flag, option
from .labels import names_in

IGNORED = -100  # the label of a piece that the loss ignores


@dataclass
class Settings(TrainingSettings):
    """Every choice of a run; each is an option of ``minitorch finetune`` and a key of its TOML file."""

    task: str = option("", "classify, tag, relation, qa or choice")
    model: str = option(PRETRAINED, "folder of the checkpoint to start from")
    train: str = option("", "file with the examples to learn from", "without a task: Python's own documentation")
    dev: str = option("", "file that chooses the best checkpoint", "a share of --train is held out for that")
    test: str = option("", "file for the final report, used for nothing else", "the report is on the dev examples")
    output: str = option("runs/finetune", "folder for the checkpoint, the report and the run's other files")
    # columns of the files
    text: str = option("", "classify, relation, choice: column of the (first) text", "text, sentence, premise, question, ...")
    pair: str = option("", "classify: column of the second text", "text2, sentence2, hypothesis, ... if there is one")
    label: str = option("", "classify, relation, choice: column of the label (A,B,C: several of 0 and 1)", "label, class, ...")
    columns: str = option("", "classify, relation, choice: column names, joined by commas, if the first line does not name them")
    delimiter: str = option("", "classify, relation, choice: separator: tab, comma, semicolon, bar, space, or a sign", "found")
    decimal: str = option("", "classify: decimal mark of numbers to learn: point or comma", "found from all of them")
    targets: str = option("auto", "classify: classes, several (labels at once) or numbers", "auto: found from the labels")
    separator: str = option("|", "classify: separator between several labels in one cell")
    min_examples: int = option(2, "classify: fewer training examples of a label than this are an error")
    e1: str = option("", "relation: column of the first entity, or START,END", "e1, head, subject, ..., or marks in the text")
    e2: str = option("", "relation: column of the second entity", "e2, tail, object, ..., or marks in the text")
    head: str = option("start", "relation: the head reads the starts of both entities (start) or [CLS] (cls)")
    leave_out: str = option("auto", "relation: classes that F1 is not averaged over; '': none", "Other, no_relation or the like")
    merge_directions: bool = option(False, "relation: A(e1,e2) and A(e2,e1) are one class, A")
    word_column: int = option(1, "tag: column of the word, counted from 1, from the end with -1")
    tag_column: int = option(-1, "tag: column of the tag")
    iob1: bool = option(False, "tag: the files are IOB1, where I- may begin an entity")
    encoding: str = option("utf-8", "encoding of the files")
    # input of the model
    length: int = option(0, "longest text, in pieces", "128, for qa 384, or the model's limit if that is less")
    truncate: str = option("end", "cut this part of a text that is too long: end or middle")
    stride: int = option(128, "qa, tag: pieces between the starts of two windows of a long text (at most half a window)")
    query_length: int = option(64, "qa: longest question, in pieces")
    answer_length: int = option(30, "qa: longest answer, in pieces")
    n_best: int = option(20, "qa: candidate answers to compare and write per question")
    null_threshold: float = option(0.0, "qa: answer 'no answer' if it scores higher by more than this")
    # training
    epochs: int = option(3, "times through the training examples")
    lr: float = option(None, "highest learning rate", "5e-5; with --adapt one that suits the method")
    warmup: float = option(0.1, "share of the steps to reach the highest rate, which then falls linearly to 0")
    label_smoothing: float = option(0.0, "share of the target spread over all classes")
    class_weights: str = option("none", "none, balanced, or label=weight,label=weight,... (others weigh 1)")
    freeze: int = option(0, "keep the embeddings and this many first layers fixed; 0: train all; -1: fix the embeddings only")
    adapt: str = option("", f"train few parameters: {', '.join(METHODS)}; all: compare these", "all are trained")
    rank: int = option(8, "adapt lora, rslora, dora, adalora: rank of the change")
    alpha: float = option(16.0, "the same: the change is scaled by alpha / rank")
    adapt_layers: str = option("", "the same: names of layers, joined by commas, or all-linear", "query,value")
    bottleneck: int = option(0, "adapt houlsby, pfeiffer: width of the adapter", "a 16th of the hidden size")
    virtual_tokens: int = option(10, "adapt prompt, ptuning, prefix, ptuning2: how many")
    augment: str = option("", f"learn from changed copies of the examples, too: {', '.join(AUGMENTATIONS)}")
    augment_copies: int | None = option(None, "augment: copies of each example, other ones in each epoch", "eda 9, others 1")
    augment_rate: float | None = option(None, "augment: share of the words to change", "eda, dropout 0.1, mlm 0.15")
    wordlist: str = option("", "augment eda, mlm: file of synonyms, a group a line", "neighbours of the model's embeddings")
    adversarial: str = option("", f"learn from texts with moved embeddings, too: {', '.join(ADVERSARIES)}")
    adversarial_radius: float | None = option(None, "adversarial: how far they move", "fgm, pgd 5, freelb 1, smart 0.02")
    adversarial_steps: int | None = option(None, "adversarial pgd, freelb, smart: steps to get there", "3, for smart 1")
    adversarial_rate: float | None = option(None, "the same: length of a step", "pgd 1.5, freelb 0.1, smart 0.02")
    adversarial_unit: str | None = option(None, "adversarial: what both count in: 1, or deviation of the text's own embeddings",
                                          "fgm, pgd deviation, else 1")  # fmt: skip
    metric: str = option("", "best checkpoint by this metric (a tie: by the loss), or loss", "the task's own: accuracy, f1, ...")
    patience: int = option(0, "stop after this many evaluations (an epoch, or 100 steps, at least) without a gain; 0: never")
    save_every: int = option(500, "steps from one saved state to the next (each evaluation saves one, too)")
    validation: float = option(0.1, "share of --train to hold out if --dev is not given; 0: none, keep the last checkpoint")
    compare: str = option("all", "alternatives to compare with: all, classical (no BERT from random weights) or none")
    fuse: bool = option(False, "classify: add a linear model on TF-IDF and BERT features together")

    def check(self) -> None:
        """Raise BadInput for settings that cannot work, before anything is read."""
        self.decimal = DECIMAL_NAMES.get(self.decimal, self.decimal)
        self.check_adapt()
        check_adversarial(self)
        check_augment(self)
        small = ("epochs", "n_best", "answer_length", "min_examples", "stride", "query_length")
        self.check_values(
            **dict.fromkeys(small, (1, math.inf)),
            **dict.fromkeys(("length", "patience"), (0, math.inf)),
            **dict.fromkeys(("warmup", "label_smoothing", "validation"), (0, 0.999)),
            freeze=(-1, math.inf),
        )
        choices = {
            "truncate": ("end", "middle"),
            "targets": ("auto", "classes", "several", "numbers"),
            "compare": ("all", "classical", "none"),
            "head": ("start", "cls"),
            "decimal": ("", *DECIMALS),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise BadInput(f"--{name} must be one of {', '.join(filter(None, allowed))}, not {getattr(self, name)!r}")
        delimiter_of(self.delimiter)
        if self.fuse and self.task not in ("classify", ""):
            raise BadInput(f"--fuse joins TF-IDF and BERT features of texts to classify; it does not apply to {self.task}")
        for name in ("e1", "e2", "head", "leave_out", "merge_directions") if self.task != "relation" else ():
            if getattr(self, name) != getattr(Settings, name):
                raise BadInput(f"{flag(name)} is for the task relation; it does not apply to {self.task or 'others'}")
        if 0 < self.length < 5:
            raise BadInput(f"--length must be at least 5, room for [CLS], a piece of each text and two [SEP], not {self.length}")

    def check_adapt(self) -> None:
        """Settings of --adapt, and the rate that goes with it if none is given."""
        rate = 5e-5
        if self.adapt:
            rate = config_for(self).rate
            if self.freeze:
                raise BadInput("--adapt freezes the whole model: leave out --freeze")
        else:
            for name in OPTIONS:
                if getattr(self, name) != getattr(Settings, name):
                    raise BadInput(f"{flag(name)} is a setting of --adapt METHOD, which is not given")
        self.lr = rate if self.lr is None else self.lr


@dataclass
class Feature:
    """One row of a batch: the ids and segments of a text, and its target."""

    example: int  # whose
    ids: list[int]
    types: list[int]
    target: Any = None
    extra: Any = None  # the task's own data for reading the answer

    @property
    def size(self) -> int:
        """Pieces, to put texts of equal length into one batch."""
        return len(self.ids)


class Task:
    """One task. Subclasses define the contents of its files and the meaning of the model's output."""

    name: str
    kind: Any  # the BERT class
    metric: str  # the usual one to choose the best checkpoint by
    labels: list[str]
    least = 1  # training examples that a label needs
    smaller_is_better = ("loss", "rmse", "mae", "hamming_loss")
    usage = "--file FILE"  # what `minitorch predict` is given
    words: tuple[str, ...] = ()  # which the task adds to the vocabulary
    temperature = 1.0  # of the probabilities, softmax(logits / T); fitted after training (calibration.py)

    def __init__(self, settings: Settings) -> None:
        self.s = settings
        self.labels = []
        self.delimiter = ""  # of the training file
        self.notes: list[str] = []  # findings in the files, shown to the user
        self.class_weight: Any = None  # (labels,), None: all alike

    # ---- examples

    def read(self, path: str, labelled: bool = True) -> list[Any]:
        """The examples of a file."""
        raise NotImplementedError

    def table(self, path: str, optional: Sequence[str] = ()) -> Rows:
        """A file's rows. Without a header all files are cut as the training file is; ``optional`` columns may be left out."""
        cut = self.s.delimiter or (self.delimiter if self.s.columns else "")
        rows = read_rows(path, self.s.encoding, self.s.columns, cut, optional)
        self.delimiter = self.delimiter or rows.delimiter
        return rows

    def typed(self, text: str | Sequence[str]) -> Any:
        """Several texts as a user types them: with tabs between."""
        return text if isinstance(text, str) else "\t".join(part.replace("\t", " ") for part in text)

    def from_text(self, texts: Sequence[str]) -> list[Any]:
        """Examples without labels, of texts as a user types them."""
        raise BadInput(f"{self.name} needs more than a text: give --file")

    def learn(self, examples: list[Any]) -> None:
        """Collect labels and their weights from the training examples."""

    def check(self, examples: list[Any]) -> None:
        """Refuse examples whose labels were not learnt."""

    def group(self, example: Any, index: int) -> Any:
        """Examples of one group are held out together."""
        return index

    def kinds(self, example: Any) -> list[str]:
        """Its labels, of which training and held-out examples get their shares."""
        return []

    def facts(self) -> dict[str, Any]:
        """Whatever the trained model needs in use that its own configuration lacks."""
        delimiter = self.delimiter if self.s.columns else ""
        return {"labels": self.labels, "delimiter": delimiter, "temperature": self.temperature}

    def remember(self, facts: dict[str, Any]) -> None:
        """The facts of a saved run."""
        self.labels, self.delimiter = facts["labels"], str(facts.get("delimiter", ""))
        if not isinstance(self.labels, list) or not all(isinstance(label, str) for label in self.labels):
            raise ValueError("its labels are no list of names")
        self.temperature = float(facts.get("temperature", 1.0))
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"its temperature is {self.temperature}")

    # ---- the model

    def rescale(self, model: Any, forth: bool) -> None:
        """Numeric targets only: from the model's scale to the file's units (forth), or back."""

    def extend(self, tokenizer: Tokenizer, model: Any) -> list[str]:
        """Give tokenizer and model what the task needs beyond a checkpoint; returns what starts at random by that."""
        return []

    def config(self) -> dict[str, Any]:
        """Configuration of the model's head, with the label names inside."""
        return {"id2label": dict(enumerate(self.labels))}

    def features(self, examples: list[Any], tokenizer: Tokenizer) -> list[Feature]:
        """What the model is shown."""
        raise NotImplementedError

    def groups(self, features: Sequence[Feature]) -> list[int] | None:
        """Which features may share a batch: those with the same number; None: all."""
        return None

    def batch(self, features: Sequence[Feature], tokenizer: Tokenizer) -> dict[str, Tensor]:
        """The model's arguments, with labels if the features have targets."""
        inputs = tokenizer.batch([(f.ids, f.types) for f in features])
        if features[0].target is not None:
            inputs["labels"] = self.label_tensor(features, inputs["input_ids"].shape[1])
        return inputs

    def label_tensor(self, features: Sequence[Feature], S: int) -> Tensor:
        """The features' targets: one class each, unless a task has it otherwise."""
        return minitorch.tensor(np.array([f.target for f in features], dtype=np.int64))

    def weight(self, batch: dict[str, Tensor]) -> float:
        """What the mean loss of a micro-batch, still on the host, is taken over: labels, or the sum of their classes' weights."""
        labels = batch["labels"].numpy()
        asked = labels[labels != IGNORED]
        return float(asked.size if self.class_weight is None else self.class_weight[asked].sum())

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """The mean loss of a micro-batch (the BERT class's own, unless it is smoothed or weighted), and the model's output."""
        if not self.s.label_smoothing and self.class_weight is None:
            output = model(**batch)
            return output.loss, output
        output = model(**{name: value for name, value in batch.items() if name != "labels"})
        labels = batch["labels"].reshape(-1)
        logits = output.logits.reshape(len(labels), -1)
        loss = weighted_smoothed(logits, labels, self.class_weight, self.s.label_smoothing)
        return loss + model.regularization() if self.s.adapt and model.training else loss, output

    def logits(self, output: Any, batch: dict[str, Tensor]) -> Tensor:
        """(answers, C): the logits of each answer that the loss looks at."""
        return output.logits

    def rows(self, output: Any, features: Sequence[Feature]) -> list[Any]:
        """The part of the model's output that belongs to each feature."""
        return list(output.logits.cpu().numpy())

    # ---- answers

    def predictions(self, examples: list[Any], features: Sequence[Feature], rows: Sequence[Any]) -> list[Any]:
        """One prediction per example."""
        raise NotImplementedError

    def score(self, examples: list[Any], predictions: list[Any]) -> dict[str, Any]:
        """The metrics."""
        raise NotImplementedError

    def confidences(self, examples: list[Any], predictions: list[Any]) -> tuple[Any, Any] | None:
        """Log-probabilities (N, C) and right classes (N,), where predictions are probabilities (calibration.py)."""
        return None

    def shown(self, example: Any, prediction: Any) -> dict[str, Any]:
        """A prediction as a record for people and programs."""
        raise NotImplementedError

    def gold(self, example: Any) -> Any:
        """The right answer of an example, in the form of its prediction."""
        return example.target

    def baselines(self) -> dict[str, Any]:
        """The alternatives without a neural network, by name: functions that make one (models/classical/baselines.py)."""
        return {}

    def set_class_weights(self, counts: Sequence[int], balanced: Callable[[Any], Any] | None = None) -> None:
        """--class-weights, of labels that occur so often in training; ``balanced`` computes those of that name."""
        asked = self.s.class_weights
        if asked == "none":
            return
        if asked == "balanced":
            self.class_weight = (balanced or balanced_weights)(np.array(counts)).astype(np.float32)
            order = [i for i in np.argsort(self.class_weight) if counts[i]]
            low, high = (f"{self.class_weight[i]:.3g} ({self.labels[i]}, {counts[i]:,})" for i in (order[0], order[-1]))
            self.notes.append(f"class weights (with how often the label occurs in training) run from {low} to {high}")
            return
        weights = dict.fromkeys(self.labels, 1.0)
        for part in names_in(asked):
            label, _, value = part.rpartition("=")
            try:
                weights[label.strip()] = float(value)
            except ValueError:
                raise BadInput(f"--class-weights: {part!r} is not label=number (or give none, balanced)") from None
            if not 1e-6 <= weights[label.strip()] <= 1e6:
                raise BadInput(f"--class-weights: {part!r}: a weight must be a number from 1e-6 to 1e6")
        unknown = [label for label in weights if label not in self.labels]
        if unknown:
            raise BadInput(f"--class-weights: there is no label {unknown[0]!r}; there are {', '.join(self.labels[:12])}")
        self.class_weight = np.array([weights[label] for label in self.labels], dtype=np.float32)


def balanced_weights(counts: Any) -> Any:
    """n / (classes · n_class), as scikit-learn has it, of the classes that occur; 1 for one that does not."""
    return np.where(counts > 0, counts.sum() / ((counts > 0).sum() * np.maximum(counts, 1)), 1.0)


def weighted_smoothed(logits: Tensor, labels: Tensor, class_weight: Any, smoothing: float) -> Tensor:
    """Σᵢ w(tᵢ) Hᵢ / Σᵢ w(tᵢ) of logits (N, C) and labels t (N,), with Hᵢ = -Σ_c q_c ln p_c and q = (1 - ε) onehot(tᵢ) + ε/C.

    A weight multiplies whole examples. PyTorch's cross_entropy with weight and label_smoothing weighs each class's part of q
    instead, -Σ_c w_c q_c ln p_c: with a weight of 100 a rare class becomes most of the smoothed target of every example.
    """
    if class_weight is None:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)
    weight = minitorch.tensor(class_weight).to(logits.device)[labels.clamp(min=0)] * (labels != IGNORED)
    return (F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing) * weight).sum() / weight.sum()


def cut(ids: list[int], room: int, truncate: str) -> list[int]:
    """At most ``room`` ids. Of a long text its end is left out, or its middle: reviews often conclude at the end.

    Sun et al. (2019), "How to fine-tune BERT for text classification?", https://arxiv.org/abs/1905.05583, section 5.3.1.
    """
    if len(ids) <= room:
        return ids
    if truncate == "end":
        return ids[:room]
    return [*ids[: room // 2], *ids[len(ids) - (room - room // 2) :]]
