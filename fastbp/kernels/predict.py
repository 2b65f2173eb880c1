"""The forward pass alone."""

from fastbp.kernels.elementwise import activate
from fastbp.kernels.layers import forward, gather
from fastbp.kernels.passes import layer_of
from fastbp.machine.jit import kernel
from fastbp.machine.views import matrix, stretch

__all__ = ["predict"]


@kernel
def predict(network, parameters, data, rows, workspace, prediction):
    """Predict some rows.

    network : Layout.  parameters : (n_parameters,).  data : Data, of which y is not read.
    rows : (n,) row numbers.  prediction : (n, n_outputs), overwritten.
    """
    last = network.activations.size
    for start in range(0, rows.size, workspace.block_rows):
        block = stretch(rows, start, min(workspace.block_rows, rows.size - start))
        n = block.size
        x = matrix(workspace.outputs, 0, n, network.sizes[0])
        gather(data, block, x)
        for layer in range(last):
            w, b = layer_of(network, parameters, layer)
            begin = workspace.starts[layer + 1]
            z = matrix(workspace.outputs, begin, n, b.size)
            forward(x, w, b, z)
            activate(network.activations[layer], stretch(workspace.outputs, begin, z.size))
            x = z
        prediction[start : start + n] = x
