"""Networks on the GPU: what is moved there, what is launched, what comes back.

A `Fleet` is one network or hundreds of them with their data, parameters and moments on the device,
where they stay. `Fleet.epochs` trains those that are asked for, in one launch: a single network's
mini-batches by the whole grid of blocks, all else by a block for each network. What comes back
after a launch are the losses; parameters when they are asked for.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.full_pass import DeviceTable
from fastbp.backends.gpu.kernels import (
    CHUNK,
    MOST_SLOTS,
    ROWS_OF_A_CHUNK,
    Course,
    State,
    online_kernel,
    sample_placement,
    tile_placement,
)
from fastbp.backends.gpu.row_orders import Order, weights_of_batches
from fastbp.backends.gpu.tiling import BYTES_OF_SUMS, TILES_OF_A_BATCH, Tile, n_threads_for
from fastbp.machine import gpu
from fastbp.machine.threads import run_all
from fastbp.model.network import Network
from fastbp.model.objective import Leg, Patience
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import ADAM, PLAIN, Moments

__all__ = ["DeviceWalk", "Fleet", "Member"]

#: Rows that a launch of several epochs visits at most, for each network: some hundredths of a
#: second.
_ROWS_OF_A_LAUNCH = 50_000


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
    shuffles : Shuffles
        Where the orders of its rows come from.
    """

    network: Network
    table: int
    alpha: float
    batch_size: int
    parameters: NDArray[np.floating]
    moments: Moments
    shuffles: Shuffles


class Fleet:
    """Networks that are trained side by side on the device.

    Parameters
    ----------
    members : sequence of Member
        The networks. All are trained online, or none is.
    tables : DeviceTables
        Their data.
    rule : int
        The kind of their update rule.
    n_threads : int, default=1
        Threads of the CPU to draw orders of rows in.
    """

    def __init__(
        self, members: Sequence[Member], tables: DeviceTables, rule: int, n_threads: int = 1
    ) -> None:
        self._n_threads_to_draw, self._holds = n_threads, 0
        self._ahead: dict[int, Order | None] = {}
        self._members, self._tables, self._kind = members, tables, rule
        self._dtype, self._inputs = tables.dtype, tables.inputs
        self._is_online = members[0].batch_size == 1
        self._widest = max(max(member.network.layer_sizes[1:]) for member in members)
        self._n_threads = n_threads_for(self._widest)  # online
        self._placements = [
            sample_placement(member.network, self._n_threads)
            if self._is_online
            else tile_placement(member.network)
            for member in members
        ]
        self._rows = [np.arange(tables.tables[member.table].n_samples) for member in members]
        # Equal where rows are in the same order, if they have been drawn from the same states.
        self._visited = [hash(member.table) for member in members]
        self._passes: dict[tuple, DeviceTable] = {}
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
        loss_parameters = np.stack(
            [member.network.loss_parameter_of_outputs for member in self._members]
        ).astype(self._dtype)
        arrays = (plans, starts[:-1], parameters, first, second, loss_parameters, copies, n_steps)
        return State(*(gpu.to_device(array) for array in arrays))

    def _set_up(self) -> None:
        """Choose the kernel, and how many threads and how much shared memory a block has."""
        if self._is_online:
            self._set_up_online()
        else:
            self._set_up_batches()

    def _set_up_online(self) -> None:
        n_in, n_out = self._inputs.X.shape[1], self._inputs.y.shape[1]
        self._chunk_rows = max(1, min(ROWS_OF_A_CHUNK, 4096 // (n_in + n_out)))
        self._n_sums = max(self._n_threads, self._widest)
        n_units = max(placement.n_units for placement in self._placements)
        room = self._chunk_rows * (n_in + n_out) + self._n_sums + n_units
        n_vectors = {PLAIN: 1, ADAM: 3}.get(self._kind, 2)
        state = n_vectors * max(placement.n_moved for placement in self._placements)
        limit = gpu.most_shared_bytes() - BYTES_OF_SUMS
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
        n_wanted = TILES_OF_A_BATCH if self._by_grid else 1
        self._tile = tile = Tile.of(largest, self._dtype, batch_size, self._widest, n_wanted)
        n_moved = max(placement.n_moved for placement in self._placements)
        n_slots = min(MOST_SLOTS, math.ceil(batch_size / tile.n_rows)) if self._by_grid else 1
        n_chunks = math.ceil(n_moved / CHUNK)
        n = len(self._members)
        self._gradients = gpu.zeros((n, n_slots * n_moved), self._dtype)
        n_shares = (MOST_SLOTS if self._by_grid else 1) + n_chunks
        self._shares = gpu.zeros((n, n_shares), np.float64)
        self._n_blocks = max(n_slots, min(n_chunks, TILES_OF_A_BATCH)) if self._by_grid else n
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
                if self._holds == 0:
                    self._holds = gpu.most_blocks(
                        self._kernel, tile.n_threads, tile.shared_bytes, *arguments
                    )
                n_blocks = min(self._n_blocks, self._holds)
            gpu.launch(self._kernel, n_blocks, tile.n_threads, tile.shared_bytes, *arguments)
        self._draw_ahead(legs, orders)
        losses, n_made = gpu.to_host(on_device.losses), gpu.to_host(on_device.n_epochs)
        self._ahead = {}
        for i, order, n in zip(legs, orders, n_made.tolist(), strict=True):
            order.settle(self._rows[i], self._members[i].shuffles, n)
            self._visited[i] = hash((self._visited[i], n))
            self._ahead[i] = order.ahead(self._members[i].shuffles, n)
        return {i: losses[entry, : n_made[entry]] for entry, i in enumerate(legs)}

    def _course(self, legs: dict[int, Leg]) -> tuple[Course, list[Order]]:
        """Write down what a launch goes by, and the order of rows of each entry."""
        members = [self._members[i] for i in legs]
        n_rows = [len(self._rows[i]) for i in legs]
        n_epochs = [self._epochs_of_a_launch(i, leg) for i, leg in legs.items()]
        own, distinct = self._orders(legs, n_epochs)
        orders = np.zeros((len(distinct), max(n_epochs), max(n_rows)), np.int32)
        for place, (table, order) in zip(orders, distinct, strict=True):
            place[: len(order.rows), : len(order.rows[0])] = order.rows
            place += np.int32(self._tables.starts[table])
        n_batches = max(
            math.ceil(n / each.batch_size) for n, each in zip(n_rows, members, strict=True)
        )
        total_weights = np.zeros((len(legs), max(n_epochs), 1 if self._is_online else n_batches))
        n_counted = np.ones((len(legs), max(n_epochs)))
        for i, (member, of_it) in enumerate(zip(members, own, strict=True)):
            data = self._tables.tables[member.table]
            for epoch in range(n_epochs[i]):
                if self._is_online:
                    total_weights[i, epoch], n_counted[i, epoch] = data.mean_weight, n_rows[i]
                    continue
                rows = distinct[of_it][1].rows[epoch]
                weights, counted = weights_of_batches(data, rows, member.batch_size)
                total_weights[i, epoch, : len(weights)] = weights
                n_counted[i, epoch] = counted
        numbers = [
            (*leg.rule[1:], member.alpha, *_numbers_of(leg.patience))
            for leg, member in zip(legs.values(), members, strict=True)
        ]
        course = Course(
            networks=np.array(list(legs), np.int64),
            orders=orders,
            order_of=np.array(own, np.int64),
            n_rows=np.array(n_rows, np.int64),
            batch_sizes=np.array([member.batch_size for member in members], np.int64),
            total_weights=total_weights,
            n_counted=n_counted,
            numbers=np.array(numbers, np.float64),
            kinds=np.array([leg.rule.kind for leg in legs.values()], np.int64),
            n_epochs=np.array(n_epochs, np.int64),
            losses=np.zeros((len(legs), max(n_epochs))),
        )
        return course, [distinct[place][1] for place in own]

    def _orders(
        self, legs: dict[int, Leg], n_epochs: list[int]
    ) -> tuple[list[int], list[tuple[int, Order]]]:
        """Draw the orders of rows, one for all members that draw alike from the same table."""
        places: dict[tuple, int] = {}
        own: list[int] = []
        distinct: list[tuple[int, Order]] = []
        longest: list[int] = []
        for i, n in zip(legs, n_epochs, strict=True):
            member = self._members[i]
            state = member.shuffles.state if member.shuffles.are_compiled else i
            key = (member.table, self._visited[i], state)
            if key not in places:
                places[key] = len(distinct)
                order = self._ahead.get(i) or Order(self._rows[i], member.shuffles)
                distinct.append((member.table, order))
                longest.append(0)
            own.append(places[key])
            longest[own[-1]] = max(longest[own[-1]], n)

        def draw(place: int) -> Iterator[None]:
            distinct[place][1].draw(longest[place])
            yield

        run_all(draw, range(len(distinct)), min(self._n_threads_to_draw, len(distinct)))
        return own, distinct

    def _draw_ahead(self, legs: dict[int, Leg], orders: list[Order]) -> None:
        """Draw the next epoch's order while the device is at this one's, if there may be a next."""
        if len(legs) == 1:
            ((i, leg),) = legs.items()
            can_put_back = self._members[i].shuffles.are_compiled
            if can_put_back and self._epochs_of_a_launch(i, leg) == 1 < leg.most:
                orders[0].draw(2)

    def _epochs_of_a_launch(self, i: int, leg: Leg) -> int:
        if not self._members[i].shuffles.are_compiled:
            return 1  # its state cannot be put back where epochs are not made
        return min(leg.most, max(1, _ROWS_OF_A_LAUNCH // len(self._rows[i])))

    def gradient(self, i: int, parameters: NDArray[np.floating]) -> NDArray[np.floating]:
        """Gradient of a member's loss over all of its rows, weight decay included."""
        member = self._members[i]
        key = member.network, member.table
        if key not in self._passes:
            self._passes[key] = DeviceTable(member.network, self._tables, member.table)
        return self._passes[key].loss_and_gradient(parameters, member.alpha)[1]

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


def _numbers_of(patience: Patience) -> tuple[float, float, float, float]:
    return patience.best_loss, patience.tol, float(patience.n_no_improvement), patience.most


class DeviceWalk:
    """A member's way through its rows; the same to a solver as a `Walk`.

    Parameters
    ----------
    fleet : Fleet
        Whose member it is.
    i : int
        Which.
    """

    def __init__(self, fleet: Fleet, i: int) -> None:
        self._fleet, self._i = fleet, i

    @property
    def is_finite(self) -> bool:
        """Whether all numbers are finite: where one is not, the loss is NaN."""
        return True

    def epochs(self, leg: Leg) -> NDArray[np.float64]:
        """Go a leg, or the part of it that a launch does; returns each epoch's loss."""
        return self._fleet.epochs({self._i: leg})[self._i]

    @property
    def parameters(self) -> NDArray[np.floating]:
        """Where it is: a copy."""
        return self._fleet.parameters(self._i)

    @property
    def moments(self) -> Moments:
        """What the rule remembers there: a copy."""
        return self._fleet.moments(self._i)

    def gradient(self, parameters: NDArray[np.floating]) -> NDArray[np.floating]:
        """Gradient over all of its rows."""
        return self._fleet.gradient(self._i, parameters)
