"""A loss's own number reaches every kernel, and no error signal is cut short that has no short cut.

No loss of the registry has a number of its own yet, and all have a canonical output activation; so
two losses are registered here, in a process of their own, before the kernels are made.
"""

import pytest

from helpers.guards import NEEDS_A_COMPILER

pytestmark = [pytest.mark.subprocess, NEEDS_A_COMPILER]

CODE = """
import math
import numpy as np
from fastbp.machine.elementary import one, where
from fastbp.model.losses import LOSSES, Loss

def huber(prediction, y, delta):
    size = abs(prediction - y)
    return where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta))

def huber_gradient(prediction, y, delta):
    error = prediction - y
    return where(abs(error) <= delta, error, where(error < 0, -delta, delta))

def absolute(prediction, y, _):
    return abs(prediction - y)

def absolute_gradient(prediction, y, _):
    return where(prediction < y, -one(y), one(y))

LOSSES["huber"] = Loss("huber", huber, huber_gradient, "identity", parameter="delta")
LOSSES["absolute"] = Loss("absolute", absolute, absolute_gradient, "identity")

from helpers import oracle
oracle.LOSSES["huber"] = (
    lambda p, y, d: (p - y) ** 2 / 2 if abs(p - y) <= d else d * (abs(p - y) - d / 2),
    lambda p, y, d: min(max(p - y, -d), d),
)
oracle.LOSSES["absolute"] = (lambda p, y, _: abs(p - y), lambda p, y, _: math.copysign(1, p - y))

from fastbp import Network, Objective
from fastbp.backends.cpu.one_sample import OneSample
from fastbp.model.data import as_data
from fastbp.model.update_rules import Moments, Rule
from helpers.cases import by_the_oracle
from helpers.runs import epoch

rng = np.random.default_rng(0)
for loss, own in (("huber", (0.3,)), ("huber", (0.2, 5.0, 0.7)), ("absolute", ())):
    for output_activation in (None, "tanh"):
        for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-4)):
            network = Network((4, 5, 3), "tanh", loss, output_activation, own)
            X, y = (rng.standard_normal((40, n)).astype(dtype) for n in (4, 3))
            p = rng.standard_normal(network.n_parameters).astype(dtype)
            objective = Objective(network, as_data(X, y), 0.1)
            value, gradient = objective.loss_and_gradient(p)
            expected_value, expected = by_the_oracle(network, p, X, y, None, 0.1)
            assert abs(value - expected_value) <= tolerance * expected_value
            assert np.abs(gradient - expected).max() <= tolerance * np.abs(expected).max()
            parameters = network.loss_parameter_of_outputs
            for batch_size in (1, 7, 40):
                for name in ("plain", "adam"):
                    moved, rule = p.copy(), Rule.of(name, 0.01, 0.9, 0.999, 1e-8)
                    moments = Moments.zeros(p.size, p.dtype)
                    mean = epoch(objective, moved, np.arange(40), batch_size, rule, moments)
                    coefs, intercepts = network.unpack(p.astype(np.float64))
                    optimiser = oracle.Optimiser(name, 0.01)
                    expected_mean = oracle.epoch(
                        [w.copy() for w in coefs], [b.copy() for b in intercepts],
                        X.astype(float), y.astype(float), None, 0.1, "tanh",
                        network.last_activation, loss, range(40), batch_size, optimiser, parameters,
                    )
                    assert abs(mean - expected_mean) <= 10 * tolerance * expected_mean
            one_sample = OneSample(network, p)
            one_sample.start_learning(
                Rule.of("plain", 0.01), 0.1, Moments.zeros(p.size, p.dtype)
            )
            first = one_sample.learn(X[0], y[0])
            alone, _ = by_the_oracle(network, p, X[:1], y[:1], None, 0.1)
            assert abs(first - alone) <= tolerance * alone
for wrong in ((), (0.1, 0.2)):
    try:
        Network((4, 5, 3), "tanh", "huber", None, wrong)
    except ValueError as error:
        assert "'delta', 1 or 3 numbers" in str(error)
    else:
        raise AssertionError(wrong)
print("reached")
"""


def test_a_losss_own_number_reaches_every_kernel(python, tmp_path):
    assert python(CODE, NUMBA_CACHE_DIR=str(tmp_path / "cache")) == "reached\n"
