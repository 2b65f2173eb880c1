"""Tables of cases, made from the registries: a new record is in all of them."""

import itertools

import numpy as np

from fastbp import Network
from fastbp.model.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from fastbp.model.losses import LOSSES
from fastbp.model.update_rules import UPDATE_RULES, Rule
from fastbp.solvers import SOLVERS
from helpers import oracle

#: Names of the solvers that go through the rows in batches, and of those that do not.
STOCHASTIC_SOLVERS = [name for name, solver in SOLVERS.items() if solver.is_stochastic]
BATCH_SOLVERS = [name for name in SOLVERS if name not in STOCHASTIC_SOLVERS]

DEPTHS = {0: (4, 2), 1: (4, 5, 2), 2: (4, 5, 3, 2), 3: (4, 3, 5, 4, 2)}
#: Every update rule of the registry, with usual constants.
RULES = {name: Rule.of(name, 0.05, 0.9, 0.999, 1e-8) for name in UPDATE_RULES}


def make_case(network, n_samples, rng, weighted=True):
    """Make parameters, X, y and weights away from kinks and with targets that the loss takes."""
    parameters = 0.7 * rng.standard_normal(network.n_parameters)
    X = rng.standard_normal((n_samples, network.layer_sizes[0]))
    y = rng.standard_normal((n_samples, network.layer_sizes[-1]))
    loss = LOSSES[network.loss]
    if loss.positive:
        y = np.round(np.exp(y)) + (not loss.takes_zero)
    if loss.is_for_classes:
        y = 1 / (1 + np.exp(-3 * y))
    if loss.is_softmax:
        y /= y.sum(axis=1, keepdims=True)
    weights = rng.uniform(0, 3, n_samples) if weighted else None
    return parameters, X, y, weights


def by_the_oracle(network, parameters, X, y, weights, alpha):
    """Loss and gradient of the objective by the textbook, in float64."""
    coefs, intercepts = network.unpack(np.asarray(parameters, np.float64))
    loss, coef_gradients, intercept_gradients = oracle.loss_and_gradient(
        coefs, intercepts, X, y, weights, alpha,
        network.activation, network.last_activation, network.loss,
        network.loss_parameter_of_outputs,
    )  # fmt: skip
    gradient = np.concatenate([g.ravel() for g in coef_gradients + intercept_gradients])
    return loss, gradient


def output_activations(loss):
    """Names of the output activations that go with a loss."""
    if LOSSES[loss].is_for_classes:
        return [LOSSES[loss].canonical]
    return [
        name for name, record in ACTIVATIONS.items() if record.positive or not LOSSES[loss].positive
    ]


def own_numbers(loss):
    """Give a loss its own number, where it has one."""
    return (0.3,) if LOSSES[loss].parameter else ()


def _network(depth, activation, loss, output_activation=None):
    return Network(DEPTHS[depth], activation, loss, output_activation, own_numbers(loss))


EVERY_NETWORK = [
    _network(depth, activation, loss)
    for activation, loss, depth in itertools.product(HIDDEN_ACTIVATIONS, LOSSES, DEPTHS)
    if depth > 0 or activation == "identity"
] + [
    _network(depth, "tanh", loss, output)
    for loss in LOSSES
    for output in output_activations(loss)
    for depth in (0, 2)
]


def name_of(network):
    """Name a network in a test's id."""
    return "-".join(map(str, (network.activation, network.loss, network.output_activation,
                              len(network.layer_sizes) - 2)))  # fmt: skip
