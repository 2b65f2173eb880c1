"""The only place where numba's options are chosen, each with its reason.

- ``nogil``: kernels touch no Python object, so threads may run them side by side.
- ``error_model="numpy"``: 1/0 is inf, as in NumPy; the Python model puts a branch before every
  division.
- ``fastmath={"contract"}`` lets a multiplication and an addition become one instruction with one
  rounding. Nothing else: reordering would destroy the two-step reductions of elementary functions
  and the small term in ``w - rate * (g + decay * w)``, and ``fastmath=True`` would let the compiler
  assume that there is no NaN and drop every check for one. Sums are fast because kernels are
  written over vectors (``simd.py``), not because the compiler may reorder them.
- ``_nrt=False``: no counting of references. Kernels allocate nothing; arrays become views where
  they come in (``views.py``).

Never ``parallel``: numba's own thread layers abort the process when two Python threads meet in
them, or hang after a fork. Threads are ours, in ``threads.py``. Never ``cache=True`` either: see
``cache.py``. With NUMBA_DISABLE_JIT=1 all of it is plain Python, slowly.
"""

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

from numba import njit
from numba.core import config
from numba.extending import register_jitable

from fastbp.machine.cache import kernel_cache
from fastbp.machine.compiler import KERNEL_PIPELINE, PIPELINE, compiling
from fastbp.machine.compiling_once import load_or_compile
from fastbp.machine.ctrl_c import raising_what_callbacks_swallow
from fastbp.machine.views import borrower

__all__ = ["LOOP_OPTIONS", "OPTIONS", "for_users", "kernel", "part", "routine"]

_COMMON = {"error_model": "numpy", "fastmath": {"contract"}, "_nrt": False}
#: Options of everything that kernels call.
OPTIONS = _COMMON | {"no_cfunc_wrapper": True} | ({"pipeline_class": PIPELINE} if PIPELINE else {})
#: Options of what kernels call by address (``by_address.py``).
LOOP_OPTIONS = _COMMON


def kernel(function: Callable, nogil: bool = True) -> Callable:
    """Compile a function that Python calls, at its first call, and keep the code on disk.

    One that writes to arrays shared by all threads keeps the interpreter's lock: ``nogil=False``.
    """
    inside = part(function)
    borrow = borrower(
        [_plan_of(parameter) for parameter in signature(function).parameters.values()]
    )

    def door(*arguments: Any) -> Any:
        return inside(*borrow(arguments))

    # By its name the loader finds it: no two kernels may share one, in whichever process compiled.
    door.__module__, door.__qualname__ = function.__module__, function.__qualname__
    pipeline = {"pipeline_class": KERNEL_PIPELINE} if KERNEL_PIPELINE else {}
    compiled: Any = njit(nogil=nogil, no_cfunc_wrapper=True, **_COMMON, **pipeline)(door)
    if not config.DISABLE_JIT:
        if KERNEL_PIPELINE:
            compiled._cache = kernel_cache(function)
        compile_for = compiling()(compiled.compile)

        def compile_and_raise(kinds: Any) -> Any:
            with raising_what_callbacks_swallow():
                return load_or_compile(lambda: compile_for(kinds))

        compiled.compile = compile_and_raise
    return compiled


def _plan_of(parameter: Parameter) -> type | None:
    """Give the named tuple that a kernel's parameter is a plan of, if it is one."""
    hint = parameter.annotation
    return hint if hasattr(hint, "_fields") else None


def part(function: Callable) -> Callable:
    """Let kernels call a function; Python may call it too, uncompiled.

    Its code becomes part of every caller's: a call would pass the named tuples' hundred numbers.
    """
    return register_jitable(forceinline=True, **OPTIONS)(function)


def routine(function: Callable) -> Callable:
    """Like `part`, for what is long, takes few arguments and is called from several places.

    It is emitted once and called. That has to be said: a function inherits ``forceinline`` from the
    one that calls it, and a kernel's code would hold every product five times over.
    """
    return register_jitable(forceinline=False, **OPTIONS)(function)


def for_users(function: Callable) -> Any:
    """Compile what Python and users' own compiled code call: with arrays and exceptions of numba's.

    It may call parts, but is none of a kernel's.
    """
    return njit(error_model="numpy")(function)
