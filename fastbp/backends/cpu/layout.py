"""How the CPU's kernels see a network: a padded parameter vector, and where each weight is in it.

The parameter vector (``model/network.py``) is what solvers and users see. Kernels compute with
whole vectors of the chip and therefore with a padded copy of it.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.machine.chip import VECTOR_BYTES
from fastbp.machine.forks import LOADING
from fastbp.model.activations import SOFTMAX
from fastbp.model.network import Network

__all__ = [
    "Layout",
    "layout_of",
    "n_padded_of",
    "pad",
    "padded_length",
    "unpack_padded",
    "unpad",
]


class Layout(NamedTuple):
    """A network as the kernels see it: numbers and arrays of numbers.

    The parameter vector is what solvers and users see. Kernels compute with whole vectors of the
    chip and therefore with a padded copy of it, in which every row of a weight matrix and every
    bias vector begins on a 64-byte boundary and is filled up with zeros, which stay zeros. The
    first hidden layer is stored input by input, (fan_in, padded fan_out), every other layer unit by
    unit, (fan_out, padded fan_in): then all products of backpropagation but one run along rows.

    Attributes
    ----------
    sizes : ndarray of shape (n_layers + 1,)
        Units of the input, of each hidden layer, and of the output.
    padded : ndarray of shape (n_layers + 1,)
        The same, rounded up to whole vectors.
    weights, biases : ndarray of shape (n_layers,)
        Where in the parameter vector a layer's weight matrix and bias vector begin.
    padded_weights, padded_biases : ndarray of shape (n_layers,)
        Where they begin in the padded copy.
    n_weights, n_padded_weights : int
        How many of the parameters are weights: the leading ones.
    n_padded : int
        Length of the padded copy.
    activations : ndarray of shape (n_layers,)
        The address of the loop of each layer's activation (see ``elementwise.py``).
    are_rectifiers : ndarray of shape (n_layers,)
        1 where that is a rectifier, which products of matrices make in passing, else 0.
    softmax_of_rows, softmax_of_units : int
        The addresses of the loops of an output layer that is a softmax (see ``softmax.py``), of
        whose activation nothing is read then; else 0.
    loss : int
        The address of the loop of the output layer's activation and loss; 0 in a layout that is not
        for training.
    loss_parameters : ndarray of shape (n_outputs,)
        The loss's own number for each output; 0 where it has none.
    """

    sizes: NDArray[np.int64]
    padded: NDArray[np.int64]
    weights: NDArray[np.int64]
    biases: NDArray[np.int64]
    padded_weights: NDArray[np.int64]
    padded_biases: NDArray[np.int64]
    n_weights: int
    n_padded_weights: int
    n_padded: int
    activations: NDArray[np.int64]
    are_rectifiers: NDArray[np.int64]
    softmax_of_rows: int
    softmax_of_units: int
    loss: int
    loss_parameters: NDArray[np.float64]


def padded_length(n: int, dtype: np.typing.DTypeLike) -> int:
    """Round a number of units up to whole vectors of 64 bytes.

    An odd number of them where there are many: in a matrix whose rows are a power of two apart, a
    column's vectors would all fall into the same few places of the cache.
    """
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    n_vectors = -(-n // lanes)
    if n_vectors >= 16 and n_vectors % 2 == 0:
        n_vectors += 1
    return n_vectors * lanes


def layout_of(network: Network, dtype: np.typing.DTypeLike, for_training: bool = True) -> Layout:
    """Describe a network to the kernels, for parameters of a dtype.

    Its activations and its loss are compiled where they have not been yet. A layout that is not
    for training makes predictions alone, without slopes and therefore faster.
    """
    return _layout(network, np.dtype(dtype), for_training)


def n_padded_of(network: Network, dtype: np.typing.DTypeLike) -> int:
    """Give the length of the padded copy of a network's parameters."""
    return _places(network, np.dtype(dtype))["n_padded"]


@lru_cache(maxsize=64)
def _layout(network: Network, dtype: np.dtype, for_training: bool) -> Layout:
    with LOADING:  # numba, with these
        from fastbp.backends.cpu import elementwise, softmax

    loss, records = network.loss_record, network.activations
    elementwise_records = [record for record in records if record is not SOFTMAX]
    addresses = [
        elementwise.activation_address(record, dtype, for_training)
        for record in elementwise_records
    ]
    of_rows = of_units = 0
    if loss.is_softmax:
        of_rows, of_units = softmax.softmax_addresses(dtype)
        addresses.append(0)
    return Layout(
        **_places(network, dtype),
        activations=np.array(addresses, np.int64),
        are_rectifiers=np.array([record.is_rectifier for record in records], np.int64),
        softmax_of_rows=of_rows,
        softmax_of_units=of_units,
        loss=elementwise.output_error_address(network, dtype) if for_training else 0,
        loss_parameters=network.loss_parameter_of_outputs,
    )


@lru_cache(maxsize=64)
def _places(network: Network, dtype: np.dtype) -> dict[str, Any]:
    """Where each weight is: what can be said of a layout without a compiler."""
    padded = np.array([padded_length(size, dtype) for size in network.layer_sizes], dtype=np.int64)
    # Rows of each layer's padded matrix: inputs of the first hidden layer, else the layer's units.
    rows = np.array(network.layer_sizes[1:], dtype=np.int64)
    lengths = padded[:-1].copy()
    if len(rows) > 1:
        rows[0], lengths[0] = network.layer_sizes[0], padded[1]
    ends = np.cumsum(rows * lengths)
    n_padded_weights = int(ends[-1])
    weights, biases = network.starts
    return {
        "sizes": np.array(network.layer_sizes, dtype=np.int64),
        "padded": padded,
        "weights": weights,
        "biases": biases,
        "padded_weights": np.concatenate([[0], ends[:-1]]).astype(np.int64),
        "padded_biases": n_padded_weights + np.cumsum([0, *padded[1:-1]], dtype=np.int64),
        "n_weights": network.n_weights,
        "n_padded_weights": n_padded_weights,
        "n_padded": n_padded_weights + int(padded[1:].sum()),
    }


def unpack_padded(
    network: Network, padded: NDArray[np.floating]
) -> tuple[list[NDArray[np.floating]], list[NDArray[np.floating]]]:
    """Weight matrices and bias vectors as views of a padded vector (see `Layout`).

    Parameters
    ----------
    padded : ndarray of shape (n_padded,)
        The padded parameter vector.

    Returns
    -------
    coefs : list of ndarray of shape (fan_in, fan_out)
        The weight matrices, with gaps between rows or columns.
    intercepts : list of ndarray of shape (fan_out,)
        The bias vectors.
    """
    coefs, intercepts = [], []
    for by_unit, weights, shape, columns, biases in _slices(network, padded.dtype):
        matrix = padded[weights].reshape(shape)[:, columns]
        coefs.append(matrix.T if by_unit else matrix)
        intercepts.append(padded[biases])
    return coefs, intercepts


@lru_cache(maxsize=64)
def _slices(network: Network, dtype: np.dtype) -> list[tuple[bool, slice, tuple, slice, slice]]:
    """Where in a padded vector each layer is, so that its views are quickly made."""
    places, slices = _places(network, dtype), []
    for layer, (fan_in, fan_out) in enumerate(network.shapes):
        by_unit = layer > 0 or len(network.shapes) == 1
        rows, columns = (fan_out, fan_in) if by_unit else (fan_in, fan_out)
        length = int(places["padded"][layer if by_unit else layer + 1])
        start, start_b = int(places["padded_weights"][layer]), int(places["padded_biases"][layer])
        weights, biases = slice(start, start + rows * length), slice(start_b, start_b + fan_out)
        slices.append((by_unit, weights, (rows, length), slice(columns), biases))
    return slices


def pad(network: Network, parameters: NDArray[np.floating], padded: NDArray[np.floating]) -> None:
    """Copy a parameter vector, or one like it, to a padded vector; its padding stays."""
    for places, arrays in zip(
        unpack_padded(network, padded), network.unpack(parameters), strict=True
    ):
        for place, array in zip(places, arrays, strict=True):
            place[...] = array


def unpad(network: Network, padded: NDArray[np.floating]) -> NDArray[np.floating]:
    """Copy a padded vector to a new parameter vector, or one like it."""
    parameters = np.empty(network.n_parameters, dtype=padded.dtype)
    for places, arrays in zip(
        network.unpack(parameters), unpack_padded(network, padded), strict=True
    ):
        for place, array in zip(places, arrays, strict=True):
            place[...] = array
    return parameters
