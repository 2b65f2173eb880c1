"""Every solver and batch size behind the estimator, and what fits are compared by."""

import warnings

import numpy as np
import pytest

from fastbp import BackpropRegressor, Network, Objective, loss_and_gradient
from fastbp.backends.cpu.epochs import CpuRun
from helpers.cases import BATCH_SOLVERS, STOCHASTIC_SOLVERS

STOCHASTIC = {
    f"{solver}-{batch_size}": {"solver": solver, "batch_size": batch_size}
    for solver in STOCHASTIC_SOLVERS
    for batch_size in ("online", 16, "full")
}
BATCH = {solver: {"solver": solver} for solver in BATCH_SOLVERS}
MODES = STOCHASTIC | BATCH
#: One for each solver.
SOLVERS = {solver: {"solver": solver} for solver in (*STOCHASTIC_SOLVERS, *BATCH_SOLVERS)}
EVERY_MODE = pytest.mark.parametrize("mode", MODES)
EVERY_STOCHASTIC_MODE = pytest.mark.parametrize("mode", STOCHASTIC)
EVERY_SOLVER = pytest.mark.parametrize("mode", SOLVERS)
EVERY_BATCH_SOLVER = pytest.mark.parametrize("mode", BATCH)
SHORT = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
#: Seeds, so that what holds for the best of several starts is seen with each of them the best.
SEEDS = range(6)

#: Of each limit, the parameter that its warning names.
LIMITS = {"max_iter": "max_iter", "max_fun": "max_fun", "time": "max_time"}
#: Reasons to stop that come with a warning: limits, and no way on.
WARNED = (*LIMITS, "step_size", "line_search", "diverged")


def make_net(mode, **parameters):
    defaults = {"hidden_layer_sizes": (6,), "activation": "tanh", "max_iter": 15, "random_state": 0}
    return BackpropRegressor(**defaults | (MODES | SOLVERS)[mode] | parameters)


def vector_of(net):
    """All weights and biases in one vector."""
    return np.concatenate([array.ravel() for array in net.coefs_ + net.intercepts_])


def loss_and_gradient_at(net, X, y, sample_weight=None, alpha=None):
    """Loss and gradient at the fitted weights, of a network made anew."""
    sizes = (X.shape[1], *net.hidden_layer_sizes, net.n_outputs_)
    network = Network(sizes, net.activation, net.loss, net.output_activation)
    alpha = net.alpha if alpha is None else alpha
    return loss_and_gradient(network, vector_of(net), X, y, sample_weight, alpha)


def largest_gradient(net, X, y, sample_weight=None, alpha=None):
    return float(np.abs(loss_and_gradient_at(net, X, y, sample_weight, alpha)[1]).max())


def fitted_attributes(net):
    """Fitted attributes but for the times, which are never the same twice."""
    return {
        name: value
        for name, value in vars(net).items()
        if name.endswith("_") and name != "time_curve_"
    }


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_equal(first[name], second[name], err_msg=name)


def with_warnings(fit):
    """Call and return what it returns and the categories of its warnings."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        net = fit()
    return net, [warning.category for warning in record]


def call_first(monkeypatch, name, action):
    """Have something done at each call of a method of the objective, or of its runs."""
    owner = Objective if hasattr(Objective, name) else CpuRun
    method = getattr(owner, name)

    def wrapped(self, *arguments):
        action()
        return method(self, *arguments)

    monkeypatch.setattr(owner, name, wrapped)
