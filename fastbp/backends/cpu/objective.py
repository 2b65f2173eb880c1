"""What solvers minimise: a network bound to data, weights, weight decay and threads.

With ``epochs.py``, ``least_squares.py``, ``prediction.py`` and ``single.py`` the only place that
calls kernels. They are imported at the first use and not before, so that ``import fastbp`` costs no
compiler.

Compiled calls are cut short: control is back in Python after some hundredths of a second, where
Ctrl-C is seen. The cuts fall between blocks or batches and change no bit of the result. Sums over
many rows are cut into at most 16 slabs, by the number of rows alone, and the slabs' sums are added
in order: the same bits for any number of threads.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.backends.cpu.epochs import EpochsMixin
from fastbp.backends.cpu.layout import layout_of
from fastbp.backends.cpu.normal_equations import LeastSquares
from fastbp.machine.threads import rows_per_call, run_all
from fastbp.model.data import Data, as_data
from fastbp.model.network import Network

__all__ = ["Objective", "loss_and_gradient"]

_MOST_SLABS = 16
_ROWS_WORTH_A_SLAB = 1024


@dataclass
class Objective(EpochsMixin):
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
    """

    network: Network
    data: Data
    alpha: float = 0.0
    n_threads: int = 1
    n_evaluations: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        from fastbp.backends.cpu import kernels

        n_inputs, *_, n_outputs = self.network.layer_sizes
        given = self.data.X.shape[1], self.data.y.shape[1]
        if given != (n_inputs, n_outputs):
            raise ValueError(
                f"The data have {given[0]} inputs and {given[1]} outputs, but the network of "
                f"layers {self.network.layer_sizes} is for {n_inputs} and {n_outputs}."
            )
        self._kernels = kernels
        self._layout = layout_of(self.network, self.data.dtype)
        self._workspace = kernels.make_workspace(self._layout, self.data.dtype)
        self._spare_workspaces: list[Any] = []
        self._rows_per_call = rows_per_call(
            6 * self.network.n_parameters, self._workspace.block_rows
        )

    def loss_and_gradient(
        self, parameters: NDArray[np.floating]
    ) -> tuple[float, NDArray[np.floating]]:
        """Loss and its gradient over all rows.

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
        """
        self.n_evaluations += 1
        return self._loss_and_gradient(parameters, self._all_slabs, self.total_weight)

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
        total_weight = self.total_weight
        loss, gradient, hessian = self._least_squares.sums(parameters, self.n_threads)
        penalty = self._kernels.penalise(
            self.network.n_weights, parameters, gradient, self.alpha, total_weight
        )
        hessian /= total_weight
        if self.alpha > 0:
            weights = np.arange(self.network.n_weights)
            hessian[weights, weights] += self.alpha / total_weight
        return (loss + penalty) / total_weight, gradient, hessian

    @cached_property
    def total_weight(self) -> float:
        """Sum of the sample weights."""
        return self.data.total_weight

    @cached_property
    def _all_rows(self) -> NDArray[np.int64]:
        return np.arange(self.data.n_samples)

    @cached_property
    def _all_slabs(self) -> list[NDArray[np.int64]]:
        return self._slabs(self._all_rows)

    @cached_property
    def _least_squares(self) -> LeastSquares:
        return LeastSquares(self.network, self.data)

    def _total_weight(self, rows: NDArray[np.int64]) -> float:
        weights = self.data.weights
        return float(weights[rows].sum(dtype=np.float64)) if len(weights) else float(len(rows))

    def _loss_and_gradient(
        self,
        parameters: NDArray[np.floating],
        slabs: list[NDArray[np.int64]],
        total_weight: float,
    ) -> tuple[float, NDArray[np.floating]]:
        losses = np.zeros(len(slabs))
        gradients = np.zeros((len(slabs), parameters.size), dtype=parameters.dtype)

        def sum_slab(i: int) -> Iterator[None]:
            workspace = self._lend_workspace()
            for start in range(0, len(slabs[i]), self._rows_per_call):
                part = slabs[i][start : start + self._rows_per_call]
                losses[i] += self._kernels.accumulate(
                    self._layout, parameters, self.data, part, workspace, gradients[i]
                )
                yield
            self._spare_workspaces.append(workspace)

        if len(slabs) == 1:  # a small table, of which Python must not take longer than the sum
            for _ in sum_slab(0):
                pass
        else:
            run_all(sum_slab, range(len(slabs)), self.n_threads)
        gradient = gradients[0]
        for other in gradients[1:]:
            gradient += other
        penalty = self._kernels.penalise(
            self.network.n_weights, parameters, gradient, self.alpha, total_weight
        )
        return (float(losses.sum()) + penalty) / total_weight, gradient

    def _lend_workspace(self) -> Any:
        """Lend a workspace to a thread, which puts it back."""
        try:
            return self._spare_workspaces.pop()
        except IndexError:  # all are in use by other threads
            return self._kernels.make_workspace(self._layout, self.data.dtype)

    def _slabs(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        n_slabs = min(_MOST_SLABS, math.ceil(len(rows) / _ROWS_WORTH_A_SLAB))
        size = math.ceil(len(rows) / n_slabs)
        return [rows[start : start + size] for start in range(0, len(rows), size)]


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
        If ``parameters`` has another length than the network has parameters, or X or y another
        number of columns than it has inputs or outputs.
    """
    data = as_data(X, y, sample_weight)
    vector = np.require(parameters, dtype=data.dtype, requirements=["C", "A", "W", "E"])
    if vector.shape != (network.n_parameters,):
        raise ValueError(
            f"parameters has shape {vector.shape}; a network of layers {network.layer_sizes} has "
            f"({network.n_parameters},)."
        )
    return Objective(network, data, alpha).loss_and_gradient(vector)
