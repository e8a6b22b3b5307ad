"""models/classical/linear_regression.py, models/text/tables.py: the three fits against scikit-learn, and bad data."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitorch
from models import cli
from models.classical.linear_regression import (
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
    safe_step,
)
from models.classical.regression_command import draw_descent
from models.errors import BadInput
from models.text.tables import read_table

HOUSING = Path(__file__).parents[2] / "shared/data/housing/california_housing.csv"
FITS = [fit_normal_equations, fit_least_squares, fit_gradient_descent]


def samples(n: int = 40, d: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, X @ rng.normal(size=d) + 3 + 0.5 * rng.normal(size=n)


# --------------------------------------------------------------------------------------------------- the fits


@pytest.mark.parametrize("fit", FITS)
def test_a_line_through_three_points(fit):
    """By hand: x = 0, 1, 2 and y = 1, 3, 2 give ŷ = x/2 + 3/2; with λ = 2 the slope is 1/(2 + 2) and ŷ = x/4 + 7/4."""
    X, y = np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 2.0])
    model = fit(X, y)
    np.testing.assert_allclose([model.weight[0], model.bias], [0.5, 1.5], atol=1e-5)
    model = fit(X, y, ridge=2.0)
    np.testing.assert_allclose([model.weight[0], model.bias], [0.25, 1.75], atol=1e-5)


@pytest.mark.parametrize("ridge", [0.0, 0.1, 10.0])
@pytest.mark.parametrize("shape", [(40, 3), (40, 1), (5, 5), (4, 7)])
@pytest.mark.parametrize("fit", FITS)
def test_fits_equal_scikit_learn(fit, shape, ridge):
    """Also with as many features as rows or more, where all take the solution of minimum norm."""
    from sklearn.linear_model import LinearRegression, Ridge

    X, y = samples(*shape)
    options = {"epochs": 200_000, "tolerance": 1e-10} if fit is fit_gradient_descent else {}
    model = fit(X, y, ridge, **options)
    oracle = (Ridge(alpha=ridge) if ridge else LinearRegression()).fit(X, y)
    np.testing.assert_allclose(model.weight, oracle.coef_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(X), oracle.predict(X), rtol=1e-5, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 5), st.floats(0.01, 100), st.integers(0, 2**31))
def test_the_gradient_of_the_objective_vanishes_at_the_solution(n, d, ridge, seed):
    X, y = samples(n, d, seed)
    for fit in (fit_normal_equations, fit_least_squares):
        model = fit(X, y, ridge)
        w = minitorch.tensor(model.weight, requires_grad=True)
        b = minitorch.tensor(model.bias, dtype=minitorch.float64, requires_grad=True)
        objective(minitorch.tensor(X), minitorch.tensor(y), w, b, ridge).backward()
        np.testing.assert_allclose(w.grad.numpy(), 0, atol=1e-9)
        np.testing.assert_allclose(b.grad.numpy(), 0, atol=1e-9)


def test_singular_normal_equations_say_so():
    X, y = samples()
    X = np.column_stack([X, X[:, 0] + X[:, 1]])
    model = fit_normal_equations(X, y)
    assert model.note == "XᵀX is singular (rank 3 of 4): took the solution of minimum norm"
    np.testing.assert_allclose(model.weight, fit_least_squares(X, y).weight, atol=1e-9)
    assert fit_normal_equations(X, y, ridge=1.0).note == ""


def test_descent_never_climbs_and_ends_at_the_floor():
    X, y = samples()
    model, best = fit_gradient_descent(X, y, ridge=1.0), fit_least_squares(X, y, ridge=1.0)
    floor = objective(X, y, best.weight, best.bias, 1.0)
    assert all(later <= earlier for earlier, later in zip(model.history, model.history[1:]))
    assert model.history[0] == pytest.approx((y**2).mean())
    assert model.history[-1] == pytest.approx(floor, rel=1e-9)
    assert model.note == ""


def test_descent_says_when_it_has_not_arrived():
    assert fit_gradient_descent(*samples(), epochs=3).note.startswith("not yet converged: ‖∇‖ is ")
    assert len(fit_gradient_descent(*samples(), epochs=3).history) == 3


def test_a_step_just_under_two_over_L_converges_and_one_over_it_diverges():
    X, y = samples()
    step = safe_step(X)
    fit_gradient_descent(X, y, lr=1.95 * step, epochs=2000)
    with pytest.raises(BadInput, match=r"gradient descent diverged at step \d+: the step size .* is too large; leave out --lr"):
        fit_gradient_descent(X, y, lr=2.05 * step, epochs=2000)


def test_scores_equal_scikit_learn():
    from sklearn.metrics import r2_score, root_mean_squared_error

    y, predicted = samples(d=1)[1], samples(d=1, seed=1)[1]
    assert r_squared(y, predicted) == pytest.approx(r2_score(y, predicted))
    assert rmse(y, predicted) == pytest.approx(root_mean_squared_error(y, predicted))
    assert np.isnan(r_squared(np.ones(3), np.ones(3)))


@pytest.mark.skipif(not minitorch.cuda_is_available(), reason="no CuPy with a working card")
@pytest.mark.parametrize("fit", FITS)
def test_fits_on_the_gpu(fit):
    from minitorch.devices import move

    X, y = samples()
    model = fit(move(X, "cuda"), move(y, "cuda"), 0.5)
    np.testing.assert_allclose(move(model.weight, "cpu"), fit(X, y, 0.5).weight, atol=1e-6)


# --------------------------------------------------------------------------------------------------- the data


def problem(X: np.ndarray, y: np.ndarray, **options) -> Problem:
    return prepare("data", [f"x{i}" for i in range(X.shape[1])], "y", X, y, [], **options)


def test_training_rows_are_standardised_and_the_split_is_seeded():
    X, y = samples(50)
    p = problem(100 * X + 7, y, test_share=0.3)
    assert len(p.train[1]) == 35
    assert len(p.test[1]) == 15
    np.testing.assert_allclose(p.train[0].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(p.train[0].std(axis=0), 1)
    np.testing.assert_allclose(np.sort(np.concatenate([p.train[1], p.test[1]])), np.sort(y))
    assert (problem(X, y, seed=1).test[1] == problem(X, y, seed=1).test[1]).all()
    assert (problem(X, y, seed=1).test[1] != problem(X, y, seed=2).test[1]).any()


def test_missing_values_are_dropped_and_counted():
    X, y = samples(50)
    X[3, 1] = X[7, 1] = X[7, 2] = np.nan
    p = problem(X, y)
    assert p.remarks == ["dropped 2 rows with missing values in x1, x2"]
    assert len(p.train[1]) + len(p.test[1]) == 48


def test_missing_values_take_the_mean_of_the_training_rows_alone():
    X, y = samples(50)
    X[:25, 1] = np.nan
    p = problem(X, y, missing="mean")
    assert p.remarks == ["filled 25 missing values in x1 with the training mean"]
    assert len(p.train[1]) + len(p.test[1]) == 50
    assert (np.abs(np.concatenate([p.train[0], p.test[0]])[:, 1]) < 1e-12).sum() == 25  # the mean stands at 0


def test_constant_columns_are_left_out():
    X, y = samples(50)
    X[:, 1] = 0.1
    p = problem(X, y)
    assert p.features == ["x0", "x2"]
    assert p.remarks == ["left out x1: constant in the training rows"]


def test_fewer_rows_than_features_is_remarked():
    p = problem(*samples(6, 8))
    assert p.remarks[0].startswith("5 training rows for 8 features: without ridge the fit passes through every one")


def test_a_single_test_row_has_no_r_squared():
    remark = "no R² of the test rows (-): there is one test row, and R² compares with how much they vary; raise --test-share"
    assert problem(*samples(5)).remarks == [remark]


def test_what_a_text_column_could_be(tmp_path):
    """Two values, or numbers with units: the remark gives the cure."""
    path = write(tmp_path, "x,smoker,weight,town,y\n1,yes,12 kg,Rome,1\n2,no,7 kg,Oslo,2\n3,no,9 kg,Bonn,4\n")
    two = 'write its "no" and "yes" as 0 and 1 to use it'
    units = 'write its "12 kg" and the like as bare numbers to use it'
    assert load(path)[-1] == [f"left out 3 text columns: smoker ({two}), weight ({units}), town"]
    with pytest.raises(BadInput, match=rf"leave it out of --features, or {two}"):
        load(path, features=["x", "smoker"])


def test_the_picture_of_the_descent_has_no_offset(tmp_path, monkeypatch):
    """Losses of 1e11 stand on an axis of powers, with the optimum in sight."""
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **options: (drawn.append(self), Path(path).touch()))
    for history, optimum in ([5e11, 6e10, 5.1e10, 5e10], 4.9e10), ([4.0, 1e-20], 0.0), ([2.0], 2.0):
        draw_descent(history, optimum, tmp_path / "descent.png")
        left = drawn[-1].axes[0]
        drawn[-1].canvas.draw()
        assert (left.get_yscale(), left.yaxis.get_offset_text().get_text()) == ("log", "")
        low, high = left.get_ylim()
        assert low < max(optimum, 1e-3 * history[-1]) <= history[0] < high


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.ones((9, 2)), np.arange(9.0), "data: every feature is constant in the training rows: they explain nothing"),
        (samples(9)[0], np.ones(9), 'data: the target "y" is the same in all training rows: there is nothing to explain'),
        (samples(9)[0] * 1e200, np.arange(9.0), 'data: column "x0" holds numbers so large that their squares overflow'),
        (samples(2)[0], np.arange(2.0), "data: 2 usable rows: too few to train on and to test"),
        (np.full((9, 1), np.nan), np.arange(9.0), "every row has a missing value in x0; --missing mean fills them"),
    ],
)
def test_hopeless_data_is_refused(X, y, message):
    with pytest.raises(BadInput) as caught:
        problem(X, y)
    assert str(caught.value).startswith(message)


# ------------------------------------------------------------------------------------------------ files of others


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load(path: Path, target: str = "y", features: list[str] | None = None, **options):
    return load_csv(read_table(path, **options), target, features)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path, delimiter):
    text = 'a,"b, too",y\n1,2,3\n4,5,6\n'.replace(",", delimiter).replace(f"b{delimiter} too", "b, too")
    _, features, _, X, y, _ = load(write(tmp_path, text))
    assert features == ["a", "b, too"]
    assert X.tolist() == [[1, 2], [4, 5]]
    assert y.tolist() == [3, 6]


def test_byte_order_mark_blank_lines_windows_ends_and_fields_that_span_lines(tmp_path):
    table = read_table(write(tmp_path, '\ufeff"a", note ,y\r\n\r\n1,"two\r\nlines",3\r\n4,,6\r\n\r\n'))
    assert table.names == ["a", "note", "y"]
    assert table.rows == [["1", "two\r\nlines", "3"], ["4", "", "6"]]
    assert table.lines == [3, 5]


def test_policies_for_text_gaps_and_unnamed_columns(tmp_path):
    path = write(tmp_path, ",a,town,void,y\n0,1,Rome,,5\n1,NA,Oslo,,6\n2,?,Bonn,,null\n3,4e1,7,,-8\n")
    name, features, target, X, y, remarks = load(path)
    assert (name, target) == (str(path), "y")
    assert features == ["column 1", "a"]
    np.testing.assert_array_equal(X, [[0, 1], [1, np.nan], [3, 40]])
    assert y.tolist() == [5, 6, -8]
    assert remarks == [
        "left out 1 text column: town",
        "left out 1 column without a single value: void",
        "dropped 1 row without a target",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "{}: the file is empty; its first line must name the columns"),
        ("\n  \n", "{}: the file is empty; its first line must name the columns"),
        ("a,y\n", "{}: the file has a header and no rows"),
        ("a,y\n1,2\n1,2,3\n", "{}:3: 3 fields, but the header names 2 columns"),
        ('a,y\n"1\n",2\n1\n', "{}:4: 1 field, but the header names 2 columns"),
        ("a,b,a,y\n1,2,3,4\n", "{}:1: the header names a more than once; column names must differ"),
        ("a,yy\n1,2\n", '{}: there is no column "y", did you mean "yy"? Its columns are: a, yy'),
        ("a,b\n1,2\n", '{}: there is no column "y"; its columns are: a, b'),
        ("a,y\n1,2\n2,x7\n3,3\n", '{}:3: column "y": "x7" is not a number; mend it, leave the cell empty, or leave'),
        ("a;y\n1,500;2\n2;3\n3;4\n", '{}:2: column "a": "1,500" may be 1500 or 1.5, and no other number of the file tells'),
        ("a,y\n1_000,2\n2,3\n", '{}:2: column "a": "1_000" is not a number'),
        ("a,y\n1,2\n-inf,3\n", '{}:3: column "a": "-inf" is infinite; give a finite number or leave the cell empty'),
        ("a,y\n1,2\n1e999,3\n", '{}:3: column "a": "1e999" is infinite'),
        ('a,y\n1,2\n"3,4\n5,6\n', "{}:3: a quote is opened and never closed"),
        ("a,y\n1,low\n2,high\n", '{}:2: column "y": the target holds text ("low"), not numbers; write its "high" and "low" as'),
        ("a,y\nred,1\nblue,2\n", '{}: no numeric column other than the target "y", so nothing to predict it from'),
        (b"a,y\n1,2\ncaf\xe9,3\n", "{}:3: the text is not utf-8; try --encoding latin-1"),
        ("a,y\n1,2\n".encode("utf-16"), "{}:1: the text is not utf-8; try --encoding utf-16"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(BadInput) as caught:
        load(path)
    assert str(caught.value).startswith(message.format(path))
    assert "\n" not in str(caught.value)


def test_absent_files_folders_and_encodings(tmp_path):
    for path, options, message in [
        (tmp_path / "none.csv", {}, f"{tmp_path}/none.csv: no such file"),
        (tmp_path, {}, f"{tmp_path}: this is a folder; give a file"),
        (write(tmp_path, "a,y\n1,2\n"), {"encoding": "utf-9"}, '--encoding: "utf-9" is not an encoding that Python knows'),
    ]:
        with pytest.raises(BadInput) as caught:
            read_table(path, **options)
        assert str(caught.value) == message


def test_chosen_features_must_be_there_numeric_and_not_the_target(tmp_path):
    path = write(tmp_path, "a,b,town,y\n1,2,Rome,3\n4,5,Oslo,6\n")
    assert load(path, features=["b", "a", "b"])[1] == ["b", "a"]
    for features, message in [
        (["bb"], 'there is no column "bb", did you mean "b"?'),
        (["a", "y"], '--features: "y" is the target and cannot explain itself'),
        (["a", "town"], 'data.csv:2: column "town": the column holds text, not numbers; leave it out of --features'),
    ]:
        with pytest.raises(BadInput) as caught:
            load(path, features=features)
        assert message in str(caught.value)


# ----------------------------------------------------------------------------------------------------- real data


def test_on_diabetes_all_fits_and_scikit_learn_agree(capsys, tmp_path):
    assert cli.main(["linear-regression", "--output", str(tmp_path / "new/folder")]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.startswith(("normal", "least", "gradient descent  ", "scikit"))]
    assert len(rows) == 4
    assert len({tuple(row[-6:-2]) for row in rows}) == 1  # R² and RMSE to the digits shown
    for name in ("fit.png", "descent.png"):
        assert (tmp_path / "new/folder" / name).read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in (tmp_path / "new/folder").iterdir()} == {"fit.png", "descent.png"}


def test_diabetes_numbers():
    p = prepare(*load_diabetes())
    model = fit_least_squares(*p.train)
    assert r_squared(p.train[1], model.predict(p.train[0])) == pytest.approx(0.4909, abs=5e-4)
    assert r_squared(p.test[1], model.predict(p.test[0])) == pytest.approx(0.5951, abs=5e-4)


@pytest.mark.skipif(not HOUSING.exists(), reason="the California housing file is not here")
def test_california_housing():
    name, features, *rest = load_csv(read_table(HOUSING), "median_house_value")
    assert len(features) == 8
    p = prepare(name, features, *rest)
    assert p.remarks == ["left out 1 text column: ocean_proximity", "dropped 207 rows with missing values in total_bedrooms"]
    best = fit_least_squares(*p.train)
    assert r_squared(p.test[1], best.predict(p.test[0])) == pytest.approx(0.609, abs=5e-4)
    descended = fit_gradient_descent(*p.train)
    assert r_squared(p.test[1], descended.predict(p.test[0])) == pytest.approx(0.609, abs=1e-3)
