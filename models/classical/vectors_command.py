"""``minitorch vectors``: learn word vectors from text; ask any file of vectors for neighbours and analogies.

Read before: word2vec.py, word_vectors.py.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch.files import replacing, write_text

from ..errors import BadInput, count, listing
from ..reading import read_tensors
from ..text.prepared import IN_PYTHON, Sentences
from ..text.python_docs import fingerprint
from ..training.loop import between_steps, prepare_kernels, progress
from ..training.runs import STATE, complete, folder_to_resume, how_to_go_on, new_folder, refuse_overwriting
from ..training.settings import add_options, check_limits, given, option, refuse_other_job, resumed_settings
from ..training.states import check_like
from ..training.tensorboard import METRICS
from .word2vec import Text, Word2Vec
from .word_vectors import TEXT, WordVectors

FOLDER = "runs/vectors"
PICTURE = "neighbours.png"
TABLES = ("v", "u", "squares_v", "squares_u")  # of Word2Vec, all that training changes


@dataclass
class Settings:
    """Every choice of a run; each is an option of ``minitorch vectors`` and a key of its TOML file."""

    corpus: list[str] = option([], "text files: one sentence per line, a blank line between documents", IN_PYTHON)
    output: str = option(FOLDER, "folder for the vectors and the run's other files")
    model: str = option("skipgram", "skipgram (a word tells its neighbours) or cbow (they tell it)")
    size: int = option(100, "numbers per word")
    window: int = option(5, "most neighbours on either side")
    negative: int = option(5, "words drawn by chance against each true one")
    min_count: int = option(5, "leave out words that occur less often")
    sample: float = option(1e-3, "words more frequent than this are skipped by chance; 0: none is")
    epochs: int = option(6, "how often the text is read")
    lr: float = option(0.1, "learning rate at the start, which falls linearly to 0")
    batch_size: int = option(512, "predictions per update")
    save_every: float = option(30.0, "seconds from one saved state to the next")
    seed: int = option(0, "seed of every random choice")

    def check(self) -> None:
        """BadInput for settings that cannot work."""
        whole = dict.fromkeys(("size", "window", "negative", "min_count", "epochs", "batch_size"), (1, 100_000))
        limits = {**whole, "sample": (0, 1), "lr": (1e-12, 10), "seed": (0, math.inf), "save_every": (0, math.inf)}
        check_limits(self, limits)  # type: ignore[arg-type]
        if self.model not in ("skipgram", "cbow"):
            raise BadInput(f"--model must be skipgram or cbow, not {self.model!r}")
        if not self.output:
            raise BadInput("--output is empty: name a folder")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``minitorch vectors``."""
    parser.add_argument("--nearest", metavar="WORD", nargs="+", help="do not train: print the words nearest to each WORD")
    parser.add_argument("--analogy", metavar=("A", "B", "C"), nargs=3, help="do not train: A is to B as C is to ...?")
    parser.add_argument("--vectors", metavar="FILE", help=f"the vectors to ask, in word2vec's text format (default: {FOLDER})")
    parser.add_argument("--number", type=int, default=10, help="how many words to print (default: %(default)s)")
    parser.add_argument("--picture", metavar="FILE.png", help="with --nearest: draw the words and their neighbours")
    add_options(parser, Settings)


def run(args: argparse.Namespace) -> int:
    """Ask, or train."""
    if args.nearest or args.analogy:
        return ask(args)
    if args.vectors or args.picture:
        raise BadInput(f"--{'vectors' if args.vectors else 'picture'} goes with --nearest WORD; without it the command trains")
    chosen = given(args, Settings)
    with contextlib.ExitStack() as until_the_end:
        try:
            job = start(chosen, args.resume, args.overwrite, until_the_end)
        except (ValueError, RuntimeError) as error:  # of a damaged state
            raise BadInput(str(error)) from error
        return work(job)


# -------------------------------------------------------------------------------------------------------- asking


def ask(args: argparse.Namespace) -> int:
    """Print neighbours or the end of an analogy."""
    if not 1 <= args.number <= 1000:
        raise BadInput(f"--number must be from 1 to 1000, not {args.number}")
    vectors = WordVectors.load(args.vectors or args.output or FOLDER)
    for word in [*(args.nearest or ()), *(args.analogy or ())]:
        vectors.row(word)  # or an error, before anything is printed
    for word in args.nearest or ():
        print(f"{word}: " + "  ".join(f"{other} {cosine:.3f}" for other, cosine in vectors.nearest(word, args.number)))
    if args.analogy:
        a, b, c = args.analogy
        print(f"{a} is to {b} as {c} is to")
        for word, cosine in vectors.analogy(a, b, c, args.number):
            print(f"  {cosine:.3f}  {word}")
    if args.picture:
        if not args.nearest:
            raise BadInput("--picture draws the words of --nearest WORD")
        draw(vectors, args.nearest, Path(args.picture), args.number)
        print(f"{args.picture}: the words and their neighbours in two dimensions")
    return 0


def draw(vectors: WordVectors, words: Sequence[str], path: Path, number: int = 8) -> None:
    """Words with their neighbours, in the plane in which these vectors differ most (principal components)."""
    from matplotlib.figure import Figure

    groups = [[vectors.words[vectors.row(word)], *(other for other, _ in vectors.nearest(word, number))] for word in words]
    rows = np.array([vectors.unit[vectors.row(word)] for group in groups for word in group], float)
    centred = rows - rows.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    places = iter(centred @ axes[:2].T if len(axes) > 1 else np.pad(centred @ axes[:1].T, ((0, 0), (0, 1))))
    figure = Figure(figsize=(9, 7), layout="constrained")
    plot = figure.subplots()
    for i, group in enumerate(groups):
        colour = f"C{i % 10}"
        for j, word in enumerate(group):
            x, y = next(places)
            plot.plot(x, y, "o", color=colour, markersize=7 if j == 0 else 4)
            weight = "bold" if j == 0 else "normal"
            plot.annotate(word, (x, y), textcoords="offset points", xytext=(4, 3), fontsize=9, color=colour, weight=weight)
    plot.margins(0.12)  # room for the words at the edge
    plot.set(title="words and their nearest neighbours", xlabel="first principal component", ylabel="second")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


# ------------------------------------------------------------------------------------------------------ training


class Job:
    """A training run: its settings, its text, the tables, and the lines it has printed."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        print(f"reading {listing(settings.corpus, 4, 250) or IN_PYTHON} ...")
        try:
            documents = Sentences(settings).source()
            self.sha256 = fingerprint(documents())
            self.text = Text.read(documents(), settings.min_count)
        except ValueError as error:
            raise BadInput(str(error)) from error
        if len(self.text.words) < 2:
            where = listing(settings.corpus, 4, 250) or IN_PYTHON
            raise BadInput(f"{where}: no two words occur {settings.min_count} times; give more text or --min-count 1")
        s = settings
        how = (s.size, s.model, s.window, s.negative, s.sample, s.epochs, s.lr, s.batch_size, s.seed)
        self.training = Word2Vec(self.text, *how)
        self.losses: list[float] = []  # of every chunk

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        t = self.training
        tables = {name: minitorch.tensor(getattr(t, name)) for name in TABLES}
        return {"settings": asdict(self.settings), "sha256": self.sha256, "step": t.step, "losses": self.losses, **tables}

    def save(self) -> None:
        """Write the state, and the losses for those who draw them."""
        minitorch.save(self.state(), self.folder / STATE)
        lines = (json.dumps({"step": step, "loss": float(loss)}) + "\n" for step, loss in enumerate(self.losses, 1))
        write_text(self.folder / METRICS, "".join(lines))

    def restore(self, path: Path, saved: dict[str, Any]) -> None:
        """Go on from a state; BadInput if it is not one of this run."""
        if saved["sha256"] != self.sha256:
            raise BadInput(f"{path}: that run learnt from another text; give it the same files, or start anew without --resume")
        like = self.state()
        for name in ("step", *TABLES):
            check_like(path, name, saved[name], like[name])
        if not 0 <= saved["step"] <= self.training.steps or len(saved["losses"]) != saved["step"]:
            raise BadInput(f"{path}: step {saved['step']} of {self.training.steps}, with {count(len(saved['losses']), 'loss')}")
        for name in TABLES:
            setattr(self.training, name, saved[name].numpy().copy())
        self.training.step, self.losses = saved["step"], list(saved["losses"])


def start(chosen: dict[str, Any], resume: bool, overwrite: bool, until: contextlib.ExitStack) -> Job:
    """A new run, or a resumed one."""
    settings = Settings(**chosen)
    output, kept = Path(settings.output), (STATE, TEXT)
    settings.check()
    if not resume:
        refuse_overwriting(output, kept, overwrite)
        return Job(settings, new_folder(output, kept, overwrite, until))
    folder = folder_to_resume(output, "every --save-every seconds", until)
    path = folder / STATE
    saved = read_tensors(path)
    refuse_other_job(path, saved, Settings)
    names = {"settings", "sha256", "step", "losses", *TABLES}
    if not isinstance(saved, dict) or names - saved.keys() or not isinstance(saved["losses"], list):
        raise BadInput(f"{path}: not the state of a run of minitorch vectors")
    chosen = {**chosen, "output": settings.output}
    settings = resumed_settings(path, saved["settings"], chosen, Settings, free=("output",))
    settings.check()
    job = Job(settings, folder)
    job.restore(path, saved)
    done = job.training.step / job.training.steps
    print(f"continuing at {done:.0%}" if done < 1 else "this run is complete: nothing is left to train")
    return job


def work(job: Job) -> int:
    """Train, save, and show what was learnt."""
    s, t, text = job.settings, job.training, job.text
    print(
        f"{s.model}, {count(len(text.words), 'word')} x {s.size} numbers, twice; {count(len(text.ids), 'word')} of text, "
        f"read {count(s.epochs, 'time')}\nloss of a model that knows nothing: {(1 + s.negative) * math.log(2):.3f}"
    )
    prepare_kernels("cpu")
    began, saved = time.perf_counter(), time.perf_counter()
    try:
        with progress(t.steps, t.step, "part") as bar, between_steps() as interrupt:
            while t.step < t.steps:
                loss, _ = t.one_step()
                job.losses.append(loss)
                bar.set_postfix_str(f"loss {np.mean(job.losses[-20:]):.3f}")
                bar.update()
                if not np.isfinite(t.v).all():
                    raise BadInput(f"the vectors became NaN or infinite: --lr {s.lr:g} is too high for this text")
                if interrupt.is_set() or time.perf_counter() - saved > s.save_every:
                    job.save()
                    saved = time.perf_counter()
                if interrupt.is_set():
                    raise KeyboardInterrupt
        finish(job)
    except KeyboardInterrupt:
        print(f"\nstopped at {t.step / t.steps:.0%}; {how_to_go_on('vectors', job.folder, s.output)}")
        raise
    mean = np.mean(job.losses[-max(1, t.chunks) :])
    print(f"\nafter {time.perf_counter() - began:.0f} s: loss {mean:.3f} in the last epoch")
    return show(WordVectors(text.words, t.v), job.folder)


def finish(job: Job) -> None:
    """Vectors and picture, then the state; the folder takes its place."""
    vectors = WordVectors(job.text.words, job.training.v)
    vectors.save(job.folder / TEXT)
    draw(vectors, examples(vectors.words), job.folder / PICTURE, 6)
    job.save()
    job.folder = complete(job.folder, Path(job.settings.output))


def examples(words: Sequence[str], n: int = 6) -> list[str]:
    """Frequent words of some length, behind the hundred most frequent ones, which say little of what a text is about."""
    telling = [word for word in words[100:3000] if len(word) > 4 and word.isalpha()]
    return telling[: 8 * n : 8] or list(words[:n])


def show(vectors: WordVectors, folder: Path) -> int:
    """Some neighbours, and what to type next."""
    words = examples(vectors.words)
    for word in words:
        print(f"{word:>12}: {', '.join(other for other, _ in vectors.nearest(word, 6))}")
    ask = f"minitorch vectors --vectors {shlex.quote(str(folder))}"
    print(
        f"{folder}/: {TEXT} (word2vec's text format), {PICTURE}, {METRICS}, {STATE}\n"
        f"next: {ask} --nearest {words[0]}\n"
        f"      {ask} --analogy A B C          (A is to B as C is to ...?)"
    )
    return 0
