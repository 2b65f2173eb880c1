"""What the members of a team share, and which items of work are whose: see ``team.py``."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.kernels.workspace import Workspace, cut
from fastbp.backends.cpu.layout import Layout
from fastbp.machine.chip import VECTOR_BYTES
from fastbp.machine.matmul import TILE_VECTORS
from fastbp.machine.waiting import clock_and_yield

__all__ = ["END", "LINE", "Team", "can_wait", "make_team"]

#: Integers between numbers that different threads write: two lines of the cache, which chips fetch
#: in pairs.
LINE = 16
#: What `Team.phase` holds when members are to leave.
END = -1
#: Places in `Team.tally`.
ALONE, BEGUN, WAITED, PHASES, ITEMS, OTHERS = range(6)
#: Places in `Team.chunk`.
BEGIN, ROWS, N_ITEMS, IS_FIRST, IS_LAST = range(5)
#: Places in `Team.numbers`.
RATE, SCALE, DECAY, ALPHA, PENALTY = range(5)

# A member's outputs and error signals are to stay in the second-level cache, and so is what an item
# of units sums and then moves the parameters along.
_STORE_BYTES = 512 * 1024
_STRIPE_BYTES = 128 * 1024
#: Items of rows that a member has of a batch: as many as even out what threads lose to others.
_ITEMS_OF_A_MEMBER = 3
_MAX_SLOTS = 256


class Team(NamedTuple):
    """What the members share, beside the arguments of `batch_epochs`.

    Attributes
    ----------
    parameters, first, second : ndarray of shape (n_padded,)
        The workspace's.
    workspace : Workspace
        The leader's, of which all use parameters, gradient, moments and transposed weights.
    outputs, deltas : ndarray
        Slots, each as a workspace's for one block of rows.
    losses : ndarray
        The same of the losses of pieces.
    targets, row_weights : ndarray
        As a workspace's, for each member.
    starts : ndarray
        Likewise, a number of lines for each member.
    stripes : ndarray of shape (3 * n_stripes,)
        Layer, first and last + 1 of the units of each item of units, in whole vectors.
    shares : ndarray of shape (n_members + 1,)
        Where in the items of units each member's own begin.
    queues : ndarray of shape (LINE * n_members,)
        Each member's queue.
    phase, n_done : ndarray of shape (LINE,)
        The number of the phase now, or that it is over; how many items others than the leader have
        done.
    chunk : ndarray of shape (5,)
        What an item has to know: where in the rows the chunk begins, how many rows it has; how many
        items of rows or of units there are; whether it is the batch's first or last chunk.
    numbers : ndarray of shape (5,)
        Rate, scale and decay of the step; alpha, and the penalty.
    tally : ndarray of shape (6,)
        The leader's: whether it is alone; when the call began and how long it has waited since, in
        ns; how many phases and items there were, and how many items others have done.
    n_members, n_slots, slot_size, item_rows : int
        Members; slots, and the length of one; rows of an item, in whole pieces.
    clock, leave : int
        Addresses that `nanoseconds` and `yield_core` take.
    """

    parameters: NDArray[np.floating]
    first: NDArray[np.floating]
    second: NDArray[np.floating]
    workspace: Workspace
    outputs: NDArray[np.floating]
    deltas: NDArray[np.floating]
    losses: NDArray[np.float64]
    targets: NDArray[np.floating]
    row_weights: NDArray[np.floating]
    starts: NDArray[np.int64]
    stripes: NDArray[np.int64]
    shares: NDArray[np.int64]
    queues: NDArray[np.int64]
    phase: NDArray[np.int64]
    n_done: NDArray[np.int64]
    chunk: NDArray[np.int64]
    numbers: NDArray[np.float64]
    tally: NDArray[np.int64]
    n_members: int
    n_slots: int
    slot_size: int
    item_rows: int
    clock: int
    leave: int


def can_wait() -> bool:
    """Whether members can wait for each other on this system."""
    return clock_and_yield() is not None


def make_team(
    layout: Layout, dtype: np.typing.DTypeLike, workspace: Workspace, batch_size: int, n_members: int
) -> Team:
    """Make what a team shares, for batches of about so many rows."""
    dtype = np.dtype(dtype)
    slot_size, block_rows = workspace.outputs.size, workspace.block_rows
    slots_of_a_batch = -(-batch_size // block_rows)
    fitting = n_members * _STORE_BYTES // (2 * slot_size * dtype.itemsize)
    n_slots = min(slots_of_a_batch, max(1, fitting), _MAX_SLOTS)
    piece_rows = workspace.piece_rows
    rows = min(batch_size, n_slots * block_rows) / (_ITEMS_OF_A_MEMBER * n_members)
    item_rows = min(-int(-rows // piece_rows) * piece_rows, block_rows)
    stripes, shares = _stripes(layout, dtype, n_members)
    lines_of_starts = -(-len(workspace.starts) // LINE)
    # A row's place in the last slot may have no whole block behind it, of which none is used.
    lengths = {
        "outputs": n_slots * slot_size + block_rows,
        "deltas": n_slots * slot_size + block_rows,
        "targets": n_members * workspace.targets.size,
        "row_weights": n_members * workspace.row_weights.size,
    }
    clock, leave = clock_and_yield() or (0, 0)
    return Team(
        parameters=workspace.parameters,
        first=workspace.first,
        second=workspace.second,
        workspace=workspace,
        **cut(lengths, dtype),
        losses=np.zeros(n_slots * len(workspace.losses)),
        starts=np.zeros(n_members * lines_of_starts * LINE, np.int64),
        stripes=stripes,
        shares=shares,
        queues=np.zeros(n_members * LINE, np.int64),
        phase=np.zeros(LINE, np.int64),
        n_done=np.zeros(LINE, np.int64),
        chunk=np.zeros(LINE, np.int64),
        numbers=np.zeros(LINE),
        tally=np.zeros(LINE, np.int64),
        n_members=n_members,
        n_slots=n_slots,
        slot_size=slot_size,
        item_rows=item_rows,
        clock=clock,
        leave=leave,
    )


def _stripes(
    layout: Layout, dtype: np.dtype, n_members: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut the units of all layers into items, and those into shares of about the same work."""
    lanes = VECTOR_BYTES // dtype.itemsize
    grains = []  # layer, first and last + 1 unit, weights
    sizes, padded = layout.sizes.tolist(), layout.padded.tolist()
    for layer, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        is_by_unit = layer > 0 or len(sizes) == 2
        step = lanes if is_by_unit else TILE_VECTORS * lanes
        ends = [*range(step, fan_out, step), padded[layer + 1]]
        for begin, end in zip([0, *ends[:-1]], ends, strict=True):
            grains.append((layer, begin, end, (fan_in + 1) * (min(end, fan_out) - begin)))
    total, before = sum(grain[-1] for grain in grains), 0
    stripes: list[list[int]] = []
    members: list[int] = []
    largest, last = _STRIPE_BYTES // dtype.itemsize, 0
    for layer, begin, end, n_weights in grains:
        member = int((before + n_weights / 2) * n_members / total)
        is_next = bool(stripes) and stripes[-1][0] == layer and members[-1] == member
        if is_next and last + n_weights <= largest:
            stripes[-1][2] = end
            last += n_weights
        else:
            stripes.append([layer, begin, end])
            members.append(member)
            last = n_weights
        before += n_weights
    shares = np.searchsorted(members, np.arange(n_members + 1))
    return np.array(stripes, np.int64).ravel(), shares.astype(np.int64)
