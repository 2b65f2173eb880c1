"""Bayesian regularisation: Levenberg-Marquardt that finds the weight decay by itself.

The data's errors are taken to be Gaussian with precision beta, the weights with precision a. The
most probable weights minimise beta E_D + a E_W, with E_D = sum w e^2 / 2, E_W = |weights|^2 / 2:
the usual objective with alpha = a / beta. The evidence for both is largest where

    gamma = n_weights - alpha trace(H^-1) over the weights      H = J'J + alpha I over the weights
    a = gamma / 2 E_W              beta = (N - gamma - n_biases) / 2 E_D

N is the number of errors, a row counting as often as its sample weight says. gamma is the number of
weights that they determine, the rest is held by the decay; of the biases,
which have no decay, n_biases are determined. Between a Levenberg-Marquardt step and the
next, alpha is set anew; so no rows are set aside to choose it by, and the loss curve may rise with
it.

References
----------
MacKay, "Bayesian interpolation", Neural Computation 4 (1992). Foresee & Hagan, "Gauss-Newton
approximation to Bayesian learning", ICNN 1997.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri

from fastbp.model.objective import LeastSquares
from fastbp.solvers.descent import Descent, Minimised, Options, descend, iterations
from fastbp.solvers.levenberg_marquardt import Damping, normal_equations
from fastbp.solvers.states import DescentState, Point

__all__ = ["State", "minimise"]

_MIN_ALPHA, _MAX_ALPHA, _TINY = 1e-10, 1e10, 1e-300
#: alpha has settled where an iteration changes it by less than this part.
_SETTLED = 1e-3


@dataclass
class State(Damping):
    """The damping, and how much of the weights the data determine.

    Attributes
    ----------
    alpha : float
        The weight decay that this gives.
    effective_parameters : float
        How many parameters the data determine.
    """

    alpha: float = 0.0
    effective_parameters: float = 0.0


def minimise(
    objective: LeastSquares, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise by Levenberg-Marquardt, and find alpha.

    Parameters
    ----------
    objective : LeastSquares
        What is minimised; its ``alpha`` is set.
    parameters : ndarray of shape (n_parameters,)
        The start; not changed.
    options : Options
        The limits and rules.

    Returns
    -------
    result : Minimised
        The last accepted parameters, the history and the reason. ``alpha`` is 0 and
        ``effective_parameters`` is all, if the training ended before the first step.

    Raises
    ------
    ValueError
        If the sample weights say that there is not even one row.
    """
    if objective.data.is_weighted and objective.total_weight <= 1:
        raise ValueError(
            f"alpha='bayes' takes a sample weight for the number of times that a row is there, and "
            f"they sum to {objective.total_weight:g}. Scale them to sum to the number of rows."
        )
    resumed = cast(DescentState | None, options.monitor.resumed)
    if resumed is None:
        state = State(alpha=objective.alpha, effective_parameters=float(parameters.size))
    else:
        state = resumed.solver
        objective.alpha = state.alpha
    result = descend(iterations(lambda _: state, _iterate), objective, parameters, options)
    return result._replace(alpha=state.alpha, effective_parameters=state.effective_parameters)


def _iterate(descent: Descent, state: State) -> None:
    hessian = normal_equations(descent)
    _set_alpha(descent, state, hessian)
    descent.accept(state.lower_point(descent, hessian))


def _set_alpha(descent: Descent, state: State, hessian: NDArray[np.float64]) -> None:
    """Set alpha anew where a descent stands, and the point and H to the new objective."""
    objective, point = cast(LeastSquares, descent.objective), descent.point
    total_weight, n_weights = objective.total_weight, objective.network.n_weights
    weights = point.parameters[:n_weights]
    square_sum = float(weights @ weights)
    errors = 2.0 * total_weight * point.loss - objective.alpha * square_sum
    decay = np.zeros(point.parameters.size)
    decay[:n_weights] = objective.alpha / total_weight
    determined = _determined(hessian, decay, descent.eps)
    state.effective_parameters = float(determined.sum())
    n_left = total_weight * objective.network.layer_sizes[-1] - state.effective_parameters
    gamma = float(determined[:n_weights].sum())
    alpha = gamma * errors / max(square_sum, _TINY) / max(n_left, 1.0)
    alpha = min(max(alpha, _MIN_ALPHA), _MAX_ALPHA)
    change = (alpha - objective.alpha) / total_weight
    descent.is_settled = abs(alpha - objective.alpha) <= _SETTLED * alpha
    objective.alpha = state.alpha = alpha
    gradient = point.gradient.copy()
    gradient[:n_weights] += change * weights
    diagonal = np.arange(n_weights)
    hessian[diagonal, diagonal] += change
    loss = max(0.0, point.loss + 0.5 * change * square_sum)
    descent.revalue(Point(point.parameters, loss, gradient))


def _determined(
    hessian: NDArray[np.float64], decay: NDArray[np.float64], eps: float
) -> NDArray[np.float64]:
    """How far the data determine each parameter, from 0 to 1: 1 - decay * the inverse's diagonal.

    A little decay for all keeps apart what the data do not determine at all, such as the bias of a
    unit that does nothing, from the rounding of H.
    """
    diagonal = hessian.diagonal()
    ridge = 1e4 * eps * max(float(diagonal.max()), _TINY)
    while ridge < np.inf:
        matrix = np.array(hessian.T, order="F")
        np.fill_diagonal(matrix, diagonal + ridge)
        factor, info = dpotrf(matrix, lower=True, overwrite_a=True)
        if info == 0:
            inverse, _ = dpotri(factor, lower=True, overwrite_c=True)
            return np.clip(1.0 - (decay + ridge) * inverse.diagonal(), 0.0, 1.0)
        ridge *= 10.0
    return np.zeros(len(decay))
