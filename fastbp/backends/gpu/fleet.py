"""Networks trained side by side on the GPU, hundreds of them or one.

A `Fleet` has its networks' data, parameters and moments on the device, where they stay
(``fleet_state.py``). `Fleet.epochs` trains those that are asked for, in one launch
(``launches.py``), by orders of rows that are drawn on the CPU (``row_orders.py``). What comes back
after a launch are the losses; parameters when they are asked for.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.fleet_state import FleetState
from fastbp.backends.gpu.full_pass import FullPass
from fastbp.backends.gpu.kernels import LaunchArguments
from fastbp.backends.gpu.launches import make_launches
from fastbp.backends.gpu.row_orders import RowOrder, RowOrders
from fastbp.machine import gpu
from fastbp.model.data import batch_divisors
from fastbp.model.fleet import FleetMember
from fastbp.model.network import Network
from fastbp.model.objective import EpochPlan
from fastbp.model.update_rules import Moments, UpdateRule

__all__ = ["Fleet"]


class Fleet:
    """Networks that are trained side by side on the device.

    Parameters
    ----------
    members : sequence of FleetMember
        The networks. All are trained online, or none is.
    tables : DeviceTables
        Their data.
    rule : UpdateRule
        The update rule of all; its constants come with each plan.
    n_threads : int, default=1
        Threads of the CPU to draw orders of rows in.
    """

    def __init__(
        self,
        members: Sequence[FleetMember],
        tables: DeviceTables,
        rule: UpdateRule,
        n_threads: int = 1,
    ) -> None:
        self._members, self._tables = members, tables
        self._launches = make_launches(members, tables, rule)
        self._state = FleetState(members, self._launches.placements, rule.n_moments, tables.dtype)
        self._orders = RowOrders(members, tables.tables, n_threads)
        self._full_passes: dict[tuple[Network, int], FullPass] = {}

    def epochs(self, plans: dict[int, EpochPlan]) -> dict[int, NDArray[np.float64]]:
        """Train members for some epochs, in one launch: see `model.fleet.Fleet`."""
        n_epochs = {
            i: self._orders.n_epochs_of_a_launch(i, plan.max_epochs) for i, plan in plans.items()
        }
        arguments = self._launch_arguments(plans, n_epochs, self._orders.draw(n_epochs))
        arguments = LaunchArguments(*(gpu.to_device(array) for array in arguments))
        self._launches.launch(self._state.on_device, arguments)
        self._orders.draw_ahead({i: plan.max_epochs for i, plan in plans.items()})
        losses = gpu.to_host(arguments.losses)
        n_made = dict(zip(plans, gpu.to_host(arguments.n_epochs).tolist(), strict=True))
        self._orders.settle(n_made)
        return {i: losses[entry, :n] for entry, (i, n) in enumerate(n_made.items())}

    def parameters(self, i: int) -> NDArray[np.floating]:
        """Copy a member's parameters to a new vector."""
        return self._state.parameters(i)

    def moments(self, i: int) -> Moments:
        """Copy what a member's update rule remembers."""
        return self._state.moments(i)

    def gradient(self, i: int, parameters: NDArray[np.floating]) -> NDArray[np.floating]:
        """Gradient of a member's loss over all of its rows, weight decay included."""
        member = self._members[i]
        key = member.network, member.table
        if key not in self._full_passes:
            self._full_passes[key] = FullPass(member.network, self._tables, member.table)
        return self._full_passes[key].loss_and_gradient(parameters, member.alpha)[1]

    def _launch_arguments(
        self, plans: dict[int, EpochPlan], n_epochs: dict[int, int], orders: list[RowOrder]
    ) -> LaunchArguments:
        """Say what a launch does: an entry for each plan, with its number of epochs and order."""
        members = [self._members[i] for i in plans]
        longest = max(n_epochs.values())
        distinct, order_of = self._distinct_orders(members, orders, longest)
        divisors, n_counted = self._divisors(members, orders, list(n_epochs.values()))
        settings = [
            (*plan.rule[1:], member.alpha, *plan.patience)
            for plan, member in zip(plans.values(), members, strict=True)
        ]
        return LaunchArguments(
            networks=np.array(list(plans), np.int64),
            orders=distinct,
            order_of=order_of,
            n_rows=np.array([self._n_rows(member) for member in members], np.int64),
            batch_sizes=np.array([member.batch_size for member in members], np.int64),
            divisors=divisors,
            n_counted=n_counted,
            settings=np.array(settings, np.float64),
            rule_codes=np.array([plan.rule.code for plan in plans.values()], np.int64),
            n_epochs=np.array(list(n_epochs.values()), np.int64),
            losses=np.zeros((len(plans), longest)),
        )

    def _distinct_orders(
        self, members: list[FleetMember], orders: list[RowOrder], longest: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Give row numbers on the device of each distinct order, and which is each entry's."""
        tables = {id(order): member.table for member, order in zip(members, orders, strict=True)}
        by_id = {id(order): order for order in orders}
        n_rows = max(self._n_rows(member) for member in members)
        numbers = np.zeros((len(by_id), longest, n_rows), np.int32)
        for of_order, (key, order) in zip(numbers, by_id.items(), strict=True):
            epochs = order.epochs[:longest]
            of_order[: len(epochs), : len(epochs[0])] = epochs
            of_order += np.int32(self._tables.starts[tables[key]])
        places = {key: place for place, key in enumerate(by_id)}
        return numbers, np.array([places[id(order)] for order in orders], np.int64)

    def _divisors(
        self, members: list[FleetMember], orders: list[RowOrder], n_epochs: list[int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give what each batch's sums are divided by, and how many rows of each epoch count."""
        data = [self._tables.tables[member.table] for member in members]
        is_online = members[0].batch_size == 1
        n_batches = max(
            1 if is_online else -(-table.n_samples // member.batch_size)
            for table, member in zip(data, members, strict=True)
        )
        divisors = np.zeros((len(members), max(n_epochs), n_batches))
        n_counted = np.ones((len(members), max(n_epochs)))
        for entry, (table, member) in enumerate(zip(data, members, strict=True)):
            if is_online:
                divisors[entry], n_counted[entry] = table.mean_weight, table.n_samples
                continue
            for epoch, rows in enumerate(orders[entry].epochs[: n_epochs[entry]]):
                of_epoch, counted = batch_divisors(table, rows, member.batch_size)
                divisors[entry, epoch, : len(of_epoch)] = of_epoch
                n_counted[entry, epoch] = counted
        return divisors, n_counted

    def _n_rows(self, member: FleetMember) -> int:
        return self._tables.tables[member.table].n_samples
