"""Settings of hypothesis, and tables of any dtype, order in memory and sparse format.

Hypothesis draws what a case is like; the numbers in it come from a seed that it draws, too. The
examples are the same ones at every run: there is no database of earlier ones.
"""

from functools import partial

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

SEEDS = st.integers(0, 2**32 - 1)
#: Native and foreign byte orders, and what is converted.
FLOATS = ("f8", "f4", ">f8", ">f4", "f2", "longdouble")
INTEGERS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", "?")


def check_examples(n_examples, check, strategy):
    """Call a check with so many examples of a strategy."""
    run = settings(
        max_examples=n_examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run(given(strategy)(check))()


def numbers(rng, shape, dtype):
    """Draw a table of a dtype; of integers, small ones, of which all dtypes have the most."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 2 if dtype.kind == "b" else 4, shape).astype(dtype)


def _unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    return raw


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def _strided(array):
    return np.repeat(array, 2, axis=array.ndim - 1)[..., ::2]


#: The same numbers, otherwise in memory; of a vector as of a table.
ORDERS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": _strided,
    "reversed": lambda array: array[::-1].copy()[::-1],
    "unaligned": _unaligned,
    "read-only": _read_only,
    "list": lambda array: array.tolist(),
}


def _csr_with_duplicates(array):
    """Each entry is told as two halves, which are to be added."""
    csr = sparse.csr_array(array)
    halves = np.repeat(csr.data / 2, 2), np.repeat(csr.indices, 2), 2 * csr.indptr
    return sparse.csr_array(halves, shape=array.shape)


def _csr_unsorted(array):
    csr = sparse.csr_array(array)
    for i in range(len(array)):
        row = slice(csr.indptr[i], csr.indptr[i + 1])
        csr.data[row], csr.indices[row] = csr.data[row][::-1].copy(), csr.indices[row][::-1].copy()
    csr.has_sorted_indices = False
    return csr


SPARSE = {
    f"{name}_{kind}": partial(getattr(sparse, f"{name}_{kind}"))
    for name in ("csr", "csc", "coo", "bsr", "lil", "dok", "dia")
    for kind in ("matrix", "array")
} | {"csr with duplicates": _csr_with_duplicates, "csr unsorted": _csr_unsorted}
