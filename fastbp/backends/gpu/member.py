"""A network of a fleet, before it is moved to the device."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.model.network import Network
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments

__all__ = ["FleetMember"]


class FleetMember(NamedTuple):
    """A network that is trained in a fleet.

    Attributes
    ----------
    network : Network
        The network.
    table : int
        Which of the fleet's tables of data it is trained on.
    alpha : float
        Strength of its weight decay.
    batch_size : int
        Rows of a batch; 1 is online mode.
    parameters : ndarray of shape (n_parameters,)
        Its parameters.
    moments : Moments
        What its update rule remembers.
    shuffles : Shuffles
        Where the orders of its rows come from.
    """

    network: Network
    table: int
    alpha: float
    batch_size: int
    parameters: NDArray[np.floating]
    moments: Moments
    shuffles: Shuffles
