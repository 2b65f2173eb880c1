"""`to_njit`: a function of one sample for compiled code, with the results of `predict_one`."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numba import njit

from fastbp import BackpropRegressor, to_njit
from fastbp.export import kernels
from helpers.exports import (
    CLASSIFIERS,
    REGRESSORS,
    assert_close,
    fitted_classifier,
    fitted_regressor,
    inputs,
)

#: Each compiles for seconds: what differs in the code is here, the rest is for the long run.
QUICK = ["own activation", "one a layer", "no hidden layer", "scaled targets"]


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in REGRESSORS],
)
def test_a_regressor_predicts_the_same(name):
    net = fitted_regressor(name)
    predict = to_njit(net)
    for x in inputs(5):
        assert_close(predict(x), net.predict_one(x), "float64")


@pytest.mark.parametrize("name", ["hidden gelu", "wide", "scaled target"])
def test_single_precision_stays_so(name):
    net = fitted_regressor(name, "float32")
    predict = to_njit(net)
    for x in inputs(5, "float32"):
        assert_close(predict(x), net.predict_one(x), "float32")

    @njit
    def itemsize(x):
        return np.array([predict(x)]).itemsize

    if name != "wide":
        assert itemsize(x) == 4


@pytest.mark.parametrize("name", ["binary", "text", "multilabel"])
def test_a_classifier_gives_probabilities(name):
    assert name in CLASSIFIERS
    net = fitted_classifier(name)
    predict = to_njit(net)
    for x in inputs(5):
        assert_close(predict(x), net.predict_proba_one(x), "float64")


@njit(nogil=True)
def _sum_of(predict, X):
    total = 0.0
    for i in range(len(X)):
        total += predict(X[i])
    return total


def test_compiled_code_calls_it_in_any_number_of_threads():
    net, X = fitted_regressor("one a layer"), inputs(2000)
    predict = to_njit(net)

    @njit(nogil=True)
    def sum_of(X):
        total = np.zeros(3)
        for i in range(len(X)):
            total += predict(X[i])
        return total

    expected = sum_of(X)
    assert_close(expected, net.predict(X).sum(axis=0), "float64")
    with ThreadPoolExecutor(4) as pool:
        for total in pool.map(sum_of, [X] * 16):
            np.testing.assert_array_equal(total, expected)


def test_it_is_an_argument_of_compiled_code_too():
    net, X = fitted_regressor("hidden relu"), inputs(50)
    assert _sum_of(to_njit(net), X) == pytest.approx(net.predict(X).sum(), rel=1e-12)


def test_it_takes_whatever_holds_the_numbers():
    net = fitted_regressor("hidden relu")
    predict, X = to_njit(net), inputs(4)
    expected = net.predict_one(X[0])
    X.flags.writeable = False
    for x in (X[0], np.asfortranarray(X)[0], tuple(X[0].tolist()), np.repeat(X[0], 2)[::2]):
        assert predict(x) == expected
    assert predict(np.arange(4)) == net.predict_one(np.arange(4.0))


def test_later_changes_of_the_weights_do_not_reach_it():
    net = fitted_regressor("hidden relu")
    predict, x = to_njit(net), inputs(1)[0]
    before = net.predict_one(x)
    net.coefs_[0] += 1
    assert predict(x) == before != net.predict_one(x)


def test_a_large_network_does_not_fill_the_stack(monkeypatch):
    monkeypatch.setattr(kernels, "_STACK_BYTES", 64)
    net, x = fitted_regressor("hidden relu"), inputs(1)[0]
    assert to_njit(net)(x) == net.predict_one(x)


def test_nan_is_nan_and_a_wrong_length_is_an_error():
    predict = to_njit(fitted_regressor("hidden relu"))
    assert np.isnan(predict(np.array([0, np.nan, 0, 0])))
    with pytest.raises(ValueError, match="x has another length than the 4 features"):
        predict(np.zeros(5))


def test_what_is_no_fitted_network_is_an_error():
    with pytest.raises(ValueError, match="to_njit needs a fitted model.*call fit first"):
        to_njit(BackpropRegressor())
    with pytest.raises(ValueError, match="to_njit takes a fitted .*not str"):
        to_njit("net")
