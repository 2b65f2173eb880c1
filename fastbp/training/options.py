"""From an estimator's parameters to what solvers take: limits, monitor, options, batch size."""

import math
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.model.update_rules import Moments
from fastbp.solvers import descent, stochastic
from fastbp.solvers.history import History
from fastbp.solvers.monitor import Monitor
from fastbp.solvers.path import Path
from fastbp.solvers.registry import SOLVERS
from fastbp.solvers.states import StochasticState
from fastbp.solvers.stochastic import OptimiserState
from fastbp.solvers.stopping import Clock, EarlyStopping, Limits
from fastbp.training.task import FitTask, Start

__all__ = [
    "batch_options",
    "batch_rows",
    "make_clock",
    "next_state",
    "stochastic_options",
]


def make_clock(task: FitTask, interrupted: Event | None = None) -> Clock:
    """Start the time that a fit may take; an event may end it, and others with it."""
    max_time = task.estimator.max_time
    return Clock(
        math.inf if max_time is None else float(max_time),
        Event() if interrupted is None else interrupted,
    )


def stochastic_options(
    task: FitTask, start: Start, early_stopping: EarlyStopping | None, clock: Clock
) -> stochastic.Options:
    """Options of sgd and adam for one start."""
    estimator = task.estimator
    if isinstance(task.resumed, StochasticState):
        state = task.resumed.optimiser
    else:
        state = next_state(estimator, start.parameters, task.state, task.one_epoch)
    return stochastic.Options(
        state=state,
        monitor=_monitor(task, start, early_stopping, state.history),
        n_samples=task.data.n_samples,
        batch_size=batch_rows(estimator.batch_size, task.data.n_samples),
        random_state=start.random_state,
        limits=_limits(task, clock, estimator.gtol),
        shuffle=estimator.shuffle,
        learning_rate=estimator.learning_rate if task.solver.has_schedule else "constant",
        learning_rate_init=estimator.learning_rate_init,
        power_t=estimator.power_t,
        one_epoch=task.one_epoch,
    )


def batch_options(
    task: FitTask, start: Start, early_stopping: EarlyStopping | None, clock: Clock
) -> descent.Options:
    """Options of the batch solvers for one start."""
    estimator, has_gtol = task.estimator, task.estimator.gtol is not None
    return descent.Options(
        limits=_limits(task, clock, estimator.gtol if has_gtol else estimator.tol),
        monitor=_monitor(task, start, early_stopping, History()),
        max_fun=estimator.max_fun,
        ftol=0.0 if has_gtol else descent.MIN_PROGRESS,
        cg_update=estimator.cg_update,
        lm_acceleration=estimator.lm_acceleration,
    )


def _limits(task: FitTask, clock: Clock, gtol: float | None) -> Limits:
    estimator = task.estimator
    # Python's numbers: against one of NumPy's float32 a loss would be compared in float32.
    return Limits(
        max_iter=estimator.max_iter,
        gtol=None if gtol is None else float(gtol),
        loss_goal=-math.inf if estimator.loss_goal is None else float(estimator.loss_goal),
        n_iter_no_change=estimator.n_iter_no_change,
        clock=clock,
    )


def _monitor(
    task: FitTask, start: Start, early_stopping: EarlyStopping | None, history: History
) -> Monitor:
    estimator = task.estimator
    tol, is_verbose = float(estimator.tol), bool(estimator.verbose)
    callback = None if task.report is None else task.report.begin_start(task, start)
    path = Path() if estimator.record_path else None
    return Monitor(
        history,
        early_stopping,
        tol,
        is_verbose,
        task.watchers,
        callback=callback,
        path=path,
        checkpoint=task.checkpoint,
        resumed=task.resumed,
    )


def next_state(
    estimator: Any,
    parameters: NDArray[np.floating],
    last: OptimiserState | None,
    one_epoch: bool,
) -> OptimiserState:
    """Go on from nothing, from the last history (warm start), or from its moments and rate too."""
    make_rule = SOLVERS[estimator.solver].rule
    assert make_rule is not None
    rule = make_rule(estimator)
    moments, history = None, History()
    if last is not None:
        last = last.copy()
        history = last.history
        if one_epoch and last.rule.code == rule.code:
            moments = last.moments
            if last.initial_rate == rule.learning_rate:
                rule = rule._replace(learning_rate=last.rule.learning_rate)
    if estimator.early_stopping:
        history.best_loss = None
    elif history.best_loss is None:
        history.best_loss = math.inf
    if moments is None:
        moments = Moments.zeros(parameters.size, parameters.dtype)
    return OptimiserState(rule, moments, history, float(estimator.learning_rate_init))


def batch_rows(batch_size: int | str, n_samples: int) -> int:
    """Give the rows of a mini-batch: a number, or what a name stands for."""
    named = {"auto": min(200, n_samples), "full": n_samples, "online": 1}
    return named[batch_size] if isinstance(batch_size, str) else min(int(batch_size), n_samples)
