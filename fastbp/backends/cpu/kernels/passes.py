"""The passes of backpropagation through all layers, for a block of rows.

Each layer is three products of small matrices (see ``machine/matmul.py``). With x the block's
inputs to a layer, (n, fan_in), and W as `Layout` stores it,

    forward     z = b + x W             (n, fan_in) (fan_in, fan_out)
    backward    delta_below = (delta W^T) * slope_below
    gradient    dW += x^T delta, or delta^T x where W is stored unit by unit

The lanes of all vectors are units of a layer, except in the output layer, where regression often
has one unit: there the lanes are rows, and z is a dot product for each.
"""

from fastbp.backends.cpu.kernels.layers import (
    clear_padding,
    gather,
    gather_targets,
    n_vectors,
    vector_sum,
)
from fastbp.backends.cpu.kernels.packing import biases_of, is_by_unit, transposed_of, weights_of
from fastbp.machine.by_address import call
from fastbp.machine.dots import dots
from fastbp.machine.extremes import smaller
from fastbp.machine.jit import part
from fastbp.machine.matmul import (
    add_product,
    gate_product,
    product,
    product_above_0,
    scale_by_product,
)
from fastbp.machine.simd import lanes, store
from fastbp.machine.views import columns, matrix, row, stretch

__all__ = [
    "activate_output",
    "add_block",
    "add_gradient",
    "add_output_biases",
    "block_of",
    "errors_of_block",
    "forward_block",
    "send_below",
]


@part
def block_of(network, blocks, workspace, layer, n):
    """Rows of the input's or a hidden layer's block in ``outputs`` or ``deltas``."""
    return matrix(blocks, workspace.starts[layer], n, network.padded[layer])


@part
def _output_block(network, blocks, workspace):
    """View the output layer's block: (n_outputs, block_rows)."""
    last = network.activations.size
    return matrix(blocks, workspace.starts[last], network.sizes[last], workspace.block_rows)


@part
def forward_block(network, data, rows, workspace):
    """Forward pass of a block of rows, up to the output layer's net inputs.

    Leaves outputs (and slopes) of the hidden layers in the workspace.
    data : Data.  rows : (n,) row numbers, n <= block_rows.
    """
    n, last = rows.size, network.activations.size - 1
    x = block_of(network, workspace.outputs, workspace, 0, n)
    gather(data, rows, x)
    for layer in range(last):
        if layer == 0:
            w = weights_of(network, workspace.parameters, layer)
        else:
            w = transposed_of(network, workspace, layer)
        b = biases_of(network, workspace.parameters, layer)
        fan_out = network.sizes[layer + 1]
        z = block_of(network, workspace.outputs, workspace, layer + 1, n)
        if network.are_rectifiers[layer] == 1:
            product_above_0(x, w, b, z, n_vectors(fan_out, z))
        else:
            product(x, w, b, z, n_vectors(fan_out, z))
            _activate(network, workspace, layer, workspace.starts[layer + 1], z.size)
            clear_padding(z, fan_out)
        x = z
    _forward_output(network, x, workspace)


@part
def _activate(network, workspace, layer, start, n):
    """From a layer's net inputs, n numbers from a place on, to its outputs (and slopes)."""
    z, s = stretch(workspace.outputs, start, n), stretch(workspace.deltas, start, n)
    call(network.activations[layer], (z, s))


@part
def activate_output(network, workspace, n):
    """Do so for n rows of the output layer, rows in the lanes."""
    if network.softmax_of_rows != 0:
        _softmax(network, workspace, n)
    else:
        last = network.activations.size - 1
        n_lanes = n_vectors(n, workspace.outputs) * lanes(workspace.outputs)
        for j in range(network.sizes[last + 1]):
            start = workspace.starts[last + 1] + j * workspace.block_rows
            _activate(network, workspace, last, start, n_lanes)


@part
def _softmax(network, workspace, n):
    """From net inputs of n rows of the output layer to probabilities, and their logarithms."""
    last, n_block = network.activations.size, workspace.block_rows
    start, size = workspace.starts[last], network.sizes[last] * n_block
    z, s = stretch(workspace.outputs, start, size), stretch(workspace.deltas, start, size)
    call(network.softmax_of_rows, (z, s), (n_vectors(n, z) * lanes(z), n_block))


@part
def _forward_output(network, x, workspace):
    """Net inputs of the output layer, a dot product for each row, rows in the lanes."""
    n, last = x.shape[0], network.activations.size - 1
    w = weights_of(network, workspace.parameters, last)
    flat = stretch(workspace.parameters, network.padded_weights[last], w.size)
    b = biases_of(network, workspace.parameters, last)
    length = n_vectors(network.sizes[last], x)
    for j in range(w.shape[0]):
        start = workspace.starts[last + 1] + j * workspace.block_rows
        for i in range(0, n, lanes(x)):
            z = b[j] + dots(x, i, n - 1, flat, j * w.shape[1], length)
            store(workspace.outputs, start + i, z)


@part
def _output_errors(network, data, rows, workspace):
    """From net inputs to error signals of the output layer, and the losses of pieces.

    Returns the sum of weighted losses.
    """
    if network.softmax_of_rows != 0:
        _softmax(network, workspace, rows.size)
    gather_targets(data, rows, workspace)
    start = workspace.starts[network.activations.size]
    total = 0.0
    for first in range(0, rows.size, workspace.piece_rows):
        n = n_vectors(smaller(workspace.piece_rows, rows.size - first), data.y) * lanes(data.y)
        loss = 0.0
        for j in range(data.y.shape[1]):
            place = j * workspace.block_rows + first
            arrays = (
                stretch(workspace.loss_parameters, place, n),
                stretch(workspace.outputs, start + place, n),
                stretch(workspace.targets, place, n),
                stretch(workspace.row_weights, first, n),
                stretch(workspace.deltas, start + place, n),
            )
            loss += call(network.loss, arrays)
        workspace.losses[first // workspace.piece_rows] = loss
        total += loss
    return total


@part
def add_block(network, data, rows, workspace):
    """Forward, error and backward pass of a block; adds to the workspace's gradient.

    Returns the sum of the rows' weighted losses.
    """
    forward_block(network, data, rows, workspace)
    total = _output_errors(network, data, rows, workspace)
    last = network.activations.size - 1
    add_output_biases(network, workspace, rows.size, 0, network.sizes[last + 1])
    for layer in range(last, -1, -1):
        add_gradient(network, workspace, layer, rows.size, 0, network.padded[layer + 1])
        if layer > 0:
            _errors_below(network, workspace, layer, rows.size)
    return total


@part
def errors_of_block(network, data, rows, workspace):
    """Do so without the gradient: leaves outputs, error signals of all layers, and losses."""
    forward_block(network, data, rows, workspace)
    _output_errors(network, data, rows, workspace)
    for layer in range(network.activations.size - 1, 0, -1):
        _errors_below(network, workspace, layer, rows.size)


@part
def _errors_of(network, workspace, layer, n):
    """View the error signals of a layer, (n, units) or larger."""
    if layer == network.activations.size - 1:
        return _output_block(network, workspace.deltas, workspace).T
    return block_of(network, workspace.deltas, workspace, layer + 1, n)


@part
def _errors_below(network, workspace, layer, n):
    """From the error signals of a layer to those of the layer below."""
    x = block_of(network, workspace.outputs, workspace, layer, n)
    w = weights_of(network, workspace.parameters, layer)
    send_below(network, workspace, layer, _errors_of(network, workspace, layer, n), w, x)


@part
def send_below(network, workspace, layer, delta, w, outputs):
    """Error signals of the layer below: delta W^T, times its slopes."""
    below = block_of(network, workspace.deltas, workspace, layer, outputs.shape[0])
    n_columns = n_vectors(network.sizes[layer], outputs)
    if network.are_rectifiers[layer - 1] == 1:
        gate_product(delta, w, outputs, below, n_columns)
    else:
        scale_by_product(delta, w, below, n_columns)


@part
def add_gradient(network, workspace, layer, n, begin, end):
    """Add the gradient of n rows for some units of a layer, in whole vectors.

    Of the output layer's biases it is `add_output_biases`.
    """
    x = block_of(network, workspace.outputs, workspace, layer, n)
    n_units = smaller(end, network.sizes[layer + 1]) - begin
    units = n_vectors(n_units, x)
    delta = columns(_errors_of(network, workspace, layer, n), begin, end - begin)
    if layer < network.activations.size - 1:
        b_gradient = biases_of(network, workspace.gradient, layer)
        ones = matrix(workspace.ones, 0, 1, n)
        add_product(ones, delta, matrix(b_gradient, begin, 1, units * lanes(x)), units)
    w_gradient = weights_of(network, workspace.gradient, layer)
    if is_by_unit(network, layer):
        w_gradient = columns(w_gradient.T, begin, n_units).T
        add_product(delta.T, x, w_gradient, n_vectors(network.sizes[layer], x))
    else:
        add_product(x.T, delta, columns(w_gradient, begin, units * lanes(x)), units)


@part
def add_output_biases(network, workspace, n, begin, end):
    """Add the gradient of some outputs' biases, of the n rows of a block."""
    last = network.activations.size - 1
    delta = _output_block(network, workspace.deltas, workspace)
    b_gradient = biases_of(network, workspace.gradient, last)
    n_lanes = n_vectors(n, b_gradient) * lanes(b_gradient)
    for j in range(begin, smaller(end, network.sizes[last + 1])):
        b_gradient[j] += vector_sum(stretch(row(delta, j), 0, n_lanes))
