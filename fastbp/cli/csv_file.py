"""A CSV file as a header and rows of cells: opened, unpacked, its delimiter found."""

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fastbp.cli.terminal import InputError, progress

__all__ = ["STANDARD", "CsvFile", "listed", "open_csv"]

#: What stands for standard input or output in the place of a file.
STANDARD = Path("-")

_LINES_BETWEEN_LOOKS = 1000


class CsvFile(NamedTuple):
    """An open file: what it is called, the names of its columns, and the rows below them."""

    name: str
    header: list[str]
    rows: Iterator[tuple[int, list[str]]]

    def place(self, line: int) -> str:
        """Say where a line is."""
        return f"{self.name}, line {line}"

    def number_of(self, column: str) -> int:
        """Find a column by its name; InputError if there is none, or more than one."""
        if self.header.count(column) == 1:
            return self.header.index(column)
        if column in self.header:
            raise InputError(
                f"{self.name} has {self.header.count(column)} columns named {column!r}; rename them"
            )
        lower = {other.lower(): other for other in self.header}
        close = [lower[match] for match in get_close_matches(column.lower(), lower, n=1)]
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise InputError(
            f"{self.name} has no column {column!r}{hint} Its columns: {listed(self.header, 50)}"
        )


@contextmanager
def open_csv(path: Path) -> Iterator[CsvFile]:
    """Open a CSV file, and say in one line what is wrong with it while it is read.

    Parameters
    ----------
    path : Path
        The file: UTF-8, columns separated by commas, semicolons or tabs, the first line their
        names. One that ends in ``.gz`` is unpacked; ``-`` is standard input.

    Yields
    ------
    file : CsvFile
        The header, and the rows as they are read, each with its line's number.

    Raises
    ------
    InputError
        If it cannot be read, or is no such file.
    """
    name = "standard input" if path == STANDARD else str(path)
    try:
        with ExitStack() as stack:
            binary, advance = _opened(path, stack)
            unpacked = gzip.open(binary) if path.suffix.lower() == ".gz" else binary
            text = io.TextIOWrapper(unpacked, encoding="utf-8-sig", newline="")
            stack.callback(text.detach)  # standard input stays open
            header, delimiter = _header(text.readline(), name)
            rows = _reader(_counted(text, binary, advance), delimiter)
            yield CsvFile(name, header, _whole_rows(rows, len(header), name))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {name}: {getattr(error, 'strerror', 0) or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not a text file in UTF-8; save it as CSV UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{name} is not a CSV file: {error}") from error


def listed(names: list[str], most: int) -> str:
    """Join some names by commas, and say with dots that there are more."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _opened(path: Path, stack: ExitStack) -> tuple[BinaryIO, Callable[[int], object] | None]:
    if path == STANDARD:
        if sys.stdin is None:
            raise InputError("cannot read standard input: it is closed")
        return sys.stdin.buffer, None
    binary = stack.enter_context(path.open("rb"))
    return binary, stack.enter_context(progress("reading", path.stat().st_size))


def _header(line: str, name: str) -> tuple[list[str], str]:
    """Names of the columns, and the delimiter: the one that makes most columns of them."""
    if not line.strip():
        raise InputError(f"{name} is empty, or its first line is: it must name the columns")
    headers = [(next(_reader([line], mark)), mark) for mark in ",;\t"]
    names, delimiter = max(headers, key=lambda header: len(header[0]))
    return [column.strip() for column in names], delimiter


def _reader(lines: Iterable[str], delimiter: str) -> Any:
    # A quote after a comma and a space begins a quoted cell, too.
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True)


def _counted(
    text: io.TextIOWrapper, binary: BinaryIO, advance: Callable[[int], object] | None
) -> Iterator[str]:
    """Give the lines, and tell a progress bar now and then how far the file has been read."""
    seen = 0
    for number, line in enumerate(text):
        if advance is not None and number % _LINES_BETWEEN_LOOKS == 0:
            now = binary.tell()
            advance(now - seen)
            seen = now
        yield line


def _whole_rows(rows: Any, n_columns: int, name: str) -> Iterator[tuple[int, list[str]]]:
    line = 1
    for cells in rows:
        first, line = line + 1, rows.line_num + 1
        if not cells:
            continue  # an empty line
        if len(cells) != n_columns:
            lines = f"line {line}" if line == first else f"the row of lines {first} to {line}"
            quote = "" if line == first else "; is there a quote that does not end?"
            raise InputError(
                f"{name}, {lines} has {len(cells)} cells where the header has {n_columns}{quote}"
            )
        yield line, cells
