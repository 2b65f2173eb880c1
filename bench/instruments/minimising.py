"""How a batch solver is run to a goal, and how it is known that all sides minimise the same.

All sides have the same loss at the start, the loss a rival ends at is that of its parameters in
fastbp, and the normal equations are those of a Jacobian written in NumPy.
"""

import math

import numpy as np

from bench.cases import assert_same
from bench.rivals import minimisers, nnet
from fastbp import BackpropRegressor
from fastbp.solvers import SOLVERS, Options
from fastbp.solvers.stopping import Clock, Limits

#: Names of the solvers that use all rows at every step.
BATCH_SOLVERS = [name for name, solver in SOLVERS.items() if not solver.is_stochastic]

MOST_ITERATIONS, MOST_EVALUATIONS = 5_000, 50_000


def minimise(solver, problem, goal=-math.inf, max_iter=MOST_ITERATIONS, most_seconds=math.inf):
    """Train by a solver of ours, from the arrays on, until the goal or a limit."""
    limits = Limits(max_iter, 0.0, goal, math.inf, Clock(most_seconds))
    options = Options(limits, max_fun=MOST_EVALUATIONS)
    return SOLVERS[solver].minimise(problem.objective, problem.start, options)


def fit(solver, problem, goal, most_seconds=math.inf):
    """Train by the estimator, as MLPRegressor is; returns why it stopped."""
    net = BackpropRegressor(
        hidden_layer_sizes=(problem.n_hidden,),
        activation="tanh",
        solver=solver,
        alpha=0,
        max_iter=MOST_ITERATIONS,
        max_fun=MOST_EVALUATIONS,
        n_iter_no_change=math.inf,
        gtol=0,
        loss_goal=goal,
        max_time=None if math.isinf(most_seconds) else most_seconds,
        random_state=problem.seed,
    )
    return net.fit(problem.X, problem.y.ravel()).stop_reason_


def check_start(problem):
    """Require the same loss on all sides at the start, and NumPy's gradient there."""
    network, X, y, start = problem.network, problem.X, problem.y, problem.start
    loss, gradient = problem.objective.loss_and_gradient(start)
    losses = {}
    losses["NumPy"], theirs = minimisers.numpy_loss_and_gradient(network, X, y)(start)
    np.testing.assert_allclose(theirs, gradient, rtol=0, atol=1e-9 * np.abs(gradient).max())
    if problem.seed == 0:
        mlp = minimisers.mlp_start(network, X, y)
        np.testing.assert_array_equal(mlp.parameters, start)
        losses["MLPRegressor"] = mlp.loss
    if not nnet.missing():
        (fit,) = nnet.train(network, X, y, [start], max_iter=0, least_seconds=0)
        losses["nnet"] = fit.loss
        np.testing.assert_allclose(fit.parameters, start, rtol=0, atol=1e-12)
    for name, other in losses.items():
        np.testing.assert_allclose(other, loss, rtol=1e-9, err_msg=f"{name}, {problem.name}")


def check_end(problem, name, fit):
    """Require that a rival's parameters have the loss it says.

    Not to the last digit: nnet's units are 0 and 1 beyond 15.
    """
    loss, _ = problem.objective.loss_and_gradient(fit.parameters)
    np.testing.assert_allclose(fit.loss, loss, rtol=1e-3, err_msg=f"{name}, {problem.name}")


def jacobian(problem, parameters):
    """The derivatives of the predictions, a row for each row of the data, in Fortran's order."""
    (w1, w2), (b1, _) = problem.network.unpack(parameters)
    hidden = np.tanh(problem.X @ w1 + b1)
    delta = (1 - hidden * hidden) * w2.ravel()
    n = len(hidden)
    first = (problem.X[:, :, None] * delta[:, None, :]).reshape(n, -1)
    return np.asfortranarray(np.hstack([first, hidden, delta, np.ones((n, 1), hidden.dtype)]))


def check_products(objective, parameters, J):
    """Require that the normal equations are those of a J."""
    _, _, hessian = objective.normal_equations(parameters)
    expected = np.triu(J.T @ J / J.dtype.type(len(J)))
    assert_same(np.triu(hessian), expected, {"float64": 1e-9, "float32": 1e-4})
