"""Arrays of native floats, of which there is little to find out.

scikit-learn's `validate_data` takes a hundred microseconds to learn what it was given, as long as a
network takes for a thousand rows. An ndarray of floats with the columns of the fit passes it
unchanged, and is known by a glance; everything else goes the long way. Whether numbers are finite
is looked up on both.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

__all__ = ["are_plain_labels", "are_plain_targets", "has_its_columns", "is_plain", "record_columns"]

#: Found by identity; a dtype of swapped bytes is none of them.
_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


def is_plain(X: Any) -> bool:
    """Whether `validate_data` would give the inputs back as they are, but for their columns."""
    return type(X) is np.ndarray and X.ndim == 2 and X.dtype in _FLOATS and X.size > 0


def are_plain_targets(y: Any, n_samples: int) -> bool:
    """Whether y is as many numbers as rows, or a table of two columns or more, in floats."""
    return (
        type(y) is np.ndarray
        and y.dtype in _FLOATS
        and (y.ndim == 1 or y.ndim == 2 and y.shape[1] > 1)
        and len(y) == n_samples
    )


def are_plain_labels(y: Any, n_samples: int) -> bool:
    """Whether y is as many whole numbers as rows, none of which is missing."""
    return type(y) is np.ndarray and y.shape == (n_samples,) and y.dtype.kind in "iub"


def has_its_columns(estimator: BaseEstimator, X: NDArray[np.floating]) -> bool:
    """Whether inputs without names have the columns of an estimator that knows no names either."""
    fitted = vars(estimator)
    return "feature_names_in_" not in fitted and X.shape[1] == fitted.get("n_features_in_")


def record_columns(estimator: BaseEstimator, X: NDArray[np.floating]) -> None:
    """Record the number of features; those of a fit before may have had names."""
    vars(estimator).pop("feature_names_in_", None)
    estimator.n_features_in_ = X.shape[1]
