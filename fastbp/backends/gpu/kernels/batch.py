"""Epochs of mini-batches on the GPU, in one launch.

A batch is cut into tiles of rows, the tiles are dealt to slots, and a block sums up a slot's tiles
one after another (``tiles.py``, ``slots.py``). Then every parameter is moved by one thread, which
adds up the slots in their order.

The blocks of a launch stay and wait for each other twice a batch, when all slots are summed and
when all parameters are moved: a launch costs more than such a barrier, and a call from Python ten
times as much.

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

from fastbp.backends.gpu.kernels.epoch_end import MAX_THREADS, block_sum, goes_on
from fastbp.backends.gpu.kernels.launch_arguments import ALPHA, BEST_LOSS, N_NO_IMPROVEMENT
from fastbp.backends.gpu.kernels.placement import N_DECAYED, N_MOVED, NOTHING_OWN
from fastbp.backends.gpu.kernels.slots import MAX_SLOTS, add_slots
from fastbp.backends.gpu.kernels.tiles import network_of, passes
from fastbp.backends.gpu.kernels.update_rules import move, n_moments_of, rule_of, step_size
from fastbp.machine.gpu_kernels import cuda, kernel, part

__all__ = ["PARAMETERS_OF_A_CHUNK", "BatchKernels", "batch_kernels"]

#: Parameters that contribute to the loss together.
PARAMETERS_OF_A_CHUNK = 256


class BatchKernels(NamedTuple):
    """The kernels of epochs of mini-batches, for tiles of one kind."""

    batch_epochs: Any
    many_batch_epochs: Any


class _Batch(NamedTuple):
    """Some rows of an epoch: ``size`` row numbers from place ``begin`` on, and their divisor."""

    rows: Any
    begin: int
    size: int
    divisor: float


class _Block(NamedTuple):
    """What a block works with: the workspace of its tiles of so many rows, and what it adds up in.

    Attributes
    ----------
    workspace : (n,)
        Where its tile lies.
    tile_rows : int
        Rows of a tile.
    sums : (MAX_THREADS,) of float64
        Where its threads add up.
    gradients : (n_networks, n)
        The slots of each network.
    shares : (n_entries, n)
        What each slot, and behind them each chunk of parameters, contributes to the epoch's loss.
    """

    workspace: Any
    tile_rows: int
    sums: Any
    gradients: Any
    shares: Any


@part
def _move_chunk(state, network, rule, rate, scale, alpha, slots, n_slots, chunk):
    """Move a chunk of a network's parameters; returns a thread's share of their loss."""
    layout, start = state.layouts[network], state.starts[network]
    n_moved, n_moments, total = layout[0, N_MOVED], n_moments_of(rule), 0.0
    end = min((chunk + 1) * PARAMETERS_OF_A_CHUNK, n_moved)
    dtype = state.parameters.dtype.type
    i = chunk * PARAMETERS_OF_A_CHUNK + cuda.threadIdx.x
    while i < end:
        place = start + i
        w = state.parameters[place]
        g = dtype(scale) * add_slots(slots, n_moved, i, n_slots)
        if i < layout[0, N_DECAYED]:
            g += dtype(scale * alpha) * w
            total += 0.5 * alpha * (w * w)
        u = v = dtype(0)
        if n_moments > 0:
            u = state.first[place]
        if n_moments > 1:
            v = state.second[place]
        new_w, new_u, new_v = move(rule, rate, g, w, u, v)
        state.parameters[place] = new_w
        if n_moments > 0:
            state.first[place] = new_u
        if n_moments > 1:
            state.second[place] = new_v
        total += 0.0 * new_w + 0.0 * new_v
        copy = state.copies[place]
        if copy >= 0:
            state.parameters[start + copy] = new_w
        i += cuda.blockDim.x
    return total


def _on_whole_grid():
    """Make what the blocks of a grid need to train one network together."""

    @part
    def team():
        """Which block of how many this is, and how many slots a batch has at most."""
        return cuda.blockIdx.x, cuda.gridDim.x, MAX_SLOTS

    @part
    def barrier():
        cuda.cg.this_grid().sync()

    return team, barrier


def _on_one_block():
    """Make the same for a block that trains a network alone."""

    @part
    def team():
        return 0, 1, 1

    @part
    def barrier():
        cuda.syncthreads()

    return team, barrier


def _make_epochs(add_tile, team, barrier):
    """Make the epochs of one network by a team of blocks.

    Which network it is, is looked up once: looked up again in each part, it costs registers.
    """

    @part
    def sum_slots(state, data, network, entry, batch, block):
        """Sum the slots of a batch, and their shares of the loss; returns how many slots."""
        first, n_blocks, max_slots = team()
        tiled, slots = network_of(state, network), block.gradients[network]
        n_moved, tile_rows = tiled.layout[0, N_MOVED], block.tile_rows
        n_tiles = (batch.size + tile_rows - 1) // tile_rows
        n_slots = min(n_tiles, max_slots)
        for slot in range(first, n_slots, n_blocks):
            gradient, loss = slots[slot * n_moved :], 0.0
            for tile in range(slot, n_tiles, n_slots):
                start = tile * tile_rows
                loss += add_tile(
                    tiled, data, batch.rows, batch.begin + start,
                    min(tile_rows, batch.size - start), block.workspace, tile_rows, gradient,
                    tile == slot,
                )  # fmt: skip
            loss = block_sum(loss, block.sums)
            if cuda.threadIdx.x == 0:
                block.shares[entry, slot] += loss / batch.divisor * batch.size
        return n_slots

    @part
    def move_parameters(state, arguments, network, entry, n_steps, n_slots, batch, block):
        """Make step number n_steps, and add the parameters' shares of the loss."""
        first, n_blocks, max_slots = team()
        rule, alpha = rule_of(arguments, entry), arguments.settings[entry, ALPHA]
        rate, scale = step_size(rule, n_steps), 1 / batch.divisor
        n_moved, slots = state.layouts[network, 0, N_MOVED], block.gradients[network]
        n_chunks = (n_moved + PARAMETERS_OF_A_CHUNK - 1) // PARAMETERS_OF_A_CHUNK
        for chunk in range(first, n_chunks, n_blocks):
            loss = _move_chunk(state, network, rule, rate, scale, alpha, slots, n_slots, chunk)
            loss = block_sum(loss, block.sums)
            if cuda.threadIdx.x == 0:
                block.shares[entry, max_slots + chunk] += loss / batch.divisor * batch.size

    @part
    def epoch_of(state, data, arguments, network, entry, epoch, n_steps, block):
        """Go once through an entry's rows; returns the epoch's loss, and n_steps after it."""
        first, n_blocks, _ = team()
        n_rows, batch_size = arguments.n_rows[entry], arguments.batch_sizes[entry]
        n_shares, order = block.shares.shape[1], arguments.order_of[entry]
        if cuda.threadIdx.x == 0:
            for i in range(first, n_shares, n_blocks):
                block.shares[entry, i] = 0
        for number in range((n_rows + batch_size - 1) // batch_size):
            divisor, begin = arguments.divisors[entry, epoch, number], number * batch_size
            if divisor == 0:
                continue
            n_steps += 1
            rows = arguments.orders[order, epoch]
            batch = _Batch(rows, begin, min(batch_size, n_rows - begin), divisor)
            n_slots = sum_slots(state, data, network, entry, batch, block)
            barrier()
            move_parameters(state, arguments, network, entry, n_steps, n_slots, batch, block)
            barrier()
        barrier()
        loss = 0.0
        i = cuda.threadIdx.x
        while i < n_shares:
            loss += block.shares[entry, i]
            i += cuda.blockDim.x
        return block_sum(loss, block.sums) / arguments.n_counted[entry, epoch], n_steps

    @part
    def epochs(state, data, arguments, entry, block):
        """Train an entry's network until its epochs are made or its patience has ended."""
        first, _, _ = team()
        network = arguments.networks[entry]
        n_steps = state.n_steps[network]
        best_loss = arguments.settings[entry, BEST_LOSS]
        n_no_improvement = arguments.settings[entry, N_NO_IMPROVEMENT]
        more, epoch = True, 0
        while more:
            loss, n_steps = epoch_of(state, data, arguments, network, entry, epoch, n_steps, block)
            if first == 0 and cuda.threadIdx.x == 0:
                arguments.losses[entry, epoch] = loss
            more, n_no_improvement, best_loss = goes_on(
                arguments, entry, loss, epoch, n_no_improvement, best_loss
            )
            epoch += 1
            barrier()
        if first == 0 and cuda.threadIdx.x == 0:
            state.n_steps[network] = n_steps
            arguments.n_epochs[entry] = epoch

    return epochs


@cache
def batch_kernels(n_fours, in_shared, own=NOTHING_OWN):
    """Make the kernels whose threads take 4 * n_fours rows each.

    ``in_shared`` says where tiles lie: in the chip's shared memory, or else in ``workspaces``,
    (n_blocks, numbers of a tile), in the device's.  own : OwnRecords, a user's own activations and
    losses.

    Returns
    -------
    kernels : BatchKernels
        The kernels, which are compiled when they are launched.
    """
    _, add_tile = passes(n_fours, own)
    grid_epochs = _make_epochs(add_tile, *_on_whole_grid())
    block_epochs = _make_epochs(add_tile, *_on_one_block())

    @kernel
    def batch_epochs(state, data, arguments, workspaces, tile_rows, gradients, shares):
        """Train one network for some epochs by the whole grid.

        tile_rows : rows of a tile.  gradients : (1, slots of n_moved numbers).
        shares : (1, MAX_SLOTS + n_chunks).
        """
        sums = cuda.shared.array(MAX_THREADS, "float64")
        if in_shared:
            workspace = cuda.shared.array(0, workspaces.dtype, 16)
        else:
            workspace = workspaces[cuda.blockIdx.x]
        block = _Block(workspace, tile_rows, sums, gradients, shares)
        grid_epochs(state, data, arguments, 0, block)

    @kernel
    def many_batch_epochs(state, data, arguments, workspaces, tile_rows, gradients, shares):
        """Train many networks for some epochs, one by each block.

        tile_rows : rows of a tile.  gradients : (n_networks, largest n_moved), a row for each
        network, so that nothing of another one stands in its padding.
        shares : (n_networks, 1 + largest n_chunks).
        """
        sums = cuda.shared.array(MAX_THREADS, "float64")
        if in_shared:
            workspace = cuda.shared.array(0, workspaces.dtype, 16)
        else:
            workspace = workspaces[cuda.blockIdx.x]
        block = _Block(workspace, tile_rows, sums, gradients, shares)
        block_epochs(state, data, arguments, cuda.blockIdx.x, block)

    return BatchKernels(batch_epochs, many_batch_epochs)
