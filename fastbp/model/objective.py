"""How far a training goes before its solver looks at it again: walks and their legs."""

import math
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastbp.model.update_rules import Moments, Rule

__all__ = ["NO_PATIENCE", "Leg", "Patience", "Walk"]


class Patience(NamedTuple):
    """When training without improvement has gone on for too long.

    Attributes
    ----------
    best_loss : float
        The lowest loss so far.
    n_no_improvement : int
        How many epochs in a row have not been better than the best by ``tol``.
    tol : float
        What counts as an improvement.
    most : float
        More of them than this are too many.
    """

    best_loss: float
    n_no_improvement: int
    tol: float
    most: float


NO_PATIENCE = Patience(math.inf, 0, 0.0, math.inf)


class Leg(NamedTuple):
    """What a training does next: some epochs that follow each other with nothing in between.

    Attributes
    ----------
    rule : Rule
        The update rule.
    patience : Patience
        When there has been no improvement for too long; then it ends.
    most : int
        Epochs at most.
    """

    rule: Rule
    patience: Patience
    most: int


class Walk(Protocol):
    """A training's way through its rows, on the CPU or the GPU: what a solver sees of it."""

    @property
    def parameters(self) -> NDArray[np.floating]:
        """Where it is, (n_parameters,)."""
        ...

    @property
    def moments(self) -> Moments:
        """What the update rule remembers there."""
        ...

    @property
    def is_finite(self) -> bool:
        """Whether all numbers that training changes are finite."""
        ...

    def epochs(self, leg: Leg) -> NDArray[np.float64]:
        """Go a leg, or a part of it of one epoch at least; returns each epoch's loss."""
        ...

    def gradient(self, parameters: NDArray[np.floating]) -> NDArray[np.floating]:
        """Gradient over all rows."""
        ...
