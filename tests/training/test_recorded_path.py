"""``record_path=True``: where the training has been, and nothing else changes."""

import numpy as np
import pytest

from fastbp import BackpropClassifier, BackpropRegressor
from helpers.fits import EVERY_MODE, SHORT, fitted_attributes, make_net, vector_of


@SHORT
@EVERY_MODE
def test_the_path_leads_from_the_initial_weights_to_those_that_are_kept(mode, problem):
    X, y = problem()
    plain = make_net(mode).fit(X, y)
    net = make_net(mode, record_path=True).fit(X, y)
    path = net.path_
    assert len(path) == net.n_iter_ + 1
    initial = net._network.initial_parameters(np.random.RandomState(0), np.dtype(float))
    np.testing.assert_array_equal(path[0], initial)
    np.testing.assert_array_equal(vector_of(plain), vector_of(net))
    if net.loss_ == net.loss_curve_[-1]:  # rprop's last iteration need not be its best
        np.testing.assert_array_equal(path[-1], vector_of(net))
    without = fitted_attributes(net)
    del without["path_"]
    np.testing.assert_equal(without, fitted_attributes(plain))


@SHORT
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_long_path_is_thinned(solver, problem):
    X, y = problem(dtype=np.float32)
    given = {"max_iter": 1500, "tol": 0, "n_iter_no_change": np.inf, "record_path": True}
    net = BackpropRegressor("squared_error", (4,), "tanh", solver=solver, **given).fit(X, y)
    assert 500 <= len(net.path_) <= 1000 or len(net.path_) == net.n_iter_ + 1
    assert net.path_.dtype == np.float32
    np.testing.assert_array_equal(net.path_[-1], vector_of(net))


@SHORT
def test_the_path_is_that_of_the_best_start_and_of_the_latest_call(problem):
    X, y = problem()
    net = make_net("lm", record_path=True, n_init=5).fit(X, y)
    np.testing.assert_array_equal(net.path_[-1], vector_of(net))
    before = vector_of(net)
    net.set_params(n_init=1, warm_start=True).fit(X, y)
    np.testing.assert_array_equal(net.path_[0], before)
    net.set_params(record_path=False).fit(X, y)
    assert not hasattr(net, "path_")


@SHORT
def test_a_classifier_and_partial_fit_record_theirs(problem):
    X, y = problem()
    net = BackpropClassifier((4,), random_state=0, record_path=True, max_iter=5).fit(X, y > 0)
    assert len(net.path_) == 6
    before = vector_of(net)
    net.partial_fit(X, y > 0)
    np.testing.assert_array_equal(net.path_, [before, vector_of(net)])


@SHORT
def test_early_stopping_goes_on_past_the_best(problem):
    X, y = problem()
    net = make_net("adam", record_path=True, early_stopping=True, max_iter=60).fit(X, y)
    best = int(np.argmax(net.validation_scores_)) + 1
    np.testing.assert_array_equal(net.path_[best], vector_of(net))


@SHORT
@EVERY_MODE
def test_evaluations_are_counted_to_the_end_of_each_iteration(mode, problem):
    X, y = problem()
    net = make_net(mode, warm_start=True).fit(X, y)
    counts = net.n_fun_curve_
    assert len(counts) == net.n_iter_
    assert (np.diff([0, *counts]) >= 1).all()
    assert counts[-1] <= net.n_fun_ <= counts[-1] + 20  # those after the last, if any
