"""Networks that are trained side by side: what a solver and a backend know of a fleet."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastbp.model.network import Network
from fastbp.model.objective import EpochPlan
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments

__all__ = ["Fleet", "FleetMember", "FleetRun"]


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


class Fleet(Protocol):
    """Networks that are trained side by side, on whichever backend."""

    def epochs(self, plans: dict[int, EpochPlan]) -> dict[int, NDArray[np.float64]]:
        """Train members for some epochs.

        Parameters
        ----------
        plans : dict of int to EpochPlan
            What each member is to do; others rest.

        Returns
        -------
        losses : dict of int to ndarray of shape (n_epochs,)
            The loss of each epoch made, one at least. The last is not finite if a parameter is
            not, or if training diverged in it.
        """
        ...

    def parameters(self, i: int) -> NDArray[np.floating]:
        """Copy a member's parameters to a new vector."""
        ...

    def moments(self, i: int) -> Moments:
        """Copy what a member's update rule remembers."""
        ...

    def gradient(self, i: int, parameters: NDArray[np.floating]) -> NDArray[np.floating]:
        """Gradient of a member's loss over all of its rows, weight decay included."""
        ...


class FleetRun:
    """The training of one member of a fleet: a `Run`.

    Parameters
    ----------
    fleet : Fleet
        Whose member it is.
    i : int
        Which.
    """

    def __init__(self, fleet: Fleet, i: int) -> None:
        self._fleet, self._i = fleet, i

    @property
    def is_finite(self) -> bool:
        """Whether all numbers are finite: where one is not, the loss is NaN."""
        return True

    def epochs(self, plan: EpochPlan) -> NDArray[np.float64]:
        """Make the epochs of a plan, or those that a launch makes; returns each epoch's loss."""
        return self._fleet.epochs({self._i: plan})[self._i]

    @property
    def parameters(self) -> NDArray[np.floating]:
        """The parameters now: a copy."""
        return self._fleet.parameters(self._i)

    @property
    def moments(self) -> Moments:
        """What the update rule remembers now: a copy."""
        return self._fleet.moments(self._i)

    def gradient(self, parameters: NDArray[np.floating]) -> NDArray[np.floating]:
        """Gradient over all of its rows."""
        return self._fleet.gradient(self._i, parameters)
