"""Dask collections in an estimator's methods: rows are checked, and predicted for, where they lie.

What a fit has to know of all rows before the first is checked (labels, the targets' scale) comes
from one look at the targets, partition by partition. The checks themselves are the estimator's own.
"""

import copy
import warnings
from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.validation import _check_feature_names, _check_n_features, check_is_fitted

from fastbp.backends.dask import is_collection
from fastbp.backends.dask.faults import RowsError
from fastbp.estimators.target_summary import TargetSummary
from fastbp.model.data import Data
from fastbp.solvers.registry import SOLVERS
from fastbp.training.warn import warn

__all__ = ["PartitionedTable", "check_collections", "in_memory", "over_partitions"]


class _RowCheck:
    """An estimator's checks of some rows, to be run where they lie.

    Parameters
    ----------
    estimator : BackpropEstimator
        What is known of columns, labels and scales, and nothing else.
    dtype : dtype
        Of the data.
    """

    def __init__(self, estimator: Any, dtype: np.dtype) -> None:
        self._estimator, self._dtype = estimator, dtype

    def __call__(self, X: Any, y: Any, sample_weight: Any) -> Data | None:
        """Check them; None where no row has a weight."""
        if sample_weight is not None and not np.any(sample_weight):
            return None
        table = self._estimator._check_rows(X, y, sample_weight, reset=False)
        return table.data(self._dtype)


class PartitionedTable:
    """Collections that are known to fit together; see `Table`.

    Parameters
    ----------
    blocks : list of (X, y, sample_weight)
        The partitions, Delayed.
    scheduler : Scheduler
        Where they are worked on.
    estimator : BackpropEstimator
        What checks their rows.
    summary : TargetSummary
        What the targets are like.
    example : Table
        The first row, checked.
    """

    def __init__(
        self, blocks: list, scheduler: Any, estimator: Any, summary: TargetSummary, example: Any
    ) -> None:
        self._blocks, self._scheduler, self._estimator = blocks, scheduler, estimator
        self._summary = summary
        self.n_features, self.n_outputs = example.n_features, example.n_outputs
        self.dtype, self.n_samples = example.dtype, summary.n_samples
        self.y_shape = (summary.n_samples, *example.y_shape[1:])

    def data(self, dtype: np.dtype) -> Any:
        """Give `Partitions` of a dtype, which are checked when they are used."""
        from fastbp.backends.dask.partitions import Partitions, Totals

        summary, of_classes = self._summary, self._estimator._weight_of_classes(self._summary)
        totals = Totals(
            summary.n_samples,
            summary.total_weight if of_classes is None else of_classes,
            is_weighted=of_classes is not None or self._blocks[0][2] is not None,
            loss_of_best_constant=self._estimator._loss_of_best_constant(summary),
        )
        check = _RowCheck(self._estimator, dtype)
        return Partitions(self._blocks, check, "X and y", self._scheduler, dtype, totals)

    @cached_property
    def _in_memory(self) -> tuple[NDArray, NDArray | None]:
        return self.data(self.dtype).targets

    @property
    def y(self) -> NDArray:
        """The targets as the network is to predict them, in memory."""
        return self._in_memory[0]

    @property
    def weights(self) -> NDArray | None:
        """The sample weights, in memory."""
        return self._in_memory[1]


def check_collections(
    estimator: Any, X: Any, y: Any, sample_weight: Any, *, reset: bool
) -> PartitionedTable:
    """Check collections to train or to validate on, as far as that is done before they are used.

    Parameters
    ----------
    estimator : BackpropEstimator
        The estimator, which learns columns, labels and scales.
    X : dask Array or DataFrame of shape (n_samples, n_features)
        The inputs.
    y : dask Array, DataFrame or Series, or array-like
        The targets or labels.
    sample_weight : dask Array or Series, array-like, number or None
        The sample weights.
    reset : bool
        Whether that is learnt (fit) or compared (going on).

    Returns
    -------
    table : PartitionedTable
        The collections.

    Raises
    ------
    ValueError
        If their partitions do not fit together, there are no rows, or the first row is wrong.
    """
    from fastbp.backends.dask import rows
    from fastbp.backends.dask.schedulers import current_scheduler

    _refuse_what_is_for_arrays(estimator)
    if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1 and is_collection(y):
        warn(
            "A column-vector y was passed when a 1d array was expected. Give one column, by "
            "y[:, 0] or y['name'] for instance.",
            DataConversionWarning,
        )
        y = y[y.columns[0]] if hasattr(y, "columns") else y[:, 0]
    blocks = rows.zipped(X, y, sample_weight)
    scheduler = current_scheduler(effective_n_jobs(estimator.n_jobs))
    summary, first = _look_at_targets(scheduler, blocks, estimator._has_labels)
    if reset:
        estimator._learn_targets(summary)
    example = estimator._check_rows(*first, None, reset=reset)
    knows = clone(estimator)
    knows.set_params(random_state=None)
    for name in estimator._what_checks_know:
        if name in estimator.__dict__:
            setattr(knows, name, estimator.__dict__[name])
    knows._prepare_for_partitions(summary)
    return PartitionedTable(blocks, scheduler, knows, summary, example)


def _look_at_targets(
    scheduler: Any, blocks: list, has_labels: bool
) -> tuple[TargetSummary, tuple[Any, Any]]:
    """Summarise all targets, and fetch the first row."""
    summaries = scheduler.run(
        _summarise, [(i, y, weights, has_labels) for i, (_, y, weights) in enumerate(blocks)]
    )
    n_rows = [summary.n_samples for summary in summaries]
    if not any(n_rows):
        raise ValueError("X and y are Dask collections without a row: there is nothing to fit.")
    first = next(i for i, n in enumerate(n_rows) if n)
    (row,) = scheduler.run(_first_row, [blocks[first][:2]])
    total = summaries[0]
    for number, summary in enumerate(summaries[1:], 1):
        try:
            total |= summary
        except TypeError as error:  # text and numbers, which have no order
            raise RowsError(
                f"In partition {number} of y: labels are of another type than those before: {error}"
            ) from error
    if not total.total_weight > 0:
        raise ValueError(
            "sample_weight sums to 0 or less, so there is nothing to fit. Give at least one "
            "positive weight, and none below 0."
        )
    return total, row


def _summarise(number: int, y: Any, sample_weight: Any, has_labels: bool) -> TargetSummary:
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused by the checks
            return TargetSummary.of(y, sample_weight, has_labels)
    except (TypeError, ValueError) as error:
        raise RowsError(f"In partition {number} of y: {error}") from error


def _first_row(X: Any, y: Any) -> tuple[Any, Any]:
    return X[:1], y[:1]


def _refuse_what_is_for_arrays(estimator: Any) -> None:
    if estimator.device == "cuda":
        raise ValueError(
            "device='cuda' is for data in memory, not for Dask collections. Take device='cpu', or "
            "give arrays."
        )
    if estimator.checkpoint is not None and SOLVERS[estimator.solver].is_stochastic:
        raise ValueError(
            f"checkpoint={estimator.checkpoint!r} with solver={estimator.solver!r} is for data in "
            "memory, not for Dask collections. Take a batch solver, or checkpoint=None."
        )


def over_partitions(method: Callable) -> Callable:
    """Let a method that predicts for X give a lazy Dask array for a Dask collection."""

    @wraps(method)
    def predict(self: Any, X: Any, *arguments: Any, **named: Any) -> Any:
        if is_collection(X):
            return _lazily(self, method, X, arguments, named)
        return method(self, X, *arguments, **named)

    return predict


def _lazily(estimator: Any, method: Callable, X: Any, arguments: tuple, named: dict) -> Any:
    from fastbp.backends.dask import rows

    check_is_fitted(estimator)
    X = rows.cut_between_rows(X, "X")
    _check_feature_names(estimator, rows.without_rows(X), reset=False)
    _check_n_features(estimator, rows.without_rows(X), reset=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has no names
        zeros = np.zeros((1, estimator.n_features_in_), estimator.coefs_[0].dtype)
        example = method(estimator, zeros, *arguments, **named)
    several = example if isinstance(example, tuple) else (example,)
    likes = tuple(like[:0] for like in several)
    # As it is now: the estimator may be fitted again before these are computed.
    model = copy.deepcopy(estimator)
    found = rows.lazily(_of_block, X, (model, method, likes, arguments, named), likes)
    return found if isinstance(example, tuple) else found[0]


def _of_block(
    X: Any, estimator: Any, method: Callable, likes: tuple, arguments: tuple, named: dict
) -> tuple:
    if X.shape[0] == 0:
        return likes
    found = method(estimator, X, *arguments, **named)
    return found if isinstance(found, tuple) else (found,)


def in_memory(*arrays: Any) -> tuple:
    """Compute those that are Dask collections."""
    return tuple(array.compute() if is_collection(array) else array for array in arrays)
