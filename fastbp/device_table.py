"""A network's data on the GPU, for passes over all of its rows; and how rows are cut into tiles.

`DeviceTable` is what batch solvers and predictions use; ``fleet.py`` trains in batches on the same
tiles.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.cuda import (
    MOST_SLOTS,
    MOST_THREADS,
    PADDING,
    Inputs,
    Kernels,
    Placement,
    State,
    batch_kernels,
    tile_placement,
)
from fastbp.data import Data
from fastbp.machine import gpu
from fastbp.network import Network

__all__ = [
    "BYTES_OF_SUMS",
    "TILES_OF_A_BATCH",
    "DeviceTable",
    "DeviceTables",
    "Tile",
    "n_threads_for",
]

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


class DeviceTables:
    """Tables of data on the device, one behind another.

    Parameters
    ----------
    tables : sequence of Data
        Of one dtype and one number of features and outputs, all dense or all sparse.

    Attributes
    ----------
    tables : sequence of Data
        The same, on the host.
    inputs : Inputs
        All of them on the device.
    starts : ndarray of shape (n_tables,)
        The number of each table's first row there.
    """

    def __init__(self, tables: Sequence[Data]) -> None:
        self.tables = tables
        self.starts = np.cumsum([0, *(table.n_samples for table in tables[:-1])])
        n_values = np.cumsum([0, *(len(table.values) for table in tables[:-1])])
        # Each table's rows begin where the last one's end: that is said once.
        row_starts = [
            table.row_starts[min(i, 1) :] + n
            for i, (table, n) in enumerate(zip(tables, n_values, strict=True))
        ]
        is_weighted = any(len(table.weights) for table in tables)
        weights = [
            np.ones(table.n_samples) if is_weighted and not len(table.weights) else table.weights
            for table in tables
        ]
        arrays = Inputs(
            X=np.concatenate([table.X for table in tables]),
            values=np.concatenate([table.values for table in tables]),
            columns=np.concatenate([table.columns for table in tables]),
            row_starts=np.concatenate(row_starts),
            y=np.concatenate([table.y for table in tables]),
            weights=np.concatenate(weights).astype(self.dtype),
        )
        self.inputs = Inputs(*(gpu.to_device(array) for array in arrays))

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32."""
        return self.tables[0].dtype


class DeviceTable:
    """A network and its data on the device.

    Parameters
    ----------
    network : Network
        The network.
    tables : DeviceTables
        Where its data are; without targets for predictions alone.
    i : int, default=0
        Which of the tables it is.
    """

    def __init__(self, network: Network, tables: DeviceTables, i: int = 0) -> None:
        self._placement = placement = tile_placement(network)
        self._inputs, self._dtype = tables.inputs, tables.dtype
        data = tables.tables[i]
        n, self._n_outputs = data.n_samples, network.layer_sizes[-1]
        self._n_weights, self._total_weight = network.n_weights, data.total_weight
        widest = max(network.layer_sizes[1:])
        self._tile = Tile.of(placement, self._dtype, n, widest, TILES_OF_A_BATCH)
        self._n_slots = min(MOST_SLOTS, math.ceil(n / self._tile.n_rows))
        self._rows = gpu.to_device((tables.starts[i] + np.arange(n)).astype(np.int32))
        self._rooms = self._tile.rooms(self._n_slots, self._dtype)
        self._gradients: Any = None
        self._state = State(
            plans=gpu.to_device(placement.plan.reshape(1, *placement.plan.shape)),
            starts=gpu.zeros(1, np.int64),
            parameters=None,  # they come with each launch
            first=gpu.zeros(1, self._dtype),
            second=gpu.zeros(1, self._dtype),
            loss_parameters=gpu.to_device(
                network.loss_parameter_of_outputs.astype(self._dtype)[None]
            ),
            copies=gpu.zeros(1, np.int64),
            n_steps=gpu.zeros(1, np.int64),
        )

    def loss_and_gradient(
        self, parameters: NDArray[np.floating], alpha: float
    ) -> tuple[float, NDArray[np.floating]]:
        """Loss and its gradient over all rows, weight decay included; see `Objective`.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector, of the data's dtype.
        alpha : float
            Strength of the weight decay.

        Returns
        -------
        loss : float
            The objective L, a mean over rows.
        gradient : ndarray of shape (n_parameters,)
            Its gradient, a new array.
        """
        loss, gradient = self.sums(parameters)
        weights, dtype = parameters[: self._n_weights], parameters.dtype.type
        gradient[: self._n_weights] += dtype(alpha) * weights
        gradient /= dtype(self._total_weight)
        penalty = 0.5 * alpha * float(np.square(weights, dtype=np.float64).sum())
        return (loss + penalty) / self._total_weight, gradient

    def sums(self, parameters: NDArray[np.floating]) -> tuple[float, NDArray[np.floating]]:
        """Sum of the weighted losses of all rows, and its gradient.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector, of the data's dtype.

        Returns
        -------
        loss : float
            sum_i w_i loss_i.
        gradient : ndarray of shape (n_parameters,)
            Its gradient, a new array.
        """
        tile, n_moved = self._tile, self._placement.n_moved
        if self._gradients is None:
            self._gradients = gpu.zeros(self._n_slots * n_moved, self._dtype)
            self._losses = gpu.zeros(self._n_slots, np.float64)
            self._gradient = gpu.zeros(n_moved, self._dtype)
        self._launch(tile.kernels.sum_rows, parameters, self._gradients, self._losses)
        n_threads = n_threads_for(MOST_THREADS)
        n_blocks = math.ceil(n_moved / n_threads)
        gpu.launch(
            tile.kernels.add_up, n_blocks, n_threads, 0,
            self._gradients, self._n_slots, self._gradient,
        )  # fmt: skip
        gradient = self._placement.gather(gpu.to_host(self._gradient))
        return float(gpu.to_host(self._losses).sum()), gradient

    def predict(self, parameters: NDArray[np.floating]) -> NDArray[np.floating]:
        """Predict all rows.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector, of the data's dtype.

        Returns
        -------
        prediction : ndarray of shape (n_samples, n_outputs)
            The outputs.
        """
        prediction = gpu.zeros((self._rows.size, self._n_outputs), self._dtype)
        self._launch(self._tile.kernels.predict, parameters, prediction)
        return gpu.to_host(prediction)

    def _launch(self, kernel: Any, parameters: NDArray[np.floating], *results: Any) -> None:
        placed = gpu.to_device(self._placement.place(parameters))
        state = self._state._replace(parameters=placed)
        tile = self._tile
        gpu.launch(
            kernel, self._n_slots, tile.n_threads, tile.shared_bytes,
            state, self._inputs, self._rows, tile.n_rows, self._rooms, *results,
        )  # fmt: skip
