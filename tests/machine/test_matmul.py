"""Products of matrices as they are compiled against their definitions in NumPy.

The numbers are small integers, of which every sum is exact in any order: results are equal, not
close. What must not be read is NaN and would show in a result.
"""

import numpy as np
import pytest

from fastbp.machine.dots import dots
from fastbp.machine.matmul import (
    add_product,
    gate_product,
    product,
    product_above_0,
    scale_by_product,
)
from fastbp.machine.simd import store
from fastbp.machine.transpose import transpose
from helpers.guards import (
    DTYPES,
    NEEDS_A_COMPILER,
    SIZES,
    assert_guards_untouched,
    compiled,
    guarded,
)

pytestmark = NEEDS_A_COMPILER


def _product(a, b, start, c, n_vectors):
    product(a, b, start, c, n_vectors)


def _product_of_columns(a, b, start, c, n_vectors):
    product(a.T, b, start, c, n_vectors)


def _add(a, b, start, c, n_vectors):
    add_product(a, b, c, n_vectors)


def _add_of_columns(a, b, start, c, n_vectors):
    add_product(a.T, b, c, n_vectors)


def _scale(a, b, start, c, n_vectors):
    scale_by_product(a, b, c, n_vectors)


def _scale_of_columns(a, b, start, c, n_vectors):
    scale_by_product(a.T, b, c, n_vectors)


def _above_0(a, b, start, c, n_vectors):
    product_above_0(a, b, start, c, n_vectors)


def _gate(a, b, start, c, n_vectors):
    gate_product(a, b, c, c, n_vectors)  # C's old numbers are the gate


# (function, order of A): what matmul.py calls row- and column-major is A or the transpose of one.
KINDS = {
    "product": (_product, compiled(_product), "C"),
    "product-columns": (_product_of_columns, compiled(_product_of_columns), "F"),
    "add": (_add, compiled(_add), "C"),
    "add-columns": (_add_of_columns, compiled(_add_of_columns), "F"),
    "scale": (_scale, compiled(_scale), "C"),
    "scale-columns": (_scale_of_columns, compiled(_scale_of_columns), "F"),
    "above-0": (_above_0, compiled(_above_0), "C"),
    "gate": (_gate, compiled(_gate), "C"),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
PLACES = pytest.mark.parametrize("place", ["rows", "inner", "columns"])


def _integers(rng, shape, dtype):
    return rng.integers(-8, 9, shape).astype(dtype)


def _in_nan(array, more_rows=0, more_columns=0):
    """Put an array at the start of a larger one of NaN."""
    m, n = array.shape
    buffer = np.full((m + more_rows, n + more_columns), np.nan, array.dtype)
    buffer[:m, :n] = array
    return buffer


def _n_vectors(n, dtype):
    return -(-n * np.dtype(dtype).itemsize // 64)


@EVERY_KIND
@PLACES
@pytest.mark.parametrize("size", SIZES)
@DTYPES
def test_products_are_numpys(kind, place, size, dtype, rng):
    rows, inner, columns = ({"rows": 5, "inner": 7, "columns": 20} | {place: size}).values()
    function, run, order = KINDS[kind]
    n_vectors = _n_vectors(columns, dtype)
    width = n_vectors * 64 // np.dtype(dtype).itemsize
    a = _in_nan(_integers(rng, (rows, inner), dtype), more_rows=2, more_columns=3)
    a = guarded(a if order == "C" else np.ascontiguousarray(a.T))
    b = guarded(_in_nan(_integers(rng, (inner, width), dtype), more_columns=16))
    start = guarded(_in_nan(_integers(rng, (1, width), dtype), more_columns=16)[0])
    before = _in_nan(_integers(rng, (rows, width), dtype), more_columns=16)
    expected, got = guarded(before), guarded(before)
    function(a, b, start, expected, n_vectors)
    run(a, b, start, got, n_vectors)
    assert np.isfinite(expected[:, :width]).all()
    np.testing.assert_array_equal(got, expected)  # NaN beyond the columns in both
    assert_guards_untouched(a, b, start, got)


@EVERY_KIND
@pytest.mark.parametrize("columns", [1, 17, 40, 100, 130])
@DTYPES
def test_the_bits_of_a_row_do_not_depend_on_the_other_rows(kind, columns, dtype, rng):
    _, run, order = KINDS[kind]
    n_vectors = _n_vectors(columns, dtype)
    width = n_vectors * 64 // np.dtype(dtype).itemsize
    a, b = rng.standard_normal((33, 50)), rng.standard_normal((50, width))
    start, before = rng.standard_normal(width), rng.standard_normal((33, width))

    def computed(first, last):
        part = a[first:last] if order == "C" else a[first:last].T
        c = before[first:last].astype(dtype)
        arrays = (part.copy().astype(dtype, order="C"), b.astype(dtype), start.astype(dtype))
        run(*arrays, c, n_vectors)
        return c

    whole = computed(0, 33)
    for size in (1, 2, 3, 5, 7, 8, 12, 15):
        parts = [computed(i, min(i + size, 33)) for i in range(0, 33, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 40])
@DTYPES
def test_the_bits_of_a_number_do_not_depend_on_the_columns_computed(length, dtype, rng):
    run = KINDS["product"][1]
    lanes = 64 // np.dtype(dtype).itemsize
    a = rng.standard_normal((11, 30)).astype(dtype)
    b = rng.standard_normal((30, 40 * lanes)).astype(dtype)
    start = np.zeros(40 * lanes, dtype)
    whole, part = np.zeros((2, 11, 40 * lanes), dtype)
    run(a, b, start, whole, 40)
    run(a, b, start, part, length)
    np.testing.assert_array_equal(part[:, : length * lanes], whole[:, : length * lanes])
    assert not part[:, length * lanes :].any()


@DTYPES
def test_relu_in_a_product_keeps_nan_and_a_closed_gate_gives_0(dtype):
    lanes = 64 // np.dtype(dtype).itemsize
    a, b = np.array([[1.0], [-1.0]], dtype), np.ones((1, lanes), dtype)
    start = np.resize(np.array([np.nan, 0.5, -3.0, 3.0], dtype), lanes)
    gate = np.resize(np.array([0.0, -0.0, np.nan, 1e-30], dtype), (2, lanes))
    for kind, expected in (
        ("above-0", [[np.nan, 1.5, 0, 4], [np.nan, 0, 0, 2]]),
        ("gate", [[0, 0, 1, 1], [0, 0, -1, -1]]),
    ):
        for function in KINDS[kind][:2]:
            c = gate.copy()
            function(a, b, start, c, 1)
            np.testing.assert_array_equal(c[:, :4], expected)


def _dots(a, first, last, b, b_start, out, place, n_vectors):
    store(out, place, dots(a, first, last, b, b_start, n_vectors))


RUN_DOTS = compiled(_dots)


@pytest.mark.parametrize("place", ["rows", "inner"])
@pytest.mark.parametrize("size", SIZES)
@DTYPES
def test_dots_are_numpys(place, size, dtype, rng):
    rows, inner = ({"rows": 5, "inner": 20} | {place: size}).values()
    lanes = 64 // np.dtype(dtype).itemsize
    n_vectors = _n_vectors(inner, dtype)
    width = n_vectors * lanes
    a = guarded(_in_nan(_integers(rng, (rows, width), dtype), more_rows=1, more_columns=lanes))
    b = guarded(np.r_[[np.nan] * 3, _integers(rng, width, dtype), [np.nan] * lanes].astype(dtype))
    length = -(-rows // lanes) * lanes
    expected, got = (guarded(np.zeros(length + 2, dtype)) for _ in range(2))
    for first in range(0, rows, lanes):
        _dots(a, first, rows - 1, b, 3, expected, first + 1, n_vectors)
        RUN_DOTS(a, first, rows - 1, b, 3, got, first + 1, n_vectors)
    np.testing.assert_array_equal(got[1 : rows + 1], (a[:rows, :width] @ b[3 : 3 + width]))
    np.testing.assert_array_equal(got, expected)
    assert_guards_untouched(a, b, got)


@DTYPES
def test_the_bits_of_a_dot_product_do_not_depend_on_its_lane(dtype, rng):
    lanes = 64 // np.dtype(dtype).itemsize
    a = rng.standard_normal((40, 5 * lanes)).astype(dtype)
    b = rng.standard_normal(5 * lanes).astype(dtype)
    aligned, shifted = np.zeros((2, 64), dtype)
    for first in range(0, 40, lanes):
        RUN_DOTS(a, first, 39, b, 0, aligned, first, 5)
    for first in range(40):
        RUN_DOTS(a, first, first, b, 0, shifted, 0, 5)
        np.testing.assert_array_equal(shifted[:lanes], aligned[first])


def _transpose(a, b):
    transpose(a, b)


RUN_TRANSPOSE = compiled(_transpose)


@pytest.mark.parametrize("place", ["rows", "columns"])
@pytest.mark.parametrize("size", SIZES)
@DTYPES
def test_transpose_is_numpys(place, size, dtype, rng):
    rows, columns = ({"rows": 11, "columns": 21} | {place: size}).values()
    lanes = 64 // np.dtype(dtype).itemsize
    numbers = rng.standard_normal((rows, columns)).astype(dtype)
    a = guarded(_in_nan(numbers, more_columns=-columns % lanes))
    buffer = np.zeros((columns, rows + -rows % lanes), dtype)
    expected, got = guarded(buffer), guarded(buffer)
    _transpose(a, expected)
    RUN_TRANSPOSE(a, got)
    np.testing.assert_array_equal(got[:, :rows], numbers.T)
    np.testing.assert_array_equal(got, expected)  # the padding is still zero
    assert_guards_untouched(a, got)
