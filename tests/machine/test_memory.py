"""Where arrays lie in memory."""

import numpy as np
import pytest

from fastbp.machine.memory import address, aligned_zeros


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3),
        np.zeros((2, 3), np.float32)[1:],
        np.zeros(0),
        np.zeros((0, 4)),
        np.arange(9)[4:],
    ],
    ids=["vector", "rows", "empty", "no rows", "stretch"],
)
def test_the_address_is_that_of_the_first_number(array):
    expected = array.ctypes.data
    assert address(array) == expected
    array.flags.writeable = False
    assert address(array) == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_aligned_zeros_begin_on_a_boundary(dtype):
    for n in (0, 1, 16, 1000):
        zeros = aligned_zeros(n, dtype)
        assert (zeros.shape, zeros.dtype) == ((n,), dtype)
        assert not zeros.any()
        assert n == 0 or address(zeros) % 64 == 0
