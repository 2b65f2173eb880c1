"""The only place where numba's options are chosen, each with its reason.

- ``nogil``: kernels touch no Python object, so threads may run them side by side.
- ``error_model="numpy"``: 1/0 is inf, as in NumPy; the Python model puts a branch into every loop
  that divides, and such loops do not vectorise.
- ``fastmath=SUMS`` lets the compiler reorder sums, which is what vectorising a sum means, and fuse
  multiply and add. It keeps NaN and infinity honest; ``fastmath=True`` would let the compiler
  assume there are none and drop every check for them.
- ``fastmath=EXACT`` for elementary functions and updates, whose orders of operations are the point:
  multiply and add may be fused, nothing may be reordered.

Never ``parallel``: numba's own thread layers abort the process when two Python threads meet in
them, or hang after a fork. Threads are ours, in ``threads.py``. Never ``cache=True`` either: see
``cache.py``. With NUMBA_DISABLE_JIT=1 all of it is plain Python, slowly.
"""

from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core import config
from numba.extending import register_jitable

from fastbp.machine.cache import kernel_cache

__all__ = ["EXACT", "SUMS", "exact", "kernel", "part"]

SUMS = {"contract", "reassoc", "arcp", "nsz"}
EXACT = {"contract"}


def kernel(function: Callable) -> Callable:
    """Compile a function that Python calls, at its first call, and keep the code on disk."""
    compiled: Any = njit(nogil=True, error_model="numpy", fastmath=SUMS)(function)
    if not config.DISABLE_JIT:
        compiled._cache = kernel_cache(function)
    return compiled


def part(function: Callable) -> Callable:
    """Let kernels call a function; Python may call it too, uncompiled."""
    return register_jitable(error_model="numpy", fastmath=SUMS)(function)


def exact(function: Callable) -> Callable:
    """Like `part`, but nothing is reordered, whoever calls."""
    return register_jitable(error_model="numpy", fastmath=EXACT)(function)
