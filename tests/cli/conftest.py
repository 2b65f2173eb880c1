"""A table of houses, and a file of it."""

import csv

import numpy as np
import pytest


@pytest.fixture
def rows(rng):
    rooms, age = rng.uniform(1, 9, 80), rng.uniform(0, 50, 80)
    price = 100 * rooms - 3 * age + rng.normal(0, 5, 80)
    return [list(map(repr, row)) for row in np.column_stack([rooms, age, price]).tolist()]


@pytest.fixture
def write(tmp_path):
    def write(lines, delimiter=",", encoding="utf-8"):
        path = tmp_path / "houses.csv"
        with path.open("w", newline="", encoding=encoding) as file:
            csv.writer(file, delimiter=delimiter).writerows(lines)
        return path

    return write
