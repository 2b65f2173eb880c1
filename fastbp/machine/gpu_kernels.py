"""What GPU kernels are written with; the only module that imports numba's CUDA part.

A successor package is a change here, in ``gpu.py``, which launches kernels, and in
``elementary_gpu.py``, and nowhere else. They are imported only where a GPU was asked for.

``kernel``, ``part`` and ``cuda`` (with ``cuda.threadIdx``, ``cuda.syncthreads`` and so on, as in
all CUDA programs), and loads and stores without checks of bounds: `load4`, `store4`,
`load1`, `store1` and `tail`.

With NUMBA_ENABLE_CUDASIM=1 numba runs kernels in Python, a thread of Python for each of the GPU's.
``cuda`` then stands for the launch that is going on, and `load4` and so on are plain Python.
"""

from collections.abc import Callable
from typing import Any

import numba
from numba import cuda as numba_cuda

__all__ = [
    "SIMULATED",
    "cuda",
    "kernel",
    "load1",
    "load4",
    "numba_cuda",
    "part",
    "store1",
    "store4",
    "tail",
]

#: Whether kernels run in numba's simulator.
SIMULATED = bool(numba.config.ENABLE_CUDASIM)

if SIMULATED:
    from numba.cuda.simulator.kernel import _get_kernel_context

    class _Launch:
        """The launch that is going on in the simulator."""

        def __getattr__(self, name: str) -> Any:
            return getattr(_get_kernel_context(), name)

        @property
        def shared(self) -> Any:
            """Its shared memory."""
            return self

        def array(self, shape: int, dtype: Any, alignment: int = 0) -> Any:
            """Make an array in shared memory; where it begins means nothing here."""
            del alignment
            return _get_kernel_context().shared.array(shape, dtype)

    cuda: Any = _Launch()

    def part(function: Callable) -> Callable:
        """Let kernels call a function."""
        return function

    def load4(array: Any, start: int) -> Any:
        """Load four numbers in one instruction, from a multiple of four on."""
        return array[start], array[start + 1], array[start + 2], array[start + 3]

    def store4(array: Any, start: int, a: Any, b: Any, c: Any, d: Any) -> None:
        """Store four numbers in one instruction, from a multiple of four on."""
        array[start], array[start + 1], array[start + 2], array[start + 3] = a, b, c, d

    def load1(array: Any, place: int) -> Any:
        """Load a number, from a place that is not counted from the end."""
        assert place >= 0
        return array[place]

    def store1(array: Any, place: int, a: Any) -> None:
        """Store a number, at a place that is not counted from the end."""
        assert place >= 0
        array[place] = a

    def tail(array: Any, start: int) -> Any:
        """View what follows from a place on, which is within the array."""
        assert 0 <= start <= len(array)
        return array[start:]

else:
    from llvmlite import ir
    from numba.cuda import types
    from numba.cuda.extending import intrinsic, register_jitable
    from numba.cuda.np.arrayobj import make_array, populate_array

    cuda = numba_cuda

    def part(function: Callable) -> Callable:
        """Let kernels call a function; its code becomes part of theirs."""
        return register_jitable(forceinline=True, fastmath=False)(function)

    def _address(context: Any, builder: Any, array: Any, value: Any, place: Any, kind: Any) -> Any:
        """Give the address of a number of an array."""
        at = context.cast(builder, place, kind, types.intp)
        return builder.gep(make_array(array)(context, builder, value).data, [at])

    def _four(context: Any, builder: Any, array: Any, value: Any, start: Any, kind: Any) -> Any:
        """Give the address of four numbers of an array, as one of a vector."""
        pointer = _address(context, builder, array, value, start, kind)
        number = context.get_value_type(array.dtype)
        return builder.bitcast(pointer, ir.VectorType(number, 4).as_pointer())

    @intrinsic
    def load4(typing_context, array, start):
        """Load four numbers in one instruction, from a multiple of four on."""
        signature = types.UniTuple(array.dtype, 4)(array, start)

        def generate(context, builder, signature, arguments):
            pointer = _four(context, builder, array, *arguments, start)
            vector = builder.load(pointer, align=16)
            numbers = [builder.extract_element(vector, _lane(i)) for i in range(4)]
            return context.make_tuple(builder, signature.return_type, numbers)

        return signature, generate

    @intrinsic
    def store4(typing_context, array, start, a, b, c, d):
        """Store four numbers in one instruction, from a multiple of four on."""
        signature = types.none(array, start, array.dtype, array.dtype, array.dtype, array.dtype)

        def generate(context, builder, signature, arguments):
            pointer = _four(context, builder, array, *arguments[:2], start)
            vector = ir.Constant(pointer.type.pointee, ir.Undefined)
            for i in range(4):
                vector = builder.insert_element(vector, arguments[2 + i], _lane(i))
            builder.store(vector, pointer, align=16)
            return context.get_dummy_value()

        return signature, generate

    # An index in Python may count from the end and a slice's may be anything: to ask for that, and
    # to cut it to size, takes as many instructions as a small layer's arithmetic. These do not ask.

    @intrinsic
    def load1(typing_context, array, place):
        """Load a number, from a place that is not counted from the end."""

        def generate(context, builder, signature, arguments):
            return builder.load(_address(context, builder, array, *arguments, place))

        return array.dtype(array, place), generate

    @intrinsic
    def store1(typing_context, array, place, a):
        """Store a number, at a place that is not counted from the end."""

        def generate(context, builder, signature, arguments):
            pointer = _address(context, builder, array, *arguments[:2], place)
            builder.store(arguments[2], pointer)
            return context.get_dummy_value()

        return types.none(array, place, array.dtype), generate

    @intrinsic
    def tail(typing_context, array, start):
        """View what follows from a place on, which is within the array."""

        def generate(context, builder, signature, arguments):
            whole = make_array(array)(context, builder, arguments[0])
            at = context.cast(builder, arguments[1], start, types.intp)
            view = make_array(array)(context, builder)
            populate_array(
                view,
                data=builder.gep(whole.data, [at]),
                shape=[builder.sub(builder.extract_value(whole.shape, 0), at)],
                strides=[builder.extract_value(whole.strides, 0)],
                itemsize=whole.itemsize,
                meminfo=whole.meminfo,
                parent=whole.parent,
            )
            return view._getvalue()

        return array(array, start), generate

    def _lane(i: int) -> Any:
        return ir.Constant(ir.IntType(32), i)


#: A multiprocessor has 65,536 registers: enough for 512 threads, or eight blocks of 64.
_MAX_REGISTERS = 128


def kernel(function: Callable) -> Any:
    """Compile a function that `launch` runs on the device, at its first launch."""
    options = {} if SIMULATED else {"max_registers": _MAX_REGISTERS}
    return numba_cuda.jit(fastmath=False, **options)(function)
