"""Trainings between two iterations: all that the next ones depend on, for a checkpoint to hold."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dasum, ddot, idamax

from fastbp.solvers.history import History

__all__ = ["DescentState", "Point", "StochasticState", "TrainingState", "all_finite"]


def all_finite(array: NDArray[np.float64]) -> bool:
    """Whether all entries of a vector are finite."""
    # One product finds most arrays finite; where it overflows, every entry is looked at.
    return math.isfinite(ddot(array, array)) or bool(np.isfinite(array).all())


@dataclass(slots=True, eq=False)
class Point:
    """Parameters with the loss and the gradient there, in float64; not to be changed."""

    parameters: NDArray[np.float64]
    loss: float
    gradient: NDArray[np.float64]

    @property
    def is_finite(self) -> bool:
        """Whether parameters, loss and gradient are finite."""
        if not math.isfinite(self.loss):
            return False
        # No entry of either vector hides in their product: 0 times inf is NaN.
        if math.isfinite(ddot(self.gradient, self.parameters)):
            return True
        return bool(np.isfinite(self.gradient).all() and np.isfinite(self.parameters).all())

    @property
    def gradient_norm(self) -> float:
        """The largest entry of the gradient, in absolute value."""
        gradient = self.gradient
        if math.isfinite(dasum(gradient)):  # then the BLAS finds it, in a third of the time
            return abs(float(gradient[idamax(gradient)]))
        return float(np.abs(gradient).max())


class DescentState(NamedTuple):
    """A batch solver's training between two iterations.

    Attributes
    ----------
    point : Point
        Where it stands.
    best : Point
        The point with the lowest loss, or the best validation score.
    history : History
        The history so far.
    n_stalled : int
        How many iterations in a row have made no progress.
    is_settled : bool
        Whether a small gradient is the end.
    solver : dataclass
        What the solver keeps from one iteration to the next: arrays and numbers.
    """

    point: Point
    best: Point
    history: History
    n_stalled: int
    is_settled: bool
    solver: Any

    @property
    def parameters(self) -> NDArray[np.floating]:
        """The parameters, in float64."""
        return self.point.parameters


class StochasticState(NamedTuple):
    """A stochastic training between two epochs.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
        The parameters.
    best : ndarray of shape (n_parameters,) or None
        Those of the best validation score, where there is one.
    rows : ndarray of shape (n_samples,)
        The rows in the order of the latest epoch, from which the next one's is drawn.
    optimiser : OptimiserState
        Rule, moments and history.
    random_state : RandomState
        Where the next shuffles are drawn from.
    """

    parameters: NDArray[np.floating]
    best: NDArray[np.floating] | None
    rows: NDArray[np.int64]
    optimiser: Any
    random_state: np.random.RandomState

    @property
    def history(self) -> History:
        """The history so far."""
        return self.optimiser.history


TrainingState = StochasticState | DescentState
