"""What a fit leaves behind: curves, losses, gradient norms, counts; and fits that go on."""

import threading

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from helpers.cases import STOCHASTIC_SOLVERS
from helpers.fits import (
    EVERY_BATCH_SOLVER,
    EVERY_MODE,
    EVERY_SOLVER,
    EVERY_STOCHASTIC_MODE,
    MODES,
    SEEDS,
    SHORT,
    SOLVERS,
    assert_same,
    call_first,
    fitted_attributes,
    largest_gradient,
    loss_and_gradient_at,
    make_net,
    vector_of,
)
from helpers.guards import DTYPES

# What a fit leaves behind


@SHORT
@EVERY_MODE
def test_curves_have_an_entry_an_iteration(mode, problem):
    X, y = problem()
    net = make_net(mode).fit(X, y)
    assert net.n_iter_ > 1
    for curve in (net.loss_curve_, net.gradient_norm_curve_, net.time_curve_):
        assert len(curve) == net.n_iter_
    assert np.isfinite(net.loss_curve_).all()
    assert net.time_curve_[0] > 0
    assert (np.diff(net.time_curve_) >= 0).all()
    assert net.time_curve_[-1] > net.time_curve_[0]


@SHORT
@EVERY_STOCHASTIC_MODE
def test_sgd_and_adam_go_on_with_their_curves_in_a_warm_start(mode, problem):
    X, y = problem()
    net = make_net(mode, warm_start=True, max_iter=3).fit(X, y)
    losses, times, norm = net.loss_curve_, net.time_curve_, net.gradient_norm_
    net.set_params(max_iter=2).fit(X, y)
    assert net.n_iter_ == 2
    assert net.loss_curve_[:3] == losses
    assert net.time_curve_[:3] == times
    assert net.time_curve_[3] > times[-1]
    np.testing.assert_equal(net.gradient_norm_curve_[:4], [np.nan, np.nan, norm, np.nan])
    assert net.gradient_norm_curve_[4] == net.gradient_norm_ != norm


@SHORT
@EVERY_MODE
@DTYPES
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_the_gradient_norm_is_that_of_the_weights_kept(mode, dtype, weighted, alpha, problem):
    X, y = problem(n_samples=61, dtype=dtype)
    weights = np.linspace(0, 2, len(y)) if weighted else None
    net = make_net(mode, alpha=alpha).fit(X, y, weights)
    near = {"rel": 1e-12, "abs": 1e-12} if dtype == np.float64 else {"rel": 1e-4, "abs": 1e-5}
    assert net.gradient_norm_ == pytest.approx(largest_gradient(net, X, y, weights), **near)
    if mode != "rprop":  # which returns its best point, not its last
        assert net.gradient_norm_curve_[-1] == net.gradient_norm_


@SHORT
@EVERY_MODE
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_the_gradient_norm_with_other_losses_layers_and_outputs(mode, n_outputs, problem):
    X, y = problem(n_outputs=n_outputs, positive=True)
    loss = "squared_error" if mode == "lm" else "poisson"
    net = make_net(mode, loss=loss, hidden_layer_sizes=(7, 3), learning_rate_init=1e-4).fit(X, y)
    assert net.gradient_norm_ == pytest.approx(largest_gradient(net, X, y), rel=1e-11)


@SHORT
@EVERY_BATCH_SOLVER
@DTYPES
def test_the_loss_is_that_of_the_weights_kept(mode, dtype, problem):
    X, y = problem(dtype=dtype)
    net = make_net(mode).fit(X, y)
    rel = 1e-12 if dtype == np.float64 else 1e-5
    assert net.loss_ == pytest.approx(loss_and_gradient_at(net, X, y)[0], rel=rel)


@SHORT
@EVERY_STOCHASTIC_MODE
def test_the_gradient_norm_with_early_stopping_is_that_of_the_best_weights(mode, problem, rng):
    X, _ = problem(n_samples=60)
    y = rng.standard_normal(60)  # nothing but noise, so that validation gets worse
    validation = {"X_val": X[:30], "y_val": y[:30]}
    for gtol in (None, 0.0):
        net = make_net(mode, early_stopping=True, learning_rate_init=0.05, max_iter=30, gtol=gtol)
        net.fit(X[30:], y[30:], **validation)
        assert net.validation_scores_[-1] < net.best_validation_score_
        expected = largest_gradient(net, X[30:], y[30:])
        assert net.gradient_norm_ == pytest.approx(expected, rel=1e-11)


@EVERY_STOCHASTIC_MODE
def test_partial_fit_works_out_no_gradient_over_all_rows(mode, problem):
    X, y = problem()
    net = make_net(mode).partial_fit(X, y)
    assert np.isnan(net.gradient_norm_)
    net.partial_fit(X, y)
    np.testing.assert_equal(net.gradient_norm_curve_, [np.nan, np.nan])
    assert net.n_fun_ == 1


@SHORT
@pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
@pytest.mark.parametrize("method", ["partial_fit", "learn_one"])
def test_no_gradient_norm_of_earlier_weights_is_left(solver, method, problem):
    X, y = problem()
    net = make_net(solver).fit(X, y)
    assert net.gradient_norm_ > 0
    rows = (X, y) if method == "partial_fit" else (X[0], y[0])
    getattr(net, method)(*rows)
    assert np.isnan(net.gradient_norm_)


@pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
def test_partial_fit_works_the_gradient_out_for_gtol(solver, problem):
    X, y = problem()
    net = make_net(solver, gtol=0).partial_fit(X, y)
    assert net.gradient_norm_ == pytest.approx(largest_gradient(net, X, y), rel=1e-12)
    assert net.stop_reason_ == "one_epoch"
    assert net.set_params(gtol=1e9).partial_fit(X, y).stop_reason_ == "gradient_norm"


@SHORT
@EVERY_BATCH_SOLVER
def test_every_evaluation_is_counted(mode, problem, monkeypatch):
    X, y = problem()
    calls = []
    for name in ("loss_and_gradient", "normal_equations"):
        call_first(monkeypatch, name, lambda: calls.append(1))
    net = make_net(mode).fit(X, y)
    after = mode == "lm"  # it asks once more, how far the data determine the weights
    assert net.n_fun_ == len(calls) - after > net.n_iter_


@SHORT
@EVERY_STOCHASTIC_MODE
def test_an_epoch_counts_as_one_evaluation_and_max_fun_is_for_batch_solvers(mode, problem):
    X, y = problem()
    net = make_net(mode).fit(X, y)
    assert net.n_fun_ == net.n_iter_ + 1
    limited = make_net(mode, max_fun=1).fit(X, y)
    assert_same(fitted_attributes(net), fitted_attributes(limited))


# Kinds of data


@SHORT
@pytest.mark.parametrize(
    ("mode", "parameters"),
    [(mode, {}) for mode in MODES] + [(mode, {"momentum": 0}) for mode in MODES if "sgd" in mode],
)
@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_array])
@DTYPES
def test_sparse_is_dense(mode, parameters, container, dtype, problem):
    X, y = problem(n_features=12, dtype=dtype)
    X[X < 0.5] = 0
    dense, other = (make_net(mode, **parameters).fit(inputs, y) for inputs in (X, container(X)))
    assert_same(fitted_attributes(other), fitted_attributes(dense))
    np.testing.assert_array_equal(other.predict(container(X)), dense.predict(X))


@SHORT
@EVERY_BATCH_SOLVER
def test_sparse_is_dense_where_alpha_is_found_and_weights_count(mode, problem):
    X, y = problem(n_features=12, n_outputs=2)
    X[X < 0.5] = 0
    weights = np.linspace(0, 1, len(y))
    alpha = "bayes" if mode == "lm" else 0.1
    dense = make_net(mode, alpha=alpha).fit(X, y, weights)
    other = make_net(mode, alpha=alpha).fit(sparse.csr_array(X), y, weights)
    assert_same(fitted_attributes(other), fitted_attributes(dense))


@SHORT
@EVERY_BATCH_SOLVER
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_float32_in_gives_float32_out_near_float64(mode, n_outputs, problem):
    X, y = problem(n_outputs=n_outputs)
    in_float32 = make_net(mode).fit(X.astype(np.float32), y)
    in_float64 = make_net(mode).fit(X, y)
    arrays = [*in_float32.coefs_, *in_float32.intercepts_, in_float32.predict(X.astype(np.float32))]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert {array.dtype for array in in_float64.coefs_} == {np.dtype(np.float64)}
    assert in_float32.predict(X).shape == y.shape
    assert in_float32.loss_ == pytest.approx(in_float64.loss_, rel=0.2)


# Fits one after the other, and side by side


@SHORT
@EVERY_BATCH_SOLVER
@DTYPES
def test_a_warm_start_goes_on(mode, dtype, problem):
    X, y = problem(dtype=dtype)
    net = make_net(mode, warm_start=True, max_iter=5, tol=0).fit(X, y)
    for _ in range(4):
        before = net.loss_
        net.fit(X, y)
        assert net.loss_ <= before
    assert net.loss_ < make_net(mode, max_iter=5, tol=0).fit(X, y).loss_


@EVERY_BATCH_SOLVER
def test_a_warm_start_where_nothing_is_left_to_do_ends_at_once(mode, problem):
    X, y = problem()
    net = make_net(mode, warm_start=True, tol=0.05, max_iter=2000).fit(X, y)
    before, loss = vector_of(net), net.loss_
    net.fit(X, y)
    np.testing.assert_array_equal(vector_of(net), before)
    assert (net.stop_reason_, net.n_iter_, net.n_fun_) == ("gradient_norm", 1, 1)
    assert net.loss_ == loss


@SHORT
@EVERY_SOLVER
def test_a_fit_leaves_nothing_of_another_solvers_fit(mode, problem):
    X, y = problem()
    fresh = fitted_attributes(make_net(mode).fit(X, y))
    for other in SOLVERS:
        regularised = {"alpha": "bayes"} if other == "lm" else {"early_stopping": "GL5"}
        net = make_net(other, n_init=2, hidden_layer_sizes=(4, 3), **regularised)
        net.fit(np.c_[X, X], np.c_[y, y])
        if other in STOCHASTIC_SOLVERS:
            net.set_params(early_stopping=False).partial_fit(np.c_[X, X], np.c_[y, y])
        net.set_params(**make_net(mode).get_params()).fit(X, y)
        assert_same(fitted_attributes(net), fresh)


@SHORT
@EVERY_BATCH_SOLVER
def test_estimators_fit_in_threads_as_one_after_the_other(mode, problem):
    X, y = problem()
    nets = [make_net(mode, random_state=seed, n_init=2, n_jobs=2) for seed in SEEDS]
    expected = [clone(net).fit(X, y) for net in nets]
    threads = [threading.Thread(target=net.fit, args=(X, y)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for net, alone in zip(nets, expected, strict=True):
        assert_same(fitted_attributes(net), fitted_attributes(alone))
