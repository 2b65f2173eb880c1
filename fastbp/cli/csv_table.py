"""A CSV file as a table of numbers.

What can be wrong with a file is found here, before the training, and said in the file's own terms:
line, column, text.
"""

import csv
import math
import shlex
from array import array
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from fastbp.cli.terminal import progress

__all__ = ["FEWEST_ROWS", "TASKS", "CsvTable", "InputError", "listed", "read_csv"]

FEWEST_ROWS = 10

#: What a target is: numbers, labels, or what it looks like.
TASKS = ("auto", "regression", "classification")

#: So many different whole numbers at most, each in so many rows on average, look like labels.
_MOST_CLASSES, _ROWS_OF_A_CLASS = 10, 10

#: A larger number's square, of which variances are made, may be infinite.
_LARGEST = 1e150

#: Headers of the row numbers or names that pandas and R write before the first column.
_NO_NAMES = ("", "Unnamed: 0")

_MISSING = ("", "na", "nan", "n/a", "null")


class InputError(ValueError):
    """What a user gave cannot be used; the message says what, where, and what to do."""


class CsvTable(NamedTuple):
    """A table of finite numbers with a target; `labels` is the header of row labels left out."""

    inputs: list[str]
    X: NDArray[np.float64]
    y: NDArray
    labels: str | None

    @property
    def is_of_classes(self) -> bool:
        """Whether the target is one of some labels, and not a number."""
        return self.y.dtype.kind != "f"


def read_csv(path: Path, target: str, dropped: list[str], task: str = "auto") -> CsvTable:
    """Read a table of numbers from a CSV file with a header.

    Parameters
    ----------
    path : Path
        The file: UTF-8, columns separated by commas, semicolons or tabs.
    target : str
        Name of the column to predict.
    dropped : list of str
        Names of columns to leave out; these may hold anything.
    task : {"auto", "regression", "classification"}, default="auto"
        Whether the target is a number or a label. "auto" takes text, and few whole numbers, for
        labels.

    Returns
    -------
    table : CsvTable
        The other columns and the target, without a first column that has no name.

    Raises
    ------
    InputError
        If the file cannot be read, or is not such a table.
    """
    try:
        with (
            path.open(encoding="utf-8-sig", newline="") as file,
            progress("reading", path.stat().st_size) as advance,
        ):
            return _read(file, advance, path, target, dropped, task)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file in UTF-8; save it as CSV UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV file: {error}") from error


def _read(
    file: TextIO,
    advance: Callable[[int], object],
    path: Path,
    target: str,
    dropped: list[str],
    task: str,
) -> CsvTable:
    header, delimiter = _header(file.readline(), path)
    is_labelled = header[0] in _NO_NAMES and header[0] not in (target, *dropped)
    *columns, last = _wanted_columns(header, path, target, dropped, is_labelled)
    rows = csv.reader(_counted(file, advance), delimiter=delimiter)
    values, targets, lines = array("d"), [], array("q")
    for cells in rows:
        if not cells:
            continue  # an empty line
        place = f"{path}, line {rows.line_num + 1}"
        if len(cells) != len(header):
            raise InputError(f"{place} has {len(cells)} cells where the header has {len(header)}")
        values.extend(_number(cells[i], header[i], place, False) for i in columns)
        targets.append(cells[last].strip())
        lines.append(rows.line_num + 1)
    X = np.frombuffer(values).reshape(-1, len(columns))
    if len(X) < FEWEST_ROWS:
        raise InputError(
            f"{path} has {len(X)} rows below its header; training and testing need "
            f"{FEWEST_ROWS} or more"
        )
    is_of_classes = task == "classification" or (task == "auto" and _look_like_classes(targets))
    convert = _classes if is_of_classes else _numbers
    y = convert(targets, (f"{path}, line {line}" for line in lines), target)
    if (y == y[0]).all():
        shown = f"{y[0]:g}" if y.dtype.kind == "f" else repr(y.tolist()[0])
        raise InputError(f"column {target!r} is {shown} in every row: there is nothing to learn")
    return CsvTable([header[i] for i in columns], X, y, header[0] if is_labelled else None)


def _look_like_classes(cells: list[str]) -> bool:
    """Whether a column is of text for the most part, or of few whole numbers."""
    numbers = [_whole_or_other(cell) for cell in cells]
    if sum(number is None for number in numbers) > len(cells) / 2:
        return True
    different = set(numbers)
    most = min(_MOST_CLASSES, len(cells) / _ROWS_OF_A_CLASS)
    return len(different) <= most and all(isinstance(number, int) for number in different)


def _whole_or_other(cell: str) -> int | float | None:
    """Read a whole number as int, another as float, and give None for what is none."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return int(number) if number.is_integer() else number


def _numbers(cells: list[str], places: Iterable[str], column: str) -> NDArray[np.float64]:
    pairs = zip(cells, places, strict=True)
    return np.array([_number(cell, column, place, True) for cell, place in pairs])


def _classes(cells: list[str], places: Iterable[str], column: str) -> NDArray:
    for cell, place in zip(cells, places, strict=True):
        if cell.lower() in _MISSING:
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


def _header(line: str, path: Path) -> tuple[list[str], str]:
    """Names of the columns, and the delimiter: the one that makes most columns of them."""
    if not line.strip():
        raise InputError(f"{path} is empty, or its first line is: it must name the columns")
    headers = [(next(csv.reader([line], delimiter=mark)), mark) for mark in ",;\t"]
    names, delimiter = max(headers, key=lambda header: len(header[0]))
    return [name.strip() for name in names], delimiter


def _wanted_columns(
    header: list[str], path: Path, target: str, dropped: list[str], is_labelled: bool
) -> list[int]:
    """Numbers of the input columns, and of the target as the last."""
    if target in dropped:
        raise InputError(
            f"--drop {shlex.quote(target)}: that is the target, which cannot be left out; drop "
            "other columns, or choose another --target"
        )
    for name in (target, *dropped):
        if header.count(name) == 1:
            continue
        if name in header:
            raise InputError(f"{path} has {header.count(name)} columns named {name!r}; rename them")
        lower = {other.lower(): other for other in header}
        close = [lower[match] for match in get_close_matches(name.lower(), lower, n=1)]
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise InputError(f"{path} has no column {name!r}{hint} Its columns: {listed(header, 50)}")
    inputs = [i for i, name in enumerate(header) if name not in (target, *dropped)]
    if is_labelled:
        inputs = inputs[1:]
    if not inputs:
        labels = "; the first, which has no name, labels the rows" if is_labelled else ""
        raise InputError(
            f"{path} has no column besides {target!r} to predict it from (columns are separated "
            f"by comma, semicolon or tab{labels})"
        )
    return [*inputs, header.index(target)]


def listed(names: list[str], most: int) -> str:
    """Join some names by commas, and say with dots that there are more."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _counted(file: TextIO, advance: Callable[[int], object]) -> Iterator[str]:
    for line in file:
        advance(len(line))
        yield line


def _number(text: str, column: str, place: str, is_target: bool) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if abs(number) <= _LARGEST and "_" not in text:  # Python reads 1_0 as 10, and no other program
        return number
    if text.strip().lower() in _MISSING:
        problem, cure = f"has no value ({text!r})", "fill in or remove such lines"
    elif math.isinf(number):
        problem, cure = f"has the infinite value {text!r}", "remove such lines"
    elif abs(number) > _LARGEST:
        problem = f"has {text!r:.40}, which is too large to compute with (over {_LARGEST:g})"
        cure = "correct it, or give the column in a larger unit"
    else:
        problem, cure = f"has {text!r:.40}, which is not a number", "encode it as numbers"
        if not math.isnan(number):
            cure = "write it without underscores"
        elif "," in text:
            cure = "decimals are written with a point"
    other = "" if is_target else f", or leave the column out with --drop {shlex.quote(column)}"
    raise InputError(f"{place}: column {column!r} {problem}; {cure}{other}")
