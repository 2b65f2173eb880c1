"""A loss's own number reaches every kernel, and no error is cut short that has no short cut."""

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.backends.cpu.one_sample import OneSample
from fastbp.model.data import as_data
from fastbp.model.update_rules import Moments, Rule
from helpers import oracle
from helpers.cases import by_the_oracle
from helpers.guards import NEEDS_A_COMPILER
from helpers.runs import epoch

CASES = [("huber", (0.3,)), ("huber", (0.2, 5.0, 0.7)), ("quantile", (0.2, 0.5, 0.9)),
         ("absolute_error", ())]  # fmt: skip


@pytest.fixture(params=[(np.float64, 1e-12), (np.float32, 1e-4)], ids=["f64", "f32"])
def case(request, rng):
    def make(loss, own, output_activation):
        network = Network((4, 5, 3), "tanh", loss, output_activation, own)
        X, y = (rng.standard_normal((40, n)).astype(dtype) for n in (4, 3))
        return network, X, y, rng.standard_normal(network.n_parameters).astype(dtype), tolerance

    dtype, tolerance = request.param
    return make


@pytest.mark.parametrize("output_activation", [None, "tanh"])
@pytest.mark.parametrize(("loss", "own"), CASES)
def test_the_gradient(case, loss, own, output_activation):
    network, X, y, p, tolerance = case(loss, own, output_activation)
    value, gradient = Objective(network, as_data(X, y), 0.1).loss_and_gradient(p)
    expected_value, expected = by_the_oracle(network, p, X, y, None, 0.1)
    assert abs(value - expected_value) <= tolerance * expected_value
    assert np.abs(gradient - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("batch_size", [1, 7, 40])
@pytest.mark.parametrize(("loss", "own"), CASES)
def test_an_epoch(case, loss, own, batch_size):
    network, X, y, p, tolerance = case(loss, own, None)
    objective = Objective(network, as_data(X, y), 0.1)
    for name in ("plain", "adam"):
        rule = Rule.of(name, 0.01, 0.9, 0.999, 1e-8)
        mean = epoch(
            objective, p.copy(), np.arange(40), batch_size, rule, Moments.zeros(p.size, p.dtype)
        )
        coefs, intercepts = network.unpack(p.astype(np.float64))
        expected = oracle.epoch(
            [w.copy() for w in coefs], [b.copy() for b in intercepts],
            X.astype(float), y.astype(float), None, 0.1, "tanh", network.last_activation, loss,
            range(40), batch_size, oracle.Optimiser(name, 0.01), network.loss_parameter_of_outputs,
        )  # fmt: skip
        assert abs(mean - expected) <= 10 * tolerance * expected


@NEEDS_A_COMPILER
@pytest.mark.parametrize(("loss", "own"), CASES)
def test_one_sample(case, loss, own):
    network, X, y, p, tolerance = case(loss, own, None)
    one_sample = OneSample(network, p)
    one_sample.start_learning(Rule.of("plain", 0.01), 0.1, Moments.zeros(p.size, p.dtype))
    expected, _ = by_the_oracle(network, p, X[:1], y[:1], None, 0.1)
    assert abs(one_sample.learn(X[0], y[0]) - expected) <= tolerance * expected


@pytest.mark.parametrize(
    ("loss", "own", "message"),
    [
        ("huber", (), "'huber_delta', 1 or 3 numbers"),
        ("huber", (0.1, 0.2), "'huber_delta', 1 or 3 numbers"),
        ("huber", (0.0,), "'huber_delta' of loss='huber' lies above 0"),
        ("quantile", (0.1, 0.5, 1.0), "lies between 0 and 1"),
        ("absolute_error", (1.0,), "takes no parameter"),
    ],
)
def test_wrong_numbers_are_refused(loss, own, message):
    with pytest.raises(ValueError, match=message):
        Network((4, 5, 3), "tanh", loss, None, own)
