"""Activations and losses over a block of numbers: loops that kernels call by address.

The records hold plain functions, which here meet whole vectors. Each becomes a loop over a block.
Only the loops that a network uses are compiled; the choice costs one call a layer and block, never
anything a number. A network's addresses stand in its `Layout`. `softmax.py` has the one activation
that looks at all units of its layer.
"""

from typing import Any

import numpy as np

from fastbp.machine import (  # noqa: F401 - they give elementary functions compiled bodies
    elementary_cpu,
    normal_cpu,
)
from fastbp.machine.by_address import DoesNotCompile, address_of, numbers_at
from fastbp.machine.compiler import COMPILING
from fastbp.machine.jit import part
from fastbp.machine.simd import lanes, load, splat, store, sum_lanes
from fastbp.model.activations import Activation
from fastbp.model.losses import Loss
from fastbp.model.own_records import is_own

__all__ = ["activation_address", "loss_address", "raw_output_address"]

_addresses: dict[tuple, int] = {}


def activation_address(record: Activation, dtype: np.dtype, with_slope: bool) -> int:
    """Give the address of ``loop(z, s, n)``: z <- f(z), and, if asked for, s <- f'(z)."""
    make = _values_and_slopes if with_slope else _values
    return _address(make, 2, record, dtype)


def raw_output_address(record: Activation, dtype: np.dtype) -> int:
    """Give the address of ``loop(z, s, n)``: z to s and f(z) to z, for a loss's raw value."""
    return _address(_values_and_raw, 2, record, dtype)


def loss_address(record: Loss, dtype: np.dtype, is_canonical: bool) -> int:
    """Give the address of ``loop(parameters, prediction, y, weights, delta, n) -> float``.

    It returns the sum of weights * loss and leaves weights * d loss / d z in ``delta``, which held
    the slopes of the output activation, or what the loss's raw value is worked out from. Weights of
    0 make padding count for nothing.
    """
    if not is_canonical:
        return _address(_error, 5, record, dtype)
    return _address(_canonical_error if record.raw_value is None else _raw_error, 5, record, dtype)


def _address(make: Any, n_arrays: int, record: Any, dtype: np.dtype) -> int:
    key = (make, record, dtype)
    try:
        return _addresses[key]
    except KeyError:
        with COMPILING:
            if key not in _addresses:
                loop = make(record)
                # The cache's key is fastbp's sources: a user's own are not among them.
                is_kept = not is_own(record)
                # By this the cache and the loader tell loops apart.
                loop.__qualname__ = f"{make.__name__}{'' if is_kept else '_own'}_{record.name}"
                try:
                    _addresses[key] = address_of(loop, dtype, n_arrays, is_kept=is_kept)
                except DoesNotCompile as error:
                    kind = type(record).__name__.lower()
                    raise ValueError(
                        f"The functions of {kind} {record.name!r} do not compile for vectors: "
                        f"{error}. They may use arithmetic, comparisons and the functions of "
                        "fastbp.elementary (exp, log, tanh, where, one, ...), and call no others."
                    ) from error
            return _addresses[key]


def _values(record):
    value = part(record.value)

    def loop(z, s, n):
        z = numbers_at(z, n)
        for i in range(0, n, lanes(z)):
            store(z, i, value(load(z, i)))
        return 0.0

    return loop


def _values_and_slopes(record):
    value, slope = part(record.value), part(record.slope)

    def loop(z, s, n):
        z, s = numbers_at(z, n), numbers_at(s, n)
        for i in range(0, n, lanes(z)):
            net = load(z, i)
            a = value(net)
            store(z, i, a)
            store(s, i, slope(net, a))
        return 0.0

    return loop


def _values_and_raw(record):
    value = part(record.value)

    def loop(z, s, n):
        z, s = numbers_at(z, n), numbers_at(s, n)
        for i in range(0, n, lanes(z)):
            raw = load(z, i)
            store(s, i, raw)
            store(z, i, value(raw))
        return 0.0

    return loop


def _error_loop(loss, error):
    """Make a loop of ``loss(p, y, parameter, kept)`` and ``error(weight, p, y, parameter, kept)``.

    ``kept`` is what the output layer left in delta: its slopes, or raw predictions.
    """
    loss, error = part(loss), part(error)

    def loop(parameters, prediction, y, weights, delta, n):
        delta = numbers_at(delta, n)
        total = splat(delta, 0.0)
        for i in range(0, n, lanes(delta)):
            p, target = load(numbers_at(prediction, n), i), load(numbers_at(y, n), i)
            weight, kept = load(numbers_at(weights, n), i), load(delta, i)
            parameter = load(numbers_at(parameters, n), i)
            total = total + weight * loss(p, target, parameter, kept)
            store(delta, i, error(weight, p, target, parameter, kept))
        return float(sum_lanes(total))

    return loop


def _canonical(weight, p, target, parameter, kept):
    return weight * (p - target)


def _raw_error(record):
    raw_value = part(record.raw_value)
    return _error_loop(lambda p, y, parameter, z: raw_value(z, y, parameter), _canonical)


def _canonical_error(record):
    value = part(record.value)
    return _error_loop(lambda p, y, parameter, kept: value(p, y, parameter), _canonical)


def _error(record):
    value, gradient = part(record.value), part(record.gradient)

    def by_chain_rule(weight, p, target, parameter, slope):
        return slope * (weight * gradient(p, target, parameter))

    return _error_loop(lambda p, y, parameter, kept: value(p, y, parameter), by_chain_rule)
