"""Backpropagation of a tile of rows by one block: forward, error, backward, gradient.

The tile's outputs and error signals stay in the room, in the chip's shared memory where they fit
(see ``products.py`` for how they lie there); the weights come through the nearest cache. The block
adds the tile's gradient to a slot that is its own, so there is no race and no atomic addition, and
the sum has one order. Rows that a tile has too few count with a weight of 0.
"""

from fastbp.backends.gpu.kernels.elementwise import activate_with_slope, loss_and_gradient
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
    STRIDE,
    TRANSPOSED,
    TRANSPOSED_STRIDE,
    WEIGHTS,
)
from fastbp.backends.gpu.kernels.products import add_outer, add_row_sums, products
from fastbp.machine.gpu_kernels import cuda, part

__all__ = ["PADDING", "gather", "passes"]

#: Numbers between one unit's rows and the next one's.
PADDING = 4


@part
def gather(data, rows, start, count, room, unit_stride, row_stride, n_features, n_rows):
    """Copy rows of the inputs, dense or sparse, to a room; rows from ``count`` on are zeros.

    data : Inputs.  rows : row numbers, from place ``start`` on.  Feature k of row i goes to
    ``room[k * unit_stride + i * row_stride]``.
    """
    is_dense = data.row_starts.size == 0
    item = cuda.threadIdx.x
    while item < n_rows * n_features:
        i, k = item // n_features, item % n_features
        x = room.dtype.type(0)
        if is_dense and i < count:
            x = data.X[rows[start + i], k]
        room[k * unit_stride + i * row_stride] = x
        item += cuda.blockDim.x
    if is_dense:
        return
    cuda.syncthreads()
    i = cuda.threadIdx.x
    while i < count:
        row = rows[start + i]
        for place in range(data.row_starts[row], data.row_starts[row + 1]):
            room[data.columns[place] * unit_stride + i * row_stride] += data.values[place]
        i += cuda.blockDim.x


@part
def _errors(plan, loss_parameters, data, rows, start, count, room, stride, n_rows):
    """Error signals of the output layer, over its slopes; returns a thread's share of the loss."""
    last = plan[0, N_LAYERS]
    n_out = plan[last, N_OUT]
    outputs, deltas = room[plan[last, OUTPUTS] * stride :], room[plan[last, DELTAS] * stride :]
    total = 0.0
    item = cuda.threadIdx.x
    while item < (n_out + 3) // 4 * 4 * n_rows:
        j, i = item // n_rows, item % n_rows
        place, delta = j * stride + i, room.dtype.type(0)
        if j < n_out and i < count:
            row = rows[start + i]
            prediction, y = outputs[place], data.y[row, j]
            weight = data.weights[row] if data.weights.size > 0 else room.dtype.type(1)
            loss, gradient = loss_and_gradient(plan[0, LOSS], loss_parameters[j], prediction, y)
            total += weight * loss
            if plan[0, CANONICAL] != 0:
                delta = weight * (prediction - y)
            else:
                delta = deltas[place] * (weight * gradient)
        deltas[place] = delta
        item += cuda.blockDim.x
    return total


def passes(n_fours):
    """Make the passes whose threads take 4 * n_fours rows each: (forward, add_tile)."""
    product = products(n_fours)

    @part
    def forward(plan, parameters, room, stride, n_rows):
        """Compute outputs and slopes of all layers; the inputs are in the room."""
        for layer in range(1, plan[0, N_LAYERS] + 1):
            z, slopes = room[plan[layer, OUTPUTS] * stride :], room[plan[layer, DELTAS] * stride :]
            product(
                room[plan[layer, INPUTS] * stride :],
                plan[layer, N_IN],
                parameters[plan[layer, WEIGHTS] :],
                plan[layer, STRIDE],
                plan[layer, N_OUT],
                parameters[plan[layer, BIASES] :],
                z,
                stride,
                n_rows,
                False,
            )
            cuda.syncthreads()
            n_padded = (plan[layer, N_OUT] + 3) // 4 * 4  # so that no garbage is in the padding
            activate_with_slope(plan[layer, ACTIVATION], z, slopes, n_padded * stride)
            cuda.syncthreads()

    @part
    def backward(plan, parameters, room, stride, n_rows, gradient, is_first):
        """Error signals of all layers, and the tile's gradient."""
        for layer in range(plan[0, N_LAYERS], 0, -1):
            n_in, n_out = plan[layer, N_IN], plan[layer, N_OUT]
            x = room[plan[layer, INPUTS] * stride :]
            deltas = room[plan[layer, DELTAS] * stride :]
            w_gradient = gradient[plan[layer, WEIGHTS] :]
            b_gradient = gradient[plan[layer, BIASES] :]
            add_outer(
                x, n_in, deltas, n_out, stride, n_rows, w_gradient, plan[layer, STRIDE], is_first
            )
            add_row_sums(deltas, n_out, stride, n_rows, b_gradient, is_first)
            if layer > 1:
                product(
                    deltas,
                    n_out,
                    parameters[plan[layer, TRANSPOSED] :],
                    plan[layer, TRANSPOSED_STRIDE],
                    n_in,
                    parameters,
                    room[plan[layer - 1, DELTAS] * stride :],
                    stride,
                    n_rows,
                    True,
                )
            cuda.syncthreads()

    @part
    def add_tile(
        plan, loss_parameters, parameters, data, rows, start, count, room, n_rows, gradient,
        is_first,
    ):  # fmt: skip
        """Forward, error and backward pass of a tile; returns a thread's share of the loss.

        parameters, gradient : the network's own.  rows : row numbers, of which ``count`` from place
        ``start`` on are the tile's.  The gradient is written if it is the first, else added to.
        """
        stride = n_rows + PADDING
        gather(data, rows, start, count, room, stride, 1, plan[1, N_IN], n_rows)
        cuda.syncthreads()
        forward(plan, parameters, room, stride, n_rows)
        total = _errors(plan, loss_parameters, data, rows, start, count, room, stride, n_rows)
        cuda.syncthreads()
        backward(plan, parameters, room, stride, n_rows, gradient, is_first)
        return total

    return forward, add_tile
