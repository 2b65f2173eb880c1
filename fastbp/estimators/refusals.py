"""What no array may hold: masked entries, dates, text, NaN, infinity; errors name the place."""

import datetime
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _num_samples

__all__ = [
    "checked_sample",
    "refuse_dates",
    "refuse_masked",
    "refuse_not_finite",
    "refuse_other_lengths",
    "refuse_wrong_cells",
    "refuse_wrong_entries",
]

_NUMBERS = "fiub"
_DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


def refuse_masked(array: Any, name: str) -> None:
    """Refuse a masked array with masked entries."""
    if np.ma.is_masked(array):
        raise ValueError(
            f"{name} is a masked array with masked entries, which would be read as if they were "
            f"not masked. Fill or impute them first ({name}.filled(...), SimpleImputer)."
        )


def refuse_dates(array: Any, name: str) -> None:
    """Refuse dates and time spans, which NumPy reads as numbers of whatever unit they have."""
    if isinstance(array, list | tuple):
        try:
            array = np.asarray(array)
        except ValueError:  # rows of different lengths: scikit-learn's checks say so
            return
    dtypes = getattr(array, "dtypes", None)
    if np.iterable(dtypes):  # a frame
        found = _column_of_dates(array, list(dtypes))
    else:
        dtype = getattr(array, "dtype", None)
        found = "" if _is_of_dates(dtype) else _column_of_dates(array, [dtype])
    if found is not None:
        raise ValueError(
            f"{name} holds dates or time spans{found}, which are no numbers without a unit. "
            "Convert them first, to days since a date for instance."
        )


def _column_of_dates(array: Any, dtypes: list) -> str | None:
    """Say where the first dates are, in columns for them or among objects."""
    names = getattr(array, "columns", None)
    for i, dtype in enumerate(dtypes):
        if _is_of_dates(dtype):
            return f" in column {names[i]!r}" if names is not None else ""
    if not any(getattr(dtype, "kind", "") == "O" for dtype in dtypes):
        return None
    table = np.asarray(array, dtype=object)
    for i, column in enumerate(table.T if table.ndim == 2 else [table]):
        if any(issubclass(each, _DATES) for each in set(map(type, column.flat))):
            if table.ndim != 2:
                return ""
            return f" in column {i if names is None else names[i]!r}"
    return None


def _is_of_dates(dtype: Any) -> bool:
    """Whether a dtype of NumPy, pandas ("kind") or polars ("is_temporal") is for dates."""
    is_temporal = getattr(dtype, "is_temporal", None)
    if callable(is_temporal):
        return bool(is_temporal())
    return getattr(dtype, "kind", "") in ("M", "m")


def refuse_other_lengths(X: Any, y: Any) -> None:
    """Refuse targets that are more or fewer than the rows of X, if X is a table that has some."""
    try:
        n_rows, n_targets = _num_samples(X), _num_samples(y)
    except TypeError:  # no arrays at all: scikit-learn's checks say so
        return
    is_table = len(getattr(X, "shape", (n_rows, 1))) == 2  # a list has no shape
    if is_table and 0 < n_rows != n_targets:
        raise ValueError(
            f"X has {n_rows} rows and y has {n_targets}: inconsistent numbers of samples. Give one "
            "target or label for each row of X."
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
            if math.isfinite(np.add.reduce(X, axis=None)) or np.isfinite(X).all():
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


def refuse_wrong_cells(X: Any) -> None:
    """Refuse text and the like in a table that could not be converted, and name the column."""
    if sparse.issparse(X) or not hasattr(X, "__len__") or _kind_of(X) in ("c", *_NUMBERS):
        return  # it is something else, and scikit-learn's own words are clear
    try:
        table = np.asarray(X, dtype=object)
    except ValueError:  # rows of different lengths
        return
    if table.ndim != 2:
        return
    names = getattr(X, "columns", range(table.shape[1]))
    for name, column in zip(names, table.T, strict=True):
        try:
            column.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            wrong = [row for row, value in enumerate(column) if _number_of(value) is None]
            if not wrong:  # an array in a cell
                return
            row, value = wrong[0], column[wrong[0]]
            if isinstance(value, str | bytes):
                raise ValueError(
                    f"X holds text in column {name!r}, row {row}: {value!r:.60}. Encode such a "
                    "column as numbers first (OneHotEncoder, OrdinalEncoder), or drop it."
                ) from None
            # scikit-learn wants its TypeError, in these words.
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                f"X holds {value!r:.60} in column {name!r}, row {row}, which is no number ({error})"
                ". Convert, impute or drop such entries."
            ) from None


def refuse_wrong_entries(array: Any, name: str) -> None:
    """Refuse targets or weights that are not all finite numbers, and name the first that is not."""
    if array is None or _kind_of(array) == "c":
        return  # scikit-learn's own words are clear
    if isinstance(array, np.ndarray) and array.dtype.kind in _NUMBERS and np.isfinite(array).all():
        return
    entries = np.asarray(array, dtype=object)
    for index, value in np.ndenumerate(entries):
        number = _number_of(value)
        if number is not None and math.isfinite(number):
            continue
        shown, known_as = f"{value!r:.60}", ""
        if number is not None and value is not None:
            shown = "NaN" if math.isnan(number) else "infinity"
            too_large = "" if math.isnan(number) else " or a value too large for dtype('float64')"
            # In scikit-learn's words, too, for which its checks look.
            known_as = f" (Input {name} contains {shown}{too_large})"
        place = f"[{', '.join(map(str, index))}]" if index else ""
        raise ValueError(
            f"{name}{place} is {shown}, but only finite numbers can be used{known_as}. Convert, "
            "impute or remove such entries."
        )


def _kind_of(array: Any) -> str:
    """Look up the kind of an array's entries, in NumPy's letters; empty for lists and frames."""
    return getattr(getattr(array, "dtype", None), "kind", "")


def _number_of(value: Any) -> float | None:
    """Convert as NumPy does, None to NaN; None is no number."""
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def checked_sample(sample: Any, name: str) -> NDArray:
    """Convert one sample, or its target, that may be no array of numbers.

    Parameters
    ----------
    sample : array-like
        The sample.
    name : str
        What an error calls it.

    Returns
    -------
    array : ndarray
        The same, in its own dtype.

    Raises
    ------
    ValueError
        If it holds masked entries, dates, complex numbers or what is no number.
    """
    if not isinstance(sample, list | tuple):
        refuse_masked(sample, name)
    array = np.asarray(sample)
    if array.dtype.kind in _NUMBERS:
        return array
    refuse_dates(array, name)
    if array.dtype.kind == "c":
        raise ValueError(
            f"{name} holds complex numbers, and networks compute with real ones. Give real and "
            "imaginary parts as features of their own."
        )
    refuse_wrong_entries(array, name)
    return array
