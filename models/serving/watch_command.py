"""``minitorch watch LOG``: the latest answers in a log of ``minitorch serve`` next to those that the model was tested on.

Read before: drift.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from typing import Any

from ..errors import BadInput, count, short
from ..text.labelled import as_json
from . import drift
from .drift import ALPHA, LEAST, SHIFT, Seen, compared, read_lines, reference_of, seen_in


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    add = parser.add_argument
    add("log", metavar="LOG", type=Path, help="what `minitorch serve --log` wrote")
    add(
        "--model",
        action="append",
        default=[],
        metavar="[NAME=]FOLDER",
        help="the reference: a folder of finetune, with its predictions.jsonl; may be repeated",
    )
    add("--reference", metavar="FILE.jsonl", type=Path, help="the reference: another log, of a time when all was well")
    add("--window", type=int, default=500, metavar="N", help="how many of the latest answers to look at (default: %(default)s)")
    add("--shift", type=float, default=SHIFT, help="alarm from this population stability index on (default: %(default)s)")
    add(
        "--alpha",
        type=float,
        default=ALPHA,
        help="and if chance gives such a difference more seldom than this (default: %(default)s)",
    )
    add(
        "--follow", type=float, default=0.0, metavar="SECONDS", help="look again and again, and tell what changes (default: once)"
    )
    add("--alarms", metavar="FILE", help="append alarms to this file, one JSON object a line")
    add("--webhook", metavar="URL", help="send alarms to this address, as JSON")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the comparison of each model; the status is 1 if there is an alarm."""
    if args.window < LEAST:
        raise BadInput(f"--window must be at least {LEAST}: fewer answers say nothing about shares")
    if not 0 < args.alpha < 1 or not 0 <= args.shift < 100 or not 0 <= args.follow <= 86400:
        raise BadInput("--alpha must lie between 0 and 1, --shift and --follow be positive")
    if args.model and args.reference:
        raise BadInput("--model and --reference both say what to compare with: give one of them")
    if args.webhook and not args.webhook.startswith(("http://", "https://")):
        raise BadInput(f"--webhook {short(args.webhook)}: an address begins with http:// or https://")
    references = references_of(args)
    before: dict[str, list[str]] = {}
    while True:
        reports = look(args, references)
        alarms = {name: report["alarms"] for name, report in reports.items() if report}
        if alarms != before or not args.follow:
            show(args, reports)
        for name, report in reports.items():
            if report and set(report["alarms"]) - set(before.get(name, ())):
                tell(args, name, report)
        before = alarms
        if not args.follow:
            return int(any(alarms.values()))
        time.sleep(args.follow)


def references_of(args: argparse.Namespace) -> dict[str, Seen]:
    """By the models' names; "" is that of all others."""
    if args.reference:
        return {"": seen_in(str(args.reference), [record_of(record) for _, record in read_lines(args.reference)])}
    from .folders import load, named

    found = {}
    for name, folder in named(args.model).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reference = reference_of(folder, load(name, folder).answers)
        if reference is None:
            raise BadInput(
                f"{folder}: no predictions.jsonl here; give a folder of minitorch finetune, or --reference with an earlier log"
            )
        found[name] = reference
    return found


def record_of(record: dict[str, Any]) -> dict[str, Any]:
    """A line of a log as it is; one of predictions.jsonl as a log would have it."""
    return record if "version" in record and "seconds" in record else drift.summary(record)


def look(args: argparse.Namespace, references: dict[str, Seen]) -> dict[str, dict[str, Any] | None]:
    """The comparison of each model in the log; None: too few answers."""
    by_model: dict[str, list[dict[str, Any]]] = {}
    for number, record in read_lines(args.log):
        if not isinstance(record.get("model"), str):
            raise BadInput(f'{args.log}:{number}: no "model" here: is this a log of minitorch serve?')
        by_model.setdefault(record["model"], []).append(record)
    if not by_model:
        raise BadInput(f"{args.log}: holds no answer yet")
    if args.model and not set(references) & set(by_model):
        there = ", ".join(map(short, by_model))
        raise BadInput(
            f"{args.log} is of {there}, not of {', '.join(references)}: give --model {short(next(iter(by_model)))}=FOLDER"
        )
    reports: dict[str, dict[str, Any] | None] = {}
    for name, lines in by_model.items():
        reference, latest = references.get(name) or references.get(""), lines[-args.window :]
        if reference is None and not args.model:  # the log's own beginning
            first = lines[: -len(latest)][: args.window]
            reference, latest = seen_in(f"the first {count(len(first), 'answer')} of the log", first), latest
        if reference is not None:
            enough = min(reference.count, len(latest)) >= LEAST
            reports[name] = compared(reference, seen_in(str(args.log), latest), args.shift, args.alpha) if enough else None
    return reports


def show(args: argparse.Namespace, reports: dict[str, dict[str, Any] | None]) -> None:
    """For people, or as JSON."""
    if args.json:
        print(json.dumps(reports, ensure_ascii=False), flush=True)
        return
    for name, report in reports.items():
        if report is None:
            print(f"{name}: too few answers to compare: {LEAST} are needed, and as many to compare them with", flush=True)
            continue
        n, m = report["answers"]
        print(f"{name}: the latest {count(m, 'answer')} next to {n:,} of {report['reference']}")
        print(f"  {'':12}{'PSI':>8}{'chance':>10}")
        for what, row in report["found"].items():
            more = f"   mean {row['mean'][0]:g}, now {row['mean'][1]:g}" if "mean" in row else f"   {changes(row['shares'])}"
            print(f"  {what:12}{row['psi']:8.3f}{row['p']:10.2g}{more}{'   ALARM' if row['alarm'] else ''}")
    sys.stdout.flush()


def changes(shares: dict[str, list[float]]) -> str:
    """The three labels whose share has changed most."""
    most = sorted(shares, key=lambda label: -abs(shares[label][1] - shares[label][0]))[:3]
    return ", ".join(f"{short(label, 30)} {shares[label][0]:.0%}, now {shares[label][1]:.0%}" for label in most)


def tell(args: argparse.Namespace, name: str, report: dict[str, Any]) -> None:
    """An alarm, to the file and the address; one that cannot be told there stands on standard error."""
    alarm = {"time": round(time.time(), 3), "model": name, **report}
    if args.alarms:
        try:
            with open(args.alarms, "a", encoding="utf-8") as file:
                file.write(as_json(alarm) + "\n")
        except OSError as error:
            print(f"minitorch watch: {args.alarms}: {error.strerror}", file=sys.stderr)
    if args.webhook:
        text = f"{name}: {', '.join(report['alarms'])} drifted"  # chat services show a field of this name
        body = json.dumps({"text": text, **alarm}).encode()
        request = urllib.request.Request(args.webhook, body, {"content-type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except (OSError, ValueError, urllib.error.URLError) as error:
            print(f"minitorch watch: --webhook: {short(error, 200)}", file=sys.stderr)
