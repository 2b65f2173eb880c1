"""How an objective's rows are gone through in batches, with an update of the parameters after each.

A compiled call does a part of an epoch, a whole one, or several where they are short and nothing is
to be done in between.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.model import update_rules
from fastbp.model.objective import NO_PATIENCE, Leg, Patience, Walk
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments, Rule

__all__ = ["NO_PATIENCE", "NO_SHUFFLES", "EpochsMixin", "HostWalk", "Patience"]


NO_SHUFFLES = Shuffles(None)


class HostWalk:
    """A training's way through an objective's rows on the CPU: a `Walk`.

    Parameters
    ----------
    objective : Objective
        Whose rows are visited.
    parameters : ndarray of shape (n_parameters,)
        Where it starts; not changed.
    batch_size : int
        Rows of a batch; 1 is online mode.
    moments : Moments
        What the rule remembers, changed in place.
    shuffles : Shuffles
        Where the orders of rows come from.

    """

    def __init__(
        self,
        objective: Any,
        parameters: NDArray[np.floating],
        batch_size: int,
        moments: Moments,
        shuffles: Shuffles,
    ) -> None:
        self._objective, self._batch_size, self._shuffles = objective, batch_size, shuffles
        self._rows = np.arange(objective.data.n_samples)
        self._parameters, self._moments = parameters.copy(), moments

    @property
    def parameters(self) -> NDArray[np.floating]:
        """Where it is."""
        return self._parameters

    @property
    def moments(self) -> Moments:
        """What the rule remembers there."""
        return self._moments

    def epochs(self, leg: Leg) -> NDArray[np.float64]:
        """Go a leg, or the part of it that a compiled call does; returns each epoch's loss."""
        return self._objective.epochs(
            self.parameters,
            self._rows,
            self._batch_size,
            leg.rule,
            self.moments,
            self._shuffles,
            leg.patience,
            leg.most,
        )

    @property
    def is_finite(self) -> bool:
        """Whether all numbers that training changes are finite.

        A second moment that overflows would stop Adam without a word.
        """
        return bool(np.isfinite(self.parameters).all() and np.isfinite(self.moments.second).all())

    def gradient(self, parameters: NDArray[np.floating]) -> NDArray[np.floating]:
        """Gradient over all rows, by the kernel that trains."""
        return self._objective.gradient(parameters, self._batch_size)


class EpochsMixin:
    """The epochs of an `Objective`."""

    def walk(
        self: Any,
        parameters: NDArray[np.floating],
        batch_size: int,
        rule: Rule,
        moments: Moments,
        shuffles: Shuffles,
    ) -> Walk:
        """Begin a `Walk` from some parameters, by a rule whose numbers alone may change."""
        del rule
        return HostWalk(self, parameters, batch_size, moments, shuffles)

    def epoch(
        self: Any,
        parameters: NDArray[np.floating],
        rows: NDArray[np.int64],
        batch_size: int,
        rule: Rule,
        moments: Moments,
    ) -> float:
        """Go once through rows in mini-batches, updating the parameters after each.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector, changed in place.
        rows : ndarray of shape (n,)
            Row numbers, in the order to be visited.
        batch_size : int
            Rows of a batch; the last may be smaller. 1 is online mode.
        rule : Rule
            The update rule.
        moments : Moments
            What the rule remembers, changed in place.

        Returns
        -------
        loss : float
            The mean of the batches' losses, each before its update, weighted by their rows.
        """
        rows_per_call = self._rows_of_a_call(batch_size)
        if rows_per_call == 0:
            return self._epoch_of_large_batches(parameters, rows, batch_size, rule, moments)
        loss, n_rows = 0.0, 0
        for start in range(0, len(rows), rows_per_call):
            part = rows[start : start + rows_per_call]
            losses, n_counted = self._call(
                parameters, part, batch_size, rule, moments, NO_SHUFFLES, NO_PATIENCE, 1
            )
            loss, n_rows = loss + losses[0] * n_counted, n_rows + n_counted
        return loss / n_rows

    def epochs(
        self: Any,
        parameters: NDArray[np.floating],
        rows: NDArray[np.int64],
        batch_size: int,
        rule: Rule,
        moments: Moments,
        shuffles: Shuffles,
        patience: Patience,
        most: int,
    ) -> NDArray[np.float64]:
        """Go through rows for some epochs, as many as a compiled call of short duration does.

        Parameters
        ----------
        parameters, rows, batch_size, rule, moments
            As for `epoch`; the rows are shuffled in place before each epoch.
        shuffles : Shuffles
            Where the orders come from.
        patience : Patience
            When there has been no improvement for too long; then it stops.
        most : int
            Epochs at most.

        Returns
        -------
        losses : ndarray of shape (n_epochs,)
            The loss of each epoch made, one at least. The last is not finite, or a parameter is
            not, if training diverged in it.
        """
        n_epochs = self._rows_of_a_call(batch_size) // len(rows)
        if n_epochs == 0 or not shuffles.are_compiled:
            shuffles.shuffle(rows)
            return np.array([self.epoch(parameters, rows, batch_size, rule, moments)])
        n_epochs = min(n_epochs, most)
        losses, _ = self._call(
            parameters, rows, batch_size, rule, moments, shuffles, patience, n_epochs
        )
        return losses

    def gradient(
        self: Any, parameters: NDArray[np.floating], batch_size: int
    ) -> NDArray[np.floating]:
        """Gradient over all rows, by the kernel that trains in such batches.

        To have it from `loss_and_gradient` would mean to compile another kernel. Here the rows are
        gone through at a rate of next to nothing, a power of two, with a momentum of 1: the weights
        stay where they are, and the velocity is the sum of the gradients times the rate.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector, of the data's dtype; not changed.
        batch_size : int
            Rows of a batch in training; 1 is online mode.

        Returns
        -------
        gradient : ndarray of shape (n_parameters,)
            The gradient of the objective L, a new array.
        """
        if self._rows_of_a_call(batch_size) == 0:  # then that is the kernel that trains
            return self.loss_and_gradient(parameters)[1]
        self.n_evaluations += 1
        rate = 2.0 ** (-100 if parameters.dtype == np.float32 else -500)
        rule = update_rules.sgd(rate, 1.0, False)
        rows, staying = self._all_rows, parameters.copy()
        total_weight, gradient = self.total_weight, np.zeros_like(parameters)
        rows_per_call = self._rows_of_a_call(1) if batch_size == 1 else self._rows_per_call
        for start in range(0, len(rows), rows_per_call):
            part = rows[start : start + rows_per_call]
            moments = Moments.zeros(parameters.size, parameters.dtype)
            batch = 1 if batch_size == 1 else len(part)
            self._call(staying, part, batch, rule, moments, NO_SHUFFLES, NO_PATIENCE, 1, alpha=0.0)
            # What a batch's gradient was divided by.
            weight = self.data.mean_weight if batch == 1 else self._total_weight(part)
            gradient -= moments.first * parameters.dtype.type(weight / total_weight / rate)
        n = self.network.n_weights
        gradient[:n] += parameters[:n] * parameters.dtype.type(self.alpha / total_weight)
        return gradient

    def _rows_of_a_call(self: Any, batch_size: int) -> int:
        """How many rows a compiled call may visit: whole batches, or chunks of single rows."""
        if batch_size == 1:
            chunk = self._kernels.ROWS_OF_A_CHUNK
            return math.ceil(self._rows_per_call / chunk) * chunk
        return self._rows_per_call // batch_size * batch_size

    def _call(
        self: Any,
        parameters: NDArray[np.floating],
        rows: NDArray[np.int64],
        batch_size: int,
        rule: Rule,
        moments: Moments,
        shuffles: Shuffles,
        patience: Patience,
        n_epochs: int,
        alpha: float | None = None,
    ) -> tuple[NDArray[np.float64], int]:
        run = self._kernels.online_epochs if batch_size == 1 else self._kernels.batch_epochs
        course = self._kernels.Course(
            generator=shuffles.generator,
            draws=np.empty(len(rows) + 1, np.int64),
            best_loss=float(patience.best_loss),
            tol=float(patience.tol),
            n_no_improvement=float(patience.n_no_improvement),
            most=float(patience.most),
            losses=np.zeros(n_epochs),
        )
        n_made, n_counted, moments.n_steps = run(
            self._layout,
            parameters,
            self.data,
            rows,
            batch_size,
            self.alpha if alpha is None else alpha,
            rule,
            (moments.first, moments.second, moments.n_steps),
            course,
            self._workspace,
        )
        return course.losses[:n_made], n_counted

    def _epoch_of_large_batches(
        self: Any,
        parameters: NDArray[np.floating],
        rows: NDArray[np.int64],
        batch_size: int,
        rule: Rule,
        moments: Moments,
    ) -> float:
        """One batch is more than a compiled call should do: slabs in threads, then a step."""
        loss, n_rows = 0.0, 0
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            total_weight = self._total_weight(batch)
            if total_weight == 0:
                continue
            if len(batch) == 1:
                total_weight = self.data.mean_weight
            batch_loss, gradient = self._loss_and_gradient(
                parameters, self._slabs(batch), total_weight
            )
            state = (moments.first, moments.second, moments.n_steps)
            self._kernels.step(self._layout, parameters, gradient, rule, state, self._workspace)
            moments.n_steps += 1
            loss, n_rows = loss + batch_loss * len(batch), n_rows + len(batch)
        return loss / n_rows
