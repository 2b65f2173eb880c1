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


def array_before_guard(n, dtype, unit_bytes=1):
    """Make n zeros that end, in whole units of so many bytes, where a guard page begins."""
    n_bytes = -(-n * np.dtype(dtype).itemsize // unit_bytes) * unit_bytes
    n_pages = -(-n_bytes // _PAGE)
    memory = mmap.mmap(-1, (n_pages + 1) * _PAGE)
    _kept.append(memory)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + n_pages * _PAGE
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(_PAGE), _PROT_NONE) != 0:
        raise OSError(ctypes.get_errno(), "mprotect refused to make a guard page")
    return np.frombuffer(memory, dtype, n, offset=n_pages * _PAGE - n_bytes)


def copy_before_guard(array):
    """Copy an array to where it ends at a guard page."""
    copy = array_before_guard(array.size, array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def cut_before_guards(lengths, dtype):
    """Make a workspace's arrays, each of which ends, in whole vectors, at a guard page."""
    return {
        name: array_before_guard(length, dtype, _VECTOR_BYTES) for name, length in lengths.items()
    }
