"""The CPU: its objective, its epochs, its forward pass; the compiled code is in ``kernels/``.

``kernels`` is imported at the first use and not before: ``import fastbp`` loads no compiler.
"""

from typing import Any

from fastbp.machine.forks import LOADING

__all__ = ["load_kernels"]


def load_kernels() -> Any:
    """Import the kernels, and numba with them."""
    with LOADING:
        from fastbp.backends.cpu import kernels
    return kernels
