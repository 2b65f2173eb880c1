"""Self-scaled BFGS: a model of the inverse Hessian, built up from the gradients along the way.

    direction = -H gradient

With s the last step, y the change of the gradient along it, the new H is the one nearest to the old
that maps y to s. Written with one vector v, it is a symmetric change of rank two,

    H + s v' + v s',    v = ((1 + y . Hy / s . y) s / 2 - Hy) / s . y

Before that, H is divided by tau = min(1, s . y / s . H^-1 s): where the loss curved less along s
than the model had it, the model is too steep in the other directions, too, and it would take an
iteration for each of them to find out. It takes about half the iterations of BFGS without it.

One product with H an iteration is enough. The direction was d = -H g, so that with the step s = t d
and q = H g_new

    Hy = q + d,    s . H^-1 s = -t s . g,    next direction = -(q + s (v . g_new) + v (s . g_new))

are made of d and q alone, and come out of one loop (``machine/bfgs_update.py``). H is stored as a
number times the upper triangle of a matrix, so that dividing it costs nothing.

References
----------
Broyden; Fletcher; Goldfarb; Shanno (1970). Nocedal & Wright, "Numerical optimization", 2nd ed.
(2006), section 6.1, eq. 6.17, and eq. 6.20 for the first scale. Oren & Luenberger, "Self-scaling
variable metric (SSVM) algorithms", Management Science 20 (1974). Al-Baali, "Numerical experience
with a class of self-scaling quasi-Newton algorithms", JOTA 96 (1998), for tau <= 1. Urban, Stefanou
& Pons, "Unveiling the optimization process of physics informed neural networks", J. Comput. Phys.
523 (2025), for networks.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import ddot, dsymv, dsyr2

from fastbp.machine.forks import LOADING
from fastbp.model.objective import LossAndGradient
from fastbp.solvers.descent import Descent, Minimised, Options, descend, iterations
from fastbp.solvers.line_search import line_search

__all__ = ["State", "minimise"]

_MAX_SCALE = 1e100


@dataclass
class State:
    """What BFGS keeps from one iteration to the next.

    Attributes
    ----------
    direction : ndarray of shape (n_parameters,)
        Where the next line search goes.
    first_step : float
        Its first trial.
    matrix : ndarray of shape (n_parameters, n_parameters) or None
        The upper triangle of H / scale; None where nothing is known yet of the curvature.
    scale : float
        The number of H = scale * matrix.
    """

    direction: NDArray[np.float64]
    first_step: float
    matrix: NDArray[np.float64] | None = field(default=None, metadata={"ndim": 2})
    scale: float = 1.0


def minimise(
    objective: LossAndGradient, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise by BFGS; see `descend`."""
    return descend(iterations(_begin, _iterate), objective, parameters, options)


def _begin(descent: Descent) -> State:
    gradient = descent.point.gradient
    return State(-gradient, _first_step(gradient))


def _iterate(descent: Descent, state: State) -> None:
    last, d = descent.point.gradient, state.direction
    point, step = line_search(descent, d, state.first_step, c2=0.9)
    descent.accept(point)
    gradient, is_first = point.gradient, state.matrix is None
    state.first_step = 1.0
    if is_first:
        y = gradient - last
        state.scale = float(step * d.dot(y) / y.dot(y))
        if 0 < state.scale < math.inf:
            state.matrix = np.asfortranarray(np.eye(y.size))
            d, step = state.scale * d, step / state.scale  # what this H makes of the last gradient
    if state.matrix is not None:
        q = dsymv(state.scale, state.matrix, gradient)
        v, state.direction = np.empty(d.size), np.empty(d.size)
        tau = _load_update()(d, q, last, gradient, step, not is_first, v, state.direction)
        if tau > 0:
            state.scale /= tau
            state.matrix = dsyr2(step / state.scale, d, v, a=state.matrix, overwrite_a=True)
            if state.scale > _MAX_SCALE:
                state.matrix, state.scale = state.scale * state.matrix, 1.0
        else:  # with no curvature along s, H would not stay positive: it stays what it is
            state.direction = -q
    if state.matrix is None or not ddot(gradient, state.direction) < 0:
        state.matrix, state.direction = None, -gradient
        state.first_step = _first_step(gradient)


def _first_step(gradient: NDArray[np.float64]) -> float:
    """Of a direction whose length means nothing yet: a move of length 1."""
    return 1.0 / np.linalg.norm(gradient)  # type: ignore[return-value]


@cache
def _load_update() -> Callable:
    """Import the compiled loop, and numba with it."""
    with LOADING:
        from fastbp.machine.bfgs_update import bfgs_update
    return bfgs_update
