"""Views: plans of named tuples that kernels take in their place."""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from fastbp.machine.jit import kernel
from fastbp.machine.views import write_plan
from fastbp.model.data import Matrix


class _Table(NamedTuple):
    numbers: NDArray[np.floating]
    places: NDArray[np.int64]
    offset: float
    X: Matrix
    n: int


def _read(table: _Table, out):
    for i in range(table.n):
        row = table.places[i]
        out[i] = table.numbers[i] + table.X[row, 1] + table.offset
    table.numbers[0] = 7
    return table.X.shape[0] + 10 * table.numbers.size


_read_table = kernel(_read)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_kernel_takes_a_plan_for_the_named_tuple(dtype):
    results = []
    for lend in (write_plan, lambda table: table):
        table = _Table(
            np.array([1, 2, 3], dtype),
            np.array([3, 0]),
            -0.25,
            np.arange(8, dtype=dtype).reshape(4, 2),
            2,
        )
        out = np.zeros(2, dtype)
        assert _read_table(lend(table), out) == 34
        assert table.numbers[0] == 7
        results.append(out.tolist())
    assert results == [[7.75, 2.75]] * 2
