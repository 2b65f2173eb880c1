"""The passes of backpropagation through all layers, for a block of rows.

Forward, error, backward: what batch mode sums, online mode does for a block of one row, and
prediction needs the first of.
"""

from fastbp.kernels.elementwise import activate_with_slope, output_error
from fastbp.kernels.layers import add_gradient, backward, forward, gather
from fastbp.machine.jit import part
from fastbp.machine.views import matrix, row, stretch

__all__ = ["add_block", "forward_block", "layer_of"]


@part
def layer_of(network, parameters, layer):
    """Weights (fan_in, fan_out) and biases (fan_out,) of a layer, as views."""
    fan_in, fan_out = network.sizes[layer], network.sizes[layer + 1]
    w = network.weights[layer]
    b = network.biases[layer]
    return matrix(parameters, w, fan_in, fan_out), stretch(parameters, b, fan_out)


@part
def _block_of(network, room, workspace, layer, n):
    """Rows of a layer's block in ``outputs`` or ``deltas``; layer 0 is the input."""
    return matrix(room, workspace.starts[layer], n, network.sizes[layer])


@part
def forward_block(network, parameters, data, rows, workspace):
    """Forward pass of a block of rows; leaves outputs and slopes in the workspace.

    data : Data.  rows : (n,) row numbers, n <= block_rows.
    """
    n = rows.size
    x = _block_of(network, workspace.outputs, workspace, 0, n)
    gather(data, rows, x)
    for layer in range(network.activations.size):
        w, b = layer_of(network, parameters, layer)
        z = _block_of(network, workspace.outputs, workspace, layer + 1, n)
        forward(x, w, b, z)
        start = workspace.starts[layer + 1]
        activate_with_slope(
            network.activations[layer],
            stretch(workspace.outputs, start, z.size),
            stretch(workspace.deltas, start, z.size),
        )
        x = z


@part
def _errors_block(network, data, rows, workspace):
    """Error signals of the output layer for a block; returns the sum of weighted losses."""
    n, last = rows.size, network.activations.size
    prediction = _block_of(network, workspace.outputs, workspace, last, n)
    delta = _block_of(network, workspace.deltas, workspace, last, n)
    total = 0.0
    for i in range(n):
        weight = data.y.dtype.type(1)
        if data.weights.size > 0:
            weight = data.weights[rows[i]]
        total += output_error(
            network.loss,
            network.canonical,
            row(prediction, i),
            row(data.y, rows[i]),
            weight,
            row(delta, i),
        )
    return total


@part
def add_block(network, parameters, data, rows, workspace, gradient):
    """Forward, error and backward pass of a block; adds to the gradient, returns the loss sum."""
    n = rows.size
    forward_block(network, parameters, data, rows, workspace)
    total = _errors_block(network, data, rows, workspace)
    for layer in range(network.activations.size - 1, -1, -1):
        x = _block_of(network, workspace.outputs, workspace, layer, n)
        delta = _block_of(network, workspace.deltas, workspace, layer + 1, n)
        w_gradient, b_gradient = layer_of(network, gradient, layer)
        add_gradient(x, delta, w_gradient, b_gradient)
        if layer > 0:
            w, _ = layer_of(network, parameters, layer)
            delta_below = _block_of(network, workspace.deltas, workspace, layer, n)
            backward(delta, w, delta_below)
    return total
