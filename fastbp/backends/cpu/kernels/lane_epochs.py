"""Networks in lanes: several epochs of each in one call, online or in mini-batches.

Between two *events* all lanes do the same: a sweep makes so many steps of each. An event is the end
of a lane's epoch, or of a chunk of it. There a lane is looked at alone, with plain numbers that are
a vector apart: losses, shuffles, the rule for when to stop. A lane that has come to its end copies
its network out; from then on it computes what nobody reads, with another lane's rows.
"""

import math

from fastbp.machine.extremes import smaller
from fastbp.machine.jit import part
from fastbp.machine.shuffle import shuffle
from fastbp.machine.simd import lanes
from fastbp.machine.views import borrow, stretch
from fastbp.model.shuffles import Generator

__all__ = ["epochs_of"]


@part
def _is_finite(numbers, lane):
    """Whether a lane's numbers hold neither NaN nor infinity: only then is the sum of 0 * x 0."""
    total = 0.0
    for i in range(lane, numbers.size, lanes(numbers)):
        total += 0.0 * numbers[i]
    return total == 0.0


@part
def _copy_in(places, numbers, member, block, lane):
    """Copy a member's numbers to its lane, if there are any: of moments a rule may have none."""
    v = lanes(block)
    for i in range(block.size // v):
        block[i * v + lane] = numbers[member, places[i]]


@part
def _copy_out(places, numbers, member, block, lane):
    v = lanes(block)
    for i in range(block.size // v):
        numbers[member, places[i]] = block[i * v + lane]


@part
def _begin_lane(network, members, plans, rule, workspace, lane, member):
    _copy_in(network.places, members.parameters, member, workspace.parameters, lane)
    _copy_in(network.places, members.first, member, workspace.first, lane)
    _copy_in(network.places, members.second, member, workspace.second, lane)
    n_steps = float(members.n_steps[member])
    workspace.power_1[lane] = rule.beta_1**n_steps
    workspace.power_2[lane] = rule.beta_2**n_steps
    workspace.scale[lane], workspace.factor[lane] = 1.0, -plans.learning_rate[lane]


@part
def _end_lane(network, members, workspace, lane, member):
    _copy_out(network.places, members.parameters, member, workspace.parameters, lane)
    _copy_out(network.places, members.first, member, workspace.first, lane)
    _copy_out(network.places, members.second, member, workspace.second, lane)


@part
def _shuffle_rows(members, plans, workspace, lane):
    """Draw the order of a lane's next epoch."""
    member = plans.members[lane]
    if plans.shuffles[lane] == 1:
        words = stretch(members.words, member * 624, 624)
        generator = borrow(Generator(words, stretch(members.positions, member, 1)))
        rows = stretch(members.rows, member * members.n_places, plans.n_rows[lane])
        shuffle(generator, rows, workspace.draws)


@part
def _n_steps(plans, n_rows):
    """How many steps some rows are."""
    return (n_rows + plans.batch_rows - 1) // plans.batch_rows


@part
def _ends_with_epoch(members, plans, workspace, lane):
    """Note a lane's loss; returns whether this epoch is its last."""
    loss = workspace.loss_sum[lane] / plans.n_rows[lane]
    n_made = plans.n_made[lane]
    plans.losses[lane, n_made] = loss
    plans.n_made[lane] = n_made + 1
    members.n_steps[plans.members[lane]] += _n_steps(plans, plans.n_rows[lane])
    # A second moment that overflows would stop Adam without a word.
    are_finite = _is_finite(workspace.parameters, lane) and _is_finite(workspace.second, lane)
    if not (math.isfinite(loss) and are_finite):
        plans.losses[lane, n_made] = math.nan
        return True
    n_bad = plans.n_no_improvement[lane] + 1
    if loss <= plans.best_loss[lane] - plans.tol[lane]:
        n_bad = 0.0
    plans.n_no_improvement[lane] = n_bad
    plans.best_loss[lane] = smaller(plans.best_loss[lane], loss)
    return n_bad > plans.max_bad_epochs[lane] or n_made + 1 == plans.n_epochs[lane]


@part
def _assign_rows(members, plans, workspace):
    """Say where each lane goes on, those that are at their end with another; returns the steps."""
    n_lanes, n, going = plans.members.size, plans.n_rows[0], 0
    for lane in range(n_lanes):
        if workspace.position[lane] >= 0:
            n = smaller(n, _n_steps(plans, workspace.end[lane] - workspace.position[lane]))
            going = lane
    for lane in range(lanes(workspace.parameters)):
        of = lane if lane < n_lanes and workspace.position[lane] >= 0 else going
        position = workspace.position[of]
        workspace.row[lane] = plans.members[of] * members.n_places + position
        workspace.left[lane] = plans.n_rows[of] - position
    return n


def epochs_of(sweep, rows_of_a_chunk, has_scale):
    """Make ``run(network, members, plans, rule, workspace)`` from a sweep of so many steps.

    rows_of_a_chunk : after so many rows there is an event, and a scale, if there is one, taken in.
    """

    @part
    def begin_chunk(network, plans, workspace, lane):
        """Take a lane's scale in, and sum its squares anew."""
        v, scale, squares = lanes(workspace.parameters), workspace.scale[lane], 0.0
        if has_scale and plans.decay[lane] > 0.0:
            for i in range(lane, network.n_weights * v, v):
                w = scale * workspace.parameters[i]
                workspace.parameters[i] = w
                squares += float(w) * float(w)
            workspace.scale[lane], workspace.factor[lane] = 1.0, -plans.learning_rate[lane]
        workspace.squares[lane] = squares
        position = workspace.position[lane]
        workspace.end[lane] = smaller(position + rows_of_a_chunk, plans.n_rows[lane])

    @part
    def begin_epoch(network, members, plans, workspace, lane):
        _shuffle_rows(members, plans, workspace, lane)
        workspace.loss_sum[lane] = 0.0
        workspace.position[lane] = 0
        begin_chunk(network, plans, workspace, lane)

    def run(network, members, plans, rule, workspace):
        n_lanes = plans.members.size
        for lane in range(lanes(workspace.parameters)):
            member = plans.members[smaller(lane, n_lanes - 1)]
            _begin_lane(network, members, plans, rule, workspace, lane, member)
        for lane in range(n_lanes):
            begin_epoch(network, members, plans, workspace, lane)
        n_active = n_lanes
        while n_active > 0:
            n = _assign_rows(members, plans, workspace)
            sweep(network, members, plans, rule, workspace, n)
            n_active = 0
            for lane in range(n_lanes):
                if workspace.position[lane] < 0:
                    continue
                position = smaller(
                    workspace.position[lane] + n * plans.batch_rows, workspace.end[lane]
                )
                workspace.position[lane] = position
                if position == workspace.end[lane]:
                    begin_chunk(network, plans, workspace, lane)
                    if position == plans.n_rows[lane]:
                        if _ends_with_epoch(members, plans, workspace, lane):
                            _end_lane(network, members, workspace, lane, plans.members[lane])
                            workspace.position[lane] = -1
                            continue
                        begin_epoch(network, members, plans, workspace, lane)
                n_active += 1

    return run
