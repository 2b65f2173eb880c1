"""The normal equations of least squares: J'J and J'e, summed over blocks of rows.

With f_i the prediction of row i, w_i its weight and e_i = f_i - y_i its error, J has a row for each
row of the data (for each of its outputs, where there are several),

    J_i = sqrt(w_i) d f_i / d p          J'J = sum_i J_i' J_i         J'e = sum_i J_i' sqrt(w_i) e_i

A row of J is backpropagation with 1 in the place of the output's error (``jacobian.py``). J is
never whole: a block's rows of it are written to the workspace and multiplied while they are still
in the cache. They lie there in panels, so many columns wide as a tile of ``matmul.py`` has vectors,
each panel in one piece: the product of two panels is a square of J'J, and both stream through the
cache.

J'J is symmetric; of its squares those on and above the diagonal are computed. A thread takes some
rows of squares, and goes through all rows of the data for them: what each number is the sum of, and
in what order, depends on nothing else.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.kernels.jacobian import backward, copy, write_row
from fastbp.backends.cpu.kernels.layers import gather_targets, n_vectors
from fastbp.backends.cpu.kernels.packing import pack, transpose_layers
from fastbp.backends.cpu.kernels.passes import activate_output, forward_block
from fastbp.backends.cpu.kernels.workspace import Workspace, cut
from fastbp.backends.cpu.layout import Layout
from fastbp.machine.chip import VECTOR_BYTES
from fastbp.machine.extremes import smaller
from fastbp.machine.jit import kernel, part
from fastbp.machine.matmul import TILE_VECTORS, add_product
from fastbp.machine.simd import lanes, load, store
from fastbp.machine.views import columns, matrix, stretch
from fastbp.model.data import Data

__all__ = ["JacobianWorkspace", "add_normal_equations", "make_jacobian_workspace", "panel_width"]


class JacobianWorkspace(NamedTuple):
    """What a block's rows of J are written to.

    Attributes
    ----------
    slopes : ndarray
        The slopes f'(z) of the block, which a backward pass overwrites in the workspace.
    row : ndarray
        One row of J, in whole panels and a vector more.
    panels : ndarray
        The block's rows of J: panel after panel, (block_rows, panel width) each.
    roots : ndarray of shape (block_rows,)
        The square roots of the sample weights.
    errors : ndarray of shape (block_rows,)
        sqrt(w) e of one output.
    """

    slopes: NDArray[np.floating]
    row: NDArray[np.floating]
    panels: NDArray[np.floating]
    roots: NDArray[np.floating]
    errors: NDArray[np.floating]


def panel_width(dtype: np.typing.DTypeLike) -> int:
    """Columns of J in a panel."""
    return TILE_VECTORS * (VECTOR_BYTES // np.dtype(dtype).itemsize)


def make_jacobian_workspace(
    layout: Layout, workspace: Workspace, n_parameters: int, dtype: np.typing.DTypeLike
) -> JacobianWorkspace:
    """Make one for the blocks of a workspace."""
    dtype, width, rows = np.dtype(dtype), panel_width(dtype), workspace.block_rows
    n_padded = -(-n_parameters // width) * width
    lengths = {
        "slopes": workspace.deltas.size,
        "row": n_padded + VECTOR_BYTES // dtype.itemsize,
        "panels": n_padded * rows,
        "roots": rows,
        "errors": rows,
    }
    return JacobianWorkspace(**cut(lengths, dtype))


@kernel
def add_normal_equations(
    network: Layout, parameters, data: Data, rows, workspace: Workspace,
    jacobian: JacobianWorkspace, first, last, products, gradient, total_weight,
):  # fmt: skip
    """Add J'J and J'e of some rows to sums.

    network : Layout.  parameters : (n_parameters,).  data : Data.  rows : (n,) row numbers.
    jacobian : JacobianWorkspace.  first, last : the panels whose rows of J'J are wanted.
    gradient : (n_padded,), J'e is added to it; n_padded is n_parameters in whole vectors, which may
    be fewer numbers than the panels hold, or more.
    products : (n_padded * n_padded,), the squares of J'J on and above the diagonal are added to it.
    Both are changed in those panels' rows alone.
    total_weight : the w_i are divided by it.
    Returns the sum of w_i * loss_i, a float64.
    """
    pack(network, parameters, workspace.parameters)
    transpose_layers(network, workspace)
    total = 0.0
    for start in range(0, rows.size, workspace.block_rows):
        block = stretch(rows, start, smaller(workspace.block_rows, rows.size - start))
        forward_block(network, data, block, workspace)
        activate_output(network, workspace, block.size)
        copy(workspace.deltas, jacobian.slopes)
        gather_targets(data, block, workspace)
        for i in range(block.size):
            jacobian.roots[i] = sqrt(workspace.row_weights[i] / total_weight)
        for output in range(data.y.shape[1]):
            copy(jacobian.slopes, workspace.deltas)
            total += _start_from(network, workspace, jacobian, output, block.size)
            backward(network, workspace, block.size)
            for i in range(block.size):
                write_row(network, workspace, jacobian.row, output, i, block.size)
                _write_to_panels(workspace, jacobian, i, parameters.size)
            _add_squares(jacobian, block.size, first, last, products, gradient)
    return total


@part
def _start_from(network, workspace, jacobian, output, n):
    """Error signals of the output layer: sqrt(w) f'(z) for one output, 0 for the others.

    Returns the sum of w e^2 / 2 of that output.
    """
    total = 0.0
    start, n_block = workspace.starts[network.activations.size], workspace.block_rows
    for j in range(network.sizes[network.activations.size]):
        for i in range(n):
            place = start + j * n_block + i
            if j == output:
                error = workspace.outputs[place] - workspace.targets[j * n_block + i]
                jacobian.errors[i] = jacobian.roots[i] * error
                total += 0.5 * float(jacobian.errors[i]) * float(jacobian.errors[i])
                workspace.deltas[place] *= jacobian.roots[i]
            else:
                workspace.deltas[place] = 0
    return total


@part
def _write_to_panels(workspace, jacobian, i, n_parameters):
    """Copy row i of the block's rows of J to the panels.

    What comes behind the last parameter makes numbers of J'J that nobody reads.
    """
    line = jacobian.row
    width = TILE_VECTORS * lanes(line)
    for k in range(0, n_parameters, width):
        place = k * workspace.block_rows + i * width
        for j in range(0, width, lanes(line)):
            store(jacobian.panels, place + j, load(line, k + j))


@part
def _panel(jacobian, panel, n):
    """View a panel's columns of the block's n rows of J."""
    width = TILE_VECTORS * lanes(jacobian.row)
    return matrix(jacobian.panels, panel * jacobian.roots.size * width, n, width)


@part
def _add_squares(jacobian, n, first, last, products, gradient):
    """Add the block's part of J'J, square by square from the diagonal to the right, and of J'e."""
    width = TILE_VECTORS * lanes(jacobian.row)
    errors = matrix(jacobian.errors, 0, 1, n)
    end = smaller(gradient.size, jacobian.row.size - lanes(jacobian.row))  # of the panels
    for p in range(first, last):
        left, begin = _panel(jacobian, p, n), p * width
        height = smaller(width, end - begin)
        add_product(errors, left, matrix(gradient, begin, 1, height), n_vectors(height, left))
        lines = matrix(products, begin * gradient.size, height, gradient.size)
        for corner in range(begin, end, width):
            square = columns(lines, corner, smaller(width, end - corner))
            right = _panel(jacobian, corner // width, n)
            add_product(left.T, right, square, n_vectors(square.shape[1], left))
