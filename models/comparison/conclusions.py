"""Conclusions that the numbers force: each sentence states a measured difference, whether it may be chance, and what it costs.

A sentence is written only where its numbers are there; nothing is said of other data, other models or other machines.
Read before: measuring.py. Read next: page.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import count
from .measuring import against, bootstrap, interval, mcnemar, merits

PRETRAINED, RANDOM = "BERT fine-tuned", "the same BERT from random weights"


def finished(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The records of the rungs that are done, the best first."""
    done = {name: state["rungs"][name] for name in state["order"] if state["rungs"].get(name, {}).get("status") == "done"}
    return dict(sorted(done.items(), key=lambda item: -item[1]["score"]))


def conditions(done: dict[str, dict[str, Any]]) -> dict[str, list[float | None]]:
    """Where else each rung was tried: "10 % typos", ..., "other domain" -> a score for each, None where there is none."""
    levels = sorted({level for r in done.values() for level in r["typos"]}, key=float)
    found = {f"{100 * float(level):.0f} % typos": [r["typos"].get(level) for r in done.values()] for level in levels}
    if any(r["also"] is not None for r in done.values()):
        found["other domain"] = [r["also"] for r in done.values()]
    return found


def compared(state: dict[str, Any]) -> dict[str, Any]:
    """Of the rungs that are done: each one's interval, and its difference to the best with its tests."""
    done = finished(state)
    if not done:
        return {"best": "", "intervals": {}, "against_best": {}}
    counts = {name: np.array(r["counts"]) for name, r in done.items()}
    best = next(iter(done))
    samples = bootstrap(counts, state["settings"]["seed"])
    intervals = {name: interval(s, counts[name]) for name, s in samples.items()}
    return {"best": best, "intervals": intervals, "against_best": against(best, counts, state["settings"]["seed"])}


def conclusions(state: dict[str, Any], tests: dict[str, Any]) -> list[str]:
    """The sentences: which is best, at what cost, what pretraining brings, with how few examples, under what noise."""
    done = finished(state)
    if not done:
        return ["No rung was finished, so there is nothing to conclude."]
    parts = (the_best, the_cheapest, pretraining, few_labels, typos, elsewhere)
    sentences = [sentence for part in parts for sentence in part(state, done, tests)]
    missing = [name for name in state["order"] if name not in done]
    if missing:
        sentences.append(f"Not measured, and so not judged: {', '.join(missing)}.")
    return sentences


def the_best(state: dict[str, Any], done: dict[str, Any], tests: dict[str, Any]) -> list[str]:
    """The winner, and from whom it can be told."""
    best, n = tests["best"], state["examples"]["test"]
    metric, (low, high) = done[best]["metric"], tests["intervals"][best]
    equal = [name for name, r in done.items() if r["score"] == done[best]["score"]]
    who = f"{best} has" if len(equal) == 1 else f"{', '.join(equal[:-1])} and {equal[-1]} have"
    where = f"On {'these ' if n > 1 else ''}{count(n, 'test example')}"
    said = [f"{where} {who} the highest {metric}, {done[best]['score']:.3f} (95 %: {low:.3f} to {high:.3f})."]
    tied = [name for name, row in tests["against_best"].items() if not row["real"] and name not in equal]
    worse = [name for name, row in tests["against_best"].items() if row["real"]]
    if tied:
        said.append(f"The lead over {listed(done, tied)} may be chance.")
    if worse:
        said.append(f"The lead over {listed(done, worse)} is more than chance.")
    return said


def the_cheapest(state: dict[str, Any], done: dict[str, Any], tests: dict[str, Any]) -> list[str]:
    """The rung that costs least among those that cannot be told from the best."""
    best = tests["best"]
    among = [best, *(name for name, row in tests["against_best"].items() if not row["real"])]
    cheap = min(among, key=lambda name: done[name]["train_cpu_seconds"])
    if cheap == best:
        return [f"No cheaper rung comes so near that the difference may be chance; {best} took {cost(done[best])}."]
    a, b = done[cheap], done[best]
    times, slower = (ratio(b[key], a[key]) for key in ("train_cpu_seconds", "cpu_ms_per_answer"))
    text = f"Of those that cannot be told apart {cheap} is the cheapest: {cost(a)}; {best} took {cost(b)}"
    return [f"{text}, that is {times} the training and {slower} the time per answer."]


def pretraining(state: dict[str, Any], done: dict[str, Any], tests: dict[str, Any]) -> list[str]:
    """The same model with and without it."""
    if PRETRAINED not in done or RANDOM not in done:
        return []
    a, b = done[PRETRAINED], done[RANDOM]
    both = {PRETRAINED: np.array(a["counts"]), RANDOM: np.array(b["counts"])}
    row = against(PRETRAINED, both, state["settings"]["seed"])[RANDOM]
    verdict = "more than chance" if row["real"] else "within chance"
    low, high = row["interval"]
    return [
        f"Pretraining is worth {a['score'] - b['score']:+.3f} {a['metric']} here (95 %: {low:+.3f} to {high:+.3f}), {verdict}."
    ]


def curve_means(state: dict[str, Any]) -> dict[int, dict[str, list[float]]]:
    """n -> rung -> its scores."""
    found: dict[int, dict[str, list[float]]] = {}
    for name, sizes in state["curve"].items():
        for n, scores in sizes.items():
            known = [s for s in scores if s is not None]
            if known:
                found.setdefault(int(n), {})[name] = known
    return dict(sorted(found.items()))


def few_labels(state: dict[str, Any], done: dict[str, Any], tests: dict[str, Any]) -> list[str]:
    """At each size the best with and the best without pretraining; and how many examples the one needs to equal the other."""
    curve, kinds = curve_means(state), {name: r["kind"] for name, r in state["rungs"].items()}
    said = []
    for n, scores in curve.items():
        mean = {name: float(np.mean(s)) for name, s in scores.items()}
        with_bert = [name for name in mean if kinds.get(name) == "BERT"]
        without = [name for name in mean if kinds.get(name, "BERT") != "BERT"]
        if not with_bert or not without:
            continue
        a, b = (max(group, key=lambda name: mean[name]) for group in (with_bert, without))
        draws = min(len(scores[a]), len(scores[b]))
        spread = max(float(np.std(scores[name])) for name in (a, b))
        clear = abs(mean[a] - mean[b]) > 2 * spread / max(1, draws) ** 0.5 and draws > 1
        told = "" if clear else "; with this spread of draws that says little" if draws > 1 else "; from one draw"
        said.append(f"With {n:,} examples {a} reaches {mean[a]:.3f} and {b}, the best without pretraining, {mean[b]:.3f}{told}.")
    return said


def typos(state: dict[str, Any], done: dict[str, Any], tests: dict[str, Any]) -> list[str]:
    """Who loses least and most by typing errors."""
    levels = sorted({level for r in done.values() for level in r["typos"]}, key=float)
    able = {name: r for name, r in done.items() if levels and r["typos"].get(levels[-1]) is not None and r["kind"] != "rules"}
    if len(able) < 2:
        return []
    lost = {name: r["score"] - r["typos"][levels[-1]] for name, r in able.items()}
    least, most = min(lost, key=lambda name: lost[name]), max(lost, key=lambda name: lost[name])
    if lost[most] < 0.005:
        return []
    share = f"{100 * float(levels[-1]):.0f} %"
    return [
        f"With typing errors in {share} of the words {most} loses most ({lost[most]:.3f}) and {least} least ({lost[least]:.3f})."
    ]


def elsewhere(state: dict[str, Any], done: dict[str, Any], tests: dict[str, Any]) -> list[str]:
    """On the other domain."""
    there = {name: r for name, r in done.items() if r["also"] is not None}
    if len(there) < 2:
        return []
    best = max(there, key=lambda name: there[name]["also"])
    lost = {name: r["score"] - r["also"] for name, r in there.items() if r["kind"] != "rules"}
    most = max(lost, key=lambda name: lost[name], default=best)
    text = f"On the other domain {best} is best with {there[best]['also']:.3f} (on the test examples: {there[best]['score']:.3f})"
    return [f"{text}; {most} loses most, {lost[most]:.3f}." if most in lost and lost[most] > 0 else f"{text}."]


def listed(done: dict[str, Any], names: list[str]) -> str:
    """ "a (.812), b (.799)" """
    return ", ".join(f"{name} ({done[name]['score']:.3f})" for name in names)


def cost(record: dict[str, Any]) -> str:
    """ "0.4 CPU seconds" """
    seconds, ms = (amount(record[key]).replace("<", "less than") for key in ("train_cpu_seconds", "cpu_ms_per_answer"))
    return f"{seconds} CPU seconds of training and {ms} CPU ms per answer"


def amount(x: float) -> str:
    """Three digits of a cost; less than a hundredth is said so."""
    return f"{x:.3g}" if 0.01 <= x < 1000 else f"{x:,.0f}" if x >= 1000 else "< 0.01"


def ratio(a: float, b: float) -> str:
    """ "12 times"; of what takes no time that could be measured, many times."""
    if b <= 0:
        return "many times" if a > 0 else "1.0 times"
    times = a / b
    return f"{times:,.0f} times" if times >= 10 else f"{times:.1f} times"


def pairs(state: dict[str, Any]) -> dict[str, float | None]:
    """p of McNemar's test of every pair of rungs, where each answer is right or wrong: "a | b"."""
    done = finished(state)
    right = {name: np.array(r["counts"]) for name, r in done.items()}
    names = [name for name, c in right.items() if c.shape[1] == 2]
    return {f"{a} | {b}": mcnemar(merits(right[a]), merits(right[b])) for i, a in enumerate(names) for b in names[i + 1 :]}
