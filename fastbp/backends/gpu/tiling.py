"""How rows are cut into tiles, and how many threads and how much memory a tile takes."""

import math
from typing import Any, NamedTuple

import numpy as np

from fastbp.backends.gpu.kernels import MAX_THREADS, PADDING, Placement
from fastbp.machine import gpu

__all__ = ["BYTES_OF_SUMS", "TILES_OF_A_BATCH", "Tile", "n_threads_for"]

#: Tiles that a batch is cut into at least, if they can be of eight rows: about one for each
#: multiprocessor of a large GPU. It is no number of this device, so that the bits do not depend on
#: it.
TILES_OF_A_BATCH = 128
_TILE_ROWS = (8, 16, 32, 64)
#: Of a block's shared memory, where its threads add up the loss.
BYTES_OF_SUMS = 8 * MAX_THREADS
_THREADS_IN_THE_SIMULATOR = 4


def n_threads_for(n_units: int) -> int:
    """Choose threads for a block with so much to do at a time: whole warps."""
    if gpu.SIMULATED:
        return _THREADS_IN_THE_SIMULATOR
    return min(MAX_THREADS, 32 * math.ceil(n_units / 32))


class Tile(NamedTuple):
    """How a batch is cut.

    Attributes
    ----------
    n_rows : int
        Rows of a tile.
    n_threads : int
        Threads of its block.
    in_shared : bool
        Whether it lies in the chip's shared memory.
    shared_bytes : int
        How much of that it takes.
    workspace_size : int
        How many numbers it has.
    """

    n_rows: int
    n_threads: int
    in_shared: bool
    shared_bytes: int
    workspace_size: int

    @classmethod
    def of(
        cls, placement: Placement, dtype: np.dtype, batch_size: int, widest: int, n_wanted: int
    ) -> "Tile":
        """Choose the tiles of a batch.

        Parameters
        ----------
        placement : Placement
            The network's.
        dtype : dtype
            float64 or float32.
        batch_size : int
            Rows of the batch.
        widest : int
            Units of the widest layer.
        n_wanted : int
            How many tiles there are to be, if the batch has the rows.

        Returns
        -------
        tile : Tile
            The largest that gives so many and fits the shared memory, or else the device's.
        """
        fitting = [n for n in _TILE_ROWS if n * n_wanted >= batch_size] or [_TILE_ROWS[-1]]
        wanted = n_rows = fitting[0]
        limit = gpu.max_shared_bytes() - BYTES_OF_SUMS
        while n_rows > _TILE_ROWS[0] and _bytes_of_a_tile(placement, dtype, n_rows) > limit:
            n_rows //= 2
        n_bytes = _bytes_of_a_tile(placement, dtype, n_rows)
        in_shared = n_bytes <= limit
        if not in_shared:
            n_rows, n_bytes = wanted, 0
        return cls(
            n_rows,
            # A multiprocessor has one such block, or several small networks'.
            n_threads_for(
                MAX_THREADS if n_wanted > 1 else max(64, widest * n_rows // (16 * _n_fours(n_rows)))
            ),
            in_shared,
            n_bytes,
            placement.n_units * (n_rows + PADDING),
        )

    @property
    def n_fours(self) -> int:
        """How many times four rows a thread takes."""
        return _n_fours(self.n_rows)

    def make_workspaces(self, n_blocks: int, dtype: np.dtype) -> Any:
        """Make the workspaces of some blocks; in shared memory, only what tells their dtype."""
        return gpu.zeros((1, 1) if self.in_shared else (n_blocks, self.workspace_size), dtype)


def _n_fours(n_rows: int) -> int:
    return 2 if n_rows >= 32 else 1


def _bytes_of_a_tile(placement: Placement, dtype: np.dtype, n_rows: int) -> int:
    return placement.n_units * (n_rows + PADDING) * dtype.itemsize
