"""Columns of numbers and of text, some cells missing, as the numbers that a network takes."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from fastbp.export.onnx_table import TableToOnnx

__all__ = ["TableEncoder"]


class TableEncoder(TableToOnnx, TransformerMixin, BaseEstimator):
    """One-hot columns for text, the column's mean for missing numbers.

    A column with any text in it is one of text. A missing text is a label of its own where the fit
    has seen it; a label that the fit has not seen is 0 in every column. What a fit learns is text
    and numbers alone, so `fastbp.save` keeps it.

    Attributes
    ----------
    categories_ : list of ndarray of str
        For each column the labels in order, "" for missing ones; none for a column of numbers.
    means_ : ndarray of shape (n_features,)
        The mean of each column of numbers; 0 for text.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of str
        Names of the columns, where X had them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.estimators.table_encoder import TableEncoder
    >>> X = np.array([[1.0, "no"], [3.0, "yes"], [np.nan, "no"]], object)
    >>> TableEncoder().fit_transform(X)
    array([[1., 1., 0.],
           [3., 0., 1.],
           [2., 1., 0.]])
    """

    _parameter_constraints: ClassVar[dict] = {}
    _missing_texts: ClassVar[tuple[str, ...]] = ("", "nan", "None", "<NA>")

    def fit(self, X: ArrayLike, y: Any = None) -> "TableEncoder":
        """Learn labels and means.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers and text; None, NaN and "" are missing.
        y : object, default=None
            Not used.

        Returns
        -------
        self : TableEncoder
            The fitted encoder.

        Raises
        ------
        ValueError
            If a column has no value, or a cell that is neither a number nor text.
        """
        del y
        columns = self._columns(X, reset=True)
        self.categories_ = [
            np.unique(self._texts(column)) if _is_text(column) else np.array([], str)
            for column in columns
        ]
        self.means_ = np.zeros(len(columns))
        for i, column in enumerate(columns):
            if not len(self.categories_[i]):
                self.means_[i] = self._mean(i, column)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Give the columns of numbers, and for each label of a column of text one of 0 and 1.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers and text.

        Returns
        -------
        encoded : ndarray of shape (n_samples, n_encoded)
            Numbers, none of them missing.
        """
        check_is_fitted(self)
        encoded = []
        for i, column in enumerate(self._columns(X, reset=False)):
            if len(self.categories_[i]):
                encoded.append(self._texts(column)[:, None] == self.categories_[i])
            else:
                numbers = self._numbers(i, column)
                encoded.append(np.where(np.isnan(numbers), self.means_[i], numbers)[:, None])
        return np.hstack(encoded).astype(np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    def _columns(self, X: ArrayLike, reset: bool) -> NDArray:
        return validate_data(self, X, reset=reset, dtype=object, ensure_all_finite=False).T

    def _mean(self, i: int, column: NDArray) -> float:
        numbers = self._numbers(i, column)
        known = numbers[~np.isnan(numbers)]
        if not len(known):
            raise ValueError(f"{self._name(i)} has no value in any of {len(column)} rows: drop it")
        return float(known.mean())

    def _numbers(self, i: int, column: NDArray) -> NDArray[np.float64]:
        try:
            return column.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self._name(i)} is to be of numbers, as in the fit: {error}"
            ) from error

    def _texts(self, column: NDArray) -> NDArray[np.str_]:
        texts = map(str, column)
        return np.array(["" if text in self._missing_texts else text for text in texts], str)

    def _name(self, i: int) -> str:
        names = getattr(self, "feature_names_in_", None)
        return f"Column {i if names is None else repr(names[i])}"


def _is_text(column: NDArray) -> bool:
    return any(isinstance(cell, str) for cell in column)
