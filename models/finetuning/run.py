"""Fine-tuning: a head on a BERT, trained on a labelled file; the best checkpoint is kept, and any run can be resumed.

    from models import finetuning

    run = finetuning.finetune("classify", train="train.tsv", dev="dev.tsv", model="runs/pretrain", output="runs/reviews")
    print(run.report["scores"]["accuracy"])
    print(finetuning.load("runs/reviews")(["What a wonderful book."]))

AdamW, linear warmup and decay, gradients clipped, as in Devlin et al. (2018), appendix A.3. As in pretraining every random
choice is a function of (seed, step), so that a resumed run is bit-equal to one that never stopped.
Read before: tasks.py, models/training/loop.py. Read next: report.py, command.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor, optim
from minitorch.files import write_text
from minitorch.optim.lr_scheduler import get_linear_schedule_with_warmup
from minitorch.parallel import Workers

from ..bert.config import BertConfig
from ..bert.weights import MODEL_FILES, locate
from ..errors import BadInput, count, listing
from ..text.labelled import as_json, refuse_halves
from ..text.tokenizer import Tokenizer
from ..training.loop import Glance, between_steps, clocks, decay_groups, progress, to_device
from ..training.precision import Precision
from ..training.runs import STATE, new_run
from ..training.settings import typed
from .choice import Choose
from .classify import Classify
from .qa import Answer
from .tag import Tag
from .tasks import Batches, Feature, Settings, Task

FACTS = "finetune.json"
KEPT = (STATE, FACTS, *MODEL_FILES)  # a run is not written over one of these
REACHED = ("step", "seconds", "processor_seconds", "recent", "metrics", "best", "stale")  # where a trainer is
TASKS: dict[str, Any] = {task.name: task for task in (Classify, Tag, Answer, Choose)}


@dataclasses.dataclass
class Data:
    """The examples, read and checked, and a fingerprint of the files they came from."""

    train: list[Any]
    dev: list[Any]
    test: list[Any]
    sha256: str


def read_data(s: Settings, task: Task) -> Data:
    """Everything is read and checked before anything is trained or written."""
    if not s.train:
        raise BadInput("--train FILE is missing: the examples to learn from")
    everything = task.read(s.train)
    task.learn(everything)
    dev, test = (task.read(path) if path else [] for path in (s.dev, s.test))
    for examples in (everything, dev, test):
        task.check(examples)
    train = everything
    if not s.dev and s.validation:
        train, dev = hold_out(everything, task, s)
    if not dev and not test:
        raise BadInput("there is nothing to report on: give --dev or --test, or a --validation share above 0")
    digest = hashlib.sha256()
    seen: dict[bytes, str] = {}
    for name in ("train", "dev", "test"):
        if path := getattr(s, name):
            content = Path(path).read_bytes()
            digest.update(content)
            first = seen.setdefault(content, name)
            if first != name:
                task.notes.append(
                    f"--{name} {path} is the same as --{first}: what is measured there says nothing of new examples"
                )
    return Data(train, dev, test, digest.hexdigest())


def hold_out(examples: list[Any], task: Task, s: Settings) -> tuple[list[Any], list[Any]]:
    """Set examples aside at random; those of one group (questions on one text) stay together."""
    groups = [task.group(example, i) for i, example in enumerate(examples)]
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        raise BadInput(f"{s.train}: too few examples to hold some out; give --dev")
    order = np.random.default_rng([s.seed, 3]).permutation(len(names))
    away = {names[i] for i in order[: min(len(names) - 1, max(1, round(s.validation * len(names))))]}
    parts: tuple[list[Any], list[Any]] = ([], [])
    for example, group in zip(examples, groups, strict=True):
        parts[group in away].append(example)
    return parts


def make_model(s: Settings, task: Task, say: Callable[[str], None] = print) -> tuple[Tokenizer, Any]:
    """The checkpoint's BERT with the task's head on it; what is not in the checkpoint starts at random, and it says so."""
    where = locate(s.model)
    tokenizer = Tokenizer.from_pretrained(where)
    rates = {"hidden_dropout_prob": s.dropout, "attention_probs_dropout_prob": s.dropout, "classifier_dropout": s.dropout}
    minitorch.manual_seed(s.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is missing is said below
        model, info = task.kind.from_pretrained(
            where, output_loading_info=True, ignore_mismatched_sizes=True, **task.config(), **rates
        )
    fresh = info["missing_keys"] + info["mismatched_keys"]
    foreign = [name for name in fresh if not re.match(r"classifier|qa_outputs|bert\.pooler", name)]
    if foreign:
        raise BadInput(f"{where}: the weight {foreign[0]} is missing or of another shape than config.json says")
    if fresh:
        say(f"start at random, for the checkpoint has none of these: {', '.join(fresh)}")
    if len(tokenizer) > model.config.vocab_size:
        sizes = f"the tokenizer has {len(tokenizer)} tokens, the model {model.config.vocab_size}"
        raise BadInput(f"{where}: {sizes}; they do not belong together")
    longest = model.config.max_position_embeddings
    if s.length > longest:
        raise BadInput(f"--length {s.length}: the model of {where} reads at most {longest} pieces")
    s.length = s.length or min(longest, 384 if s.task == "qa" else 128)
    freeze(model, s.freeze)
    return tokenizer, model.to(s.device)


def random_model(s: Settings, like: Any) -> Any:
    """The same architecture with fresh weights, all of which learn."""
    minitorch.manual_seed(s.seed + 1)
    return type(like)(BertConfig.from_dict(like.config.to_dict())).to(s.device)


def freeze(model: Any, layers: int) -> None:
    """Embeddings and the first ``layers`` layers (-1: embeddings alone) do not learn."""
    stack = model.bert.encoder.layer
    if layers > len(stack):
        raise BadInput(f"--freeze {layers}: the model has {count(len(stack), 'layer')}")
    for part in [model.bert.embeddings, *list(stack)[: max(layers, 0)]] if layers else []:
        for p in part.parameters():
            p.requires_grad_(False)


# ----------------------------------------------------------------------------------------------------- the training


class Trainer:
    """The loop: a model, its batches, and the step it has reached. It knows nothing of files; Run, below, does."""

    def __init__(self, s: Settings, task: Task, tokenizer: Tokenizer, model: Any, train: Sequence[Any], dev: Sequence[Any]):
        self.s, self.task, self.tokenizer, self.model = s, task, tokenizer, model
        started = clocks()
        self.features = task.features(list(train), tokenizer)
        self.seconds, self.processor_seconds = clocks() - started  # of training, evaluations included
        self.dev, self.dev_features = list(dev), task.features(list(dev), tokenizer) if dev else []
        self.batches = Batches(self.features, s.batch_size, s.seed, groups_of(self.features))
        self.steps = s.epochs * self.batches.count
        groups = [group for group in decay_groups(model, s.weight_decay) if group["params"]]
        self.optimizer = optim.AdamW(groups, lr=s.lr)
        self.schedule = get_linear_schedule_with_warmup(self.optimizer, int(s.warmup * self.steps), self.steps)
        self.step = 0
        self.precision = Precision(s.precision, s.device)
        self.recent: list[Any] = []  # losses since the last evaluation: a number each, or its parts, unread
        self.metrics: list[dict[str, Any]] = []
        self.best: float | None = None
        self.stale = 0  # evaluations since the best one
        self.on_best: Callable[[], None] = self.keep_weights
        self.on_state: Callable[[], None] = lambda: None
        self.weights: dict[str, Tensor] = {}

    @property
    def metric(self) -> str:
        """The name of the metric that chooses the checkpoint."""
        return self.s.metric or self.task.metric

    def keep_weights(self) -> None:
        """The best weights so far, in memory."""
        self.weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def train(self, label: str = "") -> None:
        """All steps that are left, or until nothing gets better; Ctrl-C leaves a state behind."""
        s = self.s
        every = s.eval_every or self.batches.count
        bar = progress(self.steps, self.step)
        bar.set_description_str(label)
        order: tuple[int, Any] = (-1, None)
        glance = Glance(s.device)
        self.model.train()
        with bar, Workers(s.workers) as workers, between_steps() as interrupt:
            while self.step < self.steps and not self.is_stale:
                started = clocks()
                epoch, position = divmod(self.step, self.batches.count)
                order = order if order[0] == epoch else (epoch, self.batches.epoch(epoch))
                self.recent.append(self.one_step([self.features[i] for i in order[1][position]], workers))
                self.step += 1
                evaluated = self.step % every == 0 or self.step == self.steps
                saved = evaluated or interrupt.is_set() or self.step % s.save_every == 0
                looked = glance.due(saved)
                if looked:
                    self.read()
                if evaluated:
                    self.evaluate(workers)
                self.count_cost(clocks() - started)
                if looked:
                    shown = f"loss {np.mean(self.recent[-50:]) if self.recent else self.metrics[-1]['loss']:.3f}"
                    best = "" if self.best is None else f", dev {self.metric} {self.metrics[-1]['dev_metric']:.3f}"
                    bar.set_postfix_str(shown + best, refresh=False)
                bar.update()
                if saved:
                    self.on_state()
                if interrupt.is_set():
                    raise KeyboardInterrupt

    def count_cost(self, spent: Any) -> None:
        """Add (seconds, processor seconds)."""
        self.seconds += float(spent[0])
        self.processor_seconds += float(spent[1])

    @property
    def is_stale(self) -> bool:
        """Has it been long enough without anything better?"""
        return bool(self.s.patience) and self.stale >= self.s.patience

    def one_step(self, features: Sequence[Feature], workers: Workers) -> list[Tensor]:
        """Forward and backward over the micro-batches, clip, update; the loss of the batch, in parts that are not read yet."""
        s = self.s
        pieces = np.array_split(np.arange(len(features)), min(len(features), s.workers * s.accumulate))
        micro = [self.task.batch([features[i] for i in piece], self.tokenizer) for piece in pieces]
        weights = [self.task.weight(batch) for batch in micro]
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer.zero_grad()

        def part(batch: dict[str, Tensor], weight: float) -> tuple[Tensor, Tensor]:
            with self.precision.block():
                loss, _ = self.task.loss(self.model, to_device(batch, self.model, s.device))
                loss = loss * (weight / sum(weights))
            return self.precision.scaler.scale(loss), loss.detach()

        parts = [lambda b=b, w=w: part(b, w) for b, w in zip(micro, weights, strict=True)]
        results = workers.backward(parameters, parts, seed=(s.seed, self.step))
        self.precision.update(self.optimizer, parameters, s.clip)
        self.schedule.step()
        return [loss for _, loss in results]

    def read(self) -> None:
        """The losses that a card may still have been computing, as numbers; an error if one of them is none."""
        first = self.step - len(self.recent)
        for i, parts in enumerate(self.recent):
            if not isinstance(parts, float):
                loss = self.recent[i] = math.fsum(part.item() for part in parts)
                if not math.isfinite(loss):
                    self.refuse_loss(loss, first + i)

    def refuse_loss(self, loss: float, step: int) -> None:
        """Stop: from weights that give no loss nothing is learnt, and they must not become the best ones."""
        lr = self.s.lr
        raise BadInput(f"the loss became {loss} at step {step}: the rate {lr} is too high here; try --lr {lr / 3:.1g}")

    # ---- evaluation

    def answer(self, features: Sequence[Feature], workers: Workers | None = None) -> tuple[list[Any], float]:
        """The rows of all features in their order, and the mean loss (nan without labels)."""
        self.model.eval()
        rows: list[Any] = [None] * len(features)
        batches = Batches(features, self.s.batch_size, 0, groups_of(features)).epoch(0)
        labelled = bool(features) and features[0].target is not None

        def one(chosen: Any) -> tuple[float, float]:
            some = [features[i] for i in chosen]
            batch = self.task.batch(some, self.tokenizer)
            with minitorch.no_grad(), self.precision.block():
                sent = to_device(batch, self.model, self.s.device)
                loss, output = self.task.loss(self.model, sent) if labelled else (None, self.model(**sent))
            for i, row in zip(chosen, self.task.rows(output, some), strict=True):
                rows[i] = row
            weight = self.task.weight(batch) if loss is not None else 0.0
            return loss.item() * weight if loss is not None else 0.0, weight

        sums = np.array(list(map(one, batches) if workers is None else workers.map(one, batches)))
        self.model.train()
        return rows, float(sums[:, 0].sum() / sums[:, 1].sum()) if labelled else float("nan")

    def evaluate(self, workers: Workers | None = None) -> None:
        """One line of metrics, and the best checkpoint kept; without dev examples the last one is the best."""
        line: dict[str, Any] = {"step": self.step, "epoch": round(self.step / self.batches.count, 3)}
        line.update(loss=float(np.mean(self.recent)), lr=self.schedule.get_last_lr()[0])
        self.recent = []
        better = True
        if self.dev:
            rows, loss = self.answer(self.dev_features, workers)
            if not math.isfinite(loss):
                self.refuse_loss(loss, self.step)
            scores = self.task.score(self.dev, self.task.predictions(self.dev, self.dev_features, rows))
            scores["loss"] = loss
            value = scores[self.metric]
            line.update({f"dev_{name}": x for name, x in scores.items() if isinstance(x, float)}, dev_metric=value)
            sign = -1 if self.metric in self.task.smaller_is_better else 1
            better = self.best is None or sign * value > sign * self.best
            self.best = value if better else self.best
        self.stale = 0 if better else self.stale + 1
        self.metrics.append({**line, "best": better})
        if better:
            self.on_best()

    def check_metric(self) -> None:
        """Refuse a --metric that the task does not have, before an epoch is spent."""
        if self.dev:
            few = self.dev[:2]
            features = self.task.features(few, self.tokenizer)
            rows, loss = self.answer(features)
            scores = {**self.task.score(few, self.task.predictions(few, features, rows)), "loss": loss}
            names = [name for name, x in scores.items() if isinstance(x, float)]
            if self.metric not in names:
                raise BadInput(f"--metric {self.metric}: there is no such metric for this task; there are {', '.join(names)}")

    def report_on(self, examples: list[Any]) -> tuple[list[Any], dict[str, Any], Any]:
        """Predictions, scores, and what answering cost, from text to answer: (seconds, processor seconds)."""
        started = clocks()
        features = self.task.features(examples, self.tokenizer)
        with Workers(self.s.workers) as workers:
            rows, loss = self.answer(features, workers)
        predictions = self.task.predictions(examples, features, rows)
        spent = clocks() - started
        return predictions, {**self.task.score(examples, predictions), "loss": loss}, spent


def groups_of(features: Sequence[Feature]) -> list[int] | None:
    """Only examples with equally many choices can be in one batch."""
    several = [len(f.extra) if isinstance(f.extra, list) and f.extra and isinstance(f.extra[0][0], list) else 0 for f in features]
    return several if any(several) else None


# ---------------------------------------------------------------------------------------------------------- a run


class Run:
    """A fine-tuning run with its folder: settings, data, trainer, checkpoints."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = print) -> None:
        if settings.task not in TASKS:
            instead = f", not {settings.task!r}" if settings.task else ", as in: minitorch finetune classify --train FILE"
            raise BadInput(f"the task must be one of {', '.join(TASKS)}{instead}")
        settings.check()
        settings.threads = settings.workers  # written down: a run that goes on elsewhere adds up in the same order
        self.s, self.say, self.folder = settings, say, Path(settings.output)
        self.task: Task = TASKS[settings.task](settings)
        self.data = read_data(settings, self.task)
        for note in self.task.notes:
            say(note)
        self.tokenizer, self.model = make_model(settings, self.task, say)
        self.trainer = Trainer(settings, self.task, self.tokenizer, self.model, self.data.train, self.data.dev)
        self.trainer.on_best, self.trainer.on_state = self.save_best, self.save_state
        self.trainer.check_metric()
        if note := too_little(settings, self.trainer.steps, self.model.config.initializer_range):
            say(note)
        self.report: dict[str, Any] = {}
        if self.data.test:
            self.task.features(self.data.test, self.tokenizer)  # what is wrong with them is said now, not after training
        make_folder(self.folder, settings.model)

    def save_best(self) -> None:
        """The checkpoint in Hugging Face's layout with tokenizer and label names, in the units of the file."""
        before = {name: value.clone() for name, value in self.model.state_dict().items() if "classifier" in name}
        self.task.rescale(self.model, forth=True)
        try:
            self.model.save_pretrained(self.folder)
        finally:
            self.model.load_state_dict(before, strict=False)
        self.tokenizer.save_pretrained(self.folder)
        facts = {"task": self.task.name, "facts": self.task.facts(), "settings": dataclasses.asdict(self.s)}
        facts |= {"sha256": self.data.sha256, "step": self.trainer.step, "minitorch": minitorch.__version__}
        write_text(self.folder / FACTS, as_json(facts, 2) + "\n")

    def load_best(self) -> None:
        """The weights that save_best last wrote."""
        try:
            self.model.load_state_dict(minitorch.load(self.folder / "model.safetensors"))
        except (ValueError, OSError, RuntimeError) as error:
            raise BadInput(f"the best checkpoint so far cannot be read, so train again (--overwrite): {error}") from error
        self.model.to(self.s.device)
        self.task.rescale(self.model, forth=False)

    def save_state(self) -> None:
        """Everything that the next step depends on, in one file: whole or not there."""
        t = self.trainer
        state = {
            "settings": dataclasses.asdict(self.s),
            "sha256": self.data.sha256,
            **{name: getattr(t, name) for name in REACHED},
            "model": dict(self.model.state_dict()),
            "optimizer": t.optimizer.state_dict(),
            "schedule": t.schedule.state_dict(),
            "scaler": t.precision.scaler.state_dict(),
            "rng": minitorch.get_rng_state(),
        }
        minitorch.save(state, self.folder / STATE)
        write_text(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in t.metrics))

    def load_state(self) -> None:
        """Continue where save_state was last called."""
        path = self.folder / STATE
        state = read_state(path)
        if state["sha256"] != self.data.sha256:
            raise BadInput(f"{path}: that run was on other files, or they have changed; give it those it began with")
        self.model.load_state_dict(state["model"])
        t = self.trainer
        t.optimizer.load_state_dict(state["optimizer"])
        t.schedule.load_state_dict(state["schedule"])
        t.precision.scaler.load_state_dict(state["scaler"])
        for name in REACHED:
            setattr(t, name, state[name])
        minitorch.set_rng_state(state["rng"])

    def train(self) -> None:
        """Train to the end, and put the best weights into the model."""
        self.trainer.train(self.task.name)
        self.load_best()

    @property
    def judged(self) -> tuple[str, list[Any]]:
        """What the report is on: the test examples if there are any, or else those of dev."""
        return ("test", self.data.test) if self.data.test else ("dev", self.data.dev)


def too_little(s: Settings, steps: int, spread: float) -> str:
    """What to do if the weights cannot get anywhere; nothing if they can.

    Adam moves a weight by about the rate in a step, whatever the gradient's size, and the rates of a run add up to half of
    the highest times the steps (they rise from 0 and fall to 0 again). Beside ``spread``, the deviation of BERT's initial
    weights, that should be more than a tenth: with less, small BERTs on small files stayed near the most frequent class.
    """
    way = s.lr * steps / 2
    if way >= spread / 10:
        return ""
    return (
        f"{count(steps, 'step')} at a rate of at most {s.lr:g} {'moves' if steps == 1 else 'move'} a weight by {way:.1g} or so, "
        f"and weights are of the size {spread:g}: hardly anything will be learnt. Try more --epochs, a smaller --batch-size, or "
        "a higher --lr: a small BERT bears 1e-3"
    )


def make_folder(folder: Path, model: str) -> None:
    """The run's folder; what makes it unfit to write to is said before anything is trained."""
    if folder.resolve() == Path(model).resolve():
        raise BadInput(f"--output {folder} is the checkpoint that the run starts from; give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInput(f"--output {folder}: cannot write there: {error.strerror}") from None


def read_state(path: Path) -> dict[str, Any]:
    """What Run.save_state wrote."""
    state = minitorch.load(path)
    wanted = {*REACHED, "settings", "sha256", "model", "optimizer", "schedule", "scaler", "rng"}
    if not isinstance(state, dict) or wanted - state.keys():
        raise BadInput(f"{path}: not the state of a fine-tuning run")
    return state


def finetune(task: str, train: str = "", say: Callable[[str], None] = print, overwrite: bool = False, **settings: Any) -> Run:
    """Train, measure the alternatives, write and return everything: the command in one call. Settings are its options."""
    from .report import finish

    s = Settings(task=task, train=str(train), **settings)
    cure = "give another output, or overwrite=True"
    with contextlib.ExitStack() as until_the_end:
        run: Run = new_run(lambda: Run(s, say), s.output, KEPT, overwrite, until_the_end, cure=cure)
        run.train()
        finish(run)
    return run


# ------------------------------------------------------------------------------------------------------- using it


class Predictor:
    """A fine-tuned model, ready to answer: ``Predictor(folder)(["a text", ...])`` gives one record a text."""

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        folder = Path(folder)
        path = folder / FACTS
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            here = {"device": device, "precision": "float32", "threads": 0, "model": str(folder)}
            settings = Settings(**{**saved["settings"], **here})
            check_types(path, settings)
            settings.check()
            self.task: Task = TASKS[saved["task"]](settings)
            self.task.remember(saved["facts"])
        except FileNotFoundError:
            within = [f"{path.parent}" for path in sorted(folder.glob(f"*/{FACTS}"))]  # of the tasks made from documentation
            which = listing(within) if within else "a folder that `minitorch finetune` wrote"
            raise BadInput(f"{folder}: no {FACTS} here; give {which}") from None
        except BadInput:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{path}: not the record of a fine-tuning run ({error})") from error
        self.tokenizer, model = make_predictor(folder, self.task.kind, device)
        if self.task.config() and len(self.task.labels) != model.config.num_labels:
            n, m = len(self.task.labels), model.config.num_labels
            raise BadInput(
                f"{path}: tells of {count(n, 'label')}, but {folder / 'config.json'} of {m}; they do not belong together"
            )
        self.trainer = Trainer(settings, self.task, self.tokenizer, model, [], [])

    def __call__(self, texts: Sequence[str | tuple[str, ...]]) -> list[dict[str, Any]]:
        """Answers to texts as a user types them.

        Two texts, a question and its context, a text and its choices: one string with tabs between them, or a tuple. For
        tagging a tuple is the words, which else are what spaces and punctuation leave.
        """
        if isinstance(texts, str):
            raise BadInput(f"give a list of texts, such as [{texts[:30]!r}]; a string alone would be taken letter by letter")
        for i, text in enumerate(texts, 1):
            if not isinstance(text, str | tuple | list) or not all(isinstance(part, str) for part in text):
                raise BadInput(f"text {i}: a text is a string, or a tuple of strings, not {text!r}")
            refuse_halves(f"text {i}", text)  # of the command line, where bytes that are no UTF-8 become such
        return self.records(self.task.from_text([self.task.typed(text) for text in texts]))

    def file(self, path: str) -> list[dict[str, Any]]:
        """Answers to the examples of a file of the task's format; labels need not be there."""
        return self.records(self.task.read(path, labelled=False))

    def records(self, examples: list[Any]) -> list[dict[str, Any]]:
        """One record an example."""
        features = self.task.features(examples, self.tokenizer)
        with Workers(self.task.s.workers) as workers:
            rows, _ = self.trainer.answer(features, workers)
        predictions = self.task.predictions(examples, features, rows)
        return [self.task.shown(example, p) for example, p in zip(examples, predictions, strict=True)]


def check_types(path: Path, settings: Settings) -> None:
    """Refuse a record in which somebody has written a word for a number."""
    for f in dataclasses.fields(Settings):
        typed(str(path), f.name, getattr(settings, f.name), str(f.type))


def make_predictor(folder: Path, kind: Any, device: str) -> tuple[Tokenizer, Any]:
    """Tokenizer and model of a folder."""
    from ..bert.use import load as load_checkpoint

    return load_checkpoint(folder, kind, device)


def load(folder: str | Path, device: str = "cpu") -> Predictor:
    """The model of a folder that fine-tuning wrote."""
    return Predictor(folder, device)
