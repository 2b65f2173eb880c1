"""Online mode on the GPU is many networks at once: a block trains one, sample by sample.

A sample's backpropagation is too small for a GPU and the next one needs its result; what there is
to share out is networks: starts, folds, points of a grid. A network's weights, and its moments, lie
in the shared memory of the chip's multiprocessor where they fit; a barrier of some dozen cycles
stands between the layers (``samples.py``). Inputs come a chunk of rows at a time, so that one wait
for the device's memory serves them all.

Each thread keeps its share of the loss, its outputs' and alpha/2 w^2 of its weights', to itself;
the shares are added up once an epoch.
"""

from functools import cache
from typing import Any

from fastbp.backends.gpu.kernels.epoch_end import MAX_THREADS, block_sum, goes_on
from fastbp.backends.gpu.kernels.launch_arguments import ALPHA, BEST_LOSS, N_NO_IMPROVEMENT
from fastbp.backends.gpu.kernels.placement import (
    N_IN,
    N_LAYERS,
    N_MOVED,
    N_OUT,
    NOTHING_OWN,
    OwnRecords,
)
from fastbp.backends.gpu.kernels.samples import BlockNetwork, Pending, Step, sample_passes
from fastbp.backends.gpu.kernels.tiles import gather
from fastbp.backends.gpu.kernels.update_rules import rule_of, step_size_of
from fastbp.machine.gpu_kernels import cuda, kernel, part, tail
from fastbp.model.update_rules import UPDATE_RULES

__all__ = ["ROWS_OF_A_CHUNK", "online_kernel"]

#: Rows of inputs that are fetched together, at most.
ROWS_OF_A_CHUNK = 32


@part
def _copy(to, source, n):
    i = cuda.threadIdx.x
    while i < n:
        to[i] = source[i]
        i += cuda.blockDim.x


@part
def _gather_chunk(data, rows, begin, count, inputs, targets, n_in, n_out):
    """Copy a chunk of rows to shared memory: ``count`` from place ``begin`` on."""
    gather(data, rows, begin, count, inputs, 1, n_in, n_in, count)
    item = cuda.threadIdx.x
    while item < count * n_out:
        targets[item] = data.y[rows[begin + item // n_out], item % n_out]
        item += cuda.blockDim.x
    cuda.syncthreads()


@cache
def online_kernel(rule_name: str, in_shared: bool, own: OwnRecords = NOTHING_OWN) -> Any:
    """Make the kernel of an update rule, its weights in the chip's shared memory or the device's.

    Parameters
    ----------
    rule_name : str
        Name of the rule in `UPDATE_RULES`.
    in_shared : bool
        Whether parameters and moments are copied to shared memory for the launch.
    own : OwnRecords
        A user's own activations and losses.

    Returns
    -------
    online_epochs : kernel
        It is compiled when it is launched.
    """
    record = UPDATE_RULES[rule_name]
    step_size = step_size_of(record)
    forward, errors, backward, flush = sample_passes(record, own)
    has_first, has_second = record.n_moments > 0, record.n_moments > 1
    n_vectors = 1 + record.n_moments if in_shared else 0

    @part
    def nan_if_broken(network):
        """Give a thread's share of 0 times what the loss alone would not show: NaN, or 0."""
        parameters, _, second = network.vectors
        total = 0.0
        i = cuda.threadIdx.x
        while i < network.layout[0, N_MOVED]:
            total += 0.0 * parameters[i]
            if has_second:
                total += 0.0 * second[i]
            i += cuda.blockDim.x
        return total

    @part
    def epoch_of(network, data, rows, mean_weight, alpha, rule, n_steps, workspace, lengths):
        """Go once through rows; returns a thread's share of the sum of losses, and n_steps."""
        layout, (chunk_rows, n_sums) = network.layout, lengths
        dtype, n_in, n_layers = network.vectors[0].dtype.type, layout[1, N_IN], layout[0, N_LAYERS]
        n_out, is_deep = layout[n_layers, N_OUT], n_layers > 1
        decay, total = alpha / mean_weight, 0.0
        inputs, targets = workspace, workspace[chunk_rows * n_in :]
        sums = targets[chunk_rows * n_out :]
        units = sums[n_sums:]
        power_1, power_2 = rule.beta_1 ** float(n_steps), rule.beta_2 ** float(n_steps)
        for begin in range(0, rows.size, chunk_rows):
            count = min(chunk_rows, rows.size - begin)
            _gather_chunk(data, rows, begin, count, inputs, targets, n_in, n_out)
            step, pending = Step(rule, rule.learning_rate, dtype(decay)), Pending(False, inputs)
            for i in range(count):
                weight = 1.0 / mean_weight
                if data.weights.size > 0:
                    weight *= data.weights[rows[begin + i]]
                if weight == 0:
                    continue
                x, y = tail(inputs, i * n_in), tail(targets, i * n_out)
                squares = forward(network, x, units, sums, pending, step)
                total += errors(network, y, dtype(weight), units)
                cuda.syncthreads()
                n_steps += 1
                power_1, power_2 = power_1 * rule.beta_1, power_2 * rule.beta_2
                step = Step(rule, step_size(rule, power_1, power_2), dtype(decay))
                squares += backward(network, x, units, step)
                cuda.syncthreads()
                total += 0.5 * decay * squares
                pending = Pending(is_deep, x)
            if pending.is_there:
                total += 0.5 * decay * flush(network, pending.x, units, step)
        return total + nan_if_broken(network), n_steps

    @kernel
    def online_epochs(state, data, arguments, chunk_rows, n_sums):
        """Train many networks for some epochs, one by each block, with an update after each row.

        chunk_rows : rows whose inputs are fetched together.  n_sums : threads of a block or units
        of the widest layer, whichever is more.
        """
        entry = cuda.blockIdx.x
        i = arguments.networks[entry]
        layout, start = state.layouts[i], state.starts[i]
        n_moved = layout[0, N_MOVED]
        sums = cuda.shared.array(MAX_THREADS, "float64")
        shared = cuda.shared.array(0, state.parameters.dtype, 16)
        if in_shared:
            vectors = (shared, shared[n_moved:], shared[2 * n_moved :])
            _copy(vectors[0], state.parameters[start:], n_moved)
            if has_first:
                _copy(vectors[1], state.first[start:], n_moved)
            if has_second:
                _copy(vectors[2], state.second[start:], n_moved)
            cuda.syncthreads()
        else:
            vectors = (state.parameters[start:], state.first[start:], state.second[start:])
        network = BlockNetwork(layout, state.loss_parameters[i], vectors)
        workspace = shared[n_vectors * n_moved :]
        rule, alpha = rule_of(arguments, entry), arguments.settings[entry, ALPHA]
        n_steps, n_rows = state.n_steps[i], arguments.n_rows[entry]
        best_loss = arguments.settings[entry, BEST_LOSS]
        n_no_improvement = arguments.settings[entry, N_NO_IMPROVEMENT]
        more, epoch = True, 0
        while more:
            rows = arguments.orders[arguments.order_of[entry], epoch]
            total, n_steps = epoch_of(
                network, data, rows[:n_rows], arguments.divisors[entry, epoch, 0], alpha, rule,
                n_steps, workspace, (chunk_rows, n_sums),
            )  # fmt: skip
            loss = block_sum(total, sums) / n_rows
            if cuda.threadIdx.x == 0:
                arguments.losses[entry, epoch] = loss
            more, n_no_improvement, best_loss = goes_on(
                arguments, entry, loss, epoch, n_no_improvement, best_loss
            )
            epoch += 1
        if in_shared:
            _copy(state.parameters[start:], vectors[0], n_moved)
            if has_first:
                _copy(state.first[start:], vectors[1], n_moved)
            if has_second:
                _copy(state.second[start:], vectors[2], n_moved)
        if cuda.threadIdx.x == 0:
            state.n_steps[i] = n_steps
            arguments.n_epochs[entry] = epoch

    return online_epochs
