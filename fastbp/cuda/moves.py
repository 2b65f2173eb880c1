"""The update rules on the GPU, and when a course of training ends."""

import math

from fastbp import update_rules
from fastbp.cuda.courses import (
    BETA_1,
    BETA_2,
    EPSILON,
    LEARNING_RATE,
    MOST,
    TOL,
)
from fastbp.machine.gpu import cuda, part
from fastbp.machine.lane import lane, number
from fastbp.update_rules import ADAM, MOMENTUM, NESTEROV, Rule

__all__ = ["MOST_THREADS", "block_sum", "goes_on", "move", "rule_of", "step_size"]

#: Threads of a block at most: a barrier's cost grows with them, the tiles' sizes are made for
#: these.
MOST_THREADS = 256

step_size = part(update_rules.step_size)
_plain, _momentum, _nesterov, _adam = (part(each) for each in update_rules.MOVES.values())


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


@part
def move(rule, rate, gradient, parameter, u, v):
    """One parameter's step: its new value and its new moments."""
    g, w, first, second = lane(gradient), lane(parameter), lane(u), lane(v)
    if rule.kind == ADAM:
        w, first, second = _adam(rule, rate, g, w, first, second)
    elif rule.kind == MOMENTUM:
        w, first, second = _momentum(rule, rate, g, w, first, second)
    elif rule.kind == NESTEROV:
        w, first, second = _nesterov(rule, rate, g, w, first, second)
    else:
        w, first, second = _plain(rule, rate, g, w, first, second)
    return number(w), number(first), number(second)


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
