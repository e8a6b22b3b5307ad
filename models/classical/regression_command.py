"""``minitorch linear-regression``: fit a table in four ways, print the scores, draw two pictures.

Read before: linear_regression.py.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.devices import Array, move
from minitorch.files import replacing

from ..errors import LONGEST, BadInput, count, listing, short
from ..text.numbers import DECIMAL_NAMES, DECIMALS
from ..text.tables import delimiter_of, read_table
from ..training.runs import make_folder
from ..training.settings import usable_device
from .linear_regression import (
    LinearModel,
    Problem,
    fit_gradient_descent,
    fit_least_squares,
    fit_normal_equations,
    load_csv,
    load_diabetes,
    objective,
    prepare,
    r_squared,
    rmse,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``minitorch linear-regression``."""
    add = parser.add_argument_group("data").add_argument
    add("--csv", metavar="FILE", help="a CSV file whose first line names its columns (default: scikit-learn's diabetes data)")
    add("--target", metavar="COLUMN", help="the column to predict; needed with --csv")
    add("--features", metavar="A,B,C", help="the columns to predict it from (default: every other numeric column)")
    add("--columns", metavar="A,B,C", help="names of the columns, if the first line does not name them")
    add("--delimiter", default="", help="separator of columns: tab, comma, semicolon, bar, space, or a sign (default: found)")
    text = "decimal mark of the numbers, or the sign itself (default: found from the whole file)"
    add("--decimal", type=lambda sign: DECIMAL_NAMES.get(sign, sign), choices=tuple(DECIMALS), help=text)
    add("--encoding", default="utf-8", help="encoding of the file (default: %(default)s)")
    add("--missing", choices=("drop", "mean"), default="drop", help="rows with missing values: leave out, or fill in the mean")
    add("--test-share", type=float, default=0.2, metavar="S", help="share of the rows kept for testing (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of the split into training and test rows (default: %(default)s)")
    add = parser.add_argument_group("fit").add_argument
    add("--ridge", type=float, default=0.0, metavar="λ", help="weight of the penalty ‖w‖² (default: 0)")
    add("--epochs", type=int, default=5000, help="largest number of gradient descent steps (default: %(default)s)")
    add("--lr", type=float, help="step size of gradient descent (default: 1/L, which never climbs; 2/L diverges)")
    add("--device", default="cpu", help='"cpu" or "cuda": where the three fits run (default: %(default)s)')
    add("--output", metavar="FOLDER", default="runs/linear_regression", help="folder for the pictures (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Read, fit in four ways, print the table, draw the pictures."""
    _check(args)
    problem = _problem(args)
    output = Path(args.output)
    make_folder(output)
    X, y = problem.train
    rows = f"{count(len(y), 'training row')}, {count(len(problem.test[1]), 'test row')}"
    print(f'{short(problem.name)}: "{short(problem.target)}" from {count(len(problem.features), "feature")}')
    for remark in [*problem.remarks, f"{rows}; features standardised; λ = {args.ridge:g}"]:
        print(f"  {short(remark, LONGEST)}")
    print(flush=True)
    models, seconds = {}, {}
    for name, fit in _contestants(args).items():
        if name != "gradient descent":
            fit(X, y)  # a first call also loads libraries, which the clock should not count
        start = time.perf_counter()
        models[name] = fit(X, y)
        seconds[name] = time.perf_counter() - start
    _print_table(problem, models, seconds)
    best = models["least squares"]
    _print_weights(problem, best)
    draw_fit(problem, best, output / "fit.png")
    draw_descent(models["gradient descent"].history, objective(X, y, best.weight, best.bias, args.ridge), output / "descent.png")
    print(f"\npictures: {output / 'fit.png'}, {output / 'descent.png'}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raise BadInput for impossible options before anything is read."""
    if args.csv is None and (args.target or args.features):
        raise BadInput("--target and --features choose columns of a file: give it with --csv FILE")
    if not 0 < args.test_share < 1:
        raise BadInput(f"--test-share must lie between 0 and 1, not {args.test_share:g}")
    if not 0 <= args.ridge < float("inf"):
        raise BadInput(f"--ridge must be 0 or a positive number, not {args.ridge:g}")
    if args.lr is not None and not 0 < args.lr < float("inf"):
        raise BadInput(f"--lr must be a positive number, not {args.lr:g}")
    if args.epochs < 1:
        raise BadInput(f"--epochs must be at least 1, not {args.epochs}")
    if not 0 <= args.seed < 2**32:
        raise BadInput(f"--seed must lie between 0 and 2³² - 1, not {args.seed}")
    args.device = usable_device(args.device)


def _problem(args: argparse.Namespace) -> Problem:
    if args.csv is None:
        loaded = load_diabetes()
    else:
        decimal = DECIMALS.get(args.decimal, "")
        table = read_table(args.csv, delimiter_of(args.delimiter), args.encoding, decimal, _names(args.columns))
        if args.target is None:
            raise BadInput(f"--csv needs --target COLUMN; the columns of {args.csv} are: {listing(table.names)}")
        loaded = load_csv(table, args.target, _names(args.features) if args.features is not None else None)
    return prepare(*loaded, missing=args.missing, test_share=args.test_share, seed=args.seed)


def _names(option: str | None) -> list[str]:
    """'a,"b, c"' as ["a", "b, c"]"""
    return [name.strip() for name in next(csv.reader([option or ""], skipinitialspace=True), [])]


def _contestants(args: argparse.Namespace) -> dict[str, Callable[[Array, Array], LinearModel]]:
    """The three fits on the device asked for, and scikit-learn's own."""
    from sklearn.linear_model import LinearRegression, Ridge

    def here(fit: Callable[..., LinearModel], **options: Any) -> Callable[[Array, Array], LinearModel]:
        def fit_there(X: Array, y: Array) -> LinearModel:
            model = fit(move(X, args.device), move(y, args.device), args.ridge, **options)
            model.weight = move(model.weight, "cpu")
            return model

        return fit_there

    def scikit_learn(X: Array, y: Array) -> LinearModel:
        model = (Ridge(alpha=args.ridge) if args.ridge > 0 else LinearRegression()).fit(X, y)
        return LinearModel(model.coef_, float(model.intercept_))

    return {
        "normal equations": here(fit_normal_equations),
        "least squares": here(fit_least_squares),
        "gradient descent": here(fit_gradient_descent, lr=args.lr, epochs=args.epochs, progress=True),
        "scikit-learn": scikit_learn,
    }


def _print_table(problem: Problem, models: dict[str, LinearModel], seconds: dict[str, float]) -> None:
    print(f"{'':18}{'R² train':>10}{'R² test':>10}{'RMSE train':>13}{'RMSE test':>13}{'time':>12}")
    for name, model in models.items():
        r2 = [r_squared(y, model.predict(X)) for X, y in (problem.train, problem.test)]
        errors = [rmse(y, model.predict(X)) for X, y in (problem.train, problem.test)]
        scores = "".join([_r_squared(x).rjust(10) for x in r2] + [f"{x:13.5g}" for x in errors])
        print(f"{name:18}{scores}{1000 * seconds[name]:9.1f} ms")
    descent = models["gradient descent"]
    steps = len(descent.history) - (not descent.note)  # at convergence the last loss has no step after it
    print(f"\ngradient descent took {count(steps, 'step')}")
    for name, model in models.items():
        if model.note:
            print(f"{name}: {model.note}")


def _r_squared(x: float, digits: int = 4) -> str:
    """NaN, where the targets do not vary, as -: a remark has said why."""
    return "-" if x != x else f"{x:.{digits}f}" if x > -99 else f"{x:.1e}"


def _print_weights(problem: Problem, model: LinearModel, most: int = 10) -> None:
    """The largest weights: per standard deviation of the feature, then per unit of the file."""
    order = np.argsort(-np.abs(model.weight))
    names = [short(name, 40) for name in problem.features]
    width = max(20, *(len(names[i]) for i in order[:most])) + 2
    print(f"\n{'weight of':{width}}{'per deviation':>14}{'per unit':>14}")
    for i in order[:most]:
        print(f"{names[i]:{width}}{model.weight[i]:14.5g}{model.weight[i] / problem.deviation[i]:14.5g}")
    if len(order) > most:
        print(f"and {len(order) - most} smaller ones")
    zero = model.bias - np.sum(model.weight * problem.mean / problem.deviation)
    print(f"{'intercept':{width}}{model.bias:14.5g}{zero:14.5g}   where all features are at their mean, and where all are 0")


# -------------------------------------------------------------------------------------------------- the pictures


def draw_fit(problem: Problem, model: LinearModel, path: Path) -> None:
    """Predicted against measured, for the rows the model was fitted to and for those it never saw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 6), layout="constrained")
    axes = figure.subplots()
    everything = np.concatenate([problem.train[1], problem.test[1]])
    low, high = float(everything.min()), float(everything.max())
    for (X, y), label, colour, size in ((problem.train, "train", "#9db4c8", 9), (problem.test, "test", "#c8553d", 14)):
        predicted = model.predict(X)
        size = size if len(everything) < 2000 else size / 4
        label = f"{label}: R² {_r_squared(r_squared(y, predicted), 3)}, {count(len(y), 'row')}"
        axes.scatter(y, predicted, s=size, alpha=0.7, color=colour, linewidths=0, label=label)
    axes.axline((low, low), (high, high), color="black", linewidth=0.8, linestyle="--", label="perfect")
    axes.set(xlabel=f"{problem.target}, measured", ylabel=f"{problem.target}, predicted", title="Predicted against measured")
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_parse_math(False)  # a column may be called "price ($)"
    axes.title.set_fontweight("bold")
    axes.legend(markerscale=2, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def draw_descent(history: list[float], optimum: float, path: Path) -> None:
    """The loss at each step of gradient descent: on its way to the optimum, and how far above it."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    steps, loss = np.arange(1, len(history) + 1), np.array(history)
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    marker = "o" if len(loss) < 10 else None
    left.plot(steps, loss, color="#2f6690", marker=marker, label="gradient descent")
    left.axhline(optimum, color="#c8553d", linestyle="--", label=f"least-squares optimum, {optimum:.5g}")
    lowest = max(optimum, 1e-3 * loss[-1])  # an optimum of 0 has no place on an axis of powers
    left.set(xscale="log", yscale="log", xlabel="step", ylabel="loss  J/n", title="The descent")
    margin = max(loss[0] / lowest, 1.5) ** 0.1
    left.set_ylim(lowest / margin, loss[0] * margin)
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_formatter(LogFormatter())
        axis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    left.legend(frameon=False)
    above = np.maximum(loss - optimum, optimum * 1e-16)
    right.plot(steps, above / max(loss[0] - optimum, 1e-300), color="#2f6690", marker=marker)
    right.set(yscale="log", xlabel="step", ylabel="share of the first gap", title="What is left above the optimum")
    for axes in (left, right):
        axes.title.set_fontweight("bold")
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
