"""The forward pass alone."""

from fastbp.backends.cpu.kernels.packing import pack, transpose_layers
from fastbp.backends.cpu.kernels.passes import activate_output, forward_block
from fastbp.backends.cpu.kernels.workspace import Workspace
from fastbp.backends.cpu.layout import Layout
from fastbp.machine.extremes import smaller
from fastbp.machine.jit import kernel
from fastbp.machine.views import stretch

__all__ = ["predict"]


@kernel
def predict(network: Layout, parameters, data, rows, workspace: Workspace, prediction):
    """Predict some rows.

    network : Layout.  parameters : (n_parameters,); none where the workspace holds them already.
    data : Data, of which y is not read.  rows : (n,) row numbers.
    prediction : (n, n_outputs), overwritten.
    """
    if parameters.size > 0:
        pack(network, parameters, workspace.parameters)
    transpose_layers(network, workspace)
    last = network.activations.size
    for start in range(0, rows.size, workspace.block_rows):
        n = smaller(workspace.block_rows, rows.size - start)
        forward_block(network, data, stretch(rows, start, n), workspace)
        activate_output(network, workspace, n)
        for j in range(network.sizes[last]):
            place = workspace.starts[last] + j * workspace.block_rows
            for i in range(n):
                prediction[start + i, j] = workspace.outputs[place + i]
