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

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.model.objective import LossAndGradient
from fastbp.solvers.descent import Descent, Minimised, Options, descend
from fastbp.solvers.line_search import line_search

__all__ = ["UPDATES", "minimise"]

_ORTHOGONAL = 0.2
_Vector = NDArray[np.float64]


def _polak_ribiere(new: _Vector, gradient: _Vector, direction: _Vector) -> float:
    return max(0.0, float(new @ (new - gradient) / (gradient @ gradient)))


def _fletcher_reeves(new: _Vector, gradient: _Vector, direction: _Vector) -> float:
    return float(new @ new / (gradient @ gradient))


def _hestenes_stiefel(new: _Vector, gradient: _Vector, direction: _Vector) -> float:
    change = new - gradient
    curvature = direction @ change
    return max(0.0, float(new @ change / curvature)) if curvature > 0 else 0.0


#: The formulas of beta, by name.
UPDATES = {
    "polak-ribiere": _polak_ribiere,
    "fletcher-reeves": _fletcher_reeves,
    "hestenes-stiefel": _hestenes_stiefel,
}


def minimise(
    objective: LossAndGradient, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise by conjugate gradients; see `descend`."""
    return descend(_conjugate_gradients, objective, parameters, options)


def _conjugate_gradients(descent: Descent) -> None:
    update = UPDATES[descent.options.cg_update]
    gradient = descent.point.gradient
    direction, since_restart = -gradient, 0
    step: Any = 1.0 / np.linalg.norm(gradient)
    while True:
        slope = gradient @ direction
        point, step = line_search(descent, direction, step, c2=0.1)
        descent.accept(point)
        new, since_restart = point.gradient, since_restart + 1
        beta = update(new, gradient, direction)
        if abs(new @ gradient) >= _ORTHOGONAL * (new @ new) or since_restart >= new.size:
            beta = 0.0
        direction = -new + beta * direction
        if beta == 0.0 or not new @ direction < 0:
            direction, since_restart = -new, 0
        gradient = new
        # The first-order change of the loss will be what it was (Nocedal & Wright, section 3.5).
        step *= slope / (gradient @ direction)
