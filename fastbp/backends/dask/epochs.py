"""sgd and adam over partitions: the state of the training visits one after the other.

That is the exact algorithm: each batch's update comes after the one before. So one partition is
worked on at a time, by one core. Rows are shuffled within a partition, the partitions in each
epoch; a batch ends where its partition ends.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.dask.part import EpochSettings, PassState
from fastbp.backends.dask.partitions import Partitions
from fastbp.model.objective import EpochPlan
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments
from fastbp.version import guide

__all__ = ["PartitionsRun"]


class PartitionsRun:
    """A training's way through rows in partitions: a `Run`.

    Parameters
    ----------
    data : Partitions
        The rows.
    settings : EpochSettings
        How a batch updates the parameters.
    state : PassState
        Where it starts.
    shuffles : Shuffles
        Where the partitions' order and the seeds of their rows' orders come from.
    gradient : callable
        From parameters to the gradient over all rows.
    """

    def __init__(
        self,
        data: Partitions,
        settings: EpochSettings,
        state: PassState,
        shuffles: Shuffles,
        gradient: Callable[[NDArray[np.floating]], NDArray[np.floating]],
    ) -> None:
        if settings.batch_size >= data.n_samples and len(data) > 1:
            raise ValueError(
                f"batch_size={settings.batch_size} takes all rows at every step, but sgd and adam "
                "go through Dask collections partition by partition. Take smaller batches, or a "
                f"batch solver, such as rprop or gd. {guide('dask')}"
            )
        self._data, self._settings, self._state = data, settings, state
        self._shuffles, self._order = shuffles, np.arange(len(data))
        self.gradient = gradient

    @property
    def parameters(self) -> NDArray[np.floating]:
        """The parameters after the latest epoch, (n_parameters,)."""
        return self._state.parameters

    @property
    def moments(self) -> Moments:
        """What the update rule remembers."""
        return self._state.moments

    @property
    def is_finite(self) -> bool:
        """Whether all numbers that training changes are finite."""
        state = self._state
        return bool(np.isfinite(state.parameters).all() and np.isfinite(state.moments.second).all())

    def epochs(self, plan: EpochPlan) -> NDArray[np.float64]:
        """Make one epoch of a plan; returns its loss, (1,)."""
        self._shuffles.shuffle(self._order)
        seeds = self._shuffles.seeds(len(self._order))
        settings = self._settings._replace(rule=plan.rule)
        state = self._data.train(
            self._state._replace(loss=0.0, n_rows=0), self._order, settings, seeds
        )
        self._state = state._replace(
            parameters=np.require(state.parameters, requirements="W"), moments=state.moments.copy()
        )
        return np.array([state.loss / state.n_rows])
