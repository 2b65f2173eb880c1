"""Every batch solver survives wrong gradients, NaN and infinity, and data of any scale."""

import itertools

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.model.data import as_data
from helpers.guards import DTYPES
from helpers.surfaces import (
    BAYESIAN,
    EVERY_SOLVER,
    EVERY_SOLVER_AND_BAYESIAN,
    RISING,
    START,
    Rosenbrock,
    Surface,
    losses_from,
    minimise,
    watched,
    weighted_problem,
)


def _signs(*signs):
    return lambda call, p, loss, gradient, *hessian: (loss, gradient * signs, *hessian)


def _random_gradient(call, p, loss, gradient, *hessian):
    return loss, np.random.default_rng(call).standard_normal(gradient.shape), *hessian


def _zero_entry(call, p, loss, gradient, *hessian):
    return loss, gradient * (np.arange(gradient.size) % 2), *hessian


WRONG_GRADIENTS = {
    "all signs": _signs(-1),
    "some signs": lambda call, p, loss, gradient, *hessian: (
        loss, gradient * (1 - 2 * (np.arange(gradient.size) % 2)), *hessian,
    ),
    "random": _random_gradient,
    "entries missing": _zero_entry,
    "too large": _signs(1e6),
    "too small": _signs(1e-6),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_GRADIENTS)
@EVERY_SOLVER
@DTYPES
def test_with_a_wrong_gradient_it_ends_no_higher(solver, wrong, dtype, rng):
    network_objective, network_start = weighted_problem(rng, dtype)
    for clean, start in (
        (Rosenbrock(), START.astype(dtype)),
        (network_objective, network_start),
    ):
        start_loss, _ = clean.loss_and_gradient(start)
        answer = clean.loss_and_gradient
        result = minimise(
            solver, watched(clean, WRONG_GRADIENTS[wrong]), start, max_iter=1000, max_fun=3000
        )
        assert np.isfinite(result.parameters).all()
        assert result.history.loss == answer(result.parameters)[0] <= start_loss
        if solver not in RISING:
            assert (np.diff(losses_from(start_loss, result)) <= 0).all()


def _bad_loss(bad, loss, gradient, *hessian):
    return bad, gradient, *hessian


def _bad_gradient(bad, loss, gradient, *hessian):
    return loss, np.array([bad, -bad]), *hessian


def _all_bad(bad, loss, gradient, *hessian):
    return bad, np.array([bad, -bad]), *(np.full((2, 2), bad) for _ in hessian)


SPOILT = {"loss": _bad_loss, "gradient": _bad_gradient, "all": _all_bad}
EVERY_BAD_NUMBER = pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])


@EVERY_BAD_NUMBER
@pytest.mark.parametrize("spoilt", SPOILT)
@EVERY_SOLVER
@DTYPES
def test_a_region_of_nan_or_infinity_is_survived(solver, spoilt, bad, dtype):
    """Beyond x = 0.3 of Rosenbrock's valley, whose minimum is at 1."""

    def change(call, p, *answer):
        return SPOILT[spoilt](bad, *answer) if p[0] > 0.3 else answer

    start = START.astype(dtype)
    result = minimise(solver, watched(Rosenbrock(), change), start, max_fun=3000)
    start_loss, _ = Rosenbrock().loss_and_gradient(start)
    assert np.isfinite(result.parameters).all()
    assert result.parameters[0] <= 0.3
    assert result.history.loss == Rosenbrock().loss_and_gradient(result.parameters)[0] < start_loss
    assert np.isfinite(result.history.loss_curve).all()


@EVERY_BAD_NUMBER
@pytest.mark.parametrize("spoilt", SPOILT)
@EVERY_SOLVER
@DTYPES
def test_nan_or_infinity_from_some_evaluation_on_ends_it(solver, spoilt, bad, dtype):
    start = START.astype(dtype)
    start_loss, _ = Rosenbrock().loss_and_gradient(start)
    for first_bad in (2, 3, 4, 5, 9):

        def change(call, p, *answer, first_bad=first_bad):
            return SPOILT[spoilt](bad, *answer) if call >= first_bad else answer

        result = minimise(solver, watched(Rosenbrock(), change), start)
        loss, _ = Rosenbrock().loss_and_gradient(result.parameters)
        assert np.isfinite(result.parameters).all()
        assert result.history.loss == loss <= start_loss
        assert result.stop_reason in ("diverged", "line_search", "step_size")
        assert result.history.n_fun < first_bad + 500


@EVERY_BAD_NUMBER
@pytest.mark.parametrize("spoilt", SPOILT)
@EVERY_SOLVER
def test_nan_or_infinity_at_the_start_is_diverged(solver, spoilt, bad):
    objective = watched(Rosenbrock(), lambda call, p, *answer: SPOILT[spoilt](bad, *answer))
    result = minimise(solver, objective, START)
    assert result.stop_reason == "diverged"
    assert (objective.n_calls, result.history.n_fun, result.history.n_iter) == (1, 1, 0)
    np.testing.assert_array_equal(result.parameters, START)


class Plane(Surface):
    """-x - y, which falls for ever."""

    def answer(self, parameters):
        return -sum(map(float, parameters)), -np.ones(2), np.ones((2, 2))


class Plateau(Surface):
    """(e^-2x + e^-0.2y) / 2, which falls for ever and by ever less."""

    def answer(self, parameters):
        rates = np.array([1.0, 0.1])
        errors = np.exp(np.minimum(-rates * parameters, 700.0))
        slopes = -rates * errors
        with np.errstate(over="ignore"):
            return errors @ errors / 2, slopes * errors, np.diag(slopes * slopes)


@pytest.mark.parametrize("surface", [Plane, Plateau])
@EVERY_SOLVER
@DTYPES
def test_without_a_minimum_parameters_stay_finite(solver, surface, dtype):
    start = np.array([0.5, -1.0], dtype)
    result = minimise(solver, surface(), start, max_fun=10_000)
    start_loss, _ = surface().loss_and_gradient(start)
    assert np.isfinite(result.parameters).all()
    assert np.isfinite(result.history.loss)
    assert result.history.loss < start_loss
    assert result.stop_reason != "max_fun", "an iteration that goes on for ever"


class Ridge(Surface):
    """-sqrt(1 + x^2) - y / 10: it falls for ever, and everywhere steeper than before."""

    def answer(self, parameters):
        x, y = map(float, parameters)
        root = np.hypot(1.0, x)
        return -root - y / 10, np.array([-x / root, -0.1]), np.diag([1.0, 1.0])


@pytest.mark.parametrize("solver", ["lbfgs", "bfgs"])
def test_a_step_without_curvature_teaches_quasi_newton_nothing(solver):
    """Along it s'y <= 0; with that in its matrix, the next direction would lead up."""
    curvatures, points = [], []

    def noted(call, p, loss, gradient, *rest):
        points.append((p.copy(), gradient.copy()))
        return loss, gradient, *rest

    start = np.array([0.5, 0.0])
    start_loss, _ = Ridge().loss_and_gradient(start)
    result = minimise(solver, watched(Ridge(), noted), start, max_iter=5)
    for (p, gradient), (q, other) in itertools.pairwise(points):
        curvatures.append((q - p) @ (other - gradient))
    assert max(curvatures) <= 0
    losses = losses_from(start_loss, result)
    assert result.stop_reason == "max_iter"
    assert (np.diff(losses) <= 0).all()
    assert losses[-1] < 1e3 * start_loss


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e-30, 1e30, 1e120, 1e200])
@EVERY_SOLVER
def test_a_scale_far_from_1_is_survived(solver, scale):
    def change(call, p, *answer):
        with np.errstate(over="ignore"):
            return tuple(scale * part for part in answer)

    result = minimise(solver, watched(Rosenbrock(), change), START, max_fun=3000)
    start_loss, _ = Rosenbrock().loss_and_gradient(START)
    assert np.isfinite(result.parameters).all()
    assert Rosenbrock().loss_and_gradient(result.parameters)[0] <= start_loss


class Bowl(Surface):
    """x^2 + y^2."""

    def answer(self, parameters):
        return float(parameters @ parameters), 2 * parameters, 2 * np.eye(2)


@pytest.mark.slow
@EVERY_SOLVER
def test_where_squares_are_0_there_is_nothing_to_divide_by(solver):
    for size in np.geomspace(1e-163, 1e-155, 161):
        start = size * np.array([1.0, 0.5])
        result = minimise(solver, Bowl(), start, max_iter=100)
        assert np.isfinite(result.parameters).all()
        assert result.history.loss <= start @ start


NETWORKS = {
    "linear": Network((3, 1)),
    "relu": Network((3, 8, 5, 1), "relu"),
    "tanh": Network((3, 8, 5, 1), "tanh"),
    "exp": Network((3, 5, 1), "tanh", output_activation="exp"),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(
    ("X_scale", "y_scale"),
    [(1.0, 0.0), (1e12, 0.0), (1e-12, 1e-12), (1e12, 1.0), (1.0, 1e15), (1e6, 1e15)],
)
@EVERY_SOLVER_AND_BAYESIAN
@DTYPES
def test_data_of_any_scale_are_survived(solver, X_scale, y_scale, network, dtype, rng):
    """A target of 0 too, with which a loss can fall until nothing is left to divide by."""
    X = (X_scale * rng.standard_normal((40, 3))).astype(dtype)
    y = (y_scale * (1 + rng.standard_normal(40))).astype(dtype)
    start = network.initial_parameters(np.random.RandomState(0), np.dtype(dtype))
    start_loss, _ = Objective(network, as_data(X, y)).loss_and_gradient(start)
    result = minimise(solver, Objective(network, as_data(X, y)), start, max_fun=3000)
    assert np.isfinite(result.parameters).all()
    if solver != BAYESIAN:
        assert result.history.loss <= start_loss


@pytest.mark.parametrize("gtol", [0.0, 1e-4])
@EVERY_SOLVER_AND_BAYESIAN
@DTYPES
def test_a_gradient_of_0_at_the_start_ends_it_at_once(solver, gtol, dtype):
    network = Network((2, 3, 1), "tanh")
    X = np.arange(8.0).reshape(4, 2).astype(dtype)
    objective = watched(Objective(network, as_data(X, np.array([1.0, -1.0, 2.0, -2.0]))))
    start = np.zeros(network.n_parameters, dtype)
    result = minimise(solver, objective, start, gtol=gtol)
    assert result.stop_reason == "gradient_norm"
    assert (objective.n_calls, result.history.n_fun, result.history.n_iter) == (1, 1, 1)
    assert result.history.gradient_norm == 0.0
    np.testing.assert_array_equal(result.parameters, start)
