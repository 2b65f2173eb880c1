"""A user's own activation or loss, wherever a name may stand, and what is said of a wrong one."""

import pickle

import numpy as np
import pytest
from numba.core.caching import NullCache
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from fastbp import Activation, BackpropRegressor, Loss, Network, Objective, elementary
from fastbp.machine import by_address
from fastbp.model.data import as_data
from fastbp.solvers import SOLVERS
from helpers.guards import NEEDS_A_COMPILER
from helpers.own_records import CUBED, GAUSS, HINGE, MY_TANH, gauss, gauss_slope, wrong_slope

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def regressor(**parameters):
    return BackpropRegressor(hidden_layer_sizes=(5, 4), max_iter=5, random_state=0, **parameters)


@NEEDS_A_COMPILER
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_own_one_gives_the_bits_of_a_built_in_one(problem, solver, dtype):
    X, y = (array.astype(dtype) for array in problem())
    own = regressor(activation=MY_TANH, solver=solver).fit(X, y)
    built_in = regressor(activation="tanh", solver=solver).fit(X, y)
    np.testing.assert_array_equal(own.coefs_[0], built_in.coefs_[0])
    np.testing.assert_array_equal(own.predict(X), built_in.predict(X))
    assert own.coefs_[0].dtype == dtype


@pytest.mark.parametrize("batch_size", ["online", 7])
def test_an_own_rectifier_needs_no_special_products(problem, batch_size):
    X, y = problem()
    nets = [
        regressor(activation=activation, batch_size=batch_size, solver="sgd").fit(X, y)
        for activation in (HINGE, "relu")
    ]
    np.testing.assert_allclose(nets[0].coefs_[0], nets[1].coefs_[0], rtol=1e-10)


def test_the_gradient_with_own_records_and_one_activation_a_layer(rng):
    network = Network((3, 5, 4, 2), (GAUSS, "tanh"), CUBED, MY_TANH)
    X, y = rng.standard_normal((20, 3)), rng.standard_normal((20, 2))
    objective = Objective(network, as_data(X, y), 0.1)
    p = rng.standard_normal(network.n_parameters)
    _, gradient = objective.loss_and_gradient(p)
    for i in range(0, p.size, 5):
        step = np.zeros_like(p)
        step[i] = 1e-6
        losses = [objective.loss_and_gradient(p + s)[0] for s in (step, -step)]
        assert gradient[i] == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_one_activation_a_layer(problem):
    X, y = problem()
    of_all = regressor(activation="tanh").fit(X, y)
    of_each = regressor(activation=["tanh", "tanh"]).fit(X, y)
    np.testing.assert_array_equal(of_all.coefs_[0], of_each.coefs_[0])
    mixed = clone(regressor(activation=("tanh", "relu"))).fit(X, y)
    hidden = np.tanh(X @ mixed.coefs_[0] + mixed.intercepts_[0])
    hidden = np.maximum(hidden @ mixed.coefs_[1] + mixed.intercepts_[1], 0)
    expected = hidden @ mixed.coefs_[2] + mixed.intercepts_[2]
    np.testing.assert_allclose(mixed.predict(X), expected.ravel(), rtol=1e-10)
    with pytest.raises(ValueError, match="names 3 activations, but there are 2 hidden layers"):
        regressor(activation=["tanh"] * 3).fit(X, y)


@NEEDS_A_COMPILER
def test_clone_pickle_search_and_single_samples(problem):
    X, y = problem()
    net = regressor(activation=GAUSS, loss=CUBED, output_activation=MY_TANH, solver="sgd")
    fitted = clone(net).fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert again.out_activation_ == "my tanh"
    fitted.learn_one(X[0], y[0])
    again.partial_fit(X[:1], y[:1])
    np.testing.assert_allclose(fitted.coefs_[0], again.coefs_[0], rtol=1e-10)
    search = GridSearchCV(net, {"activation": [GAUSS, "relu", ("tanh", GAUSS)]}, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@NEEDS_A_COMPILER
@pytest.mark.subprocess
def test_search_in_processes(problem):
    X, y = problem()
    net = regressor(activation=GAUSS, loss=CUBED, solver="lbfgs")
    scores = [
        GridSearchCV(net, {"alpha": [0.1, 1.0]}, cv=2, n_jobs=n_jobs).fit(X, y).best_score_
        for n_jobs in (1, 2)
    ]
    assert scores[0] == scores[1]


def _ones(z, a):
    return 1.0


def _with_if(z):
    return z if z > 0 else 0 * z


def _as_float64(z):
    return z * np.float64(2)


def _loses_nan(z):
    return elementary.where(z > 0, z, 0)


def _loses_nan_slope(z, a):
    return elementary.where(z > 0, elementary.one(z), 0)


def _by_numpy(z):
    return np.arctan(z)


def _by_numpy_slope(z, a):
    return 1 / (1 + z * z)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (Activation("a", gauss, wrong_slope), r"slope of activation 'a' is wrong: at z = .*differ"),
        (Activation("a", gauss, _ones), r"has shape \(\).*0.5 \* one\(z\)"),
        (Activation("a", _with_if, gauss_slope), "fails for arrays: .*where"),
        (Activation("a", _as_float64, gauss_slope), "of float32 is float64"),
        (Activation("a", _loses_nan, _loses_nan_slope), "of NaN is a number"),
        (Activation("a", gauss, gauss_slope, is_rectifier=True), "Set is_rectifier=False"),
        (Activation("a", MY_TANH.value, MY_TANH.slope, positive=True), "Set positive=False"),
        (Loss("l", CUBED.value, lambda p, y, _: p - y), "gradient of loss 'l' is wrong"),
        (Loss("l", CUBED.value, CUBED.gradient, is_half_square=True), "Set is_half_square=False"),
        (Loss("l", CUBED.value, CUBED.gradient, canonical="identity"), "Set canonical=None"),
    ],
)
def test_what_is_wrong_is_said(problem, own, message):
    given = {"loss" if isinstance(own, Loss) else "activation": own}
    with pytest.raises(ValueError, match=message):
        regressor(**given).fit(*problem())


@NEEDS_A_COMPILER
def test_what_does_not_compile_is_said(problem):
    own = Activation("arctan", _by_numpy, _by_numpy_slope)
    with pytest.raises(ValueError, match="'arctan' do not compile for vectors.*elementary"):
        regressor(activation=own).fit(*problem())


@NEEDS_A_COMPILER
def test_own_code_is_not_kept_on_disk(problem, monkeypatch):
    """Its source is not in the cache's key: edited, the old code would run."""
    asked = []

    def cache_of(loop):
        asked.append(loop.__qualname__)
        return NullCache()

    monkeypatch.setattr(by_address, "kernel_cache", cache_of)
    seen_first_here = Activation("seen first here", gauss, gauss_slope)
    regressor(activation=seen_first_here).fit(*problem())
    assert not [name for name in asked if "seen first here" in name]
