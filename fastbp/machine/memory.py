"""Memory aligned for whole vectors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.machine.chip import VECTOR_BYTES

__all__ = ["aligned_zeros"]


def aligned_zeros(n: int, dtype: np.typing.DTypeLike) -> NDArray[Any]:
    """Make n zeros that begin on a 64-byte boundary: no vector lies across two cache lines."""
    n_bytes = int(n) * np.dtype(dtype).itemsize
    memory = np.zeros(n_bytes + VECTOR_BYTES, dtype=np.uint8)
    start = -memory.ctypes.data % VECTOR_BYTES
    return memory[start : start + n_bytes].view(dtype)
