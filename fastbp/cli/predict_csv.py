"""``python -m fastbp predict``: a saved model's predictions for a CSV file, as another."""

import csv
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from fastbp.cli.csv_file import STANDARD, listed
from fastbp.cli.csv_table import read_inputs
from fastbp.cli.inputs import Inputs
from fastbp.cli.model_files import check_can_write, is_own, load_model, write_file
from fastbp.cli.terminal import InputError, counted, errors_in_a_line, say
from fastbp.estimators.table_encoder import TableEncoder

__all__ = ["predict_csv", "with_names"]


def predict_csv(options: Namespace) -> None:
    """Predict each row of a CSV file, and write a CSV file of as many rows.

    Parameters
    ----------
    options : Namespace
        The command line's ``model``, ``file``, ``output`` and ``proba``.

    Raises
    ------
    InputError
        If a file cannot be read or written, or is not what the model needs.
    """
    check_can_write(options.output, options.model, options.file)
    model = load_model(options.model)
    if options.proba and not hasattr(model, "predict_proba"):
        raise InputError(f"--proba is for classes, and {options.model} predicts numbers")
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        raise InputError(
            f"{options.model} keeps no names of columns, so that none can be found in a table; fit "
            "it on a DataFrame, or by the command fit"
        )
    encoder, texts = _encoder_of(model), None
    if encoder is not None or is_own(options.model):
        texts = set(_categories(encoder))
    takes_missing = texts is None or encoder is not None
    inputs, others = read_inputs(options.file, list(names), texts, takes_missing)
    if not len(inputs.X):
        raise InputError(f"{options.file} has no rows below its header")
    if others:
        say(f"ignored columns that the model does not know: {listed(list(map(repr, others)), 12)}")
    if encoder is not None:
        _tell_filled(inputs, _categories(encoder))
    with errors_in_a_line():
        columns = _predict(model, with_names(inputs), options.proba)
    if options.output == STANDARD:
        _write(columns, sys.stdout)
        return

    def write(path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            _write(columns, file)

    write_file(options.output, write)


def with_names(inputs: Inputs) -> Any:
    """Give columns their names where pandas can: transformers may choose them by name."""
    try:
        from pandas import DataFrame
    except ImportError:
        return inputs.X
    return DataFrame(inputs.X, columns=inputs.names)


def _encoder_of(model: Any) -> TableEncoder | None:
    first = model[0] if isinstance(model, Pipeline) else None
    return first if isinstance(first, TableEncoder) else None


def _categories(encoder: TableEncoder | None) -> dict[str, NDArray]:
    """Give the labels of columns of text."""
    if encoder is None:
        return {}
    pairs = zip(encoder.feature_names_in_, encoder.categories_, strict=True)
    return {name: categories for name, categories in pairs if len(categories)}


def _tell_filled(inputs: Inputs, categories: dict[str, NDArray]) -> None:
    """Say which values are replaced, as a prediction from them is less sure."""
    filled = {name: n for name, n in inputs.n_missing.items() if name not in categories}
    if filled:
        say(f"missing values, replaced by the column's mean in the training: {counted(filled)}")
    unknown = {}
    for name, known in categories.items():
        cells = inputs.X[:, inputs.names.index(name)].astype(str)
        n = int((~np.isin(cells, known)).sum())
        if n:
            unknown[name] = n
    if unknown:
        say(
            f"texts that the training had none of, taken for none of its labels: {counted(unknown)}"
        )


def _predict(model: Any, X: Any, proba: bool) -> dict[str, NDArray]:
    """Give the columns of the result, by their headers."""
    prediction = np.asarray(model.predict_proba(X) if proba else model.predict(X))
    if prediction.ndim == 1:
        return {"prediction": prediction}
    if hasattr(model, "classes_"):
        names = list(map(str, model.classes_))
    else:
        names = [f"prediction_{i}" for i in range(prediction.shape[1])]
    return dict(zip(names, prediction.T, strict=True))


def _write(columns: dict[str, NDArray], file: TextIO) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    cells = [list(map(str, column)) for column in columns.values()]  # the shortest, of its dtype
    writer.writerows(zip(*cells, strict=True))
