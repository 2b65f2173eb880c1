"""Loops over arrays that kernels call by address, as C calls through a pointer to a function.

A kernel that calls a loop by an address, which is a number among its arguments, need not be
compiled anew for another loop, and loops that nobody uses are not compiled at all. Loops are kept
on disk as kernels are (``cache.py``), but never their addresses, which are this process's own.

A loop is ``loop(a, b, ..., n, ...) -> float``, of arrays of one dtype, of n, how many numbers of
the first it is for, and of more whole numbers, if it takes any. Compiled, the arrays are bare
pointers, so that a call passes no more than it must; `numbers_at` makes vectors of them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.caching import NullCache
from numba.core.ccallback import _CFuncCompiler  # type: ignore[attr-defined]
from numba.core.compiler import Compiler
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target
from numba.extending import lower_builtin, type_callable
from numba.np.numpy_support import from_dtype

from fastbp.machine.cache import kernel_cache
from fastbp.machine.compiler import KERNEL_PIPELINE, compiling
from fastbp.machine.compiling_once import load_or_compile
from fastbp.machine.ctrl_c import raising_what_callbacks_swallow
from fastbp.machine.jit import LOOP_OPTIONS
from fastbp.machine.views import View, new_view, struct_of

__all__ = ["DoesNotCompile", "address_of", "call", "numbers_at"]


class DoesNotCompile(Exception):
    """A loop is made of what the compiler does not know for vectors."""


#: All loops made so far, at their addresses: the code is there as long as these are.
_LOOPS: dict[int, Any] = {}


def address_of(
    loop: Callable,
    dtype: np.typing.DTypeLike,
    n_arrays: int,
    n_more: int = 0,
    is_kept: bool = True,
) -> int:
    """Compile a loop, and give its address, which is valid as long as this process lives.

    Parameters
    ----------
    loop : callable
        The loop. On disk ``__module__``, ``__qualname__`` and its first line tell it from others.
    dtype : dtype
        Of its arrays' numbers.
    n_arrays : int
        How many arrays it takes.
    n_more : int, default=0
        How many whole numbers it takes besides n.
    is_kept : bool, default=True
        Whether its code is kept on disk, which asks for its source to be this package's.

    Returns
    -------
    address : int
        What `call` takes.

    Raises
    ------
    DoesNotCompile
        If the compiler refuses it.
    """
    if config.DISABLE_JIT:
        address = len(_LOOPS) + 1
        _LOOPS[address] = loop
        return address
    signature = _signature(from_dtype(np.dtype(dtype)), n_arrays, n_more)
    cache = kernel_cache(loop) if is_kept and KERNEL_PIPELINE else NullCache()
    with raising_what_callbacks_swallow():
        try:
            address, code = load_or_compile(lambda: _compile(loop, signature, cache))
        except NumbaError as error:
            raise DoesNotCompile(" ".join(str(error).split())[:300]) from error
    _LOOPS[address] = code
    return address


def call(address: int, arrays: tuple, more: tuple = ()) -> float:
    """Run the loop at an address over arrays as long as the first of them, with more numbers."""
    return _LOOPS[address](*arrays, arrays[0].size, *more)


def numbers_at(pointer: Any, n: int) -> Any:
    """View the ``n`` numbers that a loop's bare pointer points to as a vector."""
    return pointer[:n]


def _signature(number: Any, n_arrays: int, n_more: int) -> Any:
    integers = [types.intp] * (1 + n_more)
    return types.float64(*[types.CPointer(number)] * n_arrays, *integers)


class _LoopCompiler(_CFuncCompiler):
    """numba's compiler of C callbacks, without the door for C: kernels call in numba's own way."""

    def _customize_flags(self, flags: Any) -> Any:
        flags = super()._customize_flags(flags)
        flags.no_cfunc_wrapper = True
        return flags


@compiling()
def _compile(loop: Callable, signature: Any, cache: Any) -> tuple[int, Any]:
    """Load a loop's code from disk, or compile it and keep it there; returns address and code."""
    compiled = cache.load_overload(signature, cpu_target.target_context)
    if compiled is None:
        compiler = _LoopCompiler(loop, cpu_target, LOOP_OPTIONS, {}, KERNEL_PIPELINE or Compiler)
        compiled = compiler.compile(signature.args, signature.return_type)
        cache.save_overload(signature, compiled)
    name = compiled.fndesc.llvm_func_name
    return compiled.library.get_pointer_to_function(name), compiled.library


@type_callable(numbers_at)
def _type_numbers_at(context):
    def typer(pointer, n):
        if isinstance(pointer, types.CPointer) and isinstance(n, types.Integer):
            return View(pointer.dtype, 1)
        return None

    return typer


@lower_builtin(numbers_at, types.CPointer, types.Integer)
def _lower_numbers_at(context, builder, signature, arguments):
    return new_view(context, builder, signature.return_type, *arguments)


@type_callable(call)
def _type_call(context):
    def typer(address, arrays, more=None):
        if isinstance(address, types.Integer) and isinstance(arrays, types.BaseTuple):
            return types.float64
        return None

    return typer


@lower_builtin(call, types.Integer, types.BaseTuple)
@lower_builtin(call, types.Integer, types.BaseTuple, types.BaseTuple)
def _lower_call(context, builder, signature, arguments):
    views = signature.args[1].types
    more = cgutils.unpack_tuple(builder, arguments[2]) if len(arguments) > 2 else []
    assert all(isinstance(view, View) and view.dtype == views[0].dtype for view in views)
    structs = [
        struct_of(context, builder, view, value)
        for view, value in zip(views, cgutils.unpack_tuple(builder, arguments[1]), strict=True)
    ]
    loop = _signature(views[0].dtype, len(views), len(more))
    function = context.call_conv.get_function_type(loop.return_type, loop.args)
    # Numba's functions return a status, and their result through a pointer; loops raise nothing.
    result, status = (cgutils.alloca_once(builder, kind.pointee) for kind in function.args[:2])
    pointer = builder.inttoptr(arguments[0], ir.PointerType(function))
    pointers = (struct.data for struct in structs)
    builder.call(pointer, [result, status, *pointers, structs[0].length_0, *more])
    return builder.load(result)
