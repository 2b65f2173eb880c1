"""Points: whether they are finite, and how steep the loss is there."""

import numpy as np
import pytest

from fastbp.solvers.states import Point


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("other", [0.0, 1.0, -np.inf])
def test_one_entry_makes_a_point_not_finite(bad, other):
    good, worse = np.array([0.0, 1.0, 2.0]), np.array([0.0, bad, 2.0])
    assert Point(good, 1.0, good).is_finite
    assert not Point(good, bad, good).is_finite
    assert not Point(worse, 1.0, np.array([1.0, other, 0.0])).is_finite
    assert not Point(np.array([1.0, other, 0.0]), 1.0, worse).is_finite


def test_large_numbers_are_finite():
    large = np.array([1e200, -1e200])
    with np.errstate(all="ignore"):
        assert Point(large, 1.0, large).is_finite


@pytest.mark.parametrize(
    ("gradient", "norm"),
    [([0.0], 0.0), ([1.0, -3.0, 2.0], 3.0), ([1e308, -1.5e308], 1.5e308), ([1.0, -np.inf], np.inf)],
)
def test_the_gradient_norm_is_the_largest_entry(gradient, norm):
    gradient = np.array(gradient)
    assert Point(gradient, 1.0, gradient).gradient_norm == norm
    assert np.isnan(Point(gradient, 1.0, np.append(gradient, np.nan)).gradient_norm)
