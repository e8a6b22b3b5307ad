"""Linear regression in one file: three ways to the same line, and the data work around them.

The model is ŷ = Xw + b. Each of the three fits minimises the same thing, which is also scikit-learn's:

    J(w, b) = ‖Xw + b - y‖² + λ‖w‖²        (λ = 0: ordinary least squares; λ > 0: ridge; the intercept b is not penalised)

    fit_normal_equations    set the gradient of J to zero and solve:  (XᵀX + λI) w = Xᵀy, with X and y centred
    fit_least_squares       an orthogonal solver (SVD) on [X; √λ I] w ≈ [y; 0], which never squares the condition number
    fit_gradient_descent    walk down J on minitorch's own tensors: the loop that trains everything else in this project

Why centring removes b: ∂J/∂b = 0 says that b = mean(y) - mean(X)·w. Where the features are linearly dependent the minimum
is a whole plane; all three then give the point of it with the shortest w.

From Python:  model = fit_least_squares(X, y, ridge=1.0);  model.predict(X)
From a shell: minitorch linear-regression [--csv FILE --target COLUMN]
Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning (2nd ed.), sections 3.2 and 3.4.1.
Read before: minitorch/tensor.py. Read next: minitorch/nn/module.py, then models/bert/.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import minitorch
from minitorch.devices import Array, array_module, canonical, move
from minitorch.files import replacing
from minitorch.optim import SGD

from ..errors import BadInput, count, listing
from ..text.tables import Table, read_table

# ---------------------------------------------------------------------------------------------------- the model


@dataclass
class LinearModel:
    """ŷ = Xw + b, and how it was found."""

    weight: Array  # (d,)
    bias: float
    note: str = ""  # what the solver has to say, if anything
    history: list[float] = field(default_factory=list)  # gradient descent: J/n before each step

    def predict(self, X: Array) -> Array:  # (n, d) -> (n,)
        """Xw + b"""
        return X @ self.weight + self.bias


def objective(X: Any, y: Any, w: Any, b: Any, ridge: float) -> Any:
    """J(w, b)/n = (‖Xw + b - y‖² + λ‖w‖²)/n, of arrays or of Tensors."""
    residual = X @ w + b - y
    return ((residual * residual).sum() + ridge * (w * w).sum()) / len(y)


def r_squared(y: Array, predicted: Array) -> float:
    """R² = 1 - Σ(y - ŷ)² / Σ(y - ȳ)²: 1 is perfect, 0 is no better than the mean; NaN if y does not vary."""
    spread = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - predicted) ** 2).sum()) / spread if spread > 0 else float("nan")


def rmse(y: Array, predicted: Array) -> float:
    """√(mean (y - ŷ)²), in the units of y."""
    return float(((y - predicted) ** 2).mean()) ** 0.5


# ---------------------------------------------------------------------------------------------- the three fits


def fit_normal_equations(X: Array, y: Array, ridge: float = 0.0) -> LinearModel:
    """Solve ∇J = 0:  (XᵀX + λI) w = Xᵀy.

    The fastest way for few features, and the least exact: XᵀX has the square of X's condition number. Where it is singular
    the eigenvectors QΛQᵀ = XᵀX with Λ ≠ 0 still give the shortest of all solutions, w = QΛ⁻¹Qᵀ Xᵀy.
    """
    xp = array_module(X)
    A, c = X - X.mean(axis=0), y - y.mean()
    gram = A.T @ A + ridge * xp.eye(X.shape[1])  # (d, d)
    eigenvalues, Q = xp.linalg.eigh(gram)  # ascending
    sound = eigenvalues > eigenvalues[-1] * X.shape[1] * np.finfo(np.float64).eps
    if bool(sound.all()):
        return _centred(X, y, xp.linalg.solve(gram, A.T @ c))
    Q = Q[:, sound]
    w = Q @ ((Q.T @ (A.T @ c)) / eigenvalues[sound])
    rank = int(sound.sum())
    return _centred(X, y, w, f"XᵀX is singular (rank {rank} of {X.shape[1]}): took the solution of minimum norm")


def fit_least_squares(X: Array, y: Array, ridge: float = 0.0) -> LinearModel:
    """Minimise ‖Xw - y‖ by the singular values of X, without forming XᵀX; √λ rows below X make λ‖w‖² a part of it."""
    xp = array_module(X)
    A, c = X - X.mean(axis=0), y - y.mean()
    if ridge > 0:
        d = X.shape[1]
        A, c = xp.concatenate([A, ridge**0.5 * xp.eye(d)]), xp.concatenate([c, xp.zeros(d)])
    return _centred(X, y, xp.linalg.lstsq(A, c, rcond=None)[0])


def _centred(X: Array, y: Array, w: Array, note: str = "") -> LinearModel:
    """The model with slope w and the intercept that follows from it: b = mean(y) - mean(X)·w."""
    return LinearModel(w, float(y.mean() - X.mean(axis=0) @ w), note)


def fit_gradient_descent(
    X: Array,
    y: Array,
    ridge: float = 0.0,
    *,
    lr: float | None = None,
    epochs: int = 5000,
    tolerance: float = 1e-6,
    progress: bool = False,
) -> LinearModel:
    """Start at w = b = 0 and repeat  θ ← θ - lr·∇(J/n)  until ‖∇‖ has shrunk by ``tolerance``, or for ``epochs`` steps.

    J is a quadratic bowl. A step of 1/L, L being the largest eigenvalue of its Hessian, never climbs; one over 2/L
    diverges (``safe_step``). The number of steps grows with L over the smallest eigenvalue, which is why features are
    standardised first. An epoch is one step: the gradient is that of all rows.
    """
    lr = safe_step(X, ridge) if lr is None else lr
    centre, X, y = X.mean(axis=0), minitorch.tensor(X - X.mean(axis=0)), minitorch.tensor(y)
    w = minitorch.zeros(X.shape[1], dtype=minitorch.float64, device=X.device, requires_grad=True)
    b = minitorch.zeros((), dtype=minitorch.float64, device=X.device, requires_grad=True)
    optimizer = SGD([w, b], lr=lr)
    history: list[float] = []
    first = None
    with _progress(epochs, "gradient descent", progress) as bar:
        for _ in range(epochs):
            loss = objective(X, y, w, b, ridge)
            optimizer.zero_grad()
            loss.backward()
            slope = float((w.grad * w.grad).sum() + b.grad * b.grad) ** 0.5  # ‖∇(J/n)‖
            history.append(loss.item())
            if not history[-1] <= 1e3 * history[0]:  # also true of NaN
                raise BadInput(
                    f"gradient descent diverged at step {len(history)}: the step size {lr:g} is too large; "
                    f"leave out --lr to use 1/L, which is {safe_step(X.array, ridge):.3g} here"
                )
            first = slope if first is None else first
            if slope <= tolerance * first:
                bar.total = bar.n
                break
            optimizer.step()
            bar.update()
            if len(history) % 50 == 1:
                bar.set_postfix_str(f"loss {history[-1]:.6g}", refresh=False)
        bar.set_postfix_str(f"loss {history[-1]:.6g}" if history else "")
    note = "" if first is None or slope <= tolerance * first else f"not yet converged: ‖∇‖ is {slope / first:.0e} of its start"
    weight = w.detach().array
    return LinearModel(weight, float(b.item() - centre @ weight), note, history)


def safe_step(X: Array, ridge: float = 0.0) -> float:
    """1/L, where L is the largest eigenvalue of the Hessian of J/n: (2/n)(XᵀX + λI) for w, X being centred, and 2 for b."""
    A = X - X.mean(axis=0)
    hessian = 2 / len(X) * (A.T @ A + ridge * array_module(X).eye(X.shape[1]))
    return 1 / max(float(array_module(X).linalg.eigvalsh(hessian)[-1]), 2.0)


# -------------------------------------------------------------------------------------------------------- the data


@dataclass
class Problem:
    """Features and target, split and standardised; what was done to the data on the way stands in ``remarks``."""

    name: str
    features: list[str]
    target: str
    train: tuple[Array, Array]  # X (n, d) standardised by the training rows' mean and deviation, y (n,)
    test: tuple[Array, Array]
    mean: Array  # (d,)
    deviation: Array  # (d,)
    remarks: list[str]


Columns: TypeAlias = tuple[str, list[str], str, Array, Array, list[str]]  # name, features, target, X, y, remarks


def load_diabetes() -> Columns:
    """scikit-learn's bundled data (Efron et al., Least Angle Regression, 2004): 442 patients, 10 measurements."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    name, target = "diabetes (bundled with scikit-learn)", "progression after a year"
    return name, list(data.feature_names), target, data.data, data.target, []


def load_csv(table: Table, target: str, features: list[str] | None = None) -> Columns:
    """The numeric columns of a table. Text columns are left out, and so are rows without a target; each time it says so."""
    table.index(target)
    y = table.numbers(target)
    if y is None:
        raise BadInput(f'{table.where(0, target)}: the target holds text ("{table.rows[0][table.index(target)]}"), not numbers')
    if features is not None and target in features:
        raise BadInput(f'--features: "{target}" is the target and cannot explain itself; leave it out')
    chosen = list(dict.fromkeys(features if features is not None else [name for name in table.names if name != target]))
    columns = {name: table.numbers(name) for name in chosen}
    text = [name for name, column in columns.items() if column is None]
    empty = [name for name, column in columns.items() if column is not None and np.isnan(column).all()]
    remarks = []
    if text and features is not None:
        raise BadInput(f"{table.where(0, text[0])}: the column holds text, not numbers; leave it out of --features")
    if text:
        remarks.append(f"left out {count(len(text), 'text column')}: {listing(text)}")
    if empty:
        remarks.append(f"left out {count(len(empty), 'column')} without a single value: {listing(empty)}")
    kept = [name for name in chosen if name not in text + empty]
    if not kept:
        raise BadInput(f'{table.path}: beside the target "{target}" there is no numeric column to predict it from')
    X = np.stack([columns[name] for name in kept], axis=1)
    known = ~np.isnan(y)
    if not known.all():
        remarks.append(f"dropped {count(int((~known).sum()), 'row')} without a target")
    return table.path, kept, target, X[known], y[known], remarks


def prepare(
    name: str,
    features: list[str],
    target: str,
    X: Array,
    y: Array,
    remarks: list[str],
    *,
    missing: str = "drop",
    test_share: float = 0.2,
    seed: int = 0,
) -> Problem:
    """Deal with missing values, split, leave out constant columns, standardise: x ← (x - mean)/deviation of the training rows.

    missing="drop" leaves out every row with a gap; "mean" fills gaps with the training rows' mean, so that the test rows
    have no say. A standardised column has mean 0 and deviation 1: one λ then means the same to each of them.
    """
    remarks = list(remarks)
    X, y = _deal_with_gaps(features, X, y, missing, remarks)
    train, test = _split(name, len(y), test_share, seed)
    with np.errstate(all="ignore"):  # overflow is refused below
        present = ~np.isnan(X[train])
        mean = np.where(present, X[train], 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
        X = np.where(np.isnan(X), mean, X)
        deviation, spread = X[train].std(axis=0), float(y[train].std())
    varies = np.ptp(X[train], axis=0) > 0
    _refuse_extremes(name, features, target, deviation, spread, ~varies)
    if not varies.all():
        remarks.append(f"left out {listing(f for f, v in zip(features, varies) if not v)}: constant in the training rows")
    features = [f for f, v in zip(features, varies) if v]
    mean, deviation = mean[varies], deviation[varies]
    X = (X[:, varies] - mean) / deviation
    if len(train) <= len(features):
        rows = f"{len(train)} training rows for {len(features)} features"
        remarks.append(f"{rows}: without ridge the fit passes through every one of them; --ridge 1 (or more) is the cure")
    if np.ptp(y[test]) == 0:
        remarks.append("R² of the test rows does not exist (nan): their targets do not vary; raise --test-share")
    return Problem(name, features, target, (X[train], y[train]), (X[test], y[test]), mean, deviation, remarks)


def _deal_with_gaps(features: list[str], X: Array, y: Array, missing: str, remarks: list[str]) -> tuple[Array, Array]:
    """Drop the rows with missing values, or say that they will be filled; a remark counts them."""
    gaps = np.isnan(X)
    holed = gaps.any(axis=1)
    if not holed.any():
        return X, y
    where = f"in {listing(f for f, some in zip(features, gaps.any(axis=0)) if some)}"
    if missing == "mean":
        remarks.append(f"filled {count(int(gaps.sum()), 'missing value')} {where} with the training mean")
        return X, y
    if holed.all():
        raise BadInput(f"every row has a missing value {where}; --missing mean fills them, --features leaves columns out")
    remarks.append(f"dropped {count(int(holed.sum()), 'row')} with missing values {where}")
    return X[~holed], y[~holed]


def _split(name: str, n: int, test_share: float, seed: int) -> tuple[Array, Array]:
    """Shuffle the rows; the last ones are for testing."""
    tests = max(1, round(test_share * n))
    if n - tests < 2:
        raise BadInput(f"{name}: {count(n, 'usable row')}: too few to train on and to test")
    order = np.random.RandomState(seed).permutation(n)  # frozen by NumPy's promise: the same split everywhere
    return order[: n - tests], order[n - tests :]


def _refuse_extremes(name: str, features: list[str], target: str, deviation: Array, spread: float, constant: Array) -> None:
    if spread == 0:
        raise BadInput(f'{name}: the target "{target}" is the same in all training rows: there is nothing to explain')
    if constant.all():
        raise BadInput(f"{name}: every feature is constant in the training rows: they explain nothing")
    for label, s in [*zip(features, deviation), (target, spread)]:
        if not np.isfinite(s) or s > 1e150:
            raise BadInput(f'{name}: column "{label}" holds numbers so large that their squares overflow; rescale it')


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
        label = f"{label}: R² {r_squared(y, predicted):.3f}, {count(len(y), 'row')}"
        axes.scatter(y, predicted, s=size, alpha=0.7, color=colour, linewidths=0, label=label)
    axes.axline((low, low), (high, high), color="black", linewidth=0.8, linestyle="--", label="perfect")
    axes.set(xlabel=f"{problem.target}, measured", ylabel=f"{problem.target}, predicted", title="Predicted against measured")
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_parse_math(False)  # a column may be called "price ($)"
    axes.title.set_fontweight("bold")
    axes.legend(markerscale=2, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=150)


def draw_descent(history: list[float], floor: float, path: Path) -> None:
    """The loss at each step of gradient descent: on its way to the optimum, and how far above it."""
    from matplotlib.figure import Figure

    steps, loss = np.arange(1, len(history) + 1), np.array(history)
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(steps, loss, color="#2f6690", label="gradient descent")
    left.axhline(floor, color="#c8553d", linestyle="--", label=f"least-squares optimum, {floor:.5g}")
    left.set(xscale="log", xlabel="step", ylabel="loss  J/n", title="The descent")
    left.legend(frameon=False)
    above = np.maximum(loss - floor, floor * 1e-16)
    right.plot(steps, above / max(loss[0] - floor, 1e-300), color="#2f6690")
    right.set(yscale="log", xlabel="step", ylabel="share of the first gap", title="What is left above the optimum")
    for axes in (left, right):
        axes.title.set_fontweight("bold")
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=150)


# --------------------------------------------------------------------------------------------------- the command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``minitorch linear-regression``."""
    add = parser.add_argument_group("data").add_argument
    add("--csv", metavar="FILE", help="a CSV file whose first line names its columns (default: scikit-learn's diabetes data)")
    add("--target", metavar="COLUMN", help="the column to predict; needed with --csv")
    add("--features", metavar="A,B,C", help="the columns to predict it from (default: every other numeric column)")
    add("--delimiter", metavar="CHAR", help='what separates the fields; "tab" for a tab (default: found from the header)')
    add("--encoding", default="utf-8", help="of the file (default: %(default)s)")
    add("--missing", choices=("drop", "mean"), default="drop", help="rows with missing values: leave out, or fill in the mean")
    add("--test-share", type=float, default=0.2, metavar="S", help="share of the rows kept for testing (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the split into training and test rows (default: %(default)s)")
    add = parser.add_argument_group("fit").add_argument
    add("--ridge", type=float, default=0.0, metavar="λ", help="weight of ‖w‖² beside the squared error (default: 0)")
    add("--epochs", type=int, default=5000, help="most steps of gradient descent (default: %(default)s)")
    add("--lr", type=float, help="step size of gradient descent (default: 1/L, which never climbs; 2/L diverges)")
    add("--device", default="cpu", help='"cpu" or "cuda": where the three fits run (default: %(default)s)')
    add("--output", metavar="FOLDER", default="runs/linear_regression", help="for the pictures (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Read, fit in four ways, print the table, draw the pictures."""
    _check(args)
    problem = _problem(args)
    output = Path(args.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--output {output}: cannot make this folder: {error.strerror}") from None
    X, y = problem.train
    rows = f"{count(len(y), 'training row')}, {count(len(problem.test[1]), 'test row')}"
    print(f'{problem.name}: "{problem.target}" from {count(len(problem.features), "feature")}')
    for remark in [*problem.remarks, f"{rows}; features standardised; λ = {args.ridge:g}"]:
        print(f"  {remark}")
    print(flush=True)
    models, seconds = {}, {}
    for name, fit in _contestants(args).items():
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
    """Refuse what cannot be meant before anything is read."""
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
    try:
        args.device = canonical(args.device)
    except RuntimeError as error:
        raise BadInput(f"--device: {error}") from None
    if args.device != "cpu" and not minitorch.cuda_is_available():
        raise BadInput(f"--device {args.device} needs CuPy and a card that works; `minitorch doctor` says what is missing")


def _problem(args: argparse.Namespace) -> Problem:
    if args.csv is None:
        loaded = load_diabetes()
    else:
        delimiter = {"tab": "\t", "\\t": "\t"}.get(args.delimiter, args.delimiter)
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise BadInput(f'--delimiter must be one character (or "tab"), not "{args.delimiter}"')
        table = read_table(args.csv, delimiter, args.encoding)
        if args.target is None:
            raise BadInput(f"--csv needs --target COLUMN; the columns of {args.csv} are: {listing(table.names)}")
        features = next(csv.reader([args.features], skipinitialspace=True), []) if args.features is not None else None
        loaded = load_csv(table, args.target, features if features is None else [name.strip() for name in features])
    return prepare(*loaded, missing=args.missing, test_share=args.test_share, seed=args.seed)


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
        scores = "".join([f"{x:10.4f}" if x > -99 else f"{x:10.1e}" for x in r2] + [f"{x:13.5g}" for x in errors])
        print(f"{name:18}{scores}{1000 * seconds[name]:9.1f} ms")
    descent = models["gradient descent"]
    steps = len(descent.history) - (not descent.note)  # where it converged, the last loss was only looked at
    print(f"\ngradient descent took {count(steps, 'step')}")
    for name, model in models.items():
        if model.note:
            print(f"{name}: {model.note}")


def _print_weights(problem: Problem, model: LinearModel, most: int = 10) -> None:
    """The largest weights, a standard deviation of the feature being the unit, and in the file's own units beside them."""
    order = np.argsort(-np.abs(model.weight))
    width = max(20, *(len(problem.features[i]) for i in order[:most])) + 2
    print(f"\n{'weight of':{width}}{'per deviation':>14}{'per unit':>14}")
    for i in order[:most]:
        print(f"{problem.features[i]:{width}}{model.weight[i]:14.5g}{model.weight[i] / problem.deviation[i]:14.5g}")
    if len(order) > most:
        print(f"and {len(order) - most} smaller ones")
    zero = model.bias - np.sum(model.weight * problem.mean / problem.deviation)
    print(f"{'intercept':{width}}{model.bias:14.5g}{zero:14.5g}   where all features are at their mean, and where all are 0")


@contextlib.contextmanager
def _progress(total: int, label: str, shown: bool) -> Iterator[Any]:
    """A tqdm bar, silent unless asked for."""
    from tqdm import tqdm

    with tqdm(total=total, desc=label, disable=not shown, unit=" steps", mininterval=0.2) as bar:
        yield bar


if __name__ == "__main__":
    import sys

    from ..cli import main

    sys.exit(main(["linear-regression", *sys.argv[1:]]))
