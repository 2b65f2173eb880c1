"""Checkpoints of several fits: each needs a file of its own, and is told so."""

import os

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score

from fastbp import BackpropSearchCV, fit_many, save
from fastbp.solvers.monitor import watching
from helpers.fits import SHORT, assert_same, fitted_attributes, make_net

pytestmark = SHORT


@pytest.fixture
def kept(tmp_path):
    """Where and how often checkpoints are written: at every iteration."""
    return {"checkpoint": tmp_path / "kept", "checkpoint_every": 0, "max_time": 100}


def fit_and_meanwhile(action, net, X, y):
    """Fit, and do something else after the third iteration."""
    actions = [action]

    def watch(history):
        if history.n_iter == 3 and actions:
            actions.pop()()

    with watching(watch):
        return net.fit(X, y)


@pytest.mark.parametrize("mode", ["adam", "bfgs"])
def test_another_fit_that_writes_the_same_file_is_seen(mode, kept, problem):
    X, y = problem()
    for other in (
        lambda: make_net(mode, alpha=0.1, **kept).fit(X, y),
        lambda: make_net(mode, random_state=7, **kept).fit(X, y),
        lambda: make_net(mode, **kept).fit(X[:-1], y[:-1]),
        lambda: save(make_net("lm").fit(X, y), kept["checkpoint"]),
        lambda: kept["checkpoint"].write_bytes(b"something else"),
    ):
        net = make_net(mode, **kept)
        with pytest.raises(ValueError, match="checkpoint=.*kept' was written by another.*its own"):
            fit_and_meanwhile(other, net, X, y)
        assert not hasattr(net, "coefs_")


def test_what_the_other_has_written_is_left(kept, problem):
    X, y = problem()
    other = make_net("lm", **kept)
    with pytest.raises(ValueError, match="written by another fit"):
        fit_and_meanwhile(lambda: other.fit(X, y), make_net("adam", **kept), X, y)
    resumed = make_net("lm", max_time=100).fit(X, y, resume_from=kept["checkpoint"])
    assert_same(fitted_attributes(resumed), fitted_attributes(other))


def test_a_touched_file_one_that_is_gone_and_the_same_fit_do_no_harm(kept, problem):
    X, y = problem()
    alone = make_net("adam", max_time=100).fit(X, y)
    for action in (
        lambda: os.utime(kept["checkpoint"], (0, 0)),
        lambda: kept["checkpoint"].unlink(),
        lambda: make_net("adam", **kept).fit(X, y),
    ):
        net = fit_and_meanwhile(action, make_net("adam", **kept), X, y)
        assert_same(fitted_attributes(net), fitted_attributes(alone))


def test_one_fit_after_the_other_begins_the_file_anew(kept, problem):
    X, y = problem()
    assert np.isfinite(cross_val_score(make_net("adam", **kept), X, y, cv=3)).all()
    search = GridSearchCV(make_net("lm", **kept), {"alpha": [0.1, 1.0]}, cv=3).fit(X, y)
    best = search.best_estimator_
    resumed = make_net("lm", max_time=100, alpha=best.alpha)
    resumed.fit(X, y, resume_from=kept["checkpoint"])
    assert_same(fitted_attributes(resumed), fitted_attributes(best))


def test_fit_many_refuses_one_file_for_several(kept, problem, tmp_path):
    X, y = problem()
    grid = [{"alpha": 0.1}, {"alpha": 1.0}]
    with pytest.raises(ValueError, match="checkpoint=.*kept' is the file of 2 of these fits"):
        fit_many(X, y, grid, estimator=make_net("adam", **kept))
    relative = os.path.relpath(kept["checkpoint"])
    with pytest.raises(ValueError, match="2 of these fits"):
        fit_many(X, y, [{}, {"checkpoint": relative}], estimator=make_net("adam", **kept))
    with pytest.raises(ValueError, match="3 of these fits"):
        fit_many(X, y, [{}], folds=[[0, 1], [1, 2], [2, 3]], estimator=make_net("bfgs", **kept))
    assert not kept["checkpoint"].exists()
    paths = [tmp_path / "first", tmp_path / "second"]
    own = [{"alpha": 0.1, "checkpoint": path} for path in paths]
    nets = fit_many(X, y, own, estimator=make_net("adam", **kept), n_jobs=2)
    for net, path in zip(nets, paths, strict=True):
        resumed = make_net("adam", alpha=0.1, max_time=100).fit(X, y, resume_from=path)
        assert_same(fitted_attributes(resumed), fitted_attributes(net))


@pytest.mark.parametrize("solver", ["adam", "rprop"])
def test_a_search_side_by_side_refuses_it(solver, kept, problem):
    X, y = problem()
    message = "checkpoint=.*kept' is for one fit, and this search"
    search = BackpropSearchCV(make_net(solver, **kept), {"alpha": [0.1, 1.0]}, cv=3)
    with pytest.raises(ValueError, match=message):
        search.fit(X, y)
    assert search.cv == 3
    every = kept | {"checkpoint": None}
    grid = {"checkpoint": [None, kept["checkpoint"]]}
    with pytest.raises(ValueError, match=message):
        BackpropSearchCV(make_net(solver, **every), grid, cv=3).fit(X, y)
    assert not kept["checkpoint"].exists()
