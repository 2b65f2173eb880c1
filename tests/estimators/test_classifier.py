"""What the classifier promises, beyond MLPClassifier's numbers."""

import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale
from sklearn.utils.class_weight import compute_sample_weight

from fastbp import BackpropClassifier, BackpropSearchCV, fit_many
from helpers.cases import BATCH_SOLVERS
from helpers.guards import NEEDS_A_COMPILER, TOO_SLOW_IN_PYTHON

SHORT = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
pytestmark = SHORT
X, Y = load_iris(return_X_y=True)
X = scale(X)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
BINARY = Y > 0
MANY = (X[:, :3] > 0.1).astype(int)
TASKS = {"binary": BINARY, "classes": Y, "text": NAMES, "multilabel": MANY}
EVERY_TASK = pytest.mark.parametrize("task", TASKS)


def _net(**parameters):
    defaults = {"hidden_layer_sizes": (6,), "activation": "tanh", "max_iter": 15, "random_state": 0}
    return BackpropClassifier(**defaults | parameters)


@EVERY_TASK
@pytest.mark.parametrize("solver", [name for name in BATCH_SOLVERS if name != "lm"])
def test_every_batch_solver_learns_every_task(solver, task):
    y = TASKS[task]
    net = _net(solver=solver, max_iter=60, tol=1e-3).fit(X, y)
    mistakes = (net.predict(X) != y).mean()
    assert mistakes < 0.1
    p = net.predict_proba(X)
    assert p.shape == (150, max(2, net.n_outputs_))
    if task != "multilabel":
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    assert net.check_gradient(X[:20], y[:20]) < 1e-7
    assert net.stationary_point(X, y).kind


def test_lm_is_for_squared_errors():
    with pytest.raises(ValueError, match="'solver' parameter of BackpropClassifier"):
        _net(solver="lm").fit(X, Y)
    with pytest.raises(ValueError, match="'alpha' parameter of BackpropClassifier"):
        _net(alpha="bayes").fit(X, Y)


def test_probabilities_that_round_to_0_have_finite_logarithms():
    net = _net(solver="lbfgs", alpha=0, max_iter=500, tol=0)
    for y in (Y, BINARY):
        far = 1e4 * X[[0, 60, 149]]
        net.fit(X, y)
        net.coefs_[-1][...] *= 1e4
        log_p = net.predict_log_proba(far)
        assert np.isfinite(log_p).all()
        assert log_p.min() < -1e3
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(
                log_p.max(axis=1), np.log(net.predict_proba(far)).max(axis=1)
            )


def test_the_loss_of_a_wrong_certain_row_is_exact():
    """Theirs is clipped where the probability is below the rounding error."""
    net = _net(solver="sgd", learning_rate_init=1e-12, max_iter=1, hidden_layer_sizes=())
    for y, n_outputs in (([0, 1, 0], 1), ([0, 1, 2], 3)):
        x = np.array([[1.0], [-1.0], [1.0]])
        net.set_params(warm_start=False).fit(x, y)
        net.set_params(warm_start=True)
        net.coefs_ = [np.zeros((1, n_outputs))]
        net.coefs_[0][0, -1] = 2000.0
        net.intercepts_ = [np.zeros(n_outputs)]
        expected = {1: (2000 + 2000 + 2000) / 3, 3: (2000 + np.log(2) + 0) / 3}[n_outputs]
        loss = net.fit(x, y).loss_
        assert loss == pytest.approx(expected + 1e-4 * 2000**2 / 6, rel=1e-9)


# Labels.


@NEEDS_A_COMPILER
def test_labels_of_any_kind_come_back():
    for labels in ([3, 7, 9], [-1.0, 0.0, 5.0], list("abc"), [False, True, True]):
        y = np.array(labels)[Y]
        net = _net(solver="lbfgs", max_iter=100).fit(X, y)
        assert net.predict(X).dtype == y.dtype
        assert net.score(X, y) > 0.9
        np.testing.assert_array_equal(net.classes_, np.unique(y))
        assert net.predict_one(X[0]) == y[0]


def test_a_frame_and_a_categorical():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    y = pandas.Series(NAMES, dtype="category")
    net = _net(solver="lbfgs", max_iter=100).fit(frame, y)
    assert net.score(frame, y) > 0.9
    with pytest.raises(ValueError, match="feature names"):
        net.predict(frame[["b", "a", "c", "d"]])


def test_sparse_labels_come_back_sparse():
    net = _net(solver="lbfgs").fit(X, sparse.csr_matrix(MANY))
    assert sparse.issparse(net.predict(X))
    dense = clone(net).fit(X, MANY)
    np.testing.assert_array_equal(net.predict(X).toarray(), dense.predict(X))


WRONG = {
    "continuous": (np.linspace(0, 1, 150), "Unknown label type: continuous.*BackpropRegressor"),
    "several columns of labels": (np.column_stack([Y, Y]), "Multioutput target data.*MultiOutput"),
    "NaN": (np.where(np.arange(150) == 7, np.nan, Y), "Input y contains NaN.*row 7"),
    "None": (np.where(np.arange(150) == 7, None, NAMES), "Input y contains NaN.*row 7"),
    "mixed": (np.array([*NAMES[:-1], 3], dtype=object), "mixes kinds of labels|Unknown label"),
    "too few": (Y[:-1], "inconsistent numbers of samples"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_labels_are_named(wrong):
    y, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        _net().fit(X, y)


def test_a_column_of_labels_is_flattened_with_a_warning():
    with pytest.warns(DataConversionWarning, match="ravel") as record:
        net = _net().fit(X, NAMES[:, np.newaxis])
    assert record[0].filename == __file__
    assert net.predict(X).shape == (150,)


def test_a_class_seen_once_with_early_stopping_is_named():
    y = np.where(np.arange(150) == 7, "rare", "usual")
    with pytest.raises(ValueError, match="only 1 member.*'rare'.*early_stopping=False"):
        _net(early_stopping=True).fit(X, y)


# partial_fit and warm_start.


def test_partial_fit_needs_the_classes_at_first_and_the_same_later():
    net = _net()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        net.partial_fit(X, Y)
    net.partial_fit(X[:50], Y[:50], classes=[2, 1, 0])  # of one class alone
    assert net.classes_.tolist() == [0, 1, 2]
    net.partial_fit(X, Y)
    before = dict(vars(net))
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
        net.partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match="`y` has classes not in `self.classes_`"):
        net.partial_fit(X, Y + 1)
    assert vars(net) == before


def test_a_warm_start_needs_all_classes():
    net = _net(warm_start=True).fit(X, NAMES)
    for y in (NAMES[:100], np.where(NAMES == "setosa", "other", NAMES)[:100]):
        with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same"):
            net.fit(X[:100], y)
    assert net.fit(X, NAMES).loss_ < net.loss_curve_[0]


def test_a_first_partial_fit_that_fails_leaves_nothing():
    net = _net()
    with pytest.raises(ValueError, match="contains NaN"):
        net.partial_fit(np.full((3, 4), np.nan), [0, 1, 1], classes=[0, 1])
    assert not hasattr(net, "classes_")
    assert vars(net) == vars(_net())


# One sample at a time.


@NEEDS_A_COMPILER
@EVERY_TASK
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_sample_is_a_table_of_one(task, dtype):
    y, table = TASKS[task], X.astype(dtype)
    one, many = (_net(solver="sgd", batch_size="online").fit(table, y) for _ in range(2))
    for x, label in zip(table[:10], y[:10], strict=True):
        p, predicted = many.predict_proba(x[np.newaxis])[0], many.predict(x[np.newaxis])[0]
        got = one.predict_proba_one(x)
        assert got.dtype == dtype
        np.testing.assert_allclose(got, p, rtol=1e-12 if dtype == np.float64 else 1e-5, atol=1e-7)
        np.testing.assert_array_equal(one.predict_one(x), predicted)
        one.learn_one(x, label)
        many.partial_fit(x[np.newaxis], [label])
        np.testing.assert_array_equal(one.coefs_[0], many.coefs_[0])
        assert one.loss_ == many.loss_


@NEEDS_A_COMPILER
def test_learn_one_names_what_is_wrong():
    with pytest.raises(ValueError, match="classes are known: call fit, or partial_fit"):
        _net(solver="sgd").learn_one(X[0], 0)
    net = _net(solver="sgd").fit(X, NAMES)
    with pytest.raises(ValueError, match="classes not in `self.classes_`: 'rose'"):
        net.learn_one(X[0], "rose")


# Weights.


@EVERY_TASK
@pytest.mark.parametrize("solver", ["sgd", "lbfgs", "rprop"])
def test_integer_weights_are_repeated_rows(task, solver, rng):
    y, weights = TASKS[task], rng.integers(0, 4, 150)
    net = _net(solver=solver, batch_size="full", max_iter=8, alpha=0.1)
    weighted = clone(net).fit(X, y, weights)
    repeated = clone(net).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights, axis=0))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-9)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-9)


@pytest.mark.parametrize("y", [Y[20:], BINARY[20:], NAMES[20:]], ids=["classes", "binary", "text"])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weights_multiply_sample_weights(y, weighted, rng):
    rows, classes = X[20:], np.unique(y)
    weights = rng.uniform(1, 2, len(y)) if weighted else np.ones(len(y))
    given = weights if weighted else None
    for class_weight in ({classes[0]: 3.0}, dict.fromkeys(classes, 2.0), "balanced"):
        got = _net(class_weight=class_weight).fit(rows, y, given)
        if class_weight == "balanced" and weighted:
            of_each = np.array([weights[y == label].sum() for label in y])
            by_class = weights.sum() / (len(classes) * of_each)
        else:
            by_class = compute_sample_weight(class_weight, y)
        expected = _net().fit(rows, y, weights * by_class)
        np.testing.assert_allclose(got.coefs_[0], expected.coefs_[0], rtol=1e-9, atol=1e-12)


def test_class_weights_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="needs all rows, and partial_fit sees some"):
        _net(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="one label a row"):
        _net(class_weight="balanced").fit(X, MANY)
    with pytest.raises(ValueError, match=r"names 7, which is no class of y: \[0 1 2\]"):
        _net(class_weight={7: 1.0}).fit(X, Y)
    _net(class_weight={0: 2.0}).partial_fit(X, Y, classes=[0, 1, 2])


# Soft labels.


def test_soft_labels_that_are_certain_are_labels():
    soft = _net(solver="lbfgs", soft_labels=True).fit(X, np.eye(3)[Y])
    hard = _net(solver="lbfgs").fit(X, Y)
    np.testing.assert_array_equal(soft.coefs_[0], hard.coefs_[0])
    np.testing.assert_array_equal(soft.predict(X), hard.predict(X))
    assert soft.score(X, np.eye(3)[Y]) == hard.score(X, Y) == soft.score(X, Y)


def test_soft_labels_are_what_probabilities_come_to(rng):
    p = rng.dirichlet(np.ones(3), size=4)
    x = np.repeat(np.eye(4), 25, axis=0)
    net = _net(solver="bfgs", soft_labels=True, alpha=0, max_iter=500, tol=1e-9)
    net.fit(x, np.repeat(p, 25, axis=0))
    np.testing.assert_allclose(net.predict_proba(np.eye(4)), p, atol=1e-5)
    mixed = _net(soft_labels=True).partial_fit(x, np.repeat(p, 25, axis=0))
    assert mixed.classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.ones((150, 3)), r"y\[0\] is .* numbers of 0 or more that sum to 1"),
        (np.tile([1.5, -0.5, 0], (150, 1)), "0 or more that sum to 1"),
        (Y, "holds the probability of each class"),
    ],
)
def test_wrong_soft_labels_are_named(y, message):
    with pytest.raises(ValueError, match=message):
        _net(soft_labels=True).fit(X, y)


# The rest of the house.


@EVERY_TASK
def test_starts_threads_and_rows_to_validate_on(task):
    y = TASKS[task]
    net = _net(n_init=3, n_jobs=2, early_stopping=True)
    net.fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    assert net.best_validation_score_ == pytest.approx(net.score(X[1::2], y[1::2]))
    assert len(net.init_losses_) == 3
    with pytest.raises(ValueError, match="In the data to validate on.*classes not in"):
        net.fit(X[:100], NAMES[:100], X_val=X[100:], y_val=NAMES[100:])
    net.set_params(early_stopping="GL5").fit(X, y)
    assert max(net.validation_scores_) <= 0  # minus a loss


@pytest.mark.parametrize("task", ["binary", "text", "multilabel"])
def test_searches_and_many_fits_are_those_of_single_ones(task):
    y, grid = TASKS[task], {"alpha": [1e-3, 1.0]}
    ours = BackpropSearchCV(_net(), grid, cv=KFold(3, shuffle=True, random_state=0)).fit(X, y)
    theirs = GridSearchCV(_net(), grid, cv=KFold(3, shuffle=True, random_state=0)).fit(X, y)
    for name in ("mean_test_score", "rank_test_score"):
        np.testing.assert_array_equal(ours.cv_results_[name], theirs.cv_results_[name])
    nets = fit_many(X, y, [{"alpha": 1e-3}, {"alpha": 1.0}], estimator=_net())
    np.testing.assert_array_equal(nets[1].coefs_[0], _net(alpha=1.0).fit(X, y).coefs_[0])
    np.testing.assert_array_equal(nets[1].predict(X), _net(alpha=1.0).fit(X, y).predict(X))


@EVERY_TASK
def test_pickles_and_clones(task):
    y = TASKS[task]
    net = _net(warm_start=True).fit(X, y)
    loaded = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(loaded.predict(X), net.predict(X))
    np.testing.assert_array_equal(loaded.fit(X, y).coefs_[0], net.fit(X, y).coefs_[0])
    assert not hasattr(clone(net), "classes_")


def test_nothing_learnt_is_told():
    net = _net(learning_rate_init=1e-9)
    with pytest.warns(ConvergenceWarning, match="Nothing was learnt"):
        net.fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        _net(solver="lbfgs", max_iter=1000, tol=1e-2).fit(X, Y)


@TOO_SLOW_IN_PYTHON
def test_digits_as_well_as_mlp_classifier():
    digits, y = load_digits(return_X_y=True)
    nets = [
        kind(random_state=0, max_iter=30).fit(digits[:1200], y[:1200])
        for kind in (BackpropClassifier, MLPClassifier)
    ]
    mine, theirs = (net.score(digits[1200:], y[1200:]) for net in nets)
    assert mine == pytest.approx(theirs, abs=0.005)
    assert mine > 0.85
