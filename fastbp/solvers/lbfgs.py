"""Limited-memory BFGS: SciPy's L-BFGS-B over our compiled loss and gradient.

References
----------
Liu & Nocedal, "On the limited memory BFGS method for large scale optimization", Math. Prog. 45
(1989). Zhu, Byrd, Lu & Nocedal, "Algorithm 778: L-BFGS-B", ACM TOMS 23 (1997).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult
from scipy.optimize import minimize as scipy_minimize

from fastbp.model.objective import LossAndGradient
from fastbp.solvers.descent import Descent, Minimised, Options, descend
from fastbp.solvers.stopping import Stop

__all__ = ["minimise"]


def minimise(
    objective: LossAndGradient, parameters: NDArray[np.floating], options: Options
) -> Minimised:
    """Minimise by L-BFGS; see `descend`.

    SciPy decides when it has converged: by the largest entry of the gradient, and by ``ftol``.
    ``max_fun`` it looks at between iterations, as in MLPRegressor.
    """
    return descend(_lbfgs, objective, parameters, options)


def _lbfgs(descent: Descent) -> None:
    options, limits, last = descent.options, descent.limits, descent.point
    n_ended = 0

    def evaluate(p: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal last, n_ended
        if not np.array_equal(p, last.parameters):
            if n_ended < descent.history.n_iter:  # SciPy has found that it goes on
                n_ended = descent.history.n_iter
                descent.check_callback()
            limits.clock.check()
            last = descent.evaluate(p, limited=False)
            if not last.is_finite:
                raise Stop("diverged")
        return last.loss, last.gradient

    def end_iteration(intermediate_result: OptimizeResult) -> None:
        descent.end_iteration(last)  # an iteration ends where its line search has evaluated last
        if descent.point.loss <= limits.loss_goal:
            raise Stop("goal")
        descent.check_validation()
        if options.ftol == 0:
            descent.check_progress()

    result = scipy_minimize(
        evaluate,
        last.parameters.copy(),
        method="L-BFGS-B",
        jac=True,
        callback=end_iteration,
        options={
            "maxfun": options.max_fun,
            "maxiter": limits.max_iter,
            "gtol": limits.gtol,
            "ftol": options.ftol,
        },
    )
    if result.status == 0:
        raise Stop("gradient_norm" if np.abs(result.jac).max() <= limits.gtol else "tolerance")
    if result.status == 1:
        raise Stop("max_iter" if result.nit >= limits.max_iter else "max_fun")
    raise Stop("line_search")
