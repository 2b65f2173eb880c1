"""One partition's rows as the CPU's kernels take them, and the sums over them: what workers run."""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.curvature import Curvature
from fastbp.backends.cpu.full_pass import FullPass
from fastbp.backends.cpu.normal_equations import NormalEquations
from fastbp.backends.cpu.objective import Objective
from fastbp.backends.cpu.predict import predict
from fastbp.backends.dask.faults import RowsError
from fastbp.backends.dask.tree import Sums
from fastbp.model.data import Data, batch_divisors
from fastbp.model.network import Network
from fastbp.model.objective import NO_PATIENCE, EpochPlan
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments, Rule

__all__ = [
    "EpochSettings",
    "Part",
    "PassState",
    "curvature_gradient",
    "digest",
    "loss_and_gradient",
    "make_part",
    "normal_equations",
    "predictions",
    "targets",
    "train",
]


class Part:
    """A partition's rows, and what sums over them, which stays where the rows lie.

    Parameters
    ----------
    data : Data or None
        The rows; None where there are none, or none of any weight.
    """

    def __init__(self, data: Data | None) -> None:
        self.data = data
        self._made: dict[type, Any] = {}

    def __getstate__(self) -> dict:
        return {"data": self.data}  # kernels' workspaces are made anew on another worker

    def __setstate__(self, state: dict) -> None:
        data = state["data"]
        if data is not None:
            # What comes over the network may be read-only, for which kernels are not compiled.
            data = Data._make(
                [np.require(array, requirements="W") for array in data[:-1]] + [data.mean_weight]
            )
        self.__init__(data)  # type: ignore[misc]

    def __sizeof__(self) -> int:
        arrays = () if self.data is None else self.data[:-1]
        return sum(array.nbytes for array in arrays) + object.__sizeof__(self)

    def full_pass(self, network: Network, n_threads: int) -> FullPass:
        """Give sums of losses and gradients, for some threads."""
        full_pass = self._of(FullPass, network, n_threads)
        full_pass.n_threads = n_threads
        return full_pass

    def normal_equations(self, network: Network) -> NormalEquations:
        """Give sums of least squares."""
        return self._of(NormalEquations, network)

    def curvature(self, network: Network) -> Curvature:
        """Give sums of second derivatives."""
        return self._of(Curvature, network)

    def _of(self, kind: type, network: Network, *arguments: Any) -> Any:
        """Give what sums in some way, made anew for another network."""
        assert self.data is not None
        made = self._made.get(kind)
        if made is None or made.network != network:
            made = self._made[kind] = kind(network, self.data, *arguments)
        return made

    def astype(self, dtype: np.dtype) -> "Part":
        """Give the same rows in another dtype."""
        if self.data is None or self.data.dtype == dtype:
            return self
        return Part(self.data.astype(dtype))


def make_part(
    number: int, name: str, check: Callable[..., Data | None], X: Any, y: Any, weights: Any
) -> Part:
    """Check a partition's rows.

    Parameters
    ----------
    number : int
        The partition's number, for errors.
    name : str
        What the collections are called, likewise.
    check : callable
        ``check(X, y, weights) -> Data``.
    X, y, weights : array, DataFrame or Series
        The partition.

    Returns
    -------
    part : Part
        Its rows.

    Raises
    ------
    ValueError
        If they are wrong.
    """
    if len(y) == 0 and X.shape[0] == 0:
        return Part(None)
    try:
        return Part(check(X, y, weights))
    except (ValueError, TypeError) as error:
        raise RowsError(f"In partition {number} of {name}: {error}") from error


def loss_and_gradient(
    part: Part, n_threads: int, network: Network, parameters: NDArray[np.floating]
) -> Sums:
    """Sum losses and their gradients, weight decay left out, in float64 above the partition."""
    if part.data is None:
        return None
    vector = network.vector(parameters, part.data.dtype)
    loss, gradient = part.full_pass(network, n_threads).sums(vector)
    return loss, gradient.astype(np.float64)


def normal_equations(
    part: Part, n_threads: int, network: Network, parameters: NDArray[np.floating]
) -> Sums:
    """Sum squared errors, their gradients and J'J; see `NormalEquations.sums`."""
    part = part.astype(parameters.dtype)
    if part.data is None:
        return None
    vector = network.vector(parameters, part.data.dtype)
    loss, gradient, products = part.normal_equations(network).sums(vector, n_threads)
    return loss, gradient.astype(np.float64), products.astype(np.float64)


def curvature_gradient(
    part: Part,
    n_threads: int,
    network: Network,
    parameters: NDArray[np.floating],
    direction: NDArray[np.float64],
) -> Sums:
    """Sum the gradients of second derivatives; see `Curvature.sums`."""
    part = part.astype(parameters.dtype)
    if part.data is None:
        return None
    vector = network.vector(parameters, part.data.dtype)
    return (part.curvature(network).sums(vector, direction, n_threads),)


def predictions(
    part: Part, n_threads: int, network: Network, parameters: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Predict for a partition's rows: (n_samples, n_outputs)."""
    if part.data is None:
        return np.empty((0, network.layer_sizes[-1]), parameters.dtype)
    return predict(network, network.vector(parameters, part.data.dtype), part.data, n_threads)


def targets(part: Part, n_threads: int) -> tuple[NDArray, NDArray] | None:
    """Give a partition's targets and sample weights."""
    del n_threads
    return None if part.data is None else (part.data.y, part.data.weights)


def digest(part: Part, n_threads: int) -> bytes:
    """Equal for partitions that hold the same."""
    del n_threads
    return hashlib.blake2b(b"").digest() if part.data is None else part.data.digest()


class EpochSettings(NamedTuple):
    """What an epoch's partitions have in common: how a batch updates the parameters.

    Attributes
    ----------
    network : Network
        The network.
    alpha : float
        Strength of the weight decay.
    batch_size : int
        Rows of a batch, of which the last of a partition may have fewer.
    rule : Rule
        The update rule.
    mean_weight : float
        The mean sample weight of all rows, which scales a batch of one.
    """

    network: Network
    alpha: float
    batch_size: int
    rule: Rule
    mean_weight: float


class PassState(NamedTuple):
    """What goes from partition to partition in an epoch of sgd or adam.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
        The parameters.
    moments : Moments
        What the rule remembers.
    loss : float
        Sum of the losses of the rows visited in this epoch.
    n_rows : int
        How many of them count.
    """

    parameters: NDArray[np.floating]
    moments: Moments
    loss: float = 0.0
    n_rows: int = 0


def train(state: PassState, part: Part, settings: EpochSettings, seed: int | None) -> PassState:
    """Go through a partition's rows in batches, in an order drawn from a seed, or in their own."""
    if part.data is None:
        return state
    network, alpha, batch_size, rule, mean_weight = settings
    data = part.data._replace(mean_weight=mean_weight)
    batch_size = min(batch_size, data.n_samples)
    with Shuffles(None if seed is None else np.random.RandomState(seed), is_for_one=True) as order:
        objective = Objective(network, data, alpha)
        moments = state.moments.copy()
        run = objective.run(state.parameters, batch_size, rule, moments, order)
        with np.errstate(all="ignore"):  # of a training that diverges, which is looked for
            (loss,) = run.epochs(EpochPlan(rule, NO_PATIENCE, 1))
    n_counted = batch_divisors(data, run.rows, batch_size)[1]
    return PassState(
        run.parameters, run.moments, state.loss + float(loss) * n_counted, state.n_rows + n_counted
    )
