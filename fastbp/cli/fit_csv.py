"""``python -m fastbp fit``: from a CSV file to a tested, saved model.

What can be wrong with a file is found here, before the training, and said in the file's own terms:
line, column, text.
"""

import csv
import math
import os
import shlex
import time
import warnings
from argparse import Namespace
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp.cli.terminal import progress
from fastbp.estimators.regressor import BackpropRegressor
from fastbp.solvers.monitor import watching

__all__ = ["InputError", "fit_csv"]

FEWEST_ROWS = 10

_STOPPED = {
    "tolerance": "the loss no longer fell",
    "validation": "the score on validation rows no longer rose",
    "learning_rate": "the loss no longer fell, at the smallest learning rate",
    "gradient_norm": "the gradient is as good as 0",
    "max_iter": "--max-iter was reached",
    "max_fun": "as many evaluations as a fit may make were used up",
    "line_search": "no lower loss was found along the last direction",
    "step_size": "steps became too short to change the weights",
    "diverged": "the loss was no longer finite; these are the last good weights",
}

_MISSING = ("", "na", "nan", "n/a", "null")


class InputError(ValueError):
    """What a user gave cannot be used; the message says what, where, and what to do."""


class CsvTable(NamedTuple):
    """A table of finite numbers with a target."""

    inputs: list[str]
    X: NDArray[np.float64]
    y: NDArray[np.float64]


def fit_csv(options: Namespace) -> None:
    """Read a CSV file, fit a network, report its error on held-out rows, save the model.

    Parameters
    ----------
    options : Namespace
        The command line's ``file``, ``target``, ``drop``, ``save``, ``test_fraction`` and ``seed``,
        and the network's ``hidden``, ``activation``, ``solver``, ``alpha``, ``max_iter`` and
        ``batch_size``.

    Raises
    ------
    InputError
        If the file or an option cannot be used, or the training diverges.
    """
    if options.save is not None:
        _check_can_save(options.save, options.file)
    table = read_csv(options.file, options.target, options.drop)
    X, X_test, y, y_test = _split(table, options.test_fraction, options.seed)
    names = _listed(table.inputs, 12)
    print(f"{options.file}: {len(table.y)} rows, {len(table.inputs)} inputs ({names})")
    print(f"Training on {len(y)} rows, testing on {len(y_test)}", flush=True)

    model = _new_model(options, len(y))
    start = time.perf_counter()
    with _errors_of_training(), _epochs_shown(options.max_iter):
        model.fit(X, y)
    seconds = time.perf_counter() - start
    net = model.regressor_[-1]
    stopped = _STOPPED.get(net.stop_reason_, net.stop_reason_)
    print(f"Stopped after {net.n_iter_} iterations: {stopped} ({seconds:.2f} s with compiling)")

    with _errors_of_training():
        prediction = model.predict(X_test)
        r2, error = r2_score(y_test, prediction), root_mean_squared_error(y_test, prediction)
    of_mean = root_mean_squared_error(y_test, np.full_like(y_test, y.mean()))
    print(f"Held-out R^2   {r2:.4f}")
    print(f"Held-out RMSE  {error:.4g} in units of {options.target!r} (of the mean {of_mean:.4g})")
    if options.save is not None:
        _save(model, options.save)
        print(
            f"Saved: joblib.load({str(options.save)!r}).predict(X), the inputs in the file's order"
        )


def read_csv(path: Path, target: str, dropped: list[str]) -> CsvTable:
    """Read a table of numbers from a CSV file with a header.

    Parameters
    ----------
    path : Path
        The file: UTF-8, columns separated by commas, semicolons or tabs.
    target : str
        Name of the column to predict.
    dropped : list of str
        Names of columns to leave out; these may hold anything.

    Returns
    -------
    table : CsvTable
        The other columns and the target.

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
            return _read(file, advance, path, target, dropped)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file in UTF-8; save it as CSV UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV file: {error}") from error


def _read(
    file: TextIO, advance: Callable[[int], object], path: Path, target: str, dropped: list[str]
) -> CsvTable:
    header, delimiter = _header(file.readline(), path)
    columns = _wanted_columns(header, path, target, dropped)
    rows = csv.reader(_counted(file, advance), delimiter=delimiter)
    values = array("d")
    for cells in rows:
        if not cells:
            continue  # an empty line
        place = f"{path}, line {rows.line_num + 1}"
        if len(cells) != len(header):
            raise InputError(f"{place} has {len(cells)} cells where the header has {len(header)}")
        values.extend(_number(cells[i], header[i], place, i == columns[-1]) for i in columns)
    numbers = np.frombuffer(values).reshape(-1, len(columns))
    if len(numbers) < FEWEST_ROWS:
        raise InputError(
            f"{path} has {len(numbers)} rows below its header; training and testing need "
            f"{FEWEST_ROWS} or more"
        )
    X, y = numbers[:, :-1], numbers[:, -1]
    if y.min() == y.max():
        raise InputError(f"column {target!r} is {y[0]:g} in every row: there is nothing to learn")
    return CsvTable([header[i] for i in columns[:-1]], X, y)


def _header(line: str, path: Path) -> tuple[list[str], str]:
    """Names of the columns, and the delimiter: the one that makes most columns of them."""
    if not line.strip():
        raise InputError(f"{path} is empty, or its first line is: it must name the columns")
    headers = [(next(csv.reader([line], delimiter=mark)), mark) for mark in ",;\t"]
    names, delimiter = max(headers, key=lambda header: len(header[0]))
    return [name.strip() for name in names], delimiter


def _wanted_columns(header: list[str], path: Path, target: str, dropped: list[str]) -> list[int]:
    """Numbers of the input columns, and of the target as the last."""
    for name in (target, *dropped):
        if header.count(name) == 1:
            continue
        if name in header:
            raise InputError(f"{path} has {header.count(name)} columns named {name!r}; rename them")
        lower = {other.lower(): other for other in header}
        close = [lower[match] for match in get_close_matches(name.lower(), lower, n=1)]
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise InputError(f"{path} has no column {name!r}{hint} Its columns: {_listed(header, 50)}")
    inputs = [i for i, name in enumerate(header) if name not in (target, *dropped)]
    if not inputs:
        raise InputError(
            f"{path} has no column besides {target!r} to predict it from (columns are separated "
            "by comma, semicolon or tab)"
        )
    return [*inputs, header.index(target)]


def _listed(names: list[str], most: int) -> str:
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
    if math.isfinite(number):
        return number
    if text.strip().lower() in _MISSING:
        problem, cure = f"has no value ({text!r})", "fill in or remove such lines"
    elif math.isinf(number):
        problem, cure = f"has the infinite value {text!r}", "remove such lines"
    else:
        problem, cure = f"has {text!r:.40}, which is not a number", "encode it as numbers"
        if "," in text:
            cure = "decimals are written with a point"
    other = "" if is_target else f", or leave the column out with --drop {shlex.quote(column)}"
    raise InputError(f"{place}: column {column!r} {problem}; {cure}{other}")


def _split(table: CsvTable, test_fraction: float, seed: int) -> list[NDArray[np.float64]]:
    n_test = math.ceil(test_fraction * len(table.y))
    n_train = len(table.y) - n_test
    if n_test < 2 or n_train < FEWEST_ROWS // 2:
        raise InputError(
            f"--test-fraction {test_fraction:g} leaves {n_train} rows for training and {n_test} "
            f"for testing; {FEWEST_ROWS // 2} and 2 are the fewest"
        )
    return train_test_split(table.X, table.y, test_size=n_test, random_state=seed)


def _new_model(options: Namespace, n_rows: int) -> TransformedTargetRegressor:
    batch_size = options.batch_size
    if isinstance(batch_size, int):
        batch_size = min(batch_size, n_rows)
    net = BackpropRegressor(
        hidden_layer_sizes=tuple(options.hidden),
        activation=options.activation,
        solver=options.solver,
        alpha=options.alpha,
        batch_size=batch_size,
        learning_rate_init=0.005,
        max_iter=options.max_iter,
        # Stops before a small table is learnt by heart; lbfgs takes no notice of it, and Bayesian
        # regularisation needs no rows for that.
        early_stopping=options.alpha != "bayes",
        validation_fraction=max(0.1, 2 / n_rows),
        n_iter_no_change=20,
        random_state=options.seed,
        device=options.device,
    )
    scaled = make_pipeline(StandardScaler(), net)
    return TransformedTargetRegressor(scaled, transformer=StandardScaler())


@contextmanager
def _errors_of_training() -> Iterator[None]:
    """Say in one line what the estimator raises; what it warns of is in the report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            yield
        except ValueError as error:
            raise InputError(str(error)) from error


@contextmanager
def _epochs_shown(max_iter: int) -> Iterator[None]:
    """Show a progress line while a model is fitted, where there is a terminal for it."""
    with progress("training", max_iter) as advance, watching(lambda history: advance(1)):
        yield


def _check_can_save(path: Path, data: Path) -> None:
    """Find out before the training, and leave no file behind."""
    if path.exists() and data.exists() and path.samefile(data):
        raise InputError(f"--save {path} would overwrite the data")
    is_new = not path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise InputError(f"cannot save to {path}: {error.strerror or error}") from error
    if is_new:
        path.unlink()


def _save(model: Any, path: Path) -> None:
    """Write beside the file and put it in its place: an older model is lost by no failure."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        try:
            joblib.dump(model, beside)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot save to {path}: {error.strerror or error}") from error
