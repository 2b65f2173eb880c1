"""What solvers minimise on the GPU: a network bound to data, weights and weight decay.

Data are moved to the device once. What trains in batches leaves its parameters there too, and
fetches them when it ends. Batch solvers think on the CPU, so each of their evaluations moves a
vector there and one back.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.fleet import Fleet
from fastbp.backends.gpu.full_pass import FullPass
from fastbp.machine.lazy import lazy
from fastbp.model.data import Data
from fastbp.model.fleet import FleetMember, FleetRun
from fastbp.model.network import Network
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments, Rule

__all__ = ["DeviceObjective"]


@dataclass
class DeviceObjective:
    """The loss of a network on data, computed on the GPU; see `Objective` of the CPU.

    Parameters
    ----------
    network : Network
        The network.
    data : Data
        Inputs, targets and sample weights.
    alpha : float, default=0.0
        Strength of the weight decay; biases are not penalised.
    n_threads : int, default=1
        Threads of the CPU to draw orders of rows in.

    Attributes
    ----------
    n_evaluations : int
        How often the loss and gradient of all rows were computed.

    Raises
    ------
    ValueError
        If the data have another number of inputs or outputs than the network.
    """

    network: Network
    data: Data
    alpha: float = 0.0
    n_threads: int = 1
    n_evaluations: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.network.check_data(self.data, self.alpha)

    def loss_and_gradient(
        self, parameters: NDArray[np.floating]
    ) -> tuple[float, NDArray[np.floating]]:
        """Loss and its gradient over all rows: see `LossAndGradient`."""
        self.n_evaluations += 1
        vector = self.network.vector(parameters, self.data.dtype)
        return self._full_pass.loss_and_gradient(vector, self.alpha)

    def run(
        self,
        parameters: NDArray[np.floating],
        batch_size: int,
        rule: Rule,
        moments: Moments,
        shuffles: Shuffles,
    ) -> FleetRun:
        """Begin to go through the rows in batches, from some parameters; see `FleetRun`."""
        member = FleetMember(self.network, 0, self.alpha, batch_size, parameters, moments, shuffles)
        return FleetRun(Fleet([member], self._tables, rule.record, self.n_threads), 0)

    @lazy
    def total_weight(self) -> float:
        """Sum of the sample weights."""
        return self.data.total_weight

    @lazy
    def _tables(self) -> DeviceTables:
        return DeviceTables([self.data])

    @lazy
    def _full_pass(self) -> FullPass:
        return FullPass(self.network, self._tables)
