"""The C library's clock, and its way to give up the core, called from kernels by their addresses.

An address is this process's own, so it comes to a kernel among its arguments. Where the library
has no such functions, `clock_and_yield` is None.
"""

import ctypes
import time
from functools import cache

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, type_callable

__all__ = ["clock_and_yield", "nanoseconds", "yield_core"]

_CLOCK = getattr(time, "CLOCK_MONOTONIC", None)
_INT, _LONG = ir.IntType(32), ir.IntType(64)


@cache
def clock_and_yield() -> tuple[int, int] | None:
    """Give the addresses that `nanoseconds` and `yield_core` take; None where there are none."""
    if _CLOCK is None or ctypes.sizeof(ctypes.c_long) != 8:
        return None
    try:
        library = ctypes.CDLL(None)
        functions = library.clock_gettime, library.sched_yield
    except (OSError, AttributeError):
        return None
    clock, leave = (ctypes.cast(function, ctypes.c_void_p).value for function in functions)
    return None if clock is None or leave is None else (clock, leave)


def nanoseconds(clock: int) -> int:
    """Read a clock that never goes back."""
    return time.monotonic_ns()


def yield_core(leave: int) -> None:
    """Let other threads run, if any wait for this core."""
    time.sleep(0)


@type_callable(nanoseconds)
def _type_nanoseconds(context):
    return lambda clock: types.int64 if isinstance(clock, types.Integer) else None


@lower_builtin(nanoseconds, types.Integer)
def _lower_nanoseconds(context, builder, signature, arguments):
    # struct timespec {long seconds, long nanoseconds}
    moment = cgutils.alloca_once(builder, ir.ArrayType(_LONG, 2))
    function = ir.FunctionType(_INT, [_INT, moment.type]).as_pointer()
    builder.call(builder.inttoptr(arguments[0], function), [ir.Constant(_INT, _CLOCK), moment])
    seconds, rest = cgutils.unpack_tuple(builder, builder.load(moment))
    return builder.add(builder.mul(seconds, ir.Constant(_LONG, 10**9)), rest)


@type_callable(yield_core)
def _type_yield(context):
    return lambda leave: types.none if isinstance(leave, types.Integer) else None


@lower_builtin(yield_core, types.Integer)
def _lower_yield(context, builder, signature, arguments):
    function = ir.FunctionType(_INT, []).as_pointer()
    builder.call(builder.inttoptr(arguments[0], function), [])
    return context.get_dummy_value()
