"""From an estimator's parameters to a solver and back: one training.

What is set aside for validation, how many rows make a batch, what training goes on from, which
solver is called with which options, and what is said when it ends early.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from fastbp import update_rules
from fastbp.data import Data, as_data
from fastbp.network import Network
from fastbp.objective import Objective, predict
from fastbp.solvers import History, stochastic
from fastbp.solvers.stochastic import Training
from fastbp.solvers.stopping import StopReason
from fastbp.update_rules import Moments, Rule

__all__ = ["STOCHASTIC_SOLVERS", "Fitted", "Table", "next_training", "train"]

STOCHASTIC_SOLVERS = ("sgd", "adam")

# How deep the user's call of fit lies above the warnings here, so that they point at it.
_USERS_CALL = 6

_EARLY_ENDS = {
    "max_iter": "max_iter={0.max_iter} iterations were used up before convergence. Raise "
    "max_iter, scale the data, or take a larger tol.",
    "max_fun": "max_fun={0.max_fun} evaluations were used up before convergence. Raise max_fun.",
    "line_search": "no lower loss was found along the last direction, though the gradient is not "
    "below tol={0.tol}. Scale the data; float32 may be too coarse for this tol.",
    "diverged": "the loss or its gradient became NaN or infinite; the last finite weights are "
    "kept. Scale the data.",
}


class Table(NamedTuple):
    """Validated training data: inputs, targets, and weights or None."""

    X: Any
    y: NDArray
    weights: NDArray | None

    def data(self, dtype: np.dtype) -> Data:
        """Convert to the arrays that kernels take."""
        return as_data(self.X, self.y, self.weights, dtype, is_finite=True)


class Fitted(NamedTuple):
    """What a training leaves behind; ``training`` is None for a batch solver."""

    parameters: NDArray[np.floating]
    history: History
    stop_reason: StopReason
    training: Training | None


def train(
    estimator: Any,
    network: Network,
    parameters: NDArray[np.floating],
    table: Table,
    random_state: np.random.RandomState,
    last: Training | None,
    one_epoch: bool,
) -> Fitted:
    """Train a network as an estimator's parameters say.

    Parameters
    ----------
    estimator : BackpropRegressor
        Whose parameters are read; it is not changed.
    network : Network
        The network.
    parameters : ndarray of shape (n_parameters,)
        The start; not changed.
    table : Table
        The data.
    random_state : RandomState
        Where the validation split and the shuffles are drawn from.
    last : Training or None
        The training to go on from; not changed.
    one_epoch : bool
        Whether this is a `partial_fit`: one epoch, with the moments of the last training.

    Returns
    -------
    fitted : Fitted
        The new parameters and the course of the training.

    Raises
    ------
    ValueError
        If the training diverges, or too few rows are left for validation.
    """
    dtype = parameters.dtype
    n_threads = effective_n_jobs(estimator.n_jobs)
    alpha, verbose = float(estimator.alpha), bool(estimator.verbose)
    training = None
    if estimator.solver in STOCHASTIC_SOLVERS:
        validation_score = None
        if estimator.early_stopping:
            table, held_out = _split(table, estimator.validation_fraction, random_state)
            validation_score = _validation_score(network, held_out, dtype, n_threads)
        data = table.data(dtype)
        training = next_training(estimator, parameters, last, one_epoch)
        options = stochastic.Options(
            training=training,
            n_samples=data.n_samples,
            batch_size=_batch_rows(estimator.batch_size, data.n_samples),
            random_state=random_state,
            shuffle=estimator.shuffle,
            learning_rate=estimator.learning_rate if estimator.solver == "sgd" else "constant",
            learning_rate_init=estimator.learning_rate_init,
            power_t=estimator.power_t,
            max_iter=estimator.max_iter,
            tol=estimator.tol,
            n_iter_no_change=estimator.n_iter_no_change,
            validation_score=validation_score,
            one_epoch=one_epoch,
            verbose=verbose,
        )
        objective = Objective(network, data, alpha, n_threads)
        result = stochastic.minimise(objective, parameters, options)
    else:
        objective = Objective(network, table.data(dtype), alpha, n_threads)
        limits = lbfgs.Options(estimator.max_iter, estimator.max_fun, estimator.tol, verbose)
        result = lbfgs.minimise(objective, parameters, limits)
    fitted = Fitted(*result, training)
    _say_how_it_ended(estimator, fitted)
    return fitted


def _split(
    table: Table, fraction: float, random_state: np.random.RandomState
) -> tuple[Table, Table]:
    """Set rows aside for validation, the same ones as MLPRegressor does."""
    n_samples = table.X.shape[0]
    arrays = [array for array in table if array is not None]
    try:
        parts = train_test_split(*arrays, random_state=random_state, test_size=fraction)
    except ValueError as error:
        raise ValueError(
            f"validation_fraction={fraction} cannot split {n_samples} rows for early stopping: "
            f"{error}"
        ) from error
    if table.weights is None:
        parts += [None, None]
    table, held_out = Table(*parts[0::2]), Table(*parts[1::2])
    if len(held_out.y) < 2:
        raise ValueError(
            f"The validation set is too small: validation_fraction={fraction} of {n_samples} rows. "
            "Increase validation_fraction or the size of the data."
        )
    for part in (table, held_out):
        if part.weights is not None and not part.weights.any():
            raise ValueError(
                "sample_weight is zero for every row on one side of the validation split. Give "
                "more rows a positive weight, or set early_stopping=False."
            )
    return table, held_out


def _validation_score(
    network: Network, held_out: Table, dtype: np.dtype, n_threads: int
) -> Callable[[NDArray[np.floating]], float]:
    rows = as_data(held_out.X, dtype=dtype)

    def score(parameters: NDArray[np.floating]) -> float:
        prediction = predict(network, parameters, rows, n_threads)
        if not np.isfinite(prediction).all():
            return math.nan
        with np.errstate(over="ignore", invalid="ignore"):  # of a training that diverges
            return r2_score(held_out.y, prediction, sample_weight=held_out.weights)

    return score


def _batch_rows(batch_size: int | str, n_samples: int) -> int:
    named = {"auto": min(200, n_samples), "full": n_samples, "online": 1}
    if isinstance(batch_size, str):
        return named[batch_size]
    if batch_size > n_samples:
        warnings.warn(
            f"batch_size={batch_size} is larger than the {n_samples} rows to train on and is "
            "going to be clipped. batch_size='full' means all rows.",
            stacklevel=_USERS_CALL,
        )
    return min(int(batch_size), n_samples)


def _rule(estimator: Any) -> Rule:
    rate = estimator.learning_rate_init
    if estimator.solver == "sgd":
        return update_rules.sgd(rate, estimator.momentum, estimator.nesterovs_momentum)
    return update_rules.adam(rate, estimator.beta_1, estimator.beta_2, estimator.epsilon)


def next_training(
    estimator: Any,
    parameters: NDArray[np.floating],
    last: Training | None,
    one_epoch: bool,
) -> Training:
    """Go on from nothing, from the last history (warm start), or from its moments and rate too."""
    rule = _rule(estimator)
    moments = Moments.zeros(parameters.size, parameters.dtype)
    history = History()
    if last is not None:
        last = last.copy()
        history = last.history
        if one_epoch and last.rule.kind == rule.kind:
            moments = last.moments
            if last.initial_rate == rule.learning_rate:
                rule = rule._replace(learning_rate=last.rule.learning_rate)
    if estimator.early_stopping:
        history.best_loss = None
    elif history.best_loss is None:
        history.best_loss = math.inf
    return Training(rule, moments, history, float(estimator.learning_rate_init))


def _say_how_it_ended(estimator: Any, fitted: Fitted) -> None:
    """Raise if nothing was learnt; warn if it ended early."""
    reason, history = fitted.stop_reason, fitted.history
    if reason == "diverged" and fitted.training is not None:
        raise ValueError(
            "Training diverged: the loss, the weights or their moments became NaN or infinite in "
            "epoch "
            f"{history.n_iter}. Take a smaller learning_rate_init (now "
            f"{estimator.learning_rate_init}) and scale X and y (StandardScaler, "
            "TransformedTargetRegressor)."
        )
    if reason == "diverged" and math.isnan(history.loss):
        raise ValueError(
            "The loss or its gradient is NaN or infinite at the initial weights. Scale X and y "
            "(StandardScaler, TransformedTargetRegressor)."
        )
    if reason == "interrupted":
        warnings.warn(
            "Training interrupted by user. The weights so far are kept.", stacklevel=_USERS_CALL
        )
    elif reason in _EARLY_ENDS:
        warnings.warn(
            f"solver={estimator.solver!r} stopped early: " + _EARLY_ENDS[reason].format(estimator),
            ConvergenceWarning,
            stacklevel=_USERS_CALL,
        )
