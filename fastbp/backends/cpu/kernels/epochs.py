"""Several epochs in one call: shuffles, sweeps, and the rule for when to stop.

An epoch of a small table takes some microseconds, as long as a single call from Python. So a call
makes as many epochs as are worth it, and stops where the solver would have stopped: after too many
epochs without improvement, or when the loss or a parameter is no longer finite.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.kernels.packing import pack, unpack
from fastbp.backends.cpu.kernels.update_rules import n_moments_of
from fastbp.machine.extremes import larger, smaller
from fastbp.machine.jit import part
from fastbp.machine.shuffle import shuffle
from fastbp.machine.simd import lanes, load, splat, sum_lanes
from fastbp.model.shuffles import Generator

__all__ = ["EpochState", "epochs_of", "pack_state", "unpack_state"]


class EpochState(NamedTuple):
    """Where several epochs of one call begin, when they end, and each one's loss.

    Attributes
    ----------
    generator : Generator
        Where the shuffles come from, one before each epoch.
    draws : ndarray of shape (n_rows + 1,)
        Scratch for a shuffle.
    best_loss, tol, n_no_improvement, max_bad_epochs : float
        After more than ``max_bad_epochs`` epochs in a row whose loss is above ``best_loss - tol``
        the call ends; the first ``n_no_improvement`` of them lie before it.
    losses : ndarray of shape (n_epochs,)
        Becomes each epoch's loss: the mean of its batches', weighted by their rows.
    """

    generator: Generator
    draws: NDArray[np.int64]
    best_loss: float
    tol: float
    n_no_improvement: float
    max_bad_epochs: float
    losses: NDArray[np.float64]


@part
def pack_state(network, parameters, rule, moments, workspace):
    """Copy the parameters, and the moments that the rule has, to their padded copies."""
    pack(network, parameters, workspace.parameters)
    if n_moments_of(rule) > 0:
        pack(network, moments[0], workspace.first)
    if n_moments_of(rule) > 1:
        pack(network, moments[1], workspace.second)


@part
def unpack_state(network, parameters, rule, moments, workspace):
    """Copy the padded copies back."""
    unpack(network, workspace.parameters, parameters)
    if n_moments_of(rule) > 0:
        unpack(network, workspace.first, moments[0])
    if n_moments_of(rule) > 1:
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
    def epochs(network, parameters, data, rows, batch_size, alpha, rule, moments, state, workspace):
        pack_state(network, parameters, rule, moments, workspace)
        n_steps, n_counted, n_epochs = moments[2], 0, 0
        best_loss, n_no_improvement = state.best_loss, state.n_no_improvement
        while n_epochs < state.losses.size:
            if state.generator.words.size > 0:
                shuffle(state.generator, rows, state.draws)
            loss_sum, n_counted, n_steps = sweep(
                network, data, rows, batch_size, alpha, rule, n_steps, workspace
            )
            loss = loss_sum / larger(n_counted, 1)
            state.losses[n_epochs] = loss
            n_epochs += 1
            if not (np.isfinite(loss) and _all_finite(workspace.parameters)):
                break
            # A second moment that overflows would stop Adam without a word.
            if n_moments_of(rule) > 1 and not _all_finite(workspace.second):
                break
            n_no_improvement = n_no_improvement + 1 if loss > best_loss - state.tol else 0
            best_loss = smaller(best_loss, loss)
            if n_no_improvement > state.max_bad_epochs:
                break
        unpack_state(network, parameters, rule, moments, workspace)
        return n_epochs, n_counted, n_steps

    return epochs
