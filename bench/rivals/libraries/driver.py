"""How a library is driven: by a source in C or C++ with the three functions of ``driver.h``."""

import ctypes

import numpy as np

from bench.cases import RATE, initial_parameters
from bench.rivals.compiling import shared_library

#: An epoch of small batches moves the weights by less than a thousandth of their length.
DIGITS = {"float64": 1e-9, "float32": 1e-5}


class _Problem(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int) for name in ("n_in", "n_hidden", "n_out", "n_rows", "batch_size")),
        ("is_tanh", ctypes.c_int),
        ("rate", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("X", "y", "w1", "b1", "w2", "b2")),
    ]


def epochs(source, options, case, X, y):
    """Compile a source with some options of the compiler, and make its network."""
    library = shared_library(source, X.dtype, *options)
    library.make.restype = ctypes.c_void_p
    (w1, w2), (b1, b2) = case.network.unpack(initial_parameters(case, X.dtype))
    arrays = [X, y, *(np.array(array, order="C") for array in (w1, b1, w2, b2))]
    pointers = [array.ctypes.data for array in arrays]
    numbers = (*case.sizes, len(X), case.batch_size, case.activation == "tanh", RATE)
    problem = _Problem(*numbers, *pointers)
    net = ctypes.c_void_p(library.make(ctypes.byref(problem)))

    def parameters():
        library.weights(net, ctypes.byref(problem))
        _, _, w1, b1, w2, b2 = arrays
        return case.network.pack([w1, w2], [b1, b2], X.dtype)

    def run(arrays=arrays):  # which live as long as this
        library.epoch(net)

    return run, parameters
