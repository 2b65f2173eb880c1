r"""Online mode: a weight update after every sample.

Nothing is summed over samples and no gradient is written down: every weight is loaded, moved and
stored once a sample. The two kinds of layer (see `Layout`) do that in two places.

*The first hidden layer* has by far the most weights, stored input by input. Its update for the last
sample waits until the next sample's forward pass, which touches the same weights:

    for each input k:      w    <- w - rate (x_last[k] delta + decay w)      a row of W
                           z    <- z + x[k] w

*All other layers*, stored unit by unit, are moved in the backward pass, which touches them too:

    for each unit j:       below <- below + delta[j] w                       a row of W^T
                           w     <- w - rate (delta[j] x + decay w)

so an update costs a store and no second load. A panel of some vectors of the row is one long
vector, whose z or below stays in registers while the loop runs down.

**Weight decay costs nothing** in plain SGD: W is kept as s V with one number s for all layers. (1 -
rate decay) W shrinks s alone, in float64 where no bit of the decay is lost, and the step along x
delta is taken by V, divided by s. Also |W|^2, for the penalty in the loss, need not be summed anew:

    |W'|^2 = c^2 |W|^2 - 2 rate c (x W) . delta + rate^2 |x|^2 |delta|^2,    c = 1 - rate decay

where x W is the forward pass's net input without the bias. After every 256 rows, and when s leaves
[1/1024, 1024], V takes s in; after every 256 |W|^2 is summed.

It computes what `batch_epochs` does with batches of one row.
"""

import math

from fastbp.backends.cpu.kernels.epochs import epochs_of
from fastbp.backends.cpu.kernels.layers import clear_padding, gather, n_vectors, square_sum
from fastbp.backends.cpu.kernels.packing import biases_of, is_by_unit, weights_of
from fastbp.backends.cpu.kernels.update_rules import step_size_of
from fastbp.backends.cpu.kernels.workspace import Workspace
from fastbp.backends.cpu.layout import Layout
from fastbp.machine.by_address import call
from fastbp.machine.chip import max_accumulators
from fastbp.machine.dots import dots
from fastbp.machine.extremes import larger, smaller
from fastbp.machine.jit import kernel, part, routine
from fastbp.machine.simd import lanes, load, load_first, splat, store, sum_lanes
from fastbp.machine.views import matrix, row, stretch
from fastbp.model.data import Data, batch_divisor
from fastbp.model.update_rules import UPDATE_RULES

__all__ = [
    "ONLINE_KERNELS",
    "ROWS_OF_A_CHUNK",
    "SWEEPS",
    "forward_sample",
    "online_epochs",
]

#: After so many rows the scale is taken in and |W|^2 summed; a call of more rows does the same
#: sums.
ROWS_OF_A_CHUNK = 256
_WIDEST_SCALE = 1024.0
#: Vectors of a panel: as many as there are registers for, two sums of each, and fewer at the end.
_PANELS = [n for n in (8, 4, 2, 1) if 2 * n <= max_accumulators()]

_divisor = part(batch_divisor)


@part
def _stay(rule, rate, g, w, u, v):
    """No update: what the first sample's forward pass does."""
    return w, u, v


@part
def _add(rule, rate, g, w, u, v):
    """Plain SGD, whose gradients have -rate in them already."""
    return w + g, u, v


def _mover(move, stored):
    """Load a long vector of weights and moments, move it, and store what the rule changes."""
    weights_change, has_first, has_second = (n < stored for n in range(3))

    def of_width(n):
        @part
        def run(rule, rate, decay, x, delta, workspace, place):
            old = load(workspace.parameters, place, n)
            g = x * delta + decay * old
            w, u, v = move(
                rule,
                rate,
                g,
                old,
                load(workspace.first, place, n),
                load(workspace.second, place, n),
            )
            if weights_change:
                store(workspace.parameters, place, w)
            if has_first:
                store(workspace.first, place, u)
            if has_second:
                store(workspace.second, place, v)
            return old, w

        return run

    return of_width


def _panels(mover, n):
    """Make the loops down a panel of n vectors of a layer."""
    moved = mover(n)

    @part
    def forward(network, workspace, rule, rate, decay, x_last, x, delta, z, column):
        """First hidden layer: update for the last sample, net inputs of the next."""
        start, stride = network.padded_weights[0] + column, network.padded[1]
        steps = load(delta, column, n)
        even, odd = splat(z, 0.0, n), splat(z, 0.0, n)  # two sums wait half as long for each other
        n_pairs = network.sizes[0] // 2
        for k in range(0, 2 * n_pairs, 2):
            place = start + k * stride
            _, w = moved(rule, rate, decay, x_last[k], steps, workspace, place)
            even = even + x[k] * w
            _, w = moved(rule, rate, decay, x_last[k + 1], steps, workspace, place + stride)
            odd = odd + x[k + 1] * w
        if 2 * n_pairs < network.sizes[0]:
            k = 2 * n_pairs
            _, w = moved(rule, rate, decay, x_last[k], steps, workspace, start + k * stride)
            even = even + x[k] * w
        store(z, column, even + odd)

    @part
    def backward(network, workspace, rule, rate, decay, layer, factor, delta, x, below, column):
        """Other layers: error signals of the layer below, then update."""
        start, stride = network.padded_weights[layer] + column, network.padded[layer]
        inputs, total = load(x, column, n), splat(x, 0.0, n)
        for j in range(network.sizes[layer + 1]):
            step = factor * delta[j]
            old, _ = moved(rule, rate, decay, step, inputs, workspace, start + j * stride)
            total = total + delta[j] * old
        store(below, column, total)

    return forward, backward


def _widest_panel(loops):
    """Chain the loops of panels of some widths, widest first, to one that takes what there is.

    It is called with the loops' arguments, with how many vectors of the row are left, and with the
    column where they begin, and returns how many of them it took.
    """
    (n, loop), *others = loops
    if not others:

        @part
        def last(arguments, left, column):
            loop(*arguments, column)
            return n

        return last

    narrower = _widest_panel(others)

    @part
    def panel(arguments, left, column):
        if left < n:
            return narrower(arguments, left, column)
        loop(*arguments, column)
        return n

    return panel


def _layer_loops(mover):
    """Cut a layer's rows into panels."""
    panels = {n: _panels(mover, n) for n in _PANELS}
    forward_panel = _widest_panel([(n, forward) for n, (forward, _) in panels.items()])
    backward_panel = _widest_panel([(n, back) for n, (_, back) in panels.items() if n <= 4])

    @part
    def forward(network, workspace, rule, rate, decay, x_last, x, delta, z):
        left, column = n_vectors(network.sizes[1], z), 0
        arguments = (network, workspace, rule, rate, decay, x_last, x, delta, z)
        while left > 0:
            n = forward_panel(arguments, left, column)
            left, column = left - n, column + n * lanes(z)

    @part
    def backward(network, workspace, rule, rate, decay, layer, factor, delta, x, below):
        left, column = n_vectors(network.sizes[layer], x), 0
        arguments = (network, workspace, rule, rate, decay, layer, factor, delta, x, below)
        while left > 0:
            n = backward_panel(arguments, left, column)
            left, column = left - n, column + n * lanes(x)

    return forward, backward


_forward_only, _ = _layer_loops(_mover(_stay, 0))


@part
def _forward_units(network, workspace, layer, x, z):
    """Products x W of a layer stored unit by unit, units in the lanes."""
    w = weights_of(network, workspace.parameters, layer)
    length = n_vectors(network.sizes[layer], x)
    if w.shape[0] == 1:
        # A whole vector is stored, because one will be loaded: a chip forwards no part to a whole.
        store(z, 0, _dot(row(w, 0), x) * load(workspace.is_output, 0))
        return
    for j in range(0, w.shape[0], lanes(x)):
        store(z, j, dots(w, j, w.shape[0] - 1, x, 0, length))


@part
def _row_of(network, blocks, workspace, layer):
    """One sample's outputs or deltas of a layer."""
    return stretch(blocks, workspace.starts[layer], network.padded[layer])


@part
def _add_biases(network, workspace, layer, scale):
    """From the products x V of a layer to its net inputs."""
    products = biases_of(network, workspace.products, layer)
    b = biases_of(network, workspace.parameters, layer)
    z = _row_of(network, workspace.outputs, workspace, layer + 1)
    for i in range(0, z.size, lanes(z)):
        net = scale * load(products, i)
        store(products, i, net)
        store(z, i, net + load(b, i))


@part
def _activate(network, workspace, layer):
    """From the net inputs of a layer to its outputs and slopes."""
    z = _row_of(network, workspace.outputs, workspace, layer + 1)
    slopes = _row_of(network, workspace.deltas, workspace, layer + 1)
    call(network.activations[layer], (z, slopes))
    clear_padding(matrix(z, 0, 1, z.size), network.sizes[layer + 1])


@part
def _softmax(network, workspace):
    """From the net inputs of the output layer to probabilities, and their logarithms."""
    last = network.activations.size
    z = _row_of(network, workspace.outputs, workspace, last)
    s = _row_of(network, workspace.deltas, workspace, last)
    call(network.softmax_of_units, (z, s), (network.sizes[last],))


@part
def _forward_rest(network, workspace, x, scale):
    """Forward pass up to the output layer's net inputs.

    The products of a first hidden layer are there already.
    """
    for layer in range(network.activations.size):
        if is_by_unit(network, layer):
            a = x if layer == 0 else _row_of(network, workspace.outputs, workspace, layer)
            products = biases_of(network, workspace.products, layer)
            _forward_units(network, workspace, layer, a, products)
        _add_biases(network, workspace, layer, scale)
        if layer < network.activations.size - 1:
            _activate(network, workspace, layer)


@part
def _input(network, workspace, i):
    """View one of the two places of a sample's inputs: the last sample's are still needed."""
    return stretch(workspace.outputs, i * network.padded[0], network.padded[0])


@part
def forward_sample(network, workspace, x, rule):
    """Forward pass of one sample; returns the output layer's outputs, units in the lanes."""
    inputs = _input(network, workspace, 0)
    for k in range(0, x.size, lanes(x)):
        store(inputs, k, load_first(x, k, smaller(x.size - k, lanes(x))))
    if not is_by_unit(network, 0):
        products = biases_of(network, workspace.products, 0)
        steps = _row_of(network, workspace.deltas, workspace, 1)
        _forward_only(network, workspace, rule, 0.0, 0.0, inputs, inputs, steps, products)
    _forward_rest(network, workspace, inputs, 1.0)
    if network.softmax_of_units != 0:
        _softmax(network, workspace)
    else:
        _activate(network, workspace, network.activations.size - 1)
    return _row_of(network, workspace.outputs, workspace, network.activations.size)


@part
def _error(network, data, row_number, weight, workspace):
    """From net inputs to error signals of the output layer, units in the lanes.

    Returns the weighted loss.
    """
    if network.softmax_of_units != 0:
        _softmax(network, workspace)
    last = network.activations.size
    y = row(data.y, row_number)
    for j in range(0, y.size, lanes(y)):
        store(workspace.targets, j, load_first(y, j, smaller(y.size - j, lanes(y))))
        store(workspace.row_weights, j, weight * load(workspace.is_output, j))
    arrays = (
        workspace.unit_loss_parameters,
        _row_of(network, workspace.outputs, workspace, last),
        stretch(workspace.targets, 0, network.padded[last]),
        stretch(workspace.row_weights, 0, network.padded[last]),
        _row_of(network, workspace.deltas, workspace, last),
    )
    return call(network.loss, arrays)


@part
def _times(factor, vector):
    for i in range(0, vector.size, lanes(vector)):
        store(vector, i, factor * load(vector, i))


@part
def _dot(a, b):
    total = splat(a, 0.0)
    for i in range(0, a.size, lanes(a)):
        total = total + load(a, i) * load(b, i)
    return sum_lanes(total)


@part
def _squares_after(network, workspace, x, squares, shrink, rate):
    """|W|^2 after a step, from |W|^2 before it (see above)."""
    products, lengths = 0.0, 0.0
    for layer in range(network.activations.size):
        delta = _row_of(network, workspace.deltas, workspace, layer + 1)
        products += float(_dot(biases_of(network, workspace.products, layer), delta))
        lengths += float(_dot(x, x)) * float(_dot(delta, delta))
        x = _row_of(network, workspace.outputs, workspace, layer + 1)
    return larger(
        0.0, shrink * shrink * squares - 2 * rate * shrink * products + rate * rate * lengths
    )


def _sweep(record):
    """Make the sweep of one rule over a chunk of rows."""
    is_plain, has_schedule = record.is_plain, record.step_size is not None
    mover = _mover(_add if is_plain else part(record.move), 1 + record.n_moments)
    step_size = step_size_of(record)
    forward, backward = _layer_loops(mover)
    move_vector = mover(1)

    @part
    def backward_pass(network, workspace, rule, rate, decay, scale, factor, x):
        """Error signals of all layers, and the update of all but the first hidden layer."""
        n_layers = network.activations.size
        bias_factor = -rate if is_plain else 1.0  # biases are not scaled
        for layer in range(n_layers - 1, -1, -1):
            delta = _row_of(network, workspace.deltas, workspace, layer + 1)
            start = network.padded_biases[layer]
            for i in range(0, delta.size, lanes(delta)):
                move_vector(rule, rate, 0.0, bias_factor, load(delta, i), workspace, start + i)
            if not is_by_unit(network, layer):
                break
            a = x if layer == 0 else _row_of(network, workspace.outputs, workspace, layer)
            below = stretch(workspace.below, 0, a.size)
            backward(network, workspace, rule, rate, decay, layer, factor, delta, a, below)
            if layer > 0:
                slopes = _row_of(network, workspace.deltas, workspace, layer)
                for i in range(0, slopes.size, lanes(slopes)):
                    store(slopes, i, load(slopes, i) * (scale * load(below, i)))

    @routine
    def sweep(network, data, rows, alpha, rule, n_steps, workspace):
        rate = rule.learning_rate
        decay = alpha / data.mean_weight
        shrink, inner_decay, factor = 1.0, decay, 1.0
        if is_plain:
            shrink = 1.0 - rate * decay
            is_lazy = 1.0 / _WIDEST_SCALE < abs(shrink) < _WIDEST_SCALE
            inner_decay = 0.0 if is_lazy else -rate * decay
        weights = stretch(workspace.parameters, 0, network.n_padded_weights)
        squares = square_sum(weights) if alpha > 0.0 else 0.0
        scale, loss_sum, is_pending = 1.0, 0.0, False
        x = x_last = _input(network, workspace, 0)
        steps = _row_of(network, workspace.deltas, workspace, 1)
        first_products = biases_of(network, workspace.products, 0)
        for i in range(rows.size):
            weight = 1.0 / data.mean_weight
            if data.weights.size > 0:
                w = data.weights[rows[i]]
                if _divisor(1, w, data.mean_weight) == 0.0:
                    continue
                weight *= w
            x = _input(network, workspace, n_steps % 2)
            gather(data, stretch(rows, i, 1), matrix(x, 0, 1, x.size))
            if not is_by_unit(network, 0):
                arguments = (network, workspace, rule, rate, inner_decay, x_last, x, steps)
                if is_pending:
                    forward(*arguments, first_products)
                else:
                    _forward_only(*arguments, first_products)
            _forward_rest(network, workspace, x, scale)
            if alpha > 0.0 and not is_plain:
                squares = square_sum(weights)
            loss_sum += _error(network, data, rows[i], weight, workspace)
            loss_sum += 0.5 * decay * squares
            if not math.isfinite(loss_sum):
                break  # the weights are still those before
            n_steps += 1
            if has_schedule:
                rate = step_size(rule, n_steps)
            old_scale = scale
            if is_plain:
                if is_lazy:
                    if not 1.0 / _WIDEST_SCALE < abs(scale * shrink) < _WIDEST_SCALE:
                        _times(scale, weights)
                        old_scale = scale = 1.0
                    scale *= shrink
                factor = -rate / scale
            backward_pass(network, workspace, rule, rate, inner_decay, old_scale, factor, x)
            if is_plain and alpha > 0.0:
                squares = _squares_after(network, workspace, x, squares, shrink, rate)
            _times(factor, steps)
            is_pending, x_last = True, x
        if is_pending and not is_by_unit(network, 0):
            forward(network, workspace, rule, rate, inner_decay, x_last, x, steps, first_products)
        if scale != 1.0:
            _times(scale, weights)
        return loss_sum, n_steps

    return sweep


def _in_chunks(sweep):
    """Make a function that goes through all rows from one that goes through a chunk."""

    @part
    def sweep_in_chunks(network, data, rows, batch_size, alpha, rule, n_steps, workspace):
        for j in range(workspace.row_weights.size):
            workspace.row_weights[j] = 0
        loss_sum = 0.0
        for start in range(0, rows.size, ROWS_OF_A_CHUNK):
            chunk = stretch(rows, start, smaller(ROWS_OF_A_CHUNK, rows.size - start))
            loss, n_steps = sweep(network, data, chunk, alpha, rule, n_steps, workspace)
            loss_sum += loss
        return loss_sum, rows.size, n_steps

    return sweep_in_chunks


#: For each rule, at its code, ``(network, data, rows, batch_size, alpha, rule, n_steps, workspace)
#: -> (sum of losses, rows, n_steps)``: go once through some rows, updating the padded parameters
#: after each.
SWEEPS = tuple(_in_chunks(_sweep(record)) for record in UPDATE_RULES.values())


def _epochs_by(name, sweep):
    """Make the kernel of one rule."""
    epochs = epochs_of(sweep)

    def run(
        network: Layout, parameters, data: Data, rows, batch_size, alpha, rule, moments, state,
        workspace: Workspace,
    ):  # fmt: skip
        return epochs(
            network, parameters, data, rows, batch_size, alpha, rule, moments, state, workspace
        )

    run.__qualname__ = f"online_epochs_{name}"  # by which the cache tells kernels apart
    return kernel(run)


#: The kernel of each rule, at its code.
ONLINE_KERNELS = tuple(
    _epochs_by(name, sweep) for name, sweep in zip(UPDATE_RULES, SWEEPS, strict=True)
)


def online_epochs(
    network, parameters, data, rows, batch_size, alpha, rule, moments, state, workspace
):
    """Go through some rows for some epochs, updating the parameters after each row.

    Arguments and results are those of `batch_epochs`; the batch size is not looked at. Each rule
    has a kernel of its own: most of a sweep is the rule's, and who uses one waits for no other to
    be compiled.
    """
    return ONLINE_KERNELS[rule.code](
        network, parameters, data, rows, batch_size, alpha, rule, moments, state, workspace
    )
