"""What solvers minimise where rows lie in partitions: their sums, divided and penalised here."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.dask import part as parts
from fastbp.backends.dask.epochs import PartitionsRun
from fastbp.backends.dask.partitions import Partitions
from fastbp.model.network import Network
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments, Rule

__all__ = ["PartitionsObjective"]


@dataclass
class PartitionsObjective:
    """The loss of a network on data in partitions; see `Objective` of the CPU.

    The parameters go out with each evaluation, a sum for each worker comes back, in float64. The
    result does not depend on who holds which partition.

    Parameters
    ----------
    network : Network
        The network.
    data : Partitions
        The rows.
    alpha : float, default=0.0
        Strength of the weight decay; biases are not penalised.

    Attributes
    ----------
    n_evaluations : int
        How often the loss and gradient of all rows were computed.
    """

    network: Network
    data: Partitions
    alpha: float = 0.0
    n_evaluations: int = field(default=0, init=False)

    @property
    def total_weight(self) -> float:
        """Sum of the sample weights."""
        return self.data.total_weight

    def loss_and_gradient(
        self, parameters: NDArray[np.floating]
    ) -> tuple[float, NDArray[np.float64]]:
        """Loss and its gradient over all rows: see `LossAndGradient`."""
        self.n_evaluations += 1
        vector = self.network.vector(parameters, self.data.dtype)
        loss, gradient = self.data.sum(parts.loss_and_gradient, self.network, vector)
        return self._penalised(loss, gradient, vector)

    def normal_equations(
        self, parameters: NDArray[np.floating]
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Loss, gradient and Gauss-Newton matrix: see `Objective.normal_equations` of the CPU.

        The sums are made in the dtype of the parameters.
        """
        self.n_evaluations += 1
        found = self.data.sum(parts.normal_equations, self.network, parameters)
        loss, gradient = self._penalised(found[0], found[1], parameters)
        hessian = found[2] / self.total_weight
        n_weights = self.network.n_weights
        np.einsum("ii->i", hessian)[:n_weights] += self.alpha / self.total_weight
        return loss, gradient, hessian

    def curvature_gradient(
        self, parameters: NDArray[np.floating], direction: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Gradient of second derivatives: see `Objective.curvature_gradient` of the CPU."""
        self.n_evaluations += 1
        (sums,) = self.data.sum(parts.curvature_gradient, self.network, parameters, direction)
        return sums / self.total_weight

    def run(
        self,
        parameters: NDArray[np.floating],
        batch_size: int,
        rule: Rule,
        moments: Moments,
        shuffles: Shuffles,
    ) -> PartitionsRun:
        """Begin to go through the partitions' rows in batches; see `PartitionsRun`."""
        settings = parts.EpochSettings(
            self.network, self.alpha, batch_size, rule, self.data.mean_weight
        )
        state = parts.PassState(self.network.vector(parameters, self.data.dtype).copy(), moments)
        return PartitionsRun(self.data, settings, state, shuffles, self._gradient)

    def _gradient(self, parameters: NDArray[np.floating]) -> NDArray[np.floating]:
        return self.loss_and_gradient(parameters)[1].astype(parameters.dtype, copy=False)

    def _penalised(
        self, loss: float, gradient: NDArray[np.float64], parameters: NDArray[np.floating]
    ) -> tuple[float, NDArray[np.float64]]:
        """Turn sums into L = (loss + alpha / 2 |W|^2) / total_weight, and its gradient."""
        weights = parameters[: self.network.n_weights].astype(np.float64)
        gradient = gradient.copy()
        gradient[: len(weights)] += self.alpha * weights
        gradient /= self.total_weight
        return (loss + 0.5 * self.alpha * float(weights @ weights)) / self.total_weight, gradient
