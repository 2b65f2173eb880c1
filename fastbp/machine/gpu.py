"""The GPU from outside: what is moved there, launched and fetched, and what it can hold.

Kernels are written with ``gpu_kernels.py``. This is imported only where a GPU was asked for
(``backends/device.py`` finds out whether there is one).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fastbp.machine.gpu_kernels import SIMULATED, numba_cuda

__all__ = [
    "SIMULATED",
    "device_name",
    "launch",
    "max_blocks",
    "max_shared_bytes",
    "synchronise",
    "to_device",
    "to_host",
    "why_not",
    "zeros",
]

#: A block may have 48 KB of shared memory without asking, counting what a kernel has by itself;
#: asking costs nothing, so it is asked for early.
_SHARED_BYTES_FOR_ALL = 32 * 1024
#: What the driver keeps of a block's shared memory.
_SHARED_BYTES_OF_THE_DRIVER = 1024


_NO_DEVICE = "there is no NVIDIA GPU that this process can see (is CUDA_VISIBLE_DEVICES empty?)"


def why_not() -> str | None:
    """Say why no kernel can run here; None if one can."""
    try:
        devices = list(numba_cuda.gpus)
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
        return numba_cuda.to_device(np.ascontiguousarray(array))


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
        numba_cuda.synchronize()


def device_name() -> str:
    """Name the device that kernels run on."""
    if SIMULATED:
        return "numba's simulator (NUMBA_ENABLE_CUDASIM=1)"
    with _clear_errors():
        name = numba_cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else str(name)


def max_shared_bytes() -> int:
    """How many bytes of shared memory a block may have."""
    if SIMULATED:
        return 48 * 1024
    with _clear_errors():
        limit = int(numba_cuda.get_current_device().MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
    return limit - _SHARED_BYTES_OF_THE_DRIVER


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


def max_blocks(function: Any, n_threads: int, shared_bytes: int, *arguments: Any) -> int:
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
    numba_cuda.cudadrv.driver.driver.cuKernelSetAttribute(
        attribute, shared_bytes, handle.handle, handle.device.id
    )
    _allowed[compiled] = shared_bytes
