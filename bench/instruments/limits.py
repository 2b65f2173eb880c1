"""What this core can do at most, measured in the same run as everything else.

A training is bound by one of two things. Products are bound by multiply-adds: `peak` counts how
many a core makes when nothing else is in the way. An online update of weights is bound by memory:
every weight is loaded and stored once a sample, with two multiply-adds between; `stream` times just
that over as many weights.
"""

import time
from functools import cache

import numpy as np

from fastbp.machine.chip import has_avx512
from fastbp.machine.jit import kernel
from fastbp.machine.memory import aligned_zeros
from fastbp.machine.simd import lanes, load, splat, store, sum_lanes

ROUNDS = 7
#: Vectors of 64 bytes, twice as many of which leave registers for a factor and a term.
_HALF = 8 if has_avx512() else 2


@kernel
def _multiply_add(like, n):
    """Two long vectors, each multiplied and added to n times; none waits for the other."""
    a, b = load(like, 0, _HALF), load(like, 1, _HALF)
    factor, term = splat(like, 0.999, _HALF), splat(like, 1e-3, _HALF)
    for _ in range(n):
        a = a * factor + term
        b = b * factor + term
    return sum_lanes(a) + sum_lanes(b)


@kernel
def _update(weights, n):
    """Load, update and store all weights n times, and use each once."""
    total = splat(weights, 0.0, 8)
    step, x = splat(weights, 1e-9, 8), splat(weights, 0.5, 8)
    width = 8 * lanes(weights)
    for _ in range(n):
        for i in range(0, weights.size, width):
            w = load(weights, i, 8) + x * step
            store(weights, i, w)
            total = total + x * w
    return sum_lanes(total)


def best_time(run, *arguments, rounds=ROUNDS):
    """Seconds of the fastest of some runs."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        run(*arguments)
        best = min(best, time.perf_counter() - start)
    return best


@cache
def peak(dtype):
    """Floating-point operations a second of one core."""
    like, n = aligned_zeros(1000, dtype), 1_000_000
    like[:] = np.random.default_rng(0).standard_normal(len(like))  # alike, they would be one
    _multiply_add(like, 1)
    per_loop = 2 * 2 * _HALF * 64 // np.dtype(dtype).itemsize
    return per_loop * n / best_time(_multiply_add, like, n)


@cache
def stream(n_weights, dtype):
    """Seconds for one update of so many weights, all loaded and stored once."""
    n_whole = -(-n_weights // (512 // np.dtype(dtype).itemsize)) * (512 // np.dtype(dtype).itemsize)
    weights, n = aligned_zeros(n_whole, dtype), max(1, 3_000_000 // n_whole)
    _update(weights, 1)
    return best_time(_update, weights, n) / n * n_weights / n_whole


@cache
def blas(dtype, size=768):
    """Floating-point operations a second of NumPy's BLAS in a square product."""
    a = np.random.default_rng(0).standard_normal((size, size)).astype(dtype)
    return 2 * size**3 / best_time(a.dot, a, rounds=3 * ROUNDS)
