"""A network as a drawing: its units, and its weights by width and colour."""

from itertools import pairwise
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.plotting.inside import fitted_network
from fastbp.plotting.style import axes_or_new

__all__ = ["NetworkDisplay", "NetworkLayer"]

_MANY = 500  # weights of a layer, of which only so many of the largest are strong:
_STRONG = 100
_MAX_NAMED = 24  # inputs or outputs of which names can be read


class NetworkLayer(NamedTuple):
    """A layer of units, of which some may be left out.

    Attributes
    ----------
    title : str
        What it is.
    n_units : int
        How many units it has.
    shown : ndarray of int
        The units that are drawn.
    biases : ndarray of shape (n_shown,) or None
        Their biases; inputs have none.
    names : list of str or None
        What they are called.
    """

    title: str
    n_units: int
    shown: NDArray[np.intp]
    biases: NDArray[np.floating] | None
    names: list[str] | None = None


class NetworkDisplay:
    """A network: layers from left to right, a line for each weight, a disc for each unit.

    A line's width and strength of colour show how large the weight is, its hue the sign; negative
    ones are dashed, too. Of 500 or more in a layer all but the largest 100 are faint. A disc's
    colour shows the unit's bias, of which negative ones have a dotted rim. Make one with
    `from_estimator`.

    Parameters
    ----------
    layers : list of NetworkLayer
        The layers, the inputs first.
    weights : list of ndarray of shape (n_shown, n_shown_of_next)
        The weights between the units that are drawn.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        Their figure.
    lines_ : list of matplotlib LineCollection
        The weights between two layers each, the smallest first.
    units_ : list of matplotlib PathCollection
        The units of each layer.
    colorbar_ : matplotlib Colorbar
        What the colours mean.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbp import BackpropClassifier, NetworkDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> net = BackpropClassifier((5,), "tanh", solver="bfgs", tol=1e-3, random_state=0).fit(X, y)
    >>> display = NetworkDisplay.from_estimator(net)
    """

    def __init__(self, layers: list[NetworkLayer], weights: list[NDArray[np.floating]]) -> None:
        self.layers, self.weights = layers, weights

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        feature_names: Any = None,
        max_units: int = 64,
        ax: Any = None,
        **options: Any,
    ) -> "NetworkDisplay":
        """Draw the network of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted `BackpropRegressor` or `BackpropClassifier`, also as the last step of a
            pipeline, in a ``TransformedTargetRegressor``, or as the best of a search.
        feature_names : sequence of str of length n_features, default=None
            What the inputs are called. None is ``feature_names_in_``, if the network has them.
        max_units : int, default=64
            Of a layer with more units, those with the largest weights are drawn.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **options : dict
            Passed to `plot`.

        Returns
        -------
        display : NetworkDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is none of fastbp's.
        ValueError
            If there are not as many names as features, or max_units is less than 1.
        ImportError
            If matplotlib is not installed.
        """
        net = fitted_network(estimator).estimator
        if not isinstance(max_units, Integral) or max_units < 1:
            raise ValueError(f"max_units={max_units!r}, but it is a whole number, 1 at least.")
        sizes = net._network.layer_sizes
        if feature_names is None:
            feature_names = getattr(net, "feature_names_in_", None)
        elif len(feature_names) != sizes[0]:
            raise ValueError(
                f"feature_names holds {len(feature_names)} names, and the network has {sizes[0]} "
                "inputs. Give one for each."
            )
        classes = getattr(net, "classes_", ())
        names = {0: feature_names, len(sizes) - 1: classes if len(classes) == sizes[-1] else None}
        activations = ["input", *(each.name for each in net._network.activations)]
        shown = [_largest(net.coefs_, layer, max_units) for layer in range(len(sizes))]
        layers = [
            NetworkLayer(
                activations[layer],
                n_units,
                shown[layer],
                None if layer == 0 else net.intercepts_[layer - 1][shown[layer]],
                _named(names.get(layer), shown[layer]),
            )
            for layer, n_units in enumerate(sizes)
        ]
        weights = [
            coef[np.ix_(*two)] for coef, two in zip(net.coefs_, pairwise(shown), strict=True)
        ]
        return cls(layers, weights).plot(ax, **options)

    def plot(self, ax: Any = None, *, cmap: str = "RdBu_r") -> "NetworkDisplay":
        """Draw the network.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        cmap : str, default="RdBu_r"
            The colours: a diverging map, of which the middle is 0.

        Returns
        -------
        self : NetworkDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If ax is no Axes.
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_or_new(self, ax)
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        self.ax_, self.figure_ = ax, ax.figure
        largest = max(float(np.abs(each).max()) for each in self.weights)
        largest = max([largest, *(float(np.abs(b).max()) for b in self._biases)]) or 1.0
        colours = ScalarMappable(Normalize(-largest, largest), cmap)
        heights = [_heights(len(layer.shown)) for layer in self.layers]
        self.lines_ = [
            _draw_weights(ax, layer, weights, heights[layer : layer + 2], colours, largest)
            for layer, weights in enumerate(self.weights)
        ]
        self.units_ = [
            _draw_units(ax, place, layer, heights[place], colours)
            for place, layer in enumerate(self.layers)
        ]
        last = len(self.layers) - 1
        ax.set(xlim=(-0.3, last + 0.3), ylim=(-0.04, 1.04), yticks=[])
        ax.set_xticks(range(last + 1), [_title(layer) for layer in self.layers])
        ax.tick_params(axis="x", length=0)
        ax.spines[:].set_visible(False)
        self.colorbar_ = ax.figure.colorbar(colours, ax=ax, pad=0.02)
        self.colorbar_.set_label("weight or bias (dashed: < 0)", fontsize="small")
        return self

    @property
    def _biases(self) -> list[NDArray[np.floating]]:
        return [layer.biases for layer in self.layers if layer.biases is not None]


def _largest(coefs: list[NDArray[np.floating]], layer: int, max_units: int) -> NDArray[np.intp]:
    """Choose the units of a layer with the largest weights to and from them, in their order."""
    square_sum: Any = 0.0
    if layer > 0:
        square_sum = square_sum + (coefs[layer - 1].astype(float) ** 2).sum(axis=0)
    if layer < len(coefs):
        square_sum = square_sum + (coefs[layer].astype(float) ** 2).sum(axis=1)
    return np.sort(np.argsort(-square_sum, kind="stable")[:max_units])


def _named(names: Any, shown: NDArray[np.intp]) -> list[str] | None:
    if names is None or len(shown) > _MAX_NAMED:
        return None
    return [str(names[unit]) for unit in shown]


def _title(layer: NetworkLayer) -> str:
    n_shown = len(layer.shown)
    left_out = "" if n_shown == layer.n_units else f"{n_shown} of "
    return f"{layer.title}\n{left_out}{layer.n_units}"


def _heights(n_units: int) -> NDArray[np.float64]:
    """Place units from top to bottom, few of them not far apart."""
    reach = min(0.5, 0.06 * (n_units - 1))
    return np.linspace(0.5 + reach, 0.5 - reach, n_units)


def _draw_weights(
    ax: Any, layer: int, weights: NDArray[np.floating], heights: Any, colours: Any, largest: float
) -> Any:
    from matplotlib.collections import LineCollection

    from_, to = np.meshgrid(*heights, indexing="ij")
    flat = weights.ravel().astype(float)
    order = np.argsort(np.abs(flat), kind="stable")  # the largest on top
    flat = flat[order]
    segments: Any = np.stack(
        [
            np.column_stack([np.full(flat.size, place), height.ravel()[order]])
            for place, height in ((layer, from_), (layer + 1, to))
        ],
        axis=1,
    )
    part = np.abs(flat) / largest
    # Many lines are thinner, and what is next to nothing is next to invisible.
    widths = 0.2 + part * (3.0 if flat.size < _MANY else 1.8)
    rgba = colours.to_rgba(flat)
    rgba[:, 3] = 0.1 + 0.9 * np.sqrt(part)
    if flat.size >= _MANY:  # or they hide each other
        rgba[:-_STRONG, 3] *= 0.25
    # Dashes of many lines that all begin alike would have their gaps in rows.
    styles = ["-" if weight >= 0 else (1.7 * i % 4, (3, 1)) for i, weight in enumerate(flat)]
    return ax.add_collection(
        LineCollection(segments, linewidths=widths, colors=rgba, linestyles=styles, zorder=1)
    )


def _draw_units(
    ax: Any, place: int, layer: NetworkLayer, heights: NDArray[np.float64], colours: Any
) -> Any:
    n_units = len(heights)
    size = 90.0 * min(1.0, (12 / n_units) ** 1.3)
    faces = "white" if layer.biases is None else colours.to_rgba(layer.biases)
    styles = ["-"] if layer.biases is None else [":" if b < 0 else "-" for b in layer.biases]
    drawn = ax.scatter(
        np.full(n_units, place), heights, s=size, c=faces, edgecolors="black", linestyles=styles,
        linewidths=1.0 if n_units <= _MAX_NAMED else 0.4, zorder=2,
    )  # fmt: skip
    side = -1 if place == 0 else 1
    for height, name in zip(heights, layer.names or (), strict=False):
        ax.annotate(
            name, (place, height), xytext=(8 * side, 0), textcoords="offset points", va="center",
            ha="right" if side < 0 else "left",
            fontsize="small" if n_units <= 12 else "xx-small",
        )  # fmt: skip
    return drawn
