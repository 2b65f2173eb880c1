"""The smaller and the larger of two numbers, as two instructions.

numba makes of ``min`` and ``max`` functions for any arguments, each compiled and emitted by itself:
of a kernel's compilation that was a thirtieth.
"""

from typing import TypeVar

from llvmlite import ir
from numba import types
from numba.core.typing import signature
from numba.extending import lower_builtin, type_callable

__all__ = ["larger", "smaller"]

Number = TypeVar("Number", int, float)


def smaller(a: Number, b: Number) -> Number:
    """Do what ``min`` does, for two integers or two floats."""
    return min(a, b)


def larger(a: Number, b: Number) -> Number:
    """Do what ``max`` does, for two integers or two floats."""
    return max(a, b)


def _define(stub, comparison):
    @type_callable(stub)
    def give_typer(context):
        def typer(a, b):
            a, b = types.unliteral(a), types.unliteral(b)
            if isinstance(a, types.Integer) and isinstance(b, types.Integer):
                return signature(types.intp, types.intp, types.intp)
            if isinstance(a, types.Float) and isinstance(b, types.Float):
                wider = max(a, b, key=lambda kind: kind.bitwidth)
                return signature(wider, wider, wider)
            return None

        return typer

    @lower_builtin(stub, types.Number, types.Number)
    def lower(context, builder, signature, arguments):
        a, b = arguments
        is_float = isinstance(a.type, ir.DoubleType | ir.FloatType)
        compare = builder.fcmp_ordered if is_float else builder.icmp_signed
        return builder.select(compare(comparison, b, a), b, a)


_define(smaller, "<")
_define(larger, ">")
