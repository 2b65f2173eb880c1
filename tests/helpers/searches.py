"""Searches for `BackpropSearchCV` and `GridSearchCV`, and how their results are compared."""

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from fastbp import BackpropRegressor, BackpropSearchCV


def make_net(**parameters):
    """Make a small net whose batches are more rows than lanes, which round otherwise, are for."""
    defaults = {
        "hidden_layer_sizes": (6,),
        "activation": "tanh",
        "max_iter": 6,
        "batch_size": 10,
        "random_state": 3,
    }
    return BackpropRegressor(**defaults | parameters)


def make_pipeline_of_net(**parameters):
    return Pipeline([("scale", StandardScaler()), ("net", make_net(**parameters))])


def assert_equal(a, b):
    if isinstance(a, np.ma.MaskedArray):
        np.testing.assert_array_equal(a.mask, b.mask)
        assert a.tolist() == b.tolist()
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b


def assert_same(search, reference, X):
    """All that a search leaves behind, but for the times."""
    assert list(search.cv_results_) == list(reference.cv_results_)
    for name, values in reference.cv_results_.items():
        if "time" not in name:
            assert_equal(search.cv_results_[name], values)
    assert search.n_splits_ == reference.n_splits_
    assert search.multimetric_ == reference.multimetric_
    for name in ("best_index_", "best_params_", "best_score_", "n_features_in_"):
        assert hasattr(search, name) == hasattr(reference, name)
        if hasattr(reference, name):
            assert_equal(getattr(search, name), getattr(reference, name))
    assert hasattr(search, "best_estimator_") == hasattr(reference, "best_estimator_")
    if hasattr(reference, "best_estimator_"):
        np.testing.assert_array_equal(search.predict(X), reference.predict(X))


def search_both_ways(estimator, grid, X, y, *, fit=None, **arguments):
    """Make both searches, check that they found the same, and return ours."""
    arguments = {"cv": 3} | arguments
    fit = {} if fit is None else fit
    reference = GridSearchCV(estimator, grid, **arguments).fit(X, y, **fit)
    search = BackpropSearchCV(estimator, grid, **arguments).fit(X, y, **fit)
    assert_same(search, reference, X)
    return search


GRIDS = {
    "a net": (make_net(), {"alpha": [0, 1.0], "solver": ["sgd", "lbfgs"]}),
    "solvers": (
        make_net(),
        {"solver": ["lm", "adam", "sgd", "cg", "rprop"], "batch_size": ["online", 20]},
    ),
    "layers": (make_net(), {"hidden_layer_sizes": [(), (3,), (5, 4)], "n_init": [1, 2]}),
    "bayes": (make_net(solver="lm", hidden_layer_sizes=(3,)), {"alpha": ["bayes", 0.1]}),
    "early stopping": (
        make_net(validation_fraction=0.3),
        {"early_stopping": [True, "GL5", False], "solver": ["adam", "cg"]},
    ),
    "a pipeline": (
        make_pipeline_of_net(),
        {"net__alpha": [0, 1.0], "net__learning_rate_init": [0.01, 0.1]},
    ),
    "scaled targets": (
        TransformedTargetRegressor(make_pipeline_of_net(), transformer=StandardScaler()),
        {"regressor__net__alpha": [0, 1.0]},
    ),
    "a list": (
        make_net(),
        [{"solver": ["sgd"], "momentum": [0, 0.9]}, {"solver": ["lbfgs"], "alpha": [0, 1, 10]}],
    ),
    "transformers": (
        make_pipeline_of_net(),
        {"scale": ["passthrough", StandardScaler(), PolynomialFeatures()], "net__alpha": [0, 1]},
    ),
    "transformers' parameters": (
        make_pipeline(PolynomialFeatures(), StandardScaler(), make_net()),
        {"polynomialfeatures__degree": [1, 2], "backpropregressor__alpha": [0, 1.0]},
    ),
    "whole nets": (
        Pipeline([("net", make_net())]),
        {"net": [make_net(), make_net(solver="cg"), Ridge()]},
    ),
    "bagging": (
        BaggingRegressor(make_net(), n_estimators=3, random_state=0),
        {"estimator__alpha": [0, 1.0], "max_samples": [0.5, 1.0]},
    ),
    "stacking": (
        StackingRegressor([("a", make_net()), ("b", make_net(solver="lbfgs"))], Ridge(), cv=2),
        {"a__alpha": [0, 1.0], "b__alpha": [0, 1.0]},
    ),
    "a net on nets": (
        StackingRegressor([("a", make_net()), ("b", Ridge())], make_net(solver="lbfgs"), cv=2),
        {"a__alpha": [0, 1.0], "final_estimator__alpha": [0, 1.0]},
    ),
    "no net": (Ridge(), {"alpha": [0.1, 1.0]}),
    "one point": (make_net(), {}),
}
_SLOW = ("bagging", "stacking", "a net on nets")
EVERY_GRID = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in _SLOW)) for name in GRIDS]
)
