"""Callbacks through pipelines and searches, to networks inside."""

import itertools

import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError

from fastbp import BackpropSearchCV, fit_many
from helpers.callbacks import Alone, Fitted, HandedOn, Told, assert_in_order, stops_at
from helpers.fits import SHORT, assert_same, fitted_attributes, make_net

pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 and later")
from sklearn.callback import ProgressBar, ScoringMonitor

pytestmark = SHORT


@pytest.mark.parametrize("solver", ["adam", "lm"])
def test_a_pipeline_hands_them_on(solver, problem):
    X, y = problem()
    monitor, on_top = ScoringMonitor(scoring="r2"), HandedOn()
    net = make_net(solver).set_callbacks(monitor)
    make_pipeline(StandardScaler(), net).set_callbacks(on_top).fit(X, y)
    scores = monitor.get_logs().data
    assert [row["task_name"] for row in scores].count("iteration") == net.n_iter_
    assert scores[-1]["r2"] == pytest.approx(net.score(StandardScaler().fit_transform(X), y))
    # Of the pipeline, of its scaler, of the network (which is the pipeline's second task), ...
    assert on_top.paths("begin")[:4] == [[], [0], [1], [1, 0]]
    assert len(on_top.paths("end")) == 3 + net.n_iter_
    assert_in_order(on_top.told)


@pytest.mark.subprocess
def test_a_grid_search_in_processes_hands_them_on(problem, capsys):
    X, y = problem()
    pytest.importorskip("rich")
    monitor = ScoringMonitor(scoring="r2")
    net = make_net("lbfgs", max_iter=6, tol=0).set_callbacks(monitor)
    search = GridSearchCV(net, {"alpha": [0.1, 1.0]}, cv=2, n_jobs=2, error_score="raise")
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
    rows = monitor.get_logs().data
    assert [row["task_name"] for row in rows].count("iteration") == (2 * 2 + 1) * 6
    (of_best,) = [row["r2"] for row in rows if row["task_id_path"] == (0, 1)]
    assert of_best == pytest.approx(search.best_estimator_.score(X, y))
    assert capsys.readouterr().out.count("BackpropRegressor - fit") == 2 * 2 + 1


def test_networks_of_a_search_have_no_iterations(problem):
    X, y = problem()
    grid = {"alpha": [0.1, 1.0]}
    on_top, inside = HandedOn(), Told()
    net = make_net("lbfgs", max_iter=6).set_callbacks(inside)
    search = BackpropSearchCV(net, grid, cv=2).set_callbacks(on_top).fit(X, y)
    assert on_top.told.count(("setup",)) == on_top.told.count(("teardown",)) == 1
    assert inside.told.count(("setup",)) == inside.told.count(("teardown",)) == 2 * 2 + 1
    n_of_refit = search.best_estimator_.n_iter_  # which is not trained with the others
    for callback in (on_top, inside):
        assert callback.names.count("iteration") == n_of_refit


@pytest.mark.parametrize("n_init", [1, 2])
def test_many_fits_are_subtasks_of_one(n_init, problem):
    X, y = problem()
    grid = [{"solver": solver} for solver in ("adam", "lbfgs", "lm")]
    callback, monitor = Alone(), ScoringMonitor(scoring="r2")
    net = make_net("adam", n_init=n_init, max_iter=6).set_callbacks(callback, monitor)
    nets = fit_many(X, y, grid, KFold(2), estimator=net, n_jobs=2)
    assert callback.told[0] == ("setup",)
    assert callback.told[-1] == ("teardown",)
    assert sorted(callback.paths("begin")) == sorted(callback.paths("end"))
    assert [path for path in callback.paths("begin") if len(path) < 2] == [
        [],
        *([i] for i in range(6)),
    ]
    rows = monitor.get_logs().data
    of_fits = {row["task_id_path"][1]: row["r2"] for row in rows if row["task_name"] == "fit"}
    for i, (of_one, (train, _)) in enumerate(itertools.product(nets, KFold(2).split(X))):
        one = of_one[i % 2]
        assert of_fits[i] == one.score(X[train], y[train])
        iterations = [path for path in callback.paths("end") if len(path) == n_init + 1]
        if n_init == 1:
            assert [path[0] for path in iterations].count(i) == one.n_iter_
        alone = clone(net).set_callbacks().set_params(solver=one.solver).fit(X[train], y[train])
        assert_same(fitted_attributes(one), fitted_attributes(alone))


def test_a_callback_ends_one_of_many_fits(problem):
    X, y = problem()
    net = make_net("adam", max_iter=10).set_callbacks(Fitted(stops_at(1, 3)))
    nets = fit_many(X, y, [{"alpha": alpha} for alpha in (0.1, 0.2, 0.3)], estimator=net)
    assert [each.n_iter_ for each in nets] == [10, 4, 10]
    assert nets[1].stop_reason_ == "callback"
    assert not hasattr(net, "coefs_")


@pytest.mark.parametrize(("n_fits", "n_stretches"), [(1, 200), (4, 50), (201, 1)])
def test_many_fits_have_about_as_many_stretches_as_one(n_fits, n_stretches, problem):
    X, y = problem(10, 2)
    callback = Told()
    net = make_net("sgd-full", max_iter=200, n_iter_no_change=10**6).set_callbacks(callback)
    fit_many(X, y, [{}] * n_fits, estimator=net)
    assert len(callback.paths("end")) == 1 + n_fits + n_fits * n_stretches


def test_of_many_fits_those_that_fail_end_the_callbacks(problem):
    X, y = problem()
    callback = Told()
    net = make_net("sgd-online").set_callbacks(callback)
    grid = [{}, {"alpha": -1.0}, {"learning_rate_init": 1e200}]
    nets = fit_many(X * 1e3, y, grid, estimator=net, errors="return")
    assert [type(each) for each in nets[1:]] == [InvalidParameterError, ValueError]
    assert [0] in callback.paths("end")
    assert [1] not in callback.paths("begin")
    assert [2] not in callback.paths("end")
    for wrong in grid[1:]:
        callback.told.clear()
        with pytest.raises(ValueError, match="alpha|non-finite"):
            fit_many(X * 1e3, y, [wrong], estimator=net)
        assert callback.told[-1] == ("teardown",)
    callback.told.clear()
    assert fit_many(X, y, [], estimator=net) == []
    assert callback.told == []
