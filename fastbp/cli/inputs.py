"""Columns to predict from, collected row by row."""

import math
import shlex
from array import array
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.cli.cells import finite, is_missing, number

__all__ = ["InputColumns", "Inputs"]


class Inputs(NamedTuple):
    """Columns to predict from.

    `X` is of float64, NaN where a value is missing; with columns of text, which are listed, of
    objects: floats, and str, "" where missing.
    """

    names: list[str]
    X: NDArray
    texts: list[str]

    @property
    def n_missing(self) -> dict[str, int]:
        """How many values are missing, of columns where some are."""
        counts = {}
        for name, column in zip(self.names, self.X.T, strict=True):
            missing = column == "" if name in self.texts else np.isnan(column.astype(np.float64))
            if missing.any():
                counts[name] = int(missing.sum())
        return counts


class InputColumns:
    """Cells of some columns as `Inputs`: numbers in 8 bytes each, however long the file is.

    Parameters
    ----------
    names : list of str
        The columns.
    texts : set of str
        Those of text.
    takes_missing : bool
        Whether a value may be missing.
    can_drop : bool
        Whether a message is to say how a column is left out.
    """

    def __init__(
        self, names: list[str], texts: set[str], takes_missing: bool, can_drop: bool
    ) -> None:
        self._names, self._takes_missing, self._can_drop = names, takes_missing, can_drop
        self._is_text = [name in texts for name in names]
        self._numbers, self._texts = array("d"), list[str]()
        self._known: dict[str, str] = {}

    def add(self, cells: list[str], place: str) -> None:
        """Take a row, of a cell for each column; InputError where a number is to be and is not."""
        for cell, name, is_text in zip(cells, self._names, self._is_text, strict=True):
            if is_text:
                text = "" if is_missing(cell) else cell.strip()
                self._texts.append(self._known.setdefault(text, text))
                continue
            value = finite(cell)
            if math.isnan(value) and not (self._takes_missing and is_missing(cell)):
                value = number(cell, name, place, self._cure(name))  # which says what is wrong
            self._numbers.append(value)

    def inputs(self) -> Inputs:
        """Give what was added."""
        is_text = np.array(self._is_text)
        numbers = np.frombuffer(self._numbers) if self._numbers else np.empty(0)
        if not is_text.any():
            return Inputs(self._names, numbers.reshape(-1, len(is_text)), [])
        texts = np.array(self._texts, object).reshape(-1, is_text.sum())
        X = np.empty((len(texts), len(is_text)), object)
        X[:, is_text] = texts
        if not is_text.all():
            X[:, ~is_text] = numbers.reshape(len(X), (~is_text).sum())
        return Inputs(self._names, X, [self._names[i] for i in np.flatnonzero(is_text)])

    def _cure(self, name: str) -> str:
        if not self._can_drop:
            return ""
        return f", or leave the column out with --drop {shlex.quote(name)}"
