"""Steepest descent: against the gradient, as far as a line search finds it worth while.

    direction = -gradient

The simplest method of all, and the measure of what the others gain: where the error surface is a
narrow valley, it crosses from side to side. (Solver "sgd" with ``batch_size="full"`` is the same
with a fixed step.)

References
----------
Cauchy, "Methode generale pour la resolution des systemes d'equations simultanees", Comptes Rendus
25 (1847). Nocedal & Wright, "Numerical optimization", 2nd ed. (2006), section 3.3.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.model.objective import LossAndGradient
from fastbp.solvers.descent import Descent, Minimised, Options, descend
from fastbp.solvers.line_search import line_search

__all__ = ["minimise"]


def minimise(
    objective: LossAndGradient, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise by steepest descent; see `descend`."""
    return descend(_steepest_descent, objective, parameters, options)


def _steepest_descent(descent: Descent) -> None:
    gradient = descent.point.gradient
    step: Any = 1.0 / np.linalg.norm(gradient)
    while True:
        squared = gradient @ gradient
        point, step = line_search(descent, -gradient, step, c2=0.5)
        descent.accept(point)
        gradient = point.gradient
        # The first-order change of the loss will be what it was (Nocedal & Wright, section 3.5).
        step *= squared / (gradient @ gradient)
