"""`BackpropSearchCV` is an estimator like scikit-learn's: errors, times, output, copies, checks."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastbp import BackpropSearchCV
from fastbp.training.fit import override
from helpers.searches import assert_same, make_net, make_pipeline_of_net, search_both_ways

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# Errors


@pytest.mark.parametrize("name", ["net", "pipeline"])
@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_points_that_diverge_have_the_score_of_an_error(name, n_jobs, problem):
    X, y = problem()
    relu = {"activation": "relu", "solver": "sgd"}
    estimator, prefix = (
        (make_net(**relu), "") if name == "net" else (make_pipeline_of_net(**relu), "net__")
    )
    grid = {f"{prefix}learning_rate_init": [0.01, 1e6, 0.02]}
    with pytest.warns(FitFailedWarning, match="3 fits failed out of a total of 9") as caught:
        search = BackpropSearchCV(estimator, grid, cv=3, n_jobs=n_jobs).fit(X, y)
    assert sum(each.category is FitFailedWarning for each in caught) == 1
    with pytest.warns(FitFailedWarning):
        assert_same(search, GridSearchCV(estimator, grid, cv=3).fit(X, y), X)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True, False]
    with pytest.warns(FitFailedWarning):
        search = BackpropSearchCV(estimator, grid, cv=3, error_score=-7.0).fit(X, y)
    assert search.cv_results_["mean_test_score"][1] == -7


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"learning_rate_init": [1e6], "solver": ["sgd"], "activation": ["relu"]}, "non-finite"),
        ({"batch_size": [-1, 10]}, "'batch_size' parameter"),
        ({"hidden_layer_sizes": [(3,), (0,)]}, "hidden_layer_sizes must be > 0"),
        ({"alpha": [0.1, "bayes"]}, "found by solver='lm'"),
    ],
)
def test_an_error_may_be_raised(grid, message, problem):
    X, y = problem()
    for error_score, kind in (("raise", BackpropSearchCV), ("raise", GridSearchCV)):
        with pytest.raises(ValueError, match=message):
            kind(make_net(), grid, cv=2, error_score=error_score).fit(X, y)
    assert override.get() is None


@pytest.mark.parametrize("grid", [{"n_hidden": [3]}, {"alpha": []}, {"alpha": 3}], ids=str)
def test_a_wrong_grid_is_refused_as_scikit_learn_does(grid, problem):
    errors = []
    for kind in (GridSearchCV, BackpropSearchCV):
        with pytest.raises((ValueError, TypeError)) as error:
            kind(make_net(), grid, cv=2).fit(*problem())
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
            kind(make_net(), {"alpha": [0]}, **arguments).fit(X, y)
        errors.append(error)
    assert isinstance(errors[1].value, errors[0].type)
    name = kind.__name__
    assert str(errors[1].value).replace(name, "GridSearchCV") == str(errors[0].value)


def test_wrong_data_are_refused(problem):
    X, y = problem()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        BackpropSearchCV(make_net(), {"alpha": [0]}, cv=2).fit(X, y[:-1])
    X[3, 2] = np.nan
    with pytest.raises(ValueError, match="All the 2 fits failed.*"):
        BackpropSearchCV(make_net(), {"alpha": [0]}, cv=[(np.arange(9), np.arange(9))] * 2).fit(
            X, y
        )
    assert override.get() is None


# An estimator like others


def test_times(problem):
    search = search_both_ways(make_net(), {"alpha": [0, 1.0]}, *problem(), cv=2)
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
        kind(make_net(), {"alpha": [0, 1.0]}, cv=2, verbose=verbose).fit(X, y)
        lines = capsys.readouterr().out.splitlines()
        said.append([line.split(" total time")[0].rstrip(".") for line in lines])
    assert said[0] == said[1]
    assert bool(said[1]) == (verbose > 0)


def test_a_verbose_net_says_each_epoch_once(problem, capsys):
    X, y = problem()
    said = []
    for kind in (GridSearchCV, BackpropSearchCV):
        kind(make_net(verbose=True), {"alpha": [0, 1.0]}, cv=2).fit(X, y)
        said.append(sorted(capsys.readouterr().out.splitlines()))
    assert said[0] == said[1]
    assert len(said[1]) == 5 * 6


def test_nothing_given_is_written_to(problem):
    X, y = problem()
    weights = np.linspace(0.1, 1, 60)
    for array in (X, y, weights):
        array.flags.writeable = False
    model, grid = (
        make_pipeline_of_net(),
        {"scale": ["passthrough", StandardScaler()], "net__alpha": [0, 1]},
    )
    before = pickle.dumps((X, y, weights, model, grid))
    search = BackpropSearchCV(model, grid, cv=2)
    search.fit(X, y, net__sample_weight=weights)
    assert pickle.dumps((X, y, weights, model, grid)) == before
    assert search.estimator is model
    assert search.param_grid is grid


def test_it_is_an_estimator_like_others(problem):
    X, y = problem()
    search = BackpropSearchCV(make_pipeline_of_net(), {"net__alpha": [0, 1.0]}, cv=2, n_jobs=1)
    expected = GridSearchCV(make_pipeline_of_net(), {"net__alpha": [0, 1.0]}, cv=2, n_jobs=1)
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
    search = BackpropSearchCV(make_net(), {"alpha": [0, 1.0]}, cv=3).fit(X, y)
    search.set_params(cv=2, param_grid={"solver": ["cg", "sgd"]}).fit(X[:, :3], y)
    reference = GridSearchCV(make_net(), {"solver": ["cg", "sgd"]}, cv=2).fit(X[:, :3], y)
    assert_same(search, reference, X[:, :3])


def _fitted_by(kind):
    net = make_net(max_iter=30, batch_size=20, solver="lbfgs")
    return kind(net, {"alpha": [0.1, 1.0]}, cv=2, error_score="raise")


@parametrize_with_checks([_fitted_by(BackpropSearchCV), _fitted_by(GridSearchCV)])
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks(estimator, check):
    check(estimator)
