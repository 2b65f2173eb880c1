"""The room that backpropagation needs for one block of rows, sized once."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.network import Layout

__all__ = ["Workspace", "make_workspace"]

# A block's outputs and deltas, of all layers, are to stay in the first- or second-level cache
# from the forward to the backward pass.
_BLOCK_NUMBERS = 16384
_FEWEST_ROWS, _MOST_ROWS = 8, 128


class Workspace(NamedTuple):
    """Outputs, error signals and a gradient, for a block of rows.

    Attributes
    ----------
    outputs : ndarray of shape (block_rows * sum(sizes),)
        The inputs and then every layer's outputs, (rows, size) each, one after the other.
    deltas : ndarray of the same shape
        The slopes f'(z) on the way up, the error signals delta on the way down, at the same places.
    starts : ndarray of shape (n_layers + 1,)
        Where in both the input's and each layer's block begins.
    gradient : ndarray of shape (n_parameters,)
        The gradient of a mini-batch.
    one : ndarray of shape (1,)
        A place for a scalar that is passed as a vector of one.
    block_rows : int
        Rows of a block.
    """

    outputs: NDArray[np.floating]
    deltas: NDArray[np.floating]
    starts: NDArray[np.int64]
    gradient: NDArray[np.floating]
    one: NDArray[np.floating]
    block_rows: int


def make_workspace(layout: Layout, dtype: np.dtype) -> Workspace:
    """Make a workspace; its size depends on the network alone, and so do the sums made in it."""
    units = int(layout.sizes.sum())
    rows = min(max(_BLOCK_NUMBERS // units, _FEWEST_ROWS), _MOST_ROWS)
    n_parameters = layout.n_weights + int(layout.sizes[1:].sum())
    return Workspace(
        outputs=np.empty(rows * units, dtype),
        deltas=np.empty(rows * units, dtype),
        starts=np.cumsum([0, *(rows * layout.sizes[:-1])], dtype=np.int64),
        gradient=np.zeros(n_parameters, dtype),
        one=np.ones(1, dtype),
        block_rows=rows,
    )
