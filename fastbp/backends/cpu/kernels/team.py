"""Mini-batches by a team: threads that share every batch, in one compiled call each.

A batch is done in two phases, each cut into pieces of work, its *items*:

    rows     some rows of the batch: forward and backward pass; their outputs and error signals stay
             where all members see them
    units    some units of a layer: their gradient, summed over the batch's blocks of rows in order,
             and then their step

No sum is cut: every number is made by the additions that `batch_epochs` makes, in the same order, so
it has the same bits for any number of members. A batch of more blocks than there are slots for is
done by one chunk of slots after another.

The leader runs the epochs; it posts a phase by giving each member's queue the member's share of the
items. Members claim one after another, from their own queue first, whose numbers are in their cache,
then from the others'. So a phase ends when its items are done, not when all members have come: who
has no core is not waited for, unless it has begun an item. One that waits pauses for some
microseconds and then gives up its core again and again. If the leader has waited for a larger part of
its time than the others did of the work, it dissolves the team and goes on alone.

A queue is one number, which one atomic addition reads and claims from: phase * 2^32 + end * 2^16 +
next item.
"""

from fastbp.backends.cpu.kernels.batch import penalty_of, sweep_of
from fastbp.backends.cpu.kernels.epochs import epochs_of
from fastbp.backends.cpu.kernels.packing import is_by_unit, transpose_layers, transpose_units
from fastbp.backends.cpu.kernels.passes import add_gradient, errors_of_block
from fastbp.backends.cpu.kernels.shares import (
    ALONE,
    ALPHA,
    BEGIN,
    BEGUN,
    DECAY,
    END,
    IS_FIRST,
    IS_LAST,
    ITEMS,
    LINE,
    N_ITEMS,
    OTHERS,
    PENALTY,
    PHASES,
    RATE,
    ROWS,
    SCALE,
    WAITED,
)
from fastbp.backends.cpu.kernels.update_rules import move_all, step_size
from fastbp.backends.cpu.kernels.workspace import Workspace
from fastbp.machine.atomics import atomic_add, atomic_load, atomic_store, pause
from fastbp.machine.jit import kernel, part, routine
from fastbp.machine.simd import lanes, splat, store
from fastbp.machine.views import stretch
from fastbp.machine.waiting import nanoseconds, yield_core

__all__ = ["team_epochs"]

_ITEM = 2**16 - 1
#: How often one who waits looks before it gives up its core.
_PAUSES = 200
#: After so long without work a helper leaves by itself.
_IDLE_NANOSECONDS = 20_000_000
#: So much waiting is no reason to dissolve a team.
_FREE_NANOSECONDS = 300_000


@part
def _at(network, team, member, slot, row):
    """Make a workspace of a slot, from a row of its block on, for a member."""
    w, n_starts = team.workspace, team.workspace.starts.size
    starts = stretch(team.starts, member * (team.starts.size // team.n_members), n_starts)
    last = n_starts - 1
    for layer in range(n_starts):
        step = network.padded[layer] if layer < last else 1
        starts[layer] = w.starts[layer] + slot * team.slot_size + row * step
    return Workspace(
        w.parameters,
        w.gradient,
        w.first,
        w.second,
        w.transposed,
        w.transposed_starts,
        team.outputs,
        team.deltas,
        starts,
        stretch(team.targets, member * w.targets.size, w.targets.size),
        stretch(team.row_weights, member * w.row_weights.size, w.row_weights.size),
        w.products,
        w.below,
        w.is_output,
        w.loss_parameters,
        w.unit_loss_parameters,
        w.ones,
        stretch(team.losses, slot * w.losses.size + row // w.piece_rows, w.losses.size),
        w.block_rows,
        w.piece_rows,
    )


@part
def _do_rows(network, data, rows, team, member, item):
    """Forward and backward pass of some rows."""
    block_rows = team.workspace.block_rows
    per_block = (block_rows + team.item_rows - 1) // team.item_rows
    slot, row = item // per_block, item % per_block * team.item_rows
    place = slot * block_rows + row
    n = min(team.item_rows, block_rows - row, team.chunk[ROWS] - place)
    item_rows = stretch(rows, team.chunk[BEGIN] + place, n)
    errors_of_block(network, data, item_rows, _at(network, team, member, slot, row))


@part
def _do_units(network, rule, team, member, item):
    """Gradient and step of some units of a layer."""
    layer = team.stripes[3 * item]
    begin, end = team.stripes[3 * item + 1], team.stripes[3 * item + 2]
    workspace, n_rows = team.workspace, team.chunk[ROWS]
    if team.chunk[IS_FIRST] == 1:
        _clear_gradient(network, workspace, layer, begin, end)
    for slot in range((n_rows + workspace.block_rows - 1) // workspace.block_rows):
        n = min(workspace.block_rows, n_rows - slot * workspace.block_rows)
        add_gradient(network, _at(network, team, member, slot, 0), layer, n, begin, end)
    if team.chunk[IS_LAST] == 1:
        _move(network, rule, workspace, team.numbers, layer, begin, end)
        if 0 < layer < network.activations.size - 1:
            transpose_units(network, workspace, layer, begin, end)


@part
def _runs_of(network, layer, begin, end):
    """Where the weights of some units are: runs, the first's start, their length and distance."""
    start, length = network.padded_weights[layer], end - begin
    if is_by_unit(network, layer):
        per_unit = network.padded[layer]
        n_units = min(end, network.sizes[layer + 1]) - begin
        return 1, start + begin * per_unit, n_units * per_unit, 0
    return network.sizes[layer], start + begin, length, network.padded[layer + 1]


@part
def _clear_gradient(network, workspace, layer, begin, end):
    gradient = workspace.gradient
    n_runs, start, length, distance = _runs_of(network, layer, begin, end)
    for run in range(n_runs):
        for i in range(start + run * distance, start + run * distance + length, lanes(gradient)):
            store(gradient, i, splat(gradient, 0.0))
    for i in range(begin, end, lanes(gradient)):
        store(gradient, network.padded_biases[layer] + i, splat(gradient, 0.0))


@part
def _move(network, rule, workspace, numbers, layer, begin, end):
    n_runs, start, length, distance = _runs_of(network, layer, begin, end)
    decay = numbers[DECAY]
    for run in range(n_runs + 1):
        if run == n_runs:
            start, length, decay = network.padded_biases[layer] + begin, end - begin, 0.0
        move_all(
            rule, numbers[RATE], numbers[SCALE], decay, workspace.gradient,
            workspace.parameters, workspace.first, workspace.second, start, start + length,
        )  # fmt: skip
        start += distance


@routine
def _work(network, data, rows, rule, team, member):
    """Do items until there are none to be claimed; returns how many."""
    n_done = 0
    for other in range(team.n_members):
        place = (member + other) % team.n_members * LINE
        while True:
            word = atomic_load(team.queues, place)
            if word & _ITEM < (word >> 16) & _ITEM:
                word = atomic_add(team.queues, place, 1)
            item = word & _ITEM
            if item >= (word >> 16) & _ITEM:
                break
            # What an item has to know holds until all are done, so also until this one is.
            if (word >> 32) % 2 == 0:
                _do_units(network, rule, team, member, item)
            elif item == team.chunk[N_ITEMS]:
                penalty = penalty_of(network, team.workspace, team.numbers[ALPHA])
                team.numbers[PENALTY] = penalty
            else:
                _do_rows(network, data, rows, team, member, item)
            n_done += 1
            if member > 0:
                atomic_add(team.n_done, 0, 1)
    return n_done


@part
def _run_phase(network, data, rows, rule, team):
    """Post the items of the next phase, take part in it, and wait for its end."""
    tally, n_members = team.tally, team.n_members
    tally[PHASES] += 1
    number, n_items = tally[PHASES], team.chunk[N_ITEMS]
    is_of_rows = number % 2 == 1
    if is_of_rows and team.numbers[ALPHA] > 0.0 and team.chunk[IS_LAST] == 1:
        n_items += 1  # the penalty
    for member in range(n_members):
        begin, end = member * n_items // n_members, (member + 1) * n_items // n_members
        if not is_of_rows:
            begin, end = team.shares[member], team.shares[member + 1]
        atomic_store(team.queues, member * LINE, (number << 32) | (end << 16) | begin)
    if tally[ALONE] == 0:
        atomic_store(team.phase, 0, number)
    tally[ITEMS] += n_items
    tally[OTHERS] += n_items - _work(network, data, rows, rule, team, 0)
    for _ in range(_PAUSES):
        if atomic_load(team.n_done, 0) == tally[OTHERS]:
            return
        pause()
    _wait(team)


@routine
def _wait(team):
    """Wait long for what others have begun; dissolve the team if that is not worth it."""
    tally = team.tally
    begun = nanoseconds(team.clock)
    while atomic_load(team.n_done, 0) != tally[OTHERS]:
        yield_core(team.leave)
    now = nanoseconds(team.clock)
    tally[WAITED] += now - begun
    share_of_others = tally[OTHERS] / tally[ITEMS]
    allowed = share_of_others * (now - tally[BEGUN]) + _FREE_NANOSECONDS
    if tally[WAITED] > allowed:
        tally[ALONE] = 1
        atomic_store(team.phase, 0, END)


@part
def _help(network, data, rows, rule, team, member):
    """Take part in the phases until there are no more."""
    seen = 0
    while True:
        number = _next_phase(team, seen)
        if number == END:
            return
        _work(network, data, rows, rule, team, member)
        seen = number


@part
def _next_phase(team, seen):
    """Wait for another phase than the one seen."""
    for _ in range(_PAUSES):
        number = atomic_load(team.phase, 0)
        if number != seen:
            return number
        pause()
    begun = nanoseconds(team.clock)
    while nanoseconds(team.clock) - begun < _IDLE_NANOSECONDS:
        number = atomic_load(team.phase, 0)
        if number != seen:
            return number
        yield_core(team.leave)
    return END


@part
def _add_losses(loss, n_rows, team):
    """Add the chunk's losses, block by block."""
    w = team.workspace
    for begin in range(0, n_rows, w.block_rows):
        of_block, first = 0.0, begin // w.block_rows * w.losses.size
        n_pieces = -(-min(w.block_rows, n_rows - begin) // w.piece_rows)
        for piece in range(n_pieces):
            of_block += team.losses[first + piece]
        loss += of_block
    return loss


@part
def _make_step(network, data, rows, start, n, alpha, divisor, rule, n_steps, team):
    """Make a mini-batch's update in two phases for each chunk of slots."""
    chunk, numbers, block_rows = team.chunk, team.numbers, team.workspace.block_rows
    numbers[RATE], numbers[ALPHA] = step_size(rule, n_steps), alpha
    numbers[SCALE], numbers[DECAY] = 1.0 / divisor, alpha / divisor
    if team.tally[PHASES] == 0:
        transpose_layers(network, team.workspace)
    loss, per_chunk = 0.0, team.n_slots * block_rows
    for begin in range(0, n, per_chunk):
        n_rows = min(per_chunk, n - begin)
        chunk[BEGIN], chunk[ROWS] = start + begin, n_rows
        chunk[IS_FIRST], chunk[IS_LAST] = begin == 0, begin + n_rows == n
        per_block = -(-block_rows // team.item_rows)
        rest = -(-(n_rows % block_rows) // team.item_rows)
        chunk[N_ITEMS] = n_rows // block_rows * per_block + rest
        _run_phase(network, data, rows, rule, team)
        loss = _add_losses(loss, n_rows, team)
        chunk[N_ITEMS] = team.stripes.size // 3
        _run_phase(network, data, rows, rule, team)
    return loss + numbers[PENALTY] if alpha > 0.0 else loss


_epochs = epochs_of(sweep_of(_make_step))


@kernel
def team_epochs(
    member, network, parameters, data, rows, batch_size, alpha, rule, moments, state, team
):
    """Do what `batch_epochs` does as member 0, the leader, or help it as another one.

    member : int.  team : Team, the same for all; the other arguments and what is returned are those
    of `batch_epochs`. Of a helper nothing is returned that means anything.
    """
    if member > 0:
        _help(network, data, rows, rule, team, member)
        return 0, 0, moments[2]
    team.tally[BEGUN] = nanoseconds(team.clock)
    result = _epochs(
        network, parameters, data, rows, batch_size, alpha, rule, moments, state, team
    )
    atomic_store(team.phase, 0, END)
    return result
