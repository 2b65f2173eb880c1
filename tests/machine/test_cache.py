"""The cache of compiled code, and code that is compiled in other ways.

What could hang or kill a process runs in one of its own, under a hard timeout.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import fastbp
from fastbp.machine import cache as cache_module

PACKAGE = Path(fastbp.__file__).parent
pytestmark = pytest.mark.subprocess
POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX alone")

# The smallest kernel, so that a cold start is short.
PENALTY = """
import numpy as np
from fastbp import Network
from fastbp.backends.cpu import kernels
from fastbp.backends.cpu.layout import layout_of
network = Network((3, 4, 1))
parameters = np.linspace(-1, 1, network.n_parameters)
layout, gradient = layout_of(network, np.float64), np.ones_like(parameters)
penalty = kernels.penalise(layout.n_weights, parameters, gradient, 0.5, 2.0)
stats = kernels.penalise.stats
print(repr(penalty), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""

# A kernel whose arithmetic stands in another file than the kernel.
STEP = """
import numpy as np
from fastbp import Network
from fastbp.backends.cpu import kernels
from fastbp.backends.cpu.layout import layout_of
from fastbp.model import update_rules
network = Network((3, 4, 1))
layout = layout_of(network, np.float64)
parameters = np.zeros(network.n_parameters)
moments = (np.zeros_like(parameters), np.zeros_like(parameters), 0)
workspace = kernels.make_workspace(layout, np.float64)
rule = update_rules.sgd(0.5, 0.0, True)
kernels.step(layout, parameters, np.ones_like(parameters), rule, moments, workspace)
stats = kernels.step.stats
print(parameters[0], sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


@pytest.fixture(scope="module")
def warm_cache(tmp_path_factory):
    """A cache directory that holds `PENALTY`'s code, and what it printed."""
    cache = tmp_path_factory.mktemp("cache")
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(cache),
        "PYTHONPATH": str(PACKAGE.parent),
    }
    output = subprocess.run(
        [sys.executable, "-c", PENALTY], env=environment, check=True, capture_output=True,
        text=True, timeout=240,
    ).stdout  # fmt: skip
    penalty, hits, misses = output.split()
    assert (hits, misses) == ("0", "1")
    return cache, penalty


def _copy_of(warm_cache, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(warm_cache[0], cache)
    return cache


def test_a_second_process_finds_the_code(python, warm_cache):
    cache, penalty = warm_cache
    files = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}
    assert python(PENALTY, NUMBA_CACHE_DIR=str(cache)).split() == [penalty, "1", "0"]
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")} == files


@POSIX
def test_the_cache_is_the_users_own(warm_cache):
    folders = [path for path in warm_cache[0].rglob("*") if path.is_dir()]
    assert len(folders) == 2  # fastbp/ and one digest
    assert all(folder.stat().st_mode & 0o077 == 0 for folder in folders)


def _with_zeros(content):
    middle = len(content) // 2
    return content[:middle] + bytes(4096) + content[middle + 4096 :]


def _with_a_bit_flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


DAMAGE = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "random": lambda content: os.urandom(len(content)),
    "zeros": _with_zeros,
    "bit": _with_a_bit_flipped,
}


@pytest.mark.parametrize(
    ("kind", "damage"), [("nbi", "truncated"), ("nbi", "bit"), *(("nbc", name) for name in DAMAGE)]
)
def test_a_damaged_cache_is_mended(python, warm_cache, tmp_path, kind, damage):
    cache = _copy_of(warm_cache, tmp_path)
    for path in cache.rglob(f"*.{kind}"):
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert python(PENALTY, NUMBA_CACHE_DIR=str(cache)).split()[0] == warm_cache[1]
    assert python(PENALTY, NUMBA_CACHE_DIR=str(cache)).split() == [warm_cache[1], "1", "0"]


def test_code_in_the_place_of_another_kernels_is_not_run(python, warm_cache, tmp_path):
    cache = _copy_of(warm_cache, tmp_path)
    python(STEP, NUMBA_CACHE_DIR=str(cache))
    (one,), (other,) = (list(cache.rglob(f"*.{name}-*.nbc")) for name in ("penalise", "step"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert python(PENALTY, NUMBA_CACHE_DIR=str(cache)).split() == [warm_cache[1], "0", "1"]
    assert python(STEP, NUMBA_CACHE_DIR=str(cache)).split() == ["-0.5", "0", "1"]
    assert python(PENALTY, NUMBA_CACHE_DIR=str(cache)).split() == [warm_cache[1], "1", "0"]


def test_code_that_an_index_gives_a_wrong_place_is_not_run(tmp_path):
    """Two processes that save at once both take the first number; one's index stays."""
    files = cache_module._CheckedFiles(str(tmp_path), "kernel", "stamp")
    files.save("float64", "its code")
    assert files.load("float64") == "its code"
    files._save_index({"float32": "kernel.1.nbc"})
    assert files.load("float32") is None
    files.save("float32", "other code")
    assert files.load("float32") == "other code"


def test_a_full_disk_means_one_warning_and_a_result(python, tmp_path):
    """A limit on the size of files stands in for it."""
    code = f"""
import resource, signal, sys
sys.stderr = sys.stdout
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
{PENALTY}
"""
    output = python(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert output.count("RuntimeWarning: fastbp keeps no compiled code") == 1
    assert "Make room" in output
    assert not list(tmp_path.rglob("*.nbc"))


def test_an_edit_after_the_import_is_not_taken_for_the_code_imported(python, tmp_path):
    package = tmp_path / "edited" / "fastbp"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(package.parent)}
    edit = f"""
import sys, pathlib
sys.stderr = sys.stdout
import fastbp
source = pathlib.Path({str(package / "model" / "update_rules.py")!r})
text = source.read_text()
assert "return w - rate * g, u, v" in text
source.write_text(text.replace("return w - rate * g, u, v", "return w - 3 * rate * g, u, v"))
{STEP}
"""
    output = python(edit, **environment)
    assert "update_rules.py has changed since fastbp was imported. Restart Python." in output
    assert "-0.5 0 1" in output
    assert python(STEP, **environment).split() == ["-1.5", "0", "1"]


def test_editing_a_file_gives_fresh_code(python, tmp_path):
    """In another file than the kernel's, which numba's own cache does not look at."""
    package = tmp_path / "edited" / "fastbp"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(package.parent)}
    assert python(STEP, **environment).split() == ["-0.5", "0", "1"]
    assert python(STEP, **environment).split() == ["-0.5", "1", "0"]
    source = package / "model" / "update_rules.py"
    text = source.read_text()
    assert "return w - rate * g, u, v" in text
    source.write_text(text.replace("return w - rate * g, u, v", "return w - 3 * rate * g, u, v"))
    assert python(STEP, **environment).split() == ["-1.5", "0", "1"]


def test_other_compiler_settings_have_code_of_their_own(python, warm_cache, tmp_path):
    cache = _copy_of(warm_cache, tmp_path)
    for setting in ({"NUMBA_CPU_NAME": "generic"}, {"NUMBA_BOUNDSCHECK": "1"}):
        penalty, hits, _ = python(PENALTY, NUMBA_CACHE_DIR=str(cache), **setting).split()
        assert hits == "0"
        assert float(penalty) == pytest.approx(float(warm_cache[1]), rel=1e-12)


def test_no_place_for_a_cache_means_one_warning_and_a_result(python, warm_cache, tmp_path):
    a_file = tmp_path / "file"
    a_file.touch()
    code = f"import sys; sys.stderr = sys.stdout\n{PENALTY}"
    output = python(code, NUMBA_CACHE_DIR=str(a_file))
    assert output.count("RuntimeWarning: fastbp keeps no compiled code") == 1
    assert warm_cache[1] in output


@POSIX
def test_a_home_that_cannot_be_written_to_means_one_warning_and_a_result(
    python, warm_cache, tmp_path
):
    a_file = tmp_path / "home"
    a_file.touch()
    places = {"HOME": str(a_file), "XDG_CACHE_HOME": None, "NUMBA_CACHE_DIR": None}
    code = f"import sys; sys.stderr = sys.stdout\n{PENALTY}"
    output = python(code, PYTHONDONTWRITEBYTECODE="1", **places)
    assert output.count("RuntimeWarning: fastbp keeps no compiled code") == 1
    assert warm_cache[1] in output


@POSIX
def test_a_cache_that_others_can_write_is_refused(python, warm_cache, tmp_path):
    cache = _copy_of(warm_cache, tmp_path)
    (cache / "fastbp").chmod(0o777)
    output = python(f"import sys; sys.stderr = sys.stdout\n{PENALTY}", NUMBA_CACHE_DIR=str(cache))
    assert "can be written by others" in output
    assert f"{warm_cache[1]} 0 " in output


@POSIX
@pytest.mark.parametrize(("mode", "is_used"), [(0o777, False), (0o1777, True)])
def test_a_cache_among_files_of_others_needs_the_sticky_bit(python, tmp_path, mode, is_used):
    tmp_path.chmod(mode)
    code = "from fastbp.machine.cache import cache_directory; print(cache_directory())"
    output = python(f"import sys; sys.stderr = sys.stdout\n{code}", NUMBA_CACHE_DIR=str(tmp_path))
    assert ("can be written by others" in output) is not is_used
    assert (str(tmp_path / "fastbp") + "/" in output) is is_used


@POSIX
@pytest.mark.skipif(
    os.name == "posix" and os.geteuid() != 0, reason="only root can give files away"
)
def test_a_cache_of_another_user_is_refused(python, warm_cache, tmp_path):
    cache = _copy_of(warm_cache, tmp_path)
    for path in (cache / "fastbp").iterdir():
        os.chown(path, 12345, 12345)
    output = python(f"import sys; sys.stderr = sys.stdout\n{PENALTY}", NUMBA_CACHE_DIR=str(cache))
    assert "belongs to another user" in output
    assert f"{warm_cache[1]} 0 " in output


def test_old_versions_are_pruned_and_nothing_else(python, warm_cache, tmp_path):
    """The folder may be a user's own, where NUMBA_CACHE_DIR is the parent of one called fastbp."""
    cache = _copy_of(warm_cache, tmp_path)
    (current,) = (cache / "fastbp").iterdir()

    def make(name, age, marker=True):
        old = cache / "fastbp" / name
        old.mkdir()
        (old / "kernel.nbc").touch()
        if marker:
            (old / "fastbp-cache").touch()
        os.utime(old, (time.time() - 1e5 * age,) * 2)
        return name

    ours = [make(f"{age:024x}", age) for age in range(1, 12)]
    theirs = [make(name, 30) for name in (".git", "docs", "0" * 23, "x" * 24)]
    theirs.append(make("f" * 24, 40, marker=False))
    (cache / "fastbp" / "README.md").touch()
    if os.name == "posix":
        outside = cache / ("e" * 24)
        outside.mkdir()
        (outside / "fastbp-cache").touch()
        os.utime(outside, (time.time() - 1e7,) * 2)
        link = cache / "fastbp" / ("e" * 24)
        link.symlink_to(outside)
        theirs.append(link.name)
    python(PENALTY, NUMBA_CACHE_DIR=str(cache))
    left = sorted(path.name for path in (cache / "fastbp").iterdir())
    assert left == sorted([current.name, *ours[:7], *theirs, "README.md"])
    assert all((cache / "fastbp" / name).exists() for name in theirs)


@POSIX
def test_versions_that_another_process_prunes_are_no_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "_is_ours", lambda path: True)
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")  # listed, and then not there
    (tmp_path / "current").mkdir()
    cache_module._prune(tmp_path)
    assert (tmp_path / "current").exists()


def test_the_users_own_numba_code_keeps_its_own_cache(python, warm_cache, tmp_path):
    (tmp_path / "own.py").write_text(
        "import numba\n@numba.njit(cache=True)\ndef twice(x):\n    return 2 * x\n"
    )
    code = f"{PENALTY}\nimport sys; sys.path.insert(0, '.')\nimport own; own.twice(1)"
    python(code, XDG_CACHE_HOME=str(tmp_path / "xdg"))
    assert list((tmp_path / "__pycache__").glob("own.twice*.nbi"))


def test_it_runs_from_a_zip_file(python, tmp_path):
    archive = tmp_path / "fastbp.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for source in PACKAGE.rglob("*.py"):
            file.write(source, source.relative_to(PACKAGE.parent))
    code = f"import fastbp; print('.zip' in fastbp.__file__)\n{PENALTY}"
    environment = {"PYTHONPATH": str(archive), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert python(code, **environment).split()[::2] == ["True", "0"]
    assert python(code, **environment).split()[2] == "1"


def test_without_a_compiler_it_is_plain_python(python):
    code = """
import numpy as np, warnings
warnings.simplefilter("ignore")
from fastbp import BackpropRegressor
X = np.random.RandomState(0).standard_normal((30, 2)); y = X.sum(axis=1)
for parameters in ({"batch_size": "online", "solver": "sgd"}, {}, {"solver": "lbfgs"}):
    net = BackpropRegressor("squared_error", (3,), "tanh", max_iter=3, random_state=0, **parameters)
    print(net.fit(X, y).predict(X)[0])
"""
    plain = [float(line) for line in python(code, NUMBA_DISABLE_JIT="1").split()]
    compiled = [float(line) for line in python(code).split()]
    assert plain == pytest.approx(compiled, rel=1e-10)


# Kernels of both modes, with what a chip has instructions of its own for: division, roots, exp.
KERNELS = """
import numpy as np, warnings
warnings.simplefilter("ignore")
from fastbp import BackpropRegressor
X = np.random.RandomState(0).standard_normal((300, 5))
y = np.tanh(X.sum(axis=1))
for parameters in (
    {"solver": "sgd", "batch_size": 1},
    {"solver": "sgd", "batch_size": 1, "momentum": 0, "alpha": 0.1},
    {"solver": "adam", "batch_size": 1},
    {"solver": "adam", "batch_size": 20},
):
    net = BackpropRegressor("squared_error", (9, 4), "tanh", max_iter=3, random_state=0)
    net.set_params(**parameters).fit(X, y)
    for number in (net.loss_, *net.predict(X[:9]), net.predict_one(X[0]), *net.coefs_[0].ravel()):
        print(float(number).hex())
"""


def test_a_chip_without_wide_vectors_gives_the_same_numbers(python, tmp_path):
    cache = str(tmp_path / "cache")
    narrow = python(KERNELS, NUMBA_CPU_NAME="generic", NUMBA_CACHE_DIR=cache)
    usual = python(KERNELS)
    narrow, usual = ([float.fromhex(line) for line in out.split()] for out in (narrow, usual))
    assert len(usual) == 4 * (1 + 9 + 1 + 5 * 9)
    assert narrow == pytest.approx(usual, rel=1e-9, abs=1e-12)


def test_parts_compiled_in_numbas_usual_way_give_the_same_bits(python, tmp_path):
    forced = "import fastbp.machine.compiler as compiler\ncompiler.PIPELINE = None\n"
    check = "from fastbp.machine.jit import OPTIONS\nassert 'pipeline_class' not in OPTIONS\n"
    code = f"{forced}{check}{KERNELS}"
    usual_way = python(code, timeout=500, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert usual_way == python(KERNELS)


def test_numbas_options_are_chosen_in_one_place():
    from fastbp.machine.jit import OPTIONS

    names = r"\b(njit|jit|register_jitable|fastmath|parallel|error_model|nogil)\b"
    for path in PACKAGE.rglob("*.py"):
        uses = re.findall(rf"^(?!.*``).*{names}\s*[=(](?!False)", path.read_text(), re.M)
        # One place for the CPU's, one for the GPU's.
        assert not uses or path.name in ("jit.py", "gpu_kernels.py"), (path.name, uses)
    # No reordering of sums, and NaN and infinity are what they are.
    assert OPTIONS["fastmath"] == {"contract"}


TRAIN = """
import sys, warnings, numpy as np
from fastbp import BackpropRegressor
warnings.simplefilter("ignore")
X = np.random.RandomState(0).standard_normal((60, 5))
RULES = {"plain": {"momentum": 0}, "momentum": {"nesterovs_momentum": False}, "nesterov": {},
         "adam": {"solver": "adam"}}
for name in sys.argv[1:]:
    parameters = {"solver": "sgd", "batch_size": "online"} | RULES[name]
    net = BackpropRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0, **parameters)
    print(name, net.fit(X, np.tanh(X.sum(axis=1))).coefs_[0].sum())
"""


@pytest.mark.slow
def test_kernels_that_several_processes_have_compiled_are_told_apart(python, tmp_path):
    """Numba numbers functions in each process anew, so that their names may be the same."""

    def train(*names):
        return python(TRAIN, arguments=names, NUMBA_CACHE_DIR=str(tmp_path)).splitlines()

    names = ["adam", "plain", "nesterov", "momentum"]
    alone = [line for name in names for line in train(name)]
    assert train(*names) == alone
    assert train(*reversed(names)) == alone[::-1]
