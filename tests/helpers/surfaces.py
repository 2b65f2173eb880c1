"""Every batch solver by name, surfaces to minimise, and calls that are counted and changed."""

import math
from typing import get_args

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.model.data import as_data
from fastbp.solvers import SOLVERS as REGISTRY
from fastbp.solvers.conjugate_gradient import UPDATES
from fastbp.solvers.stopping import StopReason
from helpers.runs import batch_options


def _named_solvers():
    for name, solver in REGISTRY.items():
        if name == "cg":
            for update in UPDATES:
                yield f"cg-{update}", (solver.minimise, {"cg_update": update})
        elif not solver.is_stochastic:
            yield name, (solver.minimise, {})
        if name == "lm":
            yield "lm-accelerated", (solver.minimise, {"lm_acceleration": True})


SOLVERS = dict(_named_solvers())
BAYESIAN = "lm-bayesian"
WITH_BAYESIAN = SOLVERS | {BAYESIAN: (REGISTRY["lm"].minimise_bayesian, {})}
EVERY_SOLVER = pytest.mark.parametrize("solver", SOLVERS)
EVERY_SOLVER_AND_BAYESIAN = pytest.mark.parametrize("solver", WITH_BAYESIAN)
#: Those whose loss may rise from one iteration to the next.
RISING = ("rprop", BAYESIAN)
START = np.array([-1.2, 1.0])


class Surface:
    """A loss over the plane; ``answer`` is what its normal equations are."""

    def loss_and_gradient(self, parameters):
        return self.answer(parameters)[:2]

    def normal_equations(self, parameters):
        return self.answer(parameters)

    def curvature_gradient(self, parameters, direction):
        """Of residuals that do not bend."""
        del direction
        return np.zeros(parameters.size)


class Rosenbrock(Surface):
    """The banana valley, 100 (y - x^2)^2 + (1 - x)^2."""

    def answer(self, parameters):
        x, y = map(float, parameters)
        # Plain numbers: what is too large becomes infinity without a warning.
        a, b = y - x * x, 1 - x
        gradient = np.array([-400 * x * a - 2 * b, 200 * a])
        hessian = np.array([[800 * x * x + 2, -400 * x], [-400 * x, 200.0]])
        return 100 * a * a + b * b, gradient, hessian

    def curvature_gradient(self, parameters, direction):
        """Of the residuals 10 sqrt(2) (y - x^2) and sqrt(2) (1 - x), of which the first bends."""
        return -400 * direction[0] ** 2 * np.array([-2 * parameters[0], 1.0])


def watched(objective, change=None):
    """Count an objective's calls in n_calls; ``change(call, p, *answer)`` may change answers."""
    objective.n_calls, bend = 0, objective.curvature_gradient

    def watch(method):
        def answer(parameters):
            objective.n_calls += 1
            result = method(parameters)
            return result if change is None else change(objective.n_calls, parameters, *result)

        return answer

    def curvature_gradient(parameters, direction):
        """Be changed as the gradient of a loss of 0 is."""
        return watch(lambda at: (0.0, bend(at, direction)))(parameters)[1]

    objective.loss_and_gradient = watch(objective.loss_and_gradient)
    objective.normal_equations = watch(objective.normal_equations)
    objective.curvature_gradient = curvature_gradient
    return objective


def minimise(solver, objective, start, **options):
    """Minimise with no criterion but those named, and a limit that ends what would hang."""
    minimise, own = WITH_BAYESIAN[solver]
    defaults = {"max_iter": 300, "gtol": 0.0, "n_iter_no_change": math.inf}
    result = minimise(objective, start, batch_options(**(defaults | own | options)))
    assert result.stop_reason in get_args(StopReason)
    return result


def weighted_problem(
    rng, dtype=np.float64, layers=(4, 6, 2), n_samples=60, alpha=0.1, n_threads=1, activation="tanh"
):
    """Make a weighted problem for a net, and a start."""
    network = Network(layers, activation)
    X = rng.standard_normal((n_samples, layers[0])).astype(dtype)
    y = np.sin(X @ rng.standard_normal((layers[0], layers[-1])))
    y += 0.1 * rng.standard_normal(y.shape)
    data = as_data(X, y, rng.uniform(0, 2, n_samples))
    start = network.initial_parameters(np.random.RandomState(0), np.dtype(dtype))
    return Objective(network, data, alpha, n_threads), start


def losses_from(start_loss, result):
    return np.array([start_loss, *result.history.loss_curve])
