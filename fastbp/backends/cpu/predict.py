"""The forward pass over a table, in threads; ``one_sample.py`` has it for one sample."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu import load_kernels
from fastbp.backends.cpu.layout import layout_of
from fastbp.machine.threads import run_slabs
from fastbp.model.data import Data
from fastbp.model.network import Network

__all__ = ["predict"]


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
    kernels = load_kernels()

    layout = layout_of(network, data.dtype, for_training=False)
    prediction = np.empty((data.n_samples, network.layer_sizes[-1]), dtype=data.dtype)
    rows = np.arange(data.n_samples)

    def predict_slab(calls: list[slice]) -> Iterator[None]:
        workspace = kernels.make_workspace(layout, data.dtype)
        for part in calls:
            kernels.predict(layout, parameters, data, rows[part], workspace, prediction[part])
            yield

    run_slabs(predict_slab, len(rows), 2 * network.n_parameters, n_threads)
    return prediction
