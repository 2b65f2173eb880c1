"""Stochastic gradient descent and Adam: online, in mini-batches, or full batch.

The loop over epochs, with the shuffles, learning-rate schedules and stopping rules of
scikit-learn's MLPRegressor, in its order of events; an epoch itself is compiled.

References
----------
Robbins & Monro, "A stochastic approximation method", Ann. Math. Stat. 22 (1951).
Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.
Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015, arXiv:1412.6980.
"""

import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.objective import Objective
from fastbp.model.objective import NO_PATIENCE, Leg, Patience, Walk
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments, Rule
from fastbp.solvers.history import History
from fastbp.solvers.stopping import Clock, EarlyStopping, Stop, StopReason, note_loss

__all__ = ["Options", "Training", "invscaled_rate", "legs", "minimise"]

_LEAST_ADAPTIVE_RATE = 1e-6


@dataclass
class Training:
    """What training carries from one call to the next.

    Attributes
    ----------
    rule : Rule
        The update rule with its learning rate as the schedule has left it.
    moments : Moments
        What the rule remembers.
    history : History
        The course so far.
    initial_rate : float
        The learning rate that the schedule started from.
    """

    rule: Rule
    moments: Moments
    history: History
    initial_rate: float

    def copy(self) -> "Training":
        """Copy, with arrays and lists of its own."""
        return replace(self, moments=self.moments.copy(), history=self.history.copy())


@dataclass(frozen=True)
class Options:
    """Options of the stochastic solvers; the names are the estimator's.

    Attributes
    ----------
    training : Training
        Where to go on from; it is changed.
    n_samples : int
        Rows to train on.
    batch_size : int
        Rows of a mini-batch.
    random_state : RandomState
        Where the shuffles come from, one an epoch.
    shuffle : bool
        Whether rows are visited in another order every epoch.
    learning_rate : {"constant", "invscaling", "adaptive"}
        The schedule.
    learning_rate_init, power_t : float
        ``invscaling`` sets the rate to learning_rate_init / (rows seen + 1)^power_t.
    max_iter : int
        Epochs at most.
    tol : float
        What counts as an improvement of the loss or the validation score.
    n_iter_no_change : int or inf
        More epochs than this without improvement end the training.
    early_stopping : EarlyStopping, default=None
        Then this decides, not the loss, and the parameters with the best validation score are
        returned, not the last.
    gtol : float, default=None
        Work out the gradient over all rows after each epoch, which costs as much as an epoch, and
        stop when no entry is larger. None works it out once, after the last.
    loss_goal : float, default=-inf
        Stop when an epoch's loss is not higher.
    clock : Clock
        When to stop in any case.
    one_epoch : bool, default=False
        Whether to return after one epoch.
    verbose : bool, default=False
        Whether to print a line an epoch.
    """

    training: Training
    n_samples: int
    batch_size: int
    random_state: np.random.RandomState
    shuffle: bool
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    tol: float
    n_iter_no_change: float
    early_stopping: EarlyStopping | None = None
    gtol: float | None = None
    loss_goal: float = -math.inf
    clock: Clock = field(default_factory=Clock)
    one_epoch: bool = False
    verbose: bool = False


def minimise(
    objective: Objective, parameters: NDArray[np.floating], options: Options
) -> tuple[NDArray[np.floating], History, StopReason]:
    """Train for some epochs.

    Parameters
    ----------
    objective : Objective
        What is minimised; its ``walk`` is gone.
    parameters : ndarray of shape (n_parameters,)
        The start; not changed.
    options : Options
        The options; its ``training`` is changed.

    Returns
    -------
    parameters : ndarray of shape (n_parameters,)
        The last parameters, or the best by validation score. After "diverged" they are not
        finite.
    history : History
        The course.
    stop_reason : str
        Why it stopped.
    """
    with Shuffles(options.random_state if options.shuffle else None) as shuffles:
        training = options.training
        walk = objective.walk(
            parameters, options.batch_size, training.rule, training.moments, shuffles
        )
        training_legs = legs(walk, options)
        try:
            leg = next(training_legs)
            while True:
                try:
                    losses = walk.epochs(leg)
                except KeyboardInterrupt as interrupt:
                    training_legs.throw(interrupt)
                leg = training_legs.send(losses)
        except StopIteration as end:
            return end.value


def legs(
    walk: Walk, options: Options
) -> Generator[Leg, NDArray[np.float64], tuple[NDArray[np.floating], History, StopReason]]:
    """Train, leaving it to the caller to go: yields legs and is sent the losses of their epochs.

    So hundreds of trainings, each with its own schedule and end, can go side by side.

    Parameters
    ----------
    walk : Walk
        What the caller goes on; it is looked at.
    options : Options
        The options; its ``training`` is changed.

    Yields
    ------
    leg : Leg
        The epochs to make next: one at least, and as many as the caller likes.

    Returns
    -------
    parameters, history, stop_reason
        As of `minimise`. KeyboardInterrupt thrown in ends the training in good order.
    """
    training = options.training
    history = training.history
    history.n_iter = history.n_fun = 0
    history.gradient_norm = math.nan
    best = walk.parameters.copy() if options.early_stopping is not None else None
    before = history.time_curve[-1] if history.time_curve else 0.0
    since = time.perf_counter() - before
    stop_reason: StopReason = "max_iter"
    try:
        while history.n_iter < options.max_iter and stop_reason == "max_iter":
            losses = yield Leg(training.rule, _patience(options), _epochs_alike(options))
            now = time.perf_counter() - since
            # Epochs of one call take the same time.
            history.time_curve += np.linspace(before, now, len(losses) + 1)[1:].tolist()
            before = now
            stop_reason = _take_down(walk, losses, best, options)
            if stop_reason == "max_iter" and history.n_iter < options.max_iter:
                options.clock.check()
        if stop_reason != "diverged" and not options.one_epoch:
            _note_last_gradient(walk, best, options)
    except Stop as stop:
        stop_reason = stop.reason
    except KeyboardInterrupt:
        stop_reason = "interrupted"
    training.moments = walk.moments
    return (walk.parameters if best is None else best), history, stop_reason


def _note_last_gradient(walk: Walk, best: NDArray[np.floating] | None, options: Options) -> None:
    """Work out the gradient norm where training ends, if the last epoch has not done so."""
    if best is not None:
        _gradient_norm(walk, best, options)
    elif options.gtol is None:
        curve = options.training.history.gradient_norm_curve
        curve[-1] = _gradient_norm(walk, walk.parameters, options)


def _gradient_norm(walk: Walk, parameters: NDArray[np.floating], options: Options) -> float:
    history = options.training.history
    history.n_fun += 1
    history.gradient_norm = float(np.abs(walk.gradient(parameters)).max())
    return history.gradient_norm


def _epochs_alike(options: Options) -> int:
    """How many epochs may follow each other without anything being done in between."""
    looks_at_each = (
        options.early_stopping is not None
        or options.gtol is not None
        or options.loss_goal > -math.inf
        or options.clock.max_time < math.inf
        or options.learning_rate == "invscaling"
        or options.one_epoch
    )
    return 1 if looks_at_each else options.max_iter - options.training.history.n_iter


def _patience(options: Options) -> Patience:
    history = options.training.history
    if history.best_loss is None:  # a validation score decides
        return NO_PATIENCE
    return Patience(
        history.best_loss, history.n_no_improvement, options.tol, options.n_iter_no_change
    )


def _take_down(
    walk: Walk,
    losses: NDArray[np.float64],
    best: NDArray[np.floating] | None,
    options: Options,
) -> StopReason:
    """Take epochs down, after the last of which training may have to stop; "max_iter" is go on."""
    history, early_stopping = options.training.history, options.early_stopping
    diverged = not (math.isfinite(losses[-1]) and walk.is_finite)
    for i, loss in enumerate(losses.tolist(), start=1):
        history.n_iter += 1
        history.n_fun += 1
        history.n_samples_seen += options.n_samples
        history.gradient_norm_curve.append(math.nan)
        if diverged and i == len(losses):
            return "diverged"
        note_loss(history, loss, options.tol)
        _say(options, f"Iteration {history.n_iter}, loss = {loss:.8f}")
    if early_stopping is not None and best is not None:
        parameters = walk.parameters
        if early_stopping.note(history, parameters):
            best[:] = parameters
        _say(options, f"Validation score: {(history.validation_scores or [])[-1]:f}")
    _scale_rate(options)
    return _reason_to_stop(walk, options)


def _reason_to_stop(walk: Walk, options: Options) -> StopReason:
    history, early_stopping = options.training.history, options.early_stopping
    if history.loss <= options.loss_goal:
        return "goal"
    if options.gtol is not None:
        norm = history.gradient_norm_curve[-1] = _gradient_norm(walk, walk.parameters, options)
        if norm <= options.gtol:
            return "gradient_norm"
    if early_stopping is not None and early_stopping.rule != "no_improvement":
        if early_stopping.says_stop(history):
            return "validation"
    elif history.n_no_improvement > options.n_iter_no_change:
        reason = _stop_or_slow_down(options)
        if reason is not None:
            return reason
    return "one_epoch" if options.one_epoch else "max_iter"


def invscaled_rate(learning_rate_init: float, n_samples_seen: int, power_t: float) -> float:
    """Learning rate of the schedule "invscaling" after so many rows."""
    return learning_rate_init / (n_samples_seen + 1) ** power_t


def _scale_rate(options: Options) -> None:
    """``invscaling``: the rate falls with the rows seen, once an epoch."""
    if options.learning_rate == "invscaling":
        rows_seen = options.training.history.n_samples_seen
        rate = invscaled_rate(options.learning_rate_init, rows_seen, options.power_t)
        options.training.rule = options.training.rule._replace(learning_rate=rate)


def _stop_or_slow_down(options: Options) -> StopReason | None:
    """No improvement for long: the reason to stop, or None where a fifth of the rate may do."""
    training = options.training
    validates = options.early_stopping is not None
    message = (
        f"{'Validation score' if validates else 'Training loss'} did not improve more than "
        f"tol={options.tol:f} for {options.n_iter_no_change} consecutive epochs."
    )
    if options.learning_rate != "adaptive":
        _say(options, f"{message} Stopping.")
        return "validation" if validates else "tolerance"
    if training.rule.learning_rate <= _LEAST_ADAPTIVE_RATE:
        _say(options, f"{message} Learning rate too small. Stopping.")
        return "learning_rate"
    rate = training.rule.learning_rate / 5.0
    training.rule = training.rule._replace(learning_rate=rate)
    training.history.n_no_improvement = 0
    _say(options, f"{message} Setting learning rate to {rate:f}")
    return None


def _say(options: Options, line: str) -> None:
    if options.verbose:
        print(line)
