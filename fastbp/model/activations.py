"""What a neuron does with its net input: the activations, each a record of two plain functions.

``value(z)`` is the output a of a neuron with net input z. ``slope(z, a)`` is the derivative
da/dz, from the net input and the output, so that ``1 - tanh(z)^2`` need not compute tanh again.
That slope IS the derivative that backpropagation speaks of: the error of a neuron is the error
that arrives from above times the slope.

Both are written once, in plain Python, for a number, a NumPy array, or a vector of the chip; the
kernels compile the same source. An ``if`` would need one number, so a choice is a `where`. Three
rules hold for every record and are tested from the registry:

- NaN in is NaN out: ``where(z < 0, 0, z)`` keeps a NaN, ``where(z > 0, z, 0)`` would lose it.
- float32 stays float32: plain numbers (1, 0.01) take the dtype of what they meet; ``one(z)`` is a 1
  of z's dtype where nothing else would tell it.
- the value is finite wherever the mathematical function is, at z = +-700 in particular.

A user's own is such a record, too, given where a name would be; ``own_records.py`` checks it. To
add one to fastbp, write its record here and, by hand, its formulas in ``tests/helpers/oracle.py``,
the second opinion that every kernel is tested against.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastbp.machine.elementary import (
    cos,
    exp,
    expm1,
    log1p,
    logistic,
    normal_cdf,
    one,
    reciprocal,
    sin,
    tanh,
    where,
)

__all__ = [
    "ACTIVATIONS",
    "HIDDEN_ACTIVATIONS",
    "OUTPUT_ACTIVATIONS",
    "SOFTMAX",
    "Activation",
    "activation_of",
]


_NORMAL_DENSITY_AT_0 = 1 / math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class Activation:
    """An activation function, one of fastbp's or your own.

    The functions are plain Python, of arithmetic, comparisons and the functions of
    ``fastbp.elementary``, since whole vectors go through them: an ``if`` is a ``where``. They may
    call no functions of your own, and have to be at the top level of a module to be pickled.

    Attributes
    ----------
    name : str
        The name a user chooses it by.
    value : callable
        ``value(z) -> a``, the output of a neuron with net input z.
    slope : callable
        ``slope(z, a) -> da/dz``.
    positive : bool
        Whether the output is above 0 for every z: what a Poisson mean has to be.
    initial_factor : float
        The initial weights are drawn from [-b, b], b = sqrt(factor / (fan_in + fan_out)).
    is_rectifier : bool
        Whether the output is z above 0 and else 0: products of matrices make it in passing.

    Examples
    --------
    >>> from fastbp import Activation, BackpropRegressor, elementary
    >>> def gauss(z):
    ...     return elementary.exp(-z * z)
    >>> def gauss_slope(z, a):
    ...     return -2 * z * a
    >>> net = BackpropRegressor(activation=Activation("gauss", gauss, gauss_slope))
    """

    name: str
    value: Callable
    slope: Callable
    positive: bool = False
    initial_factor: float = 6.0
    is_rectifier: bool = False


def _identity(z):  # type: ignore[no-untyped-def]
    return z


def _identity_slope(z, a):  # type: ignore[no-untyped-def]
    return one(z)


def _logistic(z):  # type: ignore[no-untyped-def]
    return logistic(z)


def _logistic_slope(z, a):  # type: ignore[no-untyped-def]
    return a * (1 - a)


def _tanh(z):  # type: ignore[no-untyped-def]
    return tanh(z)


def _tanh_slope(z, a):  # type: ignore[no-untyped-def]
    return 1 - a * a


def _relu(z):  # type: ignore[no-untyped-def]
    return where(z < 0, 0, z)  # one instruction; -0 stays -0


def _relu_slope(z, a):  # type: ignore[no-untyped-def]
    return where(a == 0, 0, one(a))


def _softsign(z):  # type: ignore[no-untyped-def]
    return z / (1 + abs(z))


def _softsign_slope(z, a):  # type: ignore[no-untyped-def]
    root = 1 - abs(a)
    return root * root


def _softplus(z):  # type: ignore[no-untyped-def]
    # log(1 + e^z) = max(z, 0) + log(1 + e^-|z|): the exponential never overflows.
    return where(z < 0, 0, z) + log1p(exp(-abs(z)))


def _softplus_slope(z, a):  # type: ignore[no-untyped-def]
    return logistic(z)


def _leaky_relu(z):  # type: ignore[no-untyped-def]
    return where(z <= 0, 0.01 * z, z)


def _leaky_relu_slope(z, a):  # type: ignore[no-untyped-def]
    return where(z <= 0, 0.01, one(z))


def _elu(z):  # type: ignore[no-untyped-def]
    return where(z <= 0, expm1(where(z <= 0, z, 0)), z)


def _elu_slope(z, a):  # type: ignore[no-untyped-def]
    return where(z <= 0, a + 1, one(z))


def _silu(z):  # type: ignore[no-untyped-def]
    return z * logistic(z)


def _silu_slope(z, a):  # type: ignore[no-untyped-def]
    sigma = logistic(z)
    return sigma + a * (1 - sigma)


def _gelu(z):  # type: ignore[no-untyped-def]
    return z * normal_cdf(z)


def _gelu_slope(z, a):  # type: ignore[no-untyped-def]
    return normal_cdf(z) + z * (_NORMAL_DENSITY_AT_0 * exp(-0.5 * z * z))


def _mish(z):  # type: ignore[no-untyped-def]
    # tanh(log(1 + e^z)) = n / (n + 2) with n = e^z (e^z + 2); it is 1 long before e^2z overflows.
    e = exp(where(z > 20, 20, z))
    n = e * (e + 2)
    return z * (n * reciprocal(n + 2))


def _mish_slope(z, a):  # type: ignore[no-untyped-def]
    low = where(z > 20, 20, z)
    e = exp(low)
    n = e * (e + 2)
    r = reciprocal(n + 2)
    return n * r + (low * (4 * r)) * (e * (e + 1) * r)


def _sin(z):  # type: ignore[no-untyped-def]
    return sin(z)


def _sin_slope(z, a):  # type: ignore[no-untyped-def]
    return cos(z)


def _exp(z):  # type: ignore[no-untyped-def]
    return exp(z)


def _exp_slope(z, a):  # type: ignore[no-untyped-def]
    return a


def _registry(*records: Activation) -> dict[str, Activation]:
    return {record.name: record for record in records}


#: What a hidden layer may use, and the output layer too.
HIDDEN_ACTIVATIONS = _registry(
    Activation("identity", _identity, _identity_slope),
    Activation("logistic", _logistic, _logistic_slope, positive=True, initial_factor=2.0),
    Activation("tanh", _tanh, _tanh_slope),
    Activation("relu", _relu, _relu_slope, is_rectifier=True),
    Activation("softsign", _softsign, _softsign_slope),
    Activation("softplus", _softplus, _softplus_slope, positive=True),
    Activation("leaky_relu", _leaky_relu, _leaky_relu_slope),
    Activation("elu", _elu, _elu_slope),
    Activation("silu", _silu, _silu_slope),
    Activation("gelu", _gelu, _gelu_slope),
    Activation("mish", _mish, _mish_slope),
    Activation("sin", _sin, _sin_slope),
)

#: Those, and ``exp``, the inverse of the Poisson loss's log link, for an output layer.
ACTIVATIONS = HIDDEN_ACTIVATIONS | _registry(
    Activation("exp", _exp, _exp_slope, positive=True),
)


def _softmax(z):  # type: ignore[no-untyped-def]
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _no_slope(z, a):  # type: ignore[no-untyped-def]
    raise NotImplementedError("An output of a softmax depends on all net inputs.")


#: The one that looks at all units of its layer, along the last axis, so that it has no slope of one
#: unit. It goes with the cross-entropy alone, whose canonical output activation it is.
SOFTMAX = Activation("softmax", _softmax, slope=_no_slope)

#: All that an output layer may have.
OUTPUT_ACTIVATIONS = ACTIVATIONS | {SOFTMAX.name: SOFTMAX}


def activation_of(given: str | Activation) -> Activation:
    """Give the record that a name, or a user's own record, stands for."""
    return given if isinstance(given, Activation) else OUTPUT_ACTIVATIONS[given]
