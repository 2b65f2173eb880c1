"""Planes through a network's parameters: two weights, two random directions, or that of a path.

References
----------
Li, Xu, Taylor, Studer & Goldstein, "Visualizing the loss landscape of neural nets", NeurIPS 2018,
arXiv:1712.09913: filter normalisation, and the principal directions of a path.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.model.network import Network

__all__ = ["Plane", "limits_of", "path_plane", "random_plane", "weights_plane"]


@dataclass(frozen=True)
class Plane:
    """A plane in the space of parameters.

    Attributes
    ----------
    origin : ndarray of shape (n_parameters,)
        The point at (0, 0).
    directions : ndarray of shape (2, n_parameters)
        What one unit along each axis adds.
    labels : (str, str)
        What the axes are called.
    half_width : float
        How far the view reaches on both sides of its centre, where no path says how far.
    least : float, default=0.0
        How far it reaches at least.
    """

    origin: NDArray[np.float64]
    directions: NDArray[np.float64]
    labels: tuple[str, str]
    half_width: float
    least: float = 0.0

    def at(self, a: float, b: float) -> NDArray[np.float64]:
        """Give the parameters at a point of the plane."""
        return self.origin + a * self.directions[0] + b * self.directions[1]

    def coordinates(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Project parameters, (n_points, n_parameters), on the plane: (n_points, 2)."""
        aside = (points.astype(np.float64) - self.origin) @ self.directions.T
        found = np.linalg.solve(self.directions @ self.directions.T, aside.T).T
        return np.asarray(found, dtype=np.float64)


def weights_plane(
    network: Network, parameters: NDArray[np.float64], weights: Sequence[Any]
) -> Plane:
    """Vary two parameters; the others stay.

    Parameters
    ----------
    network : Network
        The network.
    parameters : ndarray of shape (n_parameters,)
        Its parameters.
    weights : sequence of two tuples of int
        ``(layer, i, j)`` is ``coefs_[layer][i, j]``, ``(layer, j)`` is ``intercepts_[layer][j]``.

    Raises
    ------
    ValueError
        If one is no such tuple, is out of range, or both are the same.
    """
    places = [_place(network, address) for address in weights]
    if len(places) != 2 or places[0][0] == places[1][0]:
        raise ValueError(f"plane={weights!r}, but a surface needs two weights that are not one.")
    origin, directions = parameters.copy(), np.zeros((2, parameters.size))
    values = []
    for direction, (index, _) in zip(directions, places, strict=True):
        values.append(float(origin[index]))
        origin[index], direction[index] = 0.0, 1.0
    half_width = max(1.0, *np.abs(values))
    return Plane(origin, directions, (places[0][1], places[1][1]), half_width)


def _place(network: Network, address: Any) -> tuple[int, str]:
    """Find a weight in the parameter vector, and its name."""
    is_address = isinstance(address, tuple | list) and len(address) in (2, 3)
    if not is_address or not all(isinstance(i, Integral) for i in address):
        raise ValueError(
            f"plane holds {address!r}, but a weight is given as (layer, i, j) for coefs_[layer]"
            "[i, j], or as (layer, j) for the bias intercepts_[layer][j]."
        )
    numbers = np.arange(network.n_parameters, dtype=np.float64)
    arrays = network.unpack(numbers)[0 if len(address) == 3 else 1]
    layer, *index = (int(i) for i in address)
    name = "coefs_" if len(address) == 3 else "intercepts_"
    if not 0 <= layer < len(arrays):
        raise ValueError(
            f"plane holds {tuple(address)}, but the network has layers 0 to {len(arrays) - 1}."
        )
    shape = arrays[layer].shape
    if not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
        raise ValueError(
            f"plane holds {tuple(address)}, but {name}[{layer}] has shape {shape}. Count from 0."
        )
    return int(arrays[layer][tuple(index)]), f"{name}[{layer}][{', '.join(map(str, index))}]"


def random_plane(network: Network, parameters: NDArray[np.float64], random_state: Any) -> Plane:
    """Take two random directions, each unit's part as long as its weights and bias are."""
    _refuse_one_parameter(parameters)
    directions = random_state.standard_normal((2, parameters.size))
    layers = list(zip(*network.unpack(parameters), strict=True))
    for direction in directions:
        for (coef, bias), (d_coef, d_bias) in zip(
            layers, zip(*network.unpack(direction), strict=True), strict=True
        ):
            length = np.sqrt((coef**2).sum(axis=0) + bias**2)
            scale = length / np.sqrt((d_coef**2).sum(axis=0) + d_bias**2)
            d_coef *= scale
            d_bias *= scale
    if not directions.any(axis=1).all():  # all parameters are 0
        directions = random_state.standard_normal((2, parameters.size))
    return Plane(parameters, directions, ("1st random direction", "2nd random direction"), 1.0, 1.0)


def path_plane(
    path: NDArray[np.floating], parameters: NDArray[np.float64], random_state: Any
) -> Plane:
    """Take the plane through the parameters that a path stays nearest to.

    Its directions are the principal ones of the path's points, seen from the parameters. Where the
    path is straight, the second is a random one.
    """
    _refuse_one_parameter(parameters)
    steps = path.astype(np.float64) - parameters
    # Eigenvectors of the small matrix of products give those of the large one.
    squares, vectors = np.linalg.eigh(steps @ steps.T)
    total = float(squares.sum())
    directions: list[NDArray[np.float64]] = []
    labels = []
    for rank, name in ((-1, "1st"), (-2, "2nd")):
        is_there = len(squares) >= -rank and squares[rank] > 1e-12 * total
        direction = (
            vectors[:, rank] @ steps if is_there else random_state.standard_normal(parameters.size)
        )
        for other in directions:
            direction = direction - (direction @ other) * other
        directions.append(direction / np.linalg.norm(direction))
        share = squares[rank] / total if is_there else 0.0
        shown = f"{100 * share:.0f}" if share > 0.005 else f"{100 * share:.1g}"
        labels.append(f"{name} direction ({shown} % of the path)")
    return Plane(parameters, np.array(directions), (labels[0], labels[1]), 1.0)


def limits_of(points: NDArray[np.float64], plane: Plane, limits: Any) -> NDArray[np.float64]:
    """Give the view that shows all points, and is at least half as wide as long."""
    if limits is not None:
        try:
            given = np.asarray(limits, dtype=float)
        except (TypeError, ValueError):
            given = np.empty(0)
        if given.shape != (2, 2) or not np.isfinite(given).all() or (np.diff(given) <= 0).any():
            raise ValueError(
                f"limits={limits!r}, but they are ((low, high), (low, high)), one for each axis."
            )
        return given
    low, high = points.min(axis=0), points.max(axis=0)
    half = 0.6 * (high - low)
    least = plane.least if half.any() else plane.half_width
    half = np.maximum(half, max(least, 0.5 * half.max()))
    centre = (low + high) / 2
    return np.column_stack([centre - half, centre + half])


def _refuse_one_parameter(parameters: NDArray[np.float64]) -> None:
    if parameters.size < 2:
        raise ValueError("The network has 1 parameter, and a surface needs 2.")
