"""Batch mode on the GPU: the gradient over many rows, and epochs of mini-batches in one launch.

A batch is cut into tiles of rows, the tiles are dealt to slots, and a block sums up a slot's tiles
one after another (``tiles.py``). Then every parameter is moved by one thread, which adds up the
slots in their order: two stages, no race, no atomic addition. Which tile is in which slot follows
from the number of rows alone, so the bits do not depend on how many blocks the device holds at a
time.

An epoch is one launch. The blocks stay and wait for each other twice a batch, when all slots are
summed and when all parameters are moved: a launch costs more than such a barrier, and a call from
Python ten times as much.

    for each batch:    slots <- sum_i w_i grad loss_i          a block a slot
                       -- barrier --
                       g = (sum of slots + alpha W) / N        a thread a parameter
                       W, moments <- move(g)
                       -- barrier --

`many_batch_epochs` trains many networks so, each by one block, which then waits for itself alone.

The loss is linear in what slots and parameters contribute, so each keeps its own sum over the
epoch's batches. A parameter contributes alpha/2 w^2, and 0 w' too, which is NaN where it is not
finite.
"""

from functools import cache
from typing import Any, NamedTuple

from fastbp.backends.gpu.kernels.launch_arguments import ALPHA, BEST_LOSS, N_NO_IMPROVEMENT
from fastbp.backends.gpu.kernels.placement import N_DECAYED, N_IN, N_LAYERS, N_MOVED, N_OUT, OUTPUTS
from fastbp.backends.gpu.kernels.tiles import PADDING, gather, passes
from fastbp.backends.gpu.kernels.update_rules import (
    MOST_THREADS,
    block_sum,
    goes_on,
    move,
    rule_of,
    step_size,
)
from fastbp.machine.gpu_kernels import cuda, kernel, load1, part
from fastbp.model.update_rules import ADAM, PLAIN

__all__ = ["CHUNK", "MOST_SLOTS", "batch_kernels"]

#: Slots of a batch at most; the H100 has 132 multiprocessors, and more slots cost the second stage.
MOST_SLOTS = 264
#: Parameters that contribute to the loss together.
CHUNK = 256


@part
def _add_slots(gradients, slot_length, place, n_slots):
    """Add up a place of all slots in their order: eight are fetched at a time, then added."""
    total, left, two = load1(gradients, place), n_slots - 1, 2 * slot_length
    place += slot_length
    while left >= 8:
        third = place + two
        fifth = third + two
        seventh = fifth + two
        a, b = load1(gradients, place), load1(gradients, place + slot_length)
        c, d = load1(gradients, third), load1(gradients, third + slot_length)
        e, f = load1(gradients, fifth), load1(gradients, fifth + slot_length)
        g, h = load1(gradients, seventh), load1(gradients, seventh + slot_length)
        total += ((a + b) + (c + d)) + ((e + f) + (g + h))
        place, left = seventh + two, left - 8
    while left > 0:
        total += load1(gradients, place)
        place, left = place + slot_length, left - 1
    return total


@part
def _move_chunk(plan, state, start, rule, rate, scale, alpha, gradients, n_slots, chunk):
    """Move a chunk of a network's parameters; returns a thread's share of their loss."""
    n_moved, total = plan[0, N_MOVED], 0.0
    end = min((chunk + 1) * CHUNK, n_moved)
    dtype = state.parameters.dtype.type
    i = chunk * CHUNK + cuda.threadIdx.x
    while i < end:
        place = start + i
        w = state.parameters[place]
        g = dtype(scale) * _add_slots(gradients, n_moved, i, n_slots)
        if i < plan[0, N_DECAYED]:
            g += dtype(scale * alpha) * w
            total += 0.5 * alpha * (w * w)
        u = v = dtype(0)
        if rule.kind != PLAIN:
            u = state.first[place]
        if rule.kind == ADAM:
            v = state.second[place]
        new_w, new_u, new_v = move(rule, rate, g, w, u, v)
        state.parameters[place] = new_w
        if rule.kind != PLAIN:
            state.first[place] = new_u
        if rule.kind == ADAM:
            state.second[place] = new_v
        total += 0.0 * new_w + 0.0 * new_v
        copy = state.copies[place]
        if copy >= 0:
            state.parameters[start + copy] = new_w
        i += cuda.blockDim.x
    return total


class Kernels(NamedTuple):
    """The kernels of batch mode, for tiles of one kind."""

    sum_rows: Any
    add_up: Any
    batch_epochs: Any
    many_batch_epochs: Any
    predict: Any


@cache
def batch_kernels(n_fours, in_shared):
    """Make the kernels whose threads take 4 * n_fours rows each.

    ``in_shared`` says where tiles lie: in the chip's shared memory, or else in ``rooms``,
    (n_blocks, numbers of a tile), in the device's.

    Returns
    -------
    kernels : Kernels
        The kernels, which are compiled when they are launched.
    """
    forward, add_tile = passes(n_fours)

    @kernel
    def sum_rows(state, data, rows, n_rows, rooms, gradients, losses):
        """Gradients and losses of some rows, slot by slot: sum_i w_i grad loss_i, sum_i w_i loss_i.

        rows : (n,) row numbers.  n_rows : rows of a tile.  gradients : (n_slots * n_moved,).
        losses : (n_slots,).
        """
        sums = cuda.shared.array(MOST_THREADS, "float64")
        if in_shared:
            room = cuda.shared.array(0, rooms.dtype, 16)
        else:
            room = rooms[cuda.blockIdx.x]
        plan = state.plans[0]
        n_tiles, n_slots = (rows.size + n_rows - 1) // n_rows, losses.size
        for slot in range(cuda.blockIdx.x, n_slots, cuda.gridDim.x):
            total = 0.0
            for tile in range(slot, n_tiles, n_slots):
                start = tile * n_rows
                total += add_tile(
                    plan, state.loss_parameters[0], state.parameters, data, rows, start,
                    min(n_rows, rows.size - start), room, n_rows,
                    gradients[slot * plan[0, N_MOVED] :], tile == slot,
                )  # fmt: skip
            total = block_sum(total, sums)
            if cuda.threadIdx.x == 0:
                losses[slot] = total

    @kernel
    def add_up(gradients, n_slots, gradient):
        """Add up slots in their order.

        gradients : (n_slots * n_moved,).  gradient : (n_moved,).
        """
        n_moved = gradient.size
        first = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        i = first
        while i < n_moved:
            gradient[i] = _add_slots(gradients, n_moved, i, n_slots)
            i += cuda.gridDim.x * cuda.blockDim.x

    @kernel
    def predict(state, data, rows, n_rows, rooms, prediction):
        """Predict some rows.  rows : (n,) row numbers.  prediction : (n, n_outputs)."""
        if in_shared:
            room = cuda.shared.array(0, rooms.dtype, 16)
        else:
            room = rooms[cuda.blockIdx.x]
        plan, stride = state.plans[0], n_rows + PADDING
        last = plan[0, N_LAYERS]
        n_tiles, n_out = (rows.size + n_rows - 1) // n_rows, plan[last, N_OUT]
        for tile in range(cuda.blockIdx.x, n_tiles, cuda.gridDim.x):
            start = tile * n_rows
            count = min(n_rows, rows.size - start)
            gather(data, rows, start, count, room, stride, 1, plan[1, N_IN], n_rows)
            cuda.syncthreads()
            forward(plan, state.parameters, room, stride, n_rows)
            outputs = room[plan[last, OUTPUTS] * stride :]
            item = cuda.threadIdx.x
            while item < count * n_out:
                i, j = item // n_out, item % n_out
                prediction[start + i, j] = outputs[j * stride + i]
                item += cuda.blockDim.x
            cuda.syncthreads()

    def epochs_of(is_grid):
        """Make the epochs of one network by the whole grid, or of one by each block."""
        if is_grid:

            @part
            def barrier():
                cuda.cg.this_grid().sync()

        else:

            @part
            def barrier():
                cuda.syncthreads()

        @part
        def batch(entry, n_steps, size, total_weight, rows, begin, job):
            """Sum the slots of a batch and move the parameters; shares grow by the batch's loss."""
            state, data, course, room, sums, n_rows, gradients, shares = job
            first, n_blocks, most_slots = 0, 1, 1
            if is_grid:
                first, n_blocks, most_slots = cuda.blockIdx.x, cuda.gridDim.x, MOST_SLOTS
            network = course.networks[entry]
            plan, at = state.plans[network], state.starts[network]
            parameters, slots = state.parameters[at:], gradients[network]
            n_moved = plan[0, N_MOVED]
            n_tiles = (size + n_rows - 1) // n_rows
            n_slots = min(n_tiles, most_slots)
            for slot in range(first, n_slots, n_blocks):
                gradient, loss = slots[slot * n_moved :], 0.0
                for tile in range(slot, n_tiles, n_slots):
                    start = tile * n_rows
                    loss += add_tile(
                        plan, state.loss_parameters[network], parameters, data, rows,
                        begin + start, min(n_rows, size - start), room, n_rows, gradient,
                        tile == slot,
                    )  # fmt: skip
                loss = block_sum(loss, sums)
                if cuda.threadIdx.x == 0:
                    shares[entry, slot] += loss / total_weight * size
            barrier()
            rule, alpha = rule_of(course, entry), course.numbers[entry, ALPHA]
            rate = step_size(rule, n_steps)
            for chunk in range(first, (n_moved + CHUNK - 1) // CHUNK, n_blocks):
                loss = block_sum(
                    _move_chunk(
                        plan, state, at, rule, rate, 1 / total_weight, alpha, slots, n_slots, chunk
                    ),
                    sums,
                )
                if cuda.threadIdx.x == 0:
                    shares[entry, most_slots + chunk] += loss / total_weight * size
            barrier()

        @part
        def epochs(entry, job):
            state, _, course, _, sums, _, _, shares = job
            first, n_blocks = 0, 1
            if is_grid:
                first, n_blocks = cuda.blockIdx.x, cuda.gridDim.x
            network = course.networks[entry]
            n_steps, n_shares = state.n_steps[network], shares.shape[1]
            n_rows, batch_size = course.n_rows[entry], course.batch_sizes[entry]
            order = course.order_of[entry]
            best_loss = course.numbers[entry, BEST_LOSS]
            n_no_improvement = course.numbers[entry, N_NO_IMPROVEMENT]
            more, epoch = True, 0
            while more:
                if cuda.threadIdx.x == 0:
                    for i in range(first, n_shares, n_blocks):
                        shares[entry, i] = 0
                for number in range((n_rows + batch_size - 1) // batch_size):
                    total_weight = course.total_weights[entry, epoch, number]
                    if total_weight == 0:
                        continue
                    n_steps += 1
                    begin = number * batch_size
                    size = min(batch_size, n_rows - begin)
                    rows = course.orders[order, epoch]
                    batch(entry, n_steps, size, total_weight, rows, begin, job)
                barrier()
                loss = 0.0
                i = cuda.threadIdx.x
                while i < n_shares:
                    loss += shares[entry, i]
                    i += cuda.blockDim.x
                loss = block_sum(loss, sums) / course.n_counted[entry, epoch]
                if first == 0 and cuda.threadIdx.x == 0:
                    course.losses[entry, epoch] = loss
                more, n_no_improvement, best_loss = goes_on(
                    course, entry, loss, epoch, n_no_improvement, best_loss
                )
                epoch += 1
                barrier()
            if first == 0 and cuda.threadIdx.x == 0:
                state.n_steps[network] = n_steps
                course.n_epochs[entry] = epoch

        return epochs

    grid_epochs, block_epochs = epochs_of(True), epochs_of(False)

    @kernel
    def batch_epochs(state, data, course, rooms, n_rows, gradients, shares):
        """Train one network for some epochs by the whole grid.

        n_rows : rows of a tile.  gradients : (1, slots of n_moved numbers).
        shares : (1, MOST_SLOTS + n_chunks).
        """
        sums = cuda.shared.array(MOST_THREADS, "float64")
        if in_shared:
            room = cuda.shared.array(0, rooms.dtype, 16)
        else:
            room = rooms[cuda.blockIdx.x]
        grid_epochs(0, (state, data, course, room, sums, n_rows, gradients, shares))

    @kernel
    def many_batch_epochs(state, data, course, rooms, n_rows, gradients, shares):
        """Train many networks for some epochs, one by each block.

        n_rows : rows of a tile.  gradients : (n_networks, most n_moved), a row for each network, so
        that nothing of another one stands in its padding.
        shares : (n_networks, 1 + most n_chunks).
        """
        sums = cuda.shared.array(MOST_THREADS, "float64")
        if in_shared:
            room = cuda.shared.array(0, rooms.dtype, 16)
        else:
            room = rooms[cuda.blockIdx.x]
        block_epochs(cuda.blockIdx.x, (state, data, course, room, sums, n_rows, gradients, shares))

    return Kernels(sum_rows, add_up, batch_epochs, many_batch_epochs, predict)
