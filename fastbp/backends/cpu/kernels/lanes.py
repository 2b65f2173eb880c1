r"""Networks side by side, one in each lane of a vector: the passes through their layers.

One network's online sweep (``online.py``) is a chain of dependent instructions, and its vectors are
filled up with zeros where a layer has few units. Here lane i of every vector belongs to network i,
which has weights, rows, rates and an end of its own. Nothing is summed over lanes and no lane waits
for another, so a small network's sample costs what its arithmetic costs, and a network's numbers
are the same to the last bit whichever networks are beside it.

The order of work is ``online.py``'s: the first layer's update waits for the next sample's forward
pass, the other layers are moved in the backward pass, and a plain step's weight decay is a number s
for each lane. A parameter is V numbers, one a lane. The first layer's are stored by panels of
units, input by input within, which is how the sweep streams through them; the other layers' unit by
unit (``lane_layout.py`` says which parameter is where).
"""

from functools import partial

from fastbp.machine.by_address import call
from fastbp.machine.chip import max_accumulators
from fastbp.machine.jit import part
from fastbp.machine.simd import lanes, load, repeat, splat, store
from fastbp.machine.views import stretch

__all__ = [
    "activate",
    "backward_of",
    "first_layer_of",
    "forward_units",
    "in_panels",
    "layer_of",
    "panel_width",
    "set_net_inputs",
]


def panel_width(record=None):
    """How many units of the first layer make a panel, by the record of the rule that moves them."""
    return 1 if record is not None and record.n_moments > 1 else max_accumulators() // 2


def _mover(record, n):
    """Move n weights of each lane; returns them as they were and as they are."""
    move, is_plain = part(record.move), record.is_plain
    has_first, has_second = record.n_moments > 0, record.n_moments > 1

    @part
    def run(rule, rate, decay, x, step, workspace, place):
        old = load(workspace.parameters, place, n)
        if is_plain:  # its rate and its scale are in the step
            w = old + x * step
        else:
            g = x * step + decay * old
            u = load(workspace.first, place, n) if has_first else old
            v = load(workspace.second, place, n) if has_second else old
            w, u, v = move(rule, rate, g, old, u, v)
            if has_first:
                store(workspace.first, place, u)
            if has_second:
                store(workspace.second, place, v)
        store(workspace.parameters, place, w)
        return old, w

    return run


@part
def layer_of(network, blocks, layer):
    """View a layer's outputs, slopes or error signals."""
    v = lanes(blocks)
    return stretch(blocks, network.starts[layer] * v, network.sizes[layer] * v)


def _stayer(n):
    """Load n weights of each lane and leave them, as a first sample's forward pass does."""

    @part
    def run(rule, rate, decay, x, step, workspace, place):
        old = load(workspace.parameters, place, n)
        return old, old

    return run


@part
def set_net_inputs(network, workspace, layer, j, n, products, scale):
    """From n units' products x V to their net inputs; the products are kept where s is not 1."""
    start = (network.starts[layer + 1] + j) * lanes(workspace.outputs)
    bias = load(workspace.parameters, (network.biases[layer] + j) * lanes(workspace.outputs), n)
    if workspace.has_decay:
        products = repeat(scale, n) * products
        store(workspace.products, start, products)
    store(workspace.outputs, start, products + bias)


def _first_layer_panel(moved, n):
    """Make the loop of the first layer over n units: update for the last sample, net inputs."""

    @part
    def panel(network, workspace, rule, rate, decay, scale, x_last, x, j):
        v, n_inputs = lanes(x), network.sizes[0]
        place = (network.weights[0] + j * n_inputs) * v
        steps = load(layer_of(network, workspace.deltas, 1), j * v, n)
        constants = rule, repeat(rate, n), repeat(decay, n)
        z = splat(x, 0.0, n)
        for k in range(n_inputs):
            inputs = repeat(load(x_last, k * v), n)
            _, w = moved(*constants, inputs, steps, workspace, place + k * n * v)
            z = z + repeat(load(x, k * v), n) * w
        set_net_inputs(network, workspace, 0, j, n, z, scale)

    return panel


def in_panels(n, panel_of):
    """Make the loop over the first layer's panels of n units, from what makes one's of some."""
    whole, single = panel_of(n), panel_of(1)

    @part
    def panels(network, arguments):
        n_whole = network.sizes[1] // n * n
        for j in range(0, n_whole, n):
            whole(network, *arguments, j)
        for j in range(n_whole, network.sizes[1]):
            single(network, *arguments, j)

    return panels


def _first_layer(n, make_moved):
    panels = in_panels(n, lambda n: _first_layer_panel(make_moved(n), n))

    @part
    def first_layer(network, workspace, rule, rate, decay, scale, x_last, x):
        panels(network, (workspace, rule, rate, decay, scale, x_last, x))

    return first_layer


def first_layer_of(record):
    """Make the first layer's passes of a rule: with the last sample's update, and without one."""
    n = panel_width(record)
    return _first_layer(n, partial(_mover, record)), _first_layer(n, _stayer)


@part
def forward_units(network, workspace, layer, scale):
    """Net inputs of another layer."""
    x = layer_of(network, workspace.outputs, layer)
    v, fan_in = lanes(x), network.sizes[layer]
    n_fours = fan_in // 4 * 4
    for j in range(network.sizes[layer + 1]):
        w = stretch(workspace.parameters, (network.weights[layer] + j * fan_in) * v, fan_in * v)
        even, odd = splat(x, 0.0), splat(x, 0.0)
        third, fourth = splat(x, 0.0), splat(x, 0.0)
        for k in range(0, n_fours * v, 4 * v):
            even = even + load(x, k) * load(w, k)
            odd = odd + load(x, k + v) * load(w, k + v)
            third = third + load(x, k + 2 * v) * load(w, k + 2 * v)
            fourth = fourth + load(x, k + 3 * v) * load(w, k + 3 * v)
        z = (even + third) + (odd + fourth)
        for k in range(n_fours * v, fan_in * v, v):
            z = z + load(x, k) * load(w, k)
        set_net_inputs(network, workspace, layer, j, 1, z, scale)


@part
def activate(network, workspace, layer):
    """From the net inputs of a hidden layer to its outputs and slopes."""
    z = layer_of(network, workspace.outputs, layer + 1)
    call(network.activations[layer], (z, layer_of(network, workspace.deltas, layer + 1)))


def _bias_mover(record, n):
    """Move the biases of n units, and store their error signals; in the first layer, the steps.

    A plain step along the first layer's inputs has rate and scale in it.
    """
    moved, is_plain = _mover(record, n), record.is_plain

    @part
    def run(network, workspace, rule, rate, factor, layer, j, delta):
        v = lanes(workspace.deltas)
        none, one = splat(workspace.deltas, 0.0, n), splat(workspace.deltas, 1.0, n)
        rate = repeat(rate, n)
        step = -rate * delta if is_plain else delta  # biases have no scale
        moved(rule, rate, none, one, step, workspace, (network.biases[layer] + j) * v)
        if is_plain and layer == 0:
            delta = repeat(factor, n) * delta
        store(workspace.deltas, (network.starts[layer + 1] + j) * v, delta)

    return run


def _backward_panel(record, n):
    """Make the loop over n inputs of a layer: error signals of the layer below, then updates."""
    moved, is_plain = _mover(record, n), record.is_plain
    move_biases = _bias_mover(record, n)

    @part
    def panel(network, workspace, rule, rate, decay, scale, factor, layer, k):
        delta = layer_of(network, workspace.deltas, layer + 1)
        v, fan_in = lanes(delta), network.sizes[layer]
        x = load(layer_of(network, workspace.outputs, layer), k * v, n)
        constants = rule, repeat(rate, n), repeat(decay, n)
        total = splat(delta, 0.0, n)
        place = (network.weights[layer] + k) * v
        for j in range(0, delta.size, v):
            error = load(delta, j)
            step = repeat(factor * error if is_plain else error, n)
            old, _ = moved(*constants, x, step, workspace, place)
            total = total + repeat(error, n) * old
            place += fan_in * v
        slopes = load(layer_of(network, workspace.deltas, layer), k * v, n)
        below = slopes * (repeat(scale, n) * total)
        move_biases(network, workspace, rule, rate, factor, layer - 1, k, below)

    return panel


def backward_of(record):
    """Make the backward pass of a rule: error signals, and the update of all that cannot wait."""
    n = panel_width(record)
    whole, single = _backward_panel(record, n), _backward_panel(record, 1)
    move_bias = _bias_mover(record, 1)

    @part
    def backward(network, workspace, rule, rate, decay, scale, factor):
        arguments = (network, workspace, rule, rate, decay, scale, factor)
        v, last = lanes(workspace.deltas), network.activations.size - 1
        for j in range(network.sizes[last + 1]):
            error = load(layer_of(network, workspace.deltas, last + 1), j * v)
            move_bias(network, workspace, rule, rate, factor, last, j, error)
        for layer in range(last, 0, -1):
            n_whole = network.sizes[layer] // n * n
            for k in range(0, n_whole, n):
                whole(*arguments, layer, k)
            for k in range(n_whole, network.sizes[layer]):
                single(*arguments, layer, k)

    return backward
