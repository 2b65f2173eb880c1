"""The items of a team's work: rows, units of a stripe, steps (see ``team.py``)."""

from fastbp.backends.cpu.kernels.batch import squares_of
from fastbp.backends.cpu.kernels.packing import is_by_unit, transpose_units
from fastbp.backends.cpu.kernels.passes import add_gradient, add_output_biases, errors_of_block
from fastbp.backends.cpu.kernels.shares import (
    BEGIN,
    DECAY,
    IS_FIRST,
    IS_LAST,
    LINE,
    N_ROWS,
    RATE,
    SCALE,
    SQUARES,
    WAITED,
)
from fastbp.backends.cpu.kernels.update_rules import move_all
from fastbp.backends.cpu.kernels.workspace import Workspace
from fastbp.machine.atomics import atomic_add, atomic_load, atomic_store, pause
from fastbp.machine.extremes import larger, smaller
from fastbp.machine.jit import part, routine
from fastbp.machine.simd import lanes, splat, store
from fastbp.machine.views import borrow, stretch
from fastbp.machine.waiting import nanoseconds, yield_core

__all__ = ["PAUSES", "await_number", "cell_of", "do_rows", "do_step", "do_units"]

#: How often one who waits looks before it gives up its core.
PAUSES = 200


@part
def _at(network, team, member, row):
    """Make a workspace of the slots, from a row of the chunk on, for a member."""
    w, n_starts = team.workspace, team.workspace.starts.size
    starts = stretch(team.starts, member * (team.starts.size // team.n_members), n_starts)
    slot, row_of_block = row // w.block_rows, row % w.block_rows
    for layer in range(n_starts):
        length = network.padded[layer] if layer < n_starts - 1 else 1
        starts[layer] = w.starts[layer] + slot * team.slot_size + row_of_block * length
    piece = slot * (team.losses.size // team.n_slots) + row_of_block // w.piece_rows
    workspace = Workspace(
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
        stretch(team.losses, piece, w.losses.size),
        w.block_rows,
        w.piece_rows,
    )
    # Borrowed, it is of the compiler's type that `team.workspace` is.
    return borrow(workspace)


@part
def cell_of(team, row):
    """Tell in which item of rows a row would be if segments did not cut them."""
    block_rows = team.workspace.block_rows
    per_block = (block_rows + team.item_rows - 1) // team.item_rows
    return row // block_rows * per_block + row % block_rows // team.item_rows


@part
def do_rows(network, data, rows, team, member, segment, item):
    """Forward and backward pass of some rows of a segment; the last item of all is |W|^2."""
    begin, end = team.segments[segment], team.segments[segment + 1]
    if begin == end or item > cell_of(team, end - 1) - cell_of(team, begin):
        team.numbers[SQUARES] = squares_of(network, team.workspace)
    else:
        block_rows = team.workspace.block_rows
        per_block = (block_rows + team.item_rows - 1) // team.item_rows
        cell = cell_of(team, begin) + item
        block, first = cell // per_block * block_rows, cell % per_block * team.item_rows
        end = smaller(end, block + smaller(first + team.item_rows, block_rows))
        begin = larger(begin, block + first)
        batch = stretch(rows, team.chunk[BEGIN] + begin, end - begin)
        errors_of_block(network, data, batch, _at(network, team, member, begin))
    atomic_add(team.n_rows_done, segment * LINE, 1)


@part
def do_units(network, team, member, segment, stripe, before):
    """Add a segment's gradient of a stripe, of which ``before`` items came with other chunks."""
    layer, block_rows = team.stripes[3 * stripe], team.workspace.block_rows
    begin, end = team.stripes[3 * stripe + 1], team.stripes[3 * stripe + 2]
    await_number(team, member, team.n_rows_done, segment * LINE, team.n_rows_due[segment])
    await_number(team, member, team.progress, stripe * LINE, before + segment)
    if segment == 0 and team.chunk[IS_FIRST] == 1:
        _clear_gradient(network, team.workspace, layer, begin, end)
    row = team.segments[segment]
    while row < team.segments[segment + 1]:
        n = smaller(block_rows - row % block_rows, team.segments[segment + 1] - row)
        add_gradient(network, _at(network, team, member, row), layer, n, begin, end)
        row += n
    done = segment + 1
    if done == team.n_members:
        if layer == network.activations.size - 1:
            for row in range(0, team.chunk[N_ROWS], block_rows):
                n = smaller(block_rows, team.chunk[N_ROWS] - row)
                add_output_biases(network, _at(network, team, member, row), n, begin, end)
        if team.chunk[IS_LAST] == 0:
            done += 1  # there is no step
    atomic_store(team.progress, stripe * LINE, before + done)


@part
def do_step(network, rule, team, member, stripe, before):
    """Make the step of a stripe's parameters."""
    layer = team.stripes[3 * stripe]
    begin, end = team.stripes[3 * stripe + 1], team.stripes[3 * stripe + 2]
    await_number(team, member, team.progress, stripe * LINE, before + team.n_members)
    _move(network, rule, team.workspace, team.numbers, layer, begin, end)
    if 0 < layer < network.activations.size - 1:
        transpose_units(network, team.workspace, layer, begin, end)
    atomic_store(team.progress, stripe * LINE, before + team.n_members + 1)


@part
def _runs_of(network, layer, begin, end):
    """Where the weights of some units are: runs, the first's start, their length and distance."""
    start = network.padded_weights[layer]
    if is_by_unit(network, layer):
        per_unit = network.padded[layer]
        n_units = smaller(end, network.sizes[layer + 1]) - begin
        return 1, start + begin * per_unit, n_units * per_unit, 0
    return network.sizes[layer], start + begin, end - begin, network.padded[layer + 1]


@part
def _clear_gradient(network, workspace, layer, begin, end):
    gradient = workspace.gradient
    n_runs, start, length, distance = _runs_of(network, layer, begin, end)
    for run in range(n_runs + 1):
        if run == n_runs:
            start, length = network.padded_biases[layer] + begin, end - begin
        for i in range(start, start + length, lanes(gradient)):
            store(gradient, i, splat(gradient, 0.0))
        start += distance


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


@part
def await_number(team, member, numbers, i, due):
    """Wait until a number that others raise is high enough."""
    for _ in range(PAUSES):
        if atomic_load(numbers, i) >= due:
            return
        pause()
    _await_long(team, member, numbers, i, due)


@routine
def _await_long(team, member, numbers, i, due):
    begun = nanoseconds(team.clock)
    while atomic_load(numbers, i) < due:
        yield_core(team.leave)
    if member == 0:
        team.tally[WAITED] += nanoseconds(team.clock) - begun
