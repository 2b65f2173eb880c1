"""The forward pass over a table, in threads; ``one_sample.py`` has it for one sample."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu import load_kernels
from fastbp.backends.cpu.plans import planned_layout_of, planned_workspace
from fastbp.machine.threads import run_slabs
from fastbp.model.data import Data
from fastbp.model.network import Network

__all__ = ["Predictor", "predict"]


class Predictor:
    """Predicts with parameters that stay where they are: calls copy nothing and make no workspace.

    Parameters
    ----------
    padded : ndarray of shape (n_padded,)
        The padded parameters (see `Layout`), which may change between calls.
    """

    def __init__(self, padded: NDArray[np.floating]) -> None:
        self._padded, self._none = padded, np.empty(0, padded.dtype)
        self._spare_workspaces: list[Any] = []

    @property
    def is_finite(self) -> bool:
        """Whether the parameters are all finite."""
        return bool(np.isfinite(self._padded).all())

    def predict(self, network: Network, data: Data, n_threads: int = 1) -> NDArray[np.floating]:
        """Do as `predict` does, for a network with the layers that the parameters are of."""
        spare, padded = self._spare_workspaces, self._padded
        return _forward(network, self._none, data, n_threads, spare, padded)


def predict(
    network: Network, parameters: NDArray[np.floating], data: Data, n_threads: int = 1
) -> NDArray[np.floating]:
    """Predictions of a network, row by row the same bits however the rows are grouped.

    Parameters
    ----------
    network : Network
        The network.
    parameters : ndarray of shape (n_parameters,)
        The parameter vector, of the data's dtype.
    data : Data
        The inputs.
    n_threads : int, default=1
        Threads among which the rows are divided.

    Returns
    -------
    prediction : ndarray of shape (n_samples, n_outputs)
        The network's outputs.
    """
    return _forward(network, parameters, data, n_threads, [])


def _forward(
    network: Network,
    parameters: NDArray[np.floating],
    data: Data,
    n_threads: int,
    spare: list[Any],
    padded: NDArray[np.floating] | None = None,
) -> NDArray[np.floating]:
    """Predict by parameters, or by padded ones, which are in the spare workspaces already."""
    kernels = load_kernels()

    layout, layout_plan = planned_layout_of(network, data.dtype, for_training=False)
    prediction = np.empty((data.n_samples, network.layer_sizes[-1]), dtype=data.dtype)

    def predict_slab(calls: list[slice]) -> Iterator[None]:
        try:
            workspace, plan = spare.pop()
        except IndexError:  # all are in use by other threads
            workspace, plan = planned_workspace(layout, data.dtype, padded)
        for part in calls:
            rows = np.arange(part.start, part.stop)
            kernels.predict(layout_plan, parameters, data, rows, plan, prediction[part])
            yield
        spare.append((workspace, plan))

    run_slabs(predict_slab, data.n_samples, 2 * network.n_parameters, n_threads)
    return prediction
