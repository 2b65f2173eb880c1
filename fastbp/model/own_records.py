"""A user's own activation or loss, checked when it is first used: shapes, dtypes, derivative.

A wrong slope trains to somewhere, slowly, and says nothing. So it is compared with a numerical
derivative on a grid, once a record; where there is a kink, anything between the derivatives of both
sides will do.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.model.activations import ACTIVATIONS, OUTPUT_ACTIVATIONS, Activation
from fastbp.model.losses import LOSSES, Loss

__all__ = ["check_own", "is_own"]

_STEP, _TOLERANCE = 1e-5, 1e-4
_CURE = (
    "Write it for whole arrays, of arithmetic, comparisons and the functions of fastbp.elementary "
    "(exp, log, tanh, where, one, ...); an if is a where(condition, a, b)."
)


def is_own(record: Activation | Loss) -> bool:
    """Whether a record is a user's and not one of fastbp's."""
    return record not in (OUTPUT_ACTIVATIONS.get(record.name), LOSSES.get(record.name))


def check_own(record: Activation | Loss) -> None:
    """Check a record, if it is a user's and has not been checked yet.

    Raises
    ------
    ValueError
        If a function fails for arrays, gives another shape or dtype, loses a NaN, or if a
        derivative is not that of the value.
    """
    if is_own(record):
        _check(record)


@lru_cache(maxsize=256)
def _check(record: Activation | Loss) -> None:
    if isinstance(record, Activation):
        _check_activation(record)
    else:
        _check_loss(record)


def _check_activation(record: Activation) -> None:
    z = np.linspace(-6, 6, 241) + 0.0123  # no kink of a usual function is a point of the grid
    value = _Function(f"the value of activation {record.name!r}", record.value)
    slope = _Function(f"the slope of activation {record.name!r}", record.slope)
    value.check(z)
    slope.check(z, value(z))
    _compare(slope.name, "z", z, slope(z, value(z)), value)
    if not np.isnan(value(np.full(3, np.nan))).all():
        raise ValueError(
            f"{value.name} of NaN is a number, but has to be NaN, by which a training that "
            "diverges is known. Write where(z < 0, 0, z), not where(z > 0, z, 0)."
        )
    if record.positive and not (value(z) > 0).all():
        raise ValueError(
            f"Activation {record.name!r} is marked as positive, but {value.name} is "
            f"{value(z).min():g} somewhere. Set positive=False."
        )
    if record.is_rectifier and not np.array_equal(value(z), np.maximum(z, 0)):
        raise ValueError(f"Activation {record.name!r} is no rectifier. Set is_rectifier=False.")


def _check_loss(record: Loss) -> None:
    low, high = (0.05, 6.0) if record.positive else (-6.0, 6.0)
    p, y = (a.ravel() for a in np.meshgrid(np.linspace(low, high, 61), [low, 0.5, 1.7, 4.1]))
    p = p + 0.00123
    own = np.full_like(p, _a_parameter(record))
    value = _Function(f"the value of loss {record.name!r}", record.value)
    gradient = _Function(f"the gradient of loss {record.name!r}", record.gradient)
    value.check(p, y, own)
    gradient.check(p, y, own)
    _compare(gradient.name, "prediction", p, gradient(p, y, own), lambda p: value(p, y, own))
    error = p - y
    if record.is_half_square and not np.allclose(value(p, y, own), error * error / 2):
        raise ValueError(f"Loss {record.name!r} is not error^2 / 2. Set is_half_square=False.")
    link = ACTIVATIONS.get(record.canonical or "")
    if record.canonical is not None:
        z = np.linspace(-2, 2, len(p))
        a = link.value(z) if link else z
        if link is None or not np.allclose(gradient(a, y, own) * link.slope(z, a), a - y):
            raise ValueError(
                f"With output activation {record.canonical!r}, the derivative of loss "
                f"{record.name!r} in z is not prediction - y. Set canonical=None."
            )


def _a_parameter(record: Loss) -> float:
    if record.parameter is None:
        return 0.0
    low, high = np.clip(record.parameter_limits, -2.0, 2.0)
    return float(0.7 * low + 0.3 * high)


class _Function:
    """A user's function and what an error calls it."""

    def __init__(self, name: str, function: Callable) -> None:
        self.name, self._function = name, function

    def __call__(self, *arrays: NDArray) -> Any:
        with np.errstate(all="ignore"):
            return self._function(*arrays)

    def check(self, *arrays: NDArray) -> None:
        """Refuse a function that does not map arrays to one of their shape and dtype."""
        for dtype in (np.float64, np.float32):
            given: list[NDArray] = [array.astype(dtype) for array in arrays]
            try:
                result = self(*given)
            except Exception as error:
                raise ValueError(f"{self.name} fails for arrays: {error}. {_CURE}") from error
            shape, kind = np.shape(result), getattr(result, "dtype", type(result))
            if shape != given[0].shape:
                raise ValueError(
                    f"{self.name} of arrays of shape {given[0].shape} has shape {shape}. {_CURE} "
                    "A constant is for instance 0.5 * one(z)."
                )
            if kind != dtype:
                raise ValueError(
                    f"{self.name} of {np.dtype(dtype)} is {kind}. Plain numbers (1, 0.5) take the "
                    f"dtype of what they meet; NumPy's do not. {_CURE}"
                )


def _compare(
    name: str, variable: str, x: NDArray, given: NDArray, function: Callable[[NDArray], NDArray]
) -> None:
    """Refuse a derivative that is not between those to the left and to the right."""
    here = function(x)
    left, right = ((function(x + step) - here) / step for step in (-_STEP, _STEP))
    low, high = np.minimum(left, right), np.maximum(left, right)
    slack = _TOLERANCE * (1 + np.abs(low) + np.abs(high))
    defined = np.isfinite(low) & np.isfinite(high)
    distance = np.where(defined, np.maximum(low - given, given - high) - slack, -1.0)
    if not (distance <= 0).all():  # nor where it is NaN
        at = int(np.argmax(np.where(np.isnan(distance), np.inf, distance)))
        numerical = (left[at] + right[at]) / 2
        raise ValueError(
            f"{name} is wrong: at {variable} = {x[at]:.4g} it is {given[at]:.6g}, but the "
            f"numerical derivative of the value is {numerical:.6g}, a difference of "
            f"{abs(given[at] - numerical):.2g}. Correct the one or the other."
        )
