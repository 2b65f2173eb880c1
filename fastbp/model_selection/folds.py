"""What `fit_many` takes as folds: a splitter, rows, masks, or pairs (train, test)."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["rows_of_folds"]


def rows_of_folds(folds: Any, X: Any, y: Any, n_samples: int) -> list[NDArray]:
    """Check folds, and find the rows of each to train on.

    Parameters
    ----------
    folds : splitter, or iterable of array-like or of pairs of them
        Row numbers or masks; of a pair (train, test), the first counts.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        The inputs, for a splitter.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        The targets, likewise.
    n_samples : int
        How many rows there are.

    Returns
    -------
    rows : list of ndarray
        Row numbers or a mask for each fold.

    Raises
    ------
    TypeError
        If they are no folds.
    ValueError
        If a fold has no rows, or other rows than there are.
    """
    is_text = isinstance(folds, str)  # which can be split, too
    if callable(getattr(folds, "split", None)) and not is_text:
        try:
            folds = list(folds.split(X, y))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"folds={folds!r} cannot split these rows: {error} Other splits are given as lists "
                "of rows."
            ) from error
    if not isinstance(folds, Iterable) or is_text:
        raise TypeError(
            f"folds={folds!r} is neither a splitter nor a list of rows to train on. Give KFold(5), "
            "say, or [rows of the first fold, rows of the second, ...]."
        )
    return [_checked(fold, f"folds[{i}]", n_samples) for i, fold in enumerate(folds)]


def _checked(fold: Any, name: str, n_samples: int) -> NDArray:
    if (
        isinstance(fold, list | tuple)
        and len(fold) == 2
        and all(np.ndim(part) == 1 for part in fold)
    ):
        fold, name = fold[0], f"{name}[0]"  # (train, test)
    rows = np.asarray(fold)
    if rows.ndim != 1:
        raise ValueError(
            f"{name} has shape {rows.shape}, but a fold is a list of rows to train on, or a pair "
            "(train, test) of such lists. One fold alone is folds=[rows]."
        )
    if rows.size == 0 or (rows.dtype.kind == "b" and not rows.any()):
        raise ValueError(f"{name} has no rows to train on. Leave it out, or give it rows.")
    if rows.dtype.kind == "b" and len(rows) != n_samples:
        raise ValueError(
            f"{name} is a mask of {len(rows)} rows, but X has {n_samples}. Give it as many."
        )
    if rows.dtype.kind not in "iub":
        raise ValueError(
            f"{name} has dtype {rows.dtype}, but a fold is made of row numbers, counted from 0, or "
            "is a mask of bool."
        )
    if rows.dtype.kind != "b" and not -n_samples <= rows.min() <= rows.max() < n_samples:
        wrong = rows.max() if rows.max() >= n_samples else rows.min()
        raise ValueError(
            f"{name} asks for row {wrong}, but X has {n_samples} rows, 0 to {n_samples - 1}."
        )
    return rows
