"""A fit: trainings from one start or several, which of them is kept, and how it ended."""

import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import numpy as np
from joblib import effective_n_jobs
from sklearn.exceptions import ConvergenceWarning

from fastbp.backends.device import make_objective
from fastbp.machine.threads import run_all
from fastbp.solvers.stopping import Clock
from fastbp.training.interrupts import keep_or_raise
from fastbp.training.options import (
    batch_options,
    make_clock,
    stochastic_options,
    warn_of_a_large_batch,
)
from fastbp.training.task import FitResult, FitTask, Start
from fastbp.training.validation_set import make_early_stopping
from fastbp.training.warn import warn

__all__ = ["conclude", "fit", "fit_starts", "override"]

_EARLY_ENDS = {
    "max_iter": "max_iter={0.max_iter} iterations were used up before convergence. Raise "
    "max_iter, scale the data, or take a larger tol (batch solvers: gtol).",
    "max_fun": "max_fun={0.max_fun} evaluations were used up before convergence. Raise max_fun.",
    "time": "max_time={0.max_time} seconds were used up before convergence. Raise max_time.",
    "line_search": "no lower loss was found along the last direction, though an entry of the "
    "gradient is {1:.1e}. {2} is {3}; the loss may have no more digits than this: a larger {2} "
    "ends at it, and scaled data may get below.",
    "step_size": "steps became too short to change the weights, though an entry of the gradient is "
    "{1:.1e}. {2} is {3}; the loss may have no more digits than this: a larger {2} ends at it, and "
    "scaled data may get below.",
    "diverged": "the loss or its gradient became NaN or infinite; the last finite weights are "
    "kept. Scale the data.",
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
    warn_of_a_large_batch(task)
    clock = make_clock(task)
    return conclude(task, fit_starts(task, clock, effective_n_jobs(task.estimator.n_jobs)), clock)


def fit_starts(task: FitTask, clock: Clock, n_jobs: int) -> list[FitResult | None]:
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
    results : list of FitResult or None
        What came of each start; None of those that Ctrl-C has kept from being made.
    """
    if task.goes_side_by_side:
        from fastbp.training.side_by_side import fit_on_device

        return list(fit_on_device([task], [clock], n_jobs)[0])
    starts = task.starts()
    n_threads = n_jobs if len(starts) == 1 else 1  # for each
    results: list[FitResult | None] = [None] * len(starts)

    def fit_one(i: int) -> Iterator[None]:
        result = results[i] = _fit_from(task, starts[i], clock, n_threads)
        if result.stop_reason == "interrupted":
            clock.interrupted.set()
        yield

    n_at_once = min(n_jobs, len(starts)) if task.device == "cpu" else 1
    try:
        run_all(fit_one, range(len(starts)), n_at_once, clock.interrupted)
    except KeyboardInterrupt:
        clock.interrupted.set()
        if all(result is None for result in results):
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
        return FitResult.of(solver, minimised, options.state)
    minimise = solver.minimise_bayesian if task.finds_alpha else solver.minimise
    minimised = minimise(objective, start.parameters, batch_options(task, early_stopping, clock))
    return FitResult.of(solver, minimised)


def conclude(task: FitTask, results: list[FitResult | None], clock: Clock) -> FitResult:
    """Choose the best of several trainings, and say how it ended.

    Parameters
    ----------
    task : FitTask
        What was to be fitted.
    results : list of FitResult or None
        What came of each start.
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
    losses = np.array([math.nan if result is None else result.final_loss for result in results])
    made = [result for result in results if result is not None]
    if clock.interrupted.is_set():
        made = [
            result
            for result in made
            if result.history.n_iter > 0
            # Its first epoch, which may take an hour, has begun.
            or (len(results) == 1 and (result.parameters != task.start.parameters).any())
        ]
        keep_or_raise(has_learnt=len(made) > 0)
        made = [result._replace(stop_reason="interrupted") for result in made]
    best = min(made, key=lambda each: each.rank)
    _say_how_it_ended(task, best)
    n_late = sum(result is not None and result.stop_reason == "time" for result in results)
    if n_late and best.stop_reason not in ("time", "interrupted"):
        warn(
            f"max_time={task.estimator.max_time} seconds were used up before {n_late} of "
            f"{len(results)} starts had converged. Raise max_time, or take a smaller n_init.",
            ConvergenceWarning,
        )
    return best._replace(init_losses=losses)


def _say_how_it_ended(task: FitTask, result: FitResult) -> None:
    """Raise if nothing was learnt; warn if it ended early."""
    estimator, reason, history = task.estimator, result.stop_reason, result.history
    if result.is_lost:
        raise ValueError(
            "Training diverged: the loss, the weights or their moments became NaN or infinite in "
            "epoch "
            f"{history.n_iter}. Take a smaller learning_rate_init (now "
            f"{estimator.learning_rate_init}) and scale X and y (StandardScaler, "
            "TransformedTargetRegressor)."
        )
    if reason == "diverged" and not math.isfinite(history.loss):
        raise ValueError(
            "The loss or its gradient is NaN or infinite at the initial weights. Scale X and y "
            "(StandardScaler, TransformedTargetRegressor)."
        )
    if reason in _EARLY_ENDS:
        limit = "tol" if estimator.gtol is None else "gtol"
        warn(
            f"solver={estimator.solver!r} stopped early: "
            + _EARLY_ENDS[reason].format(
                estimator, history.gradient_norm, limit, getattr(estimator, limit)
            ),
            ConvergenceWarning,
        )
