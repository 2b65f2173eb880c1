"""What a neuron does with its net input: the activations, each a record of two plain functions.

``value(z)`` is the output a of a neuron with net input z. ``slope(z, a)`` is the derivative
da/dz, from the net input and the output, so that ``1 - tanh(z)^2`` need not compute tanh again.
That slope IS the derivative that backpropagation speaks of: the error of a neuron is the error
that arrives from above times the slope.

Both are written once, for a scalar, in plain Python over NumPy; the kernels compile the same
source. Three rules hold for every record and are tested from the registry:

- NaN in is NaN out: ``0 if z <= 0 else z`` keeps a NaN, ``z if z > 0 else 0`` would lose it.
- float32 stays float32: constants are cast (``T = type(z)``), because 1.0 would widen it.
- the value is finite wherever the mathematical function is, at z = +-700 in particular.

To add an activation, write its record and name it in ``ACTIVATIONS``; the tests pick it up.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastbp.machine.elementary import exp, tanh

__all__ = ["ACTIVATIONS", "HIDDEN_ACTIVATIONS", "Activation"]


class Activation(NamedTuple):
    """An activation function.

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
    """

    name: str
    value: Callable
    slope: Callable
    positive: bool = False


def _identity(z):  # type: ignore[no-untyped-def]
    return z


def _identity_slope(z, a):  # type: ignore[no-untyped-def]
    T = type(z)
    return T(1)


def _logistic(z):  # type: ignore[no-untyped-def]
    T = type(z)
    return T(1) / (T(1) + exp(-z))


def _logistic_slope(z, a):  # type: ignore[no-untyped-def]
    T = type(z)
    return a * (T(1) - a)


def _tanh(z):  # type: ignore[no-untyped-def]
    return tanh(z)


def _tanh_slope(z, a):  # type: ignore[no-untyped-def]
    T = type(z)
    return T(1) - a * a


def _relu(z):  # type: ignore[no-untyped-def]
    T = type(z)
    return T(0) if z <= T(0) else z


def _relu_slope(z, a):  # type: ignore[no-untyped-def]
    T = type(z)
    return T(0) if a == T(0) else T(1)


def _softsign(z):  # type: ignore[no-untyped-def]
    T = type(z)
    return z / (T(1) + abs(z))


def _softsign_slope(z, a):  # type: ignore[no-untyped-def]
    T = type(z)
    root = T(1) - abs(a)
    return root * root


def _softplus(z):  # type: ignore[no-untyped-def]
    # log(1 + e^z) = max(z, 0) + log(1 + e^-|z|): the exponential never overflows.
    T = type(z)
    return (T(0) if z <= T(0) else z) + np.log1p(exp(-abs(z)))


def _softplus_slope(z, a):  # type: ignore[no-untyped-def]
    T = type(z)
    return T(1) / (T(1) + exp(-z))


def _leaky_relu(z):  # type: ignore[no-untyped-def]
    T = type(z)
    return T(0.01) * z if z <= T(0) else z


def _leaky_relu_slope(z, a):  # type: ignore[no-untyped-def]
    T = type(z)
    return T(0.01) if z <= T(0) else T(1)


def _elu(z):  # type: ignore[no-untyped-def]
    T = type(z)
    return np.expm1(z) if z <= T(0) else z


def _elu_slope(z, a):  # type: ignore[no-untyped-def]
    T = type(z)
    return a + T(1) if z <= T(0) else T(1)


def _silu(z):  # type: ignore[no-untyped-def]
    T = type(z)
    return z / (T(1) + exp(-z))


def _silu_slope(z, a):  # type: ignore[no-untyped-def]
    T = type(z)
    sigma = T(1) / (T(1) + exp(-z))
    return sigma + a * (T(1) - sigma)


def _sin(z):  # type: ignore[no-untyped-def]
    return np.sin(z)


def _sin_slope(z, a):  # type: ignore[no-untyped-def]
    return np.cos(z)


def _exp(z):  # type: ignore[no-untyped-def]
    return exp(z)


def _exp_slope(z, a):  # type: ignore[no-untyped-def]
    return a


def _registry(*records: Activation) -> dict[str, Activation]:
    return {record.name: record for record in records}


#: What a hidden layer may use, and the output layer too.
HIDDEN_ACTIVATIONS = _registry(
    Activation("identity", _identity, _identity_slope),
    Activation("logistic", _logistic, _logistic_slope, positive=True),
    Activation("tanh", _tanh, _tanh_slope),
    Activation("relu", _relu, _relu_slope),
    Activation("softsign", _softsign, _softsign_slope),
    Activation("softplus", _softplus, _softplus_slope, positive=True),
    Activation("leaky_relu", _leaky_relu, _leaky_relu_slope),
    Activation("elu", _elu, _elu_slope),
    Activation("silu", _silu, _silu_slope),
    Activation("sin", _sin, _sin_slope),
)

#: Those, and ``exp``, the inverse of the Poisson loss's log link, for an output layer.
ACTIVATIONS = HIDDEN_ACTIVATIONS | _registry(
    Activation("exp", _exp, _exp_slope, positive=True),
)
