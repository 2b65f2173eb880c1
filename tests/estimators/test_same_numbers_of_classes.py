"""The same numbers as scikit-learn's MLPClassifier, from the same random_state.

As in ``test_same_numbers.py``: every method in full, and every pair of other choices.
"""

import inspect
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.neural_network import MLPClassifier

from fastbp import BackpropClassifier
from helpers.parity import (
    EPOCHS,
    METHODS,
    TOLERANCE,
    WAYS,
    assert_same_weights,
    covering_table,
    covers_every_pair,
    train,
)

#: What MLPClassifier does not have, after all that it has.
OWN_PARAMETERS = [
    *("n_jobs", "n_init", "gtol", "loss_goal", "max_time", "cg_update", "device"),
    *("class_weight", "soft_labels", "keep_all", "record_path", "checkpoint", "checkpoint_every"),
]
TASKS = ["binary", "multiclass", "multilabel"]
FACTORS = {
    "method": list(METHODS),
    "activation": ["relu", "tanh", "logistic", "identity"],
    "task": TASKS,
    "hidden_layer_sizes": [(10,), (), (7, 5)],
    "alpha": [1e-4, 0, 1.0],
    "batch_size": ["auto", 1, 2, 7, 32, 84],
    "shuffle": [True, False],
    "weighted": [False, True],
    "early_stopping": [False, True],
    "way": WAYS,
    "container": ["dense", "csr", "csc"],
    "dtype": ["float64", "float32"],
    "labels": ["numbers", "text", "sparse"],
}


def _possible(case):
    lbfgs = case.get("method") == "lbfgs"
    return not (
        (case.get("early_stopping") and (lbfgs or case.get("way") == "partial_fit"))
        or (lbfgs and (case.get("way") == "partial_fit" or case.get("dtype") == "float32"))
        or (case.get("weighted") and case.get("batch_size") == 1)
        or (case.get("labels") == "text" and case.get("task") == "multilabel")
        or (case.get("labels") == "sparse" and case.get("task") in ("binary", "multiclass"))
        # Where labels are text, 1.7 and 1.8 of scikit-learn stop early with an error.
        or (case.get("labels") == "text" and case.get("early_stopping"))
    )


TABLE = covering_table(FACTORS, _possible)


def _data(case):
    rng = np.random.RandomState(3)
    X = rng.standard_normal((84, 6))
    raw = X @ rng.standard_normal((6, 4)) + rng.standard_normal((84, 4))
    y = {
        "binary": (raw[:, 0] > 0.3) * 2 - 3,
        "multiclass": raw.argmax(axis=1),
        "multilabel": (raw > 0.5) * 1,
    }[case["task"]]
    if case["labels"] == "text":
        y = np.array(["north", "east", "south", "west"])[y % 4]
    elif case["labels"] == "sparse":
        y = sparse.csr_matrix(y)
    if case["container"] != "dense":
        X[rng.uniform(size=X.shape) < 0.6] = 0
    X = X.astype(case["dtype"])
    if case["container"] != "dense":
        X = sparse.csr_matrix(X).asformat(case["container"])
    weights = rng.uniform(0.2, 3, 84).astype(case["dtype"]) if case["weighted"] else None
    if case["weighted"]:
        weights[[7, 30]] = 0
    return X, y, weights


def _trained(case):
    if case["labels"] == "sparse" and case["early_stopping"]:
        reason = "before 1.9 MLPClassifier cannot validate on sparse labels"
        pytest.importorskip("sklearn", minversion="1.9", reason=reason)
    X, y, weights = _data(case)
    parameters = METHODS[case["method"]] | {
        name: case[name]
        for name in ("activation", "hidden_layer_sizes", "alpha", "batch_size", "shuffle")
    }
    parameters |= {
        "early_stopping": case["early_stopping"],
        "validation_fraction": 1 / 6,
        "learning_rate_init": 0.01,
        "n_iter_no_change": 2,
        "tol": 1e-3 if case["method"] != "lbfgs" else 1e-6,
        "max_iter": EPOCHS,
        "random_state": 5,
    }
    classes = np.arange(4) if case["task"] == "multilabel" else np.unique(y)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return [
            train(kind(**parameters), case, X, y, weights, classes=classes)
            for kind in (BackpropClassifier, MLPClassifier)
        ]


def _assert_same(got, expected, case):
    assert_same_weights(got, expected, case)
    X, y, _ = _data(case)
    tolerance = TOLERANCE[case["dtype"]]
    assert got.loss_ == pytest.approx(expected.loss_, rel=tolerance)
    np.testing.assert_array_equal(got.classes_, expected.classes_)
    assert got.classes_.dtype == expected.classes_.dtype
    mine, theirs = got.predict(X), expected.predict(X)
    assert sparse.issparse(mine) == sparse.issparse(theirs)
    assert mine.dtype == theirs.dtype
    if sparse.issparse(mine):
        mine, theirs = mine.toarray(), theirs.toarray()
    np.testing.assert_array_equal(mine, theirs)
    with np.errstate(divide="ignore"):  # of their logarithms
        for method in ("predict_proba", "predict_log_proba"):
            mine, theirs = (getattr(net, method)(X) for net in (got, expected))
            assert mine.dtype == theirs.dtype
            assert mine.shape == theirs.shape
            known = expected.predict_proba(X) > 1e-6  # below, theirs have lost digits
            np.testing.assert_allclose(
                mine[known], theirs[known], rtol=30 * tolerance, atol=tolerance
            )
            assert np.isfinite(mine).all()
    if got.solver != "lbfgs":
        assert got.t_ == expected.t_
        np.testing.assert_allclose(got.loss_curve_, expected.loss_curve_, rtol=tolerance)
    if case["early_stopping"]:
        np.testing.assert_allclose(got.validation_scores_, expected.validation_scores_, rtol=1e-12)
    assert got.score(X, y) == pytest.approx(expected.score(X, y))


def test_the_table_covers_every_possible_pair():
    assert covers_every_pair(TABLE, FACTORS, _possible)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method(method, task):
    case = {name: values[0] for name, values in FACTORS.items()}
    case |= {"method": method, "task": task, "batch_size": 32}
    _assert_same(*_trained(case), case)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.slow] * (i % 4 > 0)) for i, case in enumerate(TABLE)],
    ids=lambda case: "-".join(map(str, case.values())),
)
def test_every_pair_of_choices(case):
    _assert_same(*_trained(case), case)


def test_every_parameter_of_mlp_classifier_is_here_in_its_order_with_its_default():
    mine = list(inspect.signature(BackpropClassifier).parameters.values())
    theirs = list(inspect.signature(MLPClassifier).parameters.values())
    for parameter, expected in zip(mine, theirs, strict=False):
        assert parameter.name == expected.name
        assert parameter.kind == expected.kind
        assert parameter.default == expected.default
    assert [p.name for p in mine[len(theirs) :]] == OWN_PARAMETERS


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_every_fitted_attribute_of_mlp_classifier_is_here(method):
    case = {name: values[0] for name, values in FACTORS.items()} | {"method": method}
    mine, theirs = _trained(case)
    public = {name for name in vars(theirs) if name.endswith("_") and name[0] != "_"}
    assert all(hasattr(mine, name) for name in public)
