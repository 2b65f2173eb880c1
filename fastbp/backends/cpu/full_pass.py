"""A pass over many rows on the CPU: loss and gradient summed in threads.

Compiled calls are cut short: control is back in Python after some hundredths of a second, where
Ctrl-C is seen. The cuts fall between blocks of rows and change no bit of the result. The rows are
cut into at most 16 slabs, by their number alone, and the slabs' sums are added in order: the same
bits for any number of threads.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu import load_kernels
from fastbp.backends.cpu.plans import planned_layout_of, planned_workspace
from fastbp.machine.lazy import lazy
from fastbp.machine.threads import rows_per_call, run_all
from fastbp.model.data import Data
from fastbp.model.network import Network

__all__ = ["FullPass"]

_MAX_SLABS = 16
_ROWS_WORTH_A_SLAB = 1024


class FullPass:
    """Sums over rows of a network's losses and their gradients.

    Parameters
    ----------
    network : Network
        The network.
    data : Data
        Inputs, targets and sample weights.
    n_threads : int
        Threads that share the rows.

    Attributes
    ----------
    layout : Layout
        The network as kernels see it.
    workspace : Workspace
        The calling thread's while no rows are summed.
    layout_plan, data_plan, workspace_plan : ndarray of int
        What kernels take in the place of layout, data and workspace (see ``machine/views.py``).
    rows_per_call : int
        Rows that a compiled call may visit.
    """

    def __init__(self, network: Network, data: Data, n_threads: int) -> None:
        kernels = load_kernels()

        self.network, self.data, self.n_threads = network, data, n_threads
        self.layout, self.layout_plan = planned_layout_of(network, data.dtype)
        self.workspace, self.workspace_plan = planned_workspace(self.layout, data.dtype)
        self.data_plan = kernels.write_plan(data)
        self.rows_per_call = rows_per_call(6 * network.n_parameters, self.workspace.block_rows)
        self._kernels = kernels
        self._spare_workspaces: list[Any] = [(self.workspace, self.workspace_plan)]

    def loss_and_gradient(
        self, parameters: NDArray[np.floating], alpha: float
    ) -> tuple[float, NDArray[np.floating]]:
        """Loss L over all rows, weight decay included, and its gradient: see `LossAndGradient`."""
        return self._loss_and_gradient(parameters, self._all_slabs, self.total_weight, alpha)

    def sums(self, parameters: NDArray[np.floating]) -> tuple[float, NDArray[np.floating]]:
        """Sum all rows' losses and gradients, each times its weight, without weight decay."""
        return self._loss_and_gradient(parameters, self._all_slabs, 1.0, 0.0)

    def loss_and_gradient_of(
        self,
        parameters: NDArray[np.floating],
        rows: NDArray[np.int64],
        divisor: float,
        alpha: float,
    ) -> tuple[float, NDArray[np.floating]]:
        """Loss and gradient of some rows, the sums divided by a number; see `loss_and_gradient`."""
        return self._loss_and_gradient(parameters, _slabs(rows), divisor, alpha)

    @lazy
    def total_weight(self) -> float:
        """Sum of the sample weights."""
        return self.data.total_weight

    @lazy
    def _all_slabs(self) -> list[NDArray[np.int64]]:
        return _slabs(np.arange(self.data.n_samples))

    def _loss_and_gradient(
        self,
        parameters: NDArray[np.floating],
        slabs: list[NDArray[np.int64]],
        divisor: float,
        alpha: float,
    ) -> tuple[float, NDArray[np.floating]]:
        kernels, rows = self._kernels, slabs[0]
        if len(slabs) == 1 and len(rows) <= self.rows_per_call and divisor > 0:
            # A small table, of which Python must not take longer than the sum: one call does all.
            gradient = np.zeros(parameters.size, parameters.dtype)
            lent = self._lend_workspace()
            loss = kernels.accumulate(
                self.layout_plan, parameters, self.data_plan, rows, lent[1], gradient,
                float(alpha), float(divisor),
            )  # fmt: skip
            self._spare_workspaces.append(lent)
            return loss, gradient
        loss, gradient = self._sum_slabs(parameters, slabs)
        penalty = kernels.penalise(self.network.n_weights, parameters, gradient, alpha, divisor)
        return (loss + penalty) / divisor, gradient

    def _sum_slabs(
        self, parameters: NDArray[np.floating], slabs: list[NDArray[np.int64]]
    ) -> tuple[float, NDArray[np.floating]]:
        losses = np.zeros(len(slabs))
        gradients = np.zeros((len(slabs), parameters.size), dtype=parameters.dtype)

        def sum_slab(i: int) -> Iterator[None]:
            workspace, plan = self._lend_workspace()
            for start in range(0, len(slabs[i]), self.rows_per_call):
                part = slabs[i][start : start + self.rows_per_call]
                losses[i] += self._kernels.accumulate(
                    self.layout_plan, parameters, self.data_plan, part, plan, gradients[i], 0.0, 0.0
                )
                yield
            self._spare_workspaces.append((workspace, plan))

        run_all(sum_slab, range(len(slabs)), self.n_threads)
        gradient = gradients[0]
        for other in gradients[1:]:
            gradient += other
        return float(losses.sum()), gradient

    def _lend_workspace(self) -> tuple[Any, Any]:
        """Lend a workspace and its plan to a thread, which puts them back."""
        try:
            return self._spare_workspaces.pop()
        except IndexError:  # all are in use by other threads
            return planned_workspace(self.layout, self.data.dtype)


def _slabs(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    n_slabs = min(_MAX_SLABS, math.ceil(len(rows) / _ROWS_WORTH_A_SLAB))
    size = math.ceil(len(rows) / n_slabs)
    return [rows[start : start + size] for start in range(0, len(rows), size)]
