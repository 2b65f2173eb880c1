"""The path is thinned as it grows; its first and latest points stay."""

import numpy as np
import pytest

from fastbp.solvers.path import MAX_POINTS, Path


@pytest.mark.parametrize("n", [1, 2, 999, 1000, 1001, 1002, 2000, 5000, 12345])
def test_few_points_are_kept_from_the_first_to_the_latest(n):
    path = Path()
    for i in range(n):
        path.add(np.array([i, -i], dtype=np.float32))
    points = path.points()
    assert points.dtype == np.float32
    numbers = points[:, 0]
    assert (numbers[0], numbers[-1]) == (0, n - 1)
    assert min(n, MAX_POINTS / 2) <= len(points) <= MAX_POINTS
    assert len(set(np.diff(numbers[:-1]))) <= 1  # evenly spaced but for the latest
    assert (np.diff(numbers) > 0).all()
    if n < MAX_POINTS:
        assert len(points) == n


def test_points_are_copies():
    path, parameters = Path(), np.zeros(2)
    path.add(parameters)
    parameters += 1
    path.add(parameters)
    assert path.points().tolist() == [[0, 0], [1, 1]]


def test_no_point_is_an_empty_path():
    assert Path().points().shape == (0, 0)
