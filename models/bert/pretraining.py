"""Masked-LM pretraining, from a text to a checkpoint: corpus, vocabulary, model, training loop, validation, picture.

Two numbers tell learning from standing still: ln V, what guessing costs, and the unigram entropy, what knowing only how
frequent each word is costs. A loss that stays at the second has learnt no language; the curve is drawn against both.

Every random choice is a function of (seed, step), so that a run resumed from a checkpoint is bit-equal to one that never
stopped. Recipe: Devlin et al. (2018), section 3.1 and appendix A.2; AdamW by Loshchilov and Hutter (2017).
Read before: data.py, model.py. Read next: use.py.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor, optim
from minitorch.files import write_text
from minitorch.optim.lr_scheduler import get_linear_schedule_with_warmup
from minitorch.parallel import Workers

from ..errors import BadInput
from ..text import python_docs as python_corpus
from ..text.corpus import Corpus, read_documents
from ..text.tokenizer import Tokenizer
from ..training.loop import Glance, GraphedStep, available_cores, between_steps, decay_groups, progress, to_device
from ..training.precision import HELP, Precision, check_precision
from ..training.runs import STATE, alone_in, new_run
from ..training.settings import add_options, check_limits, given, option, same_settings, usable_device
from .config import PRESETS, BertConfig
from .data import Blocks, Pairs
from .model import BertForMaskedLM, BertForPreTraining, find_masked
from .weights import MODEL_FILES, PRETRAINED

KEPT = (STATE, *MODEL_FILES)  # a run is not written over one of these
IN_PYTHON = "the documentation in this Python installation"


@dataclass
class Settings:
    """Every choice of a run; each is an option of ``minitorch pretrain`` and a key of its TOML file."""

    corpus: list[str] = option([], "text files, one sentence a line, a blank line between documents", IN_PYTHON)
    output: str = option(PRETRAINED, "folder for the checkpoint and all that belongs to it")
    size: str = option("tiny", "tiny, mini, small, medium or base")
    layers: int = option(0, "encoder layers; 0: those of the size")
    hidden: int = option(0, "hidden size, heads and feed-forward layer to match; 0: that of the size")
    vocab_size: int = option(2048, "pieces in the vocabulary that is learnt from the text")
    tokenizer: str | None = option(None, "use this vocab.txt, tokenizer.json or folder instead of learning a vocabulary")
    length: int = option(32, "tokens a sequence")
    batch_size: int = option(64, "sequences a step")
    long_length: int = option(128, "tokens a sequence in some of the steps, which teach the later positions")
    long_every: int = option(10, "one step in so many has long sequences (and fewer); 0: none has")
    steps: int = option(3000, "updates")
    lr: float = option(2e-3, "highest learning rate")
    warmup: int = option(100, "steps to reach it; then it falls linearly to 0")
    weight_decay: float = option(0.01, "AdamW's decay, of all but biases and LayerNorm")
    beta2: float = option(0.98, "AdamW's memory of squared gradients")
    clip: float = option(1.0, "longest global norm of the gradient")
    dropout: float = option(0.0, "dropout rate, everywhere; BERT's own is 0.1")
    initializer_range: float = option(0.02, "standard deviation of the initial weights")
    mask_probability: float = option(0.25, "share of the tokens that are to be guessed")
    whole_word: bool = option(False, "mask all pieces of a word together")
    static_masking: bool = option(False, "the same masks in every epoch")
    nsp: bool = option(False, "sentence pairs, and next-sentence prediction beside the masked words")
    accumulate: int = option(1, "micro-batches a step, in turn")
    threads: int = option(0, "micro-batches at the same time; 0: one a core")
    validation: float = option(0.04, "share of the documents that is held out")
    eval_every: int = option(300, "steps from one validation to the next")
    save_every: int = option(1000, "steps from one saved state to the next")
    seed: int = option(0, "seed of every random choice")
    device: str = option("cpu", "cpu, cuda or cuda:N")
    precision: str = option("float32", HELP)
    cuda_graph: bool = option(False, "on a card: forward and backward pass as one CUDA graph; never yet run on a real one")

    def check(self) -> None:
        """Refuse what cannot work before anything is computed."""
        limits = {  # least, most
            **dict.fromkeys(("vocab_size", "batch_size", "steps", "accumulate", "eval_every", "save_every"), (1, math.inf)),
            **dict.fromkeys(("layers", "hidden", "warmup", "weight_decay", "threads", "seed"), (0, math.inf)),
            **dict.fromkeys(("lr", "clip", "initializer_range"), (1e-12, 1e12)),
            **dict.fromkeys(("mask_probability", "validation"), (1e-12, 0.999)),
            **dict.fromkeys(("beta2", "dropout"), (0, 0.999999)),
            "length": (5 if self.nsp else 4, math.inf),  # [CLS] A [SEP], [CLS] A [SEP] B [SEP]
        }
        check_limits(self, limits)
        if self.size not in PRESETS:
            raise BadInput(f"--size must be one of {', '.join(PRESETS)}, not {self.size!r}")
        self.device = usable_device(self.device)
        check_precision(self.precision, self.device)
        if self.cuda_graph and (self.device == "cpu" or self.precision == "fp16" or self.whole_word or self.nsp):
            raise BadInput("--cuda-graph needs a card, shapes that stay (no --nsp, --whole-word), and any --precision but fp16")
        if self.batch_size % (self.accumulate * self.workers):
            raise BadInput(
                f"--batch-size {self.batch_size} does not divide into {self.accumulate} micro-batches on {self.workers} threads"
            )

    @property
    def workers(self) -> int:
        """How many micro-batches run at the same time."""
        if self.device != "cpu":
            return 1
        return self.threads or max(n for n in range(1, available_cores() + 1) if self.batch_size % (n * self.accumulate) == 0)


# ------------------------------------------------------------------------------------------------------- the text


@dataclass
class Text:
    """A prepared corpus: its tokenizer, the two parts as ids, and the floors."""

    tokenizer: Tokenizer
    train: Corpus
    valid: Corpus
    found: dict[str, Any]  # the settings it was made with, and the text's sha256

    @property
    def uniform(self) -> float:
        """ln V: the loss of guessing."""
        return math.log(len(self.tokenizer))

    @property
    def unigram(self) -> float:
        """The loss, on the held-out text, of knowing only each token's frequency."""
        return self.valid.unigram_entropy(self.train, len(self.tokenizer))


def prepare(settings: Settings, say: Callable[[str], None] = print, resuming: bool = False) -> Text:
    """Read the corpus, learn the vocabulary, hold out documents, lay the ids on disk (or find all that from before).

    What was prepared is used again while the files are the same; a run that goes on takes what it had, in any case.
    """
    folder = Path(settings.output) / "data"
    done = folder / "text.json"
    wanted = {name: getattr(settings, name) for name in ("corpus", "vocab_size", "tokenizer", "validation", "seed")}
    files = stamps(settings)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(done.read_text(encoding="utf-8"))
        if found["settings"] == wanted and (resuming or found["files"] == files):
            return Text(Tokenizer.from_pretrained(folder), Corpus.open(folder / "train"), Corpus.open(folder / "valid"), found)
    where = ", ".join(settings.corpus) or "this Python installation"
    documents = source(settings)
    sizes: list[int] = []
    sha256 = python_corpus.fingerprint(counted(documents(), sizes))
    if sum(sizes) < 2:
        sentences = f"{sum(sizes)} sentence{'s' * (sum(sizes) != 1)} of text"
        raise BadInput(f"{where}: {sentences}; pretraining needs two at least, one of them to hold out")
    say(f"{len(sizes):,} documents, {sum(sizes):,} sentences; sha256 {sha256[:16]}")
    tokenizer = make_tokenizer(settings, documents, where)
    if len(sizes) == 1:
        documents, held_out = cut_in_two(documents), {1}
    else:
        order = np.random.default_rng([settings.seed, 3]).permutation(len(sizes))
        held_out = set(order[: min(len(sizes) - 1, max(1, round(settings.validation * len(sizes))))].tolist())
    done.unlink(missing_ok=True)  # from here to its return the folder is not to be trusted
    parts = []
    for name, is_held_out in (("train", False), ("valid", True)):
        chosen = (d for i, d in enumerate(documents()) if (i in held_out) == is_held_out)
        parts.append(Corpus.write(chosen, tokenizer, folder / name))
        if not len(parts[-1].ids):
            raise BadInput(f"{where}: there is no word in the documents {'held out' if is_held_out else 'to learn from'}")
    tokenizer.save_pretrained(folder)
    found = {"settings": wanted, "files": files, "sha256": sha256}
    write_text(done, json.dumps(found, indent=2))
    return Text(tokenizer, *parts, found)


def stamps(settings: Settings) -> list[list[Any]]:
    """Names, sizes and times of the files that the text is made from, to see when one of them has changed."""
    paths = [Path(path) for path in settings.corpus]
    paths = paths or [folder for _, folder in python_corpus.source_folders(python_corpus.LIBRARIES)]
    if settings.tokenizer:
        paths += [Path(settings.tokenizer), *(Path(settings.tokenizer) / name for name in ("tokenizer.json", "vocab.txt"))]
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths if path.exists()]


def counted(documents: Iterable[list[str]], sizes: list[int]) -> Iterator[list[str]]:
    """The documents, whose numbers of sentences go into ``sizes`` on the way."""
    for document in documents:
        sizes.append(len(document))
        yield document


Documents = Callable[[], Iterable[list[str]]]


def source(settings: Settings) -> Documents:
    """A function that reads the documents, each time anew: the files may be larger than memory."""
    if settings.corpus:
        return lambda: read_documents(settings.corpus)
    held = [sentences for _, sentences in python_corpus.python_documentation()]
    return lambda: held


def cut_in_two(documents: Documents) -> Documents:
    """A single document's last twentieth becomes a document of its own, to be held out."""

    def halves() -> Iterable[list[str]]:
        for document in documents():
            cut = len(document) - max(1, len(document) // 20)
            yield document[:cut]
            yield document[cut:]

    return halves


def make_tokenizer(settings: Settings, documents: Documents, where: str) -> Tokenizer:
    """The tokenizer that was asked for, or one learnt from the text."""
    if settings.tokenizer:
        path = Path(settings.tokenizer)
        return Tokenizer.from_pretrained(path) if path.is_dir() else Tokenizer.from_file(path)
    try:
        tokenizer = Tokenizer.train((line for document in documents() for line in document), settings.vocab_size)
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from error
    if len(tokenizer) < settings.vocab_size:
        raise BadInput(
            f"{where}: the text supports a vocabulary of {len(tokenizer)} pieces, not {settings.vocab_size}; "
            f"give --vocab-size {len(tokenizer)} or less, or more text"
        )
    return tokenizer


# ------------------------------------------------------------------------------------------------------ the model


def build(settings: Settings, vocab_size: int) -> Any:
    """A fresh model of the size asked for."""
    hidden, layers = settings.hidden, settings.layers
    heads = max(n for n in range(1, max(1, hidden // 64) + 1) if hidden % n == 0)
    other = {"hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": 4 * hidden} if hidden else {}
    config = BertConfig.preset(
        settings.size,
        **other,
        **({"num_hidden_layers": layers} if layers else {}),
        vocab_size=vocab_size,
        max_position_embeddings=max(settings.length, settings.long_length if settings.long_every else 0),
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        initializer_range=settings.initializer_range,
    )
    minitorch.manual_seed(settings.seed)
    model = (BertForPreTraining if settings.nsp else BertForMaskedLM)(config)
    return model.to(settings.device)


@dataclass
class Score:
    """Sums over masked positions (and sentence pairs), from which loss and accuracy follow.

    loss and right are 0-d arrays until somebody reads them: a card may still be computing them.
    """

    loss: Any = 0.0
    masked: int = 0
    right: Any = 0
    tokens: int = 0

    def read(self) -> Score:
        """As plain numbers."""
        return Score(float(self.loss), self.masked, int(self.right), self.tokens)

    def add(self, other: Score) -> Score:
        """Both together."""
        return Score(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    @property
    def mean_loss(self) -> float:
        """Nats a masked word."""
        return self.loss / max(1, self.masked)

    @property
    def accuracy(self) -> float:
        """Share of masked words guessed right."""
        return self.right / max(1, self.masked)


def ready(batch: dict[str, Any], model: Any, device: str) -> dict[str, Any]:
    """A batch as ``forward`` takes it: where the model is, with the masked words looked up before it goes there."""
    pooled = isinstance(model, BertForPreTraining)
    return to_device({**batch, "labels": find_masked(batch["labels"], pooled)}, model, device)


def forward(model: Any, batch: dict[str, Any], masked_in_step: int, share: float) -> tuple[Tensor, Score]:
    """This micro-batch's share of the step's loss: masked words are averaged over the whole step, sentence pairs too."""
    labels = batch["labels"].labels
    masked = len(labels)
    output = model(**batch, masked_only=True)
    if masked == 0:  # of whole words there may be none that is short enough; the loss of nothing would be 0 / 0
        output.mlm_loss = output.masked_logits.sum()
    loss = output.mlm_loss * (masked / max(1, masked_in_step))
    if output.nsp_loss is not None:
        loss = loss + output.nsp_loss * share
    right = (output.masked_logits.array.argmax(-1) == labels.array).sum()
    total = output.mlm_loss.array.astype(np.float64) * masked
    return loss, Score(total, masked, right, batch["input_ids"].numel())


def split(batch: dict[str, Tensor], parts: int) -> list[dict[str, Tensor]]:
    """Equal slices of a batch."""
    n = len(next(iter(batch.values()))) // parts
    return [{name: value[i * n : (i + 1) * n] for name, value in batch.items()} for i in range(parts)]


def evaluate(model: Any, data: Blocks | Pairs, workers: Workers, device: str, precision: Precision) -> Score:
    """Loss and accuracy on the held-out text: every block once (at most 40 batches), always with the same masks."""
    model.eval()
    batches = max(1, min(40, math.ceil(data.count / data.batch_size)))

    def one(step: int) -> Score:
        batch = ready(data.batch(step), model, device)
        with minitorch.no_grad(), precision.block():
            return forward(model, batch, 1, 1.0)[1]

    total = functools.reduce(Score.add, workers.map(one, range(batches)))
    model.train()
    return total.read()


# ------------------------------------------------------------------------------------------------------- the loop


def read_state(path: Path) -> dict[str, Any]:
    """What Run.save_state wrote."""
    state = minitorch.load(path)
    wanted = {"settings", "sha256", "step", "metrics", "recent", "model", "optimizer", "schedule", "scaler", "rng"}
    if not isinstance(state, dict) or wanted - state.keys():
        raise BadInput(f"{path}: not the state of a pretraining run")
    return state


class Run:
    """A pretraining run: what it is made of, and the step that it has reached."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = print, resuming: bool = False) -> None:
        settings.check()
        settings.threads = settings.workers  # written down: a run that goes on elsewhere adds up in the same order
        self.settings, self.say = settings, say
        self.folder = Path(settings.output)
        self.text = prepare(settings, say, resuming)
        self.model = build(settings, len(self.text.tokenizer))
        self.optimizer = optim.AdamW(
            decay_groups(self.model, settings.weight_decay), lr=settings.lr, betas=(0.9, settings.beta2), eps=1e-6
        )
        self.schedule = get_linear_schedule_with_warmup(self.optimizer, settings.warmup, settings.steps)
        self.train_data = self.data(self.text.train, settings.length, settings.batch_size, settings.seed)
        self.valid_data = self.data(self.text.valid, settings.length, settings.batch_size, settings.seed + 1, dynamic=False)
        fewer = max(1, settings.batch_size * settings.length // settings.long_length)  # as many tokens
        self.long_data = self.data(self.text.train, settings.long_length, fewer, settings.seed + 2)
        self.precision = Precision(settings.precision, settings.device)
        self.gradients = self.add_gradients
        if settings.cuda_graph:
            self.gradients = GraphedStep(self.add_gradients, list(self.model.parameters()))
        self.step = 0
        self.metrics: list[dict[str, Any]] = []
        self.recent: list[Score] = []  # of the last 50 steps
        self.unread = 0  # of how many of them a card has not yet been asked

    def train(self) -> None:
        """All steps that are left; Ctrl-C leaves a checkpoint behind."""
        s = self.settings
        unigram, uniform = self.text.unigram, self.text.uniform
        bar = progress(s.steps, self.step)
        glance, started, tokens = Glance(s.device), time.perf_counter(), 0
        with bar, Workers(s.workers) as workers, between_steps() as interrupt:
            while self.step < s.steps:
                self.recent = [*self.recent[-49:], self.one_step(workers)]
                self.step += 1
                self.unread += 1
                tokens += self.recent[-1].tokens
                bar.update()
                evaluated = self.step % min(s.eval_every, max(1, s.steps // 8)) == 0 or self.step == s.steps  # 8 points at least
                saved = interrupt.is_set() or self.step % s.save_every == 0
                if glance.due(evaluated or saved):
                    score = self.read()
                    speed = tokens / (time.perf_counter() - started)
                    bar.set_postfix_str(
                        f"loss {score.mean_loss:.3f} (floors {unigram:.2f}, {uniform:.2f}), "
                        f"right {score.accuracy:.1%}, {speed:,.0f} tokens/s",
                        refresh=False,
                    )
                    if evaluated:
                        self.note(score, evaluate(self.model, self.valid_data, workers, s.device, self.precision), speed)
                    if saved:
                        self.save_state()
                    started, tokens = time.perf_counter(), 0
                if interrupt.is_set():
                    raise KeyboardInterrupt

    def read(self) -> Score:
        """The sums of the last steps as numbers; an error if one of them is none."""
        self.recent = [score.read() for score in self.recent]
        first = self.step - min(self.unread, len(self.recent))
        for step, score in enumerate(self.recent[len(self.recent) - (self.step - first) :], first):
            if not math.isfinite(score.loss):
                lr = self.settings.lr
                raise BadInput(
                    f"the loss became {score.loss} at step {step}: the rate {lr} is too high here; try --lr {lr / 3:.1g}"
                )
        self.unread = 0
        return functools.reduce(Score.add, self.recent)

    def data(self, text: Corpus, length: int, batch_size: int, seed: int, dynamic: bool = True) -> Blocks | Pairs:
        """Batches of a text, as the settings want them."""
        s = self.settings
        return (Pairs if s.nsp else Blocks)(
            text, self.text.tokenizer, length, batch_size, seed,
            dynamic=dynamic and not s.static_masking, probability=s.mask_probability, whole_word=s.whole_word,
        )  # fmt: skip

    def batch(self, step: int) -> dict[str, Tensor]:
        """The batch of a step.  Short sequences teach more for the same time, so only some steps have long ones.

        (Devlin et al. gave the long ones the last tenth; by then the rate is too low here for positions never seen.)
        """
        every = self.settings.long_every
        if every and step % every == every - 1:
            return self.long_data.batch(step // every)
        return self.train_data.batch(step - step // every if every else step)

    def one_step(self, workers: Workers) -> Score:
        """Forward and backward over the micro-batches, clip, update. On a card the host does not wait for any of it."""
        s, self.workers = self.settings, workers
        batch = self.batch(self.step)
        parts = split(batch, math.gcd(len(batch["labels"]), s.workers * s.accumulate))
        total = self.gradients([ready(part, self.model, s.device) for part in parts])
        self.precision.update(self.optimizer, list(self.model.parameters()), s.clip)
        self.schedule.step()
        return dataclasses.replace(total, loss=total.loss * 1, right=total.right * 1)  # copies: a graph writes there again

    def add_gradients(self, micro: list[dict[str, Any]]) -> Score:
        """The gradients of a step's micro-batches."""
        masked = sum(len(batch["labels"].labels) for batch in micro)

        def part(batch: dict[str, Any]) -> tuple[Tensor, Score]:
            with self.precision.block():
                loss, score = forward(self.model, batch, masked, 1 / len(micro))
            return self.precision.scaler.scale(loss), score

        self.optimizer.zero_grad()
        parts = [lambda b=b: part(b) for b in micro]
        results = self.workers.backward(list(self.model.parameters()), parts, seed=(self.settings.seed, self.step))
        return functools.reduce(Score.add, (score for _, score in results))

    def note(self, train: Score, valid: Score, speed: float) -> None:
        """One line of metrics.jsonl."""
        self.metrics.append(
            {
                "step": self.step,
                "loss": train.mean_loss,
                "accuracy": train.accuracy,
                "valid_loss": valid.mean_loss,
                "valid_accuracy": valid.accuracy,
                "unigram_floor": self.text.unigram,
                "uniform_floor": self.text.uniform,
                "lr": self.schedule.get_last_lr()[0],
                "tokens_per_second": round(speed),
            }
        )
        write_text(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in self.metrics))

    # ------------------------------------------------------------------------------------------------- checkpoints

    def save_state(self) -> None:
        """Everything that the next step depends on, in one file, written beside and renamed: never half there."""
        state = {
            "settings": dataclasses.asdict(self.settings),
            "sha256": self.text.found["sha256"],
            "step": self.step,
            "metrics": self.metrics,
            "recent": [dataclasses.astuple(score) for score in self.recent],
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.precision.scaler.state_dict(),
            "rng": minitorch.get_rng_state(),
        }
        minitorch.save(state, self.folder / STATE)

    def load_state(self) -> None:
        """Continue where save_state was last called."""
        path = self.folder / STATE
        state = read_state(path)
        if state["sha256"] != self.text.found["sha256"]:
            raise BadInput(f"{path}: that run was on another text (sha256 {state['sha256'][:16]}); give it the same --corpus")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.precision.scaler.load_state_dict(state["scaler"])
        self.step, self.metrics = state["step"], state["metrics"]
        self.recent = [Score(*sums) for sums in state["recent"]]
        minitorch.set_rng_state(state["rng"])

    def finish(self) -> None:
        """The checkpoint in Hugging Face's layout with its tokenizer, and the settings and text of the run."""
        self.model.eval()
        self.model.save_pretrained(self.folder)
        self.text.tokenizer.save_pretrained(self.folder)
        record = {**dataclasses.asdict(self.settings), "sha256": self.text.found["sha256"], "minitorch": minitorch.__version__}
        write_text(self.folder / "run.json", json.dumps(record, indent=2) + "\n")


# ------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``minitorch pretrain``."""
    add_options(parser, Settings)


def start(args: argparse.Namespace, until_the_end: contextlib.ExitStack) -> Run:
    """A new run, or one that goes on."""
    chosen = given(args, Settings)
    settings = Settings(**chosen)
    state = Path(settings.output) / STATE
    if args.resume:
        if not state.is_file():
            raise BadInput(f"{state}: nothing to resume; a run writes it every --save-every steps and at Ctrl-C")
        until_the_end.enter_context(alone_in(Path(settings.output)))
        saved = read_state(state)["settings"]
        same_settings(state, saved, chosen, Settings, free=("output", "device"))
        run = Run(Settings(**{**saved, "output": settings.output, "device": args.device or saved["device"]}), resuming=True)
        run.load_state()
        print(f"continuing at step {run.step:,} of {run.settings.steps:,}")
        return run
    new: Run = new_run(lambda: Run(settings), settings.output, KEPT, args.overwrite, until_the_end)
    return new


def run(args: argparse.Namespace) -> int:
    """``minitorch pretrain``"""
    with contextlib.ExitStack() as until_the_end:
        try:
            job = start(args, until_the_end)
        except (ValueError, OSError, RuntimeError) as error:
            raise BadInput(str(error)) from error
        return work(job)


def work(job: Run) -> int:
    """Train, and say what comes of it."""
    from .report import filled_masks, save_curve

    s, text = job.settings, job.text
    print(
        f"BERT {s.size}, {job.model.num_parameters():,} parameters; {len(text.train.ids):,} tokens to learn from, "
        f"{len(text.valid.ids):,} held out; {s.steps:,} steps of {s.batch_size} x {s.length} tokens on {s.device}, "
        f"{s.workers} at a time\n"
        f"floors: guessing costs {text.uniform:.3f} nats a word, knowing how frequent each word is {text.unigram:.3f}"
    )
    started = time.perf_counter()
    try:
        job.train()
    except KeyboardInterrupt:
        print(f"\nstopped at step {job.step:,}; minitorch pretrain --resume --output {s.output} goes on from there")
        raise
    job.save_state()
    job.finish()
    save_curve(job.metrics, job.folder / "curve.png", f"BERT {s.size}, {s.steps:,} steps")
    last = job.metrics[-1]
    under = text.unigram - last["valid_loss"]
    where = f"{under:.2f} nats under" if under > 0 else f"{-under:.2f} nats above"
    advice = "" if under > 0 else ": more --steps, it knows less yet than how frequent each word is"
    print(
        f"\nafter {time.perf_counter() - started:.0f} s: held-out loss {last['valid_loss']:.3f}, that is "
        f"{where} the unigram floor{advice}; "
        f"{last['valid_accuracy']:.1%} of the masked words guessed right"
    )
    for line in filled_masks(job.model, text):
        print(line)
    print(f"{job.folder}/: config.json, model.safetensors, tokenizer.json, vocab.txt, run.json, metrics.jsonl, curve.png")
    return 0
