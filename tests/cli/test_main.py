"""The command line as a whole: its commands, its errors, and that it ends as it should."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastbp import __version__, load, show_versions
from fastbp.backends.cpu import kernels
from fastbp.cli.main import main
from fastbp.machine.cache import cache_directory
from fastbp.model.update_rules import UPDATE_RULES
from helpers.command_line import (
    HEADER,
    POSIX,
    SUBPROCESS,
    command,
    environment,
    error_of,
    r2_of,
    run,
)


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
        "fit houses.csv --target price --loss log_loss",
        "fit houses.csv --target price --n-init 0",
        "predict model.fastbp",
        "export model.fastbp",
        "export model.fastbp --to pytorch",
    ],
)
def test_a_wrong_option_is_one_line(capsys, arguments):
    error_of(capsys, *arguments.split())


@SUBPROCESS
def test_bad_input_ends_a_process_with_code_2(tmp_path):
    result = run("fit", tmp_path / "none.csv", "--target", "price")
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


def test_versions_name_the_packages_that_are_not_there(capsys, monkeypatch):
    monkeypatch.setattr("fastbp.cli.info._EXTRAS", ("no-such-package",))
    show_versions()
    assert re.search("^no-such-package +not installed$", capsys.readouterr().out, re.M)


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
        (["predict", "-h"], "runs the code"),
        (["export", "-h"], "onnx"),
    ):
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=environment(), check=True, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert said in result.stdout
        assert result.stdout.endswith("False False\n")


def test_warmup_compiles_what_is_named(capsys):
    main(["warmup", "functions", "predict"])
    first, second, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"functions +\S+ s", first)
    assert re.fullmatch(r"predict +\S+ s", second)
    assert str(cache_directory()) in last
    error = error_of(capsys, "warmup", "everything")
    assert "'everything', but there is only this to compile: mini-batches, threads" in error


@SUBPROCESS
def test_warmup_compiles_every_kernel_once(python):
    code = """
from fastbp.backends.cpu import kernels
from fastbp.cli.main import main
main(["warmup"])
every = [getattr(kernels, name) for name in kernels.__all__]
every = [*every, *kernels.ONLINE_KERNELS, *kernels.LEARN_ONE_KERNELS, *kernels.LANE_KERNELS]
every = [kernel for kernel in every if hasattr(kernel, "signatures")]
for number, kernel in enumerate(every):
    print("KERNEL", number, len(kernel.signatures))
print("MISSES", sum(sum(kernel.stats.cache_misses.values()) for kernel in every))
"""
    python(code, timeout=480)  # compiles all, which takes minutes on a busy machine
    directory = cache_directory()
    before = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    output = python(code)
    after = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    compiled = re.findall(r"KERNEL \d+ (\d+)", output)
    alone = [name for name in kernels.__all__ if hasattr(getattr(kernels, name), "signatures")]
    of_rules = (kernels.ONLINE_KERNELS, kernels.LEARN_ONE_KERNELS, kernels.LANE_KERNELS)
    assert [len(each) for each in of_rules] == [len(UPDATE_RULES)] * 3
    # float64 and float32
    assert compiled == ["2"] * (len(alone) + 3 * len(UPDATE_RULES))
    assert "MISSES 0" in output
    assert after == before
    assert str(directory) in output
    assert output.count(" s\n") == 12
    fits = """
import warnings, numpy as np
from fastbp import BackpropClassifier, BackpropRegressor
warnings.simplefilter("ignore")
X = np.random.default_rng(0).standard_normal((50, 3)).astype("float32")
for activation, loss in (("mish", "gamma"), ("gelu", "huber"), ("sin", "quantile")):
    BackpropRegressor(loss, (3,), activation, max_iter=2).fit(X, np.exp(X[:, 0])).predict(X)
for y in (X[:, 0] > 0, X.argmax(axis=1)):
    net = BackpropClassifier((3,), max_iter=2, solver="sgd").fit(X, y)
    net.learn_one(X[0], y[0]).predict_proba(X)
"""
    python(fits)
    assert after == {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}


@SUBPROCESS
def test_no_argument_compares_modes_with_mlp_regressor():
    result = run()
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
@pytest.mark.parametrize("has_rich", [True, False])
def test_a_terminal_shows_progress(rows, write, tmp_path, has_rich):
    import pty
    import termios

    if has_rich:
        pytest.importorskip("rich")
    else:
        (tmp_path / "rich.py").write_text("raise ImportError")
    variables = environment() | {"TERM": "xterm"}  # rich moves no cursor where none is known
    variables["PYTHONPATH"] = os.pathsep.join([str(tmp_path), variables["PYTHONPATH"]])
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    saved = tmp_path / "model"
    process = subprocess.Popen(
        command("fit", write([HEADER, *rows]), "--target", "price", "--save", saved),
        env=variables, stdout=subprocess.PIPE, stderr=theirs, text=True,
    )  # fmt: skip
    os.close(theirs)
    # Read as it comes: a terminal that nobody reads blocks who writes to it, after 4 KiB.
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(_all_of, ours)
        output = process.communicate(timeout=240)[0]
        shown = reading.result(timeout=60)
    os.close(ours)
    assert process.returncode == 0
    assert re.search("training.*%", shown)
    assert ("pip install 'fastbp[progress]'" in shown) == (not has_rich)
    assert ("━" in shown) == has_rich
    assert r2_of(output) > 0.9
    assert "Iteration" not in output + shown
    assert not load(saved)[-1].verbose


@POSIX
@SUBPROCESS
def test_ctrl_c_is_one_line_and_130(rows, write):
    process = subprocess.Popen(
        command("fit", write([HEADER, *100 * rows]), "--target", "price", "--solver", "lbfgs",
                 "--hidden", 300, 300, 300, "--alpha", 0),  # minutes
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # In the background a shell has SIGINT ignored, and children would ignore it too.
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
        command("info"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(timeout=60)


@SUBPROCESS
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux alone")
def test_a_full_disk_behind_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            command("info"), env=environment(), stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert result.returncode == 1
    assert result.stderr == (
        "fastbp: error: cannot write standard output: No space left on device\n"
    )
