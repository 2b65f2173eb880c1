"""What this GPU can do at most: its peak in FP32 by its data sheet, and what a copy on it reaches.

No kernel is faster than the larger of its flops over the one and its bytes over the other.
"""

import math
import subprocess
from statistics import median
from typing import NamedTuple

import numpy as np

from bench.instruments.timing import seconds

__all__ = ["Device", "ask_smi", "measure_device"]


class Device(NamedTuple):
    """What the device is and what it can do at most, in flops and bytes a second."""

    text: str
    peak: float
    bandwidth: float

    def limit(self, flops, n_bytes):
        """The least seconds for so much, and which of the two it is."""
        return max((flops / self.peak, "flops"), (n_bytes / self.bandwidth, "bytes"))


def measure_device(is_simulated):
    """Look at the device, and time copies on it."""
    if is_simulated:
        return Device("numba's CUDA simulator", math.nan, math.nan)
    from numba import cuda

    from fastbp.machine import gpu

    device = cuda.get_current_device()
    capability = tuple(device.compute_capability)
    # FP32 lanes of a multiprocessor, as the CUDA programming guide has them.
    lanes = 64 if capability in {(6, 0), (7, 0), (7, 2), (7, 5), (8, 0)} else 128
    hertz = 1e3 * device.CLOCK_RATE
    peak = device.MULTIPROCESSOR_COUNT * lanes * 2 * hertz
    source = gpu.to_device(np.arange(2**27, dtype=np.float32))
    target = gpu.to_device(np.ones(2**27, np.float32))

    def copy():
        target.copy_to_device(source)
        gpu.synchronise()

    copy()
    bandwidth = 2 * source.nbytes / median(seconds(copy) for _ in range(20))
    name = device.name.decode() if isinstance(device.name, bytes) else device.name
    text = (
        f"{name}, compute capability {'.'.join(map(str, capability))}, {ask_smi('driver_version')} "
        f"(driver), {device.MULTIPROCESSOR_COUNT} multiprocessors x {lanes} lanes x 2 x "
        f"{hertz / 1e9:.3f} GHz = {peak / 1e12:.1f} TFLOP/s in FP32, a copy of "
        f"{source.nbytes / 2**20:.0f} MiB at {bandwidth / 1e12:.2f} TB/s"
    )
    return Device(text, peak, bandwidth)


def ask_smi(what):
    """Ask the driver's tool, which changes nothing."""
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "unknown to nvidia-smi"
    return answer.stdout.splitlines()[0].strip()
