"""What happens at the end of an iteration: it is recorded, printed, scored and reported.

Every solver has one `Monitor` and calls it at the end of each iteration, or of several that were
made in one compiled call. A watcher is a function of the `History` that is called after each
iteration, such as the command line's progress bar. A `Callback` may end the training.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from os import PathLike
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastbp.solvers.history import History
from fastbp.solvers.path import Path
from fastbp.solvers.states import TrainingState
from fastbp.solvers.stopping import EarlyStopping

__all__ = [
    "Callback",
    "Checkpoint",
    "HasParameters",
    "Monitor",
    "SoFar",
    "Watcher",
    "current_watchers",
    "watching",
]

#: Called with the history at the end of each iteration.
Watcher = Callable[[History], object]
#: Gives what a training would return if it ended here: parameters, and a history of its own.
SoFar = Callable[[], tuple[NDArray[np.floating], History]]


class Callback(Protocol):
    """Asked from time to time whether a training, which would go on, is to end.

    Attributes
    ----------
    every : int
        Iterations from one time to the next.
    """

    every: int

    def __call__(self, so_far: SoFar) -> bool:
        """Whether to end."""
        ...


class HasParameters(Protocol):
    """Where a training stands."""

    @property
    def parameters(self) -> NDArray[np.floating]:
        """The parameters there, (n_parameters,)."""
        ...


_watchers: ContextVar[tuple[Watcher, ...]] = ContextVar("watchers", default=())


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Show a watcher every iteration of the fits that begin in a block."""
    token = _watchers.set((*_watchers.get(), watcher))
    try:
        yield
    finally:
        _watchers.reset(token)


def current_watchers() -> tuple[Watcher, ...]:
    """Who watches the fits that begin here."""
    return _watchers.get()


class Checkpoint(Protocol):
    """Where the state of a training is kept while it goes on.

    Attributes
    ----------
    path : str or path-like
        The file.
    """

    path: str | PathLike[str]

    @property
    def is_due(self) -> bool:
        """Whether it is time to write."""
        ...

    def write(self, state: TrainingState) -> None:
        """Keep a state in the place of the one before."""
        ...


@dataclass
class Monitor:
    """Keeps a training's history, prints it, asks early stopping, and tells watchers.

    Attributes
    ----------
    history : History
        The history so far, which the training continues.
    early_stopping : EarlyStopping or None
        Then a validation score decides which parameters are the best, and when to stop.
    tol : float
        What counts as an improvement of the loss.
    verbose : bool
        Whether to print a line an iteration.
    watchers : tuple of callable
        Called with the history at the end of each iteration.
    callback : Callback or None
        Asked whether to end.
    path : Path or None
        Then the parameters after each iteration are kept there.
    checkpoint : Checkpoint or None
        Where the training is kept between its iterations.
    resumed : TrainingState or None
        A training that was kept so, and which this one goes on with.
    """

    history: History = field(default_factory=History)
    early_stopping: EarlyStopping | None = None
    tol: float = 0.0
    verbose: bool = False
    watchers: tuple[Watcher, ...] = ()
    callback: Callback | None = None
    path: Path | None = None
    checkpoint: Checkpoint | None = None
    resumed: TrainingState | None = None

    def begin(self) -> None:
        """Begin a training: its iterations and evaluations are counted from 0, its time goes on."""
        if self.resumed is None:
            self.history.n_iter = self.history.n_fun = 0
            self.history.gradient_norm = math.nan
        self._n_fun_at_end = self._n_fun_told
        self._last_end = self.history.time_curve[-1] if self.history.time_curve else 0.0
        self._since = time.perf_counter() - self._last_end

    @property
    def _n_fun_told(self) -> int:
        """Evaluations of this training until the end of its last iteration."""
        n_iter, curve = self.history.n_iter, self.history.n_fun_curve
        if n_iter == 0:
            return 0
        return curve[-1] - (curve[-n_iter - 1] if len(curve) > n_iter else 0)

    def end_iteration(self, loss: float, gradient_norm: float) -> None:
        """Record one iteration: of a small table that takes as long as some of its gradients."""
        history, n_fun_curve = self.history, self.history.n_fun_curve
        self._last_end = time.perf_counter() - self._since
        n_fun = (n_fun_curve[-1] if n_fun_curve else 0) + history.n_fun - self._n_fun_at_end
        self._n_fun_at_end = history.n_fun
        history.n_iter += 1
        history.time_curve.append(self._last_end)
        n_fun_curve.append(n_fun)
        history.gradient_norm_curve.append(gradient_norm)
        history.record_losses((loss,), self.tol)
        if self.verbose or self.watchers:
            self._show(gradient_norm)

    def end_iterations(self, losses: Sequence[float], gradient_norm: float = math.nan) -> None:
        """Record iterations that were made in one go, with the gradient norm after the last."""
        history, begin, n = self.history, self._last_end, len(losses)
        self._last_end = time.perf_counter() - self._since
        each = (self._last_end - begin) / max(n, 1)  # epochs of one call take the same time
        n_fun = history.n_fun_curve[-1] if history.n_fun_curve else 0
        n_fun_each = (history.n_fun - self._n_fun_at_end) // max(n, 1)
        self._n_fun_at_end = history.n_fun
        at_once = 1 if self.verbose or self.watchers else max(n, 1)  # who look at each
        for start in range(0, n, at_once):
            numbers = range(start + 1, start + at_once + 1)
            history.n_iter += at_once
            history.time_curve.extend([begin + i * each for i in numbers])
            history.n_fun_curve.extend([n_fun + i * n_fun_each for i in numbers])
            history.gradient_norm_curve.extend([gradient_norm] * at_once)
            history.record_losses(losses[start : start + at_once], self.tol)
            self._show(gradient_norm)

    def _show(self, gradient_norm: float) -> None:
        """Show the latest iteration to who look at each."""
        history = self.history
        if self.verbose:
            norm = "" if math.isnan(gradient_norm) else f", gradient = {gradient_norm:.2e}"
            print(f"Iteration {history.n_iter}, loss = {history.loss:.8f}{norm}")
        for watcher in self.watchers:
            watcher(history)

    def record_point(self, point: HasParameters) -> None:
        """Keep the parameters at the start or after an iteration, if the path is recorded."""
        if self.path is not None:  # only then they are asked for, which may be on a device
            self.path.add(point.parameters)

    def record_score(self, parameters: NDArray[np.floating]) -> bool:
        """Score the parameters after an iteration; returns whether they are the best so far."""
        if self.early_stopping is None:
            return False
        score = self.early_stopping.score(parameters)
        is_best = self.history.record_score(score, self.early_stopping.tol)
        self.say(f"Validation score: {score:f}")
        return is_best

    def says_stop(self) -> bool:
        """Whether early stopping ends the training here."""
        return self.early_stopping is not None and self.early_stopping.says_stop(self.history)

    def callback_says_stop(self, so_far: SoFar) -> bool:
        """Whether the callback ends the training here, which would go on."""
        callback = self.callback
        if callback is None or self.history.n_iter % callback.every:
            return False
        return callback(so_far)

    def iterations_in_a_row(self, most: int) -> int:
        """How many iterations may follow each other before the callback's turn."""
        if self.callback is None:
            return most
        return min(most, self.callback.every - self.history.n_iter % self.callback.every)

    def say(self, line: str) -> None:
        """Print a line, if lines are wanted."""
        if self.verbose:
            print(line)
