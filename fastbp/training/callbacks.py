"""Callbacks, as scikit-learn 1.9 has them: they are told of a fit as it goes on, and may end it.

A fit is a task whose subtasks are stretches of iterations; with several starts, each start is a
subtask, and the stretches are its own. A stretch is one iteration where a callback asks for the
``fitted_estimator``; else a start has 200 stretches at most, since a progress bar adds up all of
them at the end of each. They are counted, not timed: a callback is told the same of each run, and
of as many subtasks as were announced. A callback that says stop at a stretch's end ends the start,
and at a start's end lets no other begin.

Of many fits side by side, callbacks are told as of one task, whose subtasks are the fits.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from inspect import signature
from threading import RLock
from typing import Any

from sklearn import config_context, get_config
from sklearn.base import clone

from fastbp.solvers.history import History
from fastbp.solvers.monitor import SoFar
from fastbp.training.task import FitResult, FitTask, Start

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing: there are no callbacks, and no ``set_callbacks``."""

    def with_callbacks(method: Callable) -> Callable:
        """Give what was given: there are no callbacks to end."""
        return method


__all__ = [
    "CallbackSupportMixin",
    "FitReport",
    "ManyFitsReport",
    "with_callbacks",
    "without_callbacks",
]

_MOST_STRETCHES = 200

#: Attributes that make a copy of an estimator fitted, worked out where a callback asks for it.
_Attributes = Callable[[], dict[str, Any]]


class _Hooks:
    """Calls the hooks of callbacks: one at a time, in the configuration of who began.

    Parameters
    ----------
    estimator : BackpropEstimator
        The estimator that has the callbacks.
    X, y, sample_weight
        What its fit was given.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        self._told = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._config, self._lock = get_config(), RLock()  # each thread has its own configuration

    def of_rows(self, X: Any, y: Any, sample_weight: Any) -> "_Hooks":
        """Give the same, still one at a time, for a fit to other rows."""
        hooks = copy.copy(self)
        hooks._told = _Hooks(self._told["estimator"], X, y, sample_weight)._told
        return hooks

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other thread call hooks in a block, in which hooks are to be called."""
        with self._lock, config_context(**self._config):
            yield

    def begin(self, context: Any, fitted: _Attributes | None = None) -> Any:
        """Tell that a task begins; returns its context."""
        return context.call_on_fit_task_begin(**self._told, reconstruction_attributes=fitted)

    def end(self, context: Any, fitted: _Attributes | None) -> bool:
        """Tell that a task has ended; returns whether a callback says stop."""
        return context.call_on_fit_task_end(**self._told, reconstruction_attributes=fitted)


class FitReport:
    """Tells callbacks that a fit begins, how it goes on, and that it ends.

    Its starts may go on in several threads.

    Parameters
    ----------
    estimator : BackpropEstimator
        The estimator, before its fit.
    hooks : _Hooks
        Whom to tell.
    make_context : callable
        Makes the context of the fit, for its ``max_subtasks``.
    most_stretches : int
        How many stretches a start may have, if no callback asks for the fitted estimator.

    Attributes
    ----------
    every : int
        Iterations of a stretch.
    lets_begin : bool
        Whether another start may begin.
    """

    def __init__(
        self, estimator: Any, hooks: _Hooks, make_context: Callable, most_stretches: int
    ) -> None:
        self.hooks = hooks
        asked_for = any(map(_asks_for_fitted, estimator._skl_callbacks))
        self.every = 1 if asked_for else -(-estimator.max_iter // most_stretches)
        self._n_stretches = -(-estimator.max_iter // self.every)
        self._n_starts = estimator._n_starts
        self._starts: dict[int, _StartReport] = {}
        self.lets_begin = True
        self._root = make_context(
            max_subtasks=self._n_stretches if self._n_starts == 1 else self._n_starts,
            sequential_subtasks=self._n_starts == 1,
        )
        hooks.begin(self._root)

    @classmethod
    def of(cls, estimator: Any, X: Any, y: Any, sample_weight: Any) -> "FitReport | None":
        """Begin one, if there are callbacks to tell."""
        if not getattr(estimator, "_skl_callbacks", None):
            return None
        hooks = _Hooks(estimator, X, y, sample_weight)
        return cls(estimator, hooks, estimator._init_callback_context, _MOST_STRETCHES)

    def begin_start(self, task: FitTask, start: Start) -> "_StartReport":
        """Tell that a start begins; returns what its `Monitor` is to ask."""
        context = self._root
        with self.hooks.alone():
            if self._n_starts > 1:
                context = context.subcontext(
                    "start", task_id=start.number, max_subtasks=self._n_stretches
                )
                self.hooks.begin(context)
            report = self._starts[start.number] = _StartReport(self, task, context)
            report.begin_stretch(lambda: (start.parameters, History()))
        return report

    def end_start(self, start: Start, result: FitResult) -> None:
        """Tell that a start has ended, and how."""
        report = self._starts.pop(start.number)
        fitted = None if result.is_lost else partial(report.fitted_attributes, result)
        with self.hooks.alone():
            report.end_stretch(fitted)
            if self._n_starts > 1 and self.hooks.end(report.context, fitted):
                self.lets_begin = False

    def end(self, fitted: _Attributes = dict) -> None:
        """Tell that the fit has ended; the estimator has what it lacks to be fitted."""
        self.hooks.end(self._root, fitted)


class ManyFitsReport:
    """Tells an estimator's callbacks of fits of its clones, which are subtasks of one task.

    Together the fits have about as many stretches as one alone.

    Parameters
    ----------
    estimator : BackpropEstimator
        An estimator with callbacks, which is not fitted itself.
    X, y, sample_weight
        All rows.
    n_fits : int
        How many fits there are.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any, n_fits: int) -> None:
        self._hooks = _Hooks(estimator, X, y, sample_weight)
        self._most_stretches = max(1, _MOST_STRETCHES // n_fits)
        self._root = estimator._init_callback_context(
            "fit_many", max_subtasks=n_fits, sequential_subtasks=False
        )
        self._hooks.begin(self._root)

    @classmethod
    def of(cls, estimator: Any, rows: tuple[Any, Any, Any], n_fits: int) -> "ManyFitsReport | None":
        """Begin one, if there are callbacks to tell."""
        if not getattr(estimator, "_skl_callbacks", None):
            return None
        return cls(estimator, *rows, n_fits)

    def begin_fit(self, number: int, estimator: Any, rows: tuple[Any, Any, Any]) -> FitReport:
        """Tell that a fit begins, of a clone to some rows."""
        make_context = partial(self._root.subcontext, "fit", task_id=number)
        hooks = self._hooks.of_rows(*rows)
        return FitReport(estimator, hooks, make_context, self._most_stretches)

    def end(self) -> None:
        """Tell that all have ended."""
        self._hooks.end(self._root, None)


class _StartReport:
    """Tells callbacks of the stretches of one start: the callback of its `Monitor`."""

    def __init__(self, report: FitReport, task: FitTask, context: Any) -> None:
        self.every, self.context = report.every, context
        self._report, self._task = report, task
        self._stretch: Any = None

    def __call__(self, so_far: SoFar) -> bool:
        """End a stretch; begin the next, unless a callback says stop."""
        with self._report.hooks.alone():
            says_stop = self.end_stretch(partial(self._so_far_attributes, so_far))
            if not says_stop:
                self.begin_stretch(so_far)
        return says_stop

    def begin_stretch(self, so_far: SoFar) -> None:
        """Tell that a stretch begins."""
        name = "iteration" if self.every == 1 else f"{self.every} iterations"
        fitted = partial(self._so_far_attributes, so_far)
        self._stretch = self._report.hooks.begin(self.context.subcontext(name), fitted)

    def end_stretch(self, fitted: _Attributes | None) -> bool:
        """Tell that the stretch has ended, if one is on; returns whether a callback says stop."""
        stretch, self._stretch = self._stretch, None
        return stretch is not None and self._report.hooks.end(stretch, fitted)

    def fitted_attributes(self, result: FitResult) -> dict[str, Any]:
        """Give the attributes that a result would make the estimator's; nothing is shared."""
        fitted = copy.copy(self._task.estimator)
        result = result._replace(history=result.history.copy(), state=None)
        fitted._set_fitted(self._task.network, result)
        return vars(fitted)

    def _so_far_attributes(self, so_far: SoFar) -> dict[str, Any]:
        return self.fitted_attributes(FitResult(self._task.solver, *so_far(), "callback"))


def _asks_for_fitted(callback: Any) -> bool:
    """Whether a callback's hooks ask for the estimator as if it were fitted."""
    hooks = (callback.on_fit_task_begin, callback.on_fit_task_end)
    return any("fitted_estimator" in signature(hook).parameters for hook in hooks)


def without_callbacks(estimator: Any) -> Any:
    """Clone an estimator without its callbacks, and without those of what it has inside."""
    bare = clone(estimator)
    for each in (bare, *bare.get_params().values()):
        if getattr(each, "_skl_callbacks", None):
            each.set_callbacks()
    return bare
