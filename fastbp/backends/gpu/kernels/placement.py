"""How networks lie in the GPU's memory: a layout for each, and where each parameter goes.

A layout is an array of integers, (n_layers + 1, N_FIELDS). Row 0 is about the network, row l about
layer l = 1, 2, ...; kernels read it as ``layout[layer, WEIGHTS]``. There are two kinds.

*For tiles of rows* (``tiles.py``) every weight matrix is (fan_in, padded fan_out), row-major, and
for all layers but the first there is a transposed copy behind: so both ways, up and down, are the
same product, whose loads are four numbers wide. Rows are padded with zeros to a multiple of four.

*For one sample at a time* (``online.py``) there is one copy, and rows are an odd number of numbers
long: then threads that read along a row and threads that read down a column both find their numbers
in as many banks of the shared memory as there are threads.

A `Placement` says where each entry of the network's parameter vector goes.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.model.activations import ACTIVATIONS, Activation, activation_of
from fastbp.model.losses import LOSSES, Loss
from fastbp.model.network import Network
from fastbp.model.own_records import is_own

__all__ = [
    "ACTIVATION",
    "BIASES",
    "CANONICAL",
    "DELTAS",
    "INPUTS",
    "LOSS",
    "N_DECAYED",
    "N_FIELDS",
    "N_IN",
    "N_LAYERS",
    "N_MOVED",
    "N_OUT",
    "N_SHARERS",
    "NOTHING_OWN",
    "OUTPUTS",
    "RAW_OUTPUTS",
    "SOFTMAX_CODE",
    "STRIDE",
    "TRANSPOSED",
    "TRANSPOSED_STRIDE",
    "WEIGHTS",
    "OwnRecords",
    "Placement",
    "own_records_of",
    "sample_placement",
    "tile_placement",
]

N_FIELDS = 12
# Of the network, in row 0: the parameters that move come first, and of those the ones that decay.
N_LAYERS, LOSS, CANONICAL, N_DECAYED, N_MOVED = range(5)
# Of a layer: its sizes; where its parameters begin, how far rows are apart; where its inputs, its
# outputs, and its slopes and deltas begin among a tile's units or a sample's numbers.
N_IN, N_OUT, WEIGHTS, STRIDE, BIASES, TRANSPOSED, TRANSPOSED_STRIDE = range(7)
INPUTS, OUTPUTS, DELTAS, ACTIVATION = range(7, 11)
# How many threads share the sum of one unit, for one sample at a time.
N_SHARERS = 11
#: Threads that share it at most.
_MAX_SHARERS = 8

#: Activations of output layers that leave their net input where others leave slopes, since the loss
#: is worked out from it. Their codes follow those of `ACTIVATIONS`; the softmax's is the last.
RAW_OUTPUTS = {
    loss.canonical: activation_of(loss.canonical)
    for loss in LOSSES.values()
    if loss.canonical is not None and loss.raw_value is not None and not loss.is_softmax
}
SOFTMAX_CODE = len(ACTIVATIONS) + len(RAW_OUTPUTS)


class OwnRecords(NamedTuple):
    """A user's own activations and losses, for which kernels are compiled anew.

    Their codes follow the softmax's and those of `LOSSES`.
    """

    activations: tuple[Activation, ...]
    losses: tuple[Loss, ...]


NOTHING_OWN = OwnRecords((), ())


def own_records_of(networks: Iterable[Network]) -> OwnRecords:
    """Collect the users' own records of some networks that one kernel trains."""
    activations: dict[Activation, None] = {}  # each once, in their order
    losses: dict[Loss, None] = {}
    for network in networks:
        activations |= {each: None for each in network.activations if is_own(each)}
        losses |= {each: None for each in [network.loss_record] if is_own(each)}
    return OwnRecords(tuple(activations), tuple(losses))


class Placement(NamedTuple):
    """A network's layout, and where its parameters go.

    Attributes
    ----------
    layout : ndarray of shape (n_layers + 1, N_FIELDS)
        What kernels read.
    places : ndarray of shape (n_parameters,)
        Where each entry of the parameter vector goes.
    copies : ndarray of shape (n_moved,)
        Where each number has a copy, -1 where it has none.
    size : int
        Numbers a network takes, copies included.
    n_units : int
        Numbers that one row takes on its way up and down the layers.
    """

    layout: NDArray[np.int64]
    places: NDArray[np.int64]
    copies: NDArray[np.int64]
    size: int
    n_units: int

    @property
    def n_moved(self) -> int:
        """How many numbers the update rules move, padding included."""
        return int(self.layout[0, N_MOVED])

    def place(self, parameters: NDArray[np.floating]) -> NDArray[np.floating]:
        """Put each entry of a parameter vector, or of one like it, in its place, and its copy."""
        placed = np.zeros(self.size, parameters.dtype)
        placed[self.places] = parameters
        has_copy = self.copies >= 0
        placed[self.copies[has_copy]] = placed[: len(self.copies)][has_copy]
        return placed

    def gather(self, placed: NDArray[np.floating]) -> NDArray[np.floating]:
        """Give the parameter vector, or one like it, of what was placed."""
        return placed[self.places]


def _fours(n: int) -> int:
    return -(-n // 4) * 4


def _odd(n: int) -> int:
    return n | 1


@lru_cache(maxsize=64)
def tile_placement(network: Network, own: OwnRecords = NOTHING_OWN) -> Placement:
    """Place a network for tiles of rows.

    Parameters
    ----------
    network : Network
        The network.
    own : OwnRecords
        The own records that the kernels have, its own among them.

    Returns
    -------
    placement : Placement
        Its layout and places.
    """
    layout, places = _start(network, own, _fours)
    n_moved = int(layout[0, N_MOVED])
    copies, end, unit = np.full(n_moved, -1, np.int64), n_moved, _fours(network.layer_sizes[0])
    for layer, (n_in, n_out) in enumerate(network.shapes, start=1):
        fields = layout[layer]
        fields[INPUTS] = 0 if layer == 1 else layout[layer - 1, OUTPUTS]
        fields[OUTPUTS], fields[DELTAS] = unit, unit + _fours(n_out)
        unit += 2 * _fours(n_out)
        if layer > 1:
            fields[TRANSPOSED], fields[TRANSPOSED_STRIDE] = end, _fours(n_in)
            k, j = np.indices((n_in, n_out))
            copies[fields[WEIGHTS] + k * fields[STRIDE] + j] = end + j * _fours(n_in) + k
            end += n_out * _fours(n_in)
    return Placement(layout, places, copies, end, unit)


@lru_cache(maxsize=64)
def sample_placement(network: Network, n_threads: int, own: OwnRecords = NOTHING_OWN) -> Placement:
    """Place a network for one sample at a time.

    Parameters
    ----------
    network : Network
        The network.
    n_threads : int
        Threads of its block.
    own : OwnRecords
        The own records that the kernels have, its own among them.

    Returns
    -------
    placement : Placement
        Its layout and places.
    """
    layout, places = _start(network, own, _odd)
    start = 0
    for layer, (n_in, n_out) in enumerate(network.shapes, start=1):
        layout[layer, INPUTS] = 0 if layer == 1 else layout[layer - 1, OUTPUTS]
        layout[layer, OUTPUTS], layout[layer, DELTAS] = start, start + n_out
        start += 2 * n_out
        layout[layer, N_SHARERS] = max(1, min(_MAX_SHARERS, n_threads // n_out, n_in))
    n_moved = int(layout[0, N_MOVED])
    return Placement(layout, places, np.full(n_moved, -1, np.int64), n_moved, start)


def _start(
    network: Network, own: OwnRecords, row_length: Callable[[int], int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Make layout and places, but for the units; ``row_length(n_out)`` is a row's of weights."""
    shapes = network.shapes
    layout = np.zeros((len(shapes) + 1, N_FIELDS), np.int64)
    places, end = [], 0
    for layer, (n_in, n_out) in enumerate(shapes, start=1):
        fields = layout[layer]
        fields[N_IN], fields[N_OUT] = n_in, n_out
        fields[WEIGHTS], fields[STRIDE] = end, row_length(n_out)
        fields[ACTIVATION] = _activation_code(network, own, layer)
        k, j = np.indices((n_in, n_out))
        places.append((end + k * fields[STRIDE] + j).ravel())
        end += n_in * row_length(n_out)
    layout[0, N_DECAYED] = end
    for layer, (_, n_out) in enumerate(shapes, start=1):
        end = _fours(end)
        layout[layer, BIASES] = end
        places.append(end + np.arange(n_out))
        end += _fours(n_out)
    layout[0, N_MOVED] = end = _fours(end)
    losses = [*LOSSES.values(), *own.losses]
    layout[0, N_LAYERS], layout[0, LOSS] = len(shapes), losses.index(network.loss_record)
    layout[0, CANONICAL] = network.is_canonical
    return layout, np.concatenate(places)


def _activation_code(network: Network, own: OwnRecords, layer: int) -> int:
    record, loss = network.activations[layer - 1], network.loss_record
    if record in own.activations:
        return SOFTMAX_CODE + 1 + own.activations.index(record)
    if layer < len(network.shapes) or loss.raw_value is None or not network.is_canonical:
        return list(ACTIVATIONS.values()).index(record)
    if loss.is_softmax:
        return SOFTMAX_CODE
    return len(ACTIVATIONS) + list(RAW_OUTPUTS.values()).index(record)
