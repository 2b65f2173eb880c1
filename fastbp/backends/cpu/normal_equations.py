"""The normal equations of least squares for a network and data: how threads share the work.

What is summed stands in ``kernels/normal_equations.py``. Every thread takes some rows of J'J, as
many as make an equal part of the triangle, and goes through all rows of the data for them. To work
out J again in every thread costs little beside the products, and no number depends on how the
triangle is cut.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu import load_kernels
from fastbp.backends.cpu.layout import Layout, padded_length
from fastbp.backends.cpu.plans import planned_layout_of
from fastbp.machine.lazy import lazy
from fastbp.machine.threads import rows_per_call, run_all
from fastbp.model.data import Data
from fastbp.model.network import Network

__all__ = ["NormalEquations"]


@dataclass
class NormalEquations:
    """Sums of squared errors of a network on data, and of their first derivatives' products.

    Parameters
    ----------
    network : Network
        The network; its loss is the squared error.
    data : Data
        Inputs, targets and sample weights.

    Raises
    ------
    ValueError
        If the loss is another one.
    """

    network: Network
    data: Data
    _workspaces: list[Any] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if not self.network.loss_record.is_half_square:
            raise ValueError(
                "Normal equations are those of loss='squared_error', not of "
                f"{self.network.loss_record.name!r}."
            )

    def loss_gradient_hessian(
        self,
        parameters: NDArray[np.floating],
        alpha: float,
        total_weight: float,
        n_threads: int,
    ) -> tuple[float, NDArray[np.floating], NDArray[np.floating]]:
        """Loss, gradient and Gauss-Newton matrix: see `Objective.normal_equations`."""
        n_weights, decay = self.network.n_weights, alpha / total_weight
        loss, gradient, hessian = self.sums(parameters, n_threads, total_weight)
        penalty = self._kernels.penalise(n_weights, parameters, gradient, decay, 1.0)
        if alpha > 0:
            diagonal = np.einsum("ii->i", hessian)  # a view
            diagonal[:n_weights] += decay
        return loss + penalty, gradient, hessian

    def sums(
        self, parameters: NDArray[np.floating], n_threads: int, total_weight: float = 1.0
    ) -> tuple[float, NDArray[np.floating], NDArray[np.floating]]:
        """Sum over all rows; with the errors e and the Jacobian J of the predictions.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector, of the data's dtype.
        n_threads : int
            Threads that share the matrix.
        total_weight : float, default=1.0
            What the sample weights w are divided by.

        Returns
        -------
        loss : float
            Half the sum of w e^2.
        gradient : ndarray of shape (n_parameters,)
            J' w e.
        products : ndarray of shape (n_parameters, n_parameters)
            J' w J, on and above the diagonal.
        """
        kernels, rows = self._kernels, self._rows
        dtype, n = parameters.dtype, parameters.size
        n_padded = padded_length(n, dtype)
        products = np.zeros((n_padded, n_padded), dtype)
        gradient = np.zeros(n_padded, dtype)
        flops_per_row = n * (n + 6) * self.network.layer_sizes[-1]
        strips = _equal_strips(-(-n // kernels.panel_width(dtype)), n_threads)
        losses = np.zeros(len(strips))

        def add_strip(i: int) -> Iterator[None]:
            try:
                workspaces, plans = self._workspaces.pop()
            except IndexError:  # all are in use by other threads
                workspaces = self._new_workspaces()
                plans = [kernels.write_plan(each) for each in workspaces]
            per_call = rows_per_call(flops_per_row, workspaces[0].block_rows)
            for start in range(0, len(rows), per_call):
                part = rows[start : start + per_call]
                losses[i] += kernels.add_normal_equations(
                    self._layout_and_plan[1], parameters, self._data_plan, part, *plans,
                    *strips[i], products.ravel(), gradient, total_weight,
                )  # fmt: skip
                yield
            self._workspaces.append((workspaces, plans))

        run_all(add_strip, range(len(strips)), min(n_threads, len(strips)))
        return float(losses[0]), gradient[:n], products[:n, :n]

    @lazy
    def _kernels(self) -> Any:
        return load_kernels()

    @lazy
    def _rows(self) -> NDArray[np.int64]:
        return np.arange(self.data.n_samples)

    @lazy
    def _layout_and_plan(self) -> tuple[Layout, Any]:
        return planned_layout_of(self.network, self.data.dtype)

    @lazy
    def _data_plan(self) -> Any:
        return self._kernels.write_plan(self.data)

    def _new_workspaces(self) -> tuple[Any, Any]:
        kernels, dtype, layout = self._kernels, self.data.dtype, self._layout_and_plan[0]
        workspace = kernels.make_workspace(layout, dtype)
        n_parameters = self.network.n_parameters
        return workspace, kernels.make_jacobian_workspace(layout, workspace, n_parameters, dtype)


def _equal_strips(n: int, n_threads: int) -> list[tuple[int, int]]:
    """Cut the rows of a triangle, the longest first, into strips of about equal area."""
    n_strips = min(n_threads, n)
    cuts = [n - round(n * math.sqrt(1 - i / n_strips)) for i in range(n_strips)] + [n]
    return [(first, last) for first, last in pairwise(cuts) if first < last]
