"""Networks in lanes: the arrays that their kernels take."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LaneLayout", "LanePlans", "LaneWorkspace", "Members"]


class LaneLayout(NamedTuple):
    """A network as the kernels of lanes see it.

    Attributes
    ----------
    sizes : ndarray of shape (n_layers + 1,)
        Units of the input, of each hidden layer, and of the output.
    starts : ndarray of shape (batch_rows * (n_layers + 1),)
        Where a layer's units begin among all layers' but the input's; for each row of a batch.
    places : ndarray of shape (n_parameters,)
        Where in the parameter vector each parameter of the lanes stands, weights first.
    weights, biases : ndarray of shape (n_layers,)
        Where in the lanes a layer's begin.
    n_weights : int
        How many of the parameters are weights.
    activations : ndarray of shape (n_layers,)
        Addresses of the loops of the activations.
    softmax, loss : int
        Addresses of the loops of a softmax, or 0, and of the losses of each lane.
    """

    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    places: NDArray[np.int64]
    weights: NDArray[np.int64]
    biases: NDArray[np.int64]
    n_weights: int
    activations: NDArray[np.int64]
    softmax: int
    loss: int


class Members(NamedTuple):
    """What the networks of a fleet are, between calls and before they are in a lane.

    Attributes
    ----------
    parameters, first, second : ndarray of shape (n_members, n_parameters)
        Parameters and moments; of moments that the rule has not, there are no columns.
    n_steps : ndarray of shape (n_members,)
        Steps made.
    words, positions : ndarray of shape (n_members * 624,) and (n_members,)
        The state of the generator of each one's shuffles.
    rows : ndarray of shape (n_members * n_rows,)
        The rows of the table in the order of each one's latest epoch, for each as many places.
    table : ndarray of shape (n_table_rows * length,)
        All data that members are trained on: inputs, targets, and for each target the row's weight
        over the mean weight.
    length, n_places : int
        Numbers of a row of the table, and how many of the rows are a member's.
    """

    parameters: NDArray[np.floating]
    first: NDArray[np.floating]
    second: NDArray[np.floating]
    n_steps: NDArray[np.int64]
    words: NDArray[np.uint32]
    positions: NDArray[np.int64]
    rows: NDArray[np.int32]
    table: NDArray[np.floating]
    length: int
    n_places: int


class LanePlans(NamedTuple):
    """What each lane does in a call: its member, its rates and its end.

    Attributes
    ----------
    members, shuffles : ndarray of shape (n_lanes,)
        Which member it is, and whether its rows are shuffled.  There may be fewer than lanes.
    n_rows, n_epochs, n_made : ndarray of shape (V,)
        Rows, and epochs to make; n_made becomes how many were made.
    learning_rate, decay : ndarray of shape (V,)
        Learning rate, and weight decay of a step.
    best_loss, tol, n_no_improvement, max_bad_epochs : ndarray of shape (V,)
        See `EpochState`.
    losses : ndarray of shape (V, most epochs)
        Becomes each epoch's loss.
    batch_rows : int
        Rows of a batch of each; 1 is online.
    """

    members: NDArray[np.int64]
    shuffles: NDArray[np.int64]
    n_rows: NDArray[np.int64]
    n_epochs: NDArray[np.int64]
    n_made: NDArray[np.int64]
    learning_rate: NDArray[np.float64]
    decay: NDArray[np.float64]
    best_loss: NDArray[np.float64]
    tol: NDArray[np.float64]
    n_no_improvement: NDArray[np.float64]
    max_bad_epochs: NDArray[np.float64]
    losses: NDArray[np.float64]
    batch_rows: int


class LaneWorkspace(NamedTuple):
    """Where lanes compute; of the blocks, every number is V numbers, one a lane.

    Attributes
    ----------
    parameters, first, second : ndarray
        The lanes' parameters and moments.
    gradient : ndarray
        In mini-batches, the gradient, in the order of the parameters.
    outputs, products, deltas : ndarray
        Outputs, net inputs without biases, and slopes or error signals, of all layers' units, for
        each row of a batch.
    samples : ndarray
        A batch's samples, or two online: inputs, targets, and the sample weight for each output.
    loss_parameters, losses : ndarray
        The loss's own number, and the loss, of each output.
    scale, factor, squares, power_1, power_2, loss_sum : ndarray of shape (V,)
        The scale s and -rate / s; the sum of the squares of all weights; the powers of the rule's
        betas; the sum of losses in this epoch.
    batch_size, divisor : ndarray of shape (V,)
        Rows of this batch, and what its sums are divided by.
    position, end, row, left : ndarray of shape (V,)
        Next row of the epoch, -1 where there is none; where the next event is; and of the rows that
        the lane reads, where in the members' rows the next one stands, and how many are left.
    draws : ndarray
        Scratch of shuffles.
    has_decay : bool
        Whether there is weight decay in any lane.
    """

    parameters: NDArray[np.floating]
    first: NDArray[np.floating]
    second: NDArray[np.floating]
    gradient: NDArray[np.floating]
    outputs: NDArray[np.floating]
    products: NDArray[np.floating]
    deltas: NDArray[np.floating]
    samples: NDArray[np.floating]
    loss_parameters: NDArray[np.floating]
    losses: NDArray[np.floating]
    scale: NDArray[np.float64]
    factor: NDArray[np.float64]
    squares: NDArray[np.float64]
    power_1: NDArray[np.float64]
    power_2: NDArray[np.float64]
    loss_sum: NDArray[np.float64]
    batch_size: NDArray[np.float64]
    divisor: NDArray[np.float64]
    position: NDArray[np.int64]
    end: NDArray[np.int64]
    row: NDArray[np.int64]
    left: NDArray[np.int64]
    draws: NDArray[np.int64]
    has_decay: bool
