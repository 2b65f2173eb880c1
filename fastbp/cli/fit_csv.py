"""``python -m fastbp fit``: from a CSV file to a tested, saved model."""

import math
import os
import time
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp.backends.device import has_gpu, why_no_gpu
from fastbp.cli.csv_table import FEWEST_ROWS, CsvTable, InputError, listed, read_csv
from fastbp.cli.terminal import progress
from fastbp.estimators.classifier import BackpropClassifier
from fastbp.estimators.regressor import BackpropRegressor
from fastbp.solvers.monitor import watching
from fastbp.solvers.registry import names_where

__all__ = ["fit_csv"]

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


def fit_csv(options: Namespace) -> None:
    """Read a CSV file, fit a network, report its error on held-out rows, save the model.

    Parameters
    ----------
    options : Namespace
        The command line's ``file``, ``target``, ``task``, ``drop``, ``save``, ``test_fraction`` and
        ``seed``,
        and the network's ``hidden``, ``activation``, ``solver``, ``alpha``, ``max_iter``,
        ``batch_size`` and ``device``.

    Raises
    ------
    InputError
        If the file or an option cannot be used, or the training diverges.
    """
    if options.device == "cuda" and not has_gpu():
        raise InputError(
            f"--device cuda needs a GPU, but {why_no_gpu()}; --device auto takes the CPU then"
        )
    if options.save is not None:
        _check_can_save(options.save, options.file)
    table = read_csv(options.file, options.target, options.drop, options.task)
    report = _report_classes if table.is_of_classes else _report_numbers
    X, X_test, y, y_test = _split(table, options.test_fraction, options.seed)
    X, X_test = (_with_names(part, table.inputs) for part in (X, X_test))
    names = listed(table.inputs, 12)
    print(f"{options.file}: {len(table.y)} rows, {len(table.inputs)} inputs ({names})")
    if table.labels is not None:
        print(
            f"Left out the first column, whose header is {table.labels!r}: pandas and R label rows "
            "so. Give it a name to train on it"
        )
    if table.is_of_classes:
        classes = np.unique(table.y)
        print(
            f"{options.target!r} is taken for {len(classes)} classes "
            f"({listed(list(map(str, classes)), 6)}); --task regression would take numbers"
        )
    print(f"Training on {len(y)} rows, testing on {len(y_test)}", flush=True)

    model = (_new_classifier if table.is_of_classes else _new_regressor)(options, len(y))
    start = time.perf_counter()
    with _errors_of_training(), _epochs_shown(options.max_iter):
        model.fit(X, y)
    seconds = time.perf_counter() - start
    net = model[-1] if table.is_of_classes else model.regressor_[-1]
    stopped = _STOPPED.get(net.stop_reason_, net.stop_reason_)
    print(f"Stopped after {net.n_iter_} iterations: {stopped} ({seconds:.2f} s with compiling)")

    with _errors_of_training():
        report(model, X_test, y_test, y, options.target)
    if options.save is not None:
        _save(model, options.save)
        given = (
            "a DataFrame with the file's names of columns"
            if hasattr(model, "feature_names_in_")
            else "the inputs in the file's order: pandas is not installed, so the model keeps no "
            "names of columns and cannot tell another order"
        )
        print(f"Saved: joblib.load({str(options.save)!r}).predict(X), where X is {given}")


_NO_BETTER = (
    "the inputs may not tell the target, or the training did not suit them. More rows, or another "
    "--alpha, --solver or --hidden may help"
)


def _report_numbers(model: Any, X_test: Any, y_test: NDArray, y: NDArray, target: str) -> None:
    prediction = model.predict(X_test)
    r2, error = r2_score(y_test, prediction), root_mean_squared_error(y_test, prediction)
    of_mean = root_mean_squared_error(y_test, np.full_like(y_test, y.mean()))
    print(f"Held-out R^2   {r2:.4f}")
    print(f"Held-out RMSE  {error:.4g} in units of {target!r} (of the mean {of_mean:.4g})")
    if r2 <= 0:
        print(f"That is no better than always saying the mean: {_NO_BETTER}")


def _report_classes(model: Any, X_test: Any, y_test: NDArray, y: NDArray, target: str) -> None:
    accuracy = np.mean(model.predict(X_test) == y_test)
    classes, counts = np.unique(y, return_counts=True)
    of_most_frequent = np.mean(y_test == classes[counts.argmax()])
    p = model.predict_log_proba(X_test)[np.arange(len(y_test)), np.searchsorted(classes, y_test)]
    print(f"Held-out accuracy  {accuracy:.4f} (of the most frequent class {of_most_frequent:.4f})")
    print(f"Held-out log loss  {-p.mean():.4f}")
    if accuracy <= of_most_frequent:
        print(f"That is no better than always saying the most frequent class: {_NO_BETTER}")


def _split(table: CsvTable, test_fraction: float, seed: int) -> list[NDArray[np.float64]]:
    n_test = math.ceil(test_fraction * len(table.y))
    n_train = len(table.y) - n_test
    if n_test < 2 or n_train < FEWEST_ROWS // 2:
        raise InputError(
            f"--test-fraction {test_fraction:g} leaves {n_train} rows for training and {n_test} "
            f"for testing; {FEWEST_ROWS // 2} and 2 are the fewest"
        )
    if not table.is_of_classes:
        return train_test_split(table.X, table.y, test_size=n_test, random_state=seed)
    classes, counts = np.unique(table.y, return_counts=True)
    if counts.min() < 2 or len(classes) > min(n_test, n_train):
        raise InputError(
            f"{classes[counts.argmin()]!s} is the label of {counts.min()} of {len(table.y)} rows, "
            f"and {n_test} are to test {len(classes)} classes: give each more rows, or leave rare "
            "ones out"
        )
    return train_test_split(table.X, table.y, test_size=n_test, random_state=seed, stratify=table.y)


def _with_names(X: NDArray[np.float64], names: list[str]) -> Any:
    """Give columns their names where pandas can: scikit-learn keeps them and checks their order."""
    try:
        from pandas import DataFrame
    except ImportError:
        return X
    return DataFrame(X, columns=names)


def _new_regressor(options: Namespace, n_rows: int) -> TransformedTargetRegressor:
    net = BackpropRegressor(**_parameters(options, n_rows))
    scaled = make_pipeline(StandardScaler(), net)
    return TransformedTargetRegressor(scaled, transformer=StandardScaler())


def _new_classifier(options: Namespace, n_rows: int) -> Pipeline:
    if options.alpha == "bayes":
        raise InputError("--alpha bayes is for numeric targets; give it a number")
    solvers = names_where(lambda each: not each.needs_half_square)
    if options.solver not in solvers:
        raise InputError(
            f"--solver {options.solver} is for numeric targets; labels are learnt by "
            f"{listed(solvers, 20)}"
        )
    return make_pipeline(StandardScaler(), BackpropClassifier(**_parameters(options, n_rows)))


def _parameters(options: Namespace, n_rows: int) -> dict[str, Any]:
    batch_size = options.batch_size
    if isinstance(batch_size, int):
        batch_size = min(batch_size, n_rows)
    return dict(
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
