"""Any network and any table, in any dtype, order in memory or sparse format: the oracle's numbers.

What a case is like is drawn by hypothesis; see `helpers.random_cases`.
"""

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import strategies as st

from fastbp import Network, Objective, loss_and_gradient
from fastbp.backends.cpu.predict import predict
from fastbp.model.activations import HIDDEN_ACTIVATIONS
from fastbp.model.data import as_data
from fastbp.model.losses import LOSSES
from fastbp.model.update_rules import Moments
from helpers import oracle
from helpers.cases import RULES, by_the_oracle, output_activations
from helpers.guards import TOO_SLOW_IN_PYTHON
from helpers.random_cases import FLOATS, INTEGERS, ORDERS, SEEDS, SPARSE, check_examples, numbers
from helpers.runs import epoch

pytestmark = TOO_SLOW_IN_PYTHON
HOW_MANY = pytest.mark.parametrize("n_examples", [15, pytest.param(500, marks=pytest.mark.slow)])
WIDTHS = st.one_of(st.integers(1, 9), st.sampled_from([15, 16, 17, 31, 33]))


@st.composite
def networks(draw):
    loss = draw(st.sampled_from(list(LOSSES)))
    layers = draw(st.lists(WIDTHS, min_size=2, max_size=5))
    layers[-1] += LOSSES[loss].is_softmax
    return Network(
        tuple(layers),
        draw(st.sampled_from(list(HIDDEN_ACTIVATIONS))),
        loss,
        draw(st.sampled_from([None, *output_activations(loss)])),
        (0.3,) if LOSSES[loss].parameter else (),
    )


def _taken_by(loss, y, rng):
    """Targets that a loss takes, of y's dtype."""
    if loss.is_softmax:
        y = np.eye(y.shape[1])[rng.integers(y.shape[1], size=len(y))].astype(y.dtype)
    elif loss.is_for_classes:
        y = (y > 0).astype(y.dtype)
    elif loss.positive:
        y = np.abs(y)
        if not loss.takes_zero:
            y[y == 0] = 1
    return y


@st.composite
def cases(draw):
    """A network, its parameters, and a table as a user may have it."""
    network, rng = draw(networks()), np.random.default_rng(draw(SEEDS))
    n = draw(st.integers(1, 40))
    X = numbers(rng, (n, network.layer_sizes[0]), draw(st.sampled_from(FLOATS + INTEGERS)))
    y = numbers(rng, (n, network.layer_sizes[-1]), draw(st.sampled_from(FLOATS + INTEGERS)))
    y = _taken_by(LOSSES[network.loss], y, rng)
    weights = draw(st.sampled_from([None, "f8", "f4", "i8"]))
    if weights is not None:
        weights = np.abs(numbers(rng, n, weights))
        weights[rng.integers(n)] = 1
    if X.dtype in (np.float32, np.float64) and draw(st.booleans()):
        X[rng.uniform(size=X.shape) < 0.7] = 0
        table = SPARSE[draw(st.sampled_from(list(SPARSE)))](X)
    else:
        table = ORDERS[draw(st.sampled_from(list(ORDERS)))](X)
        if isinstance(table, list) and X.dtype == np.float32:
            X = X.astype(np.float64)  # a list's numbers are Python's
    targets = ORDERS[draw(st.sampled_from(list(ORDERS)))](y[:, 0] if y.shape[1] == 1 else y)
    scale = 0.7 / np.sqrt(max(network.layer_sizes))
    parameters = scale * rng.standard_normal(network.n_parameters)
    is_single = getattr(table, "dtype", None) == np.float32
    return {
        "network": network,
        "parameters": parameters.astype(np.float32 if is_single else np.float64),
        "given": (table, targets, weights),
        "plain": tuple(None if a is None else a.astype(np.float64) for a in (X, y, weights)),
        "alpha": draw(st.sampled_from([0.0, 0.3])),
        "rng": rng,
    }


def _assert_close(got, expected, dtype):
    tolerance = 1e-11 if dtype == np.float64 else 1e-4
    largest = np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * largest + 1e-300)


def _gradient_and_predictions(case):
    network, parameters, (X, y, weights) = case["network"], case["parameters"], case["plain"]
    loss, gradient = loss_and_gradient(network, parameters, *case["given"], case["alpha"])
    expected_loss, expected = by_the_oracle(network, parameters, X, y, weights, case["alpha"])
    assert gradient.dtype == parameters.dtype
    _assert_close(gradient, expected, gradient.dtype)
    _assert_close(loss, expected_loss, gradient.dtype)
    coefs, intercepts = network.unpack(parameters.astype(np.float64))
    names = network.activation, network.last_activation
    outputs = [oracle.forward(coefs, intercepts, x, *names)[1][-1] for x in X]
    _assert_close(predict(network, parameters, as_data(case["given"][0])), outputs, gradient.dtype)


@HOW_MANY
def test_loss_gradient_and_predictions_are_the_oracles(n_examples):
    check_examples(n_examples, _gradient_and_predictions, cases())


def _epoch(case_and_rule):
    case, name, batch_size = case_and_rule
    network, (X, y, weights) = case["network"], case["plain"]
    rule = RULES[name]._replace(learning_rate=0.01)
    objective = Objective(network, as_data(*case["given"]), case["alpha"])
    parameters, rows = case["parameters"].copy(), case["rng"].permutation(len(X))
    expected = parameters.astype(np.float64)
    moments = Moments.zeros(parameters.size, parameters.dtype)
    loss = epoch(objective, parameters, rows, batch_size, rule, moments)
    optimiser = oracle.Optimiser(name, 0.01, rule.beta_1 or 0.9)
    expected_loss = oracle.epoch(
        *network.unpack(expected), X, y, weights, case["alpha"], network.activation,
        network.last_activation, network.loss, rows, min(batch_size, len(X)), optimiser,
        network.loss_parameter_of_outputs,
    )  # fmt: skip
    if parameters.dtype == np.float64:  # adam divides by gradients of 0 plus rounding
        _assert_close(loss, expected_loss, parameters.dtype)
        if name != "adam":
            _assert_close(parameters, expected, parameters.dtype)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-3, atol=1e-5)
    assert np.isfinite(parameters).all()


@HOW_MANY
def test_an_epoch_is_the_oracles(n_examples):
    rules = st.tuples(cases(), st.sampled_from(list(RULES)), st.integers(1, 40))
    check_examples(n_examples, _epoch, rules)
