"""Levenberg-Marquardt: J without full rank, also with Bayesian regularisation; refusals."""

import tracemalloc

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.model.data import as_data
from helpers.guards import DTYPES
from helpers.surfaces import BAYESIAN, SOLVERS, losses_from, minimise


def _constant_column(rng):
    X = rng.standard_normal((30, 3))
    X[:, 1] = 1.0
    return X, X[:, 0] - X[:, 2] ** 2


def _duplicate_columns(rng):
    X = rng.standard_normal((30, 2))[:, [0, 1, 0, 1]]
    return X, np.tanh(X[:, 0]) * X[:, 1]


def _fewer_rows_than_weights(rng):
    X = rng.standard_normal((4, 6))
    return X, rng.standard_normal(4)


def _one_row(rng):
    return rng.standard_normal((1, 3)), np.array([2.0])


def _constant_target(rng):
    return rng.standard_normal((30, 3)), np.full(30, 3.0)


def _all_columns_0(rng):
    return np.zeros((30, 3)), rng.standard_normal(30)


RANK_DEFICIENT = [
    _constant_column, _duplicate_columns, _fewer_rows_than_weights, _one_row, _constant_target,
    _all_columns_0,
]  # fmt: skip
EVERY_RANK_DEFICIENT = pytest.mark.parametrize("make", RANK_DEFICIENT)
EVERY_DEPTH = pytest.mark.parametrize("hidden", [(), (5,), (4, 3)], ids=str)


@EVERY_RANK_DEFICIENT
@EVERY_DEPTH
@DTYPES
def test_lm_goes_down_where_j_has_not_full_rank(make, hidden, dtype, rng):
    X, y = make(rng)
    network = Network((X.shape[1], *hidden, 1), "tanh")
    objective = Objective(network, as_data(X.astype(dtype), y), alpha=0.0)
    start = network.initial_parameters(np.random.RandomState(1), np.dtype(dtype))
    start_loss, _ = objective.loss_and_gradient(start)
    result = minimise("lm", objective, start)
    curve = losses_from(start_loss, result)
    assert (np.diff(curve) <= 0).all()
    assert curve[-1] < start_loss
    assert np.isfinite(result.parameters).all()


def _linear_without_noise(rng):
    X = rng.standard_normal((40, 3))
    return X, X @ [1.0, 2.0, 3.0] + 1.0


def _target_0(rng):
    return rng.standard_normal((40, 3)), np.zeros(40)


@pytest.mark.parametrize("make", [*RANK_DEFICIENT, _linear_without_noise, _target_0])
@EVERY_DEPTH
@DTYPES
def test_bayesian_regularisation_stays_finite_on_odd_data(make, hidden, dtype, rng):
    X, y = make(rng)
    network = Network((X.shape[1], *hidden, 1), "tanh")
    objective = Objective(network, as_data(X.astype(dtype), y))
    start = network.initial_parameters(np.random.RandomState(0), np.dtype(dtype))
    result = minimise(BAYESIAN, objective, start)
    assert np.isfinite(result.parameters).all()
    assert np.isfinite(result.history.loss_curve).all()
    assert 0 < result.alpha <= 1e10
    assert 0 <= result.effective_parameters <= network.n_parameters * (1 + 1e-6)


@pytest.mark.parametrize("solver", ["lm", "bfgs", BAYESIAN])
def test_too_large_a_matrix_is_refused_before_it_is_made(solver):
    start = np.zeros(20_000)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"20000 x 20000.*'lbfgs'") as refusal:
        minimise(solver, None, start)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6
    assert all(name in SOLVERS or name == "cg" for name in ("lbfgs", "cg", "scg", "rprop"))
    assert all(repr(name) in str(refusal.value) for name in ("lbfgs", "cg", "scg", "rprop"))


def test_lm_is_for_the_squared_error_alone(rng):
    network = Network((3, 4, 1), "tanh", "poisson")
    objective = Objective(network, as_data(rng.standard_normal((9, 3)), np.arange(9.0)))
    start = network.initial_parameters(np.random.RandomState(0), np.dtype(float))
    for failing in (
        lambda: objective.normal_equations(start),
        lambda: minimise("lm", objective, start),
    ):
        with pytest.raises(ValueError, match="'squared_error', not of 'poisson'"):
            failing()
