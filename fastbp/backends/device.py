"""Which device computes: what ``device`` may be, and why a GPU is not there.

Nothing of the GPU is imported before somebody asks for it.
"""

from functools import cache
from importlib.util import find_spec

__all__ = ["DEVICES", "has_gpu", "resolve", "why_no_gpu"]

DEVICES = ("cpu", "cuda", "auto")


@cache
def why_no_gpu() -> str | None:
    """Say why there is no GPU to compute on: no package, no driver or no device.

    Returns
    -------
    reason : str or None
        The reason with its cure; None where there is a GPU.
    """
    if find_spec("numba_cuda") is None:
        return (
            "the package numba-cuda is not installed. Install fastbp with it: pip install "
            "'fastbp[cuda13]', or 'fastbp[cuda12]' for a driver of CUDA 12"
        )
    from fastbp.machine import gpu

    return gpu.why_not()


def has_gpu() -> bool:
    """Whether there is a GPU to compute on."""
    return why_no_gpu() is None


def resolve(device: str) -> str:
    """Choose the device that a name stands for.

    Parameters
    ----------
    device : {"cpu", "cuda", "auto"}
        "auto" is the GPU where there is one.

    Returns
    -------
    device : {"cpu", "cuda"}
        The device.

    Raises
    ------
    RuntimeError
        If it is "cuda" and there is none.
    """
    if device == "auto":
        return "cuda" if has_gpu() else "cpu"
    if device == "cuda" and not has_gpu():
        raise RuntimeError(
            f"device='cuda' needs a GPU, but {why_no_gpu()}. device='auto' takes the CPU then."
        )
    return device
