"""scikit-learn's MLPRegressor through its public methods, whose checks take microseconds."""

import numpy as np
from sklearn.neural_network import MLPRegressor

from bench.cases import RATE, initial_parameters

NAME = "MLPRegressor"


def missing():
    return None


def fits(case, dtype):
    return True


def estimator_options(case):
    """Parameters under which BackpropRegressor and MLPRegressor do the same and never stop."""
    return {
        "hidden_layer_sizes": case.sizes[1:-1],
        "activation": case.activation,
        "solver": case.solver,
        "alpha": case.alpha,
        "batch_size": case.batch_size,
        "learning_rate_init": RATE,
        "momentum": case.momentum,
        "nesterovs_momentum": case.update == "nesterov",
        "tol": 0.0,
        "n_iter_no_change": np.inf,
        "random_state": 0,
    }


def epochs(case, X, y):
    model = MLPRegressor(shuffle=False, **estimator_options(case))
    y = y.ravel() if y.shape[1] == 1 else y
    return (
        lambda: model.partial_fit(X, y),
        lambda: case.network.pack(model.coefs_, model.intercepts_, X.dtype),
    )


def prediction(case, X):
    """Train for the shapes, then put the initial parameters in."""
    model = MLPRegressor(**estimator_options(case) | {"batch_size": "auto"})
    model.partial_fit(X[:2], X[:2, 0])
    coefs, intercepts = case.network.unpack(initial_parameters(case, X.dtype))
    model.coefs_, model.intercepts_ = coefs, intercepts
    return lambda: model.predict(X)
