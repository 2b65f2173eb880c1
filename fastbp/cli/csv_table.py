"""A CSV file as a table to train on, or to predict from.

What can be wrong with a file is found here, before the training, and said in the file's own terms:
line, column, text.
"""

import re
import shlex
from array import array
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import NamedTuple

from numpy.typing import NDArray

from fastbp.cli.cells import looks_like_text, outside, targets_of
from fastbp.cli.csv_file import CsvFile, listed, open_csv
from fastbp.cli.inputs import InputColumns, Inputs
from fastbp.cli.terminal import InputError
from fastbp.model.losses import LOSSES

__all__ = ["FEWEST_ROWS", "TASKS", "CsvTable", "read_csv", "read_inputs"]

FEWEST_ROWS = 10

#: What a target is: numbers, labels, or what it looks like.
TASKS = ("auto", "regression", "classification")

#: By so many rows it is decided which columns are of text.
_ROWS_LOOKED_AT = 1000

#: A column of more different texts is one of names, not of labels.
_MOST_TEXTS = 200

#: Headers of the row numbers or names that pandas and R write before the first column. A file that
#: was written and read twice has "Unnamed: 0" as the second, or "Unnamed: 0.1".
_NO_NAME = re.compile(r"|Unnamed: 0(\.\d+)*")


class CsvTable(NamedTuple):
    """Inputs and a target; `labels` are the headers of columns of row labels, left out."""

    inputs: Inputs
    y: NDArray
    labels: list[str]

    @property
    def is_of_classes(self) -> bool:
        """Whether the target is one of some labels, and not a number."""
        return self.y.dtype.kind != "f"


def read_csv(
    path: Path, target: str, dropped: list[str], task: str = "auto", loss: str | None = None
) -> CsvTable:
    """Read a table to train on.

    Parameters
    ----------
    path : Path
        The file, as `open_csv` takes it.
    target : str
        Name of the column to predict.
    dropped : list of str
        Names of columns to leave out; these may hold anything.
    task : {"auto", "regression", "classification"}, default="auto"
        Whether the target is a number or a label. "auto" takes text, and few whole numbers, for
        labels.
    loss : str, default=None
        Name of the loss that numeric targets are for; None takes all.

    Returns
    -------
    table : CsvTable
        The other columns and the target, without first columns that have no name.

    Raises
    ------
    InputError
        If the file cannot be read, or is not such a table.
    """
    with open_csv(path) as file:
        labels = list(takewhile(_NO_NAME.fullmatch, file.header))
        labels = [name for name in labels if name not in (target, *dropped)]
        names = _inputs_of_fit(file, target, dropped, labels)
        inputs, lines, targets = _read(file, names, target)
    if len(lines) < FEWEST_ROWS:
        raise InputError(
            f"{file.name} has {len(lines)} rows below its header; training and testing need "
            f"{FEWEST_ROWS} or more"
        )
    _check(inputs)
    table = CsvTable(inputs, targets_of(targets, map(file.place, lines), target, task), labels)
    if loss is not None and not table.is_of_classes:
        row = outside(LOSSES[loss], table.y)
        if row is not None:
            raise InputError(
                f"{file.place(lines[row])}: column {target!r} has {table.y[row]:g}, which --loss "
                f"{loss} does not take; take another, or remove such lines"
            )
    return table


def read_inputs(
    path: Path, names: list[str], texts: set[str] | None, takes_missing: bool
) -> tuple[Inputs, list[str]]:
    """Read columns to predict from, whatever their order in the file.

    Parameters
    ----------
    path : Path
        The file, as `open_csv` takes it.
    names : list of str
        The columns, in the order wanted.
    texts : set of str or None
        Those of text; None goes by their look.
    takes_missing : bool
        Whether values may be missing.

    Returns
    -------
    inputs : Inputs
        The columns.
    others : list of str
        The names of the file's other columns.

    Raises
    ------
    InputError
        If the file cannot be read, has no such columns, or a cell that is no number.
    """
    with open_csv(path) as file:
        missing = [name for name in names if name not in file.header]
        if missing:
            raise InputError(
                f"{file.name} lacks columns that the model was trained on: {listed(missing, 50)}. "
                f"Its columns: {listed(file.header, 50)}"
            )
        numbers = [file.number_of(name) for name in names]
        first = list(islice(file.rows, _ROWS_LOOKED_AT))
        if texts is None:
            texts = _texts_among(first, names, numbers)
        columns = InputColumns(names, texts, takes_missing, can_drop=False)
        for line, row in chain(first, file.rows):
            columns.add([row[i] for i in numbers], file.place(line))
    return columns.inputs(), [name for name in file.header if name not in names]


def _read(file: CsvFile, names: list[str], target: str) -> tuple[Inputs, array, list[str]]:
    """Give inputs, the number of each row's line, and the target's cells."""
    numbers, last = [file.number_of(name) for name in names], file.number_of(target)
    first = list(islice(file.rows, _ROWS_LOOKED_AT))
    texts = _texts_among(first, names, numbers)
    columns = InputColumns(names, texts, takes_missing=True, can_drop=True)
    lines, targets = array("q"), []
    for line, row in chain(first, file.rows):
        columns.add([row[i] for i in numbers], file.place(line))
        lines.append(line)
        targets.append(row[last].strip())
    return columns.inputs(), lines, targets


def _texts_among(rows: list, names: list[str], numbers: list[int]) -> set[str]:
    return {
        name
        for name, i in zip(names, numbers, strict=True)
        if looks_like_text(row[i] for _, row in rows)
    }


def _inputs_of_fit(file: CsvFile, target: str, dropped: list[str], labels: list[str]) -> list[str]:
    if target in dropped:
        raise InputError(
            f"--drop {shlex.quote(target)}: that is the target, which cannot be left out; drop "
            "other columns, or choose another --target"
        )
    for name in (target, *dropped):
        file.number_of(name)
    inputs = [name for name in file.header if name not in (target, *dropped, *labels)]
    if not inputs:
        first = "; the first, which has no name, labels the rows" if labels else ""
        raise InputError(
            f"{file.name} has no column besides {target!r} to predict it from (columns are "
            f"separated by comma, semicolon or tab{first})"
        )
    return inputs


def _check(inputs: Inputs) -> None:
    """Refuse columns without any value, and names of rows, which tell nothing of other rows."""
    n_rows = len(inputs.X)
    for name, n_missing in inputs.n_missing.items():
        if n_missing == n_rows:
            raise InputError(
                f"column {name!r} has no value in any row; leave it out with --drop "
                f"{shlex.quote(name)}"
            )
    for name in inputs.texts:
        n_texts = len(set(inputs.X[:, inputs.names.index(name)]))
        if n_texts > min(_MOST_TEXTS, n_rows / 2):
            raise InputError(
                f"column {name!r} has {n_texts} different texts in {n_rows} rows, too many to "
                f"tell something of other rows; leave it out with --drop {shlex.quote(name)}"
            )
