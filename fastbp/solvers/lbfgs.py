"""Limited-memory BFGS: SciPy's L-BFGS-B over our compiled loss and gradient.

References
----------
Liu & Nocedal, "On the limited memory BFGS method for large scale optimization", Math. Prog. 45
(1989). Zhu, Byrd, Lu & Nocedal, "Algorithm 778: L-BFGS-B", ACM TOMS 23 (1997).
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult
from scipy.optimize import minimize as scipy_minimize

from fastbp.solvers.history import History
from fastbp.solvers.stopping import StopReason

__all__ = ["Options", "minimise"]


class _HasLossAndGradient(Protocol):
    def loss_and_gradient(
        self, parameters: NDArray[np.floating]
    ) -> tuple[float, NDArray[np.floating]]: ...


@dataclass(frozen=True)
class Options:
    """Options of L-BFGS; the names are the estimator's.

    Attributes
    ----------
    max_iter : int
        Iterations at most.
    max_fun : int
        Evaluations of the loss, at most; looked at between iterations.
    tol : float
        Stop when no entry of the gradient is larger.
    verbose : bool, default=False
        Whether to print a line an iteration.
    """

    max_iter: int
    max_fun: int
    tol: float
    verbose: bool = False


class _Diverged(Exception):
    """The loss or its gradient is NaN or infinite."""


def minimise(
    objective: _HasLossAndGradient, parameters: NDArray[np.floating], options: Options
) -> tuple[NDArray[np.floating], History, StopReason]:
    """Minimise by L-BFGS.

    Parameters
    ----------
    objective : object with ``loss_and_gradient``
        What is minimised.
    parameters : ndarray of shape (n_parameters,)
        The start; not changed.
    options : Options
        The options.

    Returns
    -------
    parameters : ndarray of shape (n_parameters,)
        The last accepted point, of the dtype of the start; never one with a higher loss.
    history : History
        The loss at each iteration.
    stop_reason : str
        Why it stopped.
    """
    history = History()
    point = parameters.astype(np.float64)

    def evaluate(p: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        loss, gradient = objective.loss_and_gradient(p.astype(parameters.dtype))
        if not (math.isfinite(loss) and np.isfinite(gradient).all()):
            raise _Diverged
        if math.isnan(history.loss):
            history.loss = loss  # of the start
        return loss, gradient.astype(np.float64)

    def note(intermediate_result: OptimizeResult) -> None:
        point[:] = intermediate_result.x
        history.n_iter += 1
        history.loss = float(intermediate_result.fun)
        history.loss_curve.append(history.loss)
        if options.verbose:
            print(f"Iteration {history.n_iter}, loss = {history.loss:.8f}")

    stop_reason: StopReason
    try:
        result = scipy_minimize(
            evaluate,
            point.copy(),
            method="L-BFGS-B",
            jac=True,
            callback=note,
            options={"maxfun": options.max_fun, "maxiter": options.max_iter, "gtol": options.tol},
        )
    except _Diverged:
        stop_reason = "diverged"
    except KeyboardInterrupt:
        stop_reason = "interrupted"
    else:
        point[:] = result.x
        history.loss = float(result.fun)
        stop_reason = _reason(result, options)
    return point.astype(parameters.dtype), history, stop_reason


def _reason(result: OptimizeResult, options: Options) -> StopReason:
    if result.status == 0:
        return "gradient_norm" if np.abs(result.jac).max() <= options.tol else "tolerance"
    if result.status == 1:
        return "max_iter" if result.nit >= options.max_iter else "max_fun"
    return "line_search"
