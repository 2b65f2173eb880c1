"""Online mode on the GPU is many networks at once: a block trains one, sample by sample.

A sample's backpropagation is too small for a GPU and the next one needs its result; what there is
to share out is networks: starts, folds, points of a grid. A network's weights, and its moments, lie
in the shared memory of the chip's multiprocessor where they fit; a barrier of some dozen cycles
stands between the layers.

    first hidden layer   thread j has column j:   w <- move(x_last[k] delta_j);  z_j += x[k] w other
    layers         thread j sums z_j; where a layer has few units, several threads share the sum
    error                thread j has output j
    backward, update     thread k has row k:      below_k += w delta_j;  w <- move(x_k delta_j)

As on the CPU (``kernels/online.py``) the first hidden layer's update waits for the next sample's
forward pass, so every weight is loaded and stored once a sample, and no thread needs another one's
weights. Rows of weights are an odd number of numbers long, so reading a column down is as good as
reading a row along. Inputs come a chunk of rows at a time, so that one wait for the device's memory
serves them all.

Each thread keeps its share of the loss, its outputs' and alpha/2 w^2 of its weights', to itself;
the shares are added up once an epoch.
"""

import math
from functools import cache
from typing import Any

from fastbp.backends.gpu.kernels.elementwise import activate_with_slope, loss_and_gradient
from fastbp.backends.gpu.kernels.launch_arguments import ALPHA, BEST_LOSS, N_NO_IMPROVEMENT
from fastbp.backends.gpu.kernels.placement import (
    ACTIVATION,
    BIASES,
    CANONICAL,
    DELTAS,
    INPUTS,
    LOSS,
    N_IN,
    N_LAYERS,
    N_MOVED,
    N_OUT,
    N_SHARERS,
    OUTPUTS,
    STRIDE,
    WEIGHTS,
)
from fastbp.backends.gpu.kernels.tiles import gather
from fastbp.backends.gpu.kernels.update_rules import (
    MOST_THREADS,
    block_sum,
    goes_on,
    mover,
    rule_of,
)
from fastbp.machine.gpu_kernels import cuda, kernel, load1, part, store1, tail
from fastbp.model.update_rules import ADAM, MOMENTUM, NESTEROV, PLAIN

__all__ = ["ROWS_OF_A_CHUNK", "online_kernel"]

#: Rows of inputs that are fetched together, at most.
ROWS_OF_A_CHUNK = 32
_N_MOMENTS = {PLAIN: 0, MOMENTUM: 1, NESTEROV: 1, ADAM: 2}


@cache
def online_kernel(kind: int, in_shared: bool) -> Any:
    """Make the kernel of an update rule, its weights in the chip's shared memory or the device's.

    Parameters
    ----------
    kind : int
        PLAIN, MOMENTUM, NESTEROV or ADAM.
    in_shared : bool
        Whether parameters and moments are copied to shared memory for the launch.

    Returns
    -------
    online_epochs : kernel
        It is compiled when it is launched.
    """
    move = mover(kind)
    has_first, has_second = _N_MOMENTS[kind] > 0, _N_MOMENTS[kind] > 1
    n_vectors = 1 + _N_MOMENTS[kind] if in_shared else 0

    @part
    def copy(to, source, n):
        i = cuda.threadIdx.x
        while i < n:
            to[i] = source[i]
            i += cuda.blockDim.x

    @part
    def move_one(rule, rate, decay, product, vectors, place):
        """Move a parameter against its gradient; returns what it was and what it is."""
        parameters, first, second = vectors
        w = load1(parameters, place)
        zero = parameters.dtype.type(0)
        u = load1(first, place) if has_first else zero
        v = load1(second, place) if has_second else zero
        new_w, new_u, new_v = move(rule, rate, product + decay * w, w, u, v)
        store1(parameters, place, new_w)
        if has_first:
            store1(first, place, new_u)
        if has_second:
            store1(second, place, new_v)
        return w, new_w

    @part
    def net_inputs(plan, layer, vectors, x, z, sums, is_pending, x_last, deltas, step):
        """Net inputs of a layer; the first hidden layer's pending update is made on the way.

        Returns a thread's share of the sum of squares of the weights that it moved.
        """
        rule, rate, decay = step
        n_in, n_out, stride = plan[layer, N_IN], plan[layer, N_OUT], plan[layer, STRIDE]
        start, biases = plan[layer, WEIGHTS], plan[layer, BIASES]
        n_sharers = plan[layer, N_SHARERS]
        step_down = n_sharers * stride
        parameters, zero = vectors[0], vectors[0].dtype.type(0)
        squares = zero
        item = cuda.threadIdx.x
        while item < n_out * n_sharers:
            unit, sharer = item, 0
            while unit >= n_out:
                unit, sharer = unit - n_out, sharer + 1
            k, place, total = sharer, start + sharer * stride + unit, zero
            if is_pending:
                delta = load1(deltas, unit)
                while k < n_in:
                    old, w = move_one(rule, rate, decay, load1(x_last, k) * delta, vectors, place)
                    squares += old * old
                    total += load1(x, k) * w
                    k, place = k + n_sharers, place + step_down
            else:
                while k < n_in:
                    total += load1(x, k) * load1(parameters, place)
                    k, place = k + n_sharers, place + step_down
            store1(sums, item, total)
            item += cuda.blockDim.x
        if n_sharers > 1:
            cuda.syncthreads()
        j = cuda.threadIdx.x
        while j < n_out:
            total = load1(parameters, biases + j)
            place, sharer = j, 0
            while sharer < n_sharers:
                total += load1(sums, place)
                place, sharer = place + n_out, sharer + 1
            store1(z, j, total)
            j += cuda.blockDim.x
        return squares

    @part
    def forward(plan, vectors, x, room, sums, is_pending, x_last, step):
        """Compute outputs and slopes of all layers for one sample; returns as `net_inputs`."""
        squares = vectors[0].dtype.type(0)
        for layer in range(1, plan[0, N_LAYERS] + 1):
            z, slopes = tail(room, plan[layer, OUTPUTS]), tail(room, plan[layer, DELTAS])
            below = x if layer == 1 else tail(room, plan[layer, INPUTS])
            squares += net_inputs(
                plan,
                layer,
                vectors,
                below,
                z,
                sums,
                is_pending and layer == 1,
                x_last,
                slopes,
                step,
            )
            activate_with_slope(plan[layer, ACTIVATION], z, slopes, plan[layer, N_OUT])
            cuda.syncthreads()
        return squares

    @part
    def errors(plan, loss_parameters, y, weight, room):
        """Error signals of the output layer; returns a thread's share of the loss."""
        last = plan[0, N_LAYERS]
        outputs, deltas = tail(room, plan[last, OUTPUTS]), tail(room, plan[last, DELTAS])
        total = 0.0
        j = cuda.threadIdx.x
        while j < plan[last, N_OUT]:
            loss, gradient = loss_and_gradient(plan[0, LOSS], loss_parameters[j], outputs[j], y[j])
            total += weight * loss
            if plan[0, CANONICAL] != 0:
                deltas[j] = weight * (outputs[j] - y[j])
            else:
                deltas[j] = deltas[j] * (weight * gradient)
            j += cuda.blockDim.x
        return total

    @part
    def backward(plan, vectors, x, room, step):
        """Error signals of all layers, and the update of all but the first hidden layer's weights.

        Returns a thread's share of the sum of squares of the weights that it moved.
        """
        rule, rate, decay = step
        zero = vectors[0].dtype.type(0)
        squares = zero
        for layer in range(plan[0, N_LAYERS], 0, -1):
            deltas = tail(room, plan[layer, DELTAS])
            n_in, n_out, stride = plan[layer, N_IN], plan[layer, N_OUT], plan[layer, STRIDE]
            j = cuda.threadIdx.x
            while j < n_out:
                move_one(rule, rate, zero, load1(deltas, j), vectors, plan[layer, BIASES] + j)
                j += cuda.blockDim.x
            if layer == 1 and plan[0, N_LAYERS] > 1:
                break
            below = x if layer == 1 else tail(room, plan[layer, INPUTS])
            k = cuda.threadIdx.x
            while k < n_in:
                a, total = load1(below, k), zero
                start = plan[layer, WEIGHTS] + k * stride
                j = 0
                while j < n_out:
                    delta = load1(deltas, j)
                    old, _ = move_one(rule, rate, decay, a * delta, vectors, start + j)
                    squares += old * old
                    total += old * delta
                    j += 1
                if layer > 1:
                    place = plan[layer - 1, DELTAS] + k
                    store1(room, place, load1(room, place) * total)
                k += cuda.blockDim.x
            cuda.syncthreads()
        return squares

    @part
    def flush(plan, vectors, x_last, room, step):
        """Make the first hidden layer's pending update; returns a thread's share of squares."""
        rule, rate, decay = step
        squares, stride = vectors[0].dtype.type(0), plan[1, STRIDE]
        j = cuda.threadIdx.x
        while j < plan[1, N_OUT]:
            delta = room[plan[1, DELTAS] + j]
            for k in range(plan[1, N_IN]):
                place = plan[1, WEIGHTS] + k * stride + j
                old, _ = move_one(rule, rate, decay, load1(x_last, k) * delta, vectors, place)
                squares += old * old
            j += cuda.blockDim.x
        cuda.syncthreads()
        return squares

    @part
    def epoch_of(
        plan, loss_parameters, vectors, data, rows, mean_weight, alpha, rule, n_steps, room, lengths
    ):
        """Go once through rows; returns a thread's share of the sum of losses, and n_steps."""
        chunk_rows, n_sums = lengths
        parameters = vectors[0]
        dtype, n_in, n_layers = parameters.dtype.type, plan[1, N_IN], plan[0, N_LAYERS]
        n_out, is_deep = plan[n_layers, N_OUT], n_layers > 1
        decay, total = alpha / mean_weight, 0.0
        inputs, targets = room, room[chunk_rows * n_in :]
        sums = targets[chunk_rows * n_out :]
        room = sums[n_sums:]
        power_1, power_2 = rule.beta_1 ** float(n_steps), rule.beta_2 ** float(n_steps)
        for begin in range(0, rows.size, chunk_rows):
            count = min(chunk_rows, rows.size - begin)
            gather(data, rows, begin, count, inputs, 1, n_in, n_in, count)
            item = cuda.threadIdx.x
            while item < count * n_out:
                targets[item] = data.y[rows[begin + item // n_out], item % n_out]
                item += cuda.blockDim.x
            cuda.syncthreads()
            rate, is_pending, x_last = rule.learning_rate, False, inputs
            step = (rule, rate, dtype(decay))
            for i in range(count):
                weight = 1.0 / mean_weight
                if data.weights.size > 0:
                    weight *= data.weights[rows[begin + i]]
                if weight == 0:
                    continue
                x, y = tail(inputs, i * n_in), tail(targets, i * n_out)
                squares = forward(plan, vectors, x, room, sums, is_pending, x_last, step)
                total += errors(plan, loss_parameters, y, dtype(weight), room)
                cuda.syncthreads()
                n_steps += 1
                if kind == ADAM:
                    power_1, power_2 = power_1 * rule.beta_1, power_2 * rule.beta_2
                    rate = rule.learning_rate * math.sqrt(1 - power_2) / (1 - power_1)
                    step = (rule, rate, dtype(decay))
                squares += backward(plan, vectors, x, room, step)
                cuda.syncthreads()
                total += 0.5 * decay * squares
                is_pending, x_last = is_deep, x
            if is_pending:
                total += 0.5 * decay * flush(plan, vectors, x_last, room, step)
        i = cuda.threadIdx.x
        while i < plan[0, N_MOVED]:
            total += 0.0 * parameters[i]
            if has_second:
                total += 0.0 * vectors[2][i]
            i += cuda.blockDim.x
        return total, n_steps

    @kernel
    def online_epochs(state, data, course, chunk_rows, n_sums):
        """Train many networks for some epochs, one by each block, with an update after each row.

        chunk_rows : rows whose inputs are fetched together.  n_sums : threads of a block or units
        of the widest layer, whichever is more.
        """
        entry = cuda.blockIdx.x
        network = course.networks[entry]
        plan, at = state.plans[network], state.starts[network]
        n_moved = plan[0, N_MOVED]
        sums = cuda.shared.array(MOST_THREADS, "float64")
        room = cuda.shared.array(0, state.parameters.dtype, 16)
        if in_shared:
            vectors = (room, room[n_moved:], room[2 * n_moved :])
        else:
            vectors = (state.parameters[at:], state.first[at:], state.second[at:])
        if in_shared:
            copy(vectors[0], state.parameters[at:], n_moved)
            if has_first:
                copy(vectors[1], state.first[at:], n_moved)
            if has_second:
                copy(vectors[2], state.second[at:], n_moved)
            cuda.syncthreads()
        rest = room[n_vectors * n_moved :]
        rule, alpha = rule_of(course, entry), course.numbers[entry, ALPHA]
        n_steps, n_rows = state.n_steps[network], course.n_rows[entry]
        best_loss = course.numbers[entry, BEST_LOSS]
        n_no_improvement = course.numbers[entry, N_NO_IMPROVEMENT]
        more, epoch = True, 0
        while more:
            rows = course.orders[course.order_of[entry], epoch]
            total, n_steps = epoch_of(
                plan, state.loss_parameters[network], vectors, data, rows[:n_rows],
                course.total_weights[entry, epoch, 0], alpha, rule, n_steps, rest,
                (chunk_rows, n_sums),
            )  # fmt: skip
            loss = block_sum(total, sums) / n_rows
            if cuda.threadIdx.x == 0:
                course.losses[entry, epoch] = loss
            more, n_no_improvement, best_loss = goes_on(
                course, entry, loss, epoch, n_no_improvement, best_loss
            )
            epoch += 1
        if in_shared:
            copy(state.parameters[at:], vectors[0], n_moved)
            if has_first:
                copy(state.first[at:], vectors[1], n_moved)
            if has_second:
                copy(state.second[at:], vectors[2], n_moved)
        if cuda.threadIdx.x == 0:
            state.n_steps[network] = n_steps
            course.n_epochs[entry] = epoch

    return online_epochs
