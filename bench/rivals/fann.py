"""FANN 2.2, the C library, in its incremental training: an update after every sample.

Its tanh has a steepness and its derivative is clipped where |tanh| > 0.98, which the cases avoid;
its default error function is not the squared error, so the linear one is chosen.
"""

import ctypes
import ctypes.util

import numpy as np

from bench.cases import RATE, initial_parameters

NAME = "FANN"

_LINEAR, _SIGMOID_SYMMETRIC = 0, 5
_INCREMENTAL, _ERROR_LINEAR = 0, 0


def missing():
    return None if ctypes.util.find_library("floatfann") else "libfann is not installed"


def fits(case, dtype):
    online = case.batch_size == 1 and case.update == "plain" and case.alpha == 0
    return online and case.has_plain_output and len(case.sizes) == 3 and case.activation == "tanh"


def epochs(case, X, y):
    single = X.dtype == np.float32
    real = ctypes.c_float if single else ctypes.c_double
    library = ctypes.CDLL(ctypes.util.find_library("floatfann" if single else "doublefann"))
    library.fann_create_standard_array.restype = ctypes.c_void_p
    library.fann_train_epoch.restype = ctypes.c_float
    sizes = (ctypes.c_uint * len(case.sizes))(*case.sizes)
    net = ctypes.c_void_p(library.fann_create_standard_array(len(case.sizes), sizes))
    for setting, value in (
        ("activation_function_hidden", _SIGMOID_SYMMETRIC),
        ("activation_function_output", _LINEAR),
        ("activation_steepness_hidden", real(1)),
        ("activation_steepness_output", real(1)),
        ("training_algorithm", _INCREMENTAL),
        ("train_error_function", _ERROR_LINEAR),
        ("learning_rate", ctypes.c_float(RATE)),
        ("learning_momentum", ctypes.c_float(0)),
    ):
        getattr(library, f"fann_set_{setting}")(net, value)
    connections = _connections(library, net, real)
    start = initial_parameters(case, X.dtype)
    numbers = case.network.unpack(np.arange(start.size))
    places = [int(_place(numbers, c.source, c.target)) for c in connections]
    for connection, place in zip(connections, places, strict=True):
        connection.weight = start[place]
    library.fann_set_weight_array(net, connections, len(connections))
    data = ctypes.c_void_p(_training_data(library, X, y))

    def parameters():
        vector = np.empty_like(start)
        vector[places] = [connection.weight for connection in _connections(library, net, real)]
        return vector

    return lambda: library.fann_train_epoch(net, data), parameters


def _connections(library, net, real):
    class Connection(ctypes.Structure):
        _fields_ = [("source", ctypes.c_uint), ("target", ctypes.c_uint), ("weight", real)]

    connections = (Connection * library.fann_get_total_connections(net))()
    library.fann_get_connection_array(net, connections)
    return connections


def _place(numbers, source, target):
    """Find where in fastbp's vector a connection's weight is, by the numbers of its entries.

    FANN's neurons are numbered layer by layer, each layer with a bias neuron as its last.
    """
    weights, biases = numbers
    n_in, n_hidden = weights[0].shape
    if target <= n_in + n_hidden:
        unit = target - (n_in + 1)
        return biases[0][unit] if source == n_in else weights[0][source, unit]
    unit = target - (n_in + n_hidden + 2)
    if source == n_in + n_hidden + 1:
        return biases[1][unit]
    return weights[1][source - n_in - 1, unit]


def _training_data(library, X, y):
    """FANN's own copy of the rows, so that an epoch is one call."""

    class TrainingData(ctypes.Structure):
        _fields_ = [
            ("error_number", ctypes.c_int),
            ("error_log", ctypes.c_void_p),
            ("error_text", ctypes.c_void_p),
            ("n", ctypes.c_uint),
            ("n_in", ctypes.c_uint),
            ("n_out", ctypes.c_uint),
            ("inputs", ctypes.POINTER(ctypes.c_void_p)),
            ("outputs", ctypes.POINTER(ctypes.c_void_p)),
        ]

    library.fann_create_train.restype = ctypes.c_void_p
    address = library.fann_create_train(len(X), X.shape[1], y.shape[1])
    data = ctypes.cast(address, ctypes.POINTER(TrainingData)).contents
    for i in range(len(X)):
        ctypes.memmove(data.inputs[i], X[i].ctypes.data, X[i].nbytes)
        ctypes.memmove(data.outputs[i], y[i].ctypes.data, y[i].nbytes)
    return address
