"""Networks in lanes, trained in mini-batches of a few rows, each lane on batches of its own.

A batch's rows go up and down one by one, with a block of outputs and error signals each. From
these the gradient is summed, and all parameters are moved at once, as ``batch.py`` does. The last
batch of an epoch may have fewer rows, in some lanes earlier than in others: a row that a lane lacks
is its batch's last again, with weight 0.
"""

from fastbp.backends.cpu.kernels.lane_epochs import epochs_of
from fastbp.backends.cpu.kernels.lane_samples import (
    errors,
    inputs_of,
    put_row,
    sample_of,
    square_sum,
)
from fastbp.backends.cpu.kernels.lane_state import LaneLayout
from fastbp.backends.cpu.kernels.lane_steps import step_size_of
from fastbp.backends.cpu.kernels.lanes import (
    activate,
    forward_units,
    in_panels,
    layer_of,
    panel_width,
    set_net_inputs,
)
from fastbp.backends.cpu.kernels.update_rules import move_all
from fastbp.machine.elementary import where
from fastbp.machine.extremes import smaller
from fastbp.machine.jit import kernel, part
from fastbp.machine.simd import cast, lanes, load, load_lanes, repeat, splat, store
from fastbp.machine.switch import switch
from fastbp.machine.views import stretch
from fastbp.model.update_rules import UPDATE_RULES

__all__ = ["lane_batches"]

_WHOLE_EPOCHS = 1 << 40
_step_size = switch([step_size_of(record) for record in UPDATE_RULES.values()])


@part
def _gather(network, members, plans, workspace, i):
    """Copy batch number i of this sweep of each lane to the samples."""
    v, size = lanes(workspace.samples), plans.batch_rows
    n_outputs = network.sizes[network.activations.size]
    for lane in range(v):
        start, n = workspace.row[lane] + i * size, smaller(size, workspace.left[lane] - i * size)
        total = 0.0
        for b in range(size):
            sample = sample_of(network, workspace, b)
            weight = put_row(members, start + smaller(b, n - 1), sample, lane)
            if b < n:
                total += weight
            else:
                first = sample.size - n_outputs * v + lane
                for k in range(first, sample.size, v):
                    sample[k] = 0.0
        workspace.batch_size[lane] = n
        # A single row counts as the mean one does; table's weights are over the mean weight.
        workspace.divisor[lane] = total if n > 1 else 1.0


@part
def _for_row(network, b):
    """Make the layout of a batch's row number b: only the units' places are others."""
    n = network.sizes.size
    return LaneLayout(
        network.sizes,
        stretch(network.starts, b * n, n),
        network.places,
        network.weights,
        network.biases,
        network.n_weights,
        network.activations,
        network.softmax,
        network.loss,
    )


@part
def _backward(network, workspace, layer):
    """From a layer's error signals to those of the layer below, which hold slopes."""
    delta, below = (
        layer_of(network, workspace.deltas, layer + 1),
        layer_of(network, workspace.deltas, layer),
    )
    v, weights = lanes(delta), network.weights[layer] * lanes(delta)
    for k in range(0, below.size, v):
        total, place = splat(delta, 0.0), weights + k
        for j in range(0, delta.size, v):
            total = total + load(delta, j) * load(workspace.parameters, place)
            place += below.size
        store(below, k, load(below, k) * total)


@part
def _errors_of_row(network, workspace, scale, b):
    """From the first layer's net inputs of one row to all error signals; returns its losses."""
    of_row, n_layers = _for_row(network, b), network.activations.size
    for layer in range(1, n_layers):
        activate(of_row, workspace, layer - 1)
        forward_units(of_row, workspace, layer, scale)
    loss = errors(of_row, workspace, b)
    for layer in range(n_layers - 1, 0, -1):
        _backward(of_row, workspace, layer)
    return loss


# The first layer's two loops take rows, or inputs, in pairs, so that what is loaded is used twice
# and two sums do not wait for each other. The last of an odd number makes a pair with itself.


def _first_layer_forward(n):
    @part
    def panel(network, workspace, scale, n_rows, j):
        v, n_inputs = lanes(workspace.samples), network.sizes[0]
        start = (network.weights[0] + j * n_inputs) * v
        for row in range(0, n_rows, 2):
            other = smaller(row + 1, n_rows - 1)
            x, y = inputs_of(network, workspace, row), inputs_of(network, workspace, other)
            of_x, of_y = splat(x, 0.0, n), splat(x, 0.0, n)
            for k in range(0, n_inputs * v, v):
                w = load(workspace.parameters, start + k * n, n)
                of_x = of_x + repeat(load(x, k), n) * w
                of_y = of_y + repeat(load(y, k), n) * w
            set_net_inputs(_for_row(network, row), workspace, 0, j, n, of_x, scale)
            set_net_inputs(_for_row(network, other), workspace, 0, j, n, of_y, scale)

    return panel


def _first_layer_gradient(n):
    @part
    def panel(network, workspace, n_rows, j):
        v, n_inputs = lanes(workspace.samples), network.sizes[0]
        length, n_units = workspace.samples.size // n_rows, workspace.deltas.size // n_rows
        start, first = (network.weights[0] + j * n_inputs) * v, (network.starts[1] + j) * v
        for k in range(0, n_inputs * v, 2 * v):
            other = smaller(k + v, (n_inputs - 1) * v)
            of_k, of_other = splat(workspace.samples, 0.0, n), splat(workspace.samples, 0.0, n)
            for row in range(n_rows):
                delta, x = load(workspace.deltas, first + row * n_units, n), row * length
                of_k = of_k + repeat(load(workspace.samples, x + k), n) * delta
                of_other = of_other + repeat(load(workspace.samples, x + other), n) * delta
            store(workspace.gradient, start + k * n, of_k)
            store(workspace.gradient, start + other * n, of_other)

    return panel


_forward_first_layer = in_panels(panel_width(), _first_layer_forward)
_sum_first_layer = in_panels(panel_width(), _first_layer_gradient)


@part
def _sum_units(network, workspace, n_rows, layer):
    """Gradient of another layer's weights."""
    v, n_units = lanes(workspace.deltas), workspace.deltas.size // n_rows
    x, delta = network.starts[layer] * v, network.starts[layer + 1] * v
    place = network.weights[layer] * v
    for j in range(delta, delta + network.sizes[layer + 1] * v, v):
        for k in range(x, x + network.sizes[layer] * v, v):
            total = splat(workspace.deltas, 0.0)
            for row in range(0, n_rows * n_units, n_units):
                total = total + load(workspace.outputs, row + k) * load(workspace.deltas, row + j)
            store(workspace.gradient, place, total)
            place += v


@part
def _sum_biases(network, workspace, n_rows, layer):
    v, n_units = lanes(workspace.deltas), workspace.deltas.size // n_rows
    delta, bias = network.starts[layer + 1] * v, network.biases[layer] * v
    for j in range(0, network.sizes[layer + 1] * v, v):
        total = splat(workspace.deltas, 0.0)
        for row in range(0, n_rows * n_units, n_units):
            total = total + load(workspace.deltas, row + delta + j)
        store(workspace.gradient, bias + j, total)


@part
def _sum_gradient(network, workspace, n_rows):
    """Gradient of each lane's batch, summed over its rows."""
    _sum_first_layer(network, (workspace, n_rows))
    for layer in range(1, network.activations.size):
        _sum_units(network, workspace, n_rows, layer)
    for layer in range(network.activations.size):
        _sum_biases(network, workspace, n_rows, layer)


@part
def _move(network, plans, rule, workspace, divisor):
    like = workspace.parameters
    rate = cast(_step_size(rule.code, (plans, rule, workspace)), like)
    decay, n = load_lanes(plans.decay, 0, like) / divisor, network.n_weights * lanes(like)
    blocks = (workspace.gradient, like, workspace.first, workspace.second)
    scale, none = cast(1.0 / divisor, like), splat(like, 0.0)
    move_all(rule, rate, scale, cast(decay, like), *blocks, 0, n)
    move_all(rule, rate, scale, none, *blocks, n, like.size)


@part
def _sweep(network, members, plans, rule, workspace, n):
    """Make so many steps of all lanes."""
    like, wide, n_rows = workspace.parameters, plans.decay, plans.batch_rows
    decay, one = load_lanes(wide, 0, like), splat(like, 1.0)
    for i in range(n):
        _gather(network, members, plans, workspace, i)
        loss = 0.0 * decay
        _forward_first_layer(network, (workspace, one, n_rows))
        for b in range(n_rows):
            loss = loss + cast(_errors_of_row(network, workspace, one, b), wide)
        if workspace.has_decay:
            squares = cast(square_sum(like, network.n_weights), wide)
            loss = where(decay > 0.0, loss + 0.5 * decay * squares, loss)
        divisor = load_lanes(workspace.divisor, 0, like)
        loss = loss / divisor * load_lanes(workspace.batch_size, 0, like)
        store(workspace.loss_sum, 0, load_lanes(workspace.loss_sum, 0, like) + loss)
        _sum_gradient(network, workspace, n_rows)
        _move(network, plans, rule, workspace, divisor)


_run = part(epochs_of(_sweep, _WHOLE_EPOCHS, False))


@kernel
def lane_batches(network, members, plans, rule, workspace):
    """Go through the rows of each lane's member for some epochs, in mini-batches.

    network : LaneLayout.  members : Members, changed in place.  plans : LanePlans.
    """
    _run(network, members, plans, rule, workspace)
