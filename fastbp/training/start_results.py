"""What comes of a fit's starts: the best, and of the others the final loss, or parameters too."""

import math
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from fastbp.training.task import FitResult, FitTask

__all__ = ["StartResults"]


class StartResults:
    """The results of a task's starts, which may come in any order and from several threads.

    Attributes
    ----------
    best : FitResult or None
        The best, of two that are equal the first; None before there is one.
    n_ended : int
        How many starts ended before the time was up.
    """

    def __init__(self, task: FitTask) -> None:
        self._task, self._lock = task, Lock()
        self._losses: dict[int, float] = {}
        self._parameters: dict[int, NDArray[np.floating]] = {}
        self._rank: tuple = ()
        self.best: FitResult | None = None
        self.n_ended = 0

    @property
    def has_learnt(self) -> bool:
        """Whether there is a start whose weights have changed."""
        return self.best is not None and self._has_learnt(self.best)

    @property
    def losses(self) -> NDArray[np.float64]:
        """The final loss of each start up to the last that has ended."""
        n_starts = max(self._losses, default=-1) + 1
        return np.array([self._losses.get(number, math.nan) for number in range(n_starts)])

    @property
    def all_parameters(self) -> tuple[NDArray[np.floating], ...]:
        """The parameters of each start that did not diverge, in order, where all are kept."""
        return tuple(self._parameters[number] for number in sorted(self._parameters))

    def add(self, number: int, result: FitResult) -> None:
        """Add the result of the start of a number, counted from 0."""
        rank = (not self._has_learnt(result), *result.rank, number)
        with self._lock:
            self._losses[number] = result.final_loss
            if self._task.estimator.keep_all and not math.isnan(result.final_loss):
                self._parameters[number] = result.parameters
            self.n_ended += result.stop_reason != "time"
            if self.best is None or rank < self._rank:
                self.best, self._rank = result, rank

    def _has_learnt(self, result: FitResult) -> bool:
        if result.history.n_iter > 0:
            return True
        # Its first epoch, which may take an hour, has begun.
        return self._task.n_init == 1 and bool(
            (result.parameters != self._task.start.parameters).any()
        )
