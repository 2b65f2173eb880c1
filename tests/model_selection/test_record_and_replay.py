"""Fits are recorded, each network is trained once, and the fits are replayed with it."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

import fastbp.model_selection.fit_many
import fastbp.training.fit
from fastbp import BackpropSearchCV
from fastbp.training.fit import override
from helpers.searches import GRIDS, make_net, make_pipeline_of_net, search_both_ways

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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
    net = make_net(solver=solver, max_iter=30, learning_rate_init=0.05)
    search_both_ways(_Twice(net, goes_on, least), {"net__alpha": [0, 30.0]}, X, y, cv=2)


def test_a_net_that_learns_by_partial_fit_afterwards(problem):
    class GoesOn(_Twice):
        def fit(self, X, y):
            self.net_ = clone(self.net).fit(X, y)
            for _ in range(3):
                self.net_.partial_fit(X, y)
            return self

    X, y = problem()
    search_both_ways(GoesOn(make_net()), {"net__alpha": [0, 3.0]}, X, y)


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
    BackpropSearchCV(make_net(), {"alpha": [0, 1]}, cv=2, refit=False).fit(*problem())
    assert count == {"together": 4, "alone": 0}


@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True}], ids=str)
def test_networks_without_a_seed_are_trained_once(parameters, problem, count):
    X, y = problem()
    net = make_net(random_state=None, **parameters)
    search = BackpropSearchCV(net, {"alpha": [0, 1.0]}, cv=2).fit(X, y)
    assert count == {"together": 4, "alone": 1}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert np.isfinite(search.predict(X)).all()


def test_networks_without_a_seed_are_different_ones(problem):
    X, y = problem()
    grid = {"tol": [1e-5, 1e-6, 1e-7]}
    search = BackpropSearchCV(make_net(random_state=None, max_iter=3), grid, cv=2).fit(X, y)
    assert len(set(search.cv_results_["mean_test_score"])) == 3


def test_a_generator_as_a_seed_is_not_used_up(problem):
    X, y = problem()
    generator = np.random.RandomState(0)
    before = pickle.dumps(generator)
    search_both_ways(make_net(random_state=generator), {"alpha": [0, 1.0]}, X, y)
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
    BackpropSearchCV(make_pipeline_of_net(), {"net__alpha": [0, 1.0, 2.0]}, cv=3).fit(X, y)
    assert len(shared) == 9
    assert len({id(data) for data in shared}) == 3


def _warnings_of(kind, estimator, grid, X, y, **arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kind(estimator, grid, cv=3, **arguments).fit(X, y)
    return sorted((each.category.__name__, str(each.message)) for each in caught)


@pytest.mark.parametrize(
    ("parameters", "n_warnings"),
    [({}, 7), ({"tol": 1e-3, "max_iter": 2000}, 0), ({"batch_size": 1000}, 14)],
    ids=str,
)
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_what_a_fit_warns_of_is_said_once(parameters, n_warnings, n_jobs, problem):
    X, y = problem()
    model, grid = make_pipeline_of_net(**parameters), {"net__alpha": [0, 1.0]}
    reference = _warnings_of(GridSearchCV, model, grid, X, y)
    assert len(reference) == n_warnings
    assert _warnings_of(BackpropSearchCV, model, grid, X, y, n_jobs=n_jobs) == reference


def test_warnings_made_errors_are_failures_of_their_fits(problem):
    X, y = problem()
    for kind in (GridSearchCV, BackpropSearchCV):
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            with pytest.raises(ConvergenceWarning):
                kind(make_net(), {"alpha": [0]}, cv=2, error_score="raise").fit(X, y)


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
    """While fits are recorded (1 to 4), while they are replayed (5 to 8), in the refit (9)."""
    X, y = problem()
    _Breaks.n_fits = 0
    model = Pipeline([("breaks", _Breaks(error("now"), at)), ("net", make_net())])
    search = BackpropSearchCV(model, {"net__alpha": [0, 1.0]}, cv=2, error_score="raise")
    if error is ValueError and at < 5:
        search.fit(X, y)  # what is wrong while fits are recorded alone is no error
    else:
        with pytest.raises(error):
            search.fit(X, y)
    assert override.get() is None
    assert not hasattr(search, "_splits")
    np.testing.assert_array_equal(
        make_net().fit(X, y).predict(X), make_net(n_jobs=2).fit(X, y).predict(X)
    )
    assert search.fit(X, y).best_estimator_[-1].n_iter_ == 6


def test_ctrl_c_in_a_training_ends_it(problem, monkeypatch):
    begun, fit_starts = [], fastbp.model_selection.fit_many.fit_starts

    def interrupted(task, clock, n_jobs):
        begun.append(task)
        clock.interrupted.set()
        return fit_starts(task, clock, n_jobs)

    monkeypatch.setattr(fastbp.model_selection.fit_many, "fit_starts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        BackpropSearchCV(make_net(), {"alpha": [0, 1.0]}, cv=3).fit(*problem())
    assert override.get() is None
    assert len(begun) == 1
