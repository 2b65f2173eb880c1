"""How an error surface is drawn: contours, or a surface in three dimensions."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.plotting.style import COLOURS, legend_above

__all__ = ["Drawn", "draw_contours", "draw_surface"]

_N_LEVELS = 21
_N_ARROWS = 10  # along the longer axis
_N_BENDS = 6  # points of an arrow on a curved surface
_MAX_RANGE = 1e5  # of losses on a logarithmic scale: what is lower is drawn as the lowest
_MAX_DOTS = 60  # of a longer path, single points cannot be told apart
_LIGHT = (0.4, 1.0)  # the part of the colours on which black is seen


class Drawn(NamedTuple):
    """What was drawn."""

    surface: Any
    path: Any
    arrows: Any
    colorbar: Any


def draw_contours(ax: Any, surface: Any, arrows: bool, log_scale: bool | None, cmap: str) -> Drawn:
    """Draw an `ErrorSurface` seen from above."""
    losses = np.ma.masked_invalid(surface.loss)
    levels, norm = _levels(losses, log_scale)
    extend = "min" if losses.min() < levels[0] else "neither"
    shown = np.ma.clip(losses, None, levels[-1])  # the highest may be above by rounding
    contours = ax.contourf(
        surface.a, surface.b, shown, levels, norm=norm, cmap=_light(cmap), extend=extend
    )
    ax.contour(surface.a, surface.b, shown, levels, colors="white", linewidths=0.4)
    quiver = None
    if arrows:
        a, b, u, v = _arrows(surface)
        quiver = ax.quiver(
            a, b, u, v, angles="xy", scale_units="xy", scale=1, width=0.005, color="0.1"
        )
    line = None
    if surface.path is not None:
        a, b, _ = surface.path.T
        ax.plot(a, b, color="white", linewidth=3)
        marker = "." if len(a) <= _MAX_DOTS else ""
        (line,) = ax.plot(a, b, color="black", linewidth=1.2, marker=marker, markersize=4)
    _mark_ends(ax, [surface.kept[:, :2], *_start_of(surface, 2)])
    ax.set(
        xlabel=surface.labels[0], ylabel=surface.labels[1], aspect="equal",
        xlim=surface.a[[0, -1]], ylim=surface.b[[0, -1]],
    )  # fmt: skip
    _legend(ax, line, arrows)
    beside = ax.inset_axes((1.04, 0.0, 0.05, 1.0))  # as high as the axes, whatever their aspect
    colorbar = ax.figure.colorbar(contours, cax=beside, label="loss")
    colorbar.set_ticks(levels[::5], labels=[f"{level:.2g}" for level in levels[::5]])
    beside.minorticks_off()
    return Drawn(contours, line, quiver, colorbar)


def draw_surface(ax: Any, surface: Any, arrows: bool, log_scale: bool | None, cmap: str) -> Drawn:
    """Draw an `ErrorSurface` in three dimensions, path and arrows on it, in front or behind."""
    from matplotlib.colors import LogNorm
    from mpl_toolkits.mplot3d.art3d import Line3DCollection

    losses = np.ma.masked_invalid(surface.loss)
    levels, norm = _levels(losses, log_scale)
    is_log = isinstance(norm, LogNorm)

    def height(values: Any) -> Any:
        values = np.clip(values, levels[0], levels[-1])
        return np.log10(values) if is_log else values

    a, b = np.meshgrid(surface.a, surface.b)
    z = height(losses.filled(np.nan))
    ax.computed_zorder = False  # the path is on the surface, not half below it
    drawn = ax.plot_surface(
        a, b, z, facecolors=_light(cmap)(norm(losses)), rcount=100, ccount=100, linewidth=0,
        alpha=0.85, zorder=2,
    )  # fmt: skip
    quiver = line = None
    if arrows:
        quiver = Line3DCollection(_draped(surface, z), colors="0.1", linewidths=0.7, zorder=3)
        ax.add_collection3d(quiver, autolim=False)
    if surface.path is not None:
        x, y, loss = surface.path.T
        ax.plot(x, y, height(loss), color="white", linewidth=3.5, zorder=4)
        (line,) = ax.plot(x, y, height(loss), color="black", linewidth=1.5, zorder=5)
    ends = [surface.kept, *_start_of(surface, 3)]
    _mark_ends(ax, [np.column_stack([end[:, :2], height(end[:, 2])]) for end in ends])
    ax.set(
        xlim=surface.a[[0, -1]], ylim=surface.b[[0, -1]], zlim=height(levels[[0, -1]]),
        xlabel=_short(surface.labels[0]), ylabel=_short(surface.labels[1]), zlabel="loss",
    )  # fmt: skip
    ax.tick_params(labelsize="x-small", pad=-2)
    ax.tick_params(axis="z", pad=2)
    for axis, pad in ((ax.xaxis, -6), (ax.yaxis, -6), (ax.zaxis, 2)):
        axis.label.set_size("x-small")
        axis.labelpad = pad
        axis.get_major_locator().set_params(nbins=5)
    ax.set_box_aspect((4, 4, 3), zoom=0.88)  # or labels are cut off
    if is_log:
        ax.zaxis.set_major_formatter(lambda value, _: f"{10**value:.2g}")
    _legend(ax, line, arrows, top=0.93)  # the box does not fill its axes
    return Drawn(drawn, line, quiver, None)


def _levels(losses: Any, log_scale: bool | None) -> tuple[NDArray[np.float64], Any]:
    """Choose contour levels, and the norm of the colours."""
    from matplotlib.colors import LogNorm, Normalize

    low, high = float(losses.min()), float(losses.max())
    is_log = low > 0 if log_scale is None else log_scale
    if is_log and high > 0:
        low = max(low, high / _MAX_RANGE)
        high = max(high, low * (1 + 1e-6))
        return np.geomspace(low, high, _N_LEVELS), LogNorm(low, high)
    high = max(high, low + 1e-6 * max(abs(low), 1e-300))
    return np.linspace(low, high, _N_LEVELS), Normalize(low, high)


def _arrows(surface: Any) -> NDArray[np.float64]:
    """Place arrows of minus the gradient, as long as its root: tails and steps, (4, n_arrows)."""
    widths = np.array([np.ptp(surface.a), np.ptp(surface.b)])
    spacing, n = widths.max() / _N_ARROWS, len(surface.a)
    chosen = []
    for step in widths / (n - 1):
        stride = min(max(1, round(spacing / step)), n)
        n_arrows = len(range(stride // 2, n, stride))
        first = (n - 1 - (n_arrows - 1) * stride) // 2  # as far from both ends
        chosen.append(first + stride * np.arange(n_arrows))
    along_a, along_b = chosen
    downhill = -surface.gradient[np.ix_(along_b, along_a)]
    with np.errstate(all="ignore"):
        downhill /= np.sqrt(np.linalg.norm(downhill, axis=2, keepdims=True))
    downhill[~np.isfinite(downhill).all(axis=2)] = 0.0  # no slope, or no number
    longest = np.linalg.norm(downhill, axis=2).max()
    downhill *= 1.1 * spacing / longest if longest > 0 else 0.0
    tails = np.meshgrid(surface.a[along_a], surface.b[along_b])
    return np.stack([*tails, *np.moveaxis(downhill, 2, 0)]).reshape(4, -1)


def _draped(surface: Any, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lay the same arrows on the surface: lines of points, (3 * n_arrows, n_points, 3)."""
    from scipy.interpolate import RegularGridInterpolator

    a, b, u, v = _arrows(surface)
    tails, steps, aside = np.stack([a, b], 1), np.stack([u, v], 1), np.stack([-v, u], 1)
    tips = tails + steps
    barbs = [tips - 0.3 * steps + 0.15 * side for side in (aside, -aside)]
    along = np.linspace(0.0, 1.0, _N_BENDS)[:, np.newaxis]
    starts = np.concatenate([tails, *barbs])
    flat = starts[:, np.newaxis] + along * (np.tile(tips, (3, 1)) - starts)[:, np.newaxis]
    flat = flat.clip((surface.a[0], surface.b[0]), (surface.a[-1], surface.b[-1]))
    height = RegularGridInterpolator((surface.b, surface.a), z)(flat[..., ::-1])
    return np.concatenate([flat, height[..., np.newaxis]], axis=2)


def _short(label: str) -> str:
    """Leave out what an axis in three dimensions has no room for."""
    return label.replace("direction (", "dir. (").replace(" of the path", "")


def _start_of(surface: Any, n_dimensions: int) -> list[NDArray[np.float64]]:
    return [] if surface.path is None else [surface.path[:1, :n_dimensions]]


def _mark_ends(ax: Any, ends: list[NDArray[np.float64]]) -> None:
    """Mark the weights that are kept, and the start if it is known."""
    styles = (
        {"marker": "*", "markersize": 14, "color": COLOURS[5], "label": "weights kept"},
        {"marker": "o", "markersize": 8, "color": COLOURS[5], "label": "start"},
    )
    for end, style in zip(ends, styles, strict=False):
        ax.plot(*end.T, linestyle="", markeredgecolor="black", zorder=7, **style)


def _light(cmap: str) -> Any:
    """Leave the darkest colours out, on which neither path nor arrows are seen."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    return ListedColormap(matplotlib.colormaps[cmap](np.linspace(*_LIGHT, 256)))


def _legend(ax: Any, path: Any, has_arrows: bool, top: float = 1.0) -> None:
    """Say what is drawn, in two short lines."""
    from matplotlib.lines import Line2D

    handles, labels = ax.get_legend_handles_labels()
    if path is not None:
        handles, labels = [*handles, path], [*labels, "path (projected)"]
    if has_arrows:
        arrow = Line2D([], [], color="0.1", linestyle="", marker=r"$\rightarrow$", markersize=12)
        handles, labels = [*handles, arrow], [*labels, "minus gradient"]
    legend_above(ax, handles, labels, top=top, ncols=2)
