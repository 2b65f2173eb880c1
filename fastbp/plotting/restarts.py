"""Where trainings from several starts have ended: the local minima."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.plotting.inside import fitted_network
from fastbp.plotting.style import COLOURS, axes_or_new, legend_above, set_scale

__all__ = ["RestartsDisplay"]

_MIN_COUNTED = 3  # starts that have ended at one minimum, from which on their number is written


class RestartsDisplay:
    """The final losses of all starts, from the lowest to the highest: local minima are its steps.

    Make one with `from_estimator`; the constructor takes the bare losses.

    Parameters
    ----------
    losses : array-like of shape (n_starts,)
        The final loss of each start; NaN where it diverged.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        Their figure.
    points_ : matplotlib Line2D
        The losses.
    minima_ : list of (float, int)
        The lowest loss of each minimum, and how many starts have ended there.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from fastbp import BackpropRegressor, RestartsDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = BackpropRegressor("squared_error", (3,), "tanh", solver="lm", n_init=10,
    ...                         tol=1e-3, random_state=0)
    >>> display = RestartsDisplay.from_estimator(net.fit(scale(X), scale(y)))
    """

    def __init__(self, losses: ArrayLike) -> None:
        self.losses = losses

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **options: Any) -> "RestartsDisplay":
        """Draw the final losses of a fitted estimator's starts.

        Parameters
        ----------
        estimator : estimator
            A `BackpropRegressor` or `BackpropClassifier` fitted with ``n_init`` of 2 or more, also
            as the last step of a pipeline, in a ``TransformedTargetRegressor``, or as the best of a
            search.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **options : dict
            Passed to `plot`.

        Returns
        -------
        display : RestartsDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is none of fastbp's.
        ValueError
            If there was one start, or all have diverged.
        ImportError
            If matplotlib is not installed.
        """
        return cls(fitted_network(estimator).estimator.init_losses_).plot(ax, **options)

    def plot(
        self, ax: Any = None, *, tol: float = 0.01, log_scale: bool | None = None
    ) -> "RestartsDisplay":
        """Draw the losses.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        tol : float, default=0.01
            Losses that follow each other within this part of the axis are one minimum.
        log_scale : bool, default=None
            Whether losses have a logarithmic axis; None where all are above 0, and the highest is
            three times the lowest or more.

        Returns
        -------
        self : RestartsDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If ax is no Axes.
        ValueError
            If there are fewer than two losses, or none is finite.
        ImportError
            If matplotlib is not installed.
        """
        given = np.ravel(np.asarray(self.losses, dtype=float))
        losses = np.sort(given[np.isfinite(given)])
        if len(given) < 2 or not len(losses):
            raise ValueError(
                f"init_losses_ is {given}: local minima are seen from two starts on that have not "
                "diverged. Fit with n_init=50 for instance."
            )
        ax = axes_or_new(self, ax)
        self.ax_, self.figure_ = ax, ax.figure
        ranks = np.arange(1, len(losses) + 1)
        self.points_ = ax.plot(ranks, losses, "o", color=COLOURS[0], markersize=4, label="start")[0]
        ax.plot(
            1, losses[0], "*", color=COLOURS[5], markeredgecolor="white", markersize=14,
            label="lowest", zorder=3,
        )  # fmt: skip
        is_log = set_scale(ax, losses, log_scale)
        starts = _minima(np.log(losses) if is_log else losses, tol)
        ends = [*starts[1:], len(losses)]
        self.minima_ = [(float(losses[i]), int(j - i)) for i, j in zip(starts, ends, strict=True)]
        self._count_starts(losses, starts, ends)
        n_diverged = len(given) - len(losses)
        diverged = f" ({n_diverged} more diverged)" if n_diverged else ""
        ax.set(xlabel=f"starts, from the lowest loss on{diverged}", ylabel="final loss")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.margins(y=0.18)  # for the number below the lowest
        ax.grid(axis="y", alpha=0.25)
        legend_above(ax, ncols=2)
        return self

    def _count_starts(self, losses: NDArray, starts: Any, ends: Any) -> None:
        """Draw a line under the minima that several starts have found, with their number."""
        for i, j in zip(starts, ends, strict=True):
            if j - i >= _MIN_COUNTED:
                self.ax_.hlines(losses[i], i + 1, j, color="0.5", linewidth=1, zorder=1)
                self.ax_.annotate(
                    f"{j - i} starts", ((i + 1 + j) / 2, losses[i]), xytext=(0, -11), va="center",
                    textcoords="offset points", ha="center", fontsize="x-small",
                )  # fmt: skip


def _minima(losses: NDArray[np.float64], tol: float) -> list[int]:
    """Give where in sorted losses each minimum begins."""
    jumps = np.diff(losses) > tol * (losses[-1] - losses[0])
    return [0, *(np.flatnonzero(jumps) + 1).tolist()]
