"""Cells of a CSV file as numbers and labels, and what is said of one that is neither."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fastbp.cli.terminal import InputError
from fastbp.model.losses import Loss

__all__ = ["finite", "is_missing", "looks_like_text", "number", "outside", "targets_of"]

#: So many different whole numbers at most, each in so many rows on average, look like labels.
_MOST_CLASSES, _ROWS_OF_A_CLASS = 10, 10

#: A larger number's square, of which variances are made, may be infinite.
_LARGEST = 1e150

_MISSING = ("", "na", "nan", "n/a", "null")


def is_missing(cell: str) -> bool:
    """Whether a cell stands for no value."""
    return cell.strip().lower() in _MISSING


def looks_like_text(cells: Iterable[str]) -> bool:
    """Whether most cells of a column, of those that have a value, are no numbers.

    One with a decimal comma is none of text, and `number` says so of it.
    """
    readable = [_can_be_float(_with_point(cell)) for cell in cells if not is_missing(cell)]
    return sum(readable) < len(readable) / 2


def finite(text: str) -> float:
    """Read a finite number; NaN for a cell that is none."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    # Python reads 1_0 as 10, and no other program.
    return value if abs(value) <= _LARGEST and "_" not in text else math.nan


def number(text: str, column: str, place: str, cure: str = "") -> float:
    """Read a finite number.

    Parameters
    ----------
    text, column, place : str
        The cell, its column's name, and where it stands.
    cure : str, default=""
        What else can be done about a cell that is none, for the message.

    Raises
    ------
    InputError
        If the cell is none.
    """
    if not math.isnan(value := finite(text)):
        return value
    value = float(text) if _can_be_float(text) else math.nan
    if is_missing(text):
        problem, first = f"has no value ({text!r})", "fill in or remove such lines"
    elif math.isinf(value):
        problem, first = f"has the infinite value {text!r}", "remove such lines"
    elif abs(value) > _LARGEST:
        problem = f"has {text!r:.40}, which is too large to compute with (over {_LARGEST:g})"
        first = "correct it, or give the column in a larger unit"
    else:
        problem, first = f"has {text!r:.40}, which is not a number", "correct it"
        if not math.isnan(value):
            first = "write it without underscores"
        elif "," in text:
            first = "decimals are written with a point"
    raise InputError(f"{place}: column {column!r} {problem}; {first}{cure}")


def targets_of(cells: list[str], places: Iterable[str], column: str, task: str) -> NDArray:
    """Give a target as numbers, or as labels if ``task`` or their look says so.

    Raises
    ------
    InputError
        If a cell is none, or there is nothing to learn.
    """
    is_of_classes = task == "classification" or (task == "auto" and _look_like_classes(cells))
    y = (_classes if is_of_classes else _numbers)(cells, places, column)
    if (y == y[0]).all():
        shown = f"{y[0]:g}" if y.dtype.kind == "f" else repr(y.tolist()[0])
        raise InputError(f"column {column!r} is {shown} in every row: there is nothing to learn")
    return y


def outside(loss: Loss, y: NDArray[np.float64]) -> int | None:
    """Find the first target that a loss does not take."""
    wrong = (y < 0 if loss.takes_zero else y <= 0) & loss.positive
    return int(wrong.argmax()) if wrong.any() else None


def _look_like_classes(cells: list[str]) -> bool:
    """Whether a column is of text for the most part, or of few whole numbers."""
    numbers = [_whole_or_other(_with_point(cell)) for cell in cells]
    if sum(number is None for number in numbers) > len(cells) / 2:
        return True
    different = set(numbers)
    most = min(_MOST_CLASSES, len(cells) / _ROWS_OF_A_CLASS)
    return len(different) <= most and all(isinstance(number, int) for number in different)


def _with_point(cell: str) -> str:
    return cell.replace(",", ".")


def _can_be_float(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _whole_or_other(cell: str) -> int | float | None:
    """Read a whole number as int, another as float, and give None for what is none."""
    if "_" in cell or not _can_be_float(cell):
        return None
    number = float(cell)
    return int(number) if number.is_integer() else number


def _numbers(cells: list[str], places: Iterable[str], column: str) -> NDArray[np.float64]:
    pairs = zip(cells, places, strict=True)
    return np.array([number(cell, column, place) for cell, place in pairs])


def _classes(cells: list[str], places: Iterable[str], column: str) -> NDArray:
    for cell, place in zip(cells, places, strict=True):
        if is_missing(cell):
            raise InputError(
                f"{place}: column {column!r} has no value ({cell!r}); fill in or remove such lines"
            )
    numbers = [_whole_or_other(cell) for cell in cells]
    y = np.array(numbers if all(isinstance(number, int) for number in numbers) else cells)
    n_classes = len(np.unique(y))
    if n_classes > len(y) / 2:
        raise InputError(
            f"column {column!r} has {n_classes} different labels in {len(y)} rows, too many to "
            "learn; numbers are trained on with --task regression"
        )
    return y
