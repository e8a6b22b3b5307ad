"""The compiled loops: nothing infinite or missing is lost, any number of threads gives the same digits, and the code is kept.

tests/test_kernels.py compares every kernel with its definition, by loops and by NumPy.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitorch
from minitorch import kernels
from minitorch.kernels import cpu, dispatch, philox, reference
from minitorch.threads import open_threads

pytest.importorskip("numba")
from minitorch.kernels import loops

ROOT = Path(__file__).parents[1]
quiet = pytest.mark.filterwarnings("ignore::RuntimeWarning")
SPECIAL = [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -0.0, 0.0, 88.7, -88.7, 1e20, 1.0, -2.5]


def special(rng, *shape, largest=3.4e38):
    """Mostly ordinary numbers, and some that break careless arithmetic; finite ones up to ``largest``."""
    x = rng.standard_normal(shape).astype(np.float32)
    at = rng.random(shape) < rng.choice([0.0, 0.02, 0.5])
    x[at] = rng.choice(np.array(SPECIAL, np.float32), int(at.sum()))
    return np.where(np.isfinite(x), np.clip(x, -largest, largest), x).astype(np.float32)


def agree(name, *arguments, tolerance=1e-5):
    """The loop on float32 and the definition on float64: NaN and infinities in the same places, else the same numbers."""
    got = getattr(loops, name)(*arguments)
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype == np.float32 else a for a in arguments]
    expected = getattr(reference, name)(*wide)
    for a, b in zip(got, expected, strict=True) if type(got) is tuple else [(got, expected)]:
        b = b.sum(tuple(range(b.ndim - a.ndim))) if b.ndim > a.ndim else b
        assert a.shape == b.shape
        assert a.dtype == np.float32
        narrow = b.astype(np.float32)
        for kind in (np.isnan, np.isposinf, np.isneginf):
            np.testing.assert_array_equal(kind(a), kind(narrow))
        fine = np.isfinite(narrow)
        size = np.abs(b[fine]).max(initial=1)
        np.testing.assert_allclose(a[fine] / size, b[fine] / size, rtol=10 * tolerance, atol=tolerance)
    return got


# ------------------------------------------------------------------------------------- NaN, infinities, large numbers


@quiet
@given(rows=st.sampled_from([1, 3, 20]), n=st.sampled_from([1, 2, 16, 33, 130]), seed=st.integers(0, 10**6))
def test_rows_with_anything_in_them(rows, n, seed):
    rng = np.random.default_rng(seed)
    x, target = special(rng, rows, n), rng.integers(0, n, rows)
    for empty in (False, True):
        agree("softmax", x, (1,), empty)
    _, peak, s = agree("cross_entropy", x, target, 1)
    agree("cross_entropy_backward", special(rng, rows, largest=1e15), x, target, 1, peak, s)
    y = np.minimum(np.abs(special(rng, rows, n)), np.float32(1))
    agree("softmax_backward", special(rng, rows, n, largest=1e15), y, (1,))
    for name in ("gelu", "gelu_tanh"):
        agree(name, special(rng, rows, n, largest=1e4))


@quiet
@given(rows=st.sampled_from([1, 3, 20]), n=st.sampled_from([2, 16, 33, 130]), seed=st.integers(0, 10**6))
def test_norms_of_anything(rows, n, seed):
    rng = np.random.default_rng(seed)
    x, residual, g, w, b = (special(rng, *shape, largest=30) for shape in ((rows, n), (rows, n), (rows, n), (n,), (n,)))
    _, mean, r = agree("layer_norm", x, w, b, (1,), 1e-5, tolerance=1e-3)
    agree("layer_norm_backward", g, x, w, mean, r, (1,), tolerance=1e-3)
    keep = philox.Stream(seed).key((rows, n), 0.3).computed()
    for mask in (None, keep):
        _, unit, r = agree("add_norm", x, residual, w, b, mask, 0.7, 1e-5, tolerance=1e-3)
        agree("add_norm_backward", g, unit, w, r, mask, 0.7, tolerance=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 5, 16, 64, 100])
@quiet
def test_one_bad_number_shows_itself_wherever_it_is(bad, n):
    keep = philox.Stream(1).key((2, n), 0.5)
    for at in {0, n // 2, n - 1}:
        x = np.ones((2, n), np.float32)
        x[0, at] = bad
        for y in (
            loops.layer_norm(x, None, None, (1,), 1e-5)[0],
            loops.add_norm(x, x, None, None, None, 1.0, 1e-5)[0],
            loops.add_norm(x, x, None, None, keep, 0.5, 1e-5)[0],
        ):
            assert np.isnan(y[0]).all()
            assert np.isfinite(y[1]).all()
        assert np.isnan(loops.gelu(x)[0][0, at]) or (bad == np.inf and loops.gelu(x)[0][0, at] == np.inf)
        assert not np.isfinite(loops.norm_all([x]))
        if bad != -np.inf:
            assert np.isnan(loops.softmax(x, (1,))[0]).all()
            assert np.isnan(loops.cross_entropy(x, np.zeros(2, int), 1)[0][0])
        p, m, v = np.ones((3, 2, n), np.float32)
        loops.adam_all([p], [x], [m], [v], None, [1], 0.1, (0.9, 0.999), 1e-8, 1.0)
        assert np.isnan(p[0, at])
        assert np.isfinite(p[1]).all()


def test_large_numbers_do_not_overflow():
    assert loops.norm_all([np.full(4, 1e30, np.float32), np.zeros(3, np.float32)]) == np.float32(2e30)
    np.testing.assert_array_equal(loops.softmax(np.array([[3e38, -3e38, 3e38]], np.float32), (1,)), [[0.5, 0, 0.5]])
    np.testing.assert_allclose(loops.cross_entropy(np.array([[1e4, 0]], np.float32), np.array([1]), 1)[0], [1e4])


@pytest.mark.parametrize("name", ["softmax", "gelu"])
def test_the_exponential_is_right_to_the_last_digits(name):
    x = np.linspace(-100, 0, 1 << 16, dtype=np.float32).reshape(-1, 16)
    expected = getattr(reference, name)(x.astype(np.float64), *([(1,)] if name == "softmax" else []))
    got = getattr(loops, name)(x, *([(1,)] if name == "softmax" else []))
    for a, b in [(got, expected)] if name == "softmax" else zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6 if name == "softmax" else 2e-6, atol=1e-38 if name == "softmax" else 1e-6)


# ---------------------------------------------------------------------------------------------- dropout's masks


@given(
    shape=st.lists(st.sampled_from([1, 2, 3, 4, 9, 64]), max_size=3),
    p=st.sampled_from([0.1, 0.5, 0.999]),
    seed=st.integers(0, 2**62),
)
def test_a_loop_drops_what_the_key_says(shape, p, seed):
    key = philox.Stream(seed, calls=seed % 7).key(tuple(shape), p)
    ones = np.ones(shape, np.float32)
    np.testing.assert_array_equal(loops.drop(ones, key, 1 - p) != 0, key.computed())
    np.testing.assert_array_equal(loops.drop(ones, key.computed(), 1 - p), loops.drop(ones, key, 1 - p))


@pytest.mark.parametrize("module", [cpu, loops])
def test_one_seed_gives_one_mask_with_and_without_numba(module, monkeypatch):
    monkeypatch.setattr(dispatch, "_cpu_hand", module)
    minitorch.manual_seed(3)
    x = minitorch.ones(5, 7, requires_grad=True)
    y = minitorch.nn.functional.dropout(x, 0.5)
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), x.grad.numpy())
    stream = philox.Stream(int(np.random.Generator(np.random.PCG64(np.random.SeedSequence(3))).integers(2**63)))
    child = minitorch.manual_seed(3)
    stream.seed = int(child.numpy.integers(2**63))
    np.testing.assert_array_equal(y.detach().numpy() != 0, stream.key((5, 7), 0.5).computed())


def test_a_row_of_attention_drops_the_same_whatever_the_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((3, 5, 2, 6, 4)).astype(np.float32)
    keep = philox.Stream(4).key((5, 2, 6, 6), 0.3)
    whole = loops.attention(q, k, v, None, keep, 0.5, 0.7)
    monkeypatch.setattr(sys.modules["minitorch.kernels.loops.attention"], "BLOCK", 1)
    np.testing.assert_array_equal(loops.attention(q, k, v, None, keep, 0.5, 0.7)[0], whole[0])
    np.testing.assert_allclose(whole[0], reference.attention(q, k, v, None, keep.computed(), 0.5, 0.7)[0], atol=1e-5)


# --------------------------------------------------------------------------------------------------- arguments


def test_a_loop_takes_arrays_that_cannot_be_written_or_lie_apart():
    x = np.broadcast_to(np.float32([1, 2, 3]), (4, 3))
    y = np.arange(24, dtype=np.float32).reshape(4, 6)
    y.flags.writeable = False
    for a in (x, y[:, ::2], y.T, y[::-1]):
        np.testing.assert_allclose(loops.softmax(a, (1,)), reference.softmax(a, (1,)), rtol=1e-5)
        np.testing.assert_allclose(loops.gelu(a)[0], reference.gelu(a)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [-1, 3])
def test_an_index_outside_is_never_read(bad):
    x, at = np.zeros((2, 3), np.float32), np.array([0, bad])
    assert loops.cross_entropy(x, at, 1) is NotImplemented
    assert loops.cross_entropy_backward(x[:, 0], x, at, 1, x[:, :1], x[:, :1]) is NotImplemented
    assert loops.add_rows(x, at, 3) is NotImplemented
    if bad > 0:
        with pytest.raises(IndexError):
            kernels.KERNELS["cross_entropy"](x, at, 1)


def test_shapes_that_do_not_fit_are_left_to_the_definition():
    """A loop would read memory that is not there."""
    rng = np.random.default_rng(0)
    x, few, column = (rng.standard_normal(shape).astype(np.float32) for shape in ((4, 3), (1, 3), (4, 1)))
    w, keep, at = x[0], np.ones((1, 3), bool), np.zeros(3, int)
    calls = [
        ("softmax_backward", few, x, (1,)), ("bias_gelu", x, w[:2], False), ("bias_gelu_backward", few, (x, w, False)),
        ("layer_norm_backward", x, x, w, few[:, :1], column, (1,)), ("layer_norm_backward", few, x, w, column, column, (1,)),
        ("add_norm", x, few, w, w, None, 1.0, 1e-5), ("add_norm", x, x, w, w, keep, 0.5, 1e-5),
        ("add_norm_backward", x, x, w, few[:, :1], None, 1.0), ("add_norm_backward", x, x, w, column, keep, 0.5),
        ("cross_entropy", x, at, 1), ("cross_entropy_backward", x[:, 0], x, at, 1, column, column),
        ("cross_entropy_backward", x[:, 0], x, np.zeros(4, int), 1, few[:, :1], column),
        ("drop", x, keep, 0.5), ("drop", x, np.ones((4, 3), int), 0.5), ("add_rows", x, at, 5),
        ("adam_all", [x], [few], [x], [x], None, [1], 0.1, (0.9, 0.999), 1e-8, 1.0),
        ("attention", *[x.reshape(1, 4, 3)] * 3, None, np.ones((1, 1, 4), bool), 1.0, 0.5),
    ]  # fmt: skip
    for name, *arguments in calls:
        assert getattr(loops, name)(*arguments) is NotImplemented, name


# ------------------------------------------------------------------------------------------------------ threads


def train(threads):
    """The weights of a small layer after two steps with clipping: large enough that work is divided."""
    rng = np.random.default_rng(0)
    ps, gs = ([rng.standard_normal(shape).astype(np.float32) for shape in ((700, 800), (300,), ())] for _ in range(2))
    ms, vs = ([np.zeros_like(p) for p in ps] for _ in range(2))
    with open_threads(threads):
        for t in (1, 2):
            norm = loops.norm_all(gs)
            loops.scale_all(gs, np.float32(1) / norm)
            loops.add_all(gs, [[g] for g in gs])
            loops.adam_all(ps, gs, ms, vs, None, [t] * 3, 1e-2, (0.9, 0.999), 1e-8, 0.99)
    return [norm, *ps, *ms, *vs]


@pytest.mark.parametrize("threads", [2, 4])
def test_any_number_of_threads_gives_the_same_digits(threads):
    for a, b in zip(train(threads), train(1), strict=True):
        np.testing.assert_array_equal(a, b)


# --------------------------------------------------------------------------------- which hand runs, and compiling

WHICH = "from minitorch.kernels import dispatch; print(dispatch.prepare().__name__.rpartition('.')[2], '|', dispatch.why_numpy)"


def program(code, folder=ROOT, **environment):
    """Run Python in a process of its own; standard output and error."""
    given = {**os.environ, "PYTHONPATH": str(folder), **environment}
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize(("before", "environment", "expected"), [
    ("", {}, "loops | None"),
    ("", {"MINITORCH_KERNELS": "numpy"}, "cpu | MINITORCH_KERNELS=numpy"),
    ("from minitorch.kernels import prepare; prepare('numpy'); ", {}, "cpu | the program asks for NumPy"),
    ("from minitorch.kernels import prepare; prepare('numpy'); ", {"MINITORCH_KERNELS": "loops"}, "loops | None"),
    ("import sys; sys.modules['numba'] = None; ", {}, "cpu | numba is not installed"),
    ("", {"NUMBA_DISABLE_JIT": "1"}, "cpu | ImportError: NUMBA_DISABLE_JIT is set, so the loops would run as Python"),
])  # fmt: skip
def test_which_hand_runs(before, environment, expected):
    assert program(before + WHICH, **environment)[0] == expected


def test_a_numba_that_does_not_support_this_numpy_is_no_trouble(tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 2.4 or less. Got NumPy 2.9.')\n")
    found, _ = program(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {WHICH}")
    assert found == "cpu | ImportError: Numba needs NumPy 2.4 or less. Got NumPy 2.9."


def test_an_unknown_hand_is_refused():
    with pytest.raises(AssertionError, match=r"MINITORCH_KERNELS\) are .loops. or .numpy., not 'fast'"):
        program(WHICH, MINITORCH_KERNELS="fast")


def test_the_engine_imports_no_numba():
    found, _ = program("import sys, minitorch; minitorch.ones(2).exp(); print('numba' in sys.modules)")
    assert found == "False"


USE = (
    "import numpy as np; from minitorch.kernels import loops; from minitorch.kernels.loops.compiling import compiled; "
    "loops.softmax(np.ones((2, 3), np.float32), (1,)); print(len(compiled))"
)


def copy_of_the_engine(folder):
    """An installation of its own, without compiled code."""
    shutil.copytree(ROOT / "minitorch", folder / "minitorch", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.slow
def test_what_is_compiled_is_kept_shown_once_and_compiled_again_after_a_change(tmp_path):
    """Three processes at once, a later one, and one after an upgrade."""
    folder = copy_of_the_engine(tmp_path)
    given = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    given.pop("NUMBA_CACHE_DIR", None)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    together = [subprocess.Popen([sys.executable, "-c", USE], env=given, cwd=folder, **pipes) for _ in range(3)]
    for process in together:
        out, error = process.communicate()
        assert process.returncode == 0, error
        assert int(out) > 0
        assert re.fullmatch(r"minitorch: compiling the CPU's loops, this once, takes about 5 s \.\.\. done in [\d.]+ s\n", error)
    assert program(USE, folder) == ("0", "")  # nothing to compile, nothing to say
    lists = folder / "minitorch/kernels/loops/lists.py"
    lists.write_text(lists.read_text() + "\n# a new version\n")
    compiled, error = program(USE, folder)
    assert 0 < int(compiled) < 4  # the loops of that file alone
    assert error


@pytest.mark.slow
def test_where_nothing_can_be_written_the_user_has_a_cache_or_numpy_runs(tmp_path):
    folder = copy_of_the_engine(tmp_path / "readonly")
    if os.geteuid() == 0:  # root may write anywhere: files where the folders would be
        (folder / "minitorch/kernels/loops/__pycache__").write_text("")
    else:
        (folder / "minitorch/kernels/loops").chmod(stat.S_IRUSR | stat.S_IXUSR)
    home = tmp_path / "home"
    home.mkdir()
    code = "from minitorch.kernels import dispatch; print(dispatch.prepare().__name__, dispatch.why_numpy)"
    given = {"PYTHONDONTWRITEBYTECODE": "1", "XDG_CACHE_HOME": str(home), "HOME": str(home), "IPYTHONDIR": str(home)}
    assert program(code, folder, **given)[0] == "minitorch.kernels.loops None"
    assert list(home.rglob("*.nbi"))
    assert program(code, folder, **given)[1] == ""  # kept there
    chosen = tmp_path / "chosen"
    assert program(code, folder, NUMBA_CACHE_DIR=str(chosen), **given)[0] == "minitorch.kernels.loops None"
    assert list(chosen.rglob("*.nbi"))
    nowhere = given | dict.fromkeys(("XDG_CACHE_HOME", "HOME", "IPYTHONDIR"), str(folder / "minitorch/__init__.py"))
    assert program(code, folder, **nowhere)[0].startswith("minitorch.kernels.cpu RuntimeError: cannot cache function")
