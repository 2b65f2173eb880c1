"""When a fit stops, which reason it gives, and which reasons come with a warning."""

import itertools
import warnings
from typing import get_args

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropRegressor, Objective
from fastbp.solvers.stopping import StopReason
from helpers.cases import STOCHASTIC_SOLVERS
from helpers.fits import (
    EVERY_BATCH_SOLVER,
    EVERY_MODE,
    EVERY_STOCHASTIC_MODE,
    LIMITS,
    SHORT,
    WARNED,
    assert_same,
    fitted_attributes,
    largest_gradient,
    make_net,
    vector_of,
    with_warnings,
)
from helpers.guards import DTYPES


@SHORT
@EVERY_BATCH_SOLVER
def test_max_fun_is_kept(mode, problem):
    X, y = problem()
    with pytest.warns(ConvergenceWarning, match="Raise max_fun") as record:
        net = make_net(mode, max_fun=7, tol=0, max_iter=100).fit(X, y)
    assert net.stop_reason_ == "max_fun"
    assert len(record) == 1
    if mode == "lbfgs":  # SciPy looks at it between iterations
        assert 7 <= net.n_fun_ < 7 + 20
    else:
        assert net.n_fun_ == 7


@EVERY_STOCHASTIC_MODE
def test_with_gtol_sgd_and_adam_look_at_the_gradient_each_epoch(mode, problem):
    X, y = problem()
    rate = 0.003 if "online" in mode else 0.02
    gtol = 0.1
    net = make_net(mode, gtol=gtol, tol=0, learning_rate_init=rate, max_iter=2000).fit(X, y)
    assert net.stop_reason_ == "gradient_norm"
    assert net.gradient_norm_ == net.gradient_norm_curve_[-1] <= gtol
    assert min(net.gradient_norm_curve_[:-1]) > gtol
    assert net.n_fun_ == 2 * net.n_iter_
    assert net.gradient_norm_ == pytest.approx(largest_gradient(net, X, y), rel=1e-11)


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
    without = make_net(mode, **parameters).fit(X, y)
    looked = make_net(mode, **parameters, gtol=0.0).fit(X, y)
    np.testing.assert_array_equal(vector_of(looked), vector_of(without))
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
    by_tol = make_net(mode, tol=tol, max_iter=2000).fit(X, y)
    assert by_tol.stop_reason_ == "gradient_norm"
    assert by_tol.gradient_norm_curve_[-1] <= tol < min(by_tol.gradient_norm_curve_[:-1])
    for other in (0.0, 10.0):
        by_gtol = make_net(mode, tol=other, gtol=tol, max_iter=2000).fit(X, y)
        assert_same(fitted_attributes(by_gtol), fitted_attributes(by_tol))


@EVERY_MODE
def test_a_loss_goal_ends_it(mode, problem):
    X, y = problem()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole = make_net(mode, tol=0).fit(X, y)
    first, lowest = whole.loss_curve_[0], min(whole.loss_curve_)
    goal = lowest + 0.3 * (first - lowest)
    net = make_net(mode, tol=0, loss_goal=goal).fit(X, y)
    assert net.stop_reason_ == "goal"
    assert net.loss_ <= goal
    assert 1 < net.n_iter_ <= whole.n_iter_
    assert net.loss_curve_ == whole.loss_curve_[: net.n_iter_]
    assert min(net.loss_curve_[:-1]) > goal


@pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
def test_a_loss_goal_is_looked_at_in_partial_fit(solver, problem):
    X, y = problem()
    assert make_net(solver, loss_goal=1e9).partial_fit(X, y).stop_reason_ == "goal"
    assert make_net(solver, loss_goal=-1e9).partial_fit(X, y).stop_reason_ == "one_epoch"


@EVERY_MODE
@pytest.mark.parametrize("n_init", [1, 3])
@pytest.mark.parametrize("early_stopping", [False, True, "GL5"])
def test_without_time_the_start_is_what_is_left(mode, n_init, early_stopping, problem):
    """Of a batch solver; sgd and adam have made the epochs of one compiled call, one at least."""
    X, y = problem()
    net = make_net(mode, max_time=0, n_init=n_init, early_stopping=early_stopping)
    with pytest.warns(ConvergenceWarning, match="max_time=0 seconds.*Raise max_time") as record:
        net.fit(X, y)
    assert [warning.filename for warning in record] == [__file__]
    assert net.stop_reason_ == "time"
    assert net.n_iter_ == len(net.loss_curve_) == len(net.time_curve_)
    assert np.isfinite(net.loss_)
    assert np.isfinite(vector_of(net)).all()
    assert np.isfinite(net.predict(X)).all()
    if net.solver in STOCHASTIC_SOLVERS:
        assert net.n_iter_ >= 1
        assert np.isnan(net.gradient_norm_)
    else:
        assert net.n_iter_ == 0
        assert net.gradient_norm_ > 0
    assert net.init_losses_.shape == (1,)


# Which of the reasons comes with a warning, as the docstring has it.
ENDS = {
    "gradient_norm": [
        {"mode": "lm", "tol": 1e-2},
        {"mode": "lbfgs", "tol": 1e-2},
        {"mode": "sgd", "gtol": 1e9},
    ],
    "tolerance": [{"mode": "adam", "tol": 10.0}, {"mode": "cg", "tol": 0, "n_iter_no_change": 1}],
    "goal": [{"mode": "bfgs", "loss_goal": 0.1}, {"mode": "sgd", "loss_goal": 0.5}],
    "validation": [
        {"mode": "scg", "early_stopping": True, "tol": 0.5, "gtol": 0},
        {"mode": "adam", "early_stopping": True, "tol": 0.5},
    ],
    "learning_rate": [{"mode": "sgd", "learning_rate": "adaptive", "tol": 10.0}],
    "max_iter": [{"mode": mode, "max_iter": 2} for mode in ("scg", "lbfgs", "sgd-16", "adam")],
    "max_fun": [{"mode": "rprop", "max_fun": 3}, {"mode": "lbfgs", "max_fun": 3}],
    "time": [{"mode": "gd", "max_time": 0.0}, {"mode": "sgd", "max_time": 0.0}],
    "step_size": [{"mode": "lm", "tol": 0, "n_iter_no_change": np.inf}],
    "line_search": [{"mode": "bfgs", "tol": 0, "n_iter_no_change": np.inf}],
}


@pytest.mark.parametrize(
    ("reason", "parameters"), [(reason, each) for reason in ENDS for each in ENDS[reason]]
)
@pytest.mark.parametrize("n_init", [1, 2])
def test_a_convergence_warning_exactly_where_a_limit_was_hit(reason, parameters, n_init, problem):
    X, y = problem()
    net = make_net(**{"max_iter": 5000, "hidden_layer_sizes": (2,), "n_init": n_init} | parameters)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        net.fit(X, y)
    assert net.stop_reason_ == reason
    record = [w for w in record if not str(w.message).startswith("Nothing was learnt")]
    assert [w.category for w in record] == ([ConvergenceWarning] if reason in WARNED else [])
    if reason in LIMITS:
        assert f"Raise {LIMITS[reason]}" in str(record[0].message)
    if reason == "max_iter":
        assert net.n_iter_ == 2
    assert all(warning.filename == __file__ for warning in record)


def test_every_reason_to_stop_is_tried():
    elsewhere = {"one_epoch", "callback", "interrupted", "diverged"}
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
    net, warned = with_warnings(lambda: make_net(mode, tol=0, max_iter=100).fit(X, y))
    assert warned == [ConvergenceWarning]
    assert net.stop_reason_ in ("diverged", "line_search", "step_size")
    assert np.isfinite(vector_of(net)).all()
    assert net.n_iter_ > 0
    assert np.isfinite([net.loss_, net.gradient_norm_]).all()
    assert net.loss_ == min(net.loss_curve_)


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
    assert net.n_fun_ < 4 * net.n_iter_


def test_a_number_of_now_does_not_read_as_advice(problem):
    X, y = problem()
    net = make_net("lm", tol=1e-300, gtol=None, n_iter_no_change=np.inf, max_iter=10**4)
    with pytest.warns(ConvergenceWarning, match=r"tol is 1e-300; .*: a larger tol ends at it"):
        net.fit(X, y)
    assert net.stop_reason_ == "step_size"
