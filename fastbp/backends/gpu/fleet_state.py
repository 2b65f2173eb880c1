"""A fleet's parameters and moments on the device: moved there once, fetched when asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.gpu.kernels import Placement, State
from fastbp.machine import gpu
from fastbp.model.fleet import FleetMember
from fastbp.model.update_rules import Moments

__all__ = ["FleetState"]


class FleetState:
    """Parameters and moments of a fleet's networks on the device, one network's behind another's.

    Parameters
    ----------
    members : sequence of FleetMember
        The networks, with the numbers they start from.
    placements : sequence of Placement
        How each lies there.
    n_moments : int
        How many vectors the update rule remembers.
    dtype : dtype
        float64 or float32.

    Attributes
    ----------
    on_device : State
        What kernels take.
    """

    def __init__(
        self,
        members: Sequence[FleetMember],
        placements: Sequence[Placement],
        n_moments: int,
        dtype: np.dtype,
    ) -> None:
        self._placements, self._n_moments, self._dtype = placements, n_moments, dtype
        self._starts = np.cumsum([0, *(placement.size for placement in placements)])
        depth = max(len(placement.layout) for placement in placements)
        layouts = np.zeros((len(placements), depth, placements[0].layout.shape[1]), np.int64)
        copies = np.full(self._starts[-1], -1, np.int64)
        for i, placement in enumerate(placements):
            layouts[i, : len(placement.layout)] = placement.layout
            copies[self._starts[i] :][: len(placement.copies)] = placement.copies
        moments = [member.moments for member in members]
        loss_parameters = [member.network.loss_parameter_of_outputs for member in members]
        arrays = State(
            layouts=layouts,
            starts=self._starts[:-1],
            parameters=self._placed([member.parameters for member in members]),
            first=self._placed([each.first for each in moments] if n_moments > 0 else []),
            second=self._placed([each.second for each in moments] if n_moments > 1 else []),
            loss_parameters=np.stack(loss_parameters).astype(dtype),
            copies=copies,
            n_steps=np.array([each.n_steps for each in moments], np.int64),
        )
        self.on_device = State(*(gpu.to_device(array) for array in arrays))

    def parameters(self, i: int) -> NDArray[np.floating]:
        """Copy a member's parameters to a new vector."""
        return self._fetch(self.on_device.parameters, i)

    def moments(self, i: int) -> Moments:
        """Copy what a member's update rule remembers; moments that it has not are zeros."""
        moments = Moments.zeros(len(self._placements[i].places), self._dtype)
        if self._n_moments > 0:
            moments.first = self._fetch(self.on_device.first, i)
        if self._n_moments > 1:
            moments.second = self._fetch(self.on_device.second, i)
        moments.n_steps = int(gpu.to_host(self.on_device.n_steps)[i])
        return moments

    def _placed(self, vectors: list[NDArray[np.floating]]) -> NDArray[np.floating]:
        """Place one vector of each member; a single 0 stands for none."""
        if not vectors:
            return np.zeros(1, self._dtype)
        return np.concatenate(
            [
                placement.place(vector).astype(self._dtype, copy=False)
                for vector, placement in zip(vectors, self._placements, strict=True)
            ]
        )

    def _fetch(self, array: Any, i: int) -> NDArray[np.floating]:
        own = gpu.to_host(array[int(self._starts[i]) : int(self._starts[i + 1])])
        return self._placements[i].gather(own)
