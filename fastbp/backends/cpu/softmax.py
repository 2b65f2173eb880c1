r"""Softmax over the outputs of each row, and its logarithm: loops that kernels call by address.

.. math:: p_j = e^{z_j - t} / S, \qquad \log p_j = z_j - t - \log S

with t the largest z of the row, so that nothing overflows, and S the sum of all e^(z - t), which is
1 at least, so that log p is exact where p has underflowed.
"""

from functools import cache

import numpy as np

from fastbp.machine import elementary_cpu  # noqa: F401 - gives elementary functions compiled bodies
from fastbp.machine.by_address import address_of, numbers_at
from fastbp.machine.elementary import exp, log, where
from fastbp.machine.simd import lanes, load, splat, store

__all__ = ["softmax_addresses"]


@cache
def softmax_addresses(dtype: np.dtype) -> tuple[int, int]:
    """Give the addresses of `rows_loop` and `units_loop`."""
    return address_of(rows_loop, dtype, 2, 2), address_of(units_loop, dtype, 2, 1)


def rows_loop(z, s, size, n, stride):  # type: ignore[no-untyped-def]
    """Do so for n rows, which are in the lanes; the outputs of a row are a stride apart."""
    z, s, n_outputs = numbers_at(z, size), numbers_at(s, size), size // stride
    for i in range(0, n, lanes(z)):
        top = load(z, i)
        for j in range(1, n_outputs):
            net = load(z, j * stride + i)
            top = where(top < net, net, top)
        total = splat(z, 0.0)
        for j in range(n_outputs):
            below_top = load(z, j * stride + i) - top
            e = exp(below_top)
            store(s, j * stride + i, below_top)
            store(z, j * stride + i, e)
            total = total + e
        log_total = log(total)
        for j in range(n_outputs):
            store(s, j * stride + i, load(s, j * stride + i) - log_total)
            store(z, j * stride + i, load(z, j * stride + i) / total)
    return 0.0


def units_loop(z, s, n, n_outputs):  # type: ignore[no-untyped-def]
    """Do so for one row, whose units are in the lanes; n is n_outputs with the padding."""
    z, s = numbers_at(z, n), numbers_at(s, n)
    top = z[0]
    for j in range(1, n_outputs):
        top = max(top, z[j])
    for i in range(0, n, lanes(z)):
        below_top = load(z, i) - top
        store(s, i, below_top)
        store(z, i, exp(below_top))
    total = z[0]
    for j in range(1, n_outputs):
        total += z[j]
    for j in range(n_outputs, n):
        z[j] = 0
        s[j] = 0
    log_total = log(splat(z, total))
    for i in range(0, n, lanes(z)):
        store(s, i, load(s, i) - log_total)
        store(z, i, load(z, i) / total)
    return 0.0
