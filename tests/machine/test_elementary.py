"""The compiled elementary functions against NumPy's longdouble, and that they are vectors alone."""

import platform
import re

import numpy as np
import pytest

from fastbp.machine import elementary, normal_cpu  # noqa: F401 - gives a body
from fastbp.machine.elementary_cpu import reciprocal, reciprocal_sqrt
from fastbp.machine.jit import part
from fastbp.machine.simd import lanes, load, store
from fastbp.model.activations import ACTIVATIONS
from helpers.guards import DTYPES, NEEDS_A_COMPILER, compiled

WIDER = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant
NEEDS_LONGDOUBLE = pytest.mark.skipif(not WIDER, reason="longdouble is no wider than float64 here")
pytestmark = NEEDS_A_COMPILER


def _of_all(function):
    def apply(x, out):
        for i in range(0, x.size, lanes(x)):
            store(out, i, function(load(x, i)))

    return compiled(apply)


def _logistic(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def _softplus(x):
    return np.where(x < 0, 0, x) + np.log1p(np.exp(-np.abs(x)))


def _normal_cdf(x):
    """Up to 2.5 by the series of the error function, below -2.5 by its continued fraction."""
    x = np.asarray(x, np.longdouble)
    z = np.minimum(np.abs(x), 50)  # a NaN passes
    term = total = z
    for n in range(1, 60):
        term = term * z * z / (2 * n + 1)
        total = total + term
    fraction = z
    for n in range(300, 0, -1):
        fraction = z + n / np.where(fraction == 0, 1, fraction)
    density = np.exp(-z * z / 2) / np.sqrt(
        2 * np.longdouble("3.14159265358979323846264338327950288")
    )
    tail = np.where(z < 2.5, 0.5 - density * total, density / fraction)
    tail = np.where(np.abs(x) > 45, 0, tail)
    return np.where(x > 0, 1 - tail, tail)


# name: (compiled, the same in NumPy); log1p is for [0, 1] alone.
FUNCTIONS = {
    "exp": (_of_all(elementary.exp), np.exp),
    "expm1": (_of_all(elementary.expm1), np.expm1),
    "tanh": (_of_all(elementary.tanh), np.tanh),
    "logistic": (_of_all(elementary.logistic), _logistic),
    "normal_cdf": (_of_all(elementary.normal_cdf), _normal_cdf),
    "softplus": (_of_all(part(ACTIVATIONS["softplus"].value)), _softplus),
}
LOG1P = _of_all(elementary.log1p), np.log1p
EVERY = pytest.mark.parametrize(("apply", "function"), FUNCTIONS.values(), ids=FUNCTIONS)


def _applied(apply, x):
    """Apply to all numbers, padded to whole vectors."""
    buffer = np.zeros(-(-len(x) // 16) * 16, dtype=x.dtype)
    buffer[: len(x)] = x
    got = np.full_like(buffer, np.nan)
    apply(buffer, got)
    return got[: len(x)]


def _errors(got, expected):
    """Distance from the exact values, in units in the last place of the rounded ones."""
    rounded = expected.astype(got.dtype)
    np.testing.assert_array_equal(np.isinf(got), np.isinf(rounded))
    finite = np.isfinite(rounded)
    return np.abs(got[finite] - expected[finite]) / np.spacing(np.abs(rounded[finite]))


def _bound(function):
    return 6 if function is _normal_cdf else 4


def _points(dtype, rng):
    spans = [rng.uniform(-span, span, 100_000) for span in (1e-6, 1e-2, 0.4, 1, 5, 25, 110, 760)]
    powers = 2.0 ** rng.uniform(-1070, 10, 100_000)
    return np.concatenate([*spans, powers, -powers]).astype(dtype)


def _around(numbers, dtype):
    """Take each number with its 50 neighbours on both sides: where branches change."""
    number = np.array(numbers, dtype=dtype)
    steps = np.arange(-50, 51) * np.spacing(number)[:, np.newaxis]
    return (number[:, np.newaxis] + steps).ravel().astype(dtype)


@pytest.mark.slow
@EVERY
@DTYPES
@NEEDS_LONGDOUBLE
@pytest.mark.filterwarnings("ignore:overflow|underflow:RuntimeWarning")
def test_error_is_at_most_4_units_in_the_last_place_or_6(apply, function, dtype, rng):
    x = _points(dtype, rng)
    assert _errors(_applied(apply, x), function(x.astype(np.longdouble))).max() <= _bound(function)


@EVERY
@DTYPES
@NEEDS_LONGDOUBLE
@pytest.mark.filterwarnings("ignore:overflow|underflow:RuntimeWarning")
def test_error_where_the_arithmetic_changes(apply, function, dtype):
    halves = [0.5 * n * np.log(2) for n in range(-60, 61)]
    edges = [88.7228, 89, 86, 87.5, 103.97, 104, 10, 20, 709.7827, 710, 708, 744.4, 745.13, 746]
    x = _around([*halves, *edges, *(-edge for edge in edges)], dtype)
    assert _errors(_applied(apply, x), function(x.astype(np.longdouble))).max() <= _bound(function)


@DTYPES
@NEEDS_LONGDOUBLE
@pytest.mark.filterwarnings("ignore:overflow|underflow:RuntimeWarning")
def test_error_of_log1p_between_0_and_1(dtype, rng):
    apply, function = LOG1P
    x = np.concatenate([rng.uniform(0, 1, 200_000), 2.0 ** rng.uniform(-1020, 0, 200_000), [1.0]])
    x = x.astype(dtype)
    x = x[(x == 0) | (x >= np.finfo(dtype).tiny)]
    assert _errors(_applied(apply, x), function(x.astype(np.longdouble))).max() <= 4


@pytest.mark.parametrize(
    ("apply", "function"),
    [(_of_all(reciprocal), lambda x: 1 / x), (_of_all(reciprocal_sqrt), lambda x: 1 / np.sqrt(x))],
    ids=["reciprocal", "reciprocal_sqrt"],
)
@DTYPES
@NEEDS_LONGDOUBLE
def test_reciprocals_of_positive_normal_numbers(apply, function, dtype, rng):
    info = np.finfo(dtype)
    # Of larger numbers the reciprocal is no normal number.
    exponents = rng.uniform(info.minexp, info.maxexp - 2, 300_000)
    x = np.concatenate([2.0**exponents, rng.uniform(1, 4, 300_000), [1.0, 2.0, 4.0]]).astype(dtype)
    x = x[x >= info.tiny]
    assert _errors(_applied(apply, x), function(x.astype(np.longdouble))).max() <= 2


@EVERY
@DTYPES
@pytest.mark.filterwarnings("ignore:overflow|underflow|invalid:RuntimeWarning")
def test_special_values(apply, function, dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 5e-324, -5e-324], dtype=dtype)
    got, expected = _applied(apply, x), function(x)
    np.testing.assert_allclose(got, expected, rtol=1e-6 if dtype == np.float32 else 1e-15)
    np.testing.assert_array_equal(got[2:7], expected[2:7])
    zero = expected == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))


@DTYPES
def test_log1p_of_0_1_and_nan(dtype):
    got = _applied(LOG1P[0], np.array([0.0, 1.0, np.nan], dtype=dtype))
    np.testing.assert_allclose(got, np.log1p(np.array([0.0, 1.0, np.nan], dtype)), rtol=1e-6)
    assert got[0] == 0


@EVERY
@DTYPES
@pytest.mark.filterwarnings("ignore:overflow|underflow|invalid:RuntimeWarning")
def test_deep_saturation_is_exact(apply, function, dtype):
    """Where the exact value rounds to 0, 1, -1, x or infinity, so does the compiled one."""
    far = np.array([120.0, 700, 1e4, 1e20, 3e38]) * (1 if dtype == np.float32 else 8)
    x = np.concatenate([far, -far]).astype(dtype)
    x = x[np.isfinite(x)]
    np.testing.assert_array_equal(
        _applied(apply, x), function(x.astype(np.longdouble)).astype(dtype)
    )


@pytest.mark.parametrize(
    ("apply", "function"), [*FUNCTIONS.values(), LOG1P], ids=[*FUNCTIONS, "log1p"]
)
@DTYPES
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
def test_they_are_packed_instructions_without_a_call(apply, function, dtype):
    _applied(apply, np.zeros(16, dtype))
    (assembly,) = (
        text
        for signature, text in apply.inspect_asm().items()
        if np.dtype(dtype).name in str(signature)
    )
    kind = {"float64": "d", "float32": "s"}[np.dtype(dtype).name]
    assert re.search(rf"\bv?mulp{kind}|\bvfn?m(add|sub)\d+p{kind}", assembly)
    libm = r"\b(callq?|jmpq?)\s.*\b_?_?(exp|expm1|tanh|log|log1p|pow|exp2|fma)f?\b"
    assert not re.search(libm, assembly)
    # The address of a function, called by a register, would be loaded before.
    assert not re.search(r"movabsq\s+\$_?_?(exp|expm1|tanh|log|log1p|pow|exp2|fma)f?\b", assembly)
