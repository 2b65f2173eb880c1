"""The regressor's losses: where a fit of each one ends, what they refuse, several quantiles."""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.linear_model import GammaRegressor, QuantileRegressor

from fastbp import BackpropRegressor
from fastbp.model.losses import LOSSES, losses_where
from helpers.guards import NEEDS_A_COMPILER

ROBUST = ["absolute_error", "huber", "quantile", "log_cosh"]


def linear(loss, **parameters):
    return BackpropRegressor(
        loss, (), solver="lbfgs", alpha=0, tol=1e-10, max_iter=5000, random_state=0, **parameters
    )


@pytest.fixture
def table(rng):
    X = rng.standard_normal((80, 2))
    return X, X @ [1.0, -2.0] + 0.5 + rng.standard_t(2, 80)


@pytest.mark.parametrize("quantile", [0.5, 0.2])
def test_quantiles_are_those_of_linear_programming(table, quantile):
    expected = QuantileRegressor(quantile=quantile, alpha=0).fit(*table).predict(table[0])
    for dtype, tolerance in ((np.float64, 2e-3), (np.float32, 2e-2)):
        X, y = (array.astype(dtype) for array in table)
        net = linear("quantile", quantile=quantile)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a kink is no point where a gradient is 0
            net.fit(X, y)
        best = LOSSES["quantile"].value(expected, table[1], quantile).mean()
        assert net.loss_ == pytest.approx(best, rel=tolerance)


def test_the_absolute_error_is_twice_the_pinball_loss_of_the_median(table):
    nets = [
        BackpropRegressor(loss, (5,), "tanh", alpha=0, max_iter=20, random_state=0, tol=0)
        for loss in ("absolute_error", "quantile")
    ]
    nets[1].set_params(solver="sgd", learning_rate_init=0.02, momentum=0)
    nets[0].set_params(solver="sgd", learning_rate_init=0.01, momentum=0)
    for net in nets:
        with pytest.warns(match="iterations"):
            net.fit(*table)
    np.testing.assert_allclose(nets[0].coefs_[0], nets[1].coefs_[0], rtol=1e-10)
    assert nets[0].loss_ == pytest.approx(2 * nets[1].loss_, rel=1e-12)


@pytest.mark.parametrize("loss", ["huber", "log_cosh"])
def test_smooth_losses_reach_the_minimum_that_scipy_finds(table, loss):
    X, y = table
    own = 1.35 if loss == "huber" else 0.0
    expected = minimize(lambda w: LOSSES[loss].value(X @ w[:2] + w[2], y, own).mean(), np.zeros(3))
    net = linear(loss).fit(X, y)
    assert net.loss_ == pytest.approx(expected.fun, rel=1e-9)
    np.testing.assert_allclose(net.coefs_[0].ravel(), expected.x[:2], rtol=1e-4)


def test_gamma_is_the_generalised_linear_model(table, rng):
    X = table[0]
    y = rng.gamma(2.0, np.exp(0.3 * X[:, 0]) / 2)
    expected = GammaRegressor(alpha=0, tol=1e-10, max_iter=1000).fit(X, y)
    net = linear("gamma").fit(X, y)
    np.testing.assert_allclose(net.predict(X), expected.predict(X), rtol=1e-5)
    assert net.out_activation_ == "exp"


@pytest.mark.parametrize("loss", [*ROBUST, "gamma"])
def test_early_stopping_goes_by_minus_the_loss(problem, loss):
    X, y = problem(positive=True)
    net = BackpropRegressor(loss, (4,), early_stopping=True, max_iter=3, random_state=0)
    with pytest.warns(match="iterations"):
        net.fit(X, y + 1, X_val=X[:20], y_val=y[:20] + 1)
    record, own = LOSSES[loss], net._loss_parameters or (0.0,)
    losses = record.value(net.predict(X[:20]), y[:20] + 1, own[0])
    assert net.best_validation_score_ == pytest.approx(-losses.mean(), rel=1e-10)


def test_several_quantiles_are_outputs_in_order(table):
    X, y = table
    quantiles = [0.1, 0.5, 0.9]
    net = BackpropRegressor(
        "quantile", (), solver="sgd", quantile=quantiles, learning_rate_init=0.02, max_iter=300,
        batch_size=20, n_iter_no_change=np.inf, random_state=0,
    )  # fmt: skip
    with pytest.warns(match="iterations"):
        clone(net).fit(X, y)
        net.fit(X, y)
    prediction = net.predict(X)
    assert prediction.shape == (80, 3)
    np.testing.assert_allclose((y[:, np.newaxis] < prediction).mean(axis=0), quantiles, atol=0.08)
    losses = LOSSES["quantile"].value(prediction, y[:, np.newaxis], np.array(quantiles))
    assert net.score(X, y) == pytest.approx(-losses.sum(axis=1).mean())
    assert net.partial_fit(X, y).predict(X[:5]).shape == (5, 3)


@NEEDS_A_COMPILER
def test_several_quantiles_learn_single_samples(table):
    X, y = table
    net = BackpropRegressor("quantile", (3,), solver="sgd", quantile=[0.2, 0.8], random_state=0)
    net.learn_one(X[0], y[0])
    net.learn_one(X[1], float(y[1]))
    other = BackpropRegressor("quantile", (3,), solver="sgd", quantile=[0.2, 0.8], random_state=0)
    other.partial_fit(X[:1], y[:1]).partial_fit(X[1:2], y[1:2])
    np.testing.assert_allclose(net.coefs_[0], other.coefs_[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss": "quantile", "quantile": 1.0}, "'quantile' parameter"),
        ({"loss": "quantile", "quantile": [0.5, 0.1]}, "rising order"),
        ({"loss": "quantile", "quantile": [0.5, 1.5]}, "between 0 and 1"),
        ({"loss": "quantile", "quantile": [0.5, "a"]}, "between 0 and 1"),
        ({"loss": "huber", "huber_delta": 0}, "'huber_delta' parameter"),
        ({"loss": "huber", "solver": "lm"}, "loss='huber'.*or loss='squared_error'"),
        ({"loss": "gamma"}, "y is .* in row 3, but loss='gamma' is for targets above 0"),
    ],
)
def test_wrong_parameters_are_refused(table, parameters, message):
    X, y = table
    y = np.abs(y)
    y[3] = 0
    with pytest.raises(ValueError, match=message):
        BackpropRegressor(**parameters).fit(X, y)


def test_several_quantiles_of_several_targets_are_refused(table):
    X, y = table
    with pytest.raises(ValueError, match="is for one target, and y has 2"):
        BackpropRegressor("quantile", quantile=[0.1, 0.9]).fit(X, np.c_[y, y])


@NEEDS_A_COMPILER
def test_learn_one_refuses_a_target_that_the_loss_does_not_take(table):
    X, y = table
    net = BackpropRegressor("gamma", (3,), solver="sgd", random_state=0)
    net.learn_one(X[0], 1.0)
    before = net.coefs_[0].copy()
    with pytest.raises(ValueError, match="y is 0 .*loss='poisson' takes 0"):
        net.learn_one(X[1], 0.0)
    np.testing.assert_array_equal(net.coefs_[0], before)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", losses_where(lambda each: not each.is_for_classes))
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs", "rprop"])
@pytest.mark.parametrize("scale_target", [False, True])
def test_integer_weights_are_repeated_rows(loss, solver, scale_target, table, rng):
    X, y = table
    y = np.exp(y / 4) if LOSSES[loss].positive else y
    weights = rng.integers(0, 4, len(y))
    net = BackpropRegressor(loss, (5,), "tanh", solver=solver, batch_size="full", random_state=0)
    net.set_params(max_iter=8, alpha=0.1, scale_target=scale_target)
    weighted = clone(net).fit(X, y, weights)
    repeated = clone(net).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-8)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-8)
