"""Sums of vectors by the BLAS: NumPy's bits."""

import numpy as np
import pytest

from fastbp.solvers.vectors import moved


@pytest.mark.parametrize("n", [1, 2, 3, 16, 33, 1001])
def test_each_product_and_each_sum_is_rounded_once(n, rng):
    for exponent in (-250, -8, 0, 8, 250):
        x, direction = rng.normal(size=(2, n)) * 10.0 ** rng.uniform(-9, 9, (2, n))
        step = rng.uniform() * 10.0**exponent
        given = x.copy(), direction.copy()
        result = moved(x, step, direction)
        np.testing.assert_array_equal(result, x + step * direction)
        np.testing.assert_array_equal((x, direction), given)


def test_what_is_not_finite_stays_so():
    x, direction = np.array([1.0, np.inf, np.nan, 0.0]), np.array([np.inf, 1.0, 0.0, 2.0])
    np.testing.assert_array_equal(moved(x, 0.5, direction), x + 0.5 * direction)
    with np.errstate(invalid="ignore"):
        expected = x + np.inf * direction
    np.testing.assert_array_equal(moved(x, np.inf, direction), expected)
