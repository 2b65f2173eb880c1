"""What a fit accepts but tells: nothing learnt, columns that alpha="bayes" was not made for."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import make_friedman1, make_friedman2
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

from fastbp import BackpropRegressor, fit_many
from helpers.fits import EVERY_MODE, make_net

NOTHING = "Nothing was learnt: the training loss"
X2, Y2 = make_friedman2(200, random_state=0)

UNLEARNT = {
    "unscaled columns, sgd": ("sgd", X2, scale(Y2), {"learning_rate_init": 1e-7}),
    "one column of 1e4, lm": ("lm", 1e4 + scale(X2[:, :1]), scale(Y2), {}),
    "one column of 1e4, cg": ("cg", 1e4 + scale(X2[:, :1]), scale(Y2), {}),
    "tiny targets": ("sgd", scale(X2), 1e-6 * scale(Y2), {"tol": 1e-2}),
    "too much decay": ("lbfgs", scale(X2), scale(Y2), {"alpha": 1e9}),
    "poisson, too small a rate": (
        "adam",
        scale(X2),
        np.exp(3 + scale(Y2)),
        {"loss": "poisson", "learning_rate_init": 1e-9},
    ),
}


@pytest.mark.parametrize("case", UNLEARNT)
def test_a_training_that_has_learnt_nothing_says_so_once(case):
    solver, X, y, parameters = UNLEARNT[case]
    net = BackpropRegressor(
        hidden_layer_sizes=(5,), activation="tanh", solver=solver, random_state=0, max_iter=30
    ).set_params(**parameters)
    with pytest.warns(ConvergenceWarning, match=NOTHING) as record:
        net.fit(X, y)
    assert [warning.filename for warning in record] == [__file__]
    assert net.score(X, y) < 0.01


@EVERY_MODE
@pytest.mark.parametrize("weighted", [False, True])
def test_a_training_that_has_learnt_says_nothing(mode, weighted, rng):
    X, _ = make_friedman1(100, random_state=0)
    y = X @ [1.0, 2, 3, 4, 5, 0, 0, 0, 0, 0]
    net = make_net(mode, max_iter=300, learning_rate_init=0.01)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        net.fit(scale(X), scale(y), rng.uniform(size=100) if weighted else None)
    assert not [warning for warning in record if NOTHING in str(warning.message)]
    assert net.score(scale(X), scale(y)) > 0.1


@pytest.mark.parametrize("mode", ["adam", "lbfgs", "lm"])
@pytest.mark.filterwarnings("ignore:.*stopped early:sklearn.exceptions.ConvergenceWarning")
def test_nothing_is_said_where_there_is_nothing_to_learn(mode, rng):
    X = rng.standard_normal((30, 3))
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        make_net(mode).fit(X, np.full(30, 7.0))
        if mode == "adam":
            make_net(mode).partial_fit(X, 1e6 * X[:, 0])
    assert not [warning for warning in record if NOTHING in str(warning.message)]


def test_fit_many_says_it_too():
    net = BackpropRegressor(hidden_layer_sizes=(5,), random_state=0, max_iter=5)
    with pytest.warns(ConvergenceWarning, match=NOTHING):
        fit_many(scale(X2), scale(Y2) + 100, [{"learning_rate_init": 1e-9}], estimator=net)


BAYES = {"solver": "lm", "alpha": "bayes", "hidden_layer_sizes": (5,), "activation": "tanh"}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("X", "y", "named"),
    [
        (X2, scale(Y2), r"X\[:, 1\] has 9.*StandardScaler"),
        (scale(X2), Y2, r"y\[:, 0\] has 4"),
        (scale(X2), 1e-4 * scale(Y2), r"y\[:, 0\] has .* and 0.0001"),
        (scale(X2), scale(Y2) + 3, r"y\[:, 0\] has 3 and 1"),
    ],
)
def test_bayes_says_where_data_are_not_scaled(X, y, named):
    with pytest.warns(ConvergenceWarning, match=named) as record:
        BackpropRegressor(**BAYES, max_iter=2).fit(X, y)
    assert record[0].filename == __file__
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "alpha='bayes' finds")
        BackpropRegressor(**BAYES, max_iter=2).fit(scale(X2), scale(Y2))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bayes_that_ends_where_its_gradient_is_small_has_no_warning_of_a_large_one(rng):
    net = BackpropRegressor(**BAYES, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*an entry of the gradient")
        net.fit(np.ones((50, 3)), rng.standard_normal(50))
    assert net.stop_reason_ == "gradient_norm"
    assert net.gradient_norm_ <= net.tol
