"""Tell what a labelled file seems to be, where a task is given the file of another one.

Read before: tables.py. Read next: labelled.py.
"""

from __future__ import annotations

import re

from ..errors import BadInput

TEXT_HEADS = "text|sentence1?|review|utterance|tweet|comment|message|document|premise|question1?|headline|title|content"
LABEL_HEADS = "labels?|class|category|target|gold_label|sentiment|intent|relation|score|topic|rating|emotion"
TAG = r"O|[BIESLUM][-_]\S+|\S+[-_][BIESLU]"
KINDS = {  # task: what its files are
    "classify": "a table of texts and labels",
    "tag": "CoNLL (a word and its tag per line, a blank line between sentences)",
    "relation": "texts that mark two entities, <e1> and <e2>",
    "qa": "SQuAD (questions with a context and the places of their answers)",
    "choice": "questions with choices",
}


def kind_of_file(text: str) -> str:
    """The task whose files look like this, or ""."""
    start = text.lstrip()[:100_000]
    if start[:1] in ("[", "{"):
        keys = set(re.findall(r'"(\w+)"\s*:', start))
        if "answer_start" in keys or {"data", "paragraphs"} <= keys:
            return "qa"
        if any(re.fullmatch(r"choices|endings|options|(choice|ending|option|sol)_?[01A]", key) for key in keys):
            return "choice"
        return "classify" if _names_both(list(keys)) else ""
    lines = [line for line in start.split("\n") if line.strip()]
    if not lines:
        return ""
    if re.match(r"\d+\s.*<e[12]>", lines[0], re.IGNORECASE) and lines[0].count("\t") < 2:  # SemEval's own layout
        return "relation"
    last = [line.split()[-1] for line in lines if not line.startswith(("#", "-DOCSTART-"))]
    if "O" in last and sum(re.fullmatch(TAG, field) is not None for field in last) > 0.8 * len(last):
        return "tag"
    long = sum("\t" in line and any(len(field.split()) > 2 for field in line.split("\t")) for line in lines)
    table = "\n\n" not in start.strip() and long > 0.5 * len(lines)  # texts, where words are awaited
    return "classify" if table or any(_names_both(lines[0].split(sign)) for sign in "\t,;|") else ""


def _names_both(names: list[str]) -> bool:
    """Is one of them usual for a text, and one for its label?"""
    plain = [name.strip().strip('"').casefold() for name in names]
    return all(any(re.fullmatch(heads, name) for name in plain) for heads in (TEXT_HEADS, LABEL_HEADS))


def refuse_kinds(path: str, text: str, *tasks: str) -> None:
    """Raise BadInput for a file of one of these tasks."""
    kind = kind_of_file(text)
    if kind in tasks:
        raise BadInput(f"{path}:1: this seems to be {KINDS[kind]}, which `minitorch finetune {kind}` reads")
