"""Sums of short vectors, by the BLAS.

On the 16 numbers of a small network NumPy takes 1.4 microseconds for x + step * d, most of them to
find out what it was given; a gradient of 41 rows takes three. The bits are the same: each product,
and each sum, is rounded once.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import daxpy, dscal

__all__ = ["moved"]


def moved(
    x: NDArray[np.float64], step: float, direction: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give ``x + step * direction``, a new array, of float64 vectors that are contiguous."""
    return daxpy(x, dscal(step, direction.copy()))
