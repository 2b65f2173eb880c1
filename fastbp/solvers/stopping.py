"""When to stop, and why: the reasons by name, the limits, the clock, and early stopping.

References
----------
Prechelt, "Proben1: a set of neural network benchmark problems and benchmarking rules", report
21/94, Universitaet Karlsruhe (1994). Prechelt, "Early stopping, but when?", in: Neural Networks:
Tricks of the Trade, Springer (1998), for the rules GL, PQ and UP.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastbp.solvers.history import History

__all__ = [
    "CRITERIA",
    "Clock",
    "EarlyStopping",
    "Limits",
    "Stop",
    "StopReason",
]

StopReason = Literal[
    "gradient_norm",  # the gradient's largest entry fell to the tolerance
    "tolerance",  # the loss fell by too little, more than n_iter_no_change times in a row
    "goal",  # the loss reached loss_goal
    "validation",  # the criterion of early stopping was met
    "learning_rate",  # no improvement, and the adaptive learning rate was at its least
    "max_iter",  # the iterations allowed were used up
    "max_fun",  # the evaluations allowed were used up
    "time",  # the time allowed was used up
    "line_search",  # no lower point was found along the last direction
    "step_size",  # steps became too short to change the parameters
    "one_epoch",  # partial_fit does one
    "callback",  # a callback said so
    "interrupted",  # Ctrl-C
    "diverged",  # the loss or the parameters became NaN or infinite
]

_STRIP = 5  # iterations from one look at GL, PQ or UP to the next, as in the paper
#: The fourteen criteria that the second paper tries.
CRITERIA = (
    *("GL1", "GL2", "GL3", "GL5"),
    *("PQ0.5", "PQ0.75", "PQ1", "PQ2", "PQ3"),
    *("UP2", "UP3", "UP4", "UP6", "UP8"),
)


class Stop(Exception):
    """Raised where a training has to end."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Clock:
    """How long trainings may take, and whether they were told to end.

    Attributes
    ----------
    max_time : float, default=inf
        Seconds from the clock's making on.
    interrupted : Event
        Set where trainings in other threads have to end, as after Ctrl-C.
    """

    max_time: float = math.inf
    interrupted: threading.Event = field(default_factory=threading.Event)
    _start: float = field(default_factory=time.perf_counter)

    @property
    def is_up(self) -> bool:
        """Whether the time is used up."""
        return time.perf_counter() - self._start >= self.max_time

    def check(self) -> None:
        """Raise if the time is up, or the training was told to end."""
        if self.interrupted.is_set():
            raise KeyboardInterrupt
        if self.is_up:
            raise Stop("time")


@dataclass(frozen=True)
class Limits:
    """How far a training may go; the names are the estimator's.

    Attributes
    ----------
    max_iter : int
        Iterations at most: epochs, or steps of a batch solver.
    gtol : float or None
        Stop when no entry of the gradient is larger. None is never.
    loss_goal : float
        Stop when the loss is not higher.
    n_iter_no_change : float
        Stop after more iterations than this in a row without progress: for stochastic solvers, by
        ``tol``; for batch solvers, those that changed the loss by 2.2e-9 of it or less.
    clock : Clock
        When to stop in any case.
    """

    max_iter: int = 200
    gtol: float | None = 1e-4
    loss_goal: float = -math.inf
    n_iter_no_change: float = 10
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True)
class EarlyStopping:
    """A validation score, and the criterion that ends training by it.

    Attributes
    ----------
    score : callable
        ``score(parameters) -> float``, higher is better. For GL, PQ and UP it is minus a loss.
    criterion : {"no_improvement", "GL", "PQ", "UP"}
        The criterion.
    threshold : float
        Its number: for "no_improvement" how many iterations without any are too many.
    tol : float, default=0.0
        What counts as an improvement, for "no_improvement".
    """

    score: Callable[[NDArray[np.floating]], float]
    criterion: str
    threshold: float
    tol: float = 0.0

    @classmethod
    def by_name(cls, name: str, score: Callable[[NDArray[np.floating]], float]) -> "EarlyStopping":
        """Make the criterion of a name in `CRITERIA`; the score is minus a loss."""
        return cls(score, name[:2], float(name[2:]))

    @property
    def waits_for_improvement(self) -> bool:
        """Whether it counts iterations without improvement, as training without it does."""
        return self.criterion == "no_improvement"

    def says_stop(self, history: History) -> bool:
        """Whether the criterion ends the training after the scores so far."""
        if self.waits_for_improvement:
            return history.n_no_improvement > self.threshold
        scores = history.validation_scores or []
        if not scores or len(scores) % _STRIP:
            return False
        # As in the papers, the error is looked at once a strip, not at its swings in between.
        errors = [-score for score in scores[_STRIP - 1 :: _STRIP]]
        if self.criterion == "UP":
            last = errors[-int(self.threshold) - 1 :]
            rises = sum(later > earlier for earlier, later in pairwise(last))
            return rises >= int(self.threshold)
        loss = _generalisation_loss(errors)
        if self.criterion == "GL":
            return loss > self.threshold
        progress = _progress(history.loss_curve[-_STRIP:])
        return loss > self.threshold * progress


def _generalisation_loss(errors: list[float]) -> float:
    """GL = 100 (E / E_opt - 1): by how many percent the error is above its lowest."""
    lowest = min(errors)
    if not math.isfinite(errors[-1]):
        return math.inf
    if lowest <= 0:
        return math.inf if errors[-1] > lowest else 0.0
    return 100.0 * (errors[-1] / lowest - 1.0)


def _progress(losses: list[float]) -> float:
    """P = 1000 (mean / min - 1) of a strip's training losses: by how many per mille they fell."""
    lowest = min(losses)
    return 1000.0 * (sum(losses) / len(losses) / lowest - 1.0) if lowest > 0 else math.inf
