"""The desk's knowledge: questions and their answers, from a table or from Python's documentation.

Read before: models/text/labelled.py. Read next: search.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minitorch.files import write_text

from ..errors import BadInput, count
from ..seq2seq.summaries import summaries
from ..text.labelled import read_rows

QUESTIONS, ANSWERS = ("question", "query", "title", "q", "text"), ("answer", "reply", "response", "a", "body")
LEAST = 20  # questions, of which a fifth are held out
DOCUMENTED = 3000  # entries of the default


@dataclass
class Faq:
    """Entries: answers, all different. Each question belongs to one of them, or to none (-1)."""

    answers: list[str]
    questions: list[str]
    entry: np.ndarray  # (questions,)

    def asked(self, which: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Questions with their entries."""
        return [self.questions[i] for i in which], self.entry[which]

    def texts(self, which: np.ndarray) -> tuple[list[str], np.ndarray]:
        """What a search reads, with each text's entry: all answers, then the chosen questions."""
        asked, entry = self.asked(which)
        return [*self.answers, *asked], np.concatenate([np.arange(len(self.answers)), entry])


def read_faq(path: str, known: Sequence[str] = ()) -> Faq:
    """A table with a question and its answer in each row. Rows with the same answer are ways to ask for one entry.

    With ``known`` answers it is a test: an answer that is not among them, or empty, is one that the desk cannot know.
    """
    rows = read_rows(path)
    asks = rows.column(None, QUESTIONS, "question", "a header such as question<TAB>answer; there is no option")
    replies = rows.column(None, ANSWERS, "answer", "a header such as question<TAB>answer; there is no option")
    number = {answer: i for i, answer in enumerate(known)}
    questions, entry = [], []
    for i in range(len(rows.records)):
        questions.append(rows.text(i, asks))
        if known:
            entry.append(number.get(str(rows.records[i].get(replies) or "").strip(), -1))
        else:
            entry.append(number.setdefault(rows.text(i, replies), len(number)))
    if not known and len(number) < 2:
        raise BadInput(f"{path}: all questions have the same answer; a desk needs at least two")
    if not known and len(questions) < LEAST:
        raise BadInput(f"{path}: {count(len(questions), 'question')}; a desk needs at least {LEAST} to find its threshold")
    return Faq(list(number), questions, np.array(entry))


def documentation_faq(path: Path, say: Callable[[str], None] = print) -> str:
    """Write a table made of docstrings: the first line asks for the rest. A way to try the desk without a file."""
    say("reading the docstrings in this Python installation ...")
    lines = [line for _, line in summaries()]  # source, target
    if len(lines) < LEAST:
        raise BadInput(f"this Python installation has only {len(lines)} docstrings of two parts; give --faq FILE")
    chosen = np.random.default_rng(0).permutation(len(lines))[:DOCUMENTED]
    rows = [lines[i].rstrip("\n").split("\t") for i in sorted(chosen.tolist())]
    write_text(path, "question\tanswer\n" + "".join(f"{target}\t{source}\n" for source, target in rows))
    say(f"{path}: {count(len(rows), 'question')}, each the first line of a docstring; the answer is the rest of it")
    return str(path)


def held_out(faq: Faq, share: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The questions' numbers in three parts: those that the desk reads, those that choose, those that judge."""
    order = np.random.default_rng(seed).permutation(len(faq.questions))
    n = max(2, round(share * len(order)) // 2 * 2)
    return np.sort(order[n:]), np.sort(order[: n // 2]), np.sort(order[n // 2 : n])
