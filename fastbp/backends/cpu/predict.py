"""The forward pass over a table, in threads; ``one_sample.py`` has it for one sample."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu import load_kernels
from fastbp.backends.cpu.layout import n_padded_of
from fastbp.backends.cpu.plans import planned_layout_of, planned_workspace
from fastbp.machine.threads import run_slabs
from fastbp.model.data import Data
from fastbp.model.network import Network

__all__ = ["Predictor", "predict"]


#: Workspaces for larger networks are not kept: they take more memory than time to make.
_MOST_KEPT = 100_000


class Predictor:
    """Predicts with parameters that stay where they are, in workspaces that are used again.

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
        """Do as `predict` does, by the parameters as they are now.

        Raises
        ------
        ValueError
            If they are another network's.
        """
        padded = self._padded.copy()  # for all rows the same, whoever learns meanwhile
        if padded.size != n_padded_of(network, padded.dtype) or padded.dtype != data.dtype:
            raise ValueError(
                f"The parameters are not those of the network of layers {network.layer_sizes}: the "
                "estimator is being fitted anew. Predict after that, or with a copy."
            )
        return _forward(network, self._none, data, n_threads, self._spare_workspaces, padded)


def predict(
    network: Network,
    parameters: NDArray[np.floating],
    data: Data,
    n_threads: int = 1,
    workspaces: list[Any] | None = None,
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
    workspaces : list, default=None
        Where workspaces are kept between calls for one network; an empty list at first.

    Returns
    -------
    prediction : ndarray of shape (n_samples, n_outputs)
        The network's outputs.
    """
    return _forward(network, parameters, data, n_threads, [] if workspaces is None else workspaces)


def _forward(
    network: Network,
    parameters: NDArray[np.floating],
    data: Data,
    n_threads: int,
    spare: list[Any],
    padded: NDArray[np.floating] | None = None,
) -> NDArray[np.floating]:
    """Predict by parameters, or by padded ones if those are none."""
    kernels = load_kernels()
    network.check_inputs(data)

    layout, layout_plan = planned_layout_of(network, data.dtype, for_training=False)
    prediction = np.empty((data.n_samples, network.layer_sizes[-1]), dtype=data.dtype)

    def predict_slab(calls: list[slice]) -> Iterator[None]:
        try:
            workspace, plan = spare.pop()
        except IndexError:  # all are in use by other threads
            workspace, plan = planned_workspace(layout, data.dtype)
        if padded is not None:
            workspace.parameters[:] = padded
        for part in calls:
            rows = np.arange(part.start, part.stop)
            kernels.predict(layout_plan, parameters, data, rows, plan, prediction[part])
            yield
        if layout.n_padded <= _MOST_KEPT:
            spare.append((workspace, plan))

    run_slabs(predict_slab, data.n_samples, 2 * network.n_parameters, n_threads)
    return prediction
