"""`BackpropSearchCV` against `GridSearchCV`: the same numbers, for any splits, scores and tables.

All but the times of ``cv_results_`` has to be equal to the last bit: the same code trains.
"""

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.exceptions import NotFittedError
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
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropSearchCV
from fastbp.training.fit import override
from helpers.searches import (
    EVERY_GRID,
    GRIDS,
    assert_same,
    make_net,
    make_pipeline_of_net,
    search_both_ways,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@EVERY_GRID
def test_it_finds_what_scikit_learn_finds(name, problem):
    X, y = problem()
    estimator, grid = GRIDS[name]
    reference = GridSearchCV(estimator, grid, cv=3, return_train_score=True).fit(X, y)
    for n_jobs in (None, 2):
        search = BackpropSearchCV(estimator, grid, cv=3, return_train_score=True, n_jobs=n_jobs)
        assert search.fit(X, y) is search
        assert_same(search, reference, X)
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
    search_both_ways(make_pipeline_of_net(), {"net__alpha": [0, 1.0]}, X, y, cv=cv)


def test_splits_may_be_a_generator(problem):
    X, y = problem()
    reference = GridSearchCV(make_net(), {"alpha": [0, 1.0]}, cv=KFold(3).split(X)).fit(X, y)
    search = BackpropSearchCV(make_net(), {"alpha": [0, 1.0]}, cv=KFold(3).split(X)).fit(X, y)
    assert_same(search, reference, X)


class _Watched(ShuffleSplit):
    """A splitter without a seed that records what it has drawn."""

    drawn: list = []  # noqa: RUF012

    def split(self, X, y=None, groups=None):
        splits = list(super().split(X, y, groups))
        self.drawn.append(splits)
        return iter(splits)


def test_splits_without_a_seed_are_drawn_once(problem):
    X, y = problem()
    _Watched.drawn.clear()
    search = BackpropSearchCV(make_net(), {"alpha": [0, 1.0, 3.0]}, cv=_Watched(2)).fit(X, y)
    (splits,) = _Watched.drawn
    reference = GridSearchCV(make_net(), {"alpha": [0, 1.0, 3.0]}, cv=splits).fit(X, y)
    assert_same(search, reference, X)
    search.fit(X, y)
    assert len(_Watched.drawn) == 2  # and anew for another fit


def test_groups_reach_the_splitter(problem, count):
    X, y = problem()
    groups = np.arange(60) // 7
    search_both_ways(
        make_net(), {"alpha": [0, 1.0]}, X, y, cv=GroupKFold(3), fit={"groups": groups}
    )
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
    search = search_both_ways(
        make_net(), {"alpha": [0, 1.0], "solver": ["adam", "cg"]}, X, y, **SCORINGS[name]
    )
    assert hasattr(search, "best_estimator_") == (name != "no refit")
    assert hasattr(search, "refit_time_") == (name != "no refit")


def test_without_a_refit_there_is_nothing_to_predict_with(problem):
    X, y = problem()
    search = BackpropSearchCV(make_net(), {"alpha": [0]}, cv=2, refit=False).fit(X, y)
    with pytest.raises(AttributeError):
        search.predict(X)
    with pytest.raises(NotFittedError):
        BackpropSearchCV(make_net(), {"alpha": [0]}).predict(X)


def test_sample_weights_are_split_as_rows_are(problem, count):
    X, y = problem()
    weights = np.linspace(0, 2, 60)
    search = search_both_ways(make_net(), {"alpha": [0, 1.0]}, X, y, fit={"sample_weight": weights})
    assert count["together"] == 6
    other = BackpropSearchCV(make_net(), {"alpha": [0, 1.0]}, cv=3).fit(X, y)
    assert (search.predict(X) != other.predict(X)).any()
    fit = {"net__sample_weight": weights}
    search_both_ways(make_pipeline_of_net(), {"net__alpha": [0, 1.0]}, X, y, fit=fit)
    assert count["together"] == 18


@pytest.mark.parametrize("who", ["net", "scorer", "both"])
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_metadata_are_routed(who, in_pipeline, problem, count):
    X, y = problem()
    weights = np.linspace(0, 2, 60)
    with sklearn.config_context(enable_metadata_routing=True):
        net = make_net().set_fit_request(sample_weight=who != "scorer")
        scorer = make_scorer(mean_absolute_error, greater_is_better=False)
        scorer = scorer.set_score_request(sample_weight=who != "net")
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        model = Pipeline([("scale", scaler), ("net", net)]) if in_pipeline else net
        grid = {"net__alpha" if in_pipeline else "alpha": [0, 1.0]}
        search_both_ways(model, grid, X, y, scoring=scorer, fit={"sample_weight": weights})
    assert count == {"together": 6, "alone": 6 + 1 + 1}


def test_metadata_are_routed_to_the_splitter(problem, count):
    X, y = problem()
    groups = np.arange(60) // 7
    with sklearn.config_context(enable_metadata_routing=True):
        splitter = GroupKFold(3)
        search_both_ways(make_net(), {"alpha": [0, 1.0]}, X, y, cv=splitter, fit={"groups": groups})
    assert count["together"] == 6


def test_metadata_that_nobody_asks_for_are_refused(problem):
    X, y = problem()
    with sklearn.config_context(enable_metadata_routing=True):
        search = BackpropSearchCV(make_net(), {"alpha": [0]}, cv=2)
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
    search = search_both_ways(make_net(), {"alpha": [0, 1.0]}, table, y)
    assert count["together"] == 6
    if kind == "pandas":
        assert list(search.feature_names_in_) == list("abcde")
        assert list(search.best_estimator_.feature_names_in_) == list("abcde")


def test_columns_are_chosen_by_name_in_a_pipeline(problem):
    from sklearn.compose import ColumnTransformer

    X, y = problem()
    table = pd.DataFrame(X, columns=list("abcde")).assign(f=np.where(X[:, 0] > 0, "x", "z"))
    chosen = ColumnTransformer([("numbers", StandardScaler(), ["a", "c", "e"])])
    search_both_ways(
        make_pipeline(chosen, make_net()), {"backpropregressor__alpha": [0, 1.0]}, table, y
    )


def test_targets_in_several_nets(problem):
    X, y = problem(n_outputs=2)
    search_both_ways(MultiOutputRegressor(make_net()), {"estimator__alpha": [0, 1.0]}, X, y)


def test_it_can_be_cross_validated_itself(problem):
    X, y = problem()
    scores = [
        cross_val_score(kind(make_net(), {"alpha": [0, 1.0]}, cv=2), X, y, cv=2)
        for kind in (BackpropSearchCV, GridSearchCV)
    ]
    np.testing.assert_array_equal(*scores)


def test_a_search_in_a_search(problem):
    X, y = problem()
    grid = {"estimator__solver": ["adam", "cg"]}
    inner = {"param_grid": {"alpha": [0, 1.0]}, "cv": 2}
    reference = GridSearchCV(GridSearchCV(make_net(), **inner), grid, cv=2).fit(X, y)
    search = BackpropSearchCV(BackpropSearchCV(make_net(), **inner), grid, cv=2).fit(X, y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"]
    )
    np.testing.assert_array_equal(search.predict(X), reference.predict(X))
