"""The gradient of the stochastic solvers' batches, which has no kernel of its own."""

import numpy as np
import pytest
from scipy import sparse

from fastbp import Network, Objective, loss_and_gradient
from fastbp.model.data import as_data
from fastbp.model.update_rules import Moments, sgd
from helpers.cases import RULES
from helpers.guards import DTYPES, TOO_SLOW_IN_PYTHON
from helpers.runs import NO_SHUFFLES, epoch

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
    plain = sgd(0.1, 0.0, False)
    return objective.run(parameters, batch_size, plain, moments, NO_SHUFFLES).gradient(parameters)


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


@TOO_SLOW_IN_PYTHON
@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("rule", ["plain", "momentum", "adam"])
def test_rows_beyond_the_31st_bit(batch_size, rule, rng):
    """Of a table of 8.6 GB that is never touched, but for its last rows."""
    n, n_features = 2**15 + 3, 2**16
    try:
        X = np.zeros((n, n_features), np.float32)
    except MemoryError:
        pytest.skip("the system gives no memory that is not there")
    rows = np.array([n - 1, n - 3, n - 2])
    X[rows, :5], X[rows, -5:] = rng.standard_normal((2, 3, 5))
    y = np.zeros((n, 1), np.float32)
    y[rows] = 1
    network = Network((n_features, 1))
    start = (0.01 * rng.standard_normal(network.n_parameters)).astype(np.float32)
    results = []
    for table, targets, order in ((X, y, rows), (X[rows], y[rows], np.arange(3))):
        data, parameters = as_data(table, targets, is_finite=True), start.copy()
        moments = Moments.zeros(start.size, start.dtype)
        loss = epoch(Objective(network, data), parameters, order, batch_size, RULES[rule], moments)
        results.append((loss, parameters))
    assert results[0][0] == results[1][0] > 0
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert (results[0][1] != start).any()
