"""The order of rows of several epochs, drawn ahead, and what its batches weigh."""

import numpy as np
from numpy.typing import NDArray

from fastbp.machine.shuffle import shuffle_rows
from fastbp.model.data import Data
from fastbp.model.shuffles import Shuffles

__all__ = ["Order", "weights_of_batches"]


class Order:
    """The order of rows of some epochs, which members share that draw alike."""

    def __init__(self, rows: NDArray[np.int64], shuffles: Shuffles) -> None:
        self._last, self._shuffles = rows.copy(), shuffles
        self.rows: list[NDArray[np.int64]] = []
        self._states: list = []

    def draw(self, n_epochs: int) -> None:
        """Draw the orders of so many epochs, those drawn before among them."""
        shuffles = self._shuffles
        if self._states and len(self.rows) < n_epochs:
            shuffles.state = self._states[-1]
        while len(self.rows) < n_epochs:
            if shuffles.are_compiled and len(shuffles.generator.words):
                shuffle_rows(
                    shuffles.generator, self._last, np.empty(len(self._last) + 1, np.int64)
                )
            else:
                shuffles.shuffle(self._last)
            self.rows.append(self._last.copy())
            self._states.append(shuffles.state)

    def settle(self, rows: NDArray[np.int64], shuffles: Shuffles, n_made: int) -> None:
        """Leave a member's rows and generator as so many epochs leave them."""
        rows[:] = self.rows[n_made - 1]
        shuffles.state = self._states[n_made - 1]

    def ahead(self, shuffles: Shuffles, n_made: int) -> "Order | None":
        """Give a member what was drawn beyond the epochs that it made."""
        if len(self.rows) == n_made:
            return None
        rest = Order(self._last, shuffles)
        rest.rows, rest._states = self.rows[n_made:], self._states[n_made:]
        return rest


def weights_of_batches(
    data: Data, rows: NDArray[np.int64], batch_size: int
) -> tuple[NDArray[np.float64], int]:
    """Sum of weights of each batch, 0 where it makes no step, and the rows that count in the loss.

    A batch of one row is divided by the mean weight of all, and counts whatever its weight.
    """
    starts = np.arange(0, len(rows), batch_size)
    sizes = np.diff([*starts, len(rows)])
    if not len(data.weights):
        return sizes.astype(np.float64), len(rows)
    totals = np.add.reduceat(data.weights[rows].astype(np.float64), starts)
    n_counted = int(sizes[(totals > 0) | (sizes == 1)].sum())
    totals[(totals > 0) & (sizes == 1)] = data.mean_weight
    return totals, n_counted
