"""Vectors of numbers, as the chip's registers hold them: 64 bytes, 16 float32 or 8 float64.

Kernels are written over whole vectors. ``v = load(a, i)`` takes the numbers ``a[i]`` to
``a[i + LANES - 1]`` into one, ``+ - * /`` and comparisons work on all its lanes at once, a plain
number stands for a vector of copies of it, and ``store(a, i, v)`` writes it back. In Python each
function here does what it says with a NumPy array, which is also its definition. Compiled, a vector
is a value of LLVM's type ``<16 x float>`` or ``<8 x double>``: one register of AVX-512, two of AVX2,
four of SSE or NEON, and an addition is one instruction for each of those.

``load(a, i, n)`` takes n vectors as one long one; what is computed with it is n independent
instructions, which hides the latency of each. Nothing here checks bounds: arrays are whole vectors
long, padded where there are fewer numbers (see ``network.py``), or `load_first` reads what there is.

The compiler could find such vectors in plain loops by itself, but only where it can prove that
arrays do not overlap and that sums may be reordered; it then chooses a width and an order of its
own. Written out, both are ours, and the order of a sum is the same wherever it is computed.
"""


import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import lower_builtin, register_model, type_callable

from fastbp.machine.chip import VECTOR_BYTES
from fastbp.machine.elementary import one, sqrt, where
from fastbp.machine.views import View, place_of

__all__ = [
    "Vector",
    "as_float",
    "as_integer",
    "copysign",
    "lanes",
    "load",
    "load_first",
    "splat",
    "store",
    "store_first",
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


def store_first(array: Any, start: int, count: int, vector: Any) -> None:
    """Write the first ``count`` lanes of a vector."""
    array[start : start + count] = vector[:count]


def splat(array: Any, number: float, n: int = 1) -> Any:
    """Fill n vectors, of an array's dtype, with one number."""
    return np.full(n * lanes(array), number, array.dtype)


def sum_lanes(vector: Any) -> Any:
    """Sum of all lanes, in halves: lanes 0 and n/2, 1 and n/2 + 1, ... first."""
    while len(vector) > 1:
        vector = vector[: len(vector) // 2] + vector[len(vector) // 2 :]
    return vector[0]


def copysign(vector: Any, sign: Any) -> Any:
    """Give each lane the sign of another vector's."""
    return np.copysign(vector, sign)


def as_integer(vector: Any) -> Any:
    """Read the bits of floating-point lanes as integers."""
    return vector.view(np.dtype(f"i{vector.dtype.itemsize}"))


def as_float(vector: Any) -> Any:
    """Read the bits of integer lanes as floating-point numbers."""
    return vector.view(np.dtype(f"f{vector.dtype.itemsize}"))


# What follows tells the compiler the same: the type, then for each function how its result's type
# follows from its arguments' types (type_callable), and its instructions (lower_builtin).


class Vector(types.Type):
    """The compiler's type of a vector: so many lanes of a number type."""

    def __init__(self, dtype: types.Type, n_lanes: int) -> None:
        self.dtype, self.n_lanes = dtype, n_lanes
        super().__init__(name=f"Vector({dtype}, {n_lanes})")

    def of(self, dtype: types.Type) -> "Vector":
        """As many lanes of another type."""
        return Vector(dtype, self.n_lanes)


_LLVM = {
    types.float32: ir.FloatType(),
    types.float64: ir.DoubleType(),
    types.int32: ir.IntType(32),
    types.int64: ir.IntType(64),
    types.boolean: ir.IntType(1),
}
_INTEGER = {types.float32: types.int32, types.float64: types.int64}
_FLOAT = {integer: number for number, integer in _INTEGER.items()}


def llvm_type(vector: Vector) -> ir.Type:
    """Give LLVM's type of a vector."""
    return ir.VectorType(_LLVM[vector.dtype], vector.n_lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):  # type: ignore[no-untyped-def]
        super().__init__(dmm, fe_type, llvm_type(fe_type))


def vector_of(array: View, n: int = 1) -> Vector:
    """Give the type of n vectors of a view's numbers."""
    return Vector(array.dtype, n * VECTOR_BYTES // (array.dtype.bitwidth // 8))


def spread(builder: ir.IRBuilder, scalar: ir.Value, n_lanes: int) -> ir.Value:
    """Copy a scalar to all lanes."""
    one = ir.Constant(ir.IntType(32), 0)
    undefined = ir.Constant(ir.VectorType(scalar.type, n_lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, one)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), n_lanes), None)
    return builder.shuffle_vector(first, undefined, zeros)


def vector_pointer(builder, pointer, vector):  # type: ignore[no-untyped-def]
    """Look at an address of numbers as one of vectors."""
    return builder.bitcast(pointer, llvm_type(vector).as_pointer())


def multiply_add(builder, a, b, c):  # type: ignore[no-untyped-def]
    """Give a * b + c, in one instruction and rounding where the chip can."""
    name = f"llvm.fmuladd.v{a.type.count}f{32 if a.type.element == ir.FloatType() else 64}"
    function = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(declare(builder, name, function), [a, b, c])


def declare(builder, name, function):  # type: ignore[no-untyped-def]
    """Declare a function of LLVM's, once a module."""
    module = builder.module
    return module.globals.get(name) or ir.Function(module, function, name)


def _number_bytes(vector: Vector) -> int:
    return vector.dtype.bitwidth // 8


def by_register(builder, value, n_lanes, call):  # type: ignore[no-untyped-def]
    """Apply an instruction of one register, ``call(builder, register)``, to each part of a vector."""
    parts = []
    for first in range(0, value.type.count, n_lanes):
        register = builder.shuffle_vector(value, value, _indices(range(first, first + n_lanes)))
        parts.append(call(builder, register))
    while len(parts) > 1:
        parts = [
            builder.shuffle_vector(low, high, _indices(range(2 * low.type.count)))
            for low, high in zip(parts[0::2], parts[1::2], strict=True)
        ]
    return parts[0]


# Operators.


def _vector_among(*arguments: Any) -> Vector | None:
    """The vector type among arguments, if all else are numbers or the same."""
    vectors = [argument for argument in arguments if isinstance(argument, Vector)]
    rest = [argument for argument in arguments if not isinstance(argument, Vector)]
    fits = all(isinstance(argument, types.Number | types.Boolean) for argument in rest)
    return vectors[0] if vectors and fits and len(set(vectors)) == 1 else None


def _as_vector(context, builder, value, type_, vector):  # type: ignore[no-untyped-def]
    if isinstance(type_, Vector):
        return value
    return spread(builder, context.cast(builder, value, type_, vector.dtype), vector.n_lanes)


def _operator(function, result, instruction):  # type: ignore[no-untyped-def]
    """Define an operator of two vectors, or of a vector and a number."""

    @type_callable(function)
    def give_typer(context):  # type: ignore[no-untyped-def]
        def typer(a, b):  # type: ignore[no-untyped-def]
            vector = _vector_among(a, b)
            return vector and result(vector)

        return typer

    def lower(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vector = _vector_among(*signature.args)
        a, b = (
            _as_vector(context, builder, value, type_, vector)
            for value, type_ in zip(arguments, signature.args, strict=True)
        )
        return instruction(builder, vector, a, b)

    for types_ in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(function, *types_)(lower)


def _arithmetic(for_floats, for_integers):  # type: ignore[no-untyped-def]
    def emit(builder, vector, a, b):  # type: ignore[no-untyped-def]
        name = for_integers if isinstance(vector.dtype, types.Integer) else for_floats
        return getattr(builder, name)(a, b)

    return emit


def _comparison(sign):  # type: ignore[no-untyped-def]
    return lambda builder, vector, a, b: builder.fcmp_ordered(sign, a, b)


for _function, _emit in (
    (operator.add, _arithmetic("fadd", "add")),
    (operator.sub, _arithmetic("fsub", "sub")),
    (operator.mul, _arithmetic("fmul", "mul")),
    (operator.truediv, _arithmetic("fdiv", None)),
    (operator.lshift, _arithmetic(None, "shl")),
    (operator.rshift, _arithmetic(None, "ashr")),
):
    _operator(_function, lambda vector: vector, _emit)
for _function, _sign in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.eq, "=="),
):
    _operator(_function, lambda vector: vector.of(types.boolean), _comparison(_sign))


def _unary(function, result, emit):  # type: ignore[no-untyped-def]
    """Define a function of one vector."""

    @type_callable(function)
    def give_typer(context):  # type: ignore[no-untyped-def]
        return lambda vector: result(vector) if isinstance(vector, Vector) else None

    @lower_builtin(function, Vector)
    def lower(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return emit(builder, signature, arguments[0])


def _llvm_unary(name):  # type: ignore[no-untyped-def]
    def emit(builder, signature, value):  # type: ignore[no-untyped-def]
        bits = signature.return_type.dtype.bitwidth
        full = f"llvm.{name}.v{value.type.count}f{bits}"
        function = ir.FunctionType(value.type, [value.type])
        return builder.call(declare(builder, full, function), [value])

    return emit


def _bitcast(builder, signature, value):  # type: ignore[no-untyped-def]
    return builder.bitcast(value, llvm_type(signature.return_type))


def _halves(builder, signature, value):  # type: ignore[no-untyped-def]
    n = value.type.count
    while n > 1:
        n //= 2
        low, high = (
            builder.shuffle_vector(value, value, _indices(range(first, first + n)))
            for first in (0, n)
        )
        value = builder.fadd(low, high)
    return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))


def _indices(places):  # type: ignore[no-untyped-def]
    places = list(places)
    return ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)


_unary(operator.neg, lambda vector: vector, lambda builder, signature, value: builder.fneg(value))
_unary(
    one,
    lambda vector: vector,
    lambda builder, signature, value: ir.Constant(value.type, [1.0] * value.type.count),
)
_unary(abs, lambda vector: vector, _llvm_unary("fabs"))
_unary(sqrt, lambda vector: vector, _llvm_unary("sqrt"))
_unary(as_integer, lambda vector: vector.of(_INTEGER[vector.dtype]), _bitcast)
_unary(as_float, lambda vector: vector.of(_FLOAT[vector.dtype]), _bitcast)
_unary(sum_lanes, lambda vector: vector.dtype, _halves)


@type_callable(copysign)
def _type_copysign(context):  # type: ignore[no-untyped-def]
    return lambda vector, sign: vector if vector == sign and isinstance(vector, Vector) else None


@lower_builtin(copysign, Vector, Vector)
def _lower_copysign(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
    vector = signature.return_type
    value = llvm_type(vector)
    name = f"llvm.copysign.v{vector.n_lanes}f{vector.dtype.bitwidth}"
    return builder.call(
        declare(builder, name, ir.FunctionType(value, [value, value])), arguments
    )


@type_callable(where)
def _type_where(context):  # type: ignore[no-untyped-def]
    def typer(mask, a, b):  # type: ignore[no-untyped-def]
        if isinstance(mask, Vector) and mask.dtype == types.boolean:
            return _vector_among(a, b)
        return None

    return typer


@lower_builtin(where, Vector, types.Any, types.Any)
def _lower_where(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
    a, b = (
        _as_vector(context, builder, value, type_, signature.return_type)
        for value, type_ in zip(arguments[1:], signature.args[1:], strict=True)
    )
    return builder.select(arguments[0], a, b)


def lanewise(stub: Any, function: Any) -> None:
    """Give a stub the meaning of a function of the C library, called for each lane."""

    @type_callable(stub)
    def give_typer(context):  # type: ignore[no-untyped-def]
        return lambda vector: vector if isinstance(vector, Vector) else None

    @lower_builtin(stub, Vector)
    def lower(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        (vector,), value = signature.args, arguments[0]
        scalar = vector.dtype(vector.dtype)
        call = context.get_function(function, scalar)
        for lane in range(vector.n_lanes):
            place = ir.Constant(ir.IntType(32), lane)
            result = call(builder, [builder.extract_element(arguments[0], place)])
            value = builder.insert_element(value, result, place)
        return value


# Loads and stores.


@type_callable(lanes)
def _type_lanes(context):  # type: ignore[no-untyped-def]
    return lambda array: types.intp if isinstance(array, View) else None


@lower_builtin(lanes, View)
def _lower_lanes(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
    return context.get_constant(types.intp, vector_of(signature.args[0]).n_lanes)


def _array_and_count(array: Any, n: Any) -> Vector | None:
    if not isinstance(array, View):
        return None
    if n == 1 or isinstance(n, types.IntegerLiteral):
        return vector_of(array, n if n == 1 else n.literal_value)
    return None


@type_callable(load)
def _type_load(context):  # type: ignore[no-untyped-def]
    return lambda array, start, n=1: _array_and_count(array, n)


@lower_builtin(load, View, types.Integer)
@lower_builtin(load, View, types.Integer, types.Any)
def _lower_load(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
    pointer = place_of(context, builder, signature.args[0], arguments[0], arguments[1])
    vector = signature.return_type
    align = _number_bytes(vector)
    return builder.load(vector_pointer(builder, pointer, vector), align=align)


@type_callable(store)
def _type_store(context):  # type: ignore[no-untyped-def]
    def typer(array, start, vector):  # type: ignore[no-untyped-def]
        return types.none if isinstance(vector, Vector) else None

    return typer


@lower_builtin(store, View, types.Integer, Vector)
def _lower_store(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
    pointer = place_of(context, builder, signature.args[0], arguments[0], arguments[1])
    vector = signature.args[2]
    align = _number_bytes(vector)
    builder.store(arguments[2], vector_pointer(builder, pointer, vector), align=align)
    return context.get_dummy_value()


@type_callable(splat)
def _type_splat(context):  # type: ignore[no-untyped-def]
    return lambda array, number, n=1: _array_and_count(array, n)


@lower_builtin(splat, View, types.Number)
@lower_builtin(splat, View, types.Number, types.Any)
def _lower_splat(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
    return _as_vector(context, builder, arguments[1], signature.args[1], signature.return_type)


def _first_lanes(builder, count, vector):  # type: ignore[no-untyped-def]
    numbers = ir.Constant(ir.VectorType(count.type, vector.n_lanes), list(range(vector.n_lanes)))
    return builder.icmp_signed("<", numbers, spread(builder, count, vector.n_lanes))


def _masked(builder, kind, vector):  # type: ignore[no-untyped-def]
    value = llvm_type(vector)
    name = f"llvm.masked.{kind}.v{vector.n_lanes}f{vector.dtype.bitwidth}.p0"
    mask, align = ir.VectorType(ir.IntType(1), vector.n_lanes), ir.IntType(32)
    if kind == "load":
        function = ir.FunctionType(value, [value.as_pointer(), align, mask, value])
    else:
        function = ir.FunctionType(ir.VoidType(), [value, value.as_pointer(), align, mask])
    return declare(builder, name, function), ir.Constant(align, _number_bytes(vector))


@type_callable(load_first)
def _type_load_first(context):  # type: ignore[no-untyped-def]
    def typer(array, start, count):  # type: ignore[no-untyped-def]
        return vector_of(array) if isinstance(array, View) else None

    return typer


@lower_builtin(load_first, View, types.Integer, types.Integer)
def _lower_load_first(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
    vector = signature.return_type
    pointer = place_of(context, builder, signature.args[0], arguments[0], arguments[1])
    function, align = _masked(builder, "load", vector)
    mask = _first_lanes(builder, arguments[2], vector)
    zeros = ir.Constant(llvm_type(vector), None)
    return builder.call(
        function, [vector_pointer(builder, pointer, vector), align, mask, zeros]
    )


@type_callable(store_first)
def _type_store_first(context):  # type: ignore[no-untyped-def]
    def typer(array, start, count, vector):  # type: ignore[no-untyped-def]
        return types.none if isinstance(vector, Vector) else None

    return typer


@lower_builtin(store_first, View, types.Integer, types.Integer, Vector)
def _lower_store_first(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
    vector = signature.args[3]
    pointer = place_of(context, builder, signature.args[0], arguments[0], arguments[1])
    function, align = _masked(builder, "store", vector)
    mask = _first_lanes(builder, arguments[2], vector)
    builder.call(
        function, [arguments[3], vector_pointer(builder, pointer, vector), align, mask]
    )
    return context.get_dummy_value()
