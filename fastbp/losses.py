"""What a prediction costs: the losses, each a record of two plain functions.

``value(prediction, y)`` is the loss of one output of one row, ``slope(prediction, y)`` its
derivative with respect to the prediction. Their sums over outputs, and the weighted mean over
rows, are formed by the kernels.

Every loss names its ``link``'s inverse, the output activation that belongs to it. With that
activation, and only with it, the derivative with respect to the raw prediction z, before the
output activation, is ``prediction - y`` (both losses come from an exponential family with its
canonical link; Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3.6). With any
other output activation the chain rule is spelled out: ``slope(prediction, y) * da/dz``.

To add a loss, write its record and name it in ``LOSSES``; the tests pick it up.
"""

from collections.abc import Callable
from typing import NamedTuple

from fastbp.machine.elementary import log, one, where

__all__ = ["LOSSES", "Loss"]


class Loss(NamedTuple):
    """A loss function.

    Attributes
    ----------
    name : str
        The name a user chooses it by.
    value : callable
        ``value(prediction, y) -> loss`` of one output of one row.
    slope : callable
        ``slope(prediction, y) -> d loss / d prediction``.
    output_activation : str
        The inverse of the canonical link: an output activation for which
        d loss / d raw prediction is ``prediction - y``.
    positive : bool
        Whether predictions have to be above 0, and y at least 0.
    """

    name: str
    value: Callable
    slope: Callable
    output_activation: str
    positive: bool = False


def _half_squared_error(prediction, y):  # type: ignore[no-untyped-def]
    error = prediction - y
    return 0.5 * error * error


def _half_squared_error_slope(prediction, y):  # type: ignore[no-untyped-def]
    return prediction - y


def _half_poisson_deviance(prediction, y):  # type: ignore[no-untyped-def]
    # y log(y / mu) - y + mu, where 0 log 0 is 0. The mean mu = e^z underflows to 0 for z < -745;
    # a small number stands in for it, so that the loss is large and not infinite.
    mean = where(prediction < 1e-37, 1e-37, prediction)
    return y * log(where(y == 0, one(y), y / mean)) - y + prediction


def _half_poisson_deviance_slope(prediction, y):  # type: ignore[no-untyped-def]
    mean = where(prediction < 1e-37, 1e-37, prediction)
    return where(y == 0, one(y), 1 - y / mean)


LOSSES = {
    loss.name: loss
    for loss in (
        Loss(
            "squared_error",
            _half_squared_error,
            _half_squared_error_slope,
            output_activation="identity",
        ),
        Loss(
            "poisson",
            _half_poisson_deviance,
            _half_poisson_deviance_slope,
            output_activation="exp",
            positive=True,
        ),
    )
}
