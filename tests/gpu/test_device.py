"""Which device computes, and what is said where there is no GPU; what needs none of its parts.

No test here runs anything on a GPU.
"""

import pickle
import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

import fastbp
from fastbp import BackpropRegressor
from fastbp.backends import device

PACKAGE = Path(fastbp.__file__).parent
needs_numba_cuda = pytest.mark.skipif(
    find_spec("numba_cuda") is None, reason="numba-cuda is not installed"
)
SHORT = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def _net(**parameters):
    defaults = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0}
    return BackpropRegressor(**defaults | parameters)


def _bits(net):
    return b"".join(array.tobytes() for array in (*net.coefs_, *net.intercepts_))


# Where there is no GPU.


@pytest.fixture
def without():
    """Take away a part of what a GPU needs: without("package"), "driver" or "device"."""
    with pytest.MonkeyPatch.context() as patch:

        def take_away(part):
            device.why_no_gpu.cache_clear()
            if part == "package":
                patch.setattr(device, "find_spec", lambda name: None)
                return
            from fastbp.machine import gpu

            class Gpus:
                def __iter__(self):
                    if part == "driver":
                        raise RuntimeError("Error at driver init: no such\n  library")
                    return iter(())

            patch.setattr(gpu, "numba_cuda", SimpleNamespace(gpus=Gpus()))

        yield take_away
    device.why_no_gpu.cache_clear()


PARTS = {
    "package": r"the package numba-cuda is not installed.*pip install 'fastbp\[cuda13\]'",
    "driver": r"the NVIDIA driver did not start \(Error at driver init: no such library\)"
    r".*Install a driver.*nvidia-smi",
    "device": "there is no NVIDIA GPU that this process can see.*CUDA_VISIBLE_DEVICES",
}
EVERY_PART = pytest.mark.parametrize(
    "part",
    ["package", *(pytest.param(part, marks=needs_numba_cuda) for part in ("driver", "device"))],
)
SOLVERS = [
    {"solver": "sgd", "batch_size": 1},
    {"solver": "adam", "batch_size": 16},
    {"solver": "lbfgs"},
]
EVERY_SOLVER = pytest.mark.parametrize("parameters", SOLVERS, ids=str)


@EVERY_PART
@EVERY_SOLVER
def test_the_gpu_asked_for_in_vain_says_what_is_missing(part, parameters, without, problem):
    without(part)
    with pytest.raises(RuntimeError, match="device='cuda' needs a GPU, but") as refusal:
        _net(device="cuda", **parameters).fit(*problem())
    assert re.search(PARTS[part], str(refusal.value))
    assert "device='auto' takes the CPU" in str(refusal.value)
    assert ".." not in str(refusal.value)
    assert not device.has_gpu()


@EVERY_PART
@EVERY_SOLVER
@SHORT
def test_auto_is_the_cpu_to_the_last_bit(part, parameters, without, problem):
    without(part)
    X, y = problem()
    nets = [_net(device=name, **parameters).fit(X, y) for name in ("cpu", "auto")]
    assert _bits(nets[0]) == _bits(nets[1])
    assert nets[0].loss_curve_ == nets[1].loss_curve_
    assert device.resolve("auto") == device.resolve("cpu") == "cpu"


@pytest.mark.subprocess
def test_without_the_package_all_but_the_gpu_works(python):
    """`fastbp.backends.gpu.kernels` cannot be imported there, and nothing tries to."""
    code = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numba_cuda", "cuda") or name.startswith("numba.cuda"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nothing())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "numba_cuda" else real(name, *rest)
import numpy as np, warnings
warnings.simplefilter("ignore")
import fastbp
from fastbp import BackpropRegressor
from fastbp.backends import device
X = np.random.RandomState(0).standard_normal((50, 3)); y = X.sum(axis=1)
nets = [BackpropRegressor("squared_error", (5,), max_iter=3, random_state=0, device=name).fit(X, y)
        for name in ("cpu", "auto")]
assert (nets[0].coefs_[0] == nets[1].coefs_[0]).all()
try:
    BackpropRegressor("squared_error", (5,), max_iter=3, device="cuda").fit(X, y)
except RuntimeError as error:
    print(error)
"""
    assert re.search(PARTS["package"], python(code))


@pytest.mark.subprocess
def test_the_cpu_imports_nothing_of_the_gpu(python):
    """Neither at import nor in a fit; numba itself imports what it will."""
    code = """
import sys
import numba
def of_gpu():
    names = ("numba.cuda", "numba_cuda", "cuda", "fastbp.backends.gpu", "fastbp.machine.gpu",
             "fastbp.machine.gpu_kernels", "fastbp.machine.elementary_gpu")
    return {each for each in sys.modules if any((each + ".").startswith(n + ".") for n in names)}
before = of_gpu()
import fastbp
imported = of_gpu() - before
import numpy as np, warnings
warnings.simplefilter("ignore")
from fastbp import BackpropRegressor, BackpropSearchCV, fit_many
X = np.random.RandomState(0).standard_normal((50, 3)); y = X.sum(axis=1)
net = BackpropRegressor("squared_error", (5,), max_iter=3, random_state=0)
for solver in ("adam", "lbfgs", "lm"):
    net.set_params(solver=solver).fit(X, y).predict(X)
net.set_params(solver="sgd", early_stopping=True).fit(X, y)
fit_many(X, y, [{}, {"alpha": 1}], estimator=net)
BackpropSearchCV(net, {"alpha": [0, 1]}, cv=2).fit(X, y)
print(sorted(imported), sorted(of_gpu() - before))
"""
    assert python(code).strip() == "[] []"


def test_three_files_alone_know_numbas_cuda():
    knowing = {
        source.relative_to(PACKAGE).as_posix()
        for source in PACKAGE.rglob("*.py")
        if re.search(
            r"numba\.cuda|from numba import .*cuda|^\s*(import|from) (numba_cuda|cuda)\b",
            source.read_text(),
            re.MULTILINE,
        )
    }
    assert knowing == {"machine/elementary_gpu.py", "machine/gpu.py", "machine/gpu_kernels.py"}


def test_two_modules_alone_know_where_the_kernels_are_launched():
    """So that a call of the shim that changes is a change there."""
    launching = {
        source.relative_to(PACKAGE).as_posix()
        for source in PACKAGE.rglob("*.py")
        if re.search(r"gpu\.launch\(", source.read_text())
    }
    assert launching == {"backends/gpu/full_pass.py", "backends/gpu/launches.py"}


# The parameter.


@pytest.mark.parametrize("name", ["gpu", "CUDA", "cuda:0", None, 0, True])
def test_another_device_is_a_wrong_parameter(name, problem):
    with pytest.raises(InvalidParameterError, match="'device' parameter.*'cpu'"):
        _net(device=name).fit(*problem())


@SHORT
def test_lm_is_for_the_cpu_and_auto_takes_it(without, problem):
    without("package")
    X, y = problem()
    with pytest.raises(ValueError, match=r"solver='lm'.*device='cuda'.*device='cpu' or 'auto'"):
        _net(solver="lm", device="cuda").fit(X, y)
    cpu, auto = (_net(solver="lm", device=name, tol=10.0).fit(X, y) for name in ("cpu", "auto"))
    assert _bits(cpu) == _bits(auto)


@SHORT
def test_lm_with_auto_is_on_the_cpu_even_where_there_is_a_gpu(problem, monkeypatch):
    monkeypatch.setattr("fastbp.training.task.resolve", lambda name: "cuda")
    X, y = problem()
    cpu, auto = (_net(solver="lm", device=name, tol=10.0).fit(X, y) for name in ("cpu", "auto"))
    assert _bits(cpu) == _bits(auto)


@pytest.mark.parametrize("parameters", [*SOLVERS, {"solver": "lm"}], ids=str)
@pytest.mark.parametrize("is_fitted", [False, True])
@SHORT
def test_an_estimator_is_unchanged_after_such_an_error(parameters, is_fitted, without, problem):
    without("package")
    X, y = problem()
    net = _net(**parameters)
    if is_fitted:
        net.fit(X, y)
    net.set_params(device="cuda")
    before = pickle.dumps(net.__dict__)
    with pytest.raises((RuntimeError, ValueError), match="device='cuda'"):
        net.fit(X[:, :3], y)
    assert pickle.dumps(net.__dict__) == before


@pytest.mark.parametrize("name", device.DEVICES)
def test_the_device_is_a_parameter_like_others(name):
    net = _net(device=name)
    assert net.get_params()["device"] == name
    assert clone(net).device == name
    assert pickle.loads(pickle.dumps(net)).device == name
    assert BackpropRegressor().device == "cpu"
    assert f"device='{name}'" in repr(net) or name == "cpu"


@SHORT
def test_a_net_said_to_be_for_the_gpu_predicts_without_one(without, problem):
    """So a model that was trained on a machine with a GPU is of use on one without."""
    without("package")
    X, y = problem()
    net = _net(tol=10.0).fit(X, y)
    expected = net.predict(X)
    moved = pickle.loads(pickle.dumps(net.set_params(device="cuda")))
    np.testing.assert_array_equal(moved.predict(X), expected)
