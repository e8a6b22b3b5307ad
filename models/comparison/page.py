"""The page: report.html (one file that needs no network), report.txt, and the pictures, all made from report.json's numbers.

Everything that comes from a file or a model is escaped. The page can be made of what is done at any time.
Read before: conclusions.py, pictures.py. Read next: command.py.
"""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_text

from ..errors import count, short
from ..finetuning.report import in_columns, size_text
from .conclusions import amount, compared, conclusions, conditions, curve_means, finished, pairs
from .measuring import merits
from .pictures import draw_all
from .rungs import KINDS

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 82em; margin: 2em auto; padding: 0 1em; color: #111; background: #fff }
table { border-collapse: collapse; font-size: 13px }
th, td { padding: .25em .5em; text-align: right; border-bottom: 1px solid #ccc; white-space: nowrap }
th:first-child, td:first-child, td.text { text-align: left }
td.text, li, dd, p { overflow-wrap: anywhere; white-space: normal } img { max-width: 100% } .wide { overflow-x: auto }
"""
EXAMPLES = 2  # test examples shown per rung and direction


def write_page(state: dict[str, Any], folder: Path, examples: list[Any]) -> str:
    """Everything that can be made of the state; the text for a terminal."""
    state["tests"] = compared(state)
    state["conclusions"] = conclusions(state, state["tests"])
    state["tests"]["mcnemar_of_pairs"] = pairs(state)
    drawn = draw_all(state, folder)
    shown = side_by_side(state, examples)
    text = as_text(state, shown)
    write_text(folder / "report.txt", text + "\n")
    write_text(folder / "report.html", as_html(state, drawn, shown, folder))
    return text


# ------------------------------------------------------------------------------------------------------ the parts


def table(state: dict[str, Any]) -> list[list[str]]:
    """A head and a row for each rung, the best first, then those that have no score, with the reason."""
    done, tests = finished(state), state["tests"]
    metric = next((r["metric"] for r in done.values()), "score")
    rows = [["", metric, "95 %", "to the best", "chosen", "train CPU", "CPU/answer", "time/answer", "parameters", "size"]]
    for i, (name, r) in enumerate(done.items(), 1):
        low, high = tests["intervals"][name]
        row = tests["against_best"].get(name)
        verdict = "best" if row is None else verdict_of(row)
        value = f"{r['chosen']:g}" if isinstance(r["chosen"], int | float) else r["chosen"]
        chosen = f"{r['setting']} {value}" + (f" (of {len(r['tried'])})" if r["tried"] else "") if r["setting"] else ""
        cost = (f"{amount(r['train_cpu_seconds'])} s", f"{r['cpu_ms_per_answer']:.3g} ms", f"{r['ms_per_answer']:.3g} ms")
        first = [f"{i}  {name}", f"{r['score']:.3f}", f"{low:.3f} – {high:.3f}", verdict, chosen]
        rows.append([*first, *cost, f"{r['parameters']:,}", size_text(r["bytes"])])
    for name in state["order"]:
        r = state["rungs"].get(name, {"status": "not begun", "reason": "the comparison was stopped before"})
        if name not in done:
            rows.append([name, "-", f"{r['status']}: {r['reason']}"])
    return rows


def curve_table(state: dict[str, Any]) -> list[list[str]]:
    """A row for each rung, a column for each number of examples: mean ± deviation of the draws."""
    curve, done = curve_means(state), finished(state)
    if not curve:
        return []
    rows = [["", *(f"{n:,}" for n in curve), f"all {state['examples']['train']:,}"]]
    for name in [*done, *(name for name in state["order"] if name not in done)]:
        cells = [curve[n].get(name, []) for n in curve]
        if any(cells):
            said = [mean_of(s) for s in cells]
            rows.append([name, *said, f"{done[name]['score']:.3f}" if name in done else "-"])
    return rows


def verdict_of(row: dict[str, Any]) -> str:
    """The distance to the best with as many digits as it needs, and whether it is more than chance."""
    if row["difference"] == 0:
        return "equal"
    digits = 3 if abs(row["difference"]) >= 0.0005 else 1
    shown = f"{-row['difference']:+.{digits}{'f' if digits == 3 else 'e'}}"
    return f"{shown}, {'real' if row['real'] else 'may be chance'}"


def mean_of(scores: list[float]) -> str:
    """Mean ± deviation (draws); one draw has no deviation."""
    if not scores:
        return "-"
    spread = f" ± {np.std(scores):.3f}" if len(scores) > 1 else ""
    return f"{np.mean(scores):.3f}{spread} ({len(scores)})"


def robust_table(state: dict[str, Any]) -> list[list[str]]:
    """Scores with typing errors, and on the other domain."""
    done = finished(state)
    if not (columns := conditions(done)):
        return []
    rows = [["", "test", *columns]]
    for name, *values in zip(done, (r["score"] for r in done.values()), *columns.values(), strict=True):
        rows.append([name, *("-" if v is None else f"{v:.3f}" for v in values)])
    return rows


def side_by_side(state: dict[str, Any], examples: list[Any]) -> list[dict[str, Any]]:
    """For the best rungs of each kind: test examples that it answers much better, or much worse, than all the others shown."""
    done = finished(state)
    names: list[str] = []
    for kind in KINDS if state["task"] != "table" else list(KINDS)[1:]:  # the mean is near some number by chance
        names += [name for name, r in done.items() if r["kind"] == kind][: 2 if kind in ("words", "BERT") else 1]
    if len(names) < 2 or not examples:
        return []
    merit = np.stack([merits(np.array(done[name]["counts"])) for name in names])  # (rungs, n)
    found = []
    for i, name in enumerate(names):
        others = np.delete(merit, i, 0)
        for title, lead in (
            ("right, the others wrong", merit[i] - others.max(0)),
            ("wrong, the others right", others.min(0) - merit[i]),
        ):
            for at in np.argsort(-lead, kind="stable")[:EXAMPLES].tolist():
                if lead[at] > 0:
                    answers = {other: done[other]["answers"][at] for other in names}
                    shown = {"example": shown_example(examples[at]), "gold": state["gold"][at], "answers": answers}
                    found.append({"rung": name, "title": title, **shown})
    return found


def shown_example(e: Any) -> str:
    """The example's words, shortened."""
    text = " ".join(getattr(e, "words", [])) or " ".join(
        filter(None, (getattr(e, "question", ""), getattr(e, "text", ""), getattr(e, "pair", "")))
    )
    return short(" ".join(text.split()), 300)


def heads(state: dict[str, Any]) -> list[str]:
    """What was compared, how, and where."""
    n, s = state["examples"], state["settings"]
    files = f"{s['train']}" + (f", judged on {s['test']}" if s["test"] else ", of which a fifth is for judging")
    counts = f"{count(n['train'], 'training example')}, {n['dev']:,} held out for tuning, {count(n['test'], 'test example')}"
    lines = [
        f"{state['task']}: {files}" + (f"; other domain: {s['also']}" if s["also"] else ""),
        f"{counts}; seed {s['seed']}; checkpoint {s['model']}",
        f"{state['command']}; {state['seconds'] / 60:.1f} of {s['budget']:g} minutes; {state['machine']}",
    ]
    return lines


NOTES = (
    "All rungs learn from the same examples, are tuned on the same held-out ones, and are judged on the same test examples by "
    "the same metric. Training CPU includes tuning; “chosen” says which value of how many tried. “95 %” is Wilson's interval of "
    "a share of right answers, or else the bootstrap's. “real”: the difference to the best is more than chance at 5 % "
    "(McNemar's exact test where answers are right or wrong, or else the bootstrap; Holm's correction). The learning curves use "
    "the settings that were chosen on all training examples."
)


# ----------------------------------------------------------------------------------------------------------- text


def as_text(state: dict[str, Any], shown: list[dict[str, Any]]) -> str:
    """The page for a terminal."""
    parts = [
        "\n".join(heads(state)),
        "Conclusions\n" + "\n".join(f"- {line}" for line in state["conclusions"]),
        in_columns(table(state)),
        NOTES,
    ]
    if rows := curve_table(state):
        parts.append("Score by number of training examples, mean ± deviation (draws)\n" + in_columns(rows))
    if rows := robust_table(state):
        parts.append("Robustness\n" + in_columns(rows))
    reasons = [
        f"{name}\n" + "\n".join(f"  {line}" for line in r["reasons"]) for name, r in finished(state).items() if r["reasons"]
    ]
    if reasons:
        parts.append("Reasons\n" + "\n".join(reasons))
    for item in shown:
        answers = "\n".join(f"    {name}: {answer}" for name, answer in item["answers"].items())
        parts.append(f"{item['rung']} {item['title']}: “{item['example']}”\n    right: {item['gold']}\n{answers}")
    return "\n\n".join(parts)


# ----------------------------------------------------------------------------------------------------------- HTML


def as_html(state: dict[str, Any], drawn: dict[str, str], shown: list[dict[str, Any]], folder: Path) -> str:
    """One file: the pictures are inside."""
    body = ["<h1>Every rung from counting words to BERT</h1>", *(f"<p>{escape(line)}</p>" for line in heads(state))]
    body += ["<h2>Conclusions</h2><ul>", *(f"<li>{escape(line)}</li>" for line in state["conclusions"]), "</ul>"]
    body += [html_table(table(state)), f"<p>{escape(NOTES)}</p>"]
    for name, title in drawn.items():
        data = base64.b64encode((folder / name).read_bytes()).decode()
        picture = f'<img alt="{escape(title)}; the numbers stand in the tables" src="data:image/png;base64,{data}">'
        body.append(f"<h2>{escape(title)}</h2>{picture}")
    for title, rows in (
        ("Score by number of training examples: mean ± deviation (draws)", curve_table(state)),
        ("Robustness", robust_table(state)),
    ):
        body += [f"<h2>{escape(title)}</h2>", html_table(rows)] if rows else []
    body.append("<h2>What each says of its reasons</h2><dl>")
    for name, r in finished(state).items():
        if r["reasons"]:
            body += [f"<dt><b>{escape(name)}</b></dt>", *(f"<dd>{escape(line)}</dd>" for line in r["reasons"])]
    body.append("</dl>")
    if shown:
        body.append("<h2>Where each is right and the others wrong, or the other way round</h2>")
        body += [html_example(item) for item in shown]
    page = "\n".join(body)
    head = f'<meta charset="utf-8"><title>Comparison</title><style>{STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{page}\n</body></html>\n'


def html_table(rows: list[list[str]]) -> str:
    """A table; a row with fewer cells ends in one that spans the rest."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    lines = []
    for row in rows[1:]:
        span = len(rows[0]) - len(row) + 1
        last = f'<td class="text" colspan="{span}">{escape(row[-1])}</td>' if span > 1 else f"<td>{escape(row[-1])}</td>"
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row[:-1]) + last + "</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def html_example(item: dict[str, Any]) -> str:
    """An example with the answers of all rungs that are shown."""
    rows = [["", "answer"], ["right", item["gold"]], *([name, answer] for name, answer in item["answers"].items())]
    return f"<p><b>{escape(item['rung'])}</b> {escape(item['title'])}: “{escape(item['example'])}”</p>{html_table(rows)}"
