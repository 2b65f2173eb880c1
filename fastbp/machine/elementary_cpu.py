r"""Elementary functions of vectors, in plain arithmetic without branches or calls.

exp and its kin stand on one idea (Cody & Waite, Software Manual for the Elementary Functions,
1980). With n = round(x / ln 2) and r = x - n ln 2, which lies within +-0.35,

    e^x      = 2^n e^r
    e^x - 1  = 2^n (e^r - 1) + (2^n - 1)

- e^r - 1 is a polynomial q(r) = r + r^2 T(r). Its coefficients interpolate at the Chebyshev points
  (mpmath's chebyfit), which needs two terms less than Taylor's series.
- r is computed in two steps, x - n ln2_high - n ln2_low, where ln2_high has so few bits that
  n ln2_high is exact.
- Rounding is adding and subtracting a number so large that no fraction fits beside it; the sum's
  low bits then hold n as an integer, from which the bits of 2^n are put together.
- 2^n is multiplied in two halves, since results near overflow, or below the smallest normal number,
  need factors that a single power of two cannot be.

    tanh x = (e^2x - 1) / (e^2x + 1) = t / (t + 2)   with t = e^2x - 1, accurate near 0
    log(1 + x) = 2 artanh s = 2 s + s^3 R(s^2)       with s = x / (2 + x), for x in [0, 1]

Adam needs 1 / sqrt(v) and a division for every weight, which a core takes 30 to 40 cycles for, a
vector of 8. Where the chip has an estimate of both to 14 bits (AVX-512), Newton's method makes it
whole in a third of that:

    y <- y + y (1 - x y)             for 1 / x
    y <- y + y (1 - x y^2) / 2       for 1 / sqrt(x)

Reordered sums would undo all this: ``jit.py`` allows none. Errors are at most 1 (exp) and 3 units
in the last place, as ``tests/machine/test_elementary.py`` measures; NaN and infinities are right.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from fastbp.machine import elementary
from fastbp.machine.chip import has_avx512
from fastbp.machine.elementary import one, reciprocal, reciprocal_sqrt, sqrt, where
from fastbp.machine.jit import OPTIONS, part
from fastbp.machine.vector import (
    Vector,
    as_float,
    as_integer,
    by_register,
    copysign,
    declare,
    lanewise,
)

__all__ = ["numbers_of", "polynomial"]  # beside bodies of the functions in elementary.py


class _Format(NamedTuple):
    """Constants of a floating-point format; polynomials have the highest power first."""

    log2_e: Any
    ln2_high: Any
    ln2_low: Any
    rounder: Any  # 1.5 * 2^mantissa bits: x + rounder - rounder is x rounded
    rounder_bits: Any
    mantissa_bits: int
    exponent_bias: int
    lowest: Any  # where e^x is 0
    highest: Any  # where e^x is infinite
    tanh_is_1: Any
    exp_even: tuple  # T(r) = even(r^2) + r odd(r^2): two sums that do not wait for each other
    exp_odd: tuple
    log1p: tuple  # R


def numbers_of(dtype: type, *coefficients: float) -> tuple:
    """Convert coefficients to a dtype."""
    return tuple(dtype(coefficient) for coefficient in coefficients)


_DOUBLE = _Format(
    log2_e=np.float64(1 / math.log(2)),
    ln2_high=np.float64(6.93147180369123816490e-01),
    ln2_low=np.float64(1.90821492927058770002e-10),
    rounder=np.float64(1.5 * 2**52),
    rounder_bits=np.float64(1.5 * 2**52).view(np.int64),
    mantissa_bits=52,
    exponent_bias=1023,
    lowest=np.float64(-746),
    highest=np.float64(710),
    tanh_is_1=np.float64(20),
    exp_even=numbers_of(
        np.float64,
        2.7620138719733995569e-7,
        0.000024801521190217727651,
        0.0013888888917281793308,
        0.041666666666623991516,
        0.50000000000000010262,
    ),
    exp_odd=numbers_of(
        np.float64,
        2.5100424157005066788e-8,
        2.7557268378684192873e-6,
        0.00019841269863105968748,
        0.0083333333333300513464,
        0.16666666666666667456,
    ),
    log1p=numbers_of(
        np.float64,
        0.161640456119435322,
        0.0880073848614467388,
        0.120010728095907125,
        0.133141442096549362,
        0.153855700649586231,
        0.181817894361328582,
        0.22222222717427863,
        0.285714285671087572,
        0.400000000000145827,
        0.666666666666666586,
    ),
)
_SINGLE = _Format(
    log2_e=np.float32(1 / math.log(2)),
    ln2_high=np.float32(0.693359375),
    ln2_low=np.float32(-2.12194440e-4),
    rounder=np.float32(1.5 * 2**23),
    rounder_bits=np.float32(1.5 * 2**23).view(np.int32),
    mantissa_bits=23,
    exponent_bias=127,
    lowest=np.float32(-104),
    highest=np.float32(89),
    tanh_is_1=np.float32(10),
    exp_even=numbers_of(np.float32, 0.0013926213466332443, 0.041666554437685939, 0.5),
    exp_odd=numbers_of(np.float32, 0.0083632029715758549, 0.16666576845976994),
    log1p=numbers_of(
        np.float32,
        0.26851498022837152,
        0.28236619805310481,
        0.40007560644911206,
        0.6666664033669924,
    ),
)


@part
def polynomial(x, coefficients):
    """Horner's rule, for two coefficients or more."""
    total = coefficients[0] * one(x)
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


def _functions(constants: _Format) -> dict:
    """Make the functions for one format."""
    log2_e, ln2_high, ln2_low, rounder, rounder_bits = constants[:5]
    mantissa_bits, exponent_bias, lowest, highest, tanh_is_1 = constants[5:10]
    exp_even, exp_odd, log1p_terms = constants[10:]

    @part
    def reduced(x):
        """Give q = e^r - 1 and n, where x = n ln 2 + r."""
        shifted = x * log2_e + rounder
        n = shifted - rounder
        r = (x - n * ln2_high) - n * ln2_low
        r2 = r * r
        tail = polynomial(r2, exp_even) + r * polynomial(r2, exp_odd)
        return r + r2 * tail, as_integer(shifted) - rounder_bits

    @part
    def power_of_2(n):
        return as_float((n + exponent_bias) << mantissa_bits)

    @part
    def clipped(x, lowest, highest):
        # Comparisons are written so that a NaN passes them.
        x = where(x < lowest, lowest, x)
        return where(x > highest, highest, x)

    @part
    def exp(x):
        q, n = reduced(clipped(x, lowest, highest))
        half = n >> 1
        return (q + 1.0) * power_of_2(half) * power_of_2(n - half)

    @part
    def expm1(x):
        clip = clipped(x, lowest, highest)
        q, n = reduced(clip)
        half = n >> 1
        low, high = power_of_2(half), power_of_2(n - half)
        small = low * high * q + (low * high - 1.0)
        large = (q + 1.0) * low * high  # 2^n alone overflows where e^x does not yet
        return copysign(where(clip > highest - 2.0, large, small), x)

    @part
    def tanh(x):
        clip = clipped(x, -tanh_is_1, tanh_is_1)
        q, n = reduced(clip + clip)
        power = power_of_2(n)
        t = power * q + (power - 1.0)
        return copysign(t * reciprocal(t + 2.0), x)  # 1 * -0 + 0 is +0

    @part
    def log1p(x):
        s = x * reciprocal(x + 2.0)
        s2 = s * s
        return (s + s) + s * (s2 * polynomial(s2, log1p_terms))

    @part
    def logistic(x):
        e = exp(-abs(x))
        return where(x < 0.0, e, one(x)) * reciprocal(e + 1.0)

    return {"exp": exp, "expm1": expm1, "tanh": tanh, "log1p": log1p, "logistic": logistic}


_FUNCTIONS = {types.float64: _functions(_DOUBLE), types.float32: _functions(_SINGLE)}


def _give_body(name: str) -> None:
    @overload(getattr(elementary, name), target="cpu", jit_options=OPTIONS)
    def choose(x):
        if not isinstance(x, Vector):
            return None
        function = _FUNCTIONS[x.dtype][name]
        return lambda x: function(x)


for _name in ("exp", "expm1", "tanh", "log1p", "logistic"):
    _give_body(_name)
for _stub, _function in (
    (elementary.sin, math.sin),
    (elementary.cos, math.cos),
    (elementary.log, math.log),
):
    lanewise(_stub, _function)


def _estimate(instruction):
    """Make a function that gives the chip's estimate to 14 bits, a register at a time."""

    def estimate(typing_context, x):
        kind, mask, lanes = ("ps", ir.IntType(16), 16) if x.dtype == types.float32 else (
            "pd", ir.IntType(8), 8
        )  # fmt: skip

        def generate(context, builder, signature, arguments):
            return by_register(builder, arguments[0], lanes, call)

        def call(builder, register):
            function = declare(
                builder,
                f"llvm.x86.avx512.{instruction}14.{kind}.512",
                ir.FunctionType(register.type, [register.type, register.type, mask]),
            )
            return builder.call(
                function, [register, ir.Constant(register.type, None), ir.Constant(mask, -1)]
            )

        return x(x), generate

    return intrinsic(estimate)


_estimate_reciprocal = _estimate("rcp")
_estimate_reciprocal_sqrt = _estimate("rsqrt")


@overload(reciprocal, target="cpu", jit_options=OPTIONS)
def _reciprocal(x):
    if not has_avx512():
        return lambda x: 1.0 / x
    steps = 1 if x.dtype == types.float32 else 2

    def newton(x):
        y = _estimate_reciprocal(x)
        for _ in range(steps):
            y = y + y * (1.0 - x * y)
        return y

    return newton


@overload(reciprocal_sqrt, target="cpu", jit_options=OPTIONS)
def _reciprocal_sqrt(x):
    if not has_avx512():
        return lambda x: 1.0 / sqrt(x)
    steps = 1 if x.dtype == types.float32 else 2

    def newton(x):
        y = _estimate_reciprocal_sqrt(x)
        for _ in range(steps):
            y = y + (0.5 * y) * (1.0 - (x * y) * y)
        return y

    return newton
