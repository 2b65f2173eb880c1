"""Bayesian regularisation: Levenberg-Marquardt that finds the weight decay by itself.

The data's errors are taken to be Gaussian with precision beta, the weights with precision a. The
most probable weights minimise beta E_D + a E_W, with E_D = sum w e^2 / 2, E_W = |weights|^2 / 2:
the usual objective with alpha = a / beta. The evidence for both is largest where

    gamma = n_weights - alpha trace(H^-1) over the weights      H = J'J + alpha I over the weights
    a = gamma / 2 E_W              beta = (N - gamma - n_biases) / 2 E_D

gamma is the number of weights that the N errors determine, the rest is held by the decay. Biases
have no decay, and all count as determined. Between a Levenberg-Marquardt step and the next, alpha
is set anew; so no rows are set aside to choose it by, and the loss curve may rise with it.

References
----------
MacKay, "Bayesian interpolation", Neural Computation 4 (1992), eq. 2.25 and section 4. Foresee &
Hagan, "Gauss-Newton approximation to Bayesian learning", ICNN 1997.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri

from fastbp.solvers.descent import Descent, Options, Point, check_matrix_fits, descend
from fastbp.solvers.history import History
from fastbp.solvers.levenberg_marquardt import Damping, normal_equations
from fastbp.solvers.stopping import StopReason

__all__ = ["BayesianMinimised", "minimise"]

_LEAST, _MOST, _TINY = 1e-10, 1e10, 1e-300
#: alpha has settled where an iteration changes it by less than this part.
_SETTLED = 1e-3


class BayesianMinimised(NamedTuple):
    """What the solver returns: that of every solver, and what it has found out.

    Attributes
    ----------
    alpha : float
        The weight decay.
    effective_parameters : float
        How many parameters the data determine: gamma and all biases.
    """

    parameters: NDArray[np.floating]
    history: History
    stop_reason: StopReason
    alpha: float
    effective_parameters: float


def minimise(
    objective: Any, parameters: NDArray[np.floating], options: Options
) -> BayesianMinimised:
    """Minimise by Levenberg-Marquardt, and find alpha.

    Parameters
    ----------
    objective : Objective
        What is minimised, a sum of squares; its ``alpha`` is set.
    parameters : ndarray of shape (n_parameters,)
        The start; not changed.
    options : Options
        The limits and rules.

    Returns
    -------
    result : BayesianMinimised
        The last accepted parameters, the course, the reason, and what was found.

    Raises
    ------
    ValueError
        If the matrix would take more than 1 GiB.
    """
    check_matrix_fits("lm", parameters.size)
    evidence = _Evidence(objective, float(parameters.size))

    def steps(descent: Descent) -> None:
        damping = Damping()
        while True:
            hessian = normal_equations(descent)
            evidence.set_alpha(descent, hessian)
            descent.accept(damping.lower_point(descent, hessian))

    result = descend(steps, objective, parameters, options)
    return BayesianMinimised(*result, objective.alpha, evidence.effective_parameters)


@dataclass
class _Evidence:
    """How much of the weights the data determine."""

    objective: Any
    effective_parameters: float

    def set_alpha(self, descent: Descent, hessian: NDArray[np.float64]) -> None:
        """Set alpha anew where a descent stands, and the point and H to the new objective."""
        objective, point = self.objective, descent.point
        total_weight, n_weights = objective.total_weight, objective.network.n_weights
        weights = point.parameters[:n_weights]
        square_sum = float(weights @ weights)
        errors = 2.0 * total_weight * point.loss - objective.alpha * square_sum
        gamma = n_weights - objective.alpha / total_weight * _trace_of_inverse(hessian, n_weights)
        self.effective_parameters = gamma + point.parameters.size - n_weights
        n_left = total_weight * objective.network.layer_sizes[-1] - self.effective_parameters
        alpha = gamma * errors / max(square_sum, _TINY) / max(n_left, 1.0)
        alpha = min(max(alpha, _LEAST), _MOST)
        change = (alpha - objective.alpha) / total_weight
        descent.is_settled = abs(alpha - objective.alpha) <= _SETTLED * alpha
        objective.alpha = alpha
        gradient = point.gradient.copy()
        gradient[:n_weights] += change * weights
        diagonal = np.arange(n_weights)
        hessian[diagonal, diagonal] += change
        loss = point.loss + 0.5 * change * square_sum
        descent.revalue(Point(point.parameters, loss, gradient))


def _trace_of_inverse(hessian: NDArray[np.float64], n: int) -> float:
    """Sum of the first n diagonal entries of the inverse."""
    matrix = np.array(hessian.T, order="F")
    slight = np.finfo(np.float64).eps * hessian.shape[0] * max(hessian.diagonal().max(), _TINY)
    while True:
        factor, info = dpotrf(matrix, lower=True)
        if info == 0:
            inverse, _ = dpotri(factor, lower=True, overwrite_c=True)
            return float(inverse.diagonal()[:n].sum())
        np.fill_diagonal(matrix, hessian.diagonal() + slight)
        slight *= 10.0
