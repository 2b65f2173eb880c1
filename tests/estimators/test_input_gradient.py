"""`input_gradient` of the estimators: in the user's units, of probabilities, of a committee."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError

from fastbp import Activation, BackpropClassifier, BackpropRegressor
from helpers.fits import SHORT
from helpers.own_records import gauss, gauss_slope

pytestmark = SHORT
QUICK = {"hidden_layer_sizes": (7, 5), "activation": "tanh", "max_iter": 30, "random_state": 0}


def _differences(predict, X, h=1e-5):
    columns = [
        (predict(X + h * e) - predict(X - h * e)).reshape(len(X), -1) / (2 * h)
        for e in np.eye(X.shape[1])
    ]
    return np.stack(columns, axis=2)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("scale_target", [False, True])
@pytest.mark.parametrize("keep_all", [False, True])
def test_a_regressor_against_differences_of_predict(n_outputs, scale_target, keep_all, problem):
    X, y = problem(40, 4, n_outputs)
    if scale_target:
        y = 1000 + y * (np.array([1, 30, 200]) if n_outputs > 1 else 40)
    net = BackpropRegressor(
        scale_target=scale_target, solver="lbfgs", n_init=2, keep_all=keep_all, **QUICK
    ).fit(X, y)
    got = net.input_gradient(X)
    assert got.shape == (40, n_outputs, 4)
    expected = _differences(net.predict, X)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(got, expected, atol=1e-7 * np.abs(y).max(), rtol=0)


def test_the_log_link_and_several_quantiles(problem):
    X, y = problem(40, 4, positive=True)
    for parameters in ({"loss": "poisson"}, {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]}):
        net = BackpropRegressor(solver="lbfgs", **parameters, **QUICK).fit(X, y)
        got = net.input_gradient(X)
        np.testing.assert_allclose(got, _differences(net.predict, X), atol=1e-7)


@pytest.mark.parametrize("keep_all", [False, True])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_a_classifier_against_differences_of_predict_proba(kind, keep_all, rng):
    X = rng.standard_normal((50, 4))
    labels = {
        "binary": np.where(X[:, 0] > 0, "yes", "no"),
        "multiclass": np.digitize(X[:, 1], [-0.5, 0.5]),
        "multilabel": (X[:, :2] > 0).astype(int),
    }
    net = BackpropClassifier(solver="lbfgs", n_init=2, keep_all=keep_all, **QUICK)
    net.fit(X, labels[kind])
    got = net.input_gradient(X)
    n_columns = net.predict_proba(X).shape[1]
    assert got.shape == (50, n_columns, 4)
    np.testing.assert_allclose(got, _differences(net.predict_proba, X), atol=1e-6)
    if kind != "multilabel":
        np.testing.assert_allclose(got.sum(axis=1), 0, atol=1e-12)


def test_float32_sparse_rows_threads_and_an_own_activation(problem):
    X, y = problem(300, 5)
    X[np.abs(X) < 1] = 0
    own = Activation("gauss", gauss, gauss_slope)
    net = BackpropRegressor(solver="lbfgs", **QUICK | {"activation": own}).fit(X, y)
    got = net.input_gradient(X)
    np.testing.assert_allclose(got, _differences(net.predict, X), atol=1e-7)
    assert np.array_equal(got, net.input_gradient(sparse.csr_array(X)))
    assert np.array_equal(got, net.set_params(n_jobs=3).input_gradient(X))
    net.fit(X.astype(np.float32), y)
    single = net.input_gradient(X.astype(np.float32))
    assert single.dtype == np.float32
    net.coefs_ = [coef.astype(float) for coef in net.coefs_]
    np.testing.assert_allclose(single, net.input_gradient(X), atol=1e-4)


def test_edited_weights_are_seen(problem):
    net = BackpropRegressor(**QUICK | {"hidden_layer_sizes": ()}).fit(*problem(20, 3))
    net.coefs_[0][:, 0] = [1, 2, 3]
    assert np.array_equal(net.input_gradient(np.zeros((2, 3))), [[[1, 2, 3]], [[1, 2, 3]]])


def test_bad_input_is_refused(problem):
    X, y = problem(20, 3)
    net = BackpropRegressor(**QUICK)
    with pytest.raises(NotFittedError):
        net.input_gradient(X)
    net.fit(X, y)
    with pytest.raises(ValueError, match="X has 2 features"):
        net.input_gradient(X[:, :2])
    with pytest.raises(ValueError, match="NaN"):
        net.input_gradient(np.where(X > 1, np.nan, X))
