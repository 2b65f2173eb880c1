"""How rows are cut into tiles, and how many threads and how much memory a tile takes."""

import math
from typing import Any, NamedTuple

import numpy as np

from fastbp.backends.gpu.kernels import MOST_THREADS, PADDING, Kernels, Placement, batch_kernels
from fastbp.machine import gpu

__all__ = ["BYTES_OF_SUMS", "TILES_OF_A_BATCH", "Tile", "n_threads_for"]

#: Tiles that a batch is cut into at least, if they can be of eight rows: about one for each
#: multiprocessor of a large GPU. It is no number of this device, so that the bits do not depend on
#: it.
TILES_OF_A_BATCH = 128
_TILE_ROWS = (8, 16, 32, 64)
#: Of a block's shared memory, where its threads add up the loss.
BYTES_OF_SUMS = 8 * MOST_THREADS
_THREADS_OF_THE_SIMULATOR = 4


def n_threads_for(n_units: int) -> int:
    """Choose threads for a block with so much to do at a time: whole warps."""
    if gpu.SIMULATED:
        return _THREADS_OF_THE_SIMULATOR
    return min(MOST_THREADS, 32 * math.ceil(n_units / 32))


class Tile(NamedTuple):
    """How a batch is cut: rows of a tile, threads of its block, and where it lies."""

    n_rows: int
    n_threads: int
    in_shared: bool
    shared_bytes: int
    room: int

    @classmethod
    def of(
        cls, placement: Placement, dtype: np.dtype, batch_size: int, widest: int, n_wanted: int
    ) -> "Tile":
        """Choose the tiles of a batch, of which there are to be so many if it has the rows."""
        fitting = [n for n in _TILE_ROWS if n * n_wanted >= batch_size] or [_TILE_ROWS[-1]]
        wanted = n_rows = fitting[0]
        limit = gpu.most_shared_bytes() - BYTES_OF_SUMS
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
                MOST_THREADS
                if n_wanted > 1
                else max(64, widest * n_rows // (16 * _n_fours(n_rows)))
            ),
            in_shared,
            n_bytes,
            placement.n_units * (n_rows + PADDING),
        )

    @property
    def kernels(self) -> Kernels:
        """The kernels for such tiles."""
        return batch_kernels(_n_fours(self.n_rows), self.in_shared)

    def rooms(self, n_blocks: int, dtype: np.dtype) -> Any:
        """Make the rooms of so many blocks; in shared memory, only what tells their dtype."""
        return gpu.zeros((1, 1) if self.in_shared else (n_blocks, self.room), dtype)


def _n_fours(n_rows: int) -> int:
    return 2 if n_rows >= 32 else 1


def _bytes_of_a_tile(placement: Placement, dtype: np.dtype, n_rows: int) -> int:
    return placement.n_units * (n_rows + PADDING) * dtype.itemsize
