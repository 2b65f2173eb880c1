"""The smaller and the larger of two numbers: as Python's."""

import math

import numpy as np
import pytest

from fastbp.machine.extremes import larger, smaller
from helpers.guards import NEEDS_A_COMPILER, compiled

_LARGE = np.float64(1 + 1e-12)  # as a float32 it is 1
_PAIRS = [(2, 3), (3, 2), (-1, 0), (1.5, -2.5), (0.0, -0.0), (-0.0, 0.0), (math.inf, 1.0)]


def _both(a, b):
    return smaller(a, b), larger(a, b)


@NEEDS_A_COMPILER
@pytest.mark.parametrize(("a", "b"), [*_PAIRS, (math.nan, 1.0), (1.0, math.nan)])
def test_they_are_pythons(a, b):
    found = compiled(_both)(a, b)
    assert [repr(number) for number in found] == [repr(min(a, b)), repr(max(a, b))]


@NEEDS_A_COMPILER
def test_of_two_floats_the_wider_type_counts():
    assert compiled(_both)(np.float32(1), _LARGE) == (1.0, _LARGE)


def test_uncompiled_they_are_pythons_too():
    assert _both(2, 3) == (2, 3)
