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

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import ddot

from fastbp.model.objective import LossAndGradient
from fastbp.solvers.descent import Descent, Minimised, Options, descend, iterations
from fastbp.solvers.stopping import Stop
from fastbp.solvers.vectors import moved

__all__ = ["State", "minimise"]

_FIRST_LAMBDA = 1e-6
_MAX_LAMBDA = 1e100


@dataclass
class State:
    """What it keeps from one step, taken or rejected, to the next.

    Attributes
    ----------
    p : ndarray of shape (n_parameters,)
        The direction.
    n_since_restart : int
        Steps taken since it was the gradient's.
    damping : float
        lambda.
    curvature : float or None
        p' H p; None where p has changed.
    """

    p: NDArray[np.float64]
    n_since_restart: int = 0
    damping: float = _FIRST_LAMBDA
    curvature: float | None = None


def minimise(
    objective: LossAndGradient, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise by scaled conjugate gradients; see `descend`."""
    return descend(iterations(_begin, _iterate), objective, parameters, options)


def _begin(descent: Descent) -> State:
    return State(-descent.point.gradient)


def _iterate(descent: Descent, state: State) -> None:
    point, p = descent.point, state.p
    damping: Any = state.damping
    r = -point.gradient
    p_squared = p.dot(p)  # NumPy's number, of which a division by 0 is no error
    if not 0 < p_squared < math.inf:  # as far as numbers can tell
        raise Stop("step_size")
    if state.curvature is None:  # 2: p has changed
        state.curvature = _curvature(descent, p, p_squared)
    delta = state.curvature + damping * p_squared  # 3
    if not delta > 0:  # 4: make it positive
        damping = 2.0 * (damping - delta / p_squared)
        delta = state.curvature + damping * p_squared
    mu = ddot(p, r)  # 5
    alpha = mu / delta
    trial = descent.evaluate(moved(point.parameters, alpha, p))
    # 6: how much of what the parabola promised
    agreement = 2.0 * (point.loss - trial.loss) / (alpha * mu) if trial.is_finite else -math.inf
    if agreement >= 0:  # 7
        descent.accept(trial)
        r, last_r = -trial.gradient, r
        beta = (ddot(r, r) - ddot(r, last_r)) / mu
        state.p, state.curvature = moved(r, beta, p), None
        state.n_since_restart += 1
        if state.n_since_restart == r.size or not ddot(state.p, r) > 0:
            state.p, state.n_since_restart = r, 0
        if agreement >= 0.75:
            damping *= 0.25
    elif damping > _MAX_LAMBDA or np.array_equal(trial.parameters, point.parameters):
        raise Stop("step_size")
    if agreement < 0.25:  # 8
        growth = 4.0 if agreement == -math.inf else 1.0 - agreement
        # At least fourfold, which the paper does not ask for: after a loss that is not finite,
        # or one that rounding has made no lower, the rule alone might wait for ever.
        damping = max(damping + delta * growth / p_squared, 4.0 * damping)
    state.damping = damping


def _curvature(descent: Descent, p: NDArray[np.float64], p_squared: Any) -> float:
    """Curvature p' H p by a difference of gradients; 0 (to be made positive) if not finite."""
    # Where rounding and the difference's own error are about equal; the paper's limit is 1e-4.
    sigma = min(1e-4, math.sqrt(descent.eps)) / math.sqrt(p_squared)
    ahead = descent.evaluate(moved(descent.point.parameters, sigma, p))
    curvature = float(ddot(p, ahead.gradient - descent.point.gradient) / sigma)
    return curvature if math.isfinite(curvature) else 0.0
