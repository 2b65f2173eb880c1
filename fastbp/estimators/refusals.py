"""What no table may hold: masked entries, dates, text, NaN, infinity; errors name the place."""

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

__all__ = ["name_column", "refuse_dates", "refuse_masked", "refuse_not_finite"]


def refuse_masked(array: Any, name: str) -> None:
    """Refuse a masked array with masked entries."""
    if np.ma.is_masked(array):
        raise ValueError(
            f"{name} is a masked array with masked entries, which would be read as if they were "
            f"not masked. Fill or impute them first ({name}.filled(...), SimpleImputer)."
        )


def refuse_dates(array: Any, name: str) -> None:
    """Refuse dates and time spans."""
    dtypes = getattr(array, "dtypes", None)
    kinds = [getattr(dtype, "kind", "") for dtype in dtypes] if np.iterable(dtypes) else []
    kinds.append(getattr(getattr(array, "dtype", None), "kind", ""))
    if "M" in kinds or "m" in kinds:
        raise ValueError(
            f"{name} holds dates or time spans, which are no numbers without a unit. Convert them "
            "first, to days since a date for instance."
        )


def refuse_not_finite(X: Any, estimator: BaseEstimator) -> None:
    """Refuse inputs with NaN or infinity, and name the place of the first."""
    if sparse.issparse(X):
        wrong = np.flatnonzero(~np.isfinite(X.data))
        if not len(wrong):
            return
        place = wrong[0]
        row = int(np.searchsorted(X.indptr, place, side="right")) - 1
        column, value = int(X.indices[place]), X.data[place]
    else:
        # One sum finds most tables finite; only where it overflows is every entry looked at.
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(np.sum(X)) or np.isfinite(X).all():
                return
        row, column = (int(i) for i in np.argwhere(~np.isfinite(X))[0])
        value = X[row, column]
    what, cure = ("NaN", "Impute") if np.isnan(value) else ("infinity", "Replace or scale")
    names = getattr(estimator, "feature_names_in_", None)
    named = f"column {column}" if names is None else f"column {names[column]!r}"
    raise ValueError(
        f"Input X contains {what} in {named}, row {row}. {cure} such values first, in a pipeline "
        "for instance (SimpleImputer), or drop those rows."
    )


def name_column(error: ValueError, X: Any) -> ValueError:
    """Name the column of a text where a number should be; other errors stay what they are."""
    if "could not convert" not in str(error) or not hasattr(X, "__len__"):
        return error
    table = np.asarray(X, dtype=object)
    if table.ndim != 2:
        return error
    names = getattr(X, "columns", range(table.shape[1]))
    for name, column in zip(names, table.T, strict=True):
        try:
            column.astype(np.float64)
        except (TypeError, ValueError):
            return ValueError(
                f"X holds text in column {name!r}: {error}. Encode such a column as numbers first "
                "(OneHotEncoder, OrdinalEncoder), or drop it."
            )
    return error
