"""Ctrl-C keeps what has been learnt, and leaves an estimator that has learnt nothing as it was."""

import itertools

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from fastbp.backends.cpu.epochs import CpuRun
from fastbp.training import interrupts
from helpers.cases import STOCHASTIC_SOLVERS
from helpers.fits import (
    EVERY_BATCH_SOLVER,
    EVERY_SOLVER,
    EVERY_STOCHASTIC_MODE,
    SHORT,
    call_first,
    loss_and_gradient_at,
    make_net,
    vector_of,
    with_warnings,
)


def _interrupt_at(monkeypatch, k, name="loss_and_gradient"):
    """Raise KeyboardInterrupt at the k-th call, and say how many calls there were."""
    calls, n_calls = itertools.count(1), []

    def count():
        n = next(calls)
        n_calls.append(n)
        if n == k:
            raise KeyboardInterrupt

    call_first(monkeypatch, name, count)
    return n_calls


def _fit_interrupted(net, X, y):
    """Fit, and expect the weights so far and one warning that points at the call."""
    with pytest.warns(UserWarning, match="interrupted by user. The weights so far") as record:
        try:
            net.fit(X, y)
        except KeyboardInterrupt:  # which would end the tests
            pytest.fail("what was learnt is lost")
    assert [warning.filename for warning in record] == [__file__]
    assert net.stop_reason_ == "interrupted"
    assert np.isfinite(vector_of(net)).all()


@EVERY_BATCH_SOLVER
@pytest.mark.parametrize("n_init", [1, 4])
def test_ctrl_c_in_a_batch_solver_keeps_the_weights_so_far(mode, n_init, problem, monkeypatch):
    X, y = problem()
    at_the_start = make_net(mode, max_time=0)
    with pytest.warns(ConvergenceWarning):
        at_the_start.fit(X, y)
    n_calls = _interrupt_at(monkeypatch, 8)
    net = make_net(mode, tol=0, max_iter=1000, n_init=n_init)
    _fit_interrupted(net, X, y)
    assert len(n_calls) == 8
    assert 0 < net.n_iter_ == len(net.loss_curve_)
    assert net.loss_ < at_the_start.loss_
    assert net.loss_ == pytest.approx(loss_and_gradient_at(net, X, y)[0], rel=1e-12)
    assert net.init_losses_.tolist() == [net.loss_]


@EVERY_BATCH_SOLVER
def test_ctrl_c_in_one_of_the_threads_ends_all_starts(mode, problem, monkeypatch):
    X, y = problem()
    _interrupt_at(monkeypatch, 20)
    net = make_net(mode, tol=0, max_iter=10**6, max_fun=10**9, n_iter_no_change=np.inf)
    net.set_params(n_init=4, n_jobs=2)
    _fit_interrupted(net, X, y)
    assert net.loss_ == np.nanmin(net.init_losses_)


@EVERY_BATCH_SOLVER
def test_ctrl_c_before_anything_is_known_leaves_the_estimator_as_it_was(mode, problem, monkeypatch):
    X, y = problem()
    new = make_net(mode)
    _interrupt_at(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        new.fit(X, y)
    with pytest.raises(NotFittedError):
        new.predict(X)
    assert not hasattr(new, "n_features_in_")


@EVERY_BATCH_SOLVER
def test_ctrl_c_before_the_first_iteration_keeps_the_fitted_model(mode, problem, monkeypatch):
    """The start has been evaluated; its random weights are no result."""
    X, y = problem()
    net, _ = with_warnings(lambda: make_net(mode).fit(X, y))
    before = dict(net.__dict__)
    _interrupt_at(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y)
    assert net.__dict__ == before


@pytest.mark.parametrize(("seconds", "is_raised"), [(1.5, True), (2.5, False)])
def test_a_second_ctrl_c_soon_after_is_raised(seconds, is_raised, problem, monkeypatch):
    """So that a loop over fits can be left."""
    X, y = problem()
    clock = iter([100.0, 100.0 + seconds])
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: next(clock))
    calls = itertools.count(1)

    def interrupt():
        if next(calls) % 8 == 0:
            raise KeyboardInterrupt

    call_first(monkeypatch, "loss_and_gradient", interrupt)
    net = make_net("cg", tol=0, max_iter=1000)
    _fit_interrupted(net, X, y)
    before = dict(net.__dict__)
    if is_raised:
        with pytest.raises(KeyboardInterrupt):
            net.fit(X, y)
        assert net.__dict__ == before
    else:
        _fit_interrupted(net, X, y)


@EVERY_SOLVER
def test_ctrl_c_between_two_starts_is_not_swallowed(mode, problem, monkeypatch):
    """A start has ended, and the next is stopped where it cannot tell a result."""
    X, y = problem()
    name = "gradient" if mode in STOCHASTIC_SOLVERS else "loss_and_gradient"
    with monkeypatch.context() as patch:
        n_calls = _interrupt_at(patch, 0, name)
        with_warnings(lambda: make_net(mode).fit(X, y))
    _interrupt_at(monkeypatch, len(n_calls) + 1, name)
    net = make_net(mode, n_init=3)
    try:
        _, warned = with_warnings(lambda: net.fit(X, y))
    except KeyboardInterrupt:
        assert not hasattr(net, "coefs_")
        return
    assert net.stop_reason_ == "interrupted"
    assert UserWarning in warned
    assert np.isfinite(vector_of(net)).all()


@EVERY_STOCHASTIC_MODE
def test_ctrl_c_between_epochs_keeps_the_weights_so_far(mode, problem, monkeypatch):
    X, y = problem()
    epochs, calls = CpuRun.epochs, itertools.count(1)

    def interrupted(self, plan):
        if next(calls) > 4:
            raise KeyboardInterrupt
        return epochs(self, plan._replace(max_epochs=1))  # of so small a table, one call makes all

    monkeypatch.setattr(CpuRun, "epochs", interrupted)
    net = make_net(mode)
    _fit_interrupted(net, X, y)
    assert len(net.loss_curve_) == net.n_iter_ == 4
    assert np.isfinite(net.predict(X)).all()


@SHORT
@EVERY_STOCHASTIC_MODE
@pytest.mark.parametrize("gtol", [None, 0.0])
def test_ctrl_c_while_the_gradient_is_worked_out_loses_no_epoch(mode, gtol, problem, monkeypatch):
    X, y = problem()
    expected = make_net(mode, max_iter=3).fit(X, y)
    _interrupt_at(monkeypatch, 1 if gtol is None else 3, "gradient")
    net = make_net(mode, max_iter=3, gtol=gtol)
    _fit_interrupted(net, X, y)
    np.testing.assert_array_equal(vector_of(net), vector_of(expected))


# A fit that would take hours; Ctrl-C comes once all is compiled and it is under way.
LONG_FIT = """
import os, signal, sys, threading, time, warnings
import numpy as np
from fastbp import BackpropRegressor
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
solver, n_init, n_jobs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = np.random.RandomState(0)
X, y = rng.standard_normal((3000, 20)), rng.standard_normal(3000)
net = BackpropRegressor("squared_error", (20,), "tanh", solver=solver, random_state=0, max_iter=2)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    net.fit(X, y).predict(X)  # compiles
net.set_params(max_iter=10**9, max_fun=10**9, gtol=0.0, n_iter_no_change=np.inf)
net.set_params(n_init=n_init, n_jobs=n_jobs)
sent = []
def interrupt():
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(0.7, interrupt).start()
with warnings.catch_warnings(record=True) as record:
    warnings.simplefilter("always")
    net.fit(X, y)
waited = time.monotonic() - sent[0]
told = [str(w.message) for w in record if "interrupted by user" in str(w.message)]
print(net.stop_reason_, len(told), np.isfinite(net.predict(X)).all(), waited)
"""


@pytest.mark.subprocess
@pytest.mark.parametrize(("n_init", "n_jobs"), [(1, 1), (4, 1), (4, 2)])
@pytest.mark.parametrize("solver", ["lm", "rprop"])
def test_ctrl_c_ends_a_long_fit_of_a_batch_solver(solver, n_init, n_jobs, python):
    arguments = (solver, str(n_init), str(n_jobs))
    *output, waited = python(LONG_FIT, timeout=120, arguments=arguments).split()
    assert output == ["interrupted", "1", "True"]
    assert float(waited) < 5  # of a fit that would take hours


@pytest.mark.subprocess
@pytest.mark.parametrize("is_fitted", [False, True])
def test_ctrl_c_while_the_first_fit_compiles_is_raised(is_fitted, python, tmp_path):
    code = f"""
import os, signal
import numpy as np
from numba.core import event
from fastbp import BackpropRegressor
signal.signal(signal.SIGINT, signal.default_int_handler)
X = np.random.RandomState(0).standard_normal((50, 3))
net = BackpropRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0)
class InterruptOnce(event.Listener):
    is_sent = False
    def on_start(self, compiling):
        if not self.is_sent:
            self.is_sent = True
            os.kill(os.getpid(), signal.SIGINT)
    def on_end(self, compiling):
        pass
if {is_fitted}:
    import warnings
    warnings.simplefilter("ignore")
    net.fit(X, X[:, 0])
    net.set_params(solver="lbfgs")
before = dict(net.__dict__)
event.register("numba:compile", InterruptOnce())
try:
    net.fit(X, X[:, 0])
    print("swallowed")
except KeyboardInterrupt:
    print(net.__dict__ == before)
net.set_params(max_iter=200).fit(X, X[:, 0])
print(net.score(X, X[:, 0]) > 0.5)
"""
    output = python(code, NUMBA_CACHE_DIR=str(tmp_path), PYTHONWARNINGS="ignore")
    assert output.split() == ["True", "True"]
