"""Who else minimises the error over all rows: MLPRegressor and SciPy, for `tables/solvers.py`."""

import time
import warnings

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from bench.rivals.nnet import Fit


def train_mlp(network, X, y, solver="lbfgs", **options):
    """MLPRegressor's fit from the parameters it draws with random_state=0."""
    since = time.process_time()
    model = MLPRegressor(
        hidden_layer_sizes=network.layer_sizes[1:-1],
        activation=network.activation,
        solver=solver,
        alpha=0.0,
        tol=0.0,
        random_state=0,
        **options,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y.ravel())
    seconds = time.process_time() - since
    return Fit(seconds, model.loss_, network.pack(model.coefs_, model.intercepts_, X.dtype))


def mlp_start(network, X, y):
    """Loss and parameters that MLPRegressor starts from: an epoch that moves by nothing."""
    options = {"batch_size": len(X), "learning_rate_init": 1e-300, "max_iter": 1}
    return train_mlp(network, X, y, solver="sgd", **options)


def train_scipy(network, X, y, start, max_iter=100):
    """SciPy's nonlinear conjugate gradients over NumPy's loss and gradient."""
    since = time.process_time()
    function = numpy_loss_and_gradient(network, X, y)
    options = {"maxiter": max_iter, "gtol": 0.0}
    result = minimize(function, start, jac=True, method="CG", options=options)
    return Fit(time.process_time() - since, result.fun, result.x)


def numpy_loss_and_gradient(network, X, y):
    """Loss and gradient of one hidden tanh layer, as fast as NumPy allows.

    Rows of the data are columns here: the passes over a layer run along them, and biases and
    weights are added and multiplied as numbers.
    """
    n_inputs, n_hidden, _ = network.layer_sizes
    x, target = np.ascontiguousarray(X.T), y.ravel().copy()
    n = target.size
    hidden, delta, error = np.empty((n_hidden, n)), np.empty((n_hidden, n)), np.empty(n)

    def views(vector):
        w1, rest = vector[: n_inputs * n_hidden], vector[n_inputs * n_hidden :]
        w1 = w1.reshape(n_inputs, n_hidden)
        return w1, rest[:n_hidden], rest[n_hidden:-1], rest[-1:]

    def loss_and_gradient(parameters):
        w1, w2, b1, b2 = views(parameters)
        np.dot(w1.T, x, out=hidden)
        np.add(hidden, b1[:, None], out=hidden)
        np.tanh(hidden, out=hidden)
        np.dot(w2, hidden, out=error)
        np.add(error, b2, out=error)
        np.subtract(error, target, out=error)
        loss = error.dot(error) / (2 * n)
        np.divide(error, n, out=error)
        gradient = np.empty_like(parameters)
        g1, g2, h1, h2 = views(gradient)
        np.dot(hidden, error, out=g2)
        h2[0] = error.sum()
        np.multiply(hidden, hidden, out=delta)
        np.subtract(1, delta, out=delta)
        np.multiply(delta, error, out=delta)
        np.multiply(delta, w2[:, None], out=delta)
        np.dot(x, delta.T, out=g1)
        np.add.reduce(delta, axis=1, out=h1)
        return loss, gradient

    return loss_and_gradient
