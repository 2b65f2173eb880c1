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

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsymv, dsyr2

from fastbp.model.objective import LossAndGradient
from fastbp.solvers.descent import Descent, Minimised, Options, descend
from fastbp.solvers.line_search import line_search

__all__ = ["minimise"]


def minimise(
    objective: LossAndGradient, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise by BFGS; see `descend`."""
    return descend(_bfgs, objective, parameters, options)


def _bfgs(descent: Descent) -> None:
    gradient = descent.point.gradient
    inverse: NDArray[np.float64] | None = None
    direction, first_step = -gradient, _first_step(gradient)
    while True:
        point, step = line_search(descent, direction, first_step, c2=0.9)
        descent.accept(point)
        s, y = step * direction, point.gradient - gradient
        gradient, curvature = point.gradient, s @ y
        first_step = 1.0
        is_curved = curvature > np.finfo(np.float64).eps * np.linalg.norm(s) * np.linalg.norm(y)
        if is_curved and inverse is None:
            scale = curvature / (y @ y)
            inverse = np.asfortranarray(np.diag(np.full(s.size, scale)))
            direction = -scale * (gradient - y)  # what H makes of the last gradient
        if inverse is not None:
            q = dsymv(1.0, inverse, gradient)
            if is_curved:
                hy = q + direction
                v = (0.5 * (1.0 + y @ hy / curvature) * s - hy) / curvature
                inverse = dsyr2(1.0, s, v, a=inverse, overwrite_a=True)
                direction = -(q + s * (v @ gradient) + v * (s @ gradient))
            else:  # with no curvature along s, H would not stay positive: it stays what it is
                direction = -q
        if inverse is None or not gradient @ direction < 0:
            inverse, direction, first_step = None, -gradient, _first_step(gradient)


def _first_step(gradient: NDArray[np.float64]) -> float:
    """Of a direction whose length means nothing yet: a move of length 1."""
    return 1.0 / np.linalg.norm(gradient)  # type: ignore[return-value]
