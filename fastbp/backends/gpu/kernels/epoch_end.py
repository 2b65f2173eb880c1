"""The end of an epoch: the sum of what a block's threads know of its loss, and whether to go on."""

import math

from fastbp.backends.gpu.kernels.launch_arguments import MAX_BAD_EPOCHS, TOL
from fastbp.machine.gpu_kernels import cuda, part

__all__ = ["MAX_THREADS", "block_sum", "goes_on"]

#: Threads of a block at most: a barrier's cost grows with them, the tiles' sizes are made for
#: these.
MAX_THREADS = 256


@part
def block_sum(x, sums):
    """Sum of a float64 of each thread, for all of them, in one order: in halves.

    sums : (MAX_THREADS,) of float64, in shared memory.
    """
    thread, n = cuda.threadIdx.x, cuda.blockDim.x
    sums[thread] = x
    cuda.syncthreads()
    while n > 1:
        half = (n + 1) // 2
        if thread < n - half:
            sums[thread] += sums[thread + half]
        cuda.syncthreads()
        n = half
    total = sums[0]
    cuda.syncthreads()
    return total


@part
def goes_on(arguments, entry, loss, epoch, n_no_improvement, best_loss):
    """Whether training goes on after an epoch of such a loss; and the patience's two numbers."""
    settings = arguments.settings[entry]
    n_no_improvement = n_no_improvement + 1 if loss > best_loss - settings[TOL] else 0
    best_loss = min(best_loss, loss)
    is_over = n_no_improvement > settings[MAX_BAD_EPOCHS]
    more = math.isfinite(loss) and not is_over and epoch + 1 < arguments.n_epochs[entry]
    return more, n_no_improvement, best_loss
