"""The line search: strong Wolfe points, from any first step."""

import math

import numpy as np
import pytest

from fastbp.solvers.descent import Descent
from fastbp.solvers.line_search import line_search
from helpers.runs import batch_options
from helpers.surfaces import START, Rosenbrock, Surface


@pytest.mark.parametrize("c2", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("first_step", [1e-9, 1e-3, 1.0, 1e3, 1e9])
def test_line_search_finds_a_strong_wolfe_point(first_step, c2):
    descent = Descent(Rosenbrock(), START, batch_options(gtol=0.0))
    descent.begin(START)
    start, direction = descent.point, np.array([1.0, -0.3])
    slope = start.gradient @ direction
    assert slope < 0
    point, step = line_search(descent, direction, first_step, c2)
    np.testing.assert_array_equal(point.parameters, start.parameters + step * direction)
    assert point.loss <= start.loss + 1e-4 * step * slope
    assert abs(point.gradient @ direction) <= c2 * abs(slope)


class Waves(Surface):
    """t / 2 - sin 3t in one dimension: each valley on the way lies higher than the one before."""

    def answer(self, parameters):
        t = float(parameters[0])
        slope = np.array([0.5 - 3 * math.cos(3 * t)])
        return t / 2 - math.sin(3 * t), slope, np.outer(slope, slope)


@pytest.mark.parametrize("c2", [0.1, 0.9])
@pytest.mark.parametrize("first_step", np.arange(0.1, 10, 0.3))
def test_line_search_does_not_stay_in_a_valley_above_the_start(first_step, c2):
    descent = Descent(Waves(), np.zeros(1), batch_options(gtol=0.0))
    descent.begin(np.zeros(1))
    point, step = line_search(descent, np.ones(1), first_step, c2)
    assert point.parameters.tolist() == [step]
    assert point.loss <= 1e-4 * step * -2.5
    assert abs(point.gradient[0]) <= c2 * 2.5
