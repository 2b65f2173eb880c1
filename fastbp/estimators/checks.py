"""What data a user may give, with errors that name the array, the cause and the cure.

scikit-learn's `validate_data` does the conversions and keeps feature names; these functions add
what it leaves open: which column or row, masked arrays, dates, negative weights.
"""

from collections.abc import Callable
from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.validation import check_array, validate_data

from fastbp.estimators.labels import missing_label
from fastbp.estimators.plain import (
    are_plain_labels,
    are_plain_targets,
    has_its_columns,
    is_plain,
    record_columns,
)
from fastbp.estimators.refusals import (
    refuse_dates,
    refuse_masked,
    refuse_not_finite,
    refuse_other_lengths,
    refuse_wrong_cells,
    refuse_wrong_entries,
)
from fastbp.model.losses import Loss, loss_of, refuse_targets
from fastbp.training.warn import warn

__all__ = [
    "check_inputs",
    "check_labelled_data",
    "check_quantiles",
    "check_sample_weight",
    "check_targets",
    "check_training_data",
]

_FLOATS = (np.float64, np.float32)
#: What conversions raise, of whose messages few say where.
_CONVERSION_ERRORS = (TypeError, ValueError, OverflowError)


def check_inputs(estimator: BaseEstimator, X: Any, *, reset: bool = False) -> Any:
    """Check inputs to predict for.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose number and names of features are compared.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        The inputs.
    reset : bool, default=False
        Whether to record the number and names of features instead.

    Returns
    -------
    X : ndarray or CSR matrix
        The inputs in float64 or float32, finite.

    Raises
    ------
    ValueError
        If X is not a finite table of numbers with the features of the fit.
    """
    if not reset and is_plain(X) and has_its_columns(estimator, X):
        refuse_not_finite(X, estimator)
        return X
    refuse_masked(X, "X")
    refuse_dates(X, "X")
    try:
        checked = validate_data(
            estimator,
            X,
            accept_sparse="csr",
            dtype=_FLOATS,
            reset=reset,
            ensure_all_finite=False,
        )
    except _CONVERSION_ERRORS:
        refuse_wrong_cells(X)
        raise
    refuse_not_finite(checked, estimator)
    return checked


def check_training_data(
    estimator: BaseEstimator, X: Any, y: Any, *, reset: bool
) -> tuple[Any, NDArray]:
    """Check inputs and targets to train on.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose number and names of features are recorded or compared.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        The inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        The targets.
    reset : bool
        Whether features are recorded (fit) or compared (going on).

    Returns
    -------
    X : ndarray or CSR matrix
        The inputs in float64 or float32, finite.
    y : ndarray
        The targets, finite.

    Raises
    ------
    ValueError
        If they are not finite tables of numbers with as many rows each.
    """
    given = y
    if not _is_plain(estimator, X, y, are_plain_targets, reset=reset):
        for name, array in (("X", X), ("y", y)):
            refuse_masked(array, name)
            refuse_dates(array, name)

        def refuse_wrong(y: Any) -> None:
            refuse_wrong_entries(y, "y")

        X, y = _converted(estimator, X, y, refuse_wrong, reset=reset, y_numeric=True)
    if y.dtype.kind not in "fiub":
        refuse_wrong_entries(given, "y")
        raise ValueError(
            f"y has dtype {y.dtype}, but the targets of a regression are numbers. Convert them "
            "(y.astype(float)), or encode classes as numbers first."
        )
    refuse_not_finite(X, estimator)
    if y.dtype.kind == "f" and not np.isfinite(y).all():  # None among objects, which became NaN
        refuse_wrong_entries(given, "y")
    if y.ndim == 2 and y.shape[1] == 1:
        _warn_of_a_column()
        y = y.ravel()
    return X, y


def check_labelled_data(
    estimator: BaseEstimator, X: Any, y: Any, *, reset: bool, is_soft: bool
) -> tuple[Any, Any]:
    """Check inputs and labels to train on.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose number and names of features are recorded or compared.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        The inputs.
    y : array-like or sparse matrix of shape (n_samples,) or (n_samples, n_classes)
        The labels.
    reset : bool
        Whether features are recorded (fit) or compared (going on).
    is_soft : bool
        Whether y holds the probability of each class instead.

    Returns
    -------
    X : ndarray or CSR matrix
        The inputs in float64 or float32, finite.
    y : ndarray or CSR matrix
        The labels, none of them missing.

    Raises
    ------
    ValueError
        If there are not as many labels as rows, or one is missing.
    """
    if is_soft:
        X, y = check_training_data(estimator, X, y, reset=reset)
        if y.ndim == 1:
            raise ValueError(
                f"y has shape {y.shape}, but with soft_labels=True it holds the probability of "
                "each class, (n_samples, n_classes). Give a column a class, or soft_labels=False."
            )
        return X, y
    if not _is_plain(estimator, X, y, are_plain_labels, reset=reset):
        for name, array in (("X", X), ("y", y)):
            refuse_masked(array, name)
        refuse_dates(X, "X")
        X, y = _converted(estimator, X, y, _refuse_missing_labels, reset=reset)
    refuse_not_finite(X, estimator)
    _refuse_missing_labels(y)
    if y.ndim == 2 and y.shape[1] == 1:
        _warn_of_a_column()
        y = y.toarray().ravel() if hasattr(y, "toarray") else y.ravel()
    return X, y


def _is_plain(
    estimator: BaseEstimator, X: Any, y: Any, is_plain_y: Callable[[Any, int], bool], *, reset: bool
) -> bool:
    """Whether there is nothing to convert; the columns are then recorded, or as they were."""
    if not (is_plain(X) and is_plain_y(y, len(X))):
        return False
    if reset:
        record_columns(estimator, X)
    return reset or has_its_columns(estimator, X)


def _converted(
    estimator: BaseEstimator,
    X: Any,
    y: Any,
    refuse_y: Callable[[Any], None],
    *,
    reset: bool,
    **options: bool,
) -> tuple[Any, Any]:
    """Convert inputs and targets by `validate_data`; the cell or entry that fails is named."""
    try:
        with np.errstate(invalid="ignore"):  # scikit-learn sums y: of the largest floats, inf - inf
            return validate_data(
                estimator,
                X,
                y,
                accept_sparse="csr",
                multi_output=True,
                dtype=_FLOATS,
                reset=reset,
                ensure_all_finite=False,
                **options,
            )
    except _CONVERSION_ERRORS:
        refuse_wrong_cells(X)
        refuse_y(y)
        refuse_other_lengths(X, y)
        raise


def _refuse_missing_labels(y: Any) -> None:
    row = missing_label(y)
    if row is not None:
        raise ValueError(
            f"Input y contains NaN: there is no label in row {row}. Remove such rows, or give "
            "what is missing a label of its own."
        )


def _warn_of_a_column() -> None:
    warn(
        "A column-vector y was passed when a 1d array was expected. Change its shape to "
        "(n_samples,), by y.ravel() for instance.",
        DataConversionWarning,
    )


def check_targets(y: NDArray, loss: str | Loss) -> NDArray:
    """Check that the loss is defined for the targets.

    Parameters
    ----------
    y : ndarray
        The targets.
    loss : str or Loss
        The loss.

    Returns
    -------
    y : ndarray
        The same targets.

    Raises
    ------
    ValueError
        If the loss does not take one of the targets.
    """
    refuse_targets(loss_of(loss), y)
    return y


def check_quantiles(quantiles: tuple[float, ...], y: NDArray) -> None:
    """Check several quantiles of one target.

    Raises
    ------
    ValueError
        If they do not rise from above 0 to below 1, or there are several targets.
    """
    are_numbers = all(isinstance(quantile, Real) for quantile in quantiles)
    if not (are_numbers and all(low < high for low, high in pairwise((0, *quantiles, 1)))):
        raise ValueError(
            f"quantile={list(quantiles)}, but several quantiles are numbers between 0 and 1 in "
            "rising order, as [0.1, 0.5, 0.9] are."
        )
    if y.ndim > 1:
        raise ValueError(
            f"quantile={list(quantiles)} is for one target, and y has {y.shape[1]}. Give one "
            "quantile, or fit the targets one by one (MultiOutputRegressor)."
        )


def check_sample_weight(
    sample_weight: ArrayLike | None, n_samples: int, dtype: np.dtype
) -> NDArray | None:
    """Check sample weights.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), float or None
        The weights; one number is every row's weight.
    n_samples : int
        Number of rows.
    dtype : dtype
        float64 or float32.

    Returns
    -------
    sample_weight : ndarray of shape (n_samples,) or None
        The weights, or None for None.

    Raises
    ------
    ValueError
        If there are not n_samples of them, one is masked, negative or no finite number, or all
        are 0.
    """
    if sample_weight is None:
        return None
    if np.isscalar(sample_weight):
        sample_weight = np.full(n_samples, sample_weight)
    refuse_masked(sample_weight, "sample_weight")
    refuse_dates(sample_weight, "sample_weight")
    try:
        weights = check_array(
            sample_weight, ensure_2d=False, dtype=dtype, order="C", input_name="sample_weight"
        )
    except _CONVERSION_ERRORS:
        refuse_wrong_entries(sample_weight, "sample_weight")
        raise
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}, but X has {n_samples} rows: give one "
            f"weight a row, shape ({n_samples},)."
        )
    if (weights < 0).any():
        row = int(np.argmax(weights < 0))
        raise ValueError(
            f"sample_weight[{row}] is {weights[row]}, but negative weights would maximise the "
            "loss of their rows. Give weights of 0 or more."
        )
    if not weights.any():
        raise ValueError(
            "sample_weight is zero for every row, so there is nothing to fit. Give at least one "
            "positive weight."
        )
    return weights
