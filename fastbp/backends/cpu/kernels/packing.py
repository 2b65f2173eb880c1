"""Between the parameter vector and its padded copy: the layout that `Layout` describes.

The first hidden layer's weights keep their order, (fan_in, fan_out); every other layer's are
transposed. Padding is written by nobody: it is zero from the start.
"""

from fastbp.machine.extremes import smaller
from fastbp.machine.jit import part
from fastbp.machine.transpose import transpose
from fastbp.machine.views import columns, matrix, stretch

__all__ = [
    "biases_of",
    "is_by_unit",
    "pack",
    "transpose_layers",
    "transpose_units",
    "unpack",
    "unpack_and_add",
    "weights_of",
]


@part
def is_by_unit(network, layer):
    """Tell whether a layer is stored unit by unit, not input by input."""
    return layer > 0 or network.activations.size == 1


@part
def weights_of(network, padded, layer):
    """View the padded weights of a layer as a matrix of whole vectors."""
    start = network.padded_weights[layer]
    if is_by_unit(network, layer):
        return matrix(padded, start, network.sizes[layer + 1], network.padded[layer])
    return matrix(padded, start, network.sizes[layer], network.padded[layer + 1])


@part
def biases_of(network, padded, layer):
    """View the padded biases of a layer."""
    return stretch(padded, network.padded_biases[layer], network.padded[layer + 1])


@part
def _layers_of(network, vector, padded, layer):
    """View a layer's weights in both places as (fan_in, fan_out) or larger, and its biases."""
    fan_in, fan_out = network.sizes[layer], network.sizes[layer + 1]
    w = matrix(vector, network.weights[layer], fan_in, fan_out)
    padded_w = weights_of(network, padded, layer)
    if is_by_unit(network, layer):
        padded_w = padded_w.T
    return (
        w,
        padded_w,
        stretch(vector, network.biases[layer], fan_out),
        biases_of(network, padded, layer),
    )


@part
def pack(network, vector, padded):
    """Copy a parameter vector, or one like it, to its padded copy."""
    for layer in range(network.activations.size):
        w, padded_w, b, padded_b = _layers_of(network, vector, padded, layer)
        for k in range(w.shape[0]):
            for j in range(w.shape[1]):
                padded_w[k, j] = w[k, j]
        for j in range(b.size):
            padded_b[j] = b[j]


@part
def unpack(network, padded, vector):
    """Copy a padded copy back."""
    for i in range(vector.size):
        vector[i] = 0
    unpack_and_add(network, padded, vector)


@part
def unpack_and_add(network, padded, vector):
    """Add a padded copy to a vector."""
    for layer in range(network.activations.size):
        w, padded_w, b, padded_b = _layers_of(network, vector, padded, layer)
        for k in range(w.shape[0]):
            for j in range(w.shape[1]):
                w[k, j] += padded_w[k, j]
        for j in range(b.size):
            b[j] += padded_b[j]


@part
def transposed_of(network, workspace, layer):
    """Weights of a layer between first and last, input by input: (fan_in, padded fan_out)."""
    start = workspace.transposed_starts[layer]
    return matrix(workspace.transposed, start, network.sizes[layer], network.padded[layer + 1])


@part
def transpose_layers(network, workspace):
    """Renew the transposed weights after the weights have changed."""
    for layer in range(1, network.activations.size - 1):
        transpose_units(network, workspace, layer, 0, network.sizes[layer + 1])


@part
def transpose_units(network, workspace, layer, begin, end):
    """Renew those of some units of a layer, from the beginning of a vector on."""
    n_units = smaller(end, network.sizes[layer + 1]) - begin
    transpose(
        columns(weights_of(network, workspace.parameters, layer).T, begin, n_units).T,
        columns(transposed_of(network, workspace, layer), begin, n_units),
    )
