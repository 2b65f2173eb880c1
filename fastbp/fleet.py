"""Networks on the GPU: what is moved there, what is launched, what comes back.

A `Fleet` is one network or hundreds of them with their data, parameters and moments on the device,
where they stay. `Fleet.epochs` trains those that are asked for, in one launch: a single network's
mini-batches by the whole grid of blocks, all else by a block for each network. What comes back after a
launch are the losses; parameters when they are asked for.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.cuda import (
    CHUNK,
    MOST_SLOTS,
    MOST_THREADS,
    PADDING,
    ROWS_OF_A_CHUNK,
    Course,
    Inputs,
    Kernels,
    Placement,
    State,
    batch_kernels,
    online_kernel,
    sample_placement,
    tile_placement,
)
from fastbp.data import Data
from fastbp.machine import gpu
from fastbp.network import Network
from fastbp.shuffles import Shuffles
from fastbp.update_rules import ADAM, PLAIN, Moments, Rule

__all__ = ["Fleet", "Leg", "Member", "Tile"]

#: Rows that a launch of several epochs visits at most, for each network: some hundredths of a second.
_ROWS_OF_A_LAUNCH = 50_000
#: Tiles that a batch is cut into at least, if they can be of eight rows: about one for each
#: multiprocessor of a large GPU. It is no number of this device, so that the bits do not depend on it.
_TILES_OF_A_BATCH = 128
_TILE_ROWS = (8, 16, 32, 64)
_THREADS_OF_THE_SIMULATOR = 4


class Member(NamedTuple):
    """A network of a fleet, before it is moved to the device.

    Attributes
    ----------
    network : Network
        The network.
    table : int
        Which of the fleet's tables of data it is trained on.
    alpha : float
        Strength of its weight decay.
    batch_size : int
        Rows of a batch.
    parameters : ndarray of shape (n_parameters,)
        Its parameters.
    moments : Moments
        What its rule remembers.
    """

    network: Network
    table: int
    alpha: float
    batch_size: int
    parameters: NDArray[np.floating]
    moments: Moments


class Leg(NamedTuple):
    """How far a member is to go next.

    Attributes
    ----------
    rows : ndarray of shape (n_rows,)
        Its table's rows in their last order; shuffled in place before each epoch.
    shuffles : Shuffles
        Where the orders come from.
    rule : Rule
        The update rule.
    patience : Patience
        When there has been no improvement for too long.
    most : int
        Epochs at most.
    """

    rows: NDArray[np.int64]
    shuffles: Shuffles
    rule: Rule
    patience: Any
    most: int


class Tile(NamedTuple):
    """How a batch is cut: rows of a tile, threads of its block, and where it lies."""

    n_rows: int
    n_threads: int
    in_shared: bool
    shared_bytes: int
    room: int

    @classmethod
    def of(
        cls, placement: Placement, dtype: np.dtype, batch_size: int, widest: int, n_wanted: int
    ) -> "Tile":
        """Choose the tiles of a batch, of which there are to be so many if it has the rows."""
        fitting = [n for n in _TILE_ROWS if n * n_wanted >= batch_size] or [_TILE_ROWS[-1]]
        wanted = n_rows = fitting[0]
        limit = gpu.most_shared_bytes() - 8 * MOST_THREADS  # where threads add up the loss
        while n_rows > _TILE_ROWS[0] and _bytes_of_a_tile(placement, dtype, n_rows) > limit:
            n_rows //= 2
        n_bytes = _bytes_of_a_tile(placement, dtype, n_rows)
        in_shared = n_bytes <= limit
        if not in_shared:
            n_rows, n_bytes = wanted, 0
        n_threads = 32 * math.ceil(widest * n_rows / (16 * _n_fours(n_rows)) / 32)
        return cls(
            n_rows,
            _THREADS_OF_THE_SIMULATOR if gpu.SIMULATED else max(64, min(MOST_THREADS, n_threads)),
            in_shared,
            n_bytes,
            placement.n_units * (n_rows + PADDING),
        )

    @property
    def kernels(self) -> Kernels:
        """The kernels for such tiles."""
        return batch_kernels(_n_fours(self.n_rows), self.in_shared)

    def rooms(self, n_blocks: int, dtype: np.dtype) -> Any:
        """Make the rooms of so many blocks; in shared memory, only what tells their dtype."""
        return gpu.zeros((1, 1) if self.in_shared else (n_blocks, self.room), dtype)


def _n_fours(n_rows: int) -> int:
    return 2 if n_rows >= 32 else 1


def _bytes_of_a_tile(placement: Placement, dtype: np.dtype, n_rows: int) -> int:
    return placement.n_units * (n_rows + PADDING) * dtype.itemsize


def join(tables: Sequence[Data]) -> tuple[Inputs, NDArray[np.int64]]:
    """Move tables to the device, one behind another.

    Parameters
    ----------
    tables : sequence of Data
        Of one dtype and number of features, all dense or all sparse.

    Returns
    -------
    inputs : Inputs
        All of them.
    starts : ndarray of shape (n_tables,)
        The number of each table's first row.
    """
    starts = np.cumsum([0, *(table.n_samples for table in tables[:-1])])
    n_values = np.cumsum([0, *(len(table.values) for table in tables[:-1])])
    is_sparse = len(tables[0].row_starts) > 0
    row_starts = [
        table.row_starts[(i > 0) * 1 :] + n_values[i] if is_sparse else table.row_starts
        for i, table in enumerate(tables)
    ]
    weighted = any(len(table.weights) for table in tables)
    weights = [
        table.weights if len(table.weights) or not weighted else np.ones(table.n_samples)
        for table in tables
    ]
    dtype = tables[0].dtype
    inputs = Inputs(
        X=np.concatenate([table.X for table in tables]),
        values=np.concatenate([table.values for table in tables]),
        columns=np.concatenate([table.columns for table in tables]),
        row_starts=np.concatenate(row_starts),
        y=np.concatenate([table.y for table in tables]),
        weights=np.concatenate(weights).astype(dtype),
    )
    return Inputs(*(gpu.to_device(array) for array in inputs)), starts


class Fleet:
    """Networks that are trained side by side on the device.

    Parameters
    ----------
    members : sequence of Member
        The networks. All are trained online, or none is.
    tables : sequence of Data
        Their data (see `join`).
    rule : int
        The kind of their update rule.
    """

    def __init__(self, members: Sequence[Member], tables: Sequence[Data], rule: int) -> None:
        self._members, self._tables, self._kind = members, tables, rule
        self._dtype = tables[0].dtype
        self._is_online = members[0].batch_size == 1
        place = sample_placement if self._is_online else tile_placement
        self._placements = [place(member.network) for member in members]
        self._inputs, self._row_starts = join(tables)
        self._widest = max(max(member.network.layer_sizes[1:]) for member in members)
        self._state = self._move_state()
        self._set_up()

    def _move_state(self) -> State:
        placements = self._placements
        starts = np.cumsum([0, *(placement.size for placement in placements)])
        self._starts = starts
        depth = max(len(placement.plan) for placement in placements)
        plans = np.zeros((len(placements), depth, placements[0].plan.shape[1]), np.int64)
        parameters = np.zeros(starts[-1], self._dtype)
        first = np.zeros(starts[-1] if self._kind != PLAIN else 1, self._dtype)
        second = np.zeros(starts[-1] if self._kind == ADAM else 1, self._dtype)
        copies = np.full(starts[-1], -1, np.int64)
        for i, (member, placement) in enumerate(zip(self._members, placements, strict=True)):
            plans[i, : len(placement.plan)] = placement.plan
            own = slice(starts[i], starts[i + 1])
            parameters[own] = placement.place(member.parameters)
            if self._kind != PLAIN:
                first[own] = placement.place(member.moments.first)
            if self._kind == ADAM:
                second[own] = placement.place(member.moments.second)
            copies[starts[i] : starts[i] + len(placement.copies)] = placement.copies
        n_steps = np.array([member.moments.n_steps for member in self._members], np.int64)
        arrays = (plans, starts[:-1], parameters, first, second, copies, n_steps)
        return State(*(gpu.to_device(array) for array in arrays))

    def _set_up(self) -> None:
        """Choose the kernel, and how many threads and how much shared memory a block has."""
        if self._is_online:
            self._set_up_online()
        else:
            self._set_up_batches()

    def _set_up_online(self) -> None:
        n_threads = min(MOST_THREADS, 32 * math.ceil(self._widest / 32))
        self._n_threads = _THREADS_OF_THE_SIMULATOR if gpu.SIMULATED else n_threads
        n_in, n_out = self._inputs.X.shape[1], self._inputs.y.shape[1]
        self._chunk_rows = max(1, min(ROWS_OF_A_CHUNK, 4096 // (n_in + n_out)))
        self._n_sums = max(self._n_threads, self._widest)
        n_units = max(placement.n_units for placement in self._placements)
        room = self._chunk_rows * (n_in + n_out) + self._n_sums + n_units
        n_vectors = {PLAIN: 1, ADAM: 3}.get(self._kind, 2)
        state = n_vectors * max(placement.n_moved for placement in self._placements)
        limit = gpu.most_shared_bytes() - 8 * MOST_THREADS
        in_shared = (state + room) * self._dtype.itemsize <= limit
        self._kernel = online_kernel(self._kind, in_shared)
        self._shared_bytes = (in_shared * state + room) * self._dtype.itemsize
        if self._shared_bytes > limit:
            raise MemoryError(
                f"A sample of the network with {n_in} inputs and layers of up to {self._widest} "
                f"units takes {self._shared_bytes} bytes of a GPU block's {limit}. Take "
                "batch_size=32 or so, or device='cpu'."
            )

    def _set_up_batches(self) -> None:
        self._by_grid = len(self._members) == 1
        batch_size = max(member.batch_size for member in self._members)
        largest = max(self._placements, key=lambda placement: placement.n_units)
        n_wanted = _TILES_OF_A_BATCH if self._by_grid else 1
        self._tile = tile = Tile.of(largest, self._dtype, batch_size, self._widest, n_wanted)
        n_moved = max(placement.n_moved for placement in self._placements)
        n_slots = min(MOST_SLOTS, math.ceil(batch_size / tile.n_rows)) if self._by_grid else 1
        n_chunks = math.ceil(n_moved / CHUNK)
        n = len(self._members)
        self._gradients = gpu.zeros((n, n_slots * n_moved), self._dtype)
        n_shares = (MOST_SLOTS if self._by_grid else 1) + n_chunks
        self._shares = gpu.zeros((n, n_shares), np.float64)
        self._n_blocks = max(n_slots, min(n_chunks, _TILES_OF_A_BATCH)) if self._by_grid else n
        self._rooms = tile.rooms(self._n_blocks, self._dtype)
        kernels = tile.kernels
        self._kernel = kernels.batch_epochs if self._by_grid else kernels.many_batch_epochs

    def epochs(self, legs: dict[int, Leg]) -> dict[int, NDArray[np.float64]]:
        """Train members for some epochs, in one launch.

        Parameters
        ----------
        legs : dict of int to Leg
            How far each member is to go; others rest.

        Returns
        -------
        losses : dict of int to ndarray of shape (n_epochs,)
            The loss of each epoch made, one at least. The last is not finite if a parameter is
            not, or if training diverged in it.
        """
        course, orders = self._course(legs)
        on_device = Course(*(gpu.to_device(array) for array in course))
        n = len(legs)
        if self._is_online:
            gpu.launch(
                self._kernel, n, self._n_threads, self._shared_bytes,
                self._state, self._inputs, on_device, self._chunk_rows, self._n_sums,
            )  # fmt: skip
        else:
            tile = self._tile
            arguments = (
                self._state, self._inputs, on_device, self._rooms, tile.n_rows,
                self._gradients, self._shares,
            )  # fmt: skip
            n_blocks = n
            if self._by_grid:
                holds = gpu.most_blocks(self._kernel, tile.n_threads, tile.shared_bytes, *arguments)
                n_blocks = min(self._n_blocks, holds)
            gpu.launch(self._kernel, n_blocks, tile.n_threads, tile.shared_bytes, *arguments)
        losses, n_made = gpu.to_host(on_device.losses), gpu.to_host(on_device.n_epochs)
        for leg, order, n in zip(legs.values(), orders, n_made.tolist(), strict=True):
            order.settle(leg, n)
        return {i: losses[entry, : n_made[entry]] for entry, i in enumerate(legs)}

    def _course(self, legs: dict[int, Leg]) -> tuple[Course, list["_Order"]]:
        """Write down what a launch goes by, and the order of rows of each entry."""
        members = [self._members[i] for i in legs]
        n_epochs = [_epochs_of_a_launch(leg) for leg in legs.values()]
        orders: dict[tuple, _Order] = {}
        own = []
        for member, leg, n in zip(members, legs.values(), n_epochs, strict=True):
            key = (member.table, leg.shuffles.state, leg.rows.tobytes())
            own.append(orders.setdefault(key, _Order(leg)))
            own[-1].draw(n)
        distinct = list(orders.values())
        rows = np.zeros(
            (len(distinct), max(n_epochs), max(len(leg.rows) for leg in legs.values())), np.int32
        )
        for i, ((table, *_), order) in enumerate(orders.items()):
            rows[i, : len(order.rows), : len(order.rows[0])] = order.rows
            rows[i] += np.int32(self._row_starts[table])
        n_batches = max(
            math.ceil(len(leg.rows) / member.batch_size)
            for leg, member in zip(legs.values(), members, strict=True)
        )
        total_weights = np.zeros((len(legs), max(n_epochs), 1 if self._is_online else n_batches))
        n_counted = np.ones((len(legs), max(n_epochs)))
        for i, (member, order) in enumerate(zip(members, own, strict=True)):
            data = self._tables[member.table]
            for epoch in range(n_epochs[i]):
                if self._is_online:
                    total_weights[i, epoch], n_counted[i, epoch] = data.mean_weight, data.n_samples
                    continue
                weights, n_counted[i, epoch] = _weights_of_batches(
                    data, order.rows[epoch], member.batch_size
                )
                total_weights[i, epoch, : len(weights)] = weights
        numbers = [
            (*leg.rule[1:], member.alpha, *_numbers_of(leg.patience))
            for leg, member in zip(legs.values(), members, strict=True)
        ]
        return Course(
            networks=np.array(list(legs), np.int64),
            orders=rows,
            order_of=np.array([distinct.index(order) for order in own], np.int64),
            n_rows=np.array([len(leg.rows) for leg in legs.values()], np.int64),
            batch_sizes=np.array([member.batch_size for member in members], np.int64),
            total_weights=total_weights,
            n_counted=n_counted,
            numbers=np.array(numbers, np.float64),
            kinds=np.array([leg.rule.kind for leg in legs.values()], np.int64),
            n_epochs=np.array(n_epochs, np.int64),
            losses=np.zeros((len(legs), max(n_epochs))),
        ), own

    def parameters(self, i: int) -> NDArray[np.floating]:
        """Copy a member's parameters to a new vector."""
        return self._fetch(self._state.parameters, i)

    def moments(self, i: int) -> Moments:
        """Copy what a member's rule remembers."""
        zeros = np.zeros(self._members[i].network.n_parameters, self._dtype)
        first = self._fetch(self._state.first, i) if self._kind != PLAIN else zeros
        second = self._fetch(self._state.second, i) if self._kind == ADAM else zeros.copy()
        return Moments(first, second, int(gpu.to_host(self._state.n_steps)[i]))

    def _fetch(self, array: Any, i: int) -> NDArray[np.floating]:
        own = gpu.to_host(array[int(self._starts[i]) : int(self._starts[i + 1])])
        return self._placements[i].gather(own)


class _Order:
    """The order of rows of some epochs, which members share that draw alike."""

    def __init__(self, leg: Leg) -> None:
        self._last, self._shuffles = leg.rows.copy(), leg.shuffles
        self.rows: list[NDArray[np.int64]] = []
        self._states: list = []

    def draw(self, n_epochs: int) -> None:
        """Draw the orders of so many epochs, those drawn before among them."""
        while len(self.rows) < n_epochs:
            self._shuffles.shuffle(self._last)
            self.rows.append(self._last.copy())
            self._states.append(self._shuffles.state)

    def settle(self, leg: Leg, n_made: int) -> None:
        """Leave a leg's rows and generator as its epochs have left them."""
        leg.rows[:] = self.rows[n_made - 1]
        leg.shuffles.state = self._states[n_made - 1]


def _epochs_of_a_launch(leg: Leg) -> int:
    if not leg.shuffles.are_compiled:  # its state cannot be put back where epochs are not made
        return 1
    return min(leg.most, max(1, _ROWS_OF_A_LAUNCH // len(leg.rows)))


def _numbers_of(patience: Any) -> tuple[float, float, float, float]:
    return patience.best_loss, patience.tol, float(patience.n_no_improvement), patience.most


def _weights_of_batches(
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
