"""What a fit leaves behind and how it ends: curves, restarts, interruptions, odd data."""

import copy
import itertools
import pickle
import threading
import warnings
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from joblib import parallel_config
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV

from fastbp import BackpropRegressor, Network, Objective, loss_and_gradient
from fastbp.backends.cpu.epochs import CpuRun
from fastbp.model.data import as_data
from fastbp.model.update_rules import Moments, sgd
from fastbp.solvers.stopping import StopReason
from fastbp.training import fit as training
from helpers.cases import BATCH_SOLVERS, STOCHASTIC_SOLVERS
from helpers.guards import DTYPES
from helpers.runs import NO_SHUFFLES

STOCHASTIC = {
    f"{solver}-{batch_size}": {"solver": solver, "batch_size": batch_size}
    for solver in STOCHASTIC_SOLVERS
    for batch_size in ("online", 16, "full")
}
BATCH = {solver: {"solver": solver} for solver in BATCH_SOLVERS}
MODES = STOCHASTIC | BATCH
#: One for each solver.
SOLVERS = {solver: {"solver": solver} for solver in (*STOCHASTIC_SOLVERS, *BATCH_SOLVERS)}
EVERY_MODE = pytest.mark.parametrize("mode", MODES)
EVERY_STOCHASTIC_MODE = pytest.mark.parametrize("mode", STOCHASTIC)
EVERY_SOLVER = pytest.mark.parametrize("mode", SOLVERS)
EVERY_BATCH_SOLVER = pytest.mark.parametrize("mode", BATCH)
SHORT = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
#: Seeds, so that what holds for the best of several starts is seen with each of them the best.
SEEDS = range(6)


def _net(mode, **parameters):
    defaults = {"hidden_layer_sizes": (6,), "activation": "tanh", "max_iter": 15, "random_state": 0}
    return BackpropRegressor(**defaults | (MODES | SOLVERS)[mode] | parameters)


def _vector(net):
    """All weights and biases in one vector."""
    return np.concatenate([array.ravel() for array in net.coefs_ + net.intercepts_])


def _loss_and_gradient(net, X, y, sample_weight=None, alpha=None):
    """Loss and gradient at the fitted weights, of a network made anew."""
    sizes = (X.shape[1], *net.hidden_layer_sizes, net.n_outputs_)
    network = Network(sizes, net.activation, net.loss, net.output_activation)
    alpha = net.alpha if alpha is None else alpha
    return loss_and_gradient(network, _vector(net), X, y, sample_weight, alpha)


def _largest_gradient(net, X, y, sample_weight=None, alpha=None):
    return float(np.abs(_loss_and_gradient(net, X, y, sample_weight, alpha)[1]).max())


def _fitted(net):
    """Fitted attributes but for the times, which are never the same twice."""
    return {
        name: value
        for name, value in vars(net).items()
        if name.endswith("_") and name != "time_curve_"
    }


def _assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_equal(first[name], second[name], err_msg=name)


def _warned(fit):
    """Call and return what it returns and the categories of its warnings."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        net = fit()
    return net, [warning.category for warning in record]


# What a fit leaves behind.


@SHORT
@EVERY_MODE
def test_curves_have_an_entry_an_iteration(mode, problem):
    X, y = problem()
    net = _net(mode).fit(X, y)
    assert net.n_iter_ > 1
    for curve in (net.loss_curve_, net.gradient_norm_curve_, net.time_curve_):
        assert len(curve) == net.n_iter_
    assert np.isfinite(net.loss_curve_).all()
    assert net.time_curve_[0] > 0
    assert (np.diff(net.time_curve_) >= 0).all()
    assert net.time_curve_[-1] > net.time_curve_[0]


@SHORT
@EVERY_STOCHASTIC_MODE
def test_sgd_and_adam_go_on_with_their_curves_in_a_warm_start(mode, problem):
    X, y = problem()
    net = _net(mode, warm_start=True, max_iter=3).fit(X, y)
    losses, times, norm = net.loss_curve_, net.time_curve_, net.gradient_norm_
    net.set_params(max_iter=2).fit(X, y)
    assert net.n_iter_ == 2
    assert net.loss_curve_[:3] == losses
    assert net.time_curve_[:3] == times
    assert net.time_curve_[3] > times[-1]
    np.testing.assert_equal(net.gradient_norm_curve_[:4], [np.nan, np.nan, norm, np.nan])
    assert net.gradient_norm_curve_[4] == net.gradient_norm_ != norm


@SHORT
@EVERY_MODE
@DTYPES
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_the_gradient_norm_is_that_of_the_weights_kept(mode, dtype, weighted, alpha, problem):
    X, y = problem(n_samples=61, dtype=dtype)
    weights = np.linspace(0, 2, len(y)) if weighted else None
    net = _net(mode, alpha=alpha).fit(X, y, weights)
    near = {"rel": 1e-12, "abs": 1e-12} if dtype == np.float64 else {"rel": 1e-4, "abs": 1e-5}
    assert net.gradient_norm_ == pytest.approx(_largest_gradient(net, X, y, weights), **near)
    if mode != "rprop":  # which returns its best point, not its last
        assert net.gradient_norm_curve_[-1] == net.gradient_norm_


@SHORT
@EVERY_MODE
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_the_gradient_norm_with_other_losses_layers_and_outputs(mode, n_outputs, problem):
    X, y = problem(n_outputs=n_outputs, positive=True)
    loss = "squared_error" if mode == "lm" else "poisson"
    net = _net(mode, loss=loss, hidden_layer_sizes=(7, 3), learning_rate_init=1e-4).fit(X, y)
    assert net.gradient_norm_ == pytest.approx(_largest_gradient(net, X, y), rel=1e-11)


@SHORT
@EVERY_BATCH_SOLVER
@DTYPES
def test_the_loss_is_that_of_the_weights_kept(mode, dtype, problem):
    X, y = problem(dtype=dtype)
    net = _net(mode).fit(X, y)
    rel = 1e-12 if dtype == np.float64 else 1e-5
    assert net.loss_ == pytest.approx(_loss_and_gradient(net, X, y)[0], rel=rel)


@SHORT
@EVERY_STOCHASTIC_MODE
def test_the_gradient_norm_with_early_stopping_is_that_of_the_best_weights(mode, problem, rng):
    X, _ = problem(n_samples=60)
    y = rng.standard_normal(60)  # nothing but noise, so that validation gets worse
    held_out = {"X_val": X[:30], "y_val": y[:30]}
    for gtol in (None, 0.0):
        net = _net(mode, early_stopping=True, learning_rate_init=0.05, max_iter=30, gtol=gtol)
        net.fit(X[30:], y[30:], **held_out)
        assert net.validation_scores_[-1] < net.best_validation_score_
        expected = _largest_gradient(net, X[30:], y[30:])
        assert net.gradient_norm_ == pytest.approx(expected, rel=1e-11)


@EVERY_STOCHASTIC_MODE
def test_partial_fit_works_out_no_gradient_over_all_rows(mode, problem):
    X, y = problem()
    net = _net(mode).partial_fit(X, y)
    assert np.isnan(net.gradient_norm_)
    net.partial_fit(X, y)
    np.testing.assert_equal(net.gradient_norm_curve_, [np.nan, np.nan])
    assert net.n_fun_ == 1


@SHORT
@pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
@pytest.mark.parametrize("method", ["partial_fit", "learn_one"])
def test_no_gradient_norm_of_earlier_weights_is_left(solver, method, problem):
    X, y = problem()
    net = _net(solver).fit(X, y)
    assert net.gradient_norm_ > 0
    rows = (X, y) if method == "partial_fit" else (X[0], y[0])
    getattr(net, method)(*rows)
    assert np.isnan(net.gradient_norm_)


@pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
def test_partial_fit_works_the_gradient_out_for_gtol(solver, problem):
    X, y = problem()
    net = _net(solver, gtol=0).partial_fit(X, y)
    assert net.gradient_norm_ == pytest.approx(_largest_gradient(net, X, y), rel=1e-12)
    assert net.stop_reason_ == "one_epoch"
    assert net.set_params(gtol=1e9).partial_fit(X, y).stop_reason_ == "gradient_norm"


@SHORT
@EVERY_BATCH_SOLVER
def test_every_evaluation_is_counted(mode, problem, monkeypatch):
    X, y = problem()
    calls = []
    for name in ("loss_and_gradient", "normal_equations"):
        _call_first(monkeypatch, name, lambda: calls.append(1))
    net = _net(mode).fit(X, y)
    assert net.n_fun_ == len(calls) > net.n_iter_


def _call_first(monkeypatch, name, action):
    """Have something done at each call of a method of the objective, or of its runs."""
    owner = Objective if hasattr(Objective, name) else CpuRun
    method = getattr(owner, name)

    def wrapped(self, *arguments):
        action()
        return method(self, *arguments)

    monkeypatch.setattr(owner, name, wrapped)


@SHORT
@EVERY_BATCH_SOLVER
def test_max_fun_is_kept(mode, problem):
    X, y = problem()
    net, warned = _warned(lambda: _net(mode, max_fun=7, tol=0, max_iter=100).fit(X, y))
    assert net.stop_reason_ == "max_fun"
    assert warned == [ConvergenceWarning]
    if mode == "lbfgs":  # SciPy looks at it between iterations
        assert 7 <= net.n_fun_ < 7 + 20
    else:
        assert net.n_fun_ == 7


@SHORT
@EVERY_STOCHASTIC_MODE
def test_an_epoch_counts_as_one_evaluation_and_max_fun_is_for_batch_solvers(mode, problem):
    X, y = problem()
    net = _net(mode).fit(X, y)
    assert net.n_fun_ == net.n_iter_ + 1
    limited = _net(mode, max_fun=1).fit(X, y)
    _assert_same(_fitted(net), _fitted(limited))


# When it stops.


@EVERY_STOCHASTIC_MODE
def test_with_gtol_sgd_and_adam_look_at_the_gradient_each_epoch(mode, problem):
    X, y = problem()
    rate = 0.003 if "online" in mode else 0.02
    gtol = 0.1
    net = _net(mode, gtol=gtol, tol=0, learning_rate_init=rate, max_iter=2000).fit(X, y)
    assert net.stop_reason_ == "gradient_norm"
    assert net.gradient_norm_ == net.gradient_norm_curve_[-1] <= gtol
    assert min(net.gradient_norm_curve_[:-1]) > gtol
    assert net.n_fun_ == 2 * net.n_iter_
    assert net.gradient_norm_ == pytest.approx(_largest_gradient(net, X, y), rel=1e-11)


@SHORT
@EVERY_STOCHASTIC_MODE
@DTYPES
@pytest.mark.parametrize(
    "parameters",
    [{}, {"shuffle": False, "momentum": 0}, {"learning_rate": "adaptive", "tol": 0.05}],
    ids=["plain", "no-shuffle", "adaptive"],
)
def test_to_look_at_the_gradient_changes_no_bit(mode, dtype, parameters, problem):
    X, y = problem(dtype=dtype)
    parameters |= {"max_iter": 40, "n_iter_no_change": 3}
    without = _net(mode, **parameters).fit(X, y)
    looked = _net(mode, **parameters, gtol=0.0).fit(X, y)
    np.testing.assert_array_equal(_vector(looked), _vector(without))
    assert looked.loss_curve_ == without.loss_curve_
    assert looked.stop_reason_ == without.stop_reason_
    assert looked.gradient_norm_ == without.gradient_norm_
    assert np.isfinite(looked.gradient_norm_curve_).all()
    assert np.isnan(without.gradient_norm_curve_[:-1]).all()
    assert without.gradient_norm_curve_[-1] == looked.gradient_norm_curve_[-1]


@SHORT
@EVERY_BATCH_SOLVER
def test_without_gtol_batch_solvers_take_tol(mode, problem):
    X, y = problem()
    tol = 0.05
    by_tol = _net(mode, tol=tol, max_iter=2000).fit(X, y)
    assert by_tol.stop_reason_ == "gradient_norm"
    assert by_tol.gradient_norm_curve_[-1] <= tol < min(by_tol.gradient_norm_curve_[:-1])
    for other in (0.0, 10.0):
        by_gtol = _net(mode, tol=other, gtol=tol, max_iter=2000).fit(X, y)
        _assert_same(_fitted(by_gtol), _fitted(by_tol))


@EVERY_MODE
def test_a_loss_goal_ends_it(mode, problem):
    X, y = problem()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole = _net(mode, tol=0).fit(X, y)
    first, lowest = whole.loss_curve_[0], min(whole.loss_curve_)
    goal = lowest + 0.3 * (first - lowest)
    net = _net(mode, tol=0, loss_goal=goal).fit(X, y)
    assert net.stop_reason_ == "goal"
    assert net.loss_ <= goal
    assert 1 < net.n_iter_ <= whole.n_iter_
    assert net.loss_curve_ == whole.loss_curve_[: net.n_iter_]
    assert min(net.loss_curve_[:-1]) > goal


@pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
def test_a_loss_goal_is_looked_at_in_partial_fit(solver, problem):
    X, y = problem()
    assert _net(solver, loss_goal=1e9).partial_fit(X, y).stop_reason_ == "goal"
    assert _net(solver, loss_goal=-1e9).partial_fit(X, y).stop_reason_ == "one_epoch"


@EVERY_MODE
@pytest.mark.parametrize("n_init", [1, 3])
@pytest.mark.parametrize("early_stopping", [False, True, "GL5"])
def test_without_time_the_start_is_what_is_left(mode, n_init, early_stopping, problem):
    """Of a batch solver; sgd and adam have made the epochs of one compiled call, one at least."""
    X, y = problem()
    net = _net(mode, max_time=0, n_init=n_init, early_stopping=early_stopping)
    with pytest.warns(ConvergenceWarning, match="max_time=0 seconds.*Raise max_time") as record:
        net.fit(X, y)
    assert [warning.filename for warning in record] == [__file__]
    assert net.stop_reason_ == "time"
    assert net.n_iter_ == len(net.loss_curve_) == len(net.time_curve_)
    assert np.isfinite(net.loss_)
    assert np.isfinite(_vector(net)).all()
    assert np.isfinite(net.predict(X)).all()
    if net.solver in STOCHASTIC_SOLVERS:
        assert net.n_iter_ >= 1
        assert np.isnan(net.gradient_norm_)
    else:
        assert net.n_iter_ == 0
        assert net.gradient_norm_ > 0
    assert net.init_losses_.shape == (n_init,)


# Which of the reasons comes with a warning, as the docstring has it.
ENDS = {
    "gradient_norm": [{"mode": "lm", "tol": 1e-2}, {"mode": "sgd", "gtol": 1e9}],
    "tolerance": [{"mode": "adam", "tol": 10.0}, {"mode": "cg", "tol": 0, "n_iter_no_change": 1}],
    "goal": [{"mode": "bfgs", "loss_goal": 0.1}, {"mode": "sgd", "loss_goal": 0.5}],
    "validation": [
        {"mode": "scg", "early_stopping": True, "tol": 0.5, "gtol": 0},
        {"mode": "adam", "early_stopping": True, "tol": 0.5},
    ],
    "learning_rate": [{"mode": "sgd", "learning_rate": "adaptive", "tol": 10.0}],
    "max_iter": [{"mode": "scg", "max_iter": 2}, {"mode": "adam", "max_iter": 2}],
    "max_fun": [{"mode": "rprop", "max_fun": 3}, {"mode": "lbfgs", "max_fun": 3}],
    "time": [{"mode": "gd", "max_time": 0.0}, {"mode": "sgd", "max_time": 0.0}],
    "step_size": [{"mode": "lm", "tol": 0, "n_iter_no_change": np.inf}],
    "line_search": [{"mode": "bfgs", "tol": 0, "n_iter_no_change": np.inf}],
}
#: Limits, and no way on.
WARNED = ("max_iter", "max_fun", "time", "step_size", "line_search", "diverged")


@pytest.mark.parametrize(
    ("reason", "parameters"), [(reason, each) for reason in ENDS for each in ENDS[reason]]
)
@pytest.mark.parametrize("n_init", [1, 2])
def test_a_convergence_warning_exactly_where_a_limit_was_hit(reason, parameters, n_init, problem):
    X, y = problem()
    net = _net(**{"max_iter": 5000, "hidden_layer_sizes": (2,), "n_init": n_init} | parameters)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        net.fit(X, y)
    assert net.stop_reason_ == reason
    assert [w.category for w in record] == ([ConvergenceWarning] if reason in WARNED else [])
    assert all(warning.filename == __file__ for warning in record)


def test_every_reason_to_stop_is_tried():
    elsewhere = {"one_epoch", "interrupted", "diverged"}
    assert set(ENDS) == set(get_args(StopReason)) - elsewhere


@EVERY_BATCH_SOLVER
@DTYPES
def test_a_loss_that_is_not_finite_on_the_way_ends_it_with_finite_weights(
    mode, dtype, problem, monkeypatch
):
    X, y = problem(dtype=dtype)
    method, calls = Objective.loss_and_gradient, itertools.count(1)

    def spoilt(self, parameters):
        loss, gradient = method(self, parameters)
        return (np.nan, np.nan * gradient) if next(calls) > 12 else (loss, gradient)

    monkeypatch.setattr(Objective, "loss_and_gradient", spoilt)
    net, warned = _warned(lambda: _net(mode, tol=0, max_iter=100).fit(X, y))
    assert warned == [ConvergenceWarning]
    assert net.stop_reason_ in ("diverged", "line_search", "step_size")
    assert np.isfinite(_vector(net)).all()
    assert net.n_iter_ > 0
    assert np.isfinite([net.loss_, net.gradient_norm_]).all()
    assert net.loss_ == min(net.loss_curve_)


# The gradient of the stochastic solvers, without a kernel of its own.

NETWORKS = {
    "linear": Network((5, 2)),
    "tanh": Network((5, 6, 2), "tanh"),
    "deep": Network((5, 9, 4, 2), "relu"),
    "poisson": Network((5, 3, 2), "sin", "poisson"),
}
N_ROWS = 61


def _gradient(objective, parameters, batch_size, rows_per_call=None):
    if rows_per_call is not None:
        objective._full_pass.rows_per_call = rows_per_call
    moments = Moments.zeros(parameters.size, parameters.dtype)
    rule = sgd(0.1, 0.0, False)
    return objective.run(parameters, batch_size, rule, moments, NO_SHUFFLES).gradient(parameters)


@pytest.mark.parametrize("network", NETWORKS)
@DTYPES
@pytest.mark.parametrize("batch_size", [1, 7, N_ROWS])
@pytest.mark.parametrize("rows_per_call", [None, 1, 8, 12, 60])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_the_gradient_of_batches_is_that_of_all_rows(
    network, dtype, batch_size, rows_per_call, weighted, rng
):
    network = NETWORKS[network]
    X = rng.standard_normal((N_ROWS, 5)).astype(dtype)
    y = np.abs(rng.standard_normal((N_ROWS, 2))).astype(dtype)
    weights = None
    if weighted:
        weights = np.round(rng.uniform(0, 3, N_ROWS)).astype(dtype)
        weights[24:40] = 0  # whole calls of rows that count for nothing
    parameters = (0.5 * rng.standard_normal(network.n_parameters)).astype(dtype)
    before = parameters.copy()
    objective = Objective(network, as_data(X, y, weights), 0.7)
    gradient = _gradient(objective, parameters, batch_size, rows_per_call)
    _, expected = loss_and_gradient(
        network,
        parameters.astype(np.float64),
        X.astype(np.float64),
        y,
        weights,
        alpha=0.7,
    )
    np.testing.assert_allclose(gradient, expected, atol=1e-13 if dtype == np.float64 else 2e-6)
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(parameters, before)


@pytest.mark.parametrize("batch_size", [1, 7, N_ROWS])
@pytest.mark.parametrize("scale", [1e-50, 1e50])
def test_the_gradient_of_batches_keeps_its_digits_at_any_scale(batch_size, scale, rng):
    network = NETWORKS["linear"]
    X, y = rng.standard_normal((N_ROWS, 5)), rng.standard_normal((N_ROWS, 2)) * scale
    parameters = rng.standard_normal(network.n_parameters) * scale
    gradient = _gradient(Objective(network, as_data(X, y)), parameters, batch_size)
    _, expected = loss_and_gradient(network, parameters, X, y)
    np.testing.assert_allclose(gradient, expected, rtol=1e-11)


@pytest.mark.parametrize("batch_size", [1, 7, N_ROWS])
def test_the_gradient_of_batches_of_sparse_rows(batch_size, rng):
    network = NETWORKS["tanh"]
    X, y = rng.standard_normal((N_ROWS, 5)), rng.standard_normal((N_ROWS, 2))
    X[X < 0.5] = 0
    parameters = rng.standard_normal(network.n_parameters)
    objective = Objective(network, as_data(sparse.csr_array(X), y), 0.7)
    gradient = _gradient(objective, parameters, batch_size, rows_per_call=24)
    _, expected = loss_and_gradient(network, parameters, X, y, alpha=0.7)
    np.testing.assert_allclose(gradient, expected, atol=1e-13)


# Several starts.


@SHORT
@EVERY_MODE
def test_the_first_start_is_that_of_a_single_fit(mode, problem):
    X, y = problem()
    first_was_best = set()
    for seed in SEEDS:
        single = _net(mode, random_state=seed).fit(X, y)
        net = _net(mode, random_state=seed, n_init=2).fit(X, y)
        assert single.init_losses_.tolist() == [single.loss_]
        assert net.init_losses_.shape == (2,)
        assert net.init_losses_[0] == single.loss_
        assert net.init_losses_[1] != single.loss_
        assert net.loss_ == min(net.init_losses_)
        is_best = bool(net.loss_ == single.loss_)
        first_was_best.add(is_best)
        if is_best:
            expected = _fitted(single) | {"init_losses_": net.init_losses_}
            _assert_same(_fitted(net), expected)
    assert first_was_best == {True, False}


@SHORT
@EVERY_MODE
def test_more_starts_are_never_worse_and_the_first_ones_stay(mode, problem):
    X, y = problem()
    losses = [_net(mode, n_init=n_init).fit(X, y).init_losses_ for n_init in (2, 5)]
    np.testing.assert_array_equal(losses[1][:2], losses[0])
    assert len(set(losses[1])) == 5


@SHORT
@EVERY_MODE
@pytest.mark.parametrize("early_stopping", [False, True])
def test_starts_have_the_same_bits_for_any_number_of_threads(mode, early_stopping, problem):
    X, y = problem()
    nets = [
        _net(mode, n_init=5, n_jobs=n_jobs, early_stopping=early_stopping, max_iter=8).fit(X, y)
        for n_jobs in (None, 1, 2, 4, 9)
    ]
    for net in nets[1:]:
        _assert_same(_fitted(net), _fitted(nets[0]))


def _state(random_state):
    name, keys, *rest = random_state.get_state()
    return name, keys.tolist(), *rest


@SHORT
@EVERY_MODE
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_generator_advances_by_the_first_start_alone(mode, early_stopping, problem):
    X, y = problem()
    states, losses = [], []
    for n_init in (1, 3):
        generator = np.random.RandomState(7)
        net = _net(mode, random_state=generator, n_init=n_init, n_jobs=2)
        losses.append(net.set_params(early_stopping=early_stopping).fit(X, y).init_losses_)
        states.append(_state(generator))
    assert states[0] == states[1] != _state(np.random.RandomState(7))
    assert losses[0][0] == losses[1][0]
    by_number = _net(mode, random_state=7, n_init=3, early_stopping=early_stopping).fit(X, y)
    np.testing.assert_array_equal(by_number.init_losses_, losses[1])


@pytest.fixture
def numpys_own():
    """NumPy's global generator, seeded; its state is put back."""
    generator = np.random.mtrand._rand
    before = generator.get_state()
    generator.seed(3)
    yield generator
    generator.set_state(before)


@SHORT
@EVERY_SOLVER
def test_without_a_seed_numpys_generator_advances_by_the_first_start_alone(
    mode, problem, numpys_own
):
    X, y = problem()
    states, losses = [], []
    for n_init in (1, 3):
        numpys_own.seed(7)
        losses.append(_net(mode, random_state=None, n_init=n_init).fit(X, y).init_losses_)
        states.append(_state(numpys_own))
    assert states[0] == states[1]
    assert losses[0][0] == losses[1][0]
    again = _net(mode, random_state=None, n_init=3).fit(X, y)
    assert not set(again.init_losses_) & set(losses[1])


@SHORT
@EVERY_SOLVER
def test_with_a_seed_numpys_generator_is_left_alone(mode, problem, numpys_own):
    X, y = problem()
    before = _state(numpys_own)
    _net(mode, n_init=3, n_jobs=2).fit(X, y)
    assert _state(numpys_own) == before


@SHORT
@EVERY_MODE
def test_the_best_start_is_that_of_the_best_score(mode, problem, monkeypatch):
    X, y = problem(n_samples=50)
    scores = []  # of each start
    make = training.make_early_stopping

    def noted(*arguments):
        rule, own = make(*arguments), []
        scores.append(own)

        def score(parameters):
            own.append(rule.score(parameters))
            return own[-1]

        return replace(rule, score=score)

    monkeypatch.setattr(training, "make_early_stopping", noted)
    kept, lowest = [], []
    for seed in SEEDS:
        scores.clear()
        net = _net(mode, random_state=seed, n_init=4, early_stopping=True, learning_rate_init=0.01)
        net.fit(X[30:], y[30:], X_val=X[:30], y_val=y[:30])
        best = [max(each) for each in scores]
        assert net.validation_scores_ == scores[np.argmax(best)]
        assert net.best_validation_score_ == max(best)
        assert net.score(X[:30], y[:30]) == pytest.approx(max(best), rel=1e-12)
        assert net.loss_ == net.init_losses_[np.argmax(best)]
        kept.append(np.argmax(best))
        lowest.append(np.argmin(net.init_losses_))
    assert kept != lowest  # or the test could not tell a score from a loss


def _spoil_starts(monkeypatch, spoilt):
    """Make initial weights too large for a finite loss, of starts of some numbers."""
    draw, numbers = Network.initial_parameters, itertools.count()

    def drawn(self, random_state, dtype):
        parameters = draw(self, random_state, dtype)
        return parameters * 1e200 if next(numbers) in spoilt else parameters

    monkeypatch.setattr(Network, "initial_parameters", drawn)


@SHORT
@EVERY_MODE
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_starts_that_diverge_spoil_nothing_while_one_is_left(
    mode, n_jobs, early_stopping, problem, monkeypatch
):
    X, y = problem()
    net = _net(mode, n_init=4, n_jobs=n_jobs, early_stopping=early_stopping)
    sound = clone(net).fit(X, y)
    _spoil_starts(monkeypatch, {0, 3})
    net.fit(X, y)
    np.testing.assert_array_equal(np.isfinite(net.init_losses_), [False, True, True, False])
    np.testing.assert_array_equal(net.init_losses_[1:3], sound.init_losses_[1:3])
    assert net.loss_ in net.init_losses_[1:3]
    assert np.isfinite(net.predict(X)).all()


@SHORT
@EVERY_MODE
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_where_all_starts_diverge_it_is_an_error_and_the_estimator_stays(
    mode, n_jobs, problem, monkeypatch
):
    X, y = problem()
    net = _net(mode, n_init=3, n_jobs=n_jobs).fit(X, y)
    before = dict(vars(net))
    _spoil_starts(monkeypatch, range(100))
    for each in (net, clone(net)):
        with pytest.raises(ValueError, match="NaN or infinite.*[sS]cale X and y"):
            each.fit(X, y)
    assert vars(net) == before
    assert not hasattr(each, "n_features_in_")


@SHORT
@pytest.mark.parametrize(("mode", "rate"), [("sgd-16", 0.2), ("sgd-full", 0.2)])
def test_a_rate_at_which_some_starts_diverge(mode, rate, problem):
    X, y = problem()
    parameters = {"activation": "relu", "momentum": 0, "max_iter": 60, "learning_rate_init": rate}
    n_diverged = 0
    for seed in SEEDS:
        single, net = (_net(mode, random_state=seed, n_init=n, **parameters) for n in (1, 6))
        try:
            single.fit(3 * X, 3 * y)
        except ValueError:
            n_diverged += 1
        assert np.isfinite(net.fit(3 * X, 3 * y).predict(X)).all()
        assert net.stop_reason_ != "diverged"
    assert 0 < n_diverged < len(SEEDS)


@SHORT
@EVERY_SOLVER
def test_a_warm_start_goes_on_from_the_weights_that_are_there_alone(mode, problem):
    X, y = problem()
    net = _net(mode, n_init=4, warm_start=True).fit(X, y)
    assert net.init_losses_.shape == (4,)
    single = copy.deepcopy(net).set_params(n_init=1).fit(X, y)
    net.fit(X, y)
    assert net.init_losses_.tolist() == [net.loss_]
    _assert_same(_fitted(net), _fitted(single))


@SHORT
@pytest.mark.parametrize("mode", ["adam", "sgd", "lm", "lbfgs"])
def test_starts_in_threads_inside_of_a_grid_search_in_threads(mode, problem):
    X, y = problem()
    grid = {"alpha": [0.01, 1.0], "hidden_layer_sizes": [(3,), (6,)]}
    net = _net(mode, n_init=3, n_jobs=2, max_iter=5)
    serial = GridSearchCV(net, grid, cv=3).fit(X, y)
    with parallel_config(backend="threading"):
        threaded = GridSearchCV(net, grid, cv=3, n_jobs=2).fit(X, y)
    name = "mean_test_score"
    np.testing.assert_array_equal(threaded.cv_results_[name], serial.cv_results_[name])
    assert threaded.best_params_ == serial.best_params_


# What does not go together.


@pytest.mark.parametrize("mode", [mode for mode in SOLVERS if mode != "lm"])
def test_only_lm_finds_the_weight_decay(mode, problem):
    X, y = problem()
    net = _net(mode, alpha="bayes")
    for fit in (net.fit, *([net.partial_fit] if mode in STOCHASTIC_SOLVERS else [])):
        with pytest.raises(ValueError, match="alpha='bayes'.*solver='lm'"):
            fit(X, y)
    assert not hasattr(net, "n_features_in_")


@SHORT
def test_a_decay_that_no_solver_but_lm_finds_is_named_by_learn_one_too(problem):
    X, y = problem()
    net = _net("lm", alpha="bayes").fit(X, y).set_params(solver="sgd")
    with pytest.raises(ValueError, match="alpha='bayes'.*solver='lm'"):
        net.learn_one(X[0], y[0])


@SHORT
@pytest.mark.parametrize("n_init", [1, 3])
def test_the_decay_found_is_told_until_the_next_fit_with_a_number(n_init, problem):
    X, y = problem()
    net = _net("lm", alpha="bayes", max_iter=100, n_init=n_init).fit(X, y)
    assert 0 < net.alpha_ < np.inf
    assert 1 < net.effective_parameters_ < _vector(net).size
    assert net.alpha == "bayes"
    loss, gradient = _loss_and_gradient(net, X, y, alpha=net.alpha_)
    assert net.loss_ == pytest.approx(loss, rel=1e-10)
    assert net.gradient_norm_ == pytest.approx(np.abs(gradient).max(), abs=1e-10)
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        _assert_same(_fitted(other), _fitted(net))
        np.testing.assert_array_equal(other.predict(X), net.predict(X))
    cloned = clone(net)
    assert cloned.get_params() == net.get_params()
    assert not hasattr(cloned, "alpha_")
    net.set_params(alpha=0.1).fit(X, y)
    assert not hasattr(net, "alpha_")
    assert not hasattr(net, "effective_parameters_")


@pytest.mark.parametrize("mode", [mode for mode in SOLVERS if mode != "lm"])
@SHORT
def test_without_bayes_no_decay_is_told(mode, problem):
    X, y = problem()
    net = _net("lm", alpha="bayes").fit(X, y)
    net.set_params(alpha=0.1, **SOLVERS[mode]).fit(X, y)
    assert not hasattr(net, "alpha_")
    assert not hasattr(net, "effective_parameters_")


def test_lm_is_for_squared_errors_and_the_error_names_other_solvers(problem):
    X, y = problem(positive=True)
    net = _net("lm", loss="poisson")
    with pytest.raises(ValueError, match="solver='lm' is for squared errors") as error:
        net.fit(X, y)
    named = [solver for solver in BATCH_SOLVERS if f"'{solver}'" in str(error.value)]
    assert {"lm", "lbfgs", "bfgs"} <= set(named)
    assert not hasattr(net, "n_features_in_")


@pytest.mark.parametrize("mode", ["lm", "bfgs"])
@pytest.mark.parametrize("n_init", [1, 2])
def test_a_matrix_too_large_is_refused_and_the_error_names_other_solvers(mode, n_init, problem):
    X, y = problem()
    net = _net(mode, hidden_layer_sizes=(3000,), n_init=n_init, n_jobs=2)
    with pytest.raises(ValueError, match=f"solver='{mode}' works with matrices") as error:
        net.fit(X, y)
    assert "'lbfgs'" in str(error.value)
    assert not hasattr(net, "coefs_")
    assert not hasattr(net, "n_features_in_")
    fitted = _net("adam", tol=10.0).fit(X, y)
    before = dict(vars(fitted)) | SOLVERS[mode] | {"hidden_layer_sizes": (3000,)}
    with pytest.raises(ValueError, match="works with matrices"):
        fitted.set_params(hidden_layer_sizes=(3000,), **SOLVERS[mode]).fit(X, y)
    assert vars(fitted) == before


# Ctrl-C.


def _interrupt_at(monkeypatch, k, name="loss_and_gradient"):
    """Raise KeyboardInterrupt at the k-th call, and say how many calls there were."""
    calls, n_calls = itertools.count(1), []

    def count():
        n = next(calls)
        n_calls.append(n)
        if n == k:
            raise KeyboardInterrupt

    _call_first(monkeypatch, name, count)
    return n_calls


def _fit_interrupted(net, X, y):
    """Fit, and expect the weights so far and one warning that points at the call."""
    with pytest.warns(UserWarning, match="interrupted by user. The weights so far") as record:
        try:
            net.fit(X, y)
        except KeyboardInterrupt:  # which would end the tests
            pytest.fail("what was learnt is lost")
    assert [warning.filename for warning in record] == [__file__]
    assert net.stop_reason_ == "interrupted"
    assert np.isfinite(_vector(net)).all()


@EVERY_BATCH_SOLVER
@pytest.mark.parametrize("n_init", [1, 4])
def test_ctrl_c_in_a_batch_solver_keeps_the_weights_so_far(mode, n_init, problem, monkeypatch):
    X, y = problem()
    at_the_start = _net(mode, max_time=0)
    with pytest.warns(ConvergenceWarning):
        at_the_start.fit(X, y)
    n_calls = _interrupt_at(monkeypatch, 8)
    net = _net(mode, tol=0, max_iter=1000, n_init=n_init)
    _fit_interrupted(net, X, y)
    assert len(n_calls) == 8
    assert 0 < net.n_iter_ == len(net.loss_curve_)
    assert net.loss_ < at_the_start.loss_
    assert net.loss_ == pytest.approx(_loss_and_gradient(net, X, y)[0], rel=1e-12)
    assert net.init_losses_.shape == (n_init,)
    np.testing.assert_equal(net.init_losses_[1:], np.nan)


@EVERY_BATCH_SOLVER
def test_ctrl_c_in_one_of_the_threads_ends_all_starts(mode, problem, monkeypatch):
    X, y = problem()
    _interrupt_at(monkeypatch, 20)
    net = _net(mode, tol=0, max_iter=10**6, max_fun=10**9, n_iter_no_change=np.inf)
    net.set_params(n_init=4, n_jobs=2)
    _fit_interrupted(net, X, y)
    assert net.loss_ == np.nanmin(net.init_losses_)


@EVERY_BATCH_SOLVER
def test_ctrl_c_before_anything_is_known_leaves_the_estimator_as_it_was(mode, problem, monkeypatch):
    X, y = problem()
    new = _net(mode)
    _interrupt_at(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        new.fit(X, y)
    with pytest.raises(NotFittedError):
        new.predict(X)
    assert not hasattr(new, "n_features_in_")


@EVERY_SOLVER
def test_ctrl_c_between_two_starts_is_not_swallowed(mode, problem, monkeypatch):
    """A start has ended, and the next is stopped where it cannot tell a result."""
    X, y = problem()
    name = "gradient" if mode in STOCHASTIC_SOLVERS else "loss_and_gradient"
    with monkeypatch.context() as patch:
        n_calls = _interrupt_at(patch, 0, name)
        _warned(lambda: _net(mode).fit(X, y))
    _interrupt_at(monkeypatch, len(n_calls) + 1, name)
    net = _net(mode, n_init=3)
    try:
        _, warned = _warned(lambda: net.fit(X, y))
    except KeyboardInterrupt:
        assert not hasattr(net, "coefs_")
        return
    assert net.stop_reason_ == "interrupted"
    assert UserWarning in warned
    assert np.isfinite(_vector(net)).all()


@SHORT
@EVERY_STOCHASTIC_MODE
@pytest.mark.parametrize("gtol", [None, 0.0])
def test_ctrl_c_while_the_gradient_is_worked_out_loses_no_epoch(mode, gtol, problem, monkeypatch):
    X, y = problem()
    expected = _net(mode, max_iter=3).fit(X, y)
    _interrupt_at(monkeypatch, 1 if gtol is None else 3, "gradient")
    net = _net(mode, max_iter=3, gtol=gtol)
    _fit_interrupted(net, X, y)
    np.testing.assert_array_equal(_vector(net), _vector(expected))


# A fit that would take hours; Ctrl-C comes once all is compiled and it is under way.
LONG_FIT = """
import os, signal, sys, threading, time, warnings
import numpy as np
from fastbp import BackpropRegressor
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
solver, n_init, n_jobs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = np.random.RandomState(0)
X, y = rng.standard_normal((3000, 20)), rng.standard_normal(3000)
net = BackpropRegressor("squared_error", (20,), "tanh", solver=solver, random_state=0, max_iter=2)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    net.fit(X, y).predict(X)  # compiles
net.set_params(max_iter=10**9, max_fun=10**9, gtol=0.0, n_iter_no_change=np.inf)
net.set_params(n_init=n_init, n_jobs=n_jobs)
sent = []
def interrupt():
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(0.7, interrupt).start()
with warnings.catch_warnings(record=True) as record:
    warnings.simplefilter("always")
    net.fit(X, y)
waited = time.monotonic() - sent[0]
told = [str(w.message) for w in record if "interrupted by user" in str(w.message)]
print(net.stop_reason_, len(told), np.isfinite(net.predict(X)).all(), waited)
"""


@pytest.mark.subprocess
@pytest.mark.parametrize(("n_init", "n_jobs"), [(1, 1), (4, 1), (4, 2)])
@pytest.mark.parametrize("solver", ["lm", "rprop"])
def test_ctrl_c_ends_a_long_fit_of_a_batch_solver(solver, n_init, n_jobs, python):
    arguments = (solver, str(n_init), str(n_jobs))
    *output, waited = python(LONG_FIT, timeout=120, arguments=arguments).split()
    assert output == ["interrupted", "1", "True"]
    assert float(waited) < 5  # of a fit that would take hours


# Odd data.


ODD = {
    "constant target": lambda X, y: (X, np.full_like(y, 3.0)),
    "target of zero": lambda X, y: (X, np.zeros_like(y)),
    "one row": lambda X, y: (X[:1], y[:1]),
    "two rows": lambda X, y: (X[:2], y[:2]),
    "same rows": lambda X, y: (X[:1].repeat(9, axis=0), y[:1].repeat(9)),
    "duplicate columns": lambda X, y: (np.c_[X, X], y),
    "constant columns": lambda X, y: (np.c_[X, np.ones_like(X)], y),
    "nothing but constant columns": lambda X, y: (np.ones_like(X), y),
    "columns of zero": lambda X, y: (np.zeros_like(X), y),
    "tiny inputs": lambda X, y: (1e-6 * X, y),
    "large inputs": lambda X, y: (1e6 * X, y),
    "large targets": lambda X, y: (X, 1e6 * y),
    "tiny targets": lambda X, y: (X, 1e-6 * y),
    "all large": lambda X, y: (1e6 * X, 1e6 * y),
    "far from zero": lambda X, y: (X + 1e6, y + 1e6),
    "one column": lambda X, y: (X[:, :1], y),
}


@EVERY_BATCH_SOLVER
@pytest.mark.parametrize("odd", ODD)
@DTYPES
def test_odd_data_are_survived(mode, odd, dtype, problem):
    X, y = ODD[odd](*problem(dtype=dtype))
    X, y = X.astype(dtype), y.astype(dtype)
    alphas = (0.0, 1e-4, "bayes") if mode == "lm" else (0.0, 1e-4)
    for alpha, activation in itertools.product(alphas, ("relu", "tanh")):
        net = _net(mode, alpha=alpha, activation=activation, max_iter=200)
        net, warned = _warned(lambda net=net: net.fit(X, y))
        assert warned in ([], [ConvergenceWarning])
        assert bool(warned) == (net.stop_reason_ in WARNED)
        assert np.isfinite(_vector(net)).all()
        assert np.isfinite(net.predict(X)).all()
        assert net.n_iter_ == len(net.loss_curve_)
        assert net.coefs_[0].dtype == dtype


@EVERY_BATCH_SOLVER
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_data_are_refused(mode, bad, problem):
    X, y = problem()
    weights = np.ones(len(y))
    net = _net(mode)
    for position in range(3):
        arrays = [X.copy(), y.copy(), weights.copy()]
        arrays[position][-1] = bad
        with pytest.raises(ValueError, match="contains (NaN|infinity)"):
            net.fit(*arrays)
    assert vars(net) == vars(_net(mode))


# Every batch solver behind the estimator.


@SHORT
@EVERY_BATCH_SOLVER
@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_array])
@DTYPES
def test_sparse_is_dense(mode, container, dtype, problem):
    X, y = problem(n_features=12, dtype=dtype)
    X[X < 0.5] = 0
    dense, other = _net(mode).fit(X, y), _net(mode).fit(container(X), y)
    _assert_same(_fitted(other), _fitted(dense))
    np.testing.assert_array_equal(other.predict(container(X)), dense.predict(X))


@SHORT
@EVERY_BATCH_SOLVER
def test_sparse_is_dense_where_alpha_is_found_and_weights_count(mode, problem):
    X, y = problem(n_features=12, n_outputs=2)
    X[X < 0.5] = 0
    weights = np.linspace(0, 1, len(y))
    alpha = "bayes" if mode == "lm" else 0.1
    dense = _net(mode, alpha=alpha).fit(X, y, weights)
    other = _net(mode, alpha=alpha).fit(sparse.csr_array(X), y, weights)
    _assert_same(_fitted(other), _fitted(dense))


@SHORT
@EVERY_BATCH_SOLVER
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_float32_in_gives_float32_out_near_float64(mode, n_outputs, problem):
    X, y = problem(n_outputs=n_outputs)
    single = _net(mode).fit(X.astype(np.float32), y)
    double = _net(mode).fit(X, y)
    arrays = [*single.coefs_, *single.intercepts_, single.predict(X.astype(np.float32))]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert {array.dtype for array in double.coefs_} == {np.dtype(np.float64)}
    assert single.predict(X).shape == y.shape
    assert single.loss_ == pytest.approx(double.loss_, rel=0.2)


@SHORT
@EVERY_BATCH_SOLVER
@DTYPES
def test_a_warm_start_goes_on(mode, dtype, problem):
    X, y = problem(dtype=dtype)
    net = _net(mode, warm_start=True, max_iter=5, tol=0).fit(X, y)
    for _ in range(4):
        before = net.loss_
        net.fit(X, y)
        assert net.loss_ <= before
    assert net.loss_ < _net(mode, max_iter=5, tol=0).fit(X, y).loss_


@EVERY_BATCH_SOLVER
def test_a_warm_start_where_nothing_is_left_to_do_ends_at_once(mode, problem):
    X, y = problem()
    net = _net(mode, warm_start=True, tol=0.05, max_iter=2000).fit(X, y)
    before, loss = _vector(net), net.loss_
    net.fit(X, y)
    np.testing.assert_array_equal(_vector(net), before)
    assert (net.stop_reason_, net.n_iter_, net.n_fun_) == ("gradient_norm", 1, 1)
    assert net.loss_ == loss


@SHORT
@EVERY_SOLVER
def test_a_fit_leaves_nothing_of_another_solvers_fit(mode, problem):
    X, y = problem()
    fresh = _fitted(_net(mode).fit(X, y))
    for other in SOLVERS:
        regularised = {"alpha": "bayes"} if other == "lm" else {"early_stopping": "GL5"}
        net = _net(other, n_init=2, hidden_layer_sizes=(4, 3), **regularised)
        net.fit(np.c_[X, X], np.c_[y, y])
        if other in STOCHASTIC_SOLVERS:
            net.set_params(early_stopping=False).partial_fit(np.c_[X, X], np.c_[y, y])
        net.set_params(**_net(mode).get_params()).fit(X, y)
        _assert_same(_fitted(net), fresh)


@SHORT
@EVERY_BATCH_SOLVER
def test_estimators_fit_in_threads_as_one_after_the_other(mode, problem):
    X, y = problem()
    nets = [_net(mode, random_state=seed, n_init=2, n_jobs=2) for seed in SEEDS]
    expected = [clone(net).fit(X, y) for net in nets]
    threads = [threading.Thread(target=net.fit, args=(X, y)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for net, alone in zip(nets, expected, strict=True):
        _assert_same(_fitted(net), _fitted(alone))


@SHORT
def test_rprop_is_on_its_way_while_its_loss_rises(problem):
    """Its first steps lift the loss of a wide net above the start for more than ten iterations."""
    X, y = problem(n_features=10)
    net = BackpropRegressor(solver="rprop", hidden_layer_sizes=(300,), random_state=0)
    net.fit(X, y)
    assert max(net.loss_curve_[:10]) > net.loss_curve_[-1]
    assert net.n_iter_ > 50
    assert net.loss_ < 0.1 * np.var(y)


@SHORT
@pytest.mark.parametrize("solver", ["bfgs", "cg"])
def test_a_line_search_in_float32_ends_where_float32_does(solver, problem):
    X, y = problem(n_samples=400, dtype=np.float32)
    net = BackpropRegressor(solver=solver, hidden_layer_sizes=(10,), activation="tanh")
    net.set_params(alpha=1.0, gtol=1e-7, max_iter=3000, random_state=0).fit(X, y)
    assert net.n_fun_ < 3 * net.n_iter_


def test_starts_that_no_time_was_left_for_are_told(problem):
    X, y = problem(n_samples=500)
    net = BackpropRegressor(solver="lm", activation="tanh", hidden_layer_sizes=(10,), alpha=1.0)
    net.set_params(n_init=500, max_time=0.5, max_iter=500, random_state=0)
    with pytest.warns(ConvergenceWarning, match="of 500 starts had converged") as record:
        net.fit(X, y)
    assert [warning.filename for warning in record] == [__file__]
    assert net.stop_reason_ == "gradient_norm"
    assert np.isnan(net.init_losses_[-1])
    assert net.loss_ == np.nanmin(net.init_losses_)
