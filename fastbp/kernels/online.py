"""Online mode: a weight update after every sample.

Nothing is summed: a sample's error signals are sent down through each layer's weights and the same
weights are moved at once, in place, while they are at hand,

    delta_below = (W delta) * slope_below       with the weights before the update
    W          <- W - rate (outer(x, delta) + decay W)      and likewise for the other rules

so a gradient is never written down. It computes what `batch_sweep` does with batches of one row.
"""

from fastbp.kernels.elementwise import output_error
from fastbp.kernels.layers import backward, square_sum
from fastbp.kernels.moves import move, step_size
from fastbp.kernels.passes import forward_block, layer_of
from fastbp.machine.jit import kernel, part
from fastbp.machine.views import matrix, row, stretch

__all__ = ["online_sweep"]


@part
def _move_layer(network, parameters, layer, x, delta, decay, rule, rate, moments, one):
    """Move a layer's biases along delta, and its weights along outer(x, delta) + decay W."""
    first, second = moments
    n, b = delta.size, network.biases[layer]
    move(
        rule, rate, one, delta, 0.0,
        matrix(parameters, b, 1, n), matrix(first, b, 1, n), matrix(second, b, 1, n),
    )  # fmt: skip
    if delta.size == 1:  # one long row instead of many short ones: the outer product transposed
        x, delta = delta, x
    m, n, w = x.size, delta.size, network.weights[layer]
    move(
        rule, rate, x, delta, decay,
        matrix(parameters, w, m, n), matrix(first, w, m, n), matrix(second, w, m, n),
    )  # fmt: skip


@kernel
def online_sweep(network, parameters, data, rows, alpha, rule, moments, n_steps, workspace):
    """Go once through some rows, updating the parameters after each.

    rows : (n,) row numbers in the order to be visited.  moments : (first, second).
    n_steps : steps made before.  parameters and moments are changed in place.
    Returns (sum of the samples' losses, rows counted in it, n_steps), as `batch_sweep`.
    """
    outputs, deltas, starts = workspace.outputs, workspace.deltas, workspace.starts
    last = network.activations.size
    scale = 1.0 / data.mean_weight
    decay = alpha / data.mean_weight
    loss_sum = 0.0
    workspace.one[0] = 1
    for i in range(rows.size):
        weight = data.y.dtype.type(scale)
        if data.weights.size > 0:
            weight = data.y.dtype.type(scale * data.weights[rows[i]])
            if weight == 0:
                continue
        forward_block(network, parameters, data, stretch(rows, i, 1), workspace)
        n_outputs = network.sizes[last]
        loss_sum += output_error(
            network.loss,
            network.canonical,
            stretch(outputs, starts[last], n_outputs),
            row(data.y, rows[i]),
            weight,
            stretch(deltas, starts[last], n_outputs),
        )
        if alpha > 0.0:
            loss_sum += 0.5 * decay * square_sum(stretch(parameters, 0, network.n_weights))
        n_steps += 1
        rate = step_size(rule, n_steps)
        for layer in range(last - 1, -1, -1):
            fan_in, fan_out = network.sizes[layer], network.sizes[layer + 1]
            x = stretch(outputs, starts[layer], fan_in)
            delta = stretch(deltas, starts[layer + 1], fan_out)
            if layer > 0:
                w, _ = layer_of(network, parameters, layer)
                delta_row = matrix(deltas, starts[layer + 1], 1, fan_out)
                backward(delta_row, w, matrix(deltas, starts[layer], 1, fan_in))
            _move_layer(
                network, parameters, layer, x, delta, decay, rule, rate, moments, workspace.one
            )
    return loss_sum, rows.size, n_steps
