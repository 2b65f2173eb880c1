"""`BackpropSearchCV` against `GridSearchCV`: the same numbers, and each net is trained once.

All but the times of ``cv_results_`` has to be equal to the last bit: the same code trains.
"""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning, NotFittedError
from sklearn.linear_model import Ridge
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastbp.model_selection.fit_many
import fastbp.training.fit
from fastbp import BackpropRegressor, BackpropSearchCV
from fastbp.training.fit import override

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def _net(**parameters):
    defaults = {
        "hidden_layer_sizes": (6,),
        "activation": "tanh",
        "max_iter": 6,
        "batch_size": 8,
        "random_state": 3,
    }
    return BackpropRegressor(**defaults | parameters)


def _pipeline(**parameters):
    return Pipeline([("scale", StandardScaler()), ("net", _net(**parameters))])


def _assert_equal(a, b):
    if isinstance(a, np.ma.MaskedArray):
        np.testing.assert_array_equal(a.mask, b.mask)
        assert a.tolist() == b.tolist()
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b


def _assert_same(search, reference, X):
    """All that a search leaves behind, but for the times."""
    assert list(search.cv_results_) == list(reference.cv_results_)
    for name, values in reference.cv_results_.items():
        if "time" not in name:
            _assert_equal(search.cv_results_[name], values)
    assert search.n_splits_ == reference.n_splits_
    assert search.multimetric_ == reference.multimetric_
    for name in ("best_index_", "best_params_", "best_score_", "n_features_in_"):
        assert hasattr(search, name) == hasattr(reference, name)
        if hasattr(reference, name):
            _assert_equal(getattr(search, name), getattr(reference, name))
    assert hasattr(search, "best_estimator_") == hasattr(reference, "best_estimator_")
    if hasattr(reference, "best_estimator_"):
        np.testing.assert_array_equal(search.predict(X), reference.predict(X))


def _both(estimator, grid, X, y, *, fit=None, **arguments):
    """Make both searches, check that they found the same, and return ours."""
    arguments = {"cv": 3} | arguments
    fit = {} if fit is None else fit
    reference = GridSearchCV(estimator, grid, **arguments).fit(X, y, **fit)
    search = BackpropSearchCV(estimator, grid, **arguments).fit(X, y, **fit)
    _assert_same(search, reference, X)
    return search


@pytest.fixture
def count(monkeypatch):
    """Count trainings: side by side, and one at a time."""
    counts = {"together": 0, "alone": 0}
    original = fastbp.training.fit.fit_starts

    def counted(name):
        def fit_starts(task, clock, n_jobs):
            counts[name] += 1
            return original(task, clock, n_jobs)

        return fit_starts

    monkeypatch.setattr(fastbp.model_selection.fit_many, "fit_starts", counted("together"))
    monkeypatch.setattr(fastbp.training.fit, "fit_starts", counted("alone"))
    return counts


GRIDS = {
    "a net": (_net(), {"alpha": [0, 1.0], "solver": ["sgd", "lbfgs"]}),
    "solvers": (
        _net(),
        {"solver": ["lm", "adam", "sgd", "cg", "rprop"], "batch_size": ["online", 20]},
    ),
    "layers": (_net(), {"hidden_layer_sizes": [(), (3,), (5, 4)], "n_init": [1, 2]}),
    "bayes": (_net(solver="lm", hidden_layer_sizes=(3,)), {"alpha": ["bayes", 0.1]}),
    "early stopping": (
        _net(validation_fraction=0.3),
        {"early_stopping": [True, "GL5", False], "solver": ["adam", "cg"]},
    ),
    "a pipeline": (_pipeline(), {"net__alpha": [0, 1.0], "net__learning_rate_init": [0.01, 0.1]}),
    "scaled targets": (
        TransformedTargetRegressor(_pipeline(), transformer=StandardScaler()),
        {"regressor__net__alpha": [0, 1.0]},
    ),
    "a list": (
        _net(),
        [{"solver": ["sgd"], "momentum": [0, 0.9]}, {"solver": ["lbfgs"], "alpha": [0, 1, 10]}],
    ),
    "transformers": (
        _pipeline(),
        {"scale": ["passthrough", StandardScaler(), PolynomialFeatures()], "net__alpha": [0, 1]},
    ),
    "transformers' parameters": (
        make_pipeline(PolynomialFeatures(), StandardScaler(), _net()),
        {"polynomialfeatures__degree": [1, 2], "backpropregressor__alpha": [0, 1.0]},
    ),
    "whole nets": (Pipeline([("net", _net())]), {"net": [_net(), _net(solver="cg"), Ridge()]}),
    "bagging": (
        BaggingRegressor(_net(), n_estimators=3, random_state=0),
        {"estimator__alpha": [0, 1.0], "max_samples": [0.5, 1.0]},
    ),
    "stacking": (
        StackingRegressor([("a", _net()), ("b", _net(solver="lbfgs"))], Ridge(), cv=2),
        {"a__alpha": [0, 1.0], "b__alpha": [0, 1.0]},
    ),
    "a net on nets": (
        StackingRegressor([("a", _net()), ("b", Ridge())], _net(solver="lbfgs"), cv=2),
        {"a__alpha": [0, 1.0], "final_estimator__alpha": [0, 1.0]},
    ),
    "no net": (Ridge(), {"alpha": [0.1, 1.0]}),
    "one point": (_net(), {}),
}
EVERY_GRID = pytest.mark.parametrize("name", GRIDS)


# The same numbers.


@EVERY_GRID
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_it_finds_what_scikit_learn_finds(name, n_jobs, problem):
    X, y = problem()
    estimator, grid = GRIDS[name]
    reference = GridSearchCV(estimator, grid, cv=3, return_train_score=True).fit(X, y)
    search = BackpropSearchCV(estimator, grid, cv=3, return_train_score=True, n_jobs=n_jobs)
    assert search.fit(X, y) is search
    _assert_same(search, reference, X)
    assert search.score(X, y) == reference.score(X, y)
    assert type(search.best_estimator_) is type(reference.best_estimator_)
    assert search.best_estimator_.get_params().keys() == estimator.get_params().keys()


@pytest.mark.parametrize(
    "cv",
    [
        2,
        KFold(3),
        KFold(3, shuffle=True, random_state=0),
        ShuffleSplit(2, test_size=0.3, random_state=1),
        RepeatedKFold(n_splits=2, n_repeats=2, random_state=0),
        [(np.arange(40), np.arange(40, 60)), (np.arange(20, 60), np.arange(20))],
        [(np.arange(60), np.arange(60))],
    ],
    ids=["2", "KFold", "shuffled", "ShuffleSplit", "repeated", "list", "all rows"],
)
def test_any_splitter(cv, problem):
    X, y = problem()
    _both(_pipeline(), {"net__alpha": [0, 1.0]}, X, y, cv=cv)


def test_splits_may_be_a_generator(problem):
    X, y = problem()
    reference = GridSearchCV(_net(), {"alpha": [0, 1.0]}, cv=KFold(3).split(X)).fit(X, y)
    search = BackpropSearchCV(_net(), {"alpha": [0, 1.0]}, cv=KFold(3).split(X)).fit(X, y)
    _assert_same(search, reference, X)


class _Watched(ShuffleSplit):
    """A splitter without a seed that takes down what it has drawn."""

    drawn: list = []  # noqa: RUF012

    def split(self, X, y=None, groups=None):
        splits = list(super().split(X, y, groups))
        self.drawn.append(splits)
        return iter(splits)


def test_splits_without_a_seed_are_drawn_once(problem):
    X, y = problem()
    _Watched.drawn.clear()
    search = BackpropSearchCV(_net(), {"alpha": [0, 1.0, 3.0]}, cv=_Watched(2)).fit(X, y)
    (splits,) = _Watched.drawn
    reference = GridSearchCV(_net(), {"alpha": [0, 1.0, 3.0]}, cv=splits).fit(X, y)
    _assert_same(search, reference, X)
    search.fit(X, y)
    assert len(_Watched.drawn) == 2  # and anew for another fit


def test_groups_reach_the_splitter(problem, count):
    X, y = problem()
    groups = np.arange(60) // 7
    _both(_net(), {"alpha": [0, 1.0]}, X, y, cv=GroupKFold(3), fit={"groups": groups})
    assert count["together"] == 6


SCORINGS = {
    "name": {"scoring": "neg_mean_absolute_error"},
    "names": {"scoring": ["r2", "neg_mean_squared_error"], "refit": "r2"},
    "scorers": {
        "scoring": {"a": "r2", "b": make_scorer(mean_absolute_error, greater_is_better=False)},
        "refit": "b",
    },
    "function": {"scoring": lambda net, X, y: float(-np.abs(net.predict(X) - y).max())},
    "dict of a function": {
        "scoring": lambda net, X, y: {"r2": net.score(X, y), "n": net.n_iter_},
        "refit": "r2",
    },
    "refit by a function": {"refit": lambda results: len(results["params"]) - 1},
    "no refit": {"refit": False},
    "train scores": {"return_train_score": True, "scoring": ["r2", "neg_max_error"], "refit": "r2"},
}


@pytest.mark.parametrize("name", SCORINGS)
def test_any_scoring_and_refit(name, problem):
    X, y = problem()
    search = _both(_net(), {"alpha": [0, 1.0], "solver": ["adam", "cg"]}, X, y, **SCORINGS[name])
    assert hasattr(search, "best_estimator_") == (name != "no refit")
    assert hasattr(search, "refit_time_") == (name != "no refit")


def test_without_a_refit_there_is_nothing_to_predict_with(problem):
    X, y = problem()
    search = BackpropSearchCV(_net(), {"alpha": [0]}, cv=2, refit=False).fit(X, y)
    with pytest.raises(AttributeError):
        search.predict(X)
    with pytest.raises(NotFittedError):
        BackpropSearchCV(_net(), {"alpha": [0]}).predict(X)


def test_sample_weights_are_split_as_rows_are(problem, count):
    X, y = problem()
    weights = np.linspace(0, 2, 60)
    search = _both(_net(), {"alpha": [0, 1.0]}, X, y, fit={"sample_weight": weights})
    assert count["together"] == 6
    other = BackpropSearchCV(_net(), {"alpha": [0, 1.0]}, cv=3).fit(X, y)
    assert (search.predict(X) != other.predict(X)).any()
    fit = {"net__sample_weight": weights}
    _both(_pipeline(), {"net__alpha": [0, 1.0]}, X, y, fit=fit)
    assert count["together"] == 18


@pytest.mark.parametrize("who", ["net", "scorer", "both"])
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_metadata_are_routed(who, in_pipeline, problem, count):
    X, y = problem()
    weights = np.linspace(0, 2, 60)
    with sklearn.config_context(enable_metadata_routing=True):
        net = _net().set_fit_request(sample_weight=who != "scorer")
        scorer = make_scorer(mean_absolute_error, greater_is_better=False)
        scorer = scorer.set_score_request(sample_weight=who != "net")
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        model = Pipeline([("scale", scaler), ("net", net)]) if in_pipeline else net
        grid = {"net__alpha" if in_pipeline else "alpha": [0, 1.0]}
        _both(model, grid, X, y, scoring=scorer, fit={"sample_weight": weights})
    assert count == {"together": 6, "alone": 6 + 1 + 1}


def test_metadata_are_routed_to_the_splitter(problem, count):
    X, y = problem()
    groups = np.arange(60) // 7
    with sklearn.config_context(enable_metadata_routing=True):
        splitter = GroupKFold(3)
        _both(_net(), {"alpha": [0, 1.0]}, X, y, cv=splitter, fit={"groups": groups})
    assert count["together"] == 6


def test_metadata_that_nobody_asks_for_are_refused(problem):
    X, y = problem()
    with sklearn.config_context(enable_metadata_routing=True):
        search = BackpropSearchCV(_net(), {"alpha": [0]}, cv=2)
        with pytest.raises(TypeError, match="unexpected argument"):
            search.fit(X, y, nonsense=3)
    assert override.get() is None


@pytest.mark.parametrize("kind", ["pandas", "csr", "csc", "coo", "list", "float32", "outputs"])
def test_any_table(kind, problem, count):
    X, y = problem(
        dtype=np.float32 if kind == "float32" else np.float64,
        n_outputs=2 if kind == "outputs" else 1,
    )
    table = {
        "pandas": lambda: pd.DataFrame(X, columns=list("abcde"), index=range(7, 67)),
        "list": X.tolist,
        "csr": lambda: sparse.csr_array(X),
        "csc": lambda: sparse.csc_matrix(X),
        "coo": lambda: sparse.coo_array(X),
    }.get(kind, lambda: X)()
    y = pd.Series(y, index=table.index) if kind == "pandas" else y
    search = _both(_net(), {"alpha": [0, 1.0]}, table, y)
    assert count["together"] == 6
    if kind == "pandas":
        assert list(search.feature_names_in_) == list("abcde")
        assert list(search.best_estimator_.feature_names_in_) == list("abcde")


def test_columns_are_chosen_by_name_in_a_pipeline(problem):
    from sklearn.compose import ColumnTransformer

    X, y = problem()
    table = pd.DataFrame(X, columns=list("abcde")).assign(f=np.where(X[:, 0] > 0, "x", "z"))
    chosen = ColumnTransformer([("numbers", StandardScaler(), ["a", "c", "e"])])
    _both(make_pipeline(chosen, _net()), {"backpropregressor__alpha": [0, 1.0]}, table, y)


def test_targets_in_several_nets(problem):
    X, y = problem(n_outputs=2)
    _both(MultiOutputRegressor(_net()), {"estimator__alpha": [0, 1.0]}, X, y)


def test_it_can_be_cross_validated_itself(problem):
    X, y = problem()
    scores = [
        cross_val_score(kind(_net(), {"alpha": [0, 1.0]}, cv=2), X, y, cv=2)
        for kind in (BackpropSearchCV, GridSearchCV)
    ]
    np.testing.assert_array_equal(*scores)


def test_a_search_in_a_search(problem):
    X, y = problem()
    grid = {"estimator__solver": ["adam", "cg"]}
    inner = {"param_grid": {"alpha": [0, 1.0]}, "cv": 2}
    reference = GridSearchCV(GridSearchCV(_net(), **inner), grid, cv=2).fit(X, y)
    search = BackpropSearchCV(BackpropSearchCV(_net(), **inner), grid, cv=2).fit(X, y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"]
    )
    np.testing.assert_array_equal(search.predict(X), reference.predict(X))


class _Twice(RegressorMixin, BaseEstimator):
    """Trains a net, and once more if it has learnt something, or goes on from where it was."""

    def __init__(self, net, goes_on=False, least=-np.inf):
        self.net, self.goes_on, self.least = net, goes_on, least

    def fit(self, X, y):
        self.net_ = clone(self.net).set_params(warm_start=self.goes_on).fit(X, y)
        if self.net_.score(X, y) > self.least:
            self.net_.fit(X, y)
        return self

    def predict(self, X):
        return self.net_.predict(X)


@pytest.mark.parametrize("goes_on", [False, True], ids=["anew", "goes on"])
@pytest.mark.parametrize("least", [-np.inf, 0.3], ids=["always", "where it has learnt"])
@pytest.mark.parametrize("solver", ["adam", "cg"])
def test_fits_that_go_another_way_in_earnest(goes_on, least, solver, problem):
    """How often a net is trained, or from where, may hang on what it has learnt before."""
    X, y = problem()
    net = _net(solver=solver, max_iter=30, learning_rate_init=0.05)
    _both(_Twice(net, goes_on, least), {"net__alpha": [0, 30.0]}, X, y, cv=2)


def test_a_net_that_learns_by_partial_fit_afterwards(problem):
    class GoesOn(_Twice):
        def fit(self, X, y):
            self.net_ = clone(self.net).fit(X, y)
            for _ in range(3):
                self.net_.partial_fit(X, y)
            return self

    X, y = problem()
    _both(GoesOn(_net()), {"net__alpha": [0, 3.0]}, X, y)


# Errors.


@pytest.mark.parametrize("name", ["net", "pipeline"])
@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_points_that_diverge_have_the_score_of_an_error(name, n_jobs, problem):
    X, y = problem()
    relu = {"activation": "relu", "solver": "sgd"}
    estimator, prefix = (_net(**relu), "") if name == "net" else (_pipeline(**relu), "net__")
    grid = {f"{prefix}learning_rate_init": [0.01, 1e6, 0.02]}
    with pytest.warns(FitFailedWarning, match="3 fits failed out of a total of 9") as caught:
        search = BackpropSearchCV(estimator, grid, cv=3, n_jobs=n_jobs).fit(X, y)
    assert sum(each.category is FitFailedWarning for each in caught) == 1
    with pytest.warns(FitFailedWarning):
        _assert_same(search, GridSearchCV(estimator, grid, cv=3).fit(X, y), X)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True, False]
    with pytest.warns(FitFailedWarning):
        search = BackpropSearchCV(estimator, grid, cv=3, error_score=-7.0).fit(X, y)
    assert search.cv_results_["mean_test_score"][1] == -7


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"learning_rate_init": [1e6], "solver": ["sgd"], "activation": ["relu"]}, "diverged"),
        ({"batch_size": [-1, 10]}, "'batch_size' parameter"),
        ({"hidden_layer_sizes": [(3,), (0,)]}, "hidden_layer_sizes must be > 0"),
        ({"alpha": [0.1, "bayes"]}, "found by solver='lm'"),
    ],
)
def test_an_error_may_be_raised(grid, message, problem):
    X, y = problem()
    for error_score, kind in (("raise", BackpropSearchCV), ("raise", GridSearchCV)):
        with pytest.raises(ValueError, match=message):
            kind(_net(), grid, cv=2, error_score=error_score).fit(X, y)
    assert override.get() is None


@pytest.mark.parametrize("grid", [{"n_hidden": [3]}, {"alpha": []}, {"alpha": 3}], ids=str)
def test_a_wrong_grid_is_refused_as_scikit_learn_does(grid, problem):
    errors = []
    for kind in (GridSearchCV, BackpropSearchCV):
        with pytest.raises((ValueError, TypeError)) as error:
            kind(_net(), grid, cv=2).fit(*problem())
        errors.append(error)
    assert errors[0].type is errors[1].type
    assert str(errors[0].value) == str(errors[1].value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"cv": 1},
        {"cv": "three"},
        {"scoring": "nonsense"},
        {"scoring": ["r2"], "refit": 3},
        {"n_jobs": "all"},
        {"verbose": -1},
    ],
    ids=str,
)
def test_wrong_parameters_are_refused_as_scikit_learn_does(arguments, problem):
    X, y = problem()
    errors = []
    for kind in (GridSearchCV, BackpropSearchCV):
        with pytest.raises((ValueError, TypeError)) as error:
            kind(_net(), {"alpha": [0]}, **arguments).fit(X, y)
        errors.append(error)
    assert isinstance(errors[1].value, errors[0].type)
    name = kind.__name__
    assert str(errors[1].value).replace(name, "GridSearchCV") == str(errors[0].value)


def test_wrong_data_are_refused(problem):
    X, y = problem()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        BackpropSearchCV(_net(), {"alpha": [0]}, cv=2).fit(X, y[:-1])
    X[3, 2] = np.nan
    with pytest.raises(ValueError, match="All the 2 fits failed.*"):
        BackpropSearchCV(_net(), {"alpha": [0]}, cv=[(np.arange(9), np.arange(9))] * 2).fit(X, y)
    assert override.get() is None


# A rehearsal, then a performance.


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize(
    "name", ["a net", "a pipeline", "scaled targets", "early stopping", "a list"]
)
def test_each_network_is_trained_once(name, n_jobs, problem, count):
    estimator, grid = GRIDS[name]
    search = BackpropSearchCV(estimator, grid, cv=3, n_jobs=n_jobs).fit(*problem())
    assert count == {"together": 3 * len(search.cv_results_["params"]), "alone": 1}


def test_several_networks_of_a_fit_are_each_trained_once(problem, count):
    X, y = problem()
    estimator, grid = GRIDS["bagging"]
    BackpropSearchCV(estimator, grid, cv=3).fit(X, y)
    assert count == {"together": 4 * 3 * 3, "alone": 3}


def test_without_a_refit_nothing_is_trained_alone(problem, count):
    BackpropSearchCV(_net(), {"alpha": [0, 1]}, cv=2, refit=False).fit(*problem())
    assert count == {"together": 4, "alone": 0}


@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True}], ids=str)
def test_networks_without_a_seed_are_trained_once(parameters, problem, count):
    X, y = problem()
    net = _net(random_state=None, **parameters)
    search = BackpropSearchCV(net, {"alpha": [0, 1.0]}, cv=2).fit(X, y)
    assert count == {"together": 4, "alone": 1}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert np.isfinite(search.predict(X)).all()


def test_networks_without_a_seed_are_different_ones(problem):
    X, y = problem()
    grid = {"tol": [1e-5, 1e-6, 1e-7]}
    search = BackpropSearchCV(_net(random_state=None, max_iter=3), grid, cv=2).fit(X, y)
    assert len(set(search.cv_results_["mean_test_score"])) == 3


def test_a_generator_as_a_seed_is_not_used_up(problem):
    X, y = problem()
    generator = np.random.RandomState(0)
    before = pickle.dumps(generator)
    _both(_net(random_state=generator), {"alpha": [0, 1.0]}, X, y)
    assert pickle.dumps(generator) == before


def test_points_of_a_grid_share_their_rows(problem, monkeypatch):
    """However many points there are, there is one copy of a fold's rows."""
    from fastbp.model_selection.search import fit_tasks

    shared = []

    def watched(tasks, n_jobs):
        shared.extend(task.data for task in tasks)
        return fit_tasks(tasks, n_jobs)

    monkeypatch.setattr("fastbp.model_selection.search.fit_tasks", watched)
    X, y = problem()
    BackpropSearchCV(_pipeline(), {"net__alpha": [0, 1.0, 2.0]}, cv=3).fit(X, y)
    assert len(shared) == 9
    assert len({id(data) for data in shared}) == 3


def _warnings_of(kind, estimator, grid, X, y, **arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kind(estimator, grid, cv=3, **arguments).fit(X, y)
    return sorted((each.category.__name__, str(each.message)) for each in caught)


@pytest.mark.parametrize(
    ("parameters", "n_warnings"),
    [({}, 7), ({"tol": 1e3, "max_iter": 100}, 0), ({"batch_size": 1000}, 14)],
    ids=str,
)
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_what_a_fit_warns_of_is_said_once(parameters, n_warnings, n_jobs, problem):
    X, y = problem()
    model, grid = _pipeline(**parameters), {"net__alpha": [0, 1.0]}
    reference = _warnings_of(GridSearchCV, model, grid, X, y)
    assert len(reference) == n_warnings
    assert _warnings_of(BackpropSearchCV, model, grid, X, y, n_jobs=n_jobs) == reference


def test_warnings_made_errors_are_failures_of_their_fits(problem):
    X, y = problem()
    for kind in (GridSearchCV, BackpropSearchCV):
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            with pytest.raises(ConvergenceWarning):
                kind(_net(), {"alpha": [0]}, cv=2, error_score="raise").fit(X, y)


class _Breaks(BaseEstimator):
    """A transformer that raises at its n-th fit."""

    def __init__(self, error=None, at=1):
        self.error, self.at = error, at

    def fit(self, X, y=None):
        _Breaks.n_fits += 1
        if _Breaks.n_fits == self.at:
            raise self.error
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
@pytest.mark.parametrize("at", [1, 3, 5, 7, 9], ids="fit {}".format)
def test_whatever_ends_it_the_next_fit_is_an_ordinary_one(error, at, problem):
    """In the rehearsal (fits 1 to 4), the performance (5 to 8), the refit (9)."""
    X, y = problem()
    _Breaks.n_fits = 0
    model = Pipeline([("breaks", _Breaks(error("now"), at)), ("net", _net())])
    search = BackpropSearchCV(model, {"net__alpha": [0, 1.0]}, cv=2, error_score="raise")
    if error is ValueError and at < 5:
        search.fit(X, y)  # what is wrong in the rehearsal alone is no error
    else:
        with pytest.raises(error):
            search.fit(X, y)
    assert override.get() is None
    assert not hasattr(search, "_splits")
    np.testing.assert_array_equal(_net().fit(X, y).predict(X), _net(n_jobs=2).fit(X, y).predict(X))
    assert search.fit(X, y).best_estimator_[-1].n_iter_ == 6


def test_ctrl_c_in_a_training_ends_it(problem, monkeypatch):
    begun, fit_starts = [], fastbp.model_selection.fit_many.fit_starts

    def interrupted(task, clock, n_jobs):
        begun.append(task)
        clock.interrupted.set()
        return fit_starts(task, clock, n_jobs)

    monkeypatch.setattr(fastbp.model_selection.fit_many, "fit_starts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        BackpropSearchCV(_net(), {"alpha": [0, 1.0]}, cv=3).fit(*problem())
    assert override.get() is None
    assert len(begun) == 1


def test_times(problem):
    search = _both(_net(), {"alpha": [0, 1.0]}, *problem(), cv=2)
    assert search.training_time_ > 0
    assert (search.cv_results_["mean_fit_time"] >= search.training_time_ / 4).all()
    assert (search.cv_results_["mean_score_time"] > 0).all()
    assert (search.cv_results_["std_fit_time"] >= 0).all()
    assert search.refit_time_ > 0


@pytest.mark.parametrize("verbose", [0, 1, 3])
def test_it_is_as_talkative_as_scikit_learn(verbose, problem, capsys):
    X, y = problem()
    said = []
    for kind in (GridSearchCV, BackpropSearchCV):
        kind(_net(), {"alpha": [0, 1.0]}, cv=2, verbose=verbose).fit(X, y)
        lines = capsys.readouterr().out.splitlines()
        said.append([line.split(" total time")[0].rstrip(".") for line in lines])
    assert said[0] == said[1]
    assert bool(said[1]) == (verbose > 0)


def test_a_verbose_net_says_each_epoch_once(problem, capsys):
    X, y = problem()
    said = []
    for kind in (GridSearchCV, BackpropSearchCV):
        kind(_net(verbose=True), {"alpha": [0, 1.0]}, cv=2).fit(X, y)
        said.append(sorted(capsys.readouterr().out.splitlines()))
    assert said[0] == said[1]
    assert len(said[1]) == 5 * 6


def test_nothing_given_is_written_to(problem):
    X, y = problem()
    weights = np.linspace(0.1, 1, 60)
    for array in (X, y, weights):
        array.flags.writeable = False
    model, grid = _pipeline(), {"scale": ["passthrough", StandardScaler()], "net__alpha": [0, 1]}
    before = pickle.dumps((X, y, weights, model, grid))
    search = BackpropSearchCV(model, grid, cv=2)
    search.fit(X, y, net__sample_weight=weights)
    assert pickle.dumps((X, y, weights, model, grid)) == before
    assert search.estimator is model
    assert search.param_grid is grid


# An estimator like others.


def test_it_is_an_estimator_like_others(problem):
    X, y = problem()
    search = BackpropSearchCV(_pipeline(), {"net__alpha": [0, 1.0]}, cv=2, n_jobs=1)
    expected = GridSearchCV(_pipeline(), {"net__alpha": [0, 1.0]}, cv=2, n_jobs=1)
    assert search.get_params().keys() == expected.get_params().keys()
    copied = clone(search.set_params(estimator__net__max_iter=4, n_jobs=2))
    assert copied.estimator.named_steps["net"].max_iter == 4
    assert copied.n_jobs == 2
    assert search.__sklearn_tags__() == expected.__sklearn_tags__()
    fitted = copied.fit(X, y)
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
    assert loaded.training_time_ == fitted.training_time_
    assert not hasattr(clone(fitted), "cv_results_")
    assert "BackpropSearchCV" in repr(fitted)
    assert "BackpropSearchCV" in fitted._repr_html_()


def test_a_search_is_fitted_anew(problem):
    X, y = problem()
    search = BackpropSearchCV(_net(), {"alpha": [0, 1.0]}, cv=3).fit(X, y)
    search.set_params(cv=2, param_grid={"solver": ["cg", "sgd"]}).fit(X[:, :3], y)
    reference = GridSearchCV(_net(), {"solver": ["cg", "sgd"]}, cv=2).fit(X[:, :3], y)
    _assert_same(search, reference, X[:, :3])


def _fitted_by(kind):
    net = _net(max_iter=30, batch_size=20, solver="lbfgs")
    return kind(net, {"alpha": [0.1, 1.0]}, cv=2, error_score="raise")


@parametrize_with_checks([_fitted_by(GridSearchCV), _fitted_by(BackpropSearchCV)])
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks(estimator, check):
    check(estimator)
