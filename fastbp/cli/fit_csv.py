"""``python -m fastbp fit``: from a CSV file to a tested, saved model."""

import math
import shlex
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp.backends.device import has_gpu, why_no_gpu
from fastbp.cli.csv_file import STANDARD, listed
from fastbp.cli.csv_table import FEWEST_ROWS, CsvTable, read_csv
from fastbp.cli.model_files import check_can_write, save_model
from fastbp.cli.plot_loss import check_can_plot, plot_loss
from fastbp.cli.terminal import InputError, counted, errors_in_a_line, progress
from fastbp.estimators.classifier import BackpropClassifier
from fastbp.estimators.regressor import BackpropRegressor
from fastbp.estimators.table_encoder import TableEncoder
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
        The command line's ``file``, ``target``, ``task``, ``drop``, ``save``, ``plot``,
        ``test_fraction`` and ``seed``, and the network's ``hidden``, ``activation``, ``solver``,
        ``alpha``, ``loss``, ``n_init``, ``max_iter``, ``batch_size`` and ``device``.

    Raises
    ------
    InputError
        If the file or an option cannot be used, or the training diverges.
    """
    if options.device == "cuda" and not has_gpu():
        raise InputError(
            f"--device cuda needs a GPU, but {why_no_gpu()}; --device auto takes the CPU then"
        )
    if options.save == STANDARD:
        raise InputError("--save writes a model to a file, not to standard output; give it a name")
    if options.save is not None:
        check_can_write(options.save, options.file)
    if options.plot is not None:
        check_can_plot(options.plot)
        check_can_write(options.plot, options.file)
    table = read_csv(options.file, options.target, options.drop, options.task, options.loss)
    X, X_test, y, y_test = _split(table, options.test_fraction, options.seed)
    _describe(table, options)
    print(f"Training on {len(y)} rows, testing on {len(y_test)}", flush=True)

    model = _new_model(table, options, len(y))
    start = time.perf_counter()
    with errors_in_a_line(), _epochs_shown(options.n_init * options.max_iter):
        model.fit(X, y)
    # scikit-learn takes names from a DataFrame; pandas need not be there.
    model[0].feature_names_in_ = np.array(table.inputs.names, object)
    seconds = time.perf_counter() - start
    net = model[-1]
    stopped = _STOPPED.get(net.stop_reason_, net.stop_reason_)
    print(f"Stopped after {net.n_iter_} iterations: {stopped} ({seconds:.2f} s with compiling)")

    report = _report_classes if table.is_of_classes else _report_numbers
    with errors_in_a_line():
        report(model, X_test, y_test, y, options.target)
    if options.plot is not None:
        plot_loss(net, options.plot)
        print(f"Drawn: {options.plot}")
    if options.save is not None:
        loading = save_model(model, options.save)
        print(
            f"Saved: python -m fastbp predict {shlex.quote(str(options.save))} new.csv, or "
            f"{loading}.predict(X), where X is a DataFrame with the file's names of columns"
        )


def _describe(table: CsvTable, options: Namespace) -> None:
    """Say what was found in the file, and how it is taken."""
    inputs = table.inputs
    names = listed(inputs.names, 12)
    print(f"{options.file}: {len(table.y)} rows, {len(inputs.names)} inputs ({names})")
    if table.labels:
        labels = listed(list(map(repr, table.labels)), 12)
        print(
            f"Left out the first column, whose header is {labels}: pandas and R label rows so. "
            "Give it a name to train on it"
        )
    if inputs.texts:
        print(f"Text, of which each label becomes a column of 0 and 1: {listed(inputs.texts, 12)}")
    missing = inputs.n_missing
    numbers = {name: n for name, n in missing.items() if name not in inputs.texts}
    if numbers:
        print(f"Missing values, replaced by the column's mean: {counted(numbers)}")
    texts = {name: n for name, n in missing.items() if name in inputs.texts}
    if texts:
        print(f"Missing texts, taken for a label of their own: {counted(texts)}")
    if table.is_of_classes:
        classes = np.unique(table.y)
        print(
            f"{options.target!r} is taken for {len(classes)} classes "
            f"({listed(list(map(str, classes)), 6)}); --task regression would take numbers"
        )


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
        return train_test_split(table.inputs.X, table.y, test_size=n_test, random_state=seed)
    classes, counts = np.unique(table.y, return_counts=True)
    if counts.min() < 2 or len(classes) > min(n_test, n_train):
        raise InputError(
            f"{classes[counts.argmin()]!s} is the label of {counts.min()} of {len(table.y)} rows, "
            f"and {n_test} are to test {len(classes)} classes: give each more rows, or leave rare "
            "ones out"
        )
    return train_test_split(
        table.inputs.X, table.y, test_size=n_test, random_state=seed, stratify=table.y
    )


def _new_model(table: CsvTable, options: Namespace, n_rows: int) -> Pipeline:
    """Make a pipeline of what a file of fastbp's own format holds."""
    new = _new_classifier if table.is_of_classes else _new_regressor
    steps = [StandardScaler(), new(options, n_rows)]
    if table.inputs.texts or table.inputs.n_missing:
        steps = [TableEncoder(), *steps]
    return make_pipeline(*steps)


def _new_regressor(options: Namespace, n_rows: int) -> BackpropRegressor:
    loss = options.loss or "squared_error"
    return BackpropRegressor(loss, scale_target=True, **_parameters(options, n_rows))


def _new_classifier(options: Namespace, n_rows: int) -> BackpropClassifier:
    if options.alpha == "bayes":
        raise InputError("--alpha bayes is for numeric targets; give it a number")
    if options.loss is not None:
        raise InputError(
            f"--loss {options.loss} is for numeric targets, and labels have their own; whole "
            "numbers are trained on as numbers with --task regression"
        )
    solvers = names_where(lambda each: not each.needs_half_square)
    if options.solver not in solvers:
        raise InputError(
            f"--solver {options.solver} is for numeric targets; labels are learnt by "
            f"{listed(solvers, 20)}"
        )
    return BackpropClassifier(**_parameters(options, n_rows))


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
        n_init=options.n_init,
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
def _epochs_shown(max_iter: int) -> Iterator[None]:
    """Show a progress line while a model is fitted, where there is a terminal for it."""
    with progress("training", max_iter) as advance, watching(lambda history: advance(1)):
        yield
