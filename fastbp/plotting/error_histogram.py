"""How the errors of predictions are spread."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from fastbp.plotting.style import COLOURS, axes_or_new, legend_above

__all__ = ["ErrorHistogramDisplay"]

#: So that they can be told apart in grey, too: a filling for a few, the line for more.
_FEW = tuple(zip((COLOURS[0], COLOURS[5], COLOURS[2]), ("", "///", "..."), strict=True))
_LINES = ("-", "--", ":", "-.")


class ErrorHistogramDisplay:
    """A histogram of errors: y - prediction, or what probabilities of classes miss.

    A regressor's error is y - prediction, in the unit of y, with a histogram for each output. A
    classifier's is the probability that the right class lacks, 1 - p, from 0 to 1; of several
    labels a row, or soft labels, ``|y - p|`` for each. The legend has the mean and the standard
    deviation (sd) of three at most. Make one with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    errors : dict of str to array-like of shape (n_samples,)
        The errors by the names that the legend gives them.
    label : str, default="error: y - prediction"
        What the errors are, for the x axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        Their figure.
    counts_ : dict of str to ndarray of shape (n_bins,)
        How many errors are in each bin.
    bins_ : ndarray of shape (n_bins + 1,)
        The edges of the bins, the same for all. Given as ``bins`` to another display, it is
        comparable.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from fastbp import BackpropRegressor, ErrorHistogramDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = BackpropRegressor(scale_target=True, solver="lbfgs", alpha=10, tol=1e-2)
    >>> net = net.fit(X[:300], y[:300])
    >>> rows = {"training": (X[:300], y[:300]), "test": (X[300:], y[300:])}
    >>> display = ErrorHistogramDisplay.from_estimator(net, rows)
    """

    def __init__(
        self, errors: Mapping[str, ArrayLike], label: str = "error: y - prediction"
    ) -> None:
        self.errors, self.label = errors, label

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, ax: Any = None, **options: Any
    ) -> "ErrorHistogramDisplay":
        """Draw the errors of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Any fitted regressor, or classifier with `predict_proba`.
        X : array-like of shape (n_samples, n_features), or dict of str to (X, y)
            The inputs; or several sets of rows by name, {"training": (X, y), "test": (X, y)}.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            The targets.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **options : dict
            Passed to `plot`.

        Returns
        -------
        display : ErrorHistogramDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If y is missing, or holds labels that the classifier does not know.
        ImportError
            If matplotlib is not installed.
        """
        check_is_fitted(estimator)
        sets = X if isinstance(X, Mapping) else {"": (X, y)}
        if not sets or any(len(rows) != 2 or rows[1] is None for rows in sets.values()):
            raise ValueError(
                "Errors need the targets: give X and y, or X={'test': (X, y), ...} for several "
                "sets of rows."
            )
        errors: dict[str, NDArray[np.float64]] = {}
        for name, (inputs, targets) in sets.items():
            if is_classifier(estimator):
                p = np.asarray(estimator.predict_proba(inputs), dtype=float)
                errors[name] = _lacking(np.asarray(targets), p, estimator.classes_)
            else:
                errors |= _by_output(targets, estimator.predict(inputs), name)
        label = "1 - probability of the right class"
        if not is_classifier(estimator):
            return cls(errors).plot(ax, **options)
        is_one_label = all(np.ndim(targets) == 1 for _, targets in sets.values())
        return cls(errors, label if is_one_label else "|y - probability|").plot(ax, **options)

    @classmethod
    def from_predictions(
        cls, y_true: ArrayLike, y_pred: ArrayLike, *, name: str = "", ax: Any = None, **options: Any
    ) -> "ErrorHistogramDisplay":
        """Draw the errors of given predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        y_pred : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The predictions.
        name : str, default=""
            What the legend calls them.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **options : dict
            Passed to `plot`.

        Returns
        -------
        display : ErrorHistogramDisplay
            The display, drawn.
        """
        return cls(_by_output(y_true, y_pred, name)).plot(ax, **options)

    def plot(self, ax: Any = None, *, bins: Any = 20) -> "ErrorHistogramDisplay":
        """Draw the histogram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        bins : int, str or array-like, default=20
            How many bins, a rule or the edges, in the meaning of `numpy.histogram_bin_edges`.

        Returns
        -------
        self : ErrorHistogramDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If ax is no Axes.
        ValueError
            If there is no finite error.
        ImportError
            If matplotlib is not installed.
        """
        finite = {}
        for name, errors in self.errors.items():
            values = np.ravel(np.asarray(errors, dtype=float))
            finite[name] = values[np.isfinite(values)]
        if not sum(len(values) for values in finite.values()):
            raise ValueError("There is no finite error to draw. Look at the predictions.")
        ax = axes_or_new(self, ax)
        self.ax_, self.figure_ = ax, ax.figure
        self.bins_ = np.histogram_bin_edges(np.concatenate(list(finite.values())), bins)
        self.counts_: dict[str, NDArray[np.intp]] = {}
        for i, (name, values) in enumerate(finite.items()):
            style = _style(i, name, values, len(finite) <= len(_FEW))
            counts, _, _ = ax.hist(values, self.bins_, linewidth=1.5, **style)
            self.counts_[name] = counts.astype(int)
        ax.axvline(0.0, color="black", linewidth=1.2, linestyle="--")
        ax.set(xlabel=self.label, ylabel="count")
        legend_above(ax, ncols=1 if len(finite) <= len(_FEW) else 2)
        return self


def _style(number: int, name: str, values: NDArray[np.float64], is_of_few: bool) -> dict[str, Any]:
    """Fill a histogram that is one of few; of more, draw the outline and leave out the summary."""
    if not is_of_few:
        line = _LINES[number % len(_LINES)]
        colour = COLOURS[number % len(COLOURS)]
        return {"histtype": "step", "edgecolor": colour, "linestyle": line, "label": name}
    colour, hatch = _FEW[number]
    return {
        "histtype": "stepfilled",
        "edgecolor": colour,
        "facecolor": (colour, 0.0 if number else 0.25),
        "hatch": hatch,
        "label": _summary(name, values),
    }


def _summary(name: str, values: NDArray[np.float64]) -> str:
    if not len(values):
        return name
    mean_and_spread = f"mean {values.mean():.2g}, sd {values.std():.2g}"
    return f"{name}: {mean_and_spread}" if name else mean_and_spread


def _by_output(y: Any, prediction: Any, name: str) -> dict[str, NDArray[np.float64]]:
    """Give the errors of each output; several predictions may be of one target."""
    y, prediction = np.asarray(y, dtype=float), np.asarray(prediction, dtype=float)
    if y.ndim == 1 and prediction.ndim == 2:
        y = y[:, np.newaxis]
    if len(y) != len(prediction) or y.ndim != prediction.ndim:
        raise ValueError(
            f"y has shape {y.shape}, and the predictions have {prediction.shape}. Give a target "
            "for each prediction."
        )
    errors = y - prediction
    if errors.ndim == 1 or errors.shape[1] == 1:
        return {name: errors.ravel()}
    prefix = f"{name}, " if name else ""
    return {f"{prefix}output {i}": errors[:, i] for i in range(errors.shape[1])}


def _lacking(y: NDArray, p: NDArray[np.float64], classes: NDArray) -> NDArray[np.float64]:
    """Give what probabilities lack: 1 - that of the right class; |y - p| where y has columns."""
    if y.ndim == 2:
        return np.abs(y - p).ravel()
    number = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    unknown = classes[number] != y
    if unknown.any():
        raise ValueError(
            f"y holds {y[unknown].tolist()[0]!r}, which is none of the classes {classes}."
        )
    return 1.0 - p[np.arange(len(y)), number]
