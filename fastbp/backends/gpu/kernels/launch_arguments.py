"""What kernels take: data, parameters and courses of training, as arrays on the device.

One launch trains one network or hundreds; every array has a row or an entry for each. Orders of
rows are shared by networks that visit the same rows in the same order.
"""

from typing import Any, NamedTuple

__all__ = ["Course", "Inputs", "State"]


class Inputs(NamedTuple):
    """Data of all networks of a launch, one table behind another; as in ``fastbp.model.data.Data``."""

    X: Any
    values: Any
    columns: Any
    row_starts: Any
    y: Any
    weights: Any


class State(NamedTuple):
    """What training changes, one network's numbers behind another's.

    Attributes
    ----------
    plans : (n_networks, n_layers + 1, N_FIELDS)
        How each lies there (``plan.py``).
    starts : (n_networks,)
        Where its parameters, and its moments, begin.
    parameters, first, second : (n,)
        The parameters and the rule's moments.
    loss_parameters : (n_networks, n_outputs)
        The loss's own number for each output; 0 where it has none.
    copies : (n,)
        Where in its network's parameters each number has a copy; -1 for none.
    n_steps : (n_networks,)
        Steps made.
    """

    plans: Any
    starts: Any
    parameters: Any
    first: Any
    second: Any
    loss_parameters: Any
    copies: Any
    n_steps: Any


class Course(NamedTuple):
    """How far each network goes, by which rule, and when it stops.

    An entry is for one network that the launch trains; others rest.

    Attributes
    ----------
    networks : (n_entries,)
        Which network of the state it is.
    orders : (n_orders, n_epochs, n_rows)
        Row numbers in the order to be visited.
    order_of : (n_entries,)
        Which of the orders is an entry's.
    n_rows, batch_sizes : (n_entries,)
        Rows of an epoch, and of a batch.
    total_weights : (n_entries, n_epochs, n_batches)
        Sum of a batch's sample weights, 0 for a batch that makes no step. Online: the mean weight
        of the entry's rows, of which there is one.
    n_counted : (n_entries, n_epochs)
        Rows in an epoch's loss.
    numbers : (n_entries, N_NUMBERS)
        Real numbers: the rule's, alpha, and the rule of patience's (see below).
    kinds : (n_entries,)
        The update rule's kind.
    n_epochs : (n_entries,)
        Epochs at most; becomes the epochs made.
    losses : (n_entries, n_epochs)
        Becomes each epoch's loss.
    """

    networks: Any
    orders: Any
    order_of: Any
    n_rows: Any
    batch_sizes: Any
    total_weights: Any
    n_counted: Any
    numbers: Any
    kinds: Any
    n_epochs: Any
    losses: Any


# Columns of a course's numbers.
N_NUMBERS = 9
LEARNING_RATE, BETA_1, BETA_2, EPSILON, ALPHA, BEST_LOSS, TOL, N_NO_IMPROVEMENT, MOST = range(9)
