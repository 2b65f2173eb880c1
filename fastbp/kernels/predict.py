"""The forward pass alone."""

from fastbp.kernels.batch import layer_of
from fastbp.kernels.elementwise import activate
from fastbp.kernels.layers import forward, gather
from fastbp.machine.jit import kernel

__all__ = ["predict"]


@kernel
def predict(network, parameters, data, rows, workspace, prediction):
    """Predict some rows.

    network : Layout.  parameters : (n_parameters,).  data : Data, of which y is not read.
    rows : (n,) row numbers.  prediction : (n, n_outputs), overwritten.
    """
    last = network.activations.size
    for start in range(0, rows.size, workspace.block_rows):
        block = rows[start : min(start + workspace.block_rows, rows.size)]
        n = block.size
        x = workspace.outputs[: n * network.sizes[0]].reshape(n, network.sizes[0])
        gather(data, block, x)
        for layer in range(last):
            w, b = layer_of(network, parameters, layer)
            begin = workspace.starts[layer + 1]
            z = workspace.outputs[begin : begin + n * b.size].reshape(n, b.size)
            forward(x, w, b, z)
            activate(network.activations[layer], z.reshape(z.size))
            x = z
        prediction[start : start + n] = x
