"""What solvers and backends know of each other: the protocols between them.

A solver minimises an `Objective` and uses nothing of it but what stands here; a backend makes one
from a network and data. The batch solvers need `LossAndGradient`, Levenberg-Marquardt
`LeastSquares` too, the stochastic ones `Epochs`, which gives them a `Run` to go on.
"""

import math
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastbp.model.data import Rows
from fastbp.model.network import Network
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments, Rule

__all__ = [
    "NO_PATIENCE",
    "EpochPlan",
    "Epochs",
    "LeastSquares",
    "LossAndGradient",
    "NetworkLoss",
    "Objective",
    "Patience",
    "Run",
]

_Vector = NDArray[np.floating]


class LossAndGradient(Protocol):
    """A function of parameters that has a gradient."""

    def loss_and_gradient(self, parameters: _Vector) -> tuple[float, _Vector]:
        """Loss over all rows, and its gradient.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector, of the data's dtype.

        Returns
        -------
        loss : float
            The objective L, a mean over rows, weight decay included.
        gradient : ndarray of shape (n_parameters,)
            Its gradient, a new array.
        """
        ...


class NetworkLoss(LossAndGradient, Protocol):
    """The loss of a network on data, with a weight decay that may be changed."""

    network: Network
    alpha: float

    @property
    def data(self) -> Rows:
        """The rows."""
        ...

    @property
    def total_weight(self) -> float:
        """Sum of the sample weights."""
        ...


class LeastSquares(NetworkLoss, Protocol):
    """A sum of squares."""

    def normal_equations(self, parameters: _Vector) -> tuple[float, _Vector, _Vector]:
        """Loss, gradient, and upper triangle of the Gauss-Newton matrix."""
        ...

    def curvature_gradient(self, parameters: _Vector, direction: _Vector) -> NDArray[np.float64]:
        """Gradient of errors that are the predictions' second derivatives along a direction."""
        ...


class Patience(NamedTuple):
    """When training without improvement has gone on for too long.

    Attributes
    ----------
    best_loss : float
        The lowest loss so far.
    n_no_improvement : int
        How many epochs in a row have not been better than the best by ``tol``.
    tol : float
        What counts as an improvement.
    max_bad_epochs : float
        More of them than this are too many.
    """

    best_loss: float
    n_no_improvement: int
    tol: float
    max_bad_epochs: float


NO_PATIENCE = Patience(math.inf, 0, 0.0, math.inf)


class EpochPlan(NamedTuple):
    """What a training does next: some epochs that follow each other with nothing in between.

    Attributes
    ----------
    rule : Rule
        The update rule.
    patience : Patience
        When there has been no improvement for too long; then it ends.
    max_epochs : int
        Epochs at most.
    """

    rule: Rule
    patience: Patience
    max_epochs: int


class Run(Protocol):
    """A training's way through its rows, on whichever backend: what a solver sees of it."""

    @property
    def parameters(self) -> _Vector:
        """The parameters now, (n_parameters,)."""
        ...

    @property
    def moments(self) -> Moments:
        """What the update rule remembers now."""
        ...

    @property
    def is_finite(self) -> bool:
        """Whether all numbers that training changes are finite."""
        ...

    def epochs(self, plan: EpochPlan) -> NDArray[np.float64]:
        """Make the epochs of a plan, or some of them, one at least; returns each one's loss."""
        ...

    def gradient(self, parameters: _Vector) -> _Vector:
        """Gradient over all rows at some parameters."""
        ...


class OrderedRun(Run, Protocol):
    """A run whose order of rows can be kept and restored, so that it can go on in another process.

    Attributes
    ----------
    rows : ndarray of shape (n_samples,)
        The rows in the order of the latest epoch.
    """

    rows: NDArray[np.int64]


class Epochs(Protocol):
    """What can be minimised batch by batch."""

    def run(
        self,
        parameters: _Vector,
        batch_size: int,
        rule: Rule,
        moments: Moments,
        shuffles: Shuffles,
    ) -> Run:
        """Begin a `Run` from some parameters, by a rule of which only the constants may change."""
        ...


class Objective(NetworkLoss, Epochs, Protocol):
    """What every backend makes of a network and data."""
