"""The same numbers as scikit-learn's MLPRegressor, from the same random_state.

Every method (solver x schedule x momentum) is compared in full, and all else by a table that
covers every pair of values of any two factors.
"""

import itertools
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from fastbp import BackpropRegressor

EPOCHS = 20
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
#: What MLPRegressor does not have, after all that it has.
OWN_PARAMETERS = [
    *("n_jobs", "output_activation", "n_init"),
    *("gtol", "loss_goal", "max_time", "cg_update", "device"),
]

METHODS = {
    f"sgd-{schedule}-{name}": {"solver": "sgd", "learning_rate": schedule} | momentum
    for schedule, (name, momentum) in itertools.product(
        ["constant", "invscaling", "adaptive"],
        {
            "plain": {"momentum": 0},
            "momentum": {"momentum": 0.9, "nesterovs_momentum": False},
            "nesterov": {"momentum": 0.8, "nesterovs_momentum": True},
        }.items(),
    )
} | {"adam": {"solver": "adam"}, "lbfgs": {"solver": "lbfgs"}}

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
    "way": ["fit", "partial_fit", "warm_start"],
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


def _covering_table(factors):
    """Cases such that every possible pair of values of two factors is in one, found greedily."""
    pairs = {
        pair
        for one, other in itertools.combinations(factors, 2)
        for pair in itertools.product(((one, v) for v in factors[one]),
                                      ((other, v) for v in factors[other]))
        if _possible(dict(pair))
    }  # fmt: skip
    cases = []
    while pairs:
        case = dict(min(pairs, key=repr))
        for name, values in factors.items():
            if name not in case:
                case[name] = max(
                    (v for v in values if _possible(case | {name: v})),
                    key=lambda v: sum(
                        ((name, v), item) in pairs or (item, (name, v)) in pairs
                        for item in case.items()
                    ),
                )
        cases.append({name: case[name] for name in factors})
        pairs -= set(itertools.combinations(cases[-1].items(), 2))
    return cases


TABLE = _covering_table(FACTORS)


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


def _train(estimator, case):
    X, y, weights = _data(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Got `batch_size`|batch_size=")
        # scikit-learn 1.7 with a SciPy that came after it
        warnings.filterwarnings("ignore", "scipy.optimize: The `disp`", DeprecationWarning)
        if case["way"] == "fit":
            estimator.fit(X, y, weights)
        elif case["way"] == "warm_start":
            estimator.set_params(warm_start=True, max_iter=EPOCHS // 2)
            estimator.fit(X, y, weights)
            # After early stopping MLPRegressor's coefs_ ARE its stored best weights, and going on
            # overwrites both, so that it no longer restores the best. Copies part the two.
            estimator.coefs_ = [coef.copy() for coef in estimator.coefs_]
            estimator.intercepts_ = [intercept.copy() for intercept in estimator.intercepts_]
            estimator.fit(X, y, weights)
        else:
            for _ in range(EPOCHS):
                estimator.partial_fit(X, y, weights)
    return estimator


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


def _assert_same(got, expected, case):
    assert got.n_iter_ == expected.n_iter_
    for mine, theirs in zip(
        got.coefs_ + got.intercepts_, expected.coefs_ + expected.intercepts_, strict=True
    ):
        assert mine.dtype == case["dtype"]
        error = np.abs(mine - theirs).max() / np.abs(theirs).max()
        assert error < TOLERANCE[case["dtype"]]


def test_the_table_covers_every_possible_pair():
    seen = {pair for case in TABLE for pair in itertools.combinations(case.items(), 2)}
    for one, other in itertools.combinations(FACTORS, 2):
        for pair in itertools.product(FACTORS[one], FACTORS[other]):
            items = tuple(zip((one, other), pair, strict=True))
            assert items in seen or not _possible(dict(items))
    assert all(_possible(case) for case in TABLE)


@pytest.mark.parametrize("method", METHODS)
def test_every_method(method):
    case = {name: values[0] for name, values in FACTORS.items()} | {
        "method": method,
        "batch_size": 32,
    }
    got = _train(BackpropRegressor(**_parameters(case)), case)
    expected = _train(MLPRegressor(**_parameters(case)), case)
    _assert_same(got, expected, case)
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
    got = _train(BackpropRegressor(**_parameters(case)), case)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = _train(MLPRegressor(**_parameters(case)), case)
    _assert_same(got, expected, case)
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
    _assert_same(got, expected, case)


def test_predictions_and_scores_are_the_same():
    case = {name: values[0] for name, values in FACTORS.items()}
    X, y, _ = _data(case)
    got = _train(BackpropRegressor(**_parameters(case)), case)
    expected = _train(MLPRegressor(**_parameters(case)), case)
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
        mine = vars(_train(BackpropRegressor(**_parameters(case)), case))
        theirs = vars(_train(MLPRegressor(**_parameters(case)), case))
        public = {name for name in theirs if name.endswith("_") and name[0] != "_"}
        assert public <= set(mine)
