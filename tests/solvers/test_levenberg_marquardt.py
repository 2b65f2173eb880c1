"""Levenberg-Marquardt: J without full rank, Bayesian regularisation, acceleration; refusals."""

import tracemalloc

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.backends.cpu.predict import predict
from fastbp.model.data import as_data
from helpers.guards import DTYPES
from helpers.surfaces import BAYESIAN, SOLVERS, losses_from, minimise, weighted_problem


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
@pytest.mark.parametrize("solver", ["lm", "lm-accelerated"])
def test_lm_goes_down_where_j_has_not_full_rank(make, hidden, dtype, solver, rng):
    X, y = make(rng)
    network = Network((X.shape[1], *hidden, 1), "tanh")
    objective = Objective(network, as_data(X.astype(dtype), y), alpha=0.0)
    start = network.initial_parameters(np.random.RandomState(1), np.dtype(dtype))
    start_loss, _ = objective.loss_and_gradient(start)
    result = minimise(solver, objective, start)
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


def _first_step(objective, start):
    """Step, acceleration and path's end from a start, by NumPy's solve and dense matrices."""
    _, gradient, hessian = objective.normal_equations(start)
    hessian = np.triu(hessian) + np.triu(hessian, 1).T
    damped = hessian + 1e-3 * hessian.diagonal().max() * np.eye(start.size)
    step = np.linalg.solve(damped, -gradient)
    acceleration = np.linalg.solve(damped, -objective.curvature_gradient(start, step))
    t = min(1.0, 0.375 * np.linalg.norm(step) / np.linalg.norm(acceleration))
    return step, acceleration, t


def test_a_step_is_bent_by_its_acceleration(rng):
    """As far as the acceleration is short beside the step: a distant target bends it more."""
    ends = []
    for distance in (0.1, 1.0):
        objective, start = weighted_problem(rng, alpha=0.01)
        data = objective.data
        near = predict(objective.network, start, data)
        data.y[:] = near + distance * (data.y - near)
        step, acceleration, t = _first_step(objective, start)
        result = minimise("lm-accelerated", objective, start, max_iter=1)
        expected = start + t * step + 0.5 * t * t * acceleration
        np.testing.assert_allclose(result.parameters, expected, rtol=0, atol=1e-9)
        assert result.history.n_fun == 4  # the start, the matrix, the acceleration, the trial
        ends.append(t)
    assert ends[0] == 1 > ends[1]


def test_accelerated_it_takes_fewer_iterations_to_the_same_loss():
    x = np.linspace(-1, 1, 41)[:, None]
    network = Network((1, 5, 1), "tanh")
    n_iter = {"lm": [], "lm-accelerated": []}
    for seed in range(5):
        objective = Objective(network, as_data(x, np.sin(np.pi * x)))
        start = network.initial_parameters(np.random.RandomState(seed), np.dtype(float))
        goal = minimise("lm", objective, start, max_iter=40).history.loss
        for solver, of_solver in n_iter.items():
            result = minimise(solver, objective, start, loss_goal=goal)
            assert result.stop_reason == "goal"
            of_solver.append(result.history.n_iter)
    assert np.median(n_iter["lm-accelerated"]) < 0.75 * np.median(n_iter["lm"])


def test_with_bayesian_regularisation_it_finds_the_same_decay():
    # Of one of the problems that both ways lead to the same minimum of.
    rng = np.random.default_rng(2)
    objective, start = weighted_problem(rng, layers=(1, 2, 1), n_samples=200)
    plain = minimise(BAYESIAN, objective, start, gtol=1e-7)
    objective.alpha = 0.1
    accelerated = minimise(BAYESIAN, objective, start, gtol=1e-7, lm_acceleration=True)
    assert accelerated.stop_reason == plain.stop_reason == "gradient_norm"
    assert accelerated.alpha == pytest.approx(plain.alpha, rel=1e-3)
    assert accelerated.history.loss == pytest.approx(plain.history.loss, rel=1e-4)
    assert accelerated.history.n_fun != plain.history.n_fun


@pytest.mark.parametrize("not_finite", [np.nan, np.inf])
def test_where_the_acceleration_is_not_finite_the_step_is_straight(not_finite, rng):
    objective, start = weighted_problem(rng)
    straight = minimise("lm", objective, start, max_iter=5)
    objective.curvature_gradient = lambda parameters, _: np.full(parameters.size, not_finite)
    bent = minimise("lm-accelerated", objective, start, max_iter=5)
    np.testing.assert_array_equal(bent.parameters, straight.parameters)
