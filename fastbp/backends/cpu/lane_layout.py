"""Where the parameters of networks in lanes are, as kernels see it."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu import load_kernels
from fastbp.backends.cpu.layout import layout_of
from fastbp.machine.forks import LOADING
from fastbp.model.network import Network
from fastbp.model.update_rules import UpdateRule

__all__ = ["lane_layout"]


@lru_cache(maxsize=64)
def lane_layout(network: Network, dtype: np.dtype, rule: UpdateRule, batch_size: int) -> Any:
    """Describe a network to the kernels of lanes.

    Parameters
    ----------
    network : Network
        The network.
    dtype : dtype
        Of its parameters.
    rule : UpdateRule
        The rule that moves them.
    batch_size : int
        Rows of a batch; 1 is online.

    Returns
    -------
    layout : LaneLayout
        Where everything is.
    """
    kernels = load_kernels()
    with LOADING:
        from fastbp.backends.cpu.elementwise import output_errors_address

    layout, sizes = layout_of(network, dtype), network.layer_sizes
    starts = np.array([0, 0, *np.cumsum(sizes[1:-1])], np.int64)
    width = kernels.lane_panel_width(rule if batch_size == 1 else None)
    return kernels.LaneLayout(
        sizes=layout.sizes,
        starts=(sum(sizes[1:]) * np.arange(batch_size)[:, None] + starts).ravel(),
        places=_places(network, width),
        weights=layout.weights,
        biases=layout.biases,
        n_weights=network.n_weights,
        activations=layout.activations,
        softmax=layout.softmax_of_rows,
        loss=output_errors_address(network, dtype),
    )


def _places(network: Network, width: int) -> NDArray[np.int64]:
    """Where in the parameter vector each parameter of the lanes stands.

    The first layer's weights are in panels of so many units, and of one where fewer are left; input
    by input within a panel. Other layers' are unit by unit, and biases come last.
    """
    numbers, biases = network.unpack(np.arange(network.n_parameters, dtype=np.float64))
    first, n_units = numbers[0], numbers[0].shape[1]
    n_whole = n_units // width * width
    panels = [first[:, j : j + width] for j in range(0, n_whole, width)]
    panels += [first[:, j : j + 1] for j in range(n_whole, n_units)]
    parts = [*panels, *(weights.T for weights in numbers[1:]), *biases]
    return np.concatenate([part.ravel() for part in parts]).astype(np.int64)
