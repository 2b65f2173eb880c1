"""scikit-learn's scores of plain arrays: the same numbers without its checks.

Those take half a millisecond, as long as to train a small network for some epochs, and early
stopping scores in every one. Whatever is not plain goes to scikit-learn, which says what is wrong.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, r2_score

from fastbp.estimators.plain import are_plain_labels, are_plain_targets

__all__ = ["label_accuracy", "r2"]


def r2(y: Any, prediction: NDArray[np.floating], sample_weight: Any = None) -> float:
    """Give `sklearn.metrics.r2_score` of predictions, to the bit.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        The targets.
    prediction : ndarray of the same shape
        What was predicted for them.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    score : float
        1 minus the squared error over that of the targets' mean.
    """
    if (
        sample_weight is None
        and prediction.ndim == 1
        and len(prediction) > 1
        and are_plain_targets(y, len(prediction))
        and y.ndim == 1
        and np.isfinite(y).all()
        and np.isfinite(prediction).all()
    ):
        dtype = np.result_type(y, prediction)
        # In a column, whose sum may differ from a vector's in the last bit.
        targets, predicted = (a.astype(dtype, copy=False)[:, None] for a in (y, prediction))
        (error,) = ((targets - predicted) ** 2).sum(axis=0)
        (spread,) = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
        if spread > 0:
            return float(1 - error / spread)
    return r2_score(y, prediction, sample_weight=sample_weight)


def label_accuracy(y: Any, prediction: NDArray, sample_weight: Any = None) -> float:
    """Give `sklearn.metrics.accuracy_score` of predicted labels.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_labels)
        The labels.
    prediction : ndarray or sparse matrix of the same shape
        What was predicted for them.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    score : float
        The part of the rows that are right.
    """
    n = prediction.shape[0]
    if sample_weight is None and are_plain_labels(y, n) and are_plain_labels(prediction, n):
        return float(np.average(y == prediction))
    return accuracy_score(y, prediction, sample_weight=sample_weight)
