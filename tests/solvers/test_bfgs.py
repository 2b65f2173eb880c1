"""Self-scaled BFGS: what the scale saves, and how it is kept."""

import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize

from fastbp import Network, Objective
from fastbp.model.data import as_data
from fastbp.solvers import bfgs
from helpers.surfaces import minimise


@pytest.fixture
def table(rng):
    """A network on data, and where it starts."""
    X = rng.standard_normal((300, 5))
    y = np.tanh(X @ rng.standard_normal((5, 1))) + 0.1 * rng.standard_normal((300, 1))
    network = Network((5, 8, 1), "tanh")
    start = network.initial_parameters(np.random.RandomState(0), np.dtype(float))
    return Objective(network, as_data(X, y)), start


def test_it_needs_far_fewer_evaluations_than_bfgs_without_a_scale(table):
    objective, start = table
    options = {"maxiter": 150, "gtol": 0.0}
    unscaled = scipy_minimize(
        objective.loss_and_gradient, start, jac=True, method="BFGS", options=options
    )
    result = minimise("bfgs", objective, start, loss_goal=unscaled.fun, max_fun=unscaled.nfev)
    assert result.stop_reason == "goal"
    assert result.history.n_fun < 0.75 * unscaled.nfev


def test_multiplying_the_scale_into_the_matrix_changes_rounding_alone(table, monkeypatch):
    expected = minimise("bfgs", *table, max_iter=30)
    monkeypatch.setattr(bfgs, "_MAX_SCALE", 0.0)  # after every iteration
    result = minimise("bfgs", *table, max_iter=30)
    np.testing.assert_allclose(result.parameters, expected.parameters, rtol=1e-6)
    assert result.history.n_fun == expected.history.n_fun
