"""The rival is right: the NumPy baseline against textbook backpropagation, before it is timed."""

from functools import partial

import numpy as np
import pytest

from bench.cases import ALPHA, DTYPES, assert_same
from bench.rivals import numpy_baseline
from fastbp import Network
from helpers import oracle

SIZES = (5, 7, 4, 2)
N_ROWS = 23
STEPS = {
    "plain": numpy_baseline.sgd_step,
    "momentum": partial(numpy_baseline.sgd_step, momentum=0.9),
    "nesterov": partial(numpy_baseline.sgd_step, momentum=0.9, nesterov=True),
    "adam": numpy_baseline.adam_step,
}
DIGITS = {"float64": 1e-12, "float32": 1e-5}


def make_problem(activation, dtype):
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((N_ROWS, SIZES[0])), rng.standard_normal((N_ROWS, SIZES[-1]))
    network = Network(SIZES, activation)
    parameters = network.initial_parameters(np.random.RandomState(1), np.dtype(dtype))
    net = numpy_baseline.make_net(SIZES, parameters, activation, ALPHA)
    return network, net, X.astype(dtype), y.astype(dtype)


def as_float64(network, parameters):
    return network.unpack(parameters.astype(np.float64))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", numpy_baseline.ACTIVATIONS)
def test_loss_and_gradient(activation, dtype):
    network, net, X, y = make_problem(activation, dtype)
    coefs, intercepts = as_float64(network, net.layers.flat)
    loss = numpy_baseline.loss_and_gradient(net, X, y)
    expected_loss, *expected = oracle.loss_and_gradient(
        coefs, intercepts, X, y, None, ALPHA, activation, "identity", "squared_error"
    )
    assert loss == pytest.approx(expected_loss, rel=DIGITS[np.dtype(dtype).name])
    assert_same(net.gradient.flat, network.pack(*expected, dtype), DIGITS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch_size", (1, 5, N_ROWS))
@pytest.mark.parametrize("kind", STEPS)
def test_epoch(kind, batch_size, dtype):
    network, net, X, y = make_problem("tanh", dtype)
    coefs, intercepts = as_float64(network, net.layers.flat)
    loss = numpy_baseline.epoch(net, X, y, batch_size, STEPS[kind])
    order, optimiser = np.arange(N_ROWS), oracle.Optimiser(kind, learning_rate=0.001)
    expected_loss = oracle.epoch(
        coefs, intercepts, X, y, None, ALPHA, "tanh", "identity", "squared_error",
        order, batch_size, optimiser,
    )  # fmt: skip
    assert loss == pytest.approx(expected_loss, rel=DIGITS[np.dtype(dtype).name])
    assert_same(net.layers.flat, network.pack(coefs, intercepts, dtype), DIGITS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", numpy_baseline.ACTIVATIONS)
def test_predict(activation, dtype):
    network, net, X, _ = make_problem(activation, dtype)
    X = np.tile(X, (50, 1))  # more rows than a block
    coefs, intercepts = as_float64(network, net.layers.flat)
    expected = [oracle.forward(coefs, intercepts, x, activation, "identity")[1][-1] for x in X]
    assert_same(numpy_baseline.predict(net, X), np.array(expected, dtype), DIGITS)
