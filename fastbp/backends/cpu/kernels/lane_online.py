"""Networks in lanes, trained online: each lane makes a step after every sample of its own.

Between two *events* all lanes do the same: `_sweep_of` makes so many steps of each. An event is the
end of a lane's epoch, or of 256 steps in it, after which its scale is taken in (see ``online.py``).
"""

from fastbp.backends.cpu.kernels.lane_epochs import epochs_of
from fastbp.backends.cpu.kernels.lane_samples import (
    errors,
    inputs_of,
    put_row,
    sample_of,
    square_sum,
)
from fastbp.backends.cpu.kernels.lane_steps import step_size_of
from fastbp.backends.cpu.kernels.lanes import (
    activate,
    backward_of,
    first_layer_of,
    forward_units,
)
from fastbp.backends.cpu.kernels.online import ROWS_OF_A_CHUNK
from fastbp.machine.elementary import where
from fastbp.machine.jit import kernel, part
from fastbp.machine.simd import cast, lanes, load, load_lanes, splat, store
from fastbp.machine.views import stretch
from fastbp.model.update_rules import UPDATE_RULES

__all__ = ["LANE_KERNELS"]


@part
def _gather(network, members, workspace, i):
    """Copy sample number i of this sweep of each lane to one of two places.

    The last one's inputs are still needed.
    """
    sample = sample_of(network, workspace, i % 2)
    for lane in range(lanes(sample)):
        put_row(members, workspace.row[lane] + i, sample, lane)


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
        inputs = cast(square_sum(x, network.sizes[layer]), plans.decay)
        products = products + unit * cast(of_layer, plans.decay)
        lengths = lengths + unit * unit * (inputs * cast(square, plans.decay))
        x, unit = stretch(workspace.outputs, start, n * v), rate
    shrink = 1.0 - rate * load_lanes(plans.decay, 0, like)
    after = shrink * shrink * squares - 2.0 * shrink * products + lengths
    return where(after < 0.0, 0.0, after)


def _sweep_of(record):
    """Make the sweep of one rule: so many steps of all lanes."""
    is_plain = record.is_plain
    move_first, pass_first = first_layer_of(record)
    backward, rate_of_next_step = backward_of(record), step_size_of(record)

    @part
    def sweep(network, members, plans, rule, workspace, n):
        like, wide = workspace.parameters, plans.decay
        decay = load_lanes(wide, 0, like)
        shrink = 1.0 - load_lanes(plans.learning_rate, 0, like) * decay
        growth = 1.0 / shrink
        rate, own_decay = splat(like, 0.0), cast(decay, like)
        scale, factor = load_lanes(workspace.scale, 0, like), load_lanes(workspace.factor, 0, like)
        squares = load_lanes(workspace.squares, 0, like)
        _gather(network, members, workspace, 0)
        x_last = inputs_of(network, workspace, 1)
        for i in range(n):
            own_scale = cast(scale, like)
            x = inputs_of(network, workspace, i % 2)
            if i > 0:
                move_first(network, workspace, rule, rate, own_decay, own_scale, x_last, x)
            else:
                pass_first(network, workspace, rule, rate, own_decay, own_scale, x_last, x)
            if i + 1 < n:
                _gather(network, members, workspace, i + 1)
            for layer in range(1, network.activations.size):
                activate(network, workspace, layer - 1)
                forward_units(network, workspace, layer, own_scale)
            loss = cast(errors(network, workspace, i % 2), wide)
            if workspace.has_decay:
                if not is_plain:
                    squares = cast(square_sum(like, network.n_weights), wide)
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


def _kernel_of(name, record):
    """Make the kernel of one rule."""
    run = epochs_of(_sweep_of(record), ROWS_OF_A_CHUNK, record.is_plain)
    run.__qualname__ = f"lane_epochs_{name}"  # by which the cache tells kernels apart
    return kernel(run)


#: ``run(network, members, plans, rule, workspace)`` of each rule, at its code: some epochs of
#: each lane's member, which is changed in place.
LANE_KERNELS = tuple(_kernel_of(name, record) for name, record in UPDATE_RULES.items())
