"""The error surface of a network, with the path of its training and the gradient."""

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from fastbp.plotting.inside import fitted_network
from fastbp.plotting.planes import Plane, limits_of, path_plane, random_plane, weights_plane
from fastbp.plotting.style import check_axes, import_pyplot
from fastbp.plotting.surface_drawing import draw_contours, draw_surface

if TYPE_CHECKING:
    from fastbp.model.objective import NetworkLoss

__all__ = ["ErrorSurface", "ErrorSurfaceDisplay"]

_KINDS = {"contour": draw_contours, "surface": draw_surface}
_MAX_DRAWN = 200  # points of a path: more cannot be told apart


class ErrorSurface(NamedTuple):
    """The loss on a plane through the parameters, and what is drawn on it.

    Attributes
    ----------
    a, b : ndarray of shape (resolution,)
        The coordinates along the first and the second axis.
    loss : ndarray of shape (resolution, resolution)
        The loss at (a[j], b[i]) in row i and column j.
    gradient : ndarray of shape (resolution, resolution, 2)
        Its derivatives with respect to a and b.
    kept : ndarray of shape (1, 3)
        The fitted weights: a, b and the loss.
    path : ndarray of shape (n_points, 3) or None
        The path of the training, projected on the plane, with the loss there.
    labels : (str, str)
        What the axes are called.
    """

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    loss: NDArray[np.float64]
    gradient: NDArray[np.float64]
    kept: NDArray[np.float64]
    path: NDArray[np.float64] | None = None
    labels: tuple[str, str] = ("", "")


class ErrorSurfaceDisplay:
    """The error surface on a plane through a network's weights: contours, or in three dimensions.

    Make one with `from_estimator`; the constructor takes the bare numbers.

    Parameters
    ----------
    surface : ErrorSurface
        The losses, gradients and the path.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes, in three dimensions for a surface.
    figure_ : matplotlib Figure
        Their figure.
    surface_ : matplotlib artist
        The filled contours, or the surface.
    path_ : matplotlib Line2D or None
        The path of the training, if it was recorded.
    arrows_ : matplotlib Quiver, in three dimensions Line3DCollection, or None
        Minus the gradient. Their length is the square root of its, so that small ones are seen.
    colorbar_ : matplotlib Colorbar or None
        What the colours mean.

    References
    ----------
    Li, Xu, Taylor, Studer & Goldstein, "Visualizing the loss landscape of neural nets", NeurIPS
    2018, arXiv:1712.09913.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from fastbp import BackpropRegressor, ErrorSurfaceDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = BackpropRegressor("squared_error", (5,), "tanh", solver="lm", record_path=True,
    ...                         alpha=1.0, tol=1e-3, random_state=0)
    >>> net = net.fit(scale(X), scale(y))
    >>> display = ErrorSurfaceDisplay.from_estimator(net, scale(X), scale(y))
    """

    def __init__(self, surface: ErrorSurface) -> None:
        self.surface = surface

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        plane: str | Sequence[Any] | None = None,
        limits: Sequence[Sequence[float]] | None = None,
        resolution: int = 41,
        random_state: Any = 0,
        ax: Any = None,
        **options: Any,
    ) -> "ErrorSurfaceDisplay":
        """Draw the error surface around the weights of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted `BackpropRegressor` or `BackpropClassifier`, also as the last step of a
            pipeline, in a ``TransformedTargetRegressor``, or as the best of a search. With
            ``record_path=True`` the path of its training is drawn too, projected on the plane.
        X : array-like of shape (n_samples, n_features)
            The inputs that the loss is taken over. ``resolution**2`` passes over them are made.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of 0 or more.
        plane : {"path", "random"} or two weights, default=None
            "path": through the fitted weights, along the principal directions of the recorded path;
            an axis names the part of the path's variation that is along it. "random": two random
            directions, in which each unit's part is as long as its weights are (filter
            normalisation); a path hardly moves along them. Two weights, which are varied alone:
            ``(layer, i, j)`` for ``coefs_[layer][i, j]``, ``(layer, j)`` for
            ``intercepts_[layer][j]``. None is "path" where one was recorded, else "random".
        limits : ((float, float), (float, float)), default=None
            From where to where along each axis. None shows the path.
        resolution : int, default=41
            Points along each axis.
        random_state : int, RandomState or None, default=0
            Where random directions come from.
        ax : matplotlib Axes, default=None
            Where to draw, see `plot`.
        **options : dict
            Passed to `plot`.

        Returns
        -------
        display : ErrorSurfaceDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is none of fastbp's.
        ValueError
            If no path was recorded and plane is "path", a weight is out of range, the data or
            another parameter is wrong, or the loss is nowhere finite.
        ImportError
            If matplotlib is not installed.
        """
        net, X, y = fitted_network(estimator, X, y)
        if not isinstance(resolution, Integral) or resolution < 3:
            raise ValueError(f"resolution={resolution!r}, but it is a whole number, 3 at least.")
        objective, parameters = net._objective_here(X, y, sample_weight)
        path = getattr(net, "path_", None)
        on = _choose_plane(plane, objective, parameters, path, check_random_state(random_state))
        return cls(_measure(objective, parameters, on, path, limits, resolution)).plot(
            ax, **options
        )

    def plot(
        self,
        ax: Any = None,
        *,
        kind: str = "contour",
        arrows: bool = True,
        log_scale: bool | None = None,
        cmap: str = "viridis",
    ) -> "ErrorSurfaceDisplay":
        """Draw the surface.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; in three dimensions (``projection="3d"``) for a surface. None makes a new
            figure.
        kind : {"contour", "surface"}, default="contour"
            Contours seen from above, or a surface in three dimensions, with path and arrows on it
            (drawn also where a fold of it is in front of them).
        arrows : bool, default=True
            Whether to draw minus the gradient, along which the loss falls most steeply.
        log_scale : bool, default=None
            Whether contours and colours follow the logarithm of the loss; None where all losses
            are above 0.
        cmap : str, default="viridis"
            The colours, of which the darkest are left out.

        Returns
        -------
        self : ErrorSurfaceDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If ax is no Axes.
        ValueError
            If kind is unknown, or ax is not in as many dimensions.
        ImportError
            If matplotlib is not installed.
        """
        if kind not in _KINDS:
            raise ValueError(f"kind={kind!r} is unknown. Take one of {list(_KINDS)}.")
        pyplot = import_pyplot(self)
        projection = "3d" if kind == "surface" else None
        if ax is None:
            ax = pyplot.figure(layout="compressed").add_subplot(projection=projection)
        elif (check_axes(ax).name == "3d") != (projection == "3d"):
            raise ValueError(
                f"kind={kind!r} is drawn in {3 if projection else 2} dimensions, and ax is not. "
                f"Make it with add_subplot(projection={projection!r}), or give none."
            )
        self.ax_, self.figure_ = ax, ax.figure
        drawn = _KINDS[kind](ax, self.surface, arrows, log_scale, cmap)
        self.surface_, self.path_, self.arrows_, self.colorbar_ = drawn
        return self


def _choose_plane(
    plane: Any,
    objective: "NetworkLoss",
    parameters: NDArray[np.float64],
    path: NDArray[np.floating] | None,
    random_state: Any,
) -> Plane:
    if plane is None:
        plane = "random" if path is None else "path"
    if not isinstance(plane, str):
        if not np.iterable(plane):
            raise ValueError(f"plane={plane!r}, but it is 'path', 'random' or two weights.")
        return weights_plane(objective.network, parameters, list(plane))
    if plane == "random":
        return random_plane(objective.network, parameters, random_state)
    if plane != "path":
        raise ValueError(f"plane={plane!r} is unknown. Take 'path', 'random' or two weights.")
    if path is None:
        raise ValueError(
            "plane='path', but the estimator has no path_. Fit it with record_path=True, or take "
            "plane='random' or two weights."
        )
    return path_plane(path, parameters, random_state)


def _measure(
    objective: "NetworkLoss",
    parameters: NDArray[np.float64],
    plane: Plane,
    path: NDArray[np.floating] | None,
    limits: Any,
    resolution: int,
) -> ErrorSurface:
    """Work out losses and gradients on the plane."""

    def with_loss(points: NDArray[np.float64]) -> NDArray[np.float64]:
        losses = [objective.loss_and_gradient(plane.at(p[0], p[1]))[0] for p in points]
        return np.column_stack([points, losses])

    kept = plane.coordinates(parameters[np.newaxis])
    way = None
    if path is not None:
        chosen = np.unique(np.linspace(0, len(path) - 1, _MAX_DRAWN).astype(int))
        way = plane.coordinates(path[chosen])
    limits = limits_of(kept if way is None else np.vstack([way, kept]), plane, limits)
    a, b = (np.linspace(low, high, resolution) for low, high in limits)
    losses, gradients = np.empty((resolution, resolution)), np.empty((resolution, resolution, 2))
    with np.errstate(all="ignore"):  # far away the loss may overflow
        for i, j in np.ndindex(losses.shape):
            losses[i, j], gradient = objective.loss_and_gradient(plane.at(float(a[j]), float(b[i])))
            gradients[i, j] = plane.directions @ gradient
        kept = with_loss(kept)
        way = None if way is None else with_loss(way)
    if not np.isfinite(losses).any():
        raise ValueError("The loss is nowhere finite on this plane. Give smaller limits.")
    return ErrorSurface(a, b, losses, gradients, kept, way, plane.labels)
