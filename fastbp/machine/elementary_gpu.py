"""Numbers as the GPU's threads compute with them: what a `Vector` is on a CPU, with one lane.

Activations, losses and update rules are written once, in plain Python, and a plain number in them
takes the dtype of what it meets. The compiler's own rule is another one: 1 - a of a float32 would
be a float64, of which a GPU does half or a sixty-fourth as many in a second. ``lane(x)`` is a
number for which theirs holds, ``number(x)`` makes it an ordinary one again. Elementary functions of
a lane are libdevice's.

In the simulator NumPy's scalars obey that rule already, and both do nothing.
"""

import math
import operator
from typing import Any

from fastbp.machine import elementary
from fastbp.machine.gpu_kernels import SIMULATED

__all__ = ["lane", "number"]


def lane(x: Any) -> Any:
    """Give a number whose dtype plain numbers take."""
    return x


def number(x: Any) -> Any:
    """Give an ordinary number."""
    return x


def _logistic(x):
    e = elementary.exp(-abs(x))
    return elementary.where(x < 0, e, elementary.one(x)) / (1 + e)


def _reciprocal(x):
    return 1 / x


def _reciprocal_sqrt(x):
    return 1 / elementary.sqrt(x)


def _tell_the_compiler() -> None:
    """How each function's type follows from its arguments', and its instructions."""
    import numpy as np
    from llvmlite import ir
    from numba.cuda import types
    from numba.cuda.extending import (
        lower_builtin,
        models,
        overload,
        register_model,
        type_callable,
    )

    class Lane(types.Type):
        def __init__(self, dtype: Any) -> None:
            self.dtype = dtype
            super().__init__(name=f"Lane({dtype})")

    @register_model(Lane)
    class Model(models.PrimitiveModel):
        def __init__(self, dmm, fe_type):
            kinds = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
            super().__init__(dmm, fe_type, kinds[fe_type.dtype])

    def among(*arguments):
        """Find the lane among arguments, if all else are numbers."""
        lanes = [argument for argument in arguments if isinstance(argument, Lane)]
        fits = all(isinstance(a, Lane | types.Number | types.Boolean) for a in arguments)
        return lanes[0] if lanes and fits and len(set(lanes)) == 1 else None

    def as_lane(context, builder, value, type_, lane_):
        return (
            value if isinstance(type_, Lane) else context.cast(builder, value, type_, lane_.dtype)
        )

    def unary(function, result, emit, takes=Lane):
        @type_callable(function)
        def give_typer(context):
            return lambda x: result(x) if isinstance(x, takes) else None

        @lower_builtin(function, takes)
        def lower(context, builder, signature, arguments):
            return emit(context, builder, signature.args[0], arguments[0])

    def binary(function, instruction, result=lambda lane_: lane_):
        @type_callable(function)
        def give_typer(context):
            def typer(a, b):
                lane_ = among(a, b)
                return lane_ and result(lane_)

            return typer

        def lower(context, builder, signature, arguments):
            lane_ = among(*signature.args)
            pairs = zip(arguments, signature.args, strict=True)
            return instruction(
                builder, *(as_lane(context, builder, *pair, lane_) for pair in pairs)
            )

        for kinds in ((Lane, Lane), (Lane, types.Number), (types.Number, Lane)):
            lower_builtin(function, *kinds)(lower)

    def itself(context, builder, type_, value):
        return value

    def call(function):
        def emit(context, builder, type_, value):
            dtype = type_.dtype
            return context.get_function(function, dtype(dtype))(builder, [value])

        return emit

    def normal_cdf(context, builder, type_, value):
        def times(factor, value):
            return builder.fmul(ir.Constant(value.type, factor), value)

        dtype = type_.dtype
        tail = context.get_function(math.erfc, dtype(dtype))(builder, [times(-(0.5**0.5), value)])
        return times(0.5, tail)

    def constant(of_dtype):
        def emit(context, builder, type_, value):
            return ir.Constant(value.type, float(of_dtype(np.dtype(type_.dtype.name))))

        return emit

    def negative(context, builder, type_, value):
        return builder.fsub(ir.Constant(value.type, -0.0), value)  # NVVM's IR has no fneg

    unary(lane, Lane, itself, takes=types.Float)
    unary(number, lambda x: x.dtype, itself)
    unary(operator.neg, lambda x: x, negative)
    unary(elementary.one, lambda x: x, constant(lambda dtype: 1))
    unary(elementary.tiny, lambda x: x, constant(lambda dtype: np.finfo(dtype).tiny))
    unary(abs, lambda x: x, call(math.fabs))
    unary(elementary.normal_cdf, lambda x: x, normal_cdf)
    for name in ("cos", "exp", "expm1", "log", "log1p", "sin", "sqrt", "tanh"):
        unary(getattr(elementary, name), lambda x: x, call(getattr(math, name)))
    for symbol, name in (("add", "fadd"), ("sub", "fsub"), ("mul", "fmul"), ("truediv", "fdiv")):

        def arithmetic(builder, a, b, name=name):
            return getattr(builder, name)(a, b)

        binary(getattr(operator, symbol), arithmetic)
    for symbol, sign in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("eq", "==")):

        def comparison(builder, a, b, sign=sign):
            return builder.fcmp_ordered(sign, a, b)

        binary(getattr(operator, symbol), comparison, lambda lane_: types.boolean)

    @type_callable(elementary.where)
    def type_where(context):
        return lambda condition, a, b: among(a, b) if condition == types.boolean else None

    @lower_builtin(elementary.where, types.Boolean, types.Any, types.Any)
    def lower_where(context, builder, signature, arguments):
        pairs = zip(arguments[1:], signature.args[1:], strict=True)
        a, b = (as_lane(context, builder, *pair, signature.return_type) for pair in pairs)
        return builder.select(arguments[0], a, b)

    def give_body(stub, body):
        @overload(stub, target="cuda")
        def choose(x):
            return body if isinstance(x, Lane) else None

    give_body(elementary.logistic, _logistic)
    give_body(elementary.reciprocal, _reciprocal)
    give_body(elementary.reciprocal_sqrt, _reciprocal_sqrt)


if not SIMULATED:
    _tell_the_compiler()
