"""What a vector is to the compiler, and what can be done with vectors.

The type, the operators, and functions of one or two vectors: each with its definition in Python,
which is NumPy's, then with the type of its result and its LLVM instructions. How vectors are loaded
and stored is ``simd.py``'s business.
"""

import math
import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import lower_builtin, register_model, type_callable

from fastbp.machine.chip import VECTOR_BYTES
from fastbp.machine.elementary import one, sqrt, tiny, where
from fastbp.machine.views import View

__all__ = ["Vector", "as_float", "as_integer", "copysign", "sum_lanes"]


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
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, llvm_type(fe_type))


def vector_of(array: View, n: int = 1) -> Vector:
    """Give the type of n vectors of a view's numbers."""
    return Vector(array.dtype, n * VECTOR_BYTES // (array.dtype.bitwidth // 8))


def spread(builder: ir.IRBuilder, scalar: ir.Value, n_lanes: int) -> ir.Value:
    """Copy a scalar to all lanes."""
    lane_0 = ir.Constant(ir.IntType(32), 0)
    undefined = ir.Constant(ir.VectorType(scalar.type, n_lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, lane_0)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), n_lanes), None)
    return builder.shuffle_vector(first, undefined, zeros)


def vector_pointer(builder, pointer, vector):
    """Look at an address of numbers as one of vectors."""
    return builder.bitcast(pointer, llvm_type(vector).as_pointer())


def multiply_add(builder, a, b, c):
    """Give a * b + c, in one instruction and rounding where the chip can."""
    name = f"llvm.fmuladd.v{a.type.count}f{32 if a.type.element == ir.FloatType() else 64}"
    function = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(declare(builder, name, function), [a, b, c])


def declare(builder, name, function):
    """Declare a function of LLVM's, once a module."""
    module = builder.module
    return module.globals.get(name) or ir.Function(module, function, name)


def number_bytes(vector: Vector) -> int:
    """Bytes of one lane, to which loads and stores may rely on being aligned."""
    return vector.dtype.bitwidth // 8


def by_register(builder, value, n_lanes, call):
    """Apply an instruction of one register, ``call(builder, part)``, to each part."""
    parts = []
    for first in range(0, value.type.count, n_lanes):
        register = builder.shuffle_vector(value, value, indices(range(first, first + n_lanes)))
        parts.append(call(builder, register))
    while len(parts) > 1:
        parts = [
            builder.shuffle_vector(low, high, indices(range(2 * low.type.count)))
            for low, high in zip(parts[0::2], parts[1::2], strict=True)
        ]
    return parts[0]


# Operators.


def _vector_among(*arguments: Any) -> Vector | None:
    """Find the vector type among arguments, if all else are numbers or the same."""
    vectors = [argument for argument in arguments if isinstance(argument, Vector)]
    rest = [argument for argument in arguments if not isinstance(argument, Vector)]
    fits = all(isinstance(argument, types.Number | types.Boolean) for argument in rest)
    return vectors[0] if vectors and fits and len(set(vectors)) == 1 else None


def as_vector(context, builder, value, type_, vector):
    if isinstance(type_, Vector):
        return value
    return spread(builder, context.cast(builder, value, type_, vector.dtype), vector.n_lanes)


def _operator(function, result, instruction):
    """Define an operator of two vectors, or of a vector and a number."""

    @type_callable(function)
    def give_typer(context):
        def typer(a, b):
            vector = _vector_among(a, b)
            return vector and result(vector)

        return typer

    def lower(context, builder, signature, arguments):
        vector = _vector_among(*signature.args)
        a, b = (
            as_vector(context, builder, value, type_, vector)
            for value, type_ in zip(arguments, signature.args, strict=True)
        )
        return instruction(builder, vector, a, b)

    for types_ in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(function, *types_)(lower)


def _arithmetic(for_floats, for_integers):
    def emit(builder, vector, a, b):
        name = for_integers if isinstance(vector.dtype, types.Integer) else for_floats
        return getattr(builder, name)(a, b)

    return emit


def _comparison(sign):
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


def _unary(function, result, emit):
    """Define a function of one vector."""

    @type_callable(function)
    def give_typer(context):
        return lambda vector: result(vector) if isinstance(vector, Vector) else None

    @lower_builtin(function, Vector)
    def lower(context, builder, signature, arguments):
        return emit(builder, signature, arguments[0])


def _llvm_unary(name):
    def emit(builder, signature, value):
        bits = signature.return_type.dtype.bitwidth
        full = f"llvm.{name}.v{value.type.count}f{bits}"
        function = ir.FunctionType(value.type, [value.type])
        return builder.call(declare(builder, full, function), [value])

    return emit


def _bitcast(builder, signature, value):
    return builder.bitcast(value, llvm_type(signature.return_type))


def _halves(builder, signature, value):
    n = value.type.count
    while n > 1:
        n //= 2
        low, high = (
            builder.shuffle_vector(value, value, indices(range(first, first + n)))
            for first in (0, n)
        )
        value = builder.fadd(low, high)
    return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))


def indices(places):
    """Make what a shuffle is told: which lane stands in each place."""
    places = list(places)
    return ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)


_unary(operator.neg, lambda vector: vector, lambda builder, signature, value: builder.fneg(value))


def _constant(number):
    """Make an emitter of a vector that holds ``number(dtype)`` in each lane."""

    def emit(builder, signature, value):
        dtype = np.dtype(signature.return_type.dtype.name)
        return ir.Constant(value.type, [float(number(dtype))] * value.type.count)

    return emit


_unary(one, lambda vector: vector, _constant(lambda dtype: 1))
_unary(tiny, lambda vector: vector, _constant(lambda dtype: np.finfo(dtype).tiny))
_unary(abs, lambda vector: vector, _llvm_unary("fabs"))
_unary(sqrt, lambda vector: vector, _llvm_unary("sqrt"))
_unary(math.sqrt, lambda vector: vector, _llvm_unary("sqrt"))
_unary(as_integer, lambda vector: vector.of(_INTEGER[vector.dtype]), _bitcast)
_unary(as_float, lambda vector: vector.of(_FLOAT[vector.dtype]), _bitcast)
_unary(sum_lanes, lambda vector: vector.dtype, _halves)


@type_callable(copysign)
def _type_copysign(context):
    return lambda vector, sign: vector if vector == sign and isinstance(vector, Vector) else None


@lower_builtin(copysign, Vector, Vector)
def _lower_copysign(context, builder, signature, arguments):
    vector = signature.return_type
    value = llvm_type(vector)
    name = f"llvm.copysign.v{vector.n_lanes}f{vector.dtype.bitwidth}"
    return builder.call(declare(builder, name, ir.FunctionType(value, [value, value])), arguments)


@type_callable(where)
def _type_where(context):
    def typer(mask, a, b):
        if isinstance(mask, Vector) and mask.dtype == types.boolean:
            return _vector_among(a, b)
        return None

    return typer


@lower_builtin(where, Vector, types.Any, types.Any)
def _lower_where(context, builder, signature, arguments):
    a, b = (
        as_vector(context, builder, value, type_, signature.return_type)
        for value, type_ in zip(arguments[1:], signature.args[1:], strict=True)
    )
    return builder.select(arguments[0], a, b)


def lanewise(stub: Any, function: Any) -> None:
    """Give a stub the meaning of a function of the C library, called for each lane."""

    @type_callable(stub)
    def give_typer(context):
        return lambda vector: vector if isinstance(vector, Vector) else None

    @lower_builtin(stub, Vector)
    def lower(context, builder, signature, arguments):
        (vector,), value = signature.args, arguments[0]
        scalar = vector.dtype(vector.dtype)
        call = context.get_function(function, scalar)
        for lane in range(vector.n_lanes):
            place = ir.Constant(ir.IntType(32), lane)
            result = call(builder, [builder.extract_element(arguments[0], place)])
            value = builder.insert_element(value, result, place)
        return value
