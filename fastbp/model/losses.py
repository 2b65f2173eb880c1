"""What a prediction costs: the losses, each a record of two plain functions.

``value(prediction, y, parameter)`` is the loss of one output of one row and
``gradient(prediction, y, parameter)`` its derivative with respect to the prediction; ``parameter``
is the loss's own number (Huber's delta, a quantile), 0 where it has none. The kernels sum over
outputs and form the weighted mean over rows.

With a loss's ``canonical`` output activation, and only with it, the derivative with respect to the
raw prediction z, before the output activation, is ``prediction - y`` (Bishop, Pattern Recognition
and Machine Learning, 2006, section 4.3.6). Many losses have none: then, and with any other output
activation, the kernels use the chain rule, ``gradient(prediction, y, parameter) * da/dz``.

The losses of classes take probabilities: y is 0 or 1, or a number between (soft labels). Their
output activation is the canonical one, and their value is worked out from the raw prediction: a
probability that has underflowed, or rounded to 1, has lost the digits that its logarithm needs.

To add a loss, write its record here and, by hand, its formulas in ``tests/helpers/oracle.py``: the
second opinion that every kernel is tested against. Tests and kernels take both from there.
"""

from collections.abc import Callable
from typing import NamedTuple

from fastbp.machine.elementary import exp, log, log1p, one, where

__all__ = ["LOSSES", "REGRESSION_LOSSES", "Loss"]


class Loss(NamedTuple):
    """A loss function.

    Attributes
    ----------
    name : str
        The name a user chooses it by.
    value : callable
        ``value(prediction, y, parameter) -> loss`` of one output of one row.
    gradient : callable
        ``gradient(prediction, y, parameter) -> d loss / d prediction``.
    output_activation : str
        The output activation that a network has unless another is chosen.
    canonical : str or None
        The output activation with which d loss / d raw prediction is ``prediction - y``; None
        where there is none.
    parameter : str or None
        Name of the loss's own number, of which there is one for each output.
    positive : bool
        Whether predictions have to be above 0, and y at least 0.
    is_half_square : bool
        Whether it is (prediction - y)^2 / 2, which has normal equations.
    raw_value : callable or None
        ``raw_value(z, y, parameter)``: the same loss from the raw prediction z, for the canonical
        output activation; for a softmax, from the logarithm of the prediction.
    is_for_classes : bool
        Whether predictions and y are probabilities, and no other output activation will do.
    is_softmax : bool
        Whether the probabilities of a row sum to 1; then the output activation is softmax.
    """

    name: str
    value: Callable
    gradient: Callable
    output_activation: str
    canonical: str | None = None
    parameter: str | None = None
    positive: bool = False
    is_half_square: bool = False
    raw_value: Callable | None = None
    is_for_classes: bool = False
    is_softmax: bool = False


def _half_squared_error(prediction, y, parameter):  # type: ignore[no-untyped-def]
    error = prediction - y
    return 0.5 * error * error


def _half_squared_error_gradient(prediction, y, parameter):  # type: ignore[no-untyped-def]
    return prediction - y


def _half_poisson_deviance(prediction, y, parameter):  # type: ignore[no-untyped-def]
    # y log(y / mu) - y + mu, where 0 log 0 is 0. The mean mu = e^z underflows to 0 for z < -745;
    # a small number stands in for it, so that the loss is large and not infinite.
    mean = where(prediction < 1e-37, 1e-37, prediction)
    return y * log(where(y == 0, one(y), y / mean)) - y + prediction


def _half_poisson_deviance_gradient(prediction, y, parameter):  # type: ignore[no-untyped-def]
    mean = where(prediction < 1e-37, 1e-37, prediction)
    return where(y == 0, one(y), 1 - y / mean)


#: What stands in for a probability of 0 where only the probability is known.
_LEAST = 1e-37


def _binary_cross_entropy(prediction, y, parameter):  # type: ignore[no-untyped-def]
    p, q = prediction, 1 - prediction
    of_1 = y * log(where(p < _LEAST, _LEAST, p))
    return -(of_1 + (1 - y) * log(where(q < _LEAST, _LEAST, q)))


def _binary_cross_entropy_gradient(prediction, y, parameter):  # type: ignore[no-untyped-def]
    p, q = prediction, 1 - prediction
    return (1 - y) / where(q < _LEAST, _LEAST, q) - y / where(p < _LEAST, _LEAST, p)


def _raw_binary_cross_entropy(z, y, parameter):  # type: ignore[no-untyped-def]
    # With p = 1 / (1 + e^-z): -log p = softplus(-z), -log(1 - p) = softplus(z) = softplus(-z) + z.
    return where(z < 0, 0, z) - y * z + log1p(exp(-abs(z)))


def _cross_entropy(prediction, y, parameter):  # type: ignore[no-untyped-def]
    return -y * log(where(prediction < _LEAST, _LEAST, prediction))


def _cross_entropy_gradient(prediction, y, parameter):  # type: ignore[no-untyped-def]
    return -y / where(prediction < _LEAST, _LEAST, prediction)


def _raw_cross_entropy(log_p, y, parameter):  # type: ignore[no-untyped-def]
    return -y * log_p


LOSSES = {
    loss.name: loss
    for loss in (
        Loss(
            "squared_error",
            _half_squared_error,
            _half_squared_error_gradient,
            output_activation="identity",
            canonical="identity",
            is_half_square=True,
        ),
        Loss(
            "poisson",
            _half_poisson_deviance,
            _half_poisson_deviance_gradient,
            output_activation="exp",
            canonical="exp",
            positive=True,
        ),
        Loss(
            "binary_cross_entropy",
            _binary_cross_entropy,
            _binary_cross_entropy_gradient,
            output_activation="logistic",
            canonical="logistic",
            raw_value=_raw_binary_cross_entropy,
            is_for_classes=True,
        ),
        Loss(
            "cross_entropy",
            _cross_entropy,
            _cross_entropy_gradient,
            output_activation="softmax",
            canonical="softmax",
            raw_value=_raw_cross_entropy,
            is_for_classes=True,
            is_softmax=True,
        ),
    )
}

#: Those of a regression.
REGRESSION_LOSSES = {name: loss for name, loss in LOSSES.items() if not loss.is_for_classes}
