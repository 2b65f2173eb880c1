"""The same loop in C, compiled on the spot with ``-O3 -march=native -ffast-math``."""

import ctypes
from pathlib import Path

import numpy as np

from bench.cases import RATE, initial_parameters
from bench.rivals.compiling import compiler, shared_library

SOURCE = Path(__file__).with_name("online.c")
NAME = "C"


def missing():
    return None if compiler() else "no C compiler"


def fits(case, dtype):
    plain = case.batch_size == 1 and case.update == "plain" and case.has_plain_output
    return plain and len(case.sizes) == 3 and case.activation == "tanh"


def _epoch(dtype):
    function = shared_library(SOURCE, dtype, "-lm").epoch
    real = ctypes.c_float if dtype == np.float32 else ctypes.c_double
    function.argtypes = [ctypes.c_long, *[ctypes.c_int] * 3, *[ctypes.c_void_p] * 8, real, real]
    function.restype = ctypes.c_double
    return function


def epochs(case, X, y):
    function, dtype = _epoch(X.dtype), X.dtype
    (w1, w2), (b1, b2) = case.network.unpack(initial_parameters(case, dtype))
    w1, w2, b1, b2 = w1.copy(), np.ascontiguousarray(w2.T), b1.copy(), b2.copy()
    room = (np.zeros(len(b1), dtype), np.zeros(len(b1), dtype))
    arrays = (X, y, w1, b1, w2, b2, *room)

    def run():
        pointers = [array.ctypes.data for array in arrays]  # and so they live as long as this
        return function(len(X), *case.sizes, *pointers, RATE, case.alpha)

    return run, lambda: case.network.pack([w1, w2.T], [b1, b2], dtype)
