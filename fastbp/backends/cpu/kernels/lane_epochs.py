"""Networks in lanes: their rows, and several epochs of each in one call.

Between two *events* all lanes do the same: `_sweep` makes so many steps of each. An event is the
end of a lane's epoch, or of 256 steps in it, after which its scale is taken in (see ``online.py``).
There a lane is looked at alone, with plain numbers that are a vector apart: losses, shuffles, the
rule for when to stop. A lane that has come to its end copies its network out; from then on it
computes what nobody reads, with another lane's rows.
"""

import math

import numpy as np

from fastbp.backends.cpu.kernels.lanes import (
    activate,
    backward_of,
    first_layer_of,
    forward_units,
)
from fastbp.backends.cpu.kernels.online import ROWS_OF_A_CHUNK
from fastbp.machine.by_address import call
from fastbp.machine.elementary import where
from fastbp.machine.extremes import smaller
from fastbp.machine.jit import kernel, part
from fastbp.machine.shuffle import shuffle
from fastbp.machine.simd import cast, lanes, load, load_lanes, splat, store
from fastbp.machine.views import stretch
from fastbp.model.shuffles import Generator
from fastbp.model.update_rules import UPDATE_RULES, Rule

__all__ = ["LANE_KERNELS"]


@part
def _sample(network, workspace, i):
    """View one of the two samples: the last one's inputs are still needed."""
    last = network.activations.size
    n = (network.sizes[0] + 2 * network.sizes[last]) * lanes(workspace.samples)
    return stretch(workspace.samples, i % 2 * n, n)


@part
def _gather(network, members, workspace, i):
    """Copy sample number i of this sweep of each lane to its place."""
    sample, v, length = _sample(network, workspace, i), lanes(workspace.samples), members.length
    for lane in range(v):
        row = stretch(
            members.table, np.int64(members.rows[workspace.row[lane] + i]) * length, length
        )
        for k in range(length):
            sample[k * v + lane] = row[k]


@part
def _errors(network, workspace, i):
    """From the output layer's net inputs to its error signals and losses."""
    v, last = lanes(workspace.outputs), network.activations.size
    n, start = network.sizes[last] * v, network.starts[last] * v
    z, delta = stretch(workspace.outputs, start, n), stretch(workspace.deltas, start, n)
    if network.softmax != 0:
        call(network.softmax, (z, delta), (v, v))
    sample, first = _sample(network, workspace, i), network.sizes[0] * v
    arrays = (
        workspace.loss_parameters,
        z,
        stretch(sample, first, n),
        stretch(sample, first + n, n),
        delta,
        workspace.losses,
    )
    call(network.loss, arrays)
    total = load(workspace.losses, 0)
    for j in range(v, n, v):
        total = total + load(workspace.losses, j)
    return total


@part
def _square_sum(vector, n):
    """Sum of the squares of n vectors, lane by lane."""
    v = lanes(vector)
    even, odd = splat(vector, 0.0), splat(vector, 0.0)
    for i in range(0, n // 2 * 2 * v, 2 * v):
        even = even + load(vector, i) * load(vector, i)
        odd = odd + load(vector, i + v) * load(vector, i + v)
    if n % 2 == 1:
        last = load(vector, (n - 1) * v)
        even = even + last * last
    return even + odd


@part
def _squares_after(network, workspace, x, plans, scale, squares):
    """|W|^2 after a plain step, from |W|^2 before it (see ``online.py``).

    The first layer's steps are its error signals times -rate / s, with the scale s after the step.
    """
    v, like = lanes(x), workspace.parameters
    rate = load_lanes(plans.learning_rate, 0, like)
    products, lengths, unit = 0.0 * squares, 0.0 * squares, -scale
    for layer in range(network.activations.size):
        start, n = network.starts[layer + 1] * v, network.sizes[layer + 1]
        of_layer, square = splat(x, 0.0), splat(x, 0.0)
        for i in range(start, start + n * v, v):
            delta = load(workspace.deltas, i)
            of_layer = of_layer + load(workspace.products, i) * delta
            square = square + delta * delta
        inputs = cast(_square_sum(x, network.sizes[layer]), plans.decay)
        products = products + unit * cast(of_layer, plans.decay)
        lengths = lengths + unit * unit * (inputs * cast(square, plans.decay))
        x, unit = stretch(workspace.outputs, start, n * v), rate
    shrink = 1.0 - rate * load_lanes(plans.decay, 0, like)
    after = shrink * shrink * squares - 2.0 * shrink * products + lengths
    return where(after < 0.0, 0.0, after)


def _rate_of(record):
    """Make a rule's learning rate of the next step, lane by lane."""
    if record.step_size is None:

        @part
        def constant(plans, rule, workspace):
            return load_lanes(plans.learning_rate, 0, workspace.parameters)

        return constant
    formula = part(record.step_size)

    @part
    def of_powers(plans, rule, workspace):
        like = workspace.parameters
        power_1 = load_lanes(workspace.power_1, 0, like) * rule.beta_1
        power_2 = load_lanes(workspace.power_2, 0, like) * rule.beta_2
        store(workspace.power_1, 0, power_1)
        store(workspace.power_2, 0, power_2)
        rate = load_lanes(plans.learning_rate, 0, like)
        given = Rule(rule.code, rate, rule.beta_1, rule.beta_2, rule.epsilon)
        return formula(given, power_1, power_2)

    return of_powers


def _sweep_of(record):
    """Make the sweep of one rule: so many steps of all lanes."""
    is_plain = record.is_plain
    move_first, pass_first = first_layer_of(record)
    backward, rate_of_next_step = backward_of(record), _rate_of(record)

    @part
    def sweep(network, members, plans, rule, workspace, n):
        like, wide = workspace.parameters, plans.decay
        decay = load_lanes(wide, 0, like)
        shrink = 1.0 - load_lanes(plans.learning_rate, 0, like) * decay
        growth = 1.0 / shrink
        rate, own_decay = splat(like, 0.0), cast(decay, like)
        scale, factor = load_lanes(workspace.scale, 0, like), load_lanes(workspace.factor, 0, like)
        squares = load_lanes(workspace.squares, 0, like)
        n_inputs = network.sizes[0] * lanes(like)
        _gather(network, members, workspace, 0)
        x_last = stretch(_sample(network, workspace, 1), 0, n_inputs)
        for i in range(n):
            own_scale = cast(scale, like)
            x = stretch(_sample(network, workspace, i), 0, n_inputs)
            if i > 0:
                move_first(network, workspace, rule, rate, own_decay, own_scale, x_last, x)
            else:
                pass_first(network, workspace, rule, rate, own_decay, own_scale, x_last, x)
            if i + 1 < n:
                _gather(network, members, workspace, i + 1)
            for layer in range(1, network.activations.size):
                activate(network, workspace, layer - 1)
                forward_units(network, workspace, layer, own_scale)
            loss = cast(_errors(network, workspace, i), wide)
            if workspace.has_decay:
                if not is_plain:
                    squares = cast(_square_sum(like, network.n_weights), wide)
                loss = where(decay > 0.0, loss + 0.5 * decay * squares, loss)
            store(workspace.loss_sum, 0, load_lanes(workspace.loss_sum, 0, like) + loss)
            rate = cast(rate_of_next_step(plans, rule, workspace), like)
            if is_plain:
                factor = factor * growth
            backward(network, workspace, rule, rate, own_decay, own_scale, cast(factor, like))
            if is_plain:
                scale = scale * shrink
                if workspace.has_decay:
                    squares = _squares_after(network, workspace, x, plans, scale, squares)
            x_last = x
        move_first(network, workspace, rule, rate, own_decay, cast(scale, like), x_last, x_last)
        store(workspace.scale, 0, scale)
        store(workspace.factor, 0, factor)
        store(workspace.squares, 0, squares)

    return sweep


@part
def _is_finite(numbers, lane):
    """Whether a lane's numbers hold neither NaN nor infinity: only then is the sum of 0 * x 0."""
    total = 0.0
    for i in range(lane, numbers.size, lanes(numbers)):
        total += 0.0 * numbers[i]
    return total == 0.0


@part
def _copy_in(places, numbers, member, block, lane):
    v = lanes(block)
    for i in range(places.size):
        block[i * v + lane] = numbers[member, places[i]]


@part
def _copy_out(places, numbers, member, block, lane):
    v = lanes(block)
    for i in range(places.size):
        numbers[member, places[i]] = block[i * v + lane]


def _kernel_of(name, record):
    """Make the kernel of one rule."""
    is_plain, n_moments = record.is_plain, record.n_moments
    sweep = _sweep_of(record)

    @part
    def begin_lane(network, members, plans, rule, workspace, lane, member):
        _copy_in(network.places, members.parameters, member, workspace.parameters, lane)
        if n_moments > 0:
            _copy_in(network.places, members.first, member, workspace.first, lane)
        if n_moments > 1:
            _copy_in(network.places, members.second, member, workspace.second, lane)
        n_steps = float(members.n_steps[member])
        workspace.power_1[lane] = rule.beta_1**n_steps
        workspace.power_2[lane] = rule.beta_2**n_steps
        workspace.scale[lane], workspace.factor[lane] = 1.0, -plans.learning_rate[lane]

    @part
    def end_lane(network, members, workspace, lane, member):
        _copy_out(network.places, members.parameters, member, workspace.parameters, lane)
        if n_moments > 0:
            _copy_out(network.places, members.first, member, workspace.first, lane)
        if n_moments > 1:
            _copy_out(network.places, members.second, member, workspace.second, lane)

    @part
    def begin_chunk(network, plans, workspace, lane):
        """Take a lane's scale in, and sum its squares anew."""
        v, scale, squares = lanes(workspace.parameters), workspace.scale[lane], 0.0
        if is_plain and plans.decay[lane] > 0.0:
            for i in range(lane, network.n_weights * v, v):
                w = scale * workspace.parameters[i]
                workspace.parameters[i] = w
                squares += float(w) * float(w)
            workspace.scale[lane], workspace.factor[lane] = 1.0, -plans.learning_rate[lane]
        workspace.squares[lane] = squares
        position = workspace.position[lane]
        workspace.end[lane] = smaller(position + ROWS_OF_A_CHUNK, plans.n_rows[lane])

    @part
    def begin_epoch(network, members, plans, workspace, lane):
        member, n_rows = plans.members[lane], plans.n_rows[lane]
        if plans.shuffles[lane] == 1:
            generator = Generator(
                stretch(members.words, member * 624, 624), stretch(members.positions, member, 1)
            )
            rows = stretch(members.rows, member * members.n_places, n_rows)
            shuffle(generator, rows, workspace.draws)
        workspace.loss_sum[lane] = 0.0
        workspace.position[lane] = 0
        begin_chunk(network, plans, workspace, lane)

    @part
    def ends_with_epoch(members, plans, workspace, lane):
        """Note a lane's loss; returns whether this epoch is its last."""
        loss = workspace.loss_sum[lane] / plans.n_rows[lane]
        n_made = plans.n_made[lane]
        plans.losses[lane, n_made] = loss
        plans.n_made[lane] = n_made + 1
        members.n_steps[plans.members[lane]] += plans.n_rows[lane]
        are_finite = _is_finite(workspace.parameters, lane)
        if n_moments > 1:  # a second moment that overflows would stop Adam without a word
            are_finite = are_finite and _is_finite(workspace.second, lane)
        if not (math.isfinite(loss) and are_finite):
            plans.losses[lane, n_made] = math.nan
            return True
        n_bad = plans.n_no_improvement[lane] + 1
        if loss <= plans.best_loss[lane] - plans.tol[lane]:
            n_bad = 0.0
        plans.n_no_improvement[lane] = n_bad
        plans.best_loss[lane] = smaller(plans.best_loss[lane], loss)
        return n_bad > plans.max_bad_epochs[lane] or n_made + 1 == plans.n_epochs[lane]

    def run(network, members, plans, rule, workspace):
        v, n_lanes = lanes(workspace.parameters), plans.members.size
        for lane in range(v):
            member = plans.members[smaller(lane, n_lanes - 1)]
            begin_lane(network, members, plans, rule, workspace, lane, member)
        for lane in range(n_lanes):
            begin_epoch(network, members, plans, workspace, lane)
        n_active = n_lanes
        while n_active > 0:
            n, any_row = ROWS_OF_A_CHUNK, 0
            for lane in range(n_lanes):
                position = workspace.position[lane]
                if position >= 0:
                    n = smaller(n, workspace.end[lane] - position)
                    any_row = plans.members[lane] * members.n_places + position
                    workspace.row[lane] = any_row
            for lane in range(v):
                if lane >= n_lanes or workspace.position[lane] < 0:
                    workspace.row[lane] = any_row
            sweep(network, members, plans, rule, workspace, n)
            n_active = 0
            for lane in range(n_lanes):
                if workspace.position[lane] < 0:
                    continue
                workspace.position[lane] += n
                if workspace.position[lane] == workspace.end[lane]:
                    begin_chunk(network, plans, workspace, lane)
                    if workspace.position[lane] == plans.n_rows[lane]:
                        if ends_with_epoch(members, plans, workspace, lane):
                            end_lane(network, members, workspace, lane, plans.members[lane])
                            workspace.position[lane] = -1
                            continue
                        begin_epoch(network, members, plans, workspace, lane)
                n_active += 1

    run.__qualname__ = f"lane_epochs_{name}"  # by which the cache tells kernels apart
    return kernel(run)


#: ``run(network, members, plans, rule, workspace)`` of each rule, at its code: some epochs of
#: each lane's member, which is changed in place.
LANE_KERNELS = tuple(_kernel_of(name, record) for name, record in UPDATE_RULES.items())
