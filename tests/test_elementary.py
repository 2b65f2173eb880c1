"""The compiled exp and tanh against NumPy's longdouble, and that loops over them vectorise."""

import platform
import re

import numba
import numpy as np
import pytest

from fastbp.machine import elementary, vectorised  # noqa: F401 - the compiled bodies
from fastbp.machine.jit import SUMS

WIDER = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant
pytestmark = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="without a compiler these are NumPy's functions"
)


@numba.njit(fastmath=SUMS, error_model="numpy")
def exp_of_all(x, out):
    for i in range(x.size):
        out[i] = elementary.exp(x[i])


@numba.njit(fastmath=SUMS, error_model="numpy")
def tanh_of_all(x, out):
    for i in range(x.size):
        out[i] = elementary.tanh(x[i])


EVERY = pytest.mark.parametrize(
    ("compiled", "function"), [(exp_of_all, np.exp), (tanh_of_all, np.tanh)], ids=["exp", "tanh"]
)
DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def _points(dtype, rng):
    spans = [rng.uniform(-span, span, 100_000) for span in (1e-6, 1e-2, 0.4, 1, 5, 25, 110, 760)]
    powers = 2.0 ** rng.uniform(-1070, 10, 100_000)
    return np.concatenate([*spans, powers, -powers]).astype(dtype)


@EVERY
@DTYPES
@pytest.mark.skipif(not WIDER, reason="longdouble is no wider than float64 here")
@pytest.mark.filterwarnings("ignore:overflow|underflow:RuntimeWarning")
def test_error_is_at_most_4_units_in_the_last_place(compiled, function, dtype, rng):
    x = _points(dtype, rng)
    got = np.empty_like(x)
    compiled(x, got)
    expected = function(x.astype(np.longdouble))
    rounded = expected.astype(dtype)
    np.testing.assert_array_equal(np.isinf(got), np.isinf(rounded))
    finite = np.isfinite(rounded)
    error = np.abs(got[finite] - expected[finite]) / np.spacing(np.abs(rounded[finite]))
    assert error.max() <= 4


@EVERY
@DTYPES
@pytest.mark.filterwarnings("ignore:overflow|underflow:RuntimeWarning")
def test_special_values(compiled, function, dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 5e-324], dtype=dtype)
    got = np.empty_like(x)
    compiled(x, got)
    np.testing.assert_array_equal(got, function(x))
    np.testing.assert_array_equal(np.signbit(got[:2]), np.signbit(function(x[:2])))


@EVERY
@DTYPES
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
def test_loops_vectorise(compiled, function, dtype):
    x = np.ones(100, dtype=dtype)
    compiled(x, x.copy())
    (assembly,) = (
        text
        for signature, text in compiled.inspect_asm().items()
        if signature[0].dtype == numba.from_dtype(np.dtype(dtype))
    )
    assert re.search(r"\bv?mulp" + {"float64": "d", "float32": "s"}[np.dtype(dtype).name], assembly)
    assert not re.search(r"\bcallq?\s.*\b(exp|tanh)f?\b", assembly)
