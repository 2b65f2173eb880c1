"""From an estimator's parameters to a solver and back: trainings, and which of them is kept.

How many rows make a batch, what training goes on from, which solver is called with which options;
several random starts, in threads; and what is said when a training ends early.
"""

import copy
import math
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from fastbp import update_rules
from fastbp.held_out import Table, early_stopping
from fastbp.machine.threads import run_all
from fastbp.network import Network
from fastbp.objective import Objective
from fastbp.solvers import (
    BATCH_SOLVERS,
    STOCHASTIC_SOLVERS,
    History,
    Options,
    bayesian_regularisation,
    stochastic,
)
from fastbp.solvers.descent import LEAST_PROGRESS
from fastbp.solvers.stochastic import Training
from fastbp.solvers.stopping import Clock, EarlyStopping, StopReason
from fastbp.update_rules import Moments, Rule

__all__ = ["Fitted", "Start", "check_solver", "next_training", "train"]

# How deep the user's call of fit lies above the warnings here, so that they point at it.
_USERS_CALL = 6

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


class Start(NamedTuple):
    """Where a training starts: parameters, and where its shuffles are drawn from."""

    parameters: NDArray[np.floating]
    random_state: np.random.RandomState


class Fitted(NamedTuple):
    """What a training leaves behind.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
        The new parameters.
    history : History
        The course.
    stop_reason : str
        Why it stopped.
    training : Training or None
        What the next one can go on from; None for a batch solver.
    bayes : tuple of float or None
        alpha and the effective number of parameters, where alpha was found.
    init_losses : ndarray of shape (n_init,)
        The final loss of each start.
    """

    parameters: NDArray[np.floating]
    history: History
    stop_reason: StopReason
    training: Training | None
    bayes: tuple[float, float] | None = None
    init_losses: NDArray[np.float64] = np.empty(0)

    @property
    def final_loss(self) -> float:
        """The loss of the parameters; NaN where sgd or adam diverged, or no time was left."""
        lost = self.stop_reason == "diverged" and self.training is not None
        untrained = self.stop_reason == "time" and self.history.n_iter == 0
        return math.nan if lost or untrained else self.history.loss

    @property
    def rank(self) -> tuple[float, float]:
        """What is least for the best of several starts."""
        score, loss = self.history.best_validation_score, self.final_loss
        if math.isnan(loss):
            return math.inf, math.inf
        return -score if score is not None and math.isfinite(score) else math.inf, loss


def check_solver(estimator: Any) -> None:
    """Refuse parameters that do not go together.

    Raises
    ------
    ValueError
        If the solver cannot do what another parameter asks for.
    """
    if isinstance(estimator.alpha, str) and estimator.solver != "lm":
        raise ValueError(
            f"alpha='bayes' is found by solver='lm' alone, and solver={estimator.solver!r}. Take "
            "solver='lm', or give alpha a number."
        )
    if isinstance(estimator.alpha, str) and estimator.early_stopping:
        raise ValueError(
            "alpha='bayes' finds the weight decay from all rows and needs none to validate on. Set "
            "early_stopping=False, or give alpha a number."
        )
    if estimator.solver == "lm" and estimator.loss != "squared_error":
        fitting = sorted(set(BATCH_SOLVERS) - {"lm", "gd"})
        raise ValueError(
            f"solver='lm' is for squared errors, and loss={estimator.loss!r}. Take one of the "
            f"solvers {fitting}, or loss='squared_error'."
        )


def train(
    estimator: Any,
    network: Network,
    table: Table,
    held_out: Table | None,
    start: Start,
    last: Training | None,
    n_init: int,
    one_epoch: bool,
) -> Fitted:
    """Train a network as an estimator's parameters say, from one start or the best of several.

    Parameters
    ----------
    estimator : BackpropRegressor
        Whose parameters are read; it is not changed.
    network : Network
        The network.
    table : Table
        The data.
    held_out : Table or None
        The rows to validate on.
    start : Start
        The first start; its parameters are not changed.
    last : Training or None
        The training to go on from; not changed.
    n_init : int
        How many starts; the others are drawn here.
    one_epoch : bool
        Whether this is a `partial_fit`: one epoch, with the moments of the last training.

    Returns
    -------
    fitted : Fitted
        The new parameters and the course of the best training.

    Raises
    ------
    ValueError
        If every training diverges, or the solver needs too much memory.
    """
    n_jobs = effective_n_jobs(estimator.n_jobs)
    dtype, data = start.parameters.dtype, table.data(start.parameters.dtype)
    clock = Clock(math.inf if estimator.max_time is None else estimator.max_time)
    starts = [start, *_other_starts(network, start, n_init - 1)]
    n_threads = n_jobs if n_init == 1 else 1  # for each
    batch_size = data.n_samples
    if estimator.solver in STOCHASTIC_SOLVERS:  # here, that it may warn once and not in a thread
        batch_size = _batch_rows(estimator.batch_size, data.n_samples)
    results: list[Fitted | None] = [None] * n_init

    def train_one(i: int) -> Iterator[None]:
        rule = None
        if held_out is not None:
            rule = early_stopping(estimator, network, held_out, dtype, n_threads)
        alpha = 0.0 if isinstance(estimator.alpha, str) else float(estimator.alpha)
        objective = Objective(network, data, alpha, n_threads)
        if estimator.solver in STOCHASTIC_SOLVERS:
            results[i] = _train_stochastic(
                estimator, objective, starts[i], batch_size, rule, clock, last, one_epoch
            )
        else:
            results[i] = _train_batch(estimator, objective, starts[i].parameters, rule, clock)
        if results[i].stop_reason == "interrupted":  # type: ignore[union-attr]
            clock.interrupted.set()
        yield

    try:
        run_all(train_one, range(n_init), min(n_jobs, n_init), clock.interrupted)
    except KeyboardInterrupt:
        clock.interrupted.set()
        if all(result is None for result in results):
            raise
    losses = np.array([math.nan if result is None else result.final_loss for result in results])
    best = min((result for result in results if result is not None), key=lambda fit: fit.rank)
    if clock.interrupted.is_set():
        best = best._replace(stop_reason="interrupted")
    _say_how_it_ended(estimator, best)
    n_late = sum(result is not None and result.stop_reason == "time" for result in results)
    if n_late and best.stop_reason not in ("time", "interrupted"):
        warnings.warn(
            f"max_time={estimator.max_time} seconds were used up before {n_late} of {n_init} "
            "starts had converged. Raise max_time, or take a smaller n_init.",
            ConvergenceWarning,
            stacklevel=_USERS_CALL - 1,
        )
    return best._replace(init_losses=losses)


def _other_starts(network: Network, start: Start, n: int) -> list[Start]:
    """Draw more starts, so that the first one's generator goes on as if it were alone."""
    if n == 0:
        return []
    seeds = copy.deepcopy(start.random_state).randint(2**31, size=n)
    generators = [np.random.RandomState(seed) for seed in seeds]
    dtype = start.parameters.dtype
    return [Start(network.initial_parameters(each, dtype), each) for each in generators]


def _train_stochastic(
    estimator: Any,
    objective: Objective,
    start: Start,
    batch_size: int,
    rule: EarlyStopping | None,
    clock: Clock,
    last: Training | None,
    one_epoch: bool,
) -> Fitted:
    training = next_training(estimator, start.parameters, last, one_epoch)
    options = stochastic.Options(
        training=training,
        n_samples=objective.data.n_samples,
        batch_size=batch_size,
        random_state=start.random_state,
        shuffle=estimator.shuffle,
        learning_rate=estimator.learning_rate if estimator.solver == "sgd" else "constant",
        learning_rate_init=estimator.learning_rate_init,
        power_t=estimator.power_t,
        max_iter=estimator.max_iter,
        tol=estimator.tol,
        n_iter_no_change=estimator.n_iter_no_change,
        early_stopping=rule,
        gtol=estimator.gtol,
        loss_goal=_loss_goal(estimator),
        clock=clock,
        one_epoch=one_epoch,
        verbose=bool(estimator.verbose),
    )
    return Fitted(*stochastic.minimise(objective, start.parameters, options), training)


def _train_batch(
    estimator: Any,
    objective: Objective,
    parameters: NDArray[np.floating],
    rule: EarlyStopping | None,
    clock: Clock,
) -> Fitted:
    options = Options(
        max_iter=estimator.max_iter,
        max_fun=estimator.max_fun,
        gtol=estimator.tol if estimator.gtol is None else estimator.gtol,
        n_iter_no_change=estimator.n_iter_no_change,
        ftol=LEAST_PROGRESS if estimator.gtol is None else 0.0,
        loss_goal=_loss_goal(estimator),
        clock=clock,
        early_stopping=rule,
        cg_update=estimator.cg_update,
        verbose=bool(estimator.verbose),
    )
    if isinstance(estimator.alpha, str):
        found = bayesian_regularisation.minimise(objective, parameters, options)
        bayes = found.alpha, found.effective_parameters
        return Fitted(found.parameters, found.history, found.stop_reason, None, bayes)
    minimised = BATCH_SOLVERS[estimator.solver](objective, parameters, options)
    return Fitted(*minimised, training=None)


def _loss_goal(estimator: Any) -> float:
    return -math.inf if estimator.loss_goal is None else estimator.loss_goal


def _batch_rows(batch_size: int | str, n_samples: int) -> int:
    named = {"auto": min(200, n_samples), "full": n_samples, "online": 1}
    if isinstance(batch_size, str):
        return named[batch_size]
    if batch_size > n_samples:
        warnings.warn(
            f"batch_size={batch_size} is larger than the {n_samples} rows to train on and is "
            "going to be clipped. batch_size='full' means all rows.",
            stacklevel=_USERS_CALL,
        )
    return min(int(batch_size), n_samples)


def _rule(estimator: Any) -> Rule:
    rate = estimator.learning_rate_init
    if estimator.solver == "sgd":
        return update_rules.sgd(rate, estimator.momentum, estimator.nesterovs_momentum)
    return update_rules.adam(rate, estimator.beta_1, estimator.beta_2, estimator.epsilon)


def next_training(
    estimator: Any,
    parameters: NDArray[np.floating],
    last: Training | None,
    one_epoch: bool,
) -> Training:
    """Go on from nothing, from the last history (warm start), or from its moments and rate too."""
    rule = _rule(estimator)
    moments = Moments.zeros(parameters.size, parameters.dtype)
    history = History()
    if last is not None:
        last = last.copy()
        history = last.history
        if one_epoch and last.rule.kind == rule.kind:
            moments = last.moments
            if last.initial_rate == rule.learning_rate:
                rule = rule._replace(learning_rate=last.rule.learning_rate)
    if estimator.early_stopping:
        history.best_loss = None
    elif history.best_loss is None:
        history.best_loss = math.inf
    return Training(rule, moments, history, float(estimator.learning_rate_init))


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
        warnings.warn(
            "Training interrupted by user. The weights so far are kept.", stacklevel=_USERS_CALL
        )
    elif reason in _EARLY_ENDS:
        limit = f"tol={estimator.tol}" if estimator.gtol is None else f"gtol={estimator.gtol}"
        warnings.warn(
            f"solver={estimator.solver!r} stopped early: "
            + _EARLY_ENDS[reason].format(estimator, history.gradient_norm, limit),
            ConvergenceWarning,
            stacklevel=_USERS_CALL,
        )
