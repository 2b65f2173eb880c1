"""Many fits at once: each with its own schedule and end, all in the same calls of a kernel.

A training yields plans of epochs (``solvers/stochastic.py``). Here all of a fleet's trainings are
asked for theirs, a call makes the epochs, and each is sent its losses, until the last has ended. On
a GPU that is for all that sgd and adam train, on the CPU for small networks trained online or in
batches of a few rows, if there are enough to fill the lanes of a vector.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from fastbp.backends.device import fits_lanes, make_fleet, n_lanes
from fastbp.model.data import Data
from fastbp.model.fleet import FleetMember, FleetRun
from fastbp.model.objective import EpochPlan
from fastbp.model.shuffles import Shuffles
from fastbp.solvers import stochastic
from fastbp.solvers.stopping import Clock
from fastbp.training.options import batch_rows, stochastic_options
from fastbp.training.start_results import StartResults
from fastbp.training.task import FitResult, FitTask, Start
from fastbp.training.validation_set import make_early_stopping

__all__ = ["fit_side_by_side", "go_side_by_side"]

#: Fewer lanes than this are not worth it: all of them are 1.4 to 2.7 times as fast as one by one.
_LEAST_FILLED = 0.75
#: In float64 all lanes gain 1.2 to 1.3 by two moments, whose memory they wait for, and by batches,
#: at which one network alone is faster, too.
_LEAST_FILLED_OF_WIDE = 0.85


def go_side_by_side(tasks: Sequence[FitTask]) -> list[bool]:
    """Say which tasks' starts are trained side by side.

    Parameters
    ----------
    tasks : sequence of FitTask
        What is to be fitted at the same time; in how many threads does not matter.

    Returns
    -------
    chosen : list of bool
        On a GPU, all that sgd and adam train. On the CPU those that lanes are for: of each kind the
        first so many whose starts leave few lanes empty, which take as long as full ones.
    """
    of_kinds: dict[tuple, list[int]] = {}
    for i, task in enumerate(tasks):
        kind = _kind_of(task)
        if kind is not None:
            of_kinds.setdefault(kind, []).append(i)
    chosen = [False] * len(tasks)
    for of_one in of_kinds.values():
        for i in of_one[: _n_worth_it([tasks[i] for i in of_one])]:
            chosen[i] = True
    return chosen


def _n_worth_it(tasks: list[FitTask]) -> int:
    """How many of the first tasks of a kind gain by being trained side by side."""
    task = tasks[0]
    if task.device != "cpu":
        return len(tasks)
    rule, is_online = task.rule, batch_rows(task.estimator.batch_size, task.data.n_samples) == 1
    gains_less = rule is not None and (rule.record.n_moments > 1 or not is_online)
    is_wide = gains_less and task.dtype == np.float64
    least, n = _LEAST_FILLED_OF_WIDE if is_wide else _LEAST_FILLED, n_lanes(task.dtype)
    n_starts = np.cumsum([each.n_init for each in tasks])
    (worth_it,) = np.nonzero(n_starts >= least * n * np.ceil(n_starts / n))
    return int(worth_it[-1]) + 1 if len(worth_it) else 0


def _kind_of(task: FitTask) -> tuple | None:
    """Give what the members of a fleet have in common; None of a task that is for itself."""
    rule, data = task.rule, task.data
    if rule is None or not isinstance(data, Data):
        return None
    if task.device == "cpu":
        estimator = task.estimator
        n_rows = batch_rows(estimator.batch_size, data.n_samples)
        decay = rule.learning_rate * task.alpha
        if _is_watched(task) or not fits_lanes(task.network, data, decay, n_rows, rule.record):
            return None
        if estimator.learning_rate == "invscaling" and estimator.power_t < 0:  # the rate rises
            return None
        if not _draws_in_kernels(task):
            return None
    return _traits(task)


def _traits(task: Any) -> tuple:
    """Give what a task has to have in common with others for which there is a fleet."""
    rule, data = task.rule, task.data
    n_rows = batch_rows(task.estimator.batch_size, data.n_samples)
    if task.device != "cpu":
        n_columns, is_sparse = (data.X.shape[1], data.y.shape[1]), len(data.row_starts) > 0
        return task.device, data.dtype.name, n_columns, is_sparse, n_rows == 1, rule.code
    return task.device, data.dtype.name, task.network, n_rows, rule._replace(learning_rate=0.0)


def _draws_in_kernels(task: FitTask) -> bool:
    """Whether kernels shuffle the rows by themselves, or do not have to."""
    if not task.estimator.shuffle or task.has_own_generator:
        return True
    return Shuffles(task.start.random_state).are_compiled


def _is_watched(task: FitTask) -> bool:
    """Whether something looks at a training from near, which therefore is by itself."""
    estimator = task.estimator
    return bool(
        task.one_epoch
        or task.report
        or task.watchers
        or task.checkpoint
        or task.resumed
        or estimator.verbose
        or estimator.record_path
    )


class _Entrant(NamedTuple):
    """One start of a task."""

    task_number: int
    task: FitTask
    start: Start
    options: stochastic.Options
    shuffles: Shuffles


def fit_side_by_side(
    tasks: Sequence[FitTask], clocks: Sequence[Clock], n_threads: int
) -> list[StartResults]:
    """Train networks by sgd or adam, all that go together in the same calls.

    Parameters
    ----------
    tasks : sequence of FitTask
        What is to be fitted: some of those that `go_side_by_side`.
    clocks : sequence of Clock
        When each has to stop in any case.
    n_threads : int
        Threads of the CPU.

    Returns
    -------
    results : list of StartResults
        For each task what came of its starts.
    """
    results = [StartResults(task) for task in tasks]
    with ExitStack() as stack:
        fleets: dict[tuple, list[_Entrant]] = {}
        for task_number, (task, clock) in enumerate(zip(tasks, clocks, strict=True)):
            entrants = _entrants(task_number, task, clock, stack)
            fleets.setdefault(_traits(task), []).extend(entrants)
        for entrants in fleets.values():
            for entrant, result in zip(entrants, _train(entrants, n_threads), strict=True):
                results[entrant.task_number].add(entrant.start.number, result)
                if entrant.task.report is not None:
                    entrant.task.report.end_start(entrant.start, result)
                if result.stop_reason == "interrupted":
                    clocks[entrant.task_number].interrupted.set()
    return results


def _entrants(task_number: int, task: FitTask, clock: Clock, stack: ExitStack) -> list[_Entrant]:
    """Make a task's starts ready; their generators are lent until the stack is closed."""
    entrants = []
    for start in task.starts():
        early_stopping = None
        if task.validation is not None:
            early_stopping = make_early_stopping(
                task.estimator, task.network, task.validation, 1, "cpu"
            )
        options = stochastic_options(task, start, early_stopping, clock)
        shuffles = Shuffles(start.random_state if options.shuffle else None)
        entrants.append(_Entrant(task_number, task, start, options, stack.enter_context(shuffles)))
    return entrants


def _train(entrants: list[_Entrant], n_threads: int) -> list[FitResult]:
    """Train a fleet until the last of its members has ended."""
    tables: dict[int, Any] = {id(entrant.task.data): entrant.task.data for entrant in entrants}
    places = {key: place for place, key in enumerate(tables)}
    members = [
        FleetMember(
            entrant.task.network,
            places[id(entrant.task.data)],
            entrant.task.alpha,
            entrant.options.batch_size,
            entrant.start.parameters,
            entrant.options.state.moments,
            entrant.shuffles,
        )
        for entrant in entrants
    ]
    fleet = make_fleet(
        entrants[0].task.device,
        members,
        list(tables.values()),
        entrants[0].options.state.rule.record,
        n_threads,
    )
    trainings = [
        stochastic.plan_epochs(FleetRun(fleet, i), entrant.options)
        for i, entrant in enumerate(entrants)
    ]
    ended: dict[int, FitResult] = {}
    plans: dict[int, EpochPlan] = {}

    def ask(i: int, question: Any, *answer: Any) -> None:
        """Let a training go on to its next plan, or to its end."""
        try:
            plans[i] = question(*answer)
        except StopIteration as end:
            solver, options = entrants[i].task.solver, entrants[i].options
            ended[i] = FitResult.of(solver, end.value, options.state, options.monitor.path)
            if ended[i].stop_reason == "interrupted":  # so that the others stop too
                options.limits.clock.interrupted.set()

    for i, training in enumerate(trainings):
        ask(i, next, training)
    while plans:
        try:
            losses = fleet.epochs(plans)
        except KeyboardInterrupt as interrupt:
            going, plans = list(plans), {}
            for i in going:
                ask(i, trainings[i].throw, interrupt)
        else:
            plans = {}
            for i, of_one in losses.items():
                ask(i, trainings[i].send, of_one)
    return [ended[i] for i in range(len(entrants))]
