"""Bayesian regularisation: the weight decay it finds is the evidence's, whatever the rounding."""

import math

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.backends.cpu.predict import predict
from fastbp.model.data import as_data
from helpers.surfaces import BAYESIAN, minimise


def _noisy_sine(n_hidden, seed, order=None, n_outputs=1):
    """60 noisy rows of a sine and a start; rows may be put in another order."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (60, 1))
    y = np.sin(3 * X + np.arange(n_outputs)) + 0.3 * rng.standard_normal((60, n_outputs))
    if order is not None:
        X, y = X[order], y[order]
    network = Network((1, n_hidden, n_outputs), "tanh")
    start = network.initial_parameters(np.random.RandomState(seed), np.dtype(float))
    return Objective(network, as_data(X, y)), start


def _distance_from_sine(objective, parameters):
    X = np.linspace(-1, 1, 200)[:, None]
    error = predict(objective.network, parameters, as_data(X)) - np.sin(3 * X)
    return math.sqrt(np.mean(error**2))


@pytest.mark.parametrize("seed", [1, 2, 3, 7])
def test_bayesian_regularisation_holds_a_net_that_is_too_large(seed):
    objective, start = _noisy_sine(20, seed)
    result = minimise(BAYESIAN, objective, start, gtol=1e-5)
    assert objective.network.n_parameters == 61
    assert 4 < result.effective_parameters < 20
    assert result.alpha == objective.alpha > 0
    unregularised, _ = _noisy_sine(20, seed)
    other = minimise("lm", unregularised, start)
    assert unregularised.alpha == 0
    assert _distance_from_sine(objective, result.parameters) < 0.7 * _distance_from_sine(
        unregularised, other.parameters
    )


def _evidence(objective, parameters, ridge):
    """Parameters that the data determine, and alpha by MacKay's formula, worked out whole.

    ridge : of the largest diagonal entry of J'J, what is determined by less is not determined.
    """
    n_rows, n_weights = objective.data.n_samples, objective.network.n_weights
    n_outputs = objective.network.layer_sizes[-1]
    decay = np.where(np.arange(parameters.size) < n_weights, objective.alpha, 0.0)
    loss, _, hessian = objective.normal_equations(parameters)
    products = n_rows * (np.triu(hessian) + np.triu(hessian, 1).T) - np.diag(decay)
    added = np.diag(decay + ridge * products.diagonal().max())
    determined = np.linalg.solve(products + added, products).diagonal()
    square_sum = np.sum(parameters[:n_weights] ** 2)
    errors = 2 * n_rows * loss - objective.alpha * square_sum
    n_left = n_rows * n_outputs - determined.sum()
    return determined.sum(), determined[:n_weights].sum() * errors / square_sum / n_left


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("n_hidden", [3, 20])
@pytest.mark.parametrize("seed", range(1, 5))
def test_alpha_is_a_fixed_point_of_the_evidence(seed, n_hidden, n_outputs):
    """Within what is left open: how small a number is still one, where J has not full rank."""
    objective, start = _noisy_sine(n_hidden, seed, n_outputs=n_outputs)
    result = minimise(BAYESIAN, objective, start, gtol=1e-6, max_iter=2000)
    assert result.stop_reason == "gradient_norm"
    largest = _evidence(objective, result.parameters, 1e-13)
    smallest = _evidence(objective, result.parameters, 1e-10)
    found = (result.effective_parameters, result.alpha)
    assert (np.array(found) > 0.995 * np.minimum(smallest, largest)).all()
    assert (np.array(found) < 1.005 * np.maximum(smallest, largest)).all()
    if n_hidden == 3:
        assert largest == pytest.approx(smallest, rel=0.01)


@pytest.mark.parametrize(("n_hidden", "seed"), [(3, 0), (5, 2), (20, 1)])
def test_alpha_does_not_hang_on_the_rounding_of_sums(n_hidden, seed):
    """Another order of the rows changes the last bits of H, and nothing that could be meant."""
    found = []
    for i in range(5):
        order = np.random.default_rng(i).permutation(60) if i else np.arange(60)
        problem = _noisy_sine(n_hidden, seed, order)
        result = minimise(BAYESIAN, *problem, gtol=1e-6, max_iter=1000)
        found.append((result.alpha, result.effective_parameters))
    np.testing.assert_allclose(found, [found[0]] * 5, rtol=0.05)


def test_a_weight_of_2_is_a_row_said_twice_to_the_evidence(rng):
    X = rng.uniform(-1, 1, (40, 1))
    y = np.sin(3 * X) + 0.3 * rng.standard_normal((40, 1))
    network = Network((1, 4, 1), "tanh")
    start = network.initial_parameters(np.random.RandomState(0), np.dtype(float))
    results = [
        minimise(BAYESIAN, Objective(network, data), start, gtol=1e-7)
        for data in (as_data(X, y, np.full(40, 2.0)), as_data(np.repeat(X, 2, 0), np.repeat(y, 2)))
    ]
    assert [result.stop_reason for result in results] == ["gradient_norm"] * 2
    weighted, repeated = ((result.alpha, result.effective_parameters) for result in results)
    assert weighted == pytest.approx(repeated, rel=1e-2)
