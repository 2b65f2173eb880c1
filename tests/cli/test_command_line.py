"""The command line: what it prints, what it refuses and how, and that it ends as it should."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest

from conftest import REPOSITORY
from fastbp import __version__
from fastbp.backends.cpu import kernels
from fastbp.cli.main import main
from fastbp.machine.cache import cache_directory

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX alone")
SUBPROCESS = pytest.mark.subprocess

HEADER = ["rooms", "age", "price"]


def _command(*arguments):
    return [sys.executable, "-m", "fastbp", *map(str, arguments)]


def _environment():
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"}


def _run(*arguments, timeout=240):
    return subprocess.run(
        _command(*arguments),
        env=_environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
    )


@pytest.fixture
def rows(rng):
    rooms, age = rng.uniform(1, 9, 80), rng.uniform(0, 50, 80)
    price = 100 * rooms - 3 * age + rng.normal(0, 5, 80)
    return [list(map(repr, row)) for row in np.column_stack([rooms, age, price]).tolist()]


@pytest.fixture
def write(tmp_path):
    def write(lines, delimiter=",", encoding="utf-8"):
        path = tmp_path / "houses.csv"
        with path.open("w", newline="", encoding=encoding) as file:
            csv.writer(file, delimiter=delimiter).writerows(lines)
        return path

    return write


def _error(capsys, *arguments):
    """The one line that bad input gives."""
    try:
        code = main([*map(str, arguments)])
    except SystemExit as exit:
        code = exit.code
    errors = capsys.readouterr().err
    assert code == 2
    assert errors.startswith("fastbp: error: ")
    assert errors.count("\n") == 1
    return errors


def _r2(output):
    return float(re.search(r"Held-out R\^2 +(\S+)", output)[1])


@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8")]
)
def test_fit_reports_the_error_on_held_out_rows(rows, write, capsys, delimiter, encoding):
    path = write([HEADER, *rows], delimiter, encoding)
    assert main(["fit", str(path), "--target", "price"]) == 0
    output = capsys.readouterr()
    assert _r2(output.out) > 0.9
    assert "80 rows, 2 inputs (rooms, age)" in output.out
    assert "Training on 64 rows, testing on 16" in output.out
    assert "validation rows" in output.out
    assert not output.err


def test_bayesian_regularisation_needs_no_validation_rows(rows, write, capsys):
    path = write([HEADER, *rows])
    arguments = ("--target", "price", "--solver", "lm", "--alpha", "bayes", "--hidden", "5")
    assert main(["fit", str(path), *arguments]) == 0
    output = capsys.readouterr()
    assert _r2(output.out) > 0.9
    assert not output.err


def test_the_units_are_the_targets(rows, write, capsys):
    small = [[*row[:-1], repr(float(row[-1]) / 1000)] for row in rows]
    errors = []
    for table in (rows, small):
        main(["fit", str(write([HEADER, *table])), "--target", "price"])
        errors.append(float(re.search(r"RMSE +(\S+)", capsys.readouterr().out)[1]))
    assert errors[0] == pytest.approx(1000 * errors[1], rel=1e-2)


def test_a_saved_model_predicts_what_was_reported(rows, write, tmp_path, capsys):
    saved = tmp_path / "model.joblib"
    arguments = ["--target", "price", "--save", str(saved), "--test-fraction", "0.5"]
    assert main(["fit", str(write([HEADER, *rows])), *arguments]) == 0
    table = np.array(rows, dtype=float)
    model = joblib.load(saved)
    assert model.predict(table[:, :-1]).shape == (80,)
    assert model.score(table[:, :-1], table[:, -1]) > 0.9
    assert "--save" not in capsys.readouterr().err


def test_options_reach_the_network(rows, write, tmp_path):
    saved = tmp_path / "model.joblib"
    arguments = (
        "--target price --hidden 7 3 --activation relu --solver sgd --max-iter 4 "
        "--batch-size online --seed 5 --alpha 0.5"
    ).split()
    assert main(["fit", str(write([HEADER, *rows])), *arguments, "--save", str(saved)]) == 0
    net = joblib.load(saved).regressor_[-1]
    assert [coefs.shape for coefs in net.coefs_] == [(2, 7), (7, 3), (3, 1)]
    assert (net.activation, net.solver, net.batch_size) == ("relu", "sgd", "online")
    assert (net.n_iter_, net.random_state, net.alpha) == (4, 5, 0.5)


def test_the_seed_decides(rows, write, capsys):
    path = str(write([HEADER, *rows]))
    results = []
    for seed in ("1", "1", "2"):
        main(["fit", path, "--target", "price", "--max-iter", "5", "--seed", seed])
        results.append(_r2(capsys.readouterr().out))
    assert results[0] == results[1] != results[2]


def test_dropped_columns_may_hold_anything(rows, write, capsys):
    lines = [["name", *HEADER], *(["a house, say", *row] for row in rows)]
    assert main(["fit", str(write(lines)), "--target", "price", "--drop", "name"]) == 0
    assert "2 inputs (rooms, age)" in capsys.readouterr().out


def test_an_empty_line_is_no_row(rows, write, capsys):
    assert main(["fit", str(write([HEADER, *rows, []])), "--target", "price"]) == 0
    assert "80 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        (0, "three", ["column 'rooms' has 'three'", "not a number", "--drop rooms"]),
        (0, "3,5", ["'3,5'", "decimals are written with a point"]),
        (1, "", ["column 'age' has no value", "--drop age"]),
        (1, "NaN", ["column 'age' has no value ('NaN')"]),
        (1, "NA", ["column 'age' has no value ('NA')"]),
        (1, "inf", ["infinite"]),
        (1, "1e999", ["infinite"]),
        (2, "cheap", ["column 'price' has 'cheap'"]),
    ],
)
def test_a_cell_that_is_no_number_is_named(rows, write, capsys, column, cell, said):
    rows[4][column] = cell
    error = _error(capsys, "fit", write([HEADER, *rows]), "--target", "price")
    assert "line 6" in error
    assert all(words in error for words in said), error
    assert ("--drop" in error) == (column != 2)


def test_the_line_is_the_files_own(rows, write, capsys):
    rows[4][0] = "three"
    lines = [["name", *HEADER], [], *(["two\nlines", *row] for row in rows)]
    error = _error(capsys, "fit", write(lines), "--target", "price", "--drop", "name")
    assert "line 12:" in error


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"rooms,age,price\n", "0 rows below its header"),
        (b"rooms,age,price\n1,2,3\n", "1 rows below its header"),
        (b"rooms,age,price\n1,2,3\n1,2\n", "line 3 has 2 cells where the header has 3"),
        (b"rooms,age,price\n1,2,3,4\n", "line 2 has 4 cells where the header has 3"),
        (b"price\n1\n2\n", "no column besides 'price'"),
        (b"rooms,price,price\n1,2,3\n", "2 columns named 'price'"),
        (b"rooms,Price\n1,2\n", "did you mean 'Price'? Its columns: rooms, Price"),
        (b"rooms,cost\n1,2\n", "no column 'price'. Its columns: rooms, cost"),
        (b"rooms,price\n" + b"1,2\n" * 20, "is 2 in every row"),
        (b"\xff\xfer\x00o\x00", "not a text file in UTF-8"),
        (b"rooms,price\n1,\xe9\n", "not a text file in UTF-8"),
        (b'rooms,price\n1,"' + b"2" * 200_000 + b'"\n', "not a CSV file"),
        (b"rooms,price\n1,\x00\n", "houses.csv"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, capsys, content, said):
    path = tmp_path / "houses.csv"
    path.write_bytes(content)
    assert said in _error(capsys, "fit", path, "--target", "price")


def test_a_file_that_cannot_be_read_is_refused(tmp_path, capsys):
    for path in (tmp_path / "none.csv", tmp_path):
        assert f"cannot read {path}" in _error(capsys, "fit", path, "--target", "price")


def test_saving_is_tried_before_the_training(rows, write, tmp_path, capsys):
    data = write([HEADER, *rows])
    content = data.read_bytes()
    for path, said in (
        (tmp_path / "none" / "model", "cannot save to"),
        (tmp_path, "cannot save to"),
        (data, "would overwrite the data"),
    ):
        assert said in _error(capsys, "fit", data, "--target", "price", "--save", path)
    assert data.read_bytes() == content
    never = tmp_path / "never"
    _error(capsys, "fit", data, "--target", "size", "--save", never)
    assert not never.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "fit houses.csv",
        "fit --target price",
        "guess",
        "--frobnicate",
        "fit houses.csv --target price --hidden 0",
        "fit houses.csv --target price --hidden many",
        "fit houses.csv --target price --test-fraction 1",
        "fit houses.csv --target price --test-fraction nan",
        "fit houses.csv --target price --seed -1",
        "fit houses.csv --target price --alpha -1",
        "fit houses.csv --target price --batch-size some",
        "fit houses.csv --target price --solver newton",
        "fit houses.csv --target price --activation step",
    ],
)
def test_a_wrong_option_is_one_line(capsys, arguments):
    _error(capsys, *arguments.split())


@pytest.mark.parametrize("fraction", ["0.001", "0.99"])
def test_a_split_that_leaves_too_little_is_refused(rows, write, capsys, fraction):
    arguments = ("--target", "price", "--test-fraction", fraction)
    assert "for testing" in _error(capsys, "fit", write([HEADER, *rows]), *arguments)


def test_a_training_that_diverges_is_one_line(rows, write, capsys):
    arguments = ("--target", "price", "--solver", "sgd", "--alpha", "1e9")
    error = _error(capsys, "fit", write([HEADER, *rows]), *arguments)
    assert "diverged" in error


@SUBPROCESS
def test_bad_input_ends_a_process_with_code_2(tmp_path):
    result = _run("fit", tmp_path / "none.csv", "--target", "price")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("fastbp: error: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


def test_info_describes_machine_and_versions(capsys):
    assert main(["info"]) == 0
    output = capsys.readouterr().out
    assert re.search(rf"^fastbp +{re.escape(__version__)}$", output, re.M)
    for name in "Python numpy scipy scikit-learn numba llvmlite CPU vectors FMA cores".split():
        assert re.search(rf"^{name} +\S", output, re.M), name
    assert re.search("^GPU +(none: .*(numba-cuda|driver|no NVIDIA)|\\w)", output, re.M)
    assert str(cache_directory()) in output


@SUBPROCESS
def test_version_and_help_load_no_compiler():
    code = (
        "import sys\nfrom fastbp.cli.main import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print('numba' in sys.modules, 'matplotlib' in sys.modules)"
    )
    for arguments, said in (
        (["--version"], __version__),
        (["-h"], "warmup"),
        (["fit", "-h"], "csv"),
    ):
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=_environment(), check=True, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert said in result.stdout
        assert result.stdout.endswith("False False\n")


@SUBPROCESS
def test_warmup_compiles_every_kernel_once(python):
    code = """
from fastbp.backends.cpu import kernels
from fastbp.cli.main import main
main(["warmup"])
for name in kernels.__all__:
    kernel = getattr(kernels, name)
    if hasattr(kernel, "signatures"):
        print("KERNEL", name, len(kernel.signatures))
print("MISSES", sum(sum(getattr(kernels, name).stats.cache_misses.values())
                    for name in kernels.__all__ if hasattr(getattr(kernels, name), "stats")))
"""
    python(code)
    directory = cache_directory()
    before = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    output = python(code)
    after = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    compiled = dict(re.findall(r"KERNEL (\w+) (\d+)", output))
    expected = [name for name in kernels.__all__ if hasattr(getattr(kernels, name), "signatures")]
    assert compiled == dict.fromkeys(expected, "2")  # float64 and float32
    assert "MISSES 0" in output
    assert after == before
    assert str(directory) in output
    assert output.count(" s\n") == 14


@SUBPROCESS
def test_no_argument_compares_modes_with_mlp_regressor():
    result = _run()
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no progress line in a pipe, no warning
    search, comparison = result.stdout.split("MLPRegressor (", 1)
    number = r"\d\.\d{3} ± \d\.\d{3}"
    for mode in ("online", "32", "full"):
        assert len(re.findall(rf"^[* ] +{mode} +\S+ +{number} +\d", search, re.M)) == 4
        row = re.search(rf"^ +{mode} +({number}) +({number}) +\S+ +\S+ +\S+$", comparison, re.M)
        ours, theirs = (float(cell.split()[0]) for cell in row.groups())
        assert ours == pytest.approx(theirs, abs=2e-3)
        assert ours > 0.4
    last = result.stdout.splitlines()[-1]
    assert last.startswith("Best: batch_size=")
    assert "faster than MLPRegressor: " in last


def _all_of(terminal):
    """What is written to a terminal until its other end is closed, which Linux calls an error."""
    pieces = []
    try:
        while piece := os.read(terminal, 4096):
            pieces.append(piece)
    except OSError:
        pass
    return b"".join(pieces).decode()


@POSIX
@SUBPROCESS
@pytest.mark.parametrize("has_tqdm", [True, False])
def test_a_terminal_shows_progress(rows, write, tmp_path, has_tqdm):
    import pty
    import termios

    if has_tqdm:
        pytest.importorskip("tqdm")
    else:
        (tmp_path / "tqdm.py").write_text("raise ImportError")
    environment = _environment()
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))  # tqdm shows nothing where there are no columns
    saved = tmp_path / "model"
    process = subprocess.Popen(
        _command("fit", write([HEADER, *rows]), "--target", "price", "--save", saved),
        env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True,
    )  # fmt: skip
    os.close(theirs)
    # Read as it comes: a terminal that nobody reads blocks who writes to it, after 4 KiB.
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(_all_of, ours)
        output = process.communicate(timeout=240)[0]
        shown = reading.result(timeout=60)
    os.close(ours)
    assert process.returncode == 0
    assert "\rtraining:" in shown
    assert ("it/s" in shown) == has_tqdm
    assert _r2(output) > 0.9
    assert "Iteration" not in output + shown
    model = joblib.load(saved)
    assert not model.regressor[-1].verbose
    assert not model.regressor_[-1].verbose


@POSIX
@SUBPROCESS
def test_ctrl_c_is_one_line_and_130(rows, write):
    process = subprocess.Popen(
        _command("fit", write([HEADER, *100 * rows]), "--target", "price", "--solver", "lbfgs",
                 "--hidden", 300, 300, 300, "--alpha", 0),  # minutes
        env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell's background jobs ignore SIGINT, and their children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert any("Training on" in line for line in iter(process.stdout.readline, ""))
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert errors == "fastbp: interrupted\n"


@POSIX
@SUBPROCESS
def test_a_closed_pipe_is_no_error():
    process = subprocess.Popen(
        _command("info"), env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(timeout=60)
