"""scikit-learn's callbacks: what they are told of a fit, and how they end it."""

import pickle
import threading

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score, r2_score

from fastbp import BackpropClassifier
from helpers.callbacks import Alone, Fitted, Told, assert_in_order, path_of, stops_at
from helpers.fits import (
    EVERY_MODE,
    EVERY_SOLVER,
    SHORT,
    assert_same,
    fitted_attributes,
    make_net,
    vector_of,
)

pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 and later")
from sklearn.callback import ProgressBar, ScoringMonitor

pytestmark = SHORT


@EVERY_MODE
@pytest.mark.parametrize("n_init", [1, 2])
def test_each_iteration_is_a_task_and_the_numbers_stay(mode, n_init, problem):
    X, y = problem()
    callback = Told()
    net = make_net(mode, n_init=n_init).set_callbacks(callback).fit(X, y)
    assert_same(fitted_attributes(net), fitted_attributes(make_net(mode, n_init=n_init).fit(X, y)))
    assert_in_order(callback.told)
    assert sorted(callback.paths("begin")) == sorted(callback.paths("end"))
    n_begun = len(callback.paths("begin"))
    if n_init == 1:
        assert n_begun == 1 + net.n_iter_
    else:
        assert [path for path in callback.paths("begin") if len(path) < 2] == [[], [0], [1]]
        assert n_begun > 3 + net.n_iter_


@EVERY_MODE
def test_a_callback_ends_the_training(mode, problem):
    X, y = problem()
    short = make_net(mode, max_iter=4).fit(X, y)
    net = make_net(mode).set_callbacks(Told(stops_at(3))).fit(X, y)  # and no ConvergenceWarning
    assert (net.stop_reason_, net.n_iter_) == ("callback", 4)
    np.testing.assert_array_equal(vector_of(net), vector_of(short))
    assert net.gradient_norm_ == short.gradient_norm_


def test_a_stop_brings_no_warning(problem, recwarn):
    X, y = problem()
    make_net("cg").set_callbacks(Told(stops_at(3))).fit(X, y)
    assert not [each for each in recwarn if each.category is ConvergenceWarning]


def test_what_has_ended_the_training_by_itself_is_the_reason(problem):
    X, y = problem()
    net = make_net("adam-16", max_iter=4).set_callbacks(Told(stops_at(3))).fit(X, y)
    assert net.stop_reason_ == "max_iter"


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_start_is_ended_alone_and_its_end_may_let_no_other_begin(solver, n_jobs, problem):
    X, y = problem()
    net = make_net(solver, n_init=3, n_jobs=n_jobs)
    all_starts = clone(net).fit(X, y).init_losses_
    one = clone(net).set_callbacks(Told(stops_at(1, 0))).fit(X, y).init_losses_
    np.testing.assert_array_equal(one[[0, 2]], all_starts[[0, 2]])
    assert one[1] > all_starts[1]
    net.set_callbacks(Told(lambda context: len(path_of(context)) == 1)).fit(X, y)
    assert len(net.init_losses_) <= n_jobs
    np.testing.assert_array_equal(net.init_losses_, all_starts[: len(net.init_losses_)])


@EVERY_SOLVER
def test_starts_in_threads_call_hooks_one_at_a_time(mode, problem):
    X, y = problem()
    in_threads, alone = Alone(), Told()
    net = make_net(mode, n_init=4, n_jobs=2).set_callbacks(in_threads).fit(X, y)
    same = make_net(mode, n_init=4).set_callbacks(alone).fit(X, y)
    np.testing.assert_array_equal(vector_of(net), vector_of(same))
    assert sorted(in_threads.told) == sorted(alone.told)


def test_in_threads_the_configuration_is_the_callers(problem):
    from sklearn import config_context, get_config

    X, y = problem()
    seen = []

    class Looks(Told):
        def on_fit_task_end(self, estimator, context):
            seen.append(get_config()["enable_metadata_routing"])

    with config_context(enable_metadata_routing=True):
        make_net("lbfgs", n_init=4, n_jobs=2).set_callbacks(Looks()).fit(X, y)
    assert all(seen)


@pytest.mark.parametrize(("max_iter", "n_tasks"), [(100, 100), (200, 200), (201, 101), (5000, 200)])
def test_many_iterations_are_at_most_200_tasks(max_iter, n_tasks, problem):
    X, y = problem(10, 2)
    callback = Told()
    net = make_net("sgd-full", max_iter=max_iter, n_iter_no_change=10**6).set_callbacks(callback)
    net.fit(X, y)
    assert net.n_iter_ == max_iter
    assert len(callback.paths("end")) == 1 + n_tasks
    fitted = Fitted()
    net.set_params(max_iter=250).set_callbacks(callback, fitted).fit(X, y)
    assert len(fitted.paths("end")) == 251


@EVERY_SOLVER
def test_a_stretch_ends_where_the_training_does(mode, problem):
    X, y = problem()
    callback = Told()
    net = make_net(mode, max_iter=1000, gtol=0.02, alpha=1.0).set_callbacks(callback).fit(X, y)
    assert net.n_iter_ < 1000
    assert len(callback.paths("begin")) == 1 + -(-net.n_iter_ // 5)
    assert_in_order(callback.told)
    at_once = Told()
    net.set_params(loss_goal=1e9).set_callbacks(at_once).fit(X, y)
    assert net.n_iter_ == 1
    assert at_once.paths("end") == [[0], []]


@EVERY_MODE
def test_the_fitted_estimator_is_what_a_fit_that_ends_there_gives(mode, problem):
    X, y = problem()
    callback = Fitted()
    net = make_net(mode, max_iter=5).set_callbacks(callback).fit(X, y)
    after_three = make_net(mode, max_iter=3).fit(X, y)
    at_three, metadata = callback.kept[2]
    assert metadata == {}
    np.testing.assert_array_equal(at_three.predict(X), after_three.predict(X))
    assert at_three.loss_curve_ == after_three.loss_curve_
    assert at_three.loss_ == after_three.loss_
    assert at_three.n_iter_ == 3
    at_three.predict_one(X[0])
    for last, _ in callback.kept[-2:]:  # of the last iteration, and of the whole
        np.testing.assert_array_equal(last.predict(X), net.predict(X))
    at_three.coefs_[0][:] = 0  # nobody else's
    np.testing.assert_array_equal(net.predict(X), callback.kept[-1][0].predict(X))


def test_with_early_stopping_it_has_the_best_weights_so_far(problem):
    X, y = problem()
    callback = Fitted()
    net = make_net("rprop", early_stopping=True, max_iter=40).set_callbacks(callback).fit(X, y)
    scores = net.validation_scores_
    best = [int(np.argmax(scores[: i + 1])) for i in range(len(scores))]
    changes = [i for i in range(1, len(best)) if best[i] != best[i - 1]]
    for i in range(1, len(best) - 1):
        before, now = (vector_of(callback.kept[j][0]) for j in (i - 1, i))
        assert np.array_equal(before, now) == (i not in changes)


def test_the_first_task_begins_with_the_initial_weights(problem):
    X, y = problem()
    begun = []

    class Begins(Told):
        def on_fit_task_begin(self, estimator, context, *, fitted_estimator):
            begun.append(fitted_estimator)

    net = make_net("sgd-16", learning_rate_init=0.1).set_callbacks(Begins())
    net.fit(X, y)
    assert begun[0] is None  # of the whole
    initial = make_net("sgd-16", max_iter=1, learning_rate_init=1e-300).fit(X, y)
    np.testing.assert_allclose(vector_of(begun[1]), vector_of(initial), rtol=1e-12)
    assert len(begun) == 1 + net.n_iter_


def test_scores_of_a_regressor_in_its_units_and_of_a_classifier(problem):
    X, y = problem()
    weights = np.linspace(0.1, 2, len(y))
    monitor = ScoringMonitor(scoring="r2")
    net = make_net("lm", scale_target=True).set_callbacks(monitor)
    net.fit(X, 1000 * y + 5000, weights)
    data = monitor.get_logs().data
    assert len(data) == net.n_iter_ + 1
    expected = r2_score(1000 * y + 5000, net.predict(X), sample_weight=weights)
    assert data[0]["r2"] == data[-1]["r2"] == pytest.approx(expected)
    assert data[1]["r2"] < data[-1]["r2"]
    assert data[1]["task_name"] == "iteration"

    labels = np.where(y > 0, "high", "low")
    monitor = ScoringMonitor(scoring="accuracy")
    net = BackpropClassifier((5,), max_iter=20, random_state=0).set_callbacks(monitor)
    net.fit(X, labels)
    data = monitor.get_logs().data
    assert len(data) == 21
    assert data[-1]["accuracy"] == accuracy_score(labels, net.predict(X))


def test_a_start_that_diverges_is_told_without_a_fitted_estimator(problem):
    X, y = problem()
    monitor, callback = ScoringMonitor(scoring="r2"), Fitted()
    net = make_net("sgd-online", n_init=2, learning_rate_init=1e200).set_callbacks(
        monitor, callback
    )
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        net.fit(X * 1e3, y)
    assert [kept for kept, _ in callback.kept] == [None] * len(callback.kept)
    assert callback.told[-1] == ("teardown",)


def test_a_failing_fit_leaves_the_estimator_as_it_was(problem):
    X, y = problem()
    callback = Told()
    net = make_net("adam-16").fit(X, y).set_callbacks(callback)
    before = dict(net.__dict__)
    with pytest.raises(ValueError, match="NaN"):
        net.fit(X * np.nan, y)
    assert net.__dict__ == before
    assert callback.told == [("setup",), ("begin",), ("teardown",)]


@EVERY_SOLVER
@pytest.mark.parametrize("n_init", [1, 3])
def test_an_error_in_a_callback_is_raised(mode, n_init, problem):
    X, y = problem()

    class Fails(Told):
        def on_fit_task_end(self, estimator, context):
            raise ZeroDivisionError("mine")

    callback = Fails()
    net = make_net(mode, n_init=n_init, n_jobs=n_init).set_callbacks(callback)
    with pytest.raises(ZeroDivisionError, match="mine"):
        net.fit(X, y)
    assert callback.told[-1] == ("teardown",)
    with pytest.raises(NotFittedError):
        net.predict(X)


def test_what_is_no_callback_is_refused():
    with pytest.raises(TypeError, match="callbacks must be instances"):
        make_net("adam-16").set_callbacks(print)


def test_a_warm_start_makes_one_start(problem):
    X, y = problem()
    callback = Told()
    net = make_net("adam-16", n_init=3, warm_start=True, max_iter=5).fit(X, y)
    net.set_callbacks(callback).fit(X, y)
    assert callback.paths("begin") == [[], *([i] for i in range(5))]


def test_partial_fit_and_learn_one_call_none(problem):
    X, y = problem()
    callback = Told()
    net = make_net("adam-16").set_callbacks(callback).partial_fit(X, y)
    net.learn_one(X[0], y[0])
    assert callback.told == []


def test_pickle_and_clone_keep_them(problem):
    X, y = problem()
    monitor = ScoringMonitor(scoring="r2")
    net = make_net("lbfgs").set_callbacks(monitor).fit(X, y)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert len(again.fit(X, y)._skl_callbacks[0].get_logs("all")) == 2
    callback = Told()
    net.set_callbacks(callback)
    clone(net).fit(X, y)
    assert callback.told
    callback.told.clear()
    clone(net.set_callbacks()).fit(X, y)
    assert not callback.told


@pytest.mark.parametrize("n_init", [1, 3])
def test_a_progress_bar_is_drawn_to_its_end(n_init, problem, capsys):
    pytest.importorskip("rich")
    X, y = problem()
    make_net("adam-16", n_init=n_init, n_jobs=2).set_callbacks(ProgressBar()).fit(X, y)
    assert "RichProgressMonitor" not in [type(each).__name__ for each in threading.enumerate()]
    shown = capsys.readouterr().out
    assert "BackpropRegressor - fit" in shown
    assert shown.count("start #") == (0 if n_init == 1 else n_init)
    assert shown.count("100%") == (1 if n_init == 1 else 1 + n_init)


FAILING = """
import sys
import numpy as np
from sklearn.callback import ProgressBar
from fastbp import BackpropClassifier, BackpropRegressor

X = np.random.RandomState(0).standard_normal((50, 3))
kind = {"regressor": BackpropRegressor, "classifier": BackpropClassifier}[sys.argv[1]]
net = kind(hidden_layer_sizes=(3,), solver="sgd", random_state=0).set_callbacks(ProgressBar())
for wrong in ("data", "rate"):
    try:
        net.set_params(learning_rate_init=1e200 if wrong == "rate" else 0.1)
        net.fit(X * (1e10 if wrong == "rate" else np.nan), (X[:, 0] > 0).astype(int))
    except ValueError as error:
        print("said:", error)
"""


@pytest.mark.subprocess
@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_a_failing_fit_with_a_progress_bar_lets_the_process_end(kind, python):
    pytest.importorskip("rich")
    output = python(FAILING, timeout=120, arguments=(kind,))
    assert output.count("said:") == 2
