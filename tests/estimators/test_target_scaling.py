"""scale_target: trained on scaled targets, predicted in the user's units, in every way there is."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler, scale

from fastbp import BackpropRegressor, fit_many
from helpers.fits import EVERY_MODE, SHORT, make_net
from helpers.guards import NEEDS_A_COMPILER

pytestmark = SHORT
X, Y = make_friedman1(200, noise=0.5, random_state=0)
X = scale(X)
FAR = 1000 + 20 * Y


def _net(**parameters):
    return BackpropRegressor(hidden_layer_sizes=(8,), random_state=0, scale_target=True).set_params(
        **parameters
    )


def test_targets_far_from_0_are_learnt_with_the_defaults():
    """Where MLPRegressor's defaults have an R^2 of -60 and less."""
    theirs = MLPRegressor(random_state=0).fit(X, FAR)
    unscaled = BackpropRegressor(random_state=0)
    with pytest.warns(ConvergenceWarning, match="Nothing was learnt.*scale_target=True"):
        unscaled.fit(X, FAR)
    ours = BackpropRegressor(random_state=0, scale_target=True).fit(X, FAR)
    assert theirs.score(X, FAR) < -10
    assert unscaled.score(X, FAR) < -10
    assert ours.score(X, FAR) > 0.9


@NEEDS_A_COMPILER
@EVERY_MODE
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_it_is_a_transformed_target(mode, n_outputs):
    y = FAR if n_outputs == 1 else np.column_stack([FAR, 1e-3 * X[:, 0] - 7])
    net = make_net(mode, max_iter=20)
    expected = TransformedTargetRegressor(clone(net), transformer=StandardScaler()).fit(X, y)
    net.set_params(scale_target=True).fit(X, y)
    np.testing.assert_allclose(net.predict(X), expected.predict(X), rtol=1e-5)
    assert net.loss_ == pytest.approx(expected.regressor_.loss_, rel=1e-5)
    np.testing.assert_allclose(net.target_mean_, y.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(net.target_scale_, y.std(axis=0), rtol=1e-12)


def test_weights_count_and_rows_of_weight_0_do_not(rng):
    weights = rng.integers(0, 3, 200)
    net = _net(solver="lbfgs", max_iter=20).fit(X, FAR, weights)
    repeated = clone(net).fit(np.repeat(X, weights, axis=0), np.repeat(FAR, weights))
    assert net.target_mean_ == pytest.approx(repeated.target_mean_, rel=1e-14)
    assert net.target_scale_ == pytest.approx(repeated.target_scale_, rel=1e-12)
    np.testing.assert_allclose(net.predict(X), repeated.predict(X), rtol=1e-9)


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_positive_targets_are_divided_alone(loss):
    y = 1e4 * np.exp(scale(Y) / 2)
    net = _net(loss=loss, solver="lbfgs", max_iter=300).fit(X, y)
    assert net.target_mean_ == 0
    assert net.target_scale_ == pytest.approx(y.mean())
    assert (net.predict(X) > 0).all()
    assert net.score(X, y) > 0.8


def test_it_is_learnt_once_and_kept():
    net = _net(warm_start=True).fit(X, FAR)
    learnt = net.target_mean_, net.target_scale_
    net.fit(X, 2 * FAR)
    net.partial_fit(X[:10], FAR[:10])
    loaded = pickle.loads(pickle.dumps(net))
    assert (net.target_mean_, net.target_scale_) == learnt
    np.testing.assert_array_equal(loaded.predict(X), net.predict(X))
    net.set_params(warm_start=False).fit(X, 2 * FAR)
    assert net.target_mean_ == 2 * learnt[0]
    net.set_params(scale_target=False).fit(X, scale(Y))
    assert not hasattr(net, "target_mean_")
    assert net.score(X, scale(Y)) > 0


@NEEDS_A_COMPILER
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_single_samples_are_in_the_users_units(n_outputs):
    y = FAR if n_outputs == 1 else np.column_stack([FAR, X[:, 0]])
    one, table = (_net(solver="sgd", batch_size=1, max_iter=5).fit(X, y) for _ in range(2))
    for x, target in zip(X[:8], y[:8], strict=True):
        expected = table.predict(x[np.newaxis])[0]
        np.testing.assert_allclose(one.predict_one(x), expected, rtol=1e-12)
        one.learn_one(x, target)
        table.partial_fit(x[np.newaxis], target[np.newaxis])
    np.testing.assert_array_equal(one.predict(X), table.predict(X))


@NEEDS_A_COMPILER
def test_single_samples_of_several_quantiles():
    net = _net(loss="quantile", quantile=[0.1, 0.9], solver="sgd", max_iter=50).fit(X, FAR)
    low, high = net.predict_one(X[0])
    assert 900 < low < high < 1500
    net.learn_one(X[0], FAR[0])
    clone(net).set_params(scale_target=False).fit(X, Y).learn_one(X[0], Y[0])


def test_rows_to_validate_on_are_scaled_alike():
    net = _net(early_stopping=True, max_iter=30)
    net.fit(X[:150], FAR[:150], X_val=X[150:], y_val=FAR[150:])
    assert net.best_validation_score_ == pytest.approx(net.score(X[150:], FAR[150:]), rel=1e-9)


def test_other_dtypes_and_targets_that_do_not_vary():
    net = _net(max_iter=50).fit(X.astype(np.float32), FAR)
    assert net.predict(X).dtype == np.float32
    constant = _net(solver="lbfgs").fit(X, np.full(200, 7.5))
    assert (constant.target_mean_, constant.target_scale_) == (7.5, 1.0)
    np.testing.assert_allclose(constant.predict(X), 7.5, rtol=0.01)
    huge = _net(solver="lbfgs", max_iter=50).fit(X, 1e200 * Y)
    assert np.corrcoef(huge.predict(X) / 1e200, Y)[0, 1] > 0.9


def test_a_single_row_that_counts_has_no_scale():
    weights = np.zeros(200)
    weights[3] = 2.0
    net = _net(max_iter=2).fit(X, FAR, weights)
    assert (net.target_mean_, net.target_scale_) == (FAR[3], 1.0)


def test_it_goes_through_the_rest_of_the_house():
    net = _net(solver="lbfgs", max_iter=50)
    assert net.check_gradient(X[:20], FAR[:20]) < 1e-7
    nets = fit_many(X, FAR, [{}, {"alpha": 10.0}], estimator=net)
    np.testing.assert_array_equal(nets[0].predict(X), clone(net).fit(X, FAR).predict(X))
    assert net.fit(X, FAR).stationary_point(X, FAR).gradient_norm == pytest.approx(
        net.gradient_norm_, rel=1e-6
    )
