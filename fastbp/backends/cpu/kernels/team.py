"""Mini-batches by a team: threads that share every batch, in one compiled call each.

A batch's rows are cut into as many *segments* as there are members, the units of all layers into
*stripes*; the work is cut into items of three kinds:

    rows     some rows of a segment: forward and backward pass; outputs and error signals stay where
             all members could see them
    units    a stripe's gradient of a segment's rows, added to that of the segments before
    steps    the step of a stripe's parameters along the finished gradient

No sum is cut: a stripe's gradient passes from segment to segment, and every number is made by the
additions that `batch_epochs` makes, in the same order. So it has the same bits for any number of
members. While one adds its segment to a stripe, the next one adds its own to the stripe before, as
on an assembly line; what goes from core to core is the gradient and the new parameters, not what
belongs to rows. A batch of more blocks of rows than there are slots for is done in *chunks*.

The leader runs the epochs. It posts a chunk by filling each member's queues; members claim one item
after another, first from their own queues, whose numbers are in their cache, then from the others'.
A chunk ends when its items are done, not when all members have come: who has no core is not waited
for, unless it has begun an item. One that waits pauses for some microseconds and then gives up its
core again and again. If the leader has waited for a larger part of the time than the others did of
the work, it dissolves the team and goes on alone.

Nobody waits for ever. An item waits for others of segments before its own, or, a step, for all of
its stripe's; and the leader claims those before, if nobody else has.

A queue is one number: the chunk's number * 2^32 + the end of its items * 2^16 + the next one.
"""

from fastbp.backends.cpu.kernels.batch import sweep_of, with_penalty
from fastbp.backends.cpu.kernels.epochs import epochs_of
from fastbp.backends.cpu.kernels.items import (
    PAUSES,
    await_number,
    cell_of,
    do_rows,
    do_step,
    do_units,
)
from fastbp.backends.cpu.kernels.packing import transpose_layers
from fastbp.backends.cpu.kernels.shares import (
    ALONE,
    ALPHA,
    BEGIN,
    BEGUN,
    CHUNKS,
    DECAY,
    IS_FIRST,
    IS_LAST,
    ITEMS,
    LEAVE,
    LINE,
    N_ROWS,
    OTHERS,
    RATE,
    ROWS,
    SCALE,
    SQUARES,
    STEPS,
    UNITS,
    WAITED,
)
from fastbp.backends.cpu.kernels.update_rules import step_size
from fastbp.backends.cpu.layout import Layout
from fastbp.machine.atomics import atomic_load, atomic_replace, atomic_store, pause
from fastbp.machine.extremes import smaller
from fastbp.machine.jit import kernel, part, routine
from fastbp.machine.waiting import nanoseconds, yield_core
from fastbp.model.data import Data

__all__ = ["team_epochs"]

_ITEM = 2**16 - 1
#: After so long without work a helper leaves by itself.
_IDLE_NANOSECONDS = 20_000_000
#: So much waiting is no reason to dissolve a team.
_FREE_NANOSECONDS = 300_000


@routine
def _do_all(network, data, rows, rule, team, member, owner, kind, is_patient):
    """Do what is in a queue; steps that would have to wait only if patient. Returns how many."""
    n_done, place = 0, owner * LINE + kind
    while True:
        word = atomic_load(team.queues, place)
        item, before = word & _ITEM, ((word >> 32) - 1) * (team.n_members + 1)
        if item >= (word >> 16) & _ITEM:
            return n_done
        if kind == STEPS and not is_patient:
            if atomic_load(team.progress, item * LINE) < before + team.n_members:
                return n_done
        if not atomic_replace(team.queues, place, word, word + 1):
            continue
        # What is said of a chunk holds until all of its items are done, so also until this one is.
        if kind == ROWS:
            do_rows(network, data, rows, team, member, owner, item)
        elif kind == UNITS:
            do_units(network, team, member, owner, item, before)
        else:
            do_step(network, rule, team, member, item, before)
        n_done += 1


@routine
def _work(network, data, rows, rule, team, member):
    """Do items until there are none to be claimed; returns how many."""
    n_done, n = 0, team.n_members
    for turn in range(n):
        owner = (member + turn) % n
        n_done += _do_all(network, data, rows, rule, team, member, owner, ROWS, False)
        n_done += _do_all(network, data, rows, rule, team, member, owner, UNITS, False)
        if turn == 0:
            n_done += _do_all(network, data, rows, rule, team, member, owner, STEPS, False)
    for turn in range(n):
        owner = (member + turn) % n
        n_done += _do_all(network, data, rows, rule, team, member, owner, STEPS, True)
    return n_done


@part
def _help(network, data, rows, rule, team, member):
    """Take part in the chunks until there are no more."""
    seen, place = 0, member * LINE
    while True:
        _await_chunk(team, place, seen)
        number = atomic_load(team.queues, place) >> 32
        if number == seen or atomic_load(team.queues, place + LEAVE) == 1:
            return
        _work(network, data, rows, rule, team, member)
        seen = number


@part
def _await_chunk(team, place, seen):
    """Wait for another chunk than the one seen, for the call to leave, or for too long."""
    for _ in range(PAUSES):
        if _is_called(team, place, seen):
            return
        pause()
    begun = nanoseconds(team.clock)
    while nanoseconds(team.clock) - begun < _IDLE_NANOSECONDS:
        if _is_called(team, place, seen):
            return
        yield_core(team.leave)


@part
def _is_called(team, place, seen):
    is_new = atomic_load(team.queues, place) >> 32 != seen
    return is_new or atomic_load(team.queues, place + LEAVE) == 1


@part
def _run_chunk(network, data, rows, rule, team):
    """Post a chunk, take part in it, and wait for its end."""
    tally, n = team.tally, team.n_members
    n_items, n_stripes = _post(team), team.progress.size // LINE
    n_own = _work(network, data, rows, rule, team, 0)
    for stripe in range(n_stripes):
        await_number(team, 0, team.progress, stripe * LINE, tally[CHUNKS] * (n + 1))
    tally[ITEMS] += n_items
    tally[OTHERS] += n_items - n_own
    if tally[WAITED] > _FREE_NANOSECONDS and tally[ALONE] == 0:
        time = nanoseconds(team.clock) - tally[BEGUN]
        if tally[WAITED] - _FREE_NANOSECONDS > time * (tally[OTHERS] / tally[ITEMS]):
            tally[ALONE] = 1
            _send_away(team)


@part
def _post(team):
    """Cut a chunk's rows into segments and fill the queues; returns how many items there are."""
    n, block_rows, piece_rows = team.n_members, team.workspace.block_rows, team.workspace.piece_rows
    n_rows, n_stripes, n_steps = team.chunk[N_ROWS], team.progress.size // LINE, 0
    for i in range(1, n + 1):
        row = (n_rows * i + n // 2) // n
        row -= row % block_rows % piece_rows
        team.segments[i] = row if i < n else n_rows
    if team.chunk[IS_LAST] == 1:
        n_steps = n_stripes
        if team.numbers[ALPHA] > 0.0:
            team.n_rows_due[n - 1] += 1  # |W|^2
    for i in range(n):
        begin, end = team.segments[i], team.segments[i + 1]
        if begin < end:
            team.n_rows_due[i] += cell_of(team, end - 1) - cell_of(team, begin) + 1
    team.tally[CHUNKS] += 1
    number, n_items = team.tally[CHUNKS] << 32, n * n_stripes + n_steps
    for i in range(n):
        n_before = atomic_load(team.n_rows_done, i * LINE)
        n_own = team.n_rows_due[i] - n_before
        n_items += n_own
        if n_steps > 0:
            steps = (team.shares[i + 1] << 16) | team.shares[i]
            atomic_store(team.queues, i * LINE + STEPS, number | steps)
        atomic_store(team.queues, i * LINE + UNITS, number | (n_stripes << 16))
        # The last, since by this a helper notices a chunk.
        atomic_store(team.queues, i * LINE + ROWS, number | (n_own << 16))
    return n_items


@part
def _send_away(team):
    for member in range(1, team.n_members):
        atomic_store(team.queues, member * LINE + LEAVE, 1)


@part
def _add_losses(loss, team):
    """Add the chunk's losses, block by block."""
    w, n_rows = team.workspace, team.chunk[N_ROWS]
    for begin in range(0, n_rows, w.block_rows):
        of_block, first = 0.0, begin // w.block_rows * (team.losses.size // team.n_slots)
        n = smaller(w.block_rows, n_rows - begin)
        for piece in range((n + w.piece_rows - 1) // w.piece_rows):
            of_block += team.losses[first + piece]
        loss += of_block
    return loss


@part
def _make_step(network, data, rows, start, n, alpha, divisor, rule, n_steps, team):
    """Do what `batch._make_step` does, chunk by chunk."""
    chunk, numbers = team.chunk, team.numbers
    numbers[RATE], numbers[ALPHA] = step_size(rule, n_steps), alpha
    numbers[SCALE], numbers[DECAY] = 1.0 / divisor, alpha / divisor
    if team.tally[CHUNKS] == 0:
        transpose_layers(network, team.workspace)
    loss, per_chunk = 0.0, team.n_slots * team.workspace.block_rows
    for begin in range(0, n, per_chunk):
        chunk[BEGIN], chunk[N_ROWS] = start + begin, smaller(per_chunk, n - begin)
        chunk[IS_FIRST], chunk[IS_LAST] = begin == 0, begin + per_chunk >= n
        _run_chunk(network, data, rows, rule, team)
        loss = _add_losses(loss, team)
    if alpha > 0.0:
        loss = with_penalty(loss, alpha, numbers[SQUARES])
    return loss


_epochs = epochs_of(sweep_of(_make_step))


@kernel
def team_epochs(
    member, network: Layout, parameters, data: Data, rows, batch_size, alpha, rule, moments, state,
    team,
):  # fmt: skip
    """Do what `batch_epochs` does as member 0, the leader, or help it as another one.

    member : int.  team : Team, the same for all; the other arguments and what is returned are those
    of `batch_epochs`. What is returned to a helper means nothing.
    """
    if member > 0:
        _help(network, data, rows, rule, team, member)
        return 0, 0, moments[2]
    team.tally[BEGUN] = nanoseconds(team.clock)
    result = _epochs(network, parameters, data, rows, batch_size, alpha, rule, moments, state, team)
    _send_away(team)
    return result
