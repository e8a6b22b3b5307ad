"""An attack's records and its report. Read before: attack.py. Read next: attack_command.py."""

from __future__ import annotations

import re
from typing import Any

from .attack import Found

SHOWN = 6  # flips that the report shows side by side
AROUND = 48  # characters of a text that it shows around the changes


def record(task: Any, e: Any, found: Found, number: int) -> dict[str, Any]:
    """A line of the file: an example in the columns of the training file, which predict reads, and how it came about."""
    keys = [key for key in ("text", "pair") if task.columns.get(key)]
    texts = {task.columns[key]: getattr(found, key) for key in keys}
    original = {key: getattr(e, key) for key in keys}
    answers = {
        name: {"answer": task.labels[int(p.argmax())], "probability": round(float(p.max()), 6)}
        for name, p in (("before", found.before), ("after", found.after))
    }
    about = {
        "outcome": found.outcome,
        "number": number,
        "where": e.where,
        **answers,
        "original": original,
        "changes": found.changes,
    }
    label = {task.columns["label"]: task.gold(e)}
    return {**texts, **label, "attack": {**about, "words": found.words, "queries": found.queries}}


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of the report."""
    rows = [r["attack"] for r in records]
    n = len(rows)
    flips = [r for r in rows if r["outcome"] == "flipped"]
    right = [r for r in rows if r["outcome"] != "wrong before"]
    changed = [len(r["changes"]) for r in flips]
    return {
        "texts": n,
        "right_before": len(right),
        "flipped": len(flips),
        "accuracy": len(right) / n if n else 0.0,
        "accuracy_under_attack": (len(right) - len(flips)) / n if n else 0.0,
        "words_changed": sum(changed) / len(flips) if flips else 0.0,
        "share_changed": sum(c / max(r["words"], 1) for c, r in zip(changed, flips, strict=True)) / len(flips) if flips else 0.0,
        "queries": sum(r["queries"] for r in right) / len(right) if right else 0.0,
    }


def as_text(numbers: dict[str, Any], records: list[dict[str, Any]], how: str) -> str:
    """The report for a terminal."""
    n, right, flipped = numbers["texts"], numbers["right_before"], numbers["flipped"]
    lines = [
        how,
        "",
        f"right before the attack   {right:6,} of {n:,}  {numbers['accuracy']:7.1%}",
        f"right under attack        {right - flipped:6,} of {n:,}  {numbers['accuracy_under_attack']:7.1%}",
        f"answers flipped           {flipped:6,} of {right:,}  {flipped / max(right, 1):7.1%}",
        f"words changed for a flip  {numbers['words_changed']:6.1f}  ({numbers['share_changed']:.1%} of the text's)",
        f"questions for a text      {numbers['queries']:6.1f}",
    ]
    shown = [r for r in records if r["attack"]["outcome"] == "flipped"][:SHOWN]
    return "\n".join([*lines, *(line for r in shown for line in ("", *side_by_side(r)))])


def side_by_side(r: dict[str, Any]) -> list[str]:
    """A flip: answers, and the text before and after with the changed words in brackets."""
    about = r["attack"]
    head = " -> ".join(f"{about[key]['answer']} {about[key]['probability']:.0%}" for key in ("before", "after"))
    texts = zip(about["original"].values(), list(r.values()), strict=False)
    lines = [f"{about['where']}: {head}"]
    for before, after in texts:
        if before != after:
            lines += [f"  before  {marked(before, after)}", f"  after   {marked(after, before)}"]
    return lines


def marked(text: str, other: str) -> str:
    """The text with the words that differ from the other's in brackets, cut to where they are."""
    words, others = re.findall(r"\S+", text), re.findall(r"\S+", other)
    differ = [i for i, (a, b) in enumerate(zip(words, others, strict=False)) if a != b]
    shown = [f"[{word}]" if i in differ else word for i, word in enumerate(words)]
    first, last = (differ[0], differ[-1]) if differ else (0, 0)
    start = first
    while start > 0 and len(" ".join(shown[start - 1 : first])) < AROUND:
        start -= 1
    end = last + 1
    while end < len(shown) and len(" ".join(shown[last + 1 : end + 1])) < AROUND:
        end += 1
    return ("... " if start else "") + " ".join(shown[start:end]) + (" ..." if end < len(shown) else "")
