"""The ``minitorch`` command: one subcommand per job.

Each job's module has ``add_arguments(parser)`` and ``run(args)``; it is imported only when its subcommand is asked for.
A user's mistake gives one line on standard error and status 2; Ctrl-C gives one line and status 130.
Read next: startup.py, then the module of a job.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import launch, startup
from .errors import LONGEST, BadInput, short, suggestion

JOBS = {
    "linear-regression": ("models.classical.regression_command", "fit a line to a table in three ways, and compare them"),
    "pretrain": ("models.pretrain_command", "pretrain a BERT or a GPT on text: with no options, on Python's own documentation"),
    "generate": ("models.gpt.generate_command", "continue a text with a GPT, token by token"),
    "evaluate": ("models.evaluating.command", "perplexity of a text under GPTs and BERTs: per token, per character, per byte"),
    "fill-mask": ("models.bert.fill_mask_command", "guess the masked words of a sentence"),
    "embed": ("models.bert.embed_command", "turn texts into vectors, and compare them"),
    "vectors": ("models.classical.vectors_command", "learn word vectors from text, and ask for neighbours and analogies"),
    "finetune": ("models.finetuning.command", "train a BERT on a labelled file, and compare it with classical models"),
    "predict": ("models.finetuning.predict_command", "answer with a model that finetune or seq2seq trained"),
    "compare": ("models.comparison.command", "compare every way to learn a task, from counting words to BERT, on one page"),
    "adapt": (
        "models.finetuning.adapt_command",
        "make an ordinary checkpoint, or AdapterHub's files, of an adapter that finetune trained",
    ),
    "compress": ("models.compressing.command", "make a model smaller: prune heads, layers or weights, int8, or distil a student"),
    "continual": ("models.continual.command", "learn one task after another, and measure what is forgotten, by seven strategies"),
    "attack": (
        "models.attacking.attack_command",
        "change a few words or letters of texts until a classifier of finetune gets them wrong",
    ),
    "prompt": ("models.prompting.prompt_command", "classify by the word a masked LM puts into a gap, with few examples or none"),
    "explain": ("models.explaining.command", "say why a model answers as it does, and what the explanation is worth"),
    "seq2seq": ("models.seq2seq.command", "train an encoder-decoder on pairs of texts: translation, summaries, spelling, ..."),
    "desk": ("models.desk.desk_command", "answer questions from a table of answers, and know when it has none"),
    "recommend": ("models.recommending.recommend_command", "recommend items by clicks and descriptions, judged by later clicks"),
    "opinions": ("models.opinions.opinions_command", "watch a stream of dated texts, with an alarm when bad ones surge"),
    "tensorboard": ("models.training.tensorboard", "write the curves of runs as event files, for TensorBoard"),
    "course": ("models.course.command", "graded assignments: get one, check it, grade a class"),
    "serve": ("models.serving.serve_command", "answer requests over HTTP with the models of any folders"),
    "watch": ("models.serving.watch_command", "do the answers of a served model drift away from those of its test?"),
    "doctor": ("minitorch.tools.doctor", "report versions of Python, NumPy, BLAS, CuPy and driver, and how to fix problems"),
}
TAKE_A_FILE = ("--corpus", "--csv", "--train", "--data")  # options for the file that a job learns from
# What pip installs with minitorch's extra "models".
EXTRAS = {"sklearn", "matplotlib", "tqdm", "safetensors", "tokenizers", "sacrebleu", "rouge_score"}


class Parser(argparse.ArgumentParser):
    """argparse's parser, with short usage in errors and a suggestion for a misspelt word."""

    def error(self, message: str) -> NoReturn:
        if self.job is not None:  # argparse would show the usage of the whole command
            self.job.error(message)
        jobs = next((action for action in self._actions if isinstance(action, argparse._SubParsersAction)), None)
        if jobs is not None and message == f"the following arguments are required: {jobs.metavar}":
            self.exit(2, f"{self.format_help()}\n{self.prog}: error: say which {jobs.metavar} you want\n")
        known = [*self._option_string_actions, *(str(word) for action in self._actions for word in action.choices or ())]
        file = re.search(r"(?:invalid choice: '|unrecognized arguments: )(?!-)([^\s']+\.\w+)", message)
        if file and (option := next((name for name in TAKE_A_FILE if name in known), None)):
            message = f"{message.partition(' (choose')[0]}; a file is given with {option} {file[1]}"
        for word in re.findall(r"(?:invalid choice: '|unrecognized arguments: .*?)(-*\w[\w-]*)", message if not file else ""):
            if near := suggestion(word, known):
                message += f"; did you mean {near}?"
        if re.match(r"unrecognized arguments: [^-]", message) and any(action.dest == "text" for action in self._actions):
            message += "; put a text of several words in quotes"
        usage = self.format_usage()
        if usage.count("\n") > 4:  # keep the error in sight, not below twenty lines of options
            usage = f"usage: {self.prog} --help lists the options\n"
        self.exit(2, f"{usage}{self.prog}: error: {message}\n")

    job: argparse.ArgumentParser | None = None  # of the subcommand, once it has its options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if several := launch.launched():
        return launch.run(in_one_process, argv, *several)
    return in_one_process(argv)


def in_one_process(argv: Sequence[str]) -> int:
    """The same, whether it is the only one or one of several."""
    argv = list(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal without ² shows ? instead of a traceback; what is printed into a pipe or a log file is there at once.
            stream.reconfigure(errors="replace", line_buffering=True)
    name = f"minitorch {argv[0]}" if argv and argv[0] in JOBS else "minitorch"
    try:
        status = with_ctrl_c(argv)
        if sys.stdout is not None:  # it is closed (>&-)
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print(f"\n{name}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe went away (| head): nothing is wrong, and nobody listens
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRAS:
            raise
        print(f"{name}: error: {error.name} is not installed: pip install -e '.[models]'", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{name}: error: {reason(error)}", file=sys.stderr)
        return 2


def with_ctrl_c(argv: list[str]) -> int:
    """The job. Ctrl-C while a library is imported may come out as an ImportError of its C code: it is remembered."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or threading.current_thread() != threading.main_thread():
        return _run(argv)
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        return _run(argv)
    except (ImportError, SystemError) as error:
        if asked:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _run(argv: list[str]) -> int:
    startup.prepare()
    about = "A small deep-learning engine to read, and models built with it."
    parser = Parser(prog="minitorch", description=about, allow_abbrev=False)
    jobs = parser.add_subparsers(dest="job", metavar="JOB", required=True)
    parsers = {name: jobs.add_parser(name, help=text, description=text, allow_abbrev=False) for name, (_, text) in JOBS.items()}
    parser.epilog = "minitorch JOB --help says more. To begin with: minitorch pretrain, which takes three minutes."
    parser.add_argument("--version", action="store_true", help="say which version this is, and from which folder")
    if argv[:1] == ["--version"]:  # before the parser, because only this needs the engine
        import minitorch

        print(f"minitorch {minitorch.__version__} ({Path(minitorch.__file__).parent})")
        return 0
    if not argv or argv[0] not in JOBS:
        parser.parse_args(argv)  # --help, or an error that lists the jobs
    module = importlib.import_module(JOBS[argv[0]][0])
    if argv[0] == "doctor":  # the engine's own, which also runs as python -m minitorch.tools.doctor
        return int(module.main(argv[1:], prog="minitorch doctor"))
    parser.job = parsers[argv[0]]
    module.add_arguments(parser.job)
    refuse_empty(parser.job, argv)
    args = parser.parse_args(argv)
    try:
        return int(module.run(args) or 0)
    except BadInput as error:
        print(f"minitorch {argv[0]}: error: {error}", file=sys.stderr)
        return 2


def refuse_empty(job: argparse.ArgumentParser, argv: list[str]) -> None:
    """An empty value of an option is an unset variable in somebody's script; as a path it would mean the current folder."""
    for before, word in itertools.pairwise(argv):
        option, equals, value = word.partition("=")
        takes_value = [a for name, a in job._option_string_actions.items() if name == (before if word == "" else option)]
        if (word == "" or (equals and not value)) and any(a.nargs != 0 for a in takes_value):
            job.error(f"{before if word == '' else option} is empty: give it a value, or leave it out")
        if word == "" and argv[0] == "course":
            job.error("an argument is empty; give a name or a folder")


def reason(error: OSError) -> str:
    """An OSError on one line: its own text, or the file that it names; without either it may be of the standard output."""
    if error.strerror is None:
        return short(error, LONGEST)
    if isinstance(error, FileExistsError) and error.filename is not None and os.path.isfile(error.filename):
        return short(f"{error.filename} is a file; give a folder", LONGEST)
    if error.filename is not None:
        return short(f"{error.filename}: {error.strerror}", LONGEST)
    try:
        print(flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try once more at its end
        return f"cannot print: {error.strerror}"
    return error.strerror


def program() -> NoReturn:
    """The command as a process. When the job is done nothing is left to stop: Ctrl-C would only print a traceback."""
    status = main()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(status)


if __name__ == "__main__":
    program()
