r"""exp and tanh in plain arithmetic, without branches or calls, so that loops over them vectorise.

Both stand on one idea (Cody & Waite, Software Manual for the Elementary Functions, 1980). With
n = round(x / ln 2) and r = x - n ln 2, which lies within +-0.35,

    e^x      = 2^n e^r
    e^x - 1  = 2^n (e^r - 1) + (2^n - 1)

- e^r - 1 is a polynomial q(r), the Taylor series to the last term that counts.
- r is computed in two steps, x - n ln2_high - n ln2_low, where ln2_high has so few bits that
  n ln2_high is exact.
- Rounding is adding and subtracting a number so large that no fraction fits beside it; the sum's
  low bits then hold n as an integer, from which the bits of 2^n are put together.
- 2^n is multiplied in two halves, since results near overflow, or below the smallest normal number,
  need factors that a single power of two cannot be.

tanh x = (e^2x - 1) / (e^2x + 1) = t / (t + 2) with t = e^2x - 1: accurate near 0, where e^2x alone
would have lost the digits.

Reordered sums would undo all this: the functions are `exact`. Errors are at most 1 (exp) and 3
(tanh) units in the last place (``tests/test_elementary.py`` measures them); NaN and infinities are
right.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from fastbp.machine import elementary
from fastbp.machine.jit import EXACT, exact

__all__: list[str] = []


class _Format(NamedTuple):
    """Constants of a floating-point format."""

    integer: Any
    log2_e: Any
    ln2_high: Any
    ln2_low: Any
    rounder: Any  # 1.5 * 2^mantissa bits: x + rounder - rounder is x rounded
    rounder_bits: Any
    mantissa_bits: Any
    exponent_bias: Any
    lowest: Any  # where e^x is 0
    highest: Any  # where e^x is infinite
    tanh_is_1: Any
    tanh_is_x: Any
    series: tuple  # 1/k! from the highest k down to k = 2


def _series(dtype: type, degree: int) -> tuple:
    return tuple(dtype(1 / math.factorial(k)) for k in range(degree, 1, -1))


_DOUBLE = _Format(
    integer=np.int64,
    log2_e=np.float64(1 / math.log(2)),
    ln2_high=np.float64(6.93147180369123816490e-01),
    ln2_low=np.float64(1.90821492927058770002e-10),
    rounder=np.float64(1.5 * 2**52),
    rounder_bits=np.float64(1.5 * 2**52).view(np.int64),
    mantissa_bits=np.int64(52),
    exponent_bias=np.int64(1023),
    lowest=np.float64(-746),
    highest=np.float64(710),
    tanh_is_1=np.float64(20),
    tanh_is_x=np.float64(1e-9),
    series=_series(np.float64, 13),
)
_SINGLE = _Format(
    integer=np.int32,
    log2_e=np.float32(1 / math.log(2)),
    ln2_high=np.float32(0.693359375),
    ln2_low=np.float32(-2.12194440e-4),
    rounder=np.float32(1.5 * 2**23),
    rounder_bits=np.float32(1.5 * 2**23).view(np.int32),
    mantissa_bits=np.int32(23),
    exponent_bias=np.int32(127),
    lowest=np.float32(-104),
    highest=np.float32(89),
    tanh_is_1=np.float32(10),
    tanh_is_x=np.float32(1e-4),
    series=_series(np.float32, 8),
)


def _bits_as(source: types.Type, target: types.Type) -> Any:
    """Make a function that reads the bits of a number as a number of another type."""

    def read(typing_context, x):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return builder.bitcast(arguments[0], context.get_value_type(target))

        return target(source), generate

    return intrinsic(read)


def _functions(constants: _Format, number: types.Type, bits: types.Type) -> tuple:
    """Make exp and tanh for one format."""
    Int, log2_e, ln2_high, ln2_low, rounder, rounder_bits = constants[:6]
    mantissa_bits, exponent_bias, lowest, highest, tanh_is_1, tanh_is_x, series = constants[6:]
    one, two = type(log2_e)(1), type(log2_e)(2)
    bits_of, number_of = _bits_as(number, bits), _bits_as(bits, number)

    @exact
    def reduced(x):  # type: ignore[no-untyped-def]
        """Give q = e^r - 1 and n, where x = n ln 2 + r."""
        shifted = x * log2_e + rounder
        n = shifted - rounder
        r = (x - n * ln2_high) - n * ln2_low
        tail = series[0]
        for coefficient in series[1:]:
            tail = tail * r + coefficient
        return r + (r * r) * tail, Int(bits_of(shifted) - rounder_bits)

    @exact
    def power_of_2(n):  # type: ignore[no-untyped-def]
        return number_of(Int(Int(n + exponent_bias) << mantissa_bits))

    @exact
    def exp(x):  # type: ignore[no-untyped-def]
        # Comparisons are written so that a NaN passes them.
        x = lowest if x < lowest else x
        x = highest if x > highest else x
        q, n = reduced(x)
        half = Int(n >> 1)
        return (one + q) * power_of_2(half) * power_of_2(Int(n - half))

    @exact
    def tanh(x):  # type: ignore[no-untyped-def]
        size = abs(x)
        size = tanh_is_1 if size > tanh_is_1 else size
        q, n = reduced(size + size)
        power = power_of_2(n)
        t = power * q + (power - one)
        t = t / (t + two)
        t = t if x > 0 else -t
        return x if size < tanh_is_x else t  # keeps the sign of 0

    return exp, tanh


_FUNCTIONS = {
    types.float64: _functions(_DOUBLE, types.float64, types.int64),
    types.float32: _functions(_SINGLE, types.float32, types.int32),
}


def _give_body(stub: Any, which: int) -> None:
    @overload(stub, jit_options={"fastmath": EXACT, "error_model": "numpy"}, target="cpu")
    def choose(x):  # type: ignore[no-untyped-def]
        if x not in _FUNCTIONS:
            return None
        function = _FUNCTIONS[x][which]
        return lambda x: function(x)


_give_body(elementary.exp, 0)
_give_body(elementary.tanh, 1)
