"""Arrays beside an unreadable page: whoever reads or writes past their end is killed by the chip.

Guard values around an array show what was written beside it. This shows what was read as well; so a
test of it runs in a process of its own.
"""

import ctypes
import mmap

import numpy as np

_PAGE = mmap.PAGESIZE
_VECTOR_BYTES = 64
_PROT_NONE = 0
_kept = []  # an array's memory lives as long as the process


def array_before_guard(n, dtype):
    """Make n zeros on a vector's boundary that end, in whole vectors, where a guard page begins.

    Parameters
    ----------
    n : int
        How many numbers.
    dtype : dtype
        Their dtype.

    Returns
    -------
    array : ndarray of shape (n,)
        The zeros.
    """
    n_bytes = -(-n * np.dtype(dtype).itemsize // _VECTOR_BYTES) * _VECTOR_BYTES
    n_pages = -(-n_bytes // _PAGE)
    memory = mmap.mmap(-1, (n_pages + 1) * _PAGE)
    _kept.append(memory)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + n_pages * _PAGE
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(_PAGE), _PROT_NONE) != 0:
        raise OSError(ctypes.get_errno(), "mprotect refused to make a guard page")
    return np.frombuffer(memory, dtype, n, offset=n_pages * _PAGE - n_bytes)


def cut_before_guards(lengths, dtype):
    """Make a workspace's arrays, each of which ends at a guard page of its own."""
    return {name: array_before_guard(length, dtype) for name, length in lengths.items()}
