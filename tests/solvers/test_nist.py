"""NIST's data set Rat42 as a network: certified to eleven digits, from both of its starts.

Ratkowsky's pasture yield, a sigmoid growth curve (https://www.itl.nist.gov/div898/strd/nls/data/
ratkowsky2.shtml; Ratkowsky, "Nonlinear regression modeling", 1983, pages 61 and 88). A 1-1-1 net of
a logistic unit is that curve where the output has no bias.
"""

import math

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.model.data import as_data
from fastbp.solvers import SOLVERS
from helpers.runs import batch_options

X = np.array([9.0, 14.0, 21.0, 28.0, 42.0, 57.0, 63.0, 70.0, 79.0])[:, None]
Y = np.array([8.930, 10.800, 18.590, 22.330, 39.350, 56.110, 61.730, 64.620, 67.080])
RESIDUAL_SUM_OF_SQUARES = 8.0565229338e00
CERTIFIED = np.array([7.2462237576e01, 2.6180768402e00, 6.7359200066e-02])
STARTS = {"first": (100.0, 1.0, 0.1), "second": (75.0, 2.5, 0.07)}
N_FREE = 3


def _parameters(b1, b2, b3):
    """Write y = b1 / (1 + exp(b2 - b3 x)) as weights and biases, the output's bias last."""
    return np.array([b3, b1, -b2, 0.0])


class WithoutOutputBias:
    """The objective along all parameters but the last, which stays where it is."""

    def __init__(self):
        network = Network((1, 1, 1), "logistic")
        assert network.n_parameters == N_FREE + 1
        self.objective = Objective(network, as_data(X, Y))

    def loss_and_gradient(self, parameters):
        loss, gradient = self.objective.loss_and_gradient(parameters)
        gradient[N_FREE] = 0
        return loss, gradient

    def normal_equations(self, parameters):
        loss, gradient, hessian = self.objective.normal_equations(parameters)
        gradient[N_FREE] = hessian[N_FREE] = hessian[:, N_FREE] = 0
        return loss, gradient, hessian


def test_the_network_is_the_curve():
    loss, gradient = WithoutOutputBias().loss_and_gradient(_parameters(*CERTIFIED))
    assert 2 * len(Y) * loss == pytest.approx(RESIDUAL_SUM_OF_SQUARES, rel=1e-10)
    assert np.abs(gradient).max() < 1e-6


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("solver", ["lm", "bfgs"])
def test_rat42_is_solved_to_8_digits(solver, start):
    options = batch_options(max_iter=200, max_fun=500, gtol=1e-9, n_iter_no_change=math.inf)
    parameters, history, *_ = SOLVERS[solver].minimise(
        WithoutOutputBias(), _parameters(*STARTS[start]), options
    )
    b3, b1, minus_b2, output_bias = parameters
    np.testing.assert_allclose([b1, -minus_b2, b3], CERTIFIED, rtol=1e-8)
    assert output_bias == 0
    assert 2 * len(Y) * history.loss == pytest.approx(RESIDUAL_SUM_OF_SQUARES, rel=1e-8)
