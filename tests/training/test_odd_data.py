"""Odd data are survived by every batch solver; what a solver cannot do is refused."""

import itertools

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from helpers.cases import BATCH_SOLVERS
from helpers.fits import (
    EVERY_BATCH_SOLVER,
    SHORT,
    SOLVERS,
    WARNED,
    make_net,
    vector_of,
    with_warnings,
)
from helpers.guards import DTYPES

ODD = {
    "constant target": lambda X, y: (X, np.full_like(y, 3.0)),
    "target of zero": lambda X, y: (X, np.zeros_like(y)),
    "one row": lambda X, y: (X[:1], y[:1]),
    "two rows": lambda X, y: (X[:2], y[:2]),
    "same rows": lambda X, y: (X[:1].repeat(9, axis=0), y[:1].repeat(9)),
    "duplicate columns": lambda X, y: (np.c_[X, X], y),
    "constant columns": lambda X, y: (np.c_[X, np.ones_like(X)], y),
    "nothing but constant columns": lambda X, y: (np.ones_like(X), y),
    "columns of zero": lambda X, y: (np.zeros_like(X), y),
    "tiny inputs": lambda X, y: (1e-6 * X, y),
    "large inputs": lambda X, y: (1e6 * X, y),
    "large targets": lambda X, y: (X, 1e6 * y),
    "tiny targets": lambda X, y: (X, 1e-6 * y),
    "all large": lambda X, y: (1e6 * X, 1e6 * y),
    "far from zero": lambda X, y: (X + 1e6, y + 1e6),
    "one column": lambda X, y: (X[:, :1], y),
}


@EVERY_BATCH_SOLVER
@pytest.mark.parametrize("odd", ODD)
@DTYPES
def test_odd_data_are_survived(mode, odd, dtype, problem):
    X, y = ODD[odd](*problem(dtype=dtype))
    X, y = X.astype(dtype), y.astype(dtype)
    alphas = (0.0, 1e-4, "bayes") if mode == "lm" else (0.0, 1e-4)
    for alpha, activation in itertools.product(alphas, ("relu", "tanh")):
        net = make_net(mode, alpha=alpha, activation=activation, max_iter=200)
        net, warned = with_warnings(lambda net=net: net.fit(X, y))
        # "bayes" also says which column of X is not scaled, and which of y.
        assert warned == [ConvergenceWarning] * len(warned)
        assert len(warned) <= 1 + 2 * (alpha == "bayes")
        if net.stop_reason_ in WARNED:
            assert warned  # and elsewhere, where nothing was learnt
        assert np.isfinite(vector_of(net)).all()
        assert np.isfinite(net.predict(X)).all()
        assert net.n_iter_ == len(net.loss_curve_)
        assert net.coefs_[0].dtype == dtype


@EVERY_BATCH_SOLVER
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_data_are_refused(mode, bad, problem):
    X, y = problem()
    weights = np.ones(len(y))
    net = make_net(mode)
    for position in range(3):
        arrays = [X.copy(), y.copy(), weights.copy()]
        arrays[position][-1] = bad
        with pytest.raises(ValueError, match="contains (NaN|infinity)"):
            net.fit(*arrays)
    assert vars(net) == vars(make_net(mode))


def test_lm_is_for_squared_errors_and_the_error_names_other_solvers(problem):
    X, y = problem(positive=True)
    net = make_net("lm", loss="poisson")
    with pytest.raises(ValueError, match="solver='lm' is for squared errors") as error:
        net.fit(X, y)
    named = [solver for solver in BATCH_SOLVERS if f"'{solver}'" in str(error.value)]
    assert {"lm", "lbfgs", "bfgs"} <= set(named)
    assert not hasattr(net, "n_features_in_")


@SHORT
@pytest.mark.parametrize("mode", ["lm", "bfgs"])
@pytest.mark.parametrize("n_init", [1, 2])
def test_a_matrix_too_large_is_refused_and_the_error_names_other_solvers(mode, n_init, problem):
    X, y = problem()
    net = make_net(mode, hidden_layer_sizes=(3000,), n_init=n_init, n_jobs=2)
    with pytest.raises(ValueError, match=f"solver='{mode}' works with matrices") as error:
        net.fit(X, y)
    assert "'lbfgs'" in str(error.value)
    assert not hasattr(net, "coefs_")
    assert not hasattr(net, "n_features_in_")
    fitted = make_net("adam", tol=10.0).fit(X, y)
    before = dict(vars(fitted)) | SOLVERS[mode] | {"hidden_layer_sizes": (3000,)}
    with pytest.raises(ValueError, match="works with matrices"):
        fitted.set_params(hidden_layer_sizes=(3000,), **SOLVERS[mode]).fit(X, y)
    assert vars(fitted) == before
