"""What the pictures share: colours that all can tell apart, and figures that cut nothing off."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "COLOURS",
    "DASH",
    "MARKERS",
    "axes_or_new",
    "check_axes",
    "import_pyplot",
    "label_seconds",
    "legend_above",
    "marker_of",
    "new_axes",
    "set_scale",
]

#: Okabe & Ito's palette for all kinds of colour vision, ordered so that neighbours differ in
#: lightness too.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#CC79A7", "#009E73", "#D55E00", "#56B4E9")
#: So that curves can be told apart in grey, too; the first has none.
MARKERS = ("", "o", "s", "^", "D", "v", "X")
#: Of what goes with a solid line of the same colour.
DASH = (0, (4, 2))


def import_pyplot(display: Any) -> Any:
    """Import matplotlib's pyplot for a Display, whose name an error gives."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f"{type(display).__name__} draws with matplotlib, which is not installed. "
            "Install it with: pip install 'fastbp[plot]'"
        ) from error
    return pyplot


def check_axes(ax: Any) -> Any:
    """Return what is given as ``ax``, if it is an Axes.

    Raises
    ------
    TypeError
        If it is something else.
    """
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise TypeError(
            f"ax={ax!r:.60} is no matplotlib Axes. Give one, such as pyplot.subplots()[1], or None "
            "for a new figure."
        )
    return ax


def axes_or_new(display: Any, ax: Any) -> Any:
    """Return the axes that are given, or those of a new figure where ax is None."""
    return new_axes(display)[0] if ax is None else check_axes(ax)


def new_axes(display: Any, n_rows: int = 1, **options: Any) -> "list[Axes]":
    """Make a figure of axes one below the other; its layout leaves room for all labels."""
    pyplot = import_pyplot(display)
    options = {"layout": "constrained", "sharex": True, "squeeze": False} | options
    return list(pyplot.subplots(n_rows, **options)[1][:, 0])


def marker_of(number: int) -> dict[str, Any]:
    """Give the colour and the marks of a curve, by its number among others."""
    start = 0.02 * (number % len(MARKERS))  # not all marks at the same places
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4,
        "markevery": (start, 0.12),
    }


def label_seconds(axis: Any, longest: float) -> None:
    """Label an axis of seconds in the unit in which its numbers are short."""
    units = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}
    unit = next((unit for unit, size in units.items() if longest >= size), "µs")
    axis.set_label_text(f"time ({unit})")
    axis.set_major_formatter(lambda value, _: f"{value / units[unit]:g}")


def set_scale(ax: "Axes", values: ArrayLike, log_scale: bool | None) -> bool:
    """Make the y axis logarithmic, with plain numbers at its ticks, or linear.

    None is logarithmic where all values are above 0 and the highest is three times the lowest or
    more. Returns whether it is.
    """
    finite = np.ravel(np.asarray(values, dtype=float))
    finite = finite[np.isfinite(finite)]
    if log_scale is None:
        log_scale = bool(finite.size) and 0 < 3 * finite.min() <= finite.max()
    ax.set_yscale("log" if log_scale else "linear")
    if log_scale:
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(lambda value, _: _between_decades(ax, value))
    return log_scale


def _between_decades(ax: "Axes", value: float) -> str:
    """Label a tick between powers of ten, if there are few of those."""
    low, high = ax.get_ylim()
    labelled = "25" if high > 10 * low else "235"
    return f"{value:g}" if high < 100 * low and f"{value:e}"[0] in labelled else ""


def legend_above(
    ax: Any, handles: Any = None, labels: Any = None, top: float = 1.0, **options: Any
) -> None:
    """Put a legend above the part ``top`` of the axes, where it covers nothing."""
    if handles is None:
        handles, labels = ax.get_legend_handles_labels()
    ax.legend(
        handles, labels, loc="lower left", bbox_to_anchor=(0, top), frameon=False, fontsize="small",
        borderaxespad=0.2, handletextpad=0.5, columnspacing=1.0, **options,
    )  # fmt: skip
