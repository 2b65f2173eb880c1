"""What a user is told of data and results that a fit accepts but should not be left alone with."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning

from fastbp.backends.dask.partitions import Partitions
from fastbp.model.data import Data
from fastbp.training.task import FitResult, FitTask
from fastbp.training.warn import warn
from fastbp.version import guide

__all__ = ["how_to_scale", "nothing_learnt", "warn_before"]

#: Where less than this part of the best constant's loss is gone, nothing was learnt.
_LEAST_GAIN = 1e-3
_ROWS_AT_A_TIME = 100_000
#: alpha="bayes" takes columns of X and y whose mean is at most so many standard deviations,
_MAX_OFFSET = 2.5
#: and whose standard deviation is off 1 by at most this factor.
_MAX_SPREAD = 100.0


def how_to_scale(estimator: Any) -> str:
    """Say how to scale what an estimator is trained on."""
    if not hasattr(estimator, "scale_target"):  # of labels
        return "Scale X (StandardScaler)"
    return "Scale X and y (StandardScaler, scale_target=True)"


def warn_before(task: FitTask) -> None:
    """Say what is odd about data before they are trained on."""
    _warn_of_a_large_batch(task)
    if task.finds_alpha and isinstance(task.data, Data):
        for name, table in (("X", task.data.X), ("y", task.data.y)):
            _warn_of_unscaled_columns(table, name, how_to_scale(task.estimator))


def _warn_of_a_large_batch(task: FitTask) -> None:
    size, n_samples = task.estimator.batch_size, task.data.n_samples
    if task.solver.is_stochastic and not isinstance(size, str) and size > n_samples:
        warn(
            f"batch_size={size} is larger than the {n_samples} rows to train on and is "
            "going to be clipped. batch_size='full' means all rows."
        )


def _warn_of_unscaled_columns(table: NDArray[np.floating], name: str, cure: str) -> None:
    """One decay for all weights means little where units differ."""
    if len(table) == 0:  # sparse
        return
    mean, spread = table.mean(axis=0), table.std(axis=0)
    varies = spread > 0
    is_far = np.abs(mean) > _MAX_OFFSET * spread
    is_wide = (spread > _MAX_SPREAD) | (spread < 1 / _MAX_SPREAD)
    unscaled = np.flatnonzero(varies & (is_far | is_wide))
    if len(unscaled):
        column = unscaled[0]
        warn(
            "alpha='bayes' finds one decay for all weights, which takes data of about mean 0 and "
            f"standard deviation 1, but {name}[:, {column}] has {mean[column]:.3g} and "
            f"{spread[column]:.3g}: training may stop far from a good fit. {cure}.",
            ConvergenceWarning,
        )


def nothing_learnt(task: FitTask, result: FitResult) -> str:
    """Say so if the training loss is not below that of the best constant prediction.

    Parameters
    ----------
    task : FitTask
        What was fitted.
    result : FitResult
        What came of it.

    Returns
    -------
    told : str
        What to tell the user; empty where there is nothing to say.
    """
    if task.one_epoch or result.stop_reason in ("interrupted", "goal", "callback"):
        return ""
    of_constant = _loss_of_best_constant(task)
    loss = result.history.loss
    if not 0 < of_constant * (1 - _LEAST_GAIN) <= loss:
        return ""
    return (
        f"Nothing was learnt: the training loss is {loss:.3g}, that of the best constant "
        f"prediction {of_constant:.3g}. {how_to_scale(task.estimator)}, or take a smaller "
        f"learning_rate_init or alpha, or more iterations. {guide('scaling')}"
    )


def _loss_of_best_constant(task: FitTask) -> float:
    """Give the loss of predicting the same in every row; 0 where y does not vary."""
    if isinstance(task.data, Partitions):
        return task.data.totals.loss_of_best_constant
    assert isinstance(task.data, Data)
    y, loss = task.data.y, task.network.loss_record
    weights = task.data.weights if task.data.weights.size else None
    total = 0.0
    with np.errstate(all="ignore"):
        for column, parameter in zip(y.T, task.network.loss_parameter_of_outputs, strict=True):
            between = float(column.min()), float(column.max())
            if not between[0] < between[1]:
                continue

            def mean_loss(constant: float, y: Any = column, parameter: Any = parameter) -> float:
                def losses(y: NDArray[np.float64]) -> NDArray[np.float64]:
                    return loss.value(np.full_like(y, constant), y, parameter)

                return _mean(losses, y, weights)

            if loss.canonical is not None:  # whose sum of errors, prediction - y, is 0 there
                total += mean_loss(_mean(lambda y: y, column, weights))
            else:
                total += float(minimize_scalar(mean_loss, bounds=between, method="bounded").fun)
    return total


def _mean(
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    y: NDArray[np.floating],
    weights: NDArray[np.floating] | None,
) -> float:
    """Mean of a function of y, some rows at a time: they may lie in a file, larger than memory."""
    total = 0.0
    for start in range(0, len(y), _ROWS_AT_A_TIME):
        rows = slice(start, start + _ROWS_AT_A_TIME)
        values = function(y[rows].astype(np.float64))
        total += float(values.sum() if weights is None else values @ weights[rows])
    return total / (len(y) if weights is None else float(weights.sum(dtype=np.float64)))
