"""What kernels are given: data, the networks' state, and what one launch does, all on the device.

One launch trains one network or hundreds; every array has a row or an entry for each. Orders of
rows are shared by networks that visit the same rows in the same order.
"""

from typing import Any, NamedTuple

__all__ = ["Inputs", "LaunchArguments", "State"]


class Inputs(NamedTuple):
    """Data of all networks of a launch, one table behind another; as in `Data`."""

    X: Any
    values: Any
    columns: Any
    row_starts: Any
    y: Any
    weights: Any


class State(NamedTuple):
    """Networks on the device, one network's numbers behind another's: what training changes.

    Attributes
    ----------
    layouts : (n_networks, n_layers + 1, N_FIELDS)
        Each network's layout (``placement.py``).
    starts : (n_networks,)
        Where its parameters, and its moments, begin.
    parameters, first, second : (n,)
        The parameters and the update rule's moments; (1,) for moments that the rule has not.
    loss_parameters : (n_networks, n_outputs)
        The loss's own number for each output; 0 where it has none.
    copies : (n,)
        Where in its network's parameters each number has a copy; -1 for none.
    n_steps : (n_networks,)
        Steps made.
    """

    layouts: Any
    starts: Any
    parameters: Any
    first: Any
    second: Any
    loss_parameters: Any
    copies: Any
    n_steps: Any


class LaunchArguments(NamedTuple):
    """What one launch does: an entry for each network that it trains. The other networks rest.

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
    divisors : (n_entries, n_epochs, n_batches)
        What a batch's sums are divided by, 0 for a batch that makes no step (`batch_divisors`).
        Online there is one: the mean weight of the entry's rows.
    n_counted : (n_entries, n_epochs)
        Rows in an epoch's loss.
    settings : (n_entries, N_SETTINGS)
        Real numbers, in columns: the update rule's constants, alpha, and the `Patience`.
    rule_codes : (n_entries,)
        The code of the update rule.
    n_epochs : (n_entries,)
        Epochs at most; becomes the number of epochs made.
    losses : (n_entries, n_epochs)
        Becomes each epoch's loss.
    """

    networks: Any
    orders: Any
    order_of: Any
    n_rows: Any
    batch_sizes: Any
    divisors: Any
    n_counted: Any
    settings: Any
    rule_codes: Any
    n_epochs: Any
    losses: Any


# Columns of the settings.
N_SETTINGS = 9
LEARNING_RATE, BETA_1, BETA_2, EPSILON, ALPHA = range(5)
BEST_LOSS, N_NO_IMPROVEMENT, TOL, MAX_BAD_EPOCHS = range(5, 9)
