"""When to stop, and why: the reasons by name, the clock, and the rules of no improvement.

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
    "RULES",
    "Clock",
    "EarlyStopping",
    "Stop",
    "StopReason",
    "note_loss",
]

StopReason = Literal[
    "gradient_norm",  # the gradient's largest entry fell to the tolerance
    "tolerance",  # the loss fell by too little, more than n_iter_no_change times in a row
    "goal",  # the loss reached loss_goal
    "validation",  # so the rule of early stopping says
    "learning_rate",  # no improvement, and the adaptive learning rate was at its least
    "max_iter",  # the iterations allowed were used up
    "max_fun",  # the evaluations allowed were used up
    "time",  # the time allowed was used up
    "line_search",  # no lower point was found along the last direction
    "step_size",  # steps became too short to change the parameters
    "one_epoch",  # partial_fit does one
    "interrupted",  # Ctrl-C
    "diverged",  # the loss or the parameters became NaN or infinite
]

_STRIP = 5  # iterations from one look at GL, PQ or UP to the next, as in the paper
#: The fourteen rules that the second paper tries.
RULES = (
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

    def check(self) -> None:
        """Raise if the time is up, or the training was told to end."""
        if self.interrupted.is_set():
            raise KeyboardInterrupt
        if time.perf_counter() - self._start >= self.max_time:
            raise Stop("time")


def note_loss(history: History, loss: float, tol: float) -> None:
    """Take down an epoch's loss and whether it is lower than the best by ``tol``."""
    history.loss = loss
    history.loss_curve.append(loss)
    if history.best_loss is None:
        return  # a validation score decides
    history.n_no_improvement = history.n_no_improvement + 1 if loss > history.best_loss - tol else 0
    history.best_loss = min(history.best_loss, loss)


@dataclass(frozen=True)
class EarlyStopping:
    """A validation score, and the rule that ends training by it.

    Attributes
    ----------
    score : callable
        ``score(parameters) -> float``, higher is better. For GL, PQ and UP it is minus a loss.
    rule : {"no_improvement", "GL", "PQ", "UP"}
        The rule.
    threshold : float
        Its number: for "no_improvement" how many iterations without any are too many.
    tol : float, default=0.0
        What counts as an improvement, for "no_improvement".
    """

    score: Callable[[NDArray[np.floating]], float]
    rule: str
    threshold: float
    tol: float = 0.0

    @classmethod
    def by_name(cls, name: str, score: Callable[[NDArray[np.floating]], float]) -> "EarlyStopping":
        """Make the rule of a name in `RULES`; the score is minus a loss."""
        return cls(score, name[:2], float(name[2:]))

    def note(self, history: History, parameters: NDArray[np.floating]) -> bool:
        """Take down the score of parameters, and return whether it is the best so far."""
        score = self.score(parameters)
        if history.validation_scores is None or history.best_validation_score is None:
            history.validation_scores, history.best_validation_score = [], -math.inf
        history.validation_scores.append(score)
        better = score >= history.best_validation_score + self.tol
        history.n_no_improvement = 0 if better else history.n_no_improvement + 1
        is_best = score > history.best_validation_score
        if is_best:
            history.best_validation_score = score
        return is_best

    def says_stop(self, history: History) -> bool:
        """Whether the rule ends the training after the scores so far."""
        if self.rule == "no_improvement":
            return history.n_no_improvement > self.threshold
        scores = history.validation_scores or []
        if not scores or len(scores) % _STRIP:
            return False
        # As in the papers, the error is looked at once a strip, not at its swings in between.
        errors = [-score for score in scores[_STRIP - 1 :: _STRIP]]
        if self.rule == "UP":
            last = errors[-int(self.threshold) - 1 :]
            rises = sum(later > earlier for earlier, later in pairwise(last))
            return rises >= int(self.threshold)
        loss = _generalisation_loss(errors)
        if self.rule == "GL":
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
