"""The GPU as kernels and their callers see it: the only module that imports numba's CUDA part.

A successor package, or another way of launching, is a change here and in ``lane.py`` and nowhere
else. It is imported only where a GPU was asked for (``device.py`` finds out whether there is one).

For kernels: ``kernel``, ``part``, ``cuda`` (with ``cuda.threadIdx``, ``cuda.syncthreads`` and its
kin, as in all CUDA programs), `load4`, `store4`, `load1`, `store1` and `tail`. For their callers:
`to_device`, `zeros`, `to_host`, `launch`, and the limits of the device.

With NUMBA_ENABLE_CUDASIM=1 numba runs kernels in Python, a thread of Python for each of the GPU's.
``cuda`` then stands for the launch that is going on, and `load4` and its kin are what they say.
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
    "load1",
    "load4",
    "most_blocks",
    "most_shared_bytes",
    "part",
    "store1",
    "store4",
    "synchronise",
    "tail",
    "to_device",
    "to_host",
    "why_not",
    "zeros",
]

#: Whether kernels run in numba's simulator.
SIMULATED = bool(numba.config.ENABLE_CUDASIM)

#: A block may have 48 KB of shared memory without asking, counting what a kernel has by itself;
#: asking costs nothing, so it is asked for early.
_SHARED_BYTES_FOR_ALL = 32 * 1024
#: What the driver keeps of a block's shared memory.
_SHARED_BYTES_OF_THE_DRIVER = 1024


_NO_DEVICE = "there is no NVIDIA GPU that this process can see (is CUDA_VISIBLE_DEVICES empty?)"


def why_not() -> str | None:
    """Say why no kernel can run here; None if one can."""
    try:
        devices = list(_cuda.gpus)
    except Exception as error:  # whatever a driver's absence or fault is called in this version
        if "NO_DEVICE" in str(error):
            return _NO_DEVICE
        return (
            "the NVIDIA driver did not start "
            f"({' '.join(str(error).split())}). Install a driver for this GPU; nvidia-smi shows it"
        )
    if not devices:
        return _NO_DEVICE
    _note_the_process()
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

    cuda = _cuda

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


#: A multiprocessor has 65,536 registers: so 512 threads find room, or eight blocks of 64.
_MOST_REGISTERS = 128


def kernel(function: Callable) -> Any:
    """Compile a function that `launch` runs on the device, at its first launch."""
    options = {} if SIMULATED else {"max_registers": _MOST_REGISTERS}
    return _cuda.jit(fastmath=False, **options)(function)


# For those who launch them.

_pid_of_context: list[int] = []
#: The simulator can run one kernel at a time, and what a kernel may have is set and used together;
#: on a device a launch returns at once.
_one_at_a_time = Lock()
#: The shared memory that each compiled kernel's blocks may have.
_allowed: dict[Any, int] = {}


def _note_the_process() -> None:
    """Note which process has begun to use CUDA."""
    if not _pid_of_context:
        _pid_of_context.append(os.getpid())


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Give the device's errors a name, a cause and a cure."""
    _note_the_process()
    if _pid_of_context[0] != os.getpid():
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
        return 48 * 1024
    with _clear_errors():
        most = int(_cuda.get_current_device().MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
    return most - _SHARED_BYTES_OF_THE_DRIVER


def launch(
    function: Any, n_blocks: int, n_threads: int, shared_bytes: int, *arguments: Any
) -> None:
    """Run a kernel; returns before it has ended."""
    with _clear_errors(), _one_at_a_time:
        _allow_shared_bytes(function, arguments, shared_bytes)
        # numba warns of small grids; ours are as large as the work is.
        before = numba.config.CUDA_LOW_OCCUPANCY_WARNINGS
        numba.config.CUDA_LOW_OCCUPANCY_WARNINGS = 0
        try:
            configured = function[n_blocks, n_threads, 0, shared_bytes]
        finally:
            numba.config.CUDA_LOW_OCCUPANCY_WARNINGS = before
        configured(*arguments)


def most_blocks(function: Any, n_threads: int, shared_bytes: int, *arguments: Any) -> int:
    """How many blocks the device holds at a time, so that they may wait for each other."""
    if SIMULATED:
        return 1
    with _clear_errors(), _one_at_a_time:
        _allow_shared_bytes(function, arguments, shared_bytes)
        compiled = _compiled(function, arguments)
        return compiled.max_cooperative_grid_blocks(n_threads, shared_bytes)


def _compiled(function: Any, arguments: tuple) -> Any:
    """Compile a kernel for such arguments, if that is not done yet."""
    signature = tuple(function.typeof_pyval(argument) for argument in arguments)
    return function.compile(signature)


def _allow_shared_bytes(function: Any, arguments: tuple, shared_bytes: int) -> None:
    """Ask for a kernel's blocks to have so much shared memory, if they may not have it yet."""
    if SIMULATED or shared_bytes <= _SHARED_BYTES_FOR_ALL:
        return
    compiled = _compiled(function, arguments)
    if shared_bytes <= _allowed.get(compiled, 0):
        return
    from cuda.bindings import driver

    handle = compiled._codelibrary.get_cufunc()
    attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    _cuda.cudadrv.driver.driver.cuKernelSetAttribute(
        attribute, shared_bytes, handle.handle, handle.device.id
    )
    _allowed[compiled] = shared_bytes
