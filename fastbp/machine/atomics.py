"""Numbers that several threads read and write: each access whole, and in an order all agree on.

What a thread has written before it stores a number, another one sees once it has loaded that
number: so results are handed over.
"""

import time
from threading import Lock
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from fastbp.machine.vector import declare
from fastbp.machine.views import View, place_of

__all__ = ["atomic_add", "atomic_load", "atomic_replace", "atomic_store", "pause"]

_CHANGING = Lock()


def atomic_load(array: Any, i: int) -> int:
    """Read an integer of an array."""
    return array[i]


def atomic_store(array: Any, i: int, number: int) -> None:
    """Write an integer to an array."""
    array[i] = number


def atomic_add(array: Any, i: int, number: int) -> int:
    """Add to an integer of an array; returns what it was before."""
    with _CHANGING:
        before = array[i]
        array[i] = before + number
    return before


def atomic_replace(array: Any, i: int, old: int, new: int) -> bool:
    """Put a new integer in the place of an old one, if that is there; tells whether it was."""
    with _CHANGING:
        if array[i] != old:
            return False
        array[i] = new
    return True


def pause() -> None:
    """Tell the chip that this thread waits in a loop."""
    time.sleep(0)


# What each means to the compiler.


def _integers(array: Any) -> bool:
    return isinstance(array, View) and array.ndim == 1 and isinstance(array.dtype, types.Integer)


@type_callable(atomic_load)
def _type_load(context):
    return lambda array, i: array.dtype if _integers(array) else None


@type_callable(atomic_store)
def _type_store(context):
    return lambda array, i, number: types.none if _integers(array) else None


@type_callable(atomic_add)
def _type_add(context):
    return lambda array, i, number: array.dtype if _integers(array) else None


@type_callable(atomic_replace)
def _type_replace(context):
    return lambda array, i, old, new: types.boolean if _integers(array) else None


def _place_and_numbers(context, builder, signature, arguments):
    array, _, *kinds = signature.args
    place = place_of(context, builder, array, *arguments[:2])
    numbers = zip(arguments[2:], kinds, strict=True)
    return place, *(context.cast(builder, value, kind, array.dtype) for value, kind in numbers)


@lower_builtin(atomic_load, View, types.Integer)
def _lower_load(context, builder, signature, arguments):
    (place,) = _place_and_numbers(context, builder, signature, arguments)
    return builder.load_atomic(place, "acquire", signature.return_type.bitwidth // 8)


@lower_builtin(atomic_store, View, types.Integer, types.Integer)
def _lower_store(context, builder, signature, arguments):
    place, number = _place_and_numbers(context, builder, signature, arguments)
    builder.store_atomic(number, place, "release", signature.args[0].dtype.bitwidth // 8)
    return context.get_dummy_value()


@lower_builtin(atomic_add, View, types.Integer, types.Integer)
def _lower_add(context, builder, signature, arguments):
    place, number = _place_and_numbers(context, builder, signature, arguments)
    return builder.atomic_rmw("add", place, number, "acq_rel")


@lower_builtin(atomic_replace, View, types.Integer, types.Integer, types.Integer)
def _lower_replace(context, builder, signature, arguments):
    place, old, new = _place_and_numbers(context, builder, signature, arguments)
    return builder.extract_value(builder.cmpxchg(place, old, new, "acq_rel", "acquire"), 1)


@type_callable(pause)
def _type_pause(context):
    return lambda: types.none


@lower_builtin(pause)
def _lower_pause(context, builder, signature, arguments):
    if llvm.get_default_triple().startswith(("x86_64", "i686")):
        nothing = ir.FunctionType(ir.VoidType(), [])
        builder.call(declare(builder, "llvm.x86.sse2.pause", nothing), [])
    return context.get_dummy_value()
