"""The same numbers as scikit-learn's MLPRegressor, from the same random_state.

Every method (solver x schedule x momentum) is compared in full, and all else by a table that
covers every pair of values of any two factors.
"""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.neural_network import MLPRegressor

from fastbp import BackpropRegressor
from helpers.parity import (
    EPOCHS,
    METHODS,
    WAYS,
    assert_same_weights,
    covering_table,
    covers_every_pair,
    train,
)

#: What MLPRegressor does not have, after all that it has.
OWN_PARAMETERS = [
    *("n_jobs", "output_activation", "n_init"),
    *(
        "gtol",
        "loss_goal",
        "max_time",
        "cg_update",
        "lm_acceleration",
        "device",
        "huber_delta",
        "quantile",
        "scale_target",
        "keep_all",
        "record_path",
        "checkpoint",
        "checkpoint_every",
    ),
]

FACTORS = {
    "method": list(METHODS),
    "activation": ["relu", "tanh", "logistic", "identity"],
    "loss": ["squared_error", "poisson"],
    "hidden_layer_sizes": [(10,), (), (7, 5)],
    "alpha": [1e-4, 0, 1.0],
    "batch_size": ["auto", 1, 2, 7, 32, 84],
    "shuffle": [True, False],
    "weighted": [False, True],
    "early_stopping": [False, True],
    "way": WAYS,
    "container": ["dense", "csr", "csc"],
    "dtype": ["float64", "float32"],
    "n_outputs": [1, 2],
}


def _possible(case):
    """What the promise leaves out, or MLPRegressor cannot do; a case may be incomplete."""
    lbfgs = case.get("method") == "lbfgs"
    return not (
        (case.get("early_stopping") and (lbfgs or case.get("way") == "partial_fit"))
        or (lbfgs and case.get("way") == "partial_fit")
        or (lbfgs and (case.get("dtype") == "float32" or case.get("n_outputs") == 2))
        or (case.get("weighted") and case.get("batch_size") == 1)
    )


TABLE = covering_table(FACTORS, _possible)


def _data(case):
    rng = np.random.RandomState(3)
    X = rng.standard_normal((84, 6))
    y = X @ rng.standard_normal((6, case["n_outputs"])) / 2
    y += 0.3 * rng.standard_normal(y.shape)
    if case["loss"] == "poisson":
        y = np.round(np.exp(y))
    if case["container"] != "dense":
        X[rng.uniform(size=X.shape) < 0.6] = 0
    dtype = case["dtype"]
    X = X.astype(dtype)
    if case["container"] != "dense":
        X = sparse.csr_matrix(X).asformat(case["container"])
    y = (y[:, 0] if case["n_outputs"] == 1 else y).astype(dtype)
    weights = rng.uniform(0.2, 3, 84).astype(dtype) if case["weighted"] else None
    if case["weighted"]:
        weights[[7, 30]] = 0  # never all of a batch: MLPRegressor divides by their sum
    return X, y, weights


def _parameters(case):
    names = ("activation", "loss", "hidden_layer_sizes", "alpha", "batch_size", "shuffle")
    return METHODS[case["method"]] | {name: case[name] for name in names} | {
        "early_stopping": case["early_stopping"],
        "validation_fraction": 1 / 6,
        "learning_rate_init": 0.01 if case["loss"] == "squared_error" else 0.003,
        # So soon that "adaptive" slows down and others stop within the epochs; with several
        # outputs the losses differ by a factor, so tol must not decide.
        "n_iter_no_change": 2 if case["n_outputs"] == 1 or case["early_stopping"] else np.inf,
        "tol": 1e-3 if case["method"] != "lbfgs" else 1e-6,
        "max_iter": EPOCHS,
        "random_state": 5,
    }  # fmt: skip


def test_the_table_covers_every_possible_pair():
    assert covers_every_pair(TABLE, FACTORS, _possible)


@pytest.mark.parametrize("method", METHODS)
def test_every_method(method):
    case = {name: values[0] for name, values in FACTORS.items()} | {
        "method": method,
        "batch_size": 32,
    }
    got = train(BackpropRegressor(**_parameters(case)), case, *_data(case))
    expected = train(MLPRegressor(**_parameters(case)), case, *_data(case))
    assert_same_weights(got, expected, case)
    assert got.loss_ == pytest.approx(expected.loss_, rel=1e-9)
    if method != "lbfgs":
        assert got.t_ == expected.t_
        assert got.best_loss_ == pytest.approx(expected.best_loss_, rel=1e-9)
        np.testing.assert_allclose(got.loss_curve_, expected.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.slow] * (i % 4 > 0)) for i, case in enumerate(TABLE)],
    ids=lambda case: "-".join(map(str, case.values())),
)
def test_every_pair_of_choices(case):
    got = train(BackpropRegressor(**_parameters(case)), case, *_data(case))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = train(MLPRegressor(**_parameters(case)), case, *_data(case))
    assert_same_weights(got, expected, case)
    if case["n_outputs"] == 1 and case["method"] != "lbfgs":
        tolerance = 1e-9 if case["dtype"] == "float64" else 1e-4
        np.testing.assert_allclose(got.loss_curve_, expected.loss_curve_, rtol=tolerance)
    if case["early_stopping"]:
        tolerance = 1e-9 if case["dtype"] == "float64" else 1e-4
        np.testing.assert_allclose(
            got.validation_scores_, expected.validation_scores_, rtol=tolerance, atol=tolerance
        )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_adaptive_learning_rate_ends_where_theirs_does():
    case = {name: values[0] for name, values in FACTORS.items()}
    parameters = _parameters(case) | METHODS["sgd-adaptive-nesterov"] | {
        "max_iter": 500, "n_iter_no_change": 1, "tol": 0.05, "learning_rate_init": 1e-4,
    }  # fmt: skip
    X, y, _ = _data(case)
    got = BackpropRegressor(**parameters).fit(X, y)
    expected = MLPRegressor(**parameters).fit(X, y)
    assert got.n_iter_ == expected.n_iter_ < 500
    assert got.stop_reason_ == "learning_rate"
    assert_same_weights(got, expected, case)


def test_predictions_and_scores_are_the_same():
    case = {name: values[0] for name, values in FACTORS.items()}
    X, y, _ = _data(case)
    got = train(BackpropRegressor(**_parameters(case)), case, *_data(case))
    expected = train(MLPRegressor(**_parameters(case)), case, *_data(case))
    np.testing.assert_allclose(got.predict(X), expected.predict(X), rtol=1e-12)
    assert got.score(X, y) == pytest.approx(expected.score(X, y))


def test_every_parameter_of_mlp_regressor_is_here_in_its_order_with_its_default():
    import inspect

    mine = list(inspect.signature(BackpropRegressor).parameters.values())
    theirs = list(inspect.signature(MLPRegressor).parameters.values())
    for parameter, expected in zip(mine, theirs, strict=False):
        assert parameter.name == expected.name
        assert parameter.kind == expected.kind
        assert parameter.default == expected.default
    assert [p.name for p in mine[len(theirs) :]] == OWN_PARAMETERS


def test_every_fitted_attribute_of_mlp_regressor_is_here():
    case = {name: values[0] for name, values in FACTORS.items()}
    for method in ("adam", "lbfgs"):
        case["method"] = method
        mine = vars(train(BackpropRegressor(**_parameters(case)), case, *_data(case)))
        theirs = vars(train(MLPRegressor(**_parameters(case)), case, *_data(case)))
        public = {name for name in theirs if name.endswith("_") and name[0] != "_"}
        assert public <= set(mine)
