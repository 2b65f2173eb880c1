"""A data set in partitions: what a fit knows of it, and where its sums are made."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.dask import part as parts
from fastbp.backends.dask.schedulers import Scheduler
from fastbp.backends.dask.tree import Sums
from fastbp.machine.lazy import lazy
from fastbp.model.data import Data
from fastbp.model.network import Network

__all__ = ["Partitions", "Totals"]


class Totals(NamedTuple):
    """What is known of all rows together.

    Attributes
    ----------
    n_samples : int
        Their number.
    total_weight : float
        Sum of their sample weights.
    is_weighted : bool
        Whether there are sample weights.
    loss_of_best_constant : float
        The loss of predicting the same for each row; 0 where that is not known.
    """

    n_samples: int
    total_weight: float
    is_weighted: bool
    loss_of_best_constant: float


class Partitions:
    """Rows that lie in partitions, in the place of `Data` for those that ask no more of it.

    Parameters
    ----------
    blocks : sequence of (X, y, sample_weight)
        The partitions, Delayed.
    check : callable
        ``check(X, y, sample_weight) -> Data or None``, run where a partition is: None where it has
        no row of any weight.
    name : str
        What the collections are called, for errors.
    scheduler : Scheduler
        Where they are worked on.
    dtype : dtype
        float64 or float32, of the Data.
    totals : Totals
        What is known of all rows.

    Attributes
    ----------
    dtype : dtype
        float64 or float32.
    totals : Totals
        What is known of all rows.
    """

    def __init__(
        self,
        blocks: Sequence[tuple[Any, Any, Any]],
        check: Callable[..., Data | None],
        name: str,
        scheduler: Scheduler,
        dtype: np.dtype,
        totals: Totals,
    ) -> None:
        self._blocks, self._check, self._name = blocks, check, name
        self._scheduler, self.dtype, self.totals = scheduler, np.dtype(dtype), totals

    def __len__(self) -> int:
        """Count the partitions."""
        return len(self._blocks)

    @lazy
    def _parts(self) -> list[Any]:
        from dask import delayed

        make, check = delayed(parts.make_part, pure=False), self._check
        if len(self._blocks) > 1:
            check = delayed(check, pure=False)  # sent once, not with each partition
        return self._scheduler.hold(
            [make(number, self._name, check, *block) for number, block in enumerate(self._blocks)]
        )

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return self.totals.n_samples

    @property
    def total_weight(self) -> float:
        """Sum of the sample weights."""
        return self.totals.total_weight

    @property
    def mean_weight(self) -> float:
        """The mean of the sample weights."""
        return self.total_weight / self.n_samples

    @property
    def is_weighted(self) -> bool:
        """Whether there are sample weights."""
        return self.totals.is_weighted

    def astype(self, dtype: np.typing.DTypeLike) -> "Partitions":
        """Give the same rows: sums are made in the dtype of the parameters."""
        del dtype
        return self

    def sum(self, function: Callable[..., Sums], *arguments: Any) -> tuple:
        """Sum ``function(part, n_threads, *arguments)`` over all partitions."""
        total = self._scheduler.sum(function, self._parts, *arguments)
        assert total is not None  # some row has a weight
        return total

    def predictions(
        self, network: Network, parameters: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """Give the predictions for all rows that count: (n_samples, n_outputs)."""
        each = self._scheduler.each(parts.predictions, self._parts, network, parameters)
        return np.concatenate(each)

    @lazy
    def targets(self) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
        """Give targets and sample weights of all rows that count, in memory."""
        each = [
            found for found in self._scheduler.each(parts.targets, self._parts) if found is not None
        ]
        y = np.concatenate([targets for targets, _ in each])
        return y, np.concatenate([weights for _, weights in each]) if self.is_weighted else None

    def train(
        self,
        state: parts.PassState,
        order: NDArray[np.int64],
        settings: parts.EpochSettings,
        seeds: Sequence[int | None],
    ) -> parts.PassState:
        """Let an epoch's state go through the partitions in an order."""
        steps = [(i, settings, seed) for i, seed in zip(order, seeds, strict=True)]
        return self._scheduler.chain(parts.train, state, self._parts, steps)

    def digest(self) -> bytes:
        """Equal for partitions that hold the same."""
        digest = hashlib.blake2b(digest_size=16)
        for of_part in self._scheduler.each(parts.digest, self._parts):
            digest.update(of_part)
        return digest.digest()
