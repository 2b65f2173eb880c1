"""How far to go along a direction: a line search for the strong Wolfe conditions.

Along x + t d, with phi(t) the loss there and phi'(t) = gradient . d, a step t is taken if it has

    phi(t) <= phi(0) + c1 t phi'(0)       (the loss falls by a part of what the slope promised)
    |phi'(t)| <= c2 |phi'(0)|             (and the slope is all but gone)

Near a minimum the fall of the loss drowns in rounding, while its slope does not. Hager and Zhang's
condition does as well as the first: phi'(t) <= (2 c1 - 1) phi'(0), and a loss that is not higher.

References
----------
Nocedal & Wright, "Numerical optimization", 2nd ed. (2006), algorithms 3.5 and 3.6. Hager & Zhang,
"A new conjugate gradient method with guaranteed descent", SIAM J. Optim. 16 (2005), eq. 4.1.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import ddot, idamax

from fastbp.solvers.descent import Descent
from fastbp.solvers.states import Point
from fastbp.solvers.stopping import Stop
from fastbp.solvers.vectors import moved

__all__ = ["line_search"]

_C1 = 1e-4
_MAX_TRIALS = 40


@dataclass(slots=True, eq=False)
class _Trial:
    step: float
    loss: float
    slope: float
    point: Point


def line_search(
    descent: Descent, direction: NDArray[np.float64], first_step: float, c2: float
) -> tuple[Point, float]:
    """Find a lower point along a direction from where the descent stands.

    Parameters
    ----------
    descent : Descent
        Evaluates the trial points.
    direction : ndarray of shape (n_parameters,)
        The direction; the gradient's product with it is negative.
    first_step : float
        The first trial, in multiples of the direction.
    c2 : float
        How much of the slope may be left: 0.1 is an accurate search, 0.9 a loose one.

    Returns
    -------
    point : Point
        A point whose loss is not higher.
    step : float
        How far it is, in multiples of the direction.

    Raises
    ------
    Stop
        If there is no such point as far as numbers can tell, or no more evaluation is left.
    """
    start = descent.point
    slope = ddot(start.gradient, direction)  # of short vectors in half of the time of @
    if not -math.inf < slope < 0:  # as far as numbers can tell
        raise Stop("line_search")
    low = before = _Trial(0.0, start.loss, slope, start)
    high: _Trial | None = None  # between low and high, in either order, lies a minimum
    step = first_step if 0 < first_step < math.inf else 1.0
    for _ in range(_MAX_TRIALS):
        point = descent.evaluate(moved(start.parameters, step, direction))
        trial = _Trial(step, point.loss, ddot(point.gradient, direction), point)
        if not point.is_finite:
            high = trial
        elif not _is_low(trial, start.loss, slope) or trial.loss > low.loss:
            high = trial
        elif abs(trial.slope) <= -c2 * slope:
            return point, step
        else:
            # The minimum lies on the side to which the loss falls from here.
            if trial.slope * (trial.step - low.step) > 0:
                high = low
            before, low = low, trial
        next_step = _beyond(before, low) if high is None else _between(low, high)
        if not _moves(descent, next_step - low.step, direction):
            break
        step = next_step
    if low.step > 0 and low.loss <= start.loss:
        return low.point, low.step
    raise Stop("line_search")


def _moves(descent: Descent, step: float, direction: NDArray[np.float64]) -> bool:
    """Whether a step is long enough to change any of the parameters."""
    parameters = descent.point.parameters
    i = idamax(direction)  # this one settles it, as a rule
    if abs(step * float(direction[i])) > descent.eps * abs(float(parameters[i])):
        return True
    return bool((np.abs(step * direction) > descent.eps * np.abs(parameters)).any())


def _is_low(trial: _Trial, loss: float, slope: float) -> bool:
    if trial.loss <= loss + _C1 * trial.step * slope:
        return True
    return trial.loss <= loss and trial.slope <= (2 * _C1 - 1) * slope


def _beyond(before: _Trial, low: _Trial) -> float:
    """Find a longer step: where the slope is 0 if it goes on changing as it did last."""
    change = low.slope - before.slope
    step = low.step - low.slope * (low.step - before.step) / change if change > 0 else math.inf
    return min(max(step, 1.5 * low.step), 10.0 * low.step)


def _between(low: _Trial, high: _Trial) -> float:
    """Minimum of the cubic through both ends' losses and slopes, well inside of the interval."""
    width = high.step - low.step
    if not high.point.is_finite:
        return low.step + 0.1 * width
    # Nocedal & Wright, eq. 3.59
    d1 = low.slope + high.slope - 3.0 * (low.loss - high.loss) / (low.step - high.step)
    square = d1 * d1 - low.slope * high.slope
    t = math.nan
    if square >= 0:
        d2 = math.copysign(math.sqrt(square), width)
        denominator = high.slope - low.slope + 2.0 * d2
        if denominator != 0:
            t = 1.0 - (high.slope + d2 - d1) / denominator
    if not math.isfinite(t):
        t = 0.5
    return low.step + min(max(t, 0.1), 0.9) * width
