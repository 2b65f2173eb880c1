"""How a fleet's epochs are launched: which kernel, how many blocks and threads, how much memory.

Online mode is a block for each network. So are mini-batches of many networks; those of a single one
are the whole grid's.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.kernels import (
    MAX_SLOTS,
    PARAMETERS_OF_A_CHUNK,
    ROWS_OF_A_CHUNK,
    LaunchArguments,
    Placement,
    State,
    batch_kernels,
    online_kernel,
    own_records_of,
    sample_placement,
    tile_placement,
)
from fastbp.backends.gpu.tiling import BYTES_OF_SUMS, TILES_OF_A_BATCH, Tile, n_threads_for
from fastbp.machine import gpu
from fastbp.model.fleet import FleetMember
from fastbp.model.update_rules import UpdateRule

__all__ = ["Launches", "make_launches"]


class Launches(Protocol):
    """How the epochs of a fleet are launched."""

    @property
    def placements(self) -> Sequence[Placement]:
        """How each network lies on the device."""
        ...

    def launch(self, state: State, arguments: LaunchArguments) -> None:
        """Begin to train the entries of a launch; returns before the device has ended."""
        ...


def make_launches(
    members: Sequence[FleetMember], tables: DeviceTables, rule: UpdateRule
) -> Launches:
    """Choose how a fleet is trained.

    Parameters
    ----------
    members : sequence of FleetMember
        Its networks. All are trained online, or none is.
    tables : DeviceTables
        Their data.
    rule : UpdateRule
        Their update rule.

    Returns
    -------
    launches : Launches
        How its epochs are launched.
    """
    if members[0].batch_size == 1:
        return _OnlineLaunches(members, tables, rule)
    return _BatchLaunches(members, tables)


def _widest_layer(members: Sequence[FleetMember]) -> int:
    return max(max(member.network.layer_sizes[1:]) for member in members)


class _OnlineLaunches:
    """A block for each network, which updates after every sample."""

    def __init__(
        self, members: Sequence[FleetMember], tables: DeviceTables, rule: UpdateRule
    ) -> None:
        self._inputs, itemsize = tables.inputs, tables.dtype.itemsize
        widest = _widest_layer(members)
        self._n_threads = n_threads_for(widest)
        own = own_records_of(member.network for member in members)
        self.placements = [
            sample_placement(member.network, self._n_threads, own) for member in members
        ]
        n_in, n_out = tables.inputs.X.shape[1], tables.inputs.y.shape[1]
        self._chunk_rows = max(1, min(ROWS_OF_A_CHUNK, 4096 // (n_in + n_out)))
        self._n_sums = max(self._n_threads, widest)
        n_units = max(placement.n_units for placement in self.placements)
        workspace = self._chunk_rows * (n_in + n_out) + self._n_sums + n_units
        n_moved = max(placement.n_moved for placement in self.placements)
        changing = (1 + rule.n_moments) * n_moved
        limit = gpu.max_shared_bytes() - BYTES_OF_SUMS
        in_shared = (changing + workspace) * itemsize <= limit
        self._kernel = online_kernel(rule.name, in_shared, own)
        self._shared_bytes = (in_shared * changing + workspace) * itemsize
        if self._shared_bytes > limit:
            raise MemoryError(
                f"A sample of the network with {n_in} inputs and layers of up to {widest} "
                f"units takes {self._shared_bytes} bytes of a GPU block's {limit}. Take "
                "batch_size=32 or so, or device='cpu'."
            )

    def launch(self, state: State, arguments: LaunchArguments) -> None:
        gpu.launch(
            self._kernel, arguments.networks.size, self._n_threads, self._shared_bytes,
            state, self._inputs, arguments, self._chunk_rows, self._n_sums,
        )  # fmt: skip


class _BatchLaunches:
    """Mini-batches: of a single network by the whole grid, of many by a block for each."""

    def __init__(self, members: Sequence[FleetMember], tables: DeviceTables) -> None:
        self._inputs, self._by_grid = tables.inputs, len(members) == 1
        self._known_max_blocks: int | None = None
        own = own_records_of(member.network for member in members)
        self.placements = [tile_placement(member.network, own) for member in members]
        batch_size = max(member.batch_size for member in members)
        largest = max(self.placements, key=lambda placement: placement.n_units)
        n_tiles, max_slots = (TILES_OF_A_BATCH, MAX_SLOTS) if self._by_grid else (1, 1)
        self._tile = tile = Tile.of(
            largest, tables.dtype, batch_size, _widest_layer(members), n_tiles
        )
        kernels = batch_kernels(tile.n_fours, tile.in_shared, own)
        self._kernel = kernels.batch_epochs if self._by_grid else kernels.many_batch_epochs
        n_slots = min(max_slots, math.ceil(batch_size / tile.n_rows))
        n_moved = max(placement.n_moved for placement in self.placements)
        n_chunks = math.ceil(n_moved / PARAMETERS_OF_A_CHUNK)
        self._n_useful = max(n_slots, min(n_chunks, TILES_OF_A_BATCH))
        n = len(members)
        n_blocks = self._n_useful if self._by_grid else n
        self._workspaces = tile.make_workspaces(n_blocks, tables.dtype)
        self._gradients = gpu.zeros((n, n_slots * n_moved), tables.dtype)
        self._shares = gpu.zeros((n, max_slots + n_chunks), np.float64)

    def launch(self, state: State, arguments: LaunchArguments) -> None:
        tile = self._tile
        all_arguments = (
            state, self._inputs, arguments, self._workspaces, tile.n_rows, self._gradients,
            self._shares,
        )  # fmt: skip
        n_blocks = arguments.networks.size
        if self._by_grid:
            n_blocks = min(self._n_useful, self._max_blocks(all_arguments))
        gpu.launch(self._kernel, n_blocks, tile.n_threads, tile.shared_bytes, *all_arguments)

    def _max_blocks(self, arguments: tuple[Any, ...]) -> int:
        """How many blocks the device holds at a time, so that they may wait for each other."""
        if self._known_max_blocks is None:
            self._known_max_blocks = gpu.max_blocks(
                self._kernel, self._tile.n_threads, self._tile.shared_bytes, *arguments
            )
        return self._known_max_blocks
