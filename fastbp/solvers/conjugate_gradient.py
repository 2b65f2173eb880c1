"""Nonlinear conjugate gradients: each direction keeps what the last line search has won.

    direction = -gradient + beta * last direction

On a quadratic, directions with the right beta are conjugate to each other and as many line searches
as there are parameters end at its minimum. With g the gradient, d the direction, y = g_new - g,

    polak-ribiere      beta = max(0, g_new . y / g . g)
    fletcher-reeves    beta = g_new . g_new / g . g
    hestenes-stiefel   beta = max(0, g_new . y / d . y)

beta = 0 starts again along the gradient. So does Powell's rule, where two gradients in a row are
far from orthogonal, |g_new . g| >= 0.2 g_new . g_new, and every n-th iteration.

References
----------
Fletcher & Reeves, "Function minimization by conjugate gradients", Computer Journal 7 (1964). Polak
& Ribiere, Revue Francaise d'Informatique 16 (1969). Hestenes & Stiefel, J. Res. NBS 49 (1952).
Powell, "Restart procedures for the conjugate gradient method", Math. Prog. 12 (1977). Nocedal &
Wright, "Numerical optimization", 2nd ed. (2006), section 5.2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import ddot

from fastbp.model.objective import LossAndGradient
from fastbp.solvers.descent import Descent, Minimised, Options, descend, iterations
from fastbp.solvers.line_search import line_search
from fastbp.solvers.vectors import moved

__all__ = ["UPDATES", "State", "minimise"]

_ORTHOGONAL = 0.2
_Vector = NDArray[np.float64]


def _polak_ribiere(new: _Vector, gradient: _Vector, direction: _Vector) -> float:
    return max(0.0, float(ddot(new, new - gradient) / gradient.dot(gradient)))


def _fletcher_reeves(new: _Vector, gradient: _Vector, direction: _Vector) -> float:
    return float(ddot(new, new) / gradient.dot(gradient))


def _hestenes_stiefel(new: _Vector, gradient: _Vector, direction: _Vector) -> float:
    change = new - gradient
    curvature = ddot(direction, change)
    return max(0.0, ddot(new, change) / curvature) if curvature > 0 else 0.0


#: The formulas of beta, by name.
UPDATES = {
    "polak-ribiere": _polak_ribiere,
    "fletcher-reeves": _fletcher_reeves,
    "hestenes-stiefel": _hestenes_stiefel,
}


@dataclass
class State:
    """What it keeps from one iteration to the next.

    Attributes
    ----------
    direction : ndarray of shape (n_parameters,)
        Where the next line search goes.
    step : float
        Its first trial.
    since_restart : int
        Iterations since the direction was the gradient's.
    """

    direction: _Vector
    step: float
    since_restart: int = 0


def minimise(
    objective: LossAndGradient, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise by conjugate gradients; see `descend`."""
    return descend(iterations(_begin, _iterate), objective, parameters, options)


def _begin(descent: Descent) -> State:
    gradient = descent.point.gradient
    length: Any = np.linalg.norm(gradient)
    return State(-gradient, 1.0 / length)


def _iterate(descent: Descent, state: State) -> None:
    gradient, direction = descent.point.gradient, state.direction
    slope = ddot(gradient, direction)
    point, step = line_search(descent, direction, state.step, c2=0.1)
    descent.accept(point)
    new, state.since_restart = point.gradient, state.since_restart + 1
    beta = UPDATES[descent.options.cg_update](new, gradient, direction)
    is_far_from_orthogonal = abs(ddot(new, gradient)) >= _ORTHOGONAL * ddot(new, new)
    if is_far_from_orthogonal or state.since_restart >= new.size:
        beta = 0.0
    state.direction = moved(-new, beta, direction)
    if beta == 0.0 or not ddot(new, state.direction) < 0:
        state.direction, state.since_restart = -new, 0
    # The first-order change of the loss will be what it was (Nocedal & Wright, section 3.5).
    state.step = float(step * (slope / new.dot(state.direction)))
