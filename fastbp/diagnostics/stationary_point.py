"""Where training has ended: at a minimum, at a saddle, or on the way.

The eigenvalues of the Hessian tell: all positive is a minimum, one negative a saddle. The largest
and the smallest are found by Lanczos iterations, which need products of the Hessian with vectors
and not the Hessian itself; such a product is a difference of two compiled gradients,

    H v = (g(p + h v) - g(p - h v)) / 2h

References
----------
Lanczos, J. Res. NBS 45 (1950); Lehoucq, Sorensen & Yang, "ARPACK users' guide", SIAM (1998).
Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6 (1994), section 1, for
the differences.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from fastbp.model.data import Data
from fastbp.model.objective import NetworkLoss

__all__ = ["StationaryPoint", "stationary_point"]

#: Curvatures smaller than this part of the largest are rounding of the differences.
_FLAT = 1e-6
_DENSE = 500  # up to so many parameters all products are formed: faster than Lanczos there


class StationaryPoint(NamedTuple):
    """What a point of the error surface is.

    Attributes
    ----------
    kind : {"minimum", "flat", "saddle", "maximum", "not stationary", "undetermined"}
        What it is. At a flat point no curvature is negative and some are 0 as far as differences
        can tell, as with a unit that does nothing: curvatures do not decide whether it is a
        minimum. It is undetermined where they could not be found.
    gradient_norm : float
        The largest entry of the gradient, in absolute value.
    smallest_eigenvalue, largest_eigenvalue : float
        The extreme curvatures.
    tol : float
        The gradient norm below which a point counts as stationary.

    Examples
    --------
    >>> from fastbp import BackpropRegressor
    >>> X, y = [[-2.0], [-1.0], [1.0], [2.0]], [-1.0, -0.8, 0.8, 1.0]
    >>> net = BackpropRegressor("squared_error", (1,), "tanh", solver="lm", random_state=0)
    >>> net.fit(X, y).stationary_point(X, y).kind
    'minimum'
    """

    kind: str
    gradient_norm: float
    smallest_eigenvalue: float
    largest_eigenvalue: float
    tol: float

    def __str__(self) -> str:
        low, high = self.smallest_eigenvalue, self.largest_eigenvalue
        curvatures = f"curvatures from {low:.2g} to {high:.2g}"
        if self.kind == "not stationary":
            return (
                f"Not stationary: an entry of the gradient is {self.gradient_norm:.2g}, more than "
                f"{self.tol:.2g}, so there is a way down ({curvatures}). Train on."
            )
        if self.kind == "undetermined":
            return "A stationary point, but its curvatures could not be found."
        meaning = {
            "minimum": "the loss rises in every direction",
            "flat": "no curvature is negative, but some are 0 as far as differences can tell, so "
            "it may be a minimum or not",
            "saddle": "the loss falls along a direction of negative curvature",
            "maximum": "the loss falls in every direction",
        }[self.kind]
        name = "Flat" if self.kind == "flat" else f"A {self.kind}"
        return f"{name}: {meaning} ({curvatures})."


def stationary_point(
    objective: NetworkLoss, parameters: NDArray[np.float64], tol: float
) -> StationaryPoint:
    """Tell what a point of the error surface is.

    Parameters
    ----------
    objective : NetworkLoss
        The objective, in float64.
    parameters : ndarray of shape (n_parameters,)
        The point; not changed.
    tol : float
        The largest entry of the gradient that a stationary point may have.

    Returns
    -------
    point : StationaryPoint
        Gradient norm, extreme curvatures, and what follows from them.
    """
    with np.errstate(all="ignore"):
        _, gradient = objective.loss_and_gradient(parameters)
        norm = float(np.abs(gradient).max())
        low = high = math.nan
        if math.isfinite(norm):
            low, high = _extreme_curvatures(objective, parameters)
    flat = _FLAT * max(abs(low), abs(high))
    if not norm <= tol:
        kind = "not stationary"
    elif not math.isfinite(flat):
        kind = "undetermined"
    elif low > flat:
        kind = "minimum"
    elif low >= -flat:
        kind = "flat"
    else:
        kind = "maximum" if high < -flat else "saddle"
    return StationaryPoint(kind, norm, low, high, tol)


def _extreme_curvatures(
    objective: NetworkLoss, parameters: NDArray[np.float64]
) -> tuple[float, float]:
    # A move of the first layer's weights counts as much as the inputs are large.
    data = objective.data
    assert isinstance(data, Data)
    inputs = data.values if data.values.size else data.X
    length = math.sqrt(float(np.vdot(inputs, inputs)) / data.n_samples)
    scale = np.cbrt(np.finfo(np.float64).eps) / max(1.0, length)
    scale *= max(1.0, float(np.linalg.norm(parameters)))

    def product(v: NDArray[np.float64]) -> NDArray[np.float64]:
        v = np.ravel(v)
        h = scale / max(float(np.linalg.norm(v)), np.finfo(np.float64).tiny)
        _, above = objective.loss_and_gradient(parameters + h * v)
        _, below = objective.loss_and_gradient(parameters - h * v)
        return (above - below) / (2.0 * h)

    n = parameters.size
    if n <= _DENSE:
        hessian = np.array([product(e) for e in np.eye(n)])
        if not np.isfinite(hessian).all():
            return math.nan, math.nan
        try:
            eigenvalues = np.linalg.eigvalsh(0.5 * hessian + 0.5 * hessian.T)
        except np.linalg.LinAlgError:  # its numbers are too large to be squared
            return math.nan, math.nan
        return float(eigenvalues[0]), float(eigenvalues[-1])
    high = _largest_eigenvalue(product, n)
    # The smallest is the largest of high I - H: found as exactly in relation to the whole range,
    # where a residual relative to the smallest itself, often 0, would never be small enough.
    span = _largest_eigenvalue(lambda v: high * np.ravel(v) - product(v), n)
    return high - span, high


def _largest_eigenvalue(product: Callable, n: int) -> float:
    operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
    start = np.random.RandomState(0).standard_normal(n)
    for tol in (1e-7, _FLAT):
        try:
            found = eigsh(operator, 1, which="LA", v0=start, tol=tol, return_eigenvectors=False)
        except ArpackNoConvergence:
            continue
        return float(found[0])
    return math.nan
