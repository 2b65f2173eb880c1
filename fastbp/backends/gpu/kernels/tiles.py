"""Backpropagation of a tile of rows by one block: forward, error, backward, gradient.

The tile's outputs and error signals stay in the workspace, in the chip's shared memory where they
fit (see ``products.py`` for how they lie there); the weights come through the nearest cache. The
block adds the tile's gradient to a slot that is its own, so there is no race and no atomic
addition, and the sum has one order. Where a tile has fewer rows than it could have, the others
count with a weight of 0.
"""

from functools import cache
from typing import Any, NamedTuple

from fastbp.backends.gpu.kernels.elementwise import elementwise
from fastbp.backends.gpu.kernels.placement import (
    ACTIVATION,
    BIASES,
    CANONICAL,
    DELTAS,
    INPUTS,
    LOSS,
    N_IN,
    N_LAYERS,
    N_OUT,
    OUTPUTS,
    SOFTMAX_CODE,
    STRIDE,
    TRANSPOSED,
    TRANSPOSED_STRIDE,
    WEIGHTS,
)
from fastbp.backends.gpu.kernels.products import add_outer, add_row_sums, products
from fastbp.backends.gpu.kernels.softmax import softmax
from fastbp.machine.gpu_kernels import cuda, part, tail

__all__ = ["PADDING", "gather", "network_of", "passes"]

#: Numbers between one unit's rows and the next one's.
PADDING = 4


class _Network(NamedTuple):
    """One network, as the passes over a tile see it.

    Attributes
    ----------
    layout : (n_layers + 1, N_FIELDS)
        Its layout (``placement.py``).
    loss_parameters : (n_outputs,)
        The loss's own number for each output.
    parameters : (n,)
        Its parameters and their copies, and maybe other networks' behind them.
    """

    layout: Any
    loss_parameters: Any
    parameters: Any


@part
def network_of(state, i):
    """Give network number i of a launch, as the passes over a tile see it."""
    parameters = tail(state.parameters, state.starts[i])
    return _Network(state.layouts[i], state.loss_parameters[i], parameters)


@part
def gather(data, rows, start, count, workspace, unit_stride, row_stride, n_features, n_rows):
    """Copy rows of the inputs, dense or sparse, to a workspace; rows from ``count`` on are zeros.

    data : Inputs.  rows : row numbers, from place ``start`` on.  Feature k of row i goes to
    ``workspace[k * unit_stride + i * row_stride]``.
    """
    is_dense = data.row_starts.size == 0
    item = cuda.threadIdx.x
    while item < n_rows * n_features:
        i, k = item // n_features, item % n_features
        x = workspace.dtype.type(0)
        if is_dense and i < count:
            x = data.X[rows[start + i], k]
        workspace[k * unit_stride + i * row_stride] = x
        item += cuda.blockDim.x
    if is_dense:
        return
    cuda.syncthreads()
    i = cuda.threadIdx.x
    while i < count:
        row = rows[start + i]
        for place in range(data.row_starts[row], data.row_starts[row + 1]):
            column = data.columns[place]
            workspace[column * unit_stride + i * row_stride] += data.values[place]
        i += cuda.blockDim.x


def _errors_by(loss_and_error):
    """Make the error signals of the output layer."""

    @part
    def errors(network, data, rows, start, count, workspace, stride, n_rows):
        """Error signals of the output layer, in the slopes' place; returns a share of the loss."""
        layout = network.layout
        last = layout[0, N_LAYERS]
        n_out = layout[last, N_OUT]
        outputs = workspace[layout[last, OUTPUTS] * stride :]
        deltas = workspace[layout[last, DELTAS] * stride :]
        total = 0.0
        item = cuda.threadIdx.x
        while item < (n_out + 3) // 4 * 4 * n_rows:
            j, i = item // n_rows, item % n_rows
            place, delta = j * stride + i, workspace.dtype.type(0)
            if j < n_out and i < count:
                row = rows[start + i]
                weight = data.weights[row] if data.weights.size > 0 else workspace.dtype.type(1)
                loss, error = loss_and_error(
                    layout[0, LOSS], layout[0, CANONICAL] != 0, network.loss_parameters[j],
                    outputs[place], data.y[row, j], deltas[place],
                )  # fmt: skip
                total += weight * loss
                delta = weight * error
            deltas[place] = delta
            item += cuda.blockDim.x
        return total

    return errors


@cache
def passes(n_fours, own):
    """Make the passes whose threads take 4 * n_fours rows each: (forward, add_tile).

    own : OwnRecords, a user's own activations and losses.
    """
    product = products(n_fours)
    activate_with_slope, loss_and_error = elementwise(own)
    errors = _errors_by(loss_and_error)

    @part
    def forward(network, workspace, stride, n_rows):
        """Compute outputs and slopes of all layers; the inputs are in the workspace."""
        layout, parameters = network.layout, network.parameters
        for layer in range(1, layout[0, N_LAYERS] + 1):
            z = workspace[layout[layer, OUTPUTS] * stride :]
            slopes = workspace[layout[layer, DELTAS] * stride :]
            product(
                workspace[layout[layer, INPUTS] * stride :],
                layout[layer, N_IN],
                parameters[layout[layer, WEIGHTS] :],
                layout[layer, STRIDE],
                layout[layer, N_OUT],
                parameters[layout[layer, BIASES] :],
                z,
                stride,
                n_rows,
                False,
            )
            cuda.syncthreads()
            if layout[layer, ACTIVATION] == SOFTMAX_CODE:
                softmax(z, slopes, layout[layer, N_OUT], stride)
            else:
                n_padded = (layout[layer, N_OUT] + 3) // 4 * 4  # so no garbage is in the padding
                activate_with_slope(layout[layer, ACTIVATION], z, slopes, n_padded * stride)
            cuda.syncthreads()

    @part
    def backward(network, workspace, stride, n_rows, gradient, is_first):
        """Error signals of all layers, and the tile's gradient."""
        layout, parameters = network.layout, network.parameters
        for layer in range(layout[0, N_LAYERS], 0, -1):
            n_in, n_out = layout[layer, N_IN], layout[layer, N_OUT]
            x = workspace[layout[layer, INPUTS] * stride :]
            deltas = workspace[layout[layer, DELTAS] * stride :]
            w_gradient = gradient[layout[layer, WEIGHTS] :]
            b_gradient = gradient[layout[layer, BIASES] :]
            add_outer(
                x, n_in, deltas, n_out, stride, n_rows, w_gradient, layout[layer, STRIDE], is_first
            )
            add_row_sums(deltas, n_out, stride, n_rows, b_gradient, is_first)
            if layer > 1:
                product(
                    deltas,
                    n_out,
                    parameters[layout[layer, TRANSPOSED] :],
                    layout[layer, TRANSPOSED_STRIDE],
                    n_in,
                    parameters,
                    workspace[layout[layer - 1, DELTAS] * stride :],
                    stride,
                    n_rows,
                    True,
                )
            cuda.syncthreads()

    @part
    def add_tile(network, data, rows, start, count, workspace, n_rows, gradient, is_first):
        """Forward, error and backward pass of a tile; returns a thread's share of the loss.

        rows : row numbers, of which ``count`` from place ``start`` on are the tile's.
        gradient : the network's own, written if it is the first, else added to.
        """
        stride, n_features = n_rows + PADDING, network.layout[1, N_IN]
        gather(data, rows, start, count, workspace, stride, 1, n_features, n_rows)
        cuda.syncthreads()
        forward(network, workspace, stride, n_rows)
        total = errors(network, data, rows, start, count, workspace, stride, n_rows)
        cuda.syncthreads()
        backward(network, workspace, stride, n_rows, gradient, is_first)
        return total

    return forward, add_tile
