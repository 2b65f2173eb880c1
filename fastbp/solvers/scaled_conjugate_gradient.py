"""Moller's scaled conjugate gradients: the step comes from a curvature, not from a line search.

Along the direction p, a difference of two gradients gives the curvature delta = p' H p, and with it
the step alpha = mu / delta, mu = p . r, r = -gradient, to the minimum of the parabola. Where it is
not positive, or the loss does not fall as the parabola says, lambda |p|^2 is added to delta, as
Levenberg and Marquardt do; lambda falls again where parabola and loss agree. An iteration costs two
gradients, a rejected step one.

References
----------
Moller, "A scaled conjugate gradient algorithm for fast supervised learning", Neural Networks 6
(1993). The comments give the numbers of its steps.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.model.objective import LossAndGradient
from fastbp.solvers.descent import Descent, Minimised, Options, descend
from fastbp.solvers.stopping import Stop

__all__ = ["minimise"]

_FIRST_LAMBDA = 1e-6
_MAX_LAMBDA = 1e100


def minimise(
    objective: LossAndGradient, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise by scaled conjugate gradients; see `descend`."""
    return descend(_scaled_conjugate_gradients, objective, parameters, options)


def _scaled_conjugate_gradients(descent: Descent) -> None:
    point = descent.point
    r = -point.gradient
    p, n_since_restart = r, 0
    damping: Any = _FIRST_LAMBDA
    curvature: float | None = None
    while True:
        p_squared = p @ p
        if not 0 < p_squared < np.inf:  # as far as numbers can tell
            raise Stop("step_size")
        if curvature is None:  # 2: p has changed
            curvature = _curvature(descent, p, p_squared)
        delta = curvature + damping * p_squared  # 3
        if not delta > 0:  # 4: make it positive
            damping = 2.0 * (damping - delta / p_squared)
            delta = curvature + damping * p_squared
        mu = p @ r  # 5
        alpha = mu / delta
        trial = descent.evaluate(point.parameters + alpha * p)
        # 6: how much of what the parabola promised
        agreement = 2.0 * (point.loss - trial.loss) / (alpha * mu) if trial.is_finite else -np.inf
        if agreement >= 0:  # 7
            point, last_r = trial, r
            descent.accept(point)
            r, n_since_restart, curvature = -point.gradient, n_since_restart + 1, None
            beta = (r @ r - r @ last_r) / mu
            p = r + beta * p
            if n_since_restart == r.size or not p @ r > 0:
                p, n_since_restart = r, 0
            if agreement >= 0.75:
                damping *= 0.25
        elif damping > _MAX_LAMBDA or np.array_equal(trial.parameters, point.parameters):
            raise Stop("step_size")
        if agreement < 0.25:  # 8
            growth = 4.0 if agreement == -np.inf else 1.0 - agreement
            # At least fourfold, which the paper does not ask for: after a loss that is not finite,
            # or one that rounding has made no lower, the rule alone might wait for ever.
            damping = max(damping + delta * growth / p_squared, 4.0 * damping)


def _curvature(descent: Descent, p: NDArray[np.float64], p_squared: Any) -> float:
    """Curvature p' H p by a difference of gradients; 0 (to be made positive) if not finite."""
    # Where rounding and the difference's own error are about equal; the paper's limit is 1e-4.
    sigma = min(1e-4, np.sqrt(np.finfo(descent.dtype).eps)) / np.sqrt(p_squared)
    ahead = descent.evaluate(descent.point.parameters + sigma * p)
    curvature = float(p @ (ahead.gradient - descent.point.gradient) / sigma)
    return curvature if np.isfinite(curvature) else 0.0
