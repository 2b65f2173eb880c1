"""Small fitted models of every kind that can be exported, with weights that are not small."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropClassifier, BackpropRegressor
from fastbp.model.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from fastbp.model.losses import losses_where
from helpers.own_records import GAUSS

N_FEATURES = 4
#: The largest difference allowed, relative to the largest number.
TOLERANCE = {"float64": 1e-13, "float32": 5e-6}

#: Parameters of a regressor, and its number of outputs, by the name of the case.
REGRESSORS = (
    {f"hidden {name}": ({"activation": name}, 1) for name in HIDDEN_ACTIVATIONS}
    | {f"output {name}": ({"output_activation": name}, 2) for name in ACTIVATIONS}
    | {
        f"loss {name}": ({"loss": name}, 1)
        for name in losses_where(lambda loss: not loss.is_for_classes)
    }
    | {
        "own activation": ({"activation": GAUSS}, 1),
        "one a layer": ({"activation": ["elu", "sin"], "hidden_layer_sizes": (5, 9)}, 3),
        "no hidden layer": ({"hidden_layer_sizes": ()}, 2),
        "scaled target": ({"scale_target": True}, 1),
        "scaled targets": ({"scale_target": True}, 3),
        "quantiles": ({"loss": "quantile", "quantile": [0.1, 0.9]}, 1),
        "wide": ({"hidden_layer_sizes": (70, 40)}, 20),
    }
)
_LABELS = {
    "binary": ["no", "yes"],
    "multiclass": [7, 8, 11],
    "text": ["blue */ ??/ 'é'", 'green"', "red\n"],
    "bool": [False, True],
    "float": [0.0, 2.0, 5.0],
    "one class": ["only"],
}
CLASSIFIERS = [*_LABELS, "multilabel", "soft labels"]


def inputs(n_samples, dtype="float64", seed=0):
    """Draw inputs."""
    return 2 * np.random.default_rng(seed).standard_normal((n_samples, N_FEATURES)).astype(dtype)


def fitted_regressor(name, dtype="float64"):
    """Fit the regressor of a case for a moment, and move its weights."""
    given, n_outputs = REGRESSORS[name]
    net = BackpropRegressor(**{"hidden_layer_sizes": (6,), "max_iter": 1, **given}, random_state=0)
    y = np.random.default_rng(1).uniform(10, 30, (40, n_outputs))
    return _fitted(net, inputs(40, dtype), y if n_outputs > 1 else y.ravel())


def fitted_classifier(name, dtype="float64"):
    """Fit the classifier of a case for a moment, and move its weights."""
    rng = np.random.default_rng(1)
    net = BackpropClassifier((6,), "tanh", max_iter=1, random_state=0)
    if name == "multilabel":
        y = rng.integers(0, 2, (40, 3))
    elif name == "soft labels":
        net.set_params(soft_labels=True)
        y = rng.dirichlet([1, 1, 1], 40)
    else:
        y = np.resize(_LABELS[name], 40)
    return _fitted(net, inputs(40, dtype), y)


def _fitted(net, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(X, y)
    rng = np.random.default_rng(2)
    for array in (*net.coefs_, *net.intercepts_):
        array += 0.5 * rng.standard_normal(array.shape) / np.sqrt(len(array) + 1)
    return net


def assert_close(given, expected, dtype):
    """Compare results, relative to the largest."""
    given, expected = np.asarray(given), np.asarray(expected)
    assert given.shape == expected.shape
    assert np.isfinite(expected).all()
    difference = np.abs(given.astype(np.float64) - expected.astype(np.float64)).max()
    assert difference <= TOLERANCE[dtype] * np.abs(expected).max()
