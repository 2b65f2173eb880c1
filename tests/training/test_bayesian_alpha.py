"""alpha='bayes': the weight decay that solver='lm' finds, and no other solver."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone

from helpers.cases import STOCHASTIC_SOLVERS
from helpers.fits import (
    SHORT,
    SOLVERS,
    assert_same,
    fitted_attributes,
    loss_and_gradient_at,
    make_net,
    vector_of,
)


@pytest.mark.parametrize("mode", [mode for mode in SOLVERS if mode != "lm"])
def test_only_lm_finds_the_weight_decay(mode, problem):
    X, y = problem()
    net = make_net(mode, alpha="bayes")
    for fit in (net.fit, *([net.partial_fit] if mode in STOCHASTIC_SOLVERS else [])):
        with pytest.raises(ValueError, match="alpha='bayes'.*solver='lm'"):
            fit(X, y)
    assert not hasattr(net, "n_features_in_")


@SHORT
def test_a_decay_that_no_solver_but_lm_finds_is_named_by_learn_one_too(problem):
    X, y = problem()
    net = make_net("lm", alpha="bayes").fit(X, y).set_params(solver="sgd")
    with pytest.raises(ValueError, match="alpha='bayes'.*solver='lm'"):
        net.learn_one(X[0], y[0])


@SHORT
@pytest.mark.parametrize("n_init", [1, 3])
def test_the_decay_found_is_told_until_the_next_fit_with_a_number(n_init, problem):
    X, y = problem()
    net = make_net("lm", alpha="bayes", max_iter=100, n_init=n_init).fit(X, y)
    assert 0 < net.alpha_ < np.inf
    assert 1 < net.effective_parameters_ < vector_of(net).size
    assert net.alpha == "bayes"
    loss, gradient = loss_and_gradient_at(net, X, y, alpha=net.alpha_)
    assert net.loss_ == pytest.approx(loss, rel=1e-10)
    assert net.gradient_norm_ == pytest.approx(np.abs(gradient).max(), abs=1e-10)
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert_same(fitted_attributes(other), fitted_attributes(net))
        np.testing.assert_array_equal(other.predict(X), net.predict(X))
    cloned = clone(net)
    assert cloned.get_params() == net.get_params()
    assert not hasattr(cloned, "coefs_")
    assert not hasattr(cloned, "alpha_")
    net.set_params(alpha=0.1).fit(X, y)
    assert not hasattr(net, "alpha_")
    assert not hasattr(net, "effective_parameters_")


@pytest.mark.parametrize("mode", [mode for mode in SOLVERS if mode != "lm"])
@SHORT
def test_without_bayes_no_decay_is_told(mode, problem):
    X, y = problem()
    net = make_net("lm", alpha="bayes").fit(X, y)
    net.set_params(alpha=0.1, **SOLVERS[mode]).fit(X, y)
    assert not hasattr(net, "alpha_")
    assert not hasattr(net, "effective_parameters_")
