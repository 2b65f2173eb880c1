"""Vectors of numbers, as the chip's registers hold them: 64 bytes, 16 float32 or 8 float64.

Kernels are written over whole vectors. ``v = load(a, i)`` takes the numbers ``a[i]`` to ``a[i +
LANES - 1]`` into one, ``+ - * /`` and comparisons work on all its lanes at once, a plain number
stands for a vector of copies of it, and ``store(a, i, v)`` writes it back. In Python each function
here does what it says with a NumPy array, which is also its definition. Compiled, a vector is a
value of LLVM's type ``<16 x float>`` or ``<8 x double>``: one register of AVX-512, two of AVX2,
four of SSE or NEON, and an addition is one instruction for each of those.

``load(a, i, n)`` takes n vectors as one long one; what is computed with it is n independent
instructions, which hides the latency of each. Nothing here checks bounds: arrays are whole vectors
long, padded where there are fewer numbers (see ``Layout``), or `load_first` reads what there
is.

The compiler could find such vectors in plain loops by itself, but only where it can prove that
arrays do not overlap and that sums may be reordered; it then chooses a width and an order of its
own. Written out, both are ours, and the order of a sum is the same wherever it is computed.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from fastbp.machine.chip import VECTOR_BYTES
from fastbp.machine.vector import (
    Vector,
    as_vector,
    declare,
    indices,
    llvm_type,
    number_bytes,
    spread,
    sum_lanes,
    vector_of,
    vector_pointer,
)
from fastbp.machine.views import View, place_of

__all__ = [
    "cast",
    "lanes",
    "load",
    "load_first",
    "load_lanes",
    "repeat",
    "splat",
    "store",
    "sum_lanes",
]


def lanes(array: Any) -> int:
    """How many of an array's numbers make a vector."""
    return VECTOR_BYTES // array.dtype.itemsize


def load(array: Any, start: int, n: int = 1) -> Any:
    """Load the n vectors that begin at a place of a 1-d array, as one long vector."""
    return array[start : start + n * lanes(array)].copy()


def store(array: Any, start: int, vector: Any) -> None:
    """Write a vector to a place of a 1-d array."""
    array[start : start + len(vector)] = vector


def load_first(array: Any, start: int, count: int) -> Any:
    """Load a vector of which the first ``count`` lanes are read and the rest is 0."""
    vector = np.zeros(lanes(array), array.dtype)
    vector[:count] = array[start : start + count]
    return vector


def load_lanes(array: Any, start: int, like: Any) -> Any:
    """Load as many numbers, whatever their dtype, as a vector of another array has lanes."""
    return array[start : start + lanes(like)].copy()


def cast(vector: Any, like: Any) -> Any:
    """Convert each lane to the dtype of an array."""
    return vector.astype(like.dtype)


def repeat(vector: Any, n: int) -> Any:
    """Put n copies of a vector behind each other, as one long one."""
    return np.tile(vector, n)


def splat(array: Any, number: float, n: int = 1) -> Any:
    """Fill n vectors, of an array's dtype, with one number."""
    return np.full(n * lanes(array), number, array.dtype)


# What follows tells the compiler the same: for each function how its result's type follows from its
# arguments' types (type_callable), and its instructions (lower_builtin).


@type_callable(lanes)
def _type_lanes(context):
    return lambda array: types.intp if isinstance(array, View) else None


@lower_builtin(lanes, View)
def _lower_lanes(context, builder, signature, arguments):
    return context.get_constant(types.intp, vector_of(signature.args[0]).n_lanes)


def _array_and_count(array: Any, n: Any) -> Vector | None:
    if not isinstance(array, View):
        return None
    if n == 1 or isinstance(n, types.IntegerLiteral):
        return vector_of(array, n if n == 1 else n.literal_value)
    return None


@type_callable(load)
def _type_load(context):
    return lambda array, start, n=1: _array_and_count(array, n)


@lower_builtin(load, View, types.Integer)
@lower_builtin(load, View, types.Integer, types.Any)
def _lower_load(context, builder, signature, arguments):
    pointer = place_of(context, builder, signature.args[0], arguments[0], arguments[1])
    vector = signature.return_type
    align = number_bytes(vector)
    return builder.load(vector_pointer(builder, pointer, vector), align=align)


@type_callable(load_lanes)
def _type_load_lanes(context):
    def typer(array, start, like):
        if isinstance(array, View) and isinstance(like, View):
            return vector_of(like).of(array.dtype)
        return None

    return typer


@lower_builtin(load_lanes, View, types.Integer, View)
def _lower_load_lanes(context, builder, signature, arguments):
    return _lower_load(context, builder, signature, arguments)


@type_callable(cast)
def _type_cast(context):
    def typer(vector, like):
        if isinstance(vector, Vector) and isinstance(like, View):
            return vector.of(like.dtype)
        return None

    return typer


@lower_builtin(cast, Vector, View)
def _lower_cast(context, builder, signature, arguments):
    given, wanted = signature.args[0], signature.return_type
    if number_bytes(given) == number_bytes(wanted):
        return arguments[0]
    convert = builder.fpext if number_bytes(given) < number_bytes(wanted) else builder.fptrunc
    return convert(arguments[0], llvm_type(wanted))


@type_callable(repeat)
def _type_repeat(context):
    def typer(vector, n):
        if not isinstance(vector, Vector):
            return None
        n = getattr(n, "literal_value", n)
        return Vector(vector.dtype, n * vector.n_lanes) if isinstance(n, int) else None

    return typer


@lower_builtin(repeat, Vector, types.Any)
def _lower_repeat(context, builder, signature, arguments):
    vector, lanes_of_one = arguments[0], signature.args[0].n_lanes
    places = indices(i % lanes_of_one for i in range(signature.return_type.n_lanes))
    return builder.shuffle_vector(vector, vector, places)


@type_callable(store)
def _type_store(context):
    def typer(array, start, vector):
        return types.none if isinstance(vector, Vector) else None

    return typer


@lower_builtin(store, View, types.Integer, Vector)
def _lower_store(context, builder, signature, arguments):
    pointer = place_of(context, builder, signature.args[0], arguments[0], arguments[1])
    vector = signature.args[2]
    align = number_bytes(vector)
    builder.store(arguments[2], vector_pointer(builder, pointer, vector), align=align)
    return context.get_dummy_value()


@type_callable(splat)
def _type_splat(context):
    return lambda array, number, n=1: _array_and_count(array, n)


@lower_builtin(splat, View, types.Number)
@lower_builtin(splat, View, types.Number, types.Any)
def _lower_splat(context, builder, signature, arguments):
    return as_vector(context, builder, arguments[1], signature.args[1], signature.return_type)


def _first_lanes(builder, count, vector):
    numbers = ir.Constant(ir.VectorType(count.type, vector.n_lanes), list(range(vector.n_lanes)))
    return builder.icmp_signed("<", numbers, spread(builder, count, vector.n_lanes))


@type_callable(load_first)
def _type_load_first(context):
    def typer(array, start, count):
        return vector_of(array) if isinstance(array, View) else None

    return typer


@lower_builtin(load_first, View, types.Integer, types.Integer)
def _lower_load_first(context, builder, signature, arguments):
    vector = signature.return_type
    value, align = llvm_type(vector), ir.IntType(32)
    pointer = place_of(context, builder, signature.args[0], arguments[0], arguments[1])
    pointer = vector_pointer(builder, pointer, vector)
    mask = _first_lanes(builder, arguments[2], vector)
    function = declare(
        builder,
        f"llvm.masked.load.v{vector.n_lanes}f{vector.dtype.bitwidth}.p0",
        ir.FunctionType(value, [pointer.type, align, mask.type, value]),
    )
    zeros = ir.Constant(value, None)
    return builder.call(function, [pointer, ir.Constant(align, number_bytes(vector)), mask, zeros])
