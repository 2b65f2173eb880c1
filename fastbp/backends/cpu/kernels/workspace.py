"""The arrays that backpropagation computes in for one block of rows, sized once."""

from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.layout import Layout
from fastbp.machine.chip import VECTOR_BYTES
from fastbp.machine.memory import aligned_zeros

__all__ = ["Workspace", "cut", "make_workspace"]

# A block's outputs and deltas, of all layers, are to stay in the first-level cache from the forward
# to the backward pass. But the gradient is loaded and stored once a block: where it does not fit
# into that cache itself, a block has to be long, or there is more to move than to compute.
_BLOCK_BYTES = 56 * 1024
_LARGE_GRADIENT_BYTES = 128 * 1024
_MIN_ROWS, _MAX_ROWS = 16, 128
# Losses are summed piece by piece, so that threads may share a block; a piece is worth a thread.
_PIECE_FLOPS = 100_000


class Workspace(NamedTuple):
    """Padded parameters, and outputs and error signals for a block of rows.

    A block of the input's or a hidden layer's numbers is (rows, padded size); the output layer's is
    (n_outputs, block_rows), so that losses of many rows make whole vectors.

    Attributes
    ----------
    parameters, gradient, first, second : ndarray of shape (n_padded,)
        The parameters, the gradient of a mini-batch and the rule's moments, padded (see `Layout`).
    transposed : ndarray
        The padded weights of the layers between first and last, input by input, for the forward
        pass of batches: (fan_in, padded fan_out) each.
    transposed_starts : ndarray of shape (n_layers,)
        Where in it a layer begins.
    outputs : ndarray
        The blocks of the input and of every layer's outputs, one after the other.
    deltas : ndarray of the same shape
        The slopes f'(z) on the way up, the error signals delta on the way down, at the same places.
    starts : ndarray of shape (n_layers + 1,)
        Where in both the input's and each layer's block begins.
    targets : ndarray of shape (n_outputs * block_rows,)
        The targets of the block, as the output layer's block.
    row_weights : ndarray of shape (block_rows,)
        The sample weights of the block's rows, 0 in the padding; at least one an output.
    products : ndarray
        Online: x W of every layer, where the biases are in the padded parameters.
    below : ndarray
        Online: error signals of a layer before they meet the slopes; as long as any layer.
    is_output : ndarray
        Online: 1 for each output, 0 in the padding.
    loss_parameters : ndarray of shape (n_outputs * block_rows,)
        The loss's own number for each output, as the output layer's block.
    unit_loss_parameters : ndarray
        Online: the same, units in the lanes.
    ones : ndarray of shape (block_rows,)
        Ones.
    losses : ndarray of shape (block_rows // piece_rows,), rounded up
        The sum of weighted losses of each piece of the block.
    block_rows, piece_rows : int
        Rows of a block and of its pieces, in whole vectors.
    """

    parameters: NDArray[np.floating]
    gradient: NDArray[np.floating]
    first: NDArray[np.floating]
    second: NDArray[np.floating]
    transposed: NDArray[np.floating]
    transposed_starts: NDArray[np.int64]
    outputs: NDArray[np.floating]
    deltas: NDArray[np.floating]
    starts: NDArray[np.int64]
    targets: NDArray[np.floating]
    row_weights: NDArray[np.floating]
    products: NDArray[np.floating]
    below: NDArray[np.floating]
    is_output: NDArray[np.floating]
    loss_parameters: NDArray[np.floating]
    unit_loss_parameters: NDArray[np.floating]
    ones: NDArray[np.floating]
    losses: NDArray[np.float64]
    block_rows: int
    piece_rows: int


def make_workspace(
    layout: Layout,
    dtype: np.typing.DTypeLike,
    parameters: NDArray[np.floating] | None = None,
) -> Workspace:
    """Make a workspace; its size depends on the network alone, and so do the sums made in it.

    ``parameters`` may be given, to be worked on where they are.
    """
    dtype = np.dtype(dtype)
    lanes = VECTOR_BYTES // dtype.itemsize
    padded, last = layout.padded.tolist(), len(layout.activations)
    bytes_per_row = 2 * sum(padded) * dtype.itemsize
    rows = min(max(_BLOCK_BYTES // bytes_per_row, _MIN_ROWS), _MAX_ROWS)
    if layout.n_padded * dtype.itemsize > _LARGE_GRADIENT_BYTES:
        rows = _MAX_ROWS
    rows = rows // lanes * lanes
    piece_rows = max(_PIECE_FLOPS // (6 * layout.n_padded), _MIN_ROWS) // lanes * lanes
    if 2 * piece_rows > rows:
        piece_rows = rows
    sizes = layout.sizes.tolist()
    n_outputs = sizes[last]
    blocks = [*(rows * length for length in padded[:last]), rows * n_outputs]
    between = [
        sizes[layer] * padded[layer + 1] if 0 < layer < last - 1 else 0 for layer in range(last)
    ]
    lengths = {
        "parameters": layout.n_padded if parameters is None else 0,
        "gradient": layout.n_padded,
        "first": layout.n_padded,
        "second": layout.n_padded,
        "transposed": sum(between),
        "outputs": sum(blocks),
        "deltas": sum(blocks),
        "targets": rows * n_outputs,
        "row_weights": max(rows, padded[last]),
        "products": layout.n_padded,
        "below": max(padded),
        "is_output": padded[last],
        "loss_parameters": rows * n_outputs,
        "unit_loss_parameters": padded[last],
        "ones": rows,
    }
    arrays = cut(lengths, dtype)
    if parameters is not None:
        arrays["parameters"] = parameters
    arrays["is_output"][:n_outputs] = 1
    arrays["loss_parameters"].reshape(n_outputs, rows)[...] = layout.loss_parameters[:, None]
    arrays["unit_loss_parameters"][:n_outputs] = layout.loss_parameters
    arrays["ones"][:] = 1
    return Workspace(
        **arrays,
        transposed_starts=np.array([0, *accumulate(between[:-1])], dtype=np.int64),
        starts=np.array([0, *accumulate(blocks[:-1])], dtype=np.int64),
        losses=np.zeros(-(-rows // piece_rows)),
        block_rows=rows,
        piece_rows=piece_rows,
    )


def cut(lengths: dict[str, int], dtype: np.dtype) -> dict[str, NDArray]:
    """Cut one piece of zeros into arrays that all begin on a 64-byte boundary."""
    lanes = VECTOR_BYTES // dtype.itemsize
    starts = [0, *accumulate(-(-length // lanes) * lanes for length in lengths.values())]
    piece = aligned_zeros(starts[-1], dtype)
    return {
        name: piece[start : start + length]
        for (name, length), start in zip(lengths.items(), starts, strict=False)
    }
