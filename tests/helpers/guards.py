"""What the tests of vector code share: compiling a function of their own, and guarded arrays."""

import numba
import numpy as np
import pytest
from numba.core import caching

from fastbp.machine.jit import kernel


def _unless_compiled(reason):
    return pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason=reason)


#: What is skipped where NUMBA_DISABLE_JIT makes all of it plain Python.
NEEDS_A_COMPILER = _unless_compiled("is about compiled code")
TOO_SLOW_IN_PYTHON = _unless_compiled("takes too long without a compiler")
OVERFLOWS_IN_PYTHON = _unless_compiled("without a compiler, NumPy warns of the overflow itself")
DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
#: Numbers around the vector width, where edges are.
SIZES = [*range(1, 18), 31, 33, 64, 65]
_GUARD = 37  # an odd number: what follows lies on no vector's boundary


def compiled(function):
    """Compile a function as a kernel, but keep nothing on disk: no cache sees a test's edits."""
    result = kernel(function)
    result._cache = caching.NullCache()
    return result


def guarded(array):
    """Copy an array to the middle of a buffer of NaNs, or of 99 for integers."""
    array = np.asarray(array)
    buffer = np.full(array.size + 2 * _GUARD, _guard_of(array), dtype=array.dtype)
    inner = buffer[_GUARD:-_GUARD].reshape(array.shape)
    assert inner.base is buffer
    inner[...] = array
    return inner


def assert_guards_untouched(*arrays):
    """Check that nothing was written before or after arrays made by `guarded`."""
    for array in arrays:
        for guard in (array.base[:_GUARD], array.base[-_GUARD:]):
            np.testing.assert_array_equal(guard, np.full_like(guard, _guard_of(array)))


def _guard_of(array):
    return np.nan if array.dtype.kind == "f" else 99
