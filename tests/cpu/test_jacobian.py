"""Derivatives of predictions against the textbook, differences, and the normal equations."""

import itertools

import numpy as np
import pytest
from scipy import sparse

from fastbp import Network
from fastbp.backends.cpu.jacobian import input_gradient, parameter_jacobian
from fastbp.backends.cpu.normal_equations import NormalEquations
from fastbp.backends.cpu.predict import predict
from fastbp.model.activations import HIDDEN_ACTIVATIONS
from fastbp.model.data import as_data
from helpers import oracle
from helpers.cases import output_activations
from helpers.guards import DTYPES

TOLERANCE = {np.float64: 1e-12, np.float32: 2e-5}
HIDDEN = {0: (), 1: (5,), 2: (19, 3), 3: (3, 5, 20)}
CASES = [
    (activation, HIDDEN[depth], None, loss)
    for activation, depth in [("identity", 0), *itertools.product(HIDDEN_ACTIVATIONS, [1, 2, 3])]
    for loss in ("squared_error", "cross_entropy")
]
CASES += [
    ("tanh", HIDDEN[depth], output, "squared_error")
    for output in output_activations("squared_error")
    for depth in (0, 2)
]


def _case(layers, rng, activation="tanh", output_activation=None, loss="squared_error", n=9):
    network = Network(layers, activation, loss, output_activation)
    parameters = 0.7 * rng.standard_normal(network.n_parameters)
    return network, parameters, rng.standard_normal((n, layers[0]))


def _by_the_oracle(network, parameters, X):
    coefs, intercepts = network.unpack(np.asarray(parameters, np.float64))
    names = network.activation, network.last_activation
    return np.array([oracle.input_gradient(coefs, intercepts, x, *names) for x in X])


def _close(got, expected, tolerance):
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(got, expected, atol=tolerance * scale, rtol=0)


def test_the_oracle_against_central_differences(rng):
    network, parameters, X = _case((3, 4, 3, 2), rng, "silu", "softplus")
    coefs, intercepts = network.unpack(parameters)
    expected = _by_the_oracle(network, parameters, X)
    for k in range(3):
        h = 1e-6 * np.eye(3)[k]
        above, below = (
            np.array([oracle.forward(coefs, intercepts, x, "silu", "softplus")[1][-1] for x in at])
            for at in (X + h, X - h)
        )
        np.testing.assert_allclose(expected[:, :, k], (above - below) / 2e-6, atol=1e-8)


@pytest.mark.parametrize(("activation", "hidden", "output_activation", "loss"), CASES)
@DTYPES
def test_every_activation_and_depth(activation, hidden, output_activation, loss, dtype, rng):
    for n_outputs in (1, 2, 3):
        case = _case((4, *hidden, n_outputs), rng, activation, output_activation, loss)
        network, parameters, X = case[0], *(array.astype(dtype) for array in case[1:])
        got = input_gradient(network, parameters, as_data(X))
        assert got.dtype == dtype
        _close(got, _by_the_oracle(network, parameters, X), TOLERANCE[dtype])


@pytest.mark.parametrize("layers", [(1, 1), (1, 1, 1), (40, 2), (17, 33, 9, 2), (8, 130, 1)])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 300])
def test_all_sizes_and_numbers_of_rows(layers, n, rng):
    network, parameters, X = _case(layers, rng, n=n)
    got = input_gradient(network, parameters, as_data(X))
    assert got.shape == (n, layers[-1], layers[0])
    _close(got, _by_the_oracle(network, parameters, X), 1e-12)


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_the_same_bits_for_any_threads_and_for_sparse_rows(loss, rng, monkeypatch):
    network, parameters, X = _case((6, 11, 3), rng, loss=loss, n=501)
    X[rng.random(X.shape) < 0.7] = 0
    got = input_gradient(network, parameters, as_data(X), 1)
    monkeypatch.setattr("fastbp.machine.threads._FLOPS_PER_CALL", 1e4)
    for n_threads in (2, 3):
        assert np.array_equal(got, input_gradient(network, parameters, as_data(X), n_threads))
    sparse_rows = as_data(sparse.csr_matrix(X))
    assert np.array_equal(got, input_gradient(network, parameters, sparse_rows, 2))


def test_the_parameters_derivatives_against_differences_of_predictions(rng):
    network, parameters, X = _case((4, 9, 3, 2), rng, "gelu", "softplus", n=40)
    data, rows = as_data(X), np.array([3, 39, 0])
    got = parameter_jacobian(network, parameters, data, rows)
    assert got.shape == (3, 2, network.n_parameters)
    for k in range(network.n_parameters):
        h = 1e-6 * np.eye(network.n_parameters)[k]
        above, below = (predict(network, at, data)[rows] for at in (parameters + h, parameters - h))
        np.testing.assert_allclose(got[:, :, k], (above - below) / 2e-6, atol=1e-8)


@pytest.mark.parametrize("layers", [(1, 1), (3, 2), (3, 23, 1), (4, 9, 7, 2)])
@DTYPES
def test_the_parameters_derivatives_make_the_normal_equations(layers, dtype, rng):
    network, parameters, X = _case(layers, rng, n=150)
    parameters, X = parameters.astype(dtype), X.astype(dtype)
    data = as_data(X, np.zeros((150, layers[-1]), dtype))
    jacobian = parameter_jacobian(network, parameters, data, np.arange(150)).astype(np.float64)
    assert jacobian.shape == (150, layers[-1], network.n_parameters)
    _, _, products = NormalEquations(network, data).sums(parameters, 1)
    expected = np.einsum("nkp,nkq->pq", jacobian, jacobian)
    _close(np.triu(products), np.triu(expected), TOLERANCE[dtype])
