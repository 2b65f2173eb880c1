"""The GPU as kernels and their callers see it: the only module that imports numba's CUDA part.

A successor package, or another way of launching, is a change here and in ``lane.py`` and nowhere
else. It is imported only where a GPU was asked for (``device.py`` finds out whether there is one).

For kernels: ``kernel``, ``part``, ``cuda`` (with ``cuda.threadIdx``, ``cuda.syncthreads`` and its
kin, as in all CUDA programs), `load4` and `store4`. For their callers: `to_device`, `zeros`,
`to_host`, `launch`, and the limits of the device.

With NUMBA_ENABLE_CUDASIM=1 numba runs kernels in Python, a thread of Python for each of the GPU's.
``cuda`` then stands for the launch that is going on, and `load4` and `store4` are what they say.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numba
import numpy as np
from numba import cuda as _cuda
from numpy.typing import NDArray

__all__ = [
    "SIMULATED",
    "cuda",
    "device_name",
    "kernel",
    "launch",
    "load4",
    "most_blocks",
    "most_shared_bytes",
    "part",
    "store4",
    "synchronise",
    "to_device",
    "to_host",
    "why_not",
    "zeros",
]

#: Whether kernels run in numba's simulator.
SIMULATED = bool(numba.config.ENABLE_CUDASIM)

#: What a block may take of the chip's shared memory without having asked for more.
_SHARED_BYTES_FOR_ALL = 48 * 1024


def why_not() -> str | None:
    """Say why no kernel can run here; None if one can."""
    try:
        devices = list(_cuda.gpus)
    except Exception as error:  # whatever a driver's absence or fault is called in this version
        return (
            "the NVIDIA driver did not start "
            f"({' '.join(str(error).split())}). Install a driver for this GPU; nvidia-smi shows it"
        )
    if not devices:
        return "there is no NVIDIA GPU that this process can see (is CUDA_VISIBLE_DEVICES empty?)"
    return None


# For kernels.

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

else:
    from llvmlite import ir
    from numba.cuda import types
    from numba.cuda.extending import intrinsic, register_jitable
    from numba.cuda.np.arrayobj import make_array

    cuda = _cuda

    def part(function: Callable) -> Callable:
        """Let kernels call a function; its code becomes part of theirs."""
        return register_jitable(forceinline=True, fastmath=False)(function)

    def _four(
        context: Any, builder: Any, array: Any, value: Any, start: Any, start_type: Any
    ) -> Any:
        """Give the address of four numbers of an array, as one of a vector."""
        place = context.cast(builder, start, start_type, types.intp)
        pointer = builder.gep(make_array(array)(context, builder, value).data, [place])
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

    def _lane(i: int) -> Any:
        return ir.Constant(ir.IntType(32), i)


#: A multiprocessor has 65,536 registers: so 512 threads find room, or eight blocks of 64.
_MOST_REGISTERS = 128


def kernel(function: Callable) -> Any:
    """Compile a function that `launch` runs on the device, at its first launch."""
    options = {} if SIMULATED else {"max_registers": _MOST_REGISTERS}
    return _cuda.jit(fastmath=False, **options)(function)


# For those who launch them.

_pid_of_context: list[int] = []
#: The simulator can run one kernel at a time; on a device a launch returns at once.
_one_at_a_time = Lock()


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Give the device's errors a name, a cause and a cure."""
    if not _pid_of_context:
        _pid_of_context.append(os.getpid())
    elif _pid_of_context[0] != os.getpid():
        raise RuntimeError(
            "device='cuda' was used before this process was forked, and CUDA does not live through "
            "a fork. Start processes by 'spawn' or 'forkserver' (joblib's loky does), or use "
            "device='cpu' in the children."
        )
    try:
        yield
    except Exception as error:
        if "OUT_OF_MEMORY" in str(error):
            raise MemoryError(
                "The GPU has not enough memory left for these data. Take fewer rows, float32 "
                "inputs, fewer networks at once, or device='cpu'."
            ) from error
        raise


def to_device(array: NDArray) -> Any:
    """Copy an array to the device."""
    with _clear_errors():
        return _cuda.to_device(np.ascontiguousarray(array))


def zeros(shape: int | tuple[int, ...], dtype: Any) -> Any:
    """Make an array of zeros on the device."""
    return to_device(np.zeros(shape, dtype))


def to_host(array: Any) -> NDArray:
    """Copy an array back; waits for the kernels that were launched."""
    with _clear_errors():
        return array.copy_to_host()


def synchronise() -> None:
    """Wait for all kernels that were launched."""
    with _clear_errors():
        _cuda.synchronize()


def device_name() -> str:
    """Name the device that kernels run on."""
    if SIMULATED:
        return "numba's simulator (NUMBA_ENABLE_CUDASIM=1)"
    with _clear_errors():
        name = _cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else str(name)


def most_shared_bytes() -> int:
    """How many bytes of shared memory a block may have."""
    if SIMULATED:
        return _SHARED_BYTES_FOR_ALL
    with _clear_errors():
        return int(_cuda.get_current_device().MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)


def launch(
    function: Any, n_blocks: int, n_threads: int, shared_bytes: int, *arguments: Any
) -> None:
    """Run a kernel; returns before it has ended."""
    with _clear_errors():
        if shared_bytes > _SHARED_BYTES_FOR_ALL and not SIMULATED:
            _allow_shared_bytes(function, arguments, shared_bytes)
        with _one_at_a_time:
            function[n_blocks, n_threads, 0, shared_bytes](*arguments)


def most_blocks(function: Any, n_threads: int, shared_bytes: int, *arguments: Any) -> int:
    """How many blocks the device holds at a time, so that they may wait for each other."""
    if SIMULATED:
        return 1
    with _clear_errors():
        compiled = _compiled(function, arguments)
        if shared_bytes > _SHARED_BYTES_FOR_ALL:
            _allow_shared_bytes(function, arguments, shared_bytes)
        return compiled.max_cooperative_grid_blocks(n_threads, shared_bytes)


def _compiled(function: Any, arguments: tuple) -> Any:
    """Compile a kernel for such arguments, if that is not done yet."""
    signature = tuple(function.typeof_pyval(argument) for argument in arguments)
    return function.compile(signature)


def _allow_shared_bytes(function: Any, arguments: tuple, shared_bytes: int) -> None:
    from cuda.bindings import driver

    handle = _compiled(function, arguments)._codelibrary.get_cufunc()
    attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    _cuda.cudadrv.driver.driver.cuKernelSetAttribute(
        attribute, shared_bytes, handle.handle, handle.device.id
    )
