"""Is the gradient right? Central differences against backpropagation."""

import numpy as np
from numpy.typing import NDArray

from fastbp.model.objective import LossAndGradient

__all__ = ["gradient_error"]


def gradient_error(objective: LossAndGradient, parameters: NDArray[np.float64]) -> float:
    """Largest difference between the compiled gradient and central differences.

    Every parameter is moved up and down by h = eps^(1/3) max(1, |p|), and
    (L(p + h) - L(p - h)) / 2h compared with the gradient's entry.

    Parameters
    ----------
    objective : LossAndGradient
        The objective, in float64.
    parameters : ndarray of shape (n_parameters,)
        Where the gradient is taken; not changed.

    Returns
    -------
    error : float
        The largest difference over the largest entry of either gradient.
    """
    _, gradient = objective.loss_and_gradient(parameters)
    moved = parameters.copy()
    difference = np.empty_like(gradient)
    for i, p_i in enumerate(parameters):
        h = np.cbrt(np.finfo(np.float64).eps) * max(1.0, abs(p_i))
        moved[i] = p_i + h
        above, _ = objective.loss_and_gradient(moved)
        moved[i] = p_i - h
        below, _ = objective.loss_and_gradient(moved)
        moved[i] = p_i
        difference[i] = (above - below) / (2 * h)
    largest = max(np.abs(gradient).max(), np.abs(difference).max())
    return float(np.abs(gradient - difference).max() / largest) if largest > 0 else 0.0
