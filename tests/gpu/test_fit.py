"""Fits on the GPU against the same fits on the CPU, and what goes wrong on a device."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import KFold

from fastbp import BackpropRegressor, BackpropSearchCV, fit_many
from fastbp.backends.device import has_gpu, why_no_gpu

if not has_gpu():
    pytest.skip(f"needs a GPU or its simulator: {why_no_gpu()}", allow_module_level=True)

from fastbp.backends.gpu import fleet, row_orders
from fastbp.machine import gpu
from helpers.gpu_cases import NUMPY_MAY_WARN, assert_close, assert_same_fit
from helpers.own_records import CUBED, GAUSS, MY_TANH

pytestmark = [
    pytest.mark.gpu,
    NUMPY_MAY_WARN,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

#: scg takes differences of gradients that are next to each other, which have fewer digits.
BATCH_SOLVERS = ["lbfgs", "bfgs", "cg", "scg", "rprop", "gd"]
SMALL = {
    "hidden_layer_sizes": (4,),
    "activation": "tanh",
    "alpha": 0.05,
    "learning_rate_init": 0.02,
    "random_state": 3,
    "max_iter": 3,
}


def _nets(**parameters):
    """The same network for both devices: on the CPU, on the GPU."""
    net = BackpropRegressor(**SMALL | parameters)
    return net, clone(net).set_params(device="cuda")


def _fit_both(X, y, sample_weight=None, validation=None, **parameters):
    nets = _nets(**parameters)
    for net in nets:
        net.fit(X, y, sample_weight, **validation or {})
    return nets


@pytest.fixture
def xy(problem):
    return problem(14, 3)


# Own records.


@pytest.mark.parametrize("batch_size", ["online", 5])
def test_own_activations_and_losses(batch_size, xy):
    own = {"activation": GAUSS, "loss": CUBED, "output_activation": MY_TANH}
    assert_same_fit(*_fit_both(*xy, solver="sgd", batch_size=batch_size, **own))


def test_a_fleet_of_own_and_built_in_activations(xy):
    grid = [{"activation": each} for each in (GAUSS, "tanh", MY_TANH)]
    estimator = BackpropRegressor(**SMALL, device="cuda")
    own, built_in, same = fit_many(*xy, grid, estimator=estimator)
    assert_close(same.coefs_[0], built_in.coefs_[0], 1e-10)
    assert_same_fit(clone(own).set_params(device="cpu").fit(*xy), own)


# Solvers.


@pytest.mark.parametrize("batch_size", ["online", 5, "full"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
def test_sgd_and_adam(dtype, solver, batch_size, problem):
    X, y = problem(14, 3, 2, dtype)
    tolerance = 1e-10 if dtype == np.float64 else 1e-3
    weights = np.linspace(0, 2, 14)
    nets = _fit_both(X, y, weights, solver=solver, batch_size=batch_size)
    assert_same_fit(*nets, tolerance)


@pytest.mark.parametrize("solver", BATCH_SOLVERS)
def test_batch_solvers(solver, problem):
    X, y = problem(14, 3, 2)
    weights = np.linspace(0, 2, 14)
    nets = _fit_both(X, y, weights, solver=solver, max_iter=5)
    assert_same_fit(*nets, 1e-7 if solver == "scg" else 1e-10)


@pytest.mark.parametrize("solver", BATCH_SOLVERS)
def test_batch_solvers_in_float32(solver, problem):
    X, y = problem(14, 3, 1, np.float32)
    nets = _fit_both(X, y, solver=solver)
    assert_same_fit(*nets, 1e-2 if solver == "scg" else 1e-3)


@pytest.mark.parametrize("parameters", [
    {"solver": "sgd", "batch_size": "online"},
    {"solver": "adam", "batch_size": 6, "hidden_layer_sizes": (5, 9)},
    {"solver": "lbfgs", "hidden_layer_sizes": ()},
    {"solver": "adam", "output_activation": "softplus", "activation": "silu", "batch_size": 3},
])  # fmt: skip
def test_poisson_regression(parameters, problem):
    X, y = problem(14, 3, positive=True)
    assert_same_fit(*_fit_both(X, y, loss="poisson", **parameters))


@pytest.mark.parametrize("parameters", [
    {"solver": "sgd", "momentum": 0.0, "batch_size": "online"},
    {"solver": "sgd", "nesterovs_momentum": False, "batch_size": 4},
    {"solver": "adam", "beta_1": 0.5, "epsilon": 0.1, "batch_size": "online"},
    {"solver": "sgd", "shuffle": False, "batch_size": 4, "n_iter_no_change": np.inf},
    {"solver": "adam", "alpha": 0.0, "hidden_layer_sizes": (), "batch_size": 9},
    {"solver": "sgd", "hidden_layer_sizes": (3, 5, 2), "activation": "leaky_relu"},
])  # fmt: skip
def test_parameters_of_the_rules(parameters, xy):
    assert_same_fit(*_fit_both(*xy, **parameters))


@pytest.mark.parametrize("batch_size", ["online", 5])
def test_sparse_inputs(batch_size, xy):
    X, y = xy
    X[np.abs(X) < 0.7] = 0
    dense, _ = _fit_both(X, y, solver="adam", batch_size=batch_size)
    _, on_device = _fit_both(sparse.csr_matrix(X), y, solver="adam", batch_size=batch_size)
    assert_same_fit(dense, on_device)


# Schedules and ends.


@pytest.mark.parametrize("batch_size", ["online", 5])
@pytest.mark.parametrize(("schedule", "stop_reason"), [
    ("invscaling", "tolerance"), ("adaptive", "learning_rate"), ("constant", "tolerance"),
])  # fmt: skip
def test_schedules(schedule, stop_reason, batch_size, xy):
    """No epoch is better than the last by so much; the adaptive rate falls until it is least."""
    nets = _fit_both(
        *xy, solver="sgd", learning_rate=schedule, batch_size=batch_size, tol=10.0, max_iter=30,
        n_iter_no_change=1, learning_rate_init=1e-4,
    )  # fmt: skip
    assert_same_fit(*nets)
    assert nets[1].stop_reason_ == stop_reason


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_max_iter_warns(solver, xy):
    from sklearn.exceptions import ConvergenceWarning

    _, net = _nets(solver=solver, max_iter=1)
    with pytest.warns(ConvergenceWarning, match="max_iter=1 iterations") as caught:
        net.fit(*xy)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("solver", ["sgd", "rprop"])
def test_loss_goal_gtol_and_max_time(solver, xy):
    full = BackpropRegressor(**SMALL | {"solver": solver, "max_iter": 5, "gtol": 0.0}).fit(*xy)
    for limit, stop_reason in (
        ({"loss_goal": full.loss_curve_[2] * (1 + 1e-6)}, "goal"),
        ({"gtol": min(full.gradient_norm_curve_[:3]) * (1 + 1e-6)}, "gradient_norm"),
        ({"max_time": 0}, "time"),
    ):
        nets = _fit_both(*xy, solver=solver, max_iter=5, **limit)
        assert_same_fit(*nets)
        assert nets[1].stop_reason_ == stop_reason
        assert nets[1].n_iter_ < 5


@pytest.mark.parametrize("parameters", [
    {"solver": "sgd", "batch_size": "online"},
    {"solver": "adam", "batch_size": 5, "n_init": 2},
    {"solver": "rprop", "gtol": 0.0},
])  # fmt: skip
def test_early_stopping_on_rows_set_aside(parameters, xy):
    nets = _fit_both(
        *xy, early_stopping=True, validation_fraction=0.3, n_iter_no_change=1, tol=0.5,
        max_iter=8, **parameters,
    )  # fmt: skip
    assert_same_fit(*nets)
    assert nets[1].stop_reason_ == "validation"


@pytest.mark.parametrize("parameters", [
    {"solver": "sgd", "batch_size": "online"},
    {"solver": "adam", "batch_size": 5},
    {"solver": "rprop"},
])  # fmt: skip
def test_early_stopping_on_rows_of_ones_own(parameters, problem):
    X, y = problem(20, 3)
    validation = {"X_val": X[12:], "y_val": -y[12:], "sample_weight_val": np.arange(8.0)}
    nets = _fit_both(
        X[:12], y[:12], validation=validation, early_stopping="GL5", max_iter=16, **parameters
    )
    assert_same_fit(*nets)
    assert nets[1].stop_reason_ == "validation"


def test_verbose_prints_the_same_lines(xy, capsys):
    for parameters in ({"solver": "adam", "tol": 10.0, "n_iter_no_change": 1}, {"solver": "scg"}):
        lines = []
        for net in _nets(verbose=True, **parameters):
            net.fit(*xy)
            lines.append(capsys.readouterr().out)
        assert lines[0] == lines[1] != ""


# Several starts, several calls.


@pytest.mark.parametrize("parameters", [
    {"solver": "sgd", "batch_size": "online"}, {"solver": "adam", "batch_size": 6},
    {"solver": "lbfgs"},
])  # fmt: skip
def test_several_starts(parameters, xy):
    nets = _fit_both(*xy, n_init=3, **parameters)
    assert_same_fit(*nets)
    assert nets[1].init_losses_.shape == (3,)


@pytest.mark.parametrize("parameters", [
    {"solver": "sgd", "batch_size": "online"}, {"solver": "adam", "batch_size": 6},
    {"solver": "rprop"},
])  # fmt: skip
def test_warm_start(parameters, xy):
    cpu, mixed = _nets(warm_start=True, **parameters)
    for device in ("cuda", "cpu", "cuda"):
        cpu.fit(*xy)
        mixed.set_params(device=device).fit(*xy)
        assert_same_fit(cpu, mixed)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("batch_size", ["online", 6])
def test_partial_fit_with_a_change_of_device(solver, batch_size, xy):
    """The moments go from one device to the other."""
    X, y = xy
    cpu, mixed = _nets(solver=solver, batch_size=batch_size, random_state=None)
    for net in (cpu, mixed):
        net.set_params(random_state=np.random.RandomState(1))
    for i, device in enumerate(["cuda", "cuda", "cpu", "cuda"]):
        part = slice(2 * i, 2 * i + 7)
        cpu.partial_fit(X[part], y[part])
        mixed.set_params(device=device).partial_fit(X[part], y[part])
        assert_same_fit(cpu, mixed)
    assert mixed.t_ == 28
    assert cpu.random_state.randint(2**31) == mixed.random_state.randint(2**31)
    if batch_size == "online":
        for net in (cpu, mixed):
            for x, target in zip(X[:3], y[:3], strict=True):
                net.learn_one(x, target)
        assert_close(mixed.coefs_[0], cpu.coefs_[0], 1e-10)


@pytest.mark.parametrize("maker", [np.random.MT19937, np.random.PCG64])
@pytest.mark.parametrize("parameters", [
    {"n_init": 2}, {"batch_size": "online"},
    {"tol": 10.0, "n_iter_no_change": 1, "max_iter": 9, "batch_size": 5},
])  # fmt: skip
def test_a_generator_of_ones_own_is_left_where_the_cpu_leaves_it(parameters, maker, xy):
    """Also where training ends early, and where kernels cannot draw from it (PCG64)."""
    draws = []
    for net in _nets(solver="adam", **parameters):
        random_state = np.random.RandomState(maker(7))
        net.set_params(random_state=random_state).fit(*xy)
        draws.append((net.n_iter_, random_state.randint(2**31)))
    assert draws[0] == draws[1]


# Devices.


def test_auto_is_the_gpu_where_there_is_one(xy, monkeypatch):
    _, on_device = _fit_both(*xy, solver="adam")
    net = clone(on_device).set_params(device="auto").fit(*xy)
    for ours, theirs in zip(net.coefs_, on_device.coefs_, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert clone(net).set_params(solver="lm").fit(*xy).n_iter_ > 0  # on the CPU
    monkeypatch.setattr("fastbp.backends.device.why_no_gpu", lambda: "there is none, in this test")
    monkeypatch.setattr(gpu, "launch", None)
    assert clone(net).fit(*xy).n_iter_ == 3
    for solver in ("adam", "lbfgs"):
        with pytest.raises(RuntimeError, match="there is none, in this test"):
            clone(on_device).set_params(solver=solver).fit(*xy)


def test_levenberg_marquardt_is_not_for_the_gpu(xy):
    _, net = _nets(solver="lm")
    with pytest.raises(ValueError, match="on the CPU alone"):
        net.fit(*xy)


@pytest.mark.subprocess
def test_a_model_trained_on_the_gpu_predicts_where_there_is_none(xy, python, tmp_path):
    X, _ = xy
    _, net = _fit_both(*xy, solver="adam")
    (tmp_path / "model").write_bytes(pickle.dumps(net))
    np.save(tmp_path / "X.npy", X)
    code = """
import pickle, sys
import numpy as np
with open("model", "rb") as file:
    net = pickle.load(file)
np.save("prediction.npy", net.predict(np.load("X.npy")))
assert net.device == "cuda"
assert not [name for name in sys.modules if name.startswith("fastbp.backends.gpu.kernels")]
assert "fastbp.machine.gpu" not in sys.modules
net.set_params(device="auto").fit(np.load("X.npy"), np.arange(14.0))
assert "fastbp.backends.gpu.kernels" not in sys.modules
try:
    net.set_params(device="cuda").fit(np.load("X.npy"), np.arange(14.0))
except RuntimeError as error:
    print(error)
"""
    out = python(code, NUMBA_ENABLE_CUDASIM=None, CUDA_VISIBLE_DEVICES="")
    np.testing.assert_array_equal(np.load(tmp_path / "prediction.npy"), net.predict(X))
    assert "device='cuda' needs a GPU, but" in out


# What goes wrong.


@pytest.mark.parametrize("parameters", [
    {"solver": "sgd", "batch_size": "online"}, {"solver": "sgd", "batch_size": 5},
    {"solver": "sgd", "batch_size": 5, "n_init": 2},
])  # fmt: skip
def test_a_diverging_training_leaves_the_estimator_as_it_was(parameters, xy):
    _, net = _fit_both(*xy, **parameters)
    net.set_params(learning_rate_init=1e200, activation="relu", max_iter=9)
    before, coefs = dict(vars(net)), [W.copy() for W in net.coefs_]
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        net.fit(*xy)
    assert vars(net).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(net).items())
    np.testing.assert_equal(net.coefs_, coefs)


def _interrupt(monkeypatch, at):
    """Let Ctrl-C come at so many-th launch of a fleet, with an epoch in each."""
    monkeypatch.setattr(row_orders, "_ROWS_OF_A_LAUNCH", 1)
    epochs, calls = fleet.Fleet.epochs, []

    def interrupted(self, plans):
        calls.append(plans)
        if len(calls) == at:
            raise KeyboardInterrupt
        return epochs(self, plans)

    monkeypatch.setattr(fleet.Fleet, "epochs", interrupted)


@pytest.mark.parametrize("parameters", [
    {"solver": "sgd", "batch_size": "online"}, {"solver": "adam", "batch_size": 5},
    {"solver": "adam", "batch_size": 5, "n_init": 2},
])  # fmt: skip
def test_an_interrupted_training_keeps_its_weights(parameters, xy, monkeypatch):
    cpu, net = _nets(**parameters)
    cpu.set_params(max_iter=1).fit(*xy)
    with monkeypatch.context() as patch:
        _interrupt(patch, at=2)
        with pytest.warns(UserWarning, match="interrupted by user") as caught:
            net.fit(*xy)
    assert caught[0].filename == __file__
    assert net.stop_reason_ == "interrupted"
    assert net.n_iter_ == 1
    for ours, theirs in zip(net.coefs_, cpu.coefs_, strict=True):
        assert_close(ours, theirs, 1e-10)
    assert_same_fit(*_fit_both(*xy, **parameters))  # and nothing is left of it


def test_interrupted_networks_side_by_side(xy, monkeypatch):
    _interrupt(monkeypatch, at=2)
    _, net = _nets(solver="adam")
    with pytest.raises(KeyboardInterrupt):
        fit_many(*xy, [{"alpha": 0.1}, {"alpha": 0.2}], estimator=net)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("at", [1, 5])
def test_a_full_device_is_a_memory_error(solver, at, xy, monkeypatch):
    cpu, net = _nets(solver=solver)
    to_device, calls = gpu.numba_cuda.to_device, []

    def full(array):
        calls.append(array)
        if len(calls) >= at:
            raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")
        return to_device(array)

    with monkeypatch.context() as patch:
        patch.setattr(gpu.numba_cuda, "to_device", full)
        with pytest.raises(MemoryError, match="GPU has not enough memory left"):
            net.fit(*xy)
        with pytest.raises(MemoryError, match="GPU has not enough memory left"):
            fit_many(*xy, [{}], estimator=net)
        of_two = fit_many(*xy, [{}, {"device": "cpu"}], estimator=net, errors="return")
    assert not hasattr(net, "coefs_")
    assert isinstance(of_two[0], MemoryError)
    assert_same_fit(cpu.fit(*xy), of_two[1])
    assert_same_fit(cpu, net.fit(*xy))


@pytest.mark.subprocess
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_forked_child_is_told_that_it_cannot_use_the_device(solver, python):
    code = f"""
import os, warnings
import numpy as np
from fastbp import BackpropRegressor
warnings.simplefilter("ignore")
X = np.random.default_rng(0).standard_normal((6, 2))
net = BackpropRegressor(hidden_layer_sizes=(2,), solver={solver!r}, max_iter=1, device="cuda")
net.fit(X, X[:, 0])
child = os.fork()
if child == 0:
    try:
        net.fit(X, X[:, 0])
    except RuntimeError as error:
        print(error, flush=True)
        net.set_params(device="cpu").fit(X, X[:, 0])
        os._exit(7)
    os._exit(1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
net.fit(X, X[:, 0])
"""
    assert "CUDA does not live through a fork" in python(code, timeout=120)


def test_two_threads_fit_at_once(problem):
    X, y = problem(8, 3)
    kinds = [
        {"solver": "sgd", "batch_size": "online"}, {"solver": "adam", "batch_size": 3},
        {"solver": "lbfgs"}, {"solver": "adam", "batch_size": "full"},
    ]  # fmt: skip
    pairs = [_nets(**kind) for kind in kinds]
    with ThreadPoolExecutor(2) as pool:
        fitted = list(pool.map(lambda pair: pair[1].fit(X, y), pairs))
    for (cpu, _), net in zip(pairs, fitted, strict=True):
        assert_same_fit(cpu.fit(X, y), net)


# Many networks.


GRID = [
    {"solver": "sgd", "batch_size": "online", "alpha": 1.0},
    {"solver": "sgd", "batch_size": "online", "hidden_layer_sizes": (3, 5), "max_iter": 2},
    {"solver": "sgd", "batch_size": 4, "activation": "relu"},
    {"solver": "sgd", "batch_size": 5, "learning_rate": "invscaling", "hidden_layer_sizes": ()},
    {"solver": "adam", "random_state": 8, "tol": 10.0, "n_iter_no_change": 1, "max_iter": 6},
    {"solver": "adam", "early_stopping": True, "n_init": 2, "validation_fraction": 0.3},
    {"solver": "lbfgs"},
    {"solver": "adam", "device": "cpu"},
]


@pytest.mark.parametrize("has_folds", [False, True], ids=["all rows", "folds"])
def test_many_networks_are_each_what_it_is_alone(has_folds, xy):
    X, y = xy
    weights = np.linspace(0.5, 2, 14)
    cpu, net = _nets()
    folds = [np.arange(10), np.arange(3, 14)] if has_folds else None
    grid = GRID[::2] if has_folds else GRID
    many = fit_many(X, y, grid, folds, estimator=net, sample_weight=weights)
    for parameters, fitted in zip(grid, many, strict=True):
        alone = clone(cpu).set_params(**parameters | {"device": "cpu"})
        of_folds = fitted if has_folds else [fitted]
        for rows, each in zip(folds or [slice(None)], of_folds, strict=True):
            assert_same_fit(alone.fit(X[rows], y[rows], weights[rows]), each)


def test_one_of_many_networks_that_diverges(xy):
    cpu, net = _nets(solver="sgd", batch_size=4, activation="relu")
    grid = [{}, {"learning_rate_init": 1e200, "max_iter": 9}, {"alpha": 2.0}]
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        fit_many(*xy, grid, estimator=net)
    first, error, last = fit_many(*xy, grid, estimator=net, errors="return")
    assert isinstance(error, ValueError)
    for parameters, fitted in ((grid[0], first), (grid[2], last)):
        assert_same_fit(clone(cpu).set_params(**parameters).fit(*xy), fitted)


@pytest.mark.parametrize("parameters", [
    {"solver": "sgd", "batch_size": "online"}, {"solver": "adam", "batch_size": 4},
])  # fmt: skip
def test_a_search_finds_what_it_finds_on_the_cpu(parameters, xy):
    grid = {"alpha": [0.01, 3.0], "hidden_layer_sizes": [(2,), (4, 3)]}
    cpu, on_device = (
        BackpropSearchCV(net, grid, cv=KFold(2)).fit(*xy) for net in _nets(**parameters)
    )
    assert on_device.best_params_ == cpu.best_params_
    np.testing.assert_allclose(
        on_device.cv_results_["mean_test_score"], cpu.cv_results_["mean_test_score"], rtol=1e-8
    )
    assert_same_fit(cpu.best_estimator_, on_device.best_estimator_)
    assert_close(on_device.predict(xy[0]), cpu.predict(xy[0]), 1e-9)
