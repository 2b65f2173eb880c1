"""Without callbacks nothing of them is there: no calls, no cost, no scikit-learn 1.9 needed."""

import pytest

from fastbp import BackpropRegressor
from fastbp.solvers.monitor import Monitor
from fastbp.training.callbacks import FitReport
from helpers.fits import EVERY_SOLVER, SHORT, call_first, make_net


@SHORT
@EVERY_SOLVER
def test_a_fit_without_callbacks_calls_nothing_of_them(mode, problem, monkeypatch):
    X, y = problem()

    def refuse(*arguments, **named):
        raise AssertionError("called")

    def has_none(self, so_far):
        assert self.callback is None
        return False

    monkeypatch.setattr(FitReport, "__init__", refuse)
    monkeypatch.setattr(BackpropRegressor, "_init_callback_context", refuse, raising=False)
    monkeypatch.setattr(Monitor, "callback_says_stop", has_none)
    net = make_net(mode).fit(X, y)
    if hasattr(net, "set_callbacks"):
        net.set_callbacks().fit(X, y)


@SHORT
def test_epochs_follow_each_other_in_one_compiled_call(problem, monkeypatch):
    X, y = problem()
    calls = []
    call_first(monkeypatch, "epochs", lambda: calls.append(1))
    assert make_net("adam-16").fit(X, y).n_iter_ == 15
    assert len(calls) == 1


@pytest.mark.subprocess
def test_before_scikit_learn_1_9_all_else_is_the_same(python):
    code = """
import sys
import sklearn.model_selection, sklearn.pipeline
there = sys.modules.pop("sklearn.callback", None)
sys.modules["sklearn.callback"] = None  # importing it fails, as before 1.9
from fastbp import BackpropClassifier, BackpropRegressor, BackpropSearchCV
if there is not None:
    sys.modules["sklearn.callback"] = there  # which scikit-learn's own fits need
import numpy as np
X = np.random.RandomState(0).standard_normal((50, 3))
net = BackpropRegressor(hidden_layer_sizes=(3,), solver="lbfgs", random_state=0, n_init=2)
print(hasattr(net, "set_callbacks"), hasattr(BackpropClassifier(), "set_callbacks"))
print(net.fit(X, X[:, 0]).score(X, X[:, 0]) > 0.9)
print(BackpropSearchCV(net, {"alpha": [0.1, 1]}, cv=2).fit(X, X[:, 0]).best_score_ > 0.9)
"""
    assert python(code).split() == ["False", "False", "True", "True"]
