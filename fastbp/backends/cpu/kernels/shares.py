"""What the members of a team share, and which items of work are whose: see ``team.py``."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.kernels.workspace import Workspace, cut
from fastbp.backends.cpu.layout import Layout
from fastbp.machine.chip import VECTOR_BYTES
from fastbp.machine.matmul import TILE_VECTORS
from fastbp.machine.memory import aligned_zeros
from fastbp.machine.waiting import clock_and_yield

__all__ = ["Team", "can_wait", "make_team"]

#: Integers between numbers that different threads write: two lines of the cache, which chips fetch
#: in pairs.
LINE = 16
#: The kinds of items, which is also where in a member's line its queue of each is; and where it is
#: told to leave.
ROWS, UNITS, STEPS, LEAVE = range(4)
#: Places in `Team.tally`.
ALONE, BEGUN, WAITED, CHUNKS, ITEMS, OTHERS = range(6)
#: Places in `Team.chunk`.
BEGIN, N_ROWS, IS_FIRST, IS_LAST = range(4)
#: Places in `Team.numbers`.
RATE, SCALE, DECAY, ALPHA, SQUARES = range(5)

# A member's outputs and error signals are to stay in the second-level cache.
_STORE_BYTES = 512 * 1024
#: Items of rows that a member has of a batch.
_ITEMS_OF_A_MEMBER = 3
# With many stripes, the second member waits shortly for the first; with few, it waits seldom for
# what comes from another core. Both together take least where a stripe takes the geometric mean of
# a segment's gradient and of such a wait, which is, in floating-point operations:
_FLOPS_OF_A_WAIT = 15_000
_MAX_STRIPES_OF_A_MEMBER = 8
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
        Slots of the losses of a block's pieces, a number of lines each.
    targets, row_weights, starts : ndarray
        As a workspace's, for each member.
    stripes : ndarray of shape (3 * n_stripes,)
        Layer, first and last + 1 of the units of each stripe, in whole vectors.
    shares : ndarray of shape (n_members + 1,)
        Where in the stripes each member's own begin, whose step it makes.
    queues : ndarray of shape (LINE * n_members,)
        Each member's queue of each kind of item (see ``team.py``), and a 1 when it is to leave.
    n_rows_done : ndarray of shape (LINE * n_members,)
        How many items of rows of each segment have been done in this call.
    progress : ndarray of shape (LINE * n_stripes,)
        How many items of each stripe have been done in this call.
    chunk : ndarray of shape (4,)
        What the items of a chunk have to know: where in the rows it begins, how many rows it has,
        whether it is the batch's first or last one.
    segments : ndarray of shape (n_members + 1,)
        Where in the chunk's rows each segment begins.
    n_rows_due : ndarray of shape (n_members,)
        What is in ``n_rows_done`` when all rows of a segment are done.
    numbers : ndarray of shape (5,)
        Rate, scale and decay of the step; alpha; |W|^2.
    tally : ndarray of shape (6,)
        The leader's: whether it is alone; when the call began and how long it has waited since, in
        ns; how many chunks and items there were, and how many items others have done.
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
    n_rows_done: NDArray[np.int64]
    progress: NDArray[np.int64]
    chunk: NDArray[np.int64]
    segments: NDArray[np.int64]
    n_rows_due: NDArray[np.int64]
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


def make_team(layout: Layout, workspace: Workspace, batch_size: int, n_members: int) -> Team:
    """Make what a team shares, for batches of about so many rows."""
    dtype = workspace.parameters.dtype
    slot_size, block_rows = workspace.outputs.size, workspace.block_rows
    slots_of_a_batch = -(-batch_size // block_rows)
    fitting = n_members * _STORE_BYTES // (2 * slot_size * dtype.itemsize)
    n_slots = min(slots_of_a_batch, max(1, fitting), _MAX_SLOTS)
    piece_rows = workspace.piece_rows
    rows = min(batch_size, n_slots * block_rows) / (_ITEMS_OF_A_MEMBER * n_members)
    item_rows = min(-int(-rows // piece_rows) * piece_rows, block_rows)
    flops = 2 * layout.n_weights * min(batch_size, n_slots * block_rows) / n_members
    n_stripes = min((flops / _FLOPS_OF_A_WAIT) ** 0.5, _MAX_STRIPES_OF_A_MEMBER * n_members)
    stripes, shares = _stripes(layout, dtype, n_stripes, n_members)
    lines_of_starts = -(-len(workspace.starts) // LINE)
    lines_of_losses = -(-len(workspace.losses) // LINE)
    # A row's place in the last slot may have no whole block behind it, of which none is used.
    lengths = {
        "outputs": n_slots * slot_size + block_rows,
        "deltas": n_slots * slot_size + block_rows,
        "targets": n_members * workspace.targets.size,
        "row_weights": n_members * workspace.row_weights.size,
    }
    clock, leave = clock_and_yield() or (0, 0)

    def integers(n_lines: int) -> NDArray[np.int64]:
        return aligned_zeros(n_lines * LINE, np.int64)

    return Team(
        parameters=workspace.parameters,
        first=workspace.first,
        second=workspace.second,
        workspace=workspace,
        **cut(lengths, dtype),
        losses=aligned_zeros(n_slots * LINE * lines_of_losses, np.float64),
        starts=integers(n_members * lines_of_starts),
        stripes=stripes,
        shares=shares,
        queues=integers(n_members),
        n_rows_done=integers(n_members),
        progress=integers(len(stripes) // 3),
        chunk=integers(1),
        segments=np.zeros(n_members + 1, np.int64),
        n_rows_due=np.zeros(n_members, np.int64),
        numbers=aligned_zeros(LINE, np.float64),
        tally=integers(1),
        n_members=n_members,
        n_slots=n_slots,
        slot_size=slot_size,
        item_rows=item_rows,
        clock=clock,
        leave=leave,
    )


def _stripes(
    layout: Layout, dtype: np.dtype, n_stripes: float, n_members: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut all layers' units into about so many stripes, and those into shares of the same work."""
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
    largest = total / n_stripes
    stripes: list[list[int]] = []
    ends, n_weights_of_last = [], 0
    for layer, begin, end, n_weights in grains:
        before += n_weights
        is_same = bool(stripes) and stripes[-1][0] == layer
        if is_same and n_weights_of_last + n_weights / 2 <= largest:
            stripes[-1][2], ends[-1] = end, before
            n_weights_of_last += n_weights
        else:
            stripes.append([layer, begin, end])
            ends.append(before)
            n_weights_of_last = n_weights
    places = np.array([0, *ends])
    cuts = [np.abs(places - total * i / n_members).argmin() for i in range(n_members + 1)]
    return np.array(stripes, np.int64).ravel(), np.array(cuts, np.int64)
