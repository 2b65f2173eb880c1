"""Memory aligned for whole vectors, and where an array's numbers are in it."""

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.machine.chip import VECTOR_BYTES

__all__ = ["address", "aligned_zeros"]

_view: Any = (ctypes.c_char * 0).from_buffer


def address(array: NDArray[Any]) -> int:
    """Find where the numbers of a C-ordered array begin."""
    if not array.flags.writeable:  # which ctypes would refuse
        return array.__array_interface__["data"][0]
    return ctypes.addressof(_view(array))  # in a quarter of that time


def aligned_zeros(n: int, dtype: np.typing.DTypeLike) -> NDArray[Any]:
    """Make n zeros that begin on a 64-byte boundary: no vector lies across two cache lines."""
    n_bytes = int(n) * np.dtype(dtype).itemsize
    memory = np.zeros(n_bytes + VECTOR_BYTES, dtype=np.uint8)
    start = -address(memory) % VECTOR_BYTES
    return memory[start : start + n_bytes].view(dtype)
