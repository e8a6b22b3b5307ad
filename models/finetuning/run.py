"""A fine-tuning run: its data, its trainer, and its folder, where the best checkpoint and the state to resume from are kept.

Read before: trainer.py. Read next: report.py, command.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import minitorch
from minitorch import distributed
from minitorch.files import write_text
from minitorch.parallel import Workers

from ..adapting import PeftModel
from ..adapting.files import CONFIG, WEIGHTS
from ..adversarial import Adversary
from ..augmenting import Augmenter
from ..checkpoints.files import MODEL_FILES, read_weights
from ..errors import LONGEST, BadInput, count, listing, short
from ..reading import read_json
from ..text.labelled import as_json
from ..text.tokenizer import Tokenizer
from ..training import ranks
from ..training.runs import STATE
from ..training.runs import make_folder as make_run_folder
from ..training.trainer import Trainer, read_training
from .calibration import fit_temperature
from .choice import Choose
from .classify import Classify
from .qa import Answer
from .relation import Relation
from .tag import Tag
from .tasks import Settings, Task
from .trainer import make_model

FACTS = "finetune.json"
KEPT = (STATE, FACTS, *MODEL_FILES, CONFIG, WEIGHTS)  # a run that has one of these is not overwritten
TASKS: dict[str, Any] = {task.name: task for task in (Classify, Tag, Relation, Answer, Choose)}


@dataclasses.dataclass
class Data:
    """The examples, read and checked, and a fingerprint of the files they came from."""

    train: list[Any]
    dev: list[Any]
    test: list[Any]
    sha256: str


def read_data(s: Settings, task: Task) -> Data:
    """Read and check everything before anything is trained or written."""
    if not s.train:
        raise BadInput("--train FILE is missing: the examples to learn from")
    everything = task.read(s.train)
    notes = list(task.notes)
    task.learn(everything)
    dev, test = (task.read(path) if path else [] for path in (s.dev, s.test))
    for examples in (everything, dev, test):
        task.check(examples)
    train = everything
    if not s.dev and s.validation:
        train, dev = hold_out(everything, task, s)
        task.notes = notes
        task.learn(train)
        task.notes += missing_kinds(train, dev, task)
    if not dev and not test:
        raise BadInput("there is nothing to report on: give --dev or --test, or a --validation share above 0")
    for name in ("patience", "metric"):
        if getattr(s, name) and not dev:
            raise BadInput(f"--{name} needs dev examples: give --dev, or a --validation share above 0")
    digest = hashlib.sha256()
    seen: dict[bytes, str] = {}
    for name in ("train", "dev", "test", "wordlist"):
        if path := getattr(s, name):
            content = Path(path).read_bytes() if Path(path).is_file() else path.encode()  # a pipe can be read only once
            digest.update(content)
            first = seen.setdefault(content, name)
            if first != name:
                task.notes.append(f"--{name} {path} is the same as --{first}: a score there says nothing about new examples")
    return Data(train, dev, test, digest.hexdigest())


def hold_out(examples: list[Any], task: Task, s: Settings) -> tuple[list[Any], list[Any]]:
    """(those that stay, those held out): of every label its share; examples of one group (questions on one text) stay together.

    Systematic sampling: with the groups in random order, then sorted by their rarest labels, evenly spaced ones are taken; but
    none with a label of which training would keep fewer than it needs.
    """
    groups: dict[Any, list[int]] = {}
    for i, example in enumerate(examples):
        groups.setdefault(task.group(example, i), []).append(i)
    kinds = {name: {kind for i in members for kind in task.kinds(examples[i])} for name, members in groups.items()}
    left = Counter(kind for found in kinds.values() for kind in found)  # groups with a label that training keeps
    rng = np.random.default_rng([s.seed, 3])
    names = list(groups)
    names = [names[i] for i in rng.permutation(len(names))]
    rarest_first = {name: sorted((left[kind], kind) for kind in found) for name, found in kinds.items()}
    spare = sorted((n for n in names if all(left[kind] > task.least for kind in kinds[n])), key=rarest_first.__getitem__)
    wanted = min(len(spare), len(names) - 1, max(1, round(s.validation * len(names))))
    if not wanted:
        raise BadInput(f"{s.train}: too few examples to hold some out (training keeps {task.least} of each label); give --dev")
    places = ((np.arange(wanted) + rng.random()) * (len(spare) / wanted)).astype(int)
    others = rng.permutation(np.setdiff1d(np.arange(len(spare)), places))  # step in for those that training comes to need
    away: set[int] = set()
    for name in (spare[i] for i in [*places.tolist(), *others.tolist()]):
        if wanted and all(left[kind] > task.least for kind in kinds[name]):
            wanted -= 1
            left.subtract(kinds[name])
            away.update(groups[name])
    return [e for i, e in enumerate(examples) if i not in away], [examples[i] for i in sorted(away)]


def missing_kinds(train: list[Any], dev: list[Any], task: Task) -> list[str]:
    """A note on the labels that no held-out example has; none if there is no such label."""
    held = {kind for e in dev for kind in task.kinds(e)}
    counts = Counter(kind for e in train for kind in set(task.kinds(e)) - held)
    if not counts:
        return []
    names = listing([f"{kind} ({count(n, 'example')})" for kind, n in sorted(counts.items(), key=lambda item: item[1])], 8)
    return [f"no held-out example has {names}: the dev scores do not cover them; a larger --validation or --dev FILE may"]


def read_state(path: Path) -> dict[str, Any]:
    """The state that Run.save_state wrote."""
    return read_training(path, "fine-tuning", Settings)


class Run:
    """A fine-tuning run with its folder: settings, data, trainer, checkpoints."""

    tasks: ClassVar[dict[str, Any]] = TASKS

    def __init__(self, settings: Settings, say: Callable[[str], None] = print) -> None:
        if settings.task not in self.tasks:
            instead = f", not {settings.task!r}" if settings.task else ", as in: minitorch finetune classify --train FILE"
            raise BadInput(f"the task must be one of {', '.join(TASKS)}{instead}")
        settings.check()
        ranks.agree_on_settings(settings, [settings.model])
        settings.threads = settings.workers  # saved, so that a run resumed on another machine sums in the same order
        self.s, self.say, self.folder = settings, say, Path(settings.output)
        self.task: Task = self.tasks[settings.task](settings)
        self.data = read_data(settings, self.task)
        ranks.agree_on_examples(self.data)
        for note in self.task.notes:
            say(short(note, LONGEST))
        self.tokenizer, self.model = self.make_model()
        self.trainer = self.make_trainer(self.model)
        self.trainer.on_best, self.trainer.on_state = self.save_best, self.save_state
        self.trainer.check_metric()
        if note := too_little(settings, self.trainer.steps, self.model.config.initializer_range):
            say(note)
        self.report: dict[str, Any] = {}
        if self.data.test:
            self.task.features(self.data.test, self.tokenizer)  # their errors come now, not after training
        ranks.by_first(lambda: make_folder(self.folder, settings.model))

    def make_trainer(self, model: Any) -> Trainer:
        """A trainer for this run's examples in this run's way."""
        copies = self.s.augment_copies if self.s.augment else 0
        train = self.data.train * (1 + copies)
        trainer = Trainer(self.s, self.task, self.tokenizer, model, train, self.data.dev)
        if copies:
            trainer.augment = Augmenter(self.s, self.task, self.tokenizer, model, self.data.train)
        if self.s.adversarial and self.s.adversarial_radius:
            kinds = {"numbers": lambda z: z, "several": minitorch.sigmoid}
            mean = kinds.get(getattr(self.task, "targets", ""), lambda z: minitorch.softmax(z, dim=-1))
            t = self.tokenizer
            special = [t.pad_id, t.cls_id, t.sep_id, *(t.vocabulary[word] for word in self.task.words)]
            trainer.adversary = Adversary(self.s, model, special, mean)
        return trainer

    def make_model(self) -> tuple[Tokenizer, Any]:
        """What is trained."""
        return make_model(self.s, self.task, self.say)

    def save_best(self) -> None:
        """The best checkpoint, by the rank that writes."""
        ranks.by_first(self.write_best)

    def write_best(self) -> None:
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
            if isinstance(self.model, PeftModel):
                base = self.model.unload()
                self.model = self.trainer.model = PeftModel.from_pretrained(base, self.folder)
            else:
                self.model.load_state_dict(read_weights(self.folder))
        except (ValueError, OSError, RuntimeError) as error:
            raise BadInput(f"the best checkpoint so far cannot be read, so train again (--overwrite): {error}") from error
        self.model.to(self.s.device)
        self.task.rescale(self.model, forth=False)

    def save_state(self) -> None:
        """All that the next step depends on, in one file that is complete or absent."""
        ranks.by_first(self.write_state)

    def write_state(self) -> None:
        """The same, by the rank that writes."""
        t = self.trainer
        state = {
            "settings": dataclasses.asdict(self.s),
            "sha256": self.data.sha256,
            "ranks": ranks.size(),
            "allocators": {name: a.state_dict() for name, a in getattr(self.model, "allocators", {}).items()},  # AdaLoRA's
            **t.state(),
        }
        minitorch.save(state, self.folder / STATE)
        write_text(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in t.metrics))

    def load_state(self) -> None:
        """Continue where save_state was last called."""
        path = self.folder / STATE
        state = read_state(path)
        if state["sha256"] != self.data.sha256:
            raise BadInput(f"{path}: that run used other files, or they have changed since; give it the original files")
        self.trainer.go_on_from(path, state)
        for name, allocator in getattr(self.model, "allocators", {}).items():
            allocator.load_state_dict(state.get("allocators", {}).get(name))

    def train(self) -> None:
        """Train to the end, put the best weights into the model, and make its confidences fit the held-out examples."""
        self.trainer.train(self.task.name)
        if ranks.is_first():
            with distributed.alone():
                self.load_best()
                self.calibrate()

    def calibrate(self) -> None:
        """Fit the temperature, and write it next to the weights."""
        self.task.temperature = 1.0
        dev, t = self.data.dev, self.trainer
        if not dev:
            return
        with Workers(self.s.workers) as workers:
            rows, _ = t.answer(t.dev_features, workers)
        answers = self.task.confidences(dev, self.task.predictions(dev, t.dev_features, rows))
        if answers is not None:
            self.task.temperature = fit_temperature(*answers)
            saved = read_json(self.folder / FACTS)
            saved["facts"]["temperature"] = self.task.temperature
            write_text(self.folder / FACTS, as_json(saved, 2) + "\n")

    @property
    def judged(self) -> tuple[str, list[Any]]:
        """The examples to report on: test if given, otherwise dev."""
        return ("test", self.data.test) if self.data.test else ("dev", self.data.dev)


def too_little(s: Settings, steps: int, spread: float) -> str:
    """Advice if the run is too short for its weights to move; empty otherwise.

    Adam moves a weight by about the rate in a step, whatever the gradient's size, and the rates of a run add up to half of
    the highest times the steps (they rise from 0 and fall to 0 again). That should exceed a tenth of ``spread``, the deviation
    of BERT's initial weights: with less, small BERTs on small files stayed near the most frequent class.
    """
    way = s.lr * steps / 2
    if way >= spread / 10:
        return ""
    higher = ", or a higher --lr: a small BERT bears 1e-3" if s.lr < 1e-3 else ""
    return (
        f"{count(steps, 'step')} at a rate of at most {s.lr:g} {'moves' if steps == 1 else 'move'} a weight by {way:.1g} or so, "
        f"and weights are of the size {spread:g}: hardly anything will be learnt. Try more --epochs"
        f"{',' if higher else ' or'} a smaller --batch-size{higher}"
    )


def make_folder(folder: Path, model: str) -> None:
    """The run's folder, checked before training: BadInput if it cannot be written to or is the model's own."""
    if folder.resolve() == Path(model).resolve():
        raise BadInput(f"--output {folder} is the checkpoint that the run starts from; give another folder")
    make_run_folder(folder)


# ------------------------------------------------------------------------------------------------------- using it
