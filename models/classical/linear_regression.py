"""Linear regression: three ways to the same line, and the data work around them.

The model is ŷ = Xw + b. Each of the three fits minimises the same thing, which is also scikit-learn's:

    J(w, b) = ‖Xw + b - y‖² + λ‖w‖²        (λ = 0: ordinary least squares; λ > 0: ridge; the intercept b is not penalised)

    fit_normal_equations    set the gradient of J to zero and solve:  (XᵀX + λI) w = Xᵀy, with X and y centred
    fit_least_squares       an orthogonal solver (SVD) on [X; √λ I] w ≈ [y; 0], which never squares the condition number
    fit_gradient_descent    walk down J on minitorch's own tensors: the loop that trains everything else in this project

Why centring removes b: ∂J/∂b = 0 says that b = mean(y) - mean(X)·w. Where the features are linearly dependent the minimum
is a whole plane; all three then give the point of it with the shortest w.

From Python:  model = fit_least_squares(X, y, ridge=1.0);  model.predict(X)
From a shell: minitorch linear-regression [--csv FILE --target COLUMN], regression_command.py
Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning (2nd ed.), sections 3.2 and 3.4.1.
Read before: minitorch/tensor.py. Read next: minitorch/nn/module.py, then models/bert/.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

import minitorch
from minitorch.devices import Array, array_module
from minitorch.optim import SGD

from ..errors import BadInput, count, listing
from ..text.numbers import MISSING, number
from ..text.tables import Table

# ---------------------------------------------------------------------------------------------------- the model


@dataclass
class LinearModel:
    """ŷ = Xw + b, and how it was found."""

    weight: Array  # (d,)
    bias: float
    note: str = ""  # the solver's warning, if any
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
    """Features and target, split and standardised; ``remarks`` lists every change to the data."""

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
        first = next(cell for cell in table.cells(target) if cell)
        cure = f"; {cure}" if (cure := cure_of(table, target)) else ""
        raise BadInput(f'{table.where(0, target)}: the target holds text ("{first}"), not numbers{cure}')
    if features is not None and target in features:
        raise BadInput(f'--features: "{target}" is the target and cannot explain itself; leave it out')
    chosen = list(dict.fromkeys(features if features is not None else [name for name in table.names if name != target]))
    columns = {name: table.numbers(name) for name in chosen}
    text = [name for name, column in columns.items() if column is None]
    empty = [name for name, column in columns.items() if column is not None and np.isnan(column).all()]
    remarks = []
    if text and features is not None:
        cure = f", or {cure}" if (cure := cure_of(table, text[0])) else ""
        raise BadInput(f"{table.where(0, text[0])}: the column holds text, not numbers; leave it out of --features{cure}")
    if text:
        names = [f"{name} ({cure})" if (cure := cure_of(table, name)) else name for name in text]
        remarks.append(f"left out {count(len(text), 'text column')}: {listing(names)}")
    if empty:
        remarks.append(f"left out {count(len(empty), 'column')} without a single value: {listing(empty)}")
    kept = [name for name in chosen if name not in text + empty]
    if not kept:
        why = "".join(f"; {remark}" for remark in remarks)
        raise BadInput(f'{table.path}: no numeric column other than the target "{target}", so nothing to predict it from{why}')
    X = np.stack([columns[name] for name in kept], axis=1)
    known = ~np.isnan(y)
    if not known.all():
        remarks.append(f"dropped {count(int((~known).sum()), 'row')} without a target")
    return table.path, kept, target, X[known], y[known], [*table.reading, *remarks]


def cure_of(table: Table, name: str) -> str:
    """Advice for a text column with two values, such as yes and no, or whose texts begin like numbers, such as 12 kg; or ""."""
    cells = [cell for cell in table.cells(name) if cell.casefold() not in MISSING]
    values = sorted(set(cells))
    if len(values) == 2:
        return f'write its "{values[0]}" and "{values[1]}" as 0 and 1 to use it'
    odd = [cell for cell in cells if re.match(r"\W{0,2}\d", cell) and number(cell, table.decimal_mark) is None]
    return f'write its "{odd[0]}" and the like as bare numbers to use it' if 2 * len(odd) > len(cells) else ""


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
        why = "there is one test row" if len(test) == 1 else "the targets of the test rows are all the same"
        remarks.append(f"no R² of the test rows (-): {why}, and R² compares with how much they vary; raise --test-share")
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


@contextlib.contextmanager
def _progress(total: int, label: str, shown: bool) -> Iterator[Any]:
    """A tqdm bar, silent unless asked for."""
    from tqdm import tqdm

    with tqdm(total=total, desc=label, disable=not shown, unit=" steps", mininterval=0.2) as bar:
        yield bar
