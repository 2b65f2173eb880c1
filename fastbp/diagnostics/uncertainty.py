"""How sure a least-squares fit is of its predictions: Laplace's approximation.

With errors of variance s^2, the weights' prior of variance s^2 / alpha (biases have none), and J
the derivatives of all predictions with respect to the parameters, each row times the root of its
weight, the parameters' posterior at a minimum is about Gaussian, and a prediction with derivatives
j has the variance

    covariance = s^2 A^-1          A = J'J + alpha I over the weights
    variance   = s^2 + s^2 j' A^-1 j

s^2 is the sum of w e^2 over what the fit leaves free, N - gamma: N is the number of errors, a row
counting as often as its sample weight says, gamma = n_parameters - alpha trace(A^-1) over the
weights the number of parameters that the data determine. All outputs share one s^2, as they do in
the loss.

References
----------
MacKay, "A practical Bayesian framework for backpropagation networks", Neural Computation 4 (1992).
Bishop, "Pattern recognition and machine learning" (2006), section 5.7.1.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dtrtri

from fastbp.machine.blas import one_blas_thread
from fastbp.machine.threads import run_all
from fastbp.model.objective import LeastSquares

__all__ = ["Posterior", "laplace"]

#: Numbers of a piece of the derivatives: what a thread works on, cut by its size alone.
_PIECE = 2**20


@dataclass(frozen=True)
class Posterior:
    """What the data say of a network's parameters, and of the errors.

    Attributes
    ----------
    root : ndarray of shape (n_parameters, n_parameters)
        R, lower triangular; the covariance of the parameters is ``noise`` R'R.
    noise : float
        The variance s^2 of the targets about the predictions.
    """

    root: NDArray[np.float64]
    noise: float

    def standard_deviation(
        self,
        jacobian_of: Callable[[NDArray[np.int64]], NDArray[np.floating]],
        shape: tuple[int, int],
        n_threads: int,
    ) -> NDArray[np.float64]:
        """Give the standard deviation of targets about predictions: noise and doubt together.

        Parameters
        ----------
        jacobian_of : callable
            From row numbers, (n,), to the derivatives of their predictions with respect to the
            parameters, (n, n_outputs, n_parameters).
        shape : tuple of int
            (n_samples, n_outputs).
        n_threads : int
            Threads among which the rows are divided.

        Returns
        -------
        deviation : ndarray of shape (n_samples, n_outputs)
            Above 0.
        """
        variance = np.empty(shape)
        n_parameters = len(self.root)
        rows = np.arange(shape[0])
        size = max(1, _PIECE // (n_parameters * shape[1]))

        def add_piece(start: int) -> Iterator[None]:
            piece = rows[start : start + size]
            jacobian = jacobian_of(piece).reshape(-1, n_parameters)
            with np.errstate(all="ignore"):  # far outside of the training's inputs
                spread = jacobian.astype(np.float64, copy=False) @ self.root.T
                squares = np.einsum("ij,ij->i", spread, spread)
            variance[piece] = self.noise * (1.0 + squares.reshape(len(piece), -1))
            yield

        with one_blas_thread():
            run_all(add_piece, range(0, len(rows), size), n_threads)
        return np.sqrt(variance)


def laplace(objective: LeastSquares, parameters: NDArray[np.float64]) -> Posterior | None:
    """Find the posterior of a network's parameters at a minimum.

    Parameters
    ----------
    objective : LeastSquares
        What was minimised, in float64.
    parameters : ndarray of shape (n_parameters,)
        The minimum; not changed.

    Returns
    -------
    posterior : Posterior or None
        None where there are not more rows than parameters that they determine, so that the errors
        tell of no noise, or where numbers are not finite.
    """
    n_weights, total_weight = objective.network.n_weights, objective.total_weight
    with np.errstate(all="ignore"), one_blas_thread():
        loss, _, hessian = objective.normal_equations(parameters)
        precision = total_weight * hessian
        weights = parameters[:n_weights]
        square_errors = 2.0 * total_weight * loss - objective.alpha * float(weights @ weights)
        found = _inverse_root(precision)
    if found is None:
        return None
    root, ridge = found
    prior = np.full(len(parameters), ridge)
    prior[:n_weights] += objective.alpha
    determined = np.clip(1.0 - prior * np.einsum("ij,ij->j", root, root), 0.0, 1.0)
    n_free = total_weight * objective.network.layer_sizes[-1] - float(determined.sum())
    if not (n_free >= 1.0 and np.isfinite(square_errors)):
        return None
    return Posterior(root, max(0.0, square_errors) / n_free)


def _inverse_root(precision: NDArray[np.floating]) -> tuple[NDArray[np.float64], float] | None:
    """R, lower triangular, with R'R the inverse of a matrix, whose upper triangle is given.

    A little precision for all, returned too, keeps what the data do not determine at all, such as
    the bias of a unit that does nothing, from the rounding of the others.
    """
    diagonal = precision.diagonal()
    if not np.isfinite(diagonal).all():
        return None
    ridge = 1e4 * float(np.finfo(np.float64).eps) * max(float(diagonal.max()), 1e-300)
    while ridge < np.inf:
        # LAPACK counts columns where C counts rows: the upper triangle is its lower one.
        matrix = np.array(precision.T, order="F")
        np.fill_diagonal(matrix, diagonal + ridge)
        factor, info = dpotrf(matrix, lower=True, overwrite_a=True, clean=True)
        if info == 0:
            root, info = dtrtri(factor, lower=True, overwrite_c=True)
            return (root, ridge) if info == 0 and np.isfinite(root).all() else None
        ridge *= 10.0
    return None
