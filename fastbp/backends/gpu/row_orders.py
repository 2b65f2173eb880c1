"""The orders in which a fleet's networks visit their rows, drawn epochs ahead on the CPU.

Members whose generators are in the same state, and who have visited the same table alike so far,
draw alike: they share one order. After a launch each member's rows and generator are left as the
epochs that it made leave them, so that what was drawn and not used shows nowhere.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.machine.shuffle import shuffle_rows
from fastbp.machine.threads import run_all
from fastbp.model.data import Data
from fastbp.model.fleet import FleetMember
from fastbp.model.shuffles import Shuffles

__all__ = ["RowOrder", "RowOrders"]

#: Rows that a launch of several epochs visits at most, for each network: some hundredths of a
#: second.
_ROWS_OF_A_LAUNCH = 50_000


class RowOrder:
    """The order of rows of some epochs, drawn from one generator.

    Parameters
    ----------
    rows : ndarray of shape (n_rows,)
        The rows in the order of the epoch before; not changed.
    shuffles : Shuffles
        Where the orders come from.

    Attributes
    ----------
    epochs : list of ndarray of shape (n_rows,)
        The rows of each epoch drawn.
    """

    def __init__(self, rows: NDArray[np.int64], shuffles: Shuffles) -> None:
        self._latest, self._shuffles = rows.copy(), shuffles
        self.epochs: list[NDArray[np.int64]] = []
        self._states: list = []

    def draw(self, n_epochs: int) -> None:
        """Draw the orders of so many epochs, those drawn before among them."""
        shuffles = self._shuffles
        if self._states and len(self.epochs) < n_epochs:
            shuffles.state = self._states[-1]
        while len(self.epochs) < n_epochs:
            if shuffles.are_compiled and len(shuffles.generator.words):
                scratch = np.empty(len(self._latest) + 1, np.int64)
                shuffle_rows(shuffles.generator, self._latest, scratch)
            else:
                shuffles.shuffle(self._latest)
            self.epochs.append(self._latest.copy())
            self._states.append(shuffles.state)

    def settle(self, rows: NDArray[np.int64], shuffles: Shuffles, n_made: int) -> None:
        """Leave a member's rows and generator as so many epochs leave them."""
        rows[:] = self.epochs[n_made - 1]
        shuffles.state = self._states[n_made - 1]

    def after(self, shuffles: Shuffles, n_made: int) -> "RowOrder | None":
        """Give a member the epochs that were drawn beyond those it made; None if there are none."""
        if len(self.epochs) == n_made:
            return None
        rest = RowOrder(self._latest, shuffles)
        rest.epochs, rest._states = self.epochs[n_made:], self._states[n_made:]
        return rest


class RowOrders:
    """The orders of rows of a fleet's members, launch by launch.

    Parameters
    ----------
    members : sequence of FleetMember
        The fleet's networks.
    tables : sequence of Data
        The tables that they are trained on.
    n_threads : int
        Threads of the CPU to draw in.
    """

    def __init__(
        self, members: Sequence[FleetMember], tables: Sequence[Data], n_threads: int
    ) -> None:
        self._members, self._n_threads = members, n_threads
        self._rows = [np.arange(tables[member.table].n_samples) for member in members]
        # Equal where rows are in the same order, if they have been drawn from the same states.
        self._visited = [hash(member.table) for member in members]
        self._drawn: dict[int, RowOrder] = {}
        self._ahead: dict[int, RowOrder | None] = {}

    def n_epochs_of_a_launch(self, i: int, max_epochs: int) -> int:
        """Say how many epochs member number i makes in a launch, of those it is to make."""
        if not self._can_put_back(i):
            return 1
        return min(max_epochs, max(1, _ROWS_OF_A_LAUNCH // len(self._rows[i])))

    def draw(self, n_epochs: dict[int, int]) -> list[RowOrder]:
        """Draw the orders of a launch.

        Parameters
        ----------
        n_epochs : dict of int to int
            How many epochs each member is to make; others rest.

        Returns
        -------
        orders : list of RowOrder
            Each member's, the same object for all that draw alike.
        """
        shared: dict[tuple, RowOrder] = {}
        longest: dict[tuple, int] = {}
        self._drawn = {}
        for i, n in n_epochs.items():
            key = self._key(i)
            if key not in shared:
                member = self._members[i]
                shared[key] = self._ahead.get(i) or RowOrder(self._rows[i], member.shuffles)
            longest[key] = max(longest.get(key, 0), n)
            self._drawn[i] = shared[key]

        def draw(key: Any) -> Iterator[None]:
            shared[key].draw(longest[key])
            yield

        run_all(draw, shared, min(self._n_threads, len(shared)))
        return list(self._drawn.values())

    def draw_ahead(self, max_epochs: dict[int, int]) -> None:
        """Draw the next launch's order while the device is at this one.

        Parameters
        ----------
        max_epochs : dict of int to int
            How many epochs each member of this launch is to make, now and in the next ones. Only a
            single member that makes one epoch at a launch gets its next order; what is drawn for
            short epochs, or in threads for many members, does not wait for long.
        """
        if len(max_epochs) == 1:
            ((i, n),) = max_epochs.items()
            if self._can_put_back(i) and self.n_epochs_of_a_launch(i, n) == 1 < n:
                self._drawn[i].draw(2)

    def settle(self, n_made: dict[int, int]) -> None:
        """End a launch in which the members made so many epochs: see `RowOrder.settle`."""
        self._ahead = {}
        for i, n in n_made.items():
            shuffles, order = self._members[i].shuffles, self._drawn[i]
            order.settle(self._rows[i], shuffles, n)
            self._visited[i] = hash((self._visited[i], n))
            self._ahead[i] = order.after(shuffles, n)

    def _can_put_back(self, i: int) -> bool:
        """Whether the state of a member's generator can be put back where epochs are not made."""
        return self._members[i].shuffles.are_compiled

    def _key(self, i: int) -> tuple:
        """Equal for members that draw alike from the same table."""
        member = self._members[i]
        state = member.shuffles.state if self._can_put_back(i) else i
        return member.table, self._visited[i], state
