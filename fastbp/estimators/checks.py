"""What data a user may give, with errors that name the array, the cause and the cure.

scikit-learn's `validate_data` does the conversions and keeps feature names; these functions add
what it leaves open: which column or row, masked arrays, dates, negative weights.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.validation import check_array, validate_data

from fastbp.estimators.refusals import (
    refuse_dates,
    refuse_masked,
    refuse_not_finite,
    refuse_wrong_cells,
    refuse_wrong_entries,
)
from fastbp.model.losses import LOSSES
from fastbp.training.warn import warn

__all__ = [
    "check_inputs",
    "check_sample_weight",
    "check_targets",
    "check_training_data",
    "check_validation_data",
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
    for name, array in (("X", X), ("y", y)):
        refuse_masked(array, name)
        refuse_dates(array, name)
    given = y
    try:
        with np.errstate(invalid="ignore"):  # scikit-learn sums y: of the largest floats, inf - inf
            X, y = validate_data(
                estimator,
                X,
                y,
                accept_sparse="csr",
                multi_output=True,
                y_numeric=True,
                dtype=_FLOATS,
                reset=reset,
                ensure_all_finite=False,
            )
    except _CONVERSION_ERRORS:
        refuse_wrong_cells(X)
        refuse_wrong_entries(y, "y")
        raise
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
        warn(
            "A column-vector y was passed when a 1d array was expected. Change its shape to "
            "(n_samples,), by y.ravel() for instance.",
            DataConversionWarning,
        )
        y = y.ravel()
    return X, y


def check_validation_data(
    estimator: BaseEstimator, X_val: Any, y_val: Any, sample_weight_val: Any, y: NDArray
) -> tuple[Any, NDArray, NDArray | None]:
    """Check inputs, targets and weights to validate on.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose number and names of features are compared.
    X_val, y_val, sample_weight_val
        As to train on.
    y : ndarray
        The checked targets to train on.

    Returns
    -------
    X_val, y_val, sample_weight_val
        The same, checked as those to train on.

    Raises
    ------
    ValueError
        As for those to train on; the message says that it is about these.
    """
    try:
        X_val, y_val = check_training_data(estimator, X_val, y_val, reset=False)
        weights = check_sample_weight(sample_weight_val, X_val.shape[0], X_val.dtype)
        if len(y_val) < 2:
            raise ValueError("There is 1 row, and 2 are the fewest to validate on.")
        if y_val.shape[1:] != y.shape[1:]:
            raise ValueError(
                f"y_val has shape {y_val.shape}, but y has shape {y.shape}: give it as many "
                "outputs."
            )
        check_targets(y_val, estimator.loss)
    except ValueError as error:
        raise ValueError(f"In the data to validate on (X_val, y_val): {error}") from error
    return X_val, y_val, weights


def check_targets(y: NDArray, loss: str) -> NDArray:
    """Check that the loss is defined for the targets.

    Parameters
    ----------
    y : ndarray
        The targets.
    loss : str
        Name of the loss.

    Returns
    -------
    y : ndarray
        The same targets.

    Raises
    ------
    ValueError
        If the loss needs targets of 0 or more and one is negative.
    """
    if LOSSES[loss].positive and (y < 0).any():
        row = int(np.argwhere(y < 0)[0][0])
        raise ValueError(
            f"y is negative in row {row}, but loss={loss!r} is for counts and rates of 0 or more. "
            "Remove such rows, or take loss='squared_error'."
        )
    return y


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
