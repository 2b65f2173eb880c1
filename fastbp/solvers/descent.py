"""What all batch solvers share: points, the counting of evaluations, and the rules that end it.

A batch solver is a state, a dataclass of arrays and numbers, and a function ``iterate(descent,
state)``: it chooses trial parameters, lets `Descent.evaluate` work out loss and gradient, hands the
point it settles for to `Descent.accept`, which ends the iteration, and makes the state that of the
next. Both raise `Stop` where a limit or a rule says so; `descend` catches it. So a solver's file
holds its algorithm and nothing else.

The numbers of a solver are float64; parameters are rounded to the data's dtype before they are
evaluated, so that every point is one that can be returned.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from fastbp.machine.blas import one_blas_thread
from fastbp.model.objective import LossAndGradient
from fastbp.solvers.history import History
from fastbp.solvers.monitor import Monitor
from fastbp.solvers.states import DescentState, Point
from fastbp.solvers.stopping import Limits, Stop, StopReason

__all__ = [
    "MIN_PROGRESS",
    "Descent",
    "Minimised",
    "Options",
    "descend",
    "iterations",
]

#: An iteration that changes the loss by no larger part of it has made no progress. It is the
#: tolerance that SciPy's L-BFGS-B has for one iteration.
MIN_PROGRESS = 1e7 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Options:
    """Options of the batch solvers; the names are the estimator's.

    Attributes
    ----------
    limits : Limits
        How far it may go.
    monitor : Monitor
        What happens at the end of an iteration. With early stopping, the parameters with the best
        validation score are returned, and its criterion may stop.
    max_fun : int
        Evaluations of the loss at most.
    ftol : float
        L-BFGS also stops when one iteration lowers the loss by no larger part of it (of 1, where
        the loss is smaller). MLPRegressor has 2.2e-9.
    cg_update : {"polak-ribiere", "fletcher-reeves", "hestenes-stiefel"}
        The formula of solver "cg".
    lm_acceleration : bool
        Whether the steps of solver "lm" are bent by their geodesic acceleration.

    Examples
    --------
    >>> from fastbp.solvers import Options
    >>> from fastbp.solvers.stopping import Limits
    >>> Options(limits=Limits(max_iter=50), max_fun=1000).max_fun
    1000
    """

    limits: Limits = field(default_factory=Limits)
    monitor: Monitor = field(default_factory=Monitor)
    max_fun: int = 15000
    ftol: float = 0.0
    cg_update: str = "polak-ribiere"
    lm_acceleration: bool = False


_FLOAT64 = np.dtype(np.float64)


def _of(dtype: np.dtype, array: NDArray[np.floating]) -> NDArray[Any]:
    """Give an array in a dtype, which as a rule it has."""
    return array if array.dtype is dtype else array.astype(dtype, copy=False)


class Minimised(NamedTuple):
    """What a solver returns.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
        The new parameters.
    history : History
        How it went.
    stop_reason : str
        Why it stopped.
    alpha, effective_parameters : float or None
        The weight decay, and how many parameters the data determine, where they were found.

    Examples
    --------
    A solver needs no more than a loss and its gradient; here it goes down a valley:

    >>> import numpy as np
    >>> from fastbp.solvers import SOLVERS, Options
    >>> class Valley:
    ...     def loss_and_gradient(self, p):
    ...         curvatures = np.array([1.0, 100.0])
    ...         return 0.5 * p @ (curvatures * p), curvatures * p
    >>> result = SOLVERS["cg"].minimise(Valley(), np.array([100.0, 1.0]), Options())
    >>> result.stop_reason, bool(abs(result.parameters).max() < 1e-3)
    ('gradient_norm', True)
    """

    parameters: NDArray[np.floating]
    history: History
    stop_reason: StopReason
    alpha: float | None = None
    effective_parameters: float | None = None


class Descent:
    """A batch solver's way: where it stands, what it has used up, when it has to end.

    Parameters
    ----------
    objective : LossAndGradient
        What is minimised.
    parameters : ndarray of shape (n_parameters,)
        The start; not changed.
    options : Options
        The limits and rules.

    Attributes
    ----------
    point : Point
        Where the latest iteration ended, or the start.
    best : Point
        The point with the lowest loss, or the best validation score.
    monitor : Monitor
        What happens at the end of an iteration.
    history : History
        Its history.
    dtype : dtype
        Of the parameters that are evaluated.
    eps : float
        Its rounding error of 1.
    is_settled : bool
        Whether a small gradient is the end: not while a solver still changes the objective.
    resumed : DescentState or None
        A descent that a checkpoint has kept, and which this one goes on with.
    """

    point: Point
    best: Point
    is_settled = True

    def __init__(
        self, objective: LossAndGradient, parameters: NDArray[np.floating], options: Options
    ) -> None:
        self.objective, self.options, self.limits = objective, options, options.limits
        self.resumed = cast(DescentState | None, options.monitor.resumed)
        self.history = History() if self.resumed is None else self.resumed.history.copy()
        self.monitor = replace(options.monitor, history=self.history)  # options may be used again
        self.dtype, self.eps = parameters.dtype, float(np.finfo(parameters.dtype).eps)
        self._n_stalled = 0
        self.monitor.begin()

    def begin(self, parameters: NDArray[np.floating]) -> None:
        """Evaluate the start, or go on; end at once where a rule is met already."""
        if self.resumed is not None:
            self.point, self.best, _, self._n_stalled, self.is_settled, _ = self.resumed
            self.monitor.record_point(self.point)
            return
        self.point = self.best = self.evaluate(parameters.astype(np.float64), limited=False)
        if not self.point.is_finite:
            raise Stop("diverged")
        self.monitor.record_point(self.point)
        if self.monitor.early_stopping is None:
            self.history.best_loss = self.point.loss
        reason = self._reached(self.point, self.point.gradient_norm)
        if reason is not None:
            self.end_iteration(self.point)
            raise Stop(reason)

    def evaluate(self, parameters: NDArray[np.float64], limited: bool = True) -> Point:
        """Work out loss and gradient, which may not be finite.

        Raises
        ------
        Stop
            If no more evaluation or no more time is left.
        """
        if limited:
            self.check_limits()
        self.history.n_fun += 1
        rounded = _of(self.dtype, parameters)
        loss, gradient = self.objective.loss_and_gradient(rounded)
        return Point(_of(_FLOAT64, rounded), float(loss), _of(_FLOAT64, gradient))

    def check_limits(self) -> None:
        """Raise Stop if no more evaluation or no more time is left."""
        if self.history.n_fun >= self.options.max_fun:
            raise Stop("max_fun")
        self.limits.clock.check()

    def accept(self, point: Point) -> None:
        """End an iteration at a point.

        Raises
        ------
        Stop
            If a rule ends the training there.
        """
        self.end_iteration(point)
        reason = self._reached(point, self.history.gradient_norm_curve[-1])
        if reason is not None:
            raise Stop(reason)
        self.check_validation()
        self.check_progress()
        if self.history.n_iter >= self.limits.max_iter:
            raise Stop("max_iter")
        self.check_callback()

    def end_iteration(self, point: Point) -> None:
        """End an iteration at a point, whatever the rules say."""
        # A change, not a fall: rprop's loss may rise, and is on its way none the less.
        change = abs(self.point.loss - point.loss)
        stalled = change <= MIN_PROGRESS * abs(self.point.loss)
        self._n_stalled = self._n_stalled + 1 if stalled else 0
        self.point = point
        self.monitor.end_iteration(point.loss, point.gradient_norm)
        self.monitor.record_point(point)
        if self.monitor.early_stopping is None:
            is_best = point.loss <= self.best.loss
        else:
            is_best = self.monitor.record_score(point.parameters.astype(self.dtype))
        if is_best:
            self.best = point

    def keep(self, solver: Any) -> None:
        """Write the checkpoint, where there is one and it is time to, with a solver's state."""
        checkpoint = self.monitor.checkpoint
        if checkpoint is not None and checkpoint.is_due:
            descent = (self.point, self.best, self.history, self._n_stalled, self.is_settled)
            checkpoint.write(DescentState(*descent, solver))

    def revalue(self, point: Point) -> None:
        """Go on from the same parameters after the objective has changed."""
        self.point = point
        if self.monitor.early_stopping is None:
            self.best = point

    def check_validation(self) -> None:
        """Raise Stop if early stopping says so."""
        if self.monitor.says_stop():
            raise Stop("validation")

    def check_progress(self) -> None:
        """Raise Stop if the loss has all but stood still for too long."""
        if self._n_stalled > self.limits.n_iter_no_change:
            raise Stop("tolerance")

    def check_callback(self) -> None:
        """Raise Stop if a callback says so, where nothing else has ended the training."""
        if self.monitor.callback_says_stop(self._so_far):
            raise Stop("callback")

    def _so_far(self) -> tuple[NDArray[np.floating], History]:
        """Give the best point, of the dtype of the start, and a history that ends there."""
        best = self.best
        history = self.history.copy()
        history.loss, history.gradient_norm = best.loss, best.gradient_norm
        return best.parameters.astype(self.dtype), history

    def _reached(self, point: Point, gradient_norm: float) -> StopReason | None:
        if point.loss <= self.limits.loss_goal:
            return "goal"
        gtol = self.limits.gtol
        if self.is_settled and gtol is not None and gradient_norm <= gtol:
            return "gradient_norm"
        return None

    def result(self, stop_reason: StopReason) -> Minimised:
        """Return the best point, of the dtype of the start, and the history."""
        gtol = self.limits.gtol
        if stop_reason in ("line_search", "step_size") and gtol is not None:
            # No way on for a solver that still changed the objective, where it had nowhere to go.
            if self.best.gradient_norm <= gtol:
                stop_reason = "gradient_norm"
        return Minimised(*self._so_far(), stop_reason)


def descend(
    steps: Callable[[Descent], None],
    objective: LossAndGradient,
    parameters: NDArray[np.floating],
    options: Options,
) -> Minimised:
    """Minimise by an algorithm.

    Parameters
    ----------
    steps : callable
        ``steps(descent)``, the algorithm: it takes steps until `Stop` is raised.
    objective : LossAndGradient
        What is minimised.
    parameters : ndarray of shape (n_parameters,)
        The start; not changed.
    options : Options
        The limits and rules.

    Returns
    -------
    parameters : ndarray of shape (n_parameters,)
        The best accepted point, of the dtype of the start; never one with a higher loss.
    history : History
        The loss at each iteration.
    stop_reason : str
        Why it stopped.
    """
    descent = Descent(objective, parameters, options)
    try:
        # What is not finite is looked for, and is no surprise to be warned of.
        with one_blas_thread(), np.errstate(all="ignore"):
            descent.begin(parameters)
            steps(descent)
    except Stop as stop:
        return descent.result(stop.reason)
    except KeyboardInterrupt:
        if not hasattr(descent, "best"):  # not even the start has been evaluated
            raise
        return descent.result("interrupted")
    raise AssertionError("a solver ended without a reason")


_State = TypeVar("_State")


def iterations(
    first: Callable[[Descent], _State], iterate: Callable[[Descent, _State], None]
) -> Callable[[Descent], None]:
    """Make an algorithm for `descend` of its state and its iteration.

    Parameters
    ----------
    first : callable
        ``first(descent) -> state``, a dataclass of arrays and numbers, where a descent begins.
    iterate : callable
        ``iterate(descent, state)``, one iteration: it changes the state.

    Returns
    -------
    steps : callable
        Iterates until `Stop` is raised. In between, a checkpoint may be written.
    """

    def steps(descent: Descent) -> None:
        state = first(descent) if descent.resumed is None else descent.resumed.solver
        while True:
            descent.keep(state)
            iterate(descent, state)

    return steps
