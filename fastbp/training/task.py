"""From an estimator's parameters and data to what solvers take: a job, its starts, its options."""

import copy
import hashlib
import math
from threading import Event
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.device import resolve
from fastbp.model import update_rules
from fastbp.model.network import Network
from fastbp.model.update_rules import Moments, Rule
from fastbp.solvers import BATCH_SOLVERS, STOCHASTIC_SOLVERS, History, Options, stochastic
from fastbp.solvers.descent import LEAST_PROGRESS
from fastbp.solvers.stochastic import Training
from fastbp.solvers.stopping import Clock, EarlyStopping, StopReason
from fastbp.training.validation_set import Table
from fastbp.training.warn import warn

__all__ = ["Fitted", "Job", "Start", "check_solver", "next_training"]


class Start(NamedTuple):
    """Where a training starts: parameters, and where its shuffles are drawn from."""

    parameters: NDArray[np.floating]
    random_state: np.random.RandomState


class Job(NamedTuple):
    """A fit that is to be made.

    Attributes
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
    """

    estimator: Any
    network: Network
    table: Table
    held_out: Table | None
    start: Start
    last: Training | None
    n_init: int
    one_epoch: bool

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32, what is computed in."""
        return self.start.parameters.dtype

    @property
    def is_stochastic(self) -> bool:
        """Whether the solver goes through the rows in batches."""
        return self.estimator.solver in STOCHASTIC_SOLVERS

    @property
    def device(self) -> str:
        """Where it is computed: "cpu" or "cuda"."""
        return "cpu" if self.estimator.solver == "lm" else resolve(self.estimator.device)

    @property
    def goes_side_by_side(self) -> bool:
        """Whether its starts, and other such jobs, are trained in the same launches of a GPU."""
        return self.is_stochastic and self.device == "cuda"

    @property
    def alpha(self) -> float:
        """Strength of the weight decay, 0 where it is to be found."""
        return 0.0 if isinstance(self.estimator.alpha, str) else float(self.estimator.alpha)

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        n_samples = self.table.X.shape[0]
        return (
            _batch_rows(self.estimator.batch_size, n_samples) if self.is_stochastic else n_samples
        )

    def warn_of_a_large_batch(self) -> None:
        """Say so where there are fewer rows than a batch is to have."""
        size, n_samples = self.estimator.batch_size, self.table.X.shape[0]
        if self.is_stochastic and not isinstance(size, str) and size > n_samples:
            warn(
                f"batch_size={size} is larger than the {n_samples} rows to train on and is "
                "going to be clipped. batch_size='full' means all rows."
            )

    def starts(self) -> list[Start]:
        """Give the first start, and others; its generator goes on as if it were alone."""
        if self.n_init == 1:
            return [self.start]
        seeds = copy.deepcopy(self.start.random_state).randint(2**31, size=self.n_init - 1)
        generators = [np.random.RandomState(seed) for seed in seeds]
        others = [
            Start(self.network.initial_parameters(each, self.dtype), each) for each in generators
        ]
        return [self.start, *others]

    def clock(self, interrupted: Event | None = None) -> Clock:
        """Start the time that the fit may take; an event may end it, and others with it."""
        max_time = self.estimator.max_time
        return Clock(
            math.inf if max_time is None else max_time,
            Event() if interrupted is None else interrupted,
        )

    def digest(self) -> bytes:
        """Equal for jobs that come to the same: in data, parameters, start and shuffles."""
        digest = hashlib.blake2b(digest_size=16)
        state = self.start.random_state.get_state(legacy=False)
        parameters = self.estimator.get_params(deep=False)
        parameters.pop("random_state")
        tables = [table for table in (self.table, self.held_out) if table is not None]
        for part in (
            repr((self.network, self.n_init, self.one_epoch, self.last is None, len(tables))),
            repr(sorted((name, repr(value)) for name, value in parameters.items())),
            repr(state["state"]["pos"] if "pos" in state["state"] else state["state"]),
        ):
            digest.update(part.encode())
        digest.update(np.ascontiguousarray(state["state"].get("key", ())).tobytes())
        digest.update(self.start.parameters.tobytes())
        for table in tables:
            digest.update(table.digest())
        return digest.digest()

    def stochastic_options(
        self, start: Start, rule: EarlyStopping | None, clock: Clock
    ) -> stochastic.Options:
        """Options of sgd and adam for one start."""
        estimator = self.estimator
        return stochastic.Options(
            training=next_training(estimator, start.parameters, self.last, self.one_epoch),
            n_samples=self.table.X.shape[0],
            batch_size=self.batch_size,
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
            loss_goal=self._loss_goal,
            clock=clock,
            one_epoch=self.one_epoch,
            verbose=bool(estimator.verbose),
        )

    def batch_options(self, rule: EarlyStopping | None, clock: Clock) -> Options:
        """Options of the batch solvers."""
        estimator = self.estimator
        return Options(
            max_iter=estimator.max_iter,
            max_fun=estimator.max_fun,
            gtol=estimator.tol if estimator.gtol is None else estimator.gtol,
            n_iter_no_change=estimator.n_iter_no_change,
            ftol=LEAST_PROGRESS if estimator.gtol is None else 0.0,
            loss_goal=self._loss_goal,
            clock=clock,
            early_stopping=rule,
            cg_update=estimator.cg_update,
            verbose=bool(estimator.verbose),
        )

    @property
    def _loss_goal(self) -> float:
        goal = self.estimator.loss_goal
        return -math.inf if goal is None else goal


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
    if estimator.solver == "lm" and estimator.device == "cuda":
        fitting = sorted({*STOCHASTIC_SOLVERS, *BATCH_SOLVERS} - {"lm"})
        raise ValueError(
            "solver='lm' sums its normal equations on the CPU alone, and device='cuda'. Take "
            f"device='cpu' or 'auto', or one of the solvers {fitting}."
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


def _rule(estimator: Any) -> Rule:
    rate = estimator.learning_rate_init
    if estimator.solver == "sgd":
        return update_rules.sgd(rate, estimator.momentum, estimator.nesterovs_momentum)
    return update_rules.adam(rate, estimator.beta_1, estimator.beta_2, estimator.epsilon)


def _batch_rows(batch_size: int | str, n_samples: int) -> int:
    named = {"auto": min(200, n_samples), "full": n_samples, "online": 1}
    return named[batch_size] if isinstance(batch_size, str) else min(int(batch_size), n_samples)
