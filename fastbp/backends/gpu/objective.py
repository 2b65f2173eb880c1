"""An objective on the GPU: the same to solvers as one on the CPU.

Data are moved to the device once. What trains in batches leaves its parameters there too, and
fetches them when it ends; batch solvers think on the CPU, so each of their evaluations moves a
vector there and one back.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.objective import Objective
from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.fleet import DeviceWalk, Fleet, Member
from fastbp.backends.gpu.full_pass import DeviceTable
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments, Rule

__all__ = ["DeviceObjective"]


class DeviceObjective(Objective):
    """The loss of a network on data, computed on the GPU; see `Objective`."""

    def loss_and_gradient(
        self, parameters: NDArray[np.floating]
    ) -> tuple[float, NDArray[np.floating]]:
        """Loss and its gradient over all rows, as `Objective.loss_and_gradient`."""
        self.n_evaluations += 1
        return self._table.loss_and_gradient(parameters, self.alpha)

    def gradient(self, parameters: NDArray[np.floating], batch_size: int) -> NDArray[np.floating]:
        """Gradient over all rows; the batch size is not looked at."""
        del batch_size
        return self.loss_and_gradient(parameters)[1]

    def walk(
        self,
        parameters: NDArray[np.floating],
        batch_size: int,
        rule: Rule,
        moments: Moments,
        shuffles: Shuffles,
    ) -> Any:
        """Begin a `DeviceWalk` from some parameters."""
        member = Member(self.network, 0, self.alpha, batch_size, parameters, moments, shuffles)
        return DeviceWalk(Fleet([member], self._tables, rule.kind, self.n_threads), 0)

    @cached_property
    def _tables(self) -> DeviceTables:
        return DeviceTables([self.data])

    @cached_property
    def _table(self) -> DeviceTable:
        return DeviceTable(self.network, self._tables)
