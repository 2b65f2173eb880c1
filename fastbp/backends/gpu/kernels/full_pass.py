"""A pass over many rows on the GPU: their gradients and losses, summed, or their predictions.

The rows are cut into tiles (``tiles.py``) and the tiles dealt to slots (``slots.py``), each of
which a block sums up.
"""

from functools import cache
from typing import Any, NamedTuple

from fastbp.backends.gpu.kernels.epoch_end import MAX_THREADS, block_sum
from fastbp.backends.gpu.kernels.placement import (
    N_IN,
    N_LAYERS,
    N_MOVED,
    N_OUT,
    NOTHING_OWN,
    OUTPUTS,
)
from fastbp.backends.gpu.kernels.slots import add_slots
from fastbp.backends.gpu.kernels.tiles import (
    PADDING,
    gather,
    network_of,
    passes,
)
from fastbp.machine.gpu_kernels import cuda, kernel

__all__ = ["FullPassKernels", "add_up", "full_pass_kernels"]


class FullPassKernels(NamedTuple):
    """The kernels that go through tiles, for tiles of one kind."""

    sum_rows: Any
    predict: Any


@kernel
def add_up(gradients, n_slots, gradient):
    """Add up slots in their order.

    gradients : (n_slots * n_moved,).  gradient : (n_moved,).
    """
    n_moved = gradient.size
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    while i < n_moved:
        gradient[i] = add_slots(gradients, n_moved, i, n_slots)
        i += cuda.gridDim.x * cuda.blockDim.x


@cache
def full_pass_kernels(n_fours, in_shared, own=NOTHING_OWN):
    """Make the kernels whose threads take 4 * n_fours rows each.

    ``in_shared`` says where tiles lie: in the chip's shared memory, or else in ``workspaces``,
    (n_blocks, numbers of a tile), in the device's.  own : OwnRecords, a user's own activations and
    losses.

    Returns
    -------
    kernels : FullPassKernels
        The kernels, which are compiled when they are launched.
    """
    forward, add_tile = passes(n_fours, own)

    @kernel
    def sum_rows(state, data, rows, tile_rows, workspaces, gradients, losses):
        """Gradients and losses of some rows, slot by slot: sum_i w_i grad loss_i, sum_i w_i loss_i.

        rows : (n,) row numbers.  tile_rows : rows of a tile.  gradients : (n_slots * n_moved,).
        losses : (n_slots,).
        """
        sums = cuda.shared.array(MAX_THREADS, "float64")
        if in_shared:
            workspace = cuda.shared.array(0, workspaces.dtype, 16)
        else:
            workspace = workspaces[cuda.blockIdx.x]
        network = network_of(state, 0)
        n_tiles, n_slots = (rows.size + tile_rows - 1) // tile_rows, losses.size
        for slot in range(cuda.blockIdx.x, n_slots, cuda.gridDim.x):
            total = 0.0
            for tile in range(slot, n_tiles, n_slots):
                start = tile * tile_rows
                total += add_tile(
                    network, data, rows, start, min(tile_rows, rows.size - start), workspace,
                    tile_rows, gradients[slot * network.layout[0, N_MOVED] :], tile == slot,
                )  # fmt: skip
            total = block_sum(total, sums)
            if cuda.threadIdx.x == 0:
                losses[slot] = total

    @kernel
    def predict(state, data, rows, tile_rows, workspaces, prediction):
        """Predict some rows.  rows : (n,) row numbers.  prediction : (n, n_outputs)."""
        if in_shared:
            workspace = cuda.shared.array(0, workspaces.dtype, 16)
        else:
            workspace = workspaces[cuda.blockIdx.x]
        network = network_of(state, 0)
        layout, stride = network.layout, tile_rows + PADDING
        last = layout[0, N_LAYERS]
        n_tiles, n_out = (rows.size + tile_rows - 1) // tile_rows, layout[last, N_OUT]
        for tile in range(cuda.blockIdx.x, n_tiles, cuda.gridDim.x):
            start = tile * tile_rows
            count = min(tile_rows, rows.size - start)
            gather(data, rows, start, count, workspace, stride, 1, layout[1, N_IN], tile_rows)
            cuda.syncthreads()
            forward(network, workspace, stride, tile_rows)
            outputs = workspace[layout[last, OUTPUTS] * stride :]
            item = cuda.threadIdx.x
            while item < count * n_out:
                i, j = item // n_out, item % n_out
                prediction[start + i, j] = outputs[j * stride + i]
                item += cuda.blockDim.x
            cuda.syncthreads()

    return FullPassKernels(sum_rows, predict)
