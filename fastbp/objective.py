"""What solvers minimise: a network bound to data, weights, weight decay and threads.

The only place that calls kernels. They are imported here at the first use and not before, so that
``import fastbp`` costs no compiler.

Compiled calls are cut short: control is back in Python after some hundredths of a second, where
Ctrl-C is seen. The cuts fall between blocks or batches and change no bit of the result. Sums over
many rows are cut into at most 16 slabs, by the number of rows alone, and the slabs' sums are added
in order: the same bits for any number of threads.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import update_rules
from fastbp.data import Data, as_data
from fastbp.least_squares import LeastSquares
from fastbp.machine.threads import run_all
from fastbp.network import Network
from fastbp.shuffles import Shuffles
from fastbp.update_rules import Moments, Rule

__all__ = ["NO_PATIENCE", "Objective", "Patience", "loss_and_gradient"]

_MOST_SLABS = 16
_ROWS_WORTH_A_SLAB = 1024
_FLOPS_PER_CALL = 1e9


class Patience(NamedTuple):
    """When training without improvement has gone on for too long.

    Attributes
    ----------
    best_loss : float
        The lowest loss so far.
    n_no_improvement : int
        How many epochs in a row have not been better than the best by ``tol``.
    tol : float
        What counts as an improvement.
    most : float
        More of them than this are too many.
    """

    best_loss: float
    n_no_improvement: int
    tol: float
    most: float


NO_PATIENCE = Patience(math.inf, 0, 0.0, math.inf)
NO_SHUFFLES = Shuffles(None)


@dataclass
class Objective:
    r"""The loss of a network on data, as a function of its parameters.

    With the sample weights w and the sum of them W,

    .. math:: L(p) = \frac1W \sum_i w_i \sum_{outputs} loss_i(p) + \frac{\alpha}{2W} |weights|^2

    Parameters
    ----------
    network : Network
        The network.
    data : Data
        Inputs, targets and sample weights.
    alpha : float, default=0.0
        Strength of the weight decay; biases are not penalised.
    n_threads : int, default=1
        Threads for sums over many rows.

    Attributes
    ----------
    n_evaluations : int
        How often the loss and gradient of all rows were computed.
    """

    network: Network
    data: Data
    alpha: float = 0.0
    n_threads: int = 1
    n_evaluations: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        from fastbp import kernels

        n_inputs, *_, n_outputs = self.network.layer_sizes
        given = self.data.X.shape[1], self.data.y.shape[1]
        if given != (n_inputs, n_outputs):
            raise ValueError(
                f"The data have {given[0]} inputs and {given[1]} outputs, but the network of "
                f"layers {self.network.layer_sizes} is for {n_inputs} and {n_outputs}."
            )
        self._kernels = kernels
        self._layout = self.network.layout(self.data.dtype)
        self._workspace = kernels.make_workspace(self._layout, self.data.dtype)
        self._spare_workspaces: list[Any] = []
        block = self._workspace.block_rows
        flops_per_row = 6 * self.network.n_parameters
        self._rows_per_call = block * math.ceil(_FLOPS_PER_CALL / flops_per_row / block)

    def loss_and_gradient(
        self, parameters: NDArray[np.floating]
    ) -> tuple[float, NDArray[np.floating]]:
        """Loss and its gradient over all rows.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector, of the data's dtype.

        Returns
        -------
        loss : float
            The objective L, a mean over rows.
        gradient : ndarray of shape (n_parameters,)
            Its gradient, a new array.
        """
        self.n_evaluations += 1
        return self._loss_and_gradient(parameters, self._all_slabs, self.total_weight)

    def normal_equations(
        self, parameters: NDArray[np.floating]
    ) -> tuple[float, NDArray[np.floating], NDArray[np.floating]]:
        r"""Loss, gradient and Gauss-Newton matrix of least squares over all rows.

        With the Jacobian J of the predictions, errors e and weights, all times sqrt(w / W),

        .. math:: g = J^T e + \frac{\alpha}{W} w, \qquad H = J^T J + \frac{\alpha}{W} I_{weights}

        H is the Hessian of the loss but for the term of the errors times the network's own
        curvature, which is small where the errors are (Nocedal & Wright, section 10.1).

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector, of the data's dtype.

        Returns
        -------
        loss : float
            The objective L, a mean over rows.
        gradient : ndarray of shape (n_parameters,)
            Its gradient, a new array.
        hessian : ndarray of shape (n_parameters, n_parameters)
            The Gauss-Newton matrix, a new array. It is symmetric; below the diagonal the entries
            are not all filled in.

        Raises
        ------
        ValueError
            If the loss is not the squared error.
        """
        self.n_evaluations += 1
        total_weight = self.total_weight
        loss, gradient, hessian = self._least_squares.sums(parameters, self.n_threads)
        penalty = self._kernels.penalise(
            self.network.n_weights, parameters, gradient, self.alpha, total_weight
        )
        hessian /= total_weight
        if self.alpha > 0:
            weights = np.arange(self.network.n_weights)
            hessian[weights, weights] += self.alpha / total_weight
        return (loss + penalty) / total_weight, gradient, hessian

    @cached_property
    def total_weight(self) -> float:
        """Sum of the sample weights."""
        return self._total_weight(self._all_rows)

    @cached_property
    def _all_rows(self) -> NDArray[np.int64]:
        return np.arange(self.data.n_samples)

    @cached_property
    def _all_slabs(self) -> list[NDArray[np.int64]]:
        return self._slabs(self._all_rows)

    @cached_property
    def _least_squares(self) -> LeastSquares:
        return LeastSquares(self.network, self.data)

    def epoch(
        self,
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
        self,
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

    def gradient(self, parameters: NDArray[np.floating], batch_size: int) -> NDArray[np.floating]:
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

    def _rows_of_a_call(self, batch_size: int) -> int:
        """How many rows a compiled call may visit: whole batches, or chunks of single rows."""
        if batch_size == 1:
            chunk = self._kernels.ROWS_OF_A_CHUNK
            return math.ceil(self._rows_per_call / chunk) * chunk
        return self._rows_per_call // batch_size * batch_size

    def _call(
        self,
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
        self,
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

    def _total_weight(self, rows: NDArray[np.int64]) -> float:
        weights = self.data.weights
        return float(weights[rows].sum(dtype=np.float64)) if len(weights) else float(len(rows))

    def _loss_and_gradient(
        self,
        parameters: NDArray[np.floating],
        slabs: list[NDArray[np.int64]],
        total_weight: float,
    ) -> tuple[float, NDArray[np.floating]]:
        losses = np.zeros(len(slabs))
        gradients = np.zeros((len(slabs), parameters.size), dtype=parameters.dtype)

        def sum_slab(i: int) -> Iterator[None]:
            workspace = self._lend_workspace()
            for start in range(0, len(slabs[i]), self._rows_per_call):
                part = slabs[i][start : start + self._rows_per_call]
                losses[i] += self._kernels.accumulate(
                    self._layout, parameters, self.data, part, workspace, gradients[i]
                )
                yield
            self._spare_workspaces.append(workspace)

        if len(slabs) == 1:  # a small table, of which Python must not take longer than the sum
            for _ in sum_slab(0):
                pass
        else:
            run_all(sum_slab, range(len(slabs)), self.n_threads)
        gradient = gradients[0]
        for other in gradients[1:]:
            gradient += other
        penalty = self._kernels.penalise(
            self.network.n_weights, parameters, gradient, self.alpha, total_weight
        )
        return (float(losses.sum()) + penalty) / total_weight, gradient

    def _lend_workspace(self) -> Any:
        """Lend a workspace to a thread, which puts it back."""
        try:
            return self._spare_workspaces.pop()
        except IndexError:  # all are in use by other threads
            return self._kernels.make_workspace(self._layout, self.data.dtype)

    def _slabs(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        n_slabs = min(_MOST_SLABS, math.ceil(len(rows) / _ROWS_WORTH_A_SLAB))
        size = math.ceil(len(rows) / n_slabs)
        return [rows[start : start + size] for start in range(0, len(rows), size)]


def loss_and_gradient(
    network: Network,
    parameters: ArrayLike,
    X: Any,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    alpha: float = 0.0,
) -> tuple[float, NDArray[np.floating]]:
    """Loss of a network on data and its gradient, by compiled backpropagation.

    Parameters
    ----------
    network : Network
        The network.
    parameters : array-like of shape (n_parameters,)
        The parameter vector (see `Network.pack`).
    X : array-like or sparse matrix of shape (n_samples, n_features)
        The inputs; float32 inputs are computed with in float32, all else in float64.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        The targets.
    sample_weight : array-like of shape (n_samples,), default=None
        The sample weights.
    alpha : float, default=0.0
        Strength of the weight decay.

    Returns
    -------
    loss : float
        The weighted mean over rows of the loss summed over outputs, plus
        ``alpha / 2 * |weights|^2 / sum(sample_weight)``.
    gradient : ndarray of shape (n_parameters,)
        Its gradient.

    Raises
    ------
    ValueError
        If ``parameters`` has another length than the network has parameters, or X or y another
        number of columns than it has inputs or outputs.
    """
    data = as_data(X, y, sample_weight)
    vector = np.require(parameters, dtype=data.dtype, requirements=["C", "A", "W", "E"])
    if vector.shape != (network.n_parameters,):
        raise ValueError(
            f"parameters has shape {vector.shape}; a network of layers {network.layer_sizes} has "
            f"({network.n_parameters},)."
        )
    return Objective(network, data, alpha).loss_and_gradient(vector)


def predict(
    network: Network, parameters: NDArray[np.floating], data: Data, n_threads: int = 1
) -> NDArray[np.floating]:
    """Predictions of a network, row by row the same bits however the rows are grouped.

    Parameters
    ----------
    network : Network
        The network.
    parameters : ndarray of shape (n_parameters,)
        The parameter vector, of the data's dtype.
    data : Data
        The inputs.
    n_threads : int, default=1
        Threads among which the rows are divided.

    Returns
    -------
    prediction : ndarray of shape (n_samples, n_outputs)
        The network's outputs.
    """
    from fastbp import kernels

    prediction = np.empty((data.n_samples, network.layer_sizes[-1]), dtype=data.dtype)
    rows = np.arange(data.n_samples)
    per_call = max(1, int(_FLOPS_PER_CALL / (2 * network.n_parameters)))
    per_slab = math.ceil(len(rows) / n_threads)

    def predict_slab(begin: int) -> Iterator[None]:
        workspace = kernels.make_workspace(network.layout(data.dtype), data.dtype)
        end = min(begin + per_slab, len(rows))
        for start in range(begin, end, per_call):
            part = slice(start, min(start + per_call, end))
            kernels.predict(
                network.layout(data.dtype),
                parameters,
                data,
                rows[part],
                workspace,
                prediction[part],
            )
            yield

    run_all(predict_slab, range(0, len(rows), per_slab), n_threads)
    return prediction
