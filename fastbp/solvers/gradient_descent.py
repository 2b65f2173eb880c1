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

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.model.objective import LossAndGradient
from fastbp.solvers.descent import Descent, Minimised, Options, descend, iterations
from fastbp.solvers.line_search import line_search

__all__ = ["State", "minimise"]


@dataclass
class State:
    """What it keeps from one iteration to the next.

    Attributes
    ----------
    step : float
        The next line search's first trial, in multiples of the gradient.
    """

    step: float


def minimise(
    objective: LossAndGradient, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise by steepest descent; see `descend`."""
    return descend(iterations(_begin, _iterate), objective, parameters, options)


def _begin(descent: Descent) -> State:
    length: Any = np.linalg.norm(descent.point.gradient)
    return State(1.0 / length)


def _iterate(descent: Descent, state: State) -> None:
    gradient = descent.point.gradient
    squared = gradient.dot(gradient)
    point, step = line_search(descent, -gradient, state.step, c2=0.5)
    descent.accept(point)
    gradient = point.gradient
    # The first-order change of the loss will be what it was (Nocedal & Wright, section 3.5).
    state.step = float(step * (squared / gradient.dot(gradient)))
