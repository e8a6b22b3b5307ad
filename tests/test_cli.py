"""models/cli.py: exit statuses, one-line errors, Ctrl-C, closed pipes, and what is imported when."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models import cli
from models.errors import BadInput, listing, quoted, short

from .processes import heed_ctrl_c

ROOT = Path(__file__).parents[1]
MINITORCH = [sys.executable, "-m", "models.cli"]


def run(*command: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


def test_help_lists_the_jobs_and_imports_nothing_heavy():
    code = (
        "import sys; from models import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit as end: print(end.code, [m for m in ('numpy', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    shown = run(sys.executable, "-c", code).stdout
    assert "linear-regression" in shown
    assert "doctor" in shown
    assert shown.endswith("0 []\n")


@pytest.mark.parametrize(
    "arguments", ["", "--vers pretrain", "linear-regresion", "linear-regression --bogus", "linear-regression --seed x"]
)
def test_a_wrong_command_line_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments.split())
    assert end.value.code == 2
    assert "usage: minitorch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--csv", "absent.csv", "--target", "y"], "absent.csv: no such file"),
        (["--csv", "pyproject.toml/x", "--target", "y"], "pyproject.toml/x: cannot be read: Not a directory"),
        (["--target", "y"], "--target and --features choose columns of a file: give it with --csv FILE"),
        (["--test-share", "1"], "--test-share must lie between 0 and 1, not 1"),
        (["--test-share", "nan"], "--test-share must lie between 0 and 1, not nan"),
        (["--ridge", "-1"], "--ridge must be 0 or a positive number, not -1"),
        (["--ridge", "nan"], "--ridge must be 0 or a positive number, not nan"),
        (["--lr", "0"], "--lr must be a positive number, not 0"),
        (["--epochs", "0"], "--epochs must be at least 1, not 0"),
        (["--seed", "-1"], "--seed must lie between 0 and 2³² - 1, not -1"),
        (["--device", "tpu"], '--device: unknown device "tpu": use "cpu", "cuda" or "cuda:N"'),
        (
            ["--csv", "README.md", "--target", "y", "--delimiter", "ab"],
            "--delimiter must be one sign, or one of comma, semicolon",
        ),
        (["--output", "README.md"], "--output README.md is a file; give a folder"),
        (["--lr", "100"], "gradient descent diverged at step"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    output = [] if "--output" in arguments else ["--output", str(tmp_path)]
    assert cli.main(["linear-regression", *arguments, *output]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"minitorch linear-regression: error: {message}")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["pretrian"], "did you mean pretrain?"),
        (["pretrain", "--lenght", "32"], "did you mean --length?"),
        (["linear-regression", "--rigde", "1"], "did you mean --ridge?"),
        (["linear-regression", "surplus"], "unrecognized arguments: surplus"),
        (["linear-regression", "x.csv"], "unrecognized arguments: x.csv; a file is given with --csv x.csv"),
        (["pretrain", "texts/a.txt", "--steps", "3"], "unrecognized arguments: texts/a.txt; a file is given with --corpus"),
        (["finetune", "num.csv"], "invalid choice: 'num.csv'; a file is given with --train num.csv"),
        (["finetune", "classify", "--learning-rate", "1e-3"], "did you mean --lr?"),
        (["pretrain", "--max_length", "64"], "did you mean --length?"),
        (["finetune", "clasify"], "did you mean classify?"),
        (["course", "chek"], "did you mean check?"),
        (["fill-mask", "the", "function", "[MASK]"], "put a text of several words in quotes"),
    ],
)
def test_a_mistyped_word_gets_a_suggestion(arguments, hint, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    *usage, error = capsys.readouterr().err.splitlines()
    assert hint in error
    assert len(usage) < 5
    if arguments[0] in cli.JOBS:  # the job's own options, and not the list of jobs
        assert usage[0].startswith(f"usage: minitorch {arguments[0]}")
        assert error.startswith(f"minitorch {arguments[0]}: error: ")


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ("", [f"    {job} " for job in cli.JOBS if len(job) < 14]),
        ("course", ["    list ", "    start ", "    check ", "    grade "]),
    ],
)
def test_a_command_without_a_job_lists_the_jobs(arguments, lines, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments.split())
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert [line for line in lines if line not in error] == []
    assert error.endswith(
        f"minitorch{' ' * bool(arguments)}{arguments}: error: say which {'COMMAND' if arguments else 'JOB'} you want\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["pretrain", "--output", ""],
        ["pretrain", "--output="],
        ["finetune", "classify", "--train", ""],
        ["embed", "a", "--output", ""],
        ["predict", "a", "--model="],
        ["linear-regression", "--output", ""],
        ["course", "grade", "a", "--output", ""],
        ["course", "start", "scalar", ""],
        ["course", "release", ""],
    ],
)
def test_an_empty_path_does_not_mean_the_current_folder(arguments, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert " is empty; give" in capsys.readouterr().err.replace(": give", "; give")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("job", ["pretrain", "finetune"])
def test_resume_and_overwrite_together_are_refused(job, capsys):
    assert cli.main([job, "--resume", "--overwrite"]) == 2
    assert "--resume continues the run in --output and --overwrite replaces it: give one of them" in capsys.readouterr().err


@pytest.mark.parametrize("job", ["pretrain", "fill-mask a", "embed a", "predict a", "linear-regression", "finetune classify"])
def test_without_cupy_the_device_cuda_says_what_to_install(job, capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cupy", None)  # what makes its import fail
    monkeypatch.chdir(tmp_path)
    train = ["--train", str(ROOT / "README.md")] if job.startswith("finetune") else []
    assert cli.main([*job.split(), *train, "--device", "cuda"]) == 2
    assert '--device cuda:0: device "cuda" needs CuPy, which is not installed: pip install "cupy-' in capsys.readouterr().err


def test_an_error_is_one_line_whatever_it_quotes(capsys, monkeypatch):
    """Line ends, marks that turn the direction of writing, and a label of 100,000 characters."""
    from models.classical import regression_command

    name = "a\nb\u202ec\x1b[31m"

    def fail(args):
        raise BadInput(f"{name}: the label '{'x' * 100_000}' is unknown; there are {listing(['yes', 'no', name])}")

    monkeypatch.setattr(regression_command, "run", fail)
    assert cli.main(["linear-regression"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("minitorch linear-regression: error: a\\nb\\u202ec\\x1b[31m: the label 'xxx")
    escaped = "a\\nb\\u202ec\\x1b[31m"
    assert error.endswith(f"xxx' is unknown; there are yes, no, {escaped}\n")
    assert (error.count("\n"), len(error) < 250) == (1, True)
    name = "a long text " * 10_000
    assert cli.main(["linear-regression"]) == 2
    assert len(capsys.readouterr().err) < 1100


def test_texts_from_files_are_quoted_short_and_visible():
    assert quoted("a\nb") == "'a\\nb'"
    assert quoted("it's") == '"it\'s"'
    assert quoted("x" * 100_000) == f"'{'x' * 52} ... {'x' * 20}'"
    assert quoted([1, "a"]) == "[1, 'a']"
    assert len(quoted(list(range(100_000)))) == 79
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert quoted(deep) == "a list"
    assert short("\u202ea\tb\u2028") == "\\u202ea\\tb\\u2028"
    assert short("的人é") == "的人é"
    assert len(short("x" * 81)) == 79


def test_the_version_and_where_it_comes_from(capsys):
    import minitorch

    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"minitorch {minitorch.__version__} ({Path(minitorch.__file__).parent})\n"


def test_a_file_without_a_target_names_its_columns(capsys, tmp_path):
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    assert cli.main(["linear-regression", "--csv", str(tmp_path / "data.csv")]) == 2
    assert "--csv needs --target COLUMN; the columns of" in capsys.readouterr().err


@pytest.mark.parametrize("option", [[], ["--decimal", ","], ["--decimal", "comma"]])
def test_decimal_commas_are_said(capsys, tmp_path, option):
    (tmp_path / "data.csv").write_text("a;b;y\n" + "".join(f"{i},5;{i * i % 7};{3 * i},25\n" for i in range(20)))
    arguments = ["--csv", str(tmp_path / "data.csv"), "--target", "y", "--output", str(tmp_path), *option]
    assert cli.main(["linear-regression", *arguments]) == 0
    assert 'numbers with decimal commas; columns cut at ";"' in capsys.readouterr().out.splitlines()[1]


def test_a_whole_run_on_a_file(capsys, tmp_path):
    rows = "\n".join(f"{i};{i * i % 7};{'ab'[i % 2]};{3 * i + i * i % 7 + i % 3}" for i in range(30))
    (tmp_path / "data.csv").write_text("a;price ($) and $x;town;y\n" + rows)
    arguments = ["--csv", str(tmp_path / "data.csv"), "--target", "y", "--ridge", "0.5", "--output", str(tmp_path)]
    assert cli.main(["linear-regression", *arguments]) == 0
    out = capsys.readouterr().out
    assert '"y" from 2 features' in out
    assert "left out 1 text column: town" in out
    assert "intercept" in out
    assert "24 training rows, 6 test rows; features standardised; λ = 0.5" in out


def test_the_doctor_is_the_engines_own(capsys):
    assert cli.main(["doctor"]) == 0
    assert "numpy" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["doctor", "--help"])
    assert capsys.readouterr().out.startswith("usage: minitorch doctor ")


def test_a_missing_package_says_how_to_get_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert cli.main(["linear-regression", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("error: tqdm is not installed: pip install -e '.[models]'\n")


def test_ctrl_c_is_one_line_and_status_130(tmp_path):
    """However busy the machine: the signal is sent when the descent is under way, and no clock is asked."""
    command = [*MINITORCH, "linear-regression", "--epochs", "3000000", "--lr", "1e-9", "--output", str(tmp_path)]  # it would end
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=heed_ctrl_c)
    seen = b""
    while b"loss" not in seen:
        more = os.read(process.stderr.fileno(), 1000)
        assert more, f"it ended before its first loss: {seen.decode()}"
        seen += more
    process.send_signal(signal.SIGINT)
    rest = process.communicate()[1].decode()
    assert process.returncode == 130
    assert rest.endswith("\nminitorch linear-regression: stopped\n")
    assert "Traceback" not in rest


@pytest.mark.parametrize("job", ["pretrain", "doctor"])
def test_ctrl_c_while_a_job_is_imported(job, capsys, monkeypatch):
    def stop(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.importlib, "import_module", stop)
    assert cli.main([job]) == 130
    assert capsys.readouterr().err == f"\nminitorch {job}: stopped\n"


def test_a_closed_pipe_is_no_trouble(tmp_path):
    script = f"{sys.executable} -m models.cli linear-regression --output {tmp_path} 2>errors | head -n 1"
    assert "diabetes" in run("bash", "-c", script.replace("errors", str(tmp_path / "errors"))).stdout
    assert "Traceback" not in (tmp_path / "errors").read_text()
    assert "BrokenPipe" not in (tmp_path / "errors").read_text()


def test_a_terminal_without_greek_shows_question_marks(tmp_path):
    done = run(*MINITORCH, "linear-regression", "--output", str(tmp_path), env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert "R? train" in done.stdout


@pytest.mark.parametrize("pressed", [True, False])
def test_ctrl_c_within_an_import(pressed, monkeypatch, capsys):
    """NumPy's C code turns it into an ImportError of its own."""

    def interrupted(argv):
        try:
            if pressed:
                signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            pass
        raise ImportError("PyCapsule_Import could not import module")

    monkeypatch.setattr(cli, "_run", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if pressed:
            assert cli.main(["embed"]) == 130
            assert capsys.readouterr().err == "\nminitorch embed: stopped\n"
        else:
            with pytest.raises(ImportError, match="PyCapsule"):
                cli.main(["embed"])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_when_all_is_done():
    """While Python itself ends: the status is that of the job."""
    code = "import atexit, os, signal; atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT)); from models import cli"
    done = run(sys.executable, "-c", f"{code}; cli.sys.argv = ['minitorch', '--version']; cli.program()", preexec_fn=heed_ctrl_c)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("minitorch ")
