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

Where a loss has a kink (absolute_error and quantile, where the prediction is the target), the
gradient there is 0, which is one of its subgradients.

To add a loss, write its record here and, by hand, its formulas in ``tests/helpers/oracle.py``: the
second opinion that every kernel is tested against. Tests and kernels take both from there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastbp.machine.elementary import exp, expm1, log, log1p, one, sqrt, tanh, tiny, where
from fastbp.model.activations import SOFTMAX

__all__ = ["LOSSES", "Loss", "loss_of", "losses_where", "refuse_targets"]


@dataclass(frozen=True)
class Loss:
    """A loss function, one of fastbp's or your own; for its functions see `Activation`.

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
    parameter_limits : tuple of float
        Between which that number lies.
    positive : bool
        Whether predictions have to be above 0, and y at least 0.
    takes_zero : bool
        Whether y may be 0, if it is positive.
    is_half_square : bool
        Whether it is (prediction - y)^2 / 2, which has normal equations.
    raw_value : callable or None
        ``raw_value(z, y, parameter)``: the same loss from the raw prediction z, for the canonical
        output activation; for a softmax, from the logarithm of the prediction.
    is_for_classes : bool
        Whether predictions and y are probabilities, and no other output activation will do.
    has_r2_score : bool
        Whether ``early_stopping=True`` goes by R^2, as MLPRegressor's does, and not by minus the
        loss.

    Examples
    --------
    The log-cosh loss, which fastbp has by the name "log_cosh", written once more:

    >>> from fastbp import BackpropRegressor, Loss, elementary
    >>> def value(prediction, y, parameter):
    ...     error = prediction - y
    ...     return elementary.log(0.5 * (elementary.exp(error) + elementary.exp(-error)))
    >>> def gradient(prediction, y, parameter):
    ...     return elementary.tanh(prediction - y)
    >>> net = BackpropRegressor(loss=Loss("mine", value, gradient))
    """

    name: str
    value: Callable
    gradient: Callable
    output_activation: str = "identity"
    canonical: str | None = None
    parameter: str | None = None
    parameter_limits: tuple[float, float] = (-math.inf, math.inf)
    positive: bool = False
    takes_zero: bool = True
    is_half_square: bool = False
    raw_value: Callable | None = None
    is_for_classes: bool = False
    has_r2_score: bool = False

    @property
    def is_softmax(self) -> bool:
        """Whether the probabilities of a row sum to 1."""
        return self.canonical == SOFTMAX.name


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


def _half_gamma_deviance(prediction, y, parameter):  # type: ignore[no-untyped-def]
    # log(mu / y) + y / mu - 1, where 1 / mu^2 is to be finite. Nobody is allowed a y of 0, but it
    # stands where rows are filled up to whole vectors.
    smallest = 1e3 * sqrt(tiny(prediction))
    mean = where(prediction < smallest, smallest, prediction)
    return y / mean - 1 - log(where(y == 0, one(y), y / mean))


def _half_gamma_deviance_gradient(prediction, y, parameter):  # type: ignore[no-untyped-def]
    smallest = 1e3 * sqrt(tiny(prediction))
    mean = where(prediction < smallest, smallest, prediction)
    return (1 - y / mean) / mean


def _absolute_error(prediction, y, parameter):  # type: ignore[no-untyped-def]
    return abs(prediction - y)


def _absolute_error_gradient(prediction, y, parameter):  # type: ignore[no-untyped-def]
    return where(prediction == y, 0, where(prediction < y, -one(y), one(y)))


def _huber(prediction, y, delta):  # type: ignore[no-untyped-def]
    size = abs(prediction - y)
    return where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta))


def _huber_gradient(prediction, y, delta):  # type: ignore[no-untyped-def]
    error = prediction - y
    return where(abs(error) <= delta, error, where(error < 0, -delta, delta))


def _pinball(prediction, y, quantile):  # type: ignore[no-untyped-def]
    error = prediction - y
    return where(error < 0, -quantile * error, (1 - quantile) * error)


def _pinball_gradient(prediction, y, quantile):  # type: ignore[no-untyped-def]
    side = where(prediction < y, -quantile, 1 - quantile)
    return where(prediction == y, 0, side)


def _log_cosh(prediction, y, parameter):  # type: ignore[no-untyped-def]
    # log cosh e = log(1 + sinh^2 e) / 2, for large e |e| + log(1 + e^-2|e|) - log 2.
    size = abs(prediction - y)
    grown = expm1(where(size < 0.5, size, 0))
    sinh = 0.5 * (grown + grown / (grown + 1))
    large = size + log1p(exp(-2 * size)) - _LOG_2
    return where(size < 0.5, 0.5 * log1p(sinh * sinh), large)


def _log_cosh_gradient(prediction, y, parameter):  # type: ignore[no-untyped-def]
    return tanh(prediction - y)


_LOG_2 = math.log(2)

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
            has_r2_score=True,
        ),
        Loss(
            "absolute_error",
            _absolute_error,
            _absolute_error_gradient,
            output_activation="identity",
        ),
        Loss(
            "huber",
            _huber,
            _huber_gradient,
            output_activation="identity",
            parameter="huber_delta",
            parameter_limits=(0.0, math.inf),
        ),
        Loss(
            "quantile",
            _pinball,
            _pinball_gradient,
            output_activation="identity",
            parameter="quantile",
            parameter_limits=(0.0, 1.0),
        ),
        Loss("log_cosh", _log_cosh, _log_cosh_gradient, output_activation="identity"),
        Loss(
            "poisson",
            _half_poisson_deviance,
            _half_poisson_deviance_gradient,
            output_activation="exp",
            canonical="exp",
            positive=True,
            has_r2_score=True,
        ),
        Loss(
            "gamma",
            _half_gamma_deviance,
            _half_gamma_deviance_gradient,
            output_activation="exp",
            positive=True,
            takes_zero=False,
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
        ),
    )
}


def loss_of(given: str | Loss) -> Loss:
    """Give the record that a name, or a user's own record, stands for."""
    return given if isinstance(given, Loss) else LOSSES[given]


def losses_where(condition: Callable[[Loss], bool]) -> list[str]:
    """Names of the losses for which a condition holds, for error messages."""
    return [loss.name for loss in LOSSES.values() if condition(loss)]


def refuse_targets(loss: Loss, y: NDArray) -> None:
    """Refuse targets that a loss does not take.

    Parameters
    ----------
    loss : Loss
        The loss.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        The targets.

    Raises
    ------
    ValueError
        If the loss is for targets of 0 or more, above 0, or from 0 to 1, and one is not.
    """
    if loss.is_for_classes:
        if not 0 <= y.min() <= y.max() <= 1:
            raise ValueError(
                f"y holds {y.min():g} to {y.max():g}, but loss={loss.name!r} is for probabilities, "
                "0 to 1."
            )
        return
    wrong = (y < 0 if loss.takes_zero else y <= 0) if loss.positive else np.zeros(0, bool)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0])
        wanted = "counts and rates of 0 or more" if loss.takes_zero else "targets above 0"
        fitting = losses_where(lambda each: not (each.positive or each.is_for_classes))
        also = " (loss='poisson' takes 0)" if y[place] == 0 else ""
        raise ValueError(
            f"y is {y[place]:g} in row {place[0]}, but loss={loss.name!r} is for {wanted}{also}. "
            f"Remove such rows, or take one of the losses {fitting}."
        )
