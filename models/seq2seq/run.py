"""A sequence-to-sequence run: its pairs, vocabularies, model and trainer, and its folder, with the best checkpoint and the state.

Read before: task.py, models/training/trainer.py. Read next: report.py, command.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minitorch
from minitorch.files import write_text

from ..bert.model import BertModel
from ..checkpoints.files import MODEL_FILES, locate, read_weights
from ..errors import BadInput, count
from ..text.labelled import as_json
from ..training import ranks
from ..training.runs import STATE
from ..training.trainer import Trainer, read_training
from .model import Seq2SeqConfig, Seq2SeqTransformer
from .pairs import Pair, hold_out, look_swapped, read_pairs
from .task import STEPS, Seq2Seq, Settings
from .vocabulary import Vocabulary, save, vocabularies

FACTS = "seq2seq.json"
KEPT = (STATE, FACTS, *MODEL_FILES)  # a run that has one of these is not overwritten


@dataclasses.dataclass
class Data:
    """The pairs, read and checked, and a fingerprint of them."""

    train: list[Pair]
    dev: list[Pair]
    test: list[Pair]
    sha256: str


def read_data(s: Settings, say: Callable[[str], None]) -> Data:
    """Read and check everything before anything is trained or written."""
    if not s.train:
        raise BadInput("--train FILE is missing: the pairs to learn from")
    everything, dev, test = (read_pairs(path, s) if path else [] for path in (s.train, s.dev, s.test))
    train = everything
    if not s.dev and s.validation:
        train, dev = hold_out(everything, s.validation, s.seed)
    if not dev and not test:
        raise BadInput("there is nothing to report on: give --dev or --test, or a --validation share above 0")
    for name in ("patience", "metric"):
        if getattr(s, name) not in (0, "loss") and not dev:
            raise BadInput(f"--{name} needs dev pairs: give --dev, or a --validation share above 0")
    known = {(p.source, p.target) for p in train}
    for name, pairs in (("dev", dev), ("test", test)):
        if n := sum((p.source, p.target) in known for p in pairs):
            say(f"{count(n, f'{name} pair')} of {len(pairs):,} stand in the training pairs, too: a score there says less")
        if look_swapped(train, pairs):
            say(f"{name}: its sources look like training targets, and its targets like sources; are its sides swapped?")
    digest = hashlib.sha256(json.dumps([[(p.source, p.target) for p in part] for part in (everything, dev, test)]).encode())
    return Data(train, dev, test, digest.hexdigest())


def load_encoder(s: Settings) -> BertModel | None:
    """The BERT of --init-encoder, if there is one; width and length follow from it where they are not given."""
    bert = None
    if s.init_encoder:
        rates = {"hidden_dropout_prob": s.dropout, "attention_probs_dropout_prob": s.dropout}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its heads are of no use here
                bert = BertModel.from_pretrained(locate(s.init_encoder), add_pooling_layer=False, **rates)
        except (OSError, ValueError) as error:
            raise BadInput(f"--init-encoder: {error}") from error
    s.hidden = s.hidden or (bert.config.hidden_size if bert else 128)
    longest = bert.config.max_position_embeddings if bert else s.length or 128
    s.length = s.length or min(longest, 128)
    if s.length > longest:
        raise BadInput(f"--length {s.length}: the BERT of {s.init_encoder} reads at most {longest} pieces")
    if s.hidden % s.heads:
        raise BadInput(f"--hidden {s.hidden} must be a multiple of --heads {s.heads}, so that all heads are as wide")
    return bert


def make_model(s: Settings, both: tuple[Vocabulary, Vocabulary], encoder: BertModel | None, seed: int) -> Seq2SeqTransformer:
    """A fresh model; its encoder is a fresh one, too, or a BERT of that shape."""
    minitorch.manual_seed(seed)
    source, target = both
    try:
        config = Seq2SeqConfig(
            vocab_size=len(source), target_vocab_size=len(target), joint=source is target, d_model=s.hidden, nhead=s.heads,
            num_encoder_layers=s.layers, num_decoder_layers=s.layers, dim_feedforward=4 * s.hidden, dropout=s.dropout,
            max_position_embeddings=max(s.length, s.target_length), encoder=encoder and encoder.config.to_dict(),
        )  # fmt: skip
        return Seq2SeqTransformer(config).to(s.device)
    except ValueError as error:
        raise BadInput(str(error)) from error


class Run:
    """A run with its folder: settings, data, trainer, checkpoints."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = print) -> None:
        settings.check()
        ranks.agree_on_settings(settings, [path for path in (settings.init_encoder, settings.tokenizer) if path])
        settings.threads = settings.workers  # saved, so that a run resumed on another machine sums in the same order
        self.s, self.say, self.folder = settings, say, Path(settings.output)
        self.data = read_data(settings, say)
        ranks.agree_on_examples(self.data)
        self.encoder = load_encoder(settings)
        self.vocabularies = vocabularies(settings, *zip(*((p.source, p.target) for p in self.data.train), strict=True))
        self.model = make_model(settings, self.vocabularies, self.encoder, settings.seed)
        if self.encoder is not None:
            self.model.encoder.load_state_dict(self.encoder.state_dict())
        steps = -(-len(self.data.train) // settings.batch_size)  # per epoch
        settings.epochs = settings.epochs or max(5, -(-STEPS // steps))
        self.task = Seq2Seq(settings, self.vocabularies)
        self.say_what_is_cut()
        self.trainer = Trainer(settings, self.task, self.vocabularies, self.model, self.data.train, self.data.dev)
        self.trainer.on_best, self.trainer.on_state = self.save_best, self.save_state
        self.report: dict[str, Any] = {}

    def say_what_is_cut(self) -> None:
        """Texts that are longer than --length and --target-length."""
        for name, pairs in (("training", self.data.train), ("dev", self.data.dev), ("test", self.data.test)):
            self.task.features(pairs, self.vocabularies)
            for side, (n, longest) in self.task.cut.items():
                limit = f"--length {self.s.length}" if side == "source" else f"--target-length {self.s.target_length}"
                if n:
                    what = f"{count(n, side)} of {len(pairs):,} {'exceeds' if n == 1 else 'exceed'} {limit}"
                    self.say(f"{name}: {what}; the longest has {longest:,} pieces; what is beyond is cut off")

    def save_best(self) -> None:
        """The best checkpoint, by the rank that writes."""
        ranks.by_first(self.write_best)

    def write_best(self) -> None:
        """The checkpoint with its vocabularies, and what it takes to use them."""
        self.model.save_pretrained(self.folder)
        save(self.vocabularies, self.folder)
        facts = {"settings": dataclasses.asdict(self.s), "sha256": self.data.sha256}
        facts |= {"step": self.trainer.step, "minitorch": minitorch.__version__}
        write_text(self.folder / FACTS, as_json(facts, 2) + "\n")

    def load_best(self) -> None:
        """The weights that save_best last wrote."""
        try:
            self.model.load_state_dict(read_weights(self.folder))
        except (ValueError, OSError, RuntimeError) as error:
            raise BadInput(f"the best checkpoint so far cannot be read, so train again (--overwrite): {error}") from error
        self.model.to(self.s.device)

    def save_state(self) -> None:
        """All that the next step depends on, in one file that is complete or absent."""
        ranks.by_first(self.write_state)

    def write_state(self) -> None:
        """The same, by the rank that writes."""
        t = self.trainer
        facts = {"settings": dataclasses.asdict(self.s), "sha256": self.data.sha256, "ranks": ranks.size()}
        minitorch.save({**facts, **t.state()}, self.folder / STATE)
        write_text(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in t.metrics))

    def load_state(self) -> None:
        """Continue where save_state was last called."""
        path = self.folder / STATE
        state = read_state(path)
        if state["sha256"] != self.data.sha256:
            raise BadInput(f"{path}: that run used other pairs, or the files have changed since; give it the original files")
        self.trainer.go_on_from(path, state)

    def train(self) -> None:
        """Train to the end, and put the best weights into the model."""
        self.trainer.train("seq2seq")
        if ranks.is_first():
            self.load_best()

    @property
    def judged(self) -> tuple[str, list[Pair]]:
        """The pairs to report on: test if given, otherwise dev."""
        return ("test", self.data.test) if self.data.test else ("dev", self.data.dev)


def read_state(path: Path) -> dict[str, Any]:
    """The state that Run.save_state wrote."""
    return read_training(path, "sequence-to-sequence", Settings)
