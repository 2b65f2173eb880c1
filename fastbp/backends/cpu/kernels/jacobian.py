"""Derivatives of a network's predictions, with respect to its inputs and to its parameters.

Both are backpropagation with 1 in the place of an output's error, so that what comes down is

    delta = d f_k / d z                 of a layer's net inputs z, for the output k
    d f_k / d x = delta W^T             of the first layer: the error signals of the inputs
    d f_k / d W = outer(x, delta),      d f_k / d b = delta

A softmax starts from d p_k / d z_j = p_k (delta_jk - p_j). There is a backward pass for each
output; the forward pass is made once, and its slopes are kept for them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.kernels.layers import n_vectors
from fastbp.backends.cpu.kernels.packing import (
    is_by_unit,
    pack,
    transpose_layers,
    weights_of,
)
from fastbp.backends.cpu.kernels.passes import activate_output, block_of, forward_block, send_below
from fastbp.backends.cpu.kernels.workspace import Workspace, cut
from fastbp.backends.cpu.layout import Layout
from fastbp.machine.chip import VECTOR_BYTES
from fastbp.machine.extremes import smaller
from fastbp.machine.jit import kernel, part
from fastbp.machine.matmul import scale_by_product
from fastbp.machine.simd import lanes, load, splat, store
from fastbp.machine.transpose import transpose
from fastbp.machine.views import matrix, row, stretch
from fastbp.model.data import Data

__all__ = [
    "DerivativeWorkspace",
    "backward",
    "copy",
    "input_gradient",
    "make_derivative_workspace",
    "parameter_jacobian",
    "write_row",
]


class DerivativeWorkspace(NamedTuple):
    """What derivatives take beside a `Workspace`.

    Attributes
    ----------
    slopes : ndarray
        The slopes f'(z) of the block, which a backward pass overwrites in the workspace.
    first : ndarray
        The first layer's weights unit by unit, (fan_out, padded fan_in).
    row : ndarray
        One row of the Jacobian, in whole vectors and a vector more.
    """

    slopes: NDArray[np.floating]
    first: NDArray[np.floating]
    row: NDArray[np.floating]


def make_derivative_workspace(
    layout: Layout, workspace: Workspace, n_parameters: int, dtype: np.typing.DTypeLike
) -> DerivativeWorkspace:
    """Make one for the blocks of a workspace."""
    dtype = np.dtype(dtype)
    lengths = {
        "slopes": workspace.deltas.size,
        "first": int(layout.sizes[1] * layout.padded[0]),
        "row": n_parameters + 2 * VECTOR_BYTES // dtype.itemsize,
    }
    return DerivativeWorkspace(**cut(lengths, dtype))


@kernel
def input_gradient(
    network: Layout, parameters, data: Data, rows, workspace: Workspace,
    derivatives: DerivativeWorkspace, gradient,
):  # fmt: skip
    """Differentiate some rows' predictions with respect to their inputs.

    network : Layout, for training.  parameters : (n_parameters,).  data : Data, of which y is not
    read.  rows : (n,) row numbers.  derivatives : DerivativeWorkspace.
    gradient : (n * n_outputs, n_features), overwritten.
    """
    n_outputs = network.sizes[network.activations.size]
    pack(network, parameters, workspace.parameters)
    transpose_layers(network, workspace)
    w = weights_of(network, workspace.parameters, 0)
    if not is_by_unit(network, 0):
        by_unit = matrix(derivatives.first, 0, network.sizes[1], network.padded[0])
        transpose(w, by_unit)
        w = by_unit
    for start in range(0, rows.size, workspace.block_rows):
        n = smaller(workspace.block_rows, rows.size - start)
        _forward(network, data, stretch(rows, start, n), workspace, derivatives)
        for output in range(n_outputs):
            _start_from(network, workspace, derivatives, output, n)
            backward(network, workspace, n)
            below = block_of(network, workspace.deltas, workspace, 0, n)
            for i in range(0, below.size, lanes(below)):  # the inputs' slopes
                store(workspace.deltas, workspace.starts[0] + i, splat(workspace.deltas, 1.0))
            delta = _signals(network, workspace, 0, n)
            scale_by_product(delta, w, below, n_vectors(gradient.shape[1], below))
            for i in range(n):
                target = row(gradient, (start + i) * n_outputs + output)
                for k in range(target.size):
                    target[k] = below[i, k]


@kernel
def parameter_jacobian(
    network: Layout, parameters, data: Data, rows, workspace: Workspace,
    derivatives: DerivativeWorkspace, jacobian,
):  # fmt: skip
    """Differentiate some rows' predictions with respect to the parameters; not of a softmax.

    As `input_gradient`, but for jacobian : (n * n_outputs, n_parameters), overwritten.
    """
    n_outputs = network.sizes[network.activations.size]
    pack(network, parameters, workspace.parameters)
    transpose_layers(network, workspace)
    for start in range(0, rows.size, workspace.block_rows):
        n = smaller(workspace.block_rows, rows.size - start)
        _forward(network, data, stretch(rows, start, n), workspace, derivatives)
        for output in range(n_outputs):
            _start_from(network, workspace, derivatives, output, n)
            backward(network, workspace, n)
            for i in range(n):
                write_row(network, workspace, derivatives.row, output, i, n)
                target = row(jacobian, (start + i) * n_outputs + output)
                for k in range(target.size):
                    target[k] = derivatives.row[k]


@part
def _forward(network, data, rows, workspace, derivatives):
    """Forward pass of a block; keeps the slopes where more than one backward pass needs them."""
    forward_block(network, data, rows, workspace)
    activate_output(network, workspace, rows.size)
    if network.sizes[network.activations.size] > 1:
        copy(workspace.deltas, derivatives.slopes)


@part
def copy(source, target):
    """Copy whole vectors."""
    for i in range(0, source.size, lanes(source)):
        store(target, i, load(source, i))


@part
def _start_from(network, workspace, derivatives, output, n):
    """Error signals of the output layer: the derivatives of one output by all net inputs."""
    last = network.activations.size
    start, n_block, n_outputs = workspace.starts[last], workspace.block_rows, network.sizes[last]
    if n_outputs > 1:
        copy(derivatives.slopes, workspace.deltas)
    for j in range(n_outputs):
        is_other = j != output
        for i in range(n):
            place = start + j * n_block + i
            if network.softmax_of_rows != 0:
                p = workspace.outputs[start + output * n_block + i]
                workspace.deltas[place] = p * ((0 if is_other else 1) - workspace.outputs[place])
            elif is_other:
                workspace.deltas[place] = 0


@part
def _signals(network, workspace, layer, n):
    """View the error signals of the units of a layer, counted from 0, as (n, units)."""
    last = network.activations.size - 1
    if layer == last:
        start, n_outputs = workspace.starts[last + 1], network.sizes[last + 1]
        return matrix(workspace.deltas, start, n_outputs, workspace.block_rows).T
    return block_of(network, workspace.deltas, workspace, layer + 1, n)


@part
def backward(network, workspace, n):
    """Error signals of all hidden layers, from those of the output layer."""
    for layer in range(network.activations.size - 1, 0, -1):
        x = block_of(network, workspace.outputs, workspace, layer, n)
        w = weights_of(network, workspace.parameters, layer)
        send_below(network, workspace, layer, _signals(network, workspace, layer, n), w, x)


@part
def write_row(network, workspace, line, output, i, n):
    """Write row i of the block's rows of J for an output, in the order of the parameter vector.

    The output is no softmax's. Vectors are written to where they end within a matrix's row, and the
    next row is written over what was too long: ``line`` is a vector longer than J is wide.
    """
    last = network.activations.size - 1
    for layer in range(last):
        x = row(block_of(network, workspace.outputs, workspace, layer, n), i)
        delta = row(block_of(network, workspace.deltas, workspace, layer + 1, n), i)
        fan_out = network.sizes[layer + 1]
        for k in range(network.sizes[layer]):
            place, x_k = network.weights[layer] + k * fan_out, splat(x, x[k])
            for j in range(0, fan_out, lanes(x)):
                store(line, place + j, x_k * load(delta, j))
    x = row(block_of(network, workspace.outputs, workspace, last, n), i)
    n_outputs, place = network.sizes[last + 1], network.weights[last]
    start = workspace.starts[last + 1] + output * workspace.block_rows
    signal = workspace.deltas[start + i]
    if n_outputs == 1:
        for k in range(0, network.sizes[last], lanes(x)):
            store(line, place + k, load(x, k) * splat(x, signal))
    else:
        for k in range(network.sizes[last]):
            for j in range(n_outputs):
                line[place + k * n_outputs + j] = x[k] * signal if j == output else 0
    for layer in range(last):
        delta = row(block_of(network, workspace.deltas, workspace, layer + 1, n), i)
        for j in range(0, network.sizes[layer + 1], lanes(x)):
            store(line, network.biases[layer] + j, load(delta, j))
    for j in range(n_outputs):
        line[network.biases[last] + j] = signal if j == output else 0
