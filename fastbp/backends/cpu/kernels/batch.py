"""Batch mode: gradients summed over rows, and the sweep that updates after every mini-batch.

A mini-batch of any size is summed a block of rows at a time: forward and backward through all
layers while the block's outputs are still in the cache. With N the batch's sum of sample weights,

    loss      L = (1/N) sum_i w_i loss_i + alpha/(2N) |W|^2
    gradient  g = (1/N) sum_i w_i grad loss_i + (alpha/N) W

For a batch of one row N is instead the mean weight of all rows (``model/data.py`` says why).
"""

from fastbp.backends.cpu.kernels.epochs import epochs_of, pack_state, unpack_state
from fastbp.backends.cpu.kernels.layers import square_sum
from fastbp.backends.cpu.kernels.packing import pack, transpose_layers, unpack_and_add
from fastbp.backends.cpu.kernels.passes import add_block
from fastbp.backends.cpu.kernels.update_rules import move_all, step_size
from fastbp.backends.cpu.kernels.workspace import Workspace
from fastbp.backends.cpu.layout import Layout
from fastbp.machine.extremes import smaller
from fastbp.machine.jit import kernel, part
from fastbp.machine.simd import lanes, splat, store
from fastbp.machine.views import stretch
from fastbp.model.data import Data, batch_divisor

__all__ = [
    "accumulate",
    "batch_epochs",
    "penalise",
    "squares_of",
    "step",
    "sweep_of",
    "with_penalty",
]

_divisor = part(batch_divisor)


@part
def _sum_rows(network, data, rows, workspace):
    """Gradient of some rows, block after block, in the workspace; returns the sum of losses."""
    gradient = workspace.gradient
    for i in range(0, gradient.size, lanes(gradient)):
        store(gradient, i, splat(gradient, 0.0))
    transpose_layers(network, workspace)
    total = 0.0
    for start in range(0, rows.size, workspace.block_rows):
        block = stretch(rows, start, smaller(workspace.block_rows, rows.size - start))
        total += add_block(network, data, block, workspace)
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
def accumulate(
    network: Layout, parameters, data: Data, rows, workspace: Workspace, gradient, alpha,
    total_weight,
):  # fmt: skip
    """Add the gradients of some rows to a sum, and make it the objective's if these are all rows.

    network : Layout.  parameters : (n_parameters,).  data : Data.  rows : (n,) row numbers.
    gradient : (n_parameters,), the sum of w_i * grad loss_i is added to it.
    total_weight : 0, or of all rows what `penalise`, which is then done, takes for it.
    Returns the sum of w_i * loss_i, a float64, or then the objective.
    """
    pack(network, parameters, workspace.parameters)
    total = _sum_rows(network, data, rows, workspace)
    unpack_and_add(network, workspace.gradient, gradient)
    if total_weight == 0.0:
        return total
    return (total + _penalise(network.n_weights, parameters, gradient, alpha, total_weight)) / (
        total_weight
    )


@kernel
def penalise(n_weights, parameters, gradient, alpha, total_weight):
    """Turn a sum of gradients into the gradient of the objective, in place.

    n_weights : how many of the parameters are weights, the leading ones.
    gradient : (n_parameters,), becomes (gradient + alpha W) / total_weight.
    Returns the penalty alpha / 2 |W|^2, not yet divided.
    """
    return _penalise(n_weights, parameters, gradient, alpha, total_weight)


@part
def _penalise(n_weights, parameters, gradient, alpha, total_weight):
    scale, decay = 1.0 / total_weight, alpha / total_weight
    total = 0.0
    for i in range(n_weights):
        gradient[i] = scale * gradient[i] + decay * parameters[i]
        total += float(parameters[i]) * float(parameters[i])
    for i in range(n_weights, gradient.size):
        gradient[i] = scale * gradient[i]
    return 0.5 * alpha * total


@part
def _step(network, workspace, rule, rate, scale, decay):
    """Move the padded parameters along scale * gradient, and the weights along their decay too."""
    n = network.n_padded_weights
    for start, end, shrink in ((0, n, decay), (n, network.n_padded, 0.0)):
        move_all(
            rule, rate, scale, shrink, workspace.gradient,
            workspace.parameters, workspace.first, workspace.second, start, end,
        )  # fmt: skip


@kernel
def step(network: Layout, parameters, gradient, rule, moments, workspace: Workspace):
    """One step of a rule along a gradient of the objective, penalty included.

    moments : (first, second, number of steps made before), the vectors (n_parameters,) each.
    """
    pack_state(network, parameters, rule, moments, workspace)
    pack(network, gradient, workspace.gradient)
    _step(network, workspace, rule, step_size(rule, moments[2] + 1), 1.0, 0.0)
    unpack_state(network, parameters, rule, moments, workspace)


@part
def _make_step(network, data, rows, start, n, alpha, divisor, rule, n_steps, workspace):
    """Make the update of one mini-batch; returns the sum of its losses, penalty included."""
    loss = _sum_rows(network, data, stretch(rows, start, n), workspace)
    if alpha > 0.0:
        loss = with_penalty(loss, alpha, squares_of(network, workspace))
    rate = step_size(rule, n_steps)
    _step(network, workspace, rule, rate, 1.0 / divisor, alpha / divisor)
    return loss


@part
def squares_of(network, workspace):
    """Sum the squares of the padded weights, |W|^2."""
    return square_sum(stretch(workspace.parameters, 0, network.n_padded_weights))


@part
def with_penalty(loss, alpha, squares):
    """Add the penalty: in one expression, which may become one rounding wherever it stands."""
    return loss + 0.5 * alpha * squares


def sweep_of(make_step):
    """Make a function that goes once through some rows, from one that makes a mini-batch's update.

    It returns (sum over batches of loss * rows, rows counted in it, n_steps).
    """

    @part
    def sweep(network, data, rows, batch_size, alpha, rule, n_steps, workspace):
        loss_sum, n_counted = 0.0, 0
        for start in range(0, rows.size, batch_size):
            n = smaller(batch_size, rows.size - start)
            total_weight = _sum_weights(data, stretch(rows, start, n))
            divisor = _divisor(n, total_weight, data.mean_weight)
            if n == 1 or divisor > 0.0:
                n_counted += n
            if divisor == 0.0:
                continue
            n_steps += 1
            loss = make_step(
                network, data, rows, start, n, alpha, divisor, rule, n_steps, workspace
            )
            loss_sum += loss / divisor * n
        return loss_sum, n_counted, n_steps

    return sweep


_epochs = epochs_of(sweep_of(_make_step))


@kernel
def batch_epochs(
    network: Layout, parameters, data: Data, rows, batch_size, alpha, rule, moments, state,
    workspace: Workspace,
):  # fmt: skip
    """Go through some rows for some epochs, updating the parameters after each mini-batch.

    rows : (n,) row numbers in the order to be visited, or to be shuffled.  moments : (first,
    second, number of steps made before).  state : EpochState.  parameters, moments, rows and state
    are changed in place.  Returns (epochs made, rows counted in the last one's loss, number of
    steps made).
    """
    return _epochs(
        network, parameters, data, rows, batch_size, alpha, rule, moments, state, workspace
    )
