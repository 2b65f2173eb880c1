"""Pictures of a training. matplotlib is imported when one is drawn, not before."""

from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LossCurveDisplay"]


class LossCurveDisplay:
    """The loss at each iteration of a training, with the validation scores where there are any.

    Make one with `from_estimator`; the constructor takes the bare curves.

    Parameters
    ----------
    loss_curve : array-like of shape (n_iter,)
        The loss at each iteration.
    validation_scores : array-like of shape (n_iter,), default=None
        R^2 on the validation rows after each iteration.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes with the loss.
    figure_ : matplotlib Figure
        Their figure.
    line_ : matplotlib Line2D
        The loss.
    validation_ax_ : matplotlib Axes or None
        The axes with the validation scores, on the right.
    validation_line_ : matplotlib Line2D or None
        The validation scores.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from fastbp import BackpropRegressor
    >>> from fastbp.plotting.loss_curve import LossCurveDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = BackpropRegressor(early_stopping=True, max_iter=500).fit(X, y / 100)
    >>> display = LossCurveDisplay.from_estimator(net)  # doctest: +SKIP
    """

    def __init__(self, loss_curve: ArrayLike, validation_scores: ArrayLike | None = None) -> None:
        self.loss_curve = loss_curve
        self.validation_scores = validation_scores

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        ax: "Axes | None" = None,
        log_scale: bool = True,
        **line_kwargs: Any,
    ) -> "LossCurveDisplay":
        """Draw the loss curve of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted `BackpropRegressor` or another with ``loss_curve_``, also as the last step of a
            pipeline, in a ``TransformedTargetRegressor``, or as the best of a grid search.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        log_scale : bool, default=True
            Whether the loss has a logarithmic axis.
        **line_kwargs : dict
            Passed to ``Axes.plot`` for the loss.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it keeps no loss curve.
        ImportError
            If matplotlib is not installed.
        """
        net = _innermost(estimator)
        loss_curve = getattr(net, "loss_curve_", None)
        if loss_curve is None:
            raise ValueError(
                f"{type(net).__name__} keeps no loss_curve_, so there is nothing to draw. "
                "LossCurveDisplay draws estimators that do, such as a fitted BackpropRegressor."
            )
        display = cls(loss_curve, getattr(net, "validation_scores_", None))
        return display.plot(ax, log_scale=log_scale, **line_kwargs)

    def plot(
        self, ax: "Axes | None" = None, *, log_scale: bool = True, **line_kwargs: Any
    ) -> "LossCurveDisplay":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        log_scale : bool, default=True
            Whether the loss has a logarithmic axis.
        **line_kwargs : dict
            Passed to ``Axes.plot`` for the loss.

        Returns
        -------
        self : LossCurveDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if ax is None:
            ax = _new_axes()
        self.ax_, self.figure_ = ax, ax.figure
        self.line_ = _draw(ax, self.loss_curve, {"label": "loss", "color": "C0"} | line_kwargs)
        ax.set(xlabel="iteration", ylabel="loss", yscale="log" if log_scale else "linear")
        self.validation_ax_: Any = None
        self.validation_line_: Any = None
        if self.validation_scores is not None:
            self._plot_validation_scores()
        return self

    def _plot_validation_scores(self) -> None:
        self.validation_ax_ = self.ax_.twinx()
        style = {"label": "validation score", "color": "C1", "linestyle": "--"}
        self.validation_line_ = _draw(self.validation_ax_, self.validation_scores, style)
        self.validation_ax_.set_ylabel("validation score")
        # Both lines in one legend, of the axes that are drawn last, so that no line crosses it.
        self.validation_ax_.legend(handles=[self.line_, self.validation_line_], loc="center right")


def _new_axes() -> "Axes":
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "LossCurveDisplay draws with matplotlib, which is not installed. "
            "Install it with: pip install fastbp[plot]"
        ) from error
    return pyplot.subplots()[1]


def _draw(ax: "Axes", values: Any, style: dict[str, Any]) -> Any:
    """Draw values over iterations, which are counted from 1."""
    return ax.plot(range(1, len(values) + 1), values, **style)[0]


def _innermost(estimator: Any) -> Any:
    """Unwrap a pipeline, a transformed target, a search."""
    check_is_fitted(estimator)
    if isinstance(estimator, Pipeline):
        return _innermost(estimator[-1])
    for name in ("regressor_", "best_estimator_"):
        if hasattr(estimator, name):
            return _innermost(getattr(estimator, name))
    return estimator
