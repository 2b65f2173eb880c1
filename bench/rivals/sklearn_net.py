"""scikit-learn's MLPs through their public methods, whose checks take microseconds."""

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from bench.cases import RATE, initial_parameters, labels_of

NAME = "scikit-learn"


def missing():
    return None


def fits(case, dtype):
    return case.output_activation is None


def estimator_options(case):
    """Parameters under which fastbp's estimators and scikit-learn's do the same and never stop."""
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


def targets(case, y):
    """What an estimator takes: labels, or numbers."""
    if case.is_of_classes:
        return labels_of(y)
    return y.ravel() if y.shape[1] == 1 else y


def epochs(case, X, y):
    Estimator = MLPClassifier if case.is_of_classes else MLPRegressor
    model = Estimator(shuffle=False, **estimator_options(case))
    y = targets(case, y)
    classes = {"classes": np.unique(y)} if case.is_of_classes else {}
    return (
        lambda: model.partial_fit(X, y, **classes),
        lambda: case.network.pack(model.coefs_, model.intercepts_, X.dtype),
    )


def prediction(case, X):
    """Train for the shapes, then put the initial parameters in."""
    model = MLPRegressor(**estimator_options(case) | {"batch_size": "auto"})
    model.partial_fit(X[:2], X[:2, 0])
    coefs, intercepts = case.network.unpack(initial_parameters(case, X.dtype))
    model.coefs_, model.intercepts_ = coefs, intercepts
    return lambda: model.predict(X)
