"""Elementary functions, as activations and losses call them: a name for Python, a meaning compiled.

In Python these are NumPy's functions, of numbers or arrays. Compiled for the CPU, they have bodies
that work on whole vectors (see ``simd.py``) by ``elementary_cpu.py`` and ``normal_cpu.py``, where a
call of the C library would be one number at a time; compiled for a GPU, ``elementary_gpu.py`` gives
them libdevice's. This file imports no compiler; those do, and kernels import them.

Examples
--------
>>> from fastbp import elementary
>>> def softclip(z):  # no `if`: both sides are worked out, of a whole vector at once
...     return elementary.where(z < 0, elementary.exp(z) - 1, elementary.log1p(z))
>>> float(softclip(1.0))
0.6931471805599453
"""

from typing import Any

import numpy as np

__all__ = [
    "cos",
    "exp",
    "expm1",
    "log",
    "log1p",
    "logistic",
    "normal_cdf",
    "one",
    "reciprocal",
    "reciprocal_sqrt",
    "sin",
    "sqrt",
    "tanh",
    "tiny",
    "where",
]


def exp(x: Any) -> Any:
    """Compute e^x."""
    return np.exp(x)


def expm1(x: Any) -> Any:
    """Compute e^x - 1, accurate near 0."""
    return np.expm1(x)


def log(x: Any) -> Any:
    """Compute the natural logarithm."""
    return np.log(x)


def log1p(x: Any) -> Any:
    """Compute log(1 + x), accurate near 0, for x from 0 to 1 alone."""
    return np.log1p(x)


def logistic(x: Any) -> Any:
    """Compute 1 / (1 + e^-x), as e^x / (1 + e^x) where e^-x is large."""
    e = np.exp(-abs(x))
    return where(x < 0, e, one(x)) / (1 + e)


def normal_cdf(x: Any) -> Any:
    """Compute the normal distribution function, (1 + erf(x / sqrt 2)) / 2."""
    from scipy.special import ndtr

    return ndtr(x)


def tanh(x: Any) -> Any:
    """Compute the hyperbolic tangent."""
    return np.tanh(x)


def sin(x: Any) -> Any:
    """Compute the sine."""
    return np.sin(x)


def cos(x: Any) -> Any:
    """Compute the cosine."""
    return np.cos(x)


def sqrt(x: Any) -> Any:
    """Compute the square root."""
    return np.sqrt(x)


def reciprocal(x: Any) -> Any:
    """Compute 1 / x, for x that is neither 0 nor infinite nor below the smallest normal number."""
    return 1 / x


def reciprocal_sqrt(x: Any) -> Any:
    """Compute 1 / sqrt(x), for x as for `reciprocal` and positive."""
    return 1 / np.sqrt(x)


def one(x: Any) -> Any:
    """Give 1, in as many lanes as x and of its dtype."""
    return np.ones_like(x)[()]


def tiny(x: Any) -> Any:
    """Give the smallest normal number, in as many lanes as x and of its dtype."""
    return np.full_like(x, np.finfo(x.dtype).tiny)[()]


def where(condition: Any, a: Any, b: Any) -> Any:
    """Choose a where the condition holds, else b, lane by lane: what an ``if`` is to one number."""
    chosen = np.where(condition, a, b)
    dtypes = [x.dtype for x in (a, b) if isinstance(x, np.ndarray | np.generic)]
    return chosen.astype(dtypes[0])[()] if dtypes else chosen[()]
