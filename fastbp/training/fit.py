"""Trainings, in threads or on a GPU: from one start or several, and which of them is kept.

What is said when a training ends early stands here too.
"""

import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from fastbp.backends.cpu.objective import Objective
from fastbp.machine.threads import run_all
from fastbp.solvers import BATCH_SOLVERS, bayesian_regularisation, stochastic
from fastbp.solvers.stopping import Clock, EarlyStopping
from fastbp.training.task import Fitted, Job
from fastbp.training.validation_set import early_stopping
from fastbp.training.warn import warn

__all__ = ["conclude", "train", "train_starts", "trainer"]

_EARLY_ENDS = {
    "max_iter": "max_iter={0.max_iter} iterations were used up before convergence. Raise "
    "max_iter, scale the data, or take a larger tol (batch solvers: gtol).",
    "max_fun": "max_fun={0.max_fun} evaluations were used up before convergence. Raise max_fun.",
    "time": "max_time={0.max_time} seconds were used up before convergence. Raise max_time.",
    "line_search": "no lower loss was found along the last direction, though an entry of the "
    "gradient is {1:.1e}, above {2}. The loss may have no more digits than this: take a larger "
    "{2}, or scale the data.",
    "step_size": "steps became too short to change the weights, though an entry of the gradient is "
    "{1:.1e}, above {2}. The loss may have no more digits than this: take a larger {2}, or scale "
    "the data.",
    "diverged": "the loss or its gradient became NaN or infinite; the last finite weights are "
    "kept. Scale the data.",
}


#: Who trains instead, where that is somebody else: a search that trains all of its fits at once.
trainer: ContextVar[Callable[[Job], Fitted] | None] = ContextVar("trainer", default=None)


def train(job: Job) -> Fitted:
    """Train a network as an estimator's parameters say, from one start or the best of several.

    Parameters
    ----------
    job : Job
        What is to be fitted.

    Returns
    -------
    fitted : Fitted
        The new parameters and the course of the best training.

    Raises
    ------
    ValueError
        If every training diverges, or the solver needs too much memory.
    """
    somebody_else = trainer.get()
    if somebody_else is not None:
        return somebody_else(job)
    job.warn_of_a_large_batch()
    clock = job.clock()
    return conclude(job, train_starts(job, clock, effective_n_jobs(job.estimator.n_jobs)), clock)


def train_starts(job: Job, clock: Clock, n_jobs: int) -> list[Fitted | None]:
    """Train a job's network from each of its starts.

    Parameters
    ----------
    job : Job
        What is to be fitted.
    clock : Clock
        When to stop in any case.
    n_jobs : int
        Threads: for starts, or within the one.

    Returns
    -------
    results : list of Fitted or None
        What came of each start; None of those that Ctrl-C has kept from being made.
    """
    if job.goes_side_by_side:
        from fastbp.training.side_by_side import train_on_device

        return list(train_on_device([job], [clock], n_jobs)[0])
    starts = job.starts()
    n_threads = n_jobs if len(starts) == 1 else 1  # for each
    data = job.table.data(job.dtype)
    results: list[Fitted | None] = [None] * len(starts)

    def train_one(i: int) -> Iterator[None]:
        rule = None
        if job.held_out is not None:
            rule = early_stopping(
                job.estimator, job.network, job.held_out, job.dtype, n_threads, job.device
            )
        objective = _objective_of(job.device)(job.network, data, job.alpha, n_threads)
        if job.is_stochastic:
            options = job.stochastic_options(starts[i], rule, clock)
            minimised = stochastic.minimise(objective, starts[i].parameters, options)
            results[i] = Fitted(*minimised, options.training)
        else:
            results[i] = _train_batch(job, objective, starts[i].parameters, rule, clock)
        if results[i].stop_reason == "interrupted":  # type: ignore[union-attr]
            clock.interrupted.set()
        yield

    n_at_once = min(n_jobs, len(starts)) if job.device == "cpu" else 1
    try:
        run_all(train_one, range(len(starts)), n_at_once, clock.interrupted)
    except KeyboardInterrupt:
        clock.interrupted.set()
        if all(result is None for result in results):
            raise
    return results


def conclude(job: Job, results: list[Fitted | None], clock: Clock) -> Fitted:
    """Choose the best of several trainings, and say how it ended.

    Parameters
    ----------
    job : Job
        What was to be fitted.
    results : list of Fitted or None
        What came of each start.
    clock : Clock
        Whether it was interrupted.

    Returns
    -------
    fitted : Fitted
        The best, with the final losses of all.

    Raises
    ------
    ValueError
        If all have diverged.
    """
    estimator = job.estimator
    losses = np.array([math.nan if result is None else result.final_loss for result in results])
    best = min((result for result in results if result is not None), key=lambda fit: fit.rank)
    if clock.interrupted.is_set():
        best = best._replace(stop_reason="interrupted")
    _say_how_it_ended(estimator, best)
    n_late = sum(result is not None and result.stop_reason == "time" for result in results)
    if n_late and best.stop_reason not in ("time", "interrupted"):
        warn(
            f"max_time={estimator.max_time} seconds were used up before {n_late} of "
            f"{len(results)} starts had converged. Raise max_time, or take a smaller n_init.",
            ConvergenceWarning,
        )
    return best._replace(init_losses=losses)


def _objective_of(device: str) -> type[Objective]:
    """Choose between the CPU's kernels and the GPU's, whose modules are imported only here."""
    if device == "cpu":
        return Objective
    from fastbp.backends.gpu.objective import DeviceObjective

    return DeviceObjective


def _train_batch(
    job: Job,
    objective: Objective,
    parameters: NDArray[np.floating],
    rule: EarlyStopping | None,
    clock: Clock,
) -> Fitted:
    options = job.batch_options(rule, clock)
    if isinstance(job.estimator.alpha, str):
        found = bayesian_regularisation.minimise(objective, parameters, options)
        bayes = found.alpha, found.effective_parameters
        return Fitted(found.parameters, found.history, found.stop_reason, None, bayes)
    minimised = BATCH_SOLVERS[job.estimator.solver](objective, parameters, options)
    return Fitted(*minimised, training=None)


def _say_how_it_ended(estimator: Any, fitted: Fitted) -> None:
    """Raise if nothing was learnt; warn if it ended early."""
    reason, history = fitted.stop_reason, fitted.history
    if reason == "diverged" and fitted.training is not None:
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
    if reason == "interrupted":
        warn("Training interrupted by user. The weights so far are kept.")
    elif reason in _EARLY_ENDS:
        limit = f"tol={estimator.tol}" if estimator.gtol is None else f"gtol={estimator.gtol}"
        warn(
            f"solver={estimator.solver!r} stopped early: "
            + _EARLY_ENDS[reason].format(estimator, history.gradient_norm, limit),
            ConvergenceWarning,
        )
