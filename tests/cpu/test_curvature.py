"""Second derivatives along a line, taken back to the parameters, against a dense Jacobian."""

import numpy as np
import pytest
from scipy import sparse

from fastbp import Network, Objective
from fastbp.backends.cpu.jacobian import parameter_jacobian
from fastbp.backends.cpu.predict import predict
from fastbp.model.data import as_data
from helpers.guards import DTYPES

TOLERANCE = {np.float64: 1e-6, np.float32: 2e-2}


def _case(rng, layers=(4, 5, 3, 2), activation="tanh", output_activation=None, n_samples=50):
    network = Network(layers, activation, output_activation=output_activation)
    parameters = 0.7 * rng.standard_normal(network.n_parameters)
    X, y = rng.standard_normal((n_samples, layers[0])), rng.standard_normal((n_samples, layers[-1]))
    return network, parameters, X, y, rng.uniform(0, 2, n_samples)


def _expected(network, parameters, X, weights, direction):
    """J' w f'' / W, f'' from differences of J v."""
    data, rows = as_data(X), np.arange(len(X))

    def jacobian(at):
        return parameter_jacobian(network, at, data, rows)

    h = 1e-5 / np.abs(direction).max()
    difference = jacobian(parameters + h * direction) - jacobian(parameters - h * direction)
    bend = difference @ direction / (2 * h)
    return np.einsum("i,iop,io->p", weights, jacobian(parameters), bend) / weights.sum()


def _assert_close(got, expected, dtype):
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE[dtype] * abs(expected).max())


@pytest.mark.parametrize("output_activation", ["identity", "tanh", "logistic", "softplus"])
@pytest.mark.parametrize("length", [1e-6, 1e-4])
@DTYPES
def test_it_is_that_of_a_dense_jacobian(output_activation, length, dtype, rng):
    network, parameters, X, y, weights = _case(rng, output_activation=output_activation)
    parameters, X = (each.astype(np.float32).astype(np.float64) for each in (parameters, X))
    direction = length * rng.standard_normal(parameters.size)
    objective = Objective(network, as_data(X.astype(dtype), y, weights), alpha=0.5)
    found = objective.curvature_gradient(parameters.astype(dtype), direction)
    _assert_close(found, _expected(network, parameters, X, weights, direction), dtype)
    assert objective.n_evaluations == 1


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_data_and_objective_stay_as_they_are(container, rng):
    network, parameters, X, y, weights = _case(rng)
    X[X < 0] = 0
    data = as_data(container(X), y, weights)
    objective = Objective(network, data, alpha=0.1)
    before = objective.loss_and_gradient(parameters)
    directions = 1e-4 * rng.standard_normal((2, parameters.size))
    first = [objective.curvature_gradient(parameters, each) for each in directions]
    np.testing.assert_array_equal(data.y, y)
    again = [objective.curvature_gradient(parameters, each) for each in directions]
    np.testing.assert_array_equal(first, again)
    after = objective.loss_and_gradient(parameters)
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    for found, direction in zip(first, directions, strict=True):
        expected = _expected(network, parameters, X, weights, direction)
        _assert_close(found, expected, np.float64)


def test_any_number_of_threads_has_the_same_bits(rng):
    network, parameters, X, y, weights = _case(rng, n_samples=4000)
    direction = rng.standard_normal(parameters.size)
    found = [
        Objective(network, as_data(X, y, weights), n_threads=n).curvature_gradient(
            parameters, direction
        )
        for n in (1, 2, 3)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_of_a_long_direction_it_is_seen_from_a_tenth_of_it(rng):
    network, parameters, X, y, weights = _case(rng)
    objective = Objective(network, as_data(X, y, weights))
    direction = rng.standard_normal(parameters.size)
    tenth = 0.1 * direction
    below, middle, above = (
        predict(network, parameters + by, objective.data) for by in (-tenth, 0.0, tenth)
    )
    bend = (above - 2 * middle + below) / 0.1**2
    jacobian = parameter_jacobian(network, parameters, objective.data, np.arange(len(X)))
    expected = np.einsum("i,iop,io->p", weights, jacobian, bend) / weights.sum()
    found = objective.curvature_gradient(parameters, direction)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * abs(expected).max())


def test_a_linear_network_does_not_bend(rng):
    network, parameters, X, y, weights = _case(rng, layers=(4, 2))
    objective = Objective(network, as_data(X, y, weights))
    found = objective.curvature_gradient(parameters, rng.standard_normal(parameters.size))
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_what_overflows_is_not_finite(rng):
    network, parameters, X, y, _ = _case(rng, activation="identity")
    parameters[:] = 1e200
    objective = Objective(network, as_data(X, y))
    with np.errstate(all="ignore"):
        found = objective.curvature_gradient(parameters, np.ones(parameters.size))
    assert not np.isfinite(found).all()
