"""How each implementation runs an epoch or a prediction of a case.

Each ``EPOCHS[name](case, X, y)`` gives two functions: ``run()`` goes once through the rows as they
stand, from where the last call stopped, and ``parameters()`` is the parameter vector now. All start
from the same parameters; none shuffles. Each ``PREDICTIONS[name](case, X)`` gives ``run()``, which
returns the prediction of the net with the initial parameters.

fastbp is taken below its estimator, at the objective, where an epoch is one compiled call or some;
scikit-learn through its public methods, whose checks take microseconds.
"""

from functools import partial

import numpy as np
from sklearn.neural_network import MLPRegressor

import numpy_baseline
from cases import ALPHA, RATE, initial_parameters
from fastbp import Objective, update_rules
from fastbp.data import as_data
from fastbp.objective import predict
from fastbp.update_rules import Moments


def estimator_options(case):
    """Parameters under which BackpropRegressor and MLPRegressor do the same and never stop."""
    return {
        "hidden_layer_sizes": case.sizes[1:-1],
        "activation": case.activation,
        "solver": case.solver,
        "alpha": ALPHA,
        "batch_size": case.batch_size,
        "learning_rate_init": RATE,
        "momentum": 0.0,
        "tol": 0.0,
        "n_iter_no_change": np.inf,
        "random_state": 0,
    }


def baseline_net(case, dtype):
    """The NumPy net at the initial parameters, and its update rule."""
    parameters = initial_parameters(case, dtype)
    net = numpy_baseline.make_net(case.sizes, parameters, case.activation, ALPHA)
    step = numpy_baseline.sgd_step if case.solver == "sgd" else numpy_baseline.adam_step
    return net, partial(step, rate=RATE)


def _fastbp_epoch(case, X, y):
    parameters = initial_parameters(case, X.dtype)
    objective = Objective(case.network, as_data(X, y), ALPHA)
    moments = Moments.zeros(parameters.size, parameters.dtype)
    if case.solver == "sgd":
        rule = update_rules.sgd(RATE, 0.0, False)
    else:
        rule = update_rules.adam(RATE, 0.9, 0.999, 1e-8)
    rows = np.arange(len(X))
    return (
        lambda: objective.epoch(parameters, rows, case.batch_size, rule, moments),
        lambda: parameters,
    )


def _numpy_epoch(case, X, y):
    net, step = baseline_net(case, X.dtype)
    return (
        lambda: numpy_baseline.epoch(net, X, y, case.batch_size, step),
        lambda: net.layers.flat,
    )


def _sklearn_epoch(case, X, y):
    model = MLPRegressor(shuffle=False, **estimator_options(case))
    y = y.ravel() if y.shape[1] == 1 else y
    return (
        lambda: model.partial_fit(X, y),
        lambda: case.network.pack(model.coefs_, model.intercepts_, X.dtype),
    )


def _fastbp_prediction(case, X):
    parameters, data = initial_parameters(case, X.dtype), as_data(X)
    return lambda: predict(case.network, parameters, data)


def _numpy_prediction(case, X):
    net, _ = baseline_net(case, X.dtype)
    return lambda: numpy_baseline.predict(net, X)


def _sklearn_prediction(case, X):
    """Train for the shapes, then put the initial parameters in."""
    model = MLPRegressor(**estimator_options(case))
    model.partial_fit(X, X[:, 0])
    coefs, intercepts = case.network.unpack(initial_parameters(case, X.dtype))
    model.coefs_, model.intercepts_ = coefs, intercepts
    return lambda: model.predict(X)


EPOCHS = {"fastbp": _fastbp_epoch, "numpy": _numpy_epoch, "sklearn": _sklearn_epoch}
PREDICTIONS = {
    "fastbp": _fastbp_prediction,
    "numpy": _numpy_prediction,
    "sklearn": _sklearn_prediction,
}
