"""exp and tanh, as the activations call them: a name for Python, a meaning for the compiler.

In Python these are NumPy's functions. Compiled, ``vectorised.py`` gives them bodies of plain
arithmetic, which the compiler runs on whole vectors, where a call of the C library would be one
number at a time. This file imports no compiler; ``vectorised.py`` does, and kernels import it.
"""

from typing import Any

import numpy as np

__all__ = ["exp", "tanh"]


def exp(x: Any) -> Any:
    """Compute e^x."""
    return np.exp(x)


def tanh(x: Any) -> Any:
    """Compute the hyperbolic tangent."""
    return np.tanh(x)
