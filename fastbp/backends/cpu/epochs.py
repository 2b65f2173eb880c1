"""Rows gone through in batches, with an update of the parameters after each: online to full batch.

A compiled call does a part of an epoch, a whole one, or several where they are short and nothing is
to be done in between.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu import load_kernels
from fastbp.backends.cpu.full_pass import FullPass
from fastbp.backends.cpu.team import TeamOfThreads, n_members_for
from fastbp.machine.lazy import lazy
from fastbp.model.data import batch_divisor
from fastbp.model.objective import NO_PATIENCE, EpochPlan, Patience
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments, Rule, sgd

__all__ = ["CpuRun"]

_NO_SHUFFLES = Shuffles(None)


class CpuRun:
    """A training's way through its rows on the CPU: a `Run`.

    Parameters
    ----------
    full_pass : FullPass
        Network, data, threads and workspace.
    alpha : float
        Strength of the weight decay.
    parameters : ndarray of shape (n_parameters,)
        Where it starts; not changed.
    batch_size : int
        Rows of a batch, of which the last of an epoch may have fewer; 1 is online mode.
    moments : Moments
        What the update rule remembers, changed in place.
    shuffles : Shuffles
        Where the order of rows of each epoch comes from.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
        The parameters now.
    moments : Moments
        What the rule remembers now.
    """

    def __init__(
        self,
        full_pass: FullPass,
        alpha: float,
        parameters: NDArray[np.floating],
        batch_size: int,
        moments: Moments,
        shuffles: Shuffles,
    ) -> None:
        self.parameters, self.moments = parameters.copy(), moments
        self._full_pass, self._data, self._alpha = full_pass, full_pass.data, alpha
        self._batch_size, self._shuffles = batch_size, shuffles
        self._kernels = load_kernels()

    @lazy
    def rows(self) -> NDArray[np.int64]:
        """Give the rows in the order of the latest epoch, from which the next one's is drawn."""
        return np.arange(self._data.n_samples)

    @property
    def is_finite(self) -> bool:
        """Whether all numbers that training changes are finite.

        A second moment that overflows would stop Adam without a word.
        """
        return bool(np.isfinite(self.parameters).all() and np.isfinite(self.moments.second).all())

    def epochs(self, plan: EpochPlan) -> NDArray[np.float64]:
        """Make the epochs of a plan, or as many of them as a compiled call of short duration does.

        Parameters
        ----------
        plan : EpochPlan
            The rule, how many epochs at most, and when to end before.

        Returns
        -------
        losses : ndarray of shape (n_epochs,)
            The loss of each epoch made, one at least: the mean of its batches' losses, each before
            its update, weighted by their rows. The last is not finite, or a parameter is not, if
            training diverged in it.
        """
        n_epochs = self._rows_per_call // len(self.rows)
        if n_epochs > 0 and self._shuffles.are_compiled:
            n_epochs = min(n_epochs, plan.max_epochs)
            losses, _ = self._call(self.rows, plan.rule, self._shuffles, plan.patience, n_epochs)
            return losses
        self._shuffles.shuffle(self.rows)
        return np.array([self._epoch(plan.rule)])

    def gradient(self, parameters: NDArray[np.floating]) -> NDArray[np.floating]:
        """Gradient over all rows, by the kernel that trains in such batches.

        To have it from `FullPass` would mean to compile another kernel. Here the rows are gone
        through at a learning rate close to 0, a power of two, with a momentum of 1: the weights
        stay where they are, and the velocity is the sum of the gradients times the rate.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector, of the data's dtype; not changed.

        Returns
        -------
        gradient : ndarray of shape (n_parameters,)
            The gradient of the objective L, a new array.
        """
        full_pass, network, dtype = self._full_pass, self._full_pass.network, parameters.dtype
        if self._rows_per_call == 0:  # then that is the kernel that trains
            return full_pass.loss_and_gradient(parameters, self._alpha)[1]
        rate = 2.0 ** (-100 if dtype == np.float32 else -500)
        total_weight, gradient = full_pass.total_weight, np.zeros_like(parameters)
        is_online, n_samples = self._batch_size == 1, self._data.n_samples
        per_call = self._rows_per_call if is_online else full_pass.rows_per_call
        moments = Moments.zeros(parameters.size, dtype)
        there = CpuRun(full_pass, 0.0, parameters, self._batch_size, moments, _NO_SHUFFLES)
        for start in range(0, n_samples, per_call):
            part = np.arange(start, min(start + per_call, n_samples))
            there.moments = Moments.zeros(parameters.size, dtype)
            there._batch_size, there._run = 1 if is_online else len(part), self._run
            there._call(part, sgd(rate, 1.0, False), _NO_SHUFFLES, NO_PATIENCE, 1)
            divisor = batch_divisor(
                there._batch_size, self._data.total_weight_of(part), self._data.mean_weight
            )
            gradient -= there.moments.first * dtype.type(divisor / total_weight / rate)
        n = network.n_weights
        gradient[:n] += parameters[:n] * dtype.type(self._alpha / total_weight)
        return gradient

    @lazy
    def _run(self) -> Callable:
        """Choose what makes epochs: the online loop, a team, or the loop of one thread."""
        if self._batch_size == 1:
            return self._kernels.online_epochs
        n_members = n_members_for(self._full_pass, self._batch_size)
        if n_members > 1:
            return TeamOfThreads(self._full_pass, self._batch_size, n_members).epochs
        return self._kernels.batch_epochs

    @property
    def _rows_per_call(self) -> int:
        """How many rows a compiled call may visit: whole batches, or chunks of single rows."""
        per_call = self._full_pass.rows_per_call
        if self._batch_size == 1:
            chunk = self._kernels.ROWS_OF_A_CHUNK
            return math.ceil(per_call / chunk) * chunk
        return per_call // self._batch_size * self._batch_size

    def _epoch(self, rule: Rule) -> float:
        """Go once through the rows in their order; returns the epoch's loss."""
        per_call = self._rows_per_call
        if per_call == 0:
            return self._epoch_of_large_batches(rule)
        loss, n_rows = 0.0, 0
        for start in range(0, len(self.rows), per_call):
            part = self.rows[start : start + per_call]
            losses, n_counted = self._call(part, rule, _NO_SHUFFLES, NO_PATIENCE, 1)
            loss, n_rows = loss + losses[0] * n_counted, n_rows + n_counted
        return loss / n_rows

    def _call(
        self,
        rows: NDArray[np.int64],
        rule: Rule,
        shuffles: Shuffles,
        patience: Patience,
        n_epochs: int,
    ) -> tuple[NDArray[np.float64], int]:
        """Call the kernel; returns the losses of the epochs made, and the rows in the last one."""
        moments, full_pass, kernels = self.moments, self._full_pass, self._kernels
        state = kernels.EpochState(
            generator=shuffles.generator,
            draws=np.empty(len(rows) + 1, np.int64),
            best_loss=float(patience.best_loss),
            tol=float(patience.tol),
            n_no_improvement=float(patience.n_no_improvement),
            max_bad_epochs=float(patience.max_bad_epochs),
            losses=np.zeros(n_epochs),
        )
        n_made, n_counted, moments.n_steps = self._run(
            full_pass.layout_plan,
            self.parameters,
            full_pass.data_plan,
            rows,
            self._batch_size,
            self._alpha,
            rule,
            (moments.first, moments.second, moments.n_steps),
            state,
            full_pass.workspace_plan,
        )
        return state.losses[:n_made], n_counted

    def _epoch_of_large_batches(self, rule: Rule) -> float:
        """One batch is more than a compiled call should do: slabs in threads, then a step."""
        full_pass, moments, loss, n_rows = self._full_pass, self.moments, 0.0, 0
        for start in range(0, len(self.rows), self._batch_size):
            batch = self.rows[start : start + self._batch_size]
            total_weight = self._data.total_weight_of(batch)
            divisor = batch_divisor(len(batch), total_weight, self._data.mean_weight)
            if divisor == 0:
                continue
            batch_loss, gradient = full_pass.loss_and_gradient_of(
                self.parameters, batch, divisor, self._alpha
            )
            state = (moments.first, moments.second, moments.n_steps)
            self._kernels.step(
                full_pass.layout_plan,
                self.parameters,
                gradient,
                rule,
                state,
                full_pass.workspace_plan,
            )
            moments.n_steps += 1
            loss, n_rows = loss + batch_loss * len(batch), n_rows + len(batch)
        return loss / n_rows
