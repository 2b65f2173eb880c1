"""A hundred steps of sgd and adam against the oracle, and against PyTorch where it is installed."""

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.model.data import as_data
from fastbp.model.update_rules import Moments
from helpers import oracle
from helpers.cases import RULES, make_case
from helpers.runs import epoch

NETWORK = Network((4, 7, 5, 2), "tanh")
N_ROWS, N_STEPS, ALPHA = 20, 100, 0.2
#: Adam's two customs of where epsilon stands differ by less than rounding.
CONSTANTS = {"learning_rate": 0.01, "epsilon": 1e-30}
EVERY_RULE = pytest.mark.parametrize("name", RULES)
EVERY_BATCH_SIZE = pytest.mark.parametrize("batch_size", [1, 4, N_ROWS])


def _train(name, batch_size, rng):
    """Make a hundred steps; returns the orders of rows, and parameters before and after."""
    start, X, y, _ = make_case(NETWORK, N_ROWS, rng, weighted=False)
    objective, parameters = Objective(NETWORK, as_data(X, y), ALPHA), start.copy()
    moments, orders = Moments.zeros(start.size, start.dtype), []
    while moments.n_steps < N_STEPS:
        orders.append(rng.permutation(N_ROWS))
        rule = RULES[name]._replace(**CONSTANTS)
        epoch(objective, parameters, orders[-1], batch_size, rule, moments)
    assert moments.n_steps == N_STEPS
    return X, y, orders, start, parameters


def _assert_close(parameters, expected, start):
    largest = np.abs(expected).max()
    np.testing.assert_allclose(parameters, expected, rtol=0, atol=1e-10 * largest)
    assert np.abs(expected - start).max() > 0.1


@EVERY_RULE
@EVERY_BATCH_SIZE
def test_a_hundred_steps_are_the_oracles(name, batch_size, rng):
    X, y, orders, start, parameters = _train(name, batch_size, rng)
    expected, rule = start.copy(), RULES[name]
    coefs, intercepts = NETWORK.unpack(expected)
    optimiser = oracle.Optimiser(name, beta_1=rule.beta_1 or 0.9, **CONSTANTS)
    for order in orders:
        oracle.epoch(
            coefs, intercepts, X, y, None, ALPHA, "tanh", "identity", "squared_error", order,
            batch_size, optimiser,
        )  # fmt: skip
    _assert_close(parameters, expected, start)


@EVERY_RULE
@EVERY_BATCH_SIZE
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
def test_a_hundred_steps_are_pytorchs(name, batch_size, rng):
    torch = pytest.importorskip("torch")
    X, y, orders, start, parameters = _train(name, batch_size, rng)
    expected, rule = start.copy(), RULES[name]
    coefs, intercepts = (
        [torch.from_numpy(array).requires_grad_() for array in arrays]
        for arrays in NETWORK.unpack(expected)
    )
    rate, momentum = CONSTANTS["learning_rate"], rule.beta_1 if rule.record.n_moments else 0.0
    if name == "adam":
        betas = rule.beta_1, rule.beta_2
        optimiser = torch.optim.Adam([*coefs, *intercepts], rate, betas, CONSTANTS["epsilon"])
    else:
        optimiser = torch.optim.SGD(
            [*coefs, *intercepts], rate, momentum, nesterov=name == "nesterov"
        )
    X, y = map(torch.from_numpy, (X, y))
    for order in orders:
        for batch in np.split(order, range(batch_size, N_ROWS, batch_size)):
            a = X[batch]
            for i, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
                a = a @ coef + intercept
                a = torch.tanh(a) if i < len(coefs) - 1 else a
            penalty = ALPHA / 2 * sum((coef**2).sum() for coef in coefs)
            loss = (((a - y[batch]) ** 2).sum() / 2 + penalty) / len(batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    _assert_close(parameters, expected, start)
