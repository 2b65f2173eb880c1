"""The fitted network inside a pipeline, a transformed target or a search, and its objective."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators.base import BackpropEstimator

__all__ = ["Inside", "fitted_network", "network_inside"]


class Inside(NamedTuple):
    """An estimator that others are wrapped around, and the data as it sees them.

    Attributes
    ----------
    estimator : estimator
        The innermost estimator, fitted.
    X : array-like or None
        The inputs, as transformed by those around it.
    y : array-like or None
        The targets, likewise.
    """

    estimator: Any
    X: Any
    y: Any


def network_inside(estimator: Any, X: Any = None, y: ArrayLike | None = None) -> Inside:
    """Unwrap a pipeline, a transformed target, a search, and transform data on the way.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    """
    check_is_fitted(estimator)
    if isinstance(estimator, Pipeline):
        if X is not None and len(estimator) > 1:
            X = estimator[:-1].transform(X)
        return network_inside(estimator[-1], X, y)
    if hasattr(estimator, "regressor_"):
        if y is not None:
            y = _transformed(np.asarray(y), estimator.transformer_)
        return network_inside(estimator.regressor_, X, y)
    if hasattr(estimator, "best_estimator_"):
        return network_inside(estimator.best_estimator_, X, y)
    return Inside(estimator, X, y)


def _transformed(y: NDArray, transformer: Any) -> NDArray:
    """Transform targets by what was fitted on columns."""
    columns = transformer.transform(y.reshape(len(y), -1))
    return columns.ravel() if columns.shape[1] == 1 else columns


def fitted_network(estimator: Any, X: Any = None, y: ArrayLike | None = None) -> Inside:
    """Do the same, where the innermost estimator has to be one of fastbp's.

    Raises
    ------
    TypeError
        If it is another.
    """
    inside = network_inside(estimator, X, y)
    if not isinstance(inside.estimator, BackpropEstimator):
        raise TypeError(
            f"{type(inside.estimator).__name__} is no estimator of fastbp. Give a fitted "
            "BackpropRegressor or BackpropClassifier, alone, in a pipeline or in a search."
        )
    return inside
