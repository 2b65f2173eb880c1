"""Several epochs in one call: shuffles, sweeps, and the rule for when to stop.

An epoch of a small table takes some microseconds, as long as a single call from Python. So a call
makes as many epochs as are worth it, and stops where the solver would have stopped: after too many
epochs without improvement, or when the loss or a parameter is no longer finite.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.kernels.packing import pack, unpack
from fastbp.machine.jit import part
from fastbp.machine.shuffle import shuffle
from fastbp.machine.simd import lanes, load, splat, sum_lanes
from fastbp.model.shuffles import Generator
from fastbp.model.update_rules import ADAM, PLAIN

__all__ = ["Course", "epochs_of", "pack_state", "unpack_state"]


class Course(NamedTuple):
    """What a call of several epochs goes by, and what it reports.

    Attributes
    ----------
    generator : Generator
        Where the shuffles come from, one before each epoch.
    draws : ndarray of shape (n_rows + 1,)
        Scratch for a shuffle.
    best_loss, tol, n_no_improvement, most : float
        After more than ``most`` epochs in a row whose loss is above ``best_loss - tol`` it stops;
        the first ``n_no_improvement`` of them lie before the call.
    losses : ndarray of shape (n_epochs,)
        Room for each epoch's loss: the mean of its batches', weighted by their rows.
    """

    generator: Generator
    draws: NDArray[np.int64]
    best_loss: float
    tol: float
    n_no_improvement: float
    most: float
    losses: NDArray[np.float64]


@part
def pack_state(network, parameters, rule, moments, workspace):
    """Copy the parameters, and the moments that the rule has, to their padded copies."""
    pack(network, parameters, workspace.parameters)
    if rule.kind != PLAIN:
        pack(network, moments[0], workspace.first)
    if rule.kind == ADAM:
        pack(network, moments[1], workspace.second)


@part
def unpack_state(network, parameters, rule, moments, workspace):
    """Copy the padded copies back."""
    unpack(network, workspace.parameters, parameters)
    if rule.kind != PLAIN:
        unpack(network, workspace.first, moments[0])
    if rule.kind == ADAM:
        unpack(network, workspace.second, moments[1])


@part
def _all_finite(vector):
    """Whether whole vectors hold neither NaN nor infinity: only then is their sum of 0 * x 0."""
    total = splat(vector, 0.0)
    for i in range(0, vector.size, lanes(vector)):
        total = total + 0.0 * load(vector, i)
    return sum_lanes(total) == 0.0


def epochs_of(sweep):
    """Make a function of several epochs from a sweep, which goes once through the rows."""

    @part
    def epochs(
        network, parameters, data, rows, batch_size, alpha, rule, moments, course, workspace
    ):
        pack_state(network, parameters, rule, moments, workspace)
        n_steps, n_counted, n_epochs = moments[2], 0, 0
        best_loss, n_no_improvement = course.best_loss, course.n_no_improvement
        while n_epochs < course.losses.size:
            if course.generator.words.size > 0:
                shuffle(course.generator, rows, course.draws)
            loss_sum, n_counted, n_steps = sweep(
                network, data, rows, batch_size, alpha, rule, n_steps, workspace
            )
            loss = loss_sum / max(n_counted, 1)
            course.losses[n_epochs] = loss
            n_epochs += 1
            if not (np.isfinite(loss) and _all_finite(workspace.parameters)):
                break
            # A second moment that overflows would stop Adam without a word.
            if rule.kind == ADAM and not _all_finite(workspace.second):
                break
            n_no_improvement = n_no_improvement + 1 if loss > best_loss - course.tol else 0
            best_loss = min(best_loss, loss)
            if n_no_improvement > course.most:
                break
        unpack_state(network, parameters, rule, moments, workspace)
        return n_epochs, n_counted, n_steps

    return epochs
