"""The forward pass over a table on the GPU."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.full_pass import FullPass
from fastbp.model.data import Data
from fastbp.model.network import Network

__all__ = ["predictor"]


def predictor(
    network: Network, data: Data
) -> Callable[[NDArray[np.floating]], NDArray[np.floating]]:
    """Move a table to the device, where it stays, and make a function that predicts its rows.

    Parameters
    ----------
    network : Network
        The network.
    data : Data
        The inputs.

    Returns
    -------
    predict : callable
        From parameters, (n_parameters,), to predictions, (n_samples, n_outputs).
    """
    return FullPass(network, DeviceTables([data])).predict
