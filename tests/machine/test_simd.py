"""Vectors as they are compiled against their own definitions, which are NumPy's.

Each test runs one plain function twice: as it is, where the functions of ``simd.py`` and
``vector.py`` are NumPy's, and compiled. A single operation is rounded once either way, so all
comparisons are exact.
"""

import operator

import numpy as np
import pytest

from fastbp.machine.elementary import one, sqrt, where
from fastbp.machine.simd import cast, lanes, load, load_first, load_lanes, repeat, splat, store
from fastbp.machine.vector import as_float, as_integer, copysign, sum_lanes
from helpers.guards import DTYPES, NEEDS_A_COMPILER, assert_guards_untouched, compiled, guarded

pytestmark = NEEDS_A_COMPILER
VECTORS = pytest.mark.parametrize("n", [1, 2, 4, 8])
_LENGTH = 150  # more than eight vectors of either dtype


def _numbers(rng, dtype):
    """Numbers of all magnitudes and both signs, zeros of both, and what is no number."""
    x = rng.standard_normal(_LENGTH) * 10.0 ** rng.integers(-8, 8, _LENGTH)
    x[rng.permutation(_LENGTH)[:30]] = np.repeat([0.0, -0.0, 1.0, np.inf, -np.inf], 6)
    return x.astype(dtype)


def _run_both(function, inputs, out, *rest):
    """Run plain and compiled, each on arrays of its own with guards; give both outputs."""
    outputs = []
    for run in (function, compiled(function)):
        arrays = [guarded(array) for array in inputs]
        buffer = guarded(out)
        run(*arrays, buffer, *rest)
        for array, given in zip(arrays, inputs, strict=True):
            np.testing.assert_array_equal(array, given)
        assert_guards_untouched(*arrays, buffer)
        outputs.append(buffer)
    plain, by_compiler = outputs
    return plain, by_compiler


def _same_bits(plain, by_compiler):
    np.testing.assert_array_equal(by_compiler, plain)
    is_number = ~np.isnan(plain)
    np.testing.assert_array_equal(np.signbit(by_compiler[is_number]), np.signbit(plain[is_number]))


@DTYPES
@VECTORS
@pytest.mark.parametrize("start", [0, 1, 5])
def test_load_and_store_of_n_vectors_anywhere(n, start, dtype, rng):
    def copy(a, out, start):
        store(out, start + 1, load(a, start, n))

    plain, by_compiler = _run_both(copy, [_numbers(rng, dtype)], np.zeros(_LENGTH, dtype), start)
    _same_bits(plain, by_compiler)
    length = n * 64 // np.dtype(dtype).itemsize
    assert np.count_nonzero(plain) > 0.7 * length
    assert not by_compiler[: start + 1].any()
    assert not by_compiler[start + 1 + length :].any()


@DTYPES
def test_load_and_store_of_the_last_vector(dtype, rng):
    """An array of exactly one vector: nothing before and nothing after it is touched."""

    def copy(a, out):
        store(out, 0, load(a, 0))

    x = rng.standard_normal(64 // np.dtype(dtype).itemsize).astype(dtype)
    plain, by_compiler = _run_both(copy, [x], np.zeros_like(x))
    np.testing.assert_array_equal(plain, x)
    np.testing.assert_array_equal(by_compiler, x)


@DTYPES
def test_lanes_is_64_bytes(dtype):
    def measure(a, out):
        out[0] = lanes(a)

    plain, by_compiler = _run_both(measure, [np.zeros(3, dtype)], np.zeros(1, dtype))
    assert plain[0] == by_compiler[0] == 64 // np.dtype(dtype).itemsize


@DTYPES
def test_load_first_reads_what_there_is_and_fills_up_with_zeros(dtype, rng):
    def copy(a, out, start, count):
        store(out, 0, load_first(a, start, count))

    n = 64 // np.dtype(dtype).itemsize
    run = compiled(copy)
    for count in range(n + 1):
        # The numbers end where the guards begin, of which not one may be read.
        a = guarded(rng.standard_normal(count + 3).astype(dtype))
        for function in (copy, run):
            out = guarded(np.full(n, 7, dtype))
            function(a, out, 3, count)
            np.testing.assert_array_equal(out[:count], a[3:])
            np.testing.assert_array_equal(out[count:], 0)
            assert_guards_untouched(a, out)


@DTYPES
@VECTORS
def test_splat_fills_n_vectors(n, dtype):
    def fill(a, out, number):
        store(out, 2, splat(a, number, n))

    for number in (0.1, -3, np.nan):
        plain, by_compiler = _run_both(fill, [np.zeros(1, dtype)], np.zeros(_LENGTH, dtype), number)
        _same_bits(plain, by_compiler)
        length = n * 64 // np.dtype(dtype).itemsize
        np.testing.assert_array_equal(by_compiler[2 : 2 + length], dtype(number))


@DTYPES
@VECTORS
def test_sum_lanes_adds_halves(n, dtype, rng):
    def add_up(a, out):
        out[0] = sum_lanes(load(a, 3, n))

    x = (rng.standard_normal(_LENGTH) * 10.0 ** rng.integers(0, 6, _LENGTH)).astype(dtype)
    plain, by_compiler = _run_both(add_up, [x], np.zeros(1, dtype))
    assert by_compiler[0] == plain[0]
    total = x[3 : 3 + n * 64 // np.dtype(dtype).itemsize].sum(dtype=np.float64)
    assert by_compiler[0] == pytest.approx(total, rel=1e-4)


ARITHMETIC = {name: getattr(operator, name) for name in ("add", "sub", "mul", "truediv")}
COMPARISONS = {name: getattr(operator, name) for name in ("lt", "le", "gt", "ge", "eq")}


@DTYPES
@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_arithmetic_of_vectors_and_of_plain_numbers(name, n, dtype, rng):
    function = ARITHMETIC[name]

    def calculate(a, b, out, number):
        length = n * lanes(a)
        v, w = load(a, 0, n), load(b, 0, n)
        store(out, 0 * length, function(v, w))
        store(out, 1 * length, function(v, 0.1))
        store(out, 2 * length, function(0.1, v))
        store(out, 3 * length, function(v, 3))
        store(out, 4 * length, function(3, v))
        store(out, 5 * length, function(v, number))
        store(out, 6 * length, function(number, v))
        store(out, 7 * length, function(v, a[3]))

    inputs = [_numbers(rng, dtype), _numbers(rng, dtype)]
    out = np.zeros(8 * n * 64 // np.dtype(dtype).itemsize, dtype)
    _same_bits(*_run_both(calculate, inputs, out, 1.7))


@DTYPES
@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_choose_and_are_false_for_nan(name, n, dtype, rng):
    function = COMPARISONS[name]

    def calculate(a, b, out):
        length = n * lanes(a)
        v, w = load(a, 0, n), load(b, 0, n)
        store(out, 0 * length, where(function(v, w), v, w))
        store(out, 1 * length, where(function(v, 0.0), v, 0.1))
        store(out, 2 * length, where(function(1, v), 2, v))
        store(out, 3 * length, where(function(v, v), v, 5.0))

    a, b = _numbers(rng, dtype), _numbers(rng, dtype)
    a[:20:3] = np.nan
    b[:40:2] = a[:40:2]
    out = np.zeros(4 * n * 64 // np.dtype(dtype).itemsize, dtype)
    plain, by_compiler = _run_both(calculate, [a, b], out)
    _same_bits(plain, by_compiler)
    length = len(out) // 4
    assert by_compiler[3 * length] == 5  # a NaN compares with nothing, itself included


@DTYPES
@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions_of_one_vector_and_copysign(n, dtype, rng):
    def calculate(a, b, out):
        length = n * lanes(a)
        v, w = load(a, 0, n), load(b, 0, n)
        store(out, 0 * length, -v)
        store(out, 1 * length, abs(v))
        store(out, 2 * length, sqrt(v))
        store(out, 3 * length, one(v))
        store(out, 4 * length, copysign(v, w))
        store(out, 5 * length, copysign(v, -v))

    a = _numbers(rng, dtype)
    a[7] = np.nan
    out = np.zeros(6 * n * 64 // np.dtype(dtype).itemsize, dtype)
    _same_bits(*_run_both(calculate, [a, _numbers(rng, dtype)], out))


@DTYPES
@pytest.mark.parametrize("n", [1, 4])
def test_bits_as_integers_and_back(n, dtype, rng):
    """Sums, differences, products and shifts of the bits; what comes out is looked at as bits."""

    def calculate(a, out, number):
        length = n * lanes(a)
        bits = as_integer(load(a, 0, n))
        store(out, 0 * length, as_float(bits))
        store(out, 1 * length, as_float(bits + 1))
        store(out, 2 * length, as_float(bits - number))
        store(out, 3 * length, as_float(number + bits))
        store(out, 4 * length, as_float((bits >> 20) << 20))
        store(out, 5 * length, as_float((bits >> 3) - (bits >> 2)))
        store(out, 6 * length, as_float((bits >> 5) * 3))

    a = rng.standard_normal(_LENGTH).astype(dtype)  # both signs: >> keeps the sign
    out = np.zeros(7 * n * 64 // np.dtype(dtype).itemsize, dtype)
    plain, by_compiler = _run_both(calculate, [a], out, 5)
    integer = np.dtype(f"i{np.dtype(dtype).itemsize}")
    np.testing.assert_array_equal(by_compiler.view(integer), plain.view(integer))
    length = len(out) // 7
    np.testing.assert_array_equal(by_compiler[:length], a[:length])
    np.testing.assert_array_equal(
        by_compiler[length : 2 * length], np.nextafter(a[:length], 2 * a[:length])
    )


@DTYPES
def test_as_many_numbers_as_another_array_has_lanes(dtype, rng):
    """Sums in float64 of vectors of either dtype, lane by lane."""

    def add(sums, a, out):
        total = load_lanes(sums, 3, a) + cast(load(a, 1), sums)
        store(out, 0, cast(total, out))

    sums = rng.standard_normal(_LENGTH)
    plain, by_compiler = _run_both(add, [sums, _numbers(rng, dtype)], np.zeros(_LENGTH, dtype))
    _same_bits(plain, by_compiler)
    assert np.count_nonzero(plain) == 64 // np.dtype(dtype).itemsize


@DTYPES
@VECTORS
def test_copies_of_a_vector_behind_each_other(n, dtype, rng):
    def copies(a, out):
        store(out, 0, repeat(load(a, 2), n))

    numbers = _numbers(rng, dtype)
    plain, by_compiler = _run_both(copies, [numbers], np.zeros(_LENGTH, dtype))
    _same_bits(plain, by_compiler)
    v = 64 // np.dtype(dtype).itemsize
    np.testing.assert_array_equal(plain[: n * v], np.tile(numbers[2 : 2 + v], n))
