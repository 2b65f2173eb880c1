"""The normal distribution function over vectors: a body of `elementary.normal_cdf` for the CPU.

As the error function's, its tail falls like e^(-t^2/2), so that this factor is split off:

    Phi(-t) = e^(-t^2/2) R(t)    for t >= 0,    R(t) = G(s) / (t + 4)    with s = (t - 4) / (t + 4)

where G, a polynomial in s, holds for all t at once, as Shepherd & Laframboise (Mathematics of
Computation 36, 1981) found. A rounding error of t^2 would be one of t^2 / 2 units in the last place
of the power; so t is cut to a number with few bits, whose square is exact, and what is left of t^2
makes a factor close to 1. Errors are at most 6 units in the last place, above 0 at most 3.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from fastbp.machine import elementary
from fastbp.machine.elementary import exp, where
from fastbp.machine.elementary_cpu import numbers_of, polynomial
from fastbp.machine.jit import OPTIONS, part
from fastbp.machine.vector import Vector

# The body of a function in elementary.py; others may compose it of the same constants.
__all__ = ["DOUBLE", "SINGLE", "Format", "normal_cdf_of"]


class Format(NamedTuple):
    """Constants of a floating-point format.

    Attributes
    ----------
    lowest : floating
        The t from which Phi(-t) is 0.
    rounder : floating
        ``t + rounder - rounder`` is t cut to half of its bits.
    g : tuple of floating
        The polynomial G, the highest power first.
    """

    lowest: Any
    rounder: Any
    g: tuple


DOUBLE = Format(
    lowest=np.float64(40),
    rounder=np.float64(1.5 * 2**32),
    g=numbers_of(
        np.float64,
        -9.990624160023276e-10,
        -1.015295717649618e-11,
        1.3976528155950821e-08,
        1.4842390072751344e-08,
        -7.634712843441086e-08,
        -1.546196819122192e-07,
        2.6354310560684456e-07,
        1.0200713392568465e-06,
        -6.249906995369785e-07,
        -5.919013186154044e-06,
        7.149308325478401e-07,
        3.51442149682578e-05,
        -1.9078434059248706e-06,
        -0.00023109482414997105,
        0.00013334424978358428,
        0.0016308184424805887,
        -0.0034796923618040597,
        -0.007540188965625017,
        0.06039657489067665,
        -0.1865218579596934,
        0.38713740074221936,
        -0.6078966419718917,
        0.7552851304157515,
    ),
)
SINGLE = Format(
    lowest=np.float32(15),
    rounder=np.float32(1.5 * 2**16),
    g=numbers_of(
        np.float32,
        -0.0001255583920283243,
        0.00018899652059189975,
        0.0015668816631659865,
        -0.0035209727939218283,
        -0.007525402586907148,
        0.06040618568658829,
        -0.18652330338954926,
        0.38713669776916504,
        -0.6078965663909912,
        0.7552851438522339,
    ),
)
#: (e^-d - 1) / d for small d.
_SERIES = (1 / 24, -1 / 6, 1 / 2, -1.0)


def normal_cdf_of(constants: Format) -> Any:
    """Give the function for a format, of arithmetic, `exp` and `where`."""
    lowest, rounder, g = constants
    series = numbers_of(type(lowest), *_SERIES)

    @part
    def normal_cdf(x):
        size = abs(x)
        t = where(size > lowest, lowest, size)  # a NaN passes
        cut = (t + rounder) - rounder
        rest = (0.5 * (t - cut)) * (t + cut)  # t^2 / 2 = cut^2 / 2 + rest
        power = exp(-0.5 * cut * cut)
        power = power + power * (rest * polynomial(rest, series))
        tail = power * (polynomial((t - 4.0) / (t + 4.0), g) / (t + 4.0))
        return where(x > 0.0, 1.0 - tail, tail)

    return normal_cdf


_FUNCTIONS = {types.float64: normal_cdf_of(DOUBLE), types.float32: normal_cdf_of(SINGLE)}


@overload(elementary.normal_cdf, target="cpu", jit_options=OPTIONS)
def _choose(x):
    if not isinstance(x, Vector):
        return None
    function = _FUNCTIONS[x.dtype]
    return lambda x: function(x)
