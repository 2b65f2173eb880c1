"""The path of a training through the space of parameters, thinned as it grows."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_POINTS", "Path"]

#: So many points at most are returned.
MAX_POINTS = 1000


class Path:
    """Parameter vectors at the start and after each iteration, or after each 2nd, 4th, 8th, ...

    Where there would be too many points, every second is dropped, and from then on twice as many
    are passed over. The first and the latest are always there.
    """

    def __init__(self) -> None:
        self._kept: list[NDArray[np.floating]] = []
        self._latest: NDArray[np.floating] | None = None
        self._n_seen, self._stride = 0, 1

    def add(self, parameters: NDArray[np.floating]) -> None:
        """Add a copy of a point."""
        point = parameters.copy()
        if self._n_seen % self._stride == 0:
            if len(self._kept) == MAX_POINTS - 1:  # one place is the latest point's
                self._kept, self._stride = self._kept[::2], 2 * self._stride
            if self._n_seen % self._stride == 0:
                self._kept.append(point)
        self._latest = point
        self._n_seen += 1

    def points(self) -> NDArray[np.floating]:
        """Give the points in their order: (n_points, n_parameters)."""
        if self._latest is None:
            return np.empty((0, 0))
        is_kept = self._kept[-1] is self._latest
        return np.array(self._kept if is_kept else [*self._kept, self._latest])
