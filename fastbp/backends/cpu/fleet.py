"""Networks trained side by side on the CPU, one in each lane of a vector.

The networks of a fleet are of one kind; their parameters, moments, generators and orders of rows
lie in tables (`Members`), from which each call of a kernel takes as many as a vector has lanes, and
to which it puts them back. A network's numbers do not depend on who is beside it: groups are made
anew for each call from those that are still trained, and threads take groups as they come.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu import load_kernels
from fastbp.backends.cpu.full_pass import FullPass
from fastbp.backends.cpu.lane_layout import lane_layout
from fastbp.machine.chip import VECTOR_BYTES
from fastbp.machine.memory import aligned_zeros
from fastbp.machine.threads import rows_per_call, run_all
from fastbp.model.data import Data
from fastbp.model.fleet import FleetMember
from fastbp.model.network import Network
from fastbp.model.objective import EpochPlan
from fastbp.model.own_records import is_own
from fastbp.model.update_rules import Moments, UpdateRule

__all__ = ["Fleet", "fits_lanes", "n_lanes"]

#: Bytes of the lanes' parameters and moments, beyond which a call waits for memory.
_MAX_BYTES = 128 * 1024
#: Rows of the largest batch that lanes are for: beyond, one network's rows fill vectors as well.
_MAX_BATCH = 8
#: An epoch, after which Python looks for Ctrl-C, may take as long as so many calls of short epochs.
_MAX_CALLS_AN_EPOCH = 16
#: Largest table: the rows of all tables are copied to one, and each member has an order of them.
_MAX_ROWS, _MAX_TABLE_BYTES = 100_000, 16 * 1024**2
#: How much a scale may shrink in a step, so that it stays a number of its kind for 256 of them.
_MAX_DECAY = 0.01
_WORDS = 624


def n_lanes(dtype: np.dtype) -> int:
    """How many networks are trained in the lanes of a vector."""
    return VECTOR_BYTES // dtype.itemsize


def fits_lanes(
    network: Network, data: Data, decay: float, batch_size: int, rule: UpdateRule
) -> bool:
    """Whether a network is one that lanes are for, and gains by being in one.

    Parameters
    ----------
    network : Network
        The network.
    data : Data
        What it is trained on.
    decay : float
        The largest weight decay of a step: learning rate times alpha.
    batch_size : int
        Rows of a batch.
    rule : UpdateRule
        The update rule.

    Returns
    -------
    fits : bool
        Whether the rows are dense, each with a weight above 0, a batch is few of them, and the
        lanes' parameters and moments, and a batch's outputs, stay in the cache. A network with a
        user's own activation or loss is for itself: if that does not compile, no other shall
        suffer.
    """
    if is_own(network.loss_record) or any(map(is_own, network.activations)):
        return False
    if batch_size == 1:
        n_numbers = network.n_parameters * (1 + rule.n_moments)
        decays_slowly = decay <= _MAX_DECAY * data.mean_weight
    else:
        n_numbers = network.n_parameters * (2 + rule.n_moments)
        n_numbers += batch_size * sum(3 * size for size in network.layer_sizes)
        decays_slowly = True  # there is no scale
    return (
        batch_size <= _MAX_BATCH
        and decays_slowly
        and len(data.row_starts) == 0
        and bool((data.weights > 0).all())
        and n_numbers * VECTOR_BYTES <= _MAX_BYTES
        and data.n_samples
        <= min(_MAX_ROWS, _MAX_CALLS_AN_EPOCH * _rows_per_call(network, data.dtype))
        and data.X.nbytes <= _MAX_TABLE_BYTES
    )


def _rows_per_call(network: Network, dtype: np.dtype) -> int:
    return rows_per_call(6 * network.n_parameters * n_lanes(dtype)) // 4


class Fleet:
    """Networks of one kind that are trained side by side on the CPU: a `model.fleet.Fleet`.

    Parameters
    ----------
    members : sequence of FleetMember
        The networks: all the same, but for their parameters, in batches of the same size.
    tables : sequence of Data
        Their data.
    rule : UpdateRule
        The update rule of all; its constants come with each plan, and are the same for all but the
        learning rate.
    n_threads : int, default=1
        Threads to train in, a group of networks in each.
    """

    def __init__(
        self,
        members: Sequence[FleetMember],
        tables: Sequence[Data],
        rule: UpdateRule,
        n_threads: int = 1,
    ) -> None:
        self._kernels = load_kernels()
        self._members, self._tables, self._n_threads = members, tables, n_threads
        self._network, self._dtype = members[0].network, tables[0].dtype
        self._batch_size = members[0].batch_size
        self._state = self._take(rule)
        self._layout = lane_layout(self._network, self._dtype, rule, self._batch_size)
        self._full_passes: dict[int, FullPass] = {}
        self._spare_workspaces: list[Any] = []

    def _take(self, rule: UpdateRule) -> Any:
        """Make the tables of what the members are; their generators go on in these."""
        members = self._members
        n_rows = max(table.n_samples for table in self._tables)
        starts = np.cumsum([0, *(table.n_samples for table in self._tables)])
        columns = [slice(self._network.n_parameters if rule.n_moments > i else 0) for i in (0, 1)]
        state = self._kernels.Members(
            parameters=np.array([member.parameters for member in members]),
            first=np.array([member.moments.first[columns[0]] for member in members]),
            second=np.array([member.moments.second[columns[1]] for member in members]),
            n_steps=np.array([member.moments.n_steps for member in members], np.int64),
            words=np.zeros(len(members) * _WORDS, np.uint32),
            positions=np.zeros(len(members), np.int64),
            rows=_first_orders(members, starts, n_rows),
            table=np.concatenate([_rows_of(table) for table in self._tables]).ravel(),
            length=self._network.layer_sizes[0] + 2 * self._network.layer_sizes[-1],
            n_places=n_rows,
        )
        for i, member in enumerate(members):
            if len(member.shuffles.generator.words):
                words = state.words[i * _WORDS : (i + 1) * _WORDS]
                member.shuffles.move_to(words, state.positions[i : i + 1])
        return state

    def epochs(self, plans: dict[int, EpochPlan]) -> dict[int, NDArray[np.float64]]:
        """Train members for some epochs: see `model.fleet.Fleet`."""
        n = n_lanes(self._dtype)
        # Of one length together, so that their epochs end together.
        order = sorted(plans, key=lambda i: (self._data(i).n_samples, i))
        groups = [order[start : start + n] for start in range(0, len(order), n)]
        losses: dict[int, NDArray[np.float64]] = {}

        def train(group: list[int]) -> Iterator[None]:
            losses.update(self._train(group, [plans[i] for i in group]))
            yield

        run_all(train, groups, min(self._n_threads, len(groups)))
        return {i: losses[i] for i in plans}

    def parameters(self, i: int) -> NDArray[np.floating]:
        """Copy a member's parameters to a new vector."""
        return self._state.parameters[i].copy()

    def moments(self, i: int) -> Moments:
        """Copy what a member's update rule remembers."""
        given, state = self._members[i].moments, self._state
        first, second = (
            (kept[i] if kept.shape[1] else unused).copy()
            for kept, unused in ((state.first, given.first), (state.second, given.second))
        )
        return Moments(first, second, int(state.n_steps[i]))

    def gradient(self, i: int, parameters: NDArray[np.floating]) -> NDArray[np.floating]:
        """Gradient of a member's loss over all of its rows, weight decay included."""
        table = self._members[i].table
        if table not in self._full_passes:
            self._full_passes[table] = FullPass(self._network, self._tables[table], 1)
        return self._full_passes[table].loss_and_gradient(parameters, self._members[i].alpha)[1]

    def _data(self, i: int) -> Data:
        return self._tables[self._members[i].table]

    def _train(self, group: list[int], plans: list[EpochPlan]) -> dict[int, NDArray[np.float64]]:
        """Train as many members as there are lanes, in one call."""
        lane_plans, rule = self._lane_plans(group, plans), plans[0].rule
        try:
            workspace = self._spare_workspaces.pop()
        except IndexError:  # all are in use by other threads
            workspace = self._make_workspace()
        run = self._kernels.lane_batches
        if self._batch_size == 1:
            run = self._kernels.LANE_KERNELS[rule.code]
        here = workspace._replace(has_decay=bool(lane_plans.decay.any()))
        run(self._layout, self._state, lane_plans, rule, here)
        self._spare_workspaces.append(workspace)
        return {
            i: losses[:n_made]
            for i, losses, n_made in zip(
                group, lane_plans.losses, lane_plans.n_made.tolist(), strict=False
            )
        }

    def _lane_plans(self, group: list[int], plans: list[EpochPlan]) -> Any:
        members, data = [self._members[i] for i in group], [self._data(i) for i in group]
        per_call = _rows_per_call(self._network, self._dtype)
        n_epochs = [
            min(plan.max_epochs, max(1, per_call // table.n_samples))
            for plan, table in zip(plans, data, strict=True)
        ]
        n = n_lanes(self._dtype)

        def of_lanes(numbers: Sequence[float], dtype: Any = np.float64) -> NDArray:
            """Give each lane its number, the last one's to lanes that nobody is in."""
            return np.array([*numbers, *[numbers[-1]] * (n - len(numbers))], dtype)

        return self._kernels.LanePlans(
            members=np.array(group, np.int64),
            shuffles=np.array([len(each.shuffles.generator.words) > 0 for each in members], int),
            n_rows=of_lanes([table.n_samples for table in data], np.int64),
            n_epochs=of_lanes(n_epochs, np.int64),
            n_made=np.zeros(n, np.int64),
            learning_rate=of_lanes([plan.rule.learning_rate for plan in plans]),
            decay=of_lanes(
                [one.alpha / table.mean_weight for one, table in zip(members, data, strict=True)]
            ),
            best_loss=of_lanes([plan.patience.best_loss for plan in plans]),
            tol=of_lanes([plan.patience.tol for plan in plans]),
            n_no_improvement=of_lanes([plan.patience.n_no_improvement for plan in plans]),
            max_bad_epochs=of_lanes([plan.patience.max_bad_epochs for plan in plans]),
            losses=np.zeros((n, max(n_epochs))),
            batch_rows=self._batch_size,
        )

    def _make_workspace(self) -> Any:
        n, dtype, n_rows = n_lanes(self._dtype), self._dtype, self._batch_size
        n_units, n_outputs = sum(self._network.layer_sizes[1:]), self._network.layer_sizes[-1]
        lengths = [kept.shape[1] for kept in self._state[:3]]
        gradient = 0 if n_rows == 1 else self._network.n_parameters
        workspace = self._kernels.LaneWorkspace(
            *(aligned_zeros(k * n, dtype) for k in (*lengths, gradient)),
            *(aligned_zeros(n_rows * n_units * n, dtype) for _ in range(3)),
            samples=aligned_zeros(max(2, n_rows) * self._state.length * n, dtype),
            loss_parameters=aligned_zeros(n_outputs * n, dtype),
            losses=aligned_zeros(n_outputs * n, dtype),
            **{name: aligned_zeros(n, np.float64) for name in _OF_LANES},
            **{name: np.zeros(n, np.int64) for name in ("position", "end", "row", "left")},
            draws=np.zeros(self._state.n_places + 1, np.int64),
            has_decay=False,
        )
        workspace.loss_parameters[:] = np.repeat(self._network.loss_parameter_of_outputs, n)
        return workspace


_OF_LANES = (
    "scale", "factor", "squares", "power_1", "power_2", "loss_sum", "batch_size", "divisor"
)  # fmt: skip


def _rows_of(data: Data) -> NDArray[np.floating]:
    """Put a table's inputs, targets and weights side by side: what is read of a row is together."""
    weights = data.weights if len(data.weights) else np.ones(data.n_samples, data.dtype)
    scaled = (weights / data.dtype.type(data.mean_weight))[:, None]
    return np.hstack([data.X, data.y, np.repeat(scaled, data.y.shape[1], axis=1)])


def _first_orders(
    members: Sequence[FleetMember], starts: NDArray[np.int64], n_rows: int
) -> NDArray[np.int32]:
    """Give each member's rows in their order, as places in the table of all."""
    orders = np.empty((len(members), n_rows), np.int32)
    for order, member in zip(orders, members, strict=True):
        order[:] = np.arange(starts[member.table], starts[member.table] + n_rows)
    return orders.ravel()
