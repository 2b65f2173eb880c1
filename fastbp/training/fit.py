"""A fit: trainings from one start or several, which of them is kept, and how it ended."""

import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.exceptions import ConvergenceWarning

from fastbp.backends.device import make_objective
from fastbp.diagnostics.uncertainty import Posterior, laplace
from fastbp.machine.threads import run_all
from fastbp.solvers.stopping import Clock
from fastbp.training.advice import how_to_scale, nothing_learnt, warn_before
from fastbp.training.interrupts import keep_or_raise
from fastbp.training.options import (
    batch_options,
    make_clock,
    stochastic_options,
)
from fastbp.training.side_by_side import fit_side_by_side, go_side_by_side
from fastbp.training.start_results import StartResults
from fastbp.training.task import FitResult, FitTask, Start
from fastbp.training.validation_set import make_early_stopping
from fastbp.training.warn import warn
from fastbp.version import guide

__all__ = ["conclude", "fit", "fit_starts", "override"]

_EARLY_ENDS = {
    "max_iter": "max_iter={0.max_iter} iterations were used up before convergence. Raise "
    "max_iter, scale the data, or take a larger tol (batch solvers: gtol).",
    "max_fun": "max_fun={0.max_fun} evaluations were used up before convergence. Raise max_fun.",
    "time": "max_time={0.max_time} seconds were used up before convergence. Raise max_time.",
    "line_search": "no lower loss was found along the last direction, though an entry of the "
    "gradient is {1:.1e}. {2} is {3}; the loss may have no more digits than this: a larger {2} "
    f"ends at it, and scaled data may get below. {guide('stopping')}",
    "step_size": "steps became too short to change the weights, though an entry of the gradient is "
    "{1:.1e}. {2} is {3}; the loss may have no more digits than this: a larger {2} ends at it, and "
    f"scaled data may get below. {guide('stopping')}",
    "diverged": "the loss, its gradient or the weights became NaN or infinite; the best finite "
    "weights are kept. Scale the data; for sgd and adam, take a smaller learning_rate_init.",
}


#: Who makes a fit instead, if anybody does: a search that records fits, and later replays them.
override: ContextVar[Callable[[FitTask], FitResult] | None] = ContextVar("override", default=None)


def fit(task: FitTask) -> FitResult:
    """Train a network as an estimator's parameters say, from one start or the best of several.

    Parameters
    ----------
    task : FitTask
        What is to be fitted.

    Returns
    -------
    result : FitResult
        The new parameters and the history of the best training.

    Raises
    ------
    ValueError
        If every training diverges, or the solver needs too much memory.
    """
    instead = override.get()
    if instead is not None:
        return instead(task)
    warn_before(task)
    clock = make_clock(task)
    return conclude(task, fit_starts(task, clock, effective_n_jobs(task.estimator.n_jobs)), clock)


def fit_starts(task: FitTask, clock: Clock, n_jobs: int) -> StartResults:
    """Train a task's network from each of its starts.

    Parameters
    ----------
    task : FitTask
        What is to be fitted.
    clock : Clock
        When to stop in any case.
    n_jobs : int
        Threads: for starts, or within the one.

    Returns
    -------
    results : StartResults
        What came of those that Ctrl-C, the clock and callbacks have let begin.
    """
    if go_side_by_side([task])[0]:
        return fit_side_by_side([task], [clock], n_jobs)[0]
    results, report = StartResults(task), task.report
    n_threads = n_jobs if task.n_init == 1 else 1  # for each

    def in_time() -> Iterator[Start]:
        for start in task.starts():
            if start.number > 0 and (clock.is_up or report is not None and not report.lets_begin):
                return
            yield start

    def fit_one(start: Start) -> Iterator[None]:
        result = _fit_from(task, start, clock, n_threads)
        results.add(start.number, result)
        if report is not None:
            report.end_start(start, result)
        if result.stop_reason == "interrupted":
            clock.interrupted.set()
        yield

    n_at_once = min(n_jobs, task.n_init) if task.device == "cpu" and not task.is_partitioned else 1
    try:
        run_all(fit_one, in_time(), n_at_once, clock.interrupted)
    except KeyboardInterrupt:
        clock.interrupted.set()
        if results.best is None:
            raise
    return results


def _fit_from(task: FitTask, start: Start, clock: Clock, n_threads: int) -> FitResult:
    """Train from one start."""
    solver, early_stopping = task.solver, None
    if task.validation is not None:
        early_stopping = make_early_stopping(
            task.estimator, task.network, task.validation, n_threads, task.device
        )
    objective = make_objective(task.device, task.network, task.data, task.alpha, n_threads)
    if solver.is_stochastic:
        options = stochastic_options(task, start, early_stopping, clock)
        minimised = solver.minimise(objective, start.parameters, options)
        return FitResult.of(solver, minimised, options.state, options.monitor.path)
    minimise = solver.minimise_bayesian if task.finds_alpha else solver.minimise
    batch = batch_options(task, start, early_stopping, clock)
    minimised = minimise(objective, start.parameters, batch)
    return FitResult.of(solver, minimised, path=batch.monitor.path)


def conclude(task: FitTask, results: StartResults, clock: Clock) -> FitResult:
    """Choose the best of several trainings, and say how it ended.

    Parameters
    ----------
    task : FitTask
        What was to be fitted.
    results : StartResults
        What came of its starts.
    clock : Clock
        Whether it was interrupted.

    Returns
    -------
    result : FitResult
        The best, with the final losses of all.

    Raises
    ------
    ValueError
        If all have diverged.
    KeyboardInterrupt
        If Ctrl-C came before anything was learnt, or twice.
    """
    best = results.best
    if clock.interrupted.is_set():
        keep_or_raise(results.has_learnt)
    assert best is not None
    if clock.interrupted.is_set():
        best = best._replace(stop_reason="interrupted")
    _say_how_it_ended(task, best)
    n_late = task.n_init - results.n_ended if clock.is_up else 0
    if n_late and best.stop_reason not in ("time", "interrupted"):
        warn(
            f"max_time={task.estimator.max_time} seconds were used up before {n_late} of "
            f"{task.n_init} starts had converged. Raise max_time, or take a smaller n_init.",
            ConvergenceWarning,
        )
    best = best._replace(init_losses=results.losses, all_parameters=results.all_parameters)
    return best._replace(posterior=_posterior(task, best))


def _posterior(task: FitTask, best: FitResult) -> Posterior | None:
    """Tell how far the data determine the parameters, while they are here to tell."""
    is_committee = len(best.all_parameters) > 1  # whose networks' spread tells
    can_tell = task.solver.needs_half_square and not is_committee
    if not can_tell or best.stop_reason == "interrupted":
        return None
    alpha = task.alpha if best.alpha is None else best.alpha
    data, n_threads = task.data.astype(np.dtype(float)), effective_n_jobs(task.estimator.n_jobs)
    objective: Any = make_objective("cpu", task.network, data, alpha, n_threads)
    return laplace(objective, best.parameters.astype(np.float64))


def _say_how_it_ended(task: FitTask, result: FitResult) -> None:
    """Raise if nothing was learnt; warn if it ended early."""
    estimator, reason, history = task.estimator, result.stop_reason, result.history
    if result.is_lost:
        raise ValueError(
            "Solver produced non-finite parameter weights. The input data may contain large values "
            f"and need to be preprocessed. {how_to_scale(estimator)}, or take a smaller "
            "learning_rate_init (now "
            f"{estimator.learning_rate_init}). The loss, the weights or their moments became NaN "
            f"or infinite in epoch {history.n_iter}. {guide('scaling')}"
        )
    if reason == "diverged" and not math.isfinite(history.loss):
        raise ValueError(
            "The loss or its gradient is NaN or infinite at the initial weights. "
            f"{how_to_scale(estimator)}."
        )
    told = []
    if reason in _EARLY_ENDS:
        limit = "tol" if estimator.gtol is None else "gtol"
        how = _EARLY_ENDS[reason].format(
            estimator, history.gradient_norm, limit, getattr(estimator, limit)
        )
        told.append(f"solver={estimator.solver!r} stopped early: {how}")
    told.append(nothing_learnt(task, result))
    if any(told):
        warn(" ".join(filter(None, told)), ConvergenceWarning)
