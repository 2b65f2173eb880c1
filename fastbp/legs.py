"""How far a training goes before its solver looks at it again: a leg, and the patience on it."""

import math
from typing import NamedTuple

from fastbp.update_rules import Rule

__all__ = ["NO_PATIENCE", "Leg", "Patience"]


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
