"""The update rules on the GPU, and when a course of training ends."""

import math

from fastbp.backends.gpu.kernels.launch_arguments import (
    BETA_1,
    BETA_2,
    EPSILON,
    LEARNING_RATE,
    MOST,
    TOL,
)
from fastbp.machine.elementary_gpu import lane, number
from fastbp.machine.gpu_kernels import cuda, part
from fastbp.model import update_rules
from fastbp.model.update_rules import ADAM, MOMENTUM, NESTEROV, PLAIN, Rule

__all__ = ["MOST_THREADS", "block_sum", "goes_on", "move", "mover", "rule_of", "step_size"]

#: Threads of a block at most: a barrier's cost grows with them, the tiles' sizes are made for
#: these.
MOST_THREADS = 256

step_size = part(update_rules.step_size)


@part
def rule_of(course, entry):
    """Read an entry's update rule."""
    numbers = course.numbers[entry]
    return Rule(
        course.kinds[entry],
        numbers[LEARNING_RATE],
        numbers[BETA_1],
        numbers[BETA_2],
        numbers[EPSILON],
    )


def mover(kind):
    """Make the step of one kind of rule: (rule, rate, gradient, parameter, u, v) -> new ones."""
    step = part(update_rules.MOVES[kind])

    @part
    def move(rule, rate, gradient, parameter, u, v):
        w, first, second = step(rule, rate, lane(gradient), lane(parameter), lane(u), lane(v))
        return number(w), number(first), number(second)

    return move


_plain, _momentum, _nesterov, _adam = map(mover, (PLAIN, MOMENTUM, NESTEROV, ADAM))


@part
def move(rule, rate, gradient, parameter, u, v):
    """One parameter's step: its new value and its new moments."""
    if rule.kind == ADAM:
        return _adam(rule, rate, gradient, parameter, u, v)
    if rule.kind == MOMENTUM:
        return _momentum(rule, rate, gradient, parameter, u, v)
    if rule.kind == NESTEROV:
        return _nesterov(rule, rate, gradient, parameter, u, v)
    return _plain(rule, rate, gradient, parameter, u, v)


@part
def block_sum(x, room):
    """Sum of a float64 of each thread, for all of them, in one order: in halves.

    room : (MOST_THREADS,) of float64, in shared memory.
    """
    thread, n = cuda.threadIdx.x, cuda.blockDim.x
    room[thread] = x
    cuda.syncthreads()
    while n > 1:
        half = (n + 1) // 2
        if thread < n - half:
            room[thread] += room[thread + half]
        cuda.syncthreads()
        n = half
    total = room[0]
    cuda.syncthreads()
    return total


@part
def goes_on(course, entry, loss, epoch, n_no_improvement, best_loss):
    """Whether training goes on after an epoch of such a loss, and how patient it is now."""
    numbers = course.numbers[entry]
    n_no_improvement = n_no_improvement + 1 if loss > best_loss - numbers[TOL] else 0
    best_loss = min(best_loss, loss)
    tired = n_no_improvement > numbers[MOST]
    more = math.isfinite(loss) and not tired and epoch + 1 < course.n_epochs[entry]
    return more, n_no_improvement, best_loss
