"""Levenberg-Marquardt: Gauss-Newton steps, damped until they go down.

With the Gauss-Newton matrix H = J'J (and the weight decay) and the gradient g = J'e,

    (H + mu I) step = -g

A small mu gives a Gauss-Newton step, a large one a short step along -g. After a step that lowers
the loss, mu falls, the more the better H predicted the decrease; else the step is not taken and
mu rises, by 2, 4, 8, ... With mu > 0 the matrix is positive definite however few rows or however
alike columns there are; where rounding denies it, mu rises too.

Where the predictions bend along the step, geodesic acceleration bends the step. With the second
derivative f'' of the predictions along it,

    (H + mu I) acceleration = -J'f''        path(t) = t step + t^2 / 2 acceleration

of which the end, at t = 1, is tried. Where the acceleration is long beside the step, both come from
too far away, and the path is left earlier; its loss is still judged by what H promises at the end,
so that mu then rises. (Transtrum and Sethna refuse such a step, which takes one more matrix to be
factored for each; on small tables that costs more iterations than to leave the path.)

References
----------
Levenberg (1944); Marquardt (1963). Hagan & Menhaj, "Training feedforward networks with the
Marquardt algorithm", IEEE Trans. Neural Networks 5 (1994). Madsen, Nielsen & Tingleff, "Methods for
non-linear least squares problems", Technical University of Denmark (2004), algorithm 3.16.
Transtrum & Sethna, "Improvements to the Levenberg-Marquardt algorithm for nonlinear least-squares
minimization", arXiv:1201.5885 (2012), section 3.
"""

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dnrm2, dtrsv, idamax
from scipy.linalg.lapack import dpotrf

from fastbp.model.objective import LeastSquares
from fastbp.solvers.descent import Descent, Minimised, Options, descend, iterations
from fastbp.solvers.states import Point, all_finite
from fastbp.solvers.stopping import Stop

__all__ = ["Damping", "minimise", "normal_equations"]

_FIRST_MU = 1e-3  # of H's largest diagonal entry
_MAX_MU = 1e20
_MAX_BEND = 0.375  # of the step's length, t times the acceleration's: 2 |a| / |v| <= 0.75


@dataclass
class Damping:
    """The damping, and how it rises and falls (Nielsen's rule).

    Attributes
    ----------
    mu : float
        The damping; NaN before the first matrix.
    growth : float
        By how much it rises next.
    """

    mu: float = math.nan
    growth: float = 2.0

    def lower_point(self, descent: Descent, hessian: NDArray[np.float64]) -> Point:
        """Find a lower point from where a descent stands.

        Parameters
        ----------
        descent : Descent
            Evaluates the trial points.
        hessian : ndarray of shape (n_parameters, n_parameters)
            The upper triangle of the Gauss-Newton matrix.

        Returns
        -------
        point : Point
            A point with a lower loss.

        Raises
        ------
        Stop
            If there is none as far as numbers can tell, or no more evaluation is left.
        """
        start = descent.point
        diagonal = hessian.diagonal()
        largest = float(diagonal[idamax(diagonal)])
        if math.isnan(self.mu):
            self.mu = _FIRST_MU * max(largest, np.finfo(np.float64).tiny)
        while self.mu < _MAX_MU * max(1.0, largest):
            factor = _factor(hessian, self.mu)
            step = None if factor is None else _solve(factor, -start.gradient)
            if factor is not None and step is not None:
                way = _bent(descent, factor, step) if descent.options.lm_acceleration else step
                trial = descent.evaluate(start.parameters + way)
                promised = 0.5 * float(step.dot(self.mu * step - start.gradient))
                if trial.loss < start.loss and trial.is_finite:
                    gain = (start.loss - trial.loss) / promised if promised > 0 else 1.0
                    self.mu *= max(1.0 / 3.0, 1.0 - (2.0 * gain - 1.0) ** 3)
                    self.growth = 2.0
                    return trial
                if np.array_equal(trial.parameters, start.parameters):
                    break
            self.mu *= self.growth
            self.growth *= 2.0
        raise Stop("step_size")


def minimise(
    objective: LeastSquares, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise a sum of squares by Levenberg-Marquardt; see `descend`."""
    return descend(iterations(lambda _: Damping(), _iterate), objective, parameters, options)


def _iterate(descent: Descent, damping: Damping) -> None:
    hessian = normal_equations(descent)
    descent.accept(damping.lower_point(descent, hessian))


def normal_equations(descent: Descent) -> NDArray[np.float64]:
    """Gauss-Newton matrix where a descent stands: its upper triangle, in float64.

    Raises
    ------
    Stop
        If it is not finite, or no more evaluation is left.
    """
    descent.check_limits()
    descent.history.n_fun += 1
    objective = cast(LeastSquares, descent.objective)
    _, _, matrix = objective.normal_equations(descent.point.parameters.astype(descent.dtype))
    hessian = matrix.astype(np.float64, copy=False)
    if not all_finite(hessian.diagonal()):
        raise Stop("diverged")
    return hessian


def _factor(hessian: NDArray[np.float64], mu: float) -> NDArray[np.float64] | None:
    """Factor H + mu I by Cholesky; None where it is not positive definite."""
    # LAPACK counts columns where C counts rows: the upper triangle is its lower one.
    damped = np.array(hessian.T, order="F")
    np.einsum("ii->i", damped)[:] += mu
    factor, info = dpotrf(damped, lower=True, overwrite_a=True, clean=False)
    return factor if info == 0 else None


def _solve(factor: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Solve (H + mu I) x = right by its factor; None where rounding makes x infinite."""
    # Of one right side, dpotrs takes twice the time.
    half = dtrsv(factor, right, lower=True)
    solution = dtrsv(factor, half, lower=True, trans=1, overwrite_x=True)
    return solution if all_finite(solution) else None


def _bent(
    descent: Descent, factor: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bend a step by its geodesic acceleration, where that is finite."""
    descent.check_limits()
    descent.history.n_fun += 1
    objective, parameters = cast(LeastSquares, descent.objective), descent.point.parameters
    curvature = objective.curvature_gradient(parameters.astype(descent.dtype), step)
    acceleration = _solve(factor, -curvature)
    if acceleration is None:
        return step
    bend, longest = float(dnrm2(acceleration)), _MAX_BEND * float(dnrm2(step))
    t = 1.0 if bend <= longest else longest / bend
    return t * step + (0.5 * t * t) * acceleration
