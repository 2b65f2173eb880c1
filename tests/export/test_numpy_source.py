"""`to_numpy`: the source runs, and its results are the estimator's."""

import numpy as np
import pytest

from fastbp import BackpropRegressor, to_numpy
from helpers.exports import (
    CLASSIFIERS,
    REGRESSORS,
    TOLERANCE,
    assert_close,
    fitted_classifier,
    fitted_regressor,
    inputs,
)


def _run(source):
    names = {}
    exec(source, names)  # noqa: S102
    return names


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_predicts_the_same(name, dtype):
    net, X = fitted_regressor(name, dtype), inputs(300, dtype)
    prediction = _run(to_numpy(net))["predict"](X)
    assert prediction.dtype == net.predict(X).dtype
    assert_close(prediction, net.predict(X), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_predicts_the_same(name, dtype):
    net, X = fitted_classifier(name, dtype), inputs(300, dtype)
    functions = _run(to_numpy(net))
    np.testing.assert_array_equal(functions["predict"](X), net.predict(X))
    assert_close(functions["predict_proba"](X), net.predict_proba(X), dtype)


def test_lists_are_inputs_too():
    net = fitted_regressor("hidden tanh")
    predict = _run(to_numpy(net))["predict"]
    assert_close(predict(inputs(3).tolist()), net.predict(inputs(3)), "float64")


def test_labels_that_have_no_source_are_an_error():
    net = fitted_classifier("binary")
    days = np.array(["2026-01-01", "2026-01-02"], "datetime64[D]")
    net._labels.classes = days
    with pytest.raises(ValueError, match="classes are of type date, but only text and numbers"):
        to_numpy(net)


def test_a_committee_is_an_error():
    X = inputs(20)
    net = BackpropRegressor(hidden_layer_sizes=(3,), solver="lm", n_init=2, keep_all=True).fit(
        X, X[:, 0]
    )
    with pytest.raises(ValueError, match="to_numpy takes one network.*committee of 2"):
        to_numpy(net)


def test_what_is_no_fitted_network_is_an_error():
    with pytest.raises(ValueError, match="to_numpy needs a fitted model.*call fit first"):
        to_numpy(BackpropRegressor())
    with pytest.raises(ValueError, match="to_numpy takes a fitted BackpropRegressor.*not list"):
        to_numpy([1])
