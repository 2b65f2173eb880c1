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
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fastbp.model.objective import NO_PATIENCE, EpochPlan, Epochs, OrderedRun, Patience, Run
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments, Rule
from fastbp.solvers.descent import Minimised
from fastbp.solvers.history import History
from fastbp.solvers.monitor import Monitor
from fastbp.solvers.states import StochasticState
from fastbp.solvers.stopping import Limits, Stop, StopReason

__all__ = ["OptimiserState", "Options", "invscaled_rate", "minimise", "plan_epochs"]

_MIN_ADAPTIVE_RATE = 1e-6


@dataclass
class OptimiserState:
    """What training carries from one call to the next.

    Attributes
    ----------
    rule : Rule
        The update rule with its learning rate as the schedule has left it.
    moments : Moments
        What the rule remembers.
    history : History
        The history so far.
    initial_rate : float
        The learning rate that the schedule started from.
    """

    rule: Rule
    moments: Moments
    history: History
    initial_rate: float

    def copy(self) -> "OptimiserState":
        """Copy, with arrays and lists of its own."""
        return replace(self, moments=self.moments.copy(), history=self.history.copy())


@dataclass(frozen=True)
class Options:
    """Options of the stochastic solvers; the names are the estimator's.

    Attributes
    ----------
    state : OptimiserState
        Where to go on from; it is changed.
    monitor : Monitor
        What happens at the end of an epoch; its history is the state's. With early stopping, the
        validation score decides and not the loss, and the parameters with the best score are
        returned, not the last.
    n_samples : int
        Rows to train on.
    batch_size : int
        Rows of a mini-batch.
    random_state : RandomState
        Where the shuffles come from, one an epoch.
    limits : Limits
        How far it may go. With ``gtol`` the gradient over all rows is worked out after each epoch,
        which costs as much as an epoch; without, once, after the last.
    shuffle : bool
        Whether rows are visited in another order every epoch.
    learning_rate : {"constant", "invscaling", "adaptive"}
        The schedule.
    learning_rate_init, power_t : float
        ``invscaling`` sets the rate to learning_rate_init / (rows seen + 1)^power_t.
    one_epoch : bool
        Whether to stop after one epoch.
    """

    state: OptimiserState
    monitor: Monitor
    n_samples: int
    batch_size: int
    random_state: np.random.RandomState
    limits: Limits = field(default_factory=lambda: Limits(gtol=None))
    shuffle: bool = True
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    one_epoch: bool = False

    @property
    def resumed(self) -> StochasticState | None:
        """A training that a checkpoint has kept, and which this one goes on with."""
        return cast(StochasticState | None, self.monitor.resumed)


def minimise(objective: Epochs, parameters: NDArray[np.floating], options: Options) -> Minimised:
    """Train for some epochs.

    Parameters
    ----------
    objective : Epochs
        What is minimised.
    parameters : ndarray of shape (n_parameters,)
        The start; not changed.
    options : Options
        The options; its ``state`` is changed.

    Returns
    -------
    result : Minimised
        The last parameters, or the best by validation score; after "diverged" they are not finite.
    """
    random_state = options.random_state if options.shuffle else None
    is_for_one = options.one_epoch or options.limits.max_iter == 1
    with Shuffles(random_state, is_for_one) as shuffles:
        state = options.state
        run = objective.run(parameters, options.batch_size, state.rule, state.moments, shuffles)
        if options.resumed is not None:
            cast(OrderedRun, run).rows[:] = options.resumed.rows
        best = _first_best(run, options)
        plans = plan_epochs(run, options, best)
        try:
            plan = next(plans)
            while True:
                try:
                    _keep(run, shuffles, best, options)
                    losses = run.epochs(plan)
                except KeyboardInterrupt as interrupt:
                    plans.throw(interrupt)
                plan = plans.send(losses)
        except StopIteration as end:
            return end.value


def _first_best(run: Run, options: Options) -> NDArray[np.floating] | None:
    """Give the array for the parameters of the best validation score, if one decides."""
    if options.monitor.early_stopping is None:
        return None
    resumed = options.resumed
    return (run.parameters if resumed is None or resumed.best is None else resumed.best).copy()


def _keep(
    run: Run, shuffles: Shuffles, best: NDArray[np.floating] | None, options: Options
) -> None:
    """Write the checkpoint, where there is one and it is time to."""
    checkpoint = options.monitor.checkpoint
    if checkpoint is not None and checkpoint.is_due:
        shuffles.give_back()
        rows, state = cast(OrderedRun, run).rows, replace(options.state, moments=run.moments)
        checkpoint.write(StochasticState(run.parameters, best, rows, state, options.random_state))


def plan_epochs(
    run: Run, options: Options, best: NDArray[np.floating] | None = None
) -> Generator[EpochPlan, NDArray[np.float64], Minimised]:
    """Train, but leave the epochs to the caller: yields plans, and is sent each epoch's loss.

    So hundreds of trainings, each with its own schedule and end, can go side by side.

    Parameters
    ----------
    run : Run
        The run whose epochs the caller makes; it is only looked at.
    options : Options
        The options; its ``state`` is changed.
    best : ndarray of shape (n_parameters,) or None, default=None
        Where the parameters of the best validation score are kept, if one decides; None makes it.

    Yields
    ------
    plan : EpochPlan
        The epochs to make next: one at least, and as many as the caller likes.

    Returns
    -------
    result : Minimised
        As of `minimise`. KeyboardInterrupt thrown in ends the training in good order.
    """
    state, monitor, limits = options.state, options.monitor, options.limits
    history = monitor.history
    monitor.begin()
    monitor.record_point(run)
    if best is None:
        best = _first_best(run, options)
    stop_reason: StopReason | None = None
    try:
        while stop_reason is None:
            if history.n_iter > 0:
                limits.clock.check()
            losses = yield EpochPlan(state.rule, _patience(options), _epochs_alike(options))
            stop_reason = _end_epochs(run, losses, best, options)
        if stop_reason != "diverged" and not options.one_epoch:
            _record_last_gradient(run, best, options)
    except Stop as stop:
        stop_reason = stop.reason
    except KeyboardInterrupt:
        stop_reason = "interrupted"
        monitor.record_point(run)  # in the middle of an epoch
    state.moments = run.moments
    return Minimised(run.parameters if best is None else best, history, stop_reason)


def _end_epochs(
    run: Run, losses: NDArray[np.float64], best: NDArray[np.floating] | None, options: Options
) -> StopReason | None:
    """End epochs, after the last of which training may have to stop; None is to go on."""
    monitor, history, limits = options.monitor, options.monitor.history, options.limits
    history.n_fun += len(losses)
    history.n_samples_seen += options.n_samples * len(losses)
    if not (math.isfinite(losses[-1]) and run.is_finite):
        monitor.end_iterations(losses[:-1].tolist())
        history.n_iter += 1
        return "diverged"
    monitor.end_iterations(losses.tolist())
    monitor.record_point(run)
    if best is not None:
        parameters = run.parameters
        if monitor.record_score(parameters):
            best[:] = parameters
    _scale_rate(options)
    reason = _reason_to_stop(run, options)
    if reason is not None:
        return reason
    if history.n_iter >= limits.max_iter:
        return "max_iter"

    def so_far() -> tuple[NDArray[np.floating], History]:
        return run.parameters if best is None else best, history.copy()

    return "callback" if monitor.callback_says_stop(so_far) else None


def _reason_to_stop(run: Run, options: Options) -> StopReason | None:
    monitor, history, limits = options.monitor, options.monitor.history, options.limits
    early_stopping = monitor.early_stopping
    if history.loss <= limits.loss_goal:
        return "goal"
    if limits.gtol is not None:
        norm = history.gradient_norm_curve[-1] = _gradient_norm(run, run.parameters, options)
        if norm <= limits.gtol:
            return "gradient_norm"
    if early_stopping is not None and not early_stopping.waits_for_improvement:
        if monitor.says_stop():
            return "validation"
    elif history.n_no_improvement > limits.n_iter_no_change:
        reason = _stop_or_slow_down(options)
        if reason is not None:
            return reason
    return "one_epoch" if options.one_epoch else None


def _record_last_gradient(run: Run, best: NDArray[np.floating] | None, options: Options) -> None:
    """Work out the gradient norm where training ends, if the last epoch has not done so."""
    if best is not None:
        _gradient_norm(run, best, options)
    elif options.limits.gtol is None:
        curve = options.monitor.history.gradient_norm_curve
        curve[-1] = _gradient_norm(run, run.parameters, options)


def _gradient_norm(run: Run, parameters: NDArray[np.floating], options: Options) -> float:
    history = options.monitor.history
    history.n_fun += 1
    with np.errstate(all="ignore"):  # of a training that is about to diverge
        history.gradient_norm = float(np.abs(run.gradient(parameters)).max())
    return history.gradient_norm


def _epochs_alike(options: Options) -> int:
    """How many epochs may follow each other without anything being done in between."""
    limits, monitor = options.limits, options.monitor
    looks_at_each = (
        monitor.early_stopping is not None
        or limits.gtol is not None
        or limits.loss_goal > -math.inf
        or limits.clock.max_time < math.inf
        or options.learning_rate == "invscaling"
        or options.one_epoch
        or monitor.path is not None
    )
    most = 1 if looks_at_each else limits.max_iter - monitor.history.n_iter
    return monitor.iterations_in_a_row(most)


def _patience(options: Options) -> Patience:
    history = options.monitor.history
    if history.best_loss is None:  # a validation score decides
        return NO_PATIENCE
    return Patience(
        history.best_loss,
        history.n_no_improvement,
        options.monitor.tol,
        options.limits.n_iter_no_change,
    )


def invscaled_rate(learning_rate_init: float, n_samples_seen: int, power_t: float) -> float:
    """Learning rate of the schedule "invscaling" after so many rows."""
    try:
        return float(learning_rate_init) / (n_samples_seen + 1) ** float(power_t)
    except OverflowError:  # of the divisor
        return 0.0


def _scale_rate(options: Options) -> None:
    """``invscaling``: the rate falls with the rows seen, once an epoch."""
    if options.learning_rate == "invscaling":
        rows_seen = options.monitor.history.n_samples_seen
        rate = invscaled_rate(options.learning_rate_init, rows_seen, options.power_t)
        options.state.rule = options.state.rule._replace(learning_rate=rate)


def _stop_or_slow_down(options: Options) -> StopReason | None:
    """No improvement for long: the reason to stop, or None where a fifth of the rate may do."""
    state, monitor = options.state, options.monitor
    validates = monitor.early_stopping is not None
    message = (
        f"{'Validation score' if validates else 'Training loss'} did not improve more than "
        f"tol={monitor.tol:f} for {options.limits.n_iter_no_change} consecutive epochs."
    )
    if options.learning_rate != "adaptive":
        monitor.say(f"{message} Stopping.")
        return "validation" if validates else "tolerance"
    if state.rule.learning_rate <= _MIN_ADAPTIVE_RATE:
        monitor.say(f"{message} Learning rate too small. Stopping.")
        return "learning_rate"
    rate = state.rule.learning_rate / 5.0
    state.rule = state.rule._replace(learning_rate=rate)
    monitor.history.n_no_improvement = 0
    monitor.say(f"{message} Setting learning rate to {rate:f}")
    return None
