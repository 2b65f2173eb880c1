"""Callbacks through pipelines and searches, to networks inside."""

import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropSearchCV, fit_many
from helpers.callbacks import HandedOn, Told, assert_in_order
from helpers.fits import SHORT, make_net

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


def test_networks_trained_side_by_side_have_no_iterations(problem):
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
    inside.told.clear()
    fit_many(X, y, [{"alpha": 0.1}], estimator=net)
    assert inside.told == []
