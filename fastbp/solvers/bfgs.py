"""BFGS: a model of the inverse Hessian, built up from the gradients along the way.

    direction = -H gradient

With s the last step, y the change of the gradient along it, the new H is the one nearest to the old
that maps y to s. Written with one vector v, it is a symmetric change of rank two,

    H + s v' + v s',    v = ((1 + y . Hy / s . y) s / 2 - Hy) / s . y

One product with H an iteration is enough: q = H g_new gives Hy = q + direction, since the direction
was -H g, and the next direction -(q + s (v . g_new) + v (s . g_new)). H is stored as its upper
triangle.

References
----------
Broyden; Fletcher; Goldfarb; Shanno (1970). Nocedal & Wright, "Numerical optimization", 2nd ed.
(2006), section 6.1, eq. 6.17, and eq. 6.20 for the first scale.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsymv, dsyr2

from fastbp.model.objective import LossAndGradient
from fastbp.solvers.descent import Descent, Minimised, Options, descend, iterations
from fastbp.solvers.line_search import line_search

__all__ = ["State", "minimise"]


@dataclass
class State:
    """What BFGS keeps from one iteration to the next.

    Attributes
    ----------
    direction : ndarray of shape (n_parameters,)
        Where the next line search goes.
    first_step : float
        Its first trial.
    inverse : ndarray of shape (n_parameters, n_parameters) or None
        The upper triangle of H; None where nothing is known yet of the curvature.
    """

    direction: NDArray[np.float64]
    first_step: float
    inverse: NDArray[np.float64] | None = field(default=None, metadata={"ndim": 2})


def minimise(
    objective: LossAndGradient, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise by BFGS; see `descend`."""
    return descend(iterations(_begin, _iterate), objective, parameters, options)


def _begin(descent: Descent) -> State:
    gradient = descent.point.gradient
    return State(-gradient, _first_step(gradient))


def _iterate(descent: Descent, state: State) -> None:
    last = descent.point.gradient
    point, step = line_search(descent, state.direction, state.first_step, c2=0.9)
    descent.accept(point)
    gradient = point.gradient
    s, y = step * state.direction, gradient - last
    curvature = s @ y
    is_curved = curvature > np.finfo(np.float64).eps * np.linalg.norm(s) * np.linalg.norm(y)
    state.first_step = 1.0
    if is_curved and state.inverse is None:
        scale = curvature / (y @ y)
        state.inverse = np.asfortranarray(np.diag(np.full(s.size, scale)))
        state.direction = -scale * (gradient - y)  # what H makes of the last gradient
    if state.inverse is not None:
        q = dsymv(1.0, state.inverse, gradient)
        if is_curved:
            hy = q + state.direction
            v = (0.5 * (1.0 + y @ hy / curvature) * s - hy) / curvature
            state.inverse = dsyr2(1.0, s, v, a=state.inverse, overwrite_a=True)
            state.direction = -(q + s * (v @ gradient) + v * (s @ gradient))
        else:  # with no curvature along s, H would not stay positive: it stays what it is
            state.direction = -q
    if state.inverse is None or not gradient @ state.direction < 0:
        state.inverse, state.direction = None, -gradient
        state.first_step = _first_step(gradient)


def _first_step(gradient: NDArray[np.float64]) -> float:
    """Of a direction whose length means nothing yet: a move of length 1."""
    return 1.0 / np.linalg.norm(gradient)  # type: ignore[return-value]
