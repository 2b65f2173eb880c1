"""Slopes and gradients against complex steps, which have no difference to lose digits in.

Of an analytic f, Im f(z + ih) / h is f'(z) up to h^2, which of h = 1e-100 is nothing (Squire and
Trapp 1998). Where f has branches or is |z|, the real part decides.
"""

import numpy as np
import pytest
from scipy.special import erfc

from fastbp import loss_and_gradient
from fastbp.model.activations import ACTIVATIONS
from fastbp.model.losses import LOSSES
from helpers import oracle
from helpers.cases import EVERY_NETWORK, make_case, name_of

STEP = 1e-100
Z = np.concatenate([np.linspace(-20, 20, 81) + 0.01, [-1e-3, 1e-3, -300.0, 300.0]])


def _logistic(z):
    return 1 / (1 + np.exp(-z))


def _softplus(z):
    e = np.exp(np.where(z.real > 0, -z, z))
    return np.where(z.real > 0, z, 0) + 2 * np.arctanh(e / (2 + e))  # log1p(e), with all its digits


def _softmax(z):
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def _size(e):
    return np.where(e.real < 0, -e, e)


#: The activations of the oracle, for complex numbers.
COMPLEX = {
    "identity": lambda z: z,
    "logistic": _logistic,
    "tanh": np.tanh,
    "relu": lambda z: np.where(z.real > 0, z, 0),
    "softsign": lambda z: z / (1 + np.where(z.real > 0, z, -z)),
    "softplus": _softplus,
    "leaky_relu": lambda z: np.where(z.real > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z.real > 0, z, np.expm1(np.where(z.real > 0, 0, z))),
    "silu": lambda z: z * _logistic(z),
    "gelu": lambda z: z * erfc(-z / np.sqrt(2)) / 2,
    "mish": lambda z: z * np.tanh(_softplus(z)),
    "sin": np.sin,
    "exp": np.exp,
}
COMPLEX_LOSSES = {
    "squared_error": lambda p, y, _: (p - y) ** 2 / 2,
    "absolute_error": lambda p, y, _: _size(p - y),
    "huber": lambda p, y, d: np.where(
        abs(p - y) <= d, (p - y) ** 2 / 2, d * (_size(p - y) - d / 2)
    ),
    "quantile": lambda p, y, q: np.where(p.real < y, q * (y - p), (1 - q) * (p - y)),
    "log_cosh": lambda p, y, _: np.log(np.cosh(p - y)),
    "poisson": lambda p, y, _: p - y + np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / p), 0),
    "gamma": lambda p, y, _: np.log(p / np.where(y > 0, y, 1)) + y / p - 1,
    "binary_cross_entropy": lambda p, y, _: -y * np.log(p) - (1 - y) * np.log(1 - p),
    "cross_entropy": lambda p, y, _: -y * np.log(p),
}


def test_every_activation_and_loss_is_here():
    assert set(COMPLEX) == set(ACTIVATIONS)
    assert set(COMPLEX_LOSSES) == set(LOSSES)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_of_the_records_and_of_the_oracle(name):
    value, slope = oracle.ACTIVATIONS[name]
    f = COMPLEX[name](Z + 1j * STEP)
    np.testing.assert_allclose(f.real, value(Z), rtol=1e-13)
    expected = f.imag / STEP
    np.testing.assert_allclose(slope(Z), expected, rtol=1e-13, atol=1e-15)
    of_record = [ACTIVATIONS[name].slope(z, ACTIVATIONS[name].value(z)) for z in Z]
    np.testing.assert_allclose(of_record, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_the_losses(name, rng):
    p, y = rng.uniform(0.1, 3, 50), rng.integers(0, 4, 50).astype(float)
    if LOSSES[name].is_for_classes:
        p, y = p / 3.1, y / 3
    expected = COMPLEX_LOSSES[name](p + 1j * STEP, y, 0.7).imag / STEP
    got = [LOSSES[name].gradient(*map(np.float64, (a, b, 0.7))) for a, b in zip(p, y, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)


def _loss(network, parameters, X, y, weights, alpha):
    """The objective L, of complex parameters."""
    coefs, intercepts = network.unpack(parameters)
    outputs = X
    for layer, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        is_last = layer == len(coefs) - 1
        name = network.last_activation if is_last else network.activation
        activate = _softmax if name == "softmax" else COMPLEX[name]
        outputs = activate(outputs @ coef + intercept)
    own = network.loss_parameter_of_outputs
    losses = COMPLEX_LOSSES[network.loss](outputs, y, own).sum(axis=1)
    penalty = alpha / 2 * np.sum(parameters[: network.n_weights] ** 2)
    return (np.sum(weights * losses) + penalty) / weights.sum()


@pytest.mark.parametrize("network", EVERY_NETWORK, ids=name_of)
def test_the_gradient_of_a_whole_network(network, rng):
    parameters, X, y, weights = make_case(network, 7, rng)
    loss, gradient = loss_and_gradient(network, parameters, X, y, weights, alpha=0.3)
    steps = parameters + 1j * STEP * np.eye(network.n_parameters)
    losses = np.array([_loss(network, step, X, y, weights, 0.3) for step in steps])
    assert loss == pytest.approx(losses[0].real, rel=1e-13)
    expected = losses.imag / STEP
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
