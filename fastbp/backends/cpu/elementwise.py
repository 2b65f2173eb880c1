"""Activations and losses over a block of numbers: loops that kernels call by address.

The records hold plain functions, which here meet whole vectors. Each becomes a loop over a block.
Only the loops that a network uses are compiled; the choice costs one call a layer and block, never
anything a number. A network's addresses stand in its `Layout`. `softmax.py` has the one activation
that looks at all units of its layer.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.machine import (  # noqa: F401 - they give elementary functions compiled bodies
    elementary_cpu,
    normal_cpu,
)
from fastbp.machine.by_address import DoesNotCompile, address_of, numbers_at
from fastbp.machine.compiler import COMPILING
from fastbp.machine.compiling_once import load_or_compile
from fastbp.machine.jit import part
from fastbp.machine.simd import lanes, load, splat, store, sum_lanes
from fastbp.model.activations import Activation
from fastbp.model.network import Network
from fastbp.model.own_records import is_own

__all__ = ["activation_address", "output_error_address", "output_errors_address"]

_addresses: dict[tuple, int] = {}


def activation_address(record: Activation, dtype: np.dtype, with_slope: bool) -> int:
    """Give the address of ``loop(z, s, n)``: z <- f(z), and, if asked for, s <- f'(z)."""
    make = _values_and_slopes if with_slope else _values
    return _address(make, 2, (record,), dtype, make.__name__)


def output_error_address(network: Network, dtype: np.dtype) -> int:
    """Give the address of ``loop(parameters, z, y, weights, delta, n) -> float``.

    It takes the output layer's net inputs, and applies activation and loss: it returns the sum of
    weights * loss and leaves weights * d loss / d z in ``delta``. Weights of 0 make padding count
    for nothing. Of a softmax it takes the probabilities, and in ``delta`` their logarithms.
    """
    pieces, records = _error_of(network)
    return _address(lambda *given: _error_sum(*pieces(*given)), 5, records, dtype, pieces.__name__)


def output_errors_address(network: Network, dtype: np.dtype) -> int:
    """Give the address of ``loop(parameters, z, y, weights, delta, losses, n)``.

    It does the same, but leaves each weights * loss in ``losses``, and returns 0.
    """
    pieces, records = _error_of(network)
    name = f"each{pieces.__name__}"
    return _address(lambda *given: _error_of_each(*pieces(*given)), 6, records, dtype, name)


def _error_of(network: Network) -> tuple[Callable, tuple]:
    """Give what makes the pieces of a network's error loop, and the records they are made of."""
    loss, output = network.loss_record, network.activations[-1]
    if loss.is_softmax:
        return _softmax_error, (loss,)
    if not network.is_canonical:
        return _error, (loss, output)
    return _canonical_error if loss.raw_value is None else _raw_error, (loss, output)


def _address(make: Any, n_arrays: int, records: tuple, dtype: np.dtype, name: str) -> int:
    key = (name, records, dtype)
    try:
        return _addresses[key]
    except KeyError:
        with COMPILING:
            loop = _named_loop(make, *key[:2])
        return load_or_compile(lambda: _new_address(loop, n_arrays, key))


def _named_loop(make: Any, name: str, records: tuple) -> Any:
    """Make a loop, whose name tells it from others to the cache and the loader."""
    loop = make(*records)
    names = "_".join(record.name for record in records)
    loop.__qualname__ = f"{name}{'_own' if any(map(is_own, records)) else ''}_{names}"
    return loop


@COMPILING
def _new_address(loop: Any, n_arrays: int, key: tuple) -> int:
    if key not in _addresses:  # nor has another thread compiled it just now
        _, records, dtype = key
        own = list(filter(is_own, records))
        try:
            # The cache's key is fastbp's sources: a user's own are not among them.
            _addresses[key] = address_of(loop, dtype, n_arrays, is_kept=not own)
        except DoesNotCompile as error:
            given = own or records
            kinds = (f"{type(record).__name__.lower()} {record.name!r}" for record in given)
            raise ValueError(
                f"The functions of {' and '.join(kinds)} do not compile for vectors: "
                f"{error}. They may use arithmetic, comparisons and the functions of "
                "fastbp.elementary (exp, log, tanh, where, one, ...), and call no others."
            ) from error
    return _addresses[key]


def _in_pairs(piece_of):
    """Make a loop over vectors from what does n of them: two, whose chains hide each other's."""
    pair, single = piece_of(2), piece_of(1)

    @part
    def run(z, s):
        v = lanes(z)
        n_paired = z.size // (2 * v) * 2 * v
        for i in range(0, n_paired, 2 * v):
            pair(z, s, i)
        for i in range(n_paired, z.size, v):
            single(z, s, i)

    return run


def _values(record):
    value = part(record.value)

    def piece_of(n):
        @part
        def piece(z, s, i):
            store(z, i, value(load(z, i, n)))

        return piece

    pieces = _in_pairs(piece_of)

    def loop(z, s, n):
        z = numbers_at(z, n)
        pieces(z, z)
        return 0.0

    return loop


def _values_and_slopes(record):
    value, slope = part(record.value), part(record.slope)

    def piece_of(n):
        @part
        def piece(z, s, i):
            net = load(z, i, n)
            a = value(net)
            store(z, i, a)
            store(s, i, slope(net, a))

        return piece

    pieces = _in_pairs(piece_of)

    def loop(z, s, n):
        pieces(numbers_at(z, n), numbers_at(s, n))
        return 0.0

    return loop


# An error loop is made of three pieces: ``activate(z)``, ``loss(p, y, c, z, kept)`` and
# ``error(weight, p, y, c, z)``. p is the prediction, c the loss's own number, ``kept`` is what
# ``delta`` held.


def _error_sum(activate, loss, error):
    activate, loss, error = part(activate), part(loss), part(error)

    def loop(parameters, outputs, y, weights, delta, n):
        delta = numbers_at(delta, n)
        total = splat(delta, 0.0)
        for i in range(0, n, lanes(delta)):
            z, kept = load(numbers_at(outputs, n), i), load(delta, i)
            p, target = activate(z), load(numbers_at(y, n), i)
            weight, c = load(numbers_at(weights, n), i), load(numbers_at(parameters, n), i)
            total = total + weight * loss(p, target, c, z, kept)
            store(delta, i, error(weight, p, target, c, z))
        return float(sum_lanes(total))

    return loop


def _error_of_each(activate, loss, error):
    activate, loss, error = part(activate), part(loss), part(error)

    def loop(parameters, outputs, y, weights, delta, losses, n):
        delta = numbers_at(delta, n)
        for i in range(0, n, lanes(delta)):
            z, kept = load(numbers_at(outputs, n), i), load(delta, i)
            p, target = activate(z), load(numbers_at(y, n), i)
            weight, c = load(numbers_at(weights, n), i), load(numbers_at(parameters, n), i)
            store(numbers_at(losses, n), i, weight * loss(p, target, c, z, kept))
            store(delta, i, error(weight, p, target, c, z))
        return 0.0

    return loop


def _canonical(weight, p, target, c, z):
    return weight * (p - target)


def _probability(p):
    return p


def _softmax_error(loss):
    raw_value = part(loss.raw_value)
    return _probability, lambda p, y, c, z, log_p: raw_value(log_p, y, c), _canonical


def _raw_error(loss, output):
    raw_value = part(loss.raw_value)
    return output.value, lambda p, y, c, z, kept: raw_value(z, y, c), _canonical


def _canonical_error(loss, output):
    value = part(loss.value)
    return output.value, lambda p, y, c, z, kept: value(p, y, c), _canonical


def _error(loss, output):
    value, gradient, slope = part(loss.value), part(loss.gradient), part(output.slope)

    def by_chain_rule(weight, p, target, c, z):
        return slope(z, p) * (weight * gradient(p, target, c))

    return output.value, lambda p, y, c, z, kept: value(p, y, c), by_chain_rule
