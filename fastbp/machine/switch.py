"""A function that runs one of several on the CPU, compiled to what is a ``switch`` in C."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, type_callable

__all__ = ["switch"]


def switch(pieces: Sequence[Callable]) -> Callable:
    """Make ``chosen(code, arguments)``, which calls ``pieces[code](*arguments)``.

    Parameters
    ----------
    pieces : sequence of callable
        Parts or routines (see ``jit.py``) of the same arguments and the same result.

    Returns
    -------
    chosen : callable
        For parts and routines to call. It costs one jump, where an ``if`` for each piece would be
        a function to compile for each. A code that no piece has is not allowed.
    """

    def chosen(code: int, arguments: tuple) -> Any:
        return pieces[code](*arguments)

    def function_and_signature(typing: Any, piece: Callable, arguments: tuple) -> tuple:
        function = typing.resolve_value_type(piece)
        return function, typing.resolve_function_type(function, arguments, {})

    @type_callable(chosen)
    def give_typer(typing):
        def typer(code, arguments):
            found = [function_and_signature(typing, piece, tuple(arguments)) for piece in pieces]
            return types.unliteral(found[0][1].return_type)  # a constant 0 may be a 1 in others

        return typer

    @lower_builtin(chosen, types.Integer, types.BaseTuple)
    def lower(context, builder, signature, arguments):
        code, given = arguments[0], cgutils.unpack_tuple(builder, arguments[1])
        nowhere, after = (builder.append_basic_block(name) for name in ("nowhere", "after"))
        cases = builder.switch(code, nowhere)
        results = []
        for number, piece in enumerate(pieces):
            case = builder.append_basic_block(f"case{number}")
            cases.add_case(ir.Constant(code.type, number), case)
            builder.position_at_end(case)
            function, call = function_and_signature(
                context.typing_context, piece, tuple(signature.args[1])
            )
            emit = context.get_function(function, call)
            context.add_linking_libs(emit.libs)
            results.append((emit(builder, given), builder.basic_block))
            builder.branch(after)
        builder.position_at_end(nowhere)
        builder.unreachable()
        builder.position_at_end(after)
        result = builder.phi(results[0][0].type)
        for value, block in results:
            result.add_incoming(value, block)
        return result

    return chosen
