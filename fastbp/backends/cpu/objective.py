"""What solvers minimise on the CPU: a network bound to data, weights, weight decay and threads."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.backends.cpu.curvature import Curvature
from fastbp.backends.cpu.epochs import CpuRun
from fastbp.backends.cpu.full_pass import FullPass
from fastbp.backends.cpu.normal_equations import NormalEquations
from fastbp.machine.lazy import lazy
from fastbp.model.data import Data, as_data
from fastbp.model.network import Network
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments, Rule

__all__ = ["Objective", "loss_and_gradient"]


@dataclass
class Objective:
    r"""The loss of a network on data, as a function of its parameters.

    With the sample weights w and the sum of them W,

    .. math:: L(p) = \frac1W \sum_i w_i \sum_{outputs} loss_i(p) + \frac{\alpha}{2W} |weights|^2

    Parameters
    ----------
    network : Network
        The network.
    data : Data
        Inputs, targets and sample weights.
    alpha : float, default=0.0
        Strength of the weight decay; biases are not penalised.
    n_threads : int, default=1
        Threads for sums over many rows.

    Attributes
    ----------
    n_evaluations : int
        How often the loss and gradient of all rows were computed.

    Raises
    ------
    ValueError
        If the data have another number of inputs or outputs than the network.

    Examples
    --------
    >>> from fastbp import Network, Objective
    >>> from fastbp.model.data import as_data
    >>> data = as_data([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    >>> line = Objective(Network((1, 1)), data)  # a weight and a bias
    >>> loss, gradient = line.loss_and_gradient([2.0, 1.0])  # y = 2 x + 1 is the answer
    >>> print(loss, gradient)
    0.0 [0. 0.]
    """

    network: Network
    data: Data
    alpha: float = 0.0
    n_threads: int = 1
    n_evaluations: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.network.check_data(self.data, self.alpha)
        self._full_pass = FullPass(self.network, self.data, self.n_threads)
        self._shape, self._dtype = (self.network.n_parameters,), self.data.dtype

    def loss_and_gradient(self, parameters: ArrayLike) -> tuple[float, NDArray[np.floating]]:
        """Loss and its gradient over all rows.

        Parameters
        ----------
        parameters : array-like of shape (n_parameters,)
            The parameter vector.

        Returns
        -------
        loss : float
            The objective L, a mean over rows.
        gradient : ndarray of shape (n_parameters,)
            Its gradient, a new array.

        Raises
        ------
        ValueError
            If the vector has another length.
        """
        self.n_evaluations += 1
        return self._full_pass.loss_and_gradient(self._vector(parameters), self.alpha)

    def normal_equations(
        self, parameters: NDArray[np.floating]
    ) -> tuple[float, NDArray[np.floating], NDArray[np.floating]]:
        r"""Loss, gradient and Gauss-Newton matrix of least squares over all rows.

        With the Jacobian J of the predictions and the errors e, each row i times sqrt(w_i / W), and
        the network's weights theta (biases left out),

        .. math::
            g = J^T e + \frac{\alpha}{W} \theta, \qquad H = J^T J + \frac{\alpha}{W} I_{\theta}

        H is the Hessian of the loss but for the term of the errors times the network's own
        curvature, which is small where the errors are (Nocedal & Wright, section 10.1).

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector, of the data's dtype.

        Returns
        -------
        loss : float
            The objective L, a mean over rows.
        gradient : ndarray of shape (n_parameters,)
            Its gradient, a new array.
        hessian : ndarray of shape (n_parameters, n_parameters)
            The Gauss-Newton matrix, a new array. It is symmetric; below the diagonal the entries
            are not all filled in.

        Raises
        ------
        ValueError
            If the loss is not the squared error.
        """
        self.n_evaluations += 1
        return self._normal_equations.loss_gradient_hessian(
            self._vector(parameters), self.alpha, self.total_weight, self.n_threads
        )

    def curvature_gradient(
        self, parameters: NDArray[np.floating], direction: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        r"""Gradient of errors that are the predictions' second derivatives along a direction v.

        With the rows of J and f'' weighted as in `normal_equations`,

        .. math:: J^T f'', \qquad f'' = \frac{d^2}{dt^2} f(p + t v) \Big|_{t=0}

        The weight decay has no part in it, as weights do not bend along a line.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector, of the data's dtype.
        direction : ndarray of shape (n_parameters,)
            The direction v, not all 0; its length counts.

        Returns
        -------
        gradient : ndarray of shape (n_parameters,)
            J' f'', a new array, from differences of predictions.
        """
        self.n_evaluations += 1
        sums = self._curvature.sums(self._vector(parameters), direction, self.n_threads)
        return sums / self.total_weight

    def run(
        self,
        parameters: NDArray[np.floating],
        batch_size: int,
        rule: Rule,
        moments: Moments,
        shuffles: Shuffles,
    ) -> CpuRun:
        """Begin to go through the rows in batches, from some parameters; see `CpuRun`."""
        del rule  # its constants come with each plan
        start = self._vector(parameters)
        return CpuRun(self._full_pass, self.alpha, start, batch_size, moments, shuffles)

    @property
    def total_weight(self) -> float:
        """Sum of the sample weights."""
        return self._full_pass.total_weight

    def _vector(self, parameters: ArrayLike) -> NDArray[np.floating]:
        """Check a parameter vector: kernels read as many numbers as the network has parameters."""
        if (
            isinstance(parameters, np.ndarray)
            and parameters.shape == self._shape
            and parameters.dtype is self._dtype
            and parameters.flags.carray
        ):
            return parameters  # the usual case, at every evaluation
        return self.network.vector(parameters, self._dtype)

    @lazy
    def _normal_equations(self) -> NormalEquations:
        return NormalEquations(self.network, self.data)

    @lazy
    def _curvature(self) -> Curvature:
        return Curvature(self.network, self.data)


def loss_and_gradient(
    network: Network,
    parameters: ArrayLike,
    X: Any,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    alpha: float = 0.0,
) -> tuple[float, NDArray[np.floating]]:
    """Loss of a network on data and its gradient, by compiled backpropagation.

    Parameters
    ----------
    network : Network
        The network.
    parameters : array-like of shape (n_parameters,)
        The parameter vector (see `Network.pack`).
    X : array-like or sparse matrix of shape (n_samples, n_features)
        The inputs; float32 inputs are computed with in float32, all else in float64.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        The targets.
    sample_weight : array-like of shape (n_samples,), default=None
        The sample weights.
    alpha : float, default=0.0
        Strength of the weight decay.

    Returns
    -------
    loss : float
        The weighted mean over rows of the loss summed over outputs, plus
        ``alpha / 2 * |weights|^2 / sum(sample_weight)``.
    gradient : ndarray of shape (n_parameters,)
        Its gradient.

    Raises
    ------
    ValueError
        If ``parameters`` has another length than the network has parameters, X or y another
        number of columns than it has inputs or outputs, or the data are no table of finite numbers
        with as many targets and weights as rows.

    Examples
    --------
    >>> from fastbp import Network, loss_and_gradient
    >>> line = Network((1, 1))  # a weight and a bias
    >>> loss, gradient = loss_and_gradient(line, [0.0, 0.0], [[1.0], [3.0]], [1.0, 3.0])
    >>> print(loss, gradient)  # (1 + 9) / 2 / 2, and minus the means of x y and of y
    2.5 [-5. -2.]
    """
    data = as_data(X, y, sample_weight)
    return Objective(network, data, alpha).loss_and_gradient(parameters)
