"""Passes over all rows on the GPU: what batch solvers and predictions use."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.kernels import (
    MAX_SLOTS,
    MAX_THREADS,
    State,
    add_up,
    full_pass_kernels,
    own_records_of,
    tile_placement,
)
from fastbp.backends.gpu.tiling import TILES_OF_A_BATCH, Tile, n_threads_for
from fastbp.machine import gpu
from fastbp.model.network import Network

__all__ = ["FullPass"]


class FullPass:
    """Sums and predictions over all rows of a table on the device.

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
        own = own_records_of([network])
        self._placement = placement = tile_placement(network, own)
        self._inputs, self._dtype = tables.inputs, tables.dtype
        data = tables.tables[i]
        n, self._n_outputs = data.n_samples, network.layer_sizes[-1]
        self._n_weights, self._total_weight = network.n_weights, data.total_weight
        widest = max(network.layer_sizes[1:])
        self._tile = tile = Tile.of(placement, self._dtype, n, widest, TILES_OF_A_BATCH)
        self._kernels = full_pass_kernels(tile.n_fours, tile.in_shared, own)
        self._n_slots = min(MAX_SLOTS, math.ceil(n / tile.n_rows))
        self._rows = gpu.to_device((tables.starts[i] + np.arange(n)).astype(np.int32))
        self._workspaces = tile.make_workspaces(self._n_slots, self._dtype)
        self._gradients: Any = None
        self._state = State(
            layouts=gpu.to_device(placement.layout[np.newaxis]),
            starts=gpu.zeros(1, np.int64),
            parameters=None,  # they come with each launch
            first=gpu.zeros(1, self._dtype),
            second=gpu.zeros(1, self._dtype),
            loss_parameters=gpu.to_device(
                network.loss_parameter_of_outputs.astype(self._dtype)[np.newaxis]
            ),
            copies=gpu.zeros(1, np.int64),
            n_steps=gpu.zeros(1, np.int64),
        )

    def loss_and_gradient(
        self, parameters: NDArray[np.floating], alpha: float
    ) -> tuple[float, NDArray[np.floating]]:
        """Loss L over all rows, weight decay included, and its gradient: see `LossAndGradient`."""
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
        n_moved = self._placement.n_moved
        if self._gradients is None:
            self._gradients = gpu.zeros(self._n_slots * n_moved, self._dtype)
            self._losses = gpu.zeros(self._n_slots, np.float64)
            self._gradient = gpu.zeros(n_moved, self._dtype)
        self._launch(self._kernels.sum_rows, parameters, self._gradients, self._losses)
        n_threads = n_threads_for(MAX_THREADS)
        n_blocks = math.ceil(n_moved / n_threads)
        gpu.launch(add_up, n_blocks, n_threads, 0, self._gradients, self._n_slots, self._gradient)
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
        self._launch(self._kernels.predict, parameters, prediction)
        return gpu.to_host(prediction)

    def _launch(self, kernel: Any, parameters: NDArray[np.floating], *results: Any) -> None:
        """Launch a kernel that goes through the tiles of all rows."""
        placed = gpu.to_device(self._placement.place(parameters))
        state = self._state._replace(parameters=placed)
        tile = self._tile
        gpu.launch(
            kernel, self._n_slots, tile.n_threads, tile.shared_bytes,
            state, self._inputs, self._rows, tile.n_rows, self._workspaces, *results,
        )  # fmt: skip
