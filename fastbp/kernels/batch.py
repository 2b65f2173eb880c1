"""Batch mode: gradients summed over rows, and the sweep that updates after every mini-batch.

A mini-batch of any size is summed a block of rows at a time: forward and backward through all
layers while the block's outputs are still in the cache. With N the batch's sum of sample weights,

    loss      L = (1/N) sum_i w_i loss_i + alpha/(2N) |W|^2
    gradient  g = (1/N) sum_i w_i grad loss_i + (alpha/N) W

For a batch of one row N is instead the mean weight of all rows: w_i / N then scales the step, where
w_i / w_i would cancel. A batch whose weights are all 0 makes no step.
"""

from fastbp.kernels.layers import square_sum
from fastbp.kernels.moves import move, step_size
from fastbp.kernels.passes import add_block
from fastbp.machine.jit import kernel, part
from fastbp.machine.views import matrix, stretch

__all__ = ["accumulate", "batch_sweep", "penalise", "step"]


@part
def _add_rows(network, parameters, data, rows, workspace, gradient):
    """`add_block` over any number of rows, block after block."""
    total = 0.0
    for start in range(0, rows.size, workspace.block_rows):
        block = stretch(rows, start, min(workspace.block_rows, rows.size - start))
        total += add_block(network, parameters, data, block, workspace, gradient)
    return total


@part
def _sum_weights(data, rows):
    """Sum of the sample weights of some rows, without overflow or rounding of float32."""
    if data.weights.size == 0:
        return float(rows.size)
    total = 0.0
    for i in range(rows.size):
        total += float(data.weights[rows[i]])
    return total


@kernel
def accumulate(network, parameters, data, rows, workspace, gradient):
    """Add the gradients of some rows to a sum.

    network : Layout.  parameters : (n_parameters,).  data : Data.  rows : (n,) row numbers.
    gradient : (n_parameters,), the sum of w_i * grad loss_i is added to it.
    Returns the sum of w_i * loss_i, a float64.
    """
    return _add_rows(network, parameters, data, rows, workspace, gradient)


@kernel
def penalise(network, parameters, gradient, alpha, total_weight):
    """Turn a sum of gradients into the gradient of the objective, in place.

    gradient : (n_parameters,), becomes (gradient + alpha W) / total_weight.
    Returns the penalty alpha / 2 |W|^2, not yet divided.
    """
    T = parameters.dtype.type
    scale, decay = T(1.0 / total_weight), T(alpha / total_weight)
    weights = stretch(parameters, 0, network.n_weights)
    for i in range(network.n_weights):
        gradient[i] = scale * gradient[i] + decay * weights[i]
    for i in range(network.n_weights, gradient.size):
        gradient[i] = scale * gradient[i]
    return 0.5 * alpha * square_sum(weights)


@part
def _step(network, parameters, gradient, scale, decay, rule, rate, first, second, one):
    """Move all parameters along scale * gradient, and the weights along their decay too."""
    one[0] = scale
    n_weights = network.n_weights
    for start, end, shrink in ((0, n_weights, decay), (n_weights, gradient.size, 0.0)):
        n = end - start
        move(
            rule,
            rate,
            one,
            stretch(gradient, start, n),
            shrink,
            matrix(parameters, start, 1, n),
            matrix(first, start, 1, n),
            matrix(second, start, 1, n),
        )


@kernel
def step(network, parameters, gradient, rule, moments, n_steps, one):
    """One step of a rule along a gradient of the objective, penalty included.

    moments : (first, second), (n_parameters,) each.  n_steps : the number of this step, from 1.
    """
    rate = step_size(rule, n_steps)
    _step(network, parameters, gradient, 1.0, 0.0, rule, rate, moments[0], moments[1], one)


@kernel
def batch_sweep(
    network, parameters, data, rows, batch_size, alpha, rule, moments, n_steps, workspace
):
    """Go once through some rows in mini-batches, updating the parameters after each.

    rows : (n,) row numbers in the order to be visited.  moments : (first, second).
    n_steps : steps made before.  parameters and moments are changed in place.
    Returns (sum over batches of loss * rows, rows counted in it, n_steps).
    """
    gradient = workspace.gradient
    loss_sum, n_counted = 0.0, 0
    for start in range(0, rows.size, batch_size):
        batch = stretch(rows, start, min(batch_size, rows.size - start))
        total_weight = _sum_weights(data, batch)
        if batch.size == 1:
            n_counted += 1
        if total_weight == 0.0:
            continue
        if batch.size == 1:
            total_weight = data.mean_weight
        else:
            n_counted += batch.size
        gradient[:] = 0
        loss = _add_rows(network, parameters, data, batch, workspace, gradient)
        if alpha > 0.0:
            loss += 0.5 * alpha * square_sum(stretch(parameters, 0, network.n_weights))
        loss_sum += loss / total_weight * batch.size
        n_steps += 1
        _step(
            network,
            parameters,
            gradient,
            1.0 / total_weight,
            alpha / total_weight,
            rule,
            step_size(rule, n_steps),
            moments[0],
            moments[1],
            workspace.one,
        )
    return loss_sum, n_counted, n_steps
